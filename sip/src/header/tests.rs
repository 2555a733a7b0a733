//! Header values, well-formed and not. Never a whole message.

use super::*;

fn shown(name_addr: Option<NameAddr>) -> String {
    match name_addr {
        Some(n) => format!("{:?} {} {:?}", n.display.as_deref().unwrap_or("-"), n.uri.as_str(), n.tag().unwrap_or("-")),
        None => "no".to_owned(),
    }
}

#[test]
fn name_addrs() {
    for (text, expected) in [
        ("sip:a@b", r#""-" sip:a@b "-""#),
        ("sip:a@b;tag=1", r#""-" sip:a@b "1""#),
        ("<sip:a@b;x=1>;tag=1", r#""-" sip:a@b;x=1 "1""#),
        ("Anna  Lee<sip:a@b>", r#""Anna  Lee" sip:a@b "-""#),
        (r#""A \"B\" <c>" <sip:a@b> ; tag = 9 ;x"#, r#""A \"B\" <c>" sip:a@b "9""#),
        ("Жанна <sip:a@b>;tag=1", r#""Жанна" sip:a@b "1""#),
        ("<sip:a@b>;tag=", "no"),
        ("<sip:a@b>;;", "no"),
        ("<sip:a@b>;tag=1;TAG=1", r#""-" sip:a@b "1""#),
        ("<sip:a@b>;tag=1;tag=2", "no"),
        ("<sip:a@b> x", "no"),
        ("< sip:a@b>", "no"),
        ("sip:a@b?x=y", "no"),
        ("Bell, A <sip:a@b>", "no"),
        (r#""open <sip:a@b>"#, "no"),
        (r#""a" "b" <sip:a@b>"#, "no"),
        ("<sip:a@b", "no"),
        ("", "no"),
    ] {
        assert_eq!(shown(NameAddr::parse(text)), expected, "{text}");
    }
    let list = NameAddr::parse_list(r#""a,b" <sip:a@b;x=1,2>, <sip:c@d>;q=0.5"#).unwrap();
    assert_eq!((list.len(), list[1].params.get("Q")), (2, Some("0.5")));
}

#[test]
fn vias() {
    for (text, expected) in [
        ("SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bKa;rport", "UDP 192.0.2.1 5061 z9hG4bKa"),
        ("SIP / 2.0 / tcp  Host.Example ; branch = z9hG4bKa", "TCP host.example 0 z9hG4bKa"),
        ("SIP/2.0/UDP [2001:db8::1]:5060;branch=old", "UDP 2001:db8::1 5060 -"),
        ("SIP/2.0/UDP h;branch=z9hG4bK", "UDP h 0 -"),
        ("SIP/2.0/UDP h : 7", "UDP h 7 -"),
        ("SIP/3.0/UDP h", "no"),
        ("SIP/2.0/UDP", "no"),
        ("SIP/2.0/UDP h;", "no"),
        ("SIP/2.0/UDP h x;branch=1", "no"),
        ("", "no"),
    ] {
        let got = match Via::parse(text) {
            Some(v) => format!("{} {} {} {}", v.transport, v.host, v.port.unwrap_or(0), v.branch().unwrap_or("-")),
            None => "no".to_owned(),
        };
        assert_eq!(got, expected, "{text}");
    }
}

#[test]
fn small_ones() {
    let cseq = |t: &str| CSeq::parse(t).map(|c| (c.number, c.method));
    assert_eq!(cseq("0009  INVITE"), Some((9, "INVITE".into())));
    for bad in ["", "1", "1 ", "-1 A", "2147483648 A", "1 A B", "99999999999999999999 A"] {
        assert_eq!(cseq(bad), None, "{bad}");
    }
    assert_eq!(retry_after_s("120 (busy);duration=60"), Some(120));
    assert_eq!(retry_after_s("949302838503028349304023988"), None);
    assert_eq!(tokens(" a, ,b,"), ["a", "b"]);
    assert_eq!(content_type("Application / SDP ; a=\"b\"").unwrap().0, "application/sdp");
    assert!(content_type("sdp").is_none());
    let why = reason(r#"SIP ;cause=200 ;text="Call completed elsewhere", Q.850;cause=16"#).unwrap();
    assert_eq!((why.protocol.as_str(), why.cause), ("SIP", 200));
    assert_eq!(why.text.unwrap().expose(), "Call completed elsewhere");
    assert!(reason("SIP;text=x").is_none() && reason("").is_none());
}
