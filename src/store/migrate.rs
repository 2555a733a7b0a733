//! Makes the tables as they are declared, and brings a database of an earlier version to that form. It keeps
//! no plain word of an earlier version: those lines are deleted, and it says how many.

use ::privacy::Time;
use ::privacy::schema::{self, Database, Dialect, compare};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::store::db::{Db, OpenError, StoreError};
use crate::values;

/// The form of this version.
const VERSION: i64 = 1;

/// Makes what is missing, and fails where the database is not as declared then.
///
/// # Errors
/// With what is different, and what to do about it.
pub async fn migrate(db: &Db, tenant: &str, now: Time) -> Result<(), OpenError> {
    let failed = |e: StoreError| OpenError::Undeclared(format!("{e}; its tables could not be made"));
    let earlier = earlier(db).await.map_err(failed)?;
    let statements: Vec<String> = schema::tables(db.database()).flat_map(|t| t.create(db.dialect())).collect();
    if earlier {
        take_over(db, tenant, &statements).await.map_err(failed)?;
    }
    for statement in &statements {
        db.script(statement).await.map_err(failed)?;
    }
    db.make_months(now).await;
    let live = db.live().await.map_err(failed)?;
    let different = compare(db.database(), db.dialect(), &live);
    if let Some(first) = different.first() {
        return Err(OpenError::Undeclared(first.to_string()));
    }
    if db.database() == Database::Store {
        note(db, &statements, now).await.map_err(failed)?;
    }
    Ok(())
}

async fn note(db: &Db, statements: &[String], now: Time) -> Result<(), StoreError> {
    let hash: [u8; 32] = Sha256::digest(statements.join(";\n").as_bytes()).into();
    let known = db.number("SELECT count(*) FROM migrations WHERE version = $1", values![VERSION]).await?;
    if known == 0 {
        let columns =
            [("version", VERSION.into()), ("name", "tables".into()), ("hash", hash.into()), ("at_unix_ms", now.into())];
        db.put("migrations", &columns).await?;
    }
    Ok(())
}

/// A database made by a version that sealed nothing.
async fn earlier(db: &Db) -> Result<bool, StoreError> {
    if db.dialect() != Dialect::Sqlite || db.database() != Database::Store {
        return Ok(false);
    }
    let live = db.live().await?;
    let has = |table: &str, column: &str| live.iter().any(|l| l.table == table && l.column == column);
    // The second where it died between two statements.
    Ok((has("calls", "id") && !has("calls", "tenant")) || has("calls_before", "id"))
}

/// Metadata is taken over; lines lay there as plain text, without a consent event that allows them: they go.
async fn take_over(db: &Db, tenant: &str, statements: &[String]) -> Result<(), StoreError> {
    let live = db.live().await?;
    let has = |table: &str| live.iter().any(|l| l.table == table);
    let plain = has("lines") && live.iter().any(|l| l.table == "lines" && l.column == "text");
    let lines = if plain { db.number("SELECT count(*) FROM lines", &[]).await? } else { 0 };
    // Where it died in between, the new table is there too, with columns that the old one never had.
    let old = if has("calls_before") { "calls_before" } else { "calls" };
    if old == "calls" {
        db.script("ALTER TABLE calls RENAME TO calls_before").await?;
    }
    let drops = if plain { "DROP TABLE lines;" } else { "" };
    db.script(&format!("DROP INDEX IF EXISTS calls_by_start; DROP INDEX IF EXISTS lines_by_call; {drops}")).await?;
    for statement in statements {
        db.script(statement).await?;
    }
    let known = |column: &&str| live.iter().any(|l| l.column == *column && l.table == old);
    let names: Vec<&str> =
        schema::table("calls").map(|t| t.columns.iter().map(|c| c.name)).into_iter().flatten().collect();
    let taken =
        names.into_iter().filter(known).filter(|c| *c != "tenant" && *c != "subject").collect::<Vec<_>>().join(", ");
    let copy = format!("INSERT OR IGNORE INTO calls (tenant, {taken}) SELECT $1, {taken} FROM calls_before");
    db.run(&copy, values![tenant]).await?;
    // The whole file is written anew: what was plain is on none of its pages.
    db.script("DROP TABLE calls_before").await?;
    db.script("PRAGMA auto_vacuum = INCREMENTAL; VACUUM").await?;
    db.checkpoint().await?;
    if lines > 0 {
        warn!(lines, "transcripts of an earlier version lay unsealed in the database; they are deleted");
    }
    Ok(())
}
