//! Who may call from a web page and who may not, each with its reason; bad requests, and noise at the port. No call here
//! is spoken in: their pages never come by.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use crate::common::{Gateway, wait_for};

const SITE: &str = "https://site.example";

/// What a browser offers, without its candidates; `{PRINT}` is nobody's certificate.
fn offer() -> String {
    let print = ["0A"; 32].join(":");
    let session =
        "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=msid-semantic: WMS\n";
    let way = format!(
        "c=IN IP4 0.0.0.0\na=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\na=ice-options:trickle\n\
         a=fingerprint:sha-256 {print}\na=setup:actpass\n"
    );
    format!(
        "{session}m=audio 9 UDP/TLS/RTP/SAVPF 111 0 110\n{way}a=mid:0\na=sendrecv\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n\
         a=fmtp:111 minptime=10;useinbandfec=1\na=rtpmap:0 PCMU/8000\na=rtpmap:110 telephone-event/48000\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n{way}a=mid:1\na=sctp-port:5000\na=max-message-size:262144\n"
    )
    .replace('\n', "\r\n")
}

struct Asker {
    client: Client,
    base: String,
}

impl Asker {
    fn of(gateway: &Gateway) -> Self {
        Self { client: Client::new(), base: format!("http://127.0.0.1:{}", gateway.http) }
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().expect("HTTP answers")
    }

    /// Posts an offer: status, and what the error says.
    fn call(&self, headers: &[(&str, &str)]) -> (u16, String) {
        let headers = [&[("Content-Type", "application/sdp")], headers].concat();
        let response = self.ask(Method::POST, "/whip/front-desk", &headers, &offer());
        let status = response.status().as_u16();
        let body = response.text().expect("a body");
        let error =
            serde_json::from_str::<Value>(&body).map_or(body, |e| e["error"].as_str().unwrap_or_default().into());
        (status, error)
    }

    fn check(&self, headers: &[(&str, &str)], status: u16, says: &str) {
        let (got, error) = self.call(headers);
        assert!(got == status && error.contains(says), "{headers:?}: {got} {error}");
    }

    fn token(&self, body: &Value) -> String {
        let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer the api's own token")];
        let response = self.ask(Method::POST, "/api/v1/web/tokens", &headers, &body.to_string());
        let (status, text) = (response.status(), response.text().expect("a body"));
        assert_eq!(status, 201, "{text}");
        let issued: Value = serde_json::from_str(&text).expect("JSON");
        assert!(issued["expires_at"].as_str().is_some_and(|t| t.ends_with('Z')), "{issued}");
        issued["token"].as_str().expect("a token").to_owned()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |v| v.to_str().expect("text"))
}

#[test]
fn a_page_shows_a_token_that_is_good_once() {
    let web = format!(
        "[web]\nbind = \"127.0.0.1:0\"\ntoken_env = \"PAGES\"\norigins = [\"{SITE}\"]\ncalls_per_address = 3\n\
         trusted_proxies = [\"127.0.0.1\"]\nice_servers = [{{ urls = \"stun:stun.example\" }}, \
         {{ urls = \"turn:turn.example\", secret_env = \"PAGES\" }}]"
    );
    let secrets = "export API=\"the api's own token\" PAGES=0123456789abcdef";
    let mut gateway = Gateway::start_with("web-tokens", &web, &[secrets, "export DAUYS__HTTP__TOKEN_ENV=API"]);
    let asker = Asker::of(&gateway);
    let bearer = |token: &str| format!("Bearer {token}");
    let good = asker.token(&json!({"agent": "front-desk", "ttl_s": 60, "origin": SITE}));
    let at_site = ("Origin", SITE);
    asker.check(&[], 401, "a token is needed");
    asker.check(&[("Origin", "https://evil.example"), ("Authorization", &bearer(&good))], 403, "pages of this origin");
    asker.check(&[("Origin", "null")], 403, "pages of this origin");
    asker.check(&[("Authorization", &bearer(&good))], 403, "page of another origin");
    asker.check(&[at_site, ("Authorization", "Bearer made.up")], 401, "not made here");
    let long_gone = asker.token(&json!({"agent": "front-desk", "ttl_s": 1}));
    std::thread::sleep(Duration::from_millis(2_100));
    asker.check(&[at_site, ("Authorization", &bearer(&long_gone))], 401, "has expired");
    asker.check(&[at_site, ("Authorization", &bearer(&good))], 201, "v=0");
    asker.check(&[at_site, ("Authorization", &bearer(&good))], 401, "used already");

    // Of the look before a call, relays are told to those who may call.
    let look = |headers: &[(&str, &str)]| -> Value {
        let response = asker.ask(Method::GET, "/web/v1/agents/front-desk", headers, "");
        assert_eq!(header(&response, "cache-control"), "no-store");
        serde_json::from_str(&response.text().expect("a body")).expect("JSON")
    };
    let next = asker.token(&json!({"agent": "front-desk"}));
    let (stranger, guest) = (look(&[at_site]), look(&[at_site, ("Authorization", &bearer(&next))]));
    assert_eq!(stranger["ice_servers"].as_array().map(Vec::len), Some(1), "{stranger}");
    assert_eq!(guest["ice_servers"].as_array().map(Vec::len), Some(2), "{guest}");
    assert!(guest["ice_servers"][1]["credential"].as_str().is_some_and(|c| c.len() == 28), "{guest}");
    assert!(guest["disclosure"].as_str().is_some_and(|d| d.contains("AI")), "{guest}");
    assert_eq!(
        (&guest["consent"], &guest["consent"]["scope"]),
        (&guest["consents"][0], &json!("transcript")),
        "{guest}"
    );
    assert!(guest["consent"]["text"].is_string() && guest["consent"]["policy_version"].is_string(), "{guest}");

    // Looking used nothing up. Another address behind the proxy has calls of its own.
    let from = |address: &'static str| ("X-Forwarded-For", address);
    for n in 0..4 {
        let token = bearer(&asker.token(&json!({"agent": "front-desk"})));
        let (status, says) = if n < 3 { (201, "v=0") } else { (429, "as many calls as it may") };
        asker.check(&[at_site, from("192.0.2.1, 198.51.100.9"), ("Authorization", &token)], status, says);
    }
    asker.check(&[at_site, from("198.51.100.10"), ("Authorization", &bearer(&next))], 201, "v=0");
    let anybody = asker.ask(Method::POST, "/api/v1/web/tokens", &[("Content-Type", "application/json")], "{}");
    assert_eq!(anybody.status(), 401);
    gateway.stop();
    assert!(!gateway.log().contains(&good[..40]), "a token reached the log");
}

#[test]
fn every_bad_request_gets_its_reason() {
    let mut gateway = Gateway::start_with("web-bad", "[web]\nbind = \"127.0.0.1:0\"\ncalls_per_address = 50", &[]);
    let asker = Asker::of(&gateway);
    let sdp = [("Content-Type", "application/sdp")];
    let check = |path: &str, headers: &[(&str, &str)], body: &str, status: u16, says: &str| {
        let response = asker.ask(Method::POST, path, headers, body);
        let (got, text) = (response.status().as_u16(), response.text().expect("a body"));
        assert!(got == status && text.contains(says), "{path} {headers:?}: {got} {text}");
    };
    let offer = offer();
    check("/whip/nobody", &sdp, &offer, 404, "no agent of this name");
    check("/whip/front-desk", &[("Content-Type", "text/plain")], &offer, 415, "application/sdp");
    check("/whip/front-desk", &sdp, "hello", 400, "malformed");
    check("/whip/front-desk", &sdp, &"v=0\r\n".repeat(10_000), 413, "");
    check("/whip/front-desk", &sdp, &offer.replace("a=ice-pwd", "a=x"), 406, "ICE");
    check("/whip/front-desk", &sdp, &offer.replace("a=rtcp-mux", "a=x"), 406, "rtcp-mux");
    check("/whip/front-desk", &sdp, &offer.replace("a=fingerprint", "a=x"), 406, "DTLS");
    check("/whip/front-desk", &sdp, &offer.replace("111 0 110", "96"), 406, "no codec in common");
    check("/whip/front-desk?resume=1&resume=2", &sdp, &offer, 400, "{\"error\":\"the address cannot be read");
    check("/whip/front-desk?resume=00", &sdp, &offer, 404, "this call is over");
    check("/whip/front-desk", &[sdp[0], ("Host", "evil.example")], &offer, 403, "127.0.0.1 or localhost");
    check("/whip/front-desk", &[sdp[0], ("Origin", SITE)], &offer, 403, "pages of this origin");
    check(
        "/api/v1/web/tokens",
        &[("Content-Type", "application/json")],
        "{\"agent\":\"front-desk\"}",
        400,
        "token_env",
    );

    let own = asker.base.clone();
    let response = asker.ask(Method::POST, "/whip/front-desk", &[sdp[0], ("Origin", &own)], &offer);
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (201, own.as_str()));
    assert!(header(&response, "access-control-expose-headers").contains("Location"));
    let (at, etag) = (header(&response, "location").to_owned(), header(&response, "etag").to_owned());
    assert!(at.starts_with("/whip/front-desk/") && at.len() == "/whip/front-desk/".len() + 32, "{at}");
    check_session(&asker, &at, &etag);

    let before = asker.ask(Method::OPTIONS, "/whip/front-desk", &[("Origin", &own)], "");
    assert_eq!((before.status().as_u16(), header(&before, "accept-post")), (204, "application/sdp"));
    assert!(header(&before, "access-control-allow-methods").contains("PATCH"));
    let foreign = asker.ask(Method::OPTIONS, "/whip/front-desk", &[("Origin", SITE)], "");
    assert_eq!((foreign.status().as_u16(), header(&foreign, "access-control-allow-origin")), (403, ""));
    gateway.stop();
}

/// What may be asked of a call that began.
fn check_session(asker: &Asker, at: &str, etag: &str) {
    let fragment = |name: &str| format!("a=ice-ufrag:{name}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n");
    let patch = |path: &str, headers: &[(&str, &str)], body: &str, status: u16| {
        let kind = [("Content-Type", "application/trickle-ice-sdpfrag")];
        let response = asker.ask(Method::PATCH, path, &[&kind, headers].concat(), body);
        assert_eq!(response.status().as_u16(), status, "{headers:?} {body}: {:?}", response.headers());
        let tag = header(&response, "etag").to_owned();
        (tag, response.text().expect("a body"))
    };
    let trickled = format!(
        "{}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 x.local 9 typ host\r\n",
        fragment("EsAw")
    );
    patch(at, &[("If-Match", etag)], &trickled, 204);
    patch(at, &[], &trickled, 428);
    patch(at, &[("If-Match", "\"other\"")], &trickled, 412);
    patch(at, &[("If-Match", etag)], "nothing", 400);
    for unknown in ["0".repeat(32), "x".repeat(32), "0".repeat(30)] {
        patch(&format!("/whip/front-desk/{unknown}"), &[("If-Match", etag)], &trickled, 404);
    }
    let (next, ours) = patch(at, &[("If-Match", "*")], &fragment("other"), 200);
    assert!(next.len() > 2 && next != etag && ours.contains("a=ice-lite"), "{next} {ours}");
    assert!(ours.contains("a=ice-pwd:") && ours.contains("a=candidate:"), "{ours}");
    patch(at, &[("If-Match", etag)], &trickled, 412);
    patch(at, &[("If-Match", &next)], &fragment("other"), 204);
    let kind = asker.ask(Method::PATCH, at, &[("If-Match", etag)], &trickled);
    assert_eq!(kind.status(), 415);
    assert_eq!(asker.ask(Method::DELETE, at, &[], "").status(), 200);
    assert_eq!(asker.ask(Method::DELETE, at, &[], "").status(), 404);
}

#[test]
fn noise_at_the_port_is_dropped_and_counted() {
    let mut gateway = Gateway::start_with("web-noise", "[web]\nbind = \"127.0.0.1:0\"", &[]);
    let asker = Asker::of(&gateway);
    let response = asker.ask(Method::POST, "/whip/front-desk", &[("Content-Type", "application/sdp")], &offer());
    let answer = response.text().expect("a body");
    let candidate = answer.lines().find(|l| l.starts_with("a=candidate:")).expect("a candidate");
    let fields: Vec<&str> = candidate.split(' ').collect();
    let port: SocketAddr = format!("{}:{}", fields[4], fields[5]).parse().expect("an address");
    let ufrag = answer.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:")).expect("a name");

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let mut number = 1_u32;
    for n in 0..2_000_u32 {
        let mut random = |_| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 24) as u8
        };
        let noise: Vec<u8> = (0..n % 1_400).map(&mut random).collect();
        let _ = socket.send_to(&noise, port);
    }
    assert!(socket.recv_from(&mut [0; 64]).is_err(), "strangers are not answered");
    // One that knows the name but not the password is told so, briefly, and by the call.
    let _ = socket.send_to(&check_for(ufrag), port);
    let mut connections = vec![];
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4_000], &[0xff; 100], b"\0\x14"] {
        let mut stream = TcpStream::connect(port).expect("it listens");
        let _ = stream.write_all(bytes);
        connections.push(stream);
    }
    for stream in &mut connections {
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "nobody is answered");
    }
    wait_for("the count", Duration::from_secs(10), || {
        let (_, metrics) = gateway.get("/metrics");
        let dropped = metrics.lines().find(|l| l.starts_with("dauys_web_dropped_total{reason=\"unknown\"}"));
        dropped.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).filter(|n| *n > 500.0)
    });
    assert_eq!(gateway.get("/readyz").0, 200);
    assert_eq!(gateway.active_calls(), 1, "the call goes on");
    gateway.stop();
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

/// A check by this name that nobody signed.
fn check_for(name: &str) -> Vec<u8> {
    let user = format!("{name}:EsAw");
    let mut check = vec![0, 1, 0, (4 + user.len().next_multiple_of(4)) as u8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, user.len() as u8]);
    check.extend(user.as_bytes());
    check.resize(20 + 4 + user.len().next_multiple_of(4), 0);
    check
}
