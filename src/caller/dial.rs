//! A call of our own on its way and what was agreed: sockets, signalling, the media leg. It says nothing by itself.

use std::net::SocketAddr;
use std::time::Instant;

use media::Leg;
use media::rtp::Packet;
use media::secure::Security;
use sip::message::{self, StartLine};
use sip::sdp::{self, LocalMedia, Protection, SrtpKeys, SrtpPolicy};
use sip::{CallHandle, Endpoint, EndpointConfig, InviteRequest};
use tokio::net::UdpSocket;

use crate::caller::{CallOptions, CallerError};
use crate::clock;
use crate::config::Rtp;
use crate::net::sip::{CALL_HEADER, Shared, leg_config, media_codec};
use crate::random;

pub const DATAGRAM: usize = 2048;
/// 120 ms at 16 kHz, the longest packet there is.
pub const PACKET_SAMPLES: usize = 1920;

/// An INVITE that is about to go out.
pub struct Dialled {
    pub endpoint: Endpoint,
    pub sip: UdpSocket,
    pub rtp: UdpSocket,
    pub local: LocalMedia,
    pub call: CallHandle,
    pub invited: Instant,
}

impl Dialled {
    pub async fn place(options: &CallOptions) -> Result<Self, CallerError> {
        let peer = resolve(&options.target).await?;
        let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let sip = UdpSocket::bind(any).await?;
        sip.connect(peer).await?;
        let (own_ip, port) = (sip.local_addr()?.ip(), sip.local_addr()?.port());
        drop(sip);
        let sip = UdpSocket::bind((own_ip, port)).await?;
        let rtp = UdpSocket::bind((own_ip, 0)).await?;
        let local = offered(options, rtp.local_addr()?)?;
        let mut endpoint = Endpoint::new(EndpointConfig::new(sip.local_addr()?, random::bits()));
        let invited = clock::now();
        let request = InviteRequest {
            from_user: "dauys-call".into(),
            ..InviteRequest::new(vec![sip::Peer::udp(peer)], &options.target, Some(sdp::offer(&local)))
        };
        let call = endpoint.invite(invited, request)?;
        Ok(Self { endpoint, sip, rtp, local, call, invited })
    }
}

fn offered(options: &CallOptions, address: SocketAddr) -> Result<LocalMedia, CallerError> {
    let mut local = LocalMedia { codecs: options.codecs.clone(), ..LocalMedia::new(address, 1) };
    if options.srtp {
        let keys = Some(SrtpKeys::new(random::secret()?));
        let policy = SrtpPolicy::Required;
        local.protection = Protection { policy, keys, fingerprint: None, trusts_signalling: true };
    }
    Ok(local)
}

/// The media of an answered call.
pub struct Agreed {
    pub leg: Leg,
    pub codec: &'static str,
    payload_type: u8,
    decoder: Option<media::codec::Decoder>,
    /// What SRTP adds to a packet.
    tag_bytes: usize,
}

impl Agreed {
    pub fn new(now: Instant, local: &LocalMedia, answer: Option<sdp::Session>) -> Result<Self, CallerError> {
        let answer = answer.ok_or(CallerError::Answer)?;
        let agreed = sdp::accept(local, &answer).map_err(|_| CallerError::Answer)?;
        let shared = Shared { rtp: &Rtp::default(), identity: None };
        let config = leg_config(&agreed, local, &shared, random::bits()).ok_or(CallerError::Answer)?;
        let tag_bytes = match &config.security {
            Security::Sdes { receive, .. } => receive.suite().rtp_tag_len(),
            _ => 0,
        };
        Ok(Self {
            decoder: media::codec::Decoder::new(media_codec(agreed.codec)).ok(),
            payload_type: agreed.payload_type,
            codec: agreed.codec.name(),
            tag_bytes,
            leg: Leg::new(now, config),
        })
    }

    /// The leg takes a datagram; how much audio was in it, decoded as it comes, before any buffer. 0: none, or
    /// none that the leg believed.
    pub fn packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        samples: &mut [i16; PACKET_SAMPLES],
    ) -> usize {
        let before = self.leg.packets_received();
        self.leg.handle(now, from, bytes);
        // What it believed it has decrypted in place.
        if self.leg.packets_received() == before {
            return 0;
        }
        let bytes = bytes.get(..bytes.len().saturating_sub(self.tag_bytes)).unwrap_or_default();
        let Ok(packet) = Packet::parse(bytes) else { return 0 };
        if packet.header.payload_type != self.payload_type {
            return 0;
        }
        self.decoder.as_mut().map_or(0, |d| d.decode(packet.payload, samples))
    }
}

/// The id that a gateway of ours gave the call, out of its answer.
pub fn call_id(datagram: &[u8]) -> Option<String> {
    let message = message::parse(datagram).ok()?;
    let header = message.headers.iter().find(|h| h.name.eq_ignore_ascii_case(CALL_HEADER))?;
    let id = header.text().trim().to_owned();
    let is_answer = matches!(message.start, StartLine::Response { status: 200, .. });
    (is_answer && crate::call::CallId::parse(&id).is_some()).then_some(id)
}

/// `sip:name@host:port` to a socket address; the name plays no part.
async fn resolve(target: &str) -> Result<SocketAddr, CallerError> {
    let rest = target.strip_prefix("sip:").ok_or(CallerError::Target)?;
    let host = rest.rsplit('@').next().unwrap_or(rest);
    let host = host.split([';', '?']).next().unwrap_or(host);
    if host.is_empty() {
        return Err(CallerError::Target);
    }
    let has_port = host.rsplit(':').next().is_some_and(|p| p.parse::<u16>().is_ok()) && host.contains(':');
    let host = if has_port { host.to_owned() } else { format!("{host}:5060") };
    let mut found = tokio::net::lookup_host(host).await.map_err(CallerError::Resolve)?;
    found.next().ok_or(CallerError::Target)
}
