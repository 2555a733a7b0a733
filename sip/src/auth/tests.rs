//! Digests against published ones, and a client against a guard, on virtual time. Never against a network.
#![allow(clippy::disallowed_methods)]

use super::*;
use crate::message::Name;
use crate::uri::Uri;
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const USER: &str = "trunk \"a\\b\"";
const PASSWORD: &str = "pa\"ss:w\u{f6}rd";
const BODY: &[u8] = b"v=0\r\nm=audio 1 RTP/AVP 0\r\n";
const METHOD: &str = "INVITE";

/// `algorithm | user | realm | password | nonce | [qop nc cnonce] | method | uri | response`.
#[test]
fn published_digests() {
    let bob_body = "v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\nc=IN IP4 media.biloxi.com\r\n\
        t=0 0\r\nm=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n\
        m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n";
    // RFC 2617 3.5; RFC 7616 3.9.1 twice; bob of biloxi.com without qop, with auth and with auth-int
    // (draft-smith-sipping-auth-examples); RFC 7616 3.9.2 as OpenSSL computes it (the RFC's own is wrong, erratum 4897).
    let vectors = [
        "MD5|Mufasa|testrealm@host.com|Circle Of Life|dcd98b7102dd2f0e8b11d0f600bfb0c093|auth 00000001 0a4f113b|GET|\
         /dir/index.html|6629fae49393a05397450978507c4ef1",
        "MD5|Mufasa|http-auth@example.org|Circle of Life|7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v|\
         auth 00000001 f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ|GET|/dir/index.html|8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256|Mufasa|http-auth@example.org|Circle of Life|7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v|\
         auth 00000001 f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ|GET|/dir/index.html|\
         753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        "MD5|bob|biloxi.com|zanzibar|dcd98b7102dd2f0e8b11d0f600bfb0c093||INVITE|sip:bob@biloxi.com|\
         bf57e4e0d0bffc0fbaedce64d59add5e",
        "MD5|bob|biloxi.com|zanzibar|dcd98b7102dd2f0e8b11d0f600bfb0c093|auth 00000001 0a4f113b|INVITE|sip:bob@biloxi.com|\
         89eb0059246c02b2f6ee02c7961d5ea3",
        "MD5|bob|biloxi.com|zanzibar|dcd98b7102dd2f0e8b11d0f600bfb0c093|auth-int 00000001 0a4f113b|INVITE|\
         sip:bob@biloxi.com|bdbeebb2da6adb6bca02599c2239e192",
        "SHA-512-256|J\u{e4}s\u{f8}n Doe|api@example.org|Secret, or not?|5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK|\
         auth 00000001 NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm|GET|/doe.json|\
         7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c",
    ];
    for vector in vectors {
        let parts: Vec<&str> = vector.split('|').collect();
        let [algorithm, user, realm, password, nonce, shared, method, uri, response] = parts[..] else { panic!() };
        let shared: Vec<&str> = shared.split(' ').collect();
        let shared = match shared[..] {
            [qop, nc, cnonce] => Some(Shared { qop: Qop::parse(qop).unwrap(), nc, cnonce }),
            _ => None,
        };
        let (algorithm, body) = (Algorithm::parse(algorithm).unwrap(), bob_body.as_bytes());
        let proof = Proof { algorithm, user, realm, password, nonce, shared, method, uri, body };
        assert_eq!(proof.response(), response, "{vector}");
    }
    // The user hash of erratum 4897.
    let hashed = Algorithm::Sha512_256.hash(&["J\u{e4}s\u{f8}n Doe".as_bytes(), b"api@example.org"]);
    assert_eq!(hashed, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
}

fn credentials(password: &str) -> Credentials {
    Credentials { user: USER.to_owned(), password: Private::new(password.to_owned()), realm: None }
}

/// One client, one guard, one clock.
struct Stage {
    now: Instant,
    guard: Guard,
    client: Client,
    dice: u64,
    source: IpAddr,
    allows_md5: bool,
}

impl Stage {
    fn new(config: GuardConfig) -> Self {
        let source = "192.0.2.7".parse().unwrap();
        let (guard, client) = (Guard::new(config, 7), Client::new(credentials(PASSWORD)));
        Self { now: Instant::now(), guard, client, dice: 0, source, allows_md5: true }
    }

    fn challenge(&mut self, is_stale: bool, edit: &dyn Fn(String) -> String) -> Result<(), Refused> {
        let values = self.guard.challenge(self.now, self.source, is_stale);
        let values: Vec<String> = values.into_iter().map(edit).collect();
        self.client.challenged(&values.iter().map(String::as_str).collect::<Vec<_>>(), false)
    }

    fn sign(&mut self, uri: &str) -> String {
        self.dice += 1;
        let headers = self.client.authorize(self.dice, METHOD, uri, BODY);
        headers.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", ")
    }

    fn check(&mut self, authorization: &str, uri: &str, body: &[u8]) -> Verdict<u8> {
        let uri = Uri::parse(uri).unwrap();
        let signed = Signed { source: self.source, method: METHOD, uri: &uri, body };
        let allows_md5 = self.allows_md5;
        let lookup = |user: &str| (user == USER).then_some(Account { who: 5, password: PASSWORD, allows_md5 });
        self.guard.check(self.now, &signed, &[authorization], lookup)
    }
}

const URI: &str = "sip:100@192.0.2.1";

#[test]
fn client_and_guard_agree() {
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        for qop in ["qop=\"auth,auth-int\"", "qop=\"auth-int\"", "qop=auth", "x=y"] {
            let mut stage = Stage::new(GuardConfig::default());
            let keep = |value: String| match value.contains(&format!("algorithm={algorithm},")) {
                true => value.replace("qop=\"auth,auth-int\"", qop),
                false => "Basic realm=\"x\"".to_owned(),
            };
            stage.challenge(false, &keep).unwrap();
            let first = stage.sign(URI);
            assert!(first.contains(&format!("algorithm={algorithm}")), "{first}");
            assert_eq!(first.contains("qop=auth-int"), qop == "qop=\"auth-int\"");
            assert_eq!(stage.check(&first, URI, BODY), Verdict::Ok(5), "{first}");
            // The same again is a copy; the next is not, but where nothing is counted.
            assert_eq!(stage.check(&first, URI, BODY), Verdict::Stale);
            let second = stage.sign("sip:200@192.0.2.1");
            let expected = if qop == "x=y" { Verdict::Stale } else { Verdict::Ok(5) };
            assert_eq!(stage.check(&second, "sip:200@192.0.2.1", BODY), expected);
            let third = stage.sign(URI);
            let expected = if qop == "qop=\"auth-int\"" { Verdict::Wrong } else { expected };
            assert_eq!(stage.check(&third, URI, b"another body"), expected);
        }
    }
}

#[test]
fn the_strongest_is_taken() {
    let mut stage = Stage::new(GuardConfig::default());
    stage.challenge(false, &|v| v).unwrap();
    assert!(stage.sign(URI).contains("algorithm=SHA-512-256, "));
    let mut stage = Stage::new(GuardConfig { offers_md5: false, ..GuardConfig::default() });
    let offered = stage.guard.challenge(stage.now, stage.source, false);
    assert_eq!(offered.len(), 2);
    assert!(offered.iter().all(|o| !o.contains("MD5") && !o.contains("stale")));
    assert_eq!(stage.challenge(false, &|v| v.replace("SHA-512-256", "SHA-3")), Ok(()));
    assert!(stage.sign(URI).contains("algorithm=SHA-256, "));
}

#[test]
fn md5_is_not_enough_for_everybody() {
    let mut stage = Stage::new(GuardConfig::default());
    stage.allows_md5 = false;
    stage.challenge(false, &|v| if v.contains("MD5") { v } else { String::new() }).unwrap();
    let signed = stage.sign(URI);
    assert_eq!(stage.check(&signed, URI, BODY), Verdict::Wrong);
}

/// What is done to credentials before they are judged, and what they are worth then.
#[test]
fn forged_and_spoilt() {
    let check = |edit: &dyn Fn(&mut Stage, String) -> String, expected: Verdict<u8>| {
        let mut stage = Stage::new(GuardConfig::default());
        stage.challenge(false, &|v| v).unwrap();
        let signed = stage.sign(URI);
        let edited = edit(&mut stage, signed);
        assert_eq!(stage.check(&edited, URI, BODY), expected, "{edited}");
    };
    let replace = |from: &'static str, to: &'static str| move |_: &mut Stage, v: String| v.replacen(from, to, 1);
    check(&|_, v| v, Verdict::Ok(5));
    check(&replace("Digest ", "digest  realm=\"other\",Digest "), Verdict::Ok(5));
    check(&replace("SHA-512-256", "\"sha-512-256\""), Verdict::Ok(5));
    check(&replace("qop=auth", "qop=\"auth\""), Verdict::Ok(5));
    check(&replace("qop=auth", "qop=auth-int"), Verdict::Wrong);
    check(&replace("qop=auth", "qop=both"), Verdict::Wrong);
    check(&replace("Digest ", "Basic "), Verdict::Missing);
    check(&replace("realm=\"dauys\"", "realm=\"other\""), Verdict::Missing);
    check(&replace("trunk", "trink"), Verdict::Wrong);
    check(&replace("algorithm=SHA-512-256", "algorithm=SHA-256"), Verdict::Wrong);
    check(&replace("algorithm=SHA-512-256, ", ""), Verdict::Wrong);
    check(&replace("nc=00000001", "nc=00000002"), Verdict::Wrong);
    check(&replace("nc=00000001", "nc=+0000001"), Verdict::Wrong);
    check(&replace("nc=00000001", "nc=00000000"), Verdict::Wrong);
    check(&replace("nonce=\"0", "nonce=\"1"), Verdict::Wrong);
    check(&replace("uri=\"sip:100@", "uri=\"sip:101@"), Verdict::Wrong);
    check(&replace("Digest ", "Digest uri=\"sip:x@y\", "), Verdict::Wrong);
    check(&|_, v| v.to_uppercase().replace("DAUYS", "dauys"), Verdict::Wrong);
    check(&|_, v| v.get(..60).unwrap().to_owned(), Verdict::Missing);
    let later = |ms: u64| {
        move |stage: &mut Stage, v: String| {
            stage.now += Duration::from_millis(ms);
            v
        }
    };
    check(&later(300_000), Verdict::Ok(5));
    check(&later(300_001), Verdict::Stale);
    let elsewhere = |source: &'static str| {
        move |stage: &mut Stage, v: String| {
            stage.source = source.parse().unwrap();
            v
        }
    };
    check(&elsewhere("192.0.2.8"), Verdict::Stale);
    check(&elsewhere("::ffff:192.0.2.7"), Verdict::Ok(5));
    let other_guard = |stage: &mut Stage, v: String| {
        stage.guard = Guard::new(GuardConfig::default(), 8);
        v
    };
    check(&other_guard, Verdict::Stale);
    let wrong_password = |stage: &mut Stage, _: String| {
        stage.client = Client::new(credentials("guess"));
        stage.challenge(false, &|v| v).unwrap();
        stage.sign(URI)
    };
    check(&wrong_password, Verdict::Wrong);
}

#[test]
fn the_uri_may_lose_its_trimmings() {
    let check = |signed: &str, request: &str, expected: Verdict<u8>| {
        let mut stage = Stage::new(GuardConfig::default());
        stage.challenge(false, &|v| v).unwrap();
        let signed = stage.sign(signed);
        assert_eq!(stage.check(&signed, request, BODY), expected, "{signed} {request}");
    };
    check("sip:100@example.com:5060", "sip:100@EXAMPLE.com;transport=tcp", Verdict::Ok(5));
    check("sip:1%300@example.com", "sip:100@example.com", Verdict::Ok(5));
    check("sip:100@example.com:5070", "sip:100@example.com", Verdict::Wrong);
    check("sip:100@example.com", "sip:200@example.com", Verdict::Wrong);
    check("sip:100@example.com", "sips:100@example.com:5060", Verdict::Wrong);
    check("tel:+1", "tel:+1", Verdict::Ok(5));
    check("tel:+1", "tel:+2", Verdict::Wrong);
    check("100", "sip:100@example.com", Verdict::Wrong);
}

#[test]
fn counts_overtake_but_never_repeat() {
    let mut stage = Stage::new(GuardConfig::default());
    stage.challenge(false, &|v| v).unwrap();
    let signed: Vec<String> = (0..200).map(|_| stage.sign(URI)).collect();
    for (i, expected) in [(9, 5), (0, 5), (9, 0), (8, 5), (0, 0), (72, 5), (8, 0), (9, 0), (10, 5), (73, 5), (199, 5)] {
        let got = stage.check(&signed[i], URI, BODY);
        let expected = if expected == 5 { Verdict::Ok(5) } else { Verdict::Stale };
        assert_eq!(got, expected, "{i}");
    }
    assert_eq!(stage.guard.nonces(), 1);
}

#[test]
fn only_who_knows_the_password_takes_memory() {
    let mut stage = Stage::new(GuardConfig { nonces_max: 100, ..GuardConfig::default() });
    for _ in 0..1000 {
        let _ = stage.guard.challenge(stage.now, stage.source, false);
        let _ = stage.check("Digest realm=\"dauys\", username=\"x\"", URI, BODY);
    }
    assert_eq!(stage.guard.nonces(), 0);
    let mut first = String::new();
    for i in 0..1000 {
        stage.client = Client::new(credentials(PASSWORD));
        stage.challenge(false, &|v| v).unwrap();
        let signed = stage.sign(URI);
        assert_eq!(stage.check(&signed, URI, BODY), Verdict::Ok(5));
        stage.now += Duration::from_millis(10);
        if i == 0 {
            first = signed;
        }
    }
    assert_eq!(stage.guard.nonces(), 100);
    // What was forgotten does not come back as new.
    assert_eq!(stage.check(&first, URI, BODY), Verdict::Stale);
    stage.now += Duration::from_secs(301);
    stage.client = Client::new(credentials(PASSWORD));
    stage.challenge(false, &|v| v).unwrap();
    let signed = stage.sign(URI);
    assert_eq!((stage.check(&signed, URI, BODY), stage.guard.nonces()), (Verdict::Ok(5), 1));
}

/// `407 realm [stale]` or `accepted` or `send`, and what the client makes of it.
fn talk(client: &mut Client, script: &str) {
    for (n, line) in script.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
        let (input, expected) = line.split_once(" ->").map(|(i, e)| (i, e.trim())).unwrap();
        let words: Vec<&str> = input.split(' ').collect();
        let got = match words[0] {
            "accepted" => {
                client.accepted();
                "ok".to_owned()
            }
            "send" => {
                let headers = client.authorize(1, "BYE", URI, b"");
                let short = |(name, value): (Name, String)| {
                    let nc = value.split("nc=0000000").nth(1).map_or("-", |n| n.get(..1).unwrap());
                    let name = if name == Name::Authorization { "www" } else { "proxy" };
                    format!("{name} {} {nc}", value.split("realm=").nth(1).unwrap().split(',').next().unwrap())
                };
                headers.into_iter().map(short).collect::<Vec<_>>().join("; ")
            }
            status => {
                let stale = if words.contains(&"stale") { ",stale=TRUE" } else { "" };
                let value = format!("Digest realm={},nonce=\"n{n}\",qop=auth{stale}", words[1]);
                format!("{:?}", client.challenged(&[&value], status == "407"))
            }
        };
        assert_eq!(got, expected, "line {n}: {line}");
    }
}

#[test]
fn challenges_are_answered_and_end() {
    let check = |script: &str| talk(&mut Client::new(credentials(PASSWORD)), script);
    // A wrong password: once and no more.
    check("send ->\n401 \"a\" -> Ok(())\nsend -> www \"a\" 1\n401 \"a\" -> Err(Rejected)");
    // A proxy and the far end in one call; the next request is authorized at once.
    check(
        "407 \"p\" -> Ok(())\nsend -> proxy \"p\" 1\n401 \"a\" -> Ok(())\nsend -> proxy \"p\" 2; www \"a\" 1\naccepted -> ok
         send -> proxy \"p\" 3; www \"a\" 2",
    );
    // A nonce that aged, said and unsaid.
    check("401 \"a\" -> Ok(())\nsend -> www \"a\" 1\n401 \"a\" stale -> Ok(())\nsend -> www \"a\" 1");
    check(
        "401 \"a\" -> Ok(())\nsend -> www \"a\" 1\naccepted -> ok\nsend -> www \"a\" 2\n401 \"a\" -> Ok(())
         send -> www \"a\" 1\n401 \"a\" -> Err(Rejected)",
    );
    // Whoever plays with us: an end all the same.
    check(&("401 \"a\" stale -> Ok(())\nsend -> www \"a\" 1\n".repeat(4) + "401 \"a\" stale -> Err(Rejected)"));
    check(
        "401 \"a\" -> Ok(())\n401 \"b\" -> Ok(())\n401 \"c\" -> Ok(())\n401 \"d\" -> Ok(())\n401 \"e\" -> Err(Rejected)
         send -> www \"a\" 1; www \"b\" 1; www \"c\" 1; www \"d\" 1",
    );
    let only = Credentials { realm: Some("pbx".to_owned()), ..credentials(PASSWORD) };
    talk(&mut Client::new(only), "401 \"a\" -> Err(Unanswerable)\n401 \"pbx\" -> Ok(())\nsend -> www \"pbx\" 1");
}

/// Headers joined with `|`; `no` or what comes back without the proof itself.
#[test]
fn challenges_as_pbxs_write_them() {
    let check = |headers: &str, expected: &str| {
        let mut client = Client::new(Credentials { user: "u".to_owned(), ..credentials("p") });
        let got = match client.challenged(&headers.split('|').collect::<Vec<_>>(), false) {
            Err(error) => format!("{error:?}"),
            Ok(()) => {
                let headers = client.authorize(1, METHOD, URI, BODY);
                let (_, value) = headers.first().unwrap();
                let keep =
                    |p: &&str| !["uri=", "response=", "cnonce=", "nc=", "username="].iter().any(|n| p.contains(n));
                value.trim_start_matches("Digest ").split(", ").filter(keep).collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(got, expected, "{headers}");
    };
    check("Digest realm=\"r\", nonce=\"n\"", "realm=\"r\" nonce=\"n\"");
    check(
        "DIGEST algorithm=\"MD5\" , qop = \"auth\",nonce=n, realm=r,domain=\"sip:a, b\",opaque=\"\"",
        "realm=\"r\" nonce=\"n\" algorithm=MD5 opaque=\"\" qop=auth",
    );
    check("Digest realm=\"r\",nonce=\"n\",qop=\"auth-int, x\"", "realm=\"r\" nonce=\"n\" qop=auth-int");
    check("Digest realm=\"r\",nonce=\"n\",qop=\"\"", "realm=\"r\" nonce=\"n\"");
    check("Digest realm=\"a\\\"b\",nonce=\"n\"", "realm=\"a\\\"b\" nonce=\"n\"");
    check("Digest realm=\"r\",nonce=\"n\",algorithm=MD5-sess", "Unanswerable");
    check("Digest realm=\"r\",nonce=\"n\",qop=other", "Unanswerable");
    check("Digest realm=\"r\"", "Unanswerable");
    check("Basic realm=\"r\",nonce=\"n\"", "Unanswerable");
    check("realm=\"r\",nonce=\"n\"", "Unanswerable");
    check("Digest realm=\"r,nonce=\"n\"", "Unanswerable");
    check("", "Unanswerable");
    check(
        "Negotiate, Basic realm=\"b\", Digest realm=\"r\",nonce=\"1\",algorithm=SHA-256, Digest realm=\"r\",nonce=\"2\"",
        "realm=\"r\" nonce=\"1\" algorithm=SHA-256",
    );
    check(
        "Digest realm=\"r\",nonce=\"1\"|Digest realm=\"r\",nonce=\"2\",algorithm=SHA-512-256,qop=auth|stray=\"3\"",
        "realm=\"r\" nonce=\"2\" algorithm=SHA-512-256 qop=auth",
    );
    check(&format!("Digest realm=\"r\",nonce=\"{}\"", "n".repeat(2000)), "Unanswerable");
}

#[test]
fn nothing_private_is_printed() {
    let mut stage = Stage::new(GuardConfig::default());
    stage.challenge(false, &|v| v).unwrap();
    let account = Account { who: 1, password: PASSWORD, allows_md5: true };
    let shown = format!("{:?} {:?} {:?} {account:?}", stage.client, stage.guard, credentials(PASSWORD));
    assert_eq!(shown, "Client(1 realms) Guard { nonces: 0, .. } Credentials([private]) Account([private])");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_header_text(
        texts in prop::collection::vec("(Digest |Basic |)[ -~\u{e4}]{0,80}|((Digest |)(realm|nonce|qop|nc|cnonce|uri|username|response|algorithm)=\"?(dauys|auth|0000000001|MD5|[ -~]{0,9})\"?,){1,12}", 0..5),
    ) {
        let mut stage = Stage::new(GuardConfig::default());
        let values: Vec<&str> = texts.iter().map(String::as_str).collect();
        let _ = stage.client.challenged(&values, true);
        for (_, value) in stage.client.authorize(1, METHOD, URI, BODY) {
            prop_assert!(value.starts_with("Digest username="));
        }
        let verdict = stage.check(&texts.join(","), URI, BODY);
        prop_assert!(matches!(verdict, Verdict::Wrong | Verdict::Missing));
        prop_assert_eq!(stage.guard.nonces(), 0);
    }

    #[test]
    fn what_the_client_says_the_guard_reads(user in "[ -~]{1,20}", password in "[ -~]{0,20}", realm in "[ -~]{1,20}") {
        let config = GuardConfig { realm: realm.clone(), ..GuardConfig::default() };
        let (mut guard, now, source) = (Guard::new(config, 1), Instant::now(), "::1".parse().unwrap());
        let mut client = Client::new(Credentials { user: user.clone(), password: password.clone().into(), realm: None });
        let values = guard.challenge(now, source, false);
        client.challenged(&values.iter().map(String::as_str).collect::<Vec<_>>(), true).unwrap();
        let headers = client.authorize(1, METHOD, URI, BODY);
        let uri = Uri::parse(URI).unwrap();
        let signed = Signed { source, method: METHOD, uri: &uri, body: BODY };
        let lookup = |u: &str| (u == user).then_some(Account { who: (), password: &password, allows_md5: false });
        prop_assert_eq!(guard.check(now, &signed, &[&headers[0].1], lookup), Verdict::Ok(()));
    }
}
