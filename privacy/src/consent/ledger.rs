//! Where every scope of one call stands: the events applied one after the other, by the gate while the
//! call lasts and again by whoever reads them later. It permits nothing.

use std::collections::{BTreeMap, VecDeque};

use super::event::{ConsentEvent, SCOPES_MAX, Step, Which};
use super::state::{Channel, State, Withdrawal};
use crate::policy::{TextHash, Told};
use crate::{CallId, EventId, Scope, Scopes, SubjectId, Time};

/// After so many events nothing is asked or granted any more. What ends a consent is always recorded; it can
/// be but a few events for each scope.
pub const EVENTS_MAX: u32 = 1024;

#[derive(Debug, Clone)]
struct Place {
    state: State,
    /// Which event granted it, while it is granted.
    granted: Option<EventId>,
    /// The question that was asked last.
    prompt: Option<TextHash>,
    /// Until when a statement grants it.
    until: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub call: CallId,
    pub subject: SubjectId,
    pub told: Told,
    /// Of every scope that has not been named.
    rest: State,
    named: BTreeMap<Scope, Place>,
    /// Under which something may have been kept.
    kept: Scopes,
    seq: u32,
    events: VecDeque<ConsentEvent>,
}

impl Ledger {
    pub fn new(call: CallId, subject: SubjectId, told: Told) -> Self {
        Self {
            call,
            subject,
            told,
            rest: State::None,
            named: BTreeMap::new(),
            kept: Scopes::new(),
            seq: 0,
            events: VecDeque::new(),
        }
    }

    pub fn state(&self, scope: &Scope) -> State {
        self.named.get(scope).map_or(self.rest, |place| place.state)
    }

    /// The granted scope as it is kept here, and the event that granted it.
    pub fn granted(&self, scope: &Scope) -> Option<(&Scope, EventId)> {
        let (scope, place) = self.named.get_key_value(scope)?;
        match (place.state, place.granted) {
            (State::Granted(_), Some(event)) => Some((scope, event)),
            _ => None,
        }
    }

    pub fn all_granted(&self) -> Scopes {
        self.named.keys().filter(|scope| self.granted(scope).is_some()).cloned().collect()
    }

    pub fn prompt(&self, scope: &Scope) -> Option<TextHash> {
        self.named.get(scope).and_then(|place| place.prompt)
    }

    /// When the next statement runs out.
    pub fn deadline(&self) -> Option<Time> {
        let granted = self.named.values().filter(|place| place.granted.is_some());
        granted.filter_map(|place| place.until).min()
    }

    pub fn run_out(&self, now: Time) -> Scopes {
        let over = |place: &Place| place.granted.is_some() && place.until.is_some_and(|until| now >= until);
        self.named.iter().filter(|(_, place)| over(place)).map(|(scope, _)| scope.clone()).collect()
    }

    pub fn poll(&mut self) -> Option<ConsentEvent> {
        self.events.pop_front()
    }

    /// Takes the step for those of the scopes that may take it, and records it. None where there are none.
    pub fn step(&mut self, step: Step, until: Option<Time>) -> Option<Moved> {
        if begins(step.state) && self.seq >= EVENTS_MAX {
            return None;
        }
        let scopes = self.takes(&step.scopes, step.state)?;
        let event = ConsentEvent::new(self.call, self.subject, self.seq, &self.told, Step { scopes, ..step });
        let moved = self.apply(&event, until);
        self.events.push_back(event);
        Some(moved)
    }

    /// A step that ends a consent; gives the scopes whose content has to go.
    pub fn end(&mut self, scopes: &Which, state: State, channel: Channel, at: Time) -> Scopes {
        let prompt = match scopes {
            Which::Only(one) if one.len() == 1 => one.first().and_then(|scope| self.prompt(scope)),
            _ => None,
        };
        let prompt = prompt.filter(|_| matches!(state, State::Refused(_)));
        let step = Step { scopes: scopes.clone(), state, prompt, channel, evidence: None, at };
        self.step(step, None).map(|moved| moved.purge).unwrap_or_default()
    }

    pub fn withdraw(&mut self, which: &Which, how: Withdrawal, channel: Channel, at: Time) -> Scopes {
        let channel = if how == Withdrawal::Request { Channel::Api } else { channel };
        self.end(which, State::Withdrawn(how), channel, at)
    }

    /// A step of all scopes that no caller took.
    pub fn close(&mut self, state: State, at: Time) -> Scopes {
        self.end(&Which::All, state, Channel::Api, at)
    }

    pub fn may_begin(&self, which: &Which, next: State) -> bool {
        self.seq < EVENTS_MAX && self.takes(which, next).is_some()
    }

    /// Those of the scopes for which the step exists. What is not named can be neither asked nor granted.
    pub fn takes(&self, which: &Which, next: State) -> Option<Which> {
        match which {
            Which::All if begins(next) => None,
            Which::All => {
                let mut states = self.named.values().map(|place| place.state).chain([self.rest]);
                states.any(|state| state.leads_to(next)).then_some(Which::All)
            }
            Which::Only(scopes) => {
                let mut room = SCOPES_MAX.saturating_sub(self.named.len());
                let mut fits = |scope: &Scope| {
                    let known = self.named.contains_key(scope);
                    let fits = self.state(scope).leads_to(next) && (known || room > 0);
                    room -= usize::from(fits && !known);
                    fits
                };
                let scopes: Scopes = scopes.iter().filter(|scope| fits(scope)).cloned().collect();
                (!scopes.is_empty()).then_some(Which::Only(scopes))
            }
        }
    }

    /// Only with scopes that [`takes`](Self::takes) let through.
    pub fn apply(&mut self, event: &ConsentEvent, until: Option<Time>) -> Moved {
        let next = event.state;
        let moving: Scopes = match &event.scopes {
            Which::Only(scopes) => scopes.clone(),
            Which::All => {
                let moves = self.named.iter().filter(|(_, place)| place.state.leads_to(next));
                let moving = moves.map(|(scope, _)| scope.clone()).collect();
                if self.rest.leads_to(next) {
                    self.rest = next;
                }
                moving
            }
        };
        let mut purge = Scopes::new();
        for scope in &moving {
            if matches!(next, State::Granted(_)) {
                self.kept.insert(scope.clone());
            } else if next.purges() && self.kept.remove(scope) {
                purge.insert(scope.clone());
            }
            let place = self.place(scope);
            place.state = next;
            place.granted = matches!(next, State::Granted(_)).then_some(event.id);
            place.until = until;
            if next == State::Asked {
                place.prompt = event.prompt;
            }
        }
        self.seq = self.seq.saturating_add(1);
        Moved { scopes: moving, purge }
    }

    fn place(&mut self, scope: &Scope) -> &mut Place {
        let state = self.rest;
        let new = || Place { state, granted: None, prompt: None, until: None };
        self.named.entry(scope.clone()).or_insert_with(new)
    }

    pub fn kept(&self) -> &Scopes {
        &self.kept
    }

    pub fn seq(&self) -> u32 {
        self.seq
    }
}

fn begins(state: State) -> bool {
    matches!(state, State::Asked | State::Granted(_))
}

/// What a step did.
pub(super) struct Moved {
    pub scopes: Scopes,
    /// What was kept under these has to go.
    pub purge: Scopes,
}
