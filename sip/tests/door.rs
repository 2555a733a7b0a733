//! Trunks, strangers, scanners and floods at the door, as scripts on virtual time. No socket is opened.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use proptest::prelude::*;
use sip::auth::{Client, Credentials};
use sip::door::{DoorConfig, Strangers, TrunkRule};
use sip::message::{self, Name, StartLine};
use sip::{CallHandle, Connection, Endpoint, EndpointConfig, Event, Output, Peer, Transport};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{SDP, base, millis, us};

/// Who sends: a name for an address, or for a connection.
fn peer(name: &str) -> Peer {
    let udp = |text: &str| Peer::udp(text.parse().unwrap());
    match name {
        "carrier" => udp("203.0.113.5:5060"),
        "carrier6" => udp("[2001:db8:5::5]:5060"),
        "pbx" => udp("198.51.100.9:5070"),
        "mallory" => udp("192.0.2.66:40000"),
        "alice" => udp("192.0.2.10:5060"),
        "alice6" => udp("[2001:db8:aa::1]:5060"),
        "alice6b" => udp("[2001:db8:aa::2]:5060"),
        "tls1" => Peer::connected(Transport::Tls, "192.0.2.66:41000".parse().unwrap(), Connection(1)),
        "tls2" => Peer::connected(Transport::Tls, "192.0.2.66:41001".parse().unwrap(), Connection(2)),
        other => panic!("who is {other}?"),
    }
}

struct Yard {
    endpoint: Endpoint,
    now: Instant,
    count: u32,
    call: Option<CallHandle>,
    /// The last request, and our last 200 to an INVITE.
    last: Vec<u8>,
    response: Vec<u8>,
    /// The last that came out.
    sent: Vec<u8>,
}

/// Lines `input -> what comes of it`; runs of the same outcome are written once, with their length.
fn check(door: DoorConfig, max_calls: usize, script: &str) -> Yard {
    let mut yard = Yard::new(door, max_calls);
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (input, expected) = line.split_once(" ->").unwrap_or((line, ""));
        assert_eq!(yard.play(input), expected.trim(), "{line}");
    }
    yard
}

impl Yard {
    fn new(door: DoorConfig, max_calls: usize) -> Self {
        let mut config = EndpointConfig::new(us(), 1);
        (config.door, config.max_calls) = (door, max_calls);
        let (endpoint, now) = (Endpoint::new(config), base());
        let (last, response, sent) = (Vec::new(), Vec::new(), Vec::new());
        Self { endpoint, now, count: 0, call: None, last, response, sent }
    }

    /// `who METHOD user [xN]`, `who auth user password [xN]`, `who replay`, `who ack`, `who in METHOD`,
    /// `who connects name ..`, `us answer`, `us reject 404`, `wait 5s`.
    fn play(&mut self, input: &str) -> String {
        let mut words: Vec<&str> = input.split(' ').collect();
        let times = words.pop_if(|w| w.starts_with('x') && w[1..].parse::<u32>().is_ok());
        let times = times.map_or(1, |t| t[1..].parse().unwrap());
        let mut runs: Vec<(String, u32)> = Vec::new();
        for _ in 0..times {
            let result = self.once(&words);
            match runs.last_mut() {
                Some((last, count)) if *last == result => *count += 1,
                _ => runs.push((result, 1)),
            }
        }
        let shown = |(text, count): (String, u32)| if count == 1 { text } else { format!("{text} x{count}") };
        runs.into_iter().map(shown).collect::<Vec<_>>().join(", ").trim().to_owned()
    }

    fn once(&mut self, words: &[&str]) -> String {
        match words {
            ["wait", span] => {
                let until = self.now + Duration::from_millis(millis(span));
                while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
                    self.endpoint.handle_timeout(at);
                    while self.endpoint.poll().is_some() {}
                }
                self.now = until;
                String::new()
            }
            ["us", "answer"] => {
                self.endpoint.answer(self.now, self.call.unwrap(), SDP).unwrap();
                let outcome = self.outcome();
                self.response.clone_from(&self.sent);
                outcome
            }
            ["us", "reject", status] => {
                self.endpoint.reject(self.now, self.call.unwrap(), status.parse().unwrap(), None).unwrap();
                self.outcome()
            }
            [who, "connects", names @ ..] => {
                let names = names.iter().map(|n| (*n).to_owned()).collect();
                self.endpoint.connected(peer(who).connection.unwrap(), names);
                String::new()
            }
            [who, "leaves"] => {
                self.endpoint.disconnected(self.now, peer(who).connection.unwrap());
                String::new()
            }
            [who, "replay"] => {
                let copy = String::from_utf8(self.last.clone()).unwrap();
                // By another way, so that it is no retransmission.
                self.count += 1;
                self.feed(peer(who), copy.replace("z9hG4bK", &format!("z9hG4bKr{}-", self.count)).as_bytes())
            }
            [who, "ack"] => self.inside(who, "ACK"),
            [who, "in", method] => self.inside(who, method),
            [who, "auth", user, password] => self.auth(peer(who), user, password),
            [who, "agent", agent] => self.ask(peer(who), "OPTIONS", "100", &format!("User-Agent: {agent}\r\n")),
            [who, "garbled"] => self.feed(peer(who), b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n"),
            [who, "stun"] => self.feed(peer(who), &sip::stun::binding_request(&[7; 12])),
            [who, method, user] => self.ask(peer(who), method, user, ""),
            _ => panic!("what is {words:?}?"),
        }
    }

    fn ask(&mut self, from: Peer, method: &str, user: &str, headers: &str) -> String {
        self.count += 1;
        let n = self.count;
        let (kind, body) = if method == "INVITE" { ("Content-Type: application/sdp\r\n", SDP) } else { ("", "") };
        let text = format!(
            "{method} sip:{user}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@192.0.2.1>;tag=f{n}\r\nTo: <sip:{user}@192.0.2.1>\r\nCall-ID: call-{n}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:x@{}>\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            from.transport.as_str(),
            from.address,
            from.address,
            body.len()
        );
        self.last = text.into_bytes();
        let bytes = self.last.clone();
        self.feed(from, &bytes)
    }

    /// An INVITE, its challenge, and the INVITE again with the answer to it.
    fn auth(&mut self, from: Peer, user: &str, password: &str) -> String {
        let first = self.ask(from, "INVITE", "100", "");
        if first != "401" {
            return first;
        }
        let credentials = Credentials { user: user.into(), password: password.to_owned().into(), realm: None };
        let mut client = Client::new(credentials);
        let response = self.sent.clone();
        let parsed = message::parse(&response).unwrap();
        let values: Vec<_> = parsed.all(Name::WwwAuthenticate).map(|h| h.text().into_owned()).collect();
        client.challenged(&values.iter().map(String::as_str).collect::<Vec<_>>(), false).unwrap();
        let headers = client.authorize(9, "INVITE", "sip:100@192.0.2.1", SDP.as_bytes());
        let line = format!("{}: {}\r\n", headers[0].0.as_str(), headers[0].1);
        self.ask(from, "INVITE", "100", &line)
    }

    /// A request in the dialog of the last INVITE that was answered.
    fn inside(&mut self, who: &str, method: &str) -> String {
        self.count += 1;
        let response = self.response.clone();
        let parsed = message::parse(&response).unwrap();
        let text = |name| parsed.header(name).unwrap().text().into_owned();
        let cseq = if method == "ACK" { 1 } else { self.count + 1 };
        let text = format!(
            "{method} sip:dauys@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKi{}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            self.count,
            text(Name::From),
            text(Name::To),
            text(Name::CallId)
        );
        self.feed(peer(who), text.as_bytes())
    }

    fn feed(&mut self, from: Peer, bytes: &[u8]) -> String {
        self.endpoint.handle(self.now, from, bytes);
        self.outcome()
    }

    fn outcome(&mut self) -> String {
        let mut shown = Vec::new();
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Banned(_) => shown.push("banned".to_owned()),
                Output::Event(Event::Incoming { call, info, .. }) => {
                    self.call = Some(call);
                    shown.push(info.trunk.map_or("call".to_owned(), |t| format!("call:{t}")));
                }
                Output::Event(Event::Established { .. }) => shown.push("up".to_owned()),
                Output::Event(_) => {}
                Output::Send { bytes, .. } => {
                    self.sent = bytes;
                    match message::parse(&self.sent) {
                        Ok(m) => shown.push(label(&m)),
                        Err(_) => shown.push(format!("{} bytes", self.sent.len())),
                    }
                }
            }
        }
        shown.join(" ")
    }
}

fn label(message: &message::Message<'_>) -> String {
    let retry = message.header(Name::RetryAfter).map_or("", |_| "+");
    match message.start {
        StartLine::Request { method, .. } => method.to_owned(),
        StartLine::Response { status, .. } => format!("{status}{retry}"),
    }
}

fn trunk(name: &str, nets: &[&str]) -> TrunkRule {
    let addresses = nets.iter().map(|n| n.parse().unwrap()).collect();
    TrunkRule { name: name.to_owned(), addresses, ..TrunkRule::default() }
}

fn with_digest(mut rule: TrunkRule, user: &str) -> TrunkRule {
    let password = "right".to_owned().into();
    rule.credentials = Some(Credentials { user: user.to_owned(), password, realm: None });
    rule
}

fn closed(trunks: Vec<TrunkRule>) -> DoorConfig {
    DoorConfig { trunks, ..DoorConfig::default() }
}

#[test]
fn a_list_of_addresses_and_everybody_else() {
    let carrier = trunk("carrier", &["203.0.113.0/24", "2001:db8:5::/48"]);
    check(
        closed(vec![carrier.clone()]),
        8,
        "carrier INVITE 100 -> 100 call:carrier
         carrier6 INVITE 100 -> 100 call:carrier
         mallory INVITE 100 -> 403
         alice6 INVITE 100 -> 403
         mallory OPTIONS 100 -> 200
         mallory REGISTER 100 -> 405
         mallory SUBSCRIBE 100 -> 405
         mallory MESSAGE 100 -> 405
         mallory PUBLISH 100 -> 405
         mallory FOO 100 -> 501
         mallory BYE 100 -> 481",
    );
    let open = DoorConfig { trunks: vec![carrier], ..DoorConfig::open() };
    check(open, 8, "carrier INVITE 1 -> 100 call:carrier\nmallory INVITE 1 -> 100 call");
    check(closed(vec![TrunkRule::default()]), 8, "carrier INVITE 1 -> 403");
}

#[test]
fn a_digest_makes_a_trunk() {
    let pbx = with_digest(trunk("pbx", &[]), "pbx");
    let both = with_digest(trunk("both", &["203.0.113.0/24"]), "both");
    check(
        closed(vec![pbx.clone(), both.clone()]),
        100,
        "pbx INVITE 100 -> 401
         pbx auth pbx right -> 100 call:pbx
         # The same INVITE again is refused, though user and password are right.
         pbx replay -> 401
         pbx auth pbx wrong -> 401
         pbx auth nobody right -> 401
         carrier auth both right -> 100 call:both
         carrier auth both wrong -> 401
         # The right digest from the wrong place.
         pbx auth both right -> 401
         # This trunk has no place of its own.
         carrier auth pbx right -> 100 call:pbx",
    );
    // Strangers may call, but who calls from a trunk's place must prove it, and nobody may prove it wrongly.
    check(
        DoorConfig { trunks: vec![both], ..DoorConfig::open() },
        100,
        "mallory INVITE 100 -> 100 call
         carrier INVITE 100 -> 401
         carrier auth both right -> 100 call:both
         carrier auth both wrong -> 401",
    );
    let mut yard = Yard::new(closed(vec![pbx.clone()]), 8);
    assert_eq!(yard.play("mallory INVITE 100"), "401");
    let offers =
        |yard: &Yard| String::from_utf8(yard.sent.clone()).unwrap().matches("WWW-Authenticate: Digest").count();
    assert_eq!(offers(&yard), 2);
    let mut yard = Yard::new(closed(vec![TrunkRule { allow_md5: true, ..pbx }]), 8);
    assert_eq!((yard.play("mallory INVITE 100"), offers(&yard)), ("401".to_owned(), 3));
}

#[test]
fn a_nonce_ages_and_a_copy_from_elsewhere_is_worth_nothing() {
    let mut yard = check(
        closed(vec![with_digest(trunk("pbx", &[]), "pbx")]),
        100,
        "pbx auth pbx right -> 100 call:pbx\nmallory replay -> 401\nwait 301s\npbx replay -> 401",
    );
    assert!(String::from_utf8(yard.sent.clone()).unwrap().contains("stale=true"));
    assert_eq!(yard.play("pbx auth pbx right"), "100 call:pbx");
}

#[test]
fn a_certificate_makes_a_trunk() {
    let mut rule = trunk("named", &[]);
    rule.tls_names = vec!["sip.example.com".to_owned()];
    let digest = with_digest(TrunkRule { name: "strict".to_owned(), ..rule.clone() }, "strict");
    check(
        closed(vec![rule]),
        100,
        "tls1 INVITE 100 -> 403
         tls1 connects example.com SIP.example.COM
         tls2 connects *.example.com example.com
         tls1 INVITE 100 -> 100 call:named
         tls2 INVITE 100 -> 403
         mallory INVITE 100 -> 403
         tls1 leaves
         tls1 INVITE 100 -> 403",
    );
    // Name and address: both.
    check(
        closed(vec![TrunkRule { addresses: vec!["198.18.0.1".parse().unwrap()], ..digest.clone() }]),
        100,
        "tls1 connects sip.example.com
         tls1 auth strict right -> 401",
    );
    check(
        closed(vec![digest]),
        100,
        "tls1 connects sip.example.com
         tls1 INVITE 100 -> 401
         tls1 auth strict right -> 100 call:strict
         tls2 auth strict right -> 401",
    );
}

#[test]
fn trunks_have_limits_of_their_own() {
    let carrier = TrunkRule { calls_max: Some(3), ..trunk("carrier", &["203.0.113.0/24"]) };
    let pbx = TrunkRule { calls_per_s: Some(2.0), ..trunk("pbx", &["198.51.100.9"]) };
    let none = TrunkRule { calls_per_s: Some(0.0), ..trunk("none", &["192.0.2.66"]) };
    check(
        closed(vec![carrier, pbx, none]),
        100,
        "carrier INVITE 100 x5 -> 100 call:carrier x3, 503+ x2
         us reject 486 -> 486
         carrier INVITE 100 x2 -> 100 call:carrier, 503+
         pbx INVITE 100 x3 -> 100 call:pbx x2, 503+
         wait 499ms
         pbx INVITE 100 -> 503+
         wait 1ms
         pbx INVITE 100 x2 -> 100 call:pbx, 503+
         mallory INVITE 100 -> 503+",
    );
}

#[test]
fn strangers_have_a_share() {
    let door = DoorConfig { unanswered_percent: Some(50), per_source_calls_percent: Some(25), ..DoorConfig::open() };
    // One source: 25 % of 100.
    check(
        door.clone(),
        100,
        "mallory INVITE 1 x26 -> 100 call x25, 503+
         alice INVITE 1 x26 -> 100 call x25, 503+
         # And all of them: half, until somebody answers.
         pbx INVITE 1 -> 503+
         us answer -> 200
         pbx INVITE 1 -> 503+
         alice ack -> up
         alice INVITE 1 -> 503+
         pbx INVITE 1 x2 -> 100 call, 503+
         us reject 486 -> 486
         alice in BYE -> 200
         alice INVITE 1 -> 100 call",
    );
    // 25 % of 16 would be 4, but 8 are never too many; a /64 is one source.
    check(door.clone(), 16, "alice6 INVITE 1 x8 -> 100 call x8\nalice6b INVITE 1 -> 503+");
    // A trunk is no stranger, and the flood does not keep it out.
    let door = DoorConfig { trunks: vec![trunk("carrier", &["203.0.113.5"])], ..door };
    check(
        door,
        40,
        "mallory INVITE 1 x30 -> 100 call x10, 503+ x20
         alice INVITE 1 x30 -> 100 call x10, 503+ x20
         carrier INVITE 1 x21 -> 100 call:carrier x20, 503+",
    );
}

#[test]
fn rates() {
    let bans = None;
    let door = DoorConfig { bans, ..closed(vec![trunk("carrier", &["203.0.113.0/24"])]) };
    let mut yard = check(
        door.clone(),
        4000,
        "mallory OPTIONS 1 x200 -> 200 x100,  x100
         mallory INVITE 1 -> 
         mallory garbled ->
         mallory stun ->
         wait 20ms
         mallory INVITE 1 x2 -> 403,
         wait 20ms
         mallory stun -> 32 bytes
         mallory REGISTER 1 ->
         alice OPTIONS 1 -> 200
         alice6 stun -> 44 bytes
         alice6 OPTIONS 1 x99 -> 200 x99
         alice6b OPTIONS 1 ->
         tls1 stun ->
         carrier INVITE 1 x3000 -> 100 call:carrier x3000",
    );
    assert_eq!(yard.endpoint.stats().throttled, 106);
    let door = DoorConfig { strangers: Strangers::Answer, ..door };
    // Who is in a call gets through while others write its address on a flood.
    yard = check(
        door,
        100,
        "alice INVITE 1 -> 100 call\nus answer -> 200\nalice ack -> up\nalice OPTIONS 1 x200 -> 200 x98,  x102
         alice in OPTIONS x2 -> 200 x2\nalice INVITE 1 ->\nalice in BYE -> 200\nalice in OPTIONS ->",
    );
    assert_eq!(yard.endpoint.calls(), 0);
}

#[test]
fn guessing_is_banned_and_forgotten() {
    let trunks = || {
        let both = with_digest(trunk("both", &["198.51.100.9"]), "both");
        vec![trunk("carrier", &["203.0.113.0/24"]), with_digest(trunk("pbx", &[]), "pbx"), both]
    };
    let mut yard = check(
        closed(trunks()),
        100,
        "mallory auth pbx guess x6 -> 401 x4, 401 banned,
         mallory OPTIONS 1 x1000 ->  x1000
         mallory garbled ->
         mallory stun ->
         tls1 OPTIONS 1 ->
         alice OPTIONS 1 -> 200
         wait 599s
         mallory OPTIONS 1 ->
         wait 1s
         mallory OPTIONS 1 -> 200
         mallory auth pbx right -> 100 call:pbx
         # Whoever proved a password may mistype one.
         mallory auth pbx guess x10 -> 401 x10
         wait 601s
         mallory auth pbx guess x5 -> 401 x4, 401 banned
         # Nobody asks a known address for anything.
         carrier auth pbx guess x30 -> 100 call:carrier x30
         carrier REGISTER 1 x30 -> 405 x30
         # An address that must prove itself may be forged all the more.
         pbx auth both wrong x30 -> 401 x30",
    );
    assert_eq!(yard.endpoint.stats().banned, 2);
    // Calling it ourselves is a pardon.
    let invite = sip::InviteRequest { targets: vec![peer("mallory")], ..support::invite_request() };
    yard.endpoint.invite(yard.now, invite).unwrap();
    assert_eq!((yard.outcome(), yard.play("mallory OPTIONS 1")), ("INVITE".to_owned(), "200".to_owned()));
    // Slowly enough is no guessing.
    let slow = "mallory auth pbx guess x4 -> 401 x4\nwait 601s\n".repeat(3);
    check(closed(trunks()), 100, &slow);
}

#[test]
fn refusals_are_counted() {
    let door = || closed(vec![]);
    check(
        door(),
        100,
        "mallory INVITE 1 x10 -> 403 x10\nmallory REGISTER 1 x5 -> 405 x5\nmallory garbled x6 -> 400 x4, 400 banned,",
    );
    check(door(), 100, "mallory INVITE 1 x19 -> 403 x19\nwait 61s\nmallory INVITE 1 x21 -> 403 x19, 403 banned,");
    check(door(), 100, "mallory agent Zoiper x3 -> 200 x3\nmallory agent friendly-scanner x2 -> banned,");
    check(DoorConfig::open(), 100, "mallory agent friendly-scanner -> 200\nmallory REGISTER 1 x100 -> 405 x100");
    // Numbers that our user does not know; a busy one is no offence.
    let door = DoorConfig { strangers: Strangers::Answer, ..door() };
    let tries = "mallory INVITE 1 -> 100 call\nus reject 404 -> 404\n".repeat(19);
    let busy = "mallory INVITE 1 -> 100 call\nus reject 486 -> 486\n".repeat(5);
    let last = "mallory INVITE 1 -> 100 call\nus reject 404 -> banned 404\nmallory INVITE 1 ->";
    check(DoorConfig { per_source_per_s: None, ..door.clone() }, 100, &(tries + &busy + last));
    // Whoever is in a call is not cut off, whatever else comes under its address.
    check(
        door,
        100,
        "mallory INVITE 1 -> 100 call\nus answer -> 200\nmallory ack -> up\nmallory REGISTER 1 x30 -> 405 x30
         mallory in BYE -> 200\nmallory REGISTER 1 x2 -> banned 405,",
    );
}

/// Everything that an answer may have of its question, taken out of both.
fn neutral(bytes: &[u8], user: &str) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace(&format!("sip:{user}@"), "sip:USER@");
    let mut lines = Vec::new();
    for line in text.lines() {
        let end = [";tag=", ";branch=", "Call-ID: ", "nonce="].iter().filter_map(|p| line.find(p)).min();
        lines.push(line.get(..end.unwrap_or(line.len())).unwrap());
    }
    lines.join("\n")
}

#[test]
fn enumeration_learns_nothing() {
    let known = vec![with_digest(trunk("pbx", &["198.51.100.9"]), "agent")];
    let doors = [closed(vec![]), closed(vec![trunk("carrier", &["203.0.113.5"])]), closed(known)];
    for door in doors {
        let door = DoorConfig { bans: None, per_source_per_s: None, ..door };
        for method in ["INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "BYE", "NOTIFY", "FOO"] {
            let mut yard = Yard::new(door.clone(), 4);
            let mut answers = Vec::new();
            // `agent` and `dauys` exist, as far as anything does here; the others do not.
            for user in ["agent", "dauys", "100", "101", "admin", "%61gent", "nobody-of-that-name"] {
                yard.ask(peer("mallory"), method, user, "");
                answers.push(neutral(&yard.sent, user));
                if method == "REGISTER" || method == "INVITE" {
                    let guess = format!(
                        "Authorization: Digest username=\"{user}\", realm=\"dauys\", nonce=\"1\", uri=\"sip:{user}@192.0.2.1\", \
                         response=\"00\"\r\n"
                    );
                    yard.ask(peer("mallory"), method, user, &guess);
                    answers.push(neutral(&yard.sent, user));
                }
            }
            assert!(!answers[0].is_empty() && answers[0].contains("USER"), "{}", answers[0]);
            for answer in &answers {
                assert_eq!(answer, &answers[0], "{method}");
            }
            assert_eq!(yard.endpoint.calls() + yard.endpoint.transactions(), 0);
        }
    }
}

#[test]
fn a_flood_from_everywhere_is_bounded() {
    let trunks = vec![with_digest(trunk("pbx", &[]), "pbx")];
    let door = DoorConfig { sources_max: 1000, ..closed(trunks) };
    let mut yard = Yard::new(door, 100);
    assert_eq!(yard.play("pbx auth pbx right"), "100 call:pbx");
    for n in 0..40_000u32 {
        let from = Peer::udp(SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + n / 25).into(), 5060));
        yard.ask(from, "INVITE", "100", "");
        yard.now += Duration::from_micros(100);
    }
    let [sources, bans, friends, nonces, connections] = yard.endpoint.door_sizes();
    assert!(sources <= 1000 && (1..=1000).contains(&bans), "{sources} {bans}");
    assert_eq!((friends, nonces, connections), (1, 1, 0));
    assert_eq!((yard.endpoint.calls(), yard.endpoint.transactions()), (1, 1));
    let stats = yard.endpoint.stats();
    assert_eq!((stats.banned, stats.banned_dropped), (1600, 8000));
    // Who proved a password before the flood is still known.
    assert_eq!(yard.play("pbx OPTIONS 1 x200"), "200 x200");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_authorization(texts in prop::collection::vec("(Digest realm=\"dauys\",)?[ -~\u{e4}]{0,120}", 0..4), agent in "[ -~]{0,40}") {
        let mut yard = Yard::new(closed(vec![with_digest(trunk("pbx", &[]), "pbx")]), 4);
        let lines: String = texts.iter().map(|t| format!("Authorization: {t}\r\n")).collect();
        let got = yard.ask(peer("mallory"), "INVITE", "100", &format!("User-Agent: {agent}\r\n{lines}"));
        prop_assert_eq!(got, "401");
    }
}
