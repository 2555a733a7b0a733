//! SRTP against another implementation, over rollovers, losses, reordering and replays, and against bytes that are
//! almost right.
use proptest::prelude::*;

use super::srtp::{Opener, Sealer};
use super::{Keys, Refusal, SEAL_MAX, Suite, hex};

const SSRC: u32 = 0xCAFE_BABE;
/// A receiver report and a canonical name.
const RTCP: &str = "81c90007 cafebabe 11112222 00000003 00010004 00000005 00000006 00000007
    81ca0003 cafebabe 0103616c 6f000000";

fn keys(suite: Suite) -> Keys {
    let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|i| (7 * i + 3) as u8).collect();
    Keys::new(suite, &bytes).unwrap()
}

/// A packet with one contributing source, a header extension of one word and a few bytes of payload.
fn packet(ssrc: u32, index: u64) -> Vec<u8> {
    let sequence = index as u16;
    let mut bytes = vec![0x91, 8];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((160 * u32::from(sequence)).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(hex("01020304 bede0001 10aa0000"));
    bytes.extend(b"hello, line");
    bytes
}

fn seal(sealer: &mut Sealer, packet: &[u8], rtcp: bool) -> Option<Vec<u8>> {
    let mut datagram = packet.to_vec();
    datagram.resize(packet.len() + SEAL_MAX, 0xEE);
    let len = if rtcp { sealer.rtcp(&mut datagram, packet.len())? } else { sealer.rtp(&mut datagram, packet.len())? };
    datagram.truncate(len);
    Some(datagram)
}

fn open(opener: &mut Opener, datagram: &[u8], rtcp: bool) -> Result<Vec<u8>, Refusal> {
    let mut opened = datagram.to_vec();
    let len = if rtcp { opener.rtcp(&mut opened) } else { opener.rtp(&mut opened) };
    if len.is_err() {
        assert_eq!(opened, datagram, "what is refused stays as it came");
    }
    len.map(|len| opened[..len].to_vec())
}

/// Made by libsrtp 2 (pylibsrtp 1.0.0): `Session.protect` of the packets 65534, 65535, 0 and 1, of which the first
/// and the last stand here, and `Session.protect_rtcp`; the key's bytes are 3, 10, 17, ...
const ORACLE: [(Suite, &str, &str, &str); 4] = [
    (
        Suite::AesCm128HmacSha1_80,
        "9108fffe009ffec0cafebabe01020304bede000110aa00009dae6c511d4e2d71835d1e2b7ae067642869c5205a",
        "91080001000000a0cafebabe01020304bede000110aa0000780c2804b5d12ca31526de27d99f66ee114a04f12e",
        "81c90007cafebabe265a7d5f8c73b4c4e55fb9f4f57e5aa2423257de26f8da953b76729e7e2e9dafd92517d64df43f19
         80000001a18310dd6e462b8f1f8f",
    ),
    (
        Suite::AesCm128HmacSha1_32,
        "9108fffe009ffec0cafebabe01020304bede000110aa00009dae6c511d4e2d71835d1e2b7ae067",
        "91080001000000a0cafebabe01020304bede000110aa0000780c2804b5d12ca31526de27d99f66",
        "81c90007cafebabe265a7d5f8c73b4c4e55fb9f4f57e5aa2423257de26f8da953b76729e7e2e9dafd92517d64df43f19
         80000001a18310dd6e462b8f1f8f",
    ),
    (
        Suite::AeadAes128Gcm,
        "9108fffe009ffec0cafebabe01020304bede000110aa00008dd3ce67d339e8851df6fd604a4536c98f9a66dc5d1258079017dd",
        "91080001000000a0cafebabe01020304bede000110aa0000407c27ff72b4789a95435ef7b04ea13c819113a31028722fe20f07",
        "81c90007cafebabef469a7767d5517def610ab43f31affeb5d7b4b99c81dbe3c7606ed6c697283543342d0f853f4af8d
         2458ab616c8ad0515e0a5b07727a6d3b80000001",
    ),
    (
        Suite::AeadAes256Gcm,
        "9108fffe009ffec0cafebabe01020304bede000110aa000095e8a1339c7a564b5f10d25525eb69908caac6298594b6ee040809",
        "91080001000000a0cafebabe01020304bede000110aa00006ab4b613e8518e0e00d256ad636f7f2838493b3b0e7eb461001fef",
        "81c90007cafebabe1561600711c9298c5d48aed8be75e358bdb6b45bba6a12e1da8f3d42770bc6cef7e2e835848ee7ef
         931e2e97c0fbeb6019b5bfa831b706ac80000001",
    ),
];

#[test]
fn packets_are_those_of_libsrtp() {
    for (suite, first, rolled_over, rtcp) in ORACLE {
        let (mut sealer, mut opener) = (Sealer::new(&keys(suite), SSRC), Opener::new(&keys(suite), None));
        let sealed: Vec<_> = (65_534..65_538).map(|i| seal(&mut sealer, &packet(SSRC, i), false).unwrap()).collect();
        assert_eq!(sealed[0], hex(first), "{suite:?}");
        assert_eq!(sealed[3], hex(rolled_over), "{suite:?}");
        assert_eq!(open(&mut opener, &hex(first), false), Ok(packet(SSRC, 65_534)));
        assert_eq!(open(&mut opener, &hex(rolled_over), false), Ok(packet(SSRC, 1)));
        // libsrtp's first index of RTCP is 1, ours 0, as RFC 3711, 3.4 has it.
        seal(&mut sealer, &hex(RTCP), true).unwrap();
        assert_eq!(seal(&mut sealer, &hex(RTCP), true), Some(hex(rtcp)), "{suite:?}");
        assert_eq!(open(&mut opener, &hex(rtcp), true), Ok(hex(RTCP)));
        assert_eq!(open(&mut opener, &hex(rtcp), true), Err(Refusal::Replayed));
    }
}

/// Seals every packet named, in order of index, and delivers them as the script says: `+` opened, `r` a replay, `x`
/// no authentication.
fn check(script: &str, expected: &str) {
    let order: Vec<u64> = script.split_whitespace().map(|word| word.parse().unwrap()).collect();
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = (Sealer::new(&keys(suite), SSRC), Opener::new(&keys(suite), None));
        let indices: std::collections::BTreeSet<u64> = order.iter().copied().collect();
        let sealed: std::collections::BTreeMap<u64, Vec<u8>> =
            indices.iter().map(|i| (*i, seal(&mut sealer, &packet(SSRC, *i), false).unwrap())).collect();
        let deliver = |index: &u64| match open(&mut opener, &sealed[index], false) {
            Ok(bytes) => {
                assert_eq!(bytes, packet(SSRC, *index));
                '+'
            }
            Err(Refusal::Replayed) => 'r',
            Err(_) => 'x',
        };
        assert_eq!(order.iter().map(deliver).collect::<String>(), expected, "{suite:?}: {script}");
    }
}

#[test]
fn the_rollover_survives_loss_reordering_and_replay() {
    check("65533 65534 65535 65536 65537", "+++++");
    check("65500 65540 65541 65541", "+++r");
    check("65535 65537 65536 65534 65535 65536", "++++rr");
    check("32768 65535 98302 98303 131070 131072 131073", "+++++++");
    // The first that is heard comes after the rollover, then one from before it.
    check("65537 65534 65536 65538", "++++");
    // Beyond the window it is as good as a replay.
    check("1000 1200 1000 1072 1073 1199 1201", "++rr+++");
    check("65500 65700 65500 65572 65573", "++rr+");
    let every_minute: Vec<String> = (0..200).map(|i| (i * 3_000).to_string()).collect();
    check(&every_minute.join(" "), &"+".repeat(200));
}

#[test]
fn a_hundred_thousand_packets_in_a_row() {
    let (mut sealer, mut opener) =
        (Sealer::new(&keys(Suite::AeadAes128Gcm), 1), Opener::new(&keys(Suite::AeadAes128Gcm), None));
    for index in 60_000..160_000u64 {
        let sealed = seal(&mut sealer, &packet(1, index), false).unwrap();
        // Three in ten are lost, and all of a tenth of a second around each rollover.
        if index % 10 < 7 && (index + 3) % 65_536 > 6 {
            assert_eq!(open(&mut opener, &sealed, false), Ok(packet(1, index)));
        }
    }
}

#[test]
fn not_a_bit_may_change() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = (Sealer::new(&keys(suite), SSRC), Opener::new(&keys(suite), None));
        for rtcp in [false, true] {
            let plain = if rtcp { hex(RTCP) } else { packet(SSRC, 7) };
            let sealed = seal(&mut sealer, &plain, rtcp).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut wrong = sealed.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(open(&mut opener, &wrong, rtcp).is_err(), "{suite:?}, bit {bit}");
            }
            for len in 0..sealed.len() {
                assert!(open(&mut opener, &sealed[..len], rtcp).is_err(), "{suite:?}, {len} bytes");
            }
            // None of all that was remembered.
            assert_eq!(open(&mut opener, &sealed, rtcp), Ok(plain));
        }
    }
}

#[test]
fn rtcp_in_the_clear_was_not_agreed() {
    let (mut sealer, mut opener) =
        (Sealer::new(&keys(Suite::AesCm128HmacSha1_80), SSRC), Opener::new(&keys(Suite::AesCm128HmacSha1_80), None));
    let mut sealed = seal(&mut sealer, &hex(RTCP), true).unwrap();
    let at = sealed.len() - 14;
    sealed[at] &= 0x7F;
    assert_eq!(open(&mut opener, &sealed, true), Err(Refusal::NotSecured));
}

#[test]
fn nothing_is_sealed_twice_nor_for_others_nor_without_room() {
    let mut sealer = Sealer::new(&keys(Suite::AesCm128HmacSha1_80), SSRC);
    let mut sealed = |ssrc, index| seal(&mut sealer, &packet(ssrc, index), false).is_some();
    assert!(sealed(SSRC, 65_535) && !sealed(SSRC, 65_535) && !sealed(SSRC, 65_534));
    assert!(sealed(SSRC, 65_536) && !sealed(SSRC, 65_535) && !sealed(SSRC + 1, 65_537));
    assert_eq!(seal(&mut sealer, &hex("81c90001 cafebabf"), true), None);
    let mut tight = packet(SSRC, 65_538);
    let len = tight.len();
    tight.resize(len + 9, 0);
    assert_eq!(sealer.rtp(&mut tight, len), None);
    tight.push(0);
    assert_eq!(sealer.rtp(&mut tight, len), Some(len + 10));
    assert_eq!(sealer.rtp(&mut tight, len + 11), None);
    assert_eq!(sealer.rtcp(&mut tight, 7), None);
}

#[test]
fn sources_are_few_and_the_oldest_gives_way() {
    let mut opener = Opener::new(&keys(Suite::AesCm128HmacSha1_80), None);
    for ssrc in 0..40 {
        let mut sealer = Sealer::new(&keys(Suite::AesCm128HmacSha1_80), ssrc);
        let sealed = seal(&mut sealer, &packet(ssrc, 9), false).unwrap();
        assert!(open(&mut opener, &sealed, false).is_ok());
        assert_eq!(open(&mut opener, &sealed, false), Err(Refusal::Replayed));
    }
}

#[test]
fn new_keys_are_understood_whether_the_rollover_counter_goes_on_or_not() {
    let (old, new) = (keys(Suite::AesCm128HmacSha1_80), keys(Suite::AeadAes256Gcm));
    let mut sealer = Sealer::new(&old, SSRC);
    let mut opener = Opener::new(&old, None);
    for index in (30_000..200_000).step_by(10_000) {
        assert!(open(&mut opener, &seal(&mut sealer, &packet(SSRC, index), false).unwrap(), false).is_ok());
    }
    let mut anew = Sealer::new(&new, SSRC);
    let sealed = seal(&mut anew, &packet(SSRC, 190_001), false).unwrap();
    assert_eq!(open(&mut Opener::new(&new, Some(&opener)), &sealed, false), Ok(packet(SSRC, 190_001)));
    let mut going_on = Sealer::new(&new, SSRC);
    (30_000..200_000).step_by(10_000).for_each(|i| assert!(seal(&mut going_on, &packet(SSRC, i), false).is_some()));
    let sealed = seal(&mut going_on, &packet(SSRC, 190_001), false).unwrap();
    assert_eq!(open(&mut Opener::new(&new, Some(&opener)), &sealed, false), Ok(packet(SSRC, 190_001)));
    assert_eq!(open(&mut Opener::new(&new, None), &sealed, false), Err(Refusal::Unauthenticated));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0..220usize, n in 0..4usize) {
        let keys = keys(Suite::ALL[n]);
        let (mut sealer, mut opener) = (Sealer::new(&keys, SSRC), Opener::new(&keys, None));
        prop_assert!(opener.rtp(&mut bytes).is_err() && opener.rtcp(&mut bytes).is_err());
        let sealed = sealer.rtp(&mut bytes, len);
        prop_assert!(sealed.is_none_or(|sealed| sealed <= bytes.len()));
        let sealed = sealer.rtcp(&mut bytes, len);
        prop_assert!(sealed.is_none_or(|sealed| sealed <= bytes.len()));
    }
}
