//! The shared port with real sockets on loopback: who is heard, who is answered by which way, who is not.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn check_for(name: &str) -> Vec<u8> {
    hub::check_for(&format!("{name}:peer"))
}

fn open(bind: &[&str]) -> Web {
    let bind = bind.iter().map(|a| a.parse().unwrap()).collect();
    Web::open(&WebConfig { bind, advertised: vec![] }).unwrap()
}

/// What the road got, once there is as much as that.
#[allow(clippy::disallowed_methods)]
fn heard(road: &mut WebRoad, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let started = clock::now();
    let mut found = vec![];
    loop {
        road.read(|_, from, datagram| found.push((from, datagram.to_vec())));
        if found.len() >= count || clock::now().duration_since(started) > PATIENCE {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn page(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_share_a_port_of_both_families() {
    let web = open(&["127.0.0.1:0", "[::1]:0"]);
    let (mut a, _line) = web.road("aaaa");
    let (mut b, _line) = web.road("bbbb");
    for (address, at) in [("127.0.0.1:0", web.told()[0]), ("[::1]:0", web.told()[1])] {
        let (one, two, stranger) = (page(address), page(address), page(address));
        stranger.send_to(b"\x80 nobody knows me", at).unwrap();
        one.send_to(&check_for("aaaa"), at).unwrap();
        two.send_to(&check_for("bbbb"), at).unwrap();
        one.send_to(b"\x80 one", at).unwrap();
        let got = heard(&mut a, 2);
        assert_eq!(got[1], (one.local_addr().unwrap(), b"\x80 one".to_vec()));
        assert_eq!(heard(&mut b, 1)[0].0, two.local_addr().unwrap());
        a.send(b"for one", one.local_addr().unwrap());
        // Nobody who was not heard is sent to.
        a.send(b"for two", two.local_addr().unwrap());
        b.send(b"for two", two.local_addr().unwrap());
        let mut bytes = [0; 64];
        let (len, from) = one.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..len], from), (&b"for one"[..], at));
        let (len, _) = two.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"for two");
        assert!(heard(&mut b, 0).is_empty());
    }
    assert_eq!(web.hub.counts().unknown, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_come_and_go_by_tcp() {
    let web = open(&["127.0.0.1:0"]);
    let (mut road, line) = web.road("aaaa");
    let before = line.heard();
    let mut page = TcpStream::connect(web.told()[0]).unwrap();
    page.set_read_timeout(Some(PATIENCE)).unwrap();
    let check = check_for("aaaa");
    let mut frames = (check.len() as u16).to_be_bytes().to_vec();
    frames.extend(&check);
    frames.extend(b"\0\x05media\0\0");
    // In pieces, as a network may bring them.
    for piece in frames.chunks(7) {
        page.write_all(piece).unwrap();
        page.flush().unwrap();
    }
    let got = heard(&mut road, 3);
    let from = page.local_addr().unwrap();
    assert_eq!(got, [(from, check), (from, b"media".to_vec()), (from, vec![])]);
    assert!(line.heard() > before);
    road.send(b"back", from);
    road.send(b"", from);
    let mut bytes = [0; 8];
    page.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\x04back\0\0");
    // The call is over: with the next frame the connection is closed.
    drop(road);
    let _ = page.write_all(b"\0\x01x");
    assert!(matches!(page.read(&mut bytes), Ok(0) | Err(_)));
    assert_eq!(web.hub.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_names_no_call_is_closed() {
    let web = open(&["127.0.0.1:0"]);
    let (mut road, _line) = web.road("aaaa");
    let check = check_for("bbbb");
    let mut other = (check.len() as u16).to_be_bytes().to_vec();
    other.extend(&check);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xff\xff", &other, b"\0\x01x"] {
        let mut page = TcpStream::connect(web.told()[0]).unwrap();
        page.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let _ = page.write_all(bytes);
        assert!(matches!(page.read(&mut [0; 8]), Ok(0) | Err(_)), "{bytes:?}");
    }
    assert!(heard(&mut road, 0).is_empty());
}

#[test]
fn what_pages_are_told() {
    let check = |bound: &[&str], advertised: &[&str], want: &[&str]| {
        let bound: Vec<SocketAddr> = bound.iter().map(|a| a.parse().unwrap()).collect();
        let advertised: Vec<IpAddr> = advertised.iter().map(|a| a.parse().unwrap()).collect();
        let want: Vec<SocketAddr> = want.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(told(&bound, &advertised), want);
    };
    check(&["10.0.0.2:8443"], &[], &["10.0.0.2:8443"]);
    check(&["10.0.0.2:8443", "[::1]:9"], &["203.0.113.5"], &["203.0.113.5:8443", "[::1]:9"]);
    check(&["10.0.0.2:1", "10.0.0.3:1"], &["203.0.113.5"], &["203.0.113.5:1"]);
    check(&["0.0.0.0:1"], &["203.0.113.5", "10.0.0.2"], &["203.0.113.5:1", "10.0.0.2:1"]);
}
