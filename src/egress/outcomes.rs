//! Forms that callers completed, told to the webhooks and connected systems of the policy. What was said in them goes
//! only where it was granted; elsewhere goes no more than that a form was completed. It keeps nothing on the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::privacy::consent::ConsentGate;
use ::privacy::egress::{DestinationKind, Purpose, Sort};
use ::privacy::{CallId, Scopes};
use serde::Serialize;
use tokio::task::AbortHandle;
use tracing::warn;
use zeroize::Zeroizing;

use super::{Cargo, Egress, Parcel, SendError};
use crate::clock;
use crate::dialogue::{Details, Outcome};

/// Deliveries under way; one more is given up, and counted.
const UNDER_WAY_MAX: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure it is tried again after these many seconds; then it is given up.
const AGAIN_S: [u64; 5] = [1, 5, 30, 120, 600];

/// A form that was completed, and in which call.
pub struct Completed<'a> {
    pub agent: &'a str,
    /// Counts within the call, from 0: the same outcome has the same name wherever it is sent.
    pub number: usize,
    pub outcome: &'a Outcome,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    call: String,
    subject: String,
    agent: &'a str,
    form: &'a str,
    outcome: &'static str,
    at: String,
    /// Absent where it was not granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailsBody<'a>>,
}

#[derive(Serialize)]
struct DetailsBody<'a> {
    day: Option<String>,
    time: Option<String>,
    name: Option<&'a str>,
    phone: Option<&'a str>,
}

impl<'a> DetailsBody<'a> {
    fn of(details: &'a Details) -> Self {
        Self {
            day: details.day.map(|day| day.to_string()),
            time: details.time.map(|time| time.strftime("%H:%M").to_string()),
            name: details.name.as_deref(),
            phone: details.phone.as_deref(),
        }
    }
}

/// One that has not arrived yet.
struct Delivery {
    call: CallId,
    /// That it rests on.
    scopes: Scopes,
    task: AbortHandle,
}

#[derive(Default)]
pub(super) struct UnderWay(Mutex<Vec<Delivery>>);

impl UnderWay {
    fn all(&self) -> MutexGuard<'_, Vec<Delivery>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|delivery| !delivery.task.is_finished());
        all
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }
}

impl Egress {
    /// Tells every webhook and connected system that may know. Waits for none of them.
    pub fn completed(&self, gate: &ConsentGate, what: &Completed<'_>) {
        let told = |kind| matches!(kind, DestinationKind::Webhook | DestinationKind::Connected);
        for destination in self.destinations().filter(|d| told(d.kind)) {
            let cargo = |sort| cargo(gate, what, sort);
            let content = self.pack(&destination.name, gate, cargo(Sort::Content));
            let parcel = content.or_else(|_| self.pack(&destination.name, gate, cargo(Sort::Metadata)));
            if let Ok(parcel) = parcel {
                self.deliver(gate.call(), parcel);
            }
        }
    }

    /// What rests on one of these scopes and is still on its way stays here: they were withdrawn.
    pub fn withdrawn(&self, call: CallId, scopes: &Scopes) {
        let all = self.0.under_way.all();
        all.iter().filter(|d| d.call == call && !d.scopes.is_disjoint(scopes)).for_each(|d| d.task.abort());
    }

    /// Whatever is still on its way of this call stays here: it is being erased.
    pub fn stop(&self, call: CallId) {
        self.0.under_way.all().iter().filter(|d| d.call == call).for_each(|d| d.task.abort());
    }

    fn deliver(&self, call: CallId, parcel: Parcel) {
        let mut all = self.0.under_way.all();
        if all.len() >= UNDER_WAY_MAX {
            metrics::counter!("dauys_outcomes_lost_total").increment(1);
            warn!(%call, "too many completed forms wait for their destinations; this one is not told");
            return;
        }
        let (destination, scopes) = match parcel.transfer() {
            Some(row) => (row.destination.clone(), row.scopes.clone()),
            None => return,
        };
        let task = self.0.runtime.spawn(async move {
            if let Err(error) = until_taken(parcel).await {
                metrics::counter!("dauys_outcomes_lost_total").increment(1);
                warn!(%call, destination, %error, "a completed form was not taken; it is given up");
            }
        });
        all.push(Delivery { call, scopes, task: task.abort_handle() });
    }
}

async fn until_taken(parcel: Parcel) -> Result<(), SendError> {
    for wait_s in AGAIN_S {
        match parcel.send().await.and_then(super::Reply::accepted) {
            Err(error) if error.is_passing() => tokio::time::sleep(Duration::from_secs(wait_s)).await,
            taken => return taken.map(drop),
        }
    }
    parcel.send().await?.accepted().map(drop)
}

fn cargo(gate: &ConsentGate, what: &Completed<'_>, sort: Sort) -> Cargo {
    let details = match what.outcome {
        Outcome::Booked(details) | Outcome::Cancelled(details) => details,
    };
    let body = Body {
        kind: "outcome.completed",
        call: gate.call().to_string(),
        subject: gate.subject().to_string(),
        agent: what.agent,
        form: &details.form,
        outcome: what.outcome.done().kind.word(),
        at: clock::rfc3339(clock::unix_ms()),
        details: (sort == Sort::Content).then(|| DetailsBody::of(details)),
    };
    Cargo {
        sort,
        purpose: Purpose::Deliver,
        // Strings and numbers always become JSON.
        body: Zeroizing::new(serde_json::to_vec(&body).unwrap_or_default()),
        name: format!("outcome-{}-{}", gate.call(), what.number),
        patience: PATIENCE,
    }
}
