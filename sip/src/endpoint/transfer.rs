//! Transfer by us, blind and attended: REFER and the NOTIFYs that tell its outcome (RFC 3515, 3891, 4488, 6665). It never follows a REFER of others.

use super::Endpoint;
use super::body::{self, BadFragment};
use super::call::Phase;
use super::event::{CallHandle, CommandError, Event};
use super::referred::is_false;
use super::replaces::replaces_value;
use super::requests::Asked;
use super::table::Purpose;
use crate::header::{Response, token_params};
use crate::message::{Message, Name};
use crate::text::escape_header;
use crate::transaction::T1_64;
use crate::uri::Uri;
use std::time::Instant;

/// Longest target taken, in bytes: the REFER must stay one datagram.
const TARGET_BYTES_MAX: usize = 512;

/// A REFER of ours and the subscription it made.
pub(super) struct Transfer {
    tx: u64,
    /// The REFER's number, which is also the subscription's `id` (RFC 3515 2.4.6).
    cseq: u32,
    stage: Stage,
    /// When the outcome must be known.
    until: Instant,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Stage {
    /// Nobody has reacted.
    Asked,
    /// 2xx, or a NOTIFY that overtook it.
    Accepted,
    /// The event has been said; the subscription may still talk.
    Told,
}

impl Transfer {
    pub fn deadline(&self) -> Option<Instant> {
        self.is_open().then_some(self.until)
    }

    /// The REFER goes out again under another number, and is known by that.
    pub fn renumber(&mut self, old: u32, new: u32) {
        if self.cseq == old {
            self.cseq = new;
        }
    }

    fn is_open(&self) -> bool {
        self.stage != Stage::Told
    }
}

/// What a NOTIFY says.
struct Notice {
    status: Option<u16>,
    /// The subscription ends with it.
    is_last: bool,
}

impl Endpoint {
    /// Asks the peer of an answered call to call `target` instead of us (RFC 3515, blind transfer);
    /// [`Event::Transferred`] or [`Event::TransferFailed`] tells what became of it.
    ///
    /// Where `refer_sub` is off and the peer agrees to do without NOTIFYs, its 2xx counts as the transfer.
    ///
    /// `target` is a sip:, sips: or tel: URI by itself, without brackets; what may not stand in one is
    /// escaped (`#` in a sip: URI: `%23`). URI headers and a `method` parameter are refused, for the
    /// peer would act upon them.
    ///
    /// # Errors
    /// `WrongState`: not answered and acknowledged yet, or a transfer is open; `BadUri`; `Full`;
    /// `NoSuchCall`. Nothing was sent then.
    pub fn refer(&mut self, now: Instant, call: CallHandle, target: &str) -> Result<(), CommandError> {
        let target = transfer_target(target).ok_or(CommandError::BadUri)?;
        self.send_refer(now, call, target.as_str(), None)
    }

    /// Asks the peer of an answered call to take our place in another answered call: an attended
    /// transfer (RFC 5589 7.3). The peer calls the other's peer with a Replaces header (RFC 3891), upon
    /// which that one hangs `other` up; otherwise as [`Endpoint::refer`].
    ///
    /// # Errors
    /// As [`Endpoint::refer`]; `WrongState` also where `other` is the same call or not answered, or its
    /// peer gave no tag; `BadUri`: its peer's Contact is none that can be written into a REFER.
    pub fn refer_to_call(&mut self, now: Instant, call: CallHandle, other: CallHandle) -> Result<(), CommandError> {
        let old = self.live(other)?;
        if call == other || !matches!(old.phase, Phase::Established) {
            return Err(CommandError::WrongState);
        }
        let replaces = replaces_value(old).ok_or(CommandError::WrongState)?;
        let target = old.dialog.target().split('?').next().unwrap_or_default();
        let target = transfer_target(target).filter(|t| t.sip().is_some()).ok_or(CommandError::BadUri)?;
        self.send_refer(now, call, target.as_str(), Some(&replaces))
    }

    /// `replaces`: the header that the peer's INVITE has to carry.
    fn send_refer(
        &mut self,
        now: Instant,
        call: CallHandle,
        target: &str,
        replaces: Option<&str>,
    ) -> Result<(), CommandError> {
        let id = call.0;
        let state = self.live(call)?;
        if !matches!(state.phase, Phase::Established) || state.transfer.as_ref().is_some_and(Transfer::is_open) {
            return Err(CommandError::WrongState);
        }
        if self.table.len() >= self.config.max_transactions {
            return Err(CommandError::Full);
        }
        let branch = self.ids.branch();
        let state = self.live(call)?;
        let outgoing = state.dialog.outgoing(branch);
        // RFC 3892 2.1: who asks, as the peer knows us.
        let referrer = state.dialog.local_uri().map(|uri| format!("<{uri}>"));
        let contact = self.contact(outgoing.peer);
        let referrer = referrer.unwrap_or_else(|| contact.clone());
        let headers = replaces.map(|r| format!("?Replaces={}", escape_header(r))).unwrap_or_default();
        let mut builder = outgoing
            .builder("REFER", self.local(outgoing.peer))
            .header(Name::Contact, &contact)
            .header(Name::ReferTo, &format!("<{target}{headers}>"))
            .header(Name::ReferredBy, &referrer)
            .header(Name::Allow, self.allow());
        let mut supported = Vec::from_iter(replaces.map(|_| "replaces"));
        if !self.config.refer_sub {
            // RFC 4488 4: both, or the peer is free to subscribe us.
            supported.push("norefersub");
            builder = builder.header(Name::ReferSub, "false");
        }
        if !supported.is_empty() {
            builder = builder.header(Name::Supported, &supported.join(", "));
        }
        let bytes = self.named(builder).finish();
        let tx = self.send_built(now, "REFER", &outgoing, Some(id), Purpose::Refer, bytes);
        let tx = tx.ok_or(CommandError::Full)?;
        let until = now + T1_64 + self.config.transfer_within;
        self.live(call)?.transfer = Some(Transfer { tx, cseq: outgoing.cseq, stage: Stage::Asked, until });
        self.arm(id);
        Ok(())
    }

    /// RFC 3515 2.4.2.
    pub(super) fn on_refer_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some((id, stage)) = self.transfer_of(tx) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        match response.status {
            200..=299 => {
                call.dialog.refresh_target(&response.head);
                if let Some(transfer) = call.transfer.as_mut().filter(|t| t.stage == Stage::Asked) {
                    transfer.stage = Stage::Accepted;
                }
                let agreed = response.message.header(Name::ReferSub);
                if !self.config.refer_sub && agreed.is_some_and(|h| is_false(&h.text())) {
                    // RFC 4488 4: no NOTIFY will come.
                    self.conclude(id, Ok(()));
                }
            }
            // A NOTIFY has shown that the REFER arrived: some hop lost the answer, no more.
            408 if stage != Stage::Asked => {}
            status @ 300.. => self.refer_failed(now, id, status),
            _ => {}
        }
        self.arm(id);
    }

    /// Timer F or no way there: as if 408 or 503 (RFC 3261 8.1.3.1).
    pub(super) fn refer_unanswered(&mut self, now: Instant, id: u64, tx: u64, status: u16) {
        if self.transfer_of(tx).is_some_and(|(_, stage)| stage == Stage::Asked) {
            self.refer_failed(now, id, status);
        }
    }

    /// No subscription came of it; 408 and 481 end the call as well (RFC 3261 12.2.1.2).
    fn refer_failed(&mut self, now: Instant, id: u64, status: u16) {
        self.conclude(id, Err(status));
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.transfer = None;
        if matches!(status, 408 | 481) && !call.is_over {
            self.peer_gone(now, id, status);
        }
    }

    /// The call whose present transfer this transaction is.
    fn transfer_of(&self, tx: u64) -> Option<(u64, Stage)> {
        let id = self.table.get(tx)?.call?;
        let transfer = self.calls.get(&id)?.transfer.as_ref().filter(|t| t.tx == tx)?;
        Some((id, transfer.stage))
    }

    /// RFC 3515 2.4.4, RFC 6665 4.1.3.
    pub(super) fn on_notify(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let read = self.read_notify(id, &asked.request.message);
        let status = read.as_ref().map_or_else(|status| *status, |_| 200);
        let mut builder = self.signed(asked.reply.response(status, None));
        builder = match status {
            489 => builder.header(Name::AllowEvents, "refer"),
            415 => builder.header(Name::Accept, "message/sipfrag"),
            _ => builder,
        };
        self.answer_once(now, &asked, builder.finish());
        let Ok(notice) = read else { return };
        if let Some(call) = self.calls.get_mut(&id) {
            call.dialog.refresh_target(&asked.request.head);
            // 2.4.4: it may overtake the 202.
            if let Some(transfer) = call.transfer.as_mut().filter(|t| t.stage == Stage::Asked) {
                transfer.stage = Stage::Accepted;
            }
        }
        match notice.status {
            Some(200..=299) => self.conclude(id, Ok(())),
            Some(status @ 300..) => self.conclude(id, Err(status)),
            // A subscription that ends without an outcome leaves none to wait for.
            _ if notice.is_last => self.conclude(id, Err(408)),
            _ => {}
        }
        if notice.is_last
            && let Some(call) = self.calls.get_mut(&id)
        {
            call.transfer = None;
        }
    }

    /// The error is the status to answer.
    fn read_notify(&self, id: u64, message: &Message<'_>) -> Result<Notice, u16> {
        let event = message.header(Name::Event).and_then(|h| token_params(&h.text()));
        let Some((_, params)) = event.filter(|(package, _)| package == "refer") else { return Err(489) };
        let transfer = self.calls.get(&id).and_then(|c| c.transfer.as_ref()).ok_or(481_u16)?;
        // RFC 3515 2.4.6 wants an id from the second REFER on; many leave it out nonetheless, and we
        // keep one subscription, so that without an id there is no doubt.
        if params.get("id").is_some_and(|id| id.parse() != Ok(transfer.cseq)) {
            return Err(481);
        }
        let state = message.header(Name::SubscriptionState).map(|h| token_params(&h.text()).ok_or(400_u16));
        let is_last = state.transpose()?.is_some_and(|(state, _)| state == "terminated");
        let status = body::sipfrag(message).map_err(|why| match why {
            BadFragment::Kind => 415_u16,
            BadFragment::Malformed => 400,
        })?;
        Ok(Notice { status, is_last })
    }

    /// The outcome never came.
    pub(super) fn transfer_due(&mut self, now: Instant, id: u64) {
        let transfer = self.calls.get(&id).and_then(|c| c.transfer.as_ref());
        if transfer.and_then(Transfer::deadline).is_some_and(|at| now >= at) {
            self.conclude(id, Err(408));
        }
    }

    /// The peer hangs up. Where it has accepted our REFER, that is how most say that they went.
    pub(super) fn left_for_transfer(&mut self, id: u64) {
        let transfer = self.calls.get(&id).and_then(|c| c.transfer.as_ref());
        if transfer.is_some_and(|t| t.stage == Stage::Accepted) {
            self.conclude(id, Ok(()));
        }
    }

    /// Says what became of a transfer, once, and never after the call's last event.
    fn conclude(&mut self, id: u64, outcome: Result<(), u16>) {
        let Some(state) = self.calls.get_mut(&id).filter(|c| !c.is_over) else { return };
        let Some(transfer) = state.transfer.as_mut().filter(|t| t.is_open()) else { return };
        transfer.stage = Stage::Told;
        let call = CallHandle(id);
        self.out.event(match outcome {
            Ok(()) => Event::Transferred { call },
            Err(status) => Event::TransferFailed { call, status },
        });
    }
}

/// An address to send a peer to, or `None` for anything that could mean more than an address.
fn transfer_target(text: &str) -> Option<Uri> {
    let uri = Uri::parse(text).ok().filter(|_| text.len() <= TARGET_BYTES_MAX)?;
    let (_, rest) = text.split_once(':')?;
    match uri.sip() {
        Some(sip) => {
            let has_orders = sip.headers.is_some() || sip.param("method").is_some();
            // RFC 3261 25.1: reserved, mark, escaped, and the brackets of IPv6.
            let is_clean = is_written_with(rest, b"-_.!~*'();/?:@&=+$,[]");
            (!has_orders && is_clean && sip.user.as_deref() != Some("")).then_some(uri)
        }
        None if uri.scheme() == "tel" => {
            let number = rest.split(';').next()?;
            let has_digit = number.bytes().any(|b| b.is_ascii_digit());
            // RFC 3966 3: digits, visual separators, and in a local number `*` and `#`.
            let is_number = number.bytes().all(|b| b.is_ascii_digit() || b"+-.()*#".contains(&b));
            let is_clean = is_written_with(rest, b"-_.!~*'();/:&=+$[]#");
            (has_digit && is_number && is_clean && !number.get(1..)?.contains('+')).then_some(uri)
        }
        None => None,
    }
}

/// Letters, digits, `marks`, and escapes of anything but control characters.
fn is_written_with(text: &str, marks: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_good = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                digit().zip(digit()).is_some_and(|(high, low)| high >= 2 && (high, low) != (7, 15))
            }
            _ => byte.is_ascii_alphanumeric() || marks.contains(&byte),
        };
        if !is_good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let good = [
            "sip:bob@example.com",
            "SIP:+77010000000@192.0.2.20:5070;transport=udp;user=phone",
            "sips:a%20b%23@[2001:db8::1]",
            "sip:192.0.2.20",
            "tel:+7-701-000-00-00",
            "tel:*98#;phone-context=example.com",
            "tel:112",
        ];
        for text in good {
            assert!(transfer_target(text).is_some(), "{text}");
        }
        let long = format!("sip:{}@example.com", "a".repeat(TARGET_BYTES_MAX));
        let bad = [
            "",
            "bob",
            "sip:",
            "sip:@h",
            "sip::secret@h",
            "tel:",
            "tel:+",
            "tel:bob",
            "tel:7+7",
            "tel:7?x=y",
            "mailto:bob@example.com",
            "http://example.com",
            "urn:service:sos",
            "<sip:bob@example.com>",
            "Bob <sip:bob@example.com>",
            "sip:bob@example.com\r\nInjected: x",
            "sip:bob\n@example.com",
            "sip:bob%0d%0aInjected@example.com",
            "sip:bob%00@example.com",
            "sip:bob%7f@example.com",
            "sip:bob%4@example.com",
            "sip:bob%@example.com",
            "sip:bob\u{2028}@example.com",
            "sip:б@example.com",
            "sip:bob@exämple.com",
            "sip:a b@example.com",
            "sip:a\"@example.com",
            "sip:a#@example.com",
            "sip:a\\@example.com",
            "sip:bob@example.com?Replaces=x",
            "sip:bob@example.com;method=BYE",
            "sip:bob@example.com;Method=BYE",
            &long,
        ];
        for text in bad {
            assert!(transfer_target(text).is_none(), "{text}");
        }
    }
}
