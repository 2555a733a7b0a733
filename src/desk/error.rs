//! Why the desk says no, each with what to do about it. It holds nobody's words.

use ::privacy::chain::BadEntry;
use ::privacy::egress::Denied;
use ::privacy::keys::NotAnIdentifier;
use ::privacy::register::NotDone;
use ::privacy::retention::{NoHold, NotRead};
use ::privacy::roles::{NotAllowed, NotCleared};

use crate::egress::SendError;
use crate::store::db::StoreError;
use crate::vault::VaultError;
use crate::vault::audit::AuditError;
use crate::vault::erase::EraseError;

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error(transparent)]
    NotAnIdentifier(#[from] NotAnIdentifier),
    /// What there is none of.
    #[error("no such {0}")]
    Unknown(&'static str),
    #[error(transparent)]
    Hold(#[from] NoHold),
    #[error(transparent)]
    Claim(#[from] NotDone),
    #[error(transparent)]
    Approval(#[from] NotCleared),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotRead(#[from] NotRead),
    #[error("{0}; the approval is used up, ask for a new one")]
    NotSent(SendError),
    #[error(transparent)]
    Erasure(EraseError),
    #[error(transparent)]
    Entry(BadEntry),
    #[error("the store does not answer; try again, then look at the log")]
    Vault(VaultError),
}

impl From<VaultError> for DeskError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NotRead(not) => Self::NotRead(not),
            VaultError::NotErased(why @ EraseError::OutOfStep(_)) => Self::Erasure(why),
            VaultError::Audit(AuditError::Entry(bad)) => Self::Entry(bad),
            other => Self::Vault(other),
        }
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Vault(error.into())
    }
}

impl From<AuditError> for DeskError {
    fn from(error: AuditError) -> Self {
        VaultError::from(error).into()
    }
}
