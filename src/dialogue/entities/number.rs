//! Numbers in words and digits: "twenty five", "двадцать пять", "25", "the 26th".
//! Up to 999 and no further: nobody's days, hours or digits need more.

use super::super::text::Word;
use super::{Lexicon, text};

/// A cardinal below 100 at `at`, and how many words it covers.
pub(super) fn cardinal(words: &[Word], at: usize, lexicon: &Lexicon) -> Option<(u32, usize)> {
    let (value, mut length) = simple(words, at, lexicon)?;
    let is_word = !text(words, at).starts_with(|c: char| c.is_ascii_digit());
    if is_word
        && (20..100).contains(&value)
        && value % 10 == 0
        && let Some((unit, _)) = simple(words, at + 1, lexicon).filter(|(unit, _)| (1..10).contains(unit))
        && !text(words, at + 1).starts_with(|c: char| c.is_ascii_digit())
    {
        length += 1;
        return Some((value + unit, length));
    }
    (value < 100).then_some((value, length))
}

/// One word's number: a word of the table or plain digits.
pub(super) fn simple(words: &[Word], at: usize, lexicon: &Lexicon) -> Option<(u32, usize)> {
    let word = text(words, at);
    if !word.is_empty() && word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit()) {
        return word.parse().ok().map(|value| (value, 1));
    }
    lexicon.cardinals.iter().find(|(known, _)| *known == word).map(|(_, value)| (*value, 1))
}

/// An ordinal from 1 to 31: "fifth", "twenty third", "26th".
pub(super) fn ordinal(words: &[Word], at: usize, lexicon: &Lexicon) -> Option<(u32, usize)> {
    let one = |at: usize| lexicon.ordinals.iter().find(|(known, _)| *known == text(words, at)).map(|(_, v)| *v);
    if let Some(value) = one(at) {
        return Some((value, 1));
    }
    let (value, _) = simple(words, at, lexicon)?;
    let digits = text(words, at).starts_with(|c: char| c.is_ascii_digit());
    if digits && lexicon.ordinal_suffixes.contains(&text(words, at + 1)) {
        return (1..=31).contains(&value).then_some((value, 2));
    }
    let unit = one(at + 1).filter(|unit| *unit < 10)?;
    (!digits && matches!(value, 20 | 30)).then_some((value + unit, 2)).filter(|(value, _)| *value <= 31)
}
