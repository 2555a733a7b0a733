//! Whole legs in virtual time, two of them back to back over a network made of numbers, or one against
//! packets written by hand. Nothing here opens a socket or waits.
#![allow(clippy::unwrap_used)] // a test may; clippy.toml only reaches #[test] functions

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::rtcp::{Compound, Packet as Rtcp, Writer};
use media::rtp::{Header, Packet};
use media::secure::SEAL_MAX;
use media::{Codec, Digit, Frame, FramePool, Kind, Leg, LegChange, LegConfig, MediaTime, TickIn, level};

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:5000";

fn config(codec: Codec, ssrc: u32, remote: &str) -> LegConfig {
    let payload_type = codec.static_payload_type().unwrap();
    LegConfig {
        codec,
        payload_type,
        receive: vec![(payload_type, codec)],
        ssrc,
        sequence: 65_530,
        timestamp: u32::MAX - 1_000,
        ..LegConfig::new(address(remote))
    }
}

fn change(codec: Codec, remote: &str) -> LegChange {
    LegChange::from(&config(codec, 1, remote))
}

/// Two legs and the network between them.
struct Pair {
    start: Instant,
    now_ms: u64,
    a: Leg,
    b: Leg,
    pool: FramePool,
    /// Datagrams on their way, by arrival: true goes to b.
    wire: BTreeMap<(u64, u64), (bool, Vec<u8>)>,
    sent: u64,
    delay_ms: u64,
    /// Whether the nth datagram from a is lost.
    lose: fn(u64) -> bool,
}

impl Pair {
    fn new(codec: Codec) -> Self {
        let start = epoch();
        Pair {
            start,
            now_ms: 0,
            a: Leg::new(start, config(codec, 0xA, B)),
            b: Leg::new(start, config(codec, 0xB, A)),
            pool: FramePool::new(8),
            wire: BTreeMap::new(),
            sent: 0,
            delay_ms: 7,
            lose: |_| false,
        }
    }

    /// One turn of 20 ms: a says `frame`, b says nothing; what b heard.
    fn turn(&mut self, frame: Option<&Frame>) -> TickIn {
        let mut buffer = [0; 1_500];
        let now = self.start + ms(self.now_ms);
        let out = self.a.tick_out(now, frame, &mut buffer);
        self.post(true, out.map(|o| buffer[..o.len].to_vec()));
        let out = self.b.tick_out(now, None, &mut buffer);
        self.post(false, out.map(|o| buffer[..o.len].to_vec()));
        let out = self.a.rtcp(now, &mut buffer);
        self.post(true, out.map(|o| buffer[..o.len].to_vec()));
        let out = self.b.rtcp(now, &mut buffer);
        self.post(false, out.map(|o| buffer[..o.len].to_vec()));
        self.now_ms += 20;
        while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 < self.now_ms) {
            let (at, (to_b, datagram)) = entry.remove_entry();
            let now = self.start + ms(at.0);
            if to_b {
                self.b.handle(now, address(A), &mut datagram.clone());
            } else {
                self.a.handle(now, address(B), &mut datagram.clone());
            }
        }
        let now = self.start + ms(self.now_ms);
        self.a.tick_in(now, &mut self.pool);
        self.b.tick_in(now, &mut self.pool)
    }

    fn post(&mut self, to_b: bool, datagram: Option<Vec<u8>>) {
        let Some(datagram) = datagram else { return };
        self.sent += 1;
        if !to_b || !(self.lose)(self.sent / 2) {
            self.wire.insert((self.now_ms + self.delay_ms, self.sent), (to_b, datagram));
        }
    }

    /// Says `audio` (16 kHz) and `more` turns of silence; what b heard.
    fn say(&mut self, audio: &[i16], more: usize) -> Vec<i16> {
        let mut heard = Vec::new();
        let frames = audio.len() / 320;
        for i in 0..frames + more {
            let frame = (i < frames).then(|| frame(&mut self.pool, &audio[i * 320..]));
            let tick = self.turn(frame.as_ref());
            heard.extend_from_slice(tick.frame.unwrap().samples());
        }
        heard
    }
}

fn frame(pool: &mut FramePool, samples: &[i16]) -> Frame {
    let filled = pool.fill(MediaTime::ZERO, |to| {
        to.copy_from_slice(&samples[..320]);
        Ok::<(), ()>(())
    });
    filled.unwrap()
}

fn tone(hz: f32, amplitude: f32, millis: usize) -> Vec<i16> {
    let sample = |i: usize| (amplitude * (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin()) as i16;
    (0..millis * 16).map(sample).collect()
}

#[test]
fn what_one_says_the_other_hears() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut pair = Pair::new(codec);
        pair.say(&[], 10);
        let said = tone(800.0, 8_000.0, 1_000);
        let heard = pair.say(&said, 20);
        let begin = level::first_active_ms(&heard, 16_000, -40.0).unwrap();
        let end = level::last_active_ms(&heard, 16_000, -40.0).unwrap();
        assert!((20..75).contains(&begin), "{codec:?}: {begin} ms from mouth to ear, 7 of them network");
        // The delay may have come down meanwhile, by periods of the tone.
        let left_out = pair.b.stats().shortened_ms as u32;
        assert!(left_out <= 20, "{left_out} ms");
        assert!((begin + 990 - left_out..=begin + 1_010).contains(&end), "{codec:?}: {begin} to {end} ms");
        let middle = &heard[(begin as usize + 100) * 16..(end as usize - 100) * 16];
        assert!((level::rms_dbfs(middle) - level::rms_dbfs(&said)).abs() < 0.2, "{codec:?}: as loud as said");
        let stats = pair.b.stats();
        assert_eq!((stats.packets_lost, stats.concealed_frames, stats.late, stats.junk), (0, 0, 0, 0));
    }
}

#[test]
fn losses_are_concealed_and_counted() {
    let mut pair = Pair::new(Codec::Pcma);
    pair.lose = |n| n > 20 && n % 10 == 0;
    let said = tone(200.0, 8_000.0, 4_000);
    let heard = pair.say(&said, 10);
    let stats = pair.b.stats();
    assert!((15..25).contains(&stats.packets_lost), "{stats:?}");
    assert_eq!(stats.concealed_frames as i64, stats.packets_lost);
    let quietest = heard[8_000..60_000].chunks(320).map(level::rms_dbfs).fold(0.0, f32::min);
    assert!(quietest > -18.0, "no holes: {quietest} dBFS");
}

/// Sends by script and lists the packets: `f` a frame, `.` silence, `!` a pause of the driver of 200 ms,
/// `5` a key of 60 ms.
fn sent(script: &str) -> String {
    let start = epoch();
    let mut leg =
        Leg::new(start, LegConfig { sequence: 65_534, timestamp: u32::MAX - 159, ..config(Codec::Pcma, 7, A) });
    let mut pool = FramePool::new(2);
    let (mut now, mut list, mut buffer) = (start, String::new(), [0; 1_500]);
    for c in script.chars() {
        match c {
            '!' => now += ms(200),
            '5' => assert!(leg.send_digit(Digit::from_char('5').unwrap(), 60)),
            _ => {
                let speech = frame(&mut pool, &tone(500.0, 9_000.0, 20));
                let out = leg.tick_out(now, (c == 'f').then_some(&speech), &mut buffer).unwrap();
                assert_eq!(out.to, address(A));
                let packet = Packet::parse(&buffer[..out.len]).unwrap();
                let h = packet.header;
                let what = match packet.payload {
                    [5, flags, high, low] => format!(
                        "key{}{}",
                        u32::from(*high) * 256 + u32::from(*low),
                        if flags & 0x80 != 0 { "!" } else { "" }
                    ),
                    p if p.iter().all(|b| *b == 0xD5) => "-".into(),
                    p => format!("{}", p.len()),
                };
                let m = if h.marker { "m" } else { "" };
                // Timestamps in packets, from the first.
                let place = h.timestamp.wrapping_sub(u32::MAX - 159) / 160;
                list += &format!("{}:{place}:{what}{m} ", h.sequence);
                now += ms(20);
            }
        }
    }
    list.trim_end().into()
}

#[test]
fn a_packet_goes_out_every_tick_and_spurts_are_marked() {
    assert_eq!(sent("ff"), "65534:0:160m 65535:1:160");
    // Three of silence (the first still rings), and the next spurt.
    assert_eq!(sent("f...f"), "65534:0:160m 65535:1:160 0:2:- 1:3:- 2:4:160m");
    assert_eq!(sent("..f"), "65534:0:-m 65535:1:- 0:2:160m");
}

#[test]
fn a_pause_of_the_driver_is_a_gap_in_time_but_not_in_numbers() {
    assert_eq!(sent("f!f.."), "65534:0:160m 65535:11:160m 0:12:160 1:13:-");
    assert_eq!(sent("..!."), "65534:0:-m 65535:1:- 0:12:-m");
}

#[test]
fn keys_replace_audio_and_keep_its_clock() {
    let at_once = "65534:0:key160m 65535:0:key320 0:0:key480! 1:0:key480! 2:0:key480! 3:5:-m 4:6:160m";
    assert_eq!(sent("5......f"), at_once);
    let in_speech = "65534:0:160m 65535:1:key160m 0:1:key320 1:1:key480! 2:1:key480! 3:1:key480! 4:6:160 5:7:160m";
    assert_eq!(sent("f5......f"), in_speech);
}

#[test]
fn keys_arrive_once_whatever_is_lost() {
    let losses: [fn(u64) -> bool; 4] = [|_| false, |n| n % 2 == 0, |n| n % 3 != 0, |n| n % 5 < 3];
    for (i, lose) in losses.into_iter().enumerate() {
        let mut pair = Pair::new(Codec::Pcmu);
        pair.lose = lose;
        pair.say(&[], 12);
        for c in "19#0055".chars() {
            assert!(pair.a.send_digit(Digit::from_char(c).unwrap(), 160));
        }
        let mut heard = String::new();
        for _ in 0..120 {
            heard.extend(pair.turn(None).digits.iter().map(Digit::as_char));
        }
        assert_eq!(heard, "19#0055", "loss pattern {i}");
    }
}

#[test]
fn no_key_without_an_agreement() {
    let mut leg = Leg::new(epoch(), LegConfig { dtmf_payload_type: None, ..config(Codec::Pcmu, 1, A) });
    assert!(!leg.send_digit(Digit::from_char('1').unwrap(), 100));
}

/// Sends packets by hand: `at_ms:from/ssrc`, from a host (`a`, `b`, `c`, or the signalled `s`) and one of
/// two ports (`a`, `a2`); says where RTP would go after each, and how many were foreign.
fn latch(symmetric: bool, script: &str) -> String {
    let start = epoch();
    let mut leg = Leg::new(start, LegConfig { symmetric, ..config(Codec::Pcmu, 1, "192.0.2.115:40") });
    let place = |name: &str| {
        let bytes = name.as_bytes();
        SocketAddr::from(([192, 0, 2, bytes[0]], if bytes.len() > 1 { 50 } else { 40 }))
    };
    let mut found = Vec::new();
    for (n, word) in script.split_whitespace().enumerate() {
        let (at, rest) = word.split_once(':').unwrap();
        let now = start + ms(at.parse().unwrap());
        if let Some(to) = rest.strip_prefix('>') {
            leg.renegotiate(now, change(Codec::Pcmu, &place(to).to_string()));
        } else {
            let (from, ssrc) = rest.split_once('/').unwrap();
            leg.handle(now, place(from), &mut audio(0, n as u16, n as u32 * 160, ssrc.parse().unwrap(), &[0xFF; 160]));
        }
        let names = ["a", "a2", "b", "b2", "c", "s"];
        found.push(names.into_iter().find(|name| place(name) == leg.remote()).unwrap());
    }
    format!("{} foreign {}", found.join(" "), leg.stats().foreign)
}

fn audio(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc };
    let mut out = vec![0; 12 + payload.len()];
    header.write(&mut out).unwrap();
    out[12..].copy_from_slice(payload);
    out
}

#[test]
fn the_first_packet_latches_and_strangers_do_not() {
    assert_eq!(latch(true, "0:b/1 20:b/1 40:c/2 60:b/1"), "b b b b foreign 1");
    assert_eq!(latch(true, "0:a2/1 20:a2/1"), "a2 a2 foreign 0");
    // No silence moves it to another host; a NAT that rebound goes on with the same SSRC.
    let heard = "0:b/1 20:b/1 40:b/1 60:b/1 80:b/1";
    assert_eq!(latch(true, &format!("{heard} 1900:c/2 9000:c/1 9020:b/1")), "b b b b b b b b foreign 2");
    assert_eq!(latch(true, &format!("{heard} 150:b2/1 290:b2/1 300:b/1")), "b b b b b b b2 b2 foreign 2");
    // The signalled address wins over a stranger who was quicker.
    assert_eq!(latch(true, "0:c/2 20:s/1 40:c/2"), "c s s foreign 1");
    // A signalled change believes the first again; the same address signalled again changes nothing.
    assert_eq!(latch(true, "0:b/1 20:>c 40:c/1"), "b c c foreign 0");
    assert_eq!(latch(true, "0:b/1 20:>s 40:c/1"), "b b b foreign 1");
}

#[test]
fn without_symmetry_the_signalled_host_counts() {
    assert_eq!(latch(false, "0:b/1 20:s/1 40:s2/1 60:c/3"), "s s s s foreign 2");
}

#[test]
fn reports_tell_the_round_trip_and_the_loss() {
    let mut pair = Pair::new(Codec::Pcmu);
    pair.delay_ms = 45;
    pair.lose = |n| n % 4 == 1;
    pair.say(&tone(300.0, 5_000.0, 24_000), 0);
    let (a, b) = (pair.a.stats(), pair.b.stats());
    for stats in [&a, &b] {
        let round_trip = stats.round_trip.unwrap().as_millis();
        assert!((89..=91).contains(&round_trip), "{round_trip} ms");
    }
    let lost = a.remote_fraction_lost.unwrap();
    assert!((0.2..0.3).contains(&lost), "b told a that it lost {lost}");
    assert_eq!((b.remote_fraction_lost, a.packets_lost), (Some(0.0), 0));
    assert!(b.jitter_ms < 1.0 && a.remote_jitter_ms.unwrap() < 1.0);
}

#[test]
fn rtcp_goes_to_the_rtp_port_or_the_next_or_where_it_comes_from() {
    let start = epoch();
    let mut buffer = [0; 1_500];
    let mut to = |leg: &mut Leg| leg.goodbye(start, &mut buffer).unwrap().to;
    let mut mux = Leg::new(start, config(Codec::Pcmu, 1, A));
    assert_eq!(to(&mut mux), address(A));
    let mut plain = Leg::new(start, LegConfig { rtcp_mux: false, ..config(Codec::Pcmu, 1, A) });
    assert_eq!(to(&mut plain), address("192.0.2.1:4001"));
    let mut report = [0; 100];
    let mut writer = Writer::new(&mut report);
    assert!(writer.receiver_report(9, &[]));
    let len = writer.len();
    plain.handle(start, address("192.0.2.66:7000"), &mut report[..len]);
    assert_eq!((to(&mut plain), plain.stats().foreign), (address("192.0.2.1:4001"), 1));
    plain.handle(start, address("192.0.2.1:7000"), &mut report[..len]);
    assert_eq!(to(&mut plain), address("192.0.2.1:7000"));
}

#[test]
fn goodbye_is_said_and_heard() {
    let mut pair = Pair::new(Codec::Pcmu);
    pair.say(&[], 10);
    let mut buffer = [0; 1_500];
    let now = pair.start + ms(pair.now_ms);
    let out = pair.a.goodbye(now, &mut buffer).unwrap();
    let compound = Compound::parse(&buffer[..out.len]).unwrap();
    let kinds: Vec<_> = compound.packets().collect();
    assert!(matches!(
        kinds[..],
        [Rtcp::SenderReport { .. }, Rtcp::Description { cname: Some(b"leg"), .. }, Rtcp::Goodbye { .. }]
    ));
    assert!(!pair.b.stats().goodbye);
    pair.b.handle(now, address(A), &mut buffer[..out.len]);
    assert!(pair.b.stats().goodbye);
    assert!(pair.a.goodbye(now, &mut buffer[..20]).is_none(), "no room, no packet");
}

#[test]
fn reports_come_every_five_seconds_or_so() {
    let start = epoch();
    for ssrc in 1..20 {
        let mut leg = Leg::new(start, config(Codec::Pcmu, ssrc, A));
        let mut buffer = [0; 1_500];
        let due: Vec<u64> =
            (0..6_000).map(|i| i * 10).filter(|at| leg.rtcp(start + ms(*at), &mut buffer).is_some()).collect();
        assert!((1_250..=3_760).contains(&due[0]), "{due:?}");
        assert!(due.windows(2).all(|w| (2_500..=7_520).contains(&(w[1] - w[0]))), "{due:?}");
    }
}

#[test]
fn a_codec_change_is_seamless_and_hold_is_quiet() {
    let mut pair = Pair::new(Codec::Pcmu);
    let said = tone(400.0, 8_000.0, 1_000);
    pair.say(&said, 0);
    pair.a.renegotiate(pair.start, change(Codec::Pcma, B));
    pair.b.renegotiate(pair.start, change(Codec::Pcma, A));
    let heard = pair.say(&said, 0);
    let loudness = heard.chunks(320).map(level::rms_dbfs);
    let (quietest, loudest) = loudness.fold((0.0, -99.0), |(low, high): (f32, f32), l| (low.min(l), high.max(l)));
    assert!(loudest - quietest < 1.0, "{quietest} to {loudest} dBFS across the change");
    assert_eq!((pair.b.stats().concealed_frames, pair.b.stats().junk), (0, 0));
    let before = pair.a.stats().packets_sent;
    pair.a.renegotiate(pair.start, LegChange { send: false, ..change(Codec::Pcma, B) });
    pair.say(&said, 0);
    assert_eq!(pair.a.stats().packets_sent, before);
    pair.a.renegotiate(pair.start, change(Codec::Pcma, B));
    let heard = pair.say(&said, 10);
    assert!(level::first_active_ms(&heard, 16_000, -40.0).unwrap() < 80, "it goes on at once");
    assert_eq!(pair.b.stats().packets_lost, 0);
}

/// Feeds one leg a packet every 20 ms as `packet` makes it, `None` for none; kinds of the frames as letters.
fn kinds(leg: &mut Leg, packets: u32, packet: impl Fn(u32) -> Option<Vec<u8>>) -> String {
    let start = epoch();
    let mut pool = FramePool::new(3);
    let mut list = String::new();
    for n in 0..packets {
        let now = start + ms(u64::from(n) * 20);
        if let Some(datagram) = packet(n) {
            leg.handle(now, address(A), &mut datagram.clone());
        }
        let tick = leg.tick_in(now + ms(3), &mut pool);
        list.push(match tick.kind {
            Kind::Audio => 'a',
            Kind::Concealed => 'c',
            Kind::Silence => '.',
        });
        assert_eq!(tick.frame.unwrap().at(), MediaTime::from_frames(u64::from(n)));
    }
    list
}

#[test]
fn sources_come_pause_and_change() {
    let leg = || Leg::new(epoch(), config(Codec::Pcmu, 1, A));
    let loud = [0x90; 160];
    let plain = |n: u32, ssrc| Some(audio(0, n as u16, n * 160, ssrc, &loud));
    assert_eq!(kinds(&mut leg(), 8, |n| plain(n, 5)), "..aaaaaa");
    // A pause: concealed while it might be loss, then silence, then a new spurt.
    assert_eq!(kinds(&mut leg(), 18, |n| if (4..12).contains(&n) { None } else { plain(n, 5) }), "..aaaacccccc..aaaa");
    // Another SSRC in mid-stream is believed at its second packet.
    let mut changing = leg();
    assert_eq!(kinds(&mut changing, 12, |n| plain(n, if n < 5 { 5 } else { 6 })), "..aaaa..aaaa");
    assert_eq!(changing.stats().ssrc_changes, 1);
    // A single packet of another one changes nothing.
    let mut lone = leg();
    assert_eq!(kinds(&mut lone, 10, |n| plain(n, if n == 5 { 6 } else { 5 })).matches('.').count(), 2);
    assert_eq!(lone.stats().ssrc_changes, 0);
    // Payload types nobody agreed on are junk.
    let mut odd = leg();
    assert_eq!(kinds(&mut odd, 5, |n| Some(audio(18, n as u16, n * 160, 5, &loud))), ".....");
    assert_eq!((odd.stats().junk, odd.stats().latches), (5, 0));
}

#[test]
fn an_exhausted_pool_loses_frames_but_not_the_thread() {
    let start = epoch();
    let mut leg = Leg::new(start, config(Codec::Pcmu, 1, A));
    let mut pool = FramePool::new(1);
    let held = leg.tick_in(start, &mut pool).frame;
    assert!(held.is_some());
    for n in 1..10 {
        assert!(leg.tick_in(start + ms(n * 20), &mut pool).frame.is_none());
    }
    assert_eq!(leg.stats().pool_exhausted, 9);
    drop(held);
    let frame = leg.tick_in(start + ms(200), &mut pool).frame.unwrap();
    assert_eq!(frame.at(), MediaTime::from_ms(200));
}

#[test]
fn a_short_buffer_gets_nothing() {
    let start = epoch();
    let mut leg = Leg::new(start, config(Codec::Pcmu, 1, A));
    assert!(leg.tick_out(start, None, &mut [0; 171 + SEAL_MAX]).is_none());
    assert!(leg.tick_out(start, None, &mut []).is_none());
    assert_eq!(leg.tick_out(start, None, &mut [0; 172 + SEAL_MAX]).unwrap().len, 172);
}
