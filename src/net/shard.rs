//! A media shard: one thread, one 20 ms wheel. A call lives here for life and everything of it happens on its tick:
//! what the sockets hold is read, a frame goes each way. It never waits for anything but the wheel and the engines.

mod batch;
mod lateness;
mod priority;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use media::wheel::{SlotIndex, Wheel};
use tracing::error;

pub(super) use self::batch::{Batch, stamp};
use self::lateness::Lateness;
pub(crate) use self::priority::raise as raise_priority;
use crate::call::driver::{Driver, Wire};
use crate::clock;
use crate::net::ports::Pair;
use crate::net::web::WebRoad;
use crate::strain::SharedStrain;

/// New calls that wait for the shard; one more is refused.
const QUEUE: usize = 64;
/// The RTCP socket is read at every tenth tick: reports come every five seconds, and the kernel has stamped them.
const RTCP_TURNS: u32 = 10;

/// A call on its way to its shard.
pub struct NewCall {
    pub driver: Driver,
    pub road: Road,
    /// Raised by the engines' threads; the shard then looks at once.
    pub poked: Arc<AtomicBool>,
}

/// What carries a call's datagrams. It belongs to one call and is closed when it is dropped. A call from a web page
/// may change it on the way: the page was loaded again, or goes on by text.
pub enum Road {
    /// Two sockets of its own, for RTP and RTCP.
    Ports(Pair),
    /// A share of the port that all web calls use; RTCP goes with RTP (RFC 5761).
    Web(WebRoad),
    /// None: nothing is heard and nothing is sent.
    Nowhere,
}

/// The door to one shard. The thread ends with the last of its doors.
#[derive(Clone)]
pub struct Shard(Arc<Door>);

struct Door {
    inbox: SyncSender<NewCall>,
    /// Some call was poked since the shard last looked.
    poked: Arc<AtomicBool>,
    // After the inbox: fields go in this order, and who wakes must find it gone.
    bell: Bell,
}

struct Bell(Thread);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Shard {
    pub fn spawn(number: usize, strain: SharedStrain) -> std::io::Result<Self> {
        let (inbox, queue) = sync_channel(QUEUE);
        let poked = Arc::new(AtomicBool::new(false));
        let mut home = Residents::new(Arc::clone(&poked), strain);
        let body = move || {
            priority::raise();
            home.run(&queue);
        };
        let thread: JoinHandle<()> = std::thread::Builder::new().name(format!("media-{number}")).spawn(body)?;
        Ok(Self(Arc::new(Door { inbox, poked, bell: Bell(thread.thread().clone()) })))
    }

    /// False: the shard has no room now.
    pub fn adopt(&self, call: NewCall) -> bool {
        let taken = self.0.inbox.try_send(call).is_ok();
        self.0.bell.0.unpark();
        taken
    }

    /// What an engine calls when it has something for a call of this shard.
    pub fn waker(&self, poked: &Arc<AtomicBool>) -> models::Wake {
        let (any, thread) = (Arc::clone(&self.0.poked), self.0.bell.0.clone());
        let poked = Arc::clone(poked);
        Arc::new(move || {
            poked.store(true, Ordering::Release);
            any.store(true, Ordering::Release);
            thread.unpark();
        })
    }
}

/// One call at home on the shard.
struct Resident {
    driver: Driver,
    road: Road,
    poked: Arc<AtomicBool>,
    slot: SlotIndex,
    turn: u32,
}

impl Road {
    /// Hands out what came since the last tick; `reports`: look at the socket of RTCP as well.
    fn read(&mut self, batch: &mut Batch, reports: bool, mut take: impl FnMut(Instant, SocketAddr, &mut [u8])) {
        match self {
            Self::Ports(pair) => {
                batch.read(&pair.rtp, pair.is_v6, &mut take);
                if reports {
                    batch.read(&pair.rtcp, pair.is_v6, take);
                }
            }
            Self::Web(web) => web.read(take),
            Self::Nowhere => {}
        }
    }
}

impl Wire for Road {
    // A full socket buffer or an unreachable port costs this packet; the next is 20 ms away.
    fn send_rtp(&self, datagram: &[u8], to: SocketAddr) {
        match self {
            Self::Ports(pair) => drop(pair.rtp.send_to(datagram, to)),
            Self::Web(web) => web.send(datagram, to),
            Self::Nowhere => {}
        }
    }

    fn send_rtcp(&self, datagram: &[u8], to: SocketAddr) {
        match self {
            Self::Ports(pair) => drop(pair.rtcp.send_to(datagram, to)),
            Self::Web(web) => web.send(datagram, to),
            Self::Nowhere => {}
        }
    }
}

impl Resident {
    /// Takes what came since the last tick, then does this one's work.
    fn tick(&mut self, batch: &mut Batch) {
        let Self { driver, road, turn, .. } = self;
        road.read(batch, turn.is_multiple_of(RTCP_TURNS), |at, from, datagram| driver.datagram(at, from, datagram));
        *turn = turn.wrapping_add(1);
        driver.tick(clock::now(), road);
        if let Some(new) = driver.new_road() {
            *road = new;
        }
    }
}

/// The calls of one shard, found by their place.
struct Residents {
    wheel: Wheel<usize>,
    places: Vec<Option<Box<Resident>>>,
    vacant: Vec<usize>,
    ended: Vec<usize>,
    poked: Arc<AtomicBool>,
    lateness: Lateness,
}

impl Residents {
    fn new(poked: Arc<AtomicBool>, strain: SharedStrain) -> Self {
        Self {
            wheel: Wheel::new(clock::now()),
            places: vec![],
            vacant: vec![],
            ended: vec![],
            poked,
            lateness: Lateness::new(strain),
        }
    }

    fn run(&mut self, queue: &Receiver<NewCall>) {
        let mut batch = Batch::new();
        loop {
            self.tick(&mut batch);
            match queue.try_recv() {
                // One at a time: the calls at home come first.
                Ok(new) => {
                    self.adopt(new);
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            if self.poked.swap(false, Ordering::Acquire) {
                self.engines();
            }
            match self.wheel.deadline() {
                Some(due) => std::thread::park_timeout(due.saturating_duration_since(clock::now())),
                None => std::thread::park(),
            }
        }
    }

    fn adopt(&mut self, mut new: NewCall) {
        new.driver.start(clock::now());
        if self.wheel.is_empty() {
            // Nobody turned it meanwhile; the turns it missed are nobody's.
            let _ = self.wheel.poll(clock::now());
        }
        let place = self.vacant.pop().unwrap_or(self.places.len());
        let slot = self.wheel.insert(place);
        // RTCP is not read by all at the same time.
        let turn = place as u32;
        let NewCall { driver, road, poked } = new;
        let resident = Some(Box::new(Resident { driver, road, poked, slot, turn }));
        match self.places.get_mut(place) {
            Some(vacant) => *vacant = resident,
            None => self.places.push(resident),
        }
    }

    /// Whatever is due by now.
    fn tick(&mut self, batch: &mut Batch) {
        let now = clock::now();
        let mut due = self.wheel.deadline();
        while let Some(places) = self.wheel.poll(now) {
            for &place in places {
                let Some(resident) = self.places.get_mut(place).and_then(Option::as_deref_mut) else { continue };
                let lives = survives(|| resident.tick(batch));
                self.lateness.note(due, clock::now());
                if !lives || resident.driver.ended() {
                    self.ended.push(place);
                }
            }
            due = self.wheel.deadline();
        }
        while let Some(place) = self.ended.pop() {
            self.bury(place);
            media::wipe_stack();
        }
    }

    fn engines(&mut self) {
        for resident in self.places.iter_mut().flatten() {
            // A call that fails here fails at its next tick as well, and is buried there.
            if resident.poked.swap(false, Ordering::Acquire) {
                survives(|| resident.driver.engines(clock::now()));
            }
        }
    }

    fn bury(&mut self, place: usize) {
        let Some(mut resident) = self.places.get_mut(place).and_then(Option::take) else { return };
        self.vacant.push(place);
        self.wheel.remove(resident.slot, &place);
        // A call that failed has not ended; dropping its driver hangs up.
        if resident.driver.ended() {
            resident.driver.goodbye(clock::now(), &resident.road);
        }
    }
}

/// False: the call's own code failed. A mistake of ours that one caller has found ends that call, not everybody's.
fn survives(work: impl FnOnce()) -> bool {
    let lives = std::panic::catch_unwind(AssertUnwindSafe(work)).is_ok();
    if !lives {
        error!("a call failed inside and is ended; this is a bug in Dauys: please report the lines above");
        metrics::counter!("dauys_calls_failed_total").increment(1);
    }
    lives
}
