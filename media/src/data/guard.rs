//! What an SCTP packet may contain before the association sees it. The association keeps its window in bytes, and
//! takes any number of streams, gaps, resets and skips from whom it trusts; a page is not to be trusted with memory. It
//! reads headers only, and changes nothing in a packet.
//!
//! It must see the same chunks as the association: where that goes by what a chunk contains, contents and length
//! have to agree.

/// Streams that the other side may use, told to it in our INIT ACK. Browsers count them up by two.
pub(super) const STREAMS_MAX: u16 = 64;
/// How far beyond what we acknowledged a chunk may be: four times the messages that may wait.
const WINDOW: u32 = 128;
/// Chunks in the association's hands that no message was made of. Who leaves more unfinished means harm.
const HELD_MAX: u32 = 256;
/// Resets of streams in the life of an association, retransmissions and answers included.
const RESETS_MAX: u16 = 256;
/// INITs before the association stands: what they bring with them is kept.
const INITS_MAX: u8 = 16;

/// Longest packet, in bytes: no network brings a longer datagram.
const PACKET_LEN_MAX: usize = 1_500;
/// The header of a packet, and of a chunk.
const PACKET_HEADER_LEN: usize = 12;
const CHUNK_HEADER_LEN: usize = 4;

/// RFC 9260, 3.2; RFC 6525, 3.1.
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
const RE_CONFIG: u8 = 130;
/// RFC 3758 and RFC 8260: for channels that give up messages.
const FORWARD_TSN: u8 = 192;
const I_FORWARD_TSN: u8 = 194;

/// What to do with a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Hand it to the association.
    Pass,
    /// As if it had been lost: if it was meant well, it comes again.
    Drop,
    /// The association is over.
    End,
}

#[derive(Default)]
pub(super) struct Guard {
    /// We begin the association.
    opens: bool,
    connected: bool,
    inits: u8,
    resets: u16,
    /// The other side's first number.
    first: u32,
    /// Of the other side's chunks: the last of those that came without a gap, as we told it, and the highest.
    acknowledged: u32,
    highest: u32,
    /// Chunks that messages were made of.
    delivered: u32,
}

impl Guard {
    /// For an association that we begin.
    pub fn opening() -> Guard {
        Guard { opens: true, ..Guard::default() }
    }

    pub fn admit(&mut self, packet: &[u8]) -> Verdict {
        if packet.len() > PACKET_LEN_MAX {
            return Verdict::Drop;
        }
        let mut chunks = Chunks::of(packet);
        let mut count = 0;
        while let Some(chunk) = chunks.next() {
            count += 1;
            match self.chunk(&chunk) {
                Verdict::Pass => {}
                verdict => return verdict,
            }
            // RFC 9260, 6.10: nothing travels with an INIT.
            if matches!(chunk.kind, INIT | INIT_ACK) && (count > 1 || !chunks.rest.is_empty()) {
                return Verdict::Drop;
            }
        }
        if count > 0 && chunks.rest.is_empty() { Verdict::Pass } else { Verdict::Drop }
    }

    /// The association stands.
    pub fn connected(&mut self) {
        self.connected = true;
    }

    /// A message of so many chunks was taken out.
    pub fn delivered(&mut self, chunks: usize) {
        self.delivered = self.delivered.wrapping_add(chunks as u32);
    }

    /// What we send tells what we have.
    pub fn sent(&mut self, packet: &[u8]) {
        for chunk in Chunks::of(packet) {
            if let (SACK, Some(acknowledged)) = (chunk.kind, chunk.word(0)) {
                self.acknowledged = acknowledged;
            }
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> Verdict {
        let len = chunk.body.len();
        let is_right = match chunk.kind {
            DATA => return self.data(chunk),
            INIT if !self.opens => return self.init(chunk),
            INIT_ACK if self.opens => return self.init(chunk),
            RE_CONFIG => return self.reset(chunk),
            ABORT | FORWARD_TSN | I_FORWARD_TSN => return Verdict::End,
            SACK => {
                let words =
                    chunk.half(8).zip(chunk.half(10)).map(|(gaps, twice)| usize::from(gaps) + usize::from(twice));
                words.is_some_and(|words| len == 12 + 4 * words)
            }
            HEARTBEAT => chunk.half(2).is_some_and(|info| padded(usize::from(info)) == padded(len)),
            SHUTDOWN => len == 4,
            SHUTDOWN_ACK | COOKIE_ACK | SHUTDOWN_COMPLETE => len == 0,
            COOKIE_ECHO => true,
            // An ERROR, which would end the association, and what the association does not know.
            _ => false,
        };
        if is_right { Verdict::Pass } else { Verdict::Drop }
    }

    fn data(&mut self, chunk: &Chunk<'_>) -> Verdict {
        let (Some(number), Some(stream)) = (chunk.word(0), chunk.half(4)) else { return Verdict::Drop };
        // RFC 9260, 3.3.1: there is no chunk without data.
        if chunk.body.len() <= 12 || stream >= STREAMS_MAX || is_after(number, self.acknowledged.wrapping_add(WINDOW)) {
            return Verdict::Drop;
        }
        if is_after(number, self.highest) {
            self.highest = number;
        }
        let came = self.highest.wrapping_sub(self.first).wrapping_add(1);
        if came.wrapping_sub(self.delivered) as i32 > HELD_MAX as i32 { Verdict::End } else { Verdict::Pass }
    }

    /// One that comes late must not be seen by an association that stands: it would end.
    fn init(&mut self, chunk: &Chunk<'_>) -> Verdict {
        let Some(first) = chunk.word(12).filter(|_| !self.connected && self.inits < INITS_MAX) else {
            return Verdict::Drop;
        };
        self.inits += 1;
        (self.first, self.acknowledged, self.highest) = (first, first.wrapping_sub(1), first.wrapping_sub(1));
        Verdict::Pass
    }

    fn reset(&mut self, chunk: &Chunk<'_>) -> Verdict {
        self.resets = self.resets.saturating_add(1);
        if self.resets > RESETS_MAX {
            return Verdict::End;
        }
        // RFC 6525, 4.1 and 4.4: a request to reset outgoing streams, an answer, or both.
        let mut rest = chunk.body;
        for _ in 0..2 {
            let Some(([a, b, c, d], _)) = rest.split_first_chunk() else { break };
            let (kind, len) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
            let is_right = match kind {
                13 => len >= 16 && len.is_multiple_of(2),
                16 => len == 12,
                _ => false,
            };
            if !is_right || len > rest.len() {
                return Verdict::Drop;
            }
            rest = rest.get(padded(len)..).unwrap_or_default();
        }
        if rest.is_empty() && !chunk.body.is_empty() { Verdict::Pass } else { Verdict::Drop }
    }
}

/// RFC 1982, as SCTP counts.
fn is_after(number: u32, other: u32) -> bool {
    number.wrapping_sub(other) as i32 > 0
}

/// Chunks and parameters are filled up to four bytes.
fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

struct Chunk<'a> {
    kind: u8,
    body: &'a [u8],
}

impl Chunk<'_> {
    fn word(&self, at: usize) -> Option<u32> {
        self.body.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.body.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }
}

/// The chunks of a packet; what is left over in the end is none.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn of(packet: &'a [u8]) -> Self {
        Chunks { rest: packet.get(PACKET_HEADER_LEN..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let [kind, _, a, b] = *self.rest.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([a, b]));
        let body = self.rest.get(CHUNK_HEADER_LEN..len)?;
        self.rest = self.rest.get(padded(len)..).unwrap_or_default();
        Some(Chunk { kind, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of these chunks: kind and body.
    fn packet(chunks: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut packet = vec![0; PACKET_HEADER_LEN];
        for (kind, body) in chunks {
            packet.extend([*kind, 3]);
            packet.extend((body.len() as u16 + 4).to_be_bytes());
            packet.extend(body);
            packet.resize(padded(packet.len()), 0);
        }
        packet
    }

    fn init(first: u32) -> (u8, Vec<u8>) {
        (INIT, [vec![9; 12], first.to_be_bytes().to_vec()].concat())
    }

    fn data(number: u32, stream: u16) -> (u8, Vec<u8>) {
        (DATA, [&number.to_be_bytes()[..], &stream.to_be_bytes(), &[0; 7]].concat())
    }

    fn sack(acknowledged: u32) -> (u8, Vec<u8>) {
        (SACK, [acknowledged.to_be_bytes().to_vec(), vec![0; 8]].concat())
    }

    /// One that stands, with 1,000 as the other side's first number.
    fn guard() -> Guard {
        let mut guard = Guard::default();
        assert_eq!(guard.admit(&packet(&[init(1_000)])), Verdict::Pass);
        guard.connected();
        guard
    }

    fn check(chunks: &[(u8, Vec<u8>)], expected: Verdict) {
        assert_eq!(guard().admit(&packet(chunks)), expected, "{chunks:?}");
    }

    #[test]
    fn only_what_the_association_reads_alike_is_passed() {
        let zero = |n: usize| vec![0; n];
        for (kind, len) in [(SACK, 12), (SHUTDOWN, 4), (SHUTDOWN_ACK, 0), (COOKIE_ACK, 0), (SHUTDOWN_COMPLETE, 0)] {
            check(&[(kind, zero(len)), (COOKIE_ECHO, zero(9))], Verdict::Pass);
            check(&[(kind, zero(len + 4))], Verdict::Drop);
        }
        check(&[(SACK, [zero(9), vec![1, 0, 1], zero(8)].concat())], Verdict::Pass);
        check(&[(SACK, [zero(9), vec![1, 0, 1], zero(4)].concat())], Verdict::Drop);
        check(&[(HEARTBEAT, [vec![0, 1, 0, 9], zero(5)].concat())], Verdict::Pass);
        check(&[(HEARTBEAT, [vec![0, 1, 0, 9], zero(25)].concat())], Verdict::Drop);
        let (request, answer) = ([vec![0, 13, 0, 18], zero(14)].concat(), [vec![0, 16, 0, 12], zero(8)].concat());
        check(&[(RE_CONFIG, request.clone())], Verdict::Pass);
        check(&[(RE_CONFIG, [answer.clone(), request.clone()].concat())], Verdict::Pass);
        check(&[(RE_CONFIG, [answer.clone(), answer.clone(), answer.clone()].concat())], Verdict::Drop);
        check(&[(RE_CONFIG, [request.clone(), zero(2)].concat())], Verdict::Pass);
        check(&[(RE_CONFIG, [request, zero(6)].concat())], Verdict::Drop);
        check(&[(RE_CONFIG, [vec![0, 16, 0, 16], zero(12)].concat())], Verdict::Drop);
        check(&[(RE_CONFIG, zero(0))], Verdict::Drop);
        for unknown in [2, 5, 9, 64, 128, 132, 193, 255] {
            check(&[(COOKIE_ECHO, zero(4)), (unknown, zero(4))], Verdict::Drop);
        }
        for end in [ABORT, FORWARD_TSN, I_FORWARD_TSN] {
            check(&[data(1_000, 0), (end, zero(4))], Verdict::End);
        }
        check(&[], Verdict::Drop);
        check(&[(COOKIE_ECHO, zero(1_484))], Verdict::Pass);
        check(&[(COOKIE_ECHO, zero(1_485))], Verdict::Drop);
        for wrong in
            [vec![], vec![0; 11], [zero(12), vec![0, 0, 0, 3]].concat(), [zero(12), vec![3, 0, 0, 17]].concat()]
        {
            assert_eq!(guard().admit(&wrong), Verdict::Drop, "{wrong:?}");
        }
        let mut cut = packet(&[data(1_000, 0)]);
        cut.extend([0, 3]);
        assert_eq!(guard().admit(&cut), Verdict::Drop);
    }

    #[test]
    fn an_init_comes_alone_and_in_time() {
        check(&[init(5)], Verdict::Drop);
        let mut guard = Guard::default();
        assert_eq!(guard.admit(&packet(&[init(5), data(5, 0)])), Verdict::Drop);
        assert_eq!(guard.admit(&packet(&[(COOKIE_ECHO, vec![]), init(5)])), Verdict::Drop);
        let passed = (0..100).filter(|n| guard.admit(&packet(&[init(*n)])) == Verdict::Pass).count();
        assert!(passed < 16, "{passed}");
    }

    #[test]
    fn streams_and_gaps_have_a_bound() {
        check(&[data(1_000, 63)], Verdict::Pass);
        check(&[data(1_000, 64)], Verdict::Drop);
        check(&[(DATA, vec![0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 51])], Verdict::Drop);
        // The window counts from what we said we have, around the end of the numbers too.
        for first in [1_000, u32::MAX - 3] {
            let mut guard = Guard::default();
            guard.admit(&packet(&[init(first)]));
            let mut at = |n: u32| guard.admit(&packet(&[data(first.wrapping_add(n), 0)]));
            assert_eq!((at(127), at(128), at(5)), (Verdict::Pass, Verdict::Drop, Verdict::Pass));
            guard.sent(&packet(&[(COOKIE_ACK, vec![]), sack(first)]));
            let mut at = |n: u32| guard.admit(&packet(&[data(first.wrapping_add(n), 0)]));
            assert_eq!((at(128), at(129), at(u32::MAX)), (Verdict::Pass, Verdict::Drop, Verdict::Pass));
        }
    }

    #[test]
    fn who_finishes_nothing_is_sent_away() {
        for finishes in [true, false] {
            let mut guard = guard();
            let mut last = Verdict::Pass;
            for number in 1_000..3_000 {
                last = guard.admit(&packet(&[data(number, 0)]));
                guard.sent(&packet(&[sack(number)]));
                guard.delivered(usize::from(finishes));
                assert!(last == Verdict::Pass || number >= 1_256, "{number}");
            }
            assert_eq!(last, if finishes { Verdict::Pass } else { Verdict::End });
        }
    }

    #[test]
    fn who_resets_for_ever_is_sent_away() {
        let mut guard = guard();
        let request = packet(&[(RE_CONFIG, [vec![0, 13, 0, 16], vec![0; 12]].concat())]);
        let passed = (0..1_000).filter(|_| guard.admit(&request) == Verdict::Pass).count();
        assert_eq!((passed, guard.admit(&request)), (256, Verdict::End));
    }
}
