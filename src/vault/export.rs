//! Everything that is held on a subject, as one document: JSON for people and systems, or vCons. The audit log
//! has it before anything is opened. It sends nothing.

use ::privacy::chain::{Access, Action, Object};
use ::privacy::consent::ConsentEvent;
use ::privacy::retention::{Kind, NotRead, Purpose, Standing, may_read};
use ::privacy::schema::{self, About, Column, Database, Type};
use ::privacy::seal::SealError;
use ::privacy::{CallId, SubjectId};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use super::read::Reader;
use super::{Vault, VaultError};
use crate::clock;
use crate::hex::hex;
use crate::store::db::{Columns as _, StoreError};
use crate::store::rows::{self, Recording};
use crate::store::{CallRecord, Row};
use crate::values;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Every exported column, with content opened.
    Json,
    /// A list of vCons, one a call (draft-ietf-vcon-vcon-core-04).
    Vcon,
}

impl Format {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "vcon" => Some(Self::Vcon),
            _ => None,
        }
    }
}

/// A call with everything that it left, opened.
struct Whole {
    call: CallId,
    record: Option<CallRecord>,
    rows: Vec<Row>,
    sounds: Vec<(Recording, Zeroizing<Vec<u8>>)>,
    consent: Vec<ConsentEvent>,
}

impl Vault {
    /// Everything of a subject for the subject, or as a proof for somebody else. Whoever asks has two people's
    /// approval; what leaves the house needs it again, as a ticket.
    ///
    /// # Errors
    /// Where it may not be read now, or it cannot be logged.
    pub async fn export(&self, subject: SubjectId, reader: &Reader, format: Format) -> Result<String, VaultError> {
        let action = match reader.purpose {
            Purpose::Subject => Action::ContentExported,
            _ => Action::ContentDisclosed,
        };
        self.may_hand_over(subject, reader.purpose).await?;
        let entry = reader.entry(self, action, vec![Object::subject(subject)], &reader.why);
        let access = self.audit().log(entry).await?.access.ok_or(SealError::NotLogged)?;
        let mut calls = vec![];
        for call in self.calls_of(subject).await? {
            calls.push(self.whole(&access, call).await?);
        }
        let document = match format {
            Format::Vcon => calls.iter().map(|call| vcon(self, call)).collect::<Result<Json, _>>()?,
            Format::Json => self.all_of(subject, &calls).await?,
        };
        Ok(serde_json::to_string_pretty(&document).map_err(StoreError::from)?)
    }

    /// As JSON.
    ///
    /// # Errors
    /// As above.
    pub async fn export_json(&self, subject: SubjectId, reader: &Reader) -> Result<String, VaultError> {
        self.export(subject, reader, Format::Json).await
    }

    /// As vCons.
    ///
    /// # Errors
    /// As above.
    pub async fn export_vcon(&self, subject: SubjectId, reader: &Reader) -> Result<String, VaultError> {
        self.export(subject, reader, Format::Vcon).await
    }

    async fn may_hand_over(&self, subject: SubjectId, purpose: Purpose) -> Result<(), VaultError> {
        let standing: Standing = self.standing(subject, None).await?;
        let refused: Option<NotRead> = may_read(Kind::Content, purpose, standing, &Default::default()).err();
        refused.map_or(Ok(()), |refused| Err(refused.into()))
    }

    async fn whole(&self, access: &Access, call: CallId) -> Result<Whole, VaultError> {
        let (db, tenant) = (self.db(), self.tenant());
        let rows = self.opened(access, rows::lines(db, tenant, call).await?).await?;
        let mut sounds = vec![];
        for recording in rows::recordings(db, tenant, call).await? {
            let sound = self.sound(access, &recording).await?;
            sounds.push((recording, sound));
        }
        let consent = rows::events(db, tenant, call).await?;
        Ok(Whole { call, record: self.call(call).await?, rows, sounds, consent })
    }

    async fn all_of(&self, subject: SubjectId, calls: &[Whole]) -> Result<Json, VaultError> {
        let mut all = Map::new();
        all.insert("subject".into(), json!(subject));
        all.insert("tenant".into(), json!(self.tenant()));
        all.insert("made".into(), clock::rfc3339(self.now().0).into());
        all.insert("policy".into(), self.settings().policy.clone().into());
        let theirs = schema::tables(Database::Store).filter(|t| t.about == About::Subjects);
        for table in theirs.filter(|t| t.exported().next().is_some()) {
            let columns: Vec<&Column> = table.exported().filter(|c| !c.is_sealed()).collect();
            let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
            let sql = format!("SELECT {} FROM {} WHERE tenant = $1 AND subject = $2", names.join(", "), table.name);
            let rows = self.db().all(&sql, values![self.tenant().as_str(), subject]).await?;
            // The lines come opened, with their calls.
            if table.name != "lines" {
                let rows: Result<Vec<Json>, StoreError> = rows.iter().map(|row| object(row, &columns)).collect();
                all.insert(table.name.into(), rows?.into());
            }
        }
        let content = calls.iter().map(|whole| {
            let sound = |(r, sound): &(Recording, Zeroizing<Vec<u8>>)| {
                json!({ "leg": r.leg, "mediatype": "audio/ogg", "base64url": base64url(sound) })
            };
            let sounds: Vec<Json> = whole.sounds.iter().map(sound).collect();
            json!({ "call": whole.call, "lines": whole.rows, "sound": sounds })
        });
        all.insert("content".into(), content.collect::<Vec<_>>().into());
        Ok(all.into())
    }
}

/// A row by its declaration: times as people read them, names as they are shown elsewhere.
fn object(row: &AnyRow, columns: &[&Column]) -> Result<Json, StoreError> {
    let mut object = Map::new();
    for column in columns {
        let name = column.name.strip_suffix("_unix_ms");
        let value: Json = match (column.ty, name) {
            (Type::Int, Some(_)) => row.int_or_none(column.name)?.map(clock::rfc3339).into(),
            (Type::Int, None) if ["id", "call", "approval", "erasure"].contains(&column.name) => {
                row.int_or_none(column.name)?.map(|n| format!("{:016x}", n.cast_unsigned())).into()
            }
            (Type::Int, None) => row.int_or_none(column.name)?.into(),
            (Type::Text, _) => row.text_or_none(column.name)?.into(),
            (Type::Bytes, _) => {
                let bytes = row.bytes_or_none(column.name)?;
                bytes.map(|b| hex(&b)).into()
            }
        };
        object.insert(name.unwrap_or(column.name).into(), value);
    }
    Ok(object.into())
}

fn vcon(vault: &Vault, whole: &Whole) -> Result<Json, StoreError> {
    let started = whole.record.as_ref().map(|record| record.started_unix_ms);
    let started = started.or(whole.consent.first().map(|event| event.at.0)).unwrap_or(vault.now().0);
    let agent = whole.record.as_ref().map_or("agent", |record| record.agent.as_str());
    let party = |speaker: &str| i32::from(speaker == "agent");
    let mut dialog = vec![];
    for row in &whole.rows {
        if let Row::Line { at_ms, speaker, text } = row {
            dialog.push(json!({
                "type": "text",
                "start": clock::rfc3339(started + i64::from(*at_ms)),
                "parties": [party(speaker)],
                "mediatype": "text/plain",
                "body": text,
                "encoding": "none",
            }));
        }
    }
    for (recording, sound) in &whole.sounds {
        dialog.push(json!({
            "type": "recording",
            "start": clock::rfc3339(recording.made.0),
            "duration": recording.duration_ms as f64 / 1000.0,
            "parties": [party(&recording.leg)],
            "mediatype": "audio/ogg",
            "body": base64url(sound),
            "encoding": "base64url",
        }));
    }
    let consent = serde_json::to_string(&whole.consent)?;
    Ok(json!({
        "vcon": "0.5.0",
        "uuid": uuid(whole.call),
        "created_at": clock::rfc3339(vault.now().0),
        "parties": [{ "role": "caller" }, { "role": "agent", "name": agent }],
        "dialog": dialog,
        "attachments": [{
            "purpose": "consent",
            "start": clock::rfc3339(started),
            "party": 0,
            "mediatype": "application/json",
            "body": consent,
            "encoding": "json",
        }],
    }))
}

/// RFC 9562, 5.8: of our own making, the same for the same call.
fn uuid(call: CallId) -> String {
    let hash = Sha256::new().chain_update(b"dauys vcon 1").chain_update(call.0.to_be_bytes()).finalize();
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// RFC 4648, 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let n = three.iter().enumerate().fold(0u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        let letters = (0..=three.len()).map(|i| LETTERS[(n >> (18 - 6 * i)) as usize & 63]);
        text.extend(letters.map(char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_rfc_4648s() {
        for (plain, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64url(plain.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff, 0xbf]), "-_-_");
    }

    #[test]
    fn a_uuid_is_of_version_8_and_always_the_same() {
        let name = uuid(CallId(7));
        assert_eq!(name, uuid(CallId(7)));
        assert_ne!(name, uuid(CallId(8)));
        assert_eq!((name.len(), &name[14..15]), (36, "8"));
        assert!(matches!(&name[19..20], "8" | "9" | "a" | "b"));
    }
}
