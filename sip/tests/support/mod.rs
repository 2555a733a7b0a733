//! A stage for one endpoint: a peer made of text, a clock made of numbers, a transcript to compare. Opens no socket.
#![allow(dead_code)]

use sip::message::{self, Message, Name, StartLine};
use sip::{CallHandle, Endpoint, EndpointConfig, InviteRequest, Output, Peer, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub mod client;
pub mod world;

pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Whom `us: refer` names by itself.
pub const TARGET: &str = "sip:carol@192.0.2.20";

/// The only look at the real clock: something to count from.
#[allow(clippy::disallowed_methods)]
pub fn base() -> Instant {
    Instant::now()
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn us() -> SocketAddr {
    addr("192.0.2.1:5060")
}

pub fn peer() -> SocketAddr {
    addr("192.0.2.10:5060")
}

/// Plays a script and compares. Inputs: `peer:`, `us:`, `wait`, `count`; every other line is what must
/// come out, in this order, `@+500ms` after the last input but `wait`.
pub fn check(script: &str) {
    check_with(EndpointConfig::new(us(), 1), script);
}

pub fn check_with(config: EndpointConfig, script: &str) {
    check_shown(config, &[], script);
}

/// With more of what comes out in the transcript: headers by name, and `sdp` where there is one.
pub fn check_shown(config: EndpointConfig, shown: &[&'static str], script: &str) {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let mut stage = Stage::new(config);
    stage.shown = shown.to_vec();
    for line in lines.iter().filter(|l| is_input(l)) {
        stage.play(line);
    }
    let expected = lines.join("\n");
    let got = stage.transcript.join("\n");
    assert_eq!(got, expected, "\n--- got ---\n{got}\n--- expected ---\n{expected}\n");
}

fn is_input(line: &str) -> bool {
    ["peer:", "us:", "wait ", "count"].iter().any(|p| line.starts_with(p))
}

pub fn millis(text: &str) -> u64 {
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().unwrap(),
        None => (text.strip_suffix('s').unwrap().parse::<f64>().unwrap() * 1000.0) as u64,
    }
}

pub struct Stage {
    pub endpoint: Endpoint,
    pub now: Instant,
    since: Instant,
    pub transcript: Vec<String>,
    call: Option<CallHandle>,
    call_id: String,
    /// Our tags of other calls, by Call-ID.
    tags: BTreeMap<String, String>,
    /// Ours, as the peer learnt it.
    our_tag: Option<String>,
    peer_tag: String,
    /// Their number.
    cseq: u32,
    branches: u32,
    last: Vec<u8>,
    last_invite: Vec<u8>,
    ok_cseq: u32,
    /// Requests of ours that came out, newest last.
    pub requests: Vec<Vec<u8>>,
    pub responses: Vec<Vec<u8>>,
    shown: Vec<&'static str>,
    /// Every call that was heard of.
    calls: BTreeSet<CallHandle>,
    /// RSeq and CSeq of our newest reliable response, and RSeq of the first.
    rack: Option<(u32, u32, u32)>,
}

impl Stage {
    pub fn new(config: EndpointConfig) -> Self {
        let now = base();
        Self {
            endpoint: Endpoint::new(config),
            now,
            since: now,
            transcript: Vec::new(),
            call: None,
            call_id: "c1".to_owned(),
            tags: BTreeMap::new(),
            our_tag: None,
            peer_tag: "pt".to_owned(),
            cseq: 0,
            branches: 0,
            last: Vec::new(),
            last_invite: Vec::new(),
            ok_cseq: 1,
            requests: Vec::new(),
            responses: Vec::new(),
            shown: Vec::new(),
            calls: BTreeSet::new(),
            rack: None,
        }
    }

    pub fn play(&mut self, line: &str) {
        self.transcript.push(line.to_owned());
        if let Some(span) = line.strip_prefix("wait ") {
            let until = self.now + Duration::from_millis(millis(span));
            while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
                self.now = self.now.max(at);
                self.endpoint.handle_timeout(self.now);
                self.drain();
            }
            self.now = until;
            return;
        }
        self.since = self.now;
        if line == "count" {
            let (calls, transactions) = (self.endpoint.calls(), self.endpoint.transactions());
            self.transcript.push(format!("= {calls} calls, {transactions} transactions"));
        } else if let Some(words) = line.strip_prefix("peer:") {
            let bytes = self.peer_message(words.trim());
            self.feed(&bytes);
        } else if let Some(words) = line.strip_prefix("us:") {
            self.command(words.trim());
        }
        self.drain();
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.endpoint.handle(self.now, Peer::udp(peer()), bytes);
    }

    /// Whatever is still there is not wanted any more.
    pub fn hang_up_all(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            let _ = self.endpoint.hangup(self.now, call, None);
        }
        self.drain();
    }

    fn command(&mut self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let call = self.call;
        let status = words.get(1).and_then(|w| w.parse().ok()).unwrap_or(0);
        let (e, now) = (&mut self.endpoint, self.now);
        let result = match words[0] {
            "ring" => e.ring(now, call.unwrap()),
            // `progress 183 sdp`
            "progress" => e.progress(now, call.unwrap(), status, words.get(2).map(|_| SDP)),
            "answer" => e.answer(now, call.unwrap(), SDP),
            "reject" => {
                let after = words.get(2).map(|w| Duration::from_millis(millis(w)));
                e.reject(now, call.unwrap(), status, after)
            }
            "hangup" => {
                let reason = (status != 0).then(|| Reason::sip(status, "Call \"done\""));
                e.hangup(now, call.unwrap(), reason)
            }
            "cancel" => e.cancel(now, call.unwrap()),
            "accept" => e.accept_reinvite(now, call.unwrap(), SDP),
            "refuse" => e.reject_reinvite(now, call.unwrap(), status),
            "reinvite" => e.reinvite(now, call.unwrap(), SDP),
            "accept_refer" => e.accept_refer(now, call.unwrap()),
            "reject_refer" => e.reject_refer(now, call.unwrap(), status),
            "refer_progress" => e.refer_progress(now, call.unwrap(), status),
            "refer" => e.refer(now, call.unwrap(), words.get(1).unwrap_or(&TARGET)),
            "invite" => e.invite(now, invite_request()).map(|c| {
                self.call = Some(c);
                self.calls.insert(c);
            }),
            other => panic!("unknown command {other}"),
        };
        if let Err(error) = result {
            self.transcript.push(format!("! {error:?}"));
        }
    }

    /// `INVITE`, `INVITE require=x`, `ACK`, `again`, `200 INVITE`, `200 INVITE tag=other` ...
    pub fn peer_message(&mut self, words: &str) -> Vec<u8> {
        let mut words = words.split(' ');
        let first = words.next().unwrap();
        let options: Vec<&str> = words.collect();
        let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
        if first == "again" {
            return if options.contains(&"INVITE") { self.last_invite.clone() } else { self.last.clone() };
        }
        let bytes = if first.starts_with(|c: char| c.is_ascii_digit()) {
            self.response(first, options[0], option("tag"), options.contains(&"sdp"), &options)
        } else {
            self.request(first, &options)
        };
        if first == "INVITE" || first == "REINVITE" {
            self.last_invite.clone_from(&bytes);
        }
        self.last.clone_from(&bytes);
        bytes
    }

    fn request(&mut self, name: &str, options: &[&str]) -> Vec<u8> {
        let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
        let method = if name == "REINVITE" { "INVITE" } else { name };
        // ACK of a failure and CANCEL repeat their INVITE's branch; everything else has its own.
        let is_hop = method == "CANCEL" || options.contains(&"hop");
        if !is_hop {
            self.branches += 1;
        }
        if !matches!(method, "ACK" | "CANCEL") {
            self.cseq = option("cseq").map_or(self.cseq + 1, |c| c.parse().unwrap());
        }
        if method == "INVITE" {
            self.ok_cseq = self.cseq;
        }
        let cseq = if method == "ACK" { self.ok_cseq } else { self.cseq };
        let cseq = option("cseq").map_or(cseq, |c| c.parse().unwrap());
        let branch = option("branch").map_or(format!("z9hG4bKp{}", self.branches), str::to_owned);
        let inside = !matches!(name, "INVITE" | "CANCEL") && !options.contains(&"outside");
        let other = option("call").filter(|c| *c != self.call_id).and_then(|c| self.tags.get(c));
        let to_tag = match option("to") {
            Some(tag) => format!(";tag={tag}"),
            None => other.or(self.our_tag.as_ref()).filter(|_| inside).map(|t| format!(";tag={t}")).unwrap_or_default(),
        };
        let call_id = option("call").unwrap_or(&self.call_id).to_owned();
        let uri = option("uri").unwrap_or("sip:agent@192.0.2.1");
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: \"Caller\" <sip:alice@192.0.2.10>;tag={}\r\nTo: <sip:agent@192.0.2.1>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@192.0.2.10:5060>\r\n",
            self.peer_tag
        );
        for (key, header) in
            [("require", "Require"), ("expires", "Expires"), ("accept", "Accept"), ("reason", "Reason")]
        {
            if let Some(value) = option(key) {
                let _ = write!(text, "{header}: {value}\r\n");
            }
        }
        if name == "PRACK" {
            let (rseq, cseq, _) = self.rack.unwrap_or((1, 1, 1));
            let rack = option("rack").map_or(format!("{rseq} {cseq} INVITE"), |r| r.replace('_', " "));
            let _ = write!(text, "RAck: {rack}\r\n");
        }
        // `OURS`: our tag, as a Replaces header needs it.
        text.push_str(&more_headers(options).replace("OURS", self.our_tag.as_deref().unwrap_or("none")));
        if name == "NOTIFY" {
            for (key, header, usual) in [("event", "Event", "refer"), ("state", "Subscription-State", "active")] {
                let value = option(key).unwrap_or(usual);
                let _ = if value == "none" { Ok(()) } else { write!(text, "{header}: {value}\r\n") };
            }
        }
        let (kind, body) = match name {
            "INVITE" | "REINVITE" if !options.contains(&"noffer") => ("application/sdp", SDP.to_owned()),
            "ACK" | "UPDATE" | "PRACK" if options.contains(&"sdp") => ("application/sdp", SDP.to_owned()),
            "INFO" => ("application/dtmf-relay", format!("Signal={}\r\nDuration=100\r\n", options[0])),
            // `NOTIFY 200`, or any bytes: `NOTIFY body=SIP/2.0_x`; `_` is a space.
            "NOTIFY" => ("message/sipfrag;version=2.0", notify_body(options)),
            _ => ("", String::new()),
        };
        let kind = option("type").unwrap_or(kind);
        if !body.is_empty() {
            let _ = write!(text, "Content-Type: {kind}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        text.into_bytes()
    }

    /// To our newest request of a method; `old`: to the oldest.
    fn response(&mut self, status: &str, method: &str, tag: Option<&str>, sdp: bool, options: &[&str]) -> Vec<u8> {
        let wanted = |b: &&Vec<u8>| b.starts_with(format!("{method} ").as_bytes());
        let found = if options.contains(&"old") {
            self.requests.iter().find(wanted)
        } else {
            self.requests.iter().rev().find(wanted)
        };
        let bytes = found.expect("such a request came out").clone();
        let request = message::parse(&bytes).unwrap();
        let text = |name| request.header(name).unwrap().text().into_owned();
        let mut to = text(Name::To);
        if status != "100" && !to.contains(";tag=") {
            let _ = write!(to, ";tag={}", tag.unwrap_or(&self.peer_tag));
        }
        let mut out = format!(
            "SIP/2.0 {status} X\r\nVia: {};received=192.0.2.77\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:bob@192.0.2.10:5060>\r\n",
            text(Name::Via).replace(";rport", ";rport=5099"),
            text(Name::From),
            text(Name::CallId),
            text(Name::CSeq)
        );
        if let Some(value) = options.iter().find_map(|o| o.strip_prefix("retry=")) {
            let _ = write!(out, "Retry-After: {value}\r\n");
        }
        out.push_str(&more_headers(options));
        let body = if sdp { SDP } else { "" };
        if sdp {
            out.push_str("Content-Type: application/sdp\r\n");
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
        out.into_bytes()
    }

    /// Takes what came out into the transcript.
    pub fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            let label = match &output {
                Output::Banned(_) => "! Banned".to_owned(),
                Output::Event(event) => {
                    self.call = event.call();
                    self.calls.extend(event.call());
                    format!("! {event:?}")
                }
                Output::Send { bytes, .. } => self.sent(bytes),
            };
            let offset = (self.now - self.since).as_millis();
            let at = if offset == 0 { String::new() } else { format!("@+{offset}ms ") };
            self.transcript.push(at + &label);
        }
    }

    fn sent(&mut self, bytes: &[u8]) -> String {
        let parsed = message::parse(bytes).unwrap();
        assert!(parsed.defect.is_none(), "we sent a malformed message");
        let header = |name| parsed.header(name).map(|h| h.text().into_owned());
        let mut label = label(&parsed);
        for name in [Name::RetryAfter, Name::Unsupported, Name::Reason] {
            if let Some(value) = header(name) {
                let _ = write!(label, " {}: {value}", name.as_str());
            }
        }
        self.show(&parsed, &mut label);
        if parsed.is_request() {
            self.requests.push(bytes.to_vec());
            self.call_id = header(Name::CallId).unwrap();
            self.our_tag = header(Name::From).and_then(|f| f.split_once(";tag=").map(|(_, t)| t.to_owned()));
        } else {
            self.responses.push(bytes.to_vec());
            let dialog = label.contains("INVITE") && header(Name::CallId).as_deref() == Some(&self.call_id);
            let tag = header(Name::To).and_then(|f| f.split_once(";tag=").map(|(_, t)| t.to_owned()));
            if dialog && self.our_tag.is_none() {
                self.our_tag = tag;
            } else if let Some(tag) = tag.filter(|_| !dialog) {
                self.tags.insert(header(Name::CallId).unwrap(), tag);
            }
        }
        label
    }

    /// The headers this script wants to see. RSeq counts from the first, which nobody can guess.
    fn show(&mut self, parsed: &Message<'_>, label: &mut String) {
        let text = |name: &str| parsed.headers.iter().find(|h| h.name == name).map(|h| h.text().into_owned());
        if let Some(rseq) = text("RSeq").map(|t| t.parse().unwrap()) {
            let cseq = text("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
            let first = self.rack.map_or(rseq, |(_, _, first)| first);
            self.rack = Some((rseq, cseq, first));
        }
        for name in &self.shown {
            match (*name, text(name)) {
                ("sdp", _) if parsed.body.starts_with(b"v=0") => label.push_str(" +sdp"),
                ("body", _) => label.push_str(&format!(" {}", String::from_utf8_lossy(parsed.body).trim_end())),
                ("RSeq", Some(_)) => {
                    let (rseq, _, first) = self.rack.unwrap();
                    let _ = write!(label, " RSeq: +{}", rseq - first);
                }
                (_, Some(value)) => {
                    let _ = write!(label, " {name}: {value}");
                }
                _ => {}
            }
        }
    }
}

/// `+Name=value` is a header; `_` in the value is a space.
pub fn more_headers(options: &[&str]) -> String {
    let pairs = options.iter().filter_map(|o| o.strip_prefix('+')?.split_once('='));
    pairs.map(|(name, value)| format!("{name}: {}\r\n", value.replace('_', " "))).collect()
}

fn notify_body(options: &[&str]) -> String {
    match options.first().and_then(|o| o.parse::<u16>().ok()) {
        Some(status) => format!("SIP/2.0 {status} X\r\n"),
        None => options.iter().find_map(|o| o.strip_prefix("body=")).unwrap_or_default().replace('_', " "),
    }
}

/// `> 200 INVITE` or `> BYE`.
pub fn label(parsed: &Message<'_>) -> String {
    match parsed.start {
        StartLine::Request { method, .. } => format!("> {method}"),
        StartLine::Response { status, .. } => {
            let cseq = parsed.header(Name::CSeq).map(|h| h.text().into_owned()).unwrap_or_default();
            format!("> {status} {}", cseq.split(' ').nth(1).unwrap_or_default())
        }
    }
}

pub fn invite_request() -> InviteRequest {
    InviteRequest {
        from_user: "agent".to_owned(),
        headers: vec![("X-Test".to_owned(), "a\r\nInjected: b".to_owned())],
        ..InviteRequest::new(vec![Peer::udp(peer())], "sip:bob@example.com", Some(SDP.to_owned()))
    }
}
