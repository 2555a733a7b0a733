//! From RTP timestamps to samples at 16 kHz: timestamps wrap, and their clock changes with the payload type
//! (RFC 7160). It does not judge whether a timestamp is plausible; the buffer does.
use super::Arrival;
use crate::SAMPLE_RATE;

/// A source that changed its clock this many packets after the last one we saw changed it without us.
const UNSEEN_MAX: i16 = 50;

/// The clocks of one source: the one in use, and the one before it, whose last packets may still come.
#[derive(Default)]
pub(super) struct Clocks {
    current: Option<Clock>,
    former: Option<Clock>,
    /// Sequence number, time and length of the last packet, by sequence.
    last: (u16, i64, i64),
}

#[derive(Copy, Clone)]
struct Clock {
    rate: u32,
    /// The sequence number with which this clock began.
    since: u16,
    /// A timestamp, and the time that it stands for.
    timestamp: u32,
    at: i64,
}

impl Clocks {
    /// The time of a packet that lasts `len` samples.
    pub fn place(&mut self, packet: &Arrival<'_>, len: i64) -> i64 {
        let ahead = packet.sequence.wrapping_sub(self.last.0) as i16;
        let at = match (&mut self.current, &mut self.former) {
            (Some(clock), _) if clock.rate == packet.clock_rate => clock.place(packet.timestamp),
            (Some(clock), Some(former))
                if former.rate == packet.clock_rate && (packet.sequence.wrapping_sub(clock.since) as i16) < 0 =>
            {
                former.place(packet.timestamp)
            }
            (Some(_), _) => {
                // RFC 7160, 4.1: nothing in the timestamps says how two clocks relate. The sequence
                // numbers do: the packet follows the last one, with those between that are missing.
                let (_, at, before) = self.last;
                let missing = if (1..UNSEEN_MAX).contains(&ahead) { i64::from(ahead) - 1 } else { 0 };
                self.begin(packet, at + before + missing * before)
            }
            (None, _) => {
                self.last = (packet.sequence, 0, len);
                self.begin(packet, 0)
            }
        };
        // Even, as all lengths are: G.711 and G.722 have two samples to a byte.
        let at = at & !1;
        if ahead > 0 {
            self.last = (packet.sequence, at, len);
        }
        at
    }

    fn begin(&mut self, packet: &Arrival<'_>, at: i64) -> i64 {
        let clock = Clock { rate: packet.clock_rate, since: packet.sequence, timestamp: packet.timestamp, at };
        self.former = self.current.replace(clock);
        at
    }
}

impl Clock {
    fn place(&mut self, timestamp: u32) -> i64 {
        let rate = i64::from(self.rate.max(1));
        let since = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        let at = self.at + samples(since, self.rate);
        // The anchor follows in whole seconds, so that nothing is rounded twice.
        let seconds = since / rate;
        self.timestamp = self.timestamp.wrapping_add((seconds * rate) as u32);
        self.at += seconds * i64::from(SAMPLE_RATE);
        at
    }
}

/// Samples at 16 kHz in this many units of an RTP clock, rounded down.
pub(super) fn samples(units: i64, rate: u32) -> i64 {
    (units * i64::from(SAMPLE_RATE)).div_euclid(i64::from(rate.max(1)))
}
