//! The one task that writes what calls leave: it takes a bounded queue in order, seals words and sound, and
//! keeps nothing whose consent is not on the disk. What fails is counted and said without content; calls go on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ::privacy::consent::{ConsentEvent, LIFE_MS_MAX, Past, State, Which, Withdrawal};
use ::privacy::keys::KeyId;
use ::privacy::seal::{Kind, Owed};
use ::privacy::{EventId, Scope, Scopes, SubjectId, Time};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::shut::remember;
use super::{Inner, VaultError, files, keys};
use crate::call::live::Request;
use crate::call::{CallId, Speaker};
use crate::store::db::{Columns as _, StoreError, Value};
use crate::store::rows::{self, Recording, Rests, Stored};
use crate::store::{CallRecord, QUEUE};
use crate::store::{register, rows::put_recording};
use crate::values;

/// A purge that failed is tried again so often. It may take seconds, and lines wait behind it.
const PURGE_AGAIN: Duration = Duration::from_secs(10);
/// Calls of which something is remembered; it can all be read again.
const CALLS_MAX: usize = 4096;
/// Longer than any signed statement is good for, and the clocks' difference.
const USED_MS: i64 = LIFE_MS_MAX + 120_000;

pub(super) enum Write {
    Words {
        owed: Owed,
        at_ms: u32,
    },
    Gap {
        on: Rests,
        at_ms: u32,
        lost: u32,
    },
    Sound {
        owed: Owed,
        leg: Speaker,
        duration_ms: u32,
        seq: u64,
    },
    Event(Box<ConsentEvent>),
    Record(Box<CallRecord>),
    Purge(CallId, Scopes),
    /// Consent ends by the privacy desk, and nothing comes under its scopes any more. Answers with those under which
    /// something was kept; none: nothing is known of the call.
    End(CallId, Request, oneshot::Sender<Result<Option<Scopes>, VaultError>>),
    /// From the answer on nothing of this subject is written.
    Freeze(SubjectId, oneshot::Sender<Result<(), VaultError>>),
    Flush(oneshot::Sender<()>),
}

/// What is remembered of a call while it goes on.
#[derive(Default)]
struct Going {
    /// When it was used last, in writes.
    used: u64,
    subject: Option<SubjectId>,
    seqs: HashMap<(Scope, &'static str), u64>,
    granting: HashSet<EventId>,
    sounds: HashMap<&'static str, Sounding>,
}

struct Sounding {
    writing: files::Writing,
    row: Recording,
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    going: HashMap<CallId, Going>,
    /// Taken back by request while the call goes on.
    revoked: HashSet<(CallId, Scope)>,
    /// Steps of consent that the database did not take. What rests on them is not kept until they are written, and a
    /// withdrawal that is not written would be none after a restart.
    unwritten: Vec<ConsentEvent>,
    /// Purges to be done now.
    due: BTreeMap<CallId, Scopes>,
    /// Purges that failed.
    failed: BTreeMap<CallId, Scopes>,
    /// Purges that found no room in the queue, each due when what was queued before it is written.
    behind: Vec<(u64, CallId, Scopes)>,
    /// How many were taken from the queue.
    taken: u64,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let (going, revoked, unwritten) = (HashMap::new(), HashSet::new(), vec![]);
        let (due, failed, behind) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        Self { inner, going, revoked, unwritten, due, failed, behind, taken: 0 }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Write>, mut purges: mpsc::Receiver<(CallId, Scopes)>) {
        let mut again = tokio::time::interval(PURGE_AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                write = queue.recv() => match write {
                    Some(write) => {
                        self.taken += 1;
                        self.wait_behind(&mut purges, queue.len());
                        said(self.one(write).await);
                    }
                    None => return,
                },
                _ = again.tick() => {
                    said(self.events().await);
                    self.purge_failed().await;
                }
            }
            let taken = self.taken;
            for (_, call, scopes) in self.behind.extract_if(.., |(after, ..)| *after <= taken) {
                self.due.entry(call).or_default().extend(scopes);
            }
            self.purge_due().await;
        }
    }

    /// Purges that found the queue full. What was queued before them is at most what is queued now, however fast
    /// more comes.
    fn wait_behind(&mut self, purges: &mut mpsc::Receiver<(CallId, Scopes)>, queued: usize) {
        let after = self.taken + queued as u64;
        while self.behind.len() < QUEUE
            && let Ok((call, scopes)) = purges.try_recv()
        {
            self.behind.push((after, call, scopes));
        }
    }

    async fn one(&mut self, write: Write) -> Result<(), VaultError> {
        match write {
            Write::Words { owed, at_ms } => self.words(owed, at_ms).await,
            Write::Gap { on, at_ms, lost } => self.gap(&on, at_ms, lost).await,
            Write::Sound { owed, leg, duration_ms, seq } => self.sound(owed, leg, (duration_ms, seq)).await,
            // The call does not know that the last word on its consent is written: this is no step that exists.
            Write::Event(event) if self.inner.shut.is_closed(event.call) => Ok(()),
            Write::Event(event) => {
                if self.unwritten.len() >= QUEUE {
                    self.unwritten.remove(0);
                    lost("event");
                }
                self.unwritten.push(*event);
                self.events().await
            }
            Write::Record(record) => self.record(&record).await,
            Write::Purge(call, scopes) => {
                self.due.entry(call).or_default().extend(scopes);
                Ok(())
            }
            Write::End(call, request, done) => {
                let _ = done.send(self.end(call, &request).await);
                Ok(())
            }
            Write::Freeze(subject, done) => {
                let _ = done.send(self.freeze(subject).await);
                Ok(())
            }
            Write::Flush(done) => {
                // What was asked for before has to be done before it counts as flushed. What was asked for since
                // then is done again in its turn.
                for (_, call, scopes) in &self.behind {
                    self.due.entry(*call).or_default().extend(scopes.iter().cloned());
                }
                let written = self.events().await;
                self.purge_due().await;
                self.purge_failed().await;
                let _ = done.send(());
                written
            }
        }
    }

    fn now(&self) -> Time {
        (self.inner.clock)()
    }

    fn going(&mut self, call: CallId) -> &mut Going {
        if self.going.len() >= CALLS_MAX && !self.going.contains_key(&call) {
            // Its sound is finished as it is; the rest is read again.
            let oldest = self.going.iter().min_by_key(|(_, going)| going.used).map(|(call, _)| *call);
            oldest.and_then(|oldest| self.going.remove(&oldest));
        }
        let going = self.going.entry(call).or_default();
        going.used = self.taken;
        going
    }

    /// Also those of the subject's calls that go on are shut for good: their consents are erased, and their gates
    /// know nothing of it.
    async fn freeze(&mut self, subject: SubjectId) -> Result<(), VaultError> {
        let sql =
            "SELECT id AS call FROM calls WHERE tenant = $1 AND subject = $2 ORDER BY started_unix_ms DESC LIMIT 256";
        let rows = self.inner.db.all(sql, values![self.inner.tenant.as_str(), subject]).await?;
        let mut calls = rows.iter().map(|row| row.call("call")).collect::<Result<Vec<_>, _>>()?;
        calls.extend(self.going.iter().filter(|(_, going)| going.subject == Some(subject)).map(|(call, _)| *call));
        for call in &calls {
            self.going.remove(call);
        }
        self.inner.shut.freeze(subject, calls);
        Ok(())
    }

    /// Whether something may rest on this: the event is on the disk, the subject is not being erased, and the database is
    /// ours alone.
    async fn rests(&mut self, on: &Rests) -> Result<bool, VaultError> {
        let ended = self.inner.shut.is_closed(on.call) || self.revoked.contains(&(on.call, on.scope.clone()));
        if ended || !self.inner.is_alone() || self.inner.shut.holds(Some(on.subject), Some(on.call)) {
            return Ok(false);
        }
        let going = self.going(on.call);
        going.subject = Some(on.subject);
        if going.granting.contains(&on.event) {
            return Ok(true);
        }
        if !self.unwritten.is_empty() {
            self.events().await?;
        }
        let granting = rows::is_granting(&self.inner.db, &self.inner.tenant, on.event).await?;
        if granting {
            self.going(on.call).granting.insert(on.event);
        }
        Ok(granting)
    }

    async fn next_seq(&mut self, on: &Rests, kind: Kind) -> Result<u64, VaultError> {
        let name = (on.scope.clone(), kind.as_str());
        let known = self.going(on.call).seqs.get(&name).copied();
        let next = match known {
            Some(seq) => seq + 1,
            None => {
                let sql = "SELECT max(seq) FROM lines WHERE call = $1 AND scope = $2 AND kind = $3";
                let scope = on.scope.to_string();
                let last = self.inner.db.number(sql, values![on.call, scope.as_str(), kind.as_str()]).await?;
                last.cast_unsigned() + 1
            }
        };
        self.going(on.call).seqs.insert(name, next);
        Ok(next)
    }

    async fn words(&mut self, owed: Owed, at_ms: u32) -> Result<(), VaultError> {
        let on = rests(&owed);
        if !self.rests(&on).await? {
            lost("line");
            return Ok(());
        }
        let (seq, now, nonce) = (self.next_seq(&on, Kind::Line).await?, self.now(), keys::nonce()?);
        let whose = (on.subject, on.call);
        let sealed =
            self.inner.keys.with_segment(whose, &on.scope, Some(now), |key| owed.seal(key, seq, nonce)).await??;
        let place = (seq, now, at_ms);
        Ok(rows::put_line(&self.inner.db, &self.inner.tenant, &on, place, &Stored::Sealed(sealed)).await?)
    }

    async fn gap(&mut self, on: &Rests, at_ms: u32, lost_lines: u32) -> Result<(), VaultError> {
        if !self.rests(on).await? {
            return Ok(());
        }
        let place = (self.next_seq(on, Kind::Line).await?, self.now(), at_ms);
        let gap = Stored::Gap { lost: lost_lines };
        Ok(rows::put_line(&self.inner.db, &self.inner.tenant, on, place, &gap).await?)
    }

    async fn sound(&mut self, owed: Owed, leg: Speaker, (duration_ms, seq): (u32, u64)) -> Result<(), VaultError> {
        let on = rests(&owed);
        if !self.rests(&on).await? {
            lost("sound");
            return Ok(());
        }
        let (now, nonce) = (self.now(), keys::nonce()?);
        // Both legs are counted from 0, and no two stretches may have the same place.
        let place = seq * 2 + u64::from(leg == Speaker::Agent);
        let whose = (on.subject, on.call);
        let sealed =
            self.inner.keys.with_segment(whose, &on.scope, Some(now), |key| owed.seal(key, place, nonce)).await??;
        let word = leg.word();
        let Sounding { writing, mut row } = match self.going(on.call).sounds.remove(word) {
            Some(sounding) => sounding,
            None => {
                let writing = self.inner.files.begin().await?;
                let row = begun(&on, word, now, &writing.name, sealed.key);
                Sounding { writing, row }
            }
        };
        let (writing, written) = writing.append(sealed).await?;
        if written.is_ok() {
            row.duration_ms += i64::from(duration_ms);
            row.bytes = i64::try_from(writing.bytes).unwrap_or(i64::MAX);
            row.file_hash = writing.hash();
        }
        self.going(on.call).sounds.insert(word, Sounding { writing, row: row.clone() });
        written?;
        Ok(put_recording(&self.inner.db, &self.inner.tenant, &row).await?)
    }

    /// What the call itself has said stands before it; what it has said already is not written again.
    async fn end(&mut self, call: CallId, request: &Request) -> Result<Option<Scopes>, VaultError> {
        let written = self.events().await;
        if self.unwritten.iter().any(|event| event.call == call) {
            written?;
        }
        let which = request.which();
        let (db, tenant) = (&self.inner.db, &self.inner.tenant);
        let events = match rows::events(db, tenant, call).await {
            Err(StoreError::Damaged(_)) => None,
            read => Some(read?),
        };
        let known = events.as_ref().is_none_or(|events| !events.is_empty());
        let past = events.as_deref().and_then(|events| Past::of(events).ok());
        let scopes: Scopes = match &past {
            Some(_) => granted_ever(events.as_deref().unwrap_or_default()),
            // Altered events allow nothing; they stay as they are, and what was kept goes.
            None if known => {
                rows::kept(db, tenant).await?.into_iter().filter(|(of, _)| *of == call).map(|k| k.1).collect()
            }
            None => Scopes::new(),
        };
        let scopes: Scopes = scopes.into_iter().filter(|scope| which.holds(scope)).collect();
        if let Some(mut past) = past {
            let _ = match request {
                Request::Withdraw(which) => past.withdraw((self.inner.clock)(), which, Withdrawal::Request),
                Request::Erase => past.erased((self.inner.clock)()),
            };
            while let Some(event) = past.poll() {
                rows::put_event(db, tenant, &event).await?;
            }
        }
        scopes.iter().for_each(|scope| remember(&mut self.revoked, (call, scope.clone())));
        if *which == Which::All {
            self.inner.shut.close(call);
        }
        // What an erasure takes out, it takes out in its own steps.
        if matches!(request, Request::Withdraw(_)) {
            self.due.entry(call).or_default().extend(scopes.iter().cloned());
        }
        Ok(known.then_some(scopes))
    }

    /// Everything that is not written yet, in order.
    async fn events(&mut self) -> Result<(), VaultError> {
        let mut all = Ok(());
        for event in std::mem::take(&mut self.unwritten) {
            if let Err(error) = event_row(&self.inner, &event).await {
                self.unwritten.push(event);
                all = Err(error);
            }
        }
        all
    }

    async fn record(&mut self, record: &CallRecord) -> Result<(), VaultError> {
        if record.ended_unix_ms.is_some() {
            self.going.remove(&record.id);
        }
        if self.inner.shut.holds(record.subject, Some(record.id)) {
            return Ok(());
        }
        Ok(rows::put_call(&self.inner.db, &self.inner.tenant, record).await?)
    }

    async fn purge_due(&mut self) {
        let due = std::mem::take(&mut self.due);
        self.purge_these(due).await;
    }

    async fn purge_failed(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        self.purge_these(failed).await;
    }

    async fn purge_these(&mut self, purges: BTreeMap<CallId, Scopes>) {
        let mut in_the_way = false;
        for (call, scopes) in purges {
            self.going.remove(&call);
            // Readers that are in the way of one are in the way of the next, and each waits for them.
            let done = if in_the_way { Err(StoreError::Busy.into()) } else { purge(&self.inner, call, &scopes).await };
            in_the_way |= done.as_ref().is_err_and(is_busy);
            if done.is_err() {
                self.failed.entry(call).or_default().extend(scopes);
            }
            said(done);
        }
    }
}

async fn event_row(inner: &Inner, event: &ConsentEvent) -> Result<(), VaultError> {
    // The statement first: should we die in between, it is used up and has granted nothing.
    if let Some(evidence) = &event.evidence {
        register::put_used(&inner.db, &inner.tenant, evidence.statement, event.at.plus_ms(USED_MS)).await?;
    }
    Ok(rows::put_event(&inner.db, &inner.tenant, event).await?)
}

/// The scopes under which something may have been kept at some time.
fn granted_ever(events: &[ConsentEvent]) -> Scopes {
    let granting = events.iter().filter(|event| matches!(event.state, State::Granted(_)));
    let scopes = |event: &ConsentEvent| match &event.scopes {
        Which::Only(scopes) => scopes.clone(),
        // No step grants what it does not name.
        Which::All => Scopes::new(),
    };
    granting.flat_map(scopes).collect()
}

fn is_busy(error: &VaultError) -> bool {
    matches!(error, VaultError::Store(StoreError::Busy) | VaultError::Keys(keys::KeysError::Store(StoreError::Busy)))
}

fn rests(owed: &Owed) -> Rests {
    Rests { call: owed.call(), subject: owed.subject(), scope: owed.scope().clone(), event: owed.event() }
}

fn begun(on: &Rests, leg: &str, now: Time, file: &str, key: KeyId) -> Recording {
    Recording {
        call: on.call,
        subject: on.subject,
        leg: leg.into(),
        scope: on.scope.clone(),
        event: on.event,
        made: now,
        duration_ms: 0,
        file: file.into(),
        bytes: 0,
        file_hash: [0; 32],
        key,
    }
}

/// Destroys what was kept of a call under these scopes: the keys first, so that whatever is left of the rest
/// cannot be read.
pub(super) async fn purge(inner: &Inner, call: CallId, scopes: &Scopes) -> Result<(), VaultError> {
    inner.keys.destroy_segments(call, scopes).await?;
    for scope in scopes {
        let scope = scope.to_string();
        let which: [Value<'_>; 3] = [call.into(), inner.tenant.as_str().into(), scope.as_str().into()];
        inner.db.run("DELETE FROM lines WHERE call = $1 AND tenant = $2 AND scope = $3", &which).await?;
        let sql = "SELECT file FROM recordings WHERE call = $1 AND tenant = $2 AND scope = $3";
        for row in inner.db.all(sql, &which).await? {
            inner.files.remove(&row.text("file")?).await?;
        }
        inner.db.run("DELETE FROM recordings WHERE call = $1 AND tenant = $2 AND scope = $3", &which).await?;
    }
    Ok(inner.db.checkpoint().await?)
}

fn lost(what: &'static str) {
    metrics::counter!("dauys_store_unkept_total", "what" => what).increment(1);
}

fn said(done: Result<(), VaultError>) {
    if let Err(error) = done {
        metrics::counter!("dauys_store_errors_total").increment(1);
        warn!(%error, "a write to the store failed; calls go on, nothing more is known of this row");
    }
}
