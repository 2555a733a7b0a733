//! Whole conversations with the demo's agent, by `dauys rehearse`: one after the other, with pauses, spoken over, and
//! 1 to 80 at once. Writes the raw figures, a table and a plot; it asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use common::{Gateway, root};
use serde_json::Value;

/// The curve.
const AT_ONCE: [u32; 6] = [1, 5, 10, 20, 40, 80];
/// Fewer callers make several calls, so that there are turns to count.
const CALLS_MIN: u32 = 2;
const SCENARIOS: [&str; 7] = ["front-desk", "pauses", "barge-in", "noise", "loss", "echo", "silence"];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    // Whoever calls is answered here: the curve shows what the limit would keep from callers.
    let mut gateway = Gateway::start_with("bench-conversations", "", &["export DAUYS__CALLS__TURN_LATE_MS_MAX=0"]);
    for name in SCENARIOS.into_iter().filter(|name| wants(name)) {
        let result = rehearse(&gateway, name, name, &[]);
        println!("{}", summary(name, &result));
    }
    if wants("load") {
        let runs: Vec<(u32, Value)> = AT_ONCE.into_iter().map(|n| (n, load(&gateway, n))).collect();
        fs::write(root().join("docs/conversations.svg"), plot(&runs)).expect("written");
    }
    gateway.stop();
    let table = table();
    println!("{table}");
    fs::write(root().join("benches/results/conversations.md"), table).expect("written");
}

fn load(gateway: &Gateway, at_once: u32) -> Value {
    let (n, calls) = (at_once.to_string(), at_once.max(CALLS_MIN).to_string());
    rehearse(gateway, "load", &format!("load-{at_once}"), &["--at-once", &n, "--calls", &calls])
}

/// Runs a scenario of `configs/rehearsals` and keeps its result under `benches/results/rehearsals`.
fn rehearse(gateway: &Gateway, scenario: &str, name: &str, more: &[&str]) -> Value {
    let out = gateway.scratch.0.join(name);
    let api = format!("http://127.0.0.1:{}", gateway.http);
    let done = Command::new(env!("CARGO_BIN_EXE_dauys"))
        .arg("rehearse")
        .arg(root().join(format!("configs/rehearsals/{scenario}.toml")))
        .args(["--target", &gateway.target(), "--api", &api, "--out"])
        .arg(&out)
        .args(more)
        .status()
        .expect("dauys rehearse runs");
    eprintln!("{name}: {done}");
    let result = fs::read_to_string(out.join("result.json")).expect("a result");
    let folder = root().join("benches/results/rehearsals");
    fs::create_dir_all(&folder).expect("a folder");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    fs::write(folder.join(format!("{name}.json")), format!("{result}\n")).expect("written");
    fs::copy(out.join("report.html"), gateway.scratch.0.join(format!("{name}.html"))).expect("copied");
    result
}

/// Every result there is, from whichever run.
fn table() -> String {
    let read = |name: &str| -> Option<Value> {
        let path = root().join(format!("benches/results/rehearsals/{name}.json"));
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    };
    let mut text = String::from(
        "Command: `cargo bench --bench conversations`; of each part, the machine that it ran on last (shared cores, with callers \
         and gateway on the same ones). Milliseconds on the wire, from the packet with the caller's last speech to the first \
         with the agent's.\n\n",
    );
    for name in SCENARIOS {
        if let Some(result) = read(name) {
            let _ = writeln!(text, "{}", summary(name, &result));
        }
    }
    if let Some(machine) = read("load-1").map(|r| machine(&r)) {
        let _ = writeln!(text, "**load**, on {machine}:\n");
    }
    text += "| conversations at once | turns | p50 | p95 | p99 | max | p50 and p95 of the answer itself | failed turns | refused |\n|---|---|---|---|---|---|---|---|---|\n";
    for n in AT_ONCE {
        let Some(result) = read(&format!("load-{n}")) else { continue };
        let s = &result["summary"];
        let speech = &s["speech_ms"];
        let _ = writeln!(
            text,
            "| {n} | {} | {} | {} | {} | {} | {}, {} | {} | {} |",
            speech["count"],
            speech["p50"],
            speech["p95"],
            speech["p99"],
            speech["max"],
            s["content_ms"]["p50"],
            s["content_ms"]["p95"],
            s["failed_turns"],
            s["refused_calls"].as_array().map_or(0, Vec::len)
        );
    }
    text
}

fn machine(result: &Value) -> String {
    result["machine"].as_str().unwrap_or("an unnamed machine").to_owned()
}

fn summary(name: &str, result: &Value) -> String {
    let s = &result["summary"];
    let share = |key: &str| format!("{} of {}", s[key]["count"], s[key]["of"]);
    let times = |key: &str| {
        let t = &s[key];
        format!("p50 {}, p95 {}, max {} ({})", t["p50"], t["p95"], t["max"], t["count"])
    };
    let mut text = format!(
        "**{name}**, on {}: {} calls, {} turns, {} failed\n\n",
        machine(result),
        s["answered_calls"],
        s["turns"],
        s["failed_turns"]
    );
    let mut row = |what: &str, value: String| text += &format!("- {what}: {value}\n");
    let timed = |key: &str| s[key]["count"].as_u64().unwrap_or(0) > 0;
    let counted = |key: &str| s[key]["of"].as_u64().unwrap_or(0) > 0;
    if timed("speech_ms") {
        row("voice to voice", times("speech_ms"));
        row("to the answer itself, behind openers", times("content_ms"));
    }
    if counted("cut_offs") {
        row("cut off in pauses", share("cut_offs"));
    }
    if counted("yielded") {
        row("interruptions yielded to", share("yielded"));
        row("agent silent after", times("silence_ms"));
    }
    if counted("went_on") {
        row("sounds and nods spoken on through", share("went_on"));
        row("hole in the agent's speech", times("gap_ms"));
        if timed("twice_ms") {
            row("said twice", times("twice_ms"));
        }
    }
    row("callers' ticks late", format!("p99 {} ms", result["generator"]["late_p99_ms"]));
    text
}

/// Three lines over the number of conversations.
fn plot(runs: &[(u32, Value)]) -> String {
    let (left, top, wide, high) = (64.0, 48.0, 620.0, 260.0);
    let value = |run: &Value, key: &str| run["summary"]["speech_ms"][key].as_f64().unwrap_or(0.0);
    let most = runs.iter().map(|(_, r)| value(r, "p99")).fold(1000.0, f64::max).min(4000.0);
    let x = |i: usize| left + wide * i as f64 / (AT_ONCE.len() - 1) as f64;
    let y = |ms: f64| top + high * (1.0 - ms.min(most) / most);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"370\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" fill=\"#16212b\">Voice to voice in milliseconds, by conversations at once</text>\n",
    );
    let step = if most > 2000.0 { 500 } else { 200 };
    for ms in (0..=most as u32).step_by(step) {
        let y = y(f64::from(ms));
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#d9e0e6\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#5b6b78\">{ms}</text>",
            left + wide,
            left - 8.0,
            y + 4.0
        );
    }
    for (i, (n, _)) in runs.iter().enumerate() {
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"332\" text-anchor=\"middle\" fill=\"#5b6b78\">{n}</text>", x(i));
    }
    for (key, colour) in [("p50", "#0b6e6e"), ("p95", "#b4540a"), ("p99", "#7a2a52")] {
        let points: Vec<String> =
            runs.iter().enumerate().map(|(i, (_, r))| format!("{:.1},{:.1}", x(i), y(value(r, key)))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            points.join(" ")
        );
        if let Some((_, run)) = runs.last() {
            let at = y(value(run, key)) + 4.0;
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{key}</text>", left + wide + 8.0);
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"356\" text-anchor=\"middle\" fill=\"#5b6b78\">conversations at once, a turn about every eight seconds each</text>",
        left + wide / 2.0
    );
    svg + "</svg>\n"
}
