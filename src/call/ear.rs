//! The ear: from speech probabilities and levels to "the caller began, paused, spoke on".
//! It decides from audio time only and never waits or reads a clock.

use media::MediaTime;

use crate::config::Turn;

/// Probability from which a frame counts as speech.
pub const SPEECH: f32 = 0.5;
/// Frames of speech, nearly in a row, that begin an utterance.
const FRAMES_TO_BEGIN: u32 = 2;
const FRAME_MS: u32 = 20;
/// The detector lets go some 90 ms after the last sound (60 to 135 over our callers). Whatever it says, a frame this near to
/// the line's own noise, or this far under the voice, is silence: that brings the end of speech to within 15 ms.
const OVER_NOISE_DB: f32 = 6.0;
const UNDER_VOICE_DB: f32 = 34.0;
const NOISE_DBFS: std::ops::RangeInclusive<f32> = -75.0..=-30.0;
/// How fast the noise is believed to rise, and the voice to fall, a frame.
const NOISE_RISES_DB: f32 = 0.06;
const VOICE_FALLS_DB: f32 = 0.12;
/// Of a quieter frame so much is believed to be noise at once.
const NOISE_FALLS: f32 = 0.3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarEvent {
    /// The caller began to speak.
    Started,
    /// Enough silence that the turn may be over.
    Paused,
    /// The caller spoke on after a pause.
    Resumed,
}

/// How loud the line's noise and the caller's voice are.
#[derive(Debug, Clone, Copy)]
struct Levels {
    noise_dbfs: f32,
    voice_dbfs: f32,
}

impl Levels {
    const UNKNOWN: Self = Self { noise_dbfs: -60.0, voice_dbfs: -60.0 };

    /// Takes a frame's level; false: it is too quiet to be the caller.
    fn audible(&mut self, speech: bool, dbfs: f32) -> bool {
        let dbfs = dbfs.max(*NOISE_DBFS.start());
        let below = self.noise_dbfs - dbfs;
        self.noise_dbfs += if below > 0.0 { -below * NOISE_FALLS } else { NOISE_RISES_DB };
        self.noise_dbfs = self.noise_dbfs.clamp(*NOISE_DBFS.start(), *NOISE_DBFS.end());
        if speech {
            self.voice_dbfs = dbfs.max(self.voice_dbfs - VOICE_FALLS_DB);
        }
        dbfs > self.noise_dbfs + OVER_NOISE_DB && dbfs > self.voice_dbfs - UNDER_VOICE_DB
    }
}

#[derive(Debug)]
pub struct Ear {
    turn: Turn,
    levels: Levels,
    /// Leaky count of speech frames before an utterance begins.
    rising: u32,
    speaking: bool,
    paused: bool,
    voiced_ms: u32,
    silence_ms: u32,
    now: MediaTime,
}

impl Ear {
    pub fn new(turn: Turn) -> Self {
        Self {
            turn,
            levels: Levels::UNKNOWN,
            rising: 0,
            speaking: false,
            paused: false,
            voiced_ms: 0,
            silence_ms: 0,
            now: MediaTime::default(),
        }
    }

    /// Takes 20 ms of audio as the detector saw it, and how loud it is.
    pub fn frame(&mut self, at: MediaTime, speech: f32, dbfs: f32) -> Option<EarEvent> {
        self.now = at;
        let audible = self.levels.audible(speech >= SPEECH, dbfs);
        if !self.speaking {
            return self.wait_for_speech(speech >= SPEECH && audible);
        }
        if speech >= SPEECH && audible {
            return self.voiced();
        }
        self.rising = 0;
        self.silence_ms = self.silence_ms.saturating_add(FRAME_MS);
        if !self.paused && self.silence_ms >= self.turn.draft_ms {
            self.paused = true;
            return Some(EarEvent::Paused);
        }
        None
    }

    fn wait_for_speech(&mut self, speech: bool) -> Option<EarEvent> {
        if !speech {
            self.rising = self.rising.saturating_sub(1);
            return None;
        }
        self.rising += 1;
        if self.rising < FRAMES_TO_BEGIN {
            return None;
        }
        self.speaking = true;
        self.voiced_ms = self.rising * FRAME_MS;
        self.silence_ms = 0;
        Some(EarEvent::Started)
    }

    fn voiced(&mut self) -> Option<EarEvent> {
        self.voiced_ms = self.voiced_ms.saturating_add(FRAME_MS);
        // One loud frame in a pause is a click; two are speech.
        if self.paused {
            self.rising += 1;
            if self.rising < FRAMES_TO_BEGIN {
                self.silence_ms = self.silence_ms.saturating_add(FRAME_MS);
                return None;
            }
        }
        self.silence_ms = 0;
        self.rising = 0;
        std::mem::take(&mut self.paused).then_some(EarEvent::Resumed)
    }

    /// The utterance was answered or thrown away; listen for the next.
    pub fn reset(&mut self) {
        *self = Self { now: self.now, levels: self.levels, ..Self::new(self.turn) };
    }

    pub fn speaking(&self) -> bool {
        self.speaking
    }

    pub fn silence_ms(&self) -> u32 {
        self.silence_ms
    }

    /// Speech so far in this utterance.
    pub fn voiced_ms(&self) -> u32 {
        self.voiced_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each character is 20 ms: `#` speech, `.` silence, `~` what the detector takes for speech in silence. Events are expected as `@ms name`.
    fn check(audio: &str, events: &str) {
        let mut ear = Ear::new(Turn::default());
        let mut seen = vec![];
        for (n, c) in audio.chars().filter(|c| !c.is_whitespace()).enumerate() {
            let at_ms = n as u32 * 20;
            let at = MediaTime::from_ms(at_ms.into());
            // `~`: the detector still hears speech, and there is none.
            let (speech, dbfs) = match c {
                '#' => (0.9, -20.0),
                '~' => (0.9, -70.0),
                _ => (0.05, -70.0),
            };
            if let Some(e) = ear.frame(at, speech, dbfs) {
                seen.push(format!("@{at_ms} {e:?}"));
            }
        }
        assert_eq!(seen.join(", "), events, "{audio}");
    }

    #[test]
    fn utterances_begin_pause_and_resume() {
        check("....", "");
        check("..#..", "");
        check("..##..", "@60 Started");
        check("..####....", "@60 Started, @180 Paused");
        check("..####.....####", "@60 Started, @180 Paused, @240 Resumed");
        check("..####.....#.......", "@60 Started, @180 Paused");
        check("#.#.#.#", "");
        check("~~~~~~~~", "");
        check("..####~~~~.", "@60 Started, @180 Paused");
    }
}
