//! A recording over a telephone line to the real detector, ear, recognizer and turn detector, and what is then known at
//! each look. It judges nothing, and time is that of the sound.
#![allow(clippy::disallowed_methods, clippy::expect_used)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use dauys::call::Brain;
use dauys::call::ear::{Ear, EarEvent};
use dauys::call::endpointing::{Evidence, Slot, log_odds, together};
use dauys::config::Turn;
use dauys::dialogue::{Ending, Expects, Input, Then};
use media::codec::g711::Law;
use media::resample::{Downsampler, Upsampler};
use media::{FRAME_SAMPLES, Frame, FramePool, MediaTime};
use models::{Due, Engines, Job, Language, Recognizer, TurnDetector, Vad};

/// As the call machine looks: a draft when the ear pauses, and again after so much silence.
const LOOKS_MS: [u32; 2] = [240, 600];
const ONSET_MS: u32 = 280;
/// Shorter sound that makes no sense, where nothing was asked for, is a cough to it.
const COUGH_ALONE_MS: u32 = 220;
const FRAME_MS: usize = 20;
pub const SAMPLES_PER_MS: usize = 16;
const LEAD_MS: usize = 500;
const TAIL_MS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of an utterance after some silence.
pub struct Look {
    /// By the ear.
    pub silence_ms: u32,
    pub text: String,
    pub score: f32,
    ending: Ending,
    unsteady: bool,
    expects: Expects,
    slot: Slot,
    understood: bool,
    foreign: bool,
    voiced_ms: u32,
    /// "Mm-hm": the turn ends, and nothing is said.
    pub nod: bool,
    /// Taken for a cough.
    pub dismissed: bool,
    /// Log odds by the looks before, with the score and without.
    earlier: Option<(f32, f32)>,
}

impl Look {
    /// The log odds that the caller has finished, by all looks so far.
    pub fn odds(&self) -> f32 {
        let last = log_odds(self.evidence());
        self.earlier.map_or(last, |(earlier, _)| together(earlier, last))
    }

    /// The same without the turn detector.
    pub fn odds_of_words(&self) -> f32 {
        let last = log_odds(Evidence { score: None, ..self.evidence() });
        self.earlier.map_or(last, |(_, earlier)| together(earlier, last))
    }

    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            text: &self.text,
            score: Some(self.score),
            ending: self.ending,
            unsteady: self.unsteady,
            expects: self.expects,
            slot: self.slot,
            understood: self.understood,
            foreign: self.foreign,
            voiced_ms: self.voiced_ms,
        }
    }
}

pub struct Heard {
    /// Empty: no word was recognised.
    pub looks: Vec<Look>,
    /// Silence in truth, less silence by the ear.
    pub lag_ms: i32,
}

/// A caller's line to the engines.
pub struct Hearing {
    recognizer: Box<dyn Recognizer>,
    turn: Box<dyn TurnDetector>,
    vad: Box<dyn Vad>,
    rung: Receiver<()>,
    jobs: u64,
}

impl Hearing {
    pub fn new(engines: &Engines, language: &Language) -> Self {
        let (ring, rung) = sync_channel(8);
        let wake: models::Wake = Arc::new(move || {
            let _ = ring.try_send(());
        });
        Self {
            recognizer: engines.recognizer(language, Arc::clone(&wake)).expect("a line"),
            turn: engines.turn_detector(wake).expect("a line"),
            vad: engines.vad(),
            rung,
            jobs: 0,
        }
    }

    /// What is known after this sound, which silence follows, where the agent is so far.
    pub fn hear(&mut self, sound: &[i16], brain: &Brain) -> Heard {
        self.recognizer.reset(0);
        self.turn.reset();
        self.vad.reset();
        let mut ear = Ear::new(Turn::default());
        let mut looks: Vec<Look> = vec![];
        let mut score = 0.5;
        let mut line = Line::default();
        for (n, chunk) in signal(sound).chunks_exact(FRAME_SAMPLES).enumerate() {
            let frame = line.carry(n, chunk);
            let speech = self.vad.push(&frame);
            let _ = self.recognizer.push(&frame);
            self.turn.push(&frame);
            match ear.frame(frame.at(), speech, media::level::rms_dbfs(frame.samples())) {
                Some(EarEvent::Started) => self.recognizer.reset(ONSET_MS),
                Some(EarEvent::Resumed) => looks.clear(),
                Some(EarEvent::Paused) => {
                    score = self.score();
                    let text = self.text();
                    looks = look(brain, &ear, text, score, None).into_iter().collect();
                }
                None => {}
            }
            let due = looks.len().checked_sub(1).and_then(|n| LOOKS_MS.get(n));
            if due.is_some_and(|due| ear.silence_ms() >= *due) {
                let text = self.text();
                let again = look(brain, &ear, text, score, looks.last());
                looks.extend(again);
            }
        }
        let tail_ms = TAIL_MS as i32;
        Heard { looks, lag_ms: tail_ms - ear.silence_ms() as i32 }
    }

    fn text(&mut self) -> String {
        self.jobs += 1;
        let job = Job(self.jobs);
        self.recognizer.recognize(job, Due::By(Instant::now())).expect("room");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(heard) = self.recognizer.poll().filter(|heard| heard.job == job) {
                return heard.text;
            }
            assert!(Instant::now() < until, "the recognizer does not answer");
            let _ = self.rung.recv_timeout(Duration::from_secs(1));
        }
    }

    fn score(&mut self) -> f32 {
        self.jobs += 1;
        let job = Job(self.jobs);
        self.turn.score(job, Due::By(Instant::now())).expect("room");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(scored) = self.turn.poll().filter(|scored| scored.job == job) {
                return scored.finished;
            }
            assert!(Instant::now() < until, "the turn detector does not answer");
            let _ = self.rung.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// What the call machine would make of a text; none: it hears no words, and an earlier look stands.
fn look(brain: &Brain, ear: &Ear, text: String, score: f32, before: Option<&Look>) -> Option<Look> {
    let silent = !text.contains(char::is_alphanumeric);
    let text = match before {
        Some(before) if silent => before.text.clone(),
        _ if silent => return None,
        _ => text,
    };
    let same = before.is_some_and(|before| before.text == text);
    let (expects, ending) = (brain.expects(), brain.ending(&text));
    let answer = brain.clone().hear(Input::Speech(&text));
    let unheeded = answer.decision.is_none() && answer.then == Then::Listen && !answer.is_clear();
    Some(Look {
        silence_ms: ear.silence_ms(),
        score,
        ending,
        unsteady: !same && before.is_some_and(|before| before.ending.number != ending.number),
        expects,
        slot: answer.slot,
        understood: answer.understood,
        foreign: !answer.covered,
        voiced_ms: ear.voiced_ms(),
        nod: answer.backchannel && answer.then == Then::Listen && answer.decision.is_none(),
        earlier: before.and_then(|before| match same {
            true => before.earlier,
            false => Some((before.odds(), before.odds_of_words())),
        }),
        dismissed: before.is_some_and(|before| before.dismissed)
            || (unheeded && ear.voiced_ms() < COUGH_ALONE_MS && expects == Expects::Anything),
        text,
    })
}

/// The sound in a quiet room, silence before and after it.
fn signal(sound: &[i16]) -> Vec<i16> {
    let mut noise = 1u32;
    let mut room = move || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((noise >> 16) as i32 % 12 - 6) as i16
    };
    // The last word ends with a frame, so that silence is counted from there.
    let lead = LEAD_MS * SAMPLES_PER_MS + (FRAME_SAMPLES - sound.len() % FRAME_SAMPLES) % FRAME_SAMPLES;
    let mut signal: Vec<i16> = (0..lead).map(|_| room()).collect();
    signal.extend(sound.iter().map(|sample| sample.saturating_add(room())));
    signal.extend((0..TAIL_MS * SAMPLES_PER_MS).map(|_| room()));
    signal
}

/// A telephone line: µ-law at 8 kHz.
struct Line {
    down: Downsampler,
    up: Upsampler,
    pool: FramePool,
}

impl Default for Line {
    fn default() -> Self {
        Self { down: Downsampler::default(), up: Upsampler::default(), pool: FramePool::new(16) }
    }
}

impl Line {
    fn carry(&mut self, n: usize, samples: &[i16]) -> Frame {
        const NARROW: usize = FRAME_SAMPLES / 2;
        let (mut narrow, mut bytes) = ([0i16; NARROW], [0u8; NARROW]);
        self.down.process(samples, &mut narrow);
        Law::Mu.encode(&narrow, &mut bytes);
        Law::Mu.decode(&bytes, &mut narrow);
        let up = &mut self.up;
        let filled = self.pool.fill(MediaTime::from_ms((n * FRAME_MS) as u64), |out| {
            up.process(&narrow, out);
            Ok::<(), ()>(())
        });
        filled.expect("a frame")
    }
}
