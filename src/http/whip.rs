//! Calls from web pages by WHIP (RFC 9725): an offer begins one, or takes up one that goes on; an ICE restart and its end
//! come by the address that the answer names. It moves no media.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use privacy::consent::{Channel, PreGrant};
use sip::sdp::{
    self, Candidate, CandidateKind, Fingerprint, LocalIce, LocalMedia, Negotiated, Protection, SdpError, SrtpPolicy,
};
use tokio::sync::mpsc;
use tracing::warn;

use super::access::{Coming, Pass, Refusal, Visitor, bearer, check, check_page, side};
use super::agents::ice_servers;
use super::sessions::{Handle, Presence, Session, SessionId, Voice, signaller};
use crate::call::Call;
use crate::call::driver::{CallInput, Driver};
use crate::call::registry::Summary;
use crate::clock;
use crate::gateway::{Admission, Gateway, Refused, WebSide};
use crate::net::shard::{NewCall, Road};
use crate::net::sip::{CALL_INPUTS, Shared, leg_change, leg_config, source};
use crate::net::web::WebRoad;
use crate::random;
use crate::store::LineInfo;

/// Longest body: no description that we read is longer.
pub const BODY_MAX: usize = sdp::SDP_BYTES_MAX;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// `POST /whip/{agent}`: 201 with the answer.
pub async fn offer(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(agent): Path<String>,
    coming: Result<Query<Coming>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let side = side(&gateway)?;
    let Query(coming) = coming?;
    check_page(&gateway, &headers)?;
    // What cannot be answered uses up no token.
    let agreed = agree(&gateway, side, &text(&headers, SDP, body)?)?;
    let (answer, etag) = (agreed.negotiated.body.clone(), agreed.ice.ufrag().to_owned());
    let id = match &coming.resume {
        Some(secret) => {
            let (id, handle) = side.sessions.find(&agent, secret).ok_or(Refusal::NoCall)?;
            take_up(&gateway, side, id, &handle, agreed)?
        }
        None => {
            let token = bearer(&headers).or(coming.token.as_deref());
            let pass = check(&gateway, &Visitor { from, headers: &headers }, &agent, token)?;
            begin(&gateway, side, pass, agreed)?
        }
    };
    let location = format!("/whip/{}/{id}", percent(&agent));
    let told = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location), (header::ETAG, quoted(&etag))];
    let servers = ice_servers(&gateway, side, true);
    let links = servers.iter().flat_map(|server| server.links()).map(|link| (header::LINK, link));
    Ok(answered(StatusCode::CREATED, answer, told.into_iter().chain(links)))
}

/// `PATCH /whip/{agent}/{id}`: candidates, of which a lite agent needs none, or an ICE restart.
pub async fn trickle(
    State(gateway): State<Arc<Gateway>>,
    Path((agent, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let side = side(&gateway)?;
    let (id, _) = side.sessions.find(&agent, &secret).ok_or(Refusal::NoCall)?;
    let fragment = sdp::ice_fragment(&text(&headers, FRAGMENT, body)?).ok_or(Refusal::Fragment)?;
    let condition = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok()).ok_or(Refusal::NoCondition)?;
    let fresh = ice()?;
    let shared = Shared { rtp: &gateway.config.rtp, identity: Some(&gateway.identity) };
    let restarted = side.sessions.voice(id, |voice, inputs| {
        let restarts = voice.negotiated.ice.as_ref() != Some(&fragment);
        // The draft's example has the star in quotes.
        let holds = matches!(condition, "*" | "\"*\"") || condition == quoted(&voice.etag);
        if !holds {
            return Err(Refusal::Outdated);
        }
        if !restarts {
            return Ok(None);
        }
        let mut local = voice.local.clone();
        local.ice = Some(fresh.clone());
        let mut negotiated = voice.negotiated.clone();
        negotiated.ice = Some(fragment);
        let change = leg_change(&negotiated, &local, &shared).ok_or(Refusal::NotWebRtc)?;
        // Before the page knows the name: it checks as soon as it does.
        voice.line.rename(fresh.ufrag());
        inputs.try_send(CallInput::Renegotiated(Box::new(change))).map_err(|_| Refusal::Busy)?;
        local.settle(&negotiated);
        voice.etag = fresh.ufrag().to_owned();
        (voice.local, voice.negotiated) = (local, negotiated);
        Ok(Some(sdp::local_fragment(&voice.local)))
    });
    match restarted.ok_or(Refusal::NotVoice)?? {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(ours) => {
            let told = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, quoted(fresh.ufrag()))];
            Ok(answered(StatusCode::OK, ours, told))
        }
    }
}

/// `DELETE /whip/{agent}/{id}`: the page hangs up.
pub async fn hang_up(
    State(gateway): State<Arc<Gateway>>,
    Path((agent, secret)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    if side(&gateway)?.sessions.hang_up(&agent, &secret) { Ok(StatusCode::OK) } else { Err(Refusal::NoCall) }
}

/// Media, as both sides want it.
struct Agreed {
    local: LocalMedia,
    negotiated: Negotiated,
    ice: LocalIce,
    /// Of the leg: the answer says what its packets will carry.
    random: u128,
}

fn agree(gateway: &Gateway, side: &WebSide, offer: &str) -> Result<Agreed, Refusal> {
    let offer = sdp::parse(offer)?;
    let (ice, random) = (ice()?, random::bits());
    let local = LocalMedia { source: Some(source(random)), ..local_media(gateway, side, ice.clone())? };
    let negotiated = sdp::answer(&offer, &local).map_err(|error| match error {
        SdpError::Insecure => Refusal::NotWebRtc,
        other => other.into(),
    })?;
    // The port is shared: without checks nobody could tell whose a datagram is.
    if negotiated.ice.is_none() { Err(Refusal::NotWebRtc) } else { Ok(Agreed { local, negotiated, ice, random }) }
}

/// What a page's call is offered: keys by a handshake or no call (RFC 8827 6.5).
fn local_media(gateway: &Gateway, side: &WebSide, ice: LocalIce) -> Result<LocalMedia, Refusal> {
    let fingerprint = Fingerprint::parse(&gateway.identity.fingerprint().to_string());
    let first = side.port.told().first().copied().ok_or(Refusal::NotServed)?;
    let rtp = &gateway.config.rtp;
    Ok(LocalMedia {
        codecs: rtp.codecs.iter().map(|c| (*c).into()).collect(),
        comfort_noise: rtp.comfort_noise,
        rtcp_xr: true,
        protection: Protection { policy: SrtpPolicy::Required, fingerprint, ..Protection::default() },
        ice: Some(ice),
        data: true,
        candidates: candidates(side.port.told()),
        // Random, and positive as a signed number (RFC 9429 5.2.1).
        ..LocalMedia::new(first, random::bits() as u64 >> 1)
    })
}

/// Every address by UDP, then every one by TCP.
fn candidates(told: &[SocketAddr]) -> Vec<Candidate> {
    let by = |kind| told.iter().map(move |address| Candidate { kind, address: *address });
    by(CandidateKind::Udp).chain(by(CandidateKind::TcpPassive)).collect()
}

/// The road for what was agreed, the leg on it, and what is kept for later.
fn pave(gateway: &Gateway, side: &WebSide, agreed: Agreed) -> Result<(media::LegConfig, WebRoad, Voice), Refusal> {
    let Agreed { mut local, negotiated, ice, random } = agreed;
    let shared = Shared { rtp: &gateway.config.rtp, identity: Some(&gateway.identity) };
    let leg = leg_config(&negotiated, &local, &shared, random).ok_or(Refusal::NotWebRtc)?;
    let (road, line) = side.port.road(ice.ufrag());
    local.settle(&negotiated);
    Ok((leg, road, Voice { line, local, negotiated, etag: ice.ufrag().to_owned() }))
}

/// A new call.
fn begin(gateway: &Arc<Gateway>, side: &WebSide, pass: Pass, agreed: Agreed) -> Result<SessionId, Refusal> {
    let Pass { agent, seat, granted_before } = pass;
    let id = SessionId::new().ok_or(Refusal::Random)?;
    let admission = gateway.admit_caller(agent)?;
    let (codec, security) = (agreed.negotiated.codec.name(), agreed.negotiated.security.name());
    let (leg, road, voice) = pave(gateway, side, agreed)?;
    let now = clock::now();
    let (inputs, inbox) = mpsc::channel(CALL_INPUTS);
    let subject = granted_before.as_ref().map_or_else(|| gateway.nobody(), PreGrant::subject);
    let spoken = Arc::clone(&admission.agent.agent);
    let machine = Call::new(now, spoken, clock::today(), gateway.call_config(None));
    let machine = gateway.begin(&admission, machine, (subject, Channel::Web), granted_before.as_ref());
    let Admission { id: call, agent, shard, poked, lines, place, turned_away } = admission;
    let machine = if turned_away { machine.turned_away() } else { machine };
    let line = LineInfo { subject: Some(subject), ..LineInfo::default() };
    let mut summary = Summary::new(call, &agent.name, codec, &line);
    summary.security(security);
    gateway.registry.update(summary.record());
    let around = gateway.surroundings(signaller(&side.sessions, call, &inputs), place);
    let driver = Driver::new(now, machine, Some(leg), lines, around, inbox, summary).with_page(
        now,
        gateway.page(&agent, id.to_string()),
        None,
    );
    // It may end at once, and then has to be found.
    let presence = Presence::Voice(Box::new(voice));
    side.sessions.begin(id, Session { call, agent: agent.name.clone(), inputs, seat, presence });
    let new = NewCall { driver, road: Road::Web(road), poked };
    if !gateway.shard(shard).is_some_and(|shard| shard.adopt(new)) {
        warn!(call = %call, "the media shard is full; the page is refused");
        // Its driver, dropped, has taken the call out of every list.
        return Err(Refusal::Refused(Refused::Full));
    }
    Ok(id)
}

/// A call that goes on gets a new leg: the page was loaded again, or talks instead of writing.
fn take_up(
    gateway: &Gateway,
    side: &WebSide,
    id: SessionId,
    handle: &Handle,
    agreed: Agreed,
) -> Result<SessionId, Refusal> {
    let (leg, road, voice) = pave(gateway, side, agreed)?;
    handle.inputs.try_send(CallInput::Leg(Box::new(leg), Road::Web(road))).map_err(|_| Refusal::Busy)?;
    if side.sessions.talks(id, voice) { Ok(id) } else { Err(Refusal::NoCall) }
}

fn ice() -> Result<LocalIce, Refusal> {
    random::secret().map(LocalIce::new).map_err(|_| Refusal::Random)
}

/// The body as text, of the type expected.
fn text(headers: &HeaderMap, expected: &'static str, body: Result<Bytes, BytesRejection>) -> Result<String, Refusal> {
    let body = body.map_err(|wrong| Refusal::Body(wrong.status(), wrong.body_text()))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(expected) {
        return Err(Refusal::ContentType(expected));
    }
    let not_text = |_| Refusal::Body(StatusCode::BAD_REQUEST, "it is not UTF-8".into());
    String::from_utf8(body.into()).map_err(not_text)
}

fn answered(status: StatusCode, body: String, told: impl IntoIterator<Item = (HeaderName, String)>) -> Response {
    let mut response = (status, body).into_response();
    for (name, value) in told {
        // What is no header value is an address with a line break in it, and leads nowhere.
        if let Ok(value) = HeaderValue::try_from(value) {
            if name == header::LINK {
                response.headers_mut().append(name, value);
            } else {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// A strong entity tag (RFC 9110 8.8.3).
fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// A name as a segment of a path (RFC 3986 3.3).
fn percent(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_addresses() {
        assert_eq!(percent("front-desk"), "front-desk");
        assert_eq!(percent("a b/ж"), "a%20b%2F%D0%B6");
    }

    #[test]
    fn a_body_has_to_be_what_it_says() {
        let check = |kind: &str, body: &'static [u8], want: Result<&str, u16>| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            let got = text(&headers, SDP, Ok(Bytes::from_static(body))).map_err(|r| r.status().as_u16());
            assert_eq!(got.as_deref().map_err(|status| *status), want, "{kind}");
        };
        check("application/sdp", b"v=0", Ok("v=0"));
        check("Application/SDP; charset=utf-8", b"", Ok(""));
        check("text/plain", b"v=0", Err(415));
        check("", b"v=0", Err(415));
        check("application/sdp", b"\xff", Err(400));
    }
}
