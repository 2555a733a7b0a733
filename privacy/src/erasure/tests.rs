//! Terms, holds, refusals and alarms of an erasure; `crashes` kills it everywhere.

mod crashes;

use super::*;
use crate::retention::{Covers, Hold, HoldId};
use crate::roles::{Person, Role, Why, actor};
use crate::time::days;
use crate::{SubjectId, TenantId};

const SUBJECT: SubjectId = SubjectId([5; 16]);
const CALL: CallId = CallId(77);

fn tenant() -> TenantId {
    TenantId::new("clinic").expect("a name")
}

fn asked(now: Time) -> Job {
    Job::ask(JobId(1), (tenant(), SUBJECT), AskedBy::Subject, "7", Rules::default(), now)
}

fn inventory(destinations: &[&str]) -> Inventory {
    Inventory {
        rows: [("lines".to_owned(), 12), ("calls".to_owned(), 2)].into(),
        files: 3,
        keys: vec!["subject-key".into()],
        calls: vec![CALL],
        destinations: destinations.iter().map(|d| (*d).to_owned()).collect(),
    }
}

/// At the stage where every system is to be told.
fn at_fan(destinations: &[&str], now: Time) -> Job {
    let mut job = asked(now);
    for outcome in [
        Outcome::Found(inventory(&[])),
        Outcome::Frozen(inventory(destinations)),
        Outcome::KeysDestroyed,
        Outcome::RowsDeleted,
        Outcome::FilesDeleted,
        Outcome::Compacted,
    ] {
        job.done(now, outcome).expect("in step");
    }
    job
}

fn hold(covers: Covers, from: Time, until: Time) -> Hold {
    let dana = actor("dana", Role::PrivacyOfficer);
    Hold::place(HoldId(4), covers, &dana, Why::new("case 3").expect("a reason"), (from, until), Term::years(1))
        .expect("fits")
}

fn sent(to: &str) -> Outcome {
    Outcome::Sent { destination: to.into() }
}

fn refused(by: &str) -> Outcome {
    Outcome::Refused { destination: by.into(), code: 409 }
}

fn receipt(of: &str) -> Outcome {
    Outcome::Receipt { destination: of.into(), receipt: Receipt::machine([1; 32], Time(0)) }
}

#[test]
fn the_steps_come_in_order_and_none_is_skipped() {
    let mut job = asked(Time(0));
    let steps = [
        (Step::Find, Outcome::Found(inventory(&[]))),
        (Step::Freeze, Outcome::Frozen(inventory(&["crm"]))),
        (Step::DestroyKeys, Outcome::KeysDestroyed),
        (Step::DeleteRows, Outcome::RowsDeleted),
        (Step::DeleteFiles, Outcome::FilesDeleted),
        (Step::Compact, Outcome::Compacted),
        (Step::Send { destination: "crm".into() }, receipt("crm")),
        (Step::Prove, Outcome::Proven { hash: "ab".into() }),
        (Step::Finish, Outcome::Finished),
    ];
    for i in 0..steps.len() {
        assert_eq!(job.next(Time(i as i64), &[]), steps[i].0);
        for (_, later) in &steps[i + 1..] {
            let before = job.clone();
            assert!(job.done(Time(i as i64), later.clone()).is_err(), "{later:?} after {:?}", job.stage());
            assert_eq!(job, before, "a step out of order changes nothing");
        }
        job.done(Time(i as i64), steps[i].1.clone()).expect("in step");
        let once = job.clone();
        job.done(Time(99), steps[i].1.clone()).expect("twice is once");
        assert_eq!(job, once);
    }
    assert!(job.is_done());
    assert_eq!(job.next(Time(100), &[]), Step::Nothing);
    assert_eq!(job.history().iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), STAGES);
    assert_eq!(job.proof(), Some("ab"));
}

#[test]
fn the_term_is_15_days_and_its_end_is_told_at_the_second() {
    let mut job = asked(Time(500));
    let end = Time(500 + days(15));
    assert_eq!(job.deadline(), Some(end));
    for (off_ms, alarm) in [
        (-days(3) - 1000, None),
        (-days(3), Some(Alarm::Near { deadline: end })),
        (-days(3) + 1000, Some(Alarm::Near { deadline: end })),
        (-1000, Some(Alarm::Near { deadline: end })),
        (0, Some(Alarm::Overdue { deadline: end })),
        (1000, Some(Alarm::Overdue { deadline: end })),
    ] {
        assert_eq!(job.alarms(end.plus_ms(off_ms)), Vec::from_iter(alarm), "{off_ms}");
    }
    assert_eq!(job.next(end, &[]), Step::Find, "also an overdue one goes on");
}

#[test]
fn the_law_gives_30_days_and_no_more() {
    let read = |text: &str| Rules::read(&text.parse().expect("TOML"));
    assert_eq!(read(""), Ok(Rules::default()));
    assert!(read("term = \"29 days\"").is_ok() && read("term = \"30 days\"").is_ok());
    assert_eq!(read("term = \"31 days\""), Err(BadRules::TooLong(Term::days(31))));
    assert_eq!(read("term = \"1 month\""), Err(BadRules::TooLong(Term::months(1))), "it may have 31 days");
    assert!(matches!(read("alarm_before = \"15 days\""), Err(BadRules::AlarmTooEarly(..))));
    assert_eq!(read("retry_s_first = 0"), Err(BadRules::OutOfRange("retry_s_first", 1, 3600)));
    assert!(read("terms = \"1 day\"").expect_err("unknown").to_string().contains("expected one of `term`"));
    let rules = read("term = \"30 days\"").expect("reads");
    let job = Job::ask(JobId(1), (tenant(), SUBJECT), AskedBy::System, "7", rules, Time(0));
    for (off_ms, overdue) in [(-1000, false), (0, true), (1000, true)] {
        let alarms = job.alarms(Time(days(30) + off_ms));
        assert_eq!(alarms.contains(&Alarm::Overdue { deadline: Time(days(30)) }), overdue, "{off_ms}");
    }
}

#[test]
fn a_hold_stops_it_and_its_clock() {
    let until = Time(days(100));
    for covers in [Covers::all(&tenant()), Covers::subject(&tenant(), SUBJECT)] {
        let mut job = asked(Time(0));
        let held = [hold(covers, Time(0), until)];
        for off_ms in [-1000, -1] {
            let step = job.next(until.plus_ms(off_ms), &held);
            assert_eq!(step, Step::Held { hold: HoldId(4), until });
        }
        assert_eq!((job.deadline(), job.held()), (None, Some(HoldId(4))));
        assert!(job.alarms(Time(days(99))).is_empty(), "a stopped clock is not overdue");
        // It was stopped since somebody first looked, a second before the end.
        assert_eq!(job.next(until.plus_ms(1000), &held), Step::Find);
        assert_eq!(job.deadline(), Some(Time(days(15) + 1000)));
    }
}

#[test]
fn the_time_of_a_hold_is_added_to_the_term() {
    let mut job = asked(Time(0));
    let dana = actor("dana", Role::PrivacyOfficer);
    let mut held = hold(Covers::subject(&tenant(), SUBJECT), Time(0), Time(days(50)));
    assert!(matches!(job.next(Time(days(2)), std::slice::from_ref(&held)), Step::Held { .. }));
    held.release(&dana, Why::new("settled").expect("a reason"), Time(days(6))).expect("stands");
    // Looked at a day later: only the time of the hold counts.
    assert_eq!(job.next(Time(days(7)), std::slice::from_ref(&held)), Step::Find);
    assert_eq!(job.deadline(), Some(Time(days(15 + 4))));
}

#[test]
fn a_hold_on_one_of_its_calls_stops_it_until_the_keys_are_gone() {
    let held = [hold(Covers::call(&tenant(), CALL), Time(0), Time(days(9)))];
    let mut job = asked(Time(0));
    assert_eq!(job.next(Time(1), &held), Step::Find, "its calls are not known yet");
    job.done(Time(1), Outcome::Found(inventory(&[]))).expect("in step");
    assert!(matches!(job.next(Time(2), &held), Step::Held { .. }));
    let mut late = at_fan(&["crm"], Time(0));
    assert_eq!(late.next(Time(2), &held), Step::Send { destination: "crm".into() }, "nothing is left to hold");
    let others = [hold(Covers::subject(&tenant(), SubjectId([6; 16])), Time(0), Time(days(9)))];
    assert_eq!(asked(Time(0)).next(Time(1), &others), Step::Find);
}

#[test]
fn a_system_that_refuses_keeps_it_open_and_alarms() {
    let mut job = at_fan(&["crm", "mail"], Time(0));
    job.done(Time(0), receipt("mail")).expect("known");
    let mut now = Time(0);
    for _ in 0..50 {
        match job.next(now, &[]) {
            Step::Send { destination } => job.done(now, refused(&destination)).expect("known"),
            Step::Wait { until } => now = until,
            step => panic!("{step:?} while a system refuses"),
        }
    }
    assert_eq!(job.stage(), Stage::DatabaseCompacted);
    assert_eq!(job.open(), ["crm"].into());
    let alarm = Alarm::Refused { destination: "crm".into(), code: 409, since: Time(0) };
    assert!(job.alarms(now).contains(&alarm));
    // An officer has it on paper.
    let kim = actor("kim", Role::Operator);
    assert!(Receipt::by_hand([2; 32], now, &kim).is_err());
    let paper = Receipt::by_hand([2; 32], now, &actor("dana", Role::PrivacyOfficer)).expect("may");
    job.done(now, Outcome::Receipt { destination: "crm".into(), receipt: paper }).expect("known");
    assert_eq!(job.next(now, &[]), Step::Prove);
    let by: Vec<_> = job.receipts().map(|(name, r)| (name.to_owned(), r.by.clone())).collect();
    let dana = Person::new("dana").expect("a name");
    assert_eq!(by, [("crm".into(), ReceiptBy::Hand(dana)), ("mail".into(), ReceiptBy::Machine)]);
}

#[test]
fn a_silent_system_is_told_again_and_then_reported() {
    let mut job = at_fan(&["crm"], Time(0));
    let send = Step::Send { destination: "crm".into() };
    assert_eq!(job.next(Time(0), &[]), send);
    job.done(Time(0), sent("crm")).expect("known");
    assert!(job.alarms(Time(1)).is_empty());
    for off_ms in [-1000, -1] {
        assert_eq!(job.next(Time(days(1) + off_ms), &[]), Step::Wait { until: Time(days(1)) });
    }
    assert_eq!(job.next(Time(days(1)), &[]), send);
    job.done(Time(days(1)), sent("crm")).expect("known");
    assert_eq!(job.alarms(Time(days(1))), [Alarm::NoReceipt { destination: "crm".into(), orders: 2 }]);
    job.done(Time(days(1)), receipt("crm")).expect("known");
    job.done(Time(days(1)), refused("crm")).expect("a late refusal takes no receipt back");
    assert_eq!(job.next(Time(days(1)), &[]), Step::Prove);
    assert_eq!(job.done(Time(days(1)), receipt("nobody")), Err(OutOfStep::NobodyKnown));
}

#[test]
fn a_failure_comes_again_later_each_time_and_is_told() {
    let mut job = asked(Time(0));
    let mut now = Time(0);
    let mut waits = vec![];
    for _ in 0..12 {
        assert_eq!(job.next(now, &[]), Step::Find);
        job.failed(now, None);
        let Step::Wait { until } = job.next(now, &[]) else { panic!("tries again at once") };
        waits.push((until.0 - now.0) / 1000);
        now = until;
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600, 21600]);
    assert!(job.alarms(now).contains(&Alarm::Failing { after: Stage::Asked, attempts: 12 }));
    job.done(now, Outcome::Found(inventory(&[]))).expect("in step");
    assert_eq!(job.next(now, &[]), Step::Freeze, "the next step starts afresh");
    let mut job = at_fan(&["crm"], Time(0));
    for _ in 0..5 {
        job.failed(Time(0), Some("crm"));
    }
    assert_eq!(job.alarms(Time(0)), [Alarm::Unreachable { destination: "crm".into(), attempts: 5 }]);
}

#[test]
fn a_system_that_received_data_between_counting_and_freezing_is_told_too() {
    let mut job = asked(Time(0));
    job.done(Time(0), Outcome::Found(inventory(&["old"]))).expect("in step");
    job.done(Time(0), Outcome::Frozen(inventory(&["new"]))).expect("in step");
    assert_eq!(job.fans().iter().map(Fan::destination).collect::<Vec<_>>(), ["new", "old"]);
    assert_eq!(job.inventory().destinations.len(), 2);
}

#[test]
fn who_may_ask_is_a_matter_of_roles() {
    assert!(AskedBy::staff(&actor("aru", Role::Operator)).is_ok());
    assert!(AskedBy::staff(&actor("kim", Role::Auditor)).is_err());
}
