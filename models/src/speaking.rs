//! One caller's line to a voice: queues clauses, hands out their audio frame by frame in the order said. Never blocks,
//! never reorders and never keeps a clause that was cancelled.

use crate::clips::{ClipKey, Clips};
use crate::recognizing::Failed;
use crate::traits::{CLAUSE_CHARS_MAX, CLAUSES_MAX, ClauseId, Due, Spoken, Synthesizer, SynthesizerError, Wake};
use crate::worker::{Crew, Line, Ticket, locked};
use media::{FRAME_MS, FRAME_SAMPLES, FramePool, MediaTime};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// Text to speech, one clause at a time, on the engine's own thread.
pub(crate) trait Speak {
    /// Hands mono 16 kHz audio to `emit`, piece by piece as it gets ready; looks between pieces whether the ticket is
    /// cancelled.
    fn speak(&mut self, text: &str, ticket: &Ticket, emit: &mut dyn FnMut(Vec<i16>)) -> Result<(), Failed>;
}

pub(crate) type SynthesizerCrew = Crew<Request>;

/// A clause on its way through the engine. If it is dropped unfinished, the line hears of a failure.
pub(crate) struct Request {
    text: String,
    speech: Arc<Speech>,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.speech.end(Err(SynthesizerError::Engine));
    }
}

/// What an engine's thread does with a request.
pub(crate) fn serve(engine: &mut impl Speak, ticket: &Ticket, request: Request) {
    let speech = Arc::clone(&request.speech);
    let result = engine.speak(&request.text, ticket, &mut |samples| speech.append(samples.into()));
    speech.end(result.map_err(|Failed| SynthesizerError::Engine));
}

/// The audio of one clause, as far as it is ready; shared by the line and the engine's thread.
pub(crate) struct Speech {
    ticket: Ticket,
    wake: Wake,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: VecDeque<Arc<[i16]>>,
    /// Samples of the first part that were handed out.
    taken: usize,
    /// Samples of all parts there were.
    made: usize,
    end: Option<Result<(), SynthesizerError>>,
}

impl State {
    fn left(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum::<usize>() - self.taken
    }

    fn ready(&self) -> bool {
        self.end.is_some() || self.left() >= FRAME_SAMPLES
    }

    /// Copies the next frame, padded with silence; takes nothing.
    fn peek(&self, out: &mut [i16; FRAME_SAMPLES]) {
        let samples = self.parts.iter().flat_map(|part| part.iter()).skip(self.taken);
        out.iter_mut().zip(samples.copied().chain(std::iter::repeat(0))).for_each(|(slot, sample)| *slot = sample);
    }

    fn advance(&mut self) {
        self.taken = (self.taken + FRAME_SAMPLES).min(self.taken + self.left());
        while let Some(first) = self.parts.front() {
            if self.taken < first.len() {
                break;
            }
            self.taken -= first.len();
            self.parts.pop_front();
        }
    }
}

impl Speech {
    pub(crate) fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self { ticket: Ticket::new(), wake, state: Mutex::default() })
    }

    fn ready_made(samples: Arc<[i16]>, wake: Wake) -> Arc<Self> {
        let made = samples.len();
        let state = State { parts: VecDeque::from([samples]), taken: 0, made, end: Some(Ok(())) };
        Arc::new(Self { ticket: Ticket::new(), wake, state: Mutex::new(state) })
    }

    fn append(&self, samples: Arc<[i16]>) {
        if samples.is_empty() || self.ticket.cancelled() {
            return;
        }
        {
            let mut state = locked(&self.state);
            state.made += samples.len();
            state.parts.push_back(samples);
        }
        (self.wake)();
    }

    fn end(&self, result: Result<(), SynthesizerError>) {
        {
            let mut state = locked(&self.state);
            if state.end.is_some() {
                return;
            }
            state.end = Some(result);
        }
        if !self.ticket.cancelled() {
            (self.wake)();
        }
    }

    /// The whole clause, once it is complete.
    pub(crate) fn complete(&self) -> Option<Result<Vec<i16>, SynthesizerError>> {
        let state = locked(&self.state);
        let whole = || state.parts.iter().flat_map(|part| part.iter().copied()).collect();
        state.end.map(|end| end.map(|()| whole()))
    }
}

/// Asks the engine to speak for the gateway itself rather than for a line.
pub(crate) fn order(crew: &SynthesizerCrew, text: &str, wake: Wake) -> Arc<Speech> {
    let speech = Speech::new(wake);
    let request = Request { text: text.to_owned(), speech: Arc::clone(&speech) };
    // A full queue drops the request, which ends the speech with a failure.
    let _ = crew.queue.add(u64::MAX, &Ticket::new(), Due::Idle, request);
    speech
}

struct Clause {
    id: ClauseId,
    speech: Arc<Speech>,
}

/// A line; dropping it gives the place back and cancels its clauses.
pub(crate) struct EngineSynthesizer {
    /// None: it speaks what is ready as a clip, and holds no place.
    line: Option<Line<Request>>,
    voice_id: Arc<str>,
    clips: Arc<Clips>,
    clauses: VecDeque<Clause>,
    wake: Wake,
}

impl EngineSynthesizer {
    pub(crate) fn new(line: Option<Line<Request>>, voice_id: Arc<str>, clips: Arc<Clips>, wake: Wake) -> Self {
        Self { line, voice_id, clips, clauses: VecDeque::new(), wake }
    }
}

impl Synthesizer for EngineSynthesizer {
    fn say(&mut self, clause: ClauseId, text: &str, due: Due) -> Result<(), SynthesizerError> {
        if self.clauses.len() >= CLAUSES_MAX {
            return Err(SynthesizerError::Full);
        }
        if text.chars().count() > CLAUSE_CHARS_MAX {
            return Err(SynthesizerError::TooLong);
        }
        let wake = Arc::clone(&self.wake);
        if let Some(clip) = self.clips.get(&ClipKey::new(&self.voice_id, text)) {
            self.clauses.push_back(Clause { id: clause, speech: Speech::ready_made(clip, wake) });
            (self.wake)();
            return Ok(());
        }
        let line = self.line.as_ref().ok_or(SynthesizerError::Engine)?;
        let speech = Speech::new(wake);
        let request = Request { text: text.to_owned(), speech: Arc::clone(&speech) };
        let added = line.queue.add(line.number, &speech.ticket, due, request);
        added.map_err(|_| SynthesizerError::Busy)?;
        self.clauses.push_back(Clause { id: clause, speech });
        Ok(())
    }

    fn poll(&mut self, at: MediaTime, pool: &mut FramePool) -> Option<Spoken> {
        let front = self.clauses.front()?;
        let clause = front.id;
        let mut state = locked(&front.speech.state);
        if !state.ready() {
            return None;
        }
        if state.left() > 0 {
            let write = |out: &mut [i16; FRAME_SAMPLES]| -> Result<(), Infallible> {
                state.peek(out);
                Ok(())
            };
            let frame = pool.fill(at, write).ok()?;
            state.advance();
            return Some(Spoken::Frame { clause, frame });
        }
        let end = state.end.unwrap_or(Ok(()));
        drop(state);
        self.clauses.pop_front();
        Some(match end {
            Ok(()) => Spoken::End { clause },
            Err(error) => Spoken::Failed { clause, error },
        })
    }

    fn ready(&self) -> bool {
        self.clauses.front().is_some_and(|front| locked(&front.speech.state).ready())
    }

    fn length_ms(&self, clause: ClauseId) -> Option<u32> {
        let clause = self.clauses.iter().find(|c| c.id == clause)?;
        let state = locked(&clause.speech.state);
        let frames = state.end.is_some().then(|| state.made.div_ceil(FRAME_SAMPLES))?;
        Some(u32::try_from(frames).unwrap_or(u32::MAX).saturating_mul(FRAME_MS))
    }

    fn cancel(&mut self, utterance: u64) {
        self.clauses.retain(|clause| {
            let keep = clause.id.utterance != utterance;
            if !keep {
                clause.speech.ticket.cancel();
            }
            keep
        });
    }
}

impl Drop for EngineSynthesizer {
    fn drop(&mut self) {
        self.clauses.iter().for_each(|clause| clause.speech.ticket.cancel());
    }
}

#[cfg(test)]
mod tests;
