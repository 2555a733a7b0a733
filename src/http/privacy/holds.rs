//! Legal holds on the wire. It keeps none.

use std::sync::Arc;

use ::privacy::CallId;
use ::privacy::retention::{Hold, HoldId, What};
use ::privacy::roles::Why;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Answer, Body, Id, Office, Visitor, WhomBody, WhyBody, at, by, moment};
use crate::desk::Cover;

/// One of the three.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverBody {
    /// `{"all": {}}`: everything there is.
    All {},
    Call(CallId),
    Who(WhomBody),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    covers: CoverBody,
    why: Why,
    until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendBody {
    why: Why,
    until: String,
}

#[derive(Serialize)]
struct HoldBody {
    id: String,
    covers: What,
    owner: String,
    why: Why,
    from: String,
    until: String,
    released: Option<ReleasedBody>,
}

#[derive(Serialize)]
struct ReleasedBody {
    by: String,
    at: String,
    why: Why,
}

#[derive(Serialize)]
struct ListBody {
    holds: Vec<HoldBody>,
}

impl From<Hold> for HoldBody {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id.to_string(),
            covers: hold.covers.what().clone(),
            owner: hold.owner.to_string(),
            why: hold.reason,
            from: at(hold.from),
            until: at(hold.until),
            released: hold.released.map(|r| ReleasedBody { by: by(&r.by), at: at(r.at), why: r.why }),
        }
    }
}

pub async fn list(State(office): State<Arc<Office>>, Visitor(who): Visitor) -> Answer<Response> {
    let holds = office.desk.holds(&who).await?.into_iter().map(HoldBody::from).collect();
    Ok(Json(ListBody { holds }).into_response())
}

pub async fn place(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    Body(body): Body<PlaceBody>,
) -> Answer<Response> {
    let cover = match body.covers {
        CoverBody::All {} => Cover::All,
        CoverBody::Call(call) => Cover::Call(call),
        CoverBody::Who(whom) => Cover::Subject(whom.into()),
    };
    let hold = office.desk.place_hold(&who, cover, body.why, moment(&body.until)?).await?;
    Ok((StatusCode::CREATED, Json(HoldBody::from(hold))).into_response())
}

pub async fn extend(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<ExtendBody>,
) -> Answer<Response> {
    let hold = office.desk.extend_hold(&who, id.read(HoldId::parse)?, body.why, moment(&body.until)?).await?;
    Ok(Json(HoldBody::from(hold)).into_response())
}

pub async fn release(
    State(office): State<Arc<Office>>,
    Visitor(who): Visitor,
    id: Id,
    Body(body): Body<WhyBody>,
) -> Answer<Response> {
    let hold = office.desk.release_hold(&who, id.read(HoldId::parse)?, body.why).await?;
    Ok(Json(HoldBody::from(hold)).into_response())
}
