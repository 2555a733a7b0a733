//! A scenario with its recordings read: what each caller does, step by step. It is made before the first call.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::caller::CallerError;
use crate::rehearse::scenario::{Caller, Expect, Scenario, Sound, Step};
use crate::rehearse::sounds;
use crate::rehearse::utterance::{Utterance, beginning, joined, read, silence, with_pauses};

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("caller {caller:?}, step {step}: {source}")]
    Recording { caller: String, step: usize, source: CallerError },
    #[error("caller {caller:?}, step {step}: the recording {name:?} is shorter than a pause's `at_ms`")]
    Cut { caller: String, step: usize, name: String },
    #[error("no recordings in {0}; `babble` is mixed from the others")]
    NoVoices(PathBuf),
}

pub struct Plan {
    pub kinds: Vec<Arc<Kind>>,
    /// Indices of kinds, each as often as its weight.
    turns: Vec<usize>,
    /// Played round and round under everything.
    pub room: Option<Arc<Vec<i16>>>,
}

/// One `[[caller]]`.
pub struct Kind {
    pub name: String,
    pub steps: Vec<Ready>,
    /// Somebody is spoken over, so what the agent says is kept for comparison.
    pub talks_over: bool,
}

pub struct Ready {
    pub does: Does,
    pub when: When,
    pub expect: Expect,
    pub within_ms: u32,
}

#[derive(Clone)]
pub enum Does {
    Keys(Vec<char>),
    /// One of these, in turn.
    Say(Vec<Arc<Utterance>>),
    Listen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after the agent's last speech.
    After(u32),
    /// So long after the agent began.
    Over(u32),
}

impl Plan {
    pub fn load(scenario: &Scenario) -> Result<Self, PlanError> {
        let mut shelf = Shelf {
            folder: scenario.recordings.clone(),
            seed: scenario.seed,
            think_ms: scenario.load.think_ms,
            read: HashMap::new(),
        };
        let kinds = scenario.callers.iter().map(|c| shelf.kind(c).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let turns = scenario.callers.iter().enumerate().flat_map(|(n, c)| std::iter::repeat_n(n, c.weight)).collect();
        let room = scenario.line.noise_dbfs.map(|dbfs| Arc::new(sounds::room(dbfs, scenario.seed)));
        Ok(Self { kinds, turns, room })
    }

    /// The kind of the nth call, and how many of its kind came before.
    pub fn caller(&self, n: usize) -> (Arc<Kind>, usize) {
        let place = n % self.turns.len().max(1);
        let kind = self.turns.get(place).copied().unwrap_or(0);
        let weight = self.turns.iter().filter(|k| **k == kind).count();
        let earlier = self.turns.iter().take(place).filter(|k| **k == kind).count();
        (Arc::clone(&self.kinds[kind]), n / self.turns.len().max(1) * weight + earlier)
    }
}

/// Recordings read so far.
struct Shelf {
    folder: PathBuf,
    seed: u64,
    /// The agent's silence before a step that says nothing else.
    think_ms: u32,
    read: HashMap<String, Arc<Vec<i16>>>,
}

impl Shelf {
    fn kind(&mut self, caller: &Caller) -> Result<Kind, PlanError> {
        let mut steps = vec![];
        for (n, step) in caller.steps.iter().enumerate() {
            steps.push(self.step(step, &caller.name, n + 1)?);
        }
        let talks_over = steps.iter().any(|s| matches!(s.when, When::Over(_)));
        Ok(Kind { name: caller.name.clone(), steps, talks_over })
    }

    fn step(&mut self, step: &Step, caller: &str, n: usize) -> Result<Ready, PlanError> {
        let does = match (&step.keys, step.sound) {
            (Some(keys), _) => Does::Keys(keys.chars().collect()),
            (None, Some(sound)) => {
                let voices = if sound == Sound::Babble { self.voices()? } else { vec![] };
                let voices: Vec<&[i16]> = voices.iter().map(|v| v.as_slice()).collect();
                let audio = sound.make(step.sound_ms, self.seed, &voices);
                Does::Say(vec![Arc::new(Utterance::new(sound.name().into(), audio, step.gain_db))])
            }
            (None, None) if step.say.is_empty() => Does::Listen,
            (None, None) => Does::Say(self.utterances(step, caller, n)?),
        };
        let when = step.over_ms.map_or(When::After(step.think_ms.unwrap_or(self.think_ms)), When::Over);
        Ok(Ready { does, when, expect: step.expect(), within_ms: step.within_ms() })
    }

    fn utterances(&mut self, step: &Step, caller: &str, n: usize) -> Result<Vec<Arc<Utterance>>, PlanError> {
        let mut all = vec![];
        let lengths = step.pause.iter().map(|p| p.ms.len()).max().unwrap_or(1);
        for turn in 0..lengths {
            for name in &step.say {
                let failed = |source| PlanError::Recording { caller: caller.into(), step: n, source };
                let recording = self.recording(name).map_err(failed)?;
                let (mut cuts, mut label) = (vec![], name.clone());
                for cut in &step.pause {
                    let ms = cut.ms[turn % cut.ms.len()];
                    let mut what = silence(ms);
                    label = format!("{label} [{ms} at {}]", cut.at_ms);
                    if let Some(filler) = &cut.filler {
                        let filler = beginning(&self.recording(filler).map_err(failed)?, cut.filler_ms);
                        what = joined(&joined(&what, 0, &filler), ms, &[]);
                        label.push_str(" with a filler");
                    }
                    cuts.push((cut.at_ms, what));
                }
                let too_short = || PlanError::Cut { caller: caller.into(), step: n, name: name.clone() };
                let mut audio = with_pauses(&recording, &cuts).ok_or_else(too_short)?;
                if let Some(before) = &step.before {
                    let before = beginning(&self.recording(before).map_err(failed)?, step.before_ms);
                    audio = joined(&before, step.gap_ms, &audio);
                    label = format!("filler [{}] {label}", step.gap_ms);
                }
                all.push(Arc::new(Utterance::new(label, audio, step.gain_db)));
            }
        }
        Ok(all)
    }

    fn recording(&mut self, name: &str) -> Result<Arc<Vec<i16>>, CallerError> {
        if let Some(read) = self.read.get(name) {
            return Ok(Arc::clone(read));
        }
        let audio = Arc::new(read(&self.folder, name)?);
        self.read.insert(name.to_owned(), Arc::clone(&audio));
        Ok(audio)
    }

    /// All of the folder's, in the order of their names.
    fn voices(&mut self) -> Result<Vec<Arc<Vec<i16>>>, PlanError> {
        let none = || PlanError::NoVoices(self.folder.clone());
        let files = std::fs::read_dir(&self.folder).map_err(|_| none())?;
        let mut names: Vec<String> = files
            .flatten()
            .filter_map(|f| f.file_name().to_str().and_then(|n| n.strip_suffix(".wav")).map(str::to_owned))
            .collect();
        names.sort_unstable();
        let voices: Vec<_> = names.iter().filter_map(|n| self.recording(n).ok()).collect();
        if voices.is_empty() { Err(PlanError::NoVoices(self.folder.clone())) } else { Ok(voices) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_come_in_turn_by_weight() {
        let kind = |name: &str| Arc::new(Kind { name: name.into(), steps: vec![], talks_over: false });
        let plan = Plan { kinds: vec![kind("a"), kind("b")], turns: vec![0, 0, 1], room: None };
        let got: Vec<String> = (0..7).map(|n| plan.caller(n)).map(|(k, nth)| format!("{}{nth}", k.name)).collect();
        assert_eq!(got, ["a0", "a1", "b0", "a2", "a3", "b1", "a4"]);
    }

    /// Every rehearsal of ours, with every recording it names.
    #[test]
    fn our_rehearsals_load() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/rehearsals");
        let mut pauses = HashMap::new();
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let scenario = Scenario::load(&file.path()).unwrap_or_else(|e| panic!("{e}"));
            let plan = Plan::load(&scenario).unwrap_or_else(|e| panic!("{}: {e}", file.path().display()));
            let mut long = 0;
            for n in 0..scenario.load.calls() {
                let (kind, nth) = plan.caller(n);
                for step in &kind.steps {
                    if let Does::Say(all) = &step.does {
                        let spoken = &all[nth % all.len()];
                        assert!(spoken.last_frame > 0 || step.expect == Expect::GoOn, "{} is silent", spoken.name);
                        long +=
                            spoken.pauses.iter().filter(|p| p.ms >= crate::rehearse::measure::LONG_PAUSE_MS).count();
                    }
                }
            }
            pauses.insert(file.file_name().into_string().unwrap(), long);
        }
        assert!(pauses.len() >= 7, "{pauses:?}");
        assert!(pauses["pauses.toml"] >= 100, "{pauses:?}");
    }
}
