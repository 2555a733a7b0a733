//! Two people for what leaves the house: one asks, another in another role approves, and it is good
//! once and for a short time. It hands nothing over itself.

use serde::{Deserialize, Serialize};

use crate::roles::{Action, Actor, ApprovalId, By, NotAllowed, Why};
use crate::time::days;
use crate::{SubjectId, TenantId, Time};

/// An approval that nobody gave waits so long.
const WAITS_MS: i64 = days(7);
/// A given one is good for so long.
const GOOD_MS: i64 = days(1);

/// What two people must agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handing {
    /// Everything held on a subject, for the subject.
    Export,
    /// To somebody else who may ask for it by law.
    Disclosure,
}

impl Handing {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Disclosure => "disclosure",
        }
    }

    fn ask(self) -> Action {
        match self {
            Self::Export => Action::AskExport,
            Self::Disclosure => Action::AskDisclosure,
        }
    }

    fn approve(self) -> Action {
        match self {
            Self::Export => Action::ApproveExport,
            Self::Disclosure => Action::ApproveDisclosure,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCleared {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error("whoever asked cannot approve: somebody else in another role must")]
    SamePerson,
    #[error("both act in the same role: the second person must act in another one")]
    SameRole,
    #[error("nobody has approved it yet: ask somebody in another role to")]
    NotApproved,
    #[error("it was decided already: ask anew where it is still needed")]
    Decided,
    #[error("it was declined: ask anew with a better reason, or leave it")]
    Declined,
    #[error("it has run out: ask anew")]
    Expired,
    #[error("it was used already: an approval is good once; ask anew")]
    Used,
    #[error("another person asked for it: only they may use it")]
    NotTheirs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub by: By,
    pub at: Time,
    pub approved: bool,
}

/// One row of `approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub tenant: TenantId,
    pub what: Handing,
    pub subject: SubjectId,
    /// Name of the destination.
    pub destination: String,
    pub asked_by: By,
    pub asked: Time,
    pub why: Why,
    pub decision: Option<Decision>,
    /// From this moment on it is void.
    pub expires: Time,
    pub used: Option<Time>,
}

/// What is to be handed over, and to whom.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    pub tenant: &'a TenantId,
    pub what: Handing,
    pub subject: SubjectId,
    pub destination: &'a str,
    pub why: Why,
}

/// That two people agreed to hand this over. Good once: whoever uses it, uses it up.
///
/// Nobody else can make one:
///
/// ```compile_fail
/// let cleared = privacy::roles::Cleared { approval: privacy::roles::ApprovalId(1) };
/// ```
#[derive(Debug)]
pub struct Cleared {
    approval: ApprovalId,
    what: Handing,
    subject: SubjectId,
    destination: String,
    expires: Time,
}

impl Cleared {
    pub fn approval(&self) -> ApprovalId {
        self.approval
    }

    pub fn what(&self) -> Handing {
        self.what
    }

    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// From this moment on it is void.
    pub fn expires(&self) -> Time {
        self.expires
    }
}

impl Approval {
    /// # Errors
    /// Where this role may not ask for it.
    pub fn ask(id: ApprovalId, wanted: Wanted<'_>, who: &Actor, now: Time) -> Result<Self, NotAllowed> {
        who.check(wanted.what.ask())?;
        Ok(Self {
            id,
            tenant: wanted.tenant.clone(),
            what: wanted.what,
            subject: wanted.subject,
            destination: wanted.destination.chars().take(64).collect(),
            asked_by: who.by(),
            asked: now,
            why: wanted.why,
            decision: None,
            expires: now.plus_ms(WAITS_MS),
            used: None,
        })
    }

    /// # Errors
    /// Where it is the same person or role, a role that may not, or too late.
    pub fn decide(&mut self, who: &Actor, approved: bool, now: Time) -> Result<(), NotCleared> {
        if self.decision.is_some() {
            return Err(NotCleared::Decided);
        }
        if now >= self.expires {
            return Err(NotCleared::Expired);
        }
        // Whoever asked may take it back, but not give it to themselves.
        if who.person() == &self.asked_by.person && approved {
            return Err(NotCleared::SamePerson);
        }
        if who.role() == self.asked_by.role && approved {
            return Err(NotCleared::SameRole);
        }
        if who.person() != &self.asked_by.person {
            who.check(self.what.approve())?;
        }
        self.decision = Some(Decision { by: who.by(), at: now, approved });
        if approved {
            self.expires = now.plus_ms(GOOD_MS);
        }
        Ok(())
    }

    /// Uses it up. Write the row before anything is handed over.
    ///
    /// # Errors
    /// Where it is not approved, has run out, was used, or is somebody else's.
    pub fn clear(&mut self, who: &Actor, now: Time) -> Result<Cleared, NotCleared> {
        if self.used.is_some() {
            return Err(NotCleared::Used);
        }
        match &self.decision {
            None => return Err(NotCleared::NotApproved),
            Some(decision) if !decision.approved => return Err(NotCleared::Declined),
            // A row that was tampered with does not count for two people.
            Some(decision) if decision.by.person == self.asked_by.person => return Err(NotCleared::SamePerson),
            Some(decision) if decision.by.role == self.asked_by.role => return Err(NotCleared::SameRole),
            Some(_) => {}
        }
        if who.person() != &self.asked_by.person {
            return Err(NotCleared::NotTheirs);
        }
        who.check(self.what.ask())?;
        if now >= self.expires {
            return Err(NotCleared::Expired);
        }
        self.used = Some(now);
        Ok(Cleared {
            approval: self.id,
            what: self.what,
            subject: self.subject,
            destination: self.destination.clone(),
            expires: self.expires,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::roles::{Role, actor};

    pub(crate) const SUBJECT: SubjectId = SubjectId([7; 16]);

    pub(crate) fn asked(what: Handing, destination: &str, role: Role) -> Approval {
        let tenant = TenantId::new("clinic").expect("a name");
        let why = Why::new("case 12").expect("a reason");
        let wanted = Wanted { tenant: &tenant, what, subject: SUBJECT, destination, why };
        Approval::ask(ApprovalId(1), wanted, &actor("aru", role), Time(0)).expect("may ask")
    }

    /// Two people agreed to hand `SUBJECT`'s data to this destination, at time 0.
    pub(crate) fn cleared(what: Handing, destination: &str) -> Cleared {
        let asker = if what == Handing::Export { Role::Operator } else { Role::PrivacyOfficer };
        let mut approval = asked(what, destination, asker);
        approval.decide(&actor("dana", Role::Admin), true, Time(0)).expect("may approve");
        approval.clear(&actor("aru", asker), Time(0)).expect("cleared")
    }

    #[test]
    fn two_different_people_in_two_roles_are_needed() {
        let check = |who: &str, role, expected: Result<(), NotCleared>| {
            let mut approval = asked(Handing::Export, "copy", Role::PrivacyOfficer);
            assert_eq!(approval.decide(&actor(who, role), true, Time(5)), expected, "{who} as {role}");
            let cleared = approval.clear(&actor("aru", Role::PrivacyOfficer), Time(6));
            assert_eq!(cleared.map(|c| c.subject()).ok(), expected.is_ok().then_some(SUBJECT));
        };
        check("aru", Role::PrivacyOfficer, Err(NotCleared::SamePerson));
        check("aru", Role::Admin, Err(NotCleared::SamePerson));
        check("dana", Role::PrivacyOfficer, Err(NotCleared::SameRole));
        check("dana", Role::Admin, Ok(()));
        let mut approval = asked(Handing::Export, "copy", Role::PrivacyOfficer);
        let refused = approval.decide(&actor("kim", Role::Operator), true, Time(5));
        assert!(matches!(refused, Err(NotCleared::NotAllowed(_))));
    }

    #[test]
    fn not_everybody_may_ask() {
        let tenant = TenantId::new("clinic").expect("a name");
        let ask = |what, role| {
            let why = Why::new("case 12").expect("a reason");
            let wanted = Wanted { tenant: &tenant, what, subject: SUBJECT, destination: "court", why };
            Approval::ask(ApprovalId(1), wanted, &actor("aru", role), Time(0)).is_ok()
        };
        assert!(ask(Handing::Export, Role::Operator) && ask(Handing::Disclosure, Role::PrivacyOfficer));
        assert!(!ask(Handing::Disclosure, Role::Operator) && !ask(Handing::Export, Role::Auditor));
    }

    #[test]
    fn it_is_good_once_for_whoever_asked() {
        let (aru, dana) = (actor("aru", Role::Operator), actor("dana", Role::PrivacyOfficer));
        let mut approval = asked(Handing::Export, "copy", Role::Operator);
        assert_eq!(approval.clear(&aru, Time(1)).err(), Some(NotCleared::NotApproved));
        approval.decide(&dana, true, Time(2)).expect("approves");
        assert_eq!(approval.decide(&dana, false, Time(3)), Err(NotCleared::Decided));
        assert_eq!(approval.clear(&dana, Time(3)).err(), Some(NotCleared::NotTheirs));
        assert!(approval.clear(&aru, Time(3)).is_ok());
        let row = serde_json::to_string(&approval).expect("writes");
        let mut again: Approval = serde_json::from_str(&row).expect("reads");
        assert_eq!(again.clear(&aru, Time(4)).err(), Some(NotCleared::Used), "also after a restart");
    }

    #[test]
    fn a_declined_or_forged_one_is_void() {
        let (aru, dana) = (actor("aru", Role::Operator), actor("dana", Role::PrivacyOfficer));
        let mut declined = asked(Handing::Export, "copy", Role::Operator);
        declined.decide(&dana, false, Time(2)).expect("declines");
        assert_eq!(declined.clear(&aru, Time(3)).err(), Some(NotCleared::Declined));
        let mut taken_back = asked(Handing::Export, "copy", Role::Operator);
        taken_back.decide(&aru, false, Time(2)).expect("takes it back");
        assert_eq!(taken_back.clear(&aru, Time(3)).err(), Some(NotCleared::Declined));
        let mut forged = asked(Handing::Export, "copy", Role::Operator);
        forged.decision = Some(Decision { by: aru.by(), at: Time(2), approved: true });
        assert_eq!(forged.clear(&aru, Time(3)).err(), Some(NotCleared::SamePerson));
    }

    #[test]
    fn it_runs_out_at_its_second() {
        let (aru, dana) = (actor("aru", Role::Operator), actor("dana", Role::PrivacyOfficer));
        for (late_ms, in_time) in [(-1000, true), (0, false), (1000, false)] {
            let mut approval = asked(Handing::Export, "copy", Role::Operator);
            assert_eq!(approval.decide(&dana, true, Time(days(7) + late_ms)).is_ok(), in_time, "waits {late_ms}");
            let mut approval = asked(Handing::Export, "copy", Role::Operator);
            approval.decide(&dana, true, Time(50)).expect("approves");
            assert_eq!(approval.clear(&aru, Time(50 + days(1) + late_ms)).is_ok(), in_time, "good {late_ms}");
        }
    }
}
