//! The gateway's side of held calls: the port of web calls, a shard, drivers and legs with Opus, DTLS-SRTP and a data
//! channel as WHIP makes them; engines that only keep. The pages are a process of their own on the same cores.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dauys::call::driver::CallInput;
use dauys::call::page::PageConfig;
use dauys::call::registry::Registry;
use dauys::config::Rtp;
use dauys::net::shard::{NewCall, Road, Shard};
use dauys::net::web::{Web, WebConfig};
use media::codec::EncoderConfig;
use media::secure::{Fingerprint, IceConfig, Identity, Role, Security};
use media::{Codec, LegConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::calls::{self, Tally};
use crate::crowd::{EVENT, OPUS, credentials};
use crate::shared;

/// New calls a second: pages do not come all at once.
const PER_S: u64 = 50;

/// `threads`: so many shards, `[rtp] shards`.
pub fn run(count: usize, seconds: u64, threads: usize) -> Value {
    let metrics = dauys::telemetry::init_metrics().expect("a recorder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let bind = vec![([127, 0, 0, 1], 0).into()];
    let web = runtime.block_on(async { Web::open(&WebConfig { bind, advertised: vec![] }) }).expect("a free port");
    let shard = |n| Shard::spawn(n, dauys::strain::SharedStrain::default()).expect("a thread");
    let shards: Vec<Shard> = (0..threads).map(shard).collect();
    let identity = Arc::new(Identity::generate().expect("randomness"));
    let mut crowd = crowd(count, seconds);
    let mut out = BufReader::new(crowd.stdout.take().expect("piped"));
    let mut line = || {
        let mut line = String::new();
        out.read_line(&mut line).expect("the crowd's word");
        line
    };
    let theirs: Fingerprint = line().trim().parse().expect("a fingerprint");
    // What the first call brings into being once belongs to nobody.
    let warm = begin(&web, &shards, &identity, &theirs, 1, count);
    std::thread::sleep(Duration::from_secs(1));
    warm.end();
    let alone_kib = shared::resident_kib();
    let mut stdin = crowd.stdin.take().expect("piped");
    // Pages check until their call is there.
    writeln!(stdin, "{} {}", web.bound()[0], identity.fingerprint()).expect("a reader");
    let running = begin(&web, &shards, &identity, &theirs, count, 0);
    assert_eq!(line().trim(), "measuring");
    let before = Sample::take(&metrics);
    let early_kib = shared::resident_kib();
    let mut result: Value = serde_json::from_str(&line()).expect("JSON");
    result["gateway"] = Sample::take(&metrics).since(&before);
    let late_kib = shared::resident_kib();
    let per_call = |kib: u64| kib.saturating_sub(alone_kib) / count as u64;
    result["resident_kib"] = json!({ "alone": alone_kib, "begun": early_kib, "held": late_kib });
    result["resident_kib_per_call"] = json!({ "begun": per_call(early_kib), "held": per_call(late_kib) });
    result["heard"] = running.end();
    (result["calls"], result["shards"]) = (json!(count), json!(threads));
    drop(stdin);
    let _ = crowd.wait();
    println!("{result}");
    result
}

struct Running {
    tally: Arc<Tally>,
    inputs: Vec<mpsc::Sender<CallInput>>,
}

impl Running {
    /// What the calls' records say.
    fn end(self) -> Value {
        let calls = self.inputs.len() as u64;
        drop(self.inputs);
        let sum = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(10);
        while sum(&self.tally.ended) < calls && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        json!({
            "packets": sum(&self.tally.received), "lost": sum(&self.tally.lost), "late": sum(&self.tally.late),
            "frames_concealed": sum(&self.tally.concealed), "ended": sum(&self.tally.ended),
        })
    }
}

/// Calls of `count` pages, the first of number `first`.
fn begin(
    web: &Web,
    shards: &[Shard],
    identity: &Arc<Identity>,
    theirs: &Fingerprint,
    count: usize,
    first: usize,
) -> Running {
    let (tally, registry) = (Arc::new(Tally::default()), Arc::new(Registry::default()));
    let places = Arc::new(Semaphore::new(count));
    let mut inputs = vec![];
    for n in first..first + count {
        let (ufrag, pwd) = credentials(n);
        let shard = &shards[n % shards.len()];
        let security =
            Security::Dtls { identity: Arc::clone(identity), role: Role::Passive, fingerprint: theirs.clone() };
        let ice = Some(IceConfig { local_ufrag: ufrag.clone(), local_pwd: pwd });
        let leg = leg(n, security, ice);
        let (road, _line) = web.road(&ufrag);
        let poked = Arc::new(AtomicBool::new(false));
        let (input, inbox) = mpsc::channel(32);
        let around = calls::around(&tally, &registry, &places);
        let lines = calls::lines(shard.waker(&poked), true);
        let driver = calls::driver(n as u64, leg, "opus", lines, around, inbox).with_page(Instant::now(), page(), None);
        assert!(shard.adopt(NewCall { driver, road: Road::Web(road), poked }), "the shard takes them as they come");
        inputs.push(input);
        std::thread::sleep(Duration::from_millis(1_000 / PER_S));
    }
    Running { tally, inputs }
}

fn leg(n: usize, security: Security, ice: Option<IceConfig>) -> LegConfig {
    let encoder = EncoderConfig { bitrate_bps: Rtp::default().opus_bitrate, fec: true, ..EncoderConfig::default() };
    LegConfig {
        codec: Codec::Opus,
        payload_type: OPUS,
        receive: vec![(OPUS, Codec::Opus)],
        dtmf_payload_type: Some(EVENT),
        encoder,
        ssrc: n as u32 + 1,
        rtcp_cname: format!("{n:016x}"),
        inband_digits: Rtp::default().inband_digits,
        security,
        ice,
        data: true,
        ..LegConfig::new(([0, 0, 0, 0], 9).into())
    }
}

fn page() -> PageConfig {
    PageConfig {
        agent: "front-desk".into(),
        language: "en".into(),
        questions: vec![(privacy::Scope::Transcript, "May we keep a transcript?".into())],
        policy_version: "1".into(),
        policy_url: None,
        notice: None,
        resume: "0".repeat(32),
    }
}

fn crowd(calls: usize, seconds: u64) -> Child {
    Command::new(std::env::current_exe().expect("our own name"))
        .args(["crowd", "--calls", &calls.to_string(), "--seconds", &seconds.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// What this process had spent by then, by thread, and its own count of late ticks.
struct Sample {
    at: Instant,
    process_s: f64,
    threads: Vec<(String, f64)>,
    ticks: Vec<(String, u64)>,
}

impl Sample {
    fn take(metrics: &PrometheusHandle) -> Self {
        let mut threads = vec![];
        for task in fs::read_dir("/proc/self/task").expect("a Linux system").flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            // The first thread has the name of the program, which begins with `web-` too.
            let first = task.file_name().to_string_lossy() == std::process::id().to_string();
            if !first && (name.starts_with("media-") || name.starts_with("web-")) {
                threads.push((name, shared::busy_s(&task.path().join("stat").to_string_lossy())));
            }
        }
        let rendered = metrics.render();
        let ticks = rendered.lines().filter_map(|l| {
            let (label, count) = l.strip_prefix("dauys_ticks_total{late_ms=\"")?.split_once("\"} ")?;
            Some((label.to_owned(), count.parse().ok()?))
        });
        let process_s = shared::busy_s("/proc/self/stat");
        Self { at: Instant::now(), process_s, threads, ticks: ticks.collect() }
    }

    fn since(&self, before: &Self) -> Value {
        let wall_s = (self.at - before.at).as_secs_f64();
        let share = |s: f64| (s / wall_s * 1e3).round() / 1e3;
        let threads = self.threads.iter().map(|(name, s)| {
            let earlier = before.threads.iter().find(|(n, _)| n == name).map_or(0.0, |(_, s)| *s);
            (name.clone(), json!(share(s - earlier)))
        });
        let ticks = self.ticks.iter().map(|(label, count)| {
            let earlier = before.ticks.iter().find(|(l, _)| l == label).map_or(0, |(_, c)| *c);
            (label.clone(), json!(count - earlier))
        });
        json!({
            "cores": share(self.process_s - before.process_s),
            "threads": threads.collect::<serde_json::Map<_, _>>(),
            "ticks_by_late_ms": ticks.collect::<serde_json::Map<_, _>>(),
        })
    }
}
