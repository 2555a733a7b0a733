//! Conversations as scripts, against the agent files that are shipped. No test here touches the net,
//! the clock, or a file outside the repository.

mod agent_file;
mod callers;
mod data_english;
mod data_russian;
mod english;
mod russian;
mod trouble;

use std::sync::Arc;

use jiff::civil::{Date, date};

use super::{Agent, Dialogue, Expects, Input, Outcome, Reply, Then};

/// A Monday.
pub(super) const TODAY: Date = date(2026, 11, 23);
pub(super) const ENGLISH: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/agents/front-desk.toml"));
pub(super) const RUSSIAN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/agents/front-desk-ru.toml"));

pub(super) fn agent(file: &str) -> Arc<Agent> {
    Arc::new(Agent::parse(file).unwrap_or_else(|error| panic!("{error}")))
}

pub(super) fn hear(agent: &Arc<Agent>, text: &str) -> Reply {
    Dialogue::new(Arc::clone(agent), TODAY).hear(Input::Speech(text))
}

/// Plays a conversation. Lines, in any number and order after each input:
/// `caller: words`, `keys: 0`, `silence:`, `unclear:`, `noise:`, `endless:` are inputs; what must hold of the reply then:
/// `agent: text it contains`, `quiet:` no clause, `intent: x`, `expects: Day`, `then: hangup|transfer`,
/// `covered: false`, `booked: day time name phone`, `cancelled: name`.
pub(super) fn check(file: &str, script: &str) {
    let agent = agent(file);
    let mut dialogue = Dialogue::new(Arc::clone(&agent), TODAY);
    let mut reply = Reply::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        let said = reply.clauses.join(" ");
        let fail = |what: &str| -> ! { panic!("{line}\n  {what}\n  said: {said}\n  {reply:?}") };
        match kind {
            "caller" => reply = dialogue.hear(Input::Speech(value)),
            "silence" => reply = dialogue.hear(Input::Silence),
            "unclear" => reply = dialogue.hear(Input::Unclear),
            "noise" => reply = dialogue.hear(Input::Noise),
            "endless" => reply = dialogue.hear(Input::NoiseForever),
            "keys" => {
                for key in value.chars().filter(|key| !key.is_whitespace()) {
                    reply = dialogue.hear(Input::Digit(key));
                }
            }
            "agent" if !said.to_lowercase().contains(&value.to_lowercase()) => fail("does not contain this"),
            "not" if said.to_lowercase().contains(&value.to_lowercase()) => fail("contains this"),
            "quiet" if !reply.clauses.is_empty() => fail("is not quiet"),
            "intent" if reply.intent != value => fail("is another intent"),
            "expects" if reply.expects != expects(value) => fail("expects something else"),
            "then" if then(&reply.then) != value => fail("goes on otherwise"),
            "covered" if reply.covered.to_string() != value => fail("is covered otherwise"),
            "booked" | "cancelled" if outcome(&reply).as_deref() != Some(line) => {
                fail(&format!("outcome is {:?}", outcome(&reply)))
            }
            "agent" | "not" | "quiet" | "intent" | "expects" | "then" | "covered" | "booked" | "cancelled" => {}
            _ => fail("is no line of a script"),
        }
        assert_eq!(reply.clauses.len(), reply.fixed.len(), "{line}");
    }
}

fn outcome(reply: &Reply) -> Option<String> {
    let (kind, details) = match reply.outcome.as_ref()? {
        Outcome::Booked(details) => ("booked", details),
        Outcome::Cancelled(details) => ("cancelled", details),
    };
    let values = [
        details.day.map(|day| day.to_string()),
        details.time.map(|time| time.strftime("%H:%M").to_string()),
        details.name.clone(),
        details.phone.clone(),
    ];
    Some(format!("{kind}: {}", values.into_iter().flatten().collect::<Vec<_>>().join(" ")))
}

fn then(then: &Then) -> &'static str {
    match then {
        Then::Listen => "listen",
        Then::Hangup => "hangup",
        Then::Transfer(_) => "transfer",
    }
}

fn expects(name: &str) -> Expects {
    match name {
        "Anything" => Expects::Anything,
        "YesNo" => Expects::YesNo,
        "Day" => Expects::Day,
        "Time" => Expects::Time,
        "Name" => Expects::Name,
        "Phone" => Expects::Phone,
        other => panic!("{other} is nothing a dialogue expects"),
    }
}
