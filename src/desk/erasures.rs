//! Erasures: asked for, looked at, proven. The steps themselves are the vault's.

use ::privacy::chain::{Action as Logged, Object};
use ::privacy::erasure::{Alarm, AskedBy, Job, JobId, Receipt};
use ::privacy::roles::{Action, Actor, Why};

use super::{Desk, DeskError, Whom, named};
use crate::store::register;

impl Desk {
    /// Asks for an erasure of everything kept of somebody; one that is under way is the same one. What is still on
    /// its way out of their calls stays here.
    ///
    /// # Errors
    /// Where this role may not, or nobody can be told from `whom`.
    pub async fn erase(&self, who: &Actor, whom: &Whom, why: &Why) -> Result<Job, DeskError> {
        let asked_by = AskedBy::staff(who)?;
        let subject = self.whose(whom).await?;
        let _alone = self.hand.lock().await;
        for call in self.calls_with_consent(subject).await? {
            self.egress.stop(call);
        }
        let id = self.vault.ask_erasure(subject, asked_by, why.as_str()).await?;
        Ok(self.vault.erasure(id).await?)
    }

    /// Those that are not done, oldest first; of one subject all of them.
    ///
    /// # Errors
    /// Where this role may not look, or nobody can be told from `whom`.
    pub async fn erasures(&self, who: &Actor, whom: Option<&Whom>) -> Result<Vec<(Job, Vec<Alarm>)>, DeskError> {
        who.check(Action::SeeRegister)?;
        let (db, tenant) = (self.vault.db(), self.vault.tenant());
        let jobs = match whom {
            None => register::open_jobs(db, tenant).await?,
            Some(whom) => register::jobs_of(db, tenant, self.whose(whom).await?).await?,
        };
        Ok(jobs.into_iter().map(|job| self.with_alarms(job)).collect())
    }

    /// # Errors
    /// Where this role may not look, or there is none.
    pub async fn erasure(&self, who: &Actor, id: JobId) -> Result<(Job, Vec<Alarm>), DeskError> {
        who.check(Action::SeeRegister)?;
        Ok(self.with_alarms(self.job(id).await?))
    }

    /// The signed proof, once it is made.
    ///
    /// # Errors
    /// Where this role may not look, there is no such erasure, or it is not proven yet.
    pub async fn proof(&self, who: &Actor, id: JobId) -> Result<String, DeskError> {
        who.check(Action::SeeRegister)?;
        self.job(id).await?;
        self.vault.proof(id).await?.ok_or(DeskError::Unknown("proof yet: the erasure is not finished"))
    }

    /// The receipt of a connected system that cannot answer by itself, by the SHA-256 of what it wrote.
    ///
    /// # Errors
    /// Where this role may not, or that system was not told.
    pub async fn receipt(
        &self,
        who: &Actor,
        id: JobId,
        (destination, hash): (&str, [u8; 32]),
        why: &Why,
    ) -> Result<Job, DeskError> {
        let receipt = Receipt::by_hand(hash, self.now(), who)?;
        let _alone = self.hand.lock().await;
        self.job(id).await?;
        let objects = named("job", format!("e{id}")).into_iter().chain(Object::named("destination", destination));
        let entry = self.entry(who, Logged::ErasureReceipt, objects.collect(), why.as_str());
        self.vault.take_receipt(id, destination, receipt, entry).await?;
        self.job(id).await
    }

    async fn job(&self, id: JobId) -> Result<Job, DeskError> {
        let job = register::job(self.vault.db(), self.vault.tenant(), id).await?;
        job.ok_or(DeskError::Unknown("erasure; GET .../erasures lists them"))
    }

    fn with_alarms(&self, job: Job) -> (Job, Vec<Alarm>) {
        let alarms = job.alarms(self.now());
        (job, alarms)
    }
}
