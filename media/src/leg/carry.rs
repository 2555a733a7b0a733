//! Samples that were made before their time: the rest of a long packet, or what stretching left over. It
//! holds a packet and a frame at most, and knows nothing of where they come from.
use super::Kind;
use crate::FRAME_SAMPLES;
use crate::stretch::PACKET_MAX;

/// Room in front, so that a frame can be put back without moving the rest.
const FRONT: usize = FRAME_SAMPLES;

pub(super) struct Carry {
    samples: Vec<i16>,
    start: usize,
    end: usize,
    kind: Kind,
    /// Samples taken since the start.
    taken: u64,
}

impl Default for Carry {
    /// Allocates nothing.
    fn default() -> Self {
        Carry { samples: Vec::new(), start: FRONT, end: FRONT, kind: Kind::Silence, taken: 0 }
    }
}

impl Carry {
    /// What codecs need whose packets decode in any part.
    pub fn narrow() -> Self {
        Carry { samples: vec![0; FRONT + FRAME_SAMPLES], ..Carry::default() }
    }

    /// Makes room for packets that decode as a whole.
    pub fn widen(&mut self) {
        self.samples.resize(FRONT + PACKET_MAX, 0);
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    pub fn clear(&mut self) {
        (self.start, self.end) = (FRONT, FRONT);
    }

    /// Moves samples to the front of `out`, as many as there are and fit; returns how many.
    pub fn take(&mut self, out: &mut [i16]) -> usize {
        let len = self.len().min(out.len());
        if let Some(from) = self.samples.get(self.start..self.start + len) {
            out[..len].copy_from_slice(from);
        }
        self.start += len;
        self.taken += len as u64;
        if self.start == self.end {
            self.clear();
        }
        len
    }

    /// Room for `len` samples to be written now, in place of whatever was left: nothing is, when more is made.
    pub fn reserve(&mut self, len: usize) -> &mut [i16] {
        let len = len.min(self.samples.len().saturating_sub(FRONT));
        (self.start, self.end) = (FRONT, FRONT + len);
        self.samples.get_mut(FRONT..FRONT + len).unwrap_or_default()
    }

    /// Puts samples that were just taken back in front of the others; a frame at most.
    pub fn put_back(&mut self, samples: &[i16]) {
        if self.len() == 0 {
            self.kind = Kind::Audio;
        }
        let room = self.start.min(self.samples.len());
        let from = &samples[..samples.len().min(room)];
        self.start = room - from.len();
        self.samples[self.start..room].copy_from_slice(from);
    }
}
