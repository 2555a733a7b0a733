//! The SQLite store: one writer task behind a bounded queue, readers beside it. A failed write is
//! counted and said, without content; the calls go on.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Row as _, Sqlite as Db};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::call::{CallId, Line};
use crate::privacy::Permit;
use crate::store::{CallRecord, Direction, Full, QUEUE, Row, TranscriptStore};

const FILE: &str = "dauys.sqlite";

/// A row with `lost` above 0 says that so many lines are missing there.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, started_unix_ms INTEGER NOT NULL,
    ended_unix_ms INTEGER, codec TEXT NOT NULL, state TEXT NOT NULL, consent TEXT NOT NULL,
    media TEXT NOT NULL, turns TEXT NOT NULL,
    direction TEXT NOT NULL DEFAULT 'inbound', trunk TEXT, security TEXT NOT NULL DEFAULT 'none',
    answered_by TEXT NOT NULL DEFAULT 'null', outcomes TEXT NOT NULL DEFAULT '[]');
CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started_unix_ms);
CREATE TABLE IF NOT EXISTS lines (
    call INTEGER NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT, lost INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, speaker TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS lines_by_call ON lines (call, seq);
UPDATE calls SET state = 'lost' WHERE state IN ('active', 'calling');
DELETE FROM lines WHERE call NOT IN (SELECT id FROM calls);
DELETE FROM lines WHERE call IN (SELECT id FROM calls WHERE consent NOT LIKE 'granted%');
PRAGMA wal_checkpoint(TRUNCATE);
";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data folder {path}: {source}. Set [store] dir to a folder this user may write")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {path}: {source}. Is the disk full, the file damaged, or held by another user?")]
    Database { path: PathBuf, source: sqlx::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database did not answer: {0}")]
    Database(#[from] sqlx::Error),
    #[error("a stored record cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

enum Write {
    Line { call: CallId, line: Line },
    Gap { call: CallId, at_ms: u32, lost: u32 },
    Purge(CallId),
    Record(Box<CallRecord>),
    Flush(oneshot::Sender<()>),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Sqlite {
    writes: mpsc::Sender<Write>,
    purges: mpsc::Sender<CallId>,
    pool: SqlitePool,
}

impl Sqlite {
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        // What callers said is nobody else's to read.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| OpenError::Folder { path: dir.into(), source })?;
        let path = dir.join(FILE);
        // The database keeps the file's mode for its companions; where this fails, opening says why.
        let _ = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let failed = |source| OpenError::Database { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What is deleted is overwritten, not just unlinked.
            .pragma("secure_delete", "ON");
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(failed)?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(failed)?;
        add_columns(&pool).await.map_err(failed)?;
        let (writes, queue) = mpsc::channel(QUEUE);
        // A purge must not be lost behind a full queue of lines: it has a lane of its own.
        let (purges, purge_queue) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(pool.clone(), queue, purge_queue));
        Ok(Self { writes, purges, pool })
    }

    /// Waits until everything queued so far was tried.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.writes.send(Write::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// True while the database answers.
    pub async fn healthy(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.pool).await.is_ok()
    }

    /// Ended ones, newest first, at most `limit`; those in progress are the registry's.
    pub async fn calls(&self, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM calls WHERE state NOT IN ('active', 'calling') ORDER BY started_unix_ms DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record_of).collect()
    }

    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM calls WHERE id = ?").bind(id.0.cast_signed()).fetch_optional(&self.pool).await?;
        row.as_ref().map(record_of).transpose()
    }

    pub async fn transcript(&self, id: CallId) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query("SELECT lost, at_ms, speaker, text FROM lines WHERE call = ? ORDER BY at_ms, seq")
            .bind(id.0.cast_signed())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| row_of(r).map_err(StoreError::from)).collect()
    }

    fn send(&self, write: Write) -> Result<(), Full> {
        self.writes.try_send(write).map_err(|_| Full)
    }
}

impl TranscriptStore for Sqlite {
    fn append(&self, permit: &Permit<'_>, line: Line) -> Result<(), Full> {
        self.send(Write::Line { call: permit.call(), line })
    }

    fn append_gap(&self, permit: &Permit<'_>, at_ms: u32, lost: u32) -> Result<(), Full> {
        self.send(Write::Gap { call: permit.call(), at_ms, lost })
    }

    fn purge(&self, call: CallId) {
        // Behind the lines that are queued now, or, where they leave no room, on a lane of its own.
        if self.send(Write::Purge(call)).is_err() && self.purges.try_send(call).is_err() {
            error!(%call, "a purge could not be queued; the store is stuck");
        }
    }

    fn record(&self, record: CallRecord) -> Result<(), Full> {
        self.send(Write::Record(Box::new(record)))
    }
}

/// A purge that failed is tried again after every write, and at least this often.
const PURGE_AGAIN: Duration = Duration::from_secs(30);

async fn write_all(pool: SqlitePool, mut queue: mpsc::Receiver<Write>, mut purges: mpsc::Receiver<CallId>) {
    let mut unpurged: Vec<CallId> = vec![];
    let mut again = tokio::time::interval(PURGE_AGAIN);
    loop {
        tokio::select! {
            write = queue.recv() => match write {
                Some(write) => said(one(&pool, write, &mut unpurged).await),
                None => return,
            },
            _ = again.tick() => {}
        }
        // Purges that found the queue full wait until the lines before them are written.
        while queue.is_empty()
            && let Ok(call) = purges.try_recv()
        {
            unpurged.push(call);
        }
        let mut left = vec![];
        for call in unpurged.drain(..) {
            let done = purge(&pool, call).await;
            if done.is_err() {
                left.push(call);
            }
            said(done);
        }
        unpurged = left;
    }
}

async fn one(pool: &SqlitePool, write: Write, unpurged: &mut Vec<CallId>) -> Result<(), sqlx::Error> {
    match write {
        Write::Line { call, line } => insert(pool, call, 0, line.at_ms, line.speaker.word(), &line.text).await,
        Write::Gap { call, at_ms, lost } => insert(pool, call, lost, at_ms, "", "").await,
        Write::Record(record) => upsert(pool, &record).await,
        Write::Purge(call) => {
            unpurged.push(call);
            Ok(())
        }
        Write::Flush(done) => {
            let _ = done.send(());
            Ok(())
        }
    }
}

fn said(done: Result<(), sqlx::Error>) {
    if let Err(e) = done {
        metrics::counter!("dauys_store_errors_total").increment(1);
        warn!(error = %e, "a write to the store failed; calls go on, nothing more is known of this row");
    }
}

async fn insert(
    pool: &SqlitePool,
    call: CallId,
    lost: u32,
    at_ms: u32,
    speaker: &str,
    text: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO lines (call, lost, at_ms, speaker, text) VALUES (?, ?, ?, ?, ?)")
        .bind(call.0.cast_signed())
        .bind(lost)
        .bind(at_ms)
        .bind(speaker)
        .bind(text)
        .execute(pool)
        .await
        .map(drop)
}

/// Columns that a database made by an earlier version lacks.
async fn add_columns(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    for (name, column) in [
        ("direction", "direction TEXT NOT NULL DEFAULT 'inbound'"),
        ("trunk", "trunk TEXT"),
        ("security", "security TEXT NOT NULL DEFAULT 'none'"),
        ("answered_by", "answered_by TEXT NOT NULL DEFAULT 'null'"),
        ("outcomes", "outcomes TEXT NOT NULL DEFAULT '[]'"),
    ] {
        let known = sqlx::query("SELECT 1 FROM pragma_table_info('calls') WHERE name = ?").bind(name);
        if known.fetch_optional(pool).await?.is_none() {
            sqlx::raw_sql(&format!("ALTER TABLE calls ADD COLUMN {column}")).execute(pool).await?;
        }
    }
    Ok(())
}

async fn purge(pool: &SqlitePool, call: CallId) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM lines WHERE call = ?").bind(call.0.cast_signed()).execute(pool).await?;
    // The write-ahead log still holds the rows until it is folded in and cut.
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(pool).await?;
    // Its first column is 1 where a reader was in the way (sqlite.org/pragma.html#pragma_wal_checkpoint).
    let blocked = row.try_get::<i64, _>(0)? != 0;
    if blocked { Err(sqlx::Error::WorkerCrashed) } else { Ok(()) }
}

async fn upsert(pool: &SqlitePool, r: &CallRecord) -> Result<(), sqlx::Error> {
    let json = |v: Result<String, serde_json::Error>| v.map_err(|e| sqlx::Error::Encode(Box::new(e)));
    sqlx::query::<Db>("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(r.id.0.cast_signed())
        .bind(&r.agent)
        .bind(r.started_unix_ms)
        .bind(r.ended_unix_ms)
        .bind(&r.codec)
        .bind(&r.state)
        .bind(&r.consent)
        .bind(json(serde_json::to_string(&r.media))?)
        .bind(json(serde_json::to_string(&r.turns))?)
        .bind(r.direction.word())
        .bind(&r.trunk)
        .bind(&r.security)
        .bind(json(serde_json::to_string(&r.answered_by))?)
        .bind(json(serde_json::to_string(&r.outcomes))?)
        .execute(pool)
        .await
        .map(drop)
}

fn record_of(row: &SqliteRow) -> Result<CallRecord, StoreError> {
    Ok(CallRecord {
        id: CallId(row.try_get::<i64, _>("id")?.cast_unsigned()),
        agent: row.try_get("agent")?,
        direction: match row.try_get("direction")? {
            "outbound" => Direction::Outbound,
            _ => Direction::Inbound,
        },
        trunk: row.try_get("trunk")?,
        started_unix_ms: row.try_get("started_unix_ms")?,
        ended_unix_ms: row.try_get("ended_unix_ms")?,
        codec: row.try_get("codec")?,
        security: row.try_get("security")?,
        state: row.try_get("state")?,
        consent: row.try_get("consent")?,
        media: serde_json::from_str(row.try_get("media")?)?,
        turns: serde_json::from_str(row.try_get("turns")?)?,
        answered_by: serde_json::from_str(row.try_get("answered_by")?)?,
        outcomes: serde_json::from_str(row.try_get("outcomes")?)?,
    })
}

fn row_of(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let at_ms: u32 = row.try_get("at_ms")?;
    let lost: u32 = row.try_get("lost")?;
    if lost > 0 {
        return Ok(Row::Gap { at_ms, lost });
    }
    Ok(Row::Line { at_ms, speaker: row.try_get("speaker")?, text: row.try_get("text")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Speaker;
    use crate::privacy::{Asked, ConsentGate, Scope};

    fn granted(id: u64) -> ConsentGate {
        let mut gate = ConsentGate::new(CallId(id));
        gate.ask();
        gate.grant(Asked::Key);
        gate
    }

    #[tokio::test]
    async fn lines_come_back_in_order_and_a_purge_leaves_no_byte() {
        let dir = std::env::temp_dir().join(format!("dauys-store-{}", std::process::id()));
        let store = Sqlite::open(&dir).await.expect("opens");
        let gate = granted(1);
        let permit = gate.permit(Scope::Transcript).expect("granted");
        let line = |at_ms, text: &str| Line { at_ms, speaker: Speaker::Caller, text: text.into() };
        store.append(&permit, line(10, "first zanzibar")).expect("fits");
        store.append_gap(&permit, 15, 3).expect("fits");
        store.append(&permit, line(20, "second")).expect("fits");
        store.flush().await;
        let rows = store.transcript(CallId(1)).await.expect("reads");
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1], Row::Gap { at_ms: 15, lost: 3 }, "a gap stands where it arose");
        assert!(bytes_in(&dir, b"zanzibar"), "positive control: the search finds what is there");
        store.purge(CallId(1));
        store.flush().await;
        assert!(store.transcript(CallId(1)).await.expect("reads").is_empty());
        assert!(!bytes_in(&dir, b"zanzibar"));
        std::fs::remove_dir_all(&dir).expect("cleans up");
    }

    /// What a gateway that died in mid-call left: the call is lost, its agreed lines are kept, strays are not.
    #[tokio::test]
    async fn a_crash_loses_no_agreed_line_and_keeps_no_other() {
        let dir = std::env::temp_dir().join(format!("dauys-crash-{}", std::process::id()));
        let line = |text: &str| Line { at_ms: 10, speaker: Speaker::Caller, text: text.into() };
        let before = Sqlite::open(&dir).await.expect("opens");
        for (id, consent, text) in [(1, "granted by key", "agreed"), (2, "withdrawn", "withdrawn zanzibar")] {
            let gate = granted(id);
            let permit = gate.permit(Scope::Transcript).expect("granted");
            before.append(&permit, line(text)).expect("fits");
            let record = CallRecord {
                state: "active".into(),
                consent: consent.into(),
                ..CallRecord::new(CallId(id), "a", &crate::store::LineInfo::default())
            };
            before.record(record).expect("fits");
        }
        let stray = granted(3);
        before.append(&stray.permit(Scope::Transcript).expect("granted"), line("stray zanzibar")).expect("fits");
        before.flush().await;
        assert!(bytes_in(&dir, b"zanzibar"), "positive control");
        before.pool.close().await;
        let after = Sqlite::open(&dir).await.expect("opens again");
        assert_eq!(after.call(CallId(1)).await.expect("reads").expect("is there").state, "lost");
        assert_eq!(after.transcript(CallId(1)).await.expect("reads").len(), 1);
        assert!(!bytes_in(&dir, b"zanzibar"));
        std::fs::remove_dir_all(&dir).expect("cleans up");
    }

    fn bytes_in(dir: &Path, needle: &[u8]) -> bool {
        std::fs::read_dir(dir).expect("lists").flatten().any(|f| {
            let bytes = std::fs::read(f.path()).unwrap_or_default();
            bytes.windows(needle.len()).any(|w| w == needle)
        })
    }
}
