//! What is compared between sent and heard: the logarithmic power of 16 bands, twice a frame. Good enough to know
//! a voice again through a loudspeaker, a room and a codec, and cheap; it never keeps a sample but the last.

use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::FRAME_SAMPLES;

pub(super) const BANDS: usize = 16;
/// Steps of 10 ms in a frame.
pub(super) const STEPS: usize = 2;

/// Power of each band in 1/32 of a doubling (0.094 dB); see [`log2`].
pub(super) type Bands = [i16; BANDS];
pub(super) const DB: f32 = 32.0 / 3.0103;

/// Every fifth sample is looked at.
const STRIDE: usize = 5;
const WINDOW: usize = 32;
/// Added to every power: what G.711's smallest steps make of silence (-72 dBFS).
const FLOOR: f32 = 4_096.0;

pub(super) struct Analyzer {
    fft: Arc<dyn RealToComplex<f32>>,
    input: [f32; WINDOW],
    spectrum: [Complex<f32>; WINDOW / 2 + 1],
    scratch: Vec<Complex<f32>>,
}

impl Analyzer {
    pub(super) fn new() -> Self {
        // One plan for all calls.
        static PLAN: OnceLock<Arc<dyn RealToComplex<f32>>> = OnceLock::new();
        let fft = Arc::clone(PLAN.get_or_init(|| RealFftPlanner::new().plan_fft_forward(WINDOW)));
        let scratch = fft.make_scratch_vec();
        Analyzer { fft, input: [0.0; WINDOW], spectrum: [Complex::ZERO; WINDOW / 2 + 1], scratch }
    }

    /// The two steps of a frame; `last` is the sample before it, and becomes its last.
    ///
    /// The difference of samples five apart is pre-emphasis and a sum of five in one. All above 1.6 kHz folds back
    /// onto the bands, which does no harm: it folds alike on both sides.
    pub(super) fn analyze(&mut self, samples: &[i16; FRAME_SAMPLES], last: &mut i16) -> [Bands; STEPS] {
        let mut steps = [[0; BANDS]; STEPS];
        for (step, half) in steps.iter_mut().zip(samples.chunks_exact(FRAME_SAMPLES / STEPS)) {
            for (input, five) in self.input.iter_mut().zip(half.chunks_exact(STRIDE)) {
                let newest = five[STRIDE - 1];
                *input = f32::from(newest) - f32::from(*last);
                *last = newest;
            }
            // The sizes are right by construction; were they not, the step would say silence.
            let done = self.fft.process_with_scratch(&mut self.input, &mut self.spectrum, &mut self.scratch);
            if done.is_ok() {
                for (band, bin) in step.iter_mut().zip(&self.spectrum[1..]) {
                    *band = log2(bin.norm_sqr() + FLOOR);
                }
            }
        }
        steps
    }
}

/// What the bands of silence measure.
pub(super) fn silence() -> Bands {
    [log2(FLOOR); BANDS]
}

/// Logarithm to base 2 in 1/32, straight between the powers of two: the float's own exponent and mantissa.
fn log2(power: f32) -> i16 {
    ((power.to_bits() as i32 - 0x3F80_0000) >> 18) as i16
}

/// The inverse of [`log2`].
pub(super) fn power(log: i16) -> f32 {
    f32::from_bits(((i32::from(log) << 18) + 0x3F80_0000) as u32)
}
