//! Bursts, gaps and ratings, by scripts of packets and by the tables of the recommendations.
use super::emodel::{Impairment, mos};
use super::*;

/// A script: `.` received, `x` missing, a number repeats the next sign.
fn track(script: &str) -> Tracker {
    let (mut tracker, mut times) = (Tracker::default(), 0);
    for c in script.chars().filter(|c| !c.is_whitespace()) {
        if let Some(digit) = c.to_digit(10) {
            times = times * 10 + digit;
            continue;
        }
        let outcome = if c == 'x' { Outcome::Missing } else { Outcome::Received };
        (0..times.max(1)).for_each(|_| tracker.packet(outcome, 20));
        times = 0;
    }
    tracker
}

fn path(discarded: u64) -> Path {
    Path { codec: Codec::Pcmu, discarded, round_trip: None, jitter_buffer_ms: 40, packet_ms: 20 }
}

/// "loss% discard% | burst density in % and ms | gap density in % and ms".
#[track_caller]
fn check(script: &str, discarded: u64, expected: &str) {
    let q = track(script).quality(&path(discarded));
    let found = format!(
        "{:.1} {:.1} | {:.1} {} | {:.1} {}",
        q.loss_percent,
        q.discard_percent,
        q.burst_density * 100.0,
        q.burst_ms,
        q.gap_density * 100.0,
        q.gap_ms
    );
    assert_eq!(found, expected, "{script}");
}

#[test]
fn bursts_and_gaps_are_those_of_4_7_2() {
    check("", 0, "0.0 0.0 | 0.0 0 | 0.0 0");
    check("100.", 0, "0.0 0.0 | 0.0 0 | 0.0 2000");
    // Single losses, sixteen or more apart, also at the ends: all one gap.
    check("x 16. x 64. x 16. x", 0, "4.0 0.0 | 0.0 0 | 4.0 2000");
    // Fifteen between are too few: one burst from the first loss to the last.
    check("40. x 15. x 43.", 0, "2.0 0.0 | 11.8 340 | 0.0 830");
    // Two bursts: 4 and 2 packets; three gaps.
    check("30. 4x 32. 2x 32.", 0, "6.0 0.0 | 100.0 60 | 0.0 626");
    // A burst from the first packet on, another one up to the report: one gap between.
    check("2x 46. 2x", 0, "8.0 0.0 | 100.0 40 | 0.0 920");
    // What is open at the time of the report ends there.
    check("48. x .", 0, "2.0 0.0 | 0.0 0 | 2.0 1000");
    check("50x", 0, "100.0 0.0 | 100.0 1000 | 0.0 0");
    // Of ten missing four came too late; and never more than are missing.
    check("80. 10x 10.", 4, "6.0 4.0 | 100.0 200 | 0.0 900");
    check("90. 10x", 40, "0.0 10.0 | 100.0 200 | 0.0 1800");
}

#[test]
fn a_report_does_not_disturb_the_counts() {
    let (mut plain, mut asked) = (track("20. x 10."), track("20. x 10."));
    asked.quality(&path(0));
    for tracker in [&mut plain, &mut asked] {
        [Outcome::Missing, Outcome::Received].into_iter().for_each(|o| tracker.packet(o, 20));
    }
    assert_eq!(plain.quality(&path(0)), asked.quality(&path(0)));
    assert_eq!((plain.expected(), plain.missing()), (33, 2));
}

/// The estimate of RFC 3611, A.2, from transition counts: burst density, gap density, burst and gap in packets.
fn appendix_a_2(missing: impl Iterator<Item = bool>) -> [f64; 4] {
    let [mut c11, mut c13, mut c14, mut c22, mut c23, mut c33] = [0.0; 6];
    let (mut packets, mut lost) = (0, 0);
    for missing in missing {
        if !missing {
            packets += 1;
            continue;
        }
        if packets >= GAP_MIN {
            if lost == 1 {
                c14 += 1.0
            } else {
                c13 += 1.0
            }
            lost = 1;
            c11 += f64::from(packets);
        } else {
            lost += 1;
            if packets == 0 {
                c33 += 1.0;
            } else {
                c23 += 1.0;
                c22 += f64::from(packets - 1);
            }
        }
        packets = 0;
    }
    let (c31, c32) = (c13, c23);
    let total = c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33;
    let (p32, p23) = (c32 / (c31 + c32 + c33), 1.0 - c22 / (c22 + c23));
    let gap = (c11 + c14 + c13) / c13;
    [p23 / (p23 + p32), c14 / (c11 + c14), total / c13 - gap, gap]
}

#[test]
fn long_calls_agree_with_the_estimate_of_a_2() {
    // A network with two states: 0.5 % loss, and for 40 packets in the mean, 40 %.
    let (mut dice, mut bad) = (1u32, false);
    let mut chance = |percent: f64| {
        dice ^= dice << 13;
        dice ^= dice >> 17;
        dice ^= dice << 5;
        f64::from(dice) / f64::from(u32::MAX) < percent / 100.0
    };
    let packets: Vec<bool> = (0..400_000)
        .map(|_| {
            bad = if bad { !chance(2.5) } else { chance(0.25) };
            chance(if bad { 40.0 } else { 0.5 })
        })
        .collect();
    let mut tracker = Tracker::default();
    packets.iter().for_each(|m| tracker.packet(if *m { Outcome::Missing } else { Outcome::Received }, 20));
    let q = tracker.quality(&path(0));
    let ours = [
        f64::from(q.burst_density),
        f64::from(q.gap_density),
        f64::from(q.burst_ms) / 20.0,
        f64::from(q.gap_ms) / 20.0,
    ];
    let estimate = appendix_a_2(packets.into_iter());
    for (ours, estimate) in ours.into_iter().zip(estimate) {
        assert!((ours / estimate - 1.0).abs() < 0.05, "{ours} against {estimate}");
    }
}

#[test]
fn mos_is_that_of_annex_b() {
    let table = [(0.0, 1.0), (6.5, 1.0), (50.0, 2.58), (60.0, 3.10), (70.0, 3.60), (80.0, 4.03), (90.0, 4.34)];
    for (r, expected) in table.into_iter().chain([(93.2, 4.41), (100.0, 4.5), (-5.0, 1.0), (130.0, 4.5)]) {
        assert!((mos(r) - expected).abs() < 0.0075, "R {r}: {} for {expected}", mos(r));
    }
}

#[test]
fn r_is_that_of_the_e_model() {
    // Missing in percent, burst ratio, delay in ms, R. The first line is the default of G.107, 7.7; the others
    // were worked out from its equations with all terms (Ro, Is, Id, Ie,eff) by an independent program.
    let g711 = Impairment::G711;
    let bare = Impairment::G711_UNCONCEALED;
    for (codec, missing, burst_ratio, delay_ms, expected) in [
        (g711, 0.0, 1.0, 0.0, 93.2),
        (g711, 0.0, 1.0, 50.0, 91.8),
        (g711, 0.0, 1.0, 100.0, 90.7),
        (g711, 0.0, 1.0, 150.0, 89.5),
        (g711, 0.0, 1.0, 200.0, 85.8),
        (g711, 0.0, 1.0, 300.0, 72.7),
        (g711, 0.0, 1.0, 400.0, 62.2),
        (g711, 1.0, 1.0, 0.0, 89.6),
        (g711, 5.0, 1.0, 0.0, 77.4),
        (bare, 1.0, 1.0, 0.0, 75.3),
        (bare, 2.0, 1.0, 0.0, 63.1),
        (bare, 5.0, 1.0, 0.0, 42.1),
        // 95 * 5 / (5 / 2 + 4.3) = 69.9.
        (bare, 5.0, 2.0, 0.0, 23.4),
        (bare, 100.0, 50.0, 1_000.0, 0.0),
        // G.107.1: 129 without impairment, 129 - 13 with G.722.
        (Impairment { ie: 0.0, ..Impairment::G722 }, 0.0, 1.0, 0.0, 100.0),
        (Impairment::G722, 0.0, 1.0, 0.0, 89.9),
        (Impairment::OPUS, 0.0, 1.0, 0.0, 99.2),
    ] {
        let r = codec.r_factor(missing, burst_ratio, delay_ms);
        assert!(
            (r - expected).abs() <= 0.06,
            "{codec:?} {missing} % x {burst_ratio}, {delay_ms} ms: {r}, not {expected}"
        );
    }
}

#[test]
fn listening_is_rated_without_delay_and_conversation_with() {
    let q = track("1000.").quality(&Path { round_trip: Some(Duration::from_millis(480)), ..path(0) });
    // 240 + 40 + 20 ms.
    assert_eq!((q.round_trip_ms, q.end_system_delay_ms, q.wideband), (Some(480), 60, false));
    assert_eq!(
        format!("{:.1} {:.2} {:.2}", q.r_factor.unwrap(), q.mos_lq.unwrap(), q.mos_cq.unwrap()),
        "72.7 4.41 3.72"
    );
    let nothing = Tracker::default().quality(&path(0));
    assert_eq!((nothing.r_factor, nothing.mos_lq, nothing.metrics(7, 200)), (None, None, None));
    // Ten single losses and one run of ten are the same loss, and do not sound the same.
    let [scattered, run] =
        [format!("{} 10.", "90. x".repeat(10)), "455. 10x 455.".into()].map(|script| track(&script).quality(&path(0)));
    assert!((scattered.loss_percent - run.loss_percent).abs() < 0.02);
    assert!(scattered.r_factor.unwrap() > run.r_factor.unwrap(), "{scattered:?} {run:?}");
}

#[test]
fn a_report_carries_it_in_the_units_of_4_7() {
    let q = track("30. 4x 32. 2x 32.").quality(&Path { round_trip: Some(Duration::from_secs(100)), ..path(3) });
    let m = q.metrics(7, 200).unwrap();
    // 3 % and 3 % of 256; a density of one is the highest there is; a round trip beyond 16 bits too.
    assert_eq!((m.ssrc, m.loss_rate, m.discard_rate, m.burst_density, m.gap_density), (7, 7, 7, 255, 0));
    assert_eq!((m.burst_ms, m.gap_ms, m.round_trip_ms, m.end_system_delay_ms), (60, 626, 65_535, 60));
    assert_eq!((m.gap_min, m.r_factor, m.mos_cq_tenths, m.signal_dbm0), (16, Some(0), Some(10), None));
    assert_eq!((m.jitter_nominal_ms, m.jitter_max_ms, m.jitter_limit_ms), (40, 200, 200));
}
