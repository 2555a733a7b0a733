//! A phrase in every form in which it could lie in a file or in memory. It never tells apart who wrote it, so a phrase
//! has to be one that nobody but the caller says.

use std::fmt;

/// How the phrase lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// So many bytes into a group of three.
    Base64(usize),
    HexLower,
    HexUpper,
    /// As JSON writes what is not ASCII.
    JsonEscapes,
    /// Of what is no text: as it is.
    Bytes,
}

pub const FORMS: [Form; 8] = [
    Form::Utf8,
    Form::Utf16Le,
    Form::Utf16Be,
    Form::Base64(0),
    Form::Base64(1),
    Form::Base64(2),
    Form::HexLower,
    Form::HexUpper,
];

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => f.write_str("UTF-8"),
            Self::Utf16Le => f.write_str("UTF-16LE"),
            Self::Utf16Be => f.write_str("UTF-16BE"),
            Self::Base64(shift) => write!(f, "base64+{shift}"),
            Self::HexLower => f.write_str("hex"),
            Self::HexUpper => f.write_str("HEX"),
            Self::JsonEscapes => f.write_str("\\u escapes"),
            Self::Bytes => f.write_str("bytes"),
        }
    }
}

/// What is looked for.
pub struct Phrase {
    needles: Vec<(Form, Vec<u8>)>,
    /// Which two bytes some needle begins with.
    starts: Vec<u16>,
}

impl Phrase {
    pub fn new(text: &str) -> Self {
        let mut needles = vec![];
        for case in cases(text) {
            // Of ASCII, JSON escapes nothing: that is UTF-8 again.
            let forms = forms().filter(|form| *form != Form::JsonEscapes || !case.is_ascii());
            needles.extend(forms.map(|form| (form, written(&case, form))));
        }
        Self::of(needles)
    }

    /// What is no text: as it is, and as texts write bytes.
    pub fn of_bytes(pieces: &[&[u8]]) -> Self {
        let as_texts =
            FORMS.into_iter().filter(|form| matches!(form, Form::Base64(_) | Form::HexLower | Form::HexUpper));
        let forms: Vec<Form> = as_texts.chain([Form::Bytes]).collect();
        Self::of(pieces.iter().flat_map(|piece| forms.iter().map(|form| (*form, coded(piece, *form)))).collect())
    }

    fn of(mut needles: Vec<(Form, Vec<u8>)>) -> Self {
        needles.sort();
        needles.dedup();
        assert!(needles.iter().all(|(_, n)| n.len() >= 8), "too short to prove anything: {needles:?}");
        let mut starts = vec![0u16; 1 << 16];
        for (at, (_, needle)) in needles.iter().enumerate() {
            let start = usize::from(needle[0]) << 8 | usize::from(needle[1]);
            starts[start] |= 1 << (at % 16);
        }
        Self { needles, starts }
    }

    /// Every place, once for each form.
    pub fn find(&self, bytes: &[u8], mut found: impl FnMut(Form, usize)) {
        for (at, pair) in bytes.windows(2).enumerate() {
            let mask = self.starts[usize::from(pair[0]) << 8 | usize::from(pair[1])];
            if mask == 0 {
                continue;
            }
            let of_mask = self.needles.iter().enumerate().filter(|(n, _)| mask >> (n % 16) & 1 == 1);
            for (_, (form, needle)) in of_mask {
                if bytes[at..].starts_with(needle) {
                    found(*form, at);
                }
            }
        }
    }
}

/// As people and recognizers write it.
fn cases(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let title: Vec<String> = lower.split(' ').map(capital).collect();
    let mut cases = vec![text.to_owned(), lower.clone(), text.to_uppercase(), capital(&lower), title.join(" ")];
    // Words in a list, in a URL, and of a tokenizer.
    let apart: Vec<String> = ["+", "%20", "_", "\u{2581}", "\\n"].map(|gap| lower.replace(' ', gap)).to_vec();
    cases.extend(apart);
    cases.sort();
    cases.dedup();
    cases
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn forms() -> impl Iterator<Item = Form> {
    FORMS.into_iter().chain([Form::JsonEscapes])
}

/// The text in one form, without what depends on its neighbours.
pub fn written(text: &str, form: Form) -> Vec<u8> {
    match form {
        Form::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Form::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Form::JsonEscapes => text.encode_utf16().flat_map(|u| escaped(u).into_bytes()).collect(),
        form => coded(text.as_bytes(), form),
    }
}

/// Bytes as texts write them, or as they are.
fn coded(bytes: &[u8], form: Form) -> Vec<u8> {
    match form {
        Form::Base64(shift) => base64_core(bytes, shift),
        Form::HexLower => bytes.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect(),
        Form::HexUpper => bytes.iter().flat_map(|b| format!("{b:02X}").into_bytes()).collect(),
        _ => bytes.to_vec(),
    }
}

fn escaped(unit: u16) -> String {
    match u8::try_from(unit) {
        Ok(b) if b.is_ascii() => char::from(b).to_string(),
        _ => format!("\\u{unit:04x}"),
    }
}

pub const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The base64 characters that depend on `bytes` alone when they start `shift` bytes into a group.
fn base64_core(bytes: &[u8], shift: usize) -> Vec<u8> {
    let bits: Vec<u8> = std::iter::repeat_n(0u8, shift)
        .chain(bytes.iter().copied())
        .flat_map(|b| (0..8).rev().map(move |i| b >> i & 1))
        .collect();
    let (first, last) = ((shift * 8).div_ceil(6), (shift + bytes.len()) * 8 / 6);
    (first..last).map(|i| ALPHABET[bits[i * 6..i * 6 + 6].iter().fold(0, |n, b| n << 1 | usize::from(*b))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junk;

    fn found(phrase: &Phrase, bytes: &[u8]) -> Vec<Form> {
        let mut all = vec![];
        phrase.find(bytes, |form, _| all.push(form));
        all
    }

    /// Base64 by groups, as libraries write it.
    fn base64(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        for group in bytes.chunks(3) {
            let n = group.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - group.len()));
            let digits = (0..=group.len()).map(|i| ALPHABET[(n >> (18 - 6 * i) & 63) as usize]);
            out.extend(digits);
        }
        out
    }

    #[test]
    fn every_form_is_found_at_every_offset() {
        let phrase = Phrase::new("near the clinic");
        for said in ["near the clinic", "Near the clinic", "NEAR THE CLINIC", "Near The Clinic"] {
            for form in FORMS {
                for lead in 0..5 {
                    let mut bytes = junk(lead, 300 + lead as usize);
                    bytes.extend(written(said, form));
                    bytes.extend(junk(7, 100));
                    assert_eq!(found(&phrase, &bytes), [form], "{said} after {lead}");
                }
            }
        }
    }

    #[test]
    fn base64_is_found_as_libraries_write_it() {
        let phrase = Phrase::new("near the clinic");
        for lead in 0..3 {
            let text = format!("{}is there parking near the clinic, please?", "x".repeat(lead));
            let all = found(&phrase, &base64(text.as_bytes()));
            assert!(matches!(all[..], [Form::Base64(_)]), "{lead}: {all:?}");
        }
    }

    #[test]
    fn bytes_are_found_in_every_form() {
        let pieces = [junk(21, 24), junk(22, 24)];
        let phrase = Phrase::of_bytes(&[&pieces[0], &pieces[1]]);
        assert_eq!(found(&phrase, &junk(1, 1 << 20)), [], "others are not");
        for (piece, form) in pieces.iter().flat_map(|p| phrase.needles.iter().map(move |(form, _)| (p, *form))) {
            let bytes = [junk(3, 50), coded(piece, form), junk(4, 50)].concat();
            assert_eq!(found(&phrase, &bytes), [form]);
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let phrase = Phrase::new("near the clinic");
        assert_eq!(found(&phrase, &junk(1, 1 << 20)), []);
        assert_eq!(found(&phrase, b"near a clinic, the clinic is near"), []);
    }

    #[test]
    fn other_scripts_are_found_as_json_writes_them() {
        let phrase = Phrase::new("рядом с клиникой");
        for form in [Form::Utf8, Form::Utf16Le, Form::Utf16Be, Form::JsonEscapes, Form::HexLower] {
            assert!(found(&phrase, &written("Рядом с клиникой", form)).contains(&form), "{form}");
        }
    }
}
