//! Somebody whom the gateway calls, and who refuses: what they said is nowhere afterwards, and their number is not kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::baresip::Baresip;
use crate::common::{read_wav, recording, write_wav};
use crate::place::{PHRASE, Place, WAVE, WAVE_S, turn};
use crate::scan::{Image, Scanner};
use crate::sound;
use crate::stage::scratch;

const NUMBER: &str = "77015550123";
/// Seconds after they took the call: the agent greets who says nothing after three, and has asked by the thirteenth.
const REFUSES: f32 = 14.0;
const SPEAKS: f32 = 17.5;
/// Into the answer.
const SOUNDS: f32 = 22.0;
const LEAVES: f32 = 60.0;

#[test]
fn after_a_refusal_of_whom_we_called_nothing_is_anywhere() {
    let _turn = turn();
    let theirs = scratch("canary-called-phone");
    let says = theirs.join(WAVE);
    write_wav(&says, 8000, &said());
    let account = format!("<sip:{NUMBER}@127.0.0.1>;regint=0;audio_codecs=pcmu;answermode=auto");
    let mut phone = Baresip::start(&theirs.join("phone"), &says, &account, "");
    let trunk = format!(
        "[[trunk]]\nname = \"phone\"\nto = \"sip:127.0.0.1:{}\"\noptions_s = 0\nallow_out = [\"7\"]",
        phone.sip
    );
    let mut place = Place::with("canary-called", &trunk, "");
    let url = format!("http://127.0.0.1:{}/api/v1/calls", place.gateway.http);
    let order = json!({ "trunk": "phone", "to": NUMBER, "ring_s": 20 });
    let placed = reqwest::blocking::Client::new().post(url).json(&order).send().expect("HTTP answers");
    assert_eq!(placed.status().as_u16(), 202);
    phone.event("CALL_ESTABLISHED", Duration::from_secs(20));
    let taken = Instant::now();
    std::thread::sleep(Duration::from_secs_f32(REFUSES).saturating_sub(taken.elapsed()));
    phone.run("sndcode", "2");
    place.both_are_in_memory();
    let number = Scanner::new(&[NUMBER]).image(&Image::of(place.gateway.pid()), Some(&place.before));
    assert!(number.has("memory", "UTF-8"), "so is their number: {number:?}");
    phone.run("hangup", "");
    let call = place.over(1);
    check(&place, &call);
    place.gateway.stop();
    let finds = place.scanner.folder(&place.gateway.scratch.0);
    assert!(finds.is_empty(), "{finds:?}");
    drop(phone);
    let _ = std::fs::remove_dir_all(theirs);
}

/// What they play from the beginning of the call on.
fn said() -> Vec<i16> {
    let mut samples = vec![0; (LEAVES * 8000.0) as usize];
    let mut put = |at: f32, what: &[i16]| {
        let start = (at * 8000.0) as usize;
        samples[start..start + what.len()].copy_from_slice(what);
    };
    put(SPEAKS, &read_wav(&recording(PHRASE)).1);
    put(SOUNDS, &sound::wave(8000, WAVE_S));
    samples
}

fn check(place: &Place, call: &Value) {
    assert_eq!((&call["direction"], &call["trunk"]), (&"outbound".into(), &"phone".into()), "{call:#}");
    assert_eq!(call["consent"], "refused by key", "{call:#}");
    assert_eq!(place.transcript(call).0, 403);
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    let finds = Scanner::new(&[NUMBER]).folder(&place.gateway.scratch.0);
    assert!(finds.is_empty(), "{finds:?}");
}
