//! One connection: a task that opens it, reads messages, writes what is queued, and says how it ended. It holds nothing for a peer that is slow, silent or deaf.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sip::stream::{Framed, Framer};
use sip::{Connection, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::debug;

use super::config::Limits;
use super::tls;
use super::web::{self, Web};
use crate::clock;

/// A peer that takes nothing for so long is cut.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// For the last answer to reach a peer that is being closed on.
const GOODBYE: Duration = Duration::from_secs(2);
/// Messages that wait to be written.
const QUEUE: usize = 1024;
/// Their bytes: a peer that makes us answer much and reads nothing costs no more.
const QUEUE_BYTES: usize = 512 * 1024;
/// Messages written at once.
const BATCH: usize = 64;
/// Bytes read at once.
const CHUNK: usize = 8 * 1024;

/// What the tasks tell `Roads`, in order per connection.
pub(super) enum Note {
    Accepted { stream: TcpStream, from: SocketAddr, transport: Transport },
    Up { connection: Connection, names: Vec<String> },
    Message { connection: Connection, bytes: Vec<u8> },
    Down { connection: Connection, end: End },
}

/// How a connection ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By the peer, or by an error on the way.
    Closed,
    /// It never came up: refused, or not who it should be.
    Failed,
    /// A handshake or a message took too long.
    Slow,
    /// Silence.
    Idle,
    /// The peer did not read.
    Stalled,
    /// No telling where its messages end.
    Unframed,
}

/// TCP, or TLS over it.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// How to begin.
pub(super) struct Opening {
    pub wire: Wire,
    pub security: Security,
    /// A WebSocket, for pages of these origins.
    pub web: Option<Arc<[String]>>,
}

pub(super) enum Wire {
    Accepted(TcpStream),
    To(SocketAddr),
}

pub(super) enum Security {
    None,
    Server(TlsAcceptor),
    Client(TlsConnector, ServerName<'static>),
}

/// The writing end of a connection's queue.
#[derive(Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    /// Bytes taken and not yet given to the kernel.
    pending: Arc<AtomicUsize>,
}

pub(super) enum Outgoing {
    Bytes(Vec<u8>),
    /// And then nothing more.
    Last(Vec<u8>),
}

/// The reading end.
pub(super) struct Outgoings {
    queue: mpsc::Receiver<Outgoing>,
    pending: Arc<AtomicUsize>,
}

/// What a connection's task knows of the world.
pub(super) struct Line {
    pub connection: Connection,
    pub limits: Limits,
    /// The peer came to us, so it is a stranger until its first message.
    accepted: bool,
    notes: mpsc::Sender<Note>,
    outbox: mpsc::WeakSender<Outgoing>,
    pending: Arc<AtomicUsize>,
}

/// A queue and the task behind it, to be spawned.
pub(super) fn prepare(
    connection: Connection,
    opening: Opening,
    limits: Limits,
    notes: mpsc::Sender<Note>,
) -> (Outbox, impl Future<Output = ()> + Send + 'static) {
    let (queue, outgoings) = mpsc::channel(QUEUE);
    let pending = Arc::new(AtomicUsize::new(0));
    let accepted = matches!(opening.wire, Wire::Accepted(_));
    let outbox = queue.downgrade();
    let line = Line { connection, limits, accepted, notes, outbox, pending: Arc::clone(&pending) };
    let outgoings = Outgoings { queue: outgoings, pending: Arc::clone(&pending) };
    (Outbox { queue, pending }, run(opening, line, outgoings))
}

async fn run(opening: Opening, line: Line, mut outgoings: Outgoings) {
    // A fault in a library, found by a stranger, must not cost a place in the table for good.
    let end = AssertUnwindSafe(live(opening, &line, &mut outgoings)).catch_unwind().await.unwrap_or(End::Failed);
    debug!(connection = line.connection.0, ?end, "connection ended");
    let _ = line.notes.send(Note::Down { connection: line.connection, end }).await;
}

async fn live(opening: Opening, line: &Line, outgoings: &mut Outgoings) -> End {
    let (road, names) = match timeout(line.limits.handshake(), open(opening)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            debug!(connection = line.connection.0, kind = ?error.kind(), "no connection");
            return End::Failed;
        }
        Err(_) => return End::Slow,
    };
    if line.notes.send(Note::Up { connection: line.connection, names }).await.is_err() {
        return End::Closed;
    }
    match road {
        Road::Web(web) => web::converse(*web, line, outgoings).await,
        Road::Stream(stream) => {
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::select! {
                end = read(&mut reader, line) => end,
                end = write(&mut writer, outgoings) => end,
            }
        }
    }
}

enum Road {
    Stream(Box<dyn ByteStream>),
    Web(Box<Web>),
}

async fn open(opening: Opening) -> io::Result<(Road, Vec<String>)> {
    let tcp = match opening.wire {
        Wire::Accepted(stream) => stream,
        Wire::To(address) => TcpStream::connect(address).await?,
    };
    // Messages are whole when they are written; waiting for more to say only adds delay.
    tcp.set_nodelay(true)?;
    let (stream, names): (Box<dyn ByteStream>, _) = match opening.security {
        Security::None => (Box::new(tcp), vec![]),
        Security::Server(acceptor) => {
            let stream = acceptor.accept(tcp).await?;
            let names = tls::names(stream.get_ref().1.peer_certificates());
            (Box::new(stream), names)
        }
        Security::Client(connector, name) => {
            let stream = connector.connect(name, tcp).await?;
            let names = tls::names(stream.get_ref().1.peer_certificates());
            (Box::new(stream), names)
        }
    };
    match opening.web {
        None => Ok((Road::Stream(stream), names)),
        Some(origins) => {
            let web = web::handshake(stream, &origins).await.map_err(io::Error::other)?;
            Ok((Road::Web(Box::new(web)), names))
        }
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin), line: &Line) -> End {
    let (mut framer, mut chunk) = (Framer::new(), vec![0; CHUNK]);
    let started = clock::now();
    let mut strange = line.accepted;
    // When the message now half here began.
    let mut begun = None;
    loop {
        let since = if strange { Some(started) } else { begun };
        let due = since.map_or_else(|| clock::now() + line.limits.idle(), |at| at + line.limits.message());
        let bytes = match timeout_at(due.into(), reader.read(&mut chunk)).await {
            Err(_) => return if since.is_some() { End::Slow } else { End::Idle },
            Ok(Err(_)) => return End::Closed,
            Ok(Ok(len)) => chunk.get(..len).unwrap_or_default(),
        };
        if bytes.is_empty() {
            return End::Closed;
        }
        framer.push(bytes);
        while let Some(framed) = framer.next() {
            match framed {
                Ok(Framed::Message(message)) => {
                    (strange, begun) = (false, None);
                    // Where the endpoint is busy this waits, and with it the peer.
                    line.message(message).await;
                }
                Ok(Framed::Ping) => line.pong(),
                Ok(Framed::Pong) => {}
                Err(error) => {
                    debug!(connection = line.connection.0, %error, "stream lost");
                    return refuse(reader, line, framer.refusal()).await;
                }
            }
        }
        begun = if framer.is_partial() { begun.or_else(|| Some(clock::now())) } else { None };
    }
}

/// Says why, and reads on for a moment: closing on bytes that nobody read would take the answer back.
async fn refuse(reader: &mut (impl AsyncRead + Unpin), line: &Line, refusal: Option<Vec<u8>>) -> End {
    if let Some(bytes) = refusal
        && line.last(bytes)
    {
        let mut rest = [0; 512];
        let heard = async { while matches!(reader.read(&mut rest).await, Ok(n) if n > 0) {} };
        let _ = timeout(GOODBYE, heard).await;
    }
    End::Unframed
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), outgoings: &mut Outgoings) -> End {
    let (mut messages, mut batch) = (Vec::with_capacity(BATCH), Vec::new());
    let mut last = false;
    while !last && outgoings.queue.recv_many(&mut messages, BATCH).await > 0 {
        batch.clear();
        for message in messages.drain(..) {
            match message {
                Outgoing::Bytes(bytes) => batch.extend_from_slice(&bytes),
                Outgoing::Last(bytes) => {
                    batch.extend_from_slice(&bytes);
                    last = true;
                    break;
                }
            }
        }
        let written = async {
            writer.write_all(&batch).await?;
            writer.flush().await
        };
        match timeout(STALL, written).await {
            Ok(Ok(())) => outgoings.written(batch.len()),
            Ok(Err(_)) => return End::Closed,
            Err(_) => return End::Stalled,
        }
    }
    let _ = timeout(GOODBYE, writer.shutdown()).await;
    if last {
        // The reader knows when to end.
        std::future::pending::<()>().await;
    }
    End::Closed
}

impl Line {
    /// One whole message for the endpoint.
    pub async fn message(&self, bytes: &[u8]) {
        let note = Note::Message { connection: self.connection, bytes: bytes.to_vec() };
        // Without a receiver the task is about to be dropped.
        let _ = self.notes.send(note).await;
    }

    /// RFC 5626 4.4.1. Only who opened a connection pings; what looks like a ping on one of ours is two answers.
    pub fn pong(&self) {
        if self.accepted {
            // A peer that does not read its answers does not need them.
            self.queue(b"\r\n".to_vec(), Outgoing::Bytes);
        }
    }

    fn last(&self, bytes: Vec<u8>) -> bool {
        self.queue(bytes, Outgoing::Last)
    }

    fn queue(&self, bytes: Vec<u8>, kind: fn(Vec<u8>) -> Outgoing) -> bool {
        let Some(queue) = self.outbox.upgrade() else { return false };
        Outbox { queue, pending: Arc::clone(&self.pending) }.queue(bytes, kind)
    }
}

impl Outbox {
    /// False: the queue is over its bound.
    pub fn send(&self, bytes: Vec<u8>) -> bool {
        self.queue(bytes, Outgoing::Bytes)
    }

    /// Bytes were taken that the kernel did not get.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    fn queue(&self, bytes: Vec<u8>, kind: fn(Vec<u8>) -> Outgoing) -> bool {
        let len = bytes.len();
        let within = self.pending.fetch_add(len, Ordering::AcqRel) + len <= QUEUE_BYTES;
        // Behind a queue that is closed the connection has just ended: what stays pending says so.
        let queued = within && !matches!(self.queue.try_send(kind(bytes)), Err(mpsc::error::TrySendError::Full(_)));
        if !queued {
            self.pending.fetch_sub(len, Ordering::AcqRel);
        }
        queued
    }
}

impl Outgoings {
    pub async fn recv(&mut self) -> Option<Outgoing> {
        self.queue.recv().await
    }

    pub fn written(&self, bytes: usize) {
        self.pending.fetch_sub(bytes, Ordering::AcqRel);
    }
}
