//! The consent of a call that is over, read back from its events. It can be taken back, set aside as
//! evidence and erased; it permits nothing, and there is no way from it to a permit.

use super::event::{ConsentEvent, Which};
use super::ledger::Ledger;
use super::state::{Channel, Grant, State, Withdrawal};
use crate::policy::Told;
use crate::{CallId, Scope, Scopes, SubjectId, Time};

/// Why events are no history of a call. `seq` counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("there are no consent events of this call")]
    Empty,
    #[error("consent event {seq} is missing or out of order: restore it, or treat nothing as granted")]
    Missing { seq: u32 },
    #[error("consent event {seq} is of another call or subject: restore the right one")]
    Foreign { seq: u32 },
    #[error("consent event {seq} was altered: its id is not the hash of it; restore it")]
    Altered { seq: u32 },
    #[error("consent event {seq} is a step that does not exist after those before it: treat nothing as granted")]
    Impossible { seq: u32 },
}

/// ```
/// use privacy::consent::{ConsentEvent, Past};
/// fn state(events: &[ConsentEvent]) -> String {
///     Past::of(events).map(|past| past.state(&privacy::Scope::Transcript).to_string()).unwrap_or_default()
/// }
/// # assert_eq!(state(&[]), "");
/// ```
///
/// What is over permits nothing:
///
/// ```compile_fail
/// use privacy::consent::{ConsentEvent, Past};
/// fn state(events: &[ConsentEvent]) -> String {
///     Past::of(events).map(|past| past.permit(&privacy::Scope::Transcript).to_string()).unwrap_or_default()
/// }
/// # assert_eq!(state(&[]), "");
/// ```
#[derive(Debug)]
pub struct Past {
    pub(super) ledger: Ledger,
}

impl Past {
    /// Follows the events of one call, in their order, step by step.
    ///
    /// # Errors
    /// At the first event that is missing, foreign, altered or impossible.
    pub fn of(events: &[ConsentEvent]) -> Result<Self, HistoryError> {
        let first = events.first().ok_or(HistoryError::Empty)?;
        let mut ledger = Ledger::new(first.call, first.subject, told(first));
        for event in events {
            let seq = ledger.seq();
            if event.seq != seq {
                return Err(HistoryError::Missing { seq });
            }
            if (event.call, event.subject) != (first.call, first.subject) {
                return Err(HistoryError::Foreign { seq });
            }
            if !event.is_intact() {
                return Err(HistoryError::Altered { seq });
            }
            let stated = event.evidence.is_some() == (event.state == State::Granted(Grant::PreGrant));
            let prompted = event.state != State::Asked || event.prompt.is_some();
            let exists = ledger.takes(&event.scopes, event.state).as_ref() == Some(&event.scopes);
            if !(stated && prompted && exists) {
                return Err(HistoryError::Impossible { seq });
            }
            ledger.apply(event, None);
            ledger.told = told(event);
        }
        Ok(Self { ledger })
    }

    pub fn call(&self) -> CallId {
        self.ledger.call
    }

    pub fn subject(&self) -> SubjectId {
        self.ledger.subject
    }

    pub fn state(&self, scope: &Scope) -> State {
        self.ledger.state(scope)
    }

    /// The scopes under which something may still be kept.
    pub fn kept(&self) -> &Scopes {
        self.ledger.kept()
    }

    /// What was kept under the scopes that come back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn withdraw(&mut self, now: Time, which: &Which, how: Withdrawal) -> Scopes {
        self.ledger.withdraw(which, how, Channel::Api, now)
    }

    /// From now on the records are evidence only. What was kept under the scopes that come back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn storage_only(&mut self, now: Time) -> Scopes {
        self.ledger.close(State::StorageOnly, now)
    }

    /// Everything is gone, or about to go. What was kept under the scopes that come back has to go.
    #[must_use = "what was kept under these scopes has to be purged"]
    pub fn erased(&mut self, now: Time) -> Scopes {
        self.ledger.close(State::Erased, now)
    }

    /// The next event to be recorded.
    pub fn poll(&mut self) -> Option<ConsentEvent> {
        self.ledger.poll()
    }
}

fn told(event: &ConsentEvent) -> Told {
    Told { version: event.policy.clone(), text: event.text, language: event.language.clone(), channel: event.channel }
}
