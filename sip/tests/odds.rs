//! Whatever the order of answers, challenges, lost roads and changes of mind: every call of ours ends once, and nothing is left. Time is only numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name};
use sip::{Event, Output, Peer};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use support::client::{SDP, Stage, road, stage};

/// A small generator of its own, so that a failing run can be told by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

struct World {
    stage: Stage,
    dice: Dice,
    /// How often each call, then each registration, said its last word.
    calls: BTreeMap<String, usize>,
    log: Vec<String>,
}

const TARGETS: [&str; 4] = ["udp:a", "tcp:a", "tcp:b", "tls:c"];
const STATUSES: [&str; 12] = ["100", "180", "183", "200", "200", "401", "407", "503", "486", "302", "481", "408"];

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut stage = stage().signed();
        let count = 1 + dice.roll(3);
        stage.invite.targets = (0..count).map(|_| road(dice.pick(&TARGETS))).collect();
        stage.register.targets.clone_from(&stage.invite.targets);
        let padding = if dice.roll(3) == 0 { "a=x-padding:0123456789\r\n".repeat(60) } else { String::new() };
        stage.invite.sdp = (dice.roll(3) > 0).then(|| format!("{SDP}{padding}"));
        Self { stage, dice, calls: BTreeMap::new(), log: Vec::new() }
    }

    fn step(&mut self) {
        let now = self.stage.now;
        match self.dice.roll(10) {
            0..=4 => {
                let status = self.dice.pick(&STATUSES);
                self.answer(status);
            }
            5 => {
                let to = road(self.dice.pick(&TARGETS));
                self.log.push(format!("lost {}", to.transport.as_str()));
                self.stage.endpoint.unreachable(now, to);
            }
            6 => self.change_of_mind(),
            7 => self.bye(),
            _ => {
                let ms = [10, 500, 7_000, 33_000][self.dice.roll(4)];
                self.log.push(format!("wait {ms}"));
                self.pass(Duration::from_millis(ms));
            }
        }
        self.drain();
    }

    fn pass(&mut self, span: Duration) {
        let until = self.stage.now + span;
        while let Some(at) = self.stage.endpoint.deadline().filter(|at| *at <= until) {
            self.stage.now = self.stage.now.max(at);
            self.stage.endpoint.handle_timeout(self.stage.now);
            self.drain();
        }
        self.stage.now = until;
    }

    /// A response to one of the newest requests.
    fn answer(&mut self, status: &str) {
        let requests: Vec<&(Peer, Vec<u8>)> =
            self.stage.sent.iter().filter(|(_, b)| !b.starts_with(b"ACK ") && !b.starts_with(b"\r\n")).collect();
        let back = self.dice.roll(requests.len().clamp(1, 4));
        let Some((to, bytes)) = requests.iter().rev().nth(back) else { return };
        let Ok(request) = message::parse(bytes) else { return };
        if !request.is_request() {
            return;
        }
        let text = |name| request.header(name).map(|h| h.text().into_owned()).unwrap_or_default();
        let mut out = format!("SIP/2.0 {status} X\r\n");
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq, Name::Contact] {
            let _ = write!(out, "{}: {}\r\n", name.as_str(), text(name));
        }
        let to_value = text(Name::To);
        let tag = if to_value.contains(";tag=") { String::new() } else { format!(";tag={}", self.dice.roll(3)) };
        let _ = write!(out, "To: {to_value}{tag}\r\n");
        let nonce = self.dice.roll(1000);
        let challenge = format!("Digest realm=\"r\", nonce=\"{nonce}\", stale={}", nonce.is_multiple_of(2));
        match status {
            "401" => out.push_str(&format!("WWW-Authenticate: {challenge}\r\n")),
            "407" => out.push_str(&format!("Proxy-Authenticate: {challenge}\r\n")),
            _ => {}
        }
        if self.dice.roll(2) == 0 {
            let _ = write!(out, "Content-Type: application/sdp\r\n\r\n{SDP}");
        } else {
            out.push_str("\r\n");
        }
        let from = *to;
        self.log.push(format!("{status} {}", text(Name::CSeq)));
        self.stage.endpoint.handle(self.stage.now, from, out.as_bytes());
    }

    fn change_of_mind(&mut self) {
        let Some(call) = self.stage.events.iter().rev().find_map(Event::call).or(self.stage.call) else { return };
        let (e, now) = (&mut self.stage.endpoint, self.stage.now);
        let kind = self.dice.roll(5);
        let done = match kind {
            0 => e.cancel(now, call),
            1 => e.hangup(now, call, None),
            2 => e.acknowledge(now, call, SDP),
            3 => e.reinvite(now, call, SDP),
            _ => e.refer(now, call, "sip:carol@192.0.2.20"),
        };
        self.log.push(format!("command {kind} {done:?}"));
    }

    fn bye(&mut self) {
        let invite = self.stage.sent.iter().rev().find(|(_, b)| b.starts_with(b"INVITE ")).cloned();
        let Some((from, bytes)) = invite else { return };
        let invite = message::parse(&bytes).unwrap();
        let text = |name| invite.header(name).map(|h| h.text().into_owned()).unwrap_or_default();
        let number = 1 + self.dice.roll(1000);
        let bye = format!(
            "BYE sip:dauys@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{} 192.0.2.10;branch=z9hG4bKx{number}\r\nFrom: {};tag={}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {number} BYE\r\n\r\n",
            from.transport.as_str(),
            text(Name::To).split(";tag=").next().unwrap_or_default(),
            self.dice.roll(3),
            text(Name::From),
            text(Name::CallId)
        );
        self.log.push("BYE".to_owned());
        self.stage.endpoint.handle(self.stage.now, from, bye.as_bytes());
    }

    fn drain(&mut self) {
        while let Some(output) = self.stage.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => {
                    assert!(bytes == b"\r\n\r\n" || message::parse(&bytes).is_ok_and(|m| m.defect.is_none()));
                    self.stage.sent.push((to, bytes));
                }
                Output::Event(event) => {
                    self.log.push(format!("  {event:?}"));
                    let last = matches!(
                        event,
                        Event::Failed { .. }
                            | Event::Ended { .. }
                            | Event::Cancelled { .. }
                            | Event::Unregistered { .. }
                    );
                    let whose = event.call().map_or_else(|| "registration".to_owned(), |c| format!("{c:?}"));
                    let words = self.calls.entry(whose).or_default();
                    assert_eq!(*words, 0, "a word after the last one: {:#?}", self.log);
                    *words += usize::from(last);
                    self.stage.events.push(event);
                }
                Output::Banned(_) => panic!("whom we called is no stranger"),
            }
        }
    }

    /// Nobody answers any more.
    fn assert_comes_to_rest(&mut self, seed: u64) {
        self.pass(Duration::from_secs(600));
        let e = &self.stage.endpoint;
        let left = (e.calls(), e.transactions(), e.deadline());
        assert_eq!(left, (0, 0, None), "seed {seed}: {:#?}", self.log);
        assert!(self.calls.values().all(|n| *n == 1), "seed {seed}: {:#?}", self.log);
    }
}

#[test]
fn every_call_ends_once() {
    let mut outcomes = BTreeMap::<String, usize>::new();
    for seed in 0..4000 {
        let mut world = World::new(seed);
        let call = world.stage.endpoint.invite(world.stage.now, world.stage.invite.clone()).unwrap();
        world.stage.call = Some(call);
        world.drain();
        // Half of them begin well.
        if seed % 2 == 0 {
            world.answer("200");
            world.drain();
        }
        for _ in 0..3 + seed % 40 {
            world.step();
        }
        let _ = world.stage.endpoint.hangup(world.stage.now, call, None);
        world.drain();
        assert_eq!(world.calls.len(), 1, "seed {seed}");
        world.assert_comes_to_rest(seed);
        for event in &world.stage.events {
            *outcomes.entry(format!("{event:?}")).or_default() += 1;
        }
    }
    // The odds reach what they are for.
    for (wanted, at_least) in [
        ("Answered(1)", 400),
        ("Answered(1 +sdp)", 400),
        ("Failed(1, 401)", 2),
        ("Failed(1, 503)", 100),
        ("Failed(1, 487)", 100),
        ("Renegotiated(1 +sdp)", 10),
        ("RenegotiationFailed(1, 503)", 10),
        ("TransferFailed(1, 503)", 10),
    ] {
        assert!(outcomes.get(wanted).is_some_and(|n| *n > at_least), "{wanted}: {outcomes:#?}");
    }
}

#[test]
fn every_registration_ends_once() {
    let (mut held, mut failed) = (0, 0);
    for seed in 0..2000 {
        let mut world = World::new(seed);
        let registration = world.stage.endpoint.register(world.stage.now, world.stage.register.clone()).unwrap();
        world.drain();
        for _ in 0..3 + seed % 20 {
            world.step();
        }
        held += usize::from(world.stage.events.iter().any(|e| matches!(e, Event::Registered { .. })));
        failed += usize::from(world.stage.events.iter().any(|e| matches!(e, Event::RegistrationFailed { .. })));
        world.stage.endpoint.unregister(world.stage.now, registration).unwrap();
        world.drain();
        world.assert_comes_to_rest(seed);
        assert_eq!(world.calls.get("registration"), Some(&1), "seed {seed}");
    }
    assert!(held > 200 && failed > 200, "{held} {failed}");
}
