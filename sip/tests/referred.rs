//! Transfers that a peer asks of us (RFC 3515, 3891, 3892, 4488), as scripts on virtual time. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::{EndpointConfig, Event, Output};
use std::time::Duration;
use support::{Stage, check_shown, us};

const SHOWN: &[&str] = &["Event", "Subscription-State", "Refer-Sub"];
const CALL: &str = "
    peer: INVITE
    > 100 INVITE
    ! Incoming(1 +sdp)
    us: answer
    > 200 INVITE
    peer: ACK
    ! Established(1)
    ";
const REFER: &str = "peer: REFER +Refer-To=<sip:carol@192.0.2.20>";

fn config() -> EndpointConfig {
    let mut config = EndpointConfig::new(us(), 1);
    (config.follow_refer, config.session_expires) = (true, None);
    config
}

/// A script in an answered call; bodies are hidden but those of NOTIFYs.
fn check(script: &str) {
    check_shown(config(), &[], &format!("{CALL}\n{script}"));
}

#[test]
fn followed_to_its_end() {
    check(&format!(
        "{REFER}
        ! Referred(1)
        peer: again
        us: refer_progress 180
        ! WrongState
        us: accept_refer
        > 202 REFER
        > NOTIFY
        us: accept_refer
        ! WrongState
        us: reject_refer 603
        ! WrongState
        peer: 200 NOTIFY
        peer: REFER +Refer-To=<sip:dave@192.0.2.20>
        > 491 REFER
        us: refer_progress 99
        ! BadStatus
        us: refer_progress 180
        > NOTIFY
        peer: 200 NOTIFY
        us: refer_progress 200
        > NOTIFY
        peer: 200 NOTIFY
        # Told once.
        us: refer_progress 486
        {REFER}
        ! Referred(1)
        us: reject_refer 603
        > 603 REFER
        peer: BYE
        > 200 BYE
        ! Ended(1, RemoteHangup(None))
        us: refer_progress 200
        ! NoSuchCall
        wait 40s
        count
        = 0 calls, 0 transactions
        "
    ));
}

#[test]
fn what_a_notify_says() {
    let mut stage = Stage::new(config());
    for line in
        ["peer: INVITE", "us: answer", "peer: ACK", REFER, "us: accept_refer", "wait 10s", "us: refer_progress 486"]
    {
        stage.play(line);
    }
    let notifies: Vec<String> = stage
        .requests
        .iter()
        .map(|r| String::from_utf8(r.clone()).unwrap())
        .filter(|r| r.starts_with("NOTIFY "))
        .collect();
    for line in [
        "NOTIFY sip:alice@192.0.2.10:5060 SIP/2.0",
        "Event: refer;id=2",
        "Subscription-State: active;expires=180",
        "Content-Type: message/sipfrag;version=2.0",
        "SIP/2.0 100 Trying",
        "Contact: <sip:dauys@192.0.2.1:5060>",
    ] {
        assert!(notifies[0].lines().any(|l| l == line), "{line}");
    }
    let last = notifies.last().unwrap();
    assert!(last.contains("\r\nSubscription-State: terminated;reason=noresource\r\n"));
    assert!(last.ends_with("\r\n\r\nSIP/2.0 486 Busy Here\r\n"));
}

#[test]
fn without_a_subscription() {
    let script = "
        REFER +Refer-Sub=false +Supported=norefersub
        ! Referred(1)
        us: accept_refer
        > 202 REFER Refer-Sub: false
        us: refer_progress 200
        # Without its option tag it means nothing (RFC 4488 4).
        REFER +Refer-Sub=false
        ! Referred(1)
        us: accept_refer
        > 202 REFER
        > NOTIFY Event: refer;id=3 Subscription-State: active;expires=180
        ";
    check_shown(config(), SHOWN, &format!("{CALL}{}", script.replace("        REFER", REFER)));
}

#[test]
fn nobody_decides_and_nobody_tells() {
    check(&format!(
        "{REFER}
        ! Referred(1)
        wait 30s
        @+30000ms > 480 REFER
        us: accept_refer
        ! WrongState
        {REFER}
        ! Referred(1)
        us: accept_refer
        > 202 REFER
        > NOTIFY
        peer: 200 NOTIFY
        # The subscription's time is up.
        wait 180s
        @+180000ms > NOTIFY
        peer: 200 NOTIFY
        us: refer_progress 200
        "
    ));
    // The peer does not listen any more; or nobody answers.
    for status in [481, 500] {
        check(&format!(
            "{REFER}\n! Referred(1)\nus: accept_refer\n> 202 REFER\n> NOTIFY\npeer: {status} NOTIFY\nus: refer_progress 200\nwait 300s"
        ));
    }
}

#[test]
fn hangups_answer_it() {
    check(&format!("{REFER}\n! Referred(1)\nus: hangup\n! Ended(1, LocalHangup)\n> 487 REFER\n> BYE"));
    check(&format!(
        "{REFER}
        ! Referred(1)
        peer: BYE
        > 200 BYE
        > 487 REFER
        ! Ended(1, RemoteHangup(None))
        us: accept_refer
        ! NoSuchCall
        wait 40s
        count
        = 0 calls, 0 transactions
        "
    ));
}

#[test]
fn refers_that_are_none() {
    for (words, answer) in [
        ("", 400),
        ("+Refer-To=", 400),
        ("+Refer-To=<sip:a@h> +Refer-To=<sip:b@h>", 400),
        ("+Refer-To=<sip:a@h>,_<sip:b@h>", 400),
        ("+Refer-To=<mailto:a@h>", 416),
        ("+Refer-To=<sip:a@h;method=BYE>", 403),
        ("+Refer-To=<sip:a@h?Replaces=x>", 400),
        ("+Refer-To=<sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=y%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("+Refer-To=<sip:a@h> require=x", 420),
    ] {
        let unsupported = if answer == 420 { " Unsupported: x" } else { "" };
        check(&format!("peer: REFER {words}\n> {answer} REFER{unsupported}\n{REFER}\n! Referred(1)"));
    }
    let long = "x".repeat(1024);
    check(&format!("peer: REFER +Refer-To=<sip:{long}@h>\n> 413 REFER"));
    check(&format!("{REFER} +Referred-By=<sip:{long}@h>\n> 413 REFER"));
    // Nobody transfers what is no call, or not yet.
    check_shown(
        config(),
        &[],
        &format!("{REFER} outside\n> 403 REFER\n{REFER} to=x\n> 481 REFER\ncount\n= 0 calls, 0 transactions"),
    );
    check_shown(
        config(),
        &[],
        &format!("peer: INVITE\n> 100 INVITE\n! Incoming(1 +sdp)\nus: ring\n> 180 INVITE\n{REFER}\n> 491 REFER"),
    );
    check(&format!("us: hangup\n! Ended(1, LocalHangup)\n> BYE\n{REFER}\n> 481 REFER"));
    // Not where nobody said that we may.
    let mut config = config();
    config.follow_refer = false;
    check_shown(
        config,
        &["Allow"],
        &format!("{REFER} outside\n> 405 REFER Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, PRACK, UPDATE"),
    );
    let said = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, PRACK, UPDATE, REFER";
    check_shown(self::config(), &["Allow"], &format!("peer: OPTIONS\n> 200 OPTIONS Allow: {said}"));
}

/// What a REFER says: target, Replaces, Referred-By.
#[test]
fn what_our_user_learns() {
    let check = |words: &str, want: [&str; 3]| {
        let mut stage = Stage::new(config());
        for line in ["peer: INVITE", "us: answer", "peer: ACK"] {
            stage.play(line);
        }
        let bytes = stage.peer_message(&format!("REFER {words}"));
        stage.feed(&bytes);
        let mut shown = String::new();
        let found = std::iter::from_fn(|| stage.endpoint.poll())
            .inspect(|o| shown.push_str(&format!("{o:?}")))
            .find_map(|o| match o {
                Output::Event(Event::Referred { target, replaces, referred_by, .. }) => {
                    let text = |p: Option<sip::Private<String>>| p.map_or("-".to_owned(), sip::Private::into_inner);
                    Some([target.into_inner(), text(replaces), text(referred_by)])
                }
                _ => None,
            });
        assert_eq!(found.unwrap(), want, "{words}");
        assert!(!shown.contains("sip:") && !shown.contains("tag"), "{shown}");
    };
    check("+Refer-To=<sip:carol@192.0.2.20;user=phone>", ["sip:carol@192.0.2.20;user=phone", "-", "-"]);
    check("+r=tel:+77010000000 +b=<sip:alice@h>;cid=x@y", ["tel:+77010000000", "-", "<sip:alice@h>;cid=x@y"]);
    check(
        "+Refer-To=\"Carol\"_<sip:carol@h;method=INVITE?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces&Subject=x>",
        ["sip:carol@h;method=INVITE", "a@b;to-tag=1;from-tag=2", "-"],
    );
    // What else the URI orders is left out.
    check(
        "+Refer-To=<sip:carol@h?Route=<sip:evil@h>>".replace("<sip:evil@h>", "%3Csip%3Aevil%40h%3E").as_str(),
        ["sip:carol@h", "-", "-"],
    );
}

#[test]
fn in_a_call_of_ours() {
    check_shown(
        config(),
        &[],
        &format!(
            "
            us: invite
            > INVITE
            peer: 200 INVITE sdp
            > ACK
            ! Answered(1 +sdp)
            {REFER}
            ! Referred(1)
            us: accept_refer
            > 202 REFER
            > NOTIFY
            # Ours to them goes its own way.
            us: refer
            > REFER
            peer: 202 REFER
            peer: NOTIFY 200 state=terminated
            > 200 NOTIFY
            ! Transferred(1)
            us: refer_progress 503
            > NOTIFY
            "
        ),
    );
}

#[test]
fn ours_without_a_subscription() {
    let mut config = EndpointConfig::new(us(), 1);
    (config.refer_sub, config.transfer_within) = (false, Duration::ZERO);
    let start = format!("{CALL}\nus: refer\n> REFER Refer-Sub: false Supported: norefersub");
    let shown = &["Refer-Sub", "Supported"];
    let start = start.replace("> 200 INVITE", "> 200 INVITE Supported: 100rel, timer, norefersub, replaces");
    check_shown(
        config.clone(),
        shown,
        &format!("{start}\npeer: 202 REFER +Refer-Sub=false\n! Transferred(1)\nwait 60s"),
    );
    // The peer subscribes us nonetheless.
    check_shown(
        config,
        shown,
        &format!("{start}\npeer: 202 REFER\npeer: NOTIFY 486\n> 200 NOTIFY\n! TransferFailed(1, 486)"),
    );
    // Nobody asked for it.
    check_shown(
        EndpointConfig::new(us(), 1),
        &[],
        &format!(
            "{CALL}\nus: refer\n> REFER\npeer: 202 REFER +Refer-Sub=false\npeer: NOTIFY 200\n> 200 NOTIFY\n! Transferred(1)"
        ),
    );
}
