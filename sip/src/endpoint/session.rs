//! Session timers (RFC 4028): who refreshes, how often, and the end of a call that nobody refreshes. They never change a description.

use super::Endpoint;
use super::call::{Call, Calling, Cancel, Phase};
use super::caller::retry_after;
use super::event::EndCause;
use super::table::Purpose;
use crate::header::{Response, SessionExpires, has_token};
use crate::message::{self, Builder, Message, Name, StartLine, number};
use std::time::{Duration, Instant};

/// RFC 4028 5: the least that anybody may ask for, which needs no header.
const MIN_SE_S: u32 = 90;
/// RFC 4028 10: how long before its expiry a session is ended.
const MARGIN: Duration = Duration::from_secs(32);
/// After a refresh that failed for reasons of its own.
const REFRESH_AGAIN: Duration = Duration::from_secs(10);
/// While another exchange is open.
const REFRESH_SOON: Duration = Duration::from_secs(2);

/// What a request says about session timers.
#[derive(Copy, Clone, Default)]
pub(super) struct Ask {
    has_timer: bool,
    expires: Option<SessionExpires>,
    min_se_s: u32,
}

impl Ask {
    pub fn read(message: &Message<'_>) -> Self {
        let expires = expires(message);
        // Whoever names a refresher knows the extension, whatever else is left out.
        let is_named = expires.is_some_and(|e| e.by_client.is_some());
        let has_timer = [Name::Supported, Name::Require].into_iter().any(|n| has_token(message, n, "timer"));
        Self { has_timer: has_timer || is_named, expires, min_se_s: min_se_s(message).unwrap_or(0) }
    }

    /// RFC 4028 9: too short an interval is refused where the client knows what 422 means.
    pub fn is_below(self, min_s: u32) -> bool {
        self.has_timer && self.expires.is_some_and(|e| e.seconds < min_s)
    }
}

fn expires(message: &Message<'_>) -> Option<SessionExpires> {
    message.header(Name::SessionExpires).and_then(|h| SessionExpires::parse(&h.text()))
}

fn min_se_s(message: &Message<'_>) -> Option<u32> {
    let text = message.header(Name::MinSe)?.text().into_owned();
    let digits = text.split(';').next().unwrap_or_default().trim();
    number(digits.as_bytes()).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// One call's timer.
#[derive(Default)]
pub(super) struct SessionTimer {
    /// `None`: the session does not expire.
    agreed: Option<Agreed>,
    /// The peer takes UPDATE.
    has_update: bool,
    /// What a 422 has taught us.
    min_se_s: u32,
    /// Our UPDATE on its way.
    update: Option<u64>,
    refresh_at: Option<Instant>,
    ends_at: Option<Instant>,
}

#[derive(Copy, Clone)]
struct Agreed {
    seconds: u32,
    /// We refresh.
    is_ours: bool,
}

impl SessionTimer {
    pub fn deadline(&self) -> Option<Instant> {
        [self.refresh_at, self.ends_at].into_iter().flatten().min()
    }

    /// Every 2xx to an INVITE or UPDATE says anew what holds (RFC 4028 7.2, 9).
    fn agree(&mut self, now: Instant, agreed: Option<Agreed>) {
        self.agreed = agreed;
        let interval = agreed.map(|a| Duration::from_secs(a.seconds.into()));
        self.ends_at = interval.map(|i| now + i - MARGIN.min(i / 3));
        self.refresh_at = interval.filter(|_| agreed.is_some_and(|a| a.is_ours)).map(|i| now + i / 2);
    }

    /// The next refresh; without a timer there is none.
    fn refresh_in(&mut self, now: Instant, wait: Duration) {
        self.refresh_at = self.agreed.filter(|a| a.is_ours).map(|_| now + wait);
    }

    /// What the peer takes, as far as it says so.
    pub fn learn(&mut self, message: &Message<'_>) {
        if message.header(Name::Allow).is_some() {
            self.has_update = has_token(message, Name::Allow, "UPDATE");
        }
    }
}

impl Endpoint {
    /// The shortest interval we agree to.
    pub(super) fn min_se_s(&self) -> u32 {
        u32::try_from(self.config.min_se.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    fn wanted_s(&self) -> Option<u32> {
        let wanted = self.config.session_expires?.as_secs();
        Some(u32::try_from(wanted).unwrap_or(u32::MAX).max(self.min_se_s()))
    }

    /// RFC 4028 9: settles the timer for a 2xx of ours and says so in it.
    pub(super) fn session_agreed(&mut self, now: Instant, id: u64, ask: Ask, builder: Builder) -> Builder {
        let builder = builder.header(Name::Supported, &self.supported().join(", "));
        let floor = self.min_se_s().max(ask.min_se_s);
        let seconds = match (ask.expires, self.wanted_s()) {
            // A proxy's wish that its caller knows nothing of, and that is too short to be served.
            (Some(theirs), _) if theirs.seconds < self.min_se_s() => None,
            (Some(theirs), Some(ours)) => Some(theirs.seconds.min(ours.max(floor))),
            (Some(theirs), None) => Some(theirs.seconds),
            (None, Some(ours)) if ask.has_timer => Some(ours.max(floor)),
            _ => None,
        };
        let Some(call) = self.calls.get_mut(&id) else { return builder };
        let by_client = match ask.expires.and_then(|e| e.by_client) {
            // 9, table 2: who does not know the extension does not refresh.
            _ if !ask.has_timer => false,
            Some(by_client) => by_client,
            None => call.session.agreed.is_none_or(|a| !a.is_ours),
        };
        call.session.agree(now, seconds.map(|seconds| Agreed { seconds, is_ours: !by_client }));
        let Some(seconds) = seconds else { return builder };
        let refresher = if by_client { "uac" } else { "uas" };
        let builder = builder.header(Name::SessionExpires, &format!("{seconds};refresher={refresher}"));
        if ask.has_timer { builder.header(Name::Require, "timer") } else { builder }
    }

    /// RFC 4028 7.1, 7.4: what an INVITE or UPDATE of ours says; `call`: the one that it is within.
    pub(super) fn session_asked(&self, call: Option<u64>, builder: Builder) -> Builder {
        // RFC 3262 3: only who supports it gets reliable responses; to a re-INVITE we want none.
        let supported = self.supported().iter().filter(|s| call.is_none() || **s != "100rel");
        let supported = supported.copied().collect::<Vec<_>>().join(", ");
        let builder = builder.header(Name::Supported, &supported);
        let timer = call.and_then(|id| self.calls.get(&id)).map(|c| &c.session);
        let raised_s = timer.map_or(0, |t| t.min_se_s);
        let value = match timer {
            None => self.wanted_s().map(|s| s.to_string()),
            Some(timer) => timer.agreed.map(|Agreed { seconds, is_ours }| {
                let refresher = if is_ours { "uac" } else { "uas" };
                format!("{};refresher={refresher}", seconds.max(raised_s))
            }),
        };
        let Some(value) = value else { return builder };
        let builder = builder.header(Name::SessionExpires, &value);
        let min_s = raised_s.max(self.min_se_s());
        if min_s > MIN_SE_S { builder.header(Name::MinSe, &min_s.to_string()) } else { builder }
    }

    /// RFC 4028 7.2: what a 2xx to a request of ours settles.
    pub(super) fn session_answered(&mut self, now: Instant, id: u64, response: &Response<'_>) {
        let min_s = self.min_se_s();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.session.learn(&response.message);
        let agreed = expires(&response.message).map(|e| {
            // A shorter one than we asked for is no right of theirs, nor a way to make us busy.
            Agreed { seconds: e.seconds.max(min_s), is_ours: e.by_client.unwrap_or(true) }
        });
        call.session.agree(now, agreed);
    }

    /// RFC 4028 7.3: a 422 names the least that will do. False: it is no reason to ask again.
    pub(super) fn session_raised(&mut self, id: u64, response: &Response<'_>) -> bool {
        let asked = self.wanted_s();
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let timer = &mut call.session;
        let asked = timer.agreed.map(|a| a.seconds).or(asked).unwrap_or(0).max(timer.min_se_s);
        match min_se_s(&response.message).filter(|min| *min > asked && response.status == 422) {
            Some(min) => {
                timer.min_se_s = min;
                true
            }
            None => false,
        }
    }

    /// The first INVITE again, with an interval that the other side can bear. False: there is no point.
    pub(super) fn invite_again(&mut self, now: Instant, id: u64, tx: u64, response: &Response<'_>) -> bool {
        let is_wanted =
            |call: &Call| !call.is_over && matches!(&call.phase, Phase::Calling(Calling { cancel: Cancel::No, .. }));
        if !self.calls.get(&id).is_some_and(is_wanted) || !self.session_raised(id, response) {
            return false;
        }
        let wanted_s = self.wanted_s().unwrap_or(0);
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let min_s = call.session.min_se_s;
        call.dialog.local_cseq = call.dialog.local_cseq.max(response.head.cseq.number);
        let cseq = call.dialog.next_cseq();
        let Some(entry) = self.table.get_mut(tx) else { return false };
        let Some(request) = with_interval(&entry.request, wanted_s.max(min_s), min_s) else { return false };
        let to = entry.peer;
        entry.request = request;
        self.relaunch(now, tx, to, Some(cseq))
    }

    /// The time has come to refresh, or to end.
    pub(super) fn session_due(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.is_over || !matches!(call.phase, Phase::Established) {
            return;
        }
        if call.session.ends_at.is_some_and(|at| now >= at) {
            // 10: whoever waited in vain says BYE.
            self.end_call(id, EndCause::SessionExpired);
            self.send_bye(now, id, None);
        } else if call.session.refresh_at.is_some_and(|at| now >= at) {
            call.session.refresh_at = None;
            self.refresh(now, id);
        }
    }

    /// 7.4: by UPDATE if the peer takes it, else by the description that it knows.
    fn refresh(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_free = call.may_offer() && call.ours.is_none() && call.session.update.is_none();
        if !is_free {
            return call.session.refresh_in(now, REFRESH_SOON);
        }
        let is_sent = if call.session.has_update || call.described.is_empty() {
            self.send_update(now, id)
        } else {
            let sdp = call.described.clone();
            let is_sent = self.offer_change(now, id, sdp).is_ok();
            if let Some(ours) = self.calls.get_mut(&id).and_then(|c| c.ours.as_mut()) {
                ours.is_refresh = true;
            }
            is_sent
        };
        if let Some(call) = self.calls.get_mut(&id).filter(|_| !is_sent) {
            call.session.refresh_in(now, REFRESH_SOON);
        }
    }

    fn send_update(&mut self, now: Instant, id: u64) -> bool {
        if self.table.len() >= self.config.max_transactions {
            return false;
        }
        let branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let outgoing = call.dialog.outgoing(branch);
        let builder = outgoing
            .builder("UPDATE", self.local(outgoing.peer))
            .header(Name::Contact, &self.contact(outgoing.peer))
            .header(Name::Allow, self.allow());
        let builder = self.named(builder);
        let bytes = self.session_asked(Some(id), builder).finish();
        let tx = self.send_built(now, "UPDATE", &outgoing, Some(id), Purpose::Update, bytes);
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.update = tx;
        }
        tx.is_some()
    }

    pub(super) fn on_update_response(&mut self, now: Instant, tx: u64, response: &Response<'_>) {
        let Some(id) = self.table.get(tx).and_then(|e| e.call) else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.session.update == Some(tx) && !c.is_over) else { return };
        if response.status < 200 {
            return;
        }
        call.session.update = None;
        match response.status {
            200..=299 => {
                call.dialog.refresh_target(&response.head);
                self.session_answered(now, id, response);
            }
            408 | 481 => self.peer_gone(now, id, response.status),
            status => self.refresh_failed(now, id, status, Some(response)),
        }
        self.arm(id);
    }

    /// The session stands as long as it has time left; the refresh is tried again.
    pub(super) fn refresh_failed(&mut self, now: Instant, id: u64, status: u16, response: Option<&Response<'_>>) {
        let collision_ms = if status == 491 { self.collision_wait_ms(id) } else { 0 };
        let is_raised = response.is_some_and(|r| self.session_raised(id, r));
        let Some(call) = self.calls.get_mut(&id) else { return };
        let after_s = response.and_then(retry_after);
        let wait = match status {
            422 if is_raised => Duration::ZERO,
            // Its Allow promised more than it holds.
            405 | 501 if call.session.has_update && !call.described.is_empty() => {
                call.session.has_update = false;
                Duration::ZERO
            }
            491 => Duration::from_millis(collision_ms),
            _ => after_s.map_or(REFRESH_AGAIN, |s| Duration::from_secs(s.clamp(1, 10).into())),
        };
        call.session.refresh_in(now, wait);
    }

    /// 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
    pub(super) fn collision_wait_ms(&mut self, id: u64) -> u64 {
        let steps = self.ids.next();
        let is_caller = self.calls.get(&id).is_some_and(|c| c.is_caller);
        if is_caller { 2100 + (steps % 191) * 10 } else { (steps % 201) * 10 }
    }

    /// Who does not answer is gone (RFC 3261 12.2.1.2); who cannot be reached now may be heard again.
    pub(super) fn update_unanswered(&mut self, now: Instant, id: u64, tx: u64, status: u16) {
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.session.update == Some(tx) && !c.is_over) else { return };
        call.session.update = None;
        if status == 408 {
            self.peer_gone(now, id, status);
        } else {
            self.refresh_failed(now, id, status, None);
            self.arm(id);
        }
    }
}

/// The same INVITE with another interval.
fn with_interval(invite: &[u8], seconds: u32, min_s: u32) -> Option<Vec<u8>> {
    let message = message::parse(invite).ok()?;
    let StartLine::Request { method, uri, .. } = message.start else { return None };
    let mut builder = Builder::request(method, std::str::from_utf8(uri).ok()?);
    let is_kept = |h: &&message::Header<'_>| {
        !matches!(h.kind, Name::SessionExpires | Name::MinSe | Name::ContentType | Name::ContentLength)
    };
    for header in message.headers.iter().filter(is_kept) {
        builder = builder.raw(header.name, &header.value);
    }
    builder = builder.header(Name::SessionExpires, &seconds.to_string()).header(Name::MinSe, &min_s.to_string());
    let kind = message.header(Name::ContentType).map(|h| h.text());
    Some(match kind {
        Some(kind) => builder.finish_with(&kind, message.body),
        None => builder.finish(),
    })
}
