//! RTP packets (RFC 3550, 5.1), read in place and written into the caller's buffer. It keeps nothing:
//! sequence and timing belong to `rtcp` and `jitter`.

/// Length of a header without CSRCs or extension.
pub const HEADER_LEN: usize = 12;

/// Why a datagram is not an RTP packet. Drop it and count it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtpError {
    /// Not even a header.
    #[error("shorter than an RTP header")]
    Short,
    /// Another protocol, or a version we do not speak.
    #[error("not RTP version 2")]
    Version,
    /// CSRC list, extension or padding reach beyond the end.
    #[error("the header says more than the datagram holds")]
    Truncated,
}

/// The fixed header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Start of a talk spurt or of an event.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

impl Header {
    /// Writes the twelve bytes; `None` if `out` is shorter.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let out = out.first_chunk_mut::<HEADER_LEN>()?;
        out[0] = 2 << 6;
        out[1] = u8::from(self.marker) << 7 | (self.payload_type & 0x7F);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        Some(HEADER_LEN)
    }
}

/// A packet as it lies in its datagram.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    csrcs: &'a [[u8; 4]],
    /// The header extension: its profile word and its data.
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet in place.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, RtpError> {
        let (fixed, rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(RtpError::Short)?;
        if fixed[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let header = Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        let csrc_len = usize::from(fixed[0] & 0x0F) * 4;
        let (csrcs, rest) = rest.split_at_checked(csrc_len).ok_or(RtpError::Truncated)?;
        let (csrcs, _) = csrcs.as_chunks::<4>();
        let (extension, rest) = if fixed[0] & 0x10 != 0 { split_extension(rest)? } else { (None, rest) };
        let payload = if fixed[0] & 0x20 != 0 { without_padding(rest)? } else { rest };
        Ok(Packet { header, csrcs, extension, payload })
    }

    /// The contributing sources, at most 15.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> + 'a {
        self.csrcs.iter().map(|c| u32::from_be_bytes(*c))
    }
}

type Extension<'a> = Option<(u16, &'a [u8])>;

fn split_extension(rest: &[u8]) -> Result<(Extension<'_>, &[u8]), RtpError> {
    let (head, rest) = rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
    let words = u16::from_be_bytes([head[2], head[3]]);
    let (data, rest) = rest.split_at_checked(usize::from(words) * 4).ok_or(RtpError::Truncated)?;
    Ok((Some((u16::from_be_bytes([head[0], head[1]]), data)), rest))
}

fn without_padding(rest: &[u8]) -> Result<&[u8], RtpError> {
    // The last byte counts the padding, itself included, so 0 is as wrong as too many.
    let padding = usize::from(*rest.last().ok_or(RtpError::Truncated)?);
    let end = rest.len().checked_sub(padding).filter(|_| padding > 0);
    end.and_then(|end| rest.get(..end)).ok_or(RtpError::Truncated)
}

/// Whether a datagram is RTCP rather than RTP (RFC 5761, 4): the second byte is an RTCP packet type.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
    }

    /// Parses `hex` and describes what came out.
    fn check(hex: &str, expected: &str) {
        let datagram = bytes(hex);
        let found = match Packet::parse(&datagram) {
            Err(error) => format!("{error:?}"),
            Ok(p) => {
                let h = p.header;
                let csrcs: Vec<u32> = p.csrcs().collect();
                let ext = p.extension.map(|(profile, data)| (profile, data.len()));
                let m = if h.marker { "m" } else { "" };
                format!(
                    "pt{}{m} seq{} ts{} ssrc{:x} {csrcs:?} {ext:?} {:?}",
                    h.payload_type, h.sequence, h.timestamp, h.ssrc, p.payload
                )
            }
        };
        assert_eq!(found, expected, "{hex}");
    }

    #[test]
    fn packets_are_read_in_place() {
        check("8000 0001 000000a0 deadbeef d5d5", "pt0 seq1 ts160 ssrcdeadbeef [] None [213, 213]");
        check("8088 ffff ffffffff 00000000", "pt8m seq65535 ts4294967295 ssrc0 [] None []");
        check("8265 0001 00000000 00000001 0000000a 0000000b 07", "pt101 seq1 ts0 ssrc1 [10, 11] None [7]");
        check("9000 0001 00000000 00000001 bede0001 10aabbcc 07", "pt0 seq1 ts0 ssrc1 [] Some((48862, 4)) [7]");
        check("a000 0001 00000000 00000001 0708 000003", "pt0 seq1 ts0 ssrc1 [] None [7, 8]");
        check("a000 0001 00000000 00000001 01", "pt0 seq1 ts0 ssrc1 [] None []");
    }

    #[test]
    fn what_is_not_a_packet_says_so() {
        check("", "Short");
        check("8000 0001 000000a0 deadbe", "Short");
        check("4000 0001 000000a0 deadbeef", "Version");
        check("8f00 0001 000000a0 deadbeef 00000000", "Truncated");
        check("9000 0001 00000000 00000001 bede", "Truncated");
        check("9000 0001 00000000 00000001 bedeffff 00", "Truncated");
        check("a000 0001 00000000 00000001", "Truncated");
        check("a000 0001 00000000 00000001 0700", "Truncated");
        check("a000 0001 00000000 00000001 0709", "Truncated");
    }

    #[test]
    fn headers_survive_a_round_trip() {
        let header =
            Header { marker: true, payload_type: 101, sequence: 65_535, timestamp: 0xFEDC_BA98, ssrc: 0x1234_5678 };
        let mut out = [0; 16];
        assert_eq!(header.write(&mut out), Some(12));
        assert_eq!(Packet::parse(&out).unwrap().header, header);
        assert_eq!(header.write(&mut out[..11]), None);
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0x81, 201]) && is_rtcp(&[0x81, 207]));
        // PCMU with a marker is 128, telephone-event with one 229; 72..=76 are never used for RTP.
        assert!(!is_rtcp(&[0x80, 128]) && !is_rtcp(&[0x80, 229]) && !is_rtcp(&[0x80, 0]));
        assert!(!is_rtcp(&[0x40, 200]) && !is_rtcp(&[0x80]) && !is_rtcp(&[]));
    }
}
