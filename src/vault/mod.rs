//! Everything that is kept, behind one door: the database, the keystore, sealed sound and the audit log. Words
//! are sealed on their way in and opened only for somebody whose reading is logged. It decides nothing about
//! what may be kept; `privacy` does.

mod alone;
pub mod audit;
pub mod erase;
pub mod export;
pub mod fan;
pub mod files;
pub mod harden;
pub mod house;
pub mod kek;
pub mod keys;
mod place;
pub mod read;
pub mod retain;
mod shut;
mod writer;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ::privacy::chain::{Action, Entry, Object};
use ::privacy::consent::{ConsentEvent, Past, Permit, Used, Which};
use ::privacy::egress::Transfer;
use ::privacy::keys::{Identifier, KeySource, Plan};
use ::privacy::policy::Policy;
use ::privacy::register::Claim;
use ::privacy::retention::{Hold, Terms};
use ::privacy::roles::Approval;
use ::privacy::schema::Database;
use ::privacy::seal::{Kind, Owed, Plain, SealError};
use ::privacy::{Scopes, SubjectId, TenantId, Time, erasure};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroize as _;

use crate::call::live::{Live, Request};
use crate::call::{CallId, Line, Speaker};
use crate::store::db::{Columns as _, Db, OpenError, StoreError, private_folder};
use crate::store::migrate::migrate;
use crate::store::rows::{self, Rests};
use crate::store::{CallRecord, Full, QUEUE, TranscriptStore, register};
use crate::{clock, random, values};

use alone::Alone;
use audit::{Audit, AuditError, Logged};
use files::Files;
use keys::{Keys, KeysError};
use place::lock;
use shut::Shut;
use writer::{Write, Writer};

pub use place::{check_logged, is_served};

const FILE: &str = "dauys.sqlite";
/// The tenant of a gateway without a policy, and whose signing key it is in any case.
const NO_POLICY: &str = "default";
/// Between who speaks and what they say.
const BETWEEN: u8 = b'\n';

/// Tells the time. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Kek(#[from] kek::KekError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("a file of sealed sound could not be written or removed: {0}")]
    File(#[from] std::io::Error),
    #[error("the system gives no random bytes: {0}")]
    NoRandom(#[from] getrandom::Error),
    #[error("another process serves from the data folder {0}: stop it first, or give this one another [store] dir")]
    InUse(PathBuf),
    #[error(
        "another gateway serves from the database at [store] url: one gateway per database. Stop it first, or give this one \
         a database or a schema of its own"
    )]
    DatabaseInUse,
    #[error("the lock on the database is not ours now: nothing is erased or taken out until it is")]
    NotAlone,
    #[error(
        "there is no data in {0}: no gateway has kept anything there. Name its configuration with --config, or its data \
         folder with --data"
    )]
    NoData(PathBuf),
    #[error(
        "there is no keystore in {0}, though its data folder is in use: without it nothing can be opened. Correct [store] \
         keys_dir, or restore it"
    )]
    NoKeystore(PathBuf),
    #[error("the policy: {0}")]
    Policy(String),
    #[error("the consent that this rests on was taken back: nothing is sent under it any more")]
    TakenBack,
    #[error("the writer of the store is gone; restart the gateway")]
    Gone,
    #[error("{0}")]
    NotErased(#[from] erase::EraseError),
    #[error("{0}")]
    NotRead(#[from] ::privacy::retention::NotRead),
}

/// Where everything lies, and by which rules.
#[derive(Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// Of PostgreSQL; none: SQLite in `dir`.
    pub url: Option<String>,
    pub keys_dir: PathBuf,
    /// None: a file in `keys_dir` that is made at the first start.
    pub kek: Option<KeySource>,
    pub retired: Vec<KeySource>,
    pub tenant: TenantId,
    pub terms: Terms,
    pub erasure: erasure::Rules,
    /// Version of the policy.
    pub policy: String,
    /// How numbers are dialled where they come without `+`.
    pub plan: Option<Plan>,
}

/// What a process opens it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// To write what calls leave; one process at a time.
    Serving,
    /// To look, or to work on it while nobody serves.
    Beside,
}

pub(crate) struct Inner {
    db: Db,
    keys: Arc<Keys>,
    audit: Audit,
    files: Files,
    shut: Shut,
    /// The calls that go on.
    live: Arc<Live>,
    settings: Settings,
    tenant: TenantId,
    clock: Clock,
    /// Taken where keys are destroyed and where a hold is placed: one or the other.
    holds: tokio::sync::Mutex<()>,
    /// Of erasures, so that each thing is said once.
    said: Mutex<HashSet<String>>,
    /// The same of a database that others may reach; none: there is no other, or we do not serve.
    alone: Option<Arc<Alone>>,
    /// Held for as long as this process serves.
    _lock: Option<std::fs::File>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
    writes: mpsc::Sender<Write>,
    purges: mpsc::Sender<(CallId, Scopes)>,
}

impl Inner {
    /// As far as is known.
    fn is_alone(&self) -> bool {
        self.alone.as_ref().is_none_or(|alone| alone.is_ours())
    }
}

impl Settings {
    /// # Errors
    /// Where a table of the policy cannot be read.
    pub fn new(
        store: &crate::config::Store,
        keys: &crate::config::Keys,
        policy: Option<&Policy>,
    ) -> Result<Self, VaultError> {
        let wrong = |e: String| VaultError::Policy(e);
        let (mut terms, mut rules, mut version) = (Terms::default(), erasure::Rules::default(), "none".to_owned());
        let mut tenant = TenantId::new(NO_POLICY).map_err(|e| wrong(e.to_string()))?;
        if let Some(policy) = policy {
            terms = Terms::read(&policy.retention).map_err(|e| wrong(e.to_string()))?;
            rules = erasure::Rules::read(&policy.erasure).map_err(|e| wrong(e.to_string()))?;
            version = policy.version.to_string().to_lowercase();
            tenant = policy.tenant.clone();
        }
        Ok(Self {
            dir: store.dir.clone(),
            url: store.url.as_ref().map(|url| url.expose().to_owned()),
            keys_dir: store.keys_dir(),
            kek: keys.source.as_deref().map(kek::parse).transpose()?,
            retired: keys.retired.iter().map(|line| kek::parse(line)).collect::<Result<_, _>>()?,
            tenant,
            terms,
            erasure: rules,
            policy: version,
            plan: keys.plan.clone(),
        })
    }

    /// The key-encryption key; without a source, the file that is made at the first start.
    fn kek(&self) -> Result<::privacy::keys::Key, VaultError> {
        if let Some(source) = &self.kek {
            return Ok(kek::read(source)?);
        }
        private_folder(&self.keys_dir)?;
        let path = std::path::absolute(self.keys_dir.join("kek"))?;
        if !self.keys_dir.join(keys::FILE).exists() && !path.exists() {
            kek::make(&path)?;
        }
        Ok(kek::read(&KeySource::File(path.to_string_lossy().into_owned()))?)
    }
}

impl Vault {
    /// Opens everything, or says what is in the way.
    ///
    /// # Errors
    /// With what to do about it.
    pub async fn open(settings: Settings, what_for: For) -> Result<Self, VaultError> {
        Self::open_at(settings, what_for, Arc::new(|| Time(clock::unix_ms()))).await
    }

    /// The same by a clock of one's own.
    ///
    /// # Errors
    /// As above.
    pub async fn open_at(settings: Settings, what_for: For, clock: Clock) -> Result<Self, VaultError> {
        private_folder(&settings.dir)?;
        let lock = if what_for == For::Serving { Some(lock(&settings.dir)?) } else { None };
        let now = clock();
        let db = match &settings.url {
            Some(url) => Db::postgres(url).await?,
            None => Db::sqlite(&settings.dir.join(FILE), Database::Store).await?,
        };
        let alone = match &settings.url {
            Some(url) if what_for == For::Serving => Some(Alone::take(url).await?),
            _ => None,
        };
        let tenant = settings.tenant.clone();
        migrate(&db, tenant.as_str(), now).await?;
        let retired = settings.retired.iter().map(kek::read).collect::<Result<_, _>>()?;
        let house = TenantId::new(NO_POLICY).map_err(|e| VaultError::Policy(e.to_string()))?;
        let (wrapping, whose) = ((settings.kek()?, retired), (tenant.clone(), house));
        let keys = Keys::open(&settings.keys_dir, wrapping, whose, now).await?;
        let keys = Arc::new(keys);
        let audit = Audit::open(&settings.dir, Arc::clone(&keys), now)?;
        let files = Files::open(&settings.dir)?;
        let (holds, said) = (tokio::sync::Mutex::new(()), Mutex::default());
        let jobs = register::open_jobs(&db, &tenant).await?;
        let shut = Shut::new(jobs.iter().filter(|job| erase::is_frozen(job)).map(erasure::Job::subject));
        let live = Arc::default();
        let inner =
            Inner { db, keys, audit, files, shut, live, settings, tenant, clock, holds, said, alone, _lock: lock };
        let inner = Arc::new(inner);
        if what_for == For::Serving {
            recover(&inner).await?;
        }
        let writer = Writer::new(Arc::clone(&inner));
        let (writes, queue) = mpsc::channel(QUEUE);
        // A purge must not be lost behind a full queue of lines: it has a lane of its own.
        let (purges, purge_queue) = mpsc::channel(QUEUE);
        tokio::spawn(writer.run(queue, purge_queue));
        Ok(Self { inner, writes, purges })
    }

    pub fn now(&self) -> Time {
        (self.inner.clock)()
    }

    pub fn tenant(&self) -> &TenantId {
        &self.inner.tenant
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Where the privacy desk reaches the calls that go on.
    pub fn live(&self) -> &Arc<Live> {
        &self.inner.live
    }

    pub fn audit(&self) -> &Audit {
        &self.inner.audit
    }

    /// Whose call it is, by a number, an address or a page's name for its person; somebody without one is
    /// somebody new each time.
    pub fn subject_of(&self, who: &str) -> SubjectId {
        let known = Identifier::read(who, self.inner.settings.plan.as_ref()).ok();
        let subject = known.and_then(|who| self.inner.keys.subject_of(&who).ok());
        subject.unwrap_or_else(|| SubjectId(random::bits().to_be_bytes()))
    }

    /// Waits until everything queued so far was tried.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.writes.send(Write::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// True while the database answers, and is ours alone.
    pub async fn healthy(&self) -> bool {
        self.inner.is_alone() && self.inner.db.healthy().await
    }

    /// Asks whether nobody else serves from the database, where others may reach it.
    pub(crate) async fn alone(&self) -> Result<(), VaultError> {
        match &self.inner.alone {
            Some(alone) if !alone.ask().await => Err(VaultError::NotAlone),
            _ => Ok(()),
        }
    }

    /// Resolves when another gateway serves from the database: this one has to stop.
    pub async fn ousted(&self) {
        match &self.inner.alone {
            Some(alone) => alone.ousted().await,
            None => std::future::pending().await,
        }
    }

    /// Signs the audit log and lets everything go.
    pub async fn close(&self) {
        self.flush().await;
        if let Err(error) = self.inner.audit.checkpoint(self.now()).await {
            tracing::warn!(%error, "the audit log could not be signed");
        }
        if let Some(alone) = &self.inner.alone {
            alone.close().await;
        }
        self.inner.db.close().await;
        self.inner.keys.db().close().await;
    }

    /// Says in the audit log that something was done by the gateway itself.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn note(&self, action: Action, objects: Vec<Object>, why: &str) -> Result<Logged, VaultError> {
        let (actor, role) = ("gateway".into(), "service".into());
        let entry = Entry { at: self.now(), actor, role, action, objects, why: why.into() };
        Ok(self.inner.audit.log(entry).await?)
    }

    /// Statements that have granted something and are good no more.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn used(&self) -> Result<Used, VaultError> {
        Ok(register::used(&self.inner.db, &self.inner.tenant, self.now()).await?)
    }

    /// # Errors
    /// Where the database says no.
    pub async fn holds(&self) -> Result<Vec<Hold>, VaultError> {
        Ok(register::holds(&self.inner.db, &self.inner.tenant).await?)
    }

    /// A new, extended or released hold. No erasure destroys keys meanwhile.
    ///
    /// # Errors
    /// Where it cannot be logged or written; it does not stand then.
    pub async fn put_hold(&self, hold: &Hold, entry: Entry) -> Result<(), VaultError> {
        let _alone = self.inner.holds.lock().await;
        self.inner.audit.log(entry).await?;
        Ok(register::put_hold(&self.inner.db, &self.inner.tenant, hold).await?)
    }

    /// # Errors
    /// Where the database says no.
    pub async fn claims(&self, subject: Option<SubjectId>) -> Result<Vec<Claim>, VaultError> {
        Ok(register::claims(&self.inner.db, &self.inner.tenant, subject).await?)
    }

    /// # Errors
    /// Where it cannot be logged or written.
    pub async fn put_claim(&self, claim: &Claim, entry: Entry) -> Result<(), VaultError> {
        self.inner.audit.log(entry).await?;
        Ok(register::put_claim(&self.inner.db, claim).await?)
    }

    /// # Errors
    /// Where the database says no.
    pub async fn approvals(&self) -> Result<Vec<Approval>, VaultError> {
        Ok(register::approvals(&self.inner.db, &self.inner.tenant).await?)
    }

    /// # Errors
    /// Where it cannot be logged or written.
    pub async fn put_approval(&self, approval: &Approval, entry: Entry) -> Result<(), VaultError> {
        self.inner.audit.log(entry).await?;
        Ok(register::put_approval(&self.inner.db, approval).await?)
    }

    /// Before the first byte leaves, and again when it has ended. While its subject is being erased nothing of
    /// theirs begins but the orders to erase: whoever gets data now would not be told.
    ///
    /// # Errors
    /// Where the database says no, or the subject is being erased: nothing may be sent then.
    pub async fn put_transfer(&self, transfer: &Transfer) -> Result<(), VaultError> {
        let begins = transfer.ended.is_none() && transfer.erasure.is_none();
        if begins && self.inner.shut.holds(Some(transfer.subject), transfer.call) {
            return Err(erase::EraseError::UnderWay.into());
        }
        let closed = transfer.call.is_some_and(|call| self.inner.shut.is_closed(call));
        if begins && closed && !transfer.scopes.is_empty() {
            return Err(VaultError::TakenBack);
        }
        Ok(register::put_transfer(&self.inner.db, transfer).await?)
    }

    /// The service is used no more by this subject: what was said goes at the next run, and consents are
    /// evidence only.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn end_use(&self, subject: SubjectId) -> Result<(), VaultError> {
        let sql = "UPDATE consent_events SET use_ended_unix_ms = $1 \
                   WHERE subject = $2 AND tenant = $3 AND use_ended_unix_ms IS NULL";
        self.inner.db.run(sql, values![self.now(), subject, self.inner.tenant.as_str()]).await?;
        Ok(())
    }

    /// Consent of a call, taken back by request; what was kept under it goes. A call that goes on takes it back itself
    /// first; should it not, the store keeps nothing more of it.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn withdraw(&self, call: CallId, which: &Which) -> Result<Scopes, VaultError> {
        let request = Request::Withdraw(which.clone());
        self.inner.live.tell(call, &request).await;
        let Some(scopes) = self.end(call, request).await? else { return Ok(Scopes::new()) };
        self.flush().await;
        self.note(Action::ConsentWithdrawn, vec![Object::call(call)], "by request").await?;
        Ok(scopes)
    }

    /// The last word on a call's consent, behind what the call has said itself.
    async fn end(&self, call: CallId, request: Request) -> Result<Option<Scopes>, VaultError> {
        let (done, wait) = oneshot::channel();
        self.writes.send(Write::End(call, request, done)).await.map_err(|_| VaultError::Gone)?;
        wait.await.map_err(|_| VaultError::Gone)?
    }

    fn send(&self, write: Write) -> Result<(), Full> {
        self.writes.try_send(write).map_err(|_| Full)
    }
}

impl TranscriptStore for Vault {
    fn event(&self, event: ConsentEvent) -> Result<(), Full> {
        self.send(Write::Event(Box::new(event)))
    }

    fn append(&self, permit: &Permit<'_>, line: Line) -> Result<(), Full> {
        let Line { at_ms, speaker, mut text } = line;
        let word = speaker.word().as_bytes();
        // In one piece of memory from the beginning, which is wiped or encrypted in place.
        let mut body = Vec::with_capacity(word.len() + 1 + text.len() + 16);
        body.extend_from_slice(word);
        body.push(BETWEEN);
        body.extend_from_slice(text.as_bytes());
        text.zeroize();
        self.send(Write::Words { owed: Owed::new(permit, Kind::Line, Plain::new(body)), at_ms })
    }

    fn append_gap(&self, permit: &Permit<'_>, at_ms: u32, lost: u32) -> Result<(), Full> {
        let (call, subject, scope, event) = (permit.call(), permit.subject(), permit.scope().clone(), permit.event());
        self.send(Write::Gap { on: Rests { call, subject, scope, event }, at_ms, lost })
    }

    fn audio(&self, permit: &Permit<'_>, leg: Speaker, seq: u64, duration_ms: u32, opus: Plain) -> Result<(), Full> {
        self.send(Write::Sound { owed: Owed::new(permit, Kind::Sound, opus), leg, duration_ms, seq })
    }

    fn purge(&self, call: CallId, scopes: &Scopes) {
        // Behind the lines that are queued now, or, where they leave no room, on a lane of its own.
        let scopes = scopes.clone();
        if self.send(Write::Purge(call, scopes.clone())).is_err() && self.purges.try_send((call, scopes)).is_err() {
            tracing::error!(%call, "a purge could not be queued; the store is stuck");
        }
    }

    fn record(&self, record: CallRecord) -> Result<(), Full> {
        self.send(Write::Record(Box::new(record)))
    }
}

/// Before there was a policy, calls were nobody's in particular: from now on its terms are theirs.
async fn adopt(db: &Db, tenant: &TenantId) -> Result<(), StoreError> {
    db.run("UPDATE calls SET tenant = $1 WHERE tenant = $2", values![tenant.as_str(), NO_POLICY]).await?;
    let others = db.number("SELECT count(*) FROM calls WHERE tenant <> $1", values![tenant.as_str()]).await?;
    if others > 0 {
        tracing::warn!(others, "there are calls of another tenant than the policy's: no term of this policy ends them");
    }
    Ok(())
}

/// What a process that died left: its calls are lost, what was agreed stays, and what no consent on the disk
/// allows any more goes.
async fn recover(inner: &Inner) -> Result<(), VaultError> {
    let (db, tenant) = (&inner.db, &inner.tenant);
    adopt(db, tenant).await?;
    rows::lose_calls(db, tenant).await?;
    for (call, scope) in rows::kept(db, tenant).await? {
        let kept = match rows::events(db, tenant, call).await {
            Ok(events) => Past::of(&events).is_ok_and(|past| past.kept().contains(&scope)),
            // An altered event proves nothing; a database that does not answer is no reason to delete.
            Err(StoreError::Damaged(_)) => false,
            Err(other) => return Err(other.into()),
        };
        if !kept {
            tracing::info!(%call, "something was kept that no consent allows any more; it goes");
            writer::purge(inner, call, &Scopes::from([scope])).await?;
        }
    }
    let mut known = vec![];
    for row in db.all("SELECT file FROM recordings", &[]).await? {
        known.push(row.text("file")?);
    }
    for stray in inner.files.names()?.into_iter().filter(|name| !known.contains(name)) {
        inner.files.remove(&stray).await?;
    }
    Ok(())
}
