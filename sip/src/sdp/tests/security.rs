//! SRTP by keys and by handshake, and ICE: every policy against every kind of offer. Never touches a socket.

use super::*;
use SrtpPolicy::{Off, Optional, Required};

pub(super) const KEY_80: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20";
pub(super) const PRINT: &str = "a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0a:0b:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
pub(super) const ICE: &str = "a=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\na=rtcp-mux";

/// Everything on.
pub(super) fn armed(policy: SrtpPolicy, trusts_signalling: bool) -> LocalMedia {
    let keys = Some(SrtpKeys::new(std::array::from_fn(|i| i as u8)));
    let fingerprint = Fingerprint::parse(&format!("sha-256 {}", ["ab"; 32].join(":")));
    let protection = Protection { policy, keys, fingerprint, trusts_signalling };
    LocalMedia { protection, ice: Some(LocalIce::new([7; 20])), ..local() }
}

/// Suite or role beside the kind.
pub(super) fn said(security: &Security) -> String {
    match security {
        Security::Plain => "none".to_owned(),
        Security::Sdes { suite, .. } => format!("sdes {}", suite.name()),
        Security::Dtls { we_are_active, .. } => format!("dtls {}", if *we_are_active { "active" } else { "passive" }),
    }
}

fn offered(protocol: &str, attributes: &str) -> Session {
    // A handshake needs it.
    let mux = if attributes.contains("fingerprint") { "a=rtcp-mux\n" } else { "" };
    let text = format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 {protocol} 0\n{mux}{}", lines(attributes));
    parse(&text).unwrap()
}

fn answered(local: &LocalMedia, offer: &Session) -> String {
    answer(offer, local).map_or_else(|e| format!("{e:?}"), |n| said(&n.security))
}

#[test]
fn every_policy_against_every_offer() {
    let dtls = format!("{PRINT}\na=setup:actpass");
    let both = format!("{KEY_80}\n{dtls}");
    let sdes = "sdes AES_CM_128_HMAC_SHA1_80";
    // protocol, attributes; what Off, Optional and Required make of it, and Required where signalling is readable.
    let table: [(&str, &str, [&str; 4]); 10] = [
        ("RTP/AVP", "", ["none", "none", "Insecure", "Insecure"]),
        ("RTP/AVPF", KEY_80, ["none", sdes, sdes, "Insecure"]),
        ("RTP/AVP", &dtls, ["none", "dtls passive", "dtls passive", "dtls passive"]),
        ("RTP/AVP", &both, ["none", sdes, sdes, "dtls passive"]),
        ("RTP/SAVP", KEY_80, ["NoAudio", sdes, sdes, "Insecure"]),
        ("RTP/SAVPF", &both, ["NoAudio", sdes, sdes, "dtls passive"]),
        ("RTP/SAVP", "", ["NoAudio", "NoAudio", "Insecure", "Insecure"]),
        ("UDP/TLS/RTP/SAVP", &dtls, ["NoAudio", "dtls passive", "dtls passive", "dtls passive"]),
        ("UDP/TLS/RTP/SAVPF", &both, ["NoAudio", "dtls passive", "dtls passive", "dtls passive"]),
        ("UDP/TLS/RTP/SAVPF", KEY_80, ["NoAudio", "NoAudio", "Insecure", "Insecure"]),
    ];
    for (protocol, attributes, expected) in table {
        let offer = offered(protocol, attributes);
        for (local, expected) in
            [armed(Off, true), armed(Optional, false), armed(Required, true), armed(Required, false)]
                .iter()
                .zip(expected)
        {
            assert_eq!(answered(local, &offer), expected, "{protocol} {attributes} {:?}", local.protection);
        }
    }
    // Neither keys nor certificate: nothing of it.
    let bare = LocalMedia { protection: Protection { policy: Optional, ..Protection::default() }, ..local() };
    assert_eq!(answered(&bare, &offered("RTP/SAVP", &both)), "NoAudio");
    assert_eq!(answered(&bare, &offered("RTP/AVP", &both)), "none");
}

#[test]
fn the_first_line_that_we_can_do() {
    let (k30, k44) = ("A".repeat(40), "A".repeat(59));
    let lines = format!(
        "a=crypto:1 F8_128_HMAC_SHA1_80 inline:{k30}
         a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{k30}|2^20|1:4
         a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=
         a=crypto:4 AEAD_AES_256_GCM inline:{k44}=
         a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{k30}"
    );
    let n = answer(&offered("RTP/SAVP", &lines), &armed(Optional, true)).unwrap();
    let Security::Sdes { suite: Suite::AeadAes256Gcm, send, receive } = &n.security else { panic!("{:?}", n.security) };
    assert_eq!((send.expose().len(), receive.expose()), (44, [0; 44].as_slice()));
    let crypto: Vec<&str> = n.body.lines().filter(|l| l.starts_with("a=crypto")).collect();
    assert_eq!(crypto.len(), 1);
    assert!(crypto[0].starts_with("a=crypto:4 AEAD_AES_256_GCM inline:"), "{crypto:?}");
    // Hostile: more lines, and longer ones, than anybody keeps.
    let many = format!("{KEY_80}\n").repeat(150);
    assert_eq!(offered("RTP/SAVP", &many).media[0].crypto.len(), 16);
    let long = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}", "A".repeat(9000));
    assert_eq!(answered(&armed(Optional, true), &offered("RTP/SAVP", &long)), "NoAudio");
}

#[test]
fn the_encrypted_one_of_two_sections() {
    let text = |first: &str, second: &str| {
        format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 {first} 0\n{KEY_80}\nm=audio 4002 {second} 0\n{KEY_80}\n")
    };
    for (first, second, port) in
        [("RTP/AVP", "RTP/SAVP", 4002), ("RTP/SAVP", "RTP/AVP", 4000), ("RTP/AVP", "RTP/AVP", 4000)]
    {
        let n = answer(&parse(&text(first, second)).unwrap(), &armed(Optional, true)).unwrap();
        assert_eq!((n.remote.port(), n.security.name()), (port, "sdes"), "{first} {second}");
    }
    // The encrypted one is of no use.
    let text = format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/SAVP 3\n{KEY_80}\n");
    assert_eq!(answer(&parse(&text).unwrap(), &armed(Optional, true)).unwrap().remote.port(), 4000);
}

#[test]
fn who_opens_the_handshake() {
    let local = armed(Optional, true);
    let check = |setup: &str, expected: &str, line: &str| {
        let offer = offered("UDP/TLS/RTP/SAVP", &format!("{PRINT}\n{setup}"));
        assert_eq!(answered(&local, &offer), expected, "{setup}");
        if !line.is_empty() {
            let body = answer(&offer, &local).unwrap().body;
            let ours = format!("a=fingerprint:sha-256 {}\r\na=setup:{line}\r\n", ["AB"; 32].join(":"));
            assert!(body.ends_with(&ours), "{body}");
        }
    };
    check("a=setup:actpass", "dtls passive", "passive");
    check("a=setup:ActPass", "dtls passive", "passive");
    check("a=setup:active", "dtls passive", "passive");
    check("a=setup:passive", "dtls active", "active");
    check("a=setup:holdconn", "NoAudio", "");
    check("a=setup:whatever", "NoAudio", "");
    let two_ports = format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 UDP/TLS/RTP/SAVP 0\n{PRINT}\na=setup:active\n");
    assert_eq!(answered(&armed(Optional, true), &parse(&two_ports).unwrap()), "NoAudio", "one handshake, not two");
    check("", "NoAudio", "");
    // RFC 8842 5.3: an association that stands keeps its roles, with the same certificate.
    let mut settled = local.clone();
    let passive = offered("UDP/TLS/RTP/SAVP", &format!("{PRINT}\na=setup:passive"));
    settled.settle(&answer(&passive, &local).unwrap());
    let again = offered("UDP/TLS/RTP/SAVP", &format!("{PRINT}\na=setup:actpass"));
    assert_eq!(answered(&settled, &again), "dtls active");
    let other = PRINT.replace("00:01", "ff:01");
    assert_eq!(answered(&settled, &offered("UDP/TLS/RTP/SAVP", &format!("{other}\na=setup:actpass"))), "dtls passive");
}

#[test]
fn fingerprints() {
    let remote = |attributes: &str| {
        let n = answer(&offered("UDP/TLS/RTP/SAVPF", attributes), &armed(Optional, true)).ok()?;
        let Security::Dtls { remote, .. } = n.security else { return None };
        Some((remote.hash, remote.bytes[0], remote.bytes.len()))
    };
    let setup = "a=setup:actpass";
    let of = |name: &str, bytes: usize| format!("a=fingerprint:{name} {}", vec!["5A"; bytes].join(":"));
    assert_eq!(remote(&format!("{PRINT}\n{setup}")), Some((Hash::Sha256, 0, 32)));
    assert_eq!(remote(&format!("{}\n{setup}", of("SHA-384", 48))), Some((Hash::Sha384, 0x5a, 48)));
    // The strongest everybody computes; its section's before the session's.
    let several = format!("{}\n{}\n{PRINT}\n{}\n{setup}", of("sha-1", 20), of("sha-512", 64), of("sha-256", 32));
    assert_eq!(remote(&several), Some((Hash::Sha256, 0, 32)));
    let text = format!("v=0\n{PRINT}\n{setup}\nc=IN IP4 192.0.2.10\nm=audio 4000 UDP/TLS/RTP/SAVP 0\na=rtcp-mux\n");
    for (own, hash) in [(String::new(), Hash::Sha256), (of("sha-512", 64), Hash::Sha512)] {
        let n = answer(&parse(&format!("{text}{own}\n")).unwrap(), &armed(Optional, true)).unwrap();
        let Security::Dtls { remote, .. } = n.security else { panic!() };
        assert_eq!(remote.hash, hash);
    }
    for bad in [
        of("sha-1", 20),
        of("md5", 16),
        of("sha-256", 31),
        of("sha-256", 33),
        of("sha-256", 5000),
        PRINT.replace("00:01", "0:001"),
        PRINT.replace("00:01", "+0:01"),
        PRINT.replace("00:01", "gg:01"),
        "a=fingerprint:sha-256".to_owned(),
        "a=fingerprint".to_owned(),
    ] {
        assert_eq!(remote(&format!("{bad}\n{setup}")), None, "{bad}");
    }
}

/// What we offer under each policy, and what we make of the answers.
#[test]
fn our_offers() {
    let reply = |protocol: &str, attributes: &str, local: &LocalMedia| {
        let answer = offered(protocol, attributes);
        accept(local, &answer).map_or_else(|e| format!("{e:?}"), |n| said(&n.security))
    };
    let count = |text: &str, what: &str| text.matches(what).count();
    let key = |tag: u32| KEY_80.replace("crypto:1", &format!("crypto:{tag}"));
    let sdes = "sdes AES_CM_128_HMAC_SHA1_80";
    let dtls = |setup: &str| format!("{PRINT}\na=setup:{setup}");

    let plain = [armed(Off, true), armed(Optional, false)];
    for local in &plain {
        let text = offer(local);
        assert!(text.contains("m=audio 40000 RTP/AVP "));
        assert_eq!((count(&text, "a=crypto"), count(&text, "a=fingerprint"), count(&text, "a=ice")), (0, 0, 0));
        assert_eq!(reply("RTP/AVP", &key(3), local), "none");
        assert_eq!(reply("RTP/SAVP", &key(3), local), "Insecure");
    }
    let maybe = armed(Optional, true);
    let text = offer(&maybe);
    assert!(text.contains("m=audio 40000 RTP/AVP "));
    assert_eq!((count(&text, "a=crypto"), count(&text, "a=fingerprint")), (4, 0));
    assert_eq!(reply("RTP/AVP", "", &maybe), "none");
    assert_eq!(reply("RTP/AVP", &key(3), &maybe), sdes);
    assert_eq!(reply("RTP/SAVP", &key(3), &maybe), sdes);
    assert_eq!(reply("RTP/AVP", &key(4), &maybe), "none", "another suite than that line's");
    assert_eq!(reply("RTP/SAVP", &key(9), &maybe), "Insecure");

    let must = armed(Required, true);
    let text = offer(&must);
    assert!(text.contains("m=audio 40000 RTP/SAVP "));
    assert_eq!((count(&text, "a=crypto"), count(&text, "a=fingerprint")), (4, 0));
    assert_eq!(reply("RTP/SAVP", &format!("{}\n{}", key(9), key(3)), &must), sdes);
    assert_eq!(reply("RTP/AVP", "", &must), "Insecure");
    assert_eq!(reply("RTP/SAVP", &dtls("active"), &must), "Insecure");

    let hidden = armed(Required, false);
    let text = offer(&hidden);
    assert!(text.contains("m=audio 40000 UDP/TLS/RTP/SAVP ") && text.contains("a=setup:actpass\r\n"));
    assert_eq!((count(&text, "a=crypto"), count(&text, "a=fingerprint")), (0, 1));
    assert_eq!(reply("UDP/TLS/RTP/SAVP", &dtls("active"), &hidden), "dtls passive");
    assert_eq!(reply("UDP/TLS/RTP/SAVP", &dtls("passive"), &hidden), "dtls active");
    assert_eq!(reply("UDP/TLS/RTP/SAVP", PRINT, &hidden), "dtls passive");
    assert_eq!(reply("UDP/TLS/RTP/SAVP", &dtls("holdconn"), &hidden), "Insecure");
    assert_eq!(reply("UDP/TLS/RTP/SAVP", "a=setup:active", &hidden), "Insecure");
    assert_eq!(reply("RTP/AVP", &key(3), &hidden), "Insecure");
}

/// Whoever offered first, the next offer is for what is in force, with the same keys.
#[test]
fn what_is_in_force_is_offered_again() {
    for (protocol, attributes) in [
        ("RTP/SAVP", KEY_80.to_owned()),
        ("RTP/AVPF", KEY_80.to_owned()),
        ("RTP/SAVPF", format!("{KEY_80}\n{ICE}")),
        ("UDP/TLS/RTP/SAVPF", format!("{PRINT}\na=setup:actpass\n{ICE}")),
        ("RTP/AVP", String::new()),
    ] {
        let mut local = armed(Optional, false);
        let first = answer(&offered(protocol, &attributes), &local).unwrap();
        local.settle(&first);
        let again = offer(&local);
        assert!(again.contains(&format!("m=audio 40000 {protocol} ")), "{again}");
        let key_of = |text: &str| text.lines().find_map(|l| Some(l.split_once("inline:")?.1.to_owned()));
        assert_eq!(key_of(&again), key_of(&first.body));
        assert_eq!(again.contains("a=ice-ufrag"), first.ice.is_some());
        assert_eq!(again.contains("a=ice-lite"), first.ice.is_some());
        assert_eq!(again.contains("a=fingerprint"), first.security.name() == "dtls");
        // The same answer as before, seen from the other side.
        let passive = attributes.replace("actpass", "active");
        let kept = accept(&local, &offered(protocol, &passive)).unwrap();
        assert_eq!((&kept.security, &kept.ice), (&first.security, &first.ice));
    }
}

#[test]
fn our_half_of_ice() {
    let local = armed(Optional, true);
    let near = "a=candidate:1 1 UDP 2130706431 192.0.2.10 4000 typ host";
    // Attributes; whether ICE is done, and what the answer says besides.
    let check = |attributes: &str, is_done: bool, says: &str| {
        let n = answer(&offered("RTP/AVP", attributes), &local).unwrap();
        let ice: Vec<&str> = n.body.lines().filter(|l| l.contains("ice") || l.contains("candidate")).collect();
        assert_eq!((n.ice.is_some(), lines(&ice.join("\n"))), (is_done, lines(says)), "{attributes}");
    };
    let ours = "a=ice-lite\na=ice-ufrag:07070707\na=ice-pwd:07070707070707070707070707070707
                a=candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ host";
    check(&format!("{ICE}\n{near}\na=rtcp-mux"), true, ours);
    check(&format!("{ICE}\n{near}").replace("a=rtcp-mux", ""), false, "");
    check(ICE, true, ours);
    check(&format!("{ICE}\na=candidate:7 1 udp 1 6e4.local 4000 typ host"), true, ours);
    // Somebody on the way changed the address.
    check(&format!("{ICE}\na=candidate:1 1 UDP 2130706431 10.0.0.1 4000 typ host"), false, "a=ice-mismatch");
    check(&format!("{ICE}\na=candidate:1 2 UDP 2130706431 192.0.2.10 4000 typ host\n{near}"), true, ours);
    // Two lite sides have nobody to check; half of ICE is none.
    check(&format!("{ICE}\na=ice-lite"), false, "");
    check("a=ice-ufrag:8hhY\na=rtcp-mux", false, "");
    check(&ICE.replace("8hhY", "8h"), false, "");
    check(&ICE.replace("8hhY", "8h hY"), false, "");
    check(&ICE.replace("8hhY", &"8".repeat(257)), false, "");
    check(near, false, "");
    // For the session; ours switched off.
    let session = parse(&format!("v=0\n{ICE}\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0\n")).unwrap();
    assert!(answer(&session, &local).unwrap().ice.is_some());
    let off = LocalMedia { ice: None, ..armed(Optional, true) };
    assert!(!answer(&session, &off).unwrap().body.contains("ice"));
    let many = offered("RTP/AVP", &format!("{ICE}\n{}", format!("{near}\n").repeat(200)));
    assert_eq!(many.media[0].ice.candidates.len(), 32);
}

/// An address that comes later is no hold where ICE will bring it.
#[test]
fn ice_without_an_address() {
    let local = armed(Optional, true);
    for address in ["0.0.0.0", "6e4.local"] {
        let text = format!("v=0\nc=IN IP4 {address}\nm=audio 9 RTP/AVP 0\n{ICE}\n");
        let offer = parse(&text).unwrap();
        let n = answer(&offer, &local).unwrap();
        assert_eq!(
            (n.direction, offer.is_hold(), n.remote.to_string()),
            (Direction::SendRecv, false, "0.0.0.0:9".into())
        );
    }
}

#[test]
fn ice_begun_anew() {
    let mut local = armed(Optional, true);
    let offer = offered("RTP/AVP", ICE);
    let first = answer(&offer, &local).unwrap();
    assert!(!local.restarts_ice(&first));
    local.settle(&first);
    assert!(!local.restarts_ice(&answer(&offer, &local).unwrap()));
    let anew = answer(&offered("RTP/AVP", &ICE.replace("8hhY", "9hhY")), &local).unwrap();
    assert!(local.restarts_ice(&anew));
    assert!(!local.restarts_ice(&answer(&offered("RTP/AVP", ""), &local).unwrap()));
}

#[test]
fn no_key_is_ever_printed() {
    let local = armed(Optional, true);
    let offer = offered("RTP/SAVP", &format!("{KEY_80}\n{ICE}\n{PRINT}"));
    let n = answer(&offer, &local).unwrap();
    let mut settled = local.clone();
    settled.settle(&n);
    let shown = format!("{local:?} {offer:?} {:?} {n:?} {:?} {:?} {settled:?}", offer.media, n.ice, local.protection);
    for secret in ["WVNf", "8hhY", "asd88", "0707", "[89", "00:01", "192."] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
