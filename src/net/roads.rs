//! All roads a message can take, behind one face: UDP, TCP, TLS and WebSocket. It never looks into a message.
//!
//! The driver of the endpoint owns one [`Roads`] and waits in [`Roads::recv`]. Datagrams are read in that
//! very call, straight from the socket into one buffer. Each connection has a task of its own, and its
//! messages come by a bounded queue: where the endpoint is busy, connections wait and TCP slows their peers.

mod config;
mod connection;
mod sockets;
mod table;
mod tls;
mod web;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sip::{Connection, Peer, Transport};
use tokio::io::ReadBuf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::ServerName;

pub use config::{Certificate, Limits, RoadsConfig, RoadsError, TlsListen};
use connection::{End, Note, Opening, Security, Wire};
use table::{Link, Origin, Table};
use tls::Tls;

/// Messages and news of connections that wait for the driver; past it the connections wait.
const NOTES: usize = 256;
/// Largest datagram.
const DATAGRAM: usize = 65_535;
/// News of our own for the driver; past it they are dropped, and transactions end by their timers.
const REPORTS: usize = 4096;
/// Names expected of TLS servers.
const EXPECTED: usize = 1024;
/// For the last messages of connections when the roads close.
const GOODBYE: Duration = Duration::from_secs(1);

/// What comes in. Bytes are lent until the next call.
#[derive(PartialEq, Eq)]
pub enum Incoming<'a> {
    /// One whole message, or whatever a datagram held.
    Message { from: Peer, bytes: &'a [u8] },
    /// A connection is up, accepted or opened. `names`: DNS and URI names of the peer's certificate as they
    /// stand in it (`*.example.com` too), verified; empty without one.
    Connected { connection: Connection, names: Vec<String> },
    /// It is no more, and nothing will come by it.
    Disconnected { connection: Connection, peer: Peer },
    /// Something given to [`Roads::send`] for this very peer did not go out: refused, not who it should be, no
    /// connection and no way to open one, or it does not read. Also where a connection that we opened for it
    /// ended later: no answer comes by it any more, and nobody there can reach us by it.
    Unreachable(Peer),
}

/// Counters since the start, and what is open now.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RoadsStats {
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams not sent because the socket's buffer was full.
    pub datagrams_lost: u64,
    /// Messages received by connections.
    pub messages: u64,
    /// Open now, accepted, handshakes included.
    pub accepted: usize,
    /// Open now, opened by us, handshakes included.
    pub opened: usize,
    /// Turned away: over a limit.
    pub turned_away: u64,
    /// Handshakes of TLS or WebSocket that failed, and connections refused.
    pub failed: u64,
    /// Cut: too slow with a handshake or a message.
    pub slow: u64,
    /// Cut: silent for too long.
    pub idle: u64,
    /// Cut: the peer did not read.
    pub stalled: u64,
    /// Closed: not SIP, or no telling where messages end.
    pub unframed: u64,
}

/// The sockets and connections. Dropping it closes everything at once.
pub struct Roads {
    udp: Vec<UdpSocket>,
    listeners: Vec<Peer>,
    accepting: JoinSet<()>,
    connections: JoinSet<()>,
    table: Table,
    tls: Tls,
    origins: Arc<[String]>,
    limits: Limits,
    notes: mpsc::Receiver<Note>,
    tell: mpsc::Sender<Note>,
    reports: VecDeque<Report>,
    /// `None`: a name that no certificate can prove.
    expected: HashMap<SocketAddr, Option<ServerName<'static>>>,
    datagram: Box<[u8]>,
    message: Vec<u8>,
    turn: usize,
    stats: RoadsStats,
}

enum Report {
    Connected(Connection, Vec<String>),
    Disconnected(Connection, Peer),
    Unreachable(Peer),
}

enum Taken {
    Datagram(SocketAddr, usize),
    Message(Peer),
    Report(Report),
}

impl Roads {
    /// Binds everything and reads the certificates, or says what is in the way.
    pub async fn bind(config: RoadsConfig) -> Result<Self, RoadsError> {
        let (tell, notes) = mpsc::channel(NOTES);
        let mut roads = Self {
            udp: vec![],
            listeners: vec![],
            accepting: JoinSet::new(),
            connections: JoinSet::new(),
            table: Table::default(),
            tls: Tls::load(&config)?,
            origins: config.ws_origins.into(),
            limits: config.limits,
            notes,
            tell,
            reports: VecDeque::new(),
            expected: HashMap::new(),
            datagram: vec![0; DATAGRAM].into(),
            message: vec![],
            turn: 0,
            stats: RoadsStats::default(),
        };
        for address in config.udp {
            let bind = |source| RoadsError::Bind { transport: Transport::Udp, address, source };
            let socket = sockets::udp(address).await.map_err(bind)?;
            roads.listeners.push(Peer::udp(socket.local_addr().map_err(bind)?));
            roads.udp.push(socket);
        }
        let tls = config.tls.map(|t| t.bind).unwrap_or_default();
        for (transport, addresses) in [
            (Transport::Tcp, config.tcp),
            (Transport::Tls, tls),
            (Transport::Ws, config.ws),
            (Transport::Wss, config.wss),
        ] {
            for address in addresses {
                roads.listen(transport, address).map_err(|source| RoadsError::Bind { transport, address, source })?;
            }
        }
        Ok(roads)
    }

    /// The addresses bound, with their ports.
    pub fn listeners(&self) -> Vec<Peer> {
        self.listeners.clone()
    }

    /// The next thing that comes in. Cancel-safe: what a dropped call did not give, the next one gives.
    pub async fn recv(&mut self) -> Incoming<'_> {
        match poll_fn(|context| self.poll_take(context)).await {
            Taken::Datagram(from, len) => {
                Incoming::Message { from: Peer::udp(from), bytes: self.datagram.get(..len).unwrap_or_default() }
            }
            Taken::Message(from) => Incoming::Message { from, bytes: &self.message },
            Taken::Report(Report::Connected(connection, names)) => Incoming::Connected { connection, names },
            Taken::Report(Report::Disconnected(connection, peer)) => Incoming::Disconnected { connection, peer },
            Taken::Report(Report::Unreachable(peer)) => Incoming::Unreachable(peer),
        }
    }

    /// Sends, or queues; never waits. A message takes the connection in `to` while it lives, or else one to the
    /// same address, or else one that is opened now (TCP and TLS). What fails is said by [`Roads::recv`]. A
    /// datagram may be lost without a word.
    pub fn send(&mut self, to: Peer, bytes: Vec<u8>) {
        if to.transport == Transport::Udp {
            return self.send_datagram(to, &bytes);
        }
        let Some((connection, link)) = self.route(to).and_then(|c| Some((c, self.table.get_mut(c)?))) else {
            return self.report(Report::Unreachable(to));
        };
        link.ask(to);
        if !link.outbox.send(bytes) {
            self.stats.stalled += 1;
            self.forget(connection, true);
        }
    }

    /// The host name that a TLS server at this address must prove; without one it must prove the address. Said
    /// before the message that may open the connection. Past 1,024 addresses the older ones are forgotten.
    pub fn expect(&mut self, address: SocketAddr, name: &str) {
        if self.expected.len() >= EXPECTED && !self.expected.contains_key(&address) {
            self.expected.clear();
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_owned();
        self.expected.insert(address, ServerName::try_from(name).ok());
    }

    pub fn stats(&self) -> RoadsStats {
        RoadsStats { accepted: self.table.accepted(), opened: self.table.opened(), ..self.stats }
    }

    /// Stops listening, and gives the connections a second to write what is queued.
    pub async fn close(mut self) {
        self.accepting.abort_all();
        // Without its sender each queue ends, and behind it the connection.
        self.table.clear();
        let Self { mut connections, mut notes, tell, .. } = self;
        drop(tell);
        let over = async { while notes.recv().await.is_some() {} };
        let _ = tokio::time::timeout(GOODBYE, over).await;
        connections.abort_all();
    }

    fn listen(&mut self, transport: Transport, address: SocketAddr) -> io::Result<()> {
        let listener = sockets::listener(address)?;
        self.listeners.push(Peer::new(transport, listener.local_addr()?));
        self.accepting.spawn(sockets::accept(listener, transport, self.tell.clone()));
        Ok(())
    }

    /// Every socket and the connections take turns at being first, so that a flood on one starves no other.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Taken> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(Taken::Report(report));
        }
        let roads = self.udp.len() + 1;
        self.turn = (self.turn + 1) % roads;
        for n in 0..roads {
            let taken = match self.udp.get((self.turn + n) % roads) {
                Some(socket) => poll_datagram(socket, &mut self.datagram, context),
                None => self.poll_notes(context),
            };
            if let Poll::Ready(taken) = taken {
                self.stats.datagrams += u64::from(matches!(taken, Taken::Datagram(..)));
                return Poll::Ready(taken);
            }
        }
        Poll::Pending
    }

    fn poll_notes(&mut self, context: &mut Context<'_>) -> Poll<Taken> {
        loop {
            // One sender is our own, so this queue has no end.
            let Some(note) = ready!(self.notes.poll_recv(context)) else { return Poll::Pending };
            match note {
                Note::Accepted { stream, from, transport } => self.accept(stream, from, transport),
                Note::Up { connection, names } => {
                    if let Some(link) = self.table.get_mut(connection) {
                        link.up = true;
                        return Poll::Ready(Taken::Report(Report::Connected(connection, names)));
                    }
                }
                Note::Message { connection, bytes } => {
                    // Whoever was told of a connection's end hears nothing more of it.
                    if let Some(link) = self.table.get(connection) {
                        self.stats.messages += 1;
                        self.message = bytes;
                        return Poll::Ready(Taken::Message(link.peer));
                    }
                }
                Note::Down { connection, end } => {
                    self.count(end);
                    self.forget(connection, false);
                    if let Some(report) = self.reports.pop_front() {
                        return Poll::Ready(Taken::Report(report));
                    }
                }
            }
        }
    }

    fn accept(&mut self, stream: TcpStream, from: SocketAddr, transport: Transport) {
        let acceptor = match transport {
            Transport::Tls => self.tls.acceptor.clone(),
            Transport::Wss => self.tls.web.clone(),
            Transport::Udp | Transport::Tcp | Transport::Ws => None,
        };
        if (transport.is_secure() && acceptor.is_none()) || !self.table.may_accept(from, &self.limits) {
            self.stats.turned_away += 1;
            return;
        }
        let web = matches!(transport, Transport::Ws | Transport::Wss).then(|| Arc::clone(&self.origins));
        let security = acceptor.map_or(Security::None, Security::Server);
        let opening = Opening { wire: Wire::Accepted(stream), security, web };
        self.spawn(Peer::new(transport, from), opening, Origin::Accepted);
    }

    /// The connection for a message, opened now if need be.
    fn route(&mut self, to: Peer) -> Option<Connection> {
        if let Some(connection) = to.connection.filter(|c| self.table.get(*c).is_some()) {
            return Some(connection);
        }
        let name = self.name(to)?;
        self.table.find(to.transport, to.address, name.as_ref()).or_else(|| self.open(to, name))
    }

    fn open(&mut self, to: Peer, name: Option<ServerName<'static>>) -> Option<Connection> {
        let security = match (to.transport, &name) {
            (Transport::Tcp, _) => Security::None,
            (Transport::Tls, Some(name)) => Security::Client(self.tls.connector.clone(), name.clone()),
            _ => return None,
        };
        if !self.table.may_open(&self.limits) {
            self.stats.turned_away += 1;
            return None;
        }
        let opening = Opening { wire: Wire::To(to.address), security, web: None };
        Some(self.spawn(Peer::new(to.transport, to.address), opening, Origin::Opened(name)))
    }

    fn spawn(&mut self, peer: Peer, opening: Opening, origin: Origin) -> Connection {
        while self.connections.try_join_next().is_some() {}
        let connection = self.table.number();
        let (outbox, task) = connection::prepare(connection, opening, self.limits, self.tell.clone());
        let peer = Peer::connected(peer.transport, peer.address, connection);
        let task = self.connections.spawn(task);
        self.table.insert(connection, Link { peer, outbox, task, up: false, origin, asked: vec![] });
        connection
    }

    /// What the server there must prove, if it is one of TLS; `None`: nobody can.
    fn name(&self, to: Peer) -> Option<Option<ServerName<'static>>> {
        match (to.transport, self.expected.get(&to.address)) {
            (Transport::Tls, Some(Some(name))) => Some(Some(name.clone())),
            (Transport::Tls, Some(None)) => None,
            (Transport::Tls, None) => Some(Some(to.address.ip().into())),
            _ => Some(None),
        }
    }

    /// Ends a connection for good, and says so; `unsent`: something given for it was not even queued.
    fn forget(&mut self, connection: Connection, unsent: bool) {
        let Some(link) = self.table.remove(connection) else { return };
        link.task.abort();
        if link.up {
            self.report(Report::Disconnected(connection, link.peer));
        }
        // RFC 3261 18.4, RFC 5626 4.2.1: requests go elsewhere and registrations begin anew when their flow fails.
        // An accepted connection may end when it was answered.
        if unsent || link.origin != Origin::Accepted || link.outbox.is_pending() {
            for to in link.asked {
                self.report(Report::Unreachable(to));
            }
        }
    }

    fn report(&mut self, report: Report) {
        if self.reports.len() < REPORTS {
            self.reports.push_back(report);
        }
    }

    fn count(&mut self, end: End) {
        let counter = match end {
            End::Closed => return,
            End::Failed => &mut self.stats.failed,
            End::Slow => &mut self.stats.slow,
            End::Idle => &mut self.stats.idle,
            End::Stalled => &mut self.stats.stalled,
            End::Unframed => &mut self.stats.unframed,
        };
        *counter += 1;
    }

    fn send_datagram(&mut self, to: Peer, bytes: &[u8]) {
        let Some(socket) = self.socket(to.address) else { return self.report(Report::Unreachable(to)) };
        match socket.try_send_to(bytes, to.address) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.stats.datagrams_lost += 1,
            // No route, too long, not allowed: so will be the next.
            Err(_) => self.report(Report::Unreachable(to)),
        }
    }

    /// Of the family; loopback reaches loopback only, and is reached from there.
    fn socket(&self, to: SocketAddr) -> Option<&UdpSocket> {
        let of_family = |(_, at): &(&UdpSocket, &Peer)| at.address.is_ipv4() == to.is_ipv4();
        let near = |at: &Peer| at.address.ip().is_loopback() == to.ip().is_loopback();
        // UDP listeners come first in the list, in the sockets' order.
        let fitting = self.udp.iter().zip(&self.listeners).filter(of_family);
        fitting.min_by_key(|(_, at)| !near(at)).map(|(socket, _)| socket)
    }
}

fn poll_datagram(socket: &UdpSocket, datagram: &mut [u8], context: &mut Context<'_>) -> Poll<Taken> {
    loop {
        let mut buffer = ReadBuf::new(datagram);
        // An error here is a past datagram's ICMP; the socket itself is fine.
        if let Ok(from) = ready!(socket.poll_recv_from(context, &mut buffer)) {
            return Poll::Ready(Taken::Datagram(from, buffer.filled().len()));
        }
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { from, bytes } => write!(f, "Message({from:?}, {} bytes)", bytes.len()),
            Self::Connected { connection, names } => write!(f, "Connected({}, {} names)", connection.0, names.len()),
            Self::Disconnected { connection, .. } => write!(f, "Disconnected({})", connection.0),
            Self::Unreachable(peer) => write!(f, "Unreachable({peer:?})"),
        }
    }
}
