//! A consent event: that a scope of a call was asked, granted, refused or taken back, when, how, and by
//! which text. It never holds anything that was said, and no number, address or name of a person.

use serde::{Deserialize, Serialize};

use super::canon::{Canon, half};
use super::pre_grant::Evidence;
use super::state::{Channel, State};
use crate::policy::{Language, TextHash, Told, Version};
use crate::{CallId, EventId, Scope, Scopes, SubjectId, Time};

/// More scopes than this are not kept apart in one call.
pub const SCOPES_MAX: usize = 64;

/// Which scopes a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those named so far and those not named yet.
    All,
    Only(Scopes),
}

impl Which {
    pub fn one(scope: &Scope) -> Self {
        Self::Only(Scopes::from([scope.clone()]))
    }

    pub fn holds(&self, scope: &Scope) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.contains(scope),
        }
    }
}

/// One step of one call's consent, as it is kept. What is read back is checked: its id is the hash of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
#[non_exhaustive]
pub struct ConsentEvent {
    pub id: EventId,
    pub call: CallId,
    pub subject: SubjectId,
    /// From 0, without gaps, within the call.
    pub seq: u32,
    pub scopes: Which,
    /// The state that the scopes are in from now on.
    pub state: State,
    pub policy: Version,
    /// Of all that was told and asked in this language.
    pub text: TextHash,
    pub language: Language,
    /// Of the question itself, where there was one.
    pub prompt: Option<TextHash>,
    pub channel: Channel,
    /// Where a statement of the tenant's system granted it.
    pub evidence: Option<Evidence>,
    pub at: Time,
}

/// What a step says beside who and when.
pub(super) struct Step {
    pub scopes: Which,
    pub state: State,
    pub prompt: Option<TextHash>,
    pub channel: Channel,
    pub evidence: Option<Evidence>,
    pub at: Time,
}

impl ConsentEvent {
    pub(super) fn new(call: CallId, subject: SubjectId, seq: u32, told: &Told, step: Step) -> Self {
        let mut event = Self {
            id: EventId([0; 16]),
            call,
            subject,
            seq,
            scopes: step.scopes,
            state: step.state,
            policy: told.version.clone(),
            text: told.text,
            language: told.language.clone(),
            prompt: step.prompt,
            channel: step.channel,
            evidence: step.evidence,
            at: step.at,
        };
        event.id = event.name();
        event
    }

    /// All fields but the id, each with its length in front, in the order of their declaration.
    pub fn canonical(&self) -> Vec<u8> {
        self.canon().into_bytes()
    }

    /// Whether the id is still the hash of the rest.
    pub fn is_intact(&self) -> bool {
        self.id == self.name()
    }

    fn name(&self) -> EventId {
        EventId(half(self.canon().sha256()))
    }

    fn canon(&self) -> Canon {
        let (what, how) = self.state.words();
        let mut canon =
            Canon::new("dauys consent event 1").number(self.call.0).bytes(&self.subject.0).number(u64::from(self.seq));
        canon = match &self.scopes {
            Which::All => canon.text("all"),
            Which::Only(scopes) => {
                scopes.iter().fold(canon.text("only").count(scopes.len()), |c, scope| c.text(&scope.to_string()))
            }
        };
        canon = canon
            .text(what)
            .maybe(how.map(str::as_bytes))
            .text(self.policy.as_str())
            .bytes(&self.text.0)
            .text(self.language.as_str())
            .maybe(self.prompt.as_ref().map(|hash| hash.0.as_slice()))
            .text(self.channel.word());
        canon = match &self.evidence {
            None => canon.count(0),
            Some(evidence) => evidence.canon(canon.count(1)),
        };
        canon.bytes(&self.at.0.to_be_bytes())
    }
}

/// The event as JSON has it: these keys and no others.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    id: EventId,
    call: CallId,
    subject: SubjectId,
    seq: u32,
    scopes: WireScopes,
    what: String,
    how: Option<String>,
    policy: Version,
    text: TextHash,
    language: Language,
    prompt: Option<TextHash>,
    channel: Channel,
    evidence: Option<Evidence>,
    at: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "scopes are \"all\" or a list of scopes")]
enum WireScopes {
    All(AllOfThem),
    Only(Scopes),
}

#[derive(Serialize, Deserialize)]
enum AllOfThem {
    #[serde(rename = "all")]
    All,
}

/// Why a record is no consent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("no such step of consent; the record was written by another version or altered: restore it")]
    Step,
    #[error("a consent event is about 1 to {SCOPES_MAX} scopes; the record was altered: restore it")]
    Scopes,
    #[error("the id is not the hash of the event; the record was altered: restore it")]
    Altered,
}

impl From<ConsentEvent> for Wire {
    fn from(event: ConsentEvent) -> Self {
        let (what, how) = event.state.words();
        Self {
            id: event.id,
            call: event.call,
            subject: event.subject,
            seq: event.seq,
            scopes: match event.scopes {
                Which::All => WireScopes::All(AllOfThem::All),
                Which::Only(scopes) => WireScopes::Only(scopes),
            },
            what: what.into(),
            how: how.map(Into::into),
            policy: event.policy,
            text: event.text,
            language: event.language,
            prompt: event.prompt,
            channel: event.channel,
            evidence: event.evidence,
            at: event.at,
        }
    }
}

impl TryFrom<Wire> for ConsentEvent {
    type Error = NotAnEvent;

    fn try_from(wire: Wire) -> Result<Self, NotAnEvent> {
        let state = State::parse(&wire.what, wire.how.as_deref()).ok_or(NotAnEvent::Step)?;
        let scopes = match wire.scopes {
            WireScopes::All(_) => Which::All,
            WireScopes::Only(scopes) if (1..=SCOPES_MAX).contains(&scopes.len()) => Which::Only(scopes),
            WireScopes::Only(_) => return Err(NotAnEvent::Scopes),
        };
        let event = Self {
            id: wire.id,
            call: wire.call,
            subject: wire.subject,
            seq: wire.seq,
            scopes,
            state,
            policy: wire.policy,
            text: wire.text,
            language: wire.language,
            prompt: wire.prompt,
            channel: wire.channel,
            evidence: wire.evidence,
            at: wire.at,
        };
        if event.is_intact() { Ok(event) } else { Err(NotAnEvent::Altered) }
    }
}
