//! Names of staff, their reasons, and random names of records. A reason never shows in Debug output.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no name of a person on the staff: 1 to 64 lower-case letters, digits, dots, hyphens or underscores, with a letter"
)]
pub struct NotAPerson;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no reason: say why in one line of 3 to 300 bytes, best by the number of the case")]
pub struct NotAReason;

/// Somebody who works here, by the name they log in with. Never a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Person(String);

impl Person {
    /// # Errors
    /// Where it is empty, too long, or has other letters.
    pub fn new(name: &str) -> Result<Self, NotAPerson> {
        // No address and no bare number: the name goes into the audit log, and stays there.
        let fits = (1..=64).contains(&name.len())
            && name.bytes().any(|b| b.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
        if fits { Ok(Self(name.into())) } else { Err(NotAPerson) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Person {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// Why somebody did something, in their words: one line.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Why(String);

impl Why {
    /// # Errors
    /// Where it says too little, too much, or has a line break or another control character.
    pub fn new(text: &str) -> Result<Self, NotAReason> {
        let text = text.trim();
        let fits = (3..=300).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(NotAReason) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Why(..)")
    }
}

impl<'de> Deserialize<'de> for Why {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A random name of a record, written as 16 hexadecimal digits. Whoever has randomness gives it.
macro_rules! random_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl $name {
            pub fn parse(hex: &str) -> Option<Self> {
                $crate::CallId::parse(hex).map(|id| Self(id.0))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no name of a record: 16 hexadecimal digits"))
            }
        }
    };
}
pub(crate) use random_name;

random_name! {
    /// One approval by two people.
    ApprovalId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_bounded_and_reasons_do_not_show() {
        assert!(Person::new("dana.k-7").is_ok());
        for bad in ["", "Dana", "a b", "a\n", "dana@clinic.example", "77012345678", &"x".repeat(65)] {
            assert_eq!(Person::new(bad), Err(NotAPerson));
        }
        assert_eq!(Why::new("  case 7 ").map(|w| w.as_str().to_owned()), Ok("case 7".into()));
        for bad in ["", "ab", "two\nlines", &"x".repeat(301)] {
            assert_eq!(Why::new(bad), Err(NotAReason));
        }
        assert_eq!(format!("{:?}", Why::new("case zanzibar")), "Ok(Why(..))");
        assert_eq!(ApprovalId::parse("00000000000000ff"), Some(ApprovalId(255)));
        assert_eq!(serde_json::from_str::<ApprovalId>("\"00000000000000ff\"").ok(), Some(ApprovalId(255)));
        assert!(serde_json::from_str::<ApprovalId>("\"ff\"").is_err());
    }
}
