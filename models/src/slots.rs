//! Counted places at an engine: a line holds one for as long as it lives. Never blocks and never queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The places of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    free: Arc<AtomicU32>,
    total: u32,
}

/// One taken place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicU32>);

impl Slots {
    pub(crate) fn new(total: u32) -> Self {
        Self { free: Arc::new(AtomicU32::new(total)), total }
    }

    pub(crate) fn take(&self) -> Option<Slot> {
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1)).ok()?;
        Some(Slot(Arc::clone(&self.free)))
    }

    pub(crate) fn free(&self) -> u32 {
        self.free.load(Ordering::Acquire)
    }

    pub(crate) fn total(&self) -> u32 {
        self.total
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_is_free_again() {
        let slots = Slots::new(2);
        let first = slots.take();
        let second = slots.take();
        assert!(first.is_some() && second.is_some());
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!((slots.free(), slots.total()), (1, 2));
        assert!(slots.take().is_some());
    }
}
