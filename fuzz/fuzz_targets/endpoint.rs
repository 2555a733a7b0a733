//! An endpoint with calls whose peers, user and clock do anything in any order. It looks for panics, for growth, and for calls that do not end exactly once.
#![no_main]

#[path = "../../sip/tests/support/bodies.rs"]
mod bodies;
#[path = "../../sip/tests/support/drama.rs"]
mod drama;
#[path = "../../sip/tests/support/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drama::play(bytes));
