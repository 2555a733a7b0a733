//! The promises of `support/bodies.rs` over bytes by chance, and over every input that fuzzing kept; and what a page can cost
//! us at worst. No toolchain but the usual one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/bodies.rs"]
mod bodies;

use std::path::Path;
use std::time::Duration;

use bodies::Page;
use proptest::collection::vec;
use proptest::prelude::*;

type Body = fn(&[u8]);

/// By the names of the targets in `fuzz/`.
const BODIES: [(&str, Body); 2] = [("data", bodies::data), ("leg", bodies::leg)];

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
    fn any_page_is_survived(chance in vec(any::<u8>(), 0..2_000)) {
        bodies::data(&chance);
    }

    #[test]
    fn any_datagrams_are_survived(chance in vec(any::<u8>(), 0..1_500)) {
        bodies::leg(&chance);
    }
}

/// What a page does in a turn, over and over; the most that our side holds meanwhile, in KiB.
fn check(name: &str, mut turn: impl FnMut(&mut Page, u32)) {
    let mut page = Page::connected();
    page.open(0, "dauys");
    page.flush();
    let mut held: i64 = 0;
    let mut most = 0;
    for n in 0..3_000 {
        // Only what lies in the channel lives on after a turn.
        let counted = allocation_counter::measure(|| {
            turn(&mut page, n);
            page.flush();
            page.now += Duration::from_millis(20);
            page.exchange();
            page.look();
        });
        held += counted.bytes_current;
        most = most.max(held);
    }
    println!("{name}: {} KiB", most / 1_024);
    assert!(most < 400 * 1_024, "{name}: {} KiB", most / 1_024);
}

#[test]
fn no_page_makes_us_grow() {
    check("channels", |page, n| page.open(n as u16, "other"));
    check("channels within the bound", |page, n| page.open(n as u16 % 64, "other"));
    check("gaps", |page, n| page.data(2_000 + 2 * n, 0, n as u16, 51, 3, &[b'x'; 1_000]));
    check("holes filled", |page, n| page.data(200_000 - n, 0, n as u16, 51, 3, &[b'x'; 1_000]));
    check("messages without an end", |page, n| {
        let number = page.number;
        page.number += 1;
        page.data(number, n as u16 % 64, 1, 51, if n < 64 { 2 } else { 0 }, b"x");
    });
    check("messages out of order", |page, n| page.message(0, 2 + n as u16, 51, b"x"));
    check("resets", |page, n| {
        page.message(2, 0, 51, b"x");
        page.reset(1_000 + n, &[2]);
    });
    check("resets of what is not finished", |page, n| {
        let number = page.number;
        page.number += 1;
        page.data(number, 2, 0, 51, 2, b"x");
        page.reset(1_000 + n, &[2]);
    });
    check("heartbeats", |page, _| (0..40).for_each(|_| page.chunk(4, 0, &[0, 1, 0, 20].repeat(5))));
    check("skips", |page, n| page.chunk(192, 0, &(1_000 + n).to_be_bytes()));
    check("texts", |page, n| (0..20).for_each(|k| page.message(0, (1 + n * 20 + k) as u16, 51, &[b'x'; 50])));
    check("nothing acknowledged", |page, _| {
        page.ours.send(&"x".repeat(4_000));
    });
}
