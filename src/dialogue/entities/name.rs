//! Names as callers give them: "My name is Anna Miller", "Anna Miller", "it's Anna", "меня зовут Анна".
//! Any letters can be a name; only words that never are one are kept out.

use super::super::text::{Break, Word};
use super::{Lexicon, Mention, at, text};

const WORDS_MAX: usize = 4;

/// What follows "my name is", wherever it stands, and where that introduction begins.
pub(super) fn introduced(words: &[Word], lexicon: &Lexicon, taken: &[bool]) -> Option<(usize, Mention<String>)> {
    (0..words.len()).find_map(|i| {
        let lead = at(words, i, lexicon.strong_name_leads);
        if lead == 0 { None } else { read(words, i + lead, lexicon, taken).map(|name| (i, name)) }
    })
}

/// A turn that is a name, for when one was asked for: "Anna Miller", "yes, it's Anna".
pub(super) fn bare(words: &[Word], lexicon: &Lexicon, taken: &[bool]) -> Option<Mention<String>> {
    let mut i = 0;
    // "Yes, um, it's Anna": what comes before a name when one was asked for.
    while i < words.len() {
        let yes_or_filler =
            at(words, i, lexicon.fillers).max(at(words, i, lexicon.clear_yes)).max(at(words, i, lexicon.soft_yes));
        let skip = if at(words, i, lexicon.name_leads) > 0 { 0 } else { yes_or_filler };
        if skip == 0 {
            break;
        }
        i += skip;
    }
    while at(words, i, lexicon.name_leads) > 0 {
        i += at(words, i, lexicon.name_leads);
    }
    read(words, i, lexicon, taken)
}

/// One to four words of letters, up to the sentence's end or the first word that is no name.
fn read(words: &[Word], start: usize, lexicon: &Lexicon, taken: &[bool]) -> Option<Mention<String>> {
    let mut name: Vec<String> = Vec::new();
    let mut end = start;
    while let Some(word) = words.get(end).filter(|_| name.len() < WORDS_MAX) {
        let free = !taken.get(end).copied().unwrap_or(true);
        let letters = word.text.chars().all(char::is_alphabetic) && word.text.chars().count() <= 30;
        if !free || !letters || lexicon.never_names.contains(&word.text.as_str()) || is_polite(words, end, lexicon) {
            break;
        }
        name.push(capitalised(&word.raw));
        end += 1;
        if matches!(word.after, Break::Sentence | Break::Question) {
            break;
        }
    }
    let letters: usize = name.iter().map(|part| part.chars().count()).sum();
    // A fifth word right behind means a sentence, not a name.
    let runs_on = name.len() == WORDS_MAX && !text(words, end).is_empty();
    (letters >= 2 && !runs_on).then(|| Mention { value: name.join(" "), span: start..end })
}

fn is_polite(words: &[Word], i: usize, lexicon: &Lexicon) -> bool {
    lexicon.polite.contains(&text(words, i))
}

fn capitalised(raw: &str) -> String {
    let mut chars = raw.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
