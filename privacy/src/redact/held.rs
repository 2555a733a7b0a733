//! Lines that wait until it is clear that none of their digits belong to a card number read over several
//! turns. They live in memory only, are bounded and wiped.

use std::collections::VecDeque;
use std::ops::Range;

use zeroize::Zeroizing;

use super::digits::Gap;
use super::pause::{Line, Speaker};
use super::{Context, Counts, Found, Redacted, Redactor, card, joined, lexicon, masked, person, read, token};
use crate::{Scope, Time};

/// Words of a speaker that may part two pieces of one card number said in different turns.
pub(super) const WORDS_MAX: usize = 40;
/// Fewer digits are no piece of a card number by themselves.
pub(super) const PIECE_MIN: usize = 4;
/// Digits behind a digit that decide whether a card number of nineteen holds it.
const DIGITS_AFTER: usize = 18;

pub(super) struct Item {
    pub line: Line,
    /// It was keyed, not said.
    pub keys: bool,
    found: Vec<Found>,
    /// It has any.
    numbers: bool,
    /// At least so many, in whatever reading.
    digits: usize,
    words_before: usize,
    words_after: usize,
}

/// What the caller's last words look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Plain,
    /// So many digits that may begin a card number (without end where the check digit says it is one), from
    /// this held line on; the line asked about has the index after the last.
    Card {
        digits: usize,
        item: usize,
    },
}

#[derive(Default)]
pub(super) struct Held {
    items: VecDeque<Item>,
    bytes: usize,
}

/// Several lines as one text.
struct Joint {
    text: Zeroizing<String>,
    /// Index of the item and where it lies.
    parts: Vec<(usize, Range<usize>)>,
}

impl Joint {
    fn new<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut joint = Self { text: Zeroizing::new(String::new()), parts: Vec::new() };
        for (item, text) in lines {
            let start = joint.text.len();
            joint.text.push_str(text);
            joint.parts.push((item, start..joint.text.len()));
            joint.text.push('\n');
        }
        joint
    }

    fn item_at(&self, byte: usize) -> usize {
        let part = self.parts.partition_point(|(_, at)| at.end < byte);
        self.parts.get(part).or(self.parts.last()).map_or(0, |(item, _)| *item)
    }
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn has_digits(&self) -> bool {
        self.items.iter().any(|item| item.numbers)
    }

    /// When the first line began that has digits; those before it do not wait.
    pub fn from(&self) -> Option<Time> {
        self.items.front().map(|item| item.line.from)
    }

    pub fn push(&mut self, line: Line, keys: bool, language: &str) {
        let tokens = token::tokens(&line.text);
        let lattice = read(&line.text, &tokens, language, Some(WORDS_MAX));
        let counted = |from: usize, to: usize| {
            tokens[from..to].iter().filter(|token| token.is_word() && !lexicon::is_filler(&token.text)).count()
        };
        let first = lattice.atoms.first().map_or(tokens.len(), |atom| atom.token);
        let last = lattice.atoms.last().map_or(0, |atom| atom.token + 1);
        self.bytes += line.text.len();
        self.items.push_back(Item {
            keys,
            found: Vec::new(),
            numbers: lattice.edges.iter().flatten().any(|edge| !edge.digits.is_empty()),
            digits: lattice.least_digits(),
            words_before: counted(0, first),
            words_after: counted(last, tokens.len()),
            line,
        });
    }

    /// Nothing waits for the digits of the last line.
    pub fn clear_last(&mut self) {
        self.items.back_mut().into_iter().for_each(|item| item.numbers = false);
    }

    pub fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.line.text.len();
        Some(item)
    }

    /// Whether nothing that comes later can make the first line's digits part of a card.
    pub fn first_is_clear(&self) -> bool {
        let Some(first) = self.items.front() else { return false };
        let mut digits = 0;
        let mut words = first.words_after;
        let later = self.items.iter().skip(1).filter(|item| item.line.speaker == first.line.speaker);
        for item in later {
            words += item.words_before;
            if item.numbers && words <= WORDS_MAX {
                digits += item.digits;
                words = item.words_after;
            }
            if words > WORDS_MAX {
                break;
            }
        }
        !first.numbers || digits >= DIGITS_AFTER || words > WORDS_MAX
    }

    /// Marks what is private in the lines together: of each speaker, and of both.
    pub fn mark(&mut self, redactor: &Redactor, language: &str, scope: &Scope, card: bool) {
        let context = Context { card, loose: Some(WORDS_MAX) };
        for speaker in [Some(Speaker::Caller), Some(Speaker::Agent), None] {
            let of = |item: &Item| speaker.is_none_or(|speaker| speaker == item.line.speaker);
            let lines = self.items.iter().enumerate().filter(|(_, item)| of(item));
            let joint = Joint::new(lines.map(|(i, item)| (i, item.line.text.as_str())));
            let found = redactor.find(&joint.text, language, context, |kind| redactor.rules.masks(kind, scope));
            for (item, part) in &joint.parts {
                let inside = found.iter().filter(|one| one.at.start < part.end && one.at.end > part.start);
                let own = inside.map(|one| Found {
                    kind: one.kind,
                    at: one.at.start.max(part.start) - part.start..one.at.end.min(part.end) - part.start,
                });
                let item = &mut self.items[*item];
                item.found.extend(own);
                item.found = joined(std::mem::take(&mut item.found));
            }
        }
    }

    /// What the caller's words look like with `more` behind those held.
    pub fn looks(&self, more: &str, language: &str) -> Looks {
        let callers = self.items.iter().enumerate().filter(|(_, item)| item.line.speaker == Speaker::Caller);
        let held = callers.map(|(i, item)| (i, item.line.text.as_str()));
        let joint = Joint::new(held.chain([(self.items.len(), more)]));
        let tokens = token::tokens(&joint.text);
        let lattice = read(&joint.text, &tokens, language, Some(WORDS_MAX));
        if let Some(card) = card::find(&lattice, true).last() {
            let item = joint.item_at(lattice.span(card.clone()).start);
            return Looks::Card { digits: usize::MAX, item };
        }
        let mut known = person::phones(&joint.text, &tokens, &lattice);
        known.extend(person::iins(&tokens, &lattice));
        let explained = |atom: usize| {
            let at = &lattice.atoms[atom].at;
            lattice.atoms[atom].explained || known.iter().any(|span| span.start < at.end && at.start < span.end)
        };
        // Pieces of four digits and more go together over some words; smaller ones only by their check digit.
        let (mut most, mut from) = (0, 0);
        let (mut chain, mut chain_from, mut at) = (0, 0, 0);
        while at < lattice.atoms.len() {
            let groups = lattice.groups(at, Gap::Tight);
            let end = groups.last().map_or(at + 1, |group| group.atoms.end);
            if lattice.atoms[at].gap == Gap::Break {
                chain = 0;
            }
            let free: Vec<_> = groups.iter().filter(|group| !explained(group.atoms.start)).collect();
            // A beginning further in is a beginning too: "room 5, 4111 1111".
            let begins = |group: &&&super::digits::Group| chain > 0 || begins_card(&lattice, group.atoms.start);
            let first = free.iter().position(|group| begins(&group));
            let digits: usize = first.map_or(0, |first| free[first..].iter().map(|group| group.digits.len()).sum());
            if let Some(first) = first.filter(|_| digits >= PIECE_MIN) {
                if chain == 0 {
                    chain_from = lattice.atoms[free[first].atoms.start].at.start;
                }
                chain += digits;
            }
            if chain > most {
                (most, from) = (chain, chain_from);
            }
            at = end;
        }
        if most >= PIECE_MIN { Looks::Card { digits: most, item: joint.item_at(from) } } else { Looks::Plain }
    }
}

/// The digits from there on begin as some issuer's cards do.
fn begins_card(lattice: &super::digits::Lattice, atom: usize) -> bool {
    card::begins_as(lattice, atom, |prefix| (13..=19).any(|length| card::issued(prefix, length)))
}

impl Item {
    /// What may be kept of it; `digits`: none of its digits may.
    pub fn redacted(&self, digits: bool, language: &str) -> Redacted {
        let mut found = self.found.clone();
        if digits {
            found.extend(super::digits(&self.line.text, language));
        }
        masked(&self.line.text, 0..self.line.text.len(), &joined(found))
    }

    /// Whether its sound may not be kept either.
    pub fn is_heard(&self, redactor: &Redactor, language: &str) -> bool {
        self.found.iter().any(|one| one.kind.always())
            || redactor.redact(&self.line.text, language, &Scope::Audio).found != Counts::default()
    }
}

/// How many digits a text has, in plain reading.
pub(super) fn count_digits(text: &str, language: &str) -> usize {
    let tokens = token::tokens(text);
    let lattice = read(text, &tokens, language, None);
    let mut at = 0;
    let mut count = 0;
    while let Some(edge) = lattice.plain(at) {
        count += edge.digits.len();
        at += edge.atoms;
    }
    count
}
