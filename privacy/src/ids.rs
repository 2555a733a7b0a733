//! Names of what is protected. None of them holds a number, an address or a name of a person.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::keys::text::unhex;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no {1}")]
pub struct NotAName(pub String, pub &'static str);

/// One call, random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Who a record is about, as a pseudonym: an HMAC of the normalised identifier under the tenant's index
/// key, or random where a caller has none. Whoever lacks the key cannot tell who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub [u8; 16]);

/// A consent event, named by the hash of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

/// Whose data it is: lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TenantId(String);

impl CallId {
    /// As it is written, in 16 lower-case digits.
    pub fn parse(hex: &str) -> Option<Self> {
        unhex(hex).map(u64::from_be_bytes).map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TenantId {
    /// # Errors
    /// Where the name is empty, longer than 32 letters or has others than those allowed.
    pub fn new(name: &str) -> Result<Self, NotAName> {
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(name.into())) } else { Err(NotAName(name.into(), "name of a tenant")) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sixteen bytes that are written as 32 lower-case hexadecimal digits.
macro_rules! hex_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// # Errors
            /// Where it is not 32 lower-case hexadecimal digits: one name, one text, or a signed text could be
            /// written in another way.
            pub fn parse(hex: &str) -> Result<Self, NotAName> {
                unhex(hex).map(Self).ok_or_else(|| NotAName(hex.into(), $what))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_name!(SubjectId, "subject");
hex_name!(EventId, "consent event");

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(NotAName(text, "call")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_are_read() {
        let subject = SubjectId::parse("00112233445566778899aabbccddeeff").expect("is one");
        assert_eq!(subject.to_string(), "00112233445566778899aabbccddeeff");
        assert!(SubjectId::parse("+0112233445566778899aabbccddeeff").is_err());
        assert!(SubjectId::parse("00112233445566778899AABBCCDDEEFF").is_err());
        assert_eq!(CallId::parse("00000000000000ff"), Some(CallId(255)));
        assert_eq!(["00000000000000FF", "ff", "+0000000000000ff"].map(CallId::parse), [None; 3]);
        assert!(TenantId::new("clinic-7").is_ok() && TenantId::new("Clinic").is_err() && TenantId::new("").is_err());
    }
}
