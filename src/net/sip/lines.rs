//! Our lines: trunks and registrations. It finds where they are, asks whether they live, keeps us registered, and
//! says which way a call of ours takes. It never answers a call.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sip::auth::Credentials;
use sip::uri::Uri;
use sip::{CallInfo, Endpoint, Event, Peer, PingHandle, RegisterRequest, RegistrationHandle, Transport};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::{Config, PasswordError, Register, Trunk};
use crate::net::resolve::{Dead, Families, Found, ResolveError, Resolver};
use crate::net::roads::Roads;
use crate::outbound::OrderRefused;
use crate::random;
use crate::trunk::{Outbound, Probe, Refused, State, Trunks};

/// How long one name may take to be found.
const FIND_WITHIN: Duration = Duration::from_secs(5);
/// How often names are looked up again; answers are kept as long as their zones allow.
const FIND_EVERY: Duration = Duration::from_secs(60);
/// The same after nothing was found.
const FIND_AGAIN: Duration = Duration::from_secs(10);
/// Answers that wait for the driver.
const ANSWERS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Resolver(#[from] ResolveError),
}

/// A server of a trunk, or the registrar of a registration: what is looked up.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
enum Server {
    Trunk { trunk: usize, server: usize },
    Registrar(usize),
}

/// What a lookup brought.
pub(super) struct Answer {
    server: Server,
    found: Result<Vec<Found>, ResolveError>,
}

/// The way of one call of ours.
pub(super) struct Way {
    pub targets: Vec<Peer>,
    pub uri: String,
    pub from_user: String,
    pub from_host: Option<String>,
    pub headers: Vec<(String, String)>,
    pub credentials: Option<Credentials>,
}

pub(super) struct Lines {
    trunks: Vec<Trunk>,
    registers: Vec<Register>,
    /// Of trunks, then of registrations.
    credentials: Vec<Option<Credentials>>,
    health: Trunks,
    limits: Vec<Outbound>,
    resolver: Resolver,
    supported: Vec<Transport>,
    dead: Dead,
    /// Empty where nothing has been found so far.
    places: HashMap<Server, Vec<Found>>,
    looked_up: HashMap<Server, Instant>,
    looking: HashSet<Server>,
    tell: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    registrations: HashMap<RegistrationHandle, usize>,
    registered: HashSet<RegistrationHandle>,
    pings: HashMap<PingHandle, Probe>,
}

impl Lines {
    pub fn new(now: Instant, config: &Config, listeners: &[Peer]) -> Result<Self, LinesError> {
        let account = |user: Option<&String>, realm: &Option<String>, password: Option<crate::config::Password>| {
            let (Some(user), Some(password)) = (user, password) else { return Ok(None) };
            let password = password.read()?;
            Ok::<_, PasswordError>(Some(Credentials { user: user.clone(), password, realm: realm.clone() }))
        };
        let trunks = config.trunks.iter().map(|t| account(t.user.as_ref(), &t.realm, t.password()));
        let registers = config
            .registers
            .iter()
            .map(|r| account(Some(r.auth_user.as_ref().unwrap_or(&r.user)), &r.realm, r.password()));
        let credentials = trunks.chain(registers).collect::<Result<_, _>>()?;
        let families = Families::of(listeners.iter().filter(|l| l.transport == Transport::Udp).map(|l| l.address));
        let (tell, answers) = mpsc::channel(ANSWERS);
        Ok(Self {
            credentials,
            health: Trunks::new(now, &config.trunks, random::bits() as u64),
            limits: config.trunks.iter().map(Outbound::new).collect(),
            resolver: Resolver::new(config.sip.nameserver, FIND_WITHIN, families)?,
            // TCP and TLS can always be opened; UDP is what we are bound to.
            supported: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
            dead: Dead::default(),
            places: HashMap::new(),
            looked_up: HashMap::new(),
            looking: HashSet::new(),
            tell,
            answers,
            registrations: HashMap::new(),
            registered: HashSet::new(),
            pings: HashMap::new(),
            trunks: config.trunks.clone(),
            registers: config.registers.clone(),
        })
    }

    /// Whatever has a name is looked up.
    pub fn start(&mut self, now: Instant) {
        for server in self.servers() {
            self.look_up(now, server);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let lookups = self.looked_up.values().min().copied();
        [self.health.deadline(), lookups].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let due: Vec<Server> = self.looked_up.iter().filter(|(_, at)| **at <= now).map(|(s, _)| *s).collect();
        for server in due {
            self.look_up(now, server);
        }
        self.health.handle_timeout(now);
        while let Some(probe) = self.health.poll() {
            self.probe(now, probe, endpoint);
        }
    }

    fn probe(&mut self, now: Instant, probe: Probe, endpoint: &mut Endpoint) {
        let server = Server::Trunk { trunk: probe.trunk, server: probe.target };
        let place = self.places.get(&server).and_then(|p| p.first()).map(|f| f.peer);
        let uri = self.uri(server).map(|u| u.as_str().to_owned());
        let sent = place.zip(uri).and_then(|(peer, uri)| endpoint.options(now, peer, &uri).ok());
        match sent {
            Some(ping) => _ = self.pings.insert(ping, probe),
            None => {
                let change = self.health.unanswered(now, probe);
                self.said(probe, change);
            }
        }
    }

    /// The next answer of a name server.
    pub async fn found(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// A name was looked up.
    pub fn learn(&mut self, now: Instant, answer: Answer, endpoint: &mut Endpoint, roads: &mut Roads) {
        self.looking.remove(&answer.server);
        match answer.found {
            Ok(found) => {
                self.looked_up.insert(answer.server, now + FIND_EVERY);
                found.iter().for_each(|f| roads.expect(f.peer.address, &f.name));
                self.places.insert(answer.server, found);
                if let Server::Registrar(number) = answer.server {
                    self.register(now, number, endpoint);
                }
            }
            Err(error) => {
                // What was found before is still worth a try.
                self.places.entry(answer.server).or_default();
                self.looked_up.insert(answer.server, now + FIND_AGAIN);
                warn!(line = self.name(answer.server), %error, "its address was not found");
            }
        }
    }

    fn register(&mut self, now: Instant, number: usize, endpoint: &mut Endpoint) {
        let Some(register) = self.registers.get(number) else { return };
        let targets = self.peers(now, Server::Registrar(number));
        if let Some((handle, _)) = self.registrations.iter().find(|(_, n)| **n == number) {
            let _ = endpoint.set_targets(*handle, targets);
            return;
        }
        let registrar = register.registrar.uri().as_str();
        let credentials = self.credentials.get(self.trunks.len() + number).cloned().flatten();
        let mut request =
            RegisterRequest::new(targets, registrar, &register.registrar.uri_of(&register.user), credentials);
        request.expires_s = register.expires_s;
        request.route = register.outbound_proxy.as_ref().map(|p| format!("{};lr", p.uri().as_str()));
        match endpoint.register(now, request) {
            Ok(handle) => _ = self.registrations.insert(handle, number),
            Err(error) => warn!(line = %register.name, %error, "cannot register"),
        }
    }

    /// What the endpoint says about registrations and probes.
    pub fn event(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Registered { registration, .. } if self.registered.insert(*registration) => {
                info!(line = self.registration(*registration), "registered");
            }
            Event::RegistrationFailed { registration, status, retry_in_s } => {
                self.registered.remove(registration);
                let line = self.registration(*registration);
                warn!(line, status, retry_in_s, "not registered; trying again");
                if let Some(number) = self.registrations.get(registration).copied() {
                    self.looked_up.insert(Server::Registrar(number), now);
                }
            }
            Event::Unregistered { registration } => {
                self.registered.remove(registration);
                self.registrations.remove(registration);
            }
            Event::Pong { ping, status } => self.ponged(now, *ping, *status),
            _ => {}
        }
    }

    fn ponged(&mut self, now: Instant, ping: PingHandle, status: u16) {
        let Some(probe) = self.pings.remove(&ping) else { return };
        let server = Server::Trunk { trunk: probe.trunk, server: probe.target };
        let peer = self.places.get(&server).and_then(|p| p.first()).map(|f| f.peer);
        match (status, peer) {
            // Another of its addresses is tried the next time.
            (408 | 503, Some(peer)) => {
                self.dead.failed(now, peer);
                if let Some(places) = self.places.get_mut(&server) {
                    self.dead.order(now, places);
                }
            }
            (_, Some(peer)) => self.dead.answered(peer),
            _ => {}
        }
        let change = self.health.answered(now, probe, status);
        self.said(probe, change);
    }

    fn said(&self, probe: Probe, change: Option<State>) {
        let Some(state) = change else { return };
        let line = self.name(Server::Trunk { trunk: probe.trunk, server: probe.target });
        match state {
            State::Down => warn!(line, server = probe.target, "a trunk's server does not answer"),
            _ => info!(line, server = probe.target, state = state.word(), "a trunk's server answers"),
        }
    }

    /// Some of the trunk's servers are being looked up, and for the first time, or none has been found. A call
    /// that left before its second server is known could not go round the first.
    pub fn is_looking(&self, trunk: &str) -> bool {
        let of_trunk = |s: &Server| matches!(s, Server::Trunk { trunk: at, .. } if self.trunks.get(*at).is_some_and(|t| t.name == trunk));
        let is_found = self.places.iter().any(|(s, found)| of_trunk(s) && !found.is_empty());
        self.looking.iter().any(|s| of_trunk(s) && !(is_found && self.places.contains_key(s)))
    }

    /// May this number be called through this trunk at all?
    pub fn allows(&mut self, trunk: &str, number: &str) -> Result<(), OrderRefused> {
        let limits = self.limits_of(trunk).ok_or(OrderRefused::NoTrunk)?;
        if limits.allows(number) { Ok(()) } else { Err(OrderRefused::NotAllowed) }
    }

    /// Takes a place among the trunk's calls of ours, until [`Lines::free`].
    pub fn take_place(&mut self, now: Instant, trunk: &str, number: &str) -> Result<(), OrderRefused> {
        let limits = self.limits_of(trunk).ok_or(OrderRefused::NoTrunk)?;
        limits.take(now, number).map_err(|refused| match refused {
            Refused::NotAllowed => OrderRefused::NotAllowed,
            Refused::TooMany { retry_after } => OrderRefused::TooMany { retry_after },
        })
    }

    /// A call of ours through this trunk is over.
    pub fn free(&mut self, trunk: &str) {
        if let Some(limits) = self.limits_of(trunk) {
            limits.ended();
        }
    }

    fn limits_of(&mut self, trunk: &str) -> Option<&mut Outbound> {
        let at = self.trunks.iter().position(|t| t.name == trunk)?;
        self.limits.get_mut(at)
    }

    /// Of trunks alone, in their order.
    pub fn trunk_credentials(&self) -> &[Option<Credentials>] {
        self.credentials.get(..self.trunks.len()).unwrap_or_default()
    }

    /// Whose call it is: a trunk's, or a registration's.
    pub fn trunk_of(&self, info: &CallInfo) -> Option<String> {
        let registration = info.registration.and_then(|r| self.registrations.get(&r));
        let name = registration.and_then(|n| self.registers.get(*n)).map(|r| r.name.clone());
        name.or_else(|| info.trunk.clone())
    }

    /// The way of a call to this number; limits are not asked.
    pub fn way(&self, now: Instant, trunk: &str, number: &str) -> Result<Way, OrderRefused> {
        let (at, trunk) = self.trunks.iter().enumerate().find(|(_, t)| t.name == trunk).ok_or(OrderRefused::NoTrunk)?;
        let mut targets: Vec<Peer> = vec![];
        let mut first = None;
        for server in self.health.targets(at) {
            let peers = self.peers(now, Server::Trunk { trunk: at, server });
            if !peers.is_empty() {
                first = first.or_else(|| trunk.to.get(server));
            }
            targets.extend(peers);
        }
        let uri = first.ok_or(OrderRefused::Unreachable)?.uri_of(number);
        let from_user = trunk.from_user.as_ref().or(trunk.caller_id.as_ref()).or(trunk.user.as_ref());
        let host = trunk.from_domain.clone();
        let asserted = trunk.caller_id.as_ref().zip(host.as_ref());
        let headers = asserted.map(|(id, host)| ("P-Asserted-Identity".to_owned(), format!("<sip:{id}@{host}>")));
        Ok(Way {
            targets,
            uri,
            from_user: from_user.map_or("dauys", String::as_str).to_owned(),
            from_host: host,
            headers: headers.into_iter().collect(),
            credentials: self.credentials.get(at).cloned().flatten(),
        })
    }

    /// May it send our calls elsewhere?
    pub fn may_refer(&self, name: Option<&str>) -> bool {
        let trunks = self.trunks.iter().map(|t| (&t.name, t.refer));
        let mut all = trunks.chain(self.registers.iter().map(|r| (&r.name, r.refer)));
        all.any(|(n, may)| may && Some(n.as_str()) == name)
    }

    /// What we prove ourselves with to this trunk or registrar.
    pub fn credentials(&self, name: &str) -> Option<Credentials> {
        let names = self.trunks.iter().map(|t| &t.name).chain(self.registers.iter().map(|r| &r.name));
        let at = names.into_iter().position(|n| n == name)?;
        self.credentials.get(at).cloned().flatten()
    }

    /// Numbers for Prometheus.
    pub fn publish(&self) {
        for status in self.health.status() {
            for (server, target) in status.targets.iter().enumerate() {
                let up = f64::from(u8::from(target.state != State::Down));
                let labels = [("trunk", status.name.clone()), ("server", server.to_string())];
                metrics::gauge!("dauys_trunk_up", &labels).set(up);
            }
        }
        for (number, register) in self.registers.iter().enumerate() {
            let is_registered = self.registrations.iter().any(|(h, n)| *n == number && self.registered.contains(h));
            metrics::gauge!("dauys_registered", "line" => register.name.clone())
                .set(f64::from(u8::from(is_registered)));
        }
    }

    /// Takes every binding back.
    pub fn leave(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for registration in self.registrations.keys() {
            let _ = endpoint.unregister(now, *registration);
        }
        self.registrations.retain(|handle, _| self.registered.contains(handle));
    }

    pub fn is_leaving(&self) -> bool {
        !self.registrations.is_empty()
    }

    fn servers(&self) -> Vec<Server> {
        let trunks = self.trunks.iter().enumerate();
        let of_trunks =
            trunks.flat_map(|(trunk, t)| (0..t.to.len()).map(move |server| Server::Trunk { trunk, server }));
        of_trunks.chain((0..self.registers.len()).map(Server::Registrar)).collect()
    }

    fn uri(&self, server: Server) -> Option<&Uri> {
        let server = match server {
            Server::Trunk { trunk, server } => self.trunks.get(trunk)?.to.get(server)?,
            Server::Registrar(number) => {
                let register = self.registers.get(number)?;
                register.outbound_proxy.as_ref().unwrap_or(&register.registrar)
            }
        };
        Some(server.uri())
    }

    fn name(&self, server: Server) -> &str {
        match server {
            Server::Trunk { trunk, .. } => self.trunks.get(trunk).map_or("", |t| &t.name),
            Server::Registrar(number) => self.registers.get(number).map_or("", |r| &r.name),
        }
    }

    fn registration(&self, handle: RegistrationHandle) -> &str {
        self.registrations.get(&handle).map_or("", |n| self.name(Server::Registrar(*n)))
    }

    /// Where a server is, dead addresses last.
    fn peers(&self, now: Instant, server: Server) -> Vec<Peer> {
        let mut places = self.places.get(&server).cloned().unwrap_or_default();
        self.dead.order(now, &mut places);
        places.into_iter().map(|f| f.peer).collect()
    }

    fn look_up(&mut self, now: Instant, server: Server) {
        let Some(uri) = self.uri(server).cloned() else { return };
        self.looked_up.insert(server, now + FIND_EVERY);
        if !self.looking.insert(server) {
            return;
        }
        let (resolver, supported, tell) = (self.resolver.clone(), self.supported.clone(), self.tell.clone());
        tokio::spawn(async move {
            let found = resolver.resolve(&uri, &supported).await;
            // The driver is gone when the gateway stops; nobody wants the answer then.
            let _ = tell.send(Answer { server, found }).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const A: Server = Server::Trunk { trunk: 0, server: 0 };
    const B: Server = Server::Trunk { trunk: 0, server: 1 };

    fn lines() -> Lines {
        let text = "[sip]\nbind = \"127.0.0.1:5060\"\nnameserver = \"127.0.0.1:53\"\n\
                    [[trunk]]\nname = \"t\"\nto = [\"sip:a.example\", \"sip:b.example\"]\n\
                    [[trunk]]\nname = \"other\"\nto = [\"sip:c.example\"]\n\
                    [[agent]]\nfile = \"desk.toml\"";
        let config = Config::parse(std::path::Path::new("x.toml"), text, std::iter::empty()).expect("a config");
        Lines::new(clock::now(), &config, &[]).expect("lines")
    }

    /// An order that went out when one server was known tried that one alone, dead or not.
    #[tokio::test]
    async fn a_call_waits_until_each_server_was_looked_up_once() {
        let found = Found { peer: Peer::udp("192.0.2.1:5060".parse().expect("an address")), name: "a.example".into() };
        let mut lines = lines();
        assert!(!lines.is_looking("t"));
        lines.looking.extend([A, B]);
        assert!(lines.is_looking("t") && !lines.is_looking("other"));
        lines.looking.remove(&A);
        lines.places.insert(A, vec![found]);
        assert!(lines.is_looking("t"), "the second is not known");
        // It was looked for in vain; the next time it holds nobody up.
        lines.places.insert(B, vec![]);
        assert!(!lines.is_looking("t"));
        // With nothing found at all a call waits for what comes.
        lines.places.insert(A, vec![]);
        assert!(lines.is_looking("t"));
    }
}
