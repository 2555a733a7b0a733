//! What we received from one source: sequence numbers, loss and jitter as in RFC 3550, A.1, A.3 and A.8.
//! It does not judge whether a packet came in time to be played; `jitter` does.
use super::{Ntp, ReportBlock};

/// A sequence number this far ahead is a jump (RFC 3550, A.1: MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3_000;
/// This far behind is an old packet rather than a jump (RFC 3550, A.1: MAX_MISORDER).
const MISORDER_MAX: u16 = 100;

/// Where a packet's sequence number falls.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sequenced {
    /// The first, the next, or one ahead after a loss.
    InOrder,
    /// Behind the highest: overtaken on its way.
    Behind,
    /// Behind the highest, and received before.
    Duplicate,
    /// Far off: believed only if the next packet follows it (RFC 3550, A.1).
    Jumped,
}

/// Reception from one synchronization source.
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    base: u32,
    highest: u32,
    received: u64,
    /// Which of the last 64 sequence numbers came; bit 0 is the highest.
    seen: u64,
    /// What would follow a jump.
    after_jump: Option<u16>,
    prior_expected: u64,
    prior_received: u64,
    last_transit: Option<u32>,
    /// Sixteen times the jitter, in units of the RTP clock.
    jitter_x16: u32,
    last_sr: Option<(u32, Ntp)>,
}

impl Reception {
    /// Nothing received yet; `sequence` is the first packet's.
    pub fn new(ssrc: u32, sequence: u16) -> Self {
        Reception {
            ssrc,
            base: u32::from(sequence),
            highest: u32::from(sequence),
            received: 0,
            seen: 0,
            after_jump: None,
            prior_expected: 0,
            prior_received: 0,
            last_transit: None,
            jitter_x16: 0,
            last_sr: None,
        }
    }

    /// Whose packets these are.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Counts a packet.
    pub fn sequence(&mut self, sequence: u16) -> Sequenced {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        if self.received == 0 || (1..DROPOUT_MAX).contains(&ahead) {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received += 1;
            self.after_jump = None;
            Sequenced::InOrder
        } else if behind < MISORDER_MAX {
            let bit = 1u64.checked_shl(u32::from(behind)).unwrap_or(0);
            let known = self.seen & bit != 0;
            self.seen |= bit;
            self.received += 1;
            if known { Sequenced::Duplicate } else { Sequenced::Behind }
        } else if self.after_jump == Some(sequence) {
            // Two in a row: the source restarted without saying so.
            *self =
                Reception { jitter_x16: self.jitter_x16, last_sr: self.last_sr, ..Reception::new(self.ssrc, sequence) };
            self.received = 1;
            self.seen = 1;
            Sequenced::InOrder
        } else {
            self.after_jump = Some(sequence.wrapping_add(1));
            Sequenced::Jumped
        }
    }

    /// Counts the spacing of a packet: when it came and when it was stamped, both in units of the RTP
    /// clock (RFC 3550, A.8).
    pub fn spacing(&mut self, arrival: u32, timestamp: u32) {
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.last_transit.replace(transit) {
            let d = (transit.wrapping_sub(last) as i32).unsigned_abs();
            self.jitter_x16 = self.jitter_x16.saturating_add(d).saturating_sub(self.jitter_x16.saturating_add(8) >> 4);
        }
    }

    /// Forgets the last spacing, so that a jump of the timestamps is not taken for jitter.
    pub fn forget_spacing(&mut self) {
        self.last_transit = None;
    }

    /// Remembers a sender report: its NTP time, and ours when it came.
    pub fn sender_report(&mut self, theirs: Ntp, ours: Ntp) {
        self.last_sr = Some((theirs.middle(), ours));
    }

    /// Interarrival jitter, in units of the RTP clock.
    pub fn jitter(&self) -> u32 {
        self.jitter_x16 >> 4
    }

    /// Packets lost since the start: expected less received, so duplicates count against it.
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Whether anything came since the last report. A block goes only to those it did from (RFC 3550, 6.4).
    pub fn is_heard(&self) -> bool {
        self.received > self.prior_received
    }

    /// The report block for now (RFC 3550, A.3); the fraction counts from the last one made.
    pub fn report(&mut self, now: Ntp) -> ReportBlock {
        let expected = self.expected().saturating_sub(self.prior_expected);
        let received = self.received.saturating_sub(self.prior_received);
        self.prior_expected = self.expected();
        self.prior_received = self.received;
        let lost = expected.saturating_sub(received);
        let fraction_lost = (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        let (last_sr, since) = self.last_sr.map_or((0, 0), |(sr, came)| (sr, now.middle().wrapping_sub(came.middle())));
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            packets_lost: self.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_sequence: self.highest,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr: since,
        }
    }

    fn expected(&self) -> u64 {
        if self.received == 0 { 0 } else { u64::from(self.highest.wrapping_sub(self.base)) + 1 }
    }
}
