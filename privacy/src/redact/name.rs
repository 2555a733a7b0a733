//! Names from the configuration, in the cases of Russian and Kazakh: each word of a name by its stem
//! and one of the endings that names take. A name that is not configured is not known. It masks
//! nothing itself.

use std::collections::HashSet;
use std::ops::Range;

use super::token::{Token, normalised, tokens};

/// Shorter words of a name ("Ли", "оф") are taken as they stand.
const STEM_LETTERS_MIN: usize = 3;

/// Endings of Russian, Kazakh and English cases, as `normalised` writes them; the empty one first.
const ENDINGS: &str = "а я у ю е и ы о й ь ой ей ою ею ом ем ам ям ами ями ах ях ов ев ым ого ему ому его ым им ых их ыми ими ая яя ую юю \
    ий ия ие ии ию ию ией ией ью ья ье ьи ьей иного ича ичу ичем иче ева ову овой евой \
    нын нин дын дин тын тин ны ни ды ди ты ти га ге ка ке на не да де та те нда нде дан ден тан тен нан нен \
    мен бен пен жан м н мыз миз ныз низ лар лер дар дер тар тер дын s es";

#[derive(Default, Clone)]
pub(super) struct Names {
    stems: HashSet<String>,
    whole: HashSet<String>,
}

impl Names {
    pub fn new(names: &[String]) -> Self {
        let mut known = Self::default();
        for word in names.iter().flat_map(|name| tokens(name)).filter(Token::is_word) {
            let stem = stem(&word.text);
            if stem.chars().count() >= STEM_LETTERS_MIN {
                known.stems.insert(stem.to_owned());
            }
            known.whole.insert(word.text);
        }
        known
    }

    pub fn find(&self, tokens: &[Token]) -> Vec<Range<usize>> {
        let named = tokens.iter().filter(|token| token.is_word() && self.has(&token.text));
        named.map(|token| token.at.clone()).collect()
    }

    fn has(&self, word: &str) -> bool {
        self.whole.contains(word)
            || self.stems.contains(word)
            || (!self.stems.is_empty()
                && ENDINGS.split_whitespace().any(|ending| {
                    word.strip_suffix(ending).is_some_and(|rest| self.stems.contains(rest) || self.whole.contains(rest))
                }))
    }
}

/// Without the vowel or sign that changes with the case: Анна, Асель, Сергей, Мария.
fn stem(word: &str) -> &str {
    let bare = word.trim_end_matches(['а', 'я', 'й', 'ь', 'о', 'е', 'ы', 'и', 'у', 'ю']);
    let kept = word.len() - bare.len();
    // One letter, or two as in "Мария"; "Ию" stays as it is.
    if kept > 4 || bare.chars().count() < STEM_LETTERS_MIN { word } else { bare }
}

/// Whether a configured name can be looked for: it has a letter.
pub(super) fn is_name(name: &str) -> bool {
    !normalised(name).is_empty() && name.chars().any(char::is_alphabetic)
}
