//! Every message of RFC 4475 and RFC 5118 at the live UDP port of a gateway: answered as the table says, and calls go on.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
#[path = "../sip/tests/support/table.rs"]
mod table;

use common::{Gateway, dauys_call, recording, root};
use sip::message::{self, Message, Name, StartLine};
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use table::Case;

/// Longer than any answer takes on a busy machine, shorter than a retransmission (500 ms).
const SILENCE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);
/// An INVITE that can be a call is answered, or refused for what it offers or whom it wants.
const CALL: [&str; 4] = ["200", "403", "404", "488"];

/// A client of one port of its own.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn new(gateway: &Gateway) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(("127.0.0.1", gateway.sip)).expect("loopback");
        Self { socket }
    }

    /// The final response.
    fn ask(&self, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
        self.socket.send(bytes).expect("sent");
        let until = Instant::now() + patience;
        let mut buffer = vec![0; 65_536];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let Ok(length) = self.socket.recv(&mut buffer) else { continue };
            if status(&buffer[..length]) >= 200 {
                return Some(buffer[..length].to_vec());
            }
        }
        None
    }

    /// ACK, and BYE where a call came of it.
    fn finish(&self, invite: &[u8], response: &[u8]) {
        let request = message::parse(invite).expect("an INVITE");
        let answered = message::parse(response).expect("a response");
        let is_call = status(response) < 300;
        let target = if is_call { text(&answered, Name::Contact) } else { "sip:gone@127.0.0.1".to_owned() };
        let target = target.trim_matches(['<', '>']);
        let number = text(&answered, Name::CSeq).split(' ').next().unwrap().parse::<u32>().expect("a number");
        let vias = request.all(Name::Via).next().map(|v| v.text().into_owned()).expect("a Via");
        let send = |method: &str, via: &str, number: u32| {
            let request = format!(
                "{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
                 CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
                text(&answered, Name::From),
                text(&answered, Name::To),
                text(&answered, Name::CallId),
            );
            if method == "ACK" {
                self.socket.send(request.as_bytes()).expect("sent");
                return;
            }
            let ended = self.ask(request.as_bytes(), PATIENCE).expect("an answer to BYE");
            assert_eq!(status(&ended), 200);
        };
        if is_call {
            let via = format!("SIP/2.0/UDP {};branch=z9hG4bK", self.socket.local_addr().expect("bound"));
            send("ACK", &format!("{via}-ack"), number);
            send("BYE", &format!("{via}-bye"), number + 1);
        } else {
            send("ACK", &vias, number);
        }
    }
}

fn status(bytes: &[u8]) -> u16 {
    let framed = message::parse(bytes).expect("SIP");
    assert!(framed.defect.is_none(), "a malformed answer: {}", String::from_utf8_lossy(bytes));
    let StartLine::Response { status, .. } = framed.start else { panic!("a request came out of nothing") };
    status
}

fn text(message: &Message<'_>, name: Name) -> String {
    message.header(name).map(|h| h.text().into_owned()).unwrap_or_default()
}

/// What is wrong with the gateway's reaction.
fn objection(gateway: &Gateway, case: &Case) -> Option<String> {
    let client = Client::new(gateway);
    let patience = if case.answers.is_empty() { SILENCE } else { PATIENCE };
    let Some(response) = client.ask(&case.bytes, patience) else {
        return (!case.answers.is_empty()).then(|| "no answer".to_owned());
    };
    let got = status(&response).to_string();
    let fits = case.answers.contains(&got) || (case.answers == ["call"] && CALL.contains(&got.as_str()));
    if !fits {
        return Some(format!("{got}, want {:?}", case.answers));
    }
    let answered = message::parse(&response).expect("SIP");
    let asked = message::parse(&case.bytes).expect("SIP");
    for name in [Name::From, Name::CallId, Name::CSeq] {
        if text(&answered, name) != text(&asked, name) {
            return Some(format!("{name:?} differs"));
        }
    }
    if answered.all(Name::Via).count() != asked.all(Name::Via).count() {
        return Some("Via is missing".to_owned());
    }
    if table::demanded(status(&response)).is_some_and(|name| answered.header(name).is_none()) {
        return Some(format!("{got} without its header"));
    }
    if case.bytes.starts_with(b"INVITE ") {
        client.finish(&case.bytes, &response);
    }
    None
}

#[test]
fn the_live_port_answers_as_the_table_says_and_calls_go_on() {
    // A stranger who sends nothing but these is banned before the end; that is the door's business, tested elsewhere.
    let mut gateway =
        Gateway::start_with("torture", "", &["export DAUYS__SIP__BAN_S=0 DAUYS__SIP__PER_SOURCE_PER_S=0"]);
    let cases = table::load(root());
    let wrong: Vec<String> =
        cases.iter().filter_map(|c| objection(&gateway, c).map(|o| format!("{}: {o}", c.file))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(cases.iter().filter(|c| c.rfc() == "4475").count(), 49);

    let options = cases.iter().find(|c| c.name() == "lwsdisp").expect("in the table");
    let again = Client::new(&gateway).ask(&options.bytes, PATIENCE).expect("it still answers");
    assert_eq!(status(&again), 200);
    common::wait_for("the calls of the torture to end", Duration::from_secs(60), || {
        (gateway.active_calls() == 0).then_some(())
    });
    let wav = recording("hours_sat.bf_emma.wav");
    let report = dauys_call(&gateway, &["--keys", "2", "--play", wav.to_str().expect("UTF-8")]);
    let turns = report["turns"].as_array().expect("turns");
    assert!(turns.len() == 2 && turns.iter().all(|t| t["voice_to_voice_ms"].is_u64()), "{report:#}");
    gateway.stop();
}
