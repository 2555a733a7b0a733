//! Calls that we make: INVITE, CANCEL, ACK, our own re-INVITE (RFC 3261 9.1, 13.2, 14.1). It never picks whom to call.

use super::ALLOW;
use super::Endpoint;
use super::body;
use super::call::{Call, Calling, Cancel, OurReinvite, Phase};
use super::config::{InviteRequest, Reason};
use super::event::{CallHandle, CommandError, EndCause, Event};
use super::table::{Ack, Entry, Machine, Purpose};
use crate::dialog::{Dialog, Outgoing};
use crate::header::{Response, retry_after_s};
use crate::message::{Builder, Name};
use crate::text::{escape_user, quote};
use crate::transaction::{InviteClient, RequestClient, T1_64};
use crate::uri::Uri;
use std::time::{Duration, Instant};

/// Most branches of one forked call that are acknowledged.
const FORKS_MAX: usize = 8;

impl Endpoint {
    pub(super) fn start_call(&mut self, now: Instant, request: &InviteRequest) -> Result<CallHandle, CommandError> {
        let target = Uri::parse(&request.to).map_err(|_| CommandError::BadUri)?;
        if target.sip().is_none_or(|s| s.headers.is_some()) {
            return Err(CommandError::BadUri);
        }
        let Some(first) = request.targets.first().copied() else { return Err(CommandError::NoTarget) };
        if self.calls.len() >= self.config.max_calls || self.table.len() >= self.config.max_transactions {
            return Err(CommandError::Full);
        }
        let (call_id, local_tag) = (self.ids.call_id(), self.ids.tag());
        let mut local = request.from_display.as_deref().map(|d| quote(d) + " ").unwrap_or_default();
        local.push_str(&format!("<sip:{}@{}>", escape_user(&request.from_user), self.local(first)));
        let remote = format!("<{}>", target.as_str());
        let dialog_key = self.dialog_key(&call_id, &local_tag);
        let mut dialog = Dialog::calling(call_id, &local, local_tag, remote, target, first);
        let mut outgoing = dialog.outgoing(self.ids.branch());
        // The driver resolved where it goes first; the URI's host is for them.
        outgoing.peer = first;
        let until = now + self.config.answer_within;
        let calling = Calling { tx: 0, until, is_heard: false, cancel: Cancel::No, sdp: None };
        let id = self.add_call(Call::new(dialog, dialog_key, Phase::Calling(calling), true));
        let Some(tx) = self.send_invite(now, id, outgoing, Purpose::Invite, &request.sdp, &request.headers) else {
            self.remove_call(id);
            return Err(CommandError::Full);
        };
        if let Some(Call { phase: Phase::Calling(calling), .. }) = self.calls.get_mut(&id) {
            calling.tx = tx;
        }
        self.arm(id);
        Ok(CallHandle(id))
    }

    fn send_invite(
        &mut self,
        now: Instant,
        id: u64,
        outgoing: Outgoing,
        purpose: Purpose,
        sdp: &str,
        headers: &[(String, String)],
    ) -> Option<u64> {
        let mut builder = outgoing
            .builder("INVITE", self.local(outgoing.peer))
            .header(Name::Contact, &self.contact(outgoing.peer))
            .header(Name::Allow, ALLOW)
            .header(Name::Accept, "application/sdp");
        builder = self.named(builder);
        for (name, value) in headers.iter().filter(|(name, _)| crate::text::is_token(name.as_bytes())) {
            builder = builder.raw(name, value.as_bytes());
        }
        let bytes = builder.finish_with("application/sdp", sdp.as_bytes());
        let key = self.client_key(&outgoing.branch, "INVITE");
        let peer = outgoing.peer;
        let mut entry =
            Entry::server(Machine::InviteClient(InviteClient::new(now, peer.transport)), key, peer, Some(id));
        entry.purpose = purpose;
        entry.request.clone_from(&bytes);
        entry.outgoing = Some(Box::new(outgoing));
        let tx = self.remember(entry)?;
        self.out.send(peer, bytes);
        Some(tx)
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
        let key = self.client_key(&outgoing.branch, method);
        let mut entry = Entry::server(
            Machine::RequestClient(RequestClient::new(now, outgoing.peer.transport)),
            key,
            outgoing.peer,
            call,
        );
        entry.purpose = purpose;
        entry.request.clone_from(&bytes);
        self.out.send(outgoing.peer, bytes);
        self.remember(entry)
    }

    pub(super) fn named(&self, builder: Builder) -> Builder {
        if self.config.user_agent.is_empty() {
            return builder;
        }
        builder.header(Name::UserAgent, &self.config.user_agent)
    }

    /// Gives a call up: CANCEL now, or as soon as somebody was heard (9.1).
    pub(super) fn give_up(&mut self, now: Instant, id: u64) {
        let Some(Call { phase: Phase::Calling(calling), .. }) = self.calls.get_mut(&id) else { return };
        if calling.cancel == Cancel::Sent {
            return;
        }
        calling.cancel = if calling.is_heard { Cancel::Sent } else { Cancel::Wanted };
        let (is_heard, tx) = (calling.is_heard, calling.tx);
        // 9.1: without a final response 64*T1 after the CANCEL, the INVITE counts as cancelled.
        calling.until = now + T1_64;
        if is_heard && let Some(outgoing) = self.table.get(tx).and_then(|e| e.outgoing.clone()) {
            self.send_request(now, "CANCEL", &outgoing, None, Purpose::Aside, None);
        }
        self.arm(id);
    }

    pub(super) fn on_invite_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some(id) = self.table.get(tx).and_then(|e| e.call) else { return };
        let handle = CallHandle(id);
        let sdp = body::session(&response.message).ok().flatten();
        let phase = self.calls.get_mut(&id).map(|c| (c.is_over, &mut c.phase));
        match (response.status, phase) {
            (100..=199, Some((is_over, Phase::Calling(calling)))) => {
                calling.is_heard = true;
                if calling.cancel == Cancel::Wanted {
                    self.give_up(now, id);
                } else if response.status != 100 && !is_over {
                    if sdp.is_some() {
                        calling.sdp.clone_from(&sdp);
                    }
                    self.out.event(Event::Progress { call: handle, status: response.status, sdp });
                }
            }
            (200..=299, Some((is_over, Phase::Calling(calling)))) => {
                let sdp = sdp.or_else(|| calling.sdp.take());
                if let Some(call) = self.calls.get_mut(&id) {
                    call.dialog = call.dialog.established_by(&response.message, &response.head);
                    call.phase = Phase::Established;
                }
                self.acknowledge(tx, id, response);
                if is_over {
                    // Our CANCEL crossed their 200 (9.1): the call exists, so it ends with BYE.
                    self.send_bye(now, id, None);
                } else {
                    self.out.event(Event::Answered { call: handle, sdp });
                }
            }
            // 13.2.2.4: another branch of a forked call answered too.
            (200..=299, _) => self.refuse_fork(now, tx, response),
            (300.., Some((is_over, Phase::Calling(_)))) => {
                self.remove_call(id);
                if !is_over {
                    let retry_after_s = retry_after(response);
                    self.out.event(Event::Failed { call: handle, status: response.status, retry_after_s });
                }
            }
            _ => {}
        }
        self.arm(id);
    }

    /// The ACK of a 2xx (13.2.2.4): of the dialog, not of the transaction; kept for retransmitted 2xx.
    fn acknowledge(&mut self, tx: u64, id: u64, response: &Response<'_>) {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get(&id) else { return };
        let outgoing = call.dialog.outgoing_at(response.head.cseq.number, branch);
        self.send_ack(tx, &outgoing, response);
    }

    fn send_ack(&mut self, tx: u64, outgoing: &Outgoing, response: &Response<'_>) {
        let bytes = outgoing.builder("ACK", self.local(outgoing.peer)).finish();
        if let Some(entry) = self.table.get_mut(tx) {
            let remote_tag = response.head.to.tag().map(str::to_owned);
            entry.acks.push(Ack { remote_tag, bytes: bytes.clone(), to: outgoing.peer });
        }
        self.out.send(outgoing.peer, bytes);
    }

    /// ACK and BYE to a fork that nobody wants.
    fn refuse_fork(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let branches = (self.ids.branch(), self.ids.branch());
        let Some(entry) = self.table.get(tx) else { return };
        let Some(invite) = entry.outgoing.as_ref().filter(|_| entry.acks.len() < FORKS_MAX) else { return };
        let Ok(target) = Uri::parse(&invite.uri) else { return };
        let fork = Dialog::of_fork(invite, target, response.head.from.tag().unwrap_or_default());
        let mut fork = fork.established_by(&response.message, &response.head);
        let ack = fork.outgoing_at(response.head.cseq.number, branches.0);
        self.send_ack(tx, &ack, response);
        let bye = fork.outgoing(branches.1);
        self.send_request(now, "BYE", &bye, None, Purpose::Aside, None);
    }

    /// Sends a re-INVITE under a new number.
    pub(super) fn offer_change(&mut self, now: Instant, id: u64, sdp: String) -> Result<(), CommandError> {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return Err(CommandError::NoSuchCall) };
        let outgoing = call.dialog.outgoing(branch);
        let cseq = outgoing.cseq;
        if self.send_invite(now, id, outgoing, Purpose::Reinvite, &sdp, &[]).is_none() {
            return Err(CommandError::Full);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.ours = Some(OurReinvite { sdp, again_at: None, cseq });
        }
        self.arm(id);
        Ok(())
    }

    pub(super) fn on_reinvite_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some(id) = self.table.get(tx).and_then(|e| e.call) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let handle = CallHandle(id);
        let is_current = call.ours.as_ref().is_some_and(|o| o.cseq == response.head.cseq.number);
        match response.status {
            200..=299 => {
                call.dialog.refresh_target(&response.head);
                self.acknowledge(tx, id, response);
                if is_current {
                    self.end_change(id);
                    let answer = body::session(&response.message).ok().flatten();
                    self.out.event(Event::Renegotiated { call: handle, answer });
                }
            }
            491 if is_current => {
                // 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
                let steps = self.ids.next();
                let wait_ms = if call.is_caller { 2100 + (steps % 191) * 10 } else { (steps % 201) * 10 };
                if let Some(ours) = &mut call.ours {
                    ours.again_at = Some(now + Duration::from_millis(wait_ms));
                }
            }
            // 12.2.1.2: the other side knows nothing of this dialog, or is gone.
            408 | 481 if is_current => self.peer_gone(now, id, response.status),
            300.. if is_current => {
                self.end_change(id);
                self.out.event(Event::RenegotiationFailed { call: handle, status: response.status });
            }
            _ => {}
        }
        self.arm(id);
    }

    fn end_change(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.ours = None;
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
            self.out.event(Event::Failed { call: CallHandle(id), status, retry_after_s: None });
        }
    }
}

fn retry_after(response: &Response<'_>) -> Option<u32> {
    response.message.header(Name::RetryAfter).and_then(|h| retry_after_s(&h.text()))
}
