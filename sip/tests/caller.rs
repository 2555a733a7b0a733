//! Calls that we make, as scripts on virtual time. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name};
use sip::{EndpointConfig, InviteRequest};
use std::time::Duration;
use support::{Stage, check, check_with, us};

#[test]
fn a_whole_call() {
    check(
        "
        us: invite
        > INVITE
        peer: 100 INVITE
        peer: 180 INVITE
        ! Progress(1, 180)
        peer: 183 INVITE sdp
        ! Progress(1, 183 +sdp)
        # The early description stands where the 200 has none.
        peer: 200 INVITE
        > ACK
        ! Answered(1 +sdp)
        peer: again
        > ACK
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: 200 BYE
        # The other side missed our ACK; the call is gone, the ACK is not.
        peer: 200 INVITE
        > ACK
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn timer_a_doubles_and_timer_b_ends() {
    check(
        "
        us: invite
        > INVITE
        wait 32s
        @+500ms > INVITE
        @+1500ms > INVITE
        @+3500ms > INVITE
        @+7500ms > INVITE
        @+15500ms > INVITE
        @+31500ms > INVITE
        @+32000ms ! Failed(1, 408)
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_failure_is_acknowledged_every_time() {
    check(
        "
        us: invite
        > INVITE
        peer: 486 INVITE retry=30
        > ACK
        ! Failed(1, 486)
        peer: again
        > ACK
        wait 31999ms
        count
        = 0 calls, 1 transactions
        # Timer D.
        wait 1ms
        count
        = 0 calls, 0 transactions
        peer: again
        ",
    );
}

#[test]
fn cancels() {
    // Not before a provisional response.
    check(
        "
        us: invite
        > INVITE
        us: cancel
        ! Failed(1, 487)
        wait 500ms
        @+500ms > INVITE
        peer: 100 INVITE
        > CANCEL
        peer: 200 CANCEL
        peer: 487 INVITE
        > ACK
        count
        = 0 calls, 2 transactions
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // The 200 crossed our CANCEL: the call exists, so it ends with BYE.
    check(
        "
        us: invite
        > INVITE
        peer: 180 INVITE
        ! Progress(1, 180)
        us: cancel
        ! Failed(1, 487)
        > CANCEL
        peer: 200 INVITE sdp
        > ACK
        > BYE
        peer: 200 BYE
        peer: 200 CANCEL
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // Nobody ever answers the cancelled INVITE.
    check(
        "
        us: invite
        > INVITE
        peer: 180 INVITE
        ! Progress(1, 180)
        us: hangup
        ! Failed(1, 487)
        > CANCEL
        peer: 200 CANCEL
        wait 31999ms
        count
        = 1 calls, 1 transactions
        wait 1ms
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn patience_ends() {
    let mut config = EndpointConfig::new(us(), 1);
    config.answer_within = Duration::from_secs(60);
    check_with(
        config,
        "
        us: invite
        > INVITE
        peer: 180 INVITE
        ! Progress(1, 180)
        wait 60s
        @+60000ms ! Failed(1, 408)
        @+60000ms > CANCEL
        peer: 200 CANCEL
        peer: 487 INVITE
        > ACK
        ",
    );
}

#[test]
fn another_branch_of_a_fork_is_sent_away() {
    check(
        "
        us: invite
        > INVITE
        peer: 180 INVITE tag=a
        ! Progress(1, 180)
        peer: 200 INVITE tag=b sdp
        > ACK
        ! Answered(1 +sdp)
        peer: 200 INVITE tag=a sdp
        > ACK
        > BYE
        peer: 200 INVITE tag=a sdp
        > ACK
        peer: 200 BYE
        count
        = 1 calls, 2 transactions
        ",
    );
}

#[test]
fn our_reinvites() {
    let call = "
        us: invite
        > INVITE
        peer: 200 INVITE sdp
        > ACK
        ! Answered(1 +sdp)
        ";
    check(&format!(
        "{call}
        us: reinvite
        > INVITE
        us: reinvite
        ! WrongState
        # Glare: both offer at once (14.1, 14.2).
        peer: REINVITE
        > 491 INVITE
        peer: ACK hop
        peer: 491 INVITE
        > ACK
        # The owner of the Call-ID waits 2.1 to 4 s.
        wait 3500ms
        @+3320ms > INVITE
        peer: 200 INVITE sdp
        > ACK
        ! Renegotiated(1 +sdp)
        "
    ));
    check(&format!(
        "{call}
        us: reinvite
        > INVITE
        peer: 488 INVITE
        > ACK
        ! RenegotiationFailed(1, 488)
        us: reinvite
        > INVITE
        peer: 481 INVITE
        > ACK
        ! Ended(1, PeerGone(481))
        > BYE
        "
    ));
    check(&format!(
        "{call}
        us: reinvite
        > INVITE
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        "
    ));
}

#[test]
fn responses_that_are_not_ours_are_dropped() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    stage.play("us: invite");
    let invite = String::from_utf8(stage.requests[0].clone()).unwrap();
    let via = invite.lines().find(|l| l.starts_with("Via")).unwrap();
    let head = "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n";
    for vias in [
        format!("{via}\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx"),
        via.replace("192.0.2.1:5060", "192.0.2.1:5061"),
        via.replace("z9hG4bK", "z9hG4bKx"),
    ] {
        stage.feed(format!("SIP/2.0 200 OK\r\n{vias}\r\n{head}").as_bytes());
    }
    assert!(stage.endpoint.poll().is_none());
    assert_eq!(stage.endpoint.stats().strays, 3);
}

#[test]
fn what_an_invite_carries() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    stage.play("us: invite");
    let bytes = stage.requests[0].clone();
    let invite = message::parse(&bytes).unwrap();
    let text = |name| invite.header(name).unwrap().text().into_owned();
    assert!(text(Name::Via).starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
    assert!(text(Name::Via).ends_with(";rport"));
    assert_eq!(text(Name::To), "<sip:bob@example.com>");
    assert!(text(Name::From).starts_with("<sip:agent@192.0.2.1:5060>;tag="));
    assert_eq!(text(Name::Contact), "<sip:dauys@192.0.2.1:5060>");
    assert_eq!(text(Name::MaxForwards), "70");
    // A line break in a header of our user's is no way out of it.
    assert!(!invite.headers.iter().any(|h| h.name == "Injected"));
    stage.play("peer: 180 INVITE");
    assert_eq!(stage.endpoint.seen_as().unwrap().to_string(), "192.0.2.77:5099");
    let bad = InviteRequest { to: "mailto:a@b".to_owned(), ..support::invite_request() };
    assert!(stage.endpoint.invite(stage.now, bad).is_err());
}
