//! A legal hold: what must not go though its term is over. It is owned, reasoned, dated, and ends.

use serde::{Deserialize, Serialize};

use crate::retention::{About, Term};
use crate::roles::{Action, Actor, By, NotAllowed, Person, Why, random_name};
use crate::{CallId, SubjectId, TenantId, Time};

random_name! {
    /// One legal hold.
    HoldId
}

/// What a hold keeps. Always of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Everything of the tenant.
    All,
    Subject(SubjectId),
    Call(CallId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    tenant: TenantId,
    what: What,
}

impl Covers {
    /// Everything of the tenant.
    pub fn all(tenant: &TenantId) -> Self {
        Self { tenant: tenant.clone(), what: What::All }
    }

    pub fn subject(tenant: &TenantId, subject: SubjectId) -> Self {
        Self { tenant: tenant.clone(), what: What::Subject(subject) }
    }

    pub fn call(tenant: &TenantId, call: CallId) -> Self {
        Self { tenant: tenant.clone(), what: What::Call(call) }
    }

    pub fn covers(&self, about: &About) -> bool {
        self.tenant == about.tenant
            && match self.what {
                What::All => true,
                What::Subject(subject) => about.subject == Some(subject),
                What::Call(call) => about.call == Some(call),
            }
    }

    pub fn what(&self) -> &What {
        &self.what
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHold {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error("a hold must end after it begins, and after now: give a later date")]
    EndsBefore,
    #[error("a hold may last {0} at a time: give an earlier date, and extend it when it nears")]
    TooLong(Term),
    #[error("this hold no longer stands: place a new one where it is still needed")]
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub by: By,
    pub at: Time,
    pub why: Why,
}

/// One row of `holds`. Each step of it belongs into the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub id: HoldId,
    pub covers: Covers,
    /// Who answers for it.
    pub owner: Person,
    pub reason: Why,
    pub from: Time,
    /// It stands before this moment.
    pub until: Time,
    pub released: Option<Release>,
}

impl Hold {
    /// From now on. `longest` is [`crate::retention::Terms::hold`].
    ///
    /// # Errors
    /// Where this role may not, or the date does not fit.
    pub fn place(
        id: HoldId,
        covers: Covers,
        who: &Actor,
        reason: Why,
        (now, until): (Time, Time),
        longest: Term,
    ) -> Result<Self, NoHold> {
        who.check(Action::PlaceHold)?;
        fits(now, until, longest)?;
        Ok(Self { id, covers, owner: who.person().clone(), reason, from: now, until, released: None })
    }

    /// # Errors
    /// Where it no longer stands, this role may not, or the date does not fit.
    pub fn extend(
        &mut self,
        who: &Actor,
        reason: Why,
        (now, until): (Time, Time),
        longest: Term,
    ) -> Result<(), NoHold> {
        who.check(Action::PlaceHold)?;
        if !self.stands(now) {
            return Err(NoHold::Over);
        }
        fits(now, until, longest)?;
        (self.owner, self.reason, self.until) = (who.person().clone(), reason, until);
        Ok(())
    }

    /// # Errors
    /// Where it no longer stands, or this role may not.
    pub fn release(&mut self, who: &Actor, why: Why, now: Time) -> Result<(), NoHold> {
        who.check(Action::ReleaseHold)?;
        if !self.stands(now) {
            return Err(NoHold::Over);
        }
        self.released = Some(Release { by: who.by(), at: now, why });
        Ok(())
    }

    pub fn stands(&self, now: Time) -> bool {
        self.released.is_none() && self.from <= now && now < self.until
    }
}

fn fits(now: Time, until: Time, longest: Term) -> Result<(), NoHold> {
    if until <= now {
        return Err(NoHold::EndsBefore);
    }
    if until > longest.after(now) {
        return Err(NoHold::TooLong(longest));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::{Role, actor};
    use crate::time::days;

    fn why(text: &str) -> Why {
        Why::new(text).expect("a reason")
    }

    fn placed(until: Time) -> Result<Hold, NoHold> {
        let covers = Covers::all(&TenantId::new("clinic").expect("a name"));
        let dana = actor("dana", Role::PrivacyOfficer);
        Hold::place(HoldId(1), covers, &dana, why("case 12"), (Time(1000), until), Term::days(10))
    }

    #[test]
    fn a_hold_is_owned_dated_and_bounded() {
        let hold = placed(Time(2000)).expect("fits");
        assert_eq!(hold.owner.as_str(), "dana");
        for (now, stands) in [(999, false), (1000, true), (1999, true), (2000, false), (3000, false)] {
            assert_eq!(hold.stands(Time(now)), stands, "at {now}");
        }
        assert_eq!(placed(Time(1000)).err(), Some(NoHold::EndsBefore));
        for (off_ms, fits) in [(-1000, true), (0, true), (1000, false)] {
            assert_eq!(placed(Time(1000 + days(10) + off_ms)).is_ok(), fits, "{off_ms}");
        }
        let kim = actor("kim", Role::Operator);
        let covers = hold.covers.clone();
        let refused = Hold::place(HoldId(1), covers, &kim, why("case 12"), (Time(0), Time(5)), Term::days(10));
        assert!(matches!(refused, Err(NoHold::NotAllowed(_))));
    }

    #[test]
    fn it_is_extended_and_released_while_it_stands() {
        let dana = actor("dana", Role::PrivacyOfficer);
        let mut hold = placed(Time(2000)).expect("fits");
        hold.extend(&dana, why("appeal"), (Time(1999), Time(5000)), Term::days(10)).expect("fits");
        assert!(hold.stands(Time(4999)));
        hold.release(&dana, why("settled"), Time(3000)).expect("stands");
        assert!(!hold.stands(Time(3000)));
        assert_eq!(hold.release(&dana, why("settled"), Time(3001)), Err(NoHold::Over));
        assert_eq!(hold.extend(&dana, why("appeal"), (Time(3001), Time(9000)), Term::days(10)), Err(NoHold::Over));
        let row = serde_json::to_string(&hold).expect("writes");
        assert_eq!(serde_json::from_str::<Hold>(&row).expect("reads"), hold);
    }

    #[test]
    fn it_covers_its_own_tenant_only() {
        let (clinic, bank) = (TenantId::new("clinic").expect("a name"), TenantId::new("bank").expect("a name"));
        let (subject, call) = (SubjectId([1; 16]), CallId(9));
        let about = |tenant: &TenantId| About { tenant: tenant.clone(), subject: Some(subject), call: Some(call) };
        for covers in [Covers::all(&clinic), Covers::subject(&clinic, subject), Covers::call(&clinic, call)] {
            assert!(covers.covers(&about(&clinic)) && !covers.covers(&about(&bank)));
        }
        assert!(!Covers::subject(&clinic, SubjectId([2; 16])).covers(&about(&clinic)));
        assert!(!Covers::call(&clinic, CallId(8)).covers(&about(&clinic)));
    }
}
