//! Spares a detector the silence: while a line is no louder than its own background, and the detector has long said so,
//! nothing is asked of it. Quiet is judged by level alone, and never made of a frame that might be speech.

use media::{Frame, level};

use crate::traits::Vad;

/// Below -66 dBFS nobody speaks: an idle line measures less, whatever its noise before.
const SILENT: f32 = 270.0;
/// The gate closes no more than 5 dB above the background.
const MARGIN: f32 = 3.2;
/// Above -40 dBFS there is no background, only somebody far from the microphone.
const BACKGROUND_MAX: f32 = 107_374.0;
/// The background is the quietest of late; it may rise by a decibel in a second.
const RISE: f32 = 1.0046;
/// Scores that say "no speech" ...
const SURE: f32 = 0.3;
/// ... for this many frames in a row close the gate.
const FRAMES_TO_CLOSE: u32 = 15;
/// Frames before the first loud one that the detector then hears too. Four frames are five of earshot's windows: left
/// out by fours, the windows lie in the audio as they would without a gate, and edges of speech do not move.
const BEFORE: usize = 4;

pub(super) struct Gate<V> {
    detector: V,
    /// Mean square of the background.
    background: f32,
    /// Frames in a row without speech.
    sure: u32,
    score: f32,
    /// What the detector has not heard since the last four.
    unheard: [Option<Frame>; BEFORE],
}

impl<V: Vad> Gate<V> {
    pub fn new(detector: V) -> Self {
        Self { detector, background: BACKGROUND_MAX, sure: 0, score: 0.0, unheard: [const { None }; BEFORE] }
    }

    #[cfg(test)]
    pub fn detector(&self) -> &V {
        &self.detector
    }

    fn is_quiet(&mut self, frame: &Frame) -> bool {
        let level = level::mean_square(frame.samples());
        self.background = level.min(self.background * RISE).clamp(SILENT / MARGIN, BACKGROUND_MAX);
        level < self.background * MARGIN
    }

    /// Keeps a frame in case the next one is loud; the fifth lets the four before it go.
    fn hold(&mut self, frame: &Frame) {
        let vacant = self.unheard.iter().position(Option::is_none);
        if vacant.is_none() {
            self.unheard = [const { None }; BEFORE];
        }
        if let Some(slot) = self.unheard.get_mut(vacant.unwrap_or(0)) {
            *slot = Some(frame.clone());
        }
    }
}

impl<V: Vad> Vad for Gate<V> {
    fn push(&mut self, frame: &Frame) -> f32 {
        if self.is_quiet(frame) && self.sure >= FRAMES_TO_CLOSE {
            self.hold(frame);
            return self.score;
        }
        for unheard in self.unheard.iter_mut().filter_map(Option::take) {
            self.detector.push(&unheard);
        }
        self.score = self.detector.push(frame);
        self.sure = if self.score < SURE { self.sure.saturating_add(1) } else { 0 };
        self.score
    }

    fn reset(&mut self) {
        self.detector.reset();
        (self.sure, self.score) = (0, 0.0);
        self.unheard = [const { None }; BEFORE];
    }
}
