//! Blind transfer by us (RFC 3515), as scripts on virtual time and as a property. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use proptest::prelude::*;
use sip::message::{self, Name};
use sip::{EndpointConfig, Event, Output};
use std::time::Duration;
use support::{Stage, check, check_with, us};

const CALL: &str = "
    peer: INVITE
    > 100 INVITE
    ! Incoming(1 +sdp)
    us: answer
    > 200 INVITE
    peer: ACK
    ! Established(1)
    ";

/// A script in an answered call, from its REFER on.
fn referred(script: &str) {
    check(&format!("{CALL}\nus: refer\n> REFER\n{script}"));
}

#[test]
fn accepted_then_through() {
    referred(
        "
        us: refer
        ! WrongState
        peer: 202 REFER
        us: refer
        ! WrongState
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: NOTIFY 180 state=pending;expires=60
        > 200 NOTIFY
        peer: NOTIFY 200 state=terminated;reason=noresource
        > 200 NOTIFY
        ! Transferred(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: 200 BYE
        wait 32s
        count
        = 0 calls, 0 transactions
        ",
    );
    // The subscription may outlive its outcome; nothing is said twice.
    referred(
        "
        peer: 200 REFER
        peer: NOTIFY 200
        > 200 NOTIFY
        ! Transferred(1)
        peer: NOTIFY 503
        > 200 NOTIFY
        peer: NOTIFY state=terminated
        > 200 NOTIFY
        peer: NOTIFY 200
        > 481 NOTIFY
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        ",
    );
    // In a call of ours too.
    check(
        "
        us: invite
        > INVITE
        us: refer
        ! WrongState
        peer: 200 INVITE sdp
        > ACK
        ! Answered(1 +sdp)
        us: refer tel:+77010000000
        > REFER
        peer: 202 REFER
        peer: NOTIFY 200 state=terminated
        > 200 NOTIFY
        ! Transferred(1)
        ",
    );
}

#[test]
fn what_a_refer_says() {
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["peer: INVITE", "us: answer", "peer: ACK", "us: refer sips:carol%20x@192.0.2.20;user=phone"] {
        stage.play(line);
    }
    let refer = message::parse(stage.requests.last().unwrap()).unwrap();
    let text = |name| refer.header(name).unwrap().text().into_owned();
    assert_eq!(text(Name::ReferTo), "<sips:carol%20x@192.0.2.20;user=phone>");
    assert_eq!(text(Name::ReferredBy), "<sip:agent@192.0.2.1>");
    assert_eq!(text(Name::Contact), "<sip:dauys@192.0.2.1:5060>");
    assert_eq!(text(Name::CSeq), "1 REFER");
    assert!(text(Name::To).ends_with(";tag=pt") && text(Name::From).contains(";tag="));
    assert!(text(Name::Allow).contains("NOTIFY") && !text(Name::Allow).contains("REFER"));
    // The implicit subscription is wanted (RFC 4488).
    assert!(refer.header(Name::Supported).is_none() && refer.header(Name::Require).is_none());
    assert!(refer.body.is_empty());
}

#[test]
fn refused() {
    for status in [302, 401, 403, 405, 491, 501, 603] {
        referred(&format!(
            "
            peer: 100 REFER
            peer: {status} REFER
            ! TransferFailed(1, {status})
            # No subscription came of it.
            peer: NOTIFY 200
            > 481 NOTIFY
            us: refer
            > REFER
            peer: 202 REFER
            peer: NOTIFY 200 event=refer;id=2
            > 200 NOTIFY
            ! Transferred(1)
            "
        ));
    }
}

#[test]
fn the_peer_is_gone() {
    for status in [408, 481] {
        referred(&format!(
            "
            peer: {status} REFER
            ! TransferFailed(1, {status})
            ! Ended(1, PeerGone({status}))
            > BYE
            peer: 481 BYE
            wait 32s
            count
            = 0 calls, 0 transactions
            "
        ));
    }
    referred(
        "
        wait 32s
        @+500ms > REFER
        @+1500ms > REFER
        @+3500ms > REFER
        @+7500ms > REFER
        @+11500ms > REFER
        @+15500ms > REFER
        @+19500ms > REFER
        @+23500ms > REFER
        @+27500ms > REFER
        @+31500ms > REFER
        @+32000ms ! TransferFailed(1, 408)
        @+32000ms ! Ended(1, PeerGone(408))
        @+32000ms > BYE
        ",
    );
}

#[test]
fn the_target_refuses() {
    referred(
        "
        peer: 202 REFER
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: NOTIFY 486 state=terminated;reason=noresource
        > 200 NOTIFY
        ! TransferFailed(1, 486)
        # The call goes on, and another target may be tried; the old subscription is not the new one.
        us: refer
        > REFER
        peer: 202 REFER
        peer: NOTIFY 200 event=refer;id=1
        > 481 NOTIFY
        peer: NOTIFY 200 event=refer;id=2
        > 200 NOTIFY
        ! Transferred(1)
        ",
    );
    // A peer that leaves after the failure has not been transferred.
    referred(
        "
        peer: 202 REFER
        peer: NOTIFY 302
        > 200 NOTIFY
        ! TransferFailed(1, 302)
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        ",
    );
}

#[test]
fn the_outcome_never_comes() {
    referred(
        "
        peer: 202 REFER
        wait 61999ms
        peer: NOTIFY 180
        > 200 NOTIFY
        wait 1ms
        @+1ms ! TransferFailed(1, 408)
        # Too late to be believed.
        peer: NOTIFY 200
        > 200 NOTIFY
        us: refer
        > REFER
        ",
    );
    let mut config = EndpointConfig::new(us(), 1);
    config.transfer_within = Duration::ZERO;
    let script = "us: refer\n> REFER\npeer: 202 REFER\nwait 32s\n@+32000ms ! TransferFailed(1, 408)";
    check_with(config, &format!("{CALL}\n{script}"));
    // Ended before it said how.
    for words in ["state=terminated;reason=timeout", "180 state=Terminated"] {
        referred(&format!("peer: 202 REFER\npeer: NOTIFY {words}\n> 200 NOTIFY\n! TransferFailed(1, 408)"));
    }
    // A hang-up of ours leaves nothing to wait for.
    referred(
        "
        peer: 202 REFER
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE
        peer: NOTIFY 200
        > 200 NOTIFY
        peer: 200 BYE
        wait 70s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_bye_instead_of_an_outcome() {
    referred(
        "
        peer: 202 REFER
        peer: BYE
        > 200 BYE
        ! Transferred(1)
        ! Ended(1, RemoteHangup(None))
        peer: NOTIFY 200
        > 481 NOTIFY
        wait 70s
        count
        = 0 calls, 0 transactions
        ",
    );
    referred(
        "
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: BYE
        > 200 BYE
        ! Transferred(1)
        ! Ended(1, RemoteHangup(None))
        ",
    );
    // Not accepted: nobody knows where they went.
    referred(
        "
        peer: 100 REFER
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        peer: 202 REFER
        wait 70s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_notify_overtakes_the_202() {
    referred("peer: NOTIFY 200\n> 200 NOTIFY\n! Transferred(1)\npeer: 202 REFER");
    referred(
        "
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: 202 REFER
        peer: NOTIFY 404 state=terminated
        > 200 NOTIFY
        ! TransferFailed(1, 404)
        ",
    );
    // Some hop lost the 202 for good; the NOTIFY shows that it was meant.
    referred(
        "
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: 408 REFER
        peer: NOTIFY 200
        > 200 NOTIFY
        ! Transferred(1)
        ",
    );
    // Nor does the timer of that REFER end the call: after 32 s it only stops.
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["peer: INVITE", "us: answer", "peer: ACK", "us: refer", "peer: NOTIFY 100", "wait 40s"] {
        stage.play(line);
    }
    let said = |stage: &Stage| stage.transcript.iter().filter(|l| l.contains("! ")).cloned().collect::<Vec<_>>();
    assert_eq!(said(&stage), ["! Incoming(1 +sdp)", "! Established(1)"]);
    stage.play("peer: NOTIFY 200");
    assert_eq!(said(&stage).last().unwrap(), "! Transferred(1)");
    // What the first REFER gets in the end is nothing to the second.
    for status in [202, 408, 481, 603] {
        referred(&format!(
            "
            peer: NOTIFY 503
            > 200 NOTIFY
            ! TransferFailed(1, 503)
            us: refer
            > REFER
            peer: {status} REFER old
            peer: 202 REFER
            peer: NOTIFY 200
            > 200 NOTIFY
            ! Transferred(1)
            "
        ));
    }
}

#[test]
fn retransmissions() {
    referred(
        "
        wait 600ms
        @+500ms > REFER
        peer: 202 REFER
        peer: again
        wait 10s
        peer: NOTIFY 200 state=terminated
        > 200 NOTIFY
        ! Transferred(1)
        peer: again
        > 200 NOTIFY
        # An older NOTIFY that was overtaken (RFC 3261 12.2.2).
        peer: NOTIFY 100 cseq=1
        > 500 NOTIFY
        ",
    );
}

#[test]
fn targets_that_are_none() {
    for target in ["bob", "mailto:bob@h", "<sip:bob@h>", "sip:bob@h?X=y", "sip:bob@h;method=BYE", "sip:%0d%0a@h"] {
        check(&format!("{CALL}\nus: refer {target}\n! BadUri\nus: refer\n> REFER"));
    }
    let mut stage = Stage::new(EndpointConfig::new(us(), 1));
    for line in ["peer: INVITE", "us: answer", "peer: ACK", "us: refer sip:bob@h\r\nInjected:x"] {
        stage.play(line);
    }
    assert_eq!(stage.transcript.last().unwrap(), "! BadUri");
    assert!(stage.requests.is_empty());
    // Not before the call stands, not after it.
    check("peer: INVITE\n> 100 INVITE\n! Incoming(1 +sdp)\nus: refer\n! WrongState");
    check(&format!("{CALL}\npeer: BYE\n> 200 BYE\n! Ended(1, RemoteHangup(None))\nus: refer\n! NoSuchCall"));
    check("peer: INVITE\n> 100 INVITE\n! Incoming(1 +sdp)\nus: answer\n> 200 INVITE\nus: refer\n! WrongState");
    let mut config = EndpointConfig::new(us(), 1);
    config.max_transactions = 1;
    check_with(config, &format!("{CALL}\nus: refer\n! Full"));
}

#[test]
fn notifies_that_are_none() {
    // (words, answer); none of them changes anything.
    for (words, answer) in [
        ("200 event=presence", 489),
        ("200 event=none", 489),
        ("200 event=refer;id=7", 481),
        ("200 event=refer;id=x", 481),
        ("200 event=refer;;", 489),
        ("200 state=;", 400),
        ("200 state=a_b(c", 400),
        ("200 type=text/plain", 415),
        ("body=hello", 400),
        ("body=SIP/2.0_999_X", 400),
        ("body=SIP/2.0_20", 400),
        ("body=SIP/2.0_2000_OK state=terminated", 400),
        ("200 type=;", 400),
        ("200 require=x", 420),
    ] {
        let unsupported = if answer == 420 { " Unsupported: x" } else { "" };
        referred(&format!(
            "
            peer: 202 REFER
            peer: NOTIFY {words}
            > {answer} NOTIFY{unsupported}
            peer: NOTIFY 486
            > 200 NOTIFY
            ! TransferFailed(1, 486)
            "
        ));
    }
    // Without a transfer, and from strangers.
    check(&format!("{CALL}\npeer: NOTIFY 200\n> 481 NOTIFY\npeer: NOTIFY 200 event=dialog\n> 489 NOTIFY"));
    check("peer: NOTIFY 200\n> 481 NOTIFY\npeer: NOTIFY 200 to=x\n> 481 NOTIFY\ncount\n= 0 calls, 0 transactions");
    check(&format!("{CALL}\npeer: REFER\n> 405 REFER\npeer: REFER outside\n> 405 REFER"));
    // Lenient where nothing is in doubt.
    for words in ["200 state=none", "200 event=Refer;id=1", "200 type=message/SIPFRAG", "body=sip/2.0_200"] {
        referred(&format!("peer: NOTIFY {words}\n> 200 NOTIFY\n! Transferred(1)"));
    }
}

#[test]
fn beside_a_reinvite() {
    // The peer puts us on hold before it looks for the other one, as phones do.
    referred(
        "
        peer: REINVITE
        > 100 INVITE
        ! Reinvite(1 +sdp)
        peer: 202 REFER
        us: accept
        > 200 INVITE
        peer: NOTIFY 100
        > 200 NOTIFY
        peer: ACK
        ! Renegotiated(1)
        peer: NOTIFY 200
        > 200 NOTIFY
        ! Transferred(1)
        ",
    );
    // Ours collides with theirs, the REFER with neither.
    check(&format!(
        "{CALL}
        us: reinvite
        > INVITE
        us: refer
        > REFER
        peer: REINVITE
        > 491 INVITE
        peer: ACK hop
        peer: 491 INVITE
        > ACK
        peer: 202 REFER
        peer: BYE
        > 200 BYE
        ! Transferred(1)
        ! Ended(1, RemoteHangup(None))
        wait 70s
        count
        = 0 calls, 0 transactions
        "
    ));
    // A re-INVITE that finds nobody ends the call; the transfer's fate is not known.
    referred(
        "
        us: reinvite
        > INVITE
        peer: 481 INVITE
        > ACK
        ! Ended(1, PeerGone(481))
        > BYE
        peer: 202 REFER
        ",
    );
}

/// Things that can happen to a transfer, in any order.
fn steps() -> impl Strategy<Value = Vec<String>> {
    let status = prop_oneof![Just(100), Just(180), Just(200), Just(202), Just(302), Just(408), Just(481), Just(603)];
    let state = prop_oneof![Just("active"), Just("pending"), Just("terminated;reason=noresource"), Just("none")];
    let event = prop_oneof![4 => Just("refer"), 1 => Just("refer;id=1"), 1 => Just("refer;id=2"), 1 => Just("talk")];
    let body = "[ -~]{0,16}".prop_map(|b| b.replace(' ', "_"));
    let step = prop_oneof![
        4 => (status.clone(), state.clone(), event.clone()).prop_map(|(c, s, e)| format!("peer: NOTIFY {c} state={s} event={e}")),
        2 => (body, state, event).prop_map(|(b, s, e)| format!("peer: NOTIFY body={b} state={s} event={e}")),
        2 => status.prop_map(|status| format!("peer: {status} REFER")),
        1 => Just("peer: again".to_owned()),
        1 => Just("peer: REINVITE".to_owned()),
        1 => Just("peer: BYE".to_owned()),
        1 => Just("us: hangup".to_owned()),
        2 => Just("us: refer".to_owned()),
        2 => (1..40_000u32).prop_map(|ms| format!("wait {ms}ms")),
    ];
    prop::collection::vec(step, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every REFER has one outcome at most, none after the last event, exactly one if the call lives on;
    /// and nothing is left.
    #[test]
    fn one_outcome_each(steps in steps()) {
        let mut stage = Stage::new(EndpointConfig::new(us(), 1));
        for line in ["peer: INVITE", "us: answer", "peer: ACK", "us: refer"] {
            stage.play(line);
        }
        for step in &steps {
            stage.play(step);
        }
        stage.play("wait 100s");
        let log = stage.transcript.join("\n");
        let at = |word: &str| stage.transcript.iter().position(|l| l.contains(word));
        let count = |word: &str| stage.transcript.iter().filter(|l| l.contains(word)).count();
        let taken = stage.transcript.windows(2).filter(|w| w[0] == "us: refer" && !w[1].starts_with("! ")).count();
        let told = count("! Transferred") + count("! TransferFailed");
        let ended = at("! Ended");
        prop_assert!(count("! Ended") <= 1, "{}", log);
        prop_assert!(told <= taken && taken <= told + 1, "{}", log);
        prop_assert!(told == taken || ended.is_some(), "{}", log);
        let after = ended.map_or(&[][..], |at| &stage.transcript[at..]);
        prop_assert!(!after.iter().any(|l| l.contains("! Transfer")), "{}", log);
        prop_assert_eq!(stage.endpoint.stats().overflow, 0);
        stage.play("us: hangup");
        stage.play("wait 70s");
        prop_assert_eq!((stage.endpoint.calls(), stage.endpoint.transactions(), stage.endpoint.deadline()), (0, 0, None));
    }

    /// No NOTIFY whatsoever brings more than an answer and one outcome.
    #[test]
    fn any_notify(event in "[ -~]{0,24}", state in "[ -~]{0,24}", kind in "[ -~]{0,30}", body in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut stage = Stage::new(EndpointConfig::new(us(), 1));
        for line in ["peer: INVITE", "us: answer", "peer: ACK", "us: refer"] {
            stage.play(line);
        }
        let refer = message::parse(stage.requests.last().unwrap()).unwrap();
        let text = |name| refer.header(name).unwrap().text().into_owned();
        let mut notify = format!(
            "NOTIFY sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKn\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: 9 NOTIFY\r\nEvent: {event}\r\nSubscription-State: {state}\r\nContent-Type: {kind}\r\n\r\n",
            text(Name::To), text(Name::From), text(Name::CallId)
        ).into_bytes();
        notify.extend_from_slice(&body);
        stage.feed(&notify);
        let outputs: Vec<Output> = std::iter::from_fn(|| stage.endpoint.poll()).collect();
        let is_answer = |o: &Output| matches!(o, Output::Send { bytes, .. } if bytes.starts_with(b"SIP/2.0 "));
        prop_assert!(outputs.first().is_some_and(is_answer));
        let is_outcome = |o: &Output| matches!(o, Output::Event(Event::Transferred { .. } | Event::TransferFailed { .. }));
        prop_assert!(outputs.len() <= 2 && outputs.iter().skip(1).all(is_outcome), "{:?}", outputs);
    }
}
