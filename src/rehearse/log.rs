//! What one call left behind: when the agent was to be heard and how loud, when the caller said what. Milliseconds
//! since the INVITE, on the wire. It measures nothing itself.

use std::sync::Arc;

use serde::Serialize;

use crate::rehearse::scenario::Expect;
use crate::rehearse::utterance::Utterance;

/// One packet of the agent's, as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packet {
    pub at_ms: u32,
    pub dbfs: f32,
}

/// Something that the caller did.
#[derive(Debug, Clone)]
pub struct Said {
    /// From 0.
    pub step: usize,
    pub what: What,
    pub expect: Expect,
    pub within_ms: u32,
    /// The first packet of it.
    pub begun_ms: u32,
    /// The packets with its first and its last speech.
    pub first_ms: u32,
    pub last_ms: Option<u32>,
    /// For each pause: the packet with the last speech before it, and how long it is.
    pub pauses: Vec<(u32, u32)>,
    /// When the step was over, whatever came of it.
    pub until_ms: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum What {
    Keys(String),
    Speech(Arc<Utterance>),
    Nothing,
    /// The agent was not speaking when it should have been spoken over.
    Missed(String),
}

impl What {
    pub fn label(&self) -> String {
        match self {
            Self::Keys(keys) => format!("keys {keys}"),
            Self::Speech(utterance) => utterance.name.clone(),
            Self::Nothing => "(listens)".into(),
            Self::Missed(label) => label.clone(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct CallLog {
    pub heard: Vec<Packet>,
    /// The same packets' audio, 8 kHz: 160 samples each. Only where callers talk over the agent.
    pub audio: Vec<i16>,
    pub said: Vec<Said>,
}

/// How a call went, whatever was said in it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// The gateway's own name for it, if it says one.
    pub id: Option<String>,
    pub answered_ms: Option<u32>,
    /// `caller`, `agent`, `lost`, or why there was no call.
    pub ended_by: String,
    /// The final status of a call that was not answered.
    pub refused: Option<u16>,
    pub duration_ms: u32,
    pub packets_sent: u64,
    pub packets_received: u64,
}

/// How late the generator's own 20 ms ticks were: a late caller measures itself.
#[derive(Debug, Clone)]
pub struct Lateness {
    /// Ticks by whole milliseconds; the last holds all that were later.
    counts: Vec<u64>,
    max_ms: f32,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { counts: vec![0; 101], max_ms: 0.0 }
    }
}

impl Lateness {
    pub fn tick(&mut self, late: std::time::Duration) {
        let last = self.counts.len() - 1;
        self.counts[usize::try_from(late.as_millis()).unwrap_or(last).min(last)] += 1;
        self.max_ms = self.max_ms.max(late.as_secs_f32() * 1000.0);
    }

    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(to, from)| *to += from);
        self.max_ms = self.max_ms.max(other.max_ms);
    }

    pub fn ticks(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn max_ms(&self) -> f32 {
        self.max_ms
    }

    pub fn over(&self, ms: usize) -> u64 {
        self.counts.iter().skip(ms).sum()
    }

    /// In whole milliseconds, rounded up.
    pub fn quantile_ms(&self, q: f64) -> u32 {
        let rank = (self.ticks() as f64 * q).ceil() as u64;
        let mut seen = 0;
        let place = self.counts.iter().position(|c| {
            seen += c;
            seen >= rank
        });
        u32::try_from(place.unwrap_or(0) + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lateness_is_counted_by_milliseconds() {
        let mut late = Lateness::default();
        (0..98).for_each(|_| late.tick(Duration::from_micros(300)));
        late.tick(Duration::from_micros(7_200));
        let mut other = Lateness::default();
        other.tick(Duration::from_millis(500));
        late.add(&other);
        assert_eq!((late.ticks(), late.over(5), late.quantile_ms(0.5), late.quantile_ms(0.99)), (100, 2, 1, 8));
        assert_eq!(late.max_ms(), 500.0);
    }
}
