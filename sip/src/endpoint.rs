//! The user agent: transactions, dialogs and calls behind one face. It never waits and never decides for a caller.

mod body;
mod call;
mod called;
mod caller;
mod challenge;
mod commands;
mod config;
mod door;
mod early;
mod event;
mod info;
mod ping;
mod referred;
mod registration;
mod reliable;
mod replaces;
mod reply;
mod requests;
mod responses;
mod send;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod timeouts;
mod transfer;
mod unreachable;
mod update;

pub use config::{EndpointConfig, InviteRequest, Reason, RegisterRequest};
pub use event::{CallHandle, CallInfo, CommandError, EndCause, Event, Output, PingHandle, RegistrationHandle, Stats};

use crate::door::{Keeper, Offence};
use crate::header::{Head, Refusal, Request, Response};
use crate::ids::Ids;
use crate::message::{self, Message, StartLine};
use crate::peer::{Peer, Transport};
use call::Call;
use registration::Registration;
use reply::Reply;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;
use table::{Entry, Key, Machine, Table};

/// Longest request taken from a stranger, in bytes: what bounds the memory of one transaction.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// What we speak, for Allow.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, PRACK, UPDATE";
const ALLOW_REFER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, PRACK, UPDATE, REFER";
/// The extensions we speak, for Supported.
const SUPPORTED: [&str; 4] = ["100rel", "timer", "norefersub", "replaces"];

/// A SIP user agent for one socket, both caller and called.
pub struct Endpoint {
    config: EndpointConfig,
    ids: Ids,
    calls: BTreeMap<u64, Call>,
    dialogs: BTreeMap<Key, u64>,
    table: Table,
    timers: BTreeSet<(Instant, Due)>,
    door: Keeper,
    out: Outbox,
    last_call: u64,
    registrations: BTreeMap<u64, Registration>,
    /// By the user part of their Contact.
    contacts: BTreeMap<Key, u64>,
    last_registration: u64,
    last_ping: u64,
    seen_as: Option<SocketAddr>,
}

/// Whose timer it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Transaction(u64),
    Call(u64),
    Registration(u64),
}

/// What waits to be polled.
#[derive(Default)]
struct Outbox {
    queue: VecDeque<Output>,
    stats: Stats,
}

impl Outbox {
    fn send(&mut self, to: Peer, bytes: Vec<u8>) {
        self.stats.sent += 1;
        self.queue.push_back(Output::Send { to, bytes });
    }

    fn resend(&mut self, to: Peer, bytes: Vec<u8>) {
        self.stats.retransmissions += 1;
        self.send(to, bytes);
    }

    fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }
}

impl Endpoint {
    /// An endpoint without calls.
    pub fn new(config: EndpointConfig) -> Self {
        Self {
            ids: Ids::new(config.seed),
            door: Keeper::new(config.door.clone(), config.max_calls, config.seed),
            config,
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            table: Table::default(),
            timers: BTreeSet::new(),
            out: Outbox::default(),
            last_call: 0,
            registrations: BTreeMap::new(),
            contacts: BTreeMap::new(),
            last_registration: 0,
            last_ping: 0,
            seen_as: None,
        }
    }

    /// Takes one datagram. Anything may be in it.
    pub fn handle(&mut self, now: Instant, from: Peer, bytes: &[u8]) {
        self.out.stats.received += 1;
        if self.out.queue.len() > self.outputs_max() {
            self.out.stats.overflow += 1;
            return;
        }
        if self.door.is_banned(now, from) {
            self.out.stats.banned_dropped += 1;
            return;
        }
        if is_keepalive(bytes) {
            self.out.stats.keepalives += 1;
            return self.on_keepalive(now, from, bytes);
        }
        let Ok(message) = message::parse(bytes) else {
            self.out.stats.garbage += 1;
            return;
        };
        if !message.is_request() {
            match Response::read(message) {
                Ok(response) => self.on_response(now, &response),
                Err(_) => self.out.stats.malformed += 1,
            }
        } else if !self.is_heard(now, from, &message) {
            // Silence: an answer would serve whoever wrote a victim's address as its own.
        } else if bytes.len() > REQUEST_BYTES_MAX {
            self.refuse(now, from, &message, Refusal { status: 513, why: "message too large" });
        } else {
            match Request::read(message) {
                Ok(request) => self.on_request(now, from, &request),
                Err((message, refusal)) => self.refuse(now, from, &message, refusal),
            }
        }
    }

    /// The next thing to do or to know; `None`: nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.queue.pop_front()
    }

    /// When to call [`Endpoint::handle_timeout`]; `None`: no timer runs.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, due)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, due));
            match due {
                Due::Transaction(id) => self.transaction_due(now, id),
                Due::Call(id) => self.call_due(now, id),
                Due::Registration(id) => self.registration_due(now, id),
            }
        }
    }

    /// Calls open now, including those being torn down.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Transactions remembered now.
    pub fn transactions(&self) -> usize {
        self.table.len()
    }

    /// The address our peers see us at, where a response said so (RFC 3581 `received` and `rport`).
    pub const fn seen_as(&self) -> Option<SocketAddr> {
        self.seen_as
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.out.stats
    }

    /// More than one input can ever cause, far less than what would hurt.
    const fn outputs_max(&self) -> usize {
        1024 + 4 * self.config.max_calls
    }

    /// Our own address for a peer: what Via says.
    fn local(&self, peer: Peer) -> SocketAddr {
        self.config.local(peer)
    }

    /// `Contact: <sip:user@address;transport=..>` for a peer. The transport is left out for UDP.
    fn contact(&self, peer: Peer) -> String {
        self.contact_of(&crate::text::escape_user(&self.config.contact_user), peer)
    }

    /// The same for another user part, which is escaped already.
    fn contact_of(&self, user: &str, peer: Peer) -> String {
        contact_at(user, self.local(peer), peer.transport)
    }

    /// What we speak, for Allow.
    const fn allow(&self) -> &'static str {
        if self.config.follow_refer { ALLOW_REFER } else { ALLOW }
    }

    /// The extensions we speak.
    fn supported(&self) -> &'static [&'static str] {
        let [known @ .., _] = &SUPPORTED;
        if self.config.accept_replaces { &SUPPORTED } else { known }
    }

    /// Answers a request that cannot be read, and forgets it (RFC 3261 8.2.7).
    fn refuse(&mut self, now: Instant, from: Peer, message: &Message<'_>, refusal: Refusal) {
        self.out.stats.malformed += 1;
        let StartLine::Request { method, .. } = message.start else { return };
        if method == "ACK" {
            return;
        }
        let reply = Reply::new(message, from, self.config.symmetric_responses);
        let text = |name| message.header(name).map(|h| h.text().into_owned()).unwrap_or_default();
        let tag = self.ids.stateless_tag(&text(message::Name::CallId), &text(message::Name::From), 0);
        let mut builder = reply.response(refusal.status, Some(&tag));
        builder = self.signed(builder).raw("Warning", format!("399 dauys \"{}\"", refusal.why).as_bytes());
        self.out.send(reply.peer, builder.finish());
        self.offend(now, from, Offence::Refused);
    }

    /// With our name, if we give one.
    fn signed(&self, builder: message::Builder) -> message::Builder {
        if self.config.user_agent.is_empty() {
            return builder;
        }
        builder.raw("Server", self.config.user_agent.as_bytes())
    }

    /// RFC 3261 17.2.3; without the branch cookie the RFC 2543 way, the To tag left out so that the ACK
    /// of a failure finds its INVITE.
    fn server_key(&self, message: &Message<'_>, uri: &str, head: &Head, method: &str) -> Key {
        let Some(top) = head.vias.first() else { return self.ids.key(&[]) };
        let method = if method == "ACK" { "INVITE" } else { method };
        let port = top.port.unwrap_or(5060).to_string();
        if let Some(branch) = top.branch() {
            return self.ids.key(&["server", branch, &top.host, &port, method]);
        }
        let via = message.header(message::Name::Via).map(|h| h.text().into_owned()).unwrap_or_default();
        let number = head.cseq.number.to_string();
        let from_tag = head.from.tag().unwrap_or_default();
        self.ids.key(&["2543", uri, from_tag, &head.call_id, &number, &via, method])
    }

    fn client_key(&self, branch: &str, method: &str) -> Key {
        self.ids.key(&["client", branch, method])
    }

    fn dialog_key(&self, call_id: &str, local_tag: &str) -> Key {
        self.ids.key(&["dialog", call_id, local_tag])
    }

    /// Remembers a transaction and starts its timer. `None`: the table is full.
    fn remember(&mut self, entry: Entry) -> Option<u64> {
        if self.table.len() >= self.config.max_transactions {
            return None;
        }
        if entry.purpose != table::Purpose::Serve {
            self.door.pardon(entry.peer);
        }
        let id = self.table.insert(entry);
        self.settle(id);
        Some(id)
    }

    /// After anything happened to a transaction: its timer again, or its end.
    fn settle(&mut self, id: u64) {
        let Some(entry) = self.table.get_mut(id) else { return };
        let next = entry.deadline();
        let is_terminated = entry.is_terminated();
        if entry.armed != next {
            if let Some(old) = std::mem::replace(&mut entry.armed, next) {
                self.timers.remove(&(old, Due::Transaction(id)));
            }
            if let Some(at) = next {
                self.timers.insert((at, Due::Transaction(id)));
            }
        }
        if is_terminated {
            self.table.remove(id);
        }
    }

    /// Forgets a transaction at once.
    fn forget_transaction(&mut self, id: u64) {
        if let Some(at) = self.table.remove(id).and_then(|e| e.armed) {
            self.timers.remove(&(at, Due::Transaction(id)));
        }
    }

    /// After anything happened to a call: its timer again.
    fn arm(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let next = call.deadline();
        if call.armed == next {
            return;
        }
        if let Some(old) = std::mem::replace(&mut call.armed, next) {
            self.timers.remove(&(old, Due::Call(id)));
        }
        if let Some(at) = next {
            self.timers.insert((at, Due::Call(id)));
        }
    }

    /// Takes a new call in.
    fn add_call(&mut self, call: Call) -> u64 {
        self.last_call += 1;
        self.dialogs.insert(call.dialog_key, self.last_call);
        self.calls.insert(self.last_call, call);
        self.last_call
    }

    /// Forgets a call; its transactions live out their time.
    fn remove_call(&mut self, id: u64) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.dialogs.remove(&call.dialog_key);
        self.door.leave(id);
        if let Some(at) = call.armed {
            self.timers.remove(&(at, Due::Call(id)));
        }
    }

    /// A response of a server transaction whose user had to think, kept by it for retransmission.
    fn respond(&mut self, now: Instant, tx: u64, status: u16, bytes: Vec<u8>) {
        if let Some(entry) = self.table.get_mut(tx) {
            let is_in_time = match &mut entry.machine {
                Machine::InviteServer(machine) => machine.on_response(now, status, &bytes),
                Machine::RequestServer(machine) => machine.on_response(now, &bytes),
                _ => false,
            };
            if is_in_time {
                self.out.send(entry.peer, bytes);
            }
        }
        self.settle(tx);
    }
}

/// `<sip:user@address;transport=..>`; the user is escaped already.
fn contact_at(user: &str, address: SocketAddr, transport: Transport) -> String {
    // RFC 7118 5.2.2: one name for both kinds of WebSocket.
    let transport = match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    };
    format!("<sip:{user}@{address}{transport}>")
}

/// Nothing, empty lines (RFC 5626 3.5.1), or STUN (RFC 7983: first byte 0 to 3).
fn is_keepalive(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|b| *b < 4) || bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0))
}
