//! Ways to tell that a caller has finished: after how much silence each would answer, and what that costs over all
//! recordings. It hears nothing.
#![allow(clippy::expect_used)]

use dauys::call::Judgement;
use dauys::call::endpointing::{judge, probability};
use serde_json::{Value, json};

use crate::hearing::Look;
use crate::material::Sample;
use crate::shared::quantile;

/// Pauses that callers make inside a sentence.
pub const PAUSES_MS: [i32; 3] = [500, 700, 1000];
const FRAME_MS: u32 = 20;
/// Nobody is waited for longer.
const SILENCE_MS_MAX: u32 = 5_000;

#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Silence {
        ms: u32,
    },
    /// The turn detector's score: 200 ms from 0.5 on, else so many.
    Score {
        else_ms: u32,
    },
    /// Everything but the score, its waits times so much.
    Words {
        times: f32,
    },
    /// Everything, its waits times so much.
    Fusion {
        times: f32,
    },
    /// Everything, both thresholds moved by so much in log odds.
    Moved {
        by: f32,
    },
}

pub const DEFAULT: Way = Way::Fusion { times: 1.0 };

/// When a way would answer.
pub struct Commit<'a> {
    /// In truth, not by the ear.
    pub silence_ms: i32,
    pub look: &'a Look,
}

impl Way {
    /// Every way at each of its settings, a line of the plot each.
    pub fn lines() -> Vec<Vec<Way>> {
        let times = || (0..=10u8).map(|n| 0.5 + f32::from(n) * 0.1);
        vec![
            (2..=15).map(|n| Way::Silence { ms: n * 100 }).collect(),
            [500, 700, 900, 1200, 1500].map(|else_ms| Way::Score { else_ms }).into(),
            times().map(|times| Way::Words { times }).collect(),
            times().map(|times| Way::Fusion { times }).collect(),
            (0..=10i8).map(|n| Way::Moved { by: f32::from(n - 5) * 0.5 }).collect(),
        ]
    }

    pub fn name(self) -> &'static str {
        match self {
            Way::Silence { .. } => "silence alone",
            Way::Score { .. } => "smart-turn alone",
            Way::Words { .. } => "words alone",
            Way::Fusion { .. } => "all signs",
            Way::Moved { .. } => "all signs, thresholds moved",
        }
    }

    pub fn setting(self) -> String {
        match self {
            Way::Silence { ms } => format!("{ms} ms"),
            Way::Score { else_ms } => format!("200 or {else_ms} ms"),
            Way::Words { times } | Way::Fusion { times } => format!("waits × {times:.1}"),
            Way::Moved { by } => format!("by {by:+.1}"),
        }
    }

    /// The silence, by the ear, that it asks for.
    fn wait_ms(self, sample: &Sample, look: &Look) -> u32 {
        let scaled = |judgement, times: f32| (sample.wait_ms(judgement) as f32 * times).round() as u32;
        match self {
            Way::Silence { ms } => ms,
            Way::Score { .. } if look.score >= 0.5 => 200,
            Way::Score { else_ms } => else_ms,
            Way::Words { times } => scaled(judge(probability(look.odds_of_words())), times),
            Way::Fusion { times } => scaled(judged(look), times),
            Way::Moved { by } => scaled(judge(probability(look.odds() - by)), 1.0),
        }
    }

    /// The first moment at which the latest look asks for no more silence; none: no word was recognised.
    pub fn commit(self, sample: &Sample) -> Option<Commit<'_>> {
        let looks = &sample.heard.looks;
        let first_ms = looks.first()?.silence_ms;
        (first_ms..SILENCE_MS_MAX).step_by(FRAME_MS as usize).find_map(|ms| {
            let look = looks.iter().rfind(|look| look.silence_ms <= ms)?;
            let silence_ms = i32::try_from(ms).expect("seconds") + sample.heard.lag_ms;
            (ms >= self.wait_ms(sample, look)).then_some(Commit { silence_ms, look })
        })
    }

    /// The commit, if something would then be said.
    pub fn answer(self, sample: &Sample) -> Option<Commit<'_>> {
        self.commit(sample).filter(|commit| !commit.look.nod && !commit.look.dismissed)
    }
}

/// What a way costs.
pub struct Cost {
    pub way: Way,
    /// Of the pauses of each length, the share that is answered into.
    pub cut_off: [f64; PAUSES_MS.len()],
    pub cut_off_all: f64,
    pub p50_ms: i32,
    pub p95_ms: i32,
}

impl Cost {
    pub fn of(way: Way, samples: &[Sample]) -> Cost {
        let (wholes, cuts): (Vec<&Sample>, Vec<&Sample>) = samples.iter().partition(|s| s.is_whole());
        let answers: Vec<i32> = cuts.iter().filter_map(|s| way.answer(s)).map(|c| c.silence_ms).collect();
        let share = |pause: i32| answers.iter().filter(|ms| **ms < pause).count() as f64 / cuts.len() as f64;
        let cut_off = PAUSES_MS.map(share);
        let mut waits: Vec<i32> = wholes.iter().filter_map(|s| way.answer(s)).map(|c| c.silence_ms).collect();
        waits.sort_unstable();
        Cost {
            way,
            cut_off,
            cut_off_all: cut_off.iter().sum::<f64>() / PAUSES_MS.len() as f64,
            p50_ms: quantile(&waits, 0.5).expect("wholes"),
            p95_ms: quantile(&waits, 0.95).expect("wholes"),
        }
    }

    pub fn json(&self) -> Value {
        let percent = |share: f64| (share * 1000.0).round() / 10.0;
        json!({
            "way": self.way.name(),
            "setting": self.way.setting(),
            "answered_into_percent": self.cut_off.map(percent),
            "answered_into_percent_all": percent(self.cut_off_all),
            "whole_p50_ms": self.p50_ms,
            "whole_p95_ms": self.p95_ms,
        })
    }
}

/// The judgement at a look.
pub fn judged(look: &Look) -> Judgement {
    judge(probability(look.odds()))
}
