//! The codecs against references, loss and strangers' bytes. It never asserts how fast they are; the one
//! that measures it is run by hand: `cargo test -p dauys-media --release --test codecs -- --ignored --nocapture`.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use media::codec::{Decoder, Encoder, EncoderConfig};
use media::resample::Upsampler;
use media::{Codec, FRAME_SAMPLES};
use proptest::prelude::*;

const CODECS: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

/// A caller's recording, as it is: 8 kHz.
fn recording(name: &str) -> Vec<i16> {
    let path = format!("{}/../tests/data/callers/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}

/// Callers at 16 kHz, in whole frames.
fn speech(names: &[&str]) -> Vec<[i16; FRAME_SAMPLES]> {
    let narrow: Vec<i16> = names.iter().flat_map(|name| recording(name)).collect();
    let mut wide = vec![0; narrow.len() * 2];
    Upsampler::default().process(&narrow, &mut wide);
    wide.as_chunks().0.to_vec()
}

/// Pseudo-random 16 bit words, the same everywhere.
fn random() -> impl Iterator<Item = u16> {
    let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1u32), next).skip(1).map(|x| (x >> 16) as u16)
}

fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.into_iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

fn encoded(codec: Codec, frames: &[[i16; FRAME_SAMPLES]], config: EncoderConfig, loss: f32) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, config).unwrap();
    encoder.network(loss);
    let mut out = [0; 400];
    let packet = |frame| {
        let len = encoder.encode(frame, &mut out);
        out[..len].to_vec()
    };
    frames.iter().map(packet).collect()
}

/// What comes out of 20 ms packets, none of them lost.
fn decoded(codec: Codec, packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).unwrap();
    let mut out = vec![0; packets.len() * FRAME_SAMPLES];
    let mut done = 0;
    for packet in packets {
        assert_eq!(decoder.duration(packet), codec.frame_units());
        done += decoder.decode(packet, &mut out[done..]);
    }
    assert_eq!(done, out.len());
    out
}

/// Signal to noise in dB, and the delay in samples at which it is best.
fn fidelity(input: &[i16], output: &[i16]) -> (f64, usize) {
    let snr = |delay: usize| {
        let pairs = input.iter().zip(&output[delay..]).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        let (signal, noise) = pairs.fold((0.0, 1.0), |(s, n), (x, y)| (s + x * x, n + (x - y) * (x - y)));
        (10.0 * (signal / noise).log10(), delay)
    };
    (0..320).map(snr).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn speech_comes_back() {
    let frames = speech(&["hours_sat.bf_emma", "book_full.af_bella"]);
    for (codec, snr_min, delay) in [(Codec::Pcmu, 30.0, 46), (Codec::Pcma, 30.0, 46), (Codec::G722, 20.0, 22)] {
        let output = decoded(codec, &encoded(codec, &frames, EncoderConfig::default(), 0.0));
        let (snr, at) = fidelity(frames.as_flattened(), &output);
        assert!(snr > snr_min && at == delay, "{codec:?}: {snr} dB at {at} samples");
    }
    let output = decoded(Codec::Opus, &encoded(Codec::Opus, &frames, EncoderConfig::default(), 0.0));
    let (snr, at) = fidelity(frames.as_flattened(), &output);
    assert!(snr > 8.0, "Opus: {snr} dB at {at} samples");
}

/// The checksums are those of ffmpeg 5.1.9, whose arithmetic is another implementation's:
/// `ffmpeg -f s16le -ar 16000 -ac 1 -i IN -f g722 - | crc32`, and `ffmpeg -f g722 -i IN -f s16le - | crc32`.
#[test]
fn g722_is_bit_exact_with_another_implementation() {
    let check = |samples: Vec<i16>, bytes: u32, back: u32| {
        let packets = encoded(Codec::G722, samples.as_chunks().0, EncoderConfig::default(), 0.0);
        assert_eq!(crc32(packets.concat()), bytes);
        assert_eq!(crc32(decoded(Codec::G722, &packets).iter().flat_map(|s| s.to_le_bytes())), back);
    };
    check(random().take(16_000).map(|word| word as i16).collect(), 0xA301_201A, 0xD070_B1AB);
    // At twice its speed: speech all over the band.
    check(recording("book_full.bf_emma"), 0xCF6F_46E8, 0xE2FF_B65D);
    // Any byte is a code; a payload may come in pieces.
    let codes: Vec<u8> = random().take(8_000).map(|word| word as u8).collect();
    for piece in [160, 7, 1] {
        let mut decoder = Decoder::new(Codec::G722).unwrap();
        let mut out = [0; FRAME_SAMPLES];
        let samples = codes.chunks(piece).flat_map(|codes| {
            let len = decoder.decode(codes, &mut out);
            out[..len].to_vec()
        });
        assert_eq!(crc32(samples.flat_map(i16::to_le_bytes)), 0x01B2_0DC9, "in pieces of {piece}");
    }
}

/// What replaces lost packets.
#[derive(Copy, Clone, PartialEq)]
enum Repair {
    Conceal,
    Recover,
}

/// The mean signal to noise ratio of the lost frames that are speech, in dB against what would have come.
fn repaired(packets: &[Vec<u8>], whole: &[i16], lost: &[bool], repair: Repair) -> f64 {
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    let mut ratios = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        let mut out = [0; FRAME_SAMPLES];
        if !lost[i] {
            assert_eq!(decoder.decode(packet, &mut out), FRAME_SAMPLES);
            continue;
        }
        let next = packets.get(i + 1).filter(|_| repair == Repair::Recover && !lost[i + 1]);
        if !next.is_some_and(|next| decoder.recover(next, &mut out)) {
            assert!(decoder.conceal(&mut out));
        }
        let wanted = &whole[i * FRAME_SAMPLES..][..FRAME_SAMPLES];
        if media::level::rms_dbfs(wanted) > -50.0 {
            ratios.push(segment_snr(wanted, &out));
        }
    }
    ratios.iter().sum::<f64>() / ratios.len() as f64
}

/// In dB, between the bounds that are usual for the segmental measure.
fn segment_snr(wanted: &[i16], got: &[i16]) -> f64 {
    let power = |sum: f64, x: i32| sum + f64::from(x) * f64::from(x);
    let signal = wanted.iter().map(|x| i32::from(*x)).fold(1.0, power);
    let noise = wanted.iter().zip(got).map(|(x, y)| i32::from(*x) - i32::from(*y)).fold(1.0, power);
    (10.0 * (signal / noise).log10()).clamp(-10.0, 35.0)
}

#[test]
fn redundancy_beats_concealment_by_five_db() {
    let frames = speech(&["book_full.af_bella", "hours_sat.am_michael", "human.am_fenrir", "book_full.bf_emma"]);
    let packets = encoded(Codec::Opus, &frames, EncoderConfig::default(), 0.1);
    let whole = decoded(Codec::Opus, &packets);
    let lost: Vec<bool> = random().map(|word| word < 6_554).take(packets.len() + 1).collect();
    let concealed = repaired(&packets, &whole, &lost, Repair::Conceal);
    let recovered = repaired(&packets, &whole, &lost, Repair::Recover);
    println!("PLC {concealed:.1} dB, FEC {recovered:.1} dB");
    assert!(recovered >= concealed + 5.0, "PLC {concealed:.1} dB, FEC {recovered:.1} dB");
}

/// Packets as other senders make them: any rate, channel count and length, up to three frames in one.
fn foreign(
    rate: u32,
    channels: opus::Channels,
    frame_ms10: u32,
    frames: usize,
    application: opus::Application,
) -> Vec<Vec<u8>> {
    let mut encoder = opus::Encoder::new(rate, channels, application).unwrap();
    encoder.set_inband_fec(true).unwrap();
    encoder.set_packet_loss_perc(20).unwrap();
    let len = (rate * frame_ms10 / 10_000) as usize * channels as usize;
    let sample = |i: usize| (8_000.0 * (i as f32 * 3_000.0 / rate as f32).sin()) as i16;
    let singles: Vec<Vec<u8>> = (0..24)
        .map(|n| {
            let pcm: Vec<i16> = (0..len).map(|i| sample((n * len + i) / channels as usize)).collect();
            encoder.encode_vec(&pcm, 1_000).unwrap()
        })
        .collect();
    let join = |group: &[Vec<u8>]| {
        let parts: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        let mut out = [0; 4_000];
        let len = opus::Repacketizer::new().unwrap().combine(&parts, &mut out).ok()?;
        Some(out[..len].to_vec())
    };
    singles.chunks(frames).filter_map(join).collect()
}

#[test]
fn any_opus_packet_becomes_16_khz_mono() {
    use opus::{Application, Channels};
    let mut modes = std::collections::BTreeSet::new();
    for (rate, channels) in
        [(8_000, Channels::Mono), (16_000, Channels::Stereo), (48_000, Channels::Mono), (48_000, Channels::Stereo)]
    {
        for frame_ms10 in [25, 50, 100, 200, 400, 600] {
            for (frames, application) in [(1, Application::Voip), (2, Application::Audio), (3, Application::LowDelay)] {
                let mut decoder = Decoder::new(Codec::Opus).unwrap();
                let units = frame_ms10 * 48 / 10 * frames as u32;
                for packet in foreign(rate, channels, frame_ms10, frames, application) {
                    modes.insert((packet[0] >> 3, packet[0] >> 2 & 1, packet[0] & 3));
                    let units = if units > 5_760 { 0 } else { units };
                    assert_eq!(decoder.duration(&packet), units);
                    let mut out = [0; 1_920];
                    assert_eq!(decoder.decode(&packet, &mut out) as u32 * 3, units);
                    let short = (units / 3) as usize;
                    assert_eq!(decoder.decode(&packet, &mut out[..short.saturating_sub(1)]), 0, "no room");
                }
            }
        }
    }
    // SILK, hybrid and CELT, mono and stereo, of every length and count.
    assert!(modes.len() > 60, "{}", modes.len());
}

#[test]
fn redundancy_is_found_where_it_is() {
    use opus::{Application, Channels};
    for channels in [Channels::Mono, Channels::Stereo] {
        for frame_ms10 in [100, 200, 400, 600] {
            for frames in [1, 2] {
                let packets = foreign(16_000, channels, frame_ms10, frames, Application::Voip);
                let mut decoder = Decoder::new(Codec::Opus).unwrap();
                let (mut out, mut found) = ([0; 1_920], 0);
                let lost = (frame_ms10 * 16 / 10) as usize;
                for packet in &packets {
                    found += usize::from(decoder.recover(packet, &mut out[..lost]));
                    assert!(!decoder.recover(packet, &mut out[..lost - 1]));
                    assert!(!decoder.recover(packet, &mut out[..lost - 40]), "less than a frame");
                    decoder.decode(packet, &mut out);
                }
                // Not all of them: encoders repeat what is hard to guess.
                assert!(3 * found > packets.len(), "{found} of {} ({frame_ms10}/10 ms)", packets.len());
            }
        }
    }
    let plain = encoded(Codec::Opus, &speech(&["day.am_fenrir"]), EncoderConfig::default(), 0.0);
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    for packet in plain.iter().map(Vec::as_slice).chain([&[][..], &[0], &[3], &[0x43, 0x81], &[0x80; 9]]) {
        assert!(!decoder.recover(packet, &mut [0; FRAME_SAMPLES]));
    }
}

#[test]
fn the_bitrate_follows_loss_and_what_the_peer_takes() {
    let frames = speech(&["book_full.af_bella", "book_full.bf_emma"]);
    let kbps = |config: EncoderConfig, loss: f32| {
        let packets = encoded(Codec::Opus, &frames, config, loss);
        let bytes: usize = packets.iter().map(Vec::len).sum();
        bytes as f32 * 8.0 / (packets.len() as f32 * 20.0)
    };
    let plain = EncoderConfig::default();
    let (clean, lossy, full) = (kbps(plain, 0.0), kbps(plain, 0.05), kbps(plain, 0.4));
    println!("{clean} {lossy} {full} kbit/s");
    assert!((20.0..26.0).contains(&clean), "{clean}");
    assert!((1.2..1.5).contains(&(lossy / clean)), "{lossy}");
    assert!(full < 20.0, "{full}");
    let limited = EncoderConfig { bitrate_max_bps: 12_000, ..plain };
    assert!(kbps(limited, 0.0) < 14.0 && kbps(limited, 0.05) < 14.0);
    // Strangers' numbers.
    for loss in [f32::NAN, f32::INFINITY, -1.0, 7.0] {
        kbps(EncoderConfig { bitrate_bps: u32::MAX, bitrate_max_bps: 0, complexity: 255, ..plain }, loss);
    }
    let constant = encoded(Codec::Opus, &frames, EncoderConfig { cbr: true, ..plain }, 0.0);
    assert!(constant.iter().all(|packet| packet.len() == 60));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 0..2_000usize, 0..3u8), 1..40)) {
        for codec in CODECS {
            let mut decoder = Decoder::new(codec).unwrap();
            let mut out = vec![0; 2_000];
            for (packet, room, what) in &packets {
                let units = decoder.duration(packet);
                prop_assert!(codec != Codec::Opus || units <= 5_760);
                let samples = units as usize * 16_000 / codec.clock_rate() as usize;
                match what {
                    0 => {
                        let len = decoder.decode(packet, &mut out[..*room]);
                        let whole = samples.min(*room & !1);
                        let right = if codec == Codec::Opus { len == 0 || len == samples } else { len == whole };
                        prop_assert!(right, "{len} of {samples} samples");
                    }
                    1 => { decoder.recover(packet, &mut out[..*room]); }
                    _ => { prop_assert!(decoder.conceal(&mut out[..*room]) == (codec == Codec::Opus && room % 40 == 0)); }
                }
            }
        }
    }
}

/// Nanoseconds that this thread has had the processor: what other work on the machine disturbs least.
fn worked_ns() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    status.split_whitespace().next().unwrap().parse().unwrap()
}

/// The best of several measurements of a run over as many frames, in microseconds for one. The processor's
/// time is told in steps of some milliseconds, so each of them lasts 60.
fn cost(frames: usize, mut run: impl FnMut()) -> f64 {
    let mut once = || {
        let (since, mut runs) = (worked_ns(), 0);
        loop {
            run();
            runs += 1;
            let worked = worked_ns() - since;
            if worked > 60e6 {
                return worked / 1_000.0 / (runs * frames) as f64;
            }
        }
    };
    (0..5).map(|_| once()).fold(f64::MAX, f64::min)
}

#[test]
#[ignore = "measures; nothing can fail"]
fn cost_of_a_frame() {
    let frames = speech(&["book_full.af_bella", "hours_sat.am_michael", "human.am_fenrir", "book_full.bf_emma"]);
    let measure = |name: &str, codec: Codec, config: EncoderConfig, loss: f32| {
        let (mut encoder, mut decoder) = (Encoder::new(codec, config).unwrap(), Decoder::new(codec).unwrap());
        encoder.network(loss);
        let (mut packet, mut out) = ([0; 400], [0; FRAME_SAMPLES]);
        let encode = cost(frames.len(), || {
            frames.iter().for_each(|frame| _ = std::hint::black_box(encoder.encode(frame, &mut packet)));
        });
        let silence = cost(frames.len(), || {
            frames.iter().for_each(|_| _ = std::hint::black_box(encoder.encode(&[0; FRAME_SAMPLES], &mut packet)));
        });
        let packets = encoded(codec, &frames, config, loss);
        let decode = cost(packets.len(), || {
            packets.iter().for_each(|packet| _ = std::hint::black_box(decoder.decode(packet, &mut out)));
        });
        println!("{name:24} encode {encode:7.2} us, silence {silence:7.2} us, decode {decode:7.2} us");
    };
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        measure(codec.encoding_name(), codec, EncoderConfig::default(), 0.0);
    }
    for complexity in 0..=10 {
        let config = EncoderConfig { complexity, ..EncoderConfig::default() };
        measure(&format!("opus complexity {complexity}"), Codec::Opus, config, 0.0);
    }
    measure("opus, FEC at 10 % loss", Codec::Opus, EncoderConfig::default(), 0.1);
    let mut generator = media::codec::comfort::Generator::new(1);
    generator.set(&media::codec::comfort::ComfortNoise::white(50));
    let mut out = [0; FRAME_SAMPLES];
    let render = cost(frames.len(), || frames.iter().for_each(|_| generator.render(std::hint::black_box(&mut out))));
    println!("comfort noise            render {render:7.2} us");
}
