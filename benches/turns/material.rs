//! The recordings: whole utterances and the places inside them, each with the dialogue brought to where it belongs. It
//! hears nothing itself.
#![allow(clippy::expect_used)]

use std::fs;
use std::sync::Arc;

use dauys::call::{Brain, Judgement};
use dauys::caller::script::read_wav;
use dauys::config::Turn;
use dauys::dialogue::{Agent, Input};

use crate::hearing::{Heard, Hearing, SAMPLES_PER_MS};
use crate::shared::root;

/// Quieter is no speech.
const SPEECH_DBFS: f32 = -42.0;
const RATE: u32 = 16_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Whole,
    Sentence,
    Digits,
    Hesitation,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Whole, Kind::Sentence, Kind::Digits, Kind::Hesitation];

    pub fn word(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::Sentence => "sentence",
            Kind::Digits => "digits",
            Kind::Hesitation => "hesitation",
        }
    }
}

/// An utterance, or its beginning, and what was heard of it.
pub struct Sample {
    pub file: String,
    pub kind: Kind,
    /// Where it ends.
    pub cut_ms: usize,
    /// What was said by then.
    pub said: String,
    pub heard: Heard,
    finished_ms: u32,
    unsure_ms: u32,
    unfinished_ms: u32,
}

impl Sample {
    pub fn is_whole(&self) -> bool {
        self.kind == Kind::Whole
    }

    /// Silence that the agent asks for where the dialogue is.
    pub fn wait_ms(&self, judgement: Judgement) -> u32 {
        match judgement {
            Judgement::Unsure => self.unsure_ms,
            Judgement::Unfinished => self.unfinished_ms,
            _ => self.finished_ms,
        }
    }
}

/// Hears them all. Utterances that get no answer ("uh huh") are left out.
pub fn listen(hearing: &mut Hearing, agent: &Arc<Agent>) -> Vec<Sample> {
    let callers = table("callers.tsv");
    let intent = |file: &str| {
        let row = callers.iter().find(|row| row[0] == file).expect("a recording of callers.tsv");
        row[1].clone()
    };
    let mut samples = vec![];
    for row in callers.iter().filter(|row| row[1] != "backchannel") {
        let (file, text) = (&row[0], &row[4]);
        let sound = sound(file);
        let end_ms = media::level::last_active_ms(&sound, RATE, SPEECH_DBFS).expect("speech");
        samples.push(sample(hearing, agent, &row[1], (file, Kind::Whole, end_ms as usize, text), &sound));
    }
    for row in table("cuts.tsv") {
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == row[2]).expect("a kind of cut");
        let cut_ms = row[1].parse().expect("milliseconds");
        samples.push(sample(hearing, agent, &intent(&row[0]), (&row[0], kind, cut_ms, &row[3]), &sound(&row[0])));
    }
    samples
}

fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("tests/data/callers").join(name)).expect("a table");
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn sound(file: &str) -> Vec<i16> {
    read_wav(&root().join("tests/data/callers").join(file)).expect("a recording")
}

fn sample(
    hearing: &mut Hearing,
    agent: &Arc<Agent>,
    intent: &str,
    (file, kind, cut_ms, said): (&str, Kind, usize, &str),
    sound: &[i16],
) -> Sample {
    let brain = asked(agent, file.split('.').next().expect("a name"), intent);
    let heard = hearing.hear(sound.get(..cut_ms * SAMPLES_PER_MS).unwrap_or(sound), &brain);
    let (turn, here) = (Turn::default(), brain.waits());
    Sample {
        file: file.to_owned(),
        kind,
        cut_ms,
        said: said.to_owned(),
        heard,
        finished_ms: here.finished_ms.unwrap_or(turn.finished_ms),
        unsure_ms: here.unsure_ms.unwrap_or(turn.unsure_ms),
        unfinished_ms: here.unfinished_ms.unwrap_or(turn.unfinished_ms),
    }
}

/// The agent where this recording belongs.
fn asked(agent: &Arc<Agent>, name: &str, intent: &str) -> Brain {
    const BOOKING: [&str; 5] = [
        "I'd like to book an appointment.",
        "Next Thursday.",
        "Half past ten in the morning.",
        "My name is Anna Miller.",
        "My number is 555 123 4567.",
    ];
    let steps = match (name, intent) {
        ("day", _) => 1,
        ("time", _) => 2,
        ("name", _) => 3,
        ("phone" | "pause_number", _) => 4,
        (_, "affirm" | "deny") => 5,
        _ => 0,
    };
    let mut brain = Brain::new(Arc::clone(agent), jiff::civil::date(2026, 11, 23));
    for step in &BOOKING[..steps] {
        brain.hear(Input::Speech(step));
    }
    brain
}
