//! A span of calendar time, in UTC. It reads no clock.

use std::fmt;
use std::str::FromStr;

use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::time::days;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no term: write it as \"15 days\", \"6 months\" or \"3 years\", from 1 to 9999")]
pub struct NotATerm;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Month,
    Year,
}

/// So many days of 24 hours, calendar months or calendar years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    n: u16,
    unit: Unit,
}

const MOST: u16 = 9999;

impl Term {
    pub const fn days(n: u16) -> Self {
        Self { n, unit: Unit::Day }
    }

    pub const fn months(n: u16) -> Self {
        Self { n, unit: Unit::Month }
    }

    pub const fn years(n: u16) -> Self {
        Self { n, unit: Unit::Year }
    }

    /// Where the day is missing in the last month, its last day: three years after 29 February end on 28 February.
    /// What is beyond the calendar is the end of time.
    pub fn after(self, from: Time) -> Time {
        if self.unit == Unit::Day {
            return from.plus_ms(days(self.n.into()));
        }
        let calendar = || {
            let n = i64::from(self.n);
            let span = match self.unit {
                Unit::Year => Span::new().try_years(n),
                _ => Span::new().try_months(n),
            };
            let start = Offset::UTC.to_datetime(Timestamp::from_millisecond(from.0)?);
            Offset::UTC.to_timestamp(start.checked_add(span?)?)
        };
        calendar().map_or(Time(i64::MAX), |at| Time(at.as_millisecond()))
    }

    /// Counted from a day in a common year.
    pub fn longer_than(self, other: Self) -> bool {
        self.after(Time(0)) > other.after(Time(0))
    }
}

impl FromStr for Term {
    type Err = NotATerm;

    fn from_str(text: &str) -> Result<Self, NotATerm> {
        let (n, unit) = text.split_once(' ').ok_or(NotATerm)?;
        let n = n.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or(NotATerm)?;
        let unit = match unit {
            "day" | "days" => Unit::Day,
            "month" | "months" => Unit::Month,
            "year" | "years" => Unit::Year,
            _ => return Err(NotATerm),
        };
        Ok(Self { n, unit })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Day => "day",
            Unit::Month => "month",
            Unit::Year => "year",
        };
        write!(f, "{} {unit}{}", self.n, if self.n == 1 { "" } else { "s" })
    }
}

impl Serialize for Term {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) fn at(text: &str) -> Time {
    Time(text.parse::<Timestamp>().expect("a time").as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_written_as_they_are_read() {
        for text in ["1 day", "15 days", "6 months", "1 year", "3 years"] {
            assert_eq!(text.parse::<Term>().map(|t| t.to_string()), Ok(text.into()));
        }
        for text in ["", "days", "0 days", "-1 days", "15", "15  days", "15 weeks", "10000 years", "1.5 years"] {
            assert_eq!(text.parse::<Term>(), Err(NotATerm), "{text}");
        }
    }

    #[test]
    fn years_are_calendar_years() {
        let check = |term: Term, from: &str, to: &str| assert_eq!(term.after(at(from)), at(to), "{term} from {from}");
        check(Term::years(3), "2025-03-01T10:20:30.456Z", "2028-03-01T10:20:30.456Z");
        check(Term::years(3), "2024-02-29T00:00:00Z", "2027-02-28T00:00:00Z");
        check(Term::years(4), "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z");
        check(Term::months(1), "2025-01-31T12:00:00Z", "2025-02-28T12:00:00Z");
        check(Term::days(365), "2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z");
        check(Term::years(1), "1969-12-31T23:59:59.999Z", "1970-12-31T23:59:59.999Z");
    }

    #[test]
    fn the_end_of_the_calendar_is_the_end_of_time() {
        assert_eq!(Term::years(9999).after(at("2025-01-01T00:00:00Z")), Time(i64::MAX));
        assert_eq!(Term::years(1).after(Time(i64::MAX)), Time(i64::MAX));
        assert_eq!(Term::days(1).after(Time(i64::MAX)), Time(i64::MAX));
        assert_eq!(Term::years(1).after(Time(i64::MIN)), Time(i64::MAX));
        assert!(Term::days(366).longer_than(Term::years(1)) && !Term::days(365).longer_than(Term::years(1)));
    }
}
