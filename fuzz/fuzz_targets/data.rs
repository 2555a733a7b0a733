//! A page that does what it likes with the data channel. It looks for panics, and for more waiting than may.
#![no_main]

#[path = "../../media/tests/support/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::data(bytes));
