//! What may be kept: consent, and the permit that only consent can make. It never stores anything.

pub mod consent;

pub use consent::{Asked, ConsentGate, ConsentState, Permit, Refusal, Scope};
