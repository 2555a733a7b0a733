//! A waveform that nobody utters, and its finder: what lies in bytes is read as each kind of samples, and windows of it are
//! correlated with one period of the wave, so that neither a codec's rounding, loudness nor where it begins hides it.

use std::fmt;
use std::sync::OnceLock;

/// 125 Hz: 64 samples at 8 kHz, a voice's pitch.
const PITCH_HZ: f64 = 125.0;
/// Of each harmonic from the first: formants of a vowel.
const HARMONICS: [f64; 20] = [
    0.55, 0.70, 0.60, 0.80, 1.00, 0.90, 0.55, 0.50, 0.60, 0.45, 0.25, 0.15, 0.10, 0.12, 0.10, 0.08, 0.10, 0.15, 0.20,
    0.15,
];
/// Sample rates at which sound lies anywhere, in periods of the wave.
const PERIODS: [usize; 3] = [64, 128, 384];
/// A window has so many periods and begins at every half of one: a frame of 20 ms always holds a whole window.
const WINDOW: usize = 2;
/// What still counts as the wave: mu-law alone gives 0.99, a noisy line 0.9.
const ALIKE: f32 = 0.8;
/// First look, at every fourth sample.
const PERHAPS: f32 = 0.5;
const SPARSE: usize = 4;

/// How samples lie in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    MuLaw,
    ALaw,
    Pcm16Le,
    Pcm16Be,
    F32,
    /// As a call keeps its caller's sound in memory, see `models/src/sound.rs`.
    Packed,
}

/// Those with as many bytes for each sample.
pub const KINDS: [Kind; 5] = [Kind::MuLaw, Kind::ALaw, Kind::Pcm16Le, Kind::Pcm16Be, Kind::F32];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MuLaw => "mu-law",
            Self::ALaw => "A-law",
            Self::Pcm16Le => "PCM16 LE",
            Self::Pcm16Be => "PCM16 BE",
            Self::F32 => "f32",
            Self::Packed => "packed",
        })
    }
}

impl Kind {
    pub fn width(self) -> usize {
        match self {
            Self::MuLaw | Self::ALaw | Self::Packed => 1,
            Self::Pcm16Le | Self::Pcm16Be => 2,
            Self::F32 => 4,
        }
    }

    /// The bytes as samples.
    fn read(self, bytes: &[u8], samples: &mut Vec<f32>) {
        samples.clear();
        match self {
            Self::MuLaw => samples.extend(bytes.iter().map(|b| mu_law()[usize::from(*b)])),
            Self::ALaw => samples.extend(bytes.iter().map(|b| a_law()[usize::from(*b)])),
            Self::Pcm16Le => samples.extend(bytes.as_chunks().0.iter().map(|b| f32::from(i16::from_le_bytes(*b)))),
            Self::Pcm16Be => samples.extend(bytes.as_chunks().0.iter().map(|b| f32::from(i16::from_be_bytes(*b)))),
            Self::F32 => samples.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::Packed => {
                unpack(bytes, samples);
            }
        }
    }
}

/// Samples of a packed block; it takes 1 + 16 bytes, and half a byte or one more for each sample.
const BLOCK: usize = 16;
/// Fewer blocks in a row are no frame of 20 ms, and may be anything.
const BLOCKS_MIN: usize = 16;

/// The blocks from the beginning of these bytes on, up to what is none or is silent; how many bytes they take.
fn unpack(bytes: &[u8], samples: &mut Vec<f32>) -> usize {
    let mut at = 0;
    while let Some((bits @ (0 | 4 | 8), rest)) =
        bytes[at..].split_first().map(|(bits, rest)| (usize::from(*bits), rest))
    {
        let Some((upper, lower)) = rest.split_first_chunk::<BLOCK>() else { break };
        let Some(lower) = lower.get(..bits * BLOCK / 8) else { break };
        if upper.iter().all(|byte| *byte == 0) {
            break;
        }
        samples.extend(upper.iter().enumerate().map(|(n, upper)| {
            let low = match bits {
                0 => 0,
                4 => i32::from(lower[n / 2] >> (4 - n % 2 * 4) & 15),
                _ => i32::from(lower[n]),
            };
            (i32::from(upper.cast_signed()) << bits | low) as f32
        }));
        at += 1 + BLOCK + bits * BLOCK / 8;
    }
    at
}

/// The wave in packed blocks, wherever they begin.
fn find_packed(bytes: &[u8], samples: &mut Vec<f32>, mut found: impl FnMut(usize)) {
    let mut at = 0;
    while at < bytes.len() {
        samples.clear();
        let taken = unpack(&bytes[at..], samples);
        if samples.len() < BLOCKS_MIN * BLOCK {
            at += 1;
            continue;
        }
        templates().iter().for_each(|template| find_one(samples, template, |_| found(at)));
        at += taken;
    }
}

/// The wave as a signal of this rate, as loud as speech, swelling a little as syllables do.
pub fn wave(rate: u32, seconds: f32) -> Vec<i16> {
    let samples = (f64::from(seconds) * f64::from(rate)) as usize;
    let loudest = period(64).iter().fold(0f32, |most, x| most.max(x.abs()));
    let at = |n: usize| {
        let t = n as f64 / f64::from(rate);
        let swell = 0.75 + 0.25 * (t * 3.5 * std::f64::consts::TAU).sin();
        (value(t) / f64::from(loudest) * swell * 14_000.0) as i16
    };
    (0..samples).map(at).collect()
}

/// Phases that grow as squares spread a period evenly (Schroeder, 1970): no voice and no train of pulses does.
fn value(t: f64) -> f64 {
    let harmonic = |(k, amplitude): (usize, f64)| {
        let k = (k + 1) as f64;
        let turns = PITCH_HZ * k * t - k * k / (2.0 * HARMONICS.len() as f64);
        amplitude * (std::f64::consts::TAU * turns).cos()
    };
    HARMONICS.into_iter().enumerate().map(harmonic).sum()
}

/// One period in so many samples.
fn period(samples: usize) -> Vec<f32> {
    (0..samples).map(|n| value(n as f64 / samples as f64 / PITCH_HZ) as f32).collect()
}

struct Template {
    period: Vec<f32>,
    norm: f32,
}

fn templates() -> &'static [Template] {
    static MADE: OnceLock<Vec<Template>> = OnceLock::new();
    MADE.get_or_init(|| {
        let make = |samples: usize| {
            let period = period(samples);
            let norm = period.iter().map(|x| x * x).sum::<f32>().sqrt();
            Template { period, norm }
        };
        PERIODS.map(make).into_iter().collect()
    })
}

/// Every window that is the wave: how it lies there, and where.
pub fn find(bytes: &[u8], mut found: impl FnMut(Kind, usize)) {
    let mut samples = Vec::with_capacity(bytes.len());
    for kind in KINDS {
        for shift in 0..kind.width() {
            let Some(bytes) = bytes.get(shift..) else { return };
            kind.read(bytes, &mut samples);
            for template in templates() {
                find_one(&samples, template, |at| found(kind, shift + at * kind.width()));
            }
        }
    }
    find_packed(bytes, &mut samples, |at| found(Kind::Packed, at));
}

fn find_one(samples: &[f32], template: &Template, mut found: impl FnMut(usize)) {
    let period = template.period.len();
    let half = period / 2;
    let mut before = Likeness::default();
    for at in (0..samples.len().saturating_sub(half + period)).step_by(half) {
        let now = Likeness::of(&samples[at..at + half], &samples[at + period..at + period + half]);
        if let Some(start) = at.checked_sub(half)
            && before.and(&now).is_there()
            && let Some(window) = samples.get(start..start + WINDOW * period)
            && is_wave(window, template)
        {
            found(start);
        }
        before = now;
    }
}

/// Cheap: whether a stretch resembles what comes a period later. Neither silence nor what is no sound does.
#[derive(Default)]
struct Likeness {
    n: f32,
    sums: [f32; 5],
}

impl Likeness {
    fn of(first: &[f32], second: &[f32]) -> Self {
        let mut of = Self::default();
        let mut at = 0;
        while at < first.len() {
            let (x, y) = (first[at], second[at]);
            of.sums[0] += x;
            of.sums[1] += y;
            of.sums[2] += x * y;
            of.sums[3] += x * x;
            of.sums[4] += y * y;
            of.n += 1.0;
            at += SPARSE;
        }
        of
    }

    fn and(&self, other: &Self) -> Self {
        Self { n: self.n + other.n, sums: std::array::from_fn(|i| self.sums[i] + other.sums[i]) }
    }

    fn is_there(&self) -> bool {
        let [x, y, xy, xx, yy] = self.sums;
        let n = self.n;
        let (both, first, second) = (n * xy - x * y, n * xx - x * x, n * yy - y * y);
        // What is no number is no wave either: the comparisons are false.
        first > 0.0 && second > 0.0 && both.is_finite() && both > PERHAPS * (first * second).sqrt()
    }
}

/// The window folded to one period and turned through every phase.
fn is_wave(window: &[f32], template: &Template) -> bool {
    let period = template.period.len();
    let mut folded = vec![0f32; period];
    let mut energy = 0f32;
    let mean = window.iter().sum::<f32>() / window.len() as f32;
    for (n, x) in window.iter().enumerate() {
        folded[n % period] += x - mean;
        energy += (x - mean) * (x - mean);
    }
    // A wave that repeats keeps all of its energy when it is folded.
    let whole = (energy * WINDOW as f32).sqrt() * template.norm;
    let turned = |phase: usize| -> f32 {
        let (head, tail) = template.period.split_at(phase);
        tail.iter().chain(head).zip(&folded).map(|(t, x)| t * x).sum()
    };
    let repeated = folded.iter().map(|x| x * x).sum::<f32>().sqrt() * template.norm;
    // What is constant repeats too; and what does not repeat to the last sample is not turned.
    if !(whole.is_finite() && whole > 0.0 && repeated > ALIKE * whole) {
        return false;
    }
    (0..period).any(|phase| turned(phase).abs() > ALIKE * whole)
}

// ITU-T G.711, written out here so that the gateway's own codec is not what it is tested by.

fn mu_law() -> &'static [f32; 256] {
    static TABLE: OnceLock<[f32; 256]> = OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|code| {
            let code = !(code as u8);
            let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
            let size = ((mantissa * 2 + 33) << exponent) - 33;
            (if code & 0x80 != 0 { -size } else { size }) as f32 * 4.0
        })
    })
}

fn a_law() -> &'static [f32; 256] {
    static TABLE: OnceLock<[f32; 256]> = OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|code| {
            let code = code as u8 ^ 0x55;
            let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
            let size = if exponent == 0 { mantissa * 2 + 1 } else { (mantissa * 2 + 33) << (exponent - 1) };
            (if code & 0x80 != 0 { size } else { -size }) as f32 * 8.0
        })
    })
}

/// Samples as they would lie there.
pub fn written(samples: &[i16], kind: Kind) -> Vec<u8> {
    let nearest = |table: &[f32; 256], x: i16| {
        let off = |code: &u8| (table[usize::from(*code)] - f32::from(x)).abs();
        (0..=255u8).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0)
    };
    match kind {
        Kind::MuLaw => samples.iter().map(|x| nearest(mu_law(), *x)).collect(),
        Kind::ALaw => samples.iter().map(|x| nearest(a_law(), *x)).collect(),
        Kind::Pcm16Le => samples.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Kind::Pcm16Be => samples.iter().flat_map(|x| x.to_be_bytes()).collect(),
        Kind::F32 => samples.iter().flat_map(|x| (f32::from(*x) / 32768.0).to_le_bytes()).collect(),
        Kind::Packed => samples.as_chunks().0.iter().flat_map(pack).collect(),
    }
}

fn pack(block: &[i16; BLOCK]) -> Vec<u8> {
    let fits = |bits: i16| block.iter().all(|x| (-128..128).contains(&(x >> bits)));
    let bits = if fits(0) {
        0
    } else if fits(4) {
        4
    } else {
        8
    };
    let upper = block.iter().map(|x| (x >> bits) as u8);
    let lower: Vec<u8> = match bits {
        0 => vec![],
        4 => block.chunks(2).map(|pair| (pair[0] << 4) as u8 | (pair[1] & 15) as u8).collect(),
        _ => block.iter().map(|x| *x as u8).collect(),
    };
    std::iter::once(bits as u8).chain(upper).chain(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junk;

    fn found(bytes: &[u8]) -> Vec<Kind> {
        let mut all = vec![];
        find(bytes, |kind, _| all.push(kind));
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn every_kind_is_found_at_every_rate_and_offset() {
        for rate in [8000, 16_000, 48_000] {
            // One frame.
            let short = &wave(rate, 0.3)[rate as usize / 10..][..rate as usize / 50];
            for kind in KINDS {
                for lead in 0..4 {
                    let mut bytes = junk(lead, 3000 + 7 * lead as usize);
                    bytes.extend(written(short, kind));
                    bytes.extend(junk(9, 2000));
                    let all = found(&bytes);
                    assert!(all.contains(&kind), "{kind} at {rate} Hz after {lead}: {all:?}");
                }
            }
        }
    }

    #[test]
    fn it_is_found_as_a_call_keeps_it_loud_and_soft() {
        for quieter in [1, 10, 100] {
            let wave: Vec<i16> = wave(16_000, 0.3)[1600..][..320].iter().map(|x| x / quieter).collect();
            for lead in 0..34 {
                let mut bytes = junk(lead, 500 + lead as usize);
                bytes.extend(written(&wave, Kind::Packed));
                bytes.extend(junk(9, 500));
                assert_eq!(found(&bytes), [Kind::Packed], "1/{quieter} after {lead}");
            }
        }
    }

    #[test]
    fn rounding_loudness_noise_and_a_filter_do_not_hide_it() {
        let clean = wave(8000, 0.4);
        let noise = junk(3, clean.len());
        let noisy: Vec<i16> = clean.iter().zip(&noise).map(|(x, n)| x / 8 + (i16::from(*n) - 128) * 3).collect();
        assert!(found(&written(&noisy, Kind::Pcm16Le)).contains(&Kind::Pcm16Le));
        // A one-pole filter, as a cheap line has it.
        let mut last = 0f32;
        let dull: Vec<i16> = clean
            .iter()
            .map(|x| {
                last += 0.7 * (f32::from(*x) - last);
                last as i16
            })
            .collect();
        assert!(found(&written(&dull, Kind::MuLaw)).contains(&Kind::MuLaw));
        let quiet: Vec<i16> = clean.iter().map(|x| x / 100).collect();
        assert!(found(&written(&quiet, Kind::F32)).contains(&Kind::F32));
    }

    #[test]
    fn nothing_else_is_taken_for_it() {
        assert_eq!(found(&junk(1, 1 << 20)), [], "noise");
        assert_eq!(found(&vec![0; 1 << 16]), [], "silence");
        assert_eq!(found(&vec![0x7f; 1 << 16]), [], "a constant");
        let counted: Vec<u8> = (0..1u32 << 14).flat_map(u32::to_le_bytes).collect();
        assert_eq!(found(&counted), [], "a counter");
        for hz in [125.0, 250.0, 625.0, 1000.0] {
            let tone = |n: u32| (9000.0 * (f64::from(n) * hz / 8000.0 * std::f64::consts::TAU).sin()) as i16;
            let tone: Vec<i16> = (0..8000).map(tone).collect();
            for kind in KINDS {
                assert_eq!(found(&written(&tone, kind)), [], "{hz} Hz as {kind}");
            }
        }
        // Another voice of the same pitch.
        let pulses: Vec<i16> = (0..8000).map(|n: usize| if n % 64 < 3 { 12_000 } else { -500 }).collect();
        assert_eq!(found(&written(&pulses, Kind::Pcm16Le)), [], "pulses");
    }

    #[test]
    fn recorded_speech_is_not_taken_for_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/callers");
        for file in std::fs::read_dir(folder).expect("recordings").flatten() {
            let bytes = std::fs::read(file.path()).expect("readable");
            assert_eq!(found(&bytes), [], "{:?}", file.file_name());
        }
    }
}
