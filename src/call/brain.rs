//! What to say next: first the consent question, then the agent's dialogue. Cloneable, so that a draft
//! can think ahead and be thrown away. It never speaks, stores or grants; it says what was answered.

use std::sync::Arc;

use crate::call::action::EndCause;
use crate::call::endpointing::Slot;
use crate::dialogue::consent::{ConsentAnswer, consent_answer};
use crate::dialogue::{Agent, Dialogue, Done, Ending, Expects, Input, Outcome, Reply, Then, Waits};
use crate::privacy::{Asked, Refusal};

/// What the caller decided about the transcript in this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Grant(Asked),
    Refuse(Refusal),
    Withdraw,
}

/// An answer to one turn.
#[derive(Clone)]
pub struct Answer {
    pub clauses: Vec<String>,
    pub expects: Expects,
    pub then: Then,
    pub decision: Option<Decision>,
    /// False where the flows had nothing; a language model may take over.
    pub covered: bool,
    /// True for "mm-hm": nothing to answer, go on.
    pub backchannel: bool,
    /// Why the call ends, if this answer ends it.
    pub end: EndCause,
    /// A form that this turn completes.
    pub done: Option<Done>,
    /// The words were a request or an answer that makes sense here.
    pub understood: bool,
    pub slot: Slot,
}

#[derive(Clone)]
pub struct Brain {
    agent: Arc<Agent>,
    dialogue: Dialogue,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Consent { asked_again: bool },
    Talking,
}

impl Brain {
    pub fn new(agent: Arc<Agent>, today: jiff::civil::Date) -> Self {
        let dialogue = Dialogue::new(Arc::clone(&agent), today);
        Self { agent, dialogue, phase: Phase::Consent { asked_again: false } }
    }

    /// The greeting, that an AI answers, and the question. The second value is the clause where the question
    /// begins: an answer that began before it answers nothing.
    pub fn open(&self) -> (Answer, u16) {
        let mut clauses = self.agent.greeting();
        let question = u16::try_from(clauses.len()).unwrap_or(u16::MAX);
        clauses.extend(self.agent.consent_question());
        (Answer::say(clauses, Expects::YesNo), question)
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
        match self.phase {
            Phase::Consent { asked_again } => self.hear_consent(input, asked_again),
            Phase::Talking => self.talk(input),
        }
    }

    /// What the caller wrote: the same as if it had been said.
    pub fn read(&mut self, text: &str) -> Answer {
        let mut answer = self.hear(Input::Speech(text));
        answer.decision = answer.decision.map(|decision| match decision {
            Decision::Grant(Asked::Voice) => Decision::Grant(Asked::Text),
            Decision::Refuse(Refusal::Said) => Decision::Refuse(Refusal::Text),
            other => other,
        });
        answer
    }

    /// The question for consent, answered by a click.
    pub fn clicked(&mut self, grant: bool) -> Answer {
        if grant { self.granted(Asked::Click) } else { self.refused(Refusal::Click) }
    }

    /// The caller takes their consent back by a click.
    pub fn withdraw(&mut self) -> Answer {
        let mut answer = Answer::from(self.dialogue.withdraw());
        answer.decision = Some(Decision::Withdraw);
        answer
    }

    fn hear_consent(&mut self, input: Input<'_>, asked_again: bool) -> Answer {
        let language = self.agent.language();
        match input {
            Input::Digit('1') => self.granted(Asked::Key),
            Input::Digit('2') => self.refused(Refusal::Key),
            Input::Silence => self.refused(Refusal::Silence),
            Input::Speech(text) => match consent_answer(text, language) {
                ConsentAnswer::Yes => self.granted(Asked::Voice),
                ConsentAnswer::No => self.refused(Refusal::Said),
                ConsentAnswer::Unclear => self.unclear(Some(text), asked_again),
            },
            Input::Digit(_) => self.key_for_business(input).unwrap_or_else(|| self.unclear(None, asked_again)),
            Input::Unclear => self.unclear(None, asked_again),
            Input::Noise | Input::NoiseForever => self.noise(input),
        }
    }

    /// The question stays open: it may be answered by key.
    fn noise(&mut self, input: Input<'_>) -> Answer {
        let mut answer = Answer::from(self.dialogue.hear(input));
        if answer.then == Then::Listen {
            answer.clauses.extend(self.agent.consent_question());
            answer.expects = Expects::YesNo;
        } else {
            self.phase = Phase::Talking;
            answer.decision = Some(Decision::Refuse(Refusal::Unclear));
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
        self.dialogue = ahead;
        self.phase = Phase::Talking;
        let mut answer = Answer::from(reply);
        answer.decision = Some(Decision::Refuse(Refusal::Unclear));
        answer
    }

    fn granted(&mut self, how: Asked) -> Answer {
        self.phase = Phase::Talking;
        let mut answer = Answer::say(self.agent.consent_granted(), Expects::Anything);
        answer.decision = Some(Decision::Grant(how));
        answer
    }

    fn refused(&mut self, why: Refusal) -> Answer {
        self.phase = Phase::Talking;
        let mut answer = Answer::say(self.agent.consent_refused(), Expects::Anything);
        answer.decision = Some(Decision::Refuse(why));
        answer
    }

    /// Unclear is asked again once; a caller who goes straight to business has not agreed and gets an answer.
    fn unclear(&mut self, text: Option<&str>, asked_again: bool) -> Answer {
        if let Some(text) = text {
            let mut ahead = self.dialogue.clone();
            let reply = ahead.hear(Input::Speech(text));
            if reply.covered && !reply.clauses.is_empty() && !NOT_BUSINESS.contains(&reply.intent.as_str()) {
                return self.go_to_business(ahead, reply);
            }
        }
        if asked_again {
            return self.refused(Refusal::Unclear);
        }
        self.phase = Phase::Consent { asked_again: true };
        Answer { understood: false, ..Answer::say(self.agent.consent_question(), Expects::YesNo) }
    }

    /// Nobody took the caller over.
    pub fn transfer_failed(&mut self) -> Answer {
        Answer::from(self.dialogue.transfer_failed())
    }

    /// A language model spoke in the flows' place.
    pub fn said_instead(&mut self, clauses: &[String]) {
        self.dialogue.said_instead(clauses);
    }

    fn talk(&mut self, input: Input<'_>) -> Answer {
        let asked = self.dialogue.expects();
        let reply = self.dialogue.hear(input);
        let withdraw = reply.intent == "withdraw";
        let slot = slot(asked, &reply);
        let mut answer = Answer { slot, ..Answer::from(reply) };
        answer.decision = withdraw.then_some(Decision::Withdraw);
        answer
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
            done: reply.outcome.as_ref().map(Outcome::done),
            understood: reply.covered && !matches!(reply.intent.as_str(), "unclear" | "backchannel"),
            slot: Slot::None,
            clauses: reply.clauses,
            expects: reply.expects,
            then: reply.then,
            decision: None,
            // A reply that still asks for something goes on with the flow; no model may take over there.
            covered: reply.covered || reply.expects != Expects::Anything,
        }
    }
}
