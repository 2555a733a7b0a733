//! Trunks over virtual hours: scripts of what targets do, and what is asked and used. Nothing here waits.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Outbound, Probe, Refused, Trunks};
use crate::config::{self, Config};

fn trunks(text: &str) -> Vec<config::Trunk> {
    let text = format!("{text}\n[[agent]]\nfile = \"a.toml\"\n");
    Config::parse(Path::new("x.toml"), &text, std::iter::empty()).unwrap_or_else(|e| panic!("{e}")).trunks
}

fn trunk(keys: &str) -> config::Trunk {
    trunks(&format!("[[trunk]]\nname = \"a\"\nto = [\"sip:0.test\", \"sip:1.test\", \"sip:2.test\"]\n{keys}")).remove(0)
}

/// A network in which every target does as it is told.
struct World {
    began: Instant,
    trunks: Trunks,
    /// A status, or `silent` (a timeout after 32 s), or `lost` (the driver never says anything).
    targets: HashMap<usize, String>,
    waiting: Vec<(Instant, Probe)>,
    probes: HashMap<usize, u32>,
}

impl World {
    fn new(trunk: config::Trunk, seed: u64) -> Self {
        let began = crate::clock::now();
        let trunks = Trunks::new(began, &[trunk], seed);
        Self { began, trunks, targets: HashMap::new(), waiting: vec![], probes: HashMap::new() }
    }

    fn run_until(&mut self, at: Instant) {
        loop {
            let timeouts = self.waiting.iter().map(|(at, _)| *at);
            let Some(next) = self.trunks.deadline().into_iter().chain(timeouts).min().filter(|n| *n <= at) else {
                return;
            };
            let (due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= next);
            self.waiting = waiting;
            for (at, probe) in due as Vec<(Instant, Probe)> {
                self.trunks.unanswered(at, probe);
            }
            self.trunks.handle_timeout(next);
            while let Some(probe) = self.trunks.poll() {
                *self.probes.entry(probe.target).or_default() += 1;
                match self.targets.get(&probe.target).map_or("200", String::as_str) {
                    "silent" => self.waiting.push((next + Duration::from_secs(32), probe)),
                    "lost" => {}
                    status => _ = self.trunks.answered(next, probe, status.parse().unwrap()),
                }
            }
        }
    }

    /// `SECOND what ...`: `N does WHAT`, `call N STATUS|fails`, `state ...`, `try ...`,
    /// `probes N LEAST MOST` since the last such line.
    fn check(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = self.began + Duration::from_secs(words[0].parse().unwrap());
            self.run_until(now);
            let number = |n: usize| words[n].parse::<usize>().unwrap();
            let states = || self.trunks.status()[0].targets.iter().map(|t| t.state.word()).collect::<Vec<_>>();
            match words[1] {
                "state" => assert_eq!(states(), words[2..], "{line}"),
                "try" => {
                    let order: Vec<String> = self.trunks.targets(0).iter().map(ToString::to_string).collect();
                    assert_eq!(order, words[2..], "{line}");
                }
                "probes" => {
                    let seen = self.probes.remove(&number(2)).unwrap_or_default() as usize;
                    assert!((number(3)..=number(4)).contains(&seen), "{line}: {seen} probes");
                }
                "call" => {
                    let probe = Probe { trunk: 0, target: number(2) };
                    match words[3].parse() {
                        Ok(status) => self.trunks.answered(now, probe, status),
                        Err(_) => self.trunks.unanswered(now, probe),
                    };
                }
                target => _ = self.targets.insert(target.parse().unwrap(), words[3].to_owned()),
            }
        }
    }
}

/// The same with several seeds: jitter must not matter.
fn check(keys: &str, script: &str) {
    for seed in 0..20 {
        World::new(trunk(keys), seed).check(script);
    }
}

#[test]
fn any_answer_is_life() {
    check(
        "options_s = 30",
        "0 1 does 404
         0 2 does 401
         0 state unknown unknown unknown
         0 try 0 1 2
         2 state up up up
         600 probes 0 19 23
         600 state up up up
         600 2 does 405
         700 state up up up",
    );
}

#[test]
fn two_misses_are_down_and_one_answer_is_up() {
    check(
        "options_s = 30",
        "2 state up up up
         2 0 does silent
         66 state up up up
         102 state down up up
         102 try 1 2 0
         102 0 does 200
         // 32 s of a probe that was sent before it came back, and a rest of 10 s at most
         150 state up up up
         150 try 0 1 2",
    );
}

#[test]
fn a_single_miss_is_forgiven() {
    check(
        "options_s = 30",
        "2 0 does silent
         34 0 does 200
         200 state up up up",
    );
}

#[test]
fn a_503_is_down_at_once_a_408_is_a_miss() {
    check(
        "options_s = 30",
        "3 state up up up
         3 call 1 503
         3 call 2 408
         3 state up down up
         4 call 2 408
         4 state up down down
         4 try 0 1 2
         20 state up up up
         20 1 does 503
         20 2 does 408
         60 state up down down
         60 1 does 200
         60 2 does 200
         150 state up up up",
    );
}

#[test]
fn recovery_probes_back_off_to_a_minute() {
    check(
        "options_s = 30",
        "2 0 does 503
         36 state down up up
         36 probes 0 1 3
         36 probes 1 1 2
         // 5, 10, 20, 40, 60, 60 ... instead of one every 30 s
         636 probes 0 11 16
         636 probes 1 18 23
         636 0 does 200
         705 state up up up",
    );
}

#[test]
fn a_driver_that_says_nothing_does_not_stop_the_probes() {
    check(
        "options_s = 30",
        "2 0 does lost
         36 state up up up
         130 state down up up
         130 0 does 200
         260 state up up up",
    );
}

#[test]
fn calls_tell_too() {
    check(
        "options_s = 3600",
        "10 state up up up
         10 probes 0 1 1
         10 0 does 503
         20 call 0 fails
         21 state up up up
         // the second look comes at once and not in an hour
         25 state down up up
         26 0 does 200
         26 call 0 fails
         26 call 0 fails
         26 call 0 503
         32 state up up up
         33 call 1 503
         33 state up down up
         33 try 0 2 1
         34 call 1 486
         34 state up up up",
    );
}

#[test]
fn without_probes_only_calls_and_time_tell() {
    check(
        "options_s = 0",
        "5 state unknown unknown unknown
         5 call 0 fails
         6 call 0 fails
         6 state down unknown unknown
         6 try 1 2 0
         12 state unknown unknown unknown
         12 call 0 200
         12 state up unknown unknown
         9999 probes 0 0 0
         9999 state up unknown unknown",
    );
    assert_eq!(World::new(trunk("options_s = 0"), 1).trunks.deadline(), None);
}

#[test]
fn probes_are_spread() {
    let list: String = (0..40).map(|n| format!("[[trunk]]\nname = \"t{n}\"\nto = \"sip:a.test\"\n")).collect();
    let configs = trunks(&list);
    let now = crate::clock::now();
    let firsts = |seed| -> Vec<Instant> {
        let mut trunks = Trunks::new(now, &configs, seed);
        let mut firsts = vec![];
        while let Some(at) = trunks.deadline().filter(|at| *at < now + Duration::from_secs(3)) {
            trunks.handle_timeout(at);
            while trunks.poll().is_some() {
                firsts.push(at);
            }
        }
        firsts
    };
    let seen = firsts(1);
    assert_eq!(seen.len(), 40);
    let half = seen.iter().filter(|at| **at < now + Duration::from_secs(1)).count();
    assert!((8..32).contains(&half), "{half} of 40 in the first of two seconds");
    assert_ne!(seen, firsts(2));
    // What does not exist is nobody's.
    let mut trunks = Trunks::new(now, &configs, 1);
    assert_eq!(trunks.answered(now, Probe { trunk: 40, target: 0 }, 200), None);
    assert_eq!(trunks.unanswered(now, Probe { trunk: 0, target: 1 }), None);
    assert!(trunks.targets(99).is_empty());
}

/// `SECOND NUMBER yes`, `... no`, `... SECONDS` to wait, or `SECOND ended`.
fn calls(keys: &str, script: &str) {
    let began = crate::clock::now();
    let mut limits = Outbound::new(&trunk(keys));
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = began + Duration::from_secs(words[0].parse().unwrap());
        if words[1] == "ended" {
            limits.ended();
            continue;
        }
        let expected = match words[2] {
            "yes" => Ok(()),
            "no" => Err(Refused::NotAllowed),
            wait => Err(Refused::TooMany { retry_after: Duration::from_secs(wait.parse().unwrap()) }),
        };
        assert_eq!(limits.take(now, words[1]), expected, "{line}");
    }
}

#[test]
fn what_is_not_allowed_is_forbidden() {
    calls("", "0 +77010000000 no");
    calls(
        "allow_out = [\"+7\", \"+1212*\"]",
        "0 +77010000000 yes
         0 +12125550100 yes
         0 +19005550100 no
         0 77010000000 no
         0 +7@evil.test no
         0 +7;x=y no",
    );
}

#[test]
fn calls_at_once_per_minute_and_per_day() {
    let keys = "allow_out = \"*\"\nout_calls_max = 2\nout_calls_per_min = 3\nout_calls_per_day = 5";
    calls(
        keys,
        "0 a yes
         10 a yes
         11 a 10
         12 ended
         20 a yes
         21 ended
         21 ended
         21 ended
         21 a 39
         60 a yes
         61 ended
         61 a 9
         70 a yes
         71 ended
         80 a 86320
         // refused calls count for nothing
         86399 a 1
         86400 a yes
         86401 a 9",
    );
}
