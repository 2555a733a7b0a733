//! Counting ticks against the time they stand for. It never asks for a tick; it only notices missing ones.
use std::time::Instant;

use crate::FRAME_MS;

/// A driver that is this many ticks behind is catching up (the wheel allows five); beyond that the ticks
/// will never come, and the time line goes on without them.
const BEHIND_MAX: u64 = 6;

pub(super) struct Cadence {
    start: Instant,
    ticks: u64,
}

/// The number of a tick, from 0, and how many before it never came.
pub(super) struct Tick {
    pub number: u64,
    pub missed: u64,
}

impl Cadence {
    pub fn new(start: Instant) -> Self {
        Cadence { start, ticks: 0 }
    }

    pub fn tick(&mut self, now: Instant) -> Tick {
        let elapsed = now.saturating_duration_since(self.start).as_millis() / u128::from(FRAME_MS);
        let behind = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_sub(self.ticks);
        let missed = if behind > BEHIND_MAX { behind } else { 0 };
        let number = self.ticks.saturating_add(missed);
        self.ticks = number.saturating_add(1);
        Tick { number, missed }
    }
}
