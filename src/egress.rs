//! The one way by which data leaves the gateway: every HTTP client is here, but those of the model files and of the
//! rehearsal, which carry nobody's data. What may leave is decided by `privacy::egress`. Nothing is sent without its
//! ticket, and nothing follows a redirect or a proxy to a place that was not declared.

mod erasing;
mod handing;
mod outcomes;
mod parcel;
mod sign;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::privacy::consent::ConsentGate;
use ::privacy::egress::{
    Broker, Denied, Destination, DestinationKind, Purpose, Request, Sort, Ticket, Transfer, TransferId,
};
use ::privacy::{Scopes, Time};
use futures_util::future::BoxFuture;
use sip::Private;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::clock;
use crate::config::is_local;
use crate::random;

pub use erasing::RECEIPT_BYTES_MAX;
pub use outcomes::Completed;
pub use parcel::{Parcel, Reply, SendError};

/// A place that does not take a connection in this time is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
#[error("the HTTP client did not start: {0}")]
pub struct NoClient(#[from] reqwest::Error);

/// The row was not written, so nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transfer log cannot be written")]
pub struct NotLogged;

/// Where the transfer log is kept.
pub trait TransferLog: Send + Sync {
    /// Done when the row is on the disk. A row of the same id is written over.
    fn write(&self, row: Transfer) -> BoxFuture<'_, Result<(), NotLogged>>;
}

/// What is to be sent, before anybody has decided whether.
pub struct Cargo {
    pub sort: Sort,
    pub purpose: Purpose,
    /// JSON, or as a parcel's type says.
    pub body: Zeroizing<Vec<u8>>,
    /// Names the message: the same message sent again has the same name.
    pub name: String,
    pub patience: Duration,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    broker: Broker,
    client: reqwest::Client,
    /// By the destination's name: with it what we send there is signed.
    secrets: BTreeMap<String, Private<String>>,
    log: Arc<dyn TransferLog>,
    runtime: Handle,
    under_way: outcomes::UnderWay,
}

impl Egress {
    /// Must be called on the runtime that will do the waiting.
    ///
    /// # Errors
    /// Where the HTTP client does not start.
    pub fn open(
        broker: Broker,
        secrets: BTreeMap<String, Private<String>>,
        log: Arc<dyn TransferLog>,
    ) -> Result<Self, NoClient> {
        let client = reqwest::Client::builder()
            // Both would take data to a place that nobody declared.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .build()?;
        let (runtime, under_way) = (Handle::current(), outcomes::UnderWay::default());
        Ok(Self(Arc::new(Inner { broker, client, secrets, log, runtime, under_way })))
    }

    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.broker.destinations()
    }

    pub fn destination(&self, name: &str) -> Option<&Destination> {
        self.destinations().find(|d| d.name == name)
    }

    /// The destination of this kind whose scheme, host and port the URL has.
    pub fn serving(&self, kind: DestinationKind, url: &str) -> Option<&Destination> {
        self.destinations().find(|d| d.kind == kind && d.serves(url))
    }

    /// Every scope that has to be granted before this goes there.
    pub fn needs(&self, destination: &Destination, sort: Sort, purpose: Purpose) -> Scopes {
        self.0.broker.needs(destination, sort, purpose)
    }

    /// Whether it may be sent, as the call's consent stands now. What is packed may still be dropped: whoever has
    /// it drops it when consent is withdrawn.
    ///
    /// # Errors
    /// Where anything is missing; says what.
    pub fn pack(&self, destination: &str, gate: &ConsentGate, cargo: Cargo) -> Result<Parcel, Denied> {
        let (sort, purpose) = (cargo.sort, cargo.purpose);
        let (id, bytes) = (transfer_id(), size(&cargo.body));
        let request = Request { id, sort, purpose, bytes, at: Time(clock::unix_ms()) };
        let ticket = self.0.broker.ask(destination, gate, request).inspect_err(denied)?;
        Ok(self.parcel(&ticket, cargo))
    }

    /// To a program on this machine: it leaves nothing, so nobody is asked and no row is written. None: the address
    /// is another machine's.
    pub fn pack_here(&self, url: &str, cargo: Cargo) -> Option<Parcel> {
        is_local(url).then(|| Parcel::new(self.clone(), url.into(), None, cargo))
    }

    fn parcel(&self, ticket: &Ticket<'_>, cargo: Cargo) -> Parcel {
        Parcel::new(self.clone(), ticket.url().into(), Some(ticket.transfer().clone()), cargo)
    }
}

fn transfer_id() -> TransferId {
    TransferId(random::bits() as u64)
}

fn size(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

/// Counted, and no more: a refusal is what was wished for, and who was asked is in the call's consent events.
fn denied(why: &Denied) {
    let reason = match why {
        Denied::Unknown => "unknown",
        Denied::NotGranted { .. } => "not_granted",
        Denied::NotForThisKind { .. } => "not_for_this_kind",
        Denied::OtherWay { .. } => "other_way",
        Denied::Expired => "expired",
        Denied::NotYet => "not_yet",
        Denied::ReceivedNothing => "received_nothing",
    };
    metrics::counter!("dauys_egress_denied_total", "reason" => reason).increment(1);
}
