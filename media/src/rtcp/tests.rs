//! RTCP by numbers worked out by hand from RFC 3550; it tests no timing of reports.
use super::*;
use std::time::Duration;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

/// Parses `hex`, lists what is in it.
fn check(hex: &str, expected: &str) {
    let datagram = bytes(hex);
    let found = match Compound::parse(&datagram) {
        Err(error) => format!("{error:?}"),
        Ok(compound) => {
            let names = compound.packets().map(|packet| match packet {
                Packet::SenderReport { ssrc, info, blocks } => {
                    format!("SR {ssrc:x} {} {} blocks {}", info.packets, info.octets, blocks.iter().count())
                }
                Packet::ReceiverReport { ssrc, blocks } => {
                    let about: Vec<_> = blocks.iter().map(|b| (b.ssrc, b.fraction_lost, b.packets_lost)).collect();
                    format!("RR {ssrc:x} {about:?}")
                }
                Packet::Description { ssrc, cname } => {
                    format!("SDES {ssrc:x} {:?}", cname.map(String::from_utf8_lossy))
                }
                Packet::Goodbye { ssrcs } => format!("BYE {:?}", ssrcs.iter().collect::<Vec<_>>()),
                Packet::Extended { ssrc, blocks } => {
                    let blocks: Vec<_> = blocks.iter().map(|b| format!("{b:?}")).collect();
                    format!("XR {ssrc:x} {}", blocks.join(" "))
                }
                Packet::Other(kind) => format!("PT{kind}"),
            });
            names.collect::<Vec<_>>().join(", ")
        }
    };
    assert_eq!(found, expected, "{hex}");
}

const BLOCK: &str = "0000000b 40fffffe 00010002 00000010 12345678 00008000";

#[test]
fn compounds_are_read_packet_by_packet() {
    check("80c90001 0000000a", "RR a []");
    check(&format!("81c90007 0000000a {BLOCK}"), "RR a [(11, 64, -2)]");
    check("80c80006 0000000a 00000001 80000000 00000140 00000003 000001e0", "SR a 3 480 blocks 0");
    check("80c90001 0000000a 81ca0003 0000000a 01036162 63000000", "RR a [], SDES a Some(\"abc\")");
    check("81ca0002 0000000a 02015a00 81cb0001 0000000a", "SDES a None, BYE [10]");
    check("82cb0004 0000000a 0000000b 03627965", "Truncated"); // says one word more than there is
    check("82cb0003 0000000a 0000000b 03627965", "BYE [10, 11]");
    check("80ce0001 00000000 80cf0001 0000000a", "PT206, XR a ");
    check("a0c90002 0000000a 00000004", "RR a []"); // padding in the last packet
}

#[test]
fn what_is_no_compound_says_so() {
    check("", "Header");
    check("80c900", "Header");
    check("40c90001 0000000a", "Header");
    check("80c90002 0000000a", "Truncated");
    check("81c90001 0000000a", "Truncated"); // a block that is not there
    check("80c80001 0000000a", "Truncated"); // no sender info
    check("81cb0000", "Truncated");
    check("81ca0002 0000000a 01ff6162", "Truncated"); // an item beyond the end
    check("a0c90002 0000000a 00000004 80c90001 0000000a", "Header"); // padding before the last
    check("a0c90001 00000000", "Truncated");
    check("a0c90002 0000000a 000000ff", "Truncated");
    check("a0c90002 0000000a 00000003", "Truncated");
}

#[test]
fn what_we_write_we_read() {
    let block = ReportBlock {
        ssrc: 0xB,
        fraction_lost: 64,
        packets_lost: -2,
        highest_sequence: 65_538,
        jitter: 16,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 0x8000,
    };
    let info = SenderInfo { ntp: Ntp(0x0000_0001_8000_0000), rtp_timestamp: 320, packets: 3, octets: 480 };
    for name in ["a", "ab", "abc", "abcd", "abcde"] {
        let mut out = [0xAA; 200];
        let mut writer = Writer::new(&mut out);
        assert!(writer.is_empty());
        assert!(writer.sender_report(0xA, &info, &[block]) && writer.cname(0xA, name) && writer.goodbye(0xA));
        let len = writer.len();
        assert_eq!(len % 4, 0);
        let compound = Compound::parse(&out[..len]).unwrap();
        let packets: Vec<_> = compound.packets().collect();
        let [
            Packet::SenderReport { ssrc: 0xA, info: i, blocks },
            Packet::Description { ssrc: 0xA, cname: Some(c) },
            Packet::Goodbye { ssrcs },
        ] = packets[..]
        else {
            panic!("{packets:?}")
        };
        assert_eq!((i, blocks.iter().next(), c, ssrcs.iter().next()), (info, Some(block), name.as_bytes(), Some(0xA)));
    }
    let mut out = [0; 100];
    let mut writer = Writer::new(&mut out);
    assert!(writer.receiver_report(0xA, &[block]));
    assert_eq!(out[..32], bytes(&format!("81c90007 0000000a {BLOCK}"))[..]);
}

#[test]
fn a_packet_that_does_not_fit_is_left_out_whole() {
    let mut out = [0; 20];
    let mut writer = Writer::new(&mut out);
    assert!(writer.receiver_report(1, &[]) && !writer.cname(1, "a long name") && writer.goodbye(1));
    assert_eq!(writer.len(), 16);
    assert!(Compound::parse(&out[..16]).is_ok());
}

#[test]
fn loss_is_counted_as_in_a_3() {
    let mut r = Reception::new(7, 65_530);
    // 65530..=65535 and 0..=13 are twenty; four are lost, one comes twice, one late.
    let sequences = (0..20u16).map(|i| 65_530u16.wrapping_add(i)).filter(|s| ![65_533, 65_535, 2, 5].contains(s));
    for sequence in sequences {
        r.sequence(sequence);
    }
    assert_eq!(r.lost(), 4);
    let block = r.report(Ntp::default());
    // 4 of 20: 256 * 4 / 20 = 51.
    assert_eq!((block.fraction_lost, block.packets_lost, block.highest_sequence), (51, 4, 65_536 + 13));
    assert_eq!(r.sequence(5), Sequenced::Behind);
    assert_eq!(r.sequence(5), Sequenced::Duplicate);
    assert_eq!(r.sequence(13), Sequenced::Duplicate);
    // Three received, none expected: nothing lost since, and two duplicates make up for two.
    let block = r.report(Ntp::default());
    assert_eq!((block.fraction_lost, block.packets_lost), (0, 1));
    r.sequence(13);
    r.sequence(13);
    assert_eq!(r.report(Ntp::default()).packets_lost, -1);
}

#[test]
fn a_jump_is_believed_at_its_second_packet() {
    let mut r = Reception::new(7, 100);
    assert_eq!(r.sequence(100), Sequenced::InOrder);
    assert_eq!(r.sequence(40_000), Sequenced::Jumped);
    assert_eq!(r.sequence(101), Sequenced::InOrder);
    assert_eq!(r.sequence(40_002), Sequenced::Jumped);
    assert_eq!(r.sequence(40_003), Sequenced::InOrder);
    assert_eq!((r.sequence(40_004), r.lost()), (Sequenced::InOrder, 0));
}

#[test]
fn jitter_is_that_of_a_8() {
    let mut r = Reception::new(7, 0);
    // Arrivals 0, 160, 328, 480, 640: D = 0, 8, -8, 0 -> J = 0, 8/16, +7.5/16, ... in sixteenths:
    // 0; 0+8-((0+8)>>4) = 8; 8+8-((8+8)>>4) = 15; 15+0-((15+8)>>4) = 14.
    for (arrival, timestamp) in [(0, 0), (160, 160), (328, 320), (480, 480), (640, 640)] {
        r.spacing(arrival, timestamp);
    }
    assert_eq!(r.jitter(), 14 >> 4);
    // A steady D of 80 settles at 80 units (10 ms).
    for i in 0..400u32 {
        r.spacing(i * 160 + (i % 2) * 80, i * 160);
    }
    assert!(r.jitter().abs_diff(80) <= 1, "{}", r.jitter());
    let mut r = Reception::new(7, 0);
    r.spacing(u32::MAX, 0);
    r.spacing(0, u32::MAX - 5); // far apart, and the arithmetic wraps
    r.spacing(0, 1 << 31);
    assert!(r.jitter() > 0);
}

#[test]
fn round_trip_is_a_minus_lsr_minus_dlsr() {
    // The example of RFC 3550, figure 2: A = 0xb710:8000, LSR = 0xb705:2000, DLSR = 0x0005:4000 (5.25 s)
    // -> 0x0006:2000, 6.125 s.
    let block = ReportBlock { last_sr: 0xb705_2000, delay_since_last_sr: 0x0005_4000, ..ReportBlock::default() };
    let now = Ntp(0xb44d_b710_8000_0000_u64);
    assert_eq!(now.middle(), 0xb710_8000);
    assert_eq!(block.round_trip(now), Some(Duration::from_millis(6_125)));
    assert_eq!(ReportBlock::default().round_trip(now), None);
    let wrong = ReportBlock { last_sr: 0xb711_0000, ..block };
    assert_eq!(wrong.round_trip(now), None, "from the future");
    // Our own clock: one second ahead of the elapsed time.
    assert_eq!(Ntp::from_elapsed(Duration::from_millis(500)), Ntp(0x0000_0001_8000_0000));
}

#[test]
fn the_report_says_how_long_ago_their_report_came() {
    let mut r = Reception::new(7, 0);
    r.sender_report(Ntp(0x1111_2222_3333_4444), Ntp::from_elapsed(Duration::from_millis(1_000)));
    let block = r.report(Ntp::from_elapsed(Duration::from_millis(1_500)));
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x2222_3333, 0x8000));
}

#[test]
fn extended_reports_are_read_block_by_block() {
    check("80cf0004 0000000a 04000002 11112222 33334444", "XR a ReferenceTime(Ntp(1229801703532086340))");
    check("80cf0002 0000000a 09000000", "XR a Other(9)");
    check("80cf0003 0000000a 04000001 11112222", "XR a Other(4)"); // a length that this type cannot have
    check("80cf0003 0000000a 07000001 0000000b", "XR a Other(7)");
    check("80cf0003 0000000a 05000001 0000000b", "XR a Other(5)");
    check(
        "81c90007 0000000a {BLOCK} 80cf0003 0000000a 04000002 11112222".replace("{BLOCK}", BLOCK).as_str(),
        "RR a [(11, 64, -2)], XR a ",
    ); // a block beyond the end
    check("80cf0000", "Truncated"); // nobody's
    let datagram = bytes("80cf0008 0000000a 05000006 0000000b 11112222 00010000 0000000c 33334444 00008000");
    let [Packet::Extended { ssrc: 0xA, blocks }] =
        Compound::parse(&datagram).unwrap().packets().collect::<Vec<_>>()[..]
    else {
        panic!("one extended report")
    };
    let [ExtendedBlock::Delays(delays)] = blocks.iter().collect::<Vec<_>>()[..] else { panic!("one block") };
    let b = Delay { ssrc: 0xB, last_rr: 0x1111_2222, delay_since_last_rr: 0x1_0000 };
    let c = Delay { ssrc: 0xC, last_rr: 0x3333_4444, delay_since_last_rr: 0x8000 };
    assert_eq!(delays.iter().collect::<Vec<_>>(), [b, c]);
    assert_eq!(b.round_trip(Ntp(0x1113_2222_0000)), Some(Duration::from_secs(1)));
    assert_eq!(Delay { last_rr: 0, ..b }.round_trip(Ntp(0x1113_2222_0000)), None);
}

#[test]
fn voip_metrics_are_written_as_they_are_read() {
    // The block of RFC 3611, 4.7, worked out by hand: 5 % lost, 1 % discarded, R 82, MOS 4.1 and 4.0.
    let hex = "80cf000a 0000000a 07000008 0000000b 0c028001 00780fa0 009600c8 ec c4 2a 10 527f2928 b5000028 00a000c8";
    let metrics = VoipMetrics {
        ssrc: 0xB,
        loss_rate: 12,
        discard_rate: 2,
        burst_density: 128,
        gap_density: 1,
        burst_ms: 120,
        gap_ms: 4_000,
        round_trip_ms: 150,
        end_system_delay_ms: 200,
        signal_dbm0: Some(-20),
        noise_dbm0: Some(-60),
        echo_return_loss_db: Some(42),
        gap_min: 16,
        r_factor: Some(82),
        external_r_factor: None,
        mos_lq_tenths: Some(41),
        mos_cq_tenths: Some(40),
        receiver: RECEIVER,
        jitter_nominal_ms: 40,
        jitter_max_ms: 160,
        jitter_limit_ms: 200,
    };
    let mut out = [0xAA; 100];
    let mut writer = Writer::new(&mut out);
    assert!(writer.extended(0xA, None, &[], Some(&metrics)));
    assert_eq!((writer.len(), &out[..44]), (44, &bytes(hex)[..]));
    check(hex, &format!("XR a {:?}", ExtendedBlock::Voip(metrics)));
    // All three blocks, and what is unavailable or makes no sense.
    let unknown = VoipMetrics { ssrc: 1, r_factor: Some(101), mos_lq_tenths: Some(9), ..VoipMetrics::default() };
    let delay = Delay { ssrc: 2, last_rr: 3, delay_since_last_rr: 4 };
    let mut writer = Writer::new(&mut out);
    assert!(writer.extended(0xA, Some(Ntp(5)), &[delay], Some(&unknown)));
    let len = writer.len();
    let compound = Compound::parse(&out[..len]).unwrap();
    let [Packet::Extended { blocks, .. }] = compound.packets().collect::<Vec<_>>()[..] else { panic!() };
    let blocks: Vec<_> = blocks.iter().collect();
    let [ExtendedBlock::ReferenceTime(Ntp(5)), ExtendedBlock::Delays(delays), ExtendedBlock::Voip(read)] = blocks[..]
    else {
        panic!("{blocks:?}")
    };
    assert_eq!(delays.iter().collect::<Vec<_>>(), [delay]);
    assert_eq!(read, VoipMetrics { r_factor: None, mos_lq_tenths: None, ..unknown });
    assert!(!Writer::new(&mut [0; 40]).extended(0xA, None, &[], Some(&unknown)), "no room");
}
