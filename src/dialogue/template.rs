//! Sentences of the agent file: split into clauses once, at load, with `{slots}` left open. A clause
//! without slots is fixed: its sound can be made ahead. It never splits after filling, so that a
//! caller's data cannot change where a clause ends.

/// What a sentence may leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Var {
    Day,
    Time,
    Name,
    Phone,
    /// The name, or the phone number where no name was given.
    Caller,
    Weekday,
    Opens,
    Closes,
}

impl Var {
    const ALL: [(&str, Var); 8] = [
        ("day", Var::Day),
        ("time", Var::Time),
        ("name", Var::Name),
        ("phone", Var::Phone),
        ("caller", Var::Caller),
        ("weekday", Var::Weekday),
        ("opens", Var::Opens),
        ("closes", Var::Closes),
    ];

    pub fn name(self) -> &'static str {
        Var::ALL.iter().find(|(_, var)| *var == self).map_or("", |(name, _)| name)
    }

    /// Computed from the agent file alone: no caller's data in it.
    pub fn is_agents_own(self) -> bool {
        matches!(self, Var::Weekday | Var::Opens | Var::Closes)
    }
}

/// A clause ready to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub text: String,
    /// Only text of the agent file.
    pub fixed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    clauses: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Var(Var),
}

/// Why a text is not a template: the piece in braces that names no slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownSlot(pub String);

impl Template {
    pub fn parse(text: &str) -> Result<Template, UnknownSlot> {
        let clauses = split(text).iter().map(|clause| parts(clause)).collect::<Result<_, _>>()?;
        Ok(Template { clauses })
    }

    pub fn vars(&self) -> impl Iterator<Item = Var> + '_ {
        self.clauses.iter().flatten().filter_map(|part| match part {
            Part::Var(var) => Some(*var),
            Part::Text(_) => None,
        })
    }

    /// Fills the slots. A clause is fixed when nothing, or only the agent's own data, was filled in.
    pub fn render(&self, value: impl Fn(Var) -> String) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::with_capacity(self.clauses.len());
        for parts in &self.clauses {
            let mut clause = Said { text: String::new(), fixed: true };
            for part in parts {
                match part {
                    Part::Text(text) => clause.text.push_str(text),
                    Part::Var(var) => {
                        clause.text.push_str(&value(*var));
                        clause.fixed &= var.is_agents_own();
                    }
                }
            }
            let begins = said.last().is_none_or(|before| !before.text.ends_with([',', ';', ':', '—']));
            clause.text = if begins { capitalised(clause.text.trim()) } else { clause.text.trim().to_owned() };
            if !clause.text.is_empty() {
                said.push(clause);
            }
        }
        said
    }

    /// The text of a template without slots.
    pub fn plain(&self) -> Vec<Said> {
        self.render(|_| String::new())
    }

    /// Longest clause, in characters, slots counted as written.
    pub fn longest_clause(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.chars().count(),
            Part::Var(var) => var.name().len() + 2,
        };
        self.clauses.iter().map(|parts| parts.iter().map(length).sum()).max().unwrap_or(0)
    }
}

/// A first clause longer than this is cut at its first good comma: speech starts with what is ready.
const FIRST_CLAUSE: usize = 45;
/// Any later clause longer than this is cut at a comma.
const LATER_CLAUSE: usize = 110;
/// A piece shorter than this is not worth a clause of its own.
const SHORTEST: usize = 12;
/// A full stop behind these ends no sentence.
const ABBREVIATIONS: [&str; 13] = ["dr", "mr", "mrs", "ms", "st", "no", "a.m", "p.m", "e.g", "ул", "им", "т.е", "корп"];

/// Sentences, and long sentences at commas. Joining the pieces with spaces gives the text back.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut clauses = Vec::new();
    for sentence in sentences(text) {
        let limit = if clauses.is_empty() { FIRST_CLAUSE } else { LATER_CLAUSE };
        cut(&sentence, limit, &mut clauses);
    }
    clauses
}

fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut current = String::new();
    for word in text.split_whitespace() {
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
        let bare = word.trim_end_matches(['"', '»', ')']);
        let stop = bare.ends_with(['!', '?', '…'])
            || (bare.ends_with('.') && !ABBREVIATIONS.contains(&bare.trim_end_matches('.').to_lowercase().as_str()));
        if stop {
            sentences.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        sentences.push(current);
    }
    sentences
}

/// Cuts off pieces at commas while the sentence is over the limit; only the first piece obeys `limit`.
fn cut(sentence: &str, limit: usize, into: &mut Vec<String>) {
    let mut rest = sentence;
    let mut limit = limit;
    while rest.chars().count() > limit {
        let good = rest
            .match_indices([',', ';', ':', '—'])
            .map(|(at, mark)| at + mark.len())
            .filter(|&at| rest.get(at..).is_some_and(|tail| tail.starts_with(' ')))
            .filter(|&at| {
                let head = rest.get(..at).map_or(0, |head| head.chars().count());
                head >= SHORTEST && rest.chars().count() - head > SHORTEST
            });
        // The first clause wants to be short, a later one wants to be as whole as the limit lets it.
        let within = |at: &usize| rest.get(..*at).is_some_and(|head| head.chars().count() <= limit);
        let at = if limit == FIRST_CLAUSE {
            good.clone().next()
        } else {
            good.clone().rfind(within).or(good.clone().next())
        };
        let Some((head, tail)) = at.and_then(|at| rest.split_at_checked(at)) else { break };
        into.push(head.trim().to_owned());
        rest = tail.trim_start();
        limit = LATER_CLAUSE;
    }
    into.push(rest.to_owned());
}

fn parts(clause: &str) -> Result<Vec<Part>, UnknownSlot> {
    let mut parts = Vec::new();
    let mut rest = clause;
    while let Some((before, tail)) = rest.split_once('{') {
        let (name, after) = tail.split_once('}').ok_or_else(|| UnknownSlot(tail.to_owned()))?;
        let (_, var) = Var::ALL.iter().find(|(known, _)| *known == name).ok_or_else(|| UnknownSlot(name.to_owned()))?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(Part::Var(*var));
        rest = after;
    }
    if rest.contains('}') {
        return Err(UnknownSlot(rest.to_owned()));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
