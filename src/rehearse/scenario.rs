//! A rehearsal's TOML, read and checked: who calls, what they say and when, what the line does, what is aimed at.
//! It reads no recording and places no call.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::check::{Place, Problem, wrong};

/// Callers at once at most: what one machine can generate without lying about time.
pub const AT_ONCE_MAX: usize = 500;
const CALLS_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read {path}: {source}. Give a rehearsal, for example configs/rehearsals/front-desk.toml")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {detail}")]
    Toml { path: PathBuf, detail: String },
    #[error("{path}{}: `{key}` {problem}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Value { path: PathBuf, key: &'static str, line: Option<usize>, problem: String },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Said in the report.
    pub name: String,
    /// Folder of the recordings, relative to the scenario.
    pub recordings: PathBuf,
    /// Whom to call; the command line may say another.
    pub target: Option<String>,
    /// The same seed makes the same noise, losses and thinking times.
    #[serde(default = "one")]
    pub seed: u64,
    #[serde(default)]
    pub load: Load,
    #[serde(default)]
    pub line: Line,
    #[serde(default)]
    pub aim: Aim,
    /// Kinds of callers, taken in turn.
    #[serde(rename = "caller")]
    pub callers: Vec<Caller>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Altogether; without it `rounds` times `at_once`.
    pub calls: Option<usize>,
    pub rounds: usize,
    pub at_once: usize,
    /// A new caller at most so often.
    pub every_ms: u32,
    /// The agent's silence before a caller speaks, where the step does not say.
    pub think_ms: u32,
    /// Added to each caller's thinking time: up to so much, by chance.
    pub think_spread_ms: u32,
    /// Hung up then, whatever is being said.
    pub call_s_max: u32,
    /// PCMU without it; Opus where the target is a web page's.
    pub codec: Option<Codec>,
    pub srtp: bool,
}

impl Load {
    /// How many calls are made.
    pub fn calls(&self) -> usize {
        self.calls.unwrap_or(self.rounds * self.at_once)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

impl From<Codec> for sip::sdp::Codec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::Pcmu,
            Codec::Pcma => Self::Pcma,
            Codec::G722 => Self::G722,
            Codec::Opus => Self::Opus,
        }
    }
}

/// What the network and the room do. Losses and delays are made here, before the socket and behind it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Line {
    /// Of the packets of either side.
    pub loss_percent: f32,
    /// How long a loss lasts on average; 0: each packet for itself.
    pub burst_ms: u32,
    /// Each packet is up to so much later.
    pub jitter_ms: u32,
    /// Room noise under all that the caller sends.
    pub noise_dbfs: Option<f32>,
    /// The agent's voice comes back this much quieter ...
    pub echo_db: Option<f32>,
    /// ... after so long.
    pub echo_delay_ms: u32,
}

/// Each is looked at only where it is given. A missed one makes the command fail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aim {
    /// Voice to voice of answers to speech.
    pub p50_ms: Option<u32>,
    pub p95_ms: Option<u32>,
    /// Of the pauses of 450 ms and more.
    pub cut_offs_percent_max: Option<f32>,
    /// Interruptions yielded to.
    pub yield_percent_min: Option<f32>,
    /// Backchannels, noise and echo that the agent spoke on through.
    pub go_on_percent_min: Option<f32>,
    /// From the interruption's first speech to the agent's last.
    pub silence_p50_ms: Option<u32>,
    pub silence_p95_ms: Option<u32>,
    /// Turns without the expected answer, and refused and lost calls.
    pub failed_max: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    pub name: String,
    /// So many of this kind in a row of turns.
    #[serde(default = "one_usize")]
    pub weight: usize,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Keys to press.
    pub keys: Option<String>,
    /// Recordings without ".wav", one in turn.
    pub say: Vec<String>,
    pub sound: Option<Sound>,
    /// Length of the sound.
    pub sound_ms: Option<u32>,
    /// The agent's silence before it.
    pub think_ms: Option<u32>,
    /// Or: so long after the agent began to speak.
    pub over_ms: Option<u32>,
    /// Pauses put into the recording.
    pub pause: Vec<Cut>,
    /// A recording right before it, "um" for example, or the beginning of one.
    pub before: Option<String>,
    pub before_ms: Option<u32>,
    /// Silence between the two.
    pub gap_ms: u32,
    pub gain_db: f32,
    pub expect: Option<Expect>,
    /// How long that may take.
    pub within_ms: Option<u32>,
}

/// A pause put into a recording.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Where; the quietest place within 80 ms is taken.
    pub at_ms: u32,
    /// How long; of several one in turn.
    pub ms: Vec<u32>,
    /// A recording, or the beginning of one, with the silence before it and after it again.
    pub filler: Option<String>,
    pub filler_ms: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sound {
    Cough,
    Breath,
    Click,
    Crackle,
    Hum,
    Babble,
    Music,
}

/// What a good agent does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// It answers.
    Answer,
    /// It falls silent, then answers.
    Yield,
    /// It speaks on as if nothing had been.
    GoOn,
    /// It stays silent.
    Nothing,
    /// It speaks of its own accord.
    Prompt,
    /// It ends the call.
    End,
}

impl Step {
    pub fn expect(&self) -> Expect {
        let spoken = !self.say.is_empty() || self.keys.is_some();
        self.expect.unwrap_or(match (spoken, self.sound, self.over_ms) {
            (true, _, Some(_)) => Expect::Yield,
            (true, _, None) => Expect::Answer,
            (_, Some(_), Some(_)) => Expect::GoOn,
            (_, Some(_), None) => Expect::Nothing,
            _ => Expect::Prompt,
        })
    }

    pub fn within_ms(&self) -> u32 {
        self.within_ms.unwrap_or(match self.expect() {
            Expect::Nothing => 3_000,
            Expect::Prompt => 12_000,
            _ => 8_000,
        })
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let no = |key, problem: &str| Err((key, problem.to_owned()));
        let ways = [self.keys.is_some(), !self.say.is_empty(), self.sound.is_some()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return no("say", "cannot stand beside `keys` or `sound`; make two steps of it");
        }
        if self.keys.as_deref().is_some_and(|k| k.is_empty() || k.chars().any(|c| media::Digit::from_char(c).is_none()))
        {
            return no("keys", "takes 0-9, *, # and A-D");
        }
        if self.over_ms.is_some() && self.think_ms.is_some() {
            return no("over_ms", "cannot stand beside `think_ms`: the caller either waits or speaks over the agent");
        }
        if self.over_ms.is_some() && self.keys.is_some() {
            return no("over_ms", "is for `say` and `sound`");
        }
        if (!self.pause.is_empty() || self.before.is_some()) && self.say.is_empty() {
            return no("say", "is missing: `pause` and `before` change a recording");
        }
        if !self.pause.is_empty() && self.say.len() > 1 {
            return no(
                "pause",
                "has its place in one recording; give `say` one, and each other recording a caller of its own",
            );
        }
        if self.pause.iter().any(|p| p.ms.is_empty() || p.ms.iter().any(|ms| !(100..=5_000).contains(ms))) {
            return no("pause", "takes `ms` as a list of 100 to 5000: { at_ms = 900, ms = [500, 700] }");
        }
        if self.sound_ms.is_some() && self.sound.is_none() {
            return no("sound_ms", "needs a `sound`");
        }
        if self.sound_ms.is_some_and(|ms| !(20..=60_000).contains(&ms)) {
            return no("sound_ms", "takes 20 to 60000");
        }
        if !(-60.0..=20.0).contains(&self.gain_db) {
            return no("gain_db", "takes -60 to 20");
        }
        if self.gap_ms > 10_000 {
            return no("gap_ms", "takes 0 to 10000");
        }
        let over = self.over_ms.is_some();
        match self.expect() {
            Expect::Yield | Expect::GoOn if !over => no("expect", "needs `over_ms`: nobody is spoken over"),
            Expect::Prompt if ways.contains(&true) => no("expect", "\"prompt\" is for a step that says nothing"),
            Expect::Answer | Expect::Nothing if over => {
                no("expect", "takes \"yield\", \"go_on\" or \"end\" beside `over_ms`")
            }
            Expect::Answer | Expect::Nothing if !ways.contains(&true) => no("expect", "needs `say`, `keys` or `sound`"),
            _ => Ok(()),
        }
    }
}

impl Scenario {
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ScenarioError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// The same from a text; `path` names it in errors and anchors the folder of recordings.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self =
            toml::from_str(text).map_err(|e| ScenarioError::Toml { path: path.into(), detail: e.to_string() })?;
        scenario.recordings = path.parent().unwrap_or(Path::new(".")).join(&scenario.recordings);
        scenario.check().map_err(|p| p.told(path, Some(text)))?;
        Ok(scenario)
    }

    /// Again, after the command line has changed something.
    pub fn checked(self, path: &Path) -> Result<Self, ScenarioError> {
        self.check().map_err(|p| p.told(path, None))?;
        Ok(self)
    }

    fn check(&self) -> Result<(), Problem> {
        self.load.check()?;
        let line = &self.line;
        if !(0.0..=50.0).contains(&line.loss_percent) {
            return wrong("line", "loss_percent", "takes 0 to 50");
        }
        if line.burst_ms > 2_000 {
            return wrong("line", "burst_ms", "takes 0 to 2000");
        }
        if line.jitter_ms > 500 {
            return wrong("line", "jitter_ms", "takes 0 to 500");
        }
        if line.noise_dbfs.is_some_and(|n| !(-90.0..=-10.0).contains(&n)) {
            return wrong("line", "noise_dbfs", "takes -90 to -10");
        }
        if line.echo_db.is_some_and(|e| !(0.0..=80.0).contains(&e)) {
            return wrong("line", "echo_db", "takes 0 to 80: how much quieter the echo is");
        }
        if line.echo_delay_ms > 900 {
            return wrong("line", "echo_delay_ms", "takes 0 to 900");
        }
        if self.callers.is_empty() {
            return wrong("caller", "caller", "needs at least one [[caller]]");
        }
        let mut step = 0;
        for (n, caller) in self.callers.iter().enumerate() {
            if caller.steps.is_empty() {
                return wrong(Place::Item("caller", n), "step", "needs at least one [[caller.step]]");
            }
            if !(1..=1000).contains(&caller.weight) {
                return wrong(Place::Item("caller", n), "weight", "takes 1 to 1000");
            }
            for s in &caller.steps {
                let who = |problem| format!("{problem} (caller {:?})", caller.name);
                let place = Place::Item("caller.step", step);
                s.check().map_err(|(key, problem)| Problem { place, key, problem: who(problem) })?;
                step += 1;
            }
        }
        Ok(())
    }
}

impl Problem {
    fn told(self, path: &Path, text: Option<&str>) -> ScenarioError {
        let Self { place, key, problem } = self;
        let line = text.and_then(|t| place.line(t, key));
        ScenarioError::Value { path: path.into(), key, line, problem }
    }
}

impl Load {
    fn check(&self) -> Result<(), Problem> {
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            return wrong("load", "at_once", format!("takes 1 to {AT_ONCE_MAX}"));
        }
        if self.calls.is_some_and(|c| !(1..=CALLS_MAX).contains(&c)) {
            return wrong("load", "calls", format!("takes 1 to {CALLS_MAX}"));
        }
        if !(1..=1000).contains(&self.rounds) {
            return wrong("load", "rounds", "takes 1 to 1000");
        }
        if !(5..=3600).contains(&self.call_s_max) {
            return wrong("load", "call_s_max", "takes 5 to 3600 seconds");
        }
        Ok(())
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            calls: None,
            rounds: 1,
            at_once: 1,
            every_ms: 0,
            think_ms: 900,
            think_spread_ms: 0,
            call_s_max: 300,
            codec: None,
            srtp: false,
        }
    }
}

fn one() -> u64 {
    1
}

fn one_usize() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"x\"\nrecordings = \"r\"\n";

    fn parse(more: &str) -> Result<Scenario, String> {
        Scenario::parse("d/x.toml".as_ref(), &format!("{HEAD}{more}")).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let step = |keys: &str| format!("[[caller]]\nname = \"a\"\n[[caller.step]]\n{keys}\n");
        for (text, wanted) in [
            (step("sai = []"), "line 6"),
            (step("say = [\"a\"]\nkeys = \"2\""), "line 6: `say` cannot stand beside"),
            (step("keys = \"x\""), "line 6: `keys` takes 0-9"),
            (step("say = [\"a\"]\nexpect = \"yield\""), "line 7: `expect` needs `over_ms`"),
            (step("say = [\"a\"]\nexpect = \"maybe\""), "unknown variant `maybe`"),
            (step("say = [\"a\", \"b\"]\npause = [{ at_ms = 5, ms = [500] }]"), "line 7: `pause` has its place"),
            (step("say = [\"a\"]\npause = [{ at_ms = 5, ms = [] }]"), "line 7: `pause` takes `ms`"),
            (step("sound_ms = 100"), "line 6: `sound_ms` needs a `sound`"),
            (step("say = [\"a\"]\n[load]\nat_once = 0"), "line 8: `at_once` takes 1 to"),
            (step("say = [\"a\"]\n[line]\nloss_percent = 51"), "line 8: `loss_percent` takes 0 to 50"),
            ("[[caller]]\nname = \"a\"\nstep = []\n".into(), "`step` needs at least one"),
            ("caller = []\n".into(), "`caller` needs at least one"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(wanted) && error.contains("d/x.toml"), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_expected_follows_from_the_step() {
        let text = "[[caller]]\nname = \"a\"\n[[caller.step]]\nkeys = \"2\"\n[[caller.step]]\nsay = [\"a\"]\n\
                    over_ms = 900\n[[caller.step]]\nsound = \"cough\"\nover_ms = 900\n[[caller.step]]\nsound = \"hum\"\n\
                    [[caller.step]]\nthink_ms = 1\n[load]\nat_once = 4\nrounds = 3\n";
        let scenario = parse(text).unwrap();
        let expected: Vec<Expect> = scenario.callers[0].steps.iter().map(Step::expect).collect();
        use Expect::{Answer, GoOn, Nothing, Prompt, Yield};
        assert_eq!(expected, [Answer, Yield, GoOn, Nothing, Prompt]);
        assert_eq!(scenario.recordings, Path::new("d/r"));
        assert_eq!(scenario.load.calls(), 12);
    }
}
