//! `POST /api/v1/calls`: an agent calls somebody. It checks who asks and the shape of what is asked; limits and
//! routes are the signalling's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use privacy::consent::{PreGrant, PreGrantRefused};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::call::MachineAction;
use crate::gateway::Gateway;
use crate::outbound::{Order, OrderRefused, RING_S, is_number};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// Name of a `[[trunk]]`.
    trunk: String,
    /// The number, as the trunk wants it dialled.
    to: String,
    /// Name of an `[[agent]]`: its file without folder and ending.
    agent: Option<String>,
    /// Seconds it may ring; 5 to 180.
    ring_s: Option<u32>,
    /// What to do if a machine answers: `talk` (as with a person), `hang_up` or `message`.
    #[serde(default)]
    machine: MachineAction,
    /// A signed statement of what they agreed to before (docs/privacy.md).
    consent: Option<String>,
}

#[derive(Serialize)]
struct Placed {
    id: String,
    state: &'static str,
}

/// 202 with the call's id; `GET /api/v1/calls/{id}` tells what becomes of it.
pub async fn place(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Json<OrderBody>, JsonRejection>,
) -> Response {
    if let Err((status, why)) = may_order(&gateway, &headers) {
        return refusal(status, why.to_owned(), None);
    }
    let Json(body) = match body {
        Ok(body) => body,
        Err(wrong) => return refusal(wrong.status(), wrong.body_text(), None),
    };
    let ring_s = body.ring_s.unwrap_or(45);
    if !RING_S.contains(&ring_s) {
        let why = format!("`ring_s` takes {} to {} seconds", RING_S.start(), RING_S.end());
        return refusal(StatusCode::BAD_REQUEST, why, None);
    }
    if !is_number(&body.to) {
        return refused(&OrderRefused::BadNumber);
    }
    let granted_before = match body.consent.as_deref().map(|text| stated(&gateway, text, Some(&body.to))).transpose() {
        Ok(granted) => granted,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why, None),
    };
    let (reply, answer) = oneshot::channel();
    let (trunk, to, agent, machine) = (body.trunk, body.to, body.agent, body.machine);
    let order = Order { trunk, to, agent, ring_s, machine, granted_before, reply };
    if let Err(why) = gateway.order(order) {
        return refused(&why);
    }
    match answer.await.unwrap_or(Err(OrderRefused::Stopping)) {
        Ok(id) => (StatusCode::ACCEPTED, Json(Placed { id: id.to_string(), state: "calling" })).into_response(),
        Err(why) => refused(&why),
    }
}

/// Reads a statement of what somebody agreed to before; it has to be about `who`, where that is known.
pub(super) fn stated(gateway: &Gateway, statement: &str, who: Option<&str>) -> Result<PreGrant, String> {
    let granted = gateway.statement(statement).map_err(|refused| match refused {
        Some(why) => format!("`consent`: {why}"),
        None => "`consent`: there is no policy here that it could be a consent to; set [policy]".into(),
    })?;
    let same = who.is_none_or(|who| gateway.subject_of(who) == granted.subject());
    if same { Ok(granted) } else { Err(format!("`consent`: {}", PreGrantRefused::OtherSubject)) }
}

/// Calls cost money: whoever is not on this machine shows the token, and where a token is set everybody does.
pub(super) fn may_order(gateway: &Gateway, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let Some(token) = &gateway.api_token else {
        if gateway.config.http.bind.ip().is_loopback() {
            // A page elsewhere may point its own name at this address (DNS rebinding); its Host gives it away.
            return if names_loopback(headers) {
                Ok(())
            } else {
                Err((StatusCode::FORBIDDEN, "ask by 127.0.0.1 or localhost"))
            };
        }
        return Err((StatusCode::FORBIDDEN, "this API is not on loopback; set [http] token_env before it may call"));
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let shown = shown.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
    // Compared as hashes: how long it takes tells nothing about the token.
    if Sha256::digest(shown.as_bytes()) == Sha256::digest(token.expose().as_bytes()) {
        return Ok(());
    }
    Err((StatusCode::UNAUTHORIZED, "show the token of [http] token_env as Authorization: Bearer"))
}

pub(super) fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn refused(why: &OrderRefused) -> Response {
    let (status, retry_after) = match why {
        OrderRefused::BadNumber | OrderRefused::NoMessage => (StatusCode::BAD_REQUEST, None),
        OrderRefused::NoTrunk | OrderRefused::NoAgent => (StatusCode::NOT_FOUND, None),
        OrderRefused::NotAllowed => (StatusCode::FORBIDDEN, None),
        OrderRefused::TooMany { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(*retry_after)),
        OrderRefused::Full { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after)),
        OrderRefused::Unreachable | OrderRefused::Stopping => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    refusal(status, why.to_string(), retry_after)
}

pub(super) fn refusal(status: StatusCode, error: String, retry_after: Option<std::time::Duration>) -> Response {
    let mut response = (status, Json(serde_json::json!({ "error": error }))).into_response();
    if let Some(seconds) = retry_after.and_then(|d| d.as_secs().max(1).to_string().parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
