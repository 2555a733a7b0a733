//! What the end-to-end tests share: a gateway process, a caller, an HTTP client, a search for spoken words.
#![allow(dead_code, clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub mod baresip;

use serde_json::Value;

/// Loading models on a busy machine, and the clips of a first start.
const START_PATIENCE: Duration = Duration::from_secs(300);

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn recording(name: &str) -> PathBuf {
    root().join("tests/data/callers").join(name)
}

/// A folder of its own, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dauys-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a scratch folder");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed test leaves its folder for a look.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Media ports of one gateway after the other, so that tests side by side do not meet.
fn media_ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Integration tests are processes of their own: the process's number keeps them apart.
    let base = 20_000 + (std::process::id() % 10) as u16 * 4000;
    let first = base + NEXT.fetch_add(1, Ordering::Relaxed) % 8 * 500;
    (first, first + 496)
}

/// A gateway process with the demo's agent, on ports of its own.
pub struct Gateway {
    child: Child,
    pub sip: u16,
    pub http: u16,
    /// Where callers who want a person are sent.
    pub transfer: u16,
    pub scratch: Scratch,
    stopped: bool,
}

impl Gateway {
    pub fn start(name: &str) -> Self {
        Self::start_with(name, "", &[])
    }

    /// `more` is appended to the configuration; `shell` runs before the gateway in the same process.
    pub fn start_with(name: &str, more: &str, shell: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let config = scratch.0.join("config.toml");
        let (first, last) = media_ports();
        let transfer = last + 1;
        let agent = fs::read_to_string(root().join("configs/agents/front-desk.toml")).expect("the demo agent");
        let agent = agent.replace("127.0.0.1:5080", &format!("127.0.0.1:{transfer}"));
        fs::write(scratch.0.join("front-desk.toml"), agent).expect("an agent");
        let data = scratch.0.join("data");
        let policy = root().join("tests/data/policy.toml");
        let text = format!(
            "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n\
             [rtp]\nports = [{first}, {last}]\n[calls]\nmax = 200\nturn_late_ms_max = 0\n[store]\ndir = {data:?}\n{more}\n\
             [policy]\nfile = {policy:?}\n[[agent]]\nfile = \"front-desk.toml\"\n"
        );
        fs::write(&config, text).expect("a config");
        let log = File::create(scratch.0.join("gateway.log")).expect("a log");
        let mut commands: Vec<String> = shell.iter().map(|s| (*s).to_owned()).collect();
        commands.push(format!("exec {:?} serve --config {config:?}", env!("CARGO_BIN_EXE_dauys")));
        let mut child = Command::new("bash")
            .args(["-c", &commands.join("\n")])
            .env("DAUYS_LOG", "debug,hyper=info,sqlx=info,ort=warn")
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the gateway starts");
        let (sip, http) = ready(&mut child, &scratch.0);
        Self { child, sip, http, transfer, scratch, stopped: false }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn target(&self) -> String {
        format!("sip:front-desk@127.0.0.1:{}", self.sip)
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.0.join("data")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.0.join("gateway.log")).unwrap_or_default()
    }

    /// Status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let response = reqwest::blocking::get(url).expect("HTTP answers");
        (response.status().as_u16(), response.text().expect("a body"))
    }

    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Calls that have ended, newest first, once `count` have.
    pub fn ended_calls(&self, count: usize) -> Vec<Value> {
        self.ended_calls_within(count, Duration::from_secs(20))
    }

    pub fn ended_calls_within(&self, count: usize, patience: Duration) -> Vec<Value> {
        let calls = || -> Vec<Value> {
            let calls = self.json("/api/v1/calls?limit=500")["calls"].as_array().expect("a list").clone();
            calls.into_iter().filter(|c| c["state"] != "active").collect()
        };
        wait_for("calls to end", patience, || Some(calls()).filter(|c| c.len() >= count))
    }

    pub fn active_calls(&self) -> usize {
        let calls = self.json("/api/v1/calls?limit=500");
        calls["calls"].as_array().expect("a list").iter().filter(|c| c["state"] == "active").count()
    }

    /// How it ended by itself.
    pub fn exit(&mut self, patience: Duration) -> ExitStatus {
        let ended = wait_for("the gateway to end", patience, || self.child.try_wait().expect("its state is known"));
        self.stopped = true;
        ended
    }

    /// Ctrl-C, and what the exit said.
    pub fn stop(&mut self) {
        if !self.stopped {
            self.stopped = true;
            let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
            let status = wait_for("the gateway to stop", Duration::from_secs(20), || {
                self.child.try_wait().expect("its state is known")
            });
            assert!(status.success(), "the gateway ended with {status}: {}", tail(&self.log()));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !self.stopped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- gateway log ---\n{}", tail(&self.log()));
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Reads the ports from what the gateway prints for people.
fn ready(child: &mut Child, dir: &Path) -> (u16, u16) {
    let started = Instant::now();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut sip, mut http) = (None, None);
    let port = |line: &str| {
        let digits = |p: &str| p.chars().take_while(char::is_ascii_digit).collect::<String>();
        line.split("127.0.0.1:").nth(1).and_then(|p| digits(p).parse::<u16>().ok())
    };
    while let Some(Ok(line)) = lines.next() {
        if line.trim_start().starts_with("Call ") {
            sip = port(&line);
        } else if line.trim_start().starts_with("Open ") {
            http = port(&line);
        }
        if let (Some(sip), Some(http)) = (sip, http) {
            // Keep reading, so that the pipe never fills.
            std::thread::spawn(move || lines.for_each(drop));
            return (sip, http);
        }
        assert!(started.elapsed() < START_PATIENCE, "the gateway is not ready");
    }
    let log = fs::read_to_string(dir.join("gateway.log")).unwrap_or_default();
    panic!("the gateway did not start:\n{}", tail(&log));
}

/// Polls until there is something, or fails saying what was waited for.
pub fn wait_for<T>(what: &str, patience: Duration, mut get: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Our own caller, as a process: its report.
pub fn dauys_call(gateway: &Gateway, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_dauys"))
        .args(["call", &gateway.target(), "--json"])
        .args(arguments)
        .output()
        .expect("dauys call runs");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

pub fn read_wav(path: &Path) -> (u32, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    let samples: Vec<i16> = reader.samples::<i16>().map(|s| s.expect("a sample")).collect();
    let mono = samples.chunks(usize::from(spec.channels)).map(|c| c[0]).collect();
    (spec.sample_rate, mono)
}

pub fn write_wav(path: &Path, rate: u32, samples: &[i16]) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).expect("a wav");
    samples.iter().for_each(|s| writer.write_sample(*s).expect("room"));
    writer.finalize().expect("room");
}

/// A whole caller in one 8 kHz recording: silences in seconds, and recordings by name.
pub enum Part<'a> {
    Silence(f32),
    Speech(&'a str),
}

pub fn compose(path: &Path, parts: &[Part<'_>]) {
    let mut samples = vec![];
    for part in parts {
        match part {
            Part::Silence(seconds) => samples.resize(samples.len() + (seconds * 8000.0) as usize, 0),
            Part::Speech(name) => samples.extend(read_wav(&recording(name)).1),
        }
    }
    write_wav(path, 8000, &samples);
}

/// From the rates that phones record at to 16 kHz: 8 kHz as the gateway's own road does it, 48 kHz by threes, which
/// leaves enough for a recognizer.
pub fn to_16k(rate: u32, samples: &[i16]) -> Vec<i16> {
    match rate {
        16_000 => samples.to_vec(),
        8_000 => {
            let mut out = vec![0; samples.len() * 2];
            media::resample::Upsampler::default().process(samples, &mut out);
            out
        }
        48_000 => samples.as_chunks::<3>().0.iter().map(|[a, b, c]| a / 3 + b / 3 + c / 3).collect(),
        other => panic!("{other} Hz"),
    }
}

/// Every way the words could lie on disk: plain, UTF-16 of both orders, base64 at each alignment.
fn needles(word: &str) -> Vec<Vec<u8>> {
    let cases = [word.to_lowercase(), word.to_uppercase(), {
        let mut c = word.to_lowercase();
        c[..1].make_ascii_uppercase();
        c
    }];
    let mut needles = vec![];
    for case in cases {
        needles.push(case.as_bytes().to_vec());
        needles.push(case.encode_utf16().flat_map(u16::to_le_bytes).collect());
        needles.push(case.encode_utf16().flat_map(u16::to_be_bytes).collect());
        needles.extend((0..3).map(|shift| base64_core(case.as_bytes(), shift)));
    }
    needles
}

/// The base64 characters that depend on `bytes` alone when they start `shift` bytes into a group.
fn base64_core(bytes: &[u8], shift: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = std::iter::repeat_n(0u8, shift)
        .chain(bytes.iter().copied())
        .flat_map(|b| (0..8).rev().map(move |i| b >> i & 1))
        .collect();
    let first = (shift * 8).div_ceil(6);
    let last = (shift + bytes.len()) * 8 / 6;
    (first..last).map(|i| ALPHABET[bits[i * 6..i * 6 + 6].iter().fold(0, |n, b| n << 1 | usize::from(*b))]).collect()
}

/// Files below the folders in which any form of the word is found.
pub fn search_bytes(folders: &[&Path], word: &str) -> Vec<String> {
    let needles = needles(word);
    let mut found = vec![];
    let mut open: Vec<PathBuf> = folders.iter().map(|f| f.to_path_buf()).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("readable").flatten().map(|e| e.path()));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let holds = |n: &Vec<u8>| bytes.windows(n.len()).any(|w| w == n);
            if needles.iter().any(holds) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn the_byte_search_finds_every_form() {
    let dir = Scratch::new("needles");
    let forms: [&[u8]; 4] =
        [b"on Saturday?", b"s\0a\0t\0u\0r\0d\0a\0y\0", b"b24gU2F0dXJkYXk/", b"\0S\0a\0t\0u\0r\0d\0a\0y"];
    for form in forms {
        fs::write(dir.0.join("f"), form).expect("written");
        assert_eq!(search_bytes(&[&dir.0], "saturday").len(), 1, "{form:?}");
    }
    fs::write(dir.0.join("f"), b"nothing here").expect("written");
    assert!(search_bytes(&[&dir.0], "saturday").is_empty());
}
