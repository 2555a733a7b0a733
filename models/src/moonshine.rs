//! Moonshine tiny: English speech to text, greedy decoding with a key/value cache through the ONNX Runtime. Hears
//! English in everything, so it never gets another language, and says nothing about audio that is nearly silent.

use crate::onnx;
use crate::recognizing::{Failed, Transcribe};
use crate::worker::Ticket;
use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};
use std::borrow::Cow;
use std::path::Path;

const START: i64 = 1;
const END: usize = 2;
/// Nobody speaks faster; a decoder that goes on is repeating itself.
const TOKENS_PER_SECOND: f32 = 6.5;
const TOKENS_EXTRA: usize = 4;
/// Shape of an empty cache: batch, heads, positions, width of a head.
const HEADS: usize = 8;
const HEAD_WIDTH: usize = 36;
/// Silence put before the audio, samples: 200 ms. Of 284 words in 54 short recordings that begin with a word, 252 came
/// out right without it and 268 with it.
const LEAD_IN: usize = 3_200;
/// Shorter audio is padded to this; the encoder's convolutions need some context.
const SAMPLES_MIN: usize = 8_000;
/// Audio whose loudest sample stays under this holds no words: about -48 dBFS.
const PEAK_MIN: u16 = 130;
/// The audio is brought to this peak before it is heard: callers differ by 30 dB.
const PEAK_WANTED: f32 = 0.5;
const GAIN_MAX: f32 = 16.0;

/// The model, loaded.
pub(crate) struct Moonshine {
    encoder: Session,
    decoder: Session,
    /// Names of the cache's inputs, and of the outputs that replace them.
    cache: Vec<(String, String)>,
    tokens: Vec<Vec<u8>>,
}

impl Moonshine {
    /// The manifest's names of the files that `load` wants, in order.
    pub(crate) const FILES: [&str; 3] = [
        "moonshine-tiny-en/encoder_model.ort",
        "moonshine-tiny-en/decoder_model_merged.ort",
        "moonshine-tiny-en/tokenizer.bin",
    ];

    pub(crate) fn load(encoder: &Path, decoder: &Path, tokenizer: &Path) -> Result<Self, String> {
        let open = |path: &Path| onnx::session(path).map_err(|error| error.to_string());
        let (encoder, decoder) = (open(encoder)?, open(decoder)?);
        let bytes = std::fs::read(tokenizer).map_err(|error| error.to_string())?;
        let tokens = read_tokens(&bytes).ok_or("the tokenizer is cut short")?;
        let inputs = decoder.inputs().iter().map(|input| input.name());
        let past = inputs.filter(|name| name.starts_with("past_key_values"));
        let cache = past.map(|name| (name.to_owned(), name.replace("past_key_values", "present"))).collect();
        let mut model = Self { encoder, decoder, cache, tokens };
        model.run(&[0.01; SAMPLES_MIN], &Ticket::new()).map_err(|error| error.to_string())?;
        Ok(model)
    }

    fn run(&mut self, audio: &[f32], ticket: &Ticket) -> ort::Result<Vec<usize>> {
        let samples = audio.len();
        let mask = vec![1i64; samples];
        let encoded = self.encoder.run(ort::inputs![
            "input_values" => TensorRef::from_array_view(([1usize, samples], audio))?,
            "attention_mask" => TensorRef::from_array_view(([1usize, samples], mask.as_slice()))?,
        ])?;
        let (shape, states) = encoded[0].try_extract_tensor::<f32>()?;
        let shape: Vec<i64> = shape.to_vec();
        let mut cache = Vec::with_capacity(self.cache.len());
        for _ in &self.cache {
            let empty = Tensor::<f32>::new(&Allocator::default(), [0usize, HEADS, 1, HEAD_WIDTH])?;
            cache.push(empty.into_dyn());
        }
        let limit = (samples as f32 / 16_000.0 * TOKENS_PER_SECOND) as usize + TOKENS_EXTRA;
        let mut token = START;
        let mut heard: Vec<usize> = Vec::new();
        for step in 0..limit {
            if ticket.cancelled() {
                break;
            }
            let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = vec![
                ("input_ids".into(), Tensor::from_array(([1usize, 1], vec![token]))?.into()),
                (
                    "encoder_attention_mask".into(),
                    TensorRef::from_array_view(([1usize, samples], mask.as_slice()))?.into(),
                ),
                ("encoder_hidden_states".into(), TensorRef::from_array_view((shape.clone(), states))?.into()),
                ("use_cache_branch".into(), Tensor::from_array(([1usize], vec![step > 0]))?.into()),
            ];
            for ((name, _), value) in self.cache.iter().zip(&cache) {
                inputs.push((name.as_str().into(), SessionInputValue::from(value.view())));
            }
            let mut outputs = self.decoder.run(inputs)?;
            let best = likeliest(&outputs[0])?;
            if best == END {
                break;
            }
            heard.push(best);
            token = best as i64;
            if repeats(&heard) {
                break;
            }
            for ((_, name), slot) in self.cache.iter().zip(&mut cache) {
                // The encoder's half of the cache is computed in the first step only.
                if (step == 0 || name.contains("decoder"))
                    && let Some(value) = outputs.remove(name)
                {
                    *slot = value;
                }
            }
        }
        Ok(heard)
    }

    fn text(&self, heard: &[usize]) -> String {
        let bytes: Vec<u8> = heard.iter().filter_map(|token| self.tokens.get(*token)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).replace('▁', " ").trim().to_owned()
    }
}

impl Transcribe for Moonshine {
    fn transcribe(&mut self, audio: &[i16], _language: &str, ticket: &Ticket) -> Result<String, Failed> {
        let Some(audio) = prepare(audio) else { return Ok(String::new()) };
        let heard = self.run(&audio, ticket).map_err(|error| {
            tracing::warn!(%error, "moonshine failed");
            Failed
        })?;
        Ok(cut_repetitions(&self.text(&heard)))
    }
}

fn likeliest(logits: &DynValue) -> ort::Result<usize> {
    let (shape, values) = logits.try_extract_tensor::<f32>()?;
    let vocabulary = shape.last().and_then(|size| usize::try_from(*size).ok()).unwrap_or(0);
    let last = values.get(values.len().saturating_sub(vocabulary)..).unwrap_or_default();
    let best = last.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(best.map_or(END, |(token, _)| token))
}

/// Floats at an even level, or nothing if nobody speaks.
fn prepare(audio: &[i16]) -> Option<Vec<f32>> {
    let peak = audio.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    if peak < PEAK_MIN {
        return None;
    }
    let gain = (PEAK_WANTED * 32_768.0 / f32::from(peak)).min(GAIN_MAX) / 32_768.0;
    let mut out = vec![0.0; LEAD_IN];
    out.extend(audio.iter().map(|sample| f32::from(*sample) * gain));
    out.resize(out.len().max(SAMPLES_MIN), 0.0);
    Some(out)
}

/// Whether the last tokens go round in circles: six times for a few tokens (a number may well hold "five five five
/// five"), three times for a phrase.
fn repeats(tokens: &[usize]) -> bool {
    (1..=12).any(|period: usize| {
        let times = if period <= 3 { 6 } else { 3 };
        let tail = tokens.len().checked_sub(period * times).and_then(|start| tokens.get(start..));
        tail.is_some_and(|tail| tail.iter().zip(tail.iter().skip(period)).all(|(a, b)| a == b))
    })
}

/// Short clips make the model say one sentence several times ("Yes. Yes. Yes."): keeps the first of a run.
fn cut_repetitions(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for sentence in text.split_inclusive(['.', '!', '?']) {
        let bare = |text: &str| text.trim().trim_end_matches(['.', '!', '?']).to_lowercase();
        if kept.last().is_none_or(|last| bare(last) != bare(sentence)) {
            kept.push(sentence);
        }
    }
    kept.concat().trim().to_owned()
}

/// The token file: for each token its length, one byte or two from 128 up, then its bytes.
fn read_tokens(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut tokens = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        let mut length = usize::from(*first);
        if length >= 128 {
            let (second, rest) = bytes.split_first()?;
            bytes = rest;
            length = length - 128 + usize::from(*second) * 128;
        }
        let (token, rest) = bytes.split_at_checked(length)?;
        tokens.push(token.to_vec());
        bytes = rest;
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_lengths_of_one_or_two_bytes() {
        let mut file = vec![0, 2, b'h', b'i', 130, 1];
        file.extend([b'x'; 130]);
        let tokens = read_tokens(&file).unwrap();
        assert_eq!(tokens.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 130]);
        assert_eq!(read_tokens(&file[..file.len() - 1]), None);
        assert_eq!(read_tokens(&[200]), None);
        assert_eq!(read_tokens(&[]), Some(Vec::new()));
    }

    #[test]
    fn repeated_sentences_are_said_once() {
        let check = |text: &str, want: &str| assert_eq!(cut_repetitions(text), want, "{text:?}");
        check("Yes. Yes. Yes.", "Yes.");
        check("Yes. yes! Yes", "Yes.");
        check("No, thank you.", "No, thank you.");
        check("Five. Six. Five.", "Five. Six. Five.");
        check("", "");
    }

    #[test]
    fn loops_are_noticed() {
        let check = |tokens: &[usize], want: bool| assert_eq!(repeats(tokens), want, "{tokens:?}");
        check(&[5; 6], true);
        check(&[1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2], true);
        check(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4], true);
        check(&[1, 2, 3, 4], false);
        check(&[5; 5], false);
        check(&[], false);
    }

    #[test]
    fn quiet_audio_is_raised_and_silence_is_not_heard() {
        assert!(prepare(&[100; 16_000]).is_none());
        assert!(prepare(&[]).is_none());
        let quiet = prepare(&[1_000; 100]).unwrap();
        assert_eq!(quiet.len(), SAMPLES_MIN);
        assert_eq!(quiet[LEAD_IN - 1], 0.0);
        assert!((quiet[LEAD_IN] - 1_000.0 * 16.0 / 32_768.0).abs() < 1e-3);
        assert!((prepare(&[20_000; 9_000]).unwrap()[LEAD_IN] - 0.5).abs() < 1e-3);
    }
}
