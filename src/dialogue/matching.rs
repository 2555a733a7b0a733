//! Which of the agent's examples a turn comes closest to: cosine over letter trigrams, each weighed by
//! how few intents of this agent hold it. No language model, no word list, no training: the same words
//! always give the same answer. It never decides alone: [`super::heard`] sets threshold and margin.

use std::collections::{BTreeMap, BTreeSet};

use super::text::resembles;

/// How much the share of the turn that an intent's examples know between them counts, beside the
/// nearest single example: a foreign word in a familiar frame is a warning.
const COVERAGE: f32 = 0.2;
/// What an example about something counts for a turn about nothing: "what's the time?" only has the
/// frame of "what time do you close?".
const FRAME_ONLY: f32 = 0.6;
/// Two examples of different intents closer than this cannot be told apart.
const COLLISION: f32 = 0.93;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Each trigram that an example holds: its number and its weight.
    features: BTreeMap<String, (u32, f32)>,
    unknown_weight: f32,
    examples: Vec<Example>,
    /// For each intent the trigrams and the topic words of all its examples.
    known: BTreeMap<usize, Known>,
}

#[derive(Debug)]
struct Example {
    intent: usize,
    vector: Vector,
    /// Whether it holds a topic word or a masked entity.
    topical: bool,
}

#[derive(Debug, Default)]
struct Known {
    features: BTreeSet<u32>,
    words: BTreeSet<String>,
}

/// Unit vector over the known trigrams, by number; what is unknown only shortens the rest.
type Vector = Vec<(u32, f32)>;

impl Index {
    /// From `(intent, masked words)` of every example; `is_topic` picks the words that an intent is known by.
    pub fn build(examples: &[(usize, Vec<String>)], is_topic: impl Fn(usize, &str) -> bool) -> Index {
        let mut holding: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (intent, words) in examples {
            for feature in features(words) {
                holding.entry(feature).or_default().insert(*intent);
            }
        }
        let intents = examples.iter().map(|(intent, _)| intent).collect::<BTreeSet<_>>().len() as f32;
        let weight = |held: usize| (1.0 + intents / (held as f32 + 0.5)).ln();
        let numbered = (0..).zip(holding);
        let mut index = Index {
            features: numbered.map(|(number, (feature, held))| (feature, (number, weight(held.len())))).collect(),
            unknown_weight: weight(1),
            ..Index::default()
        };
        for (intent, words) in examples {
            let vector = index.vector(words);
            let known = index.known.entry(*intent).or_default();
            known.features.extend(vector.iter().map(|(feature, _)| feature));
            known.words.extend(words.iter().filter(|word| is_topic(*intent, word)).cloned());
            let topical = words.iter().any(|word| is_topic(*intent, word));
            index.examples.push(Example { intent: *intent, vector, topical });
        }
        index
    }

    /// Every intent that shares anything with the masked words, best first, scores from 0 to 1.
    /// `topical`: whether any of the words can carry a topic.
    pub fn rank(&self, words: &[String], topical: bool) -> Vec<(usize, f32)> {
        let turn = self.vector(words);
        let mut best: BTreeMap<usize, f32> = BTreeMap::new();
        for example in &self.examples {
            let entry = best.entry(example.intent).or_default();
            let frame = if example.topical && !topical { FRAME_ONLY } else { 1.0 };
            *entry = entry.max(frame * cosine(&turn, &example.vector));
        }
        let with_coverage =
            |(intent, score)| (intent, (1.0 - COVERAGE) * score + COVERAGE * self.coverage(&turn, intent));
        let mut ranking: Vec<(usize, f32)> =
            best.into_iter().map(with_coverage).filter(|(_, score)| *score > 0.0).collect();
        ranking.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranking
    }

    /// Whether an intent's examples hold this word, or one it may be misheard for.
    pub fn knows(&self, intent: usize, word: &str) -> bool {
        let known = self.known.get(&intent).map(|known| &known.words);
        known.is_some_and(|known| known.contains(word) || known.iter().any(|known| resembles(known, word)))
    }

    /// Pairs of examples of different intents that a caller's turn could not tell apart, by position.
    pub fn collisions(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (i, a) in self.examples.iter().enumerate() {
            for (j, b) in self.examples.iter().enumerate().skip(i + 1) {
                if a.intent != b.intent && cosine(&a.vector, &b.vector) >= COLLISION {
                    pairs.push((i, j));
                }
            }
        }
        pairs
    }

    /// Share of the turn's weight that the examples of an intent hold together.
    fn coverage(&self, turn: &Vector, intent: usize) -> f32 {
        let known = self.known.get(&intent).map(|known| &known.features);
        let knows = |feature: &u32| known.is_some_and(|known| known.contains(feature));
        turn.iter().filter(|(feature, _)| knows(feature)).map(|(_, weight)| weight * weight).sum()
    }

    /// A trigram said twice does not count twice: recognizers repeat.
    fn vector(&self, words: &[String]) -> Vector {
        let mut vector = Vector::new();
        let mut squares = 0.0;
        for feature in features(words) {
            let known = self.features.get(&feature);
            let weight = known.map_or(self.unknown_weight, |(_, weight)| *weight);
            squares += weight * weight;
            vector.extend(known.map(|(number, _)| (*number, weight)));
        }
        let norm = f32::sqrt(squares).max(f32::EPSILON);
        vector.iter_mut().for_each(|(_, weight)| *weight /= norm);
        // Numbers follow the order of the names, so this only makes sure of what `cosine` needs.
        vector.sort_unstable_by_key(|(number, _)| *number);
        vector
    }
}

/// Trigrams of the words with their edges; a masked entity (`<day>`) is one feature of its own.
fn features(words: &[String]) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    for word in words {
        if word.starts_with('<') {
            features.insert(word.clone());
            continue;
        }
        let padded: Vec<char> = std::iter::once('_').chain(word.chars()).chain(std::iter::once('_')).collect();
        features.extend(padded.windows(3).map(|window| window.iter().collect::<String>()));
    }
    features
}

/// Both sorted by feature number.
fn cosine(a: &Vector, b: &Vector) -> f32 {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut sum = 0.0;
    while let (Some((x, weight_x)), Some((y, weight_y))) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal => {
                sum += weight_x * weight_y;
                a.next();
                b.next();
            }
        }
    }
    sum
}
