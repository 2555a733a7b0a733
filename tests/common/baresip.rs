//! A baresip under remote control (its ctrl_tcp module: netstrings of JSON), for tests. It asserts nothing by itself.
#![allow(dead_code)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// One whose next port is free too, and both for UDP.
fn free_pair() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let both = |first: &u16| is_free(*first) && first.checked_add(1).is_some_and(is_free);
    (0..100).map(|_| free_port()).find(both).expect("two ports in a row")
}

pub struct Baresip {
    child: Child,
    control: TcpStream,
    unread: Vec<u8>,
    /// Events read so far that nobody waited for.
    events: Vec<Value>,
    pub dir: PathBuf,
    /// Its SIP port; the next one is TLS.
    pub sip: u16,
}

impl Baresip {
    /// `account` is a line of its accounts file; `more` is appended to its config. Its own resampling is poor: give
    /// wideband codecs a file of 16 kHz.
    pub fn start(dir: &Path, play: &Path, account: &str, more: &str) -> Self {
        // Others may take a free port before it does; it then ends, or never listens.
        let started = (0..3).find_map(|_| Self::try_start(dir, play, account, more));
        started.unwrap_or_else(|| {
            panic!("baresip does not start: {}", fs::read_to_string(dir.join("log")).unwrap_or_default())
        })
    }

    fn try_start(dir: &Path, play: &Path, account: &str, more: &str) -> Option<Self> {
        fs::create_dir_all(dir).expect("a folder");
        let (sip, control) = (free_pair(), free_port());
        let rate = super::read_wav(play).0;
        let config = format!(
            "sip_listen 127.0.0.1:{sip}\nnet_interface 127.0.0.1\nmodule_path /usr/lib/baresip/modules\n\
             audio_source aufile,{play}\naudio_player aufile,{dir}/out.wav\naudio_alert aufile,{dir}/alert.wav\n\
             ausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\nsnd_path {dir}\n\
             call_max_calls 4\nctrl_tcp_listen 127.0.0.1:{control}\n{more}\n\
             module g711.so\nmodule aufile.so\nmodule sndfile.so\n\
             module_app account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n",
            play = play.display(),
            dir = dir.display(),
        );
        fs::write(dir.join("config"), config).expect("written");
        fs::write(dir.join("accounts"), format!("{account}\n")).expect("written");
        let log = fs::File::create(dir.join("log")).expect("a log");
        let mut child = Command::new("baresip")
            .args(["-f", dir.to_str().expect("UTF-8")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("scripts/setup.sh test installs baresip");
        let until = Instant::now() + Duration::from_secs(20);
        let control = loop {
            if let Ok(control) = TcpStream::connect(("127.0.0.1", control)) {
                break control;
            }
            if Instant::now() > until || child.try_wait().ok().flatten().is_some() {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        control.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        Some(Self { child, control, unread: vec![], events: vec![], dir: dir.to_owned(), sip })
    }

    /// `dial`, `hangup`, `hold`, `resume`, `sndcode`, `transfer`, `accept` ...
    pub fn run(&mut self, command: &str, params: &str) {
        let message = json!({ "command": command, "params": params, "token": "t" }).to_string();
        let netstring = format!("{}:{message},", message.len());
        self.control.write_all(netstring.as_bytes()).expect("baresip listens");
    }

    /// The next event of this type (`CALL_ESTABLISHED`, `CALL_CLOSED`, `REGISTER_OK`, `CALL_INCOMING` ...).
    pub fn event(&mut self, kind: &str, patience: Duration) -> Value {
        let started = Instant::now();
        loop {
            self.read();
            if let Some(at) = self.events.iter().position(|e| e["type"] == kind) {
                return self.events.drain(..=at).next_back().expect("it is there");
            }
            assert!(started.elapsed() < patience, "baresip said no {kind} but {:#?}\n{}", self.events, self.log());
        }
    }

    /// An established call to `target`.
    pub fn call(&mut self, target: &str) {
        self.run("dial", target);
        self.event("CALL_ESTABLISHED", Duration::from_secs(20));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What it heard, the longest recording: baresip writes one a call.
    pub fn heard(&self) -> Option<PathBuf> {
        let files = fs::read_dir(&self.dir).expect("readable").flatten().map(|e| e.path());
        files
            .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with("-dec.wav")))
            .max_by_key(|p| p.metadata().map_or(0, |m| m.len()))
    }

    fn read(&mut self) {
        let mut bytes = [0; 4096];
        // Nothing to read within the timeout is an error of its own kind; the caller asks again.
        if let Ok(len) = self.control.read(&mut bytes) {
            self.unread.extend_from_slice(&bytes[..len]);
        }
        while let Some(colon) = self.unread.iter().position(|b| *b == b':') {
            let digits = String::from_utf8_lossy(&self.unread[..colon]).into_owned();
            let len: usize = digits.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a netstring");
            if self.unread.len() < colon + len + 2 {
                return;
            }
            let text = &self.unread[colon + 1..colon + 1 + len];
            let message: Value = serde_json::from_slice(text).unwrap_or_default();
            self.unread.drain(..colon + len + 2);
            if message["event"] == true {
                self.events.push(message);
            }
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // A polite end writes the recordings' headers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
