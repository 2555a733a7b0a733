//! Chance that is the same each time: numbers from a seed. Never for secrets.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    /// `stream` tells apart what has the same seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        chance.next();
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// -1 to 1.
    pub fn noise(&mut self) -> f32 {
        self.unit() * 2.0 - 1.0
    }

    /// 0 to `most`, both included.
    pub fn up_to(&mut self, most: u32) -> u32 {
        u32::try_from(self.next() % (u64::from(most) + 1)).unwrap_or(0)
    }
}
