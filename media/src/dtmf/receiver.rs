//! From event packets to presses (RFC 4733, 2.5.2): each press is said once, however its packets fare. It
//! knows no time but the packets' own, in whatever clock they count.
use super::{Digit, Event};

/// Presses remembered, so that a straggler is not taken for a new one.
const KNOWN_MAX: usize = 8;
/// A segment of a press is as long as its 16 bits allow, but for packets that were lost at its end.
const SEGMENT_MIN: u16 = 0x8000;
/// What may be lost there, in units of the RTP clock: 100 ms of 48 kHz.
const SEGMENT_SLACK: u32 = 4_800;

/// Tells key presses from packets. A press is known by its timestamp, which all its packets share.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// The latest first.
    known: [Option<Press>; KNOWN_MAX],
}

/// A press, or one segment of a long one.
#[derive(Copy, Clone, Debug)]
struct Press {
    timestamp: u32,
    event: u8,
    duration: u16,
    ended: bool,
}

impl Receiver {
    /// Takes an event packet; says the key at its first packet to arrive, whichever of them that is.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Option<Digit> {
        let event = Event::parse(payload)?;
        let seen = Press { timestamp, event: event.event, duration: event.duration, ended: event.end };
        if let Some(known) = self.known.iter_mut().flatten().find(|known| known.is(&seen)) {
            // Packets of one press may come in any order.
            known.duration = known.duration.max(seen.duration);
            known.ended |= seen.ended;
            return None;
        }
        if self.known.iter().flatten().any(|known| known.covers(&seen)) {
            return None;
        }
        match &mut self.known[0] {
            Some(last) if !marker && last.is_restamped_by(&seen) => {
                *last = seen;
                None
            }
            last => {
                let segment = !marker && last.is_some_and(|last| last.has_next_segment(&seen));
                self.known.rotate_right(1);
                self.known[0] = Some(seen);
                if segment { None } else { Digit::from_event(seen.event) }
            }
        }
    }

    /// Whether a key is down: its packets stand where audio would be.
    pub fn is_down(&self) -> bool {
        self.known[0].is_some_and(|last| !last.ended)
    }

    /// Takes a press whose end never came as over.
    pub fn release(&mut self) {
        if let Some(last) = &mut self.known[0] {
            last.ended = true;
        }
    }

    /// Forgets the past: the source changed, its timestamps mean something else.
    pub fn reset(&mut self) {
        *self = Receiver::default();
    }
}

impl Press {
    fn is(&self, other: &Press) -> bool {
        (self.timestamp, self.event) == (other.timestamp, other.event)
    }

    /// Whether `late` is an earlier packet of this press, from a sender that stamps every packet anew.
    fn covers(&self, late: &Press) -> bool {
        let behind = self.timestamp.wrapping_sub(late.timestamp);
        self.event == late.event && late.duration < self.duration && behind < u32::from(self.duration)
    }

    /// Whether `next` is this press going on, from such a sender.
    fn is_restamped_by(&self, next: &Press) -> bool {
        let ahead = next.timestamp.wrapping_sub(self.timestamp);
        let longer = next.duration > self.duration && ahead <= u32::from(next.duration);
        !self.ended && self.event == next.event && longer
    }

    /// Whether `next` is the next segment of this press (RFC 4733, 2.5.1.3): it begins where this one ends.
    fn has_next_segment(&self, next: &Press) -> bool {
        let ahead = next.timestamp.wrapping_sub(self.timestamp);
        let end = u32::from(self.duration);
        let adjoins = self.duration >= SEGMENT_MIN && (end..=end + SEGMENT_SLACK).contains(&ahead);
        !self.ended && self.event == next.event && adjoins
    }
}

#[cfg(test)]
mod tests {
    use super::super::EVENT_LEN;
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
        check("5@1000+960m 5@1000+4800! 5@1000+4800!", "5"); // a 48 kHz clock
        check("1@100+960! 2@6000+960! 3@9000+960! 1@100+960! 2@6000+960!", "123"); // all repeated, late
    }

    #[test]
    fn the_same_key_twice_is_two() {
        check("5@1000+160m 5@1000+800! 5@3000+160m 5@3000+800!", "55");
        check("5@1000+160m 5@1000+800 5@3000+160m", "55"); // ends lost
        check("5@1000+160m 5@1000+800 5@3000+320 5@3000+480", "55"); // ends and the next start lost
        check("*@0+160m *@0+160! #@800+160m #@800+160! A@1600+160m D@2400+160!", "*#AD");
        // A player of recorded packets starts each key where its recording did.
        check("0@17632+0m 0@17632+2240! 1@13280+0m 1@13280+2240! 0@17632+0m", "01");
    }

    #[test]
    fn a_long_press_in_segments_is_one() {
        check("1@0+65375m 1@0+65535 1@65535+160 1@65535+320! 1@65535+320!", "1");
        check("1@0+64800m 1@65535+1000 1@65535+2000 1@65535+65535 1@131070+960!", "1"); // 48 kHz, some lost
        check("1@0+65535m 1@65535+160! 1@0+65375 1@66500+160m", "11"); // a straggler, then another press
    }

    #[test]
    fn a_sender_that_stamps_each_packet_anew_is_understood() {
        check("9@1000+160m 9@1160+320 9@1320+480 9@1480+640!", "9");
        check("9@1160+320 9@1000+160m 9@1480+640! 9@1320+480 9@4000+160m", "99"); // reordered
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
        // A source that starts anew may use the same timestamps.
        receiver.reset();
        assert_eq!(receiver.push(8_000, true, &[1, 0x80, 0, 160]), Digit::from_char('1'));
    }
}
