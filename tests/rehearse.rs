//! A rehearsal against a real gateway: callers are simulated, SIP, RTP and the agent are not. It asserts what is
//! reported, never how fast the machine was.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Gateway, Scratch, root};
use serde_json::Value;

/// One caller with a pause in its question.
const STEPS: &str = "
[[caller]]
name = \"asks\"
step = [
  { keys = \"2\" },
  { say = [\"hours_sat.bf_emma\"] },
  { say = [\"parking.bf_emma\"], pause = [{ at_ms = 190, ms = [700] }] },
]
";

fn scenario(folder: &Path, name: &str, more: &str) -> PathBuf {
    let path = folder.join(format!("{name}.toml"));
    let recordings = root().join("tests/data/callers");
    fs::write(&path, format!("name = \"A <short> one\"\nrecordings = {recordings:?}\n{more}")).expect("written");
    path
}

fn rehearse(scenario: &Path, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
    command.arg("rehearse").arg(scenario).arg("--out").arg(out).args(arguments);
    command.output().expect("dauys rehearse runs")
}

#[test]
fn callers_are_answered_measured_and_drawn() {
    let mut gateway = Gateway::start("rehearse");
    let folder = gateway.scratch.0.clone();
    let (target, api) = (gateway.target(), format!("http://127.0.0.1:{}", gateway.http));
    let good = scenario(
        &folder,
        "good",
        &format!("[load]\ncalls = 2\nat_once = 2\n[aim]\np95_ms = 8000\nfailed_max = 0\n{STEPS}"),
    );
    let hard = scenario(&folder, "hard", &format!("[aim]\np50_ms = 1\nyield_percent_min = 98\n{STEPS}"));
    let (good_out, hard_out) = (folder.join("good"), folder.join("hard"));
    let (done, missed) = std::thread::scope(|s| {
        let done = s.spawn(|| rehearse(&good, &good_out, &["--target", &target, "--api", &api, "--json"]));
        let missed = s.spawn(|| rehearse(&hard, &hard_out, &["--target", &target]));
        (done.join().expect("no panic"), missed.join().expect("no panic"))
    });
    gateway.stop();

    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    let printed: Value = serde_json::from_slice(&done.stdout).expect("JSON on stdout");
    let written = fs::read_to_string(good_out.join("result.json")).expect("result.json");
    assert_eq!(printed, serde_json::from_str::<Value>(&written).expect("JSON"));
    check_result(&printed);
    check_page(&fs::read_to_string(good_out.join("report.html")).expect("report.html"));

    assert_eq!(missed.status.code(), Some(1));
    let told = String::from_utf8_lossy(&missed.stderr);
    assert!(told.contains("missed: p50_ms is ") && told.contains("missed: yield_percent_min has nothing"), "{told}");
    assert!(String::from_utf8_lossy(&missed.stdout).contains("voice to voice"));
    assert!(hard_out.join("report.html").exists());
}

fn check_result(result: &Value) {
    let summary = &result["summary"];
    assert_eq!((&summary["answered_calls"], &summary["failed_turns"]), (&2.into(), &0.into()), "{summary}");
    assert_eq!(summary["cut_offs"]["of"], 2, "the pause of each caller: {summary}");
    assert!(result["generator"]["ticks"].as_u64() > Some(500), "{}", result["generator"]);
    assert!(result["machine"].as_str().is_some_and(|m| m.contains("cores")));
    for call in result["calls"].as_array().expect("calls") {
        assert_eq!(call["joined"], true, "{call}");
        assert_eq!(call["ended_by"], "caller");
        assert!(call["caller_speech"].as_array().is_some_and(|s| s.len() >= 4), "{call}");
        assert!(call["agent_speech"].as_array().is_some_and(|s| s.len() >= 3), "{call}");
        let turns = call["turns"].as_array().expect("turns");
        assert_eq!(turns.len(), 3);
        let question = &turns[1];
        let wire = question["voice_to_voice_ms"].as_i64().expect("an answer");
        let stages = &question["stages"];
        let (first, outside) = (stages["first_frame_ms"].as_i64(), stages["outside_ms"].as_i64());
        assert_eq!(first.zip(outside).map(|(f, o)| f + o), Some(wire), "the breakdown adds up: {question}");
        assert_eq!(turns[2]["pauses"].as_array().map(Vec::len), Some(1), "{}", turns[2]);
    }
}

fn check_page(page: &str) {
    for part in
        ["distribution of voice to voice", "what the time was spent on", "who spoke when", "class=\"tile good\""]
    {
        assert!(page.contains(part), "the report has no {part:?}");
    }
    assert!(page.contains("A &lt;short&gt; one") && !page.contains("<short>"));
    assert!(
        !page.contains("<script") && !page.contains("http://") && !page.contains("https://"),
        "it needs nothing else"
    );
}

#[test]
fn what_is_wrong_is_said_before_any_call() {
    let scratch = Scratch::new("rehearse-bad");
    let step = |step: &str| format!("[[caller]]\nname = \"a\"\n[[caller.step]]\n{step}\n");
    for (name, text, arguments, wanted) in [
        ("key", step("sya = [\"yes.am_fenrir\"]"), &[][..], "line 6"),
        ("wav", step("say = [\"nobody.am_fenrir\"]"), &["--target", "sip:a@127.0.0.1:9"], "caller \"a\", step 1"),
        ("target", step("say = [\"yes.am_fenrir\"]"), &[], "give --target"),
        ("load", step("say = [\"yes.am_fenrir\"]"), &["--at-once", "0"], "`at_once` takes 1 to"),
        (
            "cut",
            step("say = [\"yes.am_fenrir\"]\npause = [{ at_ms = 9000, ms = [500] }]"),
            &["--target", "sip:a@127.0.0.1:9"],
            "shorter than a pause's `at_ms`",
        ),
        (
            "api",
            step("say = [\"yes.am_fenrir\"]"),
            &["--target", "sip:a@127.0.0.1:9", "--api", "http://127.0.0.1:9"],
            "the API at http://127.0.0.1:9 does not answer",
        ),
    ] {
        let out = scratch.0.join(name);
        let run = rehearse(&scenario(&scratch.0, name, &text), &out, arguments);
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && told.contains(wanted), "{name}: {told}");
        assert!(!out.exists(), "{name}: nothing was measured, nothing is written");
    }
}
