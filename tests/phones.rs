//! Phones that share no code with the gateway, over every road: they call and are called, agree by key, hold, resume,
//! transfer and hang up. Each test has its own gateway; none measures speed.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
#[path = "common/linphone.rs"]
mod linphone;
#[path = "common/pki.rs"]
mod pki;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::baresip::{Baresip, free_port};
use common::{Gateway, Scratch, read_wav, root, to_16k, wait_for, write_wav};
use linphone::Linphone;
use pki::Pki;
use serde_json::{Value, json};

/// What a caller does, in seconds after the answer. Greeting and question are over by the tenth second, the thanks
/// by the fourteenth.
const AGREES: f32 = 11.0;
const HOLDS: f32 = 14.0;
const RESUMES: f32 = 16.5;
/// The key that lets the agent repeat what it said.
const ASKS_AGAIN: f32 = 17.0;
const LEAVES: f32 = 21.0;
/// Whoever is called and says nothing is greeted three seconds later.
const SAYS_NOTHING: f32 = 3.0;

/// A gateway on UDP, TCP and TLS, and what its callers need.
struct Line {
    gateway: Gateway,
    files: Files,
    tcp: u16,
    tls: u16,
}

/// Certificates and silence, in a folder that is there before the gateway.
struct Files {
    scratch: Scratch,
    pki: Pki,
    silence: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("{name}-files"));
        let silence = scratch.0.join("silence.wav");
        write_wav(&silence, 8000, &[0; 8000 * 60]);
        Self { pki: Pki::make(&scratch.0.join("pki")), scratch, silence }
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.scratch.0.join(name);
        fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    fn baresip(&self, name: &str, more: &str) -> Baresip {
        let account = format!("<sip:100@127.0.0.1>;regint=0;audio_codecs=pcmu{more}");
        let pki = &self.pki;
        let tls = format!("sip_cafile {}\nsip_certificate {}\n", pki.ca.display(), pki.both.display());
        Baresip::start(&self.dir(name), &self.silence, &account, &tls)
    }

    /// A call with pjsua2: what it said, once it is over, and what it heard.
    fn pjsua2(&self, name: &str, target: &str, actions: &str) -> Pjsua2 {
        let heard = self.dir(name).join("heard.wav");
        let python = std::env::var("HOME").expect("a home") + "/.cache/dauys/venv/bin/python";
        let child = Command::new(python)
            .arg(root().join("tests/clients/pjsua2_call.py"))
            .arg(target)
            .args([&self.silence, &heard])
            .args(["50", actions])
            .envs([("PJSUA2_CA", &self.pki.ca), ("PJSUA2_CERT", &self.pki.cert), ("PJSUA2_KEY", &self.pki.key)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/setup.sh test installs pjsua2");
        Pjsua2 { child, heard }
    }

    fn sipp(&self, name: &str, scenario: &str, arguments: &[&str]) -> Child {
        let dir = self.dir(name);
        // Scenarios find their key presses in `pcap/`.
        let _ = std::os::unix::fs::symlink("/usr/share/sip-tester", dir.join("pcap"));
        Command::new("sipp")
            .arg("-sf")
            .arg(root().join("tests/clients").join(scenario))
            .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", &free_port().to_string(), "-nostdin"])
            .args(["-timeout", "90", "-timeout_error"])
            .args(arguments)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/setup.sh test installs sipp")
    }
}

struct Pjsua2 {
    child: Child,
    heard: PathBuf,
}

impl Pjsua2 {
    /// It must have said all of this, in this order.
    fn end(self, wants: &[&str]) -> PathBuf {
        let Output { stdout, stderr, .. } = self.child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&stdout).into_owned();
        let mut rest = said.as_str();
        for want in wants {
            let error = || format!("no {want:?} in its place: {said}{}", String::from_utf8_lossy(&stderr));
            rest = rest.split_once(want).unwrap_or_else(|| panic!("{}", error())).1;
        }
        self.heard
    }
}

/// The scenario must have gone to its end.
fn succeeded(name: &str, sipp: Child) {
    let output = sipp.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

impl Line {
    fn start(name: &str, files: Files, more: &str) -> Self {
        let (tcp, tls) = (free_port(), free_port());
        let set = |key: &str, value: String| format!("export DAUYS__SIP__{key}='{value}'");
        let path = |p: &Path| p.display().to_string();
        let shell = [
            set("TCP", format!("127.0.0.1:{tcp}")),
            set("TLS", format!("127.0.0.1:{tls}")),
            set("CERT", path(&files.pki.cert)),
            set("KEY", path(&files.pki.key)),
            set("TRUSTED_CA", path(&files.pki.ca)),
        ];
        let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
        Self { gateway: Gateway::start_with(name, more, &shell), files, tcp, tls }
    }

    fn uri(&self, transport: &str) -> String {
        match transport {
            "udp" => self.gateway.target(),
            "tcp" => format!("sip:front-desk@127.0.0.1:{};transport=tcp", self.tcp),
            "tls" => format!("sip:front-desk@127.0.0.1:{};transport=tls", self.tls),
            other => panic!("{other}"),
        }
    }

    /// Lets the first agent call `to` through the trunk: status and body.
    fn order(&self, trunk: &str, to: &str, ring_s: u32) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}/api/v1/calls", self.gateway.http);
        let order = json!({ "trunk": trunk, "to": to, "ring_s": ring_s });
        let response = reqwest::blocking::Client::new().post(url).json(&order).send().expect("HTTP answers");
        let status = response.status().as_u16();
        assert_eq!(status == 429, response.headers().contains_key("retry-after"), "{status}: {:?}", response.headers());
        (status, response.json().expect("JSON"))
    }

    /// The id of a call that is under way.
    fn ordered(&self, trunk: &str, ring_s: u32) -> String {
        let (status, body) = self.order(trunk, "100", ring_s);
        assert_eq!(status, 202, "{trunk}: {body}");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// The call's record when it is over.
    fn record(&self, id: &str) -> Value {
        wait_for(&format!("call {id} to end"), Duration::from_secs(60), || {
            let (status, body) = self.gateway.get(&format!("/api/v1/calls/{id}"));
            let record: Value = serde_json::from_str(&body).expect("JSON");
            (status == 200 && !["calling", "active"].contains(&record["state"].as_str()?)).then_some(record)
        })
    }
}

/// What one phone heard.
struct Heard {
    phone: String,
    wav: PathBuf,
    /// The recognizer reads it too.
    read: bool,
}

/// Waits until so many seconds after `start`: a caller takes its time.
fn at(start: Instant, seconds: f32) {
    thread::sleep((start + Duration::from_secs_f32(seconds)).saturating_duration_since(Instant::now()));
}

fn baresip_calls(line: &Line, transport: &str) -> Heard {
    let name = format!("baresip-{transport}");
    let mut phone = line.files.baresip(&name, "");
    phone.call(&line.uri(transport));
    let start = Instant::now();
    let steps = [(AGREES, "sndcode", "1"), (HOLDS, "hold", ""), (RESUMES, "resume", ""), (ASKS_AGAIN, "sndcode", "9")];
    for (seconds, command, with) in steps {
        at(start, seconds);
        phone.run(command, with);
    }
    at(start, LEAVES);
    phone.run("hangup", "");
    phone.event("CALL_CLOSED", Duration::from_secs(10));
    let dir = phone.dir.clone();
    let heard = phone.heard().unwrap_or_else(|| panic!("{name} recorded nothing in {dir:?}"));
    drop(phone);
    Heard { phone: name, wav: heard, read: transport == "udp" }
}

/// It agrees by INFO, and asks again by RFC 4733.
fn pjsua2_calls(line: &Line, transport: &str) -> Heard {
    let name = format!("pjsua2-{transport}");
    let actions = format!("{AGREES}:info=1,{HOLDS}:hold,{RESUMES}:resume,{ASKS_AGAIN}:dtmf=9,{LEAVES}:bye");
    let call = line.files.pjsua2(&name, &line.uri(transport), &actions);
    let wav = call.end(&["answered", "held", "resumed", "ended 200"]);
    Heard { phone: name, wav, read: transport == "tcp" }
}

fn linphone_calls(line: &Line, transport: &str) -> Heard {
    let name = format!("linphone-{transport}");
    let mut phone = Linphone::start(&line.files.dir(&name), &line.files.silence, &line.files.pki.ca);
    // It compares names with certificates, but not addresses.
    phone.run(&format!("call {}", line.uri(transport).replace("127.0.0.1", "localhost")));
    phone.said("Media streams established", 1);
    let start = Instant::now();
    at(start, AGREES);
    phone.run("1");
    at(start, HOLDS);
    phone.run("pause");
    phone.said("is now paused", 1);
    at(start, RESUMES);
    phone.run("resume");
    phone.said("Media streams established", 2);
    at(start, ASKS_AGAIN);
    phone.run("9");
    at(start, LEAVES);
    phone.run("terminate");
    phone.said("ended (No error)", 1);
    Heard { phone: name, wav: phone.quit(), read: transport == "tls" }
}

/// It records nothing, but reads every answer.
fn sipp_calls(line: &Line, transport: &str) {
    let name = format!("sipp-{transport}");
    let (mode, port) = if transport == "tcp" { ("t1", line.tcp) } else { ("u1", line.gateway.sip) };
    let sipp = line.files.sipp(&name, "sipp_phone.xml", &["-t", mode, &format!("127.0.0.1:{port}")]);
    succeeded(&name, sipp);
}

/// A call that was agreed to, held for 2.5 s, resumed and hung up by the other side.
fn check_held_call(call: &Value) {
    assert_eq!(call["state"], "caller_hung_up", "{call:#}");
    assert_eq!(call["direction"], "inbound", "{call:#}");
    assert_eq!(call["consent"], "granted by key", "{call:#}");
    assert_eq!(call["media"]["packets_lost"], 0, "{call:#}");
    let keys = call["turns"].as_array().expect("turns").iter().filter(|t| t["judgement"] == "key").count();
    assert_eq!(keys, 2, "the keys before and after the hold: {call:#}");
    let time = |key: &str| call[key].as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339");
    let ms = time("ended").as_millisecond() - time("started").as_millisecond();
    let sent = call["media"]["packets_sent"].as_i64().expect("a count");
    // 125 packets are not sent while it is held, and 325 would not be if it were not resumed.
    let missing = ms / 20 - sent;
    assert!((90..=220).contains(&missing), "{missing} packets of {ms} ms were not sent: {call:#}");
}

/// The agent speaks for ten seconds at first, is heard again after the hold, and understood.
fn check_heard(heard: &Heard) {
    let (phone, (rate, samples)) = (&heard.phone, read_wav(&heard.wav));
    let loud = |w: &&[i16]| media::level::rms_dbfs(w) > -45.0;
    let spoken = samples.chunks(rate as usize / 10).filter(loud).count();
    assert!(spoken >= 80, "{phone} heard the agent for {spoken} tenths of a second only");
    let last_ms = media::level::last_active_ms(&samples, rate, -45.0).expect("it was loud");
    let end_ms = samples.len() as u32 / (rate / 1000);
    assert!(end_ms - last_ms < 3500, "{phone} heard nothing after the hold: last at {last_ms} of {end_ms} ms");
    if heard.read {
        let text = understood(rate, &samples);
        for word in ["smile", "zero", "transcript", "help"] {
            assert!(text.contains(word), "{phone}: {word:?} is not in: {text}");
        }
    }
}

/// What a recognizer that the gateway does not use reads in it.
fn understood(rate: u32, samples: &[i16]) -> String {
    let language = models::Language::parse("en").expect("a language");
    let whisper = models::RecognizerKind::Whisper;
    let audio = to_16k(rate, samples);
    let text = models::oneshot::transcribe_with(whisper, &audio, &language, &models::default_models_dir());
    text.expect("dauys models pull has run").to_lowercase()
}

type Caller = fn(&Line, &str) -> Heard;

/// All of them at once, each over each of the transports.
fn check_callers(name: &str, callers: &[(Caller, &[&str])], sipp: &[&str]) {
    let mut line = Line::start(name, Files::new(name), "");
    let heard: Vec<Heard> = thread::scope(|scope| {
        let line = &line;
        let calls = callers.iter().flat_map(|(call, transports)| transports.iter().map(move |t| (call, t)));
        let threads: Vec<_> = calls.map(|(call, transport)| scope.spawn(move || call(line, transport))).collect();
        let silent: Vec<_> = sipp.iter().map(|t| scope.spawn(move || sipp_calls(line, t))).collect();
        silent.into_iter().for_each(|t| t.join().expect("sipp's call went well"));
        threads.into_iter().map(|t| t.join().expect("the call went well")).collect()
    });
    let calls = line.gateway.ended_calls(heard.len() + sipp.len());
    assert_eq!(calls.len(), heard.len() + sipp.len());
    calls.iter().for_each(check_held_call);
    line.gateway.stop();
    heard.iter().for_each(check_heard);
}

#[test]
fn baresip_and_sipp_call_hold_and_hang_up() {
    check_callers("phones-baresip", &[(baresip_calls, &["udp", "tcp", "tls"])], &["udp", "tcp"]);
}

#[test]
fn pjsua2_and_linphone_call_hold_and_hang_up() {
    let all: &[&str] = &["udp", "tcp", "tls"];
    check_callers("phones-pjsua2", &[(pjsua2_calls, all), (linphone_calls, all)], &[]);
}

fn trunk(name: &str, to: &str, more: &str) -> String {
    format!("[[trunk]]\nname = \"{name}\"\nto = {to}\noptions_s = 0\n{more}\n")
}

fn server(port: u16, transport: &str) -> String {
    format!("\"sip:127.0.0.1:{port};transport={transport}\"")
}

fn check_called(line: &Line, trunk: &str, id: &str, agreed: bool) {
    let record = line.record(id);
    assert_eq!(record["direction"], "outbound", "{record:#}");
    assert_eq!(record["trunk"], trunk, "{record:#}");
    assert_eq!(record["state"], "caller_hung_up", "{record:#}");
    assert_eq!(record["media"]["packets_lost"], 0, "{record:#}");
    assert!(record["media"]["packets_sent"].as_u64().is_some_and(|n| n > 100), "{record:#}");
    assert_eq!(record["consent"] == "granted by key", agreed, "{record:#}");
    assert!(!agreed || record["answered_by"] == "unknown", "{record:#}");
}

fn check_greeted(phone: &str, wav: &Path) {
    let (rate, samples) = read_wav(wav);
    let loud = |w: &&[i16]| media::level::rms_dbfs(w) > -45.0;
    let spoken = samples.chunks(rate as usize / 10).filter(loud).count();
    assert!(spoken >= 60, "{phone} heard the agent for {spoken} tenths of a second only");
}

#[test]
fn phones_are_called_and_hear_the_agent() {
    let name = "phones-called";
    let files = Files::new(name);
    let all = ["udp", "tcp", "tls"];
    let mut baresips = all.map(|t| (t, files.baresip(&format!("baresip-{t}"), ";answermode=auto")));
    let pjsua2s = all.map(|t| {
        let port = free_port();
        let actions = format!("{}:dtmf=1,{}:bye", AGREES + SAYS_NOTHING, HOLDS + SAYS_NOTHING);
        (t, port, files.pjsua2(&format!("pjsua2-{t}"), &format!("answer:{t}:{port}"), &actions))
    });
    let sipps = ["udp", "tcp"].map(|t| {
        let port = free_port();
        let mode = if t == "tcp" { "t1" } else { "u1" };
        (t, port, files.sipp(&format!("sipp-{t}"), "sipp_answer.xml", &["-t", mode, "-p", &port.to_string()]))
    });
    let mut trunks = String::new();
    let mut add = |client: &str, t: &str, port: u16| {
        trunks += &trunk(&format!("{client}-{t}"), &server(port, t), "allow_out = [\"*\"]");
    };
    // Of baresip, the port above is TLS.
    baresips.iter().for_each(|(t, phone)| add("baresip", t, phone.sip + u16::from(*t == "tls")));
    pjsua2s.iter().for_each(|(t, port, _)| add("pjsua2", t, *port));
    sipps.iter().for_each(|(t, port, _)| add("sipp", t, *port));
    let mut line = Line::start(name, files, &trunks);
    let start = Instant::now();
    let order = |client: &str, t: &str| (format!("{client}-{t}"), line.ordered(&format!("{client}-{t}"), 20));
    let agreeing: Vec<_> = ["baresip", "pjsua2"].iter().flat_map(|c| all.map(|t| order(c, t))).collect();
    let silent: Vec<_> = ["udp", "tcp"].map(|t| order("sipp", t)).into();
    at(start, AGREES + SAYS_NOTHING);
    let mut heard = vec![];
    for (_, phone) in &mut baresips {
        phone.event("CALL_ESTABLISHED", Duration::from_secs(5));
        phone.run("sndcode", "1");
    }
    at(start, HOLDS + SAYS_NOTHING);
    for (t, mut phone) in baresips {
        phone.run("hangup", "");
        // What it recorded is whole when it is gone.
        heard.push((format!("baresip-{t}"), phone.heard().expect("it recorded")));
    }
    heard.extend(pjsua2s.map(|(t, _, call)| (format!("pjsua2-{t}"), call.end(&["answered", "ended 200"]))));
    sipps.into_iter().for_each(|(t, _, child)| succeeded(t, child));
    agreeing.iter().for_each(|(trunk, id)| check_called(&line, trunk, id, true));
    silent.iter().for_each(|(trunk, id)| check_called(&line, trunk, id, false));
    line.gateway.stop();
    heard.iter().for_each(|(phone, wav)| check_greeted(phone, wav));
}

#[test]
fn a_call_that_nobody_takes_says_why() {
    let name = "phones-refusing";
    let files = Files::new(name);
    let mut phone = files.baresip("baresip", "");
    let strange = Files::new("phones-strange");
    let stranger = strange.baresip("baresip", ";answermode=auto");
    let limits = "allow_out = [\"1\"]\nout_calls_max = 1";
    let trunks = [
        trunk("phone", &server(phone.sip, "tcp"), limits),
        // Nobody runs that service any more.
        trunk("nobody-udp", &server(9, "udp"), limits),
        trunk("nobody-tcp", &server(9, "tcp"), limits),
        // Its certificate is of an authority that the gateway does not know.
        trunk("stranger", &server(stranger.sip + 1, "tls"), limits),
    ];
    let mut line = Line::start(name, files, &trunks.concat());
    let check = |trunk: &str, id: &str, state: &str| {
        let record = line.record(id);
        assert_eq!(record["state"], state, "{trunk}: {record:#}");
        assert_eq!((&record["direction"], &record["trunk"]), (&json!("outbound"), &json!(trunk)), "{record:#}");
    };
    for (trunk, to, status) in [("phone", "200", 403), ("nowhere", "100", 404), ("phone", "1@x", 400)] {
        let (answer, body) = line.order(trunk, to, 20);
        assert_eq!(answer, status, "{trunk} {to}: {body}");
    }
    let rings = line.ordered("phone", 45);
    phone.event("CALL_INCOMING", Duration::from_secs(10));
    assert_eq!(line.order("phone", "100", 20).0, 429, "one call at once");
    phone.run("hangup", "");
    check("phone", &rings, "busy");
    let rings = line.ordered("phone", 5);
    phone.event("CALL_INCOMING", Duration::from_secs(10));
    phone.event("CALL_CLOSED", Duration::from_secs(20));
    check("phone", &rings, "no_answer");
    // Silence may be a phone that rings; a refused connection is none.
    for (trunk, state) in [("nobody-udp", "no_answer"), ("nobody-tcp", "failed"), ("stranger", "failed")] {
        check(trunk, &line.ordered(trunk, 5), state);
    }
    line.gateway.stop();
}

#[test]
fn a_call_goes_round_a_dead_server() {
    let name = "phones-failover";
    let files = Files::new(name);
    let mut phone = files.baresip("baresip", ";answermode=auto");
    // Ports of services that nobody runs any more: one that is free now may be another test's in a moment.
    let ways = [("udp", "tcp", 9), ("tcp", "udp", 7), ("tls", "tcp", 13)];
    let dead = |t: &str, alive: &str, port| format!("[{}, {}]", server(port, t), server(phone.sip, alive));
    let trunks = ways.map(|(t, alive, port)| trunk(t, &dead(t, alive, port), "allow_out = [\"*\"]"));
    let mut line = Line::start(name, files, &trunks.concat());
    for (dead, ..) in ways {
        let id = line.ordered(dead, 40);
        phone.event("CALL_ESTABLISHED", Duration::from_secs(40));
        phone.run("hangup", "");
        let record = line.record(&id);
        assert_eq!((&record["state"], &record["trunk"]), (&json!("caller_hung_up"), &json!(dead)), "{record:#}");
    }
    line.gateway.stop();
}

/// The agent's call goes on where its caller sent it: the keys before and after count in one record.
fn check_moved(call: &Value) {
    assert_eq!(call["state"], "caller_hung_up", "{call:#}");
    assert_eq!(call["consent"], "granted by key", "{call:#}");
    let keys = call["turns"].as_array().expect("turns").iter().filter(|t| t["judgement"] == "key").count();
    assert_eq!(keys, 2, "the keys before and after: {call:#}");
}

#[test]
fn callers_send_the_agent_to_another_phone() {
    let name = "phones-moved";
    let pbx = "[[trunk]]\nname = \"pbx\"\naddresses = [\"127.0.0.1\"]\nrefer = true\n";
    let mut line = Line::start(name, Files::new(name), pbx);
    let files = &line.files;
    // The INVITE comes back to the phone that sent the REFER, which takes it as a second phone behind it would.
    let referring = ["udp", "tcp"].map(|t| {
        let actions = format!("{AGREES}:dtmf=1,{HOLDS}:refer=sip:200@127.0.0.1:9,{ASKS_AGAIN}:dtmf=9,{LEAVES}:bye");
        files.pjsua2(&format!("refer-{t}"), &line.uri(t), &actions)
    });
    let port = free_port();
    let second = files.pjsua2("second", &format!("answer:udp:{port}"), "8:dtmf=9,12:bye");
    let first =
        files.pjsua2("first", &line.uri("udp"), &format!("{AGREES}:dtmf=1,{HOLDS}:attend=sip:200@127.0.0.1:{port}"));
    for phone in referring {
        let wav = phone.end(&["answered", "answered", "transfer 200", "ended"]);
        check_greeted("the phone that was sent to", &wav);
        let (rate, after) = read_wav(&wav.with_file_name("heard-2.wav"));
        assert!(media::level::last_active_ms(&after, rate, -45.0).is_some(), "nothing was heard after the REFER");
    }
    // The gateway ends the first call once the second has taken its place.
    first.end(&["answered", "answered", "transfer 100", "ended 200"]);
    let wav = second.end(&["answered", "answered", "ended"]).with_file_name("heard-2.wav");
    let (rate, after) = read_wav(&wav);
    assert!(media::level::last_active_ms(&after, rate, -45.0).is_some(), "the second phone heard nothing");
    let calls = line.gateway.ended_calls(3);
    assert_eq!(calls.len(), 3, "no call became two");
    calls.iter().for_each(check_moved);
    line.gateway.stop();
}

#[test]
fn a_phone_of_no_trunk_may_send_the_agent_nowhere() {
    let name = "phones-not-moved";
    let mut line = Line::start(name, Files::new(name), "");
    let phone = line.files.pjsua2("pjsua2", &line.uri("udp"), "1:refer=sip:200@127.0.0.1:9,4:bye");
    phone.end(&["answered", "transfer 603", "ended 200"]);
    assert_eq!(line.gateway.ended_calls(1).len(), 1);
    line.gateway.stop();
}
