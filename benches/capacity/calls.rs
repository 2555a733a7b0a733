//! The gateway's side of the capacity bench: real shard, driver, leg, call and voice activity detector; engines that
//! cost what their lines cost and no more. It measures nothing; benches/web.rs and tests/no_alloc.rs borrow it.
#![allow(dead_code)]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dauys::call::driver::{CallInput, Driver, Lines, Surroundings};
use dauys::call::registry::{Registry, Summary};
use dauys::call::{Call, CallConfig, CallId, Line, LlmUse, Speaker};
use dauys::dialogue::Agent;
use dauys::net::ports::Ports;
use dauys::net::shard::{NewCall, Road, Shard};
use dauys::store::{CallRecord, Full, LineInfo, TranscriptStore};
use media::{Frame, LegConfig};
use models::fake::{self, Script};
use models::{Due, Heard, Job, Recognizer, RecognizerError, Scored, Sound, TurnDetector, TurnError, Wake};
use privacy::Scopes;
use privacy::consent::{ConsentEvent, Permit};
use privacy::seal::Plain;
use tokio::sync::{Semaphore, mpsc};

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");

/// What the calls' records say at their end, summed.
#[derive(Default)]
pub struct Tally {
    pub received: AtomicU64,
    pub lost: AtomicU64,
    pub late: AtomicU64,
    pub concealed: AtomicU64,
    pub ended: AtomicU64,
}

impl TranscriptStore for Tally {
    fn event(&self, _: ConsentEvent) -> Result<(), Full> {
        Ok(())
    }

    fn append(&self, _: &Permit<'_>, _: Line) -> Result<(), Full> {
        Ok(())
    }

    fn append_gap(&self, _: &Permit<'_>, _: u32, _: u32) -> Result<(), Full> {
        Ok(())
    }

    fn audio(&self, _: &Permit<'_>, _: Speaker, _: u64, _: u32, _: Plain) -> Result<(), Full> {
        Ok(())
    }

    fn purge(&self, _: CallId, _: &Scopes) {}

    fn record(&self, record: CallRecord) -> Result<(), Full> {
        if record.ended_unix_ms.is_some() {
            let add = |to: &AtomicU64, n| to.fetch_add(n, Ordering::Relaxed);
            add(&self.received, record.media.packets_received);
            add(&self.lost, record.media.packets_lost);
            add(&self.late, record.media.packets_late);
            add(&self.concealed, record.media.frames_concealed);
            add(&self.ended, 1);
        }
        Ok(())
    }
}

/// Calls on a shard; dropping them ends them.
pub struct Calls {
    pub tally: Arc<Tally>,
    pub ports: Vec<u16>,
    _inputs: Vec<mpsc::Sender<CallInput>>,
}

/// Starts one call for each of these ports of callers; `None` if the shard is too busy to take them all.
pub fn start(shard: &Shard, ports: &Ports, callers: &[u16], gate: bool) -> Option<Calls> {
    let tally = Arc::new(Tally::default());
    let registry = Arc::new(Registry::default());
    let places = Arc::new(Semaphore::new(callers.len()));
    let (mut inputs, mut theirs) = (vec![], vec![]);
    for (n, caller) in callers.iter().enumerate() {
        let sockets = ports.take(IpAddr::from([127, 0, 0, 1])).expect("a free pair of ports");
        theirs.push(sockets.port);
        let poked = Arc::new(AtomicBool::new(false));
        let (input, inbox) = mpsc::channel(32);
        let around = around(&tally, &registry, &places);
        let driver =
            driver(n as u64, plain(n as u64, *caller), "PCMU", lines(shard.waker(&poked), gate), around, inbox);
        // A shard takes in a few at a time.
        std::thread::sleep(std::time::Duration::from_millis(1));
        if !shard.adopt(NewCall { driver, road: Road::Ports(sockets), poked }) {
            return None;
        }
        inputs.push(input);
    }
    Some(Calls { tally, ports: theirs, _inputs: inputs })
}

/// A call on no shard, and what must be kept for it to go on.
pub fn alone(gate: bool) -> (Driver, mpsc::Sender<CallInput>) {
    let (input, inbox) = mpsc::channel(32);
    let around = around(&Arc::default(), &Arc::default(), &Arc::new(Semaphore::new(1)));
    (driver(1, plain(1, 4_000), "PCMU", lines(Arc::new(|| {}), gate), around, inbox), input)
}

/// What a call has around it; there has to be a place for it.
pub fn around(tally: &Arc<Tally>, registry: &Arc<Registry>, places: &Arc<Semaphore>) -> Surroundings {
    Surroundings {
        store: Arc::clone(tally) as Arc<dyn TranscriptStore>,
        registry: Arc::clone(registry),
        live: Arc::default(),
        strain: Default::default(),
        think: None,
        warm: None,
        egress: None,
        signal: Box::new(|_| {}),
        place: Arc::clone(places).try_acquire_owned().expect("a place"),
    }
}

/// G.711, nothing protected.
fn plain(n: u64, caller: u16) -> LegConfig {
    LegConfig {
        ssrc: n as u32,
        rtcp_mux: false,
        rtcp_cname: format!("{n:016x}"),
        ..LegConfig::new(SocketAddr::from(([127, 0, 0, 1], caller)))
    }
}

/// The nth call, with the demo's agent.
pub fn driver(
    n: u64,
    leg: LegConfig,
    codec: &'static str,
    lines: Lines,
    around: Surroundings,
    inbox: mpsc::Receiver<CallInput>,
) -> Driver {
    static AGENT: OnceLock<Arc<Agent>> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        let text =
            std::fs::read_to_string(Path::new(CONFIGS).join("agents/front-desk.toml")).expect("the demo's agent");
        Arc::new(Agent::parse(&text).expect("the demo's agent"))
    });
    let config = dauys::config::Config::load(&Path::new(CONFIGS).join("demo.toml")).expect("the demo");
    let config = CallConfig {
        turn: config.turn,
        silence_ms: 60_000,
        duration_s_max: 3_600,
        llm: LlmUse::Off,
        warm: false,
        answering: None,
    };
    let id = CallId(n + 1);
    let now = Instant::now();
    let call = Call::new(now, Arc::clone(agent), dauys::clock::today(), config);
    Driver::new(now, call, leg, lines, around, inbox, Summary::new(id, "bench", codec, &LineInfo::default()))
}

/// What a call's engines are.
pub fn lines(wake: Wake, gate: bool) -> Lines {
    // The greeting lasts longer than any run: something is played to everybody at all times.
    let script = Script::new().frames_per_char(100_000);
    Lines {
        recognizer: Box::new(Keeping {
            inner: fake::Recognizer::new(&script, Arc::clone(&wake)),
            audio: Sound::default(),
        }),
        synthesizer: Box::new(fake::Synthesizer::new(&script, Arc::clone(&wake))),
        vad: models::vad::earshot(gate),
        turn: Box::new(Hearing { inner: fake::TurnDetector::new(&script, wake), audio: Default::default() }),
    }
}

/// A recognizer's line that keeps the utterance as the real one does, and never understands a word.
struct Keeping {
    inner: fake::Recognizer,
    audio: Sound,
}

impl Recognizer for Keeping {
    fn push(&mut self, frame: &Frame) -> Result<(), RecognizerError> {
        if self.audio.len() + 320 > 480_000 {
            self.audio.keep(self.audio.len() - 16_000);
        }
        self.audio.push(frame.samples());
        self.inner.push(frame)
    }

    fn recognize(&mut self, job: Job, due: Due) -> Result<(), RecognizerError> {
        self.inner.recognize(job, due)
    }

    fn give_up(&mut self, job: Job) {
        self.inner.give_up(job);
    }

    fn poll(&mut self) -> Option<Heard> {
        self.inner.poll()
    }

    fn reset(&mut self, keep_ms: u32) {
        self.audio.keep(keep_ms as usize * 16);
        self.inner.reset(keep_ms);
    }
}

/// A turn detector's line that keeps the last 8 s as the real one does.
struct Hearing {
    inner: fake::TurnDetector,
    audio: Sound,
}

impl TurnDetector for Hearing {
    fn push(&mut self, frame: &Frame) {
        self.audio.push(frame.samples());
        self.audio.keep(128_000);
    }

    fn score(&mut self, job: Job, due: Due) -> Result<(), TurnError> {
        self.inner.score(job, due)
    }

    fn give_up(&mut self, job: Job) {
        self.inner.give_up(job);
    }

    fn poll(&mut self) -> Option<Scored> {
        self.inner.poll()
    }

    fn reset(&mut self) {
        self.audio.keep(0);
        self.inner.reset();
    }
}
