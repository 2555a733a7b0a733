//! The vault on both databases: what is kept is sealed, read only when it is logged, and gone when it has to
//! be. Time is the tests' own.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "vault/alone.rs"]
mod alone;
#[path = "vault/erasing.rs"]
mod erasing;
#[path = "vault/going.rs"]
mod going;
#[path = "vault/keeping.rs"]
mod keeping;
#[path = "vault/retaining.rs"]
mod retaining;
#[path = "vault/stage.rs"]
mod stage;
#[path = "vault/tables.rs"]
mod tables;
