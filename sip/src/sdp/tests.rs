//! Offer and answer as scripts. Never touches a socket.

mod clients;
mod codecs;
mod security;
mod web;

use super::*;

fn local() -> LocalMedia {
    LocalMedia::new("192.0.2.1:40000".parse().unwrap(), 7)
}

/// Offer lines after `v=0`, then what the answer must be: its lines from `t=` on, or the error.
fn check(offer: &str, expected: &str) {
    check_with(&local(), offer, expected);
}

fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\r\n")).collect()
}

fn check_with(local: &LocalMedia, offer: &str, expected: &str) {
    let text = format!("v=0\r\n{}", lines(offer));
    let got = match parse(&text).and_then(|offer| answer(&offer, local)) {
        Ok(negotiated) => negotiated.body[negotiated.body.find("t=").unwrap()..].to_owned(),
        Err(error) => format!("{error:?}\r\n"),
    };
    assert_eq!(got, lines(expected), "{offer}");
}

#[test]
fn answers() {
    let plain = "t=0 0\nm=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv";
    // The offerer's order wins, dynamic payload types are the offer's, other sections get port 0.
    check(
        "c=IN IP4 192.0.2.10
         t=3149328700 0
         m=audio 49217 RTP/AVP 9 8 0 96
         a=rtpmap:9 G722/8000
         a=rtpmap:96 telephone-event/8000
         a=fmtp:96 0-16
         m=video 3227/2 RTP/AVP 31 32
         a=rtpmap:31 LPC
         m=application 5000 udp wb",
        "t=3149328700 0
         m=audio 40000 RTP/AVP 8 96
         a=rtpmap:8 PCMA/8000
         a=rtpmap:96 telephone-event/8000
         a=fmtp:96 0-15
         a=ptime:20
         a=sendrecv
         m=video 0 RTP/AVP 31 32
         m=application 0 udp wb",
    );
    // What is no time is not repeated.
    check("c=IN IP4 192.0.2.10\nt=0 <0>\nt=never\nm=audio 4000 RTP/AVP 0", plain);
    // A dynamic number for PCMU; a second audio; rtcp-mux; the session's direction.
    check(
        "c=IN IP4 192.0.2.10
         a=sendonly
         m=audio 0 RTP/AVP 0
         m=audio 4000 RTP/AVPF 111 97
         a=rtpmap:111 opus/48000/2
         a=rtpmap:97 pcmu/8000/1
         a=rtcp-mux
         m=audio 4002 RTP/AVP 0",
        "t=0 0
         m=audio 0 RTP/AVP 0
         m=audio 40000 RTP/AVPF 97
         a=rtpmap:97 PCMU/8000
         a=ptime:20
         a=recvonly
         a=rtcp-mux
         m=audio 0 RTP/AVP 0",
    );
}

#[test]
fn refusals() {
    check("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 3 18\na=rtpmap:3 GSM/8000", "NoCommonCodec");
    check("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/16000", "NoCommonCodec");
    check("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/SAVP 0", "NoAudio");
    check("c=IN IP4 192.0.2.10\nm=video 4000 RTP/AVP 0", "NoAudio");
    check("m=audio 4000 RTP/AVP 0", "NoAddress");
    check("c=IN IP4 media.example.com\nm=audio 4000 RTP/AVP 0", "NoAddress");
    check("c=IN IP4\nm=audio 4000 RTP/AVP 0", "Malformed");
    check("m=audio", "Malformed");
    check("m=audio 99999 RTP/AVP 0", "Malformed");
    check("nonsense", "Malformed");
    check("t=0 0\ra=inactive\nm=audio 4000 RTP/AVP 0", "Malformed");
    check("s=a\0b\nm=audio 4000 RTP/AVP 0", "Malformed");
    check(&"m=audio 1 RTP/AVP 0\n".repeat(33), "TooLong");
    assert_eq!(parse("x=0\r\n"), Err(SdpError::Malformed));
    assert_eq!(parse(&"v=0\r\n".repeat(10_000)), Err(SdpError::TooLong));
}

#[test]
fn directions_and_hold() {
    // offer's direction, ours, the answer's; the old hold by address counts as sendonly.
    let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let table = [
        ["sendrecv", "sendonly", "recvonly", "inactive"],
        ["recvonly", "inactive", "recvonly", "inactive"],
        ["sendonly", "sendonly", "inactive", "inactive"],
        ["inactive", "inactive", "inactive", "inactive"],
    ];
    for (theirs, row) in all.iter().zip(table) {
        for (ours, expected) in all.iter().zip(row) {
            let text = format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na={}\r\n", theirs.name());
            let offer = parse(&text).unwrap();
            let local = LocalMedia { direction: *ours, ..local() };
            assert_eq!(answer(&offer, &local).unwrap().direction.name(), expected, "{theirs:?} {ours:?}");
            assert_eq!(offer.is_hold(), !theirs.receives());
        }
    }
    let held = parse("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n").unwrap();
    assert!(held.is_hold());
    assert_eq!(answer(&held, &local()).unwrap().direction, Direction::RecvOnly);
}

#[test]
fn the_old_hold_and_each_direction() {
    for (address, direction, is_hold, ours) in [
        ("IP4 0.0.0.0", "sendrecv", true, Direction::RecvOnly),
        ("IP4 0.0.0.0", "sendonly", true, Direction::RecvOnly),
        ("IP4 0.0.0.0", "recvonly", true, Direction::Inactive),
        ("IP4 0.0.0.0", "inactive", true, Direction::Inactive),
        ("IP6 ::", "sendrecv", true, Direction::RecvOnly),
        ("IP4 192.0.2.10", "recvonly", false, Direction::SendOnly),
    ] {
        let text = format!("v=0\r\nc=IN {address}\r\nm=audio 4000 RTP/AVP 0\r\na={direction}\r\n");
        let offer = parse(&text).unwrap();
        assert_eq!((offer.is_hold(), answer(&offer, &local()).unwrap().direction), (is_hold, ours), "{text}");
    }
    // Nobody gets more than was offered, whatever the answer claims.
    for (ours, theirs, agreed) in [
        (Direction::SendOnly, "sendrecv", Direction::SendOnly),
        (Direction::SendOnly, "recvonly", Direction::SendOnly),
        (Direction::SendOnly, "sendonly", Direction::Inactive),
        (Direction::Inactive, "sendrecv", Direction::Inactive),
        (Direction::RecvOnly, "sendonly", Direction::RecvOnly),
        (Direction::SendRecv, "inactive", Direction::Inactive),
    ] {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na={theirs}\r\n");
        let local = LocalMedia { direction: ours, ..local() };
        assert!(offer(&local).contains(&format!("a={}\r\n", ours.name())));
        assert_eq!(accept(&local, &parse(&text).unwrap()).unwrap().direction, agreed, "{ours:?} {theirs}");
    }
}

/// Where SRTP is off, what demands it is refused whatever its keys are, and what only allows it goes on without.
#[test]
fn keys_that_nobody_wants() {
    let key = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    for crypto in [
        format!("1 AES_CM_128_HMAC_SHA1_80 {key}"),
        "1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=".to_owned(),
        "1 AES_CM_128_HMAC_SHA1_80 inline:!!!!".to_owned(),
        "1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned(),
        "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
        format!("x UNKNOWN {key}|2^99999999999|1:99"),
        format!("1 AES_CM_128_HMAC_SHA1_80 {key}{}", "A".repeat(4000)),
        String::new(),
    ] {
        for protocol in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
            check(&format!("c=IN IP4 192.0.2.10\nm=audio 4000 {protocol} 0\na=crypto:{crypto}"), "NoAudio");
        }
        check("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/SAVP 0", "NoAudio");
        check(
            &format!("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0\na=crypto:{crypto}\na=crypto:{crypto}"),
            "t=0 0\nm=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv",
        );
        // Both ways offered: the one we know.
        check(
            &format!("c=IN IP4 192.0.2.10\nm=audio 4000 RTP/SAVP 0\na=crypto:{crypto}\nm=audio 4002 RTP/AVP 0"),
            "t=0 0\nm=audio 0 RTP/SAVP 0\nm=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv",
        );
    }
}

#[test]
fn addresses() {
    // media lines, RTP, RTCP
    for (media, rtp, rtcp) in [
        ("c=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\n", "192.0.2.10:4000", "192.0.2.10:4001"),
        ("c=IN IP4 192.0.2.10/127\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp:5000\r\n", "192.0.2.10:4000", "192.0.2.10:5000"),
        (
            "c=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp:5000 IN IP4 192.0.2.11\r\n",
            "192.0.2.10:4000",
            "192.0.2.11:5000",
        ),
        ("c=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n", "192.0.2.10:4000", "192.0.2.10:4000"),
        (
            "c=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\nc=IN IP6 ::2\r\n",
            "[2001:db8::1]:4000",
            "[2001:db8::1]:4001",
        ),
    ] {
        let negotiated = answer(&parse(&format!("v=0\r\n{media}")).unwrap(), &local()).unwrap();
        assert_eq!((negotiated.remote.to_string(), negotiated.remote_rtcp.to_string()), (rtp.into(), rtcp.into()));
    }
    let six = LocalMedia::new("[2001:db8::9]:40000".parse().unwrap(), 1);
    assert!(offer(&six).contains("c=IN IP6 2001:db8::9\r\n"));
}

#[test]
fn our_offer_and_its_answer() {
    let mut ours = local();
    assert_eq!(
        offer(&ours),
        "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\n"
    );
    let theirs = LocalMedia {
        codecs: vec![Codec::Pcma],
        ptime_ms: 30,
        ..LocalMedia::new("192.0.2.10:5000".parse().unwrap(), 9)
    };
    let answered = answer(&parse(&offer(&ours)).unwrap(), &theirs).unwrap();
    let agreed = accept(&ours, &parse(&answered.body).unwrap()).unwrap();
    assert_eq!((agreed.codec, agreed.payload_type, agreed.dtmf), (Codec::Pcma, 8, Some((101, 8000))));
    assert_eq!((agreed.remote, agreed.ptime_ms, agreed.rtcp_mux), (theirs.address, 30, true));
    ours.next_version();
    assert!(offer(&ours).contains("o=- 7 2 IN"));
    let refused = parse("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 0 RTP/AVP 0\r\n").unwrap();
    assert_eq!(accept(&ours, &refused), Err(SdpError::NoAudio));
}

#[test]
fn a_description_never_prints_an_address() {
    let session = parse("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\n").unwrap();
    let negotiated = answer(&session, &local()).unwrap();
    let shown = format!("{session:?} {:?} {negotiated:?} {:?}", session.media, local());
    assert!(!shown.contains("192.") && !shown.contains("4000"), "{shown}");
}
