//! How well the front desk understands sentences that are not in its file, in numbers. Each share that
//! is asserted is what was measured, rounded down: a change that understands less fails here.

use std::collections::BTreeMap;

use super::data_english::{
    MISHEARD, OUTSIDE, RECORDED, REPHRASED, SECOND, SECOND_OUTSIDE, THIRD, THIRD_OUTSIDE, UNSEEN, UNSEEN_OUTSIDE,
};
use super::{data_russian, *};

/// Counts how many sentences get the expected intent, and how many are taken for something else than it
/// or "I don't know": the harmful kind. At least `right` and at most `wrong` percent are asserted.
fn measure(name: &str, file: &str, cases: &[(&str, String)], right: f64, wrong: f64) {
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
    let percent = |kind: &str| 100.0 * counts.get(kind).copied().unwrap_or(0) as f64 / cases.len() as f64;
    let told =
        format!("{name}: {} sentences, {:.1} % right, {:.1} % wrong", cases.len(), percent("right"), percent("wrong"));
    println!("{told}");
    assert!(percent("right") >= right && percent("wrong") <= wrong, "{told}; asserted {right} and {wrong}");
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
    let check = |name, list, right, wrong| measure(name, ENGLISH, &cases(list), right, wrong);
    check("recorded", RECORDED, 100.0, 0.0);
    check("misheard", MISHEARD, 100.0, 0.0);
    check("rephrased", REPHRASED, 98.0, 0.0);
    check("second list", SECOND, 95.0, 2.0);
    check("third list", THIRD, 94.0, 2.0);
    check("last list", UNSEEN, 86.0, 4.0);
    measure("a word dropped", ENGLISH, &dropped(RECORDED), 95.0, 2.0);
}

#[test]
fn what_is_none_of_the_clinics_business_is_not_answered() {
    measure("outside", ENGLISH, &outside(OUTSIDE), 98.0, 2.0);
    measure("second list outside", ENGLISH, &outside(SECOND_OUTSIDE), 100.0, 0.0);
    measure("third list outside", ENGLISH, &outside(THIRD_OUTSIDE), 92.0, 8.0);
    measure("last list outside", ENGLISH, &outside(UNSEEN_OUTSIDE), 100.0, 0.0);
}

#[test]
fn russian_callers_are_understood() {
    measure("russian", RUSSIAN, &cases(data_russian::ASKED), 98.0, 0.0);
    measure("russian outside", RUSSIAN, &outside(data_russian::OUTSIDE), 100.0, 0.0);
}
