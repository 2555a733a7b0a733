//! Calls that we make: INVITE, CANCEL, ACK, our own re-INVITE (RFC 3261 9.1, 13.2, 14.1). It never picks whom to call.

use super::Endpoint;
use super::body;
use super::call::{Call, Calling, Cancel, FORKS_MAX, Offered, OurReinvite, Phase};
use super::config::{InviteRequest, Reason, address};
use super::event::{CallHandle, CommandError, EndCause, Event};
use super::send::Launch;
use super::table::{Ack, Purpose};
use crate::auth;
use crate::dialog::{Dialog, Outgoing};
use crate::header::{Response, retry_after_s};
use crate::message::{self, Builder, Name};
use crate::private::Private;
use crate::sdp::{self, Session};
use crate::text::{escape_user, quote};
use crate::transaction::T1_64;
use crate::uri::Uri;
use std::time::{Duration, Instant};

/// Most targets of a redirection told.
const CONTACTS_MAX: usize = 8;

impl Endpoint {
    pub(super) fn start_call(&mut self, now: Instant, request: &InviteRequest) -> Result<CallHandle, CommandError> {
        let target = address(&request.to)?;
        let route = request.route.as_deref().map(address).transpose()?;
        let Some((first, others)) = request.targets.split_first() else { return Err(CommandError::NoTarget) };
        if self.calls.len() >= self.config.max_calls || self.table.len() >= self.config.max_transactions {
            return Err(CommandError::Full);
        }
        let host = request.from_host.clone().unwrap_or_else(|| self.local(*first).to_string());
        let from = address(&format!("sip:{}@{host}", escape_user(&request.from_user)))?;
        let display = request.from_display.as_deref().map(|d| quote(d) + " ").unwrap_or_default();
        let local = format!("{display}<{}>", from.as_str());
        let remote = format!("<{}>", target.as_str());
        let (call_id, local_tag) = (self.ids.call_id(), self.ids.tag());
        let dialog_key = self.dialog_key(&call_id, &local_tag);
        let mut dialog = Dialog::calling(call_id, &local, local_tag, remote, target, *first);
        let mut outgoing = dialog.outgoing(self.ids.branch());
        // The driver resolved where it goes first; the URI's host is for them.
        outgoing.peer = *first;
        outgoing.routes = route.iter().map(|r| format!("<{}>", r.as_str())).collect();
        let bytes = self.invite_bytes(None, &outgoing, request.sdp.as_deref(), &request.headers);
        let calling = Calling::new(0, now + self.config.answer_within, request.sdp.is_some());
        let mut call = Call::new(dialog, dialog_key, Phase::Calling(calling), true);
        call.described = request.sdp.clone().unwrap_or_default();
        call.auth = request.credentials.clone().map(|c| Box::new(auth::Client::new(c)));
        let id = self.add_call(call);
        let (method, call, purpose, has_more) = ("INVITE", Some(id), Purpose::Invite, false);
        let Some(tx) = self.launch(now, Launch { method, outgoing, call, purpose, bytes, others, has_more }) else {
            self.remove_call(id);
            return Err(CommandError::Full);
        };
        if let Some(Call { phase: Phase::Calling(calling), .. }) = self.calls.get_mut(&id) {
            calling.tx = tx;
        }
        self.arm(id);
        Ok(CallHandle(id))
    }

    /// `call`: the one that a re-INVITE is for.
    fn invite_bytes(
        &self,
        call: Option<u64>,
        outgoing: &Outgoing,
        sdp: Option<&str>,
        headers: &[(String, String)],
    ) -> Vec<u8> {
        let mut builder = outgoing
            .builder("INVITE", self.local(outgoing.peer))
            .header(Name::Contact, &self.contact(outgoing.peer))
            .header(Name::Allow, self.allow())
            .header(Name::Accept, "application/sdp");
        builder = self.session_asked(call, self.named(builder));
        for (name, value) in headers.iter().filter(|(name, _)| crate::text::is_token(name.as_bytes())) {
            builder = builder.raw(name, value.as_bytes());
        }
        match sdp {
            Some(sdp) => builder.finish_with("application/sdp", sdp.as_bytes()),
            None => builder.finish(),
        }
    }

    /// A request other than INVITE and ACK. Without room in the table it is sent once and forgotten.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        method: &str,
        outgoing: &Outgoing,
        call: Option<u64>,
        purpose: Purpose,
        reason: Option<&Reason>,
    ) {
        let mut builder = self.named(outgoing.builder(method, self.local(outgoing.peer)));
        // RFC 3326 2: in a CANCEL and in any request within a dialog.
        if let Some(reason) = reason {
            let mut value = format!("{};cause={}", reason.protocol, reason.cause);
            if let Some(text) = &reason.text {
                value.push_str(&format!(";text={}", quote(text.expose())));
            }
            builder = builder.header(Name::Reason, &value);
        }
        if self.send_built(now, method, outgoing, call, purpose, builder.finish()).is_none()
            && purpose == Purpose::Bye
            && let Some(id) = call
        {
            self.remove_call(id);
        }
    }

    /// Sends a request other than INVITE and ACK, and remembers it if there is room.
    pub(super) fn send_built(
        &mut self,
        now: Instant,
        method: &str,
        outgoing: &Outgoing,
        call: Option<u64>,
        purpose: Purpose,
        bytes: Vec<u8>,
    ) -> Option<u64> {
        let (outgoing, others, has_more) = (outgoing.clone(), [].as_slice(), false);
        self.launch(now, Launch { method, outgoing, call, purpose, bytes, others, has_more })
    }

    pub(super) fn named(&self, builder: Builder) -> Builder {
        if self.config.user_agent.is_empty() {
            return builder;
        }
        builder.header(Name::UserAgent, &self.config.user_agent)
    }

    /// Gives a call up: CANCEL now, or as soon as somebody was heard (9.1).
    pub(super) fn give_up(&mut self, now: Instant, id: u64) {
        // An offer in its early dialog is nobody's to decide any more.
        self.drop_their_reinvite(now, id, 487);
        let Some(Call { phase: Phase::Calling(calling), goodbye, .. }) = self.calls.get_mut(&id) else { return };
        if calling.cancel == Cancel::Sent {
            return;
        }
        calling.cancel = if calling.is_heard { Cancel::Sent } else { Cancel::Wanted };
        let (is_heard, tx, reason) = (calling.is_heard, calling.tx, goodbye.clone());
        // 9.1: without a final response 64*T1 after the CANCEL, the INVITE counts as cancelled.
        calling.until = now + T1_64;
        if is_heard {
            self.send_cancel(now, tx, reason.as_ref());
        }
        self.arm(id);
    }

    fn send_cancel(&mut self, now: Instant, tx: u64, reason: Option<&Reason>) {
        if let Some(outgoing) = self.table.get(tx).and_then(|e| e.outgoing.clone()) {
            self.send_request(now, "CANCEL", &outgoing, None, Purpose::Aside, reason);
        }
    }

    pub(super) fn on_invite_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some((id, peer)) = self.table.get(tx).and_then(|e| e.call.zip(Some(e.peer))) else { return };
        let is_news = response.status >= 200 || self.take_provisional(now, id, response);
        let is_better = response.status == 422 && self.invite_again(now, id, tx, response);
        if !is_news || is_better {
            return;
        }
        let sdp = body::session(&response.message).ok().flatten();
        let tag = response.head.to.tag();
        let is_again = self.calls.get(&id).is_some_and(|c| c.dialog.matches(tag));
        let phase = self.calls.get_mut(&id).map(|c| (c.is_over, &mut c.phase));
        match (response.status, phase) {
            (100..=199, Some((is_over, Phase::Calling(calling)))) => {
                calling.is_heard = true;
                if calling.cancel == Cancel::Wanted {
                    self.give_up(now, id);
                } else if response.status != 100
                    && !is_over
                    && let Some(fork) = calling.hear(tag, sdp.as_ref())
                {
                    self.out.event(Event::Progress { call: CallHandle(id), status: response.status, sdp, fork });
                }
            }
            (200..=299, Some((_, Phase::Calling(calling)))) => {
                let sdp = sdp.or_else(|| calling.early_sdp(tag).filter(|_| calling.has_offer));
                let has_offer = calling.has_offer;
                // RFC 3261 13.2.1: what was agreed reliably before stands.
                let agreed = self.confirm(id, response, peer);
                let (has_offer, sdp) = (has_offer || agreed.is_some(), agreed.or(sdp));
                self.drop_their_reinvite(now, id, 487);
                self.session_answered(now, id, response);
                if let Some(call) = self.calls.get_mut(&id) {
                    call.phase = Phase::Established;
                    if !has_offer {
                        let cseq = response.head.cseq.number;
                        call.phase = Phase::Offered(Offered { tx, cseq, offer: sdp.clone() });
                    }
                }
                self.on_answer(now, tx, id, response, sdp);
            }
            // Retransmitted while our user makes up its mind about the offer in it.
            (200..=299, Some((_, Phase::Offered(offered)))) if offered.tx == tx && is_again => {}
            // 13.2.2.4: another branch of a forked call answered too.
            (200..=299, _) => self.refuse_fork(now, tx, response),
            (300.., Some((is_over, Phase::Calling(_)))) => {
                self.drop_their_reinvite(now, id, 487);
                self.remove_call(id);
                if !is_over {
                    let (call, status) = (CallHandle(id), response.status);
                    let (retry_after_s, contacts) = (retry_after(response), redirections(response));
                    self.out.event(Event::Failed { call, status, retry_after_s, contacts });
                }
            }
            _ => {}
        }
        self.arm(id);
    }

    /// The first 2xx, already in the dialog.
    fn on_answer(&mut self, now: Instant, tx: u64, id: u64, response: &Response<'_>, sdp: Option<Session>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_offered = matches!(call.phase, Phase::Offered(_));
        if call.is_over {
            // Our CANCEL crossed their 200 (9.1): the call exists, so it ends with BYE.
            let reason = call.goodbye.take();
            if is_offered {
                self.refuse_offer(id);
            } else {
                self.acknowledge_2xx(tx, id, response.head.cseq.number, None);
            }
            return self.send_bye(now, id, reason.as_ref());
        }
        if !is_offered {
            self.acknowledge_2xx(tx, id, response.head.cseq.number, None);
        }
        self.out.event(Event::Answered { call: CallHandle(id), sdp });
    }

    /// Our answer to an offer in a 2xx: it goes into the ACK (13.2.2.4). False: there is none.
    pub(super) fn answer_offer(&mut self, id: u64, sdp: Option<&str>) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Phase::Offered(Offered { tx, cseq, .. }) = call.phase else { return false };
        call.phase = Phase::Established;
        call.described = sdp.unwrap_or_default().to_owned();
        self.acknowledge_2xx(tx, id, cseq, sdp);
        true
    }

    /// The call ends before our user answered the offer: every medium refused, so that the ACK is whole.
    pub(super) fn refuse_offer(&mut self, id: u64) {
        let Some(Call { phase: Phase::Offered(offered), .. }) = self.calls.get(&id) else { return };
        let refusal = offered.offer.as_ref().map(sdp::refusal);
        self.answer_offer(id, refusal.as_deref());
    }

    /// The ACK of a 2xx (13.2.2.4): of the dialog, not of the transaction; kept for retransmitted 2xx.
    fn acknowledge_2xx(&mut self, tx: u64, id: u64, cseq: u32, sdp: Option<&str>) {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get(&id) else { return };
        let (outgoing, tag) = (call.dialog.outgoing_at(cseq, branch), call.dialog.remote_tag.clone());
        self.send_ack(tx, outgoing, tag, sdp);
    }

    fn send_ack(&mut self, tx: u64, mut outgoing: Outgoing, remote_tag: Option<String>, sdp: Option<&str>) {
        let authorization = self.table.get(tx).map(|e| authorization_in(&e.request)).unwrap_or_default();
        let build = |outgoing: &Outgoing| {
            let mut builder = outgoing.builder("ACK", self.local(outgoing.peer));
            for (name, value) in &authorization {
                builder = builder.header(*name, value);
            }
            match sdp {
                Some(sdp) => builder.finish_with("application/sdp", sdp.as_bytes()),
                None => builder.finish(),
            }
        };
        let mut bytes = build(&outgoing);
        let road = self.road(outgoing.peer, bytes.len());
        if road != outgoing.peer {
            outgoing.peer = road;
            bytes = build(&outgoing);
        }
        if let Some(entry) = self.table.get_mut(tx) {
            entry.acks.push(Ack { remote_tag, bytes: bytes.clone(), outgoing: outgoing.clone() });
        }
        self.out.send(outgoing.peer, bytes);
    }

    /// What an INVITE brings that was sent again elsewhere: whoever answers is told that nobody waits.
    pub(super) fn on_abandoned_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some(entry) = self.table.get_mut(tx) else { return };
        match response.status {
            100..=199 if entry.purpose == Purpose::Abandoned => {
                entry.purpose = Purpose::Cancelled;
                self.send_cancel(now, tx, None);
            }
            200..=299 => self.refuse_fork(now, tx, response),
            _ => {}
        }
    }

    /// ACK and BYE to a fork that nobody wants.
    fn refuse_fork(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let branches = (self.ids.branch(), self.ids.branch());
        let Some(entry) = self.table.get(tx) else { return };
        let Some(invite) = entry.outgoing.as_ref().filter(|_| entry.acks.len() < FORKS_MAX) else { return };
        let Ok(target) = Uri::parse(&invite.uri) else { return };
        let fork = Dialog::of_fork(invite, target, response.head.from.tag().unwrap_or_default());
        let mut fork = fork.established_by(&response.message, &response.head);
        // A PRACK may have used numbers in its early dialog.
        let call = entry.call.and_then(|id| self.calls.get(&id));
        fork.local_cseq =
            call.and_then(|c| c.early_of(response.head.to.tag())).map_or(fork.local_cseq, |e| e.dialog.local_cseq);
        let ack = fork.outgoing_at(response.head.cseq.number, branches.0);
        // Where our INVITE had no offer, theirs is refused.
        let has_offer = message::parse(&entry.request).is_ok_and(|invite| !invite.body.is_empty());
        let offer = body::session(&response.message).ok().flatten().filter(|_| !has_offer);
        self.send_ack(tx, ack, fork.remote_tag.clone(), offer.as_ref().map(sdp::refusal).as_deref());
        let bye = fork.outgoing(branches.1);
        self.send_request(now, "BYE", &bye, None, Purpose::Aside, None);
    }

    /// Sends a re-INVITE under a new number.
    pub(super) fn offer_change(&mut self, now: Instant, id: u64, sdp: String) -> Result<(), CommandError> {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return Err(CommandError::NoSuchCall) };
        let outgoing = call.dialog.outgoing(branch);
        let cseq = outgoing.cseq;
        let bytes = self.invite_bytes(Some(id), &outgoing, Some(&sdp), &[]);
        let (method, call, purpose) = ("INVITE", Some(id), Purpose::Reinvite);
        let (others, has_more) = ([].as_slice(), false);
        if self.launch(now, Launch { method, outgoing, call, purpose, bytes, others, has_more }).is_none() {
            return Err(CommandError::Full);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.ours = Some(OurReinvite { sdp, again_at: None, cseq, is_refresh: false, then: None });
        }
        self.arm(id);
        Ok(())
    }

    pub(super) fn on_reinvite_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some(id) = self.table.get(tx).and_then(|e| e.call) else { return };
        let is_raised = self.session_raised(id, response);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let handle = CallHandle(id);
        let is_current = call.ours.as_ref().is_some_and(|o| o.cseq == response.head.cseq.number);
        match response.status {
            200..=299 => {
                call.dialog.refresh_target(&response.head);
                self.acknowledge_2xx(tx, id, response.head.cseq.number, None);
                if is_current {
                    self.session_answered(now, id, response);
                    self.end_change(now, id, true);
                    let answer = body::session(&response.message).ok().flatten();
                    self.out.event(Event::Renegotiated { call: handle, answer });
                }
            }
            491 if is_current => {
                let wait_ms = self.collision_wait_ms(id);
                self.change_again(id, now + Duration::from_millis(wait_ms));
            }
            422 if is_current && is_raised => self.change_again(id, now),
            // 12.2.1.2: the other side knows nothing of this dialog, or is gone.
            408 | 481 if is_current => self.peer_gone(now, id, response.status),
            300.. if is_current => self.change_failed(now, id, response.status, Some(response)),
            _ => {}
        }
        self.arm(id);
    }

    /// Our re-INVITE came to nothing. A refresh is tried again; of it our user knows nothing.
    pub(super) fn change_failed(&mut self, now: Instant, id: u64, status: u16, response: Option<&Response<'_>>) {
        let is_refresh = self.calls.get(&id).and_then(|c| c.ours.as_ref()).is_some_and(|o| o.is_refresh);
        self.end_change(now, id, false);
        if is_refresh {
            self.refresh_failed(now, id, status, response);
        } else {
            self.out.event(Event::RenegotiationFailed { call: CallHandle(id), status });
        }
    }

    /// A re-INVITE of ours is through: what it said stands, and what our user asked for meanwhile is next.
    fn end_change(&mut self, now: Instant, id: u64, is_agreed: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(ours) = call.ours.take() else { return };
        if let Some(sdp) = ours.then {
            let (again_at, cseq) = (Some(now), ours.cseq);
            call.ours = Some(OurReinvite { sdp, again_at, cseq, is_refresh: false, then: None });
        }
        if is_agreed {
            call.described = ours.sdp;
        }
    }

    /// The same change later, or what our user has asked for since.
    fn change_again(&mut self, id: u64, at: Instant) {
        let Some(ours) = self.calls.get_mut(&id).and_then(|c| c.ours.as_mut()) else { return };
        ours.again_at = Some(at);
        if let Some(sdp) = ours.then.take() {
            (ours.sdp, ours.is_refresh) = (sdp, false);
        }
    }

    /// The peer does not know the call any more: a BYE for order's sake, and the end.
    pub(super) fn peer_gone(&mut self, now: Instant, id: u64, status: u16) {
        self.end_call(id, EndCause::PeerGone(status));
        self.send_bye(now, id, None);
    }

    /// Says the last event of an answered call, once.
    pub(super) fn end_call(&mut self, id: u64, cause: EndCause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !std::mem::replace(&mut call.is_over, true) {
            self.out.event(Event::Ended { call: CallHandle(id), cause });
        }
    }

    /// Says that a call of ours failed, once.
    pub(super) fn fail_call(&mut self, id: u64, status: u16) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !std::mem::replace(&mut call.is_over, true) {
            let (call, retry_after_s, contacts) = (CallHandle(id), None, Vec::new());
            self.out.event(Event::Failed { call, status, retry_after_s, contacts });
        }
    }
}

/// The Contacts of a 3xx, highest q first (RFC 3261 8.1.3.4); 1 where it is missing.
fn redirections(response: &Response<'_>) -> Vec<Private<String>> {
    if !(300..400).contains(&response.status) {
        return Vec::new();
    }
    let mut contacts: Vec<_> = response.head.contacts.iter().collect();
    contacts.sort_by_key(|c| std::cmp::Reverse(c.params.get("q").map_or(Some(1000), thousandths).unwrap_or(0)));
    contacts.into_iter().take(CONTACTS_MAX).map(|c| Private::new(c.uri.as_str().to_owned())).collect()
}

/// `0.25` is 250 (RFC 3261 25.1, qvalue).
fn thousandths(q: &str) -> Option<u32> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let fraction = format!("{fraction:0<3}");
    let value = whole.parse::<u32>().ok()?.checked_mul(1000)? + fraction.get(..3)?.parse::<u32>().ok()?;
    (value <= 1000).then_some(value)
}

/// RFC 3261 22.1: an ACK cannot be challenged, so it repeats what its INVITE was believed for.
fn authorization_in(invite: &[u8]) -> Vec<(Name, String)> {
    let Ok(invite) = message::parse(invite) else { return Vec::new() };
    let wanted = |kind| matches!(kind, Name::Authorization | Name::ProxyAuthorization);
    invite.headers.iter().filter(|h| wanted(h.kind)).map(|h| (h.kind, h.text().into_owned())).collect()
}

pub(super) fn retry_after(response: &Response<'_>) -> Option<u32> {
    response.message.header(Name::RetryAfter).and_then(|h| retry_after_s(&h.text()))
}
