//! A caller of our own: one call by SIP with real RTP, or as a web page makes it, for tests and for people who doubt their
//! trunk or their page. What it says comes from a `Party`; what it measures is taken on the wire, not behind a buffer.

mod agreed;
pub mod console;
mod dial;
mod page;
mod placed;
pub mod report;
pub mod script;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use media::{Digit, FramePool};
use sip::sdp::Codec;

pub(crate) use agreed::{Agreed, PACKET_SAMPLES};
pub(crate) use placed::{News, Placed};

use crate::caller::report::Report;
use crate::clock;

pub(crate) const DATAGRAM: usize = 2048;
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Received audio louder than this is speech: the gateway sends digital silence between utterances.
pub const SPEECH_DBFS: f32 = -45.0;
/// Key presses, as a person makes them.
pub(crate) const DIGIT_MS: u32 = 120;

#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error(
        "the address is not understood; write sip:NAME@HOST or sip:NAME@HOST:PORT, or for a call from a web page http://HOST:PORT/whip/AGENT"
    )]
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
    #[error("nobody answers by HTTP: {0}")]
    Http(#[from] reqwest::Error),
    #[error("no certificate could be made for the handshake; the system gives no random numbers")]
    Identity,
    #[error("the call was refused with status {status}{reason}{}", retry_after_s.map(|s| format!("; try again in {s} s")).unwrap_or_default())]
    Refused { status: u16, retry_after_s: Option<u32>, reason: String },
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
    /// SRTP or no call, with keys in the offer. Signalling is by UDP: the keys are no secret here. A page's call has it
    /// always, with keys that nobody reads.
    pub srtp: bool,
    /// Shown where a page's call needs one.
    pub token: Option<String>,
}

impl CallOptions {
    /// By SIP G.711 and plain RTP, as a web page Opus.
    pub fn new(target: String, duration_max: Duration) -> Self {
        let mut options = Self { target, duration_max, codecs: vec![Codec::Opus], srtp: false, token: None };
        if !options.is_web() {
            options.codecs = vec![Codec::Pcmu, Codec::Pcma];
        }
        options
    }

    /// The target is a page's (WHIP).
    pub fn is_web(&self) -> bool {
        ["http://", "https://"].iter().any(|scheme| self.target.starts_with(scheme))
    }
}

struct Session<'a, P: Party> {
    placed: Placed,
    party: &'a mut P,
    media: Option<Box<Agreed>>,
    last_speech: Option<Instant>,
    report: Report,
    /// We have hung up, and wait until then for a word to it.
    leaving: Option<Instant>,
    over: bool,
}

/// A pause in the agent's packets after which speech is a new answer.
pub(crate) const NEW_ANSWER: Duration = Duration::from_millis(100);
/// How long the other side has to answer our goodbye.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// Places the call, lets the party talk, and says what happened.
pub async fn call<P: Party>(options: &CallOptions, party: &mut P) -> Result<Report, CallerError> {
    let placed = Placed::place(options).await?;
    let invited = placed.invited;
    party.begin(invited);
    let report = Report::new(invited);
    let session = Session { placed, party, media: None, last_speech: None, report, leaving: None, over: false };
    session.run(invited + options.duration_max).await
}

impl<P: Party> Session<'_, P> {
    async fn run(mut self, end: Instant) -> Result<Report, CallerError> {
        let mut datagram = [0; DATAGRAM];
        let mut pool = FramePool::new(8);
        let mut tick = clock::now() + TICK;
        loop {
            self.news().await?;
            if self.over {
                self.report.finish(clock::now(), self.media.as_ref().map(|m| &m.leg));
                return Ok(self.report);
            }
            let deadline = self.placed.deadline().unwrap_or(end);
            tokio::select! {
                received = self.placed.receive(&mut datagram) => if let Some((len, from)) = received {
                    self.datagram(clock::now(), from, &mut datagram[..len]).await;
                },
                () = tokio::time::sleep_until(deadline.into()) => self.placed.handle_timeout(clock::now()),
                () = tokio::time::sleep_until(tick.into()) => {
                    tick += TICK;
                    self.tick(&mut pool).await;
                }
            }
            let now = clock::now();
            match self.leaving {
                Some(until) => self.over |= now >= until || self.placed.is_settled(),
                None if now >= end => self.hang_up(),
                None => {}
            }
        }
    }

    async fn news(&mut self) -> Result<(), CallerError> {
        while let Some(news) = self.placed.news().await {
            match news {
                News::Answered(mut media) => {
                    let now = clock::now();
                    self.report.answered(now, media.codec);
                    media.chores(now, &self.placed.rtp).await;
                    self.media = Some(media);
                }
                News::Unusable => return Err(CallerError::Answer),
                News::Refused { status, retry_after_s, reason } => {
                    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
                    return Err(CallerError::Refused { status, retry_after_s, reason });
                }
                News::Ended(by) => self.ended(by),
            }
        }
        Ok(())
    }

    /// Our own end is over when the other side knows of it.
    fn ended(&mut self, by: &'static str) {
        if self.report.ended_by == "nobody" {
            self.report.ended_by = by;
        }
        self.over |= by != "caller";
    }

    /// Speech is noticed here, as the packet comes, before any buffer.
    async fn datagram(&mut self, now: Instant, from: std::net::SocketAddr, bytes: &mut [u8]) {
        let Some(media) = &mut self.media else { return };
        let mut samples = [0i16; PACKET_SAMPLES];
        let len = media.packet(now, from, bytes, &mut samples);
        media.chores(now, &self.placed.rtp).await;
        if media.is_over && self.leaving.is_none() {
            self.ended("agent");
        }
        if media::level::rms_dbfs(samples.get(..len).unwrap_or_default()) < SPEECH_DBFS {
            return;
        }
        let new = self.last_speech.is_none_or(|t| now.saturating_duration_since(t) > NEW_ANSWER);
        self.last_speech = Some(now);
        if new {
            self.report.speech(now);
            self.party.speech_arrived(now);
        }
    }

    async fn tick(&mut self, pool: &mut FramePool) {
        let now = clock::now();
        let Some(media) = self.media.as_mut().filter(|_| self.leaving.is_none()) else { return };
        media.chores(now, &self.placed.rtp).await;
        let (leg, rtp) = (&mut media.leg, &self.placed.rtp);
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
        let now = clock::now();
        self.report.ended_by = "caller";
        self.leaving.get_or_insert(now + GOODBYE);
        if !self.placed.hang_up(now) {
            self.over = true;
        }
    }
}
