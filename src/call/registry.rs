//! The calls in progress, as metadata, for the API and for admission. It holds no words and no handles.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use media::LegStats;

use crate::call::{CallId, EndCause, TurnRecord};
use crate::clock;
use crate::privacy::ConsentState;
use crate::store::{CallRecord, LineInfo, MediaRecord};

/// Turns that a record keeps at most; a longer call keeps its last ones.
const TURNS_MAX: usize = 500;

#[derive(Default)]
pub struct Registry {
    calls: Mutex<HashMap<CallId, CallRecord>>,
}

impl Registry {
    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, CallRecord>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn update(&self, record: CallRecord) {
        let mut calls = self.calls();
        calls.insert(record.id, record);
        metrics::gauge!("dauys_calls_active").set(calls.len() as f64);
    }

    pub fn ended(&self, id: CallId) {
        let mut calls = self.calls();
        calls.remove(&id);
        metrics::gauge!("dauys_calls_active").set(calls.len() as f64);
    }

    pub fn active(&self) -> Vec<CallRecord> {
        self.calls().values().cloned().collect()
    }

    pub fn get(&self, id: CallId) -> Option<CallRecord> {
        self.calls().get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.calls().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The growing record of one call.
pub struct Summary {
    pub id: CallId,
    record: CallRecord,
}

impl Summary {
    /// Of a call whose other side has answered, or was.
    pub fn new(id: CallId, agent: &str, codec: &str, line: &LineInfo) -> Self {
        let record = CallRecord { codec: codec.into(), state: "active".into(), ..CallRecord::new(id, agent, line) };
        Self { id, record }
    }

    pub fn record(&self) -> CallRecord {
        self.record.clone()
    }

    pub fn turn(&mut self, turn: TurnRecord) {
        let seconds = |ms: u32| f64::from(ms) / 1000.0;
        metrics::counter!("dauys_turns_total", "judgement" => turn.judgement.word()).increment(1);
        if let (Some(asked), Some(heard)) = (turn.draft_ms, turn.heard_ms) {
            metrics::histogram!("dauys_recognition_seconds").record(seconds(heard.saturating_sub(asked)));
            if let Some(first) = turn.first_frame_ms {
                metrics::histogram!("dauys_turn_seconds").record(seconds(first));
            }
        }
        if self.record.turns.len() >= TURNS_MAX {
            self.record.turns.remove(0);
        }
        self.record.turns.push(turn);
    }

    pub fn media(&mut self, stats: &LegStats) {
        self.record.media = MediaRecord {
            packets_received: stats.packets_received,
            packets_lost: stats.packets_lost.max(0).unsigned_abs(),
            packets_late: stats.late,
            frames_concealed: stats.concealed_frames,
            jitter_ms: stats.jitter_ms,
            packets_sent: stats.packets_sent,
        };
    }

    pub fn consent(&mut self, state: ConsentState) {
        self.record.consent = state.to_string();
    }

    pub fn end(&mut self, cause: EndCause) {
        self.record.state = cause.word().into();
        self.record.ended_unix_ms = Some(clock::unix_ms());
        metrics::counter!("dauys_calls_total", "outcome" => cause.word()).increment(1);
    }
}
