//! The order to erase, to a system that received data, and what its answer means. Whom to tell and when again is the
//! erasure's business.

use std::time::Duration;

use ::privacy::Time;
use ::privacy::egress::{Denied, Purpose, Sort};
use ::privacy::erasure::{Job, Stage};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tracing::warn;
use zeroize::Zeroizing;

use super::parcel::passes;
use super::{Cargo, Egress, Parcel, denied, size, transfer_id};
use crate::clock;
use crate::vault::fan::{Answered, Orders};

/// Longest receipt that is kept.
pub const RECEIPT_BYTES_MAX: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the system gets. It names the person by pseudonym, and the calls by the names under which data was sent.
#[derive(Serialize)]
struct Order<'a> {
    /// `erase`.
    order: &'static str,
    job: String,
    tenant: &'a str,
    subject: String,
    calls: Vec<String>,
    asked: String,
    /// By then it must be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// What it answers when the data is gone.
#[derive(Deserialize)]
struct Receipt {
    job: String,
    erased: bool,
}

impl Egress {
    /// Tells one system to erase, under the job's name: an order with a known name is the same order.
    ///
    /// # Errors
    /// Where nothing went there, it is no longer configured, or the erasure is not there yet.
    pub async fn order_erasure(&self, destination: &str, job: &Job) -> Result<Answered, Denied> {
        let parcel = self.erasure_order(destination, job)?;
        let answered = match parcel.send().await {
            Ok(reply) => {
                let status = reply.status();
                match status {
                    200..=299 => read(reply.body(RECEIPT_BYTES_MAX).await.unwrap_or_default(), job),
                    _ if passes(status) => Answered::Unreachable,
                    _ => Answered::Refused(status),
                }
            }
            Err(error) => {
                warn!(destination, job = %job.id(), %error, "an order to erase could not be sent; it is sent again");
                Answered::Unreachable
            }
        };
        Ok(answered)
    }

    fn erasure_order(&self, destination: &str, job: &Job) -> Result<Parcel, Denied> {
        let order = Order {
            order: "erase",
            job: job.id().to_string(),
            tenant: job.tenant().as_str(),
            subject: job.subject().to_string(),
            calls: job.inventory().calls.iter().map(ToString::to_string).collect(),
            asked: job.reached(Stage::Asked).map(|at| clock::rfc3339(at.0)).unwrap_or_default(),
            until: job.deadline().map(|at| clock::rfc3339(at.0)),
        };
        // Strings and numbers always become JSON.
        let body = Zeroizing::new(serde_json::to_vec(&order).unwrap_or_default());
        let about = (transfer_id(), size(&body), Time(clock::unix_ms()));
        let ticket = self.0.broker.order_erasure(destination, job, about).inspect_err(denied)?;
        let (sort, purpose, name) = (Sort::ErasureOrder, Purpose::Erasure, format!("erasure-{}", job.id()));
        Ok(self.parcel(&ticket, Cargo { sort, purpose, body, name, patience: PATIENCE }))
    }
}

/// Only a clear answer about this very order is a receipt: a page that says OK to everything has erased nothing.
fn read(document: Vec<u8>, job: &Job) -> Answered {
    match serde_json::from_slice::<Receipt>(&document) {
        Ok(receipt) if receipt.erased && receipt.job == job.id().to_string() => Answered::Receipt(document),
        _ => Answered::Taken,
    }
}

impl Orders for Egress {
    fn order<'a>(&'a self, job: &'a Job, destination: &'a str) -> BoxFuture<'a, Answered> {
        Box::pin(async move {
            self.order_erasure(destination, job).await.unwrap_or_else(|denied| {
                // It is no longer configured: an officer has to get its receipt, and is told so by the alarm.
                warn!(destination, job = %job.id(), %denied, "an order to erase may not be sent");
                Answered::Unreachable
            })
        })
    }
}
