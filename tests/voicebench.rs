//! PyPI's voicebench against a real SIP call: a caller by pjsua2 talks to the demo's front desk, and what was to be heard on
//! the line is measured there, by a program that knows nothing of the gateway. With `UPDATE_RESULTS=1` five calls are
//! made, and the figures kept under benches/results.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;
#[path = "../benches/shared/mod.rs"]
mod shared;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use common::baresip::free_port;
use common::{Gateway, root};
use serde_json::{Value, json};

/// Above this no figure means anything.
const BRIDGE_MS_MAX: f64 = 80.0;
/// A machine whose processors are idle less than this is busy with something else: a call takes a fifth of two.
const IDLE_MIN: f64 = 0.5;
/// Calls, if a busy machine spoils them.
const ATTEMPTS: usize = 3;
/// The end of the answer that three sounds fall into; no other answer has these words.
const HEARD_TO_ITS_END: &str = "and on Sunday we are closed.";

fn python(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("HOME").expect("a home")).join(".cache/dauys/venv/bin").join(name)
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

struct Bridge {
    process: Process,
    port: u16,
    /// What it says of each connection, once it has ended.
    said: JoinHandle<Vec<Value>>,
}

impl Bridge {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(python("python"))
            .arg(root().join("tests/voicebench/bridge.py"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/setup.sh test installs pjsua2 and voicebench");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let process = Process(child);
        let port = lines.find_map(|l| l.strip_prefix("listening ")?.parse().ok()).expect("the bridge listens");
        let said = std::thread::spawn(move || lines.filter_map(|l| serde_json::from_str(&l).ok()).collect());
        Self { process, port, said }
    }

    fn end(self) -> Vec<Value> {
        drop(self.process);
        self.said.join().expect("it read")
    }

    /// Plays the scenario so many times: report.json, and what stands on the terminal.
    fn bench(&self, scenario: &str, sessions: usize, out: &Path) -> (Value, String) {
        let output = Command::new(python("voicebench"))
            .arg("run")
            .arg(root().join(format!("tests/voicebench/{scenario}.yaml")))
            .args(["--url", &format!("ws://127.0.0.1:{}", self.port), "--repeat", &sessions.to_string(), "--out"])
            .arg(out)
            .output()
            .expect("scripts/setup.sh test installs voicebench");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // 1: a gate does not hold, which the report says better.
        let has_run = output.status.code().is_some_and(|code| code <= 1);
        assert!(has_run, "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        let report = fs::read_to_string(out.join("report.json")).expect("a report");
        (serde_json::from_str(&report).expect("JSON"), text)
    }
}

/// What the bridge adds to a call, both ways together, in milliseconds and in order: an echo is called in the agent's
/// place. voicebench's resolution is 10 ms.
fn bridge_adds(scratch: &Path) -> Vec<f64> {
    let (sip, media) = (free_port(), free_port() & !1);
    let _echo = Process(
        Command::new("sipp")
            .args(["-sn", "uas", "-i", "127.0.0.1", "-p", &sip.to_string()])
            .args(["-rtp_echo", "-mp", &media.to_string(), "-m", "1", "-nostdin"])
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/setup.sh test installs sipp"),
    );
    let bridge = Bridge::start(&[&format!("sip:echo@127.0.0.1:{sip}")]);
    let (report, text) = bridge.bench("loop", 1, &scratch.join("loop"));
    bridge.end();
    let begins = |track: &str| -> Vec<f64> {
        let segments = report["sessions"][0][track].as_array().expect("segments");
        segments.iter().map(|s| s[0].as_f64().expect("seconds")).collect()
    };
    let (sent, came) = (begins("user_segments"), begins("agent_segments"));
    assert_eq!((sent.len(), came.len()), (5, 5), "each burst comes back once: {text}");
    let mut added: Vec<f64> = sent.iter().zip(&came).map(|(s, c)| ((c - s) * 1000.0).round()).collect();
    added.sort_by(f64::total_cmp);
    added
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The processors' time since the machine was started, all of it and what nobody used (proc(5), `/proc/stat`).
struct Processors {
    all: u64,
    idle: u64,
}

impl Processors {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("Linux has it");
        let first = stat.lines().next().expect("a line");
        // User, nice, system, idle, waiting for disks, interrupts (2), stolen by the host; guests are in user.
        let times: Vec<u64> = first.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
        Self { all: times.iter().sum(), idle: times[3] + times[4] }
    }

    fn idle_since(&self, before: &Self) -> f64 {
        (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64
    }
}

/// What does not hold in a whole run. On a busy machine times say nothing.
fn failures_of_gates(report: &Value, busy: bool) -> Vec<String> {
    let mut failures = vec![];
    let timed = |gate: &Value| gate["key"].as_str().is_some_and(|key| key.ends_with("_ms"));
    for gate in list(&report["assertions"]).iter().filter(|g| g["passed"] != true && !(busy && timed(g))) {
        failures.push(format!("{} is {}, not {}", gate["key"], gate["actual"], gate["limit"]));
    }
    // voicebench counts these and has no gate for them.
    for never in ["spurious_responses", "talk_overs"] {
        if report["summary"][never] != 0 {
            failures.push(format!("{never}: {}", report["summary"][never]));
        }
    }
    failures
}

/// What does not hold in one call. An agent that stops for a cough and at once says something else has not stopped in
/// voicebench's eyes; the gateway's own record tells.
fn failures_of_call(session: &Value, call: &Value, transcript: &Value) -> Vec<String> {
    let mut failures = vec![];
    let turns = list(&session["turns"]);
    for turn in turns {
        if turn["passed"] != true {
            failures.push(format!("{}: {}", turn["id"], turn["notes"]));
        } else if turn["expect"] == "ignore" && !turn["transcript"].is_null() {
            failures.push(format!("{} was taken for words: {}", turn["id"], turn["transcript"]));
        }
    }
    let spoken = turns.iter().filter(|t| t["expect"] != "ignore").count();
    let taken = list(&call["turns"]).len();
    if taken != spoken {
        failures.push(format!("the caller took {spoken} turns, the gateway {taken}"));
    }
    let agent = list(&transcript["lines"]).iter().filter(|l| l["speaker"] == "agent");
    let said: Vec<&str> = agent.filter_map(|l| l["text"].as_str()).collect();
    if !said.join(" ").contains(HEARD_TO_ITS_END) {
        failures.push(format!("the answer with sounds in it was not heard to its end: {said:?}"));
    }
    failures
}

/// Figures for people: what the bridge added, then voicebench's own report.
fn page(added: &[f64], sessions: &[Value], report: &str) -> String {
    let mut page = format!(
        "Machine: {} (shared). Command: `UPDATE_RESULTS=1 cargo test --release --test voicebench`.\n\n\
         Everything below includes what the bridge adds, both ways together: {} to {} ms, {} ms at the median.\n",
        shared::machine(),
        added[0],
        added[added.len() - 1],
        added[added.len() / 2],
    );
    let gaps: u64 = sessions.iter().filter_map(|s| s["gaps_in_speech"].as_u64()).sum();
    let _ =
        writeln!(page, "Frames of the caller's that the bridge had too late: {gaps} in {} calls.\n", sessions.len());
    // Its title becomes a heading of ours.
    page + "#" + report
}

#[test]
fn voicebench_passes_its_gates() {
    let keeps = std::env::var_os("UPDATE_RESULTS").is_some();
    let sessions = if keeps { 5 } else { 1 };
    let mut gateway = Gateway::start("voicebench");
    for attempt in 1..=ATTEMPTS {
        let before = Processors::now();
        let run = Run::new(&gateway, sessions, attempt);
        let idle = Processors::now().idle_since(&before);
        let busy = idle < IDLE_MIN;
        println!("attempt {attempt}, processors idle {:.0} %\n{}", idle * 100.0, run.text);
        let failures = run.failures(&gateway, busy);
        if failures.is_empty() && !(busy && keeps) {
            if keeps {
                run.keep();
            }
            break;
        }
        assert!(busy && attempt < ATTEMPTS, "idle {:.0} %: {failures:#?}", idle * 100.0);
        println!("the machine is busy with something else, and this call proves nothing: {failures:#?}");
    }
    gateway.stop();
}

/// The scenario, played so many times, and what came of it.
struct Run {
    added: Vec<f64>,
    said: Vec<Value>,
    report: Value,
    text: String,
    out: PathBuf,
    sessions: usize,
    /// Calls of the gateway's once it is over.
    calls: usize,
}

impl Run {
    fn new(gateway: &Gateway, sessions: usize, attempt: usize) -> Self {
        let scratch = gateway.scratch.0.join(format!("attempt-{attempt}"));
        fs::create_dir(&scratch).expect("makes a folder");
        let added = bridge_adds(&scratch);
        let bridge = Bridge::start(&[&gateway.target(), "--api", &format!("http://127.0.0.1:{}", gateway.http)]);
        let out = scratch.join("report");
        let (report, text) = bridge.bench("front-desk", sessions, &out);
        let said = bridge.end();
        let text = format!("the bridge adds {added:?} ms\n{}\n{text}", json!(said));
        Self { added, said, report, text, out, sessions, calls: sessions * attempt }
    }

    fn failures(&self, gateway: &Gateway, busy: bool) -> Vec<String> {
        let mut failures = failures_of_gates(&self.report, busy);
        let median = self.added[self.added.len() / 2];
        if median > BRIDGE_MS_MAX && !busy {
            failures.push(format!("the bridge adds {median} ms: what else runs here?"));
        }
        // The newest is first.
        let calls = gateway.ended_calls(self.calls);
        let newest = &calls[..self.sessions];
        for (session, call) in list(&self.report["sessions"]).iter().zip(newest.iter().rev()) {
            let id = call["id"].as_str().expect("an id");
            let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript"));
            failures.extend(failures_of_call(session, call, &transcript));
        }
        failures
    }

    fn keep(&self) {
        let markdown = fs::read_to_string(self.out.join("report.md")).expect("a report");
        let raw = json!({
            "machine": shared::machine(), "bridge_adds_ms": self.added, "bridge": self.said, "voicebench": self.report,
        });
        shared::write("voicebench", &raw, &page(&self.added, &self.said, &markdown));
    }
}
