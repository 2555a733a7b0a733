//! `GET /chat/{agent}`: a conversation in writing over a WebSocket (RFC 6455), a new one or one that goes on. It carries
//! messages between page and call (docs/page-messages.md) and understands none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use privacy::consent::{Channel, PreGrant};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tracing::{info, warn};

use super::access::{Coming, Pass, Refusal, Visitor, bearer, check, check_might, check_page, side};
use super::orders::refusal;
use super::sessions::{Presence, Session, SessionId, signaller};
use crate::call::Call;
use crate::call::driver::{CallInput, Driver};
use crate::call::page::{self, LinkEnd, MESSAGE_MAX};
use crate::call::registry::Summary;
use crate::clock;
use crate::gateway::{Gateway, Refused, WebSide};
use crate::net::shard::{NewCall, Road};
use crate::net::sip::CALL_INPUTS;
use crate::store::LineInfo;

/// Below the minute after which many proxies cut a silent WebSocket. Browsers answer by themselves.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A page that answered no ping for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// A page that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(10);
/// One per chat.
const BUFFER: usize = 4 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub async fn open(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(agent): Path<String>,
    coming: Result<Query<Coming>, QueryRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let side = side(&gateway)?;
    let Query(coming) = coming?;
    // What is no WebSocket must not use up a token.
    let (mut parts, _) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let headers = parts.headers.clone();
    let (Some(upgrade), Ok(accepted)) = (upgrade, create_response(&axum::http::Request::from_parts(parts, ()))) else {
        might(&gateway, &Visitor { from, headers: &headers }, &agent, &coming)?;
        let why = "this is for WebSockets (RFC 6455): new WebSocket(\"wss://HOST/chat/AGENT\")";
        return Ok(refusal(StatusCode::UPGRADE_REQUIRED, why.into(), None));
    };
    let (id, end) = match &coming.resume {
        Some(secret) => {
            check_page(&gateway, &headers)?;
            let (id, handle) = side.sessions.find(&agent, secret).ok_or(Refusal::NoCall)?;
            let (link, end) = page::link();
            handle.inputs.try_send(CallInput::Away(link)).map_err(|_| Refusal::Busy)?;
            info!(call = %handle.call, "its page goes on in writing");
            (id, end)
        }
        None => {
            let token = bearer(&headers).or(coming.token.as_deref());
            let pass = check(&gateway, &Visitor { from, headers: &headers }, &agent, token)?;
            begin(&gateway, side, pass)?
        }
    };
    let number = side.sessions.writes(id).ok_or(Refusal::NoCall)?;
    let gateway = Arc::clone(&gateway);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let config = WebSocketConfig::default()
                .read_buffer_size(BUFFER)
                .write_buffer_size(0)
                .max_write_buffer_size(64 * MESSAGE_MAX)
                .max_message_size(Some(MESSAGE_MAX))
                .max_frame_size(Some(MESSAGE_MAX));
            carry(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await, end)
                .await;
        }
        if let Some(side) = &gateway.web {
            side.sessions.left(clock::now(), id, number);
        }
    });
    Ok(accepted.map(|()| Body::empty()).into_response())
}

/// What a WebSocket would be refused for: a browser tells its page nothing of that, but lets it read this.
fn might(gateway: &Gateway, visitor: &Visitor<'_>, agent: &str, coming: &Coming) -> Result<(), Refusal> {
    match &coming.resume {
        Some(secret) => side(gateway)?.sessions.find(agent, secret).map(drop).ok_or(Refusal::NoCall),
        None => check_might(gateway, visitor, agent, bearer(visitor.headers).or(coming.token.as_deref())),
    }
}

/// A call without a voice.
fn begin(gateway: &Gateway, side: &WebSide, pass: Pass) -> Result<(SessionId, LinkEnd), Refusal> {
    let Pass { agent, seat, granted_before } = pass;
    let id = SessionId::new().ok_or(Refusal::Random)?;
    let admission = gateway.admit(agent)?;
    let (inputs, inbox) = mpsc::channel(CALL_INPUTS);
    let now = clock::now();
    let name = admission.agent.name.clone();
    let spoken = Arc::clone(&admission.agent.agent);
    let call = Call::new(now, spoken, clock::today(), gateway.call_config(None));
    let subject = granted_before.as_ref().map_or_else(|| gateway.nobody(), PreGrant::subject);
    let call = gateway.begin(&admission, call, (subject, Channel::Text), granted_before.as_ref());
    let line = LineInfo { subject: Some(subject), ..LineInfo::default() };
    let summary = Summary::new(admission.id, &name, "text", &line);
    let around = gateway.surroundings(signaller(&side.sessions, admission.id, &inputs), admission.place);
    gateway.registry.update(summary.record());
    let (link, end) = page::link();
    let driver = Driver::new(now, call, None, admission.lines, around, inbox, summary).with_page(
        now,
        gateway.page(&admission.agent, id.to_string()),
        Some(link),
    );
    let session = Session { call: admission.id, agent: name, inputs, seat, presence: Presence::Chat(0) };
    side.sessions.begin(id, session);
    let new = NewCall { driver, road: Road::Nowhere, poked: admission.poked };
    if gateway.shard(admission.shard).is_some_and(|shard| shard.adopt(new)) {
        Ok((id, end))
    } else {
        // The driver, dropped, has taken the session with it.
        warn!(call = %admission.id, "the media shard is full; a chat is refused");
        Err(Refused::Full.into())
    }
}

/// Until the page goes, the call ends, or it goes on by another road.
async fn carry(mut socket: Socket, end: LinkEnd) {
    let LinkEnd { to_call, mut from_call } = end;
    let mut heard = clock::now();
    let mut ping = tokio::time::interval(PING_EVERY);
    let code = loop {
        let out = tokio::select! {
            message = from_call.recv() => match message {
                Some(message) => Message::text(message),
                None => break CloseCode::Normal,
            },
            came = socket.next() => {
                heard = clock::now();
                match came {
                    Some(Ok(Message::Text(text))) => match to_call.try_send(text.to_string()) {
                        Ok(()) => continue,
                        Err(mpsc::error::TrySendError::Full(_)) => break CloseCode::Policy,
                        Err(mpsc::error::TrySendError::Closed(_)) => break CloseCode::Normal,
                    },
                    Some(Ok(Message::Binary(_))) => break CloseCode::Unsupported,
                    // Pings are answered underneath.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    // The answer to it lies ready.
                    Some(Ok(Message::Close(_))) => return drop(timeout(STALL, socket.flush()).await),
                    Some(Err(_)) | None => return,
                }
            }
            _ = ping.tick() => {
                if clock::now().saturating_duration_since(heard) > SILENCE_MAX {
                    return;
                }
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(STALL, socket.send(out)).await, Ok(Ok(()))) {
            return;
        }
    };
    // What the call said last is still to be read.
    while let Ok(message) = from_call.try_recv() {
        if !matches!(timeout(STALL, socket.send(Message::text(message))).await, Ok(Ok(()))) {
            return;
        }
    }
    // Politeness, once; who does not listen is cut all the same.
    let _ = timeout(STALL, socket.close(Some(CloseFrame { code, reason: "".into() }))).await;
}
