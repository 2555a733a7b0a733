//! What the line does to packets and the room to sound, sans-IO: losses in bursts, delays, noise, echo. The same
//! seed makes the same weather.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{FRAME_MS, FRAME_SAMPLES};

use crate::rehearse::chance::Chance;
use crate::rehearse::scenario::Line;

/// Packets on their way; past it the oldest goes out at once.
const DELAYED_MAX: usize = 64;
/// A second of echo; past it the oldest is forgotten.
const ECHO_MAX: usize = media::SAMPLE_RATE as usize;

/// Losses of one direction (Gilbert's model: a good and a bad state).
struct Losses {
    begins: f32,
    ends: f32,
    bad: bool,
    chance: Chance,
}

impl Losses {
    fn new(line: &Line, chance: Chance) -> Self {
        let share = line.loss_percent / 100.0;
        let length = (line.burst_ms as f32 / FRAME_MS as f32).max(1.0);
        let ends = 1.0 / length;
        Self { begins: (ends * share / (1.0 - share).max(0.01)).min(1.0), ends, bad: false, chance }
    }

    fn lost(&mut self) -> bool {
        if self.begins <= 0.0 {
            return false;
        }
        let roll = self.chance.unit();
        self.bad = if self.bad { roll >= self.ends } else { roll < self.begins };
        self.bad
    }
}

pub struct Delayed {
    at: Instant,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Weather {
    sent: Losses,
    heard: Losses,
    jitter_ms: u32,
    chance: Chance,
    delayed: VecDeque<Delayed>,
    room: Option<(Arc<Vec<i16>>, usize)>,
    /// Factor, and what is still to come back.
    echo: Option<(f32, VecDeque<i16>)>,
}

impl Weather {
    pub fn new(line: &Line, room: Option<Arc<Vec<i16>>>, seed: u64, call: u64) -> Self {
        let chance = |stream: u64| Chance::new(seed, call * 8 + stream);
        let start = chance(4).up_to(media::SAMPLE_RATE) as usize;
        let delay = (line.echo_delay_ms * (media::SAMPLE_RATE / 1000)) as usize;
        Self {
            sent: Losses::new(line, chance(1)),
            heard: Losses::new(line, chance(2)),
            jitter_ms: line.jitter_ms,
            chance: chance(3),
            delayed: VecDeque::new(),
            room: room.filter(|r| !r.is_empty()).map(|r| (r, start)),
            echo: line.echo_db.map(|db| (10f32.powf(-db / 20.0), VecDeque::from(vec![0; delay]))),
        }
    }

    /// Whether a packet of the agent's is lost, and how much later it comes.
    pub fn hears(&mut self) -> Option<Duration> {
        (!self.heard.lost()).then(|| self.later())
    }

    fn later(&mut self) -> Duration {
        match self.jitter_ms {
            0 => Duration::ZERO,
            most => Duration::from_micros(u64::from(self.chance.up_to(most * 1000))),
        }
    }

    /// Whether a packet may go out at once. `false`: it is lost, or kept for later.
    pub fn sends(&mut self, now: Instant, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.sent.lost() {
            return false;
        }
        if self.jitter_ms == 0 {
            return true;
        }
        if self.delayed.len() >= DELAYED_MAX
            && let Some(oldest) = self.delayed.front_mut()
        {
            oldest.at = now;
        }
        let delayed = Delayed { at: now + self.later(), to, bytes: bytes.to_vec() };
        let place = self.delayed.partition_point(|d| d.at <= delayed.at);
        self.delayed.insert(place, delayed);
        false
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant) -> Option<Delayed> {
        self.delayed.pop_front_if(|d| d.at <= now)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.delayed.front().map(|d| d.at)
    }

    /// The agent's voice, which comes back.
    pub fn echoes(&mut self, samples: &[i16]) {
        if let Some((_, later)) = &mut self.echo {
            later.extend(samples);
            let over = later.len().saturating_sub(ECHO_MAX);
            later.drain(..over);
        }
    }

    /// Puts room and echo under what the caller sends. False: there is neither.
    pub fn mix(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> bool {
        if let Some((room, at)) = &mut self.room {
            for sample in frame.iter_mut() {
                *sample = sample.saturating_add(room[*at % room.len()]);
                *at += 1;
            }
        }
        if let Some((factor, later)) = &mut self.echo {
            for sample in frame.iter_mut() {
                let back = later.pop_front().unwrap_or(0);
                *sample = sample.saturating_add((f32::from(back) * *factor) as i16);
            }
        }
        self.room.is_some() || self.echo.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather(line: &Line) -> Weather {
        Weather::new(line, None, 1, 1)
    }

    #[test]
    fn losses_are_as_many_and_as_long_as_said() {
        for (loss_percent, burst_ms) in [(5.0, 0), (10.0, 60), (0.0, 60)] {
            let mut w = weather(&Line { loss_percent, burst_ms, ..Line::default() });
            let lost: Vec<bool> = (0..100_000).map(|_| w.hears().is_none()).collect();
            let share = lost.iter().filter(|l| **l).count() as f32 / 1000.0;
            assert!((share - loss_percent).abs() < 0.7, "{share} % of {loss_percent}");
            let bursts = lost.windows(2).filter(|w| w[0] && !w[1]).count().max(1);
            let length = share * 1000.0 / bursts as f32;
            let wanted = if loss_percent == 0.0 { 0.0 } else { (burst_ms as f32 / 20.0).max(1.05) };
            assert!((length - wanted).abs() < 0.3, "{length} packets of {wanted}");
        }
    }

    #[test]
    fn jitter_delays_and_forgets_nothing() {
        let start = crate::clock::now();
        let to: SocketAddr = ([127, 0, 0, 1], 9).into();
        let mut w = weather(&Line { jitter_ms: 30, ..Line::default() });
        let (mut out, mut late) = (0, Duration::ZERO);
        for n in 0..100u32 {
            let now = start + Duration::from_millis(20) * n;
            while let Some(due) = w.due(now) {
                late = late.max(now - due.at);
                out += 1;
            }
            assert!(!w.sends(now, to, &[1]));
        }
        while let Some(at) = w.deadline() {
            out += u32::from(w.due(at).is_some());
        }
        assert_eq!(out, 100);
        assert!(late <= Duration::from_millis(20));
    }

    #[test]
    fn an_echo_is_late_and_quieter() {
        let mut w = weather(&Line { echo_db: Some(20.0), echo_delay_ms: 20, ..Line::default() });
        w.echoes(&[10_000; FRAME_SAMPLES]);
        let mut frames = [[0; FRAME_SAMPLES]; 3];
        frames.iter_mut().for_each(|f| assert!(w.mix(f)));
        assert_eq!((frames[0][0], frames[1][0], frames[1][319], frames[2][0]), (0, 1_000, 1_000, 0));
    }
}
