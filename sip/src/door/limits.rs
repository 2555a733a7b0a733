//! Rates, strikes and bans per source address, in tables that strangers cannot make grow. It never judges a message.

use super::net::masked;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Whom we count: one IPv4 address, or the /64 that one IPv6 customer has.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub fn of(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self(if ip.is_ipv4() { ip } else { masked(ip, 64) })
    }

    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

/// A token bucket, kept as the one instant at which it is full again.
#[derive(Default)]
pub(super) struct Pace {
    full_at: Option<Instant>,
}

impl Pace {
    /// Takes a token, if there is one: `burst` at most, one more every `interval`.
    pub fn take(&mut self, now: Instant, interval: Duration, burst: u32) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + interval;
        let has_token = full_at.saturating_duration_since(now) <= interval.saturating_mul(burst.max(1));
        if has_token {
            self.full_at = Some(full_at);
        }
        has_token
    }
}

/// What happened too often: a count that starts anew when its time is over.
#[derive(Default)]
pub(super) struct Strikes {
    since: Option<Instant>,
    count: u32,
}

impl Strikes {
    /// One more; true: that many within that time.
    pub fn add(&mut self, now: Instant, within: Duration, most: u32) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > within) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        self.count >= most
    }
}

/// What is known of one source.
#[derive(Default)]
pub(super) struct Habits {
    pub requests: Pace,
    /// Requests within calls.
    pub inside: Pace,
    pub digests: Strikes,
    pub refusals: Strikes,
}

/// The sources heard lately, in two generations: when the young are half of what is allowed, the old ones that
/// nobody asked for meanwhile are forgotten together.
pub(super) struct Sources {
    young: BTreeMap<Source, Habits>,
    old: BTreeMap<Source, Habits>,
    max: usize,
}

impl Sources {
    pub const fn new(max: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), max }
    }

    pub fn of(&mut self, source: Source) -> &mut Habits {
        if !self.young.contains_key(&source) {
            let habits = self.old.remove(&source).unwrap_or_default();
            if self.young.len() >= (self.max / 2).max(1) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(source, habits);
        }
        self.young.entry(source).or_default()
    }

    pub fn forgive(&mut self, source: Source) {
        let habits = self.of(source);
        (habits.digests, habits.refusals) = (Strikes::default(), Strikes::default());
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Sources with an end to it: bans, and those who proved a password. Each lasts as long as the others, so the
/// first to come is the first to go, also when there are too many.
pub(super) struct Until {
    ends: BTreeMap<Source, Instant>,
    order: VecDeque<(Instant, Source)>,
    max: usize,
}

impl Until {
    pub const fn new(max: usize) -> Self {
        Self { ends: BTreeMap::new(), order: VecDeque::new(), max }
    }

    pub fn contains(&self, now: Instant, source: Source) -> bool {
        !self.ends.is_empty() && self.ends.get(&source).is_some_and(|end| now < *end)
    }

    /// Anew, if it is there already.
    pub fn insert(&mut self, now: Instant, source: Source, lasts: Duration) {
        self.ends.insert(source, now + lasts);
        self.order.push_back((now + lasts, source));
        while self.order.front().is_some_and(|(end, _)| *end <= now || self.order.len() > self.max) {
            let Some((end, source)) = self.order.pop_front() else { break };
            // Not where it was renewed since: its later end is further back.
            if self.ends.get(&source) == Some(&end) {
                self.ends.remove(&source);
            }
        }
    }

    pub fn remove(&mut self, source: Source) {
        self.ends.remove(&source);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    fn source(n: u32) -> Source {
        Source::of(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_pace_has_a_burst_and_a_rate() {
        let (mut pace, start, interval) = (Pace::default(), Instant::now(), Duration::from_millis(20));
        let took = |pace: &mut Pace, ms: u64, tries: u32| {
            let now = start + Duration::from_millis(ms);
            (0..tries).filter(|_| pace.take(now, interval, 10)).count()
        };
        assert_eq!(took(&mut pace, 0, 100), 10);
        assert_eq!(took(&mut pace, 19, 100), 0);
        assert_eq!(took(&mut pace, 20, 100), 1);
        assert_eq!(took(&mut pace, 100, 100), 4);
        assert_eq!(took(&mut pace, 10_000, 100), 10);
    }

    #[test]
    fn strikes_are_forgotten_in_time() {
        let (mut strikes, start, within) = (Strikes::default(), Instant::now(), Duration::from_secs(60));
        let hits: Vec<bool> =
            [0, 59, 60, 121, 122, 123].map(|s| strikes.add(start + Duration::from_secs(s), within, 3)).to_vec();
        assert_eq!(hits, [false, false, true, false, false, true]);
    }

    #[test]
    fn one_customer_is_one_source() {
        let of = |ip: &str| Source::of(ip.parse().unwrap()).ip().to_string();
        assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn tables_stay_small_and_remember_the_busy() {
        let (mut sources, now) = (Sources::new(100), Instant::now());
        for n in 0..10_000 {
            sources.of(source(n));
            sources.of(source(7)).digests.add(now, Duration::from_secs(1), 1);
            assert!(sources.len() <= 100);
        }
        assert_eq!(sources.of(source(7)).digests.count, 10_000);

        let (mut until, second) = (Until::new(10), Duration::from_secs(1));
        for n in 0..1000 {
            until.insert(now, source(n), second);
            until.insert(now, source(0), second);
            assert!(until.len() <= 10 && until.order.len() <= 10);
        }
        assert!(until.contains(now, source(999)) && !until.contains(now, source(1)));
        assert!(!until.contains(now + second, source(999)));
        until.insert(now + second, source(5), second);
        assert_eq!((until.len(), until.order.len()), (1, 1));
        until.remove(source(5));
        assert_eq!(until.len(), 0);
    }
}
