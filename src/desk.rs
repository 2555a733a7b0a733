//! The privacy desk: what staff may ask and do about what is kept of people. Who may is decided by `privacy::roles`,
//! and each act is in the audit log before it counts. It speaks no HTTP, and opens no content itself.

mod approvals;
mod claims;
mod erasures;
mod error;
mod holds;
mod looks;

use std::fmt;

use ::privacy::chain::{Action as Logged, Entry, Object};
use ::privacy::egress::Transfer;
use ::privacy::keys::Identifier;
use ::privacy::register::Clocks;
use ::privacy::retention::Purpose;
use ::privacy::roles::Actor;
use ::privacy::{CallId, SubjectId, Time};
use futures_util::future::BoxFuture;
use sip::Private;
use tokio::sync::Mutex;

use crate::egress::{Egress, NotLogged, TransferLog};
use crate::vault::Vault;
use crate::vault::read::Reader;

pub use approvals::{Form, Handed};
pub use error::DeskError;
pub use holds::Cover;

/// Who a matter is about.
pub enum Whom {
    Subject(SubjectId),
    /// A number, an address or the system's own name. It becomes a pseudonym at once and is kept nowhere.
    Identifier(Private<String>),
    /// Whoever was in this call.
    Call(CallId),
}

pub struct Desk {
    vault: Vault,
    egress: Egress,
    clocks: Clocks,
    /// One change of the register at a time: nobody uses an approval twice.
    hand: Mutex<()>,
}

impl Desk {
    pub fn new(vault: Vault, egress: Egress, clocks: Clocks) -> Self {
        Self { vault, egress, clocks, hand: Mutex::new(()) }
    }

    fn now(&self) -> Time {
        self.vault.now()
    }

    /// The pseudonym of somebody.
    ///
    /// # Errors
    /// Where nobody can be told from it, or nothing is known of the call.
    pub async fn whose(&self, whom: &Whom) -> Result<SubjectId, DeskError> {
        match whom {
            Whom::Subject(subject) => Ok(*subject),
            Whom::Identifier(text) => {
                // Somebody who cannot be told would get a pseudonym that is nobody's.
                Identifier::read(text.expose(), self.vault.settings().plan.as_ref())?;
                Ok(self.vault.subject_of(text.expose()))
            }
            Whom::Call(call) => self.vault.subject_of_call(*call).await?.ok_or(DeskError::Unknown("call")),
        }
    }

    fn entry(&self, who: &Actor, action: Logged, objects: Vec<Object>, why: &str) -> Entry {
        Entry {
            at: self.now(),
            actor: who.person().as_str().into(),
            role: who.role().word().into(),
            action,
            objects,
            why: why.into(),
        }
    }
}

/// As whoever reads is written down.
pub fn reader(who: &Actor, purpose: Purpose, why: &str) -> Reader {
    Reader { actor: who.person().as_str().into(), role: who.role().word().into(), why: why.into(), purpose }
}

/// A record's name in the audit log. One that is digits only, which a person's number could be, gets a letter.
fn named(kind: &str, id: impl fmt::Display) -> Vec<Object> {
    let plain = Object::named(kind, &id.to_string());
    plain.or_else(|| Object::named(kind, &format!("n{id}"))).into_iter().collect()
}

impl TransferLog for Vault {
    fn write(&self, row: Transfer) -> BoxFuture<'_, Result<(), NotLogged>> {
        Box::pin(async move {
            self.put_transfer(&row).await.map_err(|error| {
                tracing::warn!(%error, "a row of the transfer log could not be written");
                NotLogged
            })
        })
    }
}
