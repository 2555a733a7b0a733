//! The state of one erasure, as it is written to the disk. It never goes back a stage.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::erasure::{Alarm, AskedBy, Fan, Inventory, JobId, Outcome, Receipt, Rules, Stage, Step};
use crate::retention::{About, Hold, HoldId};
use crate::{SubjectId, TenantId, Time};

/// A step that failed so often in a row is somebody's business.
const FAILURES_MOST: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfStep {
    #[error("the erasure is at '{at}', so this cannot have been done: ask it what is next")]
    TooEarly { at: &'static str },
    #[error("this system was not told to erase: only one that received data can answer")]
    NobodyKnown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct HeldSince {
    hold: HoldId,
    since: Time,
}

/// One row of `erasures`. Its JSON is its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    id: JobId,
    tenant: TenantId,
    subject: SubjectId,
    asked_by: AskedBy,
    /// Of the policy that it was asked under; a later one does not change its term.
    policy: String,
    rules: Rules,
    /// Each stage once, in order; the last is where it is.
    reached: Vec<(Stage, Time)>,
    inventory: Inventory,
    fans: Vec<Fan>,
    failures: u32,
    /// None: now.
    not_before: Option<Time>,
    held: Option<HeldSince>,
    /// Of the term, time that a hold took.
    held_ms: i64,
    proof: Option<String>,
}

impl Job {
    pub fn ask(
        id: JobId,
        (tenant, subject): (TenantId, SubjectId),
        asked_by: AskedBy,
        policy: &str,
        rules: Rules,
        now: Time,
    ) -> Self {
        Self {
            id,
            tenant,
            subject,
            asked_by,
            policy: policy.into(),
            rules,
            reached: vec![(Stage::Asked, now)],
            inventory: Inventory::default(),
            fans: vec![],
            failures: 0,
            not_before: None,
            held: None,
            held_ms: 0,
            proof: None,
        }
    }

    pub fn id(&self) -> JobId {
        self.id
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    pub fn asked_by(&self) -> &AskedBy {
        &self.asked_by
    }

    pub fn policy(&self) -> &str {
        &self.policy
    }

    pub fn stage(&self) -> Stage {
        self.reached.last().map_or(Stage::Asked, |(stage, _)| *stage)
    }

    pub fn is_done(&self) -> bool {
        self.stage() == Stage::Done
    }

    /// Whether nothing of the subject may be read or written: from freezing on.
    pub fn is_frozen(&self) -> bool {
        self.stage() >= Stage::Frozen
    }

    pub fn reached(&self, stage: Stage) -> Option<Time> {
        self.reached.iter().find(|(s, _)| *s == stage).map(|(_, at)| *at)
    }

    /// Every stage and when it was reached, in order.
    pub fn history(&self) -> &[(Stage, Time)] {
        &self.reached
    }

    /// What there was, as counted before anything was destroyed.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    pub fn fans(&self) -> &[Fan] {
        &self.fans
    }

    /// SHA-256 of the signed proof, in hex.
    pub fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }

    /// The hold that stops it.
    pub fn held(&self) -> Option<HoldId> {
        self.held.map(|h| h.hold)
    }

    /// By then it must be done. The term stands still while a hold does: None.
    pub fn deadline(&self) -> Option<Time> {
        let asked = self.reached(Stage::Asked)?;
        self.held.is_none().then(|| self.rules.term.after(asked).plus_ms(self.held_ms))
    }

    /// What to do now. `holds` are all of the tenant: no hold may be placed between this and the doing of
    /// [`Step::DestroyKeys`]. Write the job before doing it.
    pub fn next(&mut self, now: Time, holds: &[Hold]) -> Step {
        if let Some(step) = self.look_for_holds(now, holds) {
            return step;
        }
        if let Some(until) = self.not_before.filter(|at| now < *at) {
            return Step::Wait { until };
        }
        self.close_fans(now);
        match self.stage() {
            Stage::Asked => Step::Find,
            Stage::Found => Step::Freeze,
            Stage::Frozen => Step::DestroyKeys,
            Stage::KeysDestroyed => Step::DeleteRows,
            Stage::RowsDeleted => Step::DeleteFiles,
            Stage::FilesDeleted => Step::Compact,
            Stage::DatabaseCompacted => self.next_fan(now),
            Stage::FannedOut => Step::Prove,
            Stage::Proven => Step::Finish,
            Stage::Done => Step::Nothing,
        }
    }

    /// While something is still there, a hold stops it.
    fn look_for_holds(&mut self, now: Time, holds: &[Hold]) -> Option<Step> {
        let about = |call| About { tenant: self.tenant.clone(), subject: Some(self.subject), call };
        let all: Vec<About> =
            std::iter::once(about(None)).chain(self.inventory.calls.iter().map(|call| about(Some(*call)))).collect();
        let stops = |hold: &&Hold| hold.stands(now) && all.iter().any(|about| hold.covers.covers(about));
        let undoable = self.stage() < Stage::KeysDestroyed;
        let hold = holds.iter().filter(|_| undoable).filter(stops).max_by_key(|h| h.until);
        match (hold, self.held) {
            (Some(hold), held) => {
                let since = held.map_or(now, |h| h.since);
                self.held = Some(HeldSince { hold: hold.id, since });
                Some(Step::Held { hold: hold.id, until: hold.until })
            }
            (None, Some(held)) => {
                let known = holds.iter().find(|h| h.id == held.hold);
                let end = known.map_or(now, |h| h.released.as_ref().map_or(h.until, |r| r.at)).min(now);
                self.held_ms = self.held_ms.saturating_add(end.0.saturating_sub(held.since.0).max(0));
                self.held = None;
                None
            }
            (None, None) => None,
        }
    }

    fn next_fan(&self, now: Time) -> Step {
        let first = self.fans.iter().filter_map(|fan| fan.due().map(|at| (at, fan))).min_by_key(|(at, _)| *at);
        match first {
            Some((at, _)) if now < at => Step::Wait { until: at },
            Some((_, fan)) => Step::Send { destination: fan.destination().into() },
            None => Step::Prove,
        }
    }

    /// A step was done. What was done before already changes nothing.
    ///
    /// # Errors
    /// Where it cannot have been done yet, or by this system.
    pub fn done(&mut self, now: Time, outcome: Outcome) -> Result<(), OutOfStep> {
        match outcome {
            Outcome::Found(inventory) => {
                if self.passes(Stage::Found, now)? {
                    self.inventory = inventory;
                }
            }
            Outcome::Frozen(mut inventory) => {
                if self.passes(Stage::Frozen, now)? {
                    // One that received data before the freeze is not forgotten.
                    inventory.destinations.append(&mut self.inventory.destinations);
                    self.fans = inventory.destinations.iter().cloned().map(Fan::new).collect();
                    self.inventory = inventory;
                }
            }
            Outcome::KeysDestroyed => _ = self.passes(Stage::KeysDestroyed, now)?,
            Outcome::RowsDeleted => _ = self.passes(Stage::RowsDeleted, now)?,
            Outcome::FilesDeleted => _ = self.passes(Stage::FilesDeleted, now)?,
            Outcome::Compacted => _ = self.passes(Stage::DatabaseCompacted, now)?,
            Outcome::Sent { destination } => {
                let rules = self.rules;
                self.fan(&destination)?.sent(now, &rules);
            }
            Outcome::Receipt { destination, receipt } => self.fan(&destination)?.answered(receipt),
            Outcome::Refused { destination, code } => {
                let rules = self.rules;
                self.fan(&destination)?.refused(code, now, &rules);
            }
            Outcome::Proven { hash } => {
                if self.passes(Stage::Proven, now)? {
                    self.proof = Some(hash);
                }
            }
            Outcome::Finished => _ = self.passes(Stage::Done, now)?,
        }
        self.close_fans(now);
        Ok(())
    }

    /// After the last receipt, or where nobody was to be told.
    fn close_fans(&mut self, now: Time) {
        if self.stage() == Stage::DatabaseCompacted && self.fans.iter().all(|fan| fan.receipt().is_some()) {
            self.reach(Stage::FannedOut, now);
        }
    }

    /// The step in hand failed; it comes again, later each time. Of a `Send`, with its destination.
    pub fn failed(&mut self, now: Time, destination: Option<&str>) {
        let rules = self.rules;
        if let Some(destination) = destination {
            if let Ok(fan) = self.fan(destination) {
                fan.failed(now, &rules);
            }
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.plus_ms(rules.backoff_ms(self.failures)));
    }

    /// What somebody must look at now.
    pub fn alarms(&self, now: Time) -> Vec<Alarm> {
        if self.is_done() {
            return vec![];
        }
        let mut alarms: Vec<Alarm> = self.fans.iter().filter_map(|fan| fan.alarm(FAILURES_MOST)).collect();
        if self.failures >= FAILURES_MOST {
            alarms.push(Alarm::Failing { after: self.stage(), attempts: self.failures });
        }
        if let Some(deadline) = self.deadline() {
            // Counted in days, as the term is.
            let before = self.rules.alarm_before.after(Time(0)).0;
            if now >= deadline {
                alarms.push(Alarm::Overdue { deadline });
            } else if now >= deadline.plus_ms(-before) {
                alarms.push(Alarm::Near { deadline });
            }
        }
        alarms
    }

    /// Every receipt, for the proof.
    pub fn receipts(&self) -> impl Iterator<Item = (&str, &Receipt)> {
        self.fans.iter().filter_map(|fan| Some((fan.destination(), fan.receipt()?)))
    }

    /// Systems that have not answered yet.
    pub fn open(&self) -> BTreeSet<&str> {
        self.fans.iter().filter(|fan| fan.receipt().is_none()).map(Fan::destination).collect()
    }

    /// True where this stage is reached by it now; false where it was before.
    fn passes(&mut self, to: Stage, now: Time) -> Result<bool, OutOfStep> {
        let at = self.stage();
        if at >= to {
            return Ok(false);
        }
        if at as u8 + 1 != to as u8 {
            return Err(OutOfStep::TooEarly { at: at.word() });
        }
        self.reach(to, now);
        Ok(true)
    }

    fn reach(&mut self, stage: Stage, now: Time) {
        self.reached.push((stage, now));
        self.failures = 0;
        self.not_before = None;
    }

    fn fan(&mut self, destination: &str) -> Result<&mut Fan, OutOfStep> {
        let at = self.stage();
        if at < Stage::DatabaseCompacted {
            return Err(OutOfStep::TooEarly { at: at.word() });
        }
        self.fans.iter_mut().find(|fan| fan.destination() == destination).ok_or(OutOfStep::NobodyKnown)
    }
}
