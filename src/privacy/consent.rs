//! The consent gate of one call. It alone can make a `Permit`, and it never keeps what was said.
//!
//! States: none -> asked -> granted | refused -> withdrawn. Silence or an unclear answer is a refusal.

use std::fmt;
use std::marker::PhantomData;

use crate::call::CallId;

/// What a consent covers. One scope for now; each is granted or refused on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Keeping the words of the call as text.
    Transcript,
}

/// How the question was answered. Recorded as metadata; never the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Voice,
    Key,
    /// On a page that showed the question.
    Click,
    /// In words that were written.
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Said,
    Key,
    Click,
    Text,
    Silence,
    Unclear,
    HungUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentState {
    None,
    Asked,
    Granted(Asked),
    Refused(Refusal),
    Withdrawn,
}

impl fmt::Display for ConsentState {
    /// A stable word for records and the API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Asked => "asked",
            Self::Granted(Asked::Voice) => "granted by voice",
            Self::Granted(Asked::Key) => "granted by key",
            Self::Granted(Asked::Click) => "granted by click",
            Self::Granted(Asked::Text) => "granted in writing",
            Self::Refused(Refusal::Said) => "refused by voice",
            Self::Refused(Refusal::Key) => "refused by key",
            Self::Refused(Refusal::Click) => "refused by click",
            Self::Refused(Refusal::Text) => "refused in writing",
            Self::Refused(Refusal::Silence) => "refused by silence",
            Self::Refused(Refusal::Unclear) => "refused, unclear answer",
            Self::Refused(Refusal::HungUp) => "refused, hung up",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// The right to keep something of one call. Borrowed from the gate, so consent cannot be
/// withdrawn while a permit lives:
///
/// ```compile_fail
/// use dauys::privacy::{Asked, ConsentGate, Scope};
/// let mut gate = ConsentGate::new(dauys::call::CallId(1));
/// gate.ask();
/// gate.grant(Asked::Key);
/// let permit = gate.permit(Scope::Transcript).unwrap();
/// gate.withdraw();            // the gate is still borrowed
/// drop(permit);
/// ```
///
/// And nobody else can make one:
///
/// ```compile_fail
/// let permit = dauys::privacy::Permit { call: dauys::call::CallId(1), gate: Default::default() };
/// ```
#[derive(Debug)]
pub struct Permit<'a> {
    call: CallId,
    gate: PhantomData<&'a ConsentGate>,
}

impl Permit<'_> {
    /// The only call this permit is good for.
    pub fn call(&self) -> CallId {
        self.call
    }
}

#[derive(Debug)]
pub struct ConsentGate {
    call: CallId,
    state: ConsentState,
}

impl ConsentGate {
    pub fn new(call: CallId) -> Self {
        Self { call, state: ConsentState::None }
    }

    pub fn state(&self) -> ConsentState {
        self.state
    }

    pub fn ask(&mut self) {
        if self.state == ConsentState::None {
            self.state = ConsentState::Asked;
        }
    }

    /// Only a question that was asked and is still open can be granted.
    pub fn grant(&mut self, how: Asked) {
        if self.state == ConsentState::Asked {
            self.state = ConsentState::Granted(how);
        }
    }

    pub fn refuse(&mut self, why: Refusal) {
        if matches!(self.state, ConsentState::None | ConsentState::Asked) {
            self.state = ConsentState::Refused(why);
        }
    }

    /// True where there was something to withdraw; what was kept must then be purged.
    pub fn withdraw(&mut self) -> bool {
        let granted = matches!(self.state, ConsentState::Granted(_));
        if granted {
            self.state = ConsentState::Withdrawn;
        }
        granted
    }

    pub fn permit(&self, scope: Scope) -> Option<Permit<'_>> {
        match (scope, self.state) {
            (Scope::Transcript, ConsentState::Granted(_)) => Some(Permit { call: self.call, gate: PhantomData }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script of steps and says whether a permit exists after it, and the state.
    fn check(script: &str, permit: bool, state: &str) {
        let mut gate = ConsentGate::new(CallId(7));
        for step in script.split_whitespace() {
            match step {
                "ask" => gate.ask(),
                "yes" => gate.grant(Asked::Voice),
                "key1" => gate.grant(Asked::Key),
                "click" => gate.grant(Asked::Click),
                "writes-yes" => gate.grant(Asked::Text),
                "click-no" => gate.refuse(Refusal::Click),
                "writes-no" => gate.refuse(Refusal::Text),
                "no" => gate.refuse(Refusal::Said),
                "silence" => gate.refuse(Refusal::Silence),
                "bye" => gate.refuse(Refusal::HungUp),
                "withdraw" => drop(gate.withdraw()),
                _ => panic!("unknown step {step}"),
            }
        }
        assert_eq!(gate.permit(Scope::Transcript).is_some(), permit, "{script}");
        assert_eq!(gate.state().to_string(), state, "{script}");
    }

    #[test]
    fn only_an_open_question_answered_yes_makes_a_permit() {
        check("", false, "none");
        check("yes", false, "none");
        check("ask", false, "asked");
        check("ask yes", true, "granted by voice");
        check("ask key1", true, "granted by key");
        check("ask click", true, "granted by click");
        check("ask writes-yes", true, "granted in writing");
        check("click", false, "none");
        check("ask no", false, "refused by voice");
        check("ask click-no click", false, "refused by click");
        check("ask writes-no", false, "refused in writing");
        check("ask silence yes", false, "refused by silence");
        check("ask yes bye", true, "granted by voice");
        check("bye", false, "refused, hung up");
        check("ask yes withdraw", false, "withdrawn");
        check("ask yes withdraw yes", false, "withdrawn");
    }
}
