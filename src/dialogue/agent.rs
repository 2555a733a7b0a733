//! An agent, parsed and checked: everything it may say, and everything it understands. It holds no
//! state of any call.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Time, Weekday};

use super::check;
use super::entities::{Language, answer};
use super::matching::Index;
use super::problem::{AgentError, from_toml};
use super::schema::File;
use super::speak;
use super::template::{Said, Template, Var};
use super::text::{resembles, words};
use super::waits::Waits;

/// One agent file, checked. Shared by all its calls.
#[derive(Debug)]
pub struct Agent {
    pub(crate) name: String,
    pub(crate) tag: String,
    pub(crate) language: Language,
    pub(crate) voice: String,
    pub(crate) greeting: Template,
    pub(crate) ready: Template,
    pub(crate) hours: Option<Hours>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) forms: Vec<Form>,
    pub(crate) lines: Lines,
    pub(crate) target: String,
    pub(crate) keys: BTreeMap<char, Intent>,
    /// What the index's intent numbers stand for.
    pub(crate) intents: Vec<Intent>,
    pub(crate) index: Index,
    pub(crate) waits: Waits,
    /// The words of every example, as they stand in the file.
    pub(crate) examples: Vec<Vec<String>>,
}

/// What a caller can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Fact(usize),
    Form(usize),
    Human,
    Repeat,
    Bye,
    Withdraw,
    Interrupt,
    Abandon,
}

impl Intent {
    /// Facts and forms are about something, and erasing has to be named; the rest is asked for in any
    /// words, at any time, and does no harm when taken wrongly.
    pub fn has_topic(self) -> bool {
        matches!(self, Intent::Fact(_) | Intent::Form(_) | Intent::Withdraw)
    }
}

/// The agent's sentences that belong to no fact and no form.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub human: Template,
    pub offer: Template,
    pub transfer_failed: Template,
    pub nothing_to_repeat: Template,
    pub bye: Template,
    pub withdraw: Template,
    pub interrupt: Template,
    pub abandon: Template,
    pub idle_yes: Template,
    pub idle_no: Template,
    pub silence: Vec<Template>,
    pub silence_bye: Template,
    pub unclear: Vec<Template>,
    pub unclear_bye: Template,
    pub fallback: Vec<Template>,
    pub noise: Vec<Template>,
    pub noise_bye: Template,
    pub filler: Vec<Template>,
    pub limit_warn: Template,
    pub limit_bye: Template,
    /// None: no message is left on an answering machine.
    pub voicemail: Option<Template>,
    pub busy: Template,
}

#[derive(Debug)]
pub(crate) struct Fact {
    pub id: String,
    pub say: Template,
    pub by: Option<By>,
    pub closed: Option<Template>,
    pub asks_more: bool,
}

/// What an answer depends on, with the answers there are.
#[derive(Debug)]
pub(crate) enum By {
    Day(BTreeMap<i8, Template>),
    /// Index into `Agent::kinds`, answers by entry.
    Kind(usize, BTreeMap<usize, Template>),
}

/// Things callers name, "a cleaning", each with the phrases for it.
#[derive(Debug)]
pub(crate) struct Kind {
    pub name: String,
    pub entries: Vec<(String, Vec<Vec<String>>)>,
}

impl Kind {
    /// Whether any of its phrases holds this word, or one it may be misheard for.
    pub fn holds(&self, word: &str) -> bool {
        self.entries.iter().flat_map(|(_, phrases)| phrases).flatten().any(|known| resembles(known, word))
    }
}

#[derive(Debug)]
pub(crate) struct Form {
    pub id: String,
    pub books: bool,
    pub start: Template,
    pub confirm: Template,
    pub change: Template,
    pub done: Template,
    pub slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlotName {
    Day,
    Time,
    Name,
    Phone,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub name: SlotName,
    pub ask: Template,
    pub again: Vec<Template>,
    pub called: Vec<String>,
    pub instead: Option<SlotName>,
    /// Day: closed then. Time: outside opening hours. Phone: go on, more digits.
    pub complaint: Template,
    pub far: Template,
    pub days_ahead_max: u16,
    pub minutes_before_closing: u16,
    pub digits_min: usize,
    pub digits_max: usize,
    pub digits_usual: Vec<usize>,
    pub waits: Waits,
}

/// Opening hours: per weekday, Monday first.
#[derive(Debug, Default)]
pub(crate) struct Hours {
    pub week: [Option<(Time, Time)>; 7],
    pub closed: BTreeSet<Date>,
}

impl Hours {
    pub fn on_weekday(&self, weekday: Weekday) -> Option<(Time, Time)> {
        let day = usize::try_from(weekday.to_monday_zero_offset()).ok()?;
        self.week.get(day).copied().flatten()
    }

    pub fn on(&self, date: Date) -> Option<(Time, Time)> {
        if self.closed.contains(&date) { None } else { self.on_weekday(date.weekday()) }
    }
}

impl Agent {
    /// Reads and checks an agent file. The error names every problem with its line, its key and what
    /// is allowed there.
    pub fn parse(toml: &str) -> Result<Agent, AgentError> {
        let file: File = toml::from_str(toml).map_err(|error| from_toml(toml, &error))?;
        check::agent(toml, file)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// BCP 47 tag, as in the file.
    pub fn language(&self) -> &str {
        &self.tag
    }

    pub fn voice(&self) -> &str {
        &self.voice
    }

    /// Whether a turn is nothing but "yes", "mm-hm", "um" or a thank-you: what people say who only listen.
    pub fn is_nod(&self, text: &str) -> bool {
        answer::nods(&words(text), self.language.lexicon())
    }

    /// Where a caller who wants a person is put through to: a SIP URI or an extension.
    pub fn transfer_target(&self) -> &str {
        &self.target
    }

    /// The first words of a call, in clauses; they say that an AI answers.
    pub fn greeting(&self) -> Vec<String> {
        texts(&self.greeting)
    }

    /// Said once all is told and asked, in clauses: "How can I help you?"
    pub fn ready(&self) -> Vec<String> {
        texts(&self.ready)
    }

    /// Said before a caller is put through to a person, in clauses.
    pub fn human(&self) -> Vec<String> {
        texts(&self.lines.human)
    }

    pub fn goodbye(&self) -> Vec<String> {
        texts(&self.lines.bye)
    }

    /// What is said while something takes long, in clauses; `nth` counts from 0 within one turn.
    pub fn filler(&self, nth: usize) -> Vec<String> {
        let fillers = &self.lines.filler;
        fillers.get(nth.min(fillers.len().saturating_sub(1))).map(texts).unwrap_or_default()
    }

    /// Said a minute before the call has to end, in clauses.
    pub fn limit_warning(&self) -> Vec<String> {
        texts(&self.lines.limit_warn)
    }

    /// Said when the call has lasted as long as it may, in clauses.
    pub fn limit_goodbye(&self) -> Vec<String> {
        texts(&self.lines.limit_bye)
    }

    /// What is left on an answering machine, in clauses; none where the file has no `[voicemail]`.
    pub fn voicemail(&self) -> Option<Vec<String>> {
        self.lines.voicemail.as_ref().map(texts)
    }

    /// Said instead of everything else when there is no room for the call, in clauses.
    pub fn busy(&self) -> Vec<String> {
        texts(&self.lines.busy)
    }

    /// Every clause the agent can say that holds nothing of a caller, exactly as replies give it: its
    /// sound can be made ahead and kept. Sentences about weekdays and opening hours are spelled out.
    pub fn fixed_sentences(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut fixed = Vec::new();
        for template in self.templates() {
            let clauses = self.weekdays_for(template).into_iter().flat_map(|day| {
                template.render(|var| if var.is_agents_own() { self.own_value(var, day) } else { "-".to_owned() })
            });
            let own = clauses.filter(|clause| clause.fixed).map(|clause| clause.text);
            fixed.extend(own.filter(|clause| seen.insert(clause.clone())));
        }
        fixed
    }

    /// The agent's facts as a system prompt for a language model that may take over where
    /// [`Reply::covered`](super::Reply::covered) is false.
    pub fn prompt_for_llm(&self) -> String {
        let mut prompt = format!(
            "You answer the telephone as {}. You are an AI and say so when asked. Language: {}.\n\
             Your words are spoken aloud: one or two short plain sentences, no lists, no markup.\n\
             Say only what the facts below say. Never invent or estimate names, prices, times, dates, advice or \
             availability. If the facts do not answer the question, say that you do not know and offer to put the \
             caller through to a person. You cannot book, change or cancel anything yourself.\n\nFacts:\n",
            self.name, self.tag
        );
        for fact in &self.facts {
            let answers: Vec<&Template> = match &fact.by {
                Some(By::Day(answers)) => answers.values().collect(),
                Some(By::Kind(_, answers)) => answers.values().collect(),
                None => Vec::new(),
            };
            for template in std::iter::once(&fact.say).chain(answers) {
                prompt.push_str(&format!("- {}\n", texts(template).join(" ")));
            }
        }
        prompt
    }

    /// The value of a slot that the agent file alone determines.
    pub(crate) fn own_value(&self, var: Var, weekday: Weekday) -> String {
        let hours = self.hours.as_ref().and_then(|hours| hours.on_weekday(weekday));
        match (var, hours) {
            (Var::Weekday, _) => speak::weekday(weekday, self.language),
            (Var::Opens, Some((opens, _))) => speak::bound(opens, self.language),
            (Var::Closes, Some((_, closes))) => speak::bound(closes, self.language),
            _ => String::new(),
        }
    }

    /// The weekdays a template can be said about: one is enough where it names none.
    fn weekdays_for(&self, template: &Template) -> Vec<Weekday> {
        let needs_hours = template.vars().any(|var| matches!(var, Var::Opens | Var::Closes));
        let count = if template.vars().any(Var::is_agents_own) { 7 } else { 1 };
        let open = |day: &Weekday| self.hours.as_ref().is_some_and(|hours| hours.on_weekday(*day).is_some());
        Weekday::Monday.cycle_forward().take(count).filter(|day| !needs_hours || open(day)).collect()
    }

    fn templates(&self) -> Vec<&Template> {
        let lines = &self.lines;
        let mut all = vec![
            &self.greeting,
            &self.ready,
            &lines.human,
            &lines.offer,
            &lines.transfer_failed,
            &lines.nothing_to_repeat,
            &lines.bye,
            &lines.withdraw,
            &lines.interrupt,
            &lines.abandon,
            &lines.idle_yes,
            &lines.idle_no,
            &lines.silence_bye,
            &lines.unclear_bye,
            &lines.noise_bye,
            &lines.limit_warn,
            &lines.limit_bye,
            &lines.busy,
        ];
        all.extend(lines.silence.iter().chain(&lines.unclear).chain(&lines.fallback));
        all.extend(lines.noise.iter().chain(&lines.filler).chain(&lines.voicemail));
        for fact in &self.facts {
            all.push(&fact.say);
            all.extend(&fact.closed);
            match &fact.by {
                Some(By::Day(answers)) => all.extend(answers.values()),
                Some(By::Kind(_, answers)) => all.extend(answers.values()),
                None => {}
            }
        }
        for form in &self.forms {
            all.extend([&form.start, &form.confirm, &form.change, &form.done]);
            for slot in &form.slots {
                all.extend([&slot.ask, &slot.complaint, &slot.far]);
                all.extend(&slot.again);
            }
        }
        all
    }
}

fn texts(template: &Template) -> Vec<String> {
    template.plain().into_iter().map(|said: Said| said.text).collect()
}
