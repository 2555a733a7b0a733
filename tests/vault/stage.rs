//! What the vault's tests stand on: a vault on SQLite or PostgreSQL by a clock of its own, calls that agreed, and
//! a private PostgreSQL that goes with the process. It keeps nothing behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use dauys::call::{CallId, Line, Speaker};
use dauys::store::{CallRecord, LineInfo, TranscriptStore as _};
use dauys::vault::read::Reader;
use dauys::vault::{For, Settings, Vault};
use privacy::consent::{Channel, ConsentGate, Grant};
use privacy::egress::{DestinationKind, Ended, Purpose as Aim, Sort, Transfer, TransferId};
use privacy::keys::Plan;
use privacy::policy::{Language, TextHash, Told, Version};
use privacy::retention::{Purpose, Terms};
use privacy::{Country, Scope, Scopes, SubjectId, TenantId, Time, erasure};

/// 2026-11-23 12:00 UTC.
pub const NOON: i64 = 1_795_435_200_000;
pub const SECOND: i64 = 1000;
pub const DAY: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

pub const BOTH: [On; 2] = [On::Sqlite, On::Postgres];

pub struct Stage {
    pub vault: Vault,
    pub settings: Settings,
    pub now: Arc<AtomicI64>,
    pub on: On,
}

/// A folder for one test.
pub fn scratch(name: &str) -> PathBuf {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("dauys-vault-{name}-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

impl Stage {
    pub async fn new(name: &str, on: On) -> Self {
        let dir = scratch(name);
        let url = match on {
            On::Sqlite => None,
            On::Postgres => Some(new_database().await),
        };
        let settings = Settings {
            keys_dir: dir.join("keys"),
            dir,
            url,
            kek: None,
            retired: vec![],
            tenant: TenantId::new("clinic").expect("a name"),
            terms: Terms::default(),
            erasure: erasure::Rules::default(),
            policy: "2026-1".into(),
            plan: Some(Plan::kazakhstan_russia()),
        };
        let now = Arc::new(AtomicI64::new(NOON));
        let vault = open(&settings, &now, For::Serving).await.expect("opens");
        Self { vault, settings, now, on }
    }

    /// The process ends, and another one begins.
    pub async fn again(self) -> Self {
        self.vault.close().await;
        self.after_death().await
    }

    /// The same where it was killed.
    pub async fn after_death(self) -> Self {
        let Self { vault, settings, now, on } = self;
        drop(vault);
        let vault = loop {
            match open(&settings, &now, For::Serving).await {
                Ok(vault) => break vault,
                // What was dropped is let go by its tasks, a little later.
                Err(dauys::vault::VaultError::InUse(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await
                }
                Err(e) => panic!("opens again: {e}"),
            }
        };
        Self { vault, settings, now, on }
    }

    pub fn set(&self, at: i64) {
        self.now.store(at, Ordering::Relaxed);
    }

    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }

    pub fn subject(&self) -> SubjectId {
        self.vault.subject_of("+7 701 555 01 23")
    }

    /// A call that granted these scopes, with its record and events handed over.
    pub fn call(&self, id: u64, scopes: &[Scope]) -> ConsentGate {
        self.call_of(id, self.subject(), scopes)
    }

    pub fn call_of(&self, id: u64, subject: SubjectId, scopes: &[Scope]) -> ConsentGate {
        let now = self.vault.now();
        let told = Told {
            version: Version::new("2026-1").expect("a version"),
            text: TextHash::of("told"),
            language: Language::new("en").expect("a language"),
            channel: Channel::Phone,
        };
        let mut gate = ConsentGate::new(CallId(id), subject, told);
        for scope in scopes {
            gate.ask(now, scope, TextHash::of("may we?"));
            assert!(gate.grant(now, scope, Grant::Key));
        }
        self.events(&mut gate);
        self.record(id, subject, "active");
        gate
    }

    pub fn events(&self, gate: &mut ConsentGate) {
        while let Some(event) = gate.poll() {
            self.vault.event(event).expect("fits");
        }
    }

    pub fn record(&self, id: u64, subject: SubjectId, state: &str) {
        let line = LineInfo { subject: Some(subject), ..LineInfo::default() };
        let ended = (state != "active").then_some(self.vault.now().0);
        let new = CallRecord::new(CallId(id), "front-desk", &line);
        let record = CallRecord { state: state.into(), started_unix_ms: NOON, ended_unix_ms: ended, ..new };
        self.vault.record(record).expect("fits");
    }

    pub fn say(&self, gate: &ConsentGate, at_ms: u32, text: &str) {
        let permit = gate.permit(&Scope::Transcript).expect("granted");
        self.vault.append(&permit, Line { at_ms, speaker: Speaker::Caller, text: text.into() }).expect("fits");
    }

    pub async fn texts(&self, call: u64) -> Vec<String> {
        let rows = self.vault.transcript(CallId(call), &reader(Purpose::Service)).await.expect("reads");
        rows.iter().map(|row| serde_json::to_value(row).expect("writes")).map(|row| row["text"].to_string()).collect()
    }

    /// Rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        self.vault.db().number(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("counts")
    }

    pub async fn keys(&self) -> i64 {
        self.vault.keys().db().number("SELECT count(*) FROM keys", &[]).await.expect("counts")
    }

    pub fn clean(self) {
        drop(self.vault);
        std::fs::remove_dir_all(&self.settings.dir).expect("cleans up");
    }

    /// What went to a connected system of the first call.
    pub fn transfer(&self, n: u64, destination: &str) -> Transfer {
        Transfer {
            id: TransferId(n),
            tenant: self.vault.tenant().clone(),
            call: Some(CallId(1)),
            subject: self.subject(),
            destination: destination.into(),
            kind: DestinationKind::Connected,
            country: Country::new("KZ").expect("a country"),
            abroad: false,
            sort: Sort::Content,
            purpose: Aim::Deliver,
            bytes: 10,
            scopes: Scopes::from([Scope::Transcript]),
            events: vec![],
            approval: None,
            erasure: None,
            at: self.vault.now(),
            ended: Some(Ended::Sent),
            ended_at: Some(self.vault.now()),
        }
    }
}

pub async fn open(settings: &Settings, now: &Arc<AtomicI64>, what_for: For) -> Result<Vault, dauys::vault::VaultError> {
    let clock = Arc::clone(now);
    Vault::open_at(settings.clone(), what_for, Arc::new(move || Time(clock.load(Ordering::Relaxed)))).await
}

pub fn reader(purpose: Purpose) -> Reader {
    Reader { actor: "dana".into(), role: "privacy_officer".into(), why: "claim 7".into(), purpose }
}

/// Whether any file below holds these bytes.
pub fn found(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("lists").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return found(&path, needle);
        }
        std::fs::read(&path).unwrap_or_default().windows(needle.len()).any(|w| w == needle)
    })
}

/// A database of its own on the private server.
pub async fn new_database() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let socket = server();
    let name = format!("t{}", N.fetch_add(1, Ordering::Relaxed));
    let url = |name: &str| format!("postgres://postgres@localhost/{name}?host={}", socket.display());
    let admin = dauys::store::db::Db::postgres(&url("postgres")).await.expect("the server answers");
    admin.script(&format!("CREATE DATABASE {name}")).await.expect("makes one");
    admin.close().await;
    url(&name)
}

/// The folder of its socket, with everything that it writes: `data`, and in `log` every statement with its values. It runs
/// as another user than root, as it insists, and ends with this process.
pub fn server() -> &'static Path {
    static SERVER: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (dir, _) = SERVER.get_or_init(|| {
        let bin = programs();
        let dir = scratch("postgres");
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let run = |script: &str| {
            let mut command = Command::new(if is_root { "setpriv" } else { "sh" });
            if is_root {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
            }
            command.args(["-c", script]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null());
            command
        };
        if is_root {
            let given = Command::new("chown").args(["postgres", &dir.to_string_lossy()]).status();
            assert!(given.is_ok_and(|s| s.success()), "the folder is given to the user postgres");
        }
        let (bin, dir_text) = (bin.display(), dir.display());
        let made = format!("{bin}/initdb -D {dir_text}/data -A trust -U postgres --no-sync -E UTF8");
        assert!(
            run(&made).status().is_ok_and(|s| s.success()),
            "initdb failed; scripts/setup.sh test installs PostgreSQL"
        );
        let parent = std::process::id();
        let serve = format!(
            "mkdir {dir_text}/log; {bin}/postgres -D {dir_text}/data -k {dir_text} -c listen_addresses='' -c fsync=off \
             -c log_statement=all 2>{dir_text}/log/all & P=$!; \
             while [ -d /proc/{parent} ]; do sleep 1; done; kill -INT $P; wait $P; rm -rf {dir_text}/*"
        );
        let child = run(&serve).spawn().expect("PostgreSQL starts");
        let ready = || dir.join(".s.PGSQL.5432").exists();
        let answers = || {
            let asked = run(&format!("{bin}/pg_isready -q -h {dir_text}")).status();
            asked.is_ok_and(|s| s.success())
        };
        let patient = (0..300).any(|_| {
            std::thread::park_timeout(std::time::Duration::from_millis(100));
            ready() && answers()
        });
        assert!(patient, "PostgreSQL does not answer");
        (dir, child)
    });
    dir
}

/// Debian keeps them beside the path.
fn programs() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = debian.map(|e| e.path().join("bin")).filter(|p| p.join("initdb").exists()).collect();
    all.sort();
    all.pop().expect("PostgreSQL is not here; scripts/setup.sh test installs it")
}
