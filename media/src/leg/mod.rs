//! The whole media leg of one call, sans-IO: datagrams in, frames out, and the other way round. It opens
//! no socket, reads no clock, and a stranger's datagram changes nothing but a counter.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtmf::{Digit, Digits};
use crate::rtcp::Compound;
use crate::{Codec, Frame, FramePool, rtp};

mod cadence;
mod inbound;
mod latch;
mod outbound;
mod reporter;

use inbound::Inbound;
use latch::Latch;
use outbound::Outbound;
use reporter::Reporter;

/// Room that one outgoing datagram needs, RTP or RTCP, in bytes.
pub const DATAGRAM_MAX: usize = 1_500;

/// What was agreed with the other side when the leg starts.
#[derive(Clone)]
pub struct LegConfig {
    /// The codec, both ways.
    pub codec: Codec,
    /// Its RTP payload type, both ways.
    pub payload_type: u8,
    /// The payload type of telephone-event (RFC 4733), if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// Our synchronization source, random.
    pub ssrc: u32,
    /// Our first sequence number, random.
    pub sequence: u16,
    /// Our first timestamp, random.
    pub timestamp: u32,
    /// Where the other side wants its RTP, from its SDP.
    pub remote: SocketAddr,
    /// Send to where the first valid packet comes from rather than to `remote` (symmetric RTP, RFC 4961).
    pub symmetric: bool,
    /// RTCP on the RTP port (RFC 5761) rather than on the next one.
    pub rtcp_mux: bool,
    /// Our canonical name (RFC 3550, 6.5.1): the same for the whole call, says nothing about anybody.
    pub rtcp_cname: String,
}

/// What a re-INVITE changed. The stream goes on: same SSRC, sequence and timestamps.
#[derive(Clone)]
pub struct LegChange {
    /// The codec from now on; packets of the former one still decode.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of telephone-event, if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// Where the other side wants its RTP now; a new address unlatches the old one.
    pub remote: SocketAddr,
    /// RTCP on the RTP port.
    pub rtcp_mux: bool,
    /// Whether we may send at all (false: we are held with `sendonly` or `inactive`).
    pub send: bool,
}

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
}

/// A datagram to send: the first `len` bytes of the buffer given, to `to`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes written.
    pub len: usize,
    /// Where to.
    pub to: SocketAddr,
}

/// What happened on a leg so far.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct LegStats {
    /// RTP packets received and valid.
    pub packets_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Packets that never came (RFC 3550, 6.4.1: cumulative, less duplicates, so it can be negative).
    pub packets_lost: i64,
    /// Interarrival jitter in milliseconds (RFC 3550, A.8).
    pub jitter_ms: f32,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that overtook another.
    pub reordered: u64,
    /// Packets dropped because the jitter buffer was full.
    pub overflow: u64,
    /// Frames with at least 10 ms made up.
    pub concealed_frames: u64,
    /// Frames of silence because nothing came.
    pub silence_frames: u64,
    /// Frames dropped to bring the delay down.
    pub skipped_frames: u64,
    /// Frames put in to bring the delay up.
    pub stretched_frames: u64,
    /// Frames lost because the pool was exhausted.
    pub pool_exhausted: u64,
    /// Delay of the jitter buffer now, and what it aims at, in milliseconds.
    pub delay_ms: u32,
    /// What the delay aims at.
    pub target_delay_ms: u32,
    /// Datagrams that were neither RTP nor RTCP, of a payload type nobody agreed on, or too long.
    pub junk: u64,
    /// Valid packets from somebody else than the latched source.
    pub foreign: u64,
    /// Times the source's SSRC changed.
    pub ssrc_changes: u64,
    /// Times the source's timestamps jumped.
    pub timestamp_jumps: u64,
    /// Times the destination moved to another source address.
    pub latches: u64,
    /// Keys lost because nobody asked for them in time.
    pub digits_dropped: u64,
    /// Round trip from the other side's reports.
    pub round_trip: Option<Duration>,
    /// Fraction lost that the other side reported last, 0 to 1.
    pub remote_fraction_lost: Option<f32>,
    /// Jitter that the other side reported last, in milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// How long ago the last valid RTP packet came, at the last tick.
    pub silent_for: Option<Duration>,
    /// The other side said goodbye (RTCP BYE).
    pub goodbye: bool,
}

/// One call's media.
pub struct Leg {
    inbound: Inbound,
    outbound: Outbound,
    latch: Latch,
    reporter: Reporter,
    junk: u64,
    foreign: u64,
}

impl Leg {
    /// A leg that starts at `now`: media time zero.
    pub fn new(now: Instant, config: LegConfig) -> Self {
        Leg {
            inbound: Inbound::new(now, config.codec, config.payload_type, config.dtmf_payload_type),
            outbound: Outbound::new(now, &config),
            latch: Latch::new(config.remote, config.symmetric),
            reporter: Reporter::new(now, config.ssrc, config.rtcp_mux, config.rtcp_cname),
            junk: 0,
            foreign: 0,
        }
    }

    /// Takes a datagram from the RTP or the RTCP port: RTP, RTCP (told apart by RFC 5761) or junk.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if rtp::is_rtcp(datagram) {
            return self.handle_rtcp(now, from, datagram);
        }
        let Some(packet) = rtp::Packet::parse(datagram).ok().filter(|p| self.inbound.knows(p.header.payload_type))
        else {
            self.junk += 1;
            return;
        };
        if self.latch.admit(now, from, self.inbound.source() == Some(packet.header.ssrc)) {
            self.inbound.packet(now, &packet);
        } else {
            self.foreign += 1;
        }
    }

    /// Every 20 ms: the caller's next frame and keys.
    pub fn tick_in(&mut self, now: Instant, pool: &mut FramePool) -> TickIn {
        self.inbound.tick(now, pool)
    }

    /// Every 20 ms: packs the agent's frame, or silence so that NATs and PBXs stay open, or a key being
    /// sent. `None` if we may not send now or `out` is too short ([`DATAGRAM_MAX`] always does).
    pub fn tick_out(&mut self, now: Instant, frame: Option<&Frame>, out: &mut [u8]) -> Option<Outgoing> {
        let len = self.outbound.tick(now, frame, out)?;
        Some(Outgoing { len, to: self.latch.remote() })
    }

    /// Queues a key to be sent (RFC 4733), 40 to 5000 ms long. False if telephone-event was not agreed or
    /// 32 keys already wait.
    pub fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        self.outbound.send_digit(digit, duration_ms)
    }

    /// An RTCP report, if one is due. Send it from the RTP socket with `rtcp_mux`, else from the next port's.
    pub fn rtcp(&mut self, now: Instant, out: &mut [u8]) -> Option<Outgoing> {
        let len = self
            .reporter
            .due(now)
            .then(|| self.reporter.write(now, &self.outbound, &mut self.inbound, false, out))??;
        Some(Outgoing { len, to: self.reporter.destination(&self.latch) })
    }

    /// The last report with a BYE, for the end of the call.
    pub fn goodbye(&mut self, now: Instant, out: &mut [u8]) -> Option<Outgoing> {
        let len = self.reporter.write(now, &self.outbound, &mut self.inbound, true, out)?;
        Some(Outgoing { len, to: self.reporter.destination(&self.latch) })
    }

    /// Applies what a re-INVITE changed.
    pub fn renegotiate(&mut self, change: LegChange) {
        self.inbound.renegotiate(change.codec, change.payload_type, change.dtmf_payload_type);
        self.outbound.renegotiate(&change);
        self.latch.signal(change.remote);
        self.reporter.renegotiate(change.rtcp_mux);
    }

    /// What happened so far.
    pub fn stats(&self) -> LegStats {
        let mut stats = self.inbound.stats();
        stats.junk += self.junk;
        stats.foreign = self.foreign;
        stats.latches = self.latch.count();
        self.outbound.stats(&mut stats);
        self.reporter.stats(&mut stats);
        stats
    }

    /// Where RTP goes now.
    pub fn remote(&self) -> SocketAddr {
        self.latch.remote()
    }

    fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Ok(compound) = Compound::parse(datagram) else {
            self.junk += 1;
            return;
        };
        if !self.latch.is_known_host(from) {
            self.foreign += 1;
            return;
        }
        self.reporter.received(now, from, compound, &mut self.inbound);
    }
}
