//! Working days at a place: weekends, holidays, and Saturdays that are worked. It reads no clock and knows
//! no country: the lists come from the policy.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use crate::Time;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCalendar {
    #[error("[claims.calendar] utc_minutes = {0}: give the local time's minutes ahead of UTC, -720 to 840")]
    Offset(i16),
    #[error("[claims.calendar] {0} is both a holiday and a working day: remove one")]
    Both(Date),
    #[error("[claims.calendar] lists more than {0} days: remove those of past years")]
    TooMany(usize),
    #[error("[claims.calendar] a week needs a working day: remove one of weekend")]
    NoWorkingDay,
    #[error("[claims.calendar] '{0}' is no day of the week: monday to sunday")]
    NotADay(String),
}

const LISTED_MOST: usize = 1000;
/// However many holidays are listed, counting ends.
const SEARCH_DAYS: usize = 2000;

/// `[claims.calendar]` of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// How far the local time is ahead of UTC, in minutes. Days begin by it.
    pub utc_minutes: i16,
    pub weekend: Vec<String>,
    pub holidays: BTreeSet<Date>,
    /// Days on a weekend that are worked all the same.
    pub worked: BTreeSet<Date>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            utc_minutes: 0,
            weekend: vec!["saturday".into(), "sunday".into()],
            holidays: BTreeSet::new(),
            worked: BTreeSet::new(),
        }
    }
}

impl Calendar {
    /// # Errors
    /// Where the lists contradict each other or leave no working day.
    pub fn check(&self) -> Result<(), BadCalendar> {
        if !(-720..=840).contains(&self.utc_minutes) {
            return Err(BadCalendar::Offset(self.utc_minutes));
        }
        if self.holidays.len() + self.worked.len() > LISTED_MOST {
            return Err(BadCalendar::TooMany(LISTED_MOST));
        }
        if let Some(both) = self.holidays.intersection(&self.worked).next() {
            return Err(BadCalendar::Both(*both));
        }
        if let Some(unknown) = self.weekend.iter().find(|day| weekday(day).is_none()) {
            return Err(BadCalendar::NotADay(unknown.chars().take(20).collect()));
        }
        let free: BTreeSet<i8> =
            self.weekend.iter().filter_map(|d| weekday(d)).map(Weekday::to_monday_zero_offset).collect();
        if free.len() >= 7 { Err(BadCalendar::NoWorkingDay) } else { Ok(()) }
    }

    pub fn is_working(&self, day: Date) -> bool {
        let weekend = self.weekend.iter().any(|d| weekday(d) == Some(day.weekday()));
        self.worked.contains(&day) || (!weekend && !self.holidays.contains(&day))
    }

    /// Whether a holiday of this year is listed. Where none is, terms in it come out too short, and never too long.
    pub fn knows(&self, year: i16) -> bool {
        self.holidays.iter().any(|day| day.year() == year)
    }

    /// The end, by local midnight, of the `days`th working day after the day of `from`. Of 0 days: of that day.
    pub fn end_of(&self, from: Time, days: u16) -> Time {
        self.search(from, days).unwrap_or(Time(i64::MAX))
    }

    fn search(&self, from: Time, days: u16) -> Option<Time> {
        let offset = Offset::from_seconds(i32::from(self.utc_minutes) * 60).ok()?;
        let mut day = offset.to_datetime(Timestamp::from_millisecond(from.0).ok()?).date();
        let mut left = days;
        for _ in 0..SEARCH_DAYS {
            if left == 0 {
                break;
            }
            day = day.tomorrow().ok()?;
            left -= u16::from(self.is_working(day));
        }
        let midnight = day.tomorrow().ok()?.at(0, 0, 0, 0);
        Some(Time(offset.to_timestamp(midnight).ok()?.as_millisecond()))
    }
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time(text.parse::<Timestamp>().expect("a time").as_millisecond())
    }

    fn read(text: &str) -> Calendar {
        toml::from_str(text).expect("reads")
    }

    fn check(calendar: &Calendar, from: &str, days: u16, end: &str) {
        assert_eq!(calendar.end_of(at(from), days), at(end), "{days} after {from}");
    }

    #[test]
    fn weekends_and_holidays_do_not_count() {
        let plain = Calendar::default();
        // A Friday.
        check(&plain, "2026-03-13T09:00:00Z", 0, "2026-03-14T00:00:00Z");
        check(&plain, "2026-03-13T09:00:00Z", 1, "2026-03-17T00:00:00Z");
        check(&plain, "2026-03-13T09:00:00Z", 5, "2026-03-21T00:00:00Z");
        check(&plain, "2026-03-13T09:00:00Z", 30, "2026-04-25T00:00:00Z");
        // Nauryz of 2026, and a Saturday worked for it.
        let kz = read(
            "utc_minutes = 300\nholidays = [\"2026-03-23\", \"2026-03-24\", \"2026-03-25\"]\nworked = [\"2026-03-28\"]",
        );
        check(&kz, "2026-03-20T09:00:00Z", 1, "2026-03-26T19:00:00Z");
        check(&kz, "2026-03-20T09:00:00Z", 3, "2026-03-28T19:00:00Z");
        assert!(kz.knows(2026) && !kz.knows(2027));
    }

    #[test]
    fn days_begin_by_local_time() {
        let kz = read("utc_minutes = 300");
        // 23:59:59 on Thursday and 00:00:00 on Friday in Almaty.
        check(&kz, "2026-03-12T18:59:59Z", 1, "2026-03-13T19:00:00Z");
        check(&kz, "2026-03-12T19:00:00Z", 1, "2026-03-16T19:00:00Z");
    }

    #[test]
    fn contradictions_are_refused_and_counting_ends() {
        let check = |text: &str| read(text).check();
        assert_eq!(check("utc_minutes = 900"), Err(BadCalendar::Offset(900)));
        assert!(matches!(check("holidays = [\"2026-01-01\"]\nworked = [\"2026-01-01\"]"), Err(BadCalendar::Both(_))));
        assert_eq!(check("weekend = [\"sunnday\"]"), Err(BadCalendar::NotADay("sunnday".into())));
        let never =
            "weekend = [\"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\", \"saturday\", \"sunday\"]";
        assert_eq!(check(never), Err(BadCalendar::NoWorkingDay));
        assert!(read(never).end_of(Time(0), 3) > Time(0), "unchecked, it still ends");
        assert_eq!(Calendar::default().end_of(Time(i64::MAX), 3), Time(i64::MAX));
        assert!(toml::from_str::<Calendar>("holiday = []").is_err(), "an unknown key is an error");
    }
}
