//! One turn of the caller, read once: its words, what they name, and what they come closest to.
//! Reading changes no state and decides nothing.

use std::ops::Range;

use jiff::civil::Date;

use super::agent::{Agent, By, Intent, Kind};
use super::entities::answer::{self, Closed};
use super::entities::{Asked, Entities, Language, Lexicon};
use super::matching::{ENTITY_THRESHOLD, MARGIN, Ranking, STRONG, THRESHOLD};
use super::text::{Break, Word, alike, words};

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
        heard.matched = heard.judge(agent, agent.index.rank(&heard.pieces(agent)));
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

    pub fn is_strong(&self) -> bool {
        self.matched.is_some_and(|(_, score)| score >= STRONG)
    }

    /// The whole turn, and each sentence of it where there are several: "Hi there. I was in town. When are
    /// you open?"
    fn pieces(&self, agent: &Agent) -> Vec<Vec<String>> {
        let signs = |range: Range<usize>| {
            signs(range, &self.words, &self.entities, &self.things, &agent.kinds, self.lexicon)
        };
        let mut pieces = vec![signs(0..self.words.len())];
        let mut start = 0;
        for (i, word) in self.words.iter().enumerate() {
            let ends = matches!(word.after, Break::Sentence | Break::Question) || i + 1 == self.words.len();
            if ends && (start > 0 || i + 1 < self.words.len()) {
                pieces.push(signs(start..i + 1));
                start = i + 1;
            }
        }
        pieces
    }

    fn judge(&self, agent: &Agent, ranking: Ranking) -> Option<(Intent, f32)> {
        let intent = *agent.intents.get(ranking.intent)?;
        // A named day or service speaks for the fact that answers by it.
        let spoken_for = match intent {
            Intent::Fact(fact) => match agent.fact(fact)?.by {
                Some(By::Day(_)) => !self.entities.days.is_empty(),
                Some(By::Kind(kind, _)) => self.things.iter().any(|thing| thing.kind == kind),
                None => false,
            },
            _ => false,
        };
        let threshold = if spoken_for { ENTITY_THRESHOLD } else { THRESHOLD };
        let clear = ranking.score - ranking.next >= MARGIN || ranking.score >= STRONG;
        (ranking.score >= threshold && clear).then_some((intent, ranking.score))
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
            let word = word.text.as_str();
            if !lexicon.fillers.contains(&word) && !lexicon.noise.contains(&word) {
                signs.push(word.to_owned());
            }
            i += 1;
        }
    }
    if signs.is_empty() {
        signs.extend(words.get(range).unwrap_or_default().iter().map(|word| word.text.clone()));
    }
    signs
}
