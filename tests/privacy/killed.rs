//! Erasures in a process of their own that is killed by the kernel at every step, two hundred times; what is left on the
//! disk is looked at after each, and the next process brings it to the end. Time is the tests' own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use dauys::call::CallId;
use dauys::vault::erase::Advanced;
use dauys::vault::fan::{Answered, Orders};
use dauys::vault::{For, Settings, Vault, VaultError, audit};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use privacy::erasure::{AskedBy, Job, JobId, STAGES, Stage as At};
use privacy::keys::Plan;
use privacy::proof::verify_proof;
use privacy::retention::{Purpose, Terms};
use privacy::seal::Plain;
use privacy::{Scope, SubjectId, TenantId, erasure};

use crate::scan::Scanner;
use crate::stage::{NOON, On, Stage, open, reader};

/// In the environment: the child that erases, and where.
const ERASES: &str = "DAUYS_TEST_ERASES";
const KILLS: usize = 200;
pub const CANARY: &str = "near the clinic";
pub const WHO: &str = "+7 701 555 01 23";

/// A connected system that answers at once.
pub struct Crm;

impl Orders for Crm {
    fn order<'a>(&'a self, _: &'a Job, _: &'a str) -> BoxFuture<'a, Answered> {
        std::future::ready(Answered::Receipt(b"{\"erased\":true}".to_vec())).boxed()
    }
}

/// Words and sound of two calls of one subject, a call of somebody else, and a system that received data.
pub async fn filled(name: &str) -> Stage {
    let stage = Stage::new(name, On::Sqlite).await;
    for id in [1, 2] {
        let gate = stage.call(id, &[Scope::Transcript, Scope::Audio]);
        stage.say(&gate, 10, "Is there parking near the clinic?");
        let permit = gate.permit(&Scope::Audio).expect("granted");
        let sound = crate::sound::written(&crate::sound::wave(8000, 0.5), crate::sound::Kind::MuLaw);
        let keep = dauys::store::TranscriptStore::audio;
        keep(&stage.vault, &permit, dauys::call::Speaker::Caller, 0, 500, Plain::new(sound)).expect("fits");
        stage.record(id, stage.subject(), "hung up");
    }
    let other = stage.call_of(3, stage.vault.subject_of("+7 701 555 99 99"), &[Scope::Transcript]);
    stage.say(&other, 10, "stays");
    stage.vault.put_transfer(&stage.transfer(1, "crm")).await.expect("writes");
    stage.vault.flush().await;
    stage
}

/// The vault of a stage, in another folder.
pub fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.into(),
        url: None,
        keys_dir: dir.join("keys"),
        kek: None,
        retired: vec![],
        tenant: TenantId::new("clinic").expect("a name"),
        terms: Terms::default(),
        erasure: erasure::Rules::default(),
        policy: "2026-1".into(),
        plan: Some(Plan::kazakhstan_russia()),
    }
}

pub async fn opened(settings: &Settings, what_for: For) -> Vault {
    let now = Arc::new(AtomicI64::new(NOON));
    patiently(async || open(settings, &now, what_for).await).await
}

/// What was dropped is let go by its tasks, a little later.
pub async fn patiently(mut open: impl AsyncFnMut() -> Result<Vault, VaultError>) -> Vault {
    for _ in 0..1000 {
        match open().await {
            Err(VaultError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.expect("opens"),
        }
    }
    panic!("it is never let go");
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The process that is killed. It says each step before it goes on.
async fn erase(dir: &Path) {
    let vault = opened(&settings(dir), For::Serving).await;
    let known = std::fs::read_to_string(dir.join("job")).ok().and_then(|name| JobId::parse(&name));
    let id = match known {
        Some(id) => id,
        None => {
            let subject = vault.subject_of(WHO);
            let id = vault.ask_erasure(subject, AskedBy::Subject, "asked by phone").await.expect("asks");
            std::fs::write(dir.join("job"), id.to_string()).expect("written");
            id
        }
    };
    loop {
        let stage = vault.erasure(id).await.expect("is there").stage();
        println!("\nat {}", stage.word());
        match vault.advance(id, &Crm).await.expect("goes on") {
            Advanced::Further => {}
            Advanced::Waits(until) => panic!("nothing was in the way until {until:?}"),
            Advanced::Done => break,
        }
    }
    println!("\nerased");
    vault.close().await;
}

struct Eraser {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Eraser {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "killed::killed_at_every_step_two_hundred_times_it_converges", "--nocapture"])
            .env(ERASES, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Until it has come to this step or one behind it: which.
    fn reach(&mut self, wanted: At) -> At {
        let said = |line: String| STAGES.into_iter().find(|stage| line == format!("at {}", stage.word()));
        let mut stages = self.lines.by_ref().map_while(Result::ok).filter_map(said);
        stages.find(|stage| *stage >= wanted).expect("it comes there")
    }

    /// As the kernel does it: nothing of the process runs any more.
    /// False: it was quicker, and has ended.
    fn kill(mut self) -> bool {
        let _ = self.child.kill();
        self.child.wait().expect("it ends").signal() == Some(9)
    }

    fn finish(mut self) {
        let lines: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        assert!(self.child.wait().expect("it ends").success(), "{lines:?}");
        assert!(lines.iter().any(|l| l == "erased"), "{lines:?}");
    }
}

/// What is written is never ahead of what is so, and what is not erased yet is whole.
async fn not_half_erased(dir: &Path) {
    let vault = opened(&settings(dir), For::Serving).await;
    let subject = vault.subject_of(WHO);
    let count = async |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        vault.db().number(&sql, &[]).await.expect("counts")
    };
    let jobs = dauys::store::register::jobs_of(vault.db(), vault.tenant(), subject).await.expect("reads");
    let stage = jobs.first().map(Job::stage);
    let reached = |at| stage.is_some_and(|stage| stage >= at);
    let keys = vault.keys().of_subject(subject).await.expect("lists");
    assert!(!reached(At::KeysDestroyed) || keys.is_empty());
    assert!(!reached(At::RowsDeleted) || count("lines").await == 1);
    assert!(!reached(At::FilesDeleted) || count("recordings").await == 0);
    if !reached(At::Frozen) {
        assert_eq!((count("lines").await, count("recordings").await), (3, 2), "nothing goes before the freeze");
        let lines = vault.transcript(CallId(1), &reader(Purpose::Service)).await.expect("reads");
        assert!(serde_json::to_string(&lines).expect("JSON").contains(CANARY), "it is whole");
    }
    vault.close().await;
}

/// The erasure is done, everything of the subject is gone, nothing of anybody else, and proof and log agree.
async fn erased(dir: &Path, subject: SubjectId) {
    let vault = opened(&settings(dir), For::Serving).await;
    let id = JobId::parse(&std::fs::read_to_string(dir.join("job")).expect("asked")).expect("a name");
    assert!(vault.erasure(id).await.expect("is there").is_done());
    let count = async |table: &str| vault.db().number(&format!("SELECT count(*) FROM {table}"), &[]).await;
    for (table, left) in [("lines", 1), ("recordings", 0), ("calls", 1), ("erasures", 1)] {
        assert_eq!(count(table).await.expect("counts"), left, "{table}");
    }
    assert!(vault.keys().of_subject(subject).await.expect("lists").is_empty());
    let lines = vault.transcript(CallId(3), &reader(Purpose::Service)).await.expect("reads");
    assert!(serde_json::to_string(&lines).expect("JSON").contains("stays"));
    let public = [vault.keys().public().expect("a key")];
    let document = vault.proof(id).await.expect("reads").expect("is there");
    let proof = verify_proof(document.as_bytes(), &public).expect("genuine");
    assert_eq!((proof.subject, proof.receipts.len()), (subject, 1));
    audit::verify(dir, &public).expect("the log is whole");
    vault.close().await;
    let finds = Scanner::new(&[CANARY]).folder(dir);
    assert!(finds.is_empty(), "{finds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_two_hundred_times_it_converges() {
    if let Some(dir) = std::env::var_os(ERASES) {
        return erase(Path::new(&dir)).await;
    }
    let stage = filled("killed").await;
    let (template, subject) = (stage.settings.dir.clone(), stage.subject());
    stage.vault.close().await;
    // Of one that is done there is nothing left to kill.
    let stages = &STAGES[..STAGES.len() - 1];
    let mut deaths: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rounds = 0..KILLS;
    while deaths.values().sum::<usize>() < KILLS {
        let round = rounds.next().expect("each round kills");
        let dir = template.with_extension(format!("round{round}"));
        copy(&template, &dir);
        // Once in the middle of it, and once more wherever it goes on from there.
        let planned = stages[round % stages.len()];
        let after = Duration::from_micros((round / stages.len()) as u64 * 700);
        for wanted in [planned, At::Asked] {
            let mut eraser = Eraser::start(&dir);
            let at = eraser.reach(wanted);
            std::thread::sleep(after);
            if eraser.kill() {
                *deaths.entry(at.word()).or_default() += 1;
            }
            not_half_erased(&dir).await;
        }
        Eraser::start(&dir).finish();
        erased(&dir, subject).await;
        std::fs::remove_dir_all(&dir).expect("cleans up");
    }
    eprintln!("died at {deaths:?}");
    let everywhere = stages.iter().all(|stage| deaths.get(stage.word()).is_some_and(|n| *n >= KILLS / 20));
    assert!(everywhere, "{deaths:?}");
    std::fs::remove_dir_all(&template).expect("cleans up");
}
