//! RTCP of a leg: when a report is due, what it says, and what the other side's reports say about us. It
//! writes no RTP and judges no sound; `quality` does.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::inbound::Inbound;
use super::latch::Latch;
use super::outbound::Outbound;
use super::{LegConfig, LegStats};
use crate::jitter::JITTER_PACKETS;
use crate::quality::Quality;
use crate::rtcp::{
    Compound, Delay, ExtendedBlock, ExtendedBlocks, Ntp, Packet, ReportBlock, SenderInfo, VoipMetrics, Writer,
};
use crate::{Codec, FRAME_MS};

/// The mean interval (RFC 3550, 6.2), varied by half either way (6.3.1) so that legs do not report in step.
/// It needs neither reconsideration nor what compensates for that (6.3.3): two members stay two. Nor does the
/// bandwidth stretch it: five percent of 24 kbit/s carry a compound of 200 bytes each way within 3 s.
const INTERVAL: Duration = Duration::from_secs(5);
/// After this many packets of ours a report must show that some of them arrived.
const SENT_MIN: u64 = 50;

pub(super) struct Reporter {
    start: Instant,
    next: Instant,
    /// State of the small generator that varies the interval.
    dice: u32,
    mux: bool,
    cname: String,
    ssrc: u32,
    /// Of the stream we send.
    clock_rate: u32,
    /// The other side asked for extended reports (RFC 3611, 5).
    extended: bool,
    /// Where the other side's RTCP comes from, if not from where its RTP does.
    heard_from: Option<SocketAddr>,
    /// Packets we had sent by the last two reports.
    sent_before: [u64; 2],
    round_trip: Option<Duration>,
    remote: Option<ReportBlock>,
    remote_jitter_ms: f32,
    /// Who reported on us last.
    told_by: Option<u32>,
    /// The last reference time of the other side: whose, its middle, and when it came.
    reference: Option<(u32, u32, Ntp)>,
    remote_quality: Option<VoipMetrics>,
    reports_received: u64,
    /// Packets we had sent when a report last showed whether they arrive, and how many in a row showed that
    /// none does.
    judged_at: u64,
    unheard: u32,
    goodbye: bool,
}

impl Reporter {
    pub fn new(now: Instant, codec: Codec, config: &LegConfig) -> Self {
        let mut reporter = Reporter {
            start: now,
            next: now,
            dice: config.ssrc | 1,
            mux: config.rtcp_mux,
            cname: config.rtcp_cname.clone(),
            ssrc: config.ssrc,
            clock_rate: codec.clock_rate(),
            extended: config.rtcp_xr,
            heard_from: None,
            sent_before: [0; 2],
            round_trip: None,
            remote: None,
            remote_jitter_ms: 0.0,
            told_by: None,
            reference: None,
            remote_quality: None,
            reports_received: 0,
            judged_at: 0,
            unheard: 0,
            goodbye: false,
        };
        // The first comes after half the interval (RFC 3550, 6.2).
        reporter.next = now + reporter.interval() / 2;
        reporter
    }

    /// What we send, and where RTCP goes, from now on.
    pub fn renegotiate(&mut self, codec: Codec, mux: bool) {
        self.clock_rate = codec.clock_rate();
        self.mux = mux;
        self.heard_from = None;
        self.unheard = 0;
    }

    pub fn due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.interval();
        }
        due
    }

    /// RTCP compounds received.
    pub fn reports(&self) -> u64 {
        self.reports_received
    }

    /// Reports in a row that showed nothing of ours arriving.
    pub fn unheard(&self) -> u32 {
        self.unheard
    }

    /// The share of our packets that was lost, as the other side reported last, 0 to 1.
    pub fn remote_loss(&self) -> Option<f32> {
        self.remote.map(|block| f32::from(block.fraction_lost) / 256.0)
    }

    pub fn destination(&self, latch: &Latch) -> SocketAddr {
        let rtp = latch.remote();
        if self.mux {
            return rtp;
        }
        let next_port = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port()));
        self.heard_from.filter(|_| latch.is_symmetric()).unwrap_or(next_port)
    }

    /// SR or RR, with our name; how what we receive sounds, if that was asked for; with a BYE at the end of the
    /// call.
    pub fn write(
        &mut self,
        now: Instant,
        sent: &Outbound,
        received: &mut Inbound,
        quality: &Quality,
        bye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let ntp = self.ntp(now);
        let block = received.reception().filter(|r| r.is_heard()).map(|r| r.report(ntp));
        let blocks = block.as_slice();
        let mut writer = Writer::new(out);
        let [older, last] = self.sent_before;
        self.sent_before = [last, sent.packets()];
        // A sender is who has sent since the report before the last (RFC 3550, 6.3.8).
        let sender = sent.packets() > older;
        let report = if sender {
            let info = SenderInfo {
                ntp,
                rtp_timestamp: sent.timestamp_at(now),
                // 32 bit counters that wrap (RFC 3550, 6.4.1).
                packets: sent.packets() as u32,
                octets: sent.octets() as u32,
            };
            writer.sender_report(sent.ssrc(), &info, blocks)
        } else {
            writer.receiver_report(sent.ssrc(), blocks)
        };
        let whole = report
            && writer.cname(sent.ssrc(), &self.cname)
            && (!self.extended || self.write_extended(ntp, sender, received.source(), quality, &mut writer))
            && (!bye || writer.goodbye(sent.ssrc()));
        whole.then(|| writer.len())
    }

    /// Our reference time if no SR carries it, the echo of theirs, and how their stream sounds.
    fn write_extended(
        &self,
        now: Ntp,
        sender: bool,
        source: Option<u32>,
        quality: &Quality,
        writer: &mut Writer<'_>,
    ) -> bool {
        let echo = self.reference.map(|(ssrc, last_rr, came)| {
            // Both are middles: the difference wraps after 18 hours, as in a report block.
            Delay { ssrc, last_rr, delay_since_last_rr: now.middle().wrapping_sub(came.middle()) }
        });
        let voip = source.and_then(|ssrc| quality.metrics(ssrc, JITTER_PACKETS as u32 * FRAME_MS));
        let reference = (!sender).then_some(now);
        let empty = reference.is_none() && echo.is_none() && voip.is_none();
        empty || writer.extended(self.ssrc, reference, echo.as_slice(), voip.as_ref())
    }

    /// Takes a compound from the other side's host; we had `sent` so many packets by then.
    pub fn received(
        &mut self,
        now: Instant,
        from: SocketAddr,
        compound: Compound<'_>,
        inbound: &mut Inbound,
        sent: u64,
    ) {
        self.heard_from = Some(from);
        self.reports_received += 1;
        let ntp = self.ntp(now);
        let (ours, mut judged, mut arrives) = (self.ssrc, false, false);
        for packet in compound.packets() {
            let (reporter, blocks) = match packet {
                Packet::SenderReport { ssrc, info, blocks } => {
                    if let Some(reception) = inbound.reception().filter(|r| r.ssrc() == ssrc) {
                        reception.sender_report(info.ntp, ntp);
                    }
                    (ssrc, blocks)
                }
                Packet::ReceiverReport { ssrc, blocks } => (ssrc, blocks),
                Packet::Extended { ssrc, blocks } => {
                    self.take_extended(ntp, ssrc, blocks);
                    continue;
                }
                Packet::Goodbye { ssrcs } => {
                    self.goodbye |= ssrcs.iter().any(|s| inbound.source() == Some(s));
                    continue;
                }
                Packet::Description { .. } | Packet::Other(_) => continue,
            };
            for block in blocks.iter().filter(|block| block.ssrc == ours) {
                self.told_by = Some(reporter);
                arrives |= self.about_us(ntp, block);
            }
            judged |= self.told_by == Some(reporter);
        }
        // Whoever receives nothing leaves the block out (RFC 3550, 6.4), but whoever never had one may just not
        // report; and a compound without a report (RFC 5506) says nothing either way.
        if judged {
            self.judge(arrives, sent);
        }
    }

    pub fn stats(&self, stats: &mut LegStats) {
        stats.round_trip = self.round_trip;
        stats.remote_fraction_lost = self.remote.map(|b| f32::from(b.fraction_lost) / 256.0);
        stats.remote_packets_lost = self.remote.map(|b| b.packets_lost);
        stats.remote_jitter_ms = self.remote.map(|_| self.remote_jitter_ms);
        stats.remote_quality = self.remote_quality;
        stats.reports_received = self.reports_received;
        stats.unheard_reports = self.unheard;
        stats.goodbye = self.goodbye;
    }

    /// Whether any packet of ours arrived since the block before.
    fn about_us(&mut self, now: Ntp, block: ReportBlock) -> bool {
        self.round_trip = block.round_trip(now).or(self.round_trip);
        // The other side counts in the clock of what we send it.
        self.remote_jitter_ms = block.jitter as f32 * 1000.0 / self.clock_rate.max(1) as f32;
        let before = self.remote.replace(block);
        block.fraction_lost < u8::MAX && before.is_none_or(|b| b.highest_sequence != block.highest_sequence)
    }

    /// Counts reports in a row in which nothing of ours `arrives`, each after enough was sent.
    fn judge(&mut self, arrives: bool, sent: u64) {
        if arrives {
            self.unheard = 0;
            self.judged_at = sent;
        } else if sent.saturating_sub(self.judged_at) >= SENT_MIN {
            self.unheard = self.unheard.saturating_add(1);
            self.judged_at = sent;
        }
    }

    fn take_extended(&mut self, now: Ntp, from: u32, blocks: ExtendedBlocks<'_>) {
        for block in blocks.iter() {
            match block {
                ExtendedBlock::ReferenceTime(theirs) => self.reference = Some((from, theirs.middle(), now)),
                ExtendedBlock::Delays(delays) => {
                    let echo = delays.iter().find(|d| d.ssrc == self.ssrc);
                    self.round_trip = echo.and_then(|e| e.round_trip(now)).or(self.round_trip);
                }
                ExtendedBlock::Voip(metrics) if metrics.ssrc == self.ssrc => self.remote_quality = Some(metrics),
                ExtendedBlock::Voip(_) | ExtendedBlock::Other(_) => {}
            }
        }
    }

    fn ntp(&self, now: Instant) -> Ntp {
        Ntp::from_elapsed(now.saturating_duration_since(self.start))
    }

    /// 2.5 to 7.5 s. Not cryptographic: it only has to differ between legs (xorshift32).
    fn interval(&mut self) -> Duration {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        INTERVAL / 2 + INTERVAL.mul_f64(f64::from(self.dice) / f64::from(u32::MAX))
    }
}
