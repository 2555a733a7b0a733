//! One telephone event as it stands in a packet (RFC 4733, 2.3). It knows no presses, only bytes.

/// Bytes of one event.
pub const EVENT_LEN: usize = 4;

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
    /// Reads the first event of a payload; `None` if it is shorter than one. Others would follow it only
    /// without a pause between them (RFC 4733, 2.5.1.5), which keys never do.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_four_bytes() {
        let event = Event { event: 11, end: true, volume: 63, duration: 0xFEDC };
        let mut bytes = [0; EVENT_LEN];
        assert_eq!(event.write(&mut bytes), Some(EVENT_LEN));
        assert_eq!((bytes, Event::parse(&bytes)), ([11, 0xBF, 0xFE, 0xDC], Some(event)));
        // The reserved bit is ignored by receivers (RFC 4733, 2.3.3).
        assert_eq!(Event::parse(&[11, 0xFF, 0xFE, 0xDC, 0]), Some(event));
        assert_eq!((Event::parse(&bytes[..3]), event.write(&mut [0; 3])), (None, None));
    }
}
