//! RFC 3263 against a real name server: dnsmasq, started here on a loopback port. Nothing else is asked.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dauys::net::resolve::{Dead, Families, Found, ResolveError, Resolver};
use sip::Transport::{self, Tcp, Tls, Udp};
use sip::uri::Uri;

const ALL: [Transport; 3] = [Udp, Tcp, Tls];
const V4: Families = Families { v4: true, v6: false };
const BOTH: Families = Families { v4: true, v6: true };

struct Dnsmasq {
    child: Child,
    at: SocketAddr,
}

impl Dnsmasq {
    /// A name server that knows these records and nobody to ask about others.
    fn start(records: &[&str]) -> Self {
        let at = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let port = at.port();
        let child = Command::new("/usr/sbin/dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="])
            .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/test/", "--local-ttl=60"])
            .arg(format!("--port={port}"))
            .args(records)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("dnsmasq; scripts/setup.sh test installs it");
        let server = Self { child, at };
        server.wait();
        server
    }

    /// Asks for `ready.test` in the raw until something comes back.
    fn wait(&self) {
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05ready\x04test\x00\x00\x01\x00\x01";
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for _ in 0..100 {
            let _ = socket.send_to(query, self.at);
            if socket.recv_from(&mut [0; 512]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("dnsmasq does not answer");
    }

    fn resolver(&self, families: Families) -> Resolver {
        Resolver::new(Some(self.at), Duration::from_secs(4), families).expect("a resolver")
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn places(found: &[Found]) -> String {
    let place = |f: &Found| format!("{} {}", f.peer.transport.as_str(), f.peer.address);
    found.iter().map(place).collect::<Vec<_>>().join(", ")
}

async fn check(resolver: &Resolver, uri: &str, supported: &[Transport], expected: Result<&str, ResolveError>) {
    let got = resolver.resolve(&Uri::parse(uri).unwrap(), supported).await;
    let got = got.map(|found| places(&found));
    assert_eq!(got, expected.map(str::to_owned), "{uri}");
}

#[tokio::test]
async fn naptr_srv_and_addresses() {
    let server = Dnsmasq::start(&[
        "--naptr-record=full.test,50,50,s,SIPS+D2T,,_sips._tcp.full.test",
        "--naptr-record=full.test,90,50,s,SIP+D2T,,_sip._tcp.full.test",
        "--naptr-record=full.test,90,60,s,SIP+D2U,,_sip._udp.full.test",
        "--srv-host=_sips._tcp.full.test,b.full.test,5061,20,0",
        "--srv-host=_sips._tcp.full.test,a.full.test,5071,10,0",
        "--srv-host=_sip._tcp.full.test,a.full.test,5060,10,0",
        "--srv-host=_sip._udp.full.test,b.full.test,5060,10,0",
        "--host-record=a.full.test,192.0.2.1,2001:db8::1",
        "--host-record=b.full.test,192.0.2.2",
        "--host-record=plain.test,192.0.2.4",
        "--cname=alias.test,plain.test",
        "--srv-host=_sip._udp.gone.test,,0",
        "--host-record=gone.test,192.0.2.5",
    ]);
    let v4 = server.resolver(V4);
    check(&v4, "sip:a@full.test", &ALL, Ok("TLS 192.0.2.1:5071, TLS 192.0.2.2:5061")).await;
    check(&v4, "sip:a@full.test", &[Udp, Tcp], Ok("TCP 192.0.2.1:5060, UDP 192.0.2.2:5060")).await;
    check(&v4, "sip:a@full.test;transport=udp", &ALL, Ok("UDP 192.0.2.2:5060")).await;
    check(&v4, "sip:a@full.test:5090", &ALL, Err(ResolveError::NotFound)).await;
    check(&v4, "sip:a@b.full.test:5090", &ALL, Ok("UDP 192.0.2.2:5090")).await;
    check(&v4, "sip:a@plain.test", &ALL, Ok("UDP 192.0.2.4:5060")).await;
    check(&v4, "sips:a@plain.test", &ALL, Ok("TLS 192.0.2.4:5061")).await;
    check(&v4, "sip:a@alias.test", &ALL, Ok("UDP 192.0.2.4:5060")).await;
    check(&v4, "sip:a@gone.test", &ALL, Err(ResolveError::NotFound)).await;
    check(&v4, "sip:a@nowhere.test", &ALL, Err(ResolveError::NotFound)).await;
    check(&v4, "sip:a@192.0.2.77", &ALL, Ok("UDP 192.0.2.77:5060")).await;
    let both = server.resolver(BOTH);
    let all = "TLS [2001:db8::1]:5071, TLS 192.0.2.1:5071, TLS 192.0.2.2:5061";
    check(&both, "sip:a@full.test", &ALL, Ok(all)).await;
    let v6 = server.resolver(Families { v4: false, v6: true });
    check(&v6, "sip:a@plain.test", &ALL, Err(ResolveError::NotFound)).await;
    let found = both.resolve(&Uri::parse("sips:a@Full.test").unwrap(), &ALL).await.unwrap();
    assert!(found.iter().all(|f| f.name == "full.test"), "the certificate proves the URI's host");
}

#[tokio::test]
async fn srv_weights_and_failover() {
    let server = Dnsmasq::start(&[
        "--srv-host=_sip._udp.pool.test,big.pool.test,5060,10,75",
        "--srv-host=_sip._udp.pool.test,small.pool.test,5060,10,25",
        "--srv-host=_sip._udp.pool.test,spare.pool.test,5060,20,100",
        "--host-record=big.pool.test,192.0.2.1",
        "--host-record=small.pool.test,192.0.2.2",
        "--host-record=spare.pool.test,192.0.2.3",
    ]);
    let resolver = server.resolver(V4);
    let uri = Uri::parse("sip:pool.test").unwrap();
    let mut big_first = 0;
    for _ in 0..400 {
        let found = places(&resolver.resolve(&uri, &[Udp]).await.unwrap());
        assert!(found.ends_with("UDP 192.0.2.3:5060"), "the spare comes last: {found}");
        big_first += u32::from(found.starts_with("UDP 192.0.2.1"));
    }
    assert!((250..350).contains(&big_first), "{big_first} of 400 to the one with three quarters");
    // Two dead targets: the spare is tried first, and they still stand behind it.
    let now = Instant::now();
    let mut found = resolver.resolve(&uri, &[Udp]).await.unwrap();
    let mut dead = Dead::default();
    found.iter().take(2).for_each(|f| dead.failed(now, f.peer));
    dead.order(now, &mut found);
    assert!(places(&found).starts_with("UDP 192.0.2.3:5060, "));
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn answers_outlive_their_server_as_long_as_the_zone_allows() {
    let server = Dnsmasq::start(&["--host-record=kept.test,192.0.2.6"]);
    let resolver = server.resolver(V4);
    check(&resolver, "sip:kept.test", &[Udp], Ok("UDP 192.0.2.6:5060")).await;
    drop(server);
    check(&resolver, "sip:kept.test:5070", &[Udp], Ok("UDP 192.0.2.6:5070")).await;
    check(&resolver, "sip:other.test:5070", &[Udp], Err(ResolveError::Unanswered)).await;
}

#[tokio::test]
async fn a_mute_name_server_costs_the_timeout_and_no_more() {
    let mute = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = mute.local_addr().unwrap();
    let resolver = Resolver::new(Some(at), Duration::from_millis(800), V4).unwrap();
    let began = Instant::now();
    check(&resolver, "sip:a@full.test", &ALL, Err(ResolveError::Unanswered)).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}
