//! Masking before anything is stored, logged or sent: card numbers with their codes always, IINs,
//! phones, e-mails, names and IBANs by rules. It knows text only, keeps none of it, and takes any input
//! in linear time. Audio and keys of a call are [`Pause`]'s.

mod card;
mod code;
mod digits;
mod held;
mod lexicon;
mod limits;
mod mail;
mod name;
mod pause;
mod person;
mod rules;
mod shapes;
mod sound;
mod token;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::Scope;
use digits::{Gap, LOOSE_WORDS_MAX, Lattice};
pub use limits::Limits;
pub use pause::{Decided, Line, Pause, Speaker, Verdict};
pub use rules::{BadRules, Rules};
pub use sound::Stretch;
use token::Token;

/// What is masked. The word in brackets that takes its place is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Card,
    SecurityCode,
    /// A card's date.
    Expiry,
    Iban,
    /// The Kazakh individual identification number.
    Iin,
    Phone,
    Email,
    Name,
    /// Digits of which it is not known what they are, where a card may be in the making.
    Digits,
}

const TAGS: [&str; 9] = ["card", "security_code", "expiry", "iban", "iin", "phone", "email", "name", "digits"];

impl Kind {
    /// Those that rules speak of.
    pub const ALL: [Self; 8] =
        [Self::Card, Self::SecurityCode, Self::Expiry, Self::Iin, Self::Phone, Self::Email, Self::Name, Self::Iban];

    /// Masked whatever the rules say (PCI DSS 3.3 and 3.5: codes are never kept, numbers not readable).
    pub fn always(self) -> bool {
        matches!(self, Self::Card | Self::SecurityCode | Self::Expiry | Self::Digits)
    }

    pub fn tag(self) -> &'static str {
        TAGS[self as usize]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// How many of each kind were masked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u32; TAGS.len()]);

impl Counts {
    pub fn of(&self, kind: Kind) -> u32 {
        self.0[kind as usize]
    }

    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    fn add(&mut self, kind: Kind) {
        self.0[kind as usize] = self.0[kind as usize].saturating_add(1);
    }
}

/// Text that may go where its scope says. Wiped on drop; `Debug` shows what was masked and no text.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    pub found: Counts,
}

impl Redacted {
    /// The text alone, for whoever keeps it.
    pub fn into_text(mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

impl Drop for Redacted {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacted").field("bytes", &self.text.len()).field("found", &self.found).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    kind: Kind,
    at: Range<usize>,
}

/// What the words before a text were about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Context {
    /// A card was spoken of, so that three digits may be its code.
    card: bool,
    /// More words than usual may part a card number.
    loose: Option<usize>,
}

/// Finds and masks. Its rules do not change; a new policy makes a new one.
pub struct Redactor {
    rules: Rules,
    names: name::Names,
}

impl Redactor {
    pub fn new(rules: &Rules) -> Self {
        Self { rules: rules.clone(), names: name::Names::new(rules.names()) }
    }

    /// `language` is a BCP 47 tag. English, Russian and Kazakh are always read; it decides what a word
    /// means that is a number in one of them and none in another.
    pub fn redact(&self, text: &str, language: &str, scope: &Scope) -> Redacted {
        let found = self.find(text, language, Context::default(), |kind| self.rules.masks(kind, scope));
        masked(text, 0..text.len(), &found)
    }

    /// As for a scope that may keep nothing: for logs.
    pub fn redact_for_logs(&self, text: &str, language: &str) -> Redacted {
        let found = self.find(text, language, Context::default(), |kind| self.rules.masks_somewhere(kind));
        masked(text, 0..text.len(), &found)
    }

    /// Every digit, written or said, and all that rules mask: for words in which a card may be in the
    /// making.
    pub fn mask_digits(&self, text: &str, language: &str, scope: &Scope) -> Redacted {
        let mut found = self.find(text, language, Context::default(), |kind| self.rules.masks(kind, scope));
        found.extend(digits(text, language));
        masked(text, 0..text.len(), &joined(found))
    }

    /// What is private there, in order, without overlaps.
    fn find(&self, text: &str, language: &str, context: Context, masks: impl Fn(Kind) -> bool) -> Vec<Found> {
        let tokens = token::tokens(text);
        let lattice = read(text, &tokens, language, context.loose);
        let cards = card::find(&lattice, context.loose.is_some());
        let mut found: Vec<Found> =
            cards.iter().map(|atoms| Found { kind: Kind::Card, at: lattice.span(atoms.clone()) }).collect();
        found.extend(code::find(&tokens, &lattice, &cards, context.card));
        let mut add = |kind: Kind, places: &dyn Fn() -> Vec<Range<usize>>| {
            if masks(kind) {
                found.extend(places().into_iter().map(|at| Found { kind, at }));
            }
        };
        add(Kind::Iban, &|| mail::ibans(text));
        add(Kind::Iin, &|| person::iins(&tokens, &lattice));
        add(Kind::Phone, &|| person::phones(text, &tokens, &lattice));
        add(Kind::Email, &|| mail::find(text, &tokens));
        add(Kind::Name, &|| self.names.find(&tokens));
        joined(found)
    }
}

fn read(text: &str, tokens: &[Token], language: &str, loose: Option<usize>) -> Lattice {
    let mut lattice = Lattice::new(text, tokens, is_kazakh(language), loose.unwrap_or(LOOSE_WORDS_MAX));
    shapes::explain(text, tokens, &mut lattice);
    lattice
}

fn is_kazakh(language: &str) -> bool {
    language.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case("kk"))
}

/// All digits of a text, those together as one.
fn digits(text: &str, language: &str) -> Vec<Found> {
    let tokens = token::tokens(text);
    let lattice = read(text, &tokens, language, None);
    let mut found = Vec::new();
    let mut at = 0;
    while at < lattice.atoms.len() {
        let end = lattice.groups(at, Gap::Tight).last().map_or(at + 1, |group| group.atoms.end);
        found.push(Found { kind: Kind::Digits, at: lattice.span(at..end) });
        at = end;
    }
    found
}

/// In order; of two that overlap the earlier kind has both places.
fn joined(mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|one| !one.at.is_empty());
    found.sort_by_key(|one| (one.at.start, one.at.end));
    let mut apart: Vec<Found> = Vec::with_capacity(found.len());
    for one in found {
        match apart.last_mut().filter(|last| one.at.start < last.at.end) {
            Some(last) => {
                last.kind = last.kind.min(one.kind);
                last.at.end = last.at.end.max(one.at.end);
            }
            None => apart.push(one),
        }
    }
    apart
}

/// That part of the text, with marks in the places of `found`.
fn masked(text: &str, part: Range<usize>, found: &[Found]) -> Redacted {
    let mut out = String::with_capacity(part.len());
    let mut counts = Counts::default();
    let mut from = part.start;
    for one in found.iter().filter(|one| one.at.start < part.end && one.at.end > part.start) {
        out.push_str(text.get(from..one.at.start).unwrap_or(""));
        out.push('[');
        out.push_str(one.kind.tag());
        out.push(']');
        counts.add(one.kind);
        from = one.at.end;
    }
    out.push_str(text.get(from..part.end).unwrap_or(""));
    Redacted { text: out, found: counts }
}
