//! Exports and disclosures on the wire. The document itself goes to its destination, never into an answer here.

use std::sync::Arc;

use ::privacy::roles::{Approval, ApprovalId, Handing, Why};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::looks::TransferBody;
use super::{Answer, Body, Id, Office, Visitor, WhomBody, at, by};
use crate::desk::Form;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    what: Handing,
    who: WhomBody,
    /// Name of a `[[destination]]` of kind `export`.
    destination: String,
    why: Why,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    approved: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOverBody {
    #[serde(default)]
    form: Form,
}

#[derive(Serialize)]
struct ApprovalBody {
    id: String,
    what: Handing,
    subject: String,
    destination: String,
    asked_by: String,
    asked: String,
    why: Why,
    /// None: nobody has decided.
    approved: Option<bool>,
    decided_by: Option<String>,
    decided: Option<String>,
    /// From then on it is void.
    expires: String,
    used: Option<String>,
}

#[derive(Serialize)]
struct ListBody {
    approvals: Vec<ApprovalBody>,
}

#[derive(Serialize)]
struct HandedBody {
    approval: ApprovalBody,
    transfer: Option<TransferBody>,
}

impl From<Approval> for ApprovalBody {
    fn from(approval: Approval) -> Self {
        let decision = approval.decision.as_ref();
        Self {
            id: approval.id.to_string(),
            what: approval.what,
            subject: approval.subject.to_string(),
            approved: decision.map(|d| d.approved),
            decided_by: decision.map(|d| by(&d.by)),
            decided: decision.map(|d| at(d.at)),
            destination: approval.destination,
            asked_by: by(&approval.asked_by),
            asked: at(approval.asked),
            why: approval.why,
            expires: at(approval.expires),
            used: approval.used.map(at),
        }
    }
}

pub async fn list(State(office): State<Arc<Office>>, Visitor(who): Visitor) -> Answer<Response> {
    let approvals = office.desk.approvals(&who).await?.into_iter().map(ApprovalBody::from).collect();
    Ok(Json(ListBody { approvals }).into_response())
}

pub async fn ask(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Body(body): Body<AskBody>,
) -> Answer<Response> {
    let asked = office.desk.ask_approval(&who, body.what, &body.who.into(), &body.destination, body.why).await?;
    Ok((StatusCode::CREATED, Json(ApprovalBody::from(asked))).into_response())
}

pub async fn decide(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<DecisionBody>,
) -> Answer<Response> {
    let decided = office.desk.decide(&who, id.read(ApprovalId::parse)?, body.approved).await?;
    Ok(Json(ApprovalBody::from(decided)).into_response())
}

pub async fn hand_over(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<HandOverBody>,
) -> Answer<Response> {
    let handed = office.desk.hand_over(&who, id.read(ApprovalId::parse)?, body.form).await?;
    let body = HandedBody { approval: handed.approval.into(), transfer: handed.transfer.map(Into::into) };
    Ok(Json(body).into_response())
}
