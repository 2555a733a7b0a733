//! What a consent covers. Each scope is granted or not on its own; none implies another.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no scope: ai_process, transcript, audio, analytics, outbound, third_party:NAME or xborder:CC (a country's two capital letters)"
)]
pub struct NotAScope(pub String);

/// A country by ISO 3166-1 alpha-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// A set of scopes, in order.
pub type Scopes = BTreeSet<Scope>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// That a machine listens, understands and answers.
    AiProcess,
    /// Keeping the words of the call as text.
    Transcript,
    /// Keeping its sound.
    Audio,
    /// Learning from it beyond the call itself.
    Analytics,
    /// Being called.
    Outbound,
    /// Handing it to a system that has this name in the configuration.
    ThirdParty(String),
    /// Sending it to another country.
    Xborder(Country),
}

impl Country {
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("??"))
    }
}

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        let named = |name: &str| {
            (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        Ok(match text {
            "ai_process" => Self::AiProcess,
            "transcript" => Self::Transcript,
            "audio" => Self::Audio,
            "analytics" => Self::Analytics,
            "outbound" => Self::Outbound,
            _ => match text.split_once(':') {
                Some(("third_party", name)) if named(name) => Self::ThirdParty(name.into()),
                Some(("xborder", code)) => Self::Xborder(Country::new(code).ok_or_else(|| NotAScope(text.into()))?),
                _ => return Err(NotAScope(text.into())),
            },
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AiProcess => f.write_str("ai_process"),
            Self::Transcript => f.write_str("transcript"),
            Self::Audio => f.write_str("audio"),
            Self::Analytics => f.write_str("analytics"),
            Self::Outbound => f.write_str("outbound"),
            Self::ThirdParty(name) => write!(f, "third_party:{name}"),
            Self::Xborder(country) => write!(f, "xborder:{country}"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let code = String::deserialize(d)?;
        Self::new(&code).ok_or_else(|| serde::de::Error::custom(format!("'{code}' is no country: two capital letters")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for text in ["ai_process", "transcript", "audio", "analytics", "outbound", "third_party:crm", "xborder:US"] {
            assert_eq!(text.parse::<Scope>().map(|s| s.to_string()), Ok(text.into()));
        }
        for text in ["", "Transcript", "xborder:us", "xborder:USA", "third_party:", "third_party:a b", "audio:x"] {
            assert_eq!(text.parse::<Scope>(), Err(NotAScope(text.into())));
        }
    }
}
