//! 401 and 407 to requests of ours: credentials, their numbers, and an end to it. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::Name;
use support::client::{Stage, stage};

fn answered() -> Stage {
    let mut stage = stage().signed();
    stage.check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 407 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +proxy-auth(1)
        udp:a: 200 INVITE sdp
        # An ACK cannot be challenged: it repeats what its INVITE said (22.1).
        > ACK udp:a #2 +proxy-auth(1)
        ! Answered(1 +sdp)
        ",
    );
    stage
}

#[test]
fn an_invite_proves_itself() {
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 100 INVITE
        udp:a: 407 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +proxy-auth(1)
        # The proxy did not hear our ACK.
        udp:a: 407 INVITE challenge old
        > ACK udp:a #1
        udp:a: 100 INVITE
        # Behind it the far end asks too.
        udp:a: 401 INVITE challenge
        > ACK udp:a #2
        > INVITE udp:a #3 +sdp +auth(1) +proxy-auth(2)
        udp:a: 180 INVITE
        ! Progress(1, 180)
        udp:a: 200 INVITE sdp
        > ACK udp:a #3 +auth(1) +proxy-auth(2)
        ! Answered(1 +sdp)
        wait 64s
        count
        = 1 calls, 0 transactions
        ",
    );
}

#[test]
fn what_is_of_no_use_is_not_tried() {
    // Nothing to prove.
    stage().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 401 INVITE challenge
        > ACK udp:a #1
        ! Failed(1, 401)
        ",
    );
    // A wrong password is wrong the second time too.
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 401 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +auth(1)
        udp:a: 401 INVITE challenge
        > ACK udp:a #2
        ! Failed(1, 401)
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // A challenge that says nothing.
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 401 INVITE
        > ACK udp:a #1
        ! Failed(1, 401)
        ",
    );
    // A server that is never content.
    let mut endless = stage().signed();
    endless.check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 401 INVITE challenge-stale
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +auth(1)
        udp:a: 401 INVITE challenge-stale
        > ACK udp:a #2
        > INVITE udp:a #3 +sdp +auth(1)
        udp:a: 401 INVITE challenge-stale
        > ACK udp:a #3
        > INVITE udp:a #4 +sdp +auth(1)
        udp:a: 401 INVITE challenge-stale
        > ACK udp:a #4
        > INVITE udp:a #5 +sdp +auth(1)
        udp:a: 401 INVITE challenge-stale
        > ACK udp:a #5
        ! Failed(1, 401)
        ",
    );
}

#[test]
fn a_call_given_up_is_not_tried_again() {
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        us: cancel
        ! Failed(1, 487)
        udp:a: 401 INVITE challenge
        > ACK udp:a #1
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // 9.1: no CANCEL before somebody answers the new INVITE; it goes without credentials (22.1).
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 100 INVITE
        udp:a: 401 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +auth(1)
        us: hangup 31
        ! Failed(1, 487)
        udp:a: 100 INVITE
        > CANCEL udp:a #2 Reason: Q.850;cause=31
        udp:a: 487 INVITE
        > ACK udp:a #2
        ",
    );
}

#[test]
fn another_server_asks_anew() {
    stage().signed().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        tcp:a: 401 INVITE challenge
        > ACK tcp:a #1
        > INVITE tcp:a #2 +sdp +auth(1)
        tcp:a: 503 INVITE
        > ACK tcp:a #2
        > INVITE tcp:b #2 +sdp +auth(2)
        tcp:b: 401 INVITE challenge
        > ACK tcp:b #2
        > INVITE tcp:b #3 +sdp +auth(1)
        tcp:b: 200 INVITE sdp
        > ACK tcp:b #3 +auth(1)
        ! Answered(1 +sdp)
        ",
    );
    // The same where the first one said nothing.
    stage().signed().to("tcp:a tcp:b").check(
        "
        us: invite
        > INVITE tcp:a #1 +sdp
        tcp:a: 401 INVITE challenge
        > ACK tcp:a #1
        > INVITE tcp:a #2 +sdp +auth(1)
        lost tcp:a
        > INVITE tcp:b #2 +sdp +auth(2)
        tcp:b: 401 INVITE challenge
        > ACK tcp:b #2
        > INVITE tcp:b #3 +sdp +auth(1)
        ",
    );
}

#[test]
fn requests_of_the_call_prove_themselves_unasked() {
    answered().check(
        "
        us: reinvite
        > INVITE udp:a #3 +sdp +proxy-auth(2)
        udp:a: 200 INVITE sdp
        > ACK udp:a #3 +proxy-auth(2)
        ! Renegotiated(1 +sdp)
        us: hangup 16
        ! Ended(1, LocalHangup)
        > BYE udp:a #4 +proxy-auth(3) Reason: Q.850;cause=16
        udp:a: 200 BYE
        ",
    );
}

#[test]
fn a_nonce_that_aged_is_replaced() {
    answered().check(
        "
        us: reinvite
        > INVITE udp:a #3 +sdp +proxy-auth(2)
        udp:a: 407 INVITE challenge
        > ACK udp:a #3
        > INVITE udp:a #4 +sdp +proxy-auth(1)
        udp:a: 200 INVITE sdp
        > ACK udp:a #4 +proxy-auth(1)
        ! Renegotiated(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #5 +proxy-auth(2)
        udp:a: 407 BYE challenge
        > BYE udp:a #6 +proxy-auth(1)
        udp:a: 407 BYE challenge
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_transfer_keeps_its_subscription() {
    let mut stage = answered();
    stage.check(
        "
        us: refer
        > REFER udp:a #3 +proxy-auth(2)
        udp:a: 407 REFER challenge
        > REFER udp:a #4 +proxy-auth(1)
        udp:a: 202 REFER
        ",
    );
    // RFC 3515 2.4.6: the subscription is known by the number that was accepted.
    assert_eq!(stage.last(Name::CSeq).unwrap(), "4 REFER");
    stage.check(
        "
        udp:a: NOTIFY event=refer;id=3
        > 481 udp:a
        udp:a: NOTIFY event=refer;id=4
        > 200 udp:a
        ! Transferred(1)
        ",
    );
}
