//! Two shields and a network in virtual time: keys from SDP and from handshakes, lost datagrams, strangers, changes in
//! mid-call.
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::rtp::Header;

static IDENTITIES: LazyLock<[Arc<Identity>; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| Arc::new(Identity::generate().unwrap())));

fn place(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 4_000).into()
}

/// Hosts of the two sides.
const A: u8 = 1;
const B: u8 = 2;

fn keys(suite: Suite, n: u8) -> Keys {
    Keys::new(suite, &vec![n; suite.key_len() + suite.salt_len()]).unwrap()
}

fn sdes(suite: Suite, send: u8, receive: u8) -> Security {
    Security::Sdes { send: keys(suite, send), receive: keys(suite, receive) }
}

/// Identity `own`, expecting the certificate of identity `other`.
fn dtls(own: usize, other: usize, role: Role) -> Security {
    let fingerprint = IDENTITIES[other].fingerprint().clone();
    Security::Dtls { identity: Arc::clone(&IDENTITIES[own]), role, fingerprint }
}

fn config(security: Security, remote: u8) -> ShieldConfig {
    ShieldConfig { security, ice: None, remote: place(remote), data: false }
}

struct Pair {
    now: Instant,
    a: Shield,
    b: Shield,
    sequence: u16,
    datagrams: u32,
    /// Whether the nth datagram of a handshake is lost.
    lose: fn(u32) -> bool,
}

impl Pair {
    #[allow(clippy::disallowed_methods)]
    fn new(a: Security, b: Security) -> Pair {
        let now = Instant::now();
        let (a, b) = (Shield::new(now, config(a, B), 0xA), Shield::new(now, config(b, A), 0xB));
        Pair { now, a, b, sequence: 65_530, datagrams: 0, lose: |_| false }
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += Duration::from_millis(20);
            let mut out = [0; 1_500];
            for from_a in [true, false, true, false] {
                let (own, other, from, to) =
                    if from_a { (&mut self.a, &mut self.b, A, B) } else { (&mut self.b, &mut self.a, B, A) };
                while let Some((len, address)) = own.poll(self.now, &mut out) {
                    assert_eq!(address, place(to));
                    self.datagrams += 1;
                    if !(self.lose)(self.datagrams) {
                        // A side that gave up wants no more of it.
                        let wanted = other.open(self.now, place(from), &mut out[..len]);
                        assert!(matches!(wanted, Opened::Nothing | Opened::Refused(Refusal::Unexpected)));
                    }
                }
            }
        }
    }

    fn packet(&mut self) -> ([u8; 32 + SEAL_MAX], usize) {
        let mut datagram = [0x55; 32 + SEAL_MAX];
        let header = Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp: 7, ssrc: 0xA };
        header.write(&mut datagram);
        self.sequence = self.sequence.wrapping_add(1);
        (datagram, 32)
    }

    /// One packet of a, sealed.
    fn sealed(&mut self) -> Option<Vec<u8>> {
        let (mut datagram, len) = self.packet();
        let len = self.a.seal_rtp(&mut datagram, len)?;
        Some(datagram[..len].to_vec())
    }

    /// What becomes of a packet of a at b: `plain`, `secure`, the refusal, or `unsent`.
    fn say(&mut self) -> String {
        let Some(mut sealed) = self.sealed() else { return "unsent".into() };
        deliver(&mut self.b, self.now, place(A), &mut sealed)
    }

    /// RTCP from b to a, likewise.
    fn report(&mut self) -> String {
        let mut datagram = [0; 8 + SEAL_MAX];
        datagram[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 0xB]);
        let Some(len) = self.b.seal_rtcp(&mut datagram, 8) else { return "unsent".into() };
        deliver(&mut self.a, self.now, place(B), &mut datagram[..len])
    }
}

fn deliver(to: &mut Shield, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> String {
    match to.open(now, from, datagram) {
        Opened::Rtp { packet, authenticated } => {
            assert_eq!((packet.len(), &packet[12..]), (32, &[0x55; 20][..]));
            if authenticated { "secure" } else { "plain" }.into()
        }
        Opened::Rtcp { packet, authenticated } => {
            assert_eq!(packet, [0x80, 201, 0, 1, 0, 0, 0, 0xB]);
            if authenticated { "secure" } else { "plain" }.into()
        }
        Opened::Nothing => "nothing".into(),
        Opened::Refused(refusal) => format!("{refusal:?}"),
    }
}

fn events(shield: &mut Shield) -> String {
    let name = |event| match event {
        ShieldEvent::Secured { suite } => suite.name().to_owned(),
        ShieldEvent::Failed(failure) => format!("{failure:?}"),
        ShieldEvent::Nominated(address) => address.to_string(),
    };
    std::iter::from_fn(|| shield.event()).map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn plain_is_what_it_was() {
    let mut pair = Pair::new(Security::Plain, Security::Plain);
    assert_eq!((pair.say(), pair.report()), ("plain".into(), "plain".into()));
    let now = pair.now;
    let mut offer = |bytes: &[u8]| deliver(&mut pair.b, now, place(A), &mut bytes.to_vec());
    assert_eq!(offer(&[0; 20]), "Unexpected");
    assert_eq!(offer(&[22; 20]), "Unexpected");
    assert_eq!((offer(&[]), offer(&[200; 20]), offer(&[64; 20])), ("Junk".into(), "Junk".into(), "Junk".into()));
    assert_eq!((pair.b.stats().junk, pair.b.stats().unexpected), (3, 2));
}

#[test]
fn keys_of_the_sdp_are_in_force_at_once() {
    for suite in Suite::ALL {
        let mut pair = Pair::new(sdes(suite, 1, 2), sdes(suite, 2, 1));
        assert_eq!(events(&mut pair.a), suite.name());
        assert_eq!((pair.say(), pair.report(), pair.say()), ("secure".into(), "secure".into(), "secure".into()));
        let mut twice = pair.sealed().unwrap();
        let mut again = twice.clone();
        assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut twice), "secure");
        assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut again), "Replayed");
        let (mut plain, len) = pair.packet();
        assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut plain[..len]), "Unauthenticated");
        assert_eq!((pair.b.stats().replayed, pair.b.stats().unauthenticated), (1, 1));
    }
}

#[test]
fn new_keys_of_a_re_invite_leave_nothing_behind() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut pair = Pair::new(sdes(suite, 1, 2), sdes(suite, 2, 1));
    (0..20).for_each(|_| assert_eq!(pair.say(), "secure"));
    // The same keys again: past the rollover, so this would fail if the counter began anew.
    pair.a.renegotiate(pair.now, config(sdes(suite, 1, 2), B));
    pair.b.renegotiate(pair.now, config(sdes(suite, 2, 1), A));
    assert_eq!((pair.say(), pair.a.stats().keyings), ("secure".into(), 1));
    let mut under_way = [pair.sealed().unwrap(), pair.sealed().unwrap()];
    pair.b.renegotiate(pair.now, config(sdes(Suite::AeadAes256Gcm, 2, 3), A));
    assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut under_way[0]), "secure");
    pair.a.renegotiate(pair.now, config(sdes(Suite::AeadAes256Gcm, 3, 2), B));
    assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
    pair.wait(2_000);
    assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut under_way[1]), "Unauthenticated");
    assert_eq!(pair.say(), "secure");
    pair.a.renegotiate(pair.now, config(Security::Plain, B));
    assert_eq!(pair.say(), "Unauthenticated");
    pair.b.renegotiate(pair.now, config(Security::Plain, A));
    assert_eq!(pair.say(), "plain");
}

/// A handshake with these datagrams lost; how long it took in ms at most, and what it cost.
fn shake(a: Role, lose: fn(u32) -> bool, within_ms: u64) {
    let b = if a == Role::Active { Role::Passive } else { Role::Active };
    let mut pair = Pair::new(dtls(0, 1, a), dtls(1, 0, b));
    pair.lose = lose;
    assert_eq!((pair.say(), pair.report()), ("unsent".into(), "unsent".into()));
    pair.wait(within_ms);
    let (name_a, name_b) = (events(&mut pair.a), events(&mut pair.b));
    assert_eq!((name_a.as_str(), name_b.as_str()), ("AEAD_AES_256_GCM", "AEAD_AES_256_GCM"), "{a:?}");
    (0..10).for_each(|_| assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into())));
    pair.wait(60_000);
    assert_eq!(events(&mut pair.a) + &events(&mut pair.b), "", "and nothing fails later");
}

#[test]
fn handshakes_make_keys_whoever_begins() {
    shake(Role::Active, |_| false, 100);
    shake(Role::Passive, |_| false, 100);
}

#[test]
fn lost_datagrams_are_sent_again() {
    shake(Role::Active, |n| n == 1, 1_000);
    shake(Role::Passive, |n| n == 3 || n == 4, 3_000);
    shake(Role::Active, |n| n % 3 == 0, 9_000);
}

#[test]
fn a_certificate_that_does_not_match_makes_no_keys() {
    for (a, b) in [(Role::Active, Role::Passive), (Role::Passive, Role::Active)] {
        let mut pair = Pair::new(dtls(0, 2, a), dtls(1, 0, b));
        pair.wait(1_000);
        assert_eq!((events(&mut pair.a), pair.a.is_open()), ("Fingerprint".into(), false));
        assert_eq!(pair.say(), "unsent");
        // The next offer tells the right one, and both begin anew.
        pair.a.renegotiate(pair.now, config(dtls(0, 1, a), B));
        pair.b.renegotiate(pair.now, config(Security::Plain, A));
        pair.b.renegotiate(pair.now, config(dtls(1, 0, b), A));
        pair.wait(100);
        assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
    }
}

#[test]
fn a_handshake_that_nobody_answers_ends() {
    for role in [Role::Active, Role::Passive] {
        let mut pair = Pair::new(dtls(0, 1, role), Security::Plain);
        pair.lose = |_| true;
        pair.wait(5_000);
        assert_eq!(events(&mut pair.a), "");
        pair.wait(27_000);
        assert_eq!((events(&mut pair.a), pair.say()), ("TimedOut".into(), "unsent".into()));
    }
}

#[test]
fn media_before_keys_is_refused() {
    let mut pair = Pair::new(Security::Plain, dtls(1, 0, Role::Passive));
    assert_eq!((pair.say(), pair.b.stats().no_keys), ("NoKeys".into(), 1));
}

#[test]
fn a_new_fingerprint_begins_anew_while_the_old_keys_serve() {
    let mut pair = Pair::new(dtls(0, 1, Role::Active), dtls(1, 0, Role::Passive));
    pair.wait(100);
    assert_eq!(pair.say(), "secure");
    // Signalled again unchanged: nothing happens.
    pair.a.renegotiate(pair.now, config(dtls(0, 1, Role::Active), B));
    assert_eq!((pair.a.stats().handshakes, pair.say()), (1, "secure".into()));
    pair.a.renegotiate(pair.now, config(dtls(2, 1, Role::Passive), B));
    pair.b.renegotiate(pair.now, config(dtls(1, 2, Role::Active), A));
    assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
    let mut under_way = pair.sealed().unwrap();
    pair.wait(100);
    assert_eq!((pair.a.stats().keyings, pair.b.stats().keyings), (2, 2));
    assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut under_way), "secure");
    assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
}

/// Strangers at b's port, who waits for a handshake from a; `from` is their host.
fn strange(pair: &mut Pair, from: u8) -> Shield {
    let mut stranger = Shield::new(pair.now, config(dtls(2, 1, Role::Active), B), 9);
    for _ in 0..20 {
        let mut out = [0; 1_500];
        while let Some((len, _)) = stranger.poll(pair.now, &mut out) {
            pair.b.open(pair.now, place(from), &mut out[..len]);
        }
        while let Some((len, to)) = pair.b.poll(pair.now, &mut out) {
            if to == place(from) {
                stranger.open(pair.now, place(B), &mut out[..len]);
            }
        }
    }
    stranger
}

#[test]
fn strangers_handshakes_do_not_end_the_call() {
    let mut pair = Pair::new(dtls(0, 1, Role::Active), dtls(1, 0, Role::Passive));
    for host in 50..60 {
        strange(&mut pair, host);
        assert_eq!((events(&mut pair.b), pair.b.is_open()), (String::new(), false));
    }
    assert!(pair.b.stats().handshakes < 6, "{} begun", pair.b.stats().handshakes);
    pair.wait(100);
    assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
    strange(&mut pair, 70);
    assert_eq!((pair.say(), pair.report()), ("secure".into(), "secure".into()));
}

#[test]
fn with_ice_only_checked_addresses_count() {
    let ice = Some(IceConfig { local_ufrag: "evtj".into(), local_pwd: "VOkJxbRl1RmTxUk/WvJxBt".into() });
    let mut pair = Pair::new(Security::Plain, Security::Plain);
    pair.b.renegotiate(pair.now, ShieldConfig { ice, ..config(Security::Plain, A) });
    assert_eq!(pair.say(), "Unchecked");
    // RFC 5769, 2.1.
    let mut check =
        hex("00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff
         80290008 932ff9b151263b36 00060009 6576746a3a68367659202020
         00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf");
    assert_eq!(deliver(&mut pair.b, pair.now, place(A), &mut check), "nothing");
    let mut out = [0; 1_500];
    assert!(pair.b.poll(pair.now, &mut out).is_some_and(|(len, to)| len == 64 && to == place(A)));
    assert_eq!((pair.say(), pair.b.stats().checks_passed), ("plain".into(), 1));
    let (mut packet, len) = pair.packet();
    assert_eq!(deliver(&mut pair.b, pair.now, place(66), &mut packet[..len]), "Unchecked");
}

fn any_datagram() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![0..4u8, 20..26u8, Just(0x80u8), any::<u8>()];
    (first, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(first, mut bytes)| {
        bytes.insert(0, first);
        // A record header of DTLS 1.2 that says the right length, so that more of it is read.
        if (20..26).contains(&first) && bytes.len() > 25 {
            let len = (bytes.len() - 13) as u16;
            bytes[1..3].copy_from_slice(&[0xFE, 0xFD]);
            bytes[3..11].fill(0);
            bytes[11..13].copy_from_slice(&len.to_be_bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_from_anywhere_are_taken(datagrams in prop::collection::vec((0..4u8, any_datagram()), 1..20)) {
        let mut pair = Pair::new(dtls(0, 1, Role::Active), dtls(1, 0, Role::Passive));
        pair.lose = |n| n > 5;
        pair.wait(20);
        let mut out = [0; 1_500];
        for (from, mut bytes) in datagrams {
            for shield in [&mut pair.a, &mut pair.b] {
                let _ = shield.open(pair.now, place(from), &mut bytes);
                let sent = std::iter::from_fn(|| shield.poll(pair.now, &mut out)).count();
                prop_assert!(sent < 20);
            }
        }
    }
}
