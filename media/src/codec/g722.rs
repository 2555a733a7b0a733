//! ITU-T G.722 at 64 kbit/s (mode 1): two sub-bands, each coded by an adaptive predictor, in the
//! recommendation's own integer arithmetic, bit for bit. It knows no other mode and never conceals.
//!
//! Names in brackets are the recommendation's blocks and variables (clause 6).
use crate::FRAME_SAMPLES;

/// Decodes one byte to two samples at 16 kHz.
pub struct Decoder {
    low: Band,
    high: Band,
    /// The receive QMF's delay lines of differences and sums, the newest last.
    past: [[i32; TAPS - 1]; 2],
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { low: Band::new(DET_LOW), high: Band::new(DET_HIGH), past: [[0; TAPS - 1]; 2] }
    }
}

impl Decoder {
    /// Decodes as many bytes as `out` has room for; returns how many samples were written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let pairs = out.as_chunks_mut::<2>().0;
        for (bytes, pairs) in payload.chunks(BLOCK).zip(pairs.chunks_mut(BLOCK)) {
            let mut lines = [[0; TAPS - 1 + BLOCK]; 2];
            let n = bytes.len().min(pairs.len());
            let [differences, sums] = &mut lines;
            differences[..TAPS - 1].copy_from_slice(&self.past[0]);
            sums[..TAPS - 1].copy_from_slice(&self.past[1]);
            let new = differences[TAPS - 1..].iter_mut().zip(&mut sums[TAPS - 1..]);
            for (byte, (difference, sum)) in bytes.iter().zip(new).take(n) {
                let low = i32::from(self.low.decode_low(*byte & 63));
                let high = i32::from(self.high.decode_high(byte >> 6));
                (*difference, *sum) = (low - high, low + high);
            }
            self.past[0].copy_from_slice(&differences[n..n + TAPS - 1]);
            self.past[1].copy_from_slice(&sums[n..n + TAPS - 1]);
            for (i, pair) in pairs.iter_mut().take(n).enumerate() {
                // [ACCUMC, ACCUMD]: the filter read forwards over the one and backwards over the other.
                let (mut first, mut second) = (0, 0);
                for k in 0..TAPS {
                    first += differences[i + k] * QMF[TAPS - 1 - k];
                    second += sums[i + k] * QMF[k];
                }
                *pair = [saturate(first >> 11), saturate(second >> 11)];
            }
        }
        2 * payload.len().min(out.len() / 2)
    }
}

/// Encodes two samples at 16 kHz to one byte.
pub struct Encoder {
    low: Band,
    high: Band,
    /// The transmit QMF's delay lines of even and odd samples, the newest last.
    past: [[i32; TAPS - 1]; 2],
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder { low: Band::new(DET_LOW), high: Band::new(DET_HIGH), past: [[0; TAPS - 1]; 2] }
    }
}

impl Encoder {
    /// Encodes 20 ms; returns how many bytes were written, fewer only if `out` is too short.
    pub fn encode(&mut self, frame: &[i16; FRAME_SAMPLES], out: &mut [u8]) -> usize {
        let mut lines = [[0; TAPS - 1 + BLOCK]; 2];
        let [even, odd] = &mut lines;
        even[..TAPS - 1].copy_from_slice(&self.past[0]);
        odd[..TAPS - 1].copy_from_slice(&self.past[1]);
        let new = even[TAPS - 1..].iter_mut().zip(&mut odd[TAPS - 1..]);
        for (pair, (even, odd)) in frame.as_chunks::<2>().0.iter().zip(new) {
            (*even, *odd) = (i32::from(pair[0]), i32::from(pair[1]));
        }
        self.past[0].copy_from_slice(&even[BLOCK..]);
        self.past[1].copy_from_slice(&odd[BLOCK..]);
        for (i, byte) in out.iter_mut().take(BLOCK).enumerate() {
            // [ACCUMA, ACCUMB]
            let (mut a, mut b) = (0, 0);
            for k in 0..TAPS {
                a += even[i + k] * QMF[k];
                b += odd[i + k] * QMF[TAPS - 1 - k];
            }
            let low = self.low.encode_low(limit((a + b) >> 14));
            let high = self.high.encode_high(limit((b - a) >> 14));
            *byte = high << 6 | low;
        }
        out.len().min(BLOCK)
    }
}

/// Pairs of samples that are worked on at a time: 20 ms.
const BLOCK: usize = FRAME_SAMPLES / 2;
/// Taps of each of the QMF's two phases.
const TAPS: usize = 12;
/// One phase of the quadrature mirror filter (table 11, times 2^13); the other is its mirror image.
const QMF: [i32; TAPS] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// First quantizer scale factors [DETL, DETH].
const DET_LOW: i32 = 32;
const DET_HIGH: i32 = 8;

/// Decision levels of the 6 bit quantizer [Q6], in table 13 from its second row on.
const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Outputs of the 6 bit inverse quantizer by magnitude, the innermost first [QQ6]; the codes that no
/// encoder sends stand for the innermost negative one.
const QQ6: [i32; 30] = [
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000, 6576, 7192, 7856,
    8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808,
];
/// Outputs of the 4 bit inverse quantizer by the code's lower three bits inverted [QQ4].
const QQ4: [i32; 8] = [0, 1200, 2584, 4240, 6288, 8968, 12896, 20456];
/// What the scale factor's logarithm moves by, by the same [WL].
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// Outputs of the 2 bit inverse quantizer [QQ2] and moves of its scale factor [WH].
const QQ2: [i32; 4] = [-7408, -1616, 7408, 1616];
const WH: [i32; 4] = [798, -214, 798, -214];
/// 2048 times 2 to the power of i/32 [ILB].
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// One sub-band's adaptive quantizer and predictor, the same in encoder and decoder.
struct Band {
    /// The predictor's output [SL, SH] and the part of it that its zeros make [SZL, SZH].
    predicted: i32,
    zeros: i32,
    /// Poles [AL1, AL2] and zeros [BL1 to BL6].
    a: [i32; 2],
    b: [i32; 6],
    /// Past differences [DLT], reconstructions [RLT] and partial reconstructions [PLT], the newest first.
    d: [i32; 6],
    r: [i32; 2],
    p: [i32; 2],
    /// The scale factor's logarithm [NBL, NBH] and itself [DETL, DETH].
    log_scale: i32,
    scale: i32,
}

impl Band {
    fn new(scale: i32) -> Self {
        Band { predicted: 0, zeros: 0, a: [0; 2], b: [0; 6], d: [0; 6], r: [0; 2], p: [0; 2], log_scale: 0, scale }
    }

    /// Six bits for a sample of 15 [SUBTRA, QUANTL].
    fn encode_low(&mut self, sample: i32) -> u8 {
        let error = clip(sample - self.predicted);
        let magnitude = if error < 0 { !error } else { error };
        let level = Q6.partition_point(|q| magnitude >= (q * self.scale) >> 12) as u8;
        // Negative ones count down from 63, 62 and then on from 31; positive ones from 61.
        let code = match (error < 0, level) {
            (true, 0 | 1) => 63 - level,
            (true, _) => 33 - level,
            (false, _) => 61 - level,
        };
        self.adapt_low(code);
        code
    }

    /// A sample of 15 bits from six [INVQBL, RECONB, LIMIT].
    fn decode_low(&mut self, code: u8) -> i16 {
        let output = match code {
            0..4 => -QQ6[0],
            4..32 => -QQ6[usize::from(33 - code)],
            32..62 => QQ6[usize::from(61 - code)],
            _ => -QQ6[usize::from((63 - code) & 1)],
        };
        let sample = limit(clip(self.predicted + ((self.scale * output) >> 15)));
        self.adapt_low(code);
        sample as i16
    }

    /// The predictor follows the upper four bits alone, so that the lower two may be something else's
    /// [INVQAL, LOGSCL, SCALEL].
    fn adapt_low(&mut self, code: u8) {
        let (sign, step) = (code >> 5 & 1, usize::from(code >> 2 & 7));
        // The outermost code of positive sign is the innermost of negative sign once more.
        let step = if sign == 1 { 7 - step } else { (8 - step) & 7 };
        let magnitude = if sign == 1 { QQ4[step] } else { -QQ4[step] };
        let difference = (self.scale * magnitude) >> 15;
        self.log_scale = (((self.log_scale * 127) >> 7) + WL[step]).clamp(0, 18_432);
        self.rescale(8);
        self.predict(difference);
    }

    /// Two bits for a sample of 15 [QUANTH].
    fn encode_high(&mut self, sample: i32) -> u8 {
        let error = clip(sample - self.predicted);
        let magnitude = if error < 0 { !error } else { error };
        let outer = magnitude >= (564 * self.scale) >> 12;
        let code = match (error < 0, outer) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        self.adapt_high(code);
        code
    }

    /// A sample of 15 bits from two.
    fn decode_high(&mut self, code: u8) -> i16 {
        limit(self.adapt_high(code)) as i16
    }

    /// Returns the reconstruction [INVQAH, LOGSCH, SCALEH].
    fn adapt_high(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.scale * QQ2[code]) >> 15;
        self.log_scale = (((self.log_scale * 127) >> 7) + WH[code]).clamp(0, 22_528);
        self.rescale(10);
        self.predict(difference)
    }

    /// The scale factor from its logarithm: a mantissa of 5 bits and an exponent.
    fn rescale(&mut self, offset: i32) {
        let mantissa = ILB[(self.log_scale >> 6 & 31) as usize];
        let shift = offset - (self.log_scale >> 11);
        self.scale = if shift < 0 { mantissa << -shift } else { mantissa >> shift } << 2;
    }

    /// The predictor takes the quantized difference; returns the reconstruction.
    fn predict(&mut self, difference: i32) -> i32 {
        // [RECONS, PARREC]
        let reconstruction = clip(self.predicted + difference);
        let partial = clip(self.zeros + difference);
        self.a = self.poles(partial);
        // [UPZERO]: each zero moves towards the sign that its past difference shares with this one.
        let move_by = if difference == 0 { 0 } else { 128 };
        for (b, d) in self.b.iter_mut().zip(self.d) {
            let towards = if (d ^ difference) < 0 { -move_by } else { move_by };
            *b = clip(towards + ((*b * 32_640) >> 15));
        }
        self.d.copy_within(..5, 1);
        self.d[0] = difference;
        self.r = [reconstruction, self.r[0]];
        self.p = [partial, self.p[0]];
        // [FILTEP, FILTEZ, PREDIC]
        let product = |(k, x): (&i32, &i32)| (k * clip(2 * x)) >> 15;
        let poles = clip(self.a.iter().zip(&self.r).map(product).sum());
        self.zeros = clip(self.b.iter().zip(&self.d).map(product).sum());
        self.predicted = clip(poles + self.zeros);
        reconstruction
    }

    /// The poles move by the signs that this partial reconstruction shares with the last two, and stay where
    /// the filter is stable [UPPOL2, UPPOL1].
    fn poles(&self, partial: i32) -> [i32; 2] {
        let same = |past: i32| (partial ^ past) >= 0;
        let slope = clip(4 * self.a[0]);
        let slope = if same(self.p[0]) { clip(-slope) } else { slope };
        let second = (slope >> 7) + if same(self.p[1]) { 128 } else { -128 } + ((self.a[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let first = if same(self.p[0]) { 192 } else { -192 } + ((self.a[0] * 32_640) >> 15);
        let bound = 15_360 - second;
        [first.clamp(-bound, bound), second]
    }
}

/// Sixteen bits, as every variable of the recommendation has.
fn clip(x: i32) -> i32 {
    x.clamp(-32_768, 32_767)
}

/// Fifteen bits [LIMIT].
fn limit(x: i32) -> i32 {
    x.clamp(-16_384, 16_383)
}

fn saturate(x: i32) -> i16 {
    clip(x) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE CRC-32, by which table II.6 of the recommendation identifies its test sequences.
    fn crc32(words: &[u16]) -> u32 {
        let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), bit))
    }

    /// A test sequence as it is filed: 16 words that reset the codec stand before and behind (II.4.5).
    fn filed(words: impl IntoIterator<Item = u16>) -> u32 {
        let reset = [1; 16];
        crc32(&[&reset[..], &words.into_iter().collect::<Vec<_>>(), &reset].concat())
    }

    /// T1C2.XMT: swings from one end of the range to the other, to make everything overflow (table II-3).
    fn overflow() -> Vec<i32> {
        let mut words = [0x8000, 0x7FFE].repeat(319);
        words.extend([0x8000, 0x0000, 0xB1E0, 0xC000]);
        words.extend([0x8000, 0x7FFE, 0x8000].repeat(42));
        words.into_iter().map(|word: u16| i32::from(word as i16 >> 1)).collect()
    }

    /// T1D3.COD: every code, with signs that drive the predictors to their bounds (II.3.2, table II-4).
    fn artificial() -> Vec<u8> {
        const SIGNS: [&str; 8] = ["001", "11110000", "1", "1100", "10", "00000100", "00101", "11000"];
        // What it begins with, and after how many it changes.
        const HIGH: [(u8, usize); 8] =
            [(1, 2_048), (1, 16), (0, 2_048), (1, 8), (0, 2_048), (1, 4), (1, 2_048), (1, 2)];
        let code = |n: usize| {
            let (part, at) = (n / 2_048, n % 2_048);
            let sign = SIGNS[part].as_bytes()[at % SIGNS[part].len()] - b'0';
            let (first, period) = HIGH[part];
            let high = first ^ (at / period % 2) as u8;
            let (step, other) = (n / 256, n % 32 >= 16);
            let low = match (31 - step / 2, step % 2 == 1 && other) {
                (0, true) => 3,
                (low, true) => low - 1,
                (low, false) => low,
            };
            sign << 7 | high << 6 | sign << 5 | low as u8
        };
        (0..16_384).map(code).collect()
    }

    fn encoded(samples: &[i32]) -> Vec<u8> {
        let (mut low, mut high) = (Band::new(DET_LOW), Band::new(DET_HIGH));
        samples.iter().map(|sample| high.encode_high(*sample) << 6 | low.encode_low(*sample)).collect()
    }

    /// The checksums of what both bands are decoded to.
    fn decoded(codes: &[u8]) -> [u32; 2] {
        let (mut low, mut high) = (Band::new(DET_LOW), Band::new(DET_HIGH));
        let word = |sample: i16| (sample << 1) as u16;
        [
            filed(codes.iter().map(|code| word(low.decode_low(code & 63)))),
            filed(codes.iter().map(|code| word(high.decode_high(code >> 6)))),
        ]
    }

    /// Appendix II without its first sequence, which cannot be made by a rule: the sub-bands alone, as there,
    /// and checksums instead of the files, which are the ITU's.
    #[test]
    fn the_digital_test_sequences_are_met_bit_by_bit() {
        let word = |code: &u8| u16::from(*code) << 8;
        assert_eq!(filed(overflow().iter().map(|sample| (sample << 1) as u16)), 0x2D60_4685, "T1C2.XMT");
        let codes = encoded(&overflow());
        assert_eq!(filed(codes.iter().map(word)), 0x344E_A5D0, "T2R2.COD");
        assert_eq!(decoded(&codes), [0xAF00_F31F, 0x5330_AE2E], "T3L2.RC1, T3H2.RC0");
        assert_eq!(filed(artificial().iter().map(word)), 0x7398_964F, "T1D3.COD");
        assert_eq!(decoded(&artificial()), [0xA537_4659, 0x3731_AD7F], "T3L3.RC1, T3H3.RC0");
    }
}
