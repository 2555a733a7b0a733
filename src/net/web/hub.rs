//! Whose a datagram is that came to the port of all web calls: its sender's address tells, or else the name that an ICE
//! check begins with (RFC 8445 7.3, RFC 7983). It never answers, and judges no check: the call does.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mail::{Mailbox, Put, Way};

/// Addresses that a call is known by; the one learned first goes first.
const ADDRESSES: usize = 16;
/// Names: the present one and the one before an ICE restart.
const NAMES: usize = 2;
/// An address of a call that was heard so recently goes to no other call, whoever sends a check from it.
const TAKEN_FOR: Duration = Duration::from_secs(5);

pub(super) struct Hub(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    calls: HashMap<u64, Call>,
    by_name: HashMap<Vec<u8>, u64>,
    by_address: HashMap<SocketAddr, u64>,
    counts: Counts,
}

struct Call {
    mailbox: Arc<Mailbox>,
    names: VecDeque<Vec<u8>>,
    addresses: VecDeque<SocketAddr>,
}

/// What was dropped since it was asked last.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// From nobody we know.
    pub unknown: u64,
    /// No room.
    pub full: u64,
}

impl Hub {
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call whose checks begin with `name`; its number, which ends it.
    pub fn enter(&self, name: &str, mailbox: Arc<Mailbox>) -> u64 {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.calls.insert(number, Call { mailbox, names: VecDeque::new(), addresses: VecDeque::new() });
        table.name(number, name.as_bytes());
        number
    }

    /// ICE begins anew under another name; checks by the former one still arrive.
    pub fn rename(&self, number: u64, name: &str) {
        self.table().name(number, name.as_bytes());
    }

    pub fn leave(&self, number: u64) {
        let mut table = self.table();
        let Some(call) = table.calls.remove(&number) else { return };
        call.mailbox.close();
        for name in &call.names {
            table.by_name.remove(name);
        }
        for address in &call.addresses {
            table.by_address.remove(address);
        }
    }

    /// A datagram that came by UDP.
    pub fn deliver(&self, at: Instant, from: SocketAddr, way: Way, datagram: &[u8]) {
        let mut table = self.table();
        let named = name_of_check(datagram).and_then(|name| table.by_name.get(name).copied());
        if let Some(number) = named {
            table.learn(at, number, from);
        }
        let mailbox = named
            .or_else(|| table.by_address.get(&from).copied())
            .and_then(|number| table.calls.get(&number))
            .map(|call| Arc::clone(&call.mailbox));
        match mailbox.map(|mailbox| mailbox.put(at, from, way, datagram)) {
            Some(Put::Waits) => {}
            Some(Put::Full) => table.counts.full += 1,
            Some(Put::Closed) | None => table.counts.unknown += 1,
        }
    }

    /// Whose check this is, for a connection's first frame: what follows there is of the same call.
    pub fn whose(&self, check: &[u8]) -> Option<Arc<Mailbox>> {
        let mut table = self.table();
        let number = name_of_check(check).and_then(|name| table.by_name.get(name).copied());
        let found = number.and_then(|number| table.calls.get(&number)).map(|call| Arc::clone(&call.mailbox));
        table.counts.unknown += u64::from(found.is_none());
        found
    }

    pub fn calls(&self) -> usize {
        self.table().calls.len()
    }

    pub fn counts(&self) -> Counts {
        std::mem::take(&mut self.table().counts)
    }
}

impl Table {
    fn name(&mut self, number: u64, name: &[u8]) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.names.len() == NAMES
            && let Some(old) = call.names.pop_front()
        {
            self.by_name.remove(&old);
        }
        call.names.push_back(name.to_vec());
        self.by_name.insert(name.to_vec(), number);
    }

    fn learn(&mut self, now: Instant, number: u64, from: SocketAddr) {
        match self.by_address.get(&from) {
            Some(known) if *known == number => return,
            // Whoever can write another's address on a check must not get what is sent to that one's call.
            Some(known) => {
                let other = self.calls.get_mut(known);
                if other.as_ref().is_some_and(|c| now.saturating_duration_since(c.mailbox.heard()) < TAKEN_FOR) {
                    return;
                }
                if let Some(other) = other {
                    other.addresses.retain(|a| *a != from);
                }
            }
            None => {}
        }
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.addresses.len() == ADDRESSES
            && let Some(old) = call.addresses.pop_front()
        {
            self.by_address.remove(&old);
        }
        call.addresses.push_back(from);
        self.by_address.insert(from, number);
    }
}

/// Our part of the user name of a Binding request (RFC 8445 7.2.2): what comes before the colon.
fn name_of_check(datagram: &[u8]) -> Option<&[u8]> {
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 0x0006;
    let (head, mut rest) = datagram.split_first_chunk::<20>()?;
    if head[..2] != BINDING_REQUEST || head[4..8] != COOKIE {
        return None;
    }
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..len)?;
        if kind == USERNAME {
            return value.split(|b| *b == b':').next();
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
}

/// A check for this user name, as far as it is looked at here.
#[cfg(test)]
pub(super) fn check_for(user: &str) -> Vec<u8> {
    let mut attribute = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0, 0, 6];
    attribute.extend((user.len() as u16).to_be_bytes());
    attribute.extend(user.as_bytes());
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut check = vec![0, 1];
    check.extend((attribute.len() as u16).to_be_bytes());
    check.extend([0x21, 0x12, 0xa4, 0x42]);
    check.extend([9; 12]);
    check.extend(attribute);
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::net::web::mail::Mail;

    /// Steps `at_ms:from what`, what being `?NAME` (a check) or anything; `+NAME` enters a call, `=A>B` gives the call
    /// of A the name B as well, `-NAME` ends it. Then what each call got, by its first name.
    fn check(script: &[&str], want: &str) {
        let (hub, start) = (Hub::new(), clock::now());
        let mut calls: Vec<(String, u64, Arc<Mailbox>)> = vec![];
        for step in script {
            if let Some(name) = step.strip_prefix('+') {
                let mailbox = Arc::new(Mailbox::new(start));
                calls.push((name.into(), hub.enter(name, Arc::clone(&mailbox)), mailbox));
            } else if let Some((name, new)) = step.strip_prefix('=').and_then(|s| s.split_once('>')) {
                hub.rename(calls.iter().find(|c| c.0 == name).unwrap().1, new);
            } else if let Some(name) = step.strip_prefix('-') {
                hub.leave(calls.iter().find(|c| c.0 == name).unwrap().1);
            } else {
                let (at, what) = step.split_once(' ').unwrap();
                let (at, from) = at.split_once(':').unwrap();
                let now = start + Duration::from_millis(at.parse().unwrap());
                let from = SocketAddr::from(([192, 0, 2, from.as_bytes()[0]], 4_000));
                let bytes = what.strip_prefix('?').map_or(what.as_bytes().to_vec(), |n| check_for(&format!("{n}:x")));
                hub.deliver(now, from, Way::Udp(0), &bytes);
            }
        }
        let mut got = vec![];
        for (name, _, mailbox) in &calls {
            let mut mail = Mail::default();
            mailbox.swap(&mut mail);
            let mut texts = vec![];
            mail.empty(|_, bytes| {
                texts.push(if bytes[0] == 0 { "?".into() } else { String::from_utf8_lossy(bytes).into_owned() })
            });
            got.push(format!("{name}[{}]", texts.join(" ")));
        }
        let Counts { unknown, full } = hub.counts();
        assert_eq!(format!("{} dropped {unknown} full {full}", got.join(" ")), want, "{script:?}");
    }

    #[test]
    fn a_check_introduces_an_address() {
        check(
            &["+a", "+b", "0:x hi", "0:x ?a", "1:x one", "2:y ?b", "3:y two", "4:x three"],
            "a[? one three] b[? two] dropped 1 full 0",
        );
        check(&["+a", "0:x ?c", "0:x hi"], "a[] dropped 2 full 0");
    }

    #[test]
    fn an_address_in_use_is_not_taken_over() {
        check(&["+a", "+b", "0:x ?a", "10:x ?b", "20:x media"], "a[? media] b[?] dropped 0 full 0");
        check(&["+a", "+b", "0:x ?a", "9000:x ?b", "9020:x media"], "a[?] b[? media] dropped 0 full 0");
    }

    #[test]
    fn a_restart_keeps_the_address_and_adds_a_name() {
        check(&["+a", "0:x ?a", "=a>b", "1:y ?b", "2:y two", "3:x one", "4:z ?a"], "a[? ? two one ?] dropped 0 full 0");
        check(&["+a", "=a>b", "=a>c", "1:y ?a", "2:y ?c"], "a[?] dropped 1 full 0");
    }

    #[test]
    fn a_call_that_is_over_is_nobodys() {
        check(&["+a", "0:x ?a", "-a", "1:x one", "2:x ?a"], "a[] dropped 2 full 0");
    }

    #[test]
    fn a_call_remembers_some_addresses() {
        let mut script: Vec<String> = vec!["+a".into()];
        script.extend((0..30u8).map(|n| format!("{n}:{} ?a", char::from(b'A' + n))));
        script.extend(["40:A old".into(), format!("41:{} new", char::from(b'A' + 29))]);
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let checks = vec!["?"; 30].join(" ");
        check(&script, &format!("a[{checks} new] dropped 1 full 0"));
    }

    #[test]
    fn anything_but_a_check_has_no_name() {
        assert_eq!(name_of_check(&check_for("ours:theirs")), Some(&b"ours"[..]));
        assert_eq!(name_of_check(&check_for("")), Some(&b""[..]));
        let whole = check_for("ours:theirs");
        for len in 0..whole.len() - 1 {
            assert_eq!(name_of_check(&whole[..len]), None, "{len}");
        }
        let mut answer = whole.clone();
        answer[0] = 1;
        assert_eq!(name_of_check(&answer), None);
        assert_eq!(name_of_check(&[0x80; 200]), None);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever comes: nothing is learned of it, or a name that is in it.
        #[test]
        fn any_datagram_is_survived(mut chance in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for head in [false, true] {
                if head && chance.len() >= 20 {
                    chance[..2].copy_from_slice(&[0, 1]);
                    chance[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
                }
                let name = name_of_check(&chance);
                proptest::prop_assert!(name.is_none_or(|n| n.is_empty() || chance.windows(n.len()).any(|w| w == n)));
                let (hub, now) = (Hub::new(), clock::now());
                hub.enter("evtj", Arc::new(Mailbox::new(now)));
                hub.deliver(now, ([192, 0, 2, 1], 4_000).into(), Way::Udp(0), &chance);
                let known = name == Some(b"evtj");
                proptest::prop_assert_eq!(hub.counts().unknown, u64::from(!known));
            }
        }
    }
}
