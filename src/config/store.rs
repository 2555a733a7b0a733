//! `[store]` and `[keys]`: where what is kept lies, and where its keys come from. It holds no key.

use std::fmt;
use std::path::PathBuf;

use ::privacy::Country;
use ::privacy::keys::Plan;
use serde::Deserialize;

use super::check::{Problem, wrong};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Folder of the database, the audit log, proofs and sealed sound.
    pub dir: PathBuf,
    /// Of a PostgreSQL database instead of the folder's own, as `postgres://USER@HOST/NAME`. A password is
    /// better in the environment: `DAUYS__STORE__URL`.
    pub url: Option<DatabaseUrl>,
    /// Folder of the keystore; default: `keys` in `dir`. Its backups must live shorter than the erasure's term.
    pub keys_dir: Option<PathBuf>,
    /// In which country all of it is kept; to be said where the policy has a residency.
    pub country: Option<Country>,
    /// Declared to be outside of the residency.
    pub abroad: bool,
}

/// The key-encryption key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// `file:/PATH`, `env:NAME` or `command:/PROGRAM ARGUMENT ...`. Default: a file in the keystore's folder that
    /// is made at the first start, which is for trials: whoever has the folder has the key.
    pub source: Option<String>,
    /// Those of before, until `dauys keys rotate` has put everything under the new one.
    pub retired: Vec<String>,
    /// How numbers are dialled where they come without `+`, so that one person is one person.
    pub plan: Option<Plan>,
}

/// May hold a password: `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn new(url: &str) -> Self {
        Self(url.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { dir: "data".into(), url: None, keys_dir: None, country: None, abroad: false }
    }
}

impl Store {
    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.dir.join("keys"))
    }
}

pub(super) fn check(store: &Store, keys: &Keys) -> Result<(), Problem> {
    let postgres = |url: &DatabaseUrl| ["postgres://", "postgresql://"].iter().any(|p| url.expose().starts_with(p));
    if store.url.as_ref().is_some_and(|url| !postgres(url)) {
        return wrong("store", "url", "is no database's; write postgres://USER@HOST/NAME, or remove it for SQLite");
    }
    if let Some(Err(error)) = keys.source.as_deref().map(crate::vault::kek::parse) {
        return wrong("keys", "source", format!("is wrong: {error}"));
    }
    if let Some(error) = keys.retired.iter().find_map(|line| crate::vault::kek::parse(line).err()) {
        return wrong("keys", "retired", format!("is wrong: {error}"));
    }
    Ok(())
}
