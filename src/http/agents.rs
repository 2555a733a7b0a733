//! `GET /web/v1/agents/{agent}`: what a page should know before it calls. It starts nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use privacy::Scope;
use serde::Serialize;

use super::access::{Refusal, Visitor, check_look, side};
use super::turn::IceBody;
use crate::call::consent::{Question, Script};
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
    /// What is kept and how long, and how a person is reached; empty: there is no policy.
    keeps: String,
    person: String,
    /// The first question for consent; none is asked without a policy.
    consent: Option<ConsentBody>,
    /// All of them, in the order in which they are put.
    consents: Vec<ConsentBody>,
    ice_servers: Vec<IceBody>,
    /// A page that was not heard for so long is given up.
    reconnect_s: u32,
    voice: bool,
}

#[derive(Clone, Serialize)]
struct ConsentBody {
    scope: Scope,
    text: String,
    policy_version: String,
    policy_url: String,
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
    let script = loaded.script.as_deref();
    let told = script.and_then(|script| Some(script.policy().texts(script.language())?.1));
    let consents = script.map(consents).unwrap_or_default();
    let body = AgentBody {
        name: loaded.agent.name().to_owned(),
        language: loaded.agent.language().to_owned(),
        disclosure: told.map_or_else(|| loaded.agent.greeting().join(" "), |told| told.disclosure.clone()),
        keeps: told.map(|told| told.keeps.clone()).unwrap_or_default(),
        person: told.map(|told| told.person.clone()).unwrap_or_default(),
        consent: consents.first().cloned(),
        consents,
        ice_servers: ice_servers(&gateway, side, trusted),
        reconnect_s: side.config.reconnect_s,
        voice: true,
        agent,
    };
    // It may hold a password.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn consents(script: &Script) -> Vec<ConsentBody> {
    let policy = script.policy();
    let (version, url) = (policy.version.to_string(), policy.url.clone());
    let body = |question: &Question| ConsentBody {
        scope: question.scope.clone(),
        text: question.text.clone(),
        policy_version: version.clone(),
        policy_url: url.clone(),
    };
    script.questions.iter().map(body).collect()
}

/// The servers as this page is told them.
pub(super) fn ice_servers(gateway: &Gateway, side: &WebSide, trusted: bool) -> Vec<IceBody> {
    let lasts_s = u64::from(gateway.config.calls.duration_s_max) + RELAY_SPARE_S;
    side.ice_servers.tell(trusted, clock::wall().as_secs() + lasts_s)
}
