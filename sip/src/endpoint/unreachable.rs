//! Roads that end: what cannot be sent goes another way, or counts as refused (RFC 3261 8.1.3.1, 18.2.2, 18.4). It never opens a connection.

use super::Endpoint;
use super::call::Phase;
use super::table::{Ack, Entry, Machine};
use crate::header::Via;
use crate::message::{self, Name};
use crate::peer::{Peer, Transport};
use std::net::SocketAddr;
use std::time::Instant;

impl Endpoint {
    /// Nothing can be sent to this peer (refused, TLS failed, the connection is gone), as far as the driver knows
    /// after having tried to open a connection of its own. Requests that nobody has answered go to their next
    /// target, or fail as if with 503; responses go to where the client said it listens, once.
    pub fn unreachable(&mut self, now: Instant, to: Peer) {
        self.flow_lost(now, to);
        let waiting = |e: &Entry| is_same(e.peer, to) || e.acks.iter().any(|a| is_same(a.outgoing.peer, to));
        for tx in self.table.ids(waiting) {
            self.acknowledge_by_udp(tx, to);
            let Some(entry) = self.table.get(tx).filter(|e| is_same(e.peer, to)) else { continue };
            match &entry.machine {
                Machine::InviteServer(_) | Machine::RequestServer(_) => self.respond_elsewhere(tx),
                // Who has answered will do so again, by a connection of its own if need be (18.2.2).
                Machine::InviteClient(machine) if !machine.is_unheard() => {}
                Machine::RequestClient(machine) if !machine.is_unheard() => {}
                _ => {
                    if !self.fail_over(now, tx) {
                        self.unanswered(now, tx, 503);
                        self.forget_transaction(tx);
                    }
                }
            }
        }
    }

    /// RFC 3261 18.2.2: the connection that the request came by is gone; the same transport to the port in
    /// its Via is left.
    fn respond_elsewhere(&mut self, tx: u64) {
        let Some(entry) = self.table.get_mut(tx) else { return };
        let repeat = entry.call.and_then(|id| self.calls.get_mut(&id)).and_then(|c| c.repeat.as_mut());
        let repeat = repeat.filter(|r| is_same(r.to, entry.peer));
        let last = match &entry.machine {
            Machine::InviteServer(machine) => machine.on_retransmit(),
            // Nothing is said so far; what will be goes where it can (18.2.2).
            Machine::RequestServer(machine) if machine.on_retransmit().is_none() => return,
            Machine::RequestServer(machine) => machine.on_retransmit(),
            _ => return,
        };
        let Some(bytes) = last.map(<[u8]>::to_vec).or_else(|| repeat.as_ref().map(|r| r.bytes.clone())) else { return };
        let Some(elsewhere) = way_back(&bytes, entry.peer) else { return };
        entry.peer = elsewhere;
        if let Some(repeat) = repeat {
            repeat.to = elsewhere;
        }
        if let Some(call) = entry.call.and_then(|id| self.calls.get_mut(&id)) {
            match (&mut call.phase, &mut call.theirs) {
                (Phase::Incoming(incoming), _) if incoming.tx == tx => incoming.reply.peer = elsewhere,
                (_, Some(theirs)) if theirs.tx == tx => theirs.reply.peer = elsewhere,
                _ => {}
            }
        }
        self.out.resend(elsewhere, bytes);
    }

    /// An ACK too large for UDP, and there is no TCP (18.1.1).
    fn acknowledge_by_udp(&mut self, tx: u64, to: Peer) {
        let Some(entry) = self.table.get(tx) else { return };
        let is_stuck = |a: &Ack| to.transport == Transport::Tcp && is_same(a.outgoing.peer, to);
        let Some(at) = entry.acks.iter().position(is_stuck) else { return };
        let Some(ack) = entry.acks.get(at) else { return };
        let mut outgoing = ack.outgoing.clone();
        let udp = Peer::udp(to.address);
        if self.road(udp, ack.bytes.len()) == udp {
            return;
        }
        outgoing.peer = udp;
        let Some((_, bytes)) = self.renew(&ack.bytes, &outgoing, false, &[]) else { return };
        let remote_tag = ack.remote_tag.clone();
        if let Some(slot) = self.table.get_mut(tx).and_then(|e| e.acks.get_mut(at)) {
            *slot = Ack { remote_tag, bytes: bytes.clone(), outgoing };
        }
        self.out.resend(udp, bytes);
    }
}

/// The same road, as far as both know which connection it is.
pub(super) fn is_same(a: Peer, b: Peer) -> bool {
    let is_one = a.connection.zip(b.connection).is_none_or(|(a, b)| a == b);
    a.transport == b.transport && a.address == b.address && is_one
}

/// Where the client of this response listens: `received` (RFC 3261 18.2.1) or its own word, and its own port.
/// `None`: that is where we were.
fn way_back(response: &[u8], from: Peer) -> Option<Peer> {
    // RFC 7118 5: a WebSocket client listens nowhere. UDP has no connection to lose.
    if !matches!(from.transport, Transport::Tcp | Transport::Tls) {
        return None;
    }
    let message = message::parse(response).ok()?;
    let via = Via::parse_list(&message.header(Name::Via)?.text())?.into_iter().next()?;
    let host = via.params.get("received").unwrap_or(&via.host);
    let ip = host.trim_matches(['[', ']']).parse().ok()?;
    let address = SocketAddr::new(ip, via.port.unwrap_or(from.transport.default_port()));
    (address != from.address).then(|| Peer::new(from.transport, address))
}
