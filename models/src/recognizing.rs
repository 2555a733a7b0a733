//! One caller's line to a recognition engine: keeps the utterance, asks for its text, hands out what is still wanted.
//! Never blocks, never keeps more than 30 s and never writes audio or text anywhere.

use crate::sound::{Copied, Sound};
use crate::traits::{Due, Heard, Job, Recognizer, RecognizerError, UTTERANCE_MS_MAX, Wake};
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
    audio: Copied,
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
    let text = engine.transcribe(&request.audio.samples(), &request.language, ticket);
    request.reply.send(text);
}

/// A job that has not answered yet.
struct Asked {
    job: Job,
    due: Due,
    ticket: Ticket,
}

/// A line; dropping it gives the place back and cancels its jobs.
pub(crate) struct EngineRecognizer {
    line: Line<Request>,
    language: Arc<str>,
    audio: Sound,
    overflowed: bool,
    tickets: VecDeque<Asked>,
    outbox: Arc<Outbox<Heard>>,
}

impl EngineRecognizer {
    pub(crate) fn new(line: Line<Request>, language: &str, wake: Wake) -> Self {
        Self {
            line,
            language: Arc::from(language),
            audio: Sound::default(),
            overflowed: false,
            tickets: VecDeque::new(),
            outbox: Outbox::new(wake),
        }
    }

    fn cancel(&mut self) {
        self.tickets.drain(..).for_each(|asked| asked.ticket.cancel());
    }
}

impl Recognizer for EngineRecognizer {
    fn push(&mut self, frame: &Frame) -> Result<(), RecognizerError> {
        let full = self.audio.len() + frame.samples().len() > SAMPLES_MAX;
        if full {
            self.audio.keep(self.audio.len() - DROP_SAMPLES);
        }
        self.audio.push(frame.samples());
        if full && !std::mem::replace(&mut self.overflowed, true) { Err(RecognizerError::Overflow) } else { Ok(()) }
    }

    fn recognize(&mut self, job: Job, due: Due) -> Result<(), RecognizerError> {
        let ticket = Ticket::new();
        let audio_ms = u32::try_from(self.audio.len() / SAMPLES_PER_MS).unwrap_or(UTTERANCE_MS_MAX);
        let reply = Reply { job, audio_ms, ticket: ticket.clone(), outbox: Arc::clone(&self.outbox), sent: false };
        let request = Request { audio: self.audio.copy(), language: Arc::clone(&self.language), reply };
        let added = self.line.queue.replace(self.line.number, &ticket, due, request);
        if added.is_err() {
            return Err(RecognizerError::Busy);
        }
        if matches!(due, Due::By(_)) {
            // A partial text at work would only hold up the whole one.
            let partial = |asked: &&Asked| matches!(asked.due, Due::Maybe(_));
            self.tickets.iter().filter(partial).for_each(|asked| asked.ticket.cancel());
        }
        self.tickets.retain(|asked| !asked.ticket.cancelled());
        self.tickets.push_back(Asked { job, due, ticket });
        Ok(())
    }

    fn give_up(&mut self, job: Job) {
        self.tickets.iter().filter(|asked| asked.job == job).for_each(|asked| asked.ticket.cancel());
        self.tickets.retain(|asked| asked.job != job);
    }

    fn poll(&mut self) -> Option<Heard> {
        let heard = self.outbox.receive()?;
        self.tickets.retain(|asked| asked.job != heard.job);
        Some(heard)
    }

    fn reset(&mut self, keep_ms: u32) {
        self.cancel();
        self.overflowed = false;
        let keep = (keep_ms as usize).saturating_mul(SAMPLES_PER_MS);
        self.audio.keep(keep);
    }
}

impl Drop for EngineRecognizer {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{FramePool, MediaTime};
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    /// Says how much it heard and what the first sample was; fails and panics on demand.
    struct Parrot;

    impl Transcribe for Parrot {
        fn transcribe(&mut self, audio: &[i16], language: &str, _: &Ticket) -> Result<String, Failed> {
            match audio.first() {
                Some(-1) => Err(Failed),
                Some(-2) => panic!("told to"),
                first => Ok(format!("{language} {} {}", audio.len(), first.copied().unwrap_or(0))),
            }
        }
    }

    fn open() -> (RecognizerCrew, EngineRecognizer, Receiver<()>) {
        let work = |ticket: &Ticket, request: Request| serve(&mut Parrot, ticket, request);
        let crew = RecognizerCrew::start("test", vec![work], 1, 1).unwrap();
        let (ring, rung) = sync_channel(8);
        let wake: Wake = Arc::new(move || {
            let _ = ring.try_send(());
        });
        let line = EngineRecognizer::new(crew.line().unwrap(), "en", wake);
        (crew, line, rung)
    }

    fn frame(value: i16) -> Frame {
        FramePool::new(1)
            .fill(MediaTime::ZERO, |out| -> Result<(), ()> {
                out.fill(value);
                Ok(())
            })
            .unwrap()
    }

    fn ask(line: &mut EngineRecognizer, rung: &Receiver<()>, job: u64) -> Heard {
        line.recognize(Job(job), Due::Idle).unwrap();
        rung.recv_timeout(Duration::from_secs(10)).expect("an answer");
        line.poll().unwrap()
    }

    #[test]
    fn text_covers_everything_since_the_reset() {
        let (_crew, mut line, rung) = open();
        let mut check = |push: &[i16], reset_ms: Option<u32>, want: &str, audio_ms: u32| {
            if let Some(keep_ms) = reset_ms {
                line.reset(keep_ms);
            }
            push.iter().for_each(|value| line.push(&frame(*value)).unwrap());
            let heard = ask(&mut line, &rung, 1);
            assert_eq!((heard.text.as_str(), heard.audio_ms, heard.failed), (want, audio_ms, None));
        };
        check(&[], None, "en 0 0", 0);
        check(&[1, 2, 3], None, "en 960 1", 60);
        check(&[4], None, "en 1280 1", 80);
        check(&[], Some(30), "en 480 3", 30);
        check(&[5], Some(0), "en 320 5", 20);
        check(&[], Some(u32::MAX), "en 320 5", 20);
    }

    #[test]
    fn a_long_utterance_loses_its_beginning_and_says_so_once() {
        let (_crew, mut line, rung) = open();
        let errors: Vec<_> = (0..3_000).filter_map(|n| line.push(&frame((n / 50) as i16)).err()).collect();
        assert_eq!(errors, [RecognizerError::Overflow]);
        let heard = ask(&mut line, &rung, 1);
        assert!(heard.audio_ms <= UTTERANCE_MS_MAX && heard.audio_ms > UTTERANCE_MS_MAX - 1_100, "{}", heard.audio_ms);
        line.reset(0);
        let errors = (0..1_501).filter_map(|_| line.push(&frame(1)).err()).count();
        assert_eq!(errors, 1, "after a reset it says so again");
    }

    #[test]
    fn a_failing_engine_answers_and_goes_on() {
        let (_crew, mut line, rung) = open();
        for value in [-1, -2] {
            line.reset(0);
            line.push(&frame(value)).unwrap();
            let heard = ask(&mut line, &rung, 7);
            assert_eq!((heard.job, heard.failed), (Job(7), Some(RecognizerError::Engine)));
        }
        line.reset(0);
        line.push(&frame(3)).unwrap();
        assert_eq!(ask(&mut line, &rung, 8).text, "en 320 3");
    }

    #[test]
    fn what_was_given_up_never_answers() {
        let (crew, mut line, _rung) = open();
        line.recognize(Job(1), Due::Idle).unwrap();
        line.give_up(Job(2));
        line.give_up(Job(1));
        // Ends the thread after the job at hand, so that there is nothing to wait for.
        drop(crew);
        assert!(line.poll().is_none());
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_whole_text_stops_the_partial_one() {
        let at = std::time::Instant::now();
        let check = |first: Due, second: Due, stopped: bool| {
            let idle: Vec<fn(&Ticket, Request)> = vec![];
            let crew = RecognizerCrew::start("test", idle, 1, 1).unwrap();
            let mut line = EngineRecognizer::new(crew.line().unwrap(), "en", Arc::new(|| {}));
            line.recognize(Job(1), first).unwrap();
            let started = crew.queue.take().unwrap();
            line.recognize(Job(2), second).unwrap();
            assert_eq!(started.ticket.cancelled(), stopped, "{first:?} {second:?}");
        };
        check(Due::Maybe(at), Due::By(at), true);
        check(Due::By(at), Due::By(at), false);
        check(Due::Maybe(at), Due::Maybe(at), false);
    }
}
