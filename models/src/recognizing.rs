//! One caller's line to a recognition engine: keeps the utterance, asks for its text, hands out what is still wanted.
//! Never blocks, never keeps more than 30 s and never writes audio or text anywhere.

use crate::traits::{Heard, Job, Recognizer, RecognizerError, UTTERANCE_MS_MAX, Wake};
use crate::worker::{Crew, Line, Outbox, Ticket};
use media::{Frame, SAMPLE_RATE};
use std::collections::VecDeque;
use std::sync::Arc;

const SAMPLES_PER_MS: usize = SAMPLE_RATE as usize / 1000;
const SAMPLES_MAX: usize = UTTERANCE_MS_MAX as usize * SAMPLES_PER_MS;
/// When the utterance is full, this much of its beginning goes at once.
const DROP_SAMPLES: usize = SAMPLE_RATE as usize;

/// The engine could not finish; it has logged why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// Speech to text, one utterance at a time, on the engine's own thread.
pub(crate) trait Transcribe {
    /// Text of mono 16 kHz audio; looks between steps whether the ticket is cancelled and may then return anything.
    fn transcribe(&mut self, audio: &[i16], language: &str, ticket: &Ticket) -> Result<String, Failed>;
}

pub(crate) type RecognizerCrew = Crew<Request>;

/// An utterance on its way through the engine. If it is dropped without an answer, the line hears of a failure.
pub(crate) struct Request {
    audio: Vec<i16>,
    language: Arc<str>,
    reply: Reply,
}

struct Reply {
    job: Job,
    audio_ms: u32,
    ticket: Ticket,
    outbox: Arc<Outbox<Heard>>,
    sent: bool,
}

impl Reply {
    fn send(&mut self, text: Result<String, Failed>) {
        self.sent = true;
        let failed = text.is_err().then_some(RecognizerError::Engine);
        let heard = Heard { job: self.job, text: text.unwrap_or_default(), audio_ms: self.audio_ms, failed };
        self.outbox.send(&self.ticket, heard);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.send(Err(Failed));
        }
    }
}

/// What an engine's thread does with a request.
pub(crate) fn serve(engine: &mut impl Transcribe, ticket: &Ticket, mut request: Request) {
    let text = engine.transcribe(&request.audio, &request.language, ticket);
    request.reply.send(text);
}

/// A line; dropping it gives the place back and cancels its jobs.
pub(crate) struct EngineRecognizer {
    line: Line<Request>,
    language: Arc<str>,
    audio: Vec<i16>,
    overflowed: bool,
    tickets: VecDeque<(Job, Ticket)>,
    outbox: Arc<Outbox<Heard>>,
}

impl EngineRecognizer {
    pub(crate) fn new(line: Line<Request>, language: &str, wake: Wake) -> Self {
        Self {
            line,
            language: Arc::from(language),
            audio: Vec::new(),
            overflowed: false,
            tickets: VecDeque::new(),
            outbox: Outbox::new(wake),
        }
    }

    fn cancel(&mut self) {
        self.tickets.drain(..).for_each(|(_, ticket)| ticket.cancel());
    }
}

impl Recognizer for EngineRecognizer {
    fn push(&mut self, frame: &Frame) -> Result<(), RecognizerError> {
        let full = self.audio.len() + frame.samples().len() > SAMPLES_MAX;
        if full {
            self.audio.drain(..DROP_SAMPLES);
        }
        self.audio.extend_from_slice(frame.samples());
        if full && !std::mem::replace(&mut self.overflowed, true) { Err(RecognizerError::Overflow) } else { Ok(()) }
    }

    fn recognize(&mut self, job: Job) -> Result<(), RecognizerError> {
        let ticket = Ticket::new();
        let audio_ms = u32::try_from(self.audio.len() / SAMPLES_PER_MS).unwrap_or(UTTERANCE_MS_MAX);
        let reply = Reply { job, audio_ms, ticket: ticket.clone(), outbox: Arc::clone(&self.outbox), sent: false };
        let request = Request { audio: self.audio.clone(), language: Arc::clone(&self.language), reply };
        let added = self.line.queue.replace(self.line.number, &ticket, request);
        if added.is_err() {
            return Err(RecognizerError::Busy);
        }
        self.tickets.retain(|(_, ticket)| !ticket.cancelled());
        self.tickets.push_back((job, ticket));
        Ok(())
    }

    fn poll(&mut self) -> Option<Heard> {
        let heard = self.outbox.receive()?;
        self.tickets.retain(|(job, _)| *job != heard.job);
        Some(heard)
    }

    fn reset(&mut self, keep_ms: u32) {
        self.cancel();
        self.overflowed = false;
        let keep = (keep_ms as usize).saturating_mul(SAMPLES_PER_MS);
        self.audio.drain(..self.audio.len().saturating_sub(keep));
    }
}

impl Drop for EngineRecognizer {
    fn drop(&mut self) {
        self.cancel();
    }
}
