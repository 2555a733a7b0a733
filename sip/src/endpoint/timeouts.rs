//! What happens when a timer is due. It never reads a clock.

use super::Endpoint;
use super::call::{Cancel, Carrier, Phase, RepeatStep};
use super::event::{CallHandle, EndCause, Event};
use super::table::{Machine, Purpose};
use std::time::Instant;

impl Endpoint {
    pub(super) fn transaction_due(&mut self, now: Instant, id: u64) {
        let Some(entry) = self.table.get_mut(id) else { return };
        entry.armed = None;
        let peer = entry.peer;
        let (resend, timeout) = match &mut entry.machine {
            Machine::InviteServer(machine) => (machine.on_timeout(now).map(<[u8]>::to_vec), false),
            Machine::RequestServer(machine) => {
                machine.on_timeout(now);
                (None, false)
            }
            Machine::InviteClient(machine) => {
                let step = machine.on_timeout(now);
                (step.resend.then(|| entry.request.clone()), step.timeout)
            }
            Machine::RequestClient(machine) => {
                let step = machine.on_timeout(now);
                (step.resend.then(|| entry.request.clone()), step.timeout)
            }
        };
        if let Some(bytes) = resend {
            self.out.resend(peer, bytes);
        }
        // Timers B and F: the next target, or as if 408 (8.1.3.1).
        if timeout && !self.fail_over(now, id) {
            self.unanswered(now, id, 408);
        }
        self.settle(id);
    }

    /// A request of ours gets no response: 408 where nobody answered in time, 503 where it could not be sent.
    pub(super) fn unanswered(&mut self, now: Instant, id: u64, status: u16) {
        let Some(entry) = self.table.get(id) else { return };
        let cseq = entry.outgoing.as_ref().map(|o| o.cseq);
        match (entry.purpose, entry.call) {
            (Purpose::Invite, Some(call)) => {
                self.drop_their_reinvite(now, call, 487);
                self.fail_call(call, status);
                self.remove_call(call);
            }
            (Purpose::Reinvite, Some(call)) => {
                let ours = self.calls.get(&call).and_then(|c| c.ours.as_ref().map(|o| o.cseq));
                match status {
                    _ if ours.is_none() || ours != cseq => {}
                    // 12.2.1.2: who does not answer is gone; who cannot be reached now may be heard again.
                    408 => self.peer_gone(now, call, status),
                    _ => self.change_failed(now, call, status, None),
                }
                self.arm(call);
            }
            (Purpose::Refer, Some(call)) => self.refer_unanswered(now, call, id, status),
            (Purpose::Update, Some(call)) => self.update_unanswered(now, call, id, status),
            (Purpose::Bye, Some(call)) => self.remove_call(call),
            (Purpose::Register(registration), _) => self.register_failed(now, registration, status, None),
            (Purpose::Ping(ping), _) => self.pong(ping, status),
            _ => {}
        }
    }

    pub(super) fn call_due(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.armed = None;
        let step = call.repeat.as_mut().map_or(RepeatStep::Nothing, |r| r.on_timeout(now));
        match step {
            RepeatStep::Resend => {
                if let Some(repeat) = &call.repeat {
                    self.out.resend(repeat.to, repeat.bytes.clone());
                }
            }
            // 13.3.1.4: nobody acknowledged; the dialog is confirmed nonetheless and ends with BYE.
            RepeatStep::GiveUp => {
                let reason = call.goodbye.take();
                self.end_call(id, EndCause::NoAck);
                self.send_bye(now, id, reason.as_ref());
            }
            RepeatStep::Nothing => {}
        }
        self.phase_due(now, id);
        self.reinvites_due(now, id);
        self.transfer_due(now, id);
        self.referred_due(now, id);
        self.session_due(now, id);
        self.arm(id);
    }

    fn phase_due(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &mut call.phase {
            Phase::Incoming(incoming) if now >= incoming.until.0 => {
                let status = incoming.until.1;
                self.refuse_incoming(now, id, status, None);
            }
            Phase::Incoming(_) => {
                self.ringing_due(now, id);
                self.reliable_due(now, id);
            }
            Phase::Calling(calling) if now >= calling.until => {
                if calling.cancel == Cancel::Sent {
                    // 9.1: no final response to a cancelled INVITE; it counts as cancelled.
                    let tx = calling.tx;
                    self.remove_call(id);
                    self.forget_transaction(tx);
                } else {
                    self.fail_call(id, 408);
                    self.give_up(now, id);
                }
            }
            _ => {}
        }
    }

    fn reinvites_due(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(theirs) = call.theirs.as_ref().filter(|t| now >= t.until) {
            // RFC 3311 5.2: 504 where nobody decides in time.
            let status = if theirs.carrier == Carrier::Invite { 480 } else { 504 };
            self.drop_their_reinvite(now, id, status);
            self.out.event(Event::RenegotiationFailed { call: CallHandle(id), status });
        }
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.may_offer()) else { return };
        let Some(ours) = call.ours.as_mut().filter(|o| o.again_at.is_some_and(|at| now >= at)) else { return };
        let (sdp, is_refresh) = (std::mem::take(&mut ours.sdp), ours.is_refresh);
        if self.offer_change(now, id, sdp).is_ok() {
            if let Some(ours) = self.calls.get_mut(&id).and_then(|c| c.ours.as_mut()) {
                ours.is_refresh = is_refresh;
            }
        } else {
            if let Some(call) = self.calls.get_mut(&id) {
                call.ours = None;
            }
            self.out.event(Event::RenegotiationFailed { call: CallHandle(id), status: 491 });
        }
    }
}
