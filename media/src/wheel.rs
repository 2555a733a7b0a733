//! The 20 ms wheel: twenty slots of 1 ms, each with the legs that are due in it, so that a shard's work is
//! spread over the period. Deadlines count from one epoch and cannot drift; the wheel itself never waits.
use std::time::{Duration, Instant};

use crate::FRAME_MS;

/// Slots in a turn of the wheel, 1 ms each.
pub const SLOTS: usize = FRAME_MS as usize;

/// How far the wheel may lag before it skips turns instead of catching up: a machine that slept must not
/// send a second of audio in one burst.
const CATCH_UP_MS: u64 = 5 * FRAME_MS as u64;

/// Which slot a leg was given; hand it back to [`Wheel::remove`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SlotIndex(u8);

/// Legs by the millisecond they are due in. `K` names a leg (an index, an id).
pub struct Wheel<K> {
    epoch: Instant,
    slots: [Vec<K>; SLOTS],
    /// The next millisecond since the epoch to be served.
    cursor_ms: u64,
    skipped_ms: u64,
}

impl<K: Copy + Eq> Wheel<K> {
    /// A wheel whose millisecond 0 is at `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Wheel { epoch, slots: std::array::from_fn(|_| Vec::new()), cursor_ms: 0, skipped_ms: 0 }
    }

    /// Puts a leg into the least loaded slot.
    pub fn insert(&mut self, leg: K) -> SlotIndex {
        // Stepping by 7, coprime to 20, keeps few legs apart instead of side by side.
        let spread = (0..SLOTS).map(|i| i * 7 % SLOTS);
        let least = spread.min_by_key(|i| self.slots[*i].len()).unwrap_or(0);
        self.slots[least].push(leg);
        SlotIndex(least as u8)
    }

    /// Takes a leg out; false if it was not in that slot.
    pub fn remove(&mut self, slot: SlotIndex, leg: &K) -> bool {
        let legs = &mut self.slots[usize::from(slot.0)];
        let found = legs.iter().position(|l| l == leg);
        found.map(|i| legs.swap_remove(i)).is_some()
    }

    /// When the next occupied slot is due; `None` while no leg is on the wheel.
    pub fn deadline(&self) -> Option<Instant> {
        let next = (self.cursor_ms..self.cursor_ms + SLOTS as u64).find(|ms| !self.legs_at(*ms).is_empty())?;
        Some(self.epoch + Duration::from_millis(next))
    }

    /// The legs of the next slot that is due at `now`; call until `None`. A late caller catches up turn by
    /// turn, up to five turns; what is older is skipped and counted.
    pub fn poll(&mut self, now: Instant) -> Option<&[K]> {
        let elapsed = now.saturating_duration_since(self.epoch).as_millis();
        let now_ms = u64::try_from(elapsed).unwrap_or(u64::MAX - CATCH_UP_MS);
        let behind_ms = now_ms.saturating_sub(self.cursor_ms);
        if behind_ms > CATCH_UP_MS {
            // Whole turns, so that no leg is skipped more often than another.
            let skip_ms = (behind_ms - CATCH_UP_MS).next_multiple_of(SLOTS as u64);
            self.cursor_ms += skip_ms;
            self.skipped_ms += skip_ms;
        }
        while self.cursor_ms <= now_ms {
            let due = self.cursor_ms;
            self.cursor_ms += 1;
            if !self.legs_at(due).is_empty() {
                return Some(self.legs_at(due));
            }
        }
        None
    }

    /// How many legs are on the wheel.
    pub fn len(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// Whether no leg is on the wheel.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Vec::is_empty)
    }

    /// Milliseconds skipped because the caller came too late.
    pub fn skipped_ms(&self) -> u64 {
        self.skipped_ms
    }

    fn legs_at(&self, ms: u64) -> &[K] {
        &self.slots[(ms % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn epoch() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn legs_spread_evenly() {
        let mut wheel = Wheel::new(epoch());
        let slots: Vec<_> = (0..205).map(|leg| wheel.insert(leg)).collect();
        let loads: Vec<_> = wheel.slots.iter().map(Vec::len).collect();
        assert!(loads.iter().all(|l| (10..=11).contains(l)), "{loads:?}");
        assert!(slots[0].0.abs_diff(slots[1].0) >= 5, "two legs sit apart");
        assert!(wheel.remove(slots[17], &17) && !wheel.remove(slots[17], &17));
        assert_eq!(wheel.insert(999), slots[17], "the emptied slot is the least loaded");
        assert_eq!(wheel.len(), 205);
    }

    #[test]
    fn deadlines_never_drift() {
        let t0 = epoch();
        let mut wheel = Wheel::new(t0);
        wheel.insert('a');
        let mut now = t0;
        for turn in 0..50_000u64 {
            let due = wheel.deadline().unwrap();
            assert_eq!(due, t0 + ms(20 * turn));
            // The driver wakes late by a varying bit; the next deadline does not care.
            now = now.max(due + Duration::from_micros(turn * 37 % 900));
            assert_eq!(wheel.poll(now), Some(&['a'][..]));
            assert_eq!(wheel.poll(now), None);
        }
        assert_eq!(wheel.skipped_ms(), 0);
    }

    #[test]
    fn a_late_driver_catches_up_but_not_without_end() {
        let t0 = epoch();
        let mut wheel = Wheel::new(t0);
        for leg in 0..20 {
            wheel.insert(leg);
        }
        let mut turns = |now| std::iter::from_fn(|| wheel.poll(now).map(<[_]>::len)).sum::<usize>();
        assert_eq!(turns(t0 + ms(19)), 20);
        assert_eq!(turns(t0 + ms(79)), 60, "three turns late: all are run");
        let late = turns(t0 + ms(79 + 60_000));
        assert!((80..=101).contains(&late), "a minute late: about five turns, not 3000, but {late}");
        assert!(wheel.skipped_ms() > 59_000);
    }

    #[test]
    fn an_empty_wheel_has_no_deadline() {
        let mut wheel = Wheel::<u8>::new(epoch());
        assert!(wheel.is_empty() && wheel.deadline().is_none() && wheel.poll(epoch()).is_none());
    }
}
