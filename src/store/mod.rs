//! What is kept. Words only against a `Permit`; metadata has a type that cannot hold words.
//! Calls never wait for the disk: writes go through one bounded queue.

pub mod db;
pub mod migrate;
pub mod register;
pub mod rows;

use ::privacy::consent::{ConsentEvent, Permit};
use ::privacy::seal::Plain;
use ::privacy::{Scopes, SubjectId};
use serde::Serialize;
use zeroize::Zeroize as _;

use crate::call::{AnsweredBy, CallId, Line, Speaker, TurnRecord};
use crate::clock;
use crate::dialogue::Done;

/// Writes that wait for the disk at most.
pub const QUEUE: usize = 1024;

/// The queue is full, and this is not kept. After a lost line, the next one that fits is preceded by a gap row;
/// after a lost consent event nothing may be kept under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store's queue is full; this is not kept")]
pub struct Full;

/// What a call may hand over to be kept. Nothing waits here, and everything is done in the order it came.
pub trait TranscriptStore: Send + Sync {
    /// Keeps a step of consent. It has to come before what is kept under it, or that is not kept.
    fn event(&self, event: ConsentEvent) -> Result<(), Full>;
    /// Keeps a line of the call that the permit is for.
    fn append(&self, permit: &Permit<'_>, line: Line) -> Result<(), Full>;
    /// Says that `lost` lines are missing at this time of the call.
    fn append_gap(&self, permit: &Permit<'_>, at_ms: u32, lost: u32) -> Result<(), Full>;
    /// Keeps a stretch of one leg's sound. Stretches are counted from 0 and, one behind the other, are one Ogg
    /// Opus stream (RFC 7845): the first begins with its headers.
    fn audio(&self, permit: &Permit<'_>, leg: Speaker, seq: u64, duration_ms: u32, opus: Plain) -> Result<(), Full>;
    /// Destroys what was kept of the call under these scopes, also what is still queued, and its keys.
    fn purge(&self, call: CallId, scopes: &Scopes);
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
    /// Whose call it is, by pseudonym.
    pub subject: Option<SubjectId>,
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
            subject: line.subject,
            started_unix_ms: clock::unix_ms(),
            ended_unix_ms: None,
            codec: String::new(),
            security: String::new(),
            state: "calling".into(),
            consent: "none".into(),
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
    /// Whose call it is: `Vault::subject_of` the caller's or called number or the page's person.
    pub subject: Option<SubjectId>,
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
    pub fn parse(word: &str) -> Self {
        if word == "outbound" { Self::Outbound } else { Self::Inbound }
    }

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

/// One row of a transcript as it is read back. Debug prints no words.
#[derive(Clone, PartialEq, Eq, Serialize)]
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

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line { at_ms, speaker, .. } => write!(f, "Line({speaker} at {at_ms} ms)"),
            Self::Gap { at_ms, lost } => write!(f, "Gap({lost} at {at_ms} ms)"),
        }
    }
}

/// Words that were opened are wiped when nobody looks at them any more.
impl Drop for Row {
    fn drop(&mut self) {
        if let Self::Line { text, .. } = self {
            text.zeroize();
        }
    }
}
