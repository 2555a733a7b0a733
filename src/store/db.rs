//! One database, SQLite or PostgreSQL, behind one set of statements with `$1` for what is bound. It knows how
//! tables are made and swept, and nothing of what is in them.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::privacy::schema::{self, About, Database, Dialect, Live};
use ::privacy::{EventId, SubjectId, Time};
use jiff::tz::Offset;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor as _, Row as _};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// What a server may take for a statement, locks of others included; a program on this machine may take what it takes.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Tables that are written anew take their time.
const SCRIPT_MAX: Duration = Duration::from_secs(3600);
/// For a connection, and for whoever asks whether it answers at all.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
const SIGN_OF_LIFE_MAX: Duration = Duration::from_secs(2);
/// How often a checkpoint is tried while readers are in its way.
const CHECKPOINT_TRIES: u32 = 50;
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(100);
/// Months of a partitioned table that are made ahead.
const MONTHS_AHEAD: i8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data folder {path}: {source}. Set [store] dir to a folder this user may write")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {path}: {source}. Is the disk full, the file damaged, or held by another user?")]
    Sqlite { path: PathBuf, source: sqlx::Error },
    #[error("cannot open the database at [store] url: {0}. Does it run, and may this user make tables there?")]
    Postgres(sqlx::Error),
    #[error("[store] url begins with postgres://; without one, SQLite in [store] dir is used")]
    NoUrl,
    #[error("the database is not as it is declared: {0}")]
    Undeclared(String),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database did not answer: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    Silent,
    #[error("a stored record cannot be read: {0}")]
    Damaged(String),
    #[error("readers are in the way of a checkpoint; it is tried again")]
    Busy,
}

impl From<serde_json::Error> for StoreError {
    /// Without what was read: it may quote it.
    fn from(e: serde_json::Error) -> Self {
        Self::Damaged(format!("its JSON is wrong at column {}", e.column()))
    }
}

/// Something to bind. Names and numbers without a sign go bit by bit.
#[derive(Clone)]
pub enum Value<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: AnyPool,
    dialect: Dialect,
    database: Database,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.database, self.dialect)
    }
}

/// A folder that nobody else reads.
///
/// # Errors
/// Where it is not there and cannot be made.
pub fn private_folder(dir: &Path) -> Result<(), OpenError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| OpenError::Folder { path: dir.into(), source })
}

impl Db {
    /// A file of SQLite's, made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be opened or made.
    pub async fn sqlite(path: &Path, database: Database) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        // The database keeps the file's mode for its companions; where this fails, opening says why.
        let _ = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let failed = |source| OpenError::Sqlite { path: path.into(), source };
        // auto_vacuum works only before the first table; what is deleted is overwritten, not just unlinked; what
        // is sorted does not spill into a file.
        let set = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA secure_delete = ON; \
                   PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY";
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(move |connection, _| Box::pin(async move { connection.execute(set).await.map(drop) }))
            .connect(&url_of(path))
            .await
            .map_err(failed)?;
        Ok(Self { pool, dialect: Dialect::Sqlite, database })
    }

    /// A database of a server. Its tables are made in the schema that the URL's user finds first.
    ///
    /// # Errors
    /// Where the URL is no PostgreSQL's, or it does not answer.
    pub async fn postgres(url: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OpenError::NoUrl);
        }
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(CONNECTION_MAX)
            // A server that is gone without a word would be waited for as long as TCP hopes.
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(is_alive(connection)))
            .connect(url)
            .await
            .map_err(OpenError::Postgres)?;
        Ok(Self { pool, dialect: Dialect::Postgres, database: Database::Store })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn database(&self) -> Database {
        self.database
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// How many rows it changed.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let answer = timeout(self.patience(ANSWER_MAX), connection.execute(bound(sql, values))).await;
        Ok(in_time(connection, answer)?.rows_affected())
    }

    /// # Errors
    /// Where the database says no.
    pub async fn all(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<AnyRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let answer = timeout(self.patience(ANSWER_MAX), connection.fetch_all(bound(sql, values))).await;
        in_time(connection, answer)
    }

    /// # Errors
    /// Where the database says no.
    pub async fn first(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<AnyRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let answer = timeout(self.patience(ANSWER_MAX), connection.fetch_optional(bound(sql, values))).await;
        in_time(connection, answer)
    }

    /// A number that is asked for, such as a count.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn number(&self, sql: &str, values: &[Value<'_>]) -> Result<i64, StoreError> {
        let row = self.first(sql, values).await?;
        Ok(row.map(|row| row.try_get::<Option<i64>, _>(0)).transpose()?.flatten().unwrap_or(0))
    }

    /// Writes a row; one of the same key is written over.
    ///
    /// # Errors
    /// Where the database says no, or the table is not declared.
    pub async fn put(&self, table: &str, columns: &[(&str, Value<'_>)]) -> Result<(), StoreError> {
        let declared = schema::table(table).ok_or_else(|| StoreError::Damaged(format!("no table {table}")))?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
        let over: Vec<String> = names
            .iter()
            .filter(|name| !declared.key.contains(name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let then = if over.is_empty() { "NOTHING".into() } else { format!("UPDATE SET {}", over.join(", ")) };
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({}) DO {then}",
            names.join(", "),
            places.join(", "),
            declared.key.join(", ")
        );
        let values: Vec<Value<'_>> = columns.iter().map(|(_, value)| value.clone()).collect();
        self.run(&sql, &values).await.map(drop)
    }

    /// Statements without values, one or more.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn script(&self, sql: &str) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let answer = timeout(self.patience(SCRIPT_MAX), connection.execute(sqlx::raw_sql(sql))).await;
        in_time(connection, answer).map(drop)
    }

    /// True while the database answers, and soon.
    pub async fn healthy(&self) -> bool {
        let Ok(Ok(mut connection)) = timeout(2 * SIGN_OF_LIFE_MAX, self.pool.acquire()).await else { return false };
        let answer = timeout(SIGN_OF_LIFE_MAX, connection.execute("SELECT 1")).await;
        in_time(connection, answer).is_ok()
    }

    fn patience(&self, of_server: Duration) -> Duration {
        match self.dialect {
            Dialect::Sqlite => Duration::MAX,
            Dialect::Postgres => of_server,
        }
    }

    /// Every column there is.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn live(&self) -> Result<Vec<Live>, StoreError> {
        let sql = match self.dialect {
            Dialect::Sqlite => {
                "SELECT m.name AS t, p.name AS c, p.type AS k FROM sqlite_master m, pragma_table_info(m.name) p \
                 WHERE m.type = 'table'"
            }
            Dialect::Postgres => {
                "SELECT table_name::text AS t, column_name::text AS c, data_type::text AS k \
                 FROM information_schema.columns WHERE table_schema = current_schema()"
            }
        };
        let rows = self.all(sql, &[]).await?;
        let live = |row: &AnyRow| -> Result<Live, sqlx::Error> {
            Ok(Live { table: row.try_get("t")?, column: row.try_get("c")?, ty: row.try_get("k")? })
        };
        Ok(rows.iter().map(live).collect::<Result<_, _>>()?)
    }

    /// The months of partitioned tables from now on. A month that cannot be made costs nothing: its rows go
    /// into the table's rest.
    pub async fn make_months(&self, now: Time) {
        if self.dialect != Dialect::Postgres {
            return;
        }
        let Ok(at) = jiff::Timestamp::from_millisecond(now.0) else { return };
        let first = Offset::UTC.to_datetime(at).date().first_of_month();
        for ahead in 0..=MONTHS_AHEAD {
            let Ok(day) = first.checked_add(jiff::Span::new().months(ahead)) else { return };
            let months = schema::tables(self.database).filter_map(|t| t.month(day.year(), day.month()));
            for statement in months.collect::<Vec<_>>() {
                if let Err(error) = self.script(&statement).await {
                    tracing::warn!(%error, "a month of a table could not be made; its rows go to the rest");
                }
            }
        }
    }

    /// Takes months out that have ended long since and are empty.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn drop_months(&self, before: Time) -> Result<u64, StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(0);
        }
        let Ok(at) = jiff::Timestamp::from_millisecond(before.0) else { return Ok(0) };
        let before = Offset::UTC.to_datetime(at).date().strftime("%Y_%m").to_string();
        let mut dropped = 0;
        let mut names: Vec<String> = self.live().await?.into_iter().map(|live| live.table).collect();
        names.sort_unstable();
        names.dedup();
        for table in schema::tables(self.database).filter(|t| t.months.is_some()) {
            let month = |name: &&String| {
                let month = name.strip_prefix(table.name).and_then(|rest| rest.strip_prefix('_'));
                month.is_some_and(|m| m.len() == 7 && m.as_bytes()[0].is_ascii_digit() && m < before.as_str())
            };
            for name in names.iter().filter(month) {
                if self.number(&format!("SELECT count(*) FROM {name}"), &[]).await? == 0 {
                    self.script(&format!("DROP TABLE {name}")).await?;
                    dropped += 1;
                }
            }
        }
        Ok(dropped)
    }

    /// Cuts what was deleted out of the write-ahead log. PostgreSQL keeps its own for as long as it is set to.
    ///
    /// # Errors
    /// Where readers stay in the way.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(());
        }
        for _ in 0..CHECKPOINT_TRIES {
            // Its first column is 1 where a reader was in the way (sqlite.org/pragma.html#pragma_wal_checkpoint).
            if self.number("PRAGMA wal_checkpoint(TRUNCATE)", &[]).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(CHECKPOINT_PAUSE).await;
        }
        Err(StoreError::Busy)
    }

    /// Leaves no trace of deleted rows in the database's own files.
    ///
    /// # Errors
    /// Where the database says no, or readers stay in the way.
    pub async fn compact(&self) -> Result<(), StoreError> {
        match self.dialect {
            Dialect::Sqlite => {
                self.all("PRAGMA incremental_vacuum", &[]).await?;
                self.checkpoint().await
            }
            Dialect::Postgres => {
                // A plain VACUUM frees the place of a row and leaves its bytes there.
                for table in schema::tables(self.database).filter(|t| t.about == About::Subjects) {
                    self.script(&format!("VACUUM (FULL) {}", table.name)).await?;
                }
                Ok(())
            }
        }
    }
}

/// A connection that did not answer is given up: put back it would be asked again, and keep its place while it waits.
fn in_time<T>(
    connection: PoolConnection<Any>,
    answer: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, StoreError> {
    let Ok(answer) = answer else {
        drop(connection.detach());
        return Err(StoreError::Silent);
    };
    Ok(answer?)
}

/// Before a connection is used again; an error closes it, and a new one is opened.
async fn is_alive(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    match timeout(SIGN_OF_LIFE_MAX, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(silent) => Err(sqlx::Error::Io(silent.into())),
    }
}

fn bound<'q>(sql: &'q str, values: &'q [Value<'_>]) -> sqlx::query::Query<'q, Any, sqlx::any::AnyArguments<'q>> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(n) => query.bind(*n),
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Bytes(bytes) => query.bind(bytes.as_deref()),
    })
}

/// Every byte that could mean something else in a URL is escaped.
fn url_of(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let escaped = path.as_os_str().as_bytes().iter().map(|b| match b {
        b'/' | b'.' | b'_' | b'-' => char::from(*b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    });
    format!("sqlite://{}?mode=rwc", escaped.collect::<String>())
}

impl From<i64> for Value<'_> {
    fn from(n: i64) -> Self {
        Self::Int(Some(n))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(n: Option<i64>) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Value<'_> {
    fn from(n: u64) -> Self {
        Self::Int(Some(n.cast_signed()))
    }
}

impl From<u32> for Value<'_> {
    fn from(n: u32) -> Self {
        Self::Int(Some(n.into()))
    }
}

impl From<Time> for Value<'_> {
    fn from(at: Time) -> Self {
        Self::Int(Some(at.0))
    }
}

impl From<Option<Time>> for Value<'_> {
    fn from(at: Option<Time>) -> Self {
        Self::Int(at.map(|at| at.0))
    }
}

impl From<crate::call::CallId> for Value<'_> {
    fn from(call: crate::call::CallId) -> Self {
        Self::from(call.0)
    }
}

impl From<Option<crate::call::CallId>> for Value<'_> {
    fn from(call: Option<crate::call::CallId>) -> Self {
        Self::Int(call.map(|call| call.0.cast_signed()))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Into::into))
    }
}

impl<'a> From<Option<String>> for Value<'a> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Into::into))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Some(bytes.into()))
    }
}

impl<const N: usize> From<[u8; N]> for Value<'_> {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(Some(bytes.to_vec().into()))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self::Bytes(bytes.map(Into::into))
    }
}

impl From<SubjectId> for Value<'_> {
    fn from(subject: SubjectId) -> Self {
        Self::from(subject.0)
    }
}

impl From<Option<SubjectId>> for Value<'_> {
    fn from(subject: Option<SubjectId>) -> Self {
        Self::Bytes(subject.map(|s| s.0.to_vec().into()))
    }
}

impl From<EventId> for Value<'_> {
    fn from(event: EventId) -> Self {
        Self::from(event.0)
    }
}

/// What a row holds, as the types that have names.
pub trait Columns {
    /// # Errors
    /// Where there is none, or it is of another type.
    fn int(&self, column: &str) -> Result<i64, StoreError>;
    /// # Errors
    /// As above, none aside.
    fn int_or_none(&self, column: &str) -> Result<Option<i64>, StoreError>;
    /// # Errors
    /// As above.
    fn text(&self, column: &str) -> Result<String, StoreError>;
    /// # Errors
    /// As above, none aside.
    fn text_or_none(&self, column: &str) -> Result<Option<String>, StoreError>;
    /// # Errors
    /// As above.
    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError>;
    /// # Errors
    /// As above, none aside.
    fn bytes_or_none(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// # Errors
    /// Where it has another length.
    fn array<const N: usize>(&self, column: &str) -> Result<[u8; N], StoreError> {
        let bytes = self.bytes(column)?;
        bytes.try_into().map_err(|_| StoreError::Damaged(format!("{column} has another length than {N}")))
    }

    /// # Errors
    /// As above.
    fn call(&self, column: &str) -> Result<crate::call::CallId, StoreError> {
        self.int(column).map(|n| crate::call::CallId(n.cast_unsigned()))
    }

    /// # Errors
    /// As above.
    fn subject(&self) -> Result<SubjectId, StoreError> {
        self.array("subject").map(SubjectId)
    }

    /// # Errors
    /// As above.
    fn subject_or_none(&self) -> Result<Option<SubjectId>, StoreError> {
        let Some(bytes) = self.bytes_or_none("subject")? else { return Ok(None) };
        let id = bytes.try_into().map_err(|_| StoreError::Damaged("subject has another length than 16".into()))?;
        Ok(Some(SubjectId(id)))
    }

    /// Something that is written as a word.
    ///
    /// # Errors
    /// Where it is no such word.
    fn word<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        let text = self.text(column)?;
        read(&text).ok_or_else(|| StoreError::Damaged(format!("{column} holds an unknown word")))
    }
}

impl Columns for AnyRow {
    fn int(&self, column: &str) -> Result<i64, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn int_or_none(&self, column: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: &str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text_or_none(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn bytes_or_none(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.try_get(column)?)
    }
}

/// Values to bind, of whatever types.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Value::from($value)),*] };
}
