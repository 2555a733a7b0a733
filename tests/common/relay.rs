//! A bad network between callers and a gateway: it passes SIP over UDP on, puts itself into the session
//! descriptions, and loses, delays, reorders and repeats RTP by a seeded chance. It never reads what is said.
#![allow(dead_code, clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

/// What happens to RTP on the way, each direction for itself.
#[derive(Copy, Clone, Default, Debug)]
pub struct Weather {
    /// Share of the packets that are lost, 0 to 1.
    pub loss: f64,
    /// How many are lost in a row, on average; 1 and less: each for itself (Gilbert model).
    pub burst: f64,
    /// Packets are held for up to this long, evenly spread; they overtake each other.
    pub jitter_ms: u64,
    /// Every packet takes this long besides.
    pub delay_ms: u64,
    /// Share of the packets that come twice.
    pub twice: f64,
}

#[derive(Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub sessions: AtomicU64,
}

/// Runs until it is dropped.
pub struct Relay {
    /// Where callers send their SIP instead of to the gateway.
    pub sip: SocketAddr,
    pub counts: Arc<Counts>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Packets under way in one direction of one call; more are lost, as in a router.
const QUEUE: usize = 256;
/// A call without a packet for this long is over.
const IDLE: Duration = Duration::from_secs(20);

impl Relay {
    pub fn start(gateway: SocketAddr, weather: Weather, seed: u64) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("non-blocking");
        let sip = socket.local_addr().expect("bound");
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let net = Arc::new(Net {
            weather,
            counts: Arc::clone(&counts),
            seed: AtomicU64::new(seed | 1),
            sessions: Mutex::default(),
        });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let socket = Arc::new(UdpSocket::from_std(socket).expect("watched"));
                tokio::select! { () = signalling(net, socket, gateway) => {}, _ = stopped => {} }
            });
        });
        Self { sip, counts, stop: Some(stop) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

struct Net {
    weather: Weather,
    counts: Arc<Counts>,
    seed: AtomicU64,
    /// By Call-ID.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

/// One call's media: the gateway sends to `inner`, the caller to `outer`.
struct Session {
    inner: UdpSocket,
    outer: UdpSocket,
    gateway: Mutex<Option<SocketAddr>>,
    caller: Mutex<Option<SocketAddr>>,
}

/// Passes messages both ways; every caller's address has a socket of its own towards the gateway.
async fn signalling(net: Arc<Net>, callers: Arc<UdpSocket>, gateway: SocketAddr) {
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut message = vec![0; 65_535];
    loop {
        let Ok((len, from)) = callers.recv_from(&mut message).await else { continue };
        let message = rewrite(&net, &message[..len], true).await;
        if let Some(way) = ways.get(&from) {
            let _ = way.send_to(&message, gateway).await;
            continue;
        }
        let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
        ways.insert(from, Arc::clone(&way));
        let _ = way.send_to(&message, gateway).await;
        let (net, callers) = (Arc::clone(&net), Arc::clone(&callers));
        tokio::spawn(async move {
            let mut message = vec![0; 65_535];
            loop {
                let Ok((len, _)) = way.recv_from(&mut message).await else { continue };
                let message = rewrite(&net, &message[..len], false).await;
                let _ = callers.send_to(&message, from).await;
            }
        });
    }
}

/// Puts our port where the sender's own stands in `m=audio`, and learns the sender's.
async fn rewrite(net: &Arc<Net>, message: &[u8], from_caller: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return message.to_vec() };
    let call_id = head.lines().find_map(|l| l.strip_prefix("Call-ID: ").or_else(|| l.strip_prefix("i: ")));
    let audio = body.lines().find_map(|l| l.strip_prefix("m=audio "));
    let port = audio.and_then(|a| a.split(' ').next()).and_then(|p| p.parse::<u16>().ok());
    let (Some(call_id), Some(port)) = (call_id, port.filter(|p| *p != 0)) else { return message.to_vec() };
    let session = session(net, call_id).await;
    let there = SocketAddr::from(([127, 0, 0, 1], port));
    let (side, ours) = if from_caller { (&session.caller, &session.inner) } else { (&session.gateway, &session.outer) };
    *side.lock().unwrap() = Some(there);
    let ours = ours.local_addr().expect("bound").port();
    let body = body.replacen(&format!("m=audio {port} "), &format!("m=audio {ours} "), 1);
    let head: Vec<String> = head
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("content-length") || name == "l" => {
                format!("{name}: {}", body.len())
            }
            _ => line.to_owned(),
        })
        .collect();
    format!("{}\r\n\r\n{body}", head.join("\r\n")).into_bytes()
}

async fn session(net: &Arc<Net>, call_id: &str) -> Arc<Session> {
    if let Some(session) = net.sessions.lock().unwrap().get(call_id) {
        return Arc::clone(session);
    }
    let inner = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let outer = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let session = Arc::new(Session { inner, outer, gateway: Mutex::default(), caller: Mutex::default() });
    net.sessions.lock().unwrap().insert(call_id.to_owned(), Arc::clone(&session));
    net.counts.sessions.fetch_add(1, Ordering::Relaxed);
    let (net, both, call_id) = (Arc::clone(net), Arc::clone(&session), call_id.to_owned());
    tokio::spawn(async move {
        tokio::join!(
            pass(&net, &both.outer, &both.inner, &both.gateway),
            pass(&net, &both.inner, &both.outer, &both.caller)
        );
        net.sessions.lock().unwrap().remove(&call_id);
    });
    session
}

/// One direction: from one socket in, out of the other to where the other side is, in the weather.
async fn pass(net: &Net, from: &UdpSocket, out: &UdpSocket, to: &Mutex<Option<SocketAddr>>) {
    let mut chance = Chance(net.seed.fetch_add(0x9E37_79B9, Ordering::Relaxed));
    let mut under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let (mut datagram, mut number, mut losing) = ([0; 2048], 0, false);
    loop {
        let next = under_way.peek().map(|Reverse((at, ..))| *at);
        let until = next.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            received = from.recv_from(&mut datagram) => {
                let Ok((len, _)) = received else { continue };
                losing = chance.loses(&net.weather, losing);
                if losing || under_way.len() >= QUEUE {
                    net.counts.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                for _ in 0..=u32::from(chance.next() < net.weather.twice) {
                    number += 1;
                    let held = (chance.next() * net.weather.jitter_ms as f64 * 1000.0) as u64;
                    let at = Instant::now() + Duration::from_millis(net.weather.delay_ms) + Duration::from_micros(held);
                    under_way.push(Reverse((at, number, datagram[..len].to_vec())));
                }
            }
            () = tokio::time::sleep_until(until.into()) => {
                let Some(Reverse((_, _, bytes))) = under_way.pop() else { return };
                let target = *to.lock().unwrap();
                if let Some(target) = target {
                    let _ = out.send_to(&bytes, target).await;
                    net.counts.passed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// xorshift64*: repeatable, and good enough for weather.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Gilbert: runs of losses whose mean length is `burst`, and which make up `loss` of all packets.
    fn loses(&mut self, weather: &Weather, losing: bool) -> bool {
        let burst = weather.burst.max(1.0 / (1.0 - weather.loss).max(0.01));
        let begin = weather.loss / (burst * (1.0 - weather.loss).max(0.01));
        let draw = self.next();
        if losing { draw >= 1.0 / burst } else { draw < begin }
    }
}
