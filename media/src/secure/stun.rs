//! STUN (RFC 8489) as far as ICE needs it: Binding messages read in place, and written into the caller's buffer. It
//! decides nothing: who may be answered is `ice`'s business, who is asked `checker`'s.
use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Room that every answer fits into, in bytes.
pub(super) const ANSWER_MAX: usize = 128;
/// Attributes not understood that an answer lists.
pub(super) const UNKNOWN_MAX: usize = 4;

const HEADER_LEN: usize = 20;
const COOKIE: [u8; 4] = 0x2112_A442u32.to_be_bytes();
const INTEGRITY_LEN: usize = 20;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLING: u16 = 0x802A;
/// Attributes below this one must be understood (RFC 8489, 14).
const OPTIONAL: u16 = 0x8000;

/// What kind of message it is; methods other than Binding are not read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

impl Class {
    const fn code(self) -> u16 {
        match self {
            Class::Request => 0x0001,
            Class::Indication => 0x0011,
            Class::Success => 0x0101,
            Class::Error => 0x0111,
        }
    }
}

/// A transaction identifier.
pub(super) type Transaction = [u8; 12];

/// A Binding message whose fingerprint is right. Whether it is genuine, [`Binding::is_by`] says.
pub(super) struct Binding<'a> {
    pub class: Class,
    pub transaction: Transaction,
    pub username: Option<&'a [u8]>,
    pub priority: u32,
    pub use_candidate: bool,
    /// Attributes that had to be understood and were not; zeros fill up.
    pub unknown: [u16; UNKNOWN_MAX],
    /// What comes before the integrity attribute, and that attribute.
    integrity: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Binding<'a> {
    /// Reads a message. `None` for whatever is not STUN, not Binding, or has no fingerprint, which every
    /// message of ICE has (RFC 8445, 7.1).
    pub fn read(datagram: &'a [u8]) -> Option<Binding<'a>> {
        let head = datagram.first_chunk::<HEADER_LEN>()?;
        let code = u16::from_be_bytes([head[0], head[1]]);
        let class = [Class::Request, Class::Indication, Class::Success, Class::Error];
        let class = class.into_iter().find(|class| class.code() == code)?;
        let body = datagram.get(HEADER_LEN..)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if len != body.len() || len % 4 != 0 || head[4..8] != COOKIE {
            return None;
        }
        let transaction = *head.last_chunk()?;
        let mut binding = Binding {
            class,
            transaction,
            username: None,
            priority: 0,
            use_candidate: false,
            unknown: [0; UNKNOWN_MAX],
            integrity: None,
        };
        let mut rest = body;
        while !rest.is_empty() {
            let before = datagram.get(..datagram.len() - rest.len())?;
            let (kind, value, after) = split_attribute(rest)?;
            if kind == FINGERPRINT {
                return (after.is_empty() && value == fingerprint(before)).then_some(binding);
            }
            binding.take(kind, value, before);
            rest = after;
        }
        None
    }

    fn take(&mut self, kind: u16, value: &'a [u8], before: &'a [u8]) {
        if self.integrity.is_some() {
            return; // RFC 8489, 14.5: nothing behind it counts but the fingerprint.
        }
        match kind {
            USERNAME => self.username = Some(value),
            MESSAGE_INTEGRITY => self.integrity = Some((before, value)),
            PRIORITY => self.priority = value.first_chunk().map_or(0, |p| u32::from_be_bytes(*p)),
            USE_CANDIDATE => self.use_candidate = true,
            OPTIONAL.. => {}
            _ => {
                if let Some(free) = self.unknown.iter_mut().find(|known| **known == 0) {
                    *free = kind;
                }
            }
        }
    }

    /// Whether it carries an integrity attribute at all.
    pub fn is_signed(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether somebody signed it who knows the password.
    pub fn is_by(&self, password: &str) -> bool {
        let Some((before, tag)) = self.integrity else { return false };
        integrity(before, password).is_some_and(|mac| mac.verify_slice(tag).is_ok())
    }
}

/// A check to be written (RFC 8445, 7.2.2); it nominates at once.
pub(super) struct Check<'a> {
    pub transaction: Transaction,
    pub username: &'a str,
    pub password: &'a str,
    pub priority: u32,
    pub tie_breaker: u64,
}

impl Check<'_> {
    /// `None`: no room.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut request = Writer::new(out, Class::Request, &self.transaction)?;
        request.attribute(USERNAME, self.username.as_bytes())?;
        request.attribute(PRIORITY, &self.priority.to_be_bytes())?;
        request.attribute(ICE_CONTROLLING, &self.tie_breaker.to_be_bytes())?;
        request.attribute(USE_CANDIDATE, &[])?;
        request.sign(self.password)?;
        request.finish()
    }
}

/// Writes the answer to a Binding request that was genuine, saying where it came from. `None`: no room.
pub(super) fn write_success(
    out: &mut [u8],
    transaction: &Transaction,
    mapped: SocketAddr,
    password: &str,
) -> Option<usize> {
    let mut answer = Writer::new(out, Class::Success, transaction)?;
    let (value, len) = xor_mapped(mapped, transaction);
    answer.attribute(XOR_MAPPED_ADDRESS, value.get(..len)?)?;
    answer.sign(password)?;
    answer.finish()
}

/// Writes an error, signed where we know who asks (RFC 8489, 9.1.3). `None`: no room.
pub(super) fn write_error(
    out: &mut [u8],
    transaction: &Transaction,
    code: u16,
    unknown: &[u16],
    password: Option<&str>,
) -> Option<usize> {
    let mut answer = Writer::new(out, Class::Error, transaction)?;
    answer.attribute(ERROR_CODE, &[0, 0, (code / 100) as u8, (code % 100) as u8])?;
    let mut list = [0; UNKNOWN_MAX * 2];
    let mut len = 0;
    for (room, kind) in list.as_chunks_mut::<2>().0.iter_mut().zip(unknown.iter().filter(|kind| **kind != 0)) {
        *room = kind.to_be_bytes();
        len += 2;
    }
    if len > 0 {
        answer.attribute(UNKNOWN_ATTRIBUTES, list.get(..len)?)?;
    }
    if let Some(password) = password {
        answer.sign(password)?;
    }
    answer.finish()
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8], class: Class, transaction: &Transaction) -> Option<Writer<'a>> {
        let head = out.first_chunk_mut::<HEADER_LEN>()?;
        head[..2].copy_from_slice(&class.code().to_be_bytes());
        head[4..8].copy_from_slice(&COOKIE);
        head[8..].copy_from_slice(transaction);
        Some(Writer { out, len: HEADER_LEN })
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        let padded = value.len().next_multiple_of(4);
        let room = self.out.get_mut(self.len..self.len + 4 + padded)?;
        let (head, room) = room.split_first_chunk_mut::<4>()?;
        head[..2].copy_from_slice(&kind.to_be_bytes());
        head[2..].copy_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
        room.fill(0);
        room.get_mut(..value.len())?.copy_from_slice(value);
        self.len += 4 + padded;
        let body_len = u16::try_from(self.len - HEADER_LEN).ok()?;
        self.out.get_mut(2..4)?.copy_from_slice(&body_len.to_be_bytes());
        Some(())
    }

    fn sign(&mut self, password: &str) -> Option<()> {
        let tag = integrity(self.out.get(..self.len)?, password)?.finalize().into_bytes();
        self.attribute(MESSAGE_INTEGRITY, &tag)
    }

    fn finish(mut self) -> Option<usize> {
        let crc = fingerprint(self.out.get(..self.len)?);
        self.attribute(FINGERPRINT, &crc)?;
        Some(self.len)
    }
}

fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (value, rest) = rest.split_at_checked(len.next_multiple_of(4))?;
    Some((u16::from_be_bytes([head[0], head[1]]), value.get(..len)?, rest))
}

/// RFC 8489, 14.5: over all that comes before, with a header length that reaches behind the attribute.
fn integrity(before: &[u8], password: &str) -> Option<Hmac<Sha1>> {
    let (head, body) = before.split_first_chunk::<HEADER_LEN>()?;
    let mut head = *head;
    let len = u16::try_from(body.len() + 4 + INTEGRITY_LEN).ok()?;
    head[2..4].copy_from_slice(&len.to_be_bytes());
    Some(Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?.chain_update(head).chain_update(body))
}

/// RFC 8489, 14.7: the same for the fingerprint, with the CRC of ITU-T V.42.
fn fingerprint(before: &[u8]) -> [u8; 4] {
    let len = before.len().saturating_sub(HEADER_LEN) as u16 + 8;
    let bytes = before.iter().enumerate().map(|(at, byte)| match at {
        2 => len.to_be_bytes()[0],
        3 => len.to_be_bytes()[1],
        _ => *byte,
    });
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    (!crc ^ 0x5354_554E).to_be_bytes()
}

/// RFC 8489, 14.2; an IPv4 address in the dress of a dual-stack socket is undressed.
fn xor_mapped(address: SocketAddr, transaction: &Transaction) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    let len = match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&ip.octets());
            8
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..].copy_from_slice(&ip.octets());
            20
        }
    };
    value[2..4].copy_from_slice(&address.port().to_be_bytes());
    let mask = COOKIE.iter().chain(transaction);
    value[2..4].iter_mut().zip(COOKIE).for_each(|(to, with)| *to ^= with);
    value[4..len].iter_mut().zip(mask).for_each(|(to, with)| *to ^= with);
    (value, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::hex;

    /// RFC 5769, 2.1 to 2.3: the same transaction, password and software name each time.
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
    const REQUEST: &str = "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74
        00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020
        00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf";
    const RESPONSE_V4: &str = "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
        00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96";
    const RESPONSE_V6: &str = "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
        00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
        00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c";

    #[test]
    fn the_request_of_rfc_5769_is_read() {
        let bytes = hex(REQUEST);
        let request = Binding::read(&bytes).unwrap();
        assert_eq!((request.class, request.username), (Class::Request, Some(&b"evtj:h6vY"[..])));
        assert_eq!((request.priority, request.use_candidate, request.unknown), (0x6E00_01FF, false, [0; 4]));
        assert!(request.is_by(PASSWORD) && !request.is_by("VOkJxbRl1RmTxUk/WvJxBT"));
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(Binding::read(&wrong).is_none(), "byte {at} of it changed");
            assert!(Binding::read(&bytes[..at]).is_none());
        }
    }

    #[test]
    fn the_responses_of_rfc_5769_are_what_we_would_say() {
        for (text, address) in
            [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
        {
            let bytes = hex(text);
            let response = Binding::read(&bytes).unwrap();
            assert!(response.class == Class::Success && response.is_by(PASSWORD));
            let (value, len) = xor_mapped(address.parse().unwrap(), &response.transaction);
            let attributes = &bytes[HEADER_LEN + 16..];
            assert_eq!(&attributes[..4 + len][4..], &value[..len], "{address}");
            let mut out = [0xEE; ANSWER_MAX];
            let len = write_success(&mut out, &response.transaction, address.parse().unwrap(), PASSWORD).unwrap();
            assert_eq!(len + 16, bytes.len(), "as long but for the software's name");
            assert!(Binding::read(&out[..len]).unwrap().is_by(PASSWORD));
        }
    }

    #[test]
    fn errors_list_what_was_not_understood() {
        let mut out = [0; ANSWER_MAX];
        let len = write_error(&mut out, &[7; 12], 420, &[0x77, 0x78, 0x79, 0], Some(PASSWORD)).unwrap();
        assert_eq!(out[HEADER_LEN..][..20], hex("00090004 00000414 000a0006 007700780079 0000"));
        assert!(Binding::read(&out[..len]).unwrap().is_by(PASSWORD));
        let len = write_error(&mut out, &[7; 12], 401, &[0; 4], None).unwrap();
        assert_eq!((len, &out[HEADER_LEN..][..8]), (36, &hex("00090004 00000401")[..]));
        assert!(write_error(&mut out[..35], &[7; 12], 401, &[0; 4], None).is_none());
    }
}
