//! The calls that came in at the door: whose they are, and how many of each. It never ends one.

use super::limits::Source;
use std::collections::BTreeMap;

/// Whose call it is.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The trunk's place in the configuration.
    Trunk(usize),
    Stranger(Source),
}

/// Bounded by the calls of the endpoint.
#[derive(Default)]
pub(super) struct Guests {
    calls: BTreeMap<u64, Guest>,
    trunks: BTreeMap<usize, usize>,
    sources: BTreeMap<Source, usize>,
    unanswered: usize,
}

struct Guest {
    caller: Caller,
    /// A stranger's call that nobody has answered and acknowledged.
    is_waiting: bool,
}

impl Guests {
    pub fn enter(&mut self, call: u64, caller: Caller) {
        let is_waiting = matches!(caller, Caller::Stranger(_));
        self.unanswered += usize::from(is_waiting);
        *self.count_of(caller) += 1;
        self.calls.insert(call, Guest { caller, is_waiting });
    }

    pub fn established(&mut self, call: u64) {
        if let Some(guest) = self.calls.get_mut(&call) {
            self.unanswered -= usize::from(std::mem::take(&mut guest.is_waiting));
        }
    }

    pub fn leave(&mut self, call: u64) {
        self.established(call);
        let Some(Guest { caller, .. }) = self.calls.remove(&call) else { return };
        let count = self.count_of(caller);
        *count -= 1;
        if *count == 0 {
            match caller {
                Caller::Trunk(trunk) => drop(self.trunks.remove(&trunk)),
                Caller::Stranger(source) => drop(self.sources.remove(&source)),
            }
        }
    }

    /// The stranger whose call it is.
    pub fn stranger(&self, call: u64) -> Option<Source> {
        match self.calls.get(&call)?.caller {
            Caller::Trunk(_) => None,
            Caller::Stranger(source) => Some(source),
        }
    }

    /// Calls of this caller.
    pub fn of(&self, caller: Caller) -> usize {
        match caller {
            Caller::Trunk(trunk) => self.trunks.get(&trunk),
            Caller::Stranger(source) => self.sources.get(&source),
        }
        .copied()
        .unwrap_or(0)
    }

    pub const fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn count_of(&mut self, caller: Caller) -> &mut usize {
        match caller {
            Caller::Trunk(trunk) => self.trunks.entry(trunk).or_default(),
            Caller::Stranger(source) => self.sources.entry(source).or_default(),
        }
    }

    /// Calls, trunks and sources with one.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.calls.len(), self.trunks.len(), self.sources.len(), self.unanswered)
    }
}
