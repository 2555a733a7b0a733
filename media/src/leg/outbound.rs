//! The sending half of a leg: one RTP packet every 20 ms, with audio, silence or a key, or fewer where
//! silence need not be sent. It does not know where packets go; `latch` does.
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::{LegChange, LegConfig, LegStats};
use crate::codec::comfort::ComfortNoise;
use crate::codec::{Encoder, EncoderConfig};
use crate::dtmf::{self, Digit};
use crate::rtp::{HEADER_LEN, Header};
use crate::{Codec, FRAME_SAMPLES, Frame};

/// How often comfort noise is said again: 200 ms, so that a lost packet is not missed for long.
const COMFORT_TICKS: u8 = 10;
/// What is said of our silence: the level of an idle G.711 line.
const COMFORT_NOISE: ComfortNoise = ComfortNoise::white(66);

pub(super) struct Outbound {
    codec: Codec,
    /// `None`: there was no memory for one, and nothing but keys can be sent.
    encoder: Option<Encoder>,
    config: EncoderConfig,
    payload_type: u8,
    dtmf_payload_type: Option<u8>,
    comfort_noise_payload_type: Option<u8>,
    may_send: bool,
    ssrc: u32,
    sequence: u16,
    /// Of the next packet.
    timestamp: u32,
    keys: dtmf::Sender,
    cadence: Cadence,
    /// The last tick carried a frame.
    talking: bool,
    /// Ticks until comfort noise is said again.
    comfort_in: u8,
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
            encoder: Encoder::new(config.codec, config.encoder).ok(),
            config: config.encoder,
            payload_type: config.payload_type,
            dtmf_payload_type: config.dtmf_payload_type,
            comfort_noise_payload_type: config.comfort_noise_payload_type,
            may_send: true,
            ssrc: config.ssrc,
            sequence: config.sequence,
            timestamp: config.timestamp,
            keys: dtmf::Sender::default(),
            cadence: Cadence::new(now),
            talking: false,
            comfort_in: 0,
            fresh: true,
            packets: 0,
            octets: 0,
            last_tick: now,
        }
    }

    pub fn renegotiate(&mut self, change: &LegChange) {
        if change.codec.clock_rate() != self.codec.clock_rate() {
            // The time line goes on at another speed, so its old offset means nothing any more: a jump ahead
            // that no one takes for jitter or lateness (RFC 7160, 4.3: receivers follow it).
            self.timestamp = self.timestamp.wrapping_add(1 << 30);
            self.fresh = true;
        }
        if change.codec != self.codec {
            self.encoder = Encoder::new(change.codec, change.encoder).ok();
        } else if change.encoder != self.config
            && let Some(encoder) = &mut self.encoder
        {
            // An option that cannot be had is done without.
            let _ = encoder.configure(change.encoder);
        }
        self.codec = change.codec;
        self.config = change.encoder;
        self.payload_type = change.payload_type;
        self.dtmf_payload_type = change.dtmf_payload_type;
        self.comfort_noise_payload_type = change.comfort_noise_payload_type;
        self.fresh |= change.send && !self.may_send;
        self.may_send = change.send;
    }

    /// Queues a key. The unit of its duration is that of the codec's clock, for the payload type agreed
    /// for it has the same one (RFC 4733, 2.1).
    pub fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        let units = duration_ms.clamp(40, 5_000) * (self.codec.clock_rate() / 1000);
        self.dtmf_payload_type.is_some() && self.keys.push(digit, units)
    }

    /// Hears how the network fares: the share of our packets that were lost lately, 0 to 1.
    pub fn network(&mut self, loss: f32) {
        if let Some(encoder) = &mut self.encoder {
            encoder.network(loss);
        }
    }

    /// Writes this tick's packet; returns its length. The clock goes on whether one is sent or not.
    pub fn tick(&mut self, now: Instant, frame: Option<&Frame>, out: &mut [u8]) -> Option<usize> {
        let step = self.codec.frame_units();
        let missed = self.cadence.tick(now).missed;
        // Missed ticks are a gap in time, so they are one in the timestamps too (RFC 3550, 5.1).
        self.timestamp = self.timestamp.wrapping_add((missed as u32).wrapping_mul(step));
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(step);
        self.last_tick = now;
        self.fresh |= missed > 0 || (frame.is_some() && !self.talking);
        let was_talking = std::mem::replace(&mut self.talking, frame.is_some());
        if !self.may_send || out.len() < HEADER_LEN + self.codec.payload_max() {
            return None;
        }
        let key = self.dtmf_payload_type.and_then(|pt| Some((pt, self.keys.tick(timestamp, step)?)));
        let (head, payload) = out.split_at_mut_checked(HEADER_LEN)?;
        let Header { ssrc, sequence, .. } = self.header(timestamp);
        let (header, len) = match key {
            // What a key stands in for is not encoded: both codecs go on where they were.
            Some((payload_type, key)) => {
                let header = Header { marker: key.marker, payload_type, sequence, timestamp: key.timestamp, ssrc };
                (header, key.event.write(payload)?)
            }
            None => self.sound(timestamp, frame, was_talking, payload)?,
        };
        header.write(head)?;
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
        self.timestamp.wrapping_sub(self.codec.frame_units()).wrapping_add(units as u32)
    }

    pub fn stats(&self, stats: &mut LegStats) {
        stats.packets_sent = self.packets;
        stats.bytes_sent = self.octets;
    }

    /// Encodes the frame, or silence, unless comfort noise stands for that; `None` if nothing is to be sent.
    fn sound(
        &mut self,
        timestamp: u32,
        frame: Option<&Frame>,
        was_talking: bool,
        out: &mut [u8],
    ) -> Option<(Header, usize)> {
        let header = self.header(timestamp);
        // Opus has silence of its own, and comfort noise another clock. One more frame of audio takes what
        // the encoder still holds of the last one.
        let comfort_noise = self.comfort_noise_payload_type.filter(|_| self.codec != Codec::Opus);
        if let Some(payload_type) = comfort_noise.filter(|_| frame.is_none() && !was_talking) {
            self.fresh = true;
            self.comfort_in = self.comfort_in.checked_sub(1).unwrap_or(COMFORT_TICKS - 1);
            let due = self.comfort_in == COMFORT_TICKS - 1;
            return due.then(|| (Header { payload_type, ..header }, COMFORT_NOISE.write(out)));
        }
        self.comfort_in = 0;
        let samples = frame.map_or(&[0; FRAME_SAMPLES], Frame::samples);
        let encoder = self.encoder.as_mut()?;
        let len = encoder.encode(samples, out);
        // The first packet of sound after none, or after packets that only keep a pause alive, begins a
        // talkspurt (RFC 3551, 4.1; RFC 7587, 4.1).
        let pause = encoder.in_pause();
        let marker = self.fresh && !pause;
        self.fresh = pause;
        (len > 0).then_some((Header { marker, ..header }, len))
    }

    /// Of the next packet, if it is audio.
    fn header(&self, timestamp: u32) -> Header {
        Header { marker: false, payload_type: self.payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Packet;
    use crate::{FramePool, MediaTime};

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn config(codec: Codec, encoder: EncoderConfig) -> LegConfig {
        LegConfig { codec, payload_type: 96, encoder, ..LegConfig::new(([192, 0, 2, 1], 4_000).into()) }
    }

    /// Ticks: `s` the agent speaks, `.` it is silent, `5` a key of 40 ms begins in a silent tick, `X` what
    /// `to` says is agreed. Expected: `a` audio, `c` comfort noise, `k` a key, `A` and `K` with the marker,
    /// `-` nothing. Sequence numbers never jump; timestamps are those of the ticks.
    fn check(config: LegConfig, to: Codec, script: &str, expected: &str) {
        let start = start();
        let changed = LegChange { codec: to, ..LegChange::from(&config) };
        let mut outbound = Outbound::new(start, &config);
        let mut pool = FramePool::new(1);
        let (mut sent, mut codec, mut sequence, mut timestamp) = (String::new(), config.codec, 0, 0u32);
        for (n, tick) in script.chars().filter(|c| *c != ' ').enumerate() {
            let speaks = tick == 's';
            if tick == 'X' {
                outbound.renegotiate(&changed);
                timestamp = timestamp.wrapping_add(if to.clock_rate() == codec.clock_rate() { 0 } else { 1 << 30 });
                codec = to;
            } else if let Some(digit) = Digit::from_char(tick) {
                assert!(outbound.send_digit(digit, 40));
            }
            let frame = pool.fill(MediaTime::ZERO, |samples| {
                let square = |i: usize| if i % 40 < 20 { 8_000 } else { -8_000 };
                *samples = std::array::from_fn(square);
                Ok::<(), ()>(())
            });
            let frame = frame.ok().filter(|_| speaks);
            let now = start + Duration::from_millis(20 * n as u64);
            let mut out = [0; super::super::DATAGRAM_MAX];
            sent.push(match outbound.tick(now, frame.as_ref(), &mut out) {
                None => '-',
                Some(len) => {
                    let Packet { header, payload, .. } = Packet::parse(&out[..len]).unwrap();
                    assert_eq!((header.sequence, header.ssrc), (sequence, 1));
                    sequence += 1;
                    if header.payload_type != 101 {
                        assert_eq!(header.timestamp, timestamp, "tick {n}");
                    }
                    match (header.payload_type, header.marker, payload) {
                        (96, true, _) => 'A',
                        (96, false, _) => 'a',
                        (101, marker, &[5, _, high, low]) => {
                            let duration = u32::from(u16::from_be_bytes([high, low]));
                            assert!(duration.is_multiple_of(codec.frame_units()) && duration > 0);
                            if marker { 'K' } else { 'k' }
                        }
                        (13, false, [66]) => 'c',
                        packet => panic!("tick {n}: {packet:?}"),
                    }
                }
            });
            timestamp = timestamp.wrapping_add(codec.frame_units());
        }
        assert_eq!(sent, expected.replace(' ', ""), "{script}");
    }

    #[test]
    fn silence_is_sent_unless_comfort_noise_was_agreed() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            let plain = config(codec, EncoderConfig::default());
            check(plain.clone(), codec, "..ss..ss", "AaAaaaAa");
            let agreed = LegConfig { comfort_noise_payload_type: Some(13), ..plain };
            let expected = match codec {
                Codec::Opus => "Aaa aaaaaaaaaa aaaaaaaaaa a Aa",
                _ => "Aaa c--------- c--------- c Aa",
            };
            check(agreed, codec, "ss. .......... .......... . ss", expected);
        }
    }

    #[test]
    fn opus_rests_in_silence_if_it_may() {
        let dtx = config(Codec::Opus, EncoderConfig { dtx: true, ..EncoderConfig::default() });
        // After 200 ms without activity; a packet after every 400 ms of nothing keeps the pause alive.
        let script = format!("{} {} ss", "s".repeat(10), ".".repeat(60));
        let rest = "-".repeat(20);
        let expected = format!("A{} {rest}a{rest}a-------- Aa", "a".repeat(19));
        check(dtx, Codec::Opus, &script, &expected);
    }

    #[test]
    fn keys_are_told_in_the_codecs_clock() {
        for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
            let leg = config(codec, EncoderConfig::default());
            check(leg.clone(), codec, "ss5....ss", "AaKkkkaAa");
            let agreed = LegConfig { comfort_noise_payload_type: Some(13), ..leg };
            let expected = if codec == Codec::Opus { "AKkkkaAa" } else { "AKkkkcAa" };
            check(agreed, codec, "s5....ss", expected);
        }
    }

    #[test]
    fn another_codec_goes_on_with_the_stream() {
        for (from, to, expected) in [
            (Codec::Pcmu, Codec::Pcma, "AaaAa"),
            (Codec::Pcma, Codec::G722, "AaaAa"),
            (Codec::Opus, Codec::Opus, "AaaAa"),
            (Codec::Pcmu, Codec::Opus, "AaAAa"),
            (Codec::Opus, Codec::G722, "AaAAa"),
        ] {
            check(config(from, EncoderConfig::default()), to, "ssXss", expected);
        }
    }
}
