//! Streaming 8 kHz <-> 16 kHz with one half-band filter in polyphase form: 1.4 ms of delay, no
//! allocation. It knows no other rates.

use crate::wide::{Kernel, Machine, wide};

/// Samples at 8 kHz that are worked on at a time: 20 ms.
const BLOCK: usize = 160;

/// Non-zero side taps of the half-band filter, both sides.
const TAPS: usize = 24;
/// Half of them; the filter is symmetric.
const HALF: usize = TAPS / 2;
/// Samples kept from the past: the filter's reach.
const PAST: usize = TAPS - 1;

/// One side of the filter, from the outermost tap to the one beside the centre: a 47-tap sinc with its
/// cutoff at a quarter of the rate, under a Kaiser window of beta 5.65 (60 dB), scaled so that the taps
/// sum to exactly 1 (unit gain). The test derives it again.
#[rustfmt::skip]
const SIDE: [f32; HALF] = [
    -0.000_999_565, 0.002_449_64, -0.004_857_274, 0.008_570_93, -0.014_030_37, 0.021_831_612,
    -0.032_880_873, 0.048_775_71, -0.072_863_19, 0.113_858_86, -0.203_950_87, 0.634_095_4,
];

/// From 8 kHz to 16 kHz.
#[derive(Clone)]
pub struct Upsampler {
    past: [f32; PAST],
}

impl Default for Upsampler {
    fn default() -> Self {
        Upsampler { past: [0.0; PAST] }
    }
}

impl Upsampler {
    /// Writes two samples for each one read, as many as both slices allow; returns how many were written.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        self.extend(input.iter().map(|s| f32::from(*s)), out)
    }

    /// The same from wherever samples come, such as a decoder's table, without a buffer between: in the
    /// range of an `i16`.
    pub fn extend(&mut self, mut input: impl ExactSizeIterator<Item = f32>, out: &mut [i16]) -> usize {
        out.chunks_mut(2 * BLOCK).map(|out| wide(Up(self, &mut input, out))).sum()
    }
}

/// One block from 8 kHz to 16 kHz.
struct Up<'a, I>(&'a mut Upsampler, &'a mut I, &'a mut [i16]);

impl<I: ExactSizeIterator<Item = f32>> Kernel for Up<'_, I> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: impl Machine) -> usize {
        let Up(Upsampler { past }, input, out) = self;
        let n = input.len().min(out.len() / 2).min(BLOCK);
        let mut line = [0.0; PAST + BLOCK];
        load(&mut line, past, input, n);
        let mut side = [0.0; BLOCK];
        filter(&line, &mut side[..n]);
        // Of an input with zeros between its samples, one output in two falls on the centre tap alone.
        let pairs = out.as_chunks_mut::<2>().0.iter_mut();
        for ((pair, side), centre) in pairs.zip(&side[..n]).zip(&line[HALF..]) {
            *pair = [to_i16(*side), to_i16(*centre)];
        }
        2 * n
    }
}

/// From 16 kHz to 8 kHz.
#[derive(Clone)]
pub struct Downsampler {
    even: [f32; PAST],
    odd: [f32; PAST],
}

impl Default for Downsampler {
    fn default() -> Self {
        Downsampler { even: [0.0; PAST], odd: [0.0; PAST] }
    }
}

impl Downsampler {
    /// Writes one sample for each two read, as many as both slices allow; returns how many were written.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        input.chunks(2 * BLOCK).zip(out.chunks_mut(BLOCK)).map(|(input, out)| wide(Down(self, input, out))).sum()
    }
}

/// One block from 16 kHz to 8 kHz.
struct Down<'a>(&'a mut Downsampler, &'a [i16], &'a mut [i16]);

impl Kernel for Down<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: impl Machine) -> usize {
        let Down(past, input, out) = self;
        let n = (input.len() / 2).min(out.len()).min(BLOCK);
        let (pairs, _) = input.as_chunks::<2>();
        let mut even = [0.0; PAST + BLOCK];
        let mut odd = [0.0; PAST + BLOCK];
        load(&mut even, &mut past.even, pairs.iter().map(|p| f32::from(p[0])), n);
        load(&mut odd, &mut past.odd, pairs.iter().map(|p| f32::from(p[1])), n);
        let mut side = [0.0; BLOCK];
        filter(&even, &mut side[..n]);
        for ((out, side), centre) in out.iter_mut().zip(&side[..n]).zip(&odd[HALF - 1..]) {
            *out = to_i16(0.5 * (side + centre));
        }
        n
    }
}

/// The past and `n` new samples in a row, and the new past.
#[inline(always)]
fn load(line: &mut [f32; PAST + BLOCK], past: &mut [f32; PAST], input: impl Iterator<Item = f32>, n: usize) {
    line[..PAST].copy_from_slice(past);
    for (to, from) in line[PAST..PAST + n].iter_mut().zip(input) {
        *to = from;
    }
    past.copy_from_slice(&line[n..n + PAST]);
}

/// The side taps at twice their size. The loop over taps is short and unrolled, so that the one over
/// samples runs in vector registers.
#[inline(always)]
fn filter(line: &[f32; PAST + BLOCK], out: &mut [f32]) {
    for (n, out) in out.iter_mut().enumerate().take(BLOCK) {
        let mut sum = 0.0;
        for k in 0..HALF {
            sum += SIDE[k] * (line[n + k] + line[n + PAST - k]);
        }
        *out = sum;
    }
}

/// Rounds and saturates. Among the floats from 2^23 to 2^24 the last bit is one: the sum with one of them is
/// rounded, and its low bits are the number. A conversion would look for infinities at four times the cost.
#[inline(always)]
fn to_i16(x: f32) -> i16 {
    const ONES: f32 = 12_582_912.0;
    (x.clamp(-32_768.0, 32_767.0) + ONES).to_bits() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// A tone of `hz`, cut into blocks of changing length as a leg might.
    fn tone(hz: f64, rate: f64, amplitude: f64, n: usize) -> Vec<i16> {
        (0..n).map(|i| (amplitude * (2.0 * PI * hz * i as f64 / rate).sin()).round() as i16).collect()
    }

    /// Amplitude of `hz` in the audio, by correlation over a Hann window.
    fn amplitude(audio: &[i16], hz: f64, rate: f64) -> f64 {
        let n = audio.len() as f64;
        let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
        for (i, s) in audio.iter().enumerate() {
            let w = 0.5 - 0.5 * (2.0 * PI * i as f64 / n).cos();
            let phase = 2.0 * PI * hz * i as f64 / rate;
            re += w * f64::from(*s) * phase.cos();
            im += w * f64::from(*s) * phase.sin();
            weight += w;
        }
        2.0 * (re * re + im * im).sqrt() / weight
    }

    fn db(ratio: f64) -> f64 {
        20.0 * ratio.max(1e-9).log10()
    }

    fn up(input: &[i16]) -> Vec<i16> {
        let mut filter = Upsampler::default();
        let mut out = vec![0; input.len() * 2];
        let mut done = 0;
        for len in [160, 7, 80, 1, 40, 500].into_iter().cycle() {
            let block = &input[done..input.len().min(done + len)];
            assert_eq!(filter.process(block, &mut out[2 * done..]), 2 * block.len());
            done += block.len();
            if done == input.len() {
                return out;
            }
        }
        out
    }

    fn down(input: &[i16]) -> Vec<i16> {
        let mut filter = Downsampler::default();
        let mut out = vec![0; input.len() / 2];
        let n: usize = input.chunks(320).zip(out.chunks_mut(160)).map(|(i, o)| filter.process(i, o)).sum();
        assert_eq!(n, input.len() / 2);
        out
    }

    #[test]
    fn the_table_is_the_kaiser_sinc() {
        let i0 = |x: f64| (1..40).rev().fold(1.0, |sum, k| 1.0 + sum * (x / 2.0 / f64::from(k)).powi(2));
        let tap = |k: usize| {
            let d = 2.0 * k as f64 - 23.0;
            let window = i0(5.65 * (1.0 - (d / 24.0).powi(2)).sqrt()) / i0(5.65);
            window * (PI * d / 2.0).sin() / (PI * d / 2.0)
        };
        let sum: f64 = 2.0 * (0..HALF).map(tap).sum::<f64>();
        for (k, side) in SIDE.iter().enumerate() {
            assert!((f64::from(*side) - tap(k) / sum).abs() < 1e-6, "tap {k}");
        }
    }

    #[test]
    fn the_pass_band_is_flat_and_images_are_gone() {
        for hz in [100.0, 300.0, 1_000.0, 2_000.0, 3_000.0, 3_400.0] {
            let audio = up(&tone(hz, 8_000.0, 10_000.0, 4_000));
            let gain = db(amplitude(&audio[200..], hz, 16_000.0) / 10_000.0);
            assert!(gain.abs() < 0.05, "up {hz} Hz: {gain} dB");
            let image = db(amplitude(&audio[200..], 8_000.0 - hz, 16_000.0) / 10_000.0);
            assert!(image < -58.0, "image of {hz} Hz: {image} dB");

            let audio = down(&tone(hz, 16_000.0, 10_000.0, 8_000));
            let gain = db(amplitude(&audio[200..], hz, 8_000.0) / 10_000.0);
            assert!(gain.abs() < 0.05, "down {hz} Hz: {gain} dB");
            let audio = down(&tone(8_000.0 - hz, 16_000.0, 10_000.0, 8_000));
            let alias = db(amplitude(&audio[200..], hz, 8_000.0) / 10_000.0);
            assert!(alias < -58.0, "alias of {} Hz: {alias} dB", 8_000.0 - hz);
        }
    }

    #[test]
    fn up_and_down_again_is_a_delay() {
        let input: Vec<i16> = tone(440.0, 8_000.0, 8_000.0, 1_600);
        let output = down(&up(&input));
        // 23 of 47 taps at 16 kHz, twice: 23 samples at 8 kHz.
        let worst = (200..1_600).map(|i| (output[i] - input[i - 23]).abs()).max().unwrap();
        assert!(worst <= 12, "off by {worst}");
    }

    #[test]
    fn full_scale_saturates_instead_of_wrapping() {
        let square: Vec<i16> = (0..800).map(|i| if i / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let audio = up(&square);
        for (i, s) in audio.iter().enumerate().skip(100) {
            // Beside the edges the sign is that of the input, 23 samples ago.
            let at = (i - 23) / 2;
            if (4..16).contains(&(at % 20)) {
                assert!((*s > 25_000) == (square[at] > 0), "sample {i}: {s}");
            }
        }
    }
}
