//! The port that all calls from web pages share, UDP and TCP: it takes what comes to whom it concerns, and never answers
//! whom it does not know.

mod hub;
mod mail;
mod road;
mod stream;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use socket2::{Domain, Protocol, Socket, Type};
use std::os::fd::AsRawFd;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::hub::Hub;
use self::mail::Way;
use self::stream::Guests;
use super::shard::{Batch, raise_priority, stamp};
use crate::clock;

pub use self::road::{WebLine, WebRoad};

/// How soon a reader notices that it is to end.
const LOOK_UP: Duration = Duration::from_millis(250);
/// All calls' datagrams of a tenth of a second of a thousand calls; the kernel may allow less.
const RECEIVE_BUFFER: usize = 4 << 20;
const SEND_BUFFER: usize = 1 << 20;
/// Expedited Forwarding, as all media has it (RFC 3246).
const TOS_EF: u32 = 0xb8;
/// Port 0: how often another one is tried that is free for both.
const TRIES: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(
        "cannot listen for web calls on UDP and TCP {address}: {source}. Is another program using the port? Change [web] bind"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot start a thread for web calls: {0}")]
    Thread(std::io::Error),
}

/// Where web calls are to be reached.
pub struct WebConfig {
    pub bind: Vec<SocketAddr>,
    /// Told instead of the addresses bound, of the same family; empty: those.
    pub advertised: Vec<IpAddr>,
}

/// The UDP sockets. Readers block on them, senders never.
pub(super) struct Sockets(Vec<UdpSocket>);

impl Sockets {
    /// A full buffer or an unreachable host costs this datagram.
    fn send(&self, number: usize, datagram: &[u8], to: SocketAddr) {
        if let Some(socket) = self.0.get(number) {
            let to = SockaddrStorage::from(to);
            let _ = sendto(socket.as_raw_fd(), datagram, &to, MsgFlags::MSG_DONTWAIT);
        }
    }
}

/// The open port. Dropped, nothing comes any more.
pub struct Web {
    hub: Arc<Hub>,
    sockets: Arc<Sockets>,
    /// Where pages reach us; by UDP and by TCP alike.
    told: Vec<SocketAddr>,
    bound: Vec<SocketAddr>,
    closed: Arc<AtomicBool>,
    listeners: Vec<JoinHandle<()>>,
}

impl Web {
    /// Binds and begins to read. In a tokio runtime.
    pub fn open(config: &WebConfig) -> Result<Self, WebError> {
        let (mut sockets, mut listeners) = (vec![], vec![]);
        for address in &config.bind {
            let (udp, tcp) = bind(*address).map_err(|source| WebError::Bind { address: *address, source })?;
            sockets.push(udp);
            listeners.push(tcp);
        }
        let bound: Vec<SocketAddr> = sockets.iter().filter_map(|s| s.local_addr().ok()).collect();
        let (hub, guests) = (Arc::new(Hub::new()), Arc::new(Guests::default()));
        let mut web = Self {
            sockets: Arc::new(Sockets(sockets)),
            told: told(&bound, &config.advertised),
            bound,
            closed: Arc::default(),
            listeners: vec![],
            hub,
        };
        for number in 0..web.bound.len() {
            web.read(number).map_err(WebError::Thread)?;
        }
        for listener in listeners {
            web.listeners.push(tokio::spawn(stream::listen(listener, Arc::clone(&web.hub), Arc::clone(&guests))));
        }
        Ok(web)
    }

    /// A road for a call whose checks begin with this name, and what its signalling keeps.
    pub fn road(&self, ufrag: &str) -> (WebRoad, WebLine) {
        let line = WebLine::new(clock::now(), &self.hub, ufrag);
        (WebRoad::new(line.clone(), Arc::clone(&self.sockets)), line)
    }

    /// The addresses that pages are told.
    pub fn told(&self) -> &[SocketAddr] {
        &self.told
    }

    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// Brings the metrics up to date.
    pub fn publish(&self) {
        let counts = self.hub.counts();
        metrics::counter!("dauys_web_dropped_total", "reason" => "unknown").increment(counts.unknown);
        metrics::counter!("dauys_web_dropped_total", "reason" => "full").increment(counts.full);
        metrics::gauge!("dauys_web_roads").set(self.hub.calls() as f64);
    }

    /// A thread that reads the nth socket.
    fn read(&self, number: usize) -> std::io::Result<()> {
        let (hub, sockets, closed) = (Arc::clone(&self.hub), Arc::clone(&self.sockets), Arc::clone(&self.closed));
        let is_v6 = self.bound.get(number).is_some_and(SocketAddr::is_ipv6);
        let body = move || {
            raise_priority();
            let mut batch = Batch::new();
            let Some(socket) = sockets.0.get(number) else { return };
            while !closed.load(Ordering::Acquire) {
                let more =
                    batch.wait(socket, is_v6, |at, from, datagram| hub.deliver(at, from, Way::Udp(number), datagram));
                if more {
                    // The shards have the same priority: whoever floods the port must not hold them up.
                    std::thread::yield_now();
                }
            }
        };
        std::thread::Builder::new().name(format!("web-{number}")).spawn(body).map(drop)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

fn bind(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        let udp = udp(address)?;
        tries -= 1;
        match tcp(SocketAddr::new(address.ip(), udp.local_addr()?.port())) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

fn udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Smaller ones will do for fewer calls.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let _ = if address.is_ipv4() {
        socket.set_tos_v4(TOS_EF)
    } else {
        // The wildcard of one family leaves the other's to a socket of its own.
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(TOS_EF)
    };
    socket.set_read_timeout(Some(LOOK_UP))?;
    socket.bind(&address.into())?;
    let socket = socket.into();
    stamp(&socket);
    Ok(socket)
}

fn tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A port whose connections of before are still dying is free.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// For each bound address those of its family that are advertised, else itself.
fn told(bound: &[SocketAddr], advertised: &[IpAddr]) -> Vec<SocketAddr> {
    let mut told = vec![];
    for at in bound {
        let mut public = advertised.iter().filter(|ip| ip.is_ipv4() == at.is_ipv4()).peekable();
        if public.peek().is_none() {
            told.push(*at);
        }
        for ip in public {
            let address = SocketAddr::new(*ip, at.port());
            if !told.contains(&address) {
                told.push(address);
            }
        }
    }
    told
}

#[cfg(test)]
mod tests;
