//! The policy of a tenant: what is told, what is asked, in which languages, and the tables of terms,
//! redaction and destinations, which their own modules read. It is text; it opens no file.

mod check;
mod names;
mod problem;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use names::{KeyName, Language, TextHash, Told, Version};
pub use problem::{PolicyError, Problem};

use crate::consent::Channel;
use crate::consent::canon::Canon;
use crate::{Country, Scope, TenantId};

/// One file of `configs/policy/`. Every text in it is filled in: `{operator}` and the like are gone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    pub version: Version,
    pub tenant: TenantId,
    /// Who answers for the data, as callers hear it.
    pub operator: String,
    /// Where a person who asks is answered.
    pub contact: String,
    pub url: String,
    /// Where everything has to stay, unless a caller agrees to more.
    pub residency: Option<Country>,
    /// Pressed at any time, it takes every consent back.
    pub withdraw_key: String,
    texts: BTreeMap<Language, Texts>,
    asks: Vec<Ask>,
    /// `[retention]`, read by [`retention`](crate::retention).
    pub retention: toml::Table,
    /// `[erasure]`, read by [`erasure`](crate::erasure).
    pub erasure: toml::Table,
    /// `[claims]`, read by [`register`](crate::register).
    pub claims: toml::Table,
    /// `[redaction]`, read by [`redact`](crate::redact).
    pub redaction: toml::Table,
    /// Each `[[destination]]`, read by [`egress`](crate::egress).
    pub destinations: Vec<toml::Table>,
}

/// What everybody hears or sees, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// That an AI answers, and for whom.
    pub disclosure: String,
    /// What is kept, and how long.
    pub keeps: String,
    /// How to reach a person.
    pub person: String,
    /// Said at any time, each takes every consent back.
    pub withdraw: Vec<String>,
    pub withdrawn: String,
}

/// A question for one scope.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    scope: Scope,
    texts: BTreeMap<Language, AskTexts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskTexts {
    pub question: String,
    pub granted: String,
    pub refused: String,
}

/// One question in one language. A yes to it grants its scope and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    pub scope: &'a Scope,
    pub texts: &'a AskTexts,
}

impl Question<'_> {
    /// What [`ConsentGate::ask`](crate::consent::ConsentGate::ask) takes, where the question is put as it stands here.
    pub fn prompt(&self) -> TextHash {
        TextHash::of(&self.texts.question)
    }
}

/// The disclosure for machines: a message on a data channel, or the header of a SIP message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice<'a> {
    /// Always: it is what the notice is for.
    pub ai: bool,
    pub operator: &'a str,
    pub contact: &'a str,
    pub url: &'a str,
    pub policy: &'a Version,
    pub text: TextHash,
    pub language: &'a Language,
    pub disclosure: &'a str,
    pub keeps: &'a str,
    pub person: &'a str,
    pub withdraw_key: &'a str,
    /// What will be asked.
    pub asks: Vec<&'a Scope>,
}

impl Notice<'_> {
    /// One line of printable ASCII: parameters as SIP has them. The operator's name, which may be in any
    /// script, stands behind the URL.
    pub fn header(&self) -> String {
        let asks: Vec<String> = self.asks.iter().map(ToString::to_string).collect();
        let Self { policy, language, text, url, .. } = self;
        format!("ai;policy=\"{policy}\";language={language};text={text};asks=\"{}\";url=\"{url}\"", asks.join(" "))
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Every problem there is: where, which key, and what to do about it.
    pub fn parse(toml: &str) -> Result<Self, PolicyError> {
        let file: check::File = toml::from_str(toml).map_err(|e| PolicyError::toml(toml, &e))?;
        check::checked(file)
    }

    pub fn languages(&self) -> impl Iterator<Item = &Language> {
        self.texts.keys()
    }

    /// In this language, or in the one it is a kind of (`en` for `en-GB`). None: it is not offered.
    pub fn texts(&self, language: &str) -> Option<(&Language, &Texts)> {
        let exact = self.texts.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(language));
        let primary = language.split('-').next().unwrap_or_default();
        exact.or_else(|| self.texts.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(primary)))
    }

    /// In the order in which they are put.
    pub fn questions(&self, language: &str) -> Vec<Question<'_>> {
        let Some((language, _)) = self.texts(language) else { return vec![] };
        self.asks
            .iter()
            .filter_map(|ask| Some(Question { scope: &ask.scope, texts: ask.texts.get(language)? }))
            .collect()
    }

    /// Over all that is told and asked in this language, and by whom. Another version of the same words has
    /// the same hash.
    pub fn text_hash(&self, language: &str) -> Option<TextHash> {
        let (language, texts) = self.texts(language)?;
        let mut canon = Canon::new("dauys policy 1")
            .text(language.as_str())
            .text(&self.operator)
            .text(&self.contact)
            .text(&self.url)
            .text(&self.withdraw_key)
            .text(&texts.disclosure)
            .text(&texts.keeps)
            .text(&texts.person)
            .text(&texts.withdrawn)
            .count(texts.withdraw.len());
        canon = texts.withdraw.iter().fold(canon, |c, phrase| c.text(phrase));
        let questions = self.questions(language.as_str());
        canon = questions.iter().fold(canon.count(questions.len()), |c, question| {
            let AskTexts { question: ask, granted, refused } = question.texts;
            c.text(&question.scope.to_string()).text(ask).text(granted).text(refused)
        });
        Some(TextHash(canon.sha256()))
    }

    /// What a gate is made with.
    pub fn told(&self, language: &str, channel: Channel) -> Option<Told> {
        let (language, _) = self.texts(language)?;
        let text = self.text_hash(language.as_str())?;
        Some(Told { version: self.version.clone(), text, language: language.clone(), channel })
    }

    pub fn notice(&self, language: &str) -> Option<Notice<'_>> {
        let (language, texts) = self.texts(language)?;
        Some(Notice {
            ai: true,
            operator: &self.operator,
            contact: &self.contact,
            url: &self.url,
            policy: &self.version,
            text: self.text_hash(language.as_str())?,
            language,
            disclosure: &texts.disclosure,
            keeps: &texts.keeps,
            person: &texts.person,
            withdraw_key: &self.withdraw_key,
            asks: self.asks.iter().map(|ask| &ask.scope).collect(),
        })
    }

    /// Whether somebody takes their consent back: one of the phrases, anywhere in what they said, in any of
    /// the policy's languages. Wrongly heard, it costs a transcript and harms nobody.
    pub fn withdraws(&self, heard: &str) -> bool {
        let heard = words(heard);
        let says = |phrase: &String| {
            let phrase = words(phrase);
            !phrase.is_empty() && heard.windows(phrase.len()).any(|part| part == phrase)
        };
        self.texts.values().flat_map(|texts| &texts.withdraw).any(says)
    }
}

/// More words than this are not looked at.
const WORDS_MAX: usize = 512;

/// Lower case, without punctuation and apostrophes, `ё` as `е`.
fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| -> String {
        let letters = word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
        letters.map(|c| if c == 'ё' { 'е' } else { c }).collect()
    };
    let apart = |c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’');
    text.split(apart).map(plain).filter(|word| !word.is_empty()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests;
