//! SRTP and SRTCP (RFC 3711, RFC 7714) in place: the sending and the receiving half of a session. Nothing is
//! allocated for a packet, and nothing is remembered of one that does not prove to be genuine.
use super::Refusal;
use super::replay::Window;
use super::session::{Parts, Session, Stream};
use super::suite::Keys;

/// Sources that are remembered at a time. A call has one; a peer that changes its SSRC, or a mixer, a few.
const SOURCES_MAX: usize = 8;
/// The packet index has 48 bits, the one of RTCP 31; beyond, the key is used up (RFC 3711, 9.2).
const RTP_INDEX_END: u64 = 1 << 48;
const RTCP_INDEX_END: u32 = 1 << 31;
/// E bit and index behind an RTCP packet.
const WORD_LEN: usize = 4;
/// What is never encrypted of RTCP: the first header and the sender.
const RTCP_HEADER_LEN: usize = 8;

/// Encrypts what one source of ours sends.
pub(super) struct Sealer {
    rtp: Session,
    rtcp: Session,
    ssrc: u32,
    highest: Option<u64>,
    rtcp_index: u32,
}

impl Sealer {
    /// A new context: the rollover counter starts at zero, and so does the index of RTCP.
    pub fn new(keys: &Keys, ssrc: u32) -> Sealer {
        let rtp = Session::new(keys, Stream::Rtp);
        Sealer { rtp, rtcp: Session::new(keys, Stream::Rtcp), ssrc, highest: None, rtcp_index: 0 }
    }

    /// Encrypts the RTP packet of `len` bytes and appends its tag; the new length. `None` if there is no
    /// room, or if it is not the next packet of our source: a sequence number used twice under one key
    /// would give both payloads away.
    pub fn rtp(&mut self, datagram: &mut [u8], len: usize) -> Option<usize> {
        let head = Head::read(datagram.get(..len)?)?;
        let index = match self.highest {
            None => u64::from(head.sequence),
            Some(highest) => nearest(highest, head.sequence),
        };
        let next = head.ssrc == self.ssrc && self.highest.is_none_or(|highest| index > highest);
        if !next || index >= RTP_INDEX_END {
            return None;
        }
        let end = len + self.rtp.tag_len();
        let (packet, tag) = datagram.get_mut(..end)?.split_at_mut(len);
        let (header, body) = packet.split_at_mut(head.len);
        let made = self.rtp.seal(Parts { ssrc: head.ssrc, index, header, body, word: rollover(index) })?;
        tag.iter_mut().zip(made).for_each(|(to, from)| *to = from);
        self.highest = Some(index);
        Some(end)
    }

    /// Encrypts the compound RTCP packet of `len` bytes; the new length. `None` if there is no room, or the
    /// sender named is not our source.
    pub fn rtcp(&mut self, datagram: &mut [u8], len: usize) -> Option<usize> {
        let tag_len = self.rtcp.tag_len();
        let end = len + tag_len + WORD_LEN;
        let (packet, trailer) = datagram.get_mut(..end)?.split_at_mut(len);
        let (header, body) = packet.split_at_mut_checked(RTCP_HEADER_LEN)?;
        if rtcp_sender(header)? != self.ssrc || self.rtcp_index >= RTCP_INDEX_END {
            return None;
        }
        let word = (self.rtcp_index | RTCP_INDEX_END).to_be_bytes();
        let index = u64::from(self.rtcp_index);
        let made = self.rtcp.seal(Parts { ssrc: self.ssrc, index, header, body, word })?;
        // RFC 3711, 3.4: the index comes before the tag; RFC 7714, 9.2: behind it.
        let galois = tag_len == super::session::TAG_MAX;
        let (word_at, tag_at) = if galois { (tag_len, 0) } else { (0, WORD_LEN) };
        trailer.get_mut(tag_at..tag_at + tag_len)?.copy_from_slice(made.get(..tag_len)?);
        trailer.get_mut(word_at..word_at + WORD_LEN)?.copy_from_slice(&word);
        self.rtcp_index += 1;
        Some(end)
    }
}

/// Decrypts what the other side sends, whichever sources it has.
pub(super) struct Opener {
    rtp: Session,
    rtcp: Session,
    /// Most recently heard first.
    sources: Vec<Source>,
    /// Where sources were under the keys before these.
    carried: Vec<(u32, u64)>,
}

#[derive(Copy, Clone)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
}

impl Opener {
    /// `former` is what the keys before these knew: RFC 3711, 3.3.1 has the rollover counter survive new
    /// keys, but peers that set up their library anew start from zero. Either is understood.
    pub fn new(keys: &Keys, former: Option<&Opener>) -> Opener {
        let known = former.into_iter().flat_map(|f| &f.sources);
        let carried = known.filter(|s| !s.rtp.is_empty()).map(|s| (s.ssrc, s.rtp.highest())).collect();
        Opener {
            rtp: Session::new(keys, Stream::Rtp),
            rtcp: Session::new(keys, Stream::Rtcp),
            sources: Vec::with_capacity(SOURCES_MAX),
            carried,
        }
    }

    /// Decrypts an RTP packet; its length without the tag. A packet refused is left as it came.
    pub fn rtp(&mut self, datagram: &mut [u8]) -> Result<usize, Refusal> {
        let end = datagram.len().checked_sub(self.rtp.tag_len()).ok_or(Refusal::Junk)?;
        let (packet, tag) = datagram.split_at_mut_checked(end).ok_or(Refusal::Junk)?;
        let head = Head::read(packet).ok_or(Refusal::Junk)?;
        let (header, body) = packet.split_at_mut_checked(head.len).ok_or(Refusal::Junk)?;
        let window = self.window(head.ssrc).map(|source| source.rtp).unwrap_or_default();
        let candidates = if window.is_empty() {
            // Of a source not heard yet, the first packets may be lost just when it rolled over.
            let carried = self.carried.iter().find(|(ssrc, _)| *ssrc == head.ssrc);
            let start = u64::from(head.sequence);
            [carried.map(|(_, highest)| nearest(*highest, head.sequence)), Some(start), Some(start + 0x1_0000)]
        } else {
            [Some(nearest(window.highest(), head.sequence)), None, None]
        };
        for index in candidates.into_iter().flatten() {
            if !window.is_new(index) {
                return Err(Refusal::Replayed);
            }
            let parts = Parts { ssrc: head.ssrc, index, header, body: &mut *body, word: rollover(index) };
            if index < RTP_INDEX_END && self.rtp.open(parts, tag) {
                self.source(head.ssrc).rtp.add(index);
                return Ok(end);
            }
        }
        Err(Refusal::Unauthenticated)
    }

    /// Decrypts a compound RTCP packet; its length without what SRTCP added. A packet refused is left as it
    /// came.
    pub fn rtcp(&mut self, datagram: &mut [u8]) -> Result<usize, Refusal> {
        let tag_len = self.rtcp.tag_len();
        let end = datagram.len().checked_sub(tag_len + WORD_LEN).ok_or(Refusal::Junk)?;
        let (packet, trailer) = datagram.split_at_mut_checked(end).ok_or(Refusal::Junk)?;
        let (tag, word) = if tag_len == super::session::TAG_MAX {
            trailer.split_at_checked(tag_len).ok_or(Refusal::Junk)?
        } else {
            let (word, tag) = trailer.split_at_checked(WORD_LEN).ok_or(Refusal::Junk)?;
            (tag, word)
        };
        let word = *word.first_chunk::<WORD_LEN>().ok_or(Refusal::Junk)?;
        let (header, body) = packet.split_at_mut_checked(RTCP_HEADER_LEN).ok_or(Refusal::Junk)?;
        let ssrc = rtcp_sender(header).ok_or(Refusal::Junk)?;
        let flagged = u32::from_be_bytes(word);
        // Without the E bit it is not encrypted, which takes UNENCRYPTED_SRTCP (RFC 4568, 6.3.2); never agreed.
        if flagged & RTCP_INDEX_END == 0 {
            return Err(Refusal::NotSecured);
        }
        let index = u64::from(flagged & !RTCP_INDEX_END);
        if self.window(ssrc).is_some_and(|source| !source.rtcp.is_new(index)) {
            return Err(Refusal::Replayed);
        }
        if !self.rtcp.open(Parts { ssrc, index, header, body, word }, tag) {
            return Err(Refusal::Unauthenticated);
        }
        self.source(ssrc).rtcp.add(index);
        Ok(end)
    }

    fn window(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc)
    }

    /// The source, brought to the front; it may be new, for a packet of it was genuine. The one heard least
    /// recently then makes room: only a peer with the keys gets that far.
    fn source(&mut self, ssrc: u32) -> &mut Source {
        let at = self.sources.iter().position(|source| source.ssrc == ssrc).unwrap_or_else(|| {
            self.sources.truncate(SOURCES_MAX - 1);
            self.sources.push(Source { ssrc, rtp: Window::default(), rtcp: Window::default() });
            self.sources.len() - 1
        });
        self.sources[..=at].rotate_right(1);
        &mut self.sources[0]
    }
}

/// What SRTP has to know of an RTP header.
struct Head {
    ssrc: u32,
    sequence: u16,
    /// With contributing sources and extension, which stay readable.
    len: usize,
}

impl Head {
    fn read(packet: &[u8]) -> Option<Head> {
        let fixed = packet.first_chunk::<12>()?;
        let mut len = 12 + usize::from(fixed[0] & 0x0F) * 4;
        if fixed[0] & 0x10 != 0 {
            let extension = packet.get(len..)?.first_chunk::<4>()?;
            len += 4 + usize::from(u16::from_be_bytes([extension[2], extension[3]])) * 4;
        }
        let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
        (len <= packet.len()).then_some(Head { ssrc, sequence, len })
    }
}

/// RFC 3711, 3.3.1: the index with this sequence number that is nearest to the highest so far. Nothing lies
/// before the start.
fn nearest(highest: u64, sequence: u16) -> u64 {
    let step = sequence.wrapping_sub(highest as u16) as i16;
    highest.checked_add_signed(i64::from(step)).unwrap_or(u64::from(sequence))
}

fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn rtcp_sender(header: &[u8]) -> Option<u32> {
    header.get(4..)?.first_chunk().map(|ssrc| u32::from_be_bytes(*ssrc))
}
