//! Text as words, groups of digits and marks of what was masked before, each with its place in bytes.
//! It keeps no text longer than its caller does, and takes any input.

use std::ops::Range;

/// No number word is longer; a longer word is cut for comparing, never for masking.
const WORD_LETTERS_MAX: usize = 40;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Word,
    /// Decimal digits of any script, as ASCII in `text`.
    Digits,
    /// `[card]` and its like, from an earlier pass.
    Tag,
}

/// Made comparable: lower case, `ё` as `е`, Kazakh letters as their Russian neighbours, since recognizers
/// and keyboards write them either way.
pub(super) struct Token {
    pub what: What,
    pub text: String,
    /// Bytes of the original.
    pub at: Range<usize>,
    /// It had a letter that only Kazakh has.
    pub kazakh: bool,
}

impl Token {
    pub fn is_word(&self) -> bool {
        self.what == What::Word
    }
}

/// The tokens in order; whatever lies between two of them is neither letter nor digit.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(first) = text[from..].chars().next() {
        let rest = &text[from..];
        let length = if let Some(length) = tag(rest) {
            found.push(token(What::Tag, rest, length, from));
            length
        } else if digit(first).is_some() {
            let length = span(rest, |c| digit(c).is_some());
            found.push(token(What::Digits, rest, length, from));
            length
        } else if first.is_alphabetic() {
            let length = span(rest, |c| (c.is_alphabetic() && digit(c).is_none()) || unseen(c));
            found.push(token(What::Word, rest, length, from));
            length
        } else {
            first.len_utf8()
        };
        from += length;
    }
    found
}

/// The words, and nothing in the places of other tokens.
pub(super) fn words(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|token| if token.is_word() { token.text.as_str() } else { "" }).collect()
}

/// What is written between this token and the next.
pub(super) fn between<'a>(text: &'a str, tokens: &[Token], i: usize) -> Option<&'a str> {
    text.get(tokens.get(i)?.at.end..tokens.get(i + 1)?.at.start)
}

fn span(rest: &str, inside: impl Fn(char) -> bool) -> usize {
    rest.char_indices().find(|(_, c)| !inside(*c)).map_or(rest.len(), |(at, _)| at)
}

fn token(what: What, rest: &str, length: usize, from: usize) -> Token {
    let original = &rest[..length];
    let text = match what {
        What::Digits => original.chars().filter_map(digit).map(|d| char::from(b'0' + d)).collect(),
        What::Tag => original.trim_matches(['[', ']']).to_owned(),
        What::Word => normalised(original),
    };
    let kazakh = what == What::Word && original.chars().any(|c| folded(lower(c)) != lower(c) && lower(c) != 'ё');
    Token { what, text, at: from..from + length, kazakh }
}

/// The word as the lists have it.
pub(super) fn normalised(word: &str) -> String {
    let cyrillic = word.chars().any(|c| ('\u{400}'..='\u{52f}').contains(&c));
    let seen = word.chars().filter(|c| !unseen(*c)).take(WORD_LETTERS_MAX);
    seen.map(|c| if cyrillic { folded(alike(lower(c))) } else { lower(c) }).collect()
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Latin letters that stand in Cyrillic words by mistake.
fn alike(c: char) -> char {
    match c {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'i' => 'и',
        'o' => 'о',
        'p' => 'р',
        'x' => 'х',
        'y' => 'у',
        _ => c,
    }
}

fn folded(c: char) -> char {
    match c {
        'ё' => 'е',
        'ә' => 'а',
        'ғ' => 'г',
        'қ' => 'к',
        'ң' => 'н',
        'ө' => 'о',
        'ұ' | 'ү' => 'у',
        'һ' => 'х',
        'і' => 'и',
        _ => c,
    }
}

/// Stress marks, soft hyphens and what has no width: they hide in a word without ending it.
fn unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Zeros of the scripts whose digits speech and keyboards bring: ASCII, Arabic, Indian, Thai, full width.
const ZEROS: [u32; 12] = [0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xe50, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7f6];

pub(super) fn digit(c: char) -> Option<u8> {
    let code = u32::from(c);
    ZEROS.iter().find_map(|zero| u8::try_from(code.checked_sub(*zero)?).ok().filter(|d| *d < 10))
}

/// The length of a mark such as `[security_code]` at the start of `rest`.
fn tag(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('[')?;
    super::TAGS
        .iter()
        .find(|tag| inner.strip_prefix(**tag).is_some_and(|after| after.starts_with(']')))
        .map(|tag| tag.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_digits_and_marks_are_told_apart() {
        let text = "Қырық бiр, ４１-11 [card] оди\u{301}н forty-one";
        let seen: Vec<String> = tokens(text).into_iter().map(|t| t.text).collect();
        assert_eq!(seen, ["кырык", "бир", "41", "11", "card", "один", "forty", "one"]);
        assert!(tokens("төрт")[0].kazakh && !tokens("торт")[0].kazakh && !tokens("ёлка")[0].kazakh);
        assert_eq!(digit('٤'), Some(4));
    }
}
