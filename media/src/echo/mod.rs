//! Echo: knows the agent's own voice when it comes back from a loudspeaker, so that it does not interrupt him, and
//! takes it out. It compares what was sent with what is heard; it costs nothing while the agent is silent, little
//! while he speaks, and memory for a canceller only once an echo is recognised. It never decides who may talk.

mod delay;
mod features;
mod filter;
mod leak;

use std::convert::Infallible;
use std::fmt;

use self::delay::{DelaySearch, Peak};
use self::features::{Analyzer, Bands, STEPS, power, silence};
use self::filter::Canceller;
use self::leak::{Leak, Sent};
use crate::{FRAME_SAMPLES, Frame, FramePool};

/// Where the guard stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EchoState {
    /// No echo, or not enough was sent to tell.
    #[default]
    None,
    /// Something of what was sent comes back: verdicts are given, samples are left alone.
    Suspected,
    /// An echo for certain; the guard may not take it out.
    Recognised,
    /// An echo for certain, and it is being taken out.
    Cancelling,
}

/// What the guard makes of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The share of the frame's power that is the agent's own voice, 0 to 1; 0 while no echo is known.
    pub share: f32,
}

impl Verdict {
    /// Most of what is heard is the agent himself.
    pub fn is_echo(self) -> bool {
        self.share >= 0.5
    }

    /// A probability of speech (0 to 1) as far as it is the caller's.
    pub fn callers(self, speech: f32) -> f32 {
        if self.is_echo() { 0.0 } else { speech }
    }
}

/// A frame after the guard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The cleaned frame, or the same handle where nothing was done.
    pub frame: Frame,
    pub echo: Verdict,
}

/// For the call's record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EchoStats {
    pub state: EchoState,
    /// How often an echo was recognised.
    pub recognised: u32,
    /// How often the canceller lost it and began anew, as after a jump of the delay.
    pub realigned: u32,
    /// From sending to hearing, in ms.
    pub delay_ms: Option<u32>,
    /// How much weaker the echo is than what was sent (ITU-T G.168: ERL), in dB.
    pub return_loss_db: Option<f32>,
    /// How much of it the filter took out (ERLE), in dB, without what is then turned down.
    pub enhancement_db: Option<f32>,
    /// Frames in which most of what was heard was echo.
    pub echo_frames: u64,
}

/// What the guard may do.
#[derive(Clone, Copy, Debug)]
pub struct EchoConfig {
    /// Take the echo out; otherwise it is only recognised.
    pub cancel: bool,
}

impl Default for EchoConfig {
    fn default() -> Self {
        EchoConfig { cancel: true }
    }
}

/// Ticks of the agent's silence after which nothing of him can come back (1.06 s).
const IDLE: u32 = 53;
/// Sent steps kept: the latest delay, and those around it.
const SENT: usize = delay::FIRST + delay::LAGS + 4 + HEARD;
/// Heard steps kept, to learn from what led to a suspicion.
const HEARD: usize = 32;
/// The voice may come so many steps (of 10 ms) off the delay found.
const AROUND: usize = 4;
/// Ticks of the agent's voice without a sign of the echo after which it is gone: the caller took up the handset.
const UNCONFIRMED_MAX: u32 = 100;
/// The filter begins so many steps before the delay found: a peak is the middle of what comes back.
const AHEAD: usize = 3;

/// One call's guard; see the module. About 15 KiB, and 90 KiB more once an echo is recognised.
pub struct EchoGuard {
    config: EchoConfig,
    analyzer: Analyzer,
    last_sent: i16,
    last_heard: i16,
    last_clean: i16,
    silent: u32,
    search: DelaySearch,
    /// A ring; `newest` is the last step sent.
    sent: Box<[Bands; SENT]>,
    newest: usize,
    /// The same for what was heard, newest last, frame by frame.
    heard: Box<[[Bands; STEPS]; HEARD / STEPS]>,
    heard_next: usize,
    watch: Watch,
    path: Option<Path>,
    canceller: Option<Box<Canceller>>,
    gain: f32,
    stats: EchoStats,
    powers: Powers,
}

/// What is known of an echo.
struct Path {
    lag: usize,
    certain: bool,
    heard: Leak,
    cleaned: Leak,
    /// How the last frames are like what was sent: product and powers.
    like: [f32; 3],
    /// Ticks a new delay was seen, and the filter was lost.
    moved: u32,
    lost: u32,
    /// The share of echo in what was left of the last frame.
    rest: f32,
}

/// How long evidence has pointed to one delay.
#[derive(Default)]
struct Watch {
    lag: usize,
    ticks: u32,
    /// Ticks of the agent's voice since an echo was last confirmed.
    unconfirmed: u32,
}

/// Smoothed over frames of echo, for the stats.
#[derive(Default)]
struct Powers {
    sent: f32,
    heard: f32,
    before: f32,
    after: f32,
}

impl EchoGuard {
    pub fn new(config: EchoConfig) -> Self {
        EchoGuard {
            config,
            analyzer: Analyzer::new(),
            last_sent: 0,
            last_heard: 0,
            last_clean: 0,
            silent: IDLE,
            search: DelaySearch::new(),
            sent: Box::new([silence(); SENT]),
            newest: 0,
            heard: Box::new([[silence(); STEPS]; HEARD / STEPS]),
            heard_next: 0,
            watch: Watch::default(),
            path: None,
            canceller: None,
            gain: 1.0,
            stats: EchoStats::default(),
            powers: Powers::default(),
        }
    }

    /// What was just put on the wire, once a tick; `None` is silence.
    pub fn sent(&mut self, frame: Option<&Frame>) {
        let Some(frame) = frame else { return self.sent_silence() };
        self.silent = 0;
        for bands in self.analyzer.analyze(frame.samples(), &mut self.last_sent) {
            self.search.sent(Some(&bands));
            self.keep(bands);
        }
        if let Some(canceller) = &mut self.canceller {
            canceller.sent(Some(frame.samples()));
        }
    }

    /// What was heard, at most once between two ticks of `sent`. The samples of an echo are cleaned into a frame of
    /// the pool; when that is exhausted, the frame stays as it is.
    pub fn heard(&mut self, frame: &Frame, pool: &mut FramePool) -> Heard {
        let untouched = |share| Heard { frame: frame.clone(), echo: Verdict { share } };
        if self.silent >= IDLE {
            return untouched(0.0);
        }
        let bands = self.analyzer.analyze(frame.samples(), &mut self.last_heard);
        for (step, bands) in bands.iter().enumerate() {
            self.search.heard(step, bands);
        }
        self.watch();
        self.heard[self.heard_next] = bands;
        self.heard_next = (self.heard_next + 1) % self.heard.len();
        let Some(path) = &mut self.path else { return untouched(0.0) };
        let (lag, certain) = (path.lag, path.certain);
        path.like.iter_mut().zip(self.search.newest(lag)).for_each(|(l, n)| *l = 0.9 * *l + n);
        let trust = path.trust();
        let sent = self.sent_about(lag);
        let Some(path) = &mut self.path else { return untouched(0.0) };
        let share = path.heard.share(&sent, &bands, trust);
        if !certain || !self.config.cancel {
            // A mere suspicion must be borne out by the frames just before.
            let share = if certain || trust >= 0.45 { share } else { 0.0 };
            self.count(lag, &bands, share, share);
            return untouched(share);
        }
        let mut verdict = share;
        let clean = pool.fill::<Infallible>(frame.at(), |out| {
            verdict = self.clean(frame.samples(), out, &sent, share);
            Ok(())
        });
        self.count(lag, &bands, verdict, share);
        match clean {
            Ok(frame) => Heard { frame, echo: Verdict { share: verdict } },
            Err(_) => untouched(verdict),
        }
    }

    pub fn state(&self) -> EchoState {
        match &self.path {
            None => EchoState::None,
            Some(path) if !path.certain => EchoState::Suspected,
            Some(_) if self.config.cancel => EchoState::Cancelling,
            Some(_) => EchoState::Recognised,
        }
    }

    pub fn stats(&self) -> EchoStats {
        let db = |more: f32, less: f32| (more > 0.0 && less > 0.0).then(|| 10.0 * (more / less).log10());
        EchoStats {
            state: self.state(),
            delay_ms: self.path.as_ref().map(|p| 10 * p.lag as u32),
            return_loss_db: db(self.powers.sent, self.powers.heard),
            enhancement_db: db(self.powers.before, self.powers.after),
            ..self.stats
        }
    }

    /// Forgets the call's road, as after a transfer; keeps the counts.
    pub fn reset(&mut self) {
        let stats = EchoStats { state: EchoState::None, ..self.stats };
        *self = EchoGuard { stats, ..EchoGuard::new(self.config) };
    }

    fn sent_silence(&mut self) {
        self.last_sent = 0;
        if self.silent >= IDLE {
            return;
        }
        self.silent += 1;
        for _ in 0..STEPS {
            self.search.sent(None);
            self.keep(silence());
        }
        if let Some(canceller) = &mut self.canceller {
            canceller.sent(None);
        }
    }

    fn keep(&mut self, bands: Bands) {
        self.newest = (self.newest + 1) % SENT;
        self.sent[self.newest] = bands;
    }

    /// The step sent `lag` before the heard step 0 or 1.
    fn sent_at(&self, lag: usize, step: usize) -> &Bands {
        // Step 0 was heard one step after the newest was sent.
        let back = (lag + 1).saturating_sub(delay::FIRST + step).min(SENT - 1);
        &self.sent[(self.newest + SENT - back) % SENT]
    }

    fn sent_about(&self, lag: usize) -> Sent {
        let loudest = |around: usize, step: usize| {
            let mut loudest = *self.sent_at(lag, step);
            for near in lag.saturating_sub(around)..=lag + around {
                loudest.iter_mut().zip(self.sent_at(near, step)).for_each(|(l, n)| *l = (*l).max(*n));
            }
            loudest
        };
        Sent {
            near: std::array::from_fn(|step| loudest(1, step)),
            around: std::array::from_fn(|step| loudest(AROUND, step)),
        }
    }

    /// Reads the evidence after each frame.
    fn watch(&mut self) {
        let peak = self.search.peak();
        let steady = peak.lag.abs_diff(self.watch.lag) <= 1;
        self.watch.ticks = if steady { self.watch.ticks + 1 } else { 0 };
        self.watch.lag = peak.lag;
        if peak.height >= 4.0 {
            self.watch.unconfirmed = 0;
        } else if self.silent == 0 {
            self.watch.unconfirmed += 1;
        }
        match &mut self.path {
            None if suspicious(&peak, self.watch.ticks) => self.suspect(peak.lag),
            Some(path) if !path.certain && certain(&peak, self.watch.ticks) => {
                if peak.lag.abs_diff(path.lag) > 2 {
                    *path = Path::new(peak.lag);
                }
                path.certain = true;
                self.stats.recognised += 1;
                self.prepare(peak.lag);
            }
            Some(path) if path.certain && self.watch.unconfirmed > UNCONFIRMED_MAX => self.path = None,
            Some(path) if !path.certain && peak.height < 2.5 => self.path = None,
            Some(_) => self.follow(&peak),
            None => {}
        }
    }

    /// The one allocation of a call with an echo.
    fn prepare(&mut self, lag: usize) {
        self.gain = 1.0;
        match &mut self.canceller {
            Some(canceller) => canceller.restart(offset(lag)),
            none if self.config.cancel => *none = Some(Box::new(Canceller::new(offset(lag)))),
            _ => {}
        }
    }

    /// An echo at `lag`, learnt from the frames that showed it.
    fn suspect(&mut self, lag: usize) {
        let mut path = Path::new(lag);
        for age in (1..=self.heard.len()).rev() {
            let sent = self.sent_about(lag + STEPS * age);
            path.heard.share(&sent, &self.heard[(self.heard_next + self.heard.len() - age) % self.heard.len()], 1.0);
        }
        self.path = Some(path);
    }

    /// The delay jumps when a jitter buffer stretches or a phone changes its road.
    fn follow(&mut self, slow: &Peak) {
        let Some(path) = &mut self.path else { return };
        let fast = self.search.newest_peak(path.lag);
        let to = if fast.height >= 4.0 {
            fast.lag
        } else if slow.height >= 6.0 {
            slow.lag
        } else {
            path.lag
        };
        path.moved = if to.abs_diff(path.lag) > 1 { path.moved + 1 } else { 0 };
        if path.moved < 3 {
            return;
        }
        path.lag = to;
        path.moved = 0;
    }

    /// Cancels into `out`, judges what is left, and turns it down if it is only echo.
    fn clean(&mut self, heard: &[i16; FRAME_SAMPLES], out: &mut [i16; FRAME_SAMPLES], sent: &Sent, share: f32) -> f32 {
        let (Some(path), Some(canceller)) = (&mut self.path, &mut self.canceller) else {
            out.copy_from_slice(heard);
            return share;
        };
        let done = canceller.cancel(heard, out);
        let (found, begins) = (done.found, canceller.offset() / (FRAME_SAMPLES / STEPS));
        // Under a loud caller nothing can be said of it.
        let lost = found < 0.4 && done.expected > 0.0 && share >= 0.5;
        path.lost = if lost { path.lost + 1 } else { path.lost.saturating_sub(1) };
        // Within the filter's reach it follows by itself, given time.
        let reach = begins + 1..begins + 8;
        if path.lost >= if reach.contains(&path.lag) { 25 } else { 5 } {
            path.lost = 0;
            canceller.restart(offset(path.lag));
            self.stats.realigned += 1;
        }
        let bands = self.analyzer.analyze(out, &mut self.last_clean);
        let rest = path.cleaned.share(sent, &bands, path.trust());
        // The filter sees a quieter caller; it is believed where what it expected is there.
        // Among echoes, one frame of residue is no talk, nor is what is a tenth of what was taken out.
        let taken = if done.after < 0.1 * done.before { 1.0 } else { 0.0 };
        let believed = if path.trust() > 0.8 { rest.max(path.rest).max(taken) } else { rest };
        path.rest = rest;
        let verdict = if found > 0.5 && found < 2.0 { believed } else { share };
        if verdict >= 0.5 && share >= 0.8 {
            self.powers.before = 0.98 * self.powers.before + done.before;
            self.powers.after = 0.98 * self.powers.after + done.after;
        }
        let floor = if verdict >= 0.5 { TURNED_DOWN } else { 1.0 };
        turn(out, &mut self.gain, floor);
        verdict
    }

    /// Echo and little else teaches the return loss.
    fn count(&mut self, lag: usize, heard: &[Bands; STEPS], verdict: f32, share: f32) {
        self.stats.echo_frames += u64::from(verdict >= 0.5);
        if verdict < 0.5 || share < 0.8 {
            return;
        }
        for (step, heard) in heard.iter().enumerate() {
            let total = |bands: &Bands| bands.iter().map(|b| power(*b)).sum::<f32>();
            let sent = total(self.sent_at(lag, step));
            self.powers.sent = 0.99 * self.powers.sent + sent;
            self.powers.heard = 0.99 * self.powers.heard + total(heard);
        }
    }
}

impl Path {
    fn new(lag: usize) -> Self {
        Path {
            lag,
            certain: false,
            heard: Leak::new(),
            cleaned: Leak::new(),
            like: [0.0; 3],
            moved: 0,
            lost: 0,
            rest: 0.0,
        }
    }

    /// How sure it is that the last 200 ms were echo: a caller who talks too makes them unlike.
    fn trust(&self) -> f32 {
        let likeness = self.like[0] / (self.like[1] * self.like[2]).sqrt().max(1.0);
        ((likeness - 0.25) * 3.0).clamp(0.02, 1.0)
    }
}

impl fmt::Debug for EchoGuard {
    /// Says where it stands, never what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoGuard").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What is only echo goes down by 24 dB.
const TURNED_DOWN: f32 = 0.063;

/// Early and easily, since only verdicts follow, and only for frames like what was sent.
fn suspicious(peak: &Peak, ticks: u32) -> bool {
    (peak.height >= 4.5 && peak.likeness >= 0.25 && peak.steps >= 25.0 && ticks >= 3)
        || (peak.height >= 3.5 && peak.likeness >= 0.5 && peak.steps >= 12.0 && ticks >= 3)
}

/// Two who talk at once reached a height of 6.1 with a likeness of 0.24, and 5.3 with 0.58, once each in a hundred
/// made calls; an echo alone passes 10 within seconds, and a likeness of 0.3 to 0.7.
fn certain(peak: &Peak, ticks: u32) -> bool {
    let at = |height, likeness, steps| peak.height >= height && peak.likeness >= likeness && peak.steps >= steps;
    ticks >= 8 && (at(5.5, 0.45, 40.0) || at(6.3, 0.25, 50.0) || at(7.0, 0.1, 90.0))
}

/// Where the filter begins for an echo at `lag`, in samples.
fn offset(lag: usize) -> usize {
    lag.saturating_sub(AHEAD) * (FRAME_SAMPLES / STEPS)
}

/// Brings the gain to `to` within 5 ms upwards, 20 ms downwards.
fn turn(samples: &mut [i16; FRAME_SAMPLES], gain: &mut f32, to: f32) {
    if *gain >= 1.0 && to >= 1.0 {
        return;
    }
    let step = if to > *gain { 1.0 / 80.0 } else { -1.0 / 320.0 };
    for sample in samples {
        *gain = if step > 0.0 { (*gain + step).min(to) } else { (*gain + step).max(to) };
        *sample = (f32::from(*sample) * *gain) as i16;
    }
}
