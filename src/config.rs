//! TOML and environment to a `Config`. An unknown key or an impossible pair fails here, at start,
//! with the key, the line and what is allowed; nothing later re-checks. It never opens a socket.

pub(crate) mod check;
mod policy;
mod route;
mod rtp;
mod sip;
mod staff;
mod store;
#[cfg(test)]
mod tests;
mod trunk;
mod values;
mod web;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use policy::{PolicyFile, Statement};
pub use route::Route;
pub use rtp::{Codec, Rtp, Srtp};
pub use sip::{Sip, Strangers};
pub use staff::{Egress, SYSTEM, Staff, people};
pub use store::{DatabaseUrl, Keys, Store};
pub use trunk::{Password, PasswordError, Register, Trunk};
pub use values::{Network, Pattern, Prefix, Server, is_number};
pub use web::{IceServer, Web};

use check::{Problem, wrong};

/// Nobody waits for an answer for longer.
const TURN_LATE_MS_MAX: u32 = 10_000;

/// Environment overrides start with this: `DAUYS__SIP__BIND=0.0.0.0:5060` sets `[sip] bind`.
pub const ENV_PREFIX: &str = "DAUYS__";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}. Give an existing TOML file, for example configs/demo.toml")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {detail}")]
    Toml { path: PathBuf, detail: String },
    #[error("environment variable {name}: {detail}")]
    Env { name: String, detail: String },
    #[error("{path}{}: `{key}` {problem}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Value { path: PathBuf, key: &'static str, line: Option<usize>, problem: String },
}

/// The whole configuration, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub sip: Sip,
    #[serde(default)]
    pub rtp: Rtp,
    #[serde(default)]
    pub http: Http,
    /// Absent: no calls from web pages.
    pub web: Option<Web>,
    #[serde(default)]
    pub calls: Calls,
    #[serde(default)]
    pub turn: Turn,
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub vad: Vad,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub keys: Keys,
    pub llm: Option<Llm>,
    /// What callers are told and asked, and what is kept how long. Absent: nothing is asked, and nothing of what is
    /// said is kept.
    pub policy: Option<PolicyFile>,
    /// Who may do what about privacy, beside whoever has the API's token.
    #[serde(default)]
    pub staff: Vec<Staff>,
    #[serde(default)]
    pub egress: Egress,
    /// Agents; a call goes to the first whose `numbers` holds the called user part, or has none.
    #[serde(rename = "agent")]
    pub agents: Vec<AgentRef>,
    #[serde(default, rename = "trunk")]
    pub trunks: Vec<Trunk>,
    #[serde(default, rename = "register")]
    pub registers: Vec<Register>,
    /// Asked before `numbers`; the first that matches decides.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub bind: SocketAddr,
    /// Name of the environment variable with the token that may order calls; without one only this machine may.
    pub token_env: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// Calls at once; one more is answered 503 with Retry-After.
    pub max: usize,
    pub duration_s_max: u32,
    /// Caller silence after which the agent asks again.
    pub silence_ms: u32,
    /// One turn in ten answered later than its silence asked for, by more than this: no further call. 0: never so.
    pub turn_late_ms_max: u32,
    /// What a call gets for which there is no room.
    pub busy: Busy,
}

/// How a call is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Busy {
    /// 503 with Retry-After: a carrier then tries another of its customer's machines.
    #[serde(rename = "503")]
    Status,
    /// Answered, told the agent's `[busy] say`, and hung up on.
    #[serde(rename = "clip")]
    Clip,
}

/// When a caller's turn is over, as silence after the last speech (see docs/turns.md).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    pub draft_ms: u32,
    pub finished_ms: u32,
    pub unsure_ms: u32,
    pub unfinished_ms: u32,
    /// Caller speech over the agent: duck after this long ...
    pub duck_ms: u32,
    /// ... hold, ready to go on, after this long ...
    pub hold_ms: u32,
    /// ... and stop after this long, whatever is said.
    pub interrupt_ms: u32,
    /// Nothing of the answer is to be heard this long after the commit: "One moment, please." 0: never.
    pub filler_ms: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Where `dauys models pull` puts files; default `$DAUYS_MODELS` or `~/.cache/dauys/models`.
    pub dir: Option<PathBuf>,
    /// Clips of fixed sentences; default `~/.cache/dauys/clips`.
    pub clips: Option<PathBuf>,
    /// Recognizer of every agent: `moonshine` (English only) or `whisper`; default by language.
    pub recognizer: Option<RecognizerKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecognizerKind {
    Moonshine,
    Whisper,
}

/// The voice activity detector.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vad {
    /// Spare it what is plainly silence.
    pub gate: bool,
}

/// An OpenAI-compatible endpoint for what the flows do not cover. Absent: nothing leaves the machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// Base address up to and including `/v1`.
    pub url: String,
    pub model: String,
    /// Name of the environment variable that holds the key; a key never stands in a file.
    pub key_env: Option<String>,
    #[serde(default = "llm_timeout_ms")]
    pub timeout_ms: u32,
    /// The endpoint is not this machine. Callers' words leave it as far as the policy declares it and they agree.
    #[serde(default)]
    pub remote: bool,
    /// Let it read the conversation while the caller speaks; default: where it is this machine.
    pub warm: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRef {
    /// The agent's TOML, relative to this config.
    pub file: PathBuf,
    /// Called user parts (`sip:THIS@host`) it answers; empty answers everything.
    #[serde(default)]
    pub numbers: Vec<String>,
}

fn llm_timeout_ms() -> u32 {
    4000
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: ([127, 0, 0, 1], 8080).into(), token_env: None }
    }
}
impl Default for Calls {
    fn default() -> Self {
        Self { max: 50, duration_s_max: 1800, silence_ms: 7000, turn_late_ms_max: 300, busy: Busy::Status }
    }
}
impl Default for Turn {
    fn default() -> Self {
        Self {
            draft_ms: 80,
            finished_ms: 180,
            unsure_ms: 400,
            unfinished_ms: 1200,
            duck_ms: 40,
            hold_ms: 60,
            interrupt_ms: 700,
            filler_ms: 700,
        }
    }
}
impl Default for Vad {
    fn default() -> Self {
        Self { gate: true }
    }
}

impl Config {
    /// Read, override from the environment, check.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        let text_of =
            |(k, v): (std::ffi::OsString, std::ffi::OsString)| Some((k.into_string().ok()?, v.into_string().ok()?));
        let env = std::env::vars_os().filter_map(text_of).filter(|(k, _)| k.starts_with(ENV_PREFIX));
        Self::parse(path, &text, env)
    }

    /// The same from a text, for tests and editors. `path` names it in errors and anchors relative files.
    pub fn parse(path: &Path, text: &str, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let toml_error = |e: toml::de::Error| ConfigError::Toml { path: path.into(), detail: e.to_string() };
        let mut config: Config = toml::from_str(text).map_err(toml_error)?;
        let mut table: toml::Table = toml::from_str(text).map_err(toml_error)?;
        let mut names = vec![];
        for (name, value) in env {
            override_key(&mut table, &name, &value)?;
            names.push(name);
        }
        if !names.is_empty() {
            config = Config::deserialize(table)
                .map_err(|e| ConfigError::Env { name: names.join(", "), detail: e.message().to_string() })?;
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        for agent in &mut config.agents {
            agent.file = folder.join(&agent.file);
        }
        config.policy.iter_mut().for_each(|p| p.anchor(folder));
        config.sip.anchor(folder);
        config.trunks.iter_mut().for_each(|t| t.anchor(folder));
        config.registers.iter_mut().for_each(|r| r.anchor(folder));
        config.check().map_err(|Problem { place, key, problem }| ConfigError::Value {
            path: path.into(),
            key,
            line: place.line(text, key),
            problem,
        })?;
        Ok(config)
    }

    /// What happens to calls that come through no trunk. As configured; by default they are answered on
    /// loopback and where there is no trunk, and refused where the calls of a trunk are what is waited for.
    pub fn strangers(&self) -> Strangers {
        let open = self.sip.listeners().iter().all(|l| l.address.ip().is_loopback()) || !self.has_trunks();
        self.sip.strangers.unwrap_or(if open { Strangers::Answer } else { Strangers::Refuse })
    }

    /// Of trunks and registrations, which calls come through alike.
    pub fn trunk_names(&self) -> impl Iterator<Item = &str> {
        self.trunks.iter().map(|t| t.name.as_str()).chain(self.registers.iter().map(|r| r.name.as_str()))
    }

    /// What is spoken with this trunk or registration, and how it is encrypted; with strangers, for `None`.
    pub fn media_of(&self, line: Option<&str>) -> (&[Codec], Srtp) {
        let trunks = self.trunks.iter().map(|t| (&t.name, &t.codecs, t.srtp));
        let mut all = trunks.chain(self.registers.iter().map(|r| (&r.name, &r.codecs, r.srtp)));
        let own = all.find(|(name, ..)| Some(name.as_str()) == line);
        let (codecs, srtp) = own.map_or((None, None), |(_, codecs, srtp)| (codecs.as_deref(), srtp));
        (codecs.unwrap_or(&self.rtp.codecs), srtp.unwrap_or(self.rtp.srtp))
    }

    fn requires_srtp(&self) -> bool {
        let own = self.trunks.iter().map(|t| t.srtp).chain(self.registers.iter().map(|r| r.srtp));
        own.chain([Some(self.rtp.srtp)]).any(|srtp| srtp == Some(Srtp::Required))
    }

    fn has_trunks(&self) -> bool {
        self.trunk_names().next().is_some()
    }

    fn check(&self) -> Result<(), Problem> {
        self.check_sections()?;
        self.sip.check()?;
        if self.sip.strangers == Some(Strangers::Refuse) && !self.has_trunks() {
            return wrong("sip", "strangers", "refuses everybody: there is no [[trunk]] and no [[register]]");
        }
        if let Some(web) = &self.web {
            web.check(self.http.bind)?;
        }
        trunk::check(&self.trunks, &self.registers, &self.sip)?;
        staff::check(&self.staff)?;
        store::check(&self.store, &self.keys)?;
        route::check(&self.routes, &self.agents, &self.trunk_names().collect::<Vec<_>>())
    }

    fn check_sections(&self) -> Result<(), Problem> {
        self.rtp.check(self.calls.max, self.requires_srtp())?;
        if self.calls.max == 0 {
            return wrong("calls", "max", "is 0; it takes 1 or more calls");
        }
        if self.calls.silence_ms < 1000 {
            return wrong("calls", "silence_ms", format!("is {}; it takes 1000 or more", self.calls.silence_ms));
        }
        if self.calls.turn_late_ms_max > TURN_LATE_MS_MAX {
            let problem = format!("is {}; it takes 0 to {TURN_LATE_MS_MAX}", self.calls.turn_late_ms_max);
            return wrong("calls", "turn_late_ms_max", problem);
        }
        if self.calls.duration_s_max < 10 {
            return wrong("calls", "duration_s_max", format!("is {}; it takes 10 or more", self.calls.duration_s_max));
        }
        if self.agents.is_empty() {
            return wrong("agent", "agent", "is empty; add [[agent]] with file = \"agents/front-desk.toml\"");
        }
        let t = &self.turn;
        if !(t.draft_ms <= t.finished_ms && t.finished_ms <= t.unsure_ms && t.unsure_ms <= t.unfinished_ms) {
            return wrong("turn", "turn", "needs draft_ms <= finished_ms <= unsure_ms <= unfinished_ms");
        }
        if !(t.duck_ms <= t.hold_ms && t.hold_ms <= t.interrupt_ms) {
            return wrong("turn", "turn", "needs duck_ms <= hold_ms <= interrupt_ms");
        }
        if t.filler_ms != 0 && t.filler_ms < 300 {
            return wrong("turn", "filler_ms", format!("is {}; it takes 300 or more, or 0 for never", t.filler_ms));
        }
        if self.llm.as_ref().is_some_and(|l| !l.remote && !is_local(&l.url)) {
            return wrong(
                "llm",
                "url",
                "is not this machine: callers' words would leave it; if that is meant, set `remote = true`",
            );
        }
        Ok(())
    }
}

fn override_key(table: &mut toml::Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let keys: Vec<String> = name.trim_start_matches(ENV_PREFIX).split("__").map(str::to_lowercase).collect();
    let (last, sections) = match keys.split_last() {
        Some((last, sections)) if keys.iter().all(|k| !k.is_empty()) => (last, sections),
        _ => {
            let detail = "takes the form DAUYS__SECTION__KEY, for example DAUYS__SIP__BIND".into();
            return Err(ConfigError::Env { name: name.into(), detail });
        }
    };
    let mut at = table;
    for section in sections {
        let entry = at.entry(section.clone()).or_insert_with(|| toml::Table::new().into());
        at = entry.as_table_mut().ok_or_else(|| ConfigError::Env {
            name: name.into(),
            detail: format!("`{section}` is not a section; lists are set in the file"),
        })?;
    }
    // A number, a boolean or a list is read as TOML; anything else is a plain string.
    let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.into()));
    at.insert(last.clone(), parsed);
    Ok(())
}

/// An address of this machine: loopback by number or name.
pub(crate) fn is_local(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|local| host.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}
