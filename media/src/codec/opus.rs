//! Opus (RFC 6716, RFC 7587) by libopus: any packet to 16 kHz mono, and speech to 20 ms packets with
//! in-band redundancy. It never trusts a packet and never looks into one beyond its headers.
use opus::{Application, Bitrate, Channels};

use super::{Codec, CodecError, EncoderConfig};
use crate::{FRAME_SAMPLES, SAMPLE_RATE};

/// A packet holds 120 ms at most (RFC 6716, 3.4, R5), in units of the RTP clock.
const DURATION_MAX: u32 = 5_760;
/// The step of the decoder, 2.5 ms at 16 kHz.
const STEP: usize = 40;

/// How long a packet lasts at 48 kHz, from its first two bytes (RFC 6716, 3.1 and 3.2); 0 for none.
pub fn duration(packet: &[u8]) -> u32 {
    let Some(toc) = packet.first() else { return 0 };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u32::from(count & 0x3F)),
    };
    let duration = frames * frame_units(*toc);
    if duration > DURATION_MAX { 0 } else { duration }
}

/// One frame of a packet at 48 kHz (RFC 6716, table 2).
fn frame_units(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => 120 << (config & 3),
    }
}

/// Whether the first frame says that it holds the frame before it once more: the LBRR flag behind the VAD
/// flags of each channel, all of them plain bits (RFC 6716, 4.2.3 and 4.2.4).
fn has_redundancy(packet: &[u8]) -> bool {
    let Some(toc) = packet.first().copied().filter(|toc| *toc < 16 << 3) else { return false };
    let Some(first) = first_frame(packet).and_then(|frame| frame.first()) else { return false };
    let flags = frame_units(toc).div_ceil(960);
    let mono = first >> (7 - flags) & 1;
    let side = if toc & 4 == 0 { 0 } else { first >> (6 - 2 * flags) & 1 };
    mono | side != 0
}

/// From the first byte of the first frame on (RFC 6716, 3.2); `None` if that frame is empty.
fn first_frame(packet: &[u8]) -> Option<&[u8]> {
    let (toc, rest) = packet.split_first()?;
    match toc & 3 {
        0 | 1 => Some(rest),
        2 => behind_length(rest),
        _ => {
            let (count, mut rest) = rest.split_first()?;
            if count & 0x40 != 0 {
                // How much padding there is at the end: 254 bytes for each 255, and what the next byte says.
                let full = rest.iter().take_while(|byte| **byte == 255).count();
                let padding = 254 * full + usize::from(*rest.get(full)?);
                rest = rest.get(full + 1..)?;
                rest = rest.get(..rest.len().checked_sub(padding)?)?;
            }
            // The lengths of all frames but the last stand in front if they differ.
            match (count & 0x80 != 0, count & 0x3F) {
                (true, frames @ 2..) => {
                    let empty = rest.first()? == &0;
                    for _ in 1..frames {
                        rest = behind_length(rest).or_else(|| rest.get(1..))?;
                    }
                    (!empty).then_some(rest)
                }
                _ => Some(rest),
            }
        }
    }
}

/// What follows a frame's length (RFC 6716, 3.2.1); `None` if that is zero.
fn behind_length(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        0 => None,
        1..252 => bytes.get(1..),
        _ => bytes.get(2..),
    }
}

pub struct Decoder(opus::Decoder);

impl Decoder {
    pub fn new() -> Result<Self, CodecError> {
        Ok(Decoder(opus::Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(refused)?))
    }

    pub fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> usize {
        // To the library no bytes mean a loss.
        if duration(packet) == 0 {
            return 0;
        }
        let room = out.len().min(DURATION_MAX as usize / 3);
        self.0.decode(packet, &mut out[..room], false).unwrap_or(0)
    }

    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        let len = out.len();
        // The redundancy is one frame long; the library makes up what was lost before that.
        let usable = len.is_multiple_of(STEP) && len <= DURATION_MAX as usize / 3;
        usable
            && len * 3 >= next.first().map_or(usize::MAX, |toc| frame_units(*toc) as usize)
            && has_redundancy(next)
            && self.0.decode(next, out, true).is_ok_and(|n| n == len)
    }

    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        out.len().is_multiple_of(STEP)
            && out.chunks_mut(FRAME_SAMPLES).all(|part| self.0.decode(&[], part, false).is_ok_and(|n| n == part.len()))
    }
}

pub struct Encoder {
    encoder: opus::Encoder,
    config: EncoderConfig,
    /// Share of packets lost, 0 to 1: follows a rise at once and a fall slowly.
    loss: f32,
}

/// From this loss on packets carry redundancy.
const LOSS_MIN: f32 = 0.01;
/// From this loss on the network is taken to be full, and sending more of less use than sending less.
const LOSS_FULL: f32 = 0.2;
/// Below this the library cannot afford redundancy in wideband.
const BITRATE_FULL_BPS: u32 = 18_000;
/// What the library takes for speech.
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 6_000..=64_000;

impl Encoder {
    pub fn new(config: EncoderConfig) -> Result<Self, CodecError> {
        let encoder = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip).map_err(refused)?;
        let mut encoder = Encoder { encoder, config, loss: 0.0 };
        encoder.configure(config)?;
        Ok(encoder)
    }

    pub fn configure(&mut self, config: EncoderConfig) -> Result<(), CodecError> {
        self.config = config;
        self.encoder.set_complexity(i32::from(config.complexity.min(10))).map_err(refused)?;
        self.encoder.set_dtx(config.dtx).map_err(refused)?;
        self.encoder.set_vbr(!config.cbr).map_err(refused)?;
        self.adapt().map_err(refused)
    }

    pub fn encode(&mut self, frame: &[i16; FRAME_SAMPLES], out: &mut [u8]) -> usize {
        let room = out.len().min(Codec::Opus.payload_max());
        match self.encoder.encode(frame, &mut out[..room]) {
            // Two bytes or fewer need not be sent (RFC 6716, 2.1.9: the decoder makes up the noise).
            Ok(len) if len > 2 || !self.config.dtx => len,
            _ => 0,
        }
    }

    pub fn in_pause(&mut self) -> bool {
        self.config.dtx && self.encoder.get_in_dtx().unwrap_or(false)
    }

    pub fn network(&mut self, loss: f32) {
        let loss = if loss.is_finite() { loss.clamp(0.0, 1.0) } else { 0.0 };
        self.loss = loss.max((self.loss + loss) / 2.0);
        // It refuses nothing in these ranges; if it did, it would go on as before.
        let _ = self.adapt();
    }

    /// Pays for redundancy where there is loss, and gets out of the way where the network is full.
    fn adapt(&mut self) -> Result<(), opus::Error> {
        let base = self.config.bitrate_bps;
        let redundancy = self.config.fec && self.loss >= LOSS_MIN;
        let bitrate = match self.loss {
            loss if loss >= LOSS_FULL => base.min(BITRATE_FULL_BPS),
            _ if redundancy => base.saturating_add(base / 3),
            _ => base,
        };
        let bitrate = bitrate.min(self.config.bitrate_max_bps).clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end());
        self.encoder.set_bitrate(Bitrate::Bits(bitrate as i32))?;
        self.encoder.set_inband_fec(redundancy)?;
        self.encoder.set_packet_loss_perc((self.loss * 100.0).ceil() as i32)
    }
}

fn refused(error: opus::Error) -> CodecError {
    CodecError::Library(error.description())
}
