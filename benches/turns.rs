//! When a caller has finished: what each sign of it is worth, and how many pauses are answered into for how quick an
//! answer. Offline, in the sound's own time. Writes raw figures, tables and a plot; it asserts no time.
#![allow(clippy::expect_used, clippy::print_stdout)]

#[path = "turns/hearing.rs"]
mod hearing;
#[path = "turns/material.rs"]
mod material;
#[path = "turns/plot.rs"]
mod plot;
#[path = "turns/report.rs"]
mod report;
mod shared;
#[path = "turns/signs.rs"]
mod signs;
#[path = "turns/ways.rs"]
mod ways;

use std::fs;
use std::sync::Arc;

use dauys::dialogue::Agent;
use models::{Engines, EnginesConfig, Language, RecognizerKind};

const AGENT: &str = include_str!("../configs/agents/front-desk.toml");

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let english = Language::parse("en").expect("a language");
    let mut config = EnginesConfig::default();
    config.recognizers.insert(english.clone(), RecognizerKind::Moonshine);
    let engines = Engines::load(&config).expect("dauys models pull");
    let agent = Arc::new(Agent::parse(AGENT).expect("the demo's agent"));
    let samples = material::listen(&mut hearing::Hearing::new(&engines, &english), &agent);
    let costs = |line: Vec<ways::Way>| line.into_iter().map(|way| ways::Cost::of(way, &samples)).collect::<Vec<_>>();
    let lines: Vec<_> = ways::Way::lines().into_iter().map(costs).collect();
    let page = report::page(&samples, &lines);
    println!("{page}");
    shared::write("turns", &report::raw(&samples, &lines), &page);
    fs::write(shared::root().join("docs/turns.svg"), plot::plot(&lines)).expect("written");
}
