//! Consent: the gate of one call, which alone makes a permit, and the events that are kept of it. It never
//! keeps what was said, and it knows no clock: every step says when.
//!
//! ```text
//! none -> asked -> granted | refused -> withdrawn | superseded -> storage only -> erased
//! ```
//! Each scope goes its own way. Whatever is not a clear yes is a refusal; a refusal and a withdrawal are
//! final for the call; what was superseded has to be asked anew.

pub(crate) mod canon;
mod event;
mod ledger;
mod past;
mod pre_grant;
mod state;

use std::marker::PhantomData;

use event::Step;
pub use event::{ConsentEvent, NotAnEvent, SCOPES_MAX, Which};
pub use ledger::EVENTS_MAX;
use ledger::Ledger;
pub use past::{HistoryError, Past};
pub use pre_grant::{
    Basis, Evidence, LIFE_MS_MAX, NotAKey, PreGrant, PreGrantRefused, STATEMENT_BYTES_MAX, StatementKey, USED_MAX, Used,
};
pub use state::{Cause, Channel, Grant, Refusal, State, Withdrawal};

use crate::policy::{TextHash, Told};
use crate::{CallId, EventId, Scope, Scopes, SubjectId, Time};

/// The right to keep or hand on something of one call, under one scope. It borrows the gate, so nothing can
/// be taken back, superseded or erased while it lives:
///
/// ```
/// # use privacy::consent::{Channel, ConsentGate, Grant, Which, Withdrawal};
/// # use privacy::policy::{Language, TextHash, Told, Version};
/// # use privacy::{CallId, Scope, SubjectId, Time};
/// # let (version, language) = (Version::new("1").unwrap(), Language::new("en").unwrap());
/// # let told = Told { version, text: TextHash::of("We keep a text."), language, channel: Channel::Phone };
/// # let mut gate = ConsentGate::new(CallId(1), SubjectId([7; 16]), told);
/// gate.ask(Time(0), &Scope::Transcript, TextHash::of("May we keep a text?"));
/// gate.grant(Time(1), &Scope::Transcript, Grant::Key);
/// let permit = gate.permit(&Scope::Transcript).unwrap();
/// drop(permit);
/// let purge = gate.withdraw(Time(2), &Which::All, Withdrawal::Key);
/// assert!(purge.contains(&Scope::Transcript));
/// ```
///
/// The same in another order does not compile, since the gate is still borrowed:
///
/// ```compile_fail
/// # use privacy::consent::{Channel, ConsentGate, Grant, Which, Withdrawal};
/// # use privacy::policy::{Language, TextHash, Told, Version};
/// # use privacy::{CallId, Scope, SubjectId, Time};
/// # let (version, language) = (Version::new("1").unwrap(), Language::new("en").unwrap());
/// # let told = Told { version, text: TextHash::of("We keep a text."), language, channel: Channel::Phone };
/// # let mut gate = ConsentGate::new(CallId(1), SubjectId([7; 16]), told);
/// gate.ask(Time(0), &Scope::Transcript, TextHash::of("May we keep a text?"));
/// gate.grant(Time(1), &Scope::Transcript, Grant::Key);
/// let permit = gate.permit(&Scope::Transcript).unwrap();
/// let purge = gate.withdraw(Time(2), &Which::All, Withdrawal::Key);
/// assert!(purge.contains(&Scope::Transcript));
/// drop(permit);
/// ```
///
/// Nobody else can make one, copy one, or read one from somewhere:
///
/// ```compile_fail
/// let scope = privacy::Scope::Transcript;
/// let permit = privacy::consent::Permit {
///     call: privacy::CallId(1),
///     subject: privacy::SubjectId([7; 16]),
///     scope: &scope,
///     event: privacy::EventId([0; 16]),
///     gate: std::marker::PhantomData,
/// };
/// ```
/// ```compile_fail
/// fn twice<'a>(permit: &privacy::consent::Permit<'a>) -> privacy::consent::Permit<'a> {
///     permit.clone()
/// }
/// ```
/// ```compile_fail
/// fn read(json: &str) -> privacy::consent::Permit<'_> {
///     serde_json::from_str(json).unwrap()
/// }
/// ```
/// ```
/// fn read(json: &str) -> privacy::consent::ConsentEvent {
///     serde_json::from_str(json).unwrap()
/// }
/// ```
///
/// It cannot outlive the gate either:
///
/// ```
/// fn keep(gate: &privacy::consent::ConsentGate) -> Option<privacy::consent::Permit<'_>> {
///     gate.permit(&privacy::Scope::Transcript)
/// }
/// ```
/// ```compile_fail
/// fn keep(gate: privacy::consent::ConsentGate) -> Option<privacy::consent::Permit<'static>> {
///     gate.permit(&privacy::Scope::Transcript)
/// }
/// ```
#[derive(Debug)]
pub struct Permit<'a> {
    call: CallId,
    subject: SubjectId,
    scope: &'a Scope,
    event: EventId,
    gate: PhantomData<&'a ConsentGate>,
}

impl Permit<'_> {
    /// The only call this permit is good for.
    pub fn call(&self) -> CallId {
        self.call
    }

    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    pub fn scope(&self) -> &Scope {
        self.scope
    }

    /// The consent event that granted it.
    pub fn event(&self) -> EventId {
        self.event
    }
}

/// The consent of one call while it lasts. Every step records a [`ConsentEvent`]; drain them with
/// [`poll`](Self::poll), and write them before what was kept under them.
#[derive(Debug)]
pub struct ConsentGate {
    ledger: Ledger,
    /// The question that waits for a spoken, keyed or written answer: one yes answers one question.
    open: Option<Scope>,
}

impl ConsentGate {
    pub fn new(call: CallId, subject: SubjectId, told: Told) -> Self {
        Self { ledger: Ledger::new(call, subject, told), open: None }
    }

    pub fn call(&self) -> CallId {
        self.ledger.call
    }

    pub fn subject(&self) -> SubjectId {
        self.ledger.subject
    }

    pub fn told(&self) -> &Told {
        &self.ledger.told
    }

    pub fn state(&self, scope: &Scope) -> State {
        self.ledger.state(scope)
    }

    pub fn granted(&self) -> Scopes {
        self.ledger.all_granted()
    }

    /// Only for what is granted, until it is not any more. Where a statement granted it, call
    /// [`handle_timeout`](Self::handle_timeout) at the [`deadline`](Self::deadline).
    pub fn permit(&self, scope: &Scope) -> Option<Permit<'_>> {
        let (scope, event) = self.ledger.granted(scope)?;
        Some(Permit { call: self.ledger.call, subject: self.ledger.subject, scope, event, gate: PhantomData })
    }

    /// A question was put for one scope; each scope has a question of its own. `prompt` is the hash of its
    /// words. False where it was answered before, or may not be asked again.
    pub fn ask(&mut self, now: Time, scope: &Scope, prompt: TextHash) -> bool {
        self.handle_timeout(now);
        let asked = self.step(Which::one(scope), State::Asked, Some(prompt), now);
        if asked {
            self.open = Some(scope.clone());
        }
        asked
    }

    /// A clear yes. Spoken, keyed or written it answers only the question that was put last, and only once;
    /// a click names its question. False where that question is not open.
    pub fn grant(&mut self, now: Time, scope: &Scope, how: Grant) -> bool {
        self.handle_timeout(now);
        let meant = match how {
            Grant::Voice | Grant::Key | Grant::Text => self.open.as_ref() == Some(scope),
            Grant::Click => true,
            Grant::PreGrant => false,
        };
        let granted = meant && self.step(Which::one(scope), State::Granted(how), self.ledger.prompt(scope), now);
        if granted {
            self.answered(scope);
        }
        granted
    }

    /// What was kept under the scopes that come back, by a consent that was superseded since, has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn refuse(&mut self, now: Time, which: &Which, why: Refusal) -> Scopes {
        self.handle_timeout(now);
        let purge = self.ledger.end(which, State::Refused(why), self.ledger.told.channel, now);
        self.close(which);
        purge
    }

    /// Takes consent back, before it was asked for too. What was kept under the scopes that come back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn withdraw(&mut self, now: Time, which: &Which, how: Withdrawal) -> Scopes {
        self.handle_timeout(now);
        let purge = self.ledger.withdraw(which, how, self.ledger.told.channel, now);
        self.close(which);
        purge
    }

    /// Something else is told and asked from now on: nothing is permitted until it is asked anew. Gives the
    /// scopes that this concerns; what was kept under them stays, since it was agreed to. Nothing happens
    /// where version and text are the same; for another language of the same policy see [`speak`](Self::speak).
    pub fn supersede(&mut self, now: Time, told: Told) -> Scopes {
        self.handle_timeout(now);
        let same = (&self.ledger.told.version, self.ledger.told.text) == (&told.version, told.text);
        if same {
            return Scopes::new();
        }
        self.ledger.told = told;
        self.open = None;
        self.void(Which::All, Cause::Policy, now)
    }

    /// The call goes on in another language: the same policy's text in it. False, and nothing changes, where
    /// that is of another version, which would be a new policy.
    pub fn speak(&mut self, told: Told) -> bool {
        let same = self.ledger.told.version == told.version;
        if same {
            self.ledger.told = told;
        }
        same
    }

    /// Grants what a signed statement says, once, as far as the caller has not been asked or spoken before.
    /// Record its event and the statement's hash together, before anything is kept under it.
    ///
    /// # Errors
    /// Where it is about somebody else, has run out, was used before, or comes too late.
    pub fn pre_grant(&mut self, now: Time, statement: &PreGrant, used: &mut Used) -> Result<Scopes, PreGrantRefused> {
        self.handle_timeout(now);
        if statement.subject() != self.ledger.subject {
            return Err(PreGrantRefused::OtherSubject);
        }
        if now >= statement.until() {
            return Err(PreGrantRefused::Expired);
        }
        if used.holds(&statement.evidence().statement) {
            return Err(PreGrantRefused::Replayed);
        }
        let (scopes, state) = (Which::Only(statement.scopes().clone()), State::Granted(Grant::PreGrant));
        if !self.ledger.may_begin(&scopes, state) {
            return Err(PreGrantRefused::TooLate);
        }
        used.take(now, statement)?;
        let evidence = Some(statement.evidence().clone());
        let step = Step { scopes, state, prompt: None, channel: Channel::Api, evidence, at: now };
        let moved = self.ledger.step(step, Some(statement.until()));
        moved.map(|moved| moved.scopes).ok_or(PreGrantRefused::TooLate)
    }

    /// When the next granted statement runs out.
    pub fn deadline(&self) -> Option<Time> {
        self.ledger.deadline()
    }

    /// Ends what rests on a statement that has run out. Every step does the same first.
    pub fn handle_timeout(&mut self, now: Time) {
        let over = self.ledger.run_out(now);
        if !over.is_empty() {
            self.void(Which::Only(over), Cause::Expired, now);
        }
    }

    /// The use has ended: from now on the records are evidence only. What was kept under the scopes that come
    /// back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn storage_only(&mut self, now: Time) -> Scopes {
        self.open = None;
        self.ledger.close(State::StorageOnly, now)
    }

    /// Everything of this call is gone, or about to go. What was kept under the scopes that come back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn erased(&mut self, now: Time) -> Scopes {
        self.open = None;
        self.ledger.close(State::Erased, now)
    }

    /// The next event to be recorded.
    pub fn poll(&mut self) -> Option<ConsentEvent> {
        self.ledger.poll()
    }

    /// The call is over: nothing is permitted any more. Events not drained so far come from there.
    pub fn into_past(self) -> Past {
        Past { ledger: self.ledger }
    }

    fn step(&mut self, scopes: Which, state: State, prompt: Option<TextHash>, at: Time) -> bool {
        let channel = self.ledger.told.channel;
        self.ledger.step(Step { scopes, state, prompt, channel, evidence: None, at }, None).is_some()
    }

    fn void(&mut self, scopes: Which, cause: Cause, at: Time) -> Scopes {
        let channel = if cause == Cause::Expired { Channel::Api } else { self.ledger.told.channel };
        let state = State::Superseded(cause);
        let step = Step { scopes, state, prompt: None, channel, evidence: None, at };
        self.ledger.step(step, None).map(|moved| moved.scopes).unwrap_or_default()
    }

    fn answered(&mut self, scope: &Scope) {
        if self.open.as_ref() == Some(scope) {
            self.open = None;
        }
    }

    fn close(&mut self, which: &Which) {
        if self.open.as_ref().is_some_and(|open| which.holds(open)) {
            self.open = None;
        }
    }
}

#[cfg(test)]
mod tests;
