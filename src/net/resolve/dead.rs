//! Targets that could not be reached lately: they are tried last for a while. It forbids nothing and asks nobody.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::{Peer, Transport};

use super::Found;

/// A target's first rest; each failure after it doubles the next one.
const REST: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(600);
/// Targets remembered; past them the one whose rest ends first is forgotten.
const ENTRIES_MAX: usize = 256;

/// Who rests, and until when. A target is an address and a transport, whatever the connection.
#[derive(Default)]
pub struct Dead {
    entries: HashMap<(Transport, SocketAddr), Rest>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    length: Duration,
}

impl Dead {
    /// It could not be reached: 30 s of rest, doubling to 10 min while it keeps failing.
    pub fn failed(&mut self, now: Instant, peer: Peer) {
        let key = (peer.transport, peer.address);
        let length = match self.entries.get(&key) {
            // Many calls may find the same target dead at once; that is one failure.
            Some(rest) if now < rest.until => return,
            Some(rest) if now < rest.until + REST_MAX => (rest.length * 2).min(REST_MAX),
            _ => REST,
        };
        self.entries.retain(|_, rest| now < rest.until + REST_MAX);
        if self.entries.len() >= ENTRIES_MAX
            && !self.entries.contains_key(&key)
            && let Some(soonest) = self.entries.iter().min_by_key(|(_, rest)| rest.until).map(|(key, _)| *key)
        {
            self.entries.remove(&soonest);
        }
        self.entries.insert(key, Rest { until: now + length, length });
    }

    /// It answered, whatever it said.
    pub fn answered(&mut self, peer: Peer) {
        self.entries.remove(&(peer.transport, peer.address));
    }

    /// Moves resting targets to the end, those that wake first before the others; the order of the
    /// rest stays. None is left out: where all are dead, a try costs less than a refusal.
    pub fn order(&self, now: Instant, targets: &mut [Found]) {
        let rests = |f: &Found| self.entries.get(&(f.peer.transport, f.peer.address)).map(|rest| rest.until);
        targets.sort_by_key(|f| rests(f).filter(|until| now < *until));
    }
}

impl fmt::Debug for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dead").field("entries", &self.entries.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> Peer {
        Peer::udp(([192, 0, 2, 1], n).into())
    }

    /// `fail N`, `answer N`, `order WANTED...`, each at a second.
    fn check(script: &str) {
        let start = crate::clock::now();
        let mut dead = Dead::default();
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace();
            let now = start + Duration::from_secs(words.next().unwrap().parse().unwrap());
            let what = words.next().unwrap();
            let ports: Vec<u16> = words.map(|w| w.parse().unwrap()).collect();
            match what {
                "fail" => dead.failed(now, peer(ports[0])),
                "answer" => dead.answered(peer(ports[0])),
                _ => {
                    let found = |n| Found { peer: peer(n), name: String::new() };
                    let mut targets: Vec<Found> = (1..=3).map(found).collect();
                    dead.order(now, &mut targets);
                    let got: Vec<u16> = targets.iter().map(|t| t.peer.address.port()).collect();
                    assert_eq!(got, ports, "{line}");
                }
            }
        }
    }

    #[test]
    fn the_dead_come_last() {
        check(
            "0 order 1 2 3
             0 fail 1
             1 order 2 3 1
             2 fail 2
             3 order 3 1 2
             4 fail 3
             5 order 1 2 3
             6 answer 3
             7 order 3 1 2
             30 order 1 3 2
             32 order 1 2 3",
        );
    }

    #[test]
    fn rest_doubles_while_it_fails_and_starts_over_after_an_answer() {
        check(
            "0 fail 1
             5 fail 1
             29 order 2 3 1
             30 order 1 2 3
             31 fail 1
             90 order 2 3 1
             91 order 1 2 3
             91 fail 1
             210 order 2 3 1
             211 fail 1
             450 order 2 3 1
             451 fail 1
             930 order 2 3 1
             931 fail 1
             1530 order 2 3 1
             1531 fail 1
             2130 order 2 3 1
             2131 answer 1
             2131 order 1 2 3
             2140 fail 1
             2170 order 1 2 3
             2780 fail 1
             2810 order 1 2 3",
        );
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let start = crate::clock::now();
        let mut dead = Dead::default();
        for n in 0..1000u16 {
            dead.failed(start + Duration::from_millis(n.into()), peer(n + 1));
        }
        assert_eq!(dead.entries.len(), ENTRIES_MAX);
        assert!(dead.entries.contains_key(&(Transport::Udp, peer(1000).address)));
        dead.failed(start + Duration::from_secs(3600), peer(1));
        assert_eq!(dead.entries.len(), 1);
        assert_eq!(format!("{dead:?}"), "Dead { entries: 1 }");
    }
}
