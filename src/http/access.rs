//! Who may talk to an agent from a web page: pages of known origins, with a token where one is asked for, so many calls
//! for each address. It starts no call, and says why where it refuses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use privacy::consent::PreGrant;
use serde::Deserialize;
use sip::sdp::SdpError;

use super::orders::{names_loopback, refusal};
use super::tokens::{Claims, TokenError, Tokens};
use crate::clock;
use crate::config::Network;
use crate::gateway::{Gateway, LoadedAgent, Refused, WebSide};

/// Proxies in a row that are gone through for a caller's address.
const PROXIES_MAX: usize = 8;
/// What somebody is told to wait whose address has as many calls as it may.
const SEAT_AFTER: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// Where the connection comes from.
    pub from: SocketAddr,
    pub headers: &'a HeaderMap,
}

/// What the address of a request says behind the `?`.
#[derive(Deserialize)]
pub struct Coming {
    /// The secret of a call that goes on.
    pub resume: Option<String>,
    /// For clients that cannot set a header, as a browser's WebSocket.
    pub token: Option<String>,
}

/// May call. While it lives the call counts for its address.
pub struct Pass {
    pub agent: Arc<LoadedAgent>,
    pub seat: Seat,
    /// What its person agreed to before.
    pub granted_before: Option<PreGrant>,
}

/// Why a page is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error("no calls from web pages are taken here; add [web] to the configuration")]
    NotServed,
    #[error("no agent of this name; it is the name of its file without folder and ending")]
    NoAgent,
    #[error("pages of this origin may not call; add it to [web] origins")]
    ForeignOrigin,
    #[error("ask by 127.0.0.1 or localhost; for pages of other hosts set [web] token_env")]
    NotHere,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("your address has as many calls as it may ([web] calls_per_address); end one, or wait")]
    TooMany,
    #[error("this call is over, or never was; begin a new one")]
    NoCall,
    #[error("{0}; try again in some seconds")]
    Refused(#[from] Refused),
    #[error("too many messages wait for this call; try again in a moment")]
    Busy,
    #[error("the offer cannot be used: {0}")]
    Sdp(#[from] SdpError),
    #[error("the offer needs ICE, DTLS and rtcp-mux, as WebRTC has them")]
    NotWebRtc,
    #[error("send Content-Type: {0}")]
    ContentType(&'static str),
    #[error("the address cannot be read: {0}")]
    Query(String),
    #[error("the body cannot be read: {1}")]
    Body(StatusCode, String),
    #[error("the fragment needs a=ice-ufrag and a=ice-pwd, as RFC 8840 has them")]
    Fragment,
    #[error("send If-Match with the ETag of the last answer, or \"*\" for an ICE restart")]
    NoCondition,
    #[error("another ICE session is in force; restart ICE, or use its ETag")]
    Outdated,
    #[error("the call has no voice now; offer a new session with ?resume=")]
    NotVoice,
    #[error("the system gives no random numbers; try again")]
    Random,
}

impl Refusal {
    /// A metric label.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotServed => "not_served",
            Self::NoAgent => "no_agent",
            Self::ForeignOrigin | Self::NotHere => "origin",
            Self::Token(_) => "token",
            Self::TooMany => "address",
            Self::NoCall => "no_call",
            Self::Refused(refused) => refused.word(),
            Self::Busy => "busy",
            Self::Sdp(_) | Self::NotWebRtc => "offer",
            Self::ContentType(_) | Self::Query(_) | Self::Body(..) | Self::Fragment => "body",
            Self::NoCondition | Self::Outdated | Self::NotVoice => "condition",
            Self::Random => "random",
        }
    }

    /// RFC 9725 4.2 and 4.3.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotServed | Self::NoAgent | Self::NoCall => StatusCode::NOT_FOUND,
            Self::ForeignOrigin | Self::NotHere => StatusCode::FORBIDDEN,
            Self::Token(TokenError::OtherAgent | TokenError::OtherOrigin) => StatusCode::FORBIDDEN,
            Self::Token(TokenError::TooMany) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(_) | Self::Busy | Self::Random => StatusCode::SERVICE_UNAVAILABLE,
            Self::Sdp(SdpError::NoCommonCodec | SdpError::NoAudio) | Self::NotWebRtc => StatusCode::NOT_ACCEPTABLE,
            Self::Sdp(_) | Self::Query(_) | Self::Fragment => StatusCode::BAD_REQUEST,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(status, _) => *status,
            Self::NoCondition => StatusCode::PRECONDITION_REQUIRED,
            Self::Outdated => StatusCode::PRECONDITION_FAILED,
            Self::NotVoice => StatusCode::CONFLICT,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after(),
            Self::TooMany | Self::Token(TokenError::TooMany) => Some(SEAT_AFTER),
            Self::Busy | Self::Random => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(wrong: QueryRejection) -> Self {
        Self::Query(wrong.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::counter!("dauys_web_refused_total", "reason" => self.word()).increment(1);
        let mut response = refusal(self.status(), self.to_string(), self.retry_after());
        if self.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The gateway's side for web pages, if it has one.
pub fn side(gateway: &Gateway) -> Result<&WebSide, Refusal> {
    gateway.web.as_ref().ok_or(Refusal::NotServed)
}

/// Whether this page may begin a call. A token is used up by it, so check everything else first.
pub fn check(gateway: &Gateway, visitor: &Visitor<'_>, agent: &str, token: Option<&str>) -> Result<Pass, Refusal> {
    let Asked { agent, shown, seat } = asked(gateway, visitor, agent, token)?;
    let mut granted_before = None;
    if let Some((tokens, claims)) = shown {
        tokens.spend(clock::wall().as_secs(), &claims)?;
        granted_before = tokens.granted(&claims);
    }
    Ok(Pass { agent, seat, granted_before })
}

/// Whether it might, as far as that is known without taking anything for it.
pub fn check_might(gateway: &Gateway, visitor: &Visitor<'_>, agent: &str, token: Option<&str>) -> Result<(), Refusal> {
    let asked = asked(gateway, visitor, agent, token)?;
    gateway.room()?;
    // Last: a call that there was no room for has used its token up.
    asked.shown.map_or(Ok(()), |(tokens, claims)| Ok(tokens.unused(&claims)?))
}

struct Asked<'a> {
    agent: Arc<LoadedAgent>,
    /// A good token, where one is asked for.
    shown: Option<(&'a Tokens, Claims)>,
    seat: Seat,
}

fn asked<'a>(
    gateway: &'a Gateway,
    visitor: &Visitor<'_>,
    agent: &str,
    token: Option<&str>,
) -> Result<Asked<'a>, Refusal> {
    let side = side(gateway)?;
    check_page(gateway, visitor.headers)?;
    let loaded = gateway.agent(Some(agent)).ok_or(Refusal::NoAgent)?;
    let read = |tokens: &'a Tokens| -> Result<_, TokenError> {
        let token = token.ok_or(TokenError::Missing)?;
        Ok((tokens, tokens.read(clock::wall().as_secs(), token, agent, origin(visitor.headers))?))
    };
    let shown = side.tokens.as_ref().map(read).transpose()?;
    let address = address(visitor, &side.config.trusted_proxies);
    let seat = side.seats.take(address, side.config.calls_per_address).ok_or(Refusal::TooMany)?;
    Ok(Asked { agent: loaded, shown, seat })
}

/// Whether this page may look: the origin alone is judged. True: it showed a good token, or none is asked for.
pub fn check_look(gateway: &Gateway, visitor: &Visitor<'_>, agent: &str) -> Result<bool, Refusal> {
    let side = side(gateway)?;
    check_page(gateway, visitor.headers)?;
    let Some(tokens) = &side.tokens else { return Ok(true) };
    let Some(token) = bearer(visitor.headers) else { return Ok(false) };
    let claims = tokens.read(clock::wall().as_secs(), token, agent, origin(visitor.headers))?;
    tokens.unused(&claims)?;
    Ok(true)
}

/// Whether this page may ask anything at all: its origin is the gateway's own, or is allowed.
pub fn check_page(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Refusal> {
    let side = side(gateway)?;
    // A page elsewhere may point its own name at this address (DNS rebinding); its Host gives it away.
    if side.tokens.is_none() && !names_loopback(headers) {
        return Err(Refusal::NotHere);
    }
    let Some(origin) = origin(headers) else {
        // No page, or one of the same origin that only reads.
        return Ok(());
    };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(_, o)| !o.is_empty() && o.eq_ignore_ascii_case(host));
    let known = || side.config.origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin));
    if same || known() { Ok(()) } else { Err(Refusal::ForeignOrigin) }
}

/// The page's origin; one that is no text is of nobody.
fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(|o| o.to_str().unwrap_or_default())
}

/// The token of `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Where somebody really is: behind proxies of ours as those say, else where the connection comes from.
fn address(visitor: &Visitor<'_>, proxies: &[Network]) -> IpAddr {
    let mut at = visitor.from.ip().to_canonical();
    let forwarded: Vec<&str> =
        visitor.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
    let mut told = forwarded.iter().flat_map(|v| v.split(',')).rev().take(PROXIES_MAX);
    // Who is no proxy of ours may write what they like.
    while proxies.iter().any(|p| p.0.contains(at)) {
        match told.next().and_then(|text| text.trim().parse::<IpAddr>().ok()) {
            Some(before) => at = before.to_canonical(),
            None => break,
        }
    }
    at
}

/// How many calls there are from where; of IPv6 a /64 counts as one address.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// One call of an address.
pub struct Seat {
    of: Seats,
    at: IpAddr,
}

impl Seats {
    fn table(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn take_any(&self) -> Seat {
        Seat { of: self.clone(), at: IpAddr::from([192, 0, 2, 1]) }
    }

    fn take(&self, at: IpAddr, most: u32) -> Option<Seat> {
        let at = network(at);
        let mut table = self.table();
        let taken = table.get(&at).copied().unwrap_or_default();
        if taken >= most {
            return None;
        }
        table.insert(at, taken + 1);
        Some(Seat { of: self.clone(), at })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.of.table();
        match table.get_mut(&self.at) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => {
                table.remove(&self.at);
            }
        }
    }
}

fn network(at: IpAddr) -> IpAddr {
    match at {
        IpAddr::V4(_) => at,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Before every request of a page: refuses foreign ones, answers what browsers ask beforehand, and lets the page read
/// the answer (the Fetch standard, "CORS protocol").
pub async fn cors(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    const VARY: HeaderValue = HeaderValue::from_static("Origin");
    if let Err(foreign) = check_page(&gateway, request.headers()) {
        let mut response = foreign.into_response();
        response.headers_mut().append(header::VARY, VARY);
        return response;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, VARY);
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        const EXPOSED: HeaderValue = HeaderValue::from_static("Location, ETag, Link, Retry-After");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn preflight() -> Response {
    const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
        // RFC 9725 4.2: what may be posted.
        (ACCEPT_POST, "application/sdp"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_told_by_proxies_of_ours() {
        let proxies: Vec<Network> =
            ["127.0.0.1", "10.0.0.0/8"].map(|n| Network::try_from(n.to_owned()).unwrap()).into();
        let check = |from: &str, told: &[&str], want: &str| {
            let mut headers = HeaderMap::new();
            for line in told {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let visitor = Visitor { from: from.parse().unwrap(), headers: &headers };
            assert_eq!(address(&visitor, &proxies), want.parse::<IpAddr>().unwrap(), "{from} {told:?}");
        };
        check("192.0.2.1:9", &["198.51.100.7"], "192.0.2.1");
        check("127.0.0.1:9", &["198.51.100.7"], "198.51.100.7");
        check("[::ffff:127.0.0.1]:9", &["198.51.100.7"], "198.51.100.7");
        // What a visitor wrote itself stands further left.
        check("127.0.0.1:9", &["1.1.1.1, 198.51.100.7, 10.2.3.4"], "198.51.100.7");
        check("127.0.0.1:9", &["1.1.1.1", "198.51.100.7"], "198.51.100.7");
        check("127.0.0.1:9", &["nobody"], "127.0.0.1");
        check("127.0.0.1:9", &[], "127.0.0.1");
    }

    #[test]
    fn seats_come_back() {
        let seats = Seats::default();
        let take = |at: &str| seats.take(at.parse().unwrap(), 2);
        let first = take("192.0.2.1");
        let second = take("192.0.2.1");
        assert!(first.is_some() && second.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let six = (take("2001:db8::1"), take("2001:db8::ffff:1"));
        assert!(six.0.is_some() && six.1.is_some());
        assert!(take("2001:db8::2").is_none() && take("2001:db8:0:1::2").is_some());
        drop((six, second));
        assert!(seats.table().is_empty());
    }

    #[test]
    fn who_shows_what() {
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer  abc")), Some("abc"));
        assert_eq!(bearer(&headers("Basic abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
