//! What the agent says, on its way out: a bounded queue of marked frames with ducking, a click-free stop
//! and an exact record of what was played. It never speaks to a network and never makes up audio.
use std::collections::VecDeque;

use crate::{FRAME_MS, FRAME_SAMPLES, Frame, FramePool};

/// Frames that may wait. When full, the synthesizer waits.
pub const PLAYOUT_FRAMES: usize = 10;
/// Marks that are remembered after they ended; the oldest is forgotten.
pub const PLAYED_MARKS: usize = 32;
/// Gain while ducked: -18 dB.
pub const DUCK_GAIN: f32 = 0.125_892_54;

/// A ramp between full and ducked gain takes 20 ms.
const RAMP_PER_SAMPLE: f32 = (1.0 - DUCK_GAIN) / FRAME_SAMPLES as f32;
/// A stop fades out over 8 ms: short enough to be silent at once, long enough not to click.
const FADE_SAMPLES: usize = 128;

/// The queue holds [`PLAYOUT_FRAMES`] frames: wait for a tick, then push again. Gives the frame back.
#[derive(Debug, thiserror::Error)]
#[error("the playout queue is full: push again after a tick")]
pub struct Full(pub Frame);

/// How much of a mark the other side was sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Played<M> {
    /// The mark given to [`Playout::push`].
    pub mark: M,
    /// Samples at 16 kHz sent out, the faded ones included.
    pub samples: u64,
    /// Frames sent out, whole or in part.
    pub frames: u32,
    /// Every frame up to [`Playout::end`] was sent.
    pub complete: bool,
    /// It was stopped before its end.
    pub cut: bool,
}

impl<M> Played<M> {
    /// Milliseconds sent out.
    pub fn ms(&self) -> u64 {
        self.samples * u64::from(FRAME_MS) / FRAME_SAMPLES as u64
    }
}

/// The agent's mouth on one leg. `M` marks what a frame belongs to (a clause).
pub struct Playout<M> {
    queue: VecDeque<Entry<M>>,
    played: VecDeque<Played<M>>,
    gain: f32,
    ducked: bool,
    stopping: bool,
    /// The last tick carried a frame.
    playing: bool,
    /// The last frame was not its mark's last: more should come.
    unfinished: bool,
    underruns: u64,
}

struct Entry<M> {
    mark: M,
    frame: Frame,
    last: bool,
}

impl<M: Copy + Eq> Default for Playout<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Copy + Eq> Playout<M> {
    /// An empty queue at full gain.
    pub fn new() -> Self {
        Playout {
            queue: VecDeque::with_capacity(PLAYOUT_FRAMES),
            played: VecDeque::with_capacity(PLAYED_MARKS),
            gain: 1.0,
            ducked: false,
            stopping: false,
            playing: false,
            unfinished: false,
            underruns: 0,
        }
    }

    /// Queues a frame under a mark. Frames of one mark come one after the other.
    pub fn push(&mut self, mark: M, frame: Frame) -> Result<(), Full> {
        if self.queue.len() >= PLAYOUT_FRAMES || self.stopping {
            return Err(Full(frame));
        }
        self.queue.push_back(Entry { mark, frame, last: false });
        Ok(())
    }

    /// Says that no more frames of `mark` will come: once the queued ones are played it is complete.
    /// Changes nothing for a mark that was cut.
    pub fn end(&mut self, mark: M) {
        if let Some(entry) = self.queue.iter_mut().rev().find(|e| e.mark == mark) {
            entry.last = true;
            return;
        }
        // A mark of which nothing was ever queued, an empty clause, is complete at once.
        let played = self.record(mark, 0);
        played.complete = !played.cut;
        self.unfinished = false;
    }

    /// How many frames may be pushed now; 0 while a stop fades out.
    pub fn space(&self) -> usize {
        if self.stopping { 0 } else { PLAYOUT_FRAMES - self.queue.len() }
    }

    /// Whether nothing is left to play.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the gain is, or is going, down.
    pub fn is_ducked(&self) -> bool {
        self.ducked
    }

    /// Lowers the agent's voice by 18 dB (true) or brings it back (false), over 20 ms.
    pub fn duck(&mut self, on: bool) {
        self.ducked = on;
    }

    /// Stops without a click: the next tick carries an 8 ms fade-out, everything behind it is dropped.
    /// Also ends ducking. Push again after that tick.
    pub fn stop(&mut self) {
        self.cut_all();
        // Nothing to fade if nothing is sounding.
        self.queue.truncate(usize::from(self.playing));
        self.stopping = !self.queue.is_empty();
        self.ducked = false;
    }

    /// Drops everything at once, without a fade: for a call that is over.
    pub fn clear(&mut self) {
        self.cut_all();
        self.queue.clear();
        self.stopping = false;
        self.ducked = false;
    }

    /// The frame to send in this 20 ms, or `None` for silence. At full gain it is the synthesizer's own
    /// frame; a ducked or fading one is a copy from `pool` (if the pool is exhausted: unducked, or cut).
    pub fn tick(&mut self, pool: &mut FramePool) -> Option<Frame> {
        let Some(entry) = self.queue.pop_front() else {
            self.underruns += u64::from(self.unfinished);
            self.playing = false;
            // In silence a gain change is inaudible, so it is instant.
            self.gain = self.target_gain();
            return None;
        };
        if std::mem::take(&mut self.stopping) {
            self.playing = false;
            return self.fade_out(&entry, pool);
        }
        self.playing = true;
        self.unfinished = !entry.last;
        self.record(entry.mark, FRAME_SAMPLES).complete = entry.last;
        let target = self.target_gain();
        if self.gain == 1.0 && target == 1.0 {
            return Some(entry.frame);
        }
        let start = std::mem::replace(&mut self.gain, target);
        let step = if target < start { -RAMP_PER_SAMPLE } else { RAMP_PER_SAMPLE };
        let (low, high) = (start.min(target), start.max(target));
        let gain = |i: usize| (start + step * i as f32).clamp(low, high);
        Some(scaled(&entry.frame, pool, gain).unwrap_or(entry.frame))
    }

    /// What was played of a mark; `None` if nothing was, or it is long forgotten.
    pub fn played(&self, mark: M) -> Option<Played<M>> {
        self.played.iter().rev().find(|p| p.mark == mark).copied()
    }

    /// What was played, the oldest mark first, up to [`PLAYED_MARKS`] of them.
    pub fn history(&self) -> impl Iterator<Item = &Played<M>> {
        self.played.iter()
    }

    /// Ticks that came while a mark was unfinished and no frame was there: the synthesizer was too slow.
    pub fn underruns(&self) -> u64 {
        self.underruns
    }

    fn target_gain(&self) -> f32 {
        if self.ducked { DUCK_GAIN } else { 1.0 }
    }

    fn fade_out(&mut self, entry: &Entry<M>, pool: &mut FramePool) -> Option<Frame> {
        let start = std::mem::replace(&mut self.gain, 1.0);
        let gain = |i: usize| start * (1.0 - i as f32 / FADE_SAMPLES as f32).max(0.0);
        let faded = scaled(&entry.frame, pool, gain)?;
        self.record(entry.mark, FADE_SAMPLES);
        Some(faded)
    }

    fn cut_all(&mut self) {
        if self.unfinished
            && let Some(played) = self.played.back_mut()
        {
            played.cut = true;
        }
        self.unfinished = false;
        for i in 0..self.queue.len() {
            let mark = self.queue[i].mark;
            self.record(mark, 0).cut = true;
        }
    }

    /// Adds to a mark's record, made if need be; the oldest goes when there are too many.
    fn record(&mut self, mark: M, samples: usize) -> &mut Played<M> {
        let known = self.played.iter().rposition(|p| p.mark == mark);
        let at = known.unwrap_or_else(|| {
            if self.played.len() >= PLAYED_MARKS {
                self.played.pop_front();
            }
            self.played.push_back(Played { mark, samples: 0, frames: 0, complete: false, cut: false });
            self.played.len() - 1
        });
        let played = &mut self.played[at];
        played.samples += samples as u64;
        played.frames += u32::from(samples > 0);
        played
    }
}

fn scaled(frame: &Frame, pool: &mut FramePool, gain: impl Fn(usize) -> f32) -> Option<Frame> {
    let filled = pool.fill(frame.at(), |out| {
        for (i, (to, from)) in out.iter_mut().zip(frame.samples()).enumerate() {
            *to = (f32::from(*from) * gain(i)) as i16;
        }
        Ok::<(), ()>(())
    });
    filled.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaTime;

    /// Pushes, ticks and stops by script and says what went out. `a3`: push three frames of mark a; `a.`:
    /// a ends; `t2`: two ticks; `duck`, `loud`, `stop`, `clear`. Out: a full frame is its letter, a
    /// ducked one `(a)`, one on its way `/a`, a faded one `a\\`, silence `-`, a refused push `!`.
    fn check(script: &str, expected: &str) {
        let mut pool = FramePool::new(PLAYOUT_FRAMES + 3);
        let mut playout = Playout::new();
        let mut heard = String::new();
        for word in script.split_whitespace() {
            let (mark, rest) = (word.chars().next().unwrap(), &word[1..]);
            match word {
                "duck" => playout.duck(true),
                "loud" => playout.duck(false),
                "stop" => playout.stop(),
                "clear" => playout.clear(),
                _ if rest == "." => playout.end(mark),
                _ if mark == 't' => {
                    for _ in 0..rest.parse().unwrap() {
                        heard += &tick(&mut playout, &mut pool);
                    }
                }
                _ => {
                    for _ in 0..rest.parse().unwrap() {
                        let at = MediaTime::from_ms(u64::from(u32::from(mark)));
                        let frame = flat(&mut pool, at, 10_000);
                        if playout.push(mark, frame).is_err() {
                            heard.push('!');
                        }
                    }
                }
            }
        }
        for p in playout.history() {
            let end = if p.complete {
                "."
            } else if p.cut {
                "x"
            } else {
                ""
            };
            heard += &format!(" {}{}ms{end}", p.mark, p.ms());
        }
        assert_eq!(heard, expected, "{script}");
    }

    fn flat(pool: &mut FramePool, at: MediaTime, value: i16) -> Frame {
        let filled = pool.fill(at, |samples| {
            samples.fill(value);
            Ok::<(), ()>(())
        });
        filled.unwrap()
    }

    fn tick(playout: &mut Playout<char>, pool: &mut FramePool) -> String {
        let Some(frame) = playout.tick(pool) else { return "-".into() };
        let c = char::from_u32(frame.at().as_ms() as u32).unwrap();
        let s = frame.samples();
        let steps = s.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
        assert!(steps <= 100, "no click inside a frame, but {steps}");
        match (s[0], s[319]) {
            (10_000, 10_000) => c.to_string(),
            (1_258, 1_258) => format!("({c})"),
            (_, 0) => format!("{c}\\"),
            _ => format!("/{c}"),
        }
    }

    #[test]
    fn frames_go_out_in_order_and_are_accounted_for() {
        check("a2 b1 t5", "aab-- a40ms b20ms");
        check("a2 a. b1 t5 b.", "aab-- a40ms. b20ms.");
        check("a2 a. t1", "a a20ms");
        check("a. t1", "- a0ms.");
    }

    #[test]
    fn the_queue_is_bounded() {
        check("a12 t1 b1 t10", "!!aaaaaaaaaab a200ms b20ms");
    }

    #[test]
    fn ducking_ramps_down_and_up() {
        check("a9 t1 duck t3 loud t2", "a/a(a)(a)/aa a120ms");
        check("duck t1 a2 t1", "-(a) a20ms"); // down already when it begins
    }

    #[test]
    fn a_stop_fades_within_one_tick_and_remembers_how_far_it_got() {
        check("a5 a. b2 t2 stop c1 t3", "aa!a\\-- a48msx b0msx");
        check("a5 t2 stop t1 c1 t1", "aaa\\c a48msx c20ms");
        check("a5 t2 duck t1 stop t2", "aa/aa\\- a68msx");
        check("a5 stop t1", "- a0msx"); // it had not begun
        check("a1 t1 stop a. t1", "a- a20msx"); // between two frames of it
        check("a1 a. t1 stop t1", "a- a20ms."); // it had ended
        check("a5 t1 clear t1 a.", "a- a20msx");
    }

    #[test]
    fn a_full_gain_frame_is_the_same_frame() {
        let mut pool = FramePool::new(4);
        let mut playout = Playout::default();
        let frame = flat(&mut pool, MediaTime::ZERO, 7);
        playout.push(1, frame.clone()).unwrap();
        let out = playout.tick(&mut pool).unwrap();
        assert!(std::ptr::eq(out.samples(), frame.samples()));
        assert_eq!(pool.free(), 3);
    }

    #[test]
    fn slow_synthesis_is_counted_and_old_marks_are_forgotten() {
        let mut pool = FramePool::new(4);
        let mut playout = Playout::new();
        for mark in 0..100 {
            playout.push(mark, pool.fill(MediaTime::ZERO, |_| Ok::<_, ()>(())).unwrap()).unwrap();
            playout.tick(&mut pool);
            playout.tick(&mut pool);
            playout.end(mark);
            playout.tick(&mut pool);
        }
        assert_eq!(playout.underruns(), 100);
        assert_eq!(playout.history().count(), PLAYED_MARKS);
        assert!(playout.played(99).is_some_and(|p| p.complete) && playout.played(1).is_none());
    }
}
