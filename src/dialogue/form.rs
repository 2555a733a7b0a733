//! A form being filled: what the caller has given, what is missing, what cannot be. It asks and
//! checks; only policy decides when it is over.

use std::fmt;

use jiff::ToSpan;
use jiff::civil::{Date, Time};

use super::agent::{Agent, Form, Slot, SlotName};
use super::entities::{Asked, Clock, Entities, phone_digits};
use super::template::{Said, Template, Var};
use super::{Details, Expects, NumberSoFar, Outcome, Waits, speak};

/// Asked again this often for one slot, then a person is offered.
const TRIES_MAX: u8 = 2;

#[derive(Clone)]
pub(crate) struct Filling {
    pub form: usize,
    pub doing: Doing,
    /// Keyed or said so far, while a phone number is not complete.
    digits: String,
    tries: u8,
    values: Values,
}

/// What the caller was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Slot(SlotName),
    Confirm,
    Change,
}

#[derive(Clone, Default)]
struct Values {
    day: Option<Date>,
    clock: Option<Clock>,
    name: Option<String>,
    phone: Option<String>,
}

/// Why a value was put aside, with the slot to ask for again.
struct Complaint {
    slot: SlotName,
    said: Vec<Said>,
}

impl Filling {
    pub fn new(form: usize) -> Filling {
        let doing = Doing::Change;
        Filling { form, doing, digits: String::new(), tries: 0, values: Values::default() }
    }

    pub fn asked(&self) -> Asked {
        match self.doing {
            Doing::Slot(SlotName::Day) => Asked::Day,
            Doing::Slot(SlotName::Time) => Asked::Time,
            Doing::Slot(SlotName::Name) => Asked::Name,
            Doing::Slot(SlotName::Phone) => Asked::Phone,
            Doing::Change => Asked::Time,
            Doing::Confirm => Asked::Nothing,
        }
    }

    pub fn expects(&self) -> Expects {
        match self.doing {
            Doing::Slot(SlotName::Day) => Expects::Day,
            Doing::Slot(SlotName::Time) => Expects::Time,
            Doing::Slot(SlotName::Name) => Expects::Name,
            Doing::Slot(SlotName::Phone) => Expects::Phone,
            Doing::Confirm => Expects::YesNo,
            Doing::Change => Expects::Anything,
        }
    }

    /// How long to wait for more of what is asked for.
    pub fn waits(&self, agent: &Agent) -> Option<Waits> {
        match self.doing {
            Doing::Slot(name) => self.slot(agent, name).map(|slot| slot.waits),
            Doing::Confirm | Doing::Change => None,
        }
    }

    /// The number that was asked for, with the digits of this text; none where it holds no digits.
    pub fn number_with(&self, agent: &Agent, text: &str) -> Option<NumberSoFar> {
        let slot = self.slot(agent, SlotName::Phone)?;
        let said = phone_digits(text, agent.language);
        let digits = said.len() + self.digits.len();
        let complete = if slot.digits_usual.is_empty() {
            digits >= slot.digits_min
        } else {
            slot.digits_usual.contains(&digits) || digits >= slot.digits_max
        };
        (!said.is_empty()).then(|| NumberSoFar { complete, digits, ..NumberSoFar::new(&said) })
    }

    /// Takes what the turn gives for this form's slots; false if that is nothing.
    pub fn take(&mut self, agent: &Agent, entities: &Entities) -> bool {
        let Some(form) = agent.forms.get(self.form) else { return false };
        let has = |name: SlotName| form.slots.iter().any(|slot| slot.name == name || slot.instead == Some(name));
        let mut taken = false;
        // Said twice, the later one is the correction of the earlier.
        if let Some(day) = entities.days.last().filter(|_| has(SlotName::Day)) {
            self.values.day = Some(day.value);
            taken = true;
        }
        if let Some(time) = entities.times.last().filter(|_| has(SlotName::Time)) {
            self.values.clock = Some(time.value);
            taken = true;
        }
        if let Some(name) = entities.name.as_ref().filter(|_| has(SlotName::Name)) {
            self.values.name = Some(name.value.clone());
            taken = true;
        }
        if let Some(digits) = entities.phone.as_ref().or(entities.digits.as_ref()).filter(|_| has(SlotName::Phone)) {
            self.more_digits(agent, &digits.value);
            taken = true;
        }
        taken
    }

    /// Whether the caller names one of this form's slots by a word for it: "the day".
    pub fn is_called(&self, agent: &Agent, says: impl Fn(&str) -> bool) -> bool {
        self.called(agent, says).is_some()
    }

    /// Puts the slot that the caller names up for asking again.
    pub fn clear_called(&mut self, agent: &Agent, says: impl Fn(&str) -> bool) -> bool {
        let called = self.called(agent, says);
        if let Some(slot) = called {
            self.clear(slot);
            self.digits.clear();
        }
        called.is_some()
    }

    /// One key: true when the number is complete.
    pub fn key(&mut self, agent: &Agent, digit: char) -> bool {
        let bounds = self.slot(agent, SlotName::Phone).map_or((7, 15), |slot| (slot.digits_min, slot.digits_max));
        match digit {
            '#' => return self.complete_digits(bounds.0),
            '*' => self.digits.clear(),
            _ => self.digits.push(digit),
        }
        self.digits.len() >= bounds.1 && self.complete_digits(bounds.0)
    }

    /// The keys so far are all there will be; true if they make a number.
    pub fn keys_ended(&mut self, agent: &Agent) -> bool {
        let min = self.slot(agent, SlotName::Phone).map_or(7, |slot| slot.digits_min);
        self.complete_digits(min)
    }

    /// The next thing to say: a complaint, a question, or the confirmation. None: asked too often.
    pub fn advance(&mut self, agent: &Agent, today: Date) -> Option<Vec<Said>> {
        let form = agent.forms.get(self.form)?;
        if let Some(complaint) = self.complaint(agent, form, today) {
            self.clear(complaint.slot);
            // "Go on, please" while digits come is no misunderstanding.
            let going_on = complaint.slot == SlotName::Phone;
            return (self.turn_to(Doing::Slot(complaint.slot)) || going_on).then_some(complaint.said);
        }
        let next =
            form.slots.iter().find(|slot| !self.is_given(slot)).map_or(Doing::Confirm, |slot| Doing::Slot(slot.name));
        if self.doing == next && next != Doing::Confirm {
            // Something was given, but not what was asked for.
            return self.turn_to(next).then(|| self.question(agent, today)).flatten();
        }
        self.doing = next;
        self.tries = 0;
        self.question(agent, today)
    }

    /// Asks the same again. None: asked too often.
    pub fn again(&mut self, agent: &Agent, today: Date) -> Option<Vec<Said>> {
        let tries = usize::from(self.tries);
        if !self.turn_to(self.doing) {
            return None;
        }
        match self.doing {
            Doing::Slot(name) => {
                let again = &self.slot(agent, name)?.again;
                again.get(tries).or(again.last()).map(Template::plain)
            }
            _ => self.question(agent, today),
        }
    }

    /// The open question, word for word as first asked.
    pub fn question(&self, agent: &Agent, today: Date) -> Option<Vec<Said>> {
        let form = agent.forms.get(self.form)?;
        Some(match self.doing {
            Doing::Slot(name) => self.slot(agent, name)?.ask.plain(),
            Doing::Confirm => self.render(agent, &form.confirm, today),
            Doing::Change => form.change.plain(),
        })
    }

    pub fn ask_what_to_change(&mut self) {
        self.doing = Doing::Change;
        self.tries = 0;
    }

    pub fn forgive(&mut self) {
        self.tries = 0;
    }

    /// The completed form; only policy calls this, after a yes to the confirmation.
    pub fn complete(&self, agent: &Agent, today: Date) -> Option<(Vec<Said>, Outcome)> {
        let form = agent.forms.get(self.form)?;
        let details = Details {
            form: form.id.clone(),
            day: self.values.day,
            time: self.time(agent),
            name: self.values.name.clone(),
            phone: self.values.phone.clone(),
        };
        let outcome = if form.books { Outcome::Booked(details) } else { Outcome::Cancelled(details) };
        Some((self.render(agent, &form.done, today), outcome))
    }

    /// Counts one more try at the same thing; false when it was one too many.
    fn turn_to(&mut self, doing: Doing) -> bool {
        self.tries = if self.doing == doing { self.tries.saturating_add(1) } else { 1 };
        self.doing = doing;
        self.tries <= TRIES_MAX
    }

    fn complaint(&self, agent: &Agent, form: &Form, today: Date) -> Option<Complaint> {
        let about = |name: SlotName| form.slots.iter().find(|slot| slot.name == name);
        if let (Some(slot), Some(day)) = (about(SlotName::Day), self.values.day) {
            let last = today.checked_add(i64::from(slot.days_ahead_max).days()).unwrap_or(today);
            let hours = agent.hours.as_ref().and_then(|hours| hours.on(day));
            if day > last || day < today {
                return Some(Complaint { slot: SlotName::Day, said: slot.far.plain() });
            }
            if hours.is_none() {
                return Some(Complaint { slot: SlotName::Day, said: self.render(agent, &slot.complaint, today) });
            }
        }
        if let (Some(slot), Some(day), Some(clock)) = (about(SlotName::Time), self.values.day, self.values.clock)
            && !clock.resolve(|time| fits(agent, slot, day, time)).is_some_and(|time| fits(agent, slot, day, time))
        {
            return Some(Complaint { slot: SlotName::Time, said: self.render(agent, &slot.complaint, today) });
        }
        let phone = about(SlotName::Phone).filter(|_| !self.digits.is_empty() && self.values.phone.is_none())?;
        Some(Complaint { slot: SlotName::Phone, said: phone.complaint.plain() })
    }

    fn time(&self, agent: &Agent) -> Option<Time> {
        let (day, clock) = (self.values.day?, self.values.clock?);
        let slot = self.slot(agent, SlotName::Time)?;
        clock.resolve(|time| fits(agent, slot, day, time))
    }

    fn is_given(&self, slot: &Slot) -> bool {
        let given = |name: SlotName| match name {
            SlotName::Day => self.values.day.is_some(),
            SlotName::Time => self.values.clock.is_some(),
            SlotName::Name => self.values.name.is_some(),
            SlotName::Phone => self.values.phone.is_some(),
        };
        given(slot.name) || slot.instead.is_some_and(given)
    }

    fn clear(&mut self, slot: SlotName) {
        match slot {
            SlotName::Day => self.values.day = None,
            SlotName::Time => self.values.clock = None,
            SlotName::Name => self.values.name = None,
            SlotName::Phone => self.values.phone = None,
        }
    }

    /// New digits go behind those already given, unless they are the number told from its start again.
    fn more_digits(&mut self, agent: &Agent, new: &str) {
        let slot = self.slot(agent, SlotName::Phone);
        let (min, max) = slot.map_or((7, 15), |slot| (slot.digits_min, slot.digits_max));
        let together = format!("{}{new}", self.digits);
        let restarted = new.len() >= min && new.starts_with(self.digits.as_str());
        let room = together.trim_start_matches('+').len() <= max;
        let incomplete = self.values.phone.is_none() && room && !restarted;
        self.digits = if incomplete { together } else { new.to_owned() };
        self.values.phone = None;
        self.complete_digits(min);
    }

    fn complete_digits(&mut self, min: usize) -> bool {
        if self.digits.trim_start_matches('+').len() < min {
            return false;
        }
        self.values.phone = Some(std::mem::take(&mut self.digits));
        true
    }

    fn called(&self, agent: &Agent, says: impl Fn(&str) -> bool) -> Option<SlotName> {
        let slots = &agent.forms.get(self.form)?.slots;
        slots.iter().find(|slot| slot.called.iter().any(|word| says(word))).map(|slot| slot.name)
    }

    fn slot<'a>(&self, agent: &'a Agent, name: SlotName) -> Option<&'a Slot> {
        agent.forms.get(self.form)?.slots.iter().find(|slot| slot.name == name)
    }

    fn render(&self, agent: &Agent, template: &Template, today: Date) -> Vec<Said> {
        let language = agent.language;
        let values = &self.values;
        let phone = || values.phone.as_deref().map(|phone| speak::digits(phone, language));
        template.render(|var| match var {
            Var::Day => values.day.map(|day| speak::day(day, today, language)).unwrap_or_default(),
            Var::Time => self.time(agent).map(|time| self.spoken_time(agent, time)).unwrap_or_default(),
            Var::Name => values.name.clone().unwrap_or_default(),
            Var::Phone => phone().unwrap_or_default(),
            Var::Caller => values.name.clone().or_else(phone).unwrap_or_default(),
            own => values.day.map(|day| agent.own_value(own, day.weekday())).unwrap_or_default(),
        })
    }

    fn spoken_time(&self, agent: &Agent, time: Time) -> String {
        let other = time.wrapping_add(12.hours());
        let open = (self.values.day.zip(self.slot(agent, SlotName::Time)))
            .is_some_and(|(day, slot)| fits(agent, slot, day, other));
        speak::time(time, open, agent.language)
    }
}

/// Whether an appointment can begin then.
fn fits(agent: &Agent, slot: &Slot, day: Date, time: Time) -> bool {
    let Some((opens, closes)) = agent.hours.as_ref().and_then(|hours| hours.on(day)) else { return false };
    let before = i64::from(slot.minutes_before_closing).minutes();
    closes.checked_sub(before).is_ok_and(|last| opens <= time && time <= last)
}

/// Shows how far the form is, never what is in it.
impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("form", &self.form)
            .field("doing", &self.doing)
            .field("tries", &self.tries)
            .finish()
    }
}
