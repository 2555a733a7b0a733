//! Legal holds: placed, extended and released by a privacy officer. It keeps no content.

use ::privacy::chain::{Action as Logged, Object};
use ::privacy::retention::{Covers, Hold, HoldId};
use ::privacy::roles::{Action, Actor, Why};
use ::privacy::{CallId, Time};

use super::{Desk, DeskError, Whom, named};
use crate::random;

/// What a hold is to keep.
pub enum Cover {
    /// Everything there is.
    All,
    Subject(Whom),
    Call(CallId),
}

impl Desk {
    /// # Errors
    /// Where this role may not look, or the store does not answer.
    pub async fn holds(&self, who: &Actor) -> Result<Vec<Hold>, DeskError> {
        who.check(Action::SeeRegister)?;
        Ok(self.vault.holds().await?)
    }

    /// From now on. No erasure destroys anything while it is being placed.
    ///
    /// # Errors
    /// Where this role may not, the date does not fit, or nobody can be told from what it is to cover.
    pub async fn place_hold(&self, who: &Actor, cover: Cover, reason: Why, until: Time) -> Result<Hold, DeskError> {
        who.check(Action::PlaceHold)?;
        let tenant = self.vault.tenant();
        let (covers, object) = match cover {
            Cover::All => (Covers::all(tenant), None),
            Cover::Subject(whom) => {
                let subject = self.whose(&whom).await?;
                (Covers::subject(tenant, subject), Some(Object::subject(subject)))
            }
            Cover::Call(call) => (Covers::call(tenant, call), Some(Object::call(call))),
        };
        let (id, longest) = (HoldId(random::bits() as u64), self.vault.settings().terms.hold);
        let hold = Hold::place(id, covers, who, reason, (self.now(), until), longest)?;
        let objects = named("hold", id).into_iter().chain(object).collect();
        let entry = self.entry(who, Logged::HoldPlaced, objects, hold.reason.as_str());
        self.vault.put_hold(&hold, entry).await?;
        Ok(hold)
    }

    /// # Errors
    /// Where this role may not, it no longer stands, or the date does not fit.
    pub async fn extend_hold(&self, who: &Actor, id: HoldId, reason: Why, until: Time) -> Result<Hold, DeskError> {
        let _alone = self.hand.lock().await;
        let mut hold = self.hold(id).await?;
        hold.extend(who, reason, (self.now(), until), self.vault.settings().terms.hold)?;
        let entry = self.entry(who, Logged::HoldPlaced, named("hold", id), hold.reason.as_str());
        self.vault.put_hold(&hold, entry).await?;
        Ok(hold)
    }

    /// # Errors
    /// Where this role may not, or it no longer stands.
    pub async fn release_hold(&self, who: &Actor, id: HoldId, why: Why) -> Result<Hold, DeskError> {
        let _alone = self.hand.lock().await;
        let mut hold = self.hold(id).await?;
        let entry = self.entry(who, Logged::HoldLifted, named("hold", id), why.as_str());
        hold.release(who, why, self.now())?;
        self.vault.put_hold(&hold, entry).await?;
        Ok(hold)
    }

    async fn hold(&self, id: HoldId) -> Result<Hold, DeskError> {
        let holds = self.vault.holds().await?;
        holds.into_iter().find(|hold| hold.id == id).ok_or(DeskError::Unknown("hold; GET .../holds lists them"))
    }
}
