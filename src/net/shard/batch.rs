//! Reads what waits at a UDP socket: several datagrams with one system call, each with the kernel's time of arrival,
//! into buffers that all calls of a shard share. It never allocates or sends, and blocks only where it is told to wait.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, setsockopt,
};
use nix::sys::time::TimeSpec;

use crate::clock;

/// Datagrams to a system call. A call gets one per tick; more come after a hold-up.
const DATAGRAMS: usize = 4;
/// System calls to a socket and tick: past 16 datagrams the rest waits for the next tick, so that a flood costs
/// the call it is sent to and no other.
const ROUNDS: usize = 4;
/// Largest datagram read; longer ones are cut, and then fail to parse.
const DATAGRAM: usize = 2048;
/// An older stamp means that the system's clock was set meanwhile.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Asks the kernel to stamp what arrives here. Without it, datagrams count as arrived when they are read.
pub(in crate::net) fn stamp(socket: &UdpSocket) {
    let _ = setsockopt(socket, ReceiveTimestampns, &true);
}

pub(in crate::net) struct Batch {
    // One set for each family: the kernel shortens a header's room for addresses to what it wrote.
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
    buffers: Box<[[u8; DATAGRAM]; DATAGRAMS]>,
}

/// A datagram in the buffer of the same number.
struct Arrival {
    len: usize,
    from: SocketAddr,
    /// By the system's clock, since the Unix epoch.
    stamp: Option<Duration>,
}

impl Batch {
    pub fn new() -> Self {
        let stamps = || Some(nix::cmsg_space!(TimeSpec));
        Self {
            v4: MultiHeaders::preallocate(DATAGRAMS, stamps()),
            v6: MultiHeaders::preallocate(DATAGRAMS, stamps()),
            buffers: Box::new([[0; DATAGRAM]; DATAGRAMS]),
        }
    }

    /// Hands out each waiting datagram, up to 16, with when it arrived and whom it came from.
    pub fn read(&mut self, socket: &UdpSocket, is_v6: bool, mut take: impl FnMut(Instant, SocketAddr, &mut [u8])) {
        for _ in 0..ROUNDS {
            if self.call(socket, is_v6, MsgFlags::MSG_DONTWAIT, &mut take) < DATAGRAMS {
                return;
            }
        }
    }

    /// The same for a blocking socket: waits for a datagram as long as its read timeout, and takes those beside it. True:
    /// more may wait.
    pub fn wait(&mut self, socket: &UdpSocket, is_v6: bool, take: impl FnMut(Instant, SocketAddr, &mut [u8])) -> bool {
        self.call(socket, is_v6, MsgFlags::MSG_WAITFORONE, take) == DATAGRAMS
    }

    fn call(
        &mut self,
        socket: &UdpSocket,
        is_v6: bool,
        flags: MsgFlags,
        mut take: impl FnMut(Instant, SocketAddr, &mut [u8]),
    ) -> usize {
        let arrivals = if is_v6 {
            receive(&mut self.v6, socket, flags, &mut self.buffers, |a| SocketAddrV6::from(a).into())
        } else {
            receive(&mut self.v4, socket, flags, &mut self.buffers, |a| SocketAddrV4::from(a).into())
        };
        let (now, wall) = (clock::now(), clock::wall());
        let mut count = 0;
        for (Arrival { len, from, stamp }, buffer) in arrivals.into_iter().flatten().zip(self.buffers.iter_mut()) {
            count += 1;
            let age = stamp.map_or(Duration::ZERO, |s| wall.saturating_sub(s).min(AGE_MAX));
            let datagram = buffer.get_mut(..len).unwrap_or_default();
            take(now.checked_sub(age).unwrap_or(now), from, datagram);
            // The last buffers are used in bursts alone: what somebody said would lie there until the next one.
            datagram.fill(0);
        }
        count
    }
}

/// One system call. An error is "nothing there", or a past packet's ICMP; the socket itself is fine.
fn receive<S: SockaddrLike + Copy>(
    headers: &mut MultiHeaders<S>,
    socket: &UdpSocket,
    flags: MsgFlags,
    buffers: &mut [[u8; DATAGRAM]; DATAGRAMS],
    address: impl Fn(S) -> SocketAddr,
) -> [Option<Arrival>; DATAGRAMS] {
    let mut arrivals = [const { None }; DATAGRAMS];
    let mut slices = buffers.each_mut().map(|buffer| [std::io::IoSliceMut::new(buffer)]);
    if let Ok(messages) = recvmmsg(socket.as_raw_fd(), headers, &mut slices, flags, None) {
        for (slot, message) in arrivals.iter_mut().zip(messages) {
            *slot = message.address.map(|from| Arrival {
                len: message.bytes,
                from: address(from),
                stamp: stamp_of(&message),
            });
        }
    }
    arrivals
}

fn stamp_of<S>(message: &RecvMsg<'_, '_, S>) -> Option<Duration> {
    message.cmsgs().ok()?.find_map(|c| match c {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` datagrams, reads once, and gives what came.
    fn check(address: &str, count: u8, wait: Duration) -> Vec<(u8, Duration)> {
        let to = UdpSocket::bind(address).unwrap();
        to.set_nonblocking(true).unwrap();
        stamp(&to);
        let from = UdpSocket::bind(address).unwrap();
        let (at, sender) = (to.local_addr().unwrap(), from.local_addr().unwrap());
        (0..count).for_each(|n| _ = from.send_to(&[n; 9], at).unwrap());
        std::thread::park_timeout(wait);
        let mut batch = Batch::new();
        let mut came = vec![];
        batch.read(&to, at.is_ipv6(), |stamped, from, datagram| {
            assert_eq!((datagram.len(), from), (9, sender));
            came.push((datagram[0], clock::now().saturating_duration_since(stamped)));
        });
        came
    }

    #[test]
    fn each_datagram_comes_once_in_order_with_its_age() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            for count in [0, 1, 4, 7] {
                let came = check(address, count, Duration::from_millis(30));
                assert_eq!(came.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
                assert!(came.iter().all(|(_, age)| *age >= Duration::from_millis(30)), "{came:?}");
            }
        }
    }

    #[test]
    fn a_flood_waits_for_the_next_tick() {
        assert_eq!(check("127.0.0.1:0", 40, Duration::ZERO).len(), DATAGRAMS * ROUNDS);
    }
}
