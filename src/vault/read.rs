//! Reading what is kept: first the rules, then the audit log, then the content. It opens nothing for anybody
//! whose reading is not on the disk.

use ::privacy::chain::{Access, Action, Entry, Object};
use ::privacy::consent::{ConsentEvent, Past};
use ::privacy::retention::{Kind, NotRead, Purpose, Standing, may_read};
use ::privacy::seal::{Sealed, open};
use ::privacy::{Scopes, SubjectId, register as claims};
use zeroize::Zeroizing;

use super::{BETWEEN, Vault, VaultError, erase};
use crate::call::CallId;
use crate::store::db::StoreError;
use crate::store::rows::{self, Recording, Stored};
use crate::store::{CallRecord, Row, register};

/// Who reads, as what, and why. All of it goes into the audit log.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The login of a member of staff, or a part of the software.
    pub actor: String,
    pub role: String,
    pub why: String,
    pub purpose: Purpose,
}

impl Reader {
    pub(super) fn entry(&self, vault: &Vault, action: Action, objects: Vec<Object>, why: &str) -> Entry {
        Entry { at: vault.now(), actor: self.actor.clone(), role: self.role.clone(), action, objects, why: why.into() }
    }
}

impl Vault {
    /// Ended calls, newest first, at most `limit`.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn calls(&self, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
        rows::calls(self.db(), self.tenant(), limit).await
    }

    /// # Errors
    /// Where the database says no.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        rows::call(self.db(), self.tenant(), id).await
    }

    /// Whose call it was. None: nothing is known of it, or it was nobody's.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn subject_of_call(&self, call: CallId) -> Result<Option<SubjectId>, StoreError> {
        if let Some(subject) = self.call(call).await?.and_then(|record| record.subject) {
            return Ok(Some(subject));
        }
        Ok(rows::events(self.db(), self.tenant(), call).await?.first().map(|event| event.subject))
    }

    /// How the records of a subject, or of one call of theirs, stand.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn standing(&self, subject: SubjectId, call: Option<CallId>) -> Result<Standing, StoreError> {
        let jobs = register::jobs_of(self.db(), self.tenant(), subject).await?;
        if jobs.iter().any(erase::is_frozen) {
            return Ok(Standing::Frozen);
        }
        let theirs = register::claims(self.db(), self.tenant(), Some(subject)).await?;
        if claims::is_blocked(&theirs, subject, call) {
            return Ok(Standing::Blocked);
        }
        Ok(Standing::InUse)
    }

    /// What a call's consent still allows.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn granted(&self, call: CallId) -> Result<Scopes, StoreError> {
        let events = rows::events(self.db(), self.tenant(), call).await?;
        Ok(Past::of(&events).map(|past| past.kept().clone()).unwrap_or_default())
    }

    /// The events of a call's consent. Once its use has ended they are evidence, and read for nothing else.
    ///
    /// # Errors
    /// Where they may not be read for this, or the database says no.
    pub async fn consent(&self, call: CallId, reader: &Reader) -> Result<Vec<ConsentEvent>, VaultError> {
        let events = rows::events(self.db(), self.tenant(), call).await?;
        let Some(subject) = events.first().map(|event| event.subject) else { return Ok(events) };
        let sql =
            "SELECT count(*) FROM consent_events WHERE call = $1 AND tenant = $2 AND use_ended_unix_ms IS NOT NULL";
        let over = self.db().number(sql, crate::values![call, self.tenant().as_str()]).await? > 0;
        let standing = match self.standing(subject, Some(call)).await? {
            Standing::InUse if over => Standing::StorageOnly,
            standing => standing,
        };
        self.allowed(Kind::Consent, reader, standing, (subject, call)).await?;
        Ok(events)
    }

    /// Refuses, and says so in the log.
    async fn allowed(
        &self,
        kind: Kind,
        reader: &Reader,
        standing: Standing,
        (_, call): (SubjectId, CallId),
    ) -> Result<(), VaultError> {
        let granted = self.granted(call).await?;
        let refused: NotRead = match may_read(kind, reader.purpose, standing, &granted) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let entry = reader.entry(self, Action::ReadRefused, vec![Object::call(call)], kind.word());
        self.audit().log(entry).await?;
        Err(refused.into())
    }

    /// The lines of a call, opened. Who reads them, and why, is on the disk before the first one is.
    ///
    /// # Errors
    /// Where they may not be read for this, the reading cannot be logged, or a row is not what was written.
    pub async fn transcript(&self, call: CallId, reader: &Reader) -> Result<Vec<Row>, VaultError> {
        let lines = rows::lines(self.db(), self.tenant(), call).await?;
        let Some(subject) = lines.first().map(|line| line.subject) else { return Ok(vec![]) };
        let standing = self.standing(subject, Some(call)).await?;
        self.allowed(Kind::Content, reader, standing, (subject, call)).await?;
        let entry = reader.entry(self, Action::ContentRead, vec![Object::call(call)], &reader.why);
        let logged = self.audit().log(entry).await?;
        let access = logged.access.ok_or(::privacy::seal::SealError::NotLogged)?;
        self.opened(&access, lines).await
    }

    pub(super) async fn opened(&self, access: &Access, lines: Vec<rows::StoredLine>) -> Result<Vec<Row>, VaultError> {
        let mut opened = Vec::with_capacity(lines.len());
        for line in lines {
            opened.push(match line.what {
                Stored::Gap { lost } => Row::Gap { at_ms: line.at_ms, lost },
                Stored::Sealed(sealed) => self.line(access, line.subject, line.at_ms, &sealed).await?,
            });
        }
        Ok(opened)
    }

    async fn line(&self, access: &Access, subject: SubjectId, at_ms: u32, row: &Sealed) -> Result<Row, VaultError> {
        let whose = (subject, row.call);
        let plain = self.keys().with_segment(whose, &row.scope, None, |key| open(access, key, row)).await??;
        let divided = plain.as_text().and_then(|text| text.split_once(char::from(BETWEEN)));
        let (speaker, text) = divided.ok_or_else(|| StoreError::Damaged("a line says nobody's words".into()))?;
        Ok(Row::Line { at_ms, speaker: speaker.into(), text: text.into() })
    }

    /// The sound of one leg, opened: one Ogg Opus stream.
    pub(super) async fn sound(&self, access: &Access, recording: &Recording) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (files, name) = (self.inner.files.clone(), recording.file.clone());
        let whole = (recording.bytes, recording.file_hash);
        let read = tokio::task::spawn_blocking(move || files.read(&name, whole)).await.map_err(|_| VaultError::Gone)?;
        let stretches = read?.ok_or(::privacy::seal::SealError::NotGenuine)?;
        // In one piece from the beginning: what grows leaves copies behind.
        let mut sound = Zeroizing::new(Vec::with_capacity(stretches.iter().map(|s| s.body.len()).sum()));
        for stretch in stretches {
            let row = Sealed {
                call: recording.call,
                seq: stretch.seq,
                scope: recording.scope.clone(),
                kind: ::privacy::seal::Kind::Sound,
                event: recording.event,
                key: recording.key,
                nonce: stretch.nonce,
                body: stretch.body,
            };
            let whose = (recording.subject, recording.call);
            let plain =
                self.keys().with_segment(whose, &recording.scope, None, |key| open(access, key, &row)).await??;
            sound.extend_from_slice(plain.as_bytes());
        }
        Ok(sound)
    }
}
