//! One call in the place of another (RFC 3891): INVITEs with Replaces to us. They end nothing before their own call is answered.

use super::Endpoint;
use super::call::{Call, Phase};
use super::event::EndCause;
use crate::dialog::Dialog;
use crate::header::Replaces;
use crate::message::{Message, Name};
use std::time::Instant;

impl Endpoint {
    /// RFC 3891 3: the call whose place an INVITE wants; the error is the status that refuses it.
    pub(super) fn replaced_by(&self, invite: &Message<'_>) -> Result<Option<u64>, u16> {
        let mut all = invite.all(Name::Replaces);
        let Some(header) = all.next().filter(|_| self.config.accept_replaces) else { return Ok(None) };
        let wanted = Replaces::parse(&header.text()).filter(|_| all.next().is_none()).ok_or(400_u16)?;
        let key = self.dialog_key(&wanted.call_id, &wanted.to_tag);
        let (id, call) = self.dialogs.get(&key).and_then(|id| Some((*id, self.calls.get(id)?))).ok_or(481_u16)?;
        // 3: a tag of zero stands for none, which RFC 2543 peers have.
        let is_peer = |d: &Dialog| d.matches(Some(&wanted.from_tag)) || (wanted.from_tag == "0" && d.matches(None));
        let is_early = call.early.iter().any(|e| is_peer(&e.dialog));
        match &call.phase {
            // 3: an early dialog counts only where we made it.
            Phase::Calling(_) if is_early && !call.is_over => Ok(Some(id)),
            Phase::Calling(_) | Phase::Incoming(_) => Err(481),
            _ if !is_peer(&call.dialog) => Err(481),
            Phase::Ending => Err(603),
            _ if call.is_over => Err(603),
            _ if wanted.early_only => Err(486),
            Phase::Answered | Phase::Offered(_) | Phase::Established => Ok(Some(id)),
        }
    }

    /// The new call is answered: the old one makes room.
    pub(super) fn make_room(&mut self, now: Instant, old: u64) {
        let Some(call) = self.calls.get(&old).filter(|c| !c.is_over) else { return };
        match call.phase {
            Phase::Calling(_) => {
                self.fail_call(old, 487);
                self.give_up(now, old);
            }
            // Its BYE waits for the ACK (RFC 3261 15).
            Phase::Answered => self.end_call(old, EndCause::Replaced),
            Phase::Offered(_) | Phase::Established => {
                self.end_call(old, EndCause::Replaced);
                self.refuse_offer(old);
                self.send_bye(now, old, None);
            }
            Phase::Incoming(_) | Phase::Ending => {}
        }
    }
}

/// `call-id;to-tag=..;from-tag=..` as the peer of `call` has to see it; `None`: it has no tag.
pub(super) fn replaces_value(call: &Call) -> Option<String> {
    let dialog = &call.dialog;
    let their_tag = dialog.remote_tag.as_ref()?;
    Some(format!("{};to-tag={their_tag};from-tag={}", dialog.call_id, dialog.local_tag))
}
