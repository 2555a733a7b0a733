//! Requests that go elsewhere: the next target, TCP for what is too large, UDP where there is no TCP, a connection that ends. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name};
use sip::{EndpointConfig, Event, Private};
use support::client::{SDP, Stage, stage, stage_with};

/// 1500 bytes of description.
fn large() -> String {
    format!("{SDP}{}", "a=x-padding:0123456789012345678901234567890123456789\r\n".repeat(25))
}

fn large_stage(targets: &str) -> Stage {
    let mut stage = stage().to(targets);
    stage.invite.sdp = Some(large());
    stage
}

#[test]
fn the_next_target_is_tried() {
    // Refused, then silent, then overloaded, then answered.
    stage().to("tcp:a udp:b udp:c tls:d").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        lost tcp:a
        > INVITE udp:b #1 +sdp
        wait 6s
        @+500ms > INVITE udp:b #1 +sdp
        @+1500ms > INVITE udp:b #1 +sdp
        @+3500ms > INVITE udp:b #1 +sdp
        @+6000ms > INVITE udp:c #1 +sdp
        udp:c: 503 INVITE
        > ACK udp:c #1
        > INVITE tls:d #1 +sdp
        tls:d: 180 INVITE
        ! Progress(1, 180)
        tls:d: 200 INVITE sdp
        > ACK tls:d #1
        ! Answered(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE tls:d #2
        tls:d: 200 BYE
        wait 64s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn the_last_target_has_all_the_time_and_the_last_word() {
    stage().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        wait 38s
        @+6000ms > INVITE tcp:b #1 +sdp
        @+38000ms ! Failed(1, 408)
        count
        = 0 calls, 0 transactions
        ",
    );
    stage().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        lost tcp:a
        > INVITE tcp:b #1 +sdp
        lost tcp:b
        ! Failed(1, 503)
        ",
    );
    // RFC 3263 4.3: any other refusal is an answer.
    stage().to("udp:a udp:b").check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 486 INVITE
        > ACK udp:a #1
        ! Failed(1, 486)
        ",
    );
    stage().to("udp:a").check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 503 INVITE retry=9
        > ACK udp:a #1
        ! Failed(1, 503)
        ",
    );
}

#[test]
fn who_was_heard_is_waited_for() {
    stage().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        tcp:a: 100 INVITE
        # The answer may come by another connection (RFC 3261 18.2.2).
        lost tcp:a
        wait 60s
        tcp:a: 200 INVITE sdp
        > ACK tcp:a #1
        ! Answered(1 +sdp)
        ",
    );
}

#[test]
fn a_late_answer_finds_nobody() {
    stage().to("udp:a udp:b").check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        wait 6s
        @+500ms > INVITE udp:a #1 +sdp
        @+1500ms > INVITE udp:a #1 +sdp
        @+3500ms > INVITE udp:a #1 +sdp
        @+6000ms > INVITE udp:b #1 +sdp
        udp:a: 180 INVITE tag=late
        > CANCEL udp:a #1
        udp:a: 200 CANCEL
        udp:a: 180 INVITE tag=late
        # It crossed the CANCEL.
        udp:a: 200 INVITE tag=late sdp
        > ACK udp:a #1
        > BYE udp:a #2
        udp:a: 200 BYE
        udp:b: 200 INVITE tag=b sdp
        > ACK udp:b #1
        ! Answered(1 +sdp)
        udp:a: 200 INVITE tag=late sdp
        > ACK udp:a #1
        wait 32s
        count
        = 1 calls, 0 transactions
        ",
    );
}

#[test]
fn giving_up_ends_the_search() {
    for input in ["lost tcp:a", "tcp:a: 503 INVITE"] {
        let mut stage = stage().to("tcp:a tcp:b");
        let ack = if input.contains("503") { "> ACK tcp:a #1" } else { "" };
        stage.check(&format!(
            "
            us: invite
            > INVITE tcp:a #1 +sdp
            us: cancel
            ! Failed(1, 487)
            {input}
            {ack}
            wait 32s
            count
            = 0 calls, 0 transactions
            "
        ));
    }
    // 9.1 holds for each INVITE anew: no CANCEL before somebody answers this one.
    stage().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        tcp:a: 100 INVITE
        tcp:a: 503 INVITE
        > ACK tcp:a #1
        > INVITE tcp:b #1 +sdp
        us: hangup 16
        ! Failed(1, 487)
        tcp:b: 100 INVITE
        > CANCEL tcp:b #1 Reason: Q.850;cause=16
        tcp:b: 487 INVITE
        > ACK tcp:b #1
        ",
    );
}

#[test]
fn what_stays_the_same_elsewhere() {
    let mut stage = stage().to("udp:a tcp:b");
    stage.invite.route = Some("sip:proxy.example.com;lr".to_owned());
    stage.invite.from_host = Some("example.com".to_owned());
    stage.check(
        "
        us: invite
        > INVITE udp:a #1 +sdp Route: <sip:proxy.example.com;lr>
        udp:a: 503 INVITE
        > ACK udp:a #1 Route: <sip:proxy.example.com;lr>
        > INVITE tcp:b #1 +sdp Route: <sip:proxy.example.com;lr>
        tcp:b: 100 INVITE
        us: cancel
        ! Failed(1, 487)
        > CANCEL tcp:b #1 Route: <sip:proxy.example.com;lr>
        ",
    );
    let invites: Vec<_> = stage.sent.iter().filter(|s| s.1.starts_with(b"INVITE")).collect();
    let read = |i: usize, name| message::parse(&invites[i].1).unwrap().header(name).unwrap().text().into_owned();
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::Allow] {
        assert_eq!(read(0, name), read(1, name));
    }
    assert!(read(0, Name::From).starts_with("<sip:dauys@example.com>;tag="));
    assert_ne!(read(0, Name::Via), read(1, Name::Via));
    assert_eq!(read(0, Name::Contact), "<sip:dauys@192.0.2.1:5060>");
    assert_eq!(read(1, Name::Contact), "<sip:dauys@192.0.2.1:5060;transport=tcp>");
    assert_eq!(message::parse(&invites[1].1).unwrap().body, SDP.as_bytes());
}

#[test]
fn large_requests_go_by_tcp() {
    large_stage("udp:a").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        tcp:a: 200 INVITE sdp
        > ACK tcp:a #1
        ! Answered(1 +sdp)
        ",
    );
    // RFC 3261 18.1.1: where there is no TCP, by UDP all the same.
    large_stage("udp:a udp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        lost tcp:a
        > INVITE udp:a #1 +sdp
        # The same server once more would not help.
        udp:a: 503 INVITE
        > ACK udp:a #1
        > INVITE tcp:b #1 +sdp
        ",
    );
}

#[test]
fn large_requests_need_a_way_back() {
    let mut stage = stage_with(EndpointConfig::new("192.0.2.1:5060".parse().unwrap(), 1));
    stage.invite.sdp = Some(large());
    stage.check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        ",
    );
}

#[test]
fn a_large_change_goes_by_tcp() {
    let mut stage = stage();
    let call = "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 200 INVITE sdp
        > ACK udp:a #1
        ! Answered(1 +sdp)
        ";
    stage.check(call);
    stage.invite.sdp = Some(large());
    stage.check(
        "
        us: reinvite
        > INVITE tcp:a #2 +sdp
        lost tcp:a
        > INVITE udp:a #2 +sdp
        udp:a: 200 INVITE sdp
        > ACK udp:a #2
        ! Renegotiated(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #3
        ",
    );
}

#[test]
fn requests_in_a_call_that_cannot_be_sent() {
    let call = "
        us: invite
        > INVITE tls:a #1 +sdp
        tls:a: 200 INVITE sdp
        > ACK tls:a #1
        ! Answered(1 +sdp)
        ";
    let mut one = stage().to("tls:a");
    one.check(call);
    one.check(
        "
        us: reinvite
        > INVITE tls:a #2 +sdp
        lost tls:a
        ! RenegotiationFailed(1, 503)
        us: refer
        > REFER tls:a #3
        lost tls:a
        ! TransferFailed(1, 503)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE tls:a #4
        lost tls:a
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn an_answer_finds_another_way_once() {
    // The connection is gone before the final response, and before its ACK.
    stage().check(
        "
        tcp:a/7: INVITE
        > 100 tcp:a/7
        ! Incoming(1 +sdp)
        us: ring
        > 180 tcp:a/7
        lost tcp:a/7
        > 180 tcp:a:5080
        us: answer
        > 200 tcp:a:5080 +sdp
        tcp:a/8: ACK
        ! Established(1)
        ",
    );
    stage().check(
        "
        tcp:a/7: INVITE
        > 100 tcp:a/7
        ! Incoming(1 +sdp)
        us: answer
        > 200 tcp:a/7 +sdp
        lost tcp:a/7
        > 200 tcp:a:5080 +sdp
        wait 500ms
        @+500ms > 200 tcp:a:5080 +sdp
        # A connection that is another's.
        lost tcp:a/9
        tcp:a/8: ACK
        ! Established(1)
        ",
    );
    stage().check(
        "
        tcp:a/7: INVITE
        > 100 tcp:a/7
        ! Incoming(1 +sdp)
        us: reject 486
        > 486 tcp:a/7
        ! Cancelled(1, 486)
        lost tcp:a/7
        > 486 tcp:a:5080
        lost tcp:a:5080
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // A browser listens nowhere, and a datagram has no connection.
    for road in ["ws:a/7", "udp:a"] {
        stage().check(&format!(
            "
            {road}: INVITE
            > 100 {road}
            ! Incoming(1 +sdp)
            lost {road}
            "
        ));
    }
}

#[test]
fn is_a_trunk_there() {
    stage().check(
        "
        us: options udp:a
        > OPTIONS udp:a #1
        udp:a: 200 OPTIONS
        ! Pong(1, 200)
        us: options tls:b
        > OPTIONS tls:b #1
        tls:b: 401 OPTIONS challenge
        ! Pong(2, 401)
        us: options tls:c
        > OPTIONS tls:c #1
        lost tls:c
        ! Pong(3, 503)
        us: options tcp:d
        > OPTIONS tcp:d #1
        wait 32s
        @+32000ms ! Pong(4, 408)
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_redirection_is_reported() {
    let contacts = |value: &str, count: usize| {
        let mut stage = stage();
        stage.check(&format!(
            "
            us: invite
            > INVITE udp:a #1 +sdp
            udp:a: 302 INVITE contact={value}
            > ACK udp:a #1
            ! Failed(1, 302, {count} contacts)
            "
        ));
        let Some(Event::Failed { contacts, .. }) = stage.events.pop() else { panic!("no failure") };
        contacts.into_iter().map(Private::into_inner).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        contacts("<sip:b@b>;q=0.2,<sip:c@c>,<sip:d@d>;q=0.75,<tel:+7>;q=x,<sip:e@e>;q=1.0", 5),
        "sip:c@c sip:e@e sip:d@d sip:b@b tel:+7"
    );
    let many: Vec<String> = (0..40).map(|n| format!("<sip:{n}@h>")).collect();
    assert_eq!(contacts(&many.join(","), 8).split(' ').count(), 8);
}
