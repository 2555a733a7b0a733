//! The run: a thread of its own for all callers, so many at once, and the pieces put together afterwards. It
//! measures nothing itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::caller::{CallOptions, CallerError};
use crate::clock;
use crate::net::shard::raise_priority;
use crate::rehearse::RehearseError;
use crate::rehearse::actor::Actor;
use crate::rehearse::chance::Chance;
use crate::rehearse::log::{Lateness, Line};
use crate::rehearse::measure::{agent_spans, caller_spans, turns};
use crate::rehearse::over::Replies;
use crate::rehearse::phone::{self, Outcome};
use crate::rehearse::plan::{Kind, Plan};
use crate::rehearse::result::{Call, Generator, RunResult, Summary, machine};
use crate::rehearse::scenario::{self, Scenario};
use crate::rehearse::stages::{Api, join};
use crate::rehearse::weather::Weather;

/// Calls that are over and wait to be measured; then the next ends wait.
const DONE_MAX: usize = 64;

/// What the command line adds to the scenario.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub target: Option<String>,
    /// The gateway's HTTP address, for its own times.
    pub api: Option<String>,
}

/// All that the calls share.
struct Stage {
    scenario: Scenario,
    plan: Plan,
    target: String,
    stop: Arc<AtomicBool>,
}

/// A call that is over, and what it was.
struct Done {
    n: usize,
    kind: Arc<Kind>,
    polite: bool,
    outcome: Result<Outcome, CallerError>,
}

type Say = dyn Fn(&str) + Send + Sync;

/// Plays the scenario. `stop` ends it early: callers hang up, and what was measured counts.
pub async fn run(
    scenario: Scenario,
    options: &Options,
    stop: Arc<AtomicBool>,
    say: Arc<Say>,
) -> Result<RunResult, RehearseError> {
    let target = options.target.clone().or_else(|| scenario.target.clone()).ok_or(RehearseError::NoTarget)?;
    let api = options.api.as_deref().map(Api::new).transpose()?;
    if let Some(api) = &api {
        api.check().await?;
    }
    let plan = Plan::load(&scenario)?;
    let stage = Arc::new(Stage { scenario, plan, target, stop });
    let (started, began) = (clock::rfc3339(clock::unix_ms()), clock::now());
    let (done, inbox) = mpsc::channel(DONE_MAX);
    let playing = Arc::clone(&stage);
    let body = move || {
        raise_priority();
        // Without a runtime nothing is ever done, and the inbox closes.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(play(playing, done));
        }
    };
    std::thread::Builder::new().name("callers".into()).spawn(body).map_err(RehearseError::Thread)?;
    let (mut calls, late) = gather(inbox, &stage, &say).await?;
    let took_s = u32::try_from((clock::now() - began).as_secs()).unwrap_or(u32::MAX);
    if let Some(api) = &api {
        for call in &mut calls {
            if let Some(id) = &call.line.id
                && let Some(records) = api.turns(id).await
            {
                call.joined = join(&mut call.turns, records);
            }
        }
    }
    let (scenario, summary) = (&stage.scenario, Summary::of(&calls));
    Ok(RunResult {
        scenario: scenario.name.clone(),
        dauys: env!("CARGO_PKG_VERSION"),
        machine: machine(),
        started,
        took_s,
        seed: scenario.seed,
        load: scenario.load.clone(),
        line: scenario.line.clone(),
        aims: summary.aims(&scenario.aim),
        summary,
        generator: Generator::new(&late),
        calls,
    })
}

/// Places all calls. What is over is measured elsewhere: this thread has its 20 ms to keep.
async fn play(stage: Arc<Stage>, done: mpsc::Sender<Done>) {
    // Where callers talk over the agent, each kind first calls once and lets it finish.
    let kinds = stage.plan.kinds.iter().enumerate();
    let polite: Vec<usize> = kinds.filter(|(_, k)| k.talks_over).map(|(n, _)| n).collect();
    if !polite.is_empty() {
        place_all(&stage, &polite, true, &done).await;
    }
    let all: Vec<usize> = (0..stage.scenario.load.calls()).collect();
    place_all(&stage, &all, false, &done).await;
}

async fn place_all(stage: &Arc<Stage>, calls: &[usize], polite: bool, done: &mpsc::Sender<Done>) {
    let load = &stage.scenario.load;
    let mut waiting = calls.iter();
    let mut running = JoinSet::new();
    let mut may_start = clock::now();
    loop {
        let stopped = stage.stop.load(Ordering::Relaxed) || done.is_closed();
        let free = waiting.len() > 0 && running.len() < load.at_once && !stopped;
        if !free && running.is_empty() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(may_start.into()), if free => {
                if let Some(n) = waiting.next() {
                    running.spawn(place(Arc::clone(stage), *n, polite));
                }
                may_start = clock::now() + Duration::from_millis(load.every_ms.into());
            }
            Some(ended) = running.join_next() => {
                let Ok(ended) = ended else { return };
                if done.send(ended).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Measures each call that is over, on a thread of its own.
async fn gather(
    mut inbox: mpsc::Receiver<Done>,
    stage: &Stage,
    say: &Arc<Say>,
) -> Result<(Vec<Call>, Lateness), RehearseError> {
    let total = stage.scenario.load.calls();
    let (mut late, mut calls) = (Lateness::default(), vec![]);
    let mut replies: HashMap<String, Arc<Replies>> = HashMap::new();
    while let Some(done) = inbox.recv().await {
        if let Ok(outcome) = &done.outcome {
            late.add(&outcome.late);
        }
        if done.polite {
            say(&format!("{:?} heard the agent out, for comparison", done.kind.name));
            replies.insert(done.kind.name.clone(), Arc::new(Replies::of(&done.outcome?.log)));
            continue;
        }
        let (whole, first) = (replies.get(&done.kind.name).cloned(), calls.is_empty());
        let measured = tokio::task::spawn_blocking(move || evaluate(done, whole.as_deref(), first)).await;
        calls.push(measured.map_err(|_| RehearseError::Broken)??);
        say(&progress(&calls, total));
    }
    if calls.len() < total && !stage.stop.load(Ordering::Relaxed) {
        return Err(RehearseError::Broken);
    }
    calls.sort_by_key(|c| c.n);
    Ok((calls, late))
}

/// `polite`: the nth kind of caller hears the agent out; else the nth call.
async fn place(stage: Arc<Stage>, n: usize, polite: bool) -> Done {
    let Stage { scenario, plan, target, stop } = &*stage;
    let (kind, nth) = if polite { (Arc::clone(&plan.kinds[n]), 0) } else { plan.caller(n) };
    let mut options = CallOptions::new(target.clone(), Duration::from_secs(scenario.load.call_s_max.into()));
    options.codecs =
        scenario.load.codec.map_or_else(|| options.codecs.iter().copied().take(1).collect(), |c| vec![c.into()]);
    options.srtp = scenario.load.srtp;
    let stream = n as u64 + if polite { 1 << 32 } else { 0 };
    let slower = Chance::new(scenario.seed, stream * 8 + 5).up_to(scenario.load.think_spread_ms);
    let actor = Actor::new(Arc::clone(&kind), nth, if polite { 0 } else { slower }, polite);
    // What the others are compared with is heard over a clean line.
    let weather = match polite {
        true => Weather::new(&scenario::Line::default(), None, scenario.seed, stream),
        false => Weather::new(&scenario.line, plan.room.clone(), scenario.seed, stream),
    };
    let outcome = phone::call(&options, actor, weather, Arc::clone(stop)).await;
    Done { n, kind, polite, outcome }
}

/// The first call that cannot even be placed ends the run: the others could not either.
fn evaluate(done: Done, replies: Option<&Replies>, first: bool) -> Result<Call, RehearseError> {
    let empty = |line| Call {
        n: done.n,
        caller: done.kind.name.clone(),
        line,
        joined: false,
        turns: vec![],
        caller_speech: vec![],
        agent_speech: vec![],
    };
    let outcome = match done.outcome {
        Ok(outcome) => outcome,
        Err(error) if first => return Err(error.into()),
        Err(error) => return Ok(empty(Line { ended_by: error.to_string(), ..Line::default() })),
    };
    let Outcome { line, log, .. } = outcome;
    let ended = (line.ended_by == "agent").then_some(line.duration_ms);
    let mut call = empty(line);
    call.turns = turns(&log, ended, replies);
    call.caller_speech = caller_spans(&log.said);
    call.agent_speech = agent_spans(&log.heard);
    Ok(call)
}

fn progress(calls: &[Call], total: usize) -> String {
    let failed = calls.iter().filter(|c| c.failed()).count();
    let failed = if failed > 0 { format!(", {failed} with failed turns") } else { String::new() };
    format!("{} of {total} calls{failed}", calls.len())
}
