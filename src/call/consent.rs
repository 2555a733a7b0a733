//! What the caller of one call is told and asked, in their language and in the pieces in which it is spoken, as the
//! tenant's policy has it. It asks, grants and keeps nothing.

use std::sync::Arc;

use ::privacy::consent::{Channel, ConsentGate};
use ::privacy::policy::{Language, Policy, TextHash, Told};
use ::privacy::redact::Redactor;
use ::privacy::{Scope, Scopes, Time};

use crate::dialogue::clauses;

/// The policy in one language. Shared by all calls of an agent.
#[derive(Debug, Clone)]
pub struct Script {
    policy: Arc<Policy>,
    language: Language,
    /// That an AI answers and for whom, what is kept, how a person is reached; in clauses.
    pub opening: Vec<String>,
    /// In the order in which they are put.
    pub questions: Vec<Question>,
    /// Said to whoever takes a consent back.
    pub withdrawn: Vec<String>,
}

/// One question for one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub scope: Scope,
    /// Of its words.
    pub prompt: TextHash,
    pub text: String,
    /// The same in clauses, and what is said to the answer.
    pub ask: Vec<String>,
    pub granted: Vec<String>,
    pub refused: Vec<String>,
}

impl Script {
    /// `None`: the policy has no texts in this language.
    pub fn read(policy: &Arc<Policy>, language: &str) -> Option<Self> {
        let (tag, texts) = policy.texts(language)?;
        let opening = [&texts.disclosure, &texts.keeps, &texts.person];
        let questions = policy.questions(language).into_iter().map(|question| Question {
            scope: question.scope.clone(),
            prompt: question.prompt(),
            text: question.texts.question.clone(),
            ask: clauses(&question.texts.question),
            granted: clauses(&question.texts.granted),
            refused: clauses(&question.texts.refused),
        });
        Some(Self {
            language: tag.clone(),
            opening: opening.into_iter().flat_map(|text| clauses(text)).collect(),
            questions: questions.collect(),
            withdrawn: clauses(&texts.withdrawn),
            policy: Arc::clone(policy),
        })
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub fn language(&self) -> &str {
        self.language.as_str()
    }

    /// What a gate is made with.
    pub fn told(&self, channel: Channel) -> Option<Told> {
        self.policy.told(self.language.as_str(), channel)
    }

    /// Whether somebody takes their consent back with these words.
    pub fn withdraws(&self, text: &str) -> bool {
        self.policy.withdraws(text)
    }

    /// Pressed at any time, it takes every consent back.
    pub fn withdraw_key(&self) -> &str {
        &self.policy.withdraw_key
    }

    /// Whether callers are asked if a machine may listen at all; who says no gets a person.
    pub fn asks_for_processing(&self) -> bool {
        self.questions.iter().any(|question| question.scope == Scope::AiProcess)
    }

    /// Everything that is said in the same words in every call, for sound that is made ahead.
    pub fn fixed_sentences(&self) -> Vec<String> {
        let questions = self.questions.iter().flat_map(|q| q.ask.iter().chain(&q.granted).chain(&q.refused));
        self.opening.iter().chain(questions).chain(&self.withdrawn).cloned().collect()
    }
}

/// How a language model gets what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearer {
    /// Its `[[destination]]`.
    pub name: String,
    /// Granted before it hears a word.
    pub needs: Scopes,
    /// Whose rules of redaction hold for it.
    pub scope: Scope,
}

/// What a call with a policy begins with. A call without one has no gate: it asks for nothing and keeps nothing.
pub struct Terms {
    pub script: Arc<Script>,
    /// May hold what was granted before the call.
    pub gate: ConsentGate,
    pub redactor: Arc<Redactor>,
    /// The time of the day at the call's beginning.
    pub at: Time,
    /// None: no language model is declared.
    pub hearer: Option<Hearer>,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use ::privacy::redact::Rules;
    use ::privacy::{CallId, SubjectId};

    const POLICY: &str = include_str!("../../configs/policy/default.toml");

    /// A policy that asks for a transcript, in a few words.
    pub fn script() -> Script {
        let policy = Policy::parse(POLICY).expect("the demo's policy");
        let mut script = Script::read(&Arc::new(policy), "en").expect("English");
        let greeting = "Hello, this is Bright Smile Dental. I'm the clinic's AI assistant. \
                        For a person, press zero at any time.";
        script.opening = clauses(greeting);
        script.questions[0].refused = clauses("All right, nothing will be kept.");
        script
    }

    /// The same with a question for another scope in front.
    pub fn asking_also(scope: Scope) -> Script {
        let mut script = script();
        let text = "May a machine do this? Please say yes or no.".to_owned();
        let question = Question {
            scope,
            prompt: TextHash::of(&text),
            ask: clauses(&text),
            text,
            granted: clauses("Good to know."),
            refused: clauses("As you wish, and nothing of that is done."),
        };
        script.questions.insert(0, question);
        script
    }

    pub fn terms(script: Script) -> Terms {
        let told = script.told(Channel::Phone).expect("English");
        Terms {
            gate: ConsentGate::new(CallId(1), SubjectId([7; 16]), told),
            script: Arc::new(script),
            redactor: Arc::new(Redactor::new(&Rules::default())),
            at: Time(1_795_000_000_000),
            hearer: None,
        }
    }

    #[test]
    fn a_policy_is_told_in_pieces_that_make_the_whole() {
        let policy = Arc::new(Policy::parse(POLICY).expect("the demo's policy"));
        for language in ["en", "ru", "en-GB"] {
            let script = Script::read(&policy, language).expect("is offered");
            let (_, texts) = policy.texts(language).expect("is offered");
            let whole = [texts.disclosure.as_str(), &texts.keeps, &texts.person].join(" ");
            assert_eq!(script.opening.join(" "), whole);
            assert_eq!(script.questions[0].ask.join(" "), script.questions[0].text);
            assert!(script.opening.len() > 3 && !script.asks_for_processing());
            assert!(script.fixed_sentences().contains(&script.withdrawn[0]));
        }
        assert!(Script::read(&policy, "fr").is_none());
        assert!(script().withdraws("Please delete my data!") && !script().withdraws("my data"));
    }
}
