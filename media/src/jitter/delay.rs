//! What the network does to packets, as far as the jitter buffer cares: the shortest transit of late, the
//! distribution of delays over it, and the delay to aim at. It never looks at a payload.
use super::{JITTER_PACKETS, JitterConfig};

/// Width of a bin of the distribution.
const BIN_MS: u32 = 5;
/// Bins: delays up to 200 ms; what is longer falls into the last.
const BINS: usize = 40;
/// The share of packets that shall come in time.
const IN_TIME: f32 = 0.96;
/// What one packet weighs in the long run: the distribution remembers some 100 packets, 2 s,
/// and three times that are forgotten by the percentile.
const WEIGHT_MIN: f32 = 0.01;
/// Packets before the distribution may bring the target below its start: 1 s at 20 ms.
const SEEN_ENOUGH: u32 = 50;
/// The shortest transit is taken over one to two of these, so that it follows a drifting clock.
const WINDOW_MS: u32 = 2_000;

pub(super) struct Delays {
    config: JitterConfig,
    /// Share of the packets by delay.
    shares: [f32; BINS],
    seen: u32,
    /// Shortest transit of this window and of the one before.
    shortest: [Option<i64>; 2],
    window_start: i64,
    /// Duration of the last packet.
    packet: u32,
    target: u32,
}

impl Delays {
    pub fn new(config: JitterConfig) -> Self {
        let mut delays = Delays {
            config: JitterConfig { clock_rate: config.clock_rate.max(1_000), ..config },
            shares: [0.0; BINS],
            seen: 0,
            shortest: [None; 2],
            window_start: 0,
            packet: config.clock_rate / 50,
            target: 0,
        };
        delays.target = delays.find_target();
        delays
    }

    /// Forgets the shortest transit, keeps the distribution.
    pub fn rebase(&mut self) {
        self.shortest = [None; 2];
    }

    /// The shortest transit of the last seconds.
    pub fn base(&self) -> Option<i64> {
        self.shortest.into_iter().flatten().min()
    }

    /// The delay to aim at, in units of the RTP clock.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// Takes a packet's arrival and its time, both in units of the RTP clock.
    pub fn observe(&mut self, arrival: i64, at: i64, duration: u32) {
        let transit = arrival - at;
        let [current, before] = &mut self.shortest;
        if arrival - self.window_start > i64::from(WINDOW_MS * (self.config.clock_rate / 1000)) {
            self.window_start = arrival;
            *before = current.take();
        }
        *current = Some(current.map_or(transit, |c| c.min(transit)));
        let delay = self.base().map_or(0, |base| transit - base);
        let bin = delay / i64::from(self.config.clock_rate / 1000 * BIN_MS).max(1);
        let bin = usize::try_from(bin).unwrap_or(0).min(BINS - 1);
        self.seen = self.seen.saturating_add(1);
        let weight = (1.0 / self.seen as f32).max(WEIGHT_MIN);
        self.shares.iter_mut().for_each(|share| *share *= 1.0 - weight);
        self.shares[bin] += weight;
        self.packet = duration;
        self.target = self.find_target();
    }

    fn find_target(&self) -> u32 {
        let ms = self.config.clock_rate / 1000;
        let mut left = 1.0 - IN_TIME;
        let late = self.shares.iter().rposition(|share| {
            left -= share;
            left < 0.0
        });
        // The upper edge of the bin.
        let observed = late.map_or(0, |bin| (bin as u32 + 1) * BIN_MS * ms);
        let start = if self.seen < SEEN_ENOUGH { self.config.delay_start_ms * ms } else { 0 };
        let room = self.packet.saturating_mul(JITTER_PACKETS as u32 - 2);
        let floor = self.config.delay_min_ms * ms;
        observed.max(start).max(floor).min(self.config.delay_max_ms * ms).min(room.max(floor))
    }
}
