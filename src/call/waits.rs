//! How long a call waits for its engines, for the metrics: from asking to the first answer. It decides nothing.

use std::time::Instant;

use metrics::Histogram;
use models::Job;

/// What a call has asked for and not got yet. One of each: a newer job is what is then waited for.
pub struct Waits {
    text: (Option<(Job, Instant)>, Histogram),
    score: (Option<(Job, Instant)>, Histogram),
    speech: (Option<Instant>, Histogram),
}

impl Default for Waits {
    fn default() -> Self {
        let engine = |name: &'static str| metrics::histogram!("dauys_engine_wait_seconds", "engine" => name);
        Self { text: (None, engine("recognition")), score: (None, engine("turn")), speech: (None, engine("synthesis")) }
    }
}

impl Waits {
    /// The text of a job is wanted from now on.
    pub fn text_asked(&mut self, now: Instant, job: Job) {
        self.text.0 = Some((job, now));
    }

    pub fn score_asked(&mut self, now: Instant, job: Job) {
        self.score.0 = Some((job, now));
    }

    pub fn heard(&mut self, now: Instant, job: Job) {
        answered(&mut self.text, now, job);
    }

    pub fn scored(&mut self, now: Instant, job: Job) {
        answered(&mut self.score, now, job);
    }

    /// The clause that comes next was asked for, and is not there yet.
    pub fn speech_asked(&mut self, now: Instant) {
        self.speech.0 = Some(now);
    }

    /// Its first sound is there.
    pub fn speech_ready(&mut self, now: Instant) {
        if let Some(asked) = self.speech.0.take() {
            self.speech.1.record(now.saturating_duration_since(asked));
        }
    }

    /// Nobody wants the speech any more.
    pub fn speech_given_up(&mut self) {
        self.speech.0 = None;
    }
}

fn answered((asked, histogram): &mut (Option<(Job, Instant)>, Histogram), now: Instant, job: Job) {
    if let Some((_, at)) = asked.take_if(|(asked, _)| *asked == job) {
        histogram.record(now.saturating_duration_since(at));
    }
}
