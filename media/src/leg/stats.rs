//! What happened on a leg so far, in numbers. No address and no sample is among them.
use std::time::Duration;

use crate::quality::Quality;
use crate::rtcp::VoipMetrics;
use crate::secure::ShieldStats;

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
    /// Frames whose samples were not all decoded straight into them: parts of long packets, stretched, or
    /// beside such. None in steady state.
    pub copied_frames: u64,
    /// Lost packets brought back from the redundancy in the next one.
    pub recovered: u64,
    /// Times the delay was corrected by stretching.
    pub stretches: u64,
    /// Audio left out to bring the delay down, in milliseconds.
    pub shortened_ms: u64,
    /// Audio put in to bring the delay up, in milliseconds.
    pub lengthened_ms: u64,
    /// Frames lost because the pool was exhausted.
    pub pool_exhausted: u64,
    /// Delay of the jitter buffer now, and what it aims at, in milliseconds.
    pub delay_ms: u32,
    /// What the delay aims at.
    pub target_delay_ms: u32,
    /// Datagrams that were neither RTP nor RTCP, of a payload type nobody agreed on, too long, or of a protocol
    /// nobody asked for.
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
    /// Of our packets lost on the way, as the other side reported last; negative if some came twice.
    pub remote_packets_lost: Option<i32>,
    /// How we sound there, if the other side sends extended reports.
    pub remote_quality: Option<VoipMetrics>,
    /// RTCP compounds received.
    pub reports_received: u64,
    /// Reports in a row that showed nothing of ours arriving while we sent; see `watch`.
    pub unheard_reports: u32,
    /// How the other side sounds here.
    pub quality: Quality,
    /// How long ago the last valid RTP packet came, at the last tick.
    pub silent_for: Option<Duration>,
    /// The other side said goodbye (RTCP BYE).
    pub goodbye: bool,
    /// What the outer layer let in and kept out.
    pub shield: ShieldStats,
}
