//! SIP as a state machine. It never opens a socket, reads a clock, starts a thread or writes a log.
//!
//! # The loop of a driver
//! ```text
//! datagram  -> endpoint.handle(now, Peer::udp(from), &bytes)
//! deadline  -> endpoint.handle_timeout(now)          // endpoint.deadline(): when to call it
//! decision  -> endpoint.ring / answer / reject / hangup / invite / cancel / ...
//! after each of them: while let Some(output) = endpoint.poll() {
//!     match output { Output::Send { to, bytes } => socket.send_to(..), Output::Event(event) => .., .. }
//! }
//! ```
//! Outputs that nobody polls are bounded: past the bound new datagrams are dropped and counted.
//!
//! # An incoming call
//! [`Event::Incoming`] (100 is already on its way) -> [`Endpoint::ring`] (180, optional) ->
//! [`sdp::answer`] -> [`Endpoint::answer`] -> [`Event::Established`] at the ACK -> [`Event::Ended`] at
//! either side's BYE. [`Endpoint::reject`] refuses; [`Event::Cancelled`]: the caller gave up or we rejected.
//!
//! # An outgoing call
//! [`sdp::offer`] -> [`Endpoint::invite`] -> [`Event::Progress`]* -> [`Event::Answered`] (the ACK is on its
//! way; feed its description to [`sdp::accept`]) -> [`Event::Ended`], or [`Event::Failed`].
//!
//! # Changes in a call
//! [`Event::Reinvite`] -> [`Endpoint::accept_reinvite`] or [`Endpoint::reject_reinvite`]; our own with
//! [`Endpoint::reinvite`]; both end in [`Event::Renegotiated`] or [`Event::RenegotiationFailed`].
//!
//! # Transfer
//! [`Endpoint::refer`] asks the peer of an answered call to call somebody else (a blind transfer, RFC 3515,
//! with the implicit subscription) -> [`Event::Transferred`], upon which we [`Endpoint::hangup`], or
//! [`Event::TransferFailed`], upon which the call goes on. Each accepted `refer` is answered by one of the
//! two, unless the call ends before. A peer that accepts and then hangs up without a word, as most PBXs do,
//! counts as transferred: `Transferred` comes first, [`Event::Ended`] after it. The other way round we
//! follow nobody: a REFER to us gets 405.
//!
//! # Every call
//! ends with exactly one of `Cancelled`, `Failed` and `Ended`, also when we end it ourselves; the
//! event follows the command at once, the rest of the signalling happens behind it.
//!
//! # Who may call
//! [`EndpointConfig::door`]: trunks by address, by the name of their certificate ([`Endpoint::connected`]) or by
//! digest, what strangers get, and when they are not heard any more. See [`door`] and [`auth`].
//!
//! # Private data
//! Numbers, names, addresses and digits are in types whose `Debug` shows nothing ([`Private`],
//! [`CallInfo`], [`Output`], [`sdp::Session`], ...).

pub mod auth;
mod dialog;
pub mod door;
mod endpoint;
pub mod header;
mod ids;
pub mod message;
pub mod method;
mod peer;
mod private;
pub mod sdp;
pub mod stream;
pub mod stun;
mod text;
mod transaction;
pub mod uri;

pub use endpoint::{
    CallHandle, CallInfo, CommandError, EndCause, Endpoint, EndpointConfig, Event, InviteRequest, Output, PingHandle,
    Reason, RegisterRequest, RegistrationHandle, Stats,
};
pub use peer::{Connection, Peer, Transport};
pub use private::Private;
