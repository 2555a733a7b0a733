//! A shield and a browser in virtual time: checks, handshake, media and the data channel over one address, which may
//! change in mid-call.
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::dtls::{Handshake, Outcome};
use super::ice_tests::request;
use super::srtp::{Opener, Sealer};
use super::stun::{Binding, Class};
use super::*;
use crate::data::DataEvent;
use crate::data::tests::Page;
use crate::rtp::Header;

static IDENTITIES: LazyLock<[Arc<Identity>; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| Arc::new(Identity::generate().unwrap())));

const SSRC: u32 = 0xB;

fn place(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 4_000).into()
}

fn ice(name: &str) -> Option<IceConfig> {
    Some(IceConfig { local_ufrag: name.into(), local_pwd: format!("{name}, and 22 characters of chance") })
}

/// What our shield is told: browser number `browser`, our credentials by name.
fn config(browser: usize, name: &str, data: bool) -> ShieldConfig {
    let fingerprint = IDENTITIES[browser].fingerprint().clone();
    let security = Security::Dtls { identity: Arc::clone(&IDENTITIES[0]), role: Role::Passive, fingerprint };
    // RFC 8840, 4.1.1: only checks tell where the browser is.
    ShieldConfig { security, ice: ice(name), remote: ([0, 0, 0, 0], 9).into(), data }
}

/// A browser: it checks, shakes hands, talks, and has a page.
struct Browser {
    at: u8,
    credentials: IceConfig,
    handshake: Handshake,
    seal: Option<Sealer>,
    open: Option<Opener>,
    page: Page,
    /// Its last check was answered.
    answered: bool,
}

struct World {
    now: Instant,
    turns: u32,
    ours: Shield,
    browser: Browser,
    lose: fn(u32) -> bool,
    datagrams: u32,
    sequence: u16,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    fn new(data: bool) -> World {
        let now = Instant::now();
        let ours = Shield::new(now, config(1, "first", data), SSRC);
        World { now, turns: 0, ours, browser: Browser::new(now, 1), lose: |_| false, datagrams: 0, sequence: 0 }
    }

    /// With keys, and the channel open.
    fn open() -> World {
        let mut world = World::new(true);
        world.run(300);
        assert_eq!(world.events(), "Nominated AEAD_AES_256_GCM");
        world.browser.page.open(0, "dauys", 0);
        world.run(100);
        assert_eq!(
            (world.data().as_str(), world.browser.page.heard.as_slice()),
            ("Open", ["ack".to_owned()].as_slice())
        );
        world.browser.page.heard.clear();
        world
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += Duration::from_millis(20);
            self.turns += 1;
            let checks = self.turns % 5 == 1;
            for mut datagram in self.browser.turn(self.now, checks) {
                self.datagrams += 1;
                if !(self.lose)(self.datagrams) {
                    self.ours.open(self.now, place(self.browser.at), &mut datagram);
                }
            }
            let mut out = [0; 1_500];
            while let Some((len, to)) = self.ours.poll(self.now, &mut out) {
                self.datagrams += 1;
                if to == place(self.browser.at) && !(self.lose)(self.datagrams) {
                    self.browser.take(self.now, &out[..len]);
                }
            }
        }
    }

    /// Media both ways, if both sides have the right keys.
    fn talks(&mut self) -> bool {
        let mut datagram = [0x55; 32 + SEAL_MAX];
        Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp: 7, ssrc: 0xA }
            .write(&mut datagram);
        let heard = self.browser.seal.as_mut().and_then(|seal| seal.rtp(&mut datagram, 32)).is_some_and(|len| {
            let from = place(self.browser.at);
            matches!(self.ours.open(self.now, from, &mut datagram[..len]), Opened::Rtp { authenticated: true, .. })
        });
        Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp: 7, ssrc: SSRC }
            .write(&mut datagram);
        self.sequence += 1;
        let said = self.ours.seal_rtp(&mut datagram, 32);
        heard && said.is_some_and(|len| self.browser.open.as_mut().is_some_and(|o| o.rtp(&mut datagram[..len]).is_ok()))
    }

    fn events(&mut self) -> String {
        let name = |event| match event {
            ShieldEvent::Secured { suite } => suite.name().to_owned(),
            ShieldEvent::Failed(failure) => format!("{failure:?}"),
            ShieldEvent::Nominated(address) if address == place(self.browser.at) => "Nominated".into(),
            ShieldEvent::Nominated(_) => "elsewhere".into(),
        };
        let mut events: Vec<_> = std::iter::from_fn(|| self.ours.event()).map(name).collect();
        events.sort_by_key(|name| name != "Nominated");
        events.join(" ")
    }

    fn data(&mut self) -> String {
        let name = |event| match event {
            DataEvent::Text(text) => format!("\"{text}\""),
            other => format!("{other:?}"),
        };
        std::iter::from_fn(|| self.ours.data()).map(name).collect::<Vec<_>>().join(" ")
    }

    /// A text each way.
    fn chats(&mut self) -> bool {
        self.browser.page.write(0, sctp_proto::PayloadProtocolIdentifier::String, b"question");
        let sent = self.ours.send_data("answer");
        self.run(100);
        let heard = std::mem::take(&mut self.browser.page.heard);
        sent && self.data() == "\"question\"" && heard == ["answer"]
    }
}

impl Browser {
    fn new(now: Instant, identity: usize) -> Browser {
        let mut handshake = Handshake::new(now, &IDENTITIES[identity], Role::Active, IDENTITIES[0].fingerprint());
        handshake.keep_data(true);
        let credentials = ice("first").unwrap();
        Browser { at: 1, credentials, handshake, seal: None, open: None, page: Page::new(), answered: false }
    }

    /// Whatever it sends in 20 ms.
    fn turn(&mut self, now: Instant, checks: bool) -> Vec<Vec<u8>> {
        let mut sent = vec![];
        if checks {
            let user = format!("{}:theirs", self.credentials.local_ufrag);
            let attributes: [(u16, &[u8]); 4] =
                [(0x0006, user.as_bytes()), (0x0024, &[0, 0, 0, 5]), (0x802A, &[7; 8]), (0x0025, &[])];
            sent.push(request(&attributes, Some(&self.credentials.local_pwd)));
        }
        if self.answered {
            let outcome = self.handshake.tick(now);
            self.keys(outcome);
            if self.handshake.is_open() {
                self.page.tick(now);
                for packet in self.page.packets(now) {
                    self.handshake.send(now, &packet);
                }
            }
            sent.extend(std::iter::from_fn(|| self.handshake.poll()));
        }
        sent
    }

    fn take(&mut self, now: Instant, datagram: &[u8]) {
        if let Some(binding) = Binding::read(datagram) {
            self.answered |= binding.class == Class::Success && binding.is_by(&self.credentials.local_pwd);
            return;
        }
        let outcome = self.handshake.handle(now, datagram);
        self.keys(outcome);
        while let Some(packet) = self.handshake.received() {
            self.page.handle(now, packet);
        }
    }

    fn keys(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Keys { send, receive }) => {
                (self.seal, self.open) = (Some(Sealer::new(&send, 0xA)), Some(Opener::new(&receive, None)));
            }
            Some(Outcome::Failed(failure)) => panic!("{failure:?}"),
            None => {}
        }
    }
}

#[test]
fn texts_share_the_way_of_the_media() {
    let mut world = World::open();
    for _ in 0..5 {
        assert!(world.talks() && world.chats());
    }
    world.run(60_000);
    assert!(world.talks() && world.chats());
    assert_eq!(world.ours.stats().handshakes, 1);
}

#[test]
fn a_lossy_way_only_takes_longer() {
    let mut world = World::new(true);
    // One of four, in no rhythm that a handshake could fall into.
    world.lose = |n| n.wrapping_mul(2_654_435_761) >> 30 == 2;
    world.run(60_000);
    assert!(world.talks());
    world.browser.page.open(0, "dauys", 0);
    world.run(20_000);
    assert_eq!(world.data(), "Open");
    world.browser.page.write(0, sctp_proto::PayloadProtocolIdentifier::String, b"question");
    assert!(world.ours.send_data("answer"));
    world.run(20_000);
    assert_eq!((world.data().as_str(), world.browser.page.heard.join(" ").as_str()), ("\"question\"", "ack answer"));
}

#[test]
fn what_was_not_agreed_on_is_not_answered() {
    let mut world = World::new(false);
    world.run(5_000);
    assert!(world.talks());
    assert_eq!((world.data(), world.ours.send_data("x")), (String::new(), false));
    // A re-INVITE may agree on it, and take it back.
    world.ours.renegotiate(world.now, config(1, "first", true));
    world.run(10_000);
    world.browser.page.open(0, "dauys", 0);
    world.run(100);
    assert_eq!(world.data(), "Open");
    world.ours.renegotiate(world.now, config(1, "first", true));
    assert!(world.browser.page.heard.pop().is_some() && world.chats());
    world.ours.renegotiate(world.now, config(1, "first", false));
    world.run(1_000);
    assert!(!world.ours.send_data("x") && world.talks());
}

#[test]
fn a_restart_of_ice_keeps_everything_and_moves_it() {
    let mut world = World::open();
    world.ours.renegotiate(world.now, config(1, "second", true));
    // What was on its way with the old credentials, and what the browser says before it hears of the new ones.
    world.run(200);
    assert!(world.talks() && world.chats());
    (world.browser.at, world.browser.credentials) = (2, ice("second").unwrap());
    assert!(!world.talks(), "nobody has checked the new way yet");
    world.run(200);
    assert_eq!(world.events(), "Nominated");
    for _ in 0..5 {
        assert!(world.talks() && world.chats());
    }
    // And back again, and away for half a minute with texts on their way.
    (world.browser.at, world.browser.credentials) = (1, ice("third").unwrap());
    assert!(world.ours.send_data("while away"));
    world.run(30_000);
    world.ours.renegotiate(world.now, config(1, "third", true));
    world.run(20_000);
    assert_eq!((world.events().as_str(), world.browser.page.heard.join(" ").as_str()), ("Nominated", "while away"));
    world.browser.page.heard.clear();
    assert!(world.talks() && world.chats());
    let stats = world.ours.stats();
    assert_eq!((stats.handshakes, stats.keyings, world.data()), (1, 1, String::new()));
}

#[test]
fn a_closed_association_closes_the_channel_alone() {
    let mut world = World::open();
    world.browser.handshake.close();
    world.run(100);
    assert_eq!((world.data(), world.ours.send_data("x")), ("Closed".into(), false));
    assert!(world.talks(), "the keys are as good as before");
    world.run(60_000);
    assert_eq!(world.events(), "");
}

#[test]
fn another_browser_brings_another_channel() {
    let mut world = World::open();
    world.ours.renegotiate(world.now, config(2, "second", true));
    world.browser = Browser::new(world.now, 2);
    (world.browser.at, world.browser.credentials) = (3, ice("second").unwrap());
    world.run(500);
    assert_eq!(world.events(), "Nominated AEAD_AES_256_GCM");
    world.browser.page.open(0, "dauys", 0);
    world.run(100);
    assert_eq!(world.data(), "Closed Open");
    world.browser.page.heard.clear();
    assert!(world.talks() && world.chats());
}
