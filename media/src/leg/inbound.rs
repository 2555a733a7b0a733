//! The receiving half of a leg: from RTP packets to 20 ms frames and keys. It does not know where packets
//! come from; `latch` has judged that.
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::road::Road;
use super::{Kind, LegChange, LegConfig, LegStats, TickIn};
use crate::dtmf::{self, Digit, Digits, Keys, ToneDetector, Way};
use crate::jitter::{Arrival, Inserted, JITTER_PACKETS, JitterBuffer, JitterConfig};
use crate::quality::{Outcome, Tracker};
use crate::rtcp::{Reception, Sequenced};
use crate::rtp::Packet;
use crate::{Codec, FRAME_MS, FRAME_SAMPLES, FramePool, MediaTime, SAMPLE_RATE};

/// Units of the RTP clock of telephone-event and comfort noise (RFC 3389, 4), and how long one of the
/// latter stands for, at least.
const PLAIN_CLOCK_RATE: u32 = 8_000;
const COMFORT_NOISE_UNITS: u32 = PLAIN_CLOCK_RATE / 50;
/// A new SSRC is believed at once if the old one was silent for this long, else at its second packet.
const SOURCE_SILENT: Duration = Duration::from_millis(60);
/// A key whose packets stopped is up, even if its end never came.
const KEY_TIMEOUT: Duration = Duration::from_millis(120);
/// So long after a key's last packet the audio it replaced may still turn out not to be there.
const KEY_SHADOW: Duration = Duration::from_millis(500);

pub(super) struct Inbound {
    start: Instant,
    dtmf_payload_type: Option<u8>,
    jitter: JitterBuffer,
    road: Road,
    /// Units a second of the last packet's RTP clock.
    clock_rate: u32,
    /// Keys as telephone events and as tones, each press told by either ...
    events: dtmf::Receiver,
    tones: Option<ToneDetector>,
    /// ... and what they were put together to.
    presses: Keys,
    digits: Digits,
    reception: Option<Reception>,
    /// An SSRC that was seen once while another one speaks.
    candidate: Option<u32>,
    last_packet: Option<Instant>,
    last_event: Option<Instant>,
    /// Lost from sources that are gone.
    lost_before: i64,
    /// Samples that the tracker was told are missing.
    missing_told: u64,
    cadence: Cadence,
    counts: LegStats,
}

impl Inbound {
    /// Everything is allocated here, and in `renegotiate`.
    pub fn new(now: Instant, config: &LegConfig) -> Self {
        Inbound {
            start: now,
            dtmf_payload_type: config.dtmf_payload_type,
            jitter: JitterBuffer::new(now, JitterConfig::default()),
            road: Road::new(&config.receive, config.comfort_noise_payload_type),
            clock_rate: config.receive.first().map_or(PLAIN_CLOCK_RATE, |(_, codec)| codec.clock_rate()),
            events: dtmf::Receiver::default(),
            tones: config.inband_digits.then(ToneDetector::default),
            presses: Keys::default(),
            digits: Digits::default(),
            reception: None,
            candidate: None,
            last_packet: None,
            last_event: None,
            lost_before: 0,
            missing_told: 0,
            cadence: Cadence::new(now),
            counts: LegStats::default(),
        }
    }

    pub fn renegotiate(&mut self, change: &LegChange) {
        self.road.renegotiate(&change.receive, change.comfort_noise_payload_type);
        self.dtmf_payload_type = change.dtmf_payload_type;
    }

    /// Whether this payload type was agreed on.
    pub fn knows(&self, payload_type: u8) -> bool {
        self.dtmf_payload_type == Some(payload_type)
            || self.road.is_comfort_noise(payload_type)
            || self.road.codec(payload_type).is_some()
    }

    /// The SSRC that speaks now.
    pub fn source(&self) -> Option<u32> {
        self.reception.as_ref().map(Reception::ssrc)
    }

    pub fn reception(&mut self) -> Option<&mut Reception> {
        self.reception.as_mut()
    }

    /// Takes a packet of a known payload type.
    pub fn packet(&mut self, now: Instant, packet: &Packet<'_>) {
        let header = packet.header;
        if !self.follow_source(now, header.ssrc, header.sequence) {
            return;
        }
        self.last_packet = Some(now);
        self.counts.packets_received += 1;
        self.counts.bytes_received += packet.payload.len() as u64;
        let sequenced = self.reception.as_mut().map(|r| r.sequence(header.sequence));
        if self.dtmf_payload_type == Some(header.payload_type) {
            self.last_event = Some(now);
            let digit = self.events.push(header.timestamp, header.marker, packet.payload);
            self.press(now, Way::Event, digit);
            if self.events.is_down() {
                self.presses.held(now, Way::Event);
            }
        } else {
            self.audio(now, packet, sequenced);
        }
    }

    /// A key that came by signalling.
    pub fn info_digit(&mut self, now: Instant, digit: Digit) {
        self.press(now, Way::Info, Some(digit));
    }

    /// The frame of this tick, written once, straight into the pool's slot; `tracker` is told what became of the
    /// packets whose time it was.
    pub fn tick(&mut self, now: Instant, pool: &mut FramePool, tracker: &mut Tracker) -> TickIn {
        let number = self.cadence.tick(now).number;
        let overdue = |at| now.saturating_duration_since(at) > KEY_TIMEOUT;
        if self.events.is_down() && self.last_event.is_none_or(overdue) {
            self.events.release();
        }
        self.counts.silent_for = self.last_packet.map(|at| now.saturating_duration_since(at));
        let plan = self.jitter.tick(now, self.road.held(), || self.road.is_quiet());
        let at = MediaTime::from_frames(number);
        let (frame, kind) = self.road.tick(&mut self.jitter, plan, self.events.is_down(), at, pool);
        match kind {
            Kind::Audio => {}
            Kind::Concealed => self.counts.concealed_frames += 1,
            Kind::Silence => self.counts.silence_frames += 1,
        }
        self.counts.pool_exhausted += u64::from(frame.is_none());
        let listening = self.tones.as_mut().zip(frame.as_ref());
        let tone = listening.map(|(tones, frame)| tones.frame(frame.samples())).unwrap_or_default();
        self.press(now, Way::Tone, tone.pressed);
        self.judge(now, tracker);
        TickIn { frame, digits: std::mem::take(&mut self.digits), kind, tone: tone.down }
    }

    /// In the order of playing: what was missing until now, then this tick.
    fn judge(&mut self, now: Instant, tracker: &mut Tracker) {
        let missing = self.jitter.missing() + self.road.unrecovered();
        let frames = (missing - self.missing_told) / FRAME_SAMPLES as u64;
        self.missing_told += frames * FRAME_SAMPLES as u64;
        // A key's events stand where audio would be, and a jump of the time line is no loss of minutes.
        let keyed = self.last_event.is_some_and(|at| now.saturating_duration_since(at) < KEY_SHADOW);
        let frames = if keyed { 0 } else { frames.min(JITTER_PACKETS as u64) };
        (0..frames).for_each(|_| tracker.packet(Outcome::Missing, FRAME_MS));
        if self.road.received() {
            tracker.packet(Outcome::Received, FRAME_MS);
        }
    }

    /// The codec that came last.
    pub fn codec(&self) -> Option<Codec> {
        self.road.speaks()
    }

    /// Whether the other side said that it pauses.
    pub fn pauses(&self) -> bool {
        self.road.pauses()
    }

    /// Packets received and valid.
    pub fn packets(&self) -> u64 {
        self.counts.packets_received
    }

    /// How long ago the last packet came, at the last tick.
    pub fn silent_for(&self) -> Option<Duration> {
        self.counts.silent_for
    }

    /// Its share of the leg's statistics.
    pub fn stats(&self) -> LegStats {
        let mut stats = self.counts.clone();
        let units_per_ms = (self.clock_rate / 1000).max(1);
        stats.packets_lost = self.lost_before + self.reception.as_ref().map_or(0, Reception::lost);
        stats.jitter_ms = self.reception.as_ref().map_or(0.0, |r| r.jitter() as f32 / units_per_ms as f32);
        stats.delay_ms = self.jitter.delay_ms();
        stats.target_delay_ms = self.jitter.target_ms();
        let made = self.road.made();
        stats.copied_frames = made.copied;
        stats.recovered = made.recovered;
        stats.stretches = made.stretches;
        stats.shortened_ms = made.shortened * 1000 / u64::from(SAMPLE_RATE);
        stats.lengthened_ms = made.lengthened * 1000 / u64::from(SAMPLE_RATE);
        stats
    }

    /// Keeps a press as one way tells it, if no other told it before.
    fn press(&mut self, now: Instant, way: Way, digit: Option<Digit>) {
        let digit = digit.and_then(|digit| self.presses.press(now, way, digit));
        if digit.is_some_and(|digit| !self.digits.push(digit)) {
            self.counts.digits_dropped += 1;
        }
    }

    /// Whether a packet of this source is to be taken; changes over to a new source if so.
    fn follow_source(&mut self, now: Instant, ssrc: u32, sequence: u16) -> bool {
        if self.source() == Some(ssrc) {
            self.candidate = None;
            return true;
        }
        let silent = self.last_packet.is_none_or(|at| now.saturating_duration_since(at) >= SOURCE_SILENT);
        if !silent && self.candidate != Some(ssrc) {
            self.candidate = Some(ssrc);
            return false;
        }
        if let Some(gone) = self.reception.replace(Reception::new(ssrc, sequence)) {
            self.lost_before += gone.lost();
            self.counts.ssrc_changes += 1;
            self.jitter.reset();
            self.road.change_source();
            self.events.reset();
            if let Some(tones) = &mut self.tones {
                tones.reset();
            }
        }
        self.candidate = None;
        true
    }

    fn audio(&mut self, now: Instant, packet: &Packet<'_>, sequenced: Option<Sequenced>) {
        if sequenced == Some(Sequenced::Duplicate) {
            self.counts.duplicate += 1;
            return;
        }
        let header = packet.header;
        let (clock_rate, duration, whole) = match self.road.codec(header.payload_type) {
            Some(decoder) => {
                let codec = decoder.codec();
                (codec.clock_rate(), decoder.duration(packet.payload), codec == Codec::Opus)
            }
            // Comfort noise stands for the time until the next packet.
            None => (PLAIN_CLOCK_RATE, COMFORT_NOISE_UNITS, false),
        };
        let arrival = Arrival {
            sequence: header.sequence,
            timestamp: header.timestamp,
            clock_rate,
            duration,
            marker: header.marker,
            whole,
            pause: self.road.is_pause(header.payload_type, packet.payload),
            payload_type: header.payload_type,
            payload: packet.payload,
        };
        let inserted = self.jitter.insert(now, arrival);
        let Some(reception) = &mut self.reception else { return };
        match inserted {
            Inserted::Jumped => {
                self.counts.timestamp_jumps += 1;
                reception.forget_spacing();
            }
            Inserted::Overflow => self.counts.overflow += 1,
            Inserted::Late => self.counts.late += 1,
            Inserted::Duplicate => self.counts.duplicate += 1,
            Inserted::Unusable => self.counts.junk += u64::from(!packet.payload.is_empty()),
            Inserted::Queued => {}
        }
        if sequenced == Some(Sequenced::Behind) && inserted == Inserted::Queued {
            self.counts.reordered += 1;
        }
        if clock_rate != self.clock_rate {
            // Jitter is counted in units that no longer are (RFC 7160, 4.1).
            self.clock_rate = clock_rate;
            reception.forget_spacing();
        }
        let since = now.saturating_duration_since(self.start).as_micros();
        // Modulo 2^32, as the timestamps are.
        let units = (since * u128::from(clock_rate) / 1_000_000) as u32;
        reception.spacing(units, header.timestamp);
    }
}
