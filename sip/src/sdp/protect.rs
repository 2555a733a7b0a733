//! How the audio is protected: decided from policy, profile and attributes of both sides. It encrypts nothing.

use super::crypto::{Crypto, KeyMaterial, Suite};
use super::local::{LocalMedia, SrtpPolicy};
use super::transport::{Fingerprint, Setup};
use super::{Media, Profile, SdpError};
use std::fmt;

/// How the audio is protected.
#[derive(Clone, PartialEq, Eq)]
pub enum Security {
    /// It is not.
    Plain,
    /// With keys from the descriptions (RFC 4568).
    Sdes {
        /// What it is done with.
        suite: Suite,
        /// Ours.
        send: KeyMaterial,
        /// The peer's.
        receive: KeyMaterial,
    },
    /// With keys from a handshake on the media's way (RFC 5764).
    Dtls {
        /// The peer's certificate must have it.
        remote: Fingerprint,
        /// We are the client of the handshake.
        we_are_active: bool,
    },
}

impl Security {
    /// `none`, `sdes` or `dtls`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Sdes { .. } => "sdes",
            Self::Dtls { .. } => "dtls",
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The tag of our lines in an offer is their place.
type Line = (u32, Suite);

/// The protection of an offered section, and the lines of our answer that say so.
pub(super) fn for_answer(audio: &Media, local: &LocalMedia) -> Result<(Security, String), SdpError> {
    let profile = audio.profile().ok_or(SdpError::NoAudio)?;
    let policy = local.protection.policy;
    // RFC 4568 5.1.2: the offer has them in its order of preference. RFC 8643 3.1: either kind may come in a
    // plain section, for those who know it.
    let found = match profile {
        _ if policy == SrtpPolicy::Off => None,
        Profile::Dtls => by_handshake(audio, local),
        Profile::Srtp | Profile::Plain => by_keys(audio, local).or_else(|| by_handshake(audio, local)),
    };
    match found {
        Some(found) => Ok(found),
        None if policy == SrtpPolicy::Required => Err(SdpError::Insecure),
        None if profile == Profile::Plain => Ok((Security::Plain, String::new())),
        None => Err(SdpError::NoAudio),
    }
}

fn by_keys(audio: &Media, local: &LocalMedia) -> Option<(Security, String)> {
    let protection = &local.protection;
    let is_secret = protection.policy != SrtpPolicy::Required || protection.trusts_signalling;
    let (keys, line) = protection.keys.as_ref().zip(audio.crypto.first()).filter(|_| is_secret)?;
    let security = Security::Sdes { suite: line.suite, send: keys.of(line.suite), receive: line.key.clone() };
    Some((security, keys.line(line.tag, line.suite)))
}

/// Only with rtcp-mux: else there would be a second handshake, for RTCP, on a port of its own.
fn by_handshake(audio: &Media, local: &LocalMedia) -> Option<(Security, String)> {
    if !(audio.rtcp_mux && local.rtcp_mux) {
        return None;
    }
    let (ours, remote) = local.protection.fingerprint.as_ref().zip(audio.fingerprint.clone())?;
    let agreed = local.agreed.as_ref().and_then(|a| a.dtls.as_ref()).filter(|(theirs, _)| *theirs == remote);
    let we_are_active = match audio.setup? {
        Setup::Passive => true,
        Setup::Active => false,
        // RFC 8842 5.3: the association that stands keeps its roles; a new one is theirs to open, for they know
        // our address by the answer.
        Setup::ActPass => agreed.is_some_and(|(_, we_are_active)| *we_are_active),
        Setup::HoldConn => return None,
    };
    let setup = if we_are_active { "active" } else { "passive" };
    Some((Security::Dtls { remote, we_are_active }, format!("a=fingerprint:{ours}\r\na=setup:{setup}\r\n")))
}

/// What we offer.
pub(super) struct Plan {
    pub protocol: String,
    pub lines: String,
    suites: Vec<Line>,
    is_dtls: bool,
}

impl Plan {
    pub fn of(local: &LocalMedia) -> Self {
        let protection = &local.protection;
        let all = || (1..).zip(Suite::ALL).collect();
        let has_keys = protection.keys.is_some() && protection.trusts_signalling;
        let (protocol, suites, is_dtls) = match (&local.agreed, protection.policy) {
            (Some(agreed), _) => {
                let suites = agreed.suite.map(|s| (1, s)).into_iter().collect();
                (agreed.protocol.as_str(), suites, agreed.dtls.is_some())
            }
            (None, SrtpPolicy::Optional) if has_keys => ("RTP/AVP", all(), false),
            (None, SrtpPolicy::Required) if has_keys => ("RTP/SAVP", all(), false),
            (None, SrtpPolicy::Required) => ("UDP/TLS/RTP/SAVP", vec![], true),
            (None, _) => ("RTP/AVP", vec![], false),
        };
        let mut lines = String::new();
        if let Some(keys) = &protection.keys {
            lines.extend(suites.iter().map(|(tag, suite): &Line| keys.line(*tag, *suite)));
        }
        if let Some(fingerprint) = protection.fingerprint.as_ref().filter(|_| is_dtls) {
            lines = format!("a=fingerprint:{fingerprint}\r\na=setup:actpass\r\n");
        }
        Self { protocol: protocol.to_owned(), lines, suites, is_dtls }
    }

    /// What the peer's answer made of it.
    pub fn answered(&self, audio: &Media, local: &LocalMedia) -> Result<Security, SdpError> {
        // RFC 4568 5.1.3: the tag and the suite of one of our lines. Whether the protocol is repeated as it
        // should be says nothing about keys.
        let is_ours = |c: &&Crypto| self.suites.contains(&(c.tag, c.suite));
        if let (Some(line), Some(keys)) = (audio.crypto.iter().find(is_ours), &local.protection.keys) {
            return Ok(Security::Sdes { suite: line.suite, send: keys.of(line.suite), receive: line.key.clone() });
        }
        if self.is_dtls {
            let remote = audio.fingerprint.clone().filter(|_| audio.rtcp_mux).ok_or(SdpError::Insecure)?;
            // Without a word the one who answers is active (RFC 4145 4.1).
            return match audio.setup {
                Some(Setup::HoldConn) => Err(SdpError::Insecure),
                setup => Ok(Security::Dtls { remote, we_are_active: setup == Some(Setup::Passive) }),
            };
        }
        let is_plain = audio.profile() == Some(Profile::Plain) && local.protection.policy != SrtpPolicy::Required;
        if is_plain { Ok(Security::Plain) } else { Err(SdpError::Insecure) }
    }
}
