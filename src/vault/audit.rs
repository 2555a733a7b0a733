//! The audit log on the disk: one line for each thing done, synced before it counts as done, with signed
//! checkpoints beside it. Several processes may append; a log that was altered is not gone on with.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::privacy::Time;
use ::privacy::chain::{
    Access, Action, Anchor, BadEntry, Broken, Chain, Entry, Known, LINE_MAX, Object, Summary, Verifier,
};
use ::privacy::keys::PublicKey;

use super::keys::{Keys, KeysError};

pub const LOG: &str = "audit.log";
pub const CHECKPOINTS: &str = "audit.checkpoints";
/// What verifies them; to be kept elsewhere too.
pub const PUBLIC: &str = "audit.pub.pem";
/// A checkpoint is at most so many entries away.
const EVERY: u64 = 64;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit log {path} cannot be written: {source}. Is the disk full, or the file another user's?")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "the audit log is not what was written: {0}. Move {LOG} and {CHECKPOINTS} to a safe place as evidence; then a new log begins"
    )]
    Broken(Broken),
    #[error("not logged, so not done: {0}")]
    Entry(#[from] BadEntry),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("the thread that writes the audit log is gone")]
    Gone,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Mutex<Log>>);

struct Log {
    dir: PathBuf,
    keys: Arc<Keys>,
    chain: Chain,
    log: File,
    checkpoints: File,
    /// As we left it; another length: somebody else wrote.
    bytes: u64,
    /// The same of the checkpoints: a process that ends signs what it did not write.
    marks: u64,
}

/// An entry that is on the disk.
pub struct Logged {
    pub seq: u64,
    /// Where it says that content is read: the right to.
    pub access: Option<Access>,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> AuditError {
    let path = path.to_path_buf();
    |source| AuditError::File { path, source }
}

/// Reads a whole log and its checkpoints from a folder and says what they hold.
///
/// # Errors
/// With the first entry that is not what was written, or where there is no log.
pub fn verify(dir: &Path, keys: &[PublicKey]) -> Result<Summary, AuditError> {
    let path = dir.join(LOG);
    let log = File::open(&path).map_err(failed(&path))?;
    // Whoever writes is let finish, and may go on then: what comes after is not looked at.
    log.lock_shared().map_err(failed(&path))?;
    let len = log.metadata().map(|m| m.len()).map_err(failed(&path))?;
    let marks = dir.join(CHECKPOINTS);
    let checkpoints = std::fs::read(&marks).map_err(failed(&marks))?;
    log.unlock().map_err(failed(&path))?;
    verify_files(log.take(len), &checkpoints, keys, &path)
}

fn verify_files(
    log: impl std::io::Read,
    checkpoints: &[u8],
    keys: &[PublicKey],
    path: &Path,
) -> Result<Summary, AuditError> {
    let mut verifier = Verifier::new(Known::read(checkpoints, keys).map_err(AuditError::Broken)?);
    let mut lines = BufReader::new(log);
    let mut line = Vec::with_capacity(LINE_MAX);
    loop {
        line.clear();
        // A line that is too long is read in parts, and found to be none.
        let bound = u64::try_from(LINE_MAX).unwrap_or(u64::MAX) + 1;
        let read = lines.by_ref().take(bound).read_until(b'\n', &mut line).map_err(failed(path))?;
        if read == 0 {
            return verifier.finish(&[]).map_err(AuditError::Broken);
        }
        if line.last() != Some(&b'\n') && read <= LINE_MAX {
            return verifier.finish(&line).map_err(AuditError::Broken);
        }
        verifier.line(&line);
    }
}

impl Audit {
    /// Opens the log of a folder, verifies it, and mends a last line that was being written when a process died.
    ///
    /// # Errors
    /// Where it cannot be written, or is not what was written.
    pub fn open(dir: &Path, keys: Arc<Keys>, now: Time) -> Result<Self, AuditError> {
        let open = |name: &str| {
            let path = dir.join(name);
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
            file.map_err(failed(&path))
        };
        let (log, checkpoints) = (open(LOG)?, open(CHECKPOINTS)?);
        // Synced lines of a file that is gone after a power cut would be no log.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
        log.lock().map_err(failed(&dir.join(LOG)))?;
        let mut opened = Log {
            dir: dir.into(),
            chain: Chain::new(keys.signer()?, EVERY),
            keys,
            log,
            checkpoints,
            bytes: 0,
            marks: 0,
        };
        // Of a log that does not fit our key the file with the key that it fits stays as evidence.
        let result = opened.go_on(now).and_then(|()| opened.publish());
        opened.unlock();
        result.map(|()| Self(Arc::new(Mutex::new(opened))))
    }

    /// Done once it is on the disk.
    ///
    /// # Errors
    /// Where it says what must not stand there, or cannot be written: what it tells of must not be done then.
    pub async fn log(&self, entry: Entry) -> Result<Logged, AuditError> {
        self.with(|log| log.append(entry)).await
    }

    /// Signs the log as it is.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn checkpoint(&self, at: Time) -> Result<(), AuditError> {
        self.with(move |log| log.locked(at, |log| log.sign(at))).await
    }

    /// The end of the log.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn anchor(&self) -> Result<Anchor, AuditError> {
        self.with(|log| Ok(log.chain.anchor())).await
    }

    /// The first entry that names this.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn first_of(&self, object: &Object) -> Result<Option<u64>, AuditError> {
        let name = format!("\"{}\"", object.as_str());
        self.with(move |log| {
            let path = log.dir.join(LOG);
            let lines = BufReader::new(File::open(&path).map_err(failed(&path))?).lines();
            for (seq, line) in (1..).zip(lines) {
                if line.map_err(failed(&path))?.contains(&name) {
                    return Ok(Some(seq));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The disk may be slow; the runtime's threads do not wait for it.
    async fn with<R: Send + 'static>(
        &self,
        then: impl FnOnce(&mut Log) -> Result<R, AuditError> + Send + 'static,
    ) -> Result<R, AuditError> {
        let log = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || then(&mut log.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(|_| AuditError::Gone)?
    }
}

impl Log {
    fn path(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    fn append(&mut self, entry: Entry) -> Result<Logged, AuditError> {
        self.locked(entry.at, |log| log.write(entry))
    }

    /// While another process may write too.
    fn locked<R>(&mut self, at: Time, then: impl FnOnce(&mut Self) -> Result<R, AuditError>) -> Result<R, AuditError> {
        self.log.lock().map_err(failed(&self.path()))?;
        let len = |file: &File, name| file.metadata().map(|m| m.len()).map_err(failed(&self.dir.join(name)));
        let lens = len(&self.log, LOG).and_then(|log| Ok((log, len(&self.checkpoints, CHECKPOINTS)?)));
        let done = lens.and_then(|lens| {
            if lens != (self.bytes, self.marks) {
                self.go_on(at)?;
            }
            then(self)
        });
        self.unlock();
        done
    }

    /// Behind what is there; where half a line was cut off, that is in the log itself.
    fn go_on(&mut self, at: Time) -> Result<(), AuditError> {
        if !self.resume()? {
            return Ok(());
        }
        let why = "a line that was half written when the process ended was cut off".into();
        let (actor, role) = ("gateway".into(), "service".into());
        self.write(Entry { at, actor, role, action: Action::LogRepaired, objects: vec![], why }).map(drop)
    }

    /// Writes what verifies the log beside it, whole or not at all.
    fn publish(&self) -> Result<(), AuditError> {
        let (path, pem) = (self.dir.join(PUBLIC), self.keys.public()?.to_pem());
        if std::fs::read(&path).is_ok_and(|there| there == pem.as_bytes()) {
            return Ok(());
        }
        let half = self.dir.join("audit.pub.half");
        std::fs::write(&half, pem).and_then(|()| std::fs::rename(&half, &path)).map_err(failed(&path))
    }

    /// A lock that cannot be given back goes with the file.
    fn unlock(&self) {
        if let Err(error) = self.log.unlock() {
            tracing::warn!(%error, "the audit log could not be unlocked");
        }
    }

    fn write(&mut self, entry: Entry) -> Result<Logged, AuditError> {
        let appended = self.chain.append(entry)?;
        let written = self.log.write_all(appended.line.as_bytes()).and_then(|()| self.log.sync_data());
        if let Err(source) = written {
            // The chain is ahead of the file now: the next one begins with what is really there.
            self.bytes = u64::MAX;
            return Err(AuditError::File { path: self.path(), source });
        }
        self.bytes += appended.line.len() as u64;
        if let Some(checkpoint) = &appended.checkpoint {
            self.put_checkpoint(&checkpoint.line())?;
        }
        metrics::counter!("dauys_audit_entries_total").increment(1);
        Ok(Logged { seq: appended.seq, access: appended.access })
    }

    fn sign(&mut self, at: Time) -> Result<(), AuditError> {
        let line = self.chain.checkpoint(at).line();
        self.put_checkpoint(&line)
    }

    fn put_checkpoint(&mut self, line: &str) -> Result<(), AuditError> {
        let written = self.checkpoints.write_all(line.as_bytes()).and_then(|()| self.checkpoints.sync_data());
        if let Err(source) = written {
            self.bytes = u64::MAX;
            return Err(AuditError::File { path: self.dir.join(CHECKPOINTS), source });
        }
        self.marks += line.len() as u64;
        Ok(())
    }

    /// Reads what is there and goes on behind it. True: a half written line was cut off.
    fn resume(&mut self) -> Result<bool, AuditError> {
        let public = [self.keys.public()?];
        let marks = self.whole_checkpoints()?;
        let mut repaired = false;
        let summary = loop {
            self.log.seek(SeekFrom::Start(0)).map_err(failed(&self.path()))?;
            match verify_files(&self.log, &marks, &public, &self.path()) {
                Err(AuditError::Broken(broken)) if !repaired && broken.repair().is_some() => {
                    let keep = broken.repair().unwrap_or_default();
                    self.log.set_len(keep).and_then(|()| self.log.sync_all()).map_err(failed(&self.path()))?;
                    repaired = true;
                }
                other => break other?,
            }
        };
        self.chain = Chain::resume(self.keys.signer()?, EVERY, &summary);
        self.bytes = self.log.metadata().map(|m| m.len()).map_err(failed(&self.path()))?;
        self.marks = marks.len() as u64;
        Ok(repaired)
    }

    /// The file of checkpoints without a last line that was being written.
    fn whole_checkpoints(&mut self) -> Result<Vec<u8>, AuditError> {
        let path = self.dir.join(CHECKPOINTS);
        let mut marks = vec![];
        self.checkpoints.seek(SeekFrom::Start(0)).map_err(failed(&path))?;
        self.checkpoints.read_to_end(&mut marks).map_err(failed(&path))?;
        let whole = marks.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < marks.len() {
            self.checkpoints.set_len(whole as u64).map_err(failed(&path))?;
            marks.truncate(whole);
        }
        Ok(marks)
    }
}
