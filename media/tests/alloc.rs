//! The steady state needs no memory: shown by where things lie. A counting allocator needs `unsafe`, which
//! this workspace forbids; it belongs to a benchmark outside.
#![allow(clippy::unwrap_used)] // a test may; clippy.toml only reaches #[test] functions

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::leg::FRAMES_KEPT;
use media::playout::{PLAYOUT_FRAMES, PLAYOUT_KEPT, Playout};
use media::rtp::Header;
use media::{Codec, FramePool, Leg, LegConfig};

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

#[test]
fn ten_minutes_of_frames_come_from_the_same_slots() {
    let start = epoch();
    let remote = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let receive = vec![(8, Codec::Pcma)];
    let config = LegConfig { codec: Codec::Pcma, payload_type: 8, receive, ..LegConfig::new(remote) };
    let mut leg = Leg::new(start, config);
    let mut pool = FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 2 + FRAMES_KEPT);
    let mut playout = Playout::new();
    let mut places = BTreeSet::new();
    let (mut packet, mut out) = ([0xD5; 172], [0; 1_500]);
    for n in 0..30_000u32 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        // One packet in twenty is lost, one in thirty comes twice.
        for _ in 0..u32::from(n % 20 != 7) + u32::from(n % 30 == 9) {
            Header { marker: false, payload_type: 8, sequence: n as u16, timestamp: n * 160, ssrc: 5 }
                .write(&mut packet)
                .unwrap();
            packet[12..].fill((n % 256) as u8);
            leg.handle(now, remote, &mut packet);
        }
        let frame = leg.tick_in(now, &mut pool).frame.unwrap();
        places.insert(frame.samples().as_ptr() as usize);
        // An echo through the playout queue, ducked now and then, stopped now and then.
        playout.duck(n % 400 > 350);
        if playout.push(n / 50, frame).is_err() || n % 1_000 == 999 {
            playout.stop();
        }
        if n % 1_000 > 8 || n < 1_000 {
            let said = playout.tick(&mut pool);
            places.extend(said.as_ref().map(|f| f.samples().as_ptr() as usize));
            assert!(leg.tick_out(now, said.as_ref(), &mut out).is_some());
        }
        leg.rtcp(now, &mut out);
    }
    assert!(places.len() <= pool.capacity(), "{} places for {} slots", places.len(), pool.capacity());
    playout.clear();
    assert_eq!(pool.free() + FRAMES_KEPT, pool.capacity(), "and every slot came back but those the leg remembers");
}
