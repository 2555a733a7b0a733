//! A real browser calls by SIP over WebSocket: JsSIP on a page, the browser's own ICE, DTLS-SRTP and Opus. Nothing leaves
//! loopback.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::net::TcpListener;
use std::process::{Command, Output};

use common::{Gateway, read_wav, recording, root, to_16k};

const QUESTION: &str = "hours_sat.bf_emma.wav";

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn a_browser_talks_by_sip() {
    let (ws, page) = (free_port(), free_port());
    let shell = [
        format!("export DAUYS__SIP__WS=127.0.0.1:{ws}"),
        format!("export DAUYS__SIP__WS_ORIGINS='[\"http://127.0.0.1:{page}\"]'"),
        "export DAUYS__RTP__SRTP=required".to_owned(),
    ];
    let mut gateway = Gateway::start_with("jssip-browser", "", &shell.each_ref().map(String::as_str));
    let heard = gateway.scratch.0.join("heard.wav");
    let home = std::env::var("HOME").expect("a home");
    let Output { status, stdout, stderr } = Command::new("node")
        .env("BROWSER_MODULES", home + "/.cache/dauys/node")
        .env("PATIENCE_MS", "45000")
        .arg(root().join("tests/browser/jssip.mjs"))
        .args([&format!("ws://127.0.0.1:{ws}"), "sip:front-desk@127.0.0.1"])
        .args([&heard, &recording(QUESTION)])
        .arg(page.to_string())
        .output()
        .expect("scripts/setup.sh test installs node");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("audio/opus"), "{said}");
    let calls = gateway.ended_calls(1);
    let call = &calls[0];
    assert_eq!((&call["codec"], &call["security"]), (&"opus".into(), &"dtls".into()), "{call:#}\n{said}");
    assert_eq!(call["consent"], "granted by key", "{call:#}\n{said}");
    assert_eq!(call["state"], "caller_hung_up", "{call:#}\n{said}");
    let id = call["id"].as_str().expect("an id");
    let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript")).to_string().to_lowercase();
    assert!(transcript.contains("saturday") && transcript.contains("nine"), "{transcript}");
    gateway.stop();
    check_answer(&heard);
}

/// The answer that the browser recorded, read by the recognizer that the gateway did not use.
fn check_answer(wav: &std::path::Path) {
    let (rate, samples) = read_wav(wav);
    let language = models::Language::parse("en").expect("a language");
    let whisper = models::RecognizerKind::Whisper;
    let audio = to_16k(rate, &samples);
    let tail = &audio[audio.len().saturating_sub(16_000 * 28)..];
    let text = models::oneshot::transcribe_with(whisper, tail, &language, &models::default_models_dir());
    let text = text.expect("dauys models pull has run").to_lowercase();
    assert!(text.contains("saturday") && (text.contains("nine") || text.contains('9')), "not the answer: {text}");
}
