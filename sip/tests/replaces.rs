//! One call in the place of another (RFC 3891): INVITEs with Replaces to us, and our attended transfers. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name};
use sip::{CallHandle, CommandError, Endpoint, EndpointConfig, Event, Output, Peer};
use std::time::Instant;
use support::{SDP, Stage, addr, check_shown, invite_request, us};

const CALL: &str = "
    peer: INVITE
    > 100 INVITE
    ! Incoming(1 +sdp)
    us: answer
    > 200 INVITE
    peer: ACK
    ! Established(1)
    ";
const OTHER: &str = "peer: INVITE call=c2 +Replaces=c1;to-tag=OURS;from-tag=pt";

fn check(script: &str) {
    check_shown(EndpointConfig::new(us(), 1), &[], script);
}

#[test]
fn an_answered_call_makes_room() {
    check(&format!(
        "{CALL}
        {OTHER}
        > 100 INVITE
        ! Incoming(2 +sdp, replaces 1)
        us: ring
        > 180 INVITE
        us: answer
        > 200 INVITE
        ! Ended(1, Replaced)
        > BYE
        peer: 200 BYE
        peer: ACK call=c2
        ! Established(2)
        count
        = 1 calls, 3 transactions
        "
    ));
    // Refused, or given up: nothing has happened to the first.
    check(&format!(
        "{CALL}
        {OTHER}
        > 100 INVITE
        ! Incoming(2 +sdp, replaces 1)
        us: reject 486
        > 486 INVITE
        ! Cancelled(2, 486)
        peer: INFO 5
        ! Info(1)
        > 200 INFO
        "
    ));
    // The first has ended by itself meanwhile.
    check(&format!(
        "{CALL}
        {OTHER}
        > 100 INVITE
        ! Incoming(2 +sdp, replaces 1)
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        "
    ));
    // Not acknowledged yet: its BYE waits for the ACK (RFC 3261 15).
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        peer: INVITE call=c2 +Replaces=c1;to-tag=OURS;from-tag=pt
        > 100 INVITE
        ! Incoming(2 +sdp, replaces 1)
        us: answer
        > 200 INVITE
        ! Ended(1, Replaced)
        peer: ACK cseq=1
        > BYE
        peer: ACK call=c2
        ! Established(2)
        ",
    );
}

#[test]
fn what_cannot_be_replaced() {
    for (words, answer) in [
        ("+Replaces=c1;to-tag=OURS;from-tag=other", 481),
        ("+Replaces=c1;to-tag=other;from-tag=pt", 481),
        ("+Replaces=c9;to-tag=OURS;from-tag=pt", 481),
        ("+Replaces=c1;to-tag=pt;from-tag=OURS", 481),
        ("+Replaces=c1;to-tag=OURS;from-tag=pt;early-only", 486),
        ("+Replaces=c1;to-tag=OURS", 400),
        ("+Replaces=c1;to-tag=OURS;from-tag=pt,_c1;to-tag=OURS;from-tag=pt", 400),
        ("+Replaces=c1;to-tag=OURS;from-tag=pt +Replaces=c1;to-tag=OURS;from-tag=pt", 400),
    ] {
        check(&format!("{CALL}\npeer: INVITE call=c2 {words}\n> {answer} INVITE\npeer: INFO 5\n! Info(1)\n> 200 INFO"));
    }
    // One that has ended, and one that rings here (RFC 3891 3).
    check(&format!("{CALL}\nus: hangup\n! Ended(1, LocalHangup)\n> BYE\n{OTHER}\n> 603 INVITE"));
    check(&format!("peer: INVITE\n> 100 INVITE\n! Incoming(1 +sdp)\nus: ring\n> 180 INVITE\n{OTHER}\n> 481 INVITE"));
    check(&format!(
        "peer: INVITE\n> 100 INVITE\n! Incoming(1 +sdp)\nus: answer\n> 200 INVITE\nus: hangup\n! Ended(1, LocalHangup)\n{OTHER}\n> 603 INVITE"
    ));
    // Where it is switched off it is as if it were not there, and may not be required.
    let mut config = EndpointConfig::new(us(), 1);
    config.accept_replaces = false;
    check_shown(
        config,
        &["Supported"],
        &format!(
            "{}
            {OTHER}
            > 100 INVITE
            ! Incoming(2 +sdp)
            us: reject 486
            > 486 INVITE
            ! Cancelled(2, 486)
            peer: INVITE call=c3 require=replaces
            > 420 INVITE Unsupported: replaces
            peer: OPTIONS outside call=c4
            > 200 OPTIONS Supported: 100rel, timer, norefersub
            ",
            CALL.replace("> 200 INVITE", "> 200 INVITE Supported: 100rel, timer, norefersub")
        ),
    );
}

/// A call of ours that rings there may be picked up by another.
#[test]
fn an_early_call_of_ours() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["us: invite", "peer: 180 INVITE tag=far"] {
        stage.play(line);
    }
    let ours = stage.requests[0].clone();
    let invite = message::parse(&ours).unwrap();
    let text = |name| invite.header(name).unwrap().text().into_owned();
    let our_tag = text(Name::From).split_once(";tag=").unwrap().1.to_owned();
    let replaces = |far: &str| format!("{};to-tag={our_tag};from-tag={far}", text(Name::CallId));
    let invite = |n: u32, far: &str| {
        format!(
            "INVITE sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bKr{n}\r\nFrom: <sip:c@h>;tag=c{n}\r\n\
             To: <sip:a@h>\r\nCall-ID: r{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:c@192.0.2.30>\r\n\
             Replaces: {};early-only\r\nContent-Type: application/sdp\r\n\r\n{SDP}",
            replaces(far)
        )
    };
    let from = Peer::udp(addr("192.0.2.30:5060"));
    stage.endpoint.handle(stage.now, from, invite(1, "nobody").as_bytes());
    stage.drain();
    assert_eq!(stage.transcript.last().unwrap(), "> 481 INVITE");
    stage.endpoint.handle(stage.now, from, invite(2, "far").as_bytes());
    stage.drain();
    assert_eq!(stage.transcript.last().unwrap(), "! Incoming(2 +sdp, replaces 1)");
    stage.play("us: answer");
    assert_eq!(stage.transcript[stage.transcript.len() - 3..], ["> 200 INVITE", "! Failed(1, 487)", "> CANCEL"]);
}

/// Two calls of ours to two peers; the first is told to take our place in the second.
struct Attended {
    stage: Stage,
    calls: [CallHandle; 2],
}

impl Attended {
    fn new(contact: &str, tag: &str) -> Self {
        let mut stage = Stage::new(EndpointConfig::new(us(), 1));
        let mut calls = Vec::new();
        for (contact, tag) in [("<sip:bob@192.0.2.10>", ";tag=bt"), (contact, tag)] {
            calls.push(stage.endpoint.invite(stage.now, invite_request()).unwrap());
            stage.drain();
            let bytes = stage.requests.last().unwrap().clone();
            let invite = message::parse(&bytes).unwrap();
            let text = |name| invite.header(name).unwrap().text().into_owned();
            let ok = format!(
                "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
                 Contact: {contact}\r\nContent-Type: application/sdp\r\n\r\n{SDP}",
                text(Name::Via),
                text(Name::From),
                text(Name::To),
                text(Name::CallId),
                text(Name::CSeq)
            );
            stage.feed(ok.as_bytes());
            stage.drain();
        }
        Self { stage, calls: [calls[0], calls[1]] }
    }

    fn refer(&mut self) -> Result<(), CommandError> {
        let result = self.stage.endpoint.refer_to_call(self.stage.now, self.calls[0], self.calls[1]);
        self.stage.drain();
        result
    }
}

#[test]
fn attended_transfers() {
    let mut case = Attended::new("<sip:carol@192.0.2.20:5070;transport=udp>;q=1", ";tag=ct");
    case.refer().unwrap();
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    let refer = text(case.stage.requests.last().unwrap());
    let second = case.stage.requests.iter().map(text).filter(|r| r.starts_with("INVITE ")).nth(1).unwrap();
    let line = |text: &str, name: &str| text.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned)).unwrap();
    let (call_id, our_tag) =
        (line(&second, "Call-ID: "), line(&second, "From: ").split_once(";tag=").unwrap().1.to_owned());
    assert_eq!(
        line(&refer, "Refer-To: "),
        format!("<sip:carol@192.0.2.20:5070;transport=udp?Replaces={call_id}%3Bto-tag%3Dct%3Bfrom-tag%3D{our_tag}>")
    );
    assert_eq!(line(&refer, "Supported: "), "replaces");
    for line in ["peer: 202 REFER", "peer: NOTIFY 200 state=terminated"] {
        case.stage.play(line);
    }
    // (The stage speaks for the newest call; that NOTIFY was for the first, and is not read here.)
    assert_eq!(case.refer(), Err(CommandError::WrongState));
}

#[test]
fn attended_transfers_that_cannot_be() {
    let mut same = Attended::new("<sip:carol@192.0.2.20>", ";tag=ct");
    same.calls[1] = same.calls[0];
    assert_eq!(same.refer(), Err(CommandError::WrongState));
    // A peer without a tag cannot be named; nor one that is reached by no sip: URI.
    assert_eq!(Attended::new("<sip:carol@192.0.2.20>", "").refer(), Err(CommandError::WrongState));
    assert_eq!(Attended::new("<tel:+77010000000>", ";tag=ct").refer(), Err(CommandError::BadUri));
    assert_eq!(Attended::new("<sip:carol@h;method=BYE>", ";tag=ct").refer(), Err(CommandError::BadUri));
    let mut gone = Attended::new("<sip:carol@192.0.2.20>", ";tag=ct");
    gone.stage.endpoint.hangup(gone.stage.now, gone.calls[1], None).unwrap();
    assert_eq!(gone.refer(), Err(CommandError::NoSuchCall));
    let mut ringing = Attended::new("<sip:carol@192.0.2.20>", ";tag=ct");
    ringing.calls[1] = ringing.stage.endpoint.invite(ringing.stage.now, invite_request()).unwrap();
    assert_eq!(ringing.refer(), Err(CommandError::WrongState));
    // Headers in the Contact are not ours to hand on.
    let mut case = Attended::new("<sip:carol@192.0.2.20?Subject=x>", ";tag=ct");
    case.refer().unwrap();
    let refer = String::from_utf8(case.stage.requests.last().unwrap().clone()).unwrap();
    assert!(refer.contains("\r\nRefer-To: <sip:carol@192.0.2.20?Replaces=") && !refer.contains("Subject"));
}

const ADDRESSES: [&str; 3] = ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"];

/// A talks to B and to C; A sends B to C; C takes B for A.
struct Three {
    ends: Vec<Endpoint>,
    now: Instant,
    log: Vec<String>,
    /// B's call from A.
    referred: Option<CallHandle>,
}

impl Three {
    fn new() -> Self {
        let end = |i: usize| {
            let mut config = EndpointConfig::new(addr(ADDRESSES[i]), i as u128);
            config.follow_refer = true;
            Endpoint::new(config)
        };
        Self { ends: (0..3).map(end).collect(), now: support::base(), log: Vec::new(), referred: None }
    }

    fn call(&mut self, from: usize, to: usize, headers: Vec<(String, String)>) -> CallHandle {
        let mut request = invite_request();
        (request.to, request.headers) = (format!("sip:x@{}", ADDRESSES[to]), headers);
        request.targets = vec![Peer::udp(addr(ADDRESSES[to]))];
        self.ends[from].invite(self.now, request).unwrap()
    }

    fn run(&mut self) {
        while let Some((i, output)) = (0..3).find_map(|i| self.ends[i].poll().map(|o| (i, o))) {
            match output {
                Output::Send { to, bytes } => {
                    let at = ADDRESSES.iter().position(|a| addr(a) == to.address).expect("somebody is there");
                    self.ends[at].handle(self.now, Peer::udp(addr(ADDRESSES[i])), &bytes);
                }
                Output::Event(event) => {
                    self.log.push(format!("{} {event:?}", ["A", "B", "C"][i]));
                    self.react(i, event);
                }
                Output::Banned(_) => panic!("nobody here is banned"),
            }
        }
    }

    fn react(&mut self, i: usize, event: Event) {
        let now = self.now;
        match event {
            Event::Incoming { call, .. } => self.ends[i].answer(now, call, SDP).unwrap(),
            Event::Referred { call, target, replaces, referred_by } => {
                self.referred = Some(call);
                self.ends[i].accept_refer(now, call).unwrap();
                assert_eq!(target.expose(), "sip:dauys@192.0.2.3:5060");
                let header =
                    |name: &str, value: Option<sip::Private<String>>| (name.to_owned(), value.unwrap().into_inner());
                self.call(i, 2, vec![header("Replaces", replaces), header("Referred-By", referred_by)]);
            }
            Event::Answered { .. } if i == 1 => {
                self.ends[1].refer_progress(now, self.referred.unwrap(), 200).unwrap();
            }
            Event::Transferred { call } => self.ends[i].hangup(now, call, None).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn three_endpoints() {
    let mut three = Three::new();
    let (to_b, to_c) = (three.call(0, 1, Vec::new()), three.call(0, 2, Vec::new()));
    three.run();
    three.log.clear();
    three.ends[0].refer_to_call(three.now, to_b, to_c).unwrap();
    three.run();
    let mut log = three.log.clone();
    log.sort();
    assert_eq!(
        log,
        [
            "A Ended(1, LocalHangup)",
            "A Ended(2, RemoteHangup(None))",
            "A Transferred(1)",
            "B Answered(2 +sdp)",
            "B Ended(1, RemoteHangup(None))",
            "B Referred(1 +replaces)",
            "C Ended(1, Replaced)",
            "C Established(2)",
            "C Incoming(2 +sdp, replaces 1)",
        ]
    );
    assert_eq!(three.ends.iter().map(Endpoint::calls).collect::<Vec<_>>(), [0, 1, 1]);
}
