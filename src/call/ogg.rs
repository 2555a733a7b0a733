//! Ogg pages around Opus packets (RFC 3533, RFC 7845), enough to write one mono stream. It encodes nothing, and wipes
//! what it wrote.

use zeroize::Zeroizing;

/// Segments of a page.
const SEGMENTS_MAX: usize = 255;
/// The library's delay at 16 kHz, in units of 48 kHz: players leave so much out at the beginning.
const PRE_SKIP: u16 = 312;
/// Units of 48 kHz in 20 ms.
const PACKET: u64 = 960;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// One stream being written.
pub struct Stream {
    serial: u32,
    pages: u32,
    granule: u64,
}

impl Stream {
    pub fn new(serial: u32) -> Self {
        Self { serial, pages: 0, granule: PRE_SKIP.into() }
    }

    /// These packets of 20 ms as pages; before the first ones stand the headers.
    pub fn pages(&mut self, packets: &[Zeroizing<Vec<u8>>], last: bool) -> Zeroizing<Vec<u8>> {
        let body: usize = packets.iter().map(|packet| packet.len() + 2).sum();
        // Room for all of it: what grows leaves copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(body + 64 * (packets.len() / 64 + 8)));
        if self.pages == 0 {
            self.page(&mut out, &[head().as_slice()], FIRST, 0);
            self.page(&mut out, &[tags().as_slice()], 0, 0);
        }
        let mut rest = packets;
        while !rest.is_empty() {
            let mut segments = 0;
            let fits = |packet: &&Zeroizing<Vec<u8>>| {
                segments += packet.len() / 255 + 1;
                segments <= SEGMENTS_MAX
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (these, others) = rest.split_at(count);
            rest = others;
            self.granule += PACKET * these.len() as u64;
            let these: Vec<&[u8]> = these.iter().map(|packet| packet.as_slice()).collect();
            let flags = if last && rest.is_empty() { LAST } else { 0 };
            self.page(&mut out, &these, flags, self.granule);
        }
        out
    }

    fn page(&mut self, out: &mut Vec<u8>, packets: &[&[u8]], flags: u8, granule: u64) {
        let start = out.len();
        out.extend_from_slice(b"OggS\0");
        out.push(flags);
        out.extend_from_slice(&granule.to_le_bytes());
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let segments: Vec<u8> = packets.iter().flat_map(|packet| lacing(packet.len())).collect();
        out.push(u8::try_from(segments.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&segments);
        packets.iter().for_each(|packet| out.extend_from_slice(packet));
        let sum = out.get(start..).map_or(0, checksum).to_le_bytes();
        if let Some(place) = out.get_mut(start + 22..start + 26) {
            place.copy_from_slice(&sum);
        }
        self.pages += 1;
    }
}

/// A packet's length in segments (RFC 3533, 5).
fn lacing(len: usize) -> impl Iterator<Item = u8> {
    let rest = u8::try_from(len % 255).unwrap_or_default();
    std::iter::repeat_n(255, len / 255).chain([rest])
}

/// RFC 7845, 5.1: version 1, one channel, 16 kHz in.
fn head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend_from_slice(&PRE_SKIP.to_le_bytes());
    head.extend_from_slice(&16_000_u32.to_le_bytes());
    head.extend_from_slice(&[0; 3]);
    head
}

/// RFC 7845, 5.2: who wrote it, and no comment.
fn tags() -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&5_u32.to_le_bytes());
    tags.extend_from_slice(b"dauys");
    tags.extend_from_slice(&0_u32.to_le_bytes());
    tags
}

/// RFC 3533, 6: CRC-32 by 0x04c11db7, not reflected, from 0.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum: u32, _| {
            (sum << 1) ^ if sum & 0x8000_0000 == 0 { 0 } else { 0x04c1_1db7 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages' flags, granule positions and packets; whatever is wrong with them fails.
    fn read(mut bytes: &[u8]) -> Vec<(u8, u64, Vec<usize>)> {
        let mut pages = vec![];
        while !bytes.is_empty() {
            assert_eq!(&bytes[..5], b"OggS\0");
            let segments = usize::from(bytes[26]);
            let table = &bytes[27..27 + segments];
            let len = 27 + segments + table.iter().map(|s| usize::from(*s)).sum::<usize>();
            let mut page = bytes[..len].to_vec();
            let sum = u32::from_le_bytes(page[22..26].try_into().unwrap());
            page[22..26].fill(0);
            assert_eq!(sum, checksum(&page));
            assert_eq!(u32::from_le_bytes(page[18..22].try_into().unwrap()) as usize, pages.len());
            let mut packets = vec![0];
            for (i, segment) in table.iter().enumerate() {
                *packets.last_mut().unwrap() += usize::from(*segment);
                if *segment < 255 && i + 1 < segments {
                    packets.push(0);
                }
            }
            pages.push((page[5], u64::from_le_bytes(page[6..14].try_into().unwrap()), packets));
            bytes = &bytes[len..];
        }
        pages
    }

    #[test]
    fn a_stream_in_stretches_is_one_stream() {
        let packet = |len: usize| Zeroizing::new(vec![7; len]);
        let mut stream = Stream::new(9);
        let mut bytes = stream.pages(&[packet(60), packet(255), packet(400)], false).to_vec();
        bytes.extend_from_slice(&stream.pages(&[packet(1)], true));
        let pages = read(&bytes);
        assert_eq!(pages[0], (FIRST, 0, vec![19]));
        assert_eq!(pages[1], (0, 0, vec![21]));
        assert_eq!(pages[2], (0, 312 + 3 * 960, vec![60, 255, 400]));
        assert_eq!(pages[3], (LAST, 312 + 4 * 960, vec![1]));
        // More segments than a page has.
        let many: Vec<_> = (0..300).map(|_| packet(80)).collect();
        let pages = read(&Stream::new(1).pages(&many, false));
        assert_eq!(pages[2..].iter().map(|page| page.2.len()).collect::<Vec<_>>(), [255, 45]);
    }

    #[test]
    fn the_sum_is_the_one_of_ogg() {
        // "OggS" by the polynomial of RFC 3533, as other writers have it.
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(&[1]), 0x04c1_1db7);
        assert_eq!(checksum(&[0, 1]), 0x04c1_1db7);
    }
}
