//! Keys in envelopes: key-encryption key -> tenant -> subject -> segment, each kept only wrapped by the
//! one above. Destroying a subject's key makes all that was sealed below it unreadable, wherever copies
//! lie. Nothing here reads a file, makes randomness or prints a key.

mod identifier;
mod ring;
pub(crate) mod sign;
mod source;
pub(crate) mod text;

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

pub use identifier::{Identifier, NotAnIdentifier, Plan};
pub use ring::{Fresh, Keyring, Segment};
pub use sign::{PublicKey, Signature, Signer};
pub use source::{BadSource, KeySource};

use crate::{CallId, Scope, SubjectId, TenantId, Time};
use text::{Fields, hex_type};

const TAG_LEN: usize = 16;
/// A wrapped key: the key and its tag.
const WRAPPED_LEN: usize = 32 + TAG_LEN;

hex_type! {
    /// Names a key and tells nothing of it. Random for the keys that are made, a fingerprint for those
    /// that are given.
    KeyId, 16, "key"
}

/// 32 secret bytes, on the heap so that moving it leaves no copy, and wiped when it goes.
///
/// It cannot be copied:
/// ```compile_fail
/// let key = privacy::keys::Key::take(&mut [7; 32]);
/// let copy = key.clone();
/// ```
/// nor printed:
/// ```compile_fail
/// let key = privacy::keys::Key::take(&mut [7; 32]);
/// println!("{key:?}");
/// ```
pub struct Key(Box<Zeroizing<[u8; 32]>>);

/// Twelve random bytes, good for one encryption: it is used up by it.
///
/// ```compile_fail
/// let nonce = privacy::keys::Nonce::new([7; 12]);
/// let again = nonce.clone();
/// ```
pub struct Nonce([u8; 12]);

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Wraps the tenant's other keys. A rotation makes the next generation.
    Tenant { generation: u32 },
    /// Makes pseudonyms of identifiers; it stays the same for as long as the tenant is here.
    Index,
    /// The seed that signs checkpoints and proofs.
    Signing,
    /// Wraps the segment keys of one subject.
    Subject(SubjectId),
    /// Seals what is kept of one call under one scope.
    Segment { subject: SubjectId, call: CallId, scope: Scope },
}

/// A row of the keystore: a key that opens only with the one above it, and only in this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    pub id: KeyId,
    pub tenant: TenantId,
    pub what: What,
    /// The key that wraps it.
    pub parent: KeyId,
    /// How often it has been wrapped.
    pub version: u32,
    pub made: Time,
    #[serde(with = "text::hex_array")]
    pub nonce: [u8; 12],
    #[serde(with = "text::hex_array")]
    pub body: [u8; WRAPPED_LEN],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no key is held for {0}: add its row from the keystore, or make it where there is none")]
    Unknown(What),
    #[error("the key above it, {0}, is not held: add that row of the keystore first")]
    NoParent(KeyId),
    #[error("wrapped under the key-encryption key {0}, which was not given: give it as a retired one")]
    OtherKek(KeyId),
    #[error("the row was altered or belongs elsewhere: restore it from the keystore's backup")]
    NotGenuine,
    #[error("{0} was destroyed: drop this copy of its row")]
    Destroyed(KeyId),
    #[error("{0} is there already: use that one")]
    Exists(KeyId),
    #[error("the next generation of the tenant's key is {0}: make that one")]
    Generation(u32),
    #[error("{0} keys that cannot be forgotten are held, which is the most: drop retired ones")]
    Full(usize),
}

impl Key {
    /// Takes the bytes and wipes the place they came from.
    pub fn take(from: &mut [u8; 32]) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        key.0.copy_from_slice(from);
        from.zeroize();
        key
    }

    /// Tells two keys apart without telling anything of them: they are random, so it cannot be guessed.
    pub fn fingerprint(&self) -> KeyId {
        let mut id = KeyId([0; 16]);
        let whole = Sha256::new().chain_update(b"dauys key fingerprint 1").chain_update(self.bytes()).finalize();
        id.0.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Encrypts in place and puts the tag behind. The body is never longer than memory allows, so the
    /// cipher's own limit (64 GiB) is the only way to fail; the body is plain then.
    pub(crate) fn encrypt(&self, nonce: &Nonce, bound: &[u8], body: &mut Vec<u8>) -> bool {
        let cipher = Aes256Gcm::new(self.bytes().into());
        match cipher.encrypt_inout_detached((&nonce.0).into(), bound, body.as_mut_slice().into()) {
            Ok(tag) => {
                body.extend_from_slice(&tag);
                true
            }
            Err(_) => false,
        }
    }

    /// Decrypts in place and takes the tag off. What is not genuine stays as it was.
    pub(crate) fn decrypt(&self, nonce: &[u8; 12], bound: &[u8], body: &mut Vec<u8>) -> bool {
        let Some(len) = body.len().checked_sub(TAG_LEN) else { return false };
        let (secret, tag) = body.split_at_mut(len);
        let Ok(tag) = (&*tag).try_into() else { return false };
        let cipher = Aes256Gcm::new(self.bytes().into());
        let genuine = cipher.decrypt_inout_detached(nonce.into(), bound, secret.into(), tag).is_ok();
        if genuine {
            body.truncate(len);
        }
        genuine
    }
}

impl Nonce {
    pub fn new(random: [u8; 12]) -> Self {
        Self(random)
    }

    pub(crate) fn bytes(&self) -> [u8; 12] {
        self.0
    }
}

/// Everything of a row but its body. What is bound to the key cannot be altered, nor the key moved.
pub(crate) struct Place<'a> {
    pub id: KeyId,
    pub tenant: &'a TenantId,
    pub what: &'a What,
    pub parent: KeyId,
    pub version: u32,
    pub made: Time,
}

impl Place<'_> {
    fn bound(&self) -> Vec<u8> {
        Fields::new("dauys key 1")
            .add(self.tenant.as_str().as_bytes())
            .add(self.what.to_string().as_bytes())
            .add(&self.id.0)
            .add(&self.parent.0)
            .add(&self.version.to_be_bytes())
            .add(&self.made.0.to_be_bytes())
            .finish()
    }
}

impl WrappedKey {
    pub(crate) fn wrap(place: &Place<'_>, key: &Key, by: &Key, nonce: Nonce) -> Result<Self, KeyError> {
        let mut body = Zeroizing::new(Vec::with_capacity(WRAPPED_LEN));
        body.extend_from_slice(key.bytes());
        if !by.encrypt(&nonce, &place.bound(), &mut body) {
            return Err(KeyError::NotGenuine);
        }
        let Place { id, tenant, what, parent, version, made } = *place;
        let body = body.as_slice().try_into().map_err(|_| KeyError::NotGenuine)?;
        Ok(Self { id, tenant: tenant.clone(), what: what.clone(), parent, version, made, nonce: nonce.0, body })
    }

    pub(crate) fn unwrap_by(&self, by: &Key) -> Result<Key, KeyError> {
        let mut body = Zeroizing::new(self.body.to_vec());
        if !by.decrypt(&self.nonce, &self.place().bound(), &mut body) {
            return Err(KeyError::NotGenuine);
        }
        let mut key = Zeroizing::new([0; 32]);
        key.iter_mut().zip(body.iter()).for_each(|(to, from)| *to = *from);
        Ok(Key::take(&mut key))
    }

    fn place(&self) -> Place<'_> {
        let Self { id, tenant, what, parent, version, made, .. } = self;
        Place { id: *id, tenant, what, parent: *parent, version: *version, made: *made }
    }
}

impl What {
    /// Whose key it is, or whose it is below.
    pub fn subject(&self) -> Option<SubjectId> {
        match self {
            Self::Subject(subject) | Self::Segment { subject, .. } => Some(*subject),
            Self::Tenant { .. } | Self::Index | Self::Signing => None,
        }
    }

    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Segment { call, .. } => Some(*call),
            _ => None,
        }
    }
}

/// Also the stable word of a keystore's column.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { generation } => write!(f, "tenant:{generation}"),
            Self::Index => f.write_str("index"),
            Self::Signing => f.write_str("signing"),
            Self::Subject(subject) => write!(f, "subject:{subject}"),
            Self::Segment { subject, call, scope } => write!(f, "segment:{subject}:{call}:{scope}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no kind of key: tenant:N, index, signing, subject:ID or segment:ID:CALL:SCOPE")]
pub struct NotAKind;

impl FromStr for What {
    type Err = NotAKind;

    fn from_str(text: &str) -> Result<Self, NotAKind> {
        let read = match text.split_once(':') {
            None if text == "index" => Some(Self::Index),
            None if text == "signing" => Some(Self::Signing),
            Some(("tenant", n)) => n.parse().ok().map(|generation| Self::Tenant { generation }),
            Some(("subject", id)) => SubjectId::parse(id).ok().map(Self::Subject),
            Some(("segment", rest)) => segment(rest),
            _ => None,
        };
        // Only as it is written here: one key, one word.
        read.filter(|what| what.to_string() == text).ok_or(NotAKind)
    }
}

fn segment(text: &str) -> Option<What> {
    let (subject, rest) = text.split_once(':')?;
    let (call, scope) = rest.split_once(':')?;
    let subject = SubjectId::parse(subject).ok()?;
    Some(What::Segment { subject, call: CallId::parse(call)?, scope: scope.parse().ok()? })
}

impl Serialize for What {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for What {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
