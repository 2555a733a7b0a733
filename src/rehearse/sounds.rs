//! Sounds that are no speech, made by rule: coughs, breath, clicks, crackle, hum, babble, music. All about as loud
//! as speech on a telephone; `gain_db` makes them quieter. They are rough: a real cough is better, if you have one.

use std::f32::consts::TAU;

use media::SAMPLE_RATE;

use crate::rehearse::chance::Chance;
use crate::rehearse::scenario::Sound;

/// What all of them are brought to, where they sound.
const LEVEL_DBFS: f32 = -20.0;
const RATE: f32 = SAMPLE_RATE as f32;
/// Voices that talk at once in babble.
const VOICES: usize = 6;

impl Sound {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cough => "cough",
            Self::Breath => "breath",
            Self::Click => "click",
            Self::Crackle => "crackle",
            Self::Hum => "hum",
            Self::Babble => "babble",
            Self::Music => "music",
        }
    }

    const fn usual_ms(self) -> u32 {
        match self {
            Self::Cough => 450,
            Self::Breath => 900,
            Self::Click => 40,
            Self::Crackle => 1_500,
            Self::Hum | Self::Babble | Self::Music => 2_500,
        }
    }

    /// At 16 kHz. `voices`: what babble is mixed from.
    pub fn make(self, ms: Option<u32>, seed: u64, voices: &[&[i16]]) -> Vec<i16> {
        let count = (ms.unwrap_or(self.usual_ms()) * (SAMPLE_RATE / 1000)) as usize;
        let mut chance = Chance::new(seed, self as u64 + 100);
        let sound: Vec<f32> = match self {
            Self::Cough => cough(count, &mut chance),
            Self::Breath => band(count, &mut chance, 0.35, |t| (t * std::f32::consts::PI).sin()),
            Self::Click => (0..count).map(|n| chance.noise() * (-(n as f32) / 40.0).exp()).collect(),
            Self::Crackle => crackle(count, &mut chance),
            Self::Hum => (0..count).map(|n| tone(n, 100.0) + 0.5 * tone(n, 200.0) + 0.3 * tone(n, 300.0)).collect(),
            Self::Babble => babble(count, &mut chance, voices),
            Self::Music => music(count),
        };
        levelled(&sound)
    }
}

/// Two bursts, each sharp at first and then a voiced rattle.
fn cough(count: usize, chance: &mut Chance) -> Vec<f32> {
    let mut low = 0.0;
    let burst = |t: f32| if t < 0.0 { 0.0 } else { (1.0 - (-t * 400.0).exp()) * (-t * 14.0).exp() };
    (0..count)
        .map(|n| {
            let t = n as f32 / RATE;
            low += 0.35 * (chance.noise() - low);
            let envelope = burst(t) + 0.7 * burst(t - 0.22);
            envelope * (low + 0.25 * tone(n, 130.0) * (t * 9.0).sin().abs())
        })
        .collect()
}

/// Noise without its highs, under an envelope of 0 to 1.
fn band(count: usize, chance: &mut Chance, openness: f32, envelope: impl Fn(f32) -> f32) -> Vec<f32> {
    let (mut low, mut deep) = (0.0, 0.0);
    (0..count)
        .map(|n| {
            low += openness * (chance.noise() - low);
            deep += 0.03 * (low - deep);
            (low - deep) * envelope(n as f32 / count as f32)
        })
        .collect()
}

fn crackle(count: usize, chance: &mut Chance) -> Vec<f32> {
    let mut left = 0.0;
    (0..count)
        .map(|_| {
            // Some forty a second.
            if chance.unit() < 40.0 / RATE {
                left = 0.3 + chance.unit();
            }
            left *= 0.985;
            left * chance.noise()
        })
        .collect()
}

fn babble(count: usize, chance: &mut Chance, voices: &[&[i16]]) -> Vec<f32> {
    let mut mix = vec![0.0; count];
    for _ in 0..VOICES.min(voices.len()) {
        let voice = voices[chance.up_to(voices.len() as u32 - 1) as usize];
        let from = chance.up_to(voice.len() as u32) as usize;
        for (to, sample) in mix.iter_mut().zip(voice.iter().cycle().skip(from)) {
            *to += f32::from(*sample);
        }
    }
    mix
}

/// A waltz on hold: broken chords with a few overtones.
fn music(count: usize) -> Vec<f32> {
    const NOTES: [f32; 6] = [261.6, 329.6, 392.0, 523.3, 392.0, 329.6];
    let beat = (RATE * 0.25) as usize;
    (0..count)
        .map(|n| {
            let note = NOTES[n / beat % NOTES.len()];
            let decay = (-((n % beat) as f32) / RATE * 5.0).exp();
            decay * (tone(n, note) + 0.4 * tone(n, note * 2.0) + 0.2 * tone(n, note * 3.0))
        })
        .collect()
}

fn tone(n: usize, hz: f32) -> f32 {
    (TAU * hz * n as f32 / RATE).sin()
}

/// Loudest 20 ms at the common level.
fn levelled(sound: &[f32]) -> Vec<i16> {
    let power = |c: &[f32]| c.iter().map(|s| s * s).sum::<f32>() / c.len().max(1) as f32;
    let loudest = sound.chunks(media::FRAME_SAMPLES).map(power).fold(0.0, f32::max).sqrt();
    let gain = if loudest > 0.0 { 32_768.0 * 10f32.powf(LEVEL_DBFS / 20.0) / loudest } else { 0.0 };
    sound.iter().map(|s| (s * gain).clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// Room noise to be played round and round.
pub fn room(dbfs: f32, seed: u64) -> Vec<i16> {
    let noise = band(SAMPLE_RATE as usize * 5, &mut Chance::new(seed, 99), 0.5, |_| 1.0);
    let power = noise.iter().map(|s| s * s).sum::<f32>() / noise.len() as f32;
    let gain = 32_768.0 * 10f32.powf(dbfs / 20.0) / power.sqrt().max(1e-9);
    noise.iter().map(|s| (s * gain).clamp(-32_768.0, 32_767.0) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Sound; 7] =
        [Sound::Cough, Sound::Breath, Sound::Click, Sound::Crackle, Sound::Hum, Sound::Babble, Sound::Music];

    #[test]
    fn sounds_are_as_loud_and_as_long_as_said_and_the_same_each_time() {
        let voice: Vec<i16> = (0..16_000).map(|n| ((n * 37) % 2_000) as i16).collect();
        for sound in ALL {
            let made = sound.make(Some(300), 7, &[&voice]);
            assert_eq!(made.len(), 4_800, "{sound:?}");
            let loudest = made.chunks(320).map(media::level::rms_dbfs).fold(-127.0, f32::max);
            assert!((loudest - LEVEL_DBFS).abs() < 1.5, "{sound:?}: {loudest}");
            assert_eq!(made, sound.make(Some(300), 7, &[&voice]), "{sound:?}");
        }
        assert_ne!(Sound::Cough.make(None, 1, &[]), Sound::Cough.make(None, 2, &[]));
        assert!(Sound::Babble.make(None, 1, &[]).iter().all(|s| *s == 0), "no voices, no babble");
    }

    #[test]
    fn the_room_is_as_loud_as_asked() {
        let level = media::level::rms_dbfs(&room(-50.0, 3));
        assert!((level + 50.0).abs() < 0.5, "{level}");
    }
}
