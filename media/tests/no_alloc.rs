//! A counting allocator over a minute of two legs that talk to each other: every codec, plain and protected, with loss,
//! keys and reports.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::leg::{DATAGRAM_MAX, FRAMES_KEPT};
use media::playout::{PLAYOUT_FRAMES, PLAYOUT_KEPT, Playout};
use media::secure::{Keys, Security, Suite};
use media::{Codec, FramePool, Leg, LegConfig, MediaTime};

const FRAME: Duration = Duration::from_millis(20);
const MINUTE: u32 = 3_000;

/// One end, as a driver has it.
struct End {
    leg: Leg,
    playout: Playout<u32>,
    heard: FramePool,
    spoken: FramePool,
    out: [u8; DATAGRAM_MAX],
}

impl End {
    fn new(now: Instant, codec: Codec, security: Security) -> Self {
        let payload_type = codec.static_payload_type().unwrap_or(96);
        let receive = vec![(payload_type, codec)];
        let config = LegConfig { codec, payload_type, receive, sequence: 30_000, security, ..LegConfig::new(peer()) };
        End {
            leg: Leg::new(now, config),
            playout: Playout::new(),
            heard: FramePool::new(2 + FRAMES_KEPT),
            spoken: FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 2),
            out: [0; DATAGRAM_MAX],
        }
    }

    /// What a driver does every 20 ms; what it sends reaches `other`, unless it is lost.
    fn tick(&mut self, now: Instant, turn: u32, other: &mut Leg) {
        if turn.is_multiple_of(500) {
            self.leg.send_digit(media::Digit::from_char('5').expect("a digit"), 100);
        }
        let heard = self.leg.tick_in(now, &mut self.heard);
        while self.playout.space() > 7 && self.say(turn) {}
        let frame = self.playout.tick(&mut self.spoken);
        if let Some(sent) = self.leg.tick_out(now, frame.as_ref(), &mut self.out)
            && turn % 20 != 7
        {
            other.handle(now, peer(), &mut self.out[..sent.len]);
        }
        if let Some(sent) = self.leg.rtcp(now, &mut self.out) {
            other.handle(now, peer(), &mut self.out[..sent.len]);
        }
        while self.leg.event().is_some() {}
        drop(heard);
    }

    fn say(&mut self, turn: u32) -> bool {
        let frame = self.spoken.fill(MediaTime::ZERO, |out| -> Result<(), ()> {
            let wave = |n: usize| (n as i16).wrapping_mul(turn as i16) / 4;
            out.iter_mut().enumerate().for_each(|(n, sample)| *sample = wave(n));
            Ok(())
        });
        frame.is_ok_and(|frame| self.playout.push(1, frame).is_ok())
    }
}

fn peer() -> SocketAddr {
    ([192, 0, 2, 7], 4_000).into()
}

fn check(codec: Codec, suite: Option<Suite>) {
    let key = |first: u8| {
        let suite = suite.expect("asked for");
        let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| first.wrapping_add(n as u8)).collect();
        Keys::new(suite, &bytes).expect("as long as it says")
    };
    let security = |ours: u8, theirs: u8| match suite {
        None => Security::Plain,
        Some(_) => Security::Sdes { send: key(ours), receive: key(theirs) },
    };
    let start = Instant::now();
    let (mut a, mut b) = (End::new(start, codec, security(1, 99)), End::new(start, codec, security(99, 1)));
    let mut run = |turns: std::ops::Range<u32>| {
        for turn in turns {
            let now = start + FRAME * turn;
            a.tick(now, turn, &mut b.leg);
            b.tick(now, turn, &mut a.leg);
        }
    };
    run(0..100);
    let counted = allocation_counter::measure(|| run(100..100 + MINUTE));
    assert_eq!(counted.count_total, 0, "{codec:?} {suite:?} allocated");
    let stats = a.leg.stats();
    assert!(stats.packets_received > 2_500, "{codec:?} {suite:?}: {stats:?}");
    assert!(stats.concealed_frames + stats.recovered > 50, "{codec:?} {suite:?}: {stats:?}");
}

#[test]
fn a_minute_of_frames_allocates_nothing() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        check(codec, None);
    }
    for suite in Suite::ALL {
        check(Codec::Pcma, Some(suite));
    }
}
