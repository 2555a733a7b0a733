//! What is kept. Words only against a `Permit`; metadata has a type that cannot hold words.
//! Calls never wait for the disk: writes go through one bounded queue.

mod sqlite;

use serde::Serialize;

use crate::call::{AnsweredBy, CallId, Line, TurnRecord};
use crate::clock;
use crate::dialogue::Done;
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
    /// How its media was protected at the start: `none`, `sdes` or `dtls`.
    pub security: String,
    /// `calling`, `active`, or why the call ended.
    pub state: String,
    pub consent: String,
    pub media: MediaRecord,
    pub turns: Vec<TurnRecord>,
    /// Of a call of ours: who answered; none where nobody did, or nobody looked.
    pub answered_by: Option<AnsweredBy>,
    /// The forms that were completed, in order.
    pub outcomes: Vec<Done>,
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
            security: String::new(),
            state: "calling".into(),
            consent: ConsentState::None.to_string(),
            media: MediaRecord::default(),
            turns: vec![],
            answered_by: None,
            outcomes: vec![],
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

/// What the network did to the call, and how it sounded. A later version reads what an earlier one wrote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct MediaRecord {
    pub packets_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    /// Lost, and brought back from redundancy in the next one.
    pub packets_recovered: u64,
    /// From strangers, forged, repeated, or nothing we know.
    pub packets_refused: u64,
    pub frames_concealed: u64,
    pub jitter_ms: f32,
    /// Of the jitter buffer.
    pub delay_ms: u32,
    pub round_trip_ms: Option<u32>,
    /// Of the packets whose time had come: those that were not there.
    pub loss_percent: f32,
    /// Mean length of bursts of loss (RFC 3611).
    pub burst_ms: u32,
    /// Conversational quality, 1 to 4.5, by the E-model (ITU-T G.107).
    pub mos: Option<f32>,
    /// `mos` is on the wideband scale.
    pub wideband: bool,
    pub packets_sent: u64,
    /// How we arrive there, as the other side reported last.
    pub remote_loss_percent: Option<f32>,
    pub remote_mos: Option<f32>,
    /// Kinds of trouble there were, each once: see docs/media.md.
    pub trouble: Vec<String>,
    /// The agent's own voice came back.
    pub echo: Option<EchoRecord>,
}

/// What is known of an echo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EchoRecord {
    pub delay_ms: Option<u32>,
    /// How much weaker it comes back than it went.
    pub return_loss_db: Option<f32>,
    /// How much of it is taken out.
    pub enhancement_db: Option<f32>,
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
