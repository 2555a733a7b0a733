//! Descriptions as we print them. It decides nothing.

use super::codec::OpusParameters;
use super::local::{LocalMedia, Source};
use super::{Codec, Direction, Media, Session};
use std::fmt::Write as _;

/// Of our end of an association; any will do, and this one is everybody's (RFC 8841 5).
const SCTP_PORT: u16 = 5000;
/// Longest message on a data channel that we take, in bytes.
const MESSAGE_BYTES_MAX: u32 = 4096;

/// One audio section of ours.
pub(super) struct Section<'a> {
    pub protocol: &'a str,
    pub codecs: &'a [(u8, Codec)],
    /// Payload types and clocks of telephone-event.
    pub dtmf: &'a [(u8, u32)],
    pub comfort_noise: Option<u8>,
    pub direction: Direction,
    pub rtcp_mux: bool,
    pub rtcp_xr: bool,
    pub mid: Option<&'a str>,
    /// Whole lines of SRTP and ICE.
    pub lines: &'a str,
}

/// Up to the first section. `group`: the names of the sections that share a port.
pub(super) fn head(local: &LocalMedia, time: &str, has_ice: bool, group: &str) -> String {
    let LocalMedia { session_id, version, .. } = local;
    let ip = local.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let lite = if has_ice { "a=ice-lite\r\n" } else { "" };
    let bundled = bundle(group);
    let origin = format!("- {session_id} {version} IN {family} {ip}");
    format!("v=0\r\no={origin}\r\ns=-\r\nc=IN {family} {ip}\r\nt={time}\r\n{bundled}{lite}")
}

/// RFC 9143; nothing where nothing shares.
pub(super) fn bundle(group: &str) -> String {
    if group.is_empty() { String::new() } else { format!("a=group:BUNDLE {group}\r\n") }
}

/// The data channel (RFC 8841), on the audio's port and with its `lines` of handshake and ICE, as browsers repeat them.
pub(super) fn print_data(body: &mut String, offered: &Media, local: &LocalMedia, lines: &str) {
    let _ = write!(body, "m=application {} {} webrtc-datachannel\r\n", local.address.port(), offered.protocol);
    print_mid(body, offered.mid.as_deref());
    body.push_str(lines);
    let _ = write!(body, "a=sctp-port:{SCTP_PORT}\r\na=max-message-size:{MESSAGE_BYTES_MAX}\r\n");
}

impl Section<'_> {
    pub fn print(&self, body: &mut String, local: &LocalMedia) {
        // Writing to a String cannot fail.
        let _ = write!(body, "m=audio {} {}", local.address.port(), self.protocol);
        let types = self.codecs.iter().map(|(pt, _)| *pt).chain(self.comfort_noise);
        for pt in types.chain(self.dtmf.iter().map(|(pt, _)| *pt)) {
            let _ = write!(body, " {pt}");
        }
        body.push_str("\r\n");
        for (pt, codec) in self.codecs {
            let _ = write!(body, "a=rtpmap:{pt} {}\r\n", codec.encoding());
            if *codec == Codec::Opus {
                let _ = write!(body, "a=fmtp:{pt} {}\r\n", OpusParameters::ours(local.comfort_noise));
            }
        }
        if let Some(pt) = self.comfort_noise {
            let _ = write!(body, "a=rtpmap:{pt} CN/8000\r\n");
        }
        for (pt, clock_hz) in self.dtmf {
            let _ = write!(body, "a=rtpmap:{pt} telephone-event/{clock_hz}\r\na=fmtp:{pt} 0-15\r\n");
        }
        let _ = write!(body, "a=ptime:{}\r\na={}\r\n", local.ptime_ms, self.direction.name());
        for (name, is_there) in [("rtcp-mux", self.rtcp_mux), ("rtcp-xr:voip-metrics", self.rtcp_xr)] {
            if is_there {
                let _ = write!(body, "a={name}\r\n");
            }
        }
        print_mid(body, self.mid);
        if let Some(Source { ssrc, cname }) = &local.source {
            let _ = write!(body, "a=ssrc:{ssrc} cname:{cname}\r\n");
        }
        body.push_str(self.lines);
    }
}

/// RFC 3264 6: a refused stream keeps its place, protocol and formats, with port 0.
pub(super) fn refuse(body: &mut String, media: &Media) {
    let _ = write!(body, "m={} 0 {}", media.kind, media.protocol);
    for format in &media.formats {
        let _ = write!(body, " {format}");
    }
    body.push_str("\r\n");
    print_mid(body, media.mid.as_deref());
}

pub(super) fn print_mid(body: &mut String, mid: Option<&str>) {
    if let Some(mid) = mid {
        let _ = write!(body, "a=mid:{mid}\r\n");
    }
}

/// An answer that refuses every section of an offer (RFC 3264 6): for a call that ends before it began.
pub(crate) fn refusal(offer: &Session) -> String {
    let mut body = format!("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt={}\r\n", offer.time);
    for media in &offer.media {
        refuse(&mut body, media);
    }
    body
}
