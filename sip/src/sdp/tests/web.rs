//! Offers of browsers as WHIP brings them (RFC 9725): a data channel beside the audio, candidates of every kind, and the
//! fragments that follow. Never touches a socket.

use super::security::{PRINT, armed};
use super::*;

const ICE: &str = "a=ice-ufrag:Jz2K\na=ice-pwd:BT1bV5pYQmS0dYv+HcYi1/8o";
const AUDIO: &str = "c=IN IP4 0.0.0.0\na=rtcp-mux\na=sendrecv\na=rtpmap:111 opus/48000/2\na=setup:actpass";
const DATA: &str = "UDP/DTLS/SCTP webrtc-datachannel";

/// With candidates of every kind.
fn local(data: bool) -> LocalMedia {
    let (four, six) = ("203.0.113.5:8443".parse().unwrap(), "[2001:db8::5]:8443".parse().unwrap());
    let candidates = vec![Candidate::udp(four), Candidate::udp(six), Candidate::tcp(four)];
    let plain = LocalMedia::new(four, 7);
    LocalMedia { codecs: vec![Codec::Opus, Codec::Pcmu], candidates, data, ..armed_at(plain) }
}

fn armed_at(plain: LocalMedia) -> LocalMedia {
    let LocalMedia { protection, ice, .. } = armed(SrtpPolicy::Required, false);
    LocalMedia { protection, ice, ..plain }
}

/// What every section of ours says of its way.
fn way() -> String {
    let print = ["AB"; 32].join(":");
    let pwd = "07".repeat(16);
    format!(
        "a=fingerprint:sha-256 {print}
         a=setup:passive
         a=ice-ufrag:07070707
         a=ice-pwd:{pwd}
         a=candidate:1 1 UDP 2130706431 203.0.113.5 8443 typ host
         a=candidate:2 1 UDP 2130706175 2001:db8::5 8443 typ host
         a=candidate:3 1 TCP 1526726143 203.0.113.5 8443 typ host tcptype passive
         a=end-of-candidates"
    )
}

fn negotiate(local: &LocalMedia, offer: &str) -> Result<Negotiated, SdpError> {
    parse(&format!("v=0\r\n{}", lines(offer))).and_then(|offer| answer(&offer, local))
}

/// What our answer says of each section: its port and whether it is in the group; and whether there is data.
fn check(local: &LocalMedia, offer: &str, expected: &str) {
    let said = match negotiate(local, offer) {
        Ok(n) => {
            let body = parse(&n.body).unwrap();
            let of = |m: &Media| {
                let is_bundled = m.mid.as_ref().is_some_and(|mid| body.bundled().any(|name| name == mid));
                format!("{} {}{}", m.kind, m.port, if is_bundled { " shared" } else { "" })
            };
            let sections: Vec<String> = body.media.iter().map(of).collect();
            format!("{}{}", sections.join(", "), if n.data { ": data" } else { "" })
        }
        Err(error) => format!("{error:?}"),
    };
    assert_eq!(said, expected, "{offer}");
}

/// Some peers know a stream by its source alone where it shares its port.
#[test]
fn an_answer_names_the_source_where_it_is_known() {
    let offer = format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\n{ICE}\n{PRINT}\n{AUDIO}\na=mid:0");
    let source = Some(Source { ssrc: 7, cname: "word".into() });
    for (source, line) in [(source, Some("a=ssrc:7 cname:word")), (None, None)] {
        let n = negotiate(&LocalMedia { source, ..local(true) }, &offer).unwrap();
        assert_eq!(n.body.lines().find(|l| l.starts_with("a=ssrc")), line, "{}", n.body);
    }
}

#[test]
fn a_data_channel_beside_the_audio() {
    let way = way();
    let offer = format!(
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1
         s=-
         t=0 0
         a=group:BUNDLE 0 1
         a=extmap-allow-mixed
         m=audio 9 UDP/TLS/RTP/SAVPF 111 126
         {ICE}
         a=ice-options:trickle
         {PRINT}
         {AUDIO}
         a=mid:0
         a=rtpmap:126 telephone-event/8000
         m=application 9 {DATA}
         c=IN IP4 0.0.0.0
         {ICE}
         {PRINT}
         a=setup:actpass
         a=mid:1
         a=sctp-port:5000
         a=max-message-size:262144"
    );
    let audio = format!(
        "a=rtpmap:111 opus/48000/2
         a=fmtp:111 {}
         a=rtpmap:126 telephone-event/8000
         a=fmtp:126 0-15
         a=ptime:20
         a=sendrecv
         a=rtcp-mux
         a=mid:0
         {way}",
        OpusParameters::ours(false)
    );
    let body = |n: &Negotiated| n.body[n.body.find("t=").unwrap()..].to_owned();
    let n = negotiate(&local(true), &offer).unwrap();
    let expected = format!(
        "t=0 0
         a=group:BUNDLE 0 1
         a=ice-lite
         m=audio 8443 UDP/TLS/RTP/SAVPF 111 126
         {audio}
         m=application 8443 {DATA}
         a=mid:1
         {way}
         a=sctp-port:5000
         a=max-message-size:4096"
    );
    assert_eq!((body(&n), n.data), (lines(&expected), true));
    // Not wanted: refused, and named all the same.
    let n = negotiate(&local(false), &offer).unwrap();
    let expected = format!(
        "t=0 0
         a=group:BUNDLE 0
         a=ice-lite
         m=audio 8443 UDP/TLS/RTP/SAVPF 111 126
         {audio}
         m=application 0 {DATA}
         a=mid:1"
    );
    assert_eq!((body(&n), n.data), (lines(&expected), false));
    // We never offer it ourselves.
    let mut settled = local(true);
    settled.settle(&negotiate(&local(true), &offer).unwrap());
    let again = super::offer(&settled);
    assert!(again.contains("a=group:BUNDLE 0\r\n") && !again.contains("m=application"), "{again}");
}

/// Where the sections are, and what they leave to the first one.
#[test]
fn sections_in_any_order() {
    let ours = local(true);
    let head = "a=group:BUNDLE 0 1";
    let audio = |port: u16, more: &str| format!("m=audio {port} UDP/TLS/RTP/SAVPF 111\n{AUDIO}\n{more}");
    let data = |port: u16, more: &str| format!("m=application {port} {DATA}\n{more}");
    let all = format!("{ICE}\n{PRINT}");
    // max-bundle: what comes later has no port, and need not say what the first one said.
    let first = audio(9, &format!("{all}\na=mid:0"));
    check(
        &ours,
        &format!("{head}\n{first}\n{}", data(0, "a=mid:1\na=bundle-only")),
        "audio 8443 shared, application 8443 shared: data",
    );
    // The data channel was made before the microphone was there.
    let first = data(9, &format!("c=IN IP4 0.0.0.0\n{all}\na=setup:actpass\na=mid:0"));
    for later in [audio(0, "a=mid:1\na=bundle-only"), audio(9, &format!("{all}\na=mid:1"))] {
        check(&ours, &format!("{head}\n{first}\n{later}"), "application 8443 shared, audio 8443 shared: data");
        let n = negotiate(&ours, &format!("{head}\n{first}\n{later}")).unwrap();
        assert_eq!((n.ice.unwrap().ufrag, n.security.name()), ("Jz2K".into(), "dtls"));
        check(&local(false), &format!("{head}\n{first}\n{later}"), "application 0, audio 8443 shared");
    }
    // A camera as well; a second data channel.
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:2";
    let first = audio(9, &format!("{all}\na=mid:0"));
    let both = format!("a=group:BUNDLE 0 2 1 3\n{first}\n{video}\n{}\n{}", data(9, "a=mid:1"), data(9, "a=mid:3"));
    check(&ours, &both, "audio 8443 shared, video 0, application 8443 shared, application 0: data");
    // Without a port and a group there is no way to it.
    let alone = audio(0, &format!("{all}\na=mid:0\na=bundle-only"));
    check(&ours, &alone, "NoAudio");
    check(&ours, &format!("a=group:BUNDLE 0\n{alone}"), "NoAudio");
    check(&ours, &format!("a=group:BUNDLE 9 0\n{alone}"), "NoAudio");
}

#[test]
fn data_channels_that_are_not_taken() {
    let ours = local(true);
    let audio = format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\n{AUDIO}\n{ICE}\n{PRINT}\na=mid:0");
    let with = |group: &str, data: &str| format!("{group}\n{audio}\n{data}\na=mid:1");
    let shared = "a=group:BUNDLE 0 1";
    check(
        &ours,
        &with(shared, "m=application 9 TCP/DTLS/SCTP webrtc-datachannel"),
        "audio 8443 shared, application 8443 shared: data",
    );
    for data in [
        format!("m=application 0 {DATA}"),
        "m=application 9 DTLS/SCTP 5000\na=sctpmap:5000 webrtc-datachannel 1024".to_owned(),
        "m=application 9 UDP/DTLS/SCTP other".to_owned(),
        format!("m=application 9 {DATA} more"),
        "m=application 9 UDP/DTLS/SCTP".to_owned(),
        "m=application 9 RTP/AVP webrtc-datachannel".to_owned(),
        format!("m=message 9 {DATA}"),
    ] {
        let kind = if data.starts_with("m=message") { "message" } else { "application" };
        check(&ours, &with(shared, &data), &format!("audio 8443 shared, {kind} 0"));
    }
    // It has a port of its own.
    check(&ours, &with("a=group:BUNDLE 0", &format!("m=application 9 {DATA}")), "audio 8443 shared, application 0");
    check(&ours, &with("", &format!("m=application 9 {DATA}")), "audio 8443, application 0");
    // Nothing shakes hands for it.
    let plain = LocalMedia { data: true, ..super::local() };
    let sdes = format!("c=IN IP4 192.0.2.9\nm=audio 9 RTP/AVP 0\na=mid:0\nm=application 9 {DATA}\na=mid:1");
    check(&plain, &format!("{shared}\n{sdes}"), "audio 40000 shared, application 0");
}

/// Whatever candidates a browser has, we answer its checks and not its candidates.
#[test]
fn the_other_sides_candidates_do_no_harm() {
    let many = "a=candidate:1 1 UDP 1 192.0.2.77 1 typ host\n".repeat(100);
    for candidates in [
        "a=candidate:1 1 udp 2113937151 0a3cbb51-7e4d-4f0d-9bb5-1f6f8f0d9a11.local 51000 typ host generation 0",
        "a=candidate:2 1 tcp 1518280447 192.0.2.10 9 typ host tcptype active generation 0",
        "a=candidate:3 1 udp 1677729535 2001:db8::9 51001 typ srflx raddr :: rport 0",
        "a=candidate:4 1 udp 41885439 198.51.100.9 61000 typ relay raddr 0.0.0.0 rport 0\na=end-of-candidates",
        "a=candidate:\na=candidate:x y z\na=candidate:1 1 udp 1 192.0.2.10 99999 typ host\na=end-of-candidates:x",
        many.as_str(),
    ] {
        for (address, port) in [("0.0.0.0", 9), ("192.0.2.10", 9), ("0a3cbb51.local", 51000)] {
            let audio = AUDIO.replace("0.0.0.0", address);
            let offer = format!("m=audio {port} UDP/TLS/RTP/SAVPF 111\n{audio}\n{ICE}\n{PRINT}\n{candidates}");
            let n = negotiate(&local(false), &offer).unwrap();
            assert_eq!(n.ice.map(|ice| ice.ufrag).as_deref(), Some("Jz2K"), "{offer}");
        }
    }
}

#[test]
fn fragments_are_read() {
    let read = |text: &str| {
        ice_fragment(&lines(text)).map_or("nothing".to_owned(), |ice| format!("{} {}", ice.ufrag, ice.pwd))
    };
    let ours = "Jz2K BT1bV5pYQmS0dYv+HcYi1/8o";
    // RFC 9725 4.3.2 and 4.3.3: candidates that trickle, credentials for the session or for a section.
    let candidates = "a=candidate:1 1 UDP 2130706431 198.51.100.1 39132 typ host
                      a=candidate:2 1 tcp 1 0a3c.local 9 typ host tcptype active\na=end-of-candidates";
    assert_eq!(read(&format!("{ICE}\nm=audio 9 RTP/AVP 0\na=mid:0\n{candidates}")), ours);
    assert_eq!(
        read(&format!("a=group:BUNDLE 0 1\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\n{ICE}\n{candidates}")),
        ours
    );
    assert_eq!(read(&format!("a=ice-options:trickle ice2\n{ICE}")), ours);
    let two = ICE.replace("Jz2K", "other");
    assert_eq!(read(&format!("{two}\nm=audio 9 RTP/AVP 0\n{ICE}")), ours, "a section's own before the session's");
    assert_eq!(read(&format!("m=audio 9 RTP/AVP 0\n{candidates}\nm=application 9 {DATA}\n{ICE}")), ours);
    for nothing in ["", "a=ice-ufrag:Jz2K", candidates, &ICE.replace("Jz2K", "J 2K"), &format!("a=ice-lite\n{ICE}")] {
        assert_eq!(read(nothing), "nothing", "{nothing}");
    }
    for malformed in ["nonsense", "m=audio", "a=mid:0\rx", "{\"candidate\": \"\"}"] {
        assert_eq!(read(&format!("{ICE}\n{malformed}")), "nothing", "{malformed}");
    }
    assert_eq!(read(&format!("{ICE}\n{}", "a=x\n".repeat(10_000))), "nothing");
    assert_eq!(read(&format!("{ICE}\n{}", "m=audio 9 RTP/AVP 0\n".repeat(33))), "nothing");
}

#[test]
fn fragments_are_written() {
    let way = way();
    let ice = &way[way.find("a=ice-ufrag").unwrap()..];
    let audio = format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\n{AUDIO}\n{ICE}\n{PRINT}\na=mid:0");
    let settled = |ours: &LocalMedia, offer: &str| {
        let mut ours = ours.clone();
        ours.settle(&negotiate(&ours, offer).unwrap());
        ours
    };
    let offer = format!("a=group:BUNDLE 0 1\n{audio}\nm=application 9 {DATA}\na=mid:1");
    let agreed = settled(&local(true), &offer);
    let expected = format!("a=ice-lite\na=group:BUNDLE 0 1\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\n{ice}");
    assert_eq!(local_fragment(&agreed), lines(&expected));
    // Begun anew, with other credentials.
    let anew = LocalMedia { ice: Some(LocalIce::new([9; 20])), ..agreed };
    assert_eq!(local_fragment(&anew), lines(&expected.replace("0707", "0909")));
    // One address, and no names.
    let one = LocalMedia { candidates: vec![], ..local(true) };
    let plain = local_fragment(&settled(&one, &audio.replace("a=mid:0", "")));
    assert!(plain.starts_with("a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:0707"), "{plain}");
    assert!(plain.ends_with("a=candidate:1 1 UDP 2130706431 203.0.113.5 8443 typ host\r\n"), "{plain}");
    let never = LocalMedia { ice: None, ..local(true) };
    assert_eq!(
        (local_fragment(&settled(&never, &audio)), local_fragment(&local(true))),
        (String::new(), String::new())
    );
}

#[test]
fn nothing_of_it_is_printed() {
    let shown = format!("{:?} {:?}", local(true), local(true).candidates);
    assert!(!shown.contains("203.") && !shown.contains("8443"), "{shown}");
}
