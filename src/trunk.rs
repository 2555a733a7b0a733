//! Trunks as they are doing: who answers, and how many calls may go. It sends nothing, reads no clock, knows no
//! number.
//!
//! The loop of a driver: `deadline` says when to call `handle_timeout`; after each call `poll` until `None`, send
//! an OPTIONS for each [`Probe`], and tell its outcome by `answered` or `unanswered`. Calls tell theirs too.

mod limits;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config;

pub use limits::{Outbound, Refused};

/// Unanswered in a row until a target counts as down.
const MISSES: u32 = 2;
/// After the first miss the second probe does not wait for its turn.
const SECOND_LOOK: Duration = Duration::from_secs(3);
/// A target that is down is looked at after this long, then after twice as long, ...
const REST: Duration = Duration::from_secs(5);
/// ... and at least this often.
const REST_MAX: Duration = Duration::from_secs(60);
/// First probes are spread over this long.
const SPREAD: Duration = Duration::from_secs(2);
/// A transaction ends within 32 s (RFC 3261 17.1.2.2, timer F); a probe nobody speaks of is unanswered.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// Ask this target whether it lives: the nth server in the `to` of the nth `[[trunk]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    pub trunk: usize,
    pub target: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody asked, or no answer yet: used as if it were up.
    Unknown,
    Up,
    Down,
}

impl State {
    /// A metric label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// For the API and metrics; neither addresses nor numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkStatus {
    pub name: String,
    /// In the order of `to`.
    pub targets: Vec<TargetStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    pub state: State,
    pub since: Instant,
    /// What it said last.
    pub status: Option<u16>,
}

/// The health of every trunk's targets.
pub struct Trunks {
    trunks: Vec<Trunk>,
    /// At most one per target.
    probes: VecDeque<Probe>,
    jitter: Jitter,
}

struct Trunk {
    name: String,
    every: Option<Duration>,
    targets: Vec<Target>,
}

struct Target {
    state: State,
    since: Instant,
    status: Option<u16>,
    misses: u32,
    rest: Duration,
    /// When to look again, or when to give up waiting for an answer.
    next: Option<Instant>,
    asked: bool,
}

impl Trunks {
    /// `seed` spreads the probes, so that gateways started together do not ask together.
    pub fn new(now: Instant, configs: &[config::Trunk], seed: u64) -> Self {
        let mut jitter = Jitter(seed);
        let mut trunks = Vec::with_capacity(configs.len());
        for config in configs {
            let every = (config.options_s > 0).then(|| Duration::from_secs(config.options_s.into()));
            let mut target = || Target {
                state: State::Unknown,
                since: now,
                status: None,
                misses: 0,
                rest: REST,
                next: every.map(|_| now + SPREAD.mul_f64(jitter.fraction())),
                asked: false,
            };
            let targets = config.to.iter().map(|_| target()).collect();
            trunks.push(Trunk { name: config.name.clone(), every, targets });
        }
        Self { trunks, probes: VecDeque::new(), jitter }
    }

    /// Call it at `deadline`; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut mute = Vec::new();
        for (n, trunk) in self.trunks.iter_mut().enumerate() {
            for (target, t) in trunk.targets.iter_mut().enumerate() {
                let probe = Probe { trunk: n, target };
                match t.next.filter(|next| *next <= now) {
                    None => {}
                    Some(_) if t.asked => mute.push(probe),
                    Some(_) if trunk.every.is_some() => {
                        t.asked = true;
                        t.next = Some(now + ANSWER_WITHIN);
                        self.probes.push_back(probe);
                    }
                    // Without probes only time tells: it may be tried again.
                    Some(_) => {
                        t.next = None;
                        t.turn(now, State::Unknown);
                    }
                }
            }
        }
        for probe in mute {
            self.unanswered(now, probe);
        }
    }

    /// The next target to ask.
    pub fn poll(&mut self) -> Option<Probe> {
        self.probes.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.trunks.iter().flat_map(|t| &t.targets).filter_map(|t| t.next).min()
    }

    /// A target answered a probe, or the INVITE of a call. Any answer is life, also 404 or 401; but 503 means
    /// that it takes nothing now (RFC 3261 21.5.4), and 408 that nobody answered, whoever says so.
    /// Returns its new state if that changed.
    pub fn answered(&mut self, now: Instant, probe: Probe, status: u16) -> Option<State> {
        if status == 408 {
            return self.unanswered(now, probe);
        }
        let jitter = &mut self.jitter;
        let (target, every) = target(&mut self.trunks, probe)?;
        let relevant = status != 503 || target.asked || target.state != State::Down;
        target.status = Some(status);
        if status == 503 {
            return relevant.then(|| target.down(now, every, jitter)).flatten();
        }
        target.asked = false;
        target.misses = 0;
        target.rest = REST;
        target.next = every.map(|every| now + jitter.around(every));
        target.turn(now, State::Up)
    }

    /// A probe or an INVITE got no answer, or could not be sent. Returns the target's new state if it changed.
    pub fn unanswered(&mut self, now: Instant, probe: Probe) -> Option<State> {
        let jitter = &mut self.jitter;
        let (target, every) = target(&mut self.trunks, probe)?;
        if target.state == State::Down && !target.asked {
            // Calls that were under way say what is known; only a probe makes the rest longer.
            return None;
        }
        target.misses += 1;
        if target.misses >= MISSES {
            return target.down(now, every, jitter);
        }
        target.asked = false;
        target.next = every.map(|_| now + jitter.around(SECOND_LOOK));
        None
    }

    /// The targets of a trunk in the order to try now: as configured, those that are down last. None is left
    /// out: where all are down, a try costs less than a refusal.
    pub fn targets(&self, trunk: usize) -> Vec<usize> {
        let targets = self.trunks.get(trunk).map_or(&[][..], |t| &t.targets);
        let mut order: Vec<usize> = (0..targets.len()).collect();
        order.sort_by_key(|n| targets.get(*n).is_some_and(|t| t.state == State::Down));
        order
    }

    pub fn status(&self) -> Vec<TrunkStatus> {
        let target = |t: &Target| TargetStatus { state: t.state, since: t.since, status: t.status };
        let trunk = |t: &Trunk| TrunkStatus { name: t.name.clone(), targets: t.targets.iter().map(target).collect() };
        self.trunks.iter().map(trunk).collect()
    }
}

fn target(trunks: &mut [Trunk], probe: Probe) -> Option<(&mut Target, Option<Duration>)> {
    let trunk = trunks.get_mut(probe.trunk)?;
    Some((trunk.targets.get_mut(probe.target)?, trunk.every))
}

impl Target {
    fn turn(&mut self, now: Instant, state: State) -> Option<State> {
        if self.state == state {
            return None;
        }
        (self.state, self.since) = (state, now);
        Some(state)
    }

    fn down(&mut self, now: Instant, every: Option<Duration>, jitter: &mut Jitter) -> Option<State> {
        let most = every.unwrap_or_default().max(REST_MAX);
        self.rest = if self.state == State::Down { (self.rest * 2).min(most) } else { REST };
        self.asked = false;
        self.misses = MISSES;
        self.next = Some(now + jitter.around(self.rest));
        self.turn(now, State::Down)
    }
}

/// SplitMix64: even enough to spread probes, and no more is asked of it.
struct Jitter(u64);

impl Jitter {
    /// 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A tenth more or less.
    fn around(&mut self, length: Duration) -> Duration {
        length.mul_f64(0.9 + 0.2 * self.fraction())
    }
}
