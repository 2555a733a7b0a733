//! `GET /web/v1/agents/{agent}`: what a page should know before it calls. It starts nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::access::{Refusal, Visitor, check_look, side};
use super::turn::IceBody;
use crate::clock;
use crate::gateway::{Gateway, WebSide};

/// A password for a relay outlives the longest call by this.
const RELAY_SPARE_S: u64 = 300;

#[derive(Serialize)]
struct AgentBody {
    /// As in the address.
    agent: String,
    /// As people call it.
    name: String,
    language: String,
    /// The first words of a call; they say that an AI answers.
    disclosure: String,
    consent: ConsentBody,
    ice_servers: Vec<IceBody>,
    /// A page that was not heard for so long is given up.
    reconnect_s: u32,
    voice: bool,
}

#[derive(Serialize)]
struct ConsentBody {
    text: String,
    policy_version: String,
    policy_url: Option<String>,
}

pub async fn tell(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let side = side(&gateway)?;
    let trusted = check_look(&gateway, &Visitor { from, headers: &headers }, &agent)?;
    let loaded = gateway.agent(Some(&agent)).ok_or(Refusal::NoAgent)?;
    let policy = gateway.policy(&loaded);
    let body = AgentBody {
        name: loaded.agent.name().to_owned(),
        language: loaded.agent.language().to_owned(),
        disclosure: loaded.agent.greeting().join(" "),
        consent: ConsentBody { text: policy.text, policy_version: policy.version, policy_url: policy.url },
        ice_servers: ice_servers(&gateway, side, trusted),
        reconnect_s: side.config.reconnect_s,
        voice: true,
        agent,
    };
    // It may hold a password.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The servers as this page is told them.
pub(super) fn ice_servers(gateway: &Gateway, side: &WebSide, trusted: bool) -> Vec<IceBody> {
    let lasts_s = u64::from(gateway.config.calls.duration_s_max) + RELAY_SPARE_S;
    side.ice_servers.tell(trusted, clock::wall().as_secs() + lasts_s)
}
