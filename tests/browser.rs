//! The widget in a real browser: its states against a gateway of the test's own, then whole conversations on the demo page
//! of a real one. Nothing leaves loopback.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Gateway, Scratch, read_wav, root, search_bytes, to_16k};
use serde_json::Value;

const QUESTION: &str = "hours_sat.bf_emma.wav";
/// Words of what is asked, by voice and in writing.
const SPOKEN: &str = "saturday";
const WRITTEN: &str = "cleaning";
const WEB: &str = "[web]\nbind = \"127.0.0.1:0\"\nreconnect_s = 20\n";
/// Set for the part of a test that runs in a network of its own.
const INSIDE: &str = "DAUYS_TEST_IN_NAMESPACE";

/// One browser and one gateway at a time: side by side they would wait for each other's processors.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn node(script: &str) -> Command {
    let home = std::env::var("HOME").expect("a home");
    let mut command = Command::new("node");
    command.env("BROWSER_MODULES", home + "/.cache/dauys/node").arg(root().join("tests/browser").join(script));
    command
}

/// What it printed, if it went well.
fn done(command: &mut Command, what: &str) -> String {
    let Output { status, stdout, stderr } = command.output().expect("scripts/setup.sh test installs node");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{what}: {status}\n{said}");
    said
}

/// With `UPDATE_DOCS=1` the screenshots of the documentation are taken anew.
#[test]
fn the_widget_keeps_its_states() {
    let _one = alone();
    let scratch = Scratch::new("widget-shots");
    let docs = std::env::var_os("UPDATE_DOCS").is_some();
    let shots = if docs { root().join("docs") } else { scratch.0.clone() };
    let mut command = node("states.mjs");
    done(command.env("SHOTS", &shots), "the widget's states");
    let taken = std::fs::read_dir(&shots).expect("a folder").flatten();
    let taken = taken.filter(|e| e.file_name().to_string_lossy().starts_with("widget-")).count();
    assert!(taken >= 8, "{taken} screenshots");
}

#[test]
fn every_language_of_the_widget_says_everything() {
    done(&mut node("words.mjs"), "the widget's words");
}

fn talking(gateway: &Gateway, scenario: &str) -> Command {
    let mut command = node("talk.mjs");
    command.args([scenario, &format!("http://127.0.0.1:{}", gateway.http)]);
    command.arg(heard(gateway)).arg(common::recording(QUESTION)).env("PATIENCE_MS", "45000");
    command
}

/// What a page of this gateway's test heard.
fn heard(gateway: &Gateway) -> PathBuf {
    gateway.scratch.0.join("heard.wav")
}

fn talk(gateway: &Gateway, scenario: &str) -> String {
    done(&mut talking(gateway, scenario), scenario)
}

/// The answer that the browser recorded, read by the recognizer that the gateway did not use.
fn check_answer(wav: &Path) {
    let (rate, samples) = read_wav(wav);
    let audio = to_16k(rate, &samples);
    let language = models::Language::parse("en").expect("a language");
    let tail = audio.len().saturating_sub(16_000 * 28);
    let models_dir = models::default_models_dir();
    let heard =
        models::oneshot::transcribe_with(models::RecognizerKind::Whisper, &audio[tail..], &language, &models_dir)
            .expect("dauys models pull has run")
            .to_lowercase();
    assert!(heard.contains("nine") || heard.contains('9'), "the opening time is not in: {heard}");
    assert!(heard.contains(SPOKEN), "the day is not in: {heard}");
}

fn only_call(gateway: &Gateway) -> Value {
    let calls = gateway.ended_calls(1);
    assert_eq!(calls.len(), 1, "one conversation is one call: {calls:#?}");
    calls.into_iter().next().expect("a call")
}

#[test]
fn a_page_talks_writes_and_is_reloaded_in_one_conversation() {
    let _one = alone();
    let mut gateway = Gateway::start_with("browser-kept", WEB, &[]);
    let said = talk(&gateway, "kept");
    let call = only_call(&gateway);
    assert_eq!(call["consent"], "granted by click", "{call:#}\n{said}");
    assert_eq!(call["state"], "caller_hung_up", "{call:#}\n{said}");
    let id = call["id"].as_str().expect("an id");
    let transcript = gateway.json(&format!("/api/v1/calls/{id}/transcript")).to_string().to_lowercase();
    assert!(transcript.contains(SPOKEN) && transcript.contains(WRITTEN), "{transcript}");
    gateway.stop();
    for word in [SPOKEN, WRITTEN] {
        let found = search_bytes(&[&gateway.data()], word);
        assert!(found.is_empty(), "what is kept is sealed, and {word} can be read in {found:?}");
    }
    let log = gateway.log().to_lowercase();
    assert!(![SPOKEN, WRITTEN].iter().any(|w| log.contains(w)), "words reached the log");
    check_answer(&heard(&gateway));
}

#[test]
fn a_page_that_refuses_consent_leaves_nothing() {
    let _one = alone();
    let mut gateway = Gateway::start_with("browser-unkept", WEB, &[]);
    let said = talk(&gateway, "unkept");
    let call = only_call(&gateway);
    assert_eq!(call["consent"], "refused by click", "{call:#}\n{said}");
    let id = call["id"].as_str().expect("an id");
    assert_eq!(gateway.get(&format!("/api/v1/calls/{id}/transcript")).0, 403);
    gateway.stop();
    let log = gateway.scratch.0.join("gateway.log");
    let found = search_bytes(&[&gateway.data(), &log], SPOKEN);
    assert!(found.is_empty(), "the question was kept in {found:?}");
    check_answer(&heard(&gateway));
}

/// The loopback device of a network namespace goes down and up again: the page notices, and goes on by an ICE restart.
#[test]
fn a_network_that_goes_away_and_comes_back() {
    let _one = alone();
    if std::env::var_os(INSIDE).is_none() {
        let test = std::env::current_exe().expect("this test");
        let inside =
            format!("ip link set lo up && exec {test:?} --exact --nocapture a_network_that_goes_away_and_comes_back");
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user", "bash", "-c", &inside]).env(INSIDE, "1");
        let said = done(&mut command, "in a network namespace");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let mut gateway = Gateway::start_with("browser-cut", WEB, &[]);
    let said = talk(&gateway, "cut");
    let call = only_call(&gateway);
    assert_eq!(call["state"], "caller_hung_up", "{call:#}\n{said}");
    assert!(call["turns"].as_array().is_some_and(|turns| !turns.is_empty()), "{call:#}\n{said}");
    gateway.stop();
}

/// A port of loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_site_of_another_origin_with_tokens() {
    let _one = alone();
    let port = free_port();
    let web = format!("{WEB}origins = [\"http://localhost:{port}\"]\ntoken_env = \"PAGES_SECRET\"\n");
    let shell = [
        "export DAUYS__HTTP__TOKEN_ENV=API_TOKEN API_TOKEN=of-the-test",
        "export PAGES_SECRET=0123456789abcdef0123456789abcdef",
    ];
    let mut gateway = Gateway::start_with("browser-site", &web, &shell);
    let mut command = talking(&gateway, "site");
    command.env("SITE_PORT", port.to_string()).env("API_TOKEN", "of-the-test");
    let said = done(&mut command, "site");
    assert!(said.contains("a used token: Dauys: 401 ") && said.contains("used"), "the owner is told why: {said}");
    assert!(said.contains("a foreign page: Dauys: no answer from"), "the owner is told what to look at: {said}");
    gateway.stop();
    assert!(search_bytes(&[&gateway.data()], WRITTEN).is_empty(), "consent was refused");
}

/// Reported, not judged: a test machine is a busy one.
#[test]
fn from_the_press_to_the_first_sound() {
    let _one = alone();
    let mut gateway = Gateway::start_with("browser-timed", WEB, &[]);
    let said = talk(&gateway, "timed");
    let figures = said.lines().find(|line| line.contains("from the press to the first sound")).expect("figures");
    println!("{figures}");
    gateway.stop();
}

#[test]
fn the_script_is_served_as_it_is_packed() {
    let _one = alone();
    let mut gateway = Gateway::start("browser-files");
    let packed = Command::new("node").arg(root().join("web/widget/build.mjs")).arg("-").output();
    let packed = packed.expect("scripts/setup.sh test installs node").stdout;
    let (status, served) = gateway.get("/widget.js");
    assert_eq!(status, 200);
    assert!(served.as_bytes() == packed, "build.mjs and src/http/widget.rs name other parts");
    let url = format!("http://127.0.0.1:{}/demo", gateway.http);
    let client = reqwest::blocking::Client::new();
    let page = client.get(&url).send().expect("HTTP answers");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let etag = page.headers()["etag"].clone();
    let again = client.get(&url).header("if-none-match", etag).send().expect("HTTP answers");
    assert_eq!((again.status().as_u16(), again.text().expect("a body").as_str()), (304, ""));
    gateway.stop();
}
