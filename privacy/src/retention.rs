//! How long each kind of record is kept, who may read it meanwhile, and why one must go. It deletes
//! nothing itself.

mod hold;
mod read;
mod term;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CallId, SubjectId, TenantId, Time};

pub use hold::{Covers, Hold, HoldId, NoHold, Release, What};
pub use read::{NotRead, PURPOSES, Purpose, Standing, may_read};
pub use term::{NotATerm, Term};

/// What kind of record it is, as far as its life is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What was said, as text.
    Content,
    /// How it sounded.
    Recording,
    /// When, how long, by which codec, how it ended.
    Metadata,
    /// What was asked and answered. Storage only, once use has ended.
    Consent,
    /// What left the house, and whereto.
    Transfer,
    Audit,
    /// Erasures, holds, claims, approvals: how rights were answered.
    Register,
    /// Keys live as long as the last record that they open.
    Key,
    /// What the program itself needs. It is about nobody.
    Program,
}

pub const KINDS: [Kind; 9] = [
    Kind::Content,
    Kind::Recording,
    Kind::Metadata,
    Kind::Consent,
    Kind::Transfer,
    Kind::Audit,
    Kind::Register,
    Kind::Key,
    Kind::Program,
];

impl Kind {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Recording => "recording",
            Self::Metadata => "metadata",
            Self::Consent => "consent",
            Self::Transfer => "transfer",
            Self::Audit => "audit",
            Self::Register => "register",
            Self::Key => "key",
            Self::Program => "program",
        }
    }

    /// Whether it goes when its subject asks. The rest is evidence that the rules were kept; it holds no
    /// content, and is then only stored (GDPR 17(3)(b) and (e)).
    pub fn leaves_on_erasure(self) -> bool {
        matches!(self, Self::Content | Self::Recording | Self::Metadata | Self::Key)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who and what a record is about, as far as holds are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub tenant: TenantId,
    pub subject: Option<SubjectId>,
    pub call: Option<CallId>,
}

/// When what happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// It was made.
    pub made: Time,
    /// The use that it belongs to ended: the subject left the service (content, consent), the matter was
    /// closed (register), the last record under it went (key). None: not yet.
    pub ended: Option<Time>,
    /// Its subject asked for erasure, and by then it must be gone: [`crate::erasure::Job::deadline`].
    pub erase_by: Option<Time>,
}

impl Times {
    /// Just made, in use, and nobody asked.
    pub fn made(made: Time) -> Self {
        Self { made, ended: None, erase_by: None }
    }
}

/// What is to be done with a record now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// None: as long as things stand as they do.
    Keep {
        until: Option<Time>,
        why: Stays,
    },
    Go {
        since: Time,
        why: Goes,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    Term,
    InUse,
    Held(HoldId),
    Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goes {
    Term,
    EndOfUse,
    Erasure,
}

impl fmt::Display for Due {
    /// For people: what will happen, and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { why, .. } => write!(f, "stays: {why}"),
            Self::Go { why, .. } => write!(f, "goes: {why}"),
        }
    }
}

impl fmt::Display for Goes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "its term is over",
            Self::EndOfUse => "its use ended",
            Self::Erasure => "its subject asked for erasure",
        })
    }
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term => f.write_str("its term is not over"),
            Self::InUse => f.write_str("it is in use"),
            Self::Held(hold) => write!(f, "legal hold {hold}"),
            Self::Program => f.write_str("the program needs it, and it is about nobody"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    #[error("[retention] cannot be read: {0}")]
    Unreadable(String),
    #[error("[retention] {0}: {1} is longer than {2}: shorten it")]
    TooLong(&'static str, Term, Term),
    #[error("[retention] audit = \"{0}\" is shorter than consent = \"{1}\": what proves a consent must outlive it")]
    AuditTooShort(Term, Term),
}

/// `[retention]` of a policy. What is not said there is as it is here by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// At most, and only while the service is used.
    pub content: Term,
    pub recording: Term,
    pub metadata: Term,
    /// After the end of use.
    pub consent: Term,
    pub transfer: Term,
    pub audit: Term,
    /// After the matter was closed.
    pub register: Term,
    /// The longest that a legal hold may be placed or extended for at a time.
    pub hold: Term,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            content: Term::days(90),
            recording: Term::days(30),
            metadata: Term::years(1),
            consent: Term::years(3),
            transfer: Term::years(3),
            audit: Term::years(5),
            register: Term::years(3),
            hold: Term::years(1),
        }
    }
}

/// Nothing is kept for longer by a policy.
const LONGEST: Term = Term::years(10);

impl Terms {
    /// # Errors
    /// Where a key is unknown, a term cannot be read, or one is too long or too short to make sense.
    pub fn read(table: &toml::Table) -> Result<Self, BadTerms> {
        let read: Self = table.clone().try_into().map_err(|e: toml::de::Error| BadTerms::Unreadable(said(&e)))?;
        read.checked()
    }

    /// # Errors
    /// Where a term is too long or too short to make sense.
    pub fn checked(self) -> Result<Self, BadTerms> {
        let all = [
            ("content", self.content),
            ("recording", self.recording),
            ("metadata", self.metadata),
            ("consent", self.consent),
            ("transfer", self.transfer),
            ("audit", self.audit),
            ("register", self.register),
            ("hold", self.hold),
        ];
        for (name, term) in all {
            if term.longer_than(LONGEST) {
                return Err(BadTerms::TooLong(name, term, LONGEST));
            }
        }
        if self.consent.longer_than(self.audit) {
            return Err(BadTerms::AuditTooShort(self.audit, self.consent));
        }
        Ok(self)
    }

    /// None: it has no term of its own.
    pub fn of(&self, kind: Kind) -> Option<Term> {
        match kind {
            Kind::Content => Some(self.content),
            Kind::Recording => Some(self.recording),
            Kind::Metadata => Some(self.metadata),
            Kind::Consent => Some(self.consent),
            Kind::Transfer => Some(self.transfer),
            Kind::Audit => Some(self.audit),
            Kind::Register => Some(self.register),
            Kind::Key | Kind::Program => None,
        }
    }

    /// The term in words, for people.
    pub fn words(&self, kind: Kind) -> String {
        match kind {
            Kind::Content | Kind::Recording => match self.of(kind) {
                Some(term) => format!("while the service is used, at most {term}"),
                None => String::new(),
            },
            Kind::Consent => format!("{} after the end of use, storage only", self.consent),
            Kind::Register => format!("{} after the matter is closed", self.register),
            Kind::Metadata | Kind::Transfer | Kind::Audit => self.of(kind).map(|t| t.to_string()).unwrap_or_default(),
            Kind::Key => "as long as a record that it opens".into(),
            Kind::Program => "as long as the program".into(),
        }
    }

    /// When it ends by itself, holds aside. None: not while things stand as they do.
    fn end(&self, kind: Kind, times: &Times) -> Option<(Time, Goes)> {
        let by_term = |from: Time| self.of(kind).map(|term| (term.after(from), Goes::Term));
        let end_of_use = times.ended.map(|at| (at, Goes::EndOfUse));
        let own = match kind {
            Kind::Content | Kind::Recording => earlier(by_term(times.made), end_of_use),
            Kind::Metadata | Kind::Transfer | Kind::Audit => by_term(times.made),
            Kind::Consent | Kind::Register => times.ended.and_then(by_term),
            Kind::Key => end_of_use,
            Kind::Program => None,
        };
        let asked = times.erase_by.filter(|_| kind.leaves_on_erasure()).map(|at| (at, Goes::Erasure));
        earlier(own, asked)
    }

    /// Keep it, or let it go, and why. A record goes at the very millisecond its term ends.
    /// An erasure beats every longer term; a standing hold beats everything.
    pub fn due(&self, kind: Kind, about: &About, times: &Times, holds: &[Hold], now: Time) -> Due {
        let end = self.end(kind, times);
        let held = holds.iter().filter(|h| h.stands(now) && h.covers.covers(about)).max_by_key(|h| h.until);
        match (end, held) {
            _ if kind == Kind::Program => Due::Keep { until: None, why: Stays::Program },
            (Some((at, _)), Some(hold)) if at < hold.until => {
                Due::Keep { until: Some(hold.until), why: Stays::Held(hold.id) }
            }
            (Some((at, why)), _) if now >= at => Due::Go { since: at, why },
            (Some((at, _)), _) => Due::Keep { until: Some(at), why: Stays::Term },
            (None, _) => Due::Keep { until: None, why: Stays::InUse },
        }
    }
}

fn earlier(a: Option<(Time, Goes)>, b: Option<(Time, Goes)>) -> Option<(Time, Goes)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// TOML's message in one line.
pub(crate) fn said(e: &toml::de::Error) -> String {
    e.message().lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
