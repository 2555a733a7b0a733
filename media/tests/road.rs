//! The receive road by scripts in virtual time: what comes over a network made of numbers is heard whole, in
//! time and without a click. Nothing here opens a socket or waits.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::comfort::ComfortNoise;
use media::codec::{Decoder, Encoder, EncoderConfig};
use media::rtp::Header;
use media::{Codec, FramePool, Kind, Leg, LegConfig, LegStats, level};

const CODECS: [(u8, Codec); 4] = [(0, Codec::Pcmu), (8, Codec::Pcma), (9, Codec::G722), (111, Codec::Opus)];
const COMFORT: u8 = 13;
/// When in its 20 ms the leg ticks.
const PHASE: Duration = Duration::from_millis(7);

fn remote() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

/// A leg and what came out of it.
struct Bench {
    start: Instant,
    leg: Leg,
    pool: FramePool,
    ticks: u64,
    heard: Vec<i16>,
    kinds: String,
}

impl Bench {
    /// A leg that takes all four codecs, with this one in use.
    fn new(codec: usize) -> Self {
        let start = Instant::now();
        let (payload_type, codec) = CODECS[codec];
        let config = LegConfig {
            codec,
            payload_type,
            receive: CODECS.to_vec(),
            comfort_noise_payload_type: Some(COMFORT),
            // Listening for tones costs hours of audio dear, and has tests of its own.
            inband_digits: false,
            ..LegConfig::new(remote())
        };
        let leg = Leg::new(start, config);
        Bench { start, leg, pool: FramePool::new(4), ticks: 0, heard: Vec::new(), kinds: String::new() }
    }

    /// A packet that comes at this time; the ticks before it are run first.
    fn packet(&mut self, at: Duration, payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) {
        self.run_to(at);
        let mut datagram = [0; 1_500];
        Header { marker: false, payload_type, sequence, timestamp, ssrc: 7 }.write(&mut datagram).unwrap();
        datagram[12..12 + payload.len()].copy_from_slice(payload);
        self.leg.handle(self.start + at, remote(), &mut datagram[..12 + payload.len()]);
    }

    fn run_to(&mut self, at: Duration) {
        while Duration::from_millis(self.ticks * 20) + PHASE < at {
            let tick = self.leg.tick_in(self.start + Duration::from_millis(self.ticks * 20) + PHASE, &mut self.pool);
            self.heard.extend_from_slice(tick.frame.unwrap().samples());
            self.kinds.push(match tick.kind {
                Kind::Audio => 'a',
                Kind::Concealed => 'c',
                Kind::Silence => '.',
            });
            self.ticks += 1;
        }
    }

    fn stats(&self) -> LegStats {
        self.leg.stats()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A voice: harmonics of 140 Hz, silent for 300 ms of every second if `words`.
fn voice(n: usize, words: bool) -> Vec<[i16; 320]> {
    let sample = |i: usize| {
        let phase = std::f32::consts::TAU * 140.0 * i as f32 / 16_000.0;
        let on = if words && i % 16_000 > 11_200 { 0.0 } else { 1.0 };
        (on * 5_000.0 * (phase.sin() + 0.5 * (3.0 * phase).sin() + 0.2 * (7.0 * phase).sin())) as i16
    };
    (0..n).map(|frame| std::array::from_fn(|i| sample(frame * 320 + i))).collect()
}

/// Noise, the same every time.
fn hiss(peak: i16) -> impl Iterator<Item = i16> {
    let mut seed = 1u32;
    std::iter::from_fn(move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(((seed >> 16) as i32 % (2 * i32::from(peak) + 1) - i32::from(peak)) as i16)
    })
}

fn encode(codec: Codec, said: &[[i16; 320]], loss: f32) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, EncoderConfig::default()).unwrap();
    encoder.network(loss);
    let mut out = [0; 1_500];
    said.iter()
        .map(|frame| {
            let len = encoder.encode(frame, &mut out);
            out[..len].to_vec()
        })
        .collect()
}

fn click(audio: &[i16]) -> i32 {
    audio.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
}

/// Quietest and loudest 20 ms in dBFS.
fn loudness(audio: &[i16]) -> (f32, f32) {
    audio.chunks_exact(320).map(level::rms_dbfs).fold((0.0, -99.0), |(low, high), l| (low.min(l), high.max(l)))
}

#[test]
fn samples_are_written_once() {
    for (i, (payload_type, codec)) in CODECS.into_iter().enumerate() {
        let packets = encode(codec, &voice(50, true), 0.0);
        let mut bench = Bench::new(i);
        let mut settled = 0;
        for n in 0..30_000u32 {
            let payload = &packets[n as usize % 50];
            bench.packet(ms(u64::from(n) * 20), payload_type, n as u16, n * codec.frame_units(), payload);
            bench.heard.clear();
            if n == 250 {
                settled = bench.stats().copied_frames;
            }
        }
        // Ten minutes, of which the first five seconds bring the delay down from where it starts.
        let stats = bench.stats();
        assert!(settled < 40, "{codec:?}: {settled}");
        assert_eq!((stats.copied_frames, stats.concealed_frames), (settled, 0), "{codec:?}");
        assert!((10..=35).contains(&stats.delay_ms), "{codec:?}: {} ms", stats.delay_ms);
    }
}

#[test]
fn any_packet_length_is_heard_to_the_sample() {
    let said = voice(200, false);
    let bytes = encode(Codec::Pcmu, &said, 0.0).concat();
    let mut whole = vec![0; bytes.len() * 2];
    Decoder::new(Codec::Pcmu).unwrap().decode(&bytes, &mut whole);
    for ptime_ms in [10, 20, 30, 40, 60] {
        let mut bench = Bench::new(0);
        for (n, payload) in bytes.chunks(ptime_ms * 8).enumerate() {
            // Until now it was recorded.
            let at = ms((n * ptime_ms + ptime_ms) as u64);
            bench.packet(at, 0, n as u16, (n * ptime_ms * 8) as u32, payload);
        }
        let begin = bench.heard.iter().position(|s| *s != 0).unwrap();
        let first = whole.iter().position(|s| *s != 0).unwrap();
        assert!(whole[first..].starts_with(&bench.heard[begin..]), "{ptime_ms} ms");
        assert!(bench.heard.len() - begin > 50_000, "{ptime_ms} ms");
        assert!(!bench.kinds.trim_start_matches('.').contains(['.', 'c']), "{ptime_ms} ms: {}", bench.kinds);
    }
}

#[test]
fn a_clean_line_is_heard_as_it_was_decoded() {
    // To the sample: all of it, or if there are pauses every word, sooner by what was left out of a pause.
    for (i, (payload_type, codec)) in CODECS.into_iter().enumerate() {
        for (words, noise) in [(false, 0), (true, 0), (true, 400)] {
            if words && codec == Codec::Opus {
                continue; // its pauses are not sent
            }
            let mut said = voice(400, words);
            said.iter_mut().flatten().zip(hiss(noise)).for_each(|(sample, noise)| *sample += noise);
            let packets = encode(codec, &said, 0.0);
            let mut decoded = vec![0; packets.len() * 320];
            let mut decoder = Decoder::new(codec).unwrap();
            packets
                .iter()
                .zip(decoded.chunks_mut(320))
                .for_each(|(packet, out)| assert_eq!(decoder.decode(packet, out), 320));
            let mut bench = Bench::new(i);
            for (n, packet) in packets.iter().enumerate() {
                bench.packet(ms(n as u64 * 20), payload_type, n as u16, n as u32 * codec.frame_units(), packet);
            }
            let label = format!("{codec:?}, words: {words}, noise: {noise}");
            let begin = bench.kinds.find('a').unwrap() * 320;
            let left_out = (bench.stats().shortened_ms * 16) as usize;
            assert_eq!(left_out > 0, words, "{label}");
            let same = |from: usize, to: usize, earlier: usize| {
                bench.heard[begin - earlier..].get(from..to).is_some_and(|heard| heard == &decoded[from..to])
            };
            let seconds = bench.heard[begin..].len() / 16_000;
            let mut earlier = 0;
            for second in 0..seconds {
                let (from, to) = (second * 16_000, second * 16_000 + if words { 11_200 } else { 16_000 });
                if !same(from, to, earlier) {
                    earlier = left_out;
                }
                assert!(same(from, to, earlier), "{label}: second {second}");
            }
            assert!(seconds >= 7 && earlier == left_out, "{label}");
            assert!(!words || bench.stats().delay_ms < 35, "{label}: {} ms", bench.stats().delay_ms);
        }
    }
}

#[test]
fn the_codec_may_change_at_any_packet() {
    let said = voice(400, false);
    let mut encoders = CODECS.map(|(_, codec)| Encoder::new(codec, EncoderConfig::default()).unwrap());
    let mut payload = [0; 1_500];
    let mut clocks = [1_000u32, 1_000, 1_000, 77];
    let mut bench = Bench::new(0);
    for n in 0..400usize {
        // A sender that changes makes a new encoder. G.711 and G.722 share a clock, Opus has its own.
        let i = [0, 1, 2, 3, 1, 3, 0, 2][n / 10 % 8];
        if n % 10 == 0 {
            encoders[i] = Encoder::new(CODECS[i].1, EncoderConfig::default()).unwrap();
        }
        let (payload_type, _) = CODECS[i];
        let len = encoders[i].encode(&said[n], &mut payload);
        bench.packet(ms(n as u64 * 20), payload_type, n as u16, clocks[i], &payload[..len]);
        for (clock, (_, codec)) in clocks.iter_mut().zip(CODECS) {
            *clock = clock.wrapping_add(codec.frame_units());
        }
    }
    let stats = bench.stats();
    assert_eq!(
        (stats.concealed_frames, stats.late, stats.timestamp_jumps, stats.junk),
        (0, 0, 0, 0),
        "{}",
        bench.kinds
    );
    let heard = &bench.heard[8_000..];
    let (quietest, loudest) = loudness(heard);
    assert!(loudest - quietest < 4.0, "{quietest} to {loudest} dBFS");
    assert!(click(heard) < click(&said.concat()) * 3 / 2, "{} over {}", click(heard), click(&said.concat()));
}

#[test]
fn the_delay_rises_and_falls_without_a_click() {
    // The path is 60 ms longer between the third second and the sixth, and rough all the while. With no pause in
    // the speech, the delay comes down only to what is bearable.
    for (words, most_ms) in [(false, 70), (true, 35)] {
        let said = voice(800, words);
        let packets = encode(Codec::Pcma, &said, 0.0);
        let mut bench = Bench::new(1);
        let mut arrivals: Vec<(u64, usize)> = (0..800)
            .map(|n| (n as u64 * 20 + if (150..300).contains(&n) { 60 + (n as u64 * 37) % 30 } else { 0 }, n))
            .collect();
        arrivals.sort_unstable();
        for (at, n) in arrivals {
            bench.packet(ms(at), 8, n as u16, n as u32 * 160, &packets[n]);
            if n == 299 {
                assert!(bench.stats().delay_ms > 35, "{:?}", bench.stats());
            }
        }
        let stats = bench.stats();
        assert!((10..most_ms).contains(&stats.delay_ms), "{stats:?}");
        assert!(stats.shortened_ms >= 40 && stats.lengthened_ms < 200, "{stats:?}");
        assert!(stats.concealed_frames < 20 && stats.late < 15, "{stats:?}");
        let (heard, said) = (&bench.heard[3_200..], said.concat());
        // Words of this voice begin and end with a step of their own.
        let allowed = click(&said) * if words { 15 } else { 13 } / 10;
        assert!(click(heard) < allowed, "{} over {}", click(heard), click(&said));
    }
}

#[test]
fn clocks_may_drift_for_hours() {
    // Ten hours: for five the sender is 200 ppm too fast, for five too slow, 3.6 s each.
    let packets = encode(Codec::Pcma, &voice(50, true), 0.0);
    let mut bench = Bench::new(1);
    let (mut at_us, mut most) = (0, 0);
    for n in 0..1_800_000u32 {
        at_us += if n < 900_000 { 19_996 } else { 20_004 };
        bench.packet(Duration::from_micros(at_us), 8, n as u16, n.wrapping_mul(160), &packets[n as usize % 50]);
        bench.heard.clear();
        bench.kinds.clear();
        if n % 50 == 0 && n > 250 {
            most = most.max(bench.stats().delay_ms);
        }
    }
    let stats = bench.stats();
    assert_eq!((stats.concealed_frames, stats.late, stats.overflow, stats.packets_lost), (0, 0, 0, 0), "{stats:?}");
    assert!(most <= 60, "{most} ms at most");
    for corrected in [stats.shortened_ms, stats.lengthened_ms] {
        assert!((3_400..4_000).contains(&corrected), "{stats:?}");
    }
}

#[test]
fn redundancy_fills_what_is_lost() {
    let said = voice(400, true);
    let packets = encode(Codec::Opus, &said, 0.1);
    let mut bench = Bench::new(3);
    for n in (0..400usize).filter(|n| n % 10 != 5) {
        bench.packet(ms(n as u64 * 20), 111, n as u16, n as u32 * 960, &packets[n]);
    }
    let stats = bench.stats();
    assert!(stats.recovered >= 25 && stats.concealed_frames <= 15, "{stats:?}");
}

#[test]
fn comfort_noise_is_heard_in_pauses() {
    let said = voice(100, false);
    let packets = encode(Codec::Pcma, &said, 0.0);
    let mut noise = [0; 32];
    let len = ComfortNoise::white(50).write(&mut noise);
    let mut bench = Bench::new(1);
    for n in 0..100u32 {
        // Speech, a pause that is described twice, speech.
        let (payload_type, payload) = match n {
            30 | 45 => (COMFORT, &noise[..len]),
            31..60 => continue,
            _ => (8, &packets[n as usize][..]),
        };
        bench.packet(ms(u64::from(n) * 20), payload_type, n as u16, n * 160, payload);
    }
    assert_eq!(bench.stats().concealed_frames, 0, "{}", bench.kinds);
    let pause = bench.kinds.trim_start_matches('.').find('.').unwrap() + bench.kinds.find('a').unwrap();
    let end = pause + bench.kinds[pause..].find('a').unwrap();
    assert!((28..=33).contains(&(end - pause)), "{}", bench.kinds);
    let (quietest, loudest) = loudness(&bench.heard[(pause + 3) * 320..(end - 1) * 320]);
    assert!(quietest > -56.0 && loudest < -44.0, "{quietest} to {loudest} dBFS");
}

#[test]
fn a_stall_of_the_network_costs_no_word_and_no_lasting_delay() {
    let packets = encode(Codec::Pcma, &voice(500, true), 0.0);
    let mut bench = Bench::new(1);
    for n in 0..500u64 {
        let at = if (200..215).contains(&n) { 215 * 20 } else { n * 20 };
        bench.packet(ms(at), 8, n as u16, n as u32 * 160, &packets[n as usize]);
    }
    let stats = bench.stats();
    assert_eq!((stats.late, stats.overflow), (0, 0), "{stats:?}");
    assert!(stats.delay_ms <= 40 && stats.target_delay_ms <= 20, "{stats:?}");
}
