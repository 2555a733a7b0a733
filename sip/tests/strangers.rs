//! Whatever bytes come: no panic, no hang, no growth. The inputs are generated, the clock is numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/bodies.rs"]
mod bodies;
#[path = "support/generate.rs"]
mod generate;
mod support;
use proptest::prelude::*;
use sip::{Endpoint, EndpointConfig, Event, Output, Peer};
use std::time::{Duration, Instant};
use support::{SDP, addr, base, invite_request, us};

/// An INVITE with everything in it that has a parser of its own.
const INVITE: &str = "INVITE sip:agent@192.0.2.1;x=y SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKp1;rport\r\n\
    v: SIP / 2.0 / TCP [2001:db8::1]:5061;branch=z9hG4bKq, SIP/2.0/UDP h\r\nMax-Forwards: 70\r\n\
    f: \"A \\\"B\\\"\" <sip:alice%20x@192.0.2.10>;tag=pt\r\nTo: <sip:agent@192.0.2.1>\r\ni: call-1\r\nCSeq: 1 INVITE\r\n\
    Record-Route: <sip:203.0.113.8;lr>\r\nContact: <sip:alice@192.0.2.10:5060>;q=0.5\r\nSupported: timer,\r\n replaces,100rel\r\n\
    Session-Expires: 90;refresher=uas\r\nMin-SE: 90\r\nPrivacy: id;user\r\n\
    Diversion: <sip:d@h>;reason=busy\r\nHistory-Info: <sip:h@h>;index=1\r\nX-One: 1\r\nContent-Disposition: session;handling=optional\r\n\
    Accept: application/sdp\r\nExpires: 120\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\nReason: SIP;cause=200;text=\"x\"\r\n\
    c: multipart/mixed;boundary=\"b\"\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\r\n";

const NOTIFY: &str = "Event: refer;id=2\r\nSubscription-State: terminated;reason=noresource\r\n\
    Content-Type: message/sipfrag;version=2.0\r\n\r\nSIP/2.0 200 OK\r\nContact: <sip:x@192.0.2.20>\r\n";

const REFER: &str = "Refer-To: <sip:x@192.0.2.20?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\nReferred-By: <sip:a@b>\r\n\
    Refer-Sub: false\r\nSupported: norefersub\r\n\r\n";

fn invite() -> Vec<u8> {
    format!("{INVITE}{SDP}a=rtpmap:0 PCMU/8000\r\na=rtcp:4001 IN IP4 192.0.2.10\r\na=ptime:20\r\n\r\n--b--\r\n")
        .into_bytes()
}

fn others() -> Vec<Vec<u8>> {
    let rest = "From: <sip:a@b>;tag=pt\r\nTo: <sip:c@d>;tag=x\r\nCall-ID: call-1\r\n";
    let one = |start: &str, method: &str, more: &str| {
        format!("{start}\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKp1\r\n{rest}CSeq: 2 {method}\r\n{more}")
            .into_bytes()
    };
    vec![
        one("BYE sip:a SIP/2.0", "BYE", "\r\n"),
        one("CANCEL sip:a SIP/2.0", "CANCEL", "\r\n"),
        one("ACK sip:a SIP/2.0", "ACK", "\r\n"),
        one("INFO sip:a SIP/2.0", "INFO", "Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=9\r\n"),
        one("REFER sip:a SIP/2.0", "REFER", REFER),
        one("PRACK sip:a SIP/2.0", "PRACK", &format!("RAck: 1 1 INVITE\r\nContent-Type: application/sdp\r\n\r\n{SDP}")),
        one(
            "UPDATE sip:a SIP/2.0",
            "UPDATE",
            "Session-Expires: 90;refresher=uac\r\nMin-SE: 90\r\nSupported: timer\r\n\r\n",
        ),
        one("SIP/2.0 183 Progress", "INVITE", "Require: 100rel\r\nRSeq: 7\r\nContact: <sip:x@192.0.2.10>\r\n\r\n"),
        one(
            "INVITE sip:a SIP/2.0",
            "INVITE",
            "Replaces: call-1;to-tag=x;from-tag=pt;early-only\r\nRequire: 100rel\r\n\r\n",
        ),
        one("SIP/2.0 422 Short", "INVITE", "Min-SE: 3600\r\n\r\n"),
        one("SIP/2.0 200 OK", "UPDATE", "Session-Expires: 90;refresher=uas\r\n\r\n"),
        one("NOTIFY sip:a SIP/2.0", "NOTIFY", NOTIFY),
        one("SIP/2.0 202 Accepted", "REFER", "Contact: <sip:x@192.0.2.10>\r\n\r\n"),
        one("SIP/2.0 200 OK", "INVITE", "Contact: <sip:x@192.0.2.10>\r\nRetry-After: 5 (x)\r\n\r\n"),
        one("SIP/2.0 486 Busy", "BYE", "\r\n"),
    ]
}

/// Everything that has a parser, on any bytes.
fn read_all(bytes: &[u8]) {
    bodies::message(bytes);
    bodies::sdp(bytes);
}

/// One endpoint that lives through many inputs, with a user that reacts to everything.
struct Life {
    endpoint: Endpoint,
    now: Instant,
    dice: u64,
    registration: Option<sip::RegistrationHandle>,
}

impl Life {
    fn new() -> Self {
        let mut config = EndpointConfig::new(us(), 3);
        (config.max_calls, config.max_transactions) = (4, 16);
        config.follow_refer = true;
        let mut life = Self { endpoint: Endpoint::new(config), now: base(), dice: 0, registration: None };
        let credentials = sip::auth::Credentials { user: "u".into(), password: "p".to_owned().into(), realm: None };
        let targets = ["192.0.2.10:5060", "192.0.2.11:5060"].map(|a| Peer::udp(addr(a))).to_vec();
        let request =
            sip::InviteRequest { targets: targets.clone(), credentials: Some(credentials), ..invite_request() };
        let _ = life.endpoint.invite(life.now, request);
        let request = sip::RegisterRequest::new(targets, "sip:example.com", "sip:100@example.com", None);
        life.registration = life.endpoint.register(life.now, request).ok();
        life
    }

    fn handle(&mut self, bytes: &[u8]) {
        self.endpoint.handle(self.now, Peer::udp(addr("192.0.2.10:5060")), bytes);
        self.react();
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(bytes.len() as u64 + 1);
        self.now += Duration::from_millis(self.dice >> 52);
        if self.dice.is_multiple_of(8) {
            self.endpoint.unreachable(self.now, Peer::udp(addr("192.0.2.10:5060")));
        }
        self.endpoint.handle_timeout(self.now);
        self.react();
        assert!(self.endpoint.deadline().is_none_or(|at| at > self.now), "a timer that is due stays due");
        assert!(self.endpoint.calls() <= 4 && self.endpoint.transactions() <= 16);
    }

    fn react(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { bytes, .. } => read_all(&bytes),
                Output::Banned(_) => {}
                Output::Event(event) => {
                    let Some(call) = event.call() else { continue };
                    let (e, now) = (&mut self.endpoint, self.now);
                    let _ = match (event, self.dice % 3) {
                        (Event::Incoming { .. }, 0) => e.answer(now, call, SDP),
                        (Event::Incoming { .. }, 1) => e.progress(now, call, 183, Some(SDP)),
                        (Event::Incoming { .. }, _) => e.reject(now, call, 486, None),
                        (Event::Referred { .. }, 0) => e.reject_refer(now, call, 603),
                        (Event::Referred { .. }, _) => e.accept_refer(now, call),
                        (Event::Reinvite { .. }, 0) => e.accept_reinvite(now, call, SDP),
                        (Event::Established { .. }, 0) => e.hangup(now, call, None),
                        (Event::Established { .. }, 1) => e.refer(now, call, "sip:x@192.0.2.20"),
                        (Event::Established { .. }, _) => e.reinvite(now, call, SDP),
                        _ => Ok(()),
                    };
                }
            }
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = others().into_iter().chain([invite()]).collect();
    let edit = (any::<prop::sample::Index>(), 0..4u8, any::<u8>(), 0..40usize);
    (prop::sample::select(seeds), prop::collection::vec(edit, 0..8)).prop_map(|(mut bytes, edits)| {
        for (at, kind, byte, length) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"\r\n ;,:<>\"@%=\0"[usize::from(byte) % 13]),
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
        Life::new().handle(&bytes);
    }

    #[test]
    fn any_text(text in "(INVITE|SIP/2.0|[A-Z]{1,6}) [ -~\r\n]{0,200}") {
        read_all(text.as_bytes());
        Life::new().handle(text.as_bytes());
    }

    #[test]
    fn any_description(lines in prop::collection::vec("(m=audio|m=video|c=IN IP4|a=rtpmap:|a=rtcp:|t=|a=)[ -~]{0,30}", 0..12)) {
        read_all(format!("v=0\r\n{}", lines.join("\r\n")).as_bytes());
    }

    #[test]
    fn mutated_messages(messages in prop::collection::vec(mutated(), 1..24)) {
        let mut life = Life::new();
        for bytes in messages {
            read_all(&bytes);
            life.handle(&bytes);
        }
        // Without further input everything comes to rest.
        life.registration.map(|r| life.endpoint.unregister(life.now, r));
        for _ in 0..10_000 {
            let Some(at) = life.endpoint.deadline() else { break };
            life.now = at;
            life.endpoint.handle_timeout(at);
            life.react();
        }
        prop_assert_eq!(life.endpoint.transactions(), 0);
    }
}

#[test]
fn a_flood_of_strangers_is_bounded() {
    let mut endpoint = Endpoint::new(EndpointConfig::new(us(), 1));
    let (mut now, mut refused) = (base(), 0);
    for n in 0..20_000u32 {
        let text = String::from_utf8(invite()).unwrap();
        let text = text.replace("z9hG4bKp1", &format!("z9hG4bK{n}")).replace("call-1", &format!("flood-{n}"));
        endpoint.handle(now, Peer::udp(addr("203.0.113.1:5060")), text.as_bytes());
        let options = format!(
            "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKo{n}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
             Call-ID: o{n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        endpoint.handle(now, Peer::udp(addr("203.0.113.2:5060")), options.as_bytes());
        while let Some(output) = endpoint.poll() {
            if let Output::Send { bytes, .. } = output {
                refused += usize::from(bytes.starts_with(b"SIP/2.0 503"));
            }
        }
        now += Duration::from_millis(1);
        endpoint.handle_timeout(now);
    }
    assert_eq!((endpoint.calls(), endpoint.transactions()), (256, 256));
    assert_eq!((refused, endpoint.stats().refused_full), (20_000 - 256, 20_000 - 256));
}

#[test]
fn nobody_polls_and_nothing_grows() {
    let mut endpoint = Endpoint::new(EndpointConfig::new(us(), 1));
    let now = base();
    for _ in 0..10_000 {
        endpoint.handle(now, Peer::udp(addr("203.0.113.1:5060")), b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n");
    }
    let outputs = std::iter::from_fn(|| endpoint.poll()).count();
    assert!(outputs < 2_500, "{outputs}");
    assert_eq!(endpoint.stats().overflow + endpoint.stats().malformed, 10_000);
}

#[test]
fn garbage_is_counted_and_unanswered() {
    let mut endpoint = Endpoint::new(EndpointConfig::new(us(), 1));
    let huge = [b"OPTIONS sip:a SIP/2.0\r\nX: ".to_vec(), vec![b'x'; 20_000], b"\r\n\r\n".to_vec()].concat();
    let inputs: [&[u8]; 9] = [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"GET / HTTP/1.1\r\n\r\n",
        b"hello",
        b"\xff\xfe\xfd",
        b"SIP/2.0 99999 x\r\n\r\n",
        &vec![b'x'; 70_000],
    ];
    for bytes in inputs {
        endpoint.handle(base(), Peer::udp(addr("203.0.113.1:5060")), bytes);
        assert!(endpoint.poll().is_none());
    }
    let stats = endpoint.stats();
    assert_eq!((stats.received, stats.keepalives, stats.garbage, stats.malformed), (9, 4, 4, 1));
    endpoint.handle(base(), Peer::udp(addr("203.0.113.1:5060")), &huge);
    assert!(matches!(endpoint.poll(), Some(Output::Send { bytes, .. }) if bytes.starts_with(b"SIP/2.0 513")));
}
