//! How one direction of a call sounds: what was played, lost and discarded, in bursts and gaps (RFC 3611, 4.7),
//! and what the E-model makes of it. It sees no audio, allocates nothing, and asks for one call per packet.
use std::time::Duration;

use crate::Codec;
use crate::rtcp::{RECEIVER, VoipMetrics};

pub mod emodel;

use emodel::Impairment;

/// Packets received in a row that end a burst (RFC 3611, 4.7.2: Gmin, the recommended 16).
pub const GAP_MIN: u32 = 16;

/// What became of a packet when its time to be played came.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was there, or its content was repaired (FEC).
    Received,
    /// It was not there: lost, late, or dropped because there was no room.
    Missing,
}

/// Counts of one direction, fed in the order of playing.
#[derive(Copy, Clone, Debug, Default)]
pub struct Tracker {
    all: Stretch,
    /// Runs of missing packets without a received one between.
    runs: u64,
    in_run: bool,
    /// From a missing packet to the last missing one with fewer than [`GAP_MIN`] received between any two: a
    /// burst, or a single loss within a gap. It is open until [`GAP_MIN`] were received after it.
    open: Stretch,
    /// Received since.
    after: Stretch,
    bursts: Periods,
    gaps: Periods,
    in_gap: bool,
}

/// Packets that follow each other.
#[derive(Copy, Clone, Debug, Default)]
struct Stretch {
    packets: u64,
    missing: u64,
    ms: u64,
}

impl Stretch {
    fn add(&mut self, other: Stretch) {
        self.packets += other.packets;
        self.missing += other.missing;
        self.ms += other.ms;
    }
}

#[derive(Copy, Clone, Debug, Default)]
struct Periods {
    count: u64,
    sum: Stretch,
}

impl Periods {
    fn density(&self) -> f32 {
        ratio(self.sum.missing, self.sum.packets)
    }

    fn mean_ms(&self) -> u32 {
        self.sum.ms.checked_div(self.count).unwrap_or(0).min(u64::from(u32::MAX)) as u32
    }
}

fn ratio(part: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64) as f32 }
}

/// What lies between the mouth there and the ear here.
#[derive(Copy, Clone, Debug)]
pub struct Path {
    /// What the packets carry.
    pub codec: Codec,
    /// How many of those missing came after all, too late or with no room left.
    pub discarded: u64,
    /// Round trip of the network, if known.
    pub round_trip: Option<Duration>,
    /// Delay of the jitter buffer now.
    pub jitter_buffer_ms: u32,
    /// How much a packet carries.
    pub packet_ms: u32,
}

/// How one direction of a call sounded so far.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Packets whose time to be played has come.
    pub expected: u64,
    /// Of these never came, in percent.
    pub loss_percent: f32,
    /// Of these came too late or without room, in percent.
    pub discard_percent: f32,
    /// Fraction missing within bursts, 0 to 1; 0 without a burst.
    pub burst_density: f32,
    /// Fraction missing within gaps, 0 to 1.
    pub gap_density: f32,
    /// Mean duration of a burst, 0 without one.
    pub burst_ms: u32,
    /// Mean duration of a gap, 0 without one.
    pub gap_ms: u32,
    /// Round trip of the network, if known.
    pub round_trip_ms: Option<u32>,
    /// Delay of the jitter buffer.
    pub jitter_buffer_ms: u32,
    /// Jitter buffer and packetisation.
    pub end_system_delay_ms: u32,
    /// R by the E-model with delay, 0 to 100; `None` before the first packet. Of a wideband codec it is counted
    /// on the wideband scale, divided by 1.29 (see [`emodel`]): compare R and MOS only within one band.
    pub r_factor: Option<f32>,
    /// MOS for listening, 1 to 4.5: without delay.
    pub mos_lq: Option<f32>,
    /// MOS for conversation, 1 to 4.5: with delay.
    pub mos_cq: Option<f32>,
    /// Whether R and MOS are those of the wideband scale.
    pub wideband: bool,
}

impl Tracker {
    /// Counts a packet, or a tick's worth of audio, whose time has come. Silence that nobody sent (DTX, hold)
    /// is not counted.
    pub fn packet(&mut self, outcome: Outcome, duration_ms: u32) {
        let missing = u64::from(outcome == Outcome::Missing);
        let packet = Stretch { packets: 1, missing, ms: u64::from(duration_ms) };
        self.all.add(packet);
        if missing == 1 {
            self.runs += u64::from(!self.in_run);
            // What was received since the last loss lies within one burst with it.
            self.open.add(std::mem::take(&mut self.after));
            self.open.add(packet);
        } else if self.open.missing == 0 {
            self.gap(packet);
        } else {
            self.after.add(packet);
            if self.after.packets >= u64::from(GAP_MIN) {
                self.settle();
            }
        }
        self.in_run = missing == 1;
    }

    /// Packets whose time has come.
    pub fn expected(&self) -> u64 {
        self.all.packets
    }

    /// Of these missing.
    pub fn missing(&self) -> u64 {
        self.all.missing
    }

    /// What to say of it now. As RFC 3611, 4.7.2 wants, the call is taken to be preceded and followed by enough
    /// received packets.
    pub fn quality(&self, path: &Path) -> Quality {
        let mut settled = *self;
        settled.settle();
        let Tracker { all, runs, bursts, gaps, .. } = settled;
        let discarded = path.discarded.min(all.missing);
        let missing_percent = 100.0 * ratio(all.missing, all.packets);
        let impairment = Impairment::of(path.codec);
        // G.107, 7.5: the mean run of missing packets, by the mean run had they been missing at random.
        let burst_ratio = (ratio(all.missing, runs) * (1.0 - missing_percent / 100.0)).max(1.0);
        let round_trip_ms = path.round_trip.map(|r| (r.as_secs_f32() * 1000.0).round() as u32);
        let end_system_delay_ms = path.jitter_buffer_ms.saturating_add(path.packet_ms);
        let delay_ms = end_system_delay_ms.saturating_add(round_trip_ms.unwrap_or(0) / 2);
        let rate = |delay_ms: u32| {
            (all.packets > 0).then(|| impairment.r_factor(missing_percent, burst_ratio, delay_ms as f32))
        };
        let r_factor = rate(delay_ms);
        Quality {
            expected: all.packets,
            loss_percent: 100.0 * ratio(all.missing - discarded, all.packets),
            discard_percent: 100.0 * ratio(discarded, all.packets),
            burst_density: bursts.density(),
            gap_density: gaps.density(),
            burst_ms: bursts.mean_ms(),
            gap_ms: gaps.mean_ms(),
            round_trip_ms,
            jitter_buffer_ms: path.jitter_buffer_ms,
            end_system_delay_ms,
            r_factor,
            mos_lq: rate(0).map(emodel::mos),
            mos_cq: r_factor.map(emodel::mos),
            wideband: impairment.wideband,
        }
    }

    /// Closes what is open: a single loss is part of the gap around it, more are a burst.
    fn settle(&mut self) {
        let (open, after) = (std::mem::take(&mut self.open), std::mem::take(&mut self.after));
        if open.missing > 1 {
            self.bursts.count += 1;
            self.bursts.sum.add(open);
            self.in_gap = false;
        } else {
            self.gap(open);
        }
        self.gap(after);
    }

    fn gap(&mut self, stretch: Stretch) {
        if stretch.packets > 0 {
            self.gaps.count += u64::from(!std::mem::replace(&mut self.in_gap, true));
            self.gaps.sum.add(stretch);
        }
    }
}

impl Quality {
    /// As it is sent (RFC 3611, 4.7) about packets of `ssrc`, which can wait up to
    /// `jitter_limit_ms`. `None` before the first packet.
    pub fn metrics(&self, ssrc: u32, jitter_limit_ms: u32) -> Option<VoipMetrics> {
        let short = |ms: u32| u16::try_from(ms).unwrap_or(u16::MAX);
        // `as` saturates and cuts, as 4.7.1 asks.
        let fraction = |fraction: f32| (fraction * 256.0) as u8;
        let limit = short(jitter_limit_ms.max(self.jitter_buffer_ms));
        Some(VoipMetrics {
            ssrc,
            loss_rate: fraction(self.loss_percent / 100.0),
            discard_rate: fraction(self.discard_percent / 100.0),
            burst_density: fraction(self.burst_density),
            gap_density: fraction(self.gap_density),
            burst_ms: short(self.burst_ms),
            gap_ms: short(self.gap_ms),
            round_trip_ms: short(self.round_trip_ms.unwrap_or(0)),
            end_system_delay_ms: short(self.end_system_delay_ms),
            gap_min: GAP_MIN as u8,
            r_factor: Some(self.r_factor?.round() as u8),
            mos_lq_tenths: Some((self.mos_lq? * 10.0).round() as u8),
            mos_cq_tenths: Some((self.mos_cq? * 10.0).round() as u8),
            receiver: RECEIVER,
            jitter_nominal_ms: short(self.jitter_buffer_ms),
            jitter_max_ms: limit,
            jitter_limit_ms: limit,
            ..VoipMetrics::default()
        })
    }
}

#[cfg(test)]
mod tests;
