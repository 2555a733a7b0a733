//! What the speech engines cost: each alone on an idle machine, then all of them with the turns of many conversations
//! at once, without media or signalling. Writes the raw figures and a table; it asserts no time.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)]

#[path = "engines/crowd.rs"]
mod crowd;
mod shared;

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::resample::Upsampler;
use media::{Frame, FramePool, MediaTime};
use models::{ClauseId, Due, Engines, EnginesConfig, Job, Language, RecognizerKind, Spoken, VoiceName};
use serde_json::{Value, json};
use shared::{machine, quantile, root, write};

/// Clauses with something of the caller's in them: no clip says these.
pub const CLAUSES: [&str; 4] = [
    "All right, Tuesday the twenty-fourth at half past ten.",
    "Thank you, Anna.",
    "That was five five five, one two three four.",
    "You'd like to cancel your appointment on Thursday the third, is that right?",
];
const PATIENCE: Duration = Duration::from_secs(60);
/// Silence behind a recording: a draft begins after so much.
const TAIL_FRAMES: usize = 4;

pub fn english() -> Language {
    Language::parse("en").expect("a language")
}

pub fn joe() -> VoiceName {
    VoiceName::parse("joe").expect("a voice")
}

/// Every recording of a caller, in frames.
pub fn callers() -> Vec<Vec<Frame>> {
    let folder = root().join("tests/data/callers");
    let mut paths: Vec<_> = fs::read_dir(folder).expect("recordings").flatten().map(|e| e.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "wav"));
    paths.sort();
    paths.iter().map(|path| frames(path)).collect()
}

fn frames(path: &std::path::Path) -> Vec<Frame> {
    let mut file = hound::WavReader::open(path).expect("a recording");
    let narrow = file.spec().sample_rate == 8_000;
    let samples: Vec<i16> = file.samples().map(|s| s.expect("a sample")).collect();
    let step = if narrow { 160 } else { 320 };
    let count = samples.len().div_ceil(step) + TAIL_FRAMES;
    let mut pool = FramePool::new(count);
    let mut up = Upsampler::default();
    let frame = |number: usize| {
        let mut part = samples.get(number * step..).unwrap_or_default().to_vec();
        part.resize(step, 0);
        let filled = pool.fill(MediaTime::default(), |out| {
            if narrow {
                up.process(&part, out);
            } else {
                out.copy_from_slice(&part);
            }
            Ok::<(), ()>(())
        });
        filled.expect("a frame")
    };
    (0..count).map(frame).collect()
}

/// CPU milliseconds that the threads of this process whose names begin so have used.
fn cpu_ms(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("threads").flatten().map(|task| task.path());
    let ours = tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    let ns = |task: std::path::PathBuf| {
        let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0)
    };
    ours.map(ns).sum::<f64>() / 1e6
}

/// Times one job after the other on an idle engine.
fn alone(name: &str, thread: &str, jobs: usize, mut job: impl FnMut(usize)) -> Value {
    let before = cpu_ms(thread);
    let mut times = vec![];
    for number in 0..jobs {
        let start = Instant::now();
        job(number);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (cpu_ms(thread) - before) / jobs as f64;
    times.sort_by(f64::total_cmp);
    let at = |q| quantile(&times, q).map(round);
    let row = json!({"engine": name, "jobs": jobs, "p50_ms": at(0.5), "p95_ms": at(0.95), "cpu_ms": round(cpu)});
    println!("{row}");
    row
}

pub fn round(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

fn each_alone(engines: &Engines, callers: &[Vec<Frame>]) -> Vec<Value> {
    let (ring, rung) = std::sync::mpsc::sync_channel(64);
    let wake: models::Wake = Arc::new(move || {
        let _ = ring.try_send(());
    });
    let mut recognizer = engines.recognizer(&english(), Arc::clone(&wake)).expect("a line");
    let mut turn = engines.turn_detector(Arc::clone(&wake)).expect("a line");
    let mut voice = engines.synthesizer(&joe(), wake).expect("a line");
    let recognition = alone("recognition", "asr-", callers.len(), |number| {
        recognizer.reset(0);
        callers[number].iter().for_each(|frame| recognizer.push(frame).expect("it fits"));
        recognizer.recognize(Job(1), Due::Idle).expect("room");
        while recognizer.poll().is_none() {
            rung.recv_timeout(PATIENCE).expect("an answer");
        }
    });
    let scoring = alone("turn", "turn-", callers.len(), |number| {
        turn.reset();
        callers[number].iter().for_each(|frame| turn.push(frame));
        turn.score(Job(1), Due::Idle).expect("room");
        while turn.poll().is_none() {
            rung.recv_timeout(PATIENCE).expect("an answer");
        }
    });
    let mut pool = FramePool::new(2);
    let synthesis = alone("synthesis of a clause", "tts-", CLAUSES.len() * 10, |number| {
        let clause = ClauseId { utterance: number as u64, index: 0 };
        voice.say(clause, CLAUSES[number % CLAUSES.len()], Due::Idle).expect("room");
        loop {
            match voice.poll(MediaTime::default(), &mut pool) {
                Some(Spoken::End { .. }) => return,
                Some(_) => {}
                None => rung.recv_timeout(PATIENCE).expect("an answer"),
            }
        }
    });
    vec![recognition, scoring, synthesis]
}

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let config = EnginesConfig {
        recognizers: [(english(), RecognizerKind::Moonshine)].into(),
        voices: vec![joe()],
        slots: *crowd::CONVERSATIONS.last().unwrap_or(&1),
        ..EnginesConfig::default()
    };
    let engines = Engines::load(&config).expect("models; run: dauys models pull");
    let callers = callers();
    let alone = each_alone(&engines, &callers);
    let crowds: Vec<Value> = crowd::CONVERSATIONS.iter().map(|n| crowd::measure(&engines, &callers, *n)).collect();
    let result = json!({"machine": machine(), "alone": alone, "crowds": crowds});
    write("engines", &result, &table(&result));
}

fn table(result: &Value) -> String {
    let mut out = format!(
        "Machine: {} (shared). Command: `cargo bench --bench engines`. One thread an engine.\n\n\
         Each engine alone, one job after the other; an utterance lasts 1 to 5 s.\n\n\
         | engine | jobs | p50, ms | p95, ms | processor, ms a job |\n|---|---|---|---|---|\n",
        result["machine"].as_str().unwrap_or_default()
    );
    for row in result["alone"].as_array().into_iter().flatten() {
        let name = row["engine"].as_str().unwrap_or_default();
        let _ =
            writeln!(out, "| {name} | {} | {} | {} | {} |", row["jobs"], row["p50_ms"], row["p95_ms"], row["cpu_ms"]);
    }
    let _ = write!(
        out,
        "\nTurns of many conversations, each about every {} s: {}. Milliseconds from asking to text, score and first sound of \
         an answer; the turn could be committed {} ms after asking.\n\n\
         | conversations | turns | text p50, p95, p99 | score p50, p95, p99 | clause p50, p95, p99 | cores |\n\
         |---|---|---|---|---|---|\n",
        crowd::TURN_EVERY.as_secs(),
        crowd::WHAT,
        crowd::COMMIT.as_millis()
    );
    for row in result["crowds"].as_array().into_iter().flatten() {
        let of = |name: &str| {
            let q = &row[name];
            format!("{}, {}, {}", q["p50_ms"], q["p95_ms"], q["p99_ms"])
        };
        let (text, score, clause) = (of("text"), of("score"), of("clause"));
        let (n, turns, cores) = (&row["conversations"], &row["turns"], &row["cores"]);
        let _ = writeln!(out, "| {n} | {turns} | {text} | {score} | {clause} | {cores} |");
    }
    out
}
