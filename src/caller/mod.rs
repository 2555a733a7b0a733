//! A caller of our own: one outgoing SIP call with real RTP, for tests and for people who doubt their
//! trunk. What it says comes from a `Party`; what it measures is taken on the wire, not behind a buffer.

pub mod console;
mod dial;
pub mod report;
pub mod script;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use media::{Digit, FramePool};
use sip::sdp::Codec;
use sip::{Event, Output, Peer};

pub(crate) use dial::{Agreed, DATAGRAM, Dialled, PACKET_SAMPLES, call_id};

use crate::caller::report::Report;
use crate::clock;

pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Received audio louder than this is speech: the gateway sends digital silence between utterances.
pub const SPEECH_DBFS: f32 = -45.0;
/// Key presses, as a person makes them.
pub(crate) const DIGIT_MS: u32 = 120;

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
}

struct Session<'a, P: Party> {
    dialled: Dialled,
    party: &'a mut P,
    media: Option<Agreed>,
    last_speech: Option<Instant>,
    report: Report,
    over: bool,
}

/// A pause in the agent's packets after which speech is a new answer.
pub(crate) const NEW_ANSWER: Duration = Duration::from_millis(100);

/// Places the call, lets the party talk, and says what happened.
pub async fn call<P: Party>(options: &CallOptions, party: &mut P) -> Result<Report, CallerError> {
    let dialled = Dialled::place(options).await?;
    let invited = dialled.invited;
    party.begin(invited);
    let report = Report::new(invited);
    let session = Session { dialled, party, media: None, last_speech: None, report, over: false };
    session.run(invited + options.duration_max).await
}

impl<P: Party> Session<'_, P> {
    async fn run(mut self, end: Instant) -> Result<Report, CallerError> {
        let (mut signalling, mut media) = ([0; 65_535], [0; DATAGRAM]);
        let mut pool = FramePool::new(8);
        let mut tick = clock::now() + TICK;
        loop {
            self.outputs().await?;
            if self.over {
                self.report.finish(clock::now(), self.media.as_ref().map(|m| &m.leg));
                return Ok(self.report);
            }
            let deadline = self.dialled.endpoint.deadline().unwrap_or(end);
            tokio::select! {
                received = self.dialled.sip.recv_from(&mut signalling) => if let Ok((len, from)) = received {
                    self.dialled.endpoint.handle(clock::now(), Peer::udp(from), &signalling[..len]);
                },
                received = self.dialled.rtp.recv_from(&mut media) => if let Ok((len, from)) = received {
                    self.datagram(clock::now(), from, &mut media[..len]);
                },
                () = tokio::time::sleep_until(deadline.into()) => self.dialled.endpoint.handle_timeout(clock::now()),
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
        while let Some(output) = self.dialled.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => drop(self.dialled.sip.send_to(&bytes, to.address).await),
                Output::Event(event) => self.event(event)?,
                Output::Banned(_) => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), CallerError> {
        match event {
            Event::Answered { sdp, .. } => {
                let now = clock::now();
                let media = Agreed::new(now, &self.dialled.local, sdp)?;
                self.report.answered(now, media.codec);
                self.media = Some(media);
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
                let _ = self.dialled.endpoint.reject_reinvite(clock::now(), call, 488);
            }
            _ => {}
        }
        Ok(())
    }

    /// Speech is noticed here, as the packet comes, before any buffer.
    fn datagram(&mut self, now: Instant, from: std::net::SocketAddr, bytes: &mut [u8]) {
        let Some(media) = &mut self.media else { return };
        let mut samples = [0i16; PACKET_SAMPLES];
        let len = media.packet(now, from, bytes, &mut samples);
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
        let Some(Agreed { leg, .. }) = &mut self.media else { return };
        let rtp = &self.dialled.rtp;
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
            let _ = rtp.send_to(&datagram[..out.len], out.to).await;
        }
        if let Some(out) = leg.rtcp(now, &mut datagram) {
            let _ = rtp.send_to(&datagram[..out.len], out.to).await;
        }
    }

    fn hang_up(&mut self) {
        if self.dialled.endpoint.hangup(clock::now(), self.dialled.call, None).is_err() {
            self.over = true;
        }
    }
}
