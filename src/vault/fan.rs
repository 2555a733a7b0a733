//! The way to connected systems, as an erasure needs it: somebody who tells one system to erase, and what that
//! said. It opens no connection.

use ::privacy::erasure::Job;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// What a connected system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is gone there; this is what it wrote.
    Receipt(Vec<u8>),
    /// It took the order and will answer when it is asked again.
    Taken,
    /// It will not, with this status.
    Refused(u16),
    Unreachable,
}

/// Tells one system to erase. A known job is the same order. Whoever implements it writes the transfer log first.
pub trait Orders: Send + Sync {
    fn order<'a>(&'a self, job: &'a Job, destination: &'a str) -> BoxFuture<'a, Answered>;
}

/// For a process that has no way out: every system is out of reach, and the erasure stays open for one that has.
pub struct NoWay;

impl Orders for NoWay {
    fn order<'a>(&'a self, _: &'a Job, _: &'a str) -> BoxFuture<'a, Answered> {
        std::future::ready(Answered::Unreachable).boxed()
    }
}
