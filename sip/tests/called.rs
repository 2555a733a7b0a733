//! Calls made to us, as scripts on virtual time. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::EndpointConfig;
use std::time::Duration;
use support::{check, check_with, us};

#[test]
fn a_whole_call() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        us: answer
        > 200 INVITE
        peer: ACK
        ! Established(1)
        peer: INFO 5
        ! Info(1)
        > 200 INFO
        peer: OPTIONS
        > 200 OPTIONS
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        count
        = 0 calls, 4 transactions
        peer: again
        > 200 BYE
        wait 32s
        count
        = 0 calls, 0 transactions
        peer: again
        > 481 BYE
        ",
    );
}

#[test]
fn unknown_dialogs() {
    check("peer: INFO 5\n> 481 INFO");
    check("peer: BYE\n> 481 BYE\npeer: BYE to=unknown\n> 481 BYE\npeer: INVITE to=unknown\n> 481 INVITE");
}

#[test]
fn every_copy_of_an_invite_gets_the_last_response() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        wait 500ms
        peer: again
        > 100 INVITE
        us: ring
        > 180 INVITE
        peer: again
        > 180 INVITE
        us: answer
        > 200 INVITE
        # RFC 6026: absorbed; the 200 repeats itself.
        peer: again
        wait 500ms
        @+500ms > 200 INVITE
        peer: ACK
        ! Established(1)
        peer: ACK
        ",
    );
}

#[test]
fn a_200_repeats_until_64_t1_then_bye() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        wait 31999ms
        @+500ms > 200 INVITE
        @+1500ms > 200 INVITE
        @+3500ms > 200 INVITE
        @+7500ms > 200 INVITE
        @+11500ms > 200 INVITE
        @+15500ms > 200 INVITE
        @+19500ms > 200 INVITE
        @+23500ms > 200 INVITE
        @+27500ms > 200 INVITE
        @+31500ms > 200 INVITE
        wait 1ms
        @+32000ms ! Ended(1, NoAck)
        @+32000ms > BYE
        peer: 200 BYE
        wait 5s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_hangup_waits_for_the_ack() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        us: hangup 200
        ! Ended(1, LocalHangup)
        us: hangup
        ! NoSuchCall
        wait 500ms
        @+500ms > 200 INVITE
        peer: ACK
        > BYE Reason: SIP;cause=200;text=\"Call \\\"done\\\"\"
        wait 1500ms
        @+500ms > BYE Reason: SIP;cause=200;text=\"Call \\\"done\\\"\"
        @+1500ms > BYE Reason: SIP;cause=200;text=\"Call \\\"done\\\"\"
        peer: 481 BYE
        count
        = 0 calls, 2 transactions
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn nobody_answers_our_bye() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        peer: ACK
        ! Established(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        wait 32s
        @+500ms > BYE
        @+1500ms > BYE
        @+3500ms > BYE
        @+7500ms > BYE
        @+11500ms > BYE
        @+15500ms > BYE
        @+19500ms > BYE
        @+23500ms > BYE
        @+27500ms > BYE
        @+31500ms > BYE
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn both_hang_up_at_once() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        peer: ACK
        ! Established(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: BYE
        > 200 BYE
        peer: 200 BYE
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_rejection_repeats_until_its_ack() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: reject 200
        ! BadStatus
        us: reject 503 30s
        > 503 INVITE Retry-After: 30
        ! Cancelled(1, 503)
        us: answer
        ! NoSuchCall
        wait 3500ms
        @+500ms > 503 INVITE Retry-After: 30
        @+1500ms > 503 INVITE Retry-After: 30
        @+3500ms > 503 INVITE Retry-After: 30
        peer: again
        > 503 INVITE Retry-After: 30
        peer: ACK hop
        count
        = 0 calls, 1 transactions
        # Timer I, 5 s.
        wait 5s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn an_unacknowledged_rejection_ends_with_timer_h() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: reject 486
        > 486 INVITE
        ! Cancelled(1, 486)
        wait 32s
        @+500ms > 486 INVITE
        @+1500ms > 486 INVITE
        @+3500ms > 486 INVITE
        @+7500ms > 486 INVITE
        @+11500ms > 486 INVITE
        @+15500ms > 486 INVITE
        @+19500ms > 486 INVITE
        @+23500ms > 486 INVITE
        @+27500ms > 486 INVITE
        @+31500ms > 486 INVITE
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn cancels() {
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        peer: CANCEL
        > 200 CANCEL
        > 487 INVITE
        ! Cancelled(1, 487)
        peer: again
        > 200 CANCEL
        peer: ACK hop
        wait 500ms
        us: answer
        ! NoSuchCall
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // Too late: the 200 stands, the caller must hang up.
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        peer: CANCEL
        > 200 CANCEL
        peer: ACK
        ! Established(1)
        ",
    );
    check("peer: CANCEL\n> 481 CANCEL");
    // A BYE instead of a CANCEL.
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        peer: BYE
        > 200 BYE
        > 487 INVITE
        ! Cancelled(1, 487)
        ",
    );
}

#[test]
fn nobody_here_answers() {
    let mut config = EndpointConfig::new(us(), 1);
    config.answer_within = Duration::from_secs(150);
    check_with(
        config.clone(),
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        wait 150s
        @+60000ms > 180 INVITE
        @+120000ms > 180 INVITE
        @+150000ms > 480 INVITE
        @+150000ms ! Cancelled(1, 480)
        ",
    );
    check_with(
        config,
        "
        peer: INVITE expires=20
        > 100 INVITE
        ! Incoming(1 +sdp)
        wait 20s
        @+20000ms > 487 INVITE
        @+20000ms ! Cancelled(1, 487)
        ",
    );
}

#[test]
fn the_rules_of_8_2() {
    check("peer: INVITE require=100rel,x,timer\n> 420 INVITE Unsupported: x");
    check("peer: INVITE require=x,y\n> 420 INVITE Unsupported: x, y");
    check("peer: INVITE type=text/plain\n> 415 INVITE");
    check("peer: INVITE accept=text/plain\n> 406 INVITE");
    check("peer: INVITE uri=mailto:a@b\n> 416 INVITE");
    check("peer: INVITE uri=tel:+77010000000\n> 100 INVITE\n! Incoming(1 +sdp)");
    check("peer: OPTIONS\n> 200 OPTIONS\ncount\n= 0 calls, 0 transactions");
    check("peer: OPTIONS require=x\n> 420 OPTIONS Unsupported: x");
    check("peer: REGISTER\n> 405 REGISTER\npeer: SUBSCRIBE to=x\n> 405 SUBSCRIBE\npeer: JUMP\n> 501 JUMP");
    check("peer: ACK\npeer: ACK to=unknown\ncount\n= 0 calls, 0 transactions");
    // The same request by another way (8.2.2.2).
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        peer: INVITE cseq=1 branch=z9hG4bKother
        > 482 INVITE
        ",
    );
}

#[test]
fn out_of_order_inside_a_dialog() {
    check(
        "
        peer: INVITE cseq=10
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        peer: ACK
        ! Established(1)
        peer: INFO 1 cseq=12
        ! Info(1)
        > 200 INFO
        peer: INFO 2 cseq=11
        > 500 INFO
        # The same number in another transaction is not new either.
        peer: INFO 3 cseq=12
        > 500 INFO
        peer: OPTIONS require=x
        > 420 OPTIONS Unsupported: x
        peer: PUBLISH
        > 405 PUBLISH
        peer: BYE reason=Q.850;cause=16
        > 200 BYE
        ! Ended(1, RemoteHangup(Some(Reason { cause: 16, .. })))
        ",
    );
}

#[test]
fn an_offerless_invite_gets_our_offer() {
    check(
        "
        peer: INVITE noffer
        > 100 INVITE
        ! Incoming(1)
        us: answer
        > 200 INVITE
        peer: ACK sdp
        ! Established(1 +sdp)
        peer: REINVITE noffer
        > 100 INVITE
        ! Reinvite(1)
        us: accept
        > 200 INVITE
        peer: ACK sdp
        ! Renegotiated(1 +sdp)
        ",
    );
}

#[test]
fn their_reinvites() {
    let call = "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE
        ";
    check(&format!(
        "{call}
        # Before the ACK of the first 200 (RFC 5407 3.1.4).
        peer: REINVITE
        > 491 INVITE
        peer: ACK hop
        peer: ACK cseq=1
        ! Established(1)
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: reinvite
        ! WrongState
        peer: again
        > 100 INVITE
        peer: REINVITE
        > 500 INVITE Retry-After: 1
        "
    ));
    check(&format!(
        "{call}
        peer: ACK
        ! Established(1)
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: refuse 488
        > 488 INVITE
        wait 500ms
        @+500ms > 488 INVITE
        peer: ACK hop
        us: accept
        ! WrongState
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        peer: CANCEL
        > 200 CANCEL
        > 487 INVITE
        ! RenegotiationFailed(1, 487)
        peer: ACK hop
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        wait 30s
        @+30000ms > 480 INVITE
        @+30000ms ! RenegotiationFailed(1, 480)
        peer: ACK hop
        peer: REINVITE type=text/plain
        > 415 INVITE
        peer: ACK hop
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > 487 INVITE
        > BYE
        "
    ));
    // A re-INVITE's 200 that nobody acknowledges ends the call too.
    check(&format!(
        "{call}
        peer: ACK
        ! Established(1)
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: accept
        > 200 INVITE
        wait 32s
        @+500ms > 200 INVITE
        @+1500ms > 200 INVITE
        @+3500ms > 200 INVITE
        @+7500ms > 200 INVITE
        @+11500ms > 200 INVITE
        @+15500ms > 200 INVITE
        @+19500ms > 200 INVITE
        @+23500ms > 200 INVITE
        @+27500ms > 200 INVITE
        @+31500ms > 200 INVITE
        @+32000ms ! Ended(1, NoAck)
        @+32000ms > BYE
        "
    ));
}

#[test]
fn admission() {
    let mut config = EndpointConfig::new(us(), 1);
    config.max_calls = 1;
    check_with(
        config,
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        peer: INVITE call=c2
        > 503 INVITE Retry-After: 5
        count
        = 1 calls, 1 transactions
        us: invite
        ! Full
        us: reject 486
        > 486 INVITE
        ! Cancelled(1, 486)
        peer: INVITE call=c3
        > 100 INVITE
        ! Incoming(2 +sdp)
        ",
    );
}
