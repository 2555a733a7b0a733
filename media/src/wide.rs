//! Runs arithmetic on the widest vectors that this processor has (AVX2 on most), whatever the binary was built for.
//! It changes no result: the same operations in the same order, more of them at a time.

#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, x86::V3};

/// Sums that are made at a time.
pub const LANES: usize = 8;

/// Arithmetic to be compiled for more than one processor, with what it works on.
pub trait Kernel {
    type Output;

    /// Marked `#[inline(always)]`, as is all that it calls: what is not inlined is compiled for the oldest processor.
    fn run(self, machine: impl Machine) -> Self::Output;
}

/// What a compiler does not find out by itself.
pub trait Machine: Copy {
    /// Adds to each sum its row's products with the pair, modulo 2^32.
    fn multiply_add(self, sums: &mut [i32; LANES], pair: [i16; 2], rows: &[[i16; 2]; LANES]);
}

/// Runs `kernel` as it was compiled for this processor.
pub fn wide<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = V3::try_new() {
        return avx2.vectorize(On(avx2, kernel));
    }
    kernel.run(Any)
}

/// Every processor.
#[derive(Clone, Copy)]
struct Any;

impl Machine for Any {
    #[inline(always)]
    fn multiply_add(self, sums: &mut [i32; LANES], pair: [i16; 2], rows: &[[i16; 2]; LANES]) {
        for (sum, row) in sums.iter_mut().zip(rows) {
            let products = [0, 1].map(|n| i32::from(pair[n]) * i32::from(row[n]));
            *sum = sum.wrapping_add(products[0].wrapping_add(products[1]));
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Machine for V3 {
    #[inline(always)]
    fn multiply_add(self, sums: &mut [i32; LANES], pair: [i16; 2], rows: &[[i16; 2]; LANES]) {
        let pair = self.avx._mm256_set1_epi32(pulp::cast(pair));
        let products = self.avx2._mm256_madd_epi16(pair, pulp::cast(*rows));
        *sums = pulp::cast(self.avx2._mm256_add_epi32(pulp::cast(*sums), products));
    }
}

#[cfg(target_arch = "x86_64")]
struct On<K>(V3, K);

#[cfg(target_arch = "x86_64")]
impl<K: Kernel> NullaryFnOnce for On<K> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.1.run(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sums([[i16; 2]; LANES]);

    impl Kernel for Sums {
        type Output = [i32; LANES];

        #[inline(always)]
        fn run(self, machine: impl Machine) -> [i32; LANES] {
            let mut sums = std::array::from_fn(|n| n as i32 - 3);
            for pair in [[1, 0], [-3, 7], [i16::MIN, i16::MIN], [i16::MAX, i16::MIN]] {
                machine.multiply_add(&mut sums, pair, &self.0);
            }
            sums
        }
    }

    #[test]
    fn every_machine_adds_alike() {
        let rows = std::array::from_fn(|n| [n as i16 * 4_099, i16::MIN + n as i16]);
        assert_eq!(wide(Sums(rows)), Sums(rows).run(Any));
        assert_eq!(Sums([[i16::MIN; 2]; LANES]).run(Any)[3], wide(Sums([[i16::MIN; 2]; LANES]))[3]);
    }
}
