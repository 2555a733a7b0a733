//! How many calls a trunk may take from us: at once, per minute and per day. It keeps no number.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::config;
use crate::config::Prefix;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What is told where a call has to end first; nobody knows when.
const UNTIL_ONE_ENDS: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this number may not be called through this trunk; see its allow_out")]
    NotAllowed,
    #[error("as many calls as configured; try again in {} s", retry_after.as_secs().max(1))]
    TooMany { retry_after: Duration },
}

/// Calls of ours through one trunk. Against toll fraud: what is not allowed is forbidden, and what a thief
/// could spend in a day is bounded. A restart of the gateway starts the day anew.
pub struct Outbound {
    allow: Vec<Prefix>,
    places: Places,
    minute: Window,
    day: Window,
}

impl Outbound {
    pub fn new(trunk: &config::Trunk) -> Self {
        Self {
            allow: trunk.allow_out.clone(),
            places: Places { max: Some(trunk.out_calls_max), taken: 0 },
            minute: Window::new(MINUTE, Some(trunk.out_calls_per_min)),
            day: Window::new(DAY, Some(trunk.out_calls_per_day)),
        }
    }

    pub fn allows(&self, number: &str) -> bool {
        self.allow.iter().any(|prefix| prefix.allows(number))
    }

    /// Takes a place for a call to `number`; it counts whatever becomes of it, until `ended`.
    pub fn take(&mut self, now: Instant, number: &str) -> Result<(), Refused> {
        if !self.allows(number) {
            return Err(Refused::NotAllowed);
        }
        take(now, &mut self.places, &mut [&mut self.minute, &mut self.day])
    }

    /// A call that had its place is over.
    pub fn ended(&mut self) {
        self.places.free();
    }

    /// Calls that have a place now.
    pub fn calls(&self) -> u32 {
        self.places.taken
    }
}

fn take(now: Instant, places: &mut Places, windows: &mut [&mut Window]) -> Result<(), Refused> {
    if places.max.is_some_and(|max| places.taken >= max) {
        return Err(Refused::TooMany { retry_after: UNTIL_ONE_ENDS });
    }
    if let Some(retry_after) = windows.iter().filter_map(|w| w.wait(now)).max() {
        return Err(Refused::TooMany { retry_after });
    }
    places.taken += 1;
    windows.iter_mut().for_each(|w| w.note(now));
    Ok(())
}

struct Places {
    max: Option<u32>,
    taken: u32,
}

impl Places {
    fn free(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

/// At most `max` starts in any stretch of `span`; `None`: any number, and nothing is kept.
struct Window {
    span: Duration,
    max: Option<usize>,
    /// The last `max` starts.
    starts: VecDeque<Instant>,
}

impl Window {
    fn new(span: Duration, max: Option<u32>) -> Self {
        Self { span, max: max.map(|m| m as usize), starts: VecDeque::new() }
    }

    /// How long until one more may start.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let full = self.max.is_some_and(|max| self.starts.len() >= max);
        let free_at = self.starts.front().filter(|_| full).map(|oldest| *oldest + self.span)?;
        free_at.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    fn note(&mut self, now: Instant) {
        let Some(max) = self.max else { return };
        self.starts.push_back(now);
        while self.starts.len() > max {
            self.starts.pop_front();
        }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("calls", &self.places.taken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_no_more_than_it_counts() {
        let now = crate::clock::now();
        let (mut day, mut free) = (Window::new(DAY, Some(50)), Window::new(DAY, None));
        for n in 0..10_000 {
            day.note(now + Duration::from_secs(n));
            free.note(now);
        }
        assert_eq!((day.starts.len(), free.starts.len()), (50, 0));
        assert_eq!(day.wait(now + Duration::from_secs(10_000)), Some(DAY - Duration::from_secs(50)));
        assert_eq!((day.wait(now + DAY * 2), free.wait(now)), (None, None));
    }
}
