//! Where packets wait: in the order of their time, their payloads in one piece of memory that is allocated
//! once. Bounded by count, by bytes and by the time that waits; it does not know what is being played.
use super::Arrival;

/// Packets that may wait: the buffer's time in packets of 10 ms.
pub const PACKETS: usize = 40;
/// Bytes of payload that may wait: the buffer's time at 64 kbit/s, and as much again for gaps.
const BYTES: usize = 8_192;

#[derive(Copy, Clone)]
pub(super) struct Slot {
    /// Time of its first sample.
    pub at: i64,
    /// Samples at 16 kHz.
    pub len: u32,
    pub payload_type: u8,
    /// It decodes only as a whole.
    pub whole: bool,
    /// The source pauses behind it.
    pub pause: bool,
    offset: u16,
    bytes: u16,
}

impl Slot {
    pub fn end(&self) -> i64 {
        self.at + i64::from(self.len)
    }
}

pub(super) struct Store {
    slots: Vec<Slot>,
    bytes: Box<[u8]>,
    /// Behind it the bytes are free.
    used: usize,
}

impl Store {
    pub fn new() -> Self {
        Store { slots: Vec::with_capacity(PACKETS), bytes: vec![0; BYTES].into(), used: 0 }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.used = 0;
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn first(&self) -> Option<&Slot> {
        self.slots.first()
    }

    pub fn drop_first(&mut self) {
        if !self.slots.is_empty() {
            self.slots.remove(0);
        }
        if self.slots.is_empty() {
            self.used = 0;
        }
    }

    /// The payload of a waiting packet.
    pub fn payload(&self, slot: &Slot) -> &[u8] {
        let from = usize::from(slot.offset);
        self.bytes.get(from..from + usize::from(slot.bytes)).unwrap_or_default()
    }

    /// Samples that wait.
    pub fn waiting(&self) -> u32 {
        self.slots.iter().map(|slot| slot.len).sum()
    }

    /// Samples from `play` on that wait without a gap.
    pub fn contiguous(&self, play: i64) -> i64 {
        let mut end = play;
        for slot in &self.slots {
            if slot.at > end || slot.pause {
                break;
            }
            end = end.max(slot.end());
        }
        end - play
    }

    /// Whether there is room for one more packet of this many bytes.
    pub fn has_room(&self, bytes: usize) -> bool {
        let used: usize = self.slots.iter().map(|slot| usize::from(slot.bytes)).sum();
        self.slots.len() < PACKETS && used + bytes <= BYTES
    }

    /// Where a packet of this time would go; `None` if there is one already.
    pub fn place(&self, at: i64) -> Option<usize> {
        let earlier = self.slots.iter().rposition(|slot| slot.at <= at);
        match earlier.and_then(|i| self.slots.get(i)) {
            Some(slot) if slot.at == at => None,
            _ => Some(earlier.map_or(0, |i| i + 1)),
        }
    }

    /// Puts a packet at its place. Only with room for it.
    pub fn insert(&mut self, place: usize, at: i64, len: u32, packet: &Arrival<'_>) {
        if self.used + packet.payload.len() > BYTES {
            self.close_ranks();
        }
        let end = self.used + packet.payload.len();
        let Some(room) = self.bytes.get_mut(self.used..end) else { return };
        room.copy_from_slice(packet.payload);
        let slot = Slot {
            at,
            len,
            payload_type: packet.payload_type,
            whole: packet.whole,
            pause: packet.pause,
            offset: self.used as u16,
            bytes: packet.payload.len() as u16,
        };
        self.used = end;
        self.slots.insert(place.min(self.slots.len()), slot);
    }

    /// Moves the payloads together, so that all free bytes are at the end.
    fn close_ranks(&mut self) {
        let mut order: [u8; PACKETS] = std::array::from_fn(|i| i as u8);
        let order = &mut order[..self.slots.len()];
        order.sort_unstable_by_key(|i| self.slots[usize::from(*i)].offset);
        self.used = 0;
        for i in order {
            let slot = &mut self.slots[usize::from(*i)];
            let from = usize::from(slot.offset);
            self.bytes.copy_within(from..from + usize::from(slot.bytes), self.used);
            slot.offset = self.used as u16;
            self.used += usize::from(slot.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_gaps_and_moves() {
        let mut store = Store::new();
        for n in 0..2_000i64 {
            let bytes = vec![n as u8; 100 + (n as usize * 37) % 900];
            while !store.has_room(bytes.len()) {
                let first = *store.first().unwrap();
                assert!(store.payload(&first).iter().all(|b| *b == first.at as u8));
                store.drop_first();
            }
            // Every third comes before its neighbour.
            let at = if n % 3 == 1 {
                n + 1
            } else if n % 3 == 2 {
                n - 1
            } else {
                n
            };
            let bytes = vec![at as u8; bytes.len()];
            let packet = Arrival { payload: &bytes, ..Arrival::default() };
            let place = store.place(at).unwrap();
            store.insert(place, at, 1, &packet);
            assert!(store.place(at).is_none() && store.slots.is_sorted_by_key(|slot| slot.at));
        }
        assert!(store.slots.capacity() == PACKETS && store.len() > 5);
    }
}
