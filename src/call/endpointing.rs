//! The ear: from speech probabilities, a score and a text to "the caller has finished".
//! It decides from audio time only and never waits or reads a clock.

use media::MediaTime;

use crate::call::timing::Judgement;
use crate::config::Turn;
use crate::dialogue::Expects;

/// Probability from which a frame counts as speech. The detector itself lets go some 100 ms late; a lower
/// mark for speech that goes on would add to that.
const SPEECH: f32 = 0.5;
/// Frames of speech, nearly in a row, that begin an utterance.
const FRAMES_TO_BEGIN: u32 = 2;
/// A turn detector's score from which an utterance looks finished, and below which it does not.
const SCORE_FINISHED: f32 = 0.5;
const SCORE_UNFINISHED: f32 = 0.15;
const FRAME_MS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarEvent {
    /// The caller began to speak.
    Started,
    /// Enough silence that the turn may be over.
    Paused,
    /// The caller spoke on after a pause.
    Resumed,
}

#[derive(Debug)]
pub struct Ear {
    turn: Turn,
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
        Self { turn, rising: 0, speaking: false, paused: false, voiced_ms: 0, silence_ms: 0, now: MediaTime::default() }
    }

    /// Takes 20 ms of audio as the detector saw it.
    pub fn frame(&mut self, at: MediaTime, speech: f32) -> Option<EarEvent> {
        self.now = at;
        if !self.speaking {
            return self.wait_for_speech(speech);
        }
        if speech >= SPEECH {
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

    fn wait_for_speech(&mut self, speech: f32) -> Option<EarEvent> {
        if speech < SPEECH {
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
        *self = Self { now: self.now, ..Self::new(self.turn) };
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

    /// Silence after which an utterance so judged is over.
    pub fn patience_ms(&self, judgement: Judgement) -> u32 {
        match judgement {
            Judgement::Finished | Judgement::Key | Judgement::Silence => self.turn.finished_ms,
            Judgement::Unsure => self.turn.unsure_ms,
            Judgement::Unfinished => self.turn.unfinished_ms,
        }
    }
}

/// What is known of an utterance whose caller may have finished.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub text: &'a str,
    /// The turn detector's; none while it still thinks, or is not there: go by text and silence.
    pub score: Option<f32>,
    pub expects: Expects,
    /// The dialogue has an answer to these words, so they are a whole request even if they do not sound like one.
    pub understood: bool,
    /// A number was asked for, and after these words it still is: they are its beginning.
    pub number_open: bool,
}

/// Whether the words, the sound and what was asked say that the caller has finished.
pub fn judge(evidence: Evidence<'_>) -> Judgement {
    let Evidence { text, score, expects, understood, number_open } = evidence;
    if number_open {
        return Judgement::Unfinished;
    }
    if expects == Expects::YesNo && is_short(text) {
        return Judgement::Finished;
    }
    if looks_cut(text) {
        return Judgement::Unfinished;
    }
    // The recognizer puts commas by guess: one at the end takes a judgement down by a step, no more.
    let comma = text.trim_end().ends_with(',') && !understood;
    match score {
        Some(s) if s >= SCORE_FINISHED && comma => Judgement::Unsure,
        Some(s) if s >= SCORE_FINISHED => Judgement::Finished,
        _ if comma => Judgement::Unfinished,
        Some(s) if s < SCORE_UNFINISHED && !understood => Judgement::Unfinished,
        _ => Judgement::Unsure,
    }
}

fn is_short(text: &str) -> bool {
    text.split_whitespace().count() <= 3
}

/// A sentence that ends in a word that cannot end one, in a dash or dots, or in a filler.
fn looks_cut(text: &str) -> bool {
    const OPEN: [&str; 34] = [
        "a", "an", "and", "at", "but", "for", "from", "i'd", "i'm", "in", "is", "like", "my", "of", "on", "or", "the",
        "to", "um", "uh", "with", "я", "и", "в", "на", "к", "с", "или", "но", "для", "мой", "моя", "эм", "хочу",
    ];
    let text = text.trim_end();
    if text.ends_with(['-', '…', ':']) || text.ends_with("...") {
        return true;
    }
    let last = text.trim_end_matches(|c: char| !c.is_alphanumeric());
    let last = last.rsplit(char::is_whitespace).next().unwrap_or_default().to_lowercase();
    OPEN.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each character is 20 ms: `#` speech, `.` silence. Events are expected as `@ms name`.
    fn check(audio: &str, events: &str) {
        let mut ear = Ear::new(Turn::default());
        let mut seen = vec![];
        for (n, c) in audio.chars().filter(|c| !c.is_whitespace()).enumerate() {
            let at_ms = n as u32 * 20;
            let at = MediaTime::from_ms(at_ms.into());
            if let Some(e) = ear.frame(at, if c == '#' { 0.9 } else { 0.05 }) {
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
    }

    #[test]
    fn text_sound_and_question_judge_together() {
        use Expects::{Anything, YesNo};
        use Judgement::{Finished, Unfinished, Unsure};
        let evidence = |text, score| Evidence { text, score, expects: Anything, understood: false, number_open: false };
        for (text, score, want) in [
            ("What time do you open on Saturday?", Some(0.9), Finished),
            ("What time do you open on Saturday?", None, Unsure),
            ("What time do you open on", Some(0.9), Unfinished),
            ("I'd like to", Some(0.6), Unfinished),
            ("Um,", Some(0.9), Unfinished),
            ("Half past ten,", Some(0.9), Unsure),
            ("Half past ten,", Some(0.3), Unfinished),
            ("What time", Some(0.05), Unfinished),
        ] {
            assert_eq!(judge(evidence(text, score)), want, "{text} {score:?}");
        }
        let understood = |text, score| judge(Evidence { understood: true, ..evidence(text, score) });
        assert_eq!(understood("I want to speak to a real person.", Some(0.05)), Unsure);
        assert_eq!(understood("I want to speak to a real person,", Some(0.9)), Finished);
        assert_eq!(understood("I'd like to", Some(0.05)), Unfinished);
        assert_eq!(judge(Evidence { expects: YesNo, ..evidence("No.", Some(0.05)) }), Finished);
        assert_eq!(judge(Evidence { number_open: true, ..evidence("five five five", Some(0.9)) }), Unfinished);
    }
}
