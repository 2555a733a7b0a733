//! What each command does, in terms of the library. Nothing else depends on this file.

pub mod privacy;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dauys::caller::console::Console;
use dauys::caller::script::{Item, Script, ScriptOptions, write_wav};
use dauys::caller::{self, CallOptions};
use dauys::config::{Config, Strangers};
use dauys::dialogue::Agent;
use dauys::gateway::{Gateway, load_agents};
use dauys::rehearse::{self, Scenario};
use dauys::route::{Asked, Routes};
use dauys::vault::VaultError;
use models::manifest::{Group, Manifest, Row, Status};
use models::pull::Bar;

use crate::{Call, Check, Command, Models, Rehearse, Serve};

pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(options) => runtime()?.block_on(serve(options)),
        Command::Check(options) => check(&options),
        Command::Models { what } => models_command(&what),
        Command::Call(options) => runtime()?.block_on(call(options)),
        Command::Rehearse(options) => runtime()?.block_on(rehearse(options)),
        Command::Console { config } => runtime()?.block_on(console(&config)),
        Command::Privacy(command) => runtime()?.block_on(privacy::run(command)),
    }
}

/// For people, on stderr; a stderr that cannot be written is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An error with its causes, each said once: many errors name their cause themselves.
pub fn whole(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        if said.contains(&cause) {
            said
        } else if said.is_empty() {
            cause
        } else {
            format!("{said}: {cause}")
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system gives no threads")
}

async fn serve(options: Serve) -> Result<ExitCode> {
    dauys::vault::harden::harden();
    let mut config = Config::load(&options.config)?;
    if let Some(ip) = options.public {
        config.sip.publish(ip);
    }
    if let Some(dir) = options.data {
        config.store.dir = dir;
    }
    if let Some(dir) = options.models {
        config.models.dir = Some(dir);
    }
    let (called, strangers, has_pages) = (called(&config), config.strangers(), config.web.is_some());
    let running = Gateway::start(config, &|what| say(&format!("  {what} ..."))).await?;
    let (sip, http) = (running.sip(), running.http);
    println!("\nDauys is ready.\n");
    let who = match strangers {
        Strangers::Answer => "any SIP phone, UDP, no registration",
        Strangers::Refuse => "UDP; from trunks and registrations only",
    };
    println!("  Call      sip:{called}@{sip}    ({who})");
    for other in running.listeners.iter().skip(1) {
        let transport = other.transport.as_str().to_lowercase();
        println!("  or by     sip:{called}@{};transport={transport}", other.address);
    }
    if has_pages {
        println!("  Talk      http://{http}/demo    (from a browser, docs/web.md)");
    }
    println!("  Open      http://{http}/    (calls, timings, transcripts)");
    println!("  Ask       \"What time do you open on Saturday?\"");
    let dauys = std::env::current_exe().map_or_else(|_| "dauys".into(), |p| p.display().to_string());
    println!("  No phone? {dauys} console");
    println!("            {dauys} call sip:{called}@{sip} --keys 1 --play QUESTION.wav --record ANSWER.wav");
    println!("\nCtrl-C ends every call politely and stops.");
    let ousted = tokio::select! {
        stopped = stop_signal() => stopped.map(|()| false)?,
        () = running.gateway.store.ousted() => true,
    };
    say("stopping: every call gets its BYE ...");
    running.stop().await;
    if ousted {
        return Err(VaultError::DatabaseInUse.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// A user part that some agent answers.
fn called(config: &Config) -> String {
    let numbers = config.agents.iter().flat_map(|a| a.numbers.first());
    if config.agents.iter().any(|a| a.numbers.is_empty()) {
        return "front-desk".into();
    }
    numbers.into_iter().next().cloned().unwrap_or_default()
}

async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn check(options: &Check) -> Result<ExitCode> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    // An agent file says what it speaks; a configuration lists agents.
    let is_agent = text.parse::<toml::Table>().is_ok_and(|t| t.contains_key("language") && !t.contains_key("agent"));
    if is_agent && options.route.is_some() {
        bail!("{} is an agent; routes stand in a configuration", file.display());
    }
    if is_agent {
        let agent = Agent::parse(&text).with_context(|| file.display().to_string())?;
        println!("{}: a good agent, {} fixed sentences", file.display(), agent.fixed_sentences().len());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(file)?;
    let agents = load_agents(&config)?;
    println!("{}: good", file.display());
    for agent in agents {
        println!("  agent {}", agent.name);
    }
    if let Some(called) = &options.route {
        explain(&config, called, options)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a call goes where it goes.
fn explain(config: &Config, called: &str, options: &Check) -> Result<()> {
    let user = |address: &str| {
        let uri = sip::uri::Uri::parse(address);
        uri.map(|u| u.user()).map_err(|_| anyhow::anyhow!("{address:?} is no address; write sip:NAME@HOST"))
    };
    let known: Vec<&str> = config.trunk_names().collect();
    if let Some(unknown) = options.trunk.as_deref().filter(|t| !known.contains(t)) {
        bail!("there is no [[trunk]] and no [[register]] named {unknown:?}; configured are: {}", known.join(", "));
    }
    let split = |h: &String| h.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    let headers: Option<Vec<_>> = options.header.iter().map(split).collect();
    let headers = headers.context("--header takes NAME: VALUE")?;
    let (called, caller) = (user(called)?, options.from.as_deref().map(user).transpose()?.unwrap_or_default());
    println!("\nA call to {called:?}:");
    if options.trunk.is_none() && config.strangers() == Strangers::Refuse {
        println!("  refused before any rule: it comes through no trunk, and strangers are refused ([sip] strangers)");
        return Ok(());
    }
    let asked = Asked { trunk: options.trunk.as_deref(), called: &called, caller: &caller, headers: &headers };
    for line in Routes::new(config).explain(&asked) {
        println!("  {line}");
    }
    Ok(())
}

async fn call(options: Call) -> Result<ExitCode> {
    let keys = options.keys.map(Item::Keys);
    let recordings = options.play.into_iter().map(Item::Recording);
    let mut script = Script::load(ScriptOptions {
        items: keys.into_iter().chain(recordings).collect(),
        pause_ms: options.pause_ms,
        record: options.record.is_some(),
    })?;
    let mut how = CallOptions::new(options.target, Duration::from_secs(options.seconds_max));
    (how.srtp, how.token) = (options.srtp, options.token);
    if !options.codec.is_empty() {
        how.codecs = options.codec;
    }
    let mut report = caller::call(&how, &mut script).await?;
    let (turns, heard) = script.turns();
    report.turns = turns;
    if let (Some(path), Some(heard)) = (options.record, heard) {
        write_wav(&path, &heard)?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.text());
    }
    let answered = report.turns.iter().all(|t| t.voice_to_voice_ms.is_some());
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Ctrl-C ends it early, with what was measured until then.
async fn rehearse(options: Rehearse) -> Result<ExitCode> {
    let mut scenario = Scenario::load(&options.scenario)?;
    scenario.load.calls = options.calls.or(scenario.load.calls);
    scenario.load.at_once = options.at_once.unwrap_or(scenario.load.at_once);
    let scenario = scenario.checked(&options.scenario)?;
    let out = options.out.unwrap_or_else(|| default_folder(&options.scenario));
    let stop = Arc::new(AtomicBool::new(false));
    let (listener, stopping) = (tokio::spawn(stop_signal()), Arc::clone(&stop));
    let on_signal = tokio::spawn(async move {
        if let Ok(Ok(())) = listener.await {
            say("hanging up; what was measured counts ...");
            stopping.store(true, Ordering::Relaxed);
        }
    });
    let whom = rehearse::Options { target: options.target, api: options.api };
    let result = rehearse::run(scenario, &whom, stop, Arc::new(|what: &str| say(&format!("  {what}")))).await;
    on_signal.abort();
    let result = result?;
    rehearse::write(&result, &out)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print!("{}", result.text());
        println!("  {:<26} {}", "report", out.join("report.html").display());
    }
    result.misses().iter().for_each(|missed| say(missed));
    Ok(if result.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `rehearsals/NAME-TIME`, so that no run overwrites another.
fn default_folder(scenario: &Path) -> PathBuf {
    let name = scenario.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let time = dauys::clock::rfc3339(dauys::clock::unix_ms()).replace(':', "");
    PathBuf::from("rehearsals").join(format!("{name}-{}", time.split('.').next().unwrap_or_default()))
}

/// The whole road: an own gateway on free ports, and a call to it from this machine's sound card.
async fn console(config: &Path) -> Result<ExitCode> {
    dauys::vault::harden::harden();
    let mut config = Config::load(config)?;
    // Beside a gateway that serves from the configured one.
    config.store.dir = config.store.dir.join("console");
    config.sip.bind = ([127, 0, 0, 1], 0).into();
    config.http.bind = ([127, 0, 0, 1], 0).into();
    config.web = None;
    let called = called(&config);
    let mut party = Console::open()?;
    let running = Gateway::start(config, &|what| say(&format!("  {what} ..."))).await?;
    say(&format!(
        "Speak; wear headphones, or the agent hears itself. Ctrl-C hangs up. Watch: http://{}/",
        running.http
    ));
    let how = CallOptions::new(format!("sip:{called}@{}", running.sip()), Duration::from_secs(3600));
    tokio::select! {
        report = caller::call(&how, &mut party) => println!("{}", report?.text()),
        stopped = stop_signal() => stopped?,
    }
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn models_command(what: &Models) -> Result<ExitCode> {
    let dir = models::default_models_dir();
    match what {
        Models::List => list(&dir),
        Models::Pull { groups } => pull(&dir, groups),
        Models::Verify => verify(&dir),
    }
}

fn list(dir: &Path) -> Result<ExitCode> {
    let manifest = Manifest::builtin()?;
    print_rows(dir, manifest.list(dir));
    Ok(ExitCode::SUCCESS)
}

fn verify(dir: &Path) -> Result<ExitCode> {
    let manifest = Manifest::builtin()?;
    let rows = manifest.verify(dir);
    let good = rows.iter().all(|r| r.status == Status::Present);
    print_rows(dir, rows);
    if !good {
        bail!("not every model is whole; run: dauys models pull");
    }
    Ok(ExitCode::SUCCESS)
}

fn pull(dir: &Path, groups: &[String]) -> Result<ExitCode> {
    let groups: Vec<Group> = if groups.is_empty() {
        Group::ALL.to_vec()
    } else {
        groups.iter().map(|g| g.parse()).collect::<Result<_, _>>()?
    };
    let mut bar = Bar::new();
    let report = models::pull::pull(&Manifest::builtin()?, &groups, dir, &mut |p| bar.show(p))?;
    println!("models in {}: {} fetched, {} were here", dir.display(), report.fetched.len(), report.present.len());
    Ok(ExitCode::SUCCESS)
}

fn print_rows(dir: &Path, rows: Vec<Row>) {
    println!("{}", dir.display());
    for row in rows {
        let size_mb = row.size as f64 / 1e6;
        let status = format!("{:?}", row.status).to_lowercase();
        println!("  {:<28} {:<10} {size_mb:>8.1} MB  {status:<10} {}", row.name, row.group.as_str(), row.licence);
    }
}
