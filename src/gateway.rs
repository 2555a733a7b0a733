//! The gateway: everything that is started once, and what each new call takes from it. It handles no
//! message and no sample itself.

mod terms;
mod web;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use media::secure::{Identity, IdentityError};
use metrics_exporter_prometheus::PrometheusHandle;
use models::{Deaf, Engines, EnginesConfig, Language, VoiceName, Wake};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::info;

use crate::call::consent::Script;
use crate::call::driver::{Lines, Signal, Surroundings, Think, Warm};
use crate::call::registry::Registry;
use crate::call::{CallConfig, CallId, LlmUse, MachineAction};
use crate::clock;
use crate::config::{Busy, Config, Password, RecognizerKind};
use crate::dialogue::Agent;
use crate::egress::Egress;
use crate::http;
use crate::llm;
use crate::net::ports::Ports;
use crate::net::roads::{Roads, RoadsError};
use crate::net::shard::Shard;
use crate::net::sip::{LinesError, SipDriver};
use crate::outbound::{ORDERS, Order, OrderRefused};
use crate::policy::{PolicyError, TenantPolicy};
use crate::random;
use crate::route::{Asked, Decision, Routes};
use crate::store::TranscriptStore;
use crate::strain::SharedStrain;
use crate::telemetry;
use crate::vault::{Vault, VaultError, house};

pub use terms::way_out;
pub use web::WebSide;

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Calls at once that are told that there is no room; one more gets 503.
const TURNED_AWAY_MAX: usize = 16;

/// What each server is given to end its calls or answers.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot read the agent file {path}: {source}")]
    AgentUnreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Agent { path: PathBuf, source: crate::dialogue::AgentError },
    #[error("{path}: {detail}")]
    AgentName { path: PathBuf, detail: String },
    #[error(transparent)]
    Roads(#[from] RoadsError),
    #[error(transparent)]
    Lines(#[from] LinesError),
    #[error(transparent)]
    Token(#[from] crate::config::PasswordError),
    #[error(transparent)]
    Http(#[from] http::HttpError),
    #[error(transparent)]
    Web(#[from] crate::net::web::WebError),
    #[error("the secret in [web] token_env is too short; give it 16 characters of chance or more")]
    ShortSecret,
    #[error(transparent)]
    Models(#[from] models::LoadError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Store(#[from] VaultError),
    #[error(transparent)]
    Llm(#[from] llm::LlmError),
    #[error(transparent)]
    Doors(#[from] http::DoorsError),
    #[error(
        "[egress] secrets names {0}, and the policy has no [[destination]] of this name; declare it, or remove this"
    )]
    NoDestination(String),
    #[error("the policy: {0}")]
    Destination(#[from] privacy::egress::BadDestination),
    #[error("the policy: {0}")]
    Clocks(#[from] privacy::register::BadClocks),
    #[error(transparent)]
    Client(#[from] crate::egress::NoClient),
    #[error("cannot start a thread or a timer: {0}")]
    System(#[from] std::io::Error),
    #[error("the metrics recorder did not start: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("no certificate for encrypted media could be made: {0}")]
    Identity(#[from] IdentityError),
}

/// Why a call is refused before an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("no agent answers this number")]
    NoAgent,
    #[error("a route refuses it")]
    ByRoute(u16),
    #[error("no codec in common; see `codecs` in [rtp]")]
    NoCommonCodec,
    #[error("its media would not be encrypted, and `srtp` is \"required\"")]
    NotEncrypted,
    #[error("as many calls as configured are in progress")]
    Full,
    #[error("no media port is free")]
    NoPorts,
    #[error("the speech engines have no place")]
    NoSlot,
    #[error("the calls in progress are answered late already")]
    Strained,
    #[error("the call that it would replace came by another line")]
    NotTheirs,
    #[error("the caller is gone already")]
    Gone,
}

impl Refused {
    /// A metric label.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoAgent => "no_agent",
            Self::ByRoute(_) => "by_route",
            Self::NoCommonCodec => "no_common_codec",
            Self::NotEncrypted => "not_encrypted",
            Self::Full => "full",
            Self::NoPorts => "no_ports",
            Self::NoSlot => "no_slot",
            Self::Strained => "strained",
            Self::NotTheirs => "not_theirs",
            Self::Gone => "gone",
        }
    }

    /// The SIP status that says it.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoAgent => 404,
            Self::ByRoute(status) => *status,
            Self::NoCommonCodec | Self::NotEncrypted => 488,
            Self::Full | Self::NoPorts | Self::NoSlot | Self::Strained => 503,
            Self::NotTheirs => 403,
            Self::Gone => 487,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        (self.status() == 503).then_some(RETRY_AFTER)
    }
}

/// An agent, ready to answer.
pub struct LoadedAgent {
    /// The file's name without folder and ending.
    pub name: String,
    pub agent: Arc<Agent>,
    /// What its callers are told and asked; none: there is no policy.
    pub script: Option<Arc<Script>>,
    language: Language,
    voice: VoiceName,
}

/// Everything one admitted call holds.
pub struct Admission {
    pub id: CallId,
    pub agent: Arc<LoadedAgent>,
    pub shard: usize,
    pub poked: Arc<AtomicBool>,
    pub lines: Lines,
    pub place: OwnedSemaphorePermit,
    /// There is no room for it; it is only told so.
    pub turned_away: bool,
}

pub struct Gateway {
    pub config: Config,
    pub registry: Arc<Registry>,
    strain: SharedStrain,
    /// None: nothing is asked, and nothing of what is said is kept.
    pub policy: Option<Arc<TenantPolicy>>,
    pub store: Vault,
    /// The one way by which data leaves.
    pub egress: Egress,
    pub office: Arc<http::Office>,
    pub ports: Ports,
    pub metrics: PrometheusHandle,
    agents: Vec<Arc<LoadedAgent>>,
    routes: Routes,
    engines: Engines,
    shards: Vec<Shard>,
    next_shard: AtomicUsize,
    places: Arc<Semaphore>,
    /// For calls that are told that there is no room.
    porch: Arc<Semaphore>,
    think: Option<Think>,
    warm: Option<Warm>,
    /// Who may order calls by the API; none: whoever is on this machine.
    pub api_token: Option<sip::Private<String>>,
    /// Our certificate for DTLS-SRTP, made at start.
    pub identity: Arc<Identity>,
    /// For calls from web pages; none: there are none.
    pub web: Option<WebSide>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
}

/// A started gateway; dropping it does not stop it, `stop` does.
pub struct Running {
    pub gateway: Arc<Gateway>,
    /// Where callers reach us, by every transport; UDP first.
    pub listeners: Vec<sip::Peer>,
    pub http: std::net::SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Where SIP phones call by UDP.
    pub fn sip(&self) -> std::net::SocketAddr {
        self.listeners.first().map_or(self.gateway.config.sip.bind, |l| l.address)
    }

    /// Ends every call with a BYE, then the servers.
    pub async fn stop(self) {
        let _ = self.gateway.stop.send(true);
        for mut task in self.tasks {
            // A client that never finishes its request must not keep the gateway from stopping.
            if tokio::time::timeout(STOP_PATIENCE, &mut task).await.is_err() {
                task.abort();
            }
        }
        // The shards end their calls at the next tick; what they write then must still be kept.
        let patience = clock::now() + Duration::from_secs(1);
        while !self.gateway.registry.is_empty() && clock::now() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.gateway.store.close().await;
    }
}

/// Reads the agents a configuration names; `dauys check` needs no more.
pub fn load_agents(config: &Config) -> Result<Vec<Arc<LoadedAgent>>, StartError> {
    let policy = TenantPolicy::load(config)?;
    agents_under(config, policy.as_ref())
}

fn agents_under(config: &Config, policy: Option<&TenantPolicy>) -> Result<Vec<Arc<LoadedAgent>>, StartError> {
    config.agents.iter().map(|a| load_agent(&a.file, policy).map(Arc::new)).collect()
}

fn load_agent(path: &std::path::Path, policy: Option<&TenantPolicy>) -> Result<LoadedAgent, StartError> {
    let path = path.to_path_buf();
    let text =
        std::fs::read_to_string(&path).map_err(|source| StartError::AgentUnreadable { path: path.clone(), source })?;
    let agent = Agent::parse(&text).map_err(|source| StartError::Agent { path: path.clone(), source })?;
    let named = |e: models::NameError| StartError::AgentName { path: path.clone(), detail: e.to_string() };
    let language = Language::parse(agent.language()).map_err(named)?;
    let voice = VoiceName::parse(agent.voice()).map_err(named)?;
    let manifest = models::manifest::Manifest::builtin().map_err(models::LoadError::from)?;
    if voice.espeak().is_none() && manifest.voice(voice.as_str()).is_none() {
        let known = manifest.voices().join(", ");
        let detail = format!("`voice`: there is no `{voice}`; voices are {known}, or espeak:LANGUAGE");
        return Err(StartError::AgentName { path, detail });
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let script = policy.map(|policy| policy.script(&name, agent.language())).transpose()?;
    Ok(LoadedAgent { name, agent: Arc::new(agent), script, language, voice })
}

/// What the engines must be able to do for these agents.
pub fn engines_config(config: &Config, agents: &[Arc<LoadedAgent>]) -> EnginesConfig {
    let mut engines = EnginesConfig {
        slots: u32::try_from(config.calls.max).unwrap_or(u32::MAX),
        vad_gate: config.vad.gate,
        ..EnginesConfig::default()
    };
    if let Some(dir) = &config.models.dir {
        engines.models_dir.clone_from(dir);
    }
    if let Some(dir) = &config.models.clips {
        engines.cache_dir.clone_from(dir);
    }
    for agent in agents {
        let kind = match config.models.recognizer {
            Some(RecognizerKind::Moonshine) => models::RecognizerKind::Moonshine,
            Some(RecognizerKind::Whisper) => models::RecognizerKind::Whisper,
            None if agent.language.as_str() == "en" => models::RecognizerKind::Moonshine,
            None => models::RecognizerKind::Whisper,
        };
        engines.recognizers.insert(agent.language.clone(), kind);
        if !engines.voices.contains(&agent.voice) {
            engines.voices.push(agent.voice.clone());
        }
    }
    engines
}

impl Gateway {
    /// Binds, loads, warms and starts everything, or says what is in the way.
    /// `progress` is told in plain words what is being done.
    pub async fn start(config: Config, progress: &(dyn Fn(&str) + Sync)) -> Result<Running, StartError> {
        Self::start_with(config, progress, Engines::load).await
    }

    /// The same with engines of one's own: tests bring slow ones.
    pub async fn start_with(
        config: Config,
        progress: &(dyn Fn(&str) + Sync),
        load: impl FnOnce(&EnginesConfig) -> Result<Engines, models::LoadError>,
    ) -> Result<Running, StartError> {
        let policy = TenantPolicy::load(&config)?.map(Arc::new);
        let agents = agents_under(&config, policy.as_deref())?;
        let api_token = config.http.token_env.as_ref().map(|name| Password::Env(name.clone()).read()).transpose()?;
        let roads = Roads::bind(crate::net::sip::roads(&config.sip)).await?;
        let http = http::bind(config.http.bind).await?;
        let web = WebSide::open(&config)?;
        let store = terms::open_store(&config, policy.as_deref()).await?;
        let egress = terms::open_egress(&config, policy.as_deref(), &store)?;
        let office = terms::open_office(&config, policy.as_deref(), (&store, &egress), api_token.as_ref())?;
        progress("loading the speech models");
        let engines = load(&engines_config(&config, &agents))?;
        prepare(&engines, &agents, progress);
        let http_address = http.local_addr()?;
        let told = |l: sip::Peer| sip::Peer::new(l.transport, crate::net::sip::told(&config, l.address));
        let listeners: Vec<sip::Peer> = roads.listeners().into_iter().map(told).collect();
        let (orders, ordered) = mpsc::channel(ORDERS);
        let strain = SharedStrain::new(Duration::from_millis(config.calls.turn_late_ms_max.into()));
        let shards = (0..config.rtp.shards).map(|number| Shard::spawn(number, strain.clone()));
        let gateway = Arc::new(Self {
            registry: Arc::default(),
            ports: Ports::new(config.rtp.ports),
            metrics: telemetry::init_metrics()?,
            shards: shards.collect::<Result<_, _>>()?,
            strain,
            next_shard: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(config.calls.max)),
            porch: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            think: config.llm.as_ref().map(|config| llm::think(config, &egress, policy.is_some())).transpose()?,
            warm: config.llm.as_ref().map(|config| llm::warm(config, &egress, policy.is_some())).transpose()?,
            stop: watch::Sender::new(false),
            api_token,
            identity: Arc::new(Identity::generate()?),
            web,
            orders,
            routes: Routes::new(&config),
            policy,
            store,
            egress,
            office: Arc::new(office),
            agents,
            engines,
            config,
        });
        // Fails here rather than in the middle of a call.
        getrandom::fill(&mut [0; 16])?;
        let driver = SipDriver::new(Arc::clone(&gateway), roads, ordered)?;
        let tasks = vec![
            tokio::spawn(driver.run()),
            tokio::spawn(http::serve(http, Arc::clone(&gateway))),
            tokio::spawn(http::watch_pages(Arc::clone(&gateway))),
            tokio::spawn(house::keep(gateway.store.clone(), Arc::new(gateway.egress.clone()), gateway.stopping())),
        ];
        info!(listeners = listeners.len(), http = %http_address, "ready");
        Ok(Running { gateway, listeners, http: http_address, tasks })
    }

    /// The agent that the routes give a call.
    pub fn route(&self, asked: &Asked<'_>) -> Result<Arc<LoadedAgent>, Refused> {
        match self.routes.decide(asked) {
            Decision::Agent(number) => self.agents.get(number).cloned().ok_or(Refused::NoAgent),
            Decision::Reject(status) => Err(Refused::ByRoute(status)),
            Decision::Nobody => Err(Refused::NoAgent),
        }
    }

    /// The agent of this name; the first one without a name.
    pub fn agent(&self, name: Option<&str>) -> Option<Arc<LoadedAgent>> {
        self.agents.iter().find(|a| name.is_none_or(|name| a.name == name)).cloned()
    }

    /// Whether one more call would make those in progress wait. Never while nobody calls: however slow, it answers.
    pub fn strained(&self) -> bool {
        let waiting = self.engines.due_since();
        let idle = self.places.available_permits() >= self.config.calls.max;
        let strained = self.strain.get().strained(clock::now(), waiting) && !idle;
        metrics::gauge!("dauys_strained").set(f64::from(u8::from(strained)));
        strained
    }

    /// Whether one more call would be taken, as far as that is known without taking it.
    pub fn room(&self) -> Result<(), Refused> {
        if self.strained() {
            Err(Refused::Strained)
        } else if self.places.available_permits() == 0 {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    /// Takes a place, a shard and the engines' lines for one call.
    pub fn admit(&self, agent: Arc<LoadedAgent>) -> Result<Admission, Refused> {
        self.room()?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::Full)?;
        let (shard, poked, wake) = self.next_shard()?;
        let engine = |_| Refused::NoSlot;
        let lines = Lines {
            recognizer: self.engines.recognizer(&agent.language, Arc::clone(&wake)).map_err(engine)?,
            synthesizer: self.engines.synthesizer(&agent.voice, Arc::clone(&wake)).map_err(engine)?,
            vad: self.engines.vad(),
            turn: self.engines.turn_detector(wake).map_err(engine)?,
        };
        let id = CallId(random::bits() as u64);
        Ok(Admission { id, agent, shard, poked, lines, place, turned_away: false })
    }

    /// The same for somebody who calls us: where there is no room, they may be told so in words.
    pub fn admit_caller(&self, agent: Arc<LoadedAgent>) -> Result<Admission, Refused> {
        match self.admit(Arc::clone(&agent)) {
            Err(refused @ (Refused::Full | Refused::NoSlot | Refused::Strained))
                if self.config.calls.busy == Busy::Clip =>
            {
                metrics::counter!("dauys_calls_refused_total", "reason" => refused.word()).increment(1);
                info!(reason = refused.word(), "call turned away");
                self.turn_away(agent)
            }
            admitted => admitted,
        }
    }

    /// Takes nothing that a call in progress may want: no place, no engine.
    fn turn_away(&self, agent: Arc<LoadedAgent>) -> Result<Admission, Refused> {
        let place = Arc::clone(&self.porch).try_acquire_owned().map_err(|_| Refused::Full)?;
        let (shard, poked, wake) = self.next_shard()?;
        let synthesizer = self.engines.clips(&agent.voice, wake).map_err(|_| Refused::NoSlot)?;
        let lines = Lines { recognizer: Box::new(Deaf), synthesizer, vad: Box::new(Deaf), turn: Box::new(Deaf) };
        let id = CallId(random::bits() as u64);
        Ok(Admission { id, agent, shard, poked, lines, place, turned_away: true })
    }

    fn next_shard(&self) -> Result<(usize, Arc<AtomicBool>, Wake), Refused> {
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let poked = Arc::new(AtomicBool::new(false));
        let wake = self.shards.get(shard).ok_or(Refused::Full)?.waker(&poked);
        Ok((shard, poked, wake))
    }

    pub fn surroundings(&self, signal: Box<dyn Fn(Signal) + Send>, place: OwnedSemaphorePermit) -> Surroundings {
        Surroundings {
            store: Arc::new(self.store.clone()) as Arc<dyn TranscriptStore>,
            registry: Arc::clone(&self.registry),
            live: Arc::clone(self.store.live()),
            strain: self.strain.clone(),
            think: self.think.clone(),
            warm: self.warm.clone(),
            egress: Some(self.egress.clone()),
            signal,
            place,
        }
    }

    /// `answering`: of a call of ours, what is done with a machine.
    pub fn call_config(&self, answering: Option<MachineAction>) -> CallConfig {
        CallConfig {
            answering,
            warm: self.config.llm.as_ref().is_some_and(|llm| llm.warm.unwrap_or(!llm.remote)),
            turn: self.config.turn,
            silence_ms: self.config.calls.silence_ms,
            duration_s_max: self.config.calls.duration_s_max,
            llm: match &self.config.llm {
                None => LlmUse::Off,
                Some(_) if self.policy.is_some() => LlmUse::Declared,
                // What is elsewhere needs a policy, see `TenantPolicy::load`.
                Some(_) => LlmUse::Local,
            },
        }
    }

    /// Hands an order to the signalling.
    pub fn order(&self, order: Order) -> Result<(), OrderRefused> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OrderRefused::Full { retry_after: RETRY_AFTER },
            mpsc::error::TrySendError::Closed(_) => OrderRefused::Stopping,
        })
    }

    pub fn shard(&self, number: usize) -> Option<&Shard> {
        self.shards.get(number)
    }

    /// Resolves when the gateway is told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // The sender lives as long as the gateway; its loss means the same.
            let _ = stop.wait_for(|stopped| *stopped).await;
        }
    }
}

/// Speaks every fixed sentence once, so that callers never wait for one.
fn prepare(engines: &Engines, agents: &[Arc<LoadedAgent>], progress: &(dyn Fn(&str) + Sync)) {
    for agent in agents {
        let mut sentences = agent.agent.fixed_sentences();
        sentences.extend(agent.script.iter().flat_map(|script| script.fixed_sentences()));
        progress(&format!("preparing {} fixed sentences of {}", sentences.len(), agent.name));
        if let Err(error) = engines.prepare(&agent.voice, &sentences) {
            // They are then spoken when needed, only later.
            tracing::warn!(agent = %agent.name, %error, "fixed sentences could not be prepared");
        }
    }
}

#[cfg(test)]
mod tests;
