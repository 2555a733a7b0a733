//! A linphonec under remote control (its commands on standard input), for tests. It asserts nothing by itself.
#![allow(dead_code)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::common::baresip::free_port;
use crate::common::wait_for;

/// Commands before this word are lost or fail: its transports are not up.
const READY: &str = "Creating listening point";

pub struct Linphone {
    child: Child,
    commands: ChildStdin,
    dir: PathBuf,
}

impl Linphone {
    /// Plays `play` into its calls; trusts the certificates of `ca`.
    pub fn start(dir: &Path, play: &Path, ca: &Path) -> Self {
        // Its database and certificates go below its home; without the folder it complains at every step.
        fs::create_dir_all(dir.join(".local/share/linphone")).expect("a folder");
        let (sip, tls) = (free_port(), free_port());
        let rtp = free_port() & !1;
        let config = format!(
            "[sip]\nsip_port={sip}\nsip_tcp_port={sip}\nsip_tls_port={tls}\nbind_address=127.0.0.1\n\
             guess_hostname=0\ncontact=\"linphone\" <sip:linphone@127.0.0.1>\nuse_info=0\nuse_rfc2833=1\nuse_ipv6=0\n\
             media_encryption=none\ndefault_proxy=-1\nroot_ca={ca}\n[net]\nfirewall_policy=0\n\
             [rtp]\nbind_address=127.0.0.1\naudio_rtp_port={rtp}\n",
            ca = ca.display()
        );
        fs::write(dir.join("rc"), config).expect("written");
        let out = fs::File::create(dir.join("out")).expect("a file");
        let mut child = Command::new("linphonec")
            .args(["-d", "6", "-l", "log", "-c", "rc"])
            .env("HOME", dir)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a handle"))
            .stderr(out)
            .spawn()
            .expect("scripts/setup.sh test installs linphone-cli");
        let commands = child.stdin.take().expect("piped");
        let mut phone = Self { child, commands, dir: dir.to_owned() };
        wait_for("linphonec to listen", Duration::from_secs(30), || phone.log().contains(READY).then_some(()));
        phone.run("soundcard use files");
        phone.run(&format!("play {}", play.display()));
        phone.run(&format!("record {}", phone.heard().display()));
        phone
    }

    /// `call URI`, a digit, `pause`, `resume`, `terminate`.
    pub fn run(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("linphonec reads");
    }

    /// Waits until its terminal has said this `times` times.
    pub fn said(&self, what: &str, times: usize) {
        let out = || fs::read_to_string(self.dir.join("out")).unwrap_or_default();
        let is_there = || (out().matches(what).count() >= times).then_some(());
        wait_for(&format!("linphonec to say {what:?} {times} times"), Duration::from_secs(20), is_there);
    }

    pub fn heard(&self) -> PathBuf {
        self.dir.join("heard.wav")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// A polite end, which finishes the recording.
    pub fn quit(mut self) -> PathBuf {
        self.run("quit");
        wait_for("linphonec to quit", Duration::from_secs(20), || self.child.try_wait().expect("its state is known"));
        let heard = self.heard();
        mend(&heard);
        heard
    }
}

/// It counts the header as sound.
fn mend(wav: &Path) {
    const HEADER: usize = 44;
    let mut bytes = fs::read(wav).expect("a recording");
    let sound = u32::try_from(bytes.len().saturating_sub(HEADER)).expect("a short one");
    bytes[4..8].copy_from_slice(&(sound + 36).to_le_bytes());
    bytes[40..44].copy_from_slice(&sound.to_le_bytes());
    fs::write(wav, bytes).expect("written");
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
