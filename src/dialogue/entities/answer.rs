//! Yes and no, for bookings and offers: a closed grammar over whole turns and over the first words of
//! longer ones. Consent has a stricter grammar of its own and never asks this one.

use super::super::text::{Break, Word};
use super::{Lexicon, at};

/// A turn that holds nothing but yes, no, listening noises and politeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Yes,
    /// "Okay", "uh huh": a yes where one was asked for, else only "I am listening".
    Soft,
    No,
    /// "That's all": no to "anything else?".
    Enough,
    /// "Um": nothing yet.
    Filler,
    /// Yes and no in one breath.
    Mixed,
}

/// The whole turn as a closed answer; None where it says anything more.
pub(crate) fn closed(words: &[Word], lexicon: &Lexicon) -> Option<Closed> {
    let mut seen: Vec<Closed> = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let (kind, length) = piece(words, i, lexicon)?;
        if let Some(kind) = kind {
            seen.push(kind);
        }
        i += length;
    }
    let has = |kind| seen.contains(&kind);
    if has(Closed::No) && has(Closed::Yes) {
        return Some(Closed::Mixed);
    }
    [Closed::No, Closed::Enough, Closed::Yes, Closed::Soft, Closed::Filler].into_iter().find(|kind| has(*kind))
}

/// Nothing but yes, listening noises and politeness.
pub(crate) fn nods(words: &[Word], lexicon: &Lexicon) -> bool {
    let mut i = 0;
    while let Some((kind, length)) = piece(words, i, lexicon).filter(|_| i < words.len()) {
        if matches!(kind, Some(Closed::No | Closed::Enough | Closed::Mixed)) {
            return false;
        }
        i += length;
    }
    i > 0 && i >= words.len()
}

/// A clear yes or no at the start of a longer turn, and where the rest begins.
pub(crate) fn leading(words: &[Word], lexicon: &Lexicon) -> (Option<bool>, usize) {
    let mut answer = None;
    let mut i = 0;
    while let Some((kind, length)) = piece(words, i, lexicon).filter(|_| i < words.len()) {
        match (kind, answer) {
            (Some(Closed::Yes | Closed::Soft), None) => answer = Some(true),
            (Some(Closed::No), _) => answer = Some(false),
            (Some(Closed::Yes), Some(false)) => break,
            _ => {}
        }
        i += length;
    }
    (answer, i)
}

/// Whether the rest of a turn takes a yes back: "yes, but not on Monday".
pub(crate) fn negated(words: &[Word], lexicon: &Lexicon) -> bool {
    words.iter().any(|word| lexicon.negations.contains(&word.text.as_str()) || word.after == Break::Question)
}

fn piece(words: &[Word], i: usize, lexicon: &Lexicon) -> Option<(Option<Closed>, usize)> {
    let kinds = [
        (Closed::No, lexicon.no),
        (Closed::Enough, lexicon.enough),
        (Closed::Yes, lexicon.clear_yes),
        (Closed::Soft, lexicon.soft_yes),
        (Closed::Filler, lexicon.fillers),
    ];
    // Of two that are equally long the earlier kind counts: a "no" is never outvoted.
    let mut best = (None, at(words, i, lexicon.polite));
    for (kind, phrases) in kinds {
        let length = at(words, i, phrases);
        if length > best.1 || (best.0.is_none() && length == best.1) {
            best = (Some(kind), length);
        }
    }
    (best.1 > 0).then_some(best)
}
