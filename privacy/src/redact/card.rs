//! Card numbers by Luhn (ISO/IEC 7812-1): 13 to 19 digits, in every reading of what was written or
//! said. Which cards exist is asked only where other words or a cut group make chance likely. It
//! masks nothing itself.

use std::ops::Range;

use super::digits::{Edge, Gap, Lattice};

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// Atoms one number may cover: words that say nothing ("double", "for") count too.
const ATOMS_MAX: usize = 160;
/// Beginnings read of one number at most; with more, it counts as a card's.
const READINGS_MAX: usize = 1000;

/// Which sums of Luhn (modulo ten, a bit each) can be reached with so many digits.
type Sums = [u16; DIGITS_MAX + 1];

/// Over nothing but separators, in the plain reading.
const CLEAN: usize = 0;
/// In another reading, or cut out of a long group.
const READ: usize = 1;
/// With words between.
const LOOSE: usize = 2;
/// With a date, a time or a price in it.
const EXPLAINED: usize = 3;

/// Read backwards from one end to some atom, by how sure it is that this is one number.
#[derive(Clone, Copy, Default)]
struct Reached {
    sums: [Sums; 4],
    /// Planes that hold any.
    live: [bool; 4],
}

impl Reached {
    fn add(&mut self, plane: usize, length: usize, sums: u16) {
        if let Some(place) = self.sums[plane].get_mut(length) {
            *place |= sums;
            self.live[plane] |= sums != 0;
        }
    }

    fn is_live(&self) -> bool {
        self.live.contains(&true)
    }

    /// Words and dates in one number are more than chance allows.
    fn plane(from: usize, to: usize) -> Option<usize> {
        match (from, to) {
            (LOOSE, EXPLAINED) | (EXPLAINED, LOOSE) => None,
            _ => Some(from.max(to)),
        }
    }

    fn moved(&self, to: usize) -> Self {
        let mut moved = Self::default();
        for (plane, length, sums) in self.each() {
            if let Some(plane) = Self::plane(plane, to) {
                moved.add(plane, length, sums);
            }
        }
        moved
    }

    fn join(&mut self, other: &Self) {
        for (plane, length, sums) in other.each() {
            self.add(plane, length, sums);
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, usize, u16)> + '_ {
        let planes = self.sums.iter().enumerate().filter(|(plane, _)| self.live[*plane]);
        let all =
            planes.flat_map(|(plane, sums)| sums.iter().enumerate().map(move |(length, sums)| (plane, length, *sums)));
        all.filter(|(_, _, sums)| *sums != 0)
    }
}

/// One number that may be a card's.
struct Number {
    atoms: Range<usize>,
    /// Nothing but separators lies in it, and it begins as cards do.
    certain: bool,
    /// Words part it.
    doubtful: bool,
}

/// The atoms of card numbers, in order, those that overlap joined. `strict`: where pieces may lie far
/// apart, chance counts as a card too.
pub(super) fn find(lattice: &Lattice, strict: bool) -> Vec<Range<usize>> {
    let count = lattice.atoms.len();
    let mut into: Vec<Vec<&Edge>> = (0..=count).map(|_| Vec::new()).collect();
    for edge in lattice.edges.iter().flatten() {
        if let Some(edges) = into.get_mut(edge.from + edge.atoms) {
            edges.push(edge);
        }
    }
    let mut reached = vec![Reached::default(); count + 1];
    let mut numbers: Vec<Number> = Vec::new();
    for end in 1..=count {
        ending_at(end, lattice, &into, &mut reached, &mut numbers);
    }
    // What words part and yet shares digits with a certain number is chance.
    let mut certain: Vec<Range<usize>> = numbers.iter().filter(|n| n.certain).map(|n| n.atoms.clone()).collect();
    certain = united(certain);
    let shares = |atoms: &Range<usize>| {
        let at = certain.partition_point(|known| known.end <= atoms.start);
        certain.get(at).is_some_and(|known| known.start < atoms.end)
    };
    let kept = numbers.into_iter().filter(|number| strict || !number.doubtful || !shares(&number.atoms));
    united(kept.map(|number| number.atoms).collect())
}

/// In order, those that overlap as one.
fn united(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match apart.last_mut().filter(|last| range.start < last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => apart.push(range),
        }
    }
    apart
}

/// The numbers that end there. `reached` is empty before and after.
fn ending_at(end: usize, lattice: &Lattice, into: &[Vec<&Edge>], reached: &mut [Reached], numbers: &mut Vec<Number>) {
    match (lattice.whole_at(end), lattice.is_long(end)) {
        (true, _) => reached[end].add(CLEAN, 0, 1),
        (false, true) => reached[end].add(READ, 0, 1),
        (false, false) => return,
    }
    let (mut low, mut node) = (end, end);
    let near = |edge: &Edge| edge.from + ATOMS_MAX > end;
    while node >= low {
        let mut here = std::mem::take(&mut reached[node]);
        let gap = lattice.atoms.get(node).filter(|_| node < end).map(|atom| atom.gap);
        if gap == Some(Gap::Loose) {
            here = here.moved(LOOSE);
        }
        if gap != Some(Gap::Break) && here.is_live() {
            for edge in into[node].iter().filter(|edge| near(edge) && (node < end || !edge.digits.is_empty())) {
                let on = before(&here, edge, lattice);
                if !on.is_live() {
                    continue;
                }
                low = low.min(edge.from);
                if !edge.digits.is_empty() {
                    numbers.extend(number(&on, edge.from..end, lattice));
                }
                reached[edge.from].join(&on);
            }
        }
        let Some(next) = node.checked_sub(1) else { break };
        node = next;
    }
}

/// With this edge's digits set before those already read.
fn before(here: &Reached, edge: &Edge, lattice: &Lattice) -> Reached {
    let mut on = Reached::default();
    let explained = lattice.atoms[edge.from..edge.from + edge.atoms].iter().any(|atom| atom.explained);
    let plane = if explained {
        EXPLAINED
    } else if edge.plain {
        CLEAN
    } else {
        READ
    };
    // How many digits are behind decides only by being odd or even.
    let sums = [luhn_sum(&edge.digits, 0), luhn_sum(&edge.digits, 1)];
    for (from, length, reached) in here.each() {
        if let Some(plane) = Reached::plane(from, plane) {
            on.add(plane, length + edge.digits.len(), turned(reached, sums[length % 2]));
        }
    }
    on
}

/// Each sum moved on by `by`, modulo ten.
fn turned(sums: u16, by: u32) -> u16 {
    let wide = u32::from(sums) << by;
    u16::try_from((wide | wide >> 10) & 0x3ff).unwrap_or(0)
}

/// What these digits add, with `after` digits to their right: every second from the right is doubled.
fn luhn_sum(digits: &[u8], after: usize) -> u32 {
    let doubled = |d: u32| if d > 4 { 2 * d - 9 } else { 2 * d };
    let from_right = digits.iter().rev().enumerate();
    from_right.map(|(i, d)| if (after + i) % 2 == 1 { doubled((*d).into()) } else { (*d).into() }).sum::<u32>() % 10
}

/// A card number over these atoms, if some length of it is one.
fn number(reached: &Reached, atoms: Range<usize>, lattice: &Lattice) -> Option<Number> {
    let whole = lattice.whole_at(atoms.start);
    if !whole && !lattice.is_long(atoms.start) {
        return None;
    }
    let is = |plane: usize, length: usize| reached.sums[plane][length] & 1 == 1;
    let begins = |length: usize| begins_as(lattice, atoms.start, |prefix| issued(prefix, length));
    let mut best: Option<Number> = None;
    for length in DIGITS_MIN..=DIGITS_MAX {
        let (clean, doubtful) = (whole && is(CLEAN, length), (CLEAN..=EXPLAINED).any(|plane| is(plane, length)));
        if !doubtful {
            continue;
        }
        let certain = begins(length);
        if clean || certain {
            let known = best.get_or_insert(Number { atoms: atoms.clone(), certain: false, doubtful: true });
            known.certain |= clean && certain;
            known.doubtful &= !clean && !is(READ, length) && !is(EXPLAINED, length);
        }
    }
    best
}

/// Whether some reading from `start` on begins with four digits that `fits`.
pub(super) fn begins_as(lattice: &Lattice, start: usize, fits: impl Fn(u32) -> bool) -> bool {
    let mut open = vec![(start, 0_u32, 0_usize)];
    let mut readings = 0;
    while let Some((at, prefix, length)) = open.pop() {
        readings += 1;
        if readings > READINGS_MAX {
            return true;
        }
        for edge in lattice.edges.get(at).into_iter().flatten() {
            let taken = edge.digits.iter().take(4 - length);
            let longer = length + taken.len();
            let prefix = taken.fold(prefix, |prefix, d| prefix * 10 + u32::from(*d));
            match longer {
                4 if fits(prefix) => return true,
                4 => {}
                _ => open.push((at + edge.atoms, prefix, longer)),
            }
        }
    }
    false
}

/// The ranges of issuers as their rules publish them, by the first four digits and the length.
pub(super) fn issued(prefix: u32, length: usize) -> bool {
    match prefix {
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard.
        2221..=2720 | 5100..=5599 => length == 16,
        // Mir.
        2200..=2204 => length >= 16,
        // American Express.
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners, JCB.
        3000..=3099 | 3600..=3699 | 3800..=3999 => length >= 14,
        3528..=3589 => length >= 16,
        // Maestro.
        5018 | 5020 | 5038 | 5612 | 5893 | 6304 | 6390 | 6703 | 6709 | 6733 | 6759 | 6761..=6763 => {
            length <= DIGITS_MAX
        }
        // Dankort, Discover, UnionPay, RuPay, Troy.
        5019 | 5080..=5089 | 6000..=6099 | 6200..=6299 | 6400..=6599 | 8100..=8171 | 9792 => length >= 16,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::digits::LOOSE_WORDS_MAX;
    use crate::redact::token::tokens;

    fn cards(text: &str) -> Vec<String> {
        let tokens = tokens(text);
        let mut lattice = Lattice::new(text, &tokens, false, LOOSE_WORDS_MAX);
        crate::redact::shapes::explain(text, &tokens, &mut lattice);
        find(&lattice, false).into_iter().map(|atoms| text[lattice.span(atoms)].to_owned()).collect()
    }

    #[test]
    fn a_card_is_found_by_its_check_digit() {
        assert_eq!(cards("it is 4111 1111 1111 1111."), ["4111 1111 1111 1111"]);
        assert_eq!(cards("378282246310005"), ["378282246310005"]);
        assert!(cards("4111 1111 1111 1112").is_empty());
        assert!(cards("411111111111").is_empty(), "twelve digits are none");
    }

    #[test]
    fn words_between_need_a_beginning_that_cards_have() {
        let between = "4111 and now let me see 1111 1111 what was it 1111";
        assert_eq!(cards(between), [between]);
        assert!(cards("1111 and now let me see 1111 1111 what was it 1117").is_empty());
        assert_eq!(cards("0x4111111111111111ff"), ["4111111111111111"]);
        assert_eq!(cards("99411111111111111199").len(), 1, "inside a longer group");
    }

    #[test]
    fn two_cards_in_a_row_are_two_or_one_but_nothing_of_them_stays() {
        let text = "4111111111111111 and 5500005555555559";
        let left: String = cards(text).iter().fold(text.to_owned(), |left, card| left.replace(card.as_str(), ""));
        assert!(!left.contains(|c: char| c.is_ascii_digit()), "{left}");
    }
}
