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
//! [`Endpoint::progress`] is `ring` with early media; where the caller wants provisional responses reliably it
//! gets them so (RFC 3262), and `answer` waits for the acknowledgement of a description by itself. A call may
//! come in the place of another ([`Event::Incoming`] `replaces`, RFC 3891): `answer` ends that one.
//!
//! # An outgoing call
//! [`sdp::offer`] -> [`Endpoint::invite`] -> [`Event::Progress`]* -> [`Event::Answered`] (the ACK is on its
//! way; feed its description to [`sdp::accept`]) -> [`Event::Ended`], or [`Event::Failed`]. Without an offer
//! of ours the one in `Answered` is theirs: [`sdp::answer`] -> [`Endpoint::acknowledge`].
//!
//! The driver resolves names; [`InviteRequest::targets`] are tried in order, each under a branch of its own,
//! while one after the other is unreachable, silent ([`EndpointConfig::target_within`]) or answers 503
//! (RFC 3263 4.3). A 401 or 407 is answered with [`InviteRequest::credentials`], in the whole call. Redirections
//! are told, never followed.
//!
//! # Roads that end
//! [`Endpoint::unreachable`] says that something could not be sent: requests take their next target or fail as
//! if with 503, responses go where the client says it listens (RFC 3261 18.2.2). What is too large for UDP goes
//! by TCP where [`EndpointConfig::listeners`] has one, and by UDP where there is no TCP (RFC 3261 18.1.1).
//!
//! # Registrations and trunks
//! [`Endpoint::register`] makes us a phone of a PBX until [`Endpoint::unregister`]: refreshed in time, tried
//! again after failures, behind a NAT under the address that the registrar sees, with signs of life in between.
//! Calls that come by it say so ([`CallInfo::registration`]). [`Endpoint::options`] asks whether a trunk is there.
//!
//! # Changes in a call
//! [`Event::Reinvite`] -> [`Endpoint::accept_reinvite`] or [`Endpoint::reject_reinvite`]; our own with
//! [`Endpoint::reinvite`]; both end in [`Event::Renegotiated`] or [`Event::RenegotiationFailed`]. An UPDATE with
//! an offer (RFC 3311), and an offer in a reliable response or a PRACK (RFC 3262 5), is a `Reinvite` like any
//! other, before the answer too. Hold and resume are changes of [`sdp::LocalMedia::direction`].
//!
//! # Sessions that expire
//! [`EndpointConfig::session_expires`] (RFC 4028): agreed with every INVITE, refreshed by whoever it falls to (by
//! UPDATE if the peer takes it, else by the description that stands), and a call that nobody refreshes ends with
//! [`EndCause::SessionExpired`]. All of it happens behind the scenes; a refresh by re-INVITE that is accepted
//! says `Renegotiated`.
//!
//! # Transfer
//! [`Endpoint::refer`] asks the peer of an answered call to call somebody else (a blind transfer, RFC 3515,
//! with the implicit subscription) -> [`Event::Transferred`], upon which we [`Endpoint::hangup`], or
//! [`Event::TransferFailed`], upon which the call goes on. Each accepted `refer` is answered by one of the
//! two, unless the call ends before. A peer that accepts and then hangs up without a word, as most PBXs do,
//! counts as transferred: `Transferred` comes first, [`Event::Ended`] after it. [`Endpoint::refer_to_call`] does
//! the same with another call of ours (an attended transfer, RFC 5589): the two peers talk to each other then.
//!
//! The other way round, if [`EndpointConfig::follow_refer`] allows it (else 405): [`Event::Referred`] ->
//! [`Endpoint::accept_refer`] -> an [`Endpoint::invite`] of the driver's to the target, with the Replaces and
//! Referred-By headers of the event -> [`Endpoint::refer_progress`] with each status, or
//! [`Endpoint::reject_refer`].
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
