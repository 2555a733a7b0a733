//! The E-model of ITU-T G.107 (06/2015) and its wideband version G.107.1 for what a call over RTP can know: codec,
//! loss, burstiness and delay; everything else has the recommendations' default values. It measures nothing.
//!
//! Narrowband codecs are rated on G.107's scale, where a clean call has R = 93.2. Wideband codecs are rated on
//! G.107.1's, which reaches 129, and R is then divided by 1.29, as its Annex A does on the way to MOS. Each scale
//! asks its own listeners: a clean G.722 call has a lower number than a clean G.711 call, and sounds better.
use crate::Codec;

/// Ro - Is of G.107, 7.2 and 7.3, with its default values (7.7): 94.769 less 1.414.
const BASE: f64 = 93.355;
/// Ro of G.107, which the echo terms need.
const SIGNAL_TO_NOISE: f64 = 94.769;
/// Ro of G.107.1, 7.2; its Is is 0.
const BASE_WIDEBAND: f64 = 129.0;
/// What a wideband R is divided by (G.107.1, Annex A).
const WIDEBAND_SCALE: f64 = 1.29;
/// Talker echo loudness rating and weighted echo path loss (G.107, 7.7), in dB.
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
/// Impairment that loss alone approaches (G.107, 7.5).
const LOSS_MAX: f64 = 95.0;

/// What a codec, with its concealment, does to speech.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Impairment {
    /// Equipment impairment factor without loss.
    pub ie: f64,
    /// Robustness against loss.
    pub bpl: f64,
    /// Whether these count on the wideband scale.
    pub wideband: bool,
}

impl Impairment {
    /// G.711 with concealment (G.113, Appendix I).
    pub const G711: Impairment = Impairment { ie: 0.0, bpl: 25.1, wideband: false };
    /// G.711 with silence in place of what is missing (G.113, Appendix I).
    pub const G711_UNCONCEALED: Impairment = Impairment { bpl: 4.3, ..Impairment::G711 };
    /// G.722 at 64 kbit/s (G.113, Appendix IV). Its robustness depends on the concealment; ours works on the
    /// waveform, so it is assumed to be as robust as G.711's.
    pub const G722: Impairment = Impairment { ie: 13.0, bpl: 25.1, wideband: true };
    /// Opus at 16 to 32 kbit/s: nothing is published on this scale. Assumed: as the best wideband speech codec
    /// at such rates, G.722.2 at 23.05 kbit/s (G.113, Appendix IV), and as robust as G.711.
    pub const OPUS: Impairment = Impairment { ie: 1.0, bpl: 25.1, wideband: true };

    /// That of a codec with our concealment.
    pub fn of(codec: Codec) -> Impairment {
        match codec {
            Codec::Pcmu | Codec::Pcma => Impairment::G711,
            Codec::G722 => Impairment::G722,
            Codec::Opus => Impairment::OPUS,
        }
    }

    /// R, 0 to 100, with this much missing, in bursts `burst_ratio` times as long as chance makes them (1 or
    /// more), and this delay from mouth to ear.
    pub fn r_factor(&self, missing_percent: f32, burst_ratio: f32, delay_ms: f32) -> f32 {
        let (loss, burst_ratio) = (f64::from(missing_percent), f64::from(burst_ratio).max(1.0));
        // G.107, 7.5, Ie,eff. G.107.1 knows no burst ratio; the one of G.107 is used for both.
        let equipment = self.ie + (LOSS_MAX - self.ie) * loss / (loss / burst_ratio + self.bpl);
        let delay = f64::from(delay_ms);
        let delayed = talker_echo(delay) + absolute_delay(delay);
        let r = if self.wideband {
            (BASE_WIDEBAND - delayed - equipment) / WIDEBAND_SCALE
        } else {
            BASE - delayed - listener_echo(delay) - equipment
        };
        r.clamp(0.0, 100.0) as f32
    }
}

/// The mean opinion score that goes with an R of 0 to 100 (G.107, Annex B).
pub fn mos(r: f32) -> f32 {
    // Below R = 6.5 the polynomial dips under 1.
    let r = r.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

/// Idte of G.107, 7.4, at the default sidetone.
fn talker_echo(ms: f64) -> f64 {
    let terv = TELR - 40.0 * ((1.0 + ms / 10.0) / (1.0 + ms / 150.0)).log10() + 6.0 * (-0.3 * ms * ms).exp();
    // Roe equals Ro at the default receive loudness rating.
    let half = (SIGNAL_TO_NOISE - (80.0 + 2.5 * (terv - 14.0))) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-ms).exp())
}

/// Idle of G.107, 7.4.
fn listener_echo(ms: f64) -> f64 {
    let half = (SIGNAL_TO_NOISE - 10.5 * (WEPL + 7.0) * (2.0 * ms + 1.0).powf(-0.25)) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd of G.107, 7.4, with the default sensitivity (sT = 1, mT = 100 ms).
fn absolute_delay(ms: f64) -> f64 {
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}
