//! Media sockets in pairs from a configured range: RTP even, RTCP odd above it. It never reuses a busy port.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use super::shard;

/// Expedited Forwarding (RFC 3246): 46 << 2 in the TOS byte.
const TOS_EF: u32 = 0xb8;

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("no free pair of UDP ports in {first}..={last}; widen [rtp] ports or lower [calls] max")]
    Exhausted { first: u16, last: u16 },
}

pub struct Ports {
    first: u16,
    pairs: u16,
    next: AtomicU16,
}

/// One leg's two sockets, non-blocking.
pub struct Pair {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub port: u16,
    pub is_v6: bool,
}

impl Ports {
    pub fn new((first, last): (u16, u16)) -> Self {
        Self { first, pairs: (last - first) / 2 + 1, next: AtomicU16::new(0) }
    }

    /// The next free pair of this address; ports that somebody else holds are passed over.
    pub fn take(&self, address: IpAddr) -> Result<Pair, PortError> {
        for _ in 0..self.pairs {
            let n = self.next.fetch_add(1, Ordering::Relaxed) % self.pairs;
            let port = self.first + n * 2;
            if let (Ok(rtp), Ok(rtcp)) = (bind(address, port), bind(address, port + 1)) {
                return Ok(Pair { rtp, rtcp, port, is_v6: address.is_ipv6() });
            }
        }
        let last = self.first + (self.pairs - 1) * 2;
        Err(PortError::Exhausted { first: self.first, last })
    }
}

fn bind(address: IpAddr, port: u16) -> std::io::Result<UdpSocket> {
    let at = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // A router that does not know the mark ignores it, and so may a kernel that refuses it.
    let _ = if at.is_ipv4() { socket.set_tos_v4(TOS_EF) } else { socket.set_tclass_v6(TOS_EF) };
    socket.bind(&at.into())?;
    let socket = socket.into();
    shard::stamp(&socket);
    Ok(socket)
}
