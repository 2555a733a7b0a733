//! What a consent refers to: the policy's version, a language, the hash of a text, and the three together
//! with the channel. They hold no text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NotAName;
use crate::consent::Channel;
use crate::consent::canon::Canon;
use crate::keys::text::unhex;

/// A short name with its own letters.
macro_rules! short_name {
    ($(#[$about:meta])* $name:ident, $what:literal, $fits:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Where it is empty, too long or has other letters.
            pub fn new(text: &str) -> Result<Self, NotAName> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) { Ok(Self(text.into())) } else { Err(NotAName(text.chars().take(64).collect(), $what)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

short_name!(
    /// Which policy, as its operator counts: letters, digits, `.`, `-` and `_`, 32 at most.
    Version,
    "version: letters, digits, '.', '-' and '_', 32 at most",
    |text| {
        (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    }
);

short_name!(
    /// A BCP 47 tag as the configuration writes it, `kk` or `en-GB`.
    Language,
    "language: a tag like 'en' or 'en-GB'",
    |text| {
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or_default();
        text.len() <= 35
            && (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_lowercase())
            && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
    }
);

short_name!(
    /// Which key of the tenant's system signed: letters, digits, `.`, `-` and `_`, 64 at most.
    KeyName,
    "name of a key: letters, digits, '.', '-' and '_', 64 at most",
    |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    }
);

impl Language {
    /// `en` of `en-GB`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

/// SHA-256 of a text that was told or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub [u8; 32]);

impl TextHash {
    /// Of a question as it is played or shown.
    pub fn of(text: &str) -> Self {
        Self(Canon::new("dauys text 1").text(text).sha256())
    }

    /// # Errors
    /// Where it is not 64 lower-case hexadecimal digits.
    pub fn parse(hex: &str) -> Result<Self, NotAName> {
        let wrong = || NotAName(hex.chars().take(64).collect(), "hash of a text: 64 lower-case hexadecimal digits");
        unhex(hex).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for TextHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TextHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// What the other side of a call is told and asked, by name. [`Policy::told`](super::Policy::told) makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub version: Version,
    pub text: TextHash,
    pub language: Language,
    pub channel: Channel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for tag in ["en", "kk", "en-GB", "zh-Hant-TW", "yue"] {
            assert_eq!(Language::new(tag).map(|l| l.to_string()), Ok(tag.into()));
        }
        for tag in ["", "e", "EN", "en_GB", "en-", "english", "en-toolongtag", "қаз"] {
            assert!(Language::new(tag).is_err(), "{tag}");
        }
        assert_eq!(Language::new("en-GB").expect("is one").primary(), "en");
        assert!(Version::new("2026-11.1_a").is_ok());
        for version in ["", "1 2", "v/1", "ё", &"1".repeat(33)] {
            assert!(Version::new(version).is_err(), "{version}");
        }
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let hash = TextHash::of("May I?");
        assert_eq!(TextHash::parse(&hash.to_string()), Ok(hash));
        assert_ne!(hash, TextHash::of("May I? "));
        for wrong in ["", "00", &"g".repeat(64), &"+".repeat(64), &"é".repeat(32)] {
            assert!(TextHash::parse(wrong).is_err(), "{wrong}");
        }
    }
}
