//! Whisper through whisper.cpp: speech to text in about a hundred languages, greedy, one thread, one utterance at a
//! time. Never prints, and never loads a second ggml into the process.

use crate::recognizing::{Failed, Transcribe};
use crate::worker::{Ticket, locked};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

const SAMPLES_PER_SECOND: f32 = 16_000.0;
/// Encoder positions: 50 a second, plus room. The encoder's time grows faster than their number, but with too few the
/// decoder loops: none of 54 short recordings did with 384, some with 320.
const POSITIONS_PER_SECOND: f32 = 50.0;
const POSITIONS_EXTRA: i32 = 192;
const POSITIONS_MIN: i32 = 384;
/// What a looping utterance gets in its second try, at least.
const POSITIONS_RETRY: i32 = 768;
const POSITIONS_FULL: i32 = 1500;
/// Nobody speaks faster than this; a decoder that goes on is repeating itself.
const TOKENS_PER_SECOND: f32 = 7.0;
const TOKENS_EXTRA: i32 = 12;
/// whisper.cpp refuses less than 100 ms; short words are heard better with silence around them.
const SAMPLES_MIN: usize = 17_600;
/// Audio whose loudest sample stays under this holds no words: about -48 dBFS.
const PEAK_MIN: u16 = 130;
/// A segment that is less likely than this to be speech is dropped when its text is doubtful too.
const NO_SPEECH_MAX: f32 = 0.8;

/// The model with the state of one thread.
pub(crate) struct Whisper {
    state: WhisperState,
    /// Parameters by language. whisper-rs leaks what a parameter set points to, so sets are made once and cloned.
    parameters: BTreeMap<String, FullParams<'static, 'static>>,
    /// The job that the abort callback of every parameter set looks at.
    current: Arc<Mutex<Ticket>>,
}

impl Whisper {
    /// The manifest's name of the file that `open` wants.
    pub(crate) const FILE: &'static str = "whisper-base/ggml-base-q8_0.bin";

    /// Loads the weights; threads share them.
    pub(crate) fn open(model: &Path) -> Result<WhisperContext, String> {
        whisper_rs::install_logging_hooks();
        let mut parameters = WhisperContextParameters::new();
        parameters.use_gpu(false);
        WhisperContext::new_with_params(model, parameters).map_err(|error| error.to_string())
    }

    pub(crate) fn new(context: &WhisperContext) -> Result<Self, String> {
        let state = context.create_state().map_err(|error| error.to_string())?;
        let mut whisper = Self { state, parameters: BTreeMap::new(), current: Arc::default() };
        whisper.run(&[0.0; SAMPLES_MIN], "en", POSITIONS_MIN).map_err(|Failed| "the warm-up failed")?;
        Ok(whisper)
    }

    /// Whether the language is one of Whisper's.
    pub(crate) fn knows(language: &str) -> bool {
        // Asking for an unknown one makes whisper.cpp print.
        whisper_rs::install_logging_hooks();
        whisper_rs::get_lang_id(language).is_some()
    }

    fn run(&mut self, audio: &[f32], language: &str, positions: i32) -> Result<String, Failed> {
        if !self.parameters.contains_key(language) {
            let made = parameters(language, &self.current);
            self.parameters.insert(language.to_owned(), made);
        }
        let mut parameters = self.parameters.get(language).ok_or(Failed)?.clone();
        let seconds = audio.len() as f32 / SAMPLES_PER_SECOND;
        parameters.set_audio_ctx(positions);
        parameters.set_max_tokens((seconds * TOKENS_PER_SECOND) as i32 + TOKENS_EXTRA);
        self.state.full(parameters, audio).map_err(|error| {
            if !locked(&self.current).cancelled() {
                tracing::warn!(%error, "whisper failed");
            }
            Failed
        })?;
        let speech = self.state.as_iter().filter(|segment| segment.no_speech_probability() < NO_SPEECH_MAX);
        let text: String = speech.filter_map(|segment| Some(segment.to_str_lossy().ok()?.into_owned())).collect();
        Ok(without_sounds(&text))
    }
}

/// Greedy decoding without timestamps or context from earlier utterances, silent, cancellable.
fn parameters(language: &str, current: &Arc<Mutex<Ticket>>) -> FullParams<'static, 'static> {
    let mut p: FullParams<'static, 'static> = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    let language = whisper_rs::get_lang_id(language).and_then(whisper_rs::get_lang_str);
    p.set_language(language);
    p.set_n_threads(1);
    p.set_translate(false);
    p.set_no_context(true);
    p.set_no_timestamps(true);
    p.set_single_segment(true);
    p.set_suppress_blank(true);
    p.set_suppress_nst(true);
    p.set_temperature(0.0);
    p.set_temperature_inc(0.0);
    p.set_print_special(false);
    p.set_print_progress(false);
    p.set_print_realtime(false);
    p.set_print_timestamps(false);
    let current = Arc::clone(current);
    // whisper-rs 0.16 hands the callback a pointer to a boxed closure but reads it as the closure's own type; they
    // only agree when that type is the box.
    let cancelled: Box<dyn FnMut() -> bool> = Box::new(move || locked(&current).cancelled());
    p.set_abort_callback_safe::<_, Box<dyn FnMut() -> bool>>(Some(cancelled));
    p
}

impl Transcribe for Whisper {
    fn transcribe(&mut self, audio: &[i16], language: &str, ticket: &Ticket) -> Result<String, Failed> {
        *locked(&self.current) = ticket.clone();
        if audio.iter().all(|sample| sample.unsigned_abs() < PEAK_MIN) {
            return Ok(String::new());
        }
        let mut samples: Vec<f32> = audio.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        samples.resize(samples.len().max(SAMPLES_MIN), 0.0);
        let seconds = samples.len() as f32 / SAMPLES_PER_SECOND;
        let positions = (seconds * POSITIONS_PER_SECOND) as i32 + POSITIONS_EXTRA;
        let positions = positions.clamp(POSITIONS_MIN, POSITIONS_FULL);
        let text = self.run(&samples, language, positions)?;
        let more = (positions * 2).clamp(POSITIONS_RETRY, POSITIONS_FULL);
        if repeats(&text) && more > positions && !ticket.cancelled() {
            return self.run(&samples, language, more);
        }
        Ok(text)
    }
}

/// Without what is no speech: `[BLANK_AUDIO]`, `(music)`, `*coughs*`.
fn without_sounds(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut close = None;
    for char in text.chars() {
        match (close, char) {
            (Some(end), char) if char == end => close = None,
            (Some(_), _) => {}
            (None, '[') => close = Some(']'),
            (None, '(') => close = Some(')'),
            (None, '*') => close = Some('*'),
            (None, '♪') => {}
            (None, char) => out.push(char),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the text says the same words four times over.
fn repeats(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    (1..=8).any(|period| {
        let same = |(a, b): (&&str, &&str)| a.eq_ignore_ascii_case(b);
        let runs = words.windows(period * 4);
        runs.into_iter().any(|run| run.iter().zip(run.iter().skip(period)).all(same))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_are_not_words() {
        let check = |text: &str, want: &str| assert_eq!(without_sounds(text), want, "{text:?}");
        check(" [BLANK_AUDIO]", "");
        check(" (music) Yes, please.", "Yes, please.");
        check(" *coughs* Hello ♪", "Hello");
        check(" Где вы находитесь?", "Где вы находитесь?");
        check(" an open [end", "an open");
    }

    #[test]
    fn loops_are_noticed() {
        let check = |text: &str, want: bool| assert_eq!(repeats(text), want, "{text:?}");
        check("no no no no", true);
        check("I am here. I am here. I am here. I am here.", true);
        check("five five five, one two three", false);
        check("", false);
    }

    #[test]
    fn languages_are_whispers_own() {
        assert!(Whisper::knows("en") && Whisper::knows("ru") && Whisper::knows("kk"));
        assert!(!Whisper::knows("tlh"));
    }
}
