//! Times of day as callers say them: "three p.m.", "half past ten", "15:30", "без четверти девять".
//! A time without half of the day stays open until opening hours decide it.

use jiff::civil::Time;

use super::super::text::{Break, Word};
use super::{Language, Lexicon, Mention, at, en, ru, text};

/// What the caller said of the half of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Am,
    Pm,
    Open,
}

/// A time as said, before opening hours decide "half past ten".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    hour: u32,
    minute: u32,
    half: Half,
}

impl Clock {
    pub fn new(hour: u32, minute: u32, half: Half) -> Option<Clock> {
        // 24:00 and "13 in the morning" are no times.
        let sane = hour < 24 && minute < 60 && !(hour > 12 && half == Half::Am);
        sane.then_some(Clock { hour, minute, half })
    }

    /// The one reading inside `open`; where both or none are, the morning one from seven on and the
    /// afternoon one before that, since people name the hours they are awake.
    pub fn resolve(self, open: impl Fn(Time) -> bool) -> Option<Time> {
        let time = |hour: u32| Time::new(i8::try_from(hour).ok()?, i8::try_from(self.minute).ok()?, 0, 0).ok();
        let hour = self.hour % 12;
        let (am, pm) = (time(hour), time(hour + 12));
        match self.half {
            _ if self.hour > 12 || self.hour == 0 => time(self.hour),
            Half::Am => am,
            Half::Pm => pm,
            Half::Open => match (am.filter(|t| open(*t)), pm.filter(|t| open(*t))) {
                (Some(only), None) | (None, Some(only)) => Some(only),
                _ if (7..12).contains(&self.hour) => am,
                _ => pm,
            },
        }
    }

    fn with(self, half: Half) -> Option<Clock> {
        Clock::new(self.hour, self.minute, half)
    }
}

/// All times named, in order. `asked`: a bare "ten" is an hour.
pub(super) fn find(words: &[Word], lexicon: &Lexicon, asked: bool, taken: &[bool]) -> Vec<Mention<Clock>> {
    let grammar = match lexicon.language {
        Language::English => en::time_at,
        Language::Russian => ru::time_at,
    };
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let free = |length: usize| taken.get(i..i + length).is_some_and(|slots| !slots.contains(&true));
        match grammar(words, i, lexicon, asked).filter(|(_, length)| *length > 0 && free(*length)) {
            Some((value, length)) => {
                found.push(Mention { value, span: i..i + length });
                i += length;
            }
            None => i += 1,
        }
    }
    spread_half(words, lexicon, &mut found);
    found
}

/// "tomorrow afternoon at three": the half of the day may stand anywhere in the turn.
fn spread_half(words: &[Word], lexicon: &Lexicon, found: &mut [Mention<Clock>]) {
    let part = match lexicon.language {
        Language::English => en::part_of_day,
        Language::Russian => ru::part_of_day,
    };
    let named = (0..words.len()).find_map(|i| part(words, i)).map(|(half, _)| half);
    for mention in found {
        if let (Half::Open, Some(half)) = (mention.value.half, named)
            && let Some(clock) = mention.value.with(half)
        {
            mention.value = clock;
        }
    }
}

/// Digits of one written time, `10:30` or `10.30`, and `1030` where a time was asked for.
pub(super) fn written(word: &str, asked: bool) -> Option<(u32, u32)> {
    let pair = word.split_once([':', '.']);
    let pair = pair.or_else(|| {
        let whole = asked && matches!(word.len(), 3 | 4) && word.bytes().all(|b| b.is_ascii_digit());
        word.split_at_checked(word.len().saturating_sub(2)).filter(|_| whole)
    });
    let (hour, minute) = pair.filter(|(_, minute)| minute.len() == 2)?;
    Some((hour.parse().ok()?, minute.parse().ok()?))
}

/// How many words from `i` one of `phrases` covers, if any.
pub(super) fn phrase(words: &[Word], i: usize, phrases: &[&str]) -> Option<usize> {
    Some(at(words, i, phrases)).filter(|length| *length > 0)
}

/// Nothing but the sentence's end or a word without topic follows: "at ten", not "at ten people".
pub(super) fn ends_at(words: &[Word], end: usize, lexicon: &Lexicon) -> bool {
    let next = text(words, end);
    next.is_empty()
        || words.get(end.saturating_sub(1)).is_some_and(|last| last.after != Break::None)
        || lexicon.function_words.contains(&next)
        || lexicon.polite.contains(&next)
        || lexicon.weekdays.iter().any(|(day, _)| *day == next)
        || lexicon.today.contains(&next)
        || lexicon.tomorrow.contains(&next)
}
