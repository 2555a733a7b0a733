//! `[policy]`: which policy holds, and whose statements of consents given beforehand are believed. It reads no file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// The policy, relative to the configuration.
    pub file: PathBuf,
    #[serde(default, rename = "statement")]
    pub statements: Vec<Statement>,
}

/// A key of the tenant's own system, which signs what callers agreed to before a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The `kid` of its statements.
    pub name: String,
    /// Name of the environment variable with the secret for HS256, 32 bytes or more.
    pub secret_env: Option<String>,
    /// The public key for EdDSA, in hexadecimal.
    pub ed25519: Option<String>,
}

impl PolicyFile {
    pub(super) fn anchor(&mut self, folder: &Path) {
        self.file = folder.join(&self.file);
    }
}
