//! Symmetric RTP (RFC 4961): where the other side really is, learned from its packets, guarded against
//! strangers who would like the call to come to them. It judges addresses only, never what a packet says.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Another address is believed once the latched one was silent for this long ...
const RELATCH_AFTER: Duration = Duration::from_secs(2);
/// ... or for this long if it goes on with the same SSRC, which a stranger off the path cannot know: a NAT
/// that changed its mind.
const RELATCH_SAME_SOURCE_AFTER: Duration = Duration::from_millis(200);

pub(super) struct Latch {
    signalled: SocketAddr,
    symmetric: bool,
    latched: Option<(SocketAddr, Instant)>,
    count: u64,
}

impl Latch {
    pub fn new(signalled: SocketAddr, symmetric: bool) -> Self {
        Latch { signalled, symmetric, latched: None, count: 0 }
    }

    /// Whether a well-formed packet from here belongs to the call; `same_source` says that its SSRC is the
    /// call's current one.
    pub fn admit(&mut self, now: Instant, from: SocketAddr, same_source: bool) -> bool {
        if !self.symmetric {
            return same_host(from, self.signalled);
        }
        match &mut self.latched {
            Some((address, last)) if *address == from => {
                *last = now;
                return true;
            }
            // Whoever was quicker, the address that signalling gave us is the right one.
            Some(_) if from == self.signalled => {}
            Some((_, last)) => {
                let patience = if same_source { RELATCH_SAME_SOURCE_AFTER } else { RELATCH_AFTER };
                if now.saturating_duration_since(*last) < patience {
                    return false;
                }
            }
            None => {}
        }
        self.latched = Some((from, now));
        self.count += 1;
        true
    }

    /// The other side told us its address anew: believe the first packet again.
    pub fn signal(&mut self, remote: SocketAddr) {
        if remote != self.signalled {
            self.signalled = remote;
            self.latched = None;
        }
    }

    /// Where RTP goes.
    pub fn remote(&self) -> SocketAddr {
        self.latched.map_or(self.signalled, |(address, _)| address)
    }

    /// Whether a datagram comes from the other side's host, on whichever port.
    pub fn is_known_host(&self, from: SocketAddr) -> bool {
        same_host(from, self.remote()) || same_host(from, self.signalled)
    }

    /// Whether replies go to where packets come from.
    pub fn is_symmetric(&self) -> bool {
        self.symmetric
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The same host, also if one of them is written as an IPv4-mapped IPv6 address by a dual-stack socket.
fn same_host(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip().to_canonical() == b.ip().to_canonical()
}
