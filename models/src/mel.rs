//! Log-mel features as Whisper defines them: 25 ms Hann windows every 10 ms, Slaney-style mel filters, log10 clamped to
//! 80 dB under the loudest. Pure arithmetic; allocates only in `new` and for the result.

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// Window and transform length, samples: 25 ms at 16 kHz.
pub(crate) const WINDOW: usize = 400;
/// Step between windows, samples: 10 ms.
pub(crate) const HOP: usize = 160;
/// Frequency bins of one window.
pub(crate) const BINS: usize = WINDOW / 2 + 1;
const HIGHEST_HZ: f64 = 8000.0;
/// Under this the log is flat.
const POWER_FLOOR: f64 = 1e-10;

/// Where the mel scale turns from linear to logarithmic (M. Slaney, Auditory Toolbox, 1998).
const BREAK_HZ: f64 = 1000.0;
const BREAK_MEL: f64 = 15.0;
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;

fn hz_to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / LINEAR_HZ_PER_MEL } else { BREAK_MEL + (hz / BREAK_HZ).ln() / log_step() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < BREAK_MEL { mel * LINEAR_HZ_PER_MEL } else { BREAK_HZ * (log_step() * (mel - BREAK_MEL)).exp() }
}

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

/// Triangular filters of equal area: one row of weights per mel band, one column per frequency bin.
pub(crate) fn filters(bands: usize) -> Vec<[f32; BINS]> {
    let top = hz_to_mel(HIGHEST_HZ);
    let step = top / (bands + 1) as f64;
    let edge = |band: usize| mel_to_hz(if band == bands + 1 { top } else { band as f64 * step });
    let row = |band: usize| {
        let (low, centre, high) = (edge(band), edge(band + 1), edge(band + 2));
        std::array::from_fn(|bin| {
            let hz = bin as f64 * HIGHEST_HZ / (BINS - 1) as f64;
            let rising = (hz - low) / (centre - low);
            let falling = (high - hz) / (high - centre);
            // Rounded before it is scaled, as the published filter tables were.
            let triangle = rising.min(falling).max(0.0) as f32;
            (f64::from(triangle) * (2.0 / (high - low))) as f32
        })
    };
    (0..bands).map(row).collect()
}

/// A filter without its zeros.
struct Band {
    first_bin: usize,
    weights: Vec<f64>,
}

impl Band {
    fn new(filter: &[f32; BINS]) -> Self {
        let first_bin = filter.iter().position(|weight| *weight > 0.0).unwrap_or(0);
        let weights = filter.iter().skip(first_bin).map(|weight| f64::from(*weight)).take_while(|weight| *weight > 0.0);
        Self { first_bin, weights: weights.collect() }
    }

    fn power(&self, spectrum: &[Complex<f64>]) -> f64 {
        let bins = spectrum.get(self.first_bin..).unwrap_or_default();
        self.weights.iter().zip(bins).map(|(weight, bin)| weight * bin.norm_sqr()).sum()
    }
}

/// Computes features of audio.
pub(crate) struct LogMel {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl LogMel {
    pub(crate) fn new(bands: usize) -> Self {
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(WINDOW);
        let phase = |at: usize| std::f64::consts::TAU * at as f64 / WINDOW as f64;
        Self {
            window: (0..WINDOW).map(|at| 0.5 - 0.5 * phase(at).cos()).collect(),
            bands: filters(bands).iter().map(Band::new).collect(),
            frame: vec![0.0; WINDOW],
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Features of `audio`, band by band: `bands` rows of `audio.len() / HOP` values. The audio is mirrored at both
    /// ends; it has to be longer than half a window. Its first `padding` samples are all the same: what lies in them
    /// is computed once.
    pub(crate) fn features(&mut self, audio: &[f32], padding: usize) -> Vec<f32> {
        let frames = audio.len() / HOP;
        let mut out = vec![0f32; frames * self.bands.len()];
        if audio.len() <= WINDOW / 2 {
            return out;
        }
        for number in 0..frames {
            if number == 0 || number * HOP + WINDOW / 2 > padding {
                self.transform(audio, number);
            }
            let column = out.iter_mut().skip(number).step_by(frames);
            for (slot, band) in column.zip(&self.bands) {
                *slot = band.power(&self.spectrum).max(POWER_FLOOR).log10() as f32;
            }
        }
        let loudest = out.iter().copied().fold(f32::MIN, f32::max);
        out.iter_mut().for_each(|value| *value = (value.max(loudest - 8.0) + 4.0) / 4.0);
        out
    }

    fn transform(&mut self, audio: &[f32], number: usize) {
        let last = audio.len() as i64 - 1;
        let start = (number * HOP) as i64 - (WINDOW / 2) as i64;
        for (at, (slot, weight)) in self.frame.iter_mut().zip(&self.window).enumerate() {
            let position = start + at as i64;
            let mirrored = last - (last - position.abs()).abs();
            let sample = usize::try_from(mirrored).ok().and_then(|index| audio.get(index)).copied().unwrap_or(0.0);
            *slot = f64::from(sample) * weight;
        }
        // The lengths are the plan's own, so this cannot fail; a silent frame would follow if it did.
        if self.fft.process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch).is_err() {
            self.spectrum.fill(Complex::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_cover_the_band_with_equal_area() {
        let filters = filters(80);
        assert_eq!(filters.len(), 80);
        // The low bands are narrower than a bin or two: published tables start 0, 0.02486259, 0.
        let first = filters.first().unwrap();
        assert!((first[1] - 0.024_862_59).abs() < 1e-6, "{}", first[1]);
        for (band, filter) in filters.iter().enumerate().skip(40) {
            let area: f32 = filter.iter().sum::<f32>() * 40.0;
            assert!((area - 1.0).abs() < 0.1, "band {band} has area {area}");
        }
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let mut mel = LogMel::new(80);
        let check = |mel: &mut LogMel, hz: f32, want: std::ops::Range<usize>| {
            let audio: Vec<f32> =
                (0..16_000).map(|n| (std::f32::consts::TAU * hz * n as f32 / 16e3).sin() * 0.5).collect();
            let features = mel.features(&audio, 0);
            assert_eq!(features.len(), 80 * 100);
            let loudest = (0..80).max_by(|a, b| features[a * 100 + 50].total_cmp(&features[b * 100 + 50])).unwrap();
            assert!(want.contains(&loudest), "{hz} Hz is loudest in band {loudest}");
        };
        check(&mut mel, 440.0, 10..14);
        check(&mut mel, 1000.0, 24..29);
        check(&mut mel, 4000.0, 60..65);
    }

    #[test]
    fn short_audio_is_silence_not_a_panic() {
        let mut mel = LogMel::new(80);
        assert!(mel.features(&[], 0).is_empty());
        assert_eq!(mel.features(&[0.1; 200], 0).len(), 80);
        assert!(mel.features(&[0.0; 16_000], 0).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn padding_is_computed_once_and_comes_out_the_same() {
        let mut mel = LogMel::new(80);
        let check = |mel: &mut LogMel, padding: usize| {
            let mut audio = vec![-0.25f32; padding];
            audio.extend((0..16_000 - padding).map(|n| (n as f32 * 0.7).sin()));
            assert!(mel.features(&audio, padding) == mel.features(&audio, 0), "{padding} samples");
        };
        [0, 1, 200, 201, 359, 360, 361, 400, 8_000, 15_999, 16_000]
            .into_iter()
            .for_each(|padding| check(&mut mel, padding));
    }
}
