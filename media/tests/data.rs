//! A leg and a browser over a line in virtual time: handshake, sound both ways and a data channel, made of other
//! libraries than ours. And what such a leg costs.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::AllocationInfo;
use dimpl::{Dtls, DtlsCertificate, Output};
use media::leg::{DATAGRAM_MAX, FRAMES_KEPT};
use media::secure::{Identity, Keys, Role, Security, Suite};
use media::{Codec, DataEvent, FramePool, Leg, LegConfig, LegEvent, MediaTime};
use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, StreamEvent,
};
use sha2::{Digest, Sha256};

const FRAME: Duration = Duration::from_millis(20);
const OPUS: u8 = 111;

fn at(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 4_000).into()
}

fn opus(host: u8, security: Security, data: bool) -> LegConfig {
    let (codec, payload_type) = (Codec::Opus, OPUS);
    LegConfig { codec, payload_type, receive: vec![(OPUS, Codec::Opus)], security, data, ..LegConfig::new(at(host)) }
}

/// dimpl for the handshake, sctp-proto for the channel; for the sound a leg with the keys of that handshake.
struct Browser {
    dtls: Dtls,
    endpoint: Endpoint,
    association: Association,
    media: Option<Leg>,
    pool: FramePool,
    heard: Vec<String>,
    sent: Vec<Vec<u8>>,
}

impl Browser {
    /// And the fingerprint of its certificate.
    fn new(now: Instant) -> (Browser, String) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        let digest: Vec<String> = Sha256::digest(&certificate).iter().map(|b| format!("{b:02X}")).collect();
        let config = Arc::new(dimpl::Config::default());
        let mut dtls = Dtls::new_12(config, DtlsCertificate { certificate, private_key: key.serialize_der() }, now);
        dtls.set_active(true);
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), None);
        let (_, association) = endpoint.connect(ClientConfig::new(), at(9)).unwrap();
        let pool = FramePool::new(2 + FRAMES_KEPT);
        let browser = Browser { dtls, endpoint, association, media: None, pool, heard: vec![], sent: vec![] };
        (browser, format!("sha-256 {}", digest.join(":")))
    }

    fn take(&mut self, now: Instant, datagram: &mut [u8]) {
        match (&mut self.media, datagram[0]) {
            (_, 20..=63) => {
                self.dtls.handle_timeout(now).unwrap();
                self.dtls.handle_packet(datagram).unwrap();
                self.drain(now);
            }
            (Some(media), _) => media.handle(now, at(1), datagram),
            // Sound overtook the end of the handshake.
            (None, _) => {}
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.dtls.handle_timeout(now).unwrap();
        self.drain(now);
        if let Some(media) = &mut self.media {
            self.association.handle_timeout(now);
            while let Some(transmit) = self.association.poll_transmit(now) {
                let Payload::RawEncode(packets) = transmit.payload else { panic!() };
                packets.iter().for_each(|packet| self.dtls.send_application_data(packet).map(drop).unwrap());
            }
            let heard = media.tick_in(now, &mut self.pool);
            let mut out = [0; DATAGRAM_MAX];
            if let Some(sent) = media.tick_out(now, heard.frame.as_ref(), &mut out) {
                self.sent.push(out[..sent.len].to_vec());
            }
            self.drain(now);
        }
        std::mem::take(&mut self.sent)
    }

    fn drain(&mut self, now: Instant) {
        let mut room = [0; 4_000];
        loop {
            match self.dtls.poll_output(&mut room) {
                Output::Packet(datagram) => self.sent.push(datagram.to_vec()),
                Output::KeyingMaterial(material, _) => {
                    // RFC 5764, 4.2 for 32 bytes of key and 12 of salt.
                    let keys = |n: usize| {
                        let bytes = [&material[n * 32..][..32], &material[64 + n * 12..][..12]].concat();
                        Keys::new(Suite::AeadAes256Gcm, &bytes).unwrap()
                    };
                    let security = Security::Sdes { send: keys(0), receive: keys(1) };
                    self.media = Some(Leg::new(now, opus(1, security, false)));
                }
                Output::ApplicationData(packet) => {
                    let packet = packet.to_vec().into();
                    if let Some((_, DatagramEvent::AssociationEvent(event))) =
                        self.endpoint.handle(now, at(9), None, None, packet)
                    {
                        self.association.handle_event(event);
                    }
                    self.read();
                }
                Output::Timeout(_) => break,
                _ => {}
            }
        }
    }

    fn read(&mut self) {
        while let Some(event) = self.association.poll() {
            let Event::Stream(StreamEvent::Readable { id }) = event else { continue };
            while let Some(message) = self.association.stream(id).unwrap().read_sctp().unwrap() {
                let mut bytes = vec![0; message.len()];
                message.read(&mut bytes).unwrap();
                if message.ppi == Ppi::String {
                    self.heard.push(String::from_utf8(bytes).unwrap());
                }
            }
        }
    }

    fn write(&mut self, ppi: Ppi, bytes: &[u8]) {
        if self.association.stream(0).is_err() {
            self.association.open_stream(0, Ppi::Binary).unwrap();
        }
        self.association.stream(0).unwrap().write_with_ppi(bytes, ppi).unwrap();
    }
}

struct Call {
    now: Instant,
    leg: Leg,
    browser: Browser,
    pool: FramePool,
    voice: FramePool,
    events: Vec<DataEvent>,
    secured: bool,
    /// Bytes that the leg holds, and how often it asked for some.
    held: i64,
    allocations: u64,
}

impl Call {
    fn new(data: bool) -> Call {
        let now = Instant::now();
        let identity = Arc::new(Identity::generate().unwrap());
        let (browser, fingerprint) = Browser::new(now);
        let security = Security::Dtls { identity, role: Role::Passive, fingerprint: fingerprint.parse().unwrap() };
        let (mut leg, config) = (None, opus(2, security, data));
        let made = allocation_counter::measure(|| leg = Some(Leg::new(now, config)));
        let mut call = Call {
            now,
            leg: leg.unwrap(),
            browser,
            pool: FramePool::new(2 + FRAMES_KEPT),
            voice: FramePool::new(2),
            events: vec![],
            secured: false,
            held: 0,
            allocations: 0,
        };
        call.count(made);
        call
    }

    fn count(&mut self, counted: AllocationInfo) {
        self.held += counted.bytes_current;
        self.allocations += counted.count_total;
    }

    fn run(&mut self, turns: u32) {
        for turn in 0..turns {
            self.now += FRAME;
            let mut to_browser = vec![];
            let mut from_browser = self.browser.tick(self.now);
            let frame = self.voice.fill(MediaTime::ZERO, |out| -> Result<(), ()> {
                let wave = |n: usize| (n as i16).wrapping_mul(turn as i16) / 4;
                out.iter_mut().enumerate().for_each(|(n, sample)| *sample = wave(n));
                Ok(())
            });
            let mut texts = vec![];
            let counted = allocation_counter::measure(|| {
                for datagram in &mut from_browser {
                    self.leg.handle(self.now, at(2), datagram);
                }
                drop(self.leg.tick_in(self.now, &mut self.pool));
                let mut out = [0; DATAGRAM_MAX];
                let mut keep = |sent: &[u8]| allocation_counter::opt_out(|| to_browser.push(sent.to_vec()));
                if let Some(sent) = self.leg.tick_out(self.now, frame.as_ref().ok(), &mut out) {
                    keep(&out[..sent.len]);
                }
                while let Some(sent) = self.leg.poll(self.now, &mut out) {
                    keep(&out[..sent.len]);
                }
                if let Some(sent) = self.leg.rtcp(self.now, &mut out) {
                    keep(&out[..sent.len]);
                }
                while let Some(event) = self.leg.event() {
                    self.secured |= matches!(event, LegEvent::Secured(_));
                }
                while let Some(event) = self.leg.data() {
                    allocation_counter::opt_out(|| texts.push(event.clone()));
                }
            });
            self.count(counted);
            self.events.extend(texts);
            to_browser.iter_mut().for_each(|datagram| self.browser.take(self.now, datagram));
        }
    }

    /// With keys and the channel open.
    fn open() -> Call {
        let mut call = Call::new(true);
        call.run(50);
        assert!(call.secured);
        call.browser.write(Ppi::Dcep, b"\x03\0\0\0\0\0\0\0\0\x05\0\0dauys");
        call.run(10);
        assert_eq!(call.events, [DataEvent::Open]);
        call.events.clear();
        call
    }
}

#[test]
fn a_browser_is_heard_and_read() {
    let mut call = Call::open();
    for n in 0..100 {
        call.browser.write(Ppi::String, format!("question {n}").as_bytes());
        assert!(call.leg.send_data(&format!("answer {n}")));
        call.run(5);
    }
    let said = |word: &str| (0..100).map(|n| format!("{word} {n}")).collect::<Vec<_>>();
    assert_eq!(call.events, said("question").into_iter().map(DataEvent::Text).collect::<Vec<_>>());
    assert_eq!(call.browser.heard, said("answer"));
    let (ours, theirs) = (call.leg.stats(), call.browser.media.as_ref().unwrap().stats());
    assert!(ours.packets_received > 480 && theirs.packets_received > 480, "{ours:?} {theirs:?}");
    assert_eq!((ours.packets_lost, theirs.packets_lost, ours.shield.unauthenticated), (0, 0, 0));
}

#[test]
fn a_minute_of_sound_beside_an_open_channel_allocates_nothing() {
    let mut call = Call::open();
    call.run(200);
    let before = call.allocations;
    call.run(3_000);
    assert_eq!(call.allocations - before, 0);
    assert!(call.leg.send_data("still there"));
    call.run(10);
    assert_eq!(call.browser.heard, ["still there"]);
}

#[test]
fn what_a_leg_costs() {
    // Besides these there is what libopus takes of its own.
    let empty = allocation_counter::measure(|| drop(Leg::new(Instant::now(), opus(2, Security::Plain, false))));
    let mut without = Call::new(false);
    without.run(200);
    let mut with = Call::open();
    let mut most = with.held;
    for n in 0..200 {
        (0..10).for_each(|k| with.browser.write(Ppi::String, format!("{n} {k}").as_bytes()));
        assert!(with.leg.send_data(&"x".repeat(1_000)));
        with.run(5);
        most = most.max(with.held);
    }
    assert_eq!(with.events.len(), 2_000);
    let kib = |bytes: i64| bytes / 1_024;
    println!(
        "plain {} KiB, with a handshake {}, with a channel {}, in use {}; the leg itself {} bytes",
        kib(empty.bytes_max as i64),
        kib(without.held),
        kib(with.held),
        kib(most),
        size_of::<Leg>()
    );
    assert!(kib(most) + (size_of::<Leg>() as i64) / 1_024 <= 160, "{} KiB", kib(most));
    assert!(kib(with.held - without.held) <= 32, "the channel costs {} KiB", kib(with.held - without.held));
}
