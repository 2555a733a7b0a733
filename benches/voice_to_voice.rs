//! Twenty calls, one question each: from the caller's last speech sent to the agent's first speech
//! received, on the wire. Writes the raw figures, a table and a plot; it asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;
mod shared;

use std::fmt::Write as _;
use std::fs;

use common::{Gateway, dauys_call, recording, root};
use serde_json::{Value, json};
use shared::{machine, quantile};

/// Two voices each; every one is answered from the demo's own facts or forms.
const QUESTIONS: [&str; 20] = [
    "hours_sat.am_michael",
    "hours_sat.bf_emma",
    "hours_plain.bf_emma",
    "hours_plain.af_bella",
    "address.af_bella",
    "address.am_fenrir",
    "price_cleaning.am_fenrir",
    "price_cleaning.am_michael",
    "parking.am_michael",
    "parking.bf_emma",
    "book_full.bf_emma",
    "book_full.af_bella",
    "book_start.af_bella",
    "book_start.am_fenrir",
    "cancel.bf_emma",
    "cancel.af_bella",
    "human.am_fenrir",
    "human.am_michael",
    "bye.af_bella",
    "bye.am_fenrir",
];
const STAGES: [&str; 5] = ["draft_ms", "heard_ms", "scored_ms", "committed_ms", "first_frame_ms"];

struct Turn {
    name: &'static str,
    wire_ms: Option<u64>,
    /// The gateway's own clock, after the last speech it heard.
    stages: Value,
}

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let mut gateway = Gateway::start("bench-v2v");
    let turns: Vec<Turn> = QUESTIONS.iter().enumerate().map(|(n, name)| ask(&gateway, n, name)).collect();
    gateway.stop();
    let wire: Vec<u64> = sorted(turns.iter().filter_map(|t| t.wire_ms).collect());
    let table = table(&turns, &wire);
    println!("{table}");
    let raw = json!({
        "machine": machine(),
        "turns": turns.iter().map(|t| json!({ "said": t.name, "wire_ms": t.wire_ms, "stages": t.stages })).collect::<Vec<_>>(),
        "wire_p50_ms": quantile(&wire, 0.5),
        "wire_p95_ms": quantile(&wire, 0.95),
    });
    shared::write("voice_to_voice", &raw, &table);
    fs::write(root().join("docs/voice_to_voice.svg"), plot(&turns, &wire)).expect("written");
}

fn ask(gateway: &Gateway, n: usize, name: &'static str) -> Turn {
    let wav = recording(&format!("{name}.wav"));
    let report = dauys_call(gateway, &["--keys", "2", "--play", wav.to_str().expect("UTF-8")]);
    let spoken = report["turns"].as_array().and_then(|t| t.get(1)).cloned().unwrap_or_default();
    let call = gateway.ended_calls(n + 1).into_iter().next().expect("the call just made");
    let turns = call["turns"].as_array().cloned().unwrap_or_default();
    let stages = turns.into_iter().find(|t| t["draft_ms"].is_u64()).unwrap_or_default();
    let turn = Turn { name, wire_ms: spoken["voice_to_voice_ms"].as_u64(), stages };
    eprintln!("{name:<28} {:?} ms", turn.wire_ms);
    turn
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

fn show(value: Option<u64>) -> String {
    value.map_or("–".into(), |v| v.to_string())
}

fn table(turns: &[Turn], wire: &[u64]) -> String {
    let mut text = format!("Machine: {} (shared). Command: `make bench`.\n\n", machine());
    let _ = writeln!(text, "| | p50 ms | p95 ms | answered |\n|---|---|---|---|");
    let row = |name: &str, values: &[u64]| {
        let (p50, p95) = (show(quantile(values, 0.5)), show(quantile(values, 0.95)));
        format!("| {name} | {p50} | {p95} | {} of {} |\n", values.len(), turns.len())
    };
    text += &row("**voice to voice, on the wire**", wire);
    for stage in STAGES {
        let values = sorted(turns.iter().filter_map(|t| t.stages[stage].as_u64()).collect());
        text += &row(&format!("gateway: `{stage}`"), &values);
    }
    let _ = writeln!(
        text,
        "\n| said | wire ms | judged | draft | heard | scored | committed | first frame |\n|---|---|---|---|---|---|---|---|"
    );
    for t in turns {
        let stages = STAGES.map(|s| show(t.stages[s].as_u64())).join(" | ");
        let judged = t.stages["judgement"].as_str().unwrap_or("–");
        let _ = writeln!(text, "| {} | {} | {judged} | {stages} |", t.name, show(t.wire_ms));
    }
    text
}

/// One bar a call, in the colours of both light and dark pages.
fn plot(turns: &[Turn], wire: &[u64]) -> String {
    let (left, bar, wide) = (190, 18, 520.0);
    let most = wire.last().copied().unwrap_or(1).max(600) as f64;
    let height = turns.len() * bar + 70;
    let x = |ms: u64| f64::from(left) + ms as f64 / most * wide;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" fill=\"#16212b\">Voice to voice, milliseconds on the wire: p50 {}, p95 {}</text>\n",
        show(quantile(wire, 0.5)),
        show(quantile(wire, 0.95))
    );
    for ms in (0..=most as u64).step_by(200) {
        let (x, bottom) = (x(ms), height - 22);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"34\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#d9e0e6\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#5b6b78\">{ms}</text>",
            height - 8
        );
    }
    for (n, t) in turns.iter().enumerate() {
        let y = 40 + n * bar;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#16212b\">{}</text>",
            left - 8,
            y + 11,
            t.name
        );
        if let Some(ms) = t.wire_ms {
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" rx=\"3\" fill=\"#0b6e6e\"/>",
                x(ms) - f64::from(left),
                bar - 5
            );
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" fill=\"#16212b\">{ms}</text>", x(ms) + 5.0, y + 11);
        }
    }
    svg + "</svg>\n"
}
