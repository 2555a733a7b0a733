//! The call's hands: moves frames between its leg and its engines every 20 ms, and does what `Call` wants.
//! It lives on one media shard for life; it decides nothing and never blocks.

mod keeping;
mod leaving;
mod paging;
mod speaking;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::privacy::Scope;
use ::privacy::consent::{ConsentEvent, ConsentGate};
use media::playout::{PLAYOUT_FRAMES, PLAYOUT_KEPT, Playout};
use media::{Digit, Frame, FramePool, LegChange, LegConfig};
use models::{ClauseId, Due, Job, Recognizer, RecognizerError, Synthesizer, SynthesizerError, TurnDetector, Vad};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::call::ear;
use crate::call::live::{Live, Requests};
use crate::call::media::Media;
use crate::call::page::{Link, Page};
use crate::call::recording::Recorder;
use crate::call::registry::{Registry, Summary};
use crate::call::tone::pure_tone_hz;
use crate::call::voicing::Voicing;
use crate::call::waits::Waits;
use crate::call::{Action, Call, CallId, Effect, EndCause, PromptLine, Speaker};
use crate::egress::Egress;
use crate::net::shard::Road;
use crate::store::TranscriptStore;
use crate::strain::SharedStrain;

/// Frames kept between synthesizer and wire: enough for a late tick, few enough to fall silent at once.
const PLAYOUT_AHEAD: usize = 3;

/// Audio kept while nobody speaks, for soft first sounds: more than the call asks to keep when speech begins.
const WAITING_MS: u32 = 500;
/// So many frames after a key's tone its end still sounds like speech to the detector.
const TONE_ECHO_FRAMES: u8 = 15;

/// What reaches a call from outside its shard. When the sender is dropped, the caller is gone.
pub enum CallInput {
    Digit(char),
    Transferred,
    TransferFailed,
    Renegotiated(Box<LegChange>),
    /// A page talks from now on, or over another leg than before.
    Leg(Box<LegConfig>, Road),
    /// A page reads and writes from now on, or by another link than before.
    Away(Link),
    HangUp(EndCause),
}

/// What a call asks of its signalling side.
pub enum Signal {
    HangUp,
    Transfer(String),
}

/// What a language model sends back; the queue holds eight clauses.
pub enum Thought {
    Clause { utterance: u64, text: String },
    End { utterance: u64 },
    Failed { utterance: u64 },
}

/// Starts a thought and gives the queue it arrives on; dropping the queue cancels it. None: it may not hear this.
pub type Think = Arc<dyn Fn(Option<&ConsentGate>, u64, &[PromptLine]) -> Option<mpsc::Receiver<Thought>> + Send + Sync>;

/// Lets the language model read a prompt ahead; dropping what it gives cancels it. None: it may not hear this.
pub type Warm = Arc<dyn Fn(Option<&ConsentGate>, &[PromptLine]) -> Option<oneshot::Sender<()>> + Send + Sync>;

/// The engines' lines of one call.
pub struct Lines {
    pub recognizer: Box<dyn Recognizer>,
    pub synthesizer: Box<dyn Synthesizer>,
    pub vad: Box<dyn Vad>,
    pub turn: Box<dyn TurnDetector>,
}

/// What the call's surroundings do for it.
pub struct Surroundings {
    pub store: Arc<dyn TranscriptStore>,
    pub registry: Arc<Registry>,
    /// Where the privacy desk reaches it.
    pub live: Arc<Live>,
    pub strain: SharedStrain,
    pub think: Option<Think>,
    pub warm: Option<Warm>,
    /// The way to other systems; none: there is none.
    pub egress: Option<Egress>,
    /// Tells the signalling side; must not block.
    pub signal: Box<dyn Fn(Signal) + Send>,
    /// The call's place among `calls.max`, given back when the call is gone.
    pub place: tokio::sync::OwnedSemaphorePermit,
}

/// Sends a datagram now or not at all; RTCP takes the second socket.
pub trait Wire {
    fn send_rtp(&self, datagram: &[u8], to: SocketAddr);
    fn send_rtcp(&self, datagram: &[u8], to: SocketAddr);
}

/// A clause on its way through the playout.
struct AtPlayout {
    clause: ClauseId,
    /// Frames of it that the synthesizer gave.
    frames: u32,
    length_ms: Option<u32>,
}

pub struct Driver {
    id: CallId,
    call: Call,
    /// None: the page reads and writes.
    media: Option<Media>,
    page: Option<Page>,
    /// A new one, until the shard takes it.
    road: Option<Road>,
    lines: Lines,
    around: Surroundings,
    inbox: mpsc::Receiver<CallInput>,
    thoughts: Option<mpsc::Receiver<Thought>>,
    /// One at a time; a thought takes its place.
    warming: Option<oneshot::Sender<()>>,
    spoken_pool: FramePool,
    playout: Playout<ClauseId>,
    /// The utterance that may go out; drafts wait.
    released: Option<u64>,
    /// Clauses at the synthesizer, in its order.
    at_synthesizer: VecDeque<ClauseId>,
    /// Clauses it had no room for yet.
    unsaid: VecDeque<(ClauseId, String, Due)>,
    /// Clauses at the playout, and whether the first has begun.
    sounding: VecDeque<AtPlayout>,
    begun: bool,
    /// A recognition the engine had no room for yet.
    unasked: Option<(Job, Due)>,
    /// No utterance has begun.
    waiting: bool,
    /// Frames left in which a key's tone, or its end, is no speech.
    tone_frames: u8,
    voicing: Voicing,
    lost_lines: u32,
    /// From the privacy desk; none: there is no consent to take back, or the call is over.
    requests: Option<Requests>,
    /// Steps of consent for which the store had no room yet; until it has, nothing is kept under them.
    unrecorded: VecDeque<ConsentEvent>,
    /// While the call's sound may be kept.
    recorder: Option<Recorder>,
    no_recorder: bool,
    waits: Waits,
    /// As the strain was told last.
    turn_due: Option<Instant>,
    summary: Summary,
    ended: bool,
}

impl Driver {
    pub fn new(
        now: Instant,
        call: Call,
        leg: impl Into<Option<LegConfig>>,
        lines: Lines,
        around: Surroundings,
        inbox: mpsc::Receiver<CallInput>,
        summary: Summary,
    ) -> Self {
        let requests = call.gate().map(|gate| around.live.join(summary.id, gate.subject()));
        Self {
            id: summary.id,
            call,
            media: leg.into().map(|leg| Media::new(now, summary.id, leg)),
            page: None,
            road: None,
            lines,
            around,
            inbox,
            thoughts: None,
            warming: None,
            spoken_pool: FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 2),
            playout: Playout::new(),
            released: None,
            at_synthesizer: VecDeque::new(),
            unsaid: VecDeque::new(),
            sounding: VecDeque::new(),
            begun: false,
            unasked: None,
            waiting: true,
            tone_frames: 0,
            voicing: Voicing::new(),
            lost_lines: 0,
            requests,
            unrecorded: VecDeque::new(),
            recorder: None,
            no_recorder: false,
            waits: Waits::default(),
            turn_due: None,
            summary,
            ended: false,
        }
    }

    pub fn id(&self) -> CallId {
        self.id
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn start(&mut self, now: Instant) {
        info!(call = %self.id, "call started");
        self.greet_page();
        self.apply(now, Action::Started);
        self.publish();
    }

    /// A datagram from the network, as soon as it is there.
    pub fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        let Some(media) = &mut self.media else { return };
        media.datagram(now, from, bytes);
        if let Some(page) = &mut self.page {
            page.heard(now);
        }
    }

    /// Every 20 ms: in, think, out.
    pub fn tick(&mut self, now: Instant, wire: &dyn Wire) {
        self.record_consents();
        self.read_requests(now);
        self.read_inbox(now);
        self.read_page(now);
        self.listen(now);
        self.engines(now);
        if self.call.deadline().is_some_and(|d| d <= now) {
            self.apply(now, Action::Timeout);
        }
        self.tell_page();
        self.speak(now, wire);
        self.keep_sound(now, false);
        if self.media.as_mut().is_some_and(|media| !media.watch()) {
            self.lost(now);
        }
        self.watch_page(now);
    }

    /// Nothing is to be hoped for from the leg; a page may bring another one.
    fn lost(&mut self, now: Instant) {
        if self.page.is_some() {
            return self.lose_leg();
        }
        self.apply(now, Action::HungUp(EndCause::Lost));
        self.hang_up(now, EndCause::Lost);
    }

    /// An engine has something: do not wait for the tick.
    pub fn engines(&mut self, now: Instant) {
        while let Some(heard) = self.lines.recognizer.poll() {
            self.waits.heard(now, heard.job);
            let action = match heard.failed {
                None => Action::Heard { job: heard.job, text: heard.text },
                Some(_) => Action::NotHeard { job: heard.job },
            };
            self.apply(now, action);
        }
        while let Some(scored) = self.lines.turn.poll() {
            self.waits.scored(now, scored.job);
            self.apply(now, Action::Scored { job: scored.job, finished: scored.finished });
        }
        if self.lines.synthesizer.ready() {
            self.waits.speech_ready(now);
        }
        self.retry(now);
        self.read_thoughts(now);
    }

    fn read_inbox(&mut self, now: Instant) {
        loop {
            match self.inbox.try_recv() {
                Ok(CallInput::Digit(key)) => {
                    if let (Some(digit), Some(media)) = (Digit::from_char(key), &mut self.media) {
                        media.info_digit(now, digit);
                    }
                }
                Ok(CallInput::Transferred) => self.apply(now, Action::Transferred),
                Ok(CallInput::TransferFailed) => self.apply(now, Action::TransferFailed),
                Ok(CallInput::Renegotiated(change)) => {
                    let Some(media) = &mut self.media else { continue };
                    self.summary.codec(change.codec.encoding_name());
                    let held = media.renegotiate(now, *change);
                    self.apply(now, Action::Held(held));
                }
                Ok(CallInput::Leg(config, road)) => self.take_leg(now, *config, road),
                Ok(CallInput::Away(link)) => self.go_away(now, link),
                Ok(CallInput::HangUp(cause)) => {
                    self.apply(now, Action::HungUp(cause));
                    self.finish(now, cause);
                }
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.apply(now, Action::HungUp(EndCause::CallerHungUp));
                    return self.finish(now, EndCause::CallerHungUp);
                }
            }
        }
    }

    fn listen(&mut self, now: Instant) {
        let Some(media) = &mut self.media else { return };
        let heard = media.hear(now);
        for digit in heard.digits.iter() {
            self.apply(now, Action::Digit(digit.as_char()));
        }
        self.record_sound(now, Speaker::Caller, heard.frame.as_ref().map(Frame::samples));
        let Some(frame) = heard.frame else { return };
        let speech = self.lines.vad.push(&frame);
        if heard.tone && self.tone_frames == 0 {
            self.apply(now, Action::Tone);
        }
        // Neither a key's tone nor the agent's own voice is the caller speaking.
        self.tone_frames = if heard.tone { TONE_ECHO_FRAMES } else { self.tone_frames.saturating_sub(1) };
        let speech = if self.tone_frames > 0 { 0.0 } else { heard.echo.callers(speech) };
        // Past thirty seconds the oldest audio goes; the text then begins in the middle, which is all one can do.
        let _ = self.lines.recognizer.push(&frame);
        // A quiet line must not gather thirty seconds of its quiet: that is a megabyte a call.
        if self.waiting && frame.at().as_ms().is_multiple_of(1_000) {
            self.lines.recognizer.reset(WAITING_MS);
        }
        self.lines.turn.push(&frame);
        let sounding = self.sounding_now();
        let dbfs = media::level::rms_dbfs(frame.samples());
        if self.call.listens_for_tones()
            && let Some(hz) = pure_tone_hz(frame.samples())
        {
            self.apply(now, Action::Beep { hz });
        }
        self.voicing.push(frame.samples());
        let pitched = speech >= ear::SPEECH && self.voicing.is_pitched();
        self.apply(now, Action::Frame { at: frame.at(), speech, dbfs, pitched, sounding });
    }

    /// The last words to the other side's statistics.
    pub fn goodbye(&mut self, now: Instant, wire: &dyn Wire) {
        self.tell_page();
        if let Some(media) = &mut self.media {
            media.goodbye(now, wire);
        }
    }

    fn apply(&mut self, now: Instant, action: Action) {
        self.call.apply(now, action);
        while let Some(effect) = self.call.poll() {
            self.effect(now, effect);
        }
        let due = self.call.turn_due();
        if due != self.turn_due {
            self.turn_due = due;
            self.around.strain.get().turn_due(self.id, due);
        }
    }

    fn effect(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Recognize { job, due } => {
                if matches!(due, Due::By(_)) {
                    self.waits.text_asked(now, job);
                }
                self.recognize(now, job, due);
            }
            Effect::Score { job, due } => {
                self.waits.score_asked(now, job);
                // Without a score the turn goes by text and silence.
                let _ = self.lines.turn.score(job, due);
            }
            Effect::GiveUp(job) => {
                self.unasked = self.unasked.filter(|(unasked, _)| *unasked != job);
                self.lines.recognizer.give_up(job);
                self.lines.turn.give_up(job);
            }
            Effect::ForgetAudio { keep_ms } => {
                self.unasked = None;
                self.waiting = keep_ms == 0;
                self.lines.recognizer.reset(keep_ms);
                if keep_ms == 0 {
                    self.lines.turn.reset();
                }
            }
            Effect::Say { clause, text, due } => self.unsaid.push_back((clause, text, due)),
            Effect::Release { utterance } => self.released = Some(utterance),
            Effect::Cancel { utterance } => {
                self.lines.synthesizer.cancel(utterance);
                self.at_synthesizer.retain(|c| c.utterance != utterance);
                if self.at_synthesizer.is_empty() {
                    self.waits.speech_given_up();
                }
                self.unsaid.retain(|(c, ..)| c.utterance != utterance);
            }
            Effect::StopPlayout => {
                self.playout.stop();
                self.sounding.clear();
                self.begun = false;
                self.released = None;
            }
            Effect::Caption(caption) => self.caption(&caption),
            Effect::Duck(on) => self.playout.duck(on),
            Effect::HoldPlayout => self.playout.hold(),
            Effect::ResumePlayout => self.playout.resume(),
            Effect::BargedIn { yielded } => barged_in(yielded),
            Effect::Think { utterance, prompt } => self.think(now, utterance, &prompt),
            Effect::StopThinking => self.thoughts = None,
            Effect::Warm(prompt) => self.warm(&prompt),
            Effect::AnsweredBy(by) => self.summary.answered_by(by),
            Effect::Outcome(outcome) => self.complete(&outcome),
            Effect::Consent(event) => self.record_consent(*event),
            Effect::Remember(line) => self.remember(line),
            Effect::Purge(scopes) => self.purge(&scopes),
            Effect::TurnDone(record) => {
                debug!(call = %self.id, turn = record.turn, "turn done");
                self.around.strain.get().turn_done(now, Duration::from_millis(record.late_ms.into()));
                self.summary.turn(record);
                self.publish();
            }
            Effect::Transfer(target) => (self.around.signal)(Signal::Transfer(target)),
            Effect::HangUp(cause) => self.hang_up(now, cause),
        }
        self.say_unsaid(now);
    }

    fn recognize(&mut self, now: Instant, job: Job, due: Due) {
        self.unasked = None;
        match self.lines.recognizer.recognize(job, due) {
            Ok(()) => {}
            Err(RecognizerError::Busy) => self.unasked = Some((job, due)),
            Err(_) => self.call.apply(now, Action::NotHeard { job }),
        }
    }

    fn retry(&mut self, now: Instant) {
        if let Some((job, due)) = self.unasked.take() {
            self.recognize(now, job, due);
        }
        self.say_unsaid(now);
    }

    fn say_unsaid(&mut self, now: Instant) {
        if self.media.is_none() {
            return;
        }
        while let Some((clause, text, due)) = self.unsaid.pop_front() {
            match self.lines.synthesizer.say(clause, &text, due) {
                Ok(()) => {
                    self.at_synthesizer.push_back(clause);
                    // A clip is there at once, and a clause behind another is waited for by nobody yet.
                    if self.at_synthesizer.len() == 1 && !self.lines.synthesizer.ready() {
                        self.waits.speech_asked(now);
                    }
                }
                Err(SynthesizerError::Full | SynthesizerError::Busy) => {
                    return self.unsaid.push_front((clause, text, due));
                }
                Err(error) => {
                    warn!(call = %self.id, %error, "a clause could not be spoken");
                    self.call.apply(now, Action::ClauseFailed(clause));
                }
            }
        }
    }

    fn read_thoughts(&mut self, now: Instant) {
        while let Some(thought) = self.thoughts.as_mut().and_then(|t| t.try_recv().ok()) {
            let action = match thought {
                Thought::Clause { utterance, text } => Action::Thought { utterance, clause: text },
                Thought::End { utterance } => Action::ThoughtEnded { utterance },
                Thought::Failed { utterance } => Action::ThoughtFailed { utterance },
            };
            self.apply(now, action);
        }
    }

    fn hang_up(&mut self, now: Instant, cause: EndCause) {
        (self.around.signal)(Signal::HangUp);
        self.finish(now, cause);
    }

    fn finish(&mut self, now: Instant, cause: EndCause) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(page) = &mut self.page {
            page.ended(cause);
        }
        self.record_consents();
        self.keep_sound(now, true);
        self.requests = None;
        if !self.unrecorded.is_empty() {
            warn!(call = %self.id, events = self.unrecorded.len(), "the store's queue is full; steps of consent are lost");
        }
        self.summary.end(cause);
        info!(call = %self.id, cause = cause.word(), "call ended");
        self.publish();
    }

    fn publish(&mut self) {
        if let Some(media) = &self.media {
            self.summary.media(media.record());
        }
        if let Some(gate) = self.call.gate() {
            self.summary.consent(gate.state(&Scope::Transcript));
        }
        let record = self.summary.record();
        if self.ended {
            self.around.registry.ended(self.id);
        } else {
            self.around.registry.update(record.clone());
        }
        // Also while it goes on: should the gateway die, its lines still belong to a call.
        if self.around.store.record(record).is_err() {
            warn!(call = %self.id, "the store's queue is full; this call's record is lost");
        }
    }
}

fn barged_in(yielded: bool) {
    let outcome = if yielded { "yielded" } else { "resumed" };
    metrics::counter!("dauys_barge_ins_total", "outcome" => outcome).increment(1);
}

/// A driver that is dropped before its call ended (its shard could not take it in) ends the call.
impl Drop for Driver {
    fn drop(&mut self) {
        self.around.strain.get().turn_due(self.id, None);
        if !self.ended {
            (self.around.signal)(Signal::HangUp);
            self.around.registry.ended(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
