//! The keeper of the door: knows trunks, counts strangers, bans. It remembers much about few and nothing about the rest.

use super::guests::{Caller, Guests};
use super::limits::{Pace, Source, Sources, Until};
use super::{DoorConfig, Strangers, TrunkRule};
use crate::auth::{Account, Guard, GuardConfig, Signed, Verdict};
use crate::header::Request;
use crate::message::{Message, Name};
use crate::peer::{Connection, Peer};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a right digest makes its source a friend: not limited, not banned.
const FRIEND_FOR: Duration = Duration::from_secs(600);
/// Within calls this many times what is allowed outside.
const INSIDE_FACTOR: u32 = 4;
/// Connections of trunks known by name.
const CONNECTIONS_MAX: usize = 4096;
/// Calls at once from one stranger that are never too many.
const PER_SOURCE_CALLS_MIN: usize = 8;
/// How scanners call themselves in User-Agent or From, in lower case.
const SCANNERS: [&str; 7] = ["friendly-scanner", "sipvicious", "sundayddr", "sip-scan", "svmap", "svwar", "svcrack"];

/// What becomes of an INVITE.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The trunk's place in the configuration; `None`: a stranger who may call.
    Enter(Option<usize>),
    /// 401.
    Challenge { is_stale: bool, offence: Option<Offence> },
    /// 403.
    Refuse,
}

/// What leads to a ban.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Offence {
    Digest,
    Refused,
    Scanner,
}

type Connections = BTreeMap<Connection, Vec<usize>>;

pub(crate) struct Keeper {
    config: DoorConfig,
    max_calls: usize,
    guard: Guard,
    guests: Guests,
    /// New calls of each trunk that has a limit.
    paces: BTreeMap<usize, Pace>,
    sources: Sources,
    bans: Until,
    friends: Until,
    /// Of trunks known by TLS name: their places in the configuration.
    connections: Connections,
}

impl Keeper {
    pub fn new(config: DoorConfig, max_calls: usize, seed: u128) -> Self {
        let offers_md5 = config.trunks.iter().any(|t| t.credentials.is_some() && t.allow_md5);
        let (realm, nonce_within) = (config.realm.clone(), config.nonce_within);
        let guard = GuardConfig { realm, nonce_within, offers_md5, ..GuardConfig::default() };
        let max = config.sources_max;
        Self {
            guard: Guard::new(guard, seed),
            guests: Guests::default(),
            paces: BTreeMap::new(),
            sources: Sources::new(max),
            bans: Until::new(max),
            friends: Until::new(max),
            connections: BTreeMap::new(),
            config,
            max_calls,
        }
    }

    pub fn connected(&mut self, connection: Connection, names: &[String]) {
        let is_one = |own: &String| names.iter().any(|n| n.strip_prefix("sip:").unwrap_or(n).eq_ignore_ascii_case(own));
        let trunks = self.config.trunks.iter().enumerate().filter(|(_, t)| t.tls_names.iter().any(is_one));
        let trunks: Vec<usize> = trunks.map(|(i, _)| i).collect();
        if !trunks.is_empty() && self.connections.len() < CONNECTIONS_MAX {
            self.connections.insert(connection, trunks);
        }
    }

    pub fn disconnected(&mut self, connection: Connection) {
        self.connections.remove(&connection);
    }

    /// Not to be heard at all.
    pub fn is_banned(&self, now: Instant, from: Peer) -> bool {
        self.bans.contains(now, Source::of(from.address.ip())) && !self.is_trunks_place(from)
    }

    /// One more datagram that wants an answer. False: too many.
    pub fn may_ask(&mut self, now: Instant, from: Peer, is_inside: bool) -> bool {
        let Some(per_s) = self.config.per_source_per_s else { return true };
        let source = Source::of(from.address.ip());
        if self.is_trunks_place(from) || self.friends.contains(now, source) {
            return true;
        }
        let habits = self.sources.of(source);
        let factor = if is_inside { INSIDE_FACTOR } else { 1 };
        let pace = if is_inside { &mut habits.inside } else { &mut habits.requests };
        let interval = Duration::from_secs(1) / per_s.saturating_mul(factor).max(1);
        pace.take(now, interval, self.config.burst.saturating_mul(factor))
    }

    /// Is it a program that looks for victims, and are we to mind?
    pub fn is_scanner(&self, now: Instant, from: Peer, message: &Message<'_>) -> bool {
        if self.config.bans.is_none() || self.is_exempt(now, from) {
            return false;
        }
        let names = [Name::UserAgent, Name::From].into_iter().filter_map(|n| message.header(n));
        names.map(|h| h.text().to_ascii_lowercase()).any(|text| SCANNERS.iter().any(|s| text.contains(s)))
    }

    /// Who sends this INVITE, and whether it comes in. The answer never depends on whom it calls.
    pub fn admit(&mut self, now: Instant, from: Peer, request: &Request<'_>) -> Admission {
        let trunks = &self.config.trunks;
        let is_at = |i: usize, t: &TrunkRule| is_at(&self.connections, i, t, from);
        let by_place = trunks.iter().enumerate().position(|(i, t)| t.credentials.is_none() && is_at(i, t));
        if by_place.is_some() {
            return Admission::Enter(by_place);
        }
        let refuses = self.config.strangers == Strangers::Refuse;
        let mut proving = trunks.iter().enumerate().filter(|(_, t)| t.credentials.is_some());
        let wants_digest = proving.any(|(i, t)| refuses || is_at(i, t));
        match self.verdict(now, from, request) {
            Verdict::Ok(trunk) => {
                let source = Source::of(from.address.ip());
                self.friends.insert(now, source, FRIEND_FOR);
                self.sources.forgive(source);
                Admission::Enter(Some(trunk))
            }
            Verdict::Stale => Admission::Challenge { is_stale: true, offence: None },
            Verdict::Wrong => Admission::Challenge { is_stale: false, offence: Some(Offence::Digest) },
            Verdict::Missing if wants_digest => {
                Admission::Challenge { is_stale: false, offence: Some(Offence::Refused) }
            }
            Verdict::Missing if refuses => Admission::Refuse,
            Verdict::Missing => Admission::Enter(None),
        }
    }

    /// The values of WWW-Authenticate.
    pub fn challenge(&mut self, now: Instant, source: IpAddr, is_stale: bool) -> Vec<String> {
        self.guard.challenge(now, source, is_stale)
    }

    /// Is there room for one more call of this trunk or stranger? Counts it for the trunk's rate.
    pub fn has_room(&mut self, now: Instant, trunk: Option<usize>, from: Peer) -> bool {
        let Some(index) = trunk else {
            let share = |percent: u8| self.max_calls * usize::from(percent) / 100;
            let open = self.guests.of(Caller::Stranger(Source::of(from.address.ip())));
            let most = self.config.per_source_calls_percent.map(|p| share(p).max(PER_SOURCE_CALLS_MIN));
            let unanswered = self.config.unanswered_percent.map(|p| share(p).max(1));
            return most.is_none_or(|m| open < m) && unanswered.is_none_or(|m| self.guests.unanswered() < m);
        };
        let Some(rule) = self.config.trunks.get(index) else { return false };
        if rule.calls_max.is_some_and(|most| self.guests.of(Caller::Trunk(index)) >= most) {
            return false;
        }
        let Some(per_s) = rule.calls_per_s else { return true };
        let Ok(interval) = Duration::try_from_secs_f32(1.0 / per_s) else { return false };
        self.paces.entry(index).or_default().take(now, interval, per_s.ceil() as u32)
    }

    /// A call came in.
    pub fn enter(&mut self, call: u64, trunk: Option<usize>, from: Peer) {
        let stranger = Caller::Stranger(Source::of(from.address.ip()));
        self.guests.enter(call, trunk.map_or(stranger, Caller::Trunk));
    }

    /// Our answer to a call was acknowledged.
    pub fn established(&mut self, call: u64) {
        self.guests.established(call);
    }

    /// A call is gone.
    pub fn leave(&mut self, call: u64) {
        self.guests.leave(call);
    }

    pub fn trunk_name(&self, trunk: Option<usize>) -> Option<String> {
        self.config.trunks.get(trunk?).map(|t| t.name.clone())
    }

    /// The stranger whose call it is.
    pub fn stranger(&self, call: u64) -> Option<Source> {
        self.guests.stranger(call)
    }

    /// Takes note; true: that was once too often, and nothing speaks for this source.
    pub fn strike(&mut self, now: Instant, from: Peer, offence: Offence) -> bool {
        if self.config.bans.is_none() || self.is_exempt(now, from) {
            return false;
        }
        self.strike_source(now, Source::of(from.address.ip()), offence)
    }

    /// The same for a stranger's call.
    pub fn strike_source(&mut self, now: Instant, source: Source, offence: Offence) -> bool {
        let Some(bans) = &self.config.bans else { return false };
        let habits = self.sources.of(source);
        match offence {
            Offence::Digest => habits.digests.add(now, bans.digests_within, bans.digests_max),
            Offence::Refused => habits.refusals.add(now, bans.refusals_within, bans.refusals_max),
            Offence::Scanner => true,
        }
    }

    /// False: it is banned already.
    pub fn ban(&mut self, now: Instant, source: Source) -> bool {
        let Some(bans) = &self.config.bans else { return false };
        let lasts = bans.ban_for;
        self.sources.forgive(source);
        let is_new = !self.bans.contains(now, source);
        self.bans.insert(now, source, lasts);
        is_new
    }

    /// We ask something of this peer: what it answers is to be heard.
    pub fn pardon(&mut self, peer: Peer) {
        self.bans.remove(Source::of(peer.address.ip()));
    }

    /// Sources remembered, sources banned, friends, nonces, connections: each bounded.
    pub fn sizes(&self) -> [usize; 5] {
        let nonces = self.guard.nonces();
        [self.sources.len(), self.bans.len(), self.friends.len(), nonces, self.connections.len()]
    }

    #[cfg(test)]
    pub fn guests(&self) -> (usize, usize, usize, usize) {
        self.guests.sizes()
    }

    fn verdict(&mut self, now: Instant, from: Peer, request: &Request<'_>) -> Verdict<usize> {
        let trunks = &self.config.trunks;
        if trunks.iter().all(|t| t.credentials.is_none()) {
            return Verdict::Missing;
        }
        let texts: Vec<String> = request.message.all(Name::Authorization).map(|h| h.text().into_owned()).collect();
        let values: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (source, method) = (from.address.ip(), request.method.as_str());
        let signed = Signed { source, method, uri: &request.uri, body: request.message.body };
        let account = |user: &str| {
            trunks.iter().enumerate().find_map(|(who, rule)| {
                let credentials = rule.credentials.as_ref().filter(|c| c.user == user)?;
                let is_placed = !rule.addresses.is_empty() || !rule.tls_names.is_empty();
                let is_here = !is_placed || is_at(&self.connections, who, rule, from);
                let password = credentials.password.expose();
                is_here.then_some(Account { who, password, allows_md5: rule.allow_md5 })
            })
        };
        self.guard.check(now, &signed, &values, account)
    }

    /// Does it come from where some trunk sends from?
    fn is_trunks_place(&self, from: Peer) -> bool {
        self.config.trunks.iter().enumerate().any(|(i, t)| is_at(&self.connections, i, t, from))
    }

    fn is_exempt(&self, now: Instant, from: Peer) -> bool {
        self.friends.contains(now, Source::of(from.address.ip())) || self.is_trunks_place(from)
    }
}

/// Does it come from where this trunk sends from: one of its addresses, and a connection under one of its names, of
/// those that are set?
fn is_at(connections: &Connections, index: usize, rule: &TrunkRule, from: Peer) -> bool {
    let is_named =
        || from.connection.is_some_and(|c| connections.get(&c).is_some_and(|trunks| trunks.contains(&index)));
    let is_here = rule.addresses.is_empty() || rule.addresses.iter().any(|net| net.contains(from.address.ip()));
    let is_set = !rule.addresses.is_empty() || !rule.tls_names.is_empty();
    is_set && is_here && (rule.tls_names.is_empty() || is_named())
}
