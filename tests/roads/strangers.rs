//! Strangers that are slow, silent, deaf, many or no SIP: none of them holds anything for long. Clocks here are real and short.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dauys::net::roads::{Limits, Roads, RoadsConfig};
use sip::{Peer, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ANY4, Came, PATIENCE, bound, calling, door, listening, meanwhile, message, next, options, quiet};

const SHORT: Limits = Limits { connections_max: 8, per_source_max: 4, idle_s: 2, handshake_s: 1, message_s: 1 };

async fn short(transport: Transport) -> Roads {
    bound(RoadsConfig { limits: SHORT, ..listening(transport, ANY4) }).await
}

/// Reads what comes until the end of the connection.
async fn heard(stream: &mut TcpStream) -> String {
    let mut all = vec![];
    // A reset is an end as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// The stranger says `hello`, then `drip` every 200 ms; it must be cut between `from` and `to` milliseconds.
async fn cut(transport: Transport, hello: &[u8], drip: &[u8], (from, to): (u64, u64)) {
    let mut server = short(transport).await;
    let mut stranger = TcpStream::connect(door(&server)).await.unwrap();
    let (mut reader, mut writer) = stranger.split();
    let started = Instant::now();
    let (hello, drip) = (hello.to_vec(), drip.to_vec());
    let ended = async {
        let mut rest = vec![];
        tokio::select! {
            _ = reader.read_to_end(&mut rest) => {}
            () = async {
                writer.write_all(&hello).await.unwrap();
                loop {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    if drip.is_empty() || writer.write_all(&drip).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            } => {}
        }
    };
    tokio::time::timeout(PATIENCE, meanwhile(&mut server, ended)).await.expect("the stranger is cut");
    let took = started.elapsed().as_millis() as u64;
    let shown = String::from_utf8_lossy(&hello);
    assert!((from..to).contains(&took), "{transport:?} {shown:?} was cut after {took} ms");
    meanwhile(&mut server, tokio::time::sleep(Duration::from_millis(50))).await;
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.slow + stats.unframed + stats.failed), (0, 1), "{shown:?} {stats:?}");
}

#[tokio::test]
async fn who_is_slow_is_cut() {
    let endless = "OPTIONS sip:a SIP/2.0\r\nSubject: ".to_owned() + &"x".repeat(20_000);
    let body = "OPTIONS sip:a SIP/2.0\r\nl: 100\r\n\r\n";
    let sip = options("a");
    let slow = (900, 2500);
    tokio::join!(
        cut(Transport::Tcp, b"", b"", slow),
        cut(Transport::Tcp, b"\r\n\r\n", b"\r\n\r\n", slow),
        cut(Transport::Tcp, b"OPTIONS", b" ", slow),
        cut(Transport::Tcp, body.as_bytes(), b"x", slow),
        cut(Transport::Tcp, endless.as_bytes(), b"", (0, 800)),
        cut(Transport::Tcp, b"GET / HTTP/1.1\r\n\r\n", b"", (0, 800)),
        cut(Transport::Tls, b"", b"", slow),
        // The beginning of a ClientHello, and then one byte at a time.
        cut(Transport::Tls, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", slow),
        cut(Transport::Tls, b"OPTIONS sip:a SIP/2.0\r\n\r\n", b"", (0, 800)),
        cut(Transport::Ws, b"", b"", slow),
        cut(Transport::Ws, b"GET /ws HTTP/1.1\r\n", b"a: b\r\n", slow),
        cut(Transport::Ws, sip.as_bytes(), b"", (0, 800)),
        cut(Transport::Wss, b"", b"", slow),
    );
}

#[tokio::test]
async fn who_began_well_is_not_trusted_with_less() {
    // A second message that never ends.
    let mut server = short(Transport::Tcp).await;
    let mut peer = TcpStream::connect(door(&server)).await.unwrap();
    peer.write_all(options("a").as_bytes()).await.unwrap();
    assert_eq!(message(&mut server).await.1, options("a"));
    peer.write_all(b"OPTIONS sip:b SIP/2.0\r\n").await.unwrap();
    let started = Instant::now();
    assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    assert!((900..1900).contains(&(started.elapsed().as_millis() as u64)), "{:?}", started.elapsed());
    assert_eq!((server.stats().slow, heard(&mut peer).await.as_str()), (1, ""));
}

#[tokio::test]
async fn keepalives_keep() {
    let mut server = short(Transport::Tcp).await;
    let mut peer = TcpStream::connect(door(&server)).await.unwrap();
    peer.write_all(options("a").as_bytes()).await.unwrap();
    assert_eq!(message(&mut server).await.1, options("a"));
    // Longer than the silence allowed, and each is answered; half of one is not yet a message begun.
    for _ in 0..6 {
        quiet(&mut server, 500).await;
        peer.write_all(b"\r").await.unwrap();
        quiet(&mut server, 20).await;
        peer.write_all(b"\n\r\n").await.unwrap();
        let mut answer = [0; 2];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"\r\n");
    }
    let started = Instant::now();
    assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    assert!(started.elapsed() > Duration::from_millis(1500));
    assert_eq!((server.stats().idle, server.stats().accepted), (1, 0));
}

/// RFC 5626 4.4.1: we ping by a connection of our own, and take no answer for a ping, however many come in a row.
#[tokio::test]
async fn an_answer_is_no_ping() {
    let server = TcpListener::bind(ANY4).await.unwrap();
    let to = Peer::new(Transport::Tcp, server.local_addr().unwrap());
    let mut client = bound(calling(ANY4)).await;
    client.send(to, b"\r\n\r\n".to_vec());
    let (mut peer, _) = server.accept().await.unwrap();
    assert!(matches!(next(&mut client).await, Came::Connected(..)));
    let mut ping = [0; 8];
    for _ in 0..3 {
        let len = meanwhile(&mut client, peer.read(&mut ping)).await.unwrap();
        assert_eq!(ping.get(..len).unwrap(), b"\r\n\r\n");
        peer.write_all(b"\r\n").await.unwrap();
        quiet(&mut client, 50).await;
        client.send(to, b"\r\n\r\n".to_vec());
    }
}

#[tokio::test]
async fn a_limit_turns_away_and_lets_in_again() {
    let mut server = short(Transport::Tcp).await;
    let to = door(&server);
    let mut peers = vec![];
    for n in 0..SHORT.per_source_max {
        let mut peer = TcpStream::connect(to).await.unwrap();
        peer.write_all(options(&n.to_string()).as_bytes()).await.unwrap();
        assert_eq!(message(&mut server).await.1, options(&n.to_string()));
        peers.push(peer);
    }
    let mut one_more = TcpStream::connect(to).await.unwrap();
    assert_eq!(meanwhile(&mut server, heard(&mut one_more)).await, "");
    assert_eq!((server.stats().turned_away, server.stats().accepted), (1, SHORT.per_source_max));
    // Other sources have places of their own, up to the limit of all.
    for n in 2..10 {
        let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        other.bind(&SocketAddr::from(([127, 0, 0, n], 0)).into()).unwrap();
        other.connect(&to.into()).unwrap();
        other.set_nonblocking(true).unwrap();
        let mut other = TcpStream::from_std(other.into()).unwrap();
        if peers.len() < SHORT.connections_max {
            other.write_all(options("o").as_bytes()).await.unwrap();
            assert_eq!(message(&mut server).await.1, options("o"));
            peers.push(other);
        } else {
            assert_eq!(meanwhile(&mut server, heard(&mut other)).await, "");
        }
    }
    assert_eq!((server.stats().turned_away, server.stats().accepted), (5, SHORT.connections_max));
    peers.remove(0);
    assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    let mut again = TcpStream::connect(to).await.unwrap();
    again.write_all(options("again").as_bytes()).await.unwrap();
    assert_eq!(message(&mut server).await.1, options("again"));
}

#[tokio::test]
async fn who_never_reads_is_cut() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut server = bound(listening(transport, ANY4)).await;
        let mut deaf = bound(calling(ANY4)).await;
        deaf.send(Peer::new(transport, door(&server)), options("a").into_bytes());
        let (from, _) = message(&mut server).await;
        // Its messages are not taken out, so that its queue, its task and its kernel's buffers fill up.
        let large = options("b").replace("l: 0\r\n\r\n", "l: 30000\r\n\r\n") + &"x".repeat(30_000);
        let (mut sent, mut came) = (0, None);
        while came.is_none() {
            assert!(sent < 4000, "{sent} messages are kept for one that does not read");
            server.send(from, large.clone().into_bytes());
            sent += 1;
            came = tokio::time::timeout(Duration::from_millis(1), next(&mut server)).await.ok();
        }
        assert_eq!(came, Some(Came::Disconnected(from.connection.unwrap(), from)));
        assert_eq!(next(&mut server).await, Came::Unreachable(from));
        assert_eq!((server.stats().stalled, server.stats().accepted), (1, 0));
        quiet(&mut server, 50).await;
    }
}

#[tokio::test]
async fn what_cannot_be_framed_is_answered_and_closed() {
    let mut server = short(Transport::Tcp).await;
    let mut peer = TcpStream::connect(door(&server)).await.unwrap();
    let bad = options("b").replace("l: 0", "i: 7\r\nl: -1");
    // With more behind it that nobody will read.
    peer.write_all((options("a") + &bad + &options("c").repeat(50)).as_bytes()).await.unwrap();
    assert_eq!(message(&mut server).await.1, options("a"));
    let answer = meanwhile(&mut server, heard(&mut peer)).await;
    let wanted =
        "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKb\r\nCall-ID: 7\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer, wanted);
    peer.shutdown().await.unwrap();
    assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    assert_eq!((server.stats().unframed, server.stats().messages), (1, 1));
}
