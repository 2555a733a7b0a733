//! A call's share of the port that all web calls use, for the call's shard and for its signalling. It never waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Sockets;
use super::hub::Hub;
use super::mail::{Mail, Mailbox, Way};

/// Addresses of the other side whose way is remembered.
const WAYS: usize = 16;

/// What the shard holds. Dropped, the call gets nothing any more.
pub struct WebRoad {
    line: WebLine,
    sockets: Arc<Sockets>,
    mail: Mail,
    /// Who was heard by which way, the last one first.
    ways: Vec<(SocketAddr, Way)>,
}

/// What the call's signalling keeps of it.
#[derive(Clone)]
pub struct WebLine {
    number: u64,
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
}

impl WebLine {
    pub(super) fn new(now: Instant, hub: &Arc<Hub>, name: &str) -> Self {
        let mailbox = Arc::new(Mailbox::new(now));
        Self { number: hub.enter(name, Arc::clone(&mailbox)), hub: Arc::clone(hub), mailbox }
    }

    /// ICE begins anew: checks by this name are the call's too.
    pub fn rename(&self, ufrag: &str) {
        self.hub.rename(self.number, ufrag);
    }

    /// The shard gave the road up: the call is over, or has no voice any more.
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// When something came last; before that, when it was made.
    pub fn heard(&self) -> Instant {
        self.mailbox.heard()
    }
}

impl WebRoad {
    pub(super) fn new(line: WebLine, sockets: Arc<Sockets>) -> Self {
        Self { line, sockets, mail: Mail::default(), ways: Vec::with_capacity(WAYS) }
    }

    /// Hands out what came since the last time, with when and from whom.
    pub fn read(&mut self, mut take: impl FnMut(Instant, SocketAddr, &mut [u8])) {
        self.line.mailbox.swap(&mut self.mail);
        let ways = &mut self.ways;
        self.mail.empty(|letter, datagram| {
            remember(ways, letter.from, letter.way);
            take(letter.at, letter.from, datagram);
        });
    }

    /// Sends it now or not at all, by the way that the address was heard last.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) {
        match self.ways.iter().find(|(address, _)| *address == to) {
            Some((_, Way::Tcp(outbox))) => outbox.push(datagram),
            Some((_, Way::Udp(number))) => self.sockets.send(*number, datagram, to),
            // ICE sends nothing where nothing came from.
            None => {}
        }
    }
}

impl Drop for WebRoad {
    fn drop(&mut self) {
        self.line.hub.leave(self.line.number);
    }
}

fn remember(ways: &mut Vec<(SocketAddr, Way)>, from: SocketAddr, way: Way) {
    let place = ways.iter().position(|(address, _)| *address == from).unwrap_or_else(|| {
        ways.truncate(WAYS - 1);
        ways.push((from, way.clone()));
        ways.len() - 1
    });
    if let Some(known) = ways.get_mut(..=place) {
        known.rotate_right(1);
    }
    if let Some(first) = ways.first_mut() {
        first.1 = way;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_way_counts_and_the_oldest_is_forgotten() {
        let mut ways = Vec::new();
        let at = |port: usize| SocketAddr::from(([192, 0, 2, 1], port as u16));
        (0..40).for_each(|port| remember(&mut ways, at(port), Way::Udp(port)));
        assert_eq!(ways.len(), WAYS);
        remember(&mut ways, at(30), Way::Udp(7));
        assert!(matches!(ways[0], (address, Way::Udp(7)) if address == at(30)));
        assert!(ways.iter().filter(|(address, _)| *address == at(30)).count() == 1);
        assert!(ways.iter().all(|(address, _)| *address != at(3)));
    }
}
