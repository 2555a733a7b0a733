//! One entry of the audit log, and what may stand in it. It refuses what looks like a number or an address
//! of a person: nobody could take it out again.

use serde::{Deserialize, Serialize};

use super::{Digest, LINE_MAX, hash};
use crate::keys::KeyId;
use crate::keys::text::hex;
use crate::{CallId, EventId, SubjectId, Time};

const NAME_MAX: usize = 64;
const WHY_MAX: usize = 300;
const OBJECTS_MAX: usize = 64;
/// A run of so many digits is a number of somebody; a date has eight.
const DIGITS_MAX: usize = 8;

/// What is told of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Time,
    /// Who: the login of a member of staff, or the part of the software.
    pub actor: String,
    pub role: String,
    pub action: Action,
    /// What it was done to.
    pub objects: Vec<Object>,
    /// Reason or reference ("claim 17"); where content is read it must be there.
    pub why: String,
}

/// A record by its kind and name: `call:00..`, `subject:00..`, `job:7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Object(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    #[error("who and in which role: {NAME_MAX} letters, digits, '.', '_' and '-' at most, not a number or an address")]
    Name,
    #[error("say why content is read: a claim, an order, a case")]
    NoReason,
    #[error("name the calls or subjects whose content is read")]
    NobodyNamed,
    #[error("the reason is one line of {WHY_MAX} bytes at most")]
    Why,
    #[error("the reason holds a long number or an address: name people by subject, call or claim instead")]
    Personal,
    #[error("{OBJECTS_MAX} records at most go into one entry: divide it")]
    TooMany,
}

/// The closed list of what is logged, each with its stable word.
macro_rules! actions {
    ($($name:ident $word:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($name,)* }

        impl Action {
            pub const ALL: &'static [Action] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    Started "service.started",
    Stopped "service.stopped",
    LogRepaired "log.repaired",
    PolicyLoaded "policy.loaded",
    ContentRead "content.read",
    ContentExported "content.exported",
    ContentDisclosed "content.disclosed",
    ContentRectified "content.rectified",
    ReadRefused "read.refused",
    PreGrantTaken "pre_grant.taken",
    PreGrantRefused "pre_grant.refused",
    ConsentWithdrawn "consent.withdrawn",
    ErasureAsked "erasure.asked",
    ErasureFound "erasure.found",
    ErasureFrozen "erasure.frozen",
    ErasureHeld "erasure.held",
    KeysDestroyed "erasure.keys_destroyed",
    RowsDeleted "erasure.rows_deleted",
    FilesDeleted "erasure.files_deleted",
    DatabaseCompacted "erasure.database_compacted",
    ErasureSent "erasure.sent",
    ErasureReceipt "erasure.receipt",
    ErasureRefused "erasure.refused",
    ErasureAlarm "erasure.alarm",
    ErasureProven "erasure.proven",
    ErasureDone "erasure.done",
    RetentionRun "retention.run",
    HoldPlaced "hold.placed",
    HoldLifted "hold.lifted",
    ClaimOpened "claim.opened",
    ClaimChanged "claim.changed",
    ClaimAnswered "claim.answered",
    Blocked "subject.blocked",
    Unblocked "subject.unblocked",
    ApprovalAsked "approval.asked",
    ApprovalGiven "approval.given",
    ApprovalRefused "approval.refused",
    KekRotated "key.kek_rotated",
    TenantKeyRotated "key.tenant_rotated",
    EgressDenied "egress.denied",
}

impl Action {
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == word)
    }

    /// Whether content is opened for it.
    pub fn reads_content(self) -> bool {
        matches!(self, Self::ContentRead | Self::ContentExported | Self::ContentDisclosed | Self::ContentRectified)
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let unknown = || serde::de::Error::custom("unknown action: it was written by a newer version");
        Self::parse(&String::deserialize(d)?).ok_or_else(unknown)
    }
}

impl Object {
    pub fn call(call: CallId) -> Self {
        Self(format!("call:{call}"))
    }

    pub fn subject(subject: SubjectId) -> Self {
        Self(format!("subject:{subject}"))
    }

    pub fn event(event: EventId) -> Self {
        Self(format!("consent:{event}"))
    }

    pub fn key(key: KeyId) -> Self {
        Self(format!("key:{key}"))
    }

    /// Any other record, such as `job`, `claim`, `hold`, `approval`, `destination`. `None` where the kind or
    /// the name holds others than small letters, digits, '.', '_' and '-', where it is one of the kinds
    /// above, or where the name is a long number and nothing else.
    pub fn named(kind: &str, name: &str) -> Option<Self> {
        let own = ["call", "subject", "consent", "key"].contains(&kind);
        let number = name.len() > DIGITS_MAX && name.bytes().all(|b| b.is_ascii_digit());
        (!own && !number && is_name(kind) && is_name(name)).then(|| Self(format!("{kind}:{name}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// As it stands in the log, without the hash behind it. The order of the fields is the order in the line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body<S> {
    pub seq: u64,
    pub at: Time,
    pub actor: S,
    pub role: S,
    pub action: Action,
    pub objects: Vec<S>,
    pub why: S,
    pub prev: Digest,
    #[serde(skip_serializing)]
    pub hash: Option<Digest>,
}

/// Between the body and the hash.
pub(super) const BEFORE_HASH: &str = ",\"hash\":\"";
pub(super) const AFTER_HASH: &str = "\"}";

impl Entry {
    /// The line with its end, and the hash in it.
    pub(super) fn line(&self, seq: u64, prev: Digest) -> Result<(String, Digest), BadEntry> {
        self.check()?;
        let body = Body {
            seq,
            at: self.at,
            actor: self.actor.as_str(),
            role: self.role.as_str(),
            action: self.action,
            objects: self.objects.iter().map(Object::as_str).collect(),
            why: self.why.as_str(),
            prev,
            hash: None,
        };
        // Strings and numbers always become JSON.
        let mut line = serde_json::to_string(&body).map_err(|_| BadEntry::Why)?;
        line.pop();
        let head = hash(line.as_bytes());
        line.push_str(BEFORE_HASH);
        line.push_str(&hex(&head.0));
        line.push_str(AFTER_HASH);
        line.push('\n');
        if line.len() > LINE_MAX { Err(BadEntry::TooMany) } else { Ok((line, head)) }
    }

    fn check(&self) -> Result<(), BadEntry> {
        if !is_name(&self.actor) || !is_name(&self.role) || digits(&self.actor) > DIGITS_MAX {
            return Err(BadEntry::Name);
        }
        if self.why.len() > WHY_MAX || self.why.contains(char::is_control) {
            return Err(BadEntry::Why);
        }
        if self.why.contains('@') || digits(&self.why) > DIGITS_MAX {
            return Err(BadEntry::Personal);
        }
        if self.objects.len() > OBJECTS_MAX {
            return Err(BadEntry::TooMany);
        }
        if self.action.reads_content() {
            if self.why.trim().is_empty() {
                return Err(BadEntry::NoReason);
            }
            let whose = |o: &Object| o.0.starts_with("call:") || o.0.starts_with("subject:");
            if !self.objects.iter().any(whose) {
                return Err(BadEntry::NobodyNamed);
            }
        }
        Ok(())
    }
}

/// The longest run of digits, over what stands between the groups of a number.
fn digits(text: &str) -> usize {
    let (mut run, mut longest) = (0, 0);
    for c in text.chars() {
        if c.is_numeric() {
            run += 1;
            longest = longest.max(run);
        } else if !" -.()/+\u{a0}".contains(c) {
            run = 0;
        }
    }
    longest
}
