//! Packet loss concealment at 8 kHz in the manner of ITU-T G.711 Appendix I: the last pitch periods are
//! repeated, joined by overlap-add, and faded to silence within 60 ms. Unlike the appendix it delays
//! nothing: what would be smoothed backwards there is smoothed forwards here. It does not know what was
//! lost, only that something was.

/// Longest pitch period: 15 ms, 66 Hz.
const PITCH_MAX: usize = 120;
/// Shortest pitch period: 5 ms, 200 Hz. Higher voices are found at a multiple of their period.
const PITCH_MIN: usize = 40;
/// The window that is compared for the pitch: 20 ms.
const MATCH: usize = 160;
/// Joints overlap by a quarter of the pitch period, at most this.
const OVERLAP_MAX: usize = PITCH_MAX / 4;
/// Pitch periods that are repeated in the end, so that long losses do not buzz.
const PERIODS_MAX: usize = 3;
/// The past that is kept: three periods and a joint.
const HISTORY: usize = PITCH_MAX * PERIODS_MAX + OVERLAP_MAX;
/// A shorter lag is taken if its correlation is at least this share of the best one's.
const GOOD_ENOUGH: f32 = 0.97;
/// 10 ms: the first is as loud as before, and each takes one more period until there are three.
const STAGE: usize = 80;
/// After 60 ms nothing is left.
const FADED: usize = 6 * STAGE;
/// The first good samples after a loss are faded in over 4 ms per lost 10 ms, at most 10 ms.
const RETURN_STEP: usize = 32;

/// The concealer of one stream.
#[derive(Clone)]
pub struct Concealer {
    /// The last output, the newest at the end.
    history: [i16; HISTORY],
    /// The history when the loss began.
    template: [i16; HISTORY],
    pitch: usize,
    periods: usize,
    /// Where in the repeated periods the next sample comes from.
    position: usize,
    /// What `position` was shortened by when the last period joined.
    shift: usize,
    /// Samples made up since the last good one, up to [`FADED`].
    lost: usize,
    /// What the first samples are moved by, fading, so that they join the last good one.
    offset: f32,
}

impl Default for Concealer {
    fn default() -> Self {
        Concealer {
            history: [0; HISTORY],
            template: [0; HISTORY],
            pitch: PITCH_MIN,
            periods: 0,
            position: 0,
            shift: 0,
            lost: 0,
            offset: 0.0,
        }
    }
}

impl Concealer {
    /// Takes good samples; after a loss it fades them in over what it made up.
    pub fn good(&mut self, samples: &mut [i16]) {
        if self.lost > 0 {
            self.come_back(samples);
        }
        self.remember(samples);
    }

    /// Makes up samples for lost ones.
    pub fn conceal(&mut self, out: &mut [i16]) {
        self.synthesize(out);
        self.remember(out);
    }

    /// Whether what it makes up is silence by now.
    pub fn is_faded(&self) -> bool {
        self.lost >= FADED
    }

    /// Forgets the past: another source, or silence that was meant.
    pub fn reset(&mut self) {
        *self = Concealer::default();
    }

    fn synthesize(&mut self, out: &mut [i16]) {
        if self.lost == 0 {
            self.begin();
        }
        for sample in out.iter_mut() {
            *sample = self.next_sample();
        }
    }

    fn begin(&mut self) {
        let Some(pitch) = find_pitch(&self.history) else {
            // Silence is continued by silence, not by what was before it.
            self.lost = FADED;
            return;
        };
        self.template = self.history;
        self.pitch = pitch;
        self.periods = 1;
        self.position = 0;
        self.shift = 0;
        // The repeated period follows the sample a period ago, not the last one: the difference fades.
        let [.., last] = self.history;
        self.offset = f32::from(last) - f32::from(self.history[HISTORY - 1 - pitch]);
    }

    fn next_sample(&mut self) -> i16 {
        if self.is_faded() {
            return 0;
        }
        let overlap = self.pitch / 4;
        let stage = self.lost / STAGE;
        let into_stage = self.lost % STAGE;
        if into_stage == 0 && stage > 0 && self.periods < PERIODS_MAX {
            self.periods += 1;
            self.shift = self.position - self.position % self.pitch;
            self.position -= self.shift;
        }
        let mut x = self.periodic(self.periods, self.position);
        if into_stage < overlap && self.lost >= STAGE && stage < PERIODS_MAX {
            // The new, longer stretch is faded in over the one it replaces.
            let before_len = self.pitch * (self.periods - 1);
            let before = self.periodic(self.periods - 1, (self.position + self.shift) % before_len);
            x = cross(before, x, into_stage, overlap);
        }
        if self.lost < overlap {
            x += self.offset * (1.0 - (self.lost + 1) as f32 / overlap as f32);
        }
        self.position = (self.position + 1) % (self.pitch * self.periods);
        let gain = self.gain();
        self.lost += 1;
        (x * gain).clamp(-32_768.0, 32_767.0) as i16
    }

    /// The sample at `position` of the last `periods` pitch periods, whose end flows into their start.
    fn periodic(&self, periods: usize, position: usize) -> f32 {
        let len = periods * self.pitch;
        let overlap = self.pitch / 4;
        let sample = |at: usize| f32::from(self.template[at]);
        let x = sample(HISTORY - len + position);
        match position.checked_sub(len - overlap) {
            Some(i) => cross(x, sample(HISTORY - len - overlap + i), i, overlap),
            None => x,
        }
    }

    /// Full for 10 ms, then 20 % less every 10 ms.
    fn gain(&self) -> f32 {
        1.0 - self.lost.saturating_sub(STAGE) as f32 / (FADED - STAGE) as f32
    }

    fn come_back(&mut self, samples: &mut [i16]) {
        let stages = self.lost.div_ceil(STAGE);
        let overlap = (self.pitch / 4 + RETURN_STEP * (stages - 1)).min(STAGE).min(samples.len());
        let mut made_up = [0; STAGE];
        self.synthesize(&mut made_up[..overlap]);
        for (i, (sample, made_up)) in samples.iter_mut().zip(&made_up[..overlap]).enumerate() {
            *sample = cross(f32::from(*made_up), f32::from(*sample), i, overlap) as i16;
        }
        self.lost = 0;
    }

    fn remember(&mut self, samples: &[i16]) {
        let newest = &samples[samples.len().saturating_sub(HISTORY)..];
        self.history.copy_within(newest.len().., 0);
        self.history[HISTORY - newest.len()..].copy_from_slice(newest);
    }
}

/// From `a` to `b` along a straight line, at step `i` of `n`.
fn cross(a: f32, b: f32, i: usize, n: usize) -> f32 {
    let weight = (i + 1) as f32 / (n + 1) as f32;
    a + (b - a) * weight
}

/// The lag at which the last 20 ms look most like what came before (normalized cross-correlation). Among
/// multiples of a period that are as good, the shortest: its error in whole samples repeats least. `None` if
/// nothing looks alike, as in silence.
fn find_pitch(history: &[i16; HISTORY]) -> Option<usize> {
    let x = history.map(f32::from);
    let newest = &x[HISTORY - MATCH..];
    let mut scores = [0.0; PITCH_MAX - PITCH_MIN + 1];
    for (score, lag) in scores.iter_mut().zip(PITCH_MIN..) {
        let older = &x[HISTORY - MATCH - lag..HISTORY - lag];
        let (product, energy) = newest.iter().zip(older).fold((0.0, 1.0), |(p, e), (a, b)| (p + a * b, e + b * b));
        *score = product / f32::sqrt(energy);
    }
    let best = scores.iter().copied().fold(0.0, f32::max);
    let mut peak = scores.iter().position(|score| *score > 0.0 && *score >= GOOD_ENOUGH * best)?;
    while scores.get(peak + 1).is_some_and(|next| *next > scores[peak]) {
        peak += 1;
    }
    Some(PITCH_MIN + peak)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::mean_square;

    /// A voiced sound: harmonics of a gliding pitch under a formant-like slope, 8 kHz.
    fn voice(n: usize, pitch_hz: f32) -> Vec<i16> {
        let mut phase = 0.0f32;
        let sample = |i: usize| {
            phase += (pitch_hz * (1.0 + i as f32 / 40_000.0)) / 8_000.0;
            let harmonics = (1..=12).map(|h| {
                let h = h as f32;
                (std::f32::consts::TAU * phase * h + h * h).sin() / (1.0 + (h - 4.0).powi(2) / 4.0)
            });
            (4_000.0 * harmonics.sum::<f32>()) as i16
        };
        (0..n).map(sample).collect()
    }

    /// Runs the audio through with the frames of `lost` missing.
    fn with_losses(audio: &[i16], lost: impl Fn(usize) -> bool) -> Vec<i16> {
        let mut concealer = Concealer::default();
        let mut out = audio.to_vec();
        for (i, frame) in out.chunks_mut(160).enumerate() {
            if lost(i) {
                concealer.conceal(frame);
            } else {
                concealer.good(frame);
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
            let clean = voice(1_600, pitch_hz);
            let heard = with_losses(&clean, |i| i == 5);
            let lost = 800..960;
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
            assert_eq!(heard[1_100..], clean[1_100..], "good again soon after");
        }
        assert!(total / 5.0 > 9.0, "{:.1} dB on average", total / 5.0);
    }

    #[test]
    fn scattered_losses_sound_better_than_silence_and_repetition() {
        let clean = voice(16_000, 120.0);
        let lost = |i: usize| i > 3 && i % 7 < 2;
        let heard = with_losses(&clean, lost);
        let (mut silent, mut repeated) = (clean.clone(), clean.clone());
        for i in (0..100).filter(|i| lost(*i)) {
            silent[i * 160..][..160].fill(0);
            repeated.copy_within((i - 1) * 160..i * 160, i * 160);
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
        let swelling = |i: usize| (2_000.0 + 10.0 * i as f32) * (std::f32::consts::TAU * i as f32 / 80.0).sin();
        let clean: Vec<i16> = (0..900).map(|i| swelling(i) as i16).collect();
        for end in (780..900).step_by(7) {
            let mut concealer = Concealer::default();
            concealer.good(&mut clean[..end].to_vec());
            let mut out = [0; 80];
            concealer.conceal(&mut out);
            let joint = [&clean[end - 80..end], &out].concat();
            assert!(click(&joint) < 1_000, "a step of {} at {end}", click(&joint));
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_in_60_ms() {
        let clean = voice(3_200, 120.0);
        let heard = with_losses(&clean, |i| (5..15).contains(&i));
        let energy = |ms: usize| mean_square(&heard[800 + ms * 8..][..80]);
        assert!(energy(0) > 0.7 * mean_square(&clean[720..800]));
        assert!(energy(20) < energy(0) && energy(40) < energy(20) && energy(50) > 0.0);
        assert!(heard[800 + 480..2_400].iter().all(|s| *s == 0), "silent after 60 ms");
        assert!(click(&heard) < click(&clean) * 13 / 10, "and back without a click");
    }

    #[test]
    fn pieces_give_the_same_as_whole_frames() {
        let clean = voice(1_600, 140.0);
        let mut concealer = Concealer::default();
        concealer.good(&mut clean[..800].to_vec());
        let (mut whole, mut pieces) = ([0; 480], [0; 480]);
        concealer.clone().conceal(&mut whole);
        pieces.chunks_mut(37).for_each(|piece| concealer.conceal(piece));
        assert_eq!(whole, pieces);
    }

    #[test]
    fn silence_and_extremes_are_survived() {
        let mut concealer = Concealer::default();
        let mut out = [1; 160];
        concealer.conceal(&mut out);
        assert_eq!(out, [0; 160]);
        for value in [i16::MIN, i16::MAX] {
            concealer.reset();
            for n in [0, 1, 1_000] {
                concealer.good(&mut vec![value; n]);
                concealer.conceal(&mut vec![0; n]);
            }
            assert!(concealer.is_faded());
        }
    }
}
