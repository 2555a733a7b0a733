//! Any text as a session description, and our answer to it. It looks for panics and for answers that do not fit.
#![no_main]

#[path = "../../sip/tests/support/bodies.rs"]
mod bodies;
#[path = "../../sip/tests/support/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::sdp(bytes));
