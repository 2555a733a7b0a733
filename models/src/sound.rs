//! What a line keeps of its caller's sound: every sample to the bit, soft ones in fewer bits, in small pieces. A call takes
//! what its utterance needs and gives it back afterwards; an engine's job reads the same pieces. It knows no engine and
//! writes nothing anywhere.

use media::FRAME_SAMPLES;
use std::collections::VecDeque;
use std::sync::Arc;

/// Samples that are written with as many bits as the loudest of them needs, 8, 12 or 16: a millisecond. Speech takes 13.8 on
/// average, a quiet line 8.5. The engines are given what was heard: with 8 bits for all (G.711) they find other words.
const BLOCK: usize = 16;
/// Room of a piece. Pieces are small and all alike, so that what one call gives back serves the next: room that grows by
/// doubling is twice too large in the end, and leaves holes that fit nobody.
const ROOM: usize = 4_000;
/// Empty pieces kept for what comes next: a second and more, what comes and goes on a quiet line. A frame then allocates
/// nothing.
const SPARE: usize = 8;
/// A frame whose blocks are all loud: each has a byte in front.
const FRAME_BYTES: usize = FRAME_SAMPLES / BLOCK * (1 + 2 * BLOCK);

/// Six to eleven frames.
#[derive(Clone)]
struct Piece {
    frames: usize,
    used: usize,
    bytes: [u8; ROOM],
}

impl Piece {
    const EMPTY: Piece = Piece { frames: 0, used: 0, bytes: [0; ROOM] };

    fn samples(&self) -> usize {
        self.frames * FRAME_SAMPLES
    }
}

/// The newest part of a sound at 16 kHz; as long as `keep` leaves it.
#[derive(Default)]
pub struct Sound {
    /// Oldest first; behind those that are filled, the spare ones. Full ones may have readers, the last one never has.
    pieces: VecDeque<Arc<Piece>>,
    filled: usize,
    /// Samples of the first piece that are not kept any more.
    from: usize,
    len: usize,
}

impl Sound {
    /// Adds a frame.
    pub fn push(&mut self, samples: &[i16; FRAME_SAMPLES]) {
        let mut packed = [0; FRAME_BYTES];
        let size = samples.as_chunks().0.iter().fold(0, |at, block| at + pack(block, &mut packed[at..]));
        let last = self.filled.checked_sub(1).and_then(|last| self.pieces.get(last));
        let fits = last.is_some_and(|piece| piece.used + size <= ROOM);
        if !fits {
            match self.pieces.get_mut(self.filled) {
                Some(spare) => {
                    let spare = Arc::make_mut(spare);
                    (spare.frames, spare.used) = (0, 0);
                }
                None => self.pieces.push_back(Arc::new(Piece::EMPTY)),
            }
            self.filled += 1;
        }
        let last = self.filled.checked_sub(1).and_then(|last| self.pieces.get_mut(last));
        let Some(piece) = last.map(Arc::make_mut) else { return };
        piece.bytes[piece.used..][..size].copy_from_slice(&packed[..size]);
        piece.used += size;
        piece.frames += 1;
        self.len += FRAME_SAMPLES;
    }

    /// Samples kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the newest `samples` at most; the room of the others is used again, or given back.
    pub fn keep(&mut self, samples: usize) {
        let gone = self.len.saturating_sub(samples);
        self.len -= gone;
        self.from += gone;
        while let Some(first) = self.pieces.front().filter(|first| self.filled > 0 && self.from >= first.samples()) {
            self.from -= first.samples();
            self.filled -= 1;
            // What a job still reads is the job's.
            if let Some(piece) = self.pieces.pop_front().filter(|piece| Arc::strong_count(piece) == 1) {
                self.pieces.push_back(piece);
            }
        }
        self.pieces.truncate(self.filled + SPARE);
    }

    /// What is kept now, for a job: no sample is copied but those of the last piece.
    #[must_use]
    pub fn copy(&self) -> Copied {
        let mut pieces: Vec<_> = self.pieces.iter().take(self.filled).cloned().collect();
        if let Some(last) = pieces.last_mut() {
            *last = Arc::new(Piece::clone(last));
        }
        Copied { pieces, from: self.from, len: self.len }
    }
}

/// A sound as it was when it was copied.
pub struct Copied {
    pieces: Vec<Arc<Piece>>,
    from: usize,
    len: usize,
}

impl Copied {
    /// Its samples.
    #[must_use]
    pub fn samples(&self) -> Vec<i16> {
        let mut samples = Vec::with_capacity(self.from + self.len);
        for piece in &self.pieces {
            let mut rest = &piece.bytes[..piece.used];
            while let Some((block, after)) = unpack(rest) {
                samples.extend(block);
                rest = after;
            }
        }
        samples.drain(..self.from);
        samples
    }
}

/// Writes how many lower bits there are, the upper eight of each sample, and the lower ones; says how many bytes.
fn pack(samples: &[i16; BLOCK], out: &mut [u8]) -> usize {
    // A negative sample's magnitude is its one's complement: the smallest needs no more bits than the largest.
    let loudest = samples.iter().fold(0, |loudest, s| loudest | (s ^ (s >> 15)));
    let lower_bits = match loudest {
        0..0x80 => 0,
        0x80..0x800 => 4,
        _ => 8,
    };
    let (head, lower) = out.split_at_mut(1 + BLOCK);
    head[0] = lower_bits;
    head[1..].iter_mut().zip(samples).for_each(|(byte, s)| *byte = (s >> lower_bits) as u8);
    match lower_bits {
        0 => {}
        4 => {
            let pairs = samples.as_chunks().0;
            lower.iter_mut().zip(pairs).for_each(|(byte, [a, b])| *byte = (a << 4) as u8 | (b & 0x0F) as u8);
        }
        _ => lower.iter_mut().zip(samples).for_each(|(byte, s)| *byte = *s as u8),
    }
    1 + BLOCK + usize::from(lower_bits) * BLOCK / 8
}

/// A block, and what is behind it.
fn unpack(bytes: &[u8]) -> Option<([i16; BLOCK], &[u8])> {
    let (lower_bits, rest) = bytes.split_first()?;
    let (upper, rest) = rest.split_first_chunk::<BLOCK>()?;
    let (lower, after) = rest.split_at_checked(usize::from(*lower_bits) * BLOCK / 8)?;
    let samples = std::array::from_fn(|n| {
        let low = match (lower_bits, n % 2) {
            (4, 0) => lower[n / 2] >> 4,
            (4, _) => lower[n / 2] & 0x0F,
            _ => lower.get(n).copied().unwrap_or(0),
        };
        i16::from(upper[n].cast_signed()) << (lower_bits & 15) | i16::from(low)
    });
    Some((samples, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, the same each time: now soft, now loud.
    fn noise(n: usize) -> i16 {
        let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 48) as i16 >> (n / 50 % 4 * 4)
    }

    fn push(sound: &mut Sound, frames: std::ops::Range<usize>) -> Vec<i16> {
        let samples: Vec<i16> = (frames.start * FRAME_SAMPLES..frames.end * FRAME_SAMPLES).map(noise).collect();
        samples.as_chunks().0.iter().for_each(|frame| sound.push(frame));
        samples
    }

    #[test]
    fn the_newest_is_kept_whatever_was_before() {
        // Frames pushed, samples kept, frames pushed ...
        let check = |steps: &[(usize, usize)]| {
            let (mut sound, mut model, mut n) = (Sound::default(), vec![], 0);
            for (frames, keep) in steps {
                model.extend(push(&mut sound, n..n + frames));
                n += frames;
                sound.keep(*keep);
                model.drain(..model.len().saturating_sub(*keep));
                assert_eq!((sound.len(), sound.is_empty()), (model.len(), model.is_empty()));
                assert!(sound.copy().samples() == model, "{steps:?}");
            }
        };
        check(&[(0, 0), (1, 1_000), (1, 0), (1, 100)]);
        check(&[(12, 4_000), (1, 4_000), (11, 4_000), (24, 4_001), (0, 3)]);
        check(&[(121, usize::MAX), (1, 20_000), (12, 17), (1, 0), (5, 5)]);
        check(&[(1, 16_000); 200]);
    }

    #[test]
    fn every_sample_comes_back() {
        let check = |sample: fn(i16) -> i16, bytes: usize| {
            let samples = std::array::from_fn(|n| sample(n as i16));
            let mut out = [0; 1 + 2 * BLOCK];
            assert_eq!(pack(&samples, &mut out), bytes, "{samples:?}");
            assert_eq!(unpack(&out[..bytes]), Some((samples, [].as_slice())));
        };
        check(|_| 0, 17);
        check(|n| 127 - 17 * n, 17);
        check(|_| -128, 17);
        check(|n| 128 - n, 25);
        check(|n| n - 129, 25);
        check(|n| if n % 2 == 0 { 2_047 } else { -2_048 }, 25);
        check(|n| 2_048 - n, 33);
        check(|n| 300 * n - 2_049, 33);
        check(|n| if n % 2 == 0 { i16::MAX } else { i16::MIN }, 33);
        assert_eq!(unpack(&[]), None);
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut sound = Sound::default();
        let was = push(&mut sound, 0..29);
        let copies = [sound.copy(), sound.copy()];
        push(&mut sound, 100..140);
        sound.keep(50);
        push(&mut sound, 200..240);
        sound.keep(0);
        let is = push(&mut sound, 300..312);
        assert!(copies.iter().all(|copy| copy.samples() == was));
        assert!(sound.copy().samples() == is);
    }

    #[test]
    fn room_is_no_larger_than_the_sound_and_given_back() {
        let (soft, loud) = ([100; FRAME_SAMPLES], [i16::MAX; FRAME_SAMPLES]);
        for (frame, a_second) in [(soft, 5), (loud, 9)] {
            let mut sound = Sound::default();
            (0..1_500).for_each(|_| sound.push(&frame));
            assert!(sound.pieces.len() <= 30 * a_second);
            sound.keep(8_000);
            assert!(sound.pieces.len() <= a_second + SPARE);
            // The last eight seconds, for long: the pieces go round.
            for _ in 0..2_000 {
                sound.push(&frame);
                sound.keep(128_000);
            }
            assert!(sound.pieces.len() <= 8 * a_second + SPARE, "{}", sound.pieces.len());
            sound.keep(0);
            assert_eq!(sound.pieces.len(), SPARE);
        }
    }
}
