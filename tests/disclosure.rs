//! What machines are told at the start of a call by SIP: that an AI answers, by which policy. Engines of wood; no sound.
#![allow(clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use dauys::config::Config;
use dauys::gateway::{Gateway, Running};
use models::{Engines, fake};
use tokio::net::UdpSocket;
use tokio::time::timeout;

async fn start(name: &str, ports: u16, policy: &str) -> (Running, PathBuf) {
    let data = std::env::temp_dir().join(format!("dauys-disclosure-{name}-{}", std::process::id()));
    let text = format!(
        "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[rtp]\nports = [{ports}, {}]\n\
         [calls]\nmax = 2\n[store]\ndir = {data:?}\n{policy}\n[[agent]]\nfile = \"agents/front-desk.toml\"\n",
        ports + 10
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/test.toml");
    let config = Config::parse(&path, &text, std::iter::empty()).expect("a config");
    let engines = |_: &_| Ok(Engines::scripted(fake::Script::new(), 2));
    (Gateway::start_with(config, &|_| {}, engines).await.expect("it starts"), data)
}

/// The headers of the answer to an INVITE that have this name.
async fn answered(running: &Running, name: &str) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let (here, there) = (socket.local_addr().expect("an address"), running.sip());
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let invite = format!(
        "INVITE sip:front-desk@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK7;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:test@{here}>;tag=a\r\nTo: <sip:front-desk@{there}>\r\nCall-ID: {here}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:test@{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    socket.send_to(invite.as_bytes(), there).await.expect("sent");
    let mut datagram = [0; 4096];
    loop {
        let len = timeout(Duration::from_secs(10), socket.recv(&mut datagram)).await.expect("answers").expect("reads");
        let answer = String::from_utf8_lossy(&datagram[..len]).into_owned();
        if answer.starts_with("SIP/2.0 200") {
            let value = |line: &str| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
            return answer.lines().filter_map(value).collect();
        }
        assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_that_an_ai_gives_it() {
    let (running, data) = start("policy", 47_600, "[policy]\nfile = \"policy/default.toml\"").await;
    let told = answered(&running, "X-AI-Disclosure").await;
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.starts_with("ai;policy=\"2026-11-1\";language=en;text="), "{told}");
    assert!(told.ends_with(";asks=\"transcript\";url=\"https://bright-smile.example/privacy\""), "{told}");
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);

    let (running, data) = start("none", 47_620, "").await;
    assert_eq!(answered(&running, "X-AI-Disclosure").await, ["ai"]);
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}
