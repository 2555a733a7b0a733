//! Calls made to us, and changes in any call: admitted or refused, answered, started. It never reads a message.

use std::sync::Arc;
use std::time::Instant;

use sip::sdp::{self, Negotiated};
use sip::{CallHandle, CallInfo, Private};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::call::{Running, Waiting, leg_config, local_media};
use super::setup::media_at;
use super::{CALL_INPUTS, SipDriver};
use crate::call::driver::{CallInput, Driver};
use crate::call::registry::Summary;
use crate::call::{Call, CallId};
use crate::clock;
use crate::gateway::{Admission, Refused};
use crate::net::ports::Pair;
use crate::net::shard::NewCall;
use crate::random;
use crate::route::Asked;
use crate::store::{Direction, LineInfo};

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
        if let Some(offer) = &offer {
            let probe = local_media(std::net::SocketAddr::new(at.told, 9), 0);
            sdp::answer(offer, &probe).map_err(|_| Refused::NoCommonCodec)?;
        }
        let admission = self.gateway.admit(agent)?;
        let sockets = self.gateway.ports.take(at.bound).map_err(|_| Refused::NoPorts)?;
        let local = local_media(std::net::SocketAddr::new(at.told, sockets.port), admission.id.0 >> 1);
        let negotiated = match &offer {
            Some(offer) => Some(sdp::answer(offer, &local).map_err(|_| Refused::NoCommonCodec)?),
            None => None,
        };
        let body = negotiated.as_ref().map_or_else(|| sdp::offer(&local), |n| n.body.clone());
        self.endpoint.answer(now, call, &body).map_err(|_| Refused::Gone)?;
        let line = LineInfo { direction: Direction::Inbound, trunk };
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
        let id = admission.id;
        match self.start(now, admission, sockets, &negotiated, &line) {
            Some(inputs) => {
                self.handles.insert(id, call);
                self.running.insert(call, Running { id, inputs, local, peer, line });
            }
            None => {
                warn!("the media shard is full; hanging up");
                let _ = self.endpoint.hangup(now, call, None);
            }
        }
    }

    /// Puts an answered call on its shard. `None`: there is no room.
    pub(super) fn start(
        &self,
        now: Instant,
        admission: Admission,
        sockets: Pair,
        negotiated: &Negotiated,
        line: &LineInfo,
    ) -> Option<mpsc::Sender<CallInput>> {
        let Admission { id, agent, shard, poked, lines, place } = admission;
        let (inputs, inbox) = mpsc::channel(CALL_INPUTS);
        let leg = leg_config(negotiated, random::bits());
        let call = Call::new(now, id, Arc::clone(&agent.agent), clock::today(), self.gateway.call_config());
        let summary = Summary::new(id, &agent.name, negotiated.codec.name(), line);
        self.gateway.registry.update(summary.record());
        let around = self.gateway.surroundings(self.signaller(id), place);
        let driver = Driver::new(now, call, leg, lines, around, inbox, summary);
        let adopted = self.gateway.shard(shard).is_some_and(|s| s.adopt(NewCall { driver, sockets, poked }));
        if !adopted {
            self.gateway.registry.ended(id);
        }
        adopted.then_some(inputs)
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
        let Some(running) = self.running.get_mut(&call) else {
            let _ = self.endpoint.reject_reinvite(now, call, 491);
            return;
        };
        running.local.next_version();
        let body = match offer.map(|o| sdp::answer(&o, &running.local)) {
            Some(Ok(negotiated)) => {
                running.change(&negotiated);
                negotiated.body
            }
            Some(Err(_)) => {
                let _ = self.endpoint.reject_reinvite(now, call, 488);
                return;
            }
            None => sdp::offer(&running.local),
        };
        let _ = self.endpoint.accept_reinvite(now, call, &body);
    }

    pub(super) fn renegotiated(&mut self, call: CallHandle, answer: &sdp::Offer) {
        if let Some(running) = self.running.get(&call)
            && let Ok(negotiated) = sdp::accept(&running.local, answer)
        {
            running.change(&negotiated);
        }
    }
}
