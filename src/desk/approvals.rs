//! Exports and disclosures: one person asks, another in another role approves, the first hands it over, once. What is
//! handed over goes by the broker to the destination that was approved, and nowhere else.

use ::privacy::chain::{Action as Logged, Entry, Object};
use ::privacy::egress::{Sort, Transfer};
use ::privacy::retention::Purpose;
use ::privacy::roles::{Actor, Approval, ApprovalId, Handing, Wanted, Why};
use ::privacy::{Scopes, SubjectId};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Desk, DeskError, Whom, named, reader};
use crate::random;

/// As what it is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    #[default]
    Json,
    /// The IETF's container of conversations.
    Vcon,
}

/// What became of it.
pub struct Handed {
    pub approval: Approval,
    /// The row of the transfer log, as it was when it left.
    pub transfer: Option<Transfer>,
}

impl Desk {
    /// # Errors
    /// Where this role may not, nobody can be told from `whom`, or the destination takes nothing of this.
    pub async fn ask_approval(
        &self,
        who: &Actor,
        what: Handing,
        whom: &Whom,
        destination: &str,
        why: Why,
    ) -> Result<Approval, DeskError> {
        let subject = self.whose(whom).await?;
        let id = ApprovalId(random::bits() as u64);
        let wanted = Wanted { tenant: self.vault.tenant(), what, subject, destination, why };
        let approval = Approval::ask(id, wanted, who, self.now())?;
        // Before a second person is troubled.
        self.egress.takes(destination, what, Sort::Content)?;
        let entry = self.of(who, Logged::ApprovalAsked, &approval, approval.why.as_str());
        self.vault.put_approval(&approval, entry).await?;
        Ok(approval)
    }

    /// Newest first.
    ///
    /// # Errors
    /// Where this role may not look, or the store does not answer.
    pub async fn approvals(&self, who: &Actor) -> Result<Vec<Approval>, DeskError> {
        who.check(::privacy::roles::Action::SeeRegister)?;
        let mut all = self.vault.approvals().await?;
        all.reverse();
        Ok(all)
    }

    /// # Errors
    /// Where it is the same person or role, a role that may not, or too late.
    pub async fn decide(&self, who: &Actor, id: ApprovalId, approved: bool) -> Result<Approval, DeskError> {
        let _alone = self.hand.lock().await;
        let mut approval = self.approval(id).await?;
        approval.decide(who, approved, self.now())?;
        let action = if approved { Logged::ApprovalGiven } else { Logged::ApprovalRefused };
        let entry = self.of(who, action, &approval, "");
        self.vault.put_approval(&approval, entry).await?;
        Ok(approval)
    }

    /// Uses the approval up and hands over what is held of its subject.
    ///
    /// # Errors
    /// Where two people have not agreed, it may not be read for this, or the destination does not take it.
    pub async fn hand_over(&self, who: &Actor, id: ApprovalId, form: Form) -> Result<Handed, DeskError> {
        let (approval, cleared) = {
            let _alone = self.hand.lock().await;
            let mut approval = self.approval(id).await?;
            let cleared = approval.clear(who, self.now())?;
            let action = match approval.what {
                Handing::Export => Logged::ContentExported,
                Handing::Disclosure => Logged::ContentDisclosed,
            };
            let entry = self.of(who, action, &approval, approval.why.as_str());
            self.vault.put_approval(&approval, entry).await?;
            (approval, cleared)
        };
        let purpose = match approval.what {
            Handing::Export => Purpose::Subject,
            Handing::Disclosure => Purpose::Proof,
        };
        let reader = reader(who, purpose, approval.why.as_str());
        let (document, media_type) = match form {
            Form::Json => (self.vault.export_json(approval.subject, &reader).await?, "application/json"),
            Form::Vcon => (self.vault.export_vcon(approval.subject, &reader).await?, "application/vcon+json"),
        };
        let document = Zeroizing::new(document.into_bytes());
        let granted = self.granted(approval.subject).await?;
        let now = self.now();
        let parcel = self.egress.hand_over(cleared, &granted, Sort::Content, document, media_type, now)?;
        let sent = parcel.send().await.and_then(crate::egress::Reply::accepted);
        sent.map_err(DeskError::NotSent)?;
        Ok(Handed { approval, transfer: parcel.transfer().cloned() })
    }

    /// What stands of a subject's consent, over all calls.
    async fn granted(&self, subject: SubjectId) -> Result<Scopes, DeskError> {
        let mut granted = Scopes::new();
        for call in self.calls_with_consent(subject).await? {
            granted.extend(self.vault.granted(call).await?);
        }
        Ok(granted)
    }

    async fn approval(&self, id: ApprovalId) -> Result<Approval, DeskError> {
        let all = self.vault.approvals().await?;
        let found = all.into_iter().find(|approval| approval.id == id);
        found.ok_or(DeskError::Unknown("approval; GET .../approvals lists them"))
    }

    fn of(&self, who: &Actor, action: Logged, approval: &Approval, why: &str) -> Entry {
        let mut objects = named("approval", approval.id);
        objects.push(Object::subject(approval.subject));
        objects.extend(Object::named("destination", &approval.destination));
        self.entry(who, action, objects, why)
    }
}
