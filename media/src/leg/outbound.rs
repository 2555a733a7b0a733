//! The sending half of a leg: one RTP packet every 20 ms, with audio, silence or a key. It does not know
//! where packets go; `latch` does.
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::{LegChange, LegConfig, LegStats};
use crate::dtmf::{self, Digit};
use crate::resample::Downsampler;
use crate::rtp::{HEADER_LEN, Header};
use crate::{Codec, FRAME_MS, FRAME_SAMPLES, Frame};

/// Samples of a frame at 8 kHz.
const NARROW: usize = FRAME_SAMPLES / 2;
/// A packet at most: the header and 20 ms of G.711.
const PACKET_MAX: usize = HEADER_LEN + NARROW;

pub(super) struct Outbound {
    codec: Codec,
    payload_type: u8,
    dtmf_payload_type: Option<u8>,
    may_send: bool,
    ssrc: u32,
    sequence: u16,
    /// Of the next packet.
    timestamp: u32,
    downsampler: Downsampler,
    keys: dtmf::Sender,
    cadence: Cadence,
    /// The last tick carried a frame.
    talking: bool,
    /// The next packet begins something: the stream, or what follows a gap.
    fresh: bool,
    packets: u64,
    octets: u64,
    last_tick: Instant,
}

impl Outbound {
    pub fn new(now: Instant, config: &LegConfig) -> Self {
        Outbound {
            codec: config.codec,
            payload_type: config.payload_type,
            dtmf_payload_type: config.dtmf_payload_type,
            may_send: true,
            ssrc: config.ssrc,
            sequence: config.sequence,
            timestamp: config.timestamp,
            downsampler: Downsampler::default(),
            keys: dtmf::Sender::default(),
            cadence: Cadence::new(now),
            talking: false,
            fresh: true,
            packets: 0,
            octets: 0,
            last_tick: now,
        }
    }

    pub fn renegotiate(&mut self, change: &LegChange) {
        self.codec = change.codec;
        self.payload_type = change.payload_type;
        self.dtmf_payload_type = change.dtmf_payload_type;
        self.fresh |= change.send && !self.may_send;
        self.may_send = change.send;
    }

    pub fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        let units = duration_ms.clamp(40, 5_000) * (self.codec.clock_rate() / 1000);
        self.dtmf_payload_type.is_some() && self.keys.push(digit, units as u16)
    }

    /// Writes this tick's packet; returns its length. The clock goes on whether one is sent or not.
    pub fn tick(&mut self, now: Instant, frame: Option<&Frame>, out: &mut [u8]) -> Option<usize> {
        let step = self.codec.clock_rate() / 1000 * FRAME_MS;
        let missed = self.cadence.tick(now).missed;
        // Missed ticks are a gap in time, so they are one in the timestamps too (RFC 3550, 5.1).
        self.timestamp = self.timestamp.wrapping_add((missed as u32).wrapping_mul(step));
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(step);
        self.last_tick = now;
        let spurt = frame.is_some() && !self.talking;
        let audio = self.narrow(frame);
        self.fresh |= missed > 0;
        if !self.may_send || out.len() < PACKET_MAX {
            return None;
        }
        let key = self.dtmf_payload_type.and_then(|pt| Some((pt, self.keys.tick(timestamp, step as u16)?)));
        let (head, payload) = out.split_at_mut_checked(HEADER_LEN)?;
        let payload = payload.get_mut(..NARROW)?;
        let header = Header {
            marker: spurt || self.fresh,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        let (header, len) = match (key, audio) {
            (Some((payload_type, key)), _) => {
                let header = Header { marker: key.marker, payload_type, timestamp: key.timestamp, ..header };
                (header, key.event.write(payload)?)
            }
            (None, Some(samples)) => (header, self.codec.encode(&samples, payload)),
            (None, None) => {
                payload.fill(self.codec.silence_byte());
                (header, payload.len())
            }
        };
        header.write(head)?;
        self.fresh &= key.is_some();
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += len as u64;
        Some(HEADER_LEN + len)
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub fn packets(&self) -> u64 {
        self.packets
    }

    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The RTP clock at `now`, which is at or after the last tick.
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        let since: Duration = now.saturating_duration_since(self.last_tick);
        let units = since.as_micros() * u128::from(self.codec.clock_rate()) / 1_000_000;
        let step = self.codec.clock_rate() / 1000 * FRAME_MS;
        self.timestamp.wrapping_sub(step).wrapping_add(units as u32)
    }

    pub fn stats(&self, stats: &mut LegStats) {
        stats.packets_sent = self.packets;
        stats.bytes_sent = self.octets;
    }

    /// The frame at 8 kHz; `None` for silence.
    fn narrow(&mut self, frame: Option<&Frame>) -> Option<[i16; NARROW]> {
        let was_talking = std::mem::replace(&mut self.talking, frame.is_some());
        let mut narrow = [0; NARROW];
        match frame {
            Some(frame) => self.downsampler.process(frame.samples(), &mut narrow),
            // What the filter still holds of the last frame.
            None if was_talking => self.downsampler.process(&[0; FRAME_SAMPLES], &mut narrow),
            None => return None,
        };
        Some(narrow)
    }
}
