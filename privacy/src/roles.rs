//! Who may do what: four roles, and two people for what leaves the house. It logs nobody in.

mod approval;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use approval::tests as approvals;
pub use approval::{Approval, Cleared, Decision, Handing, NotCleared, Wanted};
pub(crate) use names::random_name;
pub use names::{ApprovalId, NotAPerson, NotAReason, Person, Why};

/// What a person acts as. One person may have several roles, but acts in one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the calls of the day.
    Operator,
    /// Answers for what is kept.
    PrivacyOfficer,
    /// Looks, and changes nothing.
    Auditor,
    /// Keeps the machine, its keys and its staff; reads no content.
    Admin,
}

pub const ROLES: [Role; 4] = [Role::Operator, Role::PrivacyOfficer, Role::Auditor, Role::Admin];

/// What somebody may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    SeeCalls,
    ReadContent,
    ReadConsent,
    ReadAudit,
    VerifyAudit,
    SeeRegister,
    TakeClaim,
    AnswerClaim,
    AskErasure,
    ReceiptByHand,
    PlaceHold,
    ReleaseHold,
    AskExport,
    ApproveExport,
    AskDisclosure,
    ApproveDisclosure,
    PreviewRetention,
    RunRetention,
    ChangePolicy,
    RotateKeys,
    ManageStaff,
}

/// Every action, and who may do it. What is not here, nobody may.
pub const RIGHTS: [(Action, &[Role]); 21] = {
    use Role::{Admin, Auditor, Operator, PrivacyOfficer};
    [
        (Action::SeeCalls, &[Operator, PrivacyOfficer, Auditor]),
        (Action::ReadContent, &[Operator, PrivacyOfficer]),
        (Action::ReadConsent, &[PrivacyOfficer, Auditor]),
        (Action::ReadAudit, &[PrivacyOfficer, Auditor]),
        (Action::VerifyAudit, &[PrivacyOfficer, Auditor, Admin]),
        (Action::SeeRegister, &[Operator, PrivacyOfficer, Auditor]),
        (Action::TakeClaim, &[Operator, PrivacyOfficer]),
        (Action::AnswerClaim, &[PrivacyOfficer]),
        (Action::AskErasure, &[Operator, PrivacyOfficer]),
        (Action::ReceiptByHand, &[PrivacyOfficer]),
        (Action::PlaceHold, &[PrivacyOfficer]),
        (Action::ReleaseHold, &[PrivacyOfficer]),
        (Action::AskExport, &[Operator, PrivacyOfficer]),
        (Action::ApproveExport, &[PrivacyOfficer, Admin]),
        (Action::AskDisclosure, &[PrivacyOfficer]),
        (Action::ApproveDisclosure, &[Admin]),
        (Action::PreviewRetention, &ROLES),
        (Action::RunRetention, &[PrivacyOfficer, Admin]),
        (Action::ChangePolicy, &[PrivacyOfficer]),
        (Action::RotateKeys, &[Admin]),
        (Action::ManageStaff, &[Admin]),
    ]
};

impl Role {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::PrivacyOfficer => "privacy_officer",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    pub fn may(self, action: Action) -> bool {
        RIGHTS.iter().any(|(a, roles)| *a == action && roles.contains(&self))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    #[error("nobody of this name has this role: an admin gives roles in [[staff]]")]
    NotYourRole,
    #[error("the role {0} may not do this: ask {1}")]
    NotThisRole(Role, Who),
}

/// Those who may, as words in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who(&'static [Role]);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nobody, it is not done here");
        }
        for (i, role) in self.0.iter().enumerate() {
            write!(f, "{}{role}", if i == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// Who did something, as it is recorded. It gives no right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    pub person: Person,
    pub role: Role,
}

/// A person of the staff, acting in a role that is theirs. Only [`Staff`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(By);

impl Actor {
    pub fn by(&self) -> By {
        self.0.clone()
    }

    pub fn person(&self) -> &Person {
        &self.0.person
    }

    pub fn role(&self) -> Role {
        self.0.role
    }

    /// # Errors
    /// Where this role may not do it; says who may.
    pub fn check(&self, action: Action) -> Result<(), NotAllowed> {
        if self.0.role.may(action) {
            return Ok(());
        }
        let who = RIGHTS.iter().find(|(a, _)| *a == action).map_or(&[][..], |(_, roles)| roles);
        Err(NotAllowed::NotThisRole(self.0.role, Who(who)))
    }
}

/// `[[staff]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub person: Person,
    pub roles: BTreeSet<Role>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStaff {
    #[error("[[staff]] '{0}' is there twice: give one entry all the roles")]
    Twice(Person),
    #[error("[[staff]] '{0}' has no role: give one of operator, privacy_officer, auditor, admin, or remove the entry")]
    NoRole(Person),
    #[error("[[staff]] '{0}' is auditor and more: an auditor looks at what others did, so remove the other roles")]
    AuditsThemselves(Person),
}

/// Who has which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staff(BTreeMap<Person, BTreeSet<Role>>);

impl Staff {
    /// # Errors
    /// Where somebody is named twice, has no role, or audits themselves.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Result<Self, BadStaff> {
        let mut staff = BTreeMap::new();
        for Member { person, roles } in members {
            if roles.is_empty() {
                return Err(BadStaff::NoRole(person));
            }
            if roles.contains(&Role::Auditor) && roles.len() > 1 {
                return Err(BadStaff::AuditsThemselves(person));
            }
            if staff.insert(person.clone(), roles).is_some() {
                return Err(BadStaff::Twice(person));
            }
        }
        Ok(Self(staff))
    }

    /// # Errors
    /// Where the person has not got this role.
    pub fn act(&self, person: &Person, role: Role) -> Result<Actor, NotAllowed> {
        let theirs = self.0.get(person).is_some_and(|roles| roles.contains(&role));
        if theirs { Ok(Actor(By { person: person.clone(), role })) } else { Err(NotAllowed::NotYourRole) }
    }
}

/// People for the tests of this crate.
#[cfg(test)]
pub(crate) fn actor(person: &str, role: Role) -> Actor {
    Actor(By { person: Person::new(person).expect("a name"), role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_said_once_and_somebody_may_do_it() {
        let actions: BTreeSet<Action> = RIGHTS.iter().map(|(a, _)| *a).collect();
        assert_eq!(actions.len(), RIGHTS.len());
        assert!(RIGHTS.iter().all(|(_, roles)| !roles.is_empty()));
        // The last of the enum: with no action said twice, the count shows that none is left out.
        assert_eq!(RIGHTS.len(), Action::ManageStaff as usize + 1);
    }

    #[test]
    fn those_who_keep_the_machine_or_audit_it_read_no_content() {
        for (action, allowed) in [
            (Action::ReadContent, "operator privacy_officer"),
            (Action::PlaceHold, "privacy_officer"),
            (Action::ReadAudit, "privacy_officer auditor"),
            (Action::RotateKeys, "admin"),
            (Action::AskDisclosure, "privacy_officer"),
            (Action::ApproveDisclosure, "admin"),
        ] {
            let words: Vec<&str> = ROLES.into_iter().filter(|r| r.may(action)).map(Role::word).collect();
            assert_eq!(words.join(" "), allowed, "{action:?}");
        }
        let changes = RIGHTS.iter().filter(|(_, roles)| roles.contains(&Role::Auditor)).map(|(a, _)| *a);
        let looks = [
            Action::SeeCalls,
            Action::ReadConsent,
            Action::ReadAudit,
            Action::VerifyAudit,
            Action::SeeRegister,
            Action::PreviewRetention,
        ];
        assert_eq!(changes.collect::<Vec<_>>(), looks);
    }

    #[test]
    fn a_refusal_says_whom_to_ask() {
        let refused = actor("aru", Role::Operator).check(Action::PlaceHold).expect_err("not theirs");
        assert_eq!(refused.to_string(), "the role operator may not do this: ask privacy_officer");
        assert!(actor("dana", Role::PrivacyOfficer).check(Action::PlaceHold).is_ok());
    }

    #[test]
    fn only_staff_act_and_only_in_their_roles() {
        let read = |text: &str| -> Result<Vec<Member>, toml::de::Error> {
            #[derive(Deserialize)]
            struct File {
                staff: Vec<Member>,
            }
            toml::from_str::<File>(text).map(|f| f.staff)
        };
        let members = read(
            "[[staff]]\nperson = \"aru\"\nroles = [\"operator\"]\n[[staff]]\nperson = \"dana\"\nroles = [\"privacy_officer\", \"admin\"]",
        )
        .expect("reads");
        let staff = Staff::new(members.clone()).expect("fits");
        let person = |name| Person::new(name).expect("a name");
        assert!(staff.act(&person("aru"), Role::Operator).is_ok());
        assert_eq!(staff.act(&person("aru"), Role::Admin), Err(NotAllowed::NotYourRole));
        assert_eq!(staff.act(&person("nobody"), Role::Operator), Err(NotAllowed::NotYourRole));
        assert!(staff.act(&person("dana"), Role::Admin).is_ok());
        let twice = Staff::new([members[0].clone(), members[0].clone()]);
        assert_eq!(twice, Err(BadStaff::Twice(person("aru"))));
        let roles = [Role::Auditor, Role::Admin].into();
        let both = Staff::new([Member { person: person("kim"), roles }]);
        assert_eq!(both, Err(BadStaff::AuditsThemselves(person("kim"))));
        let none = Staff::new([Member { person: person("kim"), roles: BTreeSet::new() }]);
        assert_eq!(none, Err(BadStaff::NoRole(person("kim"))));
        assert!(read("[[staff]]\nperson = \"aru\"\nroles = []\nrole = 1").is_err(), "an unknown key is an error");
    }
}
