//! Whether callers are answered late, measured in turns and not in load, and so whether one more may come. It takes
//! `now` and what happened; it reads no clock and refuses nobody itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::call::CallId;

/// Turns that count: those of the last while, and only so many.
const WINDOW: Duration = Duration::from_secs(30);
const TURNS_MAX: usize = 256;
/// Fewer late turns than this are somebody's bad luck.
const LATE_TURNS_MIN: usize = 3;
/// One turn in so many may be late: the ninetieth percentile says how late.
const ONE_IN: usize = 10;
/// Engines that fell behind, and ticks that came late, are held against the next call for so long.
const HOLD: Duration = Duration::from_secs(5);

/// How late turns were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Of turns done and under way.
    pub turns: usize,
    /// Nine of ten were not later than this.
    pub p90: Duration,
}

/// What the calls in progress say of the machine.
#[derive(Debug)]
pub struct Strain {
    /// Lateness from which it shows; zero: it never does.
    late_max: Duration,
    /// Turns done: when, and how late.
    done: VecDeque<(Instant, Duration)>,
    /// Turns under way: when their answer is due. One a call, so `calls.max` bounds it.
    due: HashMap<CallId, Instant>,
    held_until: Option<Instant>,
    strained: bool,
}

impl Strain {
    pub fn new(late_max: Duration) -> Self {
        Self { late_max, done: VecDeque::new(), due: HashMap::new(), held_until: None, strained: false }
    }

    /// A turn was answered, so much later than the caller's silence alone asked for.
    pub fn turn_done(&mut self, now: Instant, late: Duration) {
        if self.done.len() >= TURNS_MAX {
            self.done.pop_front();
        }
        self.done.push_back((now, late));
    }

    /// The turn under way in a call should be answered at `due`; none is, or it waits for something else.
    pub fn turn_due(&mut self, call: CallId, due: Option<Instant>) {
        match due {
            Some(due) => drop(self.due.insert(call, due)),
            None => drop(self.due.remove(&call)),
        }
    }

    /// A media thread was late with its ticks for a second.
    pub fn ticks_late(&mut self, now: Instant) {
        self.held_until = Some(now + HOLD);
    }

    /// Of the turns of the last while, and of those under way that are late already.
    pub fn late(&mut self, now: Instant) -> Late {
        let mut all = self.lateness(now);
        all.sort_unstable();
        // The smallest one that at least nine of ten do not exceed.
        let at = (all.len() * (ONE_IN - 1)).div_ceil(ONE_IN).saturating_sub(1);
        Late { turns: all.len(), p90: all.get(at).copied().unwrap_or_default() }
    }

    fn lateness(&mut self, now: Instant) -> Vec<Duration> {
        while self.done.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.done.pop_front();
        }
        // One that is not late yet may still become so, and says nothing.
        let under_way = self.due.values().map(|due| now.saturating_duration_since(*due));
        self.done.iter().map(|(_, late)| *late).chain(under_way.filter(|late| !late.is_zero())).collect()
    }

    /// Whether one more call would be answered late, and those in progress later than now. `waiting` is since when
    /// somebody waits for a job that no engine has begun.
    pub fn strained(&mut self, now: Instant, waiting: Option<Instant>) -> bool {
        if self.late_max.is_zero() {
            return false;
        }
        if waiting.is_some_and(|since| now.saturating_duration_since(since) > self.late_max) {
            self.held_until = Some(now + HOLD);
        }
        // Once late, it has to get well, not just a little better: else calls would be let in one by one.
        let most = if self.strained { self.late_max / 2 } else { self.late_max };
        let all = self.lateness(now);
        let late = all.iter().filter(|late| **late > most).count();
        let held = self.held_until.is_some_and(|until| now < until);
        self.strained = late >= LATE_TURNS_MIN && late * ONE_IN > all.len();
        self.strained || held
    }
}

/// One gateway's strain, told by its shards and asked at its door.
#[derive(Debug, Clone)]
pub struct SharedStrain(Arc<Mutex<Strain>>);

impl Default for SharedStrain {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl SharedStrain {
    pub fn new(late_max: Duration) -> Self {
        Self(Arc::new(Mutex::new(Strain::new(late_max))))
    }

    /// Nothing here can panic half-way, and each use is a few steps long: a shard may take it.
    pub fn get(&self) -> MutexGuard<'_, Strain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is `SECONDS WHAT`: `late MS` and `quick` are turns done, `due CALL MS` a turn under way that is due so
    /// many milliseconds from then (negative: before), `answered CALL`, `ticks`, `busy` and `free` are questions, with
    /// `busy MS`/`free MS`: an engine has kept somebody waiting for so long. `x N` after a turn: so many of them.
    #[allow(clippy::disallowed_methods)]
    fn check(script: &str) {
        // The past must exist: a monotonic clock may have begun a moment ago.
        let began = Instant::now() + Duration::from_secs(3600);
        let mut strain = Strain::new(Duration::from_millis(300));
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = began + Duration::from_secs_f64(words[0].parse().unwrap());
            let ms = |at: usize| Duration::from_millis(words[at].parse().unwrap());
            let times = words.iter().position(|word| *word == "x").map_or(1, |at| words[at + 1].parse().unwrap());
            match words[1] {
                "late" => (0..times).for_each(|_| strain.turn_done(now, ms(2))),
                "quick" => (0..times).for_each(|_| strain.turn_done(now, Duration::ZERO)),
                "due" => {
                    let ms: i64 = words[3].parse().unwrap();
                    let offset = Duration::from_millis(ms.unsigned_abs());
                    let due = if ms < 0 { now.checked_sub(offset).unwrap() } else { now + offset };
                    strain.turn_due(CallId(words[2].parse().unwrap()), Some(due));
                }
                "answered" => strain.turn_due(CallId(words[2].parse().unwrap()), None),
                "ticks" => strain.ticks_late(now),
                "p90" => assert_eq!(strain.late(now).p90, ms(2), "{line}"),
                asked => {
                    let waiting = words.get(2).map(|_| now.checked_sub(ms(2)).unwrap());
                    assert_eq!(strain.strained(now, waiting), asked == "busy", "{line}");
                }
            }
        }
    }

    #[test]
    fn one_late_turn_in_ten_is_too_many() {
        check("0 free\n 1 quick x 30\n 2 late 400 x 3\n 3 free\n 3 late 400\n 3 busy");
        check("0 late 300 x 20\n 1 free\n 1 p90 300");
        check("0 late 2000 x 2\n 1 free\n 2 late 301\n 2 busy");
    }

    #[test]
    fn it_recovers_when_turns_are_well_in_time_again() {
        check(
            "0 late 400 x 5\n 1 busy
             20 late 200 x 40\n 20 busy
             31 busy\n 31 quick x 400\n 31 free
             32 late 200 x 100\n 32 free",
        );
        check("0 late 400 x 5\n 29 busy\n 31 free");
    }

    #[test]
    fn turns_under_way_count_by_their_age() {
        check(
            "0 due 1 200\n 0 due 2 200\n 0 due 3 200\n 0.4 free
             0.6 busy\n 0.6 answered 1\n 0.6 free\n 0.7 due 1 -500\n 0.7 busy",
        );
        check("0 quick x 40\n 0 due 1 -5000\n 0 due 2 -5000\n 0 due 3 -5000\n 0 free\n 0 p90 0");
    }

    #[test]
    fn engines_that_fall_behind_and_late_ticks_are_held_against_the_next_call() {
        check("0 free 250\n 1 busy 350\n 5 busy\n 7 free");
        check("0 ticks\n 4 busy\n 6 free");
    }

    #[test]
    fn the_window_is_bounded() {
        check("0 late 900 x 300\n 0 quick x 256\n 1 free\n 1 p90 0");
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn zero_never_refuses() {
        let now = Instant::now();
        let mut strain = Strain::new(Duration::ZERO);
        (0..50).for_each(|_| strain.turn_done(now, Duration::from_secs(9)));
        strain.ticks_late(now);
        assert!(!strain.strained(now, Some(now)));
    }
}
