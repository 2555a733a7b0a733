//! Responses: whose they are (RFC 3261 17.1.3, 18.1.2), and what their transaction makes of them. It never creates a transaction.

use super::Endpoint;
use super::table::{Machine, Purpose};
use crate::header::Response;
use crate::message::Name;
use crate::peer::Transport;
use std::net::SocketAddr;
use std::time::Instant;

impl Endpoint {
    pub(super) fn on_response(&mut self, now: Instant, response: &Response<'_>) {
        let Some(tx) = self.find_client(response) else {
            self.out.stats.strays += 1;
            return;
        };
        self.learn_own_address(response);
        let Some(entry) = self.table.get_mut(tx) else { return };
        let status = response.status;
        let step = match &mut entry.machine {
            Machine::InviteClient(machine) => machine.on_response(now, status),
            Machine::RequestClient(machine) => machine.on_response(now, status),
            _ => return,
        };
        let purpose = entry.purpose;
        if step.ack
            && let Some(invite) = &entry.outgoing
        {
            // 17.1.1.3: the INVITE's own branch and route, the To of the response.
            let mut ack = (**invite).clone();
            if let Some(to) = response.message.header(Name::To) {
                ack.to = to.text().into_owned();
            }
            let bytes = ack.builder("ACK", self.config.local(ack.peer)).finish();
            self.out.send(entry.peer, bytes);
        }
        if step.up && !self.acknowledge_again(tx, response) && !self.tried_again(now, tx, response) {
            match purpose {
                Purpose::Invite => self.on_invite_response(now, tx, response),
                Purpose::Reinvite => self.on_reinvite_response(now, tx, response),
                Purpose::Refer => self.on_refer_response(now, tx, response),
                Purpose::Update => self.on_update_response(now, tx, response),
                Purpose::Notify => self.on_notify_response(tx, response),
                Purpose::Bye if status >= 200 => self.end_of_bye(tx),
                Purpose::Register(id) => self.on_register_response(now, id, response),
                Purpose::Ping(id) if status >= 200 => self.pong(id, status),
                Purpose::Abandoned | Purpose::Cancelled => self.on_abandoned_response(now, tx, response),
                Purpose::Bye | Purpose::Ping(_) | Purpose::Prack | Purpose::Aside | Purpose::Serve => {}
            }
        }
        self.settle(tx);
    }

    /// Is this failure none yet, for the request went out again?
    fn tried_again(&mut self, now: Instant, tx: u64, response: &Response<'_>) -> bool {
        match response.status {
            401 | 407 => return self.answer_challenge(now, tx, response),
            200.. => self.credentials_held(tx),
            _ => {}
        }
        if response.status != 503 {
            return false;
        }
        // RFC 3263 4.3: another server, not the same one by UDP.
        if let Some(entry) = self.table.get_mut(tx) {
            let here = entry.peer.address;
            entry.targets.retain(|t| t.address != here);
        }
        self.fail_over(now, tx)
    }

    /// A response is ours if its only Via is the one that we wrote (8.1.3.3, 18.1.2).
    fn find_client(&self, response: &Response<'_>) -> Option<u64> {
        let [via] = response.head.vias.as_slice() else { return None };
        let port = via.port.unwrap_or_else(|| Transport::parse(&via.transport).map_or(5060, Transport::default_port));
        let is_own = via.host.parse().is_ok_and(|ip| self.config.is_own(SocketAddr::new(ip, port)));
        let branch = via.branch().filter(|_| is_own)?;
        self.table.find(&self.client_key(branch, &response.head.cseq.method))
    }

    /// RFC 3581 4: what the peer saw our request come from.
    fn learn_own_address(&mut self, response: &Response<'_>) {
        let Some(via) = response.head.vias.first() else { return };
        let own = self.config.advertised;
        let ip = via.params.get("received").map_or(Some(own.ip()), |r| r.trim_matches(['[', ']']).parse().ok());
        let port = via.params.get("rport").filter(|p| !p.is_empty()).map_or(Some(own.port()), |p| p.parse().ok());
        if let (Some(ip), Some(port)) = (ip, port) {
            self.seen_as = Some(SocketAddr::new(ip, port));
        }
    }

    /// A retransmitted 2xx gets the same ACK (13.2.2.4). False: it is not one.
    fn acknowledge_again(&mut self, tx: u64, response: &Response<'_>) -> bool {
        if !(200..300).contains(&response.status) {
            return false;
        }
        let tag = response.head.to.tag();
        let Some(entry) = self.table.get(tx) else { return false };
        let Some(ack) = entry.acks.iter().find(|a| a.remote_tag.as_deref() == tag) else { return false };
        self.out.resend(ack.outgoing.peer, ack.bytes.clone());
        true
    }

    /// Whatever the answer to our BYE is, the call is over (15.1.1).
    pub(super) fn end_of_bye(&mut self, tx: u64) {
        if let Some(id) = self.table.get(tx).and_then(|e| e.call) {
            self.remove_call(id);
        }
    }
}
