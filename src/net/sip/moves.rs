//! Calls that change their other side: a REFER that sends us elsewhere, an INVITE that replaces a dialog of ours.
//! The conversation goes on; it never starts or ends one.

use std::time::Instant;

use sip::sdp;
use sip::{CallHandle, CallInfo, InviteRequest, Private};
use tracing::info;

use super::SipDriver;
use super::call::Move;
use super::terms::{answer, renew};
use crate::call::EndCause;
use crate::call::driver::CallInput;
use crate::gateway::Refused;

impl SipDriver {
    /// RFC 3891: the INVITE takes the place of another dialog of ours. Its media goes on where it is.
    pub(super) fn take_over(
        &mut self,
        now: Instant,
        call: CallHandle,
        old: CallHandle,
        offer: Option<sdp::Offer>,
        info: &CallInfo,
    ) -> Result<(), Refused> {
        let line = self.lines.trunk_of(info);
        let running = self.running.get_mut(&old).ok_or(Refused::Gone)?;
        // Who knows the tags of a trunk's call is not the trunk yet.
        if running.line.trunk != line {
            return Err(Refused::NotTheirs);
        }
        // Without an offer the session could not follow before the ACK; nobody replaces calls that way.
        let offer = offer.ok_or(Refused::NoCommonCodec)?;
        let peer = *info.source.expose();
        let mut local = running.local.clone();
        local.next_version();
        renew(&self.gateway.config, &mut local, peer);
        let negotiated = answer(&offer, &mut local)?;
        self.endpoint.answer(now, call, &negotiated.body).map_err(|_| Refused::Gone)?;
        let mut running = self.running.remove(&old).ok_or(Refused::Gone)?;
        (running.peer, running.local) = (peer, local);
        self.change(&mut running, &negotiated);
        info!(call = %running.id, "the caller was replaced");
        self.handles.insert(running.id, call);
        self.running.insert(call, running);
        Ok(())
    }

    /// The other side wants us to talk to somebody else. We ask that somebody through the same peer and nobody
    /// else: whom it reaches there, and who pays, is the peer's business.
    pub(super) fn referred(
        &mut self,
        now: Instant,
        call: CallHandle,
        target: &Private<String>,
        replaces: Option<Private<String>>,
    ) {
        let Some(running) = self.running.get(&call) else {
            let _ = self.endpoint.reject_refer(now, call, 481);
            return;
        };
        if self.moves.values().any(|m| m.old == call) || !self.lines.may_refer(running.line.trunk.as_deref()) {
            let _ = self.endpoint.reject_refer(now, call, 603);
            return;
        }
        let mut local = running.local.clone();
        local.next_version();
        renew(&self.gateway.config, &mut local, running.peer);
        let mut request = InviteRequest::new(vec![running.peer], target.expose(), Some(sdp::offer(&local)));
        request.credentials = running.line.trunk.as_deref().and_then(|t| self.lines.credentials(t));
        if let Some(replaces) = replaces {
            request.headers.push(("Replaces".into(), replaces.expose().clone()));
        }
        let id = running.id;
        if self.endpoint.accept_refer(now, call).is_err() {
            return;
        }
        match self.endpoint.invite(now, request) {
            Ok(new) => {
                info!(call = %id, "sent elsewhere by its other side");
                self.moves.insert(new, Move { old: call, local });
            }
            Err(_) => {
                let _ = self.endpoint.refer_progress(now, call, 503);
            }
        }
    }

    /// Who we were sent to has answered: the call is theirs now.
    pub(super) fn moved(&mut self, now: Instant, call: CallHandle, answer: Option<sdp::Session>) {
        let Some(Move { old, local }) = self.moves.remove(&call) else { return };
        let Some(mut running) = self.running.remove(&old) else {
            let _ = self.endpoint.hangup(now, call, None);
            return;
        };
        let Some(negotiated) = answer.and_then(|a| sdp::accept(&local, &a).ok()) else {
            self.running.insert(old, running);
            let _ = self.endpoint.hangup(now, call, None);
            return self.stay(now, old, 488);
        };
        running.local = local;
        self.change(&mut running, &negotiated);
        self.handles.insert(running.id, call);
        self.running.insert(call, running);
        // The one who sent us leaves by itself once it knows.
        let _ = self.endpoint.refer_progress(now, old, 200);
    }

    pub(super) fn not_moved(&mut self, now: Instant, call: CallHandle, status: u16) {
        if let Some(moving) = self.moves.remove(&call) {
            self.stay(now, moving.old, status);
        }
    }

    /// The transfer came to nothing. Where the old dialog is over by now, so is the call.
    fn stay(&mut self, now: Instant, old: CallHandle, status: u16) {
        if self.endpoint.refer_progress(now, old, status).is_ok() {
            return;
        }
        if let Some(running) = self.running.remove(&old) {
            self.handles.remove(&running.id);
            self.free(&running.line);
            running.tell(CallInput::HangUp(EndCause::CallerHungUp));
        }
    }

    /// An extension is one of the caller's own side: the PBX or the phone that called.
    pub(super) fn full_target(&self, call: CallHandle, target: String) -> String {
        match self.running.get(&call) {
            Some(running) if !target.contains(':') => {
                let transport = match running.peer.transport {
                    sip::Transport::Udp => "",
                    sip::Transport::Tcp => ";transport=tcp",
                    sip::Transport::Tls => ";transport=tls",
                    sip::Transport::Ws | sip::Transport::Wss => ";transport=ws",
                };
                format!("sip:{target}@{}{transport}", running.peer.address)
            }
            _ => target,
        }
    }
}
