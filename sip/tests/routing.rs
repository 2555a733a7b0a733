//! Where requests and answers go: Via, Record-Route, Contact, NAT (RFC 3261 12.2.1.1, 18.2, RFC 3581). Opens no socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name, StartLine};
use sip::{CallHandle, Endpoint, EndpointConfig, Event, Output, Peer};
use std::net::SocketAddr;
use std::time::Instant;
use support::{SDP, addr, base, us};

struct Case {
    endpoint: Endpoint,
    now: Instant,
    source: SocketAddr,
    call: Option<CallHandle>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Case {
    fn new(source: &str) -> Self {
        let (endpoint, now) = (Endpoint::new(EndpointConfig::new(us(), 1)), base());
        Self { endpoint, now, source: addr(source), call: None, sent: Vec::new() }
    }

    fn feed(&mut self, method: &str, cseq: u32, to: &str, headers: &str, body: &str) {
        let via = if headers.contains("Via:") { "" } else { "Via: SIP/2.0/UDP proxy.example.com;branch=z9hG4bKx" };
        let via = if via.is_empty() { String::new() } else { format!("{via}{cseq}{method}\r\n") };
        let text = format!(
            "{method} sip:agent@192.0.2.1 SIP/2.0\r\n{via}From: <sip:a@b>;tag=f\r\nTo: {to}\r\nCall-ID: r\r\n\
             CSeq: {cseq} {method}\r\n{headers}Content-Type: application/sdp\r\n\r\n{body}"
        );
        self.endpoint.handle(self.now, Peer::udp(self.source), text.as_bytes());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => self.sent.push((to.address, bytes)),
                Output::Banned(_) => {}
                Output::Event(event) => {
                    if let Event::Incoming { call, .. } = event {
                        self.call = Some(call);
                    }
                }
            }
        }
    }

    /// A call with these headers, answered, acknowledged; then our BYE: `to request-uri routes`.
    fn bye(source: &str, headers: &str, change: Option<&str>) -> String {
        let mut case = Self::new(source);
        case.feed("INVITE", 1, "<sip:agent@192.0.2.1>", headers, SDP);
        case.endpoint.answer(case.now, case.call.unwrap(), SDP).unwrap();
        case.drain();
        let ok = message::parse(&case.sent.last().unwrap().1).unwrap();
        assert_eq!(ok.all(Name::RecordRoute).count() > 0, headers.contains("Record-Route"));
        let to = ok.header(Name::To).unwrap().text().into_owned();
        case.feed("ACK", 1, &to, "", "");
        if let Some(change) = change {
            case.feed("INVITE", 2, &to, change, SDP);
            case.endpoint.accept_reinvite(case.now, case.call.unwrap(), SDP).unwrap();
            case.feed("ACK", 2, &to, "", "");
        }
        case.endpoint.hangup(case.now, case.call.unwrap(), None).unwrap();
        case.drain();
        let (at, bytes) = case.sent.last().unwrap();
        let bye = message::parse(bytes).unwrap();
        let StartLine::Request { method: "BYE", uri, .. } = bye.start else { panic!("no BYE") };
        let routes: Vec<String> = bye.all(Name::Route).map(|h| h.text().into_owned()).collect();
        format!("{at} {} {}", String::from_utf8_lossy(uri), routes.join(","))
    }
}

#[test]
fn in_dialog_requests() {
    let contact = "Contact: <sip:alice@198.51.100.7:5070;x=y>\r\n";
    for (source, headers, change, expected) in [
        // The remote target, without a route.
        ("203.0.113.5:5060", contact.to_owned(), None, "198.51.100.7:5070 sip:alice@198.51.100.7:5070;x=y "),
        // Loose routes in the order they came.
        (
            "203.0.113.5:5060",
            format!("Record-Route: <sip:203.0.113.8;lr>, <sip:203.0.113.9:5080;lr;z>\r\n{contact}"),
            None,
            "203.0.113.8:5060 sip:alice@198.51.100.7:5070;x=y <sip:203.0.113.8;lr>,<sip:203.0.113.9:5080;lr;z>",
        ),
        // A strict router takes the Request-URI; the target closes the route.
        (
            "203.0.113.5:5060",
            format!("Record-Route: <sip:203.0.113.8>\r\nRecord-Route: <sip:203.0.113.9;lr>\r\n{contact}"),
            None,
            "203.0.113.8:5060 sip:203.0.113.8 <sip:203.0.113.9;lr>,<sip:alice@198.51.100.7:5070;x=y>",
        ),
        // A name cannot be resolved here: back where it came from.
        (
            "203.0.113.5:6000",
            "Contact: <sip:a@pbx.example.com>\r\n".to_owned(),
            None,
            "203.0.113.5:6000 sip:a@pbx.example.com ",
        ),
        // The inside of a NAT cannot be reached from outside.
        ("203.0.113.5:6000", "Contact: <sip:a@10.0.0.5>\r\n".to_owned(), None, "203.0.113.5:6000 sip:a@10.0.0.5 "),
        ("203.0.113.5:6000", "Contact: <sip:a@127.0.0.1>\r\n".to_owned(), None, "203.0.113.5:6000 sip:a@127.0.0.1 "),
        ("10.0.0.5:6000", "Contact: <sip:a@10.0.0.6>\r\n".to_owned(), None, "10.0.0.6:5060 sip:a@10.0.0.6 "),
        // RFC 2543: no Contact at all.
        ("203.0.113.5:6000", String::new(), None, "203.0.113.5:6000 sip:a@b "),
        // A re-INVITE moves the target, not the route.
        (
            "203.0.113.5:5060",
            format!("Record-Route: <sip:203.0.113.8;lr>\r\n{contact}"),
            Some("Record-Route: <sip:203.0.113.99;lr>\r\nContact: <sip:moved@198.51.100.8>\r\n"),
            "203.0.113.8:5060 sip:moved@198.51.100.8 <sip:203.0.113.8;lr>",
        ),
    ] {
        assert_eq!(Case::bye(source, &headers, change), expected, "{headers}");
    }
}

/// RFC 3261 12.1.2: whom we called lists the path from its end; we walk it from ours.
#[test]
fn the_route_of_a_caller_is_reversed() {
    let mut endpoint = Endpoint::new(EndpointConfig::new(us(), 1));
    let now = base();
    endpoint.invite(now, support::invite_request()).unwrap();
    let Some(Output::Send { bytes, .. }) = endpoint.poll() else { panic!("no INVITE") };
    let invite = message::parse(&bytes).unwrap();
    let text = |name| invite.header(name).unwrap().text().into_owned();
    let ok = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: <sip:bob@example.com>;tag=b\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
         Record-Route: <sip:203.0.113.9;lr>, <sip:203.0.113.8;lr>\r\nContact: <sip:bob@198.51.100.7>\r\n\r\n",
        text(Name::Via),
        text(Name::From),
        text(Name::CallId)
    );
    endpoint.handle(now, Peer::udp(addr("192.0.2.10:5060")), ok.as_bytes());
    let Some(Output::Send { to, bytes }) = endpoint.poll() else { panic!("no ACK") };
    let ack = message::parse(&bytes).unwrap();
    let routes: Vec<String> = ack.all(Name::Route).map(|h| h.text().into_owned()).collect();
    assert_eq!(to.address, addr("203.0.113.8:5060"));
    assert_eq!(routes, ["<sip:203.0.113.8;lr>", "<sip:203.0.113.9;lr>"]);
}

#[test]
fn answers_find_their_way() {
    let check = |symmetric: bool, via: &str, expected: &str| {
        let mut case = Case::new("203.0.113.5:6000");
        let mut config = EndpointConfig::new(us(), 1);
        config.symmetric_responses = symmetric;
        case.endpoint = Endpoint::new(config);
        case.feed("OPTIONS", 1, "<sip:agent@192.0.2.1>", &format!("Via: {via}\r\n"), "");
        let (to, bytes) = &case.sent[0];
        let answer = message::parse(bytes).unwrap();
        assert_eq!(format!("{to} {}", answer.header(Name::Via).unwrap().text()), expected);
    };
    check(
        false,
        "SIP/2.0/UDP 10.0.0.5:5070;rport;branch=z9hG4bK1",
        "203.0.113.5:6000 SIP/2.0/UDP 10.0.0.5:5070;rport=6000;branch=z9hG4bK1;received=203.0.113.5",
    );
    check(
        false,
        "SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bK1",
        "203.0.113.5:5070 SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bK1;received=203.0.113.5",
    );
    check(
        false,
        "SIP/2.0/UDP h;maddr=198.51.100.1;branch=z9hG4bK1",
        "203.0.113.5:5060 SIP/2.0/UDP h;maddr=198.51.100.1;branch=z9hG4bK1;received=203.0.113.5",
    );
    check(
        true,
        "SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bK1",
        "203.0.113.5:6000 SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bK1;received=203.0.113.5",
    );
}

#[test]
fn nothing_private_is_printed() {
    let mut case = Case::new("203.0.113.5:6000");
    let headers =
        "Via: SIP/2.0/UDP h;branch=z9hG4bKq\r\nP-Asserted-Identity: <tel:+77017654321>\r\nUser-Agent: Secret/1\r\n";
    let text = format!(
        "INVITE sip:+77010000001@192.0.2.1 SIP/2.0\r\n{headers}From: \"Aru\" <sip:+77012345678@b>;tag=f\r\nTo: <sip:t@b>\r\n\
         Call-ID: secret-id\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\n{SDP}"
    );
    let mut shown = format!("{:?} {:?}", message::parse(text.as_bytes()).unwrap(), Peer::udp(case.source));
    case.endpoint.handle(case.now, Peer::udp(case.source), text.as_bytes());
    let mut info = None;
    while let Some(output) = case.endpoint.poll() {
        shown.push_str(&format!("{output:?}"));
        if let Output::Event(Event::Incoming { info: i, offer, .. }) = output {
            shown.push_str(&format!("{i:?} {offer:?} {:?} {:?}", i.from_user, i.source));
            info = Some(i);
        }
    }
    shown.push_str(&format!("{:?} {:?}", EndpointConfig::new(us(), 1), support::invite_request()));
    for word in ["7701", "Aru", "203.0", "192.0", "Secret", "secret", "sip:"] {
        assert!(!shown.contains(word), "{word} in {shown}");
    }
    let info = info.unwrap();
    assert_eq!(info.from_user.expose(), "+77012345678");
    assert_eq!(info.from_display.as_ref().unwrap().expose(), "Aru");
    assert_eq!(info.request_user.expose(), "+77010000001");
    assert_eq!(info.asserted_identity.as_ref().unwrap().expose(), "tel:+77017654321");
    assert_eq!(info.call_id.expose(), "secret-id");
    assert_eq!(info.user_agent.as_ref().unwrap().expose(), "Secret/1");
}
