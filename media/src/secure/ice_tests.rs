//! Checks as scripts: who asks, with what, and what a lite agent says and believes.
use std::time::{Duration, Instant};

use super::hex;
use super::ice::{Check, Ice, IceConfig};
use super::stun::{ANSWER_MAX, Binding, Class};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn config(local_pwd: &str) -> IceConfig {
    IceConfig { local_ufrag: "evtj".into(), local_pwd: local_pwd.into() }
}

/// A request with these attributes, each `type value` in hex, signed if there is a password, with a fingerprint.
/// The bytes are laid by hand, so that reader and writer under test cannot agree on a mistake.
pub(super) fn request(attributes: &[(u16, &[u8])], password: Option<&str>) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut bytes = hex("00010000 2112a442 000102030405060708090a0b");
    let close = |bytes: &mut Vec<u8>, more: usize| {
        let len = (bytes.len() - 20 + more) as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
    };
    let put = |bytes: &mut Vec<u8>, kind: u16, value: &[u8]| {
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    attributes.iter().for_each(|(kind, value)| put(&mut bytes, *kind, value));
    if let Some(password) = password {
        close(&mut bytes, 24);
        let tag = Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).unwrap().chain_update(&bytes).finalize();
        put(&mut bytes, 0x0008, &tag.into_bytes());
    }
    close(&mut bytes, 8);
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    put(&mut bytes, 0x8028, &(!crc ^ 0x5354_554E).to_be_bytes());
    bytes
}

/// Runs `at_ms:from kind`, `from` being a host's number; the kind one of
/// `check`, `use` (USE-CANDIDATE), `use9` (with that priority), `name` (another user), `anon` (no user), `open` (not
/// signed), `forged` (another password), `odd` (an attribute that we must know), `keep` (an indication).
/// Says what came of it, and what was answered to whom.
fn check(ice: &mut Ice, start: Instant, script: &str) -> String {
    let mut found = vec![];
    for line in script.split(", ") {
        let (at, rest) = line.split_once(':').unwrap();
        let (from, kind) = rest.split_once(' ').unwrap();
        let from = ([192, 0, 2, from.parse().unwrap()], 4_000).into();
        let user: (u16, &[u8]) = (0x0006, if kind == "name" { b"evtjx:h6vY" } else { b"evtj:h6vY" });
        let priority = kind.strip_prefix("use").and_then(|p| p.parse().ok()).unwrap_or(5u32).to_be_bytes();
        let mut attributes = vec![user, (0x0024, &priority[..]), (0x8029, &[7; 8])];
        match kind {
            "anon" => drop(attributes.remove(0)),
            "odd" => attributes.push((0x0077, &[1])),
            _ if kind.starts_with("use") => attributes.push((0x0025, &[])),
            _ => {}
        }
        let password = match kind {
            "open" => None,
            "forged" => Some("forged"),
            _ => Some(PASSWORD),
        };
        let bytes = if kind == "keep" {
            hex("00110008 2112a442 000102030405060708090a0b 80280004 00000000")
        } else {
            request(&attributes, password)
        };
        let came = match ice.handle(start + Duration::from_millis(at.parse().unwrap()), from, &bytes) {
            Check::Passed => "passed".into(),
            Check::Nominated(to) => format!("nominated {to}"),
            other => format!("{other:?}").to_lowercase(),
        };
        let mut out = [0; ANSWER_MAX];
        let answer = ice.poll(&mut out).map(|(len, to)| {
            assert_eq!(to, from);
            assert!(len <= bytes.len() || len <= 80, "{len} bytes for {}", bytes.len());
            let answer = Binding::read(&out[..len]).unwrap();
            let code = if answer.class == Class::Error { u16::from(out[26]) * 100 + u16::from(out[27]) } else { 200 };
            format!(" {code}{}", if answer.is_by(PASSWORD) { " signed" } else { "" })
        });
        assert!(ice.poll(&mut out).is_none());
        found.push(came + &answer.unwrap_or_default());
    }
    found.join(", ")
}

#[allow(clippy::disallowed_methods)]
fn agent() -> (Ice, Instant) {
    (Ice::new(config(PASSWORD)), Instant::now())
}

#[test]
fn only_who_knows_the_password_is_believed() {
    let (mut ice, start) = agent();
    let came =
        check(&mut ice, start, "0:1 check, 50:2 name, 300:2 anon, 600:2 open, 900:2 forged, 950:1 odd, 960:1 keep");
    assert_eq!(came, "passed 200 signed, refused 401, refused 400, refused 400, refused 401, refused 420 signed, junk");
    let at = |host: u8| ([192, 0, 2, host], 4_000).into();
    assert!(ice.is_checked(at(1)) && !ice.is_checked(at(2)) && ice.nominated().is_none());
}

#[test]
fn the_other_side_nominates() {
    let (mut ice, start) = agent();
    let script = "0:1 check, 50:1 use, 100:1 use, 5000:2 check, 5050:2 use";
    let came = "passed 200 signed, nominated 192.0.2.1:4000 200 signed, passed 200 signed, passed 200 signed, \
                nominated 192.0.2.2:4000 200 signed";
    assert_eq!(check(&mut ice, start, script), came);
    // Aggressive: every check nominates, the highest priority stands, in whichever order they come.
    let (mut ice, start) = agent();
    check(&mut ice, start, "0:1 use3, 50:2 use9, 100:3 use7, 150:1 use3, 200:2 use9, 250:3 use7");
    assert_eq!(ice.nominated(), Some(([192, 0, 2, 2], 4_000).into()));
}

#[test]
fn a_restart_keeps_media_where_it_was_until_the_next_nomination() {
    let (mut ice, start) = agent();
    check(&mut ice, start, "0:1 use9");
    ice.renegotiate(config(PASSWORD));
    assert_eq!(check(&mut ice, start, "50:2 use3"), "passed 200 signed");
    ice.renegotiate(config("another password, as long"));
    assert_eq!(check(&mut ice, start, "100:1 use9"), "refused 401");
    assert_eq!(ice.nominated(), Some(([192, 0, 2, 1], 4_000).into()));
    ice.renegotiate(config(PASSWORD));
    assert_eq!(check(&mut ice, start, "150:2 use3"), "nominated 192.0.2.2:4000 200 signed");
}

#[test]
fn answers_and_memory_are_bounded() {
    let (mut ice, start) = agent();
    let flood = |kind: &str, at: u64| vec![format!("{at}:1 {kind}"); 100].join(", ");
    let answered = |came: String, what: &str| came.matches(what).count();
    assert_eq!(answered(check(&mut ice, start, &flood("check", 0)), "200"), 10);
    assert_eq!(answered(check(&mut ice, start, &flood("check", 50)), "200"), 2);
    assert_eq!(answered(check(&mut ice, start, &flood("forged", 60)), "401"), 10);
    assert_eq!(answered(check(&mut ice, start, &flood("forged", 500)), "401"), 2);
    assert_eq!(answered(check(&mut ice, start, &flood("check", 500)), "200"), 10, "strangers use up none of it");
    // Ninety hosts pass; eight are remembered, and the nominated one.
    let many: Vec<String> = (1..91)
        .map(|host| format!("{}:{host} {}", 1_000 + host * 50, if host == 3 { "use" } else { "check" }))
        .collect();
    check(&mut ice, start, &many.join(", "));
    let checked = (0..=255).filter(|host| ice.is_checked(([192, 0, 2, *host], 4_000).into())).count();
    assert_eq!(checked, 9);
}

#[test]
fn nobody_waits_for_answers_that_are_not_fetched() {
    let (mut ice, start) = agent();
    let bytes = request(&[(0x0006, b"evtj:x")], Some(PASSWORD));
    for at in 0..100 {
        ice.handle(start + Duration::from_millis(at * 50), ([192, 0, 2, 1], 9).into(), &bytes);
    }
    let mut out = [0; ANSWER_MAX];
    assert_eq!(std::iter::from_fn(|| ice.poll(&mut out)).count(), 8);
}
