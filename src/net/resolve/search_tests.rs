//! Zones as scripts: what is asked, and which places come out in which order. Nothing here is sent.

use sip::Transport;
use sip::uri::Uri;

use super::records::{Naptr, Srv};
use super::search::{Known, Next, Question, Search};
use super::{Families, ResolveError};

/// `NAME naptr ORDER PREFERENCE FLAGS SERVICE REPLACEMENT`, `NAME srv PRIORITY WEIGHT PORT TARGET`,
/// `NAME a IP`, `NAME aaaa IP`.
const ZONE: &str = "
    full.test naptr 50 50 s SIPS+D2T _sips._tcp.full.test
    full.test naptr 90 50 s SIP+D2T _sip._tcp.full.test
    full.test naptr 90 60 s SIP+D2U _sip._udp.full.test
    _sips._tcp.full.test srv 10 0 5061 b.full.test
    _sips._tcp.full.test srv 5 0 5061 a.full.test
    _sip._tcp.full.test srv 5 0 5060 a.full.test
    _sip._udp.full.test srv 5 0 5070 b.full.test
    a.full.test a 192.0.2.1
    a.full.test aaaa 2001:db8::1
    b.full.test a 192.0.2.2
    b.full.test a 192.0.2.3

    broken.test naptr 10 10 s SIPS+D2T _sips._tcp.nowhere.test
    broken.test naptr 20 10 s SIP+D2U _sip._udp.full.test
    broken.test naptr 5 10 u E2U+sip _sip._udp.other.test
    useless.test naptr 10 10 s SIP+D2S _sip._sctp.useless.test
    _sip._tcp.useless.test srv 1 1 5062 a.full.test

    srv.test a 192.0.2.9
    _sip._udp.srv.test srv 1 0 5066 a.full.test
    _sip._tcp.srv.test srv 1 0 5067 b.full.test
    _sips._tcp.srv.test srv 1 0 5068 b.full.test

    plain.test a 192.0.2.4
    plain.test aaaa 2001:db8::4

    none.test a 192.0.2.5
    _sip._udp.none.test srv 0 0 0 .
    lost.test a 192.0.2.6
    _sip._udp.lost.test srv 0 0 5060 nowhere.test
";

fn rows(zone: &str, name: &str, kind: &str) -> Vec<Vec<String>> {
    let lines = zone.lines().map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|l| l.len() > 2 && l[0] == name && l[1] == kind).collect()
}

fn answer(zone: &str, known: &mut Known, question: Question) {
    match question {
        Question::Naptr(name) => {
            let record = |r: Vec<String>| Naptr {
                order: r[2].parse().unwrap(),
                preference: r[3].parse().unwrap(),
                flags: r[4].clone(),
                service: r[5].clone(),
                regexp: String::new(),
                replacement: r[6].clone(),
            };
            let records = rows(zone, &name, "naptr").into_iter().map(record).collect();
            known.naptr(name, records);
        }
        Question::Srv(name) => {
            let record = |r: Vec<String>| Srv {
                priority: r[2].parse().unwrap(),
                weight: r[3].parse().unwrap(),
                port: r[4].parse().unwrap(),
                target: r[5].trim_end_matches('.').to_owned(),
            };
            let records = rows(zone, &name, "srv").into_iter().map(record).collect();
            known.srv(name, records, &mut |_| 0);
        }
        Question::V4(ref name) | Question::V6(ref name) => {
            let kind = if matches!(question, Question::V4(_)) { "a" } else { "aaaa" };
            let addresses = rows(zone, name, kind).iter().map(|r| r[2].parse().unwrap()).collect();
            known.addresses(question, addresses);
        }
    }
}

/// The places as `TRANSPORT ADDRESS`, with the number of rounds that it took.
fn search(zone: &str, uri: &str, supported: &[Transport], families: Families) -> (String, usize) {
    let uri = Uri::parse(uri).unwrap();
    let search = match Search::new(&uri, supported, families) {
        Ok(search) => search,
        Err(ResolveError::Transport) => return ("no such transport".into(), 0),
        Err(error) => return (error.to_string(), 0),
    };
    let mut known = Known::default();
    for round in 0..20 {
        match search.next(&known) {
            Next::Ask(questions) => {
                assert!(!questions.is_empty());
                questions.into_iter().for_each(|q| answer(zone, &mut known, q));
            }
            Next::Found(found) => {
                assert!(found.iter().all(|f| f.name == uri.sip().unwrap().host.trim_end_matches('.')));
                let text = |f: &super::Found| format!("{} {}", f.peer.transport.as_str(), f.peer.address);
                return (found.iter().map(text).collect::<Vec<_>>().join(", "), round);
            }
        }
    }
    panic!("it never ends");
}

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];
const BOTH: Families = Families { v4: true, v6: true };
const V4: Families = Families { v4: true, v6: false };

/// `uri -> places`, with IPv4 only, so that the lines stay short.
fn check(supported: &[Transport], script: &str) {
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (uri, expected) = line.split_once(" ->").unwrap();
        assert_eq!(search(ZONE, uri, supported, V4).0, expected.trim(), "{uri}");
    }
}

#[test]
fn the_rules_of_rfc_3263() {
    check(
        &ALL,
        "
        sip:a@192.0.2.7 -> UDP 192.0.2.7:5060
        sip:a@192.0.2.7:5080;transport=tcp -> TCP 192.0.2.7:5080
        sips:192.0.2.7 -> TLS 192.0.2.7:5061
        sip:a@plain.test:5080 -> UDP 192.0.2.4:5080
        sips:a@plain.test:5080 -> TLS 192.0.2.4:5080
        sip:a@a.full.test:5080;transport=tls -> TLS 192.0.2.1:5080
        sip:a@full.test:5080;maddr=plain.test -> UDP 192.0.2.4:5080
        sip:a@full.test;maddr=192.0.2.8 -> UDP 192.0.2.8:5060
        sip:a@FULL.test -> TLS 192.0.2.1:5061, TLS 192.0.2.2:5061, TLS 192.0.2.3:5061
        sip:a@full.test. -> TLS 192.0.2.1:5061, TLS 192.0.2.2:5061, TLS 192.0.2.3:5061
        sips:a@full.test -> TLS 192.0.2.1:5061, TLS 192.0.2.2:5061, TLS 192.0.2.3:5061
        sip:a@full.test;transport=tcp -> TCP 192.0.2.1:5060
        sip:a@broken.test -> UDP 192.0.2.2:5070, UDP 192.0.2.3:5070
        sips:a@broken.test ->
        sip:a@useless.test -> TCP 192.0.2.1:5062
        sip:a@srv.test -> UDP 192.0.2.1:5066, TCP 192.0.2.2:5067, TCP 192.0.2.3:5067, TLS 192.0.2.2:5068, TLS 192.0.2.3:5068
        sips:a@srv.test -> TLS 192.0.2.2:5068, TLS 192.0.2.3:5068
        sip:a@srv.test;transport=udp -> UDP 192.0.2.1:5066
        sip:a@plain.test -> UDP 192.0.2.4:5060
        sips:a@plain.test -> TLS 192.0.2.4:5061
        sip:a@plain.test;transport=tcp -> TCP 192.0.2.4:5060
        sip:a@none.test ->
        sip:a@lost.test ->
        sip:a@nowhere.test ->
        sip:a@[2001:db8::7] ->
        sip:a@plain.test;transport=sctp -> no such transport
        sip:a@plain.test;transport=ws -> no such transport
        tel:+12125550100 -> not a sip: or sips: address; a tel: number is called through a trunk's `to`
        ",
    );
}

#[test]
fn only_what_we_can_send_by() {
    use Transport::{Tcp, Udp};
    check(
        &[Tcp, Udp],
        "
        sip:a@full.test -> TCP 192.0.2.1:5060, UDP 192.0.2.2:5070, UDP 192.0.2.3:5070
        sip:a@srv.test -> TCP 192.0.2.2:5067, TCP 192.0.2.3:5067, UDP 192.0.2.1:5066
        sips:a@full.test -> no such transport
        sip:a@plain.test -> UDP 192.0.2.4:5060
        ",
    );
    check(&[Tcp], "sip:a@plain.test -> TCP 192.0.2.4:5060\n sip:192.0.2.7 -> no such transport");
    check(&[], "sip:a@plain.test -> no such transport");
}

#[test]
fn both_families_take_turns() {
    let at = |uri, families| search(ZONE, uri, &ALL, families).0;
    let v6 = Families { v4: false, v6: true };
    assert_eq!(at("sip:plain.test", BOTH), "UDP [2001:db8::4]:5060, UDP 192.0.2.4:5060");
    assert_eq!(at("sip:plain.test", v6), "UDP [2001:db8::4]:5060");
    assert_eq!(at("sip:[2001:db8::7]", v6), "UDP [2001:db8::7]:5060");
    assert_eq!(
        at("sip:full.test", BOTH),
        "TLS [2001:db8::1]:5061, TLS 192.0.2.1:5061, TLS 192.0.2.2:5061, TLS 192.0.2.3:5061"
    );
}

#[test]
fn it_asks_no_more_than_it_must() {
    let rounds = |uri| search(ZONE, uri, &ALL, BOTH).1;
    assert_eq!(rounds("sip:192.0.2.1"), 0);
    assert_eq!(rounds("sip:plain.test:5060"), 1);
    assert_eq!(rounds("sip:full.test;transport=tcp"), 2);
    assert_eq!(rounds("sip:full.test"), 3);
    assert_eq!(rounds("sip:plain.test"), 3);
    assert_eq!(rounds("sip:broken.test"), 4);
}

#[test]
fn a_huge_zone_stays_bounded() {
    let mut zone = String::new();
    for n in 0..200 {
        zone += &format!("huge.test naptr {n} 1 s SIP+D2U _sip{n}._udp.huge.test\n");
        zone += &format!("_sip._udp.many.test srv {n} 1 5060 h{n}.many.test\n");
        zone += &format!("h0.many.test a 198.51.100.{n}\nh1.many.test a 192.0.2.{n}\n");
    }
    let (found, rounds) = search(&zone, "sip:many.test", &ALL, BOTH);
    assert_eq!(found.split(", ").count(), 16);
    assert_eq!(rounds, 3);
    let (found, rounds) = search(&zone, "sip:huge.test", &ALL, BOTH);
    assert_eq!((found.as_str(), rounds), ("", 10), "eight records, one round each");
}

#[test]
fn nobody_is_named_in_debug_or_errors() {
    let uri = Uri::parse("sip:alice@full.test").unwrap();
    let search = Search::new(&uri, &ALL, BOTH).unwrap();
    let text = format!("{:?}", search.next(&Known::default()));
    assert_eq!(text, "Ask([Naptr([private])])");
    for error in [ResolveError::NotFound, ResolveError::Unanswered, ResolveError::Transport] {
        assert!(!error.to_string().contains("full.test"));
    }
}
