//! A Piper voice: text to phonemes through espeak-ng, phonemes to audio through a VITS network, sentence by sentence.
//! Never writes what it says, and never waits for the whole clause before it hands out the first sentence.

use crate::level;
use crate::onnx;
use crate::recognizing::Failed;
use crate::resample::Resampler;
use crate::speaking::Speak;
use crate::worker::Ticket;
use media::SAMPLE_RATE;
use ort::session::Session;
use ort::value::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest sentence for the network, phoneme ids; a longer one is cut at a pause or a space.
const IDS_MAX: usize = 400;
const PAD: char = '_';
const BEGIN: char = '^';
const END: char = '$';

/// The parts of a voice's `.onnx.json` that matter here.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct VoiceConfig {
    audio: AudioConfig,
    espeak: EspeakConfig,
    inference: InferenceConfig,
    phoneme_id_map: BTreeMap<String, Vec<i64>>,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct AudioConfig {
    sample_rate: u32,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct EspeakConfig {
    voice: String,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct InferenceConfig {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

impl VoiceConfig {
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let known = |char: char| config.phoneme_id_map.contains_key(char.encode_utf8(&mut [0; 4]) as &str);
        if ![PAD, BEGIN, END].into_iter().all(known) {
            return Err("the voice has no ids for padding, begin and end".to_owned());
        }
        if !(8_000..=48_000).contains(&config.audio.sample_rate) {
            return Err("the voice's sample rate is out of range".to_owned());
        }
        Ok(config)
    }

    fn ids(&self, char: char) -> &[i64] {
        self.phoneme_id_map.get(char.encode_utf8(&mut [0; 4]) as &str).map_or(&[], Vec::as_slice)
    }

    /// Ids of one sentence: begin, then every phoneme with padding around it, then end. Unknown phonemes are left out.
    fn sentence_ids(&self, phonemes: &str) -> Vec<i64> {
        let mut ids = self.ids(BEGIN).to_vec();
        for phoneme in phonemes.chars().map(|char| self.ids(char)).filter(|ids| !ids.is_empty()) {
            ids.extend(self.ids(PAD));
            ids.extend(phoneme);
        }
        ids.extend(self.ids(PAD));
        ids.extend(self.ids(END));
        ids
    }
}

/// The voice, loaded.
pub(crate) struct Piper {
    session: Session,
    config: VoiceConfig,
    resampler: Resampler,
}

impl Piper {
    pub(crate) fn load(model: &Path, config: &Path) -> Result<Self, String> {
        let json = std::fs::read_to_string(config).map_err(|error| error.to_string())?;
        let config = VoiceConfig::parse(&json)?;
        espeak::check_voice(&config.espeak.voice).map_err(|error| error.to_string())?;
        let session = onnx::session(model).map_err(|error| error.to_string())?;
        let resampler = Resampler::new(config.audio.sample_rate, SAMPLE_RATE);
        let mut piper = Self { session, config, resampler };
        piper.speak("Hello.", &Ticket::new(), &mut |_| {}).map_err(|Failed| "the warm-up failed")?;
        Ok(piper)
    }

    fn sentence(&mut self, phonemes: &str) -> ort::Result<Vec<i16>> {
        let ids = self.config.sentence_ids(phonemes);
        let scales = &self.config.inference;
        let scales = vec![scales.noise_scale, scales.length_scale, scales.noise_w];
        let length = ids.len();
        let outputs = self.session.run(ort::inputs![
            "input" => Tensor::from_array(([1usize, length], ids))?,
            "input_lengths" => Tensor::from_array(([1usize], vec![length as i64]))?,
            "scales" => Tensor::from_array(([3usize], scales))?,
        ])?;
        let (_, samples) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(level::finish(self.resampler.resample(samples)))
    }
}

impl Speak for Piper {
    fn speak(&mut self, text: &str, ticket: &Ticket, emit: &mut dyn FnMut(Vec<i16>)) -> Result<(), Failed> {
        let clauses = espeak::phonemes(text, &self.config.espeak.voice).map_err(|error| {
            tracing::warn!(%error, "espeak failed");
            Failed
        })?;
        for phonemes in sentences(&clauses) {
            if ticket.cancelled() {
                return Ok(());
            }
            let samples = self.sentence(&phonemes).map_err(|error| {
                tracing::warn!(%error, "piper failed");
                Failed
            })?;
            emit(samples);
        }
        Ok(())
    }
}

/// Joins clauses into sentences, each with its punctuation, none longer than the network takes.
fn sentences(clauses: &[espeak::Clause]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut sentence = String::new();
    for (number, clause) in clauses.iter().enumerate() {
        let ipa = without_language_marks(&clause.ipa);
        if !sentence.is_empty() && sentence.chars().count() + ipa.chars().count() > IDS_MAX / 2 {
            out.push(std::mem::take(&mut sentence));
        }
        sentence.push_str(&ipa);
        // A text that just stops is read as a statement.
        let last = number + 1 == clauses.len();
        match clause.terminator.or(last.then_some('.')) {
            Some(mark @ ('.' | '!' | '?')) => {
                sentence.push(mark);
                out.push(std::mem::take(&mut sentence));
            }
            Some(mark) => sentence.extend([mark, ' ']),
            None => sentence.push(' '),
        }
    }
    if !sentence.trim().is_empty() {
        out.push(sentence);
    }
    out.into_iter().flat_map(|sentence| cut_long(&sentence)).collect()
}

/// espeak-ng marks words of another language: `(en)həloʊ(ru)`. The marks are not sounds.
fn without_language_marks(ipa: &str) -> String {
    let mut depth = 0u32;
    let kept = |char: &char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    ipa.chars().filter(kept).collect()
}

fn cut_long(sentence: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in sentence.split_inclusive(' ') {
        let length = |text: &str| text.chars().count();
        let full = pieces.last().is_some_and(|piece| !piece.is_empty() && length(piece) + length(word) > IDS_MAX / 2);
        if full {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.extend(word.chars().take(IDS_MAX / 2));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"audio":{"sample_rate":22050},"espeak":{"voice":"en-us"},
        "inference":{"noise_scale":0.6,"length_scale":1,"noise_w":0.8},
        "phoneme_id_map":{"_":[0],"^":[1],"$":[2],"a":[14],"b":[15],".":[10]}}"#;

    #[test]
    fn ids_have_padding_between_begin_and_end() {
        let config = VoiceConfig::parse(CONFIG).unwrap();
        assert_eq!(config.sentence_ids("ab."), [1, 0, 14, 0, 15, 0, 10, 0, 2]);
        assert_eq!(config.sentence_ids("a☃b"), [1, 0, 14, 0, 15, 0, 2]);
    }

    #[test]
    fn a_config_that_cannot_speak_is_refused() {
        let check = |json: &str| assert!(VoiceConfig::parse(json).is_err(), "{json}");
        check("");
        check("{}");
        check(&CONFIG.replace("\"^\"", "\"x\""));
        check(&CONFIG.replace("22050", "0"));
    }

    #[test]
    fn clauses_become_sentences() {
        let clause = |(ipa, terminator): &(&str, Option<char>)| espeak::Clause {
            ipa: (*ipa).to_owned(),
            terminator: *terminator,
        };
        let check = |clauses: &[(&str, Option<char>)], want: &[&str]| {
            let clauses: Vec<_> = clauses.iter().map(clause).collect();
            assert_eq!(sentences(&clauses), want);
        };
        check(&[("jɛs", Some(',')), ("wi duː", Some('.')), ("ɛls", Some('?'))], &["jɛs, wi duː.", "ɛls?"]);
        check(&[("jɛs", None)], &["jɛs."]);
        check(&[("jɛs", Some(','))], &["jɛs, "]);
        check(&[("(en)həloʊ(ru) da", Some('!'))], &["həloʊ da!"]);
        check(&[], &[]);
    }

    #[test]
    fn no_sentence_is_longer_than_the_network_takes() {
        let long = espeak::Clause { ipa: "abcdefg ".repeat(100), terminator: Some('.') };
        let unbroken = espeak::Clause { ipa: "a".repeat(5_000), terminator: None };
        for sentence in sentences(&[long, unbroken]) {
            assert!(sentence.chars().count() <= IDS_MAX / 2, "{}", sentence.len());
        }
    }
}
