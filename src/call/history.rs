//! What was said in this call, in memory and bounded, for the language model's prompt. It never stores.

use std::collections::VecDeque;

use crate::call::action::{PromptLine, Speaker};

/// Lines that a prompt carries at most.
const LINES_MAX: usize = 40;

#[derive(Default)]
pub struct History(VecDeque<(Speaker, String)>);

impl History {
    pub fn push(&mut self, speaker: Speaker, text: &str) {
        match self.0.back_mut() {
            // Clauses of one utterance are one message.
            Some((last, line)) if *last == speaker => {
                line.push(' ');
                line.push_str(text);
            }
            _ => self.0.push_back((speaker, text.to_owned())),
        }
        if self.0.len() > LINES_MAX {
            self.0.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn prompt(&self, system: String) -> Vec<PromptLine> {
        let lines = self.0.iter().map(|(speaker, text)| PromptLine {
            role: if *speaker == Speaker::Caller { "user" } else { "assistant" },
            text: text.clone(),
        });
        std::iter::once(PromptLine { role: "system", text: system }).chain(lines).collect()
    }
}
