//! RTCP of a leg: when a report is due, what it says, and what the other side's reports say about us. It
//! writes no RTP.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::LegStats;
use super::inbound::Inbound;
use super::latch::Latch;
use super::outbound::Outbound;
use crate::rtcp::{Compound, Ntp, Packet, ReportBlock, SenderInfo, Writer};

/// The mean interval (RFC 3550, 6.2), varied by half either way (6.3.1) so that legs do not report in step.
const INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Reporter {
    start: Instant,
    next: Instant,
    /// State of the small generator that varies the interval.
    dice: u32,
    mux: bool,
    cname: String,
    ssrc: u32,
    /// Where the other side's RTCP comes from, if not from where its RTP does.
    heard_from: Option<SocketAddr>,
    /// Packets we had sent by the last two reports.
    sent_before: [u64; 2],
    round_trip: Option<Duration>,
    remote: Option<ReportBlock>,
    goodbye: bool,
}

impl Reporter {
    pub fn new(now: Instant, ssrc: u32, mux: bool, cname: String) -> Self {
        let mut reporter = Reporter {
            start: now,
            next: now,
            dice: ssrc | 1,
            mux,
            cname,
            ssrc,
            heard_from: None,
            sent_before: [0; 2],
            round_trip: None,
            remote: None,
            goodbye: false,
        };
        // The first comes after half the interval (RFC 3550, 6.2).
        reporter.next = now + reporter.interval() / 2;
        reporter
    }

    pub fn renegotiate(&mut self, mux: bool) {
        self.mux = mux;
        self.heard_from = None;
    }

    pub fn due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.interval();
        }
        due
    }

    pub fn destination(&self, latch: &Latch) -> SocketAddr {
        let rtp = latch.remote();
        if self.mux {
            return rtp;
        }
        let next_port = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port()));
        self.heard_from.filter(|_| latch.is_symmetric()).unwrap_or(next_port)
    }

    /// SR or RR, with our name; with a BYE at the end of the call.
    pub fn write(
        &mut self,
        now: Instant,
        sent: &Outbound,
        received: &mut Inbound,
        bye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let ntp = self.ntp(now);
        let block = received.reception().map(|r| r.report(ntp));
        let blocks = block.as_slice();
        let mut writer = Writer::new(out);
        let [older, last] = self.sent_before;
        self.sent_before = [last, sent.packets()];
        // A sender is who has sent since the report before the last (RFC 3550, 6.3.8).
        let report = if sent.packets() > older {
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
        let whole = report && writer.cname(sent.ssrc(), &self.cname) && (!bye || writer.goodbye(sent.ssrc()));
        whole.then(|| writer.len())
    }

    /// Takes a compound from the other side's host.
    pub fn received(&mut self, now: Instant, from: SocketAddr, compound: Compound<'_>, inbound: &mut Inbound) {
        self.heard_from = Some(from);
        let ntp = self.ntp(now);
        for packet in compound.packets() {
            match packet {
                Packet::SenderReport { ssrc, info, blocks } => {
                    if let Some(reception) = inbound.reception().filter(|r| r.ssrc() == ssrc) {
                        reception.sender_report(info.ntp, ntp);
                    }
                    blocks.iter().for_each(|block| self.about_us(ntp, block));
                }
                Packet::ReceiverReport { blocks, .. } => blocks.iter().for_each(|block| self.about_us(ntp, block)),
                Packet::Goodbye { ssrcs } => self.goodbye |= ssrcs.iter().any(|s| inbound.source() == Some(s)),
                Packet::Description { .. } | Packet::Other(_) => {}
            }
        }
    }

    pub fn stats(&self, stats: &mut LegStats) {
        stats.round_trip = self.round_trip;
        stats.remote_fraction_lost = self.remote.map(|b| f32::from(b.fraction_lost) / 256.0);
        stats.remote_jitter_ms = self.remote.map(|b| b.jitter as f32 / 8.0);
        stats.goodbye = self.goodbye;
    }

    fn about_us(&mut self, now: Ntp, block: ReportBlock) {
        if block.ssrc == self.ssrc {
            self.round_trip = block.round_trip(now).or(self.round_trip);
            self.remote = Some(block);
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
