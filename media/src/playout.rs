//! What the agent says, on its way out: a bounded queue of marked frames with ducking, a click-free stop, a hold that
//! can go on again at a word's beginning, and an exact record of what was played. It never speaks to a network and
//! never makes up audio.
use std::collections::VecDeque;

use crate::level::mean_square;
use crate::{FRAME_MS, FRAME_SAMPLES, Frame, FramePool};

/// Frames that may wait. When full, the synthesizer waits.
pub const PLAYOUT_FRAMES: usize = 10;
/// Frames that are remembered after they were played, of the mark that goes out: what a hold can go back by (600 ms).
pub const PLAYOUT_KEPT: usize = 30;
/// Marks that are remembered after they ended; the oldest is forgotten.
pub const PLAYED_MARKS: usize = 32;
/// Gain while ducked: -18 dB.
pub const DUCK_GAIN: f32 = 0.125_892_54;

/// A stop or a hold fades out over 8 ms: short enough to be silent at once, long enough not to click.
const FADE_SAMPLES: usize = 128;
/// Without a pause to go back to, a hold goes on this many frames before it (200 ms): about a syllable.
const BACK_FRAMES: usize = 10;
/// A frame this much below the mean of what was played (12 dB, as a power) lies between two words, or in one's middle
/// where nobody hears a seam.
const DIP: f32 = 0.063;
/// Of dips that are nearly as quiet as the quietest (6 dB), the last one counts.
const NEARLY: f32 = 4.0;

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
    held: Held<M>,
    /// The last frames played, of one mark that has not ended.
    kept: VecDeque<Entry<M>>,
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

#[derive(Copy, Clone, PartialEq, Eq)]
enum Held<M> {
    No,
    /// The next tick carries the fade-out.
    Fading,
    /// Silent; the beginning of this mark's next frame went out as the fade.
    Silent(Option<M>),
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
            queue: VecDeque::with_capacity(PLAYOUT_FRAMES + PLAYOUT_KEPT),
            played: VecDeque::with_capacity(PLAYED_MARKS),
            gain: 1.0,
            ducked: false,
            stopping: false,
            held: Held::No,
            kept: VecDeque::with_capacity(PLAYOUT_KEPT),
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
        self.kept.clear();
    }

    /// How many frames may be pushed now; 0 while a stop fades out, or while there is much to say again.
    pub fn space(&self) -> usize {
        if self.stopping { 0 } else { PLAYOUT_FRAMES.saturating_sub(self.queue.len()) }
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

    /// Falls silent without a click and keeps everything: the next tick carries an 8 ms fade-out, the ones after it
    /// nothing, until [`Playout::resume`] or [`Playout::stop`]. Frames may be pushed meanwhile.
    pub fn hold(&mut self) {
        if self.held == Held::No && !self.stopping {
            self.held = if self.playing { Held::Fading } else { Held::Silent(None) };
        }
    }

    /// Goes on after a hold, at the beginning of the word that it cut: at the last pause of what was played of this
    /// mark, 600 ms back at most. What will be said again is no longer counted as played.
    pub fn resume(&mut self) {
        let held = std::mem::replace(&mut self.held, Held::No);
        let Held::Silent(faded) = held else { return };
        if let Some(mark) = faded {
            self.take_back(mark, FADE_SAMPLES);
        }
        // Nobody hears a ramp in what begins with a pause; elsewhere it keeps the seam from clicking.
        self.gain = 0.0;
        for _ in 0..self.frames_back() {
            let Some(entry) = self.kept.pop_back() else { return };
            self.take_back(entry.mark, FRAME_SAMPLES);
            self.queue.push_front(entry);
        }
    }

    /// Whether a hold lasts.
    pub fn is_held(&self) -> bool {
        self.held != Held::No
    }

    /// Stops without a click: the next tick carries an 8 ms fade-out, everything behind it is dropped.
    /// Also ends ducking and a hold. Push again after that tick.
    pub fn stop(&mut self) {
        self.cut_all();
        // Nothing to fade if nothing is sounding.
        self.queue.truncate(usize::from(self.playing));
        self.stopping = !self.queue.is_empty();
        self.release();
    }

    /// Drops everything at once, without a fade: for a call that is over.
    pub fn clear(&mut self) {
        self.cut_all();
        self.queue.clear();
        self.stopping = false;
        self.release();
    }

    fn release(&mut self) {
        self.ducked = false;
        self.held = Held::No;
        self.kept.clear();
    }

    /// The frame to send in this 20 ms, or `None` for silence. At full gain it is the synthesizer's own
    /// frame; a ducked or fading one is a copy from `pool` (if the pool is exhausted: unducked, or cut).
    pub fn tick(&mut self, pool: &mut FramePool) -> Option<Frame> {
        if self.held != Held::No {
            return self.held_tick(pool);
        }
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
        let start = std::mem::replace(&mut self.gain, target);
        let step = (target - start) / FRAME_SAMPLES as f32;
        let whole = start == 1.0 && target == 1.0;
        let scaled = if whole { None } else { scaled(&entry.frame, pool, |i| start + step * i as f32) };
        let frame = entry.frame.clone();
        self.keep(entry);
        Some(scaled.unwrap_or(frame))
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

    /// Silence, or the fade-out that leads to it: of the frame that would have come, which stays.
    fn held_tick(&mut self, pool: &mut FramePool) -> Option<Frame> {
        let fading = self.held == Held::Fading;
        self.held = if fading { Held::Silent(None) } else { self.held };
        self.playing = false;
        if !fading {
            return None;
        }
        let entry = self.queue.pop_front()?;
        let faded = self.fade_out(&entry, pool);
        if faded.is_some() {
            self.held = Held::Silent(Some(entry.mark));
            self.unfinished = true;
        }
        self.queue.push_front(entry);
        faded
    }

    fn fade_out(&mut self, entry: &Entry<M>, pool: &mut FramePool) -> Option<Frame> {
        let start = std::mem::replace(&mut self.gain, 1.0);
        let gain = |i: usize| start * (1.0 - i as f32 / FADE_SAMPLES as f32).max(0.0);
        let faded = scaled(&entry.frame, pool, gain)?;
        self.record(entry.mark, FADE_SAMPLES);
        Some(faded)
    }

    /// Remembers a frame that went out, so that it can be said again until its mark has ended.
    fn keep(&mut self, entry: Entry<M>) {
        if self.kept.len() >= PLAYOUT_KEPT || self.kept.back().is_some_and(|kept| kept.mark != entry.mark) {
            let room = self.kept.back().is_some_and(|kept| kept.mark == entry.mark);
            if room { drop(self.kept.pop_front()) } else { self.kept.clear() }
        }
        if entry.last {
            self.kept.clear();
        } else {
            self.kept.push_back(entry);
        }
    }

    /// How many frames back the word began that a hold cut.
    fn frames_back(&self) -> usize {
        let powers = self.kept.iter().map(|entry| mean_square(entry.frame.samples()));
        let mean = powers.clone().sum::<f32>() / self.kept.len().max(1) as f32;
        let quietest = powers.clone().fold(f32::INFINITY, f32::min);
        if quietest > mean * DIP {
            return BACK_FRAMES.min(self.kept.len());
        }
        let bound = (quietest * NEARLY).min(mean * DIP);
        let dip = powers.rev().position(|power| power <= bound);
        // The dip itself is the room in which the voice comes back.
        dip.map_or(0, |back| back + 1)
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

    /// What will be said again has not been played.
    fn take_back(&mut self, mark: M, samples: usize) {
        if let Some(played) = self.played.iter_mut().rev().find(|p| p.mark == mark) {
            played.samples = played.samples.saturating_sub(samples as u64);
            played.frames = played.frames.saturating_sub(1);
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
    /// a ends; `t2`: two ticks; `duck`, `loud`, `hold`, `resume`, `stop`, `clear`. Out: a full frame is its letter, a
    /// ducked one `(a)`, one on its way `/a`, a faded one `a\\`, silence `-`, a refused push `!`.
    fn check(script: &str, expected: &str) {
        let mut pool = FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 3);
        let mut playout = Playout::new();
        let mut heard = String::new();
        for word in script.split_whitespace() {
            let (mark, rest) = (word.chars().next().unwrap(), &word[1..]);
            match word {
                "duck" => playout.duck(true),
                "loud" => playout.duck(false),
                "hold" => playout.hold(),
                "resume" => playout.resume(),
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
    fn a_hold_keeps_everything_and_goes_on_where_it_was() {
        check("a5 t2 hold t3 resume t4", "aaa\\--/aaaa a80ms");
        check("a5 t2 hold t3", "aaa\\-- a48ms");
        check("a10 t8 a8 t6 hold t1 resume t1", "aaaaaaaaaaaaaaa\\/a a100ms"); // 200 ms back, without a pause
        check("a5 t2 hold resume t2", "aaaa a80ms");
        check("a2 hold t2 resume t1", "--/a a20ms"); // it had not begun
        check("a1 a. b3 t2 hold t1 resume t2", "abb\\/bb a20ms. b40ms"); // no further back than the clause
        check("a2 a. t1 hold t1 resume t2", "aa\\/aa a40ms.");
        check("a1 t1 hold a. t1 resume t1", "a-- a20ms."); // all of it was played
        check("a9 t1 duck t2 hold t1 resume t1 loud t1", "a/a(a)a\\/a/a a40ms");
    }

    #[test]
    fn a_held_voice_can_be_stopped_for_good() {
        check("a5 t2 hold t2 stop t1 c1 t1", "aaa\\--c a48msx c20ms");
        check("a5 t2 hold stop t2", "aaa\\- a48msx");
        check("a5 t2 hold t1 resume stop t1", "aaa\\- a0msx"); // what was to be said again is not
        check("a5 t2 hold t2 clear t1", "aaa\\-- a48msx");
    }

    #[test]
    fn frames_pushed_during_a_hold_come_after_it_within_the_bound() {
        check("a3 t1 hold t1 a9 t1 resume t2", "aa\\!-/aa a40ms");
        check("a10 t8 hold t1 a8 resume a1 t1", "aaaaaaaaa\\!/a a20ms");
    }

    /// Plays frames of these amplitudes, holds, goes on, and gives what comes then.
    fn resumed(played: &[i16]) -> Vec<i16> {
        let mut pool = FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 3);
        let mut playout = Playout::new();
        for value in played.iter().chain(&[5_000; 2]) {
            let frame = flat(&mut pool, MediaTime::from_ms(*value as u64), *value);
            playout.push('a', frame).unwrap();
            if playout.space() < PLAYOUT_FRAMES - 2 {
                playout.tick(&mut pool);
            }
        }
        playout.hold();
        playout.tick(&mut pool);
        assert!(playout.tick(&mut pool).is_none());
        playout.resume();
        std::iter::from_fn(|| playout.tick(&mut pool)).map(|frame| frame.at().as_ms() as i16).collect()
    }

    #[test]
    fn a_voice_goes_on_at_the_last_pause() {
        let tail = |count: usize| resumed(&[&[6_000; 8][..], &[90, 60, 80], &[7_000; 20][..count]].concat());
        assert_eq!(tail(4), [80, 7_000, 7_000, 7_000, 7_000, 5_000, 5_000]);
        assert_eq!(tail(0), [80, 5_000, 5_000]);
        assert_eq!(tail(20).len(), 1 + 20 + 2);
        // Of two pauses the last, if it is one.
        let two = |second: i16| resumed(&[&[6_000; 8][..], &[60], &[6_000; 6], &[second], &[6_000; 3]].concat()).len();
        assert_eq!((two(100), two(1_000), two(4_000)), (1 + 3 + 2, 1 + 6 + 1 + 3 + 2, 1 + 6 + 1 + 3 + 2));
    }

    #[test]
    fn recorded_speech_goes_on_at_a_pause_or_a_syllable_back_wherever_it_is_held() {
        let wav = include_bytes!("../../tests/data/callers/hours_sat.am_michael.wav");
        let samples: Vec<i16> = wav[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let whole: Vec<&[i16]> = samples.chunks_exact(FRAME_SAMPLES / 2).collect();
        let mut pauses = 0;
        for held in 20..whole.len() - 5 {
            let mut pool = FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 3);
            let mut playout = Playout::new();
            for (number, part) in whole.iter().enumerate().take(held) {
                let filled = pool.fill(MediaTime::from_frames(number as u64), |out| {
                    out.iter_mut().enumerate().for_each(|(i, to)| *to = part[i / 2]);
                    Ok::<(), ()>(())
                });
                playout.push('a', filled.unwrap()).unwrap();
                playout.tick(&mut pool);
            }
            playout.hold();
            playout.tick(&mut pool);
            playout.resume();
            let back = held as u64 - playout.played('a').unwrap().samples / FRAME_SAMPLES as u64;
            let first = playout.tick(&mut pool).unwrap().at().as_samples() / FRAME_SAMPLES as u64;
            assert_eq!(first, held as u64 - back, "what was counted is what is said again");
            assert!((1..=PLAYOUT_KEPT as u64).contains(&back));
            let level = |n: usize| mean_square(whole[n]);
            let kept = held.saturating_sub(PLAYOUT_KEPT)..held;
            let mean = kept.clone().map(level).sum::<f32>() / kept.len() as f32;
            let pause = level(held - back as usize) <= mean * DIP;
            assert!(pause || back == BACK_FRAMES as u64, "held at {held}, {back} back");
            pauses += usize::from(pause);
        }
        assert!(pauses * 2 > whole.len(), "{pauses} of {}", whole.len());
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
        drop((out, frame));
        playout.end(1);
        assert_eq!(pool.free(), 4, "nothing is kept of a mark that ended");
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
