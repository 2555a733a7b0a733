//! Rows of calls and of what they left, written and read. It seals nothing and opens nothing.

use ::privacy::consent::{ConsentEvent, Which};
use ::privacy::keys::KeyId;
use ::privacy::seal::{Kind, Sealed};
use ::privacy::{EventId, Scope, SubjectId, TenantId, Time};
use serde_json::{Value as Json, json};
use sqlx::any::AnyRow;

use crate::call::CallId;
use crate::hex::hex;
use crate::store::db::{Columns as _, Db, StoreError, Value};
use crate::store::{CallRecord, Direction};
use crate::values;

/// A line as it is stored: sealed, or a gap.
pub struct StoredLine {
    pub subject: SubjectId,
    pub at_ms: u32,
    pub made: Time,
    pub what: Stored,
}

pub enum Stored {
    Sealed(Sealed),
    Gap { lost: u32 },
}

/// One leg's sound: a file of sealed stretches.
#[derive(Debug, Clone)]
pub struct Recording {
    pub call: CallId,
    pub subject: SubjectId,
    /// `caller` or `agent`.
    pub leg: String,
    pub scope: Scope,
    pub event: EventId,
    pub made: Time,
    pub duration_ms: i64,
    pub file: String,
    pub bytes: i64,
    pub file_hash: [u8; 32],
    pub key: KeyId,
}

fn json_of(value: &impl serde::Serialize) -> Result<String, StoreError> {
    Ok(serde_json::to_string(value)?)
}

/// # Errors
/// Where the database says no.
pub async fn put_call(db: &Db, tenant: &TenantId, r: &CallRecord) -> Result<(), StoreError> {
    let columns: [(&str, Value<'_>); 16] = [
        ("id", r.id.into()),
        ("tenant", tenant.as_str().into()),
        ("subject", r.subject.into()),
        ("agent", r.agent.as_str().into()),
        ("direction", r.direction.word().into()),
        ("trunk", r.trunk.as_deref().into()),
        ("started_unix_ms", r.started_unix_ms.into()),
        ("ended_unix_ms", r.ended_unix_ms.into()),
        ("codec", r.codec.as_str().into()),
        ("security", r.security.as_str().into()),
        ("state", r.state.as_str().into()),
        ("consent", r.consent.as_str().into()),
        ("media", json_of(&r.media)?.into()),
        ("turns", json_of(&r.turns)?.into()),
        ("answered_by", json_of(&r.answered_by)?.into()),
        ("outcomes", json_of(&r.outcomes)?.into()),
    ];
    db.put("calls", &columns).await
}

/// Ended ones, newest first; those in progress are the registry's.
///
/// # Errors
/// Where the database says no.
pub async fn calls(db: &Db, tenant: &TenantId, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
    let sql = "SELECT * FROM calls WHERE tenant = $1 AND state NOT IN ('active', 'calling') \
               ORDER BY started_unix_ms DESC LIMIT $2";
    db.all(sql, values![tenant.as_str(), limit]).await?.iter().map(call_of).collect()
}

/// # Errors
/// Where the database says no.
pub async fn call(db: &Db, tenant: &TenantId, id: CallId) -> Result<Option<CallRecord>, StoreError> {
    let row = db.first("SELECT * FROM calls WHERE id = $1 AND tenant = $2", values![id, tenant.as_str()]).await?;
    row.as_ref().map(call_of).transpose()
}

pub fn call_of(row: &AnyRow) -> Result<CallRecord, StoreError> {
    Ok(CallRecord {
        id: row.call("id")?,
        agent: row.text("agent")?,
        direction: Direction::parse(&row.text("direction")?),
        trunk: row.text_or_none("trunk")?,
        subject: row.subject_or_none()?,
        started_unix_ms: row.int("started_unix_ms")?,
        ended_unix_ms: row.int_or_none("ended_unix_ms")?,
        codec: row.text("codec")?,
        security: row.text("security")?,
        state: row.text("state")?,
        consent: row.text("consent")?,
        media: serde_json::from_str(&row.text("media")?)?,
        turns: serde_json::from_str(&row.text("turns")?)?,
        answered_by: serde_json::from_str(&row.text("answered_by")?)?,
        outcomes: serde_json::from_str(&row.text("outcomes")?)?,
    })
}

/// What every row that rests on a consent says of it.
#[derive(Debug, Clone)]
pub struct Rests {
    pub call: CallId,
    pub subject: SubjectId,
    pub scope: Scope,
    pub event: EventId,
}

/// # Errors
/// Where the database says no.
pub async fn put_line(
    db: &Db,
    tenant: &TenantId,
    on: &Rests,
    (seq, made, at_ms): (u64, Time, u32),
    line: &Stored,
) -> Result<(), StoreError> {
    let (kind, lost, sealed) = match line {
        Stored::Sealed(sealed) => (sealed.kind, 0, Some(sealed)),
        Stored::Gap { lost } => (Kind::Line, *lost, None),
    };
    let columns: [(&str, Value<'_>); 13] = [
        ("call", on.call.into()),
        ("tenant", tenant.as_str().into()),
        ("subject", on.subject.into()),
        ("scope", on.scope.to_string().into()),
        ("kind", kind.as_str().into()),
        ("seq", seq.into()),
        ("event", on.event.into()),
        ("made_unix_ms", made.into()),
        ("at_ms", at_ms.into()),
        ("lost", lost.into()),
        ("key", sealed.map(|s| s.key.to_string()).into()),
        ("nonce", sealed.map(|s| s.nonce.as_slice()).into()),
        ("body", sealed.map(|s| s.body.as_slice()).into()),
    ];
    db.put("lines", &columns).await
}

/// In the order of the call.
///
/// # Errors
/// Where the database says no.
pub async fn lines(db: &Db, tenant: &TenantId, call: CallId) -> Result<Vec<StoredLine>, StoreError> {
    let sql = "SELECT * FROM lines WHERE call = $1 AND tenant = $2 ORDER BY at_ms, seq";
    db.all(sql, values![call, tenant.as_str()]).await?.iter().map(line_of).collect()
}

fn line_of(row: &AnyRow) -> Result<StoredLine, StoreError> {
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let what = match row.bytes_or_none("body")? {
        None => Stored::Gap { lost: small(row.int("lost")?) },
        Some(body) => Stored::Sealed(Sealed {
            call: row.call("call")?,
            seq: row.int("seq")?.cast_unsigned(),
            scope: row.word("scope", |w| w.parse().ok())?,
            kind: row.word("kind", Kind::parse)?,
            event: EventId(row.array("event")?),
            key: row.word("key", KeyId::parse)?,
            nonce: row.array("nonce")?,
            body,
        }),
    };
    let (at_ms, made) = (small(row.int("at_ms")?), Time(row.int("made_unix_ms")?));
    Ok(StoredLine { subject: row.subject()?, at_ms, made, what })
}

/// # Errors
/// Where the database says no.
pub async fn put_recording(db: &Db, tenant: &TenantId, r: &Recording) -> Result<(), StoreError> {
    let columns: [(&str, Value<'_>); 13] = [
        ("call", r.call.into()),
        ("tenant", tenant.as_str().into()),
        ("subject", r.subject.into()),
        ("leg", r.leg.as_str().into()),
        ("scope", r.scope.to_string().into()),
        ("event", r.event.into()),
        ("made_unix_ms", r.made.into()),
        ("duration_ms", r.duration_ms.into()),
        ("codec", "opus".into()),
        ("file", r.file.as_str().into()),
        ("bytes", r.bytes.into()),
        ("file_hash", r.file_hash.into()),
        ("key", r.key.to_string().into()),
    ];
    db.put("recordings", &columns).await
}

pub fn recording_of(row: &AnyRow) -> Result<Recording, StoreError> {
    Ok(Recording {
        call: row.call("call")?,
        subject: row.subject()?,
        leg: row.text("leg")?,
        scope: row.word("scope", |w| w.parse().ok())?,
        event: EventId(row.array("event")?),
        made: Time(row.int("made_unix_ms")?),
        duration_ms: row.int("duration_ms")?,
        file: row.text("file")?,
        bytes: row.int("bytes")?,
        file_hash: row.array("file_hash")?,
        key: row.word("key", KeyId::parse)?,
    })
}

/// # Errors
/// Where the database says no.
pub async fn recordings(db: &Db, tenant: &TenantId, call: CallId) -> Result<Vec<Recording>, StoreError> {
    let sql = "SELECT * FROM recordings WHERE call = $1 AND tenant = $2 ORDER BY leg";
    db.all(sql, values![call, tenant.as_str()]).await?.iter().map(recording_of).collect()
}

/// Writes an event as it is; one that is there already stays.
///
/// # Errors
/// Where the database says no.
pub async fn put_event(db: &Db, tenant: &TenantId, e: &ConsentEvent) -> Result<(), StoreError> {
    let (what, how) = e.state.words();
    let scopes = match &e.scopes {
        Which::All => "\"all\"".into(),
        Which::Only(scopes) => json_of(scopes)?,
    };
    let evidence = e.evidence.as_ref().map(json_of).transpose()?;
    let columns: [(&str, Value<'_>); 15] = [
        ("id", e.id.into()),
        ("tenant", tenant.as_str().into()),
        ("call", e.call.into()),
        ("subject", e.subject.into()),
        ("seq", e.seq.into()),
        ("scopes", scopes.into()),
        ("what", what.into()),
        ("how", how.into()),
        ("policy", e.policy.as_str().into()),
        ("text_hash", e.text.0.into()),
        ("language", e.language.as_str().into()),
        ("prompt_hash", e.prompt.as_ref().map(|p| p.0.as_slice()).into()),
        ("channel", e.channel.word().into()),
        ("evidence", evidence.into()),
        ("at_unix_ms", e.at.into()),
    ];
    db.put("consent_events", &columns).await
}

/// Of one call, in their order. They are checked: an altered one is an error.
///
/// # Errors
/// Where the database says no, or an event is not what was written.
pub async fn events(db: &Db, tenant: &TenantId, call: CallId) -> Result<Vec<ConsentEvent>, StoreError> {
    let sql = "SELECT * FROM consent_events WHERE call = $1 AND tenant = $2 ORDER BY seq";
    db.all(sql, values![call, tenant.as_str()]).await?.iter().map(event_of).collect()
}

pub fn event_of(row: &AnyRow) -> Result<ConsentEvent, StoreError> {
    let parsed = |text: Option<String>| text.map(|t| serde_json::from_str::<Json>(&t)).transpose();
    let json = json!({
        "id": hex(&row.bytes("id")?),
        "call": row.call("call")?.to_string(),
        "subject": row.subject()?.to_string(),
        "seq": row.int("seq")?,
        "scopes": serde_json::from_str::<Json>(&row.text("scopes")?)?,
        "what": row.text("what")?,
        "how": row.text_or_none("how")?,
        "policy": row.text("policy")?,
        "text": hex(&row.bytes("text_hash")?),
        "language": row.text("language")?,
        "prompt": row.bytes_or_none("prompt_hash")?.map(|p| hex(&p)),
        "channel": row.text("channel")?,
        "evidence": parsed(row.text_or_none("evidence")?)?,
        "at": row.int("at_unix_ms")?,
    });
    Ok(serde_json::from_value(json)?)
}

/// Whether this event allows to keep something: it is written, and it granted.
///
/// # Errors
/// Where the database says no.
pub async fn is_granting(db: &Db, tenant: &TenantId, event: EventId) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM consent_events WHERE id = $1 AND tenant = $2 AND what = 'granted'";
    Ok(db.number(sql, values![event, tenant.as_str()]).await? > 0)
}

/// The use of these events has ended: from here on they are evidence only.
///
/// # Errors
/// Where the database says no.
pub async fn end_use(db: &Db, tenant: &TenantId, call: CallId, at: Time) -> Result<(), StoreError> {
    let sql = "UPDATE consent_events SET use_ended_unix_ms = $1 \
               WHERE call = $2 AND tenant = $3 AND use_ended_unix_ms IS NULL";
    db.run(sql, values![at, call, tenant.as_str()]).await.map(drop)
}

/// Calls that were going on when the process died.
///
/// # Errors
/// Where the database says no.
pub async fn lose_calls(db: &Db, tenant: &TenantId) -> Result<u64, StoreError> {
    let sql = "UPDATE calls SET state = 'lost' WHERE tenant = $1 AND state IN ('active', 'calling')";
    db.run(sql, values![tenant.as_str()]).await
}

/// Calls and scopes under which something is kept.
///
/// # Errors
/// Where the database says no.
pub async fn kept(db: &Db, tenant: &TenantId) -> Result<Vec<(CallId, Scope)>, StoreError> {
    let sql =
        "SELECT call, scope FROM lines WHERE tenant = $1 UNION SELECT call, scope FROM recordings WHERE tenant = $1";
    let row = |row: &AnyRow| Ok((row.call("call")?, row.word("scope", |w| w.parse().ok())?));
    db.all(sql, values![tenant.as_str()]).await?.iter().map(row).collect()
}
