//! The receive road, measured: recordings through a codec, a network made of numbers and a leg, all in
//! virtual time (`benches/quality/quality.py` says what it cost them); without jobs, what a tick costs. It
//! opens no socket and judges nothing.
//!
//! `cargo bench -p dauys-media --bench receive_road -- JOBS` where each line of the file JOBS has five words:
//! codec (PCMU, PCMA, G722, opus), receiver (`leg`; `repeat`: the last packet again, after a fixed delay),
//! a file with a line for each packet (its delay in milliseconds, `-` if it is lost), a WAV to say (16 bit
//! mono at 8 or 16 kHz), and one to write what was heard to (16 kHz). Statistics go to standard error.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, EncoderConfig};
use media::resample::Upsampler;
use media::rtp::Header;
use media::{Codec, FRAME_SAMPLES, FramePool, Leg, LegConfig};

/// When in its 20 ms the leg ticks.
const PHASE_MS: u64 = 7;
/// What the plain receiver waits for late packets.
const REPEAT_DELAY_MS: u64 = 60;
/// Payload type of everything here.
const PAYLOAD_TYPE: u8 = 96;

fn main() {
    let jobs: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if jobs.is_empty() {
        return cost();
    }
    for file in jobs {
        for line in std::fs::read_to_string(&file).expect("a file of jobs").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [codec, receiver, network, say, heard] = words[..] else { panic!("five words: {line}") };
            let said = frames(say);
            let delays = delays(network, said.len());
            let packets = encode(codec_of(codec), &said, &delays);
            let out = if receiver == "repeat" {
                repeat(codec_of(codec), &packets, &delays)
            } else {
                leg(codec_of(codec), &packets, &delays)
            };
            write(heard, &out);
        }
    }
}

fn codec_of(name: &str) -> Codec {
    let all = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
    all.into_iter().find(|codec| codec.encoding_name() == name).expect("a codec's name")
}

/// A recording as frames at 16 kHz, and half a second of silence behind it.
fn frames(path: &str) -> Vec<[i16; FRAME_SAMPLES]> {
    let mut wav = hound::WavReader::open(path).expect("a recording");
    let narrow = wav.spec().sample_rate == 8_000;
    let mut samples: Vec<i16> = wav.samples::<i16>().map(|s| s.expect("16 bit")).collect();
    if narrow {
        let mut wide = vec![0; samples.len() * 2];
        Upsampler::default().process(&samples, &mut wide);
        samples = wide;
    }
    samples.resize(samples.len() + 25 * FRAME_SAMPLES, 0);
    samples.as_chunks().0.to_vec()
}

/// Each packet's delay, `None` for lost; those that are not in the file are on time.
fn delays(path: &str, packets: usize) -> Vec<Option<u64>> {
    let text = std::fs::read_to_string(path).expect("the network");
    let mut delays: Vec<Option<u64>> = text.lines().map(|line| line.parse().ok()).collect();
    delays.resize(packets, Some(0));
    delays
}

/// The payloads; empty ones are not sent. The encoder hears every second how much was lost, as from reports.
fn encode(codec: Codec, said: &[[i16; FRAME_SAMPLES]], delays: &[Option<u64>]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, EncoderConfig::default()).expect("an encoder");
    let share = delays.iter().filter(|delay| delay.is_none()).count() as f32 / delays.len().max(1) as f32;
    let mut packet = [0; 1_500];
    let payloads = said.iter().enumerate().map(|(n, frame)| {
        if n % 50 == 0 {
            encoder.network(share);
        }
        let len = encoder.encode(frame, &mut packet);
        packet[..len].to_vec()
    });
    payloads.collect()
}

/// Through a leg.
fn leg(codec: Codec, packets: &[Vec<u8>], delays: &[Option<u64>]) -> Vec<i16> {
    let start = Instant::now();
    let mut road = new_leg(codec, start);
    let mut pool = FramePool::new(4);
    let mut arrivals: Vec<(u64, usize)> =
        delays.iter().enumerate().filter_map(|(n, delay)| Some((n as u64 * 20 + (*delay)?, n))).collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut heard, mut datagram) = (Vec::new(), [0; 1_500]);
    for tick in 0..packets.len() as u64 + 30 {
        let now_ms = tick * 20 + PHASE_MS;
        while let Some((ms, n)) = arrivals.next_if(|(ms, _)| *ms <= now_ms) {
            let len = pack(codec, n, &packets[n], &mut datagram);
            road.handle(start + Duration::from_millis(ms), from(), &mut datagram[..len]);
        }
        let tick = road.tick_in(start + Duration::from_millis(now_ms), &mut pool);
        heard.extend_from_slice(tick.frame.expect("a frame").samples());
    }
    let s = road.stats();
    eprintln!(
        "{codec:?}: {} lost, {} late, {} recovered, {} of {} frames made up, {} ms left out, {} ms put in, delay {} ms at the end",
        s.packets_lost,
        s.late,
        s.recovered,
        s.concealed_frames,
        heard.len() / FRAME_SAMPLES,
        s.shortened_ms,
        s.lengthened_ms,
        s.delay_ms
    );
    heard
}

/// The plain way: a fixed delay, and what is not there then is the packet before it once more.
fn repeat(codec: Codec, packets: &[Vec<u8>], delays: &[Option<u64>]) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).expect("a decoder");
    let mut heard = vec![0; REPEAT_DELAY_MS as usize * 16];
    let mut frame = [0; FRAME_SAMPLES];
    for (packet, delay) in packets.iter().zip(delays) {
        if delay.is_some_and(|delay| delay <= REPEAT_DELAY_MS) {
            decoder.decode(packet, &mut frame);
        }
        heard.extend_from_slice(&frame);
    }
    heard
}

fn from() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

fn new_leg(codec: Codec, start: Instant) -> Leg {
    let receive = vec![(PAYLOAD_TYPE, codec)];
    let config = LegConfig { codec, payload_type: PAYLOAD_TYPE, receive, ..LegConfig::new(from()) };
    Leg::new(start, config)
}

fn pack(codec: Codec, n: usize, payload: &[u8], datagram: &mut [u8]) -> usize {
    let timestamp = (n as u32).wrapping_mul(codec.frame_units());
    let header = Header { marker: n == 0, payload_type: PAYLOAD_TYPE, sequence: n as u16, timestamp, ssrc: 7 };
    header.write(datagram).expect("room");
    datagram[12..12 + payload.len()].copy_from_slice(payload);
    12 + payload.len()
}

fn write(path: &str, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).expect("a file");
    samples.iter().for_each(|sample| wav.write_sample(*sample).expect("a file"));
    wav.finalize().expect("a file");
}

/// What receiving costs: a packet in and a tick, on a clean line and at 5 % loss.
fn cost() {
    const PACKETS: usize = 500_000;
    for codec in [Codec::Pcma, Codec::G722, Codec::Opus] {
        // Words and pauses.
        let voice = |i: usize| {
            f32::from(i % 16_000 < 11_000) * (6_000.0 * (i as f32 * 0.05).sin() + 2_000.0 * (i as f32 * 0.31).sin())
        };
        let voice = |i: usize| voice(i) as i16;
        let said: Vec<_> = (0..50).map(|n| std::array::from_fn(|i| voice(n * FRAME_SAMPLES + i))).collect();
        let packets = encode(codec, &said, &[]);
        for loss in [0, 20] {
            let count = if codec == Codec::Opus { PACKETS / 20 } else { PACKETS };
            let start = Instant::now();
            let (mut road, mut pool, mut datagram) = (new_leg(codec, start), FramePool::new(4), [0; 1_500]);
            let began = cpu_ns();
            for n in 0..count {
                let now = start + Duration::from_millis(n as u64 * 20);
                if loss == 0 || n % loss != 7 {
                    let len = pack(codec, n, &packets[n % packets.len()], &mut datagram);
                    road.handle(now, from(), &mut datagram[..len]);
                }
                std::hint::black_box(road.tick_in(now + Duration::from_millis(PHASE_MS), &mut pool).frame);
            }
            let ns = (cpu_ns() - began) / count as u64;
            let (loss, copied) = (100usize.checked_div(loss).unwrap_or(0), road.stats().copied_frames);
            eprintln!("{codec:?}, {loss} % lost: {ns} ns a packet and tick, {copied} of {count} frames copied");
        }
    }
}

/// Time this thread was on a core, which others on the machine do not count against it.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().expect("a number").parse().expect("a number")
}
