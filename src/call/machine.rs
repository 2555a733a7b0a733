//! The call's decisions: when a turn is over, what is said, what is kept, when it ends.
//! It never waits and never touches audio; the driver beside it does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::MediaTime;
use models::{ClauseId, Job};

use crate::call::action::{Action, CallId, Effect, EndCause, Line, Speaker};
use crate::call::brain::{Answer, Brain, Decision};
use crate::call::endpointing::{Ear, EarEvent, Evidence, judge};
use crate::call::history::History;
use crate::call::mouth::{Mouth, Mouthed, Speech};
use crate::call::timing::{Judgement, TurnRecord, ms_between};
use crate::config::Turn;
use crate::dialogue::{Agent, Expects, Input, Then};
use crate::privacy::{ConsentGate, Refusal, Scope};

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
}

/// Whether a language model may hear a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmUse {
    Off,
    /// On this machine: nothing leaves it.
    Local,
    /// Elsewhere: only calls whose caller agreed that their words are kept.
    Remote,
}

/// An answer being prepared while the caller may still go on. Nobody hears of it before the commit.
struct Draft {
    job: Job,
    asked: Instant,
    speech_end: Instant,
    heard: Option<(Instant, String)>,
    scored: Option<(Instant, f32)>,
    ahead: Option<Ahead>,
}

struct Ahead {
    brain: Brain,
    answer: Answer,
    speech: Speech,
}

/// A committed turn whose first frame has not gone out yet.
struct Pending {
    utterance: u64,
    speech_end: Instant,
    record: TurnRecord,
}

pub struct Call {
    config: CallConfig,
    gate: ConsentGate,
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
    /// The clause of the opening that holds the question.
    question: usize,
    /// The utterance began before the question: it answers nothing.
    too_early: bool,
    transfer_since: Option<Instant>,
    held: bool,
    /// What the last turn was, to say why the call ended.
    judged: Option<Judgement>,
    /// What an LLM should have said, should it fail.
    fallback: Vec<String>,
    ended: bool,
    effects: VecDeque<Effect>,
}

impl Call {
    pub fn new(now: Instant, id: CallId, agent: Arc<Agent>, today: jiff::civil::Date, config: CallConfig) -> Self {
        Self {
            config,
            gate: ConsentGate::new(id),
            brain: Brain::new(agent, today),
            ear: Ear::new(config.turn),
            mouth: Mouth::default(),
            history: History::default(),
            draft: None,
            pending: None,
            jobs: 0,
            turns: 0,
            began: now,
            quiet_since: None,
            ducked: false,
            barged_in: false,
            question: 0,
            too_early: false,
            transfer_since: None,
            held: false,
            judged: None,
            fallback: vec![],
            ended: false,
            effects: VecDeque::new(),
        }
    }

    pub fn gate(&self) -> &ConsentGate {
        &self.gate
    }

    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let silence = Duration::from_millis(self.config.silence_ms.into());
        let times = [
            Some(self.began + Duration::from_secs(self.config.duration_s_max.into())),
            self.quiet_since.map(|t| t + silence),
            self.draft.as_ref().filter(|d| d.heard.is_none()).map(|d| d.asked + RECOGNITION_PATIENCE),
            self.transfer_since.map(|t| t + TRANSFER_PATIENCE),
        ];
        if self.ended { None } else { times.into_iter().flatten().min() }
    }

    pub fn apply(&mut self, now: Instant, action: Action) {
        if self.ended {
            return;
        }
        match action {
            Action::Started => self.open(),
            Action::Frame { at, speech, sounding } => {
                self.mouth.heard_until(sounding);
                self.frame(now, at, speech);
            }
            Action::Heard { job, text } => self.heard(now, job, text),
            Action::NotHeard { job } => self.not_heard(now, job),
            Action::Scored { job, finished } => self.scored(now, job, finished),
            Action::Digit(key) => self.digit(now, key),
            Action::Tone => self.tone(now),
            Action::ClauseEnded(clause) => self.mouth.clause_made(clause, &mut self.effects),
            Action::ClauseStarted(clause) => self.clause_started(now, clause),
            Action::ClausePlayed(clause) => self.clause_gone(now, clause, true),
            Action::ClauseFailed(clause) => self.clause_gone(now, clause, false),
            Action::Thought { utterance, clause } => self.thought(now, utterance, Some(clause)),
            Action::ThoughtEnded { utterance } => self.thought(now, utterance, None),
            Action::ThoughtFailed { utterance } => self.thought_failed(now, utterance),
            Action::Transferred => self.end(now, EndCause::Transferred, true),
            Action::TransferFailed => self.transfer_failed(now),
            Action::Held(held) => {
                self.held = held;
                self.quiet_since = None;
                self.fall_quiet(now);
            }
            Action::Timeout => {}
            Action::HungUp(cause) => self.end(now, cause, false),
        }
        self.check_timers(now);
    }

    fn open(&mut self) {
        let (answer, question) = self.brain.open();
        self.gate.ask();
        self.question = usize::from(question);
        let id = self.mouth.next_id();
        // What the law wants heard is heard: that an AI answers, and what is asked.
        let speech = Speech::new(id, answer.clauses, answer.then).protected_until(u16::MAX);
        self.mouth.speak(speech, &mut self.effects);
    }

    // --- listening ---

    fn frame(&mut self, now: Instant, at: MediaTime, speech: f32) {
        match self.ear.frame(at, speech) {
            Some(EarEvent::Started) => {
                self.quiet_since = None;
                self.barged_in = self.mouth.sounding();
                self.too_early = self.mouth.protected() && self.mouth.played() < self.question;
                // Silence before the words costs time and invites invention.
                self.effects.push_back(Effect::ForgetAudio { keep_ms: ONSET_MS });
            }
            Some(EarEvent::Paused) => self.begin_draft(now),
            Some(EarEvent::Resumed) => self.drop_draft(),
            None => {}
        }
        self.barge_in(now);
        self.try_commit(now);
    }

    /// Caller speech over the agent: first quieter, then silent.
    fn barge_in(&mut self, now: Instant) {
        let over = self.mouth.speaking() && !self.mouth.protected() && self.ear.speaking();
        if !over {
            return;
        }
        let voiced_ms = self.ear.voiced_ms();
        if voiced_ms >= self.config.turn.duck_ms {
            self.duck(true);
        }
        if voiced_ms >= self.config.turn.interrupt_ms {
            self.stop_speaking(now);
        }
    }

    fn duck(&mut self, on: bool) {
        if self.ducked != on {
            self.ducked = on;
            self.effects.push_back(Effect::Duck(on));
        }
    }

    fn stop_speaking(&mut self, now: Instant) {
        if let Some(heard) = self.mouth.stop(&mut self.effects) {
            self.remember(now, Speaker::Agent, &heard);
        }
        self.effects.push_back(Effect::StopThinking);
        self.duck(false);
    }

    fn begin_draft(&mut self, now: Instant) {
        self.jobs += 1;
        let job = Job(self.jobs);
        let silence = Duration::from_millis(self.ear.silence_ms().into());
        let speech_end = now.checked_sub(silence).unwrap_or(now);
        self.draft = Some(Draft { job, asked: now, speech_end, heard: None, scored: None, ahead: None });
        self.effects.push_back(Effect::Recognize(job));
        self.effects.push_back(Effect::Score(job));
    }

    fn drop_draft(&mut self) {
        if let Some(Draft { ahead: Some(ahead), .. }) = self.draft.take() {
            self.effects.push_back(Effect::Cancel { utterance: ahead.speech.id });
        }
    }

    /// The utterance was noise, or came where it may not: as if it had not been.
    fn dismiss(&mut self, now: Instant) {
        self.drop_draft();
        self.ear.reset();
        self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
        self.duck(false);
        self.fall_quiet(now);
    }

    /// Neither side speaks: the silence is counted from here, unless there is a reason for it.
    fn fall_quiet(&mut self, now: Instant) {
        if !self.mouth.speaking() && !self.ear.speaking() && self.transfer_since.is_none() && !self.held {
            self.quiet_since = Some(now);
        }
    }

    fn llm_may_hear(&self) -> bool {
        match self.config.llm {
            LlmUse::Off => false,
            LlmUse::Local => true,
            LlmUse::Remote => self.gate.permit(Scope::Transcript).is_some(),
        }
    }

    fn heard(&mut self, now: Instant, job: Job, text: String) {
        if self.draft.as_ref().is_none_or(|d| d.job != job) {
            return;
        }
        if !text.chars().any(char::is_alphanumeric) {
            return self.dismiss(now);
        }
        let mut brain = self.brain.clone();
        let answer = brain.hear(Input::Speech(&text));
        let mut speech = self.speech_of(&answer);
        if answer.covered || !self.llm_may_hear() {
            speech.ask(1, &mut self.effects);
        }
        if let Some(draft) = &mut self.draft {
            draft.heard = Some((now, text));
            draft.ahead = Some(Ahead { brain, answer, speech });
        }
        self.try_commit(now);
    }

    /// A promise to put the caller through is not lost to a "thank you" over it.
    fn speech_of(&mut self, answer: &Answer) -> Speech {
        let speech = Speech::new(self.mouth.next_id(), answer.clauses.clone(), answer.then.clone());
        let promised = matches!(answer.then, Then::Transfer(_));
        if promised { speech.protected_until(u16::MAX) } else { speech }
    }

    fn not_heard(&mut self, now: Instant, job: Job) {
        let Some(speech_end) = self.draft.as_ref().filter(|d| d.job == job).map(|d| d.speech_end) else { return };
        self.dismiss(now);
        if !self.mouth.protected() {
            self.respond(now, speech_end, Input::Unclear, Judgement::Unsure);
        }
    }

    fn scored(&mut self, now: Instant, job: Job, finished: f32) {
        if let Some(draft) = self.draft.as_mut().filter(|d| d.job == job) {
            draft.scored = Some((now, finished));
            self.try_commit(now);
        }
    }

    // --- committing ---

    fn try_commit(&mut self, now: Instant) {
        let Some(draft) = &self.draft else { return };
        let Some((_, text)) = &draft.heard else { return };
        let Some(ahead) = &draft.ahead else { return };
        let expects = self.brain.expects();
        let judgement = judge(Evidence {
            text,
            score: draft.scored.map(|(_, s)| s),
            expects,
            understood: ahead.answer.covered,
            number_open: expects == Expects::Phone && ahead.brain.expects() == Expects::Phone,
        });
        if self.ear.silence_ms() < self.ear.patience_ms(judgement) {
            return;
        }
        if self.too_early || self.transfer_since.is_some() {
            return self.dismiss(now);
        }
        if self.mouth.protected() {
            // An answer over the end of the question counts once the question is over.
            return;
        }
        match self.draft.take() {
            Some(Draft { heard: Some((heard_at, text)), ahead: Some(ahead), speech_end, asked, scored, .. }) => {
                let since = |t: Instant| ms_between(speech_end, t);
                let record = TurnRecord {
                    turn: 0,
                    judgement,
                    draft_ms: Some(since(asked)),
                    heard_ms: Some(since(heard_at)),
                    scored_ms: scored.map(|(t, _)| since(t)),
                    committed_ms: since(now),
                    first_frame_ms: None,
                    barge_in: self.barged_in,
                };
                self.commit(now, ahead, Some(&text), speech_end, record);
            }
            _ => self.dismiss(now),
        }
    }

    fn commit(&mut self, now: Instant, ahead: Ahead, text: Option<&str>, speech_end: Instant, record: TurnRecord) {
        let Ahead { brain, answer, speech } = ahead;
        let decided = answer.decision;
        self.brain = brain;
        if answer.backchannel && answer.then == Then::Listen && decided.is_none() {
            // "Mm-hm": nothing to answer; whatever was being said goes on.
            return self.dismiss(now);
        }
        self.stop_speaking(now);
        self.ear.reset();
        self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
        self.decide(decided);
        if let Some(text) = text.filter(|_| decided != Some(Decision::Withdraw)) {
            self.remember(speech_end, Speaker::Caller, text);
        }
        self.quiet_since = None;
        self.flush_turn();
        self.turns += 1;
        self.judged = Some(record.judgement);
        let record = TurnRecord { turn: self.turns, ..record };
        self.pending = Some(Pending { utterance: speech.id, speech_end, record });
        self.begin_speech(answer, speech);
    }

    fn begin_speech(&mut self, answer: Answer, speech: Speech) {
        if answer.covered || !self.llm_may_hear() {
            return self.mouth.speak(speech, &mut self.effects);
        }
        self.fallback = answer.clauses;
        let utterance = speech.id;
        let prompt = self.history.prompt(self.brain.system_prompt());
        self.effects.push_back(Effect::Think { utterance, prompt });
        self.mouth.speak(Speech::new(utterance, vec![], Then::Listen).growing(), &mut self.effects);
    }

    fn decide(&mut self, decision: Option<Decision>) {
        match decision {
            Some(Decision::Grant(how)) => self.gate.grant(how),
            Some(Decision::Refuse(why)) => self.gate.refuse(why),
            Some(Decision::Withdraw) => {
                self.history.clear();
                if self.gate.withdraw() {
                    self.effects.push_back(Effect::Purge);
                }
            }
            None => {}
        }
    }

    /// Answers something that was not an utterance: a key, silence, a failure to hear.
    fn respond(&mut self, now: Instant, since: Instant, input: Input<'_>, judgement: Judgement) {
        let mut brain = self.brain.clone();
        let mut answer = brain.hear(input);
        let speech = self.speech_of(&answer);
        let record = TurnRecord {
            turn: 0,
            judgement,
            draft_ms: None,
            heard_ms: None,
            scored_ms: None,
            committed_ms: ms_between(since, now),
            first_frame_ms: None,
            barge_in: self.mouth.sounding(),
        };
        // Whatever the flows say to a key or to silence is theirs, never a language model's.
        answer.covered = true;
        self.commit(now, Ahead { brain, answer, speech }, None, since, record);
    }

    fn digit(&mut self, now: Instant, key: char) {
        // Agreement before the question was heard would not be informed; a person can be asked for at any time.
        if self.mouth.protected() && key != '0' {
            return;
        }
        self.drop_draft();
        self.respond(now, now, Input::Digit(key), Judgement::Key);
    }

    /// The beginning of a tone sounds like speech.
    fn tone(&mut self, now: Instant) {
        if self.ear.speaking() && self.ear.voiced_ms() <= TONE_ONSET_MS {
            self.dismiss(now);
        }
    }

    // --- speaking ---

    fn clause_started(&mut self, now: Instant, clause: ClauseId) {
        if self.pending.as_ref().is_some_and(|p| p.utterance == clause.utterance)
            && let Some(mut pending) = self.pending.take()
        {
            pending.record.first_frame_ms = Some(ms_between(pending.speech_end, now));
            self.effects.push_back(Effect::TurnDone(pending.record));
        }
    }

    /// A turn whose answer never got out is still a turn.
    fn flush_turn(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.effects.push_back(Effect::TurnDone(pending.record));
        }
    }

    fn clause_gone(&mut self, now: Instant, clause: ClauseId, heard: bool) {
        for mouthed in self.mouth.clause_gone(clause, heard, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }

    fn mouthed(&mut self, now: Instant, mouthed: Mouthed) {
        match mouthed {
            Mouthed::Line(text) => self.remember(now, Speaker::Agent, &text),
            Mouthed::Done(Then::Listen) => {
                self.flush_turn();
                self.fall_quiet(now);
            }
            // The other side reports how it went; until then nobody is asked to speak.
            Mouthed::Done(Then::Transfer(target)) => {
                self.transfer_since = Some(now);
                self.effects.push_back(Effect::Transfer(target));
            }
            Mouthed::Done(Then::Hangup) => {
                let silent = self.judged == Some(Judgement::Silence);
                self.end(now, if silent { EndCause::Silence } else { EndCause::Completed }, true);
            }
        }
    }

    fn transfer_failed(&mut self, now: Instant) {
        if self.transfer_since.take().is_none() {
            return;
        }
        self.dismiss(now);
        self.stop_speaking(now);
        let answer = self.brain.transfer_failed();
        let speech = self.speech_of(&answer);
        self.quiet_since = None;
        self.mouth.speak(speech, &mut self.effects);
    }

    fn thought(&mut self, now: Instant, utterance: u64, clause: Option<String>) {
        if clause.is_none() && self.mouth.is_empty(utterance) {
            return self.thought_failed(now, utterance);
        }
        if clause.is_none() {
            self.brain.said_instead(self.mouth.clauses());
        }
        if let Some(mouthed) = self.mouth.grow(utterance, clause, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }

    /// The model failed: say what the flows would have said, unless something was said already.
    fn thought_failed(&mut self, now: Instant, utterance: u64) {
        if self.mouth.is_empty(utterance) {
            for clause in std::mem::take(&mut self.fallback) {
                self.mouth.grow(utterance, Some(clause), &mut self.effects);
            }
        }
        if let Some(mouthed) = self.mouth.grow(utterance, None, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }

    fn remember(&mut self, at: Instant, speaker: Speaker, text: &str) {
        self.history.push(speaker, text);
        let line = Line { at_ms: ms_between(self.began, at), speaker, text: text.to_owned() };
        self.effects.push_back(Effect::Remember(line));
    }

    // --- time and the end ---

    fn check_timers(&mut self, now: Instant) {
        if self.deadline().is_none_or(|d| now < d) {
            return;
        }
        if now >= self.began + Duration::from_secs(self.config.duration_s_max.into()) {
            return self.end(now, EndCause::DurationMax, true);
        }
        if self.transfer_since.is_some_and(|t| now >= t + TRANSFER_PATIENCE) {
            return self.transfer_failed(now);
        }
        if let Some(job) = self.draft.as_ref().filter(|d| d.heard.is_none()).map(|d| d.job)
            && self.draft.as_ref().is_some_and(|d| now >= d.asked + RECOGNITION_PATIENCE)
        {
            return self.not_heard(now, job);
        }
        if self.quiet_since.take().is_some() {
            self.respond(now, now, Input::Silence, Judgement::Silence);
        }
    }

    fn end(&mut self, now: Instant, cause: EndCause, hang_up: bool) {
        self.drop_draft();
        self.stop_speaking(now);
        self.flush_turn();
        self.gate.refuse(Refusal::HungUp);
        if hang_up {
            self.effects.push_back(Effect::HangUp(cause));
        }
        self.ended = true;
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
