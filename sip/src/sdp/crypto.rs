//! SRTP keys in a description: `a=crypto` (RFC 4568, RFC 7714 14.2). It makes no key of its own and prints none.

use std::fmt;

/// Longest master key and salt: AES-256 in Galois counter mode.
const KEY_BYTES_MAX: usize = 44;

/// What SRTP is done with.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Suite {
    /// AES in counter mode with an authentication tag of 80 bits (RFC 4568 6.2.1): what everybody knows.
    AesCm128HmacSha1_80,
    /// The same with 32 bits for media (RFC 4568 6.2.2).
    AesCm128HmacSha1_32,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 7714.
    AeadAes256Gcm,
}

impl Suite {
    /// In the order of our offers.
    pub const ALL: [Self; 4] =
        [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// The name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Master key and master salt, in bytes.
    pub const fn key_and_salt(self) -> (usize, usize) {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => (16, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }

    const fn bytes(self) -> usize {
        let (key, salt) = self.key_and_salt();
        key + salt
    }
}

/// A master key with its salt behind it. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(Vec<u8>);

impl KeyMaterial {
    /// Key, then salt, as long as [`Suite::key_and_salt`] says. Do not hand it to a log.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// Our keys for one call, one for each suite: what one peer learns of them, no other may.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys(Box<[u8; SrtpKeys::RANDOM_BYTES]>);

impl SrtpKeys {
    /// How many random bytes they are made of.
    pub const RANDOM_BYTES: usize = KEY_BYTES_MAX * Suite::ALL.len();

    /// `random`: from a generator that is fit for keys, and used for nothing else.
    pub fn new(random: [u8; Self::RANDOM_BYTES]) -> Self {
        Self(Box::new(random))
    }

    pub(super) fn of(&self, suite: Suite) -> KeyMaterial {
        let own = self.0.chunks_exact(KEY_BYTES_MAX).zip(Suite::ALL).find(|(_, s)| *s == suite);
        let bytes = own.and_then(|(chunk, _)| chunk.get(..suite.bytes()));
        KeyMaterial(bytes.unwrap_or_default().to_vec())
    }

    /// One line for an offer or an answer.
    pub(super) fn line(&self, tag: u32, suite: Suite) -> String {
        format!("a=crypto:{tag} {} inline:{}\r\n", suite.name(), base64(self.of(suite).expose()))
    }
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// A line of the peer's that we can do.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Crypto {
    pub tag: u32,
    pub suite: Suite,
    pub key: KeyMaterial,
}

impl Crypto {
    /// `1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31 WSH=64`. `None`: not ours to do, or not as RFC 4568 9.1 has it.
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next()?;
        let tag = tag.parse().ok().filter(|_| tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit()))?;
        let name = fields.next()?;
        let suite = Suite::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(name))?;
        // Several keys in one line (`;`) and a second field of an MKI (`1:4`) would need MKIs in every packet.
        let (method, key) = fields.next()?.split_once(':')?;
        let mut parts = key.split('|');
        let bytes = from_base64(parts.next()?)?;
        let is_plain = method.eq_ignore_ascii_case("inline") && parts.next().is_none_or(is_lifetime);
        // 6.3.7: a parameter that is not known must be refused, unless a hyphen says that it need not.
        let is_harmless = |p: &str| p.starts_with('-') || p.to_ascii_uppercase().starts_with("WSH=");
        (is_plain && parts.next().is_none() && bytes.len() == suite.bytes() && fields.all(is_harmless))
            .then_some(Self { tag, suite, key: KeyMaterial(bytes) })
    }
}

/// `2^31` or a plain number; it is not kept, for no call comes near the 2^48 packets of RFC 3711 9.2.
fn is_lifetime(text: &str) -> bool {
    let digits = text.strip_prefix("2^").unwrap_or(text);
    (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (i, b)| word | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let letter = ALPHABET.get((word >> (18 - 6 * i) & 63) as usize);
            text.push(letter.filter(|_| i <= chunk.len()).map_or('=', |b| char::from(*b)));
        }
    }
    text
}

/// Without the padding too, as some phones write it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() > KEY_BYTES_MAX.div_ceil(3) * 4 || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(KEY_BYTES_MAX);
    for chunk in text.chunks(4) {
        let mut word = 0u32;
        for (i, letter) in chunk.iter().enumerate() {
            let value = ALPHABET.iter().position(|a| a == letter)?;
            word |= u32::try_from(value).ok()? << (18 - 6 * i);
        }
        bytes.extend(word.to_be_bytes().iter().skip(1).take(chunk.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        // RFC 4648 10.
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(from_base64(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["A", "Zm9vA", "Zm 9", "Zm9v\u{e9}", "Z=m9", &"A".repeat(64)] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines() {
        let (k30, k28, k44) = ("A".repeat(40), "A".repeat(38), "A".repeat(59));
        let check = |line: &str, want: Option<(u32, Suite)>| {
            let line = line.replace("K30", &k30).replace("K28", &k28).replace("K44", &k44);
            assert_eq!(Crypto::parse(&line).map(|c| (c.tag, c.suite)), want, "{line}");
        };
        let [gcm256, gcm128, sha80, sha32] = Suite::ALL;
        check("1 AES_CM_128_HMAC_SHA1_80 inline:K30", Some((1, sha80)));
        check("999999999 aes_cm_128_hmac_sha1_32 INLINE:K30|2^20", Some((999_999_999, sha32)));
        check("2 AEAD_AES_128_GCM inline:K28==|1048576", Some((2, gcm128)));
        check("3  AEAD_AES_256_GCM  inline:K44=  WSH=128  -X=1", Some((3, gcm256)));
        for refused in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            "1 AES_CM_128_HMAC_SHA1_80 K30",
            "1 AES_CM_128_HMAC_SHA1_80 uri:K30",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K28==",
            "1 AEAD_AES_256_GCM inline:K30",
            "1 F8_128_HMAC_SHA1_80 inline:K30",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30|2^20|1:4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30|1:4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30|2^99999999999999999999",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30;inline:K30",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30 KDR=1",
            "1 AES_CM_128_HMAC_SHA1_80 inline:K30 UNENCRYPTED_SRTP",
            "1000000000 AES_CM_128_HMAC_SHA1_80 inline:K30",
            "-1 AES_CM_128_HMAC_SHA1_80 inline:K30",
            "+1 AES_CM_128_HMAC_SHA1_80 inline:K30",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn each_suite_has_a_key_of_its_own() {
        let keys = SrtpKeys::new(std::array::from_fn(|i| i as u8));
        for suite in Suite::ALL {
            let line = keys.line(7, suite);
            let read = Crypto::parse(line.trim_end().strip_prefix("a=crypto:").unwrap()).unwrap();
            assert_eq!((read.tag, read.suite, &read.key), (7, suite, &keys.of(suite)));
            assert!(Suite::ALL.into_iter().all(|s| s == suite || keys.of(s).expose()[0] != read.key.expose()[0]));
            assert_eq!(format!("{:?} {keys:?}", read.key), "[private] [private]");
        }
    }
}
