//! Which kinds of private things are masked for whom, as `[redaction]` of a policy says it. Cards and
//! their codes are not among what can be said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Kind, name};
use crate::Scope;

const NAMES_MAX: usize = 10_000;
const NAME_LETTERS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    #[error("[redaction.keep] {scope}: '{kind}' is always masked; take it out")]
    Always { scope: Scope, kind: Kind },
    #[error("[redaction] names: more than {NAMES_MAX}; leave out those that need no masking")]
    TooManyNames,
    #[error("[redaction] names: number {0} has no letter or more than {NAME_LETTERS_MAX} of them; correct it")]
    Name(usize),
}

/// ```toml
/// kinds = ["iin", "phone", "email", "name"]    # and cards with their codes, always
/// names = ["Анна Петрова"]
/// [keep]                                       # what a scope may have unmasked
/// "third_party:crm" = ["phone", "name"]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Rules {
    kinds: BTreeSet<Kind>,
    names: Vec<String>,
    keep: BTreeMap<Scope, BTreeSet<Kind>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default = "usual")]
    kinds: BTreeSet<Kind>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    keep: BTreeMap<Scope, BTreeSet<Kind>>,
}

fn usual() -> BTreeSet<Kind> {
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::Iban).collect()
}

impl Default for Rules {
    fn default() -> Self {
        Self { kinds: usual(), names: Vec::new(), keep: BTreeMap::new() }
    }
}

impl TryFrom<Table> for Rules {
    type Error = BadRules;

    fn try_from(table: Table) -> Result<Self, BadRules> {
        for (scope, kinds) in &table.keep {
            if let Some(kind) = kinds.iter().find(|kind| kind.always()) {
                return Err(BadRules::Always { scope: scope.clone(), kind: *kind });
            }
        }
        if table.names.len() > NAMES_MAX {
            return Err(BadRules::TooManyNames);
        }
        let wrong = |text: &String| text.chars().count() > NAME_LETTERS_MAX || !name::is_name(text);
        if let Some(place) = table.names.iter().position(wrong) {
            return Err(BadRules::Name(place + 1));
        }
        Ok(Self { kinds: table.kinds, names: table.names, keep: table.keep })
    }
}

impl From<Rules> for Table {
    fn from(rules: Rules) -> Self {
        Self { kinds: rules.kinds, names: rules.names, keep: rules.keep }
    }
}

impl Rules {
    /// # Errors
    /// Where a key is unknown, or a scope would keep what is always masked; it says what to do.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is masked for this scope.
    pub fn masks(&self, kind: Kind, scope: &Scope) -> bool {
        let kept = self.keep.get(scope).is_some_and(|kinds| kinds.contains(&kind));
        kind.always() || (self.kinds.contains(&kind) && !kept)
    }

    /// Whether it is masked where no scope is asked, as in logs.
    pub fn masks_somewhere(&self, kind: Kind) -> bool {
        kind.always() || self.kinds.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_and_codes_are_masked_whatever_the_rules_say() {
        let rules = Rules::from_toml("kinds = []").expect("is well formed");
        assert!(rules.masks(Kind::Card, &Scope::Transcript) && rules.masks(Kind::SecurityCode, &Scope::Audio));
        assert!(!rules.masks(Kind::Phone, &Scope::Transcript));
        for kind in ["card", "security_code", "expiry"] {
            let text = format!("[keep]\ntranscript = ['{kind}']");
            let error = Rules::from_toml(&text).expect_err("cannot be kept").to_string();
            assert!(error.contains("always masked; take it out"), "{error}");
        }
    }

    #[test]
    fn a_scope_may_keep_what_another_may_not() {
        let rules = Rules::from_toml("[keep]\n'third_party:crm' = ['phone', 'name']").expect("is well formed");
        let crm = Scope::ThirdParty("crm".into());
        assert!(!rules.masks(Kind::Phone, &crm) && rules.masks(Kind::Phone, &Scope::Transcript));
        assert!(rules.masks(Kind::Email, &crm) && !rules.masks(Kind::Iban, &crm));
        assert!(rules.masks_somewhere(Kind::Phone));
    }

    #[test]
    fn a_wrong_key_or_name_says_what_to_do() {
        assert!(Rules::from_toml("kind = []").expect_err("unknown").to_string().contains("expected one of `kinds`"));
        assert!(Rules::from_toml("kinds = ['cards']").is_err());
        let error = Rules::from_toml("names = ['Анна', '  ']").expect_err("no letter").to_string();
        assert!(error.contains("number 2") && !error.contains("Анна в"), "{error}");
    }
}
