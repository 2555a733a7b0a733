//! Content that was handed over under a permit and waits to be sealed: the permit is gone by then, what it
//! allowed stands beside the content. It stores nothing and prints nothing.

use super::{Kind, PLAIN_MAX, Plain, SealError, Sealed, bound};
use crate::consent::Permit;
use crate::keys::{Nonce, Segment};
use crate::{CallId, EventId, Scope, SubjectId};

/// Only a permit makes one, and nothing can be taken out but sealed:
///
/// ```
/// use privacy::{consent::Permit, seal::{Kind, Owed, Plain}};
/// fn keep(permit: &Permit<'_>, words: Plain) -> Owed {
///     Owed::new(permit, Kind::Line, words)
/// }
/// ```
/// ```compile_fail
/// use privacy::{consent::Permit, seal::{Kind, Owed, Plain}};
/// fn keep(permit: Option<&Permit<'_>>, words: Plain) -> Owed {
///     Owed::new(permit, Kind::Line, words)
/// }
/// ```
/// ```compile_fail
/// fn read(owed: &privacy::seal::Owed) -> &[u8] {
///     owed.plain.as_bytes()
/// }
/// ```
pub struct Owed {
    call: CallId,
    subject: SubjectId,
    scope: Scope,
    event: EventId,
    kind: Kind,
    plain: Plain,
}

impl Owed {
    pub fn new(permit: &Permit<'_>, kind: Kind, plain: Plain) -> Self {
        let (call, subject, scope, event) = (permit.call(), permit.subject(), permit.scope().clone(), permit.event());
        Self { call, subject, scope, event, kind, plain }
    }

    pub fn call(&self) -> CallId {
        self.call
    }

    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The consent event that granted it.
    pub fn event(&self) -> EventId {
        self.event
    }

    /// Encrypts in the memory the content lies in, so that no plain copy stays behind.
    ///
    /// # Errors
    /// Where the key is not the one it was handed over for, or the content is too long; it is wiped then.
    pub fn seal(self, segment: &Segment<'_>, seq: u64, nonce: Nonce) -> Result<Sealed, SealError> {
        let Self { call, subject, scope, event, kind, plain: Plain(mut body) } = self;
        if (call, subject, &scope) != (segment.call, segment.subject, segment.scope) {
            return Err(SealError::OtherSegment);
        }
        if body.len() > PLAIN_MAX {
            return Err(SealError::TooLong(body.len()));
        }
        let key = segment.id;
        let mut row = Sealed { call, seq, scope, kind, event, key, nonce: nonce.bytes(), body: vec![] };
        let bound = bound(segment, &row);
        if !segment.key.encrypt(&nonce, &bound, &mut body) {
            return Err(SealError::TooLong(body.len()));
        }
        row.body = std::mem::take(&mut *body);
        Ok(row)
    }
}
