//! Media in trouble: bad weather, callers that fall silent, strangers at the port, codecs that change. The talk goes on
//! where it can, and the record says what was wrong.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Client::{Baresip, Pjsua2};
use super::OPUS_FEC;
use super::relay::{Relay, Weather};
use super::talk::{self, Client, Talk, check_answer, record};
use crate::common::{Gateway, wait_for};

/// Losses in runs of two on average, and packets that overtake each other.
const STORM: Weather = Weather { loss: 0.05, burst: 2.0, jitter_ms: 40, delay_ms: 20, twice: 0.01 };

fn number(call: &Value, what: &str) -> f64 {
    call["media"][what].as_f64().unwrap_or_else(|| panic!("no {what}: {call:#}"))
}

#[test]
fn bad_weather_is_survived_and_told() {
    let mut gateway = Gateway::start("live-weather");
    let play = [8000, 16_000].map(|rate| (gateway.scratch.0.join(format!("caller-{rate}.wav")), rate));
    play.iter().for_each(|(path, rate)| talk::caller(path, *rate));
    let straight = format!("127.0.0.1:{}", gateway.sip);
    let relay = Relay::start(straight.parse().expect("an address"), STORM, 7);
    let stormy = relay.sip.to_string();
    let begin = |name: &str, target: &str, client: Client, wide: bool| {
        Talk::begin(&gateway, target, name, client, &play[usize::from(wide)].0)
    };
    let talks = [
        ("clean-pcmu", begin("clean-pcmu", &straight, Baresip("PCMU", ""), false)),
        ("pcmu", begin("pcmu", &stormy, Baresip("PCMU", ""), false)),
        ("clean-opus", begin("clean-opus", &straight, Baresip("opus/48000/2", OPUS_FEC), true)),
        ("opus", begin("opus", &stormy, Baresip("opus/48000/2", OPUS_FEC), true)),
    ];
    let ended = talks.map(|(name, talk)| {
        let id = talk.id.clone();
        (name, talk.end(), id)
    });
    let calls: Vec<Value> = ended.iter().map(|(.., id)| record(&gateway, id)).collect();
    gateway.stop();
    for pair in calls.chunks(2) {
        let [clean, stormy] = pair else { unreachable!() };
        assert!(number(stormy, "packets_lost") > 20.0, "{stormy:#}");
        assert!(number(stormy, "frames_concealed") > number(clean, "frames_concealed"), "{stormy:#}");
        assert!(number(stormy, "loss_percent") > 1.0, "{stormy:#}");
        assert!(number(stormy, "mos") < number(clean, "mos"), "{clean:#} {stormy:#}");
    }
    assert!(number(&calls[3], "packets_recovered") > 0.0, "redundancy is used: {:#}", calls[3]);
    for (name, heard, _) in &ended {
        check_answer(name, heard);
    }
}

/// A caller that is stopped in the middle, and one that never says anything.
#[test]
fn silence_of_the_network_is_told() {
    let mut gateway = Gateway::start("live-silence");
    let play = gateway.scratch.0.join("caller.wav");
    talk::caller(&play, 8000);
    let target = format!("127.0.0.1:{}", gateway.sip);
    let mut phone = Talk::begin(&gateway, &target, "stopped", Baresip("PCMU", ""), &play);
    phone.baresip().event("CALL_ESTABLISHED", Duration::from_secs(20));
    let pid = phone.pid().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    let said = |what: &str| {
        let log = |line: &str| line.contains(what) && line.contains("no_audio_in") && line.contains(&phone.id);
        wait_for(what, Duration::from_secs(20), || gateway.log().replace("\u{1b}", "").lines().any(log).then_some(()));
    };
    let heard = || gateway.log().matches("turn done").count();
    wait_for("its consent", Duration::from_secs(30), || (heard() > 0).then_some(()));
    signal("-STOP");
    said("media trouble");
    signal("-CONT");
    said("media trouble is over");
    let id = phone.id.clone();
    phone.end();
    let stopped = record(&gateway, &id);
    assert_eq!(stopped["media"]["trouble"], json!(["no_audio_in"]), "{stopped:#}");
    assert_eq!(stopped["state"], "caller_hung_up", "{stopped:#}");
    let sipp = Command::new("sipp")
        .args([
            "-sn",
            "uac",
            "-d",
            "5000",
            "-m",
            "1",
            "-i",
            "127.0.0.1",
            "-nostdin",
            "-timeout",
            "60",
            "-timeout_error",
        ])
        .arg(&target)
        .current_dir(&gateway.scratch.0)
        .output()
        .expect("scripts/setup.sh test installs sipp");
    assert!(sipp.status.success(), "{}", String::from_utf8_lossy(&sipp.stderr));
    let mute = gateway.ended_calls(2).remove(0);
    assert_eq!(mute["media"]["trouble"], json!(["no_audio_in"]), "{mute:#}");
    assert_eq!(mute["media"]["packets_received"], 0, "{mute:#}");
    gateway.stop();
}

/// Sends what could be the caller's, from elsewhere, as loud as it gets: packets sent and received.
fn spray(port: u16, stop: &AtomicBool, sent: &AtomicU64) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("non-blocking");
    let (mut received, mut bytes) = (0, [0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        let n = sent.fetch_add(1, Ordering::Relaxed) as u32;
        let mut packet = vec![0x80, 0];
        packet.extend((n as u16).to_be_bytes());
        packet.extend((n * 160).to_be_bytes());
        packet.extend(0x0bad_cafe_u32.to_be_bytes());
        packet.extend((0..160).map(|i| if i % 2 == 0 { 0x80 } else { 0x00 }));
        socket.send_to(&packet, ("127.0.0.1", port)).expect("sent");
        while socket.recv_from(&mut bytes).is_ok() {
            received += 1;
        }
        thread::sleep(Duration::from_millis(20));
    }
    received
}

#[test]
fn a_stranger_at_the_port_changes_nothing() {
    let mut gateway = Gateway::start("live-stranger");
    let play = gateway.scratch.0.join("caller.wav");
    talk::caller(&play, 8000);
    let target = format!("127.0.0.1:{}", gateway.sip);
    let mut phone = Talk::begin(&gateway, &target, "caller", Baresip("PCMU", ""), &play);
    let from = "receiving from 127.0.0.1:";
    let port = wait_for("its media", Duration::from_secs(20), || {
        let log = phone.baresip().log();
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        log.split_once(from).and_then(|(_, rest)| digits(rest).parse().ok())
    });
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let id = phone.id.clone();
    let (heard, received) = thread::scope(|scope| {
        let stranger = scope.spawn(|| spray(port, &stop, &sent));
        let heard = phone.end();
        stop.store(true, Ordering::Relaxed);
        (heard, stranger.join().expect("it sprays"))
    });
    let call = record(&gateway, &id);
    assert_eq!(received, 0, "the stranger hears nothing");
    assert_eq!(call["consent"], "granted by voice", "{call:#}");
    assert_eq!((&call["media"]["packets_lost"], &call["media"]["trouble"]), (&json!(0), &json!([])), "{call:#}");
    let sent = sent.load(Ordering::Relaxed) as f64;
    assert!(sent > 500.0 && number(&call, "packets_refused") > sent * 0.9, "{sent} were sent: {call:#}");
    assert!(number(&call, "packets_received") < 1500.0, "none of them counts: {call:#}");
    gateway.stop();
    check_answer("caller", &heard);
}

/// Between consent and question.
#[test]
fn a_codec_may_change_in_the_middle() {
    let mut gateway = Gateway::start("live-change");
    let play = gateway.scratch.0.join("caller.wav");
    talk::caller(&play, 8000);
    let target = format!("127.0.0.1:{}", gateway.sip);
    let begin = |name: &str, client: Client| (Talk::begin(&gateway, &target, name, client, &play), name.to_owned());
    let talks = [
        begin("pcmu-g722", Pjsua2("15:codec=G722,", &[("CODEC", "PCMU/8000")])),
        begin("g722-pcma", Pjsua2("15:codec=PCMA,", &[("CODEC", "G722/16000"), ("SRTP", "mandatory")])),
    ];
    let started = Instant::now();
    let ended = talks.map(|(talk, name)| (talk.id.clone(), talk.end(), name));
    assert!(started.elapsed() > Duration::from_secs(15), "they talked");
    for ((id, _, name), is_wideband) in ended.iter().zip([true, false]) {
        let call = record(&gateway, id);
        assert_eq!(call["state"], "caller_hung_up", "{name}: {call:#}");
        assert_eq!(call["consent"], "granted by voice", "{name}: {call:#}");
        // The new stream has another SSRC, which is believed at its second packet.
        assert!(number(&call, "packets_lost") <= 2.0, "{name}: {call:#}");
        assert_eq!(call["media"]["wideband"], is_wideband, "{name}: {call:#}");
        assert!(number(&call, "packets_received") > 1200.0, "{name}: {call:#}");
    }
    gateway.stop();
    for (_, heard, name) in &ended {
        check_answer(name, heard);
    }
}
