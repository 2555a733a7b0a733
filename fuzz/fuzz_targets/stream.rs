//! Any bytes as a stream, cut in two ways. It looks for panics and for messages that depend on the cut.
#![no_main]

#[path = "../../sip/tests/support/bodies.rs"]
mod bodies;
#[path = "../../sip/tests/support/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::stream(bytes));
