//! The network of earshot 1.2.2 (pykeio/earshot, MIT or Apache-2.0), on its weights: two steps of convolution over the
//! bands, two of recurrence. Its channels lie side by side, so that everything runs in vector registers, at half
//! the crate's cost and with its very scores. It keeps the state of one line and hears nothing itself.

use media::wide::{LANES, Machine};

pub(super) const BANDS: usize = 40;
/// Steps whose features the network sees.
pub(super) const CONTEXT: usize = 3;
const KERNEL: usize = 3;
/// Bands after the first convolution, and after the wider ones that follow in strides of two.
const FIRST: usize = BANDS - KERNEL + 1;
const POOLED: usize = (FIRST - KERNEL) / 2 + 1;
const SECOND: usize = POOLED / 2;
const THIRD: usize = SECOND.div_ceil(2);
const CHANNELS: usize = 16;
const FOUND: usize = THIRD * CHANNELS;
const STATE: usize = 64;
/// One in the gates' fixed point, Q24.
const ONE: i32 = (1 << 24) - 1;

type Channels = [f32; CHANNELS];
type Pair = [i16; 2];
/// The weights of two inputs in all rows.
type Rows = [[Pair; LANES]; STATE / LANES];

pub(super) struct Network {
    /// Of both recurrences, Q15.
    state: [[i16; STATE]; 2],
}

impl Network {
    pub fn new() -> Self {
        Self { state: [[0; STATE]; 2] }
    }

    /// A step's band levels, as the network wants them: of unit power, whatever the logarithm's base was.
    #[inline(always)]
    pub fn normalize(features: &mut [f32; BANDS]) {
        let power = features.iter().map(|level| level * level).sum::<f32>() / BANDS as f32;
        let scale = power.sqrt().recip();
        features.iter_mut().zip(&WEIGHTS.norm).for_each(|(level, weight)| *level *= weight * scale);
    }

    /// Probability of speech, 0 to 1, after another step; `features` has the newest last.
    #[inline(always)]
    pub fn predict(&mut self, machine: impl Machine, features: &[[f32; BANDS]; CONTEXT]) -> f32 {
        let found = convolutions(features);
        let [first, second] = &mut self.state;
        recur(machine, found.as_chunks().0, first, &WEIGHTS.first_state);
        recur(machine, first.as_chunks().0, second, &WEIGHTS.second_state);
        let [first_out, second_out] = &WEIGHTS.output;
        let sum = dot(first, first_out).wrapping_add(dot(second, second_out));
        1.0 / (1.0 + (-(sum as f32) / (ONE + 1) as f32).exp())
    }
}

/// What the convolutions find, Q15.
#[inline(always)]
fn convolutions(features: &[[f32; BANDS]; CONTEXT]) -> [i16; FOUND] {
    let mut row = [0.0; FIRST];
    for (step, kernel) in features.iter().zip(&WEIGHTS.kernel) {
        for (n, weight) in kernel.iter().enumerate() {
            row.iter_mut().zip(&step[n..]).for_each(|(sum, level)| *sum += level * weight);
        }
    }
    // The rows of zeros around are the convolutions' padding.
    let mut pooled = [[0.0; CHANNELS]; POOLED + 1];
    for (n, out) in pooled[1..].iter_mut().enumerate() {
        // The largest of scaled values is the scaled largest, or the scaled least where the scale is negative.
        let of = &row[2 * n..2 * n + KERNEL];
        let most = of.iter().fold(f32::MIN, |most, x| if *x > most { *x } else { most });
        let least = of.iter().fold(f32::MAX, |least, x| if *x < least { *x } else { least });
        for (c, out) in out.iter_mut().enumerate() {
            *out = rectified(most * WEIGHTS.rising[c] + least * WEIGHTS.falling[c] + WEIGHTS.bias[c]);
        }
    }
    let mut second = [[0.0; CHANNELS]; SECOND + 2];
    for (n, out) in second[1..=SECOND].iter_mut().enumerate() {
        let sums = WEIGHTS.second.convolve(&pooled[2 * n..2 * n + KERNEL]);
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = rectified(sum));
    }
    let mut found = [0; FOUND];
    for (n, out) in found.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
        let sums = WEIGHTS.third.convolve(&second[2 * n..2 * n + KERNEL]);
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = q15(sum));
    }
    found
}

#[inline(always)]
fn rectified(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

/// Rounds and saturates.
#[inline(always)]
fn q15(x: f32) -> i16 {
    let x = (x * 32_768.0).clamp(-32_768.0, 32_767.0);
    (x + 0.5_f32.copysign(x)) as i32 as i16
}

/// A minimal gated recurrent unit: half of the rows say what is new, half how much of it counts.
#[inline(always)]
fn recur(machine: impl Machine, input: &[Pair], state: &mut [i16; STATE], [new, gate]: &[impl AsRef<[Rows]>; 2]) {
    let new = sums(machine, input, new.as_ref());
    let gate = sums(machine, input, gate.as_ref());
    let (new, gate) = (new.as_flattened(), gate.as_flattened());
    for ((state, new), gate) in state.iter_mut().zip(new).zip(gate) {
        let gate = (gate << 2).clamp(0, ONE);
        let kept = i64::from(ONE - gate) * (i64::from(*state) << 9);
        // Q48 to Q15.
        *state = ((kept + i64::from(gate) * i64::from(*new)) >> 33).clamp(-32_768, 32_767) as i16;
    }
}

/// The inputs' products with every row, added up: Q15 times Q9 is Q24. In pairs, which is how processors multiply and
/// add such numbers.
#[inline(always)]
fn sums(machine: impl Machine, input: &[Pair], rows: &[Rows]) -> [[i32; LANES]; STATE / LANES] {
    let mut sums = [[0; LANES]; STATE / LANES];
    for (pair, rows) in input.iter().zip(rows) {
        for (sums, rows) in sums.iter_mut().zip(rows) {
            machine.multiply_add(sums, *pair, rows);
        }
    }
    sums
}

#[inline(always)]
fn dot(a: &[i16; STATE], b: &[i16; STATE]) -> i32 {
    a.iter().zip(b).fold(0, |sum: i32, (a, b)| sum.wrapping_add(i32::from(*a) * i32::from(*b)))
}

/// Each channel over its neighbours in frequency, then all channels together.
struct Layer {
    kernel: [Channels; KERNEL],
    /// What a channel gives to each.
    weights: [Channels; CHANNELS],
    bias: Channels,
}

impl Layer {
    #[inline(always)]
    fn convolve(&self, input: &[Channels]) -> Channels {
        let mut own = [0.0; CHANNELS];
        for (input, kernel) in input.iter().zip(&self.kernel) {
            for c in 0..CHANNELS {
                own[c] += input[c] * kernel[c];
            }
        }
        let mut out = [0.0; CHANNELS];
        for (own, weights) in own.iter().zip(&self.weights) {
            for c in 0..CHANNELS {
                out[c] += own * weights[c];
            }
        }
        out.iter_mut().zip(&self.bias).for_each(|(out, bias)| *out += bias);
        out
    }
}

struct Weights {
    norm: [f32; BANDS],
    kernel: [[f32; KERNEL]; CONTEXT],
    /// The first convolution's weights, those above zero and those below.
    rising: Channels,
    falling: Channels,
    bias: Channels,
    second: Layer,
    third: Layer,
    first_state: [[Rows; FOUND / 2]; 2],
    second_state: [[Rows; STATE / 2]; 2],
    output: [[i16; STATE]; 2],
}

/// The file holds the arrays one after the other, little endian: floats, then from the recurrences on `i16`.
const FILE: &[u8] = include_bytes!("weights.bin");
static WEIGHTS: Weights = Weights::read();

impl Weights {
    const fn read() -> Self {
        let (mut rising, mut falling): (Channels, Channels) = (floats(49), floats(49));
        let mut c = 0;
        while c < CHANNELS {
            if rising[c] > 0.0 {
                falling[c] = 0.0;
            } else {
                rising[c] = 0.0;
            }
            c += 1;
        }
        Self {
            norm: floats(0),
            kernel: [floats(40), floats(43), floats(46)],
            rising,
            falling,
            bias: floats(65),
            second: Layer { kernel: columns(81), weights: columns(129), bias: floats(385) },
            third: Layer { kernel: columns(401), weights: columns(449), bias: [0.0; CHANNELS] },
            first_state: [pairs(705), pairs(705 + STATE * FOUND / 2)],
            second_state: [pairs(5_825), pairs(5_825 + STATE * STATE / 2)],
            output: rows(9_921),
        }
    }
}

/// The floats that begin `at` floats into the file.
const fn floats<const N: usize>(at: usize) -> [f32; N] {
    let mut out = [0.0; N];
    let mut n = 0;
    while n < N {
        let at = 4 * (at + n);
        out[n] = f32::from_le_bytes([FILE[at], FILE[at + 1], FILE[at + 2], FILE[at + 3]]);
        n += 1;
    }
    out
}

/// A matrix that the file has with a row for each channel.
const fn columns<const N: usize>(at: usize) -> [Channels; N] {
    let mut out = [[0.0; CHANNELS]; N];
    let mut c = 0;
    while c < CHANNELS {
        let row: [f32; N] = floats(at + c * N);
        let mut n = 0;
        while n < N {
            out[n][c] = row[n];
            n += 1;
        }
        c += 1;
    }
    out
}

const fn rows<const N: usize, const ROWS: usize>(at: usize) -> [[i16; N]; ROWS] {
    let mut out = [[0; N]; ROWS];
    let mut n = 0;
    while n < N * ROWS {
        let at = 4 * at + 2 * n;
        out[n / N][n % N] = i16::from_le_bytes([FILE[at], FILE[at + 1]]);
        n += 1;
    }
    out
}

/// A matrix that the file has row by row.
const fn pairs<const PAIRS: usize>(at: usize) -> [Rows; PAIRS] {
    let mut out = [[[[0; 2]; LANES]; STATE / LANES]; PAIRS];
    let mut n = 0;
    while n < 2 * PAIRS * STATE {
        let at = 4 * at + 2 * n;
        let (row, column) = (n / (2 * PAIRS), n % (2 * PAIRS));
        out[column / 2][row / LANES][row % LANES][column % 2] = i16::from_le_bytes([FILE[at], FILE[at + 1]]);
        n += 1;
    }
    out
}
