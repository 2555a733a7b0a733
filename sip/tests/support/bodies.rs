//! What must hold for any bytes, reader by reader: the bodies of the fuzz targets and of the property tests. Bytes come in; a broken promise is a panic.
#![allow(dead_code)]

use crate::generate::{Dice, edited};
use sip::auth::{Account, Client, Credentials, Guard, GuardConfig, Signed, Verdict};
use sip::header::{self, NameAddr, Request, Response, Via};
use sip::message::{self, Name, StartLine};
use sip::sdp::{self, Candidate, Codec, Fingerprint, LocalIce, LocalMedia, Protection, SrtpKeys, SrtpPolicy};
use sip::stream::{Framed, Framer};
use sip::uri::Uri;
use sip::{Private, Transport};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Framing, every header with a parser of its own, printing.
pub fn message(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    values(&text);
    let Ok(framed) = message::parse(bytes) else { return };
    let printed = message::print(&framed);
    if framed.defect.is_none() {
        let again = message::parse(&printed).expect("what is printed can be read");
        assert!(again.defect.is_none(), "what is printed is well-formed");
        assert_eq!(again.headers, framed.headers);
        assert_eq!(message::print(&again), printed);
    }
    for header in &framed.headers {
        assert!(!header.value.contains(&b'\r') && !header.value.contains(&b'\n'), "a value is one line");
        values(&header.text());
    }
    let is_defect = framed.defect.is_some();
    let read = match framed.start {
        StartLine::Request { .. } => Request::read(framed).map(|r| format!("{r:?}")).ok(),
        StartLine::Response { .. } => Response::read(framed).map(|r| format!("{r:?}")).ok(),
    };
    assert!(!is_defect || read.is_none(), "a defect is never overlooked");
}

fn values(text: &str) {
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(Uri::parse(uri.as_str()).as_ref(), Ok(&uri));
        let _ = (uri.user(), uri.peer(Transport::Udp), uri.transport());
    }
    // A list of one is that one.
    if let Some(list) = NameAddr::parse_list(text)
        && let [one] = list.as_slice()
    {
        assert_eq!(NameAddr::parse(text).as_ref(), Some(one));
    }
    if let Some(list) = Via::parse_list(text)
        && let [one] = list.as_slice()
    {
        assert_eq!(Via::parse(text.trim()).as_ref(), Some(one));
    }
    let _ = (header::CSeq::parse(text), header::reason(text), header::retry_after_s(text), header::tokens(text));
    let _ = (header::token_params(text), header::content_type(text));
}

/// A description, our answer to it, and our offer answered by it; with SRTP, ICE and a data channel, and without. And
/// the same as a part of one.
pub fn sdp(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(ice) = sdp::ice_fragment(&text) {
        assert!((4..=256).contains(&ice.ufrag.len()) && (22..=256).contains(&ice.pwd.len()), "bounded");
    }
    let Ok(session) = sdp::parse(&text) else { return };
    let plain = LocalMedia::new("192.0.2.1:40000".parse().unwrap(), 1);
    let protection = Protection {
        policy: SrtpPolicy::Optional,
        keys: Some(SrtpKeys::new([1; SrtpKeys::RANDOM_BYTES])),
        fingerprint: Fingerprint::parse(&format!("sha-256 {}", ["02"; 32].join(":"))),
        trusts_signalling: true,
    };
    let ice = Some(LocalIce::new([3; 20]));
    let codecs = Codec::ALL.to_vec();
    let full = LocalMedia { codecs, comfort_noise: true, rtcp_xr: true, protection, ice, ..plain.clone() };
    let candidates = vec![Candidate::udp(plain.address), Candidate::tcp(plain.address)];
    for local in [plain.clone(), full.clone(), LocalMedia { candidates, data: true, ..full }] {
        let _ = (format!("{session:?}"), session.is_hold(), sdp::accept(&local, &session));
        let Ok(negotiated) = sdp::answer(&session, &local) else { continue };
        assert!(!negotiated.body.replace("\r\n", "").contains(['\r', '\n', '\0']), "a line of ours is one line");
        let answer = sdp::parse(&negotiated.body).expect("what we answer can be read");
        // RFC 3264 6: as many sections, of the same kinds, in the same order.
        let shape = |s: &sdp::Session| s.media.iter().map(|m| (m.kind.clone(), m.protocol.clone())).collect::<Vec<_>>();
        assert_eq!(shape(&answer), shape(&session));
        let taken: Vec<&str> = answer.media.iter().filter(|m| m.port != 0).map(|m| m.kind.as_str()).collect();
        let of = |kind: &str| taken.iter().filter(|k| **k == kind).count();
        assert_eq!(
            (of("audio"), of("application")),
            (1, usize::from(negotiated.data)),
            "one section is taken of a kind"
        );
        assert_eq!(taken.len(), 1 + usize::from(negotiated.data), "and no other");
        assert!(local.data || !negotiated.data);
        assert!(negotiated.receive.len() <= 8, "bounded");
        again(local, &negotiated);
    }
}

/// What we agreed to can be offered again, whoever we agreed with.
fn again(mut local: LocalMedia, negotiated: &sdp::Negotiated) {
    local.settle(negotiated);
    let ours = sdp::ice_fragment(&sdp::local_fragment(&local).replace("a=ice-lite", "")).map(|ice| ice.pwd);
    let expected = local.ice.as_ref().filter(|_| negotiated.ice.is_some()).map(LocalIce::pwd);
    assert_eq!(ours.as_deref(), expected, "what we print can be read");
    let offer = sdp::offer(&local);
    assert!(!offer.replace("\r\n", "").contains(['\r', '\n', '\0']), "a line of ours is one line");
    let answered = sdp::answer(&sdp::parse(&offer).expect("what we offer can be read"), &local);
    assert_eq!(answered.expect("we take what we offer").security.name(), negotiated.security.name());
}

/// Challenges and credentials as they come, and edited ones between a client and a guard.
pub fn auth(bytes: &[u8]) {
    let split = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (text, chance) = bytes.split_at(split);
    let text = String::from_utf8_lossy(text);
    let values: Vec<&str> = text.split('\n').collect();
    let mut dice = Dice::new(chance);
    let mut session = Login::new();
    session.client("right").challenged(&values, false).ok();
    assert!(!matches!(session.check(&values), Verdict::Ok(())), "nobody gets in with what was never challenged");
    for _ in 0..2 {
        session.now += Duration::from_secs(u64::from(dice.byte()));
        let challenge = session.guard.challenge(session.now, session.source, false);
        let edited_challenge = flawed(&mut dice, &challenge);
        for (password, challenge) in [("right", &challenge), ("wrong", &challenge), ("wrong", &edited_challenge)] {
            let mut client = session.client(password);
            if client.challenged(&challenge.iter().map(String::as_str).collect::<Vec<_>>(), false).is_err() {
                continue;
            }
            let sent: Vec<String> =
                client.authorize(7, "INVITE", "sip:a@b", b"body").into_iter().map(|(_, value)| value).collect();
            let is_right = password == "right" && sent.len() == 1;
            let verdict = session.check(&sent.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(matches!(verdict, Verdict::Ok(())), is_right, "the right password, and no other");
            let again = flawed(&mut dice, &sent);
            let verdict = session.check(&again.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(!matches!(verdict, Verdict::Ok(())), "used once already, or never right");
        }
        assert!(session.guard.nonces() <= 3);
    }
}

fn flawed(dice: &mut Dice<'_>, values: &[String]) -> Vec<String> {
    let one = |value: &String| String::from_utf8_lossy(&edited(dice, value.clone().into_bytes())).into_owned();
    values.iter().map(one).collect()
}

struct Login {
    guard: Guard,
    uri: Uri,
    now: Instant,
    source: IpAddr,
}

impl Login {
    fn new() -> Self {
        let config = GuardConfig { nonces_max: 3, ..GuardConfig::default() };
        let (uri, source) = (Uri::parse("sip:a@b").unwrap(), "192.0.2.7".parse().unwrap());
        Self { guard: Guard::new(config, 1), uri, now: base(), source }
    }

    fn client(&self, password: &str) -> Client {
        let password = Private::new(password.to_owned());
        Client::new(Credentials { user: "alice".to_owned(), password, realm: None })
    }

    fn check(&mut self, values: &[&str]) -> Verdict<()> {
        let signed = Signed { source: self.source, method: "INVITE", uri: &self.uri, body: b"body" };
        let account =
            |name: &str| (name == "alice").then_some(Account { who: (), password: "right", allows_md5: true });
        self.guard.check(self.now, &signed, values, account)
    }
}

/// A stream gives the same messages however it was cut on its way. The first byte says how.
pub fn stream(bytes: &[u8]) {
    let Some((cuts, bytes)) = bytes.split_first() else { return };
    let whole = frames(bytes.chunks(bytes.len().max(1)));
    let pieces = frames(bytes.chunks(usize::from(*cuts % 64) + 1));
    assert_eq!(whole, pieces, "how a stream was cut changes nothing");
    for frame in whole.iter().filter(|f| f.len() > 4) {
        let framed = message::parse(frame).expect("what was cut out is a message");
        let end = frame.len() - framed.body.len();
        assert_eq!(framed.body, &frame[end..], "a message ends where its body does");
        assert!(framed.header(Name::ContentLength).is_some() || framed.body.is_empty());
    }
}

/// Messages as they are, `+` for a ping, the error at the end.
fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut framer, mut found) = (Framer::new(), Vec::new());
    for chunk in chunks {
        framer.push(chunk);
        while let Some(next) = framer.next() {
            match next {
                Ok(Framed::Message(message)) => found.push(message.to_vec()),
                Ok(Framed::Ping) => found.push(b"+".to_vec()),
                Ok(Framed::Pong) => {}
                Err(_) => found.push(b"!".to_vec()),
            }
        }
    }
    if let Some(refusal) = framer.refusal() {
        assert!(message::parse(&refusal).is_ok_and(|m| m.defect.is_none()), "a refusal is a message");
    }
    found
}

/// The only look at the real clock: something to count from.
#[allow(clippy::disallowed_methods)]
pub fn base() -> Instant {
    Instant::now()
}
