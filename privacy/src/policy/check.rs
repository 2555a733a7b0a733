//! From a policy file to a policy: every text filled in, everything that cannot be meant named. It judges
//! form; whether a text is true and lawful is its author's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::names::{Language, Version};
use super::problem::{PolicyError, Problem};
use super::{Ask, Policy, Texts, words};
use crate::{Country, Scope, TenantId};

const TEXT_CHARS_MAX: usize = 1200;
const NAME_CHARS_MAX: usize = 200;
const LANGUAGES_MAX: usize = 32;
const ASKS_MAX: usize = 16;
const PHRASES_MAX: usize = 64;

/// The file as TOML has it; nothing is checked beyond types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    version: Version,
    tenant: TenantId,
    operator: String,
    contact: String,
    url: String,
    residency: Option<Country>,
    withdraw_key: String,
    texts: BTreeMap<Language, Texts>,
    #[serde(default)]
    ask: Vec<Ask>,
    #[serde(default)]
    retention: toml::Table,
    #[serde(default)]
    erasure: toml::Table,
    #[serde(default)]
    claims: toml::Table,
    #[serde(default)]
    redaction: toml::Table,
    #[serde(default)]
    destination: Vec<toml::Table>,
}

pub(super) fn checked(mut file: File) -> Result<Policy, PolicyError> {
    let mut check = Check::of(&file);
    check.names(&file);
    for (language, texts) in &mut file.texts {
        check.texts(language, texts, &file.operator);
    }
    let languages: BTreeSet<&Language> = file.texts.keys().collect();
    if !(1..=LANGUAGES_MAX).contains(&languages.len()) {
        check.add("texts", format!("write the texts in 1 to {LANGUAGES_MAX} languages, as [texts.en]"));
    }
    if file.ask.len() > ASKS_MAX {
        check.add("ask", format!("{ASKS_MAX} questions are the most; delete some"));
    }
    let mut put = Put::default();
    for (i, ask) in file.ask.iter_mut().take(ASKS_MAX).enumerate() {
        check.ask(&format!("ask[{i}]"), ask, &languages, file.residency, &mut put);
    }
    if !check.problems.is_empty() {
        return Err(PolicyError { problems: check.problems });
    }
    Ok(Policy {
        version: file.version,
        tenant: file.tenant,
        operator: file.operator,
        contact: file.contact,
        url: file.url,
        residency: file.residency,
        withdraw_key: file.withdraw_key,
        texts: file.texts,
        asks: file.ask,
        retention: file.retention,
        erasure: file.erasure,
        claims: file.claims,
        redaction: file.redaction,
        destinations: file.destination,
    })
}

/// What was asked by the questions before.
#[derive(Default)]
struct Put {
    scopes: BTreeSet<Scope>,
    questions: BTreeSet<Vec<String>>,
}

struct Check {
    problems: Vec<Problem>,
    /// What `{name}` stands for, or why it stands for nothing.
    fillings: Vec<(&'static str, Result<String, String>)>,
}

impl Check {
    fn of(file: &File) -> Self {
        let days = |key: &str| {
            let term = file.retention.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            let number = term.strip_suffix(" days").or_else(|| term.strip_suffix(" day")).unwrap_or_default();
            let counted = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            counted.then(|| number.to_owned()).ok_or_else(|| {
                format!(
                    "[retention] {key} has no term in days; set it, like {key} = \"30 days\", or write the term out"
                )
            })
        };
        let fillings = vec![
            ("operator", Ok(file.operator.clone())),
            ("contact", Ok(file.contact.clone())),
            ("url", Ok(file.url.clone())),
            ("content_days", days("content")),
            ("recording_days", days("recording")),
        ];
        Self { problems: vec![], fillings }
    }

    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(key, message));
    }

    fn names(&mut self, file: &File) {
        for (key, text) in [("operator", &file.operator), ("contact", &file.contact)] {
            self.plain(key, text, NAME_CHARS_MAX);
            if text.contains(['{', '}']) {
                self.add(key, "braces have a meaning in texts; write it without them");
            }
        }
        let ascii = file.url.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\{}".contains(&b));
        let begins = ["https://", "http://", "/"].iter().any(|start| file.url.starts_with(start));
        if !(ascii && begins && file.url.len() <= NAME_CHARS_MAX) {
            self.add("url", "write where the policy can be read, as https://example.org/privacy or /privacy, in ASCII");
        }
        let key = file.withdraw_key.as_bytes();
        let keys = key.iter().all(|b| b.is_ascii_digit() || b"*#".contains(b));
        if !(keys && (2..=4).contains(&key.len()) && key.first().is_some_and(|b| b"*#".contains(b))) {
            self.add(
                "withdraw_key",
                "write * or # and up to three more keys, like \"*9\": single keys answer questions",
            );
        }
    }

    fn texts(&mut self, language: &Language, texts: &mut Texts, operator: &str) {
        let at = |key: &str| format!("texts.{language}.{key}");
        for (key, text) in [
            ("disclosure", &mut texts.disclosure),
            ("keeps", &mut texts.keeps),
            ("person", &mut texts.person),
            ("withdrawn", &mut texts.withdrawn),
        ] {
            self.fill(&at(key), text);
        }
        if !texts.disclosure.contains(operator) {
            self.add(at("disclosure"), "it has to say for whom the AI answers; write {operator} in it");
        }
        if !(1..=PHRASES_MAX).contains(&texts.withdraw.len()) {
            self.add(at("withdraw"), format!("write 1 to {PHRASES_MAX} phrases that take a consent back"));
        }
        for (i, phrase) in texts.withdraw.iter().take(PHRASES_MAX).enumerate() {
            let key = at(&format!("withdraw[{i}]"));
            self.plain(&key, phrase, NAME_CHARS_MAX);
            if words(phrase).len() < 2 {
                self.add(key, "a single word is said by chance; write a phrase");
            }
        }
    }

    fn ask(
        &mut self,
        at: &str,
        ask: &mut Ask,
        languages: &BTreeSet<&Language>,
        residency: Option<Country>,
        put: &mut Put,
    ) {
        if !put.scopes.insert(ask.scope.clone()) {
            self.add(format!("{at}.scope"), format!("{} is asked twice; delete one question", ask.scope));
        }
        if let Scope::Xborder(country) = ask.scope
            && residency == Some(country)
        {
            self.add(format!("{at}.scope"), format!("{country} is the residency itself; delete this question"));
        }
        for language in languages.iter().filter(|language| !ask.texts.contains_key(**language)) {
            self.add(format!("{at}.texts.{language}"), "missing; every question is put in every language of [texts]");
        }
        for (language, texts) in &mut ask.texts {
            let at = format!("{at}.texts.{language}");
            if !languages.contains(language) {
                self.add(at.clone(), format!("there is no [texts.{language}]; add it or delete this"));
            }
            self.fill(&format!("{at}.question"), &mut texts.question);
            self.fill(&format!("{at}.granted"), &mut texts.granted);
            self.fill(&format!("{at}.refused"), &mut texts.refused);
            // U+037E and U+061F are the question marks of Greek and Arabic.
            if !texts.question.contains(['?', '\u{37e}', '\u{61f}']) {
                self.add(format!("{at}.question"), "a question has a question mark; write one");
            }
            if !put.questions.insert(words(&texts.question)) {
                self.add(format!("{at}.question"), "one question cannot ask for two scopes; ask for each apart");
            }
        }
    }

    fn plain(&mut self, key: &str, text: &str, chars_max: usize) {
        let chars = text.chars().count();
        if text.trim().is_empty() || chars > chars_max || text.chars().any(char::is_control) {
            self.add(key, format!("write 1 to {chars_max} characters, in one line"));
        }
    }

    /// Puts in what stands for `{operator}` and the like.
    fn fill(&mut self, key: &str, text: &mut String) {
        self.plain(key, text, TEXT_CHARS_MAX);
        let mut filled = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let mut wrong = None;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match self.fillings.iter().find(|(known, _)| *known == name) {
                Some((_, Ok(filling))) => filled.push_str(filling),
                Some((_, Err(why))) => wrong = Some(why.clone()),
                None => {
                    let known: Vec<String> = self.fillings.iter().map(|(known, _)| format!("{{{known}}}")).collect();
                    wrong = Some(format!("in braces only these are known: {}", known.join(", ")));
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        if let Some(why) = wrong {
            self.add(key, why);
        }
        *text = filled;
    }
}
