//! What leaves a call for other systems: its words to the language model, its completed forms to webhooks. Whether they
//! may is the broker's to say; a consent that is not on record is none.

use std::time::Instant;

use ::privacy::consent::ConsentGate;

use super::Driver;
use crate::call::{Action, PromptLine};
use crate::dialogue::Outcome;
use crate::egress::Completed;

impl Driver {
    /// None: there is no policy, or a step of consent is not on record yet.
    fn on_record(&self) -> Option<&ConsentGate> {
        self.call.gate().filter(|_| self.unrecorded.is_empty())
    }

    pub(super) fn think(&mut self, now: Instant, utterance: u64, prompt: &[PromptLine]) {
        self.warming = None;
        let gate = self.on_record();
        self.thoughts = self.around.think.as_ref().and_then(|think| think(gate, utterance, prompt));
        if self.thoughts.is_none() {
            self.call.apply(now, Action::ThoughtFailed { utterance });
        }
    }

    pub(super) fn warm(&mut self, prompt: &[PromptLine]) {
        let gate = self.on_record();
        self.warming = self.around.warm.as_ref().and_then(|warm| warm(gate, prompt));
    }

    pub(super) fn complete(&mut self, outcome: &Outcome) {
        let number = self.summary.outcome(outcome.done());
        let Some((egress, gate)) = self.around.egress.as_ref().zip(self.on_record()) else { return };
        egress.completed(gate, &Completed { agent: self.summary.agent(), number, outcome });
    }
}
