//! Which of the agent's examples a turn comes closest to: cosine over letter trigrams, each weighed by
//! how few examples of this agent hold it. No language model, no word list, no training: the same
//! words always give the same answer. It never decides alone: policy sets threshold and margin.

use std::collections::{BTreeMap, BTreeSet};

/// How much the share of the turn that an intent's examples know between them counts, beside the
/// nearest single example: a foreign word in a familiar frame is a warning.
const COVERAGE: f32 = 0.2;
/// What a sentence of several counts, beside the whole turn.
const SENTENCE: f32 = 0.9;
/// Below this the turn is none of the agent's business.
pub(crate) const THRESHOLD: f32 = 0.5;
/// Enough where the turn also names a day or a service that the matched fact answers by.
pub(crate) const ENTITY_THRESHOLD: f32 = 0.4;
/// So much better than the next intent the best has to be.
pub(crate) const MARGIN: f32 = 0.03;
/// From here on a match outweighs what else the turn could be, for example a name.
pub(crate) const STRONG: f32 = 0.65;
/// Two examples of different intents closer than this cannot be told apart.
pub(crate) const COLLISION: f32 = 0.93;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Weight of each trigram that an example holds.
    weights: BTreeMap<String, f32>,
    unknown_weight: f32,
    examples: Vec<Example>,
    /// Every trigram of an intent's examples together.
    vocabulary: BTreeMap<usize, BTreeSet<String>>,
}

#[derive(Debug)]
struct Example {
    intent: usize,
    vector: BTreeMap<String, f32>,
}

/// The best intent and the best of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ranking {
    pub intent: usize,
    pub score: f32,
    pub next: f32,
}

impl Index {
    /// From `(intent, masked words)` of every example.
    pub fn build(examples: &[(usize, Vec<String>)]) -> Index {
        let mut holding: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (intent, words) in examples {
            for feature in words.iter().flat_map(|word| features(word)) {
                holding.entry(feature).or_default().insert(*intent);
            }
        }
        let count = examples.iter().map(|(intent, _)| intent).collect::<BTreeSet<_>>().len() as f32;
        let weight = |held: usize| (1.0 + count / (held as f32 + 0.5)).ln();
        let mut index = Index {
            weights: holding.into_iter().map(|(feature, held)| (feature, weight(held.len()))).collect(),
            unknown_weight: weight(1),
            examples: Vec::new(),
            vocabulary: BTreeMap::new(),
        };
        for (intent, words) in examples {
            let known = index.vocabulary.entry(*intent).or_default();
            known.extend(words.iter().flat_map(|word| features(word)));
        }
        index.examples = examples
            .iter()
            .map(|(intent, words)| Example { intent: *intent, vector: index.vector(words) })
            .collect();
        index
    }

    /// The best match of a turn, given as the masked words of the whole turn and then of each of its
    /// sentences. A sentence counts a little less than the whole, a later one a little more than an
    /// earlier: people come to the point last. Score 0 where nothing is shared.
    pub fn rank(&self, pieces: &[Vec<String>]) -> Ranking {
        let mut best: BTreeMap<usize, f32> = BTreeMap::new();
        for (place, words) in pieces.iter().enumerate() {
            let weight = if place == 0 { 1.0 } else { (SENTENCE + 0.005 * place as f32).min(1.0) };
            let turn = self.vector(words);
            for (intent, score) in self.scores(&turn) {
                let entry = best.entry(intent).or_default();
                *entry = entry.max(weight * score);
            }
        }
        let mut ranking = Ranking::default();
        for (intent, score) in best {
            if score > ranking.score {
                ranking = Ranking { intent, score, next: ranking.score };
            } else if score > ranking.next {
                ranking.next = score;
            }
        }
        ranking
    }

    /// For each intent: its nearest example, and how much of the turn its examples know at all.
    fn scores(&self, turn: &BTreeMap<String, f32>) -> BTreeMap<usize, f32> {
        let mut best: BTreeMap<usize, f32> = BTreeMap::new();
        for example in &self.examples {
            let entry = best.entry(example.intent).or_default();
            *entry = entry.max(cosine(turn, &example.vector));
        }
        for (intent, score) in &mut best {
            *score = (1.0 - COVERAGE) * *score + COVERAGE * self.coverage(turn, *intent);
        }
        best
    }

    /// Share of the turn's weight that the examples of an intent hold together.
    fn coverage(&self, turn: &BTreeMap<String, f32>, intent: usize) -> f32 {
        let known = self.vocabulary.get(&intent);
        let knows = |feature: &String| known.is_some_and(|known| known.contains(feature));
        turn.iter().filter(|(feature, _)| knows(feature)).map(|(_, weight)| weight * weight).sum()
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

    /// Unit vector over trigrams.
    fn vector(&self, words: &[String]) -> BTreeMap<String, f32> {
        let mut vector: BTreeMap<String, f32> = BTreeMap::new();
        for feature in words.iter().flat_map(|word| features(word)) {
            let weight = self.weights.get(&feature).copied().unwrap_or(self.unknown_weight);
            // Said twice does not count twice: recognizers repeat.
            vector.insert(feature, weight);
        }
        let norm = vector.values().map(|weight| weight * weight).sum::<f32>().sqrt().max(f32::EPSILON);
        vector.values_mut().for_each(|weight| *weight /= norm);
        vector
    }
}

/// Trigrams of a word with its edges; a masked entity (`<day>`) is one feature of its own.
fn features(word: &str) -> Vec<String> {
    if word.starts_with('<') {
        return vec![word.to_owned()];
    }
    let padded: Vec<char> = std::iter::once('_').chain(word.chars()).chain(std::iter::once('_')).collect();
    padded.windows(3).map(|window| window.iter().collect()).collect()
}

fn cosine(a: &BTreeMap<String, f32>, b: &BTreeMap<String, f32>) -> f32 {
    a.iter().filter_map(|(feature, x)| b.get(feature).map(|y| x * y)).sum()
}
