//! What a caller says, ready to be sent: a recording with pauses put in, a word before it, its edges and its pauses
//! known. It reads a file once, before the calls.

use std::path::Path;

use media::level::{first_active_ms, last_active_ms, mean_square, mean_square_of_dbfs};
use media::{FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE};

use crate::caller::CallerError;
use crate::caller::script::read_wav;

/// Speech in a recording is louder than this; breath and room are not.
pub const RECORDED_SPEECH_DBFS: f32 = -42.0;
/// Silence inside an utterance from here on is a pause at which an agent may think that it is over.
pub const PAUSE_MS: u32 = 300;
/// How far a cut moves to find a quiet place.
const SEARCH_MS: u32 = 80;
/// What is faded at a cut, so that it does not click.
const FADE_MS: u32 = 5;
const PER_MS: usize = SAMPLE_RATE as usize / 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    pub name: String,
    /// 16 kHz.
    pub audio: Vec<i16>,
    /// The frames that hold the first and the last speech.
    pub first_frame: usize,
    pub last_frame: usize,
    pub pauses: Vec<Pause>,
}

/// Silence between speech and speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The frame with the last speech before it, and the one with the first after it.
    pub after: usize,
    pub until: usize,
    pub ms: u32,
}

impl Utterance {
    /// Edges and pauses by level; then the gain.
    pub fn new(name: String, audio: Vec<i16>, gain_db: f32) -> Self {
        let first = first_active_ms(&audio, SAMPLE_RATE, RECORDED_SPEECH_DBFS).unwrap_or(0);
        // The window before the end, which is the start of the next one.
        let last = last_active_ms(&audio, SAMPLE_RATE, RECORDED_SPEECH_DBFS).unwrap_or(0).saturating_sub(1);
        let pauses = pauses(&audio);
        let mut audio = audio;
        if gain_db != 0.0 {
            let gain = 10f32.powf(gain_db / 20.0);
            audio.iter_mut().for_each(|s| *s = (f32::from(*s) * gain).clamp(-32_768.0, 32_767.0) as i16);
        }
        Self { name, first_frame: frame_of(first), last_frame: frame_of(last), audio, pauses }
    }

    /// 20 ms of it; `None` after its end.
    pub fn frame(&self, n: usize, out: &mut [i16; FRAME_SAMPLES]) -> Option<()> {
        let part = self.audio.get(n * FRAME_SAMPLES..).filter(|p| !p.is_empty())?;
        let len = part.len().min(FRAME_SAMPLES);
        out[..len].copy_from_slice(&part[..len]);
        out[len..].fill(0);
        Some(())
    }
}

const fn frame_of(ms: u32) -> usize {
    (ms / FRAME_MS) as usize
}

/// Where there is no window of speech for long enough, between windows of speech.
fn pauses(audio: &[i16]) -> Vec<Pause> {
    const WINDOW_MS: u32 = 5;
    let threshold = mean_square_of_dbfs(RECORDED_SPEECH_DBFS);
    let windows = audio.chunks(PER_MS * WINDOW_MS as usize).map(|w| mean_square(w) >= threshold);
    let (mut last, mut found) = (None::<u32>, vec![]);
    for (n, _) in windows.enumerate().filter(|(_, speech)| *speech) {
        let at = n as u32 * WINDOW_MS;
        if let Some(before) = last.filter(|b| at - b >= PAUSE_MS) {
            found.push(Pause { after: frame_of(before - 1), until: frame_of(at), ms: at - before });
        }
        last = Some(at + WINDOW_MS);
    }
    found
}

/// The beginning of a recording: all of it, or so many milliseconds.
pub fn beginning(audio: &[i16], ms: Option<u32>) -> Vec<i16> {
    let len = ms.map_or(audio.len(), |ms| (ms as usize * PER_MS).min(audio.len()));
    let mut part = audio[..len].to_vec();
    fade(&mut part, false, len < audio.len());
    part
}

/// Reads `NAME.wav` of the folder.
pub fn read(folder: &Path, name: &str) -> Result<Vec<i16>, CallerError> {
    read_wav(&folder.join(format!("{name}.wav")))
}

/// Silence of so many milliseconds.
pub fn silence(ms: u32) -> Vec<i16> {
    vec![0; ms as usize * PER_MS]
}

/// Puts silence, or whatever else, into a recording: where, in milliseconds, and what. `None`: one is beyond its end.
pub fn with_pauses(audio: &[i16], pauses: &[(u32, Vec<i16>)]) -> Option<Vec<i16>> {
    let mut cuts: Vec<(usize, &[i16])> = vec![];
    for (at, what) in pauses {
        cuts.push((quietest(audio, *at)?, what));
    }
    cuts.sort_unstable_by_key(|(at, _)| *at);
    let (mut out, mut from) = (vec![], 0);
    for (at, what) in cuts {
        let begin = out.len();
        out.extend_from_slice(audio.get(from..at)?);
        fade(&mut out[begin..], from > 0, true);
        out.extend_from_slice(what);
        from = at;
    }
    let begin = out.len();
    out.extend_from_slice(audio.get(from..)?);
    fade(&mut out[begin..], from > 0, false);
    Some(out)
}

/// The middle of the quietest 20 ms around a place.
fn quietest(audio: &[i16], at_ms: u32) -> Option<usize> {
    let (width, step) = (FRAME_SAMPLES, PER_MS * 5);
    let lowest = at_ms.saturating_sub(SEARCH_MS) as usize * PER_MS;
    let highest = ((at_ms + SEARCH_MS) as usize * PER_MS).min(audio.len().checked_sub(width)?);
    if at_ms as usize * PER_MS > audio.len() {
        return None;
    }
    let power = |start: usize| mean_square(&audio[start..start + width]);
    let starts = (lowest.min(highest)..=highest).step_by(step);
    let start = starts.min_by(|a, b| power(*a).total_cmp(&power(*b)))?;
    Some(start + width / 2)
}

fn fade(part: &mut [i16], beginning: bool, end: bool) {
    let len = (FADE_MS as usize * PER_MS).min(part.len());
    let scaled = |s: i16, n: usize| (i32::from(s) * n as i32 / len as i32) as i16;
    if beginning {
        part.iter_mut().take(len).enumerate().for_each(|(n, s)| *s = scaled(*s, n));
    }
    if end {
        part.iter_mut().rev().take(len).enumerate().for_each(|(n, s)| *s = scaled(*s, n));
    }
}

/// One after the other with silence between.
pub fn joined(before: &[i16], gap_ms: u32, after: &[i16]) -> Vec<i16> {
    let mut out = before.to_vec();
    out.extend(silence(gap_ms));
    out.extend_from_slice(after);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speech, silence, speech ...: lengths in milliseconds.
    fn tone(parts: &[usize]) -> Vec<i16> {
        let mut audio: Vec<i16> = vec![];
        for (n, ms) in parts.iter().enumerate() {
            let level = if n % 2 == 0 { 5_000 } else { 0 };
            audio.extend((0..ms * PER_MS).map(|i| if i % 2 == 0 { level } else { -level }));
        }
        audio
    }

    #[test]
    fn pauses_are_found_between_speech_only() {
        let u = Utterance::new("x".into(), tone(&[0, 100, 400, 280, 400, 300, 200, 700, 100, 500]), -20.0);
        // A gap of 280 ms is a word's; the silences at both ends are no pauses.
        assert_eq!(u.pauses.iter().map(|p| p.ms).collect::<Vec<_>>(), [300, 700]);
        assert_eq!((u.first_frame, u.last_frame), (100 / 20, (2_479) / 20));
        assert_eq!((u.pauses[0].after, u.pauses[0].until), (1_179 / 20, 1_480 / 20));
    }

    #[test]
    fn a_pause_goes_to_the_quietest_place_near_by() {
        // The gap is at 300 to 340 ms; the cut is asked for 60 ms beside it.
        let audio = tone(&[300, 40, 300]);
        let cut = with_pauses(&audio, &[(380, silence(700))]).unwrap();
        assert_eq!(cut.len(), audio.len() + 700 * PER_MS);
        let u = Utterance::new("x".into(), cut, 0.0);
        assert_eq!(u.pauses.iter().map(|p| p.ms).collect::<Vec<_>>(), [740]);
        assert!(with_pauses(&audio, &[(900, silence(700))]).is_none(), "beyond the end");
        let two = with_pauses(&tone(&[300, 40, 300, 40, 300]), &[(660, silence(500)), (320, silence(600))]).unwrap();
        let found = Utterance::new("x".into(), two, 0.0).pauses;
        assert_eq!(found.iter().map(|p| p.ms).collect::<Vec<_>>(), [640, 540]);
    }

    #[test]
    fn a_cut_in_sound_does_not_click() {
        let cut = with_pauses(&vec![10_000; 16_000], &[(500, silence(500))]).unwrap();
        let steps = cut.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        assert!(steps.max() < Some(200));
    }

    #[test]
    fn frames_end_with_the_audio() {
        let u = Utterance::new("x".into(), vec![1; 330], 0.0);
        let mut out = [9; FRAME_SAMPLES];
        assert!(u.frame(1, &mut out).is_some());
        assert_eq!((out[9], out[10]), (1, 0));
        assert!(u.frame(2, &mut out).is_none());
    }

    #[test]
    fn a_word_before_makes_a_pause() {
        let joined = joined(&tone(&[300]), 500, &tone(&[400]));
        assert_eq!(Utterance::new("um".into(), joined, 0.0).pauses[0].ms, 500);
    }
}
