//! What the benches share: the machine's name, quantiles, figures out of /proc, where results go. It measures nothing.
#![allow(dead_code, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

const FRAME: Duration = Duration::from_millis(20);
/// Speech to all time, in hundredths: recordings, each followed by half as much again of quiet.
pub const SPEECH_PERCENT: usize = 40;
/// The quiet: about -62 dBFS.
const NOISE_PEAK: i32 = 45;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The recordings of callers one after the other, each with its share of quiet behind it.
pub fn recordings(read: impl Fn(&Path) -> Vec<i16>) -> Vec<i16> {
    let mut files: Vec<_> = fs::read_dir(root().join("tests/data/callers")).expect("recordings").flatten().collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let mut samples: Vec<i16> = vec![];
    let mut dice: u32 = 1;
    let mut noise = || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((dice >> 16) as i32 % (2 * NOISE_PEAK + 1) - NOISE_PEAK) as i16
    };
    for file in files.iter().filter(|f| f.path().extension().is_some_and(|e| e == "wav")) {
        let speech = read(&file.path());
        samples.extend(speech.iter().map(|s| s.saturating_add(noise())));
        let quiet = speech.len() * (100 - SPEECH_PERCENT) / SPEECH_PERCENT;
        samples.extend((0..quiet).map(|_| noise()));
    }
    samples
}

/// The processor's name and the number of cores.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches(['\t', ' ', ':']).trim())
}

/// The nearest rank.
pub fn quantile<T: Copy>(sorted: &[T], q: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Resident memory of this process.
pub fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Clock ticks a second in /proc (USER_HZ).
const TICKS: f64 = 100.0;

/// CPU seconds, user and system, out of a `stat` file of a process or thread.
pub fn busy_s(stat: &str) -> f64 {
    ticks(stat, 11) + ticks(stat, 12)
}

/// Of these, the ones outside the kernel.
pub fn user_s(stat: &str) -> f64 {
    ticks(stat, 11)
}

fn ticks(stat: &str, field: usize) -> f64 {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    // The name before it may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / TICKS
}

/// Writes `NAME.json` and `NAME.md` under benches/results.
pub fn write(name: &str, raw: &Value, table: &str) {
    let results: PathBuf = root().join("benches/results");
    fs::create_dir_all(&results).expect("a folder");
    let json = serde_json::to_string_pretty(raw).expect("JSON") + "\n";
    fs::write(results.join(format!("{name}.json")), json).expect("written");
    fs::write(results.join(format!("{name}.md")), table).expect("written");
}

/// Lets each of `parties` have its turn every 20 ms, spread evenly. Gives the worst of our own lateness.
#[allow(clippy::disallowed_methods)]
pub fn pace<T>(parties: &mut [T], time: Duration, mut turn: impl FnMut(&mut T, Instant)) -> Duration {
    let start = Instant::now();
    let gap = FRAME / parties.len() as u32;
    let mut worst = Duration::ZERO;
    for round in 0..(time.as_millis() / FRAME.as_millis()) as u32 {
        for (n, party) in parties.iter_mut().enumerate() {
            let due = start + FRAME * round + gap * n as u32;
            let mut now = Instant::now();
            if now < due {
                // Small gaps are not worth a system call; the next ones catch up.
                if due - now > Duration::from_micros(60) {
                    std::thread::park_timeout(due - now);
                    now = Instant::now();
                }
            }
            worst = worst.max(now.saturating_duration_since(due));
            turn(party, now);
        }
    }
    worst
}
