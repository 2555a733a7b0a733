//! What SRTP can be agreed on, and the keys of one direction. It encrypts nothing itself, never prints a key,
//! and forgets keys by overwriting them.
use zeroize::Zeroizing;

/// Longest master key and salt together, in bytes.
pub const KEYS_MAX: usize = 32 + 12;

/// A crypto suite of SRTP, by the names of RFC 4568, 6.2 and RFC 7714, 14.2.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Suite {
    /// AES-128 in counter mode, 80 bits of HMAC-SHA1: what every phone knows.
    AesCm128HmacSha1_80,
    /// The same with 32 bits on RTP; RTCP keeps 80 (RFC 4568, 6.2.2).
    AesCm128HmacSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, the one to prefer first.
    pub const ALL: [Suite; 4] =
        [Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    /// Its name in an SDP `crypto` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of this name; the attribute's names do not care about case (RFC 4568, 9.1).
    pub fn from_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of its master key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Bytes of its master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }

    /// Bytes that an RTP packet grows by.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of authentication tag on an RTCP packet, which grows by four more for its index.
    pub const fn rtcp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }
}

/// Key material of another length than the suite wants: refuse the `crypto` line it came from.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the suite takes {wanted} bytes of key and salt")]
pub struct KeysError {
    /// Bytes of key and salt together.
    pub wanted: usize,
}

/// Master key and salt of one direction. Comparable, to see whether a re-INVITE brought new ones; never
/// printed.
#[derive(Clone)]
pub struct Keys {
    suite: Suite,
    material: Zeroizing<[u8; KEYS_MAX]>,
}

impl Keys {
    /// Takes key and salt as they stand in an SDP `inline:` parameter, one after the other, decoded. Where
    /// keys are made, these bytes have to be random.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Keys, KeysError> {
        let wanted = suite.key_len() + suite.salt_len();
        let mut material = Zeroizing::new([0; KEYS_MAX]);
        match material.get_mut(..wanted).filter(|_| key_and_salt.len() == wanted) {
            Some(room) => room.copy_from_slice(key_and_salt),
            None => return Err(KeysError { wanted }),
        }
        Ok(Keys { suite, material })
    }

    /// What they are for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, for the SDP that tells the other side.
    pub fn key_and_salt(&self) -> &[u8] {
        &self.material[..self.suite.key_len() + self.suite.salt_len()]
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.material[..self.suite.key_len()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.material[self.suite.key_len()..self.suite.key_len() + self.suite.salt_len()]
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        self.suite == other.suite && self.material == other.material
    }
}

impl Eq for Keys {}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.suite).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_known_by_name_and_lengths_are_checked() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(&suite.name().to_lowercase()), Some(suite));
            let wanted = suite.key_len() + suite.salt_len();
            for len in 0..KEYS_MAX + 4 {
                let made = Keys::new(suite, &[0x5A; KEYS_MAX + 4][..len]);
                assert_eq!(made.is_ok(), len == wanted, "{suite:?} with {len} bytes");
            }
        }
        assert_eq!(Suite::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = Keys::new(Suite::AesCm128HmacSha1_80, &[0xA7; 30]).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys(AesCm128HmacSha1_80)");
        assert_ne!(keys, Keys::new(Suite::AesCm128HmacSha1_32, &[0xA7; 30]).unwrap());
    }
}
