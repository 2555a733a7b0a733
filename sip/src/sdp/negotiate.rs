//! Offer and answer (RFC 3264) for one audio stream of G.711 and telephone-event. It never opens a port.

use super::{Codec, Direction, Media, SdpError, Session};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

const DTMF_PAYLOAD_TYPE: u8 = 101;

/// What our side brings to a session.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we receive RTP: the address peers reach, not the bound wildcard.
    pub address: SocketAddr,
    /// `o=` session id: constant for a call.
    pub session_id: u64,
    /// `o=` version: one more for every description that differs ([`LocalMedia::next_version`]).
    pub version: u64,
    /// What we speak, best first. As answerer the peer's order wins (RFC 3264 6.1).
    pub codecs: Vec<Codec>,
    /// Telephone events (RFC 4733).
    pub dtmf: bool,
    /// Packet time in milliseconds that we wish to receive.
    pub ptime_ms: u32,
    /// What we want now; `SendOnly` or `Inactive` puts the peer on hold.
    pub direction: Direction,
    /// RTP and RTCP on one port (RFC 5761) where the peer can.
    pub rtcp_mux: bool,
}

impl LocalMedia {
    /// PCMU, PCMA, telephone-event, 20 ms, both directions, rtcp-mux.
    pub fn new(address: SocketAddr, session_id: u64) -> Self {
        Self {
            address,
            session_id,
            version: 1,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            dtmf: true,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            rtcp_mux: true,
        }
    }

    /// RFC 3264 8: a description that differs from the last one sent carries the next version.
    pub const fn next_version(&mut self) {
        self.version = self.version.wrapping_add(1);
    }
}

impl fmt::Debug for LocalMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMedia")
            .field("codecs", &self.codecs)
            .field("version", &self.version)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

/// What both sides agreed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Our answer; empty where the answer was the peer's.
    pub body: String,
    /// The codec of both directions.
    pub codec: Codec,
    /// Its payload type, as the offer numbered it.
    pub payload_type: u8,
    /// The payload type of telephone-event, where both have it.
    pub dtmf_payload_type: Option<u8>,
    /// The packet time that the peer wishes to receive; 20 where it said nothing.
    pub ptime_ms: u32,
    /// Where the peer receives RTP; unspecified (0.0.0.0) while it holds the old way.
    pub remote: SocketAddr,
    /// Where the peer receives RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// Ours: send only where `direction.sends()`, expect media only where `direction.receives()`.
    pub direction: Direction,
}

impl fmt::Debug for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiated")
            .field("codec", &self.codec)
            .field("payload_type", &self.payload_type)
            .field("dtmf_payload_type", &self.dtmf_payload_type)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

/// Our offer: one audio section with everything we speak.
pub fn offer(local: &LocalMedia) -> String {
    let mut body = head(local, "0 0");
    let codecs: Vec<(u8, Codec)> = local.codecs.iter().map(|c| (c.payload_type(), *c)).collect();
    let dtmf = local.dtmf.then_some(DTMF_PAYLOAD_TYPE);
    audio_section(&mut body, local, "RTP/AVP", &codecs, dtmf, local.direction, local.rtcp_mux);
    body
}

/// Our answer to the peer's offer: its first usable audio section with the first codec of its list that
/// we speak, every other section refused with port 0, payload types as it numbered them.
pub fn answer(offer: &Session, local: &LocalMedia) -> Result<Negotiated, SdpError> {
    let (index, audio) = offer.audio().ok_or(SdpError::NoAudio)?;
    let mut negotiated = agree(audio, local)?;
    let mut body = head(local, &offer.time);
    for (i, media) in offer.media.iter().enumerate() {
        if i == index {
            let codecs = [(negotiated.payload_type, negotiated.codec)];
            let n = &negotiated;
            audio_section(&mut body, local, &audio.protocol, &codecs, n.dtmf_payload_type, n.direction, n.rtcp_mux);
        } else {
            refuse(&mut body, media);
        }
    }
    negotiated.body = body;
    Ok(negotiated)
}

/// An answer that refuses every section of an offer (RFC 3264 6): for a call that ends before it began.
pub(crate) fn refusal(offer: &Session) -> String {
    let mut body = format!("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt={}\r\n", offer.time);
    for media in &offer.media {
        refuse(&mut body, media);
    }
    body
}

/// What follows from the peer's answer to our [`offer`].
pub fn accept(local: &LocalMedia, answer: &Session) -> Result<Negotiated, SdpError> {
    let (_, audio) = answer.audio().filter(|(i, _)| *i == 0).ok_or(SdpError::NoAudio)?;
    agree(audio, local)
}

fn agree(audio: &Media, local: &LocalMedia) -> Result<Negotiated, SdpError> {
    let types = || audio.formats.iter().filter_map(|f| f.parse::<u8>().ok());
    let (payload_type, codec) = types()
        .find_map(|pt| {
            let (name, clock_hz, channels) = audio.map(pt)?;
            let same = |c: &&Codec| c.name().eq_ignore_ascii_case(name) && clock_hz == 8000 && channels == 1;
            local.codecs.iter().find(same).map(|c| (pt, *c))
        })
        .ok_or(SdpError::NoCommonCodec)?;
    let is_event = |pt: &u8| {
        audio.map(*pt).is_some_and(|(name, hz, _)| name.eq_ignore_ascii_case("telephone-event") && hz == 8000)
    };
    let address = audio.address.ok_or(SdpError::NoAddress)?;
    let remote = SocketAddr::new(address, audio.port);
    let rtcp_mux = audio.rtcp_mux && local.rtcp_mux;
    let remote_rtcp = match audio.rtcp {
        _ if rtcp_mux => remote,
        Some((port, other)) => SocketAddr::new(other.unwrap_or(address), port),
        None => SocketAddr::new(address, audio.port.saturating_add(1)),
    };
    Ok(Negotiated {
        body: String::new(),
        codec,
        payload_type,
        dtmf_payload_type: if local.dtmf { types().find(is_event) } else { None },
        ptime_ms: audio.ptime_ms.unwrap_or(20),
        remote,
        remote_rtcp,
        rtcp_mux,
        direction: audio.effective_direction().reversed().and(local.direction),
    })
}

fn head(local: &LocalMedia, time: &str) -> String {
    let LocalMedia { session_id, version, .. } = local;
    let ip = local.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!("v=0\r\no=- {session_id} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt={time}\r\n")
}

fn audio_section(
    body: &mut String,
    local: &LocalMedia,
    protocol: &str,
    codecs: &[(u8, Codec)],
    dtmf: Option<u8>,
    direction: Direction,
    rtcp_mux: bool,
) {
    // Writing to a String cannot fail.
    let _ = write!(body, "m=audio {} {protocol}", local.address.port());
    for pt in codecs.iter().map(|(pt, _)| *pt).chain(dtmf) {
        let _ = write!(body, " {pt}");
    }
    body.push_str("\r\n");
    for (pt, codec) in codecs {
        let _ = write!(body, "a=rtpmap:{pt} {}/8000\r\n", codec.name());
    }
    if let Some(pt) = dtmf {
        let _ = write!(body, "a=rtpmap:{pt} telephone-event/8000\r\na=fmtp:{pt} 0-15\r\n");
    }
    let _ = write!(body, "a=ptime:{}\r\na={}\r\n", local.ptime_ms, direction.name());
    if rtcp_mux {
        body.push_str("a=rtcp-mux\r\n");
    }
}

/// RFC 3264 6: a refused stream keeps its place, protocol and formats, with port 0.
fn refuse(body: &mut String, media: &Media) {
    let _ = write!(body, "m={} 0 {}", media.kind, media.protocol);
    for format in &media.formats {
        let _ = write!(body, " {format}");
    }
    body.push_str("\r\n");
}
