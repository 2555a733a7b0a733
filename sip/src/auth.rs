//! Digest authentication (RFC 7616, RFC 8760), both sides. It never reads a clock and never shows a password.
//!
//! A [`Client`] answers challenges, a [`Guard`] makes them and judges the answers.

mod client;
mod guard;
mod parse;
#[cfg(test)]
mod tests;

pub use client::{Client, Refused};
pub use guard::{Account, Guard, GuardConfig, Signed, Verdict};

use crate::private::Private;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use std::fmt;

/// What digests are made with, weakest first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// RFC 2617; what old phones know.
    Md5,
    /// RFC 8760.
    Sha256,
    /// RFC 8760: the first 256 bits of SHA-512 with an initial value of its own.
    Sha512_256,
}

impl Algorithm {
    /// As in a challenge.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// In any case of letters. The session variants (`-sess`) are none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Md5, Self::Sha256, Self::Sha512_256];
        all.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// The hash of `parts` with colons between, in lower-case hex.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hash::<Md5>(parts),
            Self::Sha256 => hash::<Sha256>(parts),
            Self::Sha512_256 => hash::<Sha512_256>(parts),
        }
    }
}

/// Quality of protection (RFC 7616 3.4): what the digest covers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Qop {
    /// Method and URI.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|q| q.as_str().eq_ignore_ascii_case(text))
    }
}

/// Who we are to somebody, or somebody to us.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password, as the person typed it.
    pub password: Private<String>,
    /// Only for this realm; `None`: for any.
    pub realm: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([private])")
    }
}

/// What one response is computed from (RFC 7616 3.4.1); without `shared` as RFC 2069 did.
struct Proof<'a> {
    algorithm: Algorithm,
    user: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    shared: Option<Shared<'a>>,
    method: &'a str,
    uri: &'a str,
    body: &'a [u8],
}

/// What came with `qop`.
#[derive(Copy, Clone)]
struct Shared<'a> {
    qop: Qop,
    nc: &'a str,
    cnonce: &'a str,
}

impl Proof<'_> {
    fn response(&self) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let a1 = hash(&[self.user.as_bytes(), self.realm.as_bytes(), self.password.as_bytes()]);
        let a2 = match self.shared {
            Some(Shared { qop: Qop::AuthInt, .. }) => hash(&[method, uri, hash(&[self.body]).as_bytes()]),
            _ => hash(&[method, uri]),
        };
        let (a1, nonce, a2) = (a1.as_bytes(), self.nonce.as_bytes(), a2.as_bytes());
        match self.shared {
            Some(s) => hash(&[a1, nonce, s.nc.as_bytes(), s.cnonce.as_bytes(), s.qop.as_str().as_bytes(), a2]),
            None => hash(&[a1, nonce, a2]),
        }
    }
}

fn hash<D: Digest>(parts: &[&[u8]]) -> String {
    let mut state = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            state.update(b":");
        }
        state.update(part);
    }
    hex(&state.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
