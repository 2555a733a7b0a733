//! A call with the `webrtc` crate at the other end: a package of its own under `tests/peers`, built here. Nothing leaves
//! loopback but what its first build downloads.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::process::{Command, Output};

use common::{Gateway, read_wav, recording, root, to_16k};
use serde_json::Value;

const QUESTION: &str = "hours_sat.bf_emma.wav";
const WEB: &str = "[web]\nbind = \"127.0.0.1:0\"";
/// Of what was heard, this much from the end is read: the second answer, and that nobody can be reached.
const READ_S: usize = 24;

/// The peer's program. Its dependencies are three hundred: they are kept beside the other caches.
fn peer() -> PathBuf {
    let target = PathBuf::from(std::env::var("HOME").expect("a home")).join(".cache/dauys/peers");
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(root().join("tests/peers/webrtc-rs/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo is here: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/webrtc-rs-peer")
}

#[test]
fn the_webrtc_crate_talks_with_us() {
    let peer = peer();
    let mut gateway = Gateway::start_with("webrtc-rs", WEB, &[]);
    let heard = gateway.scratch.0.join("heard.wav");
    let Output { status, stdout, stderr } = Command::new(peer)
        .args([&format!("127.0.0.1:{}", gateway.http), "front-desk"])
        .args([&heard, &recording(QUESTION)])
        .output()
        .expect("it was built");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && said.contains("\nended"), "{status}\n{said}");
    for step in ["connected", "agreed", "answered", "restarted", "answered again", "digit"] {
        assert!(said.contains(&format!("step {step}")), "{step}\n{said}");
    }
    assert!(said.contains("deleted 200"), "{said}");
    let since = said.lines().find_map(|l| l.strip_prefix("step restarted, ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(since.is_some_and(|packets| packets > 50), "sound goes on through a restart\n{said}");
    let call: Value = gateway.ended_calls(1).remove(0);
    assert_eq!((&call["codec"], &call["security"]), (&"PCMU".into(), &"dtls".into()), "{call:#}");
    assert_eq!((&call["consent"], &call["state"]), (&"granted by key".into(), &"caller_hung_up".into()), "{call:#}");
    let id = call["id"].as_str().expect("an id");
    let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript")).to_string().to_lowercase();
    assert!(transcript.matches("saturday").count() >= 2, "asked twice: {transcript}");
    gateway.stop();
    let (rate, samples) = read_wav(&heard);
    let audio = to_16k(rate, &samples);
    let tail = &audio[audio.len().saturating_sub(16_000 * READ_S)..];
    let language = models::Language::parse("en").expect("a language");
    let whisper = models::RecognizerKind::Whisper;
    let text = models::oneshot::transcribe_with(whisper, tail, &language, &models::default_models_dir());
    let text = text.expect("dauys models pull has run").to_lowercase();
    assert!(text.contains("saturday") && (text.contains("nine") || text.contains('9')), "not the answer: {text}");
}
