//! Numbers that explain themselves: dates, times of day and prices. They may stand inside a card number
//! only if its beginning is one that cards have. Nothing is masked here.

use super::digits::{Gap, Lattice};
use super::lexicon;
use super::token::{Token, What, between};

/// Spoken words of one price before its currency.
const PRICE_ATOMS_MAX: usize = 6;

/// Marks what explains itself.
pub(super) fn explain(text: &str, tokens: &[Token], lattice: &mut Lattice) {
    let mut explained = vec![false; tokens.len()];
    for i in 0..tokens.len() {
        let covered = date(text, tokens, i).max(time(text, tokens, i));
        explained.iter_mut().skip(i).take(covered).for_each(|one| *one = true);
        if tokens[i].is_word() && lexicon::month(&tokens[i].text).is_some() {
            beside_month(tokens, i, &mut explained);
        }
    }
    for (atom, token) in lattice.atoms.iter_mut().map(|atom| atom.token).enumerate().collect::<Vec<_>>() {
        lattice.atoms[atom].explained = explained[token];
    }
    prices(text, tokens, lattice);
}

/// Groups of digits from `i` on that one and the same of these signs parts; none where it goes on.
fn parted(text: &str, tokens: &[Token], i: usize, signs: &[&str], most: usize) -> Vec<u32> {
    let digits = |i: usize| tokens.get(i).filter(|t| t.what == What::Digits && t.text.len() <= 4);
    let Some(sign) = between(text, tokens, i).filter(|sign| signs.contains(sign)) else { return Vec::new() };
    let before = i > 0 && digits(i - 1).is_some() && between(text, tokens, i - 1) == Some(sign);
    let mut numbers = Vec::new();
    let mut at = i;
    while let Some(token) = digits(at).filter(|_| numbers.len() <= most) {
        numbers.push(token.text.parse().unwrap_or(0));
        at += 1;
        if between(text, tokens, at - 1) != Some(sign) {
            break;
        }
    }
    if before || numbers.len() > most { Vec::new() } else { numbers }
}

/// 12.05.2026, 5/12/26, 2026-05-12: how many tokens.
fn date(text: &str, tokens: &[Token], i: usize) -> usize {
    let [a, b, c] = parted(text, tokens, i, &[".", "/", "-"], 3)[..] else { return 0 };
    let day_month = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
    let year = |y: u32| (1900..2100).contains(&y);
    let fits = (day_month(a, b) || day_month(b, a)) && (year(c) || c < 100) || year(a) && day_month(c, b);
    if fits { 3 } else { 0 }
}

/// 14:30, 14:30:15.
fn time(text: &str, tokens: &[Token], i: usize) -> usize {
    let numbers = parted(text, tokens, i, &[":"], 3);
    let minutes = tokens.get(i + 1).is_some_and(|token| token.text.len() == 2);
    let fits = numbers.len() >= 2 && numbers[0] < 25 && numbers[1..].iter().all(|n| *n < 60) && minutes;
    if fits { numbers.len() } else { 0 }
}

/// "5 мая 2026", "May 5, 2026".
fn beside_month(tokens: &[Token], i: usize, explained: &mut [bool]) {
    let short = |at: usize| tokens.get(at).is_some_and(|t| t.what == What::Digits && matches!(t.text.len(), 1 | 2 | 4));
    for at in [i.wrapping_sub(1), i + 1] {
        if short(at) {
            explained[at] = true;
        }
    }
    let year = |at: usize| tokens.get(at).is_some_and(|t| t.what == What::Digits && t.text.len() == 4);
    if explained.get(i + 1) == Some(&true) && year(i + 2) {
        explained[i + 2] = true;
    }
}

fn prices(text: &str, tokens: &[Token], lattice: &mut Lattice) {
    const SIGNS: [char; 6] = ['$', '€', '₸', '₽', '£', '%'];
    for atom in 0..lattice.atoms.len() {
        let token = lattice.atoms[atom].token;
        let last = lattice.atoms.get(atom + 1).is_none_or(|next| next.token != token);
        let first = atom == 0 || lattice.atoms[atom - 1].token != token;
        let after = between(text, tokens, token).unwrap_or_else(|| text.get(tokens[token].at.end..).unwrap_or(""));
        let words: Vec<&str> = tokens.iter().skip(token + 1).take(1).map(|t| t.text.as_str()).collect();
        let ends = after.trim_start().starts_with(SIGNS) || (after.len() <= 2 && lexicon::about_money(&words));
        if last && ends {
            price_before(tokens, lattice, atom);
        }
        let start = token.checked_sub(1).map_or(0, |before| tokens[before].at.end);
        let before = text.get(start..tokens[token].at.start).unwrap_or("");
        if first && before.trim_end().ends_with(&SIGNS[..5]) {
            price_after(lattice, atom);
        }
    }
}

/// "15 000 тг", "fifteen thousand tenge": back from its last atom.
fn price_before(tokens: &[Token], lattice: &mut Lattice, last: usize) {
    let mut taken = 0;
    let mut at = last;
    loop {
        let written = lattice.is_written(at);
        let group = tokens[lattice.atoms[at].token].text.len();
        let gap = lattice.atoms[at].gap;
        lattice.atoms[at].explained = true;
        taken += 1;
        let goes_on = match gap {
            Gap::Glued => true,
            // Only groups of three have others before them.
            Gap::Tight => {
                at > 0
                    && written == lattice.is_written(at - 1)
                    && if written { group == 3 } else { taken < PRICE_ATOMS_MAX }
            }
            Gap::Loose | Gap::Break => false,
        };
        if at == 0 || !goes_on || taken > 3 * PRICE_ATOMS_MAX {
            break;
        }
        at -= 1;
    }
}

/// "$1500".
fn price_after(lattice: &mut Lattice, first: usize) {
    for at in first..(first + PRICE_ATOMS_MAX).min(lattice.atoms.len()) {
        if at > first && lattice.atoms[at].gap != Gap::Glued {
            break;
        }
        lattice.atoms[at].explained = true;
    }
}
