//! When the call wants what it asks of the engines, and how late its turns are, on virtual time.

use super::*;
use crate::call::consent::tests::{script, terms};

const AGENT: &str = include_str!("../../../configs/agents/front-desk.toml");
const TICK: Duration = Duration::from_millis(20);
const QUESTION: &str = "Are you open on Saturday?";

/// A call past its opening, and what it asked for: what, and how many milliseconds later it is due.
struct Stage {
    call: Call,
    began: Instant,
    now: Instant,
    asked: Vec<String>,
    said: Vec<(ClauseId, usize)>,
    late_ms: Option<u32>,
}

impl Stage {
    #[allow(clippy::disallowed_methods)]
    fn new() -> Self {
        let began = Instant::now();
        let config = CallConfig {
            turn: Turn::default(),
            silence_ms: 7000,
            duration_s_max: 600,
            llm: LlmUse::Off,
            warm: false,
            answering: None,
        };
        let agent = Arc::new(Agent::parse(AGENT).expect("the demo agent"));
        let call = Call::new(began, agent, jiff::civil::date(2026, 11, 23), config);
        let call = call.under(terms(script()));
        Self { call, began, now: began, asked: vec![], said: vec![], late_ms: None }
    }

    /// Past the opening.
    fn listening() -> Self {
        let mut stage = Self::new();
        stage.apply(Action::Started);
        stage.play();
        stage.asked.clear();
        stage
    }

    fn apply(&mut self, action: Action) {
        self.call.apply(self.now, action);
        while let Some(effect) = self.call.poll() {
            let (what, due) = match effect {
                Effect::Recognize { due, .. } => ("text".to_owned(), due),
                Effect::Score { due, .. } => ("score".to_owned(), due),
                Effect::Say { clause, text, due } => {
                    self.said.push((clause, text.chars().count()));
                    (format!("clause {}", clause.index), due)
                }
                Effect::GiveUp(_) => ("nothing".to_owned(), Due::By(self.now)),
                Effect::TurnDone(turn) => {
                    self.late_ms = Some(turn.late_ms);
                    continue;
                }
                _ => continue,
            };
            let Due::By(due) = due else { panic!("nobody waits for {what}") };
            self.asked.push(format!("{what} +{}", ms_between(self.now, due)));
        }
    }

    /// Everything that was asked for is made and played at once.
    fn play(&mut self) {
        while !self.said.is_empty() {
            let (clause, _) = self.said.remove(0);
            self.apply(Action::ClauseEnded(clause));
            self.apply(Action::ClauseStarted(clause));
            self.apply(Action::ClausePlayed(clause));
        }
    }

    fn frames(&mut self, ms: u32, speech: f32) {
        for _ in 0..ms / 20 {
            self.now += TICK;
            let at = MediaTime::from_ms(ms_between(self.began, self.now).into());
            let dbfs = if speech > 0.5 { -20.0 } else { -70.0 };
            self.apply(Action::Frame { at, speech, dbfs, pitched: speech > 0.5, sounding: None });
        }
    }

    fn job(&self) -> Job {
        Job(self.call.jobs)
    }

    fn hears(&mut self, text: &str) {
        self.apply(Action::Heard { job: self.job(), text: text.to_owned() });
    }
}

#[test]
fn clauses_are_due_when_those_before_them_are_over() {
    let mut stage = Stage::new();
    stage.apply(Action::Started);
    // Fifteen characters a second.
    let first_ms = stage.said[0].1 * 1000 / 15;
    assert_eq!(stage.asked, ["clause 0 +0".to_owned(), format!("clause 1 +{first_ms}")]);
}

#[test]
fn a_draft_is_due_when_it_could_become_the_answer() {
    let mut stage = Stage::listening();
    stage.frames(600, 0.95);
    stage.frames(80, 0.02);
    assert_eq!(stage.asked, ["text +100", "score +100"]);
    stage.asked.clear();
    stage.now += TICK;
    stage.apply(Action::Scored { job: stage.job(), finished: 0.9 });
    stage.hears(QUESTION);
    assert_eq!(stage.asked, ["clause 0 +80"]);
}

#[test]
fn what_sounds_unfinished_is_due_later() {
    let mut stage = Stage::listening();
    stage.frames(600, 0.95);
    stage.frames(80, 0.02);
    stage.asked.clear();
    stage.hears("I would like to book on");
    let unfinished_ms = Turn::default().unfinished_ms;
    assert_eq!(stage.asked, [format!("clause 0 +{}", unfinished_ms - 80)]);
}

#[test]
fn nobody_waits_for_a_draft_that_was_dropped() {
    let mut stage = Stage::listening();
    stage.frames(600, 0.95);
    stage.frames(80, 0.02);
    let job = stage.job();
    stage.asked.clear();
    stage.frames(60, 0.95);
    assert_eq!(stage.asked, ["nothing +0"]);
    stage.apply(Action::Heard { job, text: QUESTION.to_owned() });
    assert_eq!(stage.asked.len(), 1, "a late text starts nothing");
}

#[test]
fn what_the_engines_cost_is_told_apart_from_silence() {
    let check = |text_after_ms: u32, frame_after_ms: u32, want: u32| {
        let mut stage = Stage::listening();
        stage.frames(600, 0.95);
        stage.frames(80, 0.02);
        let end = stage.now - Duration::from_millis(80);
        assert_eq!(stage.call.turn_due(), Some(end + Duration::from_millis(180)));
        stage.apply(Action::Scored { job: stage.job(), finished: 0.9 });
        stage.frames(text_after_ms - 80, 0.02);
        stage.hears(QUESTION);
        stage.frames(180u32.saturating_sub(text_after_ms), 0.02);
        stage.frames(frame_after_ms, 0.02);
        assert_eq!(stage.call.turn_due(), Some(end + Duration::from_millis(180)));
        let (clause, _) = stage.said[0];
        stage.apply(Action::ClauseStarted(clause));
        assert_eq!((stage.late_ms, stage.call.turn_due()), (Some(want), None), "{text_after_ms} {frame_after_ms}");
    };
    check(140, 0, 0);
    check(180, 0, 0);
    check(700, 0, 520);
    check(140, 300, 300);
    check(700, 300, 820);
}

#[test]
fn an_opener_is_no_answer_yet_and_the_answer_is_due_at_its_end() {
    for gap_ms in [0, 300] {
        let mut stage = Stage::listening();
        stage.frames(900, 0.95);
        stage.frames(80, 0.02);
        stage.apply(Action::Scored { job: stage.job(), finished: 0.9 });
        stage.hears("I'd like to make an appointment.");
        stage.frames(100, 0.02);
        let [(opener, _), (answer, _)] = stage.said[..] else { panic!("two clauses") };
        stage.apply(Action::ClauseStarted(opener));
        assert_eq!((stage.late_ms, stage.call.turn_due()), (None, None));
        stage.frames(700, 0.02);
        stage.apply(Action::ClausePlayed(opener));
        assert_eq!(stage.call.turn_due(), Some(stage.now));
        stage.frames(gap_ms, 0.02);
        stage.apply(Action::ClauseStarted(answer));
        assert_eq!((stage.late_ms, stage.call.turn_due()), (Some(gap_ms), None));
    }
}

#[test]
fn another_look_is_not_late_when_it_comes_as_soon_as_it_can() {
    let mut stage = Stage::listening();
    stage.frames(600, 0.95);
    stage.frames(80, 0.02);
    stage.hears("I would like to book on");
    stage.asked.clear();
    stage.frames(160, 0.02);
    let due = stage.now + Duration::from_millis(150);
    assert_eq!(stage.asked, ["text +150"]);
    assert_eq!(stage.call.turn_due(), None, "there is a text: silence is waited for");
    stage.now += TICK * 3;
    stage.apply(Action::Scored { job: Job(1), finished: 0.99 });
    stage.hears(QUESTION);
    assert_eq!(stage.call.turn_due(), Some(due), "when it was asked for");
    let (clause, _) = *stage.said.last().expect("an answer");
    stage.apply(Action::ClauseStarted(clause));
    assert_eq!(stage.late_ms, Some(0));
}

#[test]
fn a_turn_that_waits_for_the_agents_own_words_is_not_late() {
    let mut stage = Stage::new();
    stage.apply(Action::Started);
    // Over the question: an answer to it, which counts when it has been heard.
    let (first, _) = stage.said.remove(0);
    stage.apply(Action::ClauseEnded(first));
    stage.apply(Action::ClauseStarted(first));
    stage.apply(Action::ClausePlayed(first));
    stage.frames(400, 0.95);
    stage.frames(100, 0.02);
    stage.hears("Yes.");
    stage.frames(900, 0.02);
    assert_eq!(stage.call.turn_due(), None);
}

#[test]
fn who_is_turned_away_is_told_so_and_nothing_else_happens() {
    let mut stage = Stage::new();
    let agent = Arc::new(Agent::parse(AGENT).expect("the demo agent"));
    let busy = agent.busy();
    stage.call = Call::new(stage.began, agent, jiff::civil::date(2026, 11, 23), stage.call.config).turned_away();
    let mut said = vec![];
    let mut ended = None;
    stage.call.apply(stage.now, Action::Started);
    for _ in 0..20 {
        while let Some(effect) = stage.call.poll() {
            match effect {
                Effect::Say { clause, text, .. } => said.push((clause, text)),
                Effect::HangUp(cause) => ended = Some(cause),
                Effect::Transfer(_) | Effect::Recognize { .. } => panic!("it only speaks"),
                _ => {}
            }
        }
        stage.call.apply(stage.now, Action::Digit('0'));
        let Some((clause, _)) = said.iter().find(|(c, _)| usize::from(c.index) == stage.call.mouth.played()) else {
            break;
        };
        let clause = *clause;
        stage.call.apply(stage.now, Action::ClauseEnded(clause));
        stage.call.apply(stage.now, Action::ClausePlayed(clause));
    }
    let said: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
    assert_eq!((said, ended), (busy, Some(EndCause::TurnedAway)));
}
