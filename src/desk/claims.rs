//! What people claim: taken down, taken in hand, answered in time. What must happen at once happens with the claim.
//! It answers nothing itself.

use ::privacy::chain::{Action as Logged, Entry, Object};
use ::privacy::consent::Which;
use ::privacy::register::{Answer, AtOnce, Claim, ClaimId, Claimed, Standing, waiting};
use ::privacy::roles::{Action, Actor, Why};
use ::privacy::{CallId, SubjectId};

use super::{Desk, DeskError, Whom, named};
use crate::random;

impl Desk {
    /// Takes a claim down; its clock begins. A claim to be left alone blocks what it is about at once, a withdrawal
    /// takes every consent back at once.
    ///
    /// # Errors
    /// Where this role may not, or nobody can be told from `whom`.
    pub async fn claim(
        &self,
        who: &Actor,
        whom: &Whom,
        what: Claimed,
        call: Option<CallId>,
    ) -> Result<Claim, DeskError> {
        who.check(Action::TakeClaim)?;
        let subject = self.whose(whom).await?;
        if let Some(call) = call
            && self.vault.subject_of_call(call).await? != Some(subject)
        {
            return Err(DeskError::Unknown("call of this subject"));
        }
        let (id, tenant) = (ClaimId(random::bits() as u64), self.vault.tenant().clone());
        let now = self.now();
        let claim = Claim::new(id, (tenant, subject), (what, call), Some(who.by()), &self.clocks, now);
        self.vault.put_claim(&claim, self.about(who, Logged::ClaimOpened, &claim, what.word())).await?;
        match what.at_once() {
            AtOnce::Nothing => {}
            // The claim itself blocks, as long as it is open; this says since when.
            AtOnce::Block => {
                let entry = self.about(who, Logged::Blocked, &claim, what.word());
                self.vault.audit().log(entry).await?;
            }
            AtOnce::Withdraw => self.withdraw(subject, call).await?,
        }
        Ok(claim)
    }

    /// Those that wait, the most urgent first; with `closed` also those that were answered, behind them.
    ///
    /// # Errors
    /// Where this role may not look, or the store does not answer.
    pub async fn claims(&self, who: &Actor, closed: bool) -> Result<Vec<(Claim, Standing)>, DeskError> {
        who.check(Action::SeeRegister)?;
        let (all, now) = (self.vault.claims(None).await?, self.now());
        let mut listed: Vec<_> = waiting(&all, now).into_iter().map(|(claim, s)| (claim.clone(), s)).collect();
        if closed {
            let answered = all.into_iter().filter(|claim| claim.answered().is_some());
            listed.extend(answered.map(|claim| {
                let standing = claim.standing(now);
                (claim, standing)
            }));
        }
        Ok(listed)
    }

    /// # Errors
    /// Where this role may not look, or there is none.
    pub async fn one_claim(&self, who: &Actor, id: ClaimId) -> Result<(Claim, Standing), DeskError> {
        who.check(Action::SeeRegister)?;
        let claim = self.claim_of(id).await?;
        let standing = claim.standing(self.now());
        Ok((claim, standing))
    }

    /// # Errors
    /// Where it is answered, or this role may not.
    pub async fn take_claim(&self, who: &Actor, id: ClaimId) -> Result<Claim, DeskError> {
        let _alone = self.hand.lock().await;
        let mut claim = self.claim_of(id).await?;
        claim.take(who, self.now())?;
        self.vault.put_claim(&claim, self.about(who, Logged::ClaimChanged, &claim, "taken in hand")).await?;
        Ok(claim)
    }

    /// # Errors
    /// Where nobody has it in hand, it is answered, or this role may not.
    pub async fn answer_claim(&self, who: &Actor, id: ClaimId, answer: Answer, why: Why) -> Result<Claim, DeskError> {
        let _alone = self.hand.lock().await;
        let mut claim = self.claim_of(id).await?;
        let entry = self.about(who, Logged::ClaimAnswered, &claim, &format!("{}: {}", answer.word(), why.as_str()));
        if answer == Answer::TakenBack {
            who.check(Action::TakeClaim)?;
            claim.take_back(self.now())?;
        } else {
            claim.answer(who, answer, why, self.now())?;
        }
        self.vault.put_claim(&claim, entry).await?;
        Ok(claim)
    }

    /// Ends a block that was granted.
    ///
    /// # Errors
    /// Where it blocks nothing, is still open, or this role may not.
    pub async fn unblock(&self, who: &Actor, id: ClaimId, why: Why) -> Result<Claim, DeskError> {
        let _alone = self.hand.lock().await;
        let mut claim = self.claim_of(id).await?;
        let entry = self.about(who, Logged::Unblocked, &claim, why.as_str());
        claim.unblock(who, why, self.now())?;
        self.vault.put_claim(&claim, entry).await?;
        Ok(claim)
    }

    /// Every consent of the subject, or that of one call.
    async fn withdraw(&self, subject: SubjectId, call: Option<CallId>) -> Result<(), DeskError> {
        let calls = match call {
            Some(call) => [call].into(),
            None => self.calls_with_consent(subject).await?,
        };
        for call in calls {
            self.egress.stop(call);
            self.vault.withdraw(call, &Which::All).await?;
        }
        Ok(())
    }

    async fn claim_of(&self, id: ClaimId) -> Result<Claim, DeskError> {
        let claims = self.vault.claims(None).await?;
        claims.into_iter().find(|claim| claim.id == id).ok_or(DeskError::Unknown("claim; GET .../claims lists them"))
    }

    fn about(&self, who: &Actor, action: Logged, claim: &Claim, why: &str) -> Entry {
        let mut objects = named("claim", claim.id);
        objects.push(Object::subject(claim.subject));
        objects.extend(claim.call.map(Object::call));
        // The log takes 300 bytes; a reason has as many, and a word comes before it.
        let cut = (0..=why.len().min(300)).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        self.entry(who, action, objects, &why[..cut])
    }
}
