//! ITU-T G.711 by tables, built at compile time from the recommendation's formulas; it never resamples
//! (see `resample`) and never conceals (see `plc`).

/// Which of the two laws.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Law {
    /// mu-law (PCMU).
    Mu,
    /// A-law (PCMA).
    A,
}

impl Law {
    /// The byte that decodes to silence.
    pub const fn silence_byte(self) -> u8 {
        match self {
            Law::Mu => 0xFF,
            Law::A => 0xD5,
        }
    }

    /// The sample of every byte, 16 bit at 8 kHz.
    pub const fn table(self) -> &'static [i16; 256] {
        match self {
            Law::Mu => &MU_DECODE,
            Law::A => &A_DECODE,
        }
    }

    /// Decodes one byte a sample at 8 kHz; returns how many samples were written (the shorter length).
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        let table = self.table();
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = table[usize::from(*byte)];
        }
        payload.len().min(out.len())
    }

    /// Encodes samples at 8 kHz, one byte each; returns how many bytes were written (the shorter length).
    pub fn encode(self, samples: &[i16], out: &mut [u8]) -> usize {
        match self {
            Law::Mu => out.iter_mut().zip(samples).for_each(|(byte, s)| *byte = mu_encode(*s)),
            Law::A => out.iter_mut().zip(samples).for_each(|(byte, s)| *byte = a_encode(*s)),
        }
        samples.len().min(out.len())
    }
}

const MU_ENCODE_LEN: usize = 4096;
const A_ENCODE_LEN: usize = 2048;
static MU_DECODE: [i16; 256] = mu_decode_table();
static A_DECODE: [i16; 256] = a_decode_table();
static MU_ENCODE: [u8; MU_ENCODE_LEN] = mu_encode_table();
static A_ENCODE: [u8; A_ENCODE_LEN] = a_encode_table();

/// The magnitude as the ITU-T reference takes it (G.191): one's complement for negative samples.
const fn magnitude(sample: i16) -> usize {
    (if sample < 0 { !sample } else { sample }) as usize
}

fn mu_encode(sample: i16) -> u8 {
    // 14 bit input; the bias of 33 makes every segment start at a power of two (G.711, table 2a).
    let biased = ((magnitude(sample) >> 2) + 33) >> 1;
    let code = MU_ENCODE[biased.min(MU_ENCODE_LEN - 1)];
    if sample < 0 { code & 0x7F } else { code }
}

fn a_encode(sample: i16) -> u8 {
    let code = A_ENCODE[(magnitude(sample) >> 4).min(A_ENCODE_LEN - 1)];
    if sample < 0 { code ^ 0x80 } else { code }
}

const fn mu_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let segment = (bits >> 4) & 7;
        let step = (bits & 15) as i32;
        let magnitude = ((2 * step + 33) << segment) - 33;
        table[code] = (4 * if bits & 0x80 == 0 { magnitude } else { -magnitude }) as i16;
        code += 1;
    }
    table
}

const fn a_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        // Every other bit is inverted on the line (G.711, 3.1).
        let bits = (code as u8) ^ 0x55;
        let segment = (bits >> 4) & 7;
        let step = (bits & 15) as i32;
        let magnitude = if segment == 0 { 2 * step + 1 } else { (2 * step + 33) << (segment - 1) };
        table[code] = (8 * if bits & 0x80 != 0 { magnitude } else { -magnitude }) as i16;
        code += 1;
    }
    table
}

/// Positive codes by biased 12 bit magnitude.
const fn mu_encode_table() -> [u8; MU_ENCODE_LEN] {
    let mut table = [0; MU_ENCODE_LEN];
    let mut biased = 16;
    while biased < MU_ENCODE_LEN {
        let segment = biased.ilog2() - 4;
        let step = (biased >> segment) & 15;
        table[biased] = !((segment << 4) as u8 | step as u8);
        biased += 1;
    }
    table
}

/// Positive codes by 11 bit magnitude.
const fn a_encode_table() -> [u8; A_ENCODE_LEN] {
    let mut table = [0; A_ENCODE_LEN];
    let mut magnitude: usize = 0;
    while magnitude < A_ENCODE_LEN {
        let code = if magnitude < 32 {
            magnitude as u8
        } else {
            let segment = magnitude.ilog2() - 3;
            (segment << 4) as u8 | ((magnitude >> (segment - 1)) & 15) as u8
        };
        table[magnitude] = (code | 0x80) ^ 0x55;
        magnitude += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(law: Law, byte: u8) -> i16 {
        let mut out = [0];
        law.decode(&[byte], &mut out);
        out[0]
    }

    fn encoded(law: Law, sample: i16) -> u8 {
        let mut out = [0];
        law.encode(&[sample], &mut out);
        out[0]
    }

    /// The decision values and output values of ITU-T G.711, tables 1 and 2, in 16 bit (14 bit mu-law
    /// values times 4, 13 bit A-law values times 8): code, output, and the lowest input that gives it.
    fn check(law: Law, rows: &[(u8, i16, i16)]) {
        for (code, output, lowest) in rows {
            assert_eq!(decoded(law, *code), *output, "{law:?} {code:#x}");
            assert_eq!(encoded(law, *output), *code, "{law:?} {output}");
            assert_eq!(encoded(law, *lowest), *code, "{law:?} lowest {lowest}");
            assert_ne!(encoded(law, lowest.saturating_sub(1)), *code, "{law:?} below {lowest}");
        }
    }

    #[test]
    fn mu_law_is_table_2() {
        // Segment ends of table 2a: outputs 8031, 4191, 2015, 975, 471, 219, 93, 30, 2, 0.
        #[rustfmt::skip]
        check(Law::Mu, &[
            (0x80, 4 * 8031, 4 * 7903), (0x8F, 4 * 4191, 4 * 4063), (0x9F, 4 * 2079, 4 * 2015),
            (0xAF, 4 * 1023, 4 * 991), (0xBF, 4 * 495, 4 * 479), (0xCF, 4 * 231, 4 * 223),
            (0xDF, 4 * 99, 4 * 95), (0xEF, 4 * 33, 4 * 31), (0xFE, 4 * 2, 4), (0xFF, 0, 0),
        ]);
        assert_eq!((decoded(Law::Mu, 0x00), decoded(Law::Mu, 0x7F)), (-32_124, 0));
        assert_eq!((encoded(Law::Mu, i16::MAX), encoded(Law::Mu, i16::MIN)), (0x80, 0x00));
    }

    #[test]
    fn a_law_is_table_1() {
        #[rustfmt::skip]
        check(Law::A, &[
            (0xAA, 8 * 4032, 16 * 1984), (0xA5, 8 * 2112, 16 * 1024), (0xBA, 8 * 2016, 16 * 992),
            (0xB5, 8 * 1056, 16 * 512), (0x8A, 8 * 1008, 16 * 496), (0x85, 8 * 528, 16 * 256),
            (0xF5, 8 * 66, 16 * 32), (0xC5, 8 * 33, 16 * 16), (0xD5, 8, 0),
        ]);
        assert_eq!((decoded(Law::A, 0x2A), decoded(Law::A, 0x55)), (-32_256, -8));
        assert_eq!((encoded(Law::A, i16::MAX), encoded(Law::A, i16::MIN)), (0xAA, 0x2A));
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255 {
            // mu-law has two zeros; the negative one comes back as the positive.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encoded(Law::Mu, decoded(Law::Mu, code)), expected);
            assert_eq!(encoded(Law::A, decoded(Law::A, code)), code);
        }
    }

    #[test]
    fn every_sample_comes_back_within_its_step() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let (x, back) = (i32::from(sample), i32::from(decoded(law, encoded(law, sample))));
                // Half of the largest step of its segment (1/16 of the magnitude and the bias), or clipping.
                let step = (x.abs() + 132) / 32 + 4;
                assert!((x - back).abs() <= step || x.abs() > 32_100, "{law:?}: {x} became {back}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_the_shorter_slice() {
        assert_eq!(Law::A.decode(&[0xD5; 3], &mut [0; 2]), 2);
        assert_eq!(Law::Mu.encode(&[0; 2], &mut [0; 3]), 2);
        for law in [Law::Mu, Law::A] {
            assert_eq!(encoded(law, 0), law.silence_byte());
        }
    }
}
