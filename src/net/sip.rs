//! The SIP driver: one UDP socket, one `sip::Endpoint`, and the calls between signalling and media.
//! It admits or refuses; what a call does is decided in `Call`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{LegChange, LegConfig};
use sip::sdp::{self, LocalMedia, Negotiated};
use sip::{CallHandle, CallInfo, Endpoint, EndpointConfig, Event, Output, Peer};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::call::driver::{CallInput, Driver, Signal};
use crate::call::registry::Summary;
use crate::call::{Call, EndCause};
use crate::clock;
use crate::gateway::{Admission, Gateway, Refused};
use crate::net::ports::Pair;
use crate::net::shard::NewCall;
use crate::random;

/// Commands from calls that wait for the endpoint.
const COMMANDS: usize = 1024;
/// Largest SIP datagram.
const DATAGRAM: usize = 65_535;
/// Inputs that wait for a call's next tick.
const CALL_INPUTS: usize = 32;
/// How often the endpoint's counters are read.
const STATS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SipError {
    #[error(
        "cannot listen for SIP on UDP {address}: {source}. Is another program (or another dauys) using the port? Change [sip] bind"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// The bound socket, so that a port in use is said before anything else starts.
pub struct SipSocket(UdpSocket);

impl SipSocket {
    pub async fn bind(address: SocketAddr) -> Result<Self, SipError> {
        let bound = UdpSocket::bind(address).await;
        bound.map(Self).map_err(|source| SipError::Bind { address, source })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A call that is answered but whose ACK has not come.
struct Waiting {
    admission: Admission,
    sockets: Pair,
    local: LocalMedia,
    peer: SocketAddr,
    negotiated: Option<Negotiated>,
}

/// A call on its shard.
struct Running {
    inputs: mpsc::Sender<CallInput>,
    local: LocalMedia,
    peer: SocketAddr,
}

pub struct SipDriver {
    gateway: Arc<Gateway>,
    socket: UdpSocket,
    endpoint: Endpoint,
    /// The address that peers are told.
    media_ip: IpAddr,
    waiting: HashMap<CallHandle, Waiting>,
    running: HashMap<CallHandle, Running>,
    signals: mpsc::Sender<(CallHandle, Signal)>,
    signalled: mpsc::Receiver<(CallHandle, Signal)>,
    garbage_seen: u64,
    stopping: bool,
}

impl SipDriver {
    pub fn new(gateway: Arc<Gateway>, socket: SipSocket) -> std::io::Result<Self> {
        let bound = socket.address()?;
        let ip = gateway.config.sip.advertised.unwrap_or(bound.ip());
        let mut config = EndpointConfig::new(SocketAddr::new(ip, bound.port()), random::bits());
        // The endpoint also counts calls being torn down; the gateway's own limit is the one that speaks.
        config.max_calls = gateway.config.calls.max * 2 + 16;
        let (signals, signalled) = mpsc::channel(COMMANDS);
        Ok(Self {
            gateway,
            socket: socket.0,
            endpoint: Endpoint::new(config),
            media_ip: ip,
            waiting: HashMap::new(),
            running: HashMap::new(),
            signals,
            signalled,
            garbage_seen: 0,
            stopping: false,
        })
    }

    /// Serves until the gateway stops; then every call gets its BYE.
    pub async fn run(mut self) {
        let mut datagram = vec![0; DATAGRAM];
        let mut stats = tokio::time::interval(STATS_EVERY);
        let stopping = self.gateway.stopping();
        tokio::pin!(stopping);
        loop {
            self.outputs().await;
            let deadline = self.endpoint.deadline();
            tokio::select! {
                // An error here is a past datagram's ICMP; the socket itself is fine.
                received = self.socket.recv_from(&mut datagram) => if let Ok((len, from)) = received {
                    self.endpoint.handle(clock::now(), Peer::udp(from), &datagram[..len]);
                },
                () = until(deadline) => self.endpoint.handle_timeout(clock::now()),
                Some((call, signal)) = self.signalled.recv() => self.signal(call, signal),
                _ = stats.tick() => self.count(),
                () = &mut stopping => break,
            }
        }
        self.close().await;
    }

    /// Answers what the endpoint wants sent and known.
    async fn outputs(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => {
                    // UDP may lose it anyway; the transaction's timers make up for it.
                    let _ = self.socket.send_to(&bytes, to.address).await;
                }
                Output::Event(event) => self.event(clock::now(), event),
                Output::Banned(_) => info!("a source is banned"),
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        debug!(?event, "sip");
        match event {
            Event::Incoming { call, offer, info } => self.incoming(now, call, offer, &info),
            Event::Established { call, answer } => self.established(now, call, answer),
            Event::Reinvite { call, offer } => self.reinvite(now, call, offer),
            Event::Info { call, digit, .. } => self.tell(call, CallInput::Digit(*digit.expose())),
            Event::Transferred { call } => self.tell(call, CallInput::Transferred),
            Event::TransferFailed { call, .. } => self.tell(call, CallInput::TransferFailed),
            Event::Renegotiated { call, answer: Some(answer) } => self.renegotiated(call, &answer),
            Event::Cancelled { call, .. } | Event::Failed { call, .. } => self.forget(call, EndCause::Cancelled),
            Event::Ended { call, cause } => self.forget(call, end_cause(&cause)),
            Event::Progress { .. }
            | Event::Answered { .. }
            | Event::Renegotiated { .. }
            | Event::RenegotiationFailed { .. } => {}
        }
    }

    fn incoming(&mut self, now: Instant, call: CallHandle, offer: Option<sdp::Offer>, info: &CallInfo) {
        if let Err(refused) = self.admit(now, call, offer, info) {
            metrics::counter!("dauys_calls_refused_total", "reason" => refused.word()).increment(1);
            info!(reason = refused.word(), "call refused");
            let _ = self.endpoint.reject(now, call, refused.status(), refused.retry_after());
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        call: CallHandle,
        offer: Option<sdp::Offer>,
        info: &CallInfo,
    ) -> Result<(), Refused> {
        if self.stopping {
            return Err(Refused::Full);
        }
        let agent = self.gateway.route(info.request_user.expose()).ok_or(Refused::NoAgent)?;
        // The answer has to be possible before anything is taken.
        let probe = LocalMedia::new(SocketAddr::new(self.media_ip, 9), 0);
        if let Some(offer) = &offer {
            sdp::answer(offer, &probe).map_err(|_| Refused::NoCommonCodec)?;
        }
        let admission = self.gateway.admit(agent)?;
        let sockets = self.gateway.ports.take().map_err(|_| Refused::NoPorts)?;
        let mut local = LocalMedia::new(SocketAddr::new(self.media_ip, sockets.port), admission.id.0 >> 1);
        // RTCP has its own port here; a peer that insists on one port still gets it.
        local.rtcp_mux = true;
        let negotiated = match &offer {
            Some(offer) => Some(sdp::answer(offer, &local).map_err(|_| Refused::NoCommonCodec)?),
            None => None,
        };
        let body = negotiated.as_ref().map_or_else(|| sdp::offer(&local), |n| n.body.clone());
        self.endpoint.answer(now, call, &body).map_err(|_| Refused::Gone)?;
        self.waiting
            .insert(call, Waiting { admission, sockets, local, peer: info.source.expose().address, negotiated });
        Ok(())
    }

    fn established(&mut self, now: Instant, call: CallHandle, answer: Option<sdp::Offer>) {
        let Some(waiting) = self.waiting.remove(&call) else { return };
        let late = answer.and_then(|a| sdp::accept(&waiting.local, &a).ok());
        let Some(negotiated) = waiting.negotiated.or(late) else {
            warn!(call = %waiting.admission.id, "the caller's description cannot be used; hanging up");
            let _ = self.endpoint.hangup(now, call, None);
            return;
        };
        let (inputs, inbox) = mpsc::channel(CALL_INPUTS);
        let signals = self.signals.clone();
        let signal = Box::new(move |signal| {
            if signals.try_send((call, signal)).is_err() {
                error!("a command to the signalling could not be queued; the call ends when its peer gives up");
            }
        });
        let started = self.start(now, waiting.admission, waiting.sockets, &negotiated, inbox, signal);
        if started {
            self.running.insert(call, Running { inputs, local: waiting.local, peer: waiting.peer });
        } else {
            warn!("the media shard is full; hanging up");
            let _ = self.endpoint.hangup(now, call, None);
        }
    }

    fn start(
        &self,
        now: Instant,
        admission: Admission,
        sockets: Pair,
        negotiated: &Negotiated,
        inbox: mpsc::Receiver<CallInput>,
        signal: Box<dyn Fn(Signal) + Send>,
    ) -> bool {
        let Admission { id, agent, shard, poked, lines, place } = admission;
        let leg = leg_config(negotiated, random::bits());
        let call = Call::new(now, id, Arc::clone(&agent.agent), clock::today(), self.gateway.call_config());
        let summary = Summary::new(id, &agent.name, negotiated.codec.name());
        self.gateway.registry.update(summary.record());
        let around = self.gateway.surroundings(signal, place);
        let driver = Driver::new(now, call, leg, lines, around, inbox, summary);
        let adopted = self.gateway.shard(shard).is_some_and(|s| s.adopt(NewCall { driver, sockets, poked }));
        if !adopted {
            self.gateway.registry.ended(id);
        }
        adopted
    }

    fn reinvite(&mut self, now: Instant, call: CallHandle, offer: Option<sdp::Offer>) {
        let Some(running) = self.running.get_mut(&call) else {
            let _ = self.endpoint.reject_reinvite(now, call, 491);
            return;
        };
        running.local.next_version();
        let body = match offer.map(|o| sdp::answer(&o, &running.local)) {
            Some(Ok(negotiated)) => {
                let _ = running.inputs.try_send(CallInput::Renegotiated(leg_change(&negotiated)));
                negotiated.body
            }
            Some(Err(_)) => {
                let _ = self.endpoint.reject_reinvite(now, call, 488);
                return;
            }
            None => sdp::offer(&running.local),
        };
        let _ = self.endpoint.accept_reinvite(now, call, &body);
    }

    fn renegotiated(&mut self, call: CallHandle, answer: &sdp::Offer) {
        if let Some(running) = self.running.get(&call)
            && let Ok(negotiated) = sdp::accept(&running.local, answer)
        {
            let _ = running.inputs.try_send(CallInput::Renegotiated(leg_change(&negotiated)));
        }
    }

    /// The signalling side is over. Dropping the sender ends the call even if its queue is full.
    fn forget(&mut self, call: CallHandle, cause: EndCause) {
        self.waiting.remove(&call);
        if let Some(running) = self.running.remove(&call) {
            let _ = running.inputs.try_send(CallInput::HangUp(cause));
        }
    }

    fn signal(&mut self, call: CallHandle, signal: Signal) {
        match signal {
            Signal::HangUp => {
                // It may be over already: the caller hung up in the same instant.
                let _ = self.endpoint.hangup(clock::now(), call, Some(sip::Reason::q850(16)));
            }
            Signal::Transfer(target) => {
                let target = self.full_target(call, target);
                if self.endpoint.refer(clock::now(), call, &target).is_err() {
                    self.tell(call, CallInput::TransferFailed);
                }
            }
        }
    }

    /// An extension is one of the caller's own side: the PBX or the phone that called.
    fn full_target(&self, call: CallHandle, target: String) -> String {
        match self.running.get(&call) {
            Some(running) if !target.contains(':') => format!("sip:{target}@{}", running.peer),
            _ => target,
        }
    }

    /// Past the bound an input is lost, as a key on a keypad hit too fast; the end of a call never is.
    fn tell(&self, call: CallHandle, input: CallInput) {
        if let Some(running) = self.running.get(&call) {
            let _ = running.inputs.try_send(input);
        }
    }

    fn count(&mut self) {
        let garbage = self.endpoint.stats().garbage;
        metrics::counter!("dauys_sip_dropped_total").increment(garbage - self.garbage_seen);
        self.garbage_seen = garbage;
    }

    /// Every open call gets its BYE, and two seconds to answer it.
    async fn close(mut self) {
        self.stopping = true;
        let calls: Vec<CallHandle> = self.running.keys().chain(self.waiting.keys()).copied().collect();
        for call in calls {
            if let Some(running) = self.running.remove(&call) {
                let _ = running.inputs.try_send(CallInput::HangUp(EndCause::Shutdown));
            }
            let _ = self.endpoint.hangup(clock::now(), call, None);
        }
        let mut datagram = vec![0; DATAGRAM];
        let until_then = clock::now() + Duration::from_secs(2);
        while self.endpoint.calls() > 0 && clock::now() < until_then {
            self.outputs().await;
            let next = self.endpoint.deadline().map_or(until_then, |d| d.min(until_then));
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => if let Ok((len, from)) = received {
                    self.endpoint.handle(clock::now(), Peer::udp(from), &datagram[..len]);
                },
                () = until(Some(next)) => self.endpoint.handle_timeout(clock::now()),
            }
        }
        self.outputs().await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn end_cause(cause: &sip::EndCause) -> EndCause {
    match cause {
        sip::EndCause::RemoteHangup(_) => EndCause::CallerHungUp,
        sip::EndCause::LocalHangup => EndCause::Completed,
        sip::EndCause::NoAck | sip::EndCause::PeerGone(_) => EndCause::Lost,
    }
}

pub(crate) fn media_codec(codec: sdp::Codec) -> media::Codec {
    match codec {
        sdp::Codec::Pcma => media::Codec::Pcma,
        _ => media::Codec::Pcmu,
    }
}

/// `random` becomes SSRC, first sequence number, first timestamp (RFC 3550 5.1) and a nameless CNAME.
pub(crate) fn leg_config(n: &Negotiated, random: u128) -> LegConfig {
    LegConfig {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        dtmf_payload_type: n.dtmf_payload_type,
        ssrc: random as u32,
        sequence: (random >> 32) as u16,
        timestamp: (random >> 48) as u32,
        remote: n.remote,
        symmetric: true,
        rtcp_mux: n.rtcp_mux,
        rtcp_cname: format!("{:016x}", (random >> 64) as u64),
    }
}

pub(crate) fn leg_change(n: &Negotiated) -> LegChange {
    LegChange {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        dtmf_payload_type: n.dtmf_payload_type,
        remote: n.remote,
        rtcp_mux: n.rtcp_mux,
        send: n.direction.sends(),
    }
}
