//! Whether a log is what was written: it finds the first entry that is altered, missing, moved or cut off.
//! It never repairs anything itself.

use super::checkpoint::{Anchor, Known};
use super::entry::{AFTER_HASH, BEFORE_HASH, Body};
use super::{Digest, LINE_MAX, hash};
use crate::keys::text::hex;

/// What a whole log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub entries: u64,
    pub head: Digest,
    /// Number and entry of the last checkpoint.
    pub checkpoint: Option<(u64, u64)>,
    /// Entries behind the last state that is known from a checkpoint or a proof. Cutting those off would not
    /// be seen.
    pub unsigned: u64,
}

/// The first entry that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq}: {how}")]
pub struct Broken {
    pub seq: u64,
    pub how: BrokenHow,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHow {
    #[error("altered: its hash is another. Compare it with a backup")]
    Altered,
    #[error("rewritten: the entry behind it was bound to another one. Compare it with a backup")]
    Rewritten,
    #[error("missing: entry {found} stands in its place. Compare with a backup")]
    Missing { found: u64 },
    #[error("moved: entry {found} stands in its place, and it comes later. Compare with a backup")]
    Moved { found: u64 },
    #[error("cut off: entry {signed} was signed or proven. Compare with a backup")]
    CutOff { signed: u64 },
    #[error("rewritten up to entry {signed}: the hash that was signed there is another. Compare with a backup")]
    NotAsSigned { signed: u64 },
    #[error("checkpoint {number} is altered, missing or signed by an unknown key. Compare with a backup")]
    Checkpoint { number: u64 },
    #[error("half written when the process ended: cut the file to {keep_bytes} bytes and go on")]
    Torn { keep_bytes: u64 },
}

impl Broken {
    /// Where the log is only torn: how many bytes of it to keep. Then it verifies.
    pub fn repair(&self) -> Option<u64> {
        match self.how {
            BrokenHow::Torn { keep_bytes } => Some(keep_bytes),
            _ => None,
        }
    }
}

/// Verifies a log that lies in memory.
///
/// # Errors
/// With the first entry that is not what was written.
pub fn verify(log: &[u8], known: Known) -> Result<Summary, Broken> {
    let mut verifier = Verifier::new(known);
    let whole = log.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    log[..whole].split_inclusive(|b| *b == b'\n').for_each(|line| verifier.line(line));
    verifier.finish(&log[whole..])
}

/// Verifies a log line by line, in little memory. Every line may come with or without its end.
pub struct Verifier {
    known: Known,
    /// The next anchor to meet.
    next: usize,
    /// The last entry that an anchor vouches for.
    vouched: u64,
    seq: u64,
    head: Digest,
    bytes: u64,
    broken: Option<Broken>,
}

impl Verifier {
    pub fn new(known: Known) -> Self {
        let mut new = Self { known, next: 0, vouched: 0, seq: 0, head: Digest([0; 32]), bytes: 0, broken: None };
        new.meet_anchors();
        new
    }

    pub fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let entry = read(line);
        if let Some(broken) = &mut self.broken {
            // Only one question is left: whether what is missing comes later.
            if let (BrokenHow::Missing { found }, Some(entry)) = (&broken.how, entry)
                && entry.body.seq == broken.seq
            {
                broken.how = BrokenHow::Moved { found: *found };
            }
            return;
        }
        let expected = self.seq + 1;
        let how = match entry {
            None => BrokenHow::Altered,
            Some(entry) if entry.body.seq != expected => BrokenHow::Missing { found: entry.body.seq },
            Some(entry) if entry.body.prev != self.head => {
                let seq = self.seq.max(1);
                self.broken = Some(Broken { seq, how: BrokenHow::Rewritten });
                return;
            }
            Some(entry) => {
                self.seq = expected;
                self.head = entry.hash;
                self.bytes += line.len() as u64 + 1;
                return self.meet_anchors();
            }
        };
        self.broken = Some(Broken { seq: expected, how });
    }

    /// `tail`: what stands behind the last line's end; empty where the log is whole.
    ///
    /// # Errors
    /// With the first entry that is not what was written.
    pub fn finish(mut self, tail: &[u8]) -> Result<Summary, Broken> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let seq = self.seq + 1;
        if !tail.is_empty() && !could_be_begun(tail, seq) {
            return Err(Broken { seq, how: BrokenHow::Altered });
        }
        if let Some(anchor) = self.known.anchors.get(self.next) {
            return Err(Broken { seq, how: BrokenHow::CutOff { signed: anchor.seq } });
        }
        if !tail.is_empty() {
            return Err(Broken { seq, how: BrokenHow::Torn { keep_bytes: self.bytes } });
        }
        let unsigned = self.seq - self.vouched;
        Ok(Summary { entries: self.seq, head: self.head, checkpoint: self.known.last, unsigned })
    }

    fn meet_anchors(&mut self) {
        while let Some(Anchor { seq, head }) = self.known.anchors.get(self.next)
            && *seq == self.seq
        {
            if *head != self.head {
                let how = BrokenHow::NotAsSigned { signed: *seq };
                self.broken = Some(Broken { seq: (self.vouched + 1).min(*seq), how });
                return;
            }
            self.vouched = *seq;
            self.next += 1;
        }
    }
}

struct Read {
    body: Body<String>,
    hash: Digest,
}

/// An entry that agrees with its own hash.
fn read(line: &[u8]) -> Option<Read> {
    let digits = 2 * size_of::<Digest>();
    let len = line.len().checked_sub(BEFORE_HASH.len() + digits + AFTER_HASH.len())?;
    if line.len() >= LINE_MAX {
        return None;
    }
    let (before, behind) = line.split_at(len);
    let hash = hash(before);
    if behind != format!("{BEFORE_HASH}{}{AFTER_HASH}", hex(&hash.0)).as_bytes() {
        return None;
    }
    let body = serde_json::from_slice::<Body<String>>(line).ok()?;
    (body.hash == Some(hash)).then_some(Read { body, hash })
}

/// Whether these bytes can be the beginning of this entry, as a process that was ended leaves it: no more than
/// the line, and nothing in it that a line cannot have. A file system may have put zeros behind.
fn could_be_begun(tail: &[u8], seq: u64) -> bool {
    let zeros = tail.iter().rev().take_while(|b| **b == 0).count();
    let tail = &tail[..tail.len() - zeros];
    let start = format!("{{\"seq\":{seq},\"at\":");
    let fits = tail.starts_with(start.as_bytes()) || start.as_bytes().starts_with(tail);
    let closed = read(&tail[..tail.len().saturating_sub(1)]).is_some();
    fits && !closed && tail.len() < LINE_MAX && !tail.iter().any(u8::is_ascii_control)
}
