//! Security codes and expiry dates: three or four digits are private only where a card is spoken of.
//! They are found by the words around them and by the card before them. It masks nothing itself.

use std::ops::Range;

use super::digits::{Gap, Group, Lattice};
use super::lexicon;
use super::token::{Token, What, words};
use super::{Found, Kind};

/// Words from "security code" to its digits, and from the digits to "is the security code".
const WORDS_BEFORE: usize = 10;
const WORDS_AFTER: usize = 5;
/// Words after a card number in which its date and code are expected.
const CARD_WORDS: usize = 40;
/// Words after it in which even what looks like a time is its date: "12:26".
const CLOSE_WORDS: usize = 3;
/// A date and a code in one breath: "12 2026 1234".
const DIGITS_MAX: usize = 10;

/// What is spoken of, by token.
struct Signs {
    codes: Vec<usize>,
    expiries: Vec<usize>,
    /// The last token of each card number.
    cards: Vec<usize>,
    /// A card is spoken of anywhere.
    any: bool,
}

/// `cards`: the atoms of card numbers. `begun`: a card was spoken of before this text.
pub(super) fn find(tokens: &[Token], lattice: &Lattice, cards: &[Range<usize>], begun: bool) -> Vec<Found> {
    let signs = signs(tokens, lattice, cards, begun);
    let mut found = Vec::new();
    if lattice.atoms.is_empty() || !signs.any {
        return found;
    }
    let mut taken = cards.iter().peekable();
    let mut at = 0;
    while at < lattice.atoms.len() {
        let groups = lattice.groups(at, Gap::Tight);
        let Some(end) = groups.last().map(|group| group.atoms.end) else { break };
        let mut part: Vec<Group> = Vec::new();
        for group in groups {
            while taken.next_if(|card| card.end <= group.atoms.start).is_some() {}
            if taken.peek().is_some_and(|card| card.start < group.atoms.end) {
                judge(&std::mem::take(&mut part), tokens, lattice, &signs, &mut found);
            } else {
                part.push(group);
            }
        }
        judge(&part, tokens, lattice, &signs, &mut found);
        at = end;
    }
    found
}

fn signs(tokens: &[Token], lattice: &Lattice, cards: &[Range<usize>], begun: bool) -> Signs {
    let words = words(tokens);
    let said =
        |about: fn(&[&str]) -> bool| -> Vec<usize> { (0..words.len()).filter(|i| about(&words[*i..])).collect() };
    let mut ends: Vec<usize> = cards.iter().filter_map(|card| Some(lattice.atoms.get(card.end - 1)?.token)).collect();
    let tagged =
        |token: &Token| token.what == What::Tag && matches!(token.text.as_str(), "card" | "expiry" | "security_code");
    ends.extend((0..tokens.len()).filter(|i| tagged(&tokens[*i])));
    if begun {
        ends.push(0);
    }
    ends.sort_unstable();
    let codes = said(lexicon::about_code);
    let any = !ends.is_empty() || !codes.is_empty() || !said(lexicon::about_card).is_empty();
    Signs { codes, expiries: said(lexicon::about_expiry), cards: ends, any }
}

/// How many tokens from the last of `marks` before `token`.
fn since(marks: &[usize], token: usize) -> Option<usize> {
    let before = marks.partition_point(|mark| *mark <= token);
    Some(token - marks.get(before.checked_sub(1)?)?)
}

fn until(marks: &[usize], token: usize) -> Option<usize> {
    marks.get(marks.partition_point(|mark| *mark < token)).map(|mark| mark - token)
}

/// One run of digits that is no card number.
fn judge(part: &[Group], tokens: &[Token], lattice: &Lattice, signs: &Signs, found: &mut Vec<Found>) {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { return };
    let (Some(start), Some(end)) = (lattice.atoms.get(first.atoms.start), lattice.atoms.get(last.atoms.end - 1)) else {
        return;
    };
    let near = |marks: &[usize]| {
        since(marks, start.token).is_some_and(|words| words <= WORDS_BEFORE)
            || until(marks, end.token).is_some_and(|words| words <= WORDS_AFTER)
    };
    let (code, expiry) = (near(&signs.codes), near(&signs.expiries));
    let card = since(&signs.cards, start.token).filter(|words| *words <= CARD_WORDS);
    if !code && !expiry && card.is_none() {
        return;
    }
    let close = expiry || card.is_some_and(|words| words <= CLOSE_WORDS);
    let month = month_before(tokens, start.token).filter(|_| close || card.is_some());
    let fits = |group: &&Group| {
        close || month.is_some() || !lattice.atoms[group.atoms.clone()].iter().any(|atom| atom.explained)
    };
    let mut digits: Vec<u8> = Vec::new();
    let mut stretch: Option<Range<usize>> = None;
    for group in part.iter().filter(fits) {
        if digits.len() + group.digits.len() > DIGITS_MAX {
            break;
        }
        digits.extend(&group.digits);
        stretch = Some(stretch.map_or(group.atoms.start, |known| known.start)..group.atoms.end);
    }
    let least = if month.is_some() { 2 } else { 3 };
    if let Some(stretch) = stretch.filter(|_| digits.len() >= least) {
        let mut at = lattice.span(stretch.clone());
        let dated = month.is_some() || looks_dated(&digits);
        if let Some(month) = month {
            at.start = at.start.min(tokens[month].at.start);
        }
        at.end = ordinal_after(tokens, lattice, stretch.end).unwrap_or(at.end);
        let kind = if dated && (expiry || !code) { Kind::Expiry } else { Kind::SecurityCode };
        found.push(Found { kind, at });
    }
}

/// "December 26", "12 2026": a month at most one word before the digits.
fn month_before(tokens: &[Token], token: usize) -> Option<usize> {
    let is_month = |at: &usize| tokens.get(*at).is_some_and(|t| t.is_word() && lexicon::month(&t.text).is_some());
    [token.wrapping_sub(1), token.wrapping_sub(2)].into_iter().find(is_month)
}

/// 1226, 126, 122026 and with a code behind.
fn looks_dated(digits: &[u8]) -> bool {
    let month = |digits: &[u8]| digits.iter().fold(0, |n: u32, d| n * 10 + u32::from(*d));
    digits.len() >= 4 && (1..=12).contains(&month(&digits[..2]))
}

/// "двадцать шестого": the end of a year is an ordinal, which is no digit of anything else.
fn ordinal_after(tokens: &[Token], lattice: &Lattice, end: usize) -> Option<usize> {
    let last = lattice.atoms.get(end.checked_sub(1)?)?;
    let next = tokens.get(last.token + 1)?;
    let ordinal = next.is_word() && (next.text.ends_with("ого") || next.text.ends_with("ьего"));
    ordinal.then_some(next.at.end)
}
