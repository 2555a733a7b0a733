//! The drivers: sockets and threads around the state machines. They wait; they never decide.

pub mod ports;
pub mod resolve;
pub mod roads;
pub mod shard;
pub mod sip;
pub mod web;
