//! Keys by every way they come: tones in the sound, RFC 4733, INFO, and several at once, which is one press.

use std::f32::consts::TAU;
use std::path::Path;

use super::Client::{Aiortc, Baresip, Pjsua2};
use super::OPUS;
use super::talk::{Client, Talk, record};
use crate::common::{Gateway, write_wav};

/// Agrees, then lets the agent repeat what it said; seconds into the file or after the answer.
const PRESSES: [(f32, char); 2] = [(11.0, '1'), (17.0, '9')];
const PRESS_S: f32 = 0.15;

/// Silence with the tones of the keys (ITU-T Q.23).
fn tones(path: &Path, rate: u32) {
    let mut samples = vec![0; rate as usize * 60];
    for (at, key) in PRESSES {
        let (row, column) = if key == '1' { (697.0, 1209.0) } else { (852.0, 1477.0) };
        let first = (at * rate as f32) as usize;
        for (n, sample) in samples.iter_mut().skip(first).take((PRESS_S * rate as f32) as usize).enumerate() {
            let t = n as f32 / rate as f32;
            *sample = (4000.0 * (TAU * row * t).sin() + 4500.0 * (TAU * column * t).sin()) as i16;
        }
    }
    write_wav(path, rate, &samples);
}

/// Both keys were taken, each once, and nothing else was.
fn check(gateway: &Gateway, name: &str, id: &str) {
    let call = record(gateway, id);
    assert_eq!(call["consent"], "granted by key", "{name}: {call:#}");
    let turns = call["turns"].as_array().expect("turns");
    assert!(turns.iter().all(|t| t["judgement"] == "key"), "{name}: a key is not speech: {call:#}");
    assert_eq!(turns.len(), PRESSES.len(), "{name}: {call:#}");
}

#[test]
fn a_press_counts_once_by_whatever_ways_it_comes() {
    const EVENTS: &str = "11:dtmf=1,17:dtmf=9,";
    const INFO: &str = "11:info=1,17:info=9,";
    const BOTH: &str = "11:dtmf=1,11:info=1,17:dtmf=9,17:info=9,";
    const PCMU: &[(&str, &str)] = &[("CODEC", "PCMU/8000")];
    const G722: &[(&str, &str)] = &[("CODEC", "G722/16000")];
    let mut gateway = Gateway::start("live-digits");
    let file = |name: &str| gateway.scratch.0.join(format!("{name}.wav"));
    let (silence, narrow, wide) = (file("silence"), file("narrow"), file("wide"));
    write_wav(&silence, 8000, &[0; 8000 * 60]);
    tones(&narrow, 8000);
    tones(&wide, 16_000);
    let presses: [(&str, Client, &Path); 9] = [
        // It knows no telephone-event: tones are all there is.
        ("tones-pcmu", Aiortc("pcmu"), &narrow),
        ("tones-opus", Aiortc("opus"), &wide),
        // These could do better.
        ("tones-pcma", Baresip("PCMA", ""), &narrow),
        ("tones-baresip-opus", Baresip("opus/48000/2", OPUS), &wide),
        ("events", Pjsua2(EVENTS, PCMU), &silence),
        ("info", Pjsua2(INFO, PCMU), &silence),
        ("events-info", Pjsua2(BOTH, PCMU), &silence),
        ("tones-events", Pjsua2(EVENTS, PCMU), &narrow),
        ("tones-events-info", Pjsua2(BOTH, G722), &wide),
    ];
    let target = format!("127.0.0.1:{}", gateway.sip);
    let begin = |(name, client, play): &(&str, Client, &Path)| Talk::begin(&gateway, &target, name, *client, play);
    let talks: Vec<Talk> = presses.iter().map(begin).collect();
    for (talk, (name, ..)) in talks.into_iter().zip(presses) {
        let id = talk.id.clone();
        talk.end();
        check(&gateway, name, &id);
    }
    gateway.stop();
}
