//! RTCP (RFC 3550, 6): compound packets read in place and written into the caller's buffer, reception
//! statistics, and round trips; extended reports (RFC 3611) too. It decides nothing about when to send; `leg`
//! does.

mod extended;
mod reception;
mod write;

pub use extended::{DELAYS_MAX, Delay, Delays, ExtendedBlock, ExtendedBlocks, RECEIVER, VoipMetrics};
pub use reception::{Reception, Sequenced};
pub use write::Writer;

/// Report blocks that a packet can carry (five bits).
pub const BLOCKS_MAX: usize = 31;
const BLOCK_LEN: usize = 24;

/// Packet types (RFC 3550, 12.1).
const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
/// RFC 3611, 2.
const XR: u8 = 207;
/// SDES item: canonical name.
const CNAME: u8 = 1;

/// A time in NTP format: seconds in the upper half, 2^-32 s in the lower. Ours count from the leg's start,
/// as RFC 3550, 6.4.1 allows for a sender without a wall clock.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Ntp(pub u64);

impl Ntp {
    /// From a time since the leg's start. One second is added, so that no report ever carries the zero
    /// that means "none".
    pub fn from_elapsed(elapsed: std::time::Duration) -> Self {
        let seconds = elapsed.as_secs().wrapping_add(1) & 0xFFFF_FFFF;
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        Ntp(seconds << 32 | fraction)
    }

    /// The middle 32 bits, in 1/65536 s: what LSR and DLSR are made of.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// One report block (RFC 3550, 6.4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// Whose packets this is about.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start, 24 bits, signed.
    pub packets_lost: i32,
    /// Highest sequence number with its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
    /// Middle of the NTP time of the last sender report received, 0 if none.
    pub last_sr: u32,
    /// Since then, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn read(b: &[u8; BLOCK_LEN]) -> Self {
        let word = |i: usize| word_at(b, i);
        ReportBlock {
            ssrc: word(0),
            fraction_lost: b[4],
            // Sign-extended from 24 bits.
            packets_lost: ((word(4) << 8) as i32) >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    /// The round trip as the sender of the reported stream sees it, with the time `now` at which the
    /// block came: RFC 3550, 6.4.1, A - LSR - DLSR. `None` without a report to count from, or if the
    /// numbers make no sense (negative, or above a minute).
    pub fn round_trip(&self, now: Ntp) -> Option<std::time::Duration> {
        round_trip(now, self.last_sr, self.delay_since_last_sr)
    }
}

/// What has gone by since `last` (0: never) less the other side's `delay`, in 1/65536 s.
fn round_trip(now: Ntp, last: u32, delay: u32) -> Option<std::time::Duration> {
    let units = now.middle().wrapping_sub(last).wrapping_sub(delay);
    let nanos = u64::from(units) * 1_000_000_000 / 65_536;
    (last != 0 && units < 60 << 16).then(|| std::time::Duration::from_nanos(nanos))
}

/// What a sender says about its stream (RFC 3550, 6.4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// When the report was sent, on the sender's clock.
    pub ntp: Ntp,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// One packet of a compound.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// SR: who, what it sent, what it received.
    SenderReport { ssrc: u32, info: SenderInfo, blocks: Blocks<'a> },
    /// RR: who, what it received.
    ReceiverReport { ssrc: u32, blocks: Blocks<'a> },
    /// SDES: the first chunk's source and its canonical name.
    Description { ssrc: u32, cname: Option<&'a [u8]> },
    /// BYE: who leaves.
    Goodbye { ssrcs: Sources<'a> },
    /// XR: who, and more about what it received.
    Extended { ssrc: u32, blocks: ExtendedBlocks<'a> },
    /// Something else: its packet type.
    Other(u8),
}

/// Report blocks, read as they are asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Blocks<'a>(&'a [[u8; BLOCK_LEN]]);

impl Blocks<'_> {
    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + '_ {
        self.0.iter().map(ReportBlock::read)
    }
}

/// SSRCs of a BYE.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sources<'a>(&'a [[u8; 4]]);

impl Sources<'_> {
    /// The sources in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|s| u32::from_be_bytes(*s))
    }
}

/// Why a datagram is not RTCP. Drop it and count it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtcpError {
    /// No header, another version, or padding before the last packet.
    #[error("not an RTCP header")]
    Header,
    /// A length, a count or padding that reaches beyond the end.
    #[error("the header says more than the datagram holds")]
    Truncated,
}

/// A compound packet, checked as a whole (RFC 3550, A.2), so that walking it cannot fail.
#[derive(Copy, Clone, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks every packet of the datagram. Reduced-size packets (RFC 5506) pass: the first need not be
    /// a report.
    pub fn parse(datagram: &'a [u8]) -> Result<Compound<'a>, RtcpError> {
        if datagram.is_empty() {
            return Err(RtcpError::Header);
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            rest = split(rest)?.1;
        }
        Ok(Compound { bytes: datagram })
    }

    /// The packets in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (packet, after) = split(rest).ok()?;
            rest = after;
            Some(packet)
        })
    }
}

/// The first packet of `bytes` and what follows it.
fn split(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), RtcpError> {
    let (head, body) = bytes.split_first_chunk::<4>().ok_or(RtcpError::Header)?;
    if head[0] >> 6 != 2 {
        return Err(RtcpError::Header);
    }
    let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (mut body, rest) = body.split_at_checked(words * 4).ok_or(RtcpError::Truncated)?;
    if head[0] & 0x20 != 0 {
        if !rest.is_empty() {
            return Err(RtcpError::Header);
        }
        let padding = usize::from(*body.last().ok_or(RtcpError::Truncated)?);
        let end = body.len().checked_sub(padding).filter(|_| padding > 0 && padding % 4 == 0);
        body = end.and_then(|end| body.get(..end)).ok_or(RtcpError::Truncated)?;
    }
    let count = usize::from(head[0] & 0x1F);
    Ok((read(head[1], count, body).ok_or(RtcpError::Truncated)?, rest))
}

fn read(packet_type: u8, count: usize, body: &[u8]) -> Option<Packet<'_>> {
    match packet_type {
        SR => {
            let (ssrc, body) = split_word(body)?;
            let (info, body) = body.split_first_chunk::<20>()?;
            let word = |i: usize| word_at(info, i);
            let ntp = Ntp(u64::from(word(0)) << 32 | u64::from(word(4)));
            let info = SenderInfo { ntp, rtp_timestamp: word(8), packets: word(12), octets: word(16) };
            Some(Packet::SenderReport { ssrc, info, blocks: blocks(body, count)? })
        }
        RR => {
            let (ssrc, body) = split_word(body)?;
            Some(Packet::ReceiverReport { ssrc, blocks: blocks(body, count)? })
        }
        SDES if count > 0 => {
            let (ssrc, items) = split_word(body)?;
            Some(Packet::Description { ssrc, cname: cname(items)? })
        }
        BYE => Some(Packet::Goodbye { ssrcs: Sources(body.as_chunks().0.get(..count)?) }),
        XR => {
            let (ssrc, body) = split_word(body)?;
            Some(Packet::Extended { ssrc, blocks: ExtendedBlocks(body) })
        }
        other => Some(Packet::Other(other)),
    }
}

/// The word at `at`; whoever calls knows that it lies within.
fn word_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn split_word(body: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = body.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*word), rest))
}

fn blocks(body: &[u8], count: usize) -> Option<Blocks<'_>> {
    Some(Blocks(body.as_chunks().0.get(..count)?))
}

/// The CNAME among the items of a chunk; `None` outside if an item reaches beyond the end.
fn cname(mut items: &[u8]) -> Option<Option<&[u8]>> {
    loop {
        let (kind, len, rest) = match items {
            [] | [0, ..] => return Some(None),
            [_] => return None,
            [kind, len, rest @ ..] => (*kind, usize::from(*len), rest),
        };
        let (text, rest) = rest.split_at_checked(len)?;
        if kind == CNAME {
            return Some(Some(text));
        }
        items = rest;
    }
}

#[cfg(test)]
mod tests;
