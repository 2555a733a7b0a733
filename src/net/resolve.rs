//! Where a SIP URI is served (RFC 3263): asks DNS what the search wants to know. It never decides an order.

mod dead;
mod records;
mod search;
#[cfg(test)]
mod search_tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use sip::uri::Uri;
use sip::{Peer, Transport};
use tokio::task::JoinSet;

pub use dead::Dead;
pub use records::{Naptr, Srv};
pub use search::{Known, Next, Question, Search};

use crate::random;

/// Targets of one URI at most: past them a call has failed for its caller anyway.
pub const TARGETS_MAX: usize = 16;
/// Answers that hickory keeps.
const CACHE: u64 = 1024;
/// A zone that was mended is seen soon, whatever its own figures say.
const POSITIVE_MAX: Duration = Duration::from_secs(3600);
const NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// One place to try.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    pub peer: Peer,
    /// The host of the URI, lower case: what the TLS certificate must prove, whatever names DNS went
    /// through (RFC 3263 4.1, RFC 5922 4).
    pub name: String,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("transport", &self.peer.transport).finish_non_exhaustive()
    }
}

/// The kinds of address that we can send from. Both: tried in turns, IPv6 first (RFC 8305 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl Families {
    pub fn of(listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        let none = Self { v4: false, v6: false };
        listeners.into_iter().fold(none, |f, a| Self { v4: f.v4 || a.is_ipv4(), v6: f.v6 || a.is_ipv6() })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("not a sip: or sips: address; a tel: number is called through a trunk's `to`")]
    NotSip,
    #[error(
        "it wants a transport that is not set up here; set [sip] tcp, tls, ws or wss, or call without `transport=`"
    )]
    Transport,
    #[error(
        "DNS knows no such host, or no address of an IP family that [sip] listens on; \
         check its spelling, and [sip] also"
    )]
    NotFound,
    #[error("the name server gave no answer in time; check [sip] nameserver, or /etc/resolv.conf")]
    Unanswered,
    #[error("the system names no name server; set [sip] nameserver")]
    NoNameServer,
}

/// Asks, and remembers answers for as long as their zones allow. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    timeout: Duration,
    families: Families,
}

impl Resolver {
    /// Asks `nameserver`, or those the system names. `timeout` bounds a whole `resolve`.
    pub fn new(nameserver: Option<SocketAddr>, timeout: Duration, families: Families) -> Result<Self, ResolveError> {
        let none = |_: NetError| ResolveError::NoNameServer;
        let mut builder = match nameserver {
            Some(at) => TokioResolver::builder_with_config(only(at), TokioRuntimeProvider::default()),
            None => TokioResolver::builder_tokio().map_err(none)?,
        };
        let options = builder.options_mut();
        // Twice in half the time, so that a lost datagram, or one mute server, does not cost everything.
        options.timeout = timeout / 4;
        options.attempts = 1;
        options.cache_size = CACHE;
        options.positive_max_ttl = Some(POSITIVE_MAX);
        options.negative_max_ttl = Some(NEGATIVE_MAX);
        Ok(Self { dns: builder.build().map_err(none)?, timeout, families })
    }

    /// The places that serve a URI, best first, `TARGETS_MAX` at most and never none. `supported` are
    /// the transports we can send by, preferred ones first.
    pub async fn resolve(&self, uri: &Uri, supported: &[Transport]) -> Result<Vec<Found>, ResolveError> {
        let search = Search::new(uri, supported, self.families)?;
        let found = tokio::time::timeout(self.timeout, self.run(&search)).await;
        found.unwrap_or(Err(ResolveError::Unanswered))
    }

    async fn run(&self, search: &Search) -> Result<Vec<Found>, ResolveError> {
        let mut known = Known::default();
        let mut unanswered = false;
        loop {
            let questions = match search.next(&known) {
                Next::Ask(questions) => questions,
                Next::Found(found) if !found.is_empty() => return Ok(found),
                Next::Found(_) if unanswered => return Err(ResolveError::Unanswered),
                Next::Found(_) => return Err(ResolveError::NotFound),
            };
            let mut asked = JoinSet::new();
            for question in &questions {
                asked.spawn(ask(self.dns.clone(), question.clone()));
            }
            // Every question counts as answered, or a mute server would be asked for ever.
            questions.into_iter().for_each(|q| known.nothing(q));
            while let Some(answer) = asked.join_next().await {
                match answer {
                    Ok((question, Ok(data))) => learn(&mut known, question, &data),
                    Ok((_, Err(_))) | Err(_) => unanswered = true,
                }
            }
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn only(at: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
        c.port = at.port();
        c
    });
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(at.ip(), true, connections.into())])
}

/// The records of an answer; none is an answer too. An error: nobody answered.
async fn ask(dns: TokioResolver, question: Question) -> (Question, Result<Vec<RData>, NetError>) {
    let (name, kind) = match &question {
        Question::Naptr(name) => (name, RecordType::NAPTR),
        Question::Srv(name) => (name, RecordType::SRV),
        Question::V4(name) => (name, RecordType::A),
        Question::V6(name) => (name, RecordType::AAAA),
    };
    // A whole name is not tried below the system's search domains; a single label ("pbx") may be.
    let name = if name.contains('.') { format!("{name}.") } else { name.clone() };
    let records = match dns.lookup(name, kind).await {
        Ok(lookup) => Ok(lookup.answers().iter().map(|r| r.data.clone()).collect()),
        Err(e) if e.is_no_records_found() || matches!(e, NetError::Proto(_)) => Ok(Vec::new()),
        Err(e) => Err(e),
    };
    (question, records)
}

/// Aliases (CNAME) that an answer went through are among its data and of no interest.
fn learn(known: &mut Known, question: Question, data: &[RData]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match question {
        Question::Naptr(name) => {
            let records = data.iter().filter_map(|d| match d {
                RData::NAPTR(n) => Some(Naptr {
                    order: n.order,
                    preference: n.preference,
                    flags: text(&n.flags),
                    service: text(&n.services),
                    regexp: text(&n.regexp),
                    replacement: host(&n.replacement.to_ascii()),
                }),
                _ => None,
            });
            known.naptr(name, records.collect());
        }
        Question::Srv(name) => {
            let records = data.iter().filter_map(|d| match d {
                RData::SRV(s) => {
                    let target = host(&s.target.to_ascii());
                    Some(Srv { priority: s.priority, weight: s.weight, port: s.port, target })
                }
                _ => None,
            });
            known.srv(name, records.collect(), &mut random::up_to);
        }
        Question::V4(_) | Question::V6(_) => {
            let addresses = data.iter().filter_map(|d| match d {
                RData::A(a) => Some(a.0.into()),
                RData::AAAA(a) => Some(a.0.into()),
                _ => None,
            });
            known.addresses(question, addresses.collect());
        }
    }
}

/// Lower case, without the root's dot; the root itself is empty.
fn host(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
