//! Scripted stand-ins for every seam, for tests: same traits, same order of events, no model, no thread, no clock.
//! What they hear and how they judge comes from a [`Script`] alone; the audio only has to be there.

use crate::traits::{
    CLAUSE_CHARS_MAX, CLAUSES_MAX, ClauseId, Due, Heard, Job, RecognizerError, Scored, Spoken, SynthesizerError,
    TurnError, UTTERANCE_MS_MAX, Wake,
};
use media::{FRAME_MS, FRAME_SAMPLES, Frame, FramePool, MediaTime};
use std::collections::VecDeque;

/// Amplitude from which [`Vad`] calls a frame speech: about -38 dBFS.
const SPEECH_PEAK: u16 = 400;
/// Half a period of the tone that [`Synthesizer`] speaks, samples: 400 Hz.
const TONE_HALF_PERIOD: usize = 20;
const TONE_AMPLITUDE: i16 = 3000;

/// What the fakes of one call will hear, judge and take. Each line opened from it starts at the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    heard: VecDeque<Result<String, RecognizerError>>,
    finished: VecDeque<f32>,
    frames_per_char: u32,
    polls_per_text: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self { heard: VecDeque::new(), finished: VecDeque::new(), frames_per_char: 3, polls_per_text: 0 }
    }
}

impl Script {
    /// Hears nothing, finds every turn finished, speaks 60 ms a character.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next utterance will read `text`. The utterance moves on at a `reset` that follows a `recognize`.
    #[must_use]
    pub fn hears(mut self, text: &str) -> Self {
        self.heard.push_back(Ok(text.to_owned()));
        self
    }

    /// The next utterance will fail.
    #[must_use]
    pub fn fails(mut self, error: RecognizerError) -> Self {
        self.heard.push_back(Err(error));
        self
    }

    /// The next score will be `finished`; after the last one every turn is finished (1.0).
    #[must_use]
    pub fn scores(mut self, finished: f32) -> Self {
        self.finished.push_back(finished);
        self
    }

    /// Each text comes only after so many polls in vain: a call polls at every tick.
    #[must_use]
    pub fn polls_per_text(mut self, polls: u32) -> Self {
        self.polls_per_text = polls;
        self
    }

    /// Sets how long a spoken character takes, in 20 ms frames.
    #[must_use]
    pub fn frames_per_char(mut self, frames: u32) -> Self {
        self.frames_per_char = frames;
        self
    }
}

/// Hears the script, whatever the audio.
pub struct Recognizer {
    script: VecDeque<Result<String, RecognizerError>>,
    answers: VecDeque<Heard>,
    /// Polls in vain: for each text, and left for the next.
    polls_per_text: u32,
    polls_left: u32,
    audio_ms: u32,
    asked: bool,
    wake: Wake,
}

impl Recognizer {
    /// A line at the beginning of the script.
    #[must_use]
    pub fn new(script: &Script, wake: Wake) -> Self {
        Self {
            script: script.heard.clone(),
            answers: VecDeque::new(),
            polls_per_text: script.polls_per_text,
            polls_left: 0,
            audio_ms: 0,
            asked: false,
            wake,
        }
    }
}

impl crate::Recognizer for Recognizer {
    fn push(&mut self, _frame: &Frame) -> Result<(), RecognizerError> {
        let full = self.audio_ms == UTTERANCE_MS_MAX;
        self.audio_ms = (self.audio_ms + FRAME_MS).min(UTTERANCE_MS_MAX + FRAME_MS);
        if full { Err(RecognizerError::Overflow) } else { Ok(()) }
    }

    fn recognize(&mut self, job: Job, _due: Due) -> Result<(), RecognizerError> {
        self.asked = true;
        let (text, failed) = match self.script.front() {
            Some(Ok(text)) => (text.clone(), None),
            Some(Err(error)) => (String::new(), Some(*error)),
            None => (String::new(), None),
        };
        self.answers.clear();
        self.polls_left = self.polls_per_text;
        self.answers.push_back(Heard { job, text, audio_ms: self.audio_ms.min(UTTERANCE_MS_MAX), failed });
        (self.wake)();
        Ok(())
    }

    fn give_up(&mut self, job: Job) {
        self.answers.retain(|heard| heard.job != job);
    }

    fn poll(&mut self) -> Option<Heard> {
        if self.polls_left > 0 {
            self.polls_left -= 1;
            return None;
        }
        self.answers.pop_front()
    }

    fn reset(&mut self, keep_ms: u32) {
        self.answers.clear();
        self.audio_ms = self.audio_ms.min(keep_ms);
        if std::mem::take(&mut self.asked) {
            self.script.pop_front();
        }
    }
}

struct Clause {
    id: ClauseId,
    frames: u32,
    frames_left: u32,
}

/// Speaks a tone as long as the text.
pub struct Synthesizer {
    frames_per_char: u32,
    clauses: VecDeque<Clause>,
    wake: Wake,
}

impl Synthesizer {
    /// A line that speaks at the script's pace.
    #[must_use]
    pub fn new(script: &Script, wake: Wake) -> Self {
        Self { frames_per_char: script.frames_per_char, clauses: VecDeque::new(), wake }
    }
}

impl crate::Synthesizer for Synthesizer {
    fn say(&mut self, clause: ClauseId, text: &str, _due: Due) -> Result<(), SynthesizerError> {
        let chars = text.chars().count();
        if chars > CLAUSE_CHARS_MAX {
            return Err(SynthesizerError::TooLong);
        }
        if self.clauses.len() >= CLAUSES_MAX {
            return Err(SynthesizerError::Full);
        }
        let frames = self.frames_per_char.saturating_mul(u32::try_from(chars).unwrap_or(u32::MAX));
        self.clauses.push_back(Clause { id: clause, frames, frames_left: frames });
        (self.wake)();
        Ok(())
    }

    fn poll(&mut self, at: MediaTime, pool: &mut FramePool) -> Option<Spoken> {
        let front = self.clauses.front_mut()?;
        let clause = front.id;
        if front.frames_left == 0 {
            self.clauses.pop_front();
            return Some(Spoken::End { clause });
        }
        let frame = pool.fill(at, tone).ok()?;
        front.frames_left -= 1;
        Some(Spoken::Frame { clause, frame })
    }

    fn ready(&self) -> bool {
        !self.clauses.is_empty()
    }

    fn length_ms(&self, clause: ClauseId) -> Option<u32> {
        self.clauses.iter().find(|c| c.id == clause).map(|c| c.frames.saturating_mul(FRAME_MS))
    }

    fn cancel(&mut self, utterance: u64) {
        self.clauses.retain(|clause| clause.id.utterance != utterance);
    }
}

fn tone(samples: &mut [i16; FRAME_SAMPLES]) -> Result<(), std::convert::Infallible> {
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = if (at / TONE_HALF_PERIOD).is_multiple_of(2) { TONE_AMPLITUDE } else { -TONE_AMPLITUDE };
    }
    Ok(())
}

/// Calls a frame speech by its peak.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vad;

impl crate::Vad for Vad {
    fn push(&mut self, frame: &Frame) -> f32 {
        let loud = frame.samples().iter().any(|sample| sample.unsigned_abs() >= SPEECH_PEAK);
        if loud { 1.0 } else { 0.0 }
    }

    fn reset(&mut self) {}
}

/// Gives the script's scores in order.
pub struct TurnDetector {
    script: VecDeque<f32>,
    answers: VecDeque<Scored>,
    wake: Wake,
}

impl TurnDetector {
    /// A line at the beginning of the script.
    #[must_use]
    pub fn new(script: &Script, wake: Wake) -> Self {
        Self { script: script.finished.clone(), answers: VecDeque::new(), wake }
    }
}

impl crate::TurnDetector for TurnDetector {
    fn push(&mut self, _frame: &Frame) {}

    fn score(&mut self, job: Job, _due: Due) -> Result<(), TurnError> {
        let finished = self.script.pop_front().unwrap_or(1.0);
        self.answers.clear();
        self.answers.push_back(Scored { job, finished });
        (self.wake)();
        Ok(())
    }

    fn give_up(&mut self, job: Job) {
        self.answers.retain(|scored| scored.job != job);
    }

    fn poll(&mut self) -> Option<Scored> {
        self.answers.pop_front()
    }

    fn reset(&mut self) {
        self.answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recognizer as _, Synthesizer as _, TurnDetector as _};
    use std::sync::Arc;

    fn quiet() -> Wake {
        Arc::new(|| {})
    }

    #[test]
    fn the_script_moves_on_when_an_answered_utterance_ends() {
        let script = Script::new().hears("one").fails(RecognizerError::Engine).hears("two");
        let mut line = Recognizer::new(&script, quiet());
        let mut check = |reset: bool, want: &str, failed: Option<RecognizerError>| {
            if reset {
                line.reset(0);
            }
            line.recognize(Job(7), Due::Idle).unwrap();
            let heard = line.poll().unwrap();
            assert_eq!((heard.text.as_str(), heard.failed, heard.job), (want, failed, Job(7)));
            assert!(line.poll().is_none());
        };
        check(false, "one", None);
        check(false, "one", None);
        check(true, "", Some(RecognizerError::Engine));
        check(true, "two", None);
        check(true, "", None);
    }

    #[test]
    fn a_slow_line_answers_after_so_many_polls() {
        let mut line = Recognizer::new(&Script::new().hears("one").polls_per_text(2), quiet());
        line.recognize(Job(1), Due::Idle).unwrap();
        let polled: Vec<bool> = (0..4).map(|_| line.poll().is_some()).collect();
        assert_eq!(polled, [false, false, true, false]);
    }

    #[test]
    fn clauses_come_in_order_and_a_cancelled_utterance_is_silent() {
        let mut line = Synthesizer::new(&Script::new().frames_per_char(1), quiet());
        let mut pool = FramePool::new(4);
        let id = |utterance, index| ClauseId { utterance, index };
        line.say(id(1, 0), "ab", Due::Idle).unwrap();
        line.say(id(1, 1), "c", Due::Idle).unwrap();
        line.say(id(2, 0), "d", Due::Idle).unwrap();
        let mut log = Vec::new();
        let mut turn = 0;
        while let Some(spoken) = line.poll(MediaTime::default(), &mut pool) {
            log.push(match spoken {
                Spoken::Frame { clause, .. } => format!("{}.{}", clause.utterance, clause.index),
                Spoken::End { clause } => format!("end {}.{}", clause.utterance, clause.index),
                Spoken::Failed { .. } => "failed".to_owned(),
            });
            turn += 1;
            if turn == 3 {
                line.cancel(1);
            }
        }
        assert_eq!(log, ["1.0", "1.0", "end 1.0", "2.0", "end 2.0"]);
        assert!(!line.ready());
    }

    #[test]
    fn a_line_takes_eight_clauses_of_bounded_length() {
        let mut line = Synthesizer::new(&Script::new(), quiet());
        let id = ClauseId { utterance: 0, index: 0 };
        assert_eq!(line.say(id, &"x".repeat(601), Due::Idle), Err(SynthesizerError::TooLong));
        for _ in 0..CLAUSES_MAX {
            line.say(id, "x", Due::Idle).unwrap();
        }
        assert_eq!(line.say(id, "x", Due::Idle), Err(SynthesizerError::Full));
    }

    #[test]
    fn scores_follow_the_script_and_then_agree() {
        let mut line = TurnDetector::new(&Script::new().scores(0.2), quiet());
        let mut check = |want: f32| {
            line.score(Job(1), Due::Idle).unwrap();
            assert_eq!(line.poll(), Some(Scored { job: Job(1), finished: want }));
        };
        check(0.2);
        check(1.0);
    }
}
