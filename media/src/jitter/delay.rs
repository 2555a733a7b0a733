//! What the network does to packets, as far as the jitter buffer cares: the shortest transit of late, the
//! distribution of delays over it, and the delay to aim at. It never looks at a payload.
use super::{JitterConfig, MS};

/// Width of a bin of the distribution.
const BIN_MS: u32 = 5;
/// Bins: delays up to 240 ms; what is longer falls into the last.
const BINS: usize = 48;
/// The share of packets that shall come in time.
const IN_TIME: f32 = 0.96;
/// What 20 ms of audio weigh in the long run: the distribution remembers some 2 s, so five late packets
/// close together raise the target at once, and it has come down again after three times that.
const WEIGHT_MIN: f32 = 0.01;
/// Audio before the distribution may bring the target below its start: 1 s.
const SEEN_ENOUGH: i64 = 1_000 * MS;
/// The shortest transit is taken over one to two of these, so that it follows a drifting clock.
const WINDOW: i64 = 2_000 * MS;

pub(super) struct Delays {
    config: JitterConfig,
    /// Share of the packets by delay.
    shares: [f32; BINS],
    seen: u32,
    seen_len: i64,
    /// Shortest transit of this window and of the one before.
    shortest: [Option<i64>; 2],
    window_start: i64,
    /// The last packet's arrival, and its transit.
    last: Option<(i64, i64)>,
    target: i64,
}

impl Delays {
    pub fn new(config: JitterConfig) -> Self {
        let mut delays = Delays {
            config,
            shares: [0.0; BINS],
            seen: 0,
            seen_len: 0,
            shortest: [None; 2],
            window_start: 0,
            last: None,
            target: 0,
        };
        delays.target = delays.find_target();
        delays
    }

    /// Forgets the shortest transit, keeps the distribution.
    pub fn rebase(&mut self) {
        self.shortest = [None; 2];
        self.last = None;
    }

    /// The shortest transit of the last seconds.
    pub fn base(&self) -> Option<i64> {
        self.shortest.into_iter().flatten().min()
    }

    /// The delay to aim at, in samples.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Takes a packet's arrival, its time and its length, all in samples.
    pub fn observe(&mut self, arrival: i64, at: i64, len: i64) {
        let transit = arrival - at;
        let [current, before] = &mut self.shortest;
        if arrival - self.window_start > WINDOW {
            self.window_start = arrival;
            *before = current.take();
        }
        *current = Some(current.map_or(transit, |c| c.min(transit)));
        let released = self.last.replace((arrival, transit)).is_some_and(|(came, before)| {
            // Behind a stall of the network packets come in a bunch, each as much less late as it is later
            // in the stream: one delay that many packets saw. The first speaks for it, so that one stall
            // does not cost seconds of delay, and frequent ones still do.
            arrival - came < len / 4 && transit < before
        });
        if released {
            return;
        }
        let delay = self.base().map_or(0, |base| transit - base);
        let bin = usize::try_from(delay / (i64::from(BIN_MS) * MS)).unwrap_or(0).min(BINS - 1);
        self.seen = self.seen.saturating_add(1);
        self.seen_len = self.seen_len.saturating_add(len);
        let weight = (1.0 / self.seen as f32).max(WEIGHT_MIN * len as f32 / (20 * MS) as f32).min(1.0);
        let mut total = 0.0;
        for share in &mut self.shares {
            *share *= 1.0 - weight;
            total += *share;
        }
        // What is left rather than the weight: the shares sum to one, whatever rounding did for hours.
        if let Some(share) = self.shares.get_mut(bin) {
            *share += 1.0 - total;
        }
        self.target = self.find_target();
    }

    fn find_target(&self) -> i64 {
        let mut left = 1.0 - IN_TIME;
        let late = self.shares.iter().rposition(|share| {
            left -= share;
            left < 0.0
        });
        // The upper edge of the bin.
        let observed_ms = late.map_or(0, |bin| (bin as u32 + 1) * BIN_MS);
        let start_ms = if self.seen_len < SEEN_ENOUGH { self.config.delay_start_ms } else { 0 };
        let target_ms = observed_ms.max(start_ms).max(self.config.delay_min_ms).min(self.config.delay_max_ms);
        i64::from(target_ms) * MS
    }
}
