//! Packet loss concealment at 16 kHz in the manner of ITU-T G.711 Appendix I: the last pitch periods are
//! repeated, the more of them the longer it lasts, joined by overlap-add, and faded to silence. Unlike the
//! appendix it delays nothing: what would be smoothed backwards there is smoothed forwards here; and it is
//! shown the past only when something is missing. It does not know what was lost, only that something was.
use crate::pitch::{self, Prefer};

/// The past it wants to see: 40 ms.
pub const HISTORY: usize = 640;

/// Longest pitch period: 20 ms, 50 Hz.
const PITCH_MAX: usize = 320;
/// Shortest pitch period: 5 ms, 200 Hz. Higher voices are found at a multiple of their period.
const PITCH_MIN: usize = 80;
/// The window that is compared for the pitch: 10 ms. What counts is how well the first samples fit; over
/// longer windows the pitch has moved on.
const MATCH: usize = 160;
/// A shorter lag is taken if its correlation is at least this share of the best one's.
const GOOD_ENOUGH: f32 = 0.9;
/// Repeated for long, one period sounds like a buzzer: from 20 ms on it is two, from 40 ms on three.
const PERIODS: [usize; 2] = [320, 640];
/// It is as loud as before for 5 ms, at half of that after 25 ms, since what was said has gone on elsewhere by
/// then, and at nothing after 145 ms: the half is less of a hole in a word than silence.
const HOLD: usize = 80;
const HALF: usize = 400;
const END: usize = 2_320;
/// The first good samples after a loss are faded in over 4 ms more for each 10 ms lost, at most 10 ms.
const STAGE: usize = 160;
const RETURN_STEP: usize = 64;
const RETURN_MAX: usize = 160;
/// Where one sound gives way to another without a loss, over 5 ms.
const BRIDGE: usize = 80;

/// The concealer of one stream.
#[derive(Clone)]
pub struct Concealer {
    /// What was played before the loss, the newest at the end.
    past: [i16; HISTORY],
    pitch: usize,
    /// Pitch periods that are repeated now, and where in them the next sample comes from.
    periods: usize,
    position: usize,
    /// Samples made up since the last good one; 0: nothing is missing.
    lost: usize,
    /// What the first samples are moved by, fading, so that they join the last good one.
    offset: f32,
}

impl Default for Concealer {
    fn default() -> Self {
        Concealer { past: [0; HISTORY], pitch: PITCH_MIN, periods: 1, position: 0, lost: 0, offset: 0.0 }
    }
}

impl Concealer {
    /// Whether the last samples were made up.
    pub fn is_active(&self) -> bool {
        self.lost > 0
    }

    /// Makes up samples for lost ones. `past` gives the last samples played, the newest at the end; it is
    /// asked when a loss begins.
    pub fn conceal(&mut self, past: impl FnOnce(&mut [i16; HISTORY]), out: &mut [i16]) {
        self.begin(past);
        for sample in out {
            *sample = self.next_sample() as i16;
        }
    }

    /// Fades good samples in over what is made up; nothing is missing afterwards.
    pub fn resume(&mut self, samples: &mut [i16]) {
        if self.lost == 0 {
            return;
        }
        let stages = self.lost.div_ceil(STAGE);
        let fade = self.pitch / 4 + RETURN_STEP * (stages - 1);
        self.fade_into(samples, fade.min(RETURN_MAX));
    }

    /// Lets good samples follow others that have nothing to do with them (another codec, or silence).
    pub fn bridge(&mut self, past: impl FnOnce(&mut [i16; HISTORY]), samples: &mut [i16]) {
        self.begin(past);
        self.fade_into(samples, BRIDGE);
    }

    fn begin(&mut self, past: impl FnOnce(&mut [i16; HISTORY])) {
        if self.lost > 0 {
            return;
        }
        past(&mut self.past);
        let x = self.past.map(f32::from);
        let newest = &x[HISTORY - MATCH..];
        let found = pitch::best(PITCH_MIN..=PITCH_MAX, GOOD_ENOUGH, Prefer::Shortest, |lag| {
            Some((newest, &x[HISTORY - MATCH - lag..HISTORY - lag]))
        });
        let Some(found) = found else {
            // Silence is continued by silence, not by what was before it.
            self.lost = END;
            return;
        };
        (self.pitch, self.periods, self.position) = (found.lag, 1, 0);
        // The repeated period follows the sample a period ago, not the last one: the difference fades.
        self.offset = x[HISTORY - 1] - x[HISTORY - 1 - found.lag];
    }

    fn next_sample(&mut self) -> f32 {
        let gain = gain(self.lost);
        if gain <= 0.0 {
            return 0.0;
        }
        let (overlap, len, at) = (self.pitch / 4, self.pitch * self.periods, self.position);
        self.position += 1;
        let mut x = f32::from(self.past[HISTORY - len + at]);
        if let Some(i) = (at + overlap).checked_sub(len) {
            // The end flows into what came before the start that follows it.
            let next = self.periods_at(self.lost + len - at);
            x = cross(x, f32::from(self.past[HISTORY - self.pitch * next - overlap + i]), i, overlap);
            if self.position == len {
                (self.periods, self.position) = (next, 0);
            }
        }
        if self.lost < overlap {
            x += self.offset * (1.0 - (self.lost + 1) as f32 / overlap as f32);
        }
        self.lost += 1;
        (x * gain).clamp(-32_768.0, 32_767.0)
    }

    /// Periods to repeat from this sample of the loss on, as far as the past has so many.
    fn periods_at(&self, lost: usize) -> usize {
        let wanted = 1 + PERIODS.iter().filter(|since| lost >= **since).count();
        wanted.min((HISTORY - self.pitch / 4) / self.pitch)
    }

    fn fade_into(&mut self, samples: &mut [i16], fade: usize) {
        let fade = fade.min(samples.len());
        for (i, sample) in samples[..fade].iter_mut().enumerate() {
            *sample = cross(self.next_sample(), f32::from(*sample), i, fade) as i16;
        }
        self.lost = 0;
    }
}

/// How loud it is after this many samples.
fn gain(lost: usize) -> f32 {
    let left = |from: usize, to: usize| 1.0 - lost.saturating_sub(from) as f32 / (to - from) as f32;
    if lost < HALF { 0.5 + 0.5 * left(HOLD, HALF) } else { 0.5 * left(HALF, END) }
}

/// From `a` to `b` along a straight line, at step `i` of `n`.
fn cross(a: f32, b: f32, i: usize, n: usize) -> f32 {
    let weight = (i + 1) as f32 / (n + 1) as f32;
    a + (b - a) * weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::mean_square;

    /// A voiced sound: harmonics of a gliding pitch under a formant-like slope.
    fn voice(n: usize, pitch_hz: f32) -> Vec<i16> {
        let mut phase = 0.0f32;
        let sample = |i: usize| {
            phase += (pitch_hz * (1.0 + i as f32 / 80_000.0)) / 16_000.0;
            let harmonics = (1..=12).map(|h| {
                let h = h as f32;
                (std::f32::consts::TAU * phase * h + h * h).sin() / (1.0 + (h - 4.0).powi(2) / 4.0)
            });
            (4_000.0 * harmonics.sum::<f32>()) as i16
        };
        (0..n).map(sample).collect()
    }

    /// Conceals `out` after `before`.
    fn conceal(concealer: &mut Concealer, before: &[i16], out: &mut [i16]) {
        let past = |to: &mut [i16; HISTORY]| to.copy_from_slice(&before[before.len() - HISTORY..]);
        concealer.conceal(past, out);
    }

    /// Runs the audio through with the frames of `lost` missing.
    fn with_losses(audio: &[i16], lost: impl Fn(usize) -> bool) -> Vec<i16> {
        let mut concealer = Concealer::default();
        let mut out = audio.to_vec();
        for at in (HISTORY..out.len()).step_by(320) {
            let (before, now) = out.split_at_mut(at);
            let frame = &mut now[..320];
            if lost(at / 320) {
                conceal(&mut concealer, before, frame);
            } else {
                concealer.resume(frame);
            }
        }
        out
    }

    /// Signal to noise ratio in dB.
    fn snr(clean: &[i16], heard: &[i16]) -> f32 {
        let noise: Vec<i16> = clean.iter().zip(heard).map(|(a, b)| a.saturating_sub(*b)).collect();
        10.0 * (mean_square(clean) / mean_square(&noise).max(1.0)).log10()
    }

    fn click(audio: &[i16]) -> i32 {
        audio.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn a_lost_frame_of_voice_is_mostly_there() {
        let mut total = 0.0;
        for pitch_hz in [80.0, 110.0, 170.0, 230.0, 300.0] {
            let clean = voice(3_200, pitch_hz);
            let heard = with_losses(&clean, |i| i == 5);
            let lost = 1_600..1_920;
            let concealed = snr(&clean[lost.clone()], &heard[lost.clone()]);
            // Silence would be 0 dB.
            total += concealed;
            assert!(concealed > 3.0, "{pitch_hz} Hz: {concealed:.1} dB");
            let ratio = mean_square(&heard[lost.clone()]) / mean_square(&clean[lost]);
            assert!((0.6..1.3).contains(&ratio), "{pitch_hz} Hz: {ratio:.2} of its energy");
            assert!(
                click(&heard) < click(&clean) * 13 / 10,
                "{pitch_hz} Hz clicks: {} over {}",
                click(&heard),
                click(&clean)
            );
            assert_eq!(heard[2_200..], clean[2_200..], "good again soon after");
        }
        assert!(total / 5.0 > 8.0, "{:.1} dB on average", total / 5.0);
    }

    #[test]
    fn scattered_losses_sound_better_than_silence_and_repetition() {
        let clean = voice(32_000, 120.0);
        let lost = |i: usize| i > 3 && i % 7 < 2;
        let heard = with_losses(&clean, lost);
        let (mut silent, mut repeated) = (clean.clone(), clean.clone());
        for i in (0..100).filter(|i| lost(*i)) {
            silent[i * 320..][..320].fill(0);
            repeated.copy_within((i - 1) * 320..i * 320, i * 320);
        }
        let (ours, silence, repetition) = (snr(&clean, &heard), snr(&clean, &silent), snr(&clean, &repeated));
        assert!(
            ours > silence + 2.0 && ours > repetition + 2.0,
            "{ours:.1} dB against {silence:.1} and {repetition:.1}"
        );
    }

    #[test]
    fn a_loss_joins_what_was_before_it() {
        // A swelling tone is louder now than a period ago, by most at its peaks.
        let swelling = |i: usize| (2_000.0 + 5.0 * i as f32) * (std::f32::consts::TAU * i as f32 / 160.0).sin();
        let clean: Vec<i16> = (0..1_800).map(|i| swelling(i) as i16).collect();
        for end in (1_560..1_800).step_by(7) {
            let mut out = [0; 160];
            conceal(&mut Concealer::default(), &clean[..end], &mut out);
            let joint = [&clean[end - 160..end], &out].concat();
            assert!(click(&joint) < 500, "a step of {} at {end}", click(&joint));
        }
    }

    #[test]
    fn a_bridge_joins_what_has_nothing_to_do_with_each_other() {
        let before = voice(1_600, 120.0);
        for after in [vec![0; 320], voice(320, 190.0)] {
            let mut joined = after.clone();
            let past = |to: &mut [i16; HISTORY]| to.copy_from_slice(&before[before.len() - HISTORY..]);
            Concealer::default().bridge(past, &mut joined);
            assert_eq!(joined[BRIDGE..], after[BRIDGE..]);
            let most = click(&before).max(click(&after));
            assert!(click(&[&before[1_000..], &joined].concat()) < most * 12 / 10);
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_in_145_ms() {
        let clean = voice(6_400, 120.0);
        let heard = with_losses(&clean, |i| (5..15).contains(&i));
        let energy = |ms: usize| mean_square(&heard[1_600 + ms * 16..][..160]);
        assert!(energy(0) > 0.7 * mean_square(&clean[1_440..1_600]));
        assert!(energy(20) < energy(0) && energy(40) < energy(20) && energy(130) > 0.0);
        assert!(heard[1_600 + END..4_800].iter().all(|s| *s == 0), "silent after that");
        assert!(click(&heard) < click(&clean) * 13 / 10, "and back without a click");
    }

    #[test]
    fn pieces_give_the_same_as_whole_frames() {
        let clean = voice(1_600, 140.0);
        let (mut whole, mut pieces) = ([0; 960], [0; 960]);
        conceal(&mut Concealer::default(), &clean, &mut whole);
        let mut concealer = Concealer::default();
        pieces.chunks_mut(37).for_each(|piece| conceal(&mut concealer, &clean, piece));
        assert_eq!(whole, pieces);
    }

    #[test]
    fn silence_and_extremes_are_survived() {
        let mut out = [1; 320];
        conceal(&mut Concealer::default(), &[0; HISTORY], &mut out);
        assert_eq!(out, [0; 320]);
        for value in [i16::MIN, i16::MAX] {
            let mut concealer = Concealer::default();
            for n in [0, 1, 2_500] {
                concealer.resume(&mut vec![value; n]);
                conceal(&mut concealer, &[value; HISTORY], &mut vec![0; n]);
            }
            let mut out = [1; 2];
            conceal(&mut concealer, &[value; HISTORY], &mut out);
            assert_eq!(out, [0; 2]);
        }
    }
}
