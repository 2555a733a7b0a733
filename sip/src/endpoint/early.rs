//! The early dialogs of calls that we make, and PRACK for what comes in them reliably (RFC 3261 12.1, RFC 3262 4). They never become a call by themselves.

use super::Endpoint;
use super::body;
use super::call::{Call, Calling, FORKS_MAX, Phase};
use super::event::{CallHandle, Event};
use super::table::Purpose;
use crate::dialog::Dialog;
use crate::header::{RAck, Response, has_token};
use crate::message::{Message, Name, number};
use crate::peer::Peer;
use crate::sdp::Session;
use std::time::Instant;

/// One early dialog.
pub(super) struct Early {
    pub dialog: Dialog,
    /// The last reliable response taken.
    rseq: Option<u32>,
    /// It carried an offer, as our INVITE had none: its PRACK waits for our answer (RFC 3262 5).
    offer: Option<(RAck, Session)>,
    /// The peer's description as it was agreed reliably: what later responses say does not count
    /// (RFC 3261 13.2.1).
    pub remote: Option<Session>,
}

/// The number of a response that wants a PRACK.
fn rseq(message: &Message<'_>) -> Option<u32> {
    let rseq = message.header(Name::RSeq).and_then(|h| number(&h.value)).and_then(|n| u32::try_from(n).ok());
    rseq.filter(|_| has_token(message, Name::Require, "100rel"))
}

impl Endpoint {
    /// A provisional response to our INVITE. False: it is a copy, or came before its time (RFC 3262 4),
    /// and is nothing to anybody.
    pub(super) fn take_provisional(&mut self, now: Instant, id: u64, response: &Response<'_>) -> bool {
        let Some(call) = self.calls.get_mut(&id).filter(|c| !c.is_over) else { return true };
        let Phase::Calling(Calling { has_offer, .. }) = call.phase else { return true };
        let tag = response.head.to.tag();
        if response.status <= 100 || tag.is_none() {
            return true;
        }
        let at = match call.early.iter().position(|e| e.dialog.matches(tag)) {
            Some(at) => at,
            None if call.early.len() >= FORKS_MAX => return true,
            None => {
                let dialog = call.dialog.established_by(&response.message, &response.head);
                call.early.push(Early { dialog, rseq: None, offer: None, remote: None });
                call.early.len() - 1
            }
        };
        call.session.learn(&response.message);
        let Some(early) = call.early.get_mut(at) else { return true };
        let Some(rseq) = rseq(&response.message) else { return true };
        if early.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
            return false;
        }
        early.rseq = Some(rseq);
        let rack = RAck { rseq, cseq: response.head.cseq.number, method: "INVITE".to_owned() };
        let session = body::session(&response.message).ok().flatten().filter(|_| early.remote.is_none());
        match session {
            Some(offer) if !has_offer => {
                early.offer = Some((rack, offer.clone()));
                self.out.event(Event::Reinvite { call: CallHandle(id), offer: Some(offer) });
            }
            answer => {
                early.remote = early.remote.take().or(answer);
                self.send_prack(now, id, at, &rack, None);
            }
        }
        true
    }

    fn send_prack(&mut self, now: Instant, id: u64, at: usize, rack: &RAck, sdp: Option<&str>) {
        let branch = self.ids.branch();
        let Some(early) = self.calls.get_mut(&id).and_then(|c| c.early.get_mut(at)) else { return };
        let outgoing = early.dialog.outgoing(branch);
        let rack = format!("{} {} {}", rack.rseq, rack.cseq, rack.method);
        let builder = outgoing.builder("PRACK", self.config.local(outgoing.peer)).header(Name::RAck, &rack);
        let builder = self.named(builder);
        let bytes = match sdp {
            Some(sdp) => builder.finish_with("application/sdp", sdp.as_bytes()),
            None => builder.finish(),
        };
        self.send_built(now, "PRACK", &outgoing, Some(id), Purpose::Prack, bytes);
    }

    /// Our answer to the oldest offer in a reliable response goes into its PRACK. False: there is none.
    pub(super) fn answer_early(&mut self, now: Instant, id: u64, sdp: &str) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Some(at) = call.early_offer() else { return false };
        let Some((rack, offer)) = call.early.get_mut(at).and_then(|e| e.offer.take()) else { return false };
        if let Some(early) = call.early.get_mut(at) {
            early.remote = Some(offer);
        }
        sdp.clone_into(&mut call.described);
        self.send_prack(now, id, at, &rack, Some(sdp));
        self.out.event(Event::Renegotiated { call: CallHandle(id), answer: None });
        true
    }

    /// The dialog that a 2xx establishes: its early one, if it had one, for that has used numbers.
    pub(super) fn confirm(&mut self, id: u64, response: &Response<'_>, peer: Peer) -> Option<Session> {
        let call = self.calls.get_mut(&id)?;
        let tag = response.head.to.tag();
        let at = call.early.iter().position(|e| e.dialog.matches(tag));
        let early = at.map(|at| call.early.swap_remove(at));
        let base = early.as_ref().map_or(&call.dialog, |e| &e.dialog);
        call.dialog = base.established_by(&response.message, &response.head);
        call.dialog.heard_from(peer);
        early.and_then(|e| e.remote)
    }

    /// The call of ours that has this early dialog.
    pub(super) fn is_early(call: &Call, remote_tag: Option<&str>) -> bool {
        matches!(call.phase, Phase::Calling(_)) && call.early_of(remote_tag).is_some()
    }
}

impl Call {
    /// The oldest offer in a reliable response that our user has not answered.
    pub fn early_offer(&self) -> Option<usize> {
        self.early.iter().position(|e| e.offer.is_some()).filter(|_| matches!(self.phase, Phase::Calling(_)))
    }
}
