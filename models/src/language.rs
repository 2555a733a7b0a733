//! Names for what an agent speaks: a language and a voice, parsed once at the door. Knows nothing of models.

use std::fmt;

/// A language by its primary subtag (BCP 47): `en`, `ru`, `kk`. Region and script are accepted and dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

/// A voice: `joe` (a Piper voice of the manifest) or `espeak:ru` (the rule-based fallback, any language it knows).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct VoiceName(String);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a BCP 47 tag.
    #[error("a language is written as `en`, `ru` or `kk-KZ`")]
    Language,
    /// Not a voice name.
    #[error("a voice is written as `joe` or `espeak:ru`")]
    Voice,
}

impl Language {
    /// Parses a tag such as `en`, `en-US` or `kk_KZ`.
    ///
    /// # Errors
    /// When the primary subtag is not two or three letters.
    pub fn parse(tag: &str) -> Result<Self, NameError> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        let right = (2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_alphabetic());
        if right { Ok(Self(primary.to_ascii_lowercase())) } else { Err(NameError::Language) }
    }

    /// The primary subtag, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl VoiceName {
    /// Parses a voice's name.
    ///
    /// # Errors
    /// When it is empty, longer than 64 bytes or holds anything but letters, digits, `-`, `_`, `+` and one `:`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b':');
        let colons = name.bytes().filter(|b| *b == b':').count();
        let right = !name.is_empty() && name.len() <= 64 && colons <= 1 && name.bytes().all(allowed);
        if right { Ok(Self(name.to_owned())) } else { Err(NameError::Voice) }
    }

    /// The rule-based voice of a language: what speaks when no neural voice does.
    #[must_use]
    pub fn fallback(language: &Language) -> Self {
        Self(format!("espeak:{}", language.as_str()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The espeak voice this name stands for, if it is one.
    #[must_use]
    pub fn espeak(&self) -> Option<&str> {
        self.0.strip_prefix("espeak:")
    }
}

impl TryFrom<String> for Language {
    type Error = NameError;
    fn try_from(tag: String) -> Result<Self, NameError> {
        Self::parse(&tag)
    }
}

impl TryFrom<String> for VoiceName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0
    }
}

impl From<VoiceName> for String {
    fn from(name: VoiceName) -> Self {
        name.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for VoiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        let check = |tag: &str, want: Option<&str>| {
            assert_eq!(Language::parse(tag).ok().as_ref().map(Language::as_str), want, "{tag:?}");
        };
        check("en", Some("en"));
        check("kk-KZ", Some("kk"));
        check("RU_ru", Some("ru"));
        check("", None);
        check("e", None);
        check("русский", None);
        check("../etc", None);
    }

    #[test]
    fn voices() {
        let check = |name: &str, want: Option<Option<&str>>| {
            let got = VoiceName::parse(name).ok();
            assert_eq!(got.as_ref().map(VoiceName::espeak), want, "{name:?}");
        };
        check("joe", Some(None));
        check("espeak:ru", Some(Some("ru")));
        check("espeak:en-gb+f3", Some(Some("en-gb+f3")));
        check("", None);
        check("../joe", None);
        check("a:b:c", None);
    }
}
