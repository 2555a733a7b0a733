//! How late the ticks of a shard's calls end, counted by steps for the metrics. It keeps no times.

use std::time::{Duration, Instant};

use metrics::Counter;

/// Upper bounds of the steps, in microseconds, and their names.
const STEPS: [(u64, &str); 6] =
    [(500, "0.5"), (1_000, "1"), (2_000, "2"), (5_000, "5"), (10_000, "10"), (u64::MAX, "inf")];
/// A tick this late counts as late: half a frame.
const LATE: Duration = Duration::from_millis(10);

/// Counters looked up once: the registry behind them takes a lock and hashes the name.
pub(super) struct Lateness {
    steps: [Counter; STEPS.len()],
    late: Counter,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            steps: STEPS.map(|(_, name)| metrics::counter!("dauys_ticks_total", "late_ms" => name)),
            late: metrics::counter!("dauys_ticks_late_total"),
        }
    }
}

impl Lateness {
    /// A tick that was due then is done now.
    pub fn note(&self, due: Option<Instant>, now: Instant) {
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > LATE {
            self.late.increment(1);
        }
        let step = STEPS.iter().zip(&self.steps).find(|((most_us, _), _)| late.as_micros() <= u128::from(*most_us));
        if let Some((_, counter)) = step {
            counter.increment(1);
        }
    }
}
