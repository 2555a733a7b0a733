//! How long an agent waits for more, where it differs from the gateway. It counts no time.

/// Silence until a turn is over, by how finished it looks; none: as the gateway has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    pub finished_ms: Option<u32>,
    pub unsure_ms: Option<u32>,
    pub unfinished_ms: Option<u32>,
}

impl Waits {
    /// Digits come in groups, and a group is not a number.
    pub(crate) const NUMBER: Self = Self { finished_ms: Some(360), unsure_ms: Some(900), unfinished_ms: Some(1500) };

    /// These, and where they say nothing those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            finished_ms: self.finished_ms.or(other.finished_ms),
            unsure_ms: self.unsure_ms.or(other.unsure_ms),
            unfinished_ms: self.unfinished_ms.or(other.unfinished_ms),
        }
    }
}
