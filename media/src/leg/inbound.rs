//! The receiving half of a leg: from RTP packets to 20 ms frames and keys. It does not know where packets
//! come from; `latch` has judged that.
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::{Kind, LegStats, TickIn};
use crate::dtmf::{self, Digits};
use crate::jitter::{Arrival, Inserted, JitterBuffer, JitterConfig, Stretch};
use crate::plc::Concealer;
use crate::resample::Upsampler;
use crate::rtcp::{Reception, Sequenced};
use crate::rtp::Packet;
use crate::{Codec, FRAME_SAMPLES, FramePool, MediaTime, level};

/// Samples of a frame at 8 kHz.
const NARROW: usize = FRAME_SAMPLES / 2;
/// Quiet is below -50 dBFS: what can be dropped or held unheard (as a mean square).
const QUIET: f32 = 10_737.0;
/// A dropped frame is faded into the next over 5 ms.
const SPLICE: usize = 40;
/// A new SSRC is believed at once if the old one was silent for this long, else at its second packet.
const SOURCE_SILENT: Duration = Duration::from_millis(60);
/// A key whose packets stopped is up, even if its end never came.
const KEY_TIMEOUT: Duration = Duration::from_millis(120);

pub(super) struct Inbound {
    /// The codec agreed on and, after a change, the former one, whose last packets may still come.
    codecs: [Option<(u8, Codec)>; 2],
    dtmf_payload_type: Option<u8>,
    jitter: JitterBuffer,
    concealer: Concealer,
    upsampler: Upsampler,
    keys: dtmf::Receiver,
    digits: Digits,
    reception: Option<Reception>,
    /// An SSRC that was seen once while another one speaks.
    candidate: Option<u32>,
    last_packet: Option<Instant>,
    last_key: Option<Instant>,
    /// Lost from sources that are gone.
    lost_before: i64,
    quiet: bool,
    cadence: Cadence,
    counts: LegStats,
}

impl Inbound {
    pub fn new(now: Instant, codec: Codec, payload_type: u8, dtmf_payload_type: Option<u8>) -> Self {
        let jitter = JitterConfig { clock_rate: codec.clock_rate(), ..JitterConfig::default() };
        Inbound {
            codecs: [Some((payload_type, codec)), None],
            dtmf_payload_type,
            jitter: JitterBuffer::new(now, jitter),
            concealer: Concealer::default(),
            upsampler: Upsampler::default(),
            keys: dtmf::Receiver::default(),
            digits: Digits::default(),
            reception: None,
            candidate: None,
            last_packet: None,
            last_key: None,
            lost_before: 0,
            quiet: true,
            cadence: Cadence::new(now),
            counts: LegStats::default(),
        }
    }

    pub fn renegotiate(&mut self, codec: Codec, payload_type: u8, dtmf_payload_type: Option<u8>) {
        let now = Some((payload_type, codec));
        if self.codecs[0] != now {
            self.codecs = [now, self.codecs[0]];
        }
        self.dtmf_payload_type = dtmf_payload_type;
    }

    /// Whether this payload type was agreed on.
    pub fn knows(&self, payload_type: u8) -> bool {
        self.dtmf_payload_type == Some(payload_type) || self.codec_of(payload_type).is_some()
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
            self.last_key = Some(now);
            let digit = self.keys.push(header.timestamp, header.marker, packet.payload);
            if digit.is_some_and(|d| !self.digits.push(d)) {
                self.counts.digits_dropped += 1;
            }
        } else if let Some(codec) = self.codec_of(header.payload_type) {
            self.audio(now, packet, codec, sequenced);
        }
    }

    /// The frame of this tick, written once, straight into the pool's slot.
    pub fn tick(&mut self, now: Instant, pool: &mut FramePool) -> TickIn {
        let number = self.cadence.tick(now).number;
        if self.keys.is_down() && self.last_key.is_none_or(|at| now.saturating_duration_since(at) > KEY_TIMEOUT) {
            self.keys.release();
        }
        self.counts.silent_for = self.last_packet.map(|at| now.saturating_duration_since(at));
        self.jitter.tick(now);
        let mut narrow = [0; NARROW];
        let kind = self.fill(&mut narrow);
        match kind {
            Kind::Audio => {}
            Kind::Concealed => self.counts.concealed_frames += 1,
            Kind::Silence => self.counts.silence_frames += 1,
        }
        let upsampler = &mut self.upsampler;
        let filled = pool.fill(MediaTime::from_frames(number), |wide| {
            upsampler.process(&narrow, wide);
            Ok::<(), ()>(())
        });
        if filled.is_err() {
            self.counts.pool_exhausted += 1;
            self.upsampler.process(&narrow, &mut [0; FRAME_SAMPLES]);
        }
        TickIn { frame: filled.ok(), digits: std::mem::take(&mut self.digits), kind }
    }

    /// Its share of the leg's statistics.
    pub fn stats(&self) -> LegStats {
        let mut stats = self.counts.clone();
        let units_per_ms = self.codecs[0].map_or(8, |(_, codec)| codec.clock_rate() / 1000);
        stats.packets_lost = self.lost_before + self.reception.as_ref().map_or(0, Reception::lost);
        stats.jitter_ms = self.reception.as_ref().map_or(0.0, |r| r.jitter() as f32 / units_per_ms as f32);
        stats.delay_ms = self.jitter.delay_ms();
        stats.target_delay_ms = self.jitter.target_ms();
        stats
    }

    fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().flatten().find(|(known, _)| *known == payload_type).map(|(_, codec)| *codec)
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
            self.keys.reset();
        }
        self.candidate = None;
        true
    }

    fn audio(&mut self, now: Instant, packet: &Packet<'_>, codec: Codec, sequenced: Option<Sequenced>) {
        if sequenced == Some(Sequenced::Duplicate) {
            self.counts.duplicate += 1;
            return;
        }
        let header = packet.header;
        let arrival = Arrival {
            timestamp: header.timestamp,
            duration: codec.duration(packet.payload.len()),
            marker: header.marker,
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
        // Modulo 2^32, as the timestamps are.
        reception.spacing(self.jitter.units_at(now) as u32, header.timestamp);
    }

    /// 20 ms at 8 kHz, with the delay corrected where that is not heard.
    fn fill(&mut self, out: &mut [i16; NARROW]) -> Kind {
        if self.jitter.hold_due(self.quiet) {
            self.counts.stretched_frames += 1;
            self.concealer.conceal(out);
            return Kind::Concealed;
        }
        let kind = self.decode(out);
        self.quiet = level::mean_square(out) < QUIET;
        if kind != Kind::Audio || !self.jitter.skip_due(self.quiet) {
            return kind;
        }
        self.counts.skipped_frames += 1;
        let dropped = *out;
        let kind = self.decode(out);
        for (i, (sample, dropped)) in out.iter_mut().zip(dropped).take(SPLICE).enumerate() {
            let (old, new, i) = (i32::from(dropped), i32::from(*sample), i as i32);
            *sample = (old + (new - old) * i / SPLICE as i32) as i16;
        }
        kind
    }

    /// The next 20 ms of the time line at 8 kHz.
    fn decode(&mut self, out: &mut [i16; NARROW]) -> Kind {
        let (mut audio, mut made_up) = (0, 0);
        let mut rest = &mut out[..];
        while !rest.is_empty() {
            let key_down = self.keys.is_down();
            let stretch = self.jitter.pull(rest.len() as u32);
            let (Stretch::Payload { duration, .. } | Stretch::Lost { duration } | Stretch::Silence { duration }) =
                stretch;
            let len = (duration as usize).clamp(1, rest.len());
            let (part, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            match stretch {
                Stretch::Payload { payload_type, bytes, .. } => {
                    let known = self.codecs.iter().flatten().find(|(known, _)| *known == payload_type);
                    let written = known.map_or(0, |(_, codec)| codec.decode(bytes, part));
                    part[written..].fill(0);
                    self.concealer.good(part);
                    audio += len;
                }
                // While a key is down its events replace the audio: nothing is missing.
                Stretch::Lost { .. } if !key_down => {
                    self.concealer.conceal(part);
                    made_up += if part.iter().any(|sample| *sample != 0) { len } else { 0 };
                }
                Stretch::Lost { .. } | Stretch::Silence { .. } => {
                    part.fill(0);
                    self.concealer.good(part);
                }
            }
        }
        match (audio, made_up) {
            (audio, _) if audio >= NARROW / 2 => Kind::Audio,
            (_, made_up) if made_up > 0 => Kind::Concealed,
            _ => Kind::Silence,
        }
    }
}
