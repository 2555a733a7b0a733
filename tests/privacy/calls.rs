//! Real calls with real recognizers: a phrase is spoken and a wave is sounded. While the call goes on they are in the
//! memory of the process, which shows that the search finds them; afterwards they are nowhere where no consent keeps
//! them, and where one does, nobody finds them without the keys.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dauys::call::CallId;
use dauys::config::Config;
use dauys::vault::{Clock, For, Settings, Vault};
use privacy::Time;
use privacy::policy::Policy;
use privacy::retention::Purpose;
use serde_json::Value;

use crate::common::{Gateway, recording, root, wait_for, write_wav};
use crate::hook::Hook;
use crate::killed::{CANARY, patiently};
use crate::scan::{Finds, Image, Scanner};
use crate::sound;
use crate::stage::{DAY, reader, scratch};

const PHRASE: &str = "parking.bf_emma.wav";
/// What goes into a form, and so to a webhook where that was agreed to: the name in `name.bf_emma.wav`, as far as every
/// hearing of it agrees.
const NAME: &str = "anna mill";
/// A form of the demo's agent in four turns.
const CANCELS: [&str; 3] = ["cancel.bf_emma.wav", "name.bf_emma.wav", "yes.am_michael.wav"];
/// The wave in the middle of a call: long enough that some image of the process is taken while it is kept.
const WAVE_S: f32 = 5.0;

/// Real recognizers and whole images of processes: one gateway at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(what)
}

struct Place {
    gateway: Gateway,
    hook: Hook,
    scanner: Scanner,
    /// Before anybody called.
    before: Image,
    /// What the caller plays; it is the caller's, and nowhere near the gateway.
    theirs: std::path::PathBuf,
}

impl Place {
    /// The demo's agent and policy; nobody but the caller says the phrase.
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dauys-{name}-{}", std::process::id()));
        let dir = dir.display();
        let hook = Hook::start();
        let temporary = format!("mkdir -p {dir}/tmp && export TMPDIR={dir}/tmp");
        let agent = format!("sed -i 's/{CANARY}/by the house/' {dir}/front-desk.toml");
        let whereto = format!(
            "[[destination]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\ncountry = \"KZ\"\nown = true",
            hook.url
        );
        let policy =
            format!("cat {:?} - > {dir}/policy.toml <<'END'\n{whereto}\nEND", root().join("tests/data/policy.toml"));
        let named = format!("sed -i 's|^file = .*/policy.toml\"|file = \"{dir}/policy.toml\"|' {dir}/config.toml");
        let gateway = Gateway::start_with(name, "", &[&temporary, &agent, &policy, &named]);
        let theirs = scratch(&format!("{name}-caller"));
        write_wav(&theirs.join("wave.wav"), 8000, &sound::wave(8000, WAVE_S));
        let (scanner, before) = (Scanner::new(&[CANARY, NAME]), Image::of(gateway.pid()));
        Self { gateway, hook, scanner, before, theirs }
    }

    /// Somebody who presses a key at the question, speaks the phrase, sounds the wave, and then plays these.
    fn caller(&self, key: &str, more: &[&str]) -> Child {
        let wave = self.theirs.join("wave.wav");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
        command.args(["call", &self.gateway.target(), "--json", "--seconds-max", "90", "--keys", key]);
        for wav in [recording(PHRASE), wave].into_iter().chain(more.iter().map(|m| recording(m))) {
            command.arg("--play").arg(wav);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dauys call runs")
    }

    /// Both canaries are found in the process while the call goes on.
    fn both_are_in_memory(&self) {
        let phrase = Scanner::new(&[CANARY]);
        let mut so_far = Finds::default();
        wait_for("both canaries in the memory of the process", Duration::from_secs(120), || {
            so_far =
                std::mem::take(&mut so_far).and(phrase.image(&Image::passing(self.gateway.pid()), Some(&self.before)));
            let sounded = ["PCM16 LE", "f32", "packed"].iter().any(|form| so_far.has("memory", form));
            (so_far.has("memory", "UTF-8") && sounded).then_some(())
        });
    }

    /// The record of the call that began last, when it is over.
    fn ended(&self, calls: usize, mut caller: Child) -> Value {
        let _ = caller.wait();
        let record = self.gateway.ended_calls_within(calls, Duration::from_secs(60)).swap_remove(0);
        // The last jobs of the engines end, and what they had is let go.
        std::thread::sleep(Duration::from_secs(3));
        record
    }

    /// What the webhook was told, once it was told of the form: whether with what the caller said.
    fn told(&self) -> bool {
        let first = wait_for("the webhook", Duration::from_secs(20), || self.hook.messages().into_iter().next());
        assert_eq!((&first["form"], &first["outcome"]), (&"cancel".into(), &"cancelled".into()), "{first}");
        let mut finds = Finds::default();
        self.scanner.bytes("the webhook", 0, &self.hook.bytes(), &mut finds);
        assert_eq!(finds.is_empty(), first.get("details").is_none(), "{finds:?} in {first}");
        finds.has("the webhook", "UTF-8")
    }

    /// Everything that the gateway has: its folder with data, keys, log and temporary files, its metrics, its API, its
    /// memory.
    fn everywhere(&self) -> Finds {
        let metrics = self.scanner.text("/metrics", &self.gateway.get("/metrics").1);
        let calls = self.scanner.text("the API", &self.gateway.get("/api/v1/calls?limit=500").1);
        self.scanner.folder(&self.gateway.scratch.0).and(metrics).and(calls).and(self.memory())
    }

    fn memory(&self) -> Finds {
        self.scanner.image(&Image::of(self.gateway.pid()), Some(&self.before))
    }

    fn transcript(&self, call: &Value) -> (u16, String) {
        self.gateway.get(&format!("/api/v1/calls/{}/transcript", call["id"].as_str().expect("an id")))
    }

    /// A command beside the gateway: whether it went well, and what it said.
    fn dauys(&self, arguments: &[&str]) -> (bool, String) {
        let config = self.gateway.scratch.0.join("config.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
        let done = command.args(arguments).arg("--config").arg(config).output().expect("it runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `dauys audit verify` is content, and names the entry of which one bit is another.
    fn audit_is_whole_until_a_byte_is_another(&self) {
        let (whole, said) = self.dauys(&["audit", "verify"]);
        assert!(whole, "{said}");
        let path = self.gateway.data().join("audit.log");
        let log = fs::read(&path).expect("a log");
        let second = log.iter().position(|b| *b == b'\n').expect("entries") + 1;
        let entry: Value =
            serde_json::from_slice(log[second..].split(|b| *b == b'\n').next().expect("two")).expect("JSON");
        let mut altered = log.clone();
        altered[second + 20] ^= 1;
        fs::write(&path, altered).expect("written");
        let (whole, said) = self.dauys(&["audit", "verify"]);
        assert!(!whole && said.contains(&format!("entry {}:", entry["seq"])), "{said}");
        fs::write(&path, log).expect("written");
    }

    /// The data in this folder, at another time.
    async fn vault(&self, data: &Path, after_days: i64) -> Vault {
        let mut config = Config::load(&self.gateway.scratch.0.join("config.toml")).expect("a config");
        config.store.dir = data.into();
        let file = &config.policy.as_ref().expect("a policy").file;
        let policy = Policy::parse(&fs::read_to_string(file).expect("a policy")).expect("a policy");
        let settings = Settings::new(&config.store, &config.keys, Some(&policy)).expect("settings");
        let now = dauys::clock::unix_ms() + after_days * DAY;
        let clock: Clock = Arc::new(move || Time(now));
        patiently(async || Vault::open_at(settings.clone(), For::Serving, Arc::clone(&clock)).await).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.theirs);
    }
}

fn id_of(call: &Value) -> CallId {
    CallId::parse(call["id"].as_str().expect("an id")).expect("an id")
}

#[test]
fn after_a_refusal_nothing_is_anywhere() {
    let _turn = turn();
    let mut place = Place::new("canary-no");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "nobody has called yet: {finds:?}");
    let caller = place.caller("2", &CANCELS);
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    assert!(call["turns"].as_array().is_some_and(|turns| !turns.is_empty()), "it was heard: {call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    assert!(!place.told(), "the webhook hears that a form was completed, and nothing of what is in it");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    let finds = place.scanner.folder(&place.gateway.scratch.0);
    assert!(finds.is_empty(), "{finds:?}");
}

#[test]
fn after_a_withdrawal_nothing_is_anywhere() {
    let _turn = turn();
    let mut place = Place::new("canary-back");
    let caller = place.caller("1", &[&["withdraw.bf_emma.wav"][..], &CANCELS].concat());
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    assert!(call["consent"].as_str().is_some_and(|c| c.starts_with("withdrawn")), "{call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    assert!(!place.told(), "nor does the webhook, of a form after it");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    wait(async {
        let vault = place.vault(&place.gateway.data(), 0).await;
        let left = vault.db().number("SELECT count(*) FROM lines", &[]).await.expect("counts");
        assert_eq!(left, 0, "what was kept until then is gone too");
        vault.close().await;
    });
}

#[test]
fn what_is_kept_is_sealed_and_goes_by_age_and_by_erasure() {
    let _turn = turn();
    let mut place = Place::new("canary-yes");
    let caller = place.caller("1", &CANCELS);
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    let finds = place.everywhere();
    assert!(finds.is_empty(), "kept, and sealed, and no longer in memory: {finds:?}");
    let (status, body) = place.transcript(&call);
    assert!(status == 200 && body.to_lowercase().contains(CANARY), "positive control: it is kept: {status} {body}");
    assert!(place.told(), "positive control: who agrees is heard by the webhook");
    // Nobody talks, so nothing is written: the copy is whole, which the first look at it shows.
    let copy = place.gateway.data().with_extension("copy");
    crate::killed::copy(&place.gateway.data(), &copy);

    // By erasure, while it serves.
    let said = place.dauys(&["erase", "--call", call["id"].as_str().expect("an id")]);
    assert!(said.0 && said.1.contains("done"), "{said:?}");
    let orders: Vec<Value> = place.hook.messages().iter().map(|told| told["order"].clone()).collect();
    assert_eq!(orders, [Value::Null, "erase".into()], "who was told is told to erase");
    let (status, body) = place.transcript(&call);
    assert!(!body.to_lowercase().contains(CANARY), "{status} {body}");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    place.audit_is_whole_until_a_byte_is_another();

    // By age: a day before the term it is there, a day after it is not.
    for (days, there) in [(29, true), (31, false)] {
        wait(async {
            let vault = place.vault(&copy, days).await;
            vault.retain().await.expect("runs");
            let lines = vault.transcript(id_of(&call), &reader(Purpose::Service)).await.expect("reads");
            let text = serde_json::to_string(&lines).expect("JSON").to_lowercase();
            assert_eq!(text.contains(CANARY), there, "after {days} days");
            vault.close().await;
        });
    }
    let finds = place.scanner.folder(&copy);
    assert!(finds.is_empty(), "{finds:?}");
}
