//! The road of the samples: from the pieces of the jitter buffer to 20 ms frames, decoded, concealed,
//! stretched, joined. In steady state a payload is decoded straight into the pooled frame, the one write of
//! its samples; what must be known of the past is kept as handles of the last frames. It does not know
//! packets, sources or time.
use crate::codec::Decoder;
use crate::codec::comfort::{ComfortNoise, Generator};
use crate::jitter::{JitterBuffer, Piece, Plan};
use crate::plc::{self, Concealer};
use crate::stretch::{self, Hush, Joint, LINE, OUT_MAX};
use crate::{Codec, FRAME_SAMPLES, Frame, FramePool, MediaTime};

use super::{Kind, carry::Carry};

/// Frames that the road keeps a handle of: what the concealer wants to see.
pub(super) const FRAMES_KEPT: usize = plc::HISTORY / FRAME_SAMPLES;
/// Codecs of before whose last packets may still come.
const FORMER_MAX: usize = 4;
/// The step in which a codec conceals for itself: 2.5 ms.
const CODEC_STEP: usize = 40;
/// A pause of Opus is refreshed every 400 ms; without that for this many samples, 1 s, the source is gone.
const PAUSE_MAX: usize = 16_000;
/// The last frame before a pause of Opus is no longer than this, in bytes.
const OPUS_PAUSE: usize = 2;

/// What is heard now: where it changes, one fades into the other.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Voice {
    Nothing,
    /// The decoder of this payload type.
    Codec(u8),
    /// The comfort noise of RFC 3389.
    Comfort,
}

/// What the frames were made of, since the start.
#[derive(Copy, Clone, Default)]
pub(super) struct Made {
    /// Times a part of the audio was left out or put in once more.
    pub stretches: u64,
    /// Samples left out.
    pub shortened: u64,
    /// Samples put in.
    pub lengthened: u64,
    /// Frames whose samples were not all written by a decoder straight into them.
    pub copied: u64,
    /// Packets brought back from the redundancy in the next one.
    pub recovered: u64,
}

pub(super) struct Road {
    /// What was agreed on, and behind that what was before.
    decoders: Vec<(u8, Decoder)>,
    comfort_noise: Option<u8>,
    noise: Generator,
    /// The noise was told what it should sound like.
    noise_known: bool,
    /// The last frames, the newest first.
    past: [Option<Frame>; FRAMES_KEPT],
    carry: Carry,
    concealer: Concealer,
    voice: Voice,
    /// The payload type decoded last.
    heard_last: u8,
    /// Samples since the source said that it pauses; `None`: it speaks.
    paused: Option<usize>,
    hush: Hush,
    made: Made,
    received: bool,
    /// Samples whose copy in the next packet was of no use.
    unrecovered: u64,
}

/// Samples of one tick by kind.
#[derive(Default)]
struct Tally {
    audio: usize,
    made_up: usize,
    unrecovered: usize,
}

impl Tally {
    fn add(&mut self, kind: Kind, samples: usize) {
        match kind {
            Kind::Audio => self.audio += samples,
            Kind::Concealed => self.made_up += samples,
            Kind::Silence => {}
        }
    }

    fn kind(&self) -> Kind {
        match (self.audio, self.made_up) {
            (audio, _) if audio >= FRAME_SAMPLES / 2 => Kind::Audio,
            (_, made_up) if made_up > 0 => Kind::Concealed,
            _ => Kind::Silence,
        }
    }
}

impl Road {
    /// A road for these payload types. One whose decoder cannot be had is left out.
    pub fn new(receive: &[(u8, Codec)], comfort_noise: Option<u8>) -> Self {
        let mut road = Road {
            decoders: Vec::new(),
            comfort_noise,
            noise: Generator::new(1),
            noise_known: false,
            past: [const { None }; FRAMES_KEPT],
            carry: Carry::narrow(),
            concealer: Concealer::default(),
            voice: Voice::Nothing,
            heard_last: 0,
            paused: None,
            hush: Hush::default(),
            made: Made::default(),
            received: false,
            unrecovered: 0,
        };
        road.renegotiate(receive, comfort_noise);
        road
    }

    /// Other payload types from now on; what was agreed before still decodes.
    pub fn renegotiate(&mut self, receive: &[(u8, Codec)], comfort_noise: Option<u8>) {
        self.comfort_noise = comfort_noise;
        let mut before = std::mem::take(&mut self.decoders);
        for (payload_type, codec) in receive {
            let known = before.iter().position(|(pt, decoder)| pt == payload_type && decoder.codec() == *codec);
            let decoder = known.map(|i| before.swap_remove(i).1).or_else(|| Decoder::new(*codec).ok());
            self.decoders.extend(decoder.map(|decoder| (*payload_type, decoder)));
        }
        before.retain(|(payload_type, _)| receive.iter().all(|(pt, _)| pt != payload_type));
        self.decoders.extend(before.into_iter().take(FORMER_MAX));
        if self.decoders.iter().any(|(_, decoder)| decoder.codec() == Codec::Opus) {
            self.carry.widen();
        }
    }

    /// The codec of a payload type and how long a payload lasts in it, in units of its RTP clock.
    pub fn codec(&self, payload_type: u8) -> Option<&Decoder> {
        self.decoders.iter().find(|(pt, _)| *pt == payload_type).map(|(_, decoder)| decoder)
    }

    /// Whether this is a payload type of comfort noise.
    pub fn is_comfort_noise(&self, payload_type: u8) -> bool {
        self.comfort_noise == Some(payload_type)
    }

    /// Whether the source pauses after this packet.
    pub fn is_pause(&self, payload_type: u8, payload: &[u8]) -> bool {
        let is_opus = self.codec(payload_type).is_some_and(|decoder| decoder.codec() == Codec::Opus);
        self.is_comfort_noise(payload_type) || (is_opus && payload.len() <= OPUS_PAUSE)
    }

    /// Another source speaks from now on.
    pub fn change_source(&mut self) {
        self.carry.clear();
        self.paused = None;
    }

    /// Samples taken from the jitter buffer and not yet played.
    pub fn held(&self) -> usize {
        self.carry.len()
    }

    /// Whether the last tick was mostly what the other side sent.
    pub fn received(&self) -> bool {
        self.received
    }

    /// Samples that redundancy was there for and did not bring back, since the start.
    pub fn unrecovered(&self) -> u64 {
        self.unrecovered
    }

    /// The codec that is heard now.
    pub fn speaks(&self) -> Option<Codec> {
        match self.voice {
            Voice::Codec(payload_type) => self.codec(payload_type).map(Decoder::codec),
            Voice::Nothing | Voice::Comfort => None,
        }
    }

    /// Whether the source said that it pauses.
    pub fn pauses(&self) -> bool {
        self.paused.is_some()
    }

    /// Listens to the last frame; returns whether it was quiet.
    pub fn is_quiet(&mut self) -> bool {
        let newest = self.past.first().and_then(Option::as_ref);
        newest.is_none_or(|frame| self.hush.hear(frame.samples()))
    }

    pub fn made(&self) -> Made {
        self.made
    }

    /// The frame of this tick; `None` if the pool has none, even without those kept here.
    pub fn tick(
        &mut self,
        jitter: &mut JitterBuffer,
        plan: Plan,
        key_down: bool,
        at: MediaTime,
        pool: &mut FramePool,
    ) -> (Option<Frame>, Kind) {
        let mut kind = Kind::Silence;
        loop {
            let filled = pool.fill(at, |out| {
                kind = self.render(jitter, plan, key_down, out);
                Ok::<(), ()>(())
            });
            if let Ok(frame) = filled {
                self.past.rotate_right(1);
                if let Some(newest) = self.past.first_mut() {
                    *newest = Some(frame.clone());
                }
                return (Some(frame), kind);
            }
            // A pool too small costs the concealer its past before it costs audio.
            if self.past.iter_mut().rev().find_map(Option::take).is_none() {
                break;
            }
        }
        (None, self.render(jitter, plan, key_down, &mut [0; FRAME_SAMPLES]))
    }

    fn render(
        &mut self,
        jitter: &mut JitterBuffer,
        plan: Plan,
        key_down: bool,
        out: &mut [i16; FRAME_SAMPLES],
    ) -> Kind {
        let mut tally = Tally::default();
        let copied_before = self.carry.taken();
        match plan {
            Plan::Play => self.read(jitter, key_down, out, &mut tally),
            Plan::Shorten { by, haste } => {
                let mut line = [0; LINE];
                self.read(jitter, key_down, &mut line, &mut tally);
                let joint = stretch::shorten(&line, by as usize, haste, self.hush);
                self.join(&line, joint, 0, out);
            }
            Plan::Lengthen { by } => {
                let mut line = [0; LINE];
                let (past, new) = line.split_at_mut(FRAME_SAMPLES);
                if let Some(newest) = self.past.first().and_then(Option::as_ref) {
                    past.copy_from_slice(newest.samples());
                }
                self.read(jitter, key_down, new, &mut tally);
                let joint = stretch::lengthen(&line, by as usize, self.hush);
                self.join(&line, joint, FRAME_SAMPLES, out);
            }
        }
        self.received = tally.audio >= FRAME_SAMPLES / 2;
        self.unrecovered += tally.unrecovered as u64;
        self.made.copied += u64::from(plan != Plan::Play || self.carry.taken() != copied_before);
        tally.kind()
    }

    /// Plays 20 ms of the line, with the joint in it, from `from` on; what is left is played later.
    fn join(&mut self, line: &[i16; LINE], joint: Option<Joint>, from: usize, out: &mut [i16; FRAME_SAMPLES]) {
        let mut joined = [0; OUT_MAX];
        let len = match joint {
            Some(joint) => {
                let removed = joint.removed();
                self.made.stretches += 1;
                self.made.shortened += removed.max(0) as u64;
                self.made.lengthened += (-removed).max(0) as u64;
                joint.apply(line, &mut joined)
            }
            None => {
                joined[..LINE].copy_from_slice(line);
                LINE
            }
        };
        let (now, later) = joined[from..len.max(from)].split_at(FRAME_SAMPLES.min(len.saturating_sub(from)));
        out[..now.len()].copy_from_slice(now);
        self.carry.put_back(later);
    }

    /// Fills `out` with what comes next: first what was carried over, then the pieces of the time line.
    fn read(&mut self, jitter: &mut JitterBuffer, key_down: bool, out: &mut [i16], tally: &mut Tally) {
        let mut done = 0;
        while done < out.len() {
            let carried = self.carry.take(&mut out[done..]);
            if carried > 0 {
                tally.add(self.carry.kind(), carried);
                done += carried;
                continue;
            }
            let room = out.len() - done;
            // A codec that conceals for itself does so in steps of its own.
            let own_steps = matches!(self.voice, Voice::Codec(pt) if self.is_opus(pt));
            let want = if own_steps { room.next_multiple_of(CODEC_STEP) } else { room };
            let (kind, len) = match jitter.pull(want as u32) {
                Piece::Payload { payload_type, bytes, skip, samples } => {
                    let piece = Decoded { payload_type, bytes, skip: skip as usize };
                    self.place(out, done, samples as usize, |road, past, to| road.decode(piece, past, to))
                }
                Piece::Lost { samples, .. } | Piece::Silence { samples } if key_down => {
                    // While a key is down its events replace the audio: nothing is missing.
                    self.paused = None;
                    self.place(out, done, samples as usize, Road::silence)
                }
                Piece::Lost { samples, next } => {
                    let made = self.place(out, done, samples as usize, |road, past, to| road.make_up(next, past, to));
                    let failed = next.is_some() && made.0 != Kind::Audio;
                    tally.unrecovered += if failed { samples as usize } else { 0 };
                    made
                }
                Piece::Silence { samples } => self.place(out, done, samples as usize, Road::silence),
            };
            tally.add(kind, len);
            done += len;
        }
    }

    /// Lets `write` make `len` samples, in place if there is room for them, else into what is carried over.
    /// Returns what they are, and how many are in place.
    fn place(
        &mut self,
        out: &mut [i16],
        done: usize,
        len: usize,
        write: impl FnOnce(&mut Self, &[i16], &mut [i16]) -> Kind,
    ) -> (Kind, usize) {
        let (before, room) = out.split_at_mut(done);
        if let Some(to) = room.get_mut(..len) {
            return (write(self, before, to), len);
        }
        let mut carry = std::mem::take(&mut self.carry);
        let kind = write(self, before, carry.reserve(len));
        carry.set_kind(kind);
        self.carry = carry;
        (kind, 0)
    }

    /// Decodes a payload; `to` is as long as what is due of it.
    fn decode(&mut self, piece: Decoded<'_>, before: &[i16], to: &mut [i16]) -> Kind {
        let Decoded { payload_type, bytes, skip } = piece;
        self.paused = self.is_pause(payload_type, bytes).then_some(0);
        if self.is_comfort_noise(payload_type) {
            if let Some(noise) = ComfortNoise::parse(bytes) {
                self.noise.set(&noise);
                self.noise_known = true;
            }
            return self.silence(before, to);
        }
        let Some((_, decoder)) = self.decoders.iter_mut().find(|(pt, _)| *pt == payload_type) else {
            return self.silence(before, to);
        };
        if self.heard_last != payload_type && decoder.codec() == Codec::G722 {
            // A sender that comes back to it begins anew, and with a state from back then its first samples
            // would be adapted to another sound: far too loud. Opus takes care of that itself.
            if let Ok(fresh) = Decoder::new(Codec::G722) {
                *decoder = fresh;
            }
        }
        self.heard_last = payload_type;
        let written = if skip == 0 {
            decoder.decode(bytes, to)
        } else {
            // Some of it is over already; rare, so that a buffer for it is no matter.
            let mut whole = [0; stretch::PACKET_MAX];
            let written = decoder.decode(bytes, &mut whole).saturating_sub(skip).min(to.len());
            to[..written].copy_from_slice(&whole[skip..skip + written]);
            written
        };
        if written == 0 {
            return self.make_up(None, before, to);
        }
        to[written..].fill(0);
        self.follow(Voice::Codec(payload_type), before, to);
        if self.paused.is_some() { Kind::Silence } else { Kind::Audio }
    }

    /// Makes up for a missing packet: from the redundancy of the next one, by its codec, or by repetition.
    fn make_up(&mut self, next: Option<(u8, &[u8], u32)>, before: &[i16], to: &mut [i16]) -> Kind {
        if let Some((payload_type, bytes, len)) = next
            && self.recover(payload_type, bytes, len as usize, to)
        {
            self.made.recovered += 1;
            self.follow(Voice::Codec(payload_type), before, to);
            return Kind::Audio;
        }
        let voice = self.voice;
        let decoder = self.decoders.iter_mut().find(|(pt, _)| voice == Voice::Codec(*pt));
        if !decoder.is_some_and(|(_, decoder)| decoder.conceal(to)) {
            let past = &self.past;
            self.concealer.conceal(|to| remember(past, before, to), to);
        }
        if to.iter().any(|sample| *sample != 0) { Kind::Concealed } else { Kind::Silence }
    }

    fn recover(&mut self, payload_type: u8, next: &[u8], len: usize, to: &mut [i16]) -> bool {
        let Some((_, decoder)) = self.decoders.iter_mut().find(|(pt, _)| *pt == payload_type) else { return false };
        if len == to.len() {
            return decoder.recover(next, to);
        }
        let mut whole = [0; stretch::PACKET_MAX];
        let Some(whole) = whole.get_mut(..len).filter(|whole| whole.len() > to.len()) else { return false };
        let recovered = decoder.recover(next, whole);
        if recovered {
            to.copy_from_slice(&whole[len - to.len()..]);
        }
        recovered
    }

    /// The source says nothing: its comfort noise, the noise of its codec, or silence.
    fn silence(&mut self, before: &[i16], to: &mut [i16]) -> Kind {
        let voice = self.voice;
        self.paused = self.paused.map(|since| since + to.len());
        let fresh = self.paused.is_some_and(|since| since < PAUSE_MAX);
        let decoder = self.decoders.iter_mut().find(|(pt, _)| fresh && voice == Voice::Codec(*pt));
        let now = if decoder.is_some_and(|(_, decoder)| decoder.conceal(to)) {
            voice
        } else if self.paused.is_some() && self.noise_known {
            self.noise.render(to);
            Voice::Comfort
        } else {
            to.fill(0);
            Voice::Nothing
        };
        self.follow(now, before, to);
        Kind::Silence
    }

    /// Lets the new samples follow those before them without a click.
    fn follow(&mut self, now: Voice, before: &[i16], samples: &mut [i16]) {
        let was = std::mem::replace(&mut self.voice, now);
        if self.concealer.is_active() {
            self.concealer.resume(samples);
        } else if was != now && was != Voice::Nothing {
            let past = &self.past;
            self.concealer.bridge(|to| remember(past, before, to), samples);
        }
    }

    fn is_opus(&self, payload_type: u8) -> bool {
        self.codec(payload_type).is_some_and(|decoder| decoder.codec() == Codec::Opus)
    }
}

/// A payload on its way to samples.
struct Decoded<'a> {
    payload_type: u8,
    bytes: &'a [u8],
    /// Samples at its start that are over already.
    skip: usize,
}

/// The last samples: the end of `before`, and before that the frames.
fn remember(frames: &[Option<Frame>; FRAMES_KEPT], before: &[i16], to: &mut [i16; plc::HISTORY]) {
    let recent = &before[before.len().saturating_sub(plc::HISTORY)..];
    let (mut older, newest) = to.split_at_mut(plc::HISTORY - recent.len());
    newest.copy_from_slice(recent);
    for frame in frames.iter().flatten() {
        let rest = older.len().saturating_sub(FRAME_SAMPLES);
        let (before, here) = std::mem::take(&mut older).split_at_mut(rest);
        let samples = frame.samples();
        here.copy_from_slice(&samples[FRAME_SAMPLES - here.len()..]);
        older = before;
    }
}
