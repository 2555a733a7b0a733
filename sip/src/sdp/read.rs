//! A description read line by line (RFC 8866). It never keeps more than its bounds allow, and guesses nothing.

use super::crypto::Crypto;
use super::transport::{Fingerprint, Ice, Setup};
use super::{Direction, Media, OpusParameters, RtpMap, SdpError, Session};
use std::net::IpAddr;

/// Longest description read, in bytes.
pub const SDP_BYTES_MAX: usize = 16 * 1024;
const MEDIA_MAX: usize = 32;
const FORMATS_MAX: usize = 64;
const CRYPTO_MAX: usize = 16;
const MID_MAX: usize = 64;

/// Reads a description. Attributes that cannot be read are ignored, as RFC 8866 5.13 asks.
pub fn parse(text: &str) -> Result<Session, SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError::TooLong);
    }
    let mut reader = Reader::new();
    let mut lines = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    if lines.next() != Some("v=0") {
        return Err(SdpError::Malformed);
    }
    for line in lines {
        reader.line(line)?;
    }
    Ok(reader.finish())
}

/// Reads some lines of a description (RFC 8840 9): what they say for the whole session, and its sections.
pub(super) fn parse_fragment(text: &str) -> Result<(Media, Session), SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError::TooLong);
    }
    let mut reader = Reader::new();
    for line in text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)) {
        reader.line(line)?;
    }
    Ok((reader.session.clone(), reader.finish()))
}

/// RFC 9143 7.1.3: the section that comes first in a group speaks for those that have no port of their own, where they do
/// not speak for themselves. A section without port and group is not in use.
fn share(session: &mut Session) {
    let named = |name: &str| session.media.iter().find(|m| m.mid.as_deref() == Some(name));
    let tagged = session.bundled().next().and_then(named).filter(|m| m.port != 0).cloned();
    let group: Vec<String> = session.bundled().map(str::to_owned).collect();
    for media in session.media.iter_mut().filter(|m| m.bundle_only) {
        let is_member = media.port == 0 && media.mid.as_ref().is_some_and(|m| group.contains(m));
        let Some(tagged) = tagged.as_ref().filter(|_| is_member) else {
            media.bundle_only = false;
            continue;
        };
        media.address = tagged.address;
        media.rtcp_mux = true;
        media.setup = media.setup.or(tagged.setup);
        media.fingerprint = media.fingerprint.take().or_else(|| tagged.fingerprint.clone());
        if media.ice.remote().is_none() {
            media.ice = tagged.ice.clone();
        }
    }
}

struct Reader {
    time: Option<String>,
    bundle: String,
    /// What the session says for all its sections.
    session: Media,
    media: Vec<Media>,
    /// The section has said so itself.
    own_address: bool,
    own_fingerprint: bool,
}

impl Reader {
    const fn new() -> Self {
        let session = Media {
            kind: String::new(),
            port: 0,
            protocol: String::new(),
            formats: Vec::new(),
            address: None,
            direction: Direction::SendRecv,
            ptime_ms: None,
            rtcp_mux: false,
            rtcp: None,
            maps: Vec::new(),
            opus: Vec::new(),
            max_ptime_ms: None,
            rtcp_xr: false,
            crypto: Vec::new(),
            fingerprint: None,
            setup: None,
            ice: Ice { ufrag: None, pwd: None, lite: false, candidates: Vec::new() },
            mid: None,
            bundle_only: false,
        };
        Self {
            time: None,
            bundle: String::new(),
            session,
            media: Vec::new(),
            own_address: false,
            own_fingerprint: false,
        }
    }

    fn finish(self) -> Session {
        let time = self.time.unwrap_or_else(|| "0 0".to_owned());
        let mut session = Session { time, bundle: self.bundle, media: self.media };
        share(&mut session);
        session
    }

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
        (self.own_address, self.own_fingerprint) = (false, false);
        self.media.push(Media {
            kind: kind.to_owned(),
            port: port.parse().map_err(|_| SdpError::Malformed)?,
            protocol: protocol.to_owned(),
            formats,
            ..self.session.clone()
        });
        Ok(())
    }

    fn connection(&mut self, value: &str) -> Result<(), SdpError> {
        let address = parse_connection(value)?;
        match self.media.last_mut() {
            None => self.session.address = address,
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
        let media = match self.media.last_mut() {
            Some(media) => {
                of_media(media, name, value);
                media
            }
            None => {
                if let Some(names) = value.strip_prefix("BUNDLE ").filter(|_| name == "group") {
                    names.clone_into(&mut self.bundle);
                }
                &mut self.session
            }
        };
        match name {
            "ptime" => media.ptime_ms = parse_ptime(value),
            "maxptime" => media.max_ptime_ms = parse_ptime(value),
            "rtcp-mux" => media.rtcp_mux = true,
            "rtcp-xr" => media.rtcp_xr |= has_voip_metrics(value),
            "setup" => media.setup = Setup::parse(value),
            "fingerprint" => {
                let Some(read) = Fingerprint::parse(value) else { return };
                // One that everybody can compute is as good as all of them (RFC 8122 5).
                let is_better = !self.own_fingerprint || media.fingerprint.as_ref().is_none_or(|f| read.hash < f.hash);
                if is_better {
                    media.fingerprint = Some(read);
                    self.own_fingerprint = true;
                }
            }
            _ if media.ice.attribute(name, value) => {}
            _ => media.direction = Direction::parse(name).unwrap_or(media.direction),
        }
    }
}

/// What means nothing outside of a section.
fn of_media(media: &mut Media, name: &str, value: &str) {
    match name {
        "rtpmap" => media.maps.extend(parse_rtpmap(value).filter(|_| media.maps.len() < FORMATS_MAX)),
        "fmtp" => {
            let (payload_type, params) = value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((value, ""));
            let read = payload_type.parse().ok().map(|pt| (pt, OpusParameters::parse(params)));
            media.opus.extend(read.filter(|_| media.opus.len() < FORMATS_MAX));
        }
        "rtcp" => media.rtcp = parse_rtcp(value),
        "bundle-only" => media.bundle_only = true,
        "mid" => media.mid = Some(value).filter(|m| is_token(m) && m.len() <= MID_MAX).map(str::to_owned),
        "crypto" => media.crypto.extend(Crypto::parse(value).filter(|_| media.crypto.len() < CRYPTO_MAX)),
        _ => {}
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

/// RFC 8866 9, `token`: what an answer may repeat.
fn is_token(text: &str) -> bool {
    let is_special = |b| b"!#$%&'*+-.^_`{|}~".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || is_special(b))
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

/// RFC 3611 5.1: `rcvr-rtt=all:10000 stat-summary=loss voip-metrics`.
fn has_voip_metrics(value: &str) -> bool {
    value.split_ascii_whitespace().any(|f| f.eq_ignore_ascii_case("voip-metrics"))
}
