//! The codecs of a leg, all to and from 16 kHz: which there are, and one decoder and one encoder for each
//! of them. It never waits, never conceals for a codec that cannot do it itself (see `plc`), and takes
//! memory only when a decoder or an encoder is made.
use thiserror::Error;

use crate::FRAME_SAMPLES;
use crate::resample::{Downsampler, Upsampler};

pub mod comfort;
pub mod g711;
mod g722;
mod opus;

use g711::Law;

/// A codec we can speak. Closed on purpose: the set is ours.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// ITU-T G.711 mu-law, 8 kHz, one byte a sample.
    Pcmu,
    /// ITU-T G.711 A-law, 8 kHz, one byte a sample.
    Pcma,
    /// ITU-T G.722 at 64 kbit/s: 16 kHz, one byte for two samples.
    G722,
    /// Opus (RFC 6716): any rate on the wire.
    Opus,
}

impl Codec {
    /// The static payload type (RFC 3551, table 4).
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// The name in an SDP rtpmap line.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The rate of the RTP timestamp, in Hz. That of G.722 is not its sampling rate (RFC 3551, 4.5.2), and
    /// Opus has one for all of its rates (RFC 7587, 4.1).
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// The channels of its rtpmap. Opus always says 2 (RFC 7587, 7), whatever is sent.
    pub const fn channels(self) -> u8 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 1,
            Codec::Opus => 2,
        }
    }

    /// Room that one encoded frame of 20 ms needs at most, in bytes.
    pub const fn payload_max(self) -> usize {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 160,
            Codec::Opus => 400,
        }
    }

    /// One frame of 20 ms, in units of the RTP clock.
    pub const fn frame_units(self) -> u32 {
        self.clock_rate() / 1000 * crate::FRAME_MS
    }
}

/// Why there is no decoder or encoder.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum CodecError {
    /// The library refused, which it does only for want of memory: use another codec.
    #[error("the codec's library could not be set up: {0}")]
    Library(&'static str),
}

/// One stream's decoder. Sixteen kilohertz come out, whatever goes in.
pub struct Decoder {
    codec: Codec,
    state: Decoding,
}

enum Decoding {
    G711(Law, Upsampler),
    G722(g722::Decoder),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(codec: Codec) -> Result<Self, CodecError> {
        let state = match codec {
            Codec::Pcmu => Decoding::G711(Law::Mu, Upsampler::default()),
            Codec::Pcma => Decoding::G711(Law::A, Upsampler::default()),
            Codec::G722 => Decoding::G722(g722::Decoder::default()),
            Codec::Opus => Decoding::Opus(opus::Decoder::new()?),
        };
        Ok(Decoder { codec, state })
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// How long a payload lasts, in units of the RTP clock, without decoding it. 0: it is unusable.
    pub fn duration(&self, payload: &[u8]) -> u32 {
        match self.state {
            Decoding::G711(..) | Decoding::G722(_) => u32::try_from(payload.len()).unwrap_or(0),
            Decoding::Opus(_) => opus::duration(payload),
        }
    }

    /// Decodes into the front of `out`; returns how many samples were written, 0 if the payload is
    /// unusable. G.711 and G.722 give two samples a byte, as many as fit, and a payload may come in pieces.
    /// An Opus packet must come whole, and `out` must have room for all of it.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.state {
            Decoding::G711(law, upsampler) => {
                let table = law.table();
                upsampler.extend(payload.iter().map(|byte| f32::from(table[usize::from(*byte)])), out)
            }
            Decoding::G722(decoder) => decoder.decode(payload, out),
            Decoding::Opus(decoder) => decoder.decode(payload, out),
        }
    }

    /// Fills `out` with what was lost right before `next_payload`, from the redundancy in that one. False if
    /// it has none, or if `out` is no multiple of 2.5 ms: `out` is as it was, and so is the decoder.
    pub fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool {
        match &mut self.state {
            Decoding::G711(..) | Decoding::G722(_) => false,
            Decoding::Opus(decoder) => decoder.recover(next_payload, out),
        }
    }

    /// Fills `out` with what the codec itself makes up for something lost. False if it cannot, or if `out`
    /// is no multiple of 2.5 ms: `out` is as it was.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match &mut self.state {
            Decoding::G711(..) | Decoding::G722(_) => false,
            Decoding::Opus(decoder) => decoder.conceal(out),
        }
    }
}

/// What an encoder may do; only Opus has a choice.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EncoderConfig {
    /// Bits a second on a clean line.
    pub bitrate_bps: u32,
    /// Bits a second at most: the other side's `maxaveragebitrate` (RFC 7587, 6.1).
    pub bitrate_max_bps: u32,
    /// The other side can use redundancy against loss: its `useinbandfec`.
    pub fec: bool,
    /// Send nothing in silence: its `usedtx`.
    pub dtx: bool,
    /// Same size for every packet: its `cbr`.
    pub cbr: bool,
    /// Effort from 0 to 10.
    pub complexity: u8,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        // Complexity 2 scores as 5 does (wideband PESQ 3.99 against 4.00) for three quarters of the work.
        EncoderConfig { bitrate_bps: 24_000, bitrate_max_bps: 64_000, fec: true, dtx: false, cbr: false, complexity: 2 }
    }
}

/// One stream's encoder, from frames of 20 ms at 16 kHz.
pub struct Encoder {
    codec: Codec,
    state: Encoding,
}

enum Encoding {
    G711 { law: Law, downsampler: Downsampler, silent: bool },
    G722(g722::Encoder),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder at the beginning of a stream.
    pub fn new(codec: Codec, config: EncoderConfig) -> Result<Self, CodecError> {
        let g711 = |law| Encoding::G711 { law, downsampler: Downsampler::default(), silent: true };
        let state = match codec {
            Codec::Pcmu => g711(Law::Mu),
            Codec::Pcma => g711(Law::A),
            Codec::G722 => Encoding::G722(g722::Encoder::default()),
            Codec::Opus => Encoding::Opus(opus::Encoder::new(config)?),
        };
        Ok(Encoder { codec, state })
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Follows what was agreed anew, without a break in the sound.
    pub fn configure(&mut self, config: EncoderConfig) -> Result<(), CodecError> {
        match &mut self.state {
            Encoding::G711 { .. } | Encoding::G722(_) => Ok(()),
            Encoding::Opus(encoder) => encoder.configure(config),
        }
    }

    /// Encodes 20 ms into the front of `out` ([`Codec::payload_max`] is room enough); returns how many bytes were
    /// written. 0: nothing is to be sent for this frame.
    pub fn encode(&mut self, frame: &[i16; FRAME_SAMPLES], out: &mut [u8]) -> usize {
        match &mut self.state {
            Encoding::G711 { law, downsampler, silent } => {
                let was_silent = std::mem::replace(silent, frame.iter().fold(0, |any, s| any | s) == 0);
                let len = out.len().min(FRAME_SAMPLES / 2);
                // What the filter still holds of the last sound goes into the first silent frame.
                if was_silent && *silent {
                    out[..len].fill(law.silence_byte());
                    return len;
                }
                let mut narrow = [0; FRAME_SAMPLES / 2];
                downsampler.process(frame, &mut narrow);
                law.encode(&narrow, out)
            }
            Encoding::G722(encoder) => encoder.encode(frame, out),
            Encoding::Opus(encoder) => encoder.encode(frame, out),
        }
    }

    /// Whether the last frame belonged to a pause, of which only a packet now and then is sent.
    pub fn in_pause(&mut self) -> bool {
        match &mut self.state {
            Encoding::G711 { .. } | Encoding::G722(_) => false,
            Encoding::Opus(encoder) => encoder.in_pause(),
        }
    }

    /// Hears how the network fares: the share of packets that the other side lost lately, 0 to 1.
    pub fn network(&mut self, loss: f32) {
        if let Encoding::Opus(encoder) = &mut self.state {
            encoder.network(loss);
        }
    }
}
