//! Two endpoints over a road that loses, doubles and reorders, in virtual time. Nothing here waits.
#![allow(dead_code)]

use super::{SDP, TARGET, addr, base, invite_request};
use sip::{CallHandle, Endpoint, EndpointConfig, Event, Output, Peer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A small generator of its own, so that a failing run can be told by its seed.
pub struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    Ring,
    /// 183 with a description.
    Progress,
    Answer,
    Hangup(usize),
    Reinvite(usize),
    Refer(usize),
    /// What came of a transfer asked of this side.
    Reached(usize),
    Cancel,
}

pub struct World {
    pub now: Instant,
    pub ends: [Endpoint; 2],
    pub calls: [Option<CallHandle>; 2],
    /// What is on the road, by arrival.
    road: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    plan: BTreeSet<(Instant, Step)>,
    sent: u64,
    dice: Dice,
    loss_percent: u64,
    pub log: [Vec<String>; 2],
}

pub const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.10:5060"];

impl World {
    pub fn new(seed: u64, loss_percent: u64, configure: impl Fn(&mut EndpointConfig)) -> Self {
        let end = |i: usize| {
            let mut config = EndpointConfig::new(addr(ADDRESSES[i]), u128::from(seed) * 2 + i as u128);
            configure(&mut config);
            Endpoint::new(config)
        };
        Self {
            now: base(),
            ends: [end(0), end(1)],
            calls: [None, None],
            road: BTreeMap::new(),
            plan: BTreeSet::new(),
            sent: 0,
            dice: Dice(seed),
            loss_percent,
            log: [Vec::new(), Vec::new()],
        }
    }

    fn in_ms(&self, ms: u64) -> Instant {
        self.now + Duration::from_millis(ms)
    }

    pub fn plan(&mut self, ms: u64, step: Step) {
        self.plan.insert((self.in_ms(ms), step));
    }

    pub fn run(&mut self) {
        for _ in 0..20_000 {
            self.drain(0);
            self.drain(1);
            let road = self.road.keys().next().map(|(at, _)| *at);
            let plan = self.plan.first().map(|(at, _)| *at);
            let timers = [self.ends[0].deadline(), self.ends[1].deadline()];
            let Some(next) = [road, plan, timers[0], timers[1]].into_iter().flatten().min() else { return };
            self.now = self.now.max(next);
            if road == Some(next) {
                let (_, (to, bytes)) = self.road.pop_first().unwrap();
                let from: SocketAddr = addr(ADDRESSES[1 - to]);
                self.ends[to].handle(self.now, Peer::udp(from), &bytes);
            } else if plan == Some(next) {
                let (_, step) = self.plan.pop_first().unwrap();
                self.act(step);
            } else {
                let due = usize::from(timers[0] != Some(next));
                self.ends[due].handle_timeout(self.now);
            }
        }
        panic!("the call never ends");
    }

    fn act(&mut self, step: Step) {
        let now = self.now;
        let call = |i: usize| self.calls[i];
        // A command may come too late; that is the point.
        let _ = match step {
            Step::Ring => call(1).map(|c| self.ends[1].ring(now, c)),
            Step::Progress => call(1).map(|c| self.ends[1].progress(now, c, 183, Some(SDP))),
            Step::Answer => call(1).map(|c| self.ends[1].answer(now, c, SDP)),
            Step::Cancel => call(0).map(|c| self.ends[0].cancel(now, c)),
            Step::Hangup(i) => call(i).map(|c| self.ends[i].hangup(now, c, None)),
            Step::Refer(i) => call(i).map(|c| self.ends[i].refer(now, c, TARGET)),
            Step::Reached(i) => call(i).map(|c| self.ends[i].refer_progress(now, c, 200)),
            Step::Reinvite(i) => call(i).map(|c| self.ends[i].reinvite(now, c, SDP)),
        };
    }

    fn drain(&mut self, i: usize) {
        while let Some(output) = self.ends[i].poll() {
            match output {
                Output::Send { to, bytes } => {
                    assert_eq!(to.address, addr(ADDRESSES[1 - i]));
                    self.post(1 - i, bytes);
                }
                Output::Banned(_) => panic!("nobody is banned here"),
                Output::Event(event) => {
                    self.log[i].push(format!("{event:?}").replace("(1 +sdp)", "").replace("(1)", ""));
                    self.calls[i] = event.call();
                    match event {
                        Event::Reinvite { call, .. } => {
                            let _ = self.ends[i].accept_reinvite(self.now, call, SDP);
                        }
                        Event::Referred { call, .. } => {
                            let _ = self.ends[i].accept_refer(self.now, call);
                            self.plan(1_000, Step::Reached(i));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn post(&mut self, to: usize, bytes: Vec<u8>) {
        if self.dice.roll(100) < self.loss_percent {
            return;
        }
        let copies = 1 + u64::from(self.loss_percent > 0 && self.dice.roll(100) < 10);
        for _ in 0..copies {
            self.sent += 1;
            let delay_ms = if self.loss_percent == 0 { 20 } else { 5 + self.dice.roll(120) };
            self.road.insert((self.in_ms(delay_ms), self.sent), (to, bytes.clone()));
        }
    }

    pub fn has(&self, i: usize, event: &str) -> bool {
        self.log[i].iter().any(|e| e.starts_with(event))
    }

    /// Both sides have let go of everything, and said the last word once.
    pub fn assert_over(&self, seed: u64) {
        for i in 0..2 {
            let last = ["Ended", "Failed", "Cancelled"];
            let words = self.log[i].iter().filter(|e| last.iter().any(|l| e.starts_with(l))).count();
            let begun = i == 0 || self.has(1, "Incoming");
            assert_eq!(words, usize::from(begun), "seed {seed}, side {i}: {:?}", self.log);
            assert_eq!((self.ends[i].calls(), self.ends[i].transactions()), (0, 0), "seed {seed}, side {i}");
            assert_eq!((self.ends[i].deadline(), self.ends[i].stats().overflow), (None, 0), "seed {seed}, side {i}");
        }
    }
}

pub fn call(seed: u64, loss_percent: u64, steps: &[(u64, Step)]) -> World {
    call_with(seed, loss_percent, |_| {}, steps)
}

pub fn call_with(
    seed: u64,
    loss_percent: u64,
    configure: impl Fn(&mut EndpointConfig),
    steps: &[(u64, Step)],
) -> World {
    let mut world = World::new(seed, loss_percent, configure);
    world.calls[0] = Some(world.ends[0].invite(world.now, invite_request()).unwrap());
    for (ms, step) in steps {
        world.plan(*ms, *step);
    }
    world.run();
    world.assert_over(seed);
    world
}
