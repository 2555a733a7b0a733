//! What an endpoint says to its driver: datagrams and events. Printing one for debugging never shows a person's data.

use super::config::Reason;
use crate::peer::Peer;
use crate::private::Private;
use crate::sdp::Session;
use std::fmt;
use std::net::IpAddr;

/// One call of one endpoint; never reused.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallHandle(pub(crate) u64);

/// One registration of one endpoint; never reused.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegistrationHandle(pub(crate) u64);

/// One OPTIONS of one endpoint; never reused.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PingHandle(pub(crate) u64);

/// What [`Endpoint::poll`](crate::Endpoint::poll) yields.
pub enum Output {
    /// Send this message.
    Send {
        /// Where to.
        to: Peer,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Event(Event),
    /// Nothing is heard from this address (IPv6: its /64) any more, see [`BanConfig`](crate::door::BanConfig).
    /// Said once for each ban.
    Banned(Private<IpAddr>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { bytes, .. } => write!(f, "Send({} bytes)", bytes.len()),
            Self::Event(event) => event.fmt(f),
            Self::Banned(_) => f.write_str("Banned([private])"),
        }
    }
}

/// What happened to a call, a registration or an OPTIONS. Every call ends with exactly one of `Cancelled`, `Failed` and `Ended`,
/// whoever ended it; its handle means nothing afterwards.
#[derive(Clone)]
pub enum Event {
    /// Somebody calls; 100 Trying is already on its way. Do `ring`, `answer` or `reject`.
    Incoming {
        /// The new call.
        call: CallHandle,
        /// The caller's offer; `None`: the INVITE had none, so `answer` takes our offer and the
        /// caller's answer arrives in `Established`.
        offer: Option<Session>,
        /// Who, to whom, with what.
        info: Box<CallInfo>,
        /// The call of ours whose place it takes (RFC 3891): `answer` ends that one by itself
        /// ([`EndCause::Replaced`], or `Failed` where it was only ringing).
        replaces: Option<CallHandle>,
    },
    /// Our 200 was acknowledged.
    Established {
        /// The call.
        call: CallHandle,
        /// The caller's answer, where our 200 carried the offer.
        answer: Option<Session>,
    },
    /// The caller gave up before our answer (CANCEL, BYE, Expires, or `answer_within` passed), or we
    /// rejected the call.
    Cancelled {
        /// The call.
        call: CallHandle,
        /// The final status that the INVITE got: 487 when the caller gave up.
        status: u16,
    },
    /// A provisional response to our INVITE (180, 183 ...), 100 excepted.
    Progress {
        /// The call.
        call: CallHandle,
        /// 101 to 199.
        status: u16,
        /// Early media, if described.
        sdp: Option<Session>,
        /// Which branch of a forked call rings, 0 to 7 in order of appearance (RFC 3261 13.2.2.1). After a
        /// failover to another target it counts anew.
        fork: u16,
    },
    /// Our INVITE was accepted; the ACK is already on its way. Where the INVITE had no offer, it waits for
    /// `acknowledge`.
    Answered {
        /// The call.
        call: CallHandle,
        /// The answer to our offer, or the offer where we made none; `None` or unusable: hang up.
        sdp: Option<Session>,
    },
    /// Our INVITE came to nothing.
    Failed {
        /// The call.
        call: CallHandle,
        /// The final status, 408 where nobody answered, 503 where nobody could be reached, 487 after `cancel`.
        status: u16,
        /// Retry-After in seconds, where given.
        retry_after_s: Option<u32>,
        /// The URIs that a redirection (3xx) names, most wanted first, at most 8. Nobody is called by
        /// itself: whom to believe, and who pays, is not for a protocol to decide.
        contacts: Vec<Private<String>>,
    },
    /// The peer wants to change the session (re-INVITE, UPDATE, or PRACK with an offer; before the answer
    /// too). Do `accept_reinvite` or `reject_reinvite` at once: nothing tells it to wait.
    Reinvite {
        /// The call.
        call: CallHandle,
        /// Its offer; `None`: it wants ours, its answer arrives in `Renegotiated`.
        offer: Option<Session>,
    },
    /// A change by either side is complete, or the caller has answered the offer in our `progress`.
    Renegotiated {
        /// The call.
        call: CallHandle,
        /// The peer's answer, where the offer was ours.
        answer: Option<Session>,
    },
    /// A change by either side came to nothing; the session stays as it was.
    RenegotiationFailed {
        /// The call.
        call: CallHandle,
        /// The final status.
        status: u16,
    },
    /// A key press by INFO (application/dtmf-relay or application/dtmf).
    Info {
        /// The call.
        call: CallHandle,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: Private<char>,
        /// How long it was pressed.
        duration_ms: u32,
    },
    /// The peer reached the target of our `refer`, or accepted the transfer and hung up (`Ended`
    /// follows). Otherwise do `hangup`.
    Transferred {
        /// The call.
        call: CallHandle,
    },
    /// Our `refer` came to nothing; the call goes on (after 481 or 408 to the REFER itself `Ended` follows).
    TransferFailed {
        /// The call.
        call: CallHandle,
        /// What the REFER got, or what the peer got from the target; 408 where the outcome never came.
        status: u16,
    },
    /// The peer asks us to call somebody else instead (RFC 3515). Do `accept_refer` or `reject_refer`
    /// within 30 s; to go there is an INVITE of its own, told by `refer_progress`.
    Referred {
        /// The call.
        call: CallHandle,
        /// Whom to call: a sip:, sips: or tel: URI without headers.
        target: Private<String>,
        /// The value of the Replaces header that our INVITE has to carry: an attended transfer (RFC 3891).
        replaces: Option<Private<String>>,
        /// The value of Referred-By (RFC 3892), which our INVITE repeats.
        referred_by: Option<Private<String>>,
    },
    /// An answered call is over.
    Ended {
        /// The call.
        call: CallHandle,
        /// Why.
        cause: EndCause,
    },
    /// A registration holds: at first, and after each refresh.
    Registered {
        /// The registration.
        registration: RegistrationHandle,
        /// How long without a refresh, which comes by itself.
        expires_s: u32,
    },
    /// A registration, or its refresh, came to nothing. It is tried again by itself.
    RegistrationFailed {
        /// The registration.
        registration: RegistrationHandle,
        /// The final status: 401 or 407 where the credentials are wrong or missing, 408 where no target
        /// answered, 503 where none could be reached.
        status: u16,
        /// When it is tried again.
        retry_in_s: u32,
    },
    /// A registration is over, by our `unregister`.
    Unregistered {
        /// The registration; it means nothing any more.
        registration: RegistrationHandle,
    },
    /// What became of an OPTIONS of ours.
    Pong {
        /// The OPTIONS.
        ping: PingHandle,
        /// The final status; 408 where nothing came, 503 where it could not be sent.
        status: u16,
    },
}

/// Why an answered call is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// Our `hangup`.
    LocalHangup,
    /// The peer's BYE.
    RemoteHangup(Option<Reason>),
    /// Our 200 was never acknowledged (64*T1); a BYE went out.
    NoAck,
    /// The peer no longer knows the call, or does not react: 481 or 408 to a request of ours.
    PeerGone(u16),
    /// Nobody refreshed the session in time (RFC 4028); a BYE went out.
    SessionExpired,
    /// Another call took its place (RFC 3891); a BYE went out.
    Replaced,
}

/// What an INVITE says about itself. All of it is private.
#[derive(Clone)]
pub struct CallInfo {
    /// The user part of From, unescaped; empty where there is none.
    pub from_user: Private<String>,
    /// The whole From URI.
    pub from_uri: Private<String>,
    /// The display name of From, unquoted.
    pub from_display: Option<Private<String>>,
    /// The user part of To, unescaped.
    pub to_user: Private<String>,
    /// The user part of the Request-URI, unescaped: the number that was called.
    pub request_user: Private<String>,
    /// The Call-ID.
    pub call_id: Private<String>,
    /// The URI of P-Asserted-Identity (RFC 3325), else of Remote-Party-ID for the calling party. Believe
    /// it only from a trusted trunk.
    pub asserted_identity: Option<Private<String>>,
    /// Privacy (RFC 3323): `id`, `user`, `header` ..., lower case. Not empty: the caller does not wish to
    /// be named to others.
    pub privacy: Vec<String>,
    /// Who sent the call on, latest first: the entries of Diversion (RFC 5806) as they came, 16 at most.
    pub diversion: Vec<Private<String>>,
    /// The way the call took, oldest first: the entries of History-Info (RFC 7044), 16 at most.
    pub history: Vec<Private<String>>,
    /// Why it was sent (RFC 3326), if it says so.
    pub reason: Option<Reason>,
    /// Its X- headers and User-to-User (RFC 7433), name and value, in order: 16 at most, of 256 bytes
    /// at most each; longer ones are left out.
    pub headers: Vec<(String, Private<String>)>,
    /// User-Agent, if present.
    pub user_agent: Option<Private<String>>,
    /// The registration of ours that it came by: it asks for the Contact that only the registrar knows.
    pub registration: Option<RegistrationHandle>,
    /// Where the INVITE came from.
    pub source: Private<Peer>,
    /// The trunk it came by, as configured; `None`: a stranger.
    pub trunk: Option<String>,
}

impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallInfo([private])")
    }
}

impl Event {
    /// The call it is about, if it is about one.
    pub const fn call(&self) -> Option<CallHandle> {
        match self {
            Self::Registered { .. }
            | Self::RegistrationFailed { .. }
            | Self::Unregistered { .. }
            | Self::Pong { .. } => None,
            Self::Incoming { call, .. }
            | Self::Established { call, .. }
            | Self::Cancelled { call, .. }
            | Self::Progress { call, .. }
            | Self::Answered { call, .. }
            | Self::Failed { call, .. }
            | Self::Reinvite { call, .. }
            | Self::Renegotiated { call, .. }
            | Self::RenegotiationFailed { call, .. }
            | Self::Info { call, .. }
            | Self::Referred { call, .. }
            | Self::Transferred { call }
            | Self::TransferFailed { call, .. }
            | Self::Ended { call, .. } => Some(*call),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sdp = |s: &Option<Session>| if s.is_some() { " +sdp" } else { "" };
        let call = self.call().map_or(0, |c| c.0);
        match self {
            Self::Incoming { offer, replaces: None, .. } => write!(f, "Incoming({call}{})", sdp(offer)),
            Self::Incoming { offer, replaces: Some(old), .. } => {
                write!(f, "Incoming({call}{}, replaces {})", sdp(offer), old.0)
            }
            Self::Established { answer, .. } => write!(f, "Established({call}{})", sdp(answer)),
            Self::Cancelled { status, .. } => write!(f, "Cancelled({call}, {status})"),
            Self::Progress { status, sdp: s, fork: 0, .. } => write!(f, "Progress({call}, {status}{})", sdp(s)),
            Self::Progress { status, sdp: s, fork, .. } => {
                write!(f, "Progress({call}, {status}{}, fork {fork})", sdp(s))
            }
            Self::Answered { sdp: s, .. } => write!(f, "Answered({call}{})", sdp(s)),
            Self::Failed { status, contacts, .. } if !contacts.is_empty() => {
                write!(f, "Failed({call}, {status}, {} contacts)", contacts.len())
            }
            Self::Failed { status, .. } => write!(f, "Failed({call}, {status})"),
            Self::Reinvite { offer, .. } => write!(f, "Reinvite({call}{})", sdp(offer)),
            Self::Renegotiated { answer, .. } => write!(f, "Renegotiated({call}{})", sdp(answer)),
            Self::RenegotiationFailed { status, .. } => write!(f, "RenegotiationFailed({call}, {status})"),
            Self::Info { .. } => write!(f, "Info({call})"),
            Self::Referred { replaces, .. } => {
                write!(f, "Referred({call}{})", if replaces.is_some() { " +replaces" } else { "" })
            }
            Self::Transferred { .. } => write!(f, "Transferred({call})"),
            Self::TransferFailed { status, .. } => write!(f, "TransferFailed({call}, {status})"),
            Self::Ended { cause, .. } => write!(f, "Ended({call}, {cause:?})"),
            Self::Registered { registration, expires_s } => write!(f, "Registered({}, {expires_s} s)", registration.0),
            Self::RegistrationFailed { registration, status, retry_in_s } => {
                write!(f, "RegistrationFailed({}, {status}, again in {retry_in_s} s)", registration.0)
            }
            Self::Unregistered { registration } => write!(f, "Unregistered({})", registration.0),
            Self::Pong { ping, status } => write!(f, "Pong({}, {status})", ping.0),
        }
    }
}

/// A command that could not be done.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The call is over (or never was): forget the handle.
    #[error("no such call: it is over")]
    NoSuchCall,
    /// The registration is over (or never was): forget the handle.
    #[error("no such registration: it is over")]
    NoSuchRegistration,
    /// The call is not where this command makes sense, e.g. `answer` on an answered call.
    #[error("the call is in another state")]
    WrongState,
    /// The endpoint holds as many calls as it may: try later.
    #[error("as many calls as configured are open; try later")]
    Full,
    /// The URI is not one that this command takes: sip: or sips:, for `refer` also tel:.
    #[error("the address is not a sip: or sips: URI (or tel:, for a transfer), or has parts it may not have")]
    BadUri,
    /// `targets` is empty: the name was not resolved.
    #[error("there is nowhere to send it")]
    NoTarget,
    /// The status is outside what the command may send.
    #[error("the status is none that this command may send")]
    BadStatus,
}

/// Counters since the start.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Datagrams handed in.
    pub received: u64,
    /// Datagrams handed out, retransmissions included.
    pub sent: u64,
    /// Datagrams that were no SIP at all, and were ignored.
    pub garbage: u64,
    /// Keep-alives (empty, CRLF, STUN).
    pub keepalives: u64,
    /// Requests answered 400 or 505 for their form, and responses dropped for it.
    pub malformed: u64,
    /// INVITEs refused with 503 because the endpoint was full.
    pub refused_full: u64,
    /// Responses and ACKs that belong to nothing.
    pub strays: u64,
    /// Our own retransmissions of requests and responses.
    pub retransmissions: u64,
    /// Datagrams dropped because nobody polled the outputs.
    pub overflow: u64,
    /// Requests and STUN requests dropped because their source sent too many.
    pub throttled: u64,
    /// Datagrams dropped because their source is banned.
    pub banned_dropped: u64,
    /// Bans pronounced.
    pub banned: u64,
    /// Requests dropped because a scanner said its name.
    pub scanners: u64,
    /// INVITEs answered 401.
    pub challenged: u64,
    /// INVITEs of strangers answered 403.
    pub forbidden: u64,
    /// INVITEs answered 503 because their trunk or source had its share.
    pub refused_limit: u64,
}
