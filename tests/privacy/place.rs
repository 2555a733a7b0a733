//! A gateway process with real recognizers, somebody who calls it, and the search for what they said in everything that
//! the gateway has. It asserts nothing about consent: the tests beside it do.

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
use serde_json::Value;

use crate::common::{Gateway, recording, root, wait_for, write_wav};
use crate::hook::Hook;
use crate::killed::{CANARY, patiently};
use crate::scan::{Finds, Image, Scanner};
use crate::sound;
use crate::stage::{DAY, scratch};

pub const PHRASE: &str = "parking.bf_emma.wav";
/// The wave, among what a caller says.
pub const WAVE: &str = "wave.wav";
/// What goes into a form, and so to a webhook where that was agreed to: the name in `name.bf_emma.wav`, as far as every
/// hearing of it agrees.
const NAME: &str = "anna mill";
/// A form of the demo's agent in four turns.
pub const CANCELS: [&str; 3] = ["cancel.bf_emma.wav", "name.bf_emma.wav", "yes.am_michael.wav"];
/// The wave in the middle of a call: long enough that some image of the process is taken while it is kept.
pub const WAVE_S: f32 = 5.0;

/// Real recognizers and whole images of processes: one gateway at a time.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(what)
}

pub struct Place {
    pub gateway: Gateway,
    pub hook: Hook,
    pub scanner: Scanner,
    /// Before anybody called.
    pub before: Image,
    /// What the caller plays; it is the caller's, and nowhere near the gateway.
    theirs: std::path::PathBuf,
}

impl Place {
    pub fn new(name: &str) -> Self {
        Self::with(name, "", "")
    }

    /// The demo's agent and policy; nobody but the caller says the phrase. `more` is appended to the configuration,
    /// beginning in `[store]`, and `asks` to the policy.
    pub fn with(name: &str, more: &str, asks: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dauys-{name}-{}", std::process::id()));
        let dir = dir.display();
        let hook = Hook::start();
        let temporary = format!("mkdir -p {dir}/tmp && export TMPDIR={dir}/tmp");
        let agent = format!("sed -i 's/{CANARY}/by the house/' {dir}/front-desk.toml");
        let whereto = format!(
            "[[destination]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\ncountry = \"KZ\"\nown = true",
            hook.url
        );
        let policy = root().join("tests/data/policy.toml");
        let policy = format!("cat {policy:?} - > {dir}/policy.toml <<'END'\n{asks}\n{whereto}\nEND");
        let named = format!("sed -i 's|^file = .*/policy.toml\"|file = \"{dir}/policy.toml\"|' {dir}/config.toml");
        let gateway = Gateway::start_with(name, more, &[&temporary, &agent, &policy, &named]);
        let theirs = scratch(&format!("{name}-caller"));
        write_wav(&theirs.join(WAVE), 8000, &sound::wave(8000, WAVE_S));
        let (scanner, before) = (Scanner::new(&[CANARY, NAME]), Image::of(gateway.pid()));
        Self { gateway, hook, scanner, before, theirs }
    }

    /// Somebody who presses a key at the first question, speaks the phrase, sounds the wave, and then plays these.
    pub fn caller(&self, key: &str, more: &[&str]) -> Child {
        self.calls(&self.gateway.target(), key, &[&[PHRASE, WAVE], more].concat())
    }

    /// Somebody who presses a key at the first question, and then plays these.
    pub fn calls(&self, target: &str, key: &str, says: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
        command.args(["call", target, "--json", "--seconds-max", "90", "--keys", key]);
        for name in says {
            let wav = if *name == WAVE { self.theirs.join(WAVE) } else { recording(name) };
            command.arg("--play").arg(wav);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dauys call runs")
    }

    /// Both canaries are found in the process while the call goes on.
    pub fn both_are_in_memory(&self) {
        self.are_in_memory("both canaries", |finds| {
            let sounded = ["PCM16 LE", "f32", "packed"].iter().any(|form| finds.has("memory", form));
            finds.has("memory", "UTF-8") && sounded
        });
    }

    /// So is the phrase.
    pub fn the_phrase_is_in_memory(&self) {
        self.are_in_memory("the phrase", |finds| finds.has("memory", "UTF-8"));
    }

    fn are_in_memory(&self, what: &str, found: impl Fn(&Finds) -> bool) {
        let phrase = Scanner::new(&[CANARY]);
        let mut so_far = Finds::default();
        wait_for(&format!("{what} in the memory of the process"), Duration::from_secs(120), || {
            let image = Image::passing(self.gateway.pid());
            so_far = std::mem::take(&mut so_far).and(phrase.image(&image, Some(&self.before)));
            found(&so_far).then_some(())
        });
    }

    /// The record of the call that began last, when it is over.
    pub fn ended(&self, calls: usize, mut caller: Child) -> Value {
        let _ = caller.wait();
        self.over(calls)
    }

    /// The same where nobody waits for who called.
    pub fn over(&self, calls: usize) -> Value {
        let record = self.gateway.ended_calls_within(calls, Duration::from_secs(60)).swap_remove(0);
        // The last jobs of the engines end, and what they had is let go.
        std::thread::sleep(Duration::from_secs(3));
        record
    }

    /// What the webhook was told, once it was told of the form: whether with what the caller said.
    pub fn told(&self) -> bool {
        let first = wait_for("the webhook", Duration::from_secs(20), || self.hook.messages().into_iter().next());
        assert_eq!((&first["form"], &first["outcome"]), (&"cancel".into(), &"cancelled".into()), "{first}");
        let mut finds = Finds::default();
        self.scanner.bytes("the webhook", 0, &self.hook.bytes(), &mut finds);
        assert_eq!(finds.is_empty(), first.get("details").is_none(), "{finds:?} in {first}");
        finds.has("the webhook", "UTF-8")
    }

    /// Everything that the gateway has: its folder with data, keys, log and temporary files, its metrics, its API, its
    /// memory.
    pub fn everywhere(&self) -> Finds {
        let metrics = self.scanner.text("/metrics", &self.gateway.get("/metrics").1);
        let calls = self.scanner.text("the API", &self.gateway.get("/api/v1/calls?limit=500").1);
        self.scanner.folder(&self.gateway.scratch.0).and(metrics).and(calls).and(self.memory())
    }

    fn memory(&self) -> Finds {
        self.scanner.image(&Image::of(self.gateway.pid()), Some(&self.before))
    }

    pub fn transcript(&self, call: &Value) -> (u16, String) {
        self.gateway.get(&format!("/api/v1/calls/{}/transcript", call["id"].as_str().expect("an id")))
    }

    /// A command beside the gateway: whether it went well, and what it said.
    pub fn dauys(&self, arguments: &[&str]) -> (bool, String) {
        let config = self.gateway.scratch.0.join("config.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
        let done = command.args(arguments).arg("--config").arg(config).output().expect("it runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `dauys audit verify` is content, and names the entry of which one bit is another.
    pub fn audit_is_whole_until_a_byte_is_another(&self) {
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
    pub async fn vault(&self, data: &Path, what_for: For, after_days: i64) -> Vault {
        let mut config = Config::load(&self.gateway.scratch.0.join("config.toml")).expect("a config");
        config.store.dir = data.into();
        let file = &config.policy.as_ref().expect("a policy").file;
        let policy = Policy::parse(&fs::read_to_string(file).expect("a policy")).expect("a policy");
        let settings = Settings::new(&config.store, &config.keys, Some(&policy)).expect("settings");
        let now = dauys::clock::unix_ms() + after_days * DAY;
        let clock: Clock = Arc::new(move || Time(now));
        patiently(async || Vault::open_at(settings.clone(), what_for, Arc::clone(&clock)).await).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.theirs);
    }
}

pub fn id_of(call: &Value) -> CallId {
    CallId::parse(call["id"].as_str().expect("an id")).expect("an id")
}
