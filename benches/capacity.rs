//! How many calls one core carries: real shard, sockets, driver, leg and voice activity detector, callers in a process
//! of their own on another core. Writes raw figures, a table and a plot; it asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "capacity/alone.rs"]
mod alone;
#[path = "capacity/calls.rs"]
mod calls;
#[path = "capacity/generator.rs"]
mod generator;
#[path = "capacity/report.rs"]
mod report;
mod shared;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use dauys::net::ports::Ports;
use dauys::net::shard::Shard;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use shared::resident_kib;

const CALLS: [usize; 9] = [100, 250, 500, 750, 1000, 1250, 1500, 2000, 2500];
/// The aim: so many milliseconds at p99.9, no frame late, none lost. Two steps in a row that miss it are the last.
const LATENESS_MS: f64 = 2.0;
/// Where the machine is shared it may stop for a while: a step that misses is tried again, and every try is kept.
const TRIES: usize = 3;
/// The gates have learnt what each line's silence sounds like by then.
const WARM_S: u64 = 12;
const MEASURED_S: u64 = 10;
/// Below the ports that the system gives to callers.
const PORTS: (u16, u16) = (10_000, 31_998);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |n: usize| args.get(n).and_then(|a| a.parse::<u64>().ok());
    if args.iter().any(|a| a == "--test") {
        // `cargo test --benches` only asks whether it starts.
        return;
    }
    if let (Some("generator"), Some(calls), Some(warm), Some(measured)) =
        (args.get(1).map(String::as_str), number(2), number(3), number(4))
    {
        return generator::run(calls as usize, warm, measured);
    }
    if args.iter().any(|a| a == "ticks") {
        // Alone, for a profiler: `perf record`, `valgrind --tool=callgrind`.
        return ticks().iter().for_each(|t| println!("{t}"));
    }
    let metrics = dauys::telemetry::init_metrics().expect("a recorder");
    let shard = Shard::spawn(0, dauys::strain::SharedStrain::default()).expect("a thread");
    let alone_kib = resident_kib();
    let thread = media_thread();
    // One core for the shard, another for its callers: a figure for one core means one core.
    let _ = Command::new("taskset").args(["-pc", "0", &thread]).stdout(Stdio::null()).status();
    let wanted = std::env::var("DAUYS_BENCH_CALLS").unwrap_or_default();
    let wanted: Vec<usize> = wanted.split(',').filter_map(|n| n.parse().ok()).collect();
    let calls = if wanted.is_empty() { CALLS.to_vec() } else { wanted.clone() };
    let ports = Ports::new(PORTS);
    let mut steps = vec![];
    for gate in [false, true] {
        let mut misses = 0;
        for &calls in &calls {
            let met = (0..TRIES).any(|_| {
                let mut step = step(&shard, &ports, calls, gate, &thread, &metrics);
                // Memory that earlier and more calls had says nothing of these.
                let had_more = steps.iter().any(|s: &Value| s["calls"].as_u64() > Some(calls as u64));
                let kib = step["resident_kib"].as_u64().unwrap_or(0).saturating_sub(alone_kib) / calls as u64;
                step["resident_kib_per_call"] = if had_more { Value::Null } else { json!(kib) };
                println!("{step}");
                let met = step["meets_the_aim"] == json!(true);
                steps.push(step);
                met
            });
            misses = if met { 0 } else { misses + 1 };
            if misses == 2 {
                break;
            }
        }
    }
    if wanted.is_empty() {
        report::write(&steps, &ticks());
    }
}

/// A tick's cost where nothing but calls runs.
fn ticks() -> Vec<Value> {
    let of = |gate, calls| json!({ "calls": calls, "gate": gate, "tick_us": alone::tick_us(calls, gate) });
    [false, true].into_iter().flat_map(|gate| [10, 100, 1000].map(|calls| of(gate, calls))).collect()
}

/// So many calls for ten seconds.
fn step(shard: &Shard, ports: &Ports, calls: usize, gate: bool, thread: &str, metrics: &PrometheusHandle) -> Value {
    let mut generator = generator(calls);
    let mut out = BufReader::new(generator.stdout.take().expect("piped"));
    let mut line = || {
        let mut line = String::new();
        out.read_line(&mut line).expect("the generator's word");
        line
    };
    let callers: Vec<u16> = line().split_whitespace().filter_map(|p| p.parse().ok()).collect();
    let Some(running) = calls::start(shard, ports, &callers, gate) else {
        let _ = generator.kill().and_then(|()| generator.wait());
        return json!({ "calls": calls, "gate": gate, "meets_the_aim": false, "too_busy_to_start": true });
    };
    let theirs: Vec<String> = running.ports.iter().map(u16::to_string).collect();
    let mut stdin = generator.stdin.take().expect("piped");
    writeln!(stdin, "{}", theirs.join(" ")).expect("a reader");
    assert_eq!(line().trim(), "measuring");
    let before = Sample::take(thread, metrics);
    let mut result: Value = serde_json::from_str(&line()).expect("JSON");
    let spent = Sample::take(thread, metrics).since(&before);
    let resident = resident_kib();
    let tally = std::sync::Arc::clone(&running.tally);
    drop(running);
    while tally.ended.load(Ordering::Relaxed) < calls as u64 {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(stdin);
    let _ = generator.wait();
    let sum = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
    let p999 = result["lateness_ms"]["p99.9"].as_f64().unwrap_or(f64::MAX);
    let clean = ["late_frames", "lost", "silent_calls"].iter().all(|k| result[k] == json!(0));
    result["meets_the_aim"] = json!(clean && p999 <= LATENESS_MS);
    result["calls"] = json!(calls);
    result["gate"] = json!(gate);
    result["gateway"] = spent;
    result["resident_kib"] = json!(resident);
    result["heard"] = json!({
        "packets": sum(&tally.received), "lost": sum(&tally.lost), "late": sum(&tally.late),
        "frames_concealed": sum(&tally.concealed),
    });
    result
}

fn generator(calls: usize) -> Child {
    let us = std::env::current_exe().expect("our own name");
    Command::new("taskset")
        .args(["-c", "1"])
        .arg(us)
        .args(["generator", &calls.to_string(), &WARM_S.to_string(), &MEASURED_S.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("taskset")
}

/// The shard's thread, as /proc names it.
fn media_thread() -> String {
    loop {
        for task in fs::read_dir("/proc/self/task").expect("a Linux system").flatten() {
            if fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "media-0") {
                return task.file_name().to_string_lossy().into_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the shard's thread and its core had spent by then, in seconds, and its own count of late ticks.
struct Sample {
    at: std::time::Instant,
    thread_s: f64,
    user_s: f64,
    core_s: f64,
    switches: u64,
    ticks: Vec<(String, u64)>,
}

impl Sample {
    fn take(thread: &str, metrics: &PrometheusHandle) -> Self {
        let task = format!("/proc/self/task/{thread}");
        let schedstat = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
        let ns = schedstat.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
        let switches = status.lines().filter(|l| l.contains("ctxt_switches")).filter_map(|l| l.split('\t').nth(1));
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let core = stat.lines().find_map(|l| l.strip_prefix("cpu0 ")).unwrap_or_default();
        let fields: Vec<f64> = core.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // All but idle and waiting for a disk.
        let busy: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|n| fields.get(*n)).sum();
        let rendered = metrics.render();
        let ticks = rendered.lines().filter_map(|l| {
            let (label, count) = l.strip_prefix("dauys_ticks_total{late_ms=\"")?.split_once("\"} ")?;
            Some((label.to_owned(), count.parse().ok()?))
        });
        Self {
            at: std::time::Instant::now(),
            thread_s: ns / 1e9,
            user_s: shared::user_s(&format!("{task}/stat")),
            core_s: busy / 100.0,
            switches: switches.filter_map(|n| n.trim().parse::<u64>().ok()).sum(),
            ticks: ticks.collect(),
        }
    }

    fn since(&self, before: &Self) -> Value {
        let wall_s = (self.at - before.at).as_secs_f64();
        let share = |s: f64| (s / wall_s * 1e4).round() / 1e4;
        let ticks = self.ticks.iter().map(|(label, count)| {
            let earlier = before.ticks.iter().find(|(l, _)| l == label).map_or(0, |(_, c)| *c);
            (label.clone(), json!(count - earlier))
        });
        json!({
            "core_share": share(self.thread_s - before.thread_s),
            "user_share": share(self.user_s - before.user_s),
            "core_busy": share(self.core_s - before.core_s),
            "switches_per_s": ((self.switches - before.switches) as f64 / wall_s).round(),
            "ticks_by_late_ms": ticks.collect::<serde_json::Map<_, _>>(),
        })
    }
}
