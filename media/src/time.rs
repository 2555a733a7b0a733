//! Media time: samples at 16 kHz since a leg began. It never reads a clock and never wraps in practice
//! (2^64 samples are 36 million years).
use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::{FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE};

/// A point on a leg's own time line, in samples at 16 kHz since the leg's start.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The leg's start.
    pub const ZERO: MediaTime = MediaTime(0);

    /// From whole milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        MediaTime(ms.saturating_mul(SAMPLE_RATE as u64 / 1000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / (SAMPLE_RATE as u64 / 1000)
    }

    /// From samples at 16 kHz.
    pub const fn from_samples(samples: u64) -> Self {
        MediaTime(samples)
    }

    /// Samples at 16 kHz.
    pub const fn as_samples(self) -> u64 {
        self.0
    }

    /// The start of the frame with this number (frame 0 starts at zero).
    pub const fn from_frames(frames: u64) -> Self {
        MediaTime(frames.saturating_mul(FRAME_SAMPLES as u64))
    }

    /// This time plus whole 20 ms frames.
    pub const fn plus_frames(self, frames: u64) -> Self {
        MediaTime(self.0.saturating_add(frames.saturating_mul(FRAME_SAMPLES as u64)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_sub(self, earlier: MediaTime) -> Duration {
        let samples = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(samples.saturating_mul(1_000_000_000 / SAMPLE_RATE as u64))
    }
}

impl Add<Duration> for MediaTime {
    type Output = MediaTime;

    fn add(self, by: Duration) -> MediaTime {
        MediaTime(self.0.saturating_add(samples_in(by)))
    }
}

/// Whole samples at 16 kHz in a time.
fn samples_in(time: Duration) -> u64 {
    let samples = time.as_nanos().saturating_mul(u128::from(SAMPLE_RATE)) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

impl AddAssign<Duration> for MediaTime {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

const _: () = assert!(FRAME_SAMPLES as u32 == SAMPLE_RATE / 1000 * FRAME_MS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        let t = MediaTime::from_ms(1_020);
        assert_eq!(t.as_samples(), 16_320);
        assert_eq!(t, MediaTime::from_frames(51));
        assert_eq!(t, MediaTime::from_ms(1_000).plus_frames(1));
        assert_eq!(t, MediaTime::from_ms(1_000) + Duration::from_millis(20));
        assert_eq!(t.saturating_sub(MediaTime::from_ms(1_000)), Duration::from_millis(20));
        assert_eq!(MediaTime::ZERO.saturating_sub(t), Duration::ZERO);
        assert_eq!(MediaTime::from_samples(15).as_ms(), 0);
    }
}
