//! The retention job: finds what has to go by the policy's terms, and takes it out. Whether a record goes is
//! decided by `privacy::retention`; here is how it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ::privacy::chain::Action;
use ::privacy::erasure::Job;
use ::privacy::retention::{About, Due, Hold, Kind, Stays, Term, Times};
use ::privacy::{CallId, Scopes, SubjectId, Time, days};
use serde::Serialize;

use super::{Vault, VaultError};
use crate::clock;
use crate::store::db::{Columns as _, StoreError, Value};
use crate::store::{register, rows};
use crate::values;

/// No policy keeps anything for longer than ten years; a term's end is looked for back to here.
const LOOK_BACK_MS: i64 = days(11 * 366);
/// A key is older than the call it was made for before it counts as left over.
const KEY_REST_MS: i64 = days(1);

/// One table, as far as terms are concerned.
struct Sweep {
    table: &'static str,
    kind: Kind,
    /// The column of a record's name; rows of one name go together.
    key: &'static str,
    /// The column with the call, where there is one.
    call: Option<&'static str>,
    /// When its term begins.
    from: &'static str,
    /// That it began by then. What has not begun is NULL, which is before nothing.
    over: &'static str,
}

const fn sweep(
    table: &'static str,
    kind: Kind,
    (key, call): (&'static str, Option<&'static str>),
    (from, over): (&'static str, &'static str),
) -> Sweep {
    Sweep { table, kind, key, call, from, over }
}

const SWEEPS: [Sweep; 9] = [
    sweep("lines", Kind::Content, ("call", Some("call")), ("made_unix_ms", "made_unix_ms <= $2")),
    sweep("recordings", Kind::Recording, ("call", Some("call")), ("made_unix_ms", "made_unix_ms <= $2")),
    sweep("calls", Kind::Metadata, ("id", Some("id")), ("started_unix_ms", "started_unix_ms <= $2")),
    sweep("consent_events", Kind::Consent, ("call", Some("call")), ("use_ended_unix_ms", "use_ended_unix_ms <= $2")),
    sweep("transfers", Kind::Transfer, ("id", Some("call")), ("at_unix_ms", "at_unix_ms <= $2")),
    sweep("erasures", Kind::Register, ("id", None), ("finished_unix_ms", "finished_unix_ms <= $2")),
    sweep("claims", Kind::Register, ("id", Some("call")), ("answered_unix_ms", "answered_unix_ms <= $2")),
    sweep(
        "approvals",
        Kind::Register,
        ("id", None),
        ("COALESCE(used_unix_ms, expires_unix_ms)", "COALESCE(used_unix_ms, expires_unix_ms) <= $2"),
    ),
    sweep(
        "holds",
        Kind::Register,
        ("id", Some("call")),
        ("COALESCE(released_unix_ms, until_unix_ms)", "COALESCE(released_unix_ms, until_unix_ms) <= $2"),
    ),
];

/// Rows of one record that go, or would if no hold kept them.
struct Found {
    sweep: &'static Sweep,
    /// Which of its rows, as SQL behind the tenant's, and what is bound there.
    which: &'static str,
    value: Value<'static>,
    key: i64,
    call: Option<CallId>,
    rows: u64,
    due: Due,
}

/// What a run took out, or would: by table and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub table: &'static str,
    pub kind: &'static str,
    pub rows: u64,
    /// Since when the first of them is due, RFC 3339; of what is held, until when.
    pub since: String,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub goes: Vec<Line>,
    pub held: Vec<Line>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.goes.is_empty() && self.held.is_empty() {
            return writeln!(f, "nothing is due");
        }
        for (word, lines) in [("goes", &self.goes), ("held", &self.held)] {
            for Line { table, kind, rows, since, why } in lines {
                writeln!(f, "  {word}  {table:<16} {kind:<10} {rows:>8} rows  since {since}  {why}")?;
            }
        }
        Ok(())
    }
}

/// The latest beginning whose term is over now.
fn cutoff(term: Term, now: Time) -> Time {
    let (mut over, mut not) = (now.0.saturating_sub(LOOK_BACK_MS), now.0);
    while not - over > 1 {
        let middle = over + (not - over) / 2;
        if term.after(Time(middle)) <= now { over = middle } else { not = middle }
    }
    Time(over)
}

impl Vault {
    /// What would go now, and what a hold keeps. Nothing is changed.
    ///
    /// # Errors
    /// Where the database says no.
    pub async fn due(&self) -> Result<Report, VaultError> {
        let found = self.find(self.now()).await?;
        Ok(report(&found))
    }

    /// Takes out what is due now.
    ///
    /// # Errors
    /// Where the database says no; the rest goes with the next run.
    pub async fn retain(&self) -> Result<Report, VaultError> {
        self.alone().await?;
        let now = self.now();
        // No hold comes between the looking and the taking out.
        let alone = self.inner.holds.lock().await;
        let found = self.find(now).await?;
        let report = report(&found);
        let mut calls = BTreeSet::new();
        for found in found.iter().filter(|f| matches!(f.due, Due::Go { .. })) {
            self.take_out(found).await?;
            if matches!(found.sweep.kind, Kind::Content | Kind::Recording) {
                calls.extend(found.call);
            }
            if let (Kind::Content | Kind::Recording, Some(call), Due::Go { since, .. }) =
                (found.sweep.kind, found.call, found.due)
                && !self.is_kept(call).await?
            {
                rows::end_use(self.db(), self.tenant(), call, since).await?;
            }
        }
        self.sweep_rest(now).await?;
        self.sweep_keys(now, &calls).await?;
        drop(alone);
        self.end_unused(now).await?;
        self.db().drop_months(cutoff(self.settings().terms.transfer, now)).await?;
        self.db().make_months(now).await;
        if !report.goes.is_empty() {
            self.db().compact().await?;
            self.keys().db().compact().await?;
        }
        let counts: Vec<String> = report.goes.iter().map(|l| format!("{} {}", l.table, l.rows)).collect();
        let why = if counts.is_empty() { "nothing was due".into() } else { counts.join(", ") };
        self.note(Action::RetentionRun, vec![], &why).await?;
        metrics::counter!("dauys_retention_rows_total").increment(report.goes.iter().map(|l| l.rows).sum());
        Ok(report)
    }

    async fn is_kept(&self, call: CallId) -> Result<bool, StoreError> {
        let sql =
            "SELECT (SELECT count(*) FROM lines WHERE call = $1) + (SELECT count(*) FROM recordings WHERE call = $1)";
        Ok(self.db().number(sql, values![call]).await? > 0)
    }

    async fn find(&self, now: Time) -> Result<Vec<Found>, VaultError> {
        let holds = self.holds().await?;
        let overdue: Vec<Job> = register::open_jobs(self.db(), self.tenant()).await?;
        let overdue = overdue.iter().filter_map(|job| Some((job.subject(), job.deadline()?)));
        let overdue: Vec<_> = overdue.filter(|(_, deadline)| *deadline <= now).collect();
        let mut found = vec![];
        for sweep in &SWEEPS {
            let cutoff = self.settings().terms.of(sweep.kind).map(|term| cutoff(term, now));
            if let Some(cutoff) = cutoff {
                self.look(sweep, sweep.over, cutoff.into(), (None, None), (&holds, now), &mut found).await?;
            }
            if matches!(sweep.kind, Kind::Content | Kind::Recording) {
                let which = "call IN (SELECT call FROM consent_events WHERE tenant = $1 AND use_ended_unix_ms <= $2)";
                self.look(sweep, which, now.into(), (Some(now), None), (&holds, now), &mut found).await?;
            }
            for (subject, deadline) in overdue.iter().filter(|_| sweep.kind.leaves_on_erasure()) {
                let times = (None, Some(*deadline));
                self.look(sweep, "subject = $2", (*subject).into(), times, (&holds, now), &mut found).await?;
            }
        }
        Ok(found)
    }

    /// Records of a table by a condition, each judged.
    async fn look(
        &self,
        sweep: &'static Sweep,
        which: &'static str,
        value: Value<'static>,
        (ended, erase_by): (Option<Time>, Option<Time>),
        (holds, now): (&[Hold], Time),
        found: &mut Vec<Found>,
    ) -> Result<(), VaultError> {
        let Sweep { table, kind, key, call, from, .. } = sweep;
        let call_column = call.unwrap_or(key);
        let sql = format!(
            "SELECT {key} AS k, {call_column} AS c, subject, min({from}) AS oldest, count(*) AS n FROM {table} \
             WHERE tenant = $1 AND {which} GROUP BY {key}, {call_column}, subject ORDER BY 4, 1"
        );
        for row in self.db().all(&sql, &[self.tenant().as_str().into(), value.clone()]).await? {
            let made = Time(row.int_or_none("oldest")?.unwrap_or(now.0));
            let of_call = row.int_or_none("c")?.filter(|_| call.is_some()).map(|n| CallId(n.cast_unsigned()));
            let subject: Option<SubjectId> = row.subject_or_none()?;
            // Of what is evidence, and of what is in the register, the term begins with the end.
            let from_end = matches!(kind, Kind::Consent | Kind::Register).then_some(made);
            let times = Times { made, ended: ended.or(from_end), erase_by };
            let about = About { tenant: self.tenant().clone(), subject, call: of_call };
            let due = self.settings().terms.due(*kind, &about, &times, holds, now);
            let rows = row.int("n")?.cast_unsigned();
            let matters = matches!(due, Due::Go { .. } | Due::Keep { why: Stays::Held(_), .. });
            if matters {
                found.push(Found { sweep, which, value: value.clone(), key: row.int("k")?, call: of_call, rows, due });
            }
        }
        Ok(())
    }

    async fn take_out(&self, found: &Found) -> Result<(), VaultError> {
        let Found { sweep, which, value, key, .. } = found;
        let Sweep { table, key: column, .. } = sweep;
        let bound = [self.tenant().as_str().into(), value.clone(), (*key).into()];
        if *table == "recordings" {
            let sql = format!("SELECT file FROM recordings WHERE tenant = $1 AND {which} AND {column} = $3");
            for row in self.db().all(&sql, &bound).await? {
                self.inner.files.remove(&row.text("file")?).await?;
            }
        }
        let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND {which} AND {column} = $3");
        self.db().run(&sql, &bound).await?;
        Ok(())
    }

    /// What hangs on rows that are gone, and what says itself when it goes.
    async fn sweep_rest(&self, now: Time) -> Result<(), StoreError> {
        for table in ["erasure_steps", "receipts"] {
            let sql = format!("DELETE FROM {table} WHERE erasure NOT IN (SELECT id FROM erasures)");
            self.db().run(&sql, &[]).await?;
        }
        let sql = "DELETE FROM pre_grants_used WHERE tenant = $1 AND until_unix_ms <= $2";
        self.db().run(sql, values![self.tenant().as_str(), now]).await.map(drop)
    }

    /// A key lives as long as the last record that it opens.
    async fn sweep_keys(&self, now: Time, emptied: &BTreeSet<CallId>) -> Result<(), VaultError> {
        let kept: BTreeSet<_> = rows::kept(self.db(), self.tenant()).await?.into_iter().collect();
        let old: BTreeSet<_> = self.keys().segments_before(now.plus_ms(-KEY_REST_MS)).await?.into_iter().collect();
        let mut bare: BTreeMap<CallId, Scopes> = BTreeMap::new();
        for (call, scope) in self.keys().segments_before(Time(i64::MAX)).await? {
            let left_over = emptied.contains(&call) || old.contains(&(call, scope.clone()));
            if left_over && !kept.contains(&(call, scope.clone())) {
                bare.entry(call).or_default().insert(scope);
            }
        }
        for (call, scopes) in bare {
            self.keys().destroy_segments(call, &scopes).await?;
        }
        self.keys().destroy_bare_subjects(now.plus_ms(-KEY_REST_MS)).await?;
        Ok(())
    }

    /// Consents of calls that are over and left nothing are evidence from the call's end on.
    async fn end_unused(&self, now: Time) -> Result<(), StoreError> {
        let sql = "UPDATE consent_events SET use_ended_unix_ms = \
                   COALESCE((SELECT max(ended_unix_ms) FROM calls WHERE id = consent_events.call), $1) \
                   WHERE tenant = $2 AND use_ended_unix_ms IS NULL \
                   AND call NOT IN (SELECT call FROM lines) AND call NOT IN (SELECT call FROM recordings) \
                   AND call NOT IN (SELECT id FROM calls WHERE state IN ('active', 'calling'))";
        self.db().run(sql, values![now, self.tenant().as_str()]).await.map(drop)
    }
}

fn report(found: &[Found]) -> Report {
    let mut goes: BTreeMap<(&str, String), (u64, Time, &Found)> = BTreeMap::new();
    let mut held: BTreeMap<(&str, String), (u64, Time, &Found)> = BTreeMap::new();
    for one in found {
        let (into, at, why) = match one.due {
            Due::Go { since, why } => (&mut goes, since, why.to_string()),
            Due::Keep { until, why: why @ Stays::Held(_) } => (&mut held, until.unwrap_or(Time(0)), why.to_string()),
            Due::Keep { .. } => continue,
        };
        let entry = into.entry((one.sweep.table, why)).or_insert((0, at, one));
        entry.0 += one.rows;
        entry.1 = entry.1.min(at);
    }
    let lines = |all: BTreeMap<(&str, String), (u64, Time, &Found)>| {
        let line = |((_, why), (rows, since, one)): ((&str, String), (u64, Time, &Found))| Line {
            table: one.sweep.table,
            kind: one.sweep.kind.word(),
            rows,
            since: clock::rfc3339(since.0),
            why,
        };
        all.into_iter().map(line).collect()
    };
    Report { goes: lines(goes), held: lines(held) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cutoff_is_the_last_beginning_that_is_over() {
        let now = Time(1_795_000_000_000);
        for term in [Term::days(1), Term::days(30), Term::months(6), Term::years(1), Term::years(3), Term::years(10)] {
            let cutoff = cutoff(term, now);
            assert!(term.after(cutoff) <= now, "{term}");
            assert!(term.after(cutoff.plus_ms(1)) > now, "{term}");
        }
    }
}
