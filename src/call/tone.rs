//! Whether a frame is one pure tone: a beep. Arithmetic only; it keeps nothing.

use media::level::{mean_square, mean_square_of_dbfs};

/// Samples a second of every frame.
const RATE_HZ: f32 = 16_000.0;
/// Softer than this there is no tone to speak of.
const TONE_DBFS: f32 = -35.0;
/// A tone's share of the frame's energy. Speech has harmonics beside its strongest one.
const PURE: f32 = 0.9;
/// Tones of machines: beeps, and the special information tones of ITU-T E.180.
const TONE_HZ: std::ops::RangeInclusive<f32> = 350.0..=2_500.0;

/// Of a frame at 16 kHz. The crossings of zero give a pure tone's frequency to a per cent; the energy at it tells whether it is one.
pub fn pure_tone_hz(samples: &[i16]) -> Option<u16> {
    let energy = mean_square(samples);
    if energy < mean_square_of_dbfs(TONE_DBFS) {
        return None;
    }
    let (mut first, mut last, mut crossings) = (None, 0.0, 0_u16);
    for (n, pair) in (0_u16..).zip(samples.windows(2)) {
        let [a, b] = pair else { continue };
        let (a, b) = (f32::from(*a), f32::from(*b));
        if a < 0.0 && b >= 0.0 {
            last = f32::from(n) + a / (a - b);
            first = first.or(Some(last));
            crossings += 1;
        }
    }
    let periods = f32::from(crossings.checked_sub(1).filter(|p| *p > 0)?);
    let hz = RATE_HZ * periods / (last - first?);
    if !TONE_HZ.contains(&hz) {
        return None;
    }
    // Its correlation with a sine and a cosine of that frequency.
    let step = std::f32::consts::TAU * hz / RATE_HZ;
    let (mut re, mut im) = (0.0_f32, 0.0_f32);
    for (n, sample) in (0_u16..).zip(samples) {
        let (sin, cos) = (step * f32::from(n)).sin_cos();
        re += f32::from(*sample) * cos;
        im += f32::from(*sample) * sin;
    }
    let count = samples.len() as f32;
    let share = 2.0 * (re * re + im * im) / (count * count * energy);
    // At most 2500, so it fits.
    (share >= PURE).then_some(hz as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of these tones, each as `(hertz, amplitude)`, with noise of that amplitude.
    fn frame(tones: &[(f32, f32)], noise: f32) -> Vec<i16> {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 32_768.0 - 1.0
        };
        let sample =
            |n: usize| tones.iter().map(move |(hz, a)| a * (std::f32::consts::TAU * hz * n as f32 / RATE_HZ).sin());
        (0..320).map(|n| (sample(n).sum::<f32>() + noise * random()) as i16).collect()
    }

    #[test]
    fn beeps_are_tones_and_other_sounds_are_not() {
        for hz in [400.0, 440.0, 913.8, 1_000.0, 1_370.6, 1_776.7, 2_400.0] {
            let heard = pure_tone_hz(&frame(&[(hz, 8_000.0)], 300.0)).expect("a tone");
            assert!((f32::from(heard) - hz).abs() < hz * 0.02, "{hz}: {heard}");
        }
        for (what, samples) in [
            ("silence", frame(&[], 0.0)),
            ("noise", frame(&[], 8_000.0)),
            ("a key", frame(&[(770.0, 6_000.0), (1_336.0, 6_000.0)], 0.0)),
            ("ringing", frame(&[(440.0, 6_000.0), (480.0, 6_000.0)], 0.0)),
            ("a vowel", frame(&[(200.0, 5_000.0), (400.0, 6_000.0), (600.0, 4_000.0), (800.0, 3_000.0)], 300.0)),
            ("too low", frame(&[(200.0, 8_000.0)], 0.0)),
            ("too soft", frame(&[(1_000.0, 200.0)], 0.0)),
        ] {
            assert_eq!(pure_tone_hz(&samples), None, "{what}");
        }
    }
}
