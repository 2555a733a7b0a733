//! What callers name: days, times, names, phone numbers, yes and no, in each language spoken here.
//! Closed grammars over the words of one turn; nothing is guessed, and nothing is looked up anywhere.

pub(crate) mod answer;
mod day;
mod en;
mod name;
mod number;
mod phone;
mod ru;
#[cfg(test)]
mod tests;
mod time;

use std::ops::Range;

use jiff::civil::{Date, Weekday};

use super::text::{Word, phrase_at, words};
pub(crate) use time::Clock;

/// A language with grammars for days, times, names, numbers and yes/no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Russian,
}

impl Language {
    pub const TAGS: [&str; 2] = ["en", "ru"];

    /// From a BCP 47 tag; only its primary subtag counts.
    pub fn from_tag(tag: &str) -> Option<Language> {
        match primary_subtag(tag).as_str() {
            "en" => Some(Language::English),
            "ru" => Some(Language::Russian),
            _ => None,
        }
    }

    pub fn lexicon(self) -> &'static Lexicon {
        match self {
            Language::English => &en::LEXICON,
            Language::Russian => &ru::LEXICON,
        }
    }
}

pub(crate) fn primary_subtag(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_lowercase()
}

/// The words of a language. Phrases are words joined by single spaces, as [`super::text::words`] gives them.
pub(crate) struct Lexicon {
    pub language: Language,
    pub cardinals: &'static [(&'static str, u32)],
    pub ordinals: &'static [(&'static str, u32)],
    /// Written behind digits to make an ordinal: `26th`.
    pub ordinal_suffixes: &'static [&'static str],
    /// Multiplies the number before it by a hundred.
    pub hundred: &'static [&'static str],
    /// Zero, only inside a run of digits.
    pub digit_zero: &'static [&'static str],
    /// Digits by sound, only between digits of an expected phone number.
    pub digit_homophones: &'static [(&'static str, u32)],
    pub repeat_digit: &'static [(&'static str, usize)],
    pub weekdays: &'static [(&'static str, Weekday)],
    pub months: &'static [(&'static str, i8)],
    pub today: &'static [&'static str],
    pub tomorrow: &'static [&'static str],
    pub after_tomorrow: &'static [&'static str],
    /// Before a weekday; the weekday then is the first one to come.
    pub coming: &'static [&'static str],
    pub next_week: &'static [&'static str],
    pub article: &'static [&'static str],
    /// "a week" is one.
    pub single: &'static [&'static str],
    pub of: &'static [&'static str],
    pub from_now: &'static [&'static str],
    pub days: &'static [&'static str],
    pub weeks: &'static [&'static str],
    /// An hour follows: "at", "в".
    pub time_leads: &'static [&'static str],
    /// An ordinal behind one of these is an hour, no day.
    pub before_hour: &'static [&'static str],
    /// An ordinal is a day, although no month follows.
    pub day_of_month: &'static [&'static str],
    /// Month first in numeric dates.
    pub month_first: bool,
    pub clear_yes: &'static [&'static str],
    /// Yes only where a yes was asked for; else the caller just shows that they listen.
    pub soft_yes: &'static [&'static str],
    pub no: &'static [&'static str],
    /// No to "anything else?".
    pub enough: &'static [&'static str],
    pub negations: &'static [&'static str],
    pub fillers: &'static [&'static str],
    /// Say nothing about what is wanted: left out of matching, fillers too.
    pub noise: &'static [&'static str],
    pub polite: &'static [&'static str],
    /// Carry no topic of their own: "what about", "and on", "please".
    pub function_words: &'static [&'static str],
    /// Everyday words that fit any topic; none of them makes a turn foreign to the agent.
    pub common_words: &'static [&'static str],
    pub name_leads: &'static [&'static str],
    /// Leads that only a name follows, wherever they stand.
    pub strong_name_leads: &'static [&'static str],
    pub never_names: &'static [&'static str],
}

impl Lexicon {
    /// Whether a word or the sign of an entity can carry a topic: no number, and none of the words that fit any.
    pub fn is_topic(&self, word: &str) -> bool {
        let lists = [self.function_words, self.common_words, self.polite, self.fillers];
        let number = self.cardinals.iter().any(|(known, _)| *known == word);
        !number && !lists.iter().any(|list| list.contains(&word))
    }
}

/// Something found, and the words it covers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mention<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// Which entity the agent has just asked for: a bare "ten" is an hour only for someone who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Nothing,
    Day,
    Time,
    Name,
    Phone,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Entities {
    pub days: Vec<Mention<Date>>,
    pub times: Vec<Mention<Clock>>,
    pub phone: Option<Mention<String>>,
    /// Digits too few for a phone number, while one is asked for.
    pub digits: Option<Mention<String>>,
    pub name: Option<Mention<String>>,
    /// The words of "my name is Anna Miller": they say nothing about what else is wanted.
    pub introduction: Option<Range<usize>>,
}

impl Entities {
    pub fn read(words: &[Word], lexicon: &Lexicon, today: Date, asked: Asked) -> Entities {
        let mut taken = vec![false; words.len()];
        let mut found = Entities::default();
        match phone::find(words, lexicon, asked == Asked::Phone) {
            Some(mention) if mention.value.trim_start_matches('+').len() >= phone::DIGITS_MIN => {
                take(&mut taken, &mention.span);
                found.phone = Some(mention);
            }
            Some(mention) if asked == Asked::Phone => {
                take(&mut taken, &mention.span);
                found.digits = Some(mention);
            }
            _ => {}
        }
        found.days = day::find(words, lexicon, today, asked == Asked::Day, &taken);
        for mention in &found.days {
            take(&mut taken, &mention.span);
        }
        found.times = time::find(words, lexicon, asked == Asked::Time, &taken);
        for mention in &found.times {
            take(&mut taken, &mention.span);
        }
        let introduced = name::introduced(words, lexicon, &taken);
        found.introduction = introduced.as_ref().map(|(start, mention)| *start..mention.span.end);
        found.name = introduced
            .map(|(_, mention)| mention)
            .or_else(|| if asked == Asked::Name { name::bare(words, lexicon, &taken) } else { None });
        found
    }

    /// Where a day, time or number begins at this word: the one sign for its kind, so that "open on
    /// Tuesday" matches an example about Saturday, and the word behind it.
    pub fn sign_at(&self, at: usize) -> Option<(&'static str, usize)> {
        let day = self.days.iter().map(|m| ("<day>", &m.span));
        let time = self.times.iter().map(|m| ("<time>", &m.span));
        let phone = self.phone.iter().map(|m| ("<phone>", &m.span));
        let introduction = self.introduction.iter().map(|span| ("", span));
        let mut all = day.chain(time).chain(phone).chain(introduction);
        all.find(|(_, span)| span.start == at).map(|(sign, span)| (sign, span.end))
    }

    pub fn covers(&self, at: usize) -> bool {
        let mut spans = (self.days.iter().map(|m| &m.span))
            .chain(self.times.iter().map(|m| &m.span))
            .chain(self.phone.iter().chain(&self.digits).chain(&self.name).map(|m| &m.span));
        spans.any(|span| span.contains(&at))
    }
}

fn take(taken: &mut [bool], span: &Range<usize>) {
    if let Some(slots) = taken.get_mut(span.clone()) {
        slots.fill(true);
    }
}

/// The digits of a text where a phone number is asked for.
pub(crate) fn phone_digits(of: &str, language: Language) -> String {
    let found = phone::find(&words(of), language.lexicon(), true);
    found.map(|mention| mention.value.trim_start_matches('+').to_owned()).unwrap_or_default()
}

/// How many digits a text ends with that are read out one by one or written as a group: no "three thirty".
pub(crate) fn digits_at_end(of: &str, language: Language) -> usize {
    let lexicon = language.lexicon();
    let digits = |word: &Word| {
        let text = word.text.as_str();
        let one = lexicon.cardinals.iter().any(|(known, value)| *known == text && *value < 10)
            || lexicon.digit_zero.contains(&text);
        let group = text.chars().all(|c| c.is_ascii_digit()).then_some(text.len());
        group.or(one.then_some(1))
    };
    words(of).iter().rev().map_while(digits).sum()
}

/// Shorthand: how many words from `at` the longest of these phrases covers.
fn at(words: &[Word], at: usize, phrases: &[&str]) -> usize {
    phrase_at(words, at, phrases)
}

fn text(words: &[Word], at: usize) -> &str {
    words.get(at).map_or("", |word| word.text.as_str())
}
