//! Which codec, which numbers, which events. Never touches a socket.

use super::*;

fn all() -> LocalMedia {
    LocalMedia { codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu], ..local() }
}

/// What was agreed in one line: `send codec/pt receive pt=codec,... events pt/clock noise pt`.
fn said(n: &Negotiated) -> String {
    let receive: Vec<String> = n.receive.iter().map(|(pt, c)| format!("{pt}={}", c.name())).collect();
    let events = n.dtmf.map(|(pt, hz)| format!(" events {pt}/{hz}")).unwrap_or_default();
    let noise = n.comfort_noise_payload_type.map(|pt| format!(" noise {pt}")).unwrap_or_default();
    format!("{}/{} receive {}{events}{noise}", n.codec.name(), n.payload_type, receive.join(","))
}

/// The formats and attributes of an offer; what we agree to as answerer with comfort noise wanted.
fn check(formats: &str, attributes: &str, expected: &str) {
    let text = format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP {formats}\r\n{}", lines(attributes));
    let local = LocalMedia { comfort_noise: true, ..all() };
    let got = answer(&parse(&text).unwrap(), &local).map_or_else(|e| format!("{e:?}"), |n| said(&n));
    assert_eq!(got, expected, "{formats} {attributes}");
}

#[test]
fn the_offerers_order_and_numbers() {
    let opus = "a=rtpmap:107 opus/48000/2";
    check("0 8 9", "", "PCMU/0 receive 0=PCMU");
    check("9 0", "", "G722/9 receive 9=G722");
    check("18 9 8", "", "G722/9 receive 9=G722");
    check("107 9", opus, "opus/107 receive 107=opus");
    check("97 107", &format!("a=rtpmap:97 speex/16000\n{opus}"), "opus/107 receive 107=opus");
    check("96", "a=rtpmap:96 OPUS/48000/2", "opus/96 receive 96=opus");
    check("98", "a=rtpmap:98 g722/8000/1", "G722/98 receive 98=G722");
    // What looks like ours and is not: RFC 7587 7 and RFC 3551 4.5.2.
    for not in ["opus/48000", "opus/48000/1", "opus/16000/2", "G722/16000", "PCMU/16000", "L16/8000"] {
        check("96", &format!("a=rtpmap:96 {not}"), "NoCommonCodec");
    }
    // A static number given another meaning.
    check("0", "a=rtpmap:0 G722/8000", "G722/0 receive 0=G722");
    check("300 0 -8", "", "PCMU/0 receive 0=PCMU");
}

#[test]
fn events_have_the_clock_of_the_codec() {
    let maps = "a=rtpmap:107 opus/48000/2\na=rtpmap:101 telephone-event/8000\na=rtpmap:110 Telephone-Event/48000";
    check("107 0 101 110", maps, "opus/107 receive 107=opus events 110/48000");
    check("0 107 101 110", maps, "PCMU/0 receive 0=PCMU events 101/8000");
    check("107 0 101", maps, "opus/107 receive 107=opus events 101/8000");
    check("8 110", maps, "PCMA/8 receive 8=PCMA events 110/48000");
    check("8", maps, "PCMA/8 receive 8=PCMA");
    check("8 99", "a=rtpmap:99 telephone-event/16000", "PCMA/8 receive 8=PCMA");
}

#[test]
fn comfort_noise_where_it_is_wanted() {
    let opus = "a=rtpmap:107 opus/48000/2";
    check("0 13", "", "PCMU/0 receive 0=PCMU noise 13");
    check("9 97", "a=rtpmap:97 CN/8000", "G722/9 receive 9=G722 noise 97");
    check("0 97", "a=rtpmap:97 CN/16000", "PCMU/0 receive 0=PCMU");
    check("107 13", opus, "opus/107 receive 107=opus");
    let offer = parse("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0 13\r\n").unwrap();
    assert_eq!(answer(&offer, &all()).unwrap().comfort_noise_payload_type, None);
}

#[test]
fn how_the_peer_wants_opus() {
    let check = |fmtp: &str, expected: OpusParameters| {
        let text = format!(
            "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 96\r\na=fmtp:96{fmtp}\r\na=rtpmap:96 opus/48000/2\r\n\
             a=ptime:40\r\na=maxptime:60\r\na=fmtp:97 useinbandfec=1;cbr=1\r\n"
        );
        let n = answer(&parse(&text).unwrap(), &all()).unwrap();
        assert_eq!((n.opus, n.ptime_ms, n.max_ptime_ms), (expected, 40, Some(60)), "{fmtp}");
    };
    let none = OpusParameters::default();
    check("", none);
    check(" ", none);
    check(" minptime=10;useinbandfec=1", OpusParameters { fec: true, ..none });
    check(" useInbandFec=1; usedtx = 1 ;cbr=1", OpusParameters { fec: true, dtx: true, cbr: true, ..none });
    check(" useinbandfec=0;usedtx=2;=;;stereo", none);
    check(" maxaveragebitrate=20000", OpusParameters { max_bitrate_bps: Some(20_000), ..none });
    for bad in ["5999", "510001", "-1", "99999999999", ""] {
        check(&format!(" maxaveragebitrate={bad}"), none);
    }
}

#[test]
fn our_answer_with_opus() {
    check_with(
        &LocalMedia { comfort_noise: true, ..all() },
        "c=IN IP4 192.0.2.10
         m=audio 4000 RTP/AVP 107 0 101 102 13
         a=rtpmap:107 opus/48000/2
         a=fmtp:107 maxplaybackrate=48000;stereo=1;useinbandfec=1
         a=rtpmap:101 telephone-event/8000
         a=rtpmap:102 telephone-event/48000",
        "t=0 0
         m=audio 40000 RTP/AVP 107 102
         a=rtpmap:107 opus/48000/2
         a=fmtp:107 useinbandfec=1;usedtx=1;maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0
         a=rtpmap:102 telephone-event/48000
         a=fmtp:102 0-15
         a=ptime:20
         a=sendrecv",
    );
}

#[test]
fn our_offer_with_everything() {
    let ours = LocalMedia { comfort_noise: true, rtcp_xr: true, ..all() };
    let text = offer(&ours);
    assert_eq!(
        &text[text.find("m=").unwrap()..],
        lines(
            "m=audio 40000 RTP/AVP 96 9 8 0 13 102 101
             a=rtpmap:96 opus/48000/2
             a=fmtp:96 useinbandfec=1;usedtx=1;maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0
             a=rtpmap:9 G722/8000
             a=rtpmap:8 PCMA/8000
             a=rtpmap:0 PCMU/8000
             a=rtpmap:13 CN/8000
             a=rtpmap:102 telephone-event/48000
             a=fmtp:102 0-15
             a=rtpmap:101 telephone-event/8000
             a=fmtp:101 0-15
             a=ptime:20
             a=sendrecv
             a=rtcp-mux
             a=rtcp-xr:voip-metrics"
        )
    );
    // The answer's formats and attributes; what follows for us.
    let check = |formats: &str, attributes: &str, expected: &str| {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP {formats}\r\n{}", lines(attributes));
        let got = accept(&ours, &parse(&text).unwrap()).map_or_else(|e| format!("{e:?}"), |n| said(&n));
        assert_eq!(got, expected, "{formats} {attributes}");
    };
    let maps = "a=rtpmap:96 opus/48000/2\na=rtpmap:102 telephone-event/48000\na=rtpmap:101 telephone-event/8000";
    check("96 102", maps, "opus/96 receive 96=opus events 102/48000");
    check("8 101 13", maps, "PCMA/8 receive 8=PCMA events 101/8000 noise 13");
    check("0 8 96 9 102 101", maps, "PCMU/0 receive 96=opus,9=G722,8=PCMA,0=PCMU events 101/8000");
    // Numbered anew: sent as they say, received as we said or as they do.
    check("111", "a=rtpmap:111 opus/48000/2", "opus/111 receive 96=opus,111=opus");
    check("101", "a=rtpmap:101 opus/48000/2", "opus/101 receive 96=opus");
    check("3", "", "NoCommonCodec");
    let many: Vec<String> = (103..128).map(|pt| pt.to_string()).collect();
    let maps: String = many.iter().map(|pt| format!("a=rtpmap:{pt} opus/48000/2\n")).collect();
    let text = format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP {}\r\n{maps}", many.join(" "));
    assert_eq!(accept(&ours, &parse(&text).unwrap()).unwrap().receive.len(), 8);
}

/// RFC 3264 8.3.2: a number keeps its meaning, whoever gave it.
#[test]
fn numbers_stay_for_the_session() {
    let text = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVPF 101 96\r\na=rtpmap:101 opus/48000/2\r\n\
                a=rtpmap:96 telephone-event/48000\r\n";
    let mut ours = all();
    let negotiated = answer(&parse(text).unwrap(), &ours).unwrap();
    ours.settle(&negotiated);
    let again = offer(&ours);
    assert!(again.contains("m=audio 40000 RTP/AVPF 101 9 8 0 96 102\r\n"), "{again}");
    assert!(again.contains("a=rtpmap:101 opus/48000/2\r\n") && again.contains("a=rtpmap:96 telephone-event/48000\r\n"));
    assert!(again.contains("a=rtpmap:102 telephone-event/8000\r\n"));
}

#[test]
fn metrics_where_both_want_them() {
    for (theirs, ours, expected) in [
        ("a=rtcp-xr:voip-metrics", true, true),
        ("a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup VoIP-Metrics", true, true),
        ("a=rtcp-xr:rcvr-rtt=all", true, false),
        ("a=rtcp-xr", true, false),
        ("a=rtcp-xr:voip-metrics", false, false),
    ] {
        for text in [
            format!("v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\n{theirs}\r\n"),
            format!("v=0\r\nc=IN IP4 192.0.2.10\r\n{theirs}\r\nm=audio 4000 RTP/AVP 0\r\n"),
        ] {
            let n = answer(&parse(&text).unwrap(), &LocalMedia { rtcp_xr: ours, ..all() }).unwrap();
            assert_eq!((n.rtcp_xr, n.body.contains("a=rtcp-xr:voip-metrics\r\n")), (expected, expected), "{theirs}");
        }
    }
}
