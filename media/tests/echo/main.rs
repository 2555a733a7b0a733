//! The echo guard on made calls: recordings sent, an echo of them through line and room heard, a caller in it or
//! not. It never asserts how fast anything is.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod scene;

use std::path::Path;

use media::echo::{EchoConfig, EchoGuard, EchoState, EchoStats};
use media::{Frame, FramePool, MediaTime};
use scene::{Caller, Echo, ROOM, Scene, Tick};

/// Quieter would not be taken for speech.
const AUDIBLE_DBFS: f32 = -50.0;
const SHORT_ROOM: Echo = Echo { room_ms: 60.0, ..ROOM };
const PHONE: Scene = Scene {
    seed: 3,
    seconds: 12,
    echo: Some(SHORT_ROOM),
    caller: Caller::Silent,
    noise_dbfs: -65.0,
    coded: true,
    loss: 0.01,
};

fn voices(agent: &str, caller: &str) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/callers"));
    (scene::recordings(dir, agent), scene::recordings(dir, caller))
}

fn frame(pool: &mut FramePool, samples: &[i16; 320]) -> Frame {
    pool.fill::<()>(MediaTime::ZERO, |s| {
        s.copy_from_slice(samples);
        Ok(())
    })
    .unwrap()
}

/// What came of a call.
#[derive(Default)]
struct Outcome {
    stats: EchoStats,
    /// Audible frames of echo alone from the second on, and those of them that would count as the caller.
    echo: (u32, u32),
    /// Frames of the caller over the agent, and those that would not count.
    caller: (u32, u32),
    /// Frames whose samples were changed.
    changed: u32,
    /// Power of echo alone before and after, from the fourth second on.
    power: (f64, f64),
}

fn percent((all, some): (u32, u32)) -> f32 {
    100.0 * some as f32 / all.max(1) as f32
}

fn run(guard: &mut EchoGuard, ticks: &[Tick]) -> Outcome {
    let (mut pool, mut wire) = (FramePool::new(2), FramePool::new(2));
    let mut outcome = Outcome::default();
    let mut echoes = 0;
    for tick in ticks {
        let raw = frame(&mut wire, &tick.heard);
        let heard = guard.heard(&raw, &mut pool);
        let sent = tick.sent.as_ref().map(|s| frame(&mut wire, s));
        guard.sent(sent.as_ref());
        outcome.changed += u32::from(!std::ptr::eq(raw.samples(), heard.frame.samples()));
        echoes += u32::from(tick.echo_dbfs > AUDIBLE_DBFS);
        if tick.near_dbfs > -40.0 && tick.sent.is_some() {
            outcome.caller.0 += 1;
            outcome.caller.1 += u32::from(heard.echo.callers(1.0) < 0.5);
        } else if tick.near_dbfs < -75.0 && tick.echo_dbfs > AUDIBLE_DBFS && echoes > 50 {
            let after = media::level::mean_square(heard.frame.samples());
            outcome.echo.0 += 1;
            outcome.echo.1 +=
                u32::from(!heard.echo.is_echo() && after > media::level::mean_square_of_dbfs(AUDIBLE_DBFS));
            if echoes > 150 {
                outcome.power.0 += f64::from(media::level::mean_square(raw.samples()));
                outcome.power.1 += f64::from(after);
            }
        }
    }
    outcome.stats = guard.stats();
    outcome
}

/// At most so many percent of the echo taken for the caller, and of the caller for echo; how much of the echo goes.
struct Expect {
    echo_max: f32,
    caller_max: f32,
    gone_db: f64,
}

fn check(name: &str, scene: &Scene, expect: &Expect) {
    let (agent, caller) = voices("bf_emma", "am_fenrir");
    let ticks = scene::play(scene, &agent, &caller);
    let outcome = run(&mut EchoGuard::new(EchoConfig::default()), &ticks);
    let Outcome { stats, echo, caller, power, .. } = &outcome;
    let truth = scene.echo.unwrap();
    assert_eq!(stats.state, EchoState::Cancelling, "{name}");
    assert!(
        (f32::from(u16::try_from(stats.delay_ms.unwrap()).unwrap()) - truth.delay_ms).abs() <= 60.0,
        "{name}: {stats:?}"
    );
    assert!(echo.0 > 40, "{name}: too little to judge");
    assert!(percent(*echo) <= expect.echo_max, "{name}: {} of {} frames of echo count", echo.1, echo.0);
    assert!(percent(*caller) <= expect.caller_max, "{name}: {} of {} caller's frames do not", caller.1, caller.0);
    let gone = 10.0 * (power.0 / power.1.max(1.0)).log10();
    assert!(gone >= expect.gone_db, "{name}: {gone:.1} dB");
    if scene.caller == Caller::Silent {
        let loss = stats.return_loss_db.unwrap();
        assert!((loss + truth.level_db).abs() < 4.0, "{name}: {stats:?}");
    }
}

#[test]
fn the_agents_own_voice_is_not_the_callers() {
    let echo = |delay_ms, level_db| Scene { echo: Some(Echo { delay_ms, level_db, ..SHORT_ROOM }), ..PHONE };
    let console = |delay_ms, level_db| Scene { coded: false, loss: 0.0, ..echo(delay_ms, level_db) };
    let expect = Expect { echo_max: 3.0, caller_max: 0.0, gone_db: 15.0 };
    check("console, close", &console(40.0, -10.0), &expect);
    check("console, loud", &console(250.0, -6.0), &expect);
    check("phone", &echo(180.0, -15.0), &expect);
    check("phone, far", &echo(700.0, -20.0), &expect);
}

#[test]
fn a_bad_line_hides_no_echo() {
    let expect = Expect { echo_max: 6.0, caller_max: 0.0, gone_db: 10.0 };
    let jumps = Echo { delay_ms: 300.0, jumps_s: Some(3.0), drift_ppm: 50.0, ..SHORT_ROOM };
    check("loss and a delay that jumps", &Scene { loss: 0.03, echo: Some(jumps), ..PHONE }, &expect);
    let clips = Echo { clips: true, ..SHORT_ROOM };
    check("an overdriven loudspeaker in noise", &Scene { noise_dbfs: -50.0, echo: Some(clips), ..PHONE }, &expect);
}

#[test]
fn a_caller_is_heard_over_the_echo() {
    let expect = Expect { echo_max: 10.0, caller_max: 15.0, gone_db: 6.0 };
    let over = |level_db| Scene {
        caller: Caller::Over(3.0),
        seconds: 16,
        echo: Some(Echo { level_db, ..SHORT_ROOM }),
        ..PHONE
    };
    check("loud echo", &over(-10.0), &expect);
    check("soft echo", &over(-20.0), &expect);
}

#[test]
fn who_has_no_echo_is_left_alone() {
    for (seed, caller) in [(1, Caller::Polite), (2, Caller::Over(0.0)), (3, Caller::Over(1.0)), (4, Caller::Silent)] {
        for (agent, near) in [("bf_emma", "am_michael"), ("am_fenrir", "af_bella")] {
            let (agent, near) = voices(agent, near);
            let ticks = scene::play(&Scene { seed, caller, echo: None, ..PHONE }, &agent, &near);
            let outcome = run(&mut EchoGuard::new(EchoConfig::default()), &ticks);
            assert_eq!((outcome.stats.recognised, outcome.changed), (0, 0), "{seed}");
            // A suspicion that does not hold may have cost him a syllable.
            assert!(percent(outcome.caller) <= 10.0, "{seed}: {:?}", outcome.caller);
        }
    }
}

#[test]
fn an_echo_may_only_be_reported() {
    let (agent, near) = voices("bf_emma", "am_fenrir");
    let ticks = scene::play(&PHONE, &agent, &near);
    let mut guard = EchoGuard::new(EchoConfig { cancel: false });
    let outcome = run(&mut guard, &ticks);
    assert_eq!((outcome.changed, guard.state(), outcome.stats.recognised), (0, EchoState::Recognised, 1));
    assert!(percent(outcome.echo) < 3.0, "{:?}", outcome.echo);
    guard.reset();
    assert_eq!((guard.state(), guard.stats().delay_ms, guard.stats().recognised), (EchoState::None, None, 1));
}

#[test]
fn an_echo_that_ends_is_forgotten() {
    let (agent, near) = voices("bf_emma", "am_fenrir");
    let mut guard = EchoGuard::new(EchoConfig::default());
    run(&mut guard, &scene::play(&PHONE, &agent, &near));
    let handset = Scene { echo: None, seed: 9, caller: Caller::Polite, ..PHONE };
    let outcome = run(&mut guard, &scene::play(&handset, &agent, &near));
    assert_eq!(outcome.stats.state, EchoState::None);
}

#[test]
fn gaps_and_a_full_pool_do_no_harm() {
    let (agent, near) = voices("bf_emma", "am_fenrir");
    let ticks = scene::play(&PHONE, &agent, &near);
    let mut guard = EchoGuard::new(EchoConfig::default());
    let (mut none, mut wire) = (FramePool::new(0), FramePool::new(2));
    let mut echoes = 0;
    for (n, tick) in ticks.iter().enumerate() {
        // The network says nothing for 100 ms in every second.
        if n % 50 >= 5 {
            let raw = frame(&mut wire, &tick.heard);
            let heard = guard.heard(&raw, &mut none);
            assert!(std::ptr::eq(raw.samples(), heard.frame.samples()));
            echoes += u32::from(heard.echo.is_echo());
        }
        let sent = tick.sent.as_ref().map(|s| frame(&mut wire, s));
        guard.sent(sent.as_ref());
    }
    assert_eq!(guard.state(), EchoState::Cancelling);
    assert!(echoes > 100, "{echoes}");
}
