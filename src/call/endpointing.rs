//! Endpointing: from what is known of a paused utterance to "the caller has finished", as a probability.
//! It never waits, reads no clock and hears nothing itself.

use crate::call::timing::Judgement;
use crate::dialogue::{Ending, Expects};

/// From this probability on an utterance looks finished; below the other one it does not.
const FINISHED: f32 = 0.7;
const UNFINISHED: f32 = 0.45;

/// What each sign adds to the log odds that the caller has finished. Found by measurement: `cargo bench --bench turns`
/// has the table, and what each costs in cut-offs and in time.
mod weight {
    /// Times the log odds of the turn detector's score.
    pub const SCORE: f32 = 0.45;
    pub const WHOLE: f32 = 1.5;
    pub const UNDERSTOOD: f32 = 1.0;
    pub const FOREIGN: f32 = -1.0;
    pub const CUT: f32 = -4.0;
    pub const BEGUN: f32 = -3.0;
    pub const COMMA: f32 = -0.3;
    pub const SHORT_YES_OR_NO: f32 = 2.5;
    pub const SLOT_FILLED: f32 = 1.0;
    pub const SLOT_OPEN: f32 = -3.0;
    pub const NUMBER_COMPLETE: f32 = 1.0;
    pub const NUMBER_OPEN: f32 = -5.0;
    pub const NUMBER_UNSTEADY: f32 = -5.0;
    pub const TOO_MANY_WORDS: f32 = -5.0;
}
/// Scores nearer to 0 or 1 say no more.
const SCORE_MIN: f32 = 0.02;
/// The ear's count of voiced speech leaves out soft sounds.
const SOFT_MS: u32 = 200;

/// What the answer would do for what was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slot {
    /// Nothing in particular was asked for, or the caller speaks of something else.
    #[default]
    None,
    /// It was given.
    Filled,
    /// It is still wanted.
    Open,
}

/// What is known of an utterance whose caller may have finished.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub text: &'a str,
    /// The turn detector's; none while it still thinks, or is not there: go by text and silence.
    pub score: Option<f32>,
    pub ending: Ending,
    /// An earlier look at the same words found another number.
    pub unsteady: bool,
    pub expects: Expects,
    pub slot: Slot,
    /// The dialogue has an answer to these words, so they may be a whole request even if they do not sound like one.
    pub understood: bool,
    /// The agent has nothing to say to them, nor has a language model: they may be a beginning, or misheard.
    pub foreign: bool,
    /// How long the caller has really spoken.
    pub voiced_ms: u32,
}

/// Probability that the caller has finished.
pub fn finished(evidence: Evidence<'_>) -> f32 {
    probability(log_odds(evidence))
}

pub fn probability(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// What two looks at the same utterance say together: with more silence behind them recognizers hear the last word better, or
/// make up an end.
pub fn together(earlier: f32, later: f32) -> f32 {
    f32::midpoint(earlier, later)
}

/// The signs of words, sound and question, added up: the log odds that the caller has finished.
pub fn log_odds(evidence: Evidence<'_>) -> f32 {
    let Evidence { text, score, ending, unsteady, expects, slot, understood, foreign, voiced_ms } = evidence;
    let score = score.unwrap_or(0.5).clamp(SCORE_MIN, 1.0 - SCORE_MIN);
    let short = text.split_whitespace().count() <= 3;
    let too_many = ending.spoken_ms_min > voiced_ms.saturating_add(SOFT_MS);
    let signs = [
        (ending.whole, weight::WHOLE),
        (understood, weight::UNDERSTOOD),
        (foreign, weight::FOREIGN),
        (ending.cut, weight::CUT),
        (ending.begun, weight::BEGUN),
        // The recognizer puts commas by guess.
        (text.trim_end().ends_with(','), weight::COMMA),
        (expects == Expects::YesNo && short && !ending.cut, weight::SHORT_YES_OR_NO),
        (slot == Slot::Filled, weight::SLOT_FILLED),
        (slot == Slot::Open, weight::SLOT_OPEN),
        (ending.number.is_some_and(|n| n.complete), weight::NUMBER_COMPLETE),
        (ending.number.is_some_and(|n| !n.complete), weight::NUMBER_OPEN),
        (unsteady, weight::NUMBER_UNSTEADY),
        // Recognizers invent, above all digits: "555-555-5555" from three fives.
        (too_many, weight::TOO_MANY_WORDS),
    ];
    let signs: f32 = signs.into_iter().filter(|(seen, _)| *seen).map(|(_, weight)| weight).sum();
    weight::SCORE * (score / (1.0 - score)).ln() + signs
}

/// What a probability means for how long to wait.
pub fn judge(finished: f32) -> Judgement {
    match finished {
        p if p >= FINISHED => Judgement::Finished,
        p if p >= UNFINISHED => Judgement::Unsure,
        _ => Judgement::Unfinished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was said, how it scored, and what is made of it; signs as words, separated by spaces.
    fn check(text: &str, score: f32, signs: &str, want: Judgement) {
        let has = |sign: &str| signs.split(' ').any(|s| s == sign);
        let ending = Ending { cut: has("cut"), begun: has("begun"), whole: has("whole"), ..Ending::default() };
        let slot = if has("filled") { Slot::Filled } else { Slot::None };
        let evidence = Evidence {
            text,
            score: (score > 0.0).then_some(score),
            ending,
            unsteady: has("unsteady"),
            expects: if has("yes-no") { Expects::YesNo } else { Expects::Anything },
            slot: if has("open") { Slot::Open } else { slot },
            understood: has("understood"),
            foreign: has("foreign"),
            voiced_ms: if has("too-many") { 0 } else { 5000 },
        };
        let ending = Ending { spoken_ms_min: 1000, ..evidence.ending };
        let p = finished(Evidence { ending, ..evidence });
        assert_eq!(judge(p), want, "{text} {score} {signs}: {p}");
    }

    #[test]
    fn words_sound_and_question_judge_together() {
        use Judgement::{Finished, Unfinished, Unsure};
        check("What time do you open on Saturday?", 0.98, "understood whole", Finished);
        check("What time do you open on Saturday?", 0.0, "understood whole", Finished);
        check("What time do you open on", 0.9, "understood begun cut", Unfinished);
        check("I'd like to", 0.98, "cut", Unfinished);
        check("Who won the match last night?", 0.9, "", Finished);
        check("I need it.", 0.85, "foreign", Unfinished);
        check("Who won the match last night?", 0.95, "foreign", Unsure);
        check("555-123-4567", 0.98, "understood filled unsteady", Unfinished);
        check("Who won the match", 0.45, "", Unsure);
        check("Who won", 0.05, "", Unfinished);
        check("I'd like an appointment on Tuesday at three", 0.09, "understood", Unsure);
        check("Half past ten in the morning,", 0.07, "understood filled", Unsure);
        check("My name", 0.95, "open", Unfinished);
        check("No.", 0.05, "yes-no understood", Finished);
        check("No,", 0.06, "yes-no", Finished);
        check("555-555-5555", 0.98, "understood filled too-many", Unfinished);
    }
}
