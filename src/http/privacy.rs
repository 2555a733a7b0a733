//! `/api/v1/privacy/...`: the privacy desk over HTTP, for staff with tokens of their own. Wire types live only here and
//! below; it decides nothing, and shows nobody's words.

mod approvals;
mod claims;
mod doors;
mod erasures;
mod holds;
mod looks;

use std::sync::Arc;

use ::privacy::retention::Purpose;
use ::privacy::roles::{By, RIGHTS, Why};
use ::privacy::{CallId, SubjectId, Time};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sip::Private;

use super::orders::refusal;
use crate::clock;
use crate::desk::{Desk, DeskError, Whom};

pub use doors::{Doors, DoorsError, Visitor};

/// Nothing that is asked here is longer.
const BODY_MAX: usize = 16 * 1024;

/// The desk, and who may come to it.
pub struct Office {
    pub desk: Desk,
    pub doors: Doors,
}

pub fn router(office: Arc<Office>) -> Router {
    let routes = Router::new()
        .route("/me", get(me))
        .route("/erasures", get(erasures::list).post(erasures::ask))
        .route("/erasures/{id}", get(erasures::one))
        .route("/erasures/{id}/proof", get(erasures::proof))
        .route("/erasures/{id}/receipts", post(erasures::receipt))
        .route("/holds", get(holds::list).post(holds::place))
        .route("/holds/{id}/extend", post(holds::extend))
        .route("/holds/{id}/release", post(holds::release))
        .route("/approvals", get(approvals::list).post(approvals::ask))
        .route("/approvals/{id}/decision", post(approvals::decide))
        .route("/approvals/{id}/hand-over", post(approvals::hand_over))
        .route("/claims", get(claims::list).post(claims::open))
        .route("/claims/{id}", get(claims::one))
        .route("/claims/{id}/take", post(claims::take))
        .route("/claims/{id}/answer", post(claims::answer))
        .route("/claims/{id}/unblock", post(claims::unblock))
        .route("/calls/{id}/consent", get(looks::consent))
        .route("/transfers", get(looks::transfers))
        .route("/retention", get(looks::retention))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(office);
    Router::new().nest("/api/v1/privacy", routes)
}

/// Why a request is refused, as it is told.
pub enum Trouble {
    Desk(DeskError),
    Asked(StatusCode, String),
}

impl Trouble {
    fn bad(error: impl Into<String>) -> Self {
        Self::Asked(StatusCode::BAD_REQUEST, error.into())
    }
}

impl<E: Into<DeskError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Desk(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::Asked(status, error) => refusal(status, error, None),
            Self::Desk(error) => {
                if let DeskError::Vault(inner) = &error {
                    tracing::warn!(error = %inner, "the privacy desk could not be served");
                }
                refusal(status(&error), error.to_string(), None)
            }
        }
    }
}

fn status(error: &DeskError) -> StatusCode {
    use ::privacy::register::NotDone;
    use ::privacy::retention::NoHold;
    use ::privacy::roles::NotCleared;
    match error {
        DeskError::NotAllowed(_)
        | DeskError::NotRead(_)
        | DeskError::Hold(NoHold::NotAllowed(_))
        | DeskError::Claim(NotDone::NotAllowed(_))
        | DeskError::Approval(
            NotCleared::NotAllowed(_) | NotCleared::SamePerson | NotCleared::SameRole | NotCleared::NotTheirs,
        ) => StatusCode::FORBIDDEN,
        DeskError::NotAnIdentifier(_)
        | DeskError::Entry(_)
        | DeskError::Hold(NoHold::EndsBefore | NoHold::TooLong(_)) => StatusCode::BAD_REQUEST,
        DeskError::Unknown(_) => StatusCode::NOT_FOUND,
        DeskError::Hold(_)
        | DeskError::Claim(_)
        | DeskError::Approval(_)
        | DeskError::Denied(_)
        | DeskError::Erasure(_) => StatusCode::CONFLICT,
        DeskError::NotSent(_) => StatusCode::BAD_GATEWAY,
        DeskError::Vault(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

type Answer<T> = Result<T, Trouble>;

/// A body of JSON. It must say so: a page elsewhere can then not send one without asking first.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &S) -> Result<Self, Trouble> {
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(body)| Self(body)).map_err(|wrong| Trouble::Asked(wrong.status(), wrong.body_text()))
    }
}

/// What stands behind the `?`.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query)).map_err(|wrong| Trouble::Asked(wrong.status(), wrong.body_text()))
    }
}

/// The id of a record in the path.
struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        read.map(|Path(id)| Self(id)).map_err(|wrong| Trouble::Asked(wrong.status(), wrong.body_text()))
    }
}

impl Id {
    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Answer<T> {
        parse(&self.0).ok_or_else(|| Trouble::bad("an id is sixteen hex digits, as the list of these records has it"))
    }
}

/// Who a matter is about: one of the three.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhomBody {
    Subject(SubjectId),
    Identifier(String),
    Call(CallId),
}

impl From<WhomBody> for Whom {
    fn from(whom: WhomBody) -> Self {
        match whom {
            WhomBody::Subject(subject) => Self::Subject(subject),
            WhomBody::Identifier(text) => Self::Identifier(Private::new(text)),
            WhomBody::Call(call) => Self::Call(call),
        }
    }
}

/// For lists: pseudonyms and calls only, since addresses of requests are written into logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhomQuery {
    subject: Option<SubjectId>,
    call: Option<CallId>,
    #[serde(rename = "for")]
    purpose: Option<Purpose>,
}

impl WhomQuery {
    fn whom(&self) -> Option<Whom> {
        self.subject.map(Whom::Subject).or(self.call.map(Whom::Call))
    }
}

/// A reason, and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyBody {
    why: Why,
}

/// Nothing: `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NothingBody {}

fn at(time: Time) -> String {
    clock::rfc3339(time.0)
}

fn by(by: &By) -> String {
    format!("{} as {}", by.person, by.role)
}

fn moment(text: &str) -> Answer<Time> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    read.map(|at| Time(at.as_millisecond()))
        .map_err(|_| Trouble::bad("a moment is written as 2027-01-31T12:00:00Z (RFC 3339)"))
}

#[derive(Serialize)]
struct MeBody {
    person: String,
    role: &'static str,
    may: Vec<::privacy::roles::Action>,
}

/// Whose token this is, and what it may do.
async fn me(Visitor(who): Visitor) -> Json<MeBody> {
    let may = RIGHTS.iter().filter(|(_, roles)| roles.contains(&who.role())).map(|(action, _)| *action);
    Json(MeBody { person: who.person().to_string(), role: who.role().word(), may: may.collect() })
}

/// A document that was signed or made elsewhere, as it is.
fn document(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
