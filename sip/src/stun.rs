//! STUN Binding (RFC 8489), as far as keep-alives and the own address need it (RFC 5626 4.4.2). It never authenticates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest answer we give, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 64;

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// The attributes below 0x8000 that RFC 8489 defines for requests; we need none of them.
const KNOWN: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001c, 0x001d, 0x001e];
/// Unknown attributes named in an answer.
const NAMED_MAX: usize = 4;

/// Is it a whole Binding Request?
pub fn is_request(message: &[u8]) -> bool {
    Parts::read(message).is_some_and(|m| m.kind == REQUEST)
}

/// Writes the answer to a Binding Request into `out` and says how long it is; `None`: not such a request, or no
/// room (64 bytes are enough). 20 bytes of request get 32 over IPv4 and 44 over IPv6: with the headers of IP and
/// UDP less than one and a half times as much, so that nobody gains by asking under another's address.
pub fn binding_response(request: &[u8], from: SocketAddr, out: &mut [u8]) -> Option<usize> {
    let message = Parts::read(request).filter(|m| m.kind == REQUEST)?;
    let is_unknown = |kind: &u16| *kind < 0x8000 && !KNOWN.contains(kind);
    let unknown: Vec<u16> = message.attributes().map(|(kind, _)| kind).filter(is_unknown).take(NAMED_MAX).collect();
    let mut writer = Writer { out, at: HEADER };
    let kind = if unknown.is_empty() {
        writer.attribute(XOR_MAPPED_ADDRESS, &xored(from, message.transaction))?;
        SUCCESS
    } else {
        // RFC 8489 6.3.1.1: what must be understood and is not. 4 hundreds, 20: 420.
        writer.attribute(ERROR_CODE, &[0, 0, 4, 20])?;
        let names: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        writer.attribute(UNKNOWN_ATTRIBUTES, &names)?;
        FAILURE
    };
    writer.finish(kind, message.transaction)
}

/// A Binding Request of ours. `transaction`: random, to know the answer by.
pub fn binding_request(transaction: &[u8; 12]) -> [u8; 20] {
    let mut out = [0; HEADER];
    let _ = Writer { out: &mut out, at: HEADER }.finish(REQUEST, transaction);
    out
}

/// Our address as the answer to our request tells it; `None`: no answer to it, or a refusal.
pub fn mapped_address(response: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let message = Parts::read(response).filter(|m| m.kind == SUCCESS && m.transaction == transaction)?;
    let find = |wanted| message.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    match find(XOR_MAPPED_ADDRESS) {
        Some(value) => address(value, Some(transaction)),
        None => address(find(MAPPED_ADDRESS)?, None),
    }
}

/// A message whose frame is whole.
struct Parts<'a> {
    kind: u16,
    transaction: &'a [u8; 12],
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (kind, message) = message.split_first_chunk::<2>()?;
        let (length, message) = message.split_first_chunk::<2>()?;
        let (cookie, message) = message.split_first_chunk::<4>()?;
        let (transaction, rest) = message.split_first_chunk::<12>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let is_whole = *cookie == COOKIE && length == rest.len() && length % 4 == 0;
        is_whole.then_some(Self { kind: u16::from_be_bytes(*kind), transaction, rest })
    }

    /// Type and value, as far as they can be read.
    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let (kind, after) = rest.split_first_chunk::<2>()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let value = after.get(..length)?;
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((u16::from_be_bytes(*kind), value))
        })
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn attribute(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        let length = u16::try_from(value.len()).ok()?;
        let padded = value.len().next_multiple_of(4);
        let place = self.out.get_mut(self.at..self.at + 4 + padded)?;
        place.fill(0);
        place.get_mut(..2)?.copy_from_slice(&kind.to_be_bytes());
        place.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
        place.get_mut(4..4 + value.len())?.copy_from_slice(value);
        self.at += 4 + padded;
        Some(())
    }

    fn finish(self, kind: u16, transaction: &[u8; 12]) -> Option<usize> {
        let length = u16::try_from(self.at - HEADER).ok()?;
        let head = [&kind.to_be_bytes()[..], &length.to_be_bytes(), &COOKIE, transaction].concat();
        self.out.get_mut(..HEADER)?.copy_from_slice(&head);
        Some(self.at)
    }
}

/// RFC 8489 14.2: the address under a mask, so that no NAT rewrites it.
fn xored(address: SocketAddr, transaction: &[u8; 12]) -> Vec<u8> {
    let ip = address.ip().to_canonical();
    let (family, octets) = match ip {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let port = address.port().to_be_bytes();
    [vec![0, family], mask(&port, transaction), mask(&octets, transaction)].concat()
}

fn address(value: &[u8], transaction: Option<&[u8; 12]>) -> Option<SocketAddr> {
    let plain = |bytes: &[u8]| transaction.map_or_else(|| bytes.to_vec(), |t| mask(bytes, t));
    let port = u16::from_be_bytes(plain(value.get(2..4)?).try_into().ok()?);
    let octets = plain(value.get(4..)?);
    let ip = match value.get(1)? {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn mask(bytes: &[u8], transaction: &[u8; 12]) -> Vec<u8> {
    bytes.iter().zip(COOKIE.iter().chain(transaction)).map(|(b, m)| b ^ m).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5769 2.2 and 2.3 have this transaction and these addresses.
    const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    const V4: &str = "192.0.2.1:32853";
    const V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";

    fn answer(request: &[u8], from: &str) -> Option<Vec<u8>> {
        let mut out = [0xff; RESPONSE_BYTES_MAX];
        binding_response(request, from.parse().unwrap(), &mut out).map(|n| out[..n].to_vec())
    }

    #[test]
    fn the_address_is_told_as_the_rfc_shows_it() {
        let request = binding_request(&TRANSACTION);
        let v4 = answer(&request, V4).unwrap();
        assert_eq!(v4[..4], [1, 1, 0, 12]);
        assert_eq!(v4[20..], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let v6 = answer(&request, V6).unwrap();
        let shown = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25,
            0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(v6[20..], shown);
        for (response, from) in [(v4, V4), (v6, V6)] {
            assert_eq!(mapped_address(&response, &TRANSACTION), Some(from.parse().unwrap()));
            assert_eq!(mapped_address(&response, &[0; 12]), None);
        }
        assert_eq!(answer(&request, "[::ffff:192.0.2.1]:32853"), answer(&request, V4));
    }

    /// Attributes appended to a request, and what comes back.
    #[test]
    fn requests_good_and_bad() {
        let with = |attributes: &[u8]| {
            let mut request = binding_request(&TRANSACTION).to_vec();
            request[3] = u8::try_from(attributes.len()).unwrap();
            request.extend_from_slice(attributes);
            request
        };
        // SOFTWARE, which need not be understood.
        assert_eq!(answer(&with(&[0x80, 0x22, 0, 2, b'a', b'b', 0, 0]), V4).unwrap()[..2], [1, 1]);
        // CHANGE-REQUEST must be: 420, and its name.
        let refused = answer(&with(&[0, 3, 0, 4, 0, 0, 0, 6]), V4).unwrap();
        assert_eq!(refused[..4], [1, 0x11, 0, 16]);
        assert_eq!(refused[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 3, 0, 0]);
        assert_eq!(mapped_address(&refused, &TRANSACTION), None);
        let request = binding_request(&TRANSACTION);
        let mut old = request;
        old[4] = 0;
        let mut indication = request;
        indication[1] = 0x11;
        for bad in [&request[..19], &old, &indication, &[request.as_slice(), &[0]].concat(), b"\r\n\r\n", b""] {
            assert_eq!(answer(bad, V4), None, "{bad:?}");
        }
        assert_eq!(binding_response(&request, V4.parse().unwrap(), &mut [0; 31]), None);
        // An old server's answer.
        let mut mapped = with(&[0, 1, 0, 8, 0, 1, 0x80, 0x55, 192, 0, 2, 1]);
        mapped[0] = 1;
        assert_eq!(mapped_address(&mapped, &TRANSACTION), Some(V4.parse().unwrap()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes(rest in prop::collection::vec(any::<u8>(), 0..80), kind in 0..2u8) {
            let mut message = vec![kind, 1, 0, u8::try_from(rest.len()).unwrap()];
            message.extend_from_slice(&COOKIE);
            message.extend_from_slice(&rest);
            message[3] = message[3].saturating_sub(12);
            let answered = answer(&message, V6);
            prop_assert!(answered.is_none_or(|a| a.len() <= 44 && a.len() + 48 <= 2 * (message.len() + 48)));
            let _ = mapped_address(&message, &TRANSACTION);
        }
    }
}
