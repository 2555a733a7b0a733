//! What the tests with real models share: recordings, lines and patience. Never skips: a missing model is a failure
//! that says what to run.
#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use media::{FRAME_SAMPLES, Frame, FramePool, MediaTime, resample::Upsampler};
use models::{Engines, EnginesConfig, Language, RecognizerKind, VadKind, VoiceName, Wake};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest a test waits for one answer: a busy machine is slow, a hanging engine is not slower.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn language(tag: &str) -> Language {
    Language::parse(tag).unwrap()
}

pub fn voice(name: &str) -> VoiceName {
    VoiceName::parse(name).unwrap()
}

pub fn cache_dir(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("dauys-test-clips-{}-{name}", std::process::id()))
}

pub fn config() -> EnginesConfig {
    EnginesConfig {
        cache_dir: cache_dir("shared"),
        recognizers: BTreeMap::from([
            (language("en"), RecognizerKind::Moonshine),
            (language("ru"), RecognizerKind::Whisper),
        ]),
        voices: vec![voice("joe"), voice("espeak:ru")],
        slots: 4,
        ..EnginesConfig::default()
    }
}

pub fn load(config: &EnginesConfig) -> Engines {
    match Engines::load(config) {
        Ok(engines) => engines,
        Err(error) => panic!("these tests need the models: {error}"),
    }
}

/// Engines that the tests of one file share.
pub fn engines() -> &'static Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(|| load(&config()))
}

pub fn silero() -> Engines {
    load(&EnginesConfig { vad: VadKind::Silero, recognizers: BTreeMap::new(), voices: Vec::new(), ..config() })
}

/// A wake that can be waited for.
pub fn bell() -> (Wake, Receiver<()>) {
    let (ring, rung) = sync_channel(64);
    let wake: Wake = Arc::new(move || {
        let _ = ring.try_send(());
    });
    (wake, rung)
}

pub fn callers_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/callers")
}

/// File name, intent and text of every recording.
pub fn callers() -> Vec<(String, String, String)> {
    let tsv = std::fs::read_to_string(callers_dir().join("callers.tsv")).expect("tests/data/callers/callers.tsv");
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let (file, intent) = (cells.next().unwrap(), cells.next().unwrap());
        (file, intent, cells.nth(2).unwrap())
    };
    tsv.lines().skip(1).map(row).collect()
}

/// A recording at 16 kHz.
pub fn recording(file: &str) -> Vec<i16> {
    let mut reader = hound::WavReader::open(callers_dir().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (8_000, 1), "{file}");
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let mut upsampler = Upsampler::default();
    let mut out = Vec::with_capacity(samples.len() * 2);
    for block in samples.chunks(160) {
        let mut doubled = [0i16; 320];
        let written = upsampler.process(block, &mut doubled);
        out.extend(&doubled[..written]);
    }
    out
}

/// Whole frames, the last padded with silence.
pub fn frames(samples: &[i16]) -> Vec<Frame> {
    let mut pool = FramePool::new(samples.len() / FRAME_SAMPLES + 1);
    let frame = |(number, chunk): (usize, &[i16])| {
        pool.fill(MediaTime::from_frames(number as u64), |out| -> Result<(), ()> {
            out.fill(0);
            out[..chunk.len()].copy_from_slice(chunk);
            Ok(())
        })
    };
    samples.chunks(FRAME_SAMPLES).enumerate().map(frame).map(Result::unwrap).collect()
}

/// The recording's samples with this much silence after the last loud one.
pub fn with_silence(samples: &[i16], silence_ms: usize) -> Vec<i16> {
    let end = media::level::last_active_ms(samples, 16_000, -55.0).unwrap_or(0) as usize * 16;
    let mut out = samples[..end.min(samples.len())].to_vec();
    out.resize(out.len() + silence_ms * 16, 0);
    out
}

/// Text in comparable form: lower case, letters, digits and spaces only.
pub fn plain(text: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
