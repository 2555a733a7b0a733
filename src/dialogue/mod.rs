//! The dialogue: what an agent answers to what it heard. Pure: it never waits, reads no clock, file or
//! socket, and never says a fact that its agent file does not hold.
//!
//! One call has one [`Dialogue`]; it is cheap to clone, so that a draft can be answered on a copy and
//! thrown away when the caller goes on speaking. An [`Agent`] is one TOML file, read and checked once.

mod agent;
mod check;
pub mod consent;
mod ending;
mod entities;
mod facts;
mod form;
mod heard;
mod matching;
mod policy;
mod problem;
mod schema;
mod speak;
mod template;
mod text;
mod waits;

#[cfg(test)]
mod tests;

use std::fmt;

pub use agent::Agent;
pub use ending::{Ending, NumberSoFar};
pub use policy::Dialogue;
pub use problem::{AgentError, Problem};
pub use waits::Waits;

/// What reached the dialogue. Whatever the text, `hear` returns in bounded time: it reads at most 120
/// words of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The recognizer's text of one finished turn.
    Speech(&'a str),
    /// One key press: `0`-`9`, `*` or `#`.
    Digit(char),
    /// The caller said nothing for a while.
    Silence,
    /// The caller spoke, and the recognizer could make nothing of it.
    Unclear,
    /// Noise or music has covered the line for a while.
    Noise,
    /// It has for so long that nobody can be there.
    NoiseForever,
}

/// What the agent has just asked for: the turn detector waits longer for some answers than for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    #[default]
    Anything,
    YesNo,
    Day,
    Time,
    Name,
    Phone,
}

/// What happens once the clauses have been played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Listen,
    Hangup,
    /// Put through to this SIP URI or extension, from the agent file.
    Transfer(String),
}

/// One turn of the agent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// What to say, in order, short pieces so that speech can start early. Empty: say nothing, go on listening.
    pub clauses: Vec<String>,
    /// For each clause, whether it is text of the agent file alone. A clause that is not fixed may
    /// hold the caller's own data: it belongs in no cache and no log.
    pub fixed: Vec<bool>,
    pub expects: Expects,
    pub then: Then,
    /// The fact's or form's id, or `slot`, `affirm`, `deny`, `human`, `repeat`, `backchannel`,
    /// `interrupt`, `withdraw`, `bye`, `abandon`, `digit`, `silence`, `unclear`, `fallback`, `noise`,
    /// `give_up`.
    pub intent: String,
    /// False: the agent file has no answer and the fallback was said; a language model may take over.
    pub covered: bool,
    /// Set on the one turn that completes a form, after the caller confirmed it.
    pub outcome: Option<Outcome>,
}

/// A form that the caller completed and confirmed.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    Booked(Details),
    Cancelled(Details),
}

/// That a form was completed, and nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// The form's id in the agent file.
    pub form: String,
    pub kind: DoneKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoneKind {
    Booked,
    Cancelled,
}

impl DoneKind {
    pub fn word(self) -> &'static str {
        match self {
            DoneKind::Booked => "booked",
            DoneKind::Cancelled => "cancelled",
        }
    }
}

impl Outcome {
    pub fn done(&self) -> Done {
        let (details, kind) = match self {
            Outcome::Booked(details) => (details, DoneKind::Booked),
            Outcome::Cancelled(details) => (details, DoneKind::Cancelled),
        };
        Done { form: details.form.clone(), kind }
    }
}

/// What a completed form holds. Personal data: `Debug` shows which fields are set, never their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The form's id in the agent file.
    pub form: String,
    pub day: Option<jiff::civil::Date>,
    pub time: Option<jiff::civil::Time>,
    pub name: Option<String>,
    /// Digits, with a leading `+` where the caller said one in digits.
    pub phone: Option<String>,
}

/// A sentence or several in the pieces in which it is spoken.
pub fn clauses(text: &str) -> Vec<String> {
    let said = |template: template::Template| template.plain().into_iter().map(|said| said.text).collect();
    template::Template::parse(text).map(said).unwrap_or_else(|_| vec![text.to_owned()])
}

impl Reply {
    fn new(intent: &str) -> Reply {
        Reply { intent: intent.to_owned(), covered: true, ..Reply::default() }
    }

    fn say(mut self, said: Vec<template::Said>) -> Reply {
        for clause in said {
            self.clauses.push(clause.text);
            self.fixed.push(clause.fixed);
        }
        self
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("form", &self.form)
            .field("day", &self.day.is_some())
            .field("time", &self.time.is_some())
            .field("name", &self.name.is_some())
            .field("phone", &self.phone.is_some())
            .finish()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Booked(details) => f.debug_tuple("Booked").field(details).finish(),
            Outcome::Cancelled(details) => f.debug_tuple("Cancelled").field(details).finish(),
        }
    }
}

/// Shows the agent's own sentences; a clause with the caller's data shows only its length.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self
            .clauses
            .iter()
            .zip(&self.fixed)
            .map(|(text, fixed)| if *fixed { text.clone() } else { format!("<{} characters>", text.chars().count()) })
            .collect();
        f.debug_struct("Reply")
            .field("intent", &self.intent)
            .field("clauses", &shown)
            .field("expects", &self.expects)
            .field("then", &self.then)
            .field("covered", &self.covered)
            .field("outcome", &self.outcome)
            .finish()
    }
}

/// Shows the kind of input and never what the caller said or keyed.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Input::Speech(_) => "Speech",
            Input::Digit(_) => "Digit",
            Input::Silence => "Silence",
            Input::Unclear => "Unclear",
            Input::Noise => "Noise",
            Input::NoiseForever => "NoiseForever",
        })
    }
}
