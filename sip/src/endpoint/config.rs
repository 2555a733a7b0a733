//! What an endpoint is told before it starts: addresses, limits, seed. It never reads a file or the environment.

use super::event::CommandError;
use crate::auth::Credentials;
use crate::door::DoorConfig;
use crate::peer::{Peer, Transport};
use crate::private::Private;
use crate::uri::Uri;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Settings of one endpoint (one bound socket).
#[derive(Clone)]
pub struct EndpointConfig {
    /// What peers are told in Via and Contact. A socket bound to a wildcard (`0.0.0.0`, `[::]`) has no
    /// address to tell: put the address peers reach here, never the wildcard itself.
    pub advertised: SocketAddr,
    /// What peers of other transports, or of the other IP family, are told: where else we listen. A peer
    /// on a road without a listener of its own is told `advertised`.
    pub listeners: Vec<Peer>,
    /// The user part of our Contact.
    pub contact_user: String,
    /// Sent as Server (responses) and User-Agent (requests); empty: sent nowhere.
    pub user_agent: String,
    /// Key of the generator of tags, branches and Call-IDs. From the operating system's generator in
    /// service, a constant in tests: the same seed gives the same identifiers.
    pub seed: u128,
    /// Calls at once, both directions, including those still being torn down. One more gets
    /// 503 + Retry-After, and `invite` gets [`CommandError::Full`](crate::CommandError::Full).
    pub max_calls: usize,
    /// Transactions remembered at once; each lives 32 s past its end (64*T1), so a call a second needs
    /// about 64. Beyond it an INVITE gets 503; other requests are still answered, but their
    /// retransmissions are not recognised.
    pub max_transactions: usize,
    /// The Retry-After of our own 503.
    pub retry_after: Duration,
    /// How long an INVITE (either direction) may stay without a final answer.
    pub answer_within: Duration,
    /// How long a target may stay without any response while there is another to try; the last one gets
    /// the 32 s (64*T1) of RFC 3261.
    pub target_within: Duration,
    /// How long a transfer may stay without an outcome, beyond the 32 s (64*T1) that its REFER may take.
    pub transfer_within: Duration,
    /// How long a call may stand without a sign of life (RFC 4028), in whole seconds: offered in our
    /// INVITEs, and in our 200s to callers that know session timers. `None`: only what the peer asks for.
    pub session_expires: Option<Duration>,
    /// The shortest such interval we agree to; a shorter one gets 422. RFC 4028 5: 90 s at least, less
    /// only to test.
    pub min_se: Duration,
    /// A peer may transfer us: a REFER in a call becomes [`Event::Referred`](crate::Event::Referred).
    /// False: it gets 405, and Allow does not list it.
    pub follow_refer: bool,
    /// An INVITE may take the place of an answered call (RFC 3891). Whoever knows Call-ID and both tags
    /// of a call may do so; ours are 64 random bits, so it takes the peer, or somebody who reads along.
    /// False: Replaces is not read, and whoever requires it gets 420.
    pub accept_replaces: bool,
    /// Our own REFERs ask for NOTIFYs that tell the outcome. False: they ask to do without (RFC 4488);
    /// a peer that agrees counts as transferred as soon as it accepts.
    pub refer_sub: bool,
    /// Responses go to the address and port the request came from even where the client did not ask
    /// for it with `rport` (RFC 3581): what NATs need. False: RFC 3261 18.2.2 to the letter.
    pub symmetric_responses: bool,
    /// Who may call, and how often anybody may ask. Open unless told otherwise.
    pub door: DoorConfig,
}

impl EndpointConfig {
    /// Defaults around an advertised address and a seed: 256 calls, 16384 transactions.
    pub fn new(advertised: SocketAddr, seed: u128) -> Self {
        Self {
            advertised,
            listeners: Vec::new(),
            contact_user: "dauys".to_owned(),
            user_agent: concat!("dauys/", env!("CARGO_PKG_VERSION")).to_owned(),
            seed,
            max_calls: 256,
            max_transactions: 16_384,
            retry_after: Duration::from_secs(5),
            answer_within: Duration::from_secs(180),
            target_within: Duration::from_secs(6),
            transfer_within: Duration::from_secs(30),
            session_expires: Some(Duration::from_secs(1800)),
            min_se: Duration::from_secs(90),
            follow_refer: false,
            accept_replaces: true,
            refer_sub: true,
            symmetric_responses: true,
            door: DoorConfig::open(),
        }
    }
}

impl EndpointConfig {
    /// Our own address as `peer` is told it.
    pub(crate) fn local(&self, peer: Peer) -> SocketAddr {
        let main = Peer::udp(self.advertised);
        let listeners = || std::iter::once(&main).chain(&self.listeners).filter(|l| l.transport == peer.transport);
        let same_family = |l: &&Peer| l.address.is_ipv4() == peer.address.is_ipv4();
        listeners().find(same_family).or_else(|| listeners().next()).map_or(self.advertised, |l| l.address)
    }

    /// Can a request to this peer go by TCP, with a Via that leads back to us?
    pub(crate) fn has_tcp_for(&self, peer: Peer) -> bool {
        let leads_back = |l: &Peer| l.transport == Transport::Tcp && l.address.is_ipv4() == peer.address.is_ipv4();
        self.listeners.iter().any(leads_back)
    }

    /// Is it an address that we write into a Via?
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        address == self.advertised || self.listeners.iter().any(|l| l.address == address)
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("max_calls", &self.max_calls)
            .field("max_transactions", &self.max_transactions)
            .field("answer_within", &self.answer_within)
            .finish_non_exhaustive()
    }
}

/// An outgoing call.
#[derive(Clone)]
pub struct InviteRequest {
    /// Where it goes (names are resolved by the driver, never here): one after the other, until one is
    /// reached that does not answer 503 (RFC 3263 4.3). At least one; the first 16 count.
    pub targets: Vec<Peer>,
    /// The Request-URI, also To: `sip:user@host[:port]`.
    pub to: String,
    /// The user part of our From.
    pub from_user: String,
    /// The host part of our From: a trunk's domain, say. `None`: our own address.
    pub from_host: Option<String>,
    /// The display name of our From.
    pub from_display: Option<String>,
    /// The way to go first: the URI of an outbound proxy, `sip:proxy.example.com;lr`. It becomes the Route
    /// header; the targets are the proxy's.
    pub route: Option<String>,
    /// What we prove ourselves with where somebody asks (401, 407), in the whole call.
    pub credentials: Option<Credentials>,
    /// The offer, as [`sdp::offer`](crate::sdp::offer) prints it. `None`: whoever answers makes the offer,
    /// which arrives in [`Event::Answered`](crate::Event::Answered), and
    /// [`Endpoint::acknowledge`](crate::Endpoint::acknowledge) takes our answer.
    pub sdp: Option<String>,
    /// More headers, name and value; line breaks in them become spaces.
    pub headers: Vec<(String, String)>,
}

impl InviteRequest {
    /// To `to` by way of `targets`, from `dauys` at our own address, with nothing else said.
    pub fn new(targets: Vec<Peer>, to: &str, sdp: Option<String>) -> Self {
        let (from_host, from_display, route, credentials, headers) = (None, None, None, None, Vec::new());
        let (to, from_user) = (to.to_owned(), "dauys".to_owned());
        Self { targets, to, from_user, from_host, from_display, route, credentials, sdp, headers }
    }
}

impl fmt::Debug for InviteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteRequest").field("headers", &self.headers.len()).finish_non_exhaustive()
    }
}

/// A registration: we are a phone of somebody's PBX.
#[derive(Clone)]
pub struct RegisterRequest {
    /// Where the registrar, or the outbound proxy, is: one after the other until one answers (RFC 3263 4.3).
    /// At least one.
    pub targets: Vec<Peer>,
    /// The Request-URI: `sip:example.com`.
    pub registrar: String,
    /// The address of record, From and To: `sip:100@example.com`.
    pub aor: String,
    /// What we prove ourselves with.
    pub credentials: Option<Credentials>,
    /// How long the binding is to live, in seconds; a registrar may grant less, or ask for more.
    pub expires_s: u32,
    /// The URI of an outbound proxy, for the Route header: `sip:proxy.example.com;lr`.
    pub route: Option<String>,
    /// RFC 5626 4.1, a URN: `urn:uuid:00000000-0000-1000-8000-000A95A0E128`, the same after each restart.
    pub instance: Option<String>,
    /// The user part of our Contact; `None`: 128 fresh random bits. Only the registrar learns it, so a call to
    /// it came by the registrar ([`CallInfo::registration`](crate::CallInfo)): it works as a password and must
    /// be as hard to guess. Over UDP and TCP whoever can read the wire learns it too.
    pub contact_user: Option<Private<String>>,
}

impl RegisterRequest {
    /// For an hour, without a proxy, under a random Contact.
    pub fn new(targets: Vec<Peer>, registrar: &str, aor: &str, credentials: Option<Credentials>) -> Self {
        let (registrar, aor, expires_s) = (registrar.to_owned(), aor.to_owned(), 3600);
        let (route, instance, contact_user) = (None, None, None);
        Self { targets, registrar, aor, credentials, expires_s, route, instance, contact_user }
    }
}

impl fmt::Debug for RegisterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterRequest").field("expires_s", &self.expires_s).finish_non_exhaustive()
    }
}

/// A sip: or sips: URI that a request may go to: without headers (RFC 3261 19.1.5).
pub(super) fn address(text: &str) -> Result<Uri, CommandError> {
    let uri = Uri::parse(text).map_err(|_| CommandError::BadUri)?;
    if uri.sip().is_none_or(|s| s.headers.is_some()) { Err(CommandError::BadUri) } else { Ok(uri) }
}

/// RFC 3326: why a call is ended, for the other side's records.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP` or `Q.850`.
    pub protocol: String,
    /// A SIP status or a Q.850 cause.
    pub cause: u16,
    /// Words for a person.
    pub text: Option<Private<String>>,
}

impl Reason {
    /// A reason with a SIP status.
    pub fn sip(status: u16, text: &str) -> Self {
        Self { protocol: "SIP".to_owned(), cause: status, text: Some(Private::new(text.to_owned())) }
    }

    /// A reason with a Q.850 cause (16: normal clearing).
    pub fn q850(cause: u16) -> Self {
        Self { protocol: "Q.850".to_owned(), cause, text: None }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reason").field("cause", &self.cause).finish_non_exhaustive()
    }
}
