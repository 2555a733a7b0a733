//! Calls made to us: INVITE, its CANCEL and ACK, re-INVITE (RFC 3261 9.2, 13.3, 14.2). It never answers for our user.

use super::body::{self, Unusable};
use super::call::{Call, Incoming, Phase, Repeat, TheirReinvite};
use super::config::Reason;
use super::event::{CallHandle, CallInfo, Event};
use super::requests::Asked;
use super::table::{Entry, Key, Machine};
use super::{ALLOW, Endpoint};
use crate::dialog::Dialog;
use crate::header::{NameAddr, Request};
use crate::message::{Name, number};
use crate::private::Private;
use crate::transaction::InviteServer;
use std::time::{Duration, Instant};

/// RFC 3261 13.3.1.1: how often a provisional response is repeated.
pub(super) const RINGING_AGAIN: Duration = Duration::from_secs(60);
/// How long our user may think about a re-INVITE; the peer waits 64*T1 at least.
const REINVITE_WITHIN: Duration = Duration::from_secs(30);

impl Endpoint {
    pub(super) fn on_invite(&mut self, now: Instant, asked: Asked<'_, '_>) {
        let head = &asked.request.head;
        let number = head.cseq.number.to_string();
        let from_tag = head.from.tag().unwrap_or_default();
        let merge = self.ids.key(&["merge", &head.call_id, from_tag, &number]);
        let offer = body::session(&asked.request.message);
        let is_registered = self.registration_of(&asked.request.uri.user()).is_some();
        let is_full = self.calls.len() >= self.config.max_calls;
        let status = match &offer {
            _ if self.table.is_merged(&merge) => 482,
            _ if self.objection(&asked).is_some() => self.objection(&asked).unwrap_or(420),
            Err(Unusable::Kind) => 415,
            _ if !body::accepts_sdp(&asked.request.message) => 406,
            Err(Unusable::Session) => 488,
            Ok(_) if is_full || self.table.len() >= self.config.max_transactions => {
                self.out.stats.refused_full += 1;
                503
            }
            Ok(_) if !is_registered && !self.door.has_room(now, asked.trunk, asked.from) => {
                self.out.stats.refused_limit += 1;
                503
            }
            Ok(_) => 0,
        };
        match offer {
            Ok(offer) if status == 0 => self.take_in(now, asked, merge, offer),
            _ => self.answer_stateless(&asked, status),
        }
    }

    fn take_in(&mut self, now: Instant, asked: Asked<'_, '_>, merge: Key, offer: Option<crate::sdp::Session>) {
        let Asked { request, from, key, reply, trunk } = asked;
        let local_tag = self.ids.tag();
        let dialog_key = self.dialog_key(&request.head.call_id, &local_tag);
        let contact = request.head.contacts.first().unwrap_or(&request.head.from);
        let target = contact.uri.clone();
        let dialog = Dialog::called(&request.message, &request.head, target, local_tag, from);
        // 17.2.1: 100 at once, without a tag (8.2.6.2).
        let trying = reply.response(100, None).finish();
        let peer = reply.peer;
        self.out.send(peer, trying.clone());
        let machine = Machine::InviteServer(InviteServer::new(trying, peer.transport));
        let mut entry = Entry::server(machine, key, peer, None);
        entry.merge = Some(merge);
        let Some(tx) = self.remember(entry) else { return };
        let until = self.answer_until(now, request);
        let has_offer = offer.is_some();
        let cseq = request.head.cseq.number;
        let incoming = Incoming { tx, cseq, reply, has_offer, until, ringing: None };
        let phase = Phase::Incoming(Box::new(incoming));
        let registration = self.registration_of(&request.uri.user());
        let mut call = Call::new(dialog, dialog_key, phase, false);
        call.auth = self.auth_by(registration);
        let id = self.add_call(call);
        if registration.is_none() {
            self.door.enter(id, trunk, from);
        }
        if let Some(entry) = self.table.get_mut(tx) {
            entry.call = Some(id);
        }
        self.arm(id);
        let mut info = Box::new(call_info(request, from));
        info.trunk = self.door.trunk_name(trunk);
        info.registration = registration;
        self.out.event(Event::Incoming { call: CallHandle(id), offer, info });
    }

    /// 13.3.1: the caller's Expires ends in 487, our own patience in 480.
    fn answer_until(&self, now: Instant, request: &Request<'_>) -> (Instant, u16) {
        let ours = self.config.answer_within;
        let theirs = request.message.header(Name::Expires).and_then(|h| number(&h.value));
        match theirs.map(Duration::from_secs) {
            Some(theirs) if theirs < ours && !theirs.is_zero() => (now + theirs, 487),
            _ => (now + ours, 480),
        }
    }

    /// 9.2: CANCEL has no effect but on an INVITE without a final response.
    pub(super) fn on_cancel(&mut self, now: Instant, asked: Asked<'_, '_>) {
        let request = asked.request;
        let key = self.server_key(&request.message, request.uri.as_str(), &request.head, "INVITE");
        let Some(tx) = self.table.find(&key) else { return self.answer_stateless(&asked, 481) };
        let (is_open, id) = match self.table.get(tx) {
            Some(Entry { machine: Machine::InviteServer(m), call: Some(id), .. }) => (m.is_open(), *id),
            _ => (false, 0),
        };
        let call = self.calls.get(&id);
        let tag = call.map(|c| c.dialog.local_tag.clone()).unwrap_or_else(|| self.ids.tag());
        let bytes = self.signed(asked.reply.response(200, Some(&tag))).finish();
        self.answer_once(now, &asked, bytes);
        if !is_open {
            return;
        }
        match self.calls.get(&id).map(|c| &c.phase) {
            Some(Phase::Incoming(_)) => self.refuse_incoming(now, id, 487, None),
            Some(_) => {
                let call = CallHandle(id);
                self.drop_their_reinvite(now, id, 487);
                self.out.event(Event::RenegotiationFailed { call, status: 487 });
                self.arm(id);
            }
            None => {}
        }
    }

    pub(super) fn on_ack(&mut self, now: Instant, key: Key, request: &Request<'_>) {
        if let Some(tx) = self.table.find(&key)
            && let Some(Entry { machine: Machine::InviteServer(machine), .. }) = self.table.get_mut(tx)
        {
            machine.on_ack(now);
            self.settle(tx);
        } else if self.find_call(request).is_none() {
            self.out.stats.strays += 1;
            return;
        }
        let Some(id) = self.find_call(request) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let cseq = request.head.cseq.number;
        let Some(repeat) = call.repeat.take_if(|r| r.cseq == cseq) else { return };
        let answer = if repeat.has_our_offer { body::session(&request.message).ok().flatten() } else { None };
        let handle = CallHandle(id);
        if repeat.is_first {
            call.phase = Phase::Established;
            self.door.established(id);
        }
        if call.is_over {
            // The hang-up that waited for this ACK (15).
            let reason = call.goodbye.take();
            self.send_bye(now, id, reason.as_ref());
        } else if repeat.is_first {
            self.out.event(Event::Established { call: handle, answer });
        } else {
            self.out.event(Event::Renegotiated { call: handle, answer });
        }
        self.arm(id);
    }

    /// 14.2.
    pub(super) fn on_reinvite(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let Some(call) = self.calls.get(&id) else { return };
        let is_colliding = call.ours.as_ref().is_some_and(|o| o.again_at.is_none());
        let offer = body::session(&asked.request.message);
        let status = match (&call.phase, &offer) {
            (Phase::Ending, _) => 481,
            _ if call.is_over => 481,
            // A second INVITE before the first has its final response: 500 and a moment's patience.
            (Phase::Incoming(_) | Phase::Calling(_), _) => 500,
            _ if call.theirs.is_some() => 500,
            // RFC 3261 14.2 for the collision; RFC 5407 3.1.4 for a 200 not yet acknowledged.
            (Phase::Offered(_), _) => 491,
            _ if is_colliding || call.repeat.is_some() => 491,
            (_, Err(Unusable::Kind)) => 415,
            (_, Err(Unusable::Session)) => 488,
            (_, Ok(_)) => 0,
        };
        let (Ok(offer), 0) = (offer, status) else {
            return self.refuse_reinvite(now, asked, status);
        };
        let Asked { request, key, reply, .. } = asked;
        let trying = reply.response(100, None).finish();
        let machine = Machine::InviteServer(InviteServer::new(trying.clone(), reply.peer.transport));
        let entry = Entry::server(machine, key, reply.peer, Some(id));
        let peer = reply.peer;
        let Some(tx) = self.remember(entry) else {
            let asked = Asked { request, from: peer, key, reply, trunk: None };
            return self.answer_stateless(&asked, 503);
        };
        self.out.send(peer, trying);
        if let Some(call) = self.calls.get_mut(&id) {
            call.dialog.refresh_target(&request.head);
            let (cseq, has_offer) = (request.head.cseq.number, offer.is_some());
            call.theirs = Some(TheirReinvite { tx, reply, cseq, has_offer, until: now + REINVITE_WITHIN });
        }
        self.out.event(Event::Reinvite { call: CallHandle(id), offer });
    }

    /// A refusal needs its transaction too: it is retransmitted until the ACK.
    fn refuse_reinvite(&mut self, now: Instant, asked: Asked<'_, '_>, status: u16) {
        let mut builder = self.described(asked.reply.response(status, None), status);
        if status == 500 {
            // 14.2: a random value between 0 and 10 seconds.
            builder = builder.header(Name::RetryAfter, &(self.ids.next() % 11).to_string());
        }
        let bytes = builder.finish();
        let machine = Machine::InviteServer(InviteServer::new(Vec::new(), asked.reply.peer.transport));
        let peer = asked.reply.peer;
        match self.remember(Entry::server(machine, asked.key, peer, None)) {
            Some(tx) => self.respond_invite(now, tx, status, bytes),
            None => self.out.send(peer, bytes),
        }
    }

    /// Ends a re-INVITE that our user has not decided.
    pub(super) fn drop_their_reinvite(&mut self, now: Instant, id: u64, status: u16) {
        let Some(theirs) = self.calls.get_mut(&id).and_then(|c| c.theirs.take()) else { return };
        let bytes = self.described(theirs.reply.response(status, None), status).finish();
        self.respond_invite(now, theirs.tx, status, bytes);
    }

    /// A final refusal of a call that waits for an answer; says `Cancelled` and forgets it.
    pub(super) fn refuse_incoming(&mut self, now: Instant, id: u64, status: u16, retry_after_s: Option<u64>) {
        let Some(Call { phase: Phase::Incoming(incoming), dialog, .. }) = self.calls.get(&id) else { return };
        let tx = incoming.tx;
        let mut builder = self.described(incoming.reply.response(status, Some(&dialog.local_tag)), status);
        if let Some(seconds) = retry_after_s {
            builder = builder.header(Name::RetryAfter, &seconds.to_string());
        }
        self.respond_invite(now, tx, status, builder.finish());
        self.remove_call(id);
        self.out.event(Event::Cancelled { call: CallHandle(id), status });
    }

    /// 180 to a waiting call.
    pub(super) fn send_ringing(&mut self, now: Instant, id: u64) {
        let Some(Call { phase: Phase::Incoming(incoming), dialog, .. }) = self.calls.get(&id) else { return };
        let contact = self.contact(incoming.reply.peer);
        let builder = incoming.reply.dialog_response(180, &dialog.local_tag, &contact);
        let bytes = self.signed(builder).finish();
        let tx = incoming.tx;
        if let Some(Call { phase: Phase::Incoming(incoming), .. }) = self.calls.get_mut(&id) {
            incoming.ringing = Some((now + RINGING_AGAIN, bytes.clone()));
        }
        self.respond_invite(now, tx, 180, bytes);
        self.arm(id);
    }

    /// 200 to a waiting call or a re-INVITE, repeated until its ACK.
    pub(super) fn send_ok(&mut self, now: Instant, id: u64, sdp: &str) {
        let Some(call) = self.calls.get(&id) else { return };
        let (reply, tx, cseq, has_offer) = match (&call.phase, &call.theirs) {
            (Phase::Incoming(i), _) => (&i.reply, i.tx, i.cseq, i.has_offer),
            (_, Some(theirs)) => (&theirs.reply, theirs.tx, theirs.cseq, theirs.has_offer),
            _ => return,
        };
        let contact = self.contact(reply.peer);
        let builder = reply.dialog_response(200, &call.dialog.local_tag, &contact).header(Name::Allow, ALLOW);
        let bytes = self.signed(builder).finish_with("application/sdp", sdp.as_bytes());
        let mut repeat = Repeat::new(now, bytes.clone(), reply.peer, cseq);
        repeat.has_our_offer = !has_offer;
        if let Some(call) = self.calls.get_mut(&id) {
            repeat.is_first = call.theirs.take().is_none();
            if repeat.is_first {
                call.phase = Phase::Answered;
            }
            call.repeat = Some(repeat);
        }
        self.respond_invite(now, tx, 200, bytes);
        self.arm(id);
    }

    /// BYE, and the call is `Ending`.
    pub(super) fn send_bye(&mut self, now: Instant, id: u64, reason: Option<&Reason>) {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.phase = Phase::Ending;
        call.repeat = None;
        call.ours = None;
        let outgoing = call.dialog.outgoing(branch);
        self.drop_their_reinvite(now, id, 487);
        self.send_request(now, "BYE", &outgoing, Some(id), super::table::Purpose::Bye, reason);
        self.arm(id);
    }
}

fn call_info(request: &Request<'_>, source: crate::peer::Peer) -> CallInfo {
    let head = &request.head;
    let text = |name| request.message.header(name).map(|h| h.text().into_owned());
    let identity = text(Name::PAssertedIdentity).and_then(|t| NameAddr::parse_list(&t));
    CallInfo {
        from_user: Private::new(head.from.uri.user()),
        from_uri: Private::new(head.from.uri.as_str().to_owned()),
        from_display: head.from.display.clone().map(Private::new),
        to_user: Private::new(head.to.uri.user()),
        request_user: Private::new(request.uri.user()),
        call_id: Private::new(head.call_id.clone()),
        asserted_identity: identity
            .and_then(|list| list.into_iter().next())
            .map(|n| Private::new(n.uri.as_str().to_owned())),
        user_agent: text(Name::UserAgent).map(Private::new),
        registration: None,
        source: Private::new(source),
        trunk: None,
    }
}
