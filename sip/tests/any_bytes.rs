//! The promises of `support/bodies.rs` and `support/drama.rs` over bytes by chance, and over every input that fuzzing kept. No toolchain but the usual one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/bodies.rs"]
mod bodies;
#[path = "support/drama.rs"]
mod drama;
#[path = "support/generate.rs"]
mod generate;

use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;

type Body = fn(&[u8]);

/// By the names of the targets in `fuzz/`.
const BODIES: [(&str, Body); 5] = [
    ("message", bodies::message),
    ("sdp", bodies::sdp),
    ("auth", bodies::auth),
    ("stream", bodies::stream),
    ("endpoint", drama::play),
];

#[test]
fn what_fuzzing_kept_still_holds() {
    for (name, body) in BODIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() > 5 && inputs.len() < 200, "{name}: {} inputs", inputs.len());
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                panic!("{}", input.display());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_drama_ends(chance in vec(any::<u8>(), 0..600)) {
        drama::play(&chance);
    }

    #[test]
    fn any_challenge_is_survived(text in "(Digest [a-z]{1,6}=\"?[ -~]{0,9}\"?(, [a-z]{1,6}=[ -~]{0,9}){0,5}\n?){0,3}", chance in vec(any::<u8>(), 0..99)) {
        bodies::auth(&[text.as_bytes(), &[0], &chance].concat());
    }

    #[test]
    fn any_stream_is_cut_alike(cut: u8, chance in vec(any::<u8>(), 0..300)) {
        let mut dice = generate::Dice::new(&chance);
        let mut stream = vec![cut];
        while !dice.is_empty() {
            let message = generate::message(&mut dice);
            stream.extend(if dice.rarely(3) { generate::edited(&mut dice, message) } else { message });
        }
        bodies::stream(&stream);
    }

    #[test]
    fn any_edit_is_read_or_refused(chance in vec(any::<u8>(), 0..160), edits in vec(any::<u8>(), 24)) {
        let bytes = generate::message(&mut generate::Dice::new(&chance));
        bodies::message(&generate::edited(&mut generate::Dice::new(&edits), bytes));
    }
}
