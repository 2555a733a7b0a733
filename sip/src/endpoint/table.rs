//! The transactions of an endpoint: bounded, found by a keyed hash so that no stranger's branch is kept. It never sends.

use crate::dialog::Outgoing;
use crate::peer::Peer;
use crate::transaction::{InviteClient, InviteServer, RequestClient, RequestServer};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// A keyed hash of what identifies a transaction (RFC 3261 17.1.3, 17.2.3).
pub(super) type Key = [u64; 2];

pub(super) enum Machine {
    InviteServer(InviteServer),
    RequestServer(RequestServer),
    InviteClient(InviteClient),
    RequestClient(RequestClient),
}

/// What a client transaction is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Invite,
    Reinvite,
    Bye,
    Refer,
    /// What acknowledges a reliable provisional response.
    Prack,
    /// A refresh of the session.
    Update,
    /// What we tell about a transfer that we do.
    Notify,
    /// CANCEL, and the BYE of a fork that nobody wants.
    Aside,
    /// An INVITE that was sent again elsewhere or under another number: what it still brings is not wanted.
    Abandoned,
    /// The same, after its CANCEL.
    Cancelled,
    /// A registration of ours.
    Register(u64),
    /// An OPTIONS of ours.
    Ping(u64),
    /// A server transaction.
    Serve,
}

/// The ACK of a 2xx, kept for its retransmissions.
pub(super) struct Ack {
    pub remote_tag: Option<String>,
    pub bytes: Vec<u8>,
    /// Its parts, and where it goes.
    pub outgoing: Outgoing,
}

pub(super) struct Entry {
    pub machine: Machine,
    pub key: Key,
    /// Hash of Call-ID, From tag and CSeq: RFC 3261 8.2.2.2.
    pub merge: Option<Key>,
    pub purpose: Purpose,
    pub peer: Peer,
    pub call: Option<u64>,
    /// A client's request, for retransmission.
    pub request: Vec<u8>,
    /// A client INVITE's parts.
    pub outgoing: Option<Box<Outgoing>>,
    /// Where a client's request goes if it cannot go to `peer`, next first (RFC 3263 4.3).
    pub targets: VecDeque<Peer>,
    pub acks: Vec<Ack>,
    pub armed: Option<Instant>,
}

impl Entry {
    pub fn server(machine: Machine, key: Key, peer: Peer, call: Option<u64>) -> Self {
        let (request, acks, targets) = (Vec::new(), Vec::new(), VecDeque::new());
        let purpose = Purpose::Serve;
        Self { machine, key, merge: None, purpose, peer, call, request, outgoing: None, targets, acks, armed: None }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::InviteServer(m) => m.deadline(),
            Machine::RequestServer(m) => m.deadline(),
            Machine::InviteClient(m) => m.deadline(),
            Machine::RequestClient(m) => m.deadline(),
        }
    }

    pub fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::InviteServer(m) => m.is_terminated(),
            Machine::RequestServer(m) => m.is_terminated(),
            Machine::InviteClient(m) => m.is_terminated(),
            Machine::RequestClient(m) => m.is_terminated(),
        }
    }
}

#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<u64, Entry>,
    keys: BTreeMap<Key, u64>,
    merges: BTreeMap<Key, u64>,
    last: u64,
}

impl Table {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Transactions, their keys, their merge keys.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.keys.len(), self.merges.len())
    }

    pub fn insert(&mut self, entry: Entry) -> u64 {
        self.last += 1;
        self.keys.insert(entry.key, self.last);
        if let Some(merge) = entry.merge {
            self.merges.insert(merge, self.last);
        }
        self.entries.insert(self.last, entry);
        self.last
    }

    /// Puts another transaction in the place of one; the old one is without a place then.
    pub fn replace(&mut self, id: u64, entry: Entry) -> Option<Entry> {
        let old = self.remove(id)?;
        self.keys.insert(entry.key, id);
        self.entries.insert(id, entry);
        Some(old)
    }

    /// Those that `wanted` picks.
    pub fn ids(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<u64> {
        self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(id, _)| *id).collect()
    }

    pub fn find(&self, key: &Key) -> Option<u64> {
        self.keys.get(key).copied()
    }

    /// Is there a transaction of the same request by another way?
    pub fn is_merged(&self, merge: &Key) -> bool {
        self.merges.contains_key(merge)
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if self.keys.get(&entry.key) == Some(&id) {
            self.keys.remove(&entry.key);
        }
        if let Some(merge) = entry.merge.filter(|m| self.merges.get(m) == Some(&id)) {
            self.merges.remove(&merge);
        }
        Some(entry)
    }
}
