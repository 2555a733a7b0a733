//! `[[staff]]` and `[egress]`: who may do what about privacy, by tokens of their own, and the secrets by which
//! destinations know us. It holds names of environment variables, and no secret.

use std::collections::{BTreeMap, BTreeSet};

use ::privacy::roles::{self, BadStaff, Member, Person, Role};
use serde::Deserialize;

use super::check::{Place, Problem, wrong};

/// Whoever has the token of `[http] token_env` acts under this name, as operator.
pub const SYSTEM: &str = "api";

/// One person in one role. Who has two roles has two entries, and a token for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staff {
    pub name: Person,
    pub role: Role,
    /// Name of the environment variable with their token.
    pub token_env: String,
}

/// How what leaves is signed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Name of a `[[destination]]` of the policy, and of the environment variable with its secret.
    pub secrets: BTreeMap<String, String>,
}

/// The staff of a configuration, and the system that has the API's token.
///
/// # Errors
/// Where somebody audits themselves.
pub fn people(staff: &[Staff]) -> Result<roles::Staff, BadStaff> {
    let mut members: BTreeMap<Person, BTreeSet<Role>> = BTreeMap::new();
    for one in staff {
        members.entry(one.name.clone()).or_default().insert(one.role);
    }
    members.extend(Person::new(SYSTEM).ok().map(|system| (system, BTreeSet::from([Role::Operator]))));
    roles::Staff::new(members.into_iter().map(|(person, roles)| Member { person, roles }))
}

pub(super) fn check(staff: &[Staff]) -> Result<(), Problem> {
    for (n, one) in staff.iter().enumerate() {
        let at = Place::Item("staff", n);
        if one.name.as_str() == SYSTEM {
            return wrong(
                at,
                "name",
                "is \"api\", as whoever has the token of [http] token_env is called; take another",
            );
        }
        if staff[..n].iter().any(|other| other.name == one.name && other.role == one.role) {
            return wrong(at, "name", format!("\"{}\" has this role already; remove one entry", one.name));
        }
        if staff[..n].iter().any(|other| other.token_env == one.token_env) {
            return wrong(at, "token_env", "is another entry's too; a token says who it is, so give each their own");
        }
    }
    match people(staff) {
        Ok(_) => Ok(()),
        Err(error) => wrong(Place::Item("staff", 0), "role", format!("is wrong: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Staff> {
        #[derive(Deserialize)]
        struct File {
            staff: Vec<Staff>,
        }
        toml::from_str::<File>(text).expect("reads").staff
    }

    fn entry(name: &str, role: &str, token: &str) -> String {
        format!("[[staff]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_env = \"{token}\"\n")
    }

    #[test]
    fn two_roles_are_two_entries_and_two_tokens() {
        let both = [entry("dana", "privacy_officer", "A"), entry("dana", "admin", "B")].concat();
        assert!(check(&read(&both)).is_ok());
        let staff = people(&read(&both)).expect("staff");
        let dana = Person::new("dana").expect("a name");
        assert!(staff.act(&dana, Role::Admin).is_ok() && staff.act(&dana, Role::Operator).is_err());
        let system = Person::new(SYSTEM).expect("a name");
        assert!(staff.act(&system, Role::Operator).is_ok() && staff.act(&system, Role::PrivacyOfficer).is_err());
    }

    #[test]
    fn what_cannot_be_is_said_where_it_stands() {
        for (entries, key, says) in [
            ([entry("api", "operator", "A"), String::new()], "name", "take another"),
            ([entry("dana", "admin", "A"), entry("dana", "admin", "B")], "name", "remove one entry"),
            ([entry("dana", "admin", "A"), entry("aru", "operator", "A")], "token_env", "give each their own"),
            ([entry("kim", "auditor", "A"), entry("kim", "admin", "B")], "role", "remove the other roles"),
        ] {
            let wrong = check(&read(&entries.concat())).expect_err("wrong");
            assert!(wrong.key == key && wrong.problem.contains(says), "{}: {}", wrong.key, wrong.problem);
        }
    }
}
