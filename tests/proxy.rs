//! Behind others' machines: Kamailio as registrar and proxy, JsSIP over WebSocket. Nothing here leaves loopback.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
#[path = "common/pki.rs"]
mod pki;

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::baresip::{Baresip, free_port};
use common::{Gateway, Scratch, read_wav, root, wait_for, write_wav};
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-the-proxy";
/// Registering, ringing, metrics (every five seconds) on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registrar and proxy with users in memory; all share one password.
struct Kamailio {
    child: Child,
    port: u16,
}

impl Kamailio {
    /// `expires_s`: the longest binding that it grants.
    fn start(dir: &Path, port: u16, expires_s: u32) -> Self {
        let modules = fs::read_dir("/usr/lib").expect("Linux").flatten().map(|e| e.path().join("kamailio/modules"));
        let modules = modules.into_iter().find(|p| p.is_dir()).expect("scripts/setup.sh test installs Kamailio");
        let config = fs::read_to_string(root().join("tests/clients/kamailio.cfg")).expect("its config");
        let replace = [
            ("PORT", port.to_string()),
            ("EXPIRES", expires_s.to_string()),
            ("SECRET", SECRET.to_owned()),
            ("MODULES", format!("{}/", modules.display())),
        ];
        let config = replace.iter().fold(config, |text, (name, value)| text.replace(name, value));
        let file = dir.join("kamailio.cfg");
        fs::write(&file, config).expect("written");
        let log = File::create(dir.join("kamailio.log")).expect("a log");
        let child = Command::new("/usr/sbin/kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "4"])
            .arg("-Y")
            .arg(dir)
            .arg("-f")
            .arg(file)
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("scripts/setup.sh test installs Kamailio");
        let kamailio = Self { child, port };
        let options = request("OPTIONS", "", port);
        wait_for("Kamailio", PATIENCE, || (ask(&options, port) == Some(200)).then_some(()));
        kamailio
    }

    fn uri(&self, user: &str) -> String {
        format!("sip:{user}@127.0.0.1:{}", self.port)
    }

    /// A phone that is registered here as `bob`.
    fn phone(&self, dir: &Path) -> Baresip {
        let speech = dir.join("speech.wav");
        write_wav(&speech, 8000, &[0; 8000 * 60]);
        let account = format!("<{}>;auth_user=bob;auth_pass={SECRET};regint=60;audio_codecs=pcmu", self.uri("bob"));
        let phone = Baresip::start(&dir.join("bob"), &speech, &account, "");
        // It may say so before anybody listens to its events.
        wait_for("the phone's registration", PATIENCE, || phone.log().contains("200 OK").then_some(()));
        phone
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn request(method: &str, user: &str, port: u16) -> String {
    let at = if user.is_empty() { String::new() } else { format!("{user}@") };
    format!(
        "{method} sip:{at}127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK{user}{port};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:stranger@127.0.0.1>;tag=1\r\nTo: <sip:{at}127.0.0.1>\r\n\
         Call-ID: {user}{port}\r\nCSeq: 1 {method}\r\nContact: <sip:stranger@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The status of the first final answer.
fn ask(request: &str, port: u16) -> Option<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    socket.send_to(request.as_bytes(), ("127.0.0.1", port)).expect("sent");
    let mut bytes = [0; 4096];
    loop {
        let len = socket.recv(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        if status >= 200 {
            return Some(status);
        }
    }
}

/// A gateway that is the phone `desk` of the proxy, and may call out through it; strangers are refused.
fn gateway(name: &str, kamailio: &Kamailio, transport: &str, more: &str, shell: &[&str]) -> Gateway {
    let proxy = format!("sip:127.0.0.1:{}{transport}", kamailio.port);
    let lines = format!(
        "[[register]]\nname = \"office\"\nregistrar = \"{proxy}\"\nuser = \"desk\"\npassword_env = \"PROXY_PASSWORD\"\n\
         expires_s = 60\n{more}\n"
    );
    let password = format!("export PROXY_PASSWORD=${{PROXY_PASSWORD:-{SECRET}}}");
    let mut commands = shell.to_vec();
    commands.extend(["export DAUYS__SIP__STRANGERS=refuse", "export DAUYS__SIP__TCP=127.0.0.1:0", &password]);
    Gateway::start_with(name, &lines, &commands)
}

fn is_registered(gateway: &Gateway) -> Option<bool> {
    let (_, metrics) = gateway.get("/metrics");
    metrics.lines().find_map(|l| l.strip_prefix("dauys_registered{line=\"office\"} ")).map(|n| n == "1")
}

fn wait_registered(gateway: &Gateway, wanted: bool, patience: Duration) {
    let what = if wanted { "a registration" } else { "the loss of a registration" };
    wait_for(what, patience, || (is_registered(gateway) == Some(wanted)).then_some(()));
}

/// The one call in progress.
fn active(gateway: &Gateway) -> Value {
    let calls = || gateway.json("/api/v1/calls?limit=500")["calls"].as_array().expect("a list").clone();
    wait_for("a call in progress", PATIENCE, || calls().into_iter().find(|c| c["state"] == "active"))
}

/// Waits until so many seconds after `start`: a caller takes its time.
fn at(start: Instant, seconds: f32) {
    thread::sleep((start + Duration::from_secs_f32(seconds)).saturating_duration_since(Instant::now()));
}

/// In a call just answered: agrees once the question is over, holds for 2.5 s, and lets the agent repeat itself.
fn talk(phone: &mut Baresip) {
    let start = Instant::now();
    let steps = [(11.0, "sndcode", "1"), (14.0, "hold", ""), (16.5, "resume", ""), (17.0, "sndcode", "9")];
    for (seconds, command, with) in steps {
        at(start, seconds);
        phone.run(command, with);
    }
    at(start, 21.0);
}

/// Such a call: nothing of it was lost on either way.
fn check_talk(call: &Value, phone: &Baresip) {
    assert_eq!(call["consent"], "granted by key", "{call:#}");
    let keys = call["turns"].as_array().expect("turns").iter().filter(|t| t["judgement"] == "key").count();
    assert_eq!(keys, 2, "the keys before and after the hold: {call:#}");
    let media = &call["media"];
    assert_eq!(media["packets_lost"], 0, "{call:#}");
    let count = |key: &str| media[key].as_i64().expect("a count");
    let time = |key: &str| call[key].as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339");
    let ms = time("ended").as_millisecond() - time("started").as_millisecond();
    assert!(count("packets_received") > ms / 20 / 2, "{call:#}");
    // 125 packets are not sent while it is held, and twice as many would not be if it were not resumed.
    let missing = ms / 20 - count("packets_sent");
    assert!((90..=220).contains(&missing), "{missing} packets of {ms} ms were not sent: {call:#}");
    let heard = phone.heard().expect("baresip records");
    let (rate, samples) = read_wav(&heard);
    let loud = |w: &&[i16]| media::level::rms_dbfs(w) > -45.0;
    let spoken = samples.chunks(rate as usize / 10).filter(loud).count();
    assert!(spoken >= 80, "the agent was heard for {spoken} tenths of a second only");
}

fn closed(phone: &mut Baresip) -> String {
    phone.event("CALL_CLOSED", PATIENCE)["param"].as_str().unwrap_or_default().to_owned()
}

/// Registers, keeps registered beyond what the registrar grants, is called, and leaves.
fn check_registration(name: &str, transport: &str) {
    let scratch = Scratch::new(name);
    let kamailio = Kamailio::start(&scratch.0, free_port(), 6);
    let mut gateway = gateway(&format!("{name}-gateway"), &kamailio, transport, "", &[]);
    wait_registered(&gateway, true, PATIENCE);
    let registrations = || gateway.log().matches("Registered(1, 6 s)").count();
    wait_for("a refresh", PATIENCE, || (registrations() >= 2).then_some(()));
    assert_eq!(is_registered(&gateway), Some(true));
    let mut phone = kamailio.phone(&scratch.0);
    phone.call(&kamailio.uri("desk"));
    assert_eq!(active(&gateway)["trunk"], "office");
    phone.run("hangup", "");
    gateway.ended_calls(1);
    gateway.stop();
    phone.run("dial", &kamailio.uri("desk"));
    // The first end is the one of the call above.
    let ends = [closed(&mut phone), closed(&mut phone)];
    assert!(ends[1].starts_with("404"), "the binding is taken back: {ends:?}");
    assert!(!gateway.log().contains(SECRET));
}

#[test]
fn the_gateway_registers_as_a_phone_over_udp() {
    check_registration("register-udp", "");
}

#[test]
fn the_gateway_registers_as_a_phone_over_tcp() {
    check_registration("register-tcp", ";transport=tcp");
}

#[test]
fn a_wrong_password_is_said_and_the_gateway_goes_on() {
    let scratch = Scratch::new("register-wrong");
    let kamailio = Kamailio::start(&scratch.0, free_port(), 60);
    let wrong = "export PROXY_PASSWORD=not-the-secret";
    let mut gateway = gateway("register-wrong-gateway", &kamailio, "", "", &[wrong]);
    let says = || gateway.log().lines().any(|l| l.contains("not registered") && l.contains("401"));
    wait_for("the log to say so", PATIENCE, || says().then_some(()));
    wait_registered(&gateway, false, PATIENCE);
    assert!(!gateway.log().contains("not-the-secret"));
    gateway.stop();
}

#[test]
fn a_registration_outlives_its_registrar() {
    let scratch = Scratch::new("register-again");
    let port = free_port();
    let kamailio = Kamailio::start(&scratch.0, port, 6);
    let mut gateway = gateway("register-again-gateway", &kamailio, "", "", &[]);
    wait_registered(&gateway, true, PATIENCE);
    drop(kamailio);
    // Nobody answers the refresh.
    wait_registered(&gateway, false, Duration::from_secs(60));
    let kamailio = Kamailio::start(&scratch.0, port, 6);
    // RFC 5626 4.5: tried again after 30 to 60 s.
    wait_registered(&gateway, true, Duration::from_secs(90));
    let mut phone = kamailio.phone(&scratch.0);
    phone.call(&kamailio.uri("desk"));
    gateway.stop();
}

#[test]
fn calls_come_in_through_the_proxy_and_strangers_do_not() {
    let scratch = Scratch::new("proxy-in");
    let kamailio = Kamailio::start(&scratch.0, free_port(), 60);
    let mut gateway = gateway("proxy-in-gateway", &kamailio, "", "", &["export DAUYS__CALLS__DURATION_S_MAX=23"]);
    wait_registered(&gateway, true, PATIENCE);
    let mut phone = kamailio.phone(&scratch.0);
    phone.call(&kamailio.uri("desk"));
    // Whoever is no trunk and no registrar stays out meanwhile, whatever it names.
    for user in ["desk", "front-desk", "office"] {
        assert_eq!(ask(&request("INVITE", user, gateway.sip), gateway.sip), Some(403), "{user}");
    }
    talk(&mut phone);
    // The gateway hangs up by itself: the call has lasted as long as calls may.
    let call = gateway.ended_calls_within(1, Duration::from_secs(60)).remove(0);
    closed(&mut phone);
    assert_eq!((&call["trunk"], &call["direction"]), (&json!("office"), &json!("inbound")), "{call:#}");
    assert_eq!(call["state"], "duration_max", "{call:#}");
    check_talk(&call, &phone);
    phone.call(&kamailio.uri("desk"));
    phone.run("hangup", "");
    let call = gateway.ended_calls(2).remove(0);
    assert_eq!((&call["state"], &call["trunk"]), (&json!("caller_hung_up"), &json!("office")), "{call:#}");
    gateway.stop();
}

fn order(gateway: &Gateway, to: &str) -> String {
    let url = format!("http://127.0.0.1:{}/api/v1/calls", gateway.http);
    let client = reqwest::blocking::Client::new();
    let response = client.post(url).json(&json!({ "trunk": "out", "to": to })).send().expect("HTTP answers");
    let status = response.status().as_u16();
    let body: Value = response.json().expect("JSON");
    assert_eq!(status, 202, "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

#[test]
fn the_gateway_calls_out_through_the_proxy() {
    let scratch = Scratch::new("proxy-out");
    let kamailio = Kamailio::start(&scratch.0, free_port(), 60);
    let mut phone = kamailio.phone(&scratch.0);
    let trunk = format!(
        "[[trunk]]\nname = \"out\"\nto = \"sip:127.0.0.1:{}\"\nuser = \"gateway\"\npassword_env = \"PROXY_PASSWORD\"\n\
         allow_out = [\"*\"]\n",
        kamailio.port
    );
    let mut gateway = gateway("proxy-out-gateway", &kamailio, "", &trunk, &[]);
    let ended = |id: &str| {
        let calls = gateway.ended_calls(0);
        calls.into_iter().find(|c| c["id"] == id && c["state"] != "calling")
    };
    let absent = order(&gateway, "nobody");
    let absent = wait_for("a 404", PATIENCE, || ended(&absent));
    assert_eq!((&absent["state"], &absent["trunk"]), (&json!("no_such_number"), &json!("out")), "{absent:#}");
    let call = order(&gateway, "bob");
    phone.event("CALL_INCOMING", PATIENCE);
    phone.run("accept", "");
    phone.event("CALL_ESTABLISHED", PATIENCE);
    // Whoever is called and says nothing is greeted then.
    at(Instant::now(), 3.0);
    talk(&mut phone);
    phone.run("hangup", "");
    let call = wait_for("its end", PATIENCE, || ended(&call));
    assert_eq!((&call["trunk"], &call["direction"]), (&json!("out"), &json!("outbound")), "{call:#}");
    check_talk(&call, &phone);
    gateway.stop();
}

#[test]
fn number_and_header_choose_the_agent() {
    let scratch = Scratch::new("proxy-routes");
    let kamailio = Kamailio::start(&scratch.0, free_port(), 60);
    let agent = fs::read_to_string(root().join("configs/agents/front-desk.toml")).expect("the demo agent");
    let mut more = String::new();
    for (name, rule) in [("sales", "header = { X-Department = \"sales\" }"), ("night", "called = \"7001\"")] {
        let file = scratch.0.join(format!("{name}.toml"));
        fs::write(&file, &agent).expect("written");
        more += &format!("[[route]]\ntrunk = \"office\"\n{rule}\nagent = \"{name}\"\n");
        more += &format!("[[agent]]\nfile = {file:?}\nnumbers = [\"{name}\"]\n");
    }
    more += "[[route]]\ncalled = \"70*\"\nreject = 603\n";
    let mut gateway = gateway("proxy-routes-gateway", &kamailio, "", &more, &[]);
    wait_registered(&gateway, true, PATIENCE);
    let mut phone = kamailio.phone(&scratch.0);
    for (calls, (number, agent)) in
        [("desk", "front-desk"), ("sales", "sales"), ("7001", "night"), ("7100", "front-desk")].iter().enumerate()
    {
        phone.call(&kamailio.uri(number));
        assert_eq!(active(&gateway)["agent"], *agent, "{number}");
        phone.run("hangup", "");
        closed(&mut phone);
        gateway.ended_calls(calls + 1);
    }
    phone.run("dial", &kamailio.uri("7002"));
    let end = closed(&mut phone);
    assert!(end.starts_with("603"), "{end}");
    gateway.stop();
}

/// JsSIP, run to its end: what it printed, and what it heard.
fn jssip(dir: &Path, url: &str, origin: &str, ca: &Path, seconds: u32, actions: &str) -> (String, PathBuf) {
    let home = std::env::var("HOME").expect("a home");
    let record = dir.join(format!("{}.ul", url.replace(|c: char| !c.is_ascii_alphanumeric(), "")));
    let silence = dir.join("silence.ul");
    fs::write(&silence, [0xff; 8000]).expect("written");
    let output = Command::new("node")
        .arg(root().join("tests/clients/jssip_call.mjs"))
        .args([url, "sip:front-desk@127.0.0.1"])
        .args([&silence, &record])
        .args([seconds.to_string().as_str(), actions])
        .env("JSSIP_MODULES", home + "/.cache/dauys/node")
        .env("JSSIP_ORIGIN", origin)
        .env("NODE_EXTRA_CA_CERTS", ca)
        .stdin(Stdio::null())
        .output()
        .expect("scripts/setup.sh test installs node");
    (format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)), record)
}

/// The number behind `word` in what JsSIP printed.
fn number(said: &str, word: &str) -> u64 {
    let line = said.lines().find_map(|l| l.strip_prefix(word)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {word}: {said}"))
}

fn check_browser(said: &str, heard: &Path) {
    assert!(said.contains("answered") && said.contains("ended"), "{said}");
    let (held, resuming) = (number(said, "held "), number(said, "resuming "));
    assert!(resuming <= held + 5, "sound while on hold: {said}");
    assert!(number(said, "received ") > number(said, "resumed ") + 25, "no sound after hold: {said}");
    let loud = |b: &u8| *b != 0xff && *b != 0x7f;
    let heard = fs::read(heard).expect("a recording");
    assert!(heard.iter().filter(|b| loud(b)).count() > heard.len() / 10, "the agent was not heard");
}

#[test]
fn a_web_page_calls_and_another_page_may_not() {
    let scratch = Scratch::new("jssip");
    let pki = pki::Pki::make(&scratch.0);
    let (ws, wss) = (free_port(), free_port());
    let shell = [
        format!("export DAUYS__SIP__WS=127.0.0.1:{ws} DAUYS__SIP__WSS=127.0.0.1:{wss}"),
        format!("export DAUYS__SIP__CERT={} DAUYS__SIP__KEY={}", pki.cert.display(), pki.key.display()),
        "export DAUYS__SIP__WS_ORIGINS='[\"https://www.example.com\"]'".to_owned(),
    ];
    let mut gateway = Gateway::start_with("jssip-gateway", "", &shell.each_ref().map(String::as_str));
    // The question is over some seconds in; the key is pressed until it certainly is.
    let actions = "1:hold,4:resume,11:info=1,14:info=1,17:info=1,20:bye";
    let (plain, secure) = (format!("ws://127.0.0.1:{ws}"), format!("wss://localhost:{wss}"));
    let page = "https://www.example.com";
    let (first, second, strange) = std::thread::scope(|s| {
        let first = s.spawn(|| jssip(&scratch.0, &plain, page, &pki.ca, 40, actions));
        let second = s.spawn(|| jssip(&scratch.0, &secure, page, &pki.ca, 40, actions));
        let strange = s.spawn(|| jssip(&scratch.0, &format!("{plain}/x"), "https://evil.example", &pki.ca, 4, ""));
        (first.join().unwrap(), second.join().unwrap(), strange.join().unwrap())
    });
    assert!(strange.0.contains("refused 403") && !strange.0.contains("answered"), "{}", strange.0);
    check_browser(&first.0, &first.1);
    check_browser(&second.0, &second.1);
    let calls = gateway.ended_calls(2);
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(
            (&call["consent"], &call["state"]),
            (&json!("granted by key"), &json!("caller_hung_up")),
            "{call:#}"
        );
        assert_eq!(call["media"]["packets_lost"], 0, "{call:#}");
    }
    gateway.stop();
}
