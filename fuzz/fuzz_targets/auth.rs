//! Any challenges and credentials. It looks for panics, and for a way in without the password.
#![no_main]

#[path = "../../sip/tests/support/bodies.rs"]
mod bodies;
#[path = "../../sip/tests/support/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::auth(bytes));
