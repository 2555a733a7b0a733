//! Presses as event packets (RFC 4733, 2.5.1), one a tick. It does not write RTP headers.
use std::collections::VecDeque;

use super::{Digit, Event};

/// Keys that may wait to be sent.
pub const SEND_MAX: usize = 32;

/// Power of our events, in -dBm0.
const VOLUME: u8 = 10;
/// Ticks between two presses, after the repeated ends: 60 ms (ITU-T Q.24 wants 40 at least).
const PAUSE_TICKS: u8 = 1;
/// The end is sent three times in all (RFC 4733, 2.5.1.4).
const END_REPEATS: u8 = 2;
/// The longest duration a packet can say.
const SEGMENT: u32 = u16::MAX as u32;

/// What a sender puts on the wire in one tick.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sending {
    /// The timestamp of the press, or of its segment: that of its beginning, in all its packets.
    pub timestamp: u32,
    /// Set in the first packet of a press.
    pub marker: bool,
    /// The payload.
    pub event: Event,
}

/// Sends presses one after the other: a packet every tick, the end three times, and a pause before the next.
#[derive(Clone, Debug)]
pub struct Sender {
    waiting: VecDeque<(Digit, u32)>,
    state: State,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Idle,
    Pressed(Press),
    Ended { last: Sending, repeats: u8 },
    Pause { ticks: u8 },
}

/// One segment of a press; times in units of the RTP clock, from the segment's beginning.
#[derive(Copy, Clone, Debug)]
struct Press {
    digit: Digit,
    timestamp: u32,
    marker: bool,
    elapsed: u32,
    total: u32,
}

impl Default for Sender {
    fn default() -> Self {
        Sender { waiting: VecDeque::with_capacity(SEND_MAX), state: State::Idle }
    }
}

impl Sender {
    /// Queues a press, `duration` in units of the RTP clock; it is sent in whole ticks. False when
    /// [`SEND_MAX`] already wait.
    pub fn push(&mut self, digit: Digit, duration: u32) -> bool {
        let room = self.waiting.len() < SEND_MAX;
        if room {
            self.waiting.push_back((digit, duration));
        }
        room
    }

    /// Whether nothing waits or is being sent.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && matches!(self.state, State::Idle | State::Pause { .. })
    }

    /// What to send instead of audio in this tick, which starts at `timestamp` and lasts `step` units.
    pub fn tick(&mut self, timestamp: u32, step: u32) -> Option<Sending> {
        match self.state {
            State::Pause { ticks } => {
                self.state = if ticks > 1 { State::Pause { ticks: ticks - 1 } } else { State::Idle };
                None
            }
            State::Idle => {
                let (digit, total) = self.waiting.pop_front()?;
                Some(self.press(Press { digit, timestamp, marker: true, elapsed: 0, total }, step))
            }
            State::Pressed(press) => Some(self.press(press, step)),
            State::Ended { last, repeats } => {
                self.state = match repeats {
                    0 | 1 => State::Pause { ticks: PAUSE_TICKS },
                    _ => State::Ended { last, repeats: repeats - 1 },
                };
                Some(last)
            }
        }
    }

    fn press(&mut self, mut press: Press, step: u32) -> Sending {
        press.elapsed = press.elapsed.saturating_add(step.max(1));
        if press.elapsed > SEGMENT {
            // RFC 4733, 2.5.1.3: the full segment is said without an end; the next begins where it ends,
            // with the rest of this tick in it, and without a marker.
            let full = press.sending(SEGMENT, false);
            press.timestamp = press.timestamp.wrapping_add(SEGMENT);
            press.elapsed -= SEGMENT;
            press.total = press.total.saturating_sub(SEGMENT);
            press.marker = false;
            self.state = State::Pressed(press);
            return full;
        }
        // The end and its repetitions say the whole length, which a tick may overshoot.
        let end = press.elapsed >= press.total;
        let sending = press.sending(press.elapsed, end);
        press.marker = false;
        self.state = match end {
            false => State::Pressed(press),
            true => State::Ended { last: Sending { marker: false, ..sending }, repeats: END_REPEATS },
        };
        sending
    }
}

impl Press {
    fn sending(&self, duration: u32, end: bool) -> Sending {
        let event = Event { event: self.digit.event(), end, volume: VOLUME, duration: duration.min(SEGMENT) as u16 };
        Sending { timestamp: self.timestamp, marker: self.marker, event }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EVENT_LEN, Receiver};
    use super::*;

    /// Presses of `keys`, each `duration` units -> the packets of `ticks` ticks, `-` where audio goes on.
    fn check(keys: &[(char, u32)], step: u32, ticks: u32, expected: &str) {
        let mut sender = Sender::default();
        for (key, duration) in keys {
            assert!(sender.push(Digit::from_char(*key).unwrap(), *duration));
        }
        let mut receiver = Receiver::default();
        let (mut sent, mut heard) = (Vec::new(), String::new());
        for tick in 0..ticks {
            let Some(s) = sender.tick(tick * step, step) else {
                sent.push("-".to_owned());
                continue;
            };
            let (m, e) = (if s.marker { "m" } else { "" }, if s.event.end { "!" } else { "" });
            sent.push(format!("{}@{}+{}{e}{m}", s.event.event, s.timestamp, s.event.duration));
            let mut payload = [0; EVENT_LEN];
            s.event.write(&mut payload).unwrap();
            heard.extend(receiver.push(s.timestamp, s.marker, &payload).map(Digit::as_char));
        }
        assert_eq!(sent.join(" "), expected);
        assert_eq!(heard, keys.iter().map(|(key, _)| *key).collect::<String>());
        assert!(sender.is_idle());
    }

    #[test]
    fn a_press_is_sent_with_growing_duration_and_three_ends() {
        let five = "5@0+160m 5@0+320 5@0+480! 5@0+480! 5@0+480! -";
        let six = "6@960+160!m 6@960+160! 6@960+160! - - -";
        check(&[('5', 480), ('6', 100)], 160, 12, &format!("{five} {six}"));
        // Opus: the clock is 48 kHz, and so are the durations (RFC 4733, 2.1).
        check(&[('#', 2_000)], 960, 6, "11@0+960m 11@0+1920 11@0+2880! 11@0+2880! 11@0+2880! -");
    }

    #[test]
    fn a_long_press_goes_in_segments() {
        // Ticks far longer than ours, so that two of three segments fill up after a few.
        let first = "1@0+30000m 1@0+60000 1@0+65535";
        let second = "1@65535+54465 1@65535+65535";
        let third = "1@131070+48930! 1@131070+48930! 1@131070+48930! -";
        check(&[('1', 175_000)], 30_000, 9, &format!("{first} {second} {third}"));
    }

    #[test]
    fn the_send_queue_is_bounded() {
        let mut sender = Sender::default();
        let one = Digit::from_char('1').unwrap();
        assert_eq!((0..100).filter(|_| sender.push(one, 800)).count(), SEND_MAX);
        assert_eq!(sender.waiting.capacity(), SEND_MAX);
    }
}
