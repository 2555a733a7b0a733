//! Requests of ours on their way: the road each takes, and another one where the first fails (RFC 3261 18.1.1, RFC 3263 4.3). It never decides what a call makes of an answer.

use super::call::{Call, Phase};
use super::table::{Entry, Machine, Purpose};
use super::{Due, Endpoint};
use crate::dialog::Outgoing;
use crate::header::NameAddr;
use crate::message::{self, Builder, Name, StartLine};
use crate::peer::{Peer, Transport};
use crate::transaction::{InviteClient, RequestClient, T1_64};
use std::collections::VecDeque;
use std::time::Instant;

/// RFC 3261 18.1.1: where the path's MTU is unknown, nothing larger goes by UDP.
const UDP_BYTES_MAX: usize = 1300;
/// Most targets of one request.
const TARGETS_MAX: usize = 16;

/// A request of ours about to go out.
pub(super) struct Launch<'a> {
    pub method: &'a str,
    pub outgoing: Outgoing,
    pub call: Option<u64>,
    pub purpose: Purpose,
    /// As `outgoing.peer` is to get it.
    pub bytes: Vec<u8>,
    /// Where it goes if it cannot go there.
    pub others: &'a [Peer],
    /// Its sender itself knows more places to try.
    pub has_more: bool,
}

impl Endpoint {
    /// Sends a request and remembers it. `None`: there is no room; an INVITE did not go out then, anything
    /// else did, once.
    pub(super) fn launch(&mut self, now: Instant, launch: Launch<'_>) -> Option<u64> {
        let Launch { method, mut outgoing, call, purpose, mut bytes, others, has_more } = launch;
        let targets = std::iter::once(outgoing.peer).chain(others.iter().copied());
        let mut targets = self.roads(purpose, bytes.len(), targets);
        let to = targets.pop_front()?;
        let is_moved = to != outgoing.peer;
        outgoing.peer = to;
        let authorization = self.authorization(purpose, call, &bytes);
        if is_moved || !authorization.is_empty() {
            bytes = self.renew(&bytes, &outgoing, is_moved, &authorization)?.1;
        }
        let launch = Launch { method, outgoing, call, purpose, bytes: bytes.clone(), others, has_more };
        let entry = self.client_entry(now, launch, targets);
        let is_invite = matches!(entry.machine, Machine::InviteClient(_));
        let tx = self.remember(entry);
        if tx.is_some() || !is_invite {
            self.out.send(to, bytes);
        }
        tx
    }

    /// RFC 3261 18.1.1: too large for UDP is for TCP first, and for UDP where there is no TCP.
    fn roads(&self, purpose: Purpose, size: usize, targets: impl Iterator<Item = Peer>) -> VecDeque<Peer> {
        // A CANCEL goes the way of its INVITE, a REGISTER the way that it is for.
        let is_whole = matches!(purpose, Purpose::Aside | Purpose::Register(_) | Purpose::Ping(_));
        let size = if is_whole { 0 } else { size };
        let mut roads = VecDeque::new();
        for target in targets.take(TARGETS_MAX) {
            let first = self.road(target, size);
            roads.push_back(first);
            if first != target {
                roads.push_back(target);
            }
        }
        roads
    }

    /// How a request of this size goes to a peer.
    pub(super) fn road(&self, to: Peer, size: usize) -> Peer {
        if size > UDP_BYTES_MAX && to.transport == Transport::Udp && self.config.has_tcp_for(to) {
            return Peer::new(Transport::Tcp, to.address);
        }
        to
    }

    fn client_entry(&self, now: Instant, launch: Launch<'_>, targets: VecDeque<Peer>) -> Entry {
        let Launch { method, outgoing, call, purpose, bytes, has_more, .. } = launch;
        let transport = outgoing.peer.transport;
        let within = if targets.is_empty() && !has_more { T1_64 } else { self.config.target_within };
        let machine = match method {
            "INVITE" if purpose == Purpose::Reinvite => {
                // A first INVITE is given up with its call; this one would stay in Proceeding for good.
                let ends = now + self.config.answer_within;
                Machine::InviteClient(InviteClient::new(now, transport, within).ending(ends))
            }
            "INVITE" => Machine::InviteClient(InviteClient::new(now, transport, within)),
            _ => Machine::RequestClient(RequestClient::new(now, transport, within)),
        };
        let key = self.client_key(&outgoing.branch, method);
        let mut entry = Entry::server(machine, key, outgoing.peer, call);
        entry.purpose = purpose;
        entry.request = bytes;
        entry.targets = targets;
        entry.outgoing = Some(Box::new(outgoing));
        entry
    }

    /// The next target gets the request (RFC 3263 4.3). False: there is none, or nobody wants it any more.
    pub(super) fn fail_over(&mut self, now: Instant, tx: u64) -> bool {
        let Some(entry) = self.table.get(tx) else { return false };
        if !self.is_wanted(entry) {
            return false;
        }
        let Some(next) = self.table.get_mut(tx).and_then(|e| e.targets.pop_front()) else { return false };
        // Another server may challenge anew; the first one did not say that the password is wrong.
        self.credentials_held(tx);
        self.relaunch(now, tx, next, None)
    }

    /// Does anybody still wait for what becomes of this request?
    pub(super) fn is_wanted(&self, entry: &Entry) -> bool {
        let call = entry.call.and_then(|id| self.calls.get(&id));
        match entry.purpose {
            Purpose::Serve | Purpose::Aside | Purpose::Abandoned | Purpose::Cancelled => false,
            Purpose::Ping(_) => true,
            Purpose::Register(id) => self.registrations.contains_key(&id),
            Purpose::Bye => call.is_some(),
            _ => call.is_some_and(|c| !c.is_over),
        }
    }

    /// Sends a transaction's request again as another transaction, which takes its place: whoever knew the
    /// one knows the other. `cseq`: its new number; without, RFC 3263 4.3 wants but a new branch.
    pub(super) fn relaunch(&mut self, now: Instant, tx: u64, to: Peer, cseq: Option<u32>) -> bool {
        let branch = self.ids.branch();
        let Some(entry) = self.table.get_mut(tx) else { return false };
        let Some(mut outgoing) = entry.outgoing.as_deref().cloned() else { return false };
        let (request, targets) = (entry.request.clone(), std::mem::take(&mut entry.targets));
        let (purpose, call, is_moved) = (entry.purpose, entry.call, entry.peer != to);
        (outgoing.branch, outgoing.peer, outgoing.cseq) = (branch, to, cseq.unwrap_or(outgoing.cseq));
        let authorization = self.authorization(purpose, call, &request);
        let Some((method, bytes)) = self.renew(&request, &outgoing, is_moved, &authorization) else { return false };
        let (others, has_more) = ([].as_slice(), false);
        let fresh = Launch { method: &method, outgoing, call, purpose, bytes: bytes.clone(), others, has_more };
        let fresh = self.client_entry(now, fresh, targets);
        if purpose == Purpose::Invite
            && let Some(Call { phase: Phase::Calling(calling), early, .. }) =
                call.and_then(|id| self.calls.get_mut(&id))
        {
            calling.begin_again();
            early.clear();
        }
        let Some(old) = self.table.replace(tx, fresh) else { return false };
        if let Some(at) = old.armed {
            self.timers.remove(&(at, Due::Transaction(tx)));
        }
        self.door.pardon(to);
        self.settle(tx);
        self.out.send(to, bytes);
        self.abandon(now, old);
        true
    }

    /// An INVITE that was sent again stays behind for a while: its failure may be repeated and wants its ACK
    /// each time, or somebody answers late.
    fn abandon(&mut self, now: Instant, mut old: Entry) {
        let Machine::InviteClient(machine) = &mut old.machine else { return };
        if machine.is_unheard() || machine.is_terminated() {
            *machine = InviteClient::abandoned(now, old.peer.transport);
        }
        (old.purpose, old.armed) = (Purpose::Abandoned, None);
        self.remember(old);
    }

    /// A request of ours, written again: everything as it was but Via, CSeq, credentials if there are new
    /// ones, and, for another road, Contact. Its method and itself.
    pub(super) fn renew(
        &self,
        request: &[u8],
        outgoing: &Outgoing,
        is_moved: bool,
        authorization: &[(Name, String)],
    ) -> Option<(String, Vec<u8>)> {
        let message = message::parse(request).ok()?;
        let StartLine::Request { method, uri, .. } = message.start else { return None };
        let to = outgoing.peer;
        let mut builder = Builder::request(method, std::str::from_utf8(uri).ok()?);
        for header in &message.headers {
            builder = match header.kind {
                Name::Via => builder.header(Name::Via, &outgoing.via(self.local(to))),
                Name::CSeq => builder.header(Name::CSeq, &format!("{} {method}", outgoing.cseq)),
                Name::Contact if is_moved => builder.header(Name::Contact, &self.moved(&header.text(), to)),
                Name::Authorization | Name::ProxyAuthorization if !authorization.is_empty() => builder,
                Name::ContentType | Name::ContentLength => builder,
                _ => builder.raw(header.name, &header.value),
            };
        }
        for (name, value) in authorization {
            builder = builder.header(*name, value);
        }
        let kind = message.header(Name::ContentType).map(|h| h.text());
        let bytes = match kind {
            Some(kind) => builder.finish_with(&kind, message.body),
            None => builder.finish(),
        };
        Some((method.to_owned(), bytes))
    }

    /// A Contact of ours as another peer is to get it.
    fn moved(&self, contact: &str, to: Peer) -> String {
        let old = NameAddr::parse(contact);
        let user = old.as_ref().and_then(|c| c.uri.sip()).and_then(|sip| sip.user.as_deref());
        let params = contact.rsplit_once('>').map(|(_, params)| params).unwrap_or_default();
        self.contact_of(user.unwrap_or_default(), to) + params
    }
}
