//! Clocks at their second, who may do what, and what a claim blocks.

use super::*;
use crate::roles::{Person, Role, actor};

const SUBJECT: SubjectId = SubjectId([9; 16]);
/// Monday 2 March 2026, 09:00 UTC.
const GOT: Time = Time(1_772_442_000_000);
/// Thirty working days later: the end of Monday 13 April.
const END: Time = Time(1_776_124_800_000);

fn claim(id: u64, what: Claimed) -> Claim {
    let tenant = TenantId::new("clinic").expect("a name");
    Claim::new(ClaimId(id), (tenant, SUBJECT), (what, None), None, &Clocks::default(), GOT)
}

fn why() -> Why {
    Why::new("letter 4").expect("a reason")
}

fn dana() -> Actor {
    actor("dana", Role::PrivacyOfficer)
}

fn answered(what: Claimed, answer: Answer, at: Time) -> Claim {
    let mut claim = claim(1, what);
    claim.take(&actor("aru", Role::Operator), GOT).expect("may");
    claim.answer(&dana(), answer, why(), at).expect("may");
    claim
}

#[test]
fn every_claim_has_30_working_days_and_overdue_shows_at_the_second() {
    for what in CLAIMED {
        let claim = claim(1, what);
        assert_eq!(claim.until, END, "{what}");
        for (off_ms, overdue) in [(-1000, false), (0, true), (1000, true)] {
            let standing = claim.standing(END.plus_ms(off_ms));
            assert_eq!(standing == Standing::Overdue { since: END }, overdue, "{what} {off_ms}");
        }
    }
    for (off_ms, late) in [(-1000, false), (0, true), (1000, true)] {
        let claim = answered(Claimed::Access, Answer::Granted, END.plus_ms(off_ms));
        assert_eq!(claim.standing(END), Standing::Closed { answer: Answer::Granted, late }, "{off_ms}");
    }
}

#[test]
fn a_claim_is_near_its_end_five_working_days_before() {
    let claim = claim(1, Claimed::Access);
    // The end of Monday 6 April.
    let near = Time(1_775_520_000_000);
    assert_eq!(claim.standing(near.plus_ms(-1000)), Standing::Open { until: END });
    for off_ms in [0, 1000] {
        assert_eq!(claim.standing(near.plus_ms(off_ms)), Standing::Near { until: END });
    }
}

#[test]
fn holidays_move_the_end() {
    let text = "access = 10\n[calendar]\nutc_minutes = 300\nholidays = [\"2026-03-09\"]";
    let clocks = Clocks::read(&text.parse().expect("TOML")).expect("reads");
    let tenant = TenantId::new("clinic").expect("a name");
    let claim = Claim::new(ClaimId(1), (tenant, SUBJECT), (Claimed::Access, None), None, &clocks, GOT);
    // The end of Tuesday 17 March in Almaty.
    assert_eq!(claim.until, Time(1_773_774_000_000));
}

#[test]
fn the_clocks_of_a_policy_are_checked() {
    let read = |text: &str| Clocks::read(&text.parse().expect("TOML"));
    assert_eq!(read(""), Ok(Clocks::default()));
    assert_eq!(read("block = 0"), Err(BadClocks::OutOfRange("block", 0)));
    assert_eq!(read("human_review = 31"), Err(BadClocks::OutOfRange("human_review", 31)));
    assert!(matches!(read("reply = 3"), Err(BadClocks::Unreadable(_))));
    assert!(matches!(read("[calendar]\nutc_minutes = 9000"), Err(BadClocks::Calendar(BadCalendar::Offset(9000)))));
}

#[test]
fn it_is_taken_then_answered_by_those_who_may() {
    let (aru, kim) = (actor("aru", Role::Operator), actor("kim", Role::Auditor));
    let mut claim = claim(1, Claimed::Rectify);
    assert_eq!(claim.answer(&dana(), Answer::Granted, why(), GOT), Err(NotDone::NotTaken));
    assert!(matches!(claim.take(&kim, GOT), Err(NotDone::NotAllowed(_))));
    claim.take(&aru, GOT).expect("may");
    assert_eq!(claim.taken_by().map(|by| by.person.clone()), Person::new("aru").ok());
    assert!(matches!(claim.answer(&aru, Answer::Granted, why(), GOT), Err(NotDone::NotAllowed(_))));
    claim.take(&dana(), GOT).expect("hands it over");
    claim.answer(&dana(), Answer::Partly, why(), GOT).expect("may");
    assert_eq!(claim.take(&aru, GOT), Err(NotDone::Closed));
    assert_eq!(claim.answer(&dana(), Answer::Refused, why(), GOT), Err(NotDone::Closed));
    assert_eq!(claim.take_back(GOT), Err(NotDone::Closed));
    let row = serde_json::to_string(&claim).expect("writes");
    assert_eq!(serde_json::from_str::<Claim>(&row).expect("reads"), claim);
    assert_eq!(claim.events().len(), 4, "who and when of each step stays");
}

#[test]
fn it_cannot_grow_without_end_and_can_always_be_answered() {
    let mut claim = claim(1, Claimed::Block);
    let taken = (0..1000).filter(|_| claim.take(&dana(), GOT).is_ok()).count();
    assert_eq!(taken, EVENTS_MOST - 3);
    claim.answer(&dana(), Answer::Granted, why(), GOT).expect("has room");
    claim.unblock(&dana(), why(), GOT).expect("has room");
}

#[test]
fn what_is_contested_is_blocked_until_it_is_decided() {
    for what in CLAIMED {
        let contests = what.at_once() == AtOnce::Block;
        assert_eq!(claim(1, what).blocks(), contests, "{what}");
        assert!(!answered(what, Answer::Refused, GOT).blocks(), "{what}");
        let stays = matches!(what, Claimed::Block | Claimed::Object);
        assert_eq!(answered(what, Answer::Granted, GOT).blocks(), stays, "{what}");
    }
    let mut open = claim(1, Claimed::Block);
    assert_eq!(open.unblock(&dana(), why(), GOT), Err(NotDone::NotBlocked), "first it must be answered");
    open.take_back(GOT).expect("is open");
    assert!(!open.blocks());
    let mut granted = answered(Claimed::Block, Answer::Granted, GOT);
    granted.unblock(&dana(), why(), GOT).expect("may");
    assert!(!granted.blocks());
    assert_eq!(Claimed::Withdrawal.at_once(), AtOnce::Withdraw);
}

#[test]
fn a_block_is_of_one_subject_and_of_one_call_where_it_names_one() {
    let all = [claim(1, Claimed::Block)];
    assert!(is_blocked(&all, SUBJECT, None) && is_blocked(&all, SUBJECT, Some(CallId(3))));
    assert!(!is_blocked(&all, SubjectId([1; 16]), None));
    let one = [Claim { call: Some(CallId(3)), ..claim(1, Claimed::Object) }];
    assert!(is_blocked(&one, SUBJECT, Some(CallId(3))));
    assert!(!is_blocked(&one, SUBJECT, Some(CallId(4))) && !is_blocked(&one, SUBJECT, None));
}

#[test]
fn the_most_urgent_comes_first() {
    let clocks = Clocks { complaint: 5, ..Clocks::default() };
    let tenant = TenantId::new("clinic").expect("a name");
    let urgent = Claim::new(ClaimId(3), (tenant, SUBJECT), (Claimed::Complaint, None), None, &clocks, GOT);
    let claims = [claim(1, Claimed::Access), answered(Claimed::Access, Answer::Granted, GOT), urgent];
    let list = waiting(&claims, END);
    assert_eq!(list.iter().map(|(c, _)| c.id.0).collect::<Vec<_>>(), [3, 1]);
    assert!(list.iter().all(|(_, s)| matches!(s, Standing::Overdue { .. })));
}
