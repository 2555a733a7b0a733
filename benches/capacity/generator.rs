//! The callers of the capacity bench, a process of their own: each sends a packet of recorded speech or of quiet noise
//! every 20 ms, and keeps when each packet that comes back came. They know nothing of the gateway.

use std::io::{BufRead as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use serde_json::{Value, json};

use crate::shared::{pace, quantile, recordings};

const FRAME_NS: i64 = 20_000_000;
/// Samples of a packet.
const SAMPLES: usize = 160;
/// Packets between where one caller begins in the recordings and where the next.
pub const APART: usize = 7919;
/// A frame is late when it comes after half of the next one's time.
const LATE_NS: i64 = 10_000_000;
/// Longest run that is kept: 60 s.
const KEPT: usize = 3_000;

struct Caller {
    socket: UdpSocket,
    /// Which of the recordings' packets is next.
    at: usize,
    sequence: u16,
    /// Of each packet: arrival less 20 ms for each step of its sequence number, in nanoseconds, since the first.
    offsets: Vec<i64>,
    first: Option<(u16, i64)>,
    steps: (i64, i64),
}

/// Talks by lines with who started it: ports out, ports in, `measuring`, and one line of JSON.
pub fn run(calls: usize, warm_s: u64, measured_s: u64) {
    raise();
    let speech = speech();
    let callers = (0..calls).map(|n| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("an option");
        setsockopt(&socket, ReceiveTimestampns, &true).expect("an option");
        Caller { socket, at: n * APART, sequence: 0, offsets: Vec::with_capacity(KEPT), first: None, steps: (0, 0) }
    });
    let mut callers: Vec<Caller> = callers.collect();
    let ports: Vec<String> = callers.iter().map(|c| c.socket.local_addr().expect("bound").port().to_string()).collect();
    say(&ports.join(" "));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the gateway's ports");
    for (caller, port) in callers.iter().zip(line.split_whitespace()) {
        caller.socket.connect(("127.0.0.1", port.parse::<u16>().expect("a port"))).expect("connected");
    }
    call(&mut callers, &speech, Duration::from_secs(warm_s), false);
    callers.iter_mut().for_each(Caller::forget);
    say("measuring");
    let behind = call(&mut callers, &speech, Duration::from_secs(measured_s), true);
    say(&result(&mut callers, behind).to_string());
    // Until told to go, so that nobody's port is closed while the gateway still sends to it.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a reader");
}

/// Before all others, if that is permitted: what is measured is the gateway.
fn raise() {
    use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let lowest = 1u8.try_into().map(ThreadPriority::Crossplatform).expect("in range");
    let _ = thread_priority::set_thread_priority_and_policy(thread_priority::thread_native_id(), lowest, policy);
}

/// Everybody sends and reads every 20 ms. Gives the worst of our own lateness.
fn call(callers: &mut [Caller], speech: &[u8], time: Duration, measured: bool) -> Duration {
    pace(callers, time, |caller, _| caller.turn(speech, measured))
}

impl Caller {
    fn turn(&mut self, speech: &[u8], measured: bool) {
        let _ = self.socket.send(&packet(self.sequence, speech, self.at));
        self.sequence = self.sequence.wrapping_add(1);
        self.at += 1;
        while self.read(measured) {}
    }

    /// One packet, if there is one.
    fn read(&mut self, measured: bool) -> bool {
        let mut packet = [0; 256];
        let mut stamps = nix::cmsg_space!(nix::sys::time::TimeSpec);
        let mut slices = [std::io::IoSliceMut::new(&mut packet)];
        let fd = self.socket.as_raw_fd();
        let Ok(message) = recvmsg::<()>(fd, &mut slices, Some(&mut stamps), MsgFlags::MSG_DONTWAIT) else {
            return false;
        };
        let stamp = message.cmsgs().ok().and_then(|mut c| {
            c.find_map(|c| match c {
                ControlMessageOwned::ScmTimestampns(at) => Some(at.tv_sec() * 1_000_000_000 + at.tv_nsec()),
                _ => None,
            })
        });
        let is_rtp = message.bytes == 12 + SAMPLES;
        if let (Some(stamp), true, true) = (stamp, is_rtp, measured) {
            self.note(u16::from_be_bytes([packet[2], packet[3]]), stamp);
        }
        true
    }

    fn note(&mut self, sequence: u16, stamp: i64) {
        let (first, start) = *self.first.get_or_insert((sequence, stamp));
        let step = i64::from(sequence.wrapping_sub(first) as i16);
        self.steps = (self.steps.0.min(step), self.steps.1.max(step));
        if self.offsets.len() < KEPT {
            self.offsets.push(stamp - start - step * FRAME_NS);
        }
    }

    fn forget(&mut self) {
        // What came before the measured time is not to be read in it.
        while self.read(false) {}
    }
}

/// Each packet against its call's own 20 ms grid, which its earliest packet sets.
fn result(callers: &mut [Caller], behind: Duration) -> Value {
    let (mut late_ns, mut lost, mut silent) = (vec![], 0, 0);
    for caller in callers.iter_mut() {
        let Some(earliest) = caller.offsets.iter().min().copied() else {
            silent += 1;
            continue;
        };
        lost += caller.steps.1 - caller.steps.0 + 1 - caller.offsets.len() as i64;
        late_ns.extend(caller.offsets.iter().map(|o| o - earliest));
    }
    late_ns.sort_unstable();
    let ms = |ns: Option<i64>| ns.map_or(Value::Null, |ns| json!((ns as f64 / 1e4).round() / 100.0));
    json!({
        "packets": late_ns.len(), "lost": lost, "silent_calls": silent,
        "late_frames": late_ns.iter().rev().take_while(|ns| **ns > LATE_NS).count(),
        "lateness_ms": {
            "p50": ms(quantile(&late_ns, 0.5)), "p99": ms(quantile(&late_ns, 0.99)),
            "p99.9": ms(quantile(&late_ns, 0.999)), "max": ms(late_ns.last().copied()),
        },
        "generator_behind_ms": (behind.as_secs_f64() * 1e5).round() / 100.0,
    })
}

/// An RTP packet with that piece of the recordings, which begin anew after their end.
pub fn packet(sequence: u16, speech: &[u8], at: usize) -> [u8; 12 + SAMPLES] {
    let mut packet = [0; 12 + SAMPLES];
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * SAMPLES as u32).to_be_bytes());
    packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
    let pieces = speech.as_chunks::<SAMPLES>().0;
    packet[12..].copy_from_slice(&pieces[at % pieces.len()]);
    packet
}

/// The recordings of callers, each with its share of quiet behind it, as one PCMU loop.
pub fn speech() -> Vec<u8> {
    let narrow = |path: &Path| {
        let mut wav = hound::WavReader::open(path).expect("a recording");
        wav.samples::<i16>().map(|s| s.expect("a sample")).collect()
    };
    recordings(narrow).into_iter().map(encode).collect()
}

/// G.711 mu-law by its definition: sign, segment, four bits of step.
fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let biased = i32::from(sample).unsigned_abs().min(32_635) + 132;
    let segment = (biased.ilog2() - 7) as u8;
    let step = (biased >> (segment + 3)) as u8 & 0x0f;
    !(sign | segment << 4 | step)
}
