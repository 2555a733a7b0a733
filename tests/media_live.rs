//! Real callers with real speech over every road that media takes: codecs, SRTP, ICE, keys, bad networks. Each answer
//! is read by another recognizer, and each record says what was agreed. None measures speed.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
#[path = "media_live/digits.rs"]
mod digits;
#[path = "common/relay.rs"]
mod relay;
#[path = "media_live/talk.rs"]
mod talk;
#[path = "media_live/trouble.rs"]
mod trouble;

use std::time::Duration;

use common::Gateway;
use serde_json::Value;
use talk::{Client, Talk, check_answer, record};

/// A caller, and what its record must say: codec and protection.
struct Road {
    name: &'static str,
    client: Client,
    codec: &'static str,
    security: &'static str,
}

const fn road(name: &'static str, codec: &'static str, security: &'static str, client: Client) -> Road {
    Road { name, client, codec, security }
}

impl Road {
    fn is_wideband(&self) -> bool {
        ["G722", "opus"].contains(&self.codec)
    }
}

/// Packets came and went, none was lost, the caller agreed by voice and asked.
fn check_record(road: &Road, call: &Value) {
    let name = road.name;
    assert_eq!((&call["codec"], &call["security"]), (&road.codec.into(), &road.security.into()), "{name}: {call:#}");
    assert_eq!(call["state"], "caller_hung_up", "{name}: {call:#}");
    assert_eq!(call["consent"], "granted by voice", "{name}: {call:#}");
    let media = &call["media"];
    for kind in ["packets_received", "packets_sent"] {
        assert!(media[kind].as_u64().is_some_and(|n| n > 1000), "{name}: {call:#}");
    }
    assert_eq!(media["packets_lost"], 0, "{name}: {call:#}");
    // Clients on a busy machine send late, which is loss to who listens; nothing else may be wrong.
    let trouble = media["trouble"].as_array().expect("a list");
    assert!(trouble.iter().all(|t| t == "heavy_loss"), "{name}: {call:#}");
    assert_eq!(media["wideband"], road.is_wideband(), "{name}: {call:#}");
    let mos = media["mos"].as_f64().expect("a number");
    assert!(mos > 3.5 || !trouble.is_empty(), "{name}: {call:#}");
}

/// All of them at once.
fn check_roads(test: &str, roads: &[Road]) {
    let mut gateway = Gateway::start(test);
    let play = [8000, 16_000].map(|rate| (gateway.scratch.0.join(format!("caller-{rate}.wav")), rate));
    play.iter().for_each(|(path, rate)| talk::caller(path, *rate));
    let target = format!("127.0.0.1:{}", gateway.sip);
    let begin = |road: &Road| {
        let play = &play[usize::from(road.is_wideband())].0;
        Talk::begin(&gateway, &target, road.name, road.client, play)
    };
    let talks: Vec<Talk> = roads.iter().map(begin).collect();
    let ids: Vec<String> = talks.iter().map(|t| t.id.clone()).collect();
    let heard: Vec<_> = talks.into_iter().map(Talk::end).collect();
    for (road, id) in roads.iter().zip(&ids) {
        check_record(road, &record(&gateway, id));
    }
    gateway.stop();
    for (road, heard) in roads.iter().zip(&heard) {
        check_answer(road.name, heard);
    }
}

const OPUS: &str = "module opus.so";
const OPUS_FEC: &str = "opus_inbandfec yes\nopus_packet_loss 10\nmodule opus.so";
const SRTP: &str = "module srtp.so";
const OPUS_SRTP: &str = "module opus.so\nmodule srtp.so";

#[test]
fn baresip_talks_in_every_codec_and_protection() {
    use Client::Baresip;
    check_roads(
        "live-baresip",
        &[
            road("pcmu", "PCMU", "none", Baresip("PCMU", "")),
            road("pcma", "PCMA", "none", Baresip("PCMA", "")),
            road("g722", "G722", "none", Baresip("G722/16000/1", "module g722.so")),
            road("opus", "opus", "none", Baresip("opus/48000/2", OPUS)),
            road("pcmu-sdes", "PCMU", "sdes", Baresip("PCMU;mediaenc=srtp-mand", SRTP)),
            road("opus-sdes", "opus", "sdes", Baresip("opus/48000/2;mediaenc=srtp-mand", OPUS_SRTP)),
            // It begins ICE anew in the middle of the call.
            road("pcmu-ice", "PCMU", "none", Baresip("PCMU;medianat=ice", "rtcp_mux yes\nmodule ice.so")),
        ],
    );
}

#[test]
fn aiortc_talks_over_ice_and_dtls() {
    use Client::Aiortc;
    check_roads(
        "live-aiortc",
        &[
            road("aiortc-opus", "opus", "dtls", Aiortc("opus")),
            road("aiortc-pcma", "PCMA", "dtls", Aiortc("pcma")),
            road("aiortc-g722", "G722", "dtls", Aiortc("g722")),
        ],
    );
}

#[test]
fn pjsua2_talks_with_and_without_srtp() {
    use Client::Pjsua2;
    check_roads(
        "live-pjsua2",
        &[
            road("pjsua2-g722", "G722", "none", Pjsua2("", &[("CODEC", "G722/16000")])),
            road("pjsua2-optional", "PCMA", "sdes", Pjsua2("", &[("CODEC", "PCMA/8000"), ("SRTP", "optional")])),
            road("pjsua2-mandatory", "G722", "sdes", Pjsua2("", &[("CODEC", "G722/16000"), ("SRTP", "mandatory")])),
        ],
    );
}

/// baresip has an RSA certificate, and insists on it: nothing is said unprotected, and the log says why.
#[test]
fn a_handshake_that_fails_ends_the_call() {
    let mut gateway = Gateway::start("live-rsa");
    let play = gateway.scratch.0.join("caller.wav");
    talk::caller(&play, 8000);
    let client = Client::Baresip("PCMU;mediaenc=dtls_srtp", "rtcp_mux yes\nmodule srtp.so\nmodule dtls_srtp.so");
    let mut call = Talk::begin(&gateway, &format!("127.0.0.1:{}", gateway.sip), "rsa", client, &play);
    call.baresip().event("CALL_CLOSED", Duration::from_secs(20));
    let record = record(&gateway, &call.id);
    assert_eq!((&record["security"], &record["state"]), (&"dtls".into(), &"lost".into()), "{record:#}");
    assert_eq!((&record["media"]["packets_sent"], &record["media"]["packets_received"]), (&0.into(), &0.into()));
    gateway.stop();
    assert!(gateway.log().contains("media cannot be protected; the call ends"), "the log says why");
}
