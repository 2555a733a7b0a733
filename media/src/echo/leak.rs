//! How much of what was sent comes back, band by band, and so how much of a frame it explains. It needs the delay to
//! 20 ms only, no phase, and works where a linear filter cannot; it never changes a sample.

use super::features::{BANDS, Bands, DB, STEPS, power, silence};

/// The room's tail falls no faster than by 1.3 dB in 10 ms (60 dB in 0.46 s).
const TAIL: i16 = (1.3 * DB) as i16;
/// What comes back may be this much louder than usual and still be only that.
const MARGIN: i16 = (5.0 * DB) as i16;
/// What the last frame counts in this one: a single syllable's edge is no verdict.
const INERTIA: f32 = 0.5;
/// A step teaches by at most this much.
const SURPRISE_MAX: f32 = 6.0 * DB;
/// Steps until the newest counts least: a third of a second of voice.
const MEMORY: f32 = 32.0;
/// Only what was sent this far above silence teaches.
const LOUD: i16 = (25.0 * DB) as i16;

/// What was sent about the time that is heard now, for each step: the loudest of each band.
pub(super) struct Sent {
    /// Within 10 ms of the delay.
    pub(super) near: [Bands; STEPS],
    /// Anywhere the delay may have gone to unnoticed.
    pub(super) around: [Bands; STEPS],
}

pub(super) struct Leak {
    /// Log power gained on the way (mostly negative).
    gain: [f32; BANDS],
    tail: Bands,
    learnt: f32,
    all: f32,
    explained: f32,
}

impl Leak {
    pub(super) fn new() -> Self {
        Leak { gain: [0.0; BANDS], tail: silence(), learnt: 0.0, all: 0.0, explained: 0.0 }
    }

    /// Whether `share` can be believed: 80 ms of the agent's voice have come back.
    pub(super) fn knows(&self) -> bool {
        self.learnt >= 8.0
    }

    /// The share of a frame's power that is echo (0 to 1). `sent` is what can come back in it, `trust` how far the
    /// frame is believed to be echo even where it is more than expected (0 to 1).
    pub(super) fn share(&mut self, sent: &Sent, heard: &[Bands; STEPS], trust: f32) -> f32 {
        let (mut all, mut explained) = (0.0, 0.0);
        for (sent, heard) in sent.around.iter().zip(heard) {
            for ((sent, tail), (heard, gain)) in sent.iter().zip(&mut self.tail).zip(heard.iter().zip(&self.gain)) {
                *tail = (*tail - TAIL).max(*sent);
                let heard = power(*heard);
                all += heard;
                explained += heard.min(power((*tail + *gain as i16 + MARGIN).max(0)));
            }
        }
        // What was much louder would drown this frame for long.
        let before = INERTIA * (4.0 * all / self.all.max(1.0)).min(1.0);
        self.all = all + before * self.all;
        self.explained = explained + before * self.explained;
        let share = self.explained / self.all.max(1.0);
        let trust = if share >= 0.5 { 1.0 } else { trust };
        for (came, heard) in sent.near.iter().zip(heard) {
            self.learn(came, heard, trust);
        }
        if self.knows() { share } else { 0.0 }
    }

    fn learn(&mut self, came: &Bands, heard: &Bands, trust: f32) {
        let floor = silence()[0] + LOUD;
        if came.iter().filter(|c| **c > floor).count() < BANDS / 4 {
            return;
        }
        self.learnt = (self.learnt + 1.0).min(MEMORY);
        let first = self.learnt <= 1.0;
        for ((gain, came), heard) in self.gain.iter_mut().zip(came).zip(heard) {
            let surprise = f32::from(*heard) - f32::from(*came) - *gain;
            if first {
                *gain += surprise;
            } else if *came > floor {
                let trust = if surprise > 0.0 { trust } else { 1.0 };
                *gain += trust * surprise.clamp(-SURPRISE_MAX, SURPRISE_MAX) / self.learnt;
            }
        }
    }
}
