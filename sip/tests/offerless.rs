//! INVITEs of ours without an offer, and forks seen from the caller. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use support::client::{SDP, Stage, stage};

fn offerless() -> Stage {
    let mut stage = stage();
    stage.invite.sdp = None;
    stage.check(
        "
        us: invite
        > INVITE udp:a #1
        udp:a: 180 INVITE
        ! Progress(1, 180)
        ",
    );
    stage
}

#[test]
fn the_answer_goes_into_the_ack() {
    offerless().check(
        "
        udp:a: 200 INVITE sdp
        ! Answered(1 +sdp)
        # Nothing to say yet.
        udp:a: 200 INVITE sdp
        us: reinvite
        ! WrongState
        us: refer
        ! WrongState
        wait 2s
        us: acknowledge
        > ACK udp:a #1 +sdp
        us: acknowledge
        ! WrongState
        udp:a: 200 INVITE sdp
        > ACK udp:a #1 +sdp
        us: reinvite
        > INVITE udp:a #2 +sdp
        udp:a: 200 INVITE sdp
        > ACK udp:a #2
        ! Renegotiated(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #3
        udp:a: 200 BYE
        wait 64s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn an_offer_that_nobody_answers_is_refused() {
    offerless().check(
        "
        udp:a: 200 INVITE sdp
        ! Answered(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > ACK udp:a #1 +refusal
        > BYE udp:a #2
        ",
    );
    // The CANCEL crossed the 200.
    offerless().check(
        "
        us: cancel
        ! Failed(1, 487)
        > CANCEL udp:a #1
        udp:a: 200 INVITE sdp
        > ACK udp:a #1 +refusal
        > BYE udp:a #2
        ",
    );
    // Another branch answers with an offer of its own.
    offerless().check(
        "
        udp:a: 200 INVITE sdp
        ! Answered(1 +sdp)
        udp:a: 200 INVITE sdp tag=other
        > ACK udp:a #1 +refusal
        > BYE udp:a #2
        us: acknowledge
        > ACK udp:a #1 +sdp
        ",
    );
    // No offer at all.
    offerless().check(
        "
        udp:a: 200 INVITE
        ! Answered(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > ACK udp:a #1
        > BYE udp:a #2
        ",
    );
}

#[test]
fn what_comes_before_our_answer() {
    offerless().check(
        "
        udp:a: 200 INVITE sdp
        ! Answered(1 +sdp)
        udp:a: INVITE in=call
        > 491 udp:a
        udp:a: BYE
        > 200 udp:a
        ! Ended(1, RemoteHangup(None))
        us: acknowledge
        ! NoSuchCall
        ",
    );
    // Not after an offer of our own.
    stage().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        us: acknowledge
        ! WrongState
        udp:a: 200 INVITE sdp
        > ACK udp:a #1
        ! Answered(1 +sdp)
        us: acknowledge
        ! WrongState
        ",
    );
}

#[test]
fn a_large_answer_goes_by_tcp() {
    let mut stage = offerless();
    stage.check(
        "
        udp:a: 200 INVITE sdp
        ! Answered(1 +sdp)
        ",
    );
    stage.invite.sdp = Some(format!("{SDP}{}", "a=x-padding:01234567890123456789\r\n".repeat(40)));
    stage.check(
        "
        us: acknowledge
        > ACK tcp:a #1 +sdp
        lost tcp:a
        > ACK udp:a #1 +sdp
        lost udp:a
        udp:a: 200 INVITE sdp
        > ACK udp:a #1 +sdp
        ",
    );
}

#[test]
fn forks_are_told_apart() {
    stage().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 180 INVITE tag=x
        ! Progress(1, 180)
        udp:a: 183 INVITE tag=y sdp
        ! Progress(1, 183 +sdp, fork 1)
        udp:a: 183 INVITE tag=x
        ! Progress(1, 183)
        # The description of another branch is not the answer's.
        udp:a: 200 INVITE tag=x
        > ACK udp:a #1
        ! Answered(1)
        udp:a: 200 INVITE tag=y
        > ACK udp:a #1
        > BYE udp:a #2
        ",
    );
    // A stranger with many tags.
    let mut stage = stage();
    stage.check("us: invite\n> INVITE udp:a #1 +sdp\nudp:a: 180 INVITE tag=0\n! Progress(1, 180)");
    for n in 1..40 {
        let progress = if n < 8 { format!("! Progress(1, 180, fork {n})") } else { String::new() };
        stage.check(&format!("udp:a: 180 INVITE tag={n}\n{progress}"));
    }
}
