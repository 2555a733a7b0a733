//! What our user decides about its calls. A command on a call that is over says so and does nothing.

use super::Endpoint;
use super::call::{Call, Phase};
use super::config::{InviteRequest, Reason};
use super::event::{CallHandle, CommandError, EndCause};
use std::time::{Duration, Instant};

impl Endpoint {
    /// 180 Ringing: [`Endpoint::progress`] without early media.
    pub fn ring(&mut self, now: Instant, call: CallHandle) -> Result<(), CommandError> {
        self.progress(now, call, 180, None)
    }

    /// 200 OK with our description, retransmitted until acknowledged. A description that went out
    /// reliably before (`progress`) stands: it is repeated in place of `sdp`, and the 200 waits for the
    /// caller to acknowledge it.
    ///
    /// # Errors
    /// `WrongState`: not waiting, answered already, or the caller's change of early media is undecided
    /// (`Reinvite`); `NoSuchCall`.
    pub fn answer(&mut self, now: Instant, call: CallHandle, sdp: &str) -> Result<(), CommandError> {
        self.answer_with(now, call, sdp, Vec::new())
    }

    /// [`Endpoint::answer`] with more headers in the 200, name and value; line breaks in them become spaces.
    ///
    /// # Errors
    /// As `answer`.
    pub fn answer_with(
        &mut self,
        now: Instant,
        call: CallHandle,
        sdp: &str,
        headers: Vec<(String, String)>,
    ) -> Result<(), CommandError> {
        self.waiting(call)?;
        let state = self.live(call)?;
        if state.theirs.is_some() {
            return Err(CommandError::WrongState);
        }
        if let Phase::Incoming(incoming) = &mut state.phase {
            incoming.headers = headers;
        }
        if !self.keep_answer(call.0, sdp) {
            self.send_ok(now, call.0, sdp);
        }
        Ok(())
    }

    /// Refuses an incoming call with a final status 300 to 699, retransmitted until acknowledged.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallHandle,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Result<(), CommandError> {
        self.waiting(call)?;
        if !(300..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        self.turned_away(now, call.0, status);
        self.refuse_incoming(now, call.0, status, retry_after.map(|d| d.as_secs().max(1)));
        Ok(())
    }

    /// Ends a call in any state: BYE where it is answered (held back until the ACK, RFC 3261 15),
    /// 480 where it rings here, CANCEL where it rings there. The reason goes with BYE and CANCEL (RFC 3326).
    pub fn hangup(&mut self, now: Instant, call: CallHandle, reason: Option<Reason>) -> Result<(), CommandError> {
        let id = call.0;
        let state = self.live(call)?;
        match state.phase {
            Phase::Incoming(_) => self.refuse_incoming(now, id, 480, None),
            Phase::Calling(_) => {
                state.goodbye = reason;
                return self.cancel(now, call);
            }
            Phase::Answered => {
                state.goodbye = reason;
                self.end_call(id, EndCause::LocalHangup);
            }
            Phase::Offered(_) | Phase::Established | Phase::Ending => {
                self.end_call(id, EndCause::LocalHangup);
                self.refuse_offer(id);
                self.send_bye(now, id, reason.as_ref());
            }
        }
        Ok(())
    }

    /// Starts a call.
    pub fn invite(&mut self, now: Instant, request: InviteRequest) -> Result<CallHandle, CommandError> {
        self.start_call(now, &request)
    }

    /// Gives up an outgoing call that is not answered yet.
    pub fn cancel(&mut self, now: Instant, call: CallHandle) -> Result<(), CommandError> {
        if !matches!(self.live(call)?.phase, Phase::Calling(_)) {
            return Err(CommandError::WrongState);
        }
        self.fail_call(call.0, 487);
        self.give_up(now, call.0);
        Ok(())
    }

    /// Our answer to the offer in [`Event::Answered`](crate::Event::Answered), where our INVITE had none: the
    /// ACK carries it (RFC 3261 13.2.2.4). Until then none is sent, and within 32 s the peer gives up.
    ///
    /// # Errors
    /// `WrongState`: nobody has made us an offer, or it is answered already; `NoSuchCall`.
    pub fn acknowledge(&mut self, _now: Instant, call: CallHandle, sdp: &str) -> Result<(), CommandError> {
        self.live(call)?;
        if self.answer_offer(call.0, Some(sdp)) { Ok(()) } else { Err(CommandError::WrongState) }
    }

    /// Accepts the peer's change with our answer (or offer, where it made none).
    pub fn accept_reinvite(&mut self, now: Instant, call: CallHandle, sdp: &str) -> Result<(), CommandError> {
        if self.live(call)?.theirs.is_some() {
            self.accept_change(now, call.0, sdp);
        } else if !self.answer_early(now, call.0, sdp) {
            return Err(CommandError::WrongState);
        }
        Ok(())
    }

    /// Refuses the peer's change (488 as a rule); the session stays as it was. An offer before the answer to
    /// an INVITE of ours without one cannot be refused by itself (RFC 3262 5): the call is given up.
    pub fn reject_reinvite(&mut self, now: Instant, call: CallHandle, status: u16) -> Result<(), CommandError> {
        let state = self.live(call)?;
        let is_early = state.theirs.is_none() && state.early_offer().is_some();
        if state.theirs.is_none() && !is_early {
            return Err(CommandError::WrongState);
        }
        if !(300..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        if is_early {
            self.fail_call(call.0, status);
            self.give_up(now, call.0);
            return Ok(());
        }
        self.drop_their_reinvite(now, call.0, status);
        self.after_prack(now, call.0);
        self.arm(call.0);
        Ok(())
    }

    /// Offers the peer a change of the session. A collision (491) is tried again by itself.
    pub fn reinvite(&mut self, now: Instant, call: CallHandle, sdp: &str) -> Result<(), CommandError> {
        let state = self.live(call)?;
        if let Some(refresh) = state.ours.as_mut().filter(|o| o.is_refresh && o.then.is_none()) {
            // A refresh is nothing our user knows of: this goes out right behind it.
            refresh.then = Some(sdp.to_owned());
            return Ok(());
        }
        if state.ours.is_some() || !state.may_offer() {
            return Err(CommandError::WrongState);
        }
        self.offer_change(now, call.0, sdp.to_owned())
    }

    /// A call that is not over.
    pub(super) fn live(&mut self, call: CallHandle) -> Result<&mut Call, CommandError> {
        self.calls.get_mut(&call.0).filter(|c| !c.is_over).ok_or(CommandError::NoSuchCall)
    }

    /// A call that waits for our answer.
    pub(super) fn waiting(&mut self, call: CallHandle) -> Result<(), CommandError> {
        let state = self.live(call)?;
        match state.phase {
            Phase::Incoming(_) if !state.reliable.is_answered() => Ok(()),
            _ => Err(CommandError::WrongState),
        }
    }
}
