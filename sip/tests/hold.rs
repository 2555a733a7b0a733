//! Early media, hold and resume between two endpoints, with descriptions as a driver makes them. Nothing is lost, nothing waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::sdp::{self, Direction, LocalMedia, Negotiated};
use sip::{CallHandle, Endpoint, EndpointConfig, Event, Output, Peer};
use std::time::Instant;
use support::{addr, base, invite_request};

const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.10:5060"];

/// One side as its driver sees it.
struct Side {
    endpoint: Endpoint,
    call: Option<CallHandle>,
    local: LocalMedia,
    /// What holds for its media now.
    agreed: Option<Negotiated>,
    log: Vec<String>,
}

/// 0 calls 1.
struct Pair {
    now: Instant,
    sides: [Side; 2],
    /// The called side lets its early media be heard.
    early: bool,
}

impl Pair {
    fn new(early: bool) -> Self {
        let side = |i: usize| Side {
            endpoint: Endpoint::new(EndpointConfig::new(addr(ADDRESSES[i]), i as u128)),
            call: None,
            local: LocalMedia::new(addr(&format!("192.0.2.{}:4000", [1, 10][i])), i as u64),
            agreed: None,
            log: Vec::new(),
        };
        let mut pair = Self { now: base(), sides: [side(0), side(1)], early };
        let mut request = invite_request();
        request.sdp = Some(sdp::offer(&pair.sides[0].local));
        pair.sides[0].call = Some(pair.sides[0].endpoint.invite(pair.now, request).unwrap());
        pair.run();
        pair
    }

    fn run(&mut self) {
        while let Some((i, output)) = (0..2).find_map(|i| self.sides[i].endpoint.poll().map(|o| (i, o))) {
            match output {
                Output::Send { bytes, .. } => {
                    self.sides[1 - i].endpoint.handle(self.now, Peer::udp(addr(ADDRESSES[i])), &bytes);
                }
                Output::Event(event) => self.event(i, event),
                Output::Banned(_) => panic!("nobody here is banned"),
            }
        }
    }

    fn event(&mut self, i: usize, event: Event) {
        let (now, early) = (self.now, self.early);
        let side = &mut self.sides[i];
        side.log.push(format!("{event:?}"));
        let call = event.call().unwrap();
        side.call = Some(call);
        match event {
            Event::Incoming { offer, .. } => {
                let answer = sdp::answer(&offer.unwrap(), &side.local).unwrap();
                if early {
                    side.endpoint.progress(now, call, 183, Some(&answer.body)).unwrap();
                }
                side.endpoint.answer(now, call, &answer.body).unwrap();
                side.agreed = Some(answer);
            }
            Event::Reinvite { offer: Some(offer), .. } => {
                side.local.next_version();
                let answer = sdp::answer(&offer, &side.local).unwrap();
                side.endpoint.accept_reinvite(now, call, &answer.body).unwrap();
                side.agreed = Some(answer);
            }
            Event::Progress { sdp: Some(answer), .. }
            | Event::Answered { sdp: Some(answer), .. }
            | Event::Renegotiated { answer: Some(answer), .. } => {
                side.agreed = Some(sdp::accept(&side.local, &answer).unwrap());
            }
            _ => {}
        }
    }

    /// Side `i` wants this direction now; what both have then.
    fn turn(&mut self, i: usize, direction: Direction) -> [Direction; 2] {
        let side = &mut self.sides[i];
        side.local.direction = direction;
        side.local.next_version();
        side.endpoint.reinvite(self.now, side.call.unwrap(), &sdp::offer(&side.local)).unwrap();
        self.run();
        [0, 1].map(|i| self.sides[i].agreed.as_ref().unwrap().direction)
    }
}

const ALL: [Direction; 4] = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

#[test]
fn every_direction_from_either_side() {
    for i in 0..2 {
        let mut pair = Pair::new(false);
        for from in ALL {
            for to in ALL {
                pair.turn(i, from);
                let got = pair.turn(i, to);
                assert_eq!((got[i], got[1 - i]), (to, to.reversed()), "{i} {from:?} {to:?}");
            }
        }
        assert!(pair.turn(i, Direction::SendRecv).iter().all(|d| *d == Direction::SendRecv));
    }
}

#[test]
fn both_hold_and_one_resumes() {
    let mut pair = Pair::new(false);
    assert_eq!(pair.turn(0, Direction::SendOnly), [Direction::SendOnly, Direction::RecvOnly]);
    // The held one holds too: nobody sends.
    assert_eq!(pair.turn(1, Direction::SendOnly), [Direction::Inactive, Direction::Inactive]);
    // The first resumes, the other still holds.
    assert_eq!(pair.turn(0, Direction::SendRecv), [Direction::RecvOnly, Direction::SendOnly]);
    assert_eq!(pair.turn(1, Direction::SendRecv), [Direction::SendRecv, Direction::SendRecv]);
}

#[test]
fn early_media_is_agreed_once() {
    let mut pair = Pair::new(true);
    assert_eq!(pair.sides[0].log, ["Progress(1, 183 +sdp)", "Answered(1 +sdp)"]);
    assert_eq!(pair.sides[1].log, ["Incoming(1 +sdp)", "Established(1)"]);
    for side in &pair.sides {
        assert_eq!(side.agreed.as_ref().unwrap().direction, Direction::SendRecv);
    }
    assert_eq!(pair.sides[0].agreed.as_ref().unwrap().remote, addr("192.0.2.10:4000"));
    // And the call goes on like any other.
    assert_eq!(pair.turn(1, Direction::Inactive), [Direction::Inactive, Direction::Inactive]);
    assert_eq!(pair.turn(0, Direction::SendRecv), [Direction::Inactive, Direction::Inactive]);
    assert_eq!(pair.turn(1, Direction::SendRecv), [Direction::SendRecv, Direction::SendRecv]);
}

#[test]
fn a_refresh_leaves_a_hold_alone() {
    let mut pair = Pair::new(false);
    pair.turn(0, Direction::SendOnly);
    // Half the session's time, and its refresh: by UPDATE, which both sides speak.
    for _ in 0..4 {
        let at = pair.sides.iter().filter_map(|s| s.endpoint.deadline()).min().unwrap();
        pair.now = at;
        for i in 0..2 {
            pair.sides[i].endpoint.handle_timeout(at);
        }
        pair.run();
    }
    let sent = pair.sides.iter().map(|s| s.endpoint.stats().retransmissions).sum::<u64>();
    assert_eq!(sent, 0);
    assert_eq!(
        [0, 1].map(|i| pair.sides[i].agreed.as_ref().unwrap().direction),
        [Direction::SendOnly, Direction::RecvOnly]
    );
    assert!(pair.sides.iter().all(|s| s.endpoint.calls() == 1));
}
