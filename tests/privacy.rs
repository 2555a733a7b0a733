//! What is said is kept only where it was agreed to, only as long as allowed, and is provably gone: canaries in words and
//! sound are looked for wherever a gateway could leave them. Each search is shown to find them where they are.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "privacy/abroad.rs"]
mod abroad;
#[path = "privacy/away.rs"]
mod away;
#[path = "privacy/calls.rs"]
mod calls;
#[path = "privacy/chat.rs"]
mod chat;
mod common;
#[path = "privacy/hook.rs"]
mod hook;
#[path = "privacy/killed.rs"]
mod killed;
#[path = "privacy/ordered.rs"]
mod ordered;
#[path = "privacy/pages.rs"]
mod pages;
#[path = "privacy/papers.rs"]
mod papers;
#[path = "privacy/place.rs"]
mod place;
#[path = "privacy/recorded.rs"]
mod recorded;
#[path = "privacy/restored.rs"]
mod restored;
#[path = "privacy/scan.rs"]
mod scan;
#[path = "privacy/sound.rs"]
mod sound;
#[path = "vault/stage.rs"]
#[allow(dead_code)]
mod stage;
#[path = "privacy/words.rs"]
mod words;

/// Bytes that are nothing, the same ones for the same seed.
fn junk(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len).map(|_| (next() >> 32) as u8).collect()
}
