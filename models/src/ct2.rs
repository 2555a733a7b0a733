//! Turns a Whisper model of CTranslate2 (binary version 6, fp16) into the ggml file that whisper.cpp reads (q8_0).
//! Streams: holds one small block of weights at a time and never trusts a length that the file states.

use crate::mel;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// "ggml", little endian: the first word of the legacy container.
const MAGIC: u32 = 0x6767_6d6c;
/// Quantization version 2 times 1000, plus 7: "mostly q8_0" (ggml.h, `ggml_ftype`).
const FILE_TYPE_Q8_0: i32 = 2007;
const TENSOR_F32: i32 = 0;
const TENSOR_F16: i32 = 1;
const TENSOR_Q8_0: i32 = 8;
/// Weights that share one scale in q8_0.
const BLOCK: usize = 32;
/// Weights read at a time.
const CHUNK: usize = 256 * BLOCK;
const HEAD_DIM: u32 = 64;
const CT2_F16: u8 = 4;

const VARIABLES_MAX: u32 = 10_000;
const RANK_MAX: u8 = 3;
const VARIABLE_BYTES_MAX: u64 = 1 << 30;
const TOKENIZER_BYTES_MAX: u64 = 16 << 20;
const TOKENS_MAX: usize = 1 << 20;
const TOKEN_CHARS_MAX: usize = 1024;

/// Why a model could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Reading the source or writing the result failed.
    #[error("the model could not be read or written: {0}")]
    Io(#[from] io::Error),
    /// The source is not what it should be.
    #[error("the source model is malformed: {0}; pull it again")]
    Malformed(&'static str),
    /// The source lacks a tensor, or it has another shape.
    #[error("the source model has no usable tensor `{0}`; only Whisper models in fp16 can be converted")]
    Tensor(String),
}

/// Converts `model` with the vocabulary of `tokenizer_json` and writes the ggml file to `out`.
///
/// # Errors
/// On malformed input; what was written until then is useless.
pub fn convert<M: Read + Seek, W: Write>(model: M, tokenizer_json: impl Read, out: W) -> Result<(), ConvertError> {
    let mut source = Source::open(model)?;
    let tokens = read_tokens(tokenizer_json)?;
    let shape = Shape::of(&source)?;
    let mut writer = Writer { source: &mut source, out, shape };
    writer.header(&tokens)?;
    writer.tensors()?;
    writer.out.flush()?;
    Ok(())
}

/// One variable of the source: where its half-precision values start, and their shape.
#[derive(Clone, Debug)]
struct Variable {
    offset: u64,
    dims: Vec<u32>,
}

impl Variable {
    fn values(&self) -> u64 {
        self.dims.iter().map(|dim| u64::from(*dim)).product()
    }
}

struct Source<M> {
    model: M,
    variables: BTreeMap<String, Variable>,
}

impl<M: Read + Seek> Source<M> {
    /// Reads the index; the values stay where they are.
    fn open(mut model: M) -> Result<Self, ConvertError> {
        let length = model.seek(SeekFrom::End(0))?;
        model.seek(SeekFrom::Start(0))?;
        if read_u32(&mut model)? != 6 {
            return Err(ConvertError::Malformed("not version 6 of the CTranslate2 format"));
        }
        if read_string(&mut model)? != "WhisperSpec" {
            return Err(ConvertError::Malformed("not a Whisper model"));
        }
        let _revision = read_u32(&mut model)?;
        let count = read_u32(&mut model)?;
        if count > VARIABLES_MAX {
            return Err(ConvertError::Malformed("too many variables"));
        }
        let mut variables = BTreeMap::new();
        for _ in 0..count {
            let (name, variable) = read_variable(&mut model, length)?;
            if let Some(variable) = variable {
                variables.insert(name, variable);
            }
        }
        Ok(Self { model, variables })
    }

    fn find(&self, name: &str) -> Result<&Variable, ConvertError> {
        self.variables.get(name).ok_or_else(|| ConvertError::Tensor(name.to_owned()))
    }

    fn dims<const N: usize>(&self, name: &str) -> Result<[u32; N], ConvertError> {
        let dims = self.find(name)?.dims.as_slice();
        dims.try_into().map_err(|_| ConvertError::Tensor(name.to_owned()))
    }

    fn layers(&self, stack: &str) -> u32 {
        let probe = |layer: &u32| format!("{stack}/layer_{layer}/self_attention/linear_0/weight");
        (0..VARIABLES_MAX).take_while(|layer| self.variables.contains_key(&probe(layer))).count() as u32
    }
}

fn read_variable(model: &mut (impl Read + Seek), length: u64) -> Result<(String, Option<Variable>), ConvertError> {
    let name = read_string(model)?;
    let [rank] = read_array(model)?;
    if rank > RANK_MAX {
        return Err(ConvertError::Malformed("a variable has too many dimensions"));
    }
    let dims = (0..rank).map(|_| read_u32(model)).collect::<Result<Vec<_>, _>>()?;
    let [kind] = read_array(model)?;
    let bytes = u64::from(read_u32(model)?);
    let offset = model.stream_position()?;
    if bytes > VARIABLE_BYTES_MAX || offset.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(ConvertError::Malformed("a variable reaches past the end of the file"));
    }
    model.seek(SeekFrom::Start(offset + bytes))?;
    // Switches and counts are stored as scalars; only tensors matter here.
    if kind != CT2_F16 || dims.is_empty() {
        return Ok((name, None));
    }
    let values = dims.iter().try_fold(1u64, |product, dim| product.checked_mul(u64::from(*dim)));
    if values.and_then(|values| values.checked_mul(2)) != Some(bytes) {
        return Err(ConvertError::Malformed("a variable's size does not fit its shape"));
    }
    Ok((name, Some(Variable { offset, dims })))
}

#[derive(Clone, Copy)]
struct Shape {
    vocabulary: u32,
    audio_context: u32,
    state: u32,
    encoder_layers: u32,
    text_context: u32,
    decoder_layers: u32,
    mels: u32,
}

impl Shape {
    fn of<M: Read + Seek>(source: &Source<M>) -> Result<Self, ConvertError> {
        let [state, mels, _] = source.dims("encoder/conv1/weight")?;
        let [vocabulary, _] = source.dims("decoder/embeddings/weight")?;
        let [audio_context, _] = source.dims("encoder/position_encodings/encodings")?;
        let [text_context, _] = source.dims("decoder/position_encodings/encodings")?;
        let (encoder_layers, decoder_layers) = (source.layers("encoder"), source.layers("decoder"));
        if state == 0 || !state.is_multiple_of(HEAD_DIM) || mels == 0 || mels > 256 {
            return Err(ConvertError::Malformed("an impossible model size"));
        }
        if encoder_layers == 0 || decoder_layers == 0 {
            return Err(ConvertError::Malformed("no layers"));
        }
        Ok(Self { vocabulary, audio_context, state, encoder_layers, text_context, decoder_layers, mels })
    }
}

/// Which rows of a source tensor become a tensor of their own: CTranslate2 fuses query, key and value.
#[derive(Clone, Copy)]
struct Part {
    index: u32,
    of: u32,
}

const WHOLE: Part = Part { index: 0, of: 1 };

struct Writer<'a, M, W> {
    source: &'a mut Source<M>,
    out: W,
    shape: Shape,
}

impl<M: Read + Seek, W: Write> Writer<'_, M, W> {
    fn header(&mut self, tokens: &[Vec<u8>]) -> Result<(), ConvertError> {
        let s = self.shape;
        let heads = s.state / HEAD_DIM;
        self.out.write_all(&MAGIC.to_le_bytes())?;
        self.words(&[s.vocabulary, s.audio_context, s.state, heads, s.encoder_layers])?;
        self.words(&[s.text_context, s.state, heads, s.decoder_layers, s.mels])?;
        self.out.write_all(&FILE_TYPE_Q8_0.to_le_bytes())?;
        let filters = mel::filters(s.mels as usize);
        self.words(&[s.mels, mel::BINS as u32])?;
        for weight in filters.iter().flatten() {
            self.out.write_all(&weight.to_le_bytes())?;
        }
        self.words(&[u32::try_from(tokens.len()).unwrap_or(u32::MAX)])?;
        for token in tokens {
            self.words(&[u32::try_from(token.len()).unwrap_or(u32::MAX)])?;
            self.out.write_all(token)?;
        }
        Ok(())
    }

    fn words(&mut self, words: &[u32]) -> Result<(), ConvertError> {
        words.iter().try_for_each(|word| self.out.write_all(&word.to_le_bytes()))?;
        Ok(())
    }

    /// Writes every tensor, in the order in which OpenAI's checkpoints keep them: so the result is the same, byte
    /// for byte, as a checkpoint converted and quantized with whisper.cpp's own tools.
    fn tensors(&mut self) -> Result<(), ConvertError> {
        self.plain("decoder.positional_embedding", "decoder/position_encodings/encodings")?;
        self.plain("encoder.positional_embedding", "encoder/position_encodings/encodings")?;
        self.weight("decoder.token_embedding.weight", "decoder/embeddings/weight", WHOLE)?;
        for layer in 0..self.shape.decoder_layers {
            self.block(&format!("decoder.blocks.{layer}"), &format!("decoder/layer_{layer}"), true)?;
        }
        self.norm("decoder.ln", "decoder/layer_norm")?;
        for conv in ["conv1", "conv2"] {
            self.weight(&format!("encoder.{conv}.weight"), &format!("encoder/{conv}/weight"), WHOLE)?;
            self.plain(&format!("encoder.{conv}.bias"), &format!("encoder/{conv}/bias"))?;
        }
        for layer in 0..self.shape.encoder_layers {
            self.block(&format!("encoder.blocks.{layer}"), &format!("encoder/layer_{layer}"), false)?;
        }
        self.norm("encoder.ln_post", "encoder/layer_norm")
    }

    fn block(&mut self, to: &str, from: &str, cross: bool) -> Result<(), ConvertError> {
        self.norm(&format!("{to}.mlp_ln"), &format!("{from}/ffn/layer_norm"))?;
        self.linear(&format!("{to}.mlp.0"), &format!("{from}/ffn/linear_0"), WHOLE, true)?;
        self.linear(&format!("{to}.mlp.2"), &format!("{from}/ffn/linear_1"), WHOLE, true)?;
        self.norm(&format!("{to}.attn_ln"), &format!("{from}/self_attention/layer_norm"))?;
        let fused = format!("{from}/self_attention/linear_0");
        // Whisper's keys have no bias; CTranslate2 stores zeros.
        for (index, (name, bias)) in [("query", true), ("key", false), ("value", true)].into_iter().enumerate() {
            let part = Part { index: index as u32, of: 3 };
            self.linear(&format!("{to}.attn.{name}"), &fused, part, bias)?;
        }
        self.linear(&format!("{to}.attn.out"), &format!("{from}/self_attention/linear_1"), WHOLE, true)?;
        if !cross {
            return Ok(());
        }
        self.norm(&format!("{to}.cross_attn_ln"), &format!("{from}/attention/layer_norm"))?;
        self.linear(&format!("{to}.cross_attn.query"), &format!("{from}/attention/linear_0"), WHOLE, true)?;
        let fused = format!("{from}/attention/linear_1");
        self.linear(&format!("{to}.cross_attn.key"), &fused, Part { index: 0, of: 2 }, false)?;
        self.linear(&format!("{to}.cross_attn.value"), &fused, Part { index: 1, of: 2 }, true)?;
        self.linear(&format!("{to}.cross_attn.out"), &format!("{from}/attention/linear_2"), WHOLE, true)
    }

    fn norm(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        self.plain(&format!("{to}.weight"), &format!("{from}/gamma"))?;
        self.plain(&format!("{to}.bias"), &format!("{from}/beta"))
    }

    fn linear(&mut self, to: &str, from: &str, part: Part, bias: bool) -> Result<(), ConvertError> {
        self.weight(&format!("{to}.weight"), &format!("{from}/weight"), part)?;
        if bias { self.part(&format!("{to}.bias"), &format!("{from}/bias"), part) } else { Ok(()) }
    }

    /// Biases, norms and positions stay exact: whisper.cpp adds them in f32.
    fn plain(&mut self, to: &str, from: &str) -> Result<(), ConvertError> {
        self.part(to, from, WHOLE)
    }

    fn part(&mut self, to: &str, from: &str, part: Part) -> Result<(), ConvertError> {
        let (mut dims, range) = self.locate(from, part)?;
        if to.starts_with("encoder.conv") {
            dims.push(1);
        }
        self.tensor_header(to, &dims, TENSOR_F32)?;
        self.stream(range, |out, values| {
            values.iter().try_for_each(|half| out.write_all(&half_to_f32(*half).to_le_bytes()))
        })
    }

    /// Matrices are quantized, convolution kernels kept in f16.
    fn weight(&mut self, to: &str, from: &str, part: Part) -> Result<(), ConvertError> {
        let (dims, range) = self.locate(from, part)?;
        if dims.len() != 2 {
            self.tensor_header(to, &dims, TENSOR_F16)?;
            return self
                .stream(range, |out, values| values.iter().try_for_each(|half| out.write_all(&half.to_le_bytes())));
        }
        if dims.last().is_none_or(|columns| !(*columns as usize).is_multiple_of(BLOCK)) {
            return Err(ConvertError::Tensor(from.to_owned()));
        }
        self.tensor_header(to, &dims, TENSOR_Q8_0)?;
        self.stream(range, |out, values| {
            values.as_chunks::<BLOCK>().0.iter().try_for_each(|block| out.write_all(&quantize_q8_0(block)))
        })
    }

    fn locate(&self, from: &str, part: Part) -> Result<(Vec<u32>, (u64, u64)), ConvertError> {
        let variable = self.source.find(from)?;
        let mut dims = variable.dims.clone();
        let wrong = || ConvertError::Tensor(from.to_owned());
        let rows = dims.first_mut().ok_or_else(wrong)?;
        if !rows.is_multiple_of(part.of) {
            return Err(wrong());
        }
        *rows /= part.of;
        let values = variable.values() / u64::from(part.of);
        Ok((dims, (variable.offset + u64::from(part.index) * values * 2, values)))
    }

    fn tensor_header(&mut self, name: &str, dims: &[u32], kind: i32) -> Result<(), ConvertError> {
        self.words(&[dims.len() as u32, name.len() as u32])?;
        self.out.write_all(&kind.to_le_bytes())?;
        // ggml counts dimensions from the innermost.
        let inner_first: Vec<u32> = dims.iter().rev().copied().collect();
        self.words(&inner_first)?;
        self.out.write_all(name.as_bytes())?;
        Ok(())
    }

    fn stream(
        &mut self,
        (offset, values): (u64, u64),
        mut write: impl FnMut(&mut W, &[u16]) -> io::Result<()>,
    ) -> Result<(), ConvertError> {
        self.source.model.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0u8; CHUNK * 2];
        let mut halves = Vec::with_capacity(CHUNK);
        let mut left = usize::try_from(values).map_err(|_| ConvertError::Malformed("a tensor is too large"))?;
        while left > 0 {
            let count = left.min(CHUNK);
            let (chunk, _) = bytes.split_at_mut(count * 2);
            self.source.model.read_exact(chunk)?;
            halves.clear();
            halves.extend(chunk.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)));
            write(&mut self.out, &halves)?;
            left -= count;
        }
        Ok(())
    }
}

/// 32 weights as one scale (f16) and 32 signed bytes (ggml-quants.c, `quantize_row_q8_0_ref`).
fn quantize_q8_0(block: &[u16; BLOCK]) -> [u8; BLOCK + 2] {
    let values = block.map(half_to_f32);
    let largest = values.iter().fold(0f32, |max, value| max.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut out = [0u8; BLOCK + 2];
    let (head, body) = out.split_at_mut(2);
    head.copy_from_slice(&f32_to_half(scale).to_le_bytes());
    for (byte, value) in body.iter_mut().zip(values) {
        *byte = (value * inverse).round() as i8 as u8;
    }
    out
}

/// IEEE 754 binary16 to binary32, exact.
fn half_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half & 0x3ff);
    match (exponent, fraction) {
        (0, _) => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        (0x1f, _) => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

/// IEEE 754 binary32 to binary16, to nearest, ties to even.
fn f32_to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude >= 0x7f80_0000 {
        return sign | 0x7c00 | u16::from(magnitude > 0x7f80_0000) << 9;
    }
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // Below 2^-14 the result is subnormal: a plain count of 2^-24.
    if magnitude < 0x3880_0000 {
        let count = f32::from_bits(magnitude) * 2f32.powi(24);
        return sign | count.round_ties_even() as u16;
    }
    let rounded = magnitude + 0x0fff + ((magnitude >> 13) & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

fn read_array<const N: usize>(model: &mut impl Read) -> Result<[u8; N], ConvertError> {
    let mut bytes = [0u8; N];
    model.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u32(model: &mut impl Read) -> Result<u32, ConvertError> {
    Ok(u32::from_le_bytes(read_array(model)?))
}

/// A string: its length with the closing zero, 16 bits, then the bytes.
fn read_string(model: &mut impl Read) -> Result<String, ConvertError> {
    let length = usize::from(u16::from_le_bytes(read_array(model)?));
    let mut bytes = vec![0u8; length];
    model.read_exact(&mut bytes)?;
    if bytes.pop() != Some(0) {
        return Err(ConvertError::Malformed("a name does not end"));
    }
    String::from_utf8(bytes).map_err(|_| ConvertError::Malformed("a name is not text"))
}

#[derive(serde::Deserialize)]
struct Tokenizer {
    model: TokenizerModel,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(serde::Deserialize)]
struct TokenizerModel {
    vocab: BTreeMap<String, u32>,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
}

/// The base vocabulary in order of id, as raw bytes. Special tokens are whisper.cpp's own business.
fn read_tokens(json: impl Read) -> Result<Vec<Vec<u8>>, ConvertError> {
    let tokenizer: Tokenizer = serde_json::from_reader(json.take(TOKENIZER_BYTES_MAX))
        .map_err(|_| ConvertError::Malformed("tokenizer.json has another form"))?;
    let added: std::collections::BTreeSet<u32> = tokenizer.added_tokens.iter().map(|token| token.id).collect();
    let by_id: BTreeMap<u32, String> =
        tokenizer.model.vocab.into_iter().map(|(text, id)| (id, text)).filter(|(id, _)| !added.contains(id)).collect();
    let dense = by_id.keys().zip(0u32..).all(|(id, at)| *id == at);
    if by_id.is_empty() || by_id.len() > TOKENS_MAX || !dense {
        return Err(ConvertError::Malformed("the vocabulary has gaps"));
    }
    let bytes_of = byte_alphabet();
    by_id.into_values().map(|text| token_bytes(&text, &bytes_of)).collect()
}

fn token_bytes(text: &str, bytes_of: &BTreeMap<char, u8>) -> Result<Vec<u8>, ConvertError> {
    if text.len() > TOKEN_CHARS_MAX {
        return Err(ConvertError::Malformed("a token is too long"));
    }
    let wrong = ConvertError::Malformed("a token holds a character outside the byte alphabet");
    text.chars().map(|char| bytes_of.get(&char).copied()).collect::<Option<_>>().ok_or(wrong)
}

/// GPT-2's printable alphabet for bytes: visible Latin-1 stands for itself, the rest for U+0100 onwards, in order.
fn byte_alphabet() -> BTreeMap<char, u8> {
    let visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden = (0..=255u8).filter(|byte| !visible(*byte));
    let moved = hidden.zip('\u{100}'..).map(|(byte, char)| (char, byte));
    (0..=255u8).filter(|byte| visible(*byte)).map(|byte| (char::from(byte), byte)).chain(moved).collect()
}

#[cfg(test)]
mod tests;
