//! Who may read a record for what, as it stands. What is not allowed here is refused.

use serde::{Deserialize, Serialize};

use crate::retention::Kind;
use crate::{Scope, Scopes};

/// What a record is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Serving the subject: the call itself, and what follows from it.
    Service,
    /// Giving the subject what is theirs.
    Subject,
    /// Learning from it.
    Analytics,
    /// Showing that the rules were kept, to an authority or a court.
    Proof,
    /// Checking the staff.
    Oversight,
}

pub const PURPOSES: [Purpose; 5] =
    [Purpose::Service, Purpose::Subject, Purpose::Analytics, Purpose::Proof, Purpose::Oversight];

/// How a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    InUse,
    /// Use ended, or consent is gone: it is kept as evidence, and for nothing else.
    StorageOnly,
    /// The subject contests it (GDPR 18).
    Blocked,
    /// It is about to be erased.
    Frozen,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    #[error("{0} is storage only: it may be read to prove something or for its subject, and for nothing else")]
    StorageOnly(Kind),
    #[error("{0} is blocked at its subject's request: decide the claim first")]
    Blocked(Kind),
    #[error("{0} is being erased: nobody reads it any more")]
    Frozen(Kind),
    #[error("{0} is not there for this purpose: use it for what it was collected for")]
    OtherPurpose(Kind),
    #[error("{0} may be read for this only where '{1}' was granted: ask the subject")]
    NotGranted(Kind, Scope),
}

/// `granted` are the subject's scopes now.
///
/// # Errors
/// Where it may not be read for this.
pub fn may_read(kind: Kind, purpose: Purpose, standing: Standing, granted: &Scopes) -> Result<(), NotRead> {
    use Purpose::{Analytics, Oversight, Proof, Service, Subject};
    let evidence = matches!(purpose, Proof | Subject);
    match standing {
        Standing::StorageOnly if !evidence => return Err(NotRead::StorageOnly(kind)),
        Standing::Blocked if !evidence => return Err(NotRead::Blocked(kind)),
        Standing::Frozen if purpose != Proof => return Err(NotRead::Frozen(kind)),
        _ => {}
    }
    let allowed = match kind {
        Kind::Content | Kind::Recording => purpose != Oversight,
        Kind::Metadata => true,
        Kind::Consent => matches!(purpose, Service | Subject | Proof),
        Kind::Transfer | Kind::Register => matches!(purpose, Subject | Proof | Oversight),
        Kind::Audit => matches!(purpose, Proof | Oversight),
        // A key is used, and never read.
        Kind::Key => false,
        Kind::Program => matches!(purpose, Service | Oversight),
    };
    if !allowed {
        return Err(NotRead::OtherPurpose(kind));
    }
    let personal = matches!(kind, Kind::Content | Kind::Recording | Kind::Metadata);
    if purpose == Analytics && personal && !granted.contains(&Scope::Analytics) {
        return Err(NotRead::NotGranted(kind, Scope::Analytics));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::KINDS;

    fn read(kind: Kind, purpose: Purpose, standing: Standing) -> Result<(), NotRead> {
        may_read(kind, purpose, standing, &[Scope::Analytics].into())
    }

    #[test]
    fn a_consent_in_storage_only_is_read_as_evidence_and_for_nothing_else() {
        for purpose in PURPOSES {
            let expected = matches!(purpose, Purpose::Proof | Purpose::Subject);
            let got = read(Kind::Consent, purpose, Standing::StorageOnly);
            assert_eq!(got.is_ok(), expected, "{purpose:?}");
            if !expected {
                assert_eq!(got, Err(NotRead::StorageOnly(Kind::Consent)));
            }
        }
        assert!(read(Kind::Consent, Purpose::Service, Standing::InUse).is_ok());
        assert!(read(Kind::Consent, Purpose::Analytics, Standing::InUse).is_err());
    }

    #[test]
    fn a_stricter_standing_never_allows_more() {
        for kind in KINDS {
            for purpose in PURPOSES {
                let in_use = read(kind, purpose, Standing::InUse).is_ok();
                for standing in [Standing::StorageOnly, Standing::Blocked, Standing::Frozen] {
                    let now = read(kind, purpose, standing).is_ok();
                    assert!(in_use || !now, "{kind} for {purpose:?} as {standing:?}");
                    assert!(!now || matches!(purpose, Purpose::Proof | Purpose::Subject), "{kind} {standing:?}");
                    assert!(!now || standing != Standing::Frozen || purpose == Purpose::Proof);
                }
            }
            assert!(read(Kind::Key, Purpose::Proof, Standing::InUse).is_err());
        }
    }

    #[test]
    fn nobody_learns_from_what_was_not_granted_for_it() {
        for kind in [Kind::Content, Kind::Recording, Kind::Metadata] {
            let refused = may_read(kind, Purpose::Analytics, Standing::InUse, &[Scope::Transcript].into());
            assert_eq!(refused, Err(NotRead::NotGranted(kind, Scope::Analytics)));
            assert!(read(kind, Purpose::Analytics, Standing::InUse).is_ok());
        }
    }
}
