//! Calls that we make on order: checked against the trunk's limits, placed, started when answered. It never decides
//! by itself to call anybody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::sdp;
use sip::{CallHandle, CommandError, InviteRequest};
use tracing::{info, warn};

use super::SipDriver;
use super::call::{Dialling, outcome};
use super::inbound::{DISCLOSURE_HEADER, Ready};
use super::setup::media_at;
use super::terms::local_media;
use crate::call::{CallId, MachineAction};
use crate::clock;
use crate::gateway::Refused;
use crate::outbound::{ORDERS, Order, OrderRefused};
use crate::store::{CallRecord, Direction, LineInfo, TranscriptStore as _};

impl SipDriver {
    pub(super) fn order(&mut self, now: Instant, mut order: Order) {
        // Just started: where the trunk is will be known in a moment, or not at all.
        if self.lines.is_looking(&order.trunk) && self.pending.len() < ORDERS && !self.stopping {
            return self.pending.push(order);
        }
        let placed = self.place(now, &mut order);
        if let Err(refused) = &placed {
            metrics::counter!("dauys_orders_refused_total").increment(1);
            info!(trunk = %order.trunk, %refused, "an order to call was refused");
        }
        // Who asked may be gone; the call is under way all the same.
        let _ = order.reply.send(placed);
    }

    fn place(&mut self, now: Instant, order: &mut Order) -> Result<CallId, OrderRefused> {
        if self.stopping {
            return Err(OrderRefused::Stopping);
        }
        self.lines.allows(&order.trunk, &order.to)?;
        let agent = self.gateway.agent(order.agent.as_deref()).ok_or(OrderRefused::NoAgent)?;
        if order.machine == MachineAction::Message && agent.agent.voicemail().is_none() {
            return Err(OrderRefused::NoMessage);
        }
        let way = self.lines.way(now, &order.trunk, &order.to)?;
        let peer = *way.targets.first().ok_or(OrderRefused::Unreachable)?;
        let full = |refused: Refused| OrderRefused::Full { retry_after: refused.retry_after().unwrap_or_default() };
        let admission = self.gateway.admit(agent).map_err(full)?;
        let at = media_at(&self.gateway.config, &self.bound, peer);
        let sockets = self.gateway.ports.take(at.bound).map_err(|_| full(Refused::NoPorts))?;
        let (config, line) = (&self.gateway.config, Some(order.trunk.as_str()));
        let told = SocketAddr::new(at.told, sockets.port);
        let local = local_media(config, &self.gateway.identity, line, peer, told, admission.id.0 >> 1);
        self.lines.take_place(now, &order.trunk, &order.to)?;
        let mut request = InviteRequest::new(way.targets, &way.uri, Some(sdp::offer(&local)));
        request.from_user = way.from_user;
        request.from_host = way.from_host;
        request.credentials = way.credentials;
        request.headers = way.headers;
        request.headers.push((DISCLOSURE_HEADER.to_owned(), self.gateway.disclosure(&admission.agent)));
        let call = self.endpoint.invite(now, request).map_err(|error| {
            self.lines.free(&order.trunk);
            match error {
                CommandError::Full => full(Refused::Full),
                _ => OrderRefused::Unreachable,
            }
        })?;
        let id = admission.id;
        let subject = Some(self.gateway.subject_of(&order.to));
        let line = LineInfo { direction: Direction::Outbound, trunk: Some(order.trunk.clone()), subject };
        let record = CallRecord::new(id, &admission.agent.name, &line);
        self.gateway.registry.update(record.clone());
        info!(call = %id, trunk = %order.trunk, "calling");
        let until = now + Duration::from_secs(order.ring_s.into());
        let (machine, granted_before) = (order.machine, order.granted_before.take());
        let dialling = Dialling { admission, sockets, local, peer, line, record, machine, granted_before, until };
        self.dialling.insert(call, dialling);
        Ok(id)
    }

    /// Somebody took our call: one that was ordered, or one that a transfer made.
    pub(super) fn answered(&mut self, now: Instant, call: CallHandle, answer: Option<sdp::Session>) {
        if self.moves.contains_key(&call) {
            return self.moved(now, call, answer);
        }
        let Some(dialling) = self.dialling.remove(&call) else { return };
        let Some(negotiated) = answer.and_then(|a| sdp::accept(&dialling.local, &a).ok()) else {
            warn!(call = %dialling.record.id, "the answer's description cannot be used; hanging up");
            self.not_answered(dialling, 488);
            let _ = self.endpoint.hangup(now, call, Some(sip::Reason::sip(488, "no common codec")));
            return;
        };
        let Dialling { admission, sockets, local, peer, line, machine, granted_before, .. } = dialling;
        let id = admission.id;
        match self.start(
            now,
            admission,
            sockets,
            &negotiated,
            Ready { local, peer, line: line.clone(), machine: Some(machine), granted_before },
        ) {
            Some(running) => {
                self.handles.insert(id, call);
                self.running.insert(call, running);
            }
            None => {
                self.free(&line);
                let _ = self.endpoint.hangup(now, call, None);
            }
        }
    }

    pub(super) fn failed(&mut self, now: Instant, call: CallHandle, status: u16) {
        if self.moves.contains_key(&call) {
            return self.not_moved(now, call, status);
        }
        if let Some(dialling) = self.dialling.remove(&call) {
            self.not_answered(dialling, status);
        }
    }

    /// Calls that rang for as long as they were to.
    pub(super) fn give_up(&mut self, now: Instant) {
        let due: Vec<CallHandle> = self.dialling.iter().filter(|(_, d)| d.until <= now).map(|(c, _)| *c).collect();
        for call in due {
            // What it says of it (`Failed`) finds nothing any more.
            let _ = self.endpoint.cancel(now, call);
            if let Some(dialling) = self.dialling.remove(&call) {
                self.not_answered(dialling, 487);
            }
        }
    }

    /// Its trunk may call somebody else.
    pub(super) fn free(&mut self, line: &LineInfo) {
        if let (Direction::Outbound, Some(trunk)) = (line.direction, &line.trunk) {
            self.lines.free(trunk);
        }
    }

    /// The record of a call that was never answered says why.
    pub(super) fn not_answered(&mut self, dialling: Dialling, status: u16) {
        self.free(&dialling.line);
        let mut record = dialling.record;
        record.state = outcome(status).into();
        record.ended_unix_ms = Some(clock::unix_ms());
        metrics::counter!("dauys_calls_total", "outcome" => outcome(status)).increment(1);
        info!(call = %record.id, status, "not answered");
        self.gateway.registry.ended(record.id);
        if self.gateway.store.record(record).is_err() {
            warn!("the store's queue is full; a call's record is lost");
        }
    }
}
