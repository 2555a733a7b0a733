//! Where the key-encryption key comes from, and how to read what is found there. It opens no file and
//! starts no program; whoever does hands the bytes on.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::Key;
use super::text::{unbase64, unhex};

/// As configured: `kek = { file = "/etc/dauys/kek" }`, `{ env = "DAUYS_KEK" }` or
/// `{ command = ["/usr/bin/kms", "decrypt"] }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// A file that its owner alone can read.
    File(String),
    /// A variable of the environment. Whoever sees the process sees it too: for trials.
    Env(String),
    /// A program, without a shell, that prints the key: the way to a key management service.
    Command(Vec<String>),
}

/// Says where to look, and nothing of what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    #[error("give the whole path of the key's file or command, from / on")]
    NotAbsolute,
    #[error("give the variable's name in capital letters, digits and _")]
    NotAVariable,
    #[error("others can read the key's file: chmod 600 (or 400) it")]
    OthersRead,
    #[error("that is no key: 64 hexadecimal digits or base64 of 32 bytes (openssl rand -hex 32), {0} bytes were found")]
    NotAKey(usize),
    #[error("32 letters are too weak a key: give 64 hexadecimal digits (openssl rand -hex 32)")]
    LettersOnly,
    #[error("the key is one byte over and over: make a random one (openssl rand -hex 32)")]
    NotRandom,
}

impl KeySource {
    /// What can be known before anything is read.
    ///
    /// # Errors
    /// With what to write instead.
    pub fn check(&self) -> Result<(), BadSource> {
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        match self {
            Self::File(path) => absolute(path).then_some(()).ok_or(BadSource::NotAbsolute),
            Self::Command(words) => {
                words.first().is_some_and(|program| absolute(program)).then_some(()).ok_or(BadSource::NotAbsolute)
            }
            Self::Env(name) => {
                let fits = (1..=64).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
                fits.then_some(()).ok_or(BadSource::NotAVariable)
            }
        }
    }

    /// The file's permission bits, as Unix gives them.
    ///
    /// # Errors
    /// Where others than the owner may read or write it.
    pub fn check_mode(mode: u32) -> Result<(), BadSource> {
        if mode & 0o077 == 0 { Ok(()) } else { Err(BadSource::OthersRead) }
    }

    /// What was found there: 32 bytes as they are (not from a variable), 64 hexadecimal digits, or base64;
    /// a line's end behind text is no part of it.
    ///
    /// # Errors
    /// Where it is no key, or one that could be guessed.
    pub fn read(&self, found: Zeroizing<Vec<u8>>) -> Result<Key, BadSource> {
        let mut key = Zeroizing::new([0; 32]);
        let raw = found.len() == 32 && !matches!(self, Self::Env(_));
        let decoded = if raw { Some(found.clone()) } else { written(&found) };
        let decoded = decoded.filter(|d| d.len() == 32).ok_or(BadSource::NotAKey(found.len()))?;
        if raw && decoded.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
            return Err(BadSource::LettersOnly);
        }
        if decoded.iter().all(|b| *b == decoded[0]) {
            return Err(BadSource::NotRandom);
        }
        key.copy_from_slice(&decoded);
        Ok(Key::take(&mut key))
    }
}

/// A key written as text.
fn written(found: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(found).ok()?.trim_ascii_end();
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    match unhex::<32>(&lower).map(Zeroizing::new) {
        Some(bytes) => Some(Zeroizing::new(bytes.to_vec())),
        None => unbase64(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::text::{base64, hex};

    fn read(source: &KeySource, found: &[u8]) -> Result<super::super::KeyId, BadSource> {
        source.read(Zeroizing::new(found.to_vec())).map(|key| key.fingerprint())
    }

    #[test]
    fn one_key_is_read_in_every_form() {
        let file = KeySource::File("/k".into());
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 7 + 130) as u8);
        let want = Key::take(&mut bytes.clone()).fingerprint();
        let digits = hex(&bytes);
        for text in [digits.clone(), digits.to_uppercase(), format!("{digits}\r\n"), base64(&bytes)] {
            assert_eq!(read(&file, text.as_bytes()), Ok(want), "{} bytes", text.len());
        }
        assert_eq!(read(&file, &bytes), Ok(want));
        assert_eq!(read(&KeySource::Command(vec!["/k".into()]), &bytes), Ok(want));
        assert_eq!(read(&KeySource::Env("K".into()), &bytes), Err(BadSource::NotAKey(32)));
    }

    #[test]
    fn weak_and_wrong_keys_are_refused() {
        let file = KeySource::File("/k".into());
        for (found, error) in [
            (vec![], BadSource::NotAKey(0)),
            (b"secret".to_vec(), BadSource::NotAKey(6)),
            (b"0123456789abcdef0123456789abcdef".to_vec(), BadSource::LettersOnly),
            (b"0123456789abcdef0123456789abcdef\n".to_vec(), BadSource::NotAKey(33)),
            (vec![0; 32], BadSource::NotRandom),
            (vec![b'0'; 64], BadSource::NotRandom),
            (vec![0xff; 33], BadSource::NotAKey(33)),
        ] {
            assert_eq!(read(&file, &found), Err(error));
        }
    }

    #[test]
    fn a_source_is_checked_before_it_is_read() {
        let parse = |toml: &str| toml::from_str::<std::collections::BTreeMap<String, KeySource>>(toml);
        for (toml, good) in [
            ("kek = { file = '/etc/dauys/kek' }", true),
            ("kek = { file = 'kek' }", false),
            ("kek = { env = 'DAUYS_KEK' }", true),
            ("kek = { env = 'kek' }", false),
            ("kek = { command = ['/usr/bin/kms', 'decrypt'] }", true),
            ("kek = { command = ['kms'] }", false),
            ("kek = { command = [] }", false),
        ] {
            let source = parse(toml).expect("parses").remove("kek").expect("is there");
            assert_eq!(source.check().is_ok(), good, "{toml}");
        }
        assert!(parse("kek = { vault = 'x' }").is_err());
        assert!(KeySource::check_mode(0o100_600).is_ok() && KeySource::check_mode(0o100_400).is_ok());
        for mode in [0o100_640, 0o100_604, 0o100_620, 0o100_660] {
            assert_eq!(KeySource::check_mode(mode), Err(BadSource::OthersRead));
        }
    }
}
