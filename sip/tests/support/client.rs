//! A stage for the client side: peers by name and road, answers of any kind, calls, registrations and OPTIONS of ours. Opens no socket.
#![allow(dead_code)]

use sip::auth::Credentials;
use sip::message::{self, Message, Name, StartLine};
use sip::{
    CallHandle, Connection, Endpoint, EndpointConfig, Event, InviteRequest, Output, Peer, PingHandle, Private, Reason,
    RegisterRequest, RegistrationHandle, Transport,
};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// As a digest asks.
const CHALLENGE: &str = "Digest realm=\"pbx\", nonce=\"n";

/// `udp:a`, `tcp:b`, `tls:c` ... at 192.0.2.10, .11, .12; `tcp:a:5080/7`: at port 5080 by connection 7.
pub fn road(name: &str) -> Peer {
    let (transport, rest) = name.split_once(':').unwrap();
    let transport = Transport::parse(transport).unwrap();
    let (host, connection) = rest.split_once('/').map_or((rest, None), |(h, c)| (h, Some(c.parse().unwrap())));
    let (host, port) = host.split_once(':').map_or((host, transport.default_port()), |(h, p)| (h, p.parse().unwrap()));
    let last = 10 + u8::try_from(host.chars().next().unwrap()).unwrap() - b'a';
    let address = SocketAddr::new([192, 0, 2, last].into(), port);
    Peer { address, transport, connection: connection.map(Connection) }
}

fn name_of(peer: Peer) -> String {
    let last = peer.address.to_string();
    let (ip, port) = last.rsplit_once(':').unwrap();
    let host = char::from(b'a' + ip.rsplit_once('.').unwrap().1.parse::<u8>().unwrap().wrapping_sub(10));
    let port = if port == peer.transport.default_port().to_string() { String::new() } else { format!(":{port}") };
    let connection = peer.connection.map(|c| format!("/{}", c.0)).unwrap_or_default();
    format!("{}:{host}{port}{connection}", peer.transport.as_str().to_lowercase())
}

pub fn config() -> EndpointConfig {
    let mut config = EndpointConfig::new("192.0.2.1:5060".parse().unwrap(), 1);
    config.listeners = vec![
        Peer::new(Transport::Tcp, "192.0.2.1:5060".parse().unwrap()),
        Peer::new(Transport::Tls, "192.0.2.1:5061".parse().unwrap()),
    ];
    config
}

pub fn credentials() -> Option<Credentials> {
    Some(Credentials { user: "u".into(), password: Private::new("p".into()), realm: None })
}

/// What the commands of a script begin with.
pub struct Stage {
    pub endpoint: Endpoint,
    pub now: Instant,
    pub invite: InviteRequest,
    pub register: RegisterRequest,
    since: Instant,
    transcript: Vec<String>,
    pub call: Option<CallHandle>,
    pub registration: Option<RegistrationHandle>,
    /// All that came out, newest last.
    pub sent: Vec<(Peer, Vec<u8>)>,
    pub events: Vec<Event>,
    nonces: u32,
    /// The peer's own number.
    cseq: u32,
}

pub fn stage() -> Stage {
    stage_with(config())
}

pub fn stage_with(config: EndpointConfig) -> Stage {
    #[allow(clippy::disallowed_methods)]
    let now = Instant::now();
    let sdp = Some(SDP.to_owned());
    Stage {
        endpoint: Endpoint::new(config),
        now,
        invite: InviteRequest::new(vec![road("udp:a")], "sip:bob@example.com", sdp),
        register: RegisterRequest::new(vec![road("udp:a")], "sip:example.com", "sip:100@example.com", None),
        since: now,
        transcript: Vec::new(),
        call: None,
        registration: None,
        sent: Vec::new(),
        events: Vec::new(),
        nonces: 0,
        cseq: 100,
    }
}

impl Stage {
    /// Calls and registers at these targets.
    pub fn to(mut self, targets: &str) -> Self {
        self.invite.targets = targets.split(' ').map(road).collect();
        self.register.targets.clone_from(&self.invite.targets);
        self
    }

    pub fn signed(mut self) -> Self {
        self.invite.credentials = credentials();
        self.register.credentials = credentials();
        self
    }

    /// Plays a script and compares. Inputs: `us: ..`, `<road>: ..`, `lost <road>`, `wait ..`, `until ..` (that
    /// long, or to the first thing that is no keep-alive), `count`; every
    /// other line is what must come out, in this order, `@+500ms` after the last input but `wait`.
    pub fn check(&mut self, script: &str) {
        let lines: Vec<&str> = script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        for line in lines.iter().filter(|l| is_input(l)) {
            self.play(line);
        }
        let (got, expected) = (self.transcript.join("\n"), lines.join("\n"));
        assert_eq!(got, expected, "\n--- got ---\n{got}\n--- expected ---\n{expected}\n");
        self.transcript.clear();
    }

    /// An input whose outputs are nobody's business.
    pub fn answer(&mut self, from: &str, words: &str) {
        self.play(&format!("{from}: {words}"));
        self.transcript.clear();
    }

    fn play(&mut self, line: &str) {
        self.transcript.push(line.to_owned());
        if let Some(span) = line.strip_prefix("wait ") {
            let until = self.now + Duration::from_millis(super::millis(span));
            while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
                self.now = self.now.max(at);
                self.endpoint.handle_timeout(self.now);
                self.drain();
            }
            self.now = until;
            return;
        }
        if let Some(span) = line.strip_prefix("until ") {
            let until = self.now + Duration::from_millis(super::millis(span));
            return self.play_until(until);
        }
        self.since = self.now;
        if line == "count" {
            let (calls, transactions) = (self.endpoint.calls(), self.endpoint.transactions());
            self.transcript.push(format!("= {calls} calls, {transactions} transactions"));
        } else if let Some(peer) = line.strip_prefix("lost ") {
            self.endpoint.unreachable(self.now, road(peer));
        } else if let Some(words) = line.strip_prefix("us: ") {
            self.command(words);
        } else if let Some((peer, words)) = line.split_once(": ") {
            let bytes = self.peer_message(road(peer), words);
            self.endpoint.handle(self.now, road(peer), &bytes);
        }
        self.drain();
    }

    /// To the first thing that is no keep-alive; its moment is not told.
    fn play_until(&mut self, until: Instant) {
        let inputs = self.transcript.len();
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.since = self.now;
            self.endpoint.handle_timeout(self.now);
            self.drain();
            let mut at = 0;
            self.transcript.retain(|l| {
                at += 1;
                at <= inputs || !l.starts_with("> keep-alive")
            });
            if self.transcript.len() > inputs {
                return;
            }
        }
        self.now = until;
    }

    fn command(&mut self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let reason = || words.get(1).map(|c| Reason::q850(c.parse().unwrap()));
        let (e, now, call, registration) = (&mut self.endpoint, self.now, self.call, self.registration);
        let result = match words[0] {
            "invite" => e.invite(now, self.invite.clone()).map(|c| self.call = Some(c)),
            "cancel" => e.cancel(now, call.unwrap()),
            "hangup" => e.hangup(now, call.unwrap(), reason()),
            "answer" => e.answer(now, call.unwrap(), SDP),
            "ring" => e.ring(now, call.unwrap()),
            "reject" => e.reject(now, call.unwrap(), words[1].parse().unwrap(), None),
            "accept" => e.accept_reinvite(now, call.unwrap(), SDP),
            "refuse" => e.reject_reinvite(now, call.unwrap(), words[1].parse().unwrap()),
            "reinvite" => e.reinvite(now, call.unwrap(), self.invite.sdp.as_deref().unwrap_or(SDP)),
            "refer" => e.refer(now, call.unwrap(), "sip:carol@192.0.2.20"),
            "acknowledge" => e.acknowledge(now, call.unwrap(), self.invite.sdp.as_deref().unwrap_or(SDP)),
            "options" => e.options(now, road(words[1]), "sip:example.com").map(|_: PingHandle| ()),
            "register" => e.register(now, self.register.clone()).map(|r| self.registration = Some(r)),
            "unregister" => e.unregister(now, registration.unwrap()),
            "targets" => e.set_targets(registration.unwrap(), words[1..].iter().map(|w| road(w)).collect()),
            other => panic!("unknown command {other}"),
        };
        if let Err(error) = result {
            self.transcript.push(format!("! {error:?}"));
        }
    }

    /// `503 INVITE`, `401 INVITE challenge`, `200 INVITE tag=x sdp`, `BYE`, `INVITE` (to our REGISTER's Contact).
    fn peer_message(&mut self, from: Peer, words: &str) -> Vec<u8> {
        let words: Vec<&str> = words.split(' ').collect();
        let option = |name: &str| words.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
        match words[0].parse::<u16>() {
            Ok(status) => self.response(from, status, words[1], &words[2..], option),
            Err(_) => self.request(from, words[0], option),
        }
    }

    /// To the newest request of this method on this road; `old`: the oldest; `nth=2`: the second.
    fn response<'w>(
        &mut self,
        from: Peer,
        status: u16,
        method: &str,
        words: &[&str],
        option: impl Fn(&str) -> Option<&'w str>,
    ) -> Vec<u8> {
        let start = format!("{method} ");
        let is_road = |p: &Peer| p.transport == from.transport && p.address == from.address;
        let wanted = |s: &&(Peer, Vec<u8>)| is_road(&s.0) && s.1.starts_with(start.as_bytes());
        let found = match words.contains(&"old") {
            true => self.sent.iter().find(wanted),
            false => self.sent.iter().rev().find(wanted),
        };
        let bytes = found.expect("such a request went that way").1.clone();
        let request = message::parse(&bytes).unwrap();
        let text = |name| request.header(name).unwrap().text().into_owned();
        let seen = option("seen").unwrap_or("192.0.2.1:5060");
        let (ip, port) = seen.split_once(':').unwrap();
        let via = text(Name::Via).replace(";rport", &format!(";rport={port};received={ip}"));
        let mut to = text(Name::To);
        if status != 100 && !to.contains(";tag=") {
            let _ = write!(to, ";tag={}", option("tag").unwrap_or("pt"));
        }
        let mut out = format!(
            "SIP/2.0 {status} X\r\nVia: {via}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
            text(Name::From),
            text(Name::CallId),
            text(Name::CSeq)
        );
        let contact = match option("contact").map(|c| c.replace('_', " ")) {
            Some(contact) => contact,
            // A registrar tells what it holds.
            None if method == "REGISTER" => text(Name::Contact),
            None => format!("<sip:bob@{}>", from.address),
        };
        let contact = match option("granted") {
            Some(s) => contact.split(";expires").next().unwrap().to_owned() + &format!(";expires={s}"),
            None => contact,
        };
        let _ = write!(out, "Contact: {contact}\r\n");
        for (key, name) in [("retry", "Retry-After"), ("min", "Min-Expires"), ("expires", "Expires")] {
            if let Some(value) = option(key) {
                let _ = write!(out, "{name}: {value}\r\n");
            }
        }
        if let Some(kind) = words.iter().find(|w| w.starts_with("challenge")) {
            self.nonces += 1;
            let name = if status == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
            let stale = if *kind == "challenge-stale" { ", stale=true" } else { "" };
            let _ = write!(out, "{name}: {CHALLENGE}{}\", qop=\"auth\"{stale}\r\n", self.nonces);
        }
        out.push_str(&super::more_headers(words));
        let body = if words.contains(&"sdp") { SDP } else { "" };
        if !body.is_empty() {
            out.push_str("Content-Type: application/sdp\r\n");
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
        out.into_bytes()
    }

    fn request<'w>(&mut self, from: Peer, method: &str, option: impl Fn(&str) -> Option<&'w str>) -> Vec<u8> {
        let newest = |start: &str| self.sent.iter().rev().find(|s| s.1.starts_with(start.as_bytes())).cloned();
        if !matches!(method, "ACK") {
            self.cseq += 1;
        }
        let via = format!("SIP/2.0/{} 192.0.2.10:5080;branch=z9hG4bKp{}{method}", from.transport.as_str(), self.cseq);
        let (uri, from_value, to, call_id) = if method == "INVITE" && option("in").is_none() {
            let contact = newest("REGISTER ").map(|r| uri_of(&r.1)).unwrap_or_else(|| "sip:agent@192.0.2.1".to_owned());
            let uri = option("uri").map_or(contact, str::to_owned);
            (uri, "<sip:alice@192.0.2.10>;tag=pt".to_owned(), "<sip:100@example.com>".to_owned(), "theirs".to_owned())
        } else if let Some((_, bytes)) = newest("INVITE ") {
            let invite = message::parse(&bytes).unwrap();
            let text = |name| invite.header(name).unwrap().text().into_owned();
            let theirs = if text(Name::To).contains(";tag=") { text(Name::To) } else { text(Name::To) + ";tag=pt" };
            (uri_of(&bytes), theirs, text(Name::From), text(Name::CallId))
        } else {
            let (_, bytes) = newest("SIP/2.0 ").unwrap();
            let response = message::parse(&bytes).unwrap();
            let text = |name| response.header(name).unwrap().text().into_owned();
            ("sip:dauys@192.0.2.1".to_owned(), text(Name::From), text(Name::To), text(Name::CallId))
        };
        let (kind, body) = match method {
            "INVITE" => ("Content-Type: application/sdp\r\n".to_owned(), SDP),
            "NOTIFY" => {
                let event = option("event").unwrap();
                let state = "terminated\r\nContent-Type: message/sipfrag";
                (format!("Event: {event}\r\nSubscription-State: {state}\r\n"), "SIP/2.0 200 OK\r\n")
            }
            _ => (String::new(), ""),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {from_value}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {} {method}\r\nContact: <sip:alice@192.0.2.10>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.cseq,
            body.len()
        )
        .into_bytes()
    }

    /// Takes what came out into the transcript.
    pub fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            let label = match output {
                Output::Event(event) => {
                    self.call = event.call().or(self.call);
                    let by = matches!(&event, Event::Incoming { info, .. } if info.registration.is_some());
                    // When is a matter of dice.
                    let text = format!("{event:?}");
                    let text = text.split(", again in").next().unwrap().to_owned()
                        + if text.contains(", again") { ")" } else { "" };
                    let label = format!("! {text}{}", if by { " by registration" } else { "" });
                    self.events.push(event);
                    label
                }
                Output::Banned(_) => "! banned".to_owned(),
                Output::Send { to, bytes } => {
                    let label = label(to, &bytes);
                    self.sent.push((to, bytes));
                    label
                }
            };
            let offset = (self.now - self.since).as_millis();
            let at = if offset == 0 { String::new() } else { format!("@+{offset}ms ") };
            self.transcript.push(at + &label);
        }
    }

    /// A header of the newest message that went out.
    pub fn last(&self, name: Name) -> Option<String> {
        let message = message::parse(&self.sent.last()?.1).ok()?;
        message.header(name).map(|h| h.text().into_owned())
    }
}

fn is_input(line: &str) -> bool {
    let is_road = line.split_once(": ").is_some_and(|(r, _)| !r.contains(' ') && r.contains(':'));
    line == "count" || ["us: ", "wait ", "until ", "lost "].iter().any(|p| line.starts_with(p)) || is_road
}

/// The URI of the first Contact.
fn uri_of(bytes: &[u8]) -> String {
    let message = message::parse(bytes).unwrap();
    let contact = message.header(Name::Contact).unwrap().text().into_owned();
    contact.split(['<', '>']).nth(1).unwrap().to_owned()
}

/// `> INVITE udp:a #1 +sdp +auth`; of a REGISTER also its Contacts, of a response its status.
fn label(to: Peer, bytes: &[u8]) -> String {
    if bytes == b"\r\n\r\n" {
        return format!("> keep-alive {}", name_of(to));
    }
    let parsed: Message<'_> = message::parse(bytes).unwrap();
    assert!(parsed.defect.is_none(), "we sent a malformed message");
    let text = |name| parsed.header(name).map(|h| h.text().into_owned()).unwrap_or_default();
    let via = text(Name::Via);
    let mut out = match parsed.start {
        StartLine::Request { method, .. } => {
            assert!(via.starts_with(&format!("SIP/2.0/{} ", to.transport.as_str())), "Via says another transport");
            let cseq = text(Name::CSeq);
            let (number, named) = cseq.split_once(' ').unwrap();
            assert_eq!(named, method);
            format!("> {method} {} #{number}", name_of(to))
        }
        StartLine::Response { status, .. } => format!("> {status} {}", name_of(to)),
    };
    if !parsed.body.is_empty() {
        out.push_str(if parsed.body.windows(8).any(|w| w == b"audio 0 ") { " +refusal" } else { " +sdp" });
    }
    for (name, word) in [(Name::Authorization, "auth"), (Name::ProxyAuthorization, "proxy-auth")] {
        for header in parsed.all(name) {
            let value = header.text();
            let nc = value.split("nc=").nth(1).and_then(|v| v.get(..8)).unwrap_or("none").trim_start_matches('0');
            let _ = write!(out, " +{word}({nc})");
        }
    }
    if text(Name::CSeq).ends_with("REGISTER") && parsed.is_request() {
        for contact in parsed.all(Name::Contact) {
            let contact = contact.text().into_owned();
            let (_, rest) = contact.split_once('@').unwrap();
            let _ = write!(out, " {}", rest.replacen('>', "", 1));
        }
    }
    for name in [Name::Reason, Name::Route] {
        if let Some(value) = parsed.header(name) {
            let _ = write!(out, " {}: {}", name.as_str(), value.text());
        }
    }
    out
}
