//! Ranges of addresses, as `203.0.113.0/24` or one address. It never resolves a name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that start with the same bits.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Net {
    first: IpAddr,
    bits: u8,
}

/// Not a range of addresses.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetError {
    /// Write an IPv4 or IPv6 address, alone or with `/` and a number of bits.
    #[error("not an address, alone or with /bits")]
    Form,
    /// Write the first address of the range, or fewer zeros: `203.0.113.5/24` may mean either.
    #[error("the address has bits set beyond its prefix")]
    BitsBeyond,
}

impl Net {
    /// Every address there is.
    pub const fn is_everybody(&self) -> bool {
        self.bits == 0
    }

    /// Is the address one of them? An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && masked(ip, self.bits) == self.first
    }
}

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = ip.trim_matches(['[', ']']).parse().map_err(|_| NetError::Form)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let is_number = |b: &str| !b.is_empty() && b.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            Some(bits) if is_number(bits) => bits.parse().map_err(|_| NetError::Form)?,
            Some(_) => return Err(NetError::Form),
            None => most,
        };
        if bits > most {
            return Err(NetError::Form);
        }
        if masked(first, bits) != first {
            return Err(NetError::BitsBeyond);
        }
        Ok(Self { first, bits })
    }
}

/// The address with everything behind the first `bits` cleared.
pub(super) fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net([private]/{})", self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |net: &str, ip: &str, expected: bool| {
            assert_eq!(net.parse::<Net>().unwrap().contains(ip.parse().unwrap()), expected, "{net} {ip}");
        };
        check("203.0.113.0/24", "203.0.113.255", true);
        check("203.0.113.0/24", "203.0.114.0", false);
        check("203.0.113.0/24", "::ffff:203.0.113.9", true);
        check("203.0.113.7", "203.0.113.7", true);
        check("203.0.113.7/32", "203.0.113.6", false);
        check("0.0.0.0/0", "198.51.100.1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("[2001:db8::1]", "2001:db8::2", false);
        check("::/0", "2001:db8::2", true);
        for (text, error) in [
            ("", NetError::Form),
            ("example.com", NetError::Form),
            ("203.0.113.0/33", NetError::Form),
            ("203.0.113.0/", NetError::Form),
            ("203.0.113.0/+8", NetError::Form),
            ("203.0.113.0/999", NetError::Form),
            ("203.0.113.5/24", NetError::BitsBeyond),
            ("2001:db8::1/64", NetError::BitsBeyond),
        ] {
            assert_eq!(text.parse::<Net>(), Err(error), "{text}");
        }
    }
}
