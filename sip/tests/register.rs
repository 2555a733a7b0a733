//! Registrations of ours on virtual time: refresh, retry, NAT, taking back. Nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use sip::message::Name;
use sip::{Event, Private};
use std::time::Duration;
use support::client::{Stage, stage};

fn registered(targets: &str) -> Stage {
    let mut stage = stage().to(targets);
    let first = targets.split(' ').next().unwrap();
    let (transport, _) = first.split_once(':').unwrap();
    let (port, param) = match transport {
        "udp" => ("5060", ""),
        "tcp" => ("5060", ";transport=tcp"),
        _ => ("5061", ";transport=tls"),
    };
    stage.check(&format!(
        "
        us: register
        > REGISTER {first} #1 192.0.2.1:{port}{param};expires=3600
        {first}: 200 REGISTER granted=1000
        ! Registered(1, 1000 s)
        "
    ));
    stage
}

/// Plays on for so long, and tells what came out besides keep-alives, with the time of each.
fn play_on(stage: &mut Stage, span: Duration) -> Vec<(Duration, String)> {
    let (start, until) = (stage.now, stage.now + span);
    let mut seen = Vec::new();
    while let Some(at) = stage.endpoint.deadline().filter(|at| *at <= until) {
        stage.now = stage.now.max(at);
        stage.endpoint.handle_timeout(stage.now);
        while let Some(output) = stage.endpoint.poll() {
            match output {
                sip::Output::Send { to, bytes } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let what = text.split(' ').next().unwrap_or_default().trim().to_owned();
                    seen.push((stage.now - start, if what.is_empty() { "keep-alive".to_owned() } else { what }));
                    stage.sent.push((to, bytes));
                }
                sip::Output::Banned(_) => unreachable!("the registrar is nobody's enemy"),
                sip::Output::Event(event) => seen.push((stage.now - start, format!("{event:?}"))),
            }
        }
    }
    stage.now = until;
    seen
}

fn only(seen: &[(Duration, String)], what: &str) -> Vec<f64> {
    seen.iter().filter(|(_, w)| w == what).map(|(at, _)| at.as_secs_f64()).collect()
}

#[test]
fn a_whole_registration() {
    stage().signed().check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:a: 100 REGISTER
        udp:a: 401 REGISTER challenge
        > REGISTER udp:a #2 +auth(1) 192.0.2.1:5060;expires=3600
        udp:a: 200 REGISTER granted=60
        ! Registered(1, 60 s)
        until 60s
        > REGISTER udp:a #3 +auth(2) 192.0.2.1:5060;expires=3600
        wait 3s
        @+500ms > REGISTER udp:a #3 +auth(2) 192.0.2.1:5060;expires=3600
        @+1500ms > REGISTER udp:a #3 +auth(2) 192.0.2.1:5060;expires=3600
        udp:a: 200 REGISTER granted=60
        ! Registered(1, 60 s)
        us: unregister
        > REGISTER udp:a #4 +auth(3) 192.0.2.1:5060;expires=0
        us: unregister
        ! NoSuchRegistration
        udp:a: 401 REGISTER challenge
        > REGISTER udp:a #5 +auth(1) 192.0.2.1:5060;expires=0
        udp:a: 200 REGISTER
        ! Unregistered(1)
        us: unregister
        ! NoSuchRegistration
        wait 5s
        count
        = 0 calls, 0 transactions
        ",
    );
}

#[test]
fn what_the_registrar_grants() {
    let granted = |options: &str, expected: &str| {
        stage().check(&format!(
            "
            us: register
            > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
            udp:a: 200 REGISTER {options}
            ! Registered(1, {expected} s)
            "
        ));
    };
    granted("granted=120", "120");
    granted("", "3600");
    // Bindings of others beside ours, or ours not told at all: the response's own word.
    granted("contact=<sip:other@192.0.2.7>;expires=30 expires=90", "90");
    granted("contact=<sip:other@192.0.2.7>;expires=30", "3600");
    granted("granted=99999999999", "604800");
    granted("granted=never expires=50", "50");
}

#[test]
fn refreshes_come_early_and_spread() {
    let mut at = Vec::new();
    for granted in [60, 600, 3600] {
        for _ in 0..3 {
            let mut stage = stage();
            // Another seed, another moment.
            let mut config = support::client::config();
            config.seed = at.len() as u128;
            stage.endpoint = sip::Endpoint::new(config);
            stage.check(&format!(
                "us: register\n> REGISTER udp:a #1 192.0.2.1:5060;expires=3600\nudp:a: 200 REGISTER granted={granted}\n\
                 ! Registered(1, {granted} s)"
            ));
            let seen = play_on(&mut stage, Duration::from_secs(granted * 9 / 10));
            let share = only(&seen, "REGISTER")[0] / granted as f64;
            assert!((0.8..=0.9).contains(&share), "{share}");
            at.push((share * 1e6) as u64);
        }
    }
    at.dedup();
    assert!(at.len() > 6, "all at once: {at:?}");
}

#[test]
fn too_brief() {
    stage().check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:a: 423 REGISTER min=7200
        > REGISTER udp:a #2 192.0.2.1:5060;expires=7200
        udp:a: 423 REGISTER min=9000
        > REGISTER udp:a #3 192.0.2.1:5060;expires=9000
        # Enough of that.
        udp:a: 423 REGISTER min=9001
        ! RegistrationFailed(1, 423)
        ",
    );
    for useless in ["", "min=10", "min=3600", "min=x"] {
        let mut stage = stage();
        stage.check("us: register\n> REGISTER udp:a #1 192.0.2.1:5060;expires=3600");
        stage.check(&format!("udp:a: 423 REGISTER {useless}\n! RegistrationFailed(1, 423)"));
    }
}

#[test]
fn failures_back_off() {
    let mut stage = stage().signed();
    stage.check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:a: 401 REGISTER challenge
        > REGISTER udp:a #2 +auth(1) 192.0.2.1:5060;expires=3600
        udp:a: 401 REGISTER challenge
        ! RegistrationFailed(1, 401)
        ",
    );
    // Nobody answers any more. RFC 5626 4.5: twice as long each time, up to half an hour.
    let seen = play_on(&mut stage, Duration::from_secs(20_000));
    let failures: Vec<&(Duration, String)> = seen.iter().filter(|(_, w)| w.starts_with("RegistrationFailed")).collect();
    let waits: Vec<u64> = failures.iter().map(|(_, w)| w.rsplit(' ').nth(1).unwrap().parse().unwrap()).collect();
    let bounds = [(60, 120), (120, 240), (240, 480), (480, 960), (900, 1800), (900, 1800), (900, 1800)];
    assert!(waits.len() > bounds.len(), "{waits:?}");
    for (wait, (least, most)) in waits.iter().zip(bounds) {
        assert!((least..=most + 1).contains(wait), "{waits:?}");
    }
    // It never gives up, and a success wipes the slate.
    stage.check("us: unregister\n! Unregistered(1)");
}

#[test]
fn retry_after_is_obeyed() {
    for (after, least, most) in [("0", 5, 6), ("100", 100, 110), ("9999999", 86_400, 95_040)] {
        let mut stage = stage();
        stage.check("us: register\n> REGISTER udp:a #1 192.0.2.1:5060;expires=3600");
        stage.answer("udp:a", &format!("503 REGISTER retry={after}"));
        let Some(Event::RegistrationFailed { status: 503, retry_in_s, .. }) = stage.events.pop() else { panic!() };
        assert!((least..=most).contains(&retry_in_s), "{after}: {retry_in_s}");
        let seen = play_on(&mut stage, Duration::from_secs(u64::from(retry_in_s)));
        assert!(only(&seen, "REGISTER")[0] >= f64::from(least));
    }
}

#[test]
fn the_next_target_registers() {
    stage().to("tcp:a tls:b udp:c").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        lost tcp:a
        > REGISTER tls:b #2 192.0.2.1:5061;transport=tls;expires=3600
        tls:b: 500 REGISTER
        > REGISTER udp:c #3 192.0.2.1:5060;expires=3600
        udp:c: 200 REGISTER
        ! Registered(1, 3600 s)
        # By what DNS says now.
        us: targets tls:b udp:c
        us: targets tls:d
        us: unregister
        > REGISTER tls:d #4 192.0.2.1:5061;transport=tls;expires=0 192.0.2.1:5060;expires=0
        tls:d: 200 REGISTER
        ! Unregistered(1)
        ",
    );
    // A refusal is an answer for all of them.
    stage().to("tcp:a tls:b").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        tcp:a: 403 REGISTER
        ! RegistrationFailed(1, 403)
        ",
    );
    stage().to("tcp:a tcp:b").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        lost tcp:a
        > REGISTER tcp:b #2 192.0.2.1:5060;transport=tcp;expires=3600
        wait 32s
        @+32000ms ! RegistrationFailed(1, 408)
        until 60s
        > REGISTER tcp:a #3 192.0.2.1:5060;transport=tcp;expires=3600
        wait 6s
        @+6000ms > REGISTER tcp:b #4 192.0.2.1:5060;transport=tcp;expires=3600
        ",
    );
}

#[test]
fn behind_a_nat() {
    stage().check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        # The registrar sees another address: it becomes the Contact, and the old one goes.
        udp:a: 200 REGISTER seen=203.0.113.5:31000
        > REGISTER udp:a #2 203.0.113.5:31000;expires=3600 192.0.2.1:5060;expires=0
        # A NAT with a new port for each: once is enough.
        udp:a: 200 REGISTER seen=203.0.113.5:31001 granted=20
        ! Registered(1, 20 s)
        until 20s
        > REGISTER udp:a #3 203.0.113.5:31000;expires=3600
        udp:a: 200 REGISTER seen=203.0.113.5:31000 granted=20
        ! Registered(1, 20 s)
        us: unregister
        > REGISTER udp:a #4 203.0.113.5:31000;expires=0
        ",
    );
    // With an instance the binding is replaced, not joined.
    let mut one = stage();
    one.register.instance = Some("urn:uuid:1".to_owned());
    one.check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1
        udp:a: 200 REGISTER seen=203.0.113.5:31000 granted=9
        > REGISTER udp:a #2 203.0.113.5:31000;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1
        ",
    );
    assert_eq!(one.last(Name::Supported).unwrap(), "path, outbound");
    // A stream leads back as it is.
    stage().to("tls:a").check(
        "
        us: register
        > REGISTER tls:a #1 192.0.2.1:5061;transport=tls;expires=3600
        tls:a: 200 REGISTER seen=203.0.113.5:31000
        ! Registered(1, 3600 s)
        ",
    );
}

#[test]
fn keep_alives() {
    for (target, least, most) in [("udp:a", 24.0, 29.1), ("tls:a", 95.0, 120.1)] {
        let mut stage = registered(target);
        let seen = play_on(&mut stage, Duration::from_secs(790));
        assert!(seen.iter().all(|(_, w)| w == "keep-alive"), "{seen:?}");
        let times = only(&seen, "keep-alive");
        let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(times.len() > 5 && gaps.iter().all(|g| (least..most).contains(g)), "{gaps:?}");
        // None while there is nothing to keep.
        stage.endpoint.unregister(stage.now, stage.registration.unwrap()).unwrap();
        stage.drain();
        stage.answer(target, "200 REGISTER");
        assert!(matches!(stage.events.last(), Some(Event::Unregistered { .. })));
        assert_eq!(play_on(&mut stage, Duration::from_secs(1000)), []);
        assert_eq!(stage.endpoint.deadline(), None);
    }
}

#[test]
fn a_lost_flow_registers_anew() {
    let mut stage = registered("tls:a tls:b");
    stage.check("lost tls:a");
    let seen = play_on(&mut stage, Duration::from_secs(2));
    assert_eq!(only(&seen, "REGISTER").len(), 1, "{seen:?}");
    stage.check(
        "
        lost tls:a
        > REGISTER tls:b #3 192.0.2.1:5061;transport=tls;expires=3600
        tls:b: 200 REGISTER
        ! Registered(1, 3600 s)
        # Not ours.
        lost tls:a
        wait 10s
        ",
    );
}

#[test]
fn leaving_at_any_time() {
    // RFC 3261 10.2: not while another REGISTER is on its way.
    stage().to("tcp:a").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        us: unregister
        tcp:a: 200 REGISTER
        > REGISTER tcp:a #2 192.0.2.1:5060;transport=tcp;expires=0
        wait 32s
        @+32000ms ! Unregistered(1)
        count
        = 0 calls, 0 transactions
        ",
    );
    // Nothing to take back.
    stage().to("tcp:a").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        us: unregister
        tcp:a: 403 REGISTER
        ! Unregistered(1)
        ",
    );
    stage().to("tcp:a").check(
        "
        us: register
        > REGISTER tcp:a #1 192.0.2.1:5060;transport=tcp;expires=3600
        lost tcp:a
        ! RegistrationFailed(1, 503)
        us: unregister
        ! Unregistered(1)
        ",
    );
}

#[test]
fn calls_by_the_registration() {
    let mut stage = registered("udp:a");
    stage.check(
        "
        udp:b: INVITE
        > 100 udp:b
        ! Incoming(1 +sdp) by registration
        us: reject 486
        > 486 udp:b
        ! Cancelled(1, 486)
        # A stranger knows our address, not our Contact.
        udp:b: INVITE uri=sip:dauys@192.0.2.1
        > 100 udp:b
        ! Incoming(2 +sdp)
        us: reject 486
        > 486 udp:b
        ! Cancelled(2, 486)
        ",
    );
    let contact = String::from_utf8(stage.sent[0].1.clone()).unwrap();
    let user = contact.split("Contact: <sip:").nth(1).unwrap().split('@').next().unwrap().to_owned();
    assert!(user.len() == 32 && user.bytes().all(|b| b.is_ascii_hexdigit()), "{user}");
    // Nobody else learns it: not even who is called by way of us.
    let leaks = |s: &Stage| s.sent.iter().filter(|m| String::from_utf8_lossy(&m.1).contains(&user)).count();
    let before = leaks(&stage);
    stage.check("us: invite\n> INVITE udp:a #1 +sdp");
    assert_eq!((before, leaks(&stage)), (1, 1));
    // What we send in such a call is proved to the same registrar.
    let mut stage = support::client::stage().signed();
    stage.check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:a: 200 REGISTER
        ! Registered(1, 3600 s)
        udp:a: INVITE
        > 100 udp:a
        ! Incoming(1 +sdp) by registration
        us: answer
        > 200 udp:a +sdp
        udp:a: ACK
        ! Established(1)
        us: hangup
        ! Ended(1, LocalHangup)
        > BYE udp:a #1
        udp:a: 407 BYE challenge
        > BYE udp:a #2 +proxy-auth(1)
        ",
    );
    // With one that survives a restart.
    let mut stage = support::client::stage();
    stage.register.contact_user = Some(Private::new("0123456789abcdef0123456789abcdef".to_owned()));
    stage.check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:b: INVITE uri=sip:0123456789abcdef0123456789abcdef@203.0.113.77
        > 100 udp:b
        ! Incoming(1 +sdp) by registration
        ",
    );
}

#[test]
fn the_registrar_gets_through_a_closed_door() {
    let mut config = support::client::config();
    config.door.strangers = sip::door::Strangers::Refuse;
    let mut stage = support::client::stage_with(config);
    stage.register.contact_user = Some(Private::new("0123456789abcdef0123456789abcdef".to_owned()));
    stage.check(
        "
        us: register
        > REGISTER udp:a #1 192.0.2.1:5060;expires=3600
        udp:b: INVITE uri=sip:dauys@192.0.2.1
        > 403 udp:b
        udp:b: INVITE uri=sip:0123456789abcdef0123456789abcdef@192.0.2.1
        > 100 udp:b
        ! Incoming(1 +sdp) by registration
        ",
    );
}

#[test]
fn what_cannot_be_registered() {
    let refused = |change: fn(&mut Stage), error: &str| {
        let mut stage = stage();
        change(&mut stage);
        stage.check(&format!("us: register\n! {error}"));
    };
    refused(|s| s.register.targets.clear(), "NoTarget");
    refused(|s| s.register.registrar = "example.com".to_owned(), "BadUri");
    refused(|s| s.register.aor = "tel:+7".to_owned(), "BadUri");
    refused(|s| s.register.aor = "sip:a@b>\r\nX: y".to_owned(), "BadUri");
    refused(|s| s.register.route = Some("<sip:a>".to_owned()), "BadUri");
    refused(|s| s.register.instance = Some("urn:x\">".to_owned()), "BadUri");
}
