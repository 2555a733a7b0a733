//! From a call's log to its turns: who answered whom and when, who was cut off. All of it from what was on the wire;
//! it knows nothing of the gateway.

use serde::Serialize;

use crate::caller::{NEW_ANSWER, SPEECH_DBFS};
use crate::rehearse::log::{CallLog, Packet, Said, What};
use crate::rehearse::over::{self, Over, Replies};
use crate::rehearse::scenario::Expect;
use crate::rehearse::stages::Stages;

/// Silences inside an utterance from here on count as pauses; shorter ones are told apart from them.
pub const LONG_PAUSE_MS: u32 = 450;
const NEW_ANSWER_MS: u32 = NEW_ANSWER.as_millis() as u32;

/// What a turn is counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Speech that an answer was expected to.
    Speech,
    Key,
    /// Speech over the agent that should stop it.
    Interruption,
    /// Sound over the agent that should not.
    Backchannel,
    /// Sound that nothing should follow.
    Noise,
    /// The agent was to speak of its own accord.
    Prompt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Answered,
    /// The agent began before the caller had finished.
    CutOff,
    Unanswered,
    /// It spoke on, or resumed where it had stopped.
    WentOn,
    /// It stopped for good.
    Stopped,
    /// It took the sound for a turn and said something else.
    TookAsTurn,
    /// As it should be, nothing came.
    Quiet,
    /// It spoke although nothing had been said.
    Spoke,
    Ended,
    NotEnded,
    /// There was nobody to speak over.
    Missed,
    /// The call was over before the outcome was known.
    Unknown,
}

impl Outcome {
    pub const fn failed(self) -> bool {
        matches!(self, Self::Unanswered | Self::Spoke | Self::NotEnded)
    }
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct PauseHeard {
    pub ms: u32,
    pub cut_off: bool,
}

/// One step of a call and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Turn {
    /// From 1.
    pub step: usize,
    pub said: String,
    pub sort: Sort,
    pub outcome: Outcome,
    /// Milliseconds since the INVITE: the packets with the caller's first and last speech ...
    pub first_ms: u32,
    pub last_ms: Option<u32>,
    /// ... and the agent's first speech after it.
    pub agent_ms: Option<u32>,
    pub voice_to_voice_ms: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<PauseHeard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
}

/// Spans of speech, `[from, to]` in milliseconds.
pub type Spans = Vec<[u32; 2]>;

/// When the agent was to be heard: speech with gaps of less than 100 ms.
pub fn agent_spans(heard: &[Packet]) -> Spans {
    let mut spans: Spans = vec![];
    for packet in heard.iter().filter(|p| p.dbfs >= SPEECH_DBFS) {
        match spans.last_mut() {
            Some([_, to]) if packet.at_ms.saturating_sub(*to) <= NEW_ANSWER_MS => *to = packet.at_ms.max(*to),
            _ => spans.push([packet.at_ms, packet.at_ms]),
        }
    }
    spans
}

/// When the caller was: utterances without their pauses.
pub fn caller_spans(said: &[Said]) -> Spans {
    let mut spans = vec![];
    for said in said.iter().filter(|s| matches!(s.what, What::Speech(_) | What::Keys(_))) {
        let mut from = said.first_ms;
        let last = said.last_ms.unwrap_or(from).max(from);
        for (at, ms) in &said.pauses {
            spans.push([from, *at]);
            from = at + ms;
        }
        spans.push([from, last]);
    }
    spans
}

/// All turns of a call. `replies`: how the same agent sounds when nobody talks over it.
pub fn turns(log: &CallLog, ended_by_agent_ms: Option<u32>, replies: Option<&Replies>) -> Vec<Turn> {
    let spans = agent_spans(&log.heard);
    let turn = |(n, said): (usize, &Said)| {
        let mut turn = plain(said, &spans, ended_by_agent_ms);
        if matches!(turn.sort, Sort::Interruption | Sort::Backchannel) && turn.outcome != Outcome::Missed {
            let (over, outcome) = over::measure(log, n, replies);
            turn.outcome = match turn.sort {
                Sort::Backchannel => outcome,
                _ => turn.outcome,
            };
            turn.over = Some(over);
        }
        turn
    };
    log.said.iter().enumerate().map(turn).collect()
}

fn sort(said: &Said) -> Sort {
    match (said.expect, &said.what) {
        (Expect::Yield, _) => Sort::Interruption,
        (Expect::GoOn, _) => Sort::Backchannel,
        (Expect::Nothing, _) => Sort::Noise,
        (Expect::Prompt, _) => Sort::Prompt,
        (_, What::Keys(_)) => Sort::Key,
        _ => Sort::Speech,
    }
}

fn plain(said: &Said, agent: &Spans, ended_ms: Option<u32>) -> Turn {
    let mut turn = Turn {
        step: said.step + 1,
        said: said.what.label(),
        sort: sort(said),
        outcome: Outcome::Unknown,
        first_ms: said.first_ms,
        last_ms: said.last_ms,
        agent_ms: None,
        voice_to_voice_ms: None,
        pauses: vec![],
        over: None,
        stages: None,
    };
    if matches!(said.what, What::Missed(_)) {
        turn.outcome = Outcome::Missed;
        return turn;
    }
    let Some(last) = said.last_ms else { return turn };
    let onset = |from: u32, to: u32| agent.iter().map(|s| s[0]).find(|at| *at > from && *at <= to);
    turn.agent_ms = onset(last, last.saturating_add(said.within_ms));
    turn.voice_to_voice_ms = turn.agent_ms.map(|at| at - last);
    // Speech that was there before is an interruption's; speech that begins inside cuts off.
    let ends = said.pauses.iter().skip(1).map(|p| p.0).chain([last]);
    turn.pauses = said
        .pauses
        .iter()
        .zip(ends)
        .map(|((at, ms), end)| PauseHeard { ms: *ms, cut_off: onset(*at, end).is_some() })
        .collect();
    let is_inside = turn.sort == Sort::Speech && onset(said.first_ms, last).is_some();
    let ended = ended_ms.is_some_and(|at| at >= last);
    turn.outcome = match (said.expect, turn.agent_ms.is_some()) {
        (Expect::End, _) if ended => Outcome::Ended,
        (Expect::End, _) => Outcome::NotEnded,
        (Expect::Nothing, true) => Outcome::Spoke,
        (Expect::Nothing, false) => Outcome::Quiet,
        _ if is_inside => Outcome::CutOff,
        (_, true) => Outcome::Answered,
        // Whoever ends the call while an answer is due owes it.
        (_, false) if said.until_ms.is_some() || ended_ms.is_some() => Outcome::Unanswered,
        (_, false) => Outcome::Unknown,
    };
    turn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::utterance::Utterance;
    use std::sync::Arc;

    /// The agent's packets in these spans.
    fn heard(spans: &[(u32, u32)], until: u32) -> Vec<Packet> {
        let level = |at: u32| if spans.iter().any(|(f, t)| (*f..*t).contains(&at)) { -20.0 } else { -127.0 };
        (0..until).step_by(20).map(|at_ms| Packet { at_ms, dbfs: level(at_ms) }).collect()
    }

    fn said(expect: Expect, first_ms: u32, last_ms: u32, pauses: &[(u32, u32)]) -> Said {
        Said {
            step: 0,
            what: What::Speech(Arc::new(Utterance::new("x".into(), vec![], 0.0))),
            expect,
            within_ms: 2_000,
            begun_ms: first_ms,
            first_ms,
            last_ms: Some(last_ms),
            pauses: pauses.to_vec(),
            until_ms: Some(last_ms + 2_000),
        }
    }

    fn one(agent: &[(u32, u32)], said: Said) -> Turn {
        let log = CallLog { heard: heard(agent, 9_000), said: vec![said], ..CallLog::default() };
        turns(&log, None, None).remove(0)
    }

    #[test]
    fn an_answer_is_timed_from_the_last_speech() {
        let turn = one(&[(0, 1_000), (4_240, 5_000)], said(Expect::Answer, 3_000, 4_000, &[]));
        assert_eq!((turn.outcome, turn.voice_to_voice_ms), (Outcome::Answered, Some(240)));
        let turn = one(&[(0, 1_000), (6_240, 7_000)], said(Expect::Answer, 3_000, 4_000, &[]));
        assert_eq!((turn.outcome, turn.voice_to_voice_ms), (Outcome::Unanswered, None));
    }

    #[test]
    fn a_pause_is_cut_off_where_the_agent_begins_before_the_last_speech() {
        let pauses = [(3_200, 600), (4_400, 700)];
        let spoken = || said(Expect::Answer, 3_000, 6_000, &pauses);
        let cuts = |t: &Turn| t.pauses.iter().map(|p| (p.ms, p.cut_off)).collect::<Vec<_>>();
        let turn = one(&[(0, 1_000), (6_300, 7_000)], spoken());
        assert_eq!((turn.outcome, cuts(&turn)), (Outcome::Answered, vec![(600, false), (700, false)]));
        let turn = one(&[(0, 1_000), (5_000, 5_300), (6_300, 7_000)], spoken());
        assert_eq!((turn.outcome, cuts(&turn)), (Outcome::CutOff, vec![(600, false), (700, true)]));
        // Into the words right after the pause counts for that pause.
        let turn = one(&[(0, 1_000), (4_300, 4_900), (6_300, 7_000)], spoken());
        assert_eq!(cuts(&turn), [(600, true), (700, false)]);
    }

    #[test]
    fn silence_after_a_noise_is_right() {
        let noise = || said(Expect::Nothing, 3_000, 3_500, &[]);
        assert_eq!(one(&[(0, 1_000)], noise()).outcome, Outcome::Quiet);
        assert_eq!(one(&[(0, 1_000), (4_000, 4_500)], noise()).outcome, Outcome::Spoke);
        assert!(Outcome::Spoke.failed());
    }

    #[test]
    fn spans_leave_out_pauses() {
        assert_eq!(caller_spans(&[said(Expect::Answer, 100, 900, &[(300, 400)])]), [[100, 300], [700, 900]]);
        assert_eq!(agent_spans(&heard(&[(0, 200), (260, 400), (600, 700)], 900)), [[0, 380], [600, 680]]);
    }
}
