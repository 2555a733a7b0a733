//! Measurements with real models, for people who choose defaults: run with `--ignored --nocapture`. Asserts nothing.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

mod common;

use common::*;
use media::{FramePool, MediaTime};
use models::{ClauseId, Due, Engines, Job, Spoken};
use std::time::Instant;

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn summary(name: &str, mut times_ms: Vec<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let at = |share: f64| times_ms[((times_ms.len() - 1) as f64 * share) as usize];
    let (n, p50, p95, max) = (times_ms.len(), at(0.5), at(0.95), at(1.0));
    println!("{name}: n {n}, p50 {p50:.2} ms, p95 {p95:.2} ms, max {max:.2} ms");
}

#[test]
#[ignore = "a measurement"]
fn recognition() {
    let (wake, rung) = bell();
    for tag in ["en", "ru"] {
        let mut line = engines().recognizer(&language(tag), std::sync::Arc::clone(&wake)).unwrap();
        let mut times = Vec::new();
        let (mut right, mut words) = (0usize, 0usize);
        // English recordings in the wrong language say nothing, except about time.
        let few = if tag == "en" { usize::MAX } else { 6 };
        for (file, _, text) in callers().into_iter().take(few) {
            line.reset(0);
            frames(&with_silence(&recording(&file), 200)).iter().for_each(|frame| line.push(frame).unwrap());
            let start = Instant::now();
            line.recognize(Job(1), Due::Idle).unwrap();
            rung.recv_timeout(PATIENCE).unwrap();
            let heard = line.poll().unwrap();
            times.push(milliseconds(start));
            let (wanted, got) = (plain(&text), plain(&heard.text));
            words += wanted.split(' ').count();
            right += wanted.split(' ').filter(|word| got.split(' ').any(|other| other == *word)).count();
            println!("{:6.1} ms {file:28} {}", times[times.len() - 1], heard.text);
        }
        println!("{tag}: {right} of {words} words found");
        summary(tag, times);
    }
}

#[test]
#[ignore = "a measurement"]
fn synthesis() {
    for name in ["joe", "espeak:ru"] {
        let (mut first, mut whole) = (Vec::new(), Vec::new());
        let texts = ["Yes.", "We open at nine on Saturday.", "Can I help you with anything else?", "Да, конечно."];
        for (number, text) in texts.iter().cycle().take(20).enumerate() {
            let (wake, rung) = bell();
            let mut line = engines().synthesizer(&voice(name), wake).unwrap();
            let mut pool = FramePool::new(2);
            let start = Instant::now();
            line.say(ClauseId { utterance: number as u64, index: 0 }, text, Due::Idle).unwrap();
            let mut frames = 0;
            loop {
                match line.poll(MediaTime::ZERO, &mut pool) {
                    Some(Spoken::Frame { .. }) => {
                        frames += 1;
                        if frames == 1 {
                            first.push(milliseconds(start));
                        }
                    }
                    Some(_) => break,
                    None => rung.recv_timeout(PATIENCE).unwrap(),
                }
            }
            whole.push(milliseconds(start));
            if number < texts.len() {
                println!("{name}: {:.1} ms for {} ms of {text:?}", whole[whole.len() - 1], frames * 20);
            }
        }
        summary(&format!("{name} first frame"), first);
        summary(&format!("{name} whole clause"), whole);
    }
}

#[test]
#[ignore = "a measurement"]
fn end_of_turn() {
    let (wake, rung) = bell();
    let mut line = engines().turn_detector(wake).unwrap();
    let mut times = Vec::new();
    let mut score = |audio: &[i16]| {
        line.reset();
        frames(audio).iter().for_each(|frame| line.push(frame));
        let start = Instant::now();
        line.score(Job(1), Due::Idle).unwrap();
        rung.recv_timeout(PATIENCE).unwrap();
        times.push(milliseconds(start));
        line.poll().unwrap().finished
    };
    for silence_ms in [60, 100, 200, 400] {
        let (mut finished, mut all) = (0, 0);
        for (file, _, _) in callers() {
            let probability = score(&with_silence(&recording(&file), silence_ms));
            finished += usize::from(probability > 0.5);
            all += 1;
            if silence_ms == 200 {
                println!("{probability:.3} {file}");
            }
        }
        println!("after {silence_ms} ms of silence {finished} of {all} sound finished");
    }
    summary("smart-turn", times);
}

/// Frame numbers of the first and last frame above the threshold, with the first of at least three in a row.
fn edges(probabilities: &[f32], threshold: f32) -> Option<(usize, usize)> {
    let speech: Vec<bool> = probabilities.iter().map(|p| *p > threshold).collect();
    let first = speech.windows(3).position(|w| w.iter().all(|s| *s))?;
    Some((first, speech.iter().rposition(|s| *s)?))
}

fn voice_activity(name: &str, engines: &Engines, noise_peak: i16) {
    let mut times = Vec::new();
    for threshold in [0.2, 0.3, 0.4, 0.5, 0.6, 0.7] {
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut missed, mut inside, mut noise) = (0, 0, 0);
        for (file, _, _) in callers() {
            // Line noise, half a second before and a second after.
            let speech = recording(&file);
            let mut seed = 1u32;
            let mut hiss = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (i32::from((seed >> 24) as i16 - 128) * i32::from(noise_peak) / 128) as i16
            };
            let mut audio: Vec<i16> = (0..8_000).map(|_| hiss()).collect();
            audio.extend(speech.iter().map(|sample| sample.saturating_add(hiss())));
            audio.extend((0..16_000).map(|_| hiss()));
            let energy_start = media::level::first_active_ms(&speech, 16_000, -40.0).unwrap() as f64 + 500.0;
            let energy_end = media::level::last_active_ms(&speech, 16_000, -40.0).unwrap() as f64 + 500.0;
            let mut vad = engines.vad();
            let mut probabilities = Vec::new();
            for frame in frames(&audio) {
                let start = Instant::now();
                probabilities.push(vad.push(&frame));
                times.push(milliseconds(start));
            }
            let Some((first, last)) = edges(&probabilities, threshold) else {
                missed += 1;
                continue;
            };
            // When the decision could be made: at the end of the frame.
            starts.push((first + 1) as f64 * 20.0 - energy_start);
            ends.push((last + 1) as f64 * 20.0 - energy_end);
            let speech_frames = probabilities[first..=last].iter().filter(|p| **p > threshold).count();
            inside += usize::from(speech_frames * 10 < (last + 1 - first) * 8);
            noise += probabilities[..20].iter().filter(|p| **p > threshold).count();
        }
        let spread = |mut errors: Vec<f64>| {
            errors.sort_by(f64::total_cmp);
            let at = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize];
            format!("p5 {:+.0} p50 {:+.0} p95 {:+.0}", at(0.05), at(0.5), at(0.95))
        };
        println!(
            "{name}, noise {noise_peak} > {threshold}: start {} ms, end {} ms, missed {missed}, holey {inside}, speech in noise {noise}",
            spread(starts),
            spread(ends)
        );
    }
    summary(&format!("{name} frame"), times);
}

#[test]
#[ignore = "a measurement"]
fn voice_activity_of_both() {
    for noise_peak in [16, 300] {
        voice_activity("earshot", engines(), noise_peak);
        voice_activity("silero", &silero(), noise_peak);
    }
}
