//! What a rehearsal found, as JSON and as words: every turn, quantiles, aims met and missed. It measures nothing.

use serde::Serialize;

use crate::rehearse::log::{Lateness, Line};
use crate::rehearse::measure::{LONG_PAUSE_MS, Outcome, Sort, Spans, Turn};
use crate::rehearse::scenario::{self, Aim};

/// Ticks of the generator later than this make wrong numbers ...
const LATE_MS: u32 = 5;
/// ... where more than one in a hundred is.
const LATE_SHARE: u64 = 100;

#[derive(Debug, Serialize)]
pub struct RunResult {
    pub scenario: String,
    pub dauys: &'static str,
    pub machine: String,
    /// RFC 3339.
    pub started: String,
    pub took_s: u32,
    pub seed: u64,
    pub load: scenario::Load,
    pub line: scenario::Line,
    pub summary: Summary,
    pub aims: Vec<AimMet>,
    pub generator: Generator,
    pub calls: Vec<Call>,
}

#[derive(Debug, Serialize)]
pub struct Call {
    pub n: usize,
    pub caller: String,
    #[serde(flatten)]
    pub line: Line,
    /// The gateway's times were found and laid beside these turns.
    pub joined: bool,
    pub turns: Vec<Turn>,
    /// Who spoke when.
    pub caller_speech: Spans,
    pub agent_speech: Spans,
}

impl Call {
    /// Refused, lost, or without a turn that should have been answered.
    pub fn failed(&self) -> bool {
        self.line.answered_ms.is_none() || self.line.ended_by == "lost" || self.turns.iter().any(|t| t.outcome.failed())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: usize,
    pub p50: Option<u32>,
    pub p95: Option<u32>,
    pub p99: Option<u32>,
    pub max: Option<u32>,
}

impl Quantiles {
    pub fn of(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let (p50, p95, p99) = (quantile(&values, 0.5), quantile(&values, 0.95), quantile(&values, 0.99));
        Self { count: values.len(), p50, p95, p99, max: values.last().copied() }
    }
}

/// The nearest rank.
pub fn quantile<T: Copy>(sorted: &[T], q: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    pub of: usize,
    pub count: usize,
}

impl Share {
    fn of<T>(all: impl Iterator<Item = T>, counts: impl Fn(&T) -> bool) -> Self {
        all.fold(Self::default(), |s, t| Self { of: s.of + 1, count: s.count + usize::from(counts(&t)) })
    }

    pub fn percent(self) -> Option<f32> {
        (self.of > 0).then(|| self.count as f32 * 100.0 / self.of as f32)
    }
}

#[derive(Debug, Default, Serialize)]
pub struct Summary {
    pub calls: usize,
    pub answered_calls: usize,
    /// Status and how many.
    pub refused_calls: Vec<(u16, usize)>,
    pub lost_calls: usize,
    pub turns: usize,
    pub failed_turns: usize,
    /// Voice to voice of answers to speech, to keys, to interruptions, and of prompts.
    pub speech_ms: Quantiles,
    /// The same up to the answer itself, where a filler came first; of turns with the gateway's own times.
    pub content_ms: Quantiles,
    pub key_ms: Quantiles,
    pub interruption_ms: Quantiles,
    pub prompt_ms: Quantiles,
    /// Pauses of 450 ms and more after which the agent began too early; and the shorter ones.
    pub cut_offs: Share,
    pub cut_offs_short: Share,
    /// Utterances that the agent did not let end.
    pub cut_utterances: Share,
    pub yielded: Share,
    pub duck_ms: Quantiles,
    pub silence_ms: Quantiles,
    /// Sounds that should not stop the agent, and how often it went on.
    pub went_on: Share,
    pub gap_ms: Quantiles,
    /// Resumed speech: at most so much was said twice, or left out.
    pub twice_ms: Quantiles,
    pub left_out_ms: Quantiles,
    /// Over steps for which the agent was not speaking.
    pub missed: usize,
}

#[derive(Debug, Serialize)]
pub struct Generator {
    pub ticks: u64,
    pub late_p99_ms: u32,
    pub late_max_ms: f32,
    pub late_over_5_ms: u64,
    /// False: the numbers of this run are the generator's own fault as much as the agent's.
    pub on_time: bool,
}

impl Generator {
    pub fn new(late: &Lateness) -> Self {
        let over = late.over(LATE_MS as usize);
        Self {
            ticks: late.ticks(),
            late_p99_ms: late.quantile_ms(0.99),
            late_max_ms: late.max_ms(),
            late_over_5_ms: over,
            on_time: over * LATE_SHARE <= late.ticks(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AimMet {
    pub name: &'static str,
    pub wanted: f32,
    /// `None`: there was nothing to measure it by, which misses it.
    pub got: Option<f32>,
    pub met: bool,
}

impl Summary {
    pub fn of(calls: &[Call]) -> Self {
        let all = || calls.iter().flat_map(|c| &c.turns);
        let of = |sort: Sort| all().filter(move |t| t.sort == sort);
        let wire = |sort: Sort| {
            let answered = of(sort).filter(|t| t.outcome == Outcome::Answered);
            Quantiles::of(answered.filter_map(|t| t.voice_to_voice_ms).collect())
        };
        let pauses = |long: bool| all().flat_map(|t| &t.pauses).filter(move |p| (p.ms >= LONG_PAUSE_MS) == long);
        let present = |t: &&Turn| t.outcome != Outcome::Missed && t.over.is_some();
        let over = |sort: Sort| of(sort).filter(present).filter_map(|t| t.over.as_ref());
        let either = || over(Sort::Interruption).chain(over(Sort::Backchannel));
        let went_on = || of(Sort::Backchannel).filter(|t| t.outcome == Outcome::WentOn).filter_map(|t| t.over.as_ref());
        let twice = || went_on().filter_map(|o| o.twice_ms);
        let magnitudes = |values: Vec<i32>| Quantiles::of(values.into_iter().map(i32::unsigned_abs).collect());
        let mut refused: Vec<(u16, usize)> = vec![];
        for status in calls.iter().filter_map(|c| c.line.refused) {
            match refused.iter_mut().find(|(s, _)| *s == status) {
                Some((_, count)) => *count += 1,
                None => refused.push((status, 1)),
            }
        }
        Self {
            calls: calls.len(),
            answered_calls: calls.iter().filter(|c| c.line.answered_ms.is_some()).count(),
            refused_calls: refused,
            lost_calls: calls.iter().filter(|c| c.line.ended_by == "lost").count(),
            turns: all().count(),
            failed_turns: all().filter(|t| t.outcome.failed()).count(),
            speech_ms: wire(Sort::Speech),
            content_ms: Quantiles::of(of(Sort::Speech).filter_map(content_ms).collect()),
            key_ms: wire(Sort::Key),
            interruption_ms: wire(Sort::Interruption),
            prompt_ms: wire(Sort::Prompt),
            cut_offs: Share::of(pauses(true), |p| p.cut_off),
            cut_offs_short: Share::of(pauses(false), |p| p.cut_off),
            cut_utterances: Share::of(of(Sort::Speech), |t| t.outcome == Outcome::CutOff),
            yielded: Share::of(over(Sort::Interruption), |o| o.yielded),
            duck_ms: Quantiles::of(either().filter_map(|o| o.duck_ms).collect()),
            silence_ms: Quantiles::of(over(Sort::Interruption).filter_map(|o| o.silence_ms).collect()),
            went_on: Share::of(of(Sort::Backchannel).filter(present), |t| t.outcome == Outcome::WentOn),
            gap_ms: Quantiles::of(went_on().filter_map(|o| o.gap_ms).collect()),
            twice_ms: magnitudes(twice().filter(|t| *t >= 0).collect()),
            left_out_ms: magnitudes(twice().filter(|t| *t < 0).collect()),
            missed: all().filter(|t| t.outcome == Outcome::Missed).count(),
        }
    }

    /// Turns, and calls that came to nothing.
    pub fn failed(&self) -> usize {
        let refused: usize = self.refused_calls.iter().map(|(_, n)| n).sum();
        let nowhere = self.calls - self.answered_calls;
        self.failed_turns + self.lost_calls + refused.max(nowhere)
    }

    /// Every aim that was set.
    pub fn aims(&self, aim: &Aim) -> Vec<AimMet> {
        let ms = |v: Option<u32>| v.map(|v| v as f32);
        let most = |name, wanted: Option<f32>, got: Option<f32>| {
            wanted.map(|wanted| AimMet { name, wanted, got, met: got.is_some_and(|g| g <= wanted) })
        };
        let least = |name, wanted: Option<f32>, got: Option<f32>| {
            wanted.map(|wanted| AimMet { name, wanted, got, met: got.is_some_and(|g| g >= wanted) })
        };
        [
            most("p50_ms", ms(aim.p50_ms), ms(self.speech_ms.p50)),
            most("p95_ms", ms(aim.p95_ms), ms(self.speech_ms.p95)),
            most("cut_offs_percent_max", aim.cut_offs_percent_max, self.cut_offs.percent()),
            least("yield_percent_min", aim.yield_percent_min, self.yielded.percent()),
            least("go_on_percent_min", aim.go_on_percent_min, self.went_on.percent()),
            most("silence_p50_ms", ms(aim.silence_p50_ms), ms(self.silence_ms.p50)),
            most("silence_p95_ms", ms(aim.silence_p95_ms), ms(self.silence_ms.p95)),
            most("failed_max", aim.failed_max.map(|m| m as f32), Some(self.failed() as f32)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl RunResult {
    pub fn all_met(&self) -> bool {
        self.aims.iter().all(|a| a.met)
    }

    /// For people.
    pub fn text(&self) -> String {
        let s = &self.summary;
        let mut text = format!("{}\n", self.scenario);
        let mut line = |name: &str, value: String| text += &format!("  {name:<26} {value}\n");
        let refused: Vec<String> =
            s.refused_calls.iter().map(|(status, n)| format!("{n} refused with {status}")).collect();
        let mut calls = vec![format!("{} of {} answered", s.answered_calls, s.calls)];
        calls.extend(refused);
        calls.extend((s.lost_calls > 0).then(|| format!("{} lost", s.lost_calls)));
        line("calls", calls.join(", "));
        line("turns", format!("{}, {} failed{}", s.turns, s.failed_turns, missed(s)));
        for (name, q) in [
            ("voice to voice", s.speech_ms),
            ("  to the answer itself", s.content_ms),
            ("  after a key", s.key_ms),
            ("  after an interruption", s.interruption_ms),
            ("prompted after", s.prompt_ms),
            ("ducked after", s.duck_ms),
            ("silent after", s.silence_ms),
            ("gaps in what went on", s.gap_ms),
            ("said twice", s.twice_ms),
            ("left out", s.left_out_ms),
        ] {
            if q.count > 0 {
                let show = |v: Option<u32>| v.map_or("-".into(), |v| v.to_string());
                let (p50, p95, p99, max) = (show(q.p50), show(q.p95), show(q.p99), show(q.max));
                line(name, format!("p50 {p50}  p95 {p95}  p99 {p99}  max {max} ms  ({})", q.count));
            }
        }
        for (name, share) in [
            ("cut off in pauses", s.cut_offs),
            ("  under 450 ms", s.cut_offs_short),
            ("interruptions yielded to", s.yielded),
            ("sounds spoken on through", s.went_on),
        ] {
            if let Some(percent) = share.percent() {
                line(name, format!("{} of {} ({percent:.1} %)", share.count, share.of));
            }
        }
        let g = &self.generator;
        line("generator", format!("ticks late: p99 {} ms, max {:.0} ms", g.late_p99_ms, g.late_max_ms));
        if !g.on_time {
            line(
                "",
                "LATE: more than 1 % of its ticks were over 5 ms late; use fewer callers or another machine".into(),
            );
        }
        text
    }

    /// One line for each aim that was missed.
    pub fn misses(&self) -> Vec<String> {
        let missed = self.aims.iter().filter(|a| !a.met);
        missed
            .map(|a| match a.got {
                Some(got) => format!("missed: {} is {got}, aimed at {}", a.name, a.wanted),
                None => format!("missed: {} has nothing to be measured by", a.name),
            })
            .collect()
    }
}

/// On the wire: what the gateway says lay between a filler and the answer is added.
fn content_ms(turn: &Turn) -> Option<u32> {
    let stages = turn.stages.as_ref().filter(|_| turn.outcome == Outcome::Answered)?;
    Some(turn.voice_to_voice_ms? + stages.content_ms?.saturating_sub(stages.first_frame_ms?))
}

fn missed(s: &Summary) -> String {
    if s.missed == 0 { String::new() } else { format!(", {} not played: the agent was not speaking", s.missed) }
}

/// The processor's name and the number of cores.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches(['\t', ' ', ':']).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::measure::PauseHeard;

    fn turn(sort: Sort, outcome: Outcome, wire: Option<u32>) -> Turn {
        Turn {
            step: 1,
            said: "x".into(),
            sort,
            outcome,
            first_ms: 0,
            last_ms: Some(10),
            agent_ms: wire.map(|w| w + 10),
            voice_to_voice_ms: wire,
            pauses: vec![PauseHeard { ms: 700, cut_off: outcome == Outcome::CutOff }],
            over: None,
            stages: None,
        }
    }

    fn call(turns: Vec<Turn>, refused: Option<u16>) -> Call {
        let answered_ms = refused.is_none().then_some(5);
        let line = Line { answered_ms, refused, ended_by: "caller".into(), ..Line::default() };
        Call { n: 0, caller: "a".into(), line, joined: false, turns, caller_speech: vec![], agent_speech: vec![] }
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let q = Quantiles::of((1..=100).rev().collect());
        assert_eq!((q.p50, q.p95, q.p99, q.max), (Some(50), Some(95), Some(99), Some(100)));
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
        assert_eq!(Quantiles::of(vec![7]).p50, Some(7));
    }

    #[test]
    fn what_was_cut_off_is_not_an_answer_in_time() {
        let turns = vec![
            turn(Sort::Speech, Outcome::Answered, Some(300)),
            turn(Sort::Speech, Outcome::CutOff, Some(20)),
            turn(Sort::Key, Outcome::Answered, Some(5)),
            turn(Sort::Speech, Outcome::Unanswered, None),
        ];
        let s = Summary::of(&[call(turns, None), call(vec![], Some(503))]);
        assert_eq!((s.speech_ms.count, s.speech_ms.max, s.key_ms.p50), (1, Some(300), Some(5)));
        assert_eq!(s.cut_offs, Share { of: 4, count: 1 });
        assert_eq!((s.failed_turns, s.failed(), s.refused_calls), (1, 2, vec![(503, 1)]));
    }

    #[test]
    fn aims_are_met_or_missed() {
        let s = Summary::of(&[call(vec![turn(Sort::Speech, Outcome::Answered, Some(300))], None)]);
        let aim = Aim {
            p50_ms: Some(300),
            p95_ms: Some(299),
            yield_percent_min: Some(98.0),
            failed_max: Some(0),
            ..Aim::default()
        };
        let got: Vec<(&str, bool)> = s.aims(&aim).iter().map(|a| (a.name, a.met)).collect();
        assert_eq!(got, [("p50_ms", true), ("p95_ms", false), ("yield_percent_min", false), ("failed_max", true)]);
    }

    #[test]
    fn a_late_generator_says_so() {
        let mut late = Lateness::default();
        (0..1_000).for_each(|_| late.tick(std::time::Duration::from_millis(1)));
        assert!(Generator::new(&late).on_time);
        (0..20).for_each(|_| late.tick(std::time::Duration::from_millis(9)));
        assert!(!Generator::new(&late).on_time);
    }
}
