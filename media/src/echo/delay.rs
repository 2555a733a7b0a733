//! Finds at which delay what is heard follows what was sent, if at any: the changes of the bands of both are
//! correlated over 20 to 850 ms. It never looks at loudness itself: two people who talk at once are both loud.

use super::features::{BANDS, Bands, STEPS};
use crate::wide::{Kernel, Machine, wide};

/// The first and the number of delays looked at, in steps of 10 ms.
pub(super) const FIRST: usize = 2;
pub(super) const LAGS: usize = 84;
/// Steps of sent audio kept: one more, since a frame is two.
const RING: usize = LAGS + 1;

/// Time for half the evidence to be forgotten: 1.4 s, and 0.28 s to follow a moving delay.
const SLOW: f32 = 0.995;
const FAST: f32 = 0.97;
/// The mean of a band follows within a third of a second.
const MEAN: f32 = 1.0 / 32.0;
/// Changes count up to 12 dB.
const CHANGE_MAX: f32 = 127.0;

/// Changes of the bands against their recent mean, without what all bands share.
type Changes = [i8; BANDS];

/// Where the evidence points.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    /// In steps of 10 ms.
    pub(super) lag: usize,
    /// Height above the other delays, in their standard deviations.
    pub(super) height: f32,
    /// Correlation, 0 to 1.
    pub(super) likeness: f32,
    /// Steps of sent voice behind it; at most 200.
    pub(super) steps: f32,
}

struct Mean(Option<[f32; BANDS]>);

impl Mean {
    #[inline(always)]
    fn changes(&mut self, bands: &Bands) -> Changes {
        let means = self.0.get_or_insert_with(|| bands.map(f32::from));
        let mut above = [0.0; BANDS];
        for ((above, mean), band) in above.iter_mut().zip(means).zip(bands) {
            *above = f32::from(*band) - *mean;
            *mean += MEAN * *above;
        }
        let shared = SHARED * above.iter().sum::<f32>() / BANDS as f32;
        above.map(|a| (a - shared).clamp(-CHANGE_MAX, CHANGE_MAX) as i8)
    }
}

/// A step heard against all that were sent.
struct Compare<'a>(&'a mut DelaySearch, usize, &'a Bands);

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Machine) {
        let Compare(search, step, bands) = self;
        let changes = search.heard_mean.changes(bands);
        let own = dot(&changes, &changes);
        search.heard[step] = changes;
        search.heard_power = SLOW * search.heard_power + own;
        let from = search.newest + 1 - step;
        let sums = search.slow.iter_mut().zip(search.fast.iter_mut());
        for (sent, (slow, fast)) in search.sent[from..][..LAGS].iter().zip(sums) {
            let product = dot(sent, &changes);
            *slow = SLOW * *slow + product;
            *fast = FAST * *fast + product;
        }
    }
}

/// How much of what all bands do together is left out.
const SHARED: f32 = 0.5;

pub(super) struct DelaySearch {
    sent_mean: Mean,
    heard_mean: Mean,
    /// Newest first from `newest` on. Everything is there twice, so that a window of the ring is one slice.
    sent: Box<[Changes; 2 * RING]>,
    sent_power: Box<[Power; 2 * RING]>,
    newest: usize,
    slow: Box<[f32; LAGS]>,
    fast: Box<[f32; LAGS]>,
    heard_power: f32,
    /// The newest frame.
    heard: [Changes; STEPS],
}

/// Power of a step sent, and of all up to it, as far as not forgotten: what a delay's evidence is measured against.
#[derive(Clone, Copy, Default)]
struct Power {
    own: f32,
    all: f32,
    /// Steps with a voice in them.
    steps: f32,
}

impl DelaySearch {
    pub(super) fn new() -> Self {
        DelaySearch {
            sent_mean: Mean(None),
            heard_mean: Mean(None),
            sent: Box::new([[0; BANDS]; 2 * RING]),
            sent_power: Box::new([Power::default(); 2 * RING]),
            newest: 0,
            slow: Box::new([0.0; LAGS]),
            fast: Box::new([0.0; LAGS]),
            heard_power: 0.0,
            heard: [[0; BANDS]; STEPS],
        }
    }

    /// A step of what was sent; `None` is silence, which tells nothing.
    pub(super) fn sent(&mut self, bands: Option<&Bands>) {
        let changes = bands.map_or([0; BANDS], |b| self.sent_mean.changes(b));
        let own = dot(&changes, &changes);
        let Power { all, steps, .. } = self.sent_power[self.newest];
        let voice = if own > 0.0 { 1.0 } else { 0.0 };
        let power = Power { own, all: SLOW * all + own, steps: SLOW * steps + voice };
        self.newest = if self.newest == 0 { RING - 1 } else { self.newest - 1 };
        for at in [self.newest, self.newest + RING] {
            self.sent[at] = changes;
            self.sent_power[at] = power;
        }
    }

    /// Step 0 or 1 of what was heard after all that was sent so far.
    pub(super) fn heard(&mut self, step: usize, bands: &Bands) {
        wide(Compare(self, step.min(1), bands));
    }

    /// How the newest frame is like what was sent `lag` before: the product, and the power of each.
    pub(super) fn newest(&self, lag: usize) -> [f32; 3] {
        let mut sums = [0.0; 3];
        for (step, heard) in self.heard.iter().enumerate() {
            let at = self.newest + 1 - step + (lag - FIRST).min(LAGS - 1);
            sums[0] += dot(&self.sent[at], heard);
            sums[1] += self.sent_power[at].own;
            sums[2] += dot(heard, heard);
        }
        sums
    }

    /// Where all evidence points.
    pub(super) fn peak(&self) -> Peak {
        let mut peak = highest(&self.slow, 0..LAGS);
        let at = peak.lag - FIRST;
        // As of the newest step heard, which is the second of its frame.
        let sent = &self.sent_power[self.newest + at];
        peak.likeness = self.slow[at] / (sent.all * self.heard_power).sqrt().max(1.0);
        peak.steps = sent.steps;
        peak
    }

    /// Where the newest evidence points, within 200 ms of `lag`.
    pub(super) fn newest_peak(&self, lag: usize) -> Peak {
        let at = lag.saturating_sub(FIRST);
        highest(&self.fast, at.saturating_sub(20)..(at + 20).min(LAGS))
    }
}

#[inline(always)]
fn dot(a: &Changes, b: &Changes) -> f32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>() as f32
}

fn highest(sums: &[f32; LAGS], within: std::ops::Range<usize>) -> Peak {
    wide(Highest(sums, within))
}

struct Highest<'a>(&'a [f32; LAGS], std::ops::Range<usize>);

impl Kernel for Highest<'_> {
    type Output = Peak;

    #[inline(always)]
    fn run(self, _: impl Machine) -> Peak {
        let Highest(sums, within) = self;
        let mut best = within.start;
        for i in within {
            if sums[i] > sums[best] {
                best = i;
            }
        }
        // The peak and its slopes say nothing about the rest.
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (i, s) in sums.iter().enumerate() {
            if i.abs_diff(best) > 4 {
                n += 1.0;
                sum += s;
                squares += s * s;
            }
        }
        let mean: f32 = sum / n;
        let deviation = (squares / n - mean * mean).max(1.0).sqrt();
        Peak { lag: best + FIRST, height: (sums[best] - mean) / deviation, likeness: 0.0, steps: 0.0 }
    }
}
