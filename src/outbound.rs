//! Orders to call somebody, and why one is refused. Numbers in it are private; it never dials.

use std::fmt;
use std::time::Duration;

use privacy::consent::PreGrant;
use tokio::sync::oneshot;

use crate::call::{CallId, MachineAction};
/// What may be dialled.
pub use crate::config::is_number;

/// Orders that wait for the signalling; one more is refused.
pub const ORDERS: usize = 64;

/// Ring times, in seconds.
pub const RING_S: std::ops::RangeInclusive<u32> = 5..=180;

/// "Let this agent call that number through that trunk."
pub struct Order {
    pub trunk: String,
    /// A number or name: the user part of what is called.
    pub to: String,
    /// An agent's name; the first one when absent.
    pub agent: Option<String>,
    /// How long it may ring, in seconds.
    pub ring_s: u32,
    /// What is done if a machine answers.
    pub machine: MachineAction,
    /// What they agreed to before, by a statement about this number.
    pub granted_before: Option<PreGrant>,
    /// Told once: the call's id as soon as it is under way, or why it is not.
    pub reply: oneshot::Sender<Result<CallId, OrderRefused>>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("trunk", &self.trunk).field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// Why an order is not carried out. The texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    #[error("`to` takes a number or a name: letters, digits and + - . _ * #, 64 at most")]
    BadNumber,
    #[error("there is no such trunk; [[trunk]] lists them")]
    NoTrunk,
    #[error("there is no such agent; [[agent]] lists them")]
    NoAgent,
    #[error("the agent's file has no [voicemail]; write one, or let `machine` be \"hang_up\" or \"talk\"")]
    NoMessage,
    #[error("the trunk may not call this number; `allow_out` of its [[trunk]] says which it may")]
    NotAllowed,
    #[error("the trunk makes as many calls as it may; try again in {} s", retry_after.as_secs())]
    TooMany { retry_after: Duration },
    #[error("the gateway carries as many calls as it can; try again in {} s", retry_after.as_secs())]
    Full { retry_after: Duration },
    #[error("none of the trunk's addresses can be found or reached; `dauys_trunk_up` in /metrics and the log say more")]
    Unreachable,
    #[error("the gateway is stopping")]
    Stopping,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for good in ["+77011234567", "100", "front-desk", "*69#", "a.b_c"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "a b", "1@evil.example", "1;phone-context=x", "1?Replaces=x", "1\r\nX: y", &"1".repeat(65)] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
