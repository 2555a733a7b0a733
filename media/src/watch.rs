//! Says once when a call's media begins to be in trouble, and once when that is over. It decides nothing about the
//! call, and hold, comfort noise and DTX are no trouble.
use std::time::{Duration, Instant};

/// Nothing for this long is trouble.
const NOTHING: Duration = Duration::from_secs(3);
/// Nothing but digital silence for this long is.
const SILENT: Duration = Duration::from_secs(30);
/// Reports in a row in which nothing of ours arrived.
const UNHEARD_REPORTS: u32 = 2;
/// Loss is judged over this many seconds ...
const LOSS_SECONDS: usize = 10;
/// ... which must have brought this many packets.
const LOSS_PACKETS_MIN: u64 = 250;
/// It is heavy above this many percent and over below that many.
const LOSS_PERCENT: u64 = 5;
const LOSS_OVER_PERCENT: u64 = 3;
/// Up to here a sample is digital silence: the smallest that A-law knows is 8, and resampling may double it.
const SILENCE_PEAK: u16 = 16;

/// What can be wrong with a call's media.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum TroubleKind {
    /// No packet comes: never did, or stopped.
    NoAudioIn,
    /// Packets come, with nothing but digital silence in them.
    SilentIn,
    /// The other side's reports say that nothing of ours arrives.
    NoAudioOut,
    /// More than one packet in twenty is missing.
    HeavyLoss,
    /// Neither packets nor reports, for so long that nobody is believed to be there.
    Dead,
}

impl TroubleKind {
    const ALL: [TroubleKind; 5] = [
        TroubleKind::NoAudioIn,
        TroubleKind::SilentIn,
        TroubleKind::NoAudioOut,
        TroubleKind::HeavyLoss,
        TroubleKind::Dead,
    ];

    /// For the log, the record and a metric's label.
    pub const fn word(self) -> &'static str {
        match self {
            TroubleKind::NoAudioIn => "no_audio_in",
            TroubleKind::SilentIn => "silent_in",
            TroubleKind::NoAudioOut => "no_audio_out",
            TroubleKind::HeavyLoss => "heavy_loss",
            TroubleKind::Dead => "dead",
        }
    }
}

/// Trouble that begins or is over.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Which.
    pub kind: TroubleKind,
    /// Whether it begins.
    pub begins: bool,
}

/// What this tick's frame was made of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Heard {
    /// Nothing that was sent: concealment, or silence for want of packets.
    #[default]
    Nothing,
    /// What was sent is digital silence; see [`is_digital_silence`].
    Silence,
    /// Anything else.
    Sound,
}

/// What one tick saw. Counts are from the start of the leg.
#[derive(Copy, Clone, Debug, Default)]
pub struct Seen {
    /// RTP packets that were valid and the caller's, of any payload type.
    pub packets_received: u64,
    /// RTCP compounds of the other side.
    pub reports_received: u64,
    /// This tick's frame.
    pub heard: Heard,
    /// Packets whose time to be played has come (`quality::Tracker::expected`).
    pub expected: u64,
    /// Of these missing (`quality::Tracker::missing`).
    pub missing: u64,
    /// Reports in a row in which nothing of ours arrived (`LegStats::unheard_reports`).
    pub unheard_reports: u32,
    /// The stream is not two-way now: either side holds the other.
    pub held: bool,
    /// The last packet was comfort noise, or said that the source now pauses (DTX).
    pub pauses: bool,
}

/// Watches one call's media.
#[derive(Clone, Debug)]
pub struct Watch {
    dead_after: Duration,
    /// When something last came, or might not have.
    packet_at: Instant,
    anything_at: Instant,
    packets: u64,
    reports: u64,
    /// Since when there was nothing but silence.
    silent_since: Option<Instant>,
    loss: Loss,
    /// Of [`TroubleKind::ALL`], what was said to have begun.
    said: [bool; 5],
}

impl Watch {
    /// A call without media for `dead_after` (usually 60 s) is dead.
    pub fn new(now: Instant, dead_after: Duration) -> Self {
        Watch {
            dead_after,
            packet_at: now,
            anything_at: now,
            packets: 0,
            reports: 0,
            silent_since: None,
            loss: Loss::new(now),
            said: [false; 5],
        }
    }

    /// Every tick. One trouble at a time: what begins together is said in consecutive ticks.
    pub fn tick(&mut self, now: Instant, seen: &Seen) -> Option<Trouble> {
        let is_now = self.judge(now, seen);
        let changed = (0..is_now.len()).find(|i| is_now[*i] != self.said[*i])?;
        self.said[changed] = is_now[changed];
        Some(Trouble { kind: TroubleKind::ALL[changed], begins: is_now[changed] })
    }

    /// Whether this trouble was said to have begun and not to be over.
    pub fn is_in(&self, kind: TroubleKind) -> bool {
        self.said[kind as usize]
    }

    fn judge(&mut self, now: Instant, seen: &Seen) -> [bool; 5] {
        let packet = seen.packets_received != self.packets;
        let report = seen.reports_received != self.reports;
        (self.packets, self.reports) = (seen.packets_received, seen.reports_received);
        if packet || seen.held || seen.pauses {
            self.packet_at = now;
        }
        // Whoever pauses and never reported cannot be told from whoever is gone.
        if packet || report || seen.held || (seen.pauses && seen.reports_received == 0) {
            self.anything_at = now;
        }
        match seen.heard {
            _ if seen.held || seen.pauses => self.silent_since = None,
            Heard::Sound => self.silent_since = None,
            Heard::Silence => self.silent_since = self.silent_since.or(Some(now)),
            Heard::Nothing => {}
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let no_audio_in = since(self.packet_at) >= NOTHING;
        if no_audio_in {
            self.silent_since = None;
        }
        [
            no_audio_in,
            self.silent_since.is_some_and(|at| since(at) >= SILENT),
            !seen.held && seen.unheard_reports >= UNHEARD_REPORTS,
            self.loss.is_heavy(now, seen),
            since(self.anything_at) >= self.dead_after,
        ]
    }
}

/// Missing and expected packets of the last seconds.
#[derive(Clone, Debug)]
struct Loss {
    seconds: [(u64, u64); LOSS_SECONDS],
    second: usize,
    turn: Instant,
    missing: u64,
    expected: u64,
    heavy: bool,
}

impl Loss {
    fn new(now: Instant) -> Self {
        Loss { seconds: [(0, 0); LOSS_SECONDS], second: 0, turn: now, missing: 0, expected: 0, heavy: false }
    }

    fn is_heavy(&mut self, now: Instant, seen: &Seen) -> bool {
        let elapsed = now.saturating_duration_since(self.turn).as_secs();
        for _ in 0..elapsed.min(LOSS_SECONDS as u64) {
            self.second = (self.second + 1) % LOSS_SECONDS;
            self.seconds[self.second] = (0, 0);
        }
        self.turn += Duration::from_secs(elapsed);
        let bucket = &mut self.seconds[self.second];
        bucket.0 += seen.missing.saturating_sub(self.missing);
        bucket.1 += seen.expected.saturating_sub(self.expected);
        (self.missing, self.expected) = (seen.missing, seen.expected);
        let (missing, expected) = self.seconds.iter().fold((0, 0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
        let limit = if self.heavy { LOSS_OVER_PERCENT } else { LOSS_PERCENT };
        // Too few to judge: what was said stays.
        if expected >= LOSS_PACKETS_MIN || expected == 0 {
            self.heavy = missing * 100 > expected * limit;
        }
        self.heavy
    }
}

/// Whether samples are what codecs make of digital silence, rather than a quiet room.
pub fn is_digital_silence(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.unsigned_abs() <= SILENCE_PEAK)
}

#[cfg(test)]
mod tests;
