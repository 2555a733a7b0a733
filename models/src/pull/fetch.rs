//! The ways to the network: the machine's own pip, so that its configured index is honoured, and plain https. Fetches
//! to a given place only; a wheel is never installed and nothing in it is run.

use super::{Progress, PullError, Step};
use crate::manifest::Member;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often the size of a growing download is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);
const CONNECT_WITHIN: Duration = Duration::from_secs(8);
/// Without a byte for this long a connection is dead.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// The end of what pip says is what matters.
const SAID_BYTES_MAX: usize = 16 * 1024;

/// What a pull needs of the world.
pub(super) trait Fetch {
    /// Puts the member's wheel into `folder`.
    fn wheel(
        &mut self,
        member: &Member,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PullError>;

    /// Puts what the URL gives into the file `to`, at most `size` bytes.
    fn url(&mut self, url: &str, size: u64, to: &Path, progress: &mut dyn FnMut(Progress<'_>))
    -> Result<(), PullError>;
}

/// The real world.
pub(super) struct Network;

impl Fetch for Network {
    fn wheel(
        &mut self,
        member: &Member,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PullError> {
        let what = format!("{}=={}", member.package, member.version);
        let mut child = pip(&what, folder).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => PullError::NoPython,
            _ => PullError::io(folder, why),
        })?;
        let said = watch(&mut child, folder, member, progress);
        let status = child.wait().map_err(|why| PullError::io(folder, why))?;
        if status.success() { Ok(()) } else { Err(explain(what, folder, &said)) }
    }

    fn url(
        &mut self,
        url: &str,
        size: u64,
        to: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PullError> {
        let what = || url.to_owned();
        let unreachable = |why: &dyn std::fmt::Display| PullError::Unreachable { what: what(), why: why.to_string() };
        let client = reqwest::blocking::Client::builder().connect_timeout(CONNECT_WITHIN).timeout(None);
        let client = client.tcp_keepalive(SILENT_MAX).build().map_err(|error| unreachable(&error))?;
        let answer = client.get(url).send().map_err(|error| unreachable(&root_cause(&error)))?;
        if !answer.status().is_success() {
            return Err(PullError::NotFound { what: what(), why: answer.status().to_string() });
        }
        let mut out = File::create(to).map_err(|why| PullError::io(to, why))?;
        let mut answer = answer.take(size + 1);
        let mut buffer = vec![0u8; 1 << 16];
        let mut done = 0u64;
        loop {
            let read = answer.read(&mut buffer).map_err(|error| unreachable(&error))?;
            if read == 0 {
                break;
            }
            out.write_all(buffer.get(..read).unwrap_or_default()).map_err(|why| PullError::io(to, why))?;
            done += read as u64;
            progress(Progress { what: url, step: Step::Fetching, done_bytes: done, total_bytes: size });
        }
        Ok(())
    }
}

/// The innermost reason: "connection refused" helps, "error sending request" does not.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn pip(what: &str, folder: &Path) -> io::Result<Child> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]);
    command.args(["--disable-pip-version-check", "--progress-bar", "off"]);
    // What the models need, whatever Python runs pip: the newest of these that the package has.
    command.args(["--python-version", "3.11", "--implementation", "cp"]);
    command.args(["--platform", "manylinux_2_34_x86_64", "--platform", "manylinux_2_28_x86_64"]);
    command.arg("--dest").arg(folder).arg(what);
    // pip downloads to its temporary folder first; there the bytes can be seen to arrive.
    command.env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

/// Reports the growing folder until pip closes its error output, and returns the end of what it said there.
fn watch(child: &mut Child, folder: &Path, member: &Member, progress: &mut dyn FnMut(Progress<'_>)) -> String {
    let Some(errors) = child.stderr.take() else { return String::new() };
    let (done, ended) = sync_channel(1);
    let reader = std::thread::Builder::new().name("pip-errors".to_owned());
    let reader = reader.spawn(move || {
        let _ = done.send(last_words(errors));
    });
    if reader.is_err() {
        return String::new();
    }
    loop {
        match ended.recv_timeout(LOOK_EVERY) {
            Ok(said) => return said,
            Err(RecvTimeoutError::Disconnected) => return String::new(),
            Err(RecvTimeoutError::Timeout) => {
                let done_bytes = size_of_folder(folder, 4).min(member.wheel_size);
                let (what, step) = (member.package.as_str(), Step::Fetching);
                progress(Progress { what, step, done_bytes, total_bytes: member.wheel_size });
            }
        }
    }
}

fn last_words(mut input: impl Read) -> String {
    let mut said = Vec::new();
    let mut buffer = [0u8; 4096];
    while let Ok(read @ 1..) = input.read(&mut buffer) {
        said.extend_from_slice(buffer.get(..read).unwrap_or_default());
        said.drain(..said.len().saturating_sub(SAID_BYTES_MAX));
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn size_of_folder(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok()?;
        Some(if meta.is_dir() && depth > 0 { size_of_folder(&entry.path(), depth - 1) } else { meta.len() })
    };
    entries.filter_map(size).sum()
}

/// What pip's words mean for the person who reads them.
fn explain(what: String, folder: &Path, said: &str) -> PullError {
    let says = |text: &str| said.contains(text);
    let last = said.lines().rev().find(|line| line.contains("ERROR") || line.contains("error")).or(said.lines().last());
    let why = last.unwrap_or("pip gave no reason").trim().trim_start_matches("ERROR: ").to_owned();
    if says("No module named pip") {
        PullError::NoPip
    } else if says("No space left on device") || says("Disk quota exceeded") {
        PullError::DiskFull { dir: folder.to_owned() }
    } else if [
        "NewConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "ProxyError",
        "SSLError",
        "Network is unreachable",
    ]
    .into_iter()
    .any(says)
    {
        PullError::Unreachable { what, why }
    } else {
        PullError::NotFound { what, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_words_become_advice() {
        let check = |said: &str, want: &str| {
            let error = explain("a==1".to_owned(), Path::new("/models"), said).to_string();
            assert!(error.contains(want), "{said:?} became {error:?}");
        };
        check("/usr/bin/python3: No module named pip\n", "install python3-pip");
        check("ERROR: Could not install: [Errno 28] No space left on device: '/x'\n", "disk is full at /models");
        check(
            "WARNING: Retrying after NewConnectionError('...: Temporary failure in name resolution')\n\
             ERROR: Could not find a version that satisfies the requirement a==1\n",
            "check the network",
        );
        check("ERROR: No matching distribution found for a==1\n", "not in pip's index");
        check("", "pip gave no reason");
    }

    #[test]
    fn only_the_end_of_a_long_speech_is_kept() {
        let said = last_words("x".repeat(100_000).as_bytes());
        assert!(said.len() <= SAID_BYTES_MAX);
    }
}
