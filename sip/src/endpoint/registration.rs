//! Registrations of ours: REGISTER, refresh, retry, NAT (RFC 3261 10.2, RFC 5626 3.5 and 4.5). They never end by themselves.

use super::caller::retry_after;
use super::config::{RegisterRequest, address};
use super::event::{CommandError, Event, RegistrationHandle};
use super::send::Launch;
use super::table::{Key, Purpose};
use super::unreachable::is_same;
use super::{Due, Endpoint};
use crate::auth;
use crate::dialog::Outgoing;
use crate::header::Response;
use crate::message::{Name, number};
use crate::peer::{Peer, Transport};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Most registrations at once.
const REGISTRATIONS_MAX: usize = 1024;
/// RFC 5626 4.5: the first wait after a failure is half of twice this to twice this.
const BACKOFF_BASE_MS: u64 = 30_000;
/// RFC 5626 4.5: the longest.
const BACKOFF_MAX_MS: u64 = 1_800_000;
/// Shortest and longest Retry-After obeyed to the letter, in seconds.
const RETRY_AFTER_S: (u32, u32) = (5, 86_400);
/// Shortest and longest binding believed, in seconds.
const GRANTED_S: (u64, u64) = (1, 604_800);
/// How often a registrar may ask for a longer binding in a row.
const TOO_BRIEF_MAX: u8 = 2;

/// One binding at one registrar.
pub(super) struct Registration {
    request: RegisterRequest,
    call_id: String,
    from_tag: String,
    cseq: u32,
    /// The user part of our Contact, escaped, and the hash it is found by.
    user: String,
    key: Key,
    pub auth: Option<auth::Client>,
    /// Which target, and how many of them failed one after the other.
    target: usize,
    failed_targets: usize,
    /// Our address as the registrar sees it (RFC 3581).
    seen: Option<SocketAddr>,
    /// It was corrected since the last refresh; once is enough.
    is_corrected: bool,
    /// The Contact that the registrar knows us by.
    bound: Option<String>,
    /// What the REGISTER on its way says.
    asked: Option<Asking>,
    too_brief: u8,
    /// Failures in a row.
    failures: u32,
    /// The next REGISTER.
    due: Option<Instant>,
    /// RFC 5626 3.5.1: the next sign of life.
    keepalive: Option<Instant>,
    is_leaving: bool,
    pub armed: Option<Instant>,
}

/// A REGISTER without its answer.
struct Asking {
    contact: String,
    address: SocketAddr,
    expires_s: u32,
}

impl Registration {
    pub const fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.cseq
    }

    pub fn deadline(&self) -> Option<Instant> {
        [self.due, self.keepalive].into_iter().flatten().min()
    }

    fn peer(&self) -> Option<Peer> {
        self.request.targets.get(self.target).copied()
    }

    /// RFC 5626 3.5: how a Contact names this instance, over one flow.
    fn instance(&self) -> String {
        let instance = self.request.instance.as_deref().map(|i| format!(";+sip.instance=\"<{i}>\";reg-id=1"));
        instance.unwrap_or_default()
    }
}

impl Endpoint {
    /// Registers us, and keeps us registered until [`Endpoint::unregister`]. [`Event::Registered`] and
    /// [`Event::RegistrationFailed`] tell how it goes; after a failure it is tried again by itself.
    ///
    /// # Errors
    /// `BadUri`, `NoTarget`, `Full`: nothing was sent.
    pub fn register(&mut self, now: Instant, mut request: RegisterRequest) -> Result<RegistrationHandle, CommandError> {
        for uri in [Some(&request.registrar), Some(&request.aor), request.route.as_ref()].into_iter().flatten() {
            address(uri)?;
        }
        let is_urn = |i: &String| i.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b));
        if !request.instance.as_ref().is_none_or(is_urn) {
            return Err(CommandError::BadUri);
        }
        if request.targets.is_empty() {
            return Err(CommandError::NoTarget);
        }
        if self.registrations.len() >= REGISTRATIONS_MAX || self.table.len() >= self.config.max_transactions {
            return Err(CommandError::Full);
        }
        // 0 would take the binding back.
        request.expires_s = request.expires_s.max(1);
        let user = match &request.contact_user {
            Some(user) => user.expose().clone(),
            // 128 bits that nobody without the seed can guess.
            None => self.ids.call_id(),
        };
        let registration = Registration {
            call_id: self.ids.call_id(),
            from_tag: self.ids.tag(),
            cseq: 0,
            key: self.ids.key(&["contact", &user]),
            user: crate::text::escape_user(&user),
            auth: request.credentials.clone().map(auth::Client::new),
            request,
            target: 0,
            failed_targets: 0,
            seen: None,
            is_corrected: false,
            bound: None,
            asked: None,
            too_brief: 0,
            failures: 0,
            due: None,
            keepalive: None,
            is_leaving: false,
            armed: None,
        };
        self.last_registration += 1;
        let id = self.last_registration;
        self.contacts.insert(registration.key, id);
        self.registrations.insert(id, registration);
        self.send_register(now, id);
        Ok(RegistrationHandle(id))
    }

    /// Takes the binding back; [`Event::Unregistered`] follows, at the latest after 32 s per REGISTER on its way.
    ///
    /// # Errors
    /// `NoSuchRegistration`: it has ended, or is about to.
    pub fn unregister(&mut self, now: Instant, registration: RegistrationHandle) -> Result<(), CommandError> {
        let id = registration.0;
        let found = self.registrations.get_mut(&id).filter(|r| !r.is_leaving);
        let state = found.ok_or(CommandError::NoSuchRegistration)?;
        state.is_leaving = true;
        (state.due, state.keepalive) = (None, None);
        // RFC 3261 10.2: not while another REGISTER is on its way.
        if state.asked.is_none() {
            self.leave(now, id);
        }
        self.arm_registration(id);
        Ok(())
    }

    /// Where the registrar is by now, as DNS says. The next REGISTER goes to the first of them.
    ///
    /// # Errors
    /// `NoTarget`: there is none; the old ones stay. `NoSuchRegistration`.
    pub fn set_targets(&mut self, registration: RegistrationHandle, targets: Vec<Peer>) -> Result<(), CommandError> {
        let found = self.registrations.get_mut(&registration.0);
        let state = found.ok_or(CommandError::NoSuchRegistration)?;
        if targets.is_empty() {
            return Err(CommandError::NoTarget);
        }
        // Whoever answered last goes on, if it is still one of them.
        let current = state.peer();
        state.target = targets.iter().position(|t| Some(*t) == current).unwrap_or(0);
        state.failed_targets = 0;
        state.request.targets = targets;
        Ok(())
    }

    /// The registration whose Contact a request names, and what it proves itself with.
    pub(super) fn registration_of(&self, user: &str) -> Option<RegistrationHandle> {
        self.contacts.get(&self.ids.key(&["contact", user])).map(|id| RegistrationHandle(*id))
    }

    /// Credentials for the requests of a call that came by a registration.
    pub(super) fn auth_by(&self, registration: Option<RegistrationHandle>) -> Option<Box<auth::Client>> {
        let credentials = self.registrations.get(&registration?.0)?.request.credentials.clone()?;
        Some(Box::new(auth::Client::new(credentials)))
    }

    fn send_register(&mut self, now: Instant, id: u64) {
        let branch = self.ids.branch();
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let Some(peer) = state.peer() else { return };
        let cseq = state.next_cseq();
        let Some(state) = self.registrations.get(&id) else { return };
        let request = &state.request;
        let outgoing = Outgoing {
            uri: request.registrar.clone(),
            routes: request.route.iter().map(|r| format!("<{r}>")).collect(),
            branch,
            from: format!("<{}>;tag={}", request.aor, state.from_tag),
            to: format!("<{}>", request.aor),
            call_id: state.call_id.clone(),
            cseq,
            peer,
        };
        let address = state.seen.unwrap_or_else(|| self.local(peer));
        let contact = super::contact_at(&state.user, address, peer.transport);
        let expires_s = if state.is_leaving { 0 } else { request.expires_s };
        let mut builder = outgoing
            .builder("REGISTER", self.local(peer))
            .header(Name::Contact, &format!("{contact};expires={expires_s}{}", state.instance()));
        // A binding under an address that is not ours any more. With an instance it is replaced by itself
        // (RFC 5626 6), and a second Contact would be an error.
        if let Some(old) = state.bound.as_ref().filter(|b| **b != contact && request.instance.is_none()) {
            builder = builder.header(Name::Contact, &format!("{old};expires=0"));
        }
        if request.instance.is_some() {
            builder = builder.header(Name::Supported, "path, outbound");
        }
        builder = builder.header(Name::Expires, &expires_s.to_string());
        let bytes = self.named(builder).finish();
        let purpose = Purpose::Register(id);
        let has_more = !state.is_leaving && state.failed_targets + 1 < request.targets.len();
        let launch = Launch { method: "REGISTER", outgoing, call: None, purpose, bytes, others: &[], has_more };
        let is_sent = self.launch(now, launch).is_some();
        if let Some(state) = self.registrations.get_mut(&id) {
            state.due = None;
            state.asked = Some(Asking { contact, address, expires_s });
        }
        if !is_sent {
            self.register_failed(now, id, 503, None);
        }
        self.arm_registration(id);
    }

    pub(super) fn on_register_response(&mut self, now: Instant, id: u64, response: &Response<'_>) {
        let status = response.status;
        match status {
            100..=199 => {}
            200..=299 => self.on_registered(now, id, response),
            423 => self.on_too_brief(now, id, response),
            _ => self.register_failed(now, id, status, retry_after(response)),
        }
        self.arm_registration(id);
    }

    fn on_registered(&mut self, now: Instant, id: u64, response: &Response<'_>) {
        let dice = self.ids.next();
        let seen = seen_address(response);
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let (Some(asked), Some(peer)) = (state.asked.take(), state.peer()) else { return };
        if asked.expires_s == 0 {
            return self.end_registration(id);
        }
        state.bound = Some(asked.contact);
        (state.failures, state.failed_targets, state.too_brief) = (0, 0, 0);
        if state.is_leaving {
            return self.leave(now, id);
        }
        // RFC 3581: behind a NAT we are where the registrar sees us. A stream is used both ways as it is.
        if let Some(seen) = seen.filter(|s| peer.transport == Transport::Udp && *s != asked.address)
            && !std::mem::replace(&mut state.is_corrected, true)
        {
            state.seen = Some(seen);
            return self.send_register(now, id);
        }
        let expires_s = granted_s(response, &state.user).unwrap_or(u64::from(asked.expires_s));
        let expires_s = expires_s.clamp(GRANTED_S.0, GRANTED_S.1);
        // At 80 to 90 % of the time, so that a lost refresh can be made good.
        state.due = Some(now + Duration::from_millis(expires_s * (800 + dice % 101)));
        state.is_corrected = false;
        self.keep_alive(now, id);
        let expires_s = u32::try_from(expires_s).unwrap_or(u32::MAX);
        self.out.event(Event::Registered { registration: RegistrationHandle(id), expires_s });
    }

    /// RFC 3261 10.2.8.
    fn on_too_brief(&mut self, now: Instant, id: u64, response: &Response<'_>) {
        let wanted = response.message.header(Name::MinExpires).and_then(|h| number(&h.value));
        let wanted = wanted.and_then(|s| u32::try_from(s.min(GRANTED_S.1)).ok());
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let longer = wanted.filter(|s| *s > state.request.expires_s && state.too_brief < TOO_BRIEF_MAX);
        match longer {
            Some(expires_s) if !state.is_leaving => {
                state.too_brief += 1;
                state.request.expires_s = expires_s;
                self.send_register(now, id);
            }
            _ => self.register_failed(now, id, 423, None),
        }
    }

    /// A REGISTER came to nothing: the next target now, or the first again after a while.
    pub(super) fn register_failed(&mut self, now: Instant, id: u64, status: u16, retry_after_s: Option<u32>) {
        let dice = self.ids.next();
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let Some(asked) = state.asked.take() else { return };
        if asked.expires_s == 0 {
            return self.end_registration(id);
        }
        if state.is_leaving {
            return self.leave(now, id);
        }
        let targets = state.request.targets.len();
        state.failed_targets += 1;
        state.target = (state.target + 1) % targets.max(1);
        // RFC 3263 4.3: another server may know better only where this one could not say.
        let is_elsewhere = matches!(status, 408 | 500..=599) && state.failed_targets < targets;
        if is_elsewhere {
            return self.send_register(now, id);
        }
        (state.failures, state.failed_targets, state.too_brief) = (state.failures.saturating_add(1), 0, 0);
        state.keepalive = None;
        let wait_ms = match retry_after_s {
            // RFC 5626 4.5, RFC 3261 20.33; a tenth more, so that not all come back at once.
            Some(s) => u64::from(s.clamp(RETRY_AFTER_S.0, RETRY_AFTER_S.1)) * (1000 + dice % 101),
            None => backoff_ms(state.failures, dice),
        };
        state.due = Some(now + Duration::from_millis(wait_ms));
        self.arm_registration(id);
        let retry_in_s = u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        self.out.event(Event::RegistrationFailed { registration: RegistrationHandle(id), status, retry_in_s });
    }

    pub(super) fn registration_due(&mut self, now: Instant, id: u64) {
        let Some(state) = self.registrations.get_mut(&id) else { return };
        state.armed = None;
        if state.keepalive.is_some_and(|at| now >= at) {
            if let Some(peer) = state.peer() {
                // RFC 5626 3.5.1; over UDP it keeps the NAT's binding, and nobody answers.
                self.out.send(peer, b"\r\n\r\n".to_vec());
            }
            self.keep_alive(now, id);
        }
        let Some(state) = self.registrations.get_mut(&id) else { return };
        if state.due.is_some_and(|at| now >= at) {
            self.send_register(now, id);
        }
        self.arm_registration(id);
    }

    /// The way to a registrar is gone, and calls to us with it: register anew, after a moment, for others may
    /// have lost it with us (RFC 5626 4.5).
    pub(super) fn flow_lost(&mut self, now: Instant, to: Peer) {
        let is_hit =
            |r: &Registration| r.keepalive.is_some() && r.asked.is_none() && r.peer().is_some_and(|p| is_same(p, to));
        let hit: Vec<u64> = self.registrations.iter().filter(|(_, r)| is_hit(r)).map(|(id, _)| *id).collect();
        for id in hit {
            let moment = Duration::from_millis(self.ids.next() % 2000);
            if let Some(state) = self.registrations.get_mut(&id) {
                state.keepalive = None;
                state.due = Some(now + moment);
            }
            self.arm_registration(id);
        }
    }

    /// RFC 5626 4.4.1: 95 to 120 s over a stream; 24 to 29 s over UDP, below what NATs forget (4.4.2).
    fn keep_alive(&mut self, now: Instant, id: u64) {
        let dice = self.ids.next();
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let is_udp = state.peer().is_some_and(|p| p.transport == Transport::Udp);
        let wait_ms = if is_udp { 24_000 + dice % 5001 } else { 95_000 + dice % 25_001 };
        state.keepalive = Some(now + Duration::from_millis(wait_ms));
    }

    /// The last REGISTER, where there is a binding to take back.
    fn leave(&mut self, now: Instant, id: u64) {
        if self.registrations.get(&id).is_some_and(|r| r.bound.is_some()) {
            self.send_register(now, id);
        } else {
            self.end_registration(id);
        }
    }

    fn end_registration(&mut self, id: u64) {
        let Some(state) = self.registrations.remove(&id) else { return };
        self.contacts.remove(&state.key);
        if let Some(at) = state.armed {
            self.timers.remove(&(at, Due::Registration(id)));
        }
        self.out.event(Event::Unregistered { registration: RegistrationHandle(id) });
    }

    fn arm_registration(&mut self, id: u64) {
        let Some(state) = self.registrations.get_mut(&id) else { return };
        let next = state.deadline();
        if let Some(old) = std::mem::replace(&mut state.armed, next) {
            self.timers.remove(&(old, Due::Registration(id)));
        }
        if let Some(at) = next {
            self.timers.insert((at, Due::Registration(id)));
        }
    }
}

/// RFC 5626 4.5: half to all of `30 s * 2^failures`, at most half an hour.
fn backoff_ms(failures: u32, dice: u64) -> u64 {
    let most = (BACKOFF_BASE_MS << failures.min(6)).min(BACKOFF_MAX_MS);
    most / 2 + dice % (most / 2 + 1)
}

/// How long our binding lives: its own `expires`, or that of the response (RFC 3261 10.2.4).
fn granted_s(response: &Response<'_>, user: &str) -> Option<u64> {
    let is_ours = |c: &&crate::header::NameAddr| c.uri.sip().is_some_and(|s| s.user.as_deref() == Some(user));
    let own = response.head.contacts.iter().filter(is_ours).filter_map(|c| c.params.get("expires")?.parse().ok());
    let own = own.filter(|s: &u64| *s > 0).max();
    own.or_else(|| response.message.header(Name::Expires).and_then(|h| number(&h.value)))
}

/// RFC 3581 4: where our request came from, if the response says so.
fn seen_address(response: &Response<'_>) -> Option<SocketAddr> {
    let via = response.head.vias.first()?;
    let port = via.params.get("rport").and_then(|p| p.parse().ok()).filter(|p| *p != 0)?;
    let host = via.params.get("received").unwrap_or(&via.host);
    Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_within_its_bounds() {
        let range = |failures| (backoff_ms(failures, 0) / 1000, backoff_ms(failures, u64::MAX) / 1000);
        assert_eq!(range(1).0, 30);
        for (failures, least, most) in [(1, 30, 60), (2, 60, 120), (5, 480, 960), (6, 900, 1800), (400, 900, 1800)] {
            for dice in 0..10_000 {
                let ms = backoff_ms(failures, dice * 977);
                assert!((least * 1000..=most * 1000).contains(&ms), "{failures} {ms}");
            }
        }
    }
}
