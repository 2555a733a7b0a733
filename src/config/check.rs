//! How a well-formed but impossible value is told: its key, its line, what is allowed. It checks nothing itself.

/// Where a key stands.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// `[name]`
    Section(&'static str),
    /// The nth `[[name]]`, from 0.
    Item(&'static str, usize),
}

/// What is wrong, before the file is named.
#[derive(Debug)]
pub struct Problem {
    pub place: Place,
    pub key: &'static str,
    pub problem: String,
}

pub fn wrong<T>(place: impl Into<Place>, key: &'static str, problem: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { place: place.into(), key, problem: problem.into() })
}

impl From<&'static str> for Place {
    fn from(section: &'static str) -> Self {
        Self::Section(section)
    }
}

impl Place {
    /// The line of `key`, from 1; where the key is not written, the line of the section itself.
    pub fn line(self, text: &str, key: &str) -> Option<usize> {
        let (name, nth, brackets) = match self {
            Self::Section(name) => (name, 0, ("[", "]")),
            Self::Item(name, nth) => (name, nth, ("[[", "]]")),
        };
        let header = format!("{}{name}{}", brackets.0, brackets.1);
        let below = [format!("[{name}."), format!("[[{name}.")];
        let lines = || text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_start()));
        let (start, _) = lines().filter(|(_, line)| line.starts_with(&header)).nth(nth)?;
        let inside = lines().skip(start).take_while(|(_, line)| {
            // `[route.header]` belongs to its `[[route]]`; a line of a list over many lines is no header.
            !line.starts_with('[') || below.iter().any(|b| line.starts_with(b.as_str()))
        });
        let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        let found = inside.clone().find(|(_, line)| is_key(line)).map(|(n, _)| n);
        Some(found.unwrap_or(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_own_section() {
        let text = "[http]\nbind = 1\n[sip]\n# bind = 0\n bind=2\n[[trunk]]\nname = \"a\"\n[[trunk]]\nto = []\nname = 1\n\
                    [[route]]\n[route.header]\nx = 1\n";
        assert_eq!(Place::Section("sip").line(text, "bind"), Some(5));
        assert_eq!(Place::Section("http").line(text, "bind"), Some(2));
        assert_eq!(Place::Section("sip").line(text, "tls"), Some(3));
        assert_eq!(Place::Item("trunk", 1).line(text, "name"), Some(10));
        assert_eq!(Place::Item("trunk", 0).line(text, "to"), Some(6));
        assert_eq!(Place::Item("route", 0).line(text, "x"), Some(13));
        assert_eq!(Place::Item("trunk", 2).line(text, "name"), None);
        assert_eq!(Place::Section("llm").line(text, "url"), None);
    }
}
