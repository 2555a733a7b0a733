//! A gateway whose PostgreSQL goes away: callers hear nothing of it, monitors do, and it goes on when the server is back,
//! be it another one in its place. Where another gateway took the database meanwhile, this one stops.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dauys::config::Config;
use dauys::vault::{For, Settings, Vault};
use privacy::Time;

use crate::common::{Gateway, dauys_call, recording, wait_for};
use crate::place::{turn, wait};
use crate::stage::{new_database, scratch, server};

/// Its answer has "saturday" or an hour in it; here it matters that there is one.
const QUESTION: &str = "hours_sat.bf_emma.wav";
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to the database server, by TCP.
struct Way {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What is sent is neither passed on nor refused, and new connections are neither.
    blocked: AtomicBool,
    pairs: Mutex<Vec<Pair>>,
}

/// A connection of the gateway's, and the one to the server that stands for it.
struct Pair {
    client: TcpStream,
    server: UnixStream,
    /// Nothing is ever passed on again, and the gateway is not told.
    silent: Arc<AtomicBool>,
}

impl Way {
    fn to(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State::default());
        let (socket, shared) = (folder.join(".s.PGSQL.5432"), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                shared.wait();
                let server = UnixStream::connect(&socket).expect("the server is there");
                let pair = Pair { client, server, silent: Arc::default() };
                pair.carry(&shared);
                shared.pairs.lock().expect("whole").push(pair);
            }
        });
        Self { port, state }
    }

    /// For a gateway, to the database of this URL.
    fn url(&self, direct: &str) -> String {
        let database = direct.split('?').next().and_then(|url| url.rsplit('/').next()).expect("a name");
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn block(&self, blocked: bool) {
        self.state.blocked.store(blocked, Ordering::SeqCst);
    }

    /// The server ends every connection; the gateway hears of it, or never does.
    fn end_all(&self, silently: bool) {
        for pair in self.state.pairs.lock().expect("whole").iter() {
            pair.silent.store(silently, Ordering::SeqCst);
            let _ = pair.server.shutdown(std::net::Shutdown::Both);
            if !silently {
                let _ = pair.client.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

impl State {
    fn wait(&self) {
        while self.blocked.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Pair {
    fn carry(&self, state: &Arc<State>) {
        let client = || self.client.try_clone().expect("a copy");
        let server = || self.server.try_clone().expect("a copy");
        let (there, back) = ((client(), server()), (server(), client()));
        let flags = || (Arc::clone(state), Arc::clone(&self.silent));
        let (one, other) = (flags(), flags());
        std::thread::spawn(move || pass(there.0, there.1, &one.0, &one.1));
        std::thread::spawn(move || pass(back.0, back.1, &other.0, &other.1));
    }
}

fn pass(mut from: impl Read, mut to: impl Write, state: &State, silent: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        state.wait();
        if !silent.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// Calls, asks, and hears an answer.
fn is_answered(gateway: &Gateway) {
    let question = recording(QUESTION);
    let report = dauys_call(gateway, &["--keys", "1", "--play", &question.display().to_string()]);
    let answered =
        report["turns"].as_array().is_some_and(|turns| turns.iter().any(|t| t["voice_to_voice_ms"].is_number()));
    assert!(answered, "{report}");
}

fn is_ready(gateway: &Gateway, ready: bool) {
    let status = if ready { 200 } else { 503 };
    wait_for(&format!("/readyz {status}"), PATIENCE, || (gateway.get("/readyz").0 == status).then_some(()));
}

/// How often it was without its lock, be it for a moment.
fn lost(gateway: &Gateway) -> usize {
    gateway.log().matches("the lock on the database is lost").count()
}

/// A call that comes now leaves its transcript.
fn keeps(gateway: &Gateway) {
    let known = |gateway: &Gateway| gateway.json("/api/v1/calls?limit=500")["calls"].as_array().map_or(0, Vec::len);
    let before = known(gateway);
    is_answered(gateway);
    let call = gateway.ended_calls(before + 1).swap_remove(0);
    let path = format!("/api/v1/calls/{}/transcript", call["id"].as_str().expect("an id"));
    let lines = wait_for("the transcript", PATIENCE, || Some(gateway.get(&path)).filter(|got| got.0 == 200));
    assert!(lines.1.to_lowercase().contains("saturday"), "{}", lines.1);
}

/// Another gateway, on this database.
fn another(config: &Path, url: &str) -> Vault {
    let mut config = Config::load(config).expect("a config");
    config.store.dir = scratch("away-another");
    let settings = Settings::new(&config.store, &config.keys, None).expect("settings");
    let settings = Settings { url: Some(url.to_owned()), ..settings };
    let now = Time(dauys::clock::unix_ms());
    wait(Vault::open_at(settings, For::Serving, Arc::new(move || now))).expect("the database is free")
}

#[test]
fn a_database_that_goes_away_is_waited_for_and_one_that_was_taken_is_left() {
    let _turn = turn();
    let direct = wait(new_database());
    let way = Way::to(server());
    let mut gateway = Gateway::start_with("away", &format!("url = {:?}", way.url(&direct)), &[]);
    is_ready(&gateway, true);

    way.block(true);
    is_answered(&gateway);
    is_ready(&gateway, false);
    way.block(false);
    is_ready(&gateway, true);
    keeps(&gateway);

    // Its machine died, and another one has its address.
    let before = lost(&gateway);
    way.end_all(true);
    wait_for("the lock to be missed", PATIENCE, || (lost(&gateway) > before).then_some(()));
    is_ready(&gateway, true);
    keeps(&gateway);

    way.block(true);
    way.end_all(false);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let other = another(&gateway.scratch.0.join("config.toml"), &direct);
    way.block(false);
    let status = gateway.exit(PATIENCE);
    assert!(!status.success(), "{status}");
    assert!(gateway.log().contains("one gateway per database"), "it says why");
    runtime.block_on(other.close());
}
