//! A machine that dies: before a step, in the middle of it, after it, and before it is written. What is
//! left must always be finished by whoever reads it next, and never be called done before.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    Never,
    BeforeTheStep,
    InTheStep,
    AfterTheStep,
}

const KILLS: [Kill; 4] = [Kill::Never, Kill::BeforeTheStep, Kill::InTheStep, Kill::AfterTheStep];

/// What a connected system does with the orders that come, in order; then it erases.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Lost,
    Refuses,
    Takes,
}

#[derive(Debug, Clone, Default)]
struct Far {
    holds_data: bool,
    answers: Vec<Answer>,
}

/// What survives a kill: disks, and other people's systems.
#[derive(Debug, Clone)]
struct World {
    job: String,
    now: Time,
    frozen: bool,
    keys: bool,
    rows: u64,
    files: u64,
    /// Traces in the database's log.
    traces: bool,
    far: BTreeMap<String, Far>,
    proofs: Vec<String>,
    told: bool,
}

const ROWS: u64 = 9;
const FILES: u64 = 4;

impl World {
    fn new(far: &[(&str, &[Answer])]) -> Self {
        let far = far.iter().map(|(name, answers)| {
            ((*name).to_owned(), Far { holds_data: true, answers: answers.iter().rev().copied().collect() })
        });
        Self {
            job: serde_json::to_string(&asked(Time(0))).expect("writes"),
            now: Time(0),
            frozen: false,
            keys: true,
            rows: ROWS,
            files: FILES,
            traces: true,
            far: far.collect(),
            proofs: vec![],
            told: false,
        }
    }

    fn read(&self) -> Job {
        serde_json::from_str(&self.job).expect("its own writing")
    }

    fn write(&mut self, job: &Job) {
        self.job = serde_json::to_string(job).expect("writes");
    }

    fn count(&self) -> Inventory {
        Inventory {
            rows: [("lines".to_owned(), self.rows)].into(),
            files: self.files,
            keys: if self.keys { vec!["subject-key".into()] } else { vec![] },
            calls: vec![CALL],
            destinations: self.far.keys().cloned().collect(),
        }
    }

    /// One round of the driver: read, decide, write, do, report, write.
    fn round(&mut self, kill: Kill) {
        let mut job = self.read();
        let step = job.next(self.now, &[]);
        self.write(&job);
        if kill == Kill::BeforeTheStep {
            return;
        }
        let outcome = self.act(&step, &job, kill == Kill::InTheStep);
        if matches!(kill, Kill::InTheStep | Kill::AfterTheStep) {
            return;
        }
        match (outcome, step) {
            (Some(outcome), _) => job.done(self.now, outcome).expect("in step"),
            (None, Step::Send { destination }) => job.failed(self.now, Some(&destination)),
            (None, _) => {}
        }
        self.write(&job);
    }

    /// Does the step, or half of it.
    fn act(&mut self, step: &Step, job: &Job, half: bool) -> Option<Outcome> {
        Some(match step {
            Step::Find => Outcome::Found(self.count()),
            Step::Freeze => {
                self.frozen = true;
                Outcome::Frozen(self.count())
            }
            Step::DestroyKeys => {
                self.keys = false;
                Outcome::KeysDestroyed
            }
            Step::DeleteRows => {
                self.rows = if half { self.rows / 2 } else { 0 };
                Outcome::RowsDeleted
            }
            Step::DeleteFiles => {
                self.files = if half { self.files / 2 } else { 0 };
                Outcome::FilesDeleted
            }
            Step::Compact => {
                self.traces = half;
                Outcome::Compacted
            }
            Step::Send { destination } => return self.far_side(destination),
            Step::Prove => {
                let hash = format!("{:?}", (&job.inventory(), job.receipts().collect::<Vec<_>>()));
                if !half {
                    self.proofs.push(hash.clone());
                }
                Outcome::Proven { hash }
            }
            Step::Finish => {
                self.told = !half;
                Outcome::Finished
            }
            Step::Wait { until } => {
                self.now = self.now.max(*until);
                return None;
            }
            Step::Held { .. } | Step::Nothing => return None,
        })
    }

    fn far_side(&mut self, destination: &str) -> Option<Outcome> {
        let far = self.far.get_mut(destination).expect("is connected");
        match far.answers.pop() {
            Some(Answer::Lost) => None,
            Some(Answer::Refuses) => Some(refused(destination)),
            Some(Answer::Takes) => {
                far.holds_data = false;
                Some(sent(destination))
            }
            None => {
                far.holds_data = false;
                Some(receipt(destination))
            }
        }
    }

    /// What is written is never ahead of what is so, and nothing goes before what comes before it.
    fn wrong(&self) -> Option<&'static str> {
        let job = self.read();
        let reached = |stage| job.stage() >= stage;
        let far_clean = self.far.values().all(|far| !far.holds_data);
        let claims = [
            ("frozen", reached(Stage::Frozen), self.frozen),
            ("keys destroyed", reached(Stage::KeysDestroyed), !self.keys),
            ("rows deleted", reached(Stage::RowsDeleted), self.rows == 0),
            ("files deleted", reached(Stage::FilesDeleted), self.files == 0),
            ("compacted", reached(Stage::DatabaseCompacted), !self.traces),
            ("fanned out", reached(Stage::FannedOut), far_clean),
            ("proven", reached(Stage::Proven), !self.proofs.is_empty()),
            ("done", job.is_done(), self.told),
            ("keys went before the freeze", !self.keys, self.frozen),
            ("rows went before the keys", self.rows < ROWS, !self.keys),
            ("files went before the rows", self.files < FILES, self.rows == 0),
            ("proven before all answered", !self.proofs.is_empty(), far_clean),
            ("told before it was proven", self.told, !self.proofs.is_empty()),
        ];
        claims.into_iter().find(|(_, claimed, so)| *claimed && !so).map(|(what, ..)| what)
    }

    fn holds_true(&self) {
        assert_eq!(self.wrong(), None);
    }

    /// From here on nothing dies any more.
    fn converges(mut self) {
        for _ in 0..400 {
            if self.read().is_done() {
                break;
            }
            self.round(Kill::Never);
            self.holds_true();
        }
        let job = self.read();
        assert!(job.is_done(), "stuck at {:?}", job.stage());
        assert_eq!(job.inventory().rows["lines"], ROWS, "the proof counts what there was, however often it died");
        assert_eq!((job.inventory().files, job.inventory().keys.len()), (FILES, 1));
        assert_eq!(job.history().len(), STAGES.len());
        assert_eq!(job.receipts().count(), self.far.len());
        assert!(self.proofs.iter().all(|p| Some(p.as_str()) == job.proof()), "one erasure, one proof");
    }
}

const FAR: &[(&str, &[Answer])] = &[("crm", &[Answer::Lost, Answer::Takes]), ("mail", &[Answer::Refuses])];

#[test]
fn killed_once_at_every_step_it_converges() {
    for kill in KILLS {
        for at in 0..20 {
            let mut world = World::new(FAR);
            for _ in 0..at {
                world.round(Kill::Never);
            }
            world.round(kill);
            world.holds_true();
            world.converges();
        }
    }
}

#[test]
fn killed_at_every_step_again_and_again_it_converges() {
    let mut world = World::new(FAR);
    for i in 0..200 {
        // Each step is killed in all ways before it comes through.
        world.round(KILLS[(i + 1) % KILLS.len()]);
        world.holds_true();
    }
    world.converges();
}

/// The check above sees what it should: a driver that reports a step and then dies before doing it is caught
/// at every step that destroys, orders or proves something.
#[test]
fn a_driver_that_reports_first_is_caught() {
    for (at, claim) in [
        (Step::DestroyKeys, "keys destroyed"),
        (Step::DeleteRows, "rows deleted"),
        (Step::DeleteFiles, "files deleted"),
        (Step::Compact, "compacted"),
        (Step::Prove, "proven"),
        (Step::Finish, "done"),
    ] {
        let mut world = World::new(FAR);
        while world.read().next(world.now, &[]) != at {
            world.round(Kill::Never);
        }
        let mut job = world.read();
        let outcome = world.clone().act(&at, &job, false).expect("a step");
        job.done(world.now, outcome).expect("in step");
        world.write(&job);
        assert_eq!(world.wrong(), Some(claim));
    }
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    prop::collection::vec(prop_oneof![Just(Answer::Lost), Just(Answer::Refuses), Just(Answer::Takes)], 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn killed_anywhere_it_converges(
        kills in prop::collection::vec(prop::sample::select(&KILLS[..]), 0..80),
        far in prop::collection::vec(answers(), 0..4),
    ) {
        let names = ["crm", "mail", "sheet", "web"];
        let far: Vec<(&str, &[Answer])> = names.into_iter().zip(far.iter().map(Vec::as_slice)).collect();
        let mut world = World::new(&far);
        for kill in kills {
            world.round(kill);
            world.holds_true();
        }
        world.converges();
    }
}
