//! The call's decisions: when a turn is over, what is said, what is kept, when it ends.
//! It never waits and never touches audio; the driver beside it does.

mod captioning;
mod filling;
mod interrupting;
mod keeping;
mod listening;
mod screening;
mod speaking;
mod trouble;
mod turning;
mod writing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::MediaTime;
use models::{ClauseId, Due, Job};

use self::interrupting::Over;
use crate::call::action::{Action, Effect, EndCause, Line, Presence, Speaker};
use crate::call::answering::{AnsweredBy, MachineAction};
use crate::call::brain::{Answer, Brain, Decision, Put};
use crate::call::consent::Terms;
use crate::call::ear::{Ear, EarEvent};
use crate::call::endpointing::{Evidence, judge, log_odds, probability, together};
use crate::call::history::History;
use crate::call::mouth::{Mouth, Mouthed, Speech};
use crate::call::timing::{Judgement, TurnRecord, ms_between};
use crate::config::Turn;
use crate::dialogue::{Agent, Ending, Input, Then};

use captioning::Captions;
use filling::Filler;
use keeping::Keeper;
use screening::Screen;
use trouble::Trouble;

/// A recognizer that has not answered by now has failed on this utterance.
const RECOGNITION_PATIENCE: Duration = Duration::from_secs(4);

/// How long a transfer may take before the caller is served on.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(90);
/// Audio kept from before speech was noticed: soft first sounds.
const ONSET_MS: u32 = 280;
/// What was voiced for longer before a key's tone was told is speech.
const TONE_ONSET_MS: u32 = 100;

#[derive(Debug, Clone, Copy)]
pub struct CallConfig {
    pub turn: Turn,
    pub silence_ms: u32,
    pub duration_s_max: u32,
    /// A language model answers what the flows do not cover.
    pub llm: LlmUse,
    /// It is told of the conversation so far while the caller speaks.
    pub warm: bool,
    /// A call of ours: who answers is found out first, and this is done with a machine. None: somebody called us.
    pub answering: Option<MachineAction>,
}

/// Whether a language model may hear a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmUse {
    Off,
    /// On this machine, where there is no policy: nothing leaves it.
    Local,
    /// It is declared in the policy: only calls whose caller granted all that it needs.
    Declared,
}

/// An answer being prepared while the caller may still go on. Nobody hears of it before the commit.
struct Draft {
    /// The last look; the score was asked for with the first.
    job: Job,
    first: Job,
    asked: Instant,
    speech_end: Instant,
    heard: Option<(Instant, String)>,
    /// How often it was heard again.
    looks: usize,
    /// The log odds that it was finished, by the looks before the last.
    earlier: Option<f32>,
    /// The last look found another number than the one before.
    unsteady: bool,
    scored: Option<(Instant, f32)>,
    /// It waited for the agent's own words: what comes late then is not the engines'.
    held_back: bool,
    /// When the text under way is due, and when the one that is there was.
    job_due: Instant,
    text_due: Instant,
    ahead: Option<Ahead>,
}

struct Ahead {
    brain: Brain,
    answer: Answer,
    speech: Speech,
    ending: Ending,
}

/// A committed turn whose first frame has not gone out yet.
struct Pending {
    utterance: u64,
    speech_end: Instant,
    /// When its first frame should have gone out, or, after an opener, its answer; none: a language model's thought is
    /// waited for.
    due: Option<Instant>,
    /// "Of course." goes out; the answer comes after it.
    opening: bool,
    record: TurnRecord,
    /// When silence has to be filled, while a language model thinks; and how often it was.
    fill_at: Option<Instant>,
    fills: usize,
}

pub struct Call {
    config: CallConfig,
    keeper: Keeper,
    brain: Brain,
    ear: Ear,
    mouth: Mouth,
    history: History,
    draft: Option<Draft>,
    pending: Option<Pending>,
    jobs: u64,
    turns: u32,
    began: Instant,
    /// Both sides are silent since.
    quiet_since: Option<Instant>,
    ducked: bool,
    barged_in: bool,
    over: Over,
    /// The clause that holds the question which is being put.
    question: usize,
    /// The utterance began before the question: it answers nothing.
    too_early: bool,
    transfer_since: Option<Instant>,
    held: bool,
    /// What the last turn was.
    judged: Option<Judgement>,
    /// Why the call ends, if the agent hangs up now.
    goodbye: EndCause,
    trouble: Trouble,
    filler: Option<Filler>,
    screen: Option<Screen>,
    /// The conversation that the language model knows.
    warmed: Option<u64>,
    /// What an LLM should have said, should it fail.
    fallback: Vec<String>,
    presence: Presence,
    /// A page shows what is said.
    captions: Option<Captions>,
    /// The answer to a click, behind what is being said.
    after: Option<(Answer, Speech)>,
    /// What was written meanwhile.
    unread: VecDeque<String>,
    /// There is no room for it: it is told so, and ends.
    turned_away: bool,
    ended: bool,
    effects: VecDeque<Effect>,
}

impl Call {
    /// A call without a policy: it asks for nothing and keeps nothing.
    pub fn new(now: Instant, agent: Arc<Agent>, today: jiff::civil::Date, config: CallConfig) -> Self {
        Self {
            config,
            keeper: Keeper::new(agent.language(), None),
            brain: Brain::new(agent, today),
            ear: Ear::new(config.turn),
            mouth: Mouth::new(now),
            history: History::default(),
            draft: None,
            pending: None,
            jobs: 0,
            turns: 0,
            began: now,
            quiet_since: None,
            ducked: false,
            barged_in: false,
            over: Over::default(),
            question: 0,
            too_early: false,
            transfer_since: None,
            held: false,
            judged: None,
            goodbye: EndCause::Completed,
            trouble: Trouble::default(),
            filler: None,
            screen: config.answering.map(Screen::new),
            warmed: None,
            fallback: vec![],
            presence: Presence::Voice,
            captions: None,
            after: None,
            unread: VecDeque::new(),
            turned_away: false,
            ended: false,
            effects: VecDeque::new(),
        }
    }

    /// Tells, asks and keeps what a policy says.
    pub fn under(mut self, terms: Terms) -> Self {
        self.brain = self.brain.asking(Arc::clone(&terms.script), &terms.gate.granted());
        self.keeper = Keeper::new(self.brain.agent().language(), Some(terms));
        self
    }

    /// A call for which there is no room: the caller is told so, and nothing is asked or heard.
    pub fn turned_away(self) -> Self {
        Self { turned_away: true, ..self }
    }

    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let silence = self.silence();
        let times = [
            Some(self.last_deadline()),
            self.screen_deadline(),
            self.pending.as_ref().and_then(|p| p.fill_at),
            self.quiet_since.map(|t| t + silence),
            self.draft.as_ref().filter(|d| d.heard.is_none()).map(|d| d.asked + RECOGNITION_PATIENCE),
            self.transfer_since.map(|t| t + TRANSFER_PATIENCE),
            self.over.deadline(),
            self.keeping_deadline(),
        ];
        if self.ended { None } else { times.into_iter().flatten().min() }
    }

    /// When the turn under way should be answered, where it is the engines' move: a draft that has its text waits for
    /// silence, and on hold everything waits.
    pub fn turn_due(&self) -> Option<Instant> {
        let waits = self.too_early || self.transfer_since.is_some() || self.held;
        match (&self.draft, &self.pending) {
            _ if waits => None,
            (Some(draft), _) => draft.heard.is_none().then_some(draft.job_due),
            (None, Some(pending)) => pending.due.filter(|_| !pending.opening),
            (None, None) => None,
        }
    }

    pub fn apply(&mut self, now: Instant, action: Action) {
        if self.ended {
            return;
        }
        self.mouth.at(now);
        match action {
            Action::Started if self.screening() => {}
            Action::Started => self.open(now),
            Action::Beep { hz } => self.beep(hz),
            Action::Frame { at, speech, dbfs, .. } if self.screening() => self.screen_frame(now, at, speech, dbfs),
            Action::Frame { at, speech, dbfs, pitched, sounding } => {
                self.mouth.heard_until(sounding);
                self.over.pitched = pitched;
                self.frame(now, at, speech, dbfs);
                self.watch_noise(now, dbfs);
            }
            Action::Heard { job, text } if self.screening() => self.screen_text(now, job, &text),
            Action::NotHeard { .. } if self.screening() => {}
            Action::Heard { job, text } if !self.probed(now, job, Some(&text)) => self.heard(now, job, text),
            Action::NotHeard { job } if !self.probed(now, job, None) => self.not_heard(now, job),
            Action::Heard { .. } | Action::NotHeard { .. } => {}
            Action::Scored { job, finished } => self.scored(now, job, finished),
            // No key reaches anybody where there is no room.
            Action::Digit(_) if self.turned_away => {}
            Action::Digit(key) => self.digit(now, key),
            Action::Typed(text) => self.typed(now, text),
            Action::Clicked { grant, scope } => self.clicked(now, grant, scope),
            Action::Withdrawn { scope } => self.withdrawn(now, scope),
            Action::Requested(request) => self.requested(now, &request),
            Action::Present(presence) => self.present(now, presence),
            Action::Tone => self.tone(now),
            Action::ClauseEnded(clause) => self.mouth.clause_made(clause, &mut self.effects),
            Action::ClauseStarted(clause) => {
                self.mouth.clause_started(clause);
                self.clause_sounds(now);
                self.caption_clause(clause, false);
                self.clause_started(now, clause);
            }
            Action::ClausePlayed(clause) => {
                self.caption_clause(clause, true);
                self.clause_gone(now, clause, true);
            }
            Action::ClauseFailed(clause) => {
                self.caption_clause(clause, true);
                self.clause_gone(now, clause, false);
            }
            Action::Thought { utterance, clause } => self.thought(now, utterance, Some(clause)),
            Action::ThoughtEnded { utterance } => self.thought(now, utterance, None),
            Action::ThoughtFailed { utterance } => self.thought_failed(now, utterance),
            Action::Transferred => self.end(now, EndCause::Transferred, true),
            Action::TransferFailed => self.transfer_failed(now),
            Action::Held(held) => {
                self.held = held;
                if self.over.is_held() {
                    self.dismiss(now);
                }
                self.quiet_since = None;
                self.fall_quiet(now);
            }
            Action::Timeout => {}
            Action::HungUp(cause) => self.end(now, cause, false),
        }
        self.check_timers(now);
        self.read_on(now);
        if !self.ended {
            self.keep(now);
        }
    }

    fn open(&mut self, now: Instant) {
        if self.turned_away {
            let answer = self.brain.turn_away();
            let speech = Speech::new(self.mouth.next_id(), answer.clauses, answer.then).protected_until(u16::MAX);
            return self.mouth.speak(speech, &mut self.effects);
        }
        let answer = self.brain.open();
        self.put(now, answer.put.as_ref());
        let id = self.mouth.next_id();
        // What the law wants heard is heard: that an AI answers, and what is asked.
        let speech = Speech::new(id, answer.clauses, answer.then).protected_until(u16::MAX);
        self.mouth.speak(speech, &mut self.effects);
    }

    // --- time and the end ---

    fn check_timers(&mut self, now: Instant) {
        if self.ended || self.check_limit(now) {
            return;
        }
        if self.screening() {
            if self.screen_deadline().is_some_and(|at| now >= at) {
                self.screen_over(now, AnsweredBy::Unknown);
            }
            return;
        }
        self.fill(now);
        self.release_key(now);
        if self.transfer_since.is_some_and(|t| now >= t + TRANSFER_PATIENCE) {
            return self.transfer_failed(now);
        }
        if let Some(draft) = self.draft.as_ref().filter(|d| d.heard.is_none() && now >= d.asked + RECOGNITION_PATIENCE)
        {
            return self.not_heard(now, draft.job);
        }
        if self.over.deadline().is_some_and(|d| now >= d) {
            return self.dismiss(now);
        }
        let silence = self.silence();
        if self.quiet_since.take_if(|since| now >= *since + silence).is_some() {
            self.silent(now);
        }
    }

    fn end(&mut self, now: Instant, cause: EndCause, hang_up: bool) {
        self.drop_draft();
        self.stop_speaking(now);
        self.flush_turn();
        self.keep_no_more(now);
        if hang_up {
            self.effects.push_back(Effect::HangUp(cause));
        }
        self.ended = true;
    }
}

#[cfg(test)]
mod due_tests;
#[cfg(test)]
mod tests;
