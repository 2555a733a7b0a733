//! Offers in the shapes that clients and servers write them. Never touches a socket.

use super::security::{KEY_80, PRINT, armed, said};
use super::*;

/// The offer; then codec, payload type, events, protection, whether ICE is done, and RTCP's address.
fn check(offer: &str, expected: &str) {
    let local = LocalMedia {
        codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu],
        rtcp_xr: true,
        ..armed(SrtpPolicy::Optional, true)
    };
    let offer = parse(&format!("v=0\r\n{}", lines(offer))).unwrap();
    let n = answer(&offer, &local).unwrap();
    let events = n.dtmf.map_or_else(|| "none".to_owned(), |(pt, hz)| format!("{pt}/{hz}"));
    let got = format!(
        "{}/{} events {events}, {}, ice {}, rtcp {}",
        n.codec.name(),
        n.payload_type,
        said(&n.security),
        n.ice.is_some(),
        n.remote_rtcp
    );
    assert_eq!(got, expected);
    let answer = parse(&n.body).unwrap();
    let places = |s: &Session| s.media.iter().map(|m| (m.kind.clone(), m.protocol.clone())).collect::<Vec<_>>();
    assert_eq!(places(&answer), places(&offer));
    // Streams keep their names; those that are spoken share a port with nobody else.
    let names = |s: &Session| s.media.iter().map(|m| m.mid.clone()).collect::<Vec<_>>();
    assert_eq!(names(&answer), names(&offer));
    let bundle = (!offer.bundle.is_empty()).then_some("a=group:BUNDLE 0\r\n");
    assert!(bundle.is_none_or(|b| n.body.contains(b)), "{}", n.body);
    // What we answered is an offer that we would take: nothing in it contradicts itself.
    let mut settled = local;
    settled.settle(&n);
    let offered = parse(&super::offer(&settled)).unwrap();
    assert!(bundle.is_none() || (&offered.bundle, &offered.media[0].mid) == (&answer.bundle, &answer.media[0].mid));
    let again = super::answer(&offered, &settled).unwrap();
    assert_eq!(again.security.name(), n.security.name());
}

#[test]
fn phones() {
    // baresip with `mediaenc=srtp-mand`.
    check(
        &format!(
            "o=- 3894238751 1032412093 IN IP4 192.0.2.10
             s=-
             c=IN IP4 192.0.2.10
             t=0 0
             a=tool:baresip 1.0.0
             m=audio 11266 RTP/SAVP 96 9 0 8 101
             b=AS:125
             a=rtpmap:96 opus/48000/2
             a=fmtp:96 stereo=1;sprop-stereo=1
             a=rtpmap:9 G722/8000
             a=rtpmap:0 PCMU/8000
             a=rtpmap:8 PCMA/8000
             a=rtpmap:101 telephone-event/8000
             a=fmtp:101 0-15
             a=rtcp:11267
             a=sendrecv
             a=label:1
             a=rtcp-rsize
             a=ssrc:2513870103 cname:sip:caller@192.0.2.10
             {KEY_80}
             a=ptime:20"
        ),
        "opus/96 events 101/8000, sdes AES_CM_128_HMAC_SHA1_80, ice false, rtcp 192.0.2.10:11267",
    );
    // linphone: best effort, XR for the session, two event clocks, video beside it.
    check(
        &format!(
            "o=caller 2911 1520 IN IP4 192.0.2.10
             s=Talk
             c=IN IP4 192.0.2.10
             t=0 0
             a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
             a=record:off
             m=audio 7078 RTP/AVPF 96 97 98 0 8 101 99
             a=rtpmap:96 opus/48000/2
             a=fmtp:96 useinbandfec=1
             a=rtpmap:97 speex/16000
             a=fmtp:97 vbr=on
             a=rtpmap:98 speex/8000
             a=rtpmap:101 telephone-event/48000
             a=rtpmap:99 telephone-event/8000
             {KEY_80}
             a=rtcp-fb:* trr-int 5000
             a=rtcp-fb:* ccm tmmbr
             m=video 9078 RTP/AVPF 100
             a=rtpmap:100 VP8/90000"
        ),
        "opus/96 events 101/48000, sdes AES_CM_128_HMAC_SHA1_80, ice false, rtcp 192.0.2.10:7079",
    );
    // pjsua: optional SRTP as two sections, ICE for two ports.
    check(
        &format!(
            "o=- 3902736582 3902736582 IN IP4 192.0.2.10
             s=pjmedia
             b=AS:117
             t=0 0
             a=X-nat:0
             m=audio 4012 RTP/SAVP 9 8 0 120 121
             c=IN IP4 192.0.2.10
             b=TIAS:96000
             a=rtcp:4013 IN IP4 192.0.2.10
             a=sendrecv
             a=rtpmap:9 G722/8000
             a=rtpmap:8 PCMA/8000
             a=rtpmap:0 PCMU/8000
             a=rtpmap:120 telephone-event/16000
             a=fmtp:120 0-16
             a=rtpmap:121 telephone-event/8000
             a=fmtp:121 0-16
             a=ssrc:1205413291 cname:7d8a6f5a2b1c0d3e
             a=ice-ufrag:6c1fe5cf
             a=ice-pwd:29e2e2e4a1b2c3d4e5f60718
             a=candidate:Hc0a80101 1 UDP 2130706431 192.0.2.10 4012 typ host
             a=candidate:Hc0a80101 2 UDP 2130706430 192.0.2.10 4013 typ host
             {KEY_80}
             a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj
             m=audio 4012 RTP/AVP 9 8 0
             c=IN IP4 192.0.2.10"
        ),
        "G722/9 events 121/8000, sdes AES_CM_128_HMAC_SHA1_80, ice false, rtcp 192.0.2.10:4013",
    );
}

#[test]
fn servers() {
    // Asterisk, chan_pjsip.
    check(
        "o=- 1181513271 1181513271 IN IP4 192.0.2.10
         s=Asterisk
         c=IN IP4 192.0.2.10
         t=0 0
         m=audio 17012 RTP/AVP 0 8 9 107 101
         a=rtpmap:0 PCMU/8000
         a=rtpmap:8 PCMA/8000
         a=rtpmap:9 G722/8000
         a=rtpmap:107 opus/48000/2
         a=fmtp:107 useinbandfec=1
         a=rtpmap:101 telephone-event/8000
         a=fmtp:101 0-16
         a=ptime:20
         a=maxptime:140
         a=sendrecv",
        "PCMU/0 events 101/8000, none, ice false, rtcp 192.0.2.10:17013",
    );
    // Asterisk with `media_encryption=dtls`.
    check(
        &format!(
            "o=- 1181513271 1181513271 IN IP4 192.0.2.10
             s=Asterisk
             c=IN IP4 192.0.2.10
             t=0 0
             m=audio 17012 UDP/TLS/RTP/SAVP 8 101
             a=connection:new
             a=setup:actpass
             {PRINT}
             a=rtpmap:8 PCMA/8000
             a=rtpmap:101 telephone-event/8000
             a=fmtp:101 0-16
             a=rtcp-mux"
        ),
        "PCMA/8 events 101/8000, dtls passive, ice false, rtcp 192.0.2.10:17012",
    );
    // FreeSWITCH: several suites, comfort noise.
    check(
        &format!(
            "o=FreeSWITCH 1700000000 1700000001 IN IP4 192.0.2.10
             s=FreeSWITCH
             c=IN IP4 192.0.2.10
             t=0 0
             m=audio 25328 RTP/SAVP 102 9 0 8 103 101 13
             a=rtpmap:102 opus/48000/2
             a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40
             a=rtpmap:103 telephone-event/48000
             a=fmtp:103 0-15
             a=rtpmap:101 telephone-event/8000
             a=fmtp:101 0-15
             a=rtpmap:13 CN/8000
             a=crypto:1 AEAD_AES_256_GCM_8 inline:{k}AAAAAAAAAAAAAAAAAAA=
             a=crypto:2 AEAD_AES_256_GCM inline:{k}AAAAAAAAAAAAAAAAAAA=
             a=crypto:3 AES_CM_256_HMAC_SHA1_80 inline:{k}AAAAAAAAAAAAAAAAAAAAAA==
             a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{k}
             a=ptime:20",
            k = "A".repeat(40)
        ),
        "opus/102 events 103/48000, sdes AEAD_AES_256_GCM, ice false, rtcp 192.0.2.10:25329",
    );
    // rtpengine behind Kamailio, asked for `UDP/TLS/RTP/SAVPF`: keys of both kinds, ICE with a relay of its own.
    check(
        &format!(
            "o=- 8412 1 IN IP4 192.0.2.10
             s=-
             t=0 0
             m=audio 30020 UDP/TLS/RTP/SAVPF 8 0 101
             c=IN IP4 192.0.2.10
             a=rtpmap:8 PCMA/8000
             a=rtpmap:0 PCMU/8000
             a=rtpmap:101 telephone-event/8000
             a=sendrecv
             a=rtcp:30020
             a=rtcp-mux
             {KEY_80}
             a=setup:actpass
             {PRINT}
             a=tls-id:9b1a3f6cb5e8d27700af4b1dd6a6a9f3
             a=ice-ufrag:Xy0G8Ih2
             a=ice-pwd:dAlQ2AOtmBrVXcVQGOw7qFxVUr
             a=candidate:p4mLj1rYHqCuZrMl 1 UDP 2130706431 192.0.2.10 30020 typ host
             a=end-of-candidates"
        ),
        "PCMA/8 events 101/8000, dtls passive, ice true, rtcp 192.0.2.10:30020",
    );
}

#[test]
fn browsers() {
    // Chromium by way of JsSIP: everything at once, addresses of hosts hidden.
    let chromium = |connection: &str, port: u16, candidates: &str| {
        format!(
            "o=- 4611731400430051336 2 IN IP4 127.0.0.1
             s=-
             t=0 0
             a=group:BUNDLE 0
             a=extmap-allow-mixed
             a=msid-semantic: WMS 1f9a
             m=audio {port} UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
             c=IN IP4 {connection}
             a=rtcp:9 IN IP4 0.0.0.0
             {candidates}
             a=ice-ufrag:Jz2K
             a=ice-pwd:BT1bV5pYQmS0dYv+HcYi1/8o
             a=ice-options:trickle
             {PRINT}
             a=setup:actpass
             a=mid:0
             a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
             a=sendrecv
             a=msid:1f9a 77aa
             a=rtcp-mux
             a=rtcp-rsize
             a=rtpmap:111 opus/48000/2
             a=rtcp-fb:111 transport-cc
             a=fmtp:111 minptime=10;useinbandfec=1
             a=rtpmap:63 red/48000/2
             a=fmtp:63 111/111
             a=rtpmap:9 G722/8000
             a=rtpmap:0 PCMU/8000
             a=rtpmap:8 PCMA/8000
             a=rtpmap:13 CN/8000
             a=rtpmap:110 telephone-event/48000
             a=rtpmap:126 telephone-event/8000
             a=ssrc:1399694169 cname:f5Zs"
        )
    };
    let hidden = "a=candidate:1 1 udp 2113937151 0a3c.local 51000 typ host generation 0 network-cost 999";
    let seen = format!("{hidden}\na=candidate:2 1 udp 1677729535 192.0.2.10 51001 typ srflx raddr 0.0.0.0 rport 0");
    let agreed = "opus/111 events 110/48000, dtls passive, ice true, rtcp";
    check(&chromium("0.0.0.0", 9, ""), &format!("{agreed} 0.0.0.0:9"));
    check(&chromium("0.0.0.0", 9, hidden), &format!("{agreed} 0.0.0.0:9"));
    check(&chromium("192.0.2.10", 51001, &seen), &format!("{agreed} 192.0.2.10:51001"));
}
