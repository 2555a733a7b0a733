//! UPDATE from a peer (RFC 3311), and what we answer to an offer outside INVITE. It never decides about the offer.

use super::Endpoint;
use super::body::{self, Unusable};
use super::call::{Carrier, Phase};
use super::event::{CallHandle, Event};
use super::requests::Asked;
use super::session::Ask;
use crate::message::Name;
use std::time::Instant;

impl Endpoint {
    /// RFC 3311 5.2. Without an offer it moves the target and refreshes the session, no more.
    pub(super) fn on_update(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.session.learn(&asked.request.message);
        let ask = Ask::read(&asked.request.message);
        let offer = body::session(&asked.request.message);
        let is_pending = call.theirs.as_ref().is_some_and(|t| t.carrier == Carrier::Update);
        let remote_tag = asked.request.head.from.tag();
        let is_short = ask.is_below(self.min_se_s());
        let Some(call) = self.calls.get_mut(&id) else { return };
        let status = match &offer {
            _ if call.is_over || matches!(call.phase, Phase::Ending) => 481,
            Err(Unusable::Kind) => 415,
            Err(Unusable::Session) => 488,
            _ if is_short => 422,
            _ if is_pending => 500,
            Ok(None) => 200,
            Ok(Some(_)) => call.offer_clash(remote_tag).unwrap_or(200),
        };
        if status != 200 {
            return self.refuse_update(now, &asked, status);
        }
        if let Some(dialog) = call.dialog_with(remote_tag) {
            dialog.refresh_target(&asked.request.head);
        }
        match offer {
            Ok(Some(offer)) => self.take_change(now, id, asked, Carrier::Update, ask, offer),
            _ => {
                let Some(call) = self.calls.get(&id) else { return };
                let contact = self.contact(asked.reply.peer);
                let builder = asked.reply.dialog_response(200, &call.dialog.local_tag, &contact);
                let builder = self.change_headers(now, id, ask, builder);
                self.answer_once(now, &asked, builder.finish());
            }
        }
    }

    fn refuse_update(&mut self, now: Instant, asked: &Asked<'_, '_>, status: u16) {
        let mut builder = self.described(asked.reply.response(status, None), status);
        if status == 500 {
            // RFC 3311 5.2: a random value between 0 and 10 seconds.
            builder = builder.header(Name::RetryAfter, &(self.ids.next() % 11).to_string());
        }
        self.answer_once(now, asked, builder.finish());
    }

    /// What a 200 to UPDATE says. Before the answer no session runs that could expire.
    fn change_headers(
        &mut self,
        now: Instant,
        id: u64,
        ask: Ask,
        builder: crate::message::Builder,
    ) -> crate::message::Builder {
        let builder = self.signed(builder).header(Name::Allow, self.allow());
        let is_early = self.calls.get(&id).is_none_or(|c| matches!(c.phase, Phase::Incoming(_) | Phase::Calling(_)));
        if is_early { builder } else { self.session_agreed(now, id, ask, builder) }
    }

    /// Our answer to whatever carried the peer's offer.
    pub(super) fn accept_change(&mut self, now: Instant, id: u64, sdp: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.theirs.as_ref().is_none_or(|t| t.carrier == Carrier::Invite) {
            return self.send_ok(now, id, sdp);
        }
        let Some(theirs) = call.theirs.take() else { return };
        sdp.clone_into(&mut call.described);
        call.reliable.replace_sdp(sdp);
        if let Some((tag, offer)) = theirs.early_offer
            && let Some(early) = call.early.iter_mut().find(|e| e.dialog.matches(Some(&tag)))
        {
            early.remote = Some(offer);
        }
        let local_tag = call.dialog.local_tag.clone();
        let builder = theirs.reply.dialog_response(200, &local_tag, &self.contact(theirs.reply.peer));
        let builder = match theirs.carrier {
            Carrier::Prack => self.signed(builder),
            _ => self.change_headers(now, id, theirs.ask, builder),
        };
        self.respond(now, theirs.tx, 200, builder.finish_with("application/sdp", sdp.as_bytes()));
        self.out.event(Event::Renegotiated { call: CallHandle(id), answer: None });
        self.after_prack(now, id);
        self.arm(id);
    }
}
