//! What is printed is read again as the same: whole messages, URIs, addresses, Vias, session descriptions. Parts go in, text is made of them, the same parts must come out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/generate.rs"]
mod generate;

use generate::Dice;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sip::header::{NameAddr, Request, Response, Via};
use sip::message::{self, Name};
use sip::sdp::{self, Codec, Direction, Fingerprint, LocalMedia, Protection, Security, SrtpKeys, SrtpPolicy};
use sip::uri::Uri;

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Host as written and as read, without a port.
fn host() -> impl Strategy<Value = (String, String)> {
    let name = "[a-zA-Z][a-zA-Z0-9-]{0,8}(\\.[a-z]{1,5}){0,2}".prop_map(|h| (h.clone(), h.to_ascii_lowercase()));
    let v4 = any::<std::net::Ipv4Addr>().prop_map(|a| (a.to_string(), a.to_string()));
    let v6 = any::<std::net::Ipv6Addr>().prop_map(|a| (format!("[{a}]"), a.to_string()));
    prop_oneof![name, v4, v6]
}

/// A URI as written, and its user, host and port as they must be read.
fn uri() -> impl Strategy<Value = (String, String, String, Option<u16>)> {
    let user = option::of("[a-zA-Z0-9._~!*'()&=+$,;?/-]{1,12}|(%4[0-9a-f]){1,3}");
    let params = vec(("[a-z]{1,6}", option::of("[a-zA-Z0-9.%/:&+$-]{1,6}")), 0..3);
    let headers = option::of("[a-z]{1,5}=[a-zA-Z0-9%]{0,5}");
    ("sips?", user, option::of("[a-z0-9]{1,5}"), host(), option::of(any::<u16>()), params, headers).prop_map(
        |(scheme, user, password, (written, host), port, params, headers)| {
            let mut text = format!("{scheme}:");
            if let Some(user) = &user {
                text += user;
                text += &password.map(|p| format!(":{p}")).unwrap_or_default();
                text += "@";
            }
            text += &written;
            text += &port.map(|p| format!(":{p}")).unwrap_or_default();
            for (name, value) in params {
                text += &format!(";{name}{}", value.map(|v| format!("={v}")).unwrap_or_default());
            }
            text += &headers.map(|h| format!("?{h}")).unwrap_or_default();
            (text, user.unwrap_or_default(), host, port)
        },
    )
}

/// The values of a message that mean something, however it was spelled.
fn read(bytes: &[u8]) -> String {
    let framed = message::parse(bytes).unwrap();
    let body = framed.body.to_vec();
    let (start, head) = if framed.is_request() {
        let request = Request::read(framed).unwrap();
        (format!("{} {}", request.method, request.uri.as_str()), request.head)
    } else {
        let response = Response::read(framed).unwrap();
        (response.status.to_string(), response.head)
    };
    let address = |a: &NameAddr| format!("{:?} {} {:?}", a.display, a.uri.as_str(), a.tag());
    let vias: Vec<_> = head.vias.iter().map(|v| (&v.transport, &v.host, v.port, v.params.get("branch"))).collect();
    let (from, to) = (address(&head.from), address(&head.to));
    format!("{start} {vias:?} {from} {to} {} {} {} {body:?}", head.call_id, head.cseq.number, head.cseq.method)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_printed_as_it_was_read(chance in vec(any::<u8>(), 0..160)) {
        let bytes = generate::message(&mut Dice::new(&chance));
        let framed = message::parse(&bytes).unwrap();
        prop_assert_eq!(framed.defect, None);
        let once = message::print(&framed);
        let again = message::parse(&once).unwrap();
        prop_assert_eq!(&again.headers, &framed.headers);
        prop_assert_eq!(message::print(&again), once.clone());
        prop_assert_eq!(read(&once), read(&bytes));
    }

    #[test]
    fn a_uri_is_read_as_its_parts((text, user, host, port) in uri()) {
        let uri = Uri::parse(&text).unwrap();
        let sip = uri.sip().unwrap();
        prop_assert_eq!(uri.as_str(), &text);
        prop_assert_eq!(sip.user.clone().unwrap_or_default(), user);
        prop_assert_eq!((&sip.host, sip.port), (&host, port));
        prop_assert_eq!(Uri::parse(uri.as_str()), Ok(uri.clone()));
    }

    #[test]
    fn an_address_is_read_as_its_parts(
        display in option::of("[ -~а-я]{1,12}"),
        (text, ..) in uri(),
        tag in option::of("[a-zA-Z0-9.!%*_+`'~-]{1,8}"),
        more in option::of("[ -~а-я]{0,8}"),
        gap in "[ \t]{0,2}",
    ) {
        let mut written = display.as_ref().map(|d| quoted(d)).unwrap_or_default();
        written += &format!("{gap}<{text}>{gap}");
        if let Some(tag) = &tag {
            written += &format!(";{gap}tag{gap}={gap}{tag}");
        }
        if let Some(more) = &more {
            written += &format!("{gap};x-more={}", quoted(more));
        }
        // In a list it stands beside others, whatever is in it.
        let list = NameAddr::parse_list(&format!("<sip:a@b>,{written} , \"c\" <sip:d@e>")).unwrap();
        prop_assert_eq!(list.len(), 3);
        for address in [&list[1], &NameAddr::parse(&written).unwrap()] {
            prop_assert_eq!(&address.display, &display);
            prop_assert_eq!(address.uri.as_str(), &text);
            prop_assert_eq!(address.tag(), tag.as_deref());
            prop_assert_eq!(address.params.get("X-More"), more.as_deref());
        }
    }

    #[test]
    fn a_via_is_read_as_its_parts(
        transport in "[A-Z]{2,8}",
        (written, host) in host(),
        port in option::of(any::<u16>()),
        branch in option::of("[a-zA-Z0-9.!%*_+`'~-]{1,12}"),
        received in option::of(any::<std::net::IpAddr>()),
        gap in "[ \t]{0,2}",
    ) {
        let mut text = format!("SIP{gap}/{gap}2.0{gap}/{gap}{transport} {gap}{written}");
        text += &port.map(|p| format!("{gap}:{gap}{p}")).unwrap_or_default();
        text += &branch.as_ref().map(|b| format!("{gap};{gap}branch{gap}={gap}{b}")).unwrap_or_default();
        text += &received.map(|r| format!(";received={r}")).unwrap_or_default();
        for via in Via::parse_list(&format!("{text} ,{text}")).unwrap() {
            prop_assert_eq!((&via.transport, &via.host, via.port), (&transport, &host, port));
            prop_assert_eq!(via.params.get("branch"), branch.as_deref());
            prop_assert_eq!(via.params.get("received").map(|r| r.parse().unwrap()), received);
        }
    }

    #[test]
    fn two_of_us_always_agree(
        codecs in prop::sample::subsequence(Codec::ALL.to_vec(), 1..=4).prop_shuffle(),
        (dtmf, rtcp_mux, six, comfort_noise) in any::<(bool, bool, bool, bool)>(),
        (policy, trusts_signalling) in (
            prop::sample::select(vec![SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required]), any::<bool>(),
        ),
        direction in prop::sample::select(vec![
            Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive,
        ]),
        (port, session_id, ptime_ms) in (1..u16::MAX, any::<u64>(), 1..=1000u32),
    ) {
        // A handshake needs rtcp-mux.
        let rtcp_mux = rtcp_mux || policy == SrtpPolicy::Required;
        let address = if six { format!("[2001:db8::1]:{port}") } else { format!("192.0.2.1:{port}") };
        let side = |n: u8, at: &str| {
            let keys = Some(SrtpKeys::new([n; SrtpKeys::RANDOM_BYTES]));
            let fingerprint = Fingerprint::parse(&format!("sha-256 {}", vec![format!("{n:02x}"); 32].join(":")));
            let protection = Protection { policy, keys, fingerprint, trusts_signalling };
            let codecs = Codec::ALL.to_vec();
            LocalMedia { codecs, comfort_noise, protection, ..LocalMedia::new(at.parse().unwrap(), n.into()) }
        };
        let mut ours = LocalMedia { codecs, dtmf, rtcp_mux, direction, ptime_ms, session_id, ..side(1, &address) };
        let mut theirs = side(2, "192.0.2.2:4000");
        let text = sdp::offer(&ours);
        let offer = sdp::parse(&text).unwrap();
        prop_assert_eq!(sdp::parse(&text.replace("\r\n", "\n")), Ok(offer.clone()));
        let answered = sdp::answer(&offer, &theirs).unwrap();
        let agreed = sdp::accept(&ours, &sdp::parse(&answered.body).unwrap()).unwrap();
        prop_assert_eq!(answered.remote, ours.address);
        prop_assert_eq!(agreed.remote, theirs.address);
        prop_assert_eq!((agreed.codec, agreed.payload_type), (answered.codec, answered.payload_type));
        prop_assert_eq!(&agreed.receive, &answered.receive);
        prop_assert_eq!(agreed.codec, ours.codecs[0]);
        prop_assert_eq!(agreed.dtmf, answered.dtmf);
        prop_assert_eq!(agreed.dtmf.map(|(_, hz)| hz), dtmf.then_some(agreed.codec.clock_hz()));
        let has_noise = comfort_noise && agreed.codec != Codec::Opus;
        prop_assert_eq!((agreed.comfort_noise_payload_type, answered.comfort_noise_payload_type),
            if has_noise { (Some(13), Some(13)) } else { (None, None) });
        prop_assert_eq!(agreed.rtcp_mux, rtcp_mux);
        prop_assert_eq!(agreed.direction, ours.direction);
        prop_assert_eq!(answered.direction, ours.direction.reversed());
        let expected = match policy {
            SrtpPolicy::Off => "none",
            _ if trusts_signalling => "sdes",
            SrtpPolicy::Optional => "none",
            SrtpPolicy::Required => "dtls",
        };
        prop_assert_eq!((agreed.security.name(), answered.security.name()), (expected, expected));
        prop_assert!(fit(&agreed.security, &answered.security));
        // Either side's next offer changes nothing.
        ours.settle(&agreed);
        theirs.settle(&answered);
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            let again = sdp::answer(&sdp::parse(&sdp::offer(from)).unwrap(), to).unwrap();
            let accepted = sdp::accept(from, &sdp::parse(&again.body).unwrap()).unwrap();
            let codec_of = |n: &sdp::Negotiated| n.receive.iter().find(|(pt, _)| *pt == agreed.payload_type).map(|(_, c)| *c);
            prop_assert!(codec_of(&accepted).is_none_or(|c| c == agreed.codec));
            let kept = if std::ptr::eq(from, &ours) { [&accepted, &again] } else { [&again, &accepted] };
            prop_assert_eq!(&kept[0].security, &agreed.security);
            prop_assert_eq!(&kept[1].security, &answered.security);
        }
        prop_assert_eq!(answered.ptime_ms, ptime_ms);
    }
}

/// What one sends with, the other receives with; one of them opens the handshake.
fn fit(ours: &Security, theirs: &Security) -> bool {
    match (ours, theirs) {
        (Security::Plain, Security::Plain) => true,
        (Security::Sdes { suite, send, receive }, Security::Sdes { suite: s, send: there, receive: here }) => {
            suite == s && send == here && receive == there && send != receive
        }
        (Security::Dtls { we_are_active: a, .. }, Security::Dtls { we_are_active: b, .. }) => a != b,
        _ => false,
    }
}

#[test]
fn a_header_cannot_break_out_of_its_line() {
    let bytes = message::Builder::request("OPTIONS", "sip:a@b\r\nX: 1")
        .header(Name::Subject, "a\r\nVia: x\n\ny")
        .raw("X-\r\nOwn", b"\xff\r")
        .finish();
    let framed = message::parse(&bytes).unwrap();
    assert_eq!((framed.headers.len(), framed.all(Name::Via).count()), (2, 0), "{}", String::from_utf8_lossy(&bytes));
}
