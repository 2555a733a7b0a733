//! A row of the transfer log: what sort of data went where, when, and by whose leave. No content.

use serde::{Deserialize, Serialize};

use crate::egress::{DestinationKind, Purpose, Sort};
use crate::erasure::JobId;
use crate::roles::{ApprovalId, random_name};
use crate::{CallId, Country, EventId, Scopes, SubjectId, TenantId, Time};

random_name! {
    /// One sending.
    TransferId
}

/// How a sending ended, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Sent,
    /// Something may have arrived all the same.
    Failed,
}

impl Ended {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// One row of `transfers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    pub tenant: TenantId,
    pub call: Option<CallId>,
    pub subject: SubjectId,
    /// Name of the destination.
    pub destination: String,
    pub kind: DestinationKind,
    pub country: Country,
    /// Another country than the residency.
    pub abroad: bool,
    pub sort: Sort,
    pub purpose: Purpose,
    pub bytes: u64,
    /// Those it rests on, and the events that granted them.
    pub scopes: Scopes,
    pub events: Vec<EventId>,
    /// Two people's, where it was handed over.
    pub approval: Option<ApprovalId>,
    /// Of an order to erase.
    pub erasure: Option<JobId>,
    #[serde(rename = "at_unix_ms")]
    pub at: Time,
    /// None: under way, or we died on the way.
    pub ended: Option<Ended>,
    #[serde(rename = "ended_unix_ms")]
    pub ended_at: Option<Time>,
}

impl Transfer {
    /// Whether the destination may hold data of the subject because of it: then an erasure goes there too.
    pub fn may_hold_data(&self) -> bool {
        self.sort != Sort::ErasureOrder
    }
}
