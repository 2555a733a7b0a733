//! Makes synthesized speech fit a call: even loudness, no dead air before the first sound. Pure arithmetic.

/// Loudness of speech while it sounds, dBFS: what telephone networks expect (ITU-T P.56 active level near -20).
const WANTED_DBFS: f32 = -20.0;
const GAIN_MAX: f32 = 8.0;
/// Highest peak after the gain, about -1 dBFS.
const PEAK_MAX: f32 = 0.89;
/// Windows quieter than this, relative to the loudest, are silence.
const SILENCE: f32 = 0.02;
/// Length of a window, samples at 16 kHz: 5 ms.
const WINDOW: usize = 80;
/// Silence left before the first sound, samples: 10 ms, for a soft beginning. A caller waits for each of them, and with
/// more the first packet of an answer would be all silence.
const HEAD: usize = 160;
/// Silence left after the last sound, samples: 120 ms, so that the next clause does not run into it.
const TAIL: usize = 1_920;

/// Cuts silence off both ends and brings the rest to the wanted loudness.
pub(crate) fn finish(mut speech: Vec<f32>) -> Vec<i16> {
    let power = |window: &[f32]| window.iter().map(|sample| sample * sample).sum::<f32>() / window.len() as f32;
    let windows: Vec<f32> = speech.chunks(WINDOW).map(power).collect();
    let loudest = windows.iter().copied().fold(0.0, f32::max);
    let sounds = |power: &f32| *power > loudest * SILENCE * SILENCE;
    let (Some(first), Some(last)) = (windows.iter().position(sounds), windows.iter().rposition(sounds)) else {
        return Vec::new();
    };
    speech.truncate((last + 1) * WINDOW + TAIL);
    speech.drain(..(first * WINDOW).saturating_sub(HEAD));
    let active: Vec<f32> = windows.into_iter().filter(|power| *power > loudest * 0.01).collect();
    let level = (active.iter().sum::<f32>() / active.len().max(1) as f32).sqrt();
    let peak = speech.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
    let gain = (10f32.powf(WANTED_DBFS / 20.0) / level).min(GAIN_MAX).min(PEAK_MAX / peak);
    speech.into_iter().map(|sample| (sample * gain * 32_768.0).round() as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(silence: usize, amplitude: f32, sound: usize, after: usize) -> Vec<f32> {
        let tone = (0..sound).map(|n| (n as f32 * 0.3).sin() * amplitude);
        let quiet = |count| std::iter::repeat_n(0.0f32, count);
        quiet(silence).chain(tone).chain(quiet(after)).collect()
    }

    fn level_dbfs(samples: &[i16]) -> f32 {
        let sum: f32 = samples.iter().map(|s| (f32::from(*s) / 32_768.0).powi(2)).sum();
        10.0 * (sum / samples.len() as f32).log10()
    }

    #[test]
    fn loudness_and_ends_come_out_even() {
        let check = |silence: usize, amplitude: f32, after: usize| {
            let out = finish(clip(silence, amplitude, 16_000, after));
            let first = out.iter().position(|sample| sample.unsigned_abs() > 200).unwrap();
            assert!(first <= HEAD + WINDOW, "sound begins at {first}");
            assert!(out.len() <= HEAD + 16_000 + TAIL + 2 * WINDOW, "{} samples", out.len());
            let level = level_dbfs(&out[first..first + 15_000]);
            assert!((level + 20.0).abs() < 1.0, "{amplitude} became {level} dBFS");
        };
        check(8_000, 0.9, 8_000);
        check(8_000, 0.05, 0);
        check(0, 0.3, 20_000);
    }

    #[test]
    fn silence_stays_silent_and_peaks_never_clip() {
        assert!(finish(vec![0.0; 16_000]).is_empty());
        assert!(finish(Vec::new()).is_empty());
        let mut clicks = clip(0, 0.01, 16_000, 0);
        clicks[8_000] = 1.0;
        assert!(finish(clicks).iter().all(|sample| sample.unsigned_abs() < 29_500));
    }
}
