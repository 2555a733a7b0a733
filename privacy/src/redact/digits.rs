//! Digits as they were written or said, as a lattice: each written digit and each number word is an
//! atom, and each way to read some atoms as digits is an edge ("twenty one": 21, or 20 and then 1).
//! Finders look for numbers along its paths, so no reading is overlooked. It masks nothing.

use std::ops::Range;

use super::lexicon::{self, Say};
use super::token::{Token, What};

/// Up to this many words in a row that say nothing lie inside one number.
const FILLERS_MAX: usize = 6;
/// And that many bytes of punctuation.
const PUNCTUATION_MAX: usize = 16;
/// Words of other kinds between two parts of one number, where it is surely one: "4111, let me see, 1111".
pub(super) const LOOSE_WORDS_MAX: usize = 12;
/// A written group of so many digits may hold a card number and more.
const LONG_DIGITS: usize = 13;
/// The longest number phrase, "nine hundred ninety nine thousand nine hundred ninety nine", and some.
const PHRASE_ATOMS_MAX: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Gap {
    /// Written without anything between.
    Glued,
    /// Spaces, punctuation, fillers.
    Tight,
    /// Some words.
    Loose,
    /// Not one number.
    Break,
}

pub(super) struct Atom {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// The index of its token.
    pub token: usize,
    say: Say,
    written: bool,
    /// What lies before it.
    pub gap: Gap,
    /// Part of a date, a time or a price.
    pub explained: bool,
}

/// One reading: `atoms` of them are `digits`, as values.
pub(super) struct Edge {
    pub from: usize,
    pub atoms: usize,
    pub digits: Vec<u8>,
    /// The longest phrase that begins there, as most people mean it.
    pub plain: bool,
}

pub(super) struct Lattice {
    pub atoms: Vec<Atom>,
    /// By where they begin; of each atom the shortest first.
    pub edges: Vec<Vec<Edge>>,
    /// Atoms of written groups that could hold a whole card number.
    long: Vec<bool>,
}

impl Lattice {
    /// `loose_max`: how many words may part a number that is surely one.
    pub fn new(text: &str, tokens: &[Token], kazakh: bool, loose_max: usize) -> Self {
        let mut atoms = Vec::new();
        let mut gap = Between::default();
        for (i, token) in tokens.iter().enumerate() {
            match token.what {
                What::Digits => written(text, token, i, gap.gap(loose_max), &mut atoms),
                What::Word => match number_word(tokens, i, kazakh) {
                    Some(say) => atoms.push(Atom {
                        at: token.at.clone(),
                        token: i,
                        say,
                        written: false,
                        gap: gap.gap(loose_max),
                        explained: false,
                    }),
                    None => {
                        gap.word(&token.text);
                        gap.punctuation(text, tokens, i);
                        continue;
                    }
                },
                What::Tag => {
                    gap.broken = true;
                    continue;
                }
            }
            gap = Between::default();
            gap.punctuation(text, tokens, i);
        }
        let mut lattice = Self { atoms, edges: Vec::new(), long: Vec::new() };
        lattice.edges = (0..lattice.atoms.len()).map(|i| lattice.read(i)).collect();
        lattice.long = lattice.long_groups();
        for edges in &mut lattice.edges {
            let longest = edges.iter().map(|edge| edge.atoms).max();
            edges.iter_mut().for_each(|edge| edge.plain = Some(edge.atoms) == longest);
        }
        lattice
    }

    /// Whether a number can begin before this atom, or end there, without cutting a written group.
    pub fn whole_at(&self, node: usize) -> bool {
        self.atoms.get(node).is_none_or(|atom| atom.gap != Gap::Glued)
    }

    /// Whether that place lies in a written group so long that a card number may be cut out of it.
    pub fn is_long(&self, node: usize) -> bool {
        self.long.get(node) == Some(&true)
    }

    fn long_groups(&self) -> Vec<bool> {
        let mut long = Vec::with_capacity(self.atoms.len());
        let mut at = 0;
        while at < self.atoms.len() {
            let more = self.atoms[at + 1..].iter().take_while(|atom| atom.gap == Gap::Glued).count();
            long.extend(std::iter::repeat_n(more + 1 >= LONG_DIGITS, more + 1));
            at += more + 1;
        }
        long
    }

    /// Bytes from one atom to before another.
    pub fn span(&self, atoms: Range<usize>) -> Range<usize> {
        let start = self.atoms.get(atoms.start).map_or(0, |atom| atom.at.start);
        let end = atoms.end.checked_sub(1).and_then(|last| self.atoms.get(last)).map_or(start, |atom| atom.at.end);
        start..end.max(start)
    }

    /// The reading most people mean: the longest phrase at each atom.
    pub fn plain(&self, from: usize) -> Option<&Edge> {
        self.edges.get(from)?.iter().rev().max_by_key(|edge| (!edge.digits.is_empty(), edge.atoms))
    }

    /// How many digits there are in the reading that has the fewest.
    pub fn least_digits(&self) -> usize {
        let mut least = vec![0; self.atoms.len() + 1];
        for at in (0..self.atoms.len()).rev() {
            let readings = self.edges[at].iter().map(|edge| edge.digits.len() + least[at + edge.atoms]);
            least[at] = readings.min().unwrap_or(0);
        }
        least[0]
    }

    /// The groups from `from` on that nothing but `gap` or less parts, as (digits, atoms), in plain reading.
    pub fn groups(&self, from: usize, gap: Gap) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut at = from;
        while let Some(edge) = self.plain(at).filter(|_| at == from || self.atoms[at].gap <= gap) {
            let end = at + edge.atoms;
            match groups.last_mut().filter(|_| self.atoms[at].gap == Gap::Glued) {
                Some(group) => {
                    group.digits.extend(&edge.digits);
                    group.atoms.end = end;
                }
                None => groups.push(Group { digits: edge.digits.clone(), atoms: at..end }),
            }
            at = end;
        }
        groups
    }

    /// Whether it was written in digits.
    pub fn is_written(&self, atom: usize) -> bool {
        self.atoms.get(atom).is_some_and(|atom| atom.written)
    }

    fn say(&self, i: usize, from: usize) -> Option<Say> {
        self.atoms.get(i).filter(|atom| i == from || matches!(atom.gap, Gap::Tight)).map(|atom| atom.say)
    }

    fn read(&self, i: usize) -> Vec<Edge> {
        let edge = |atoms: usize, digits: Vec<u8>| Edge { from: i, atoms, digits, plain: false };
        let Some(first) = self.say(i, i) else { return Vec::new() };
        let mut edges = match first {
            _ if self.is_written(i) => vec![edge(1, unit(first).into_iter().collect())],
            Say::Value(_) | Say::Hundred | Say::Thousand => self.phrase(i),
            Say::Beside(_) => {
                let mut edges = vec![edge(1, Vec::new())];
                edges.extend(self.phrase(i));
                edges
            }
            Say::Counted(digit) => vec![edge(1, one(digit))],
            Say::Repeat(_) | Say::Times => vec![edge(1, Vec::new())],
        };
        let alone = self.whole_at(i) && self.whole_at(i + 1);
        let repeated = match (first, self.say(i + 1, i), self.say(i + 2, i)) {
            (Say::Repeat(times), Some(next), _) => unit(next).map(|digit| (2, times, digit)),
            (_, Some(Say::Times), Some(next)) if alone => {
                count(first).zip(unit(next)).map(|(times, digit)| (3, times, digit))
            }
            (_, Some(Say::Counted(digit)), _) if alone => {
                count(first).zip(u8::try_from(digit).ok()).map(|(times, digit)| (2, times, digit))
            }
            _ => None,
        };
        if let Some((atoms, times, digit)) = repeated {
            edges.push(edge(atoms, vec![digit; times]));
        }
        edges
    }

    /// Every beginning of the longest number phrase from `i` on: 400, 410, 411; none of it where a
    /// smaller number cannot follow.
    fn phrase(&self, i: usize) -> Vec<Edge> {
        let mut edges = Vec::new();
        let mut number = Number { thousands: 0, rest: 0, room: 1000, begun: false };
        for atoms in 1..=PHRASE_ATOMS_MAX {
            let next = self.say(i + atoms - 1, i).filter(|_| atoms == 1 || !self.is_written(i + atoms - 1));
            if !next.is_some_and(|say| number.take(say)) {
                break;
            }
            edges.push(Edge { from: i, atoms, digits: number.digits(), plain: false });
        }
        edges
    }
}

pub(super) struct Group {
    pub digits: Vec<u8>,
    pub atoms: Range<usize>,
}

struct Number {
    thousands: u32,
    rest: u32,
    /// The next word has to be smaller.
    room: u32,
    begun: bool,
}

impl Number {
    fn take(&mut self, say: Say) -> bool {
        let fits = match say {
            Say::Value(0) | Say::Beside(0) => !self.begun && self.zero(),
            Say::Value(value) | Say::Beside(value) => self.add(value),
            Say::Hundred => self.hundred(),
            Say::Thousand => self.thousand(),
            Say::Repeat(_) | Say::Times | Say::Counted(_) => false,
        };
        self.begun = true;
        fits
    }

    fn zero(&mut self) -> bool {
        self.room = 0;
        true
    }

    fn add(&mut self, value: u32) -> bool {
        if value >= self.room {
            return false;
        }
        self.rest += value;
        self.room = match value {
            100.. => 100,
            10 | 20..=99 => 10,
            _ => 1,
        };
        true
    }

    /// "four hundred", "sixteen hundred"; "жүз" alone is one hundred.
    fn hundred(&mut self) -> bool {
        let fits = self.rest < 100 && self.room > 0;
        self.rest = if self.rest == 0 { 100 } else { self.rest * 100 };
        self.room = 100;
        fits
    }

    fn thousand(&mut self) -> bool {
        let fits = self.thousands == 0 && self.room > 0;
        self.thousands = self.rest.max(1);
        self.rest = 0;
        self.room = 1000;
        fits
    }

    fn digits(&self) -> Vec<u8> {
        (self.thousands * 1000 + self.rest).to_string().bytes().map(|b| b - b'0').collect()
    }
}

/// What lies between two atoms.
#[derive(Default)]
struct Between {
    words: usize,
    fillers: usize,
    punctuation: usize,
    broken: bool,
}

impl Between {
    fn word(&mut self, text: &str) {
        if lexicon::is_filler(text) { self.fillers += 1 } else { self.words += 1 }
    }

    fn punctuation(&mut self, text: &str, tokens: &[Token], i: usize) {
        if let Some(between) = super::token::between(text, tokens, i) {
            self.punctuation += between.len();
            // A plus begins a phone number.
            self.words += usize::from(between.contains('+'));
        }
    }

    fn gap(&self, loose_max: usize) -> Gap {
        if self.broken || self.words > loose_max {
            Gap::Break
        } else if self.words == 0
            && self.fillers <= FILLERS_MAX
            && self.punctuation <= PUNCTUATION_MAX + 2 * self.fillers
        {
            Gap::Tight
        } else {
            Gap::Loose
        }
    }
}

fn written(text: &str, token: &Token, index: usize, gap: Gap, atoms: &mut Vec<Atom>) {
    let places = text[token.at.clone()].char_indices();
    for (place, (offset, c)) in places.enumerate() {
        let start = token.at.start + offset;
        let value = super::token::digit(c).map_or(0, u32::from);
        atoms.push(Atom {
            at: start..start + c.len_utf8(),
            token: index,
            say: Say::Value(value),
            written: true,
            gap: if place == 0 { gap } else { Gap::Glued },
            explained: false,
        });
    }
}

/// What the word says of a number here: some are numbers beside numbers only.
fn number_word(tokens: &[Token], i: usize, kazakh: bool) -> Option<Say> {
    let token = tokens.get(i)?;
    let say = lexicon::say(&token.text)?;
    let Say::Beside(value) = say else { return Some(say) };
    let own = token.kazakh || (kazakh && matches!(token.text.as_str(), "он" | "торт"));
    if own {
        return Some(Say::Value(value));
    }
    let near = [i.wrapping_sub(2), i.wrapping_sub(1), i + 1, i + 2];
    let beside = near.into_iter().filter_map(|at| tokens.get(at)).any(|other| match other.what {
        What::Digits => other.text.len() == 1,
        What::Word => lexicon::say(&other.text).is_some_and(|say| !matches!(say, Say::Beside(_) | Say::Times)),
        What::Tag => false,
    });
    beside.then_some(say)
}

fn unit(say: Say) -> Option<u8> {
    match say {
        Say::Value(value) | Say::Beside(value) | Say::Counted(value) if value < 10 => u8::try_from(value).ok(),
        _ => None,
    }
}

fn one(digit: u32) -> Vec<u8> {
    u8::try_from(digit).into_iter().collect()
}

fn count(say: Say) -> Option<usize> {
    match say {
        Say::Value(value @ 2..=9) => usize::try_from(value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::token::tokens;

    fn readings(text: &str) -> Vec<String> {
        let tokens = tokens(text);
        let lattice = Lattice::new(text, &tokens, false, LOOSE_WORDS_MAX);
        let mut paths = vec![(0, String::new())];
        let mut whole = Vec::new();
        while let Some((at, read)) = paths.pop() {
            if at == lattice.atoms.len() {
                whole.push(read.clone());
            }
            for edge in lattice.edges.get(at).into_iter().flatten() {
                let digits: String = edge.digits.iter().map(u8::to_string).collect();
                paths.push((at + edge.atoms, format!("{read}{digits}")));
            }
        }
        whole.sort();
        whole
    }

    fn check(text: &str, reading: &str) {
        let all = readings(text);
        assert!(all.iter().any(|read| read == reading), "{text}: {reading} is not among {all:?}");
    }

    #[test]
    fn numbers_are_read_in_every_way_they_can_be_meant() {
        check("forty-one eleven", "4111");
        check("double five, oh", "550");
        check("four oh one", "401");
        check("sixteen hundred and five", "1605");
        check("four thousand one hundred and eleven", "4111");
        check("three times five", "555");
        check("четыре один", "41");
        check("четыре тысячи сто одиннадцать", "4111");
        check("две семёрки, три нуля", "77000");
        check("восемь девятьсот двенадцать", "8912");
        check("төрт мың жүз он бір", "4111");
        check("кырык бир он бир", "4111");
        check("екі рет бес", "55");
        check("4 double 1 1", "4111");
        assert_eq!(readings("twenty one"), ["201", "21"]);
        assert_eq!(readings("one one"), ["11"]);
        assert_eq!(readings("он пришёл"), [""], "no atom at all");
    }

    #[test]
    fn words_between_digits_part_them_by_how_many_they_are() {
        let gap = |text: &str| {
            let tokens = tokens(text);
            Lattice::new(text, &tokens, false, LOOSE_WORDS_MAX).atoms.last().map(|atom| atom.gap)
        };
        assert_eq!(gap("41"), Some(Gap::Glued));
        assert_eq!(gap("4, um, 1"), Some(Gap::Tight));
        assert_eq!(gap("4 let me see 1"), Some(Gap::Loose));
        assert_eq!(gap(&format!("4 {} 1", "word ".repeat(13))), Some(Gap::Break));
        assert_eq!(gap("4 [card] 1"), Some(Gap::Break));
    }
}
