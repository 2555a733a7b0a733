//! Numbers of persons: the Kazakh individual identification number (IIN) and phone numbers, written or
//! said. It masks nothing itself.

use std::ops::Range;

use super::digits::{Gap, Group, Lattice};
use super::lexicon;
use super::token::{Token, words};

const IIN_DIGITS: usize = 12;
/// Readings tried from one beginning.
const READINGS_MAX: usize = 1000;
/// Words from "IIN" or "phone" to the number.
const WORDS_BEFORE: usize = 10;
/// E.164: a number has fifteen digits at most.
const PHONE_MAX: usize = 15;

/// The IINs' bytes: by date, century and check digit; after its name, whatever has about its length.
pub(super) fn iins(tokens: &[Token], lattice: &Lattice) -> Vec<Range<usize>> {
    let named = marks(tokens, lexicon::about_iin);
    let mut found = Vec::new();
    let mut segment_end = 0;
    let mut at = 0;
    while at < lattice.atoms.len() {
        if at >= segment_end {
            let groups = lattice.groups(at, Gap::Tight);
            segment_end = groups.last().map_or(at + 1, |group| group.atoms.end);
            let digits: usize = groups.iter().map(|group| group.digits.len()).sum();
            if (10..=14).contains(&digits) && said_before(&named, lattice.atoms[at].token) {
                found.push(lattice.span(at..segment_end));
            }
        }
        match iin_at(lattice, at, said_before(&named, lattice.atoms[at].token)) {
            Some(end) => {
                found.push(lattice.span(at..end));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// Where an IIN that begins here ends. Every reading counts where one was `named`, else the plain one.
fn iin_at(lattice: &Lattice, start: usize, named: bool) -> Option<usize> {
    if !lattice.whole_at(start) {
        return None;
    }
    let mut open = vec![(start, [0_u8; IIN_DIGITS], 0_usize)];
    for _ in 0..READINGS_MAX {
        let (at, digits, length) = open.pop()?;
        for edge in lattice.edges.get(at).into_iter().flatten().filter(|edge| named || edge.plain) {
            let longer = length + edge.digits.len();
            let end = at + edge.atoms;
            let explained = lattice.atoms[at..end].iter().any(|atom| atom.explained);
            let parted = at > start && lattice.atoms[at].gap > Gap::Loose;
            if longer > IIN_DIGITS || explained || parted || (at == start && edge.digits.is_empty()) {
                continue;
            }
            let mut digits = digits;
            digits[length..longer].copy_from_slice(&edge.digits);
            if longer == IIN_DIGITS {
                if lattice.whole_at(end) && is_iin(&digits) {
                    return Some(end);
                }
            } else if may_be_iin(&digits[..longer]) {
                open.push((end, digits, longer));
            }
        }
    }
    None
}

/// A date of birth as year, month, day, then the century and sex.
fn may_be_iin(digits: &[u8]) -> bool {
    let two = |i: usize| digits.get(i..i + 2).map(|pair| u32::from(pair[0]) * 10 + u32::from(pair[1]));
    two(2).is_none_or(|month| (1..=12).contains(&month))
        && two(4).is_none_or(|day| (1..=31).contains(&day))
        && digits.get(6).is_none_or(|century| *century <= 6)
}

/// The check digit: weights 1 to 11 modulo 11; where that gives ten, the weights turned by two; where
/// that gives ten too, the number is not issued.
fn is_iin(digits: &[u8; IIN_DIGITS]) -> bool {
    let sum = |turn: u32| {
        let weights = (0..11).map(|i| (i + turn) % 11 + 1);
        digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum::<u32>() % 11
    };
    let check = match sum(0) {
        10 => sum(2),
        check => check,
    };
    check < 10 && u32::from(digits[11]) == check && may_be_iin(digits)
}

/// The phone numbers' bytes.
pub(super) fn phones(text: &str, tokens: &[Token], lattice: &Lattice) -> Vec<Range<usize>> {
    let named = marks(tokens, lexicon::about_phone);
    let orders = marks(tokens, lexicon::about_order);
    let mut found = Vec::new();
    let mut at = 0;
    while at < lattice.atoms.len() {
        let groups = lattice.groups(at, Gap::Tight);
        let Some(last) = groups.last() else { break };
        let token = lattice.atoms[at].token;
        let seen = Seen {
            text,
            lattice,
            named: said_before(&named, token),
            ordered: orders.iter().any(|mark| *mark < token && token - mark <= 3),
        };
        seen.phones(tokens, &groups, &mut found);
        at = last.atoms.end;
    }
    found
}

fn marks(tokens: &[Token], about: fn(&[&str]) -> bool) -> Vec<usize> {
    let words = words(tokens);
    (0..words.len()).filter(|i| about(&words[*i..])).collect()
}

fn said_before(marks: &[usize], token: usize) -> bool {
    let before = marks.partition_point(|mark| *mark < token);
    before.checked_sub(1).and_then(|last| marks.get(last)).is_some_and(|mark| token - mark <= WORDS_BEFORE)
}

struct Seen<'a> {
    text: &'a str,
    lattice: &'a Lattice,
    /// A phone was spoken of just before.
    named: bool,
    /// An order, a contract, a ticket was.
    ordered: bool,
}

impl Seen<'_> {
    fn phones(&self, tokens: &[Token], groups: &[Group], found: &mut Vec<Range<usize>>) {
        let mut start = 0;
        while start < groups.len() {
            let plus = self.plus(tokens, groups[start].atoms.start);
            let mut digits: Vec<u8> = Vec::new();
            let (mut exact, mut likely) = (None, None);
            for (end, group) in groups.iter().enumerate().skip(start) {
                digits.extend(&group.digits);
                if digits.len() > PHONE_MAX + 2 || end - start > 2 * PHONE_MAX {
                    break;
                }
                let part = &groups[start..=end];
                let explained =
                    !plus && part.iter().any(|g| self.lattice.atoms[g.atoms.clone()].iter().any(|a| a.explained));
                if !explained && (plus || !self.ordered) {
                    exact = exact.or_else(|| self.is_whole(&digits, plus, part).then_some(end));
                    likely = if self.is_likely(&digits, plus, part) { Some(end) } else { likely };
                }
            }
            match exact.or(likely) {
                Some(end) => {
                    let atoms = groups[start].atoms.start..groups[end].atoms.end;
                    let at = self.lattice.span(atoms);
                    let before = self.text.get(..at.start).unwrap_or("");
                    found.push(before.trim_end_matches('(').trim_end_matches('+').trim_end_matches('(').len()..at.end);
                    start = end + 1;
                }
                None => start += 1,
            }
        }
    }

    fn plus(&self, tokens: &[Token], atom: usize) -> bool {
        let at = self.lattice.atoms[atom].at.start;
        let said = self.lattice.atoms[atom].token.checked_sub(1).and_then(|before| tokens.get(before));
        self.text.get(..at).is_some_and(|before| before.trim_end_matches([' ', '(']).ends_with('+'))
            || said.is_some_and(|token| matches!(token.text.as_str(), "plus" | "плюс" | "косу"))
    }

    /// A shape that only phone numbers have, of a length that is known.
    fn is_whole(&self, digits: &[u8], plus: bool, part: &[Group]) -> bool {
        let [first, second, ..] = digits else { return false };
        match digits.len() {
            11 if matches!(first, 7 | 8) => plus || (3..=9).contains(second),
            11 if *first == 1 => plus || (2..=9).contains(second),
            10 => *first > 1 && digits[3] > 1 && self.is_grouped(part),
            7 => self.is_local(part),
            _ => false,
        }
    }

    /// Ten digits as they are written in groups: 415 555 2671, 701 555 12 34.
    fn is_grouped(&self, part: &[Group]) -> bool {
        let usual = part.first().is_some_and(|group| matches!(group.digits.len(), 3 | 6 | 10));
        usual && !self.begins_long(part)
    }

    /// Ten digits that begin as eleven would: the last is still to come.
    fn begins_long(&self, part: &[Group]) -> bool {
        let next = part.last().and_then(|group| self.lattice.atoms.get(group.atoms.end));
        let eight = part.first().and_then(|group| group.digits.first()).is_some_and(|d| matches!(d, 1 | 7 | 8));
        eight && next.is_some_and(|atom| atom.gap <= Gap::Tight)
    }

    /// 555-1234, 55-12-345 is none: seven digits with hyphens after the first three.
    fn is_local(&self, part: &[Group]) -> bool {
        let lengths: Vec<usize> = part.iter().map(|group| group.digits.len()).collect();
        let hyphens = part.windows(2).all(|pair| {
            let between = self.lattice.span(pair[0].atoms.clone()).end..self.lattice.span(pair[1].atoms.clone()).start;
            self.text.get(between) == Some("-")
        });
        let written = part.iter().all(|group| self.lattice.is_written(group.atoms.start));
        written && hyphens && matches!(lengths[..], [3, 4] | [3, 2, 2])
    }

    fn is_likely(&self, digits: &[u8], plus: bool, part: &[Group]) -> bool {
        let said = part.iter().all(|group| !self.lattice.is_written(group.atoms.start));
        let count = digits.len();
        (plus && (8..=PHONE_MAX).contains(&count))
            || (digits.starts_with(&[0, 0]) && (10..=PHONE_MAX + 2).contains(&count))
            || (self.named && (6..=PHONE_MAX).contains(&count))
            || (said && (10..=12).contains(&count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iin(text: &str) -> bool {
        let digits: Vec<u8> = text.bytes().map(|b| b - b'0').collect();
        digits.try_into().is_ok_and(|digits| is_iin(&digits))
    }

    #[test]
    fn the_check_digit_of_an_iin_is_computed_in_two_ways() {
        // 9*1+0+0+1*4+0+1*6+3*7+0+0+0+7*11 = 117, 117 % 11 = 7.
        assert!(iin("900101300077"));
        assert!(!iin("900101300078"));
        assert!(!iin("901301300077"), "no thirteenth month");
        let second = (0..100_000_u32).map(|n| format!("9001013{n:05}")).filter(|text| {
            let sum: u32 = text.bytes().zip(1..=11).map(|(b, weight)| u32::from(b - b'0') * weight).sum();
            sum % 11 == 10
        });
        assert!(second.filter(|text| iin(text)).count() > 500, "some need the second weights");
    }
}
