//! What was said in this call, in memory and bounded, for the language model's prompt. It never stores.

use std::collections::VecDeque;

use crate::call::action::{PromptLine, Speaker};

/// Lines that a prompt carries at most.
const LINES_MAX: usize = 40;

#[derive(Default)]
pub struct History {
    lines: VecDeque<(Speaker, String)>,
    /// Counts changes.
    version: u64,
}

impl History {
    /// Another one after every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn push(&mut self, speaker: Speaker, text: &str) {
        self.version += 1;
        match self.lines.back_mut() {
            // Clauses of one utterance are one message.
            Some((last, line)) if *last == speaker => {
                line.push(' ');
                line.push_str(text);
            }
            _ => self.lines.push_back((speaker, text.to_owned())),
        }
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.version += 1;
        self.lines.clear();
    }

    pub fn prompt(&self, system: String) -> Vec<PromptLine> {
        let lines = self.lines.iter().map(|(speaker, text)| PromptLine {
            role: if *speaker == Speaker::Caller { "user" } else { "assistant" },
            text: text.clone(),
        });
        std::iter::once(PromptLine { role: "system", text: system }).chain(lines).collect()
    }
}
