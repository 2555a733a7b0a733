//! One gateway for one PostgreSQL: a lock that the server keeps for a connection of ours as long as we serve, and that is
//! asked after again and again. It reads and writes no table.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Executor as _, Row as _};
use tokio::sync::{Mutex, watch};
use tracing::{error, info, warn};

use super::VaultError;
use crate::random;
use crate::store::db::OpenError;

/// The server keeps the locks of databases apart; "dauy" keeps ours from those of other programs, and the schema's number
/// one schema from another.
const TAKE: &str = "SELECT pg_try_advisory_lock((1684108665::bigint << 32) | oid::bigint) AS ours \
                    FROM pg_namespace WHERE nspname = current_schema()";
/// A session of ours has it, be it one that the server has not missed yet.
const HOLD: &str = "SELECT count(*) AS locks FROM pg_locks JOIN pg_stat_activity USING (pid) \
                    WHERE locktype = 'advisory' AND granted AND classid = 1684108665 \
                    AND datname = current_database() AND application_name = current_setting('application_name')";
/// After half a minute without a sign of life the server gives the lock to another one: a machine may die without a word.
const KEEPALIVE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4";
/// A process that was killed a moment ago may still seem to have it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is asked after.
const EVERY: Duration = Duration::from_secs(2);
/// A server that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that has the lock, and one to ask where the first hangs.
const CONNECTIONS: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ours,
    /// The connection is lost, and with it the lock; it is tried again.
    Lost,
    /// Another gateway has it: this one is done.
    Anothers,
    /// Given back.
    Over,
}

pub(super) struct Alone {
    /// Its connections are closed by nobody else.
    pool: AnyPool,
    asking: Mutex<()>,
    standing: watch::Sender<Standing>,
}

impl Alone {
    /// Takes the lock, and watches it until this is dropped or closed.
    ///
    /// # Errors
    /// Where another one has it, or the server does not answer.
    pub async fn take(url: &str) -> Result<Arc<Self>, VaultError> {
        let set = format!("SET application_name = 'dauys {:032x}'; {KEEPALIVE}", random::bits());
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let set = set.clone();
                Box::pin(async move { connection.execute(set.as_str()).await.map(drop) })
            })
            .connect(url)
            .await
            .map_err(OpenError::Postgres)?;
        for _ in 0..TRIES {
            if taken(&pool).await.map_err(OpenError::Postgres)? {
                let alone =
                    Arc::new(Self { pool, asking: Mutex::default(), standing: watch::Sender::new(Standing::Ours) });
                tokio::spawn(keep_asking(Arc::downgrade(&alone)));
                return Ok(alone);
            }
            tokio::time::sleep(PAUSE).await;
        }
        pool.close().await;
        Err(VaultError::DatabaseInUse)
    }

    /// As it was asked last.
    pub fn is_ours(&self) -> bool {
        *self.standing.borrow() == Standing::Ours
    }

    /// Asks the server whether it is still ours, and takes it again where the connection was lost.
    pub async fn ask(&self) -> bool {
        let _one = self.asking.lock().await;
        if matches!(*self.standing.borrow(), Standing::Anothers | Standing::Over) {
            return false;
        }
        if matches!(tokio::time::timeout(PATIENCE, held(&self.pool)).await, Ok(Ok(true))) {
            if self.standing.send_replace(Standing::Ours) == Standing::Lost {
                info!("the lock on the database is ours again");
            }
            return true;
        }
        if self.standing.send_replace(Standing::Lost) == Standing::Ours {
            warn!(
                "the lock on the database is lost with its connection; nothing is kept or erased until it is ours again"
            );
        }
        match tokio::time::timeout(PATIENCE, retaken(&self.pool)).await {
            Ok(Ok(true)) => {
                self.standing.send_replace(Standing::Ours);
                info!("the lock on the database is ours again");
            }
            Ok(Ok(false)) => {
                self.standing.send_replace(Standing::Anothers);
                error!("another gateway serves from the database now; this one stops");
            }
            Ok(Err(_)) | Err(_) => {}
        }
        self.is_ours()
    }

    /// Resolves when another one has it.
    pub async fn ousted(&self) {
        let mut standing = self.standing.subscribe();
        if standing.wait_for(|standing| *standing == Standing::Anothers).await.is_err() {
            std::future::pending().await
        }
    }

    /// Gives it back.
    pub async fn close(&self) {
        let _one = self.asking.lock().await;
        self.standing.send_replace(Standing::Over);
        self.pool.close().await;
    }
}

/// False: another one's has it.
async fn taken(pool: &AnyPool) -> Result<bool, sqlx::Error> {
    sqlx::query::<Any>(TAKE).fetch_one(pool).await?.try_get("ours")
}

/// The same; an older session of ours may have it, where the network was away.
async fn retaken(pool: &AnyPool) -> Result<bool, sqlx::Error> {
    Ok(taken(pool).await? || held(pool).await?)
}

async fn held(pool: &AnyPool) -> Result<bool, sqlx::Error> {
    let locks: i64 = sqlx::query::<Any>(HOLD).fetch_one(pool).await?.try_get("locks")?;
    Ok(locks > 0)
}

async fn keep_asking(alone: Weak<Alone>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(alone) = alone.upgrade() else { return };
        alone.ask().await;
    }
}
