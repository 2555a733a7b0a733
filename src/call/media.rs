//! A call's media: its leg, the guard against its own echo, and what went wrong there, said once in the log and kept
//! for the call's record. It decides nothing about the conversation.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::dtmf::Digits;
use media::echo::{EchoConfig, EchoGuard, EchoState, Verdict};
use media::leg::{DATAGRAM_MAX, FRAMES_KEPT};
use media::watch::{Trouble, TroubleKind};
use media::{DataEvent, Digit, Frame, FramePool, Leg, LegChange, LegConfig, LegEvent};
use tracing::{info, warn};

use crate::call::CallId;
use crate::call::driver::Wire;
use crate::store::{EchoRecord, MediaRecord};

/// One frame in hand, one cleaned of echo, what the leg remembers, and four held before the detector's gate.
const FRAMES: usize = 2 + FRAMES_KEPT + 4;
/// A caller who holds us may send nothing for this long.
const HOLD_MAX: Duration = Duration::from_secs(900);

/// One tick of what was heard.
pub struct Heard {
    /// Without the agent's own voice where that comes back. `None`: the frame was lost.
    pub frame: Option<Frame>,
    /// How much of it is the agent.
    pub echo: Verdict,
    pub digits: Digits,
    /// A key's tone, which is nobody's speech.
    pub tone: bool,
}

pub struct Media {
    call: CallId,
    leg: Leg,
    pool: FramePool,
    echo: EchoGuard,
    echo_was: EchoState,
    /// RTCP shares the RTP port (RFC 5761).
    rtcp_mux: bool,
    held: bool,
    /// Kinds of trouble there were, each once, in order.
    troubles: Vec<TroubleKind>,
    /// Nothing can be heard or said any more.
    dead: bool,
}

impl Media {
    pub fn new(now: Instant, call: CallId, config: LegConfig) -> Self {
        Self {
            call,
            rtcp_mux: config.rtcp_mux,
            leg: Leg::new(now, config),
            pool: FramePool::new(FRAMES),
            echo: EchoGuard::new(EchoConfig::default()),
            echo_was: EchoState::None,
            held: false,
            troubles: vec![],
            dead: false,
        }
    }

    /// A datagram from the network; it is opened in place.
    pub fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        self.leg.handle(now, from, bytes);
    }

    /// A key that came by signalling; the next tick reports it unless the audio had it too.
    pub fn info_digit(&mut self, now: Instant, digit: Digit) {
        self.leg.info_digit(now, digit);
    }

    /// What came over the page's data channel.
    pub fn data(&mut self) -> Option<DataEvent> {
        self.leg.data()
    }

    /// False: it is not open, or too much waits already.
    pub fn send_data(&mut self, text: &str) -> bool {
        self.leg.send_data(text)
    }

    /// True: the other side holds us now.
    pub fn renegotiate(&mut self, now: Instant, change: LegChange) -> bool {
        self.rtcp_mux = change.rtcp_mux;
        self.held = !change.send;
        self.leg.renegotiate(now, change);
        self.held
    }

    /// The next 20 ms of the caller.
    pub fn hear(&mut self, now: Instant) -> Heard {
        let tick = self.leg.tick_in(now, &mut self.pool);
        let cleaned = tick.frame.map(|frame| self.echo.heard(&frame, &mut self.pool));
        let (frame, echo) = cleaned.map_or((None, Verdict::default()), |heard| (Some(heard.frame), heard.echo));
        Heard { frame, echo, digits: tick.digits, tone: tick.tone }
    }

    /// Whether what is said goes out: not before a handshake gave keys.
    pub fn can_say(&self) -> bool {
        self.leg.is_open()
    }

    /// Sends the agent's 20 ms or silence, and whatever else is due.
    pub fn say(&mut self, now: Instant, frame: Option<&Frame>, wire: &dyn Wire) {
        let mut datagram = [0; DATAGRAM_MAX];
        if let Some(out) = self.leg.tick_out(now, frame, &mut datagram) {
            wire.send_rtp(datagram.get(..out.len).unwrap_or_default(), out.to);
        }
        self.echo.sent(frame);
        while let Some(out) = self.leg.poll(now, &mut datagram) {
            wire.send_rtp(datagram.get(..out.len).unwrap_or_default(), out.to);
        }
        if let Some(out) = self.leg.rtcp(now, &mut datagram) {
            self.send_report(wire, datagram.get(..out.len).unwrap_or_default(), out.to);
        }
    }

    /// The last words to the other side's statistics.
    pub fn goodbye(&mut self, now: Instant, wire: &dyn Wire) {
        let mut datagram = [0; DATAGRAM_MAX];
        while let Some(out) = self.leg.poll(now, &mut datagram) {
            wire.send_rtp(datagram.get(..out.len).unwrap_or_default(), out.to);
        }
        if let Some(out) = self.leg.goodbye(now, &mut datagram) {
            self.send_report(wire, datagram.get(..out.len).unwrap_or_default(), out.to);
        }
    }

    /// Says what happened. False: there is nothing to hope for, neither media nor reports nor keys.
    pub fn watch(&mut self) -> bool {
        while let Some(event) = self.leg.event() {
            match event {
                LegEvent::Secured(suite) => info!(call = %self.call, suite = suite.name(), "media is protected"),
                LegEvent::Failed(failure) => {
                    warn!(call = %self.call, %failure, "media cannot be protected; the call ends");
                    self.dead = true;
                }
                LegEvent::Trouble(trouble) => self.trouble(trouble),
            }
        }
        let echo = self.echo.state();
        if echo != self.echo_was {
            info!(call = %self.call, state = word(echo), "the agent's voice comes back");
            self.echo_was = echo;
        }
        let held_too_long = self.held && self.leg.silent_for().is_some_and(|silent| silent > HOLD_MAX);
        !self.dead && !held_too_long
    }

    fn trouble(&mut self, trouble: Trouble) {
        let Trouble { kind, begins } = trouble;
        if !begins {
            return info!(call = %self.call, kind = kind.word(), "media trouble is over");
        }
        warn!(call = %self.call, kind = kind.word(), "media trouble");
        metrics::counter!("dauys_media_trouble_total", "kind" => kind.word()).increment(1);
        if !self.troubles.contains(&kind) {
            self.troubles.push(kind);
        }
        self.dead |= kind == TroubleKind::Dead && !self.held;
    }

    fn send_report(&self, wire: &dyn Wire, datagram: &[u8], to: SocketAddr) {
        if self.rtcp_mux { wire.send_rtp(datagram, to) } else { wire.send_rtcp(datagram, to) }
    }

    /// For the call's record.
    pub fn record(&self) -> MediaRecord {
        let stats = self.leg.stats();
        let echo = self.echo.stats();
        MediaRecord {
            packets_received: stats.packets_received,
            packets_lost: stats.packets_lost.max(0).unsigned_abs(),
            packets_late: stats.late,
            packets_recovered: stats.recovered,
            packets_refused: stats.junk
                + stats.foreign
                + stats.shield.unauthenticated
                + stats.shield.not_secured
                + stats.shield.replayed,
            frames_concealed: stats.concealed_frames,
            jitter_ms: stats.jitter_ms,
            delay_ms: stats.delay_ms,
            round_trip_ms: stats.quality.round_trip_ms,
            loss_percent: stats.quality.loss_percent + stats.quality.discard_percent,
            burst_ms: stats.quality.burst_ms,
            mos: stats.quality.mos_cq,
            wideband: stats.quality.wideband,
            packets_sent: stats.packets_sent,
            remote_loss_percent: stats.remote_fraction_lost.map(|share| share * 100.0),
            remote_mos: stats
                .remote_quality
                .and_then(|there| there.mos_cq_tenths)
                .map(|tenths| f32::from(tenths) / 10.0),
            trouble: self.troubles.iter().map(|kind| kind.word().to_owned()).collect(),
            echo: (echo.recognised > 0).then_some(EchoRecord {
                delay_ms: echo.delay_ms,
                return_loss_db: echo.return_loss_db,
                enhancement_db: echo.enhancement_db,
            }),
        }
    }
}

fn word(state: EchoState) -> &'static str {
    match state {
        EchoState::None => "none",
        EchoState::Suspected => "suspected",
        EchoState::Recognised => "recognised",
        EchoState::Cancelling => "cancelling",
    }
}
