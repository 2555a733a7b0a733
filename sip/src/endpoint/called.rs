//! Calls made to us: INVITE, its CANCEL and ACK, re-INVITE (RFC 3261 9.2, 13.3, 14.2). It never answers for our user.

use super::Endpoint;
use super::body::{self, Unusable};
use super::call::{Call, Carrier, Incoming, Phase, Repeat, TheirReinvite};
use super::config::Reason;
use super::event::{CallHandle, Event};
use super::info::call_info;
use super::reliable::Reliable;
use super::requests::Asked;
use super::session::Ask;
use super::table::{Entry, Key, Machine};
use crate::dialog::Dialog;
use crate::header::Request;
use crate::message::{Name, number};
use crate::transaction::InviteServer;
use std::time::{Duration, Instant};

/// How long our user may think about a re-INVITE; the peer waits 64*T1 at least.
pub(super) const REINVITE_WITHIN: Duration = Duration::from_secs(30);

impl Endpoint {
    pub(super) fn on_invite(&mut self, now: Instant, asked: Asked<'_, '_>) {
        let head = &asked.request.head;
        let number = head.cseq.number.to_string();
        let from_tag = head.from.tag().unwrap_or_default();
        let merge = self.ids.key(&["merge", &head.call_id, from_tag, &number]);
        let offer = body::session(&asked.request.message);
        let is_registered = self.registration_of(&asked.request.uri.user()).is_some();
        let is_full = self.calls.len() >= self.config.max_calls;
        let replaces = self.replaced_by(&asked.request.message);
        let status = match &offer {
            _ if self.table.is_merged(&merge) => 482,
            _ if self.objection(&asked).is_some() => self.objection(&asked).unwrap_or(420),
            _ if replaces.is_err() => replaces.err().unwrap_or(481),
            Err(Unusable::Kind) => 415,
            _ if !body::accepts_sdp(&asked.request.message) => 406,
            Err(Unusable::Session) => 488,
            _ if Ask::read(&asked.request.message).is_below(self.min_se_s()) => 422,
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
            Ok(offer) if status == 0 => self.take_in(now, asked, merge, offer, replaces.ok().flatten()),
            _ => self.answer_stateless(&asked, status),
        }
    }

    fn take_in(
        &mut self,
        now: Instant,
        asked: Asked<'_, '_>,
        merge: Key,
        offer: Option<crate::sdp::Session>,
        replaces: Option<u64>,
    ) {
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
        let ask = Ask::read(&request.message);
        let headers = Vec::new();
        let incoming = Incoming { tx, cseq, reply, has_offer, until, ringing: None, ask, replaces, headers };
        let phase = Phase::Incoming(Box::new(incoming));
        let registration = self.registration_of(&request.uri.user());
        let mut call = Call::new(dialog, dialog_key, phase, false);
        call.auth = self.auth_by(registration);
        call.reliable = Reliable::wished_by(&request.message);
        call.session.learn(&request.message);
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
        let replaces = replaces.map(CallHandle);
        self.out.event(Event::Incoming { call: CallHandle(id), offer, info, replaces });
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
        // Where it came with a PRACK, it came before.
        let answer = answer.or_else(|| call.reliable.their_answer.take().filter(|_| repeat.is_first));
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
        let offer = body::session(&asked.request.message);
        let ask = Ask::read(&asked.request.message);
        let is_short = ask.is_below(self.min_se_s());
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.session.learn(&asked.request.message);
        let status = match (&call.phase, &offer) {
            (Phase::Ending, _) => 481,
            _ if call.is_over => 481,
            // A second INVITE before the first has its final response: 500 and a moment's patience.
            (Phase::Incoming(_) | Phase::Calling(_), _) => 500,
            (_, Err(Unusable::Kind)) => 415,
            (_, Err(Unusable::Session)) => 488,
            _ if is_short => 422,
            (_, Ok(_)) => call.offer_clash(asked.request.head.from.tag()).unwrap_or(0),
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
            let (carrier, early_offer) = (Carrier::Invite, None);
            let until = now + REINVITE_WITHIN;
            call.theirs = Some(TheirReinvite { carrier, ask, early_offer, tx, reply, cseq, has_offer, until });
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
            Some(tx) => self.respond(now, tx, status, bytes),
            None => self.out.send(peer, bytes),
        }
    }

    /// Ends a change of the peer's that our user has not decided.
    pub(super) fn drop_their_reinvite(&mut self, now: Instant, id: u64, status: u16) {
        let Some(theirs) = self.calls.get_mut(&id).and_then(|c| c.theirs.take()) else { return };
        let bytes = self.described(theirs.reply.response(status, None), status).finish();
        self.respond(now, theirs.tx, status, bytes);
    }

    /// A final refusal of a call that waits for an answer; says `Cancelled` and forgets it.
    pub(super) fn refuse_incoming(&mut self, now: Instant, id: u64, status: u16, retry_after_s: Option<u64>) {
        self.drop_their_reinvite(now, id, 487);
        let Some(Call { phase: Phase::Incoming(incoming), dialog, .. }) = self.calls.get(&id) else { return };
        let tx = incoming.tx;
        let mut builder = self.described(incoming.reply.response(status, Some(&dialog.local_tag)), status);
        if let Some(seconds) = retry_after_s {
            builder = builder.header(Name::RetryAfter, &seconds.to_string());
        }
        self.respond(now, tx, status, builder.finish());
        self.remove_call(id);
        self.out.event(Event::Cancelled { call: CallHandle(id), status });
    }

    /// 200 to a waiting call or a re-INVITE, repeated until its ACK.
    pub(super) fn send_ok(&mut self, now: Instant, id: u64, sdp: &str) {
        let Some(call) = self.calls.get(&id) else { return };
        let (reply, tx, cseq, has_offer, ask) = match (&call.phase, &call.theirs) {
            (Phase::Incoming(i), _) => (&i.reply, i.tx, i.cseq, i.has_offer, i.ask),
            (_, Some(theirs)) => (&theirs.reply, theirs.tx, theirs.cseq, theirs.has_offer, theirs.ask),
            _ => return,
        };
        let is_first = matches!(call.phase, Phase::Incoming(_));
        let sdp = if is_first { call.reliable.final_sdp(sdp) } else { Some(sdp.to_owned()) };
        let peer = reply.peer;
        let builder = reply.dialog_response(200, &call.dialog.local_tag, &self.contact(peer));
        let builder = self.signed(builder.header(Name::Allow, self.allow()));
        let mut builder = self.session_agreed(now, id, ask, builder);
        if let Some(Phase::Incoming(incoming)) = self.calls.get(&id).map(|c| &c.phase) {
            for (name, value) in incoming.headers.iter().filter(|(name, _)| crate::text::is_token(name.as_bytes())) {
                builder = builder.raw(name, value.as_bytes());
            }
        }
        let bytes = match &sdp {
            Some(sdp) => builder.finish_with("application/sdp", sdp.as_bytes()),
            None => builder.finish(),
        };
        let mut repeat = Repeat::new(now, bytes.clone(), peer, cseq);
        (repeat.has_our_offer, repeat.is_first) = (!has_offer && sdp.is_some(), is_first);
        let mut replaced = None;
        if let Some(call) = self.calls.get_mut(&id) {
            call.theirs = None;
            call.described = sdp.unwrap_or_else(|| std::mem::take(&mut call.described));
            if is_first {
                let before = std::mem::replace(&mut call.phase, Phase::Answered);
                replaced = if let Phase::Incoming(incoming) = before { incoming.replaces } else { None };
            }
            call.repeat = Some(repeat);
        }
        self.respond(now, tx, 200, bytes);
        self.arm(id);
        if let Some(old) = replaced {
            self.make_room(now, old);
        }
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
        self.drop_referred(now, id, 487);
        self.send_request(now, "BYE", &outgoing, Some(id), super::table::Purpose::Bye, reason);
        self.arm(id);
    }
}
