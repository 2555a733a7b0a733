//! The retention job at every boundary, a second before, at, and a second after, on both databases.

use dauys::store::TranscriptStore as _;
use privacy::consent::{Which, Withdrawal};
use privacy::retention::{Covers, Hold, HoldId, Term, Terms};
use privacy::roles::{Member, Person, Role, Staff, Why};
use privacy::{Scope, Time};

use crate::stage::{BOTH, DAY, NOON, SECOND, Stage, found};

fn terms() -> Terms {
    Terms { content: Term::days(30), recording: Term::days(20), metadata: Term::years(1), ..Terms::default() }
}

/// The same data under these terms.
async fn kept(name: &str, on: crate::stage::On) -> Stage {
    let mut stage = Stage::new(name, on).await;
    stage.settings.terms = terms();
    let stage = stage.again().await;
    let gate = stage.call(1, &[Scope::Transcript, Scope::Audio]);
    stage.say(&gate, 10, "zanzibar");
    let permit = gate.permit(&Scope::Audio).expect("granted");
    let sound = privacy::seal::Plain::new(b"OggS".to_vec());
    stage.vault.audio(&permit, dauys::call::Speaker::Caller, 0, 1000, sound).expect("fits");
    stage.record(1, stage.subject(), "hung up");
    stage.vault.flush().await;
    stage
}

/// Rows of a table after a run at this time.
async fn after(stage: &Stage, at: i64, table: &str) -> i64 {
    stage.set(at);
    stage.vault.retain().await.expect("runs");
    stage.count(table).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_goes_at_its_term_and_not_a_second_before() {
    for on in BOTH {
        let stage = kept("terms", on).await;
        let audio = NOON + 20 * DAY;
        assert_eq!(after(&stage, audio - SECOND, "recordings").await, 1, "{on:?}");
        stage.set(audio);
        let due = stage.vault.due().await.expect("looks").to_string();
        assert!(due.contains("recordings") && due.contains("its term is over"), "{due}");
        assert_eq!(stage.count("recordings").await, 1, "a dry run changes nothing");
        assert_eq!(after(&stage, audio, "recordings").await, 0, "{on:?}");
        assert_eq!(std::fs::read_dir(stage.dir().join("audio")).expect("lists").count(), 0);

        let content = NOON + 30 * DAY;
        assert_eq!(after(&stage, content - SECOND, "lines").await, 1, "{on:?}");
        assert_eq!(stage.texts(1).await, ["\"zanzibar\""], "{on:?}");
        assert_eq!(after(&stage, content, "lines").await, 0, "{on:?}");
        assert_eq!(stage.keys().await, 4, "the keys go with the last record that they open");

        // 23 November 2026, noon, to 23 November 2027, noon.
        let metadata = NOON + 365 * DAY;
        assert_eq!(after(&stage, metadata - SECOND, "calls").await, 1, "{on:?}");
        assert_eq!(after(&stage, metadata, "calls").await, 0, "{on:?}");

        // Three years from the end of use, which was the end of the content: 23 December 2026.
        let consent = content + (365 * 2 + 366) * DAY;
        assert_eq!(after(&stage, consent - SECOND, "consent_events").await, 4, "{on:?}");
        assert_eq!(after(&stage, consent, "consent_events").await, 0, "{on:?}");
        assert_eq!(after(&stage, consent + SECOND, "consent_events").await, 0, "{on:?}");
        let public = [stage.vault.keys().public().expect("a key")];
        dauys::vault::audit::verify(stage.dir(), &public).expect("whole");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_what_is_due_and_for_so_long_only() {
    for on in BOTH {
        let stage = kept("hold", on).await;
        let person = Person::new("dana").expect("a name");
        let staff =
            Staff::new([Member { person: person.clone(), roles: [Role::PrivacyOfficer].into() }]).expect("staff");
        let dana = staff.act(&person, Role::PrivacyOfficer).expect("hers");
        let until = NOON + 60 * DAY;
        let covers = Covers::subject(stage.vault.tenant(), stage.subject());
        let why = Why::new("case 12").expect("a reason");
        let hold = Hold::place(HoldId(3), covers, &dana, why, (Time(NOON), Time(until)), terms().hold).expect("fits");
        let entry = privacy::chain::Entry {
            at: stage.vault.now(),
            actor: "dana".into(),
            role: "privacy_officer".into(),
            action: privacy::chain::Action::HoldPlaced,
            objects: vec![],
            why: "case 12".into(),
        };
        stage.vault.put_hold(&hold, entry).await.expect("places");
        assert_eq!(after(&stage, NOON + 31 * DAY, "lines").await, 1, "{on:?}");
        let due = stage.vault.due().await.expect("looks");
        assert!(due.goes.is_empty() && due.held.iter().any(|l| l.table == "lines"), "{due}");
        assert_eq!(after(&stage, until - SECOND, "lines").await, 1, "{on:?}");
        assert_eq!(after(&stage, until, "lines").await, 0, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_use_and_an_overdue_erasure_beat_the_term() {
    for on in BOTH {
        let stage = kept("use", on).await;
        stage.set(NOON + DAY);
        stage.vault.end_use(stage.subject()).await.expect("ends");
        assert_eq!(after(&stage, NOON + DAY, "lines").await, 0, "{on:?}");
        assert_eq!(stage.count("recordings").await, 0, "{on:?}");
        assert_eq!(stage.count("calls").await, 1, "metadata has its own term");
        stage.clean();

        // Somebody asked, and nothing was done for fifteen days: the job itself takes it out then.
        let stage = kept("overdue", on).await;
        let asked = privacy::erasure::AskedBy::Subject;
        stage.vault.ask_erasure(stage.subject(), asked, "asked").await.expect("asks");
        assert_eq!(after(&stage, NOON + 15 * DAY - SECOND, "calls").await, 1, "{on:?}");
        assert_eq!(after(&stage, NOON + 15 * DAY, "calls").await, 0, "{on:?}");
        assert_eq!(stage.count("lines").await, 0, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_of_calls_that_left_nothing_are_evidence_from_their_end_on() {
    for on in BOTH {
        let stage = Stage::new("unused", on).await;
        let mut gate = stage.call(1, &[Scope::Transcript]);
        let purge = gate.withdraw(stage.vault.now(), &Which::All, Withdrawal::Phrase);
        stage.events(&mut gate);
        stage.vault.purge(dauys::call::CallId(1), &purge);
        let going = stage.call(2, &[Scope::Transcript]);
        drop(going);
        stage.set(NOON + 5 * 60 * SECOND);
        stage.record(1, stage.subject(), "hung up");
        stage.vault.flush().await;
        stage.set(NOON + DAY);
        stage.vault.retain().await.expect("runs");
        let ended = |call: i64| {
            let sql = "SELECT max(use_ended_unix_ms) FROM consent_events WHERE call = $1";
            let db = stage.vault.db().clone();
            async move { db.number(sql, dauys::values![call]).await.expect("reads") }
        };
        assert_eq!(ended(1).await, NOON + 5 * 60 * SECOND, "{on:?}");
        assert_eq!(ended(2).await, 0, "{on:?}: it goes on");
        assert!(!found(stage.dir(), b"zanzibar"));
        stage.clean();
    }
}
