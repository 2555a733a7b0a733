//! Two legs that tell each other by RTCP how they sound, on virtual time; and extended reports from strangers.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::rtcp::{Compound, Delay, ExtendedBlock, Ntp, Packet, ReportBlock, VoipMetrics, Writer};
use media::rtp::{Header, is_rtcp};
use media::{FramePool, Leg, LegChange, LegConfig, MediaTime};
use proptest::prelude::*;

const A: u32 = 0xA;
const B: u32 = 0xB;

/// Where the leg with this SSRC is.
fn host(ssrc: u32) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, ssrc as u8], 4_000))
}

/// Where the other one is.
fn peer(ssrc: u32) -> SocketAddr {
    host(A + B - ssrc)
}

fn leg(start: Instant, ssrc: u32, rtcp_xr: bool) -> Leg {
    let config = LegConfig { dtmf_payload_type: None, ssrc, rtcp_xr, ..LegConfig::new(peer(ssrc)) };
    Leg::new(start, config)
}

fn hold(remote: SocketAddr) -> LegChange {
    LegChange { send: false, ..LegChange::from(&LegConfig::new(remote)) }
}

/// Two legs, 30 ms apart, each with what the other said in its last compound.
struct Call {
    now: Instant,
    legs: [Leg; 2],
    pools: [FramePool; 2],
    /// Of the packets from either leg, one in so many is lost (0: none; 1: all).
    lose: [u32; 2],
    said: [Vec<String>; 2],
    wire: Vec<(u32, usize, Vec<u8>)>,
    tick: u32,
}

impl Call {
    fn new(xr: bool) -> Self {
        let now = Instant::now();
        let legs = [leg(now, A, xr), leg(now, B, xr)];
        let pools = [FramePool::new(4), FramePool::new(4)];
        Call { now, legs, pools, lose: [0; 2], said: [vec![], vec![]], wire: vec![], tick: 0 }
    }

    fn run(&mut self, seconds: u32) -> &mut Self {
        for _ in 0..seconds * 50 {
            self.tick += 1;
            for from in 0..2 {
                self.turn(from);
            }
            self.now += Duration::from_millis(20);
        }
        self
    }

    fn turn(&mut self, from: usize) {
        let mut out = [0; 1_500];
        let (tick, pool) = (self.tick, &mut self.pools[from]);
        self.legs[from].tick_in(self.now, pool);
        let speech = pool.fill(MediaTime::from_frames(tick.into()), |samples| {
            samples
                .iter_mut()
                .zip([0, 900, 1_200, 900, 0, -900, -1_200, -900].into_iter().cycle())
                .for_each(|(s, v)| *s = v);
            Ok::<(), ()>(())
        });
        if let Some(o) = self.legs[from].tick_out(self.now, speech.ok().as_ref(), &mut out) {
            let lost = self.lose[from];
            if lost == 0 || !tick.is_multiple_of(lost) {
                self.wire.push((tick, 1 - from, out[..o.len].to_vec()));
            }
        }
        if let Some(o) = self.legs[from].rtcp(self.now, &mut out) {
            self.said[from] = words(&out[..o.len]);
            self.wire.push((tick, 1 - from, out[..o.len].to_vec()));
        }
        // Between this tick and the next, what was sent one tick ago: 30 ms on the wire.
        let due: Vec<_> = self.wire.extract_if(.., |(at, to, _)| *to == from && *at < tick).collect();
        for (_, _, datagram) in due {
            self.legs[from].handle(self.now + Duration::from_millis(10), peer([A, B][from]), &mut datagram.clone());
        }
    }
}

fn words(datagram: &[u8]) -> Vec<String> {
    let block = |block: ExtendedBlock<'_>| match block {
        ExtendedBlock::ReferenceTime(_) => "time".to_string(),
        ExtendedBlock::Delays(_) => "echo".into(),
        ExtendedBlock::Voip(_) => "voip".into(),
        ExtendedBlock::Other(kind) => kind.to_string(),
    };
    let mut said = vec![];
    for packet in Compound::parse(datagram).unwrap().packets() {
        match packet {
            Packet::SenderReport { blocks, .. } => said.push(format!("SR{}", blocks.iter().count())),
            Packet::ReceiverReport { blocks, .. } => said.push(format!("RR{}", blocks.iter().count())),
            Packet::Description { .. } => said.push("SDES".into()),
            Packet::Extended { blocks, .. } => said.extend(blocks.iter().map(block)),
            Packet::Goodbye { .. } => said.push("BYE".into()),
            Packet::Other(kind) => said.push(kind.to_string()),
        }
    }
    said
}

#[test]
fn extended_reports_go_only_to_who_asked() {
    let mut call = Call::new(false);
    call.run(20);
    assert_eq!(call.said, [["SR1", "SDES"], ["SR1", "SDES"]]);
    let mut call = Call::new(true);
    call.run(20);
    assert_eq!(call.said, [["SR1", "SDES", "voip"], ["SR1", "SDES", "voip"]]);
}

#[test]
fn each_side_learns_how_it_sounds_there() {
    let mut call = Call::new(true);
    call.lose = [10, 0];
    call.run(60);
    let [a, b] = [call.legs[0].stats(), call.legs[1].stats()];
    let there = a.remote_quality.unwrap();
    assert_eq!((there.ssrc, there.gap_min), (A, 16));
    // One in ten, evenly: 25 of 256, and all of it one burst.
    assert!((23..=26).contains(&there.loss_rate) && there.burst_density > 20, "{there:?}");
    assert!(there.r_factor.is_some_and(|r| (60..=68).contains(&r)), "{there:?}");
    assert!((9.0..11.0).contains(&b.quality.loss_percent), "{:?}", b.quality);
    assert!(b.quality.mos_lq < a.quality.mos_lq && a.quality.mos_lq > Some(4.3));
    assert_eq!((a.quality.loss_percent, a.quality.burst_ms), (0.0, 0));
    // Ten in a hundred of G.711 with concealment: 95 * 10 / (10 + 25.1) = 27.1.
    let r = b.quality.r_factor.unwrap();
    assert!((63.0..68.0).contains(&r), "{r}");
    assert!(a.remote_packets_lost > Some(200) && a.quality.round_trip_ms == Some(60), "{a:?}");
}

#[test]
fn who_only_receives_has_a_round_trip_too() {
    let mut call = Call::new(true);
    call.legs[0].renegotiate(call.now, hold(host(B)));
    call.run(30);
    assert_eq!(call.said, [["RR1", "SDES", "time", "voip"].to_vec(), ["SR0", "SDES", "echo"].to_vec()]);
    let round_trip = call.legs[0].stats().round_trip.unwrap().as_millis();
    assert!((59..=61).contains(&round_trip), "{round_trip} ms");
}

#[test]
fn nobody_is_reported_on_who_sends_nothing() {
    let mut call = Call::new(false);
    call.run(20);
    call.lose = [1, 0];
    call.run(20);
    assert_eq!(call.said, [["SR1", "SDES"], ["SR0", "SDES"]]);
    // A sent on and is told nothing about it, twice and more.
    let stats = call.legs[0].stats();
    assert!(stats.unheard_reports >= 2, "{stats:?}");
    assert_eq!(call.legs[1].stats().unheard_reports, 0);
    call.lose = [0, 0];
    assert_eq!(call.run(20).legs[0].stats().unheard_reports, 0);
}

/// What the other side's reports about us say, one a second while we send: `=` the highest sequence number stands,
/// `+` it moved, `!` it moved and all was lost, `0` no block, `s` no report (RFC 5506), `n` no block of
/// somebody new.
#[track_caller]
fn unheard(script: &str, expected: u32) {
    let start = Instant::now();
    let (mut leg, mut pool, mut out) = (leg(start, A, false), FramePool::new(2), [0; 1_500]);
    let mut block = ReportBlock { ssrc: A, highest_sequence: 7, ..ReportBlock::default() };
    for (second, sign) in script.chars().enumerate() {
        for tick in 0..50 {
            let now = start + Duration::from_millis((second * 50 + tick) as u64 * 20);
            leg.tick_in(now, &mut pool);
            leg.tick_out(now, None, &mut out);
        }
        block.highest_sequence += u32::from(sign == '+' || sign == '!');
        block.fraction_lost = if sign == '!' { 255 } else { 0 };
        let mut report = [0; 100];
        let mut writer = Writer::new(&mut report);
        match sign {
            's' => writer.cname(B, "b"),
            '0' => writer.receiver_report(B, &[]),
            'n' => writer.receiver_report(0xC, &[]),
            _ => writer.receiver_report(B, &[ReportBlock { ssrc: B, ..block }, block]),
        };
        let len = writer.len();
        assert!(is_rtcp(&report[..len]));
        leg.handle(start + Duration::from_secs(second as u64 + 1), host(B), &mut report[..len]);
    }
    assert_eq!(leg.stats().unheard_reports, expected, "{script}");
}

#[test]
fn reports_say_whether_we_are_heard() {
    unheard("++++", 0);
    unheard("++==", 2);
    unheard("+!!", 2);
    unheard("+==+", 0);
    unheard("+==+=", 1);
    unheard("+00", 2);
    // Who never reported on us, or does not report at all, says nothing.
    unheard("0000", 0);
    unheard("ssss", 0);
    unheard("+=ss", 1);
    unheard("+nnn", 0);
}

#[test]
fn jitter_is_in_the_clock_of_what_we_send() {
    let start = Instant::now();
    let mut leg = leg(start, A, false);
    let mut report = [0; 100];
    let block = ReportBlock { ssrc: A, jitter: 160, ..ReportBlock::default() };
    assert!(Writer::new(&mut report).receiver_report(B, &[block]));
    leg.handle(start, host(B), &mut report[..32]);
    assert_eq!(leg.stats().remote_jitter_ms, Some(20.0));
}

fn extended() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let metrics = (any::<[u8; 5]>(), any::<u16>()).prop_map(|([loss_rate, a, b, c, receiver], burst_ms)| VoipMetrics {
        ssrc: A,
        loss_rate,
        r_factor: Some(a),
        mos_lq_tenths: Some(b),
        signal_dbm0: Some(c as i8),
        receiver,
        burst_ms,
        ..VoipMetrics::default()
    });
    let delays = prop::collection::vec(any::<[u32; 2]>(), 0..40);
    (metrics, delays, any::<u64>(), damage, any::<prop::sample::Index>()).prop_map(
        |(voip, delays, ntp, damage, cut)| {
            let delays: Vec<_> = delays
                .iter()
                .map(|[last_rr, d]| Delay { ssrc: A, last_rr: *last_rr, delay_since_last_rr: *d })
                .collect();
            let mut out = vec![0; 1_000];
            let mut writer = Writer::new(&mut out);
            assert!(writer.extended(B, Some(Ntp(ntp)), &delays, Some(&voip)));
            let len = writer.len();
            out.truncate(len);
            for (at, byte) in damage {
                let at = at.index(len);
                out[at] = byte;
            }
            if ntp % 4 == 0 {
                out.truncate(cut.index(len + 1));
            }
            out
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_leg_takes_any_extended_report(datagrams in prop::collection::vec(extended(), 0..20)) {
        let start = Instant::now();
        let (mut leg, mut pool, mut out) = (leg(start, A, true), FramePool::new(2), [0; 1_500]);
        for (n, datagram) in datagrams.iter().enumerate() {
            let now = start + Duration::from_secs(n as u64);
            let mut packet = [0xFF; 172];
            let header = Header { marker: false, payload_type: 0, sequence: n as u16, timestamp: n as u32 * 160, ssrc: B };
            header.write(&mut packet).unwrap();
            leg.handle(now, host(B), &mut packet);
            leg.handle(now, host(B), &mut datagram.clone());
            leg.tick_in(now, &mut pool);
            if let Some(report) = leg.rtcp(now, &mut out) {
                prop_assert!(Compound::parse(&out[..report.len]).is_ok());
            }
            let stats = leg.stats();
            prop_assert!(stats.round_trip.is_none_or(|r| r < Duration::from_secs(60)));
            if let Some(there) = stats.remote_quality {
                prop_assert!(there.r_factor <= Some(100) && there.mos_lq_tenths <= Some(50));
            }
        }
    }
}
