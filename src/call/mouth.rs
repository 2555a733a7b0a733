//! The mouth: which utterance is going out, which is held as a draft, and exactly what was heard of it.
//! It orders speech from the synthesizer through effects; it never touches audio.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use models::{ClauseId, Due};

use crate::call::action::{Effect, Sounding};
use crate::dialogue::Then;

/// Clauses that the synthesizer is asked for ahead of the one being spoken.
const CLAUSES_AHEAD: usize = 2;
/// How fast speech goes (characters a second, and weights: see [`weight`]).
const CHARS_PER_S: u32 = 15;
/// A first clause of so few words, with more behind it, opens an answer and gives none: "Thank you.", "Of course."
const OPENER_WORDS: usize = 3;
/// Words of the agent's in a row that come back: fewer are the caller's own.
const ECHO_WORDS: usize = 3;

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
    /// Clauses at its end were taken away, which the synthesizer may have made.
    shortened: bool,
    /// A clause of it began to sound.
    begun: bool,
    /// Which of the clauses only pass the time.
    fillers: Vec<u16>,
    pub then: Then,
}

impl Speech {
    pub fn new(id: u64, clauses: Vec<String>, then: Then) -> Self {
        Self {
            id,
            clauses,
            asked: 0,
            made: 0,
            played: 0,
            interruptible_from: 0,
            growing: false,
            shortened: false,
            begun: false,
            fillers: vec![],
            then,
        }
    }

    pub fn protected_until(mut self, clause: u16) -> Self {
        self.interruptible_from = clause;
        self
    }

    pub fn growing(mut self) -> Self {
        self.growing = true;
        self
    }

    /// Asks for clauses until `ahead` of what was made, at most. Of what has not left, the first goes out (or goes on)
    /// at `from`, and each clause is due when those before it will have been said.
    pub fn ask(&mut self, ahead: usize, from: Instant, effects: &mut VecDeque<Effect>) {
        let before = self.clauses.get(self.played..self.asked).unwrap_or_default();
        let mut due = from + before.iter().map(|text| spoken(text)).sum::<Duration>();
        while self.asked < self.clauses.len() && self.asked < self.made + ahead {
            let index = u16::try_from(self.asked).unwrap_or(u16::MAX);
            let clause = ClauseId { utterance: self.id, index };
            if let Some(text) = self.clauses.get(self.asked) {
                effects.push_back(Effect::Say { clause, text: text.clone(), due: Due::By(due) });
                due += spoken(text);
            }
            self.asked += 1;
        }
    }

    fn complete(&self) -> bool {
        !self.growing && self.played >= self.clauses.len()
    }
}

/// About how long a text takes to say.
fn spoken(text: &str) -> Duration {
    Duration::from_secs(text.chars().count() as u64) / CHARS_PER_S
}

/// What a change of the mouth means for the call. No Debug: it holds words.
#[derive(PartialEq, Eq)]
pub enum Mouthed {
    /// A clause was heard to its end.
    Line(String),
    /// The utterance is over; do this next.
    Done(Then),
}

pub struct Mouth {
    now: Instant,
    next: u64,
    current: Option<Speech>,
    /// What of it goes out right now, as the playout said last.
    sounding: Option<Sounding>,
}

impl Mouth {
    pub fn new(now: Instant) -> Self {
        Self { now, next: 0, current: None, sounding: None }
    }

    /// What is asked for from here on is asked for now.
    pub fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// When the clause that sounds began, or now if none does.
    fn from(&self) -> Instant {
        let current = self.current.as_ref().map(|s| s.id);
        let played_ms = self.sounding.filter(|s| Some(s.clause.utterance) == current).map_or(0, |s| s.played_ms);
        self.now.checked_sub(Duration::from_millis(played_ms.into())).unwrap_or(self.now)
    }

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

    pub fn clause_started(&mut self, clause: ClauseId) {
        if let Some(speech) = self.current.as_mut().filter(|s| s.id == clause.utterance) {
            speech.begun = true;
        }
    }

    /// Something of the current speech has sounded, or sounds.
    pub fn begun(&self) -> bool {
        self.current.as_ref().is_some_and(|s| s.begun)
    }

    pub fn text(&self, clause: ClauseId) -> Option<&str> {
        let speech = self.current.as_ref().filter(|s| s.id == clause.utterance)?;
        speech.clauses.get(usize::from(clause.index)).map(String::as_str)
    }

    /// Lets the current speech end before this clause, which has not begun. False: there is no such speech.
    pub fn end_before(&mut self, clause: usize) -> bool {
        let Some(speech) = self.current.as_mut().filter(|s| s.played < clause && clause < s.clauses.len()) else {
            return false;
        };
        speech.clauses.truncate(clause);
        speech.shortened = true;
        true
    }

    /// Says again what was not heard to its end: the other side may have missed it.
    pub fn again(&mut self, effects: &mut VecDeque<Effect>) {
        let Some(speech) = &mut self.current else { return };
        effects.push_back(Effect::StopPlayout);
        effects.push_back(Effect::Cancel { utterance: speech.id });
        self.sounding = None;
        speech.asked = speech.played;
        speech.made = speech.played;
        speech.ask(CLAUSES_AHEAD, self.now, effects);
        effects.push_back(Effect::Release { utterance: speech.id });
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
        speech.ask(CLAUSES_AHEAD, self.now, effects);
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
        let heard = heard_of(text, at.played_ms, at.length_ms);
        (!heard.is_empty()).then(|| heard.to_owned())
    }

    /// Whether the question that the speech ends in is being asked, or was.
    pub fn asks(&self) -> bool {
        let Some(speech) = &self.current else { return true };
        let last = speech.clauses.len().saturating_sub(1);
        let question = speech.clauses.iter().rposition(|c| c.trim_end().ends_with('?')).unwrap_or(last);
        let sounding = self.sounding.filter(|s| s.clause.utterance == speech.id);
        !speech.growing && sounding.map_or(speech.played, |s| usize::from(s.clause.index)) >= question
    }

    /// Whether these are the words that go out: the agent's own voice, come back over a loudspeaker.
    pub fn is_saying(&self, text: &str) -> bool {
        let Some(speech) = &self.current else { return false };
        let at = self.sounding.map_or(speech.played, |s| usize::from(s.clause.index));
        let said = speech.clauses.iter().take(at + 1).skip(at.saturating_sub(1)).flat_map(|c| plain_words(c));
        let said: Vec<String> = said.collect();
        let heard: Vec<String> = plain_words(text).collect();
        // The first and the last word may be cut in two.
        let inner = match heard.len() {
            0..ECHO_WORDS => return false,
            ECHO_WORDS => heard.as_slice(),
            n => heard.get(1..n - 1).unwrap_or_default(),
        };
        said.windows(inner.len()).any(|part| part == inner)
    }

    pub fn clause_made(&mut self, clause: ClauseId, effects: &mut VecDeque<Effect>) {
        let from = self.from();
        if let Some(speech) = self.current.as_mut().filter(|s| s.id == clause.utterance) {
            speech.made = speech.made.max(usize::from(clause.index) + 1);
            speech.ask(CLAUSES_AHEAD, from, effects);
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
        // What sounded has left; the next begins now.
        speech.ask(CLAUSES_AHEAD, self.now, effects);
        let mut done = vec![];
        if let Some(text) = speech.clauses.get(usize::from(clause.index)).filter(|_| heard) {
            done.push(Mouthed::Line(text.clone()));
        }
        done.extend(self.finish(effects));
        done
    }

    fn finish(&mut self, effects: &mut VecDeque<Effect>) -> Option<Mouthed> {
        let speech = self.current.take_if(|speech| speech.complete())?;
        if speech.shortened {
            effects.push_back(Effect::StopPlayout);
            effects.push_back(Effect::Cancel { utterance: speech.id });
        }
        Some(Mouthed::Done(speech.then))
    }

    /// The language model added a clause, or (`None`) has no more. False: nobody waits for it.
    pub fn grow(&mut self, id: u64, clause: Option<String>, effects: &mut VecDeque<Effect>) -> Option<Mouthed> {
        let from = self.from();
        let speech = self.current.as_mut().filter(|s| s.id == id && s.growing)?;
        match clause {
            Some(text) => speech.clauses.push(text),
            None => speech.growing = false,
        }
        speech.ask(CLAUSES_AHEAD, from, effects);
        self.finish(effects)
    }

    /// Passes the time until the language model has something to say.
    pub fn fill(&mut self, id: u64, clauses: Vec<String>, effects: &mut VecDeque<Effect>) {
        let from = self.from();
        let Some(speech) = self.current.as_mut().filter(|s| s.id == id && s.growing) else { return };
        for clause in clauses {
            speech.fillers.extend(u16::try_from(speech.clauses.len()));
            speech.clauses.push(clause);
        }
        speech.ask(CLAUSES_AHEAD, from, effects);
    }

    pub fn is_filler(&self, clause: ClauseId) -> bool {
        self.current.as_ref().is_some_and(|s| s.id == clause.utterance && s.fillers.contains(&clause.index))
    }

    /// A short first clause before the answer itself.
    pub fn is_opener(&self, clause: ClauseId) -> bool {
        let Some(speech) = self.current.as_ref().filter(|s| s.id == clause.utterance) else { return false };
        let first = (0..).find(|index| !speech.fillers.contains(index));
        let followed = speech.growing || speech.clauses.len() > usize::from(clause.index) + 1;
        let text = speech.clauses.get(usize::from(clause.index));
        let short = text.is_some_and(|text| text.split_whitespace().count() <= OPENER_WORDS);
        first == Some(clause.index) && followed && short
    }

    /// What is being said, clause by clause, without fillers.
    pub fn clauses(&self) -> Vec<String> {
        let Some(speech) = &self.current else { return vec![] };
        let clauses = (0_u16..).zip(&speech.clauses).filter(|(index, _)| !speech.fillers.contains(index));
        clauses.map(|(_, text)| text.clone()).collect()
    }

    /// Nothing of a growing speech has come yet but fillers.
    pub fn is_empty(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|s| s.id == id && s.clauses.len() == s.fillers.len())
    }
}

/// The words of a clause that were heard to their end, when so much of it had gone out.
fn heard_of(text: &str, played_ms: u32, length_ms: Option<u32>) -> &str {
    let whole: u32 = text.chars().map(weight).sum();
    let heard = match length_ms {
        Some(length_ms) if length_ms > 0 => u64::from(whole) * u64::from(played_ms) / u64::from(length_ms),
        _ => u64::from(played_ms) * u64::from(CHARS_PER_S) / 1000,
    };
    // A word ends with its last letter, before the pause that its comma makes.
    let (mut spoken, mut word_end, mut cut) = (0, 0, 0);
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && word_end <= heard {
            cut = at;
        }
        spoken += u64::from(weight(c));
        if c.is_alphanumeric() {
            word_end = spoken;
        }
    }
    if word_end <= heard { text } else { text.get(..cut).unwrap_or_default().trim_end() }
}

/// How long a character is spoken, in fifteenths of a second or so: digits are words, marks are pauses. Over sentences
/// of Piper's it finds the pauses at commas and ends within 60 ms on average, 240 ms at most.
fn weight(c: char) -> u32 {
    match c {
        '0'..='9' => 5,
        '$' | '€' | '£' | '%' => 6,
        ',' | ';' | ':' | '—' | '–' | '…' => 4,
        '.' | '!' | '?' => 2,
        _ => 1,
    }
}

fn plain_words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_clause_keeps_the_words_that_were_heard_to_their_end() {
        let text = "Yes, there is free parking.";
        // Thirty-one weights: four for the comma, two for the full stop.
        for (played_ms, heard) in [
            (0, ""),
            (290, ""),
            (300, "Yes,"),
            (1299, "Yes,"),
            (1300, "Yes, there"),
            (1600, "Yes, there is"),
            (2500, "Yes, there is free"),
            (2900, "Yes, there is free parking."),
            (3100, "Yes, there is free parking."),
        ] {
            assert_eq!(heard_of(text, played_ms, Some(3100)), heard, "{played_ms} ms");
        }
        assert_eq!(heard_of(text, 900, None), "Yes, there", "without a length by an ordinary pace");
        assert_eq!(heard_of("", 1000, Some(500)), "");
        assert_eq!(heard_of("Да, конечно.", 600, Some(1200)), "Да,");
        // A number is longer than it looks.
        assert_eq!(heard_of("Call 555 now.", 500, Some(1000)), "Call");
    }

    #[allow(clippy::disallowed_methods)]
    fn silent() -> Mouth {
        Mouth::new(Instant::now())
    }

    fn saying(clauses: &[&str], at: u16) -> Mouth {
        let mut mouth = silent();
        let clauses = clauses.iter().map(|c| (*c).to_owned()).collect();
        mouth.speak(Speech::new(1, clauses, Then::Listen), &mut VecDeque::new());
        let clause = ClauseId { utterance: 1, index: at };
        mouth.heard_until(Some(Sounding { clause, played_ms: 500, length_ms: None }));
        mouth
    }

    #[test]
    fn a_question_is_asked_when_its_clause_sounds() {
        let clauses = ["It is free.", "Shall I book it?", "Or press one."];
        assert!(!saying(&clauses, 0).asks());
        assert!(saying(&clauses, 1).asks() && saying(&clauses, 2).asks());
        assert!(!saying(&["Sure.", "Your name, please."], 0).asks());
        assert!(saying(&["Sure.", "Your name, please."], 1).asks());
        assert!(silent().asks(), "whatever was asked is asked when nothing sounds");
    }

    #[test]
    fn its_own_words_are_known_when_they_come_back() {
        let clauses = ["We are open from eight to six.", "On Sunday we are closed."];
        assert!(saying(&clauses, 0).is_saying("are open from"));
        assert!(saying(&clauses, 0).is_saying("Where open from eight too."), "the edges may be cut");
        assert!(saying(&clauses, 1).is_saying("eight to six"), "an echo comes late");
        assert!(!saying(&clauses, 0).is_saying("On Sunday we are"), "not said yet");
        assert!(!saying(&clauses, 0).is_saying("Are you open on Sunday?"));
        assert!(!saying(&clauses, 0).is_saying("open"), "one word is the caller's");
        assert!(!silent().is_saying("are open from eight"));
    }
}
