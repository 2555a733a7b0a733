//! Provisional responses to calls made to us, reliable where the caller can or must have them so (RFC 3262 3). It never has two of them on the road.

use super::Endpoint;
use super::body::{self, Unusable};
use super::call::{Call, Carrier, Phase, Ringing, TheirReinvite};
use super::event::{CallHandle, CommandError, Event};
use super::requests::Asked;
use super::session::Ask;
use super::table::{Entry, Machine};
use crate::header::{RAck, has_token};
use crate::message::{Message, Name};
use crate::sdp::Session;
use crate::transaction::{RequestServer, T1, T1_64};
use std::time::{Duration, Instant};

/// RFC 3261 13.3.1.1: how often a provisional response is repeated.
const RINGING_AGAIN: Duration = Duration::from_secs(60);
/// RFC 3262 3: the same for reliable ones.
const RELIABLE_AGAIN: Duration = Duration::from_secs(150);

/// Does the caller want provisional responses reliably?
#[derive(Copy, Clone, PartialEq, Eq, Default)]
enum Wish {
    #[default]
    No,
    Possible,
    Required,
}

/// The reliable provisional responses to one INVITE.
#[derive(Default)]
pub(super) struct Reliable {
    wish: Wish,
    /// The last number.
    rseq: Option<u32>,
    pending: Option<Pending>,
    /// What goes out after its PRACK.
    next: Option<(u16, Option<String>)>,
    /// A 200 that must wait for the PRACK: its description.
    answer: Option<String>,
    /// The description that went out reliably: no response may carry another.
    sdp: Option<String>,
    /// The caller's answer to it, where the INVITE had no offer.
    pub their_answer: Option<Session>,
}

/// One that waits for its PRACK.
struct Pending {
    rseq: u32,
    has_sdp: bool,
    bytes: Vec<u8>,
    resend_at: Instant,
    interval: Duration,
    until: Instant,
}

impl Reliable {
    pub fn wished_by(invite: &Message<'_>) -> Self {
        let wish = if has_token(invite, Name::Require, "100rel") {
            Wish::Required
        } else if has_token(invite, Name::Supported, "100rel") {
            Wish::Possible
        } else {
            Wish::No
        };
        Self { wish, ..Self::default() }
    }

    /// When something is to be sent again, or given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|p| p.resend_at.min(p.until))
    }

    /// Has a description gone out reliably?
    pub const fn is_described(&self) -> bool {
        self.sdp.is_some()
    }

    /// The 200 is decided, it only waits for a PRACK.
    pub const fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// A later description, agreed on before the 200.
    pub fn replace_sdp(&mut self, sdp: &str) {
        if let Some(old) = &mut self.sdp {
            sdp.clone_into(old);
        }
    }

    /// What a 200 describes: what is agreed already where it is. `None`: nothing, for the offer was
    /// ours and is answered, and a description would be a second one (RFC 3261 13.2.1).
    pub fn final_sdp(&self, sdp: &str) -> Option<String> {
        match &self.sdp {
            Some(_) if self.their_answer.is_some() => None,
            Some(early) => Some(early.clone()),
            None => Some(sdp.to_owned()),
        }
    }
}

impl Endpoint {
    /// 180 to 183 to a waiting call, with early media where `sdp` describes it (RFC 3960): our answer,
    /// as `answer` will give it, or our offer where the INVITE had none (the caller's answer is in
    /// `Renegotiated`). Sent reliably (RFC 3262) where the caller requires it, and with a description
    /// where it can; what is not acknowledged for 32 s ends the call with 504.
    ///
    /// # Errors
    /// `WrongState`: not waiting, or an offer for a caller that cannot take it before the 200;
    /// `BadStatus`; `NoSuchCall`.
    pub fn progress(
        &mut self,
        now: Instant,
        call: CallHandle,
        status: u16,
        sdp: Option<&str>,
    ) -> Result<(), CommandError> {
        self.waiting(call)?;
        if !(180..=183).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        let state = self.live(call)?;
        let has_offer = matches!(&state.phase, Phase::Incoming(i) if i.has_offer);
        // RFC 3261 13.2.1: an offer goes into a reliable response or into the 200.
        if sdp.is_some() && !has_offer && state.reliable.wish == Wish::No {
            return Err(CommandError::WrongState);
        }
        self.send_provisional(now, call.0, status, sdp.map(str::to_owned));
        Ok(())
    }

    /// A provisional response to a waiting call, now or after the PRACK of the one before.
    pub(super) fn send_provisional(&mut self, now: Instant, id: u64, status: u16, sdp: Option<String>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let reliable = &mut call.reliable;
        let sdp = sdp.filter(|_| !reliable.is_described());
        let is_reliable = reliable.wish == Wish::Required || (reliable.wish == Wish::Possible && sdp.is_some());
        if is_reliable && (reliable.pending.is_some() || call.theirs.is_some()) {
            let waiting = reliable.next.take().and_then(|(_, sdp)| sdp);
            reliable.next = Some((status, sdp.or(waiting)));
            return;
        }
        let Some(Call { phase: Phase::Incoming(incoming), dialog, reliable, .. }) = self.calls.get(&id) else { return };
        let contact = self.contact(incoming.reply.peer);
        let builder = incoming.reply.dialog_response(status, &dialog.local_tag, &contact);
        let mut builder = self.signed(builder).header(Name::Allow, self.allow());
        let rseq = reliable.rseq.map_or_else(|| self.first_rseq(&dialog.call_id, &dialog.local_tag), |last| last + 1);
        if is_reliable {
            builder = builder.header(Name::Require, "100rel").header(Name::RSeq, &rseq.to_string());
        }
        let bytes = match &sdp {
            Some(sdp) => builder.finish_with("application/sdp", sdp.as_bytes()),
            None => builder.finish(),
        };
        let tx = incoming.tx;
        if let Some(Call { phase: Phase::Incoming(incoming), reliable, .. }) = self.calls.get_mut(&id) {
            let again = if is_reliable { RELIABLE_AGAIN } else { RINGING_AGAIN };
            let copy = (!is_reliable).then(|| bytes.clone());
            incoming.ringing = Some(Ringing { at: now + again, status, bytes: copy });
            if is_reliable {
                reliable.rseq = Some(rseq);
                let (resend_at, until, has_sdp) = (now + T1, now + T1_64, sdp.is_some());
                let bytes = bytes.clone();
                reliable.pending = Some(Pending { rseq, has_sdp, bytes, resend_at, interval: T1, until });
                reliable.sdp = reliable.sdp.take().or(sdp);
            }
        }
        self.respond(now, tx, status, bytes);
        self.arm(id);
    }

    /// RFC 3261 13.3.1.1: a proxy that hears nothing for three minutes gives the call up.
    pub(super) fn ringing_due(&mut self, now: Instant, id: u64) {
        let Some(Call { phase: Phase::Incoming(incoming), .. }) = self.calls.get_mut(&id) else { return };
        let Some(ringing) = incoming.ringing.as_mut().filter(|r| now >= r.at) else { return };
        match &ringing.bytes {
            Some(bytes) => {
                ringing.at = now + RINGING_AGAIN;
                self.out.resend(incoming.reply.peer, bytes.clone());
            }
            None => {
                let status = ringing.status;
                incoming.ringing = None;
                self.send_provisional(now, id, status, None);
            }
        }
    }

    /// RFC 3262 3: unguessable, and far from the end of the numbers. A hash, so that it costs no state.
    fn first_rseq(&self, call_id: &str, local_tag: &str) -> u32 {
        let [hash, _] = self.ids.key(&["rseq", call_id, local_tag]);
        (hash % 0x7fff_ff00) as u32 + 1
    }

    /// Keeps a 200 back until the PRACK of our description, as RFC 3262 3 demands. False: it may go.
    pub(super) fn keep_answer(&mut self, id: u64, sdp: &str) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        call.reliable.next = None;
        let must_wait = call.reliable.pending.as_ref().is_some_and(|p| p.has_sdp);
        if must_wait {
            call.reliable.answer = Some(sdp.to_owned());
        }
        must_wait
    }

    /// Sends again what no PRACK came for.
    pub(super) fn reliable_due(&mut self, now: Instant, id: u64) {
        let Some(Call { phase: Phase::Incoming(incoming), reliable, .. }) = self.calls.get_mut(&id) else { return };
        let Some(pending) = &mut reliable.pending else { return };
        if now >= pending.until {
            // RFC 3262 3: 64*T1 without a PRACK.
            self.refuse_incoming(now, id, 504, None);
        } else if now >= pending.resend_at {
            // It doubles without a cap.
            pending.interval *= 2;
            pending.resend_at = now + pending.interval;
            self.out.resend(incoming.reply.peer, pending.bytes.clone());
        }
    }

    /// RFC 3262 3 and 5.
    pub(super) fn on_prack(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let status = self.judge_prack(id, &asked);
        let Some(call) = self.calls.get_mut(&id).filter(|_| status == 200) else {
            let builder = self.described(asked.reply.response(status, None), status);
            return self.answer_once(now, &asked, builder.finish());
        };
        let was_described = call.reliable.pending.take().is_some_and(|p| p.has_sdp);
        let session = body::session(&asked.request.message).ok().flatten();
        let has_offer = matches!(&call.phase, Phase::Incoming(i) if i.has_offer);
        match session {
            Some(answer) if was_described && !has_offer => {
                call.described = call.reliable.sdp.clone().unwrap_or_default();
                call.reliable.their_answer = Some(answer.clone());
                self.acknowledge_prack(now, &asked);
                self.out.event(Event::Renegotiated { call: CallHandle(id), answer: Some(answer) });
            }
            Some(offer) => return self.take_change(now, id, asked, Carrier::Prack, Ask::default(), offer),
            None => self.acknowledge_prack(now, &asked),
        }
        self.after_prack(now, id);
    }

    fn acknowledge_prack(&mut self, now: Instant, asked: &Asked<'_, '_>) {
        let bytes = self.signed(asked.reply.response(200, None)).finish();
        self.answer_once(now, asked, bytes);
    }

    /// The status of a PRACK; 200: it acknowledges what waits for it.
    fn judge_prack(&self, id: u64, asked: &Asked<'_, '_>) -> u16 {
        let Some(call) = self.calls.get(&id) else { return 481 };
        let message = &asked.request.message;
        let Some(rack) = message.header(Name::RAck).and_then(|h| RAck::parse(&h.text())) else { return 400 };
        let cseq = match (&call.phase, &call.repeat) {
            (Phase::Incoming(incoming), _) => incoming.cseq,
            // It crossed our 200.
            (Phase::Answered, Some(repeat)) => repeat.cseq,
            _ => return 481,
        };
        let Some(pending) = call.reliable.pending.as_ref().filter(|p| p.rseq == rack.rseq) else { return 481 };
        if rack.cseq != cseq || rack.method != "INVITE" {
            return 481;
        }
        let has_offer = matches!(&call.phase, Phase::Incoming(i) if i.has_offer);
        match body::session(message) {
            Err(Unusable::Kind) => 415,
            Err(Unusable::Session) => 488,
            // RFC 3262 5: our offer has to be answered here.
            Ok(None) if pending.has_sdp && !has_offer => 400,
            Ok(Some(_)) if !pending.has_sdp || has_offer => call.offer_clash(None).unwrap_or(200),
            Ok(_) => 200,
        }
    }

    /// What a PRACK, and the answer to an offer in it, has freed.
    pub(super) fn after_prack(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.theirs.is_none()) else { return };
        if let Some(sdp) = call.reliable.answer.take() {
            self.send_ok(now, id, &sdp);
        } else if let Some((status, sdp)) = call.reliable.next.take() {
            self.send_provisional(now, id, status, sdp);
        }
        self.arm(id);
    }

    /// An offer outside INVITE: our user decides, the transaction waits.
    pub(super) fn take_change(
        &mut self,
        now: Instant,
        id: u64,
        asked: Asked<'_, '_>,
        carrier: Carrier,
        ask: Ask,
        offer: Session,
    ) {
        let Asked { request, from, key, reply, trunk } = asked;
        let machine = Machine::RequestServer(RequestServer::waiting(reply.peer.transport));
        let Some(tx) = self.remember(Entry::server(machine, key, reply.peer, Some(id))) else {
            return self.answer_stateless(&Asked { request, from, key, reply, trunk }, 503);
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_early = matches!(call.phase, Phase::Calling(_));
        call.theirs = Some(TheirReinvite {
            carrier,
            ask,
            early_offer: request.head.from.tag().filter(|_| is_early).map(|tag| (tag.to_owned(), offer.clone())),
            tx,
            reply,
            cseq: request.head.cseq.number,
            has_offer: true,
            until: now + super::called::REINVITE_WITHIN,
        });
        self.out.event(Event::Reinvite { call: CallHandle(id), offer: Some(offer) });
        self.arm(id);
    }
}
