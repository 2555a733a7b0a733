//! How late the ticks of a shard's calls end, counted by steps for the metrics; a shard that stays late says so to the
//! door. It keeps no times beyond a second.

use std::time::{Duration, Instant};

use metrics::Counter;

use crate::strain::SharedStrain;

/// Upper bounds of the steps, in microseconds, and their names.
const STEPS: [(u64, &str); 6] =
    [(500, "0.5"), (1_000, "1"), (2_000, "2"), (5_000, "5"), (10_000, "10"), (u64::MAX, "inf")];
/// A tick this late counts as late: half a frame.
const LATE: Duration = Duration::from_millis(10);
/// A tick this late leaves a hole of a frame that the caller's jitter buffer must fill.
const HOLE: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
/// In a bad second more than one tick of so many left a hole.
const ONE_IN: u32 = 100;

/// Counters looked up once: the registry behind them takes a lock and hashes the name.
pub(super) struct Lateness {
    steps: [Counter; STEPS.len()],
    late: Counter,
    seconds: Seconds,
    strain: SharedStrain,
}

impl Lateness {
    pub fn new(strain: SharedStrain) -> Self {
        Self {
            steps: STEPS.map(|(_, name)| metrics::counter!("dauys_ticks_total", "late_ms" => name)),
            late: metrics::counter!("dauys_ticks_late_total"),
            seconds: Seconds::default(),
            strain,
        }
    }

    /// A tick that was due then is done now.
    pub fn note(&mut self, due: Option<Instant>, now: Instant) {
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > LATE {
            self.late.increment(1);
        }
        let step = STEPS.iter().zip(&self.steps).find(|((most_us, _), _)| late.as_micros() <= u128::from(*most_us));
        if let Some((_, counter)) = step {
            counter.increment(1);
        }
        if self.seconds.note(now, late) {
            self.strain.get().ticks_late(now);
        }
    }
}

/// The ticks of a second.
#[derive(Default)]
struct Seconds {
    began: Option<Instant>,
    ticks: u32,
    holes: u32,
    last_was_bad: bool,
}

impl Seconds {
    /// True when a second has ended that was bad, as was the one before: one stall of the machine is not yet too much.
    fn note(&mut self, now: Instant, late: Duration) -> bool {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        let mut lasting = false;
        if age >= SECOND {
            let bad = self.holes * ONE_IN > self.ticks;
            lasting = bad && self.last_was_bad;
            // A shard that was empty meanwhile begins afresh.
            let last_was_bad = bad && age < SECOND * 2;
            *self = Self { began: Some(now), ticks: 0, holes: 0, last_was_bad };
        }
        self.ticks += 1;
        self.holes += u32::from(late > HOLE);
        lasting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of fifty ticks each, of which so many leave a hole; how often it is said that this lasts.
    #[allow(clippy::disallowed_methods)]
    fn check(holes: &[u32], want: usize) {
        let began = Instant::now();
        let mut seconds = Seconds::default();
        let mut said = 0;
        for (second, holes) in (0u32..).zip(holes) {
            for tick in 0..50 {
                let late = Duration::from_millis(if tick < *holes { 25 } else { 3 });
                said += usize::from(seconds.note(began + SECOND * second + Duration::from_millis(20) * tick, late));
            }
        }
        assert_eq!(said, want, "{holes:?}");
    }

    #[test]
    fn one_bad_second_is_forgiven_and_two_are_not() {
        check(&[0, 0, 0, 0], 0);
        check(&[0, 10, 0, 10, 0], 0);
        check(&[1, 1, 0, 0], 1);
        check(&[0, 2, 5, 1, 0, 0], 2);
    }
}
