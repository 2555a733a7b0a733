//! The audit log: who did what to which records and why, one line each, every line bound to the one before
//! by a hash, and signed from time to time. It never holds content, numbers or addresses, and it writes no
//! file: lines go out as text.

mod checkpoint;
mod entry;
mod verify;

use sha2::{Digest as _, Sha256};

pub use checkpoint::{Anchor, Checkpoint, Known};
pub(crate) use entry::is_name;
pub use entry::{Action, BadEntry, Entry, Object};
pub use verify::{Broken, BrokenHow, Summary, Verifier, verify};

use crate::keys::text::{Fields, hex_type};
use crate::keys::{PublicKey, Signer};
use crate::{CallId, SubjectId, Time};

/// Longest line, in bytes.
pub const LINE_MAX: usize = 16 * 1024;

hex_type! {
    /// A SHA-256.
    Digest, 32, "hash"
}

/// The end of the log, to which entries are put. Lines have to be written in the order they come and synced
/// before what they tell of is done; where that fails, the chain is made anew by [`Chain::resume`].
pub struct Chain {
    signer: Signer,
    /// A checkpoint after so many entries.
    every: u64,
    seq: u64,
    head: Digest,
    checkpoints: u64,
    signed_seq: u64,
}

/// An entry as it is to be written.
pub struct Appended {
    pub seq: u64,
    /// One line of JSON and its end.
    pub line: String,
    /// Where one is due: to be written to a file of its own once the line is, and kept elsewhere too. What is
    /// cut off behind the last checkpoint that somebody else has leaves no trace.
    pub checkpoint: Option<Checkpoint>,
    /// Where the entry says that content is read: the right to open it, for when the line is written.
    pub access: Option<Access>,
}

/// The right to open the content of those whom an entry in the log names. Nobody can make one without an
/// entry:
///
/// ```compile_fail
/// let access = privacy::chain::Access { objects: vec![] };
/// ```
#[derive(Debug)]
pub struct Access {
    objects: Vec<Object>,
}

impl Access {
    pub(crate) fn covers(&self, call: CallId, subject: SubjectId) -> bool {
        self.objects.iter().any(|object| *object == Object::call(call) || *object == Object::subject(subject))
    }
}

impl Chain {
    /// An empty log. `every`: how many entries a checkpoint may be away, one at least.
    pub fn new(signer: Signer, every: u64) -> Self {
        Self { signer, every: every.max(1), seq: 0, head: Digest([0; 32]), checkpoints: 0, signed_seq: 0 }
    }

    /// Goes on behind a log that was verified.
    pub fn resume(signer: Signer, every: u64, log: &Summary) -> Self {
        let (checkpoints, signed_seq) = log.checkpoint.unwrap_or_default();
        Self { seq: log.entries, head: log.head, checkpoints, signed_seq, ..Self::new(signer, every) }
    }

    /// The sequence number of the last entry and its hash, for a proof.
    pub fn anchor(&self) -> Anchor {
        Anchor { seq: self.seq, head: self.head }
    }

    pub fn public(&self) -> PublicKey {
        self.signer.public()
    }

    /// # Errors
    /// Where the entry says too little, too much, or what must not stand in a log that nobody can erase.
    /// The chain stays as it was.
    pub fn append(&mut self, entry: Entry) -> Result<Appended, BadEntry> {
        let seq = self.seq + 1;
        let (line, head) = entry.line(seq, self.head)?;
        (self.seq, self.head) = (seq, head);
        let due = seq - self.signed_seq >= self.every;
        let checkpoint = due.then(|| self.checkpoint(entry.at));
        let access = entry.action.reads_content().then_some(Access { objects: entry.objects });
        Ok(Appended { seq, line, checkpoint, access })
    }

    /// Signs the log as it is now.
    pub fn checkpoint(&mut self, at: Time) -> Checkpoint {
        self.checkpoints += 1;
        self.signed_seq = self.seq;
        Checkpoint::sign(&self.signer, self.checkpoints, self.anchor(), at)
    }
}

/// The hash of a line is over all that stands before it, and that holds the hash of the line before.
fn hash(before: &[u8]) -> Digest {
    Digest(Sha256::digest(Fields::new("dauys audit 1").add(before).finish()).into())
}

#[cfg(test)]
mod tests;
