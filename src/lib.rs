//! Dauys, a voice agent gateway: phone lines in, spoken answers out, on your own machine.
//!
//! The gateway as a library, for its binary and its tests. Start with ARCHITECTURE.md.

pub mod call;
pub mod caller;
pub mod clock;
pub mod config;
pub mod desk;
pub mod dialogue;
pub mod egress;
pub mod gateway;
mod hex;
pub mod http;
pub mod llm;
pub mod net;
pub mod outbound;
pub mod policy;
pub mod random;
pub mod rehearse;
pub mod route;
pub mod store;
pub mod strain;
pub mod telemetry;
pub mod trunk;
pub mod vault;
