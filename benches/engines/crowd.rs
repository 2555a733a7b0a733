//! The engines' part of many conversations: each asks for text and score at its pauses, and for what no clip says of
//! its answers. It has no media, no silence to wait for and no dialogue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Frame, FramePool, MediaTime};
use models::{ClauseId, Due, Engines, Job, Recognizer, Spoken, Synthesizer, TurnDetector};
use serde_json::{Value, json};

use crate::{CLAUSES, cpu_ms, english, joe, round};

pub const CONVERSATIONS: [u32; 6] = [1, 5, 10, 20, 40, 80];
pub const TURN_EVERY: Duration = Duration::from_secs(8);
/// From the draft to the earliest commit.
pub const COMMIT: Duration = Duration::from_millis(120);
pub const WHAT: &str = "a pause inside every second utterance, dropped after 200 ms; a new clause and one behind it in \
                        every third answer";
const LASTS: Duration = Duration::from_secs(20);
/// What the caller says after the pause that looked like the end.
const SPOKEN_ON: Duration = Duration::from_millis(200);

struct Conversation {
    recognizer: Box<dyn Recognizer>,
    turn: Box<dyn TurnDetector>,
    voice: Box<dyn Synthesizer>,
    next: Instant,
    turns: usize,
    asked: Option<Instant>,
    /// The pause was none: until then its draft is worked at.
    dropped: Option<Instant>,
    said: Option<Instant>,
    first: bool,
}

#[derive(Default)]
struct Times {
    text: Vec<f64>,
    score: Vec<f64>,
    clause: Vec<f64>,
    turns: usize,
}

fn open(engines: &Engines, start: Instant, number: u32, of: u32) -> Conversation {
    let quiet: models::Wake = Arc::new(|| {});
    Conversation {
        recognizer: engines.recognizer(&english(), Arc::clone(&quiet)).expect("a line"),
        turn: engines.turn_detector(Arc::clone(&quiet)).expect("a line"),
        voice: engines.synthesizer(&joe(), quiet).expect("a line"),
        // Spread as strangers are: by no rule that a queue could profit from.
        next: start + TURN_EVERY * (number * 7919 % 1000) / 1000 + Duration::from_millis(u64::from(number * 31 % of)),
        turns: number as usize,
        asked: None,
        dropped: None,
        said: None,
        first: false,
    }
}

impl Conversation {
    fn job(&self) -> Job {
        Job(self.turns as u64 * 2 + u64::from(self.dropped.is_none()))
    }

    /// A pause: the utterance so far goes to recognizer and turn detector.
    fn ask(&mut self, now: Instant, utterance: &[Frame], share: usize) {
        self.recognizer.reset(0);
        self.turn.reset();
        for frame in utterance.iter().take(utterance.len() / share) {
            self.recognizer.push(frame).expect("it fits");
            self.turn.push(frame);
        }
        let due = Due::By(now + COMMIT);
        self.recognizer.recognize(self.job(), due).expect("room");
        self.turn.score(self.job(), due).expect("room");
        self.asked = Some(now);
    }

    fn step(&mut self, now: Instant, callers: &[Vec<Frame>], pool: &mut FramePool, times: &mut Times) {
        let utterance = &callers[self.turns * 13 % callers.len()];
        if self.dropped.is_some_and(|until| now >= until) {
            self.recognizer.give_up(self.job());
            self.turn.give_up(self.job());
            self.dropped = None;
            self.next = now + SPOKEN_ON;
            self.first = false;
        }
        if self.dropped.is_none() && now >= self.next {
            let pauses = self.first && self.turns.is_multiple_of(2);
            self.dropped = pauses.then_some(now + SPOKEN_ON);
            self.ask(now, utterance, if pauses { 2 } else { 1 });
            if !pauses {
                self.turns += 1;
                self.first = true;
                self.next += TURN_EVERY;
                times.turns += 1;
            }
        }
        self.answers(now, pool, times);
    }

    fn answers(&mut self, now: Instant, pool: &mut FramePool, times: &mut Times) {
        let since = |at: Option<Instant>| at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64() * 1e3);
        if self.turn.poll().is_some() && self.dropped.is_none() {
            times.score.push(since(self.asked));
        }
        if self.recognizer.poll().is_some() && self.dropped.is_none() {
            times.text.push(since(self.asked));
            if self.turns.is_multiple_of(3) {
                let commit = self.asked.unwrap_or(now) + COMMIT;
                let clause = |index| ClauseId { utterance: self.turns as u64, index };
                let text = |n: usize| CLAUSES[(self.turns + n) % CLAUSES.len()];
                self.voice.say(clause(0), text(0), Due::By(commit)).expect("room");
                let over = Duration::from_secs(text(0).len() as u64) / 15;
                self.voice.say(clause(1), text(1), Due::By(commit + over)).expect("room");
                self.said = Some(now);
            }
        }
        while let Some(spoken) = self.voice.poll(MediaTime::default(), pool) {
            if let (Spoken::Frame { .. }, Some(said)) = (spoken, self.said.take()) {
                times.clause.push(since(Some(said)));
            }
        }
    }
}

/// So many conversations for a while.
pub fn measure(engines: &Engines, callers: &[Vec<Frame>], conversations: u32) -> Value {
    let start = Instant::now();
    let mut all: Vec<Conversation> = (0..conversations).map(|n| open(engines, start, n, conversations)).collect();
    let mut times = Times::default();
    let mut pool = FramePool::new(2);
    let before = cpu_ms("");
    let lasts = if conversations < 10 { LASTS * 2 } else { LASTS };
    while start.elapsed() < lasts {
        for conversation in &mut all {
            conversation.step(Instant::now(), callers, &mut pool, &mut times);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let cores = (cpu_ms("") - before) / 1e3 / lasts.as_secs_f64();
    let of = |mut ms: Vec<f64>| {
        ms.sort_by(f64::total_cmp);
        let at = |q| crate::quantile(&ms, q).map(round);
        json!({"n": ms.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)})
    };
    let (text, score, clause) = (of(times.text), of(times.score), of(times.clause));
    let row = json!({
        "conversations": conversations, "turns": times.turns, "text": text, "score": score, "clause": clause,
        "cores": (cores * 100.0).round() / 100.0,
    });
    println!("{row}");
    row
}
