//! The call: what a caller and an agent do to each other, as one state machine.
//!
//! It decides and never waits: no socket, no clock, no task, no audio. `apply` takes what happened,
//! `poll` gives what is wanted, `deadline` says when to call `apply(Timeout)` at the latest.

mod action;
mod brain;
pub mod driver;
mod endpointing;
mod history;
mod machine;
mod media;
mod mouth;
pub mod registry;
mod timing;

pub use action::{Action, CallId, Effect, EndCause, Line, PromptLine, Sounding, Speaker};
pub use brain::{Answer, Brain, Decision};
pub use machine::{Call, CallConfig, LlmUse};
pub use timing::{Judgement, TurnRecord, ms_between};
