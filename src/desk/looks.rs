//! Looking: the consent of a call, what left the house, what is due to go. It changes nothing, and shows no content.

use std::collections::BTreeSet;

use ::privacy::consent::ConsentEvent;
use ::privacy::egress::Transfer;
use ::privacy::retention::{Kind, Purpose, may_read};
use ::privacy::roles::{Action, Actor};
use ::privacy::{CallId, Scopes, SubjectId};

use super::{Desk, DeskError, Whom, reader};
use crate::store::db::Columns as _;
use crate::store::register;
use crate::values;
use crate::vault::retain::Report;

impl Desk {
    /// The consent events of a call, for a purpose that they may be read for.
    ///
    /// # Errors
    /// Where this role may not, or not for this: evidence is read as evidence only.
    pub async fn consent(&self, who: &Actor, call: CallId, purpose: Purpose) -> Result<Vec<ConsentEvent>, DeskError> {
        who.check(Action::ReadConsent)?;
        let events = self.vault.consent(call, &reader(who, purpose, "consent of a call")).await?;
        if events.is_empty() { Err(DeskError::Unknown("call with a consent")) } else { Ok(events) }
    }

    /// What left the house of somebody, and whereto.
    ///
    /// # Errors
    /// Where this role may not, or nobody can be told from `whom`.
    pub async fn transfers(&self, who: &Actor, whom: &Whom, purpose: Purpose) -> Result<Vec<Transfer>, DeskError> {
        who.check(Action::SeeRegister)?;
        let subject = self.whose(whom).await?;
        let standing = self.vault.standing(subject, None).await?;
        may_read(Kind::Transfer, purpose, standing, &Scopes::new())?;
        Ok(register::transfers(self.vault.db(), self.vault.tenant(), subject).await?)
    }

    /// What would go if the retention job ran now, and what a hold keeps.
    ///
    /// # Errors
    /// Where this role may not look, or the store does not answer.
    pub async fn due(&self, who: &Actor) -> Result<Report, DeskError> {
        who.check(Action::PreviewRetention)?;
        Ok(self.vault.due().await?)
    }

    /// Calls of a subject that may have a consent, also those that go on and have none on record yet.
    pub(super) async fn calls_with_consent(&self, subject: SubjectId) -> Result<BTreeSet<CallId>, DeskError> {
        let sql = "SELECT DISTINCT call FROM consent_events WHERE tenant = $1 AND subject = $2 ORDER BY call";
        let rows = self.vault.db().all(sql, values![self.vault.tenant().as_str(), subject]).await?;
        let mut calls = rows.iter().map(|row| row.call("call")).collect::<Result<BTreeSet<_>, _>>()?;
        calls.extend(self.vault.live().calls_of(subject));
        Ok(calls)
    }
}
