//! The seams between the gateway and the speech engines: what a caller's line can ask for and gets back.
//! Nothing here runs a model, starts a thread or reads a clock.

use media::{Frame, FramePool, MediaTime};
use std::sync::Arc;
use std::time::Instant;

/// Called from an engine's thread when `poll()` has something new. Must be cheap and must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The asker's own number for one request; the answer carries it back.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash, Ord, PartialOrd)]
pub struct Job(pub u64);

/// When an answer is wanted. Engines work off what is least by this order, so the asker's clock decides, not theirs.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash, Ord, PartialOrd)]
pub enum Due {
    /// Somebody waits for it from then on.
    By(Instant),
    /// Of use by then, but nobody waits: partial texts.
    Maybe(Instant),
    /// For later calls: clips.
    Idle,
}

/// Longest utterance a recognizer keeps, ms. Older audio is dropped.
pub const UTTERANCE_MS_MAX: u32 = 30_000;

/// Most clauses a synthesizer line holds, spoken and unspoken together.
pub const CLAUSES_MAX: usize = 8;

/// Longest text of one clause, characters.
pub const CLAUSE_CHARS_MAX: usize = 600;

/// One caller's line to a recognition engine; the engine is a thread with a bounded job queue.
pub trait Recognizer: Send {
    /// Appends 20 ms of caller audio to the utterance.
    ///
    /// # Errors
    /// `Overflow` once per utterance, when audio older than [`UTTERANCE_MS_MAX`] begins to be dropped.
    fn push(&mut self, frame: &Frame) -> Result<(), RecognizerError>;

    /// Asks for the text of everything since the last `reset`. A newer job replaces one that has not started; one that
    /// somebody waits for also stops a started one that nobody does.
    ///
    /// # Errors
    /// `Busy` when the engine's queue is full: ask again a little later.
    fn recognize(&mut self, job: Job, due: Due) -> Result<(), RecognizerError>;

    /// Forgets a job, started or not: it never answers. The audio stays.
    fn give_up(&mut self, job: Job);

    /// The next finished job, oldest first. Results from before the last `reset` never appear.
    fn poll(&mut self) -> Option<Heard>;

    /// Forgets all but the last `keep_ms` of audio and cancels jobs.
    fn reset(&mut self, keep_ms: u32);
}

/// What a recognizer made of the utterance so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The job that asked.
    pub job: Job,
    /// Plain text, trimmed; empty when nothing was said.
    pub text: String,
    /// How much audio the text covers, ms.
    pub audio_ms: u32,
    /// Why there is no text.
    pub failed: Option<RecognizerError>,
}

/// Why a recognizer cannot serve.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecognizerError {
    /// The utterance outgrew its buffer; the oldest audio is being dropped.
    #[error("the utterance is longer than 30 s; its beginning is dropped")]
    Overflow,
    /// The engine's queue is full.
    #[error("the recognition engine is busy; ask again shortly")]
    Busy,
    /// The engine could not finish this job; the next one may succeed.
    #[error("the recognition engine failed on this utterance; later ones may succeed")]
    Engine,
}

/// A clause of one utterance of the agent.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash, Ord, PartialOrd)]
pub struct ClauseId {
    /// Number of the utterance within the call.
    pub utterance: u64,
    /// Place of the clause within the utterance.
    pub index: u16,
}

/// One caller's line to a synthesis engine. Clauses come back in the order said.
pub trait Synthesizer: Send {
    /// Queues a clause; text that is ready as a clip costs nothing.
    ///
    /// # Errors
    /// `Full` when [`CLAUSES_MAX`] clauses wait, `TooLong` past [`CLAUSE_CHARS_MAX`], `Busy` when the engine's queue is full.
    fn say(&mut self, clause: ClauseId, text: &str, due: Due) -> Result<(), SynthesizerError>;

    /// The next frame in order, stamped `at`, as soon as it is ready; then the clause's end.
    /// Returns `None` without losing anything when the pool has no free frame.
    fn poll(&mut self, at: MediaTime, pool: &mut FramePool) -> Option<Spoken>;

    /// Whether `poll` would yield something now.
    fn ready(&self) -> bool;

    /// How long the clause lasts, once all of it is made and until its end was handed out.
    fn length_ms(&self, clause: ClauseId) -> Option<u32>;

    /// Drops every clause of the utterance, spoken or not.
    fn cancel(&mut self, utterance: u64);
}

/// What a synthesizer gives back.
#[derive(Clone)]
pub enum Spoken {
    /// 20 ms of the clause.
    Frame {
        /// The clause it belongs to.
        clause: ClauseId,
        /// The audio; the last frame of a clause is padded with silence.
        frame: Frame,
    },
    /// The clause is complete.
    End {
        /// The finished clause.
        clause: ClauseId,
    },
    /// The clause could not be spoken, or not to its end.
    Failed {
        /// The clause that broke.
        clause: ClauseId,
        /// Why.
        error: SynthesizerError,
    },
}

/// Why a synthesizer cannot serve.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SynthesizerError {
    /// Too many clauses wait on this line.
    #[error("8 clauses are waiting already; poll before saying more")]
    Full,
    /// The clause is too long.
    #[error("the clause is longer than 600 characters; split it")]
    TooLong,
    /// The engine's queue is full.
    #[error("the synthesis engine is busy; say it again shortly")]
    Busy,
    /// The engine could not speak this clause; the next one may succeed.
    #[error("the synthesis engine failed on this clause; later ones may succeed")]
    Engine,
}

/// Tells speech from everything else, frame by frame; synchronous and cheap.
pub trait Vad: Send {
    /// Speech probability of the frame, 0..=1. Holds the last four frames at most.
    fn push(&mut self, frame: &Frame) -> f32;
    /// Forgets the past.
    fn reset(&mut self);
}

/// Scores from audio alone whether the caller has finished; fusing that with text and silence is the gateway's.
pub trait TurnDetector: Send {
    /// Appends 20 ms of caller audio; only the last 8 s are kept.
    fn push(&mut self, frame: &Frame);

    /// Asks for a score of what was pushed so far. A newer job replaces one that has not started.
    ///
    /// # Errors
    /// `Busy` when the engine's queue is full: go by silence alone.
    fn score(&mut self, job: Job, due: Due) -> Result<(), TurnError>;

    /// Forgets a job, started or not: it never answers. The audio stays.
    fn give_up(&mut self, job: Job);

    /// The next finished score, oldest first. Results from before the last `reset` never appear.
    fn poll(&mut self) -> Option<Scored>;

    /// Forgets the audio and cancels jobs.
    fn reset(&mut self);
}

/// A turn detector's opinion.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Scored {
    /// The job that asked.
    pub job: Job,
    /// Probability that the caller has finished, 0..=1; 0.5 when the engine failed.
    pub finished: f32,
}

/// Why a turn detector cannot serve.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// The engine's queue is full.
    #[error("the turn engine is busy; go by silence alone")]
    Busy,
}
