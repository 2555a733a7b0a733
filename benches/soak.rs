//! Many calls for a long time over a bad line: does anything leak or stop? A gateway with the demo's agent, two
//! hundred sipp phones behind a relay that loses and delays. It asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "shared/phones.rs"]
mod phones;
#[path = "../tests/common/relay.rs"]
mod relay;
mod shared;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Gateway, root};
use phones::Phones;
use relay::{Relay, Weather};
use serde_json::{Value, json};

const WEATHER: Weather = Weather { loss: 0.02, burst: 2.0, jitter_ms: 30, delay_ms: 20, twice: 0.002 };
/// Callers who speak; the others only breathe.
const SPEAKING: usize = 4;

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let number = |name: &str, default: usize| {
        let mut arguments = std::env::args().skip_while(|a| a != name);
        arguments.nth(1).and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let (minutes, calls) = (number("--minutes", 60), number("--calls", 200));
    let mut gateway = Gateway::start_with("soak", "", &["export DAUYS__CALLS__MAX=240"]);
    let relay = Relay::start(([127, 0, 0, 1], gateway.sip).into(), WEATHER, 7);
    let before = sample(&gateway, &relay, 0.0);
    let callers = [
        Phones::start(&gateway.scratch.0, relay.sip, "front-desk", &phones::quiet(), calls - SPEAKING, 40_000),
        Phones::start(&gateway.scratch.0, relay.sip, "front-desk", &phones::talk(), SPEAKING, 48_000),
    ];
    let samples = watch(&gateway, &relay, minutes);
    let ended = callers.map(|phones| phones.end(Duration::from_secs(180)));
    let failed: u64 = ended.iter().map(|s| s["failed"].as_u64().unwrap_or(0)).sum();
    // The last calls end, sockets close, and what engines still hold goes.
    std::thread::sleep(Duration::from_secs(40));
    let after = sample(&gateway, &relay, minutes as f64 * 60.0 + 40.0);
    let result = json!({
        "machine": shared::machine(), "minutes": minutes, "calls_at_once": calls, "weather": format!("{WEATHER:?}"),
        "sipp": ended, "failed_calls": failed, "before": before, "after": after, "samples": samples,
    });
    gateway.stop();
    println!(
        "{}",
        serde_json::to_string_pretty(&json!({ "before": before, "after": after, "failed": failed })).expect("JSON")
    );
    fs::write(root().join("benches/results/soak.json"), serde_json::to_string(&result).expect("JSON") + "\n")
        .expect("written");
}

fn watch(gateway: &Gateway, relay: &Relay, minutes: usize) -> Vec<Value> {
    let started = Instant::now();
    let mut samples = vec![];
    while started.elapsed() < Duration::from_secs(minutes as u64 * 60) {
        std::thread::sleep(Duration::from_secs(15));
        let sample = sample(gateway, relay, started.elapsed().as_secs_f64());
        eprintln!("{sample}");
        samples.push(sample);
    }
    samples
}

/// What would grow if something leaked.
fn sample(gateway: &Gateway, relay: &Relay, at_s: f64) -> Value {
    let process = PathBuf::from(format!("/proc/{}", gateway.pid()));
    let count = |name: &str| fs::read_dir(process.join(name)).map_or(0, Iterator::count);
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    let resident_kib: u64 = resident.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let cpu_s = shared::busy_s(&process.join("stat").to_string_lossy());
    let metrics = gateway.get("/metrics").1;
    let metric = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|l| l.split([' ', '{']).next() == Some(name));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    json!({
        "at_s": at_s.round(), "active_calls": metric("dauys_calls_active"), "resident_kib": resident_kib,
        "files": count("fd"), "threads": count("task"), "cpu_s": cpu_s,
        "late_ticks": metric("dauys_ticks_late_total"), "relay_passed": relay.counts.passed.load(Ordering::Relaxed),
        "relay_lost": relay.counts.lost.load(Ordering::Relaxed), "relay_calls": relay.counts.sessions.load(Ordering::Relaxed),
    })
}
