//! What is wrong with an agent file: the line, the key, and what would be right. It never guesses a
//! repair; it only names the nearest thing that exists.

use std::fmt;
use std::ops::Range;

use super::text::distance;

/// Everything found wrong with one agent file, at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AgentError {
    pub problems: Vec<Problem>,
}

/// One problem: change `key` on `line` as `message` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    pub key: String,
    pub message: String,
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}`: {}", self.line, self.key, self.message)
    }
}

/// Collects problems of one file.
pub(crate) struct Problems<'a> {
    source: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub fn new(source: &'a str) -> Problems<'a> {
        Problems { source, found: Vec::new() }
    }

    pub fn add(&mut self, span: Range<usize>, key: &str, message: impl Into<String>) {
        let line = self.line(span.start);
        self.found.push(Problem { line, key: key.to_owned(), message: message.into() });
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        line(self.source, offset)
    }

    /// All problems in the order of the file.
    pub fn finish(mut self) -> Result<(), AgentError> {
        self.found.sort_by_key(|problem| problem.line);
        if self.found.is_empty() { Ok(()) } else { Err(AgentError { problems: self.found }) }
    }
}

/// The TOML reader's own error in the same form: unknown key, missing key, wrong type, broken syntax.
pub(crate) fn from_toml(source: &str, error: &toml::de::Error) -> AgentError {
    let start = error.span().map_or(0, |span| span.start);
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    let (key, message) = match (error.message().split_once(" `"), quoted.as_slice()) {
        (Some(("unknown field", _)), [unknown, allowed @ ..]) => {
            let near = nearest(unknown, allowed.iter().copied());
            (unknown.to_string(), format!("unknown key; {near}allowed here: {}", allowed.join(", ")))
        }
        (Some(("missing field", _)), [missing, ..]) => {
            (missing.to_string(), "this key is missing here; it has to be set".to_owned())
        }
        (Some(("duplicate field", _)), [twice, ..]) => (twice.to_string(), "set twice; once is enough".to_owned()),
        _ => (key_at(source, start), error.message().replace('\n', " ")),
    };
    AgentError { problems: vec![Problem { line: line(source, start), key, message }] }
}

/// "did you mean `x`? " where something close exists.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let wrong = letters(wrong);
    known
        .map(|name| (distance(&wrong, &letters(name)), name))
        .min()
        .filter(|(edits, name)| *edits <= ((name.chars().count() + 1) / 3).max(1))
        .map_or_else(String::new, |(_, name)| format!("did you mean `{name}`? "))
}

fn line(source: &str, offset: usize) -> usize {
    source.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The key or table header of the line an offset lies in.
fn key_at(source: &str, offset: usize) -> String {
    let text = source.lines().nth(line(source, offset) - 1).unwrap_or_default();
    text.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']', '"']).to_owned()
}
