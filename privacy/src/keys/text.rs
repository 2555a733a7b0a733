//! Bytes as hexadecimal digits and base64, and fields that cannot run into each other. It knows no keys.

use serde::{Deserialize, Deserializer, Serializer};
use zeroize::Zeroizing;

/// Lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Exactly `N` bytes, in lower-case digits only: one value, one text.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (to, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *to = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, 4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let n = three.iter().enumerate().fold(0u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let letter = BASE64[(n >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// RFC 4648, 4; padding may be left out, bits that say nothing must be zero.
pub(crate) fn unbase64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let letters = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - letters.len();
    if letters.len() % 4 == 1 || padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(letters.len() / 4 * 3 + 3));
    let (mut bits, mut held) = (0u32, 0);
    for letter in letters {
        let value = BASE64.iter().position(|b| b == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// Fields one after the other, each behind its length, so that no two lists give the same bytes.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// The label says what the fields are, and in which version.
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(256)).add(label.as_bytes())
    }

    #[must_use]
    pub fn add(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// For serde: an array as hexadecimal digits.
pub(crate) mod hex_array {
    use super::*;

    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<[u8; N], D::Error> {
        let wrong = || serde::de::Error::custom(format!("{} lower-case hexadecimal digits belong here", 2 * N));
        unhex(&String::deserialize(d)?).ok_or_else(wrong)
    }
}

/// So many bytes that are written as lower-case hexadecimal digits.
macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            #[doc = concat!("The ", $what, " that is written so, in lower-case hexadecimal digits.")]
            pub fn parse(hex: &str) -> Option<Self> {
                $crate::keys::text::unhex(hex).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::keys::text::hex(&self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                $crate::keys::text::hex_array::serialize(&self.0, s)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::keys::text::hex_array::deserialize(d).map(Self)
            }
        }
    };
}

pub(crate) use hex_type;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648s() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, text) in pairs {
            assert_eq!(base64(plain.as_bytes()), text);
            assert_eq!(unbase64(text).map(|b| b.to_vec()), Some(plain.as_bytes().to_vec()));
            assert_eq!(unbase64(text.trim_end_matches('=')).map(|b| b.to_vec()), Some(plain.as_bytes().to_vec()));
        }
        for wrong in ["Z", "Zg=", "Zg===", "Zh==", "Zm9v=", "Zm 9", "Zm9v====", "=", "Zg==Zg=="] {
            assert!(unbase64(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn one_value_has_one_hexadecimal_text() {
        assert_eq!(hex(&[0x00, 0x9a, 0xff]), "009aff");
        assert_eq!(unhex("009aff"), Some([0x00, 0x9a, 0xff]));
        for wrong in ["009AFF", "009af", "009aff0", "+09aff", "009ag0", "é09af"] {
            assert_eq!(unhex::<3>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let two = |a: &str, b: &str| Fields::new("x").add(a.as_bytes()).add(b.as_bytes()).finish();
        assert_ne!(two("ab", "c"), two("a", "bc"));
        assert_ne!(two("", "a"), two("a", ""));
    }
}
