//! E-mail addresses, written and said ("anna at example dot com", "анна собака мейл точка ру"), and
//! IBANs. It masks nothing itself.

use std::ops::Range;

use super::lexicon;
use super::token::{Token, What, between};

/// Parts of a name before "at" that are masked back to the word that announced it.
const LEAD_WORDS: usize = 5;
/// Single letters and digits in a row: a name that is spelled.
const SPELLED_MAX: usize = 40;
const LABELS_MAX: usize = 5;
/// Words before "dot": "g mail dot com".
const LABEL_WORDS: usize = 3;

pub(super) fn find(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for i in 1..tokens.len() {
        if i < from {
            continue;
        }
        let written = between(text, tokens, i - 1).is_some_and(|between| between.contains('@'));
        let said = sign(&tokens[i].text).filter(|_| tokens[i].is_word());
        let domain = if written { Some((i, true)) } else { said.map(|sure| (i + 1, sure)) };
        let Some((domain, sure)) = domain else { continue };
        let end = match domain_end(text, tokens, domain) {
            Some(end) => end,
            // Whatever stands at both sides of a written sign.
            None if written => domain + 1,
            None => continue,
        };
        let start = name_start(text, tokens, i - 1, !written);
        if !sure && is_place(tokens, i) {
            continue;
        }
        found.push(tokens[start].at.start..tokens[end - 1].at.end);
        from = end;
    }
    found
}

/// "at", "собака"; whether it says nothing else beside a domain.
fn sign(word: &str) -> Option<bool> {
    match word {
        "at" => Some(false),
        "собака" | "собаке" | "собаку" | "собачка" | "собачку" | "эт" | "ит" | "айт" => {
            Some(true)
        }
        _ => None,
    }
}

/// "look at example dot com": a page, not an address.
fn is_place(tokens: &[Token], i: usize) -> bool {
    const PLACES: [&str; 16] = [
        "look",
        "us",
        "me",
        "see",
        "website",
        "site",
        "page",
        "online",
        "available",
        "order",
        "visit",
        "found",
        "shop",
        "it",
        "out",
        "more",
    ];
    i.checked_sub(1).and_then(|before| tokens.get(before)).is_none_or(|token| PLACES.contains(&token.text.as_str()))
}

fn is_dot(word: &str) -> bool {
    matches!(word, "dot" | "точка" | "точку" | "нукте")
}

/// A point that nothing parts from its neighbours.
fn dotted(text: &str, tokens: &[Token], i: usize) -> bool {
    between(text, tokens, i) == Some(".")
}

/// Where the domain that begins there ends: words with "dot" or points between; None without any.
fn domain_end(text: &str, tokens: &[Token], start: usize) -> Option<usize> {
    let mut at = start;
    let mut end = None;
    for _ in 0..LABELS_MAX {
        let label = (at..tokens.len()).take(LABEL_WORDS).find_map(|last| {
            if dotted(text, tokens, last) || joined(text, tokens, last) {
                Some(last + 1)
            } else {
                tokens.get(last + 1).filter(|next| next.is_word() && is_dot(&next.text)).map(|_| last + 2)
            }
        });
        match label.filter(|next| *next < tokens.len() && !is_dot(&tokens[at].text)) {
            Some(next) => {
                at = next;
                end = Some(at + 1);
            }
            None => break,
        }
    }
    end
}

/// "mail-box.com".
fn joined(text: &str, tokens: &[Token], i: usize) -> bool {
    matches!(between(text, tokens, i), Some("-" | "_"))
}

fn connects(word: &str) -> bool {
    is_dot(word)
        || matches!(
            word,
            "underscore"
                | "dash"
                | "hyphen"
                | "minus"
                | "нижнее"
                | "подчеркивание"
                | "тире"
                | "дефис"
                | "минус"
                | "сызыкша"
        )
}

/// The first token of the name that ends with `last`: back over points, "dot" and what is spelled; and
/// to "my e-mail is", where that was said.
fn name_start(text: &str, tokens: &[Token], last: usize, said: bool) -> usize {
    let mut start = last;
    for _ in 0..SPELLED_MAX {
        let Some(before) = start.checked_sub(1) else { break };
        let glue = between(text, tokens, before).is_some_and(|between| {
            !between.is_empty() && between.chars().all(|c| matches!(c, '.' | '_' | '-' | '+' | '%' | '\''))
        });
        let adjacent = between(text, tokens, before) == Some("");
        let connected = connects(&tokens[before].text) || connects(&tokens[start].text);
        let spaced = between(text, tokens, before) == Some(" ");
        let spelled = spaced && is_piece(&tokens[before]) && is_piece(&tokens[start]);
        if !(glue || adjacent || said && (connected || spelled)) {
            break;
        }
        start = before;
    }
    let lead = (start.saturating_sub(LEAD_WORDS)..start).rev().find(|i| announces(&tokens[*i].text));
    lead.map_or(start, |lead| lead + 1)
}

/// A letter, a digit or a number word, as in spelling.
fn is_piece(token: &Token) -> bool {
    match token.what {
        What::Digits => true,
        What::Word => token.text.chars().count() == 1 || lexicon::say(&token.text).is_some(),
        What::Tag => false,
    }
}

fn announces(word: &str) -> bool {
    matches!(
        word,
        "is" | "email"
            | "mail"
            | "address"
            | "почта"
            | "почту"
            | "почты"
            | "почте"
            | "адрес"
            | "имейл"
            | "емейл"
            | "мейл"
            | "пошта"
            | "поштам"
            | "это"
    )
}

/// International bank account numbers (ISO 13616), written, with spaces or without.
pub(super) fn ibans(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 4 < bytes.len() {
        let begins = bytes[at].is_ascii_alphabetic()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 2].is_ascii_digit()
            && bytes[at + 3].is_ascii_digit()
            && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        let longest = begins.then(|| iban_end(bytes, at)).flatten();
        if let Some(end) = longest {
            found.push(at..end);
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// How long the IBANs of a country are, by its registry (SWIFT).
fn iban_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"NL" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" => 22,
        b"AE" | b"IL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" => 24,
        b"PT" => 25,
        b"IS" | b"TR" => 26,
        b"FR" | b"GR" | b"IT" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"HU" | b"LB" | b"PL" => 28,
        b"UA" => 29,
        b"MT" => 31,
        b"RU" => 33,
        _ => return None,
    })
}

/// Where an IBAN that begins there ends.
fn iban_end(bytes: &[u8], start: usize) -> Option<usize> {
    let country = [bytes.get(start)?.to_ascii_uppercase(), bytes.get(start + 1)?.to_ascii_uppercase()];
    let length = iban_length(country)?;
    let mut code: Vec<u8> = Vec::with_capacity(length);
    for (offset, byte) in bytes[start..].iter().enumerate() {
        match byte {
            b' ' | b'-' => continue,
            byte if byte.is_ascii_alphanumeric() => code.push(byte.to_ascii_uppercase()),
            _ => break,
        }
        if code.len() == length {
            return is_iban(&code).then_some(start + offset + 1);
        }
    }
    None
}

fn is_iban(code: &[u8]) -> bool {
    let turned = code.iter().skip(4).chain(code.iter().take(4));
    let rest = turned.fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}
