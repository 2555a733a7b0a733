//! What is wrong with a policy file: the place, the key, and what to do. It never guesses a repair.

use std::fmt;

/// Everything found wrong with one policy file, at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; where TOML itself could not be read.
    pub line: Option<usize>,
    /// `ask[0].texts.en.question`.
    pub key: String,
    /// What to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, key: key.into(), message: message.into() }
    }
}

impl PolicyError {
    /// The TOML reader's own error: unknown key, missing key, wrong type, broken syntax.
    pub(super) fn toml(source: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let line = source.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
        let (key, message) = match (error.message().split_once(" `"), quoted.as_slice()) {
            (Some(("unknown field", _)), [unknown, known @ ..]) => {
                let known = known.join(", ");
                (unknown.to_string(), format!("unknown key; correct or delete it, these are known here: {known}"))
            }
            (Some(("missing field", _)), [missing, ..]) => (missing.to_string(), "missing; add it here".into()),
            (Some(("duplicate field", _)), [twice, ..]) => (twice.to_string(), "set twice; delete one".into()),
            _ => {
                let text = source.lines().nth(line - 1).unwrap_or_default();
                let key = text.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']', '"']);
                (key.to_owned(), format!("correct this line: {}", error.message().replace('\n', " ")))
            }
        };
        Self { problems: vec![Problem { line: Some(line), key, message }] }
    }
}

impl fmt::Display for PolicyError {
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
        match self.line {
            Some(line) => write!(f, "line {line}: `{}`: {}", self.key, self.message),
            None => write!(f, "`{}`: {}", self.key, self.message),
        }
    }
}
