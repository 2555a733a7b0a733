//! What may be kept, for how long, and how it is shown to be gone. Sans-IO: it knows no socket, no
//! clock, no file and no randomness; time comes in as [`Time`], keys and nonces as bytes, and what is
//! to be stored goes out as values.

pub mod chain;
pub mod consent;
pub mod egress;
pub mod erasure;
mod ids;
pub mod keys;
pub mod policy;
pub mod proof;
pub mod redact;
pub mod register;
pub mod retention;
pub mod roles;
pub mod schema;
mod scope;
pub mod seal;
mod time;

pub use ids::{CallId, EventId, NotAName, SubjectId, TenantId};
pub use scope::{Country, NotAScope, Scope, Scopes};
pub use time::{Time, days};
