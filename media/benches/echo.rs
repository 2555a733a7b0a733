//! How soon an echo is recognised, how much of it goes, who is taken for whom, and what it costs: tables over many
//! made calls. `DAUYS_VOICES` names directories of recordings for the agent's side, divided by colons. It never fails.
#![allow(clippy::expect_used, clippy::print_stdout, clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/echo/scene.rs"]
mod scene;

use std::path::Path;

use media::echo::{EchoConfig, EchoGuard, EchoState};
use media::{Frame, FramePool, MediaTime};
use scene::{Caller, Echo, ROOM, Scene, Tick};

/// Echo and caller below this would not be taken for speech.
const AUDIBLE_DBFS: f32 = -50.0;

#[derive(Default)]
struct Sums {
    calls: u32,
    suspected: Vec<usize>,
    cancelling: Vec<usize>,
    /// Frames of audible echo alone, and those not called echo: before the first second of echo is over, and after.
    early: (u32, u32),
    late: (u32, u32),
    /// The same, where the returned frame is still audible.
    late_audible: u32,
    /// Frames of the caller (over the agent), and those called echo.
    caller: (u32, u32),
    power: (f64, f64),
    delays: Vec<i64>,
    realigned: u32,
    loss: Vec<f32>,
    ns: u64,
    frames: u64,
}

fn main() {
    let callers = scene::recordings(Path::new("../tests/data/callers"), "");
    let voices = std::env::var("DAUYS_VOICES").unwrap_or_default();
    let mut agents: Vec<_> = voices
        .split(':')
        .filter(|d| !d.is_empty())
        .map(|d| scene::recordings(Path::new(d), "").into_iter().filter(|r| r.len() > 20_000).collect::<Vec<_>>())
        .collect();
    if agents.is_empty() {
        agents.push(callers.clone());
    }
    let calls: u64 = std::env::var("CALLS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let only = std::env::var("ONLY").unwrap_or_default();
    println!(
        "{:24}| calls | suspected | cancelling | frames of echo not seen: 1st s, later (audible) | caller taken for echo | ERLE | CPU ns/frame",
        "case"
    );
    for (name, case) in cases().into_iter().filter(|(n, _)| n.contains(&only)) {
        let mut sums = Sums::default();
        for seed in 1..=calls {
            let agent = &agents[seed as usize % agents.len()];
            let ticks = scene::play(&Scene { seed, ..case.clone() }, agent, &callers);
            run(&mut sums, &ticks, case.echo);
        }
        report(name, &mut sums);
    }
}

fn cases() -> Vec<(&'static str, Scene)> {
    let base = Scene {
        seed: 1,
        seconds: 20,
        echo: Some(ROOM),
        caller: Caller::Silent,
        noise_dbfs: -65.0,
        coded: true,
        loss: 0.01,
    };
    let echo = |e: Echo| Scene { echo: Some(e), ..base.clone() };
    let over = |e: Echo| Scene { echo: Some(e), caller: Caller::Over(3.0), ..base.clone() };
    vec![
        ("no echo, silent", Scene { echo: None, ..base.clone() }),
        ("no echo, polite", Scene { echo: None, caller: Caller::Polite, ..base.clone() }),
        ("no echo, over", Scene { echo: None, caller: Caller::Over(0.0), ..base.clone() }),
        ("no echo, over, noise-40", Scene { echo: None, caller: Caller::Over(0.0), noise_dbfs: -40.0, ..base.clone() }),
        (
            "console 60 ms -10",
            Scene { coded: false, loss: 0.0, ..echo(Echo { delay_ms: 60.0, level_db: -10.0, ..ROOM }) },
        ),
        (
            "console 250 ms -6",
            Scene { coded: false, loss: 0.0, ..echo(Echo { delay_ms: 250.0, level_db: -6.0, ..ROOM }) },
        ),
        ("console over -10", Scene { coded: false, loss: 0.0, ..over(Echo { level_db: -10.0, ..ROOM }) }),
        ("phone 180 -15", echo(ROOM)),
        ("phone 400 -6", echo(Echo { delay_ms: 400.0, level_db: -6.0, ..ROOM })),
        ("phone 700 -20", echo(Echo { delay_ms: 700.0, level_db: -20.0, ..ROOM })),
        ("phone 180 -25", echo(Echo { level_db: -25.0, ..ROOM })),
        ("phone 180 -35 noise-60", Scene { noise_dbfs: -60.0, ..echo(Echo { level_db: -35.0, ..ROOM }) }),
        ("phone room 200 clips", echo(Echo { room_ms: 200.0, clips: true, ..ROOM })),
        ("phone loss 3 % jumps", Scene { loss: 0.03, ..echo(Echo { delay_ms: 300.0, jumps_s: Some(3.0), ..ROOM }) }),
        ("phone drift 100 ppm", echo(Echo { drift_ppm: 100.0, ..ROOM })),
        ("phone noise -45", Scene { noise_dbfs: -45.0, ..echo(ROOM) }),
        ("over -6", over(Echo { level_db: -6.0, ..ROOM })),
        ("over -10", over(Echo { level_db: -10.0, ..ROOM })),
        ("over -20", over(Echo { level_db: -20.0, ..ROOM })),
        ("over -15 jumps loss 3 %", Scene { loss: 0.03, ..over(Echo { jumps_s: Some(3.0), ..ROOM }) }),
        ("over from the start", Scene { caller: Caller::Over(0.0), ..base.clone() }),
    ]
}

fn run(sums: &mut Sums, ticks: &[Tick], echo: Option<Echo>) {
    let mut guard = EchoGuard::new(EchoConfig::default());
    let (mut pool, mut wire) = (FramePool::new(4), FramePool::new(2));
    let frame = |pool: &mut FramePool, samples: &[i16; 320]| -> Frame {
        pool.fill::<()>(MediaTime::ZERO, |s| {
            s.copy_from_slice(samples);
            Ok(())
        })
        .unwrap()
    };
    sums.calls += 1;
    let (mut echoes, mut suspected, mut cancelling) = (0, false, false);
    let begin = cpu_ns();
    for tick in ticks {
        let heard = frame(&mut wire, &tick.heard);
        let after = guard.heard(&heard, &mut pool);
        let sent = tick.sent.as_ref().map(|s| frame(&mut wire, s));
        guard.sent(sent.as_ref());
        let level = media::level::rms_dbfs(after.frame.samples());
        let state = guard.state();
        judge(sums, tick, after.echo.is_echo(), level, echoes);
        echoes += usize::from(tick.echo_dbfs > AUDIBLE_DBFS);
        for (known, list, is) in [
            (&mut suspected, &mut sums.suspected, state != EchoState::None),
            (&mut cancelling, &mut sums.cancelling, state == EchoState::Cancelling),
        ] {
            if is && !*known {
                *known = true;
                list.push(echoes * 20);
            }
        }
    }
    sums.ns += cpu_ns() - begin;
    sums.frames += ticks.len() as u64;
    let stats = guard.stats();
    sums.realigned += stats.realigned;
    sums.loss.extend(stats.return_loss_db);
    if let (Some(echo), Some(found)) = (echo, stats.delay_ms) {
        sums.delays.push(i64::from(found) - echo.delay_ms as i64);
    }
}

fn judge(sums: &mut Sums, tick: &Tick, is_echo: bool, level: f32, echoes: usize) {
    if tick.near_dbfs > AUDIBLE_DBFS + 10.0 && tick.sent.is_some() {
        sums.caller.0 += 1;
        sums.caller.1 += u32::from(is_echo);
    }
    if tick.near_dbfs > -75.0 || tick.echo_dbfs < AUDIBLE_DBFS {
        return;
    }
    let which = if echoes < 50 { &mut sums.early } else { &mut sums.late };
    which.0 += 1;
    which.1 += u32::from(!is_echo);
    if echoes >= 50 {
        sums.late_audible += u32::from(!is_echo && level > AUDIBLE_DBFS);
        sums.power.0 += 10f64.powf(f64::from(media::level::rms_dbfs(&tick.heard)) / 10.0);
        sums.power.1 += 10f64.powf(f64::from(level) / 10.0);
    }
}

fn report(name: &str, sums: &mut Sums) {
    let share = |(n, bad): (u32, u32)| 100.0 * bad as f32 / n.max(1) as f32;
    let spread = |list: &mut Vec<usize>| {
        list.sort_unstable();
        let at = |q: usize| list.get(list.len().saturating_sub(1) * q / 100).copied().unwrap_or(0);
        format!("{:2}: {:4} {:4} {:4}", list.len(), at(0), at(50), at(100))
    };
    sums.delays.sort_unstable();
    println!(
        "{name:24}| {:3} | {} | {} | {:4.1} % {:4.1} % ({:4.1} %) | {:4.1} % | {:5.1} dB | {:5} | delay {:?}..{:?} ms, {} realigned, ERL {:.0?}",
        sums.calls,
        spread(&mut sums.suspected),
        spread(&mut sums.cancelling),
        share(sums.early),
        share(sums.late),
        share((sums.late.0, sums.late_audible)),
        share(sums.caller),
        10.0 * (sums.power.0 / sums.power.1).log10(),
        sums.ns / sums.frames,
        sums.delays.first(),
        sums.delays.last(),
        sums.realigned,
        sums.loss.first(),
    );
}

/// Time this thread was on a core, as Linux counts it: others may be busy.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
