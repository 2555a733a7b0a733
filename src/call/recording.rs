//! A call's sound on its way to be kept: both legs as Opus, in memory until it is clear that no card is read in them. It
//! begins when that was agreed to, and what was before is not there. It stores nothing itself.

use std::collections::VecDeque;

use ::privacy::Time;
use ::privacy::redact::{Stretch, Verdict};
use media::codec::{Encoder, EncoderConfig};
use media::{Codec, FRAME_SAMPLES};
use tracing::warn;
use zeroize::Zeroizing;

use crate::call::ogg::Stream;
use crate::call::{CallId, Speaker};

/// Sound waits for at most a minute until it is decided; twenty packets more are room for a late tick.
const WAITING_MAX: usize = 3_020;
/// What is handed over at a time: five seconds.
const PACKETS: usize = 250;
/// Of decided sound so much waits for the store, for each leg; the oldest goes.
const DECIDED_MAX: usize = 6 * PACKETS;
const FRAME_MS: u32 = media::FRAME_MS;
/// 20 ms in which nothing was sent: a packet without a frame (RFC 6716, 3.2.1 and 2.1.9), SILK in wideband.
const NOTHING: [u8; 1] = [9 << 3];

type Packet = Zeroizing<Vec<u8>>;

/// What is to be kept next of one leg.
pub struct Kept {
    pub leg: Speaker,
    pub seq: u64,
    pub duration_ms: u32,
    pub ogg: Zeroizing<Vec<u8>>,
}

/// Both legs of one call.
pub struct Recorder {
    legs: [Leg; 2],
}

struct Leg {
    who: Speaker,
    encoder: Encoder,
    stream: Stream,
    waiting: VecDeque<(Time, Packet)>,
    decided: VecDeque<Packet>,
    seq: u64,
}

impl Leg {
    fn add(&mut self, packet: Packet) {
        if self.decided.len() >= DECIDED_MAX {
            metrics::counter!("dauys_recording_gaps_total").increment(1);
            self.decided.pop_front();
        }
        self.decided.push_back(packet);
    }
}

impl Recorder {
    /// `None`: the codec cannot be had.
    pub fn new(call: CallId) -> Option<Self> {
        let leg = |who, serial| {
            let config = EncoderConfig { fec: false, dtx: false, ..EncoderConfig::default() };
            let encoder = Encoder::new(Codec::Opus, config).map_err(|error| {
                warn!(%call, %error, "the call's sound cannot be kept");
            });
            let stream = Stream::new(serial);
            Some(Leg {
                who,
                encoder: encoder.ok()?,
                stream,
                waiting: VecDeque::new(),
                decided: VecDeque::new(),
                seq: 0,
            })
        };
        // Two streams of one call are told apart by any two numbers.
        Some(Self { legs: [leg(Speaker::Caller, 1)?, leg(Speaker::Agent, 2)?] })
    }

    /// 20 ms of one leg; none: it was silent.
    pub fn push(&mut self, at: Time, who: Speaker, samples: Option<&[i16; FRAME_SAMPLES]>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.who == who) else { return };
        let mut room = Zeroizing::new(vec![0; Codec::Opus.payload_max()]);
        let len = leg.encoder.encode(samples.unwrap_or(&[0; FRAME_SAMPLES]), &mut room);
        let packet = room.get(..len).filter(|packet| !packet.is_empty()).unwrap_or(&NOTHING);
        if leg.waiting.len() >= WAITING_MAX {
            leg.waiting.pop_front();
            leg.add(Zeroizing::new(NOTHING.to_vec()));
        }
        leg.waiting.push_back((at, Zeroizing::new(packet.to_vec())));
    }

    /// What may be kept and what not; they come in order.
    pub fn decide(&mut self, stretch: &Stretch) {
        for leg in &mut self.legs {
            while leg.waiting.front().is_some_and(|(at, _)| *at < stretch.to) {
                let Some((_, packet)) = leg.waiting.pop_front() else { break };
                let keeps = stretch.verdict == Verdict::Keep;
                leg.add(if keeps { packet } else { Zeroizing::new(NOTHING.to_vec()) });
            }
        }
    }

    /// The next stretch to keep; `last`: whatever there is, and no more comes after it.
    pub fn next(&mut self, last: bool) -> Option<Kept> {
        let due = |leg: &&mut Leg| leg.decided.len() >= PACKETS || (last && !leg.decided.is_empty());
        let leg = self.legs.iter_mut().find(due)?;
        let count = leg.decided.len().min(PACKETS);
        let packets: Vec<Packet> = leg.decided.drain(..count).collect();
        let ogg = leg.stream.pages(&packets, last && leg.decided.is_empty());
        let duration_ms = u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(FRAME_MS);
        let seq = leg.seq;
        leg.seq += 1;
        Some(Kept { leg: leg.who, seq, duration_ms, ogg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: i64, to: i64, verdict: Verdict) -> Stretch {
        Stretch { from: Time(from), to: Time(to), verdict }
    }

    fn tone(n: i64) -> [i16; FRAME_SAMPLES] {
        std::array::from_fn(|i| (((n * 320 + i as i64) as f32 * 0.2).sin() * 8_000.0) as i16)
    }

    #[test]
    fn nothing_is_handed_over_before_it_is_decided_nor_of_what_is_dropped() {
        let mut recorder = Recorder::new(CallId(1)).expect("the codec");
        for n in 0..600 {
            recorder.push(Time(n * 20), Speaker::Caller, Some(&tone(n)));
            recorder.push(Time(n * 20), Speaker::Agent, None);
        }
        assert!(recorder.next(true).is_none());
        recorder.decide(&stretch(0, 3_000, Verdict::Keep));
        assert!(recorder.next(false).is_none(), "three seconds are no stretch yet");
        recorder.decide(&stretch(3_000, 8_000, Verdict::Drop));
        let sizes: Vec<usize> = recorder.legs[0].decided.iter().map(|packet| packet.len()).collect();
        assert!(sizes[5..150].iter().all(|len| *len > 1) && sizes[150..].iter().all(|len| *len == 1), "{sizes:?}");
        let first = recorder.next(false).expect("five seconds");
        assert_eq!((first.leg, first.seq, first.duration_ms), (Speaker::Caller, 0, 5_000));
        assert!(first.ogg.starts_with(b"OggS"));
        assert_eq!(recorder.next(false).map(|kept| (kept.leg, kept.seq)), Some((Speaker::Agent, 0)));
        recorder.decide(&stretch(8_000, 12_000, Verdict::Keep));
        let rest: Vec<_> = std::iter::from_fn(|| recorder.next(true)).collect();
        let told: Vec<_> = rest.iter().map(|kept| (kept.leg, kept.seq, kept.duration_ms)).collect();
        assert_eq!(
            told,
            [
                (Speaker::Caller, 1, 5_000),
                (Speaker::Caller, 2, 2_000),
                (Speaker::Agent, 1, 5_000),
                (Speaker::Agent, 2, 2_000)
            ]
        );
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut recorder = Recorder::new(CallId(1)).expect("the codec");
        for n in 0..4_000 {
            recorder.push(Time(n * 20), Speaker::Agent, None);
        }
        assert_eq!(recorder.legs[1].waiting.len(), WAITING_MAX);
        recorder.decide(&stretch(0, 80_000, Verdict::Keep));
        assert_eq!(recorder.legs[1].decided.len(), DECIDED_MAX);
    }
}
