//! Keys as telephone events (RFC 4733): a receiver that reports each press once, however its packets
//! fare, and a sender. It hears no tones in the audio.
use std::collections::VecDeque;

/// A key of a telephone.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Digit(u8);

impl Digit {
    /// From its character: `0`-`9`, `*`, `#`, `A`-`D` (either case).
    pub const fn from_char(c: char) -> Option<Digit> {
        match c {
            '0'..='9' => Some(Digit(c as u8 - b'0')),
            '*' => Some(Digit(10)),
            '#' => Some(Digit(11)),
            'A'..='D' => Some(Digit(c as u8 - b'A' + 12)),
            'a'..='d' => Some(Digit(c as u8 - b'a' + 12)),
            _ => None,
        }
    }

    /// Its character: `0`-`9`, `*`, `#`, `A`-`D`.
    pub const fn as_char(self) -> char {
        match self.0 {
            d @ 0..=9 => (b'0' + d) as char,
            10 => '*',
            11 => '#',
            d => (b'A' + d - 12) as char,
        }
    }

    /// From the event code of RFC 4733, table 3; `None` for anything but the sixteen keys.
    pub const fn from_event(event: u8) -> Option<Digit> {
        if event < 16 { Some(Digit(event)) } else { None }
    }

    /// The event code of RFC 4733, table 3.
    pub const fn event(self) -> u8 {
        self.0
    }
}

/// Keys that ended up in one tick: a small array, oldest first.
#[derive(Copy, Clone, Default)]
pub struct Digits {
    len: u8,
    digits: [Option<Digit>; Digits::MAX],
}

impl Digits {
    /// Keys one tick can report.
    pub const MAX: usize = 8;

    /// Appends; false when full.
    pub fn push(&mut self, digit: Digit) -> bool {
        let Some(place) = self.digits.get_mut(usize::from(self.len)) else {
            return false;
        };
        *place = Some(digit);
        self.len += 1;
        true
    }

    /// The keys, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Digit> + '_ {
        self.digits.iter().copied().flatten()
    }

    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl IntoIterator for Digits {
    type Item = Digit;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Digit>, { Digits::MAX }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.digits.into_iter().flatten()
    }
}

/// Bytes of one event.
pub const EVENT_LEN: usize = 4;
/// Keys that may wait to be sent.
pub const SEND_MAX: usize = 32;

/// An event packet's payload (RFC 4733, 2.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Event code; 0 to 15 are keys.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Power in -dBm0, 0 to 63.
    pub volume: u8,
    /// How long so far, in units of the RTP clock.
    pub duration: u16,
}

impl Event {
    /// Reads the first event of a payload; `None` if it is shorter than one.
    pub fn parse(payload: &[u8]) -> Option<Event> {
        let b = payload.first_chunk::<EVENT_LEN>()?;
        Some(Event {
            event: b[0],
            end: b[1] & 0x80 != 0,
            volume: b[1] & 0x3F,
            duration: u16::from_be_bytes([b[2], b[3]]),
        })
    }

    /// Writes the four bytes; `None` if `out` is shorter.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let out = out.first_chunk_mut::<EVENT_LEN>()?;
        let [high, low] = self.duration.to_be_bytes();
        *out = [self.event, u8::from(self.end) << 7 | (self.volume & 0x3F), high, low];
        Some(EVENT_LEN)
    }
}

/// Tells key presses from packets. A press is known by its timestamp, which all its packets share.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    last: Option<Last>,
}

#[derive(Copy, Clone, Debug)]
struct Last {
    timestamp: u32,
    event: u8,
    duration: u16,
    ended: bool,
}

/// An event packet stamped up to 5 s before the last press is an old one, not a jump of the clock.
const STALE: u32 = 5 * 8_000;

impl Receiver {
    /// Takes an event packet; says the key at its first packet to arrive, whichever of them that is.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Option<Digit> {
        let event = Event::parse(payload)?;
        let seen = Last { timestamp, event: event.event, duration: event.duration, ended: event.end };
        match self.last {
            Some(last) if last.timestamp == timestamp => {
                // Packets of one press may come in any order.
                let duration = last.duration.max(event.duration);
                self.last = Some(Last { duration, ended: last.ended || event.end, ..last });
                return None;
            }
            Some(last) if (1..STALE).contains(&last.timestamp.wrapping_sub(timestamp)) => return None,
            Some(last) if !marker && last.continues(&seen) => {
                self.last = Some(seen);
                return None;
            }
            _ => self.last = Some(seen),
        }
        Digit::from_event(event.event)
    }

    /// Whether a key is down: its packets stand where audio would be.
    pub fn is_down(&self) -> bool {
        self.last.is_some_and(|last| !last.ended)
    }

    /// Takes a press whose end never came as over.
    pub fn release(&mut self) {
        if let Some(last) = &mut self.last {
            last.ended = true;
        }
    }

    /// Forgets the past: the source changed, its timestamps mean something else.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

impl Last {
    /// Whether `next`, under a new timestamp, is the same press going on: the next segment of a long one
    /// (RFC 4733, 2.5.1.3), or the work of a sender that stamps every packet anew.
    fn continues(&self, next: &Last) -> bool {
        let ahead = next.timestamp.wrapping_sub(self.timestamp);
        let segment = self.duration == u16::MAX && ahead.abs_diff(u32::from(u16::MAX)) <= 160;
        let restamped = next.duration > self.duration && ahead <= u32::from(next.duration);
        !self.ended && self.event == next.event && (segment || restamped)
    }
}

/// What a sender puts on the wire in one tick.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sending {
    /// The timestamp of the press: that of its beginning, in all its packets.
    pub timestamp: u32,
    /// Set in the first packet.
    pub marker: bool,
    /// The payload.
    pub event: Event,
}

/// Sends presses one after the other: a packet every tick, the end three times (RFC 4733, 2.5.1.4), and a
/// pause before the next.
#[derive(Clone, Debug)]
pub struct Sender {
    waiting: VecDeque<(Digit, u16)>,
    state: SendState,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum SendState {
    Idle,
    Pressed { digit: Digit, timestamp: u32, elapsed: u16, total: u16 },
    Ended { digit: Digit, timestamp: u32, total: u16, repeats: u8 },
    Pause { ticks: u8 },
}

/// Power of our events, in -dBm0.
const VOLUME: u8 = 10;
/// Ticks between two presses, after the repeated ends: 60 ms (ITU-T Q.24 wants 40 at least).
const PAUSE_TICKS: u8 = 1;

impl Default for Sender {
    fn default() -> Self {
        Sender { waiting: VecDeque::with_capacity(SEND_MAX), state: SendState::Idle }
    }
}

impl Sender {
    /// Queues a press, `duration` in units of the RTP clock. False when [`SEND_MAX`] already wait.
    pub fn push(&mut self, digit: Digit, duration: u16) -> bool {
        let room = self.waiting.len() < SEND_MAX;
        if room {
            self.waiting.push_back((digit, duration));
        }
        room
    }

    /// Whether nothing waits or is being sent.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && matches!(self.state, SendState::Idle | SendState::Pause { .. })
    }

    /// What to send instead of audio in this tick, which starts at `timestamp` and lasts `step`.
    pub fn tick(&mut self, timestamp: u32, step: u16) -> Option<Sending> {
        match self.state {
            SendState::Pause { ticks } => {
                self.state = if ticks > 1 { SendState::Pause { ticks: ticks - 1 } } else { SendState::Idle };
                None
            }
            SendState::Idle => {
                let (digit, total) = self.waiting.pop_front()?;
                Some(self.press(digit, timestamp, 0, total, step))
            }
            SendState::Pressed { digit, timestamp, elapsed, total } => {
                Some(self.press(digit, timestamp, elapsed, total, step))
            }
            SendState::Ended { digit, timestamp, total, repeats } => {
                self.state = match repeats {
                    0 | 1 => SendState::Pause { ticks: PAUSE_TICKS },
                    _ => SendState::Ended { digit, timestamp, total, repeats: repeats - 1 },
                };
                Some(sending(digit, timestamp, false, true, total))
            }
        }
    }

    fn press(&mut self, digit: Digit, timestamp: u32, elapsed: u16, total: u16, step: u16) -> Sending {
        let first = elapsed == 0;
        let elapsed = elapsed.saturating_add(step.max(1));
        if elapsed < total {
            self.state = SendState::Pressed { digit, timestamp, elapsed, total };
            return sending(digit, timestamp, first, false, elapsed);
        }
        // The end and its two repetitions say the whole length, which a tick may overshoot.
        self.state = SendState::Ended { digit, timestamp, total: elapsed, repeats: 2 };
        sending(digit, timestamp, first, true, elapsed)
    }
}

fn sending(digit: Digit, timestamp: u32, marker: bool, end: bool, duration: u16) -> Sending {
    Sending { timestamp, marker, event: Event { event: digit.event(), end, volume: VOLUME, duration } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets `key@timestamp+duration`, `!` for an end, `m` for the marker -> the keys reported.
    fn check(script: &str, expected: &str) {
        let mut receiver = Receiver::default();
        let mut heard = String::new();
        for packet in script.split_whitespace() {
            let key = Digit::from_char(packet.chars().next().unwrap()).unwrap();
            let numbers = packet[2..].trim_end_matches(['!', 'm']);
            let (timestamp, duration) = numbers.split_once('+').unwrap();
            let event = Event {
                event: key.event(),
                end: packet.contains('!'),
                volume: 10,
                duration: duration.parse().unwrap(),
            };
            let mut payload = [0; EVENT_LEN];
            event.write(&mut payload).unwrap();
            let digit = receiver.push(timestamp.parse().unwrap(), packet.ends_with('m'), &payload);
            heard.extend(digit.map(Digit::as_char));
        }
        assert_eq!(heard, expected, "{script}");
    }

    #[test]
    fn one_press_is_one_key_whatever_gets_lost() {
        check("5@1000+160m 5@1000+320 5@1000+480! 5@1000+480! 5@1000+480!", "5");
        check("5@1000+480!", "5"); // all but one end lost
        check("5@1000+320 5@1000+480", "5"); // start and ends lost
        check("5@1000+480! 5@1000+160m 5@1000+320", "5"); // reordered
        check("5@1000+160m 5@1000+320 7@3000+160m 5@1000+480!", "57"); // an end behind the next key
        check("5@4294967000+160m 5@4294967000+480! 6@1000+160m", "56"); // the timestamp wraps
    }

    #[test]
    fn the_same_key_twice_is_two() {
        check("5@1000+160m 5@1000+800! 5@3000+160m 5@3000+800!", "55");
        check("5@1000+160m 5@1000+800 5@3000+160m", "55"); // ends lost
        check("5@1000+160m 5@1000+800 5@3000+320 5@3000+480", "55"); // ends and the next start lost
        check("*@0+160m *@0+160! #@800+160m #@800+160! A@1600+160m D@2400+160!", "*#AD");
    }

    #[test]
    fn a_long_press_in_segments_is_one() {
        check("1@0+65375m 1@0+65535 1@65535+160 1@65535+320! 1@65535+320!", "1");
    }

    #[test]
    fn a_sender_that_stamps_each_packet_anew_is_understood() {
        check("9@1000+160m 9@1160+320 9@1320+480 9@1480+640!", "9");
    }

    #[test]
    fn what_is_no_key_is_ignored() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.push(0, true, &[16, 0, 0, 160]), None); // flash
        assert_eq!(receiver.push(0, true, &[1, 0, 0]), None);
        assert_eq!(receiver.push(8_000, true, &[1, 0, 0, 160]), Digit::from_char('1'));
        assert!(receiver.is_down());
        receiver.release();
        assert!(!receiver.is_down());
        // A source that starts anew may use older timestamps.
        receiver.reset();
        assert_eq!(receiver.push(4_000, true, &[2, 0x80, 0, 160]), Digit::from_char('2'));
    }

    #[test]
    fn keys_have_names() {
        for c in "0123456789*#ABCD".chars() {
            let digit = Digit::from_char(c).unwrap();
            assert_eq!((digit.as_char(), Digit::from_event(digit.event())), (c, Some(digit)));
        }
        assert_eq!(Digit::from_char('d'), Digit::from_char('D'));
        assert!(Digit::from_char('x').is_none() && Digit::from_event(16).is_none());
    }

    #[test]
    fn a_press_is_sent_with_growing_duration_and_three_ends() {
        let mut sender = Sender::default();
        assert!(sender.push(Digit(5), 480) && sender.push(Digit(6), 100));
        let mut sent = String::new();
        for tick in 0..12u32 {
            match sender.tick(tick * 160, 160) {
                Some(s) => {
                    let (m, e) = (if s.marker { "m" } else { "" }, if s.event.end { "!" } else { "" });
                    sent += &format!("{}@{}+{}{e}{m} ", s.event.event, s.timestamp, s.event.duration);
                }
                None => sent += "- ",
            }
        }
        let five = "5@0+160m 5@0+320 5@0+480! 5@0+480! 5@0+480! - ";
        let six = "6@960+160!m 6@960+160! 6@960+160! - - - ";
        assert_eq!(sent, format!("{five}{six}"));
        assert!(sender.is_idle());
    }

    #[test]
    fn the_send_queue_is_bounded() {
        let mut sender = Sender::default();
        assert_eq!((0..100).filter(|_| sender.push(Digit(1), 800)).count(), SEND_MAX);
        assert_eq!(sender.waiting.capacity(), SEND_MAX);
    }
}
