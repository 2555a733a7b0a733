//! A media shard: one thread, one current-thread runtime, one 20 ms wheel. A call lives here for life.
//! Datagrams are taken the moment they come; everything else happens on the call's tick.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media::wheel::{SlotIndex, Wheel};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, LocalSet};
use tracing::error;

use crate::call::CallId;
use crate::call::driver::{Driver, Wire};
use crate::clock;
use crate::net::ports::Pair;

/// New calls that wait for the shard; one more is refused.
const QUEUE: usize = 64;
/// A tick this late is counted.
const LATE: Duration = Duration::from_millis(10);
/// Largest datagram read; longer ones are cut, and then fail to parse.
const DATAGRAM: usize = 2048;

/// A call on its way to its shard.
pub struct NewCall {
    pub driver: Driver,
    pub sockets: Pair,
    /// Raised by the engines' threads; the shard then looks at once.
    pub poked: Arc<AtomicBool>,
}

/// The door to one shard.
#[derive(Clone)]
pub struct Shard {
    inbox: mpsc::Sender<NewCall>,
    wake: Arc<Notify>,
}

impl Shard {
    pub fn spawn(number: usize) -> std::io::Result<Self> {
        let (inbox, queue) = mpsc::channel(QUEUE);
        let wake = Arc::new(Notify::new());
        let notify = Arc::clone(&wake);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("media-{number}")).spawn(move || {
            LocalSet::new().block_on(&runtime, run(queue, notify));
        })?;
        Ok(Self { inbox, wake })
    }

    /// False: the shard has no room now.
    pub fn adopt(&self, call: NewCall) -> bool {
        self.inbox.try_send(call).is_ok()
    }

    /// What an engine calls when it has something for a call of this shard.
    pub fn waker(&self, poked: &Arc<AtomicBool>) -> models::Wake {
        let (wake, poked) = (Arc::clone(&self.wake), Arc::clone(poked));
        Arc::new(move || {
            poked.store(true, Ordering::Release);
            wake.notify_one();
        })
    }
}

/// One call at home on the shard.
struct Resident {
    driver: Rc<RefCell<Driver>>,
    wire: Rc<Sockets>,
    poked: Arc<AtomicBool>,
    slot: SlotIndex,
    readers: [AbortHandle; 2],
}

struct Sockets {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Wire for Sockets {
    // A full socket buffer or an unreachable port costs this packet; the next is 20 ms away.
    fn send_rtp(&self, datagram: &[u8], to: SocketAddr) {
        let _ = self.rtp.try_send_to(datagram, to);
    }

    fn send_rtcp(&self, datagram: &[u8], to: SocketAddr) {
        let _ = self.rtcp.try_send_to(datagram, to);
    }
}

struct Residents {
    wheel: Wheel<CallId>,
    calls: HashMap<CallId, Resident>,
}

async fn run(mut queue: mpsc::Receiver<NewCall>, wake: Arc<Notify>) {
    let mut home = Residents { wheel: Wheel::new(clock::now()), calls: HashMap::new() };
    loop {
        let due = home.wheel.deadline();
        tokio::select! {
            biased;
            () = sleep_until(due) => home.tick(due),
            () = wake.notified() => home.engines(),
            new = queue.recv() => match new {
                Some(new) => home.adopt(new),
                None => return,
            },
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl Residents {
    fn adopt(&mut self, new: NewCall) {
        let id = new.driver.id();
        let sockets = UdpSocket::from_std(new.sockets.rtp)
            .and_then(|rtp| Ok(Sockets { rtp, rtcp: UdpSocket::from_std(new.sockets.rtcp)? }));
        let wire = match sockets {
            Ok(wire) => Rc::new(wire),
            Err(error) => {
                return error!(call = %id, %error, "a media socket could not be watched; the call has no audio");
            }
        };
        let driver = Rc::new(RefCell::new(new.driver));
        driver.borrow_mut().start(clock::now());
        let readers = [reader(&driver, &wire, |w| &w.rtp), reader(&driver, &wire, |w| &w.rtcp)];
        if self.wheel.is_empty() {
            // Nobody turned it meanwhile; the turns it missed are nobody's.
            let _ = self.wheel.poll(clock::now());
        }
        let slot = self.wheel.insert(id);
        self.calls.insert(id, Resident { driver, wire, poked: new.poked, slot, readers });
    }

    fn tick(&mut self, due: Option<Instant>) {
        let now = clock::now();
        if due.is_some_and(|d| now.saturating_duration_since(d) > LATE) {
            metrics::counter!("dauys_ticks_late_total").increment(1);
        }
        let mut gone = vec![];
        while let Some(ids) = self.wheel.poll(now) {
            for id in ids {
                if let Some(resident) = self.calls.get(id) {
                    let mut driver = resident.driver.borrow_mut();
                    driver.tick(clock::now(), &*resident.wire);
                    if driver.ended() {
                        gone.push(*id);
                    }
                }
            }
        }
        for id in gone {
            self.bury(id);
        }
    }

    fn engines(&mut self) {
        for resident in self.calls.values() {
            if resident.poked.swap(false, Ordering::Acquire) {
                resident.driver.borrow_mut().engines(clock::now());
            }
        }
    }

    fn bury(&mut self, id: CallId) {
        if let Some(resident) = self.calls.remove(&id) {
            self.wheel.remove(resident.slot, &id);
            resident.driver.borrow_mut().goodbye(clock::now(), &*resident.wire);
            resident.readers.iter().for_each(AbortHandle::abort);
        }
    }
}

/// Reads one socket until the call is buried; each datagram is stamped as it comes.
fn reader(driver: &Rc<RefCell<Driver>>, wire: &Rc<Sockets>, socket: fn(&Sockets) -> &UdpSocket) -> AbortHandle {
    let (driver, wire) = (Rc::clone(driver), Rc::clone(wire));
    let task = tokio::task::spawn_local(async move {
        let mut datagram = [0; DATAGRAM];
        loop {
            // An error here is a past packet's ICMP; the socket itself is fine.
            if let Ok((len, from)) = socket(&wire).recv_from(&mut datagram).await {
                driver.borrow_mut().datagram(clock::now(), from, &datagram[..len]);
            }
        }
    });
    task.abort_handle()
}
