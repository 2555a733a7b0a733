//! The call: what a caller and an agent do to each other, as one state machine.
//!
//! It decides and never waits: no socket, no clock, no task, no audio. `apply` takes what happened,
//! `poll` gives what is wanted, `deadline` says when to call `apply(Timeout)` at the latest.

mod action;
pub mod answering;
mod brain;
pub mod consent;
pub mod driver;
pub mod ear;
pub mod endpointing;
mod history;
pub mod live;
mod machine;
mod media;
mod mouth;
mod ogg;
pub mod page;
mod recording;
pub mod registry;
#[cfg(test)]
mod script;
mod timing;
mod tone;
mod voicing;
mod waits;

pub use action::{Action, Activity, CallId, Caption, Effect, EndCause, Line, Presence, PromptLine, Sounding, Speaker};
pub use answering::{AnsweredBy, MachineAction};
pub use brain::{Answer, Brain, Decision, Put};
pub use machine::{Call, CallConfig, LlmUse};
pub use timing::{Judgement, TurnRecord, ms_between};
