//! A counting allocator over a minute of a whole call's ticks: leg, detector and its gate, call, playout, as a media
//! thread runs them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../benches/capacity/calls.rs"]
mod calls;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dauys::call::driver::Wire;

const MINUTE: u32 = 3_000;

/// Counts what is sent.
#[derive(Default)]
struct Sink(Cell<usize>);

impl Wire for Sink {
    fn send_rtp(&self, datagram: &[u8], _: SocketAddr) {
        self.0.set(self.0.get() + datagram.len());
    }

    fn send_rtcp(&self, _: &[u8], _: SocketAddr) {}
}

#[test]
fn a_minute_of_a_calls_ticks_allocates_nothing() {
    let (mut driver, _inputs) = calls::alone(true);
    let peer = SocketAddr::from(([127, 0, 0, 1], 4_000));
    let (mut now, sink) = (Instant::now(), Sink::default());
    driver.start(now);
    let mut dice = 1u32;
    let mut tick = |turn: u32| {
        let mut datagram = [0; 12 + 160];
        datagram[0] = 0x80;
        datagram[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
        datagram[4..8].copy_from_slice(&(turn * 160).to_be_bytes());
        // Quiet, with noise that opens the gate now and then.
        for byte in &mut datagram[12..] {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = if turn % 200 < 20 { 0xd0 } else { 0xf8 } | (dice >> 29) as u8;
        }
        driver.datagram(now, peer, &mut datagram);
        driver.tick(now, &sink);
        now += Duration::from_millis(20);
    };
    (0..1_000).for_each(&mut tick);
    let before = sink.0.get();
    let counted = allocation_counter::measure(|| (1_000..1_000 + MINUTE).for_each(&mut tick));
    assert!(sink.0.get() - before >= MINUTE as usize * 172, "a packet a tick");
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
