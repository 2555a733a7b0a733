//! Which stretches of a call's sound may be kept: times only, no sound. It decides nothing; what is told
//! is told once and in order.

use std::collections::VecDeque;

use super::pause::Verdict;
use crate::Time;

const DROPPED_MAX: usize = 256;

/// Sound from one time to another, and whether it may be kept: Keep or Drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub from: Time,
    pub to: Time,
    pub verdict: Verdict,
}

pub(super) struct Sound {
    /// In order and apart.
    dropped: VecDeque<(Time, Time)>,
    /// Before this all is told.
    pub told: Time,
}

impl Sound {
    pub fn new(now: Time) -> Self {
        Self { dropped: VecDeque::new(), told: now }
    }

    /// Nothing of this may be kept. With too many such stretches the two oldest become one.
    pub fn drop_stretch(&mut self, from: Time, to: Time) {
        if to <= from {
            return;
        }
        let at = self.dropped.partition_point(|(start, _)| *start <= from);
        self.dropped.insert(at, (from, to));
        let mut i = at.saturating_sub(1);
        while let (Some(one), Some(next)) = (self.dropped.get(i).copied(), self.dropped.get(i + 1).copied()) {
            if next.0 <= one.1 {
                self.dropped[i].1 = one.1.max(next.1);
                self.dropped.remove(i + 1);
            } else if i > at {
                break;
            } else {
                i += 1;
            }
        }
        if self.dropped.len() > DROPPED_MAX
            && let Some(first) = self.dropped.pop_front()
            && let Some(second) = self.dropped.front_mut()
        {
            second.0 = first.0;
        }
    }

    /// What comes next, of all that is decided before `until`.
    pub fn next(&mut self, until: Time) -> Option<Stretch> {
        if self.told >= until {
            return None;
        }
        while self.dropped.front().is_some_and(|(_, to)| *to <= self.told) {
            self.dropped.pop_front();
        }
        let from = self.told;
        let (to, verdict) = match self.dropped.front() {
            Some((start, end)) if *start <= from => (until.min(*end), Verdict::Drop),
            Some((start, _)) => (until.min(*start), Verdict::Keep),
            None => (until, Verdict::Keep),
        };
        self.told = to;
        Some(Stretch { from, to, verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_told_as_such_however_it_came() {
        let mut sound = Sound::new(Time(0));
        for (from, to) in [(50, 60), (10, 20), (15, 30), (58, 70), (30, 31), (5, 5)] {
            sound.drop_stretch(Time(from), Time(to));
        }
        let mut told = Vec::new();
        while let Some(stretch) = sound.next(Time(65)) {
            told.push((stretch.from.0, stretch.to.0, stretch.verdict == Verdict::Keep));
        }
        assert_eq!(told, [(0, 10, true), (10, 31, false), (31, 50, true), (50, 65, false)]);
        assert_eq!(sound.next(Time(80)).map(|s| (s.to, s.verdict)), Some((Time(70), Verdict::Drop)));
    }

    #[test]
    fn too_many_stretches_cost_sound_and_never_keep_more() {
        let mut sound = Sound::new(Time(0));
        for i in 0..1000 {
            sound.drop_stretch(Time(i * 10), Time(i * 10 + 1));
        }
        assert_eq!(sound.dropped.len(), DROPPED_MAX);
        let mut kept = 0;
        while let Some(stretch) = sound.next(Time(10_000)) {
            let clean = stretch.from.0 % 10 != 0 && stretch.to.0 - stretch.from.0 <= 9;
            assert!(stretch.verdict == Verdict::Drop || clean, "{stretch:?}");
            kept += i32::from(stretch.verdict == Verdict::Keep);
        }
        assert!(kept > 200);
    }
}
