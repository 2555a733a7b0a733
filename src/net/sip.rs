//! The SIP driver: every road, one `sip::Endpoint`, and the calls between signalling and media.
//! It admits or refuses; what a call does is decided in `Call`.

mod call;
mod inbound;
mod lines;
mod moves;
mod outbound;
mod setup;
mod terms;

pub use inbound::CALL_HEADER;
pub use lines::LinesError;
pub use setup::{roads, told};
pub(crate) use terms::{Shared, leg_change, leg_config, media_codec, source};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{CallHandle, Endpoint, Event, Output, Peer, Stats};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::call::driver::{CallInput, Signal};
use crate::call::{CallId, EndCause};
use crate::clock;
use crate::gateway::Gateway;
use crate::net::roads::{Incoming, Roads};
use crate::outbound::Order;

use call::{Dialling, Move, Running, Waiting, end_cause};
use lines::Lines;

/// Commands from calls that wait for the endpoint.
const COMMANDS: usize = 1024;
/// Inputs that wait for a call's next tick.
pub(crate) const CALL_INPUTS: usize = 32;
/// How often the endpoint's counters are read.
const STATS_EVERY: Duration = Duration::from_secs(5);
/// How long peers have to answer our BYE and un-REGISTER when the gateway stops.
const GOODBYE: Duration = Duration::from_secs(2);

pub struct SipDriver {
    gateway: Arc<Gateway>,
    roads: Roads,
    endpoint: Endpoint,
    /// Our sockets.
    bound: Vec<Peer>,
    lines: Lines,
    waiting: HashMap<CallHandle, Waiting>,
    dialling: HashMap<CallHandle, Dialling>,
    running: HashMap<CallHandle, Running>,
    /// Which dialog a call is on now; a transfer moves it.
    handles: HashMap<CallId, CallHandle>,
    moves: HashMap<CallHandle, Move>,
    signals: mpsc::Sender<(CallId, Signal)>,
    signalled: mpsc::Receiver<(CallId, Signal)>,
    orders: mpsc::Receiver<Order>,
    /// Orders whose trunk is being looked up.
    pending: Vec<Order>,
    counted: Stats,
    stopping: bool,
}

impl SipDriver {
    pub fn new(gateway: Arc<Gateway>, roads: Roads, orders: mpsc::Receiver<Order>) -> Result<Self, LinesError> {
        let (signals, signalled) = mpsc::channel(COMMANDS);
        let bound = roads.listeners();
        let lines = Lines::new(clock::now(), &gateway.config, &bound)?;
        Ok(Self {
            endpoint: Endpoint::new(setup::endpoint(&gateway.config, &bound, lines.trunk_credentials())),
            bound,
            gateway,
            roads,
            lines,
            waiting: HashMap::new(),
            dialling: HashMap::new(),
            running: HashMap::new(),
            handles: HashMap::new(),
            moves: HashMap::new(),
            signals,
            signalled,
            orders,
            pending: vec![],
            counted: Stats::default(),
            stopping: false,
        })
    }

    /// Serves until the gateway stops; then every call gets its BYE and every registrar its leave.
    pub async fn run(mut self) {
        let mut stats = tokio::time::interval(STATS_EVERY);
        let stopping = self.gateway.stopping();
        tokio::pin!(stopping);
        self.lines.start(clock::now());
        loop {
            self.outputs();
            let ringing = self.dialling.values().map(|d| d.until).min();
            let deadline = [self.endpoint.deadline(), self.lines.deadline(), ringing].into_iter().flatten().min();
            tokio::select! {
                incoming = self.roads.recv() => Self::take(&mut self.endpoint, incoming),
                () = until(deadline) => self.due(clock::now()),
                Some((call, signal)) = self.signalled.recv() => self.signal(call, signal),
                Some(order) = self.orders.recv() => self.order(clock::now(), order),
                Some(answer) = self.lines.found() => {
                    self.lines.learn(clock::now(), answer, &mut self.endpoint, &mut self.roads);
                    for order in std::mem::take(&mut self.pending) {
                        self.order(clock::now(), order);
                    }
                }
                _ = stats.tick() => self.count(),
                () = &mut stopping => break,
            }
        }
        self.close().await;
    }

    /// What came by the roads goes to the endpoint.
    fn take(endpoint: &mut Endpoint, incoming: Incoming<'_>) {
        let now = clock::now();
        match incoming {
            Incoming::Message { from, bytes } => endpoint.handle(now, from, bytes),
            Incoming::Connected { connection, names } => endpoint.connected(connection, names),
            Incoming::Disconnected { connection, .. } => endpoint.disconnected(now, connection),
            Incoming::Unreachable(peer) => endpoint.unreachable(now, peer),
        }
    }

    fn due(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.lines.handle_timeout(now, &mut self.endpoint);
        self.give_up(now);
    }

    /// Answers what the endpoint wants sent and known.
    fn outputs(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => self.roads.send(to, bytes),
                Output::Event(event) => self.event(clock::now(), event),
                Output::Banned(_) => warn!("an address is not heard any more: it guesses, scans or floods"),
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        debug!(?event, "sip");
        match event {
            Event::Incoming { call, offer, info, replaces } => self.incoming(now, call, offer, &info, replaces),
            Event::Established { call, answer } => self.established(now, call, answer),
            Event::Reinvite { call, offer } => self.reinvite(now, call, offer),
            Event::Renegotiated { call, answer: Some(answer) } => self.renegotiated(call, &answer),
            Event::Info { call, digit, .. } => self.tell(call, CallInput::Digit(*digit.expose())),
            Event::Transferred { call } => self.tell(call, CallInput::Transferred),
            Event::TransferFailed { call, .. } => self.tell(call, CallInput::TransferFailed),
            Event::Referred { call, target, replaces, .. } => self.referred(now, call, &target, replaces),
            Event::Answered { call, sdp } => self.answered(now, call, sdp),
            Event::Failed { call, status, .. } => self.failed(now, call, status),
            Event::Cancelled { call, .. } => self.forget(call, EndCause::Cancelled),
            Event::Ended { call, cause } => self.forget(call, end_cause(&cause)),
            Event::Progress { .. } | Event::Renegotiated { .. } | Event::RenegotiationFailed { .. } => {}
            other => self.lines.event(now, &other),
        }
    }

    fn signal(&mut self, id: CallId, signal: Signal) {
        // It may be over already: the caller hung up in the same instant.
        let Some(call) = self.handles.get(&id).copied() else { return };
        match signal {
            Signal::HangUp => {
                let _ = self.endpoint.hangup(clock::now(), call, Some(sip::Reason::q850(16)));
                // On its way to somebody else: that dialog ends too.
                let moving = self.moves.iter().find(|(_, m)| m.old == call).map(|(new, _)| *new);
                if let Some(new) = moving {
                    self.moves.remove(&new);
                    let _ = self.endpoint.hangup(clock::now(), new, None);
                    self.forget(call, EndCause::Completed);
                }
            }
            Signal::Transfer(target) => {
                let target = self.full_target(call, target);
                if self.endpoint.refer(clock::now(), call, &target).is_err() {
                    self.tell(call, CallInput::TransferFailed);
                }
            }
        }
    }

    /// The signalling side is over. Dropping the sender ends the call even if its queue is full.
    fn forget(&mut self, call: CallHandle, cause: EndCause) {
        // Answered, and gone before its ACK came by: a call all the same, and on record.
        if self.waiting.get(&call).is_some_and(|w| w.negotiated.is_some()) {
            self.established(clock::now(), call, None);
        }
        self.waiting.remove(&call);
        if self.moves.values().any(|m| m.old == call) {
            // Who sent us elsewhere has left; the call lives on where it was sent.
            return;
        }
        if let Some(dialling) = self.dialling.remove(&call) {
            self.not_answered(dialling, 487);
        }
        if let Some(running) = self.running.remove(&call) {
            self.handles.remove(&running.id);
            self.free(&running.line);
            running.tell(CallInput::HangUp(cause));
        }
    }

    fn tell(&self, call: CallHandle, input: CallInput) {
        if let Some(running) = self.running.get(&call) {
            running.tell(input);
        }
    }

    fn count(&mut self) {
        let stats = self.endpoint.stats();
        let grown = |now: u64, then: u64| now.saturating_sub(then);
        let was = self.counted;
        metrics::counter!("dauys_sip_dropped_total", "reason" => "garbage")
            .increment(grown(stats.garbage, was.garbage));
        metrics::counter!("dauys_sip_dropped_total", "reason" => "throttled")
            .increment(grown(stats.throttled, was.throttled));
        metrics::counter!("dauys_sip_dropped_total", "reason" => "banned")
            .increment(grown(stats.banned_dropped, was.banned_dropped));
        self.counted = stats;
        self.lines.publish();
    }

    /// Every open call gets its BYE, every registrar its leave, and two seconds to answer.
    async fn close(mut self) {
        self.stopping = true;
        let now = clock::now();
        let calls = self.running.keys().chain(self.waiting.keys()).chain(self.dialling.keys());
        for call in calls.copied().collect::<Vec<CallHandle>>() {
            if let Some(running) = self.running.remove(&call) {
                running.tell(CallInput::HangUp(EndCause::Shutdown));
            }
            let _ = self.endpoint.hangup(now, call, None);
        }
        self.lines.leave(now, &mut self.endpoint);
        let until_then = now + GOODBYE;
        while (self.endpoint.calls() > 0 || self.lines.is_leaving()) && clock::now() < until_then {
            self.outputs();
            let next = self.endpoint.deadline().map_or(until_then, |d| d.min(until_then));
            tokio::select! {
                incoming = self.roads.recv() => Self::take(&mut self.endpoint, incoming),
                () = until(Some(next)) => self.endpoint.handle_timeout(clock::now()),
            }
        }
        self.outputs();
        self.roads.close().await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
