//! The read API. Errors are JSON that says what to do; a transcript is shown only where it was granted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use privacy::retention::Purpose;
use privacy::roles::{Action, NotAllowed, Why};
use serde::{Deserialize, Serialize};

use crate::call::{AnsweredBy, CallId, TurnRecord};
use crate::clock;
use crate::desk::reader;
use crate::dialogue::Done;
use crate::gateway::Gateway;
use crate::store::db::StoreError;
use crate::store::{CallRecord, Direction, MediaRecord, Row};
use crate::vault::VaultError;
use crate::vault::audit::AuditError;

/// Calls in one answer at most.
const CALLS_MAX: u32 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
}

/// What a transcript is read for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    #[serde(rename = "for")]
    purpose: Option<Purpose>,
    why: Option<Why>,
}

/// What is logged where nobody says why.
const WHY: &str = "shown in the list of calls";

/// A call on the wire. Times are RFC 3339; per-turn times are milliseconds after the caller's last speech.
#[derive(Serialize)]
struct CallBody {
    id: String,
    agent: String,
    /// `inbound` or `outbound`.
    direction: Direction,
    trunk: Option<String>,
    /// `calling`, `active` or why it ended.
    state: String,
    started: String,
    ended: Option<String>,
    codec: String,
    /// `none`, `sdes` or `dtls`.
    security: String,
    consent: String,
    media: MediaRecord,
    turns: Vec<TurnRecord>,
    /// Of a call of ours: `person`, `machine` or `unknown`.
    answered_by: Option<AnsweredBy>,
    /// Forms that were completed: which, and whether `booked` or `cancelled`.
    outcomes: Vec<Done>,
}

impl From<CallRecord> for CallBody {
    fn from(r: CallRecord) -> Self {
        Self {
            id: r.id.to_string(),
            agent: r.agent,
            direction: r.direction,
            trunk: r.trunk,
            state: r.state,
            started: clock::rfc3339(r.started_unix_ms),
            ended: r.ended_unix_ms.map(clock::rfc3339),
            codec: r.codec,
            security: r.security,
            consent: r.consent,
            media: r.media,
            turns: r.turns,
            answered_by: r.answered_by,
            outcomes: r.outcomes,
        }
    }
}

#[derive(Serialize)]
struct CallsBody {
    calls: Vec<CallBody>,
}

#[derive(Serialize)]
struct TranscriptBody {
    id: String,
    consent: String,
    lines: Vec<Row>,
}

pub enum ApiError {
    BadId,
    Unknown,
    NotGranted { consent: String },
    NotYou(StatusCode, &'static str),
    NotAllowed(NotAllowed),
    Store(VaultError),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::BadId => {
                (StatusCode::BAD_REQUEST, "a call's id is sixteen hex digits, as /api/v1/calls lists it".into())
            }
            Self::Unknown => (StatusCode::NOT_FOUND, "no such call; /api/v1/calls lists them".into()),
            Self::NotGranted { consent } => {
                (StatusCode::FORBIDDEN, format!("no transcript was kept: consent is '{consent}'"))
            }
            Self::NotYou(status, error) => (status, error.into()),
            Self::NotAllowed(e) => (StatusCode::FORBIDDEN, e.to_string()),
            Self::Store(VaultError::NotRead(e)) => (StatusCode::FORBIDDEN, e.to_string()),
            Self::Store(VaultError::Audit(AuditError::Entry(e))) => (StatusCode::BAD_REQUEST, e.to_string()),
            Self::Store(e) => {
                tracing::warn!(error = %e, "the store could not be read");
                (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; try again, then look at the log".into())
            }
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

impl From<NotAllowed> for ApiError {
    fn from(e: NotAllowed) -> Self {
        Self::NotAllowed(e)
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        Self::Store(e.into())
    }
}

impl From<VaultError> for ApiError {
    fn from(e: VaultError) -> Self {
        Self::Store(e)
    }
}

/// 200 while calls can be taken: the engines are loaded (or nothing would serve), the store answers, and the calls in
/// progress are answered in time.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    if !gateway.store.healthy().await {
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n")
    } else if gateway.strained() {
        (StatusCode::SERVICE_UNAVAILABLE, "strained: the calls in progress are answered late\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> String {
    // As of now, not of the last call that came.
    gateway.strained();
    gateway.metrics.run_upkeep();
    gateway.metrics.render()
}

/// Calls in progress, then ended ones, newest first.
pub async fn calls(
    State(gateway): State<Arc<Gateway>>,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = query.limit.unwrap_or(50).min(CALLS_MAX);
    let mut records = gateway.registry.active();
    records.sort_by_key(|r| std::cmp::Reverse(r.started_unix_ms));
    records.extend(gateway.store.calls(limit).await?);
    records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(CallsBody { calls: records.into_iter().map(CallBody::from).collect() }))
}

pub async fn call(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    find(&gateway, &id).await.map(|r| Json(CallBody::from(r)))
}

/// Who reads it, and why, is in the audit log before the first word is opened.
pub async fn transcript(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let who = gateway.office.doors.who(&headers).map_err(|(status, why)| ApiError::NotYou(status, why))?;
    let record = find(&gateway, &id).await?;
    if !record.consent.starts_with("granted") {
        return Err(ApiError::NotGranted { consent: record.consent });
    }
    who.check(Action::ReadContent)?;
    let why = query.why.as_ref().map_or(WHY, Why::as_str);
    let reader = reader(&who, query.purpose.unwrap_or(Purpose::Service), why);
    let lines = gateway.store.transcript(record.id, &reader).await?;
    Ok(Json(TranscriptBody { id: record.id.to_string(), consent: record.consent, lines }))
}

async fn find(gateway: &Gateway, id: &str) -> Result<CallRecord, ApiError> {
    let id = CallId::parse(id).ok_or(ApiError::BadId)?;
    match gateway.registry.get(id) {
        Some(record) => Ok(record),
        None => gateway.store.call(id).await?.ok_or(ApiError::Unknown),
    }
}
