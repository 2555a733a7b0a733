//! The first call, made by two SIP stacks that share no code with the gateway: heard, understood, answered;
//! kept where the caller agreed, and nowhere else.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Gateway, Part, compose, dauys_call, read_wav, search_bytes, to_16k};
use serde_json::Value;

const QUESTION: &str = "hours_sat.bf_emma.wav";
/// A word of the question, and one only the caller says at the end.
const SPOKEN: [&str; 2] = ["saturday", "goodbye"];

/// How long the agent speaks before it waits for an answer, measured by a caller that says nothing.
fn greeting_seconds(gateway: &Gateway) -> f32 {
    let wav = gateway.scratch.0.join("greeting.wav");
    dauys_call(gateway, &["--record", wav.to_str().expect("UTF-8"), "--pause-ms", "1500", "--seconds-max", "40"]);
    let (rate, samples) = read_wav(&wav);
    let end_ms = media::level::last_active_ms(&samples, rate, -45.0).expect("the agent greets");
    end_ms as f32 / 1000.0
}

/// Greeting, consent, question, goodbye, and room for the last answer.
fn caller_wav(gateway: &Gateway, consent: &str) -> (PathBuf, f32) {
    let greeting = greeting_seconds(gateway);
    let path = gateway.scratch.0.join("caller.wav");
    let parts = [
        Part::Silence(greeting + 1.5),
        Part::Speech(consent),
        Part::Silence(7.0),
        Part::Speech(QUESTION),
        Part::Silence(8.0),
        Part::Speech("bye.af_bella.wav"),
        Part::Silence(20.0),
    ];
    compose(&path, &parts);
    (path, greeting + 40.0)
}

fn baresip(gateway: &Gateway, wav: &Path, seconds: f32) -> PathBuf {
    let dir = gateway.scratch.0.join("baresip");
    std::fs::create_dir_all(&dir).expect("a folder");
    let modules = std::fs::read_dir("/usr/lib/baresip/modules").map(|_| "/usr/lib/baresip/modules");
    let modules = modules.expect("baresip-core is installed by scripts/setup.sh test");
    let config = format!(
        "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nmodule_path {modules}\n\
         audio_source aufile,{wav}\naudio_player aufile,{dir}/out.wav\naudio_alert aufile,{dir}/alert.wav\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
         snd_path {dir}\n\
         module g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule_app account.so\nmodule_app menu.so\n",
        wav = wav.display(),
        dir = dir.display(),
    );
    std::fs::write(dir.join("config"), config).expect("written");
    std::fs::write(dir.join("accounts"), "<sip:baresip@127.0.0.1>;regint=0;audio_codecs=pcmu\n").expect("written");
    let mut child = Command::new("baresip")
        .args(["-f", dir.to_str().expect("UTF-8"), "-e", &format!("/dial {}", gateway.target())])
        .args(["-t", &format!("{}", seconds as u32 + 10)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("baresip runs");
    gateway.ended_calls_within(2, Duration::from_secs_f32(seconds + 20.0));
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let _ = child.wait();
    let recorded = std::fs::read_dir(&dir).expect("readable").flatten().map(|e| e.path());
    recorded
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with("-dec.wav")))
        .max_by_key(|p| p.metadata().map_or(0, |m| m.len()))
        .expect("baresip recorded what it heard")
}

fn pjsua2(gateway: &Gateway, wav: &Path, seconds: f32) -> PathBuf {
    let record = gateway.scratch.0.join("pjsua2.wav");
    let python = std::env::var("HOME").expect("a home") + "/.cache/dauys/venv/bin/python";
    let output = Command::new(python)
        .arg(common::root().join("tests/clients/pjsua2_call.py"))
        .arg(gateway.target())
        .args([wav, &record])
        .arg(format!("{seconds}"))
        .output()
        .expect("scripts/setup.sh test installs pjsua2");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("answered"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    gateway.ended_calls_within(2, Duration::from_secs(20));
    record
}

/// What the caller heard, read by the recognizer that the gateway did not use.
fn other_recognizer(wav: &Path) -> String {
    let (rate, samples) = read_wav(wav);
    let audio = to_16k(rate, &samples);
    let language = models::Language::parse("en").expect("a language");
    // The last words count; whisper listens to half a minute at once.
    let tail = audio.len().saturating_sub(16_000 * 28);
    models::oneshot::transcribe_with(
        models::RecognizerKind::Whisper,
        &audio[tail..],
        &language,
        &models::default_models_dir(),
    )
    .expect("dauys models pull has run")
    .to_lowercase()
}

fn check_answer(wav: &Path) {
    let heard = other_recognizer(wav);
    assert!(heard.contains("nine") || heard.contains('9'), "the opening time is not in: {heard}");
    assert!(heard.contains("saturday"), "the day is not in: {heard}");
}

/// The one call with turns, as the API tells it.
fn the_call(gateway: &Gateway) -> Value {
    let calls = gateway.ended_calls_within(2, Duration::from_secs(20));
    calls.into_iter().max_by_key(|c| c["turns"].as_array().map_or(0, Vec::len)).expect("a call")
}

type Client = fn(&Gateway, &Path, f32) -> PathBuf;

fn granted(name: &str, client: Client) {
    let mut gateway = Gateway::start(name);
    let (wav, seconds) = caller_wav(&gateway, "yes_please.bf_emma.wav");
    let heard = client(&gateway, &wav, seconds);
    let call = the_call(&gateway);
    assert_eq!(call["consent"], "granted by voice", "{call:#}");
    assert_eq!(call["state"], "completed", "the goodbye ends the call: {call:#}");
    let turns = call["turns"].as_array().expect("turns");
    assert!(turns.len() >= 3 && turns.iter().all(|t| t["first_frame_ms"].is_u64()), "{call:#}");
    let id = call["id"].as_str().expect("an id");
    let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript"));
    let lines = transcript["lines"].as_array().expect("lines");
    let said = |who: &str, word: &str| {
        let text = |l: &Value| l["text"].as_str().unwrap_or_default().to_lowercase();
        lines.iter().any(|l| l["speaker"] == who && text(l).contains(word))
    };
    assert!(said("caller", "saturday") && said("agent", "nine"), "{transcript:#}");
    gateway.stop();
    // What is kept is sealed.
    for word in SPOKEN {
        let found = search_bytes(&[&gateway.data()], word);
        assert!(found.is_empty(), "{word} can be read in {found:?}");
    }
    let log = gateway.log().to_lowercase();
    assert!(SPOKEN.iter().all(|w| !log.contains(w)), "words reached the log");
    check_answer(&heard);
}

fn refused(name: &str, client: Client) {
    let mut gateway = Gateway::start(name);
    let (wav, seconds) = caller_wav(&gateway, "no_thanks.am_fenrir.wav");
    let heard = client(&gateway, &wav, seconds);
    let call = the_call(&gateway);
    assert_eq!(call["consent"], "refused by voice", "{call:#}");
    assert!(call["turns"].as_array().expect("turns").len() >= 3, "the agent serves all the same: {call:#}");
    let id = call["id"].as_str().expect("an id");
    let (status, body) = gateway.get(&format!("/api/v1/calls/{id}/transcript"));
    assert_eq!(status, 403, "{body}");
    gateway.stop();
    let log = gateway.scratch.0.join("gateway.log");
    for word in SPOKEN {
        let found = search_bytes(&[&gateway.data(), &log], word);
        assert!(found.is_empty(), "{word} was kept in {found:?}");
    }
    check_answer(&heard);
}

#[test]
fn baresip_is_answered_and_its_agreed_transcript_is_kept() {
    granted("baresip-yes", baresip);
}

#[test]
fn baresip_without_consent_leaves_nothing() {
    refused("baresip-no", baresip);
}

#[test]
fn pjsua2_is_answered_and_its_agreed_transcript_is_kept() {
    granted("pjsua2-yes", pjsua2);
}

#[test]
fn pjsua2_without_consent_leaves_nothing() {
    refused("pjsua2-no", pjsua2);
}

#[test]
fn a_caller_who_wants_a_person_is_transferred() {
    let mut gateway = Gateway::start("transfer");
    let greeting = greeting_seconds(&gateway);
    let wav = gateway.scratch.0.join("caller.wav");
    compose(&wav, &[Part::Silence(greeting + 1.5), Part::Speech("human.am_michael.wav"), Part::Silence(15.0)]);
    let mut person = Command::new("sipp")
        .args(["-sn", "uas", "-i", "127.0.0.1", "-p", &gateway.transfer.to_string(), "-m", "1", "-nostdin"])
        .args(["-timeout", "90", "-timeout_error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("scripts/setup.sh test installs sipp");
    baresip(&gateway, &wav, greeting + 25.0);
    let call = the_call(&gateway);
    assert_eq!(call["state"], "transferred", "{call:#}");
    assert!(person.wait().expect("sipp ends").success(), "the person's phone was not called");
    gateway.stop();
}

/// Runs sipp, and expects every one of its calls to succeed and nothing to stay open.
fn sipp(gateway: &Gateway, arguments: &[&str], calls: usize) {
    // The built-in scenario looks for its recordings in `pcap/`.
    let _ = std::os::unix::fs::symlink("/usr/share/sip-tester", gateway.scratch.0.join("pcap"));
    let output = Command::new("sipp")
        .args(arguments)
        .args(["-m", &calls.to_string(), "-r", "20", "-l", "150", "-i", "127.0.0.1", "-nostdin"])
        .args(["-timeout", "90", "-timeout_error"])
        .arg(format!("127.0.0.1:{}", gateway.sip))
        .current_dir(&gateway.scratch.0)
        .stdout(Stdio::null())
        .output()
        .expect("scripts/setup.sh test installs sipp");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sipp {arguments:?}: {} {said}", output.status);
    let started = Instant::now();
    while gateway.active_calls() > 0 {
        assert!(started.elapsed() < Duration::from_secs(40), "{} calls are left open", gateway.active_calls());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn two_hundred_sipp_calls_leave_nothing_open() {
    let mut gateway = Gateway::start("sipp");
    sipp(&gateway, &["-sn", "uac", "-d", "1000"], 200);
    assert_eq!(gateway.ended_calls(200).len(), 200);
    // Its calls last eight seconds and bring their own RTP and keys.
    sipp(&gateway, &["-sn", "uac_pcap", "-mp", "17000"], 200);
    assert_eq!(gateway.ended_calls(400).len(), 400);
    gateway.stop();
}
