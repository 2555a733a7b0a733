//! Calls with and without an echo, made from recordings: what is sent, what comes back through line, loudspeaker
//! and room, and who is heard in it. Everything follows from a seed; it never judges.

use std::path::{Path, PathBuf};

pub const FRAME: usize = 320;
const RATE: f32 = 16_000.0;

/// A call of which both sides are known.
#[derive(Clone)]
pub struct Scene {
    pub seed: u64,
    pub seconds: usize,
    pub echo: Option<Echo>,
    pub caller: Caller,
    /// Level of the white noise on the caller's side.
    pub noise_dbfs: f32,
    /// G.711 at 8 kHz both ways, or plain 16 kHz samples.
    pub coded: bool,
    /// Share of 20 ms packets lost, each way.
    pub loss: f32,
}

/// When the caller talks.
#[derive(Clone, Copy, PartialEq)]
pub enum Caller {
    Silent,
    /// Into the agent's pauses.
    Polite,
    /// Most of the time, whatever the agent does; from this second on.
    Over(f32),
}

#[derive(Clone, Copy)]
pub struct Echo {
    pub delay_ms: f32,
    /// Level of the echo against what was sent.
    pub level_db: f32,
    /// Time for the room to fall by 60 dB.
    pub room_ms: f32,
    /// The loudspeaker overdrives.
    pub clips: bool,
    /// Every so many seconds the delay moves by up to 60 ms, within 80 ms.
    pub jumps_s: Option<f32>,
    /// Sample clocks apart, in parts per million.
    pub drift_ppm: f32,
}

pub const ROOM: Echo =
    Echo { delay_ms: 180.0, level_db: -15.0, room_ms: 120.0, clips: false, jumps_s: None, drift_ppm: 0.0 };

/// 20 ms of a scene.
pub struct Tick {
    pub sent: Option<[i16; FRAME]>,
    pub heard: [i16; FRAME],
    /// What is in `heard`, by source.
    pub echo_dbfs: f32,
    pub near_dbfs: f32,
}

/// Recordings at 16 kHz, each at -22 dBFS.
pub fn recordings(dir: &Path, voice: &str) -> Vec<Vec<f32>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.to_string_lossy().ends_with(&format!("{voice}.wav")));
    files.sort();
    files.iter().map(|p| recording(p)).filter(|r| r.len() > 8_000).collect()
}

fn recording(path: &Path) -> Vec<f32> {
    let mut wav = hound::WavReader::open(path).unwrap();
    let samples: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.unwrap())).collect();
    let mut wide = if wav.spec().sample_rate == 8_000 { doubled(&samples) } else { samples };
    scale_to(&mut wide, -22.0);
    wide
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Uniform in 0..1.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f32) as usize).min(n.saturating_sub(1))
    }

    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.next() - 0.5).sum::<f32>() * 1.414
    }
}

pub fn play(scene: &Scene, agent: &[Vec<f32>], callers: &[Vec<f32>]) -> Vec<Tick> {
    let mut random = Random::new(scene.seed);
    let len = scene.seconds * 50 * FRAME;
    let (far, said) = agent_track(&mut random, agent, len);
    let near = caller_track(&mut random, callers, scene.caller, &said, len);
    let echo = scene.echo.map_or_else(|| vec![0.0; len], |e| echo_track(&mut random, scene, e, &far));
    let noise = 32_768.0 * amplitude(scene.noise_dbfs);
    let mut heard: Vec<f32> = (0..len).map(|i| echo[i] + near[i] + noise * random.normal()).collect();
    if scene.coded {
        heard = line(&mut random, &heard, scene.loss);
    }
    let tick = |(n, said): (usize, &bool)| {
        let of = |track: &[f32]| -> Vec<f32> { track[n * FRAME..][..FRAME].to_vec() };
        Tick {
            sent: said.then(|| whole(&of(&far))),
            heard: whole(&of(&heard)),
            echo_dbfs: dbfs(&of(&echo)),
            near_dbfs: dbfs(&of(&near)),
        }
    };
    said.iter().enumerate().map(tick).collect()
}

/// Clauses with pauses of 0.2 to 1.5 s, on frame borders: the track, and whether a frame was sent.
fn agent_track(random: &mut Random, clauses: &[Vec<f32>], len: usize) -> (Vec<f32>, Vec<bool>) {
    let (mut track, mut said) = (vec![0.0; len], vec![false; len / FRAME]);
    let mut at = 25;
    while at < said.len() {
        for _ in 0..1 + random.below(2) {
            let clause = &clauses[random.below(clauses.len())];
            for frame in clause.chunks(FRAME) {
                if at >= said.len() {
                    break;
                }
                track[at * FRAME..][..frame.len()].copy_from_slice(frame);
                said[at] = true;
                at += 1;
            }
        }
        at += 10 + random.below(65);
    }
    (track, said)
}

fn caller_track(random: &mut Random, words: &[Vec<f32>], caller: Caller, said: &[bool], len: usize) -> Vec<f32> {
    let mut track = vec![0.0; len];
    let mut at = match caller {
        Caller::Silent => return track,
        Caller::Polite => 0,
        Caller::Over(s) => (s * RATE) as usize,
    };
    while at < len {
        let word = &words[random.below(words.len())];
        let level = amplitude(-12.0 * random.next());
        if caller != Caller::Polite || !said[at / FRAME] {
            let end = (at + word.len()).min(len);
            track[at..end].iter_mut().zip(word).for_each(|(t, w)| *t = w * level);
            at = end;
        }
        at += (RATE * (0.1 + 0.8 * random.next())) as usize;
    }
    track
}

fn echo_track(random: &mut Random, scene: &Scene, echo: Echo, far: &[f32]) -> Vec<f32> {
    let mut out = if scene.coded { line(random, far, scene.loss) } else { far.to_vec() };
    out = moved(random, &out, echo);
    if echo.clips {
        // A small loudspeaker turned up: soft from -12 dBFS on.
        out.iter_mut().for_each(|s| *s = 8_000.0 * (*s / 8_000.0).tanh());
    }
    let taps = room(random, echo.room_ms);
    out = convolved(&out, &taps);
    let gain = amplitude(echo.level_db) * rms(far) / rms(&out).max(1.0);
    out.iter_mut().for_each(|s| *s *= gain);
    out
}

/// Reads the track late by a delay that drifts and jumps; a jump is stretched over 80 ms.
fn moved(random: &mut Random, track: &[f32], echo: Echo) -> Vec<f32> {
    let (mut delay, mut target) = (echo.delay_ms, echo.delay_ms);
    let every = echo.jumps_s.map_or(usize::MAX, |s| (s * RATE) as usize);
    let mut drift = 0.0;
    let mut out = Vec::with_capacity(track.len());
    for n in 0..track.len() {
        if n % every == every - 1 {
            target = (target + 120.0 * (random.next() - 0.5)).clamp(echo.delay_ms - 40.0, echo.delay_ms + 40.0);
        }
        delay += (target - delay).clamp(-0.05, 0.05);
        drift += echo.drift_ppm * 1e-6;
        // Two parts, or f32 runs out of digits.
        let late = delay * 16.0 + drift;
        let (back, rest) = (late.ceil(), late.ceil() - late);
        let at = n as f32 - back;
        out.push(if at < 0.0 { 0.0 } else { read_at(track, n - back as usize, rest) });
    }
    out
}

fn read_at(track: &[f32], i: usize, rest: f32) -> f32 {
    let get = |i: usize| track.get(i).copied().unwrap_or(0.0);
    get(i) + rest * (get(i + 1) - get(i))
}

/// The direct sound and a tail of decaying noise.
fn room(random: &mut Random, room_ms: f32) -> Vec<f32> {
    let len = (room_ms * 16.0) as usize;
    let mut taps: Vec<f32> =
        (0..len).map(|n| random.normal() * 10f32.powf(-3.0 * n as f32 / len as f32) * 0.25).collect();
    taps[0] = 1.0;
    taps
}

fn convolved(track: &[f32], taps: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; track.len()];
    for (n, s) in track.iter().enumerate().filter(|(_, s)| s.abs() > 0.01) {
        out[n..].iter_mut().zip(taps).for_each(|(o, t)| *o += s * t);
    }
    out
}

/// G.711 at 8 kHz; a lost packet is the last one again, quieter.
fn line(random: &mut Random, track: &[f32], loss: f32) -> Vec<f32> {
    let mut narrow: Vec<f32> = halved(track).iter().map(|s| mu_law(*s)).collect();
    for at in (160..narrow.len().saturating_sub(160)).step_by(160) {
        if random.next() < loss {
            for i in at..at + 160 {
                narrow[i] = 0.7 * narrow[i - 160];
            }
        }
    }
    doubled(&narrow)
}

/// ITU-T G.711: 14 bits to segments of 16 steps.
fn mu_law(sample: f32) -> f32 {
    let magnitude = (sample.abs().min(32_000.0) as i32 / 4) + 33;
    let step = 1 << (magnitude.ilog2() - 4);
    let coded = 4 * ((magnitude / step * step) + step / 2 - 33);
    (coded as f32).copysign(sample)
}

/// A half-band low-pass of 47 taps (windowed sinc).
fn half_band(n: i32) -> f32 {
    let x = n as f32 * std::f32::consts::FRAC_PI_2;
    let window = 0.54 + 0.46 * (n as f32 * std::f32::consts::PI / 24.0).cos();
    if n == 0 { 0.5 } else { 0.5 * x.sin() / x * window }
}

fn doubled(narrow: &[f32]) -> Vec<f32> {
    let taps: Vec<f32> = (-23..=23).map(|n| 2.0 * half_band(n)).collect();
    let get = |i: i32| if i < 0 { 0.0 } else { narrow.get(i as usize).copied().unwrap_or(0.0) };
    let at = |n: i32| {
        let sum = |(k, t): (i32, &f32)| if (n - k) % 2 == 0 { t * get((n - k) / 2) } else { 0.0 };
        (-23..=23).zip(&taps).map(sum).sum()
    };
    (0..2 * narrow.len() as i32).map(at).collect()
}

fn halved(wide: &[f32]) -> Vec<f32> {
    let taps: Vec<f32> = (-23..=23).map(half_band).collect();
    let get = |i: i32| if i < 0 { 0.0 } else { wide.get(i as usize).copied().unwrap_or(0.0) };
    (0..wide.len() as i32 / 2).map(|n| (-23..=23).zip(&taps).map(|(k, t)| t * get(2 * n - k)).sum()).collect()
}

fn scale_to(track: &mut [f32], level_dbfs: f32) {
    let gain = amplitude(level_dbfs) * 32_768.0 / rms(track).max(1.0);
    track.iter_mut().for_each(|s| *s *= gain);
}

fn rms(track: &[f32]) -> f32 {
    (track.iter().map(|s| s * s).sum::<f32>() / track.len().max(1) as f32).sqrt()
}

pub fn dbfs(track: &[f32]) -> f32 {
    20.0 * (rms(track).max(1e-3) / 32_768.0).log10()
}

fn amplitude(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

fn whole(track: &[f32]) -> [i16; FRAME] {
    std::array::from_fn(|i| track.get(i).map_or(0, |s| s.round() as i16))
}
