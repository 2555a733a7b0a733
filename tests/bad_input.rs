//! What goes wrong is said in plain words, and calls in progress go on.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::net::UdpSocket;
use std::process::{Command, Output};

use common::{Gateway, Scratch, dauys_call, recording, root};

fn dauys(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
    command.args(arguments).envs(environment.iter().copied()).current_dir(root());
    command.output().expect("it runs")
}

/// The command must fail, and its error must name each of these.
fn check(arguments: &[&str], environment: &[(&str, &str)], wants: &[&str]) {
    let output = dauys(arguments, environment);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} must fail: {error}");
    for want in wants {
        assert!(error.contains(want), "{want:?} missing in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let scratch = Scratch::new("bad-config");
    let file = scratch.0.join("c.toml");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, "[sip]\nbnid = \"x\"\n").expect("written");
    check(&["check", path], &[], &["line 2", "bnid", "bind"]);
    check(&["serve", "--config", path], &[], &["line 2", "bnid", "bind"]);
    std::fs::write(&file, "[[agent]]\nfile = \"nobody.toml\"\n").expect("written");
    check(&["check", path], &[], &["nobody.toml", "cannot read"]);
    check(&["check", "configs/demo.toml"], &[("DAUYS__CALLS__MAX", "0")], &["max", "1 or more"]);
    check(&["check", "absent.toml"], &[], &["absent.toml"]);
    check(&["call", "tel:123"], &[], &["sip:NAME@HOST"]);
    assert!(dauys(&["check", "configs/demo.toml"], &[]).status.success());
    assert!(dauys(&["check", "configs/agents/front-desk.toml"], &[]).status.success());
}

#[test]
fn a_wrong_agent_is_named_with_its_line() {
    let scratch = Scratch::new("bad-agent");
    let file = scratch.0.join("a.toml");
    let agent = std::fs::read_to_string(root().join("configs/agents/front-desk.toml")).expect("the demo agent");
    std::fs::write(&file, agent.replacen("greeting", "greting", 1)).expect("written");
    check(&["check", file.to_str().expect("UTF-8")], &[], &["line", "greting"]);
}

#[test]
fn a_missing_model_says_how_to_get_it() {
    let scratch = Scratch::new("no-models");
    let dir = scratch.0.to_str().expect("UTF-8");
    let sections = ["SIP", "HTTP", "WEB"].map(|section| format!("DAUYS__{section}__BIND"));
    let free = sections.each_ref().map(|name| (name.as_str(), "127.0.0.1:0"));
    check(&["serve", "--models", dir, "--data", dir], &free, &["missing", "dauys models pull"]);
}

#[test]
fn a_port_in_use_is_said() {
    let scratch = Scratch::new("port-in-use");
    let dir = scratch.0.to_str().expect("UTF-8");
    let sip = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = sip.local_addr().expect("an address").to_string();
    let taken = [("DAUYS__SIP__BIND", address.as_str()), ("DAUYS__HTTP__BIND", "127.0.0.1:0")];
    check(&["serve", "--data", dir], &taken, &[&address, "Is another program", "[sip] bind"]);
    let http = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = http.local_addr().expect("an address").to_string();
    let taken = [("DAUYS__SIP__BIND", "127.0.0.1:0"), ("DAUYS__HTTP__BIND", address.as_str())];
    check(&["serve", "--data", dir], &taken, &[&address, "[http] bind"]);
}

#[test]
fn garbage_on_the_sip_port_disturbs_no_call() {
    let mut gateway = Gateway::start("garbage");
    let port = gateway.sip;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let garbage = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut sent = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) && sent < 20_000 {
            let mut bytes = vec![0; (state % 1400) as usize];
            for b in &mut bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *b = state as u8;
            }
            let head: &[u8] =
                [&b"INVITE sip:x SIP/2.0\r\nVia: "[..], b"SIP/2.0 200 OK\r\n", b"", b"\r\n\r\n"][sent % 4];
            let _ = socket.send_to(&[head, &bytes].concat(), ("127.0.0.1", port));
            sent += 1;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        sent
    });
    let wav = recording("hours_sat.bf_emma.wav");
    let report = dauys_call(&gateway, &["--keys", "2", "--play", wav.to_str().expect("UTF-8")]);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(garbage.join().expect("it ran") > 1000);
    let turns = report["turns"].as_array().expect("turns");
    assert!(turns.len() == 2 && turns.iter().all(|t| t["voice_to_voice_ms"].is_u64()), "{report:#}");
    gateway.ended_calls(1);
    let (_, metrics) = gateway.get("/metrics");
    assert!(metrics.contains("dauys_calls_total{outcome=\"caller_hung_up\"} 1"), "{metrics}");
    gateway.stop();
}

/// A relay with several workers lets a BYE overtake its ACK.
#[test]
fn who_hangs_up_before_the_ack_was_a_caller_too() {
    let mut gateway = Gateway::start("no-ack");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
    let me = socket.local_addr().expect("bound");
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
        me.port()
    );
    let ask = |method: &str, sequence: u32, tag: &str, body: &str| {
        let request = format!(
            "{method} sip:front-desk@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKnoack{sequence}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:hasty@{me}>;tag=1\r\nTo: <sip:front-desk@127.0.0.1>{tag}\r\n\
             Call-ID: no-ack\r\nCSeq: {sequence} {method}\r\nContact: <sip:hasty@{me}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.send_to(request.as_bytes(), ("127.0.0.1", gateway.sip)).expect("sent");
        let answered = format!("CSeq: {sequence} {method}");
        loop {
            let mut bytes = [0; 4096];
            let len = socket.recv(&mut bytes).expect("an answer");
            let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if text.starts_with("SIP/2.0 2") && text.contains(&answered) {
                return text;
            }
        }
    };
    let answer = ask("INVITE", 1, "", &body);
    let to = answer.lines().find(|l| l.starts_with("To:")).expect("a To");
    let tag = to.split_once(";tag=").map(|(_, tag)| format!(";tag={tag}")).expect("a tag");
    ask("BYE", 2, &tag, "");
    let call = gateway.ended_calls(1).remove(0);
    assert_eq!(call["state"], "caller_hung_up", "{call:#}");
    gateway.stop();
}

#[test]
fn a_client_that_never_finishes_does_not_keep_the_gateway_from_stopping() {
    use std::io::Write as _;
    let mut gateway = Gateway::start("half-request");
    let mut client = std::net::TcpStream::connect(("127.0.0.1", gateway.http)).expect("it listens");
    client.write_all(b"GET /heal").expect("sent");
    let (status, _) = gateway.get("/healthz");
    assert_eq!(status, 200, "others are served meanwhile");
    gateway.stop();
    drop(client);
}

#[test]
fn a_full_disk_costs_the_record_and_not_the_call() {
    let mut gateway = Gateway::start_with("full-disk", "", &["trap '' XFSZ"]);
    // From here on no file may grow, the log included: whatever is kept of the call meets "disk full".
    let limited = Command::new("prlimit").args(["--pid", &gateway.pid().to_string(), "--fsize=1024"]).status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit comes with util-linux");
    let wav = recording("hours_sat.bf_emma.wav");
    let report = dauys_call(&gateway, &["--keys", "1", "--play", wav.to_str().expect("UTF-8")]);
    let turns = report["turns"].as_array().expect("turns");
    assert!(turns.len() == 2 && turns.iter().all(|t| t["voice_to_voice_ms"].is_u64()), "{report:#}");
    common::wait_for("the call to end", std::time::Duration::from_secs(20), || {
        (gateway.active_calls() == 0).then_some(())
    });
    let (_, metrics) = gateway.get("/metrics");
    let errors = metrics.lines().find_map(|l| l.strip_prefix("dauys_store_errors_total ")).unwrap_or("0");
    assert_ne!(errors, "0", "the disk was not full enough to prove anything");
    gateway.stop();
}
