//! Comfort noise (RFC 3389): what a pause sounded like, in a few bytes; noise made from them, and them made
//! from noise. It does not know when a pause begins.
use crate::FRAME_SAMPLES;
use crate::resample::{Downsampler, Upsampler};

/// Reflection coefficients that are kept of a payload; a model of lower order is one too.
pub const ORDER_MAX: usize = 12;
/// Bytes of the longest payload that is written.
pub const PAYLOAD_MAX: usize = 1 + ORDER_MAX;
/// Coefficients of an analysis.
const ORDER: usize = 8;
/// Samples of a frame at 8 kHz.
const NARROW: usize = FRAME_SAMPLES / 2;

/// The sound of a pause: a level, and the spectrum at 8 kHz as reflection coefficients.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ComfortNoise {
    level: u8,
    order: u8,
    reflection: [u8; ORDER_MAX],
}

impl ComfortNoise {
    /// White noise of `level` -dBov, from 0 (a full-scale square wave) to 127 (silence).
    pub const fn white(level: u8) -> Self {
        ComfortNoise { level: if level < 127 { level } else { 127 }, order: 0, reflection: [0; ORDER_MAX] }
    }

    /// Reads a payload; `None` if it is empty. Of more than [`ORDER_MAX`] coefficients the first are kept.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, reflection) = payload.split_first()?;
        let mut noise = ComfortNoise::white(level & 0x7F);
        for (to, from) in noise.reflection.iter_mut().zip(reflection) {
            // 255 is not used (3.2).
            *to = (*from).min(254);
            noise.order += 1;
        }
        Some(noise)
    }

    /// Writes the payload; returns its length, 0 if `out` is too short ([`PAYLOAD_MAX`] never is).
    pub fn write(&self, out: &mut [u8]) -> usize {
        let order = usize::from(self.order);
        let Some((level, reflection)) = out.get_mut(..=order).and_then(|out| out.split_first_mut()) else { return 0 };
        *level = self.level;
        reflection.copy_from_slice(&self.reflection[..order]);
        1 + order
    }

    /// Its level in -dBov.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The coefficients between -1 and 1, exclusive (3.2); those that are not said are 0.
    fn coefficients(&self) -> [f32; ORDER_MAX] {
        let mut k = [0.0; ORDER_MAX];
        for (k, n) in k.iter_mut().zip(self.reflection).take(usize::from(self.order)) {
            *k = 258.0 * (f32::from(n) - 127.0) / 32_768.0;
        }
        k
    }
}

/// Makes noise that goes on smoothly while what it should sound like changes. Silent until it is told.
pub struct Generator {
    source: Source,
    upsampler: Upsampler,
}

impl Generator {
    /// `seed` lets two of them not hiss in step.
    pub fn new(seed: u32) -> Self {
        let source = Source {
            dice: seed | 1,
            gain: 0.0,
            gain_wanted: 0.0,
            k: [0.0; ORDER_MAX],
            k_wanted: [0.0; ORDER_MAX],
            backward: [0.0; ORDER_MAX],
        };
        Generator { source, upsampler: Upsampler::default() }
    }

    /// What it sounds like from now on; it gets there within some 30 ms.
    pub fn set(&mut self, noise: &ComfortNoise) {
        let k = noise.coefficients();
        // What the filter adds to the power of its excitation is taken away before.
        let power: f32 = k.iter().map(|k| 1.0 - k * k).product();
        let level = 32_768.0 * 10f32.powf(f32::from(noise.level) / -20.0);
        self.source.gain_wanted = if noise.level == 127 { 0.0 } else { level * power.sqrt() };
        self.source.k_wanted = k;
    }

    /// Writes noise at 16 kHz, two samples at a time: of an odd number the last is left as it was.
    pub fn render(&mut self, out: &mut [i16]) {
        let source = &mut self.source;
        self.upsampler.extend((0..out.len() / 2).map(|_| source.sample()), out);
    }
}

/// White noise through an all-pole lattice at 8 kHz.
struct Source {
    dice: u32,
    gain: f32,
    gain_wanted: f32,
    k: [f32; ORDER_MAX],
    k_wanted: [f32; ORDER_MAX],
    /// The backward errors of the last sample, by order.
    backward: [f32; ORDER_MAX],
}

/// How far gain and filter go towards what is wanted with each sample: a time constant of 10 ms.
const APPROACH: f32 = 1.0 / 80.0;

impl Source {
    fn sample(&mut self) -> f32 {
        self.gain += (self.gain_wanted - self.gain) * APPROACH;
        // Between two stable lattices every one is stable: all coefficients stay between -1 and 1.
        for (k, wanted) in self.k.iter_mut().zip(self.k_wanted) {
            *k += (wanted - *k) * APPROACH;
        }
        let mut forward = self.gain * self.white();
        for i in (0..ORDER_MAX).rev() {
            let backward = self.backward[i];
            forward -= self.k[i] * backward;
            if i + 1 < ORDER_MAX {
                self.backward[i + 1] = backward + self.k[i] * forward;
            }
        }
        self.backward[0] = forward;
        forward
    }

    /// Nearly Gaussian, of variance 1: four bytes of a xorshift generator added up.
    fn white(&mut self) -> f32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        let sum: u32 = self.dice.to_le_bytes().into_iter().map(u32::from).sum();
        // A byte's variance is (256^2 - 1) / 12.
        (sum as f32 - 510.0) / 147.8
    }
}

/// Listens to a pause and says what it sounds like.
#[derive(Default)]
pub struct Analyzer {
    downsampler: Downsampler,
    /// Autocorrelation, fading: the last 100 ms count for most.
    correlation: [f32; ORDER + 1],
}

/// The share of a new frame.
const SHARE: f32 = 0.25;
/// A little white noise (-40 dB) keeps the coefficients of pure tones within what a byte can say.
const WHITEN: f32 = 1.0001;

impl Analyzer {
    /// Takes 20 ms of the pause.
    pub fn push(&mut self, frame: &[i16; FRAME_SAMPLES]) {
        let mut narrow = [0; NARROW];
        self.downsampler.process(frame, &mut narrow);
        let samples = narrow.map(f32::from);
        for (lag, mean) in self.correlation.iter_mut().enumerate() {
            let sum: f32 = samples.iter().zip(&samples[lag..]).map(|(a, b)| a * b).sum();
            *mean += (sum / NARROW as f32 - *mean) * SHARE;
        }
    }

    /// The pause so far.
    pub fn noise(&self) -> ComfortNoise {
        let power = self.correlation[0];
        let level = if power < 0.1 { 127.0 } else { -10.0 * (power / (32_768.0 * 32_768.0)).log10() };
        let mut noise = ComfortNoise::white(level.round() as u8);
        if noise.level < 127 {
            for (to, k) in noise.reflection.iter_mut().zip(self.reflection()) {
                *to = (k * 32_768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
            }
            noise.order = ORDER as u8;
        }
        noise
    }

    /// Levinson and Durbin's recursion: the reflection coefficients of the correlation.
    fn reflection(&self) -> [f32; ORDER] {
        let r = &self.correlation;
        let (mut reflection, mut a) = ([0.0; ORDER], [0.0; ORDER + 1]);
        let mut error = r[0] * WHITEN;
        for order in 1..=ORDER {
            let sum: f32 = r[order] + (1..order).map(|i| a[i] * r[order - i]).sum::<f32>();
            let k = (-sum / error).clamp(-0.999, 0.999);
            let before = a;
            for i in 1..order {
                a[i] += k * before[order - i];
            }
            a[order] = k;
            reflection[order - 1] = k;
            error *= 1.0 - k * k;
        }
        reflection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level;

    fn rendered(generator: &mut Generator, ms: usize) -> Vec<i16> {
        let mut out = vec![0; ms * 16];
        out.chunks_mut(320).for_each(|part| generator.render(part));
        out
    }

    fn payload(noise: &ComfortNoise) -> Vec<u8> {
        let mut out = [0; PAYLOAD_MAX];
        let len = noise.write(&mut out);
        out[..len].to_vec()
    }

    #[test]
    fn any_payload_is_a_sound() {
        assert_eq!(ComfortNoise::parse(&[]), None);
        for (bytes, kept) in [
            (&[50][..], &[50][..]),
            (&[0xFF], &[127]),
            (&[30, 0, 255, 254], &[30, 0, 254, 254]),
            (&[9; 300], &[9; PAYLOAD_MAX]),
        ] {
            let noise = ComfortNoise::parse(bytes).unwrap();
            assert_eq!(payload(&noise), kept);
            assert_eq!(noise.write(&mut vec![0; kept.len() - 1]), 0);
            let mut generator = Generator::new(0);
            generator.set(&noise);
            rendered(&mut generator, 1_000);
        }
    }

    #[test]
    fn it_is_as_loud_as_said() {
        for level in [20, 40, 60] {
            for reflection in [&[][..], &[60, 140, 100][..]] {
                let noise = ComfortNoise::parse(&[&[level], reflection].concat()).unwrap();
                let mut generator = Generator::new(7);
                generator.set(&noise);
                let loud = level::rms_dbfs(&rendered(&mut generator, 3_000)[3_200..]);
                assert!((loud + f32::from(level)).abs() < 1.5, "-{level} dBov with {reflection:?}: {loud}");
            }
        }
        let mut generator = Generator::new(7);
        assert!(rendered(&mut generator, 40).iter().all(|s| *s == 0), "silent until told");
        generator.set(&ComfortNoise::white(127));
        assert!(rendered(&mut generator, 40).iter().all(|s| *s == 0), "127 is silence");
    }

    #[test]
    fn what_was_heard_comes_back() {
        // A rumble: both what is low and how loud it is survive the trip.
        let said = ComfortNoise::parse(&[45, 30, 150]).unwrap();
        let mut generator = Generator::new(3);
        generator.set(&said);
        let mut analyzer = Analyzer::default();
        for frame in rendered(&mut generator, 2_000).as_chunks().0 {
            analyzer.push(frame);
        }
        let heard = analyzer.noise();
        assert!(heard.level().abs_diff(45) <= 2, "{heard:?}");
        assert!(heard.reflection[0].abs_diff(30) <= 12 && heard.reflection[1].abs_diff(150) <= 16, "{heard:?}");
        assert!(payload(&heard).len() == 1 + ORDER);
        assert_eq!(Analyzer::default().noise(), ComfortNoise::white(127));
        // A pure tone is the hardest: the recursion stays stable.
        let mut analyzer = Analyzer::default();
        let tone: [i16; FRAME_SAMPLES] = std::array::from_fn(|i| if i / 8 % 2 == 0 { 9_000 } else { -9_000 });
        (0..20).for_each(|_| analyzer.push(&tone));
        let mut generator = Generator::new(3);
        generator.set(&analyzer.noise());
        rendered(&mut generator, 1_000);
    }

    #[test]
    fn a_change_does_not_click() {
        let mut generator = Generator::new(9);
        let mut audio = rendered(&mut generator, 20);
        for level in [40, 70, 45, 127, 40] {
            generator.set(&ComfortNoise::white(level));
            audio.extend(rendered(&mut generator, 100));
        }
        // Never a step beyond what noise of -40 dBov makes by itself.
        let step = audio.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
        let mut steady = Generator::new(9);
        steady.set(&ComfortNoise::white(40));
        let usual = rendered(&mut steady, 1_000).windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
        assert!(step <= usual, "{step} against {usual}");
        // And it gets there.
        let tail = &audio[audio.len() - 800..];
        assert!((level::rms_dbfs(tail) + 40.0).abs() < 2.0);
    }
}
