//! Offer and answer (RFC 3264) for one audio stream. It never opens a port.

use super::local::LocalMedia;
use super::protect::{self, Plan, Security};
use super::transport::RemoteIce;
use super::write::{Section, head, print_data, refuse};
use super::{Codec, Direction, Media, OpusParameters, Profile, SdpError, Session};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Payload types that may come at any packet.
const RECEIVE_MAX: usize = 8;
/// RFC 3389 4 and RFC 3551 table 4.
const COMFORT_NOISE: u8 = 13;

/// What both sides agreed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Our answer; empty where the answer was the peer's.
    pub body: String,
    /// What we send.
    pub codec: Codec,
    /// Its payload type, as the peer numbered it.
    pub payload_type: u8,
    /// What may come, by payload type; the peer may change between them at any packet. At most 8.
    pub receive: Vec<(u8, Codec)>,
    /// The payload type of telephone-event and its clock in Hz, where both have it: the clock of the codec, or
    /// another where the peer has no such one.
    pub dtmf: Option<(u8, u32)>,
    /// The payload type of comfort noise (RFC 3389), where both want it.
    pub comfort_noise_payload_type: Option<u8>,
    /// How the peer wants to get Opus; meaningless for other codecs.
    pub opus: OpusParameters,
    /// The packet time that the peer wishes to receive; 20 where it said nothing.
    pub ptime_ms: u32,
    /// The longest packet time that the peer can receive.
    pub max_ptime_ms: Option<u32>,
    /// Where the peer receives RTP; unspecified (0.0.0.0) while it holds the old way, or where only ICE will tell.
    pub remote: SocketAddr,
    /// Where the peer receives RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// Both want VoIP metrics (RFC 3611 4.7).
    pub rtcp_xr: bool,
    /// Ours: send only where `direction.sends()`, expect media only where `direction.receives()`.
    pub direction: Direction,
    /// How RTP is protected. Keys of `Sdes` are no secret where the signalling was not encrypted.
    pub security: Security,
    /// The peer checks whether it reaches us (we are the lite side), and media goes where its checks come from.
    pub ice: Option<RemoteIce>,
    /// There is a data channel on the same way.
    pub data: bool,
    /// As in the `m=` line.
    pub(super) protocol: String,
    /// How the peer names the stream, if it does.
    pub(super) mid: Option<Mid>,
}

/// The peer's name for the stream (RFC 5888), which every description of the session repeats.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Mid {
    pub name: String,
    /// Those of its group that were taken and so share its port (RFC 9143), as the line has them; empty: it has none.
    pub group: String,
}

impl Mid {
    /// `data`: the section of the data channel, if it is taken.
    fn of(session: &Session, media: &Media, data: Option<&Media>) -> Option<Self> {
        let name = media.mid.clone()?;
        let data = data.and_then(|m| m.mid.as_deref());
        let mut taken: Vec<&str> = session.bundled().filter(|n| *n == name || Some(*n) == data).collect();
        taken.dedup();
        Some(Self { name, group: taken.join(" ") })
    }
}

impl fmt::Debug for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiated")
            .field("codec", &self.codec)
            .field("payload_type", &self.payload_type)
            .field("dtmf", &self.dtmf)
            .field("direction", &self.direction)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// Our offer: one audio section with everything we speak, or the one that is in force.
pub fn offer(local: &LocalMedia) -> String {
    let (plan, numbers) = (Plan::of(local), Numbers::of(local));
    let ice = local.ice.as_ref().filter(|_| in_force(local));
    let mid = local.agreed.as_ref().and_then(|a| a.mid.as_ref());
    let group = mid.filter(|m| !m.group.is_empty()).map_or("", |m| m.name.as_str());
    let mut body = head(local, "0 0", ice.is_some(), group);
    let ice = ice.map(|i| i.lines(local.address, &local.candidates)).unwrap_or_default();
    let section = Section {
        protocol: &plan.protocol,
        codecs: &numbers.codecs,
        dtmf: &numbers.dtmf,
        comfort_noise: numbers.comfort_noise,
        direction: local.direction,
        rtcp_mux: local.rtcp_mux,
        rtcp_xr: local.rtcp_xr,
        mid: mid.map(|m| m.name.as_str()),
        lines: &format!("{}{ice}", plan.lines),
    };
    section.print(&mut body, local);
    body
}

/// ICE is only offered where the peer offered it before.
fn in_force(local: &LocalMedia) -> bool {
    local.agreed.as_ref().is_some_and(|a| a.ice.is_some())
}

/// Our answer to the peer's offer: its first usable audio section, those with SRTP before those without, with
/// the first codec of its list that we speak, and its first data channel on that port; every other section refused with
/// port 0; payload types as it numbered them.
pub fn answer(offer: &Session, local: &LocalMedia) -> Result<Negotiated, SdpError> {
    let mut sections: Vec<(usize, &Media)> = offer.audio().collect();
    sections.sort_by_key(|(_, audio)| audio.profile() == Some(Profile::Plain));
    let mut refused = SdpError::NoAudio;
    for (i, audio) in sections {
        match protect::for_answer(audio, local).and_then(|(s, lines)| Ok((agree(audio, local, s)?, lines))) {
            Ok((mut negotiated, lines)) => {
                let data = data_of(offer, audio, local, &negotiated.security);
                negotiated.receive = vec![(negotiated.payload_type, negotiated.codec)];
                negotiated.mid = Mid::of(offer, audio, data.map(|(_, media)| media));
                negotiated.data = data.is_some();
                negotiated.body = answer_body(offer, (i, data.map(|(d, _)| d)), local, &negotiated, lines);
                return Ok(negotiated);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The first data channel that shares the audio's way: it has no handshake of its own.
fn data_of<'a>(
    offer: &'a Session,
    audio: &Media,
    local: &LocalMedia,
    security: &Security,
) -> Option<(usize, &'a Media)> {
    let is_ours = |m: &Media| m.is_data() && offer.is_bundled(audio, m);
    let has_way = local.data && matches!(security, Security::Dtls { .. });
    offer.media.iter().enumerate().find(|(_, m)| has_way && is_ours(m))
}

/// `taken`: the places of the audio and of the data channel.
fn answer_body(
    offer: &Session,
    taken: (usize, Option<usize>),
    local: &LocalMedia,
    n: &Negotiated,
    mut lines: String,
) -> String {
    let (index, data) = taken;
    match (&local.ice, &n.ice) {
        (Some(ice), Some(_)) => lines += &ice.lines(local.address, &local.candidates),
        (Some(_), None) if offer.media.get(index).is_some_and(Media::is_ice_mismatch) => {
            lines += "a=ice-mismatch\r\n";
        }
        _ => {}
    }
    let section = Section {
        protocol: &n.protocol,
        codecs: &n.receive,
        dtmf: n.dtmf.as_slice(),
        comfort_noise: n.comfort_noise_payload_type,
        direction: n.direction,
        rtcp_mux: n.rtcp_mux,
        rtcp_xr: n.rtcp_xr,
        mid: n.mid.as_ref().map(|m| m.name.as_str()),
        lines: &lines,
    };
    let mut body = head(local, &offer.time, n.ice.is_some(), n.mid.as_ref().map_or("", |m| m.group.as_str()));
    for (i, media) in offer.media.iter().enumerate() {
        match i {
            _ if i == index => section.print(&mut body, local),
            _ if Some(i) == data => print_data(&mut body, media, local, &lines),
            _ => refuse(&mut body, media),
        }
    }
    body
}

/// What follows from the peer's answer to our [`offer`], which was made of the same `local`.
pub fn accept(local: &LocalMedia, answer: &Session) -> Result<Negotiated, SdpError> {
    let is_taken = |(i, m): &(usize, &Media)| *i == 0 && m.port != 0;
    let (_, audio) = answer.audio().next().filter(is_taken).ok_or(SdpError::NoAudio)?;
    let security = Plan::of(local).answered(audio, local)?;
    let mut negotiated = agree(audio, local, security)?;
    if !in_force(local) {
        negotiated.ice = None;
    }
    negotiated.receive = receive(audio, &Numbers::of(local));
    negotiated.mid = local.agreed.as_ref().and_then(|a| a.mid.clone());
    Ok(negotiated)
}

/// RFC 3264 5.1: it is our numbers that come; theirs too from those who number anew.
fn receive(audio: &Media, ours: &Numbers) -> Vec<(u8, Codec)> {
    let theirs: Vec<(u8, Codec)> = audio.types().filter_map(|pt| Some((pt, Codec::of(audio.map(pt)?)?))).collect();
    let is_answered = |(_, codec): &&(u8, Codec)| theirs.iter().any(|(_, c)| c == codec);
    let mut receive: Vec<(u8, Codec)> = ours.codecs.iter().filter(is_answered).copied().collect();
    for (pt, codec) in &theirs {
        let is_offered = ours.codecs.iter().any(|(_, c)| c == codec);
        if is_offered && !ours.has(*pt) && receive.len() < RECEIVE_MAX {
            receive.push((*pt, *codec));
        }
    }
    receive
}

fn agree(audio: &Media, local: &LocalMedia, security: Security) -> Result<Negotiated, SdpError> {
    let find = |pt| Some((pt, Codec::of(audio.map(pt)?).filter(|c| local.codecs.contains(c))?));
    let (payload_type, codec) = audio.types().find_map(find).ok_or(SdpError::NoCommonCodec)?;
    let rtcp_mux = audio.rtcp_mux && local.rtcp_mux;
    // Without rtcp-mux there would be a second component to check, on a port of its own.
    let ice = audio.ice.remote().filter(|_| local.ice.is_some() && rtcp_mux && !audio.is_ice_mismatch());
    if audio.port == 0 && ice.is_none() {
        return Err(SdpError::NoAudio);
    }
    let nowhere = || ice.as_ref().map(|_| IpAddr::from([0, 0, 0, 0]));
    let address = audio.address.or_else(nowhere).ok_or(SdpError::NoAddress)?;
    let remote = SocketAddr::new(address, audio.port);
    let remote_rtcp = match audio.rtcp {
        _ if rtcp_mux => remote,
        Some((port, other)) => SocketAddr::new(other.unwrap_or(address), port),
        None => SocketAddr::new(address, audio.port.saturating_add(1)),
    };
    let is_noise = |pt: &u8| audio.is_named(*pt, "CN") == Some(8000);
    // RFC 7587 3.1.3: Opus has its own.
    let has_noise = local.comfort_noise && codec != Codec::Opus;
    Ok(Negotiated {
        body: String::new(),
        codec,
        payload_type,
        receive: Vec::new(),
        dtmf: if local.dtmf { events(audio, codec) } else { None },
        comfort_noise_payload_type: if has_noise { audio.types().find(is_noise) } else { None },
        opus: audio.opus.iter().find(|(pt, _)| *pt == payload_type).map(|(_, o)| *o).unwrap_or_default(),
        ptime_ms: audio.ptime_ms.unwrap_or(20),
        max_ptime_ms: audio.max_ptime_ms,
        remote,
        remote_rtcp,
        rtcp_mux,
        rtcp_xr: audio.rtcp_xr && local.rtcp_xr,
        direction: audio.effective_direction().reversed().and(local.direction),
        security,
        ice,
        data: false,
        protocol: audio.protocol.clone(),
        mid: None,
    })
}

/// Events have the clock of the audio around them (RFC 4733 2.1); another is better than none.
fn events(audio: &Media, codec: Codec) -> Option<(u8, u32)> {
    let known = |pt: u8| audio.is_named(pt, "telephone-event").map(|hz| (pt, hz)).filter(|(_, hz)| is_event_clock(*hz));
    let fits = |(_, hz): &(u8, u32)| *hz == codec.clock_hz();
    audio.types().filter_map(known).find(fits).or_else(|| audio.types().find_map(known))
}

fn is_event_clock(hz: u32) -> bool {
    Codec::ALL.iter().any(|c| c.clock_hz() == hz)
}

/// The payload types of an offer.
struct Numbers {
    codecs: Vec<(u8, Codec)>,
    dtmf: Vec<(u8, u32)>,
    comfort_noise: Option<u8>,
}

impl Numbers {
    fn of(local: &LocalMedia) -> Self {
        let agreed = local.agreed.as_ref();
        let (codec, event) = (agreed.map(|a| a.codec), agreed.and_then(|a| a.dtmf));
        // RFC 3264 8.3.2: a number that meant something in this session never means anything else.
        let mut taken: Vec<u8> = codec.map(|(pt, _)| pt).into_iter().chain(event.map(|(pt, _)| pt)).collect();
        let mut free = |wanted: u8| {
            let pt = (wanted..128).chain(96..wanted).find(|pt| !taken.contains(pt)).unwrap_or(wanted);
            taken.push(pt);
            pt
        };
        let mut numbered = |c: Codec| match codec {
            Some((pt, agreed)) if agreed == c => (pt, c),
            _ => (c.static_payload_type().unwrap_or_else(|| free(96)), c),
        };
        let codecs: Vec<(u8, Codec)> = local.codecs.iter().map(|c| numbered(*c)).take(RECEIVE_MAX).collect();
        let mut dtmf: Vec<(u8, u32)> = Vec::new();
        for hz in codecs.iter().map(|(_, c)| c.clock_hz()).filter(|_| local.dtmf) {
            if dtmf.iter().all(|(_, known)| *known != hz) {
                let pt = event.filter(|(_, agreed)| *agreed == hz).map(|(pt, _)| pt);
                // 101 is what everybody takes for the events of a telephone.
                dtmf.push((pt.unwrap_or_else(|| free(if hz == 8000 { 101 } else { 102 })), hz));
            }
        }
        let has_noise = local.comfort_noise && codecs.iter().any(|(_, c)| *c != Codec::Opus);
        Self { codecs, dtmf, comfort_noise: has_noise.then_some(COMFORT_NOISE) }
    }

    fn has(&self, payload_type: u8) -> bool {
        let events = self.dtmf.iter().map(|(pt, _)| *pt);
        self.codecs.iter().map(|(pt, _)| *pt).chain(events).chain(self.comfort_noise).any(|pt| pt == payload_type)
    }
}

impl Media {
    fn types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|f| f.parse::<u8>().ok())
    }

    /// The clock of a payload type with this name and one channel.
    fn is_named(&self, payload_type: u8, wanted: &str) -> Option<u32> {
        let (name, hz, channels) = self.map(payload_type)?;
        (name.eq_ignore_ascii_case(wanted) && channels == 1).then_some(hz)
    }

    fn is_ice_mismatch(&self) -> bool {
        self.ice.remote().is_some() && self.ice.is_mismatch(self.address, self.port)
    }
}
