//! Crowds of sipp phones, which speak or only breathe. It measures nothing.
#![allow(dead_code, clippy::disallowed_methods, clippy::expect_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{recording, root};

/// Ten minutes of a line on which nobody speaks: the smallest steps of µ-law, by chance.
pub fn quiet() -> Vec<u8> {
    let mut state = 1u32;
    (0..8000 * 600)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [0xFF, 0xFE, 0x7E, 0xFF, 0xFD, 0x7D, 0xFF, 0x7F][(state >> 29) as usize]
        })
        .collect()
}

/// A caller's questions with pauses, round and round.
pub fn talk() -> Vec<u8> {
    let mut sound = vec![0xFF; 8000 * 9];
    for name in ["hours_sat.am_michael", "parking.bf_emma", "price_cleaning.am_fenrir", "address.af_bella"] {
        let ulaw = Command::new("sox")
            .arg(recording(&format!("{name}.wav")))
            .args(["-t", "ul", "-r", "8000", "-c", "1", "-"])
            .output()
            .expect("scripts/setup.sh test installs sox");
        sound.extend(ulaw.stdout);
        sound.extend(vec![0xFF; 8000 * 8]);
    }
    sound
}

/// A crowd of phones.
pub struct Phones {
    sipp: Child,
    stat: PathBuf,
}

impl Phones {
    /// That many at once, their RTP from `port` on; whoever is hung up on calls again.
    pub fn start(scratch: &Path, to: SocketAddr, service: &str, audio: &[u8], at_once: usize, port: u16) -> Self {
        let folder = scratch.join(format!("phones-{port}"));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("audio.ul"), audio).expect("written");
        let stat = folder.join("stat.csv");
        let sipp = Command::new("sipp")
            .arg("-sf")
            .arg(root().join("tests/clients/sipp_caller.xml"))
            .args(["-i", "127.0.0.1", "-nostdin", "-r", "20", "-m", "100000000", "-l", &at_once.to_string()])
            .args(["-s", service])
            .args(["-mi", "127.0.0.1", "-mp", &port.to_string(), "-rtp_threadtasks", "100"])
            .args(["-trace_stat", "-fd", "5", "-stf", stat.to_str().expect("UTF-8")])
            .arg(to.to_string())
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("scripts/setup.sh test installs sipp");
        Self { sipp, stat }
    }

    /// No new calls; what is running may end within that time. sipp does so on SIGUSR1.
    pub fn end(mut self, within: Duration) -> Value {
        let _ = Command::new("kill").args(["-USR1", &self.sipp.id().to_string()]).status();
        let until = Instant::now() + within;
        while self.sipp.try_wait().ok().flatten().is_none() {
            if Instant::now() > until {
                let _ = self.sipp.kill();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let stat = fs::read_to_string(self.stat).unwrap_or_default();
        let field = |name: &str| last(&stat, name).unwrap_or(0);
        json!({ "made": field("OutgoingCall(C)"), "succeeded": field("SuccessfulCall(C)"), "failed": field("FailedCall(C)") })
    }
}

fn last(stat: &str, column: &str) -> Option<u64> {
    let mut lines = stat.lines();
    let at = lines.next()?.split(';').position(|name| name == column)?;
    lines.last()?.split(';').nth(at)?.parse().ok()
}
