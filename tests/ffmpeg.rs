//! ffmpeg's WHIP muxer as the page's end of a call, where ffmpeg has one (8.0 and later). Where it has none this says so,
//! and nothing was tested.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::process::Command;

use common::{Gateway, recording};

fn has_whip() -> bool {
    let muxers = Command::new("ffmpeg").args(["-hide_banner", "-muxers"]).output();
    muxers
        .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).lines().any(|l| l.split_whitespace().nth(1) == Some("whip")))
}

#[test]
fn ffmpeg_is_heard() {
    if !has_whip() {
        println!("NOT TESTED: this ffmpeg has no WHIP muxer (it came with ffmpeg 8.0), or there is no ffmpeg");
        return;
    }
    let mut gateway = Gateway::start_with("ffmpeg", "[web]\nbind = \"127.0.0.1:0\"", &[]);
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-re", "-stream_loop", "4", "-i"])
        .arg(recording("hours_sat.bf_emma.wav"))
        .args(["-ar", "48000", "-ac", "2", "-c:a", "libopus", "-f", "whip"])
        .arg(format!("http://127.0.0.1:{}/whip/front-desk", gateway.http))
        .status()
        .expect("it has just run");
    assert!(status.success(), "{status}");
    let call = gateway.ended_calls(1).remove(0);
    assert_eq!((&call["codec"], &call["security"]), (&"opus".into(), &"dtls".into()), "{call:#}");
    assert!(call["media"]["packets_received"].as_u64().is_some_and(|n| n > 200), "{call:#}");
    gateway.stop();
}
