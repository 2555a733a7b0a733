//! From the raw agent file to an [`Agent`]: every meaning is checked here, once, so that a call never
//! meets a slot that does not exist or a question with two answers. It changes nothing it is given.

mod trouble;

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use toml::Spanned;

use super::agent::{Agent, By, Fact, Form, Hours, Intent, Kind, Lines, Slot, SlotName};
use super::entities::Language;
use super::heard::masked;
use super::matching::Index;
use super::problem::{AgentError, Problems, nearest};
use super::schema::{self, File, Text, Texts};
use super::template::{Template, Var};
use super::text::words;
use super::waits::Waits;

/// A clause longer than this keeps a caller waiting for its sound and cannot be cut into well.
const CLAUSE_CHARS_MAX: usize = 160;
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// Intents of the dialogue's own; a fact or form may not take their names.
const RESERVED: [&str; 16] = [
    "slot",
    "affirm",
    "deny",
    "human",
    "repeat",
    "backchannel",
    "interrupt",
    "withdraw",
    "bye",
    "abandon",
    "digit",
    "silence",
    "unclear",
    "fallback",
    "noise",
    "give_up",
];

/// For files without `[busy]`.
fn busy(language: Language) -> &'static str {
    match language {
        Language::English => "All lines are busy at the moment. Please call again in a few minutes. Goodbye.",
        Language::Russian => "Сейчас все линии заняты. Пожалуйста, перезвоните через несколько минут. До свидания.",
    }
}

pub(super) fn agent(source: &str, file: File) -> Result<Agent, AgentError> {
    let mut check = Check { problems: Problems::new(source), examples: Vec::new(), ids: BTreeMap::new() };
    let agent = check.agent(file);
    check.problems.finish()?;
    Ok(agent)
}

struct Check<'a> {
    problems: Problems<'a>,
    /// Every example with its intent and place, in index order.
    examples: Vec<(Intent, Text)>,
    ids: BTreeMap<String, Intent>,
}

impl Check<'_> {
    fn agent(&mut self, file: File) -> Agent {
        let language = self.language(&file.language);
        self.says_ai(&file.greeting.say, language);
        let hours = file.hours.as_ref().map(|hours| self.hours(hours.get_ref()));
        let kinds = self.kinds(&file.kinds);
        let facts = self.facts(&file, &kinds);
        let forms = self.forms(&file.form, hours.is_some());
        let controls = [
            (Intent::Human, &file.human.ask),
            (Intent::Repeat, &file.repeat.ask),
            (Intent::Bye, &file.bye.ask),
            (Intent::Withdraw, &file.withdraw.ask),
            (Intent::Interrupt, &file.interrupt.ask),
            (Intent::Abandon, &file.abandon.ask),
        ];
        for (intent, ask) in controls {
            self.ask(intent, ask);
        }
        let (intents, index) = self.index(language, &kinds);
        let plain = |text: &str| words(text).into_iter().map(|word| word.text).collect();
        let examples = self.examples.iter().map(|(_, text)| plain(text.get_ref())).collect();
        Agent {
            name: self.filled("name", &file.name),
            tag: file.language.get_ref().clone(),
            language,
            voice: self.filled("voice", &file.voice),
            greeting: self.plain("say", &file.greeting.say),
            ready: self.plain("ready", &file.greeting.ready),
            lines: self.lines(&file, language),
            target: self.target(&file.human.target),
            keys: self.keys(&file.keys),
            hours,
            kinds,
            facts,
            forms,
            intents,
            index,
            examples,
            waits: self.waits(file.turn.as_ref()),
        }
    }

    fn language(&mut self, tag: &Text) -> Language {
        Language::from_tag(tag.get_ref()).unwrap_or_else(|| {
            let allowed = Language::TAGS.join(", ");
            self.problems.add(tag.span(), "language", format!("no such language here; allowed: {allowed}"));
            Language::English
        })
    }

    /// The caller has to hear at the start that a machine answers (EU AI Act, article 50).
    fn says_ai(&mut self, greeting: &Text, language: Language) {
        let known: &[&str] = match language {
            Language::English => &["ai", "artificial", "robot", "automated", "virtual"],
            Language::Russian => &["ии", "искусственный", "искусственного", "робот", "виртуальный", "виртуальная"],
        };
        if !words(greeting.get_ref()).iter().any(|word| known.contains(&word.text.as_str())) {
            let message = format!("it has to say that an AI speaks: use one of {}", known.join(", "));
            self.problems.add(greeting.span(), "say", message);
        }
    }

    fn hours(&mut self, raw: &schema::Hours) -> Hours {
        let days = [&raw.monday, &raw.tuesday, &raw.wednesday, &raw.thursday, &raw.friday, &raw.saturday, &raw.sunday];
        let mut hours = Hours::default();
        for ((slot, text), key) in hours.week.iter_mut().zip(days).zip(WEEKDAYS) {
            match opening(text.get_ref()) {
                Some(open) => *slot = open,
                None => self.problems.add(text.span(), key, "use \"08:00-18:00\" or \"closed\""),
            }
        }
        for text in &raw.closed {
            match text.get_ref().parse::<Date>() {
                Ok(date) => drop(hours.closed.insert(date)),
                Err(_) => self.problems.add(text.span(), "closed", "use dates such as \"2026-12-25\""),
            }
        }
        hours
    }

    fn kinds(&mut self, raw: &BTreeMap<String, BTreeMap<String, Texts>>) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (name, entries) in raw {
            let mut kind = Kind { name: name.clone(), entries: Vec::new() };
            for (id, phrases) in entries {
                self.not_empty(id, phrases);
                let spoken = phrases.get_ref().iter().map(|phrase| {
                    self.filled(id, phrase);
                    words(phrase.get_ref()).into_iter().map(|word| word.text).collect()
                });
                kind.entries.push((id.clone(), spoken.collect()));
            }
            kinds.push(kind);
        }
        kinds
    }

    fn facts(&mut self, file: &File, kinds: &[Kind]) -> Vec<Fact> {
        let raw = file.fact.get_ref();
        if raw.is_empty() {
            self.problems.add(file.fact.span(), "fact", "an agent needs at least one fact");
        }
        let mut facts = Vec::new();
        for (i, fact) in raw.iter().enumerate() {
            let intent = Intent::Fact(i);
            self.id(&fact.id, intent);
            self.ask(intent, &fact.ask);
            let closed = fact.closed.as_ref().map(|closed| self.template("closed", closed, &[Var::Day, Var::Weekday]));
            facts.push(Fact {
                id: fact.id.get_ref().clone(),
                say: self.plain("say", &fact.say),
                by: self.by(fact, kinds),
                closed,
                asks_more: fact.asks_more,
            });
        }
        facts
    }

    fn by(&mut self, fact: &schema::Fact, kinds: &[Kind]) -> Option<By> {
        let Some(by) = &fact.by else {
            if let Some((key, text)) = fact.answers.iter().next() {
                self.problems.add(text.span(), key, "`answers` needs `by`: `day` or a name under [kinds]");
            }
            return None;
        };
        let kind = kinds.iter().position(|kind| kind.name == *by.get_ref());
        let known: Vec<&str> = match kind.and_then(|kind| kinds.get(kind)) {
            Some(kind) => kind.entries.iter().map(|(id, _)| id.as_str()).collect(),
            None if by.get_ref() == "day" => WEEKDAYS.to_vec(),
            None => {
                let names: Vec<&str> = std::iter::once("day").chain(kinds.iter().map(|k| k.name.as_str())).collect();
                let near = nearest(by.get_ref(), names.iter().copied());
                self.problems.add(by.span(), "by", format!("unknown; {near}allowed: {}", names.join(", ")));
                return None;
            }
        };
        if fact.answers.is_empty() {
            self.problems.add(by.span(), "by", "needs `answers`, at least one");
        }
        let mut answers: BTreeMap<usize, Template> = BTreeMap::new();
        for (key, text) in &fact.answers {
            let template = self.plain(key, text);
            match known.iter().position(|id| id == key) {
                Some(at) => drop(answers.insert(at, template)),
                None => {
                    let near = nearest(key, known.iter().copied());
                    self.problems.add(text.span(), key, format!("unknown; {near}allowed: {}", known.join(", ")));
                }
            }
        }
        Some(match kind {
            Some(kind) => By::Kind(kind, answers),
            None => By::Day(answers.into_iter().filter_map(|(at, t)| Some((i8::try_from(at).ok()?, t))).collect()),
        })
    }

    fn forms(&mut self, raw: &[schema::Form], has_hours: bool) -> Vec<Form> {
        let mut forms = Vec::new();
        for (i, form) in raw.iter().enumerate() {
            let intent = Intent::Form(i);
            self.id(&form.id, intent);
            self.ask(intent, &form.ask);
            if !["booking", "cancelling"].contains(&form.kind.get_ref().as_str()) {
                self.problems.add(form.kind.span(), "kind", "allowed: booking, cancelling");
            }
            let slots = self.slots(&form.slot, has_hours);
            let mut vars: Vec<Var> =
                slots.iter().flat_map(|slot| [Some(slot.name), slot.instead]).flatten().map(var).collect();
            if vars.contains(&Var::Name) {
                vars.push(Var::Caller);
            }
            forms.push(Form {
                id: form.id.get_ref().clone(),
                books: form.kind.get_ref() == "booking",
                start: self.plain("start", &form.start),
                confirm: self.template("confirm", &form.confirm, &vars),
                change: self.plain("change", &form.change),
                done: self.template("done", &form.done, &vars),
                slots,
            });
        }
        forms
    }

    fn slots(&mut self, raw: &Spanned<Vec<schema::Slot>>, has_hours: bool) -> Vec<Slot> {
        if raw.get_ref().is_empty() {
            self.problems.add(raw.span(), "slot", "a form needs at least one slot");
        }
        let mut slots: Vec<Slot> = Vec::new();
        for slot in raw.get_ref() {
            let Some(name) = self.slot_name("name", &slot.name) else { continue };
            if slots.iter().any(|other| other.name == name) {
                self.problems.add(slot.name.span(), "name", "this form has that slot already");
            }
            if matches!(name, SlotName::Day | SlotName::Time) && !has_hours {
                self.problems.add(slot.name.span(), "name", "a day or a time needs [hours] in the file");
            }
            slots.push(self.slot(slot, name));
        }
        slots
    }

    fn slot(&mut self, raw: &schema::Slot, name: SlotName) -> Slot {
        self.belongs(raw, name);
        self.not_empty("again", &raw.again);
        let (key, complaint, vars): (_, _, &[Var]) = match name {
            SlotName::Day => ("closed", &raw.closed, &[Var::Weekday, Var::Day]),
            SlotName::Time => ("outside", &raw.outside, &[Var::Weekday, Var::Opens, Var::Closes]),
            SlotName::Phone => ("more", &raw.more, &[]),
            SlotName::Name => ("", &None, &[]),
        };
        if complaint.is_none() && name != SlotName::Name {
            self.problems.add(
                raw.name.span(),
                key,
                format!("this key is missing: the {} slot needs it", raw.name.get_ref()),
            );
        }
        if name == SlotName::Day && raw.far.is_none() {
            self.problems.add(raw.name.span(), "far", "this key is missing: the day slot needs it");
        }
        let digits = (number(&raw.digits_min, 7), number(&raw.digits_max, 15));
        if !(3..=15).contains(&digits.0) || digits.1 < digits.0 || digits.1 > 15 {
            let span = raw.digits_min.as_ref().or(raw.digits_max.as_ref()).map_or(raw.name.span(), Spanned::span);
            self.problems.add(span, "digits_min", "allowed: 3 to 15, and not above digits_max");
        }
        let called = raw.called.iter().map(|text| self.filled("called", text).to_lowercase()).collect();
        Slot {
            name,
            ask: self.plain("ask", &raw.ask),
            again: raw.again.get_ref().iter().map(|text| self.plain("again", text)).collect(),
            called,
            instead: raw.instead.as_ref().and_then(|text| self.slot_name("instead", text)),
            complaint: complaint.as_ref().map(|text| self.template(key, text, vars)).unwrap_or_default(),
            far: raw.far.as_ref().map(|text| self.plain("far", text)).unwrap_or_default(),
            days_ahead_max: raw.days_ahead_max.as_ref().map_or(180, |days| *days.get_ref()),
            minutes_before_closing: raw.minutes_before_closing.as_ref().map_or(30, |minutes| *minutes.get_ref()),
            digits_min: usize::from(digits.0),
            digits_max: usize::from(digits.1),
            digits_usual: self.digits_usual(raw),
            waits: {
                let own = self.waits(raw.turn.as_ref());
                if name == SlotName::Phone { own.or(Waits::NUMBER) } else { own }
            },
        }
    }

    fn digits_usual(&mut self, raw: &schema::Slot) -> Vec<usize> {
        let Some(usual) = &raw.digits_usual else { return vec![] };
        if usual.get_ref().iter().any(|digits| !(3..=15).contains(digits)) {
            self.problems.add(usual.span(), "digits_usual", "allowed: a list of 3 to 15, for example [10]");
        }
        usual.get_ref().iter().map(|digits| usize::from(*digits)).collect()
    }

    fn waits(&mut self, raw: Option<&Spanned<schema::Waits>>) -> Waits {
        let Some(raw) = raw else { return Waits::default() };
        let schema::Waits { finished_ms, unsure_ms, unfinished_ms } = *raw.get_ref();
        let given: Vec<u32> = [finished_ms, unsure_ms, unfinished_ms].into_iter().flatten().collect();
        if !given.is_sorted() || given.iter().any(|ms| !(60..=10_000).contains(ms)) {
            let message = "needs finished_ms <= unsure_ms <= unfinished_ms, each 60 to 10000";
            self.problems.add(raw.span(), "turn", message);
        }
        Waits { finished_ms, unsure_ms, unfinished_ms }
    }

    /// A key of one slot has no meaning in another.
    fn belongs(&mut self, raw: &schema::Slot, name: SlotName) {
        let keys = [
            ("closed", raw.closed.as_ref().map(Spanned::span), SlotName::Day),
            ("far", raw.far.as_ref().map(Spanned::span), SlotName::Day),
            ("days_ahead_max", raw.days_ahead_max.as_ref().map(Spanned::span), SlotName::Day),
            ("outside", raw.outside.as_ref().map(Spanned::span), SlotName::Time),
            ("minutes_before_closing", raw.minutes_before_closing.as_ref().map(Spanned::span), SlotName::Time),
            ("more", raw.more.as_ref().map(Spanned::span), SlotName::Phone),
            ("digits_min", raw.digits_min.as_ref().map(Spanned::span), SlotName::Phone),
            ("digits_max", raw.digits_max.as_ref().map(Spanned::span), SlotName::Phone),
            ("digits_usual", raw.digits_usual.as_ref().map(Spanned::span), SlotName::Phone),
        ];
        for (key, span, owner) in keys {
            if let Some(span) = span.filter(|_| owner != name) {
                self.problems.add(span, key, format!("only the {} slot has this key", var(owner).name()));
            }
        }
    }

    fn slot_name(&mut self, key: &str, text: &Text) -> Option<SlotName> {
        let names = [SlotName::Day, SlotName::Time, SlotName::Name, SlotName::Phone];
        let found = names.into_iter().find(|name| var(*name).name() == text.get_ref());
        if found.is_none() {
            let known = names.map(|name| var(name).name());
            let near = nearest(text.get_ref(), known.into_iter());
            self.problems.add(text.span(), key, format!("unknown slot; {near}allowed: {}", known.join(", ")));
        }
        found
    }

    fn lines(&mut self, file: &File, language: Language) -> Lines {
        let lines = self.trouble(file, language);
        let busy = match &file.busy {
            Some(busy) => self.plain("say", &busy.say),
            None => Template::parse(busy(language)).unwrap_or_default(),
        };
        Lines {
            busy,
            human: self.plain("say", &file.human.say),
            offer: self.plain("offer", &file.human.offer),
            transfer_failed: self.plain("failed", &file.human.failed),
            nothing_to_repeat: self.plain("nothing", &file.repeat.nothing),
            bye: self.plain("say", &file.bye.say),
            withdraw: self.plain("say", &file.withdraw.say),
            interrupt: self.plain("say", &file.interrupt.say),
            abandon: self.plain("say", &file.abandon.say),
            idle_yes: self.plain("yes", &file.idle.yes),
            idle_no: self.plain("no", &file.idle.no),
            silence: self.list("say", &file.silence.say),
            silence_bye: self.plain("bye", &file.silence.bye),
            unclear: self.list("say", &file.unclear.say),
            fallback: self.list("say", &file.fallback.say),
            ..lines
        }
    }

    fn target(&mut self, text: &Text) -> String {
        let target = text.get_ref();
        let uri =
            ["sip:", "sips:", "tel:"].iter().any(|scheme| target.len() > scheme.len() && target.starts_with(scheme));
        let extension = !target.is_empty() && target.chars().all(|c| c.is_ascii_digit() || c == '+');
        if !uri && !extension || target.contains(char::is_whitespace) {
            self.problems.add(
                text.span(),
                "target",
                "use a SIP URI (\"sip:desk@example.com\") or an extension (\"200\")",
            );
        }
        target.clone()
    }

    fn keys(&mut self, raw: &BTreeMap<String, Text>) -> BTreeMap<char, Intent> {
        let mut keys = BTreeMap::from([('0', Intent::Human)]);
        for (key, text) in raw {
            let action = match text.get_ref().as_str() {
                "human" => Some(Intent::Human),
                "repeat" => Some(Intent::Repeat),
                "bye" => Some(Intent::Bye),
                id => self.ids.get(id).copied(),
            };
            let digit = match key.chars().collect::<Vec<_>>().as_slice() {
                [digit] if digit.is_ascii_digit() || matches!(digit, '*' | '#') => Some(*digit),
                _ => None,
            };
            match (digit, action) {
                (Some('0'), action) if action != Some(Intent::Human) => {
                    self.problems.add(text.span(), key, "0 always reaches a person: only \"human\" is allowed");
                }
                (Some(digit), Some(action)) => drop(keys.insert(digit, action)),
                (None, _) => self.problems.add(text.span(), key, "no key of a telephone; allowed: 0 to 9, *, #"),
                (_, None) => {
                    let known: Vec<&str> =
                        ["human", "repeat", "bye"].into_iter().chain(self.ids.keys().map(String::as_str)).collect();
                    let near = nearest(text.get_ref(), known.iter().copied());
                    let message = format!("unknown; {near}allowed: {}", known.join(", "));
                    self.problems.add(text.span(), key, message);
                }
            }
        }
        keys
    }

    fn id(&mut self, id: &Text, intent: Intent) {
        let name = id.get_ref();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            self.problems.add(id.span(), "id", "use lower-case letters, digits and _");
        } else if RESERVED.contains(&name.as_str()) {
            self.problems.add(id.span(), "id", format!("`{name}` is an intent of the dialogue's own; take another"));
        } else if self.ids.insert(name.clone(), intent).is_some() {
            self.problems.add(id.span(), "id", format!("`{name}` is taken already"));
        }
    }

    fn ask(&mut self, intent: Intent, examples: &Texts) {
        self.not_empty("ask", examples);
        for example in examples.get_ref() {
            self.filled("ask", example);
            self.examples.push((intent, example.clone()));
        }
    }

    /// Builds the matcher and refuses examples that two intents share.
    fn index(&mut self, language: Language, kinds: &[Kind]) -> (Vec<Intent>, Index) {
        let mut intents: Vec<Intent> = Vec::new();
        let mut examples = Vec::new();
        for (intent, text) in &self.examples {
            let at = intents.iter().position(|known| known == intent).unwrap_or_else(|| {
                intents.push(*intent);
                intents.len() - 1
            });
            examples.push((at, masked(text.get_ref(), language, kinds)));
        }
        let framed = |at: usize| intents.get(at).is_some_and(|intent| intent.has_topic() || *intent == Intent::Human);
        let index = Index::build(&examples, |at, word| framed(at) && language.lexicon().is_topic(word));
        for (a, b) in index.collisions() {
            if let (Some((_, a)), Some((_, b))) = (self.examples.get(a), self.examples.get(b)) {
                let message =
                    format!("cannot be told apart from the example on line {}", self.problems.line(a.span().start));
                self.problems.add(b.span(), "ask", message);
            }
        }
        (intents, index)
    }

    fn plain(&mut self, key: &str, text: &Text) -> Template {
        self.template(key, text, &[])
    }

    fn list(&mut self, key: &str, texts: &Texts) -> Vec<Template> {
        self.not_empty(key, texts);
        texts.get_ref().iter().map(|text| self.plain(key, text)).collect()
    }

    fn template(&mut self, key: &str, text: &Text, allowed: &[Var]) -> Template {
        self.filled(key, text);
        let names: Vec<String> = allowed.iter().map(|var| format!("{{{}}}", var.name())).collect();
        let known = if names.is_empty() {
            "no slots are allowed here".to_owned()
        } else {
            format!("allowed here: {}", names.join(", "))
        };
        let template = match Template::parse(text.get_ref()) {
            Ok(template) => template,
            Err(unknown) => {
                let near = nearest(&unknown.0, allowed.iter().map(|var| var.name()));
                self.problems.add(text.span(), key, format!("unknown slot {{{}}}; {near}{known}", unknown.0));
                return Template::default();
            }
        };
        if let Some(var) = template.vars().find(|var| !allowed.contains(var)) {
            self.problems.add(text.span(), key, format!("{{{}}} is not known here; {known}", var.name()));
        }
        let longest = template.longest_clause();
        if longest > CLAUSE_CHARS_MAX {
            let message = format!(
                "a clause of {longest} characters; at most {CLAUSE_CHARS_MAX}: make two sentences, or put a comma"
            );
            self.problems.add(text.span(), key, message);
        }
        template
    }

    fn filled(&mut self, key: &str, text: &Text) -> String {
        if text.get_ref().trim().is_empty() {
            self.problems.add(text.span(), key, "empty; it needs a text");
        }
        text.get_ref().clone()
    }

    fn not_empty(&mut self, key: &str, texts: &Texts) {
        if texts.get_ref().is_empty() {
            self.problems.add(texts.span(), key, "empty; it needs at least one entry");
        }
    }
}

fn var(name: SlotName) -> Var {
    match name {
        SlotName::Day => Var::Day,
        SlotName::Time => Var::Time,
        SlotName::Name => Var::Name,
        SlotName::Phone => Var::Phone,
    }
}

fn number(value: &Option<Spanned<u8>>, default: u8) -> u8 {
    value.as_ref().map_or(default, |value| *value.get_ref())
}

/// `08:00-18:00` or `closed`; None is neither.
fn opening(text: &str) -> Option<Option<(Time, Time)>> {
    if text == "closed" {
        return Some(None);
    }
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    let (opens, closes) = text.split_once('-')?;
    let range: (Time, Time) = (clock(opens.trim())?, clock(closes.trim())?);
    (range.0 < range.1).then_some(Some(range))
}
