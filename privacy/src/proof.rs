//! The signed proof of an erasure: what was destroyed and when, who confirmed it, and where the audit log
//! says so. It names the person by pseudonym only and holds nothing that was erased.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::chain::{Anchor, Digest, is_name};
use crate::keys::sign::find;
use crate::keys::{KeyId, PublicKey, Signature, Signer};
use crate::{SubjectId, TenantId, Time};

const LABEL: &str = "dauys erasure proof 1";
const VERSION: u32 = 1;
/// Longest document, in bytes: some hundred thousand keys.
pub const DOCUMENT_MAX: usize = 16 << 20;

/// What is claimed. Its fields are signed in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub version: u32,
    pub job: String,
    pub tenant: TenantId,
    pub subject: SubjectId,
    #[serde(with = "iso")]
    pub asked: Time,
    /// From here on nothing new was kept.
    #[serde(with = "iso")]
    pub frozen: Time,
    /// From here on nobody could read it, whatever copies there were.
    #[serde(with = "iso")]
    pub destroyed: Time,
    #[serde(with = "iso")]
    pub finished: Time,
    /// Keys that were destroyed.
    pub keys: Vec<KeyId>,
    /// Records that were deleted, by kind.
    pub deleted: Vec<Count>,
    /// Records that the law wants kept, by kind, and why.
    pub kept: Vec<Kept>,
    /// Connected systems that had received data, and what they answered.
    pub receipts: Vec<Receipt>,
    pub audit: Span,
    /// The version of the policy it was done under.
    pub policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub kind: String,
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub kind: String,
    pub count: u64,
    /// A word such as `evidence_of_consent`.
    pub why: String,
    #[serde(with = "iso")]
    pub until: Time,
}

/// What a connected system answered, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub destination: String,
    #[serde(with = "iso")]
    pub at: Time,
    pub hash: Digest,
}

/// The entries of the audit log that tell of it, and the log's hash at the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub first: u64,
    pub last: Anchor,
}

/// The document as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedProof {
    pub proof: Proof,
    pub key: KeyId,
    pub signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    #[error("no proof of erasure: give the JSON document as it was handed out")]
    NotADocument,
    #[error("signed with the key {0}: give that public key too, from a source other than the proof")]
    UnknownKey(KeyId),
    #[error("the signature is not of this proof: it was altered")]
    NotGenuine,
    #[error("of version {0}: verify it with the version of the software that knows it")]
    Version(u32),
    #[error("times go asked, frozen, destroyed, finished")]
    Times,
    #[error("job, kinds, reasons and destinations are names: small letters, digits, '.', '_' and '-', 64 at most")]
    Name,
    #[error("the entries of the audit log are counted from one, the first before the last")]
    Span,
    #[error("a key, a kind or a destination is there twice")]
    Twice,
}

impl Proof {
    /// The version that is signed now.
    pub const VERSION: u32 = VERSION;

    /// # Errors
    /// Where it claims what cannot be.
    pub fn sign(self, signer: &Signer) -> Result<SignedProof, BadProof> {
        let message = self.message()?;
        let signature = signer.sign(LABEL, &message);
        Ok(SignedProof { proof: self, key: signer.public().id(), signature })
    }

    /// The hash of what is claimed, by which the audit log can name it.
    ///
    /// # Errors
    /// Where it claims what cannot be.
    pub fn hash(&self) -> Result<Digest, BadProof> {
        self.message().map(|message| Digest(Sha256::digest(message).into()))
    }

    /// JSON without spaces. There is no map in it, so the text follows from the values.
    fn message(&self) -> Result<Vec<u8>, BadProof> {
        self.check()?;
        serde_json::to_vec(self).map_err(|_| BadProof::Times)
    }

    fn check(&self) -> Result<(), BadProof> {
        if self.version != VERSION {
            return Err(BadProof::Version(self.version));
        }
        let times = [self.asked, self.frozen, self.destroyed, self.finished];
        if !times.is_sorted() || self.receipts.iter().any(|r| r.at < self.frozen || r.at > self.finished) {
            return Err(BadProof::Times);
        }
        let kept = self.kept.iter().flat_map(|k| [&k.kind, &k.why]);
        let names = [&self.job, &self.policy].into_iter().chain(kept);
        let names = names.chain(self.deleted.iter().map(|c| &c.kind));
        if !names.chain(self.receipts.iter().map(|r| &r.destination)).all(|name| is_name(name)) {
            return Err(BadProof::Name);
        }
        if self.audit.first == 0 || self.audit.first > self.audit.last.seq {
            return Err(BadProof::Span);
        }
        let once = no_two(self.keys.iter())
            && no_two(self.deleted.iter().map(|c| &c.kind))
            && no_two(self.kept.iter().map(|k| &k.kind))
            && no_two(self.receipts.iter().map(|r| &r.destination));
        if once { Ok(()) } else { Err(BadProof::Twice) }
    }
}

fn no_two<T: Ord>(all: impl Iterator<Item = T>) -> bool {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.is_sorted_by(|a, b| a < b)
}

impl SignedProof {
    /// The text to hand out. Spaces and line breaks in it may change, nothing else.
    ///
    /// # Errors
    /// Where it claims what cannot be.
    pub fn document(&self) -> Result<String, BadProof> {
        self.proof.check()?;
        let mut text = serde_json::to_string_pretty(self).map_err(|_| BadProof::Times)?;
        text.push('\n');
        Ok(text)
    }
}

/// Reads a document and gives what is proven. Its [`Span::last`] can be held against the audit log with
/// [`crate::chain::Known::with`].
///
/// # Errors
/// Where it is no such document, or not signed with one of `keys`.
pub fn verify_proof(document: &[u8], keys: &[PublicKey]) -> Result<Proof, BadProof> {
    if document.len() > DOCUMENT_MAX {
        return Err(BadProof::NotADocument);
    }
    let signed: SignedProof = serde_json::from_slice(document).map_err(|_| BadProof::NotADocument)?;
    let key = find(keys, signed.key).ok_or(BadProof::UnknownKey(signed.key))?;
    let message = signed.proof.message()?;
    if key.verify(LABEL, &message, &signed.signature) { Ok(signed.proof) } else { Err(BadProof::NotGenuine) }
}

/// For serde: a time as people read it, in UTC, to the millisecond.
mod iso {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use crate::Time;

    pub fn serialize<S: Serializer>(time: &Time, s: S) -> Result<S::Ok, S::Error> {
        let at = Timestamp::from_millisecond(time.0).map_err(|_| ser::Error::custom("a time beyond the calendar"))?;
        s.collect_str(&at)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        let wrong = || de::Error::custom("a time such as 2026-01-31T12:00:00Z belongs here");
        let text = String::deserialize(d)?;
        let at: Timestamp = text.parse().map_err(|_| wrong())?;
        let time = Time(at.as_millisecond());
        // Only as it is written here: what is signed is what is read.
        let written = Timestamp::from_millisecond(time.0).is_ok_and(|ms| ms == at) && at.to_string() == text;
        written.then_some(time).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests;
