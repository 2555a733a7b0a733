//! The adaptive jitter buffer: packets in as the network brings them, their payloads out in time with the
//! 20 ms tick, and a plan for the delay. It holds 400 ms at most, decodes nothing, stretches nothing and
//! never waits: when a packet is missing it says so, and when the delay should change it says by how much.
//!
//! All times inside are samples at 16 kHz, whatever the clocks of the payload types. *Transit* is a packet's
//! arrival less its time, its *delay* how much longer its transit is than the shortest of late. *Slack* is
//! how much later than the fastest a packet may come and still be played: the buffer's delay less what is
//! spent on not being in step, since a tick that takes the ends of two packets waits for the second. The
//! slack is kept at the target or less than one step above it.
use std::time::Instant;

mod clock;
mod delay;
mod store;
#[cfg(test)]
mod tests;

use crate::FRAME_SAMPLES;
use clock::Clocks;
use delay::Delays;
use store::Store;

/// Packets that may wait; when full, by count, time or bytes, the oldest is dropped.
pub const JITTER_PACKETS: usize = store::PACKETS;
/// Time that may wait, in milliseconds.
pub const JITTER_MS: u32 = 400;
/// Bytes of payload a packet may have.
pub const PAYLOAD_MAX: usize = 1_460;

/// Samples in a millisecond.
const MS: i64 = 16;
/// Samples in a tick.
const FRAME: i64 = FRAME_SAMPLES as i64;
/// After this much emptiness the source is taken to be silent, and its next packet begins a new spurt.
const IDLE: i64 = 120 * MS;
/// A marker after this much emptiness is believed: what was concealed is hardly heard by then.
const SPURT: i64 = 60 * MS;
/// A source that paused goes on with its old clock if its transit is this close to the one before.
const SAME_CLOCK: i64 = 60 * MS;
/// Transit that falls by more than this is no luck of the network but a jump of the timestamps...
const JUMP_AHEAD: i64 = 200 * MS;
/// ... and so is one that rises by more than this.
const JUMP_BACK: i64 = 1_000 * MS;
/// This many late packets in a row mean that we are wrong about the time line, not they.
const LATE_RUN_MAX: u32 = 5;
/// The longest packet, in samples: 120 ms of Opus (RFC 6716, 2.1.4).
const LEN_MAX: i64 = 120 * MS;
/// The delay is shortened when the slack is this far above what is wanted after it.
const MARGIN: i64 = 5 * MS;
/// Ticks in a row for which the delay must be wrong before it is corrected in quiet, where nobody hears it ...
const QUIET_TICKS: u32 = 5;
/// ... and in speech.
const SOON_TICKS: u32 = 10;
/// A delay that is too long by no more than this costs less than a correction within a word or between two:
/// it waits for a pause, quiet for this many ticks.
const BEARABLE: i64 = 40 * MS;
const PAUSE_TICKS: u32 = 10;
/// From one step of the correction to the next, or twice as long after each that failed.
const AGAIN_TICKS: u32 = 2;
const WAIT_TICKS_MAX: u32 = 128;
/// When it is this much too long, there is no time to lose.
const HURRY: i64 = 60 * MS;

/// How the buffer behaves.
#[derive(Copy, Clone, Debug)]
pub struct JitterConfig {
    /// The delay never aims below this.
    pub delay_min_ms: u32,
    /// What it aims at before it has seen enough.
    pub delay_start_ms: u32,
    /// The delay never aims above this.
    pub delay_max_ms: u32,
}

impl Default for JitterConfig {
    /// Half a packet at least, two at the start, twelve at most.
    fn default() -> Self {
        JitterConfig { delay_min_ms: 10, delay_start_ms: 40, delay_max_ms: 240 }
    }
}

/// A packet on its way into the buffer.
#[derive(Copy, Clone, Debug, Default)]
pub struct Arrival<'a> {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp of its first sample.
    pub timestamp: u32,
    /// Units of this payload type's RTP clock a second.
    pub clock_rate: u32,
    /// How long it lasts, in units of the RTP clock.
    pub duration: u32,
    /// The source says that a talk spurt begins here.
    pub marker: bool,
    /// It decodes only as a whole (Opus); else any part of its bytes stands for that part of its time.
    pub whole: bool,
    /// The source says that it pauses after this: comfort noise, or the last frame before a DTX gap.
    pub pause: bool,
    /// Payload type, handed back with the payload.
    pub payload_type: u8,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// It waits for its time.
    Queued,
    /// It waits, and the oldest was dropped for it.
    Overflow,
    /// Its time stamps jumped: everything before it was dropped.
    Jumped,
    /// It was there already.
    Duplicate,
    /// Its time is over.
    Late,
    /// Empty or too long.
    Unusable,
}

/// The next piece of the time line.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Audio: of what the bytes decode to, `samples` after the first `skip`. More than was wanted only if
    /// they decode as a whole.
    Payload { payload_type: u8, bytes: &'a [u8], skip: u32, samples: u32 },
    /// A packet is missing. `next` is there if it came right before one that decodes as a whole and may hold
    /// a copy of it: the payload type and the bytes of that one, and its length in samples. More samples
    /// than wanted only then.
    Lost { samples: u32, next: Option<(u8, &'a [u8], u32)> },
    /// The source says nothing.
    Silence { samples: u32 },
}

/// What should happen to the delay in this tick, in samples (an even number, as all lengths are); a part of
/// it is welcome too.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing: take 20 ms, play 20 ms.
    Play,
    /// Take up to `by` more than is played: at least 40 ms wait without a gap.
    Shorten { by: u32, haste: Haste },
    /// Take up to `by` less than is played.
    Lengthen { by: u32 },
}

/// What shortening the delay may cost.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Haste {
    /// Nothing: only if what is left out is quiet, too.
    Pause,
    /// Speech may be joined where that is hardly heard.
    Soon,
    /// The delay is far too long.
    Now,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Nothing to play; the next packet begins a spurt.
    Idle,
    /// Waiting until the first packet is old enough.
    Filling,
    Playing,
}

/// The buffer of one source.
pub struct JitterBuffer {
    epoch: Instant,
    store: Store,
    clocks: Clocks,
    state: State,
    /// The next sample to hand out; `None` before anything was played.
    play: Option<i64>,
    delays: Delays,
    /// A packet's place and length: where packets join.
    grid: (i64, i64),
    /// Emptiness played since the last payload.
    empty: i64,
    /// Samples that never came in time, as far as later packets have told.
    missing: u64,
    /// What was played last announced a pause.
    paused: bool,
    late_run: u32,
    /// Ticks for which the delay was too long, or too short, without a break.
    wrong_ticks: u32,
    /// Of these, the last for which it was quiet.
    quiet_ticks: u32,
    /// For how many it may be before something is tried again, and how far out of step we were at the last try.
    wait_ticks: u32,
    tried: Option<i64>,
    /// When the last tick was, and the delay then.
    now: i64,
    ticked_delay: i64,
}

impl JitterBuffer {
    /// An empty buffer. Everything is allocated here.
    pub fn new(now: Instant, config: JitterConfig) -> Self {
        JitterBuffer {
            epoch: now,
            store: Store::new(),
            clocks: Clocks::default(),
            state: State::Idle,
            play: None,
            delays: Delays::new(config),
            grid: (0, FRAME),
            empty: 0,
            missing: 0,
            paused: false,
            late_run: 0,
            wrong_ticks: 0,
            quiet_ticks: 0,
            wait_ticks: 0,
            tried: None,
            now: 0,
            ticked_delay: 0,
        }
    }

    /// Drops everything and forgets the time line: another source speaks now. What was learned about the
    /// network's jitter stays.
    pub fn reset(&mut self) {
        self.store.clear();
        self.clocks = Clocks::default();
        self.state = State::Idle;
        self.play = None;
        self.delays.rebase();
        self.empty = 0;
        self.paused = false;
        self.late_run = 0;
        self.wrong_ticks = 0;
    }

    /// Takes a packet that came at `now`.
    pub fn insert(&mut self, now: Instant, packet: Arrival<'_>) -> Inserted {
        let len = clock::samples(i64::from(packet.duration), packet.clock_rate);
        if packet.payload.is_empty() || packet.payload.len() > PAYLOAD_MAX || !(1..=LEN_MAX).contains(&len) {
            return Inserted::Unusable;
        }
        let arrival = self.samples_at(now);
        if packet.marker && self.store.len() == 0 && self.empty >= SPURT {
            self.state = State::Idle;
        }
        let mut at = self.clocks.place(&packet, len);
        let jumped = self.is_jump(at, arrival);
        if jumped {
            self.reset();
            at = self.clocks.place(&packet, len);
        } else if self.state == State::Idle && self.delays.base().is_none_or(|b| (arrival - at - b).abs() > SAME_CLOCK)
        {
            // A source may stop its timestamps together with its voice, so a spurt may have its own clock.
            self.delays.rebase();
        }
        self.delays.observe(arrival, at, len);
        if self.play.is_some_and(|play| at + len <= play) {
            self.late_run += 1;
            if self.late_run < LATE_RUN_MAX {
                return Inserted::Late;
            }
            self.reset();
            at = self.clocks.place(&packet, len);
            self.delays.observe(arrival, at, len);
        }
        self.late_run = 0;
        self.grid = (at, len);
        match (jumped, self.queue(at, len as u32, &packet)) {
            (_, None) => Inserted::Duplicate,
            (true, _) => Inserted::Jumped,
            (_, Some(true)) => Inserted::Overflow,
            _ => Inserted::Queued,
        }
    }

    /// Begins a tick; call before the tick's `pull`s. `held`: samples that were pulled and not yet played;
    /// `quiet`: whether the last frame was, asked only while the delay is wrong.
    pub fn tick(&mut self, now: Instant, held: usize, quiet: impl FnOnce() -> bool) -> Plan {
        self.now = self.samples_at(now);
        let target = self.delays.target();
        if let (State::Filling, Some(head)) = (self.state, self.head_at())
            && self.slack_of(head).0 >= target
        {
            self.state = State::Playing;
            self.play = Some(self.play.map_or(head, |play| play.max(head)));
            self.empty = 0;
            self.wrong_ticks = 0;
        }
        let (State::Playing, Some(play)) = (self.state, self.play) else {
            self.ticked_delay = 0;
            return Plan::Play;
        };
        let next = play - held as i64;
        self.ticked_delay = self.delay_of(next);
        let ready = held as i64 + self.store.contiguous(play);
        let plan = self.plan(next, target, ready);
        if plan == Plan::Play {
            self.wrong_ticks = 0;
            self.quiet_ticks = 0;
            self.wait_ticks = self.wait_ticks.saturating_sub(1);
            return plan;
        }
        self.wrong_ticks += 1;
        let quiet = quiet();
        self.quiet_ticks = if quiet { self.quiet_ticks + 1 } else { 0 };
        let (_, offset, _) = self.slack_of(next);
        let patience = match plan {
            Plan::Shorten { haste: Haste::Now, .. } => 0,
            Plan::Shorten { haste: Haste::Pause, .. } if self.quiet_ticks < PAUSE_TICKS => return Plan::Play,
            _ if quiet => QUIET_TICKS,
            // In the middle of a correction, which brings nothing before it is done.
            _ if self.tried.is_some() && offset > 0 => self.wait_ticks,
            _ => SOON_TICKS.max(self.wait_ticks),
        };
        if self.wrong_ticks < patience {
            return Plan::Play;
        }
        // Done a part of it: on with the rest soon. Not a sample of it: there is nothing to join at here, and
        // looking again costs more than the delay does.
        let failed = self.tried.replace(offset) == Some(offset);
        self.wait_ticks = if failed { (self.wait_ticks * 2).clamp(AGAIN_TICKS, WAIT_TICKS_MAX) } else { AGAIN_TICKS };
        self.wrong_ticks = 0;
        plan
    }

    /// The next piece of the time line, `want` long or shorter; call until the tick is full.
    pub fn pull(&mut self, want: u32) -> Piece<'_> {
        let (State::Playing, Some(mut play)) = (self.state, self.play) else {
            return Piece::Silence { samples: want };
        };
        while self.store.first().is_some_and(|head| head.end() <= play) {
            self.store.drop_first();
        }
        let Some(head) = self.store.first().copied() else {
            if self.paused {
                self.state = State::Idle;
                return Piece::Silence { samples: want };
            }
            // Late or lost? The time line stands still until the next packet tells.
            self.empty += i64::from(want);
            if self.empty >= IDLE {
                self.state = State::Idle;
            }
            return Piece::Lost { samples: want, next: None };
        };
        // Lost, then: what was played meanwhile stood for it.
        let stood_for = self.empty.min((head.at - play).max(0));
        play += stood_for;
        self.empty = 0;
        self.missing += if self.paused { 0 } else { stood_for as u64 };
        let gap = head.at - play;
        if gap > 0 {
            let len = i64::from(head.len);
            let copy = head.whole && gap <= len && !self.paused;
            let samples = match (copy, head.whole) {
                (true, _) => gap,
                // Up to where the copy begins.
                (false, true) if !self.paused => (gap - len).min(i64::from(want)),
                _ => gap.min(i64::from(want)),
            };
            self.play = Some(play + samples);
            let samples = samples as u32;
            if self.paused {
                return Piece::Silence { samples };
            }
            // What the next packet has a copy of is missing only if that is of no use.
            self.missing += if copy { 0 } else { u64::from(samples) };
            let next = copy.then(|| (head.payload_type, self.store.payload(&head), head.len));
            return Piece::Lost { samples, next };
        }
        let skip = (-gap) as u32;
        let left = head.len.saturating_sub(skip);
        let samples = if head.whole { left } else { left.min(want) };
        self.play = Some(play + i64::from(samples));
        self.paused = head.pause;
        let bytes = self.store.payload(&head);
        let payload_type = head.payload_type;
        if head.whole {
            return Piece::Payload { payload_type, bytes, skip, samples };
        }
        let bytes = part(bytes, skip, samples, head.len);
        Piece::Payload { payload_type, bytes, skip: 0, samples }
    }

    /// Samples that never came in time, since the start. What is made up while nothing waits is counted only once a
    /// later packet tells that it was lost, and not merely late.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether the source is silent, or its packets are not old enough yet.
    pub fn is_silent(&self) -> bool {
        self.state != State::Playing
    }

    /// How far playing is behind the fastest packet of late, at the last tick, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        u32::try_from(self.ticked_delay / MS).unwrap_or(0)
    }

    /// What the delay aims at, in milliseconds.
    pub fn target_ms(&self) -> u32 {
        (self.delays.target() / MS) as u32
    }

    /// Packets waiting now.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// How wrong the delay is, if the next sample to be played is `next` and `ready` wait from there on.
    fn plan(&self, next: i64, target: i64, ready: i64) -> Plan {
        let (slack, offset, step) = self.slack_of(next);
        let excess = slack - target;
        if excess < 0 && ready >= FRAME {
            // So many steps that it is enough, and in step with the packets again.
            let steps = (-excess + step - 1) / step;
            return Plan::Lengthen { by: (steps * step - offset).max(0) as u32 };
        }
        let steps = ((excess - MARGIN) / step).max(0);
        // Being out of step costs delay and brings no slack: it is left first.
        let by = offset + steps * step;
        if excess >= 0 && by > 0 && ready >= 2 * FRAME {
            let haste = match excess {
                excess if excess > HURRY + step => Haste::Now,
                excess if excess > BEARABLE => Haste::Soon,
                _ => Haste::Pause,
            };
            return Plan::Shorten { by: by as u32, haste };
        }
        Plan::Play
    }

    fn samples_at(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        (elapsed.as_secs() as i64).saturating_mul(1_000 * MS) + i64::from(elapsed.subsec_micros()) * MS / 1_000
    }

    fn is_jump(&self, at: i64, arrival: i64) -> bool {
        if self.state == State::Idle {
            return self.play.is_some_and(|play| at < play - JUMP_BACK);
        }
        let late_by = self.delays.base().map_or(0, |base| arrival - at - base);
        !(-JUMP_AHEAD..=JUMP_BACK).contains(&late_by)
    }

    /// How far behind the shortest transit this time is now.
    fn delay_of(&self, at: i64) -> i64 {
        self.delays.base().map_or(0, |base| self.now - base - at)
    }

    /// The slack if `next` is played now, how far that is out of step with the packets, and the step: the
    /// same again every so many samples.
    fn slack_of(&self, next: i64) -> (i64, i64, i64) {
        let (at, len) = self.grid;
        let step = common(len, FRAME);
        let offset = (at - next).rem_euclid(step);
        (self.delay_of(next) - (FRAME - step) - offset, offset, step)
    }

    fn head_at(&self) -> Option<i64> {
        self.store.first().map(|slot| slot.at)
    }

    /// Puts a packet where it belongs; `None` for a duplicate, else whether one had to go for it.
    fn queue(&mut self, at: i64, len: u32, packet: &Arrival<'_>) -> Option<bool> {
        let mut place = self.store.place(at)?;
        let mut overflow = false;
        while !self.store.has_room(packet.payload.len()) || self.store.waiting() + len > JITTER_MS * MS as u32 {
            if place == 0 {
                return Some(true); // itself the oldest
            }
            self.store.drop_first();
            place -= 1;
            overflow = true;
        }
        self.store.insert(place, at, len, packet);
        if overflow && let (Some(play), Some(head)) = (self.play, self.head_at()) {
            // Play on from the oldest that is left, rather than conceal what we had and dropped.
            self.play = Some(play.max(head));
        }
        if self.state == State::Idle {
            self.state = State::Filling;
        }
        Some(overflow)
    }
}

/// The bytes that stand for `samples` after the first `skip` of `len`: right for codecs with a fixed number
/// of bits a sample.
fn part(bytes: &[u8], skip: u32, samples: u32, len: u32) -> &[u8] {
    let byte = |samples: u32| (bytes.len() as u64 * u64::from(samples) / u64::from(len.max(1))) as usize;
    let (from, to) = (byte(skip).min(bytes.len()), byte(skip + samples).min(bytes.len()));
    bytes.get(from.min(to)..to).unwrap_or_default()
}

/// The greatest common divisor, for what two lengths have in common; 1 at least.
fn common(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
