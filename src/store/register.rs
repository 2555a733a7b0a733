//! Rows of the register: erasures, holds, claims, approvals and transfers, as the rules made them. It decides
//! nothing.

use ::privacy::consent::Used;
use ::privacy::egress::Transfer;
use ::privacy::erasure::{Job, JobId, Stage};
use ::privacy::policy::TextHash;
use ::privacy::register::Claim;
use ::privacy::retention::{Covers, Hold, HoldId, Release, What};
use ::privacy::roles::{Approval, ApprovalId, By, Decision, Handing, Person, ROLES, Role, Why};
use ::privacy::{SubjectId, TenantId, Time};
use serde_json::json;
use sqlx::any::AnyRow;

use crate::store::db::{Columns as _, Db, StoreError, Value};
use crate::values;

/// Erasures that are not done, oldest first.
///
/// # Errors
/// Where the database says no.
pub async fn open_jobs(db: &Db, tenant: &TenantId) -> Result<Vec<Job>, StoreError> {
    let sql = "SELECT job FROM erasures WHERE tenant = $1 AND finished_unix_ms IS NULL ORDER BY asked_unix_ms, id";
    db.all(sql, values![tenant.as_str()]).await?.iter().map(job_of).collect()
}

/// Their names: one whose row is damaged is among them.
///
/// # Errors
/// Where the database says no.
pub async fn open_job_ids(db: &Db, tenant: &TenantId) -> Result<Vec<JobId>, StoreError> {
    let sql = "SELECT id FROM erasures WHERE tenant = $1 AND finished_unix_ms IS NULL ORDER BY asked_unix_ms, id";
    let id = |row: &AnyRow| row.int("id").map(|id| JobId(id.cast_unsigned()));
    db.all(sql, values![tenant.as_str()]).await?.iter().map(id).collect()
}

/// # Errors
/// Where the database says no.
pub async fn job(db: &Db, tenant: &TenantId, id: JobId) -> Result<Option<Job>, StoreError> {
    let sql = "SELECT job FROM erasures WHERE id = $1 AND tenant = $2";
    db.first(sql, values![id.0, tenant.as_str()]).await?.as_ref().map(job_of).transpose()
}

/// # Errors
/// Where the database says no.
pub async fn jobs_of(db: &Db, tenant: &TenantId, subject: SubjectId) -> Result<Vec<Job>, StoreError> {
    let sql = "SELECT job FROM erasures WHERE tenant = $1 AND subject = $2 ORDER BY asked_unix_ms, id";
    db.all(sql, values![tenant.as_str(), subject]).await?.iter().map(job_of).collect()
}

fn job_of(row: &AnyRow) -> Result<Job, StoreError> {
    Ok(serde_json::from_str(&row.text("job")?)?)
}

/// The job as it is now, and when it came there. The proof stays as it is.
///
/// # Errors
/// Where the database says no.
pub async fn put_job(db: &Db, job: &Job) -> Result<(), StoreError> {
    let asked = job.reached(Stage::Asked).unwrap_or(Time(0));
    let columns: [(&str, Value<'_>); 8] = [
        ("id", job.id().0.into()),
        ("tenant", job.tenant().as_str().into()),
        ("subject", job.subject().into()),
        ("asked_unix_ms", asked.into()),
        ("due_unix_ms", job.deadline().into()),
        ("stage", job.stage().word().into()),
        ("job", serde_json::to_string(job)?.into()),
        ("finished_unix_ms", job.reached(Stage::Done).into()),
    ];
    for (stage, at) in job.history() {
        let step = [("erasure", job.id().0.into()), ("stage", stage.word().into()), ("at_unix_ms", (*at).into())];
        db.put("erasure_steps", &step).await?;
    }
    db.put("erasures", &columns).await
}

/// # Errors
/// Where the database says no.
pub async fn put_proof(db: &Db, id: JobId, document: &str) -> Result<(), StoreError> {
    db.run("UPDATE erasures SET proof = $1 WHERE id = $2", values![document, id.0]).await.map(drop)
}

/// # Errors
/// Where the database says no.
pub async fn proof(db: &Db, id: JobId) -> Result<Option<String>, StoreError> {
    let row = db.first("SELECT proof FROM erasures WHERE id = $1", values![id.0]).await?;
    row.map(|row| row.text_or_none("proof")).transpose().map(Option::flatten)
}

/// The answer of a connected system as it came.
pub struct ReceiptRow<'a> {
    pub job: JobId,
    pub destination: &'a str,
    pub hash: &'a str,
    /// The officer, where it came by hand.
    pub taken_by: Option<&'a str>,
    pub at: Time,
    pub document: Option<&'a [u8]>,
}

/// # Errors
/// Where the database says no.
pub async fn put_receipt(db: &Db, receipt: &ReceiptRow<'_>) -> Result<(), StoreError> {
    let columns: [(&str, Value<'_>); 6] = [
        ("erasure", receipt.job.0.into()),
        ("destination", receipt.destination.into()),
        ("hash", receipt.hash.into()),
        ("taken_by", receipt.taken_by.into()),
        ("at_unix_ms", receipt.at.into()),
        ("document", receipt.document.into()),
    ];
    db.put("receipts", &columns).await
}

fn person(text: &str) -> Option<Person> {
    Person::new(text).ok()
}

fn why(text: &str) -> Option<Why> {
    Why::new(text).ok()
}

fn role(word: &str) -> Option<Role> {
    ROLES.into_iter().find(|role| role.word() == word)
}

/// `dana as privacy_officer`, one column.
fn by(text: &str) -> Option<By> {
    let (who, what) = text.split_once(" as ")?;
    Some(By { person: person(who)?, role: role(what)? })
}

fn by_text(by: &By) -> String {
    format!("{} as {}", by.person, by.role)
}

/// # Errors
/// Where the database says no.
pub async fn put_hold(db: &Db, tenant: &TenantId, hold: &Hold) -> Result<(), StoreError> {
    let (covers, subject, call) = match hold.covers.what() {
        What::All => ("all", None, None),
        What::Subject(subject) => ("subject", Some(*subject), None),
        What::Call(call) => ("call", None, Some(*call)),
    };
    let released = hold.released.as_ref();
    let columns: [(&str, Value<'_>); 12] = [
        ("id", hold.id.0.into()),
        ("tenant", tenant.as_str().into()),
        ("covers", covers.into()),
        ("subject", subject.into()),
        ("call", call.into()),
        ("owner", hold.owner.as_str().into()),
        ("reason", hold.reason.as_str().into()),
        ("from_unix_ms", hold.from.into()),
        ("until_unix_ms", hold.until.into()),
        ("released_unix_ms", released.map(|r| r.at).into()),
        ("released_by", released.map(|r| by_text(&r.by)).into()),
        ("release_reason", released.map(|r| r.why.as_str()).into()),
    ];
    db.put("holds", &columns).await
}

/// All of the tenant.
///
/// # Errors
/// Where the database says no.
pub async fn holds(db: &Db, tenant: &TenantId) -> Result<Vec<Hold>, StoreError> {
    let rows =
        db.all("SELECT * FROM holds WHERE tenant = $1 ORDER BY from_unix_ms, id", values![tenant.as_str()]).await?;
    rows.iter().map(|row| hold_of(row, tenant)).collect()
}

fn hold_of(row: &AnyRow, tenant: &TenantId) -> Result<Hold, StoreError> {
    let covers = match row.text("covers")?.as_str() {
        "subject" => Covers::subject(tenant, row.subject()?),
        "call" => Covers::call(tenant, row.call("call")?),
        _ => Covers::all(tenant),
    };
    let released = match row.int_or_none("released_unix_ms")? {
        None => None,
        Some(at) => {
            Some(Release { by: row.word("released_by", by)?, at: Time(at), why: row.word("release_reason", why)? })
        }
    };
    Ok(Hold {
        id: HoldId(row.int("id")?.cast_unsigned()),
        covers,
        owner: row.word("owner", person)?,
        reason: row.word("reason", why)?,
        from: Time(row.int("from_unix_ms")?),
        until: Time(row.int("until_unix_ms")?),
        released,
    })
}

/// # Errors
/// Where the database says no.
pub async fn put_claim(db: &Db, claim: &Claim) -> Result<(), StoreError> {
    let json = serde_json::to_value(claim)?;
    let near = json.get("near").and_then(serde_json::Value::as_i64).unwrap_or(claim.until.0);
    let answered = claim.answered();
    let columns: [(&str, Value<'_>); 11] = [
        ("id", claim.id.0.into()),
        ("tenant", claim.tenant.as_str().into()),
        ("subject", claim.subject.into()),
        ("what", claim.what.word().into()),
        ("call", claim.call.into()),
        ("got_unix_ms", claim.got.into()),
        ("until_unix_ms", claim.until.into()),
        ("near_unix_ms", near.into()),
        ("answer", answered.map(|(answer, _)| answer.word()).into()),
        ("answered_unix_ms", answered.map(|(_, at)| at).into()),
        ("events", serde_json::to_string(claim.events())?.into()),
    ];
    db.put("claims", &columns).await
}

/// All of the tenant, or of one subject.
///
/// # Errors
/// Where the database says no.
pub async fn claims(db: &Db, tenant: &TenantId, subject: Option<SubjectId>) -> Result<Vec<Claim>, StoreError> {
    let rows = match subject {
        None => {
            db.all("SELECT * FROM claims WHERE tenant = $1 ORDER BY until_unix_ms, id", values![tenant.as_str()])
                .await?
        }
        Some(subject) => {
            let sql = "SELECT * FROM claims WHERE tenant = $1 AND subject = $2 ORDER BY until_unix_ms, id";
            db.all(sql, values![tenant.as_str(), subject]).await?
        }
    };
    rows.iter().map(claim_of).collect()
}

fn claim_of(row: &AnyRow) -> Result<Claim, StoreError> {
    let call = row.int_or_none("call")?.map(|n| crate::call::CallId(n.cast_unsigned()).to_string());
    let json = json!({
        "id": format!("{:016x}", row.int("id")?.cast_unsigned()),
        "tenant": row.text("tenant")?,
        "subject": row.subject()?.to_string(),
        "what": row.text("what")?,
        "call": call,
        "got": row.int("got_unix_ms")?,
        "until": row.int("until_unix_ms")?,
        "near": row.int("near_unix_ms")?,
        "events": serde_json::from_str::<serde_json::Value>(&row.text("events")?)?,
    });
    Ok(serde_json::from_value(json)?)
}

/// # Errors
/// Where the database says no.
pub async fn put_approval(db: &Db, a: &Approval) -> Result<(), StoreError> {
    let decision = a.decision.as_ref();
    let columns: [(&str, Value<'_>); 15] = [
        ("id", a.id.0.into()),
        ("tenant", a.tenant.as_str().into()),
        ("subject", a.subject.into()),
        ("what", a.what.word().into()),
        ("destination", a.destination.as_str().into()),
        ("asked_by", a.asked_by.person.as_str().into()),
        ("asked_role", a.asked_by.role.word().into()),
        ("asked_unix_ms", a.asked.into()),
        ("why", a.why.as_str().into()),
        ("decided_by", decision.map(|d| d.by.person.as_str()).into()),
        ("decided_role", decision.map(|d| d.by.role.word()).into()),
        ("decided_unix_ms", decision.map(|d| d.at).into()),
        ("approved", decision.map(|d| i64::from(d.approved)).into()),
        ("expires_unix_ms", a.expires.into()),
        ("used_unix_ms", a.used.into()),
    ];
    db.put("approvals", &columns).await
}

/// # Errors
/// Where the database says no.
pub async fn approvals(db: &Db, tenant: &TenantId) -> Result<Vec<Approval>, StoreError> {
    let sql = "SELECT * FROM approvals WHERE tenant = $1 ORDER BY asked_unix_ms, id";
    db.all(sql, values![tenant.as_str()]).await?.iter().map(approval_of).collect()
}

/// # Errors
/// Where the database says no.
pub async fn approval(db: &Db, tenant: &TenantId, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
    let sql = "SELECT * FROM approvals WHERE id = $1 AND tenant = $2";
    db.first(sql, values![id.0, tenant.as_str()]).await?.as_ref().map(approval_of).transpose()
}

fn approval_of(row: &AnyRow) -> Result<Approval, StoreError> {
    let decision = match row.int_or_none("decided_unix_ms")? {
        None => None,
        Some(at) => Some(Decision {
            by: By { person: row.word("decided_by", person)?, role: row.word("decided_role", role)? },
            at: Time(at),
            approved: row.int_or_none("approved")? == Some(1),
        }),
    };
    let handing = |word: &str| [Handing::Export, Handing::Disclosure].into_iter().find(|h| h.word() == word);
    Ok(Approval {
        id: ApprovalId(row.int("id")?.cast_unsigned()),
        tenant: row.word("tenant", |t| TenantId::new(t).ok())?,
        what: row.word("what", handing)?,
        subject: row.subject()?,
        destination: row.text("destination")?,
        asked_by: By { person: row.word("asked_by", person)?, role: row.word("asked_role", role)? },
        asked: Time(row.int("asked_unix_ms")?),
        why: row.word("why", why)?,
        decision,
        expires: Time(row.int("expires_unix_ms")?),
        used: row.int_or_none("used_unix_ms")?.map(Time),
    })
}

/// Before the first byte leaves, and again when it has ended.
///
/// # Errors
/// Where the database says no.
pub async fn put_transfer(db: &Db, t: &Transfer) -> Result<(), StoreError> {
    let columns: [(&str, Value<'_>); 18] = [
        ("id", t.id.0.into()),
        ("tenant", t.tenant.as_str().into()),
        ("call", t.call.into()),
        ("subject", t.subject.into()),
        ("destination", t.destination.as_str().into()),
        ("kind", t.kind.word().into()),
        ("country", t.country.to_string().into()),
        ("abroad", i64::from(t.abroad).into()),
        ("sort", t.sort.word().into()),
        ("purpose", t.purpose.word().into()),
        ("bytes", t.bytes.into()),
        ("scopes", serde_json::to_string(&t.scopes)?.into()),
        ("events", serde_json::to_string(&t.events)?.into()),
        ("approval", t.approval.map(|a| a.0.cast_signed()).into()),
        ("erasure", t.erasure.map(|e| e.0.cast_signed()).into()),
        ("at_unix_ms", t.at.into()),
        ("ended", t.ended.map(|e| e.word()).into()),
        ("ended_unix_ms", t.ended_at.into()),
    ];
    db.put("transfers", &columns).await
}

/// All of a subject, oldest first.
///
/// # Errors
/// Where the database says no.
pub async fn transfers(db: &Db, tenant: &TenantId, subject: SubjectId) -> Result<Vec<Transfer>, StoreError> {
    let sql = "SELECT * FROM transfers WHERE tenant = $1 AND subject = $2 ORDER BY at_unix_ms, id";
    db.all(sql, values![tenant.as_str(), subject]).await?.iter().map(transfer_of).collect()
}

fn transfer_of(row: &AnyRow) -> Result<Transfer, StoreError> {
    let name = |n: i64| format!("{:016x}", n.cast_unsigned());
    let listed = |text: String| serde_json::from_str::<serde_json::Value>(&text);
    let json = json!({
        "id": name(row.int("id")?),
        "tenant": row.text("tenant")?,
        "call": row.int_or_none("call")?.map(name),
        "subject": row.subject()?.to_string(),
        "destination": row.text("destination")?,
        "kind": row.text("kind")?,
        "country": row.text("country")?,
        "abroad": row.int("abroad")? == 1,
        "sort": row.text("sort")?,
        "purpose": row.text("purpose")?,
        "bytes": row.int("bytes")?,
        "scopes": listed(row.text("scopes")?)?,
        "events": listed(row.text("events")?)?,
        "approval": row.int_or_none("approval")?.map(name),
        "erasure": row.int_or_none("erasure")?.map(name),
        "at_unix_ms": row.int("at_unix_ms")?,
        "ended": row.text_or_none("ended")?,
        "ended_unix_ms": row.int_or_none("ended_unix_ms")?,
    });
    Ok(serde_json::from_value(json)?)
}

/// That a signed statement has granted something. It is remembered for longer than any is good for.
///
/// # Errors
/// Where the database says no.
pub async fn put_used(db: &Db, tenant: &TenantId, statement: TextHash, until: Time) -> Result<(), StoreError> {
    let columns =
        [("tenant", tenant.as_str().into()), ("statement", statement.0.into()), ("until_unix_ms", until.into())];
    db.put("pre_grants_used", &columns).await
}

/// # Errors
/// Where the database says no.
pub async fn used(db: &Db, tenant: &TenantId, now: Time) -> Result<Used, StoreError> {
    let sql = "SELECT statement, until_unix_ms FROM pre_grants_used WHERE tenant = $1 AND until_unix_ms > $2";
    let rows = db.all(sql, values![tenant.as_str(), now]).await?;
    let row = |row: &AnyRow| Ok((TextHash(row.array("statement")?), Time(row.int("until_unix_ms")?)));
    Ok(Used::load(rows.iter().map(row).collect::<Result<Vec<_>, StoreError>>()?))
}
