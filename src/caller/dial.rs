//! A SIP call of our own on its way: sockets and signalling. It says nothing by itself.

use std::net::SocketAddr;
use std::time::Instant;

use sip::message::{self, StartLine};
use sip::sdp::{self, LocalMedia, Protection, SrtpKeys, SrtpPolicy};
use sip::{CallHandle, Endpoint, EndpointConfig, Event, InviteRequest, Output, Peer};
use tokio::net::UdpSocket;

use crate::caller::agreed::Agreed;
use crate::caller::placed::News;
use crate::caller::{CallOptions, CallerError};
use crate::clock;
use crate::net::sip::CALL_HEADER;
use crate::random;

/// Of a signalling datagram.
const MESSAGE: usize = 8192;

/// An INVITE that is about to go out.
pub(crate) struct Dialled {
    pub endpoint: Endpoint,
    socket: UdpSocket,
    local: LocalMedia,
    call: CallHandle,
    pub invited: Instant,
    /// The id that a gateway of ours gave the call.
    pub id: Option<String>,
    inbox: Vec<u8>,
    hung_up: bool,
    /// Our BYE or CANCEL was answered.
    pub is_settled: bool,
}

impl Dialled {
    /// And the socket of its media.
    pub async fn place(options: &CallOptions) -> Result<(Self, UdpSocket), CallerError> {
        let peer = resolve(&options.target).await?;
        let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(peer).await?;
        let (own_ip, port) = (socket.local_addr()?.ip(), socket.local_addr()?.port());
        drop(socket);
        let socket = UdpSocket::bind((own_ip, port)).await?;
        let rtp = UdpSocket::bind((own_ip, 0)).await?;
        let local = offered(options, rtp.local_addr()?)?;
        let mut endpoint = Endpoint::new(EndpointConfig::new(socket.local_addr()?, random::bits()));
        let invited = clock::now();
        let request = InviteRequest {
            from_user: "dauys-call".into(),
            ..InviteRequest::new(vec![Peer::udp(peer)], &options.target, Some(sdp::offer(&local)))
        };
        let call = endpoint.invite(invited, request)?;
        let (id, inbox, hung_up, is_settled) = (None, vec![0; MESSAGE], false, false);
        Ok((Self { endpoint, socket, local, call, invited, id, inbox, hung_up, is_settled }, rtp))
    }

    pub async fn news(&mut self) -> Option<News> {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => drop(self.socket.send_to(&bytes, to.address).await),
                Output::Event(event) => {
                    if let Some(news) = self.told(event) {
                        return Some(news);
                    }
                }
                Output::Banned(_) => {}
            }
        }
        None
    }

    fn told(&mut self, event: Event) -> Option<News> {
        Some(match event {
            Event::Answered { sdp, .. } => Agreed::new(clock::now(), &self.local, sdp, None)
                .map_or(News::Unusable, |a| News::Answered(Box::new(a))),
            Event::Failed { status, retry_after_s, .. } => {
                News::Refused { status, retry_after_s, reason: String::new() }
            }
            Event::Ended { cause, .. } => News::Ended(match cause {
                sip::EndCause::LocalHangup => "caller",
                sip::EndCause::RemoteHangup(_) => "agent",
                _ => "lost",
            }),
            Event::Cancelled { .. } => {
                self.is_settled = true;
                News::Ended("nobody")
            }
            Event::Reinvite { call, .. } => {
                let _ = self.endpoint.reject_reinvite(clock::now(), call, 488);
                return None;
            }
            _ => return None,
        })
    }

    pub async fn receive(&mut self, rtp: &UdpSocket, media: &mut [u8]) -> Option<(usize, SocketAddr)> {
        tokio::select! {
            received = self.socket.recv_from(&mut self.inbox) => {
                let (len, from) = received.ok()?;
                let bytes = self.inbox.get(..len)?;
                if self.id.is_none() {
                    self.id = call_id(bytes);
                }
                self.endpoint.handle(clock::now(), Peer::udp(from), bytes);
                // Whatever is answered now is our BYE or CANCEL.
                self.is_settled |= self.hung_up && bytes.starts_with(b"SIP/2.0 ");
                None
            }
            received = rtp.recv_from(media) => received.ok(),
        }
    }

    pub fn hang_up(&mut self, now: Instant) -> bool {
        self.hung_up = true;
        self.endpoint.hangup(now, self.call, None).is_ok()
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

/// The id that a gateway of ours gave the call, out of its answer.
fn call_id(datagram: &[u8]) -> Option<String> {
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
