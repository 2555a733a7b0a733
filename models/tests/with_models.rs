//! Engines with their real models, on recordings of callers and on each other's speech. Needs `dauys models pull`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::*;
use media::{FRAME_SAMPLES, FramePool, MediaTime};
use models::{ClauseId, Due, Engines, Job, RecognizerKind, Spoken, Synthesizer, SynthesizerError, oneshot};

/// What a line hears in audio.
fn hear(engines: &Engines, tag: &str, audio: &[i16]) -> String {
    let (wake, rung) = bell();
    let mut line = engines.recognizer(&language(tag), wake).unwrap();
    frames(audio).iter().for_each(|frame| line.push(frame).unwrap());
    line.recognize(Job(1), Due::Idle).unwrap();
    rung.recv_timeout(PATIENCE).expect("the recognizer answers");
    let heard = line.poll().unwrap();
    assert_eq!((heard.job, heard.failed), (Job(1), None));
    assert!(heard.audio_ms.abs_diff((audio.len() / 16) as u32) < 20, "{} ms", heard.audio_ms);
    heard.text
}

/// Everything a line says until the clause ends.
fn listen(line: &mut dyn Synthesizer, rung: &std::sync::mpsc::Receiver<()>) -> Result<Vec<i16>, SynthesizerError> {
    let mut pool = FramePool::new(2);
    let mut out = Vec::new();
    loop {
        match line.poll(MediaTime::from_samples(out.len() as u64), &mut pool) {
            Some(Spoken::Frame { frame, .. }) => out.extend_from_slice(frame.samples()),
            Some(Spoken::End { .. }) => return Ok(out),
            Some(Spoken::Failed { error, .. }) => return Err(error),
            None => rung.recv_timeout(PATIENCE).expect("the voice answers"),
        }
    }
}

fn say(engines: &Engines, name: &str, text: &str) -> Vec<i16> {
    let (wake, rung) = bell();
    let mut line = engines.synthesizer(&voice(name), wake).unwrap();
    line.say(ClauseId { utterance: 1, index: 0 }, text, Due::Idle).unwrap();
    listen(line.as_mut(), &rung).unwrap()
}

#[test]
fn moonshine_hears_callers() {
    let check = |file: &str, words: &[&str]| {
        let text = plain(&hear(engines(), "en", &recording(file)));
        assert!(words.iter().all(|word| text.contains(word)), "{file}: heard {text:?}, wanted {words:?}");
    };
    check("hours_sat.am_michael.wav", &["open", "saturday"]);
    check("hours_sat.bf_emma.wav", &["open", "saturday"]);
    check("book_full.af_bella.wav", &["appointment", "tuesday"]);
    check("book_start.am_fenrir.wav", &["make", "appointment", "please"]);
    check("human.am_fenrir.wav", &["real", "person"]);
    check("bye.af_bella.wav", &["thank you"]);
    check("no_thanks.am_fenrir.wav", &["no"]);
}

#[test]
fn moonshine_says_nothing_about_silence() {
    assert_eq!(hear(engines(), "en", &[0; 32_000]), "");
    assert_eq!(hear(engines(), "en", &[]), "");
}

#[test]
fn whisper_reads_what_the_voice_says() {
    let audio = say(engines(), "joe", "We open at nine on Saturday.");
    let text =
        oneshot::transcribe_with(RecognizerKind::Whisper, &audio, &language("en"), &models::default_models_dir());
    let text = plain(&text.unwrap());
    assert!(text.contains("saturday") && (text.contains("nine") || text.contains('9')), "whisper read {text:?}");
}

#[test]
fn whisper_writes_russian_as_russian() {
    // The fallback voice is too much of a machine to be understood word for word, but not to be taken for English.
    let text = plain(&hear(engines(), "ru", &say(engines(), "espeak:ru", "Запишите меня на вторник.")));
    let russian = text.chars().filter(|c| ('а'..='я').contains(c)).count();
    assert!(russian > 8 && text.chars().all(|c| !c.is_ascii_alphabetic()), "whisper read {text:?}");
}

#[test]
fn speech_starts_at_once_and_is_even() {
    let check = |name: &str, text: &str| {
        let audio = say(engines(), name, text);
        let first = media::level::first_active_ms(&audio, 16_000, -40.0).unwrap();
        assert!(first <= 60, "{name} begins with {first} ms of silence");
        let active: Vec<i16> =
            audio.chunks(FRAME_SAMPLES).filter(|c| media::level::rms_dbfs(c) > -40.0).flatten().copied().collect();
        let level = media::level::rms_dbfs(&active);
        assert!((-24.0..=-17.0).contains(&level), "{name} speaks at {level} dBFS");
        assert!(audio.iter().all(|sample| sample.unsigned_abs() < 30_000), "{name} clips");
    };
    check("joe", "Yes, of course.");
    check("joe", "Our address is twelve Abay Avenue. Parking is behind the building.");
    check("espeak:ru", "Да, конечно.");
}

#[test]
fn clauses_come_in_order_and_a_cancelled_utterance_never_speaks() {
    let (wake, rung) = bell();
    let mut line = engines().synthesizer(&voice("joe"), wake).unwrap();
    let id = |utterance, index| ClauseId { utterance, index };
    line.say(id(1, 0), "This will not be heard at all.", Due::Idle).unwrap();
    line.say(id(1, 1), "Nor will this.", Due::Idle).unwrap();
    line.say(id(2, 0), "Yes.", Due::Idle).unwrap();
    line.say(id(2, 1), "", Due::Idle).unwrap();
    line.cancel(1);
    let mut pool = FramePool::new(2);
    let mut ends = Vec::new();
    while ends.len() < 2 {
        match line.poll(MediaTime::ZERO, &mut pool) {
            Some(Spoken::Frame { clause, .. }) => assert_eq!(clause, id(2, 0)),
            Some(Spoken::End { clause }) => ends.push(clause),
            Some(Spoken::Failed { error, .. }) => panic!("{error}"),
            None => rung.recv_timeout(PATIENCE).expect("the voice answers"),
        }
    }
    assert_eq!(ends, [id(2, 0), id(2, 1)]);
    assert!(!line.ready());
}

#[test]
fn nothing_is_lost_when_the_pool_is_empty() {
    let (wake, rung) = bell();
    let mut line = engines().synthesizer(&voice("joe"), wake).unwrap();
    line.say(ClauseId { utterance: 1, index: 0 }, "Yes.", Due::Idle).unwrap();
    while !line.ready() {
        rung.recv_timeout(PATIENCE).expect("the voice answers");
    }
    let mut empty = FramePool::new(1);
    let held = line.poll(MediaTime::ZERO, &mut empty);
    assert!(matches!(held, Some(Spoken::Frame { .. })));
    assert!(line.ready() && line.poll(MediaTime::ZERO, &mut empty).is_none());
    assert!(listen(line.as_mut(), &rung).unwrap().len() > 3_000);
    drop(held);
}

#[test]
fn a_reset_cancels_what_was_asked() {
    let (wake, rung) = bell();
    let mut line = engines().recognizer(&language("en"), wake).unwrap();
    frames(&recording("phone.af_bella.wav")).iter().for_each(|frame| line.push(frame).unwrap());
    line.recognize(Job(1), Due::Idle).unwrap();
    line.reset(0);
    frames(&recording("hours_sat.am_michael.wav")).iter().for_each(|frame| line.push(frame).unwrap());
    line.recognize(Job(2), Due::Idle).unwrap();
    rung.recv_timeout(PATIENCE).expect("the recognizer answers");
    let heard = line.poll().unwrap();
    assert_eq!(heard.job, Job(2));
    assert!(plain(&heard.text).contains("saturday"), "{}", heard.text);
    assert!(line.poll().is_none());
}

#[test]
fn prepared_sentences_are_ready_at_once_and_survive_a_restart() {
    let dir = cache_dir("prepare");
    let _ = std::fs::remove_dir_all(&dir);
    let config = models::EnginesConfig {
        cache_dir: dir.clone(),
        recognizers: Default::default(),
        voices: vec![voice("joe")],
        slots: 1,
        ..config()
    };
    let sentences = ["We open at nine.".to_owned(), "How can I help?".to_owned()];
    let engines = load(&config);
    let first = engines.prepare(&voice("joe"), &sentences).unwrap();
    assert_eq!((first.spoken, first.found), (2, 0));
    let (wake, rung) = bell();
    let mut line = engines.synthesizer(&voice("joe"), wake).unwrap();
    line.say(ClauseId { utterance: 1, index: 0 }, &sentences[0], Due::Idle).unwrap();
    assert!(line.ready(), "a clip needs no engine");
    line.say(ClauseId { utterance: 1, index: 1 }, "Thank you, Anna.", Due::Idle).unwrap();
    listen(line.as_mut(), &rung).unwrap();
    listen(line.as_mut(), &rung).unwrap();
    drop((line, engines));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "what was said during a call stays off the disk");
    let again = load(&config).prepare(&voice("joe"), &sentences).unwrap();
    assert_eq!((again.spoken, again.found), (0, 2));
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn finished_callers_sound_finished() {
    let (wake, rung) = bell();
    let mut line = engines().turn_detector(wake).unwrap();
    let mut score = |audio: &[i16]| {
        line.reset();
        frames(audio).iter().for_each(|frame| line.push(frame));
        line.score(Job(9), Due::Idle).unwrap();
        rung.recv_timeout(PATIENCE).expect("the turn detector answers");
        line.poll().unwrap().finished
    };
    let files = callers().into_iter().filter(|(file, intent, _)| intent != "backchannel" && !file.starts_with("pause"));
    let scores: Vec<f32> = files.map(|(file, _, _)| score(&with_silence(&recording(&file), 200))).collect();
    let finished = scores.iter().filter(|score| **score > 0.5).count();
    assert!(finished * 4 > scores.len() * 3, "{finished} of {} sound finished", scores.len());
}

#[test]
fn both_detectors_tell_callers_from_silence() {
    for engines in [engines().clone(), silero()] {
        let mut vad = engines.vad();
        let mut share = |audio: &[i16]| {
            vad.reset();
            let frames = frames(audio);
            let speech = frames.iter().map(|frame| vad.push(frame)).filter(|speech| *speech > 0.5).count();
            speech as f32 / frames.len() as f32
        };
        let speech = share(&recording("book_full.bf_emma.wav"));
        assert!(speech > 0.6, "speech in {speech} of an utterance");
        assert_eq!(share(&[0; 32_000]), 0.0);
    }
}
