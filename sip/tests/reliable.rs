//! Reliable provisional responses (RFC 3262), from both sides, as scripts on virtual time. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::EndpointConfig;
use std::time::Duration;
use support::client::stage;
use support::{Stage, check_shown, us};

fn check(script: &str) {
    check_shown(EndpointConfig::new(us(), 1), &["Require", "RSeq", "RAck", "sdp"], script);
}

#[test]
fn who_gets_them() {
    // Not without a wish.
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: progress 183 sdp
        > 183 INVITE +sdp
        us: ring
        > 180 INVITE
        us: progress 199
        ! BadStatus
        us: answer
        > 200 INVITE +sdp
        us: progress 183
        ! WrongState
        ",
    );
    // With a description where they can be had, the rest as ever.
    check(
        "
        peer: INVITE +Supported=timer,_100REL
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        us: progress 183 sdp
        > 183 INVITE Require: 100rel RSeq: +0 +sdp
        peer: PRACK
        > 200 PRACK
        # The description stands; it is not said twice.
        us: progress 183 sdp
        > 183 INVITE
        us: answer
        > 200 INVITE Require: timer +sdp
        ",
    );
    // Each of them where they must be.
    check(
        "
        peer: INVITE require=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE Require: 100rel RSeq: +0
        peer: PRACK
        > 200 PRACK
        us: progress 182
        > 182 INVITE Require: 100rel RSeq: +1
        peer: PRACK
        > 200 PRACK
        us: answer
        > 200 INVITE +sdp
        peer: ACK
        ! Established(1)
        ",
    );
}

#[test]
fn they_repeat_until_their_prack() {
    check(
        "
        peer: INVITE require=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE Require: 100rel RSeq: +0
        # One at a time: the newest waits, the description of an older one with it.
        us: progress 183 sdp
        us: progress 182
        wait 3500ms
        @+500ms > 180 INVITE Require: 100rel RSeq: +0
        @+1500ms > 180 INVITE Require: 100rel RSeq: +0
        @+3500ms > 180 INVITE Require: 100rel RSeq: +0
        peer: again INVITE
        > 180 INVITE Require: 100rel RSeq: +0
        peer: PRACK
        > 200 PRACK
        > 182 INVITE Require: 100rel RSeq: +1 +sdp
        peer: PRACK
        > 200 PRACK
        peer: again
        > 200 PRACK
        wait 149999ms
        # A sign of life for proxies (RFC 3262 3).
        wait 1ms
        @+150000ms > 182 INVITE Require: 100rel RSeq: +2
        peer: PRACK
        > 200 PRACK
        peer: CANCEL cseq=1 branch=z9hG4bKp1
        > 200 CANCEL
        > 487 INVITE
        ! Cancelled(1, 487)
        peer: ACK hop cseq=1 branch=z9hG4bKp1
        wait 40s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn without_a_prack_the_call_is_refused() {
    check(
        "
        peer: INVITE require=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: progress 183 sdp
        > 183 INVITE Require: 100rel RSeq: +0 +sdp
        wait 31999ms
        @+500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        @+1500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        @+3500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        @+7500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        @+15500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        @+31500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        us: answer
        us: answer
        ! WrongState
        us: ring
        ! WrongState
        us: reject 486
        ! WrongState
        wait 1ms
        @+1ms > 504 INVITE
        @+1ms ! Cancelled(1, 504)
        peer: PRACK
        > 481 PRACK
        peer: ACK hop cseq=1 branch=z9hG4bKp1
        wait 40s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_200_waits_for_a_described_one() {
    check(
        "
        peer: INVITE +Supported=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: progress 183 sdp
        > 183 INVITE Require: 100rel RSeq: +0 +sdp
        us: answer
        wait 500ms
        @+500ms > 183 INVITE Require: 100rel RSeq: +0 +sdp
        peer: PRACK
        > 200 PRACK
        > 200 INVITE +sdp
        peer: ACK cseq=1
        ! Established(1)
        ",
    );
    // Nor for one without a description; its PRACK is still taken, and it is repeated no more.
    check(
        "
        peer: INVITE require=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE Require: 100rel RSeq: +0
        us: progress 183
        us: answer
        > 200 INVITE +sdp
        peer: PRACK
        > 200 PRACK
        peer: PRACK
        > 481 PRACK
        wait 500ms
        @+500ms > 200 INVITE +sdp
        peer: ACK cseq=1
        ! Established(1)
        peer: PRACK
        > 481 PRACK
        ",
    );
    // A hang-up while it waits refuses the call, a CANCEL too.
    for (line, answers) in [
        ("us: hangup", "> 480 INVITE\n! Cancelled(1, 480)"),
        ("peer: CANCEL", "> 200 CANCEL\n> 487 INVITE\n! Cancelled(1, 487)"),
    ] {
        check(&format!(
            "
            peer: INVITE +Supported=100rel
            > 100 INVITE
            ! Incoming(1 +sdp)
            us: progress 183 sdp
            > 183 INVITE Require: 100rel RSeq: +0 +sdp
            us: answer
            {line}
            {answers}
            "
        ));
    }
}

#[test]
fn pracks_that_are_none() {
    for (words, answer) in [
        ("rack=1_1_INVITE", 481),
        ("rack=1_1", 400),
        ("rack=x_1_INVITE", 400),
        ("to=other", 481),
        // Still the INVITE's own offer is open (RFC 3261 13.2.1).
        ("sdp", 500),
        ("sdp type=text/plain", 415),
        ("require=x", 420),
    ] {
        let unsupported = if answer == 420 { " Unsupported: x" } else { "" };
        check(&format!(
            "
            peer: INVITE require=100rel
            > 100 INVITE
            ! Incoming(1 +sdp)
            us: ring
            > 180 INVITE Require: 100rel RSeq: +0
            peer: PRACK {words}
            > {answer} PRACK{unsupported}
            wait 500ms
            @+500ms > 180 INVITE Require: 100rel RSeq: +0
            peer: PRACK
            > 200 PRACK
            wait 30s
            "
        ));
    }
    // The right number of another INVITE, or of another method.
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["peer: INVITE require=100rel", "us: ring"] {
        stage.play(line);
    }
    let ringing = String::from_utf8(stage.responses.last().unwrap().clone()).unwrap();
    let rseq = ringing.lines().find_map(|l| l.strip_prefix("RSeq: ")).unwrap().to_owned();
    for (rack, answer) in [("_2_INVITE", "> 481 PRACK"), ("_1_BYE", "> 481 PRACK"), ("_1_INVITE", "> 200 PRACK")] {
        stage.play(&format!("peer: PRACK rack={rseq}{rack}"));
        assert_eq!(stage.transcript.last().unwrap(), answer, "{rack}");
    }
    check("peer: PRACK outside\n> 481 PRACK\npeer: PRACK to=x\n> 481 PRACK\ncount\n= 0 calls, 0 transactions");
}

#[test]
fn an_offer_in_a_prack() {
    let start = "
        peer: INVITE +Supported=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: progress 183 sdp
        > 183 INVITE Require: 100rel RSeq: +0 +sdp
        peer: PRACK sdp
        ! Reinvite(1 +sdp)
        us: answer
        ! WrongState
        peer: again
        ";
    check(&format!(
        "{start}
        us: accept
        > 200 PRACK +sdp
        ! Renegotiated(1)
        peer: again
        > 200 PRACK +sdp
        us: answer
        > 200 INVITE +sdp
        peer: ACK cseq=1
        ! Established(1)
        "
    ));
    check(&format!(
        "{start}
        us: refuse 488
        > 488 PRACK
        us: answer
        > 200 INVITE +sdp
        "
    ));
    check(&format!(
        "{start}
        wait 30s
        @+30000ms > 504 PRACK
        @+30000ms ! RenegotiationFailed(1, 504)
        peer: CANCEL cseq=1 branch=z9hG4bKp1
        > 200 CANCEL
        > 487 INVITE
        ! Cancelled(1, 487)
        "
    ));
    check(&format!("{start}\nus: reject 486\n> 487 PRACK\n> 486 INVITE\n! Cancelled(1, 486)"));
}

#[test]
fn our_offer_before_the_answer() {
    check(
        "
        peer: INVITE noffer +Supported=100rel
        > 100 INVITE
        ! Incoming(1)
        us: progress 183 sdp
        > 183 INVITE Require: 100rel RSeq: +0 +sdp
        us: answer
        # Our offer has to be answered here.
        peer: PRACK
        > 400 PRACK
        peer: PRACK sdp
        > 200 PRACK
        ! Renegotiated(1 +sdp)
        # A description here would be a second offer (RFC 3261 13.2.1).
        > 200 INVITE
        peer: ACK cseq=1
        ! Established(1 +sdp)
        ",
    );
    // Who does not know 100rel gets our offer with the 200.
    check(
        "
        peer: INVITE noffer
        > 100 INVITE
        ! Incoming(1)
        us: progress 183 sdp
        ! WrongState
        us: progress 183
        > 183 INVITE
        ",
    );
}

#[test]
fn the_caller_side() {
    check(
        "
        us: invite
        > INVITE +sdp
        peer: 100 INVITE
        peer: 180 INVITE +Require=100rel +RSeq=7
        > PRACK RAck: 7 1 INVITE
        ! Progress(1, 180)
        # A copy, and one before its time.
        peer: again
        peer: 183 INVITE sdp +Require=100rel +RSeq=9
        wait 500ms
        @+500ms > PRACK RAck: 7 1 INVITE
        peer: 200 PRACK
        peer: 183 INVITE sdp +Require=100rel +RSeq=8
        > PRACK RAck: 8 1 INVITE
        ! Progress(1, 183 +sdp)
        peer: 200 PRACK
        peer: 183 INVITE sdp +Require=100rel +RSeq=9
        > PRACK RAck: 9 1 INVITE
        ! Progress(1, 183 +sdp)
        peer: 200 PRACK
        # The answer has come already; the numbers of the early dialog go on.
        peer: 200 INVITE
        > ACK
        ! Answered(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: 200 BYE
        wait 40s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn forks_count_by_themselves() {
    check(
        "
        us: invite
        > INVITE +sdp
        peer: 180 INVITE tag=a +Require=100rel +RSeq=1
        > PRACK RAck: 1 1 INVITE
        ! Progress(1, 180)
        peer: 180 INVITE tag=b +Require=100rel +RSeq=50
        > PRACK RAck: 50 1 INVITE
        ! Progress(1, 180, fork 1)
        # Without a tag there is no dialog to acknowledge in; without RSeq nothing to acknowledge.
        peer: 183 INVITE tag=b +Require=100rel
        ! Progress(1, 183, fork 1)
        peer: 180 INVITE tag=a +Require=100rel +RSeq=2
        > PRACK RAck: 2 1 INVITE
        ! Progress(1, 180)
        peer: 200 INVITE tag=b sdp
        > ACK
        ! Answered(1 +sdp)
        peer: 200 INVITE tag=a sdp
        > ACK
        > BYE
        ",
    );
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in [
        "us: invite",
        "peer: 180 INVITE tag=a +Require=100rel +RSeq=1",
        "peer: 180 INVITE tag=a +Require=100rel +RSeq=2",
        "peer: 180 INVITE tag=b +Require=100rel +RSeq=1",
        "peer: 200 INVITE tag=b sdp",
        "peer: 200 INVITE tag=a sdp",
        "us: hangup",
    ] {
        stage.play(line);
    }
    // Each dialog's numbers go up, whoever else used them.
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    let line = |text: &str, name: &str| text.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned));
    let cseqs = |tag: &str| -> Vec<String> {
        let of_tag = stage.requests.iter().map(text).filter(|t| line(t, "To: ").unwrap().ends_with(tag));
        of_tag.map(|t| line(&t, "CSeq: ").unwrap()).collect()
    };
    assert_eq!(cseqs(";tag=a"), ["2 PRACK", "3 PRACK", "1 ACK", "4 BYE"]);
    assert_eq!(cseqs(";tag=b"), ["2 PRACK", "1 ACK", "3 BYE"]);
}

#[test]
fn nobody_cares_after_a_cancel() {
    let mut config = EndpointConfig::new(us(), 1);
    config.answer_within = Duration::from_secs(20);
    check_shown(
        config,
        &["RAck"],
        "
        us: invite
        > INVITE
        peer: 180 INVITE
        ! Progress(1, 180)
        us: cancel
        ! Failed(1, 487)
        > CANCEL
        peer: 183 INVITE sdp +Require=100rel +RSeq=8
        peer: 487 INVITE
        > ACK
        peer: 200 CANCEL
        wait 40s
        count
        = 0 calls, 0 transactions
        ",
    );
}

/// RFC 3262 5: where our INVITE had no offer, the first reliable description is one, and the PRACK answers it.
#[test]
fn their_offer_before_the_answer() {
    let start = "
        us: invite
        > INVITE udp:a #1
        udp:a: 183 INVITE sdp +Require=100rel +RSeq=1
        ! Reinvite(1 +sdp)
        ! Progress(1, 183 +sdp)
        udp:a: 183 INVITE sdp +Require=100rel +RSeq=1
        ";
    let offerless = || {
        let mut stage = stage();
        stage.invite.sdp = None;
        stage.check(start);
        stage
    };
    offerless().check(
        "
        wait 2s
        us: accept
        > PRACK udp:a #2 +sdp
        ! Renegotiated(1)
        us: accept
        ! WrongState
        udp:a: 200 PRACK
        udp:a: 180 INVITE +Require=100rel +RSeq=2
        > PRACK udp:a #3
        ! Progress(1, 180)
        udp:a: 200 PRACK
        # All is agreed: the ACK owes nothing.
        udp:a: 200 INVITE
        > ACK udp:a #1
        ! Answered(1 +sdp)
        us: acknowledge
        ! WrongState
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #4
        udp:a: 200 BYE
        wait 64s
        count
        = 0 calls, 0 transactions
        ",
    );
    // What cannot be refused ends the call.
    offerless().check(
        "
        us: refuse 200
        ! BadStatus
        us: refuse 488
        ! Failed(1, 488)
        > CANCEL udp:a #1
        udp:a: 200 CANCEL
        udp:a: 487 INVITE
        > ACK udp:a #1
        wait 64s
        count
        = 0 calls, 0 transactions
        ",
    );
    // Nobody decided, and they answer nonetheless: there is no session, as our user learns.
    offerless()
        .check("udp:a: 200 INVITE\n! Answered(1)\nus: hangup\n! Ended(1, LocalHangup)\n> ACK udp:a #1\n> BYE udp:a #2");
    offerless().check("udp:a: 504 INVITE\n> ACK udp:a #1\n! Failed(1, 504)\nus: accept\n! NoSuchCall");
}

/// A PRACK is challenged as anything else is (RFC 3261 22), and its number is nobody else's.
#[test]
fn a_prack_with_credentials() {
    let mut stage = stage().signed();
    stage.check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 407 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +proxy-auth(1)
        udp:a: 183 INVITE sdp +Require=100rel +RSeq=1
        > PRACK udp:a #3 +proxy-auth(2)
        ! Progress(1, 183 +sdp)
        udp:a: 407 PRACK challenge-stale
        > PRACK udp:a #4 +proxy-auth(1)
        udp:a: 200 PRACK
        udp:a: 183 INVITE +Require=100rel +RSeq=2
        > PRACK udp:a #5 +proxy-auth(2)
        ! Progress(1, 183)
        udp:a: 200 PRACK
        udp:a: 200 INVITE
        > ACK udp:a #2 +proxy-auth(1)
        ! Answered(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #6 +proxy-auth(3)
        ",
    );
}

/// A session interval and a password, each asked for in its turn.
#[test]
fn an_invite_that_needs_both() {
    stage().signed().check(
        "
        us: invite
        > INVITE udp:a #1 +sdp
        udp:a: 401 INVITE challenge
        > ACK udp:a #1
        > INVITE udp:a #2 +sdp +auth(1)
        udp:a: 422 INVITE +Min-SE=3600
        > ACK udp:a #2
        > INVITE udp:a #3 +sdp +auth(2)
        udp:a: 200 INVITE sdp
        > ACK udp:a #3 +auth(2)
        ! Answered(1 +sdp)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #4 +auth(3)
        udp:a: 200 BYE
        wait 64s
        count
        = 0 calls, 0 transactions
        ",
    );
}
