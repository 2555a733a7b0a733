//! The adaptive jitter buffer: packets in as the network brings them, their payloads out in time with the
//! 20 ms tick. It holds ten packets at most, decodes nothing and never waits: when a packet is missing it
//! says so and the caller conceals.
//!
//! All times inside are in units of the RTP clock. *Transit* is a packet's arrival less its timestamp,
//! its *delay* how much longer its transit is than the shortest of late. The buffer plays every sample at
//! a fixed distance behind the shortest transit; that distance is kept at or a little above the target.
use std::time::Instant;

mod delay;
#[cfg(test)]
mod tests;

use delay::Delays;

/// Packets that may wait. When full, the oldest is dropped.
pub const JITTER_PACKETS: usize = 10;
/// Bytes of payload a packet may have: 60 ms of G.711.
pub const PAYLOAD_MAX: usize = 480;

/// After this much emptiness the source is taken to be silent, and its next packet begins a new spurt.
const IDLE_MS: u32 = 120;
/// A marker after this much emptiness is believed: what was concealed is silent by then.
const SPURT_MS: u32 = 60;
/// Transit that falls by more than this is no luck of the network but a jump of the timestamps...
const JUMP_AHEAD_MS: u32 = 200;
/// ... and so is one that rises by more than this.
const JUMP_BACK_MS: u32 = 1_000;
/// This many late packets in a row mean that we are wrong about the time line, not they.
const LATE_RUN_MAX: u32 = 5;
/// A frame may be dropped after the buffer was too long for this many ticks in a row, in quiet ...
const EXCESS_TICKS_QUIET: u32 = 5;
/// ... and in speech.
const EXCESS_TICKS_SPEECH: u32 = 50;

/// How the buffer behaves.
#[derive(Copy, Clone, Debug)]
pub struct JitterConfig {
    /// Units of the RTP timestamp a second.
    pub clock_rate: u32,
    /// The delay never aims below this.
    pub delay_min_ms: u32,
    /// What it aims at before it has seen enough.
    pub delay_start_ms: u32,
    /// The delay never aims above this (nor above eight packets).
    pub delay_max_ms: u32,
}

impl Default for JitterConfig {
    /// For 8 kHz: one packet at least, two at the start, eight at most.
    fn default() -> Self {
        JitterConfig { clock_rate: 8_000, delay_min_ms: 20, delay_start_ms: 40, delay_max_ms: 160 }
    }
}

/// A packet on its way into the buffer.
#[derive(Copy, Clone, Debug)]
pub struct Arrival<'a> {
    /// RTP timestamp of its first sample.
    pub timestamp: u32,
    /// How long it lasts, in units of the RTP clock.
    pub duration: u32,
    /// The source says that a talk spurt begins here.
    pub marker: bool,
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

/// The next stretch of the time line.
#[derive(Debug, PartialEq, Eq)]
pub enum Stretch<'a> {
    /// Audio: what of a payload belongs here.
    Payload { payload_type: u8, bytes: &'a [u8], duration: u32 },
    /// A packet is missing.
    Lost { duration: u32 },
    /// The source says nothing.
    Silence { duration: u32 },
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
    clock_rate: u32,
    epoch: Instant,
    slots: Box<[Slot; JITTER_PACKETS]>,
    /// Occupied slots by time, the first `len`; behind them the free ones.
    order: [u8; JITTER_PACKETS],
    len: usize,
    state: State,
    /// The next sample to play, on the extended time line; `None` before anything was played.
    play: Option<i64>,
    /// The last timestamp, extended to 64 bits; `None` before the first.
    last: Option<i64>,
    delays: Delays,
    /// Emptiness played since the last payload.
    empty: u32,
    late_run: u32,
    excess_ticks: u32,
    /// When the last tick was, and the delay then.
    now: i64,
    ticked_delay: i64,
}

struct Slot {
    at: i64,
    duration: u32,
    payload_type: u8,
    len: u16,
    bytes: [u8; PAYLOAD_MAX],
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(now: Instant, config: JitterConfig) -> Self {
        let empty = || Slot { at: 0, duration: 0, payload_type: 0, len: 0, bytes: [0; PAYLOAD_MAX] };
        JitterBuffer {
            clock_rate: config.clock_rate.max(1_000),
            epoch: now,
            slots: Box::new(std::array::from_fn(|_| empty())),
            order: std::array::from_fn(|i| i as u8),
            len: 0,
            state: State::Idle,
            play: None,
            last: None,
            delays: Delays::new(config),
            empty: 0,
            late_run: 0,
            excess_ticks: 0,
            now: 0,
            ticked_delay: 0,
        }
    }

    /// Drops everything and forgets the time line: another source speaks now. What was learned about the
    /// network's jitter stays.
    pub fn reset(&mut self) {
        self.len = 0;
        self.state = State::Idle;
        self.play = None;
        self.last = None;
        self.delays.rebase();
        self.empty = 0;
        self.late_run = 0;
        self.excess_ticks = 0;
    }

    /// Takes a packet that came at `now`.
    pub fn insert(&mut self, now: Instant, packet: Arrival<'_>) -> Inserted {
        if packet.payload.is_empty() || packet.payload.len() > PAYLOAD_MAX || packet.duration == 0 {
            return Inserted::Unusable;
        }
        let arrival = self.units_at(now);
        if packet.marker && self.len == 0 && self.empty >= self.clock_rate / 1000 * SPURT_MS {
            self.state = State::Idle;
        }
        let mut at = self.extend(packet.timestamp);
        let jumped = self.is_jump(at, arrival);
        if jumped {
            self.reset();
            at = i64::from(packet.timestamp);
        } else if self.state == State::Idle {
            // A source may stop its timestamps together with its voice, so every spurt has its own clock.
            self.delays.rebase();
        }
        self.last = Some(at);
        self.delays.observe(arrival, at, packet.duration);
        if self.play.is_some_and(|play| at + i64::from(packet.duration) <= play) {
            self.late_run += 1;
            if self.late_run < LATE_RUN_MAX {
                return Inserted::Late;
            }
            self.reset();
            self.last = Some(at);
            self.delays.observe(arrival, at, packet.duration);
        }
        self.late_run = 0;
        let overflow = match self.queue(at, &packet) {
            Some(overflow) => overflow,
            None => return Inserted::Duplicate,
        };
        match (jumped, overflow) {
            (true, _) => Inserted::Jumped,
            (_, true) => Inserted::Overflow,
            _ => Inserted::Queued,
        }
    }

    /// Begins a tick. Call before the tick's `pull`s.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.units_at(now);
        let target = i64::from(self.delays.target());
        match (self.state, self.head_at()) {
            (State::Filling, Some(head)) if self.delay_of(head) >= target => {
                self.state = State::Playing;
                self.play = Some(self.play.map_or(head, |play| play.max(head)));
                self.empty = 0;
                self.excess_ticks = 0;
            }
            (State::Playing, Some(_)) if self.delay() >= target + i64::from(self.frame()) => self.excess_ticks += 1,
            _ => self.excess_ticks = 0,
        }
        self.ticked_delay = if self.state == State::Playing { self.delay() } else { 0 };
    }

    /// The next stretch of the time line, at most `want` long; call until the tick is full.
    pub fn pull(&mut self, want: u32) -> Stretch<'_> {
        let (State::Playing, Some(mut play)) = (self.state, self.play) else {
            return Stretch::Silence { duration: want };
        };
        while self.head().is_some_and(|head| head.end() <= play) {
            self.drop_first();
        }
        let Some(head) = self.head_at() else {
            // Late or lost? The time line stands still until the next packet tells.
            self.empty = self.empty.saturating_add(want);
            if self.empty >= self.clock_rate / 1000 * IDLE_MS {
                self.state = State::Idle;
            }
            return Stretch::Lost { duration: want };
        };
        // Lost, then: what was played meanwhile stood for it.
        play += i64::from(self.empty).min((head - play).max(0));
        self.empty = 0;
        let gap = u32::try_from(head - play).unwrap_or(0);
        if gap > 0 {
            let duration = gap.min(want);
            self.play = Some(play + i64::from(duration));
            return Stretch::Lost { duration };
        }
        let slot = &self.slots[usize::from(self.order[0])];
        let offset = (play - slot.at).clamp(0, i64::from(slot.duration)) as u32;
        let duration = (slot.duration - offset).min(want);
        self.play = Some(play + i64::from(duration));
        Stretch::Payload { payload_type: slot.payload_type, bytes: slot.part(offset, duration), duration }
    }

    /// Whether the delay is too short and this is the time to lengthen it: `quiet` says that the last frame
    /// was quiet. If so, play it again (or silence) and pull nothing in this tick.
    pub fn hold_due(&self, quiet: bool) -> bool {
        let short_by = i64::from(self.delays.target()) - self.delay();
        quiet && self.state == State::Playing && short_by >= i64::from(self.frame() / 2)
    }

    /// Whether the delay has been too long for a while and this is the time to shorten it: `quiet` says that
    /// the frame just pulled is quiet. If so, drop it and pull the next in its place, in the same tick.
    pub fn skip_due(&mut self, quiet: bool) -> bool {
        let patience = if quiet { EXCESS_TICKS_QUIET } else { EXCESS_TICKS_SPEECH };
        let due = self.excess_ticks >= patience && self.waiting() >= self.frame();
        if due {
            self.excess_ticks = 0;
        }
        due
    }

    /// Whether the source is silent, or its packets are not old enough yet.
    pub fn is_silent(&self) -> bool {
        self.state != State::Playing
    }

    /// How far playing is behind the fastest packet of late, at the last tick, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        u32::try_from(self.ticked_delay * 1000 / i64::from(self.clock_rate)).unwrap_or(0)
    }

    /// What the delay aims at, in milliseconds.
    pub fn target_ms(&self) -> u32 {
        self.delays.target() * 1000 / self.clock_rate
    }

    /// Packets waiting now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Time since the start, in units of the RTP clock.
    pub fn units_at(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let rate = u64::from(self.clock_rate);
        let part = u64::from(elapsed.subsec_nanos()) * rate / 1_000_000_000;
        (elapsed.as_secs().saturating_mul(rate) + part) as i64
    }

    /// Units in a tick.
    fn frame(&self) -> u32 {
        self.clock_rate / 50
    }

    /// The timestamp on the 64 bit time line, next to the last one.
    fn extend(&self, timestamp: u32) -> i64 {
        match self.last {
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
            None => i64::from(timestamp),
        }
    }

    fn is_jump(&self, at: i64, arrival: i64) -> bool {
        let ms = |ms: u32| i64::from(self.clock_rate) * i64::from(ms) / 1000;
        if self.state == State::Idle {
            return self.play.is_some_and(|play| at < play - ms(JUMP_BACK_MS));
        }
        let late_by = self.delays.base().map_or(0, |base| arrival - at - base);
        late_by < -ms(JUMP_AHEAD_MS) || late_by > ms(JUMP_BACK_MS)
    }

    /// How far behind the shortest transit this time is now.
    fn delay_of(&self, at: i64) -> i64 {
        self.delays.base().map_or(0, |base| self.now - base - at)
    }

    fn delay(&self) -> i64 {
        self.play.map_or(0, |play| self.delay_of(play))
    }

    /// Units that wait behind the next sample to play.
    fn waiting(&self) -> u32 {
        let waiting = self.order[..self.len].iter().map(|i| {
            let slot = &self.slots[usize::from(*i)];
            let played = self.play.map_or(0, |play| (play - slot.at).clamp(0, i64::from(slot.duration)));
            slot.duration - played as u32
        });
        waiting.sum()
    }

    fn head(&self) -> Option<&Slot> {
        (self.len > 0).then(|| &self.slots[usize::from(self.order[0])])
    }

    fn head_at(&self) -> Option<i64> {
        self.head().map(|slot| slot.at)
    }

    fn drop_first(&mut self) {
        self.order[..self.len].rotate_left(1);
        self.len -= 1;
    }

    /// Puts a packet where it belongs; `None` for a duplicate, else whether one had to go for it.
    fn queue(&mut self, at: i64, packet: &Arrival<'_>) -> Option<bool> {
        let waiting = &self.order[..self.len];
        let earlier = waiting.iter().rposition(|i| self.slots[usize::from(*i)].at <= at);
        if earlier.is_some_and(|i| self.slots[usize::from(waiting[i])].at == at) {
            return None;
        }
        let mut place = earlier.map_or(0, |i| i + 1);
        let overflow = self.len == JITTER_PACKETS;
        if overflow {
            if place == 0 {
                return Some(true); // itself the oldest
            }
            self.drop_first();
            place -= 1;
        }
        let free = self.order[self.len];
        self.slots[usize::from(free)].fill(at, packet);
        self.order.copy_within(place..self.len, place + 1);
        self.order[place] = free;
        self.len += 1;
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

impl Slot {
    fn end(&self) -> i64 {
        self.at + i64::from(self.duration)
    }

    fn fill(&mut self, at: i64, packet: &Arrival<'_>) {
        self.at = at;
        self.duration = packet.duration;
        self.payload_type = packet.payload_type;
        let len = packet.payload.len().min(PAYLOAD_MAX);
        self.len = len as u16;
        self.bytes[..len].copy_from_slice(&packet.payload[..len]);
    }

    /// The bytes that stand for a part of its duration: right for codecs with a fixed number of bits a
    /// sample.
    fn part(&self, offset: u32, duration: u32) -> &[u8] {
        let len = usize::from(self.len);
        let byte = |units: u32| (len as u64 * u64::from(units) / u64::from(self.duration.max(1))) as usize;
        let (from, to) = (byte(offset).min(len), byte(offset.saturating_add(duration)).min(len));
        &self.bytes[from.min(to)..to]
    }
}
