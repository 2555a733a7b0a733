//! Whether the caller's sound has a pitch, as every vowel has and no crackle, breath or rustle. It keeps 20 ms of sound
//! and nothing of what was said.

use media::FRAME_SAMPLES;

/// At 8 kHz, where pitch is sought.
const HALF: usize = FRAME_SAMPLES / 2;
/// 73 to 400 Hz: the pitch of speaking voices.
const LAGS: std::ops::RangeInclusive<usize> = 20..=110;
/// How alike a period and the next are. Over our callers' recordings half of all speech frames or more reach it, of
/// crackle and white noise none.
const ALIKE: f32 = 0.5;

/// The last 40 ms of the line.
pub struct Voicing {
    window: [f32; 2 * HALF],
}

impl Voicing {
    pub const fn new() -> Self {
        Self { window: [0.0; 2 * HALF] }
    }

    /// Takes a frame at 16 kHz.
    pub fn push(&mut self, samples: &[i16]) {
        self.window.copy_within(HALF.., 0);
        for (to, pair) in self.window.iter_mut().skip(HALF).zip(samples.chunks_exact(2)) {
            *to = pair.iter().map(|s| f32::from(*s)).sum::<f32>() / 2.0;
        }
    }

    /// Whether it repeats itself with a voice's period.
    pub fn is_pitched(&self) -> bool {
        let mean = self.window.iter().sum::<f32>() / self.window.len() as f32;
        let sound = self.window.map(|s| s - mean);
        LAGS.into_iter().any(|lag| {
            let (later, earlier) = (sound.get(lag..).unwrap_or_default(), &sound);
            let (mut product, mut a, mut b) = (0.0_f32, 0.0_f32, 0.0_f32);
            for (x, y) in later.iter().zip(earlier) {
                product += x * y;
                a += x * x;
                b += y * y;
            }
            product > ALIKE * (a * b).sqrt().max(1.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of frames with a pitch in a sound at 16 kHz.
    fn pitched(sound: impl Fn(usize) -> f32) -> f32 {
        let mut voicing = Voicing::new();
        let mut found = 0.0;
        for n in 0..51 {
            let frame: Vec<i16> = (0..FRAME_SAMPLES).map(|i| sound(n * FRAME_SAMPLES + i) as i16).collect();
            voicing.push(&frame);
            if n > 0 && voicing.is_pitched() {
                found += 0.02;
            }
        }
        found
    }

    /// A number from -1 to 1 for every sample, the same each time.
    fn noise(n: usize) -> f32 {
        let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / 8_388_608.0 - 1.0
    }

    #[test]
    fn voices_have_a_pitch_and_noises_none() {
        // Pulses through a resonance: a vowel.
        for hz in [80, 120, 220, 330] {
            let period = 16_000 / hz;
            let vowel = |n: usize| {
                let t = (n % period) as f32;
                8_000.0 * (-t / 25.0).exp() * (t * 0.28).sin()
            };
            assert!(pitched(vowel) > 0.95, "{hz} Hz");
            assert!(pitched(|n| vowel(n) + 700.0 * noise(n)) > 0.9, "{hz} Hz in noise");
        }
        assert!(pitched(|n| 8_000.0 * noise(n)) < 0.05);
        // Some forty clicks a second, at random.
        let click = |n: usize| 9_000.0 * noise(n) * (-((n % 61) as f32) / 30.0).exp() * f32::from(noise(n / 61) > 0.7);
        assert!(pitched(click) < 0.15, "{}", pitched(click));
        assert!(pitched(|_| 0.0) < 0.05);
    }
}
