//! Phone numbers, said or written: "five five five, one two three", "555-123-4567", "double five",
//! "восемь девятьсот двенадцать". Only digits come out; whose number it is, nobody asks here.

use super::super::text::Word;
use super::{Lexicon, Mention, number, text};

/// Fewer digits are no phone number; E.164 allows at most 15.
pub(crate) const DIGITS_MIN: usize = 7;
pub(crate) const DIGITS_MAX: usize = 15;

/// The longest run of digits; where a phone number is asked for, all runs of the turn as one, and
/// "to" or "for" between digits is a digit.
pub(super) fn find(words: &[Word], lexicon: &Lexicon, asked: bool) -> Option<Mention<String>> {
    let mut best: Option<Mention<String>> = None;
    let mut i = 0;
    while i < words.len() {
        let (digits, end) = run(words, i, lexicon, asked);
        if digits.is_empty() {
            i += 1;
            continue;
        }
        best = Some(match best {
            Some(before) if asked => Mention { value: before.value + &digits, span: before.span.start..end },
            Some(before) if before.value.len() >= digits.len() => before,
            _ => Mention { value: digits, span: i..end },
        });
        i = end;
    }
    let mut found = best?;
    found.value.truncate(DIGITS_MAX);
    if words.get(found.span.start).is_some_and(|word| word.raw.starts_with('+')) {
        found.value.insert(0, '+');
    }
    Some(found)
}

/// The digits of consecutive number words from `start`, and where they end.
fn run(words: &[Word], start: usize, lexicon: &Lexicon, asked: bool) -> (String, usize) {
    let mut digits = String::new();
    let mut i = start;
    while i < words.len() && digits.len() <= 2 * DIGITS_MAX {
        let Some((piece, length)) = group(words, i, lexicon, asked && !digits.is_empty()) else { break };
        digits.push_str(&piece);
        i += length;
    }
    (digits, i)
}

/// One group: "double five" 55, "eight hundred" 800, "twenty five" 25, "девятьсот двенадцать" 912, "555".
fn group(words: &[Word], i: usize, lexicon: &Lexicon, inside: bool) -> Option<(String, usize)> {
    let word = text(words, i);
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/')) {
        return Some((word.chars().filter(char::is_ascii_digit).collect(), 1));
    }
    if let Some((_, times)) = lexicon.repeat_digit.iter().find(|(known, _)| *known == word) {
        let (piece, length) = digit(words, i + 1, lexicon)?;
        return Some((piece.to_string().repeat(*times), length + 1));
    }
    if lexicon.digit_zero.contains(&word) {
        let neighbours = inside || number::simple(words, i + 1, lexicon).is_some();
        return neighbours.then(|| ("0".to_owned(), 1));
    }
    if let Some((value, _)) = number::simple(words, i, lexicon) {
        return Some(compound(words, i, value, lexicon));
    }
    let before_digit = number::simple(words, i + 1, lexicon).is_some();
    let homophone = lexicon.digit_homophones.iter().find(|(known, _)| *known == word);
    homophone.filter(|_| inside && before_digit).map(|(_, value)| (value.to_string(), 1))
}

fn digit(words: &[Word], i: usize, lexicon: &Lexicon) -> Option<(u32, usize)> {
    if lexicon.digit_zero.contains(&text(words, i)) {
        return Some((0, 1));
    }
    number::simple(words, i, lexicon).filter(|(value, _)| *value < 10)
}

/// Hundreds take tens, tens take units, as far as they fit: 900 + 12, 40 + 5.
fn compound(words: &[Word], i: usize, first: u32, lexicon: &Lexicon) -> (String, usize) {
    if first < 10 && lexicon.hundred.contains(&text(words, i + 1)) && first > 0 {
        return ((first * 100).to_string(), 2);
    }
    let (mut value, mut length) = (first, 1);
    for (from, below) in [(100, 100), (20, 10)] {
        let room = match from {
            100 => value >= 100 && value.is_multiple_of(100),
            _ => value % 100 >= 20 && value.is_multiple_of(10),
        };
        let next = number::simple(words, i + length, lexicon).filter(|_| !is_digits(words, i + length));
        if let Some((next, _)) = next.filter(|(next, _)| room && *next > 0 && *next < below) {
            value += next;
            length += 1;
        }
    }
    (value.to_string(), length)
}

fn is_digits(words: &[Word], i: usize) -> bool {
    text(words, i).starts_with(|c: char| c.is_ascii_digit())
}
