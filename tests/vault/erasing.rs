//! Erasures on real databases: complete, provable, stopped by a hold, kept open by a system that refuses, and
//! converging from wherever they are cut off.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use dauys::call::CallId;
use dauys::store::{register, rows};
use dauys::vault::VaultError;
use dauys::vault::erase::Advanced;
use dauys::vault::fan::{Answered, Orders};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use privacy::chain::{Action, Entry, Object};
use privacy::egress::{Ended, Sort, Transfer, TransferId};
use privacy::erasure::{Alarm, AskedBy, Job, JobId, Receipt, Stage as At};
use privacy::proof::verify_proof;
use privacy::retention::{Covers, Hold, HoldId, Purpose};
use privacy::roles::{Member, Person, Role, Staff, Why};
use privacy::seal::Plain;
use privacy::{Scope, SubjectId, Time};

use crate::stage::{BOTH, DAY, NOON, On, SECOND, Stage, found, reader};

/// Connected systems that answer as they are told to.
#[derive(Default)]
struct Systems(Mutex<BTreeMap<String, Answered>>);

impl Systems {
    fn answering(answers: &[(&str, Answered)]) -> Self {
        Self(Mutex::new(answers.iter().map(|(name, answer)| ((*name).to_owned(), answer.clone())).collect()))
    }

    fn set(&self, name: &str, answer: Answered) {
        self.0.lock().expect("whole").insert(name.into(), answer);
    }
}

impl Orders for Systems {
    fn order<'a>(&'a self, _: &'a Job, destination: &'a str) -> BoxFuture<'a, Answered> {
        let answer = self.0.lock().expect("whole").get(destination).cloned();
        std::future::ready(answer.unwrap_or(Answered::Unreachable)).boxed()
    }
}

fn receipt() -> Answered {
    Answered::Receipt(b"{\"erased\":true}".to_vec())
}

fn officer() -> privacy::roles::Actor {
    let person = Person::new("dana").expect("a name");
    let roles = [Role::PrivacyOfficer].into();
    let staff = Staff::new([Member { person: person.clone(), roles }]).expect("staff");
    staff.act(&person, Role::PrivacyOfficer).expect("hers")
}

fn entry(stage: &Stage, action: Action) -> Entry {
    let objects = vec![Object::subject(stage.subject())];
    Entry {
        at: stage.vault.now(),
        actor: "dana".into(),
        role: "privacy_officer".into(),
        action,
        objects,
        why: "case 7".into(),
    }
}

/// Two calls of the subject with words and sound, one of somebody else, and a system that received data.
async fn filled(name: &str, on: On, destinations: &[&str]) -> Stage {
    let stage = Stage::new(name, on).await;
    for id in [1, 2] {
        let gate = stage.call(id, &[Scope::Transcript, Scope::Audio]);
        stage.say(&gate, 10, "zanzibar");
        let permit = gate.permit(&Scope::Audio).expect("granted");
        let sound = Plain::new(b"OggS".to_vec());
        let keep = dauys::store::TranscriptStore::audio;
        keep(&stage.vault, &permit, dauys::call::Speaker::Caller, 0, 1000, sound).expect("fits");
        stage.record(id, stage.subject(), "hung up");
    }
    let other = stage.call_of(3, stage.vault.subject_of("+7 701 555 99 99"), &[Scope::Transcript]);
    stage.say(&other, 10, "stays");
    for (n, destination) in (1..).zip(destinations) {
        stage.vault.put_transfer(&stage.transfer(n, destination)).await.expect("writes");
    }
    stage.vault.flush().await;
    assert_eq!((stage.count("lines").await, stage.count("recordings").await), (3, 2));
    stage
}

async fn ask(stage: &Stage) -> JobId {
    stage.vault.ask_erasure(stage.subject(), AskedBy::Subject, "asked by phone").await.expect("asks")
}

async fn gone(stage: &Stage, on: On) {
    assert_eq!(stage.count("lines").await, 1, "{on:?}");
    assert_eq!(stage.count("recordings").await, 0, "{on:?}");
    assert_eq!(stage.count("calls").await, 1, "{on:?}");
    assert!(stage.vault.keys().of_subject(stage.subject()).await.expect("lists").is_empty(), "{on:?}");
    assert_eq!(std::fs::read_dir(stage.dir().join("audio")).expect("lists").count(), 0, "{on:?}");
    assert_eq!(stage.texts(3).await, ["\"stays\""], "{on:?}");
    // The subject's pseudonym is left in evidence only, by which nobody can be found without the index key.
    assert!(stage.count("consent_events").await >= 8, "{on:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_and_a_backup_of_before_cannot_be_opened() {
    for on in BOTH {
        let stage = filled("erased", on, &["crm"]).await;
        let backup = rows::lines(stage.vault.db(), stage.vault.tenant(), CallId(1)).await.expect("reads");
        let id = ask(&stage).await;
        assert_eq!(ask(&stage).await, id, "one that is under way is the same one");
        let systems = Systems::answering(&[("crm", receipt())]);
        stage.vault.erase_all(&systems).await;
        let job = stage.vault.erasure(id).await.expect("is there");
        assert!(job.is_done(), "{on:?}: {}", job.stage().word());
        gone(&stage, on).await;

        let document = stage.vault.proof(id).await.expect("reads").expect("is there");
        let public = [stage.vault.keys().public().expect("a key")];
        let proof = verify_proof(document.as_bytes(), &public).expect("genuine");
        assert_eq!((proof.subject, proof.receipts.len(), proof.keys.len()), (stage.subject(), 1, 5));
        let counted = |kind: &str| proof.deleted.iter().find(|c| c.kind == kind).map(|c| c.count);
        assert_eq!((counted("lines"), counted("calls"), counted("files")), (Some(2), Some(2), Some(2)));
        assert_eq!(proof.kept.iter().find(|k| k.kind == "transfers").map(|k| k.count), Some(1));
        let file = std::fs::read_to_string(stage.dir().join(format!("proofs/{id}.json"))).expect("a file");
        assert_eq!(file, document);
        let known = privacy::chain::Known::default().with(proof.audit.last);
        let log = std::fs::read(stage.dir().join("audit.log")).expect("a log");
        privacy::chain::verify(&log, known).expect("the log agrees with the proof");

        // Somebody restores the rows; the keys are in no backup of the store.
        for line in backup {
            let rows::Stored::Sealed(sealed) = &line.what else { panic!("sealed") };
            let on = rows::Rests {
                call: CallId(1),
                subject: line.subject,
                scope: sealed.scope.clone(),
                event: sealed.event,
            };
            let place = (sealed.seq, line.made, line.at_ms);
            rows::put_line(stage.vault.db(), stage.vault.tenant(), &on, place, &line.what).await.expect("restores");
        }
        let opened = stage.vault.transcript(CallId(1), &reader(Purpose::Proof)).await;
        assert!(matches!(opened, Err(VaultError::Keys(_))), "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_meanwhile_leaves_nothing_and_the_next_one_may() {
    for on in BOTH {
        let stage = filled("meanwhile", on, &["crm"]).await;
        let going = stage.call(4, &[Scope::Transcript]);
        stage.say(&going, 10, "before");
        let id = ask(&stage).await;
        let systems = Systems::default();
        while stage.vault.erasure(id).await.expect("is there").stage() < At::KeysDestroyed {
            stage.vault.advance(id, &systems).await.expect("goes on");
        }
        stage.say(&going, 20, "after the freeze");
        let read = stage.vault.transcript(CallId(4), &reader(Purpose::Service)).await;
        assert!(matches!(read, Err(VaultError::NotRead(_))), "{on:?}");
        stage.vault.erase_all(&systems).await;
        stage.record(4, stage.subject(), "hung up");
        stage.say(&going, 30, "after the end");
        stage.vault.flush().await;
        gone(&stage, on).await;
        // The system has not answered yet; whoever calls again is somebody new to us.
        let next = stage.call(5, &[Scope::Transcript]);
        stage.say(&next, 10, "again");
        stage.vault.flush().await;
        assert_eq!(stage.texts(5).await, ["\"again\""], "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_which_nobody_spoke_meanwhile_leaves_nothing_either() {
    for on in BOTH {
        let stage = filled("silent", on, &[]).await;
        let going = stage.call(4, &[Scope::Transcript]);
        stage.say(&going, 10, "before");
        ask(&stage).await;
        stage.vault.erase_all(&Systems::default()).await;
        // Its gate knows nothing of the erasure.
        stage.say(&going, 20, "after");
        stage.record(4, stage.subject(), "hung up");
        let sent = Transfer { call: Some(CallId(4)), ended: None, ended_at: None, ..stage.transfer(9, "crm") };
        assert!(stage.vault.put_transfer(&sent).await.is_err(), "{on:?}: nothing of it leaves the house");
        stage.vault.flush().await;
        gone(&stage, on).await;
        assert_eq!(stage.count("transfers").await, 0, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_between_the_freeze_and_the_end() {
    let stage = filled("sending", On::Sqlite, &["crm"]).await;
    let id = ask(&stage).await;
    let begins = Transfer { ended: None, ended_at: None, ..stage.transfer(9, "crm") };
    let begun = Transfer { id: TransferId(8), ..begins.clone() };
    stage.vault.put_transfer(&begun).await.expect("it was only asked for");
    while stage.vault.erasure(id).await.expect("is there").stage() < At::KeysDestroyed {
        stage.vault.advance(id, &Systems::default()).await.expect("goes on");
    }
    assert!(stage.vault.put_transfer(&begins).await.is_err());
    let ended = Transfer { ended: Some(Ended::Failed), ended_at: Some(stage.vault.now()), ..begun };
    stage.vault.put_transfer(&ended).await.expect("how one ended that had begun before");
    // The orders to erase go, or nobody would ever be told.
    let order = Transfer { id: TransferId(10), erasure: Some(id), sort: Sort::ErasureOrder, ..begins };
    stage.vault.put_transfer(&order).await.expect("writes");
    stage.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_system_is_silent_is_erased_too_when_it_is_asked_for() {
    for on in BOTH {
        let stage = filled("anew", on, &["crm"]).await;
        let first = ask(&stage).await;
        let systems = Systems::answering(&[("crm", Answered::Taken)]);
        stage.vault.erase_all(&systems).await;
        let next = stage.call(5, &[Scope::Transcript]);
        stage.say(&next, 10, "again");
        stage.record(5, stage.subject(), "hung up");
        stage.vault.flush().await;
        let second = ask(&stage).await;
        assert_ne!(first, second, "the first one has deleted what it deletes");
        stage.vault.erase_all(&systems).await;
        gone(&stage, on).await;
        assert_eq!(
            ask(&stage).await == second,
            stage.vault.erasure(second).await.expect("is there").stage() < At::DatabaseCompacted
        );
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_evidence_and_keys_keep_nobody_from_being_erased() {
    for on in BOTH {
        let stage = filled("damaged", on, &[]).await;
        let db = stage.vault.db();
        db.run("UPDATE consent_events SET scopes = '{' WHERE call = 1 AND seq = 1", &[]).await.expect("damages");
        db.run("UPDATE consent_events SET policy = 'other' WHERE call = 2 AND seq = 0", &[]).await.expect("alters");
        let keys = stage.vault.keys().db();
        keys.run("UPDATE keys SET parent = 'none' WHERE call = 1 AND scope = 'audio'", &[]).await.expect("damages");
        let other = stage.vault.subject_of("+7 701 555 88 88");
        let unreadable = stage.vault.ask_erasure(other, AskedBy::Subject, "asked").await.expect("asks");
        db.run("UPDATE erasures SET job = '{'", &[]).await.expect("damages");
        let id = ask(&stage).await;
        stage.vault.erase_all(&Systems::default()).await;
        assert!(stage.vault.erasure(unreadable).await.is_err(), "{on:?}");
        assert!(stage.vault.erasure(id).await.expect("is there").is_done(), "{on:?}");
        gone(&stage, on).await;
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_it_until_it_is_released() {
    for on in BOTH {
        let stage = filled("held", on, &[]).await;
        let covers = Covers::call(stage.vault.tenant(), CallId(2));
        let why = |text| Why::new(text).expect("a reason");
        let times = (stage.vault.now(), Time(NOON + 40 * DAY));
        let mut hold =
            Hold::place(HoldId(9), covers, &officer(), why("case 12"), times, stage.settings.terms.hold).expect("fits");
        stage.vault.put_hold(&hold, entry(&stage, Action::HoldPlaced)).await.expect("places");
        let id = ask(&stage).await;
        stage.vault.erase_all(&Systems::default()).await;
        let job = stage.vault.erasure(id).await.expect("is there");
        assert_eq!((job.stage() < At::KeysDestroyed, job.held()), (true, Some(HoldId(9))), "{on:?}");
        assert_eq!(stage.count("lines").await, 3);
        assert_eq!(job.deadline(), None, "the term stands still");
        stage.set(NOON + 5 * DAY);
        hold.release(&officer(), why("settled"), stage.vault.now()).expect("stands");
        stage.vault.put_hold(&hold, entry(&stage, Action::HoldLifted)).await.expect("lifts");
        assert_eq!(stage.vault.holds().await.expect("reads"), [hold]);
        stage.vault.erase_all(&Systems::default()).await;
        assert!(stage.vault.erasure(id).await.expect("is there").is_done(), "{on:?}");
        gone(&stage, on).await;
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_refuses_keeps_it_open_and_alarms() {
    for on in BOTH {
        let stage = filled("refused", on, &["crm", "diary"]).await;
        let id = ask(&stage).await;
        let systems = Systems::answering(&[("crm", Answered::Refused(403)), ("diary", Answered::Taken)]);
        stage.vault.erase_all(&systems).await;
        gone(&stage, on).await;
        let job = stage.vault.erasure(id).await.expect("is there");
        assert_eq!(job.open().into_iter().collect::<Vec<_>>(), ["crm", "diary"], "{on:?}");
        let alarms = job.alarms(stage.vault.now());
        assert!(matches!(&alarms[..], [Alarm::Refused { destination, code: 403, .. }] if destination == "crm"));
        let log = std::fs::read_to_string(stage.dir().join("audit.log")).expect("a log");
        assert!(log.contains("erasure.refused") && log.contains("erasure.alarm"));
        // An officer has its receipt on paper; the other one answers a day later.
        let by_hand = Receipt::by_hand([7; 32], stage.vault.now(), &officer()).expect("may");
        stage.vault.take_receipt(id, "crm", by_hand, entry(&stage, Action::ErasureReceipt)).await.expect("takes");
        systems.set("diary", receipt());
        stage.set(NOON + DAY - SECOND);
        stage.vault.erase_all(&systems).await;
        assert!(!stage.vault.erasure(id).await.expect("is there").is_done(), "it was given a day");
        stage.set(NOON + DAY);
        stage.vault.erase_all(&systems).await;
        assert!(stage.vault.erasure(id).await.expect("is there").is_done(), "{on:?}");
        assert_eq!(stage.count("receipts").await, 2);
        let sent = register::transfers(stage.vault.db(), stage.vault.tenant(), stage.subject()).await.expect("reads");
        assert_eq!(sent, [transfer_at(&stage, 1, "crm"), transfer_at(&stage, 2, "diary")], "rows come back as written");
        stage.clean();
    }
}

fn transfer_at(stage: &Stage, n: u64, destination: &str) -> Transfer {
    Transfer { at: Time(NOON), ended_at: Some(Time(NOON)), ..stage.transfer(n, destination) }
}

/// Lets go of a future after so many polls: the process died somewhere in it.
struct Dies<F> {
    future: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Dies<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(cx).map(Some)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_it_goes_on_and_nothing_is_half_erased() {
    for (on, rounds) in [(On::Sqlite, 12), (On::Postgres, 4)] {
        let mut deaths = 0;
        for round in 0..rounds {
            let mut stage = filled("cut", on, &["crm"]).await;
            let (id, subject) = (ask(&stage).await, stage.subject());
            let systems = Systems::answering(&[("crm", receipt())]);
            let mut polls = 2 + round * 3;
            loop {
                let future = Box::pin(stage.vault.advance(id, &systems));
                match (Dies { future, polls }).await {
                    Some(Ok(Advanced::Further)) => {}
                    Some(Ok(Advanced::Done)) => break,
                    Some(Ok(Advanced::Waits(at))) => stage.set(at.0),
                    Some(Err(error)) => panic!("{on:?}: {error}"),
                    None => {
                        deaths += 1;
                        // Longer next time, or it would never come through a long step.
                        polls += 5;
                        stage = stage.after_death().await;
                        half_erased(&stage, id, subject).await;
                    }
                }
            }
            gone(&stage, on).await;
            let document = stage.vault.proof(id).await.expect("reads").expect("is there");
            let public = [stage.vault.keys().public().expect("a key")];
            verify_proof(document.as_bytes(), &public).expect("genuine");
            dauys::vault::audit::verify(stage.dir(), &public).expect("whole");
            assert!(!found(stage.dir(), b"zanzibar"));
            stage.clean();
        }
        assert!(deaths >= rounds, "{on:?}: {deaths} deaths");
    }
}

/// What is written is never ahead of what is so.
async fn half_erased(stage: &Stage, id: JobId, subject: SubjectId) {
    let job = stage.vault.erasure(id).await.expect("is there");
    let keys = stage.vault.keys().of_subject(subject).await.expect("lists");
    let reached = |at| job.stage() >= at;
    assert!(!reached(At::KeysDestroyed) || keys.is_empty());
    assert!(!reached(At::RowsDeleted) || stage.count("lines").await == 1);
    assert!(!reached(At::FilesDeleted) || stage.count("recordings").await == 0);
    if !reached(At::Frozen) {
        assert_eq!(stage.count("lines").await, 3, "nothing goes before the freeze");
        assert_eq!(stage.texts(1).await, ["\"zanzibar\""]);
    }
}
