//! What is kept of a call, sealed under the key of its segment and bound to its place: the tenant, the call,
//! the line, the scope and the consent that allowed it. It stores nothing and prints nothing.

mod owed;

use zeroize::Zeroizing;

use crate::chain::Access;
use crate::consent::Permit;
use crate::keys::text::Fields;
use crate::keys::{KeyId, Nonce, Segment};
use crate::{CallId, EventId, Scope};

pub use owed::Owed;

/// Longest content of one row, in bytes: a turn of words, or some minutes of Opus.
pub const PLAIN_MAX: usize = 1 << 20;

/// Content that can be read. Wiped when it goes.
///
/// It cannot be printed:
/// ```compile_fail
/// println!("{:?}", privacy::seal::Plain::text("hello".into()));
/// ```
/// nor copied:
/// ```compile_fail
/// let plain = privacy::seal::Plain::text("hello".into());
/// let copy = plain.clone();
/// ```
pub struct Plain(Zeroizing<Vec<u8>>);

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was said in one turn.
    Line,
    /// A stretch of one leg's sound.
    Sound,
    /// What a form or a tool noted.
    Note,
}

/// A row as it is stored. It opens only with the key it names, and only where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub call: CallId,
    /// Counts the rows of one call, scope and kind.
    pub seq: u64,
    pub scope: Scope,
    pub kind: Kind,
    /// The consent that allowed it.
    pub event: EventId,
    pub key: KeyId,
    pub nonce: [u8; 12],
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the permit is for another call, subject or scope than the key: ask the keyring for the permit's own")]
    OtherSegment,
    #[error("{0} bytes are too many for a row: divide it, {PLAIN_MAX} at most")]
    TooLong(usize),
    #[error("the row was altered, moved or sealed under another key: it cannot be opened here")]
    NotGenuine,
    #[error("reading it was not logged: append who reads this call, and why, to the audit log first")]
    NotLogged,
}

impl Plain {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None` where it is no UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Kind {
    /// A stable word for a column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Sound => "sound",
            Self::Note => "note",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Line, Self::Sound, Self::Note].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Encrypts in the memory the content lies in, so that no plain copy stays behind. Without a permit there is
/// nothing to call it with:
///
/// ```
/// use privacy::{consent::Permit, keys::{Nonce, Segment}, seal::{self, Kind, Plain, SealError, Sealed}};
/// fn keep(permit: &Permit<'_>, key: &Segment<'_>, words: Plain, nonce: Nonce) -> Result<Sealed, SealError> {
///     seal::seal(permit, key, Kind::Line, 1, words, nonce)
/// }
/// ```
/// ```compile_fail
/// use privacy::{consent::Permit, keys::{Nonce, Segment}, seal::{self, Kind, Plain, SealError, Sealed}};
/// fn keep(permit: Option<Permit<'_>>, key: &Segment<'_>, words: Plain, nonce: Nonce) -> Result<Sealed, SealError> {
///     seal::seal(permit.as_ref(), key, Kind::Line, 1, words, nonce)
/// }
/// ```
/// and a nonce seals once:
/// ```compile_fail
/// use privacy::{consent::Permit, keys::{Nonce, Segment}, seal::{self, Kind, Plain}};
/// fn keep(permit: &Permit<'_>, key: &Segment<'_>, nonce: Nonce) {
///     let _ = seal::seal(permit, key, Kind::Line, 1, Plain::text("a".into()), nonce);
///     let _ = seal::seal(permit, key, Kind::Line, 2, Plain::text("b".into()), nonce);
/// }
/// ```
///
/// # Errors
/// Where the key is not the permit's, or the content is too long; it is wiped then.
pub fn seal(
    permit: &Permit<'_>,
    segment: &Segment<'_>,
    kind: Kind,
    seq: u64,
    plain: Plain,
    nonce: Nonce,
) -> Result<Sealed, SealError> {
    Owed::new(permit, kind, plain).seal(segment, seq, nonce)
}

/// Opens a row for somebody whose reading is in the audit log.
///
/// # Errors
/// Where it is not logged, or the row does not belong where it is.
pub fn open(access: &Access, segment: &Segment<'_>, row: &Sealed) -> Result<Plain, SealError> {
    if !access.covers(segment.call, segment.subject) {
        return Err(SealError::NotLogged);
    }
    if row.key != segment.id || row.call != segment.call || row.scope != *segment.scope {
        return Err(SealError::NotGenuine);
    }
    let mut body = Zeroizing::new(row.body.clone());
    if segment.key.decrypt(&row.nonce, &bound(segment, row), &mut body) {
        Ok(Plain(body))
    } else {
        Err(SealError::NotGenuine)
    }
}

fn bound(segment: &Segment<'_>, row: &Sealed) -> Vec<u8> {
    Fields::new("dauys content 1")
        .add(segment.tenant.as_str().as_bytes())
        .add(&segment.subject.0)
        .add(&row.call.0.to_be_bytes())
        .add(&row.seq.to_be_bytes())
        .add(row.scope.to_string().as_bytes())
        .add(row.kind.as_str().as_bytes())
        .add(&row.event.0)
        .add(&row.key.0)
        .finish()
}

#[cfg(test)]
mod tests;
