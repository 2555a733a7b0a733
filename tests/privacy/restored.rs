//! Copies of the data: one taken before an erasure and put back after it, and an audit log of which one byte is another.

use dauys::call::CallId;
use dauys::vault::audit::{self, AuditError};
use dauys::vault::{For, VaultError};
use privacy::erasure::AskedBy;
use privacy::retention::Purpose;

use crate::killed::{CANARY, Crm, copy, filled, opened, settings};
use crate::scan::Scanner;
use crate::stage::reader;

/// A backup is of the data without the keystore, which has a shorter life of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_before_an_erasure_cannot_be_decrypted_after_it() {
    let stage = filled("restored").await;
    let (dir, subject) = (stage.settings.dir.clone(), stage.subject());
    let before = stage.vault.transcript(CallId(1), &reader(Purpose::Service)).await.expect("reads");
    assert!(serde_json::to_string(&before).expect("JSON").contains(CANARY), "positive control: it can be read");
    stage.vault.close().await;
    drop(stage);
    let backup = dir.with_extension("backup");
    copy(&dir, &backup);
    std::fs::remove_dir_all(backup.join("keys")).expect("backups leave the keystore out");
    // Positive control: with the keystore of that time, the backup is as good as the data.
    let whole = dir.with_extension("whole");
    copy(&dir, &whole);
    let vault = opened(&settings(&whole), For::Serving).await;
    let lines = vault.transcript(CallId(1), &reader(Purpose::Service)).await.expect("reads");
    assert_eq!(lines, before);
    vault.close().await;
    drop(vault);

    let vault = opened(&settings(&dir), For::Serving).await;
    let id = vault.ask_erasure(subject, AskedBy::Subject, "asked by phone").await.expect("asks");
    vault.erase_all(&Crm).await;
    assert!(vault.erasure(id).await.expect("is there").is_done());
    vault.close().await;

    // The backup comes back; the keystore is today's.
    copy(&dir.join("keys"), &backup.join("keys"));
    // What the audit log said after the backup is known to the keystore's owner; the log of today goes with it.
    for name in [audit::LOG, audit::CHECKPOINTS] {
        std::fs::copy(dir.join(name), backup.join(name)).expect("copied");
    }
    let vault = opened(&settings(&backup), For::Serving).await;
    let rows = vault.db().number("SELECT count(*) FROM lines WHERE call = 1", &[]).await.expect("counts");
    assert_eq!(rows, 1, "the row is back");
    let opened = vault.transcript(CallId(1), &reader(Purpose::Service)).await;
    assert!(matches!(opened, Err(VaultError::Keys(_))), "and nobody can read it");
    vault.close().await;
    let finds = Scanner::new(&[CANARY]).folder(&backup);
    assert!(finds.is_empty(), "{finds:?}");
    for dir in [dir, backup, whole] {
        std::fs::remove_dir_all(dir).expect("cleans up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_flipped_byte_of_the_audit_log_is_found_where_it_is() {
    let stage = filled("flipped").await;
    let dir = stage.settings.dir.clone();
    for n in 0..8 {
        stage.vault.transcript(CallId(1 + n % 2), &reader(Purpose::Service)).await.expect("reads");
    }
    let public = [stage.vault.keys().public().expect("a key")];
    stage.vault.close().await;
    let summary = audit::verify(&dir, &public).expect("whole");
    assert!(summary.entries >= 8, "{summary:?}");
    let log = std::fs::read(dir.join(audit::LOG)).expect("a log");
    let mut seq = 1;
    for at in 0..log.len() {
        let mut altered = log.clone();
        altered[at] ^= 1;
        std::fs::write(dir.join(audit::LOG), &altered).expect("written");
        let found = audit::verify(&dir, &public).expect_err("altered");
        assert!(matches!(&found, AuditError::Broken(broken) if broken.seq == seq), "entry {seq}, byte {at}: {found}");
        seq += u64::from(log[at] == b'\n');
    }
    assert_eq!(seq, summary.entries + 1, "every entry had its turn");
    std::fs::write(dir.join(audit::LOG), &log).expect("written");
    audit::verify(&dir, &public).expect("whole again");
    std::fs::remove_dir_all(dir).expect("cleans up");
}

/// A command beside a gateway signs the log when it ends, and so does the gateway then: nobody has altered anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_two_processes_sign_is_whole() {
    let stage = filled("signed").await;
    let dir = stage.settings.dir.clone();
    let public = [stage.vault.keys().public().expect("a key")];
    let beside = opened(&settings(&dir), For::Beside).await;
    stage.vault.transcript(CallId(1), &reader(Purpose::Service)).await.expect("reads");
    beside.close().await;
    stage.vault.close().await;
    let summary = audit::verify(&dir, &public).expect("whole");
    assert_eq!(summary.checkpoint.map(|(number, _)| number), Some(2), "both have signed");
    std::fs::remove_dir_all(dir).expect("cleans up");
}
