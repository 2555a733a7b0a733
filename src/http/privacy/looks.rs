//! What may be looked at on the wire: consent events, transfers, what is due. No content is among it.

use std::sync::Arc;

use ::privacy::CallId;
use ::privacy::egress::Transfer;
use ::privacy::retention::Purpose;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Answer, Asked, Id, Office, Trouble, Visitor, WhomQuery, at};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeQuery {
    /// What they are read for.
    #[serde(rename = "for")]
    purpose: Purpose,
}

#[derive(Serialize)]
struct ConsentBody {
    call: String,
    /// Exactly as their ids are made of them; times are milliseconds since 1970 therefore.
    events: Vec<::privacy::consent::ConsentEvent>,
}

/// A row of the transfer log.
#[derive(Serialize)]
pub struct TransferBody {
    id: String,
    at: String,
    ended_at: Option<String>,
    /// `sent`, `failed`, or none where it is not known.
    ended: Option<&'static str>,
    call: Option<String>,
    subject: String,
    destination: String,
    kind: &'static str,
    country: String,
    abroad: bool,
    sort: &'static str,
    purpose: &'static str,
    bytes: u64,
    scopes: ::privacy::Scopes,
    events: Vec<::privacy::EventId>,
    approval: Option<String>,
    erasure: Option<String>,
}

#[derive(Serialize)]
struct TransfersBody {
    transfers: Vec<TransferBody>,
}

impl From<Transfer> for TransferBody {
    fn from(t: Transfer) -> Self {
        Self {
            id: t.id.to_string(),
            at: at(t.at),
            ended_at: t.ended_at.map(at),
            ended: t.ended.map(::privacy::egress::Ended::word),
            call: t.call.map(|call| call.to_string()),
            subject: t.subject.to_string(),
            destination: t.destination,
            kind: t.kind.word(),
            country: t.country.to_string(),
            abroad: t.abroad,
            sort: t.sort.word(),
            purpose: t.purpose.word(),
            bytes: t.bytes,
            scopes: t.scopes,
            events: t.events,
            approval: t.approval.map(|id| id.to_string()),
            erasure: t.erasure.map(|id| id.to_string()),
        }
    }
}

pub async fn consent(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Asked(query): Asked<PurposeQuery>,
) -> Answer<Response> {
    let call = id.read(CallId::parse)?;
    let events = office.desk.consent(&who, call, query.purpose).await?;
    Ok(Json(ConsentBody { call: call.to_string(), events }).into_response())
}

pub async fn transfers(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Asked(query): Asked<WhomQuery>,
) -> Answer<Response> {
    let whom = query.whom().ok_or_else(|| Trouble::bad("say of whom: ?subject= or ?call="))?;
    let transfers = office.desk.transfers(&who, &whom, query.purpose.unwrap_or(Purpose::Oversight)).await?;
    Ok(Json(TransfersBody { transfers: transfers.into_iter().map(TransferBody::from).collect() }).into_response())
}

pub async fn retention(State(office): State<Arc<Office>>, Visitor(who): Visitor) -> Answer<Response> {
    Ok(Json(office.desk.due(&who).await?).into_response())
}
