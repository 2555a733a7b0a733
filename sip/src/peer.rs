//! Roads and their ends: transports, peers, connections. Plain data; it never opens anything.

use std::fmt;
use std::net::SocketAddr;

/// The kind of road a message takes (RFC 3261 18, RFC 7118).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Transport {
    /// One datagram, one message.
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
    /// TLS over TCP, framed by Content-Length.
    Tls,
    /// One WebSocket message, one SIP message.
    Ws,
    /// The same over TLS.
    Wss,
}

impl Transport {
    /// As in Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As in a URI's `transport` parameter, also as in Via; in any case of letters.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
        all.into_iter().find(|t| t.as_str().eq_ignore_ascii_case(text))
    }

    /// Nothing is lost on it, so nothing is sent twice (RFC 3261 17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Encrypted, and the server's name checked.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// RFC 3261 19.1.2, RFC 7118 5.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// One connection of the driver; never reused.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection(pub u64);

/// One end of a road: where a message came from, or goes.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The peer's address, as the socket saw it or as DNS gave it.
    pub address: SocketAddr,
    /// The road.
    pub transport: Transport,
    /// The connection a message came by. A message to it goes that way as long as the connection lives;
    /// `None`: a datagram, or any connection to the address, opened if need be.
    pub connection: Option<Connection>,
}

impl Peer {
    /// The far end of datagrams.
    pub const fn udp(address: SocketAddr) -> Self {
        Self::new(Transport::Udp, address)
    }

    /// An address to reach, without a connection so far.
    pub const fn new(transport: Transport, address: SocketAddr) -> Self {
        Self { address, transport, connection: None }
    }

    /// The far end of a connection.
    pub const fn connected(transport: Transport, address: SocketAddr, connection: Connection) -> Self {
        Self { address, transport, connection: Some(connection) }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("transport", &self.transport).finish_non_exhaustive()
    }
}
