//! What may meet on the road: PRACK and its loss, refreshes and changes, hang-ups and transfers. Every call ends, and says so once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
use proptest::prelude::*;
use sip::EndpointConfig;
use std::time::Duration;
use support::world::{Step, World, call_with};
use support::{Stage, us};

/// Sessions as short as they may be.
fn short(config: &mut EndpointConfig) {
    config.session_expires = Some(Duration::from_secs(90));
}

fn follows(config: &mut EndpointConfig) {
    config.follow_refer = true;
}

fn count(world: &World, event: &str) -> usize {
    world.log.iter().flatten().filter(|e| e.starts_with(event)).count()
}

const WHOLE: &[(u64, Step)] = &[
    (1_000, Step::Ring),
    (5_000, Step::Progress),
    (15_000, Step::Answer),
    (150_000, Step::Reinvite(0)),
    (250_000, Step::Reinvite(1)),
    (400_000, Step::Hangup(1)),
];

#[test]
fn over_a_good_road() {
    let world = call_with(1, 0, short, WHOLE);
    assert_eq!(
        world.log,
        [
            vec![
                "Progress(1, 180)",
                "Progress(1, 183 +sdp)",
                "Answered",
                "Renegotiated",
                "Reinvite",
                "Renegotiated",
                "Ended(1, RemoteHangup(None))"
            ],
            vec!["Incoming", "Established", "Reinvite", "Renegotiated", "Renegotiated", "Ended(1, LocalHangup)"],
        ]
    );
    assert_eq!(world.ends[0].stats().retransmissions + world.ends[1].stats().retransmissions, 0);
}

#[test]
fn pracks_are_lost() {
    let mut answered = 0;
    for seed in 0..300 {
        let world = call_with(seed, 40, short, WHOLE);
        assert!(!world.has(1, "Established") || world.has(0, "Answered"), "seed {seed}");
        answered += usize::from(world.has(1, "Established"));
    }
    assert!(answered > 285, "{answered}");
    // Where next to nothing arrives, the callee gives up by itself (RFC 3262 3), or whoever notices first.
    let mut refused = 0;
    for seed in 0..300 {
        let world = call_with(seed, 80, short, WHOLE);
        refused += usize::from(world.has(1, "Cancelled(1, 504)"));
    }
    assert!(refused > 20, "{refused}");
}

/// One side hangs up, once; what the road does to its BYE does not matter: sessions expire.
#[test]
fn nobody_is_left_behind() {
    let mut expired = 0;
    for seed in 0..300 {
        let world = call_with(seed, 70, short, &[(2_000, Step::Answer), (300_000, Step::Hangup(0))]);
        expired += count(&world, "Ended(1, SessionExpired)");
    }
    assert!(expired > 30, "{expired}");
}

/// A refresh by UPDATE meets a re-INVITE of the other side: neither minds the other.
#[test]
fn refreshes_meet_changes() {
    let mut done = 0;
    for seed in 0..200 {
        let at = 54_960 + seed % 10 * 20;
        let steps =
            [(10_000, Step::Answer), (at, Step::Reinvite(1)), (at + 5, Step::Reinvite(0)), (200_000, Step::Hangup(0))];
        let world = call_with(seed, if seed % 2 == 0 { 0 } else { 20 }, short, &steps);
        assert_eq!(count(&world, "RenegotiationFailed"), 0, "seed {seed}: {:?}", world.log);
        done += count(&world, "Renegotiated");
    }
    // Two changes each, seen from two sides; a few calls die of a lost road.
    assert!(done > 780, "{done}");
}

#[test]
fn cancel_against_a_200_that_waits() {
    let mut both = [0, 0];
    for seed in 0..300 {
        let answer = 1_000 + seed % 40 * 10;
        let steps = [(990, Step::Progress), (1_200, Step::Cancel), (answer, Step::Answer), (60_000, Step::Hangup(0))];
        let world = call_with(seed, if seed % 2 == 0 { 0 } else { 20 }, |_| {}, &steps);
        both[usize::from(world.has(1, "Cancelled"))] += 1;
    }
    assert!(both[0] > 50 && both[1] > 50, "{both:?}");
}

#[test]
fn hangups_meet_changes() {
    let mut met = 0;
    for seed in 0..200 {
        let at = 20_000 + seed % 9 * 10;
        let steps = [
            (5_000, Step::Answer),
            (20_030, Step::Hangup((seed % 2) as usize)),
            (at, Step::Reinvite(((seed + 1) % 2) as usize)),
        ];
        let world = call_with(seed, if seed % 3 == 0 { 0 } else { 20 }, short, &steps);
        met += usize::from(
            world
                .log
                .iter()
                .all(|l| l.last().is_some_and(|e| e.starts_with("Ended")) && l.iter().all(|e| e != "Renegotiated")),
        );
    }
    assert!(met > 100, "{met}");
}

#[test]
fn transfers_meet_hangups() {
    let (mut told, mut late) = (0, 0);
    for seed in 0..300 {
        let at = 19_000 + seed % 20 * 100;
        let side = (seed % 2) as usize;
        let steps = [
            (5_000, Step::Answer),
            (19_900, Step::Refer(side)),
            (at, Step::Hangup(1 - side)),
            (60_000, Step::Hangup(side)),
        ];
        let world = call_with(seed, if seed % 3 == 0 { 0 } else { 20 }, follows, &steps);
        let outcome = world.log[side].iter().filter(|e| e.starts_with("Transfer")).count();
        assert!(outcome <= 1, "seed {seed}: {:?}", world.log);
        told += outcome;
        late += usize::from(outcome == 0);
    }
    assert!(told > 50 && late > 50, "{told} {late}");
    // Nobody hangs up: who asks is told.
    for seed in 0..100 {
        let steps =
            [(5_000, Step::Answer), (19_900, Step::Refer(0)), (60_000, Step::Hangup(0)), (200_000, Step::Hangup(1))];
        let world = call_with(seed, 0, follows, &steps);
        assert_eq!((count(&world, "Referred"), count(&world, "Transferred")), (1, 1), "{:?}", world.log);
    }
}

/// What a peer may send and our user may want, in any order.
fn steps() -> impl Strategy<Value = Vec<String>> {
    let peer = prop_oneof![
        Just("INVITE call=c2 +Replaces=c1;to-tag=OURS;from-tag=pt"),
        Just("INVITE call=c3 require=100rel"),
        Just("REINVITE +Supported=timer +Session-Expires=90"),
        Just("REINVITE noffer"),
        Just("UPDATE +Supported=timer +Session-Expires=100;refresher=uas"),
        Just("UPDATE sdp"),
        Just("UPDATE +Session-Expires=5;refresher=uac"),
        Just("PRACK"),
        Just("PRACK sdp"),
        Just("PRACK rack=1_1_INVITE"),
        Just("REFER +Refer-To=<sip:carol@192.0.2.20>"),
        Just("REFER +Refer-To=<sip:c@h?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc> +Refer-Sub=false +Supported=norefersub"),
        Just("ACK"),
        Just("ACK sdp"),
        Just("ACK hop"),
        Just("CANCEL"),
        Just("BYE"),
        Just("again"),
        Just("again INVITE"),
    ];
    let us = prop_oneof![
        Just("ring"),
        Just("progress 183 sdp"),
        Just("progress 181"),
        Just("answer"),
        Just("reject 486"),
        Just("accept"),
        Just("refuse 488"),
        Just("reinvite"),
        Just("refer"),
        Just("accept_refer"),
        Just("reject_refer 603"),
        Just("refer_progress 180"),
        Just("refer_progress 200"),
        Just("hangup"),
    ];
    let step = prop_oneof![
        5 => peer.prop_map(|words| format!("peer: {words}")),
        5 => us.prop_map(|words| format!("us: {words}")),
        2 => (1..100_000u32).prop_map(|ms| format!("wait {ms}ms")),
    ];
    prop::collection::vec(step, 0..24)
}

/// What may come back to a call of ours.
fn answers() -> impl Strategy<Value = Vec<String>> {
    let status = prop_oneof![Just(180), Just(183), Just(200), Just(422), Just(486), Just(491), Just(500)];
    let tag = prop_oneof![Just(""), Just(" tag=a"), Just(" sdp"), Just(" tag=a sdp")];
    let more = prop_oneof![
        Just(""),
        Just(" +Require=100rel +RSeq=1"),
        Just(" +Require=100rel +RSeq=2"),
        Just(" +Require=timer +Session-Expires=90;refresher=uac"),
        Just(" +Session-Expires=90;refresher=uas +Allow=UPDATE"),
        Just(" +Min-SE=2000"),
        Just(" +Min-SE=4000"),
    ];
    let step = prop_oneof![
        6 => (status, tag, more).prop_map(|(s, t, m)| format!("peer: {s} INVITE{t}{m}")),
        2 => prop_oneof![Just("UPDATE sdp"), Just("UPDATE"), Just("BYE"), Just("REINVITE"), Just("PRACK"), Just("ACK")].prop_map(|w| format!("peer: {w}")),
        3 => prop_oneof![Just("accept"), Just("refuse 488"), Just("cancel"), Just("reinvite"), Just("hangup")].prop_map(|w| format!("us: {w}")),
        2 => (1..100_000u32).prop_map(|ms| format!("wait {ms}ms")),
    ];
    prop::collection::vec(step, 0..20)
}

/// Plays it, lets everything come to rest, and counts: one last word for each call that began, nothing after it.
fn one_last_word_each(first: &str, steps: &[String]) -> Result<(), TestCaseError> {
    let mut config = EndpointConfig::new(us(), 1);
    (config.follow_refer, config.answer_within) = (true, Duration::from_secs(120));
    let mut stage = Stage::new(config);
    stage.play(first);
    for step in steps {
        stage.play(step);
    }
    // Nobody refreshes, acknowledges or answers any more; what waits for our user is hung up.
    for _ in 0..4 {
        stage.play("wait 400s");
        stage.hang_up_all();
    }
    stage.play("wait 400s");
    let log = stage.transcript.join("\n");
    for call in 1..6 {
        let is_of = |line: &str, words: &[&str]| {
            let Some((_, event)) = line.split_once("! ") else { return false };
            words.iter().any(|w| {
                event
                    .strip_prefix(w)
                    .and_then(|r| r.strip_prefix('('))
                    .is_some_and(|r| r.starts_with(&call.to_string()))
            })
        };
        let last = ["Ended", "Failed", "Cancelled"];
        let words = stage.transcript.iter().filter(|l| is_of(l, &last)).count();
        let begun = stage.transcript.iter().any(|l| is_of(l, &["Incoming"])) || (call == 1 && first == "us: invite");
        prop_assert_eq!(words, usize::from(begun), "call {}\n{}", call, log);
        let at = stage.transcript.iter().position(|l| is_of(l, &last));
        let all = [
            "Incoming",
            "Established",
            "Progress",
            "Answered",
            "Reinvite",
            "Renegotiated",
            "RenegotiationFailed",
            "Info",
            "Referred",
            "Transferred",
            "TransferFailed",
        ];
        let after = at.map_or(&[][..], |at| &stage.transcript[at..]);
        prop_assert!(!after.iter().any(|l| is_of(l, &all)), "call {}\n{}", call, log);
    }
    let left = (stage.endpoint.calls(), stage.endpoint.transactions(), stage.endpoint.deadline());
    prop_assert_eq!(left, (0, 0, None), "{}", log);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_call_to_us(first in "peer: INVITE( noffer| \\+Supported=100rel,timer| require=100rel| \\+Supported=timer \\+Session-Expires=90;refresher=uas)", steps in steps()) {
        one_last_word_each(&first, &steps)?;
    }

    #[test]
    fn any_call_of_ours(steps in answers()) {
        one_last_word_each("us: invite", &steps)?;
    }
}
