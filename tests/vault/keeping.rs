//! Words and sound on their way in and out: sealed, in order, against consent that is on the disk.

use dauys::call::{CallId, Speaker};
use dauys::store::{Row, TranscriptStore as _};
use dauys::vault::export::Format;
use dauys::vault::{For, VaultError};
use privacy::consent::{Which, Withdrawal};
use privacy::retention::Purpose;
use privacy::seal::Plain;
use privacy::{Scope, Scopes};

use crate::stage::{BOTH, DAY, NOON, On, Stage, found, open, reader};

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_back_in_order_and_lie_sealed() {
    for on in BOTH {
        let stage = Stage::new("lines", on).await;
        let gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "first zanzibar");
        let permit = gate.permit(&Scope::Transcript).expect("granted");
        stage.vault.append_gap(&permit, 15, 3).expect("fits");
        stage.say(&gate, 20, "second");
        stage.vault.flush().await;
        let rows = stage.vault.transcript(CallId(1), &reader(Purpose::Service)).await.expect("reads");
        let line = |at_ms, text: &str| Row::Line { at_ms, speaker: "caller".into(), text: text.into() };
        assert_eq!(rows, [line(10, "first zanzibar"), Row::Gap { at_ms: 15, lost: 3 }, line(20, "second")], "{on:?}");
        assert!(!found(stage.dir(), b"zanzibar"), "{on:?}");
        let log = std::fs::read_to_string(stage.dir().join("audit.log")).expect("a log");
        let last = log.lines().last().expect("an entry");
        assert!(last.contains("content.read") && last.contains("dana") && last.contains("claim 7"), "{last}");
        assert!(!format!("{rows:?}").contains("zanzibar"));
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_before_its_consent_is_on_the_disk() {
    for on in BOTH {
        let stage = Stage::new("unlogged", on).await;
        let subject = stage.subject();
        // The gate granted, and its events were never handed over.
        let mut gate = stage.call_of(1, subject, &[]);
        let now = stage.vault.now();
        gate.ask(now, &Scope::Transcript, privacy::policy::TextHash::of("may we?"));
        assert!(gate.grant(now, &Scope::Transcript, privacy::consent::Grant::Key));
        stage.say(&gate, 10, "too early");
        stage.vault.flush().await;
        assert_eq!((stage.count("lines").await, stage.keys().await), (0, 4), "{on:?}");
        stage.events(&mut gate);
        stage.say(&gate, 20, "in time");
        stage.vault.flush().await;
        assert_eq!(stage.texts(1).await, ["\"in time\""], "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_takes_lines_and_key_out() {
    for on in BOTH {
        let stage = Stage::new("withdrawn", on).await;
        let mut gate = stage.call(1, &[Scope::Transcript]);
        let other = stage.call(2, &[Scope::Transcript]);
        stage.say(&gate, 10, "goes");
        stage.say(&other, 10, "stays");
        stage.vault.flush().await;
        let before = stage.keys().await;
        let purge = gate.withdraw(stage.vault.now(), &Which::All, Withdrawal::Phrase);
        stage.events(&mut gate);
        stage.vault.purge(CallId(1), &purge);
        stage.vault.flush().await;
        assert_eq!(stage.keys().await, before - 1, "{on:?}");
        assert!(stage.texts(1).await.is_empty(), "{on:?}");
        assert_eq!(stage.texts(2).await, ["\"stays\""], "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_by_request_stays_away_while_the_call_goes_on() {
    for on in BOTH {
        let stage = Stage::new("request", on).await;
        let gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "before");
        stage.vault.flush().await;
        let scopes = stage.vault.withdraw(CallId(1), &Which::All).await.expect("withdraws");
        assert_eq!(scopes, Scopes::from([Scope::Transcript]));
        stage.say(&gate, 20, "after");
        stage.vault.flush().await;
        assert_eq!((stage.count("lines").await, stage.count("consent_events").await), (0, 3), "{on:?}");
        let log = std::fs::read_to_string(stage.dir().join("audit.log")).expect("a log");
        assert!(log.contains("consent.withdrawn"));
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beats_altered_evidence_and_asks_for_none() {
    for on in BOTH {
        let stage = Stage::new("altered", on).await;
        let gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "kept");
        stage.vault.flush().await;
        stage.vault.db().run("UPDATE consent_events SET scopes = '{' WHERE seq = 0", &[]).await.expect("damages");
        stage.vault.withdraw(CallId(1), &Which::All).await.expect("withdraws");
        assert_eq!(stage.count("lines").await, 0, "{on:?}");
        stage.say(&gate, 20, "after");
        stage.vault.flush().await;
        assert_eq!(stage.count("lines").await, 0, "{on:?}");
        let none = stage.vault.withdraw(CallId(77), &Which::All).await.expect("there is nothing to take back");
        assert!(none.is_empty(), "{on:?}");
        stage.clean();
    }
}

/// On one thread: what is queued waits until the test waits.
#[tokio::test]
async fn a_purge_that_finds_the_queue_full_is_done_behind_what_was_queued() {
    for on in BOTH {
        let stage = Stage::new("full", on).await;
        let mut gate = stage.call(1, &[Scope::Transcript]);
        let permit = gate.permit(&Scope::Transcript).expect("granted");
        let fits = (0..).take_while(|n| stage.vault.append_gap(&permit, *n, 1).is_ok()).count();
        assert!(fits > 900, "{fits}");
        let purge = gate.withdraw(stage.vault.now(), &Which::All, Withdrawal::Phrase);
        stage.vault.purge(CallId(1), &purge);
        stage.vault.flush().await;
        assert_eq!(stage.count("lines").await, 0, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_the_database_did_not_take_is_done_when_it_is_back() {
    for on in BOTH {
        let stage = Stage::new("away", on).await;
        let mut gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "goes");
        stage.vault.flush().await;
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            stage.vault.db().script(&sql).await.expect("renames");
        };
        rename("consent_events", "events_away").await;
        rename("lines", "lines_away").await;
        let purge = gate.withdraw(stage.vault.now(), &Which::All, Withdrawal::Phrase);
        stage.events(&mut gate);
        stage.vault.purge(CallId(1), &purge);
        stage.vault.flush().await;
        assert_eq!(stage.count("lines_away").await, 1, "{on:?}: it could not");
        rename("events_away", "consent_events").await;
        rename("lines_away", "lines").await;
        stage.vault.flush().await;
        assert_eq!((stage.count("consent_events").await, stage.count("lines").await), (3, 0), "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_no_agreed_line_and_keeps_no_other() {
    for on in BOTH {
        let stage = Stage::new("crash", on).await;
        let agreed = stage.call(1, &[Scope::Transcript]);
        stage.say(&agreed, 10, "agreed");
        let mut withdrawn = stage.call(2, &[Scope::Transcript]);
        stage.say(&withdrawn, 10, "withdrawn");
        // It died between the event and the purge.
        let _ = withdrawn.withdraw(stage.vault.now(), &Which::All, Withdrawal::Key);
        stage.events(&mut withdrawn);
        stage.vault.flush().await;
        std::fs::write(stage.dir().join("audio/0f.sealed"), b"begun").expect("writes");
        let stage = stage.after_death().await;
        assert_eq!(stage.texts(1).await, ["\"agreed\""], "{on:?}");
        assert!(stage.texts(2).await.is_empty(), "{on:?}");
        let record = stage.vault.call(CallId(1)).await.expect("reads").expect("is there");
        assert_eq!((record.state.as_str(), record.subject), ("lost", Some(stage.subject())));
        assert!(!stage.dir().join("audio/0f.sealed").exists(), "a file that no row names goes");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_lies_sealed_and_is_exported_whole() {
    for on in BOTH {
        let stage = Stage::new("sound", on).await;
        let gate = stage.call(1, &[Scope::Transcript, Scope::Audio]);
        stage.say(&gate, 10, "hello");
        let permit = gate.permit(&Scope::Audio).expect("granted");
        for (seq, part) in [(0, "OggS zanz"), (1, "ibar")] {
            let opus = || Plain::new(part.as_bytes().to_vec());
            stage.vault.audio(&permit, Speaker::Caller, seq, 5000, opus()).expect("fits");
            stage.vault.audio(&permit, Speaker::Agent, seq, 5000, opus()).expect("fits");
        }
        stage.vault.flush().await;
        assert_eq!(stage.count("recordings").await, 2, "{on:?}");
        assert!(!found(stage.dir(), b"zanz") && !found(stage.dir(), b"OggS"));
        let subject = stage.subject();
        let json = stage.vault.export(subject, &reader(Purpose::Subject), Format::Json).await.expect("exports");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["content"][0]["lines"][0]["text"], "hello");
        assert_eq!(json["content"][0]["sound"][1]["base64url"], "T2dnUyB6YW56aWJhcg", "{on:?}");
        assert_eq!(json["calls"][0]["id"], "0000000000000001");
        assert_eq!(json["consent_events"].as_array().map(Vec::len), Some(4));
        let vcon = stage.vault.export(subject, &reader(Purpose::Subject), Format::Vcon).await.expect("exports");
        let vcon: serde_json::Value = serde_json::from_str(&vcon).expect("JSON");
        let kinds: Vec<_> = vcon[0]["dialog"].as_array().expect("a list").iter().map(|d| d["type"].clone()).collect();
        assert_eq!(kinds, ["text", "recording", "recording"]);
        assert_eq!(vcon[0]["dialog"][0]["body"], "hello");
        // One stretch is altered in its file: it is not opened.
        let file = std::fs::read_dir(stage.dir().join("audio")).expect("lists").flatten().next().expect("one").path();
        let mut bytes = std::fs::read(&file).expect("reads");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, bytes).expect("writes");
        assert!(stage.vault.export_json(subject, &reader(Purpose::Subject)).await.is_err());
        stage.vault.purge(CallId(1), &Scopes::from([Scope::Audio]));
        stage.vault.flush().await;
        assert!(!file.exists(), "{on:?}");
        assert_eq!(stage.texts(1).await, ["\"hello\""], "the words were agreed to apart");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_read_as_evidence_and_a_moved_row_not_at_all() {
    for on in BOTH {
        let stage = Stage::new("evidence", on).await;
        let gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "one");
        stage.say(&gate, 20, "two");
        stage.vault.flush().await;
        assert_eq!(stage.vault.consent(CallId(1), &reader(Purpose::Service)).await.expect("in use").len(), 2);
        stage.vault.end_use(stage.subject()).await.expect("ends");
        let refused = stage.vault.consent(CallId(1), &reader(Purpose::Service)).await;
        assert!(matches!(refused, Err(VaultError::NotRead(_))), "{on:?}");
        let log = std::fs::read_to_string(stage.dir().join("audit.log")).expect("a log");
        assert!(log.contains("read.refused"));
        assert_eq!(stage.vault.consent(CallId(1), &reader(Purpose::Proof)).await.expect("evidence").len(), 2);
        stage.vault.db().run("UPDATE lines SET seq = 9 WHERE seq = 1", &[]).await.expect("moves");
        assert!(stage.vault.transcript(CallId(1), &reader(Purpose::Service)).await.is_err(), "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_one_person_however_the_number_is_written() {
    let stage = Stage::new("subject", On::Sqlite).await;
    let of = |who: &str| stage.vault.subject_of(who);
    assert_eq!(of("sip:+77015550123@pbx.example"), of("8 701 555-01-23"));
    assert_ne!(of("+77015550123"), of("+77015550124"));
    assert_ne!(of("anonymous"), of("anonymous"), "nobody is somebody new each time");
    let known = of("+77015550123");
    let stage = stage.again().await;
    assert_eq!(stage.vault.subject_of("+77015550123"), known);
    stage.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_and_others_look() {
    let stage = Stage::new("lock", On::Sqlite).await;
    let second = open(&stage.settings, &stage.now, For::Serving).await;
    assert!(matches!(second, Err(VaultError::InUse(_))));
    assert!(dauys::vault::is_served(stage.dir()));
    let beside = open(&stage.settings, &stage.now, For::Beside).await.expect("looks");
    // Both append to one audit log, and it stays one chain.
    for vault in [&stage.vault, &beside, &stage.vault, &beside] {
        vault.note(privacy::chain::Action::PolicyLoaded, vec![], "").await.expect("logs");
    }
    let public = stage.vault.keys().public().expect("a key");
    assert_eq!(dauys::vault::audit::verify(stage.dir(), &[public]).expect("whole").entries, 4);
    beside.close().await;
    stage.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_statement_is_used_after_a_restart_too() {
    for on in BOTH {
        let stage = Stage::new("used", on).await;
        let hash = privacy::policy::TextHash::of("a statement");
        let until = privacy::Time(NOON + DAY);
        dauys::store::register::put_used(stage.vault.db(), stage.vault.tenant(), hash, until).await.expect("writes");
        let stage = stage.again().await;
        assert!(stage.vault.used().await.expect("reads").holds(&hash), "{on:?}");
        stage.set(NOON + DAY);
        assert!(!stage.vault.used().await.expect("reads").holds(&hash), "{on:?}");
        stage.clean();
    }
}
