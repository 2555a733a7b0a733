//! Any datagrams to legs of every kind: STUN, DTLS, RTP, RTCP. It looks for panics, and for answers without end.
#![no_main]

#[path = "../../media/tests/support/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::leg(bytes));
