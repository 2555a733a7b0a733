//! The living connections: who may come in, and which one a message takes. It owns no socket and waits for nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sip::{Connection, Peer, Transport};
use tokio::task::AbortHandle;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::Limits;
use super::connection::Outbox;

/// Destinations remembered per connection, to be told apart when it ends.
const ASKED_MAX: usize = 8;

/// One connection.
pub(super) struct Link {
    pub peer: Peer,
    pub outbox: Outbox,
    pub task: AbortHandle,
    /// Handshakes are over.
    pub up: bool,
    pub origin: Origin,
    /// The destinations it was used for, as they were given.
    pub asked: Vec<Peer>,
}

/// Who began.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Accepted,
    /// By us; over TLS with the name the server had to prove.
    Opened(Option<ServerName<'static>>),
}

#[derive(Default)]
pub(super) struct Table {
    links: HashMap<Connection, Link>,
    /// The latest connection to each address.
    addresses: HashMap<(Transport, SocketAddr), Connection>,
    /// Accepted connections of each source.
    sources: HashMap<IpAddr, usize>,
    accepted: usize,
    next: u64,
}

impl Table {
    /// A number for a new connection; no number comes twice.
    pub fn number(&mut self) -> Connection {
        self.next += 1;
        Connection(self.next)
    }

    pub fn may_accept(&self, from: SocketAddr, limits: &Limits) -> bool {
        let of_source = self.sources.get(&source(from.ip())).copied().unwrap_or(0);
        self.accepted < limits.connections_max && of_source < limits.per_source_max
    }

    pub fn may_open(&self, limits: &Limits) -> bool {
        self.opened() < limits.connections_max
    }

    pub fn accepted(&self) -> usize {
        self.accepted
    }

    pub fn opened(&self) -> usize {
        self.links.len() - self.accepted
    }

    pub fn insert(&mut self, connection: Connection, link: Link) {
        let address = (link.peer.transport, link.peer.address);
        if link.origin == Origin::Accepted {
            self.accepted += 1;
            *self.sources.entry(source(link.peer.address.ip())).or_default() += 1;
        }
        // RFC 5923 8: a stranger's TLS connection proves nothing about the server at its address.
        if link.origin != Origin::Accepted || link.peer.transport != Transport::Tls {
            self.addresses.insert(address, connection);
        }
        self.links.insert(connection, link);
    }

    pub fn get(&self, connection: Connection) -> Option<&Link> {
        self.links.get(&connection)
    }

    pub fn get_mut(&mut self, connection: Connection) -> Option<&mut Link> {
        self.links.get_mut(&connection)
    }

    /// A connection to an address; `name` is what a TLS server there must prove now, which an older
    /// connection may not have proven.
    pub fn find(
        &self,
        transport: Transport,
        address: SocketAddr,
        name: Option<&ServerName<'static>>,
    ) -> Option<Connection> {
        let connection = *self.addresses.get(&(transport, address))?;
        match &self.links.get(&connection)?.origin {
            Origin::Opened(proven) if proven.as_ref() != name => None,
            _ => Some(connection),
        }
    }

    pub fn remove(&mut self, connection: Connection) -> Option<Link> {
        let link = self.links.remove(&connection)?;
        let address = (link.peer.transport, link.peer.address);
        if self.addresses.get(&address) == Some(&connection) {
            self.addresses.remove(&address);
        }
        if link.origin == Origin::Accepted {
            self.accepted -= 1;
            let source = source(link.peer.address.ip());
            if let Some(count) = self.sources.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&source);
                }
            }
        }
        Some(link)
    }

    pub fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }
}

impl Link {
    /// Remembers for whom it is used.
    pub fn ask(&mut self, to: Peer) {
        if self.asked.len() < ASKED_MAX && !self.asked.contains(&to) {
            self.asked.push(to);
        }
    }
}

/// Whoever has one IPv6 address has a /64 of them.
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
