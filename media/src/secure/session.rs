//! The cryptography of one direction's RTP or RTCP under one master key: derivation (RFC 3711, 4.3),
//! counter mode with HMAC-SHA1 (4.1.1, 4.2), Galois/counter mode (RFC 7714). It knows one packet at a time;
//! who may send it, and whether it came before, is its caller's business.
use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes128Enc, Aes256Enc};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::suite::{Keys, Suite};

/// Longest authentication tag, in bytes.
pub(super) const TAG_MAX: usize = 16;

/// What a session protects.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Stream {
    Rtp,
    Rtcp,
}

/// The derived keys of one stream.
pub(super) struct Session {
    cipher: Cipher,
    salt: [u8; 14],
    tag_len: usize,
}

// A session lies in a box of its own beside three others of the same kind; indirection would only cost.
#[allow(clippy::large_enum_variant)]
enum Cipher {
    Counter { aes: Aes128, mac: Hmac<Sha1> },
    Galois128(Aes128Gcm),
    Galois256(Aes256Gcm),
}

/// A packet, taken apart. What follows `body` on the wire is the caller's to read or write.
pub(super) struct Parts<'a> {
    pub ssrc: u32,
    /// 48 bits for RTP, 31 for RTCP.
    pub index: u64,
    /// Authenticated only.
    pub header: &'a [u8],
    /// Encrypted too.
    pub body: &'a mut [u8],
    /// RTP: the rollover counter, which does not travel. RTCP: the E bit and the index, which do.
    pub word: [u8; 4],
}

impl Session {
    pub fn new(keys: &Keys, stream: Stream) -> Session {
        // RFC 3711, 4.3.1 and 4.3.2: labels of encryption key, authentication key, salt.
        let first = if stream == Stream::Rtp { 0 } else { 3 };
        let mut secret = Zeroizing::new([0; 32]);
        let key = &mut secret[..keys.suite().key_len()];
        derive(keys, first, key);
        let cipher = match keys.suite() {
            Suite::AeadAes128Gcm => Cipher::Galois128(Aes128Gcm::new(&first_bytes::<16>(key).into())),
            Suite::AeadAes256Gcm => Cipher::Galois256(Aes256Gcm::new(&first_bytes::<32>(key).into())),
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                let aes = Aes128::new(&first_bytes::<16>(key).into());
                let mut auth = Zeroizing::new([0; 64]);
                derive(keys, first + 1, &mut auth[..20]);
                // A key shorter than the hash's block is filled up with zeros (RFC 2104, 2).
                Cipher::Counter { aes, mac: Hmac::new(&(*auth).into()) }
            }
        };
        let mut salt = [0; 14];
        derive(keys, first + 2, &mut salt[..keys.suite().salt_len()]);
        let tag_len = match stream {
            Stream::Rtp => keys.suite().rtp_tag_len(),
            Stream::Rtcp => keys.suite().rtcp_tag_len(),
        };
        Session { cipher, salt, tag_len }
    }

    pub fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Encrypts the body in place; the tag's first [`Session::tag_len`] bytes count.
    pub fn seal(&self, parts: Parts<'_>) -> Option<[u8; TAG_MAX]> {
        let Parts { ssrc, index, header, body, word } = parts;
        match &self.cipher {
            Cipher::Counter { aes, mac } => {
                self.keystream(aes, ssrc, index, body);
                let full = mac.clone().chain_update(header).chain_update(body).chain_update(word).finalize();
                full.into_bytes().first_chunk().copied()
            }
            Cipher::Galois128(gcm) => {
                let mut room = [0; 12];
                let aad = associated(header, word, &mut room);
                let nonce = self.nonce(ssrc, index).into();
                gcm.encrypt_inout_detached(&nonce, aad, body.into()).ok().map(Into::into)
            }
            Cipher::Galois256(gcm) => {
                let mut room = [0; 12];
                let aad = associated(header, word, &mut room);
                let nonce = self.nonce(ssrc, index).into();
                gcm.encrypt_inout_detached(&nonce, aad, body.into()).ok().map(Into::into)
            }
        }
    }

    /// Decrypts the body in place if the tag is right. If not, everything stays as it was: both ciphers
    /// look at the tag first.
    pub fn open(&self, parts: Parts<'_>, tag: &[u8]) -> bool {
        let Parts { ssrc, index, header, body, word } = parts;
        match &self.cipher {
            Cipher::Counter { aes, mac } => {
                let mac = mac.clone().chain_update(header).chain_update(&*body).chain_update(word);
                let genuine = tag.len() == self.tag_len && mac.verify_truncated_left(tag).is_ok();
                if genuine {
                    self.keystream(aes, ssrc, index, body);
                }
                genuine
            }
            Cipher::Galois128(gcm) => {
                let Ok(tag) = tag.try_into() else { return false };
                let mut room = [0; 12];
                let aad = associated(header, word, &mut room);
                gcm.decrypt_inout_detached(&self.nonce(ssrc, index).into(), aad, body.into(), tag).is_ok()
            }
            Cipher::Galois256(gcm) => {
                let Ok(tag) = tag.try_into() else { return false };
                let mut room = [0; 12];
                let aad = associated(header, word, &mut room);
                gcm.decrypt_inout_detached(&self.nonce(ssrc, index).into(), aad, body.into(), tag).is_ok()
            }
        }
    }

    /// RFC 3711, 4.1.1: the salt, the SSRC and the index, each at its place, and 16 bits to count blocks.
    fn keystream(&self, aes: &Aes128, ssrc: u32, index: u64, body: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        counter_mode(aes, iv, body);
    }

    /// RFC 7714, 8.1 and 9.1. The index's 48 bits are the rollover counter and the sequence number for
    /// RTP, and the 31-bit index after 16 zero bits for RTCP.
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce = first_bytes::<12>(&self.salt);
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        nonce
    }
}

/// RFC 7714, 8.2: of RTP the header is authenticated, 9.2: of RTCP its first eight bytes and the index.
fn associated<'a>(header: &'a [u8], word: [u8; 4], room: &'a mut [u8; 12]) -> &'a [u8] {
    match header.first_chunk::<8>() {
        // An RTP header has twelve bytes at least.
        Some(fixed) if header.len() == 8 => {
            room[..8].copy_from_slice(fixed);
            room[8..].copy_from_slice(&word);
            room
        }
        _ => header,
    }
}

/// RFC 3711, 4.3.1 and 4.3.3 with a derivation rate of zero, RFC 6188, 3 for AES-256; a salt of 12 bytes
/// gets two of zero behind it (RFC 7714, 11).
fn derive(keys: &Keys, label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..keys.salt().len()].copy_from_slice(keys.salt());
    iv[7] ^= label;
    out.fill(0);
    if keys.suite() == Suite::AeadAes256Gcm {
        counter_mode(&Aes256Enc::new(&first_bytes::<32>(keys.key()).into()), iv, out);
    } else {
        counter_mode(&Aes128Enc::new(&first_bytes::<16>(keys.key()).into()), iv, out);
    }
}

fn counter_mode<C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>>(aes: &C, iv: [u8; 16], data: &mut [u8]) {
    let core = CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(aes, &iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

fn xor(to: &mut [u8], with: &[u8]) {
    to.iter_mut().zip(with).for_each(|(to, with)| *to ^= with);
}

/// The first `N` bytes, or zeros behind what there is.
fn first_bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::hex;

    #[test]
    fn counter_mode_is_that_of_rfc_3711_b_2() {
        let aes = Aes128::new(&first_bytes::<16>(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).into());
        let iv = first_bytes(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"));
        let mut stream = vec![0; 0xFF02 * 16];
        counter_mode(&aes, iv, &mut stream);
        assert_eq!(
            stream[..48],
            hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
        );
        assert_eq!(
            stream[0xFEFF * 16..],
            hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }

    /// Derives with all three labels of RTP.
    fn check(suite: Suite, key: &str, salt: &str, expected: [&str; 3]) {
        let keys = Keys::new(suite, &[hex(key), hex(salt)].concat()).unwrap();
        for (label, expected) in expected.iter().enumerate().filter(|(_, e)| !e.is_empty()) {
            let expected = hex(expected);
            let mut out = vec![0xEE; expected.len()];
            derive(&keys, label as u8, &mut out);
            assert_eq!(out, expected, "{suite:?}, label {label}");
        }
    }

    #[test]
    fn derivation_is_that_of_rfc_3711_b_3() {
        check(
            Suite::AesCm128HmacSha1_80,
            "E1F97A0D3E018BE0D64FA32C06DE4139",
            "0EC675AD498AFEEBB6960B3AABE6",
            [
                "C61E7A93744F39EE10734AFE3FF7A087",
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF722
                 70986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DB
                 DFB2DC68",
                "30CBBC08863D8C85D49DB34A9AE1",
            ],
        );
    }

    fn galois(cipher: Cipher) -> Session {
        let mut salt = [0; 14];
        salt[..12].copy_from_slice(b"Quid pro quo");
        Session { cipher, salt, tag_len: 16 }
    }

    /// Seals and opens a packet; `sealed` is what follows the header, up to the tag.
    fn check_packet(session: &Session, plain: &str, header_len: usize, index: u64, word: u32, sealed: &str) {
        let plain = hex(plain);
        let (header, body) = plain.split_at(header_len);
        let ssrc = u32::from_be_bytes(*header[if header_len == 8 { 4 } else { 8 }..].first_chunk().unwrap());
        let mut body = body.to_vec();
        let word = word.to_be_bytes();
        let tag = session.seal(Parts { ssrc, index, header, body: &mut body, word }).unwrap();
        assert_eq!([&body[..], &tag[..]].concat(), hex(sealed));
        assert!(session.open(Parts { ssrc, index, header, body: &mut body, word }, &tag));
        assert_eq!([header, &body].concat(), plain);
    }

    #[test]
    fn galois_counter_mode_is_that_of_rfc_7714_16_and_17() {
        let key: Vec<u8> = (0..32).collect();
        let small = galois(Cipher::Galois128(Aes128Gcm::new(&first_bytes::<16>(&key).into())));
        let large = galois(Cipher::Galois256(Aes256Gcm::new(&first_bytes::<32>(&key).into())));
        let rtp = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
            69736120 696e2070 61727465 73207472 6573";
        check_packet(
            &small,
            rtp,
            12,
            0xF17B,
            0,
            "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1
             6a9152cf 765ee439 0cce",
        );
        check_packet(
            &large,
            rtp,
            12,
            0xF17B,
            0,
            "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff
             d6b0f9bb 7878d7a7 6c13",
        );
        let rtcp = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
            deadbeef deadbeef deadbeef deadbeef deadbeef";
        check_packet(
            &small,
            rtcp,
            8,
            0x5D4,
            0x8000_05D4,
            "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b
             c84aa458 96cf4d2f c5abf872 45d9eade",
        );
        check_packet(
            &large,
            rtcp,
            8,
            0x5D4,
            0x8000_05D4,
            "d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad
             1d1eb30c 4446839f 57ff6f6c b26ac3be",
        );
    }
}
