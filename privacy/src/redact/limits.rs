//! How long words, keys and sound wait for what makes them clear. Times only; nothing here decides.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Lines with digits wait so long for more of them.
    pub hold_ms: i64,
    /// A pause ends after so long without a digit.
    pub quiet_ms: i64,
    /// Keys further apart are different numbers.
    pub key_gap_ms: i64,
    /// So long after a pause, a few digits are a card's date or code.
    pub after_ms: i64,
    /// A question says for so long what digits are expected.
    pub asked_ms: i64,
    /// Speech is noticed within this.
    pub settle_ms: i64,
    /// Sound dropped around what may not be kept.
    pub margin_ms: i64,
    /// Sound waits no longer: what is undecided by then is dropped.
    pub lag_ms: i64,
    pub lines_max: usize,
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold_ms: 30_000,
            quiet_ms: 20_000,
            key_gap_ms: 5_000,
            after_ms: 20_000,
            asked_ms: 60_000,
            settle_ms: 3_000,
            margin_ms: 1_000,
            lag_ms: 60_000,
            lines_max: 64,
            bytes_max: 16 * 1024,
        }
    }
}
