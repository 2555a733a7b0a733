//! Requests: which rule of RFC 3261 8.2, 9 and 12.2 applies to each. It never changes a session by itself.

use super::body::{self, Press};
use super::call::Phase;

use super::Endpoint;
use super::event::{CallHandle, EndCause, Event};
use super::reply::Reply;
use super::table::{Entry, Key, Machine};
use crate::header::{Request, reason, tokens};
use crate::message::{Builder, Message, Name};
use crate::method::Method;
use crate::peer::Peer;
use crate::private::Private;
use crate::transaction::RequestServer;
use std::time::Instant;

/// A request on its way through the rules.
pub(super) struct Asked<'r, 'm> {
    pub request: &'r Request<'m>,
    pub from: Peer,
    pub key: Key,
    pub reply: Reply,
    /// The trunk it comes by, where it starts a call; its place in the configuration.
    pub trunk: Option<usize>,
}

impl Endpoint {
    pub(super) fn on_request(&mut self, now: Instant, from: Peer, request: &Request<'_>) {
        let method = request.method.as_str();
        let key = self.server_key(&request.message, request.uri.as_str(), &request.head, method);
        if request.method == Method::Ack {
            return self.on_ack(now, key, request);
        }
        if let Some(tx) = self.table.find(&key) {
            return self.on_request_again(tx);
        }
        let reply = Reply::new(&request.message, from, self.config.symmetric_responses);
        let asked = Asked { request, from, key, reply, trunk: None };
        match request.head.to.tag() {
            _ if request.method == Method::Cancel => self.on_cancel(now, asked),
            Some(_) => self.on_request_inside(now, asked),
            None => self.on_request_outside(now, asked),
        }
    }

    /// A retransmission gets the last response.
    fn on_request_again(&mut self, tx: u64) {
        let Some(entry) = self.table.get(tx) else { return };
        let last = match &entry.machine {
            Machine::InviteServer(machine) => machine.on_retransmit(),
            Machine::RequestServer(machine) => machine.on_retransmit(),
            _ => None,
        };
        if let Some(bytes) = last {
            self.out.resend(entry.peer, bytes.to_vec());
        }
    }

    fn on_request_outside(&mut self, now: Instant, asked: Asked<'_, '_>) {
        let Some(trunk) = self.welcome(now, &asked) else { return };
        let asked = Asked { trunk, ..asked };
        match &asked.request.method {
            Method::Invite => self.on_invite(now, asked),
            Method::Options => {
                let status = self.objection(&asked).unwrap_or(200);
                self.answer_stateless(&asked, status);
            }
            // RFC 3261 15.1.2, RFC 6086 4.2.2, RFC 6665 4.1.3: these live in dialogs only.
            Method::Bye | Method::Info | Method::Notify | Method::Prack | Method::Update => {
                self.answer_stateless(&asked, 481);
            }
            // A transfer without a call is nobody's to ask.
            Method::Refer if self.config.follow_refer => self.answer_stateless(&asked, 403),
            Method::Other(_) => self.answer_stateless(&asked, 501),
            _ => self.answer_stateless(&asked, 405),
        }
    }

    fn on_request_inside(&mut self, now: Instant, asked: Asked<'_, '_>) {
        let request = asked.request;
        match &request.method {
            Method::Invite | Method::Bye | Method::Options | Method::Info | Method::Notify => {}
            Method::Prack | Method::Update => {}
            Method::Refer if self.config.follow_refer => {}
            Method::Other(_) => return self.answer_stateless(&asked, 501),
            _ => return self.answer_stateless(&asked, 405),
        }
        let Some(id) = self.find_call(request) else { return self.answer_stateless(&asked, 481) };
        if let Some(status) = self.objection(&asked) {
            return self.answer_stateless(&asked, status);
        }
        let dialog = self.calls.get_mut(&id).and_then(|c| c.dialog_with(request.head.from.tag()));
        let Some(dialog) = dialog else { return };
        // RFC 3261 12.2.2: out of order. The same number again is no retransmission either: that
        // would have found its transaction.
        if dialog.remote_cseq.is_some_and(|last| request.head.cseq.number <= last) {
            return self.answer_stateless(&asked, 500);
        }
        dialog.remote_cseq = Some(request.head.cseq.number);
        dialog.heard_from(asked.from);
        match &request.method {
            Method::Invite => self.on_reinvite(now, id, asked),
            Method::Bye => self.on_bye(now, id, asked),
            Method::Info => self.on_info(now, id, asked),
            Method::Notify => self.on_notify(now, id, asked),
            Method::Prack => self.on_prack(now, id, asked),
            Method::Update => self.on_update(now, id, asked),
            Method::Refer => self.on_refer(now, id, asked),
            _ => {
                let builder = self.described(asked.reply.response(200, None), 200);
                self.answer_once(now, &asked, builder.finish());
            }
        }
        self.arm(id);
    }

    /// The call whose dialog a request belongs to.
    pub(super) fn find_call(&self, request: &Request<'_>) -> Option<u64> {
        let key = self.dialog_key(&request.head.call_id, request.head.to.tag()?);
        let id = *self.dialogs.get(&key)?;
        let (call, tag) = (self.calls.get(&id)?, request.head.from.tag());
        (call.dialog.matches(tag) || Self::is_early(call, tag)).then_some(id)
    }

    /// RFC 3261 8.2.2: a scheme or an extension we do not know.
    pub(super) fn objection(&self, asked: &Asked<'_, '_>) -> Option<u16> {
        if !matches!(asked.request.uri.scheme(), "sip" | "sips" | "tel") {
            return Some(416);
        }
        (!self.unknown_extensions(&asked.request.message).is_empty()).then_some(420)
    }

    /// What a request requires and we do not speak.
    fn unknown_extensions(&self, message: &Message<'_>) -> Vec<String> {
        let required = message.all(Name::Require).map(|h| h.text().into_owned()).collect::<Vec<_>>();
        let is_unknown = |t: &&str| !self.supported().iter().any(|s| s.eq_ignore_ascii_case(t));
        required.iter().flat_map(|r| tokens(r)).filter(is_unknown).map(str::to_owned).collect()
    }

    /// An answer that leaves no memory (RFC 3261 8.2.7): the same request gets the same answer.
    pub(super) fn answer_stateless(&mut self, asked: &Asked<'_, '_>, status: u16) {
        let head = &asked.request.head;
        let from_tag = head.from.tag().unwrap_or_default();
        let tag = self.ids.stateless_tag(&head.call_id, from_tag, head.cseq.number);
        let mut builder = self.described(asked.reply.response(status, Some(&tag)), status);
        match status {
            420 => {
                let unknown = self.unknown_extensions(&asked.request.message);
                builder = builder.header(Name::Unsupported, &unknown.join(", "));
            }
            503 => {
                let seconds = self.config.retry_after.as_secs().max(1);
                builder = builder.header(Name::RetryAfter, &seconds.to_string());
            }
            _ => {}
        }
        self.out.send(asked.reply.peer, builder.finish());
    }

    /// What we speak, where a status asks for it.
    pub(super) fn described(&self, builder: Builder, status: u16) -> Builder {
        let builder = self.signed(builder);
        match status {
            200..=299 => {
                let builder = builder.header(Name::Supported, &self.supported().join(", "));
                builder.header(Name::Allow, self.allow()).header(Name::Accept, "application/sdp")
            }
            405 | 501 => builder.header(Name::Allow, self.allow()).header(Name::Accept, "application/sdp"),
            422 => builder.header(Name::MinSe, &self.min_se_s().to_string()),
            406 | 415 | 488 => builder.header(Name::Accept, "application/sdp"),
            _ => builder,
        }
    }

    /// An answer remembered for retransmissions, as long as there is room.
    pub(super) fn answer_once(&mut self, now: Instant, asked: &Asked<'_, '_>, bytes: Vec<u8>) {
        let machine = Machine::RequestServer(RequestServer::new(now, bytes.clone(), asked.reply.peer.transport));
        let peer = asked.reply.peer;
        self.remember(Entry::server(machine, asked.key, peer, None));
        self.out.send(peer, bytes);
    }

    fn on_bye(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        // RFC 3261 15: who is called does not end an early dialog that way.
        if self.calls.get(&id).is_some_and(|c| matches!(c.phase, Phase::Calling(_))) {
            return self.answer_stateless(&asked, 481);
        }
        let bytes = self.signed(asked.reply.response(200, None)).finish();
        self.answer_once(now, &asked, bytes);
        let why = asked.request.message.header(Name::Reason).and_then(|h| reason(&h.text()));
        let Some(call) = self.calls.get(&id) else { return };
        let was_over = call.is_over;
        match &call.phase {
            // A BYE in an early dialog (RFC 3261 15): the INVITE still needs its end.
            Phase::Incoming(_) => return self.refuse_incoming(now, id, 487, None),
            // Both hung up at once; our BYE's transaction ends by itself.
            Phase::Ending => {}
            _ => {
                self.drop_their_reinvite(now, id, 487);
                self.drop_referred(now, id, 487);
                if !was_over {
                    self.left_for_transfer(id);
                    let cause = EndCause::RemoteHangup(why);
                    self.out.event(Event::Ended { call: CallHandle(id), cause });
                }
            }
        }
        self.remove_call(id);
    }

    fn on_info(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let is_over = self.calls.get(&id).is_none_or(|c| c.is_over);
        let status = match body::press(&asked.request.message) {
            Press::Digit(digit, duration_ms) => {
                if !is_over {
                    let digit = Private::new(digit);
                    self.out.event(Event::Info { call: CallHandle(id), digit, duration_ms });
                }
                200
            }
            Press::Nothing => 200,
            Press::Unknown => 415,
            Press::Malformed => 400,
        };
        let mut builder = self.signed(asked.reply.response(status, None));
        if status == 415 {
            builder = builder.header(Name::Accept, "application/dtmf-relay, application/dtmf");
        }
        self.answer_once(now, &asked, builder.finish());
    }
}
