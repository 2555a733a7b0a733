//! Keys against the world: recorded events, tones at the limits of ITU-T Q.24, and an hour of speech in
//! which there are none. It reads what Debian's sip-tester and asterisk-core-sounds-*-wav install.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use media::dtmf::{Digit, Receiver, ToneDetector};
use media::resample::Upsampler;
use media::rtp::Packet;
use media::{FRAME_MS, FRAME_SAMPLES};

const KEYS: &str = "123A456B789C*0#D";
/// Samples of a packet at 8 kHz.
const PACKET: usize = 160;
/// A sine of 0 dBm0: 3.17 dB below the overload of mu-law (ITU-T G.711, table 5).
const DBM0: f64 = 22_302.0;

#[test]
fn every_key_of_sip_testers_recordings_is_found() {
    let mut together = Receiver::default();
    for name in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound"] {
        let path = format!("/usr/share/sip-tester/dtmf_2833_{name}.pcap");
        let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}: install sip-tester"));
        let key = name.replace("star", "*").replace("pound", "#");
        // One after the other they go back in time: each was cut from another place of one call.
        for receiver in [&mut Receiver::default(), &mut together] {
            let events = datagrams(&file).into_iter().filter_map(|datagram| {
                let packet = Packet::parse(datagram).unwrap();
                receiver.push(packet.header.timestamp, packet.header.marker, packet.payload)
            });
            assert_eq!(events.map(Digit::as_char).collect::<String>(), key, "{path}");
            assert!(!receiver.is_down(), "{path}");
        }
    }
}

/// UDP payloads of a little-endian pcap of Ethernet and IPv4.
fn datagrams(file: &[u8]) -> Vec<&[u8]> {
    assert_eq!(file[..4], [0xD4, 0xC3, 0xB2, 0xA1]);
    let (mut rest, mut datagrams) = (&file[24..], Vec::new());
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let ip = &rest[16 + 14..16 + len];
        datagrams.push(&ip[usize::from(ip[0] & 15) * 4 + 8..]);
        rest = &rest[16 + len..];
    }
    datagrams
}

#[derive(Copy, Clone, Debug)]
enum Law {
    Mu,
    A,
}

/// Through the codec and back (ITU-T G.711), as its formulas say: 8 segments of 16 steps.
fn coded(law: Law, sample: i16) -> i16 {
    let (magnitude, bias) = match law {
        Law::Mu => ((i32::from(sample).abs() >> 2).min(8_158) + 33, 33),
        Law::A => ((i32::from(sample).abs() >> 3).min(4_095), 0),
    };
    let segment = (magnitude >> if bias > 0 { 6 } else { 5 }).checked_ilog2().map_or(0, |n| n + u32::from(bias == 0));
    let shift = if bias > 0 { segment + 1 } else { segment.max(1) };
    let middle = ((magnitude >> shift) << shift) + (1 << shift >> 1) - bias;
    let linear = (middle << if bias > 0 { 2 } else { 3 }).min(32_767) as i16;
    if sample < 0 { -linear } else { linear }
}

/// Numbers that are the same every time (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Near enough to a normal distribution: mean 0, deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// What a line does to a tone.
#[derive(Copy, Clone, Debug)]
struct Line {
    law: Law,
    /// Of the weaker tone.
    level_dbm0: f64,
    /// The column over the row.
    twist_db: f64,
    /// Both frequencies.
    off_percent: f64,
    /// Of both tones over white noise.
    snr_db: f64,
}

const GOOD: Line = Line { law: Law::Mu, level_dbm0: -10.0, twist_db: 0.0, off_percent: 0.0, snr_db: 60.0 };

/// Audio at 8 kHz of `keys`; each is on and off for these milliseconds in turn, the last off is followed by
/// 100 ms more. It starts at some place within a packet.
fn tones(keys: &str, on_off_ms: &[f64], line: Line, noise: &mut Noise) -> Vec<i16> {
    const HZ: [[f64; 4]; 2] = [[697.0, 770.0, 852.0, 941.0], [1_209.0, 1_336.0, 1_477.0, 1_633.0]];
    let amplitude = |db: f64| DBM0 * 10f64.powf(db / 20.0);
    let row = amplitude(line.level_dbm0 + (-line.twist_db).max(0.0));
    let column = amplitude(line.level_dbm0 + line.twist_db.max(0.0));
    let deviation = ((row * row + column * column) / 2.0).sqrt() * 10f64.powf(-line.snr_db / 20.0);
    let mut audio = vec![0.0; 400 + (noise.next() * 160.0) as usize];
    for key in keys.chars() {
        let at = KEYS.find(key).unwrap();
        let off = 1.0 + line.off_percent / 100.0;
        let hz = [HZ[0][at / 4] * off, HZ[1][at % 4] * off];
        let phases = [noise.next() * TAU, noise.next() * TAU];
        for (n, ms) in on_off_ms.iter().enumerate() {
            let loud = f64::from(u8::from(n % 2 == 0));
            let start = audio.len();
            audio.extend((0..(ms * 8.0) as usize).map(|i| {
                let wave = |k: usize| (TAU * hz[k] * (start + i) as f64 / 8_000.0 + phases[k]).sin();
                loud * (row * wave(0) + column * wave(1))
            }));
        }
    }
    audio.extend([0.0; 800]);
    audio.iter().map(|s| coded(line.law, (s + deviation * noise.normal()) as i16)).collect()
}

/// The keys a fresh detector hears in audio at 8 kHz.
fn heard(audio: &[i16]) -> String {
    let (mut detector, mut upsampler) = (ToneDetector::default(), Upsampler::default());
    let mut keys = String::new();
    for packet in audio.chunks_exact(PACKET) {
        let mut frame = [0; FRAME_SAMPLES];
        upsampler.process(packet, &mut frame);
        keys.extend(detector.frame(&frame).pressed.map(Digit::as_char));
    }
    keys
}

/// All sixteen keys, five times from different places: `Some(times)` each is to be heard.
fn check(line: Line, on_off_ms: &[f64], times: usize) {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    for law in [Law::Mu, Law::A] {
        let line = Line { law, ..line };
        let expected: String = KEYS.chars().flat_map(|key| std::iter::repeat_n(key, times)).collect();
        for _ in 0..5 {
            let audio = tones(KEYS, on_off_ms, line, &mut noise);
            assert_eq!(heard(&audio), expected, "{line:?} {on_off_ms:?}");
        }
    }
}

#[test]
fn tones_within_the_limits_are_keys() {
    // Q.24, table 1: levels, twist, frequencies and times that a receiver must accept, at their worst together.
    for level_dbm0 in [0.0, -3.0, -10.0, -20.0, -25.0, -30.0] {
        for twist_db in [-8.0, -4.0, 0.0, 4.0] {
            if level_dbm0 + f64::abs(twist_db) > 0.0 {
                continue;
            }
            for off_percent in [-1.5, 0.0, 1.5] {
                for snr_db in [60.0, 15.0] {
                    check(Line { level_dbm0, twist_db, off_percent, snr_db, ..GOOD }, &[40.0, 40.0], 1);
                }
            }
        }
    }
}

#[test]
fn twists_beyond_the_table_are_keys_too() {
    for twist_db in [-11.0, 7.0] {
        check(Line { level_dbm0: -20.0, twist_db, snr_db: 20.0, ..GOOD }, &[50.0, 50.0], 1);
    }
}

#[test]
fn tones_beyond_the_limits_are_not() {
    for off_percent in [-5.0, -4.0, -3.5, 3.5, 4.0, 5.0] {
        check(Line { off_percent, ..GOOD }, &[100.0, 100.0], 0);
    }
    check(Line { level_dbm0: -35.0, ..GOOD }, &[100.0, 100.0], 0);
    for twist_db in [-14.0, 10.0] {
        check(Line { level_dbm0: -20.0, twist_db, ..GOOD }, &[100.0, 100.0], 0);
    }
    for snr_db in [60.0, 15.0] {
        check(Line { snr_db, ..GOOD }, &[23.0, 100.0], 0);
    }
}

#[test]
fn a_gap_splits_a_key_only_if_it_is_a_pause() {
    for snr_db in [60.0, 20.0] {
        let line = Line { snr_db, ..GOOD };
        check(line, &[50.0, 10.0, 50.0, 60.0], 1);
        check(line, &[60.0, 20.0, 60.0, 60.0], 1); // a packet lost and not concealed
        check(line, &[40.0, 40.0, 40.0, 60.0], 2);
        check(line, &[2_000.0, 40.0], 1);
    }
}

#[test]
fn an_hour_of_speech_has_no_keys() {
    let mut files = Vec::new();
    for language in ["en", "es", "ru"] {
        let before = files.len();
        for at in std::fs::read_dir("/usr/share/asterisk/sounds").into_iter().flatten().flatten() {
            let named = at.file_name().to_string_lossy().starts_with(&format!("{language}_"));
            if named && !at.path().is_symlink() {
                collect(&at.path(), &mut files);
            }
        }
        assert!(files.len() > before, "no speech: install asterisk-core-sounds-{language}-wav");
    }
    files.sort();
    let (mut noise, mut samples, mut found) = (Noise(88_172_645_463_325_252), 0, Vec::new());
    for path in &files {
        let mut wav = hound::WavReader::open(path).unwrap();
        assert_eq!((wav.spec().sample_rate, wav.spec().channels), (8_000, 1), "{}", path.display());
        let speech: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
        samples += speech.len();
        let clean: Vec<i16> = speech.iter().map(|s| coded(Law::Mu, *s)).collect();
        // One packet in twenty is lost; the one before is played again.
        let mut lossy: Vec<i16> = speech.iter().map(|s| coded(Law::A, *s)).collect();
        for start in (PACKET..lossy.len().saturating_sub(PACKET)).step_by(PACKET) {
            if noise.next() < 0.05 {
                lossy.copy_within(start - PACKET..start, start);
            }
        }
        for (what, audio) in [("mu-law", clean), ("A-law with loss", lossy)] {
            let keys = heard(&audio);
            if !keys.is_empty() {
                found.push(format!("{keys} in {} ({what})", path.display()));
            }
        }
    }
    let minutes = samples as u32 / PACKET as u32 * FRAME_MS / 60_000;
    println!("{minutes} min of speech in {} files, twice: {} keys", files.len(), found.len());
    assert!(minutes >= 60, "only {minutes} min of speech");
    assert!(found.is_empty(), "{found:#?}");
}

/// All recordings below.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            files.push(path);
        }
    }
}
