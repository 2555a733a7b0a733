//! What a recognizer wrote, as words to reason about: lower case, no apostrophes, punctuation kept
//! only as the break behind a word. Language-independent; it never interprets a word.

/// A turn longer than this is cut: no caller says more in one breath, and a stranger's text stays bounded.
pub(crate) const WORDS_MAX: usize = 120;
const CHARS_MAX: usize = 2_000;

/// What stands behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    None,
    Comma,
    Sentence,
    Question,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case, apostrophes dropped, `p.m.` as `pm`, `ё` as `е`.
    pub text: String,
    /// As written, for names and for a `+` before digits.
    pub raw: String,
    pub after: Break,
}

/// Splits at spaces and punctuation and where digits meet letters (`3pm`, `26th`); `10:30`, `3.12` and
/// `3/12` stay whole.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().take(CHARS_MAX).collect();
    let mut words: Vec<Word> = Vec::new();
    let mut raw = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let next = chars.get(i + 1).copied();
        let last = raw.chars().last();
        if words.len() >= WORDS_MAX {
            return words;
        }
        if c.is_alphanumeric() {
            if last.is_some_and(|l| l.is_numeric() != c.is_numeric() && l != '+' && l.is_alphanumeric()) {
                push(&mut words, &mut raw);
            }
            raw.push(c);
        } else if is_apostrophe(c) && last.is_some_and(char::is_alphabetic) {
            raw.push('\'');
        } else if digit(next) && ((matches!(c, ':' | '.' | '/') && digit(last)) || (c == '+' && raw.is_empty())) {
            raw.push(c);
        } else {
            push(&mut words, &mut raw);
            end(&mut words, c);
        }
    }
    push(&mut words, &mut raw);
    words.truncate(WORDS_MAX);
    join_day_halves(words)
}

/// How many words of `words[at..]` the longest of `phrases` covers; 0 if none does.
pub(crate) fn phrase_at(words: &[Word], at: usize, phrases: &[&str]) -> usize {
    let covers = |phrase: &str| {
        let mut length = 0;
        for wanted in phrase.split(' ') {
            match words.get(at + length) {
                Some(word) if word.text == wanted => length += 1,
                _ => return 0,
            }
        }
        length
    };
    phrases.iter().map(|phrase| covers(phrase)).max().unwrap_or(0)
}

/// Whether two words are the same but for an ending or one misheard letter.
pub(crate) fn alike(a: &str, b: &str) -> bool {
    if a == b || a.len().abs_diff(b.len()) > 8 {
        return a == b;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    if common >= 4 && a.len() - common <= 2 && b.len() - common <= 2 {
        return true;
    }
    a.len() >= 5 && b.len() >= 5 && a.len().abs_diff(b.len()) <= 1 && distance(&a, &b) <= 1
}

/// Whether one word may be the other misheard: most of its letters in place, from the first one on.
pub(crate) fn resembles(a: &str, b: &str) -> bool {
    if a.chars().next() != b.chars().next() {
        return alike(a, b);
    }
    let letters = |word: &str| word.chars().collect::<Vec<char>>();
    let (x, y) = (letters(a), letters(b));
    let longer = x.len().max(y.len());
    alike(a, b) || (x.len() >= 4 && y.len() >= 4 && 2 * distance(&x, &y) < longer)
}

/// Levenshtein distance, for words and for naming the nearest key.
pub(crate) fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((y, up), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            left = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn push(words: &mut Vec<Word>, raw: &mut String) {
    let text: String = raw
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ':' | '.' | '/'))
        .map(|c| if c == 'ё' { 'е' } else { c })
        .collect();
    let raw = std::mem::take(raw);
    if !text.is_empty() {
        words.push(Word { text, raw: raw.trim_end_matches('\'').to_owned(), after: Break::None });
    }
}

fn end(words: &mut [Word], c: char) {
    let Some(word) = words.last_mut() else { return };
    let found = match c {
        '?' => Break::Question,
        '.' | '!' | ';' | '…' => Break::Sentence,
        ',' | '—' | '–' | ':' => Break::Comma,
        _ => return,
    };
    if word.after == Break::None || found == Break::Question {
        word.after = found;
    }
}

/// `p.m.` and `p m` become `pm`.
fn join_day_halves(words: Vec<Word>) -> Vec<Word> {
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(half) if word.text == "m" && matches!(half.text.as_str(), "a" | "p") => {
                half.text.push('m');
                half.after = word.after;
            }
            _ => joined.push(word),
        }
    }
    joined
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ' | '`')
}

fn digit(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_the_same_way_however_they_were_written() {
        let plain = |text: &str| words(text).iter().map(|w| w.text.clone()).collect::<Vec<_>>().join(" ");
        for (written, expected) in [
            ("I'd like Tuesday at three p.m.", "id like tuesday at three pm"),
            ("3PM, or 10:30 P. M.?", "3 pm or 10:30 pm"),
            ("the 26th; 26-го", "the 26 th 26 го"),
            ("Uh-huh… ещё", "uh huh еще"),
            ("+7 701 555-12-34", "7 701 555 12 34"),
            ("  ?!  ", ""),
        ] {
            assert_eq!(plain(written), expected, "{written}");
        }
        assert_eq!(words("a".repeat(9000).as_str()).len(), 1);
        assert_eq!(words(&"a ".repeat(900)).len(), WORDS_MAX);
        assert!(
            matches!(words("open, now?").as_slice(), [a, b] if a.after == Break::Comma && b.after == Break::Question)
        );
    }

    #[test]
    fn an_ending_or_one_letter_does_not_make_another_word() {
        assert!(alike("чистку", "чистка") && alike("saterday", "saturday") && alike("fillings", "filling"));
        assert!(!alike("sunday", "monday") && !alike("filler", "filling") && !alike("car", "care"));
    }
}
