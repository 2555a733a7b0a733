//! The door at work: who is heard, challenged, refused and banned. It never looks at whom a request is for.

use super::Endpoint;
use super::call::Phase;
use super::event::Output;
use super::requests::Asked;
use crate::door::{Admission, Offence, Source};
use crate::header::NameAddr;
use crate::message::{Message, Name};
use crate::method::Method;
use crate::peer::{Connection, Peer, Transport};
use crate::private::Private;
use crate::stun;
use std::time::Instant;

impl Endpoint {
    /// A TLS connection stands, and these names in its peer's certificate were verified (domain names, RFC 5922 7.1).
    /// Until then its peer is who its address says.
    pub fn connected(&mut self, connection: Connection, names: Vec<String>) {
        self.door.connected(connection, &names);
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, _now: Instant, connection: Connection) {
        self.door.disconnected(connection);
    }

    /// Entries in the tables of the door: sources counted, sources banned, sources that proved a password, nonces,
    /// named connections.
    pub fn door_sizes(&self) -> [usize; 5] {
        self.door.sizes()
    }

    /// Counts a request. False: it is one too many, and nobody says so.
    pub(super) fn is_heard(&mut self, now: Instant, from: Peer, message: &Message<'_>) -> bool {
        // Whoever is in a call must get through, also when somebody else writes the same sender on a flood.
        let is_heard =
            self.door.may_ask(now, from, false) || (self.is_of_a_call(message) && self.door.may_ask(now, from, true));
        self.out.stats.throttled += u64::from(!is_heard);
        is_heard
    }

    /// Keep-alives: only a STUN request gets an answer (RFC 5626 4.4.2).
    pub(super) fn on_keepalive(&mut self, now: Instant, from: Peer, bytes: &[u8]) {
        let mut out = [0; stun::RESPONSE_BYTES_MAX];
        if from.transport != Transport::Udp || !stun::is_request(bytes) {
            return;
        }
        if !self.door.may_ask(now, from, false) {
            self.out.stats.throttled += 1;
        } else if let Some(answer) = stun::binding_response(bytes, from.address, &mut out).and_then(|n| out.get(..n)) {
            self.out.send(from, answer.to_vec());
        }
    }

    /// The first look at a request outside any dialog. `None`: it has been answered, or is not worth it; else the
    /// trunk it comes from.
    pub(super) fn welcome(&mut self, now: Instant, asked: &Asked<'_, '_>) -> Option<Option<usize>> {
        let from = asked.from;
        if self.door.is_scanner(now, from, &asked.request.message) {
            self.out.stats.scanners += 1;
            self.offend(now, from, Offence::Scanner);
            return None;
        }
        match asked.request.method {
            // Only its registrar was told a registration's Contact: whoever names it comes by it.
            Method::Invite if self.registration_of(&asked.request.uri.user()).is_some() => return Some(None),
            Method::Invite => {}
            Method::Options => return Some(None),
            _ => {
                self.offend(now, from, Offence::Refused);
                return Some(None);
            }
        }
        match self.door.admit(now, from, asked.request) {
            Admission::Enter(trunk) => return Some(trunk),
            Admission::Challenge { is_stale, offence } => {
                self.challenge(now, asked, is_stale);
                if let Some(offence) = offence {
                    self.offend(now, from, offence);
                }
            }
            Admission::Refuse => {
                self.out.stats.forbidden += 1;
                self.answer_stateless(asked, 403);
                self.offend(now, from, Offence::Refused);
            }
        }
        None
    }

    /// 401, forgotten at once: the nonce in it says all that we need to know later.
    fn challenge(&mut self, now: Instant, asked: &Asked<'_, '_>, is_stale: bool) {
        self.out.stats.challenged += 1;
        let head = &asked.request.head;
        let tag = self.ids.stateless_tag(&head.call_id, head.from.tag().unwrap_or_default(), head.cseq.number);
        let mut builder = self.signed(asked.reply.response(401, Some(&tag)));
        for value in self.door.challenge(now, asked.from.address.ip(), is_stale) {
            builder = builder.header(Name::WwwAuthenticate, &value);
        }
        self.out.send(asked.reply.peer, builder.finish());
    }

    /// Takes note of what an honest peer does not do often.
    pub(super) fn offend(&mut self, now: Instant, from: Peer, offence: Offence) {
        if self.door.strike(now, from, offence) {
            self.ban(now, Source::of(from.address.ip()));
        }
    }

    /// Our user knows nobody under the number that was called: guessing numbers is an offence too.
    pub(super) fn turned_away(&mut self, now: Instant, call: u64, status: u16) {
        let Some(source) = self.door.stranger(call).filter(|_| matches!(status, 403 | 404 | 604)) else { return };
        if self.door.strike_source(now, source, Offence::Refused) {
            self.ban(now, source);
        }
    }

    fn ban(&mut self, now: Instant, source: Source) {
        let mut calls = self.calls.values().filter(|c| matches!(c.phase, Phase::Established));
        if calls.any(|c| Source::of(c.dialog.peer().address.ip()) == source) {
            return;
        }
        if self.door.ban(now, source) {
            self.out.stats.banned += 1;
            self.out.queue.push_back(Output::Banned(Private::new(source.ip())));
        }
    }

    /// Call-ID and To tag are those of a call here, as far as can be told without reading the rest.
    fn is_of_a_call(&self, message: &Message<'_>) -> bool {
        let (Some(call_id), Some(to)) = (message.header(Name::CallId), message.header(Name::To)) else { return false };
        let to = NameAddr::parse(&to.text());
        let Some(tag) = to.as_ref().and_then(NameAddr::tag) else { return false };
        self.dialogs.contains_key(&self.dialog_key(&call_id.text(), tag))
    }
}
