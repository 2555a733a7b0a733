//! One gateway for one PostgreSQL: a second one is told what to do, a lock that was lost is taken again, and who lost it
//! to another one keeps and erases nothing any more.

use std::time::Duration;

use dauys::store::db::Db;
use dauys::vault::fan::NoWay;
use dauys::vault::{For, Settings, VaultError};
use privacy::Scope;
use privacy::erasure::AskedBy;
use sqlx::any::AnyPoolOptions;

use crate::stage::{On, Stage, open, scratch};

/// Of this database; others on the server have theirs.
const LOCKS: &str = "FROM pg_locks WHERE locktype = 'advisory' \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Another gateway's, on the same database.
fn elsewhere(stage: &Stage, name: &str) -> Settings {
    let dir = scratch(name);
    Settings { keys_dir: dir.join("keys"), dir, ..stage.settings.clone() }
}

async fn holder(db: &Db) -> i64 {
    db.number(&format!("SELECT pid::bigint {LOCKS} AND granted"), &[]).await.expect("lists")
}

/// The server cuts the connection that has the lock.
async fn cut(db: &Db) {
    let pid = holder(db).await;
    assert!(pid > 0, "somebody has it");
    db.script(&format!("SELECT pg_terminate_backend({pid})")).await.expect("cuts");
    while db.number(&format!("SELECT count(*) {LOCKS} AND pid = {pid}"), &[]).await.expect("lists") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_serves_one_gateway() {
    let stage = Stage::new("first", On::Postgres).await;
    let other = elsewhere(&stage, "second");
    let refused = open(&other, &stage.now, For::Serving).await.err().expect("refused");
    assert!(matches!(refused, VaultError::DatabaseInUse), "{refused}");
    assert!(refused.to_string().contains("Stop it first"), "{refused}");
    let beside = open(&stage.settings, &stage.now, For::Beside).await.expect("who only looks needs no lock");
    beside.close().await;
    stage.vault.db().script("CREATE SCHEMA apart").await.expect("makes");
    let url = stage.settings.url.as_ref().map(|url| format!("{url}&options=-csearch_path%3Dapart"));
    let apart = Settings { url, ..elsewhere(&stage, "apart") };
    let theirs = open(&apart, &stage.now, For::Serving).await.expect("a schema of its own is nobody else's");
    theirs.close().await;
    drop(theirs);
    stage.vault.close().await;
    let second = open(&other, &stage.now, For::Serving).await.expect("it is free");
    // A command in a folder where nobody serves, on the same database.
    let dir = &apart.dir;
    while dauys::vault::is_served(dir) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (policy, agent) = ("configs/policy/default.toml", "configs/agents/front-desk.toml");
    let here = |file: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let config = format!(
        "[store]\ndir = {dir:?}\nurl = {:?}\n[policy]\nfile = {:?}\n[[agent]]\nfile = {:?}\n",
        stage.settings.url.as_deref().expect("PostgreSQL"),
        here(policy),
        here(agent)
    );
    let file = dir.join("gateway.toml");
    std::fs::write(&file, config).expect("writes");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dauys"));
    let output = command.arg("retention").arg("--config").arg(&file).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("one gateway per database"), "{said}");
    second.close().await;
    [other.dir, apart.dir].iter().for_each(|dir| std::fs::remove_dir_all(dir).expect("cleans up"));
    stage.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_lost_is_taken_again() {
    let stage = Stage::new("lost", On::Postgres).await;
    let gate = stage.call(1, &[Scope::Transcript]);
    stage.say(&gate, 10, "before");
    stage.vault.flush().await;
    let before = holder(stage.vault.db()).await;
    cut(stage.vault.db()).await;
    stage.vault.retain().await.expect("it asks, and has it again");
    let after = holder(stage.vault.db()).await;
    assert!(after > 0 && after != before);
    stage.say(&gate, 20, "after");
    stage.vault.flush().await;
    assert_eq!(stage.texts(1).await, ["\"before\"", "\"after\""]);
    assert!(stage.vault.healthy().await);
    stage.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_database_to_another_keeps_and_erases_nothing() {
    let stage = Stage::new("ousted", On::Postgres).await;
    let gate = stage.call(1, &[Scope::Transcript]);
    stage.say(&gate, 10, "before");
    stage.vault.flush().await;
    let id = stage.vault.ask_erasure(stage.subject(), AskedBy::Subject, "asked by phone").await.expect("asks");
    // Another one waits for the same lock, and gets it the moment it is free.
    let db = stage.vault.db();
    let key = format!("SELECT (classid::bigint << 32) | objid::bigint {LOCKS} AND granted");
    let key = db.number(&key, &[]).await.expect("lists");
    // One session.
    let options = AnyPoolOptions::new().max_connections(1).idle_timeout(None);
    let theirs = options.connect(stage.settings.url.as_deref().expect("PostgreSQL")).await.expect("opens");
    let (sql, pool) = (format!("SELECT pg_advisory_lock({key})"), theirs.clone());
    let waits = tokio::spawn(async move { sqlx::raw_sql(&sql).execute(&pool).await.map(drop) });
    while db.number(&format!("SELECT count(*) {LOCKS} AND NOT granted"), &[]).await.expect("lists") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cut(db).await;
    waits.await.expect("ends").expect("gets it");
    assert!(matches!(stage.vault.retain().await, Err(VaultError::NotAlone)));
    assert!(matches!(stage.vault.advance(id, &NoWay).await, Err(VaultError::NotAlone)));
    tokio::time::timeout(Duration::from_secs(10), stage.vault.ousted()).await.expect("it has to stop");
    assert!(!stage.vault.healthy().await, "no more calls come");
    stage.say(&gate, 20, "after");
    stage.vault.flush().await;
    assert_eq!(stage.texts(1).await, ["\"before\""]);
    // Nor does it begin again behind the other one's back.
    theirs.close().await;
    assert!(matches!(stage.vault.retain().await, Err(VaultError::NotAlone)));
    stage.clean();
}
