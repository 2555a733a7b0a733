//! Erasures, done: `privacy::erasure::Job` says what is next, this does it and writes it down. Every step may be
//! done twice; whoever is killed anywhere goes on from what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::PoisonError;

use ::privacy::chain::{Action, Digest, Entry, Object};
use ::privacy::erasure::{Alarm, AskedBy, Inventory, Job, JobId, Outcome, Receipt, Stage, Step};
use ::privacy::keys::KeyId;
use ::privacy::proof::{self, Count, Kept, Proof, Span};
use ::privacy::schema::{self, Database};
use ::privacy::{CallId, SubjectId, Time};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::fan::{Answered, Orders};
use super::files::aside;
use super::writer::Write;
use super::{Vault, VaultError};
use crate::call::live::Request;
use crate::random;
use crate::store::db::Columns as _;
use crate::store::{register, rows};
use crate::values;

const PROOFS: &str = "proofs";
/// What was said of erasures, each thing once.
const SAID_MAX: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("the erasure and what was done do not fit: {0}")]
    OutOfStep(#[from] ::privacy::erasure::OutOfStep),
    #[error("the proof cannot be made: {0}")]
    Proof(#[from] proof::BadProof),
    #[error("the audit log does not tell of this erasure: it was cut off, or is another one")]
    NotLogged,
    #[error("there is no erasure of this name")]
    Unknown,
    #[error("the subject of this is being erased: nothing of theirs is sent any more")]
    UnderWay,
}

/// How far one step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// There is more to do now.
    Further,
    /// Nothing before then, or before a hold is released.
    Waits(Time),
    Done,
}

/// Whether the subject's own records may be neither read nor written: from the freeze until they are gone.
/// Afterwards whoever calls again is somebody new, while connected systems still answer.
pub fn is_frozen(job: &Job) -> bool {
    job.is_frozen() && job.stage() < Stage::DatabaseCompacted
}

impl Vault {
    /// Asks for an erasure of everything kept of a subject. One that is under way is the same one.
    ///
    /// # Errors
    /// Where it cannot be logged or written: it is not asked for then.
    pub async fn ask_erasure(&self, subject: SubjectId, asked_by: AskedBy, why: &str) -> Result<JobId, VaultError> {
        let (db, tenant) = (self.db(), self.tenant());
        // Two who ask at once ask for the same one.
        let _alone = self.inner.holds.lock().await;
        // One that waits for connected systems does not have what came after its own deleting.
        let covers = |job: &Job| job.stage() < Stage::DatabaseCompacted;
        let open = register::jobs_of(db, tenant, subject).await?.into_iter().find(covers);
        if let Some(job) = open {
            return Ok(job.id());
        }
        let id = JobId(random::bits() as u64);
        let settings = self.settings();
        let whose = (tenant.clone(), subject);
        let (actor, role) = match &asked_by {
            AskedBy::Staff(by) => (by.person.to_string(), by.role.word().to_owned()),
            AskedBy::Subject => ("subject".into(), "subject".into()),
            AskedBy::System => ("system".into(), "system".into()),
        };
        let job = Job::ask(id, whose, asked_by, &settings.policy, settings.erasure, self.now());
        let objects = objects(&job, None);
        let entry = Entry { at: self.now(), actor, role, action: Action::ErasureAsked, objects, why: why.into() };
        self.audit().log(entry).await?;
        register::put_job(db, &job).await?;
        Ok(id)
    }

    /// # Errors
    /// Where the database says no, or there is none of this name.
    pub async fn erasure(&self, id: JobId) -> Result<Job, VaultError> {
        let job = register::job(self.db(), self.tenant(), id).await?;
        Ok(job.ok_or(EraseError::Unknown)?)
    }

    /// The signed proof of an erasure that is done.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn proof(&self, id: JobId) -> Result<Option<String>, VaultError> {
        Ok(register::proof(self.db(), id).await?)
    }

    /// Does everything that is to be done now, of every erasure.
    pub async fn erase_all(&self, orders: &dyn Orders) {
        // By name: one that cannot be read is in the way of none of the others.
        let jobs = match register::open_job_ids(self.db(), self.tenant()).await {
            Ok(jobs) => jobs,
            Err(error) => return warn!(%error, "the erasures could not be read; they are read again"),
        };
        let mut alarms = BTreeMap::new();
        for id in jobs {
            loop {
                match self.advance(id, orders).await {
                    Ok(Advanced::Further) => {}
                    Ok(Advanced::Waits(_) | Advanced::Done) => break,
                    Err(error) => {
                        warn!(erasure = %id, %error, "a step of an erasure failed; it is done again");
                        break;
                    }
                }
            }
            self.alarm(id, &mut alarms).await;
        }
        for kind in ["refused", "no_receipt", "unreachable", "failing", "near", "overdue"] {
            let n = alarms.get(kind).copied().unwrap_or(0);
            metrics::gauge!("dauys_erasure_alarms", "kind" => kind).set(f64::from(n));
        }
    }

    /// Says what somebody must look at, each once.
    async fn alarm(&self, id: JobId, counts: &mut BTreeMap<&'static str, u32>) {
        let Ok(Some(job)) = register::job(self.db(), self.tenant(), id).await else {
            *counts.entry("failing").or_default() += 1;
            return;
        };
        for alarm in job.alarms(self.now()) {
            let (kind, what) = described(&alarm);
            *counts.entry(kind).or_default() += 1;
            let fresh = self.is_news(format!("{id} {kind} {what}"));
            if fresh {
                error!(erasure = %id, kind, destination = what, "an erasure needs somebody: look at it");
                let destination = Object::named("destination", &what);
                if let Err(error) = self.note(Action::ErasureAlarm, objects(&job, destination), kind).await {
                    warn!(%error, "the alarm could not be logged");
                }
            }
        }
    }

    /// One step: what is to be done is written, done, logged, and written as done.
    ///
    /// # Errors
    /// Where it could not be done; the job says when it is tried again.
    pub async fn advance(&self, id: JobId, orders: &dyn Orders) -> Result<Advanced, VaultError> {
        self.alone().await?;
        // No hold comes between the looking and the destroying, and no receipt between the reading and the writing.
        let alone = self.inner.holds.lock().await;
        let mut job = self.erasure(id).await?;
        let (now, written) = (self.now(), job.clone());
        let step = job.next(now, &self.holds().await?);
        // One that waits is looked at every other second, for weeks.
        if job != written {
            register::put_job(self.db(), &job).await?;
        }
        match &step {
            Step::Nothing => return Ok(Advanced::Done),
            Step::Wait { until } => return Ok(Advanced::Waits(*until)),
            Step::Held { hold, until } => {
                let hold = Object::named("hold", &hold.to_string());
                self.note_once(Action::ErasureHeld, &job, hold).await?;
                return Ok(Advanced::Waits(*until));
            }
            _ => {}
        }
        let alone = if step == Step::DestroyKeys {
            Some(alone)
        } else {
            drop(alone);
            None
        };
        let done = self.do_step(&job, &step, orders).await;
        let _alone = match alone {
            Some(alone) => alone,
            None => self.inner.holds.lock().await,
        };
        // An officer may have brought a receipt meanwhile.
        let mut job = self.erasure(id).await?;
        let was_frozen = is_frozen(&job);
        let failed = match done {
            Ok(Some(outcome)) => {
                job.done(self.now(), outcome).map_err(EraseError::from)?;
                None
            }
            undone => {
                let destination = match &step {
                    Step::Send { destination } => Some(destination.as_str()),
                    _ => None,
                };
                job.failed(self.now(), destination);
                undone.err()
            }
        };
        register::put_job(self.db(), &job).await?;
        if was_frozen && !is_frozen(&job) {
            self.inner.shut.thaw(job.subject());
        }
        failed.map_or(Ok(Advanced::Further), Err)
    }

    /// None: a connected system could not be reached.
    async fn do_step(&self, job: &Job, step: &Step, orders: &dyn Orders) -> Result<Option<Outcome>, VaultError> {
        let (action, outcome) = match step {
            Step::Find => (Action::ErasureFound, Outcome::Found(self.inventory(job).await?)),
            Step::Freeze => {
                self.freeze(job.subject()).await?;
                (Action::ErasureFrozen, Outcome::Frozen(self.inventory(job).await?))
            }
            Step::DestroyKeys => {
                self.keys().destroy_subject(job.subject()).await?;
                (Action::KeysDestroyed, Outcome::KeysDestroyed)
            }
            Step::DeleteRows => {
                self.delete_rows(job).await?;
                (Action::RowsDeleted, Outcome::RowsDeleted)
            }
            Step::DeleteFiles => {
                self.delete_files(job.subject()).await?;
                (Action::FilesDeleted, Outcome::FilesDeleted)
            }
            Step::Compact => {
                self.db().compact().await?;
                self.keys().db().compact().await?;
                (Action::DatabaseCompacted, Outcome::Compacted)
            }
            Step::Send { destination } => return self.send_order(job, destination, orders).await,
            Step::Prove => return self.prove(job).await.map(Some),
            Step::Finish => (Action::ErasureDone, Outcome::Finished),
            Step::Wait { .. } | Step::Held { .. } | Step::Nothing => return Ok(None),
        };
        self.note(action, objects(job, None), "").await?;
        if step == &Step::Finish {
            info!(erasure = %job.id(), "an erasure is done and proven");
        }
        Ok(Some(outcome))
    }

    /// Whether this was not said yet, by this process.
    fn is_news(&self, what: String) -> bool {
        let mut said = self.inner.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(what)
    }

    /// What is looked at again and again is logged once.
    async fn note_once(&self, action: Action, job: &Job, more: Option<Object>) -> Result<(), VaultError> {
        let about = more.as_ref().map(|o| o.as_str().to_owned()).unwrap_or_default();
        let fresh = self.is_news(format!("{} {} {about}", job.id(), action.as_str()));
        if fresh {
            self.note(action, objects(job, more), "").await?;
        }
        Ok(())
    }

    /// Nothing of the subject is written from its answer on.
    async fn freeze(&self, subject: SubjectId) -> Result<(), VaultError> {
        let (done, wait) = oneshot::channel();
        self.writes.send(Write::Freeze(subject, done)).await.map_err(|_| VaultError::Gone)?;
        wait.await.map_err(|_| VaultError::Gone)?
    }

    async fn inventory(&self, job: &Job) -> Result<Inventory, VaultError> {
        let (db, tenant, subject) = (self.db(), self.tenant().as_str(), job.subject());
        let mut found = Inventory::default();
        for table in schema::tables(Database::Store).filter(|t| t.erase_subject(db.dialect()).is_some()) {
            let sql = format!("SELECT count(*) FROM {} WHERE tenant = $1 AND subject = $2", table.name);
            let n = db.number(&sql, values![tenant, subject]).await?;
            found.rows.insert(table.name.into(), n.cast_unsigned());
        }
        found.files = found.rows.get("recordings").copied().unwrap_or(0);
        found.keys = self.keys().of_subject(subject).await?.iter().map(KeyId::to_string).collect();
        found.calls = self.calls_of(subject).await?;
        // What went out before an erasure that is done was erased by that one.
        let jobs = register::jobs_of(db, self.tenant(), subject).await?;
        let since = jobs.iter().filter(|j| j.is_done()).filter_map(|j| j.reached(Stage::Frozen)).max();
        let sent = register::transfers(db, self.tenant(), subject).await?;
        let sent = sent.into_iter().filter(|t| t.may_hold_data() && since.is_none_or(|since| t.at >= since));
        found.destinations = sent.map(|t| t.destination).collect::<BTreeSet<_>>();
        Ok(found)
    }

    /// Every call there is anything of.
    pub(super) async fn calls_of(&self, subject: SubjectId) -> Result<Vec<CallId>, VaultError> {
        let sql = "SELECT id AS call FROM calls WHERE tenant = $1 AND subject = $2 \
                   UNION SELECT call FROM lines WHERE tenant = $1 AND subject = $2 \
                   UNION SELECT call FROM recordings WHERE tenant = $1 AND subject = $2 \
                   UNION SELECT call FROM consent_events WHERE tenant = $1 AND subject = $2";
        let rows = self.db().all(sql, values![self.tenant().as_str(), subject]).await?;
        Ok(rows.iter().map(|row| row.call("call")).collect::<Result<_, _>>()?)
    }

    async fn delete_rows(&self, job: &Job) -> Result<(), VaultError> {
        let (db, tenant, subject) = (self.db(), self.tenant(), job.subject());
        // Their keys are gone: a call that goes on has nothing more to lose, and must stop asking and telling.
        let going = self.live().calls_of(subject);
        for call in &going {
            self.live().tell(*call, &Request::Erase).await;
        }
        let all: BTreeSet<CallId> = self.calls_of(subject).await?.into_iter().chain(going).collect();
        for call in all {
            // An altered history is evidence too: it stays as it is, and is in the way of nothing. What was kept goes
            // below, whichever scope it was under.
            self.end(call, Request::Erase).await?;
            rows::end_use(db, tenant, call, self.now()).await?;
        }
        // The rows of recordings say where their files are: they go with them.
        for table in schema::tables(Database::Store).filter(|t| t.name != "recordings") {
            if let Some(sql) = table.erase_subject(db.dialect()) {
                db.run(&sql, values![tenant.as_str(), subject]).await?;
            }
        }
        Ok(())
    }

    async fn delete_files(&self, subject: SubjectId) -> Result<(), VaultError> {
        let which = [self.tenant().as_str().into(), subject.into()];
        let sql = "SELECT file FROM recordings WHERE tenant = $1 AND subject = $2";
        for row in self.db().all(sql, &which).await? {
            self.inner.files.remove(&row.text("file")?).await?;
        }
        self.db().run("DELETE FROM recordings WHERE tenant = $1 AND subject = $2", &which).await?;
        Ok(())
    }

    async fn send_order(
        &self,
        job: &Job,
        destination: &str,
        orders: &dyn Orders,
    ) -> Result<Option<Outcome>, VaultError> {
        let told = Object::named("destination", destination);
        let to = || destination.to_owned();
        match orders.order(job, destination).await {
            Answered::Receipt(document) => {
                let hash: [u8; 32] = Sha256::digest(&document).into();
                let receipt = Receipt::machine(hash, self.now());
                let row = register::ReceiptRow {
                    job: job.id(),
                    destination,
                    hash: &receipt.hash,
                    taken_by: None,
                    at: self.now(),
                    document: Some(&document),
                };
                register::put_receipt(self.db(), &row).await?;
                self.note(Action::ErasureReceipt, objects(job, told), "").await?;
                Ok(Some(Outcome::Receipt { destination: to(), receipt }))
            }
            Answered::Taken => {
                self.note(Action::ErasureSent, objects(job, told), "").await?;
                Ok(Some(Outcome::Sent { destination: to() }))
            }
            Answered::Refused(code) => {
                self.note(Action::ErasureRefused, objects(job, told), &format!("status {code}")).await?;
                Ok(Some(Outcome::Refused { destination: to(), code }))
            }
            Answered::Unreachable => Ok(None),
        }
    }

    /// The receipt of a system that cannot answer by itself, taken by an officer.
    ///
    /// # Errors
    /// Where it cannot be logged or written, or that system was not told.
    pub async fn take_receipt(
        &self,
        id: JobId,
        destination: &str,
        receipt: Receipt,
        entry: Entry,
    ) -> Result<(), VaultError> {
        let _alone = self.inner.holds.lock().await;
        let mut job = self.erasure(id).await?;
        let taken_by = match &receipt.by {
            ::privacy::erasure::ReceiptBy::Hand(person) => Some(person.to_string()),
            ::privacy::erasure::ReceiptBy::Machine => None,
        };
        let (hash, at) = (receipt.hash.clone(), receipt.at);
        job.done(self.now(), Outcome::Receipt { destination: destination.into(), receipt })
            .map_err(EraseError::from)?;
        self.audit().log(entry).await?;
        let row = register::ReceiptRow {
            job: id,
            destination,
            hash: &hash,
            taken_by: taken_by.as_deref(),
            at,
            document: None,
        };
        register::put_receipt(self.db(), &row).await?;
        Ok(register::put_job(self.db(), &job).await?)
    }

    /// Signs what was done, and writes it where it stays: into the database, and into a file to be handed out.
    async fn prove(&self, job: &Job) -> Result<Outcome, VaultError> {
        let document = match register::proof(self.db(), job.id()).await? {
            // Signed before we died: that one counts, others may have seen it.
            Some(document) => document,
            None => {
                let name = objects(job, None).into_iter().next().ok_or(EraseError::NotLogged)?;
                let first = self.audit().first_of(&name).await?.ok_or(EraseError::NotLogged)?;
                self.note(Action::ErasureProven, objects(job, None), "").await?;
                let span = Span { first, last: self.audit().anchor().await? };
                let proof = self.claimed(job, span).await?;
                let signer = self.keys().signer()?;
                let document = proof.sign(&signer).and_then(|signed| signed.document()).map_err(EraseError::from)?;
                register::put_proof(self.db(), job.id(), &document).await?;
                document
            }
        };
        self.write_proof(job.id(), &document).await?;
        let hash = Digest(Sha256::digest(document.as_bytes()).into()).to_string();
        Ok(Outcome::Proven { hash })
    }

    async fn claimed(&self, job: &Job, audit: Span) -> Result<Proof, VaultError> {
        let at = |stage| job.reached(stage).unwrap_or(Time(0));
        let inventory = job.inventory();
        let mut deleted: Vec<Count> =
            inventory.rows.iter().map(|(kind, count)| Count { kind: kind.clone(), count: *count }).collect();
        deleted.push(Count { kind: "files".into(), count: inventory.files });
        let terms = self.settings().terms;
        let mut kept = vec![];
        for (table, why, until) in [
            ("consent_events", "evidence_of_consent", terms.consent.after(self.now())),
            ("transfers", "evidence_of_transfers", terms.transfer.after(self.now())),
            ("erasures", "evidence_of_erasure", terms.register.after(self.now())),
        ] {
            let sql = format!("SELECT count(*) FROM {table} WHERE tenant = $1 AND subject = $2");
            let n = self.db().number(&sql, values![self.tenant().as_str(), job.subject()]).await?;
            if n > 0 {
                kept.push(Kept { kind: table.into(), count: n.cast_unsigned(), why: why.into(), until });
            }
        }
        let receipt = |(destination, receipt): (&str, &Receipt)| {
            let hash = Digest::parse(&receipt.hash)?;
            Some(proof::Receipt { destination: destination.into(), at: receipt.at, hash })
        };
        Ok(Proof {
            version: Proof::VERSION,
            job: job.id().to_string(),
            tenant: job.tenant().clone(),
            subject: job.subject(),
            asked: at(Stage::Asked),
            frozen: at(Stage::Frozen),
            destroyed: at(Stage::KeysDestroyed),
            finished: self.now(),
            keys: inventory.keys.iter().filter_map(|key| KeyId::parse(key)).collect(),
            deleted,
            kept,
            receipts: job.receipts().filter_map(receipt).collect(),
            audit,
            policy: job.policy().to_owned(),
        })
    }

    /// Whole or not at all.
    async fn write_proof(&self, id: JobId, document: &str) -> Result<(), VaultError> {
        let (folder, document) = (self.settings().dir.join(PROOFS), document.to_owned());
        crate::store::db::private_folder(&folder)?;
        let written = aside(move || {
            let (path, half) = (folder.join(format!("{id}.json")), folder.join(format!("{id}.half")));
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
            file.write_all(document.as_bytes()).and_then(|()| file.sync_all())?;
            std::fs::rename(&half, &path)?;
            std::fs::File::open(&folder)?.sync_all()
        });
        Ok(written.await?)
    }
}

/// What the audit log names it by. The first is the erasure's own name.
fn objects(job: &Job, more: Option<Object>) -> Vec<Object> {
    let own = Object::named("job", &format!("e{}", job.id()));
    own.into_iter().chain([Object::subject(job.subject())]).chain(more).collect()
}

fn described(alarm: &Alarm) -> (&'static str, String) {
    match alarm {
        Alarm::Refused { destination, .. } => ("refused", destination.clone()),
        Alarm::NoReceipt { destination, .. } => ("no_receipt", destination.clone()),
        Alarm::Unreachable { destination, .. } => ("unreachable", destination.clone()),
        Alarm::Failing { after, .. } => ("failing", after.word().into()),
        Alarm::Near { .. } => ("near", String::new()),
        Alarm::Overdue { .. } => ("overdue", String::new()),
    }
}
