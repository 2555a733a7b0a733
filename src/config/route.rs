//! `[[route]]`: which agent gets a call, by trunk, numbers and headers. Deciding is `crate::route`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::AgentRef;
use super::check::{Place, Problem, wrong};
use super::values::{Pattern, one_or_many};

/// All that it says must hold; a list holds if one of it does. What it does not say holds always.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Names of a `[[trunk]]` or `[[register]]`.
    #[serde(default, deserialize_with = "one_or_many")]
    pub trunk: Vec<String>,
    /// The user part that was called.
    #[serde(default, deserialize_with = "one_or_many")]
    pub called: Vec<Pattern>,
    /// The user part of the caller.
    #[serde(default, deserialize_with = "one_or_many")]
    pub caller: Vec<Pattern>,
    /// Header names, whatever their case, and what one of their values must be.
    #[serde(default)]
    pub header: BTreeMap<String, Pattern>,
    /// The agent that answers: the name of its file, without folder and ending.
    pub agent: Option<String>,
    /// The SIP status that refuses the call.
    pub reject: Option<u16>,
}

impl Route {
    fn has_conditions(&self) -> bool {
        !self.trunk.is_empty() || !self.called.is_empty() || !self.caller.is_empty() || !self.header.is_empty()
    }

    fn same_conditions(&self, other: &Self) -> bool {
        let of = |r: &Self| (r.trunk.clone(), r.called.clone(), r.caller.clone(), r.header.clone());
        of(self) == of(other)
    }

    fn check(&self, at: Place, agents: &[AgentRef], trunks: &[&str]) -> Result<(), Problem> {
        match (&self.agent, self.reject) {
            (Some(_), Some(_)) => return wrong(at, "reject", "stands beside `agent`; a route does one of them"),
            (None, None) => return wrong(at, "route", "needs `agent` or `reject`"),
            (None, Some(status)) if !(400..=699).contains(&status) => {
                return wrong(at, "reject", format!("is {status}; it takes a SIP status from 400 to 699, such as 603"));
            }
            _ => {}
        }
        if let Some(unknown) = self.trunk.iter().find(|t| !trunks.contains(&t.as_str())) {
            let known = if trunks.is_empty() { "there are none".to_owned() } else { trunks.join(", ") };
            return wrong(at, "trunk", format!("names `{unknown}`; of [[trunk]] and [[register]]: {known}"));
        }
        if let Some(bad) = self.header.keys().find(|h| h.is_empty() || !h.bytes().all(is_token)) {
            return wrong(at, "header", format!("names `{bad}`, which is no header name"));
        }
        let Some(agent) = &self.agent else { return Ok(()) };
        let mut files: Vec<_> = agents.iter().filter(|a| a.name() == *agent).map(|a| &a.file).collect();
        files.dedup();
        match files.len() {
            1 => Ok(()),
            0 => {
                let known: Vec<String> = agents.iter().map(AgentRef::name).collect();
                wrong(at, "agent", format!("names `{agent}`; the [[agent]] files are {}", known.join(", ")))
            }
            _ => wrong(at, "agent", format!("names `{agent}`, and two [[agent]] files are called so; rename one")),
        }
    }
}

/// RFC 3261 25.1.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

impl AgentRef {
    /// The name of its file, without folder and ending.
    pub fn name(&self) -> String {
        Path::new(&self.file).file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

pub(super) fn check(routes: &[Route], agents: &[AgentRef], trunks: &[&str]) -> Result<(), Problem> {
    for (n, route) in routes.iter().enumerate() {
        let at = Place::Item("route", n);
        route.check(at, agents, trunks)?;
        let earlier = routes.iter().take(n);
        if earlier.into_iter().any(|r| !r.has_conditions() || r.same_conditions(route)) {
            return wrong(at, "route", "is never reached: a [[route]] above it takes every call that it would");
        }
    }
    Ok(())
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, reject, .. } = self;
        f.debug_struct("Route").field("agent", agent).field("reject", reject).finish_non_exhaustive()
    }
}
