//! The outer layer of a leg, sans-IO: what comes is told apart (STUN, DTLS, SRTP, SRTCP) and opened in place, what
//! goes is sealed in place. It opens no socket, reads no clock, allocates nothing for a packet of media, and never
//! prints a key.
//!
//! Keys come from SDP (SDES, RFC 4568) or from a handshake on the media path (DTLS-SRTP, RFC 5763). There is no
//! master key identifier: an SDP that insists on one (`inline:...|1:4`) is to be refused or answered without.
//! ICE is that of a lite agent and needs RTCP on the RTP port (RFC 5761).

mod checker;
mod dtls;
mod ice;
mod replay;
mod session;
mod shield;
mod srtp;
mod stun;
mod suite;

pub use checker::Checker;
pub use dtls::{Failure, Fingerprint, FingerprintError, Hash, Identity, IdentityError, Role};
pub use ice::IceConfig;
pub use shield::{Opened, Refusal, Security, Shield, ShieldConfig, ShieldEvent, ShieldStats};
pub use suite::{Keys, KeysError, Suite};

/// Most bytes that sealing adds to a packet: the tag, and the index of RTCP.
pub const SEAL_MAX: usize = 16 + 4;

/// Bytes from a test vector; blanks are skipped.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

#[cfg(test)]
mod data_tests;
#[cfg(test)]
mod ice_tests;
#[cfg(test)]
mod shield_tests;
#[cfg(test)]
mod srtp_tests;
