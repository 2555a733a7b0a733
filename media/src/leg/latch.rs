//! Symmetric RTP (RFC 4961): where the other side really is, learned from its packets, guarded against
//! strangers who would like the call to come to them. It judges addresses only, never what a packet says.
//!
//! The first packet latches its address. After that, another address is believed only if
//! - the packet is authenticated (SRTP), or ICE nominated the address, or
//! - signalling gave a new address, or
//! - it is what signalling gave: its address beats its host's other ports, and those beat any other host, or
//! - the same host goes on with the same SSRC on another port after the latched one fell silent: a NAT that
//!   forgot its mapping.
//!
//! So a caller who changes networks and talks plain RTP is heard again after a re-INVITE, not before.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the latched address has to be silent before another may go on in its place.
const SILENT_AFTER: Duration = Duration::from_millis(200);
/// An address that sent no more than this has not latched for good: a late packet of the port's former call must
/// not shut the caller out.
const PROVEN_BY: u8 = 5;

pub(super) struct Latch {
    signalled: SocketAddr,
    symmetric: bool,
    nominated: Option<SocketAddr>,
    latched: Option<Latched>,
    count: u64,
}

#[derive(Copy, Clone)]
struct Latched {
    address: SocketAddr,
    last: Instant,
    authenticated: bool,
    packets: u8,
}

impl Latch {
    pub fn new(signalled: SocketAddr, symmetric: bool) -> Self {
        Latch { signalled, symmetric, nominated: None, latched: None, count: 0 }
    }

    /// Whether a well-formed packet from here belongs to the call; `same_source` says that its SSRC is the
    /// call's current one, `authenticated` that SRTP proved it.
    pub fn admit(&mut self, now: Instant, from: SocketAddr, same_source: bool, authenticated: bool) -> bool {
        if let Some(nominated) = self.nominated {
            // ICE says where media goes, whatever comes from wherever.
            return authenticated || from == nominated;
        }
        if !self.symmetric {
            return authenticated || same_host(from, self.signalled);
        }
        match &mut self.latched {
            Some(latched) if latched.address == from => {
                latched.last = now;
                latched.authenticated = authenticated;
                latched.packets = latched.packets.saturating_add(1);
                return true;
            }
            Some(latched) => {
                let silent = now.saturating_duration_since(latched.last) >= SILENT_AFTER;
                let rebound = same_source && same_host(from, latched.address);
                let closer = closeness(from, self.signalled) > closeness(latched.address, self.signalled);
                let unproven = latched.packets < PROVEN_BY;
                let believed = closer || silent && (rebound || unproven);
                if !authenticated && (latched.authenticated || !believed) {
                    return false;
                }
            }
            None => {}
        }
        self.latched = Some(Latched { address: from, last: now, authenticated, packets: 1 });
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

    /// ICE chose this address; `None`: ICE is no longer in use.
    pub fn nominate(&mut self, address: Option<SocketAddr>) {
        if address.is_some() && address != self.nominated {
            self.count += 1;
        }
        self.nominated = address;
    }

    /// Where RTP goes.
    pub fn remote(&self) -> SocketAddr {
        self.nominated.or(self.latched.map(|latched| latched.address)).unwrap_or(self.signalled)
    }

    /// Whether a datagram comes from the other side's host, on whichever port.
    pub fn is_known_host(&self, from: SocketAddr) -> bool {
        same_host(from, self.remote()) || same_host(from, self.signalled)
    }

    /// Whether replies go to where packets come from.
    pub fn is_symmetric(&self) -> bool {
        self.symmetric
    }

    /// Times the destination moved.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// 2: the very address, 1: another port of its host, 0: somewhere else.
fn closeness(address: SocketAddr, signalled: SocketAddr) -> u8 {
    let host = same_host(address, signalled);
    u8::from(host) + u8::from(host && address.port() == signalled.port())
}

/// The same host, also if one of them is written as an IPv4-mapped IPv6 address by a dual-stack socket.
fn same_host(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip().to_canonical() == b.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signalled is `s`. A word is `at_ms:from`, with `=` if the SSRC is the call's, `!` if authenticated;
    /// `at_ms:>to` a re-INVITE, `at_ms:*to` a nomination. A name's first letter is the host, then comes the port.
    /// Afterwards: where RTP goes, or `-` in front of it if the packet was not the call's.
    #[allow(clippy::disallowed_methods)]
    fn check(symmetric: bool, script: &str, expected: &str) {
        let start = Instant::now();
        let place = |name: &str| SocketAddr::from(([192, 0, 2, name.as_bytes()[0]], 4_000 + name.len() as u16));
        let mut latch = Latch::new(place("s"), symmetric);
        let mut found = vec![];
        let mut names = std::collections::BTreeMap::from([(place("s"), "s".to_owned())]);
        for word in script.split_whitespace() {
            let (at, what) = word.split_once(':').unwrap();
            let now = start + Duration::from_millis(at.parse().unwrap());
            let name: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
            let from = place(&name);
            names.insert(from, name);
            let admitted = match what.chars().next() {
                Some('>') => {
                    latch.signal(from);
                    true
                }
                Some('*') => {
                    latch.nominate(Some(from));
                    true
                }
                _ => latch.admit(now, from, what.contains('='), what.contains('!')),
            };
            found.push(format!("{}{}", if admitted { "" } else { "-" }, names[&latch.remote()]));
        }
        assert_eq!(found.join(" "), expected, "{script}");
    }

    #[test]
    fn a_stranger_who_sprays_gets_nothing_once_the_caller_was_heard() {
        // During, and after the caller fell silent for however long.
        check(true, "0:b 20:c 40:b= 60:c= 80:b= 100:b= 120:b= 140:c 5000:c= 60000:c", "b -b b -b b b b -b -b -b");
        // Before: whoever comes first is believed, until the one whom signalling named comes.
        check(true, "0:c 20:c 40:s 60:c= 80:s=", "c c s -s s");
        check(true, "0:c 20:c 40:ss 60:c= 80:ss= 90:s 100:ss=", "c c ss -ss ss s -s");
    }

    #[test]
    fn a_stray_packet_does_not_own_the_call() {
        check(true, "0:c 20:b 40:b 220:b 240:c 260:b=", "c -c -c b -b b");
        check(true, "0:c 20:c 40:c 60:c 80:c 300:b 9000:b", "c c c c c -c -c");
    }

    #[test]
    fn a_nat_may_rebind_after_a_pause() {
        let heard = "0:b 20:b= 40:b= 60:b= 80:b=";
        check(true, &format!("{heard} 270:bb= 290:bb= 300:b="), "b b b b b -b bb -bb");
        check(true, &format!("{heard} 290:bb 310:c= 900:bb"), "b b b b b -b -b -b");
    }

    #[test]
    fn who_is_authenticated_may_move() {
        check(true, "0:b! 20:c 40:c! 60:b 80:s 100:s!", "b -b c -c -c s");
        check(true, "0:c 20:c 40:b! 5000:c=", "c c b -b");
    }

    #[test]
    fn signalling_and_ice_may_move_it() {
        check(true, "0:b 20:>d 40:c 60:d 80:>d 100:c", "b d c d d -d");
        check(true, "0:b 20:*d 40:b 60:d 80:c! 100:*e 120:d 140:s", "b d -d d d e -e -e");
    }

    #[test]
    fn without_symmetry_the_signalled_host_counts() {
        check(false, "0:b 20:s 40:ss 60:c 80:c!", "-s s s -s s");
    }
}
