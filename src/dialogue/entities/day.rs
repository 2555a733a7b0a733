//! Days as callers name them, resolved against today: "tomorrow", "next Thursday", "the fifth",
//! "on the 3rd of December", "через неделю". A day without a year is the next one to come.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

use super::super::text::{Break, Word, distance};
use super::{Language, Lexicon, Mention, at, en, number, ru, text};

/// All days named, in order. `asked`: a bare "fifth" or "5" is a day.
pub(super) fn find(words: &[Word], lexicon: &Lexicon, today: Date, asked: bool, taken: &[bool]) -> Vec<Mention<Date>> {
    let grammar = Grammar { words, lexicon, today, asked };
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        match grammar.day(i).filter(|_| !taken.get(i).copied().unwrap_or(true)) {
            Some((value, length)) if length > 0 => {
                // "Monday morning" is one thing to name; the half of the day is read with the time.
                let length = length + part_of_day(words, i + length, lexicon);
                found.push(Mention { value, span: i..i + length });
                i += length;
            }
            _ => i += 1,
        }
    }
    found
}

fn part_of_day(words: &[Word], i: usize, lexicon: &Lexicon) -> usize {
    let part = match lexicon.language {
        Language::English => en::part_of_day(words, i),
        Language::Russian => ru::part_of_day(words, i),
    };
    part.map_or(0, |(_, length)| length)
}

struct Grammar<'a> {
    words: &'a [Word],
    lexicon: &'a Lexicon,
    today: Date,
    asked: bool,
}

impl Grammar<'_> {
    fn at(&self, i: usize, phrases: &[&str]) -> usize {
        at(self.words, i, phrases)
    }

    fn day(&self, i: usize) -> Option<(Date, usize)> {
        let lex = self.lexicon;
        for (phrases, days) in [(lex.after_tomorrow, 2), (lex.tomorrow, 1), (lex.today, 0)] {
            let length = self.at(i, phrases);
            if length > 0 {
                return Some((self.in_days(days)?, length));
            }
        }
        self.ahead(i)
            .or_else(|| self.weekday(i))
            .or_else(|| self.numeric(i))
            .or_else(|| self.of_month(i))
            .or_else(|| self.bare(i))
    }

    fn in_days(&self, days: i64) -> Option<Date> {
        self.today.checked_add(Span::new().try_days(days).ok()?).ok()
    }

    /// "in three days", "in a week", "через неделю".
    fn ahead(&self, i: usize) -> Option<(Date, usize)> {
        let lex = self.lexicon;
        let lead = self.at(i, lex.from_now);
        if lead == 0 {
            return None;
        }
        let (count, length) = match number::cardinal(self.words, i + lead, lex) {
            Some((count, length)) => (count, length),
            None => (1, self.at(i + lead, lex.single)),
        };
        let unit = i + lead + length;
        let (days, unit_length) = match (self.at(unit, lex.days), self.at(unit, lex.weeks)) {
            (0, 0) => return None,
            (0, weeks) => (count * 7, weeks),
            (days, _) => (count, days),
        };
        Some((self.in_days(i64::from(days))?, lead + length + unit_length))
    }

    /// "Tuesday", "next Thursday", "Thursday next week", "Friday the 27th of November".
    fn weekday(&self, i: usize) -> Option<(Date, usize)> {
        let lex = self.lexicon;
        let mut j = i;
        let mut in_next_week = self.at(j, lex.next_week) > 0;
        j += self.at(j, lex.next_week).max(self.at(j, lex.coming));
        let name = text(self.words, j);
        let weekday = lex
            .weekdays
            .iter()
            .find(|(known, _)| *known == name)
            .or_else(|| lex.weekdays.iter().find(|(known, _)| known.chars().count() >= 6 && near(known, name)))
            .map(|(_, weekday)| *weekday)?;
        j += 1;
        if let Some((date, length)) = self.of_month(j).or_else(|| self.bare_ordinal(j)) {
            return Some((date, j + length - i));
        }
        let week = self.at(j, lex.next_week);
        in_next_week |= week > 0;
        j += week;
        Some((self.coming(weekday, in_next_week)?, j - i))
    }

    /// The first such weekday after today; in next week, the one of the week that begins next Monday.
    fn coming(&self, weekday: Weekday, in_next_week: bool) -> Option<Date> {
        let today = i64::from(self.today.weekday().to_monday_zero_offset());
        let target = i64::from(weekday.to_monday_zero_offset());
        let days = if in_next_week { 7 - today + target } else { (target - today + 6).rem_euclid(7) + 1 };
        self.in_days(days)
    }

    /// "the 3rd of December", "December 3rd", "3 December", "третьего декабря".
    fn of_month(&self, i: usize) -> Option<(Date, usize)> {
        let lex = self.lexicon;
        if let Some(month) = self.month(i) {
            let article = self.at(i + 1, lex.article);
            let (day, length) = self.number(i + 1 + article)?;
            return Some((self.next_date(month, day)?, 1 + article + length));
        }
        let article = self.at(i, lex.article);
        let (day, length) = self.number(i + article)?;
        let mut j = i + article + length;
        j += self.at(j, lex.of);
        let month = self.month(j)?;
        Some((self.next_date(month, day)?, j + 1 - i))
    }

    fn month(&self, i: usize) -> Option<i8> {
        self.lexicon.months.iter().find(|(known, _)| *known == text(self.words, i)).map(|(_, month)| *month)
    }

    fn number(&self, i: usize) -> Option<(u32, usize)> {
        number::ordinal(self.words, i, self.lexicon)
            .or_else(|| number::cardinal(self.words, i, self.lexicon))
            .filter(|(day, _)| (1..=31).contains(day))
    }

    /// "3/12", "3.12", as recognizers write a day and a month said as numbers.
    fn numeric(&self, i: usize) -> Option<(Date, usize)> {
        let word = text(self.words, i);
        let slashed = word.contains('/');
        let mut pieces = word.split(['/', '.']).map(str::parse::<u32>);
        let (Some(Ok(first)), Some(Ok(second))) = (pieces.next(), pieces.next()) else { return None };
        // "at 10.10" is a time: a date with a dot needs a month and no preposition of time before it.
        let after_at = i > 0 && self.lexicon.time_leads.contains(&text(self.words, i - 1));
        if !slashed && (self.lexicon.month_first || after_at) {
            return None;
        }
        let (day, month) = if slashed && self.lexicon.month_first { (second, first) } else { (first, second) };
        let month = i8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
        Some((self.next_date(month, day)?, 1))
    }

    /// An ordinal on its own: "the fifth". Guarded, for "the first visit" names no day.
    fn bare(&self, i: usize) -> Option<(Date, usize)> {
        let (date, length) = self.bare_ordinal(i).or_else(|| {
            let (day, length) = number::cardinal(self.words, i, self.lexicon).filter(|_| self.asked)?;
            let after_lead = i > 0 && self.lexicon.time_leads.contains(&text(self.words, i - 1));
            let alone = i <= 1 && !after_lead && self.words.get(i + length).is_none();
            Some((self.next_day(day).filter(|_| alone)?, length))
        })?;
        Some((date, length))
    }

    fn bare_ordinal(&self, i: usize) -> Option<(Date, usize)> {
        let lex = self.lexicon;
        let behind_hour = i > 0 && lex.before_hour.contains(&text(self.words, i - 1));
        let article = self.at(i, lex.article);
        let (day, length) = number::ordinal(self.words, i + article, lex).filter(|_| !behind_hour)?;
        let end = i + article + length;
        // With a month behind it, it was a date that does not exist: "the 31st of February".
        if self.month(end + self.at(end, lex.of)).is_some() {
            return None;
        }
        let marked = self.at(end, lex.day_of_month);
        let free = self.words.get(end).is_none_or(|next| {
            let next = next.text.as_str();
            self.words.get(end - 1).is_some_and(|last| last.after != Break::None)
                || lex.time_leads.contains(&next)
                // "the first time" and "the second one" are no days.
                || (day > 3 && lex.function_words.contains(&next))
        });
        let named = marked > 0 || (free && (article > 0 || self.asked || length == 2 || lex.article.is_empty()));
        Some((self.next_day(day).filter(|_| named)?, article + length + marked))
    }

    /// The next date that is this day of a month, today included.
    fn next_day(&self, day: u32) -> Option<Date> {
        let day = i8::try_from(day).ok()?;
        (0..12).find_map(|months| {
            let first = self.today.first_of_month().checked_add(months.months()).ok()?;
            let date = Date::new(first.year(), first.month(), day).ok()?;
            (date >= self.today).then_some(date)
        })
    }

    fn next_date(&self, month: i8, day: u32) -> Option<Date> {
        let day = i8::try_from(day).ok()?;
        // Four years further lies the next 29th of February.
        (0..=8).find_map(|years| {
            let date = Date::new(self.today.year().checked_add(years)?, month, day).ok()?;
            (date >= self.today).then_some(date)
        })
    }
}

/// One letter misheard or an ending more, from the first letter on: Monday is never Sunday.
fn near(known: &str, heard: &str) -> bool {
    let letters = |word: &str| word.chars().collect::<Vec<char>>();
    let (known, heard) = (letters(known), letters(heard));
    heard.len() >= 5 && heard.first() == known.first() && distance(&known, &heard) <= 1
}
