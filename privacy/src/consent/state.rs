//! The words of consent: where a scope stands, how it came there, and over which channel. They hold
//! nothing of what anybody said.

use std::fmt;

/// An enum whose variants have one stable word each, for records and for the API.
macro_rules! worded {
    ($(#[$about:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let words = Self::ALL.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ");
                let known = Self::parse(&<String as serde::Deserialize>::deserialize(d)?);
                known.ok_or_else(|| serde::de::Error::custom(format!("one of these words is needed: {words}")))
            }
        }
    };
}
pub(super) use worded;

worded! {
    /// How a yes was given.
    Grant {
        Voice = "voice",
        Key = "key",
        /// On a page that showed the question.
        Click = "click",
        /// In words that were written.
        Text = "text",
        /// By a signed statement of the tenant's own system, before the call.
        PreGrant = "pre_grant",
    }
}

worded! {
    /// What was taken for a no. Whatever is not a clear yes is one.
    Refusal {
        Said = "said",
        Key = "key",
        Click = "click",
        Text = "text",
        Silence = "silence",
        Unclear = "unclear",
        HungUp = "hung_up",
    }
}

worded! {
    /// How a consent was taken back.
    Withdrawal {
        Phrase = "phrase",
        Key = "key",
        Click = "click",
        Text = "text",
        /// Asked of the operator, outside a call.
        Request = "request",
    }
}

worded! {
    /// Why a consent is void though nobody took it back.
    Cause {
        /// What is told and asked has changed.
        Policy = "policy",
        /// The statement it rests on was good until now.
        Expired = "expired",
    }
}

worded! {
    Channel {
        Phone = "phone",
        Web = "web",
        Text = "text",
        /// Not in a call: a statement, a request or a job.
        Api = "api",
    }
}

/// Where one scope of one call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    None,
    Asked,
    Granted(Grant),
    Refused(Refusal),
    Withdrawn(Withdrawal),
    /// Nothing is permitted until it is asked anew.
    Superseded(Cause),
    /// The records of it are evidence, and may be read for nothing else.
    StorageOnly,
    Erased,
}

impl State {
    /// What happened and, where there are several ways, how: as a consent event writes it.
    pub const fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::None => ("none", None),
            Self::Asked => ("asked", None),
            Self::Granted(how) => ("granted", Some(how.word())),
            Self::Refused(how) => ("refused", Some(how.word())),
            Self::Withdrawn(how) => ("withdrawn", Some(how.word())),
            Self::Superseded(how) => ("superseded", Some(how.word())),
            Self::StorageOnly => ("storage_only", None),
            Self::Erased => ("erased", None),
        }
    }

    /// The reverse of [`words`](Self::words).
    pub fn parse(what: &str, how: Option<&str>) -> Option<Self> {
        Some(match (what, how) {
            ("none", None) => Self::None,
            ("asked", None) => Self::Asked,
            ("granted", Some(how)) => Self::Granted(Grant::parse(how)?),
            ("refused", Some(how)) => Self::Refused(Refusal::parse(how)?),
            ("withdrawn", Some(how)) => Self::Withdrawn(Withdrawal::parse(how)?),
            ("superseded", Some(how)) => Self::Superseded(Cause::parse(how)?),
            ("storage_only", None) => Self::StorageOnly,
            ("erased", None) => Self::Erased,
            _ => return None,
        })
    }

    /// Whether this step exists. A refusal and a withdrawal are final for the call; only a question that
    /// is open can be answered yes; a statement of the tenant's says nothing against a caller's own word.
    pub(super) const fn leads_to(self, next: Self) -> bool {
        match next {
            Self::None => false,
            Self::Asked => matches!(self, Self::None | Self::Superseded(_)),
            Self::Granted(Grant::PreGrant) => matches!(self, Self::None),
            Self::Granted(_) => matches!(self, Self::Asked),
            Self::Refused(_) => matches!(self, Self::None | Self::Asked),
            Self::Withdrawn(_) => matches!(self, Self::None | Self::Asked | Self::Granted(_) | Self::Superseded(_)),
            Self::Superseded(Cause::Policy) => matches!(self, Self::Asked | Self::Granted(_)),
            Self::Superseded(Cause::Expired) => matches!(self, Self::Granted(Grant::PreGrant)),
            Self::StorageOnly => !matches!(self, Self::StorageOnly | Self::Erased),
            Self::Erased => !matches!(self, Self::Erased),
        }
    }

    /// Whether what was kept under the scope has to go when this state is entered.
    pub(super) const fn purges(self) -> bool {
        matches!(self, Self::Refused(_) | Self::Withdrawn(_) | Self::StorageOnly | Self::Erased)
    }
}

impl fmt::Display for State {
    /// A stable phrase for call records and the API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Asked => "asked",
            Self::Granted(Grant::Voice) => "granted by voice",
            Self::Granted(Grant::Key) => "granted by key",
            Self::Granted(Grant::Click) => "granted by click",
            Self::Granted(Grant::Text) => "granted in writing",
            Self::Granted(Grant::PreGrant) => "granted beforehand",
            Self::Refused(Refusal::Said) => "refused by voice",
            Self::Refused(Refusal::Key) => "refused by key",
            Self::Refused(Refusal::Click) => "refused by click",
            Self::Refused(Refusal::Text) => "refused in writing",
            Self::Refused(Refusal::Silence) => "refused by silence",
            Self::Refused(Refusal::Unclear) => "refused, unclear answer",
            Self::Refused(Refusal::HungUp) => "refused, hung up",
            Self::Withdrawn(_) => "withdrawn",
            Self::Superseded(Cause::Policy) => "superseded",
            Self::Superseded(Cause::Expired) => "expired",
            Self::StorageOnly => "storage only",
            Self::Erased => "erased",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<State> {
        let mut all = vec![State::None, State::Asked, State::StorageOnly, State::Erased];
        all.extend(Grant::ALL.iter().map(|how| State::Granted(*how)));
        all.extend(Refusal::ALL.iter().map(|how| State::Refused(*how)));
        all.extend(Withdrawal::ALL.iter().map(|how| State::Withdrawn(*how)));
        all.extend(Cause::ALL.iter().map(|how| State::Superseded(*how)));
        all
    }

    #[test]
    fn states_are_written_as_they_are_read() {
        for state in all() {
            let (what, how) = state.words();
            assert_eq!(State::parse(what, how), Some(state));
        }
        for (what, how) in [("granted", None), ("granted", Some("silence")), ("asked", Some("key")), ("", None)] {
            assert_eq!(State::parse(what, how), None, "{what} {how:?}");
        }
        assert_eq!((Channel::parse("web"), Channel::parse("Web")), (Some(Channel::Web), None));
    }

    /// What follows what, drawn as a table: a row for each state, a letter for each that may come next.
    #[test]
    fn only_these_steps_exist() {
        let kinds = [
            ('a', State::Asked),
            ('g', State::Granted(Grant::Voice)),
            ('p', State::Granted(Grant::PreGrant)),
            ('r', State::Refused(Refusal::Silence)),
            ('w', State::Withdrawn(Withdrawal::Phrase)),
            ('s', State::Superseded(Cause::Policy)),
            ('x', State::Superseded(Cause::Expired)),
            ('o', State::StorageOnly),
            ('e', State::Erased),
        ];
        let table = [
            (State::None, "aprwoe"),
            (State::Asked, "grwsoe"),
            (State::Granted(Grant::Voice), "wsoe"),
            (State::Granted(Grant::PreGrant), "wsxoe"),
            (State::Refused(Refusal::Silence), "oe"),
            (State::Withdrawn(Withdrawal::Phrase), "oe"),
            (State::Superseded(Cause::Policy), "awoe"),
            (State::Superseded(Cause::Expired), "awoe"),
            (State::StorageOnly, "e"),
            (State::Erased, ""),
        ];
        for (from, expected) in table {
            let next: String = kinds.iter().filter(|(_, to)| from.leads_to(*to)).map(|(letter, _)| letter).collect();
            assert_eq!(next, expected, "after {from}");
            assert!(!from.leads_to(State::None));
        }
    }
}
