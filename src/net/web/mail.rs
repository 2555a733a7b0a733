//! Datagrams of one call on their way from the port that all web calls share to the call's shard: a bounded queue that
//! readers fill and the shard empties at its tick. It never looks into a datagram, and once grown it allocates nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::stream::Outbox;

/// Datagrams that wait for a tick. One comes in 20 ms; more while a connection is made, or after a hold-up.
const LETTERS: usize = 32;
/// Their bytes together.
const BYTES: usize = 24 * 1024;

/// By which way a datagram came, and answers go.
#[derive(Clone)]
pub(super) enum Way {
    /// The nth of our UDP sockets.
    Udp(usize),
    Tcp(Arc<Outbox>),
}

/// What is known of a datagram.
pub(super) struct Letter {
    pub at: Instant,
    pub from: SocketAddr,
    pub way: Way,
    len: usize,
}

/// Datagrams, one after the other.
#[derive(Default)]
pub(super) struct Mail {
    letters: Vec<Letter>,
    bytes: Vec<u8>,
}

impl Mail {
    fn put(&mut self, at: Instant, from: SocketAddr, way: Way, datagram: &[u8]) -> bool {
        if self.letters.len() == LETTERS || self.bytes.len() + datagram.len() > BYTES {
            return false;
        }
        self.letters.push(Letter { at, from, way, len: datagram.len() });
        self.bytes.extend_from_slice(datagram);
        true
    }

    /// Hands out all of it, oldest first.
    pub fn empty(&mut self, mut take: impl FnMut(Letter, &mut [u8])) {
        let mut rest = self.bytes.as_mut_slice();
        for letter in self.letters.drain(..) {
            let Some((datagram, after)) = std::mem::take(&mut rest).split_at_mut_checked(letter.len) else { break };
            take(letter, datagram);
            rest = after;
        }
        self.bytes.clear();
    }
}

/// The queue, as both ends hold it.
pub(super) struct Mailbox(Mutex<Inside>);

struct Inside {
    mail: Mail,
    /// When something came last; before that when it was made.
    heard: Instant,
    closed: bool,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    Waits,
    /// There is no room; it is lost.
    Full,
    /// The call is over.
    Closed,
}

impl Mailbox {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Inside { mail: Mail::default(), heard: now, closed: false }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, at: Instant, from: SocketAddr, way: Way, datagram: &[u8]) -> Put {
        let mut inside = self.inside();
        if inside.closed {
            return Put::Closed;
        }
        inside.heard = at.max(inside.heard);
        if inside.mail.put(at, from, way, datagram) { Put::Waits } else { Put::Full }
    }

    /// Takes what waits, and leaves `empty`, which is used next.
    pub fn swap(&self, empty: &mut Mail) {
        std::mem::swap(&mut self.inside().mail, empty);
    }

    pub fn heard(&self) -> Instant {
        self.inside().heard
    }

    pub fn is_closed(&self) -> bool {
        self.inside().closed
    }

    pub fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        inside.mail = Mail::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn letters(mail: &mut Mail) -> Vec<(u16, Vec<u8>)> {
        let mut found = vec![];
        mail.empty(|letter, bytes| found.push((letter.from.port(), bytes.to_vec())));
        found
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let (now, mailbox, mut mail) = (clock::now(), Mailbox::new(clock::now()), Mail::default());
        let from = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for (port, text) in [(1, "one"), (2, ""), (1, "three")] {
            assert_eq!(mailbox.put(now, from(port), Way::Udp(0), text.as_bytes()), Put::Waits);
        }
        mailbox.swap(&mut mail);
        assert_eq!(letters(&mut mail), [(1, b"one".to_vec()), (2, vec![]), (1, b"three".to_vec())]);
        assert!(letters(&mut mail).is_empty());
        mailbox.swap(&mut mail);
        assert!(letters(&mut mail).is_empty());
    }

    #[test]
    fn a_flood_and_a_call_that_is_over_take_nothing() {
        let (now, mailbox, mut mail) = (clock::now(), Mailbox::new(clock::now()), Mail::default());
        let from = SocketAddr::from(([192, 0, 2, 1], 1));
        let put = |len: usize| mailbox.put(now, from, Way::Udp(0), &vec![7; len]);
        assert_eq!((0..LETTERS + 5).filter(|_| put(10) == Put::Waits).count(), LETTERS);
        mailbox.swap(&mut mail);
        assert_eq!(letters(&mut mail).len(), LETTERS);
        assert_eq!((0..40).filter(|_| put(1_500) == Put::Waits).count(), BYTES / 1_500);
        mailbox.close();
        assert_eq!(put(10), Put::Closed);
        mailbox.swap(&mut mail);
        assert!(letters(&mut mail).is_empty());
    }
}
