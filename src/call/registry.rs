//! The calls in progress, as metadata, for the API and for admission. It holds no words and no handles.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::privacy::consent::State;

use crate::call::{AnsweredBy, CallId, EndCause, TurnRecord};
use crate::clock;
use crate::dialogue::Done;
use crate::store::{CallRecord, LineInfo, MediaRecord};

/// Turns that a record keeps at most; a longer call keeps its last ones.
const TURNS_MAX: usize = 500;
/// Completed forms that a record keeps at most.
const OUTCOMES_MAX: usize = 50;

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
    /// Forms completed so far, also those that the record has no room for.
    outcomes: usize,
}

impl Summary {
    /// Of a call whose other side has answered, or was.
    pub fn new(id: CallId, agent: &str, codec: &str, line: &LineInfo) -> Self {
        let record = CallRecord { codec: codec.into(), state: "active".into(), ..CallRecord::new(id, agent, line) };
        Self { id, record, outcomes: 0 }
    }

    /// How its media is protected: `none`, `sdes` or `dtls`.
    pub fn security(&mut self, word: &str) {
        self.record.security = word.into();
    }

    pub fn record(&self) -> CallRecord {
        self.record.clone()
    }

    pub fn turn(&mut self, turn: TurnRecord) {
        let seconds = |ms: u32| f64::from(ms) / 1000.0;
        metrics::counter!("dauys_turns_total", "judgement" => turn.judgement.word()).increment(1);
        metrics::histogram!("dauys_turn_lateness_seconds").record(seconds(turn.late_ms));
        if let (Some(asked), Some(heard)) = (turn.draft_ms, turn.heard_ms) {
            metrics::histogram!("dauys_recognition_seconds").record(seconds(heard.saturating_sub(asked)));
            if let Some(content) = turn.content_ms {
                metrics::histogram!("dauys_turn_seconds").record(seconds(content));
            }
        }
        if turn.filler {
            metrics::counter!("dauys_fillers_total").increment(1);
        }
        if self.record.turns.len() >= TURNS_MAX {
            self.record.turns.remove(0);
        }
        self.record.turns.push(turn);
    }

    pub fn answered_by(&mut self, by: AnsweredBy) {
        self.record.answered_by = Some(by);
    }

    /// Which of the call's outcomes it is, from 0.
    pub fn outcome(&mut self, done: Done) -> usize {
        let number = self.outcomes;
        self.outcomes += 1;
        let (form, kind) = (done.form.clone(), done.kind.word());
        metrics::counter!("dauys_outcomes_total", "form" => form, "kind" => kind).increment(1);
        if self.record.outcomes.len() < OUTCOMES_MAX {
            self.record.outcomes.push(done);
        }
        number
    }

    pub fn agent(&self) -> &str {
        &self.record.agent
    }

    pub fn media(&mut self, media: MediaRecord) {
        self.record.media = media;
    }

    /// A re-INVITE agreed on another one.
    pub fn codec(&mut self, codec: &str) {
        self.record.codec = codec.into();
    }

    pub fn consent(&mut self, state: State) {
        self.record.consent = state.to_string();
    }

    pub fn end(&mut self, cause: EndCause) {
        self.record.state = cause.word().into();
        self.record.ended_unix_ms = Some(clock::unix_ms());
        metrics::counter!("dauys_calls_total", "outcome" => cause.word()).increment(1);
        let media = &self.record.media;
        if let Some(mos) = media.mos {
            let band = if media.wideband { "wide" } else { "narrow" };
            metrics::histogram!("dauys_call_mos", "band" => band).record(f64::from(mos));
            metrics::histogram!("dauys_call_loss_ratio").record(f64::from(media.loss_percent) / 100.0);
            metrics::histogram!("dauys_call_jitter_seconds").record(f64::from(media.jitter_ms) / 1000.0);
        }
    }
}
