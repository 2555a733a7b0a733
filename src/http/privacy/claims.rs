//! Claims on the wire, each with its clock. It answers none.

use std::sync::Arc;

use ::privacy::CallId;
use ::privacy::register::{Answer as Answered, Claim, ClaimId, Claimed, Did, Standing};
use ::privacy::roles::Why;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Answer, Asked, Body, Id, NothingBody, Office, Visitor, WhomBody, WhyBody, at, by};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBody {
    what: Claimed,
    who: WhomBody,
    /// The call it is about; absent: everything of the subject.
    call: Option<CallId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerBody {
    answer: Answered,
    why: Why,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Also those that were answered.
    #[serde(default)]
    closed: bool,
}

#[derive(Serialize)]
struct ClaimBody {
    id: String,
    subject: String,
    what: Claimed,
    call: Option<String>,
    got: String,
    /// It must be answered before this moment.
    until: String,
    /// `open`, `near`, `overdue` or `closed`.
    standing: &'static str,
    answer: Option<Answered>,
    /// Answered after its time.
    late: bool,
    /// What it is about is not used meanwhile.
    blocks: bool,
    taken_by: Option<String>,
    events: Vec<EventBody>,
}

#[derive(Serialize)]
struct EventBody {
    did: Did,
    at: String,
    /// None: the subject.
    by: Option<String>,
    why: Option<Why>,
}

#[derive(Serialize)]
struct ListBody {
    claims: Vec<ClaimBody>,
}

impl ClaimBody {
    fn of(claim: &Claim, standing: Standing) -> Self {
        let (word, answer, late) = match standing {
            Standing::Open { .. } => ("open", None, false),
            Standing::Near { .. } => ("near", None, false),
            Standing::Overdue { .. } => ("overdue", None, true),
            Standing::Closed { answer, late } => ("closed", Some(answer), late),
        };
        let event = |event: &::privacy::register::Event| EventBody {
            did: event.did.clone(),
            at: at(event.at),
            by: event.by.as_ref().map(by),
            why: event.why.clone(),
        };
        Self {
            id: claim.id.to_string(),
            subject: claim.subject.to_string(),
            what: claim.what,
            call: claim.call.map(|call| call.to_string()),
            got: at(claim.got),
            until: at(claim.until),
            standing: word,
            answer,
            late,
            blocks: claim.blocks(),
            taken_by: claim.taken_by().map(by),
            events: claim.events().iter().map(event).collect(),
        }
    }
}

pub async fn list(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Asked(query): Asked<ListQuery>,
) -> Answer<Response> {
    let claims = office.desk.claims(&who, query.closed).await?;
    let claims = claims.iter().map(|(claim, standing)| ClaimBody::of(claim, *standing)).collect();
    Ok(Json(ListBody { claims }).into_response())
}

pub async fn one(State(office): State<Arc<Office>>, Visitor(who): Visitor, id: Id) -> Answer<Response> {
    shown(&office, &who, id.read(ClaimId::parse)?).await
}

pub async fn open(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Body(body): Body<OpenBody>,
) -> Answer<Response> {
    let claim = office.desk.claim(&who, &body.who.into(), body.what, body.call).await?;
    let (claim, standing) = office.desk.one_claim(&who, claim.id).await?;
    Ok((StatusCode::CREATED, Json(ClaimBody::of(&claim, standing))).into_response())
}

pub async fn take(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(NothingBody {}): Body<NothingBody>,
) -> Answer<Response> {
    let id = id.read(ClaimId::parse)?;
    office.desk.take_claim(&who, id).await?;
    shown(&office, &who, id).await
}

pub async fn answer(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<AnswerBody>,
) -> Answer<Response> {
    let id = id.read(ClaimId::parse)?;
    office.desk.answer_claim(&who, id, body.answer, body.why).await?;
    shown(&office, &who, id).await
}

pub async fn unblock(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<WhyBody>,
) -> Answer<Response> {
    let id = id.read(ClaimId::parse)?;
    office.desk.unblock(&who, id, body.why).await?;
    shown(&office, &who, id).await
}

async fn shown(office: &Office, who: &::privacy::roles::Actor, id: ClaimId) -> Answer<Response> {
    let (claim, standing) = office.desk.one_claim(who, id).await?;
    Ok(Json(ClaimBody::of(&claim, standing)).into_response())
}
