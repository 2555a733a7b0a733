//! Calls as web pages make them: how soon the agent is heard, how soon it answers, what a call costs in memory, and two
//! hundred of them held. Writes raw figures and a table; it asserts no time.
//!
//! `cargo bench --bench web -- [connect] [talk] [hold] [--calls N] [--seconds N] [--shards N]`: parts, all without one; the figures of
//! parts that were not run stay as they are.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "capacity/calls.rs"]
mod calls;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "web/crowd.rs"]
mod crowd;
#[path = "web/hold.rs"]
mod hold;
#[path = "web/report.rs"]
mod report;
mod shared;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Gateway, root};
use dauys::caller::{self, CallOptions, Party, Step};
use serde_json::{Value, json};
use shared::quantile;

/// Calls whose beginning is timed, after one that warms up.
const CONNECTS: usize = 50;
const CALLS: usize = 200;
const SECONDS: u64 = 600;
/// Media threads: one for each of two cores.
const SHARDS: u64 = 2;
const WEB: &str = "[web]\nbind = \"127.0.0.1:0\"\ncalls_per_address = 1000";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--test") {
        // `cargo test --benches` only asks whether it starts.
        return;
    }
    let number = |name: &str, default: u64| {
        let mut after = args.iter().skip_while(|a| *a != name);
        after.nth(1).and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let (calls, seconds) = (number("--calls", CALLS as u64) as usize, number("--seconds", SECONDS));
    if args.first().is_some_and(|a| a == "crowd") {
        return crowd::run(calls, seconds);
    }
    let parts = ["connect", "talk", "hold"];
    let named = |part: &str| args.iter().any(|a| a == part);
    let wants = |part: &str| named(part) || !parts.into_iter().any(named);
    let mut raw = report::read();
    // Parts may have been measured on different machines.
    let mut keep = |part: &str, mut figures: Value| {
        figures["machine"] = json!(shared::machine());
        raw[part] = figures;
    };
    if wants("connect") || wants("talk") {
        let mut gateway = Gateway::start_with("bench-web", WEB, &["export DAUYS__CALLS__TURN_LATE_MS_MAX=0"]);
        if wants("connect") {
            keep("connect", connect(&gateway));
        }
        if wants("talk") {
            keep("talk", talk(&gateway));
        }
        gateway.stop();
    }
    if wants("hold") {
        keep("hold", hold::run(calls, seconds, number("--shards", SHARDS) as usize));
    }
    report::write(&raw);
}

fn target(gateway: &Gateway) -> String {
    format!("http://127.0.0.1:{}/whip/front-desk", gateway.http)
}

/// Hangs up as soon as it hears the agent.
#[derive(Default)]
struct Ear {
    heard: bool,
}

impl Party for Ear {
    fn begin(&mut self, _: Instant) {}

    fn next(&mut self, _: Instant) -> Step {
        if self.heard { Step::HangUp } else { Step::Silence }
    }

    fn hear(&mut self, _: &[i16; 320]) {}

    fn speech_arrived(&mut self, _: Instant) {
        self.heard = true;
    }
}

/// From the offer to the first packet with the agent's voice, one call after the other.
fn connect(gateway: &Gateway) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = CallOptions::new(target(gateway), Duration::from_secs(20));
    let mut times = vec![];
    for n in 0..=CONNECTS {
        let report = runtime.block_on(caller::call(&options, &mut Ear::default())).expect("a call");
        let reached = report.answered_ms.expect("it was answered");
        let heard = report.first_speech_ms.expect("the agent speaks");
        if n > 0 {
            times.push((heard, reached));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let sorted = |of: fn(&(u32, u32)) -> u32| {
        let mut all: Vec<u32> = times.iter().map(of).collect();
        all.sort_unstable();
        json!({ "p50": quantile(&all, 0.5), "p95": quantile(&all, 0.95), "max": all.last(), "all": all })
    };
    let found = json!({ "calls": times.len(), "heard_ms": sorted(|t| t.0), "reached_ms": sorted(|t| t.1) });
    println!("{found}");
    found
}

/// The demo's rehearsal, by WebRTC: the same callers, the same measure as over SIP.
fn talk(gateway: &Gateway) -> Value {
    let out = gateway.scratch.0.join("talk");
    let done = Command::new(env!("CARGO_BIN_EXE_dauys"))
        .arg("rehearse")
        .arg(root().join("configs/rehearsals/front-desk.toml"))
        .args(["--target", &target(gateway), "--api", &format!("http://127.0.0.1:{}", gateway.http), "--out"])
        .arg(&out)
        .status()
        .expect("dauys rehearse runs");
    eprintln!("talk: {done}");
    let result = std::fs::read_to_string(out.join("result.json")).expect("a result");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    let folder = root().join("benches/results/rehearsals");
    std::fs::write(folder.join("web.json"), format!("{result}\n")).expect("written");
    println!("{}", result["summary"]);
    json!({ "summary": result["summary"], "generator": result["generator"] })
}
