//! Whatever strangers send: no panic, no growth, and the call goes on. Random bytes, and better, packets
//! that are almost right.
#![allow(clippy::unwrap_used)] // a test may; clippy.toml only reaches #[test] functions

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::rtcp::{Compound, ReportBlock, SenderInfo, Writer};
use media::rtp::{Header, Packet};
use media::{Codec, Digit, FramePool, Kind, Leg, LegChange, LegConfig, MediaTime};
use proptest::prelude::*;

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

fn host(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 4_000))
}

fn leg(start: Instant) -> Leg {
    Leg::new(start, LegConfig::new(host(1)))
}

/// A datagram and how many ms after the one before it comes, from which host.
#[derive(Clone, Debug)]
struct Sent {
    after_ms: u64,
    from: u8,
    bytes: Vec<u8>,
}

fn rtp() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (any::<u16>(), any::<u32>(), 0..3u32, any::<bool>());
    let near = (0..200u16, 0..2_000u32, 0..3u32, any::<bool>());
    let payload_type = prop_oneof![Just(0u8), Just(101), 0..128u8];
    let payload = prop::collection::vec(any::<u8>(), 0..600);
    (prop_oneof![numbers, near], payload_type, payload).prop_map(
        |((sequence, timestamp, ssrc, marker), payload_type, payload)| {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut bytes = vec![0; 12];
            header.write(&mut bytes).unwrap();
            bytes.extend(payload);
            bytes
        },
    )
}

fn rtcp() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u32; 4]>(), 0..3u32, any::<u8>()).prop_map(|(numbers, ssrc, fraction_lost)| {
        let [highest_sequence, jitter, last_sr, delay_since_last_sr] = numbers;
        let block = ReportBlock {
            ssrc: 1,
            fraction_lost,
            packets_lost: jitter as i32,
            highest_sequence,
            jitter,
            last_sr,
            delay_since_last_sr,
        };
        let mut out = vec![0; 400];
        let mut writer = Writer::new(&mut out);
        writer.sender_report(ssrc, &SenderInfo::default(), &[block]);
        writer.cname(ssrc, "somebody");
        writer.goodbye(ssrc);
        let len = writer.len();
        out.truncate(len);
        out
    })
}

/// Anything: noise, packets, and packets with a few bytes changed or their end cut off.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..100);
    let packet = prop_oneof![rtp(), rtcp()].boxed();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let damaged = (packet.clone(), damage, any::<prop::sample::Index>()).prop_map(|(mut bytes, damage, cut)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes
    });
    prop_oneof![noise, packet, damaged]
}

fn sent() -> impl Strategy<Value = Sent> {
    let after_ms = prop_oneof![8 => 0..30u64, 1 => 0..5_000u64];
    (after_ms, 1..4u8, datagram()).prop_map(|(after_ms, from, bytes)| Sent { after_ms, from, bytes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn parsers_take_anything(bytes in datagram()) {
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert!(packet.payload.len() + 12 + 4 * packet.csrcs().count() <= bytes.len());
        }
        if let Ok(compound) = Compound::parse(&bytes) {
            prop_assert!(compound.packets().count() * 4 <= bytes.len());
        }
    }

    #[test]
    fn a_leg_takes_anything(datagrams in prop::collection::vec(sent(), 0..120)) {
        let start = epoch();
        let (mut leg, mut pool, mut out) = (leg(start), FramePool::new(2), [0; 1_500]);
        let (mut now_ms, mut next_tick_ms) = (0, 0);
        for (n, sent) in datagrams.into_iter().enumerate() {
            now_ms += sent.after_ms;
            while next_tick_ms < now_ms {
                let now = start + Duration::from_millis(next_tick_ms);
                let tick = leg.tick_in(now, &mut pool);
                prop_assert!(tick.frame.is_some());
                let outgoing = leg.tick_out(now, tick.frame.as_ref(), &mut out);
                prop_assert!(outgoing.is_some_and(|o| Packet::parse(&out[..o.len]).is_ok()));
                if let Some(report) = leg.rtcp(now, &mut out) {
                    prop_assert!(Compound::parse(&out[..report.len]).is_ok());
                }
                next_tick_ms += 20;
            }
            leg.handle(start + Duration::from_millis(now_ms), host(sent.from), &mut sent.bytes.clone());
            if n % 40 == 39 {
                leg.send_digit(Digit::from_char('5').unwrap(), n as u32);
                let codec = if n % 80 == 39 { Codec::Pcma } else { Codec::Pcmu };
                let payload_type = codec.static_payload_type().unwrap();
                let change = LegChange {
                    codec,
                    payload_type,
                    receive: vec![(payload_type, codec)],
                    dtmf_payload_type: None,
                    remote: host(2),
                    rtcp_mux: false,
                    ..LegChange::from(&LegConfig::new(host(1)))
                };
                leg.renegotiate(start + Duration::from_millis(now_ms), change);
            }
            let stats = leg.stats();
            prop_assert!(stats.delay_ms < 10_000 && stats.target_delay_ms <= 240);
        }
    }

    /// Whatever the network does to a voice, in any codec, every tick has its frame.
    #[test]
    fn a_leg_takes_any_weather(
        codec in prop::sample::select(vec![Codec::Pcmu, Codec::G722, Codec::Opus]),
        period in 40.0..330.0f32,
        fates in prop::collection::vec((0..120u64, 0..8u8), 150..400),
    ) {
        let start = epoch();
        let payload_type = codec.static_payload_type().unwrap_or(96);
        let receive = vec![(payload_type, codec)];
        let config = LegConfig { codec, payload_type, receive, ..LegConfig::new(host(1)) };
        let (mut leg, mut speaker) = (Leg::new(start, config.clone()), Leg::new(start, config));
        let (mut pool, mut voice, mut out) = (FramePool::new(6), FramePool::new(1), [0; 1_500]);
        let mut under_way: Vec<(u64, Vec<u8>)> = vec![];
        for (n, (delay_ms, fate)) in fates.into_iter().enumerate() {
            let now_ms = n as u64 * 20;
            let now = start + Duration::from_millis(now_ms);
            let frame = voice.fill(MediaTime::ZERO, |samples| {
                let at = |i: usize| (n * 320 + i) as f32 / period * std::f32::consts::TAU;
                samples.iter_mut().enumerate().for_each(|(i, s)| *s = (5_000.0 * at(i).sin()) as i16);
                Ok::<(), ()>(())
            });
            if let Some(sent) = speaker.tick_out(now, frame.ok().as_ref(), &mut out) {
                // Lost, late, or twice.
                let copies = [0, 1, 1, 1, 1, 1, 1, 2][usize::from(fate)];
                let arrives = now_ms + if fate > 4 { delay_ms } else { 0 };
                (0..copies).for_each(|_| under_way.push((arrives, out[..sent.len].to_vec())));
            }
            for (_, mut bytes) in under_way.extract_if(.., |(at, _)| *at <= now_ms) {
                leg.handle(now, host(1), &mut bytes);
            }
            prop_assert!(leg.tick_in(now, &mut pool).frame.is_some());
        }
    }

    /// A stranger who does not know the call's SSRC cannot disturb it, whatever he sends.
    #[test]
    fn a_call_goes_on_under_fire(noise in prop::collection::vec(datagram(), 1..60)) {
        let start = epoch();
        let (mut leg, mut pool) = (leg(start), FramePool::new(2));
        let mut noise = noise.iter().cycle();
        for n in 0..60u32 {
            let now = start + Duration::from_millis(u64::from(n) * 20);
            let mut packet = vec![0x90; 172];
            let header = Header { marker: n == 0, payload_type: 0, sequence: n as u16, timestamp: n * 160, ssrc: 77 };
            header.write(&mut packet).unwrap();
            leg.handle(now, host(1), &mut packet);
            noise.by_ref().take(3).for_each(|bytes| leg.handle(now, host(3), &mut bytes.clone()));
            let tick = leg.tick_in(now + Duration::from_millis(4), &mut pool);
            prop_assert!(tick.kind == Kind::Audio || n < 2, "frame {}", n);
            prop_assert!(tick.digits.is_empty());
        }
        let stats = leg.stats();
        prop_assert_eq!((stats.packets_received, stats.packets_lost, stats.goodbye), (60, 0, false));
        prop_assert_eq!(stats.junk + stats.foreign, 180);
        prop_assert_eq!(leg.remote(), host(1));
    }
}
