//! The mouth: which utterance is going out, which is held as a draft, and exactly what was heard of it.
//! It orders speech from the synthesizer through effects; it never touches audio.

use std::collections::VecDeque;

use models::ClauseId;

use crate::call::action::{Effect, Sounding};
use crate::dialogue::Then;

/// Clauses that the synthesizer is asked for ahead of the one being spoken.
const CLAUSES_AHEAD: usize = 2;
/// How fast speech goes, to cut a clause's text where its sound was cut (characters a second).
const CHARS_PER_S: u32 = 15;

/// One utterance of the agent. No Debug: it holds words.
pub struct Speech {
    pub id: u64,
    clauses: Vec<String>,
    /// Clauses asked of the synthesizer, clauses it finished, clauses that left.
    asked: usize,
    made: usize,
    played: usize,
    /// First clause that a caller may interrupt.
    interruptible_from: u16,
    /// A language model still adds clauses.
    growing: bool,
    pub then: Then,
}

impl Speech {
    pub fn new(id: u64, clauses: Vec<String>, then: Then) -> Self {
        Self { id, clauses, asked: 0, made: 0, played: 0, interruptible_from: 0, growing: false, then }
    }

    pub fn protected_until(mut self, clause: u16) -> Self {
        self.interruptible_from = clause;
        self
    }

    pub fn growing(mut self) -> Self {
        self.growing = true;
        self
    }

    /// Asks for clauses until `ahead` of what was made, at most.
    pub fn ask(&mut self, ahead: usize, effects: &mut VecDeque<Effect>) {
        while self.asked < self.clauses.len() && self.asked < self.made + ahead {
            let index = u16::try_from(self.asked).unwrap_or(u16::MAX);
            let clause = ClauseId { utterance: self.id, index };
            if let Some(text) = self.clauses.get(self.asked) {
                effects.push_back(Effect::Say { clause, text: text.clone() });
            }
            self.asked += 1;
        }
    }

    fn complete(&self) -> bool {
        !self.growing && self.played >= self.clauses.len()
    }
}

/// What a change of the mouth means for the call. No Debug: it holds words.
#[derive(PartialEq, Eq)]
pub enum Mouthed {
    /// A clause was heard to its end.
    Line(String),
    /// The utterance is over; do this next.
    Done(Then),
}

#[derive(Default)]
pub struct Mouth {
    next: u64,
    current: Option<Speech>,
    /// What of it goes out right now, as the playout said last.
    sounding: Option<Sounding>,
}

impl Mouth {
    pub fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn speaking(&self) -> bool {
        self.current.is_some()
    }

    /// The agent's voice is on the wire, not only wanted.
    pub fn sounding(&self) -> bool {
        self.speaking() && self.sounding.is_some()
    }

    pub fn heard_until(&mut self, sounding: Option<Sounding>) {
        self.sounding = sounding;
    }

    /// Clauses of the current speech that were heard to their end.
    pub fn played(&self) -> usize {
        self.current.as_ref().map_or(0, |s| s.played)
    }

    /// The agent says something that must be heard to its end.
    pub fn protected(&self) -> bool {
        self.current.as_ref().is_some_and(|s| s.played < usize::from(s.interruptible_from))
    }

    /// Lets a speech go out; what was going out must have been stopped before.
    pub fn speak(&mut self, mut speech: Speech, effects: &mut VecDeque<Effect>) {
        speech.ask(CLAUSES_AHEAD, effects);
        effects.push_back(Effect::Release { utterance: speech.id });
        self.current = Some(speech);
    }

    /// Stops what is going out, and gives the words of the cut clause that were heard, to a word's end.
    pub fn stop(&mut self, effects: &mut VecDeque<Effect>) -> Option<String> {
        let speech = self.current.take()?;
        effects.push_back(Effect::StopPlayout);
        effects.push_back(Effect::Cancel { utterance: speech.id });
        let at = self.sounding.take().filter(|s| s.clause.utterance == speech.id)?;
        let text = speech.clauses.get(usize::from(at.clause.index))?;
        let chars = usize::try_from(at.played_ms.saturating_mul(CHARS_PER_S) / 1000).unwrap_or(usize::MAX);
        let mut heard = String::new();
        for word in text.split_whitespace() {
            if heard.chars().count() + word.chars().count() > chars {
                break;
            }
            if !heard.is_empty() {
                heard.push(' ');
            }
            heard.push_str(word);
        }
        (!heard.is_empty()).then_some(heard)
    }

    pub fn clause_made(&mut self, clause: ClauseId, effects: &mut VecDeque<Effect>) {
        if let Some(speech) = self.current.as_mut().filter(|s| s.id == clause.utterance) {
            speech.made = speech.made.max(usize::from(clause.index) + 1);
            speech.ask(CLAUSES_AHEAD, effects);
        }
    }

    /// A clause left, or could not be made (`heard` false): the speech goes on behind it.
    pub fn clause_gone(&mut self, clause: ClauseId, heard: bool, effects: &mut VecDeque<Effect>) -> Vec<Mouthed> {
        let Some(speech) = self.current.as_mut().filter(|s| s.id == clause.utterance) else {
            return vec![];
        };
        speech.played = speech.played.max(usize::from(clause.index) + 1);
        // One that could not be made must not hold up the next.
        speech.made = speech.made.max(speech.played);
        speech.ask(CLAUSES_AHEAD, effects);
        let mut done = vec![];
        if let Some(text) = speech.clauses.get(usize::from(clause.index)).filter(|_| heard) {
            done.push(Mouthed::Line(text.clone()));
        }
        done.extend(self.finish());
        done
    }

    fn finish(&mut self) -> Option<Mouthed> {
        let complete = self.current.as_ref().is_some_and(Speech::complete);
        complete.then(|| self.current.take().map(|s| Mouthed::Done(s.then))).flatten()
    }

    /// The language model added a clause, or (`None`) has no more. False: nobody waits for it.
    pub fn grow(&mut self, id: u64, clause: Option<String>, effects: &mut VecDeque<Effect>) -> Option<Mouthed> {
        let speech = self.current.as_mut().filter(|s| s.id == id && s.growing)?;
        match clause {
            Some(text) => speech.clauses.push(text),
            None => speech.growing = false,
        }
        speech.ask(CLAUSES_AHEAD, effects);
        self.finish()
    }

    /// What is being said, clause by clause.
    pub fn clauses(&self) -> &[String] {
        self.current.as_ref().map_or(&[], |s| &s.clauses)
    }

    /// Nothing of a growing speech has come yet.
    pub fn is_empty(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|s| s.id == id && s.clauses.is_empty())
    }
}
