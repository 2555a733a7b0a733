//! Those who knock at every SIP port: SIPVicious finds nothing, cracks nothing and disturbs nobody. Each of its tools
//! comes from an address of its own on loopback; no test measures how fast it is turned away.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{Gateway, Scratch, root, wait_for};

const SECRET: &str = "long-and-unguessable";
/// The account of the trunk; it appears in no log.
const USER: &str = "office-7731";
/// What scanners try; all of it is somebody or something here but the last.
const NAMES: [&str; 5] = ["front-desk", "1001", USER, "447190355", "nobody-at-all"];
/// Where the trunk that is known by its address sends from.
const CARRIER: &str = "127.0.0.2";
/// Counters are published every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run of one of SIPVicious' tools: what it printed and how it ended.
struct Run {
    said: String,
    /// 30: it lost its target; 40: it got in.
    code: Option<i32>,
}

/// `name`: how it calls itself; unchanged it is `friendly-scanner`.
fn sipvicious(gateway: &Gateway, from: &str, name: &str, tool: &str, arguments: &[&str]) -> Run {
    let python = std::env::var("HOME").expect("a home") + "/.cache/dauys/venv/bin/python";
    let output: Output = Command::new("timeout")
        .args(["60", &python])
        .arg(root().join("tests/clients/sipvicious_as.py"))
        .args([from, name, tool, &format!("-p{}", gateway.sip)])
        .args(arguments)
        .arg("127.0.0.1")
        // It keeps its notes at home.
        .env("HOME", &gateway.scratch.0)
        .stdin(Stdio::null())
        .output()
        .expect("scripts/setup.sh test installs SIPVicious");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("Traceback") && !said.contains("No module"), "{tool} itself failed: {said}");
    Run { said, code: output.status.code() }
}

fn svwar(gateway: &Gateway, from: &str, name: &str, method: &str, names: &Path) -> Run {
    let names = names.to_str().expect("UTF-8");
    sipvicious(gateway, from, name, "svwar", &["--force", "--maximumtime=3", "-m", method, "-d", names])
}

fn svcrack(gateway: &Gateway, from: &str, method: &str, passwords: &Path) -> Run {
    let passwords = passwords.to_str().expect("UTF-8");
    sipvicious(gateway, from, "phone", "svcrack", &["--maximumtime=3", "-m", method, "-u", USER, "-d", passwords])
}

/// A file of lines in the test's folder.
fn lines(scratch: &Scratch, name: &str, lines: &[String]) -> PathBuf {
    let file = scratch.0.join(name);
    fs::write(&file, lines.join("\n") + "\n").expect("written");
    file
}

/// Refuses strangers; takes calls of one trunk by its password, of another by its address.
fn guarded(name: &str) -> Gateway {
    let trunks = format!(
        "[[trunk]]\nname = \"pbx\"\ndigest_in = true\nuser = \"{USER}\"\npassword_env = \"TRUNK_PASSWORD\"\n\
         [[trunk]]\nname = \"carrier\"\naddresses = [\"{CARRIER}\"]\n"
    );
    let password = format!("export TRUNK_PASSWORD={SECRET}");
    Gateway::start_with(name, &trunks, &["export DAUYS__SIP__STRANGERS=refuse", &password])
}

fn dropped(gateway: &Gateway, reason: &str) -> u64 {
    let (_, metrics) = gateway.get("/metrics");
    let name = format!("dauys_sip_dropped_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|l| l.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// Nothing of whom they were after, and nothing of where they sat.
fn check_log(gateway: &Gateway) {
    let log = gateway.log();
    for word in ["127.0.0.2", "127.0.0.3", "127.0.0.4", SECRET, USER, "447190355", "nobody-at-all"] {
        let line = log.lines().find(|l| l.contains(word));
        assert!(line.is_none(), "{word} is in the log: {line:?}");
    }
    assert!(log.contains("an address is not heard any more"), "a ban is said");
}

/// The answer to one request for `user`, without what is made anew for every answer.
fn answer(gateway: &Gateway, from: &str, method: &str, user: &str) -> String {
    let socket = UdpSocket::bind((from, 0)).expect("loopback");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let port = gateway.sip;
    let request = format!(
        "{method} sip:{user}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK1{method}{user};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:me@{from}>;tag=1\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {user}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:me@{from}>\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), ("127.0.0.1", port)).expect("sent");
    let mut bytes = [0; 4096];
    let len = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("{method} {user}: {e}"));
    let text = String::from_utf8_lossy(&bytes[..len]).replace(user, "USER");
    // The rport, the tag and the nonce differ from answer to answer, not from name to name.
    let lines = text.lines().map(|l| {
        let cut = ["rport=", ";tag=", "nonce=\""].iter().find_map(|mark| Some(l.find(mark)? + mark.len()));
        let (head, tail) = l.split_at(cut.unwrap_or(l.len()));
        let tail = tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        format!("{head}{tail}\n")
    });
    lines.collect()
}

#[test]
fn every_name_gets_the_same_answer() {
    let mut gateway = guarded("same-answer");
    for (n, (method, status)) in [("INVITE", "401"), ("REGISTER", "405"), ("OPTIONS", "200")].iter().enumerate() {
        // Three addresses, so that none asks too often.
        let from = format!("127.0.0.{}", 30 + n);
        let answers: Vec<String> = NAMES.iter().map(|user| answer(&gateway, &from, method, user)).collect();
        assert!(answers[0].starts_with(&format!("SIP/2.0 {status} ")), "{method}: {}", answers[0]);
        assert!(answers.iter().all(|a| a == &answers[0]), "{method}: {answers:#?}");
    }
    gateway.stop();
}

/// Calls from the carrier's address, all of which must succeed.
fn carrier_calls(gateway: &Gateway, calls: u32) {
    let output = Command::new("sipp")
        .args(["-sn", "uac", "-d", "1500", "-m", &calls.to_string(), "-r", "2", "-i", CARRIER, "-nostdin"])
        .args(["-timeout", "90", "-timeout_error"])
        .arg(format!("127.0.0.1:{}", gateway.sip))
        .current_dir(&gateway.scratch.0)
        .stdout(Stdio::null())
        .output()
        .expect("scripts/setup.sh test installs sipp");
    assert!(output.status.success(), "{} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn scanners_find_nothing_and_a_trunk_calls_on() {
    let scratch = Scratch::new("scanners-files");
    let mut gateway = guarded("scanners");
    let names = lines(&scratch, "names", &NAMES.map(str::to_owned));
    let many = lines(&scratch, "many", &(1..=300).map(|n| (4300 + n).to_string()).collect::<Vec<_>>());
    let passwords = |wrong: usize| {
        let guesses = (0..wrong).map(|n| format!("wrong-{n}")).chain([SECRET.to_owned()]).collect::<Vec<_>>();
        lines(&scratch, &format!("passwords-{wrong}"), &guesses)
    };
    let (few, too_many) = (passwords(2), passwords(10));
    thread::scope(|s| {
        let gateway = &gateway;
        let calls = s.spawn(|| carrier_calls(gateway, 40));
        for (n, method) in ["REGISTER", "OPTIONS", "INVITE"].into_iter().enumerate() {
            let (names, many) = (&names, &many);
            s.spawn(move || {
                // Names that are somebody's, and one that is nobody's: no difference to be found.
                let run = svwar(gateway, &format!("127.0.0.4{n}"), "phone", method, names);
                assert!(run.said.contains("found nothing"), "svwar {method}: {}", run.said);
                let run = svwar(gateway, &format!("127.0.0.4{n}"), "phone", method, many);
                assert!(run.said.contains("found nothing"), "svwar {method}: {}", run.said);
                // It names itself, and is not even answered.
                let run = svwar(gateway, &format!("127.0.0.3{n}"), "friendly-scanner", method, names);
                assert!(run.said.contains("found nothing") && run.code == Some(30), "svwar {method}: {}", run.said);
            });
        }
        for (n, method) in ["REGISTER", "INVITE"].into_iter().enumerate() {
            let (few, too_many) = (&few, &too_many);
            s.spawn(move || {
                // Nobody registers here, so that passwords can be tried with INVITE only.
                let found = svcrack(gateway, &format!("127.0.0.6{n}"), method, few).code == Some(40);
                assert_eq!(found, method == "INVITE", "the third guess is right, or the test proves nothing");
                let run = svcrack(gateway, &format!("127.0.0.7{n}"), method, too_many);
                assert!(run.code != Some(40) && run.said.contains("found nothing"), "svcrack {method}: {}", run.said);
                assert!(!run.said.contains(SECRET), "svcrack {method}: {}", run.said);
            });
        }
        s.spawn(move || {
            let run = sipvicious(gateway, "127.0.0.8", "friendly-scanner", "svmap", &[]);
            assert!(run.said.contains("found nothing"), "{}", run.said);
            let run = sipvicious(gateway, "127.0.0.9", "phone", "svmap", &[]);
            assert!(run.said.contains("dauys"), "that something speaks SIP here is no secret: {}", run.said);
        });
        calls.join().expect("the carrier calls");
    });
    wait_for("the counter of what was dropped", PATIENCE, || (dropped(&gateway, "banned") > 10).then_some(()));
    // The one with the right password never acknowledged its answer, so that it is no call.
    let calls = gateway.ended_calls_within(40, PATIENCE);
    assert!(calls.len() == 40 && calls.iter().all(|c| c["trunk"] == "carrier"), "{calls:#?}");
    gateway.stop();
    check_log(&gateway);
}

#[test]
fn the_scanner_does_find_what_an_open_gateway_shows() {
    // Without this nobody knows whether the scanner works. Here strangers are answered, and one number exists.
    let scratch = Scratch::new("open-files");
    let rules = "[[route]]\ncalled = \"447190355\"\nagent = \"front-desk\"\n[[route]]\nreject = 404\n";
    let mut gateway = Gateway::start_with("open", rules, &[]);
    let names = lines(&scratch, "names", &NAMES.map(str::to_owned));
    let run = svwar(&gateway, "127.0.0.50", "phone", "INVITE", &names);
    assert!(run.said.contains("447190355") && !run.said.contains("found nothing"), "{}", run.said);
    gateway.stop();
}
