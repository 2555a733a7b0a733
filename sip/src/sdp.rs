//! Session descriptions (RFC 8866) read into types. It never resolves a name and never prints an address by accident.

mod codec;
mod crypto;
mod fragment;
mod local;
mod negotiate;
mod protect;
mod read;
#[cfg(test)]
mod tests;
mod transport;
mod write;

pub use codec::{Codec, OpusParameters};
pub use crypto::{KeyMaterial, SrtpKeys, Suite};
pub use fragment::{ice_fragment, local_fragment};
pub use local::{Agreed, LocalMedia, Protection, Source, SrtpPolicy};
pub use negotiate::{Negotiated, accept, answer, offer};
pub use protect::Security;
pub use read::{SDP_BYTES_MAX, parse};
pub use transport::{Candidate, CandidateKind, Fingerprint, Hash, LocalIce, RemoteIce};
pub(crate) use write::refusal;

use crypto::Crypto;
use std::fmt;
use std::net::IpAddr;
use transport::{Ice, Setup};

/// An offer is a session description; so is an answer.
pub type Offer = Session;

/// A description as its sender wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The value of `t=`, which an answer repeats (RFC 3264 6).
    pub(crate) time: String,
    /// The sections that would share a port (RFC 9143), as the line has them; empty: none.
    pub(crate) bundle: String,
    /// The media sections in order.
    pub media: Vec<Media>,
}

/// One `m=` section with the session's defaults applied.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image` ...
    pub kind: String,
    /// 0: refused or not in use.
    pub port: u16,
    /// `RTP/AVP` ...
    pub protocol: String,
    /// Payload types in order of preference, as written.
    pub formats: Vec<String>,
    /// Where media goes; `None` where a name stands instead of an address.
    pub address: Option<IpAddr>,
    /// As its sender sees it.
    pub direction: Direction,
    /// Packet time the sender wishes to receive.
    pub ptime_ms: Option<u32>,
    /// RFC 5761.
    pub rtcp_mux: bool,
    /// RFC 3605.
    pub(crate) rtcp: Option<(u16, Option<IpAddr>)>,
    pub(crate) maps: Vec<RtpMap>,
    /// `a=fmtp` by payload type, read as if it were of Opus.
    pub(crate) opus: Vec<(u8, OpusParameters)>,
    pub(crate) max_ptime_ms: Option<u32>,
    /// Its sender wants VoIP metrics (RFC 3611 5).
    pub(crate) rtcp_xr: bool,
    /// The lines that we can do, in order.
    pub(crate) crypto: Vec<Crypto>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) setup: Option<Setup>,
    pub(crate) ice: Ice,
    /// Its name (RFC 5888), a token of bounded length.
    pub(crate) mid: Option<String>,
    /// Its port is 0 because it only has that of its group (RFC 9143 6).
    pub(crate) bundle_only: bool,
}

/// `a=rtpmap`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RtpMap {
    pub payload_type: u8,
    pub name: String,
    pub clock_hz: u32,
    pub channels: u32,
}

/// Who sends (RFC 3264 5.1), seen by the one who says it.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The speaker only sends.
    SendOnly,
    /// The speaker only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From its two halves.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Does the speaker send?
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Does the speaker receive?
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|d| d.name() == name)
    }
}

/// Why a description cannot be used. Answer 488 (RFC 3261 13.3.1.3) to each.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SdpError {
    /// Longer or with more sections than anybody needs.
    #[error("the session description is too long")]
    TooLong,
    /// Not a description: a line without `x=`, no `v=0` first, an `m=` or `c=` that cannot be read.
    #[error("the session description is malformed")]
    Malformed,
    /// No audio section over RTP with a port, or none that is protected in a way we do.
    #[error("no usable audio section")]
    NoAudio,
    /// The audio would not be encrypted, but has to be.
    #[error("the audio would not be encrypted")]
    Insecure,
    /// Audio, but no codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The media address is a name, or missing.
    #[error("the media address is not an IP address")]
    NoAddress,
}

impl Session {
    /// The audio sections over RTP of any kind that are in use.
    pub(crate) fn audio(&self) -> impl Iterator<Item = (usize, &Media)> {
        self.media.iter().enumerate().filter(|(_, m)| m.kind == "audio" && m.is_in_use() && m.profile().is_some())
    }

    /// Whether both sections share a port.
    pub(crate) fn is_bundled(&self, one: &Media, other: &Media) -> bool {
        let in_group = |m: &Media| m.mid.as_ref().is_some_and(|mid| self.bundled().any(|name| name == mid));
        in_group(one) && in_group(other)
    }

    /// The names of the sections that share a port, the one that speaks for all first.
    pub(crate) fn bundled(&self) -> impl Iterator<Item = &str> {
        self.bundle.split_ascii_whitespace()
    }

    /// Does the peer, with this description, not want to hear us (hold)?
    pub fn is_hold(&self) -> bool {
        self.audio().next().is_some_and(|(_, m)| !m.effective_direction().receives())
    }
}

/// How a section's protocol says that its RTP is protected.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// Not at all, or by attributes that not everybody understands (RFC 8643).
    Plain,
    /// RFC 3711: the description says where the keys are.
    Srtp,
    /// RFC 5764: by a handshake on the media's own way.
    Dtls,
}

impl Media {
    pub(crate) const fn is_in_use(&self) -> bool {
        self.port != 0 || self.bundle_only
    }

    /// A data channel (RFC 8841 4.1). What TCP carries is the same by the time it comes here.
    pub(crate) fn is_data(&self) -> bool {
        self.kind == "application"
            && self.is_in_use()
            && matches!(self.protocol.as_str(), "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP")
            && self.formats.len() == 1
            && self.formats.iter().all(|f| f == "webrtc-datachannel")
    }

    pub(crate) fn profile(&self) -> Option<Profile> {
        match self.protocol.as_str() {
            "RTP/AVP" | "RTP/AVPF" => Some(Profile::Plain),
            "RTP/SAVP" | "RTP/SAVPF" => Some(Profile::Srtp),
            "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF" => Some(Profile::Dtls),
            _ => None,
        }
    }

    /// RFC 3264 8.4: the address 0.0.0.0 is the old way to say "send me nothing"; some write `::` for it.
    /// Of those who do ICE it only says that candidates come later (RFC 8840 4.1.1).
    pub(crate) fn effective_direction(&self) -> Direction {
        if self.address.is_some_and(|a| a.is_unspecified()) && self.ice.remote().is_none() {
            Direction::new(self.direction.sends(), false)
        } else {
            self.direction
        }
    }

    /// The mapping of a payload type: its rtpmap, else the static one of RFC 3551.
    pub(crate) fn map(&self, payload_type: u8) -> Option<(&str, u32, u32)> {
        if let Some(map) = self.maps.iter().find(|m| m.payload_type == payload_type) {
            return Some((&map.name, map.clock_hz, map.channels));
        }
        match payload_type {
            0 => Some(("PCMU", 8000, 1)),
            8 => Some(("PCMA", 8000, 1)),
            9 => Some(("G722", 8000, 1)),
            13 => Some(("CN", 8000, 1)),
            _ => None,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} media)", self.media.len())
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({}, {})", self.formats.len(), self.direction.name())
    }
}
