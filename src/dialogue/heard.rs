//! One turn of the caller, read once: its words, what they name, and what they come closest to.
//! Reading changes no state and decides nothing.

use std::ops::Range;

use jiff::civil::Date;

use super::agent::{Agent, By, Intent, Kind};
use super::entities::answer::{self, Closed};
use super::entities::{Asked, Entities, Language, Lexicon};
use super::text::{Break, Word, alike, phrase_at, words};

/// Below this the turn is none of the agent's business.
const THRESHOLD: f32 = 0.5;
/// Enough where the turn also names a day or a service that the matched fact answers by.
const ENTITY_THRESHOLD: f32 = 0.4;
/// Erasing cannot be undone.
const ERASE_THRESHOLD: f32 = 0.55;
/// So much better than the next intent the best has to be.
const MARGIN: f32 = 0.03;
/// From here on a match outweighs what else the turn could be, for example a name.
const STRONG: f32 = 0.65;
/// What a piece of a turn counts, beside the whole.
const PIECE: f32 = 0.9;
/// Intents looked at before a turn is given up as none of the agent's business.
const CANDIDATES: usize = 4;

pub(crate) struct Heard {
    pub words: Vec<Word>,
    pub entities: Entities,
    pub things: Vec<Thing>,
    /// The intent, where the match is good enough, and how good.
    pub matched: Option<(Intent, f32)>,
    lexicon: &'static Lexicon,
}

/// An entry of one of the agent's `[kinds]`, named in the turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thing {
    pub kind: usize,
    pub entry: usize,
    span: Range<usize>,
}

impl Heard {
    pub fn read(agent: &Agent, text: &str, today: Date, asked: Asked) -> Heard {
        let lexicon = agent.language.lexicon();
        let words = words(text);
        let entities = Entities::read(&words, lexicon, today, asked);
        let things = things(&words, &entities, &agent.kinds);
        let mut heard = Heard { words, entities, things, matched: None, lexicon };
        heard.matched = heard.best(agent);
        heard
    }

    pub fn closed(&self) -> Option<Closed> {
        answer::closed(&self.words, self.lexicon)
    }

    /// A clear yes or no at the start, and whether the rest takes a yes back.
    pub fn leading(&self) -> (Option<bool>, bool) {
        let (answer, rest) = answer::leading(&self.words, self.lexicon);
        (answer, answer::negated(self.words.get(rest..).unwrap_or_default(), self.lexicon))
    }

    /// How many words carry a topic of their own: no entity, nothing of the agent's kinds, no "what about".
    pub fn residue(&self) -> usize {
        let counts = |i: usize, word: &Word| {
            let word = word.text.as_str();
            !self.entities.covers(i)
                && !self.things.iter().any(|thing| thing.span.contains(&i))
                && !self.lexicon.function_words.contains(&word)
                && !self.lexicon.polite.contains(&word)
                && !self.lexicon.fillers.contains(&word)
        };
        self.words.iter().enumerate().filter(|(i, word)| counts(*i, word)).count()
    }

    pub fn is_question(&self) -> bool {
        self.words.last().is_some_and(|word| word.after == Break::Question)
    }

    pub fn is_interruption(&self) -> bool {
        matches!(self.matched, Some((Intent::Interrupt, _)))
    }

    /// Whether the turn names anything that could fill a slot.
    pub fn gives_something(&self) -> bool {
        let found = &self.entities;
        let number = found.phone.is_some() || found.digits.is_some();
        number || found.name.is_some() || !found.days.is_empty() || !found.times.is_empty()
    }

    pub fn is_strong(&self) -> bool {
        self.matched.is_some_and(|(_, score)| score >= STRONG)
    }

    /// The whole turn if it matches, else its best piece; of equals the longer, for people greet and thank
    /// in few words.
    fn best(&self, agent: &Agent) -> Option<(Intent, f32)> {
        let pieces = self.pieces(agent);
        let (whole, pieces) = pieces.split_first()?;
        let found = self.judge(agent, whole, 1.0);
        if found.is_some() {
            return found;
        }
        let rank = |length: usize, score: f32| score + 0.02 * length.min(6) as f32;
        let judged = pieces.iter().filter_map(|piece| {
            let (intent, score) = self.judge(agent, piece, PIECE)?;
            // "Hello, do you sell shoes?" is no hello: a piece has to hold most of what the turn is about.
            let about_it = 2 * self.topics(piece) >= self.topics(whole);
            let any_time = !matches!(intent, Intent::Fact(_) | Intent::Form(_));
            (about_it || any_time).then_some((piece.len(), (intent, score)))
        });
        let best = judged.max_by(|(a, (_, x)), (b, (_, y))| rank(*a, *x).total_cmp(&rank(*b, *y)));
        best.map(|(_, found)| found)
    }

    fn topics(&self, signs: &[String]) -> usize {
        signs.iter().filter(|word| self.lexicon.is_topic(word)).count()
    }

    /// The whole turn, and each sentence and clause of it where there are several: "Hi there. I was in
    /// town, when are you open?"
    fn pieces(&self, agent: &Agent) -> Vec<Vec<String>> {
        let signs =
            |range: Range<usize>| signs(range, &self.words, &self.entities, &self.things, &agent.kinds, self.lexicon);
        let mut pieces = vec![signs(0..self.words.len())];
        for ends in [[Break::Sentence, Break::Question].as_slice(), &[Break::Sentence, Break::Question, Break::Comma]] {
            let mut start = 0;
            for (i, word) in self.words.iter().enumerate() {
                let last = i + 1 == self.words.len();
                if (ends.contains(&word.after) || last) && (start > 0 || !last) {
                    pieces.push(signs(start..i + 1));
                    start = i + 1;
                }
            }
        }
        pieces
    }

    fn judge(&self, agent: &Agent, signs: &[String], weight: f32) -> Option<(Intent, f32)> {
        let ranking = agent.index.rank(signs, self.topics(signs) > 0).into_iter().take(CANDIDATES);
        let mut candidates = ranking.filter_map(|(number, score)| {
            let intent = *agent.intents.get(number)?;
            (!self.is_foreign(agent, number, intent, signs)).then_some((intent, score))
        });
        let (mut intent, mut score) = candidates.next()?;
        let mut next = candidates.next();
        // "I prefer a real person" and "are you a real person?" are close: what works at any time wins.
        if let Some((other, close)) = next.filter(|(other, close)| score - close < MARGIN && !other.has_topic()) {
            (intent, score) = (other, close.max(score));
            next = candidates.next();
        }
        let next = next.map_or(0.0, |(_, score)| score);
        // A named day or service speaks for the fact that answers by it.
        let spoken_for = match intent {
            Intent::Fact(fact) => match agent.facts.get(fact)?.by {
                Some(By::Day(_)) => !self.entities.days.is_empty(),
                Some(By::Kind(kind, _)) => self.things.iter().any(|thing| thing.kind == kind),
                None => false,
            },
            _ => false,
        };
        let threshold = match intent {
            Intent::Withdraw => ERASE_THRESHOLD,
            _ if spoken_for => ENTITY_THRESHOLD,
            // "Can I": two everyday words have to be nearly the whole example.
            _ if intent.has_topic() && signs.len() <= 2 && self.topics(signs) == 0 => STRONG,
            _ => THRESHOLD,
        };
        let clear = score - next >= MARGIN || score >= STRONG;
        (weight * score >= threshold && clear).then_some((intent, weight * score))
    }

    /// Whether at least as many of its topic words are unknown to the intent as known: "how much does a
    /// car cost" is a familiar frame around something that is none of the agent's business.
    fn is_foreign(&self, agent: &Agent, number: usize, intent: Intent, signs: &[String]) -> bool {
        if !intent.has_topic() {
            return false;
        }
        let is_fact = matches!(intent, Intent::Fact(_));
        let (mut known, mut foreign) = (0, 0);
        for word in signs.iter().map(String::as_str) {
            let is_thing = agent.kinds.iter().any(|kind| word == format!("<{}>", kind.name));
            if word.starts_with('<') {
                known += usize::from(!is_fact || is_thing);
            } else if self.lexicon.is_topic(word) {
                match agent.index.knows(number, word) || agent.kinds.iter().any(|kind| kind.holds(word)) {
                    true => known += 1,
                    false => foreign += 1,
                }
            }
        }
        match intent {
            // Erasing cannot be undone, so one word has to name it; but the right to it outlives a misheard one.
            Intent::Withdraw => known == 0,
            _ => foreign > 0 && foreign >= known,
        }
    }
}

/// An example as the matcher sees it.
pub(crate) fn masked(text: &str, language: Language, kinds: &[Kind]) -> Vec<String> {
    let words = words(text);
    let lexicon = language.lexicon();
    // Any day will do: a mask is the same whatever "tomorrow" is.
    let entities = Entities::read(&words, lexicon, Date::constant(2026, 1, 5), Asked::Nothing);
    let things = things(&words, &entities, kinds);
    signs(0..words.len(), &words, &entities, &things, kinds, lexicon)
}

fn things(words: &[Word], entities: &Entities, kinds: &[Kind]) -> Vec<Thing> {
    let mut found: Vec<Thing> = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let here = longest_at(words, i, kinds).filter(|_| !entities.covers(i));
        i = here.as_ref().map_or(i + 1, |thing| thing.span.end);
        found.extend(here);
    }
    found
}

fn longest_at(words: &[Word], at: usize, kinds: &[Kind]) -> Option<Thing> {
    let mut best: Option<Thing> = None;
    for (kind, of_kind) in kinds.iter().enumerate() {
        for (entry, (_, phrases)) in of_kind.entries.iter().enumerate() {
            for phrase in phrases {
                let span = at..at + phrase.len();
                let same = |here: &[Word]| here.iter().zip(phrase).all(|(word, known)| alike(&word.text, known));
                let fits = !phrase.is_empty() && words.get(span.clone()).is_some_and(same);
                if fits && best.as_ref().is_none_or(|best| best.span.len() < phrase.len()) {
                    best = Some(Thing { kind, entry, span });
                }
            }
        }
    }
    best
}

/// The turn's words with entities and kinds as signs, and without hesitation.
fn signs(
    range: Range<usize>,
    words: &[Word],
    entities: &Entities,
    things: &[Thing],
    kinds: &[Kind],
    lexicon: &Lexicon,
) -> Vec<String> {
    let mut signs = Vec::with_capacity(words.len());
    let mut i = range.start;
    while let Some(word) = words.get(i).filter(|_| i < range.end) {
        if let Some((sign, end)) = entities.sign_at(i) {
            if !sign.is_empty() {
                signs.push(sign.to_owned());
            }
            i = end.max(i + 1);
        } else if let Some(thing) = things.iter().find(|thing| thing.span.start == i) {
            let name = kinds.get(thing.kind).map_or("", |kind| kind.name.as_str());
            signs.push(format!("<{name}>"));
            i = thing.span.end.max(i + 1);
        } else {
            let noise = phrase_at(words, i, lexicon.noise).max(phrase_at(words, i, lexicon.fillers));
            if noise == 0 {
                signs.push(word.text.clone());
            }
            i += noise.max(1);
        }
    }
    if signs.is_empty() {
        signs.extend(words.get(range).unwrap_or_default().iter().map(|word| word.text.clone()));
    }
    signs
}
