//! How loud audio is, and where it begins and ends. Plain energy: it does not know speech from noise.

/// What silence measures, in dBFS: the floor of RFC 6464.
pub const FLOOR_DBFS: f32 = -127.0;

/// The window of the edge finders, in milliseconds.
const WINDOW_MS: u32 = 5;

/// Root mean square level in dB relative to full scale (a full-scale square wave is 0, a full-scale sine
/// -3). Empty or digital silence gives [`FLOOR_DBFS`].
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    let power = mean_square(samples);
    if power <= 0.0 {
        return FLOOR_DBFS;
    }
    (10.0 * (power / (32_768.0 * 32_768.0)).log10()).max(FLOOR_DBFS)
}

/// When the last window at or above `threshold_dbfs` ends, in milliseconds from the start, to 5 ms.
/// `None` if no window is that loud.
pub fn last_active_ms(samples: &[i16], rate: u32, threshold_dbfs: f32) -> Option<u32> {
    let last = windows(samples, rate).rposition(|w| is_active(w, threshold_dbfs))?;
    let total_ms = to_ms(samples.len(), rate);
    Some(((last as u32 + 1).saturating_mul(WINDOW_MS)).min(total_ms))
}

/// When the first window at or above `threshold_dbfs` begins, in milliseconds from the start, to 5 ms.
pub fn first_active_ms(samples: &[i16], rate: u32, threshold_dbfs: f32) -> Option<u32> {
    let first = windows(samples, rate).position(|w| is_active(w, threshold_dbfs))?;
    Some((first as u32).saturating_mul(WINDOW_MS))
}

/// Mean square of the samples, 0 for none: the measure for thresholds in the hot path (no logarithm).
pub fn mean_square(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: i64 =
        samples.chunks(256).map(|c| c.iter().map(|s| i64::from(i32::from(*s) * i32::from(*s))).sum::<i64>()).sum();
    sum as f32 / samples.len() as f32
}

/// The mean square that `dbfs` stands for.
pub fn mean_square_of_dbfs(dbfs: f32) -> f32 {
    32_768.0 * 32_768.0 * 10f32.powf(dbfs / 10.0)
}

fn windows(samples: &[i16], rate: u32) -> std::slice::Chunks<'_, i16> {
    samples.chunks(((rate / 1000 * WINDOW_MS) as usize).max(1))
}

fn is_active(window: &[i16], threshold_dbfs: f32) -> bool {
    mean_square(window) >= mean_square_of_dbfs(threshold_dbfs)
}

fn to_ms(samples: usize, rate: u32) -> u32 {
    u32::try_from(samples as u64 * 1000 / u64::from(rate.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_relative_to_full_scale() {
        let close = |a: f32, b: f32| (a - b).abs() < 0.05;
        assert!(close(rms_dbfs(&[-32_768; 100]), 0.0));
        assert!(close(rms_dbfs(&[3_277, -3_277]), -20.0));
        assert_eq!(rms_dbfs(&[]), FLOOR_DBFS);
        assert_eq!(rms_dbfs(&[0; 320]), FLOOR_DBFS);
        assert!(close(mean_square_of_dbfs(-20.0).sqrt(), 3_276.8));
    }

    #[test]
    fn edges_are_found_to_a_window() {
        for rate in [8_000u32, 16_000, 22_050] {
            let ms = |m: u32| (rate / 1000 * m) as usize;
            let mut audio = vec![0i16; ms(1_000)];
            audio[ms(200)..ms(450)].fill(3_000);
            let first = first_active_ms(&audio, rate, -40.0).unwrap();
            let last = last_active_ms(&audio, rate, -40.0).unwrap();
            assert!(first.abs_diff(200) <= 5, "{rate}: starts at {first}");
            assert!(last.abs_diff(450) <= 5, "{rate}: ends at {last}");
            assert_eq!(last_active_ms(&audio, rate, -10.0), None);
        }
        assert_eq!(last_active_ms(&[30_000; 12], 8_000, -40.0), Some(1));
        assert_eq!(last_active_ms(&[], 8_000, -40.0), None);
    }
}
