//! The checks of a caller of our own (RFC 8445): the controlling side towards a lite agent at one address. It nominates
//! with every check, knows no candidates, and takes nobody's checks; whoever is called needs `ice` alone.
use std::time::{Duration, Instant};

use super::stun::{Binding, Check, Class, Transaction};

/// Before an answer, and from then on (RFC 7675, 5.1: at most so often).
const FIRST_EVERY: Duration = Duration::from_millis(50);
const THEN_EVERY: Duration = Duration::from_millis(4_000);
/// RFC 8445, 5.1.2.1: what a check finds, the best of its kind, the only component.
const PRIORITY: u32 = (110 << 24) | (0xFFFF << 8) | 255;

/// One caller's checks.
pub struct Checker {
    username: String,
    password: String,
    random: u128,
    sent: u32,
    next: Instant,
    passed: bool,
}

impl Checker {
    /// `ours`: the `ice-ufrag` of our SDP; `ufrag` and `pwd` those of the other side's.
    pub fn new(now: Instant, ours: &str, ufrag: &str, pwd: &str, random: u128) -> Checker {
        let username = format!("{ufrag}:{ours}");
        Checker { username, password: pwd.to_owned(), random, sent: 0, next: now, passed: false }
    }

    /// Writes a check if one is due; `None` too where there is no room for it.
    pub fn poll(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if now < self.next {
            return None;
        }
        self.next = now + if self.passed { THEN_EVERY } else { FIRST_EVERY };
        let check = Check {
            transaction: self.transaction(self.sent),
            username: &self.username,
            password: &self.password,
            priority: PRIORITY,
            tie_breaker: self.random as u64,
        };
        self.sent = self.sent.wrapping_add(1);
        check.write(out)
    }

    /// Takes a datagram: is it the genuine answer to a check of ours? Then the other side can be reached.
    pub fn handle(&mut self, datagram: &[u8]) -> bool {
        let Some(answer) = Binding::read(datagram) else { return false };
        let number = answer.transaction.last_chunk().map_or(u32::MAX, |n| u32::from_be_bytes(*n));
        let is_ours = number < self.sent && answer.transaction == self.transaction(number);
        let passes = answer.class == Class::Success && is_ours && answer.is_by(&self.password);
        self.passed |= passes;
        passes
    }

    /// Whether a check was answered.
    pub fn has_passed(&self) -> bool {
        self.passed
    }

    /// Unguessable, and different for each.
    fn transaction(&self, number: u32) -> Transaction {
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&((self.random >> 64) as u64).to_be_bytes());
        transaction[8..].copy_from_slice(&number.to_be_bytes());
        transaction
    }
}

#[cfg(test)]
mod tests {
    use super::super::ice::{Check as Found, Ice, IceConfig};
    use super::*;

    const PWD: &str = "a password of 22 characters";

    /// A lite agent that we know by these credentials answers our first check; does that pass?
    fn check(ufrag: &str, pwd: &str, expected: Found, passes: bool) {
        let now = start();
        let place = ([192, 0, 2, 1], 4_000).into();
        let mut theirs = Ice::new(IceConfig { local_ufrag: "them".into(), local_pwd: PWD.into() });
        let mut ours = Checker::new(now, "ours", ufrag, pwd, 7 << 64 | 9);
        let mut out = [0; 200];
        let len = ours.poll(now, &mut out).unwrap();
        assert_eq!(theirs.handle(now, place, &out[..len]), expected);
        let (len, to) = theirs.poll(&mut out).unwrap();
        assert_eq!((to, ours.handle(&out[..len]), ours.has_passed()), (place, passes, passes));
        // From somebody who only saw it go by, or once more with another number.
        out[19] ^= 1;
        assert!(!ours.handle(&out[..len]));
    }

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_lite_agent_passes_who_knows_its_password() {
        let place = ([192, 0, 2, 1], 4_000).into();
        check("them", PWD, Found::Nominated(place), true);
        check("them", "another of 22 characters", Found::Refused, false);
        check("they", PWD, Found::Refused, false);
    }

    #[test]
    fn checks_come_fast_until_one_is_answered() {
        let start = start();
        let at = |ms| start + Duration::from_millis(ms);
        let mut ours = Checker::new(start, "ours", "them", PWD, 1);
        let mut out = [0; 200];
        let mut sent = |ours: &mut Checker, from: u64, to: u64| {
            (from..to).filter(|ms| ours.poll(at(*ms), &mut out).is_some()).count()
        };
        assert_eq!(sent(&mut ours, 0, 500), 10);
        let mut theirs = Ice::new(IceConfig { local_ufrag: "them".into(), local_pwd: PWD.into() });
        let mut out = [0; 200];
        let len = ours.poll(at(500), &mut out).unwrap();
        theirs.handle(at(500), ([192, 0, 2, 1], 4_000).into(), &out[..len]);
        let (len, _) = theirs.poll(&mut out).unwrap();
        assert!(ours.handle(&out[..len]));
        let mut sent = |from: u64, to: u64| (from..to).filter(|ms| ours.poll(at(*ms), &mut out).is_some()).count();
        assert_eq!(sent(501, 20_000), 5);
        assert!(ours.poll(at(60_000), &mut [0; 20]).is_none(), "no room");
    }
}
