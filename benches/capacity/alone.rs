//! What a tick costs without sockets and without waiting: the same calls, one after the other, as fast as they go.
//! The difference from the shard's figure is the system's: its calls, its wake-ups, and caches it emptied meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dauys::call::driver::Wire;

use crate::{calls, generator};

/// Timed ticks, after as many again.
const TICKS: u32 = 200_000;

struct Sink;

impl Wire for Sink {
    fn send_rtp(&self, datagram: &[u8], _: SocketAddr) {
        std::hint::black_box(datagram);
    }

    fn send_rtcp(&self, _: &[u8], _: SocketAddr) {}
}

/// Microseconds per tick of so many calls on one core.
pub fn tick_us(calls: u32, gate: bool) -> f64 {
    let speech = generator::speech();
    let mut drivers: Vec<_> = (0..calls).map(|_| Box::new(calls::alone(gate))).collect();
    let (mut now, peer) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 4_000)));
    drivers.iter_mut().for_each(|call| call.0.start(now));
    let turns = TICKS / calls;
    let mut begun = now;
    for turn in 0..2 * turns {
        if turn == turns {
            begun = Instant::now();
        }
        for (n, call) in drivers.iter_mut().enumerate() {
            let mut datagram = generator::packet(turn as u16, &speech, n * generator::APART + turn as usize);
            call.0.datagram(now, peer, &mut datagram);
            call.0.tick(now, &Sink);
        }
        now += Duration::from_millis(20);
    }
    let us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(turns * calls);
    (us * 100.0).round() / 100.0
}
