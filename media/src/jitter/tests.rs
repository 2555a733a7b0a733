//! The jitter buffer by scripts in virtual time: packets come when the script says, ticks come every
//! 20 ms, and what is played is written down.
use super::*;
use std::time::Duration;

/// What a script runs under.
#[derive(Copy, Clone)]
struct Setup {
    /// When the first tick is, in ms.
    phase_ms: u64,
    /// Packet length.
    ptime_ms: u32,
    /// Frames count as quiet: the delay may be corrected.
    quiet: bool,
}

const PLAIN: Setup = Setup { phase_ms: 5, ptime_ms: 20, quiet: false };

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// One buffer on a virtual clock. The payload of packet `n` is its number, one byte a sample.
struct Bench {
    setup: Setup,
    start: Instant,
    buffer: JitterBuffer,
    next_tick_ms: u64,
    played: String,
}

impl Bench {
    fn new(setup: Setup) -> Self {
        let start = epoch();
        let buffer = JitterBuffer::new(start, JitterConfig::default());
        Bench { setup, start, buffer, next_tick_ms: setup.phase_ms, played: String::new() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Runs the ticks before `ms`.
    fn run_to(&mut self, ms: u64) {
        while self.next_tick_ms < ms {
            let plan = self.buffer.tick(self.at(self.next_tick_ms), 0, || self.setup.quiet);
            self.next_tick_ms += 20;
            let mut want = 320;
            match plan {
                Plan::Shorten { by, .. } if self.setup.quiet => {
                    self.played.push('/');
                    want += by.min(320);
                }
                Plan::Lengthen { by } if self.setup.quiet => {
                    self.played.push('+');
                    want -= by.min(320);
                }
                _ => {}
            }
            let frame = self.frame(want);
            self.played += &frame;
        }
    }

    /// What a tick takes: the packets' letters, `-` for lost, `.` for silence; a piece only if it is not the
    /// same as the one before it.
    fn frame(&mut self, want: u32) -> String {
        let (mut left, mut found) = (want, String::new());
        while left > 0 {
            let (c, samples) = match self.buffer.pull(left) {
                Piece::Payload { bytes, samples, payload_type, skip } => {
                    assert_eq!((bytes.len() as u32 * 2, payload_type, skip), (samples, 0, 0));
                    assert!(bytes.iter().all(|b| *b == bytes[0]), "one packet's bytes at a time");
                    (char::from(bytes[0]), samples)
                }
                Piece::Lost { samples, next } => {
                    assert_eq!(next, None);
                    ('-', samples)
                }
                Piece::Silence { samples } => ('.', samples),
            };
            assert!((1..=left).contains(&samples));
            left -= samples;
            if !found.ends_with(c) {
                found.push(c);
            }
        }
        found
    }

    fn packet(&mut self, ms: u64, letter: char, timestamp: u32) -> Inserted {
        self.run_to(ms);
        let duration = self.setup.ptime_ms * 8;
        let payload = vec![letter as u8; duration as usize];
        let marker = letter.is_ascii_uppercase();
        let arrival = Arrival {
            sequence: (timestamp / duration) as u16,
            timestamp,
            clock_rate: 8_000,
            duration,
            marker,
            payload: &payload,
            ..Arrival::default()
        };
        let inserted = self.buffer.insert(self.at(ms), arrival);
        assert!(self.buffer.len() <= JITTER_PACKETS);
        inserted
    }
}

/// `arrivals`: words `ms:letter`, where a letter is also the packet's place on the time line (a is 0), or
/// `ms:letter@timestamp`, or `ms:` to run on; a capital letter has the marker. `expected`: what each tick played.
fn check(setup: Setup, arrivals: &str, expected: &str) {
    let mut bench = Bench::new(setup);
    let mut notes = String::new();
    for word in arrivals.split_whitespace() {
        let (ms, what) = word.split_once(':').unwrap();
        let ms: u64 = ms.parse().unwrap();
        let Some(letter) = what.chars().next() else {
            bench.run_to(ms);
            continue;
        };
        let place = (letter.to_ascii_lowercase() as u32).wrapping_sub('a' as u32).wrapping_mul(setup.ptime_ms * 8);
        let timestamp = what.split_once('@').map_or(place, |(_, t)| t.parse().unwrap());
        match bench.packet(ms, letter, timestamp) {
            Inserted::Queued => {}
            other => notes += &format!(" {letter}:{other:?}"),
        }
    }
    assert_eq!(bench.played + &notes, expected, "{arrivals}");
}

#[test]
fn an_even_stream_is_played_after_two_packets() {
    check(PLAIN, "0:a 20:b 40:c 60:d 80:e 145:", "..abcde");
    check(Setup { phase_ms: 0, ..PLAIN }, "0:a 20:b 40:c 60:d 80:e 140:", "..abcde");
    check(Setup { phase_ms: 19, ..PLAIN }, "0:a 20:b 40:c 60:d 80:e 150:", "..abcde");
}

#[test]
fn order_is_restored_and_twins_go() {
    check(PLAIN, "0:a 20:b 60:d 61:c 80:e 145:", "..abcde");
    check(PLAIN, "0:a 20:b 21:b 40:c 41:a 60:d 125:", "..abcd b:Duplicate a:Duplicate");
    check(PLAIN, "1:b 2:a 41:c 61:d 105:", ".abcd"); // the very first two
}

#[test]
fn a_loss_is_concealed_in_its_place() {
    check(PLAIN, "0:a 20:b 60:d 80:e 145:", "..ab-de");
    check(PLAIN, "0:a 20:b 100:f 120:g 185:", "..ab---fg"); // a burst: not a sample of delay more
}

#[test]
fn a_late_packet_is_waited_for_and_nothing_is_dropped() {
    check(PLAIN, "0:a 20:b 40:c 106:d 107:e 108:f 120:g 225:", "..abc-defg-");
}

#[test]
fn what_comes_after_its_time_is_late() {
    check(PLAIN, "0:a 20:b 60:d 80:e 90:c 145:", "..ab-de c:Late");
}

#[test]
fn other_packet_lengths_play_just_as_well() {
    check(Setup { ptime_ms: 40, ..PLAIN }, "0:a 40:b 80:c 165:", "..aabbcc");
    check(Setup { ptime_ms: 30, ..PLAIN }, "0:a 30:b 60:c 90:d 165:", "...aabbccd");
    check(Setup { ptime_ms: 10, ..PLAIN }, "0:a 10:b 20:c 30:d 40:e 50:f 60:g 70:h 125:", "...abcdef");
}

#[test]
fn a_silent_source_begins_again_with_a_fresh_clock() {
    // A pause of the voice, with timestamps that go on...
    check(PLAIN, "0:a 20:b 500:z@4000 520:y@4160 605:", "..ab------.................zy-");
    // ... and one with timestamps that stood still.
    check(PLAIN, "0:a 20:b 500:c 520:d 605:", "..ab------.................cd-");
}

#[test]
fn a_marker_begins_a_spurt_with_its_own_delay() {
    // Timestamps stood still for a short pause: played at once without the marker, 80 ms behind for long;
    // with it, after the two packets of any beginning.
    check(PLAIN, "0:a 20:b 40:c 160:d 180:e 245:", "..abc---de--");
    check(PLAIN, "0:a 20:b 40:c 160:D 180:e 245:", "..abc---..De");
    // A marker on every packet changes nothing.
    check(PLAIN, "0:A 20:B 66:C 67:D 80:E 145:", "..ABCDE");
}

#[test]
fn timestamps_may_jump() {
    check(PLAIN, "0:a 20:b 40:c@9000000 60:d@9000160 145:", "....cd- c:Jumped");
}

#[test]
fn timestamps_wrap() {
    let words = "0:a@4294967136 20:b@0 40:c@160 60:d@320 125:";
    check(PLAIN, words, "..abcd");
}

#[test]
fn a_full_buffer_drops_its_oldest() {
    // 22 packets within a millisecond, after a stall of the network: 400 ms of them are kept.
    let burst: String = ('a'..='v').map(|c| format!("1:{c} ")).collect();
    check(PLAIN, &format!("{burst} 45:"), "cd u:Overflow v:Overflow");
    let burst: String = ('a'..='n').map(|c| format!("1:{c} ")).collect();
    check(
        Setup { ptime_ms: 60, ..PLAIN },
        &format!("{burst} 45:"),
        "ii g:Overflow h:Overflow i:Overflow j:Overflow k:Overflow l:Overflow m:Overflow n:Overflow",
    );
}

#[test]
fn unusable_packets_are_refused() {
    let start = epoch();
    let mut buffer = JitterBuffer::new(start, JitterConfig::default());
    for (len, duration) in [(0, 160), (PAYLOAD_MAX + 1, 160), (160, 0), (160, 8 * 121), (160, u32::MAX)] {
        let payload = vec![0; len];
        let arrival = Arrival { clock_rate: 8_000, duration, payload: &payload, ..Arrival::default() };
        assert_eq!(buffer.insert(start, arrival), Inserted::Unusable);
    }
    assert!(buffer.is_empty());
}

/// A stream of packets with a delay each, in ms; returns the bench after it.
fn stream(setup: Setup, packets: u32, delay_ms: impl Fn(u32) -> u64) -> Bench {
    let mut bench = Bench::new(setup);
    let mut arrivals: Vec<(u64, u32)> = (0..packets).map(|n| (u64::from(n) * 20 + delay_ms(n), n)).collect();
    arrivals.sort_unstable();
    for (ms, n) in arrivals {
        bench.packet(ms, 'p', n * 160);
    }
    bench
}

fn lost(played: &str) -> usize {
    played.matches('-').count()
}

/// Delays that look random and are the same every time: 0 to `most`.
fn scattered(n: u32, most: u64) -> u64 {
    let mixed = (u64::from(n) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) % (most + 1)
}

#[test]
fn a_calm_network_brings_the_delay_down_to_one_packet() {
    let bench = stream(Setup { quiet: true, ..PLAIN }, 200, |_| 0);
    assert_eq!(bench.buffer.target_ms(), 10);
    assert!((10..35).contains(&bench.buffer.delay_ms()), "{}", bench.buffer.delay_ms());
    assert_eq!((bench.played.matches('/').count(), lost(&bench.played)), (1, 0));
}

#[test]
fn the_delay_follows_the_network_up_and_down() {
    for (most, bound_ms) in [(20, 45), (40, 65), (80, 110)] {
        let bench = stream(Setup { quiet: true, ..PLAIN }, 1_000, |n| scattered(n, most));
        let (target, delay) = (bench.buffer.target_ms(), bench.buffer.delay_ms());
        assert!(target <= bound_ms && u64::from(target) + 10 >= most, "jitter {most} ms: target {target} ms");
        assert!(delay < target + 45, "jitter {most} ms: delay {delay} ms");
        let settled = &bench.played[bench.played.len() / 2..];
        let share = lost(settled) as f32 / settled.len() as f32;
        assert!(share < 0.02, "jitter {most} ms: {share} concealed");
    }
    // Rough for 5 s, then calm for 10.
    let bench = stream(Setup { quiet: true, ..PLAIN }, 750, |n| if n < 250 { scattered(n, 80) } else { 0 });
    assert!(bench.buffer.delay_ms() < 45, "{} ms", bench.buffer.delay_ms());
}

#[test]
fn one_stray_packet_does_not_set_the_delay() {
    // The percentile, not the mean or the maximum: one packet in 200 is 150 ms late.
    let bench = stream(Setup { quiet: true, ..PLAIN }, 1_000, |n| if n % 200 == 150 { 150 } else { 0 });
    assert_eq!(bench.buffer.target_ms(), 10);
}

#[test]
fn clocks_may_drift_for_hours() {
    // 10 hours at 100 ppm each way: 3.6 s of drift, in virtual time.
    for slow in [false, true] {
        let mut bench = Bench::new(Setup { quiet: true, ..PLAIN });
        for n in 0..1_800_000u64 {
            let drift = n * 20 / 10_000;
            let ms = if slow { n * 20 + drift } else { (n * 20).saturating_sub(drift) };
            assert!(matches!(bench.packet(ms, 'p', n as u32 * 160), Inserted::Queued), "packet {n}");
            if bench.played.len() > 1_000 {
                assert!(lost(&bench.played) <= 1, "packet {n}: {}", bench.played);
                assert!(
                    n < 200 || (8..45).contains(&bench.buffer.delay_ms()),
                    "packet {n}: {} ms",
                    bench.buffer.delay_ms()
                );
                bench.played.clear();
            }
        }
    }
}

#[test]
fn one_stall_of_the_network_does_not_cost_seconds() {
    // Nothing for 300 ms, then all of it at once: all is played, and 3 s later the delay is what it was.
    let stalled = |n: u32| if (200..215).contains(&n) { u64::from(215 - n) * 20 } else { 0 };
    let bench = stream(Setup { quiet: true, ..PLAIN }, 218, stalled);
    assert!(bench.buffer.delay_ms() > 150, "{} ms", bench.buffer.delay_ms());
    let bench = stream(Setup { quiet: true, ..PLAIN }, 260, stalled);
    assert!(bench.buffer.delay_ms() < 60, "{} ms", bench.buffer.delay_ms());
    let bench = stream(Setup { quiet: true, ..PLAIN }, 365, stalled);
    assert!(bench.buffer.delay_ms() < 35 && bench.buffer.target_ms() <= 20, "{} ms", bench.buffer.delay_ms());
    // A stall every 200 ms, though, is what the network is like.
    let bench = stream(Setup { quiet: true, ..PLAIN }, 500, |n| (2 - u64::from(n % 10).min(2)) * 30);
    assert!((60..=75).contains(&bench.buffer.target_ms()), "{} ms", bench.buffer.target_ms());
}

#[test]
fn the_delay_stays_in_step_with_the_packets() {
    // Out of step by 3 ms, as after stretching: taken back at the first chance.
    let mut bench = Bench::new(PLAIN);
    for n in 0..200u32 {
        bench.packet(u64::from(n) * 20, 'p', n * 160);
    }
    let _ = bench.buffer.pull(48);
    let plans: Vec<Plan> = (200..230u32)
        .map(|n| {
            let now = bench.at(u64::from(n) * 20);
            let payload = [0; 160];
            let arrival = Arrival {
                sequence: n as u16,
                timestamp: n * 160,
                clock_rate: 8_000,
                duration: 160,
                payload: &payload,
                ..Arrival::default()
            };
            bench.buffer.insert(now, arrival);
            let plan = bench.buffer.tick(bench.at(u64::from(n) * 20 + 5), 0, || true);
            bench.frame(320);
            plan
        })
        .collect();
    let in_step = |plan: &Plan| matches!(plan, Plan::Shorten { by, .. } if (by + 48) % 320 == 0);
    assert!(plans.iter().all(|plan| *plan == Plan::Play || in_step(plan)), "{plans:?}");
    assert!(plans.iter().any(in_step), "{plans:?}");
}

/// A packet of Opus: its number is its payload.
fn opus(n: u32, pause: bool, payload: &[u8]) -> Arrival<'_> {
    Arrival {
        sequence: n as u16,
        timestamp: n.wrapping_mul(960),
        clock_rate: 48_000,
        duration: 960,
        whole: true,
        pause,
        payload_type: 111,
        payload,
        ..Arrival::default()
    }
}

#[test]
fn the_packet_behind_a_loss_is_offered_for_its_copy() {
    let start = epoch();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut buffer = JitterBuffer::new(start, JitterConfig::default());
    for n in [0, 1, 3, 6] {
        assert_eq!(buffer.insert(at(u64::from(n)), opus(n, false, &[n as u8])), Inserted::Queued);
    }
    buffer.tick(at(50), 0, || true);
    // Written out: a whole packet whatever is wanted, and a loss up to where the copy begins.
    let played: [String; 8] = std::array::from_fn(|_| format!("{:?}", buffer.pull(80)));
    let lost = |next: Option<(u8, &[u8], u32)>, samples| format!("{:?}", Piece::Lost { samples, next });
    let whole = |n: &[u8]| format!("{:?}", Piece::Payload { payload_type: 111, bytes: n, skip: 0, samples: 320 });
    assert_eq!(played[..3], [whole(&[0]), whole(&[1]), lost(Some((111, &[3], 320)), 320)]);
    assert_eq!(played[3], whole(&[3]));
    assert_eq!(played[4..], [lost(None, 80), lost(None, 80), lost(None, 80), lost(None, 80)]);
    assert_eq!(format!("{:?}", buffer.pull(80)), lost(Some((111, &[6], 320)), 320));
}

#[test]
fn a_pause_that_was_announced_is_silence_and_no_loss() {
    let start = epoch();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut buffer = JitterBuffer::new(start, JitterConfig::default());
    let mut heard = String::new();
    for tick in 0..50u32 {
        // Speech, a pause that is refreshed after 400 ms, speech again.
        if [0, 1, 2, 22, 30, 31, 32, 33].contains(&tick) {
            let pause = tick == 2 || tick == 22;
            assert_eq!(buffer.insert(at(u64::from(tick) * 20), opus(tick, pause, &[7])), Inserted::Queued);
        }
        buffer.tick(at(u64::from(tick) * 20 + 5), 0, || true);
        heard.push(match buffer.pull(320) {
            Piece::Payload { .. } => 'p',
            Piece::Lost { .. } => '-',
            Piece::Silence { .. } => '.',
        });
    }
    assert_eq!(heard, "..ppp...................p.......pppp------........");
}

#[test]
fn a_change_of_clock_is_no_change_of_time() {
    // Four packets at 8 kHz, then Opus with timestamps of its own, back and forth; the last of each clock
    // comes after the first of the next.
    let start = epoch();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut buffer = JitterBuffer::new(start, JitterConfig::default());
    let mut heard = String::new();
    let order = [0, 1, 2, 4, 3, 5, 6, 8, 7, 9, 10, 11u32];
    for (tick, n) in order.into_iter().enumerate() {
        let payload = [n as u8; 160];
        let plain = Arrival {
            sequence: n as u16,
            timestamp: 70_000 + n * 160,
            clock_rate: 8_000,
            duration: 160,
            payload: &payload,
            ..Arrival::default()
        };
        let arrival = if (4..8).contains(&n) { opus(n, false, &payload[..1]) } else { plain };
        assert_eq!(buffer.insert(at(tick as u64 * 20), arrival), Inserted::Queued);
        buffer.tick(at(tick as u64 * 20 + 5), 0, || true);
        match buffer.pull(320) {
            Piece::Payload { bytes, samples: 320, .. } => heard += &format!("{} ", bytes[0]),
            other => heard += &format!("{other:?} "),
        }
    }
    assert_eq!(heard.split_once("0 1").unwrap().1, " 2 3 4 5 6 7 8 9 ");
}

#[test]
fn the_buffer_never_grows() {
    let mut bench = stream(PLAIN, 500, |n| scattered(n, 300));
    assert!(bench.buffer.len() <= JITTER_PACKETS);
    bench.buffer.reset();
    assert!(bench.buffer.is_empty() && bench.buffer.is_silent());
}
