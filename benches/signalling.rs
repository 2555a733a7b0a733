//! How many calls a second one core sets up and tears down: the endpoint and its sockets without media, against
//! sipp at a rising rate until calls fail. Writes the raw figures and a table; it asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod shared;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dauys::net::roads::{Incoming, Roads, RoadsConfig};
use serde_json::{Value, json};
use shared::{machine, resident_kib};
use sip::sdp::{self, LocalMedia};
use sip::{Endpoint, EndpointConfig, Event, Output};

/// Calls a second, one step after the other.
const RATES: [u32; 8] = [250, 500, 1000, 1500, 2000, 3000, 4000, 6000];
const SECONDS: u32 = 15;

/// What the responder's thread tells about itself.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    thread: AtomicU64,
    calls: AtomicU64,
    transactions: AtomicU64,
    answered: AtomicU64,
    retransmissions: AtomicU64,
}

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let watch = Arc::new(Watch::default());
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let theirs = Arc::clone(&watch);
    let responder = std::thread::Builder::new().name("responder".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(respond(&theirs, tell));
    });
    let responder = responder.expect("a thread");
    let at = told.recv().expect("bound");
    let thread = watch.thread.load(Ordering::Relaxed);
    // One core for the responder, the other for sipp: a figure for one core means one core.
    let _ = Command::new("taskset").args(["-pc", "0", &thread.to_string()]).stdout(Stdio::null()).status();
    let folder = std::env::temp_dir().join(format!("dauys-signalling-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let before_kib = resident_kib();
    let mut steps = vec![];
    for rate in RATES {
        let step = step(&folder, at, rate, &watch);
        println!("{step}");
        let is_over = step["failed"].as_u64() != Some(0);
        steps.push(step);
        if is_over {
            break;
        }
    }
    let peak_kib = resident_kib();
    // Transactions live 32 s past their end (RFC 3261, timers J, L and H).
    std::thread::sleep(Duration::from_secs(36));
    let left = (watch.calls.load(Ordering::Relaxed), watch.transactions.load(Ordering::Relaxed));
    let result = json!({
        "machine": machine(), "command": "make bench", "seconds_per_step": SECONDS, "steps": steps,
        "resident_kib": { "before": before_kib, "after_last_step": peak_kib, "after_36_s_of_rest": resident_kib() },
        "left_open": { "calls": left.0, "transactions": left.1 },
    });
    watch.stop.store(true, Ordering::Relaxed);
    let _ = responder.join();
    let _ = fs::remove_dir_all(&folder);
    write(&result);
}

/// The gateway's signalling without a gateway behind it: answers at once, with a description of nobody's media.
async fn respond(watch: &Watch, tell: std::sync::mpsc::SyncSender<SocketAddr>) {
    let config = RoadsConfig { udp: vec![([127, 0, 0, 1], 0).into()], ..RoadsConfig::default() };
    let mut roads = Roads::bind(config).await.expect("a free port");
    let at = roads.listeners().first().expect("one").address;
    watch.thread.store(thread_id(), Ordering::Relaxed);
    let mut config = EndpointConfig::new(at, 7);
    config.max_calls = 100_000;
    config.max_transactions = 1_000_000;
    let mut endpoint = Endpoint::new(config);
    let local = LocalMedia::new(SocketAddr::new(at.ip(), 9), 1);
    let _ = tell.send(at);
    while !watch.stop.load(Ordering::Relaxed) {
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Send { to, bytes } => roads.send(to, bytes),
                Output::Event(Event::Incoming { call, offer, .. }) => {
                    let answer = offer.and_then(|o| sdp::answer(&o, &local).ok()).expect("sipp offers PCMU");
                    endpoint.answer(Instant::now(), call, &answer.body).expect("it waits");
                }
                Output::Event(Event::Established { .. }) => _ = watch.answered.fetch_add(1, Ordering::Relaxed),
                Output::Event(_) | Output::Banned(_) => {}
            }
        }
        watch.calls.store(endpoint.calls() as u64, Ordering::Relaxed);
        watch.transactions.store(endpoint.transactions() as u64, Ordering::Relaxed);
        watch.retransmissions.store(endpoint.stats().retransmissions, Ordering::Relaxed);
        let due = endpoint.deadline().unwrap_or_else(|| Instant::now() + Duration::from_millis(200));
        let due = due.min(Instant::now() + Duration::from_millis(200));
        tokio::select! {
            biased;
            incoming = roads.recv() => if let Incoming::Message { from, bytes } = incoming {
                endpoint.handle(Instant::now(), from, bytes);
            },
            () = tokio::time::sleep_until(due.into()) => endpoint.handle_timeout(Instant::now()),
        }
    }
}

fn step(folder: &Path, at: SocketAddr, rate: u32, watch: &Watch) -> Value {
    let busy_before = busy_s(watch);
    let answered_before = watch.answered.load(Ordering::Relaxed);
    let again_before = watch.retransmissions.load(Ordering::Relaxed);
    let started = Instant::now();
    let calls = rate * SECONDS;
    let status = Command::new("taskset")
        .args(["-c", "1", "sipp", "-sn", "uac", "-d", "0", "-i", "127.0.0.1", "-nostdin", "-r", &rate.to_string()])
        .args(["-m", &calls.to_string(), "-l", "20000", "-trace_stat", "-fd", "1", "-timeout", "60"])
        .args(["-stf", "stat.csv", "-max_retrans", "5", "-buff_size", "4194304"])
        .arg(at.to_string())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("scripts/setup.sh test installs sipp");
    let wall_s = started.elapsed().as_secs_f64();
    let stat = fs::read_to_string(folder.join("stat.csv")).unwrap_or_default();
    let field = |name: &str| last(&stat, name).unwrap_or(0);
    let _ = fs::remove_file(folder.join("stat.csv"));
    let answered = watch.answered.load(Ordering::Relaxed) - answered_before;
    json!({
        "rate_per_s": rate, "calls": calls, "succeeded": field("SuccessfulCall(C)"), "failed": field("FailedCall(C)"),
        "sipp_retransmissions": field("Retransmissions(C)"),
        "our_retransmissions": watch.retransmissions.load(Ordering::Relaxed) - again_before,
        "established": answered, "sipp_ok": status.success(), "wall_s": (wall_s * 100.0).round() / 100.0,
        "achieved_per_s": (f64::from(calls) / wall_s).round(),
        "core_share": ((busy_s(watch) - busy_before) / wall_s * 1000.0).round() / 1000.0,
        "open_transactions": watch.transactions.load(Ordering::Relaxed), "resident_kib": resident_kib(),
    })
}

/// The last row's value of a column in sipp's statistics.
fn last(stat: &str, column: &str) -> Option<u64> {
    let mut lines = stat.lines();
    let at = lines.next()?.split(';').position(|name| name == column)?;
    lines.last()?.split(';').nth(at)?.parse().ok()
}

fn thread_id() -> u64 {
    let link = fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(0)
}

/// CPU seconds that the responder's thread has used.
fn busy_s(watch: &Watch) -> f64 {
    shared::busy_s(&format!("/proc/self/task/{}/stat", watch.thread.load(Ordering::Relaxed)))
}

fn write(result: &Value) {
    let mut table = format!(
        "Machine: {} (shared). Command: `make bench`. One thread on one core, sipp on another, {SECONDS} s a step.\n\n\
         | calls/s | calls | failed | retransmitted (sipp, us) | share of the core |\n|---|---|---|---|---|\n",
        machine()
    );
    for s in result["steps"].as_array().into_iter().flatten() {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {}, {} | {} |",
            s["rate_per_s"],
            s["calls"],
            s["failed"],
            s["sipp_retransmissions"],
            s["our_retransmissions"],
            s["core_share"]
        );
    }
    let memory = &result["resident_kib"];
    let _ = writeln!(
        table,
        "\nResident memory: {} KiB before, {} KiB after the last step, {} KiB after 36 s of rest. Left open: {} calls, {} transactions.",
        memory["before"],
        memory["after_last_step"],
        memory["after_36_s_of_rest"],
        result["left_open"]["calls"],
        result["left_open"]["transactions"]
    );
    println!("{table}");
    shared::write("signalling", result, &table);
}
