//! Erasures on the wire. It shows pseudonyms and numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::privacy::erasure::{Alarm, AskedBy, Job, JobId};
use ::privacy::roles::Why;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::hex::unhex;

use super::{Answer, Asked, Body, Id, Office, Trouble, Visitor, WhomBody, WhomQuery, at, by, document};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    who: WhomBody,
    why: Why,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    destination: String,
    /// SHA-256 of what the system wrote, as hex.
    sha256: String,
    why: Why,
}

#[derive(Serialize)]
struct ErasureBody {
    id: String,
    subject: String,
    asked_by: String,
    policy: String,
    stage: &'static str,
    /// Each stage and when it was reached, in order.
    reached: Vec<(&'static str, String)>,
    /// By then it must be done; none: a hold stops it.
    until: Option<String>,
    hold: Option<String>,
    /// What there was, by table.
    rows: BTreeMap<String, u64>,
    files: u64,
    keys: usize,
    destinations: Vec<DestinationBody>,
    alarms: Vec<Alarm>,
    /// SHA-256 of the signed proof.
    proof: Option<String>,
}

#[derive(Serialize)]
struct DestinationBody {
    name: String,
    state: ::privacy::erasure::FanState,
}

#[derive(Serialize)]
struct ListBody {
    erasures: Vec<ErasureBody>,
}

impl ErasureBody {
    fn of(job: &Job, alarms: Vec<Alarm>) -> Self {
        let found = job.inventory();
        let fan =
            |f: &::privacy::erasure::Fan| DestinationBody { name: f.destination().into(), state: f.state().clone() };
        Self {
            id: job.id().to_string(),
            subject: job.subject().to_string(),
            asked_by: match job.asked_by() {
                AskedBy::Subject => "subject".into(),
                AskedBy::System => "system".into(),
                AskedBy::Staff(who) => by(who),
            },
            policy: job.policy().into(),
            stage: job.stage().word(),
            reached: job.history().iter().map(|(stage, when)| (stage.word(), at(*when))).collect(),
            until: job.deadline().map(at),
            hold: job.held().map(|hold| hold.to_string()),
            rows: found.rows.clone(),
            files: found.files,
            keys: found.keys.len(),
            destinations: job.fans().iter().map(fan).collect(),
            alarms,
            proof: job.proof().map(Into::into),
        }
    }
}

/// 202: it is asked for; GET tells how far it is.
pub async fn ask(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Body(body): Body<AskBody>,
) -> Answer<Response> {
    let job = office.desk.erase(&who, &body.who.into(), &body.why).await?;
    Ok((StatusCode::ACCEPTED, Json(ErasureBody::of(&job, vec![]))).into_response())
}

/// Those that are not done; of one subject or call all of them.
pub async fn list(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Asked(query): Asked<WhomQuery>,
) -> Answer<Response> {
    let jobs = office.desk.erasures(&who, query.whom().as_ref()).await?;
    let erasures = jobs.into_iter().map(|(job, alarms)| ErasureBody::of(&job, alarms)).collect();
    Ok(Json(ListBody { erasures }).into_response())
}

pub async fn one(State(office): State<Arc<Office>>, Visitor(who): Visitor, id: Id) -> Answer<Response> {
    let (job, alarms) = office.desk.erasure(&who, id.read(JobId::parse)?).await?;
    Ok(Json(ErasureBody::of(&job, alarms)).into_response())
}

/// The signed document as it was made: another space in it would be fine, another letter not.
pub async fn proof(State(office): State<Arc<Office>>, Visitor(who): Visitor, id: Id) -> Answer<Response> {
    Ok(document(office.desk.proof(&who, id.read(JobId::parse)?).await?))
}

pub async fn receipt(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<ReceiptBody>,
) -> Answer<Response> {
    let hash = unhex(&body.sha256).and_then(|bytes| bytes.try_into().ok());
    let hash = hash.ok_or_else(|| Trouble::bad("`sha256` is 64 hex digits: of the receipt's bytes"))?;
    let job = id.read(JobId::parse)?;
    let job = office.desk.receipt(&who, job, (&body.destination, hash), &body.why).await?;
    Ok(Json(ErasureBody::of(&job, vec![])).into_response())
}
