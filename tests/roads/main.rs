//! The roads between two gateways, on real sockets of loopback: every transport, who is believed, who is reached. No message is understood here.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod pki;
mod strangers;
mod web;

use std::net::SocketAddr;
use std::time::Duration;

use dauys::net::roads::{Incoming, Limits, Roads, RoadsConfig, RoadsError, TlsListen};
use pki::Pki;
use sip::{Connection, Peer, Transport};

const PATIENCE: Duration = Duration::from_secs(8);
const ANY4: &str = "127.0.0.1:0";
const ANY6: &str = "[::1]:0";

/// `Incoming`, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Came {
    Message(Peer, String),
    Connected(Connection, Vec<String>),
    Disconnected(Connection, Peer),
    Unreachable(Peer),
}

async fn next(roads: &mut Roads) -> Came {
    let incoming = tokio::time::timeout(PATIENCE, roads.recv()).await.expect("something comes in");
    match incoming {
        Incoming::Message { from, bytes } => Came::Message(from, String::from_utf8_lossy(bytes).into_owned()),
        Incoming::Connected { connection, names } => Came::Connected(connection, names),
        Incoming::Disconnected { connection, peer } => Came::Disconnected(connection, peer),
        Incoming::Unreachable(peer) => Came::Unreachable(peer),
    }
}

/// The next message; connections may come up meanwhile.
async fn message(roads: &mut Roads) -> (Peer, String) {
    loop {
        match next(roads).await {
            Came::Message(from, text) => return (from, text),
            Came::Connected(..) => {}
            other => panic!("a message was expected, not {other:?}"),
        }
    }
}

/// Lets the server run for as long as `client` takes; news of connections may come, messages not.
async fn meanwhile<T>(server: &mut Roads, client: impl Future<Output = T>) -> T {
    tokio::pin!(client);
    loop {
        tokio::select! {
            done = &mut client => return done,
            incoming = server.recv() => assert!(!format!("{incoming:?}").starts_with("Message"), "{incoming:?}"),
        }
    }
}

/// Nothing comes in for a while.
async fn quiet(roads: &mut Roads, ms: u64) {
    if let Ok(incoming) = tokio::time::timeout(Duration::from_millis(ms), roads.recv()).await {
        panic!("nothing was expected, not {incoming:?}");
    }
}

fn options(what: &str) -> String {
    format!("OPTIONS sip:{what} SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{what}\r\nl: 0\r\n\r\n")
}

fn at(text: &str) -> Vec<SocketAddr> {
    vec![text.parse().unwrap()]
}

fn listening(transport: Transport, address: &str) -> RoadsConfig {
    let mut config = RoadsConfig::default();
    match transport {
        Transport::Udp => config.udp = at(address),
        Transport::Tcp => config.tcp = at(address),
        Transport::Tls => config.tls = Some(tls(address)),
        Transport::Ws => config.ws = at(address),
        Transport::Wss => {
            config.wss = at(address);
            config.tls = Some(TlsListen { bind: vec![], ..tls(address) });
        }
    }
    config
}

fn tls(address: &str) -> TlsListen {
    TlsListen { bind: at(address), certificate: Pki::get().server(), client_ca: None, client_required: false }
}

/// Trusts the test's authority, and answers on UDP so that it has a socket.
fn calling(address: &str) -> RoadsConfig {
    RoadsConfig { udp: at(address), trusted_ca: Some(Pki::get().ca()), ..RoadsConfig::default() }
}

async fn bound(config: RoadsConfig) -> Roads {
    Roads::bind(config).await.unwrap_or_else(|e| panic!("{e}"))
}

/// Where it listens last.
fn door(roads: &Roads) -> SocketAddr {
    roads.listeners().last().expect("a listener").address
}

/// There and back, twice; the second time on the same connection.
async fn exchange(transport: Transport, mut server: Roads, mut client: Roads, client_goes: bool) {
    let to = Peer::new(transport, door(&server));
    let mut by = None;
    for turn in ["one", "two"] {
        client.send(to, options(turn).into_bytes());
        let (from, text) = message(&mut server).await;
        assert_eq!((text, from.transport), (options(turn), transport));
        assert_eq!(from.connection.is_some(), transport.is_reliable());
        server.send(from, format!("SIP/2.0 200 {turn}\r\nl: 0\r\n\r\n").into_bytes());
        let (from, text) = message(&mut client).await;
        assert_eq!((text, from.address), (format!("SIP/2.0 200 {turn}\r\nl: 0\r\n\r\n"), to.address));
        assert_eq!(*by.get_or_insert(from.connection), from.connection, "one connection for both");
    }
    let open = usize::from(transport.is_reliable());
    assert_eq!((server.stats().accepted, client.stats().opened), (open, open));
    if !transport.is_reliable() {
        return;
    }
    // When one side goes, the other is told once; and who opened it, that its requests and its place there
    // are gone.
    if client_goes {
        drop(client);
        assert!(matches!(next(&mut server).await, Came::Disconnected(_, peer) if peer.transport == transport));
        assert_eq!(server.stats().accepted, 0);
        return quiet(&mut server, 50).await;
    }
    drop(server);
    assert!(matches!(next(&mut client).await, Came::Disconnected(_, peer) if peer.address == to.address));
    assert_eq!(next(&mut client).await, Came::Unreachable(to));
    quiet(&mut client, 50).await;
}

#[tokio::test]
async fn there_and_back() {
    for address in [ANY4, ANY6] {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            for client_goes in [true, false] {
                let server = bound(listening(transport, address)).await;
                exchange(transport, server, bound(calling(address)).await, client_goes).await;
            }
        }
    }
}

#[tokio::test]
async fn certificates_prove_names() {
    let pki = Pki::get();
    let mut config = listening(Transport::Tls, ANY4);
    let listen = config.tls.as_mut().unwrap();
    (listen.client_ca, listen.client_required) = (Some(pki.ca()), true);
    let mut server = bound(config.clone()).await;
    let mut client = bound(RoadsConfig { client_certificate: Some(pki.client()), ..calling(ANY4) }).await;
    let to = Peer::new(Transport::Tls, door(&server));
    client.expect(to.address, "sip.example.test.");
    client.send(to, options("a").into_bytes());
    let Came::Connected(connection, names) = next(&mut server).await else { panic!("no connection") };
    assert_eq!(names, ["trunk.example.test", "*.pbx.example.test", "sip:example.test"]);
    assert!(matches!(next(&mut server).await, Came::Message(from, _) if from.connection == Some(connection)));
    let Came::Connected(_, names) = next(&mut client).await else { panic!("no connection") };
    assert_eq!(names, ["sip.example.test", "alt.example.test"]);
    // Another name at the same address is another connection, for it has to be proven.
    client.expect(to.address, "alt.example.test");
    client.send(to, options("b").into_bytes());
    assert_eq!(message(&mut server).await.1, options("b"));
    assert_eq!(client.stats().opened, 2);

    // Without a certificate, or with one of a strange authority: not a word gets through.
    for certificate in [None, Some(pki.stranger())] {
        let mut client = bound(RoadsConfig { client_certificate: certificate, ..calling(ANY4) }).await;
        client.send(to, options("c").into_bytes());
        let told = async {
            loop {
                // TLS 1.3: the client is done before the server has judged it.
                match next(&mut client).await {
                    Came::Connected(..) => {}
                    Came::Disconnected(_, peer) if peer.address == to.address => break,
                    Came::Unreachable(peer) if peer == to => break,
                    other => panic!("{other:?}"),
                }
            }
        };
        meanwhile(&mut server, told).await;
    }
    quiet(&mut server, 200).await;
    assert_eq!(server.stats().failed, 2);

    // Asked for but not required: welcome, and nameless.
    config.tls.as_mut().unwrap().client_required = false;
    let mut server = bound(config).await;
    let mut client = bound(calling(ANY4)).await;
    client.send(Peer::new(Transport::Tls, door(&server)), options("d").into_bytes());
    assert!(matches!(next(&mut server).await, Came::Connected(_, names) if names.is_empty()));
    assert_eq!(message(&mut server).await.1, options("d"));
}

#[tokio::test]
async fn old_and_new_tls() {
    use tokio_rustls::rustls::{ProtocolVersion, version};
    let mut server = bound(listening(Transport::Tls, ANY4)).await;
    for (version, expected) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let to = door(&server);
        let (mut stream, came) = tokio::join!(Pki::get().connect(to, version), next(&mut server));
        assert!(matches!(came, Came::Connected(..)));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        tokio::io::AsyncWriteExt::write_all(&mut stream, options("v").as_bytes()).await.unwrap();
        assert_eq!(message(&mut server).await.1, options("v"));
        drop(stream);
        assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    }
}

#[tokio::test]
async fn who_cannot_be_reached() {
    let mut server = bound(listening(Transport::Tls, ANY4)).await;
    let mut plain = bound(listening(Transport::Tcp, ANY4)).await;
    let refused = std::net::TcpListener::bind(ANY4).unwrap().local_addr().unwrap();
    let strange = RoadsConfig { trusted_ca: Some(Pki::get().strange_ca()), ..calling(ANY4) };
    let quick = RoadsConfig { limits: Limits { handshake_s: 1, ..Limits::default() }, ..calling(ANY4) };
    let none = RoadsConfig { limits: Limits { connections_max: 0, ..Limits::default() }, ..calling(ANY4) };
    let four_only = calling(ANY4);
    let tls = Peer::new(Transport::Tls, door(&server));
    let gone = Peer::connected(Transport::Wss, refused, Connection(77));
    let cases = [
        ("refused", calling(ANY4), Peer::new(Transport::Tcp, refused), None),
        ("refused", calling(ANY4), Peer::new(Transport::Tls, refused), None),
        ("no TLS there", quick, Peer::new(Transport::Tls, door(&plain)), None),
        ("another authority", strange, tls, None),
        ("another name", calling(ANY4), tls, Some("other.example.test")),
        ("no name", calling(ANY4), tls, Some("not a name")),
        ("no room", none, tls, None),
        ("cannot be opened", calling(ANY4), Peer::new(Transport::Ws, door(&plain)), None),
        ("gone, cannot be opened", calling(ANY4), gone, None),
        ("no socket of the family", four_only, Peer::udp("[::1]:9".parse().unwrap()), None),
    ];
    tokio::spawn(async move {
        meanwhile(&mut plain, async { meanwhile(&mut server, std::future::pending::<()>()).await }).await
    });
    for (why, config, to, name) in cases {
        let mut client = bound(config).await;
        if let Some(name) = name {
            client.expect(to.address, name);
        }
        client.send(to, options("x").into_bytes());
        client.send(to, options("y").into_bytes());
        assert_eq!(next(&mut client).await, Came::Unreachable(to), "{why}");
        assert_eq!(client.stats().opened, 0, "{why}");
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_said() {
    let pki = Pki::get();
    let taken = bound(listening(Transport::Tcp, ANY4)).await;
    let in_use = listening(Transport::Tcp, &door(&taken).to_string());
    let with = |change: fn(&mut TlsListen)| {
        let mut config = listening(Transport::Tls, ANY4);
        change(config.tls.as_mut().unwrap());
        config
    };
    let cases: [(RoadsConfig, &[&str]); 9] = [
        (in_use, &["TCP", "127.0.0.1", "using the port"]),
        (listening(Transport::Udp, "192.0.2.7:5060"), &["UDP", "192.0.2.7:5060", "this machine"]),
        (with(|t| t.certificate.chain = "/nonexistent.pem".into()), &["/nonexistent.pem", "No such file"]),
        (with(|t| t.certificate.chain.clone_from(&t.certificate.key)), &["key.pem", "no certificate"]),
        (with(|t| t.certificate.key.clone_from(&t.certificate.chain)), &["cert.pem", "no private key"]),
        (with(|t| t.certificate.key = Pki::get().stranger().key), &["is not the key of", "stranger"]),
        (with(|t| t.client_required = true), &["authority"]),
        (RoadsConfig { tls: None, ..listening(Transport::Wss, ANY4) }, &["WSS", "certificate"]),
        (RoadsConfig { trusted_ca: Some(pki.client().key), ..calling(ANY4) }, &["no certificate"]),
    ];
    for (config, wants) in cases {
        let error: RoadsError = match Roads::bind(config).await {
            Ok(_) => panic!("must be refused: {wants:?}"),
            Err(error) => error,
        };
        for want in wants {
            assert!(error.to_string().contains(want), "{want:?} missing in: {error}");
        }
    }
}

/// The shape of the driver's loop: what is lent by `recv` must not be in the way of the other branches.
struct Driver {
    roads: Roads,
    echoed: usize,
}

impl Driver {
    async fn run(&mut self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            let mut reply = None;
            tokio::select! {
                incoming = self.roads.recv() => match incoming {
                    Incoming::Message { from, bytes } => reply = Some((from, bytes.to_vec())),
                    Incoming::Disconnected { .. } => return,
                    Incoming::Connected { .. } | Incoming::Unreachable(_) => {}
                },
                _ = ticks.tick() => self.ticked(),
            }
            if let Some((to, bytes)) = reply {
                self.roads.send(to, bytes);
                self.echoed += 1;
            }
        }
    }

    fn ticked(&mut self) {
        assert!(self.echoed <= 2000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_keep_their_order() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let server = bound(listening(transport, ANY4)).await;
        let to = Peer::new(transport, door(&server));
        let mut driver = Driver { roads: server, echoed: 0 };
        let server = tokio::spawn(async move {
            driver.run().await;
            driver
        });
        let mut client = bound(calling(ANY4)).await;
        let (mut sent, mut received) = (0, 0);
        while received < 2000 {
            while sent < 2000 && sent < received + 500 {
                client.send(to, options(&sent.to_string()).into_bytes());
                sent += 1;
            }
            assert_eq!(message(&mut client).await.1, options(&received.to_string()));
            received += 1;
        }
        // What is queued when the roads close still goes out.
        client.send(to, options("last").into_bytes());
        client.close().await;
        let driver = server.await.unwrap();
        assert_eq!((driver.echoed, driver.roads.stats().messages), (2001, 2001));
    }
}

#[tokio::test]
async fn datagrams_take_the_fitting_socket_and_share_their_turn() {
    let mut config = listening(Transport::Udp, ANY6);
    config.udp.extend(at("0.0.0.0:0").into_iter().chain(at(ANY4)));
    let mut server = bound(RoadsConfig { tcp: at(ANY4), ..config }).await;
    let [six, _, four, tcp] = server.listeners()[..] else { panic!("four listeners") };
    let mut client = bound(RoadsConfig { udp: [at(ANY4), at(ANY6)].concat(), ..calling(ANY4) }).await;
    for to in [six, four] {
        client.send(Peer::udp(to.address), b"hello".to_vec());
        let (from, _) = message(&mut server).await;
        server.send(from, b"there".to_vec());
        assert_eq!(message(&mut client).await, (Peer::udp(to.address), "there".to_owned()));
    }
    // A flood of datagrams leaves a connection its turn.
    let flood = std::net::UdpSocket::bind(ANY4).unwrap();
    client.send(Peer::new(Transport::Tcp, tcp.address), options("tcp").into_bytes());
    let mut datagrams = 0;
    loop {
        for _ in 0..20 {
            flood.send_to(b"x", four.address).unwrap();
        }
        let (from, text) = message(&mut server).await;
        if from.transport == Transport::Tcp {
            assert_eq!(text, options("tcp"));
            break;
        }
        datagrams += 1;
        assert!(datagrams < 2000, "the connection is starved");
        tokio::task::yield_now().await;
    }
}
