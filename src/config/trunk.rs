//! `[[trunk]]` and `[[register]]`: whom we exchange calls with, and within which limits. A secret never
//! stands in the configuration, only where it is.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sip::Private;

use super::check::{Place, Problem, wrong};
use super::rtp::{Codec, Srtp, check_codecs};
use super::sip::Sip;
use super::values::{Network, Prefix, Server, is_number, one_or_many};

/// Servers of one trunk; each is probed.
const TO_MAX: usize = 8;
/// Longest secret.
const SECRET_MAX: usize = 1024;
/// Calls a day that can be counted.
const PER_DAY_MAX: u32 = 100_000;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    pub name: String,
    /// Where its calls come from.
    #[serde(default, deserialize_with = "one_or_many")]
    pub addresses: Vec<Network>,
    /// Names that its certificate proves, one of them.
    #[serde(default, deserialize_with = "one_or_many")]
    pub tls_names: Vec<String>,
    /// The account: what it answers our challenges with, and we its.
    pub user: Option<String>,
    password_env: Option<String>,
    password_file: Option<PathBuf>,
    /// Answer challenges of this realm only.
    pub realm: Option<String>,
    /// Its calls must prove the account, wherever they come from.
    #[serde(default)]
    pub digest_in: bool,
    /// Digest by MD5 is good enough, both ways (RFC 8760 has better ones).
    #[serde(default = "yes")]
    pub allow_md5: bool,
    /// Calls from it at once, and new ones per second; unset: as many as fit.
    pub calls_max: Option<u32>,
    pub calls_per_s: Option<u32>,
    /// Where our calls through it go: tried in order.
    #[serde(default, deserialize_with = "one_or_many")]
    pub to: Vec<Server>,
    /// The user part of our From; unset: `caller_id`, else `user`.
    pub from_user: Option<String>,
    /// The host of our From; unset: our own.
    pub from_domain: Option<String>,
    /// The number that the called party is shown (P-Asserted-Identity).
    pub caller_id: Option<String>,
    /// Which numbers may be called through it. Empty: none.
    #[serde(default, deserialize_with = "one_or_many")]
    pub allow_out: Vec<Prefix>,
    #[serde(default = "out_calls_max")]
    pub out_calls_max: u32,
    #[serde(default = "out_calls_per_min")]
    pub out_calls_per_min: u32,
    #[serde(default = "out_calls_per_day")]
    pub out_calls_per_day: u32,
    /// In place of those in `[rtp]`.
    pub codecs: Option<Vec<Codec>>,
    pub srtp: Option<Srtp>,
    /// It may send a call of ours elsewhere (REFER): the agent then talks to whom it names, by way of it.
    #[serde(default)]
    pub refer: bool,
    /// How often each server in `to` is asked whether it lives; 0: never.
    #[serde(default = "options_s")]
    pub options_s: u32,
}

/// An account on somebody's PBX, where we register as a phone does. Calls to it come in under its name,
/// as those of a trunk do.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub name: String,
    pub registrar: Server,
    pub user: String,
    /// The name for the digest where it is not `user`.
    pub auth_user: Option<String>,
    password_env: Option<String>,
    password_file: Option<PathBuf>,
    pub realm: Option<String>,
    #[serde(default = "expires_s")]
    pub expires_s: u32,
    pub outbound_proxy: Option<Server>,
    /// In place of those in `[rtp]`.
    pub codecs: Option<Vec<Codec>>,
    pub srtp: Option<Srtp>,
    /// It may send a call of ours elsewhere (REFER), by way of it.
    #[serde(default)]
    pub refer: bool,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// In this environment variable.
    Env(String),
    /// In this file, without its last line break.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the environment variable {0} is not set; the configuration takes a password or a secret from it")]
    Unset(String),
    #[error("cannot read the password in {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the password in {0} is empty, has more than {SECRET_MAX} bytes, or is no text of one line")]
    Unusable(String),
}

impl Password {
    /// Reads it; do so at start, so that a missing one is not found by a call.
    pub fn read(&self) -> Result<Private<String>, PasswordError> {
        let (secret, place) = match self {
            Self::Env(name) => {
                let secret = std::env::var(name).map_err(|_| PasswordError::Unset(name.clone()))?;
                (secret, format!("${name}"))
            }
            Self::File(path) => {
                let unreadable = |source| PasswordError::Unreadable { path: path.clone(), source };
                (std::fs::read_to_string(path).map_err(unreadable)?, path.display().to_string())
            }
        };
        let secret = secret.strip_suffix('\n').map_or(secret.as_str(), |s| s.strip_suffix('\r').unwrap_or(s));
        if secret.is_empty() || secret.len() > SECRET_MAX || secret.contains(char::is_control) {
            return Err(PasswordError::Unusable(place));
        }
        Ok(Private::new(secret.to_owned()))
    }

    fn of(env: Option<&String>, file: Option<&PathBuf>) -> Option<Self> {
        env.cloned().map(Self::Env).or_else(|| file.cloned().map(Self::File))
    }
}

impl Trunk {
    pub fn password(&self) -> Option<Password> {
        Password::of(self.password_env.as_ref(), self.password_file.as_ref())
    }

    pub(super) fn anchor(&mut self, folder: &Path) {
        self.password_file = self.password_file.take().map(|file| folder.join(file));
    }

    fn check(&self, at: Place, sip: &Sip) -> Result<(), Problem> {
        if self.addresses.is_empty() && self.tls_names.is_empty() && !self.digest_in && self.to.is_empty() {
            return wrong(at, "trunk", "needs `addresses`, `tls_names` or `digest_in` for calls from it, or `to`");
        }
        self.check_account(at)?;
        self.check_identity(at)?;
        if !self.tls_names.is_empty() && ((sip.tls.is_none() && sip.wss.is_none()) || sip.client_ca.is_none()) {
            return wrong(
                at,
                "tls_names",
                "needs [sip] tls or wss, and client_ca, which says whose certificates count",
            );
        }
        if !self.digest_in && self.addresses.iter().any(|n| n.0.is_everybody()) {
            return wrong(at, "addresses", "holds everybody; that needs `digest_in = true`");
        }
        if self.to.len() > TO_MAX {
            return wrong(at, "to", format!("has {} servers; it takes {TO_MAX} at most", self.to.len()));
        }
        if self.to.is_empty() && !self.allow_out.is_empty() {
            return wrong(at, "allow_out", "needs `to`, where the calls go");
        }
        for (key, value) in [("calls_max", self.calls_max), ("calls_per_s", self.calls_per_s)] {
            if value.is_some_and(|v| v == 0 || v > 10_000) {
                return wrong(at, key, "takes 1 to 10000; leave it out for as many as fit");
            }
        }
        let limits = [
            ("out_calls_max", self.out_calls_max, 10_000),
            ("out_calls_per_min", self.out_calls_per_min, 10_000),
            ("out_calls_per_day", self.out_calls_per_day, PER_DAY_MAX),
        ];
        for (key, value, most) in limits {
            if value == 0 || value > most {
                return wrong(
                    at,
                    key,
                    format!("is {value}; it takes 1 to {most}. An empty allow_out forbids all calls"),
                );
            }
        }
        self.codecs.as_deref().map_or(Ok(()), |codecs| check_codecs(at, codecs))?;
        if self.options_s != 0 && !(5..=3600).contains(&self.options_s) {
            return wrong(at, "options_s", format!("is {}; it takes 5 to 3600, or 0 for no probes", self.options_s));
        }
        Ok(())
    }

    fn check_account(&self, at: Place) -> Result<(), Problem> {
        check_password(at, self.password_env.as_ref(), self.password_file.as_ref())?;
        match (&self.user, self.password()) {
            (Some(user), _) if user.is_empty() => wrong(at, "user", "is empty"),
            (Some(_), None) => wrong(at, "user", "needs `password_env` or `password_file`"),
            (None, Some(Password::Env(_))) => wrong(at, "password_env", "needs `user`"),
            (None, Some(Password::File(_))) => wrong(at, "password_file", "needs `user`"),
            (None, None) if self.digest_in => {
                wrong(at, "digest_in", "needs `user`, and `password_env` or `password_file`")
            }
            (None, None) if self.realm.is_some() => wrong(at, "realm", "needs `user`"),
            _ => Ok(()),
        }
    }

    fn check_identity(&self, at: Place) -> Result<(), Problem> {
        for (key, value) in [("from_user", &self.from_user), ("caller_id", &self.caller_id)] {
            if value.as_ref().is_some_and(|v| !is_number(v)) {
                return wrong(at, key, "takes a number or a name, such as \"+12125550100\"; no address");
            }
        }
        let host = |v: &String| Server::try_from(format!("sip:{v}")).is_ok_and(|s| s.uri().sip().is_some_and(bare));
        if self.from_domain.as_ref().is_some_and(|v| !host(v)) {
            return wrong(at, "from_domain", "takes a host, such as \"trunk.example.com\"");
        }
        Ok(())
    }
}

fn bare(uri: &sip::uri::SipUri) -> bool {
    uri.port.is_none() && uri.params.is_empty()
}

impl Register {
    pub fn password(&self) -> Option<Password> {
        Password::of(self.password_env.as_ref(), self.password_file.as_ref())
    }

    pub(super) fn anchor(&mut self, folder: &Path) {
        self.password_file = self.password_file.take().map(|file| folder.join(file));
    }

    fn check(&self, at: Place) -> Result<(), Problem> {
        check_password(at, self.password_env.as_ref(), self.password_file.as_ref())?;
        if self.password().is_none() {
            return wrong(at, "register", "needs `password_env` or `password_file`");
        }
        if self.user.is_empty() {
            return wrong(at, "user", "is empty");
        }
        self.codecs.as_deref().map_or(Ok(()), |codecs| check_codecs(at, codecs))?;
        if !(60..=86_400).contains(&self.expires_s) {
            return wrong(at, "expires_s", format!("is {}; it takes 60 to 86400", self.expires_s));
        }
        Ok(())
    }
}

fn check_password(at: Place, env: Option<&String>, file: Option<&PathBuf>) -> Result<(), Problem> {
    match (env, file) {
        (Some(_), Some(_)) => wrong(at, "password_file", "stands beside `password_env`; one of them is enough"),
        // The name is shown where the variable is missing: a password put here by mistake must not be.
        (Some(env), None) if env.is_empty() || !env.bytes().all(in_name) => {
            let problem = "takes the name of an environment variable, in capitals, such as \"TRUNK_PASSWORD\"";
            wrong(at, "password_env", problem)
        }
        _ => Ok(()),
    }
}

fn in_name(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'
}

/// All of them: names are told apart, and no address is claimed twice.
pub(super) fn check(trunks: &[Trunk], registers: &[Register], sip: &Sip) -> Result<(), Problem> {
    let trunk_places = trunks.iter().enumerate().map(|(n, t)| (Place::Item("trunk", n), &t.name));
    let register_places = registers.iter().enumerate().map(|(n, r)| (Place::Item("register", n), &r.name));
    let mut names = HashSet::new();
    for (at, name) in trunk_places.chain(register_places) {
        let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 32 || !name.chars().all(token) {
            return wrong(at, "name", "takes 1 to 32 letters, digits, `-` and `_`; logs and metrics show it");
        }
        if !names.insert(name) {
            return wrong(at, "name", format!("is `{name}` a second time; trunks and registrations share their names"));
        }
    }
    for (n, trunk) in trunks.iter().enumerate() {
        trunk.check(Place::Item("trunk", n), sip)?;
        let earlier = trunks.iter().take(n).filter(|t| t.tls_names.is_empty());
        let taken = |t: &&Trunk| t.addresses.iter().any(|a| trunk.addresses.contains(a));
        if let Some(other) = earlier.into_iter().find(taken) {
            let problem = format!("repeats one of `{}`, which would get all its calls", other.name);
            return wrong(Place::Item("trunk", n), "addresses", problem);
        }
    }
    registers.iter().enumerate().try_for_each(|(n, r)| r.check(Place::Item("register", n)))
}

fn yes() -> bool {
    true
}
fn out_calls_max() -> u32 {
    4
}
fn out_calls_per_min() -> u32 {
    10
}
fn out_calls_per_day() -> u32 {
    200
}
fn options_s() -> u32 {
    30
}
fn expires_s() -> u32 {
    300
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register").field("name", &self.name).finish_non_exhaustive()
    }
}
