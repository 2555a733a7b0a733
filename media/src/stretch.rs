//! Time-stretching at 16 kHz by pitch-synchronous overlap-add: a period of the voice is taken out, or put
//! in once more, where the sound is most like itself; silence is cut or lengthened at once. It finds the
//! place and joins; it does not decide when, and the pitch stays what it was.
use crate::jitter::Haste;
use crate::pitch::{self, Prefer};
use crate::{FRAME_SAMPLES, level};

/// What is looked at: two frames.
pub const LINE: usize = 2 * FRAME_SAMPLES;
/// What may come out: a line and a frame more.
pub const OUT_MAX: usize = 3 * FRAME_SAMPLES;

/// The longest packet there is: 120 ms of Opus.
pub const PACKET_MAX: usize = 6 * FRAME_SAMPLES;

/// Below -50 dBFS (as a mean square) any joint is unheard.
const QUIET: f32 = 10_737.0;
/// So it is within 6 dB of the noise, if that is 20 dB below the voice.
const ABOVE_NOISE: f32 = 4.0;
const BELOW_VOICE: f32 = 0.01;
/// In a frame: what was taken for noise rises by 4 dB in a second of more, the voice falls by as much in one
/// of less.
const NOISE_RISE: f32 = 1.02;
const VOICE_FALL: f32 = 0.98;
/// Shortest period, 2.5 ms.
const LAG_MIN: usize = 40;
/// Longest period, 15 ms ...
const LAG_MAX: usize = 240;
/// ... and in a hurry, 20 ms.
const LAG_MAX_HURRY: usize = 320;
/// The stretches that are compared: 15 ms.
const MATCH: usize = 240;
/// How alike they must be ...
const ALIKE: f32 = 0.85;
/// ... and in a hurry, when noise will do.
const ALIKE_HURRY: f32 = 0.25;
/// Several periods at once are as good as one if they are nearly as alike.
const NEARLY: f32 = 0.95;
/// Joints overlap by a period, but at least by 5 ms.
const FADE_MIN: usize = 80;

/// A joint: what lies at `from` fades into what lies at `to`, and the sound goes on from there.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Joint {
    from: usize,
    to: usize,
    fade: usize,
}

impl Joint {
    /// A joint within the line; the fade is shorter where the line ends before it.
    fn new(from: usize, to: usize, fade: usize) -> Self {
        let (from, to) = (from.min(LINE), to.min(LINE));
        Joint { from, to, fade: fade.min(LINE - from.max(to)) }
    }

    /// Samples that are left out; negative: put in.
    pub fn removed(&self) -> isize {
        self.to as isize - self.from as isize
    }

    /// Writes the line with the joint in it; returns how many samples that are.
    pub fn apply(&self, line: &[i16; LINE], out: &mut [i16; OUT_MAX]) -> usize {
        let Joint { from, to, fade } = *self;
        out[..from].copy_from_slice(&line[..from]);
        let pairs = line[from..from + fade].iter().zip(&line[to..to + fade]);
        for (i, (sample, (old, new))) in out[from..from + fade].iter_mut().zip(pairs).enumerate() {
            let (old, new, i) = (i32::from(*old), i32::from(*new), i as i32 + 1);
            *sample = (old + (new - old) * i / (fade as i32 + 1)) as i16;
        }
        let rest = &line[to + fade..];
        out[from + fade..from + fade + rest.len()].copy_from_slice(rest);
        from + fade + rest.len()
    }
}

/// What counts as quiet: less than -50 dBFS, and on a line with noise what is hardly more than that noise and
/// far from the voice.
#[derive(Copy, Clone)]
pub struct Hush {
    /// Mean squares of the noise and of the voice, as far as they were heard.
    noise: f32,
    voice: f32,
}

impl Default for Hush {
    fn default() -> Self {
        Hush { noise: f32::MAX, voice: 0.0 }
    }
}

impl Hush {
    /// Listens to a frame; returns whether it was quiet.
    pub fn hear(&mut self, frame: &[i16]) -> bool {
        let now = level::mean_square(frame);
        self.noise = now.min(self.noise * NOISE_RISE).max(QUIET / ABOVE_NOISE);
        self.voice = now.max(self.voice * VOICE_FALL);
        now < self.limit()
    }

    /// Whether any joint would be unheard here.
    fn is_quiet(&self, samples: &[i16]) -> bool {
        level::mean_square(samples) < self.limit()
    }

    fn limit(&self) -> f32 {
        (self.noise * ABOVE_NOISE).min(self.voice * BELOW_VOICE).max(QUIET)
    }
}

/// Where up to `most` samples can be left out of the line unheard, or hardly heard in haste. `None`: not
/// here.
pub fn shorten(line: &[i16; LINE], most: usize, haste: Haste, hush: Hush) -> Option<Joint> {
    if hush.is_quiet(line) {
        let from = FRAME_SAMPLES / 2;
        return Some(Joint::new(from, from + even(most.min(FRAME_SAMPLES)), FADE_MIN));
    }
    let (longest, enough) = match haste {
        Haste::Pause => return None,
        Haste::Soon => (LAG_MAX, ALIKE),
        Haste::Now => (LAG_MAX_HURRY, ALIKE_HURRY),
    };
    let longest = longest.min(most);
    let x = line.map(f32::from);
    let places = [0, LINE - MATCH - longest];
    let joints = places.map(|from| {
        let pair = |lag: usize| Some((x.get(from..from + MATCH)?, x.get(from + lag..from + lag + MATCH)?));
        let found = pitch::best(LAG_MIN..=longest, NEARLY, Prefer::Longest, pair)?;
        Some((found.alike, Joint::new(from, from + even(found.lag), found.lag.max(FADE_MIN))))
    });
    best_of(joints, enough)
}

/// Where up to `most` samples can be put into the second frame of the line unheard; the first is the past.
pub fn lengthen(line: &[i16; LINE], most: usize, hush: Hush) -> Option<Joint> {
    if hush.is_quiet(line) {
        let from = FRAME_SAMPLES * 3 / 2;
        return Some(Joint::new(from, from - even(most.min(FRAME_SAMPLES)), FADE_MIN));
    }
    let longest = LAG_MAX.min(most);
    let x = line.map(f32::from);
    let joints = [FRAME_SAMPLES, LINE - MATCH].map(|from| {
        let pair = |lag: usize| Some((x.get(from..from + MATCH)?, x.get(from - lag..from - lag + MATCH)?));
        let found = pitch::best(LAG_MIN..=longest, NEARLY, Prefer::Longest, pair)?;
        Some((found.alike, Joint::new(from, from - even(found.lag), found.lag.max(FADE_MIN))))
    });
    best_of(joints, ALIKE)
}

/// Two samples make a byte of G.711 and G.722, so that only even numbers of them can be left out.
fn even(samples: usize) -> usize {
    samples & !1
}

fn best_of(joints: [Option<(f32, Joint)>; 2], enough: f32) -> Option<Joint> {
    let best = joints.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= enough).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASTES: [Haste; 3] = [Haste::Pause, Haste::Soon, Haste::Now];
    const NEW: Hush = Hush { noise: f32::MAX, voice: 0.0 };

    fn voice(period: f32) -> [i16; LINE] {
        std::array::from_fn(|i| {
            let phase = std::f32::consts::TAU * i as f32 / period;
            (3_000.0 * (phase.sin() + 0.7 * (2.0 * phase + 1.0).sin() + 0.4 * (5.0 * phase).sin())) as i16
        })
    }

    /// A sound that changes all the time: nothing of it is like anything else.
    fn noise() -> [i16; LINE] {
        let mut seed = 1u32;
        std::array::from_fn(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 17) as i16 - 16_384
        })
    }

    fn click(audio: &[i16]) -> i32 {
        audio.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn every_joint_lies_within_the_line() {
        let slow = std::array::from_fn(|i| (6_000.0 * (i as f32 / 310.0 * std::f32::consts::TAU).sin()) as i16);
        for line in [voice(46.0), voice(133.3), voice(239.0), voice(300.0), voice(318.0), slow, noise(), [0; LINE]] {
            for most in [0, 1, 40, 79, 160, 239, 240, 319, 320, 640, 5_000] {
                let joints = HASTES
                    .map(|haste| shorten(&line, most, haste, NEW))
                    .into_iter()
                    .chain([lengthen(&line, most, NEW)]);
                for joint in joints.flatten() {
                    let len = joint.apply(&line, &mut [0; OUT_MAX]);
                    assert_eq!(len as isize, LINE as isize - joint.removed());
                }
            }
        }
    }

    #[test]
    fn whole_periods_go_and_come() {
        for period in [46.0, 80.3, 133.3, 200.0] {
            let line = voice(period);
            let joints = [
                shorten(&line, 320, Haste::Soon, NEW),
                lengthen(&line, 320, NEW),
                shorten(&line, 320, Haste::Now, NEW),
            ];
            for joint in joints {
                let joint = joint.unwrap();
                let mut out = [0; OUT_MAX];
                let len = joint.apply(&line, &mut out);
                assert_eq!(len as isize, LINE as isize - joint.removed());
                let periods = joint.removed().abs() as f32 / period;
                assert!((periods - periods.round()).abs() < 0.03 && periods > 0.9, "{period}: {periods}");
                assert!(click(&out[..len]) <= click(&line) * 21 / 20, "{period} clicks");
                let (before, after) = (level::rms_dbfs(&line), level::rms_dbfs(&out[..len]));
                assert!((before - after).abs() < 0.3, "{period}: {before} dBFS became {after}");
            }
        }
    }

    #[test]
    fn no_more_than_asked_for() {
        let line = voice(60.0);
        for most in [2, 38, 40, 58, 60, 62, 130, 320] {
            for joint in [
                shorten(&line, most, Haste::Soon, NEW),
                shorten(&line, most, Haste::Now, NEW),
                lengthen(&line, most, NEW),
            ] {
                assert!(joint.is_none_or(|j| j.removed().unsigned_abs() <= most), "{most}");
                assert!(joint.is_some() || most < 61, "{most}");
            }
        }
    }

    #[test]
    fn silence_is_cut_to_measure_and_noise_left_alone() {
        let silence = noise().map(|s| s / 200);
        for most in [2, 18, 320] {
            assert_eq!(shorten(&silence, most, Haste::Pause, NEW).unwrap().removed(), most as isize);
            assert_eq!(lengthen(&silence, most, NEW).unwrap().removed(), -(most as isize));
        }
        assert_eq!((shorten(&noise(), 320, Haste::Soon, NEW), lengthen(&noise(), 320, NEW)), (None, None));
        assert_eq!(shorten(&voice(80.3), 320, Haste::Pause, NEW), None);
    }

    #[test]
    fn the_noise_of_a_line_is_quiet_only_between_words() {
        let (mut loud, mut hush) = (voice(80.3), noise().map(|s| s / 50));
        assert!(level::rms_dbfs(&hush) > -45.0);
        let mut heard = Hush::default();
        // Noise alone, or a voice alone, could be anything.
        assert!((0..100).all(|_| !heard.hear(&hush)));
        assert!((0..100).all(|_| !heard.hear(&loud)));
        let quiet = (0..100).filter(|i| heard.hear(if i % 10 < 5 { &loud } else { &hush })).count();
        assert_eq!(quiet, 50);
        assert_eq!(shorten(&hush, 320, Haste::Pause, heard).map(|joint| joint.removed()), Some(320));
        assert_eq!(shorten(&loud, 320, Haste::Pause, heard), None);
        // A voice without pauses is no noise, however long.
        hush.reverse();
        loud.reverse();
        assert!((0..1_000).all(|_| !heard.hear(&loud)));
    }
}
