//! The register of what people claim: who asked for what, who has it in hand, by when it must be answered,
//! and what was answered. It answers nothing itself.

mod calendar;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::roles::{Action, Actor, By, NotAllowed, Why, random_name};
use crate::{CallId, SubjectId, TenantId, Time};

pub use calendar::{BadCalendar, Calendar};

random_name! {
    /// One claim.
    ClaimId
}

/// What somebody claims. Erasures have a course of their own: [`crate::erasure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claimed {
    /// To see what is held.
    Access,
    /// To have it put right.
    Rectify,
    /// To have it left untouched for now.
    Block,
    /// That it is not used for this.
    Object,
    /// That a person looks at what a machine decided.
    HumanReview,
    /// That consent no longer holds.
    Withdrawal,
    Complaint,
}

pub const CLAIMED: [Claimed; 7] = [
    Claimed::Access,
    Claimed::Rectify,
    Claimed::Block,
    Claimed::Object,
    Claimed::HumanReview,
    Claimed::Withdrawal,
    Claimed::Complaint,
];

impl Claimed {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Rectify => "rectify",
            Self::Block => "block",
            Self::Object => "object",
            Self::HumanReview => "human_review",
            Self::Withdrawal => "withdrawal",
            Self::Complaint => "complaint",
        }
    }

    /// What must happen at once, before anybody has decided anything.
    pub fn at_once(self) -> AtOnce {
        match self {
            Self::Block | Self::Object | Self::Rectify | Self::HumanReview => AtOnce::Block,
            Self::Withdrawal => AtOnce::Withdraw,
            Self::Access | Self::Complaint => AtOnce::Nothing,
        }
    }
}

/// What follows from a claim the moment it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    Nothing,
    /// What it is about is kept and not used (GDPR 18).
    Block,
    /// Every scope of the subject is withdrawn.
    Withdraw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Granted,
    Partly,
    Refused,
    /// Whoever claimed it took it back.
    TakenBack,
}

impl Answer {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Partly => "partly",
            Self::Refused => "refused",
            Self::TakenBack => "taken_back",
        }
    }
}

/// What happened to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    Came,
    Taken,
    Answered(Answer),
    /// What was blocked may be used again.
    Unblocked,
}

/// One thing that happened: what, when, by whom. None: by the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub did: Did,
    pub at: Time,
    pub by: Option<By>,
    pub why: Option<Why>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error("this claim is answered already: open a new one, or a complaint about it")]
    Closed,
    #[error("nobody has this claim in hand: take it first")]
    NotTaken,
    #[error("this claim blocks nothing")]
    NotBlocked,
    #[error("this claim was changed too often: close it, and open a new one")]
    TooMany,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Open {
        until: Time,
    },
    /// Five working days or fewer are left.
    Near {
        until: Time,
    },
    Overdue {
        since: Time,
    },
    Closed {
        answer: Answer,
        late: bool,
    },
}

/// Things that may happen to one claim at most.
const EVENTS_MOST: usize = 64;
/// Working days before the end at which a claim is near it.
const NEAR_DAYS: u16 = 5;

/// What is claimed, by whom, about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub id: ClaimId,
    pub tenant: TenantId,
    pub subject: SubjectId,
    pub what: Claimed,
    /// The call it is about, where it is about one.
    pub call: Option<CallId>,
    pub got: Time,
    /// It must be answered before this moment.
    pub until: Time,
    near: Time,
    events: Vec<Event>,
}

/// How many working days each claim may take. `[claims]` of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clocks {
    pub access: u16,
    pub rectify: u16,
    pub block: u16,
    pub object: u16,
    pub human_review: u16,
    pub withdrawal: u16,
    pub complaint: u16,
    pub calendar: Calendar,
}

/// The longest that a claim may take, in working days.
pub const DAYS_MOST: u16 = 30;

impl Default for Clocks {
    fn default() -> Self {
        Self {
            access: DAYS_MOST,
            rectify: DAYS_MOST,
            block: DAYS_MOST,
            object: DAYS_MOST,
            human_review: DAYS_MOST,
            withdrawal: DAYS_MOST,
            complaint: DAYS_MOST,
            calendar: Calendar::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadClocks {
    #[error("[claims] cannot be read: {0}")]
    Unreadable(String),
    #[error("[claims] {0} = {1}: give 1 to 30 working days")]
    OutOfRange(&'static str, u16),
    #[error(transparent)]
    Calendar(#[from] BadCalendar),
}

impl Clocks {
    /// # Errors
    /// Where a key is unknown, or a value cannot be read or makes no sense.
    pub fn read(table: &toml::Table) -> Result<Self, BadClocks> {
        let read = table.clone().try_into();
        let read: Self = read.map_err(|e: toml::de::Error| BadClocks::Unreadable(crate::retention::said(&e)))?;
        for what in CLAIMED {
            let days = read.days(what);
            if !(1..=DAYS_MOST).contains(&days) {
                return Err(BadClocks::OutOfRange(what.word(), days));
            }
        }
        read.calendar.check()?;
        Ok(read)
    }

    /// Working days.
    pub fn days(&self, what: Claimed) -> u16 {
        match what {
            Claimed::Access => self.access,
            Claimed::Rectify => self.rectify,
            Claimed::Block => self.block,
            Claimed::Object => self.object,
            Claimed::HumanReview => self.human_review,
            Claimed::Withdrawal => self.withdrawal,
            Claimed::Complaint => self.complaint,
        }
    }
}

impl Claim {
    /// Comes in. `by`: whoever took it down; none: the subject, by themselves.
    pub fn new(
        id: ClaimId,
        (tenant, subject): (TenantId, SubjectId),
        (what, call): (Claimed, Option<CallId>),
        by: Option<By>,
        clocks: &Clocks,
        now: Time,
    ) -> Self {
        let days = clocks.days(what);
        Self {
            id,
            tenant,
            subject,
            what,
            call,
            got: now,
            until: clocks.calendar.end_of(now, days),
            near: clocks.calendar.end_of(now, days.saturating_sub(NEAR_DAYS)),
            events: vec![Event { did: Did::Came, at: now, by, why: None }],
        }
    }

    /// Has it in hand from now on; also from somebody else.
    ///
    /// # Errors
    /// Where it is answered, or this role may not.
    pub fn take(&mut self, who: &Actor, now: Time) -> Result<(), NotDone> {
        who.check(Action::TakeClaim)?;
        self.open()?;
        self.push(Event { did: Did::Taken, at: now, by: Some(who.by()), why: None })
    }

    /// # Errors
    /// Where nobody has it in hand, it is answered, or this role may not.
    pub fn answer(&mut self, who: &Actor, answer: Answer, why: Why, now: Time) -> Result<(), NotDone> {
        who.check(Action::AnswerClaim)?;
        self.open()?;
        self.taken_by().ok_or(NotDone::NotTaken)?;
        self.push(Event { did: Did::Answered(answer), at: now, by: Some(who.by()), why: Some(why) })
    }

    /// Whoever claimed it takes it back.
    ///
    /// # Errors
    /// Where it is answered.
    pub fn take_back(&mut self, now: Time) -> Result<(), NotDone> {
        self.open()?;
        self.push(Event { did: Did::Answered(Answer::TakenBack), at: now, by: None, why: None })
    }

    /// Ends a block that was granted.
    ///
    /// # Errors
    /// Where it blocks nothing, is still open, or this role may not.
    pub fn unblock(&mut self, who: &Actor, why: Why, now: Time) -> Result<(), NotDone> {
        who.check(Action::AnswerClaim)?;
        if !self.blocks() || self.answered().is_none() {
            return Err(NotDone::NotBlocked);
        }
        self.push(Event { did: Did::Unblocked, at: now, by: Some(who.by()), why: Some(why) })
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Who has it in hand.
    pub fn taken_by(&self) -> Option<&By> {
        self.events.iter().rev().find(|e| e.did == Did::Taken).and_then(|e| e.by.as_ref())
    }

    pub fn answered(&self) -> Option<(Answer, Time)> {
        self.events.iter().rev().find_map(|e| match e.did {
            Did::Answered(answer) => Some((answer, e.at)),
            _ => None,
        })
    }

    /// Whether what it is about may not be used now: while it is open, and after a block or an objection was
    /// granted, until it is lifted.
    pub fn blocks(&self) -> bool {
        if self.what.at_once() != AtOnce::Block || self.events.iter().any(|e| e.did == Did::Unblocked) {
            return false;
        }
        match self.answered() {
            None => true,
            Some((Answer::Granted | Answer::Partly, _)) => matches!(self.what, Claimed::Block | Claimed::Object),
            Some((Answer::Refused | Answer::TakenBack, _)) => false,
        }
    }

    pub fn standing(&self, now: Time) -> Standing {
        match self.answered() {
            Some((answer, at)) => Standing::Closed { answer, late: at >= self.until },
            None if now >= self.until => Standing::Overdue { since: self.until },
            None if now >= self.near => Standing::Near { until: self.until },
            None => Standing::Open { until: self.until },
        }
    }

    fn open(&self) -> Result<(), NotDone> {
        if self.answered().is_some() { Err(NotDone::Closed) } else { Ok(()) }
    }

    fn push(&mut self, event: Event) -> Result<(), NotDone> {
        // There is always room for the answer and for lifting a block.
        let room = if event.did == Did::Taken { EVENTS_MOST - 2 } else { EVENTS_MOST };
        if self.events.len() >= room {
            return Err(NotDone::TooMany);
        }
        self.events.push(event);
        Ok(())
    }
}

/// Those that wait for an answer, the most urgent first.
pub fn waiting(claims: &[Claim], now: Time) -> Vec<(&Claim, Standing)> {
    let open = claims.iter().map(|c| (c, c.standing(now)));
    let mut open: Vec<_> = open.filter(|(_, s)| !matches!(s, Standing::Closed { .. })).collect();
    open.sort_by_key(|(claim, _)| (claim.until, claim.id));
    open
}

/// Whether any claim blocks the use of what is held of this subject, in this call or altogether.
pub fn is_blocked(claims: &[Claim], subject: SubjectId, call: Option<CallId>) -> bool {
    claims.iter().any(|c| c.subject == subject && (c.call.is_none() || c.call == call) && c.blocks())
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests;
