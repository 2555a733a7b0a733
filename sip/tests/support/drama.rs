//! An endpoint whose peers, user and clock follow the dice: calls, answers, lies, silence. It checks what holds whatever they do; it knows no rule of SIP better than that.
#![allow(dead_code)]

use crate::bodies;
use crate::generate::{Dice, edited};
use sip::auth::Credentials;
use sip::door::{DoorConfig, TrunkRule};
use sip::message::{self, Message, Name};
use sip::{
    CallHandle, Connection, Endpoint, EndpointConfig, Event, InviteRequest, Output, Peer, Private, RegisterRequest,
    RegistrationHandle, Transport,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const CALLS_MAX: usize = 4;
const TRANSACTIONS_MAX: usize = 16;
/// Messages of ours that the peers remember.
const REMEMBERED: usize = 8;
/// More than enough for every timer of everything that can be open at once.
const REST_STEPS: usize = 20_000;

const STATUSES: [u16; 24] = [
    100, 180, 183, 199, 200, 202, 300, 302, 400, 401, 407, 408, 415, 420, 422, 423, 481, 486, 487, 488, 491, 503, 600,
    699,
];
const METHODS: [&str; 14] = [
    "INVITE",
    "BYE",
    "INFO",
    "OPTIONS",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "MESSAGE",
    "REGISTER",
    "SUBSCRIBE",
    "ACK",
    "CANCEL",
    "NEW",
];
const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const BODIES: [(&str, &str); 7] = [
    ("", ""),
    ("application/sdp", SDP),
    ("application/sdp", "v=0\r\nm=audio 0 RTP/AVP 0\r\n"),
    ("application/sdp", "v=1"),
    ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"),
    ("message/sipfrag", "SIP/2.0 200 OK\r\n"),
    ("multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--\r\n"),
];
const HEADERS: [&str; 28] = [
    "Contact: <sip:bob@192.0.2.10:5060>",
    "Contact: <sip:bob@192.0.2.11;transport=tcp>, <sip:c@192.0.2.12>;q=0.5",
    "Contact: *",
    "Record-Route: <sip:192.0.2.40;lr>",
    "Record-Route: <sip:192.0.2.41>",
    "Require: 100rel",
    "Supported: timer, 100rel, replaces, norefersub",
    "Require: nothing",
    "Session-Expires: 90;refresher=uac",
    "Session-Expires: 90;refresher=uas",
    "Min-SE: 4000000000",
    "RSeq: 1",
    "RSeq: 4294967295",
    "RAck: 1 1 INVITE",
    "Replaces: c0;to-tag=t;from-tag=p0",
    "Refer-To: <sip:x@192.0.2.20?Replaces=c0%3Bto-tag%3Dt%3Bfrom-tag%3Dp0>",
    "Refer-To: <sip:x@192.0.2.20>",
    "Event: refer",
    "Subscription-State: terminated;reason=noresource",
    "Subscription-State: active;expires=4294967295",
    "Expires: 0",
    "Expires: 1",
    "Retry-After: 5",
    "Reason: Q.850;cause=16",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256",
    "Min-Expires: 4294967295",
    "P-Asserted-Identity: <sip:+1@192.0.2.10>",
];

/// Plays until there is no more chance, ends every call and waits for rest.
pub fn play(chance: &[u8]) {
    let mut dice = Dice::new(chance);
    let mut drama = Drama::new(&mut dice);
    while !dice.is_empty() {
        drama.step(&mut dice);
        drama.check();
    }
    drama.finish();
}

struct Drama {
    endpoint: Endpoint,
    now: Instant,
    /// False: not ended yet.
    calls: BTreeMap<CallHandle, bool>,
    registrations: BTreeMap<RegistrationHandle, bool>,
    /// Ours, newest first.
    requests: VecDeque<Vec<u8>>,
    responses: VecDeque<Vec<u8>>,
    /// Theirs, the last.
    last: Vec<u8>,
    number: u32,
}

impl Drama {
    fn new(dice: &mut Dice<'_>) -> Self {
        let mut config = EndpointConfig::new("192.0.2.1:5060".parse().unwrap(), 3);
        (config.max_calls, config.max_transactions) = (CALLS_MAX, TRANSACTIONS_MAX);
        config.listeners = vec![Peer::new(Transport::Tcp, "192.0.2.1:5060".parse().unwrap())];
        config.follow_refer = !dice.rarely(4);
        config.accept_replaces = !dice.rarely(4);
        config.refer_sub = !dice.rarely(4);
        config.session_expires = dice.rarely(2).then_some(Duration::from_secs(90));
        if dice.rarely(4) {
            // One trunk, known by its digest; bans and limits.
            let trunk = TrunkRule { name: "t".to_owned(), credentials: Some(credentials()), ..TrunkRule::default() };
            config.door = DoorConfig { trunks: vec![trunk], sources_max: 4, ..DoorConfig::default() };
        }
        Self {
            endpoint: Endpoint::new(config),
            now: bodies::base(),
            calls: BTreeMap::new(),
            registrations: BTreeMap::new(),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            last: Vec::new(),
            number: 1,
        }
    }

    fn step(&mut self, dice: &mut Dice<'_>) {
        match dice.below(16) {
            0 | 1 => self.invite_us(dice),
            2..=4 => self.respond(dice),
            5 | 6 => self.request_inside(dice),
            7 => self.acknowledge(dice),
            8 => {
                let bytes = dice.rest();
                let (now, later) = bytes.split_at(bytes.len() / 2);
                self.hear(dice, now.to_vec());
                *dice = Dice::new(later);
            }
            9 => self.hear(dice, self.last.clone()),
            10 => {
                let bytes = edited(dice, self.last.clone());
                self.hear(dice, bytes);
            }
            11 => self.pass(Duration::from_millis(u64::from(dice.byte()) << dice.below(12))),
            12 => {
                let until = self.endpoint.deadline().unwrap_or(self.now);
                self.pass(until.saturating_duration_since(self.now));
            }
            13 => {
                let to = peer(dice);
                self.endpoint.unreachable(self.now, to);
            }
            _ => self.command(dice),
        }
        self.poll();
    }

    /// A call to us, its CANCEL, or the same by another way.
    fn invite_us(&mut self, dice: &mut Dice<'_>) {
        let (call, branch) = (dice.below(6), dice.below(8));
        let method = dice.pick(&["INVITE", "CANCEL", "OPTIONS", "REGISTER"]);
        let to_tag = dice.pick(&["", ";tag=nobody"]);
        let head = format!(
            "{method} sip:agent@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{call}{branch};rport\r\n\
             From: <sip:p@192.0.2.10>;tag=p{call}\r\nTo: <sip:agent@192.0.2.1>{to_tag}\r\nCall-ID: c{call}\r\n\
             CSeq: {} {method}\r\n",
            1 + dice.below(2)
        );
        let head = head + &self.in_place_of(dice);
        let bytes = with_rest(dice, head, 1);
        self.hear(dice, bytes);
    }

    /// A Replaces that fits a call of ours (RFC 3891), now and then.
    fn in_place_of(&self, dice: &mut Dice<'_>) -> String {
        let known = self.responses.iter().chain(&self.requests).nth(dice.below(REMEMBERED));
        let Some(known) = known.filter(|_| dice.rarely(6)) else { return String::new() };
        let known = message::parse(known).expect("ours");
        let tag = |name| text(&known, name).split(";tag=").nth(1).unwrap_or_default().to_owned();
        let (local, remote) = if known.is_request() { (Name::From, Name::To) } else { (Name::To, Name::From) };
        let call_id = text(&known, Name::CallId);
        format!("Replaces: {call_id};to-tag={};from-tag={}\r\n", tag(local), tag(remote))
    }

    /// A RAck that fits a provisional response of ours (RFC 3262).
    fn rack(&self) -> String {
        let responses = self.responses.iter().map(|bytes| message::parse(bytes).expect("ours"));
        let reliable =
            responses.map(|r| (text(&r, Name::RSeq), text(&r, Name::CSeq))).find(|(rseq, _)| !rseq.is_empty());
        reliable.map(|(rseq, cseq)| format!("RAck: {rseq} {cseq}\r\n")).unwrap_or_default()
    }

    /// To one of our last requests.
    fn respond(&mut self, dice: &mut Dice<'_>) {
        let index = dice.below(REMEMBERED);
        let Some(request) = self.requests.get(index % self.requests.len().max(1)) else { return };
        let request = message::parse(request).expect("ours");
        let status = STATUSES[dice.below(STATUSES.len())];
        let mut to = text(&request, Name::To);
        let tag = dice.pick(&["t", "u", "v", ""]);
        if !to.contains(";tag=") && !tag.is_empty() {
            let _ = write!(to, ";tag={tag}");
        }
        let head = format!(
            "SIP/2.0 {status} X\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
            text(&request, Name::Via),
            text(&request, Name::From),
            text(&request, Name::CallId),
            text(&request, Name::CSeq)
        );
        let bytes = with_rest(dice, head, 0);
        self.hear(dice, bytes);
    }

    /// In a dialog that one of our last messages belongs to.
    fn request_inside(&mut self, dice: &mut Dice<'_>) {
        let method = METHODS[dice.below(METHODS.len())];
        self.number += 1;
        let number = self.number.wrapping_sub(u32::from(dice.rarely(4)) * 2);
        let Some(mut head) = self.inside(dice, method, number) else { return };
        if method == "PRACK" {
            head += &self.rack();
        }
        let bytes = with_rest(dice, head, 0);
        self.hear(dice, bytes);
    }

    /// Of our last responses to an INVITE, with the number it had.
    fn acknowledge(&mut self, dice: &mut Dice<'_>) {
        let index = dice.below(REMEMBERED);
        let Some(response) = self.responses.get(index % self.responses.len().max(1)) else { return };
        let response = message::parse(response).expect("ours");
        let number = text(&response, Name::CSeq).split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(1);
        let head = format!(
            "ACK sip:agent@192.0.2.1 SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} ACK\r\n",
            text(&response, Name::Via),
            text(&response, Name::From),
            text(&response, Name::To),
            text(&response, Name::CallId)
        );
        let bytes = with_rest(dice, head, 0);
        self.hear(dice, bytes);
    }

    fn inside(&self, dice: &mut Dice<'_>, method: &str, number: u32) -> Option<String> {
        let is_ours = dice.rarely(2);
        let list = if is_ours { &self.requests } else { &self.responses };
        let index = dice.below(REMEMBERED) % list.len().max(1);
        let known = message::parse(list.get(index)?).expect("ours");
        let (mut from, mut to) = (text(&known, Name::From), text(&known, Name::To));
        if is_ours {
            std::mem::swap(&mut from, &mut to);
            if !from.contains(";tag=") {
                let _ = write!(from, ";tag={}", dice.pick(&["t", "u", "v"]));
            }
        }
        let branch = dice.below(32);
        Some(format!(
            "{method} sip:agent@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKi{branch}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n",
            text(&known, Name::CallId)
        ))
    }

    fn hear(&mut self, dice: &mut Dice<'_>, mut bytes: Vec<u8>) {
        let from = peer(dice);
        // Edits of edits grow; datagrams do not.
        bytes.truncate(message::MESSAGE_BYTES_MAX);
        self.endpoint.handle(self.now, from, &bytes);
        self.last = bytes;
    }

    /// Time passes, timer by timer.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        for _ in 0..REST_STEPS {
            let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            assert!(self.endpoint.deadline().is_none_or(|at| at > self.now), "what was due is done");
            self.poll();
        }
        assert!(self.endpoint.deadline().is_none_or(|at| at > until), "time does not stand still");
        self.now = until;
    }

    fn command(&mut self, dice: &mut Dice<'_>) {
        let kind = dice.below(20);
        let open: Vec<CallHandle> = self.calls.iter().filter(|(_, ended)| !**ended).map(|(call, _)| *call).collect();
        let call = open.get(dice.below(8) % open.len().max(1)).copied();
        let (e, now) = (&mut self.endpoint, self.now);
        match (kind, call) {
            (0 | 1, _) => {
                let sdp = (!dice.rarely(4)).then(|| SDP.to_owned());
                let targets = vec![peer(dice), peer(dice)];
                let mut request =
                    InviteRequest::new(targets, dice.pick(&["sip:bob@example.com", "sips:b@h", "tel:1"]), sdp);
                request.credentials = dice.rarely(2).then(credentials);
                if let Ok(call) = e.invite(now, request) {
                    assert!(self.calls.insert(call, false).is_none(), "a handle is never used twice");
                }
            }
            (2, _) => {
                let mut request = RegisterRequest::new(vec![peer(dice)], "sip:192.0.2.9", "sip:1@192.0.2.9", None);
                request.credentials = dice.rarely(2).then(credentials);
                if let Ok(handle) = e.register(now, request) {
                    self.registrations.insert(handle, false);
                }
            }
            (3, _) => drop(e.options(now, peer(dice), "sip:192.0.2.9")),
            (4, _) => e.disconnected(now, Connection(1)),
            (_, None) => {}
            (5, Some(call)) => drop(e.ring(now, call)),
            (6 | 7, Some(call)) => drop(e.answer(now, call, SDP)),
            (8, Some(call)) => drop(e.reject(now, call, STATUSES[dice.below(STATUSES.len())], None)),
            (9, Some(call)) => drop(e.hangup(now, call, None)),
            (10, Some(call)) => drop(e.cancel(now, call)),
            (11, Some(call)) => drop(e.reinvite(now, call, SDP)),
            (12, Some(call)) => drop(e.accept_reinvite(now, call, SDP)),
            (13, Some(call)) => drop(e.reject_reinvite(now, call, 488)),
            (14, Some(call)) => drop(e.refer(now, call, "sip:x@192.0.2.20")),
            (15, Some(call)) => drop(e.progress(now, call, 183, Some(SDP))),
            (16, Some(call)) => drop(e.accept_refer(now, call)),
            (17, Some(call)) => drop(e.reject_refer(now, call, 603)),
            (18, Some(call)) => {
                let other = open[dice.below(open.len())];
                let status = STATUSES[dice.below(STATUSES.len())];
                let _ = e.refer_progress(now, call, status);
                let _ = e.refer_to_call(now, call, other);
            }
            (_, Some(call)) => drop(e.acknowledge(now, call, SDP)),
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { bytes, .. } => self.sent(bytes),
                Output::Event(event) => self.told(&event),
                Output::Banned(_) => {}
            }
        }
    }

    fn sent(&mut self, bytes: Vec<u8>) {
        if self.requests.front() == Some(&bytes) || self.responses.front() == Some(&bytes) {
            return;
        }
        let Ok(framed) = message::parse(&bytes) else {
            assert!(bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0..4)), "what we send is SIP, or a keep-alive");
            return;
        };
        assert!(framed.defect.is_none(), "what we send is well-formed");
        let list = if framed.is_request() { &mut self.requests } else { &mut self.responses };
        list.push_front(bytes);
        list.truncate(REMEMBERED);
    }

    fn told(&mut self, event: &Event) {
        let _ = format!("{event:?}");
        if let Event::Unregistered { registration, .. } = event {
            assert_eq!(self.registrations.insert(*registration, true), Some(false), "a registration ends once");
        }
        let Some(call) = event.call() else { return };
        let ends = matches!(event, Event::Cancelled { .. } | Event::Failed { .. } | Event::Ended { .. });
        let before = self.calls.insert(call, ends);
        let expected = if matches!(event, Event::Incoming { .. }) { None } else { Some(false) };
        assert_eq!(before, expected, "a call begins once, ends once, and then is silent: {event:?}");
    }

    fn check(&self) {
        assert!(self.endpoint.calls() <= CALLS_MAX && self.endpoint.transactions() <= TRANSACTIONS_MAX);
    }

    /// We leave every call; nobody says anything any more; nothing is left.
    fn finish(&mut self) {
        let open =
            |list: &BTreeMap<CallHandle, bool>| list.iter().filter(|(_, e)| !**e).map(|(c, _)| *c).collect::<Vec<_>>();
        for call in open(&self.calls) {
            self.endpoint.hangup(self.now, call, None).expect("a call can be left at any time");
            self.poll();
        }
        assert!(open(&self.calls).is_empty(), "every call has ended");
        for (handle, ended) in self.registrations.clone() {
            if !ended {
                let _ = self.endpoint.unregister(self.now, handle);
                self.poll();
            }
        }
        for _ in 0..REST_STEPS {
            let Some(at) = self.endpoint.deadline() else { break };
            self.pass(at.saturating_duration_since(self.now));
        }
        assert_eq!((self.endpoint.deadline(), self.endpoint.calls(), self.endpoint.transactions()), (None, 0, 0));
        assert!(self.registrations.values().all(|ended| *ended), "every registration has ended");
    }
}

fn credentials() -> Credentials {
    Credentials { user: "a".to_owned(), password: Private::new("b".to_owned()), realm: None }
}

fn peer(dice: &mut Dice<'_>) -> Peer {
    match dice.below(16) {
        0 => Peer::connected(Transport::Tcp, "192.0.2.10:5061".parse().unwrap(), Connection(1)),
        1 => Peer::udp("[2001:db8::10]:5060".parse().unwrap()),
        2 => Peer::new(Transport::Tcp, "192.0.2.11:5060".parse().unwrap()),
        _ => Peer::udp("192.0.2.10:5060".parse().unwrap()),
    }
}

fn text(message: &Message<'_>, name: Name) -> String {
    message.header(name).map(|h| h.text().into_owned()).unwrap_or_default()
}

/// More headers, and a body: number `usual` where the dice say nothing else.
fn with_rest(dice: &mut Dice<'_>, head: String, usual: usize) -> Vec<u8> {
    let mut text = head;
    for _ in 0..dice.below(4) {
        let _ = write!(text, "{}\r\n", HEADERS[dice.below(HEADERS.len())]);
    }
    let (kind, body) = BODIES[(dice.below(BODIES.len()) + usual) % BODIES.len()];
    if !kind.is_empty() {
        let _ = write!(text, "Content-Type: {kind}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}
