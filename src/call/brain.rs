//! What to say next: first what the policy tells and asks, then the agent's dialogue. Cloneable, so that a draft
//! can think ahead and be thrown away. It never speaks, stores or grants; it says what was answered.

use std::sync::Arc;

use ::privacy::consent::{Grant, Refusal, Which, Withdrawal};
use ::privacy::policy::TextHash;
use ::privacy::{Scope, Scopes};

use crate::call::action::EndCause;
use crate::call::consent::{Question, Script};
use crate::call::endpointing::Slot;
use crate::dialogue::consent::{ConsentAnswer, consent_answer};
use crate::dialogue::{Agent, Dialogue, Ending, Expects, Input, Outcome, Reply, Then, Waits};

/// What the caller decided in this turn about what may be done with their words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Grant(Scope, Grant),
    Refuse(Which, Refusal),
    Withdraw(Which, Withdrawal),
}

/// A question that an answer puts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub scope: Scope,
    pub prompt: TextHash,
    /// Where it begins: what began to be said before it answers nothing.
    pub clause: u16,
}

/// An answer to one turn.
#[derive(Clone)]
pub struct Answer {
    pub clauses: Vec<String>,
    pub expects: Expects,
    pub then: Then,
    pub decision: Option<Decision>,
    /// The question for consent that is put next.
    pub put: Option<Put>,
    /// False where the flows had nothing; a language model may take over.
    pub covered: bool,
    /// True for "mm-hm": nothing to answer, go on.
    pub backchannel: bool,
    /// Why the call ends, if this answer ends it.
    pub end: EndCause,
    /// A form that this turn completes.
    pub done: Option<Outcome>,
    /// The words were a request or an answer that makes sense here.
    pub understood: bool,
    pub slot: Slot,
}

#[derive(Clone)]
pub struct Brain {
    agent: Arc<Agent>,
    dialogue: Dialogue,
    /// None: nothing is told beside the agent's greeting, and nothing asked.
    script: Option<Arc<Script>>,
    /// The questions that are put in this call, by their place in the script.
    asks: Arc<[usize]>,
    phase: Phase,
    /// No machine may listen: the call goes to a person, or ends.
    not_by_machine: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The nth of the questions is open.
    Consent {
        nth: usize,
        asked_again: bool,
    },
    Talking,
}

impl Brain {
    pub fn new(agent: Arc<Agent>, today: jiff::civil::Date) -> Self {
        let dialogue = Dialogue::new(Arc::clone(&agent), today);
        Self { agent, dialogue, script: None, asks: [].into(), phase: Phase::Talking, not_by_machine: false }
    }

    /// Tells and asks what this says, but for what was granted before the call.
    pub fn asking(mut self, script: Arc<Script>, granted: &Scopes) -> Self {
        let open = |(_, question): &(usize, &Question)| !granted.contains(&question.scope);
        self.asks = script.questions.iter().enumerate().filter(open).map(|(at, _)| at).collect();
        if !self.asks.is_empty() {
            self.phase = Phase::Consent { nth: 0, asked_again: false };
        }
        self.script = Some(script);
        self
    }

    /// That an AI answers, and all else that has to be told; then the first question.
    pub fn open(&self) -> Answer {
        let mut told = self.script.as_ref().map_or_else(|| self.agent.greeting(), |script| script.opening.clone());
        if self.not_by_machine {
            told.extend(self.agent.human());
            let then = Then::Transfer(self.agent.transfer_target().to_owned());
            return Answer { then, ..Answer::say(told, Expects::Anything) };
        }
        self.go_on(told)
    }

    /// Behind these clauses comes the question that is open; where there is none, the agent is ready.
    fn go_on(&self, mut clauses: Vec<String>) -> Answer {
        let Some(question) = self.question() else {
            clauses.extend(self.agent.ready());
            return Answer::say(clauses, Expects::Anything);
        };
        let clause = u16::try_from(clauses.len()).unwrap_or(u16::MAX);
        let put = Put { scope: question.scope.clone(), prompt: question.prompt, clause };
        clauses.extend(question.ask.iter().cloned());
        Answer { put: Some(put), ..Answer::say(clauses, Expects::YesNo) }
    }

    /// The question for consent that is open.
    pub fn question(&self) -> Option<&Question> {
        let Phase::Consent { nth, .. } = self.phase else { return None };
        self.script.as_ref()?.questions.get(*self.asks.get(nth)?)
    }

    /// What is said to a caller for whom there is no room.
    pub fn turn_away(&self) -> Answer {
        Answer { then: Then::Hangup, ..Answer::say(self.agent.busy(), Expects::default()) }
    }

    /// What kind of answer the caller was asked for.
    pub fn expects(&self) -> Expects {
        match self.phase {
            Phase::Consent { .. } => Expects::YesNo,
            Phase::Talking => self.dialogue.expects(),
        }
    }

    /// Says no more than that somebody listens: "mm-hm", "okay", "um". Where a question was asked it may be an answer.
    pub fn is_nod(&self, text: &str) -> bool {
        self.agent.is_nod(text)
    }

    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub fn asks_consent(&self) -> bool {
        matches!(self.phase, Phase::Consent { .. })
    }

    /// How these words would end a turn.
    pub fn ending(&self, text: &str) -> Ending {
        self.dialogue.ending(text)
    }

    /// How long to wait for more of what is asked for now.
    pub fn waits(&self) -> Waits {
        match self.phase {
            Phase::Consent { .. } => Waits::default(),
            Phase::Talking => self.dialogue.waits(),
        }
    }

    pub fn system_prompt(&self) -> String {
        self.agent.prompt_for_llm()
    }

    pub fn hear(&mut self, input: Input<'_>) -> Answer {
        if let Input::Speech(text) = input
            && self.takes_back(text)
        {
            return self.withdraw(&Which::All, Withdrawal::Phrase);
        }
        match self.phase {
            Phase::Consent { nth, asked_again } => self.hear_consent(input, nth, asked_again),
            Phase::Talking => self.talk(input),
        }
    }

    /// What the caller wrote: the same as if it had been said.
    pub fn read(&mut self, text: &str) -> Answer {
        let mut answer = self.hear(Input::Speech(text));
        answer.decision = answer.decision.map(|decision| match decision {
            Decision::Grant(scope, Grant::Voice) => Decision::Grant(scope, Grant::Text),
            Decision::Refuse(which, Refusal::Said) => Decision::Refuse(which, Refusal::Text),
            Decision::Withdraw(which, Withdrawal::Phrase) => Decision::Withdraw(which, Withdrawal::Text),
            other => other,
        });
        answer
    }

    /// The question for consent, answered by a click.
    pub fn clicked(&mut self, grant: bool) -> Answer {
        if grant { self.granted(Grant::Click) } else { self.refused(Refusal::Click) }
    }

    /// The caller takes back what they agreed to. What was not asked yet is not asked any more.
    pub fn withdraw(&mut self, which: &Which, how: Withdrawal) -> Answer {
        let was_asked = self.asks_consent();
        self.phase = Phase::Talking;
        let decision = Some(Decision::Withdraw(which.clone(), how));
        let Some(script) = &self.script else {
            return Answer { decision, ..Answer::from(self.dialogue.withdraw()) };
        };
        self.not_by_machine |= script.asks_for_processing() && which.holds(&Scope::AiProcess);
        let mut clauses = script.withdrawn.clone();
        let mut answer = if self.not_by_machine {
            clauses.extend(self.agent.human());
            let then = Then::Transfer(self.agent.transfer_target().to_owned());
            Answer { then, ..Answer::say(clauses, Expects::Anything) }
        } else if was_asked {
            self.go_on(clauses)
        } else {
            let reply = self.dialogue.ask_again();
            clauses.extend(reply.clauses);
            Answer::say(clauses, reply.expects)
        };
        answer.decision = decision;
        answer
    }

    /// Where a question is open, "no, don't record me" is an answer to it.
    fn takes_back(&self, text: &str) -> bool {
        let answers = || self.asks_consent() && consent_answer(text, self.agent.language()) == ConsentAnswer::No;
        self.script.as_ref().is_some_and(|script| script.withdraws(text)) && !answers()
    }

    fn hear_consent(&mut self, input: Input<'_>, nth: usize, asked_again: bool) -> Answer {
        let language = self.agent.language();
        match input {
            Input::Digit('1') => self.granted(Grant::Key),
            Input::Digit('2') => self.refused(Refusal::Key),
            Input::Silence => self.refused(Refusal::Silence),
            Input::Speech(text) => match consent_answer(text, language) {
                ConsentAnswer::Yes => self.granted(Grant::Voice),
                ConsentAnswer::No => self.refused(Refusal::Said),
                ConsentAnswer::Unclear => self.unclear(Some(text), nth, asked_again),
            },
            Input::Digit(_) => self.key_for_business(input).unwrap_or_else(|| self.unclear(None, nth, asked_again)),
            Input::Unclear => self.unclear(None, nth, asked_again),
            Input::Noise | Input::NoiseForever => self.noise(input),
        }
    }

    /// The question stays open: it may be answered by key.
    fn noise(&mut self, input: Input<'_>) -> Answer {
        let mut answer = Answer::from(self.dialogue.hear(input));
        if answer.then == Then::Listen {
            answer.clauses.extend(self.question().map(|question| question.ask.clone()).unwrap_or_default());
            answer.expects = Expects::YesNo;
        } else {
            answer.decision = Some(Decision::Refuse(self.unanswered(), Refusal::Unclear));
            self.phase = Phase::Talking;
        }
        answer
    }

    /// A person can be asked for at any time; who does has not agreed to anything.
    fn key_for_business(&mut self, input: Input<'_>) -> Option<Answer> {
        let mut ahead = self.dialogue.clone();
        let reply = ahead.hear(input);
        (reply.intent == "human").then(|| self.go_to_business(ahead, reply))
    }

    fn go_to_business(&mut self, ahead: Dialogue, reply: Reply) -> Answer {
        let unanswered = self.unanswered();
        self.dialogue = ahead;
        self.phase = Phase::Talking;
        let mut answer = Answer::from(reply);
        answer.decision = Some(Decision::Refuse(unanswered, Refusal::Unclear));
        answer
    }

    /// The question that is open, and those that would come after it.
    fn unanswered(&self) -> Which {
        let Phase::Consent { nth, .. } = self.phase else { return Which::Only(Scopes::new()) };
        let questions = self.script.iter().flat_map(|script| &script.questions).enumerate();
        let rest = self.asks.get(nth..).unwrap_or_default();
        Which::Only(questions.filter(|(at, _)| rest.contains(at)).map(|(_, q)| q.scope.clone()).collect())
    }

    fn granted(&mut self, how: Grant) -> Answer {
        let Some(Question { scope, granted, .. }) = self.question().cloned() else { return self.go_on(vec![]) };
        self.next_question();
        let mut answer = self.go_on(granted);
        answer.decision = Some(Decision::Grant(scope, how));
        answer
    }

    fn refused(&mut self, why: Refusal) -> Answer {
        let Some(Question { scope, refused, .. }) = self.question().cloned() else { return self.go_on(vec![]) };
        let unanswered = self.unanswered();
        if scope == Scope::AiProcess {
            // It is a no to everything that a machine would do here.
            self.phase = Phase::Talking;
            self.not_by_machine = true;
            let then = Then::Transfer(self.agent.transfer_target().to_owned());
            let decision = Some(Decision::Refuse(unanswered, why));
            return Answer { then, decision, ..Answer::say(refused, Expects::Anything) };
        }
        self.next_question();
        let mut answer = self.go_on(refused);
        answer.decision = Some(Decision::Refuse(Which::one(&scope), why));
        answer
    }

    fn next_question(&mut self) {
        self.phase = match self.phase {
            Phase::Consent { nth, .. } if nth + 1 < self.asks.len() => {
                Phase::Consent { nth: nth + 1, asked_again: false }
            }
            _ => Phase::Talking,
        };
    }

    /// Unclear is asked again once; a caller who goes straight to business has not agreed and gets an answer. Where it
    /// is open whether a machine may listen, only a person may be asked for.
    fn unclear(&mut self, text: Option<&str>, nth: usize, asked_again: bool) -> Answer {
        let processing = self.question().is_some_and(|question| question.scope == Scope::AiProcess);
        if let Some(text) = text {
            let mut ahead = self.dialogue.clone();
            let reply = ahead.hear(Input::Speech(text));
            let business = reply.covered && !reply.clauses.is_empty() && !NOT_BUSINESS.contains(&reply.intent.as_str());
            if business && (!processing || reply.intent == "human") {
                return self.go_to_business(ahead, reply);
            }
        }
        if asked_again {
            return self.refused(Refusal::Unclear);
        }
        self.phase = Phase::Consent { nth, asked_again: true };
        Answer { understood: false, ..self.go_on(vec![]) }
    }

    /// Nobody took the caller over.
    pub fn transfer_failed(&mut self) -> Answer {
        let mut answer = Answer::from(self.dialogue.transfer_failed());
        if self.not_by_machine {
            answer.clauses.extend(self.agent.goodbye());
            answer.then = Then::Hangup;
        }
        answer
    }

    /// A language model spoke in the flows' place.
    pub fn said_instead(&mut self, clauses: &[String]) {
        self.dialogue.said_instead(clauses);
    }

    fn talk(&mut self, input: Input<'_>) -> Answer {
        let asked = self.dialogue.expects();
        let reply = self.dialogue.hear(input);
        if reply.intent == "withdraw" {
            return self.withdraw(&Which::All, Withdrawal::Phrase);
        }
        let slot = slot(asked, &reply);
        Answer { slot, ..Answer::from(reply) }
    }
}

/// Intents that do not show that the caller has moved on from the question.
const NOT_BUSINESS: [&str; 9] =
    ["repeat", "interrupt", "withdraw", "backchannel", "fallback", "affirm", "deny", "unclear", "give_up"];

/// What a reply made of the slot that was asked for.
fn slot(asked: Expects, reply: &Reply) -> Slot {
    let is_slot = matches!(asked, Expects::Day | Expects::Time | Expects::Name | Expects::Phone);
    match reply.intent.as_str() {
        "slot" if is_slot && reply.expects != asked => Slot::Filled,
        "slot" | "unclear" if is_slot && reply.expects == asked => Slot::Open,
        _ => Slot::None,
    }
}

impl Answer {
    /// What was said made sense, be it only "mm-hm".
    pub fn is_clear(&self) -> bool {
        self.understood || self.backchannel
    }

    fn say(clauses: Vec<String>, expects: Expects) -> Self {
        Self {
            clauses,
            expects,
            then: Then::Listen,
            decision: None,
            put: None,
            covered: true,
            backchannel: false,
            end: EndCause::Completed,
            done: None,
            understood: true,
            slot: Slot::None,
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            backchannel: reply.clauses.is_empty(),
            end: match reply.intent.as_str() {
                "silence" => EndCause::Silence,
                "noise" => EndCause::Noise,
                "give_up" => EndCause::NotUnderstood,
                _ => EndCause::Completed,
            },
            done: reply.outcome,
            understood: reply.covered && !matches!(reply.intent.as_str(), "unclear" | "backchannel"),
            slot: Slot::None,
            clauses: reply.clauses,
            expects: reply.expects,
            then: reply.then,
            decision: None,
            put: None,
            // A reply that still asks for something goes on with the flow; no model may take over there.
            covered: reply.covered || reply.expects != Expects::Anything,
        }
    }
}
