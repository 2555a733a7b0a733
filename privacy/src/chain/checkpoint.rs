//! Signed states of the audit log. It signs what the chain says and never looks into an entry.

use serde::{Deserialize, Serialize};

use super::verify::{Broken, BrokenHow};
use super::{Digest, LINE_MAX};
use crate::Time;
use crate::keys::sign::find;
use crate::keys::text::Fields;
use crate::keys::{KeyId, PublicKey, Signature, Signer};

const LABEL: &str = "dauys checkpoint 1";

/// The log up to an entry: its number, and the hash that stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    pub seq: u64,
    pub head: Digest,
}

/// A line of the file of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Counts the checkpoints from one, so that none can be taken from among them.
    pub number: u64,
    pub seq: u64,
    pub head: Digest,
    pub at: Time,
    pub key: KeyId,
    pub signature: Signature,
}

/// What the log has to agree with: checkpoints, and states that others were given, such as those in proofs.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// In order of their sequence numbers.
    pub(super) anchors: Vec<Anchor>,
    pub(super) last: Option<(u64, u64)>,
}

impl Checkpoint {
    pub(super) fn sign(signer: &Signer, number: u64, log: Anchor, at: Time) -> Self {
        let key = signer.public().id();
        let Anchor { seq, head } = log;
        let mut checkpoint = Self { number, seq, head, at, key, signature: Signature([0; 64]) };
        checkpoint.signature = signer.sign(LABEL, &checkpoint.message());
        checkpoint
    }

    /// As it is written, with the line's end.
    pub fn line(&self) -> String {
        let Self { number, seq, head, at, key, signature } = self;
        let at = at.0;
        format!(
            "{{\"number\":{number},\"seq\":{seq},\"head\":\"{head}\",\"at\":{at},\"key\":\"{key}\",\"signature\":\"{signature}\"}}\n"
        )
    }

    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        find(keys, self.key).is_some_and(|key| key.verify(LABEL, &self.message(), &self.signature))
    }

    fn message(&self) -> Vec<u8> {
        Fields::new("fields")
            .add(&self.number.to_be_bytes())
            .add(&self.seq.to_be_bytes())
            .add(&self.head.0)
            .add(&self.at.0.to_be_bytes())
            .add(&self.key.0)
            .finish()
    }
}

impl Known {
    /// Reads a file of checkpoints. A last line without an end was being written when the process died, and is
    /// left out.
    ///
    /// # Errors
    /// At the first checkpoint that is altered, missing, out of order or signed by nobody among `keys`.
    pub fn read(checkpoints: &[u8], keys: &[PublicKey]) -> Result<Self, Broken> {
        let mut known = Self::default();
        for line in checkpoints.split_inclusive(|b| *b == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let (number, seq) = known.last.unwrap_or((0, 0));
            let broken = Broken { seq: seq + 1, how: BrokenHow::Checkpoint { number: number + 1 } };
            let read = (text.len() <= LINE_MAX).then(|| serde_json::from_slice::<Checkpoint>(text).ok());
            let checkpoint = read.flatten().filter(|c| c.line().as_bytes() == line).ok_or(broken.clone())?;
            if checkpoint.number != number + 1 || checkpoint.seq < seq || !checkpoint.is_signed_by(keys) {
                return Err(broken);
            }
            known.last = Some((checkpoint.number, checkpoint.seq));
            known.anchors.push(Anchor { seq: checkpoint.seq, head: checkpoint.head });
        }
        Ok(known)
    }

    /// A state of the log that is known from elsewhere, such as a proof that was handed out.
    #[must_use]
    pub fn with(mut self, anchor: Anchor) -> Self {
        let place = self.anchors.partition_point(|known| known.seq <= anchor.seq);
        self.anchors.insert(place, anchor);
        self
    }
}
