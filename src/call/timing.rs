//! How long each part of a turn took, as the gateway saw it. Numbers only, never words.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Why a turn was taken to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Finished,
    Unsure,
    Unfinished,
    /// A key was pressed.
    Key,
    /// The caller wrote it.
    Typed,
    /// The caller clicked.
    Click,
    /// The privacy desk took consent back.
    Request,
    /// The caller said nothing.
    Silence,
    /// Noise or music covered the line.
    Noise,
}

impl Judgement {
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Unsure => "unsure",
            Self::Unfinished => "unfinished",
            Self::Key => "key",
            Self::Typed => "typed",
            Self::Click => "click",
            Self::Request => "request",
            Self::Silence => "silence",
            Self::Noise => "noise",
        }
    }
}

/// One turn; every time is milliseconds after the caller's last speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    pub turn: u32,
    pub judgement: Judgement,
    /// The draft began: recognition was asked for.
    pub draft_ms: Option<u32>,
    /// The text was there.
    pub heard_ms: Option<u32>,
    /// The turn detector had scored.
    pub scored_ms: Option<u32>,
    /// The turn was taken to be over.
    pub committed_ms: u32,
    /// The agent's first frame went out, be it a filler's.
    pub first_frame_ms: Option<u32>,
    /// The first frame of the answer itself went out, after an opener ("Of course.") where there is one.
    #[serde(default)]
    pub content_ms: Option<u32>,
    /// "One moment, please" came before the answer.
    #[serde(default)]
    pub filler: bool,
    /// How much of that was neither silence waited for nor a language model's: text, score or sound came late.
    #[serde(default)]
    pub late_ms: u32,
    /// The caller spoke while the agent did.
    pub barge_in: bool,
}

impl TurnRecord {
    /// Of a turn that no engine had to hear.
    pub fn at_once(judgement: Judgement, committed_ms: u32, barge_in: bool) -> Self {
        Self {
            turn: 0,
            judgement,
            draft_ms: None,
            heard_ms: None,
            scored_ms: None,
            committed_ms,
            first_frame_ms: None,
            content_ms: None,
            filler: false,
            late_ms: 0,
            barge_in,
        }
    }
}

/// Milliseconds from `start` to `end`, none where the order is reversed.
pub fn ms_between(start: Instant, end: Instant) -> u32 {
    ms(end.saturating_duration_since(start))
}

pub fn ms(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}
