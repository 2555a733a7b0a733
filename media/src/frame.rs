//! Frames and their pool: 20 ms of audio, written once, then shared by handle. A frame is never changed
//! after `fill`, and the pool never grows: when every slot has a reader, `fill` says so.
use std::fmt;
use std::sync::Arc;

use crate::{FRAME_SAMPLES, MediaTime};

/// 20 ms of mono audio at 16 kHz, signed 16 bit. Cloning shares the samples.
#[derive(Clone)]
pub struct Frame(Arc<Slot>);

impl Frame {
    /// When the frame's first sample was, on the leg's time line.
    pub fn at(&self) -> MediaTime {
        self.0.at
    }

    /// The 320 samples.
    pub fn samples(&self) -> &[i16; FRAME_SAMPLES] {
        &self.0.samples
    }
}

impl fmt::Debug for Frame {
    /// Says when, never what: the samples are somebody's voice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("at", &self.0.at).finish_non_exhaustive()
    }
}

/// Why no frame came out of the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError<E> {
    /// Every slot still has a reader: drop this frame and count it, or let a reader go.
    #[error("every frame of the pool is still in use")]
    Exhausted,
    /// The writer gave up; the slot stays free.
    #[error("the frame could not be written")]
    Write(E),
}

/// A fixed number of frames. Capacity = the bounds of all queues the frames pass through, plus 2.
pub struct FramePool {
    slots: Vec<Arc<Slot>>,
}

impl FramePool {
    /// Allocates all slots now; `fill` never allocates.
    pub fn new(capacity: usize) -> Self {
        let slots = (0..capacity).map(|_| Arc::new(Slot { at: MediaTime::ZERO, samples: [0; FRAME_SAMPLES] }));
        FramePool { slots: slots.collect() }
    }

    /// Hands a free slot to `write` and shares the result. The slot holds old samples when `write` gets
    /// it, so `write` sets all 320. Costs one look per slot in use: always the first free one is taken, so that few
    /// slots are used at all and the processor still has them at hand.
    pub fn fill<E>(
        &mut self,
        at: MediaTime,
        write: impl FnOnce(&mut [i16; FRAME_SAMPLES]) -> Result<(), E>,
    ) -> Result<Frame, FillError<E>> {
        for slot in &mut self.slots {
            // No free list: a slot is free when the pool's own handle is the only one.
            let Some(free) = Arc::get_mut(slot) else {
                continue;
            };
            write(&mut free.samples).map_err(FillError::Write)?;
            free.at = at;
            return Ok(Frame(Arc::clone(slot)));
        }
        Err(FillError::Exhausted)
    }

    /// How many frames the pool holds, used or free.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many frames have no reader now.
    pub fn free(&mut self) -> usize {
        self.slots.iter_mut().filter_map(Arc::get_mut).count()
    }
}

struct Slot {
    at: MediaTime,
    samples: [i16; FRAME_SAMPLES],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pool: &mut FramePool, value: i16) -> Result<Frame, FillError<()>> {
        pool.fill(MediaTime::from_ms(value as u64), |s| {
            s.fill(value);
            Ok(())
        })
    }

    #[test]
    fn a_slot_comes_back_when_its_last_reader_goes() {
        let mut pool = FramePool::new(2);
        let a = fill(&mut pool, 1).unwrap();
        let also_a = a.clone();
        let b = fill(&mut pool, 2).unwrap();
        assert_eq!(fill(&mut pool, 3).unwrap_err(), FillError::Exhausted);
        drop(a);
        assert_eq!(fill(&mut pool, 3).unwrap_err(), FillError::Exhausted);
        drop(also_a);
        let c = fill(&mut pool, 4).unwrap();
        assert_eq!((b.samples()[0], c.samples()[319], c.at()), (2, 4, MediaTime::from_ms(4)));
        assert_eq!((pool.free(), pool.capacity()), (0, 2));
    }

    #[test]
    fn a_failed_write_keeps_the_slot() {
        let mut pool = FramePool::new(1);
        assert_eq!(pool.fill(MediaTime::ZERO, |_| Err("no")).unwrap_err(), FillError::Write("no"));
        assert_eq!(pool.free(), 1);
    }

    #[test]
    fn an_empty_pool_is_exhausted() {
        assert_eq!(fill(&mut FramePool::new(0), 1).unwrap_err(), FillError::Exhausted);
    }
}
