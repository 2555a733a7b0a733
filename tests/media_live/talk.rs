//! A talk as every road carries it: the caller agrees, asks when the clinic opens on Saturday, is answered, and leaves.
//! Clients of the test are started here and give back what they heard; nothing is judged but the agent's words.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::baresip::Baresip;
use crate::common::{Gateway, Part, compose, read_wav, root, to_16k, wait_for};

/// Seconds after the answer. Greeting and question are over by the tenth, the thanks by the fifteenth.
const AGREES: f32 = 11.0;
const ASKS: f32 = 17.0;
const LEAVES: f32 = 26.0;
/// Of what was heard, this much from the end is read: the answer, and no more of the greeting than fits.
const READ_S: usize = 10;

/// The caller's side of the talk, as a file of 8 or 16 kHz.
pub fn caller(path: &Path, rate: u32) {
    let yes = "yes_please.bf_emma.wav";
    let yes_s = read_wav(&crate::common::recording(yes)).1.len() as f32 / 8000.0;
    let question = Part::Speech("hours_sat.bf_emma.wav");
    let parts = [Part::Silence(AGREES), Part::Speech(yes), Part::Silence(ASKS - AGREES - yes_s), question];
    compose(path, &parts);
    // Clients that come to the end of a file begin again, or stop sending.
    let mut samples = read_wav(path).1;
    if rate == 16_000 {
        samples = to_16k(8000, &samples);
    }
    samples.resize(rate as usize * 60, 0);
    crate::common::write_wav(path, rate, &samples);
}

/// Who calls, and with what.
#[derive(Copy, Clone)]
pub enum Client {
    /// Its codec with what follows in its account, and lines of its configuration.
    Baresip(&'static str, &'static str),
    /// What it does besides, and its environment: `CODEC`, `SRTP`.
    Pjsua2(&'static str, &'static [(&'static str, &'static str)]),
    /// Its codec.
    Aiortc(&'static str),
}

/// A call under way.
pub struct Talk {
    /// As the gateway knows it.
    pub id: String,
    phone: Phone,
    since: Instant,
}

enum Phone {
    Baresip(Baresip),
    Script(Child, PathBuf),
}

impl Talk {
    /// Calls `target`, a host and port, and waits until the gateway has answered.
    pub fn begin(gateway: &Gateway, target: &str, name: &str, client: Client, play: &Path) -> Self {
        let known = calls(gateway).len();
        let phone = client.call(&gateway.scratch.0.join(name), target, play);
        let id = wait_for(&format!("the call of {name}"), Duration::from_secs(30), || {
            let calls = calls(gateway);
            (calls.len() > known).then(|| calls.into_iter().next_back())?
        });
        Self { id, phone, since: Instant::now() }
    }

    pub fn baresip(&mut self) -> &mut Baresip {
        match &mut self.phone {
            Phone::Baresip(phone) => phone,
            Phone::Script(..) => panic!("no baresip"),
        }
    }

    pub fn pid(&self) -> u32 {
        match &self.phone {
            Phone::Baresip(phone) => phone.pid(),
            Phone::Script(child, _) => child.id(),
        }
    }

    /// Hangs up when all is said: what was heard.
    pub fn end(self) -> PathBuf {
        match self.phone {
            Phone::Baresip(mut phone) => {
                at(self.since, LEAVES);
                phone.run("hangup", "");
                phone.event("CALL_CLOSED", Duration::from_secs(10));
                let dir = phone.dir.clone();
                let heard = phone.heard().unwrap_or_else(|| panic!("nothing was recorded in {dir:?}"));
                // Its end completes the recording.
                drop(phone);
                heard
            }
            Phone::Script(child, heard) => {
                let Output { stdout, stderr, status } = child.wait_with_output().expect("it ends");
                let said = String::from_utf8_lossy(&stdout);
                let is_over = said.contains("answered") && said.contains("ended");
                assert!(is_over, "{status}: {said}{}", String::from_utf8_lossy(&stderr));
                heard
            }
        }
    }
}

impl Client {
    fn call(self, dir: &Path, target: &str, play: &Path) -> Phone {
        std::fs::create_dir_all(dir).expect("a folder");
        let heard = dir.join("heard.wav");
        let (python, leaves) =
            (std::env::var("HOME").expect("a home") + "/.cache/dauys/venv/bin/python", LEAVES.to_string());
        let mut command = Command::new(python);
        match self {
            Self::Baresip(account, more) => {
                let account = format!("<sip:100@127.0.0.1>;regint=0;audio_codecs={account}");
                let mut phone = Baresip::start(dir, play, &account, more);
                phone.run("dial", &format!("sip:front-desk@{target}"));
                return Phone::Baresip(phone);
            }
            Self::Pjsua2(actions, environment) => {
                let script = root().join("tests/clients/pjsua2_call.py");
                let actions = format!("{actions}{LEAVES}:bye");
                command.arg(script).arg(format!("sip:front-desk@{target}")).args([play, &heard]).args(["50", &actions]);
                command.envs(environment.iter().map(|(k, v)| (format!("PJSUA2_{k}"), v)));
            }
            Self::Aiortc(codec) => {
                let script = root().join("tests/clients/aiortc_call.py");
                command.arg(script).args([target, "front-desk"]).args([play, &heard]).args([&leaves, codec]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Phone::Script(command.spawn().expect("scripts/setup.sh test installs it"), heard)
    }
}

/// All calls, oldest first.
fn calls(gateway: &Gateway) -> Vec<String> {
    let list = gateway.json("/api/v1/calls?limit=500");
    let id = |c: &Value| c["id"].as_str().expect("an id").to_owned();
    list["calls"].as_array().expect("a list").iter().rev().map(id).collect()
}

/// A call's record when it is over.
pub fn record(gateway: &Gateway, id: &str) -> Value {
    wait_for(&format!("call {id} to end"), Duration::from_secs(40), || {
        Some(gateway.json(&format!("/api/v1/calls/{id}"))).filter(|r| r["state"] != "active")
    })
}

/// Waits until so many seconds after `start`: a caller takes its time.
pub fn at(start: Instant, seconds: f32) {
    thread::sleep((start + Duration::from_secs_f32(seconds)).saturating_duration_since(Instant::now()));
}

/// The answer, read by the recognizer that the gateway did not use. It may mishear one of three words: voices never say
/// a sentence twice in the same way, and packets are lost where the weather is bad.
pub fn check_answer(name: &str, heard: &Path) {
    let text = read(name, heard);
    let words = [["saturday", "saturday"], ["nine", "9"], ["two", "2"]];
    let understood = words.iter().filter(|either| either.iter().any(|w| text.contains(w))).count();
    assert!(understood >= 2, "{name}: {understood} of {words:?} in: {text}");
}

fn read(name: &str, heard: &Path) -> String {
    // Clients record at the rate of their codec, some in stereo.
    let wav = heard.with_extension("16k.wav");
    let sox = Command::new("sox").arg(heard).args(["-r", "16000", "-c", "1", "-b", "16"]).arg(&wav).output();
    let sox = sox.expect("scripts/setup.sh test installs sox");
    assert!(sox.status.success(), "{name}: {}", String::from_utf8_lossy(&sox.stderr));
    let (rate, samples) = read_wav(&wav);
    let audio = to_16k(rate, &samples[samples.len().saturating_sub(rate as usize * READ_S)..]);
    let language = models::Language::parse("en").expect("a language");
    let whisper = models::RecognizerKind::Whisper;
    let text = models::oneshot::transcribe_with(whisper, &audio, &language, &models::default_models_dir());
    text.expect("dauys models pull has run").to_lowercase()
}
