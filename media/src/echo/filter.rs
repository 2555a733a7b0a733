//! The canceller: an adaptive filter of 140 ms behind a bulk delay, in blocks of a frame in the frequency domain,
//! with a Kalman step per bin (G. Enzner, P. Vary, "Frequency-domain adaptive Kalman filter for acoustic echo
//! control", 2006): talk of the caller raises its doubt, not its error. It never decides whether there is an echo.

use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::FRAME_SAMPLES;

const BLOCK: usize = FRAME_SAMPLES;
const WINDOW: usize = 2 * BLOCK;
const BINS: usize = BLOCK + 1;
/// Blocks the filter is long: 140 ms.
const PARTS: usize = 7;
/// The latest bulk delay plus the filter and a block, in whole blocks: 1.04 s.
const FAR: usize = 52 * BLOCK;
/// How sure the filter stays of itself from one block to the next.
const KEEPS: f32 = 0.998;
/// Doubt about each part at the start, as power gain.
const DOUBT: f32 = 0.1;
/// Parts whose wrap-around is taken out in a block, by turns.
const TIDIED: usize = 2;
const FULL_SCALE: f32 = 32_768.0;

/// Least and most delay of the filter's first tap, in samples.
pub(super) const OFFSET_MIN: usize = BLOCK;
pub(super) const OFFSET_MAX: usize = FAR - (PARTS + 1) * BLOCK;

struct Plans {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// What a block's cancelling did, in mean squares of full-scale 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cancelled {
    pub(super) before: f32,
    pub(super) after: f32,
    /// The echo the filter expected, and how much of it was there: 1 for all, also under talk; 0 for none.
    pub(super) expected: f32,
    pub(super) found: f32,
}

pub(super) struct Canceller {
    plans: &'static Plans,
    /// What was sent, a ring; `next` is where the oldest sample is.
    far: Box<[i16; FAR]>,
    next: usize,
    /// Blocks sent since the last one heard.
    unread: usize,
    offset: usize,
    /// Part after part, newest first; `first` is the newest.
    spectra: Vec<[Complex<f32>; BINS]>,
    first: usize,
    weights: Vec<[Complex<f32>; BINS]>,
    doubt: Vec<[f32; BINS]>,
    /// Power of what the filter does not explain.
    noise: Box<[f32; BINS]>,
    tidy: usize,
    time: Vec<f32>,
    bins: Vec<Complex<f32>>,
    error: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    found: f32,
    /// Products of the last blocks, for `found`.
    both: f32,
    own: f32,
}

impl Canceller {
    pub(super) fn new(offset: usize) -> Self {
        static PLANS: OnceLock<Plans> = OnceLock::new();
        let plans = PLANS.get_or_init(|| {
            let mut planner = RealFftPlanner::new();
            Plans { forward: planner.plan_fft_forward(WINDOW), inverse: planner.plan_fft_inverse(WINDOW) }
        });
        let scratch = plans.forward.get_scratch_len().max(plans.inverse.get_scratch_len());
        Canceller {
            plans,
            far: Box::new([0; FAR]),
            next: 0,
            unread: 0,
            offset: offset.clamp(OFFSET_MIN, OFFSET_MAX),
            spectra: vec![[Complex::ZERO; BINS]; PARTS],
            first: 0,
            weights: vec![[Complex::ZERO; BINS]; PARTS],
            doubt: vec![[DOUBT; BINS]; PARTS],
            noise: Box::new([0.0; BINS]),
            tidy: 0,
            time: vec![0.0; WINDOW],
            bins: vec![Complex::ZERO; BINS],
            error: vec![Complex::ZERO; BINS],
            scratch: vec![Complex::ZERO; scratch],
            found: 0.0,
            both: 0.0,
            own: 0.0,
        }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Forgets the path, for one that begins `offset` samples late.
    pub(super) fn restart(&mut self, offset: usize) {
        self.offset = offset.clamp(OFFSET_MIN, OFFSET_MAX);
        self.weights.fill([Complex::ZERO; BINS]);
        self.doubt.fill([DOUBT; BINS]);
        (self.found, self.both, self.own) = (0.0, 0.0, 0.0);
        // The spectra belong to the old offset.
        self.unread = 2;
    }

    pub(super) fn sent(&mut self, samples: Option<&[i16; BLOCK]>) {
        let block = &mut self.far[self.next..][..BLOCK];
        match samples {
            Some(samples) => block.copy_from_slice(samples),
            None => block.fill(0),
        }
        self.next = (self.next + BLOCK) % FAR;
        self.unread += 1;
    }

    /// Takes the echo out of what was heard after all that was sent, and learns from it.
    pub(super) fn cancel(&mut self, heard: &[i16; BLOCK], out: &mut [i16; BLOCK]) -> Cancelled {
        self.advance();
        self.expect();
        let mut done = Cancelled::default();
        let (mut both, mut own) = (0.0, 0.0);
        for ((expected, heard), out) in self.time[BLOCK..].iter_mut().zip(heard).zip(out.iter_mut()) {
            let heard = f32::from(*heard) / FULL_SCALE;
            let rest = heard - *expected;
            both += heard * *expected;
            own += *expected * *expected;
            done.before += heard * heard;
            done.after += rest * rest;
            *out = (rest * FULL_SCALE) as i16;
            *expected = rest;
        }
        done.before /= BLOCK as f32;
        done.after /= BLOCK as f32;
        done.expected = own / BLOCK as f32;
        self.both = 0.6 * self.both + both;
        self.own = 0.6 * self.own + own;
        self.found = if self.own > 0.0 { self.both / self.own } else { 0.0 };
        done.found = self.found;
        self.time[..BLOCK].fill(0.0);
        // Sizes are right by construction; otherwise nothing is learnt.
        if self.plans.forward.process_with_scratch(&mut self.time, &mut self.error, &mut self.scratch).is_ok() {
            self.learn();
            self.tidy();
        }
        if done.after > done.before {
            // Worse than nothing.
            out.copy_from_slice(heard);
            done.after = done.before;
        }
        done
    }

    /// Brings the spectra to the newest block; all of them after a gap or a new offset.
    fn advance(&mut self) {
        let missing = if self.unread == 1 { 1 } else { PARTS };
        self.unread = 0;
        for age in (0..missing).rev() {
            self.first = (self.first + PARTS - 1) % PARTS;
            let end = self.next + 2 * FAR - self.offset + BLOCK - age * BLOCK;
            let from = (end - WINDOW) % FAR;
            let (wrapped, straight) = self.far.split_at(from);
            for (time, far) in self.time.iter_mut().zip(straight.iter().chain(wrapped)) {
                *time = f32::from(*far) / FULL_SCALE;
            }
            let spectrum = &mut self.spectra[self.first];
            if self.plans.forward.process_with_scratch(&mut self.time, spectrum, &mut self.scratch).is_err() {
                spectrum.fill(Complex::ZERO);
            }
        }
    }

    /// The expected echo, in the second half of `time`.
    fn expect(&mut self) {
        self.bins.fill(Complex::ZERO);
        for (part, weights) in self.weights.iter().enumerate() {
            let spectrum = &self.spectra[(self.first + part) % PARTS];
            for ((bin, weight), far) in self.bins.iter_mut().zip(weights).zip(spectrum) {
                *bin += weight * far;
            }
        }
        self.transform_back();
    }

    /// `bins` into `time`, scaled.
    fn transform_back(&mut self) {
        // Rounding leaves imaginary parts where a real signal has none.
        self.bins[0].im = 0.0;
        self.bins[BINS - 1].im = 0.0;
        if self.plans.inverse.process_with_scratch(&mut self.bins, &mut self.time, &mut self.scratch).is_err() {
            self.time.fill(0.0);
        }
        self.time.iter_mut().for_each(|t| *t /= WINDOW as f32);
    }

    fn learn(&mut self) {
        // What is left is the caller, noise, and echo not learnt yet: the louder, the smaller the step.
        for (noise, error) in self.noise.iter_mut().zip(&self.error) {
            *noise = 0.5 * *noise + 0.5 * error.norm_sqr();
        }
        let total = &mut self.bins;
        for (total, noise) in total.iter_mut().zip(self.noise.iter()) {
            total.re = 2.0 * noise / PARTS as f32 + 1e-6;
        }
        for (part, doubt) in self.doubt.iter().enumerate() {
            let spectrum = &self.spectra[(self.first + part) % PARTS];
            for ((total, doubt), far) in total.iter_mut().zip(doubt).zip(spectrum) {
                total.re += doubt * far.norm_sqr();
            }
        }
        total.iter_mut().for_each(|t| t.re = 1.0 / t.re);
        for (part, (weights, doubt)) in self.weights.iter_mut().zip(&mut self.doubt).enumerate() {
            let spectrum = &self.spectra[(self.first + part) % PARTS];
            let known = total.iter().zip(&self.error).zip(spectrum);
            for ((weight, doubt), ((total, error), far)) in weights.iter_mut().zip(doubt).zip(known) {
                let step = *doubt * total.re;
                *weight += far.conj() * error * step;
                *doubt = KEEPS * KEEPS * (1.0 - 0.5 * step * far.norm_sqr()) * *doubt
                    + (1.0 - KEEPS * KEEPS) * weight.norm_sqr();
            }
        }
    }

    /// A part is as long as a block; what the circular step put beyond goes.
    fn tidy(&mut self) {
        for _ in 0..TIDIED {
            self.tidy = (self.tidy + 1) % PARTS;
            self.bins.copy_from_slice(&self.weights[self.tidy]);
            self.transform_back();
            self.time[BLOCK..].fill(0.0);
            let weights = &mut self.weights[self.tidy];
            if self.plans.forward.process_with_scratch(&mut self.time, weights, &mut self.scratch).is_err() {
                weights.fill(Complex::ZERO);
            }
        }
    }
}
