//! The databases as they are made: as declared, by month where the server keeps months, and taken over from
//! earlier versions; keys under new keys; and the audit log when somebody was at it.

use std::io::Write as _;

use dauys::vault::audit::{self, AuditError};
use dauys::vault::{For, VaultError, kek};
use privacy::Scope;
use privacy::schema::compare;

use crate::stage::{BOTH, On, Stage, found, open, scratch};

#[tokio::test(flavor = "multi_thread")]
async fn the_live_database_is_as_declared_and_another_does_not_open() {
    for on in BOTH {
        let stage = Stage::new("schema", on).await;
        for db in [stage.vault.db(), stage.vault.keys().db()] {
            let live = db.live().await.expect("lists");
            assert!(live.len() > 10);
            assert_eq!(compare(db.database(), db.dialect(), &live), [], "{on:?}");
        }
        stage.vault.db().script("ALTER TABLE lines ADD COLUMN caller_number TEXT").await.expect("adds");
        stage.vault.close().await;
        let (settings, now) = (stage.settings.clone(), stage.now.clone());
        drop(stage);
        let said = open(&settings, &now, For::Beside).await.err().expect("refused").to_string();
        assert!(said.contains("caller_number") && said.contains("declare it"), "{said}");
        std::fs::remove_dir_all(&settings.dir).expect("cleans up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_months_apart_and_drops_empty_ones() {
    let stage = Stage::new("months", On::Postgres).await;
    let gate = stage.call(1, &[Scope::Transcript]);
    stage.say(&gate, 10, "november");
    stage.vault.flush().await;
    assert_eq!(stage.count("lines_2026_11").await, 1);
    assert_eq!(stage.count("lines_other").await, 0);
    let three_years = crate::stage::NOON + 1200 * crate::stage::DAY;
    assert_eq!(stage.vault.db().drop_months(privacy::Time(three_years)).await.expect("drops"), 7, "two hold a row");
    let live = stage.vault.db().live().await.expect("lists");
    assert!(live.iter().any(|l| l.table == "lines_2026_11"), "what holds rows stays");
    assert!(!live.iter().any(|l| l.table == "lines_2026_12"));
    stage.clean();
}

/// What the version before this one made, with words in it.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_database_keeps_its_calls_and_loses_its_plain_words() {
    let dir = scratch("earlier");
    let path = dir.join("dauys.sqlite");
    let db = dauys::store::db::Db::sqlite(&path, privacy::schema::Database::Store).await.expect("opens");
    db.script(
        "CREATE TABLE calls (id INTEGER PRIMARY KEY, agent TEXT NOT NULL, started_unix_ms INTEGER NOT NULL,
            ended_unix_ms INTEGER, codec TEXT NOT NULL, state TEXT NOT NULL, consent TEXT NOT NULL,
            media TEXT NOT NULL, turns TEXT NOT NULL, direction TEXT NOT NULL DEFAULT 'inbound', trunk TEXT,
            security TEXT NOT NULL DEFAULT 'none');
         CREATE INDEX calls_by_start ON calls (started_unix_ms);
         CREATE TABLE lines (call INTEGER NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT, lost INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, speaker TEXT NOT NULL, text TEXT NOT NULL);
         INSERT INTO calls VALUES (7, 'a', 1, 2, 'PCMU', 'hung up', 'granted by key', '{}', '[]', 'inbound', NULL, 'none');
         INSERT INTO lines VALUES (7, 1, 0, 10, 'caller', 'plain zanzibar')",
    )
    .await
    .expect("makes it");
    db.close().await;
    assert!(found(&dir, b"zanzibar"), "positive control");
    let mut settings = Stage::new("earlier-settings", On::Sqlite).await.settings;
    std::fs::remove_dir_all(&settings.dir).expect("cleans up");
    (settings.keys_dir, settings.dir) = (dir.join("keys"), dir.clone());
    // A process before was killed where the new tables were made and nothing was copied yet.
    let db = dauys::store::db::Db::sqlite(&path, privacy::schema::Database::Store).await.expect("opens");
    db.script("ALTER TABLE calls RENAME TO calls_before; DROP INDEX calls_by_start").await.expect("renames");
    for statement in privacy::schema::table("calls").expect("declared").create(privacy::schema::Dialect::Sqlite) {
        db.script(&statement).await.expect("makes");
    }
    db.close().await;
    for _ in 0..2 {
        let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(3));
        let vault = open(&settings, &now, For::Beside).await.expect("takes it over");
        let record = vault.call(dauys::call::CallId(7)).await.expect("reads").expect("is there");
        assert_eq!((record.agent.as_str(), record.consent.as_str()), ("a", "granted by key"));
        vault.close().await;
        assert!(!found(&dir, b"zanzibar"));
    }
    std::fs::remove_dir_all(&dir).expect("cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_before_the_policy_come_under_its_terms() {
    for on in BOTH {
        let mut stage = Stage::new("adopted", on).await;
        stage.settings.tenant = privacy::TenantId::new("default").expect("a name");
        let stage = stage.again().await;
        stage.record(1, stage.subject(), "hung up");
        stage.vault.flush().await;
        let mut stage = stage;
        stage.settings.tenant = privacy::TenantId::new("clinic").expect("a name");
        let stage = stage.again().await;
        assert_eq!(stage.vault.calls(10).await.expect("reads").len(), 1, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_under_new_keys_and_old_ones_open_nothing() {
    let stage = Stage::new("rotation", On::Sqlite).await;
    let gate = stage.call(1, &[Scope::Transcript]);
    stage.say(&gate, 10, "kept");
    stage.vault.flush().await;
    // A new generation of the tenant's key; a second run finds nothing left.
    stage.vault.keys().next_generation(stage.vault.now()).await.expect("makes");
    let rotated = stage.vault.keys().rewrap().await.expect("rotates");
    assert_eq!((rotated.rewrapped, rotated.there), (3, 4), "index, signing and the subject's");
    assert_eq!(stage.vault.keys().rewrap().await.expect("rotates").rewrapped, 0);
    let stage = stage.again().await;
    assert_eq!(stage.texts(1).await, ["\"kept\""]);
    // A new key-encryption key, with the old one as retired, then without.
    let (old, new) = (stage.settings.keys_dir.join("kek"), stage.settings.keys_dir.join("kek2"));
    kek::make(&new).expect("makes");
    let source = |path: &std::path::Path| kek::parse(&format!("file:{}", path.display())).expect("a source");
    let mut stage = stage;
    stage.settings.kek = Some(source(&new));
    stage.vault.close().await;
    let (settings, now) = (stage.settings.clone(), stage.now.clone());
    drop(stage.vault);
    let refused = open(&settings, &now, For::Beside).await.err().expect("refused").to_string();
    assert!(refused.contains("give it as a retired one"), "{refused}");
    let both = dauys::vault::Settings { retired: vec![source(&old)], ..settings.clone() };
    let vault = open(&both, &now, For::Beside).await.expect("opens with both");
    assert_eq!(vault.keys().rewrap().await.expect("rotates").rewrapped, 2, "of tenant and house");
    vault.close().await;
    let vault = open(&settings, &now, For::Beside).await.expect("the new one is enough");
    vault.close().await;
    let before = dauys::vault::Settings { kek: Some(source(&old)), ..settings.clone() };
    assert!(open(&before, &now, For::Beside).await.is_err(), "the old one opens nothing");
    std::fs::remove_dir_all(&settings.dir).expect("cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_log_is_mended_and_an_altered_one_is_not_gone_on_with() {
    let stage = Stage::new("torn", On::Sqlite).await;
    for _ in 0..70 {
        stage.vault.note(privacy::chain::Action::PolicyLoaded, vec![], "x").await.expect("logs");
    }
    let public = [stage.vault.keys().public().expect("a key")];
    let dir = stage.dir().to_path_buf();
    let log = dir.join(audit::LOG);
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).expect("opens");
    file.write_all(b"{\"seq\":71,\"at\":17").expect("writes");
    drop(file);
    let stage = stage.after_death().await;
    let summary = audit::verify(&dir, &public).expect("mended");
    assert_eq!(summary.entries, 71);
    assert!(std::fs::read_to_string(&log).expect("reads").contains("log.repaired"));
    assert!(summary.checkpoint.is_some_and(|(_, seq)| seq == 64));
    // Another process dies in the midst of a line while this one goes on.
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).expect("opens");
    file.write_all(b"{\"seq\":72,").expect("writes");
    drop(file);
    stage.vault.note(privacy::chain::Action::PolicyLoaded, vec![], "x").await.expect("logs");
    assert_eq!(audit::verify(&dir, &public).expect("mended").entries, 73);
    assert_eq!(std::fs::read_to_string(&log).expect("reads").matches("log.repaired").count(), 2);
    // One byte in the fortieth entry.
    let text = std::fs::read_to_string(&log).expect("reads");
    let mut lines: Vec<String> = text.lines().map(Into::into).collect();
    lines[39] = lines[39].replace("\"x\"", "\"y\"");
    std::fs::write(&log, lines.join("\n") + "\n").expect("writes");
    let broken = audit::verify(&dir, &public);
    assert!(matches!(&broken, Err(AuditError::Broken(b)) if b.seq == 40), "{:?}", broken.err().map(|e| e.to_string()));
    stage.vault.close().await;
    let (settings, now) = (stage.settings.clone(), stage.now.clone());
    drop(stage);
    let refused = open(&settings, &now, For::Beside).await;
    assert!(matches!(refused, Err(VaultError::Audit(AuditError::Broken(_)))));
    std::fs::remove_dir_all(&dir).expect("cleans up");
}
