//! Many pages in one process: each checks, shakes hands, opens its data channel, sends a packet of recorded speech or of
//! quiet noise every 20 ms, and keeps when each packet that comes back came. Speech is encoded beforehand: what is
//! measured is the gateway.

use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::codec::{Encoder, EncoderConfig};
use media::data::DataEvent;
use media::rtp::{Header, Packet};
use media::secure::{Checker, Fingerprint, Identity, Opened, Role, SEAL_MAX, Security, Shield, ShieldConfig};
use media::{Codec, FRAME_SAMPLES};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use serde_json::{Value, json};

use crate::shared::{pace, quantile, recordings};

/// Payload types.
pub const OPUS: u8 = 111;
pub const EVENT: u8 = 110;
const FRAME_US: i64 = 20_000;
/// Units of the RTP clock.
const STEP: u32 = 960;
/// Packets between where one page begins in the recordings and where the next.
const APART: usize = 7919;
/// By then every page has its keys and its channel.
const BEGIN_WITHIN: Duration = Duration::from_secs(60);
/// What lines' silence sounds like has been learnt by then, and everything that grows at first has grown.
const WARM: Duration = Duration::from_secs(12);
/// A frame is late when it comes after half of the next one's time ...
const LATE_US: i64 = 10_000;
/// ... by a grid that its earliest packet of this many sets: clocks drift apart in minutes.
const GRID: usize = 500;

/// `ice-ufrag` and `ice-pwd` of the nth call; nobody else is on this machine's loopback.
pub fn credentials(n: usize) -> (String, String) {
    (format!("c{n:05}"), format!("{n:032}"))
}

struct Page {
    socket: UdpSocket,
    gateway: SocketAddr,
    checker: Checker,
    shield: Shield,
    ssrc: u32,
    /// Which of the recordings' packets is next.
    at: usize,
    sequence: u16,
    channel: bool,
    texts: u64,
    /// Of each packet: sequence steps since the first, and arrival in microseconds since then.
    came: Vec<(u32, i64)>,
    first: Option<(u16, i64)>,
    last: u16,
    steps: u32,
}

/// Talks by lines with who started it: a fingerprint out, the gateway's address and fingerprint in, `measuring`, and one
/// line of JSON.
pub fn run(count: usize, seconds: u64) {
    let identity = Arc::new(Identity::generate().expect("randomness"));
    say(&identity.fingerprint().to_string());
    let speech = speech();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the gateway's line");
    let (gateway, theirs) = line.trim().split_once(' ').expect("an address and a fingerprint");
    let (gateway, theirs): (SocketAddr, Fingerprint) =
        (gateway.parse().expect("an address"), theirs.parse().expect("a fingerprint"));
    let mut pages: Vec<Page> = (0..count).map(|n| Page::new(n, gateway, &identity, &theirs)).collect();
    let begun = Instant::now();
    while !pages.iter().all(|p| p.shield.is_open() && p.channel) {
        talk(&mut pages, &speech, Duration::from_millis(200), false);
        let open = pages.iter().filter(|p| p.channel).count();
        assert!(begun.elapsed() < BEGIN_WITHIN, "{open} of {count} pages have a channel");
    }
    let connected_ms = begun.elapsed().as_millis() as u64;
    talk(&mut pages, &speech, WARM, false);
    say("measuring");
    let behind = talk(&mut pages, &speech, Duration::from_secs(seconds), true);
    let mut result = result(&pages, behind);
    result["seconds"] = json!(seconds);
    result["all_connected_ms"] = json!(connected_ms);
    result["own_cores"] = json!(crate::shared::busy_s("/proc/self/stat") / begun.elapsed().as_secs_f64());
    say(&result.to_string());
    // Until told to go, so that nobody's port is closed while the gateway still sends to it.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a reader");
}

/// Everybody sends and reads every 20 ms. Gives the worst of our own lateness.
fn talk(pages: &mut [Page], speech: &[Vec<u8>], time: Duration, measured: bool) -> Duration {
    pace(pages, time, |page, now| page.turn(now, speech, measured))
}

impl Page {
    fn new(n: usize, gateway: SocketAddr, identity: &Arc<Identity>, theirs: &Fingerprint) -> Page {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("an option");
        setsockopt(&socket, ReceiveTimestampns, &true).expect("an option");
        let (now, ssrc) = (Instant::now(), n as u32 + 10_000);
        let (ufrag, pwd) = credentials(n);
        let security =
            Security::Dtls { identity: Arc::clone(identity), role: Role::Active, fingerprint: theirs.clone() };
        let mut shield = Shield::new(now, ShieldConfig { security, ice: None, remote: gateway, data: true }, ssrc);
        shield.open_data();
        Page {
            socket,
            gateway,
            checker: Checker::new(now, "page", &ufrag, &pwd, (n as u128 + 1) << 64 | n as u128),
            shield,
            ssrc,
            at: n * APART,
            sequence: 0,
            channel: false,
            texts: 0,
            came: Vec::new(),
            first: None,
            last: 0,
            steps: 0,
        }
    }

    fn turn(&mut self, now: Instant, speech: &[Vec<u8>], measured: bool) {
        let mut out = [0; 1_500];
        if let Some(len) = self.checker.poll(now, &mut out) {
            let _ = self.socket.send_to(&out[..len], self.gateway);
        }
        while self.read(now, measured) {}
        while self.checker.has_passed()
            && let Some((len, to)) = self.shield.poll(now, &mut out)
        {
            let _ = self.socket.send_to(&out[..len], to);
        }
        while self.shield.event().is_some() {}
        while let Some(event) = self.shield.data() {
            match event {
                DataEvent::Open => self.channel = true,
                DataEvent::Text(_) => self.texts += 1,
                DataEvent::Closed => self.channel = false,
            }
        }
        if self.shield.is_open() {
            self.send(speech);
        }
    }

    fn send(&mut self, speech: &[Vec<u8>]) {
        let payload = &speech[self.at % speech.len()];
        let mut out = [0; 1_500];
        let timestamp = u32::from(self.sequence) * STEP;
        let header = Header { marker: false, payload_type: OPUS, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        let head = header.write(&mut out).expect("room");
        out[head..head + payload.len()].copy_from_slice(payload);
        let len = head + payload.len();
        if let Some(len) = self.shield.seal_rtp(&mut out[..len + SEAL_MAX], len) {
            let _ = self.socket.send_to(&out[..len], self.gateway);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.at += 1;
    }

    /// One datagram, if there is one.
    fn read(&mut self, now: Instant, measured: bool) -> bool {
        let mut datagram = [0; 1_500];
        let mut stamps = nix::cmsg_space!(nix::sys::time::TimeSpec);
        let mut slices = [std::io::IoSliceMut::new(&mut datagram)];
        let fd = self.socket.as_raw_fd();
        let Ok(message) = recvmsg::<()>(fd, &mut slices, Some(&mut stamps), MsgFlags::MSG_DONTWAIT) else {
            return false;
        };
        let stamp = message.cmsgs().ok().and_then(|mut c| {
            c.find_map(|c| match c {
                ControlMessageOwned::ScmTimestampns(at) => Some(at.tv_sec() * 1_000_000 + at.tv_nsec() / 1_000),
                _ => None,
            })
        });
        let len = message.bytes;
        if matches!(datagram[0], 0..=3) {
            self.checker.handle(&datagram[..len]);
            return true;
        }
        if let Opened::Rtp { packet, authenticated: true } = self.shield.open(now, self.gateway, &mut datagram[..len])
            && let (Ok(packet), Some(stamp), true) = (Packet::parse(packet), stamp, measured)
        {
            let sequence = packet.header.sequence;
            self.note(sequence, stamp);
        }
        true
    }

    fn note(&mut self, sequence: u16, stamp: i64) {
        let (_, start) = *self.first.get_or_insert_with(|| {
            self.last = sequence;
            (sequence, stamp)
        });
        let step = sequence.wrapping_sub(self.last) as i16;
        // On loopback nothing is overtaken.
        if step >= 0 {
            self.steps += step as u32;
            self.last = sequence;
            self.came.push((self.steps, stamp - start));
        }
    }

    /// Packets that never came, and how late each one came that did.
    fn lateness(&self, late_us: &mut Vec<i64>) -> i64 {
        for part in self.came.chunks(GRID) {
            let offset = |(step, at): &(u32, i64)| at - i64::from(*step) * FRAME_US;
            let earliest = part.iter().map(offset).min().unwrap_or(0);
            late_us.extend(part.iter().map(|came| offset(came) - earliest));
        }
        i64::from(self.steps) + 1 - self.came.len() as i64
    }
}

fn result(pages: &[Page], behind: Duration) -> Value {
    let mut late_us = vec![];
    let lost: i64 = pages.iter().filter(|p| !p.came.is_empty()).map(|p| p.lateness(&mut late_us)).sum();
    late_us.sort_unstable();
    let ms = |us: Option<i64>| us.map_or(Value::Null, |us| json!((us as f64 / 10.0).round() / 100.0));
    json!({
        "packets": late_us.len(), "lost": lost,
        "silent_calls": pages.iter().filter(|p| p.came.is_empty()).count(),
        "channels_open": pages.iter().filter(|p| p.channel).count(),
        "texts": pages.iter().map(|p| p.texts).sum::<u64>(),
        "late_frames": late_us.iter().rev().take_while(|us| **us > LATE_US).count(),
        "lateness_ms": {
            "p50": ms(quantile(&late_us, 0.5)), "p99": ms(quantile(&late_us, 0.99)),
            "p99.9": ms(quantile(&late_us, 0.999)), "max": ms(late_us.last().copied()),
        },
        "generator_behind_ms": (behind.as_secs_f64() * 1e5).round() / 100.0,
    })
}

/// The recordings of callers, each with its share of quiet behind it, as packets of Opus.
fn speech() -> Vec<Vec<u8>> {
    let samples = recordings(|path| dauys::caller::script::read_wav(path).expect("a recording"));
    let mut encoder = Encoder::new(Codec::Opus, EncoderConfig::default()).expect("an encoder");
    let frames = samples.as_chunks::<FRAME_SAMPLES>().0.iter();
    frames
        .map(|frame| {
            let mut payload = [0; 1_275];
            let len = encoder.encode(frame, &mut payload);
            payload[..len].to_vec()
        })
        .filter(|payload| !payload.is_empty())
        .collect()
}
