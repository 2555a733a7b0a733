//! The earshot network with a front end of our own: the same features by a transform that uses what the processor has.
//! Its scores are the crate's to rounding, at half its cost. It never decides.

mod network;

use std::cell::RefCell;
use std::f32::consts::TAU;
use std::sync::Arc;

use media::Frame;
use media::wide::{Kernel, Machine, wide};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use self::network::{BANDS, CONTEXT, Network};
use crate::traits::Vad;

/// New samples of a step: 16 ms.
pub(super) const STEP: usize = 256;
/// What a step looks at: the last 48 ms.
const WINDOW: usize = 3 * STEP;
/// Steps kept: those of a window, and one for the sample before it, which the next step overwrites.
const STEPS: usize = 4;
const TRANSFORM: usize = 1024;
/// The transform of real samples is one of half as many pairs.
const PAIRS: usize = TRANSFORM / 2;
const PRE_EMPHASIS: f32 = 0.97;
/// Powers are relative to full scale.
const POWER: f32 = 1.0 / (32_768.0 * 32_768.0);

/// Where a band begins, in bins of the transform; it is loudest where the next one begins and ends where the one
/// after that does: triangles on the mel scale, as the network was trained with.
#[rustfmt::skip]
const EDGES: [usize; BANDS + 2] = [
    4, 7, 10, 13, 17, 21, 25, 29, 33, 38, 43, 48, 54, 60, 66, 73, 80, 87, 95, 103, 112, 122, 132, 142, 153, 165, 178,
    191, 205, 220, 236, 253, 270, 289, 309, 330, 353, 376, 402, 428, 456, 486,
];

/// What all lines of a thread share: tables, and room that is free between steps.
struct Workshop {
    transform: Arc<dyn Fft<f32>>,
    hann: [f32; WINDOW],
    /// Each bin's share in the band that rises there; the rest is in the one that falls.
    rising: [f32; PAIRS],
    /// The bins' turns around the circle from the first on, up to a quarter of it: sines and cosines.
    turns: [[f32; PAIRS / 2]; 2],
    window: [f32; WINDOW],
    pairs: [Complex<f32>; PAIRS],
    spectrum: [Complex<f32>; PAIRS],
    scratch: Vec<Complex<f32>>,
    /// The spectrum's lower half and its mirrored upper half, real and imaginary parts.
    halves: [[f32; PAIRS / 2]; 4],
    powers: [f32; PAIRS],
}

impl Workshop {
    fn new() -> Self {
        let transform = FftPlanner::<f32>::new().plan_fft_forward(PAIRS);
        let mut rising = [0.0; PAIRS];
        for edge in EDGES.windows(2) {
            let (from, to) = (edge[0], edge[1]);
            (from..to).for_each(|bin| rising[bin] = (bin - from) as f32 / (to - from) as f32);
        }
        let turn = |n: usize| TAU * (n + 1) as f32 / TRANSFORM as f32;
        Self {
            hann: std::array::from_fn(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()),
            rising,
            turns: [std::array::from_fn(|n| turn(n).sin()), std::array::from_fn(|n| turn(n).cos())],
            window: [0.0; WINDOW],
            pairs: [Complex::default(); PAIRS],
            spectrum: [Complex::default(); PAIRS],
            scratch: vec![Complex::default(); transform.get_outofplace_scratch_len()],
            halves: [[0.0; PAIRS / 2]; 4],
            powers: [0.0; PAIRS],
            transform,
        }
    }

    /// The power in every bin of the transform of the window, but for the first.
    #[inline(always)]
    fn powers(&mut self) {
        let (filled, zero) = self.pairs.split_at_mut(WINDOW / 2);
        for (pair, sample) in filled.iter_mut().zip(self.window.as_chunks::<2>().0) {
            *pair = Complex::new(sample[0], sample[1]);
        }
        zero.fill(Complex::default());
        self.transform.process_outofplace_with_scratch(&mut self.pairs, &mut self.spectrum, &mut self.scratch);
        // Bin k and its mirror image: with z and y what the pairs' transform has there, and w the turn of -k, they hold
        // e + w o and the conjugate of e - w o, where 2 e = z + y* and 2 i o = z - y*. This is the square of that.
        let (low, high) = self.spectrum.split_at(PAIRS / 2);
        let [z_re, z_im, y_re, y_im] = &mut self.halves;
        for (n, (z, y)) in low.iter().zip(high).enumerate() {
            (z_re[n], z_im[n]) = (z.re, z.im);
            (y_re[n], y_im[n]) = (y.re, y.im);
        }
        // The mirror image of bin 1 is the last.
        y_re.reverse();
        y_im.reverse();
        let (low_out, high_out) = self.powers.split_at_mut(PAIRS / 2);
        // The middle one is its own mirror image.
        high_out[0] = high[0].norm_sqr();
        let (low_out, high_out) = (&mut low_out[1..], &mut high_out[1..]);
        let (z_re, z_im, [sin, cos]) = (&z_re[1..], &z_im[1..], &self.turns);
        for n in 0..PAIRS / 2 - 1 {
            let (here, there) = (z_re[n] * z_re[n] + z_im[n] * z_im[n], y_re[n] * y_re[n] + y_im[n] * y_im[n]);
            let both = 0.5 * (here + there);
            let apart = cos[n] * (z_re[n] * y_im[n] + z_im[n] * y_re[n]) - 0.5 * sin[n] * (here - there);
            low_out[n] = both + apart;
            high_out[n] = both - apart;
        }
        high_out.reverse();
    }

    /// Band levels of the window, as the logarithm of their power.
    #[inline(always)]
    fn bands(&mut self, bands: &mut [f32; BANDS]) {
        self.powers();
        let mut falls = 0.0;
        for (n, edge) in EDGES.windows(2).enumerate() {
            let (up, all) = sums(&self.powers[edge[0]..edge[1]], &self.rising[edge[0]..edge[1]]);
            // This stretch is the falling side of the band before.
            if let Some(before) = n.checked_sub(1).and_then(|n| bands.get_mut(n)) {
                *before = ((falls + all - up) * POWER + 1e-20).ln();
            }
            falls = up;
        }
    }
}

/// The powers that rise, and all, of a stretch: in lanes, for a sum waits for the one before it.
#[inline(always)]
fn sums(powers: &[f32], rising: &[f32]) -> (f32, f32) {
    let (mut up, mut all) = ([0.0; 4], [0.0; 4]);
    let (four, rest) = powers.as_chunks::<4>();
    let (four_rising, rest_rising) = rising.as_chunks::<4>();
    for (powers, rising) in four.iter().zip(four_rising) {
        for n in 0..4 {
            up[n] += powers[n] * rising[n];
            all[n] += powers[n];
        }
    }
    for (n, (power, rising)) in rest.iter().zip(rest_rising).enumerate() {
        up[n] += power * rising;
        all[n] += power;
    }
    (up.iter().sum(), all.iter().sum())
}

thread_local! {
    static SHOP: RefCell<Workshop> = RefCell::new(Workshop::new());
}

/// One line's state.
pub(super) struct Earshot {
    network: Network,
    /// The latest steps, in a ring.
    steps: [[i16; STEP]; STEPS],
    /// The step that is being filled, and how far.
    newest: usize,
    filled: usize,
    features: [[f32; BANDS]; CONTEXT],
    last: f32,
}

impl Default for Earshot {
    fn default() -> Self {
        Self {
            network: Network::new(),
            steps: [[0; STEP]; STEPS],
            newest: 0,
            filled: 0,
            features: [[0.0; BANDS]; CONTEXT],
            last: 0.0,
        }
    }
}

impl Earshot {
    /// Takes samples until a step is full; gives what is left of them, and the probability of speech if one is.
    fn take<'a>(&mut self, shop: &mut Workshop, samples: &'a [i16]) -> (&'a [i16], Option<f32>) {
        let room = &mut self.steps[self.newest][self.filled..];
        let (now, later) = samples.split_at(room.len().min(samples.len()));
        room[..now.len()].copy_from_slice(now);
        self.filled += now.len();
        if self.filled < STEP {
            return (later, None);
        }
        (self.newest, self.filled) = ((self.newest + 1) % STEPS, 0);
        (later, Some(wide(Step(self, shop))))
    }
}

/// A step that is full.
struct Step<'a>(&'a mut Earshot, &'a mut Workshop);

impl Kernel for Step<'_> {
    type Output = f32;

    /// Probability of speech after 16 ms more.
    #[inline(always)]
    fn run(self, machine: impl Machine) -> f32 {
        let Step(line, shop) = self;
        let mut before = f32::from(line.steps[line.newest][STEP - 1]);
        let places = shop.window.as_chunks_mut::<STEP>().0.iter_mut().zip(shop.hann.as_chunks::<STEP>().0);
        for (n, (out, hann)) in places.enumerate() {
            let step = &line.steps[(line.newest + 1 + n) % STEPS];
            out[0] = (f32::from(step[0]) - PRE_EMPHASIS * before) * hann[0];
            for n in 1..STEP {
                out[n] = (f32::from(step[n]) - PRE_EMPHASIS * f32::from(step[n - 1])) * hann[n];
            }
            before = f32::from(step[STEP - 1]);
        }
        line.features.copy_within(1.., 0);
        let [.., newest] = &mut line.features;
        shop.bands(newest);
        Network::normalize(newest);
        line.network.predict(machine, &line.features)
    }
}

impl Vad for Earshot {
    fn push(&mut self, frame: &Frame) -> f32 {
        let mut highest: Option<f32> = None;
        SHOP.with_borrow_mut(|shop| {
            let mut rest = frame.samples().as_slice();
            while !rest.is_empty() {
                let (later, speech) = self.take(shop, rest);
                highest = [highest, speech].into_iter().flatten().reduce(f32::max);
                rest = later;
            }
        });
        self.last = highest.unwrap_or(self.last);
        self.last
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vad::gate::Gate;
    use ::earshot::DefaultPredictor;
    use media::{FramePool, MediaTime};

    /// A recording of a caller as a line brings it: between two silences, with the line's own noise.
    fn line(name: &str, noise_peak: i32) -> Vec<i16> {
        let path = format!("{}/../tests/data/callers/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let mut wav = hound::WavReader::open(path).unwrap();
        let spoken: Vec<i16> = wav.samples::<i16>().flat_map(|s| [s.unwrap(); 2]).collect();
        let silence = std::iter::repeat_n(0, 48_000);
        let mut dice = 1u32;
        let noisy = |sample: i16| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sample.saturating_add(((dice >> 16) as i32 % (2 * noise_peak + 1) - noise_peak) as i16)
        };
        silence.clone().chain(spoken).chain(silence).map(noisy).collect()
    }

    fn scores(vad: &mut impl Vad, audio: &[i16]) -> Vec<f32> {
        let mut pool = FramePool::new(6);
        let frames = audio.as_chunks::<320>().0.iter();
        let write = |samples: &[i16; 320]| {
            let frame = pool.fill(MediaTime::ZERO, |out| -> Result<(), ()> {
                *out = *samples;
                Ok(())
            });
            vad.push(&frame.unwrap())
        };
        frames.map(write).collect()
    }

    const NAMES: [&str; 6] = [
        "hours_sat.am_michael",
        "book_full.bf_emma",
        "pause_um.am_michael",
        "uh_huh.af_bella",
        "okay.am_fenrir",
        "phone.af_bella",
    ];

    #[test]
    fn scores_are_those_of_the_crate() {
        let mut theirs = ::earshot::Detector::<DefaultPredictor>::default();
        let mut ours = Earshot::default();
        for (name, noise) in NAMES.iter().zip([0, 10, 45, 100, 300, 1_000]) {
            for window in line(name, noise).as_chunks::<STEP>().0 {
                let wanted = theirs.predict_i16(window);
                let got = SHOP.with_borrow_mut(|shop| ours.take(shop, window)).1.unwrap();
                assert!((wanted - got).abs() < 0.01, "{name}: {got}, not {wanted}");
            }
        }
    }

    /// Frames at the edge of speech, whose score is a hair from the threshold, may fall on the other side.
    #[test]
    fn the_gate_changes_next_to_no_verdict() {
        let (mut differ, mut frames) = (0, 0);
        for name in NAMES {
            for noise in [0, 10, 45, 100, 300] {
                let audio = line(name, noise);
                let wanted = scores(&mut Earshot::default(), &audio);
                let got = scores(&mut Gate::new(Earshot::default()), &audio);
                let verdicts = wanted.iter().zip(&got).filter(|(w, g)| (**w >= 0.5) != (**g >= 0.5));
                for (wanted, got) in verdicts {
                    assert!((wanted - got).abs() < 0.2, "{name} in noise of {noise}: {got}, not {wanted}");
                    differ += 1;
                }
                frames += wanted.len();
            }
        }
        assert!(differ * 500 < frames, "{differ} of {frames}");
    }

    /// Says how often it was asked, and never hears speech.
    struct Counter(usize);

    impl Vad for Counter {
        fn push(&mut self, _: &Frame) -> f32 {
            self.0 += 1;
            0.1
        }

        fn reset(&mut self) {}
    }

    #[test]
    fn a_quiet_line_costs_nothing_and_a_loud_one_is_heard() {
        let check = |noise_peaks: &[i32], asked: std::ops::RangeInclusive<usize>| {
            let mut gate = Gate::new(Counter(0));
            let audio = noise_peaks.iter().flat_map(|peak| line("okay.am_fenrir", *peak).into_iter().take(32_000));
            scores(&mut gate, &audio.collect::<Vec<_>>());
            let got = gate.detector().0;
            assert!(asked.contains(&got), "{noise_peaks:?}: asked {got} times");
        };
        check(&[0, 0], 15..=20);
        check(&[45, 45], 15..=25);
        // Louder by 14 dB: background at last, but not at once.
        check(&[20, 100], 115..=215);
        check(&[3_000, 3_000], 200..=200);
    }
}
