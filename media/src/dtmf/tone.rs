//! Keys as tones in the audio (ITU-T Q.23), told by level, twist, frequency, length and pause as ITU-T Q.24
//! asks of receivers. It never changes the audio, and silence costs it one sum of squares.
//!
//! Every 10 ms a Hann window of 20 ms is correlated with the eight frequencies. Such windows, half
//! overlapping, sum to a constant: the amplitudes seen in them, relative to the full one and added up, are the
//! length of the tone in units of 10 ms, wherever it begins, and what they lack is the length of a gap. The
//! phase gained from one window to the next is the tone's frequency, far finer than the window resolves.
use super::Digit;
use crate::FRAME_SAMPLES;
use crate::wide::{Kernel, Machine, wide};

/// Samples of a hop at 8 kHz, half a window: 10 ms.
const HOP: usize = 80;
/// Seconds of a hop.
const HOP_S: f32 = 0.01;
/// The rate after every two samples have been averaged, which dampens 1633 Hz by 0.4 dB.
const RATE: f64 = 8_000.0;
/// ITU-T Q.23: the rows' frequencies, then the columns'.
const TONES: usize = 8;
const HZ: [f64; TONES] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// The keys, row by row.
const KEYS: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Windows quieter than this mean square (-53 dBFS) hold no tone.
const QUIET: f32 = 50_000.0;
/// The weaker of the two tones has at least this amplitude: -32 dBm0, where 0 dBm0 is a sine of 22 302
/// (G.711, 3.17 dB below mu-law's overload). Q.24, table 1: down to -25 dBm in North America, -24 in Japan,
/// -27 in Australia.
const AMPLITUDE_MIN: f32 = 560.0;
/// A column may be stronger by 8 dB, a row by 12 dB (Q.24, table 1: 4 and 8 in North America), as power ratios.
const TWIST_COLUMN_MAX: f32 = 6.3;
const TWIST_ROW_MAX: f32 = 16.0;
/// Q.24, table 1: frequencies off by 1.5 % are keys, those off by 3.5 % are not.
const OFF_MAX: f32 = 0.024;
/// The share of a window's energy that the two tones must have. Speech has harmonics beside them; noise
/// 15 dB below them has 3 %.
const PURE: f32 = 0.9;
/// A tone this long is a key, in hops: between the 23 ms that must be refused and the 40 that must not.
const LENGTH: f32 = 3.0;
/// A gap this long ends it, in hops: between the 10 ms that must not and the 40 that must. A lost packet
/// filled with silence is 20.
const GAP: f32 = 2.6;

/// What a frame said.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Tone {
    /// A key that was pressed, said once, 40 to 60 ms after it began.
    pub pressed: Option<Digit>,
    /// A key is down, or seems to be: its tone is in this frame, which is no speech.
    pub down: bool,
}

/// Listens to one call.
#[derive(Clone)]
pub struct ToneDetector {
    /// The hop before, at 8 kHz.
    past: [f32; HOP],
    /// Its energy.
    past_energy: f32,
    /// The two windows before, the latest first; `None` where they were quiet.
    spectra: [Option<Spectrum>; 2],
    run: Option<Run>,
}

/// A window's correlation with the eight tones.
#[derive(Copy, Clone)]
struct Spectrum {
    /// Real and imaginary parts, the phase taken at the window's middle.
    re: [f32; TONES],
    im: [f32; TONES],
    /// Energy of the whole window.
    energy: f32,
}

/// Windows with the same two tones.
#[derive(Copy, Clone)]
struct Run {
    row: usize,
    column: usize,
    /// The full power of its row and its column.
    full: [f32; 2],
    /// In hops: how long it lasted, how long it has been missing.
    length: f32,
    missing: f32,
    /// The last window was not pure. One is an edge, two are speech.
    impure: bool,
    /// Windows that passed every test.
    passed: u8,
    said: bool,
}

impl Default for ToneDetector {
    fn default() -> Self {
        ToneDetector { past: [0.0; HOP], past_energy: 0.0, spectra: [None; 2], run: None }
    }
}

impl ToneDetector {
    /// Listens to the next 20 ms at 16 kHz.
    pub fn frame(&mut self, samples: &[i16; FRAME_SAMPLES]) -> Tone {
        let mut tone = Tone::default();
        for half in samples.as_chunks::<{ 2 * HOP }>().0 {
            tone.pressed = self.hop(half).or(tone.pressed);
            tone.down |= self.run.is_some_and(|run| run.said || run.passed > 1);
        }
        tone
    }

    /// Forgets what it heard: another source speaks now.
    pub fn reset(&mut self) {
        *self = ToneDetector::default();
    }

    fn hop(&mut self, samples: &[i16; 2 * HOP]) -> Option<Digit> {
        let mut now = [0.0; HOP];
        for (sample, pair) in now.iter_mut().zip(samples.as_chunks::<2>().0) {
            *sample = 0.5 * (f32::from(pair[0]) + f32::from(pair[1]));
        }
        let energy = energy(&now);
        let quiet = energy + self.past_energy < QUIET * 2.0 * HOP as f32;
        let spectrum = if quiet { None } else { Some(wide(Window(&self.past, &now))) };
        (self.past, self.past_energy) = (now, energy);
        let pressed = self.follow(spectrum.as_ref());
        self.spectra = [spectrum, self.spectra[0]];
        pressed
    }

    fn follow(&mut self, spectrum: Option<&Spectrum>) -> Option<Digit> {
        let found = spectrum.zip(self.spectra[0].as_ref()).and_then(|(now, before)| now.key(before));
        match (&mut self.run, found) {
            (Some(run), found) if found.is_none_or(|found| found == (run.row, run.column)) => {
                if !run.goes_on(spectrum, found.is_some()) {
                    self.run = None;
                }
            }
            (_, Some((row, column))) => self.run = spectrum.map(|now| Run::new(row, column, now, &self.spectra)),
            (_, None) => {}
        }
        let run = self.run.as_mut().filter(|run| !run.said && run.passed > 1 && run.length >= LENGTH)?;
        run.said = true;
        Digit::from_char(KEYS[run.row][run.column])
    }
}

/// Two hops.
struct Window<'a>(&'a [f32; HOP], &'a [f32; HOP]);

impl Kernel for Window<'_> {
    type Output = Spectrum;

    /// Both sides of the window's middle are folded together: cosines see their sum, sines their difference.
    #[inline(always)]
    fn run(self, _: impl Machine) -> Spectrum {
        let Window(first, second) = self;
        let mut spectrum = Spectrum { re: [0.0; TONES], im: [0.0; TONES], energy: 0.0 };
        let mut energy = [0.0; TONES];
        let mut folded = [[0.0; 2]; HOP];
        for n in 0..HOP {
            let (before, after) = (first[HOP - 1 - n] * HANN[n], second[n] * HANN[n]);
            folded[n] = [after + before, after - before];
            energy[n % TONES] += before * before + after * after;
        }
        for ([even, odd], (cos, sin)) in folded.iter().zip(COS.iter().zip(&SIN)) {
            for k in 0..TONES {
                spectrum.re[k] += even * cos[k];
                spectrum.im[k] -= odd * sin[k];
            }
        }
        spectrum.energy = energy.iter().sum();
        spectrum
    }
}

impl Spectrum {
    fn power(&self, tone: usize) -> f32 {
        self.re[tone] * self.re[tone] + self.im[tone] * self.im[tone]
    }

    /// The row and column of the one key this window is full of. Needs the window before for frequencies.
    fn key(&self, before: &Spectrum) -> Option<(usize, usize)> {
        // A sine of amplitude a makes |X| = a * 40: half the sum of the window.
        const POWER_MIN: f32 = (AMPLITUDE_MIN * 40.0) * (AMPLITUDE_MIN * 40.0);
        let strongest = |tones: std::ops::Range<usize>| tones.max_by(|a, b| self.power(*a).total_cmp(&self.power(*b)));
        let (row, column) = (strongest(0..4)?, strongest(4..TONES)?);
        let (low, high) = (self.power(row), self.power(column));
        // Before the frequencies are known a window off by 2.4 % may lack half of its power.
        let loud = low.min(high) >= 0.5 * POWER_MIN;
        let even = high <= 2.0 * TWIST_COLUMN_MAX * low && low <= 2.0 * TWIST_ROW_MAX * high;
        if !loud || !even || (low + high) * ENERGY_PER_POWER < 0.5 * PURE * self.energy {
            return None;
        }
        let low = low / self.response(before, row)?;
        let high = high / self.response(before, column)?;
        let loud = low.min(high) >= POWER_MIN;
        let even = high <= TWIST_COLUMN_MAX * low && low <= TWIST_ROW_MAX * high;
        let pure = (low + high) * ENERGY_PER_POWER >= PURE * self.energy;
        (loud && even && pure).then_some((row, column - 4))
    }

    /// What the window's shape leaves of a tone's power, by how far it is off; `None` if too far.
    fn response(&self, before: &Spectrum, tone: usize) -> Option<f32> {
        let (re, im) = (self.re[tone], self.im[tone]);
        let (re_before, im_before) = (before.re[tone], before.im[tone]);
        let gained = (im * re_before - re * im_before).atan2(re * re_before + im * im_before);
        let turns = gained / std::f32::consts::TAU - HZ[tone] as f32 * HOP_S;
        let off_hz = (turns - turns.round()) / HOP_S;
        if off_hz.abs() > OFF_MAX * HZ[tone] as f32 {
            return None;
        }
        // The spectrum of a Hann window, in units of 50 Hz; its series is right to 1 % this near the middle.
        let x = (off_hz * 2.0 * HOP_S) * (off_hz * 2.0 * HOP_S);
        let amplitude = 1.0 - x * (0.644_934 - x * (0.166_8 - x * 0.023));
        Some(amplitude * amplitude)
    }
}

impl Run {
    fn new(row: usize, column: usize, now: &Spectrum, before: &[Option<Spectrum>; 2]) -> Run {
        let full = [now.power(row), now.power(column + 4)];
        let mut run = Run { row, column, full, length: 1.0, missing: 0.0, impure: false, passed: 1, said: false };
        // The windows that its beginning was in, back to the first that it was not in.
        for before in before.iter().map_while(|before| before.as_ref()) {
            run.length += run.share(before);
        }
        run
    }

    /// The tone's amplitude in this window, of the full one.
    fn share(&self, window: &Spectrum) -> f32 {
        let [row, column] = self.full;
        (window.power(self.row) / row).min(window.power(self.column + 4) / column).min(1.0).sqrt()
    }

    /// Takes the next window; false if this was the end.
    fn goes_on(&mut self, window: Option<&Spectrum>, passed: bool) -> bool {
        if let Some(window) = window.filter(|_| passed) {
            self.passed = self.passed.saturating_add(1);
            self.full = [self.full[0].max(window.power(self.row)), self.full[1].max(window.power(self.column + 4))];
        }
        let share = window.map_or(0.0, |window| self.share(window));
        self.length += share;
        self.missing = if share > 0.9 { 0.0 } else { self.missing + 1.0 - share };
        // Before it is said, what lasts must be pure; a falling edge is only once half there.
        let impure = !passed && share >= 0.5;
        let speech = impure && self.impure && !self.said;
        self.impure = impure;
        self.missing < GAP && !speech
    }
}

/// Energy of a window with a sine in it, per power: the squares of the window sum to 60.
const ENERGY_PER_POWER: f32 = 60.0 / 2.0 / (40.0 * 40.0);

/// The window, from its middle outward, and the tones under it.
static HANN: [f32; HOP] = hann();
static COS: [[f32; TONES]; HOP] = waves(false);
static SIN: [[f32; TONES]; HOP] = waves(true);

fn energy(samples: &[f32; HOP]) -> f32 {
    let mut sums = [0.0; TONES];
    for eight in samples.as_chunks::<TONES>().0 {
        for (sum, sample) in sums.iter_mut().zip(eight) {
            *sum += sample * sample;
        }
    }
    sums.iter().sum()
}

const fn hann() -> [f32; HOP] {
    let mut window = [0.0; HOP];
    let mut n = 0;
    while n < HOP {
        window[n] = (0.5 + 0.5 * cos_sin(std::f64::consts::PI * (n as f64 + 0.5) / HOP as f64).0) as f32;
        n += 1;
    }
    window
}

const fn waves(sine: bool) -> [[f32; TONES]; HOP] {
    let mut waves = [[0.0; TONES]; HOP];
    let mut n = 0;
    while n < HOP {
        let mut k = 0;
        while k < TONES {
            let (cos, sin) = cos_sin(std::f64::consts::TAU * HZ[k] * (n as f64 + 0.5) / RATE);
            waves[n][k] = if sine { sin as f32 } else { cos as f32 };
            k += 1;
        }
        n += 1;
    }
    waves
}

/// Cosine and sine at compile time: their series, around the nearest full turn.
const fn cos_sin(angle: f64) -> (f64, f64) {
    let x = angle - std::f64::consts::TAU * (angle / std::f64::consts::TAU + 0.5) as i64 as f64;
    let (mut cos, mut sin) = (0.0, 0.0);
    let mut term = 1.0;
    let mut n = 0;
    while n < 40 {
        match n % 4 {
            0 => cos += term,
            1 => sin += term,
            2 => cos -= term,
            _ => sin -= term,
        }
        n += 1;
        term *= x / n as f64;
    }
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_what_they_say() {
        for n in 0..HOP {
            let at = n as f64 + 0.5;
            let window = 0.5 + 0.5 * (std::f64::consts::PI * at / HOP as f64).cos();
            assert!((f64::from(HANN[n]) - window).abs() < 1e-6);
            for k in 0..TONES {
                let (sin, cos) = (std::f64::consts::TAU * HZ[k] * at / RATE).sin_cos();
                assert!((f64::from(COS[n][k]) - cos).abs() < 1e-6 && (f64::from(SIN[n][k]) - sin).abs() < 1e-6);
            }
        }
    }

    /// Frames of a row and a column tone of this amplitude, each in hertz.
    fn frames(hz: [f64; 2], amplitude: f64, frames: usize) -> Vec<[i16; FRAME_SAMPLES]> {
        let sample =
            |n: usize| hz.iter().map(|hz| (std::f64::consts::TAU * hz * n as f64 / 16_000.0).sin()).sum::<f64>();
        let frame = |f| std::array::from_fn(|n| (amplitude * sample(f * FRAME_SAMPLES + n)) as i16);
        (0..frames).map(frame).collect()
    }

    #[test]
    fn a_key_is_said_once_and_is_down_while_it_lasts() {
        let mut detector = ToneDetector::default();
        let mut said = Vec::new();
        let tone = frames([852.0, 1_477.0], 5_000.0, 10);
        for frame in tone.iter().chain(&[[0; FRAME_SAMPLES]; 5]) {
            let tone = detector.frame(frame);
            said.push(match (tone.pressed.map(Digit::as_char), tone.down) {
                (Some(key), _) => key,
                (None, true) => '-',
                (None, false) => '.',
            });
        }
        assert_eq!(said.iter().collect::<String>(), ".9----------...");
    }

    #[test]
    fn a_reset_forgets_the_press() {
        let mut detector = ToneDetector::default();
        let tone = frames([697.0, 1_209.0], 5_000.0, 10);
        let said = |detector: &mut ToneDetector| tone.iter().filter(|f| detector.frame(f).pressed.is_some()).count();
        assert_eq!((said(&mut detector), said(&mut detector)), (1, 0));
        detector.reset();
        assert_eq!(said(&mut detector), 1);
    }
}
