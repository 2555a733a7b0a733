//! Transfers that a peer asks of us: its REFER, and our NOTIFYs about what comes of it (RFC 3515, 3891, 3892, 4488). They never call anybody by themselves.

use super::Endpoint;
use super::call::Phase;
use super::event::{CallHandle, CommandError, Event};
use super::reply::Reply;
use super::requests::Asked;
use super::table::{Entry, Machine, Purpose};
use crate::header::{NameAddr, Replaces, Response, has_token};
use crate::message::{Message, Name, reason_phrase};
use crate::private::Private;
use crate::text::unescape;
use crate::transaction::RequestServer;
use std::time::{Duration, Instant};

/// How long our user may think about a REFER, whose sender waits 32 s (timer F).
const REFER_WITHIN: Duration = Duration::from_secs(30);
/// Longest Refer-To and Referred-By taken, in bytes.
const VALUE_BYTES_MAX: usize = 1024;

/// A REFER of the peer's and the subscription it made.
pub(super) struct Referred {
    /// Its number, which is also the subscription's `id` (RFC 3515 2.4.6).
    cseq: u32,
    stage: Stage,
    /// It wants no subscription, and says so (RFC 4488).
    is_quiet: bool,
    /// When our user has thought long enough, or the subscription ends.
    pub until: Instant,
}

enum Stage {
    Asked { tx: u64, reply: Box<Reply> },
    Subscribed,
}

/// What a REFER asks for.
struct Wanted {
    target: String,
    replaces: Option<String>,
    referred_by: Option<String>,
}

impl Endpoint {
    /// RFC 3515 2.4.2. Our user decides.
    pub(super) fn on_refer(&mut self, now: Instant, id: u64, asked: Asked<'_, '_>) {
        let message = &asked.request.message;
        let Some(call) = self.calls.get(&id) else { return };
        let wanted = match &call.phase {
            Phase::Ending => Err(481),
            _ if call.is_over => Err(481),
            // One at a time, and not before the call stands.
            Phase::Established if call.referred.is_none() => read_refer(message),
            _ => Err(491),
        };
        let is_quiet = message.header(Name::ReferSub).is_some_and(|h| is_false(&h.text()))
            && [Name::Supported, Name::Require].into_iter().any(|n| has_token(message, n, "norefersub"));
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(status) => {
                let bytes = self.described(asked.reply.response(status, None), status).finish();
                return self.answer_once(now, &asked, bytes);
            }
        };
        let Asked { request, from, key, reply, trunk } = asked;
        let machine = Machine::RequestServer(RequestServer::waiting(reply.peer.transport));
        let Some(tx) = self.remember(Entry::server(machine, key, reply.peer, Some(id))) else {
            return self.answer_stateless(&Asked { request, from, key, reply, trunk }, 503);
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.dialog.refresh_target(&request.head);
            let stage = Stage::Asked { tx, reply: Box::new(reply) };
            call.referred =
                Some(Referred { cseq: request.head.cseq.number, stage, is_quiet, until: now + REFER_WITHIN });
        }
        self.out.event(Event::Referred {
            call: CallHandle(id),
            target: Private::new(wanted.target),
            replaces: wanted.replaces.map(Private::new),
            referred_by: wanted.referred_by.map(Private::new),
        });
    }

    /// Goes along with a transfer: 202, and the peer is told that we are trying. What comes of it is
    /// told by [`Endpoint::refer_progress`]; without a final status within `answer_within` the peer is
    /// told 408. The call itself goes on until either side hangs up.
    ///
    /// # Errors
    /// `WrongState`: no REFER waits; `NoSuchCall`.
    pub fn accept_refer(&mut self, now: Instant, call: CallHandle) -> Result<(), CommandError> {
        let id = call.0;
        self.undecided_refer(call)?;
        let Some(mut referred) = self.live(call)?.referred.take() else { return Err(CommandError::WrongState) };
        let Stage::Asked { tx, reply } = std::mem::replace(&mut referred.stage, Stage::Subscribed) else {
            return Err(CommandError::WrongState);
        };
        let contact = self.contact(reply.peer);
        let mut builder = self.signed(reply.response(202, None)).header(Name::Contact, &contact);
        if referred.is_quiet {
            builder = builder.header(Name::ReferSub, "false").header(Name::Supported, &self.supported().join(", "));
        }
        self.respond(now, tx, 202, builder.finish());
        if !referred.is_quiet {
            referred.until = now + self.config.answer_within;
            self.live(call)?.referred = Some(referred);
            self.notify(now, id, 100, None);
        }
        self.arm(id);
        Ok(())
    }

    /// Declines a transfer with a final status 300 to 699 (603 as a rule); the call goes on.
    ///
    /// # Errors
    /// `WrongState`: no REFER waits; `BadStatus`; `NoSuchCall`.
    pub fn reject_refer(&mut self, now: Instant, call: CallHandle, status: u16) -> Result<(), CommandError> {
        if !(300..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        self.undecided_refer(call)?;
        self.drop_referred(now, call.0, status);
        self.arm(call.0);
        Ok(())
    }

    /// Tells the peer how its transfer goes: a status 100 to 699 of our call to the target; a final one
    /// is the last. Where the peer does not listen (any more) it does nothing.
    ///
    /// # Errors
    /// `WrongState`: the REFER is not decided; `BadStatus`; `NoSuchCall`.
    pub fn refer_progress(&mut self, now: Instant, call: CallHandle, status: u16) -> Result<(), CommandError> {
        if !(100..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        let state = self.live(call)?;
        match &state.referred {
            Some(Referred { stage: Stage::Asked { .. }, .. }) => return Err(CommandError::WrongState),
            Some(_) => self.notify(now, call.0, status, (status >= 200).then_some("noresource")),
            None => {}
        }
        self.arm(call.0);
        Ok(())
    }

    /// A REFER that waits for our user.
    fn undecided_refer(&mut self, call: CallHandle) -> Result<(), CommandError> {
        match &self.live(call)?.referred {
            Some(Referred { stage: Stage::Asked { .. }, .. }) => Ok(()),
            _ => Err(CommandError::WrongState),
        }
    }

    /// RFC 3515 2.4.4 and 2.4.5. With a reason it is the last (RFC 6665 4.1.3).
    fn notify(&mut self, now: Instant, id: u64, status: u16, end: Option<&str>) {
        let branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(referred) = &call.referred else { return };
        let (cseq, left) = (referred.cseq, referred.until.saturating_duration_since(now).as_secs());
        let outgoing = call.dialog.outgoing(branch);
        if end.is_some() {
            call.referred = None;
        }
        let state = end.map_or_else(|| format!("active;expires={left}"), |why| format!("terminated;reason={why}"));
        let builder = outgoing
            .builder("NOTIFY", self.local(outgoing.peer))
            .header(Name::Contact, &self.contact(outgoing.peer))
            .header(Name::Event, &format!("refer;id={cseq}"))
            .header(Name::SubscriptionState, &state);
        let fragment = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
        let bytes = self.named(builder).finish_with("message/sipfrag;version=2.0", fragment.as_bytes());
        self.send_built(now, "NOTIFY", &outgoing, Some(id), Purpose::Notify, bytes);
    }

    /// RFC 6665 4.2.2: a peer that knows no such subscription has none.
    pub(super) fn on_notify_response(&mut self, tx: u64, response: &Response<'_>) {
        if response.status >= 300
            && let Some(call) = self.table.get(tx).and_then(|e| e.call).and_then(|id| self.calls.get_mut(&id))
        {
            call.referred.take_if(|r| matches!(r.stage, Stage::Subscribed));
        }
    }

    /// Refuses a REFER that nobody decided, and forgets the subscription of one that was.
    pub(super) fn drop_referred(&mut self, now: Instant, id: u64, status: u16) {
        let Some(referred) = self.calls.get_mut(&id).and_then(|c| c.referred.take()) else { return };
        if let Stage::Asked { tx, reply } = referred.stage {
            let bytes = self.described(reply.response(status, None), status).finish();
            self.respond(now, tx, status, bytes);
        }
    }

    pub(super) fn referred_due(&mut self, now: Instant, id: u64) {
        let Some(referred) = self.calls.get(&id).and_then(|c| c.referred.as_ref()) else { return };
        match referred.stage {
            _ if now < referred.until => {}
            Stage::Asked { .. } => self.drop_referred(now, id, 480),
            Stage::Subscribed => self.notify(now, id, 408, Some("timeout")),
        }
    }
}

/// The error is the status to answer.
fn read_refer(message: &Message<'_>) -> Result<Wanted, u16> {
    let mut all = message.all(Name::ReferTo);
    let (Some(header), None) = (all.next(), all.next()) else { return Err(400) };
    let referred_by = message.header(Name::ReferredBy).map(|h| h.text().into_owned());
    let is_long = |text: &str| text.len() > VALUE_BYTES_MAX;
    if is_long(&header.text()) || referred_by.as_deref().is_some_and(is_long) {
        return Err(413);
    }
    let uri = NameAddr::parse(&header.text()).ok_or(400_u16)?.uri;
    let Some(sip) = uri.sip() else {
        let target = uri.as_str().to_owned();
        return if uri.scheme() == "tel" { Ok(Wanted { target, replaces: None, referred_by }) } else { Err(416) };
    };
    // RFC 3261 19.1.1: a URI may order any method; we follow the way to a call only.
    if sip.param("method").is_some_and(|m| m != "INVITE") {
        return Err(403);
    }
    let headers = sip.headers.as_deref().unwrap_or_default().split('&').filter_map(|h| h.split_once('='));
    let mut replaces = headers.filter(|(name, _)| Name::parse(&unescape(name)) == Name::Replaces);
    let value = replaces.next().map(|(_, value)| unescape(value));
    if value.as_deref().is_some_and(|v| Replaces::parse(v).is_none()) || replaces.next().is_some() {
        return Err(400);
    }
    // What else the URI wants to have in our INVITE is not the peer's to write.
    let target = uri.as_str().split('?').next().unwrap_or_default().to_owned();
    Ok(Wanted { target, replaces: value, referred_by })
}

/// `Refer-Sub: false` (RFC 4488 4).
pub(super) fn is_false(value: &str) -> bool {
    value.split(';').next().is_some_and(|v| v.trim().eq_ignore_ascii_case("false"))
}
