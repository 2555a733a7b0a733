//! Writing a compound RTCP packet into the caller's buffer. It writes what it is told, in the order it is
//! told; a packet that does not fit is left out whole.

use super::extended::{DELAYS_MAX, DLRR, Delay, REFERENCE_TIME, VOIP, VoipMetrics};
use super::{BLOCKS_MAX, BYE, CNAME, Ntp, RR, ReportBlock, SDES, SR, SenderInfo, XR};

/// Appends packets to a buffer. Every method says whether its packet fitted.
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the beginning of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Writer { out, len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A sender report (RFC 3550, 6.4.1) with at most 31 blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock]) -> bool {
        self.packet(SR, blocks.len().min(BLOCKS_MAX), |put| {
            put.word(ssrc)?;
            put.word((info.ntp.0 >> 32) as u32)?;
            put.word(info.ntp.0 as u32)?;
            put.word(info.rtp_timestamp)?;
            put.word(info.packets)?;
            put.word(info.octets)?;
            put.blocks(blocks)
        })
    }

    /// A receiver report (RFC 3550, 6.4.2) with at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> bool {
        self.packet(RR, blocks.len().min(BLOCKS_MAX), |put| {
            put.word(ssrc)?;
            put.blocks(blocks)
        })
    }

    /// A description with one chunk and one item, the canonical name (at most 255 bytes of it).
    pub fn cname(&mut self, ssrc: u32, name: &str) -> bool {
        let name = name.as_bytes();
        let name = name.get(..255).unwrap_or(name);
        self.packet(SDES, 1, |put| {
            put.word(ssrc)?;
            put.bytes(&[CNAME, name.len() as u8])?;
            put.bytes(name)?;
            // A chunk ends with at least one zero, on a word boundary (RFC 3550, 6.5).
            let zeros = 4 - (2 + name.len()) % 4;
            put.bytes(&[0; 4][..zeros])
        })
    }

    /// One source leaves (RFC 3550, 6.6).
    pub fn goodbye(&mut self, ssrc: u32) -> bool {
        self.packet(BYE, 1, |put| put.word(ssrc))
    }

    /// An extended report (RFC 3611) of what there is: our reference time, at most 31 echoes of others', and
    /// how a stream sounds here.
    pub fn extended(
        &mut self,
        ssrc: u32,
        reference: Option<Ntp>,
        delays: &[Delay],
        voip: Option<&VoipMetrics>,
    ) -> bool {
        let delays = delays.get(..DELAYS_MAX).unwrap_or(delays);
        self.packet(XR, 0, |put| {
            put.word(ssrc)?;
            if let Some(Ntp(ntp)) = reference {
                put.word(u32::from(REFERENCE_TIME) << 24 | 2)?;
                put.bytes(&ntp.to_be_bytes())?;
            }
            if !delays.is_empty() {
                let words = 3 * delays.len() as u32;
                put.word(u32::from(DLRR) << 24 | words)?;
            }
            for delay in delays {
                put.word(delay.ssrc)?;
                put.word(delay.last_rr)?;
                put.word(delay.delay_since_last_rr)?;
            }
            if let Some(voip) = voip {
                put.word(u32::from(VOIP) << 24 | 8)?;
                put.bytes(&voip.bytes())?;
            }
            Some(())
        })
    }

    fn packet(&mut self, kind: u8, count: usize, body: impl FnOnce(&mut Put<'_>) -> Option<()>) -> bool {
        let Some(room) = self.out.get_mut(self.len..) else { return false };
        let mut put = Put { out: room, len: 4 };
        if body(&mut put).is_none() {
            return false;
        }
        let len = put.len;
        let words = (len / 4 - 1) as u16;
        let Some(head) = room.first_chunk_mut::<4>() else { return false };
        head[0] = 2 << 6 | count as u8;
        head[1] = kind;
        head[2..].copy_from_slice(&words.to_be_bytes());
        self.len += len;
        true
    }
}

struct Put<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Put<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    fn blocks(&mut self, blocks: &[ReportBlock]) -> Option<()> {
        for b in blocks.iter().take(BLOCKS_MAX) {
            let lost = b.packets_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
            self.word(b.ssrc)?;
            self.word(u32::from(b.fraction_lost) << 24 | lost)?;
            self.word(b.highest_sequence)?;
            self.word(b.jitter)?;
            self.word(b.last_sr)?;
            self.word(b.delay_since_last_sr)?;
        }
        Some(())
    }
}
