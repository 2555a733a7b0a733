//! Every boundary at a second before, on it, and a second after; and what beats what.

use proptest::prelude::*;

use super::term::at;
use super::*;
use crate::roles::{Role, Why, actor};
use crate::time::days;

fn tenant() -> TenantId {
    TenantId::new("clinic").expect("a name")
}

const SUBJECT: SubjectId = SubjectId([3; 16]);

fn about() -> About {
    About { tenant: tenant(), subject: Some(SUBJECT), call: Some(CallId(5)) }
}

fn hold(from: Time, until: Time) -> Hold {
    let dana = actor("dana", Role::PrivacyOfficer);
    let covers = Covers::subject(&tenant(), SUBJECT);
    Hold::place(HoldId(8), covers, &dana, Why::new("case 12").expect("a reason"), (from, until), Term::years(9))
        .expect("fits")
}

/// It stays until a second before `end`, and goes at `end`, because of `why`.
fn check(terms: &Terms, kind: Kind, times: Times, holds: &[Hold], end: &str, why: Goes) {
    let end = at(end);
    for (off_ms, goes) in [(-1000, false), (-1, false), (0, true), (1000, true)] {
        let due = terms.due(kind, &about(), &times, holds, end.plus_ms(off_ms));
        if goes {
            assert_eq!(due, Due::Go { since: end, why }, "{kind} {off_ms}");
        } else {
            assert!(matches!(due, Due::Keep { until: Some(until), .. } if until == end), "{kind} {off_ms}: {due:?}");
        }
    }
}

const MADE: &str = "2025-03-01T09:00:00Z";

fn made() -> Times {
    Times::made(at(MADE))
}

#[test]
fn every_term_ends_at_its_second() {
    let terms = Terms::default();
    let ended = Times { ended: Some(at("2026-06-30T00:00:00Z")), ..made() };
    check(&terms, Kind::Content, made(), &[], "2025-05-30T09:00:00Z", Goes::Term);
    check(&terms, Kind::Recording, made(), &[], "2025-03-31T09:00:00Z", Goes::Term);
    check(&terms, Kind::Metadata, made(), &[], "2026-03-01T09:00:00Z", Goes::Term);
    check(&terms, Kind::Transfer, made(), &[], "2028-03-01T09:00:00Z", Goes::Term);
    check(&terms, Kind::Audit, made(), &[], "2030-03-01T09:00:00Z", Goes::Term);
    check(&terms, Kind::Consent, ended, &[], "2029-06-30T00:00:00Z", Goes::Term);
    check(&terms, Kind::Register, ended, &[], "2029-06-30T00:00:00Z", Goes::Term);
    check(&terms, Kind::Key, ended, &[], "2026-06-30T00:00:00Z", Goes::EndOfUse);
}

#[test]
fn content_goes_with_the_use_and_at_most_after_its_term() {
    let terms = Terms::default();
    let left = |when| Times { ended: Some(at(when)), ..made() };
    check(&terms, Kind::Content, left("2025-03-10T00:00:00Z"), &[], "2025-03-10T00:00:00Z", Goes::EndOfUse);
    check(&terms, Kind::Content, left("2025-09-10T00:00:00Z"), &[], "2025-05-30T09:00:00Z", Goes::Term);
    check(&terms, Kind::Recording, left("2025-03-02T00:00:00Z"), &[], "2025-03-02T00:00:00Z", Goes::EndOfUse);
}

#[test]
fn what_is_in_use_has_no_end() {
    let far = at("2199-01-01T00:00:00Z");
    for kind in [Kind::Consent, Kind::Register, Kind::Key] {
        let due = Terms::default().due(kind, &about(), &made(), &[], far);
        assert_eq!(due, Due::Keep { until: None, why: Stays::InUse }, "{kind}");
    }
    let all = Times { ended: Some(at(MADE)), erase_by: Some(at(MADE)), ..made() };
    let due = Terms::default().due(Kind::Program, &about(), &all, &[], far);
    assert_eq!(due, Due::Keep { until: None, why: Stays::Program });
}

#[test]
fn an_erasure_beats_every_longer_term_and_no_shorter_one() {
    let terms = Terms::default();
    let asked = |by: &str| Times { ended: Some(at("2027-01-01T00:00:00Z")), erase_by: Some(at(by)), ..made() };
    for kind in [Kind::Content, Kind::Recording, Kind::Metadata, Kind::Key] {
        check(&terms, kind, asked("2025-03-16T09:00:00Z"), &[], "2025-03-16T09:00:00Z", Goes::Erasure);
    }
    check(&terms, Kind::Recording, asked("2025-04-20T00:00:00Z"), &[], "2025-03-31T09:00:00Z", Goes::Term);
    // The proof that there was a consent, and that it was erased, stays.
    check(&terms, Kind::Consent, asked("2025-03-16T09:00:00Z"), &[], "2030-01-01T00:00:00Z", Goes::Term);
    check(&terms, Kind::Transfer, asked("2025-03-16T09:00:00Z"), &[], "2028-03-01T09:00:00Z", Goes::Term);
}

#[test]
fn a_hold_beats_everything_until_its_second() {
    let terms = Terms::default();
    let asked = Times { erase_by: Some(at("2025-03-16T09:00:00Z")), ..made() };
    let held = hold(at("2025-03-10T00:00:00Z"), at("2026-03-10T00:00:00Z"));
    for off_ms in [-1000, 0, 1000] {
        let now = at("2025-03-16T09:00:00Z").plus_ms(off_ms);
        let due = terms.due(Kind::Content, &about(), &asked, std::slice::from_ref(&held), now);
        assert_eq!(due, Due::Keep { until: Some(held.until), why: Stays::Held(HoldId(8)) });
    }
    for (off_ms, goes) in [(-1000, false), (0, true), (1000, true)] {
        let due = terms.due(Kind::Content, &about(), &asked, std::slice::from_ref(&held), held.until.plus_ms(off_ms));
        assert_eq!(matches!(due, Due::Go { why: Goes::Erasure, .. }), goes, "{off_ms}");
    }
    // A hold that ends before the term does changes nothing.
    let short = hold(at("2025-03-10T00:00:00Z"), at("2025-03-12T00:00:00Z"));
    check(&terms, Kind::Content, asked, &[short], "2025-03-16T09:00:00Z", Goes::Erasure);
    // Of two, the longer counts, in whichever order.
    let longer = Hold { id: HoldId(9), until: at("2026-09-01T00:00:00Z"), ..held.clone() };
    for holds in [[held.clone(), longer.clone()], [longer.clone(), held.clone()]] {
        let due = terms.due(Kind::Content, &about(), &asked, &holds, at("2025-06-01T00:00:00Z"));
        assert_eq!(due, Due::Keep { until: Some(longer.until), why: Stays::Held(HoldId(9)) });
    }
}

#[test]
fn a_hold_of_others_or_one_released_holds_nothing() {
    let terms = Terms::default();
    let after = at("2025-06-01T00:00:00Z");
    let mut held = hold(at("2025-03-10T00:00:00Z"), at("2026-03-10T00:00:00Z"));
    let go = |holds: &[Hold]| matches!(terms.due(Kind::Content, &about(), &made(), holds, after), Due::Go { .. });
    assert!(!go(std::slice::from_ref(&held)));
    let other = Hold { covers: Covers::subject(&tenant(), SubjectId([4; 16])), ..held.clone() };
    assert!(go(&[other]));
    let dana = actor("dana", Role::PrivacyOfficer);
    held.release(&dana, Why::new("settled").expect("a reason"), after).expect("stands");
    assert!(go(&[held]));
}

#[test]
fn terms_come_from_the_policy_and_nonsense_is_refused() {
    let read = |text: &str| Terms::read(&text.parse().expect("TOML"));
    let terms = read("content = \"30 days\"\nconsent = \"4 years\"").expect("reads");
    assert_eq!((terms.content, terms.consent, terms.metadata), (Term::days(30), Term::years(4), Term::years(1)));
    assert_eq!(read(""), Ok(Terms::default()));
    let said = |text| read(text).expect_err("is refused").to_string();
    assert!(said("contents = \"30 days\"").contains("expected one of `content`"), "{}", said("contents = \"30 days\""));
    assert!(said("content = \"a while\"").contains("write it as \"15 days\""));
    assert_eq!(read("content = \"11 years\""), Err(BadTerms::TooLong("content", Term::years(11), Term::years(10))));
    assert!(matches!(read("audit = \"2 years\""), Err(BadTerms::AuditTooShort(..))));
}

#[test]
fn a_day_is_a_day_for_the_shortest_term() {
    let terms = Terms { content: Term::days(1), ..Terms::default() };
    for (off_ms, goes) in [(-1000, false), (0, true), (1000, true)] {
        let due = terms.due(Kind::Content, &about(), &Times::made(Time(0)), &[], Time(days(1) + off_ms));
        assert_eq!(matches!(due, Due::Go { .. }), goes);
    }
}

#[test]
fn why_is_said_for_people() {
    let terms = Terms::default();
    let after = at("2025-06-01T00:00:00Z");
    let held = hold(at("2025-03-10T00:00:00Z"), at("2026-03-10T00:00:00Z"));
    let said = |kind, holds: &[Hold]| terms.due(kind, &about(), &made(), holds, after).to_string();
    assert_eq!(said(Kind::Content, &[]), "goes: its term is over");
    assert_eq!(said(Kind::Content, &[held]), "stays: legal hold 0000000000000008");
    assert_eq!(said(Kind::Metadata, &[]), "stays: its term is not over");
    assert_eq!(said(Kind::Consent, &[]), "stays: it is in use");
}

/// Days after day 0, on which the oracle counts.
fn day(n: Option<u16>) -> Option<Time> {
    n.map(|n| Time(days(n.into())))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a table of days: content of 90 days, in every mix of end of use, erasure and holds.
    #[test]
    fn content_goes_on_the_day_that_counting_days_gives(
        made in 0u16..50,
        ended in prop::option::of(0u16..200),
        erase_by in prop::option::of(0u16..200),
        holds in prop::collection::vec((0u16..150, 1u16..150), 0..4),
        now in 0u16..300,
    ) {
        let holds: Vec<Hold> = holds
            .iter()
            .map(|(from, length)| hold(Time(days((*from).into())), Time(days((from + length).into()))))
            .collect();
        let times = Times { made: Time(days(made.into())), ended: day(ended), erase_by: day(erase_by) };
        let end = [Some(made + 90), ended, erase_by].into_iter().flatten().min().expect("a day");
        let stands = |h: &Hold| h.from.0 <= days(now.into()) && days(now.into()) < h.until.0;
        let goes = now >= end && !holds.iter().any(stands);
        let due = Terms::default().due(Kind::Content, &about(), &times, &holds, Time(days(now.into())));
        match due {
            Due::Go { since, .. } => prop_assert!(goes && since == Time(days(end.into()))),
            Due::Keep { until, .. } => {
                prop_assert!(!goes);
                prop_assert!(until.is_some_and(|at| at > Time(days(now.into()))), "what stays has a later day");
            }
        }
    }
}
