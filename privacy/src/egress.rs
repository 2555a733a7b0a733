//! The broker: the one way by which data leaves, and what it says no to. It opens no connection and holds
//! no content; whoever sends has a [`Ticket`], or sends nothing.

mod destination;
mod start;
mod transfer;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::consent::ConsentGate;
use crate::erasure::{Job, Stage};
use crate::retention::Purpose as Read;
use crate::roles::{Cleared, Handing};
use crate::{CallId, Country, EventId, Scope, Scopes, SubjectId, TenantId, Time};

pub use destination::{BadDestination, Destination, DestinationKind};
pub use start::{Endpoint, NotStarting, Place, check_start};
pub use transfer::{Ended, Transfer, TransferId};

/// What goes out, by sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What was said, or what was made of it.
    Content,
    /// How it sounded.
    Recording,
    /// When, how long, how it ended; no word of it.
    Metadata,
    /// That something is to be erased, by pseudonym.
    ErasureOrder,
}

impl Sort {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Recording => "recording",
            Self::Metadata => "metadata",
            Self::ErasureOrder => "erasure_order",
        }
    }
}

/// What it goes out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To understand and answer the caller. It is kept nowhere.
    Answer,
    /// To have it done or kept by another system.
    Deliver,
    /// To learn from it.
    Analytics,
    /// The subject gets what is theirs.
    Export,
    /// Somebody gets it who may ask for it by law.
    Disclosure,
    Erasure,
}

impl Purpose {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Deliver => "deliver",
            Self::Analytics => "analytics",
            Self::Export => "export",
            Self::Disclosure => "disclosure",
            Self::Erasure => "erasure",
        }
    }

    /// As what [`crate::retention::may_read`] must allow it, before it is sent.
    pub fn read(self) -> Read {
        match self {
            Self::Answer | Self::Deliver => Read::Service,
            Self::Analytics => Read::Analytics,
            Self::Export => Read::Subject,
            Self::Disclosure | Self::Erasure => Read::Proof,
        }
    }
}

/// One sending within what a call's subject agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub id: TransferId,
    pub sort: Sort,
    /// `Answer`, `Deliver` or `Analytics`; the others have ways of their own.
    pub purpose: Purpose,
    pub bytes: u64,
    pub at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("no destination has this name: declare it as [[destination]] in the policy, or send nothing there")]
    Unknown,
    #[error("'{scope}' was not granted: ask the subject for it")]
    NotGranted { scope: Scope },
    #[error("a destination of this kind gets no {}: send it elsewhere", .sort.word())]
    NotForThisKind { sort: Sort },
    #[error("for '{}' there is a way of its own: two people's approval, or an erasure", .purpose.word())]
    OtherWay { purpose: Purpose },
    #[error("the approval has run out: ask for a new one")]
    Expired,
    #[error("the erasure is not at its connected systems yet: ask it what is next")]
    NotYet,
    #[error("this destination received nothing of the subject, or has answered: it gets no order")]
    ReceivedNothing,
}

/// The right to send this once, to this place. Only the [`Broker`] makes one.
///
/// It borrows the gate, so nothing can be withdrawn between the asking and the sending:
///
/// ```compile_fail
/// use privacy::consent::{ConsentGate, Which, Withdrawal};
/// use privacy::egress::{Broker, Request};
/// fn send(broker: &Broker, gate: &mut ConsentGate, request: Request, how: Withdrawal) {
///     let ticket = broker.ask("crm", gate, request);
///     let purge = gate.withdraw(request.at, &Which::All, how);
///     drop((ticket, purge));
/// }
/// ```
///
/// Withdrawn after it, the same compiles:
///
/// ```
/// use privacy::consent::{ConsentGate, Which, Withdrawal};
/// use privacy::egress::{Broker, Request};
/// fn send(broker: &Broker, gate: &mut ConsentGate, request: Request, how: Withdrawal) {
///     let ticket = broker.ask("crm", gate, request);
///     drop(ticket);
///     let purge = gate.withdraw(request.at, &Which::All, how);
///     drop(purge);
/// }
/// ```
///
/// And nobody else can make one:
///
/// ```compile_fail
/// let ticket = privacy::egress::Ticket { url: "https://far.example".into() };
/// ```
#[derive(Debug)]
#[must_use = "a ticket that is dropped sends nothing"]
pub struct Ticket<'g> {
    destination: Destination,
    transfer: Transfer,
    gate: PhantomData<&'g ConsentGate>,
}

impl Ticket<'_> {
    /// The only place it is good for.
    pub fn url(&self) -> &str {
        &self.destination.url
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The row for the log. Write it before the first byte leaves: whoever may have received data must be
    /// known even if we die in between.
    pub fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// It was sent, or it failed; the row to write over the first one.
    pub fn ended(self, ended: Ended, now: Time) -> Transfer {
        Transfer { ended: Some(ended), ended_at: Some(now), ..self.transfer }
    }
}

/// Every destination there is. What is not here gets nothing.
#[derive(Debug, Clone)]
pub struct Broker {
    tenant: TenantId,
    residency: Option<Country>,
    destinations: BTreeMap<String, Destination>,
}

/// More are no configuration but a mistake.
const DESTINATIONS_MOST: usize = 256;

impl Broker {
    /// # Errors
    /// Where a destination makes no sense, or two have one name.
    pub fn new(
        tenant: TenantId,
        residency: Option<Country>,
        destinations: impl IntoIterator<Item = Destination>,
    ) -> Result<Self, BadDestination> {
        let mut known = BTreeMap::new();
        for destination in destinations {
            destination.check()?;
            let name = destination.name.clone();
            if known.insert(name.clone(), destination).is_some() {
                return Err(BadDestination::Twice(name));
            }
            if known.len() > DESTINATIONS_MOST {
                return Err(BadDestination::TooMany(DESTINATIONS_MOST));
            }
        }
        Ok(Self { tenant, residency, destinations: known })
    }

    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.values()
    }

    /// Every scope that must be granted before this goes there.
    pub fn needs(&self, destination: &Destination, sort: Sort, purpose: Purpose) -> Scopes {
        let mut needs = destination.scopes.clone();
        needs.extend(destination.kind_needs());
        match (purpose, sort) {
            // Understood and forgotten: that a machine may listen is enough.
            (Purpose::Answer, _) => needs.extend([Scope::AiProcess]),
            (_, Sort::Content) => needs.extend([Scope::Transcript]),
            (_, Sort::Recording) => needs.extend([Scope::Audio]),
            (_, Sort::Metadata | Sort::ErasureOrder) => {}
        }
        if purpose == Purpose::Analytics {
            needs.insert(Scope::Analytics);
        }
        if self.is_abroad(destination) {
            needs.insert(Scope::Xborder(destination.country));
        }
        needs
    }

    fn is_abroad(&self, destination: &Destination) -> bool {
        self.residency.is_some_and(|home| home != destination.country)
    }

    /// In a call, within what was agreed to.
    ///
    /// # Errors
    /// Where anything is missing; says what.
    pub fn ask<'g>(&self, name: &str, gate: &'g ConsentGate, request: Request) -> Result<Ticket<'g>, Denied> {
        let Request { sort, purpose, .. } = request;
        if !matches!(purpose, Purpose::Answer | Purpose::Deliver | Purpose::Analytics) || sort == Sort::ErasureOrder {
            return Err(Denied::OtherWay { purpose });
        }
        let destination = self.destinations.get(name).ok_or(Denied::Unknown)?;
        if !destination.kind.takes(sort, purpose) {
            return Err(Denied::NotForThisKind { sort });
        }
        let mut events = Vec::new();
        let scopes = self.needs(destination, sort, purpose);
        for scope in &scopes {
            let permit = gate.permit(scope).ok_or_else(|| Denied::NotGranted { scope: scope.clone() })?;
            let event = permit.event();
            if !events.contains(&event) {
                events.push(event);
            }
        }
        let about = (Some(gate.call()), gate.subject());
        Ok(self.ticket(destination, about, (scopes, events), request))
    }

    /// To the subject, or to somebody who may ask for it by law: two people agreed. Abroad it needs the
    /// subject's consent too, as everything does; `granted` is what stands of it: [`Past::kept`](crate::consent::Past::kept).
    ///
    /// # Errors
    /// Where the approval does not fit, or has run out.
    pub fn hand_over(
        &self,
        cleared: Cleared,
        granted: &Scopes,
        (id, sort, bytes, at): (TransferId, Sort, u64, Time),
    ) -> Result<Ticket<'static>, Denied> {
        let destination = self.destinations.get(cleared.destination()).ok_or(Denied::Unknown)?;
        let purpose = match cleared.what() {
            Handing::Export => Purpose::Export,
            Handing::Disclosure => Purpose::Disclosure,
        };
        if !destination.kind.takes(sort, purpose) {
            return Err(Denied::NotForThisKind { sort });
        }
        if at >= cleared.expires() {
            return Err(Denied::Expired);
        }
        let mut scopes = Scopes::new();
        if self.is_abroad(destination) {
            let scope = Scope::Xborder(destination.country);
            if !granted.contains(&scope) {
                return Err(Denied::NotGranted { scope });
            }
            scopes.insert(scope);
        }
        let mut ticket = self.ticket(
            destination,
            (None, cleared.subject()),
            (scopes, vec![]),
            Request { id, sort, purpose, bytes, at },
        );
        ticket.transfer.approval = Some(cleared.approval());
        Ok(ticket)
    }

    /// The order to erase, to a system that received data. It needs no consent: it carries none of the
    /// data, and to withhold it would keep the data there.
    ///
    /// # Errors
    /// Where nothing went there, or it is no longer configured.
    pub fn order_erasure(
        &self,
        name: &str,
        job: &Job,
        (id, bytes, at): (TransferId, u64, Time),
    ) -> Result<Ticket<'static>, Denied> {
        if job.stage() != Stage::DatabaseCompacted {
            return Err(Denied::NotYet);
        }
        if !job.open().contains(name) {
            return Err(Denied::ReceivedNothing);
        }
        let destination = self.destinations.get(name).ok_or(Denied::Unknown)?;
        let request = Request { id, sort: Sort::ErasureOrder, purpose: Purpose::Erasure, bytes, at };
        let mut ticket = self.ticket(destination, (None, job.subject()), (Scopes::new(), vec![]), request);
        ticket.transfer.erasure = Some(job.id());
        Ok(ticket)
    }

    fn ticket<'g>(
        &self,
        destination: &Destination,
        (call, subject): (Option<CallId>, SubjectId),
        (scopes, events): (Scopes, Vec<EventId>),
        request: Request,
    ) -> Ticket<'g> {
        let transfer = Transfer {
            id: request.id,
            tenant: self.tenant.clone(),
            call,
            subject,
            destination: destination.name.clone(),
            kind: destination.kind,
            country: destination.country,
            abroad: self.is_abroad(destination),
            sort: request.sort,
            purpose: request.purpose,
            bytes: request.bytes,
            scopes,
            events,
            approval: None,
            erasure: None,
            at: request.at,
            ended: None,
            ended_at: None,
        };
        Ticket { destination: destination.clone(), transfer, gate: PhantomData }
    }
}

#[cfg(test)]
mod tests;
