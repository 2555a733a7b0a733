//! An erasure from the asking to the proof: what is to be done next, and what was done. It does none of
//! it itself, and holds no content.
//!
//! The driver asks [`Job::next`], writes the job, does that step, reports it with [`Job::done`] or
//! [`Job::failed`], and writes the job again. Every step may be done twice: whoever is killed anywhere
//! between reads the job back and goes on.

mod fan;
mod job;

use serde::{Deserialize, Serialize};

use crate::retention::Term;
use crate::roles::{Action, Actor, By, NotAllowed, random_name};
use crate::{CallId, Time};

pub use fan::{Fan, FanState, Receipt, ReceiptBy};
pub use job::{Job, OutOfStep};

random_name! {
    /// One erasure. Connected systems get it too: an order with a known name is the same order.
    JobId
}

/// How far an erasure has come, in order. None is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Asked,
    /// What there is of the subject is known.
    Found,
    /// Nothing is written or read of it any more, so what was counted now is what goes.
    Frozen,
    /// From here on nothing can be undone.
    KeysDestroyed,
    RowsDeleted,
    FilesDeleted,
    /// Neither the database nor its log has a trace of the rows.
    DatabaseCompacted,
    /// Every system that received data has answered that it is gone there.
    FannedOut,
    Proven,
    Done,
}

pub const STAGES: [Stage; 10] = [
    Stage::Asked,
    Stage::Found,
    Stage::Frozen,
    Stage::KeysDestroyed,
    Stage::RowsDeleted,
    Stage::FilesDeleted,
    Stage::DatabaseCompacted,
    Stage::FannedOut,
    Stage::Proven,
    Stage::Done,
];

impl Stage {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Found => "found",
            Self::Frozen => "frozen",
            Self::KeysDestroyed => "keys_destroyed",
            Self::RowsDeleted => "rows_deleted",
            Self::FilesDeleted => "files_deleted",
            Self::DatabaseCompacted => "database_compacted",
            Self::FannedOut => "fanned_out",
            Self::Proven => "proven",
            Self::Done => "done",
        }
    }
}

/// What is to be done now. Each may be asked for more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Count what there is of the subject.
    Find,
    /// Refuse every write and read of the subject, then count again.
    Freeze,
    DestroyKeys,
    DeleteRows,
    DeleteFiles,
    /// Checkpoint, truncate and vacuum.
    Compact,
    /// Tell this system to erase, under the job's name.
    Send {
        destination: String,
    },
    /// Sign the proof and write it.
    Prove,
    /// Tell whoever asked.
    Finish,
    /// Nothing before then.
    Wait {
        until: Time,
    },
    /// A legal hold stops it; look again then, or when the hold is released.
    Held {
        hold: crate::retention::HoldId,
        until: Time,
    },
    /// It is done.
    Nothing,
}

/// What there is of a subject: names and numbers, no content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Rows by table.
    pub rows: std::collections::BTreeMap<String, u64>,
    pub files: u64,
    /// Names of the keys that will be destroyed.
    pub keys: Vec<String>,
    /// Its calls, as holds know them.
    pub calls: Vec<CallId>,
    /// Systems that received data, by the transfer log.
    pub destinations: std::collections::BTreeSet<String>,
}

/// That a step was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Found(Inventory),
    /// As counted when nothing changed any more.
    Frozen(Inventory),
    KeysDestroyed,
    RowsDeleted,
    FilesDeleted,
    Compacted,
    /// The system has taken the order, and not yet answered that it is done.
    Sent {
        destination: String,
    },
    /// It answered that the data is gone there.
    Receipt {
        destination: String,
        receipt: Receipt,
    },
    /// It will not. `code` is its answer's status.
    Refused {
        destination: String,
        code: u16,
    },
    /// `hash` is the SHA-256 of the signed document.
    Proven {
        hash: String,
    },
    Finished,
}

/// What somebody must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "alarm", rename_all = "snake_case")]
pub enum Alarm {
    /// A connected system refuses: the erasure stays open until it gives in, or an officer has its receipt by hand.
    Refused { destination: String, code: u16, since: Time },
    /// A connected system took the order more than once and says nothing.
    NoReceipt { destination: String, orders: u32 },
    /// A connected system cannot be reached.
    Unreachable { destination: String, attempts: u32 },
    /// A step of our own fails again and again.
    Failing { after: Stage, attempts: u32 },
    /// The term is near.
    Near { deadline: Time },
    /// The term is over.
    Overdue { deadline: Time },
}

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    Subject,
    /// The tenant's system, by the API.
    System,
    Staff(By),
}

impl AskedBy {
    /// # Errors
    /// Where this role may not.
    pub fn staff(who: &Actor) -> Result<Self, NotAllowed> {
        who.check(Action::AskErasure)?;
        Ok(Self::Staff(who.by()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    #[error("[erasure] cannot be read: {0}")]
    Unreadable(String),
    #[error("[erasure] term = \"{0}\": the law gives 30 days at most; set it to \"30 days\" or less")]
    TooLong(Term),
    #[error("[erasure] alarm_before = \"{0}\" is not shorter than term = \"{1}\": shorten it")]
    AlarmTooEarly(Term, Term),
    #[error("[erasure] {0} must be from {1} to {2}")]
    OutOfRange(&'static str, u32, u32),
}

/// `[erasure]` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// From the asking to the end.
    pub term: Term,
    /// Somebody is told so long before the term is over.
    pub alarm_before: Term,
    /// What failed is tried again after this, then after twice as long each time.
    pub retry_s_first: u32,
    pub retry_s_max: u32,
    /// A system that took the order has so long to answer before it gets it again.
    pub receipt_s_max: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            term: Term::days(15),
            alarm_before: Term::days(3),
            retry_s_first: 60,
            retry_s_max: 6 * 3600,
            receipt_s_max: 24 * 3600,
        }
    }
}

/// The law's, in days of 24 hours.
const TERM_MOST: Term = Term::days(30);

impl Rules {
    /// # Errors
    /// Where a key is unknown, or a value cannot be read or makes no sense.
    pub fn read(table: &toml::Table) -> Result<Self, BadRules> {
        let read = table.clone().try_into();
        let read: Self = read.map_err(|e: toml::de::Error| BadRules::Unreadable(crate::retention::said(&e)))?;
        read.checked()
    }

    /// # Errors
    /// Where a value makes no sense.
    pub fn checked(self) -> Result<Self, BadRules> {
        if self.term.longer_than(TERM_MOST) {
            return Err(BadRules::TooLong(self.term));
        }
        if !self.term.longer_than(self.alarm_before) {
            return Err(BadRules::AlarmTooEarly(self.alarm_before, self.term));
        }
        for (name, value, least, most) in [
            ("retry_s_first", self.retry_s_first, 1, 3600),
            ("retry_s_max", self.retry_s_max, self.retry_s_first, 86_400),
            ("receipt_s_max", self.receipt_s_max, 60, 7 * 86_400),
        ] {
            if !(least..=most).contains(&value) {
                return Err(BadRules::OutOfRange(name, least, most));
            }
        }
        Ok(self)
    }

    /// How long to wait after so many failures in a row.
    fn backoff_ms(&self, failures: u32) -> i64 {
        let doubled = u64::from(self.retry_s_first) << failures.saturating_sub(1).min(20);
        i64::from(self.retry_s_max).min(i64::try_from(doubled).unwrap_or(i64::MAX)) * 1000
    }
}

#[cfg(test)]
mod tests;
