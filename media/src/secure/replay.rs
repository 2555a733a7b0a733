//! Which packets came already (RFC 3711, 3.3.2): a window of 128 below the highest. It knows nothing of
//! keys; a packet is put down here only after it proved to be genuine.

const WINDOW: u64 = 128;

/// Indices seen. Bit n of `seen` stands for `highest - n`.
#[derive(Copy, Clone, Default)]
pub(super) struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    /// The highest index seen, 0 before the first.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// Whether the packet is neither known nor too old to tell.
    pub fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            _ if self.is_empty() => true,
            None => true,
            Some(age) => age < WINDOW && self.seen >> age & 1 == 0,
        }
    }

    /// Puts down a packet that [`Window::is_new`].
    pub fn add(&mut self, index: u64) {
        if self.is_empty() {
            *self = Window { highest: index, seen: 1 };
        } else if let Some(ahead) = index.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            let kept = if ahead < WINDOW { self.seen << ahead } else { 0 };
            *self = Window { highest: index, seen: kept | 1 };
        } else if self.highest - index < WINDOW {
            self.seen |= 1 << (self.highest - index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers indices in turn; `+` new, `-` not.
    fn check(indices: &[u64], expected: &str) {
        let mut window = Window::default();
        let mut found = String::new();
        for index in indices {
            found.push(if window.is_new(*index) { '+' } else { '-' });
            if window.is_new(*index) {
                window.add(*index);
            }
        }
        assert_eq!(found, expected, "{indices:?}");
    }

    #[test]
    fn each_index_passes_once_and_old_ones_never() {
        check(&[0, 0, 1, 0, 1], "+-+--");
        check(&[500, 400, 372, 373, 373, 500], "++-+--");
        check(&[7, 9, 8, 8, 7, 9], "+++---");
        check(&[1, 1 << 47, 2, (1 << 47) - 127, (1 << 47) - 128], "++-+-");
        check(&[10, 137, 10, 138, 11], "++-++");
        check(&[10, 138, 10, 11], "++-+");
    }
}
