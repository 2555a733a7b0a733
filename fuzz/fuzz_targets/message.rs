//! Any bytes as a datagram: framing, every header, printing. It looks for panics and for what is not read as it was printed.
#![no_main]

#[path = "../../sip/tests/support/bodies.rs"]
mod bodies;
#[path = "../../sip/tests/support/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::message(bytes));
