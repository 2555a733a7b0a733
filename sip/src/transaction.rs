//! The four transaction machines of RFC 3261 17 with the accepted states of RFC 6026. They never send or wait: they say what to do and when to ask again.

mod client;
mod server;

pub(crate) use client::{InviteClient, RequestClient};
pub(crate) use server::{InviteServer, RequestServer};

use crate::peer::Transport;
use std::time::Duration;

/// RFC 3261 17.1.1.1: an estimate of the round trip.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// RFC 3261 17.1.2.2: the longest retransmission interval.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// RFC 3261 17.1.2.2: the longest life of a message in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// Timers B, F, H, J, L, M: 64*T1.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// RFC 3261 17.1.1.2: timer D, at least 32 s over UDP.
pub(crate) const TIMER_D: Duration = Duration::from_secs(32);

/// RFC 3261 17: timers D, I, J and K only wait for what UDP may still bring.
pub(crate) const fn unless_reliable(transport: Transport, timer: Duration) -> Duration {
    if transport.is_reliable() { Duration::ZERO } else { timer }
}

#[cfg(test)]
mod tests;
