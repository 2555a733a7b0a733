//! The keystore: a database of its own with every key wrapped by the one above it, and those that are open in
//! memory. What is destroyed here makes unreadable what was sealed below it. It seals nothing itself.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::privacy::keys::{
    Fresh, Identifier, Key, KeyError, KeyId, Keyring, Nonce, PublicKey, Segment, Signer, What, WrappedKey,
};
use ::privacy::schema::Database;
use ::privacy::{CallId, Scope, Scopes, SubjectId, TenantId, Time};
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::random;
use crate::store::db::{Columns as _, Db, OpenError, StoreError, Value};
use crate::store::migrate::migrate;
use crate::values;

pub const FILE: &str = "keys.sqlite";
/// Keys of subjects and calls that are open at a time; more are opened anew when they are needed.
const OPEN_MAX: usize = 4096;
/// From the tenant's to a segment's there are three; each is looked for, made or added once.
const STEPS_MAX: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the keystore: {0}")]
    Open(#[from] OpenError),
    #[error("the keystore: {0}")]
    Store(#[from] StoreError),
    #[error("the keystore: {0}")]
    Key(#[from] KeyError),
    #[error("the system gives no random bytes: {0}")]
    NoRandom(#[from] getrandom::Error),
}

pub struct Keys {
    db: Db,
    ring: Mutex<Keyring>,
    /// Held for reading while a key is made under another, for writing while those that hold none are taken out.
    steady: tokio::sync::RwLock<()>,
    tenant: TenantId,
    /// Whose signing key it is: the gateway's own, which stays when the policy or its tenant changes.
    house: TenantId,
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    pub rewrapped: u64,
    /// Rows that were there already, from before or from a rotation that was cut off.
    pub there: u64,
}

/// Random bytes for one encryption.
pub(super) fn nonce() -> Result<Nonce, getrandom::Error> {
    random::secret::<12>().map(Nonce::new)
}

fn fresh() -> Result<Fresh, KeysError> {
    let mut bytes = Zeroizing::new(random::secret::<{ Fresh::LEN }>()?);
    Fresh::take(&mut bytes).ok_or(KeysError::NoRandom(getrandom::Error::UNEXPECTED))
}

impl Keys {
    /// Opens the keystore in this folder; the first time, with a tenant's keys made anew.
    ///
    /// # Errors
    /// Where it cannot be opened, or its keys were wrapped by another key-encryption key.
    pub async fn open(
        dir: &Path,
        (kek, retired): (Key, Vec<Key>),
        (tenant, house): (TenantId, TenantId),
        now: Time,
    ) -> Result<Self, KeysError> {
        crate::store::db::private_folder(dir)?;
        let db = Db::sqlite(&dir.join(FILE), Database::Keystore).await?;
        migrate(&db, tenant.as_str(), now).await?;
        let ring = retired.into_iter().fold(Keyring::new(kek, OPEN_MAX), Keyring::with_retired);
        let (ring, steady) = (Mutex::new(ring), tokio::sync::RwLock::default());
        let keys = Self { db, ring, steady, tenant, house };
        keys.lasting(now).await?;
        Ok(keys)
    }

    /// The keys of tenant and house, which stay open.
    async fn lasting(&self, now: Time) -> Result<(), KeysError> {
        for tenant in [&self.tenant, &self.house] {
            let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'tenant' ORDER BY generation";
            let generations = self.rows(sql, values![tenant.as_str()]).await?;
            if generations.is_empty() {
                self.make(tenant, What::Tenant { generation: 1 }, now).await?;
            }
            for row in generations {
                self.ring().add(&row)?;
            }
        }
        for (tenant, what) in [(&self.tenant, What::Index), (&self.house, What::Signing)] {
            match self.row(tenant, &what).await? {
                Some(row) => self.ring().add(&row)?,
                None => self.make(tenant, what, now).await?,
            }
        }
        Ok(())
    }

    fn ring(&self) -> MutexGuard<'_, Keyring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    /// # Errors
    /// Where the index key is not open.
    pub fn subject_of(&self, who: &Identifier) -> Result<SubjectId, KeysError> {
        Ok(self.ring().subject_of(&self.tenant, who)?)
    }

    /// # Errors
    /// Where the signing key is not open.
    pub fn signer(&self) -> Result<Signer, KeysError> {
        Ok(self.ring().signer(&self.house)?)
    }

    /// What verifies the audit log and proofs.
    ///
    /// # Errors
    /// Where the signing key is not open.
    pub fn public(&self) -> Result<PublicKey, KeysError> {
        self.signer().map(|signer| signer.public())
    }

    /// Does something with the key of a call under a scope. `make`: where there is none, one is made and
    /// stored first.
    ///
    /// # Errors
    /// Where there is none, or it does not open.
    pub async fn with_segment<R>(
        &self,
        (subject, call): (SubjectId, CallId),
        scope: &Scope,
        make: Option<Time>,
        then: impl FnOnce(&Segment<'_>) -> R,
    ) -> Result<R, KeysError> {
        let _steady = self.steady.read().await;
        for _ in 0..STEPS_MAX {
            let missing = match self.ring().segment(&self.tenant, subject, call, scope) {
                Ok(_) => None,
                Err(KeyError::Unknown(what)) => Some(what),
                Err(other) => return Err(other.into()),
            };
            match missing {
                None => {
                    let mut ring = self.ring();
                    return Ok(then(&ring.segment(&self.tenant, subject, call, scope)?));
                }
                Some(what) => self.find_or_make(what, make).await?,
            }
        }
        Err(KeyError::Unknown(What::Segment { subject, call, scope: scope.clone() }).into())
    }

    async fn find_or_make(&self, what: What, make: Option<Time>) -> Result<(), KeysError> {
        match (self.row(&self.tenant, &what).await?, make) {
            (Some(row), _) => match self.ring().add(&row) {
                Ok(()) => Ok(()),
                Err(KeyError::NoParent(parent)) => Err(KeyError::NoParent(parent).into()),
                Err(other) => Err(other.into()),
            },
            (None, Some(now)) => self.make(&self.tenant, what, now).await,
            (None, None) => Err(KeyError::Unknown(what).into()),
        }
    }

    /// The row is stored before the key is good for anything.
    async fn make(&self, tenant: &TenantId, what: What, now: Time) -> Result<(), KeysError> {
        let row = self.ring().make(tenant, what, fresh()?, now)?;
        if let Err(error) = self.store(&row).await {
            self.ring().forget_key(row.id);
            return Err(error);
        }
        Ok(())
    }

    async fn store(&self, row: &WrappedKey) -> Result<(), KeysError> {
        let (word, generation, scope) = match &row.what {
            What::Tenant { generation } => ("tenant", Some(i64::from(*generation)), None),
            What::Index => ("index", None, None),
            What::Signing => ("signing", None, None),
            What::Subject(_) => ("subject", None, None),
            What::Segment { scope, .. } => ("segment", None, Some(scope.to_string())),
        };
        let columns: [(&str, Value<'_>); 12] = [
            ("id", row.id.to_string().into()),
            ("tenant", row.tenant.as_str().into()),
            ("what", word.into()),
            ("generation", generation.into()),
            ("subject", row.what.subject().into()),
            ("call", row.what.call().into()),
            ("scope", scope.into()),
            ("parent", row.parent.to_string().into()),
            ("version", row.version.into()),
            ("made_unix_ms", row.made.into()),
            ("nonce", row.nonce.into()),
            ("body", row.body.into()),
        ];
        Ok(self.db.put("keys", &columns).await?)
    }

    async fn row(&self, tenant: &TenantId, what: &What) -> Result<Option<WrappedKey>, KeysError> {
        let tenant = tenant.as_str();
        let found = match what {
            What::Tenant { generation } => {
                let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'tenant' AND generation = $2";
                self.rows(sql, values![tenant, *generation]).await?
            }
            What::Index => {
                self.rows("SELECT * FROM keys WHERE tenant = $1 AND what = 'index'", values![tenant]).await?
            }
            What::Signing => {
                self.rows("SELECT * FROM keys WHERE tenant = $1 AND what = 'signing'", values![tenant]).await?
            }
            What::Subject(subject) => {
                let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'subject' AND subject = $2";
                self.rows(sql, values![tenant, *subject]).await?
            }
            What::Segment { subject, call, scope } => {
                let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'segment' AND subject = $2 AND call = $3 \
                           AND scope = $4";
                self.rows(sql, values![tenant, *subject, *call, scope.to_string()]).await?
            }
        };
        Ok(found.into_iter().next())
    }

    async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<WrappedKey>, KeysError> {
        let rows = self.db.all(sql, values).await?;
        Ok(rows.iter().map(wrapped).collect::<Result<_, _>>()?)
    }

    /// Every key of a subject, by name.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn of_subject(&self, subject: SubjectId) -> Result<Vec<KeyId>, KeysError> {
        // Of the rest nothing is read: one damaged row must not keep the others from being destroyed.
        let sql = "SELECT id FROM keys WHERE tenant = $1 AND subject = $2 ORDER BY id";
        let rows = self.db.all(sql, values![self.tenant.as_str(), subject]).await?;
        Ok(rows.iter().filter_map(|row| row.word("id", KeyId::parse).ok()).collect())
    }

    /// Destroys every key of a subject, on the disk and in memory.
    ///
    /// # Errors
    /// Where the database says no; it has to be done again then.
    pub async fn destroy_subject(&self, subject: SubjectId) -> Result<(), KeysError> {
        let ids = self.of_subject(subject).await?;
        self.ring().forget(&self.tenant, subject, &ids);
        let sql = "DELETE FROM keys WHERE tenant = $1 AND subject = $2";
        self.db.run(sql, values![self.tenant.as_str(), subject]).await?;
        Ok(self.db.compact().await?)
    }

    /// Destroys the keys of a call under these scopes.
    ///
    /// # Errors
    /// Where the database says no; it has to be done again then.
    pub async fn destroy_segments(&self, call: CallId, scopes: &Scopes) -> Result<(), KeysError> {
        for scope in scopes.iter().map(ToString::to_string) {
            let sql = "SELECT id FROM keys WHERE tenant = $1 AND call = $2 AND scope = $3";
            for row in self.db.all(sql, values![self.tenant.as_str(), call, scope.as_str()]).await? {
                let id = row.text("id")?;
                KeyId::parse(&id).into_iter().for_each(|id| self.ring().forget_key(id));
                self.db.run("DELETE FROM keys WHERE id = $1", values![id]).await?;
            }
        }
        Ok(self.db.compact().await?)
    }

    /// Calls and scopes that have a key made before this time.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn segments_before(&self, before: Time) -> Result<Vec<(CallId, Scope)>, KeysError> {
        let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'segment' AND made_unix_ms < $2";
        let rows = self.rows(sql, values![self.tenant.as_str(), before]).await?;
        let segment = |row: WrappedKey| match row.what {
            What::Segment { call, scope, .. } => Some((call, scope)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(segment).collect())
    }

    /// Subjects whose key was made before this time and opens no other any more.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn destroy_bare_subjects(&self, before: Time) -> Result<u64, KeysError> {
        // Else a call of one of them could get a key under it in between, which nothing opens afterwards.
        let _steady = self.steady.write().await;
        let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'subject' AND made_unix_ms < $2 \
                   AND id NOT IN (SELECT parent FROM keys WHERE tenant = $1)";
        let rows = self.rows(sql, values![self.tenant.as_str(), before]).await?;
        for row in &rows {
            self.ring().forget_key(row.id);
            self.db.run("DELETE FROM keys WHERE id = $1", values![row.id.to_string()]).await?;
        }
        Ok(rows.len() as u64)
    }

    fn tenants(&self) -> Vec<&TenantId> {
        let mut both = vec![&self.tenant, &self.house];
        both.dedup();
        both
    }

    /// A new generation of the tenants' keys: made once the rows of the last rotation are all there.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn next_generation(&self, now: Time) -> Result<(), KeysError> {
        for tenant in self.tenants() {
            let generation = u32::try_from(self.newest(tenant).await?).unwrap_or(u32::MAX).saturating_add(1);
            self.make(tenant, What::Tenant { generation }, now).await?;
        }
        Ok(())
    }

    async fn newest(&self, tenant: &TenantId) -> Result<i64, KeysError> {
        let sql = "SELECT max(generation) FROM keys WHERE tenant = $1 AND what = 'tenant'";
        Ok(self.db.number(sql, values![tenant.as_str()]).await?)
    }

    /// Puts every row under the current key above it. Cut off anywhere, it goes on with what is left.
    ///
    /// # Errors
    /// Where a row does not open; it stays as it is.
    pub async fn rewrap(&self) -> Result<Rotated, KeysError> {
        let (mut rewrapped, mut there) = (0, 0);
        for tenant in self.tenants() {
            let sql = "SELECT * FROM keys WHERE tenant = $1 AND what <> 'segment' ORDER BY id";
            for row in self.rows(sql, values![tenant.as_str()]).await? {
                let next = self.ring().rewrap(&row, nonce()?)?;
                match next {
                    Some(next) => {
                        self.store(&next).await?;
                        rewrapped += 1;
                    }
                    None => there += 1,
                }
            }
            self.drop_generations(tenant).await?;
        }
        self.db.compact().await?;
        Ok(Rotated { rewrapped, there })
    }

    /// Generations that nothing is under any more.
    async fn drop_generations(&self, tenant: &TenantId) -> Result<(), KeysError> {
        let sql = "SELECT * FROM keys WHERE tenant = $1 AND what = 'tenant' \
                   AND id NOT IN (SELECT parent FROM keys WHERE tenant = $1) ORDER BY generation DESC";
        let newest = self.newest(tenant).await?;
        for row in self.rows(sql, values![tenant.as_str()]).await? {
            if matches!(row.what, What::Tenant { generation } if i64::from(generation) < newest) {
                self.ring().forget_key(row.id);
                self.db.run("DELETE FROM keys WHERE id = $1", values![row.id.to_string()]).await?;
            }
        }
        Ok(())
    }
}

fn wrapped(row: &AnyRow) -> Result<WrappedKey, StoreError> {
    let subject = || row.subject();
    let what = match row.text("what")?.as_str() {
        "tenant" => What::Tenant { generation: u32::try_from(row.int("generation")?).unwrap_or(u32::MAX) },
        "index" => What::Index,
        "signing" => What::Signing,
        "subject" => What::Subject(subject()?),
        "segment" => What::Segment {
            subject: subject()?,
            call: row.call("call")?,
            scope: row.word("scope", |w| w.parse().ok())?,
        },
        _ => return Err(StoreError::Damaged("what a key is for is an unknown word".into())),
    };
    Ok(WrappedKey {
        id: row.word("id", KeyId::parse)?,
        tenant: row.word("tenant", |t| TenantId::new(t).ok())?,
        what,
        parent: row.word("parent", KeyId::parse)?,
        version: u32::try_from(row.int("version")?).unwrap_or(u32::MAX),
        made: Time(row.int("made_unix_ms")?),
        nonce: row.array("nonce")?,
        body: row.array("body")?,
    })
}
