//! The table of torture messages, `sip/tests/data/torture.toml`, as values. It never judges what we do with them.
#![allow(dead_code)]

use sip::message::Name;
use std::path::{Path, PathBuf};

/// One message of RFC 4475 or RFC 5118.
pub struct Case {
    /// `rfc4475/wsinv.dat`.
    pub file: String,
    pub section: String,
    pub about: String,
    pub reading: Reading,
    /// Final statuses; none: silence; `call`: it rings.
    pub answers: Vec<String>,
    /// Why our reaction is what it is, where the RFC leaves or wants something else.
    pub why: String,
    pub bytes: Vec<u8>,
}

pub enum Reading {
    /// `name = value` as the table has them; lists as one entry per value.
    Read(Vec<(String, String)>),
    /// Our reason; and the reason once the missing empty line is there.
    Refused { why: String, completed: Option<String> },
}

impl Case {
    /// `wsinv`.
    pub fn name(&self) -> &str {
        Path::new(&self.file).file_stem().unwrap().to_str().unwrap()
    }

    pub fn rfc(&self) -> &str {
        if self.file.starts_with("rfc4475") { "4475" } else { "5118" }
    }

    pub fn is_read(&self) -> bool {
        matches!(self.reading, Reading::Read(_))
    }
}

/// The header that a final response must carry (RFC 3261 21.4.6, 21.4.13, 21.4.15).
pub fn demanded(status: u16) -> Option<Name> {
    match status {
        405 => Some(Name::Allow),
        406 | 415 => Some(Name::Accept),
        420 => Some(Name::Unsupported),
        _ => None,
    }
}

/// `root`: the folder of the repository.
pub fn load(root: &Path) -> Vec<Case> {
    let data: PathBuf = root.join("sip/tests/data");
    let text = std::fs::read_to_string(data.join("torture.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let messages = table["message"].as_array().unwrap();
    messages.iter().map(|m| case(&data, m.as_table().unwrap())).collect()
}

fn case(data: &Path, entry: &toml::Table) -> Case {
    let text = |name: &str| entry.get(name).map(|v| v.as_str().unwrap().to_owned());
    let file = text("file").unwrap();
    let about_it = ["file", "section", "about", "answer", "why"];
    let reading = match text("refused") {
        Some(why) => Reading::Refused { why, completed: text("completed") },
        None => {
            let values = entry.iter().filter(|(name, _)| !about_it.contains(&name.as_str()));
            Reading::Read(values.flat_map(|(name, value)| flat(name, value)).collect())
        }
    };
    Case {
        bytes: std::fs::read(data.join(&file)).unwrap(),
        section: text("section").unwrap(),
        about: text("about").unwrap(),
        answers: entry["answer"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect(),
        why: text("why").unwrap_or_default(),
        reading,
        file,
    }
}

fn flat(name: &str, value: &toml::Value) -> Vec<(String, String)> {
    let one = |value: &toml::Value| (name.to_owned(), value.as_str().map_or(value.to_string(), str::to_owned));
    match value.as_array() {
        Some(list) => list.iter().map(one).collect(),
        None => vec![one(value)],
    }
}
