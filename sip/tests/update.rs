//! UPDATE from a peer (RFC 3311): before and after the answer, with and without an offer, and what it collides with. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::{self, Name, StartLine};
use sip::{EndpointConfig, Event, Output};
use support::{Stage, check_shown, us};

const CALL: &str = "
    peer: INVITE
    > 100 INVITE
    ! Incoming(1 +sdp)
    us: answer
    > 200 INVITE +sdp
    peer: ACK
    ! Established(1)
    ";

fn check(script: &str) {
    check_shown(EndpointConfig::new(us(), 1), &["sdp"], script);
}

#[test]
fn without_an_offer_it_is_answered_at_once() {
    check(&format!(
        "{CALL}
        peer: UPDATE
        > 200 UPDATE
        peer: again
        > 200 UPDATE
        peer: UPDATE cseq=1
        > 500 UPDATE
        wait 32s
        count
        = 1 calls, 0 transactions
        "
    ));
    check("peer: UPDATE\n> 481 UPDATE\npeer: UPDATE to=x\n> 481 UPDATE\ncount\n= 0 calls, 0 transactions");
    // Beside an exchange of offers too.
    check(&format!(
        "{CALL}
        us: reinvite
        > INVITE +sdp
        peer: UPDATE
        > 200 UPDATE
        peer: 200 INVITE sdp
        > ACK
        ! Renegotiated(1 +sdp)
        "
    ));
}

#[test]
fn it_moves_the_target() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["peer: INVITE", "us: answer", "peer: ACK"] {
        stage.play(line);
    }
    let invite = String::from_utf8(stage.responses.last().unwrap().clone()).unwrap();
    let to = invite.lines().find_map(|l| l.strip_prefix("To: ")).unwrap();
    let update = format!(
        "UPDATE sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKu\r\nFrom: <sip:alice@h>;tag=pt\r\n\
         To: {to}\r\nCall-ID: c1\r\nCSeq: 7 UPDATE\r\nContact: <sip:moved@192.0.2.11:5099>\r\n\r\n"
    );
    stage.feed(update.as_bytes());
    stage.play("us: hangup");
    let bye = message::parse(stage.requests.last().unwrap()).unwrap();
    assert!(matches!(bye.start, StartLine::Request { method: "BYE", uri: b"sip:moved@192.0.2.11:5099", .. }));
}

#[test]
fn an_offer_waits_for_our_user() {
    check(&format!(
        "{CALL}
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        # No 100 over UDP (RFC 4320); copies are absorbed.
        peer: again
        us: reinvite
        ! WrongState
        # RFC 3311 5.2: one at a time; RFC 3261 14.2 likewise.
        peer: UPDATE sdp
        > 500 UPDATE Retry-After: 1
        peer: UPDATE
        > 500 UPDATE Retry-After: 3
        peer: REINVITE
        > 500 INVITE Retry-After: 5
        peer: ACK hop
        us: accept
        > 200 UPDATE +sdp
        ! Renegotiated(1)
        us: accept
        ! WrongState
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        us: refuse 488
        > 488 UPDATE
        peer: again
        > 488 UPDATE
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        wait 30s
        @+30000ms > 504 UPDATE
        @+30000ms ! RenegotiationFailed(1, 504)
        us: reinvite
        > INVITE +sdp
        "
    ));
    check(&format!("{CALL}\npeer: UPDATE sdp type=text/plain\n> 415 UPDATE"));
    check(&format!("{CALL}\npeer: UPDATE require=x\n> 420 UPDATE Unsupported: x"));
    // Whoever hangs up, no request is left without its answer (RFC 3261 15.1.2).
    check(&format!(
        "{CALL}\npeer: UPDATE sdp\n! Reinvite(1 +sdp)\nus: hangup\n! Ended(1, LocalHangup)\n> 487 UPDATE\n> BYE"
    ));
    check(&format!(
        "{CALL}
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        peer: BYE
        > 200 BYE
        > 487 UPDATE
        ! Ended(1, RemoteHangup(None))
        peer: UPDATE
        > 481 UPDATE
        "
    ));
}

#[test]
fn offers_collide() {
    check(&format!(
        "{CALL}
        us: reinvite
        > INVITE +sdp
        peer: UPDATE sdp
        > 491 UPDATE
        peer: 491 INVITE
        > ACK
        # Not on its way any more: theirs may come first.
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        us: accept
        > 200 UPDATE +sdp
        ! Renegotiated(1)
        wait 2s
        @+1980ms > INVITE +sdp
        "
    ));
    // A 200 that is not acknowledged (RFC 5407 3.1.4).
    check(
        "
        peer: INVITE
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE +sdp
        peer: UPDATE sdp
        > 491 UPDATE
        peer: UPDATE
        > 200 UPDATE
        peer: ACK cseq=1
        ! Established(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: UPDATE
        > 481 UPDATE
        ",
    );
}

#[test]
fn before_our_answer() {
    // The INVITE's offer is open.
    check(
        "
        peer: INVITE +Supported=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: ring
        > 180 INVITE
        peer: UPDATE sdp
        > 500 UPDATE Retry-After: 1
        peer: UPDATE
        > 200 UPDATE
        us: progress 183 sdp
        > 183 INVITE +sdp
        peer: PRACK
        > 200 PRACK
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        us: answer
        ! WrongState
        us: accept
        > 200 UPDATE +sdp
        ! Renegotiated(1)
        us: answer
        > 200 INVITE +sdp
        peer: ACK cseq=1
        ! Established(1)
        ",
    );
    // Ours is.
    check(
        "
        peer: INVITE noffer +Supported=100rel
        > 100 INVITE
        ! Incoming(1)
        us: progress 183 sdp
        > 183 INVITE +sdp
        peer: UPDATE sdp
        > 491 UPDATE
        ",
    );
    // The call ends with it open.
    check(
        "
        peer: INVITE +Supported=100rel
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: progress 183 sdp
        > 183 INVITE +sdp
        peer: PRACK
        > 200 PRACK
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        peer: CANCEL cseq=1 branch=z9hG4bKp1
        > 200 CANCEL
        > 487 UPDATE
        > 487 INVITE
        ! Cancelled(1, 487)
        ",
    );
}

#[test]
fn before_their_answer() {
    let start = "
        us: invite
        > INVITE +sdp
        peer: 183 INVITE +Require=100rel +RSeq=1
        > PRACK
        ! Progress(1, 183)
        peer: 200 PRACK
        # Ours is open until they answer it reliably.
        peer: UPDATE sdp
        > 491 UPDATE
        peer: 183 INVITE sdp +Require=100rel +RSeq=2
        > PRACK
        ! Progress(1, 183 +sdp)
        peer: 200 PRACK
        peer: BYE
        > 481 BYE
        peer: INFO 5
        ! Info(1)
        > 200 INFO
        peer: UPDATE sdp
        ! Reinvite(1 +sdp)
        ";
    check(&format!(
        "{start}
        us: accept
        > 200 UPDATE +sdp
        ! Renegotiated(1)
        peer: 200 INVITE
        > ACK
        ! Answered(1 +sdp)
        peer: UPDATE
        > 200 UPDATE
        "
    ));
    // What becomes of the call answers for the offer.
    check(&format!("{start}\npeer: 200 INVITE\n> 487 UPDATE\n> ACK\n! Answered(1 +sdp)"));
    check(&format!("{start}\npeer: 486 INVITE\n> ACK\n> 487 UPDATE\n! Failed(1, 486)"));
    check(&format!(
        "{start}
        us: cancel
        ! Failed(1, 487)
        > 487 UPDATE
        > CANCEL
        peer: UPDATE sdp
        > 481 UPDATE
        peer: 200 CANCEL
        peer: 487 INVITE
        > ACK
        wait 64s
        count
        = 0 calls, 0 transactions
        "
    ));
    // An early dialog that nobody has heard of.
    check("us: invite\n> INVITE +sdp\npeer: UPDATE sdp\n> 481 UPDATE");
}

#[test]
fn media_goes_where_the_update_says() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["us: invite", "peer: 183 INVITE sdp +Require=100rel +RSeq=1", "peer: 200 PRACK"] {
        stage.play(line);
    }
    let prack = message::parse(stage.requests.last().unwrap()).unwrap();
    let text = |name| prack.header(name).unwrap().text().into_owned();
    let update = format!(
        "UPDATE sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKu\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 7 UPDATE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.99\r\nm=audio 4444 RTP/AVP 8\r\n",
        text(Name::To),
        text(Name::From),
        text(Name::CallId)
    );
    stage.feed(update.as_bytes());
    stage.drain();
    stage.play("us: accept");
    // The 200 repeats what holds no longer; it does not count (RFC 3261 13.2.1).
    let invite = message::parse(&stage.requests[0]).unwrap();
    let text = |name| invite.header(name).unwrap().text().into_owned();
    let ok = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=pt\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:bob@192.0.2.10>\r\nContent-Type: application/sdp\r\n\r\n{}",
        text(Name::Via),
        text(Name::From),
        text(Name::To),
        text(Name::CallId),
        support::SDP
    );
    stage.feed(ok.as_bytes());
    let answered = std::iter::from_fn(|| stage.endpoint.poll()).find_map(|o| match o {
        Output::Event(Event::Answered { sdp, .. }) => sdp,
        _ => None,
    });
    let media = &answered.unwrap().media[0];
    assert_eq!((media.address.unwrap().to_string().as_str(), media.port), ("192.0.2.99", 4444));
}
