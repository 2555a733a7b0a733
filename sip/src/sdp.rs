//! Session descriptions (RFC 8866) read into types. It never resolves a name and never prints an address by accident.

mod negotiate;
#[cfg(test)]
mod tests;

pub(crate) use negotiate::refusal;
pub use negotiate::{LocalMedia, Negotiated, accept, answer, offer};

use std::fmt;
use std::net::IpAddr;

/// Longest description read, in bytes.
pub const SDP_BYTES_MAX: usize = 16 * 1024;
const MEDIA_MAX: usize = 32;
const FORMATS_MAX: usize = 64;

/// An offer is a session description; so is an answer.
pub type Offer = Session;

/// A description as its sender wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The value of `t=`, which an answer repeats (RFC 3264 6).
    pub(crate) time: String,
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
}

/// `a=rtpmap`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RtpMap {
    pub payload_type: u8,
    pub name: String,
    pub clock_hz: u32,
    pub channels: u32,
}

/// The codecs that this lines speak.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
}

impl Codec {
    /// The name in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// The payload type that RFC 3551 gives it.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }
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
    /// No audio section over plain RTP with a port.
    #[error("no usable audio section")]
    NoAudio,
    /// Audio, but no codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The media address is a name, or missing.
    #[error("the media address is not an IP address")]
    NoAddress,
}

/// Reads a description. Attributes that cannot be read are ignored, as RFC 8866 5.13 asks.
pub fn parse(text: &str) -> Result<Session, SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError::TooLong);
    }
    let mut reader = Reader::default();
    let mut lines = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    if lines.next() != Some("v=0") {
        return Err(SdpError::Malformed);
    }
    for line in lines {
        reader.line(line)?;
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    time: Option<String>,
    address: Option<Option<IpAddr>>,
    direction: Direction,
    rtcp_mux: bool,
    ptime_ms: Option<u32>,
    media: Vec<Media>,
    own_address: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), SdpError> {
        if line.trim().is_empty() {
            return Ok(());
        }
        // RFC 8866 9: no NUL, CR or LF in a value. What we repeat in an answer must stay one line.
        if line.contains(['\r', '\0']) {
            return Err(SdpError::Malformed);
        }
        let (kind, value) = line.split_once('=').ok_or(SdpError::Malformed)?;
        match kind {
            "m" => self.media_line(value),
            "c" => self.connection(value),
            "t" => {
                // Not two numbers: as if it were not there, for an answer repeats it.
                let is_time = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
                if value.split(' ').count() == 2 && value.split(' ').all(is_time) && self.media.is_empty() {
                    self.time.get_or_insert_with(|| value.to_owned());
                }
                Ok(())
            }
            "a" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                self.attribute(name.trim(), value.trim());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn media_line(&mut self, value: &str) -> Result<(), SdpError> {
        if self.media.len() == MEDIA_MAX {
            return Err(SdpError::TooLong);
        }
        let mut fields = value.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(SdpError::Malformed);
        };
        let port = port.split('/').next().unwrap_or_default();
        let formats: Vec<String> = fields.map(str::to_owned).collect();
        if formats.len() > FORMATS_MAX {
            return Err(SdpError::TooLong);
        }
        self.own_address = false;
        self.media.push(Media {
            kind: kind.to_owned(),
            port: port.parse().map_err(|_| SdpError::Malformed)?,
            protocol: protocol.to_owned(),
            formats,
            address: self.address.flatten(),
            direction: self.direction,
            ptime_ms: self.ptime_ms,
            rtcp_mux: self.rtcp_mux,
            rtcp: None,
            maps: Vec::new(),
        });
        Ok(())
    }

    fn connection(&mut self, value: &str) -> Result<(), SdpError> {
        let address = parse_connection(value)?;
        match self.media.last_mut() {
            None => self.address = Some(address),
            // Only the first c= of a section counts; more of them describe multicast layers.
            Some(_) if self.own_address => {}
            Some(media) => {
                media.address = address;
                self.own_address = true;
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let Some(media) = self.media.last_mut() else {
            match name {
                "rtcp-mux" => self.rtcp_mux = true,
                "ptime" => self.ptime_ms = parse_ptime(value),
                _ => self.direction = Direction::parse(name).unwrap_or(self.direction),
            }
            return;
        };
        match name {
            "rtpmap" => {
                if let Some(map) = parse_rtpmap(value).filter(|_| media.maps.len() < FORMATS_MAX) {
                    media.maps.push(map);
                }
            }
            "ptime" => media.ptime_ms = parse_ptime(value),
            "rtcp-mux" => media.rtcp_mux = true,
            "rtcp" => media.rtcp = parse_rtcp(value),
            _ => media.direction = Direction::parse(name).unwrap_or(media.direction),
        }
    }

    fn finish(self) -> Session {
        Session { time: self.time.unwrap_or_else(|| "0 0".to_owned()), media: self.media }
    }
}

/// `IN IP4 192.0.2.1[/ttl]`; a name is well-formed but gives no address.
fn parse_connection(value: &str) -> Result<Option<IpAddr>, SdpError> {
    let mut fields = value.split_ascii_whitespace();
    let (Some("IN"), Some("IP4" | "IP6"), Some(address)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(SdpError::Malformed);
    };
    Ok(address.split('/').next().unwrap_or_default().parse().ok())
}

fn parse_ptime(value: &str) -> Option<u32> {
    // Some phones write 20.0; the whole milliseconds are what matters.
    let whole = value.split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|ms| (1..=1000).contains(ms))
}

fn parse_rtpmap(value: &str) -> Option<RtpMap> {
    let (payload_type, encoding) = value.split_once(|c: char| c.is_ascii_whitespace())?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next()?.to_owned();
    let clock_hz = parts.next()?.trim().parse().ok()?;
    let channels = match parts.next() {
        Some(n) => n.trim().parse().ok()?,
        None => 1,
    };
    Some(RtpMap { payload_type: payload_type.parse().ok()?, name, clock_hz, channels })
}

fn parse_rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let (port, rest) = value.split_once(' ').unwrap_or((value, ""));
    let address = if rest.trim().is_empty() { None } else { parse_connection(rest).ok()? };
    Some((port.parse().ok()?, address))
}

impl Session {
    /// The first audio section over plain RTP that is in use.
    pub(crate) fn audio(&self) -> Option<(usize, &Media)> {
        self.media.iter().enumerate().find(|(_, m)| m.is_audio() && m.port != 0)
    }

    /// Does the peer, with this description, not want to hear us (hold)?
    pub fn is_hold(&self) -> bool {
        self.audio().is_some_and(|(_, m)| !m.effective_direction().receives())
    }
}

impl Media {
    fn is_audio(&self) -> bool {
        self.kind == "audio" && matches!(self.protocol.as_str(), "RTP/AVP" | "RTP/AVPF")
    }

    /// RFC 3264 8.4: the address 0.0.0.0 is the old way to say "send me nothing"; some write `::` for it.
    pub(crate) fn effective_direction(&self) -> Direction {
        if self.address.is_some_and(|a| a.is_unspecified()) {
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
