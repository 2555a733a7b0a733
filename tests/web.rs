//! Calls of web pages with a WebRTC stack that shares nothing with the gateway: heard, understood and answered by UDP and
//! by TCP, through changes of networks and reloads; refused with a reason where they may not call.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;
#[path = "web/doors.rs"]
mod doors;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use common::{Gateway, read_wav, recording, root, search_bytes, wait_for};
use serde_json::Value;

const WEB: &str = "[web]\nbind = \"127.0.0.1:0\"\ncalls_per_address = 100";
const QUESTION: &str = "hours_sat.bf_emma.wav";
/// Of what was heard, this much from the end is read: the answer.
const READ_S: usize = 8;

/// A page's call under way.
struct Page {
    child: Child,
    heard: PathBuf,
}

/// What became of it.
struct Talked {
    lines: Vec<String>,
    heard: PathBuf,
}

impl Page {
    fn open(gateway: &Gateway, name: &str, options: &[&str], steps: &[String]) -> Self {
        let heard = gateway.scratch.0.join(format!("{name}.wav"));
        let python = std::env::var("HOME").expect("a home") + "/.cache/dauys/venv/bin/python";
        let child = Command::new(python)
            .arg(root().join("tests/clients/aiortc_page.py"))
            .args([&format!("http://127.0.0.1:{}", gateway.http), "front-desk"])
            .arg(&heard)
            .args(options)
            .args(steps)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/setup.sh test installs aiortc");
        Self { child, heard }
    }

    fn end(self) -> Talked {
        let Output { stdout, stderr, status } = self.child.wait_with_output().expect("it ends");
        let lines: Vec<String> = String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect();
        let is_over = status.success() && lines.last().is_some_and(|l| l == "ended");
        assert!(is_over, "{status}: {lines:#?}{}", String::from_utf8_lossy(&stderr));
        Talked { lines, heard: self.heard }
    }
}

impl Talked {
    fn messages(&self, kind: &str) -> Vec<Value> {
        let messages = self.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages.filter(|message| message["type"] == kind).collect()
    }

    /// The API's record of its call.
    fn record(&self, gateway: &Gateway) -> Value {
        let hellos = self.messages("hello");
        let id = hellos[0]["call"].as_str().expect("an id");
        assert!(hellos.iter().all(|hello| hello["call"] == id), "one call: {hellos:?}");
        wait_for("the record", Duration::from_secs(30), || {
            Some(gateway.json(&format!("/api/v1/calls/{id}"))).filter(|call| call["state"] != "active")
        })
    }

    /// The answer, read by the recognizer that the gateway did not use.
    fn check_answer(&self) {
        let (rate, samples) = read_wav(&self.heard);
        assert_eq!(rate, 16_000);
        let tail = &samples[samples.len().saturating_sub(rate as usize * READ_S)..];
        let language = models::Language::parse("en").expect("a language");
        let whisper = models::RecognizerKind::Whisper;
        let text = models::oneshot::transcribe_with(whisper, tail, &language, &models::default_models_dir());
        let text = text.expect("dauys models pull has run").to_lowercase();
        for either in [["saturday", "saturday"], ["nine", "9"]] {
            assert!(either.iter().any(|word| text.contains(word)), "{:?}: no {either:?} in: {text}", self.heard);
        }
    }
}

/// Steps in words; `yes`: agrees by a click; `asks`: asks the question by voice, and hears the answer to its end.
fn steps(words: &str) -> Vec<String> {
    let until = |text: &str| format!("until:{text}");
    let mut steps = vec![];
    for word in words.split_whitespace() {
        match word {
            "yes" => steps.extend([
                until("\"type\":\"consent\""),
                "say:{\"type\":\"consent\",\"grant\":true}".into(),
                until("\"granted\":true"),
                until("\"state\":\"listening\""),
            ]),
            "asks" => steps.extend([
                format!("play:{}", recording(QUESTION).display()),
                until("from nine to two.\",\"final\":true"),
                "sleep:0.5".into(),
            ]),
            other => steps.push(other.into()),
        }
    }
    steps
}

struct Way {
    name: &'static str,
    options: &'static [&'static str],
    steps: &'static str,
}

/// All at once: each way leads to the same answer.
const WAYS: &[Way] = &[
    Way { name: "udp", options: &[], steps: "yes asks end" },
    Way { name: "tcp", options: &["--relay", "tcp"], steps: "yes asks end" },
    Way { name: "moves", options: &["--relay", "udp"], steps: "yes restart sleep:1 move restart asks end" },
    Way { name: "reloads", options: &[], steps: "yes reload until:\"type\":\"hello\" until:\"granted\":true asks end" },
];

#[test]
fn pages_talk_by_every_road() {
    let mut gateway = Gateway::start_with("web-roads", WEB, &[]);
    let open = |way: &Way| Page::open(&gateway, way.name, way.options, &steps(way.steps));
    let pages: Vec<Page> = WAYS.iter().map(open).collect();
    let talked: Vec<Talked> = pages.into_iter().map(Page::end).collect();
    for (way, talked) in WAYS.iter().zip(&talked) {
        let (name, call) = (way.name, talked.record(&gateway));
        assert_eq!((&call["codec"], &call["security"]), (&"opus".into(), &"dtls".into()), "{name}: {call:#}");
        assert_eq!(call["consent"], "granted by click", "{name}: {call:#}");
        assert_eq!(call["state"], "caller_hung_up", "{name}: {call:#}");
        let id = call["id"].as_str().expect("an id");
        let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript")).to_string().to_lowercase();
        assert!(transcript.contains("saturday") && transcript.contains("nine"), "{name}: {transcript}");
        let callers: Vec<Value> =
            talked.messages("caption").into_iter().filter(|c| c["who"] == "caller" && c["final"] == true).collect();
        let said = callers.iter().any(|c| c["text"].to_string().to_lowercase().contains("saturday"));
        assert!(said, "{name}: the caller's words are shown: {callers:?}");
        assert!(talked.lines.iter().any(|l| l == "deleted 200"), "{name}");
    }
    check_description(&talked[0].lines);
    gateway.stop();
    let log = gateway.log();
    assert!(!log.to_lowercase().contains("saturday"), "words reached the log");
    let secrets = talked.iter().flat_map(|t| t.messages("hello"));
    for secret in secrets.filter_map(|h| h["resume"].as_str().map(str::to_owned)) {
        assert!(secret.len() == 32 && !log.contains(&secret), "a page's secret reached the log");
    }
    talked.iter().for_each(Talked::check_answer);
}

/// One port for all, by UDP and by TCP, a data channel beside the audio.
fn check_description(lines: &[String]) {
    let answer: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("answer ")).collect();
    let holds = |text: &str| answer.iter().any(|line| line.contains(text));
    for part in ["a=ice-lite", "a=end-of-candidates", "a=sctp-port:5000", "a=group:BUNDLE 0 1", "tcptype passive"] {
        assert!(holds(part), "{part} not in {answer:#?}");
    }
    let ports: Vec<&str> =
        answer.iter().filter(|l| l.contains("candidate:")).filter_map(|l| l.split(' ').nth(5)).collect();
    assert!(ports.len() >= 2 && ports.iter().all(|port| port == &ports[0]), "{answer:#?}");
}

/// Keys as telephone events and over the data channel mean the same. A page's caller cannot be put through to a phone.
#[test]
fn keys_come_by_sound_and_by_message() {
    let mut gateway = Gateway::start_with("web-keys", WEB, &[]);
    // As on a phone, a key counts as an answer once the question was heard.
    let asked = "until:\"state\":\"listening\"";
    let wish = "until:\"type\":\"consented\"";
    let by_event = [asked, "key:1", wish, "sleep:2", "end"];
    let zero = "say:{\"type\":\"digit\",\"digit\":\"0\"}";
    let by_message =
        [asked, "say:{\"type\":\"digit\",\"digit\":\"2\"}", wish, "sleep:3", zero, "until:nobody is answering", "end"];
    let open = |name, steps: &[&str]| {
        let steps: Vec<String> = steps.iter().map(|s| (*s).to_owned()).collect();
        Page::open(&gateway, name, &[], &steps)
    };
    let pages = [open("event", &by_event), open("message", &by_message)];
    let [event, message] = pages.map(Page::end);
    assert_eq!(event.record(&gateway)["consent"], "granted by key");
    let refused = message.record(&gateway);
    assert_eq!(refused["consent"], "refused by key");
    gateway.stop();
    // Of a call that was not agreed to nothing is kept.
    assert!(search_bytes(&[&gateway.data()], "nobody is answering").is_empty());
}

/// A page that goes without a word: its call ends after `reconnect_s`, and a page that nobody hears from is forgotten.
#[test]
fn a_page_that_is_gone_ends_its_call() {
    let mut gateway = Gateway::start_with("web-gone", &format!("{WEB}\nreconnect_s = 5"), &[]);
    let page = Page::open(&gateway, "gone", &[], &steps("yes sleep:60"));
    wait_for("the call", Duration::from_secs(30), || (gateway.active_calls() == 1).then_some(()));
    std::thread::sleep(Duration::from_secs(8));
    let mut child = page.child;
    child.kill().expect("it runs");
    let _ = child.wait();
    let ended = gateway.ended_calls_within(1, Duration::from_secs(15));
    assert_eq!(ended[0]["state"], "lost", "{:#}", ended[0]);
    gateway.stop();
}

/// `dauys call` to a page's address, and `dauys rehearse`: heard, answered, hung up; and refused with a reason.
#[test]
fn our_own_callers_call_as_pages_do() {
    let mut gateway = Gateway::start_with("web-own", WEB, &[]);
    let target = |agent: &str| format!("http://127.0.0.1:{}/whip/{agent}", gateway.http);
    let dauys = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dauys")).args(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let question = recording(QUESTION);
    let question = question.to_str().expect("UTF-8");
    let (code, said) = dauys(&["call", &target("front-desk"), "--keys", "1", "--play", question, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(said.trim()).expect("JSON");
    assert_eq!((&report["codec"], &report["ended_by"]), (&"opus".into(), &"caller".into()), "{report:#}");
    assert_eq!(report["packets_lost"], 0, "{report:#}");
    assert!(report["turns"].as_array().is_some_and(|turns| turns.len() == 2), "{report:#}");
    let (code, said) = dauys(&["call", &target("nobody")]);
    assert!(code == Some(1) && said.contains("404") && said.contains("no agent of this name"), "{said}");
    let calls = gateway.ended_calls(1);
    assert_eq!((&calls[0]["consent"], &calls[0]["state"]), (&"granted by key".into(), &"caller_hung_up".into()));

    let out = gateway.scratch.0.join("rehearsal");
    let (out, scenario) = (out.to_str().expect("UTF-8"), root().join("configs/rehearsals/silence.toml"));
    let api = format!("http://127.0.0.1:{}", gateway.http);
    let scenario = scenario.to_str().expect("UTF-8");
    let target = target("front-desk");
    let (_, said) = dauys(&["rehearse", scenario, "--target", &target, "--api", &api, "--calls", "1", "--out", out]);
    let result = std::fs::read_to_string(format!("{out}/result.json")).unwrap_or_else(|e| panic!("{e}: {said}"));
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["summary"]["answered_calls"], 1, "{said}");
    let call = &result["calls"][0];
    assert!(call["id"].is_string() && call["ended_by"] == "agent", "{said}");
    gateway.stop();
}
