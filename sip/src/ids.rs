//! Branches, tags and Call-IDs from a keyed generator (SipHash-2-4 in counter mode). It never asks the system for randomness.

/// A stream of identifiers nobody without the seed can guess, and keyed hashes for stateless answers.
pub(crate) struct Ids {
    key: (u64, u64),
    counter: u64,
}

impl Ids {
    pub const fn new(seed: u128) -> Self {
        Self { key: (seed as u64, (seed >> 64) as u64), counter: 0 }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        siphash24(self.key, &[b"next", &self.counter.to_le_bytes()])
    }

    /// RFC 3261 8.1.1.7: with the magic cookie.
    pub fn branch(&mut self) -> String {
        format!("z9hG4bK{:016x}", self.next())
    }

    /// RFC 3261 19.3: at least 32 random bits; these are 64.
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.next())
    }

    /// Without a host part: an address has no business there.
    pub fn call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    /// The same tag for the same request, for answers that leave no memory (RFC 3261 8.2.7).
    pub fn stateless_tag(&self, call_id: &str, from_tag: &str, cseq: u32) -> String {
        let parts: [&[u8]; 5] = [b"tag", call_id.as_bytes(), b"\0", from_tag.as_bytes(), &cseq.to_le_bytes()];
        format!("{:016x}", siphash24(self.key, &parts))
    }

    /// A keyed hash of `parts`, each with its length, so that they cannot run into each other.
    pub fn key(&self, parts: &[&str]) -> [u64; 2] {
        [b"a", b"b"].map(|half| {
            let lengths: Vec<[u8; 8]> = parts.iter().map(|p| (p.len() as u64).to_le_bytes()).collect();
            let mut all: Vec<&[u8]> = Vec::with_capacity(2 * parts.len() + 1);
            all.push(half);
            for (part, length) in parts.iter().zip(&lengths) {
                all.push(length);
                all.push(part.as_bytes());
            }
            siphash24(self.key, &all)
        })
    }
}

/// SipHash-2-4 (Aumasson, Bernstein 2012) over the concatenation of `parts`.
fn siphash24(key: (u64, u64), parts: &[&[u8]]) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let (mut word, mut length) = (0u64, 0u64);
    for byte in parts.iter().flat_map(|p| p.iter()) {
        word |= u64::from(*byte) << (8 * (length % 8));
        length += 1;
        if length.is_multiple_of(8) {
            absorb(&mut v, word);
            word = 0;
        }
    }
    absorb(&mut v, word | (length << 56));
    let [_, _, v2, _] = &mut v;
    *v2 ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    let [a, b, c, d] = v;
    a ^ b ^ c ^ d
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

const fn round(v: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *v;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *v = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_vectors() {
        // The test vector of the paper: key 00..0f, input 00..0e.
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(siphash24(key, &[&input]), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash24(key, &[&input[..4], &input[4..]]), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn same_seed_same_ids() {
        let (mut a, mut b, mut c) = (Ids::new(7), Ids::new(7), Ids::new(8));
        assert_eq!(a.branch(), b.branch());
        assert_ne!(a.tag(), a.tag());
        assert_ne!(b.call_id(), c.call_id());
        assert_eq!(a.stateless_tag("x", "y", 1), b.stateless_tag("x", "y", 1));
        assert_ne!(a.stateless_tag("x", "y", 1), a.stateless_tag("x", "y", 2));
    }
}
