//! A page and our channel over a line in virtual time. The page's association is the crate's own client.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, StreamEvent,
};

use super::*;

fn nobody() -> SocketAddr {
    ([192, 0, 2, 1], 5_000).into()
}

/// The other side. What it heard: `ack`, texts, and `-` before the number of a stream that was closed to it.
pub(crate) struct Page {
    endpoint: Endpoint,
    association: Association,
    pub heard: Vec<String>,
}

impl Page {
    pub fn new() -> Page {
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), None);
        let (_, association) = endpoint.connect(ClientConfig::new(), nobody()).unwrap();
        Page { endpoint, association, heard: vec![] }
    }

    pub fn handle(&mut self, now: Instant, packet: Vec<u8>) {
        if let Some((_, DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, nobody(), None, None, packet.into())
        {
            self.association.handle_event(event);
        }
        while let Some(event) = self.association.poll() {
            match event {
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Finished { id }) => self.heard.push(format!("-{id}")),
                _ => {}
            }
        }
    }

    pub fn tick(&mut self, now: Instant) {
        self.association.handle_timeout(now);
    }

    fn read(&mut self, id: u16) {
        while let Some(message) = self.association.stream(id).unwrap().read_sctp().unwrap() {
            let mut bytes = vec![0; message.len()];
            message.read(&mut bytes).unwrap();
            self.heard.push(match message.ppi {
                Ppi::Dcep if bytes == [2] => "ack".into(),
                Ppi::String => String::from_utf8(bytes).unwrap(),
                Ppi::StringEmpty if bytes == [0] => "empty".into(),
                other => panic!("{other:?} {bytes:?}"),
            });
        }
    }

    pub fn packets(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = vec![];
        while let Some(transmit) = self.association.poll_transmit(now) {
            let Payload::RawEncode(made) = transmit.payload else { panic!() };
            packets.extend(made.into_iter().map(Vec::from));
        }
        packets
    }

    pub fn write(&mut self, stream: u16, ppi: Ppi, bytes: &[u8]) {
        let mut stream = match self.association.stream(stream) {
            Ok(stream) => stream,
            Err(_) => self.association.open_stream(stream, Ppi::Binary).unwrap(),
        };
        stream.write_with_ppi(bytes, ppi).unwrap();
    }

    pub fn open(&mut self, stream: u16, label: &str, channel_type: u8) {
        let header = [3, channel_type, 1, 0, 0, 0, 0, 1, 0, label.len() as u8, 0, 0];
        self.write(stream, Ppi::Dcep, &[&header, label.as_bytes()].concat());
    }
}

struct World {
    now: Instant,
    page: Page,
    ours: DataChannel,
    /// Whether the nth packet is lost.
    lose: fn(u32) -> bool,
    packets: u32,
    wire: VecDeque<(bool, Vec<u8>)>,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    fn new() -> World {
        let (page, ours) = (Page::new(), DataChannel::default());
        World { now: Instant::now(), page, ours, lose: |_| false, packets: 0, wire: VecDeque::new() }
    }

    /// With the channel open.
    fn open() -> World {
        let mut world = World::new();
        // Four packets, each a turn on its way.
        world.run(120);
        world.page.open(0, LABEL, 0);
        world.run(60);
        assert_eq!((world.events().as_str(), world.page.heard.join(" ").as_str()), ("Open", "ack"));
        world.page.heard.clear();
        world
    }

    /// Every 20 ms, as a leg does it; packets of one turn arrive in the next.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += Duration::from_millis(20);
            for (to_us, packet) in std::mem::take(&mut self.wire) {
                self.packets += 1;
                match to_us {
                    _ if (self.lose)(self.packets) => {}
                    true => self.ours.handle(self.now, &packet),
                    false => self.page.handle(self.now, packet),
                }
            }
            self.page.tick(self.now);
            self.wire.extend(self.page.packets(self.now).into_iter().map(|packet| (true, packet)));
            self.ours.tick(self.now);
            while let Some(packet) = self.ours.poll() {
                assert!(packet.len() <= 1_160, "{} bytes, and DTLS adds 37", packet.len());
                self.wire.push_back((false, packet));
            }
        }
    }

    fn events(&mut self) -> String {
        let name = |event| match event {
            DataEvent::Text(text) => format!("\"{text}\""),
            other => format!("{other:?}"),
        };
        std::iter::from_fn(|| self.ours.event()).map(name).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn texts_go_both_ways() {
    let mut world = World::open();
    world.page.write(0, Ppi::String, "сәлем".as_bytes());
    world.page.write(0, Ppi::StringEmpty, &[0]);
    world.page.write(0, Ppi::Binary, &[1, 2, 3]);
    world.page.write(0, Ppi::String, &[0xFF, 0xFE]);
    world.page.write(0, Ppi::String, &[b'x'; MESSAGE_LEN_MAX as usize]);
    assert!(world.ours.send("hello") && world.ours.send("") && world.ours.send("again"));
    world.run(200);
    let long = "x".repeat(MESSAGE_LEN_MAX as usize);
    assert_eq!(world.events(), format!("\"сәлем\" \"\" \"{long}\""));
    assert_eq!(world.page.heard, ["hello", "empty", "again"]);
}

#[test]
fn nothing_is_sent_while_nothing_happens() {
    let mut world = World::open();
    world.run(1_000);
    let before = world.packets;
    world.run(600_000);
    assert_eq!(world.packets, before);
    assert!(world.ours.send("after ten minutes"));
    world.run(60);
    assert_eq!(world.page.heard, ["after ten minutes"]);
}

#[test]
fn other_channels_are_reset() {
    let mut world = World::open();
    world.page.open(2, "other", 0);
    world.page.open(4, LABEL, 0x80);
    world.page.open(6, LABEL, 0x02);
    world.page.open(8, LABEL, 0);
    world.page.write(10, Ppi::String, b"never opened");
    world.run(3_000);
    world.page.heard.sort();
    assert_eq!(world.page.heard, ["-10", "-2", "-4", "-6", "-8"]);
    assert_eq!(world.events(), "");
    world.page.write(0, Ppi::String, b"still there");
    world.run(60);
    assert_eq!(world.events(), "\"still there\"");
}

#[test]
fn a_channel_may_be_closed_and_opened_again() {
    let mut world = World::open();
    for (former, next) in [(0, 2), (2, 0), (0, 0)] {
        world.page.association.stream(former).unwrap().close().unwrap();
        world.run(3_000);
        assert_eq!((world.events().as_str(), world.ours.send("nobody hears")), ("Closed", false));
        world.page.heard.clear();
        world.page.open(next, LABEL, 0);
        world.run(60);
        assert_eq!((world.events().as_str(), world.page.heard.join(" ").as_str()), ("Open", "ack"));
    }
    assert!(world.ours.send("heard"));
}

#[test]
fn not_for_ever() {
    let mut world = World::open();
    let mut openings = 1;
    for _ in 0..20 {
        world.page.association.stream(0).unwrap().close().unwrap();
        world.run(3_000);
        world.page.open(0, LABEL, 0);
        world.run(3_000);
        openings += world.events().matches("Open").count();
        if openings == usize::from(OPENINGS_MAX) {
            break;
        }
    }
    world.page.association.stream(0).unwrap().close().unwrap();
    world.run(3_000);
    world.page.heard.clear();
    world.page.open(0, LABEL, 0);
    world.run(3_000);
    assert_eq!((world.events().as_str(), world.page.heard.join(" ").as_str()), ("Closed", "-0"));
}

#[test]
fn what_is_lost_comes_again_in_order() {
    let ways: [fn(u32) -> bool; 3] =
        [|n| n.is_multiple_of(3), |n| n % 5 < 2, |n| n.is_multiple_of(2) && (7..60).contains(&n)];
    for lose in ways {
        let mut world = World::new();
        world.lose = lose;
        world.run(30_000);
        world.page.open(0, LABEL, 0);
        world.run(30_000);
        assert_eq!(world.events(), "Open");
        let (mut said, mut expected) = (0, vec![]);
        for _ in 0..20 {
            let round = said..said + 10;
            for n in round.clone() {
                world.page.write(0, Ppi::String, format!("{n}").as_bytes());
                assert!(world.ours.send(&format!("{n}")));
            }
            expected.extend(round.clone().map(|n| n.to_string()));
            said = round.end;
            world.run(60_000);
            assert_eq!(world.events(), round.map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(world.page.heard[1..], expected);
    }
}

#[test]
fn who_talks_faster_than_we_listen_is_closed() {
    let mut world = World::open();
    for n in 0..17 {
        world.page.write(0, Ppi::String, format!("{n}").as_bytes());
    }
    world.run(2_000);
    let sixteen: Vec<String> = (0..16).map(|n| format!("\"{n}\"")).collect();
    assert_eq!(world.events(), format!("{} Closed", sixteen.join(" ")));
    assert_eq!(world.page.heard, ["-0"]);
    world.page.heard.clear();
    world.page.open(0, LABEL, 0);
    world.run(60);
    assert_eq!(world.events(), "Open");
}

#[test]
fn a_page_that_does_not_read_is_not_waited_for() {
    let mut world = World::open();
    world.lose = |_| true;
    assert!(!world.ours.send(&"x".repeat(SENT_LEN_MAX + 1)));
    let sent = (0..1_000).filter(|_| world.ours.send(&"x".repeat(1_000))).count();
    assert_eq!(sent, WAITING_MAX / 1_000);
    world.run(60_000);
    assert!(world.wire.len() <= PACKETS_MAX && !world.ours.send(&"x".repeat(1_000)));
    world.lose = |_| false;
    world.run(60_000);
    assert_eq!((world.page.heard.len(), world.ours.send("x")), (sent, true));
}

#[test]
fn messages_that_are_too_long_end_it() {
    let mut world = World::open();
    world.page.write(0, Ppi::String, &[b'x'; MESSAGE_LEN_MAX as usize + 1]);
    world.run(200);
    assert_eq!(world.events(), "Closed");
    world.page.write(0, Ppi::String, b"nobody hears");
    world.run(5_000);
    assert_eq!((world.events(), world.ours.send("x"), world.ours.poll()), (String::new(), false, None));
}

#[test]
fn the_other_side_may_end_the_association() {
    let mut world = World::open();
    world.page.association.shutdown().unwrap();
    world.run(1_000);
    assert_eq!((world.events(), world.ours.over), ("Closed".into(), true));
    // And what is below may.
    let mut world = World::open();
    world.ours.end();
    world.ours.end();
    assert_eq!((world.events(), world.ours.send("x"), world.ours.poll()), ("Closed".into(), false, None));
    world.run(1_000);
    assert_eq!(world.events(), "");
}

#[test]
fn another_association_begins_anew() {
    let mut world = World::open();
    world.page.write(0, Ppi::String, b"the last words");
    world.run(60);
    world.ours.restart();
    world.page = Page::new();
    world.wire.clear();
    world.run(2_000);
    world.page.open(0, LABEL, 0);
    world.run(60);
    assert_eq!(world.events(), "\"the last words\" Closed Open");
    assert!(world.ours.send("heard"));
    world.run(60);
    assert_eq!(world.page.heard, ["ack", "heard"]);
}

#[test]
fn nothing_of_it_is_printed() {
    let shown = format!("{:?} {:?}", DataEvent::Text("a secret".into()), DataEvent::Open);
    assert_eq!(shown, "Text Open");
}

/// Two of ours: one opens, the other waits.
#[test]
#[allow(clippy::disallowed_methods)]
fn a_caller_of_our_own_opens_the_channel() {
    let (mut caller, mut called, mut now) = (DataChannel::default(), DataChannel::default(), Instant::now());
    caller.open();
    let (mut packets, mut found) = (0, [vec![], vec![]]);
    for _ in 0..400 {
        now += Duration::from_millis(20);
        caller.tick(now);
        called.tick(now);
        // Every third is lost.
        let mut passes = || {
            packets += 1;
            packets % 3 != 2
        };
        std::iter::from_fn(|| caller.poll()).filter(|_| passes()).for_each(|packet| called.handle(now, &packet));
        std::iter::from_fn(|| called.poll()).filter(|_| passes()).for_each(|packet| caller.handle(now, &packet));
        for (channel, found) in [&mut caller, &mut called].into_iter().zip(&mut found) {
            while let Some(event) = channel.event() {
                match event {
                    DataEvent::Text(text) => found.push(text),
                    DataEvent::Open => assert!(channel.send("hello")),
                    DataEvent::Closed => panic!("closed"),
                }
            }
        }
    }
    let heard: Vec<String> = found.iter().map(|texts| texts.join(" ")).collect();
    assert_eq!(heard, ["hello", "hello"]);
}
