//! Web calls over TCP, for networks that let no UDP through: the page connects to us (RFC 6544, passive), and each
//! datagram is a frame (RFC 4571). A connection belongs to one call, the one its first frame names; it never answers
//! itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::hub::Hub;
use super::mail::{Mailbox, Put, Way};
use crate::clock;

/// Connections at once, and from one address.
const CONNECTIONS: usize = 256;
const PER_ADDRESS: usize = 32;
/// The first frame has to be there by then, and be a check that a call waits for.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// Browsers check every few seconds; who says nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// A frame that cannot be written for so long will not be.
const STALL: Duration = Duration::from_secs(10);
/// Longer than any datagram that we read by UDP.
const FRAME_MAX: usize = 2048;
/// What waits to be written to one connection, in bytes: five seconds of speech.
const WAITING_MAX: usize = 64 * 1024;
/// After the system would give no connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Frames on their way to one connection. When it is full, what comes is lost, as on any slow road.
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
}

impl Outbox {
    fn new() -> Self {
        Self { waiting: Mutex::default(), bell: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, datagram: &[u8]) {
        let Ok(len) = u16::try_from(datagram.len()) else { return };
        let mut waiting = self.waiting();
        if waiting.closed || waiting.bytes.len() + 2 + datagram.len() > WAITING_MAX {
            return;
        }
        waiting.bytes.extend_from_slice(&len.to_be_bytes());
        waiting.bytes.extend_from_slice(datagram);
        drop(waiting);
        self.bell.notify_one();
    }

    fn close(&self) {
        *self.waiting() = Waiting { bytes: vec![], closed: true };
    }

    async fn write(&self, mut to: OwnedWriteHalf) {
        let mut going = vec![];
        loop {
            self.bell.notified().await;
            std::mem::swap(&mut self.waiting().bytes, &mut going);
            if !matches!(timeout(STALL, to.write_all(&going)).await, Ok(Ok(()))) {
                return;
            }
            going.clear();
        }
    }
}

/// How many connections there are from where.
#[derive(Default)]
pub(super) struct Guests(Mutex<HashMap<IpAddr, usize>>);

impl Guests {
    fn table(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Guest> {
        let mut table = self.table();
        if table.values().sum::<usize>() >= CONNECTIONS {
            return None;
        }
        let count = table.entry(from).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Guest { of: Arc::clone(self), from })
    }
}

struct Guest {
    of: Arc<Guests>,
    from: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut table = self.of.table();
        if let Some(count) = table.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.from);
            }
        }
    }
}

/// Accepts until it is dropped.
pub(super) async fn listen(listener: TcpListener, hub: Arc<Hub>, guests: Arc<Guests>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => match guests.enter(from.ip().to_canonical()) {
                    Some(guest) => drop(connections.spawn(serve(stream, from, Arc::clone(&hub), guest))),
                    None => turned_away(),
                },
                // Out of file descriptors: without a pause it would fail as fast as it can.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn turned_away() {
    metrics::counter!("dauys_web_dropped_total", "reason" => "connections").increment(1);
}

async fn serve(stream: TcpStream, from: SocketAddr, hub: Arc<Hub>, _guest: Guest) {
    // A datagram that waits for another is late.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut read = BufReader::with_capacity(FRAME_MAX + 2, read);
    let mut frame = Vec::with_capacity(FRAME_MAX);
    if !matches!(timeout(FIRST_WITHIN, next(&mut read, &mut frame)).await, Ok(Some(()))) {
        return turned_away();
    }
    let Some(mailbox) = hub.whose(&frame) else { return };
    let outbox = Arc::new(Outbox::new());
    tokio::select! {
        () = receive(read, frame, from, &mailbox, &outbox) => {}
        () = outbox.write(write) => {}
    }
    outbox.close();
}

async fn receive(
    mut read: BufReader<OwnedReadHalf>,
    mut frame: Vec<u8>,
    from: SocketAddr,
    mailbox: &Mailbox,
    outbox: &Arc<Outbox>,
) {
    loop {
        // What finds no room is lost, as with UDP.
        if mailbox.put(clock::now(), from, Way::Tcp(Arc::clone(outbox)), &frame) == Put::Closed {
            return;
        }
        if !matches!(timeout(IDLE, next(&mut read, &mut frame)).await, Ok(Some(()))) {
            return;
        }
    }
}

/// The next frame; `None`: the end, or nothing that we would read.
async fn next(read: &mut (impl AsyncRead + Unpin), frame: &mut Vec<u8>) -> Option<()> {
    let len = usize::from(read.read_u16().await.ok()?);
    if len > FRAME_MAX {
        return None;
    }
    frame.resize(len, 0);
    read.read_exact(frame).await.ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Every frame of a stream that arrives in pieces of `cut` bytes.
    fn frames(bytes: &[u8], cut: usize) -> Vec<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut read = BufReader::with_capacity(cut, bytes);
            let (mut found, mut frame) = (vec![], vec![]);
            while next(&mut read, &mut frame).await.is_some() {
                found.push(frame.clone());
            }
            found
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_stream_is_cut_alike(chance in vec(any::<u8>(), 0..6_000), cut in 1usize..300) {
            let whole = frames(&chance, 10_000);
            prop_assert!(whole.iter().all(|frame| frame.len() <= FRAME_MAX));
            prop_assert!(whole.iter().map(|frame| frame.len() + 2).sum::<usize>() <= chance.len());
            prop_assert_eq!(frames(&chance, cut), whole);
        }

        #[test]
        fn what_was_framed_is_read(sent in vec(vec(any::<u8>(), 0..FRAME_MAX), 0..6), cut in 1usize..300) {
            let framed = |d: &Vec<u8>| [&(d.len() as u16).to_be_bytes()[..], d].concat();
            let stream: Vec<u8> = sent.iter().flat_map(framed).collect();
            prop_assert_eq!(frames(&stream, cut), sent);
        }
    }
}
