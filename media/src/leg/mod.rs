//! The whole media leg of one call, sans-IO: datagrams in, frames out, and the other way round. It opens
//! no socket, reads no clock, and a stranger's datagram changes nothing but a counter.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::data::DataEvent;
use crate::dtmf::{Digit, Digits};
use crate::quality::{Path, Tracker};
use crate::rtcp::Compound;
use crate::secure::{Failure, Opened, SEAL_MAX, Shield, ShieldConfig, ShieldEvent, Suite};
use crate::watch::{self, Heard, Seen, Trouble, Watch};
use crate::{Codec, FRAME_MS, Frame, FramePool, rtp};

mod cadence;
mod carry;
mod config;
mod inbound;
mod latch;
mod outbound;
mod reporter;
mod road;
mod stats;

pub use config::{LegChange, LegConfig};
use inbound::Inbound;
use latch::Latch;
use outbound::Outbound;
use reporter::Reporter;
pub use stats::LegStats;

/// Room that one outgoing datagram needs, RTP or RTCP, in bytes.
pub const DATAGRAM_MAX: usize = 1_500;

/// Frames of its pool that a leg keeps a handle of, to make up for what is lost.
pub const FRAMES_KEPT: usize = road::FRAMES_KEPT;

/// A call of which nothing comes for this long, neither packets nor reports, is dead.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// What a frame is made of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The caller's audio, at least 10 ms of it.
    Audio,
    /// Made up for lost packets.
    Concealed,
    /// Nothing came: digital silence.
    Silence,
}

/// What one tick brought.
pub struct TickIn {
    /// The caller's 20 ms; `None` only if the pool was exhausted (the audio is then lost and counted).
    pub frame: Option<Frame>,
    /// Keys pressed since the last tick, each once.
    pub digits: Digits,
    /// What the frame is made of.
    pub kind: Kind,
    /// A key's tone is in the frame: nothing for a recognizer.
    pub tone: bool,
}

/// What a leg's owner should know besides frames and keys.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LegEvent {
    /// Media is protected by this suite from now on.
    Secured(Suite),
    /// There will be no keys, so there will be no media.
    Failed(Failure),
    /// Something is wrong with the media, or no longer is.
    Trouble(Trouble),
}

/// A datagram to send: the first `len` bytes of the buffer given, to `to`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes written.
    pub len: usize,
    /// Where to.
    pub to: SocketAddr,
}

/// One call's media.
pub struct Leg {
    shield: Shield,
    inbound: Inbound,
    outbound: Outbound,
    latch: Latch,
    reporter: Reporter,
    tracker: Tracker,
    watch: Watch,
    trouble: Option<Trouble>,
    /// What was agreed on: it stands for what the other side sends until that comes.
    codec: Codec,
    ice: bool,
    /// The stream is not two-way now.
    held: bool,
    junk: u64,
    foreign: u64,
}

impl Leg {
    /// A leg that starts at `now`: media time zero.
    pub fn new(now: Instant, config: LegConfig) -> Self {
        let shield = ShieldConfig {
            security: config.security.clone(),
            ice: config.ice.clone(),
            remote: config.remote,
            data: config.data,
        };
        Leg {
            shield: Shield::new(now, shield, config.ssrc),
            inbound: Inbound::new(now, &config),
            outbound: Outbound::new(now, &config),
            latch: Latch::new(config.remote, config.symmetric),
            reporter: Reporter::new(now, config.codec, &config),
            tracker: Tracker::default(),
            watch: Watch::new(now, DEAD_AFTER),
            trouble: None,
            codec: config.codec,
            ice: config.ice.is_some(),
            held: false,
            junk: 0,
            foreign: 0,
        }
    }

    /// Takes a datagram from the RTP or the RTCP port, whatever it is, and opens it in place: STUN, DTLS, RTP,
    /// RTCP (told apart by RFC 7983 and RFC 5761) or junk.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        match self.shield.open(now, from, datagram) {
            Opened::Rtp { packet, authenticated } => self.handle_rtp(now, from, packet, authenticated),
            Opened::Rtcp { packet, authenticated } => self.handle_rtcp(now, from, packet, authenticated),
            Opened::Nothing | Opened::Refused(_) => {}
        }
    }

    /// Every 20 ms: the caller's next frame and keys.
    pub fn tick_in(&mut self, now: Instant, pool: &mut FramePool) -> TickIn {
        let tick = self.inbound.tick(now, pool, &mut self.tracker);
        let heard = match (&tick.frame, tick.kind) {
            (Some(frame), Kind::Audio) if watch::is_digital_silence(frame.samples()) => Heard::Silence,
            (_, Kind::Audio) => Heard::Sound,
            _ => Heard::Nothing,
        };
        let seen = Seen {
            packets_received: self.inbound.packets(),
            reports_received: self.reporter.reports(),
            heard,
            expected: self.tracker.expected(),
            missing: self.tracker.missing(),
            unheard_reports: self.reporter.unheard(),
            held: self.held,
            pauses: self.inbound.pauses(),
        };
        self.trouble = self.watch.tick(now, &seen).or(self.trouble);
        tick
    }

    /// Every 20 ms: packs the agent's frame, or silence so that NATs and PBXs stay open, or a key being
    /// sent. `None` if we may not send now or `out` is too short ([`DATAGRAM_MAX`] always does).
    pub fn tick_out(&mut self, now: Instant, frame: Option<&Frame>, out: &mut [u8]) -> Option<Outgoing> {
        // Without keys nothing goes out, but the clock goes on.
        let room = if self.shield.is_open() { out.len().saturating_sub(SEAL_MAX) } else { 0 };
        let len = self.outbound.tick(now, frame, out.get_mut(..room)?)?;
        let len = self.shield.seal_rtp(out, len)?;
        Some(Outgoing { len, to: self.latch.remote() })
    }

    /// Queues a key to be sent (RFC 4733), 40 to 5000 ms long. False if telephone-event was not agreed or
    /// 32 keys already wait.
    pub fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        self.outbound.send_digit(digit, duration_ms)
    }

    /// A key that came by signalling (SIP INFO). The next tick reports it, unless it came by the audio as well.
    pub fn info_digit(&mut self, now: Instant, digit: Digit) {
        self.inbound.info_digit(now, digit);
    }

    /// An RTCP report, if one is due. Send it from the RTP socket with `rtcp_mux`, else from the next port's.
    pub fn rtcp(&mut self, now: Instant, out: &mut [u8]) -> Option<Outgoing> {
        if !self.reporter.due(now) {
            return None;
        }
        self.report(now, false, out)
    }

    /// The last report with a BYE, for the end of the call.
    pub fn goodbye(&mut self, now: Instant, out: &mut [u8]) -> Option<Outgoing> {
        self.report(now, true, out)
    }

    /// What is to be sent besides media, from the RTP socket: answers to connectivity checks, flights of a
    /// handshake, the data channel. Call it at every tick until `None`.
    pub fn poll(&mut self, now: Instant, out: &mut [u8]) -> Option<Outgoing> {
        let (len, to) = self.shield.poll(now, out)?;
        Some(Outgoing { len, to })
    }

    /// What happened on the data channel. Call it at every tick until `None`: of texts that nobody fetches 16 wait, and
    /// one more closes the channel.
    pub fn data(&mut self) -> Option<DataEvent> {
        self.shield.data()
    }

    /// Opens the data channel that was agreed on rather than waiting for it: for a caller of our own, right after
    /// [`Leg::new`].
    pub fn open_data(&mut self) {
        self.shield.open_data();
    }

    /// Sends a text on the data channel; [`Leg::poll`] has the datagrams. False: it is not open, the text is longer than
    /// 16 KiB, or 64 KiB wait already.
    pub fn send_data(&mut self, text: &str) -> bool {
        self.shield.send_data(text)
    }

    /// What happened. Call it at every tick until `None`.
    pub fn event(&mut self) -> Option<LegEvent> {
        while let Some(event) = self.shield.event() {
            match event {
                ShieldEvent::Nominated(address) => self.latch.nominate(Some(address)),
                ShieldEvent::Secured { suite } => return Some(LegEvent::Secured(suite)),
                ShieldEvent::Failed(failure) => return Some(LegEvent::Failed(failure)),
            }
        }
        self.trouble.take().map(LegEvent::Trouble)
    }

    /// Whether what we send goes out: false until a handshake has given keys.
    pub fn is_open(&self) -> bool {
        self.shield.is_open()
    }

    /// Applies what a re-INVITE changed.
    pub fn renegotiate(&mut self, now: Instant, change: LegChange) {
        self.inbound.renegotiate(&change);
        self.outbound.renegotiate(&change);
        self.latch.signal(change.remote);
        self.reporter.renegotiate(change.codec, change.rtcp_mux);
        self.codec = change.codec;
        self.held = !change.send || !change.expect;
        if self.ice && change.ice.is_none() {
            self.latch.nominate(None);
        }
        self.ice = change.ice.is_some();
        let LegChange { security, ice, remote, data, .. } = change;
        self.shield.renegotiate(now, ShieldConfig { security, ice, remote, data });
    }

    /// How long ago the last valid RTP packet came, at the last tick; `None` before the first.
    pub fn silent_for(&self) -> Option<Duration> {
        self.inbound.silent_for()
    }

    /// RTP packets received and valid.
    pub fn packets_received(&self) -> u64 {
        self.inbound.packets()
    }

    /// What happened so far.
    pub fn stats(&self) -> LegStats {
        let mut stats = self.inbound.stats();
        stats.shield = self.shield.stats();
        stats.junk += self.junk + stats.shield.junk + stats.shield.unexpected;
        stats.foreign = self.foreign + stats.shield.unchecked;
        stats.latches = self.latch.count();
        self.outbound.stats(&mut stats);
        self.reporter.stats(&mut stats);
        stats.quality = self.tracker.quality(&Path {
            codec: self.inbound.codec().unwrap_or(self.codec),
            discarded: stats.late + stats.overflow,
            round_trip: stats.round_trip,
            jitter_buffer_ms: stats.delay_ms,
            packet_ms: FRAME_MS,
        });
        stats
    }

    /// Where RTP goes now.
    pub fn remote(&self) -> SocketAddr {
        self.latch.remote()
    }

    fn report(&mut self, now: Instant, bye: bool, out: &mut [u8]) -> Option<Outgoing> {
        let quality = self.stats().quality;
        let room = out.len().saturating_sub(SEAL_MAX);
        let plain = out.get_mut(..room)?;
        let len = self.reporter.write(now, &self.outbound, &mut self.inbound, &quality, bye, plain)?;
        let len = self.shield.seal_rtcp(out, len)?;
        Some(Outgoing { len, to: self.reporter.destination(&self.latch) })
    }

    fn handle_rtp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], authenticated: bool) {
        let Some(packet) = rtp::Packet::parse(datagram).ok().filter(|p| self.inbound.knows(p.header.payload_type))
        else {
            self.junk += 1;
            return;
        };
        let same_source = self.inbound.source() == Some(packet.header.ssrc);
        // With ICE the shield has asked whether the address was checked.
        if self.ice || self.latch.admit(now, from, same_source, authenticated) {
            self.inbound.packet(now, &packet);
        } else {
            self.foreign += 1;
        }
    }

    fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], authenticated: bool) {
        let Ok(compound) = Compound::parse(datagram) else {
            self.junk += 1;
            return;
        };
        if !self.ice && !authenticated && !self.latch.is_known_host(from) {
            self.foreign += 1;
            return;
        }
        self.reporter.received(now, from, compound, &mut self.inbound, self.outbound.packets());
        if let Some(loss) = self.reporter.remote_loss() {
            self.outbound.network(loss);
        }
    }
}
