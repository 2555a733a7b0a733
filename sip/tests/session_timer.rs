//! Session timers (RFC 4028) from both sides: what is agreed, who refreshes, what ends a call. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::EndpointConfig;
use std::time::Duration;
use support::{check_shown, us};

const SHOWN: &[&str] = &["Session-Expires", "Min-SE", "Require", "sdp"];

fn check(script: &str) {
    check_shown(EndpointConfig::new(us(), 1), SHOWN, script);
}

/// With nothing that we want ourselves.
fn check_quiet(script: &str) {
    let mut config = EndpointConfig::new(us(), 1);
    config.session_expires = None;
    check_shown(config, SHOWN, script);
}

/// What a caller asks for, and what our 200 says to it.
#[test]
fn what_a_200_agrees_to() {
    let both = [
        // Neither knows of it.
        ("", "", ""),
        // Only we want it; the caller knows it.
        ("+Supported=timer", " Session-Expires: 1800;refresher=uac Require: timer", ""),
        ("+Supported=timer +Min-SE=4000", " Session-Expires: 4000;refresher=uac Require: timer", ""),
        // The caller wants less, or more, than we do.
        (
            "+Supported=timer +Session-Expires=600",
            " Session-Expires: 600;refresher=uac Require: timer",
            " Session-Expires: 600;refresher=uac Require: timer",
        ),
        (
            "+Supported=timer +Session-Expires=7200;refresher=uas",
            " Session-Expires: 1800;refresher=uas Require: timer",
            " Session-Expires: 7200;refresher=uas Require: timer",
        ),
        (
            "+Supported=timer +Session-Expires=7200 +Min-SE=3600",
            " Session-Expires: 3600;refresher=uac Require: timer",
            " Session-Expires: 7200;refresher=uac Require: timer",
        ),
        (
            "require=timer +x=90;refresher=uac",
            " Session-Expires: 90;refresher=uac Require: timer",
            " Session-Expires: 90;refresher=uac Require: timer",
        ),
        // A proxy wants it, its caller does not know it: then it is ours to do (9, table 2).
        ("+Session-Expires=600", " Session-Expires: 600;refresher=uas", " Session-Expires: 600;refresher=uas"),
        ("+Session-Expires=10", "", ""),
        // Whoever names a refresher knows it.
        (
            "+Session-Expires=600;refresher=uac",
            " Session-Expires: 600;refresher=uac Require: timer",
            " Session-Expires: 600;refresher=uac Require: timer",
        ),
        ("+Supported=timer +Session-Expires=soon", " Session-Expires: 1800;refresher=uac Require: timer", ""),
    ];
    for (words, ours, quiet) in both {
        let script = |says: &str| {
            format!("peer: INVITE {words}\n> 100 INVITE\n! Incoming(1 +sdp)\nus: answer\n> 200 INVITE{says} +sdp")
        };
        check(&script(ours));
        check_quiet(&script(quiet));
    }
}

#[test]
fn too_short_is_refused() {
    check(
        "peer: INVITE +Supported=timer +Session-Expires=89\n> 422 INVITE Min-SE: 90\ncount\n= 0 calls, 0 transactions",
    );
    check(
        "
        peer: INVITE +Supported=timer +Session-Expires=90
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE Session-Expires: 90;refresher=uac Require: timer +sdp
        peer: ACK
        ! Established(1)
        peer: REINVITE +Supported=timer +Session-Expires=10
        > 422 INVITE Min-SE: 90
        peer: ACK hop
        peer: UPDATE +Supported=timer +Session-Expires=10
        > 422 UPDATE Min-SE: 90
        ",
    );
    let mut config = EndpointConfig::new(us(), 1);
    config.min_se = Duration::from_secs(300);
    check_shown(config, SHOWN, "peer: INVITE +Supported=timer +Session-Expires=299\n> 422 INVITE Min-SE: 300");
}

#[test]
fn the_caller_refreshes() {
    let start = "
        peer: INVITE +Supported=timer +Session-Expires=90;refresher=uac
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE Session-Expires: 90;refresher=uac Require: timer +sdp
        peer: ACK
        ! Established(1)
        ";
    // It does not: BYE a third of the interval before it is over (10).
    check(&format!(
        "{start}
        wait 59999ms
        wait 1ms
        @+60000ms ! Ended(1, SessionExpired)
        @+60000ms > BYE
        peer: 200 BYE
        wait 32s
        count
        = 0 calls, 0 transactions
        "
    ));
    // Each refresh starts anew, with what it says.
    check(&format!(
        "{start}
        wait 50s
        peer: UPDATE +Supported=timer +Session-Expires=90;refresher=uac
        > 200 UPDATE Session-Expires: 90;refresher=uac Require: timer
        wait 59s
        peer: REINVITE +Supported=timer +Session-Expires=300;refresher=uac
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: accept
        > 200 INVITE Session-Expires: 300;refresher=uac Require: timer +sdp
        peer: ACK
        ! Renegotiated(1)
        wait 267s
        # It has had enough of it.
        peer: UPDATE
        > 200 UPDATE
        wait 9999s
        peer: INFO 1
        ! Info(1)
        > 200 INFO
        "
    ));
    // A refused change is no refresh, an answered one is.
    check(&format!(
        "{start}
        wait 50s
        peer: REINVITE +Supported=timer +Session-Expires=90;refresher=uac
        > 100 INVITE
        ! Reinvite(1 +sdp)
        us: refuse 488
        > 488 INVITE
        peer: ACK hop
        wait 10s
        @+10000ms ! Ended(1, SessionExpired)
        @+10000ms > BYE
        "
    ));
    check(&format!(
        "{start}
        wait 50s
        peer: UPDATE sdp +Supported=timer +Session-Expires=90;refresher=uac
        ! Reinvite(1 +sdp)
        wait 5s
        us: accept
        > 200 UPDATE Session-Expires: 90;refresher=uac Require: timer +sdp
        ! Renegotiated(1)
        wait 60s
        @+60000ms ! Ended(1, SessionExpired)
        @+60000ms > BYE
        "
    ));
}

const OURS: &str = "
    peer: INVITE +Supported=timer +Session-Expires=100;refresher=uas +Allow=INVITE,_UPDATE
    > 100 INVITE
    ! Incoming(1 +sdp)
    us: answer
    > 200 INVITE Session-Expires: 100;refresher=uas Require: timer +sdp
    peer: ACK
    ! Established(1)
    wait 50s
    @+50000ms > UPDATE Session-Expires: 100;refresher=uac
    ";

#[test]
fn we_refresh_by_update() {
    check(&format!(
        "{OURS}
        peer: 200 UPDATE +Session-Expires=100;refresher=uac
        wait 50s
        @+50000ms > UPDATE Session-Expires: 100;refresher=uac
        # Now it is theirs.
        peer: 200 UPDATE +Session-Expires=100;refresher=uas
        wait 66s
        peer: UPDATE +Supported=timer +Session-Expires=100;refresher=uac
        > 200 UPDATE Session-Expires: 100;refresher=uac Require: timer
        wait 68s
        @+68000ms ! Ended(1, SessionExpired)
        @+68000ms > BYE
        "
    ));
    // Nobody answers in time: the session is over before our own patience is.
    check(&format!(
        "{OURS}
        wait 18s
        @+50500ms > UPDATE Session-Expires: 100;refresher=uac
        @+51500ms > UPDATE Session-Expires: 100;refresher=uac
        @+53500ms > UPDATE Session-Expires: 100;refresher=uac
        @+57500ms > UPDATE Session-Expires: 100;refresher=uac
        @+61500ms > UPDATE Session-Expires: 100;refresher=uac
        @+65500ms > UPDATE Session-Expires: 100;refresher=uac
        @+68000ms ! Ended(1, SessionExpired)
        @+68000ms > BYE
        "
    ));
    for status in [408, 481] {
        check(&format!("{OURS}\npeer: {status} UPDATE\n! Ended(1, PeerGone({status}))\n> BYE"));
    }
    // It ends the timer by not agreeing to it again.
    check(&format!("{OURS}\npeer: 200 UPDATE\nwait 9999s\ncount\n= 1 calls, 0 transactions"));
}

#[test]
fn a_refresh_that_fails_is_tried_again() {
    check(&format!(
        "{OURS}
        peer: 491 UPDATE
        wait 2s
        @+1980ms > UPDATE Session-Expires: 100;refresher=uac
        peer: 500 UPDATE retry=3
        wait 3s
        @+3000ms > UPDATE Session-Expires: 100;refresher=uac
        peer: 503 UPDATE
        wait 10s
        @+10000ms > UPDATE Session-Expires: 100;refresher=uac
        peer: 200 UPDATE +Session-Expires=100;refresher=uac
        wait 50s
        @+50000ms > UPDATE Session-Expires: 100;refresher=uac
        # A longer one has to be.
        peer: 422 UPDATE +Min-SE=200
        wait 1ms
        > UPDATE Session-Expires: 200;refresher=uac Min-SE: 200
        peer: 422 UPDATE +Min-SE=200
        wait 10s
        @+10000ms > UPDATE Session-Expires: 200;refresher=uac Min-SE: 200
        peer: 200 UPDATE +Session-Expires=200;refresher=uac
        wait 100s
        @+100000ms > UPDATE Session-Expires: 200;refresher=uac Min-SE: 200
        "
    ));
    // Its Allow lied: then by the description that it knows.
    check(&format!(
        "{OURS}
        peer: 405 UPDATE
        wait 1ms
        > INVITE Session-Expires: 100;refresher=uac +sdp
        peer: 200 INVITE sdp +Session-Expires=100;refresher=uac
        > ACK
        ! Renegotiated(1 +sdp)
        wait 50s
        @+50000ms > INVITE Session-Expires: 100;refresher=uac +sdp
        "
    ));
}

#[test]
fn we_refresh_by_reinvite() {
    let start = "
        peer: INVITE +Supported=timer +Session-Expires=100;refresher=uas
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE Session-Expires: 100;refresher=uas Require: timer +sdp
        peer: ACK
        ! Established(1)
        wait 50s
        @+50000ms > INVITE Session-Expires: 100;refresher=uac +sdp
        ";
    // Glare: theirs first, and ours is not needed any more for a while.
    check(&format!(
        "{start}
        peer: REINVITE
        > 491 INVITE
        peer: ACK hop
        peer: 491 INVITE
        > ACK
        wait 2s
        @+1980ms > INVITE Session-Expires: 100;refresher=uac +sdp
        peer: 200 INVITE sdp +Session-Expires=100;refresher=uac
        > ACK
        ! Renegotiated(1 +sdp)
        "
    ));
    // Our user knows nothing of it: neither of its failure, nor that it is on its way.
    check(&format!(
        "{start}
        us: reinvite
        us: reinvite
        ! WrongState
        peer: 503 INVITE
        > ACK
        wait 1ms
        > INVITE Session-Expires: 100;refresher=uac +sdp
        peer: 488 INVITE
        > ACK
        ! RenegotiationFailed(1, 488)
        wait 10s
        @+9999ms > INVITE Session-Expires: 100;refresher=uac +sdp
        peer: 200 INVITE sdp +Session-Expires=100;refresher=uac
        > ACK
        ! Renegotiated(1 +sdp)
        "
    ));
    // 422 and the end.
    check(&format!(
        "{start}
        peer: 422 INVITE +Min-SE=300
        > ACK
        wait 1ms
        > INVITE Session-Expires: 300;refresher=uac Min-SE: 300 +sdp
        peer: 422 INVITE +Min-SE=300
        > ACK
        wait 10s
        @+10000ms > INVITE Session-Expires: 300;refresher=uac Min-SE: 300 +sdp
        peer: 481 INVITE
        > ACK
        ! Ended(1, PeerGone(481))
        > BYE
        "
    ));
    // The peer's change is open when the time comes.
    check(
        "
        peer: INVITE +Supported=timer +Session-Expires=100;refresher=uas
        > 100 INVITE
        ! Incoming(1 +sdp)
        us: answer
        > 200 INVITE Session-Expires: 100;refresher=uas Require: timer +sdp
        peer: ACK
        ! Established(1)
        wait 49s
        peer: REINVITE +Supported=timer
        > 100 INVITE
        ! Reinvite(1 +sdp)
        wait 4s
        us: refuse 488
        > 488 INVITE
        peer: ACK hop
        wait 1s
        @+1000ms > INVITE Session-Expires: 100;refresher=uac +sdp
        ",
    );
}

#[test]
fn our_invites() {
    // We refresh.
    check(
        "
        us: invite
        > INVITE Session-Expires: 1800 +sdp
        peer: 200 INVITE sdp +Session-Expires=1800;refresher=uac +Require=timer +Allow=INVITE,UPDATE
        > ACK
        ! Answered(1 +sdp)
        wait 900s
        @+900000ms > UPDATE Session-Expires: 1800;refresher=uac
        peer: 200 UPDATE +Session-Expires=1800;refresher=uac
        us: reinvite
        > INVITE Session-Expires: 1800;refresher=uac +sdp
        peer: 200 INVITE sdp +Session-Expires=90;refresher=uas
        > ACK
        ! Renegotiated(1 +sdp)
        us: reinvite
        > INVITE Session-Expires: 90;refresher=uas +sdp
        peer: 200 INVITE sdp +Session-Expires=90;refresher=uas
        > ACK
        ! Renegotiated(1 +sdp)
        wait 60s
        @+60000ms ! Ended(1, SessionExpired)
        @+60000ms > BYE
        ",
    );
    // They know nothing of it; nobody is named; a shorter one than we asked for.
    check(
        "us: invite\n> INVITE Session-Expires: 1800 +sdp\npeer: 200 INVITE sdp\n> ACK\n! Answered(1 +sdp)\nwait 9999s",
    );
    check(
        "
        us: invite
        > INVITE Session-Expires: 1800 +sdp
        peer: 200 INVITE sdp +Session-Expires=1
        > ACK
        ! Answered(1 +sdp)
        wait 45s
        @+45000ms > INVITE Session-Expires: 90;refresher=uac +sdp
        ",
    );
    check_quiet(
        "us: invite\n> INVITE +sdp\npeer: 200 INVITE sdp +Session-Expires=90;refresher=uas\n> ACK\n! Answered(1 +sdp)\nwait 60s\n@+60000ms ! Ended(1, SessionExpired)\n@+60000ms > BYE",
    );
}

#[test]
fn our_invites_ask_again() {
    check(
        "
        us: invite
        > INVITE Session-Expires: 1800 +sdp
        peer: 183 INVITE tag=x
        ! Progress(1, 183)
        peer: 422 INVITE +Min-SE=3600
        > ACK
        > INVITE Session-Expires: 3600 Min-SE: 3600 +sdp
        peer: 422 INVITE +Min-SE=7200
        > ACK
        > INVITE Session-Expires: 7200 Min-SE: 7200 +sdp
        peer: 180 INVITE
        ! Progress(1, 180)
        peer: 200 INVITE sdp +Session-Expires=7200;refresher=uac
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
    // It makes no sense; or nobody wants the call any more.
    for min in ["1800", "x", "0"] {
        check(&format!(
            "us: invite\n> INVITE Session-Expires: 1800 +sdp\npeer: 422 INVITE +Min-SE={min}\n> ACK\n! Failed(1, 422)"
        ));
    }
    check(
        "
        us: invite
        > INVITE Session-Expires: 1800 +sdp
        us: cancel
        ! Failed(1, 487)
        peer: 422 INVITE +Min-SE=3600
        > ACK
        wait 40s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn a_repeated_invite_keeps_what_it_said() {
    let mut stage = support::Stage::new(EndpointConfig::new(us(), 1));
    for line in ["us: invite", "peer: 422 INVITE +Min-SE=3600", "peer: 180 INVITE", "us: cancel"] {
        stage.play(line);
    }
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    let invites: Vec<String> = stage.requests.iter().map(text).filter(|t| t.starts_with("INVITE ")).collect();
    let lines = |text: &str| -> Vec<String> {
        let changed = ["Via:", "CSeq:", "Session-Expires:", "Min-SE:", "Supported:"];
        let mut lines: Vec<String> =
            text.lines().filter(|l| !changed.iter().any(|c| l.starts_with(c))).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&invites[0]), lines(&invites[1]));
    let line = |text: &str, name: &str| text.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned)).unwrap();
    assert_eq!((line(&invites[0], "CSeq: "), line(&invites[1], "CSeq: ")), ("1 INVITE".into(), "2 INVITE".into()));
    assert_ne!(line(&invites[0], "Via: "), line(&invites[1], "Via: "));
    // The CANCEL is of the second.
    let cancel = text(stage.requests.last().unwrap());
    assert!(cancel.starts_with("CANCEL ") && line(&cancel, "Via: ") == line(&invites[1], "Via: "));
}
