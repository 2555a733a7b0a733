//! Resampling of a whole clause between two fixed rates with a windowed sinc, one filter per output phase. For
//! synthesized speech; streams from callers are the media crate's.

/// Zero crossings of the sinc on each side of the centre.
const CROSSINGS: usize = 16;
/// Part of the band below the lower Nyquist frequency that is kept.
const PASSBAND: f64 = 0.94;

/// A resampler for one pair of rates.
pub(crate) struct Resampler {
    /// Output samples per `down` input samples, in lowest terms.
    up: usize,
    down: usize,
    /// Filter taps on each side.
    reach: usize,
    /// One filter of `2 * reach` taps per phase.
    phases: Vec<Vec<f32>>,
}

impl Resampler {
    /// From `from_hz` to `to_hz`; both above zero.
    pub(crate) fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = gcd(from_hz.max(1), to_hz.max(1));
        let (up, down) = ((to_hz.max(1) / divisor) as usize, (from_hz.max(1) / divisor) as usize);
        // Cutoff relative to the input's Nyquist frequency.
        let cutoff = PASSBAND * (up as f64 / down as f64).min(1.0);
        let reach = (CROSSINGS as f64 / cutoff).ceil() as usize;
        let phases = (0..up).map(|phase| taps(phase as f64 / up as f64, reach, cutoff)).collect();
        Self { up, down, reach, phases }
    }

    /// The whole input at the new rate, in time with it.
    pub(crate) fn resample(&self, input: &[f32]) -> Vec<f32> {
        if self.up == self.down {
            return input.to_vec();
        }
        let length = input.len() * self.up / self.down;
        let output = |n: usize| {
            let position = n * self.down;
            let Some(taps) = self.phases.get(position % self.up) else { return 0.0 };
            // Tap 0 belongs to this many samples before the start of the input.
            let first = (position / self.up + 1) as isize - self.reach as isize;
            let skip = usize::try_from(-first).unwrap_or(0);
            let window = input.get(usize::try_from(first).unwrap_or(0)..).unwrap_or_default();
            taps.iter().skip(skip).zip(window).map(|(tap, sample)| tap * sample).sum()
        };
        (0..length).map(output).collect()
    }
}

/// The filter for an output that lies `offset` of a sample after an input.
fn taps(offset: f64, reach: usize, cutoff: f64) -> Vec<f32> {
    let tap = |at: usize| {
        let distance = at as f64 + 1.0 - reach as f64 - offset;
        let angle = std::f64::consts::PI * distance * cutoff;
        let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
        // Blackman window over the filter's reach.
        let turn = std::f64::consts::PI * (distance / reach as f64).clamp(-1.0, 1.0);
        sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
    };
    let taps: Vec<f64> = (0..2 * reach).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: f64, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| (std::f64::consts::TAU * hz * n as f64 / rate).sin() as f32).collect()
    }

    fn level(samples: &[f32]) -> f32 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        (middle.iter().map(|s| s * s).sum::<f32>() / middle.len() as f32).sqrt()
    }

    #[test]
    fn tones_below_the_band_pass_in_time_and_tones_above_do_not() {
        let resampler = Resampler::new(22_050, 16_000);
        let check = |hz: f64, passes: bool| {
            let out = resampler.resample(&tone(hz, 22_050.0, 22_050));
            assert_eq!(out.len(), 16_000);
            if passes {
                let want = tone(hz, 16_000.0, 16_000);
                let worst =
                    out.iter().zip(&want).skip(100).take(15_800).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 0.01, "{hz} Hz is off by {worst}");
            } else {
                assert!(level(&out) < 0.01, "{hz} Hz leaks {}", level(&out));
            }
        };
        check(100.0, true);
        check(1_000.0, true);
        check(6_500.0, true);
        check(9_000.0, false);
        check(10_500.0, false);
    }

    #[test]
    fn other_pairs_and_edges() {
        assert_eq!(Resampler::new(8_000, 16_000).resample(&[0.5; 100]).len(), 200);
        assert_eq!(Resampler::new(16_000, 16_000).resample(&[0.5; 3]), [0.5; 3]);
        assert!(Resampler::new(22_050, 16_000).resample(&[]).is_empty());
        assert_eq!(Resampler::new(22_050, 16_000).resample(&[1.0; 2]).len(), 1);
    }
}
