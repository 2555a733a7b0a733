//! The codecs that a description may name, and what it says of them. It never sees a sample.

/// A codec of the one audio stream.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722: 16 kHz, but its RTP clock is 8 kHz, a mistake kept for ever (RFC 3551 4.5.2).
    G722,
    /// Opus (RFC 7587).
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// The name in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// The rate of the RTP clock in Hz.
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8000,
            Self::Opus => 48_000,
        }
    }

    /// The channels in `a=rtpmap`: of Opus always two, whatever it carries (RFC 7587 7).
    pub const fn channels(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
            Self::Opus => 2,
        }
    }

    /// The payload type that RFC 3551 gives it.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus => None,
        }
    }

    /// Its `a=rtpmap` without the payload type.
    pub(super) fn encoding(self) -> String {
        match self {
            Self::Opus => "opus/48000/2".to_owned(),
            _ => format!("{}/8000", self.name()),
        }
    }

    pub(super) fn of(map: (&str, u32, u32)) -> Option<Self> {
        let (name, clock_hz, channels) = map;
        Self::ALL
            .into_iter()
            .find(|c| c.name().eq_ignore_ascii_case(name) && c.clock_hz() == clock_hz && c.channels() == channels)
    }
}

/// How the peer wants to get Opus (RFC 7587 6.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct OpusParameters {
    /// In-band forward error correction is of use to it.
    pub fec: bool,
    /// It would rather get no packets during silence.
    pub dtx: bool,
    /// It wants a constant bitrate.
    pub cbr: bool,
    /// Not more than this on average, in bits per second.
    pub max_bitrate_bps: Option<u32>,
}

impl OpusParameters {
    /// The value of an `a=fmtp` behind the payload type. What is not understood is as if it were not there.
    pub(super) fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in text.split(';').filter_map(|p| p.split_once('=')) {
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "useinbandfec" => read.fec = value == "1",
                "usedtx" => read.dtx = value == "1",
                "cbr" => read.cbr = value == "1",
                // RFC 7587 6.1: from 6 to 510 kbit/s.
                "maxaveragebitrate" => {
                    read.max_bitrate_bps = value.parse().ok().filter(|bps| (6_000..=510_000).contains(bps));
                }
                _ => {}
            }
        }
        read
    }

    /// Ours: everything inside is 16 kHz and mono, and losses are repaired.
    pub(super) fn ours(dtx: bool) -> String {
        let dtx = u8::from(dtx);
        format!("useinbandfec=1;usedtx={dtx};maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0")
    }
}
