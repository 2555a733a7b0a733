//! Tests of the conversion on a made-up model of one layer each; never touches a real one.

use super::*;
use std::io::Cursor;

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16 + 1).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn tensor(out: &mut Vec<u8>, name: &str, dims: &[u32]) {
    string(out, name);
    out.push(dims.len() as u8);
    dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
    out.push(CT2_F16);
    let values: u32 = dims.iter().product();
    out.extend((values * 2).to_le_bytes());
    // Halves between 1 and 2, different at every place.
    (0..values).for_each(|at| out.extend((0x3c00u16 + (at % 1024) as u16).to_le_bytes()));
}

fn attention(names: &mut Vec<(String, Vec<u32>)>, at: &str, fused: &[u32]) {
    names.push((format!("{at}/layer_norm/gamma"), vec![64]));
    names.push((format!("{at}/layer_norm/beta"), vec![64]));
    for (number, rows) in fused.iter().enumerate() {
        names.push((format!("{at}/linear_{number}/weight"), vec![*rows, 64]));
        names.push((format!("{at}/linear_{number}/bias"), vec![*rows]));
    }
}

fn tiny_model() -> Vec<u8> {
    let mut names: Vec<(String, Vec<u32>)> = Vec::new();
    for stack in ["encoder", "decoder"] {
        attention(&mut names, &format!("{stack}/layer_0/self_attention"), &[192, 64]);
        names.push((format!("{stack}/layer_0/ffn/layer_norm/gamma"), vec![64]));
        names.push((format!("{stack}/layer_0/ffn/layer_norm/beta"), vec![64]));
        for number in 0..2 {
            names.push((format!("{stack}/layer_0/ffn/linear_{number}/weight"), vec![64, 64]));
            names.push((format!("{stack}/layer_0/ffn/linear_{number}/bias"), vec![64]));
        }
        names.push((format!("{stack}/layer_norm/gamma"), vec![64]));
        names.push((format!("{stack}/layer_norm/beta"), vec![64]));
        names.push((format!("{stack}/position_encodings/encodings"), vec![8, 64]));
    }
    attention(&mut names, "decoder/layer_0/attention", &[64, 128, 64]);
    names.push(("decoder/embeddings/weight".to_owned(), vec![3, 64]));
    for (conv, channels) in [("conv1", 4), ("conv2", 64)] {
        names.push((format!("encoder/{conv}/weight"), vec![64, channels, 3]));
        names.push((format!("encoder/{conv}/bias"), vec![64]));
    }
    let mut out = 6u32.to_le_bytes().to_vec();
    string(&mut out, "WhisperSpec");
    out.extend(3u32.to_le_bytes());
    out.extend((names.len() as u32).to_le_bytes());
    names.iter().for_each(|(name, dims)| tensor(&mut out, name, dims));
    out
}

const TOKENIZER: &str = r#"{"model":{"vocab":{"a":0,"Ġb":1,"<|x|>":2}},"added_tokens":[{"id":2,"content":"<|x|>"}]}"#;

fn convert_to_vec(model: Vec<u8>, tokenizer: &str) -> Result<Vec<u8>, ConvertError> {
    let mut out = Vec::new();
    convert(Cursor::new(model), tokenizer.as_bytes(), &mut out)?;
    Ok(out)
}

/// Name, dimensions and kind.
type Tensor = (String, Vec<u32>, u32);

/// What whisper.cpp's loader would read: the header's words, then every tensor.
fn read_back(ggml: &[u8]) -> (Vec<u32>, Vec<Tensor>) {
    let mut input = Cursor::new(ggml);
    let header: Vec<u32> = (0..14).map(|_| read_u32(&mut input).unwrap()).collect();
    let filters = u64::from(header[12] * header[13]) * 4;
    input.seek(SeekFrom::Current(filters as i64)).unwrap();
    for _ in 0..read_u32(&mut input).unwrap() {
        let length = read_u32(&mut input).unwrap();
        input.seek(SeekFrom::Current(i64::from(length))).unwrap();
    }
    let mut tensors = Vec::new();
    while input.position() < ggml.len() as u64 {
        let [rank, length, kind] = std::array::from_fn(|_| read_u32(&mut input).unwrap());
        let dims: Vec<u32> = (0..rank).map(|_| read_u32(&mut input).unwrap()).collect();
        let mut name = vec![0; length as usize];
        input.read_exact(&mut name).unwrap();
        let values: u32 = dims.iter().product();
        let bytes = match kind as i32 {
            TENSOR_F32 => values * 4,
            TENSOR_F16 => values * 2,
            _ => values / 32 * 34,
        };
        input.seek(SeekFrom::Current(i64::from(bytes))).unwrap();
        tensors.push((String::from_utf8(name).unwrap(), dims, kind));
    }
    assert_eq!(input.position(), ggml.len() as u64);
    (header, tensors)
}

#[test]
fn a_tiny_model_has_every_tensor_that_whisper_asks_for() {
    let ggml = convert_to_vec(tiny_model(), TOKENIZER).unwrap();
    let (header, tensors) = read_back(&ggml);
    assert_eq!(header[..12], [MAGIC, 3, 8, 64, 1, 1, 8, 64, 1, 1, 4, 2007]);
    // 3 embeddings and positions; per stack a final norm (2); encoder: 4 convolution tensors and a block of 15;
    // decoder: a block of 15 + 9.
    assert_eq!(tensors.len(), 3 + 2 + 2 + 4 + 15 + 24);
    let find = |name: &str| tensors.iter().find(|tensor| tensor.0 == name).cloned().unwrap();
    assert_eq!(find("encoder.conv1.bias").1, [1, 64]);
    assert_eq!(find("encoder.conv1.weight").1, [3, 4, 64]);
    assert_eq!(find("decoder.blocks.0.cross_attn.value.weight").1, [64, 64]);
    assert!(!tensors.iter().any(|tensor| tensor.0.ends_with("key.bias")));
}

#[test]
fn a_truncated_model_is_an_error_at_every_length() {
    let model = tiny_model();
    for length in (0..model.len()).step_by(997).chain([0, 4, 6, 17, 25, 26]) {
        assert!(convert_to_vec(model[..length].to_vec(), TOKENIZER).is_err(), "{length} bytes");
    }
}

#[test]
fn a_wrong_byte_in_the_index_never_panics() {
    let model = tiny_model();
    for at in 0..300 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut broken = model.clone();
            broken[at] = value;
            let _ = convert_to_vec(broken, TOKENIZER);
        }
    }
}

#[test]
fn a_vocabulary_with_gaps_or_foreign_characters_is_refused() {
    let check = |tokenizer: &str| assert!(convert_to_vec(tiny_model(), tokenizer).is_err(), "{tokenizer}");
    check("");
    check("{}");
    check(r#"{"model":{"vocab":{}}}"#);
    check(r#"{"model":{"vocab":{"a":0,"b":2}}}"#);
    check(r#"{"model":{"vocab":{"日":0}}}"#);
}

#[test]
fn every_half_survives_the_way_to_f32_and_back() {
    for half in 0..=u16::MAX {
        let value = half_to_f32(half);
        if !value.is_nan() {
            assert_eq!(f32_to_half(value), half, "{half:#06x} became {value}");
        }
    }
}

#[test]
fn rounding_to_half_goes_to_nearest_even() {
    let check = |value: f32, want: u16| assert_eq!(f32_to_half(value), want, "{value}");
    check(1.0 + 2f32.powi(-11), 0x3c00);
    check(1.0 + 3.0 * 2f32.powi(-11), 0x3c02);
    check(65_519.0, 0x7bff);
    check(65_520.0, 0x7c00);
    check(2f32.powi(-25), 0);
    check(2f32.powi(-24) * 1.5, 2);
    check(-0.0, 0x8000);
}

#[test]
fn blocks_keep_their_largest_weight_exactly_in_scale() {
    let mut block = [0u16; BLOCK];
    assert_eq!(quantize_q8_0(&block), [0; 34]);
    block[0] = f32_to_half(-12.7);
    block[1] = f32_to_half(6.35);
    let bytes = quantize_q8_0(&block);
    assert_eq!((bytes[2] as i8, bytes[3] as i8, bytes[4]), (-127, 64, 0));
}
