//! `[rtp]`: ports, threads, codecs and encryption of media, and what a trunk has of its own. It opens no port.

use serde::Deserialize;
use sip::sdp;

use super::check::{Place, Problem, wrong};

const HERE: &str = "rtp";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtp {
    /// First and last UDP port for media, both even; RTCP uses the odd port above.
    pub ports: (u16, u16),
    /// Media threads; a call lives on one for life.
    pub shards: usize,
    /// What is spoken, best first. Callers choose from it by their own order.
    pub codecs: Vec<Codec>,
    /// Bits per second of Opus on a clean line.
    pub opus_bitrate: u32,
    /// Silence need not be sent: comfort noise, and no packets with Opus.
    pub comfort_noise: bool,
    /// Listen for keys in the sound of callers whose side sends no telephone events.
    pub inband_digits: bool,
    pub srtp: Srtp,
    /// `required` is content with keys that came by unencrypted signalling.
    pub sdes_over_plain: bool,
    /// Answer ICE where it is offered.
    pub ice: bool,
}

/// A codec's name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Opus,
    G722,
    Pcma,
    Pcmu,
}

/// Whether media must be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    Off,
    Optional,
    Required,
}

impl Default for Rtp {
    fn default() -> Self {
        Self {
            ports: (20_000, 20_998),
            shards: 1,
            codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu],
            opus_bitrate: 24_000,
            comfort_noise: false,
            inband_digits: true,
            srtp: Srtp::Optional,
            sdes_over_plain: false,
            ice: true,
        }
    }
}

impl From<Codec> for sdp::Codec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Opus => Self::Opus,
            Codec::G722 => Self::G722,
            Codec::Pcma => Self::Pcma,
            Codec::Pcmu => Self::Pcmu,
        }
    }
}

impl From<Srtp> for sdp::SrtpPolicy {
    fn from(srtp: Srtp) -> Self {
        match srtp {
            Srtp::Off => Self::Off,
            Srtp::Optional => Self::Optional,
            Srtp::Required => Self::Required,
        }
    }
}

impl Rtp {
    /// `is_required`: by this section, a trunk or a registration.
    pub(super) fn check(&self, calls_max: usize, is_required: bool) -> Result<(), Problem> {
        let (first, last) = self.ports;
        if first < 1024 || first % 2 != 0 || last % 2 != 0 || last < first {
            return wrong(
                HERE,
                "ports",
                format!("is [{first}, {last}]; it takes two even ports from 1024 up, first <= last"),
            );
        }
        let room = usize::from((last - first) / 2 + 1);
        if room < calls_max {
            return wrong(
                HERE,
                "ports",
                format!("has room for {room} calls but `calls.max` is {calls_max}; widen it or lower `max`"),
            );
        }
        if self.shards == 0 || self.shards > 256 {
            return wrong(HERE, "shards", format!("is {}; it takes 1 to 256", self.shards));
        }
        check_codecs(HERE.into(), &self.codecs)?;
        // RFC 7587 3.1.1: beyond 40 kbit/s mono speech of 16 kHz gains nothing; some room for other ears.
        if !(6_000..=64_000).contains(&self.opus_bitrate) {
            return wrong(HERE, "opus_bitrate", format!("is {}; it takes 6000 to 64000", self.opus_bitrate));
        }
        if self.sdes_over_plain && !is_required {
            return wrong(
                HERE,
                "sdes_over_plain",
                "is for `srtp = \"required\"`; anything else takes such keys anyway",
            );
        }
        Ok(())
    }
}

pub(super) fn check_codecs(at: Place, codecs: &[Codec]) -> Result<(), Problem> {
    if codecs.is_empty() {
        return wrong(at, "codecs", "is empty; it takes one or more of \"opus\", \"g722\", \"pcma\", \"pcmu\"");
    }
    if codecs.iter().enumerate().any(|(n, c)| codecs.iter().take(n).any(|other| other == c)) {
        return wrong(at, "codecs", "names a codec twice");
    }
    Ok(())
}
