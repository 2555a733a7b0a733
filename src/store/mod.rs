//! What is kept. Words only against a `Permit`; metadata has a type that cannot hold words.
//! Calls never wait for the disk: writes go through one bounded queue.

mod sqlite;

use serde::Serialize;

use crate::call::{CallId, Line, TurnRecord};
use crate::clock;
use crate::privacy::{ConsentState, Permit};

pub use sqlite::{OpenError, Sqlite, StoreError};

/// Writes that wait for the disk at most.
pub const QUEUE: usize = 1024;

/// The queue is full: the line is lost, and the next one that fits is preceded by a gap row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store's queue is full; this line is not kept")]
pub struct Full;

pub trait TranscriptStore: Send + Sync {
    /// Keeps a line of the call that the permit is for.
    fn append(&self, permit: &Permit<'_>, line: Line) -> Result<(), Full>;
    /// Says that `lost` lines are missing at this time of the call.
    fn append_gap(&self, permit: &Permit<'_>, at_ms: u32, lost: u32) -> Result<(), Full>;
    /// Destroys every kept line of the call, also those still queued.
    fn purge(&self, call: CallId);
    /// Keeps metadata. A full queue costs the record, not the call.
    fn record(&self, record: CallRecord) -> Result<(), Full>;
}

/// What is kept of every call: no words, no numbers, no addresses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallRecord {
    #[serde(serialize_with = "as_hex")]
    pub id: CallId,
    /// Name of the agent's file, without folder and ending.
    pub agent: String,
    pub direction: Direction,
    /// Name of the `[[trunk]]` or `[[register]]` it came by; none: a stranger's.
    pub trunk: Option<String>,
    pub started_unix_ms: i64,
    /// None while the call goes on.
    pub ended_unix_ms: Option<i64>,
    pub codec: String,
    /// `calling`, `active`, or why the call ended.
    pub state: String,
    pub consent: String,
    pub media: MediaRecord,
    pub turns: Vec<TurnRecord>,
}

impl CallRecord {
    /// A call that begins now.
    pub fn new(id: CallId, agent: &str, line: &LineInfo) -> Self {
        Self {
            id,
            agent: agent.into(),
            direction: line.direction,
            trunk: line.trunk.clone(),
            started_unix_ms: clock::unix_ms(),
            ended_unix_ms: None,
            codec: String::new(),
            state: "calling".into(),
            consent: ConsentState::None.to_string(),
            media: MediaRecord::default(),
            turns: vec![],
        }
    }
}

/// By which way a call came about.
#[derive(Debug, Clone, Default)]
pub struct LineInfo {
    pub direction: Direction,
    pub trunk: Option<String>,
}

/// Who called whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Somebody called us.
    #[default]
    Inbound,
    /// We called somebody.
    Outbound,
}

impl Direction {
    pub fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// What the network did to the call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct MediaRecord {
    pub packets_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    pub frames_concealed: u64,
    pub jitter_ms: f32,
    pub packets_sent: u64,
}

fn as_hex<S: serde::Serializer>(id: &CallId, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(id)
}

/// One row of a transcript as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    Line {
        at_ms: u32,
        speaker: String,
        text: String,
    },
    /// This many lines could not be kept here.
    Gap {
        at_ms: u32,
        lost: u32,
    },
}
