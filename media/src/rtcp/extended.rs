//! Extended reports (RFC 3611): receiver reference time (block 4), its echo DLRR (5) and VoIP metrics (7), read
//! in place. It estimates nothing; `quality` does.
use super::{Ntp, round_trip, split_word, word_at};

/// Block types (RFC 3611, 4.4, 4.5 and 4.7).
pub(super) const REFERENCE_TIME: u8 = 4;
pub(super) const DLRR: u8 = 5;
pub(super) const VOIP: u8 = 7;
/// Delays that a DLRR block of ours can carry.
pub const DELAYS_MAX: usize = 31;
const DELAY_LEN: usize = 12;
const VOIP_LEN: usize = 32;
/// "Unavailable" in the fields that can say so (RFC 3611, 4.7.3 to 4.7.5).
const UNAVAILABLE: u8 = 127;

/// One block of an extended report.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ExtendedBlock<'a> {
    /// When the report was sent, on its sender's clock (4.4): what a receiver that sends no SR has instead.
    ReferenceTime(Ntp),
    /// How long ago the reference times of others came (4.5).
    Delays(Delays<'a>),
    /// How a stream sounds where it is received (4.7).
    Voip(VoipMetrics),
    /// Another type, or one of the above with an impossible length: ignored (3).
    Other(u8),
}

/// The blocks of one extended report, read as they are asked for. They end where one reaches beyond the end: the
/// reports beside it still count.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ExtendedBlocks<'a>(pub(super) &'a [u8]);

impl<'a> ExtendedBlocks<'a> {
    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = ExtendedBlock<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (block, after) = split(rest)?;
            rest = after;
            Some(block)
        })
    }
}

fn split(bytes: &[u8]) -> Option<(ExtendedBlock<'_>, &[u8])> {
    let (head, body) = bytes.split_first_chunk::<4>()?;
    let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (body, rest) = body.split_at_checked(words * 4)?;
    Some((read(head[0], body).unwrap_or(ExtendedBlock::Other(head[0])), rest))
}

fn read(block_type: u8, body: &[u8]) -> Option<ExtendedBlock<'_>> {
    match block_type {
        REFERENCE_TIME => {
            let ntp: &[u8; 8] = body.try_into().ok()?;
            Some(ExtendedBlock::ReferenceTime(Ntp(u64::from_be_bytes(*ntp))))
        }
        DLRR => {
            let (delays, rest) = body.as_chunks();
            rest.is_empty().then_some(ExtendedBlock::Delays(Delays(delays)))
        }
        VOIP => {
            let (ssrc, body) = split_word(body)?;
            let body: &[u8; VOIP_LEN - 4] = body.try_into().ok()?;
            Some(ExtendedBlock::Voip(VoipMetrics::read(ssrc, body)))
        }
        _ => None,
    }
}

/// The echo of one receiver's reference time (RFC 3611, 4.5).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Delay {
    /// Whose reference time.
    pub ssrc: u32,
    /// Its middle 32 bits.
    pub last_rr: u32,
    /// Since it came, in 1/65536 s.
    pub delay_since_last_rr: u32,
}

impl Delay {
    /// The round trip as the receiver sees it, which sent the reference time and got this at `now`. `None` if
    /// the numbers make no sense.
    pub fn round_trip(&self, now: Ntp) -> Option<std::time::Duration> {
        round_trip(now, self.last_rr, self.delay_since_last_rr)
    }
}

/// The echoes of a DLRR block, read as they are asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Delays<'a>(&'a [[u8; DELAY_LEN]]);

impl Delays<'_> {
    /// The echoes in order.
    pub fn iter(&self) -> impl Iterator<Item = Delay> + '_ {
        self.0.iter().map(|b| Delay { ssrc: word_at(b, 0), last_rr: word_at(b, 4), delay_since_last_rr: word_at(b, 8) })
    }
}

/// A VoIP metrics block (RFC 3611, 4.7) with the fields as they are sent; rates and densities are in 1/256.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct VoipMetrics {
    /// Whose packets this is about.
    pub ssrc: u32,
    /// Fraction lost since the start.
    pub loss_rate: u8,
    /// Fraction that came but could not be played.
    pub discard_rate: u8,
    /// Fraction lost or discarded within bursts.
    pub burst_density: u8,
    /// And within the gaps between them.
    pub gap_density: u8,
    /// Mean duration of a burst.
    pub burst_ms: u16,
    /// Mean duration of a gap.
    pub gap_ms: u16,
    /// The last round trip between the RTP interfaces, 0 if unknown.
    pub round_trip_ms: u16,
    /// From the RTP interface to the ear, and from the mouth to it.
    pub end_system_delay_ms: u16,
    /// Level of the speech, in dBm0.
    pub signal_dbm0: Option<i8>,
    /// Level of the noise between, in dBm0.
    pub noise_dbm0: Option<i8>,
    /// Residual echo return loss, in dB.
    pub echo_return_loss_db: Option<u8>,
    /// Packets received in a row that end a burst.
    pub gap_min: u8,
    /// R of the part carried by RTP, 0 to 100.
    pub r_factor: Option<u8>,
    /// R of the part beyond, 0 to 100.
    pub external_r_factor: Option<u8>,
    /// MOS for listening, 10 to 50 tenths.
    pub mos_lq_tenths: Option<u8>,
    /// MOS for conversation, 10 to 50 tenths.
    pub mos_cq_tenths: Option<u8>,
    /// Concealment (two bits), jitter buffer (two), its rate of adaptation (four); see [`RECEIVER`].
    pub receiver: u8,
    /// Delay of the jitter buffer now.
    pub jitter_nominal_ms: u16,
    /// The highest it had.
    pub jitter_max_ms: u16,
    /// The highest it can have.
    pub jitter_limit_ms: u16,
}

/// What we say of our receiver (RFC 3611, 4.7.6): enhanced concealment (10), adaptive jitter buffer (11), which
/// adapts within 2 * 5 frames (5).
pub const RECEIVER: u8 = 0b1011_0101;

impl VoipMetrics {
    fn read(ssrc: u32, b: &[u8; VOIP_LEN - 4]) -> Self {
        let half = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
        let level = |byte: u8| (byte != UNAVAILABLE).then_some(byte as i8);
        // Values outside are not to be believed (4.7.5).
        let rating = |byte: u8| (byte <= 100).then_some(byte);
        let mos = |byte: u8| (10..=50).contains(&byte).then_some(byte);
        VoipMetrics {
            ssrc,
            loss_rate: b[0],
            discard_rate: b[1],
            burst_density: b[2],
            gap_density: b[3],
            burst_ms: half(4),
            gap_ms: half(6),
            round_trip_ms: half(8),
            end_system_delay_ms: half(10),
            signal_dbm0: level(b[12]),
            noise_dbm0: level(b[13]),
            echo_return_loss_db: (b[14] != UNAVAILABLE).then_some(b[14]),
            gap_min: b[15],
            r_factor: rating(b[16]),
            external_r_factor: rating(b[17]),
            mos_lq_tenths: mos(b[18]),
            mos_cq_tenths: mos(b[19]),
            receiver: b[20],
            jitter_nominal_ms: half(22),
            jitter_max_ms: half(24),
            jitter_limit_ms: half(26),
        }
    }

    /// The 32 bytes after the block's header.
    pub(super) fn bytes(&self) -> [u8; VOIP_LEN] {
        let mut out = [0; VOIP_LEN];
        let level = |level: Option<i8>| level.map_or(UNAVAILABLE, |l| l as u8);
        let or_unavailable = |value: Option<u8>| value.unwrap_or(UNAVAILABLE);
        out[..4].copy_from_slice(&self.ssrc.to_be_bytes());
        out[4..8].copy_from_slice(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        let halves = [
            (8, self.burst_ms),
            (10, self.gap_ms),
            (12, self.round_trip_ms),
            (14, self.end_system_delay_ms),
            (26, self.jitter_nominal_ms),
            (28, self.jitter_max_ms),
            (30, self.jitter_limit_ms),
        ];
        for (at, value) in halves {
            out[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
        out[16..25].copy_from_slice(&[
            level(self.signal_dbm0),
            level(self.noise_dbm0),
            or_unavailable(self.echo_return_loss_db),
            self.gap_min,
            or_unavailable(self.r_factor),
            or_unavailable(self.external_r_factor),
            or_unavailable(self.mos_lq_tenths),
            or_unavailable(self.mos_cq_tenths),
            self.receiver,
        ]);
        out
    }
}
