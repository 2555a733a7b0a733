//! A gateway whose engines are too slow: it turns new calls away while those in progress wait for their answers, and
//! takes them again. Over real SIP and RTP, with engines of wood.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use dauys::caller::report::Report;
use dauys::caller::script::{Item, Script, ScriptOptions};
use dauys::caller::{self, CallOptions, CallerError};
use dauys::config::Config;
use dauys::gateway::{Gateway, Running};
use models::Engines;
use models::fake;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// A tick is 20 ms: every text comes a second late.
const POLLS_PER_TEXT: u32 = 50;
/// The metrics are the process's: one test after the other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const QUESTIONS: usize = 8;
/// Room for three late turns and the call that is turned away.
const FIRST_CALL: Duration = Duration::from_secs(35);

async fn start(name: &str, ports: (u16, u16), calls: &str) -> (Running, std::path::PathBuf) {
    let data = std::env::temp_dir().join(format!("dauys-strained-{name}-{}", std::process::id()));
    let text = format!(
        "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[rtp]\nports = [{}, {}]\n\
         [calls]\n{calls}\n[store]\ndir = {data:?}\n[policy]\nfile = \"policy/default.toml\"\n[[agent]]\nfile = \"agents/front-desk.toml\"\n",
        ports.0, ports.1
    );
    let config =
        Config::parse(&Path::new(ROOT).join("configs/test.toml"), &text, std::iter::empty()).expect("a config");
    let questions = (0..QUESTIONS).fold(fake::Script::new(), |script, _| script.hears("Are you open on Saturday?"));
    let script = questions.frames_per_char(1).polls_per_text(POLLS_PER_TEXT);
    let engines = move |_: &_| Ok(Engines::scripted(script, 8));
    (Gateway::start_with(config, &|_| {}, engines).await.expect("it starts"), data)
}

async fn call(port: u16, questions: usize, most: Duration) -> Result<Report, CallerError> {
    let recording = Path::new(ROOT).join("tests/data/callers/hours_sat.bf_emma.wav");
    let items = (0..questions).map(|_| Item::Recording(recording.clone())).collect();
    let mut script = Script::load(ScriptOptions { items, pause_ms: 700, record: false })?;
    let options = CallOptions::new(format!("sip:front-desk@127.0.0.1:{port}"), most);
    caller::call(&options, &mut script).await
}

async fn get(running: &Running, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}{path}", running.http)).await.expect("HTTP answers");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_turned_away_while_those_in_progress_wait() {
    let _turn = TURN.lock().await;
    let (running, data) = start("refuses", (47_000, 47_198), "max = 8").await;
    let port = running.sip().port();
    assert_eq!(get(&running, "/readyz").await, (200, "ready\n".to_owned()));
    let first = tokio::spawn(call(port, QUESTIONS, FIRST_CALL));
    let patience = Instant::now() + FIRST_CALL;
    while get(&running, "/readyz").await.0 == 200 {
        assert!(Instant::now() < patience, "late turns make no strain");
        assert!(!first.is_finished(), "the call is over before its turns were late");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = call(port, 1, Duration::from_secs(5)).await.expect_err("turned away");
    assert!(matches!(refused, CallerError::Refused { status: 503, retry_after_s: Some(1..), .. }), "{refused}");
    assert!(get(&running, "/readyz").await.1.starts_with("strained"));
    let metrics = get(&running, "/metrics").await.1;
    for line in ["dauys_calls_refused_total{reason=\"strained\"} 1", "dauys_strained 1"] {
        assert!(metrics.contains(line), "{line} is not in the metrics");
    }
    assert!(metrics.contains("dauys_turn_lateness_seconds_count"));
    // Nobody waits any more: whoever calls now is answered, late as it may be.
    first.await.expect("it does not panic").expect("the first call is answered to its end");
    let patience = Instant::now() + Duration::from_secs(60);
    while call(port, 0, Duration::from_secs(2)).await.is_err() {
        assert!(Instant::now() < patience, "an idle gateway takes no call");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_may_be_told_so_in_words() {
    let _turn = TURN.lock().await;
    let (running, data) = start("tells", (47_200, 47_398), "max = 1\nbusy = \"clip\"").await;
    let port = running.sip().port();
    let first = tokio::spawn(call(port, QUESTIONS, Duration::from_secs(12)));
    let patience = Instant::now() + Duration::from_secs(10);
    while !get(&running, "/api/v1/calls").await.1.contains("\"active\"") {
        assert!(Instant::now() < patience, "the first call is not answered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = call(port, 0, Duration::from_secs(10)).await.expect("answered");
    assert_eq!(told.ended_by, "agent");
    // Its record is written behind its end.
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let calls = get(&running, "/api/v1/calls").await.1;
        if calls.contains("\"turned_away\"") {
            assert!(calls.contains("\"active\""), "{calls}");
            break;
        }
        assert!(Instant::now() < patience, "{calls}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(&running, "/metrics").await.1.contains("dauys_calls_refused_total{reason=\"full\"} 1"));
    first.await.expect("it does not panic").expect("the first call goes on to its end");
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}
