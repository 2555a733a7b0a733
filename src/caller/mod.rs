//! A caller of our own: one outgoing SIP call with real RTP, for tests and for people who doubt their
//! trunk. What it says comes from a `Party`; what it measures is taken on the wire, not behind a buffer.

pub mod console;
pub mod report;
pub mod script;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use media::rtp::Packet;
use media::secure::Security;
use media::{Digit, FramePool, Leg};
use sip::sdp::{self, Codec, LocalMedia, Protection, SrtpKeys, SrtpPolicy};
use sip::{CallHandle, Endpoint, EndpointConfig, Event, InviteRequest, Output, Peer};
use tokio::net::UdpSocket;

use crate::caller::report::Report;
use crate::clock;
use crate::config::Rtp;
use crate::net::sip::{Shared, leg_config};
use crate::random;

const DATAGRAM: usize = 2048;
const TICK: Duration = Duration::from_millis(20);
/// Received audio louder than this is speech: the gateway sends digital silence between utterances.
pub const SPEECH_DBFS: f32 = -45.0;
/// Key presses, as a person makes them.
const DIGIT_MS: u32 = 120;

#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error("the address is not understood; write sip:NAME@HOST or sip:NAME@HOST:PORT")]
    Target,
    #[error("the host of the address has no IP address: {0}")]
    Resolve(std::io::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("no UDP socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("{path}: {problem}")]
    Wav { path: PathBuf, problem: String },
    #[error("the call could not be placed: {0}")]
    Invite(#[from] sip::CommandError),
    #[error("the call was refused with status {status}{}", retry_after_s.map(|s| format!("; try again in {s} s")).unwrap_or_default())]
    Refused { status: u16, retry_after_s: Option<u32> },
    #[error(
        "the answer's session description cannot be used; the other side must speak a codec that was offered, with SRTP if that was asked for"
    )]
    Answer,
    #[error("no audio device: {0}")]
    Device(String),
}

/// What a caller does in the next 20 ms.
pub enum Step {
    Silence,
    Audio(Box<[i16; 320]>),
    Digit(char),
    HangUp,
}

/// Who is calling: a script of recordings, or a person at a microphone.
pub trait Party {
    /// The INVITE goes out at `started`; times are counted from it.
    fn begin(&mut self, started: Instant);
    /// The next 20 ms to send; `sent` is when they go out.
    fn next(&mut self, sent: Instant) -> Step;
    /// 20 ms of what came back, after the jitter buffer.
    fn hear(&mut self, samples: &[i16; 320]);
    /// The first packet with speech after a silence came in at `at`.
    fn speech_arrived(&mut self, at: Instant);
}

/// Where to call, how, and how long at most.
pub struct CallOptions {
    pub target: String,
    pub duration_max: Duration,
    /// What is offered, best first.
    pub codecs: Vec<Codec>,
    /// SRTP or no call, with keys in the offer. Signalling is by UDP: the keys are no secret here.
    pub srtp: bool,
}

impl CallOptions {
    /// G.711, plain RTP.
    pub fn new(target: String, duration_max: Duration) -> Self {
        Self { target, duration_max, codecs: vec![Codec::Pcmu, Codec::Pcma], srtp: false }
    }

    fn local(&self, address: SocketAddr) -> Result<LocalMedia, CallerError> {
        let mut local = LocalMedia { codecs: self.codecs.clone(), ..LocalMedia::new(address, 1) };
        if self.srtp {
            let keys = Some(SrtpKeys::new(random::secret()?));
            let policy = SrtpPolicy::Required;
            local.protection = Protection { policy, keys, fingerprint: None, trusts_signalling: true };
        }
        Ok(local)
    }
}

struct Session<'a, P: Party> {
    endpoint: Endpoint,
    sip: UdpSocket,
    rtp: UdpSocket,
    local: LocalMedia,
    call: CallHandle,
    party: &'a mut P,
    leg: Option<Leg>,
    payload_type: u8,
    decoder: Option<media::codec::Decoder>,
    /// What SRTP adds to a packet.
    tag_bytes: usize,
    last_speech: Option<Instant>,
    report: Report,
    over: bool,
}

/// A pause in the agent's packets after which speech is a new answer.
const NEW_ANSWER: Duration = Duration::from_millis(100);

/// Places the call, lets the party talk, and says what happened.
pub async fn call<P: Party>(options: &CallOptions, party: &mut P) -> Result<Report, CallerError> {
    let peer = resolve(&options.target).await?;
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let sip = UdpSocket::bind(any).await?;
    sip.connect(peer).await?;
    let own_ip = sip.local_addr()?.ip();
    let sip_port = sip.local_addr()?.port();
    drop(sip);
    let sip = UdpSocket::bind((own_ip, sip_port)).await?;
    let rtp = UdpSocket::bind((own_ip, 0)).await?;
    let local = options.local(rtp.local_addr()?)?;
    let mut endpoint = Endpoint::new(EndpointConfig::new(sip.local_addr()?, random::bits()));
    let now = clock::now();
    let request = InviteRequest {
        from_user: "dauys-call".into(),
        ..InviteRequest::new(vec![sip::Peer::udp(peer)], &options.target, Some(sdp::offer(&local)))
    };
    let call = endpoint.invite(now, request)?;
    party.begin(now);
    let session = Session {
        endpoint,
        sip,
        rtp,
        local,
        call,
        party,
        leg: None,
        payload_type: 0,
        decoder: None,
        tag_bytes: 0,
        last_speech: None,
        report: Report::new(now),
        over: false,
    };
    session.run(now + options.duration_max).await
}

impl<P: Party> Session<'_, P> {
    async fn run(mut self, end: Instant) -> Result<Report, CallerError> {
        let (mut signalling, mut media) = ([0; 65_535], [0; DATAGRAM]);
        let mut pool = FramePool::new(8);
        let mut tick = clock::now() + TICK;
        loop {
            self.outputs().await?;
            if self.over {
                self.report.finish(clock::now(), self.leg.as_ref());
                return Ok(self.report);
            }
            let deadline = self.endpoint.deadline().unwrap_or(end);
            tokio::select! {
                received = self.sip.recv_from(&mut signalling) => if let Ok((len, from)) = received {
                    self.endpoint.handle(clock::now(), Peer::udp(from), &signalling[..len]);
                },
                received = self.rtp.recv_from(&mut media) => if let Ok((len, from)) = received {
                    self.datagram(clock::now(), from, &mut media[..len]);
                },
                () = tokio::time::sleep_until(deadline.into()) => self.endpoint.handle_timeout(clock::now()),
                () = tokio::time::sleep_until(tick.into()) => {
                    tick += TICK;
                    self.tick(&mut pool).await;
                }
            }
            if clock::now() >= end {
                self.hang_up();
            }
        }
    }

    async fn outputs(&mut self) -> Result<(), CallerError> {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => drop(self.sip.send_to(&bytes, to.address).await),
                Output::Event(event) => self.event(event)?,
                Output::Banned(_) => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), CallerError> {
        match event {
            Event::Answered { sdp, .. } => {
                let answer = sdp.ok_or(CallerError::Answer)?;
                let agreed = sdp::accept(&self.local, &answer).map_err(|_| CallerError::Answer)?;
                self.payload_type = agreed.payload_type;
                self.decoder = media::codec::Decoder::new(crate::net::sip::media_codec(agreed.codec)).ok();
                let shared = Shared { rtp: &Rtp::default(), identity: None };
                let config = leg_config(&agreed, &self.local, &shared, random::bits()).ok_or(CallerError::Answer)?;
                self.tag_bytes = match &config.security {
                    Security::Sdes { receive, .. } => receive.suite().rtp_tag_len(),
                    _ => 0,
                };
                self.report.answered(clock::now(), agreed.codec.name());
                self.leg = Some(Leg::new(clock::now(), config));
            }
            Event::Failed { status, retry_after_s, .. } => {
                return Err(CallerError::Refused { status, retry_after_s });
            }
            Event::Ended { cause, .. } => {
                self.report.ended_by = match cause {
                    sip::EndCause::LocalHangup => "caller",
                    sip::EndCause::RemoteHangup(_) => "agent",
                    _ => "lost",
                };
                self.over = true;
            }
            Event::Cancelled { .. } => self.over = true,
            Event::Reinvite { call, .. } => {
                let _ = self.endpoint.reject_reinvite(clock::now(), call, 488);
            }
            _ => {}
        }
        Ok(())
    }

    /// Speech is noticed here, as the packet comes, before any buffer.
    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        let Some(leg) = &mut self.leg else { return };
        let before = leg.packets_received();
        leg.handle(now, from, bytes);
        // Nothing but audio that the leg believed, which it has decrypted in place.
        if leg.packets_received() == before {
            return;
        }
        let bytes = bytes.get(..bytes.len().saturating_sub(self.tag_bytes)).unwrap_or_default();
        // 120 ms at 16 kHz, the longest packet there is.
        let mut samples = [0i16; 1920];
        let Ok(packet) = Packet::parse(bytes) else { return };
        if packet.header.payload_type != self.payload_type {
            return;
        }
        let len = self.decoder.as_mut().map_or(0, |d| d.decode(packet.payload, &mut samples));
        if media::level::rms_dbfs(samples.get(..len).unwrap_or_default()) < SPEECH_DBFS {
            return;
        }
        let new = self.last_speech.is_none_or(|t| now.saturating_duration_since(t) > NEW_ANSWER);
        self.last_speech = Some(now);
        if new {
            self.party.speech_arrived(now);
        }
    }

    async fn tick(&mut self, pool: &mut FramePool) {
        let Some(leg) = &mut self.leg else { return };
        let now = clock::now();
        if let Some(frame) = leg.tick_in(now, pool).frame {
            self.party.hear(frame.samples());
        }
        let mut frame = None;
        match self.party.next(now) {
            Step::Silence => {}
            Step::Audio(samples) => {
                let filled = pool.fill(media::MediaTime::default(), |out| {
                    out.copy_from_slice(&*samples);
                    Ok::<(), ()>(())
                });
                frame = filled.ok();
            }
            Step::Digit(key) => {
                if let Some(digit) = Digit::from_char(key) {
                    leg.send_digit(digit, DIGIT_MS);
                }
            }
            Step::HangUp => return self.hang_up(),
        }
        let mut datagram = [0; media::leg::DATAGRAM_MAX];
        if let Some(out) = leg.tick_out(now, frame.as_ref(), &mut datagram) {
            let _ = self.rtp.send_to(&datagram[..out.len], out.to).await;
        }
        if let Some(out) = leg.rtcp(now, &mut datagram) {
            let _ = self.rtp.send_to(&datagram[..out.len], out.to).await;
        }
    }

    fn hang_up(&mut self) {
        if self.endpoint.hangup(clock::now(), self.call, None).is_err() {
            self.over = true;
        }
    }
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
