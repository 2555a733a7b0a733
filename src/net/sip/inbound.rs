//! Calls made to us, and changes in any call: admitted or refused, answered, started. It never reads a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use privacy::consent::{Channel, PreGrant};
use sip::sdp::{self, LocalMedia, Negotiated, Security};
use sip::{CallHandle, CallInfo, Peer, Private};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::call::{Running, Waiting};
use super::setup::media_at;
use super::terms::{Shared, answer, is_private, leg_change, leg_config, local_media};
use super::{CALL_INPUTS, SipDriver};
use crate::call::driver::{CallInput, Driver};
use crate::call::registry::Summary;
use crate::call::{Call, CallId, MachineAction};
use crate::clock;
use crate::gateway::{Admission, Refused};
use crate::net::ports::Pair;
use crate::net::shard::{NewCall, Road};
use crate::random;
use crate::route::Asked;
use crate::store::{Direction, LineInfo};

/// In our 200 to a caller: the call's id, as the API writes it.
pub const CALL_HEADER: &str = "X-Dauys-Call";
/// In our 200 and in our INVITE: that an AI speaks, for machines. There is no registered name for it.
pub const DISCLOSURE_HEADER: &str = "X-AI-Disclosure";

/// What routes may look at beside the numbers: who sent the call on, and what the caller's side adds.
fn headers(info: &CallInfo) -> Vec<(String, String)> {
    let all = |name: &'static str, values: &[Private<String>]| {
        values.iter().map(|v| (name.to_owned(), v.expose().clone())).collect::<Vec<_>>()
    };
    let one = |name, value: &Option<Private<String>>| all(name, value.as_slice());
    let added = info.headers.iter().map(|(name, value)| (name.clone(), value.expose().clone()));
    [
        all("Diversion", &info.diversion),
        all("History-Info", &info.history),
        one("P-Asserted-Identity", &info.asserted_identity),
        one("User-Agent", &info.user_agent),
    ]
    .into_iter()
    .flatten()
    .chain(added)
    .collect()
}

/// What a call is on its signalling side when its media begins.
pub(super) struct Ready {
    pub local: LocalMedia,
    pub peer: Peer,
    pub line: LineInfo,
    /// Of a call of ours: what is done if a machine answers.
    pub machine: Option<MachineAction>,
    /// What its other side agreed to before.
    pub granted_before: Option<PreGrant>,
}

impl SipDriver {
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        call: CallHandle,
        offer: Option<sdp::Offer>,
        info: &CallInfo,
        replaces: Option<CallHandle>,
    ) {
        let taken = match replaces {
            Some(old) => self.take_over(now, call, old, offer, info),
            None => self.admit(now, call, offer, info),
        };
        if let Err(refused) = taken {
            metrics::counter!("dauys_calls_refused_total", "reason" => refused.word()).increment(1);
            info!(reason = refused.word(), "call refused");
            let _ = self.endpoint.reject(now, call, refused.status(), refused.retry_after());
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        call: CallHandle,
        offer: Option<sdp::Offer>,
        info: &CallInfo,
    ) -> Result<(), Refused> {
        if self.stopping {
            return Err(Refused::Full);
        }
        let peer = *info.source.expose();
        let trunk = self.lines.trunk_of(info);
        let headers = headers(info);
        // A registration's Contact is a name between us and the registrar; whom the caller meant stands in To.
        let called = if info.registration.is_some() { &info.to_user } else { &info.request_user };
        let asked = Asked {
            trunk: trunk.as_deref(),
            called: called.expose(),
            caller: info.from_user.expose(),
            headers: &headers,
        };
        let agent = self.gateway.route(&asked)?;
        // The answer has to be possible before anything is taken.
        let at = media_at(&self.gateway.config, &self.bound, peer);
        let config = &self.gateway.config;
        let mut local =
            local_media(config, &self.gateway.identity, trunk.as_deref(), peer, SocketAddr::new(at.told, 9), 0);
        if let Some(offer) = &offer {
            answer(offer, &mut local)?;
        }
        let admission = self.gateway.admit_caller(agent)?;
        let sockets = self.gateway.ports.take(at.bound).map_err(|_| Refused::NoPorts)?;
        local.address.set_port(sockets.port);
        local.session_id = admission.id.0 >> 1;
        let negotiated = offer.map(|o| answer(&o, &mut local)).transpose()?;
        let body = negotiated.as_ref().map_or_else(|| sdp::offer(&local), |n| n.body.clone());
        // Random, so it says nothing of anybody; who tests a trunk finds the call by it in the API.
        let disclosure = self.gateway.disclosure(&admission.agent);
        let told = [(CALL_HEADER, admission.id.to_string()), (DISCLOSURE_HEADER, disclosure)];
        let headers = told.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.endpoint.answer_with(now, call, &body, headers).map_err(|_| Refused::Gone)?;
        let subject = Some(self.gateway.subject_of(info.from_user.expose()));
        let line = LineInfo { direction: Direction::Inbound, trunk, subject };
        self.waiting.insert(call, Waiting { admission, sockets, local, peer, line, negotiated });
        Ok(())
    }

    pub(super) fn established(&mut self, now: Instant, call: CallHandle, answer: Option<sdp::Offer>) {
        let Some(waiting) = self.waiting.remove(&call) else { return };
        let late = answer.and_then(|a| sdp::accept(&waiting.local, &a).ok());
        let Some(negotiated) = waiting.negotiated.or(late) else {
            warn!(call = %waiting.admission.id, "the caller's description cannot be used; hanging up");
            let _ = self.endpoint.hangup(now, call, None);
            return;
        };
        let Waiting { admission, sockets, local, peer, line, .. } = waiting;
        let ready = Ready { local, peer, line, machine: None, granted_before: None };
        match self.start(now, admission, sockets, &negotiated, ready) {
            Some(running) => {
                self.handles.insert(running.id, call);
                self.running.insert(call, running);
            }
            None => drop(self.endpoint.hangup(now, call, None)),
        }
    }

    /// Puts an answered call on its shard. `None`: it cannot be; hang up.
    pub(super) fn start(
        &self,
        now: Instant,
        admission: Admission,
        sockets: Pair,
        negotiated: &Negotiated,
        ready: Ready,
    ) -> Option<Running> {
        let Ready { mut local, peer, line, machine, granted_before } = ready;
        let id = admission.id;
        local.settle(negotiated);
        if matches!(negotiated.security, Security::Sdes { .. }) && !is_private(peer) {
            info!(call = %id, "its media is encrypted with keys that came unencrypted; use SIP over TLS against listeners");
        }
        let (inputs, inbox) = mpsc::channel(CALL_INPUTS);
        let Some(leg) = leg_config(negotiated, &local, &self.shared(), random::bits()) else {
            error!(call = %id, "what was agreed on encryption cannot be done; hanging up");
            return None;
        };
        let config = self.gateway.call_config(machine);
        let call = Call::new(now, Arc::clone(&admission.agent.agent), clock::today(), config);
        let subject = line.subject.unwrap_or_else(|| self.gateway.nobody());
        let call = self.gateway.begin(&admission, call, (subject, Channel::Phone), granted_before.as_ref());
        let Admission { agent, shard, poked, lines, place, turned_away, .. } = admission;
        let call = if turned_away { call.turned_away() } else { call };
        let mut summary = Summary::new(id, &agent.name, negotiated.codec.name(), &line);
        summary.security(negotiated.security.name());
        self.gateway.registry.update(summary.record());
        let around = self.gateway.surroundings(self.signaller(id), place);
        let driver = Driver::new(now, call, leg, lines, around, inbox, summary);
        let road = Road::Ports(sockets);
        let adopted = self.gateway.shard(shard).is_some_and(|s| s.adopt(NewCall { driver, road, poked }));
        if !adopted {
            warn!(call = %id, "the media shard is full; hanging up");
            self.gateway.registry.ended(id);
        }
        adopted.then_some(Running { id, inputs, local, peer, line })
    }

    /// The session is now as agreed.
    pub(super) fn change(&self, running: &mut Running, negotiated: &Negotiated) {
        let change = leg_change(negotiated, &running.local, &self.shared());
        running.local.settle(negotiated);
        match change {
            Some(change) => running.tell(CallInput::Renegotiated(Box::new(change))),
            None => {
                error!(call = %running.id, "what was agreed on encryption cannot be done; its media stays as it was")
            }
        }
    }

    fn shared(&self) -> Shared<'_> {
        Shared { rtp: &self.gateway.config.rtp, identity: Some(&self.gateway.identity) }
    }

    fn signaller(&self, id: CallId) -> Box<dyn Fn(crate::call::driver::Signal) + Send> {
        let signals = self.signals.clone();
        Box::new(move |signal| {
            if signals.try_send((id, signal)).is_err() {
                error!("a command to the signalling could not be queued; the call ends when its peer gives up");
            }
        })
    }

    pub(super) fn reinvite(&mut self, now: Instant, call: CallHandle, offer: Option<sdp::Offer>) {
        let Some(mut running) = self.running.remove(&call) else {
            let _ = self.endpoint.reject_reinvite(now, call, 491);
            return;
        };
        running.local.next_version();
        let body = match offer.map(|o| answer(&o, &mut running.local)) {
            Some(Ok(negotiated)) => {
                self.change(&mut running, &negotiated);
                Some(negotiated.body)
            }
            Some(Err(_)) => None,
            None => Some(sdp::offer(&running.local)),
        };
        let _ = match body {
            Some(body) => self.endpoint.accept_reinvite(now, call, &body),
            None => self.endpoint.reject_reinvite(now, call, 488),
        };
        self.running.insert(call, running);
    }

    pub(super) fn renegotiated(&mut self, call: CallHandle, answer: &sdp::Offer) {
        let Some(mut running) = self.running.remove(&call) else { return };
        if let Ok(negotiated) = sdp::accept(&running.local, answer) {
            self.change(&mut running, &negotiated);
        }
        self.running.insert(call, running);
    }
}
