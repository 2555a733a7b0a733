//! RFC 3263 as a function of what is known: either the questions still open, or the places in order.
//! It asks nobody and waits for nothing.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sip::uri::Uri;
use sip::{Peer, Transport};

use super::records::{Naptr, Srv, ordered, service};
use super::{Families, Found, ResolveError, TARGETS_MAX};

/// NAPTR records read at most; real zones have five.
const NAPTR_MAX: usize = 8;

/// Something to ask DNS, about a name in lower case without the last dot.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Question {
    Naptr(String),
    Srv(String),
    V4(String),
    V6(String),
}

/// What DNS said so far. Nothing known and nothing there are different things.
#[derive(Default)]
pub struct Known {
    naptr: HashMap<String, Vec<Naptr>>,
    srv: HashMap<String, Vec<Srv>>,
    addresses: HashMap<Question, Vec<IpAddr>>,
}

impl Known {
    pub fn naptr(&mut self, name: String, mut records: Vec<Naptr>) {
        records.sort_by_key(|r| (r.order, r.preference));
        records.truncate(NAPTR_MAX);
        self.naptr.insert(name, records);
    }

    /// The order of equals is drawn here, once (see [`ordered`]).
    pub fn srv(&mut self, name: String, records: Vec<Srv>, draw: &mut dyn FnMut(u32) -> u32) {
        let mut records = ordered(records, draw);
        records.truncate(TARGETS_MAX);
        self.srv.insert(name, records);
    }

    pub fn addresses(&mut self, question: Question, mut addresses: Vec<IpAddr>) {
        addresses.truncate(TARGETS_MAX);
        self.addresses.insert(question, addresses);
    }

    /// There is nothing, or nobody answered.
    pub fn nothing(&mut self, question: Question) {
        match question {
            Question::Naptr(name) => _ = self.naptr.insert(name, Vec::new()),
            Question::Srv(name) => _ = self.srv.insert(name, Vec::new()),
            Question::V4(_) | Question::V6(_) => _ = self.addresses.insert(question, Vec::new()),
        }
    }
}

/// What a search needs, or what it found.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Never empty; ask all at once.
    Ask(Vec<Question>),
    /// In order of use, `TARGETS_MAX` at most; empty: nobody serves the URI.
    Found(Vec<Found>),
}

/// One URI on its way to addresses.
pub struct Search {
    /// What is looked up: `maddr`, else the host.
    name: String,
    /// What a certificate must prove: the host.
    proven: String,
    families: Families,
    supported: Vec<Transport>,
    start: Start,
}

enum Start {
    /// An address already.
    Address(Peer),
    /// The port is given: no SRV (RFC 3263 4.2).
    Host(Transport, u16),
    /// The transport is given: no NAPTR (4.1).
    Service(Transport),
    Domain,
}

/// A host to look up, and how to reach it there.
struct Host<'a> {
    name: &'a str,
    port: u16,
    transport: Transport,
}

impl Search {
    pub fn new(uri: &Uri, supported: &[Transport], families: Families) -> Result<Self, ResolveError> {
        let sip = uri.sip().ok_or(ResolveError::NotSip)?;
        let secure = uri.scheme() == "sips";
        let named = sip.param("transport").is_some() || secure;
        let transport = match uri.transport() {
            Some(transport) => transport,
            // A transport that we do not know, such as sctp.
            None if named => return Err(ResolveError::Transport),
            None => Transport::Udp,
        };
        // sips: without a transport may also mean a secure WebSocket, but nothing in the clear.
        let usable = |t: &&Transport| !secure || t.is_secure();
        let supported: Vec<Transport> = supported.iter().filter(usable).copied().collect();
        let start = match (uri.peer(transport), sip.port, sip.param("transport")) {
            (Some(peer), ..) => Start::Address(peer),
            (None, Some(port), _) => Start::Host(transport, port),
            (None, None, Some(_)) => Start::Service(transport),
            (None, None, None) => Start::Domain,
        };
        let possible = match start {
            Start::Domain => !supported.is_empty(),
            _ => supported.contains(&transport),
        };
        if !possible {
            return Err(ResolveError::Transport);
        }
        let name = sip.param("maddr").unwrap_or(&sip.host).trim_end_matches('.').to_ascii_lowercase();
        Ok(Self { name, proven: sip.host.trim_end_matches('.').to_owned(), families, supported, start })
    }

    /// Ask until there is nothing to ask: three or four rounds.
    pub fn next(&self, known: &Known) -> Next {
        match self.start {
            Start::Address(peer) => {
                let family = if peer.address.is_ipv4() { self.families.v4 } else { self.families.v6 };
                Next::Found(family.then(|| self.found(peer)).into_iter().collect())
            }
            Start::Host(transport, port) => self.hosts(known, &[Host { name: &self.name, port, transport }]),
            Start::Service(transport) => self.services(known, &[vec![self.service(transport)]]),
            Start::Domain => {
                let Some(records) = known.naptr.get(&self.name) else {
                    return Next::Ask(vec![Question::Naptr(self.name.clone())]);
                };
                let mut groups = self.chosen(records);
                if groups.is_empty() {
                    groups = vec![self.supported.iter().map(|t| self.service(*t)).collect()];
                }
                self.services(known, &groups)
            }
        }
    }

    fn service(&self, transport: Transport) -> (Transport, String) {
        (transport, service(transport, &self.name))
    }

    /// The services that we can use, grouped by order. RFC 3403 4.1: a higher order is looked at only
    /// where the lower one gave nothing; a failed TLS connection must not become a call in the clear.
    fn chosen(&self, records: &[Naptr]) -> Vec<Vec<(Transport, String)>> {
        let usable = |r: &Naptr| {
            let transport = r.transport().filter(|t| self.supported.contains(t))?;
            Some((r.order, (transport, r.replacement.clone())))
        };
        let usable: Vec<_> = records.iter().filter_map(usable).collect();
        let same = usable.chunk_by(|(a, _), (b, _)| a == b);
        same.map(|group| group.iter().map(|(_, service)| service.clone()).collect()).collect()
    }

    fn services(&self, known: &Known, groups: &[Vec<(Transport, String)>]) -> Next {
        let mut described = false;
        for group in groups {
            let missing: Vec<_> = group.iter().filter(|(_, name)| !known.srv.contains_key(name)).collect();
            if !missing.is_empty() {
                return Next::Ask(missing.into_iter().map(|(_, name)| Question::Srv(name.clone())).collect());
            }
            let records = group.iter().flat_map(|(t, name)| known.srv.get(name).into_iter().flatten().map(|r| (*t, r)));
            described |= records.clone().next().is_some();
            // RFC 2782: the root as a target says that there is no such service.
            let served = records.filter(|(_, r)| !r.target.is_empty());
            let hosts: Vec<Host> =
                served.map(|(transport, r)| Host { name: &r.target, port: r.port, transport }).collect();
            match self.hosts(known, &hosts) {
                Next::Found(found) if found.is_empty() => {}
                next => return next,
            }
        }
        if described {
            return Next::Found(Vec::new());
        }
        // RFC 3263 4.2: no SRV records at all: the name itself, at the default port.
        let transport = match self.start {
            Start::Service(transport) => transport,
            _ => self.plain_transport(),
        };
        self.hosts(known, &[Host { name: &self.name, port: transport.default_port(), transport }])
    }

    /// RFC 3263 4.1: UDP for sip:, TLS for sips:, where nothing says more; the first we have otherwise.
    fn plain_transport(&self) -> Transport {
        let usual = [Transport::Udp, Transport::Tls].into_iter().find(|t| self.supported.contains(t));
        usual.or(self.supported.first().copied()).unwrap_or(Transport::Udp)
    }

    fn hosts(&self, known: &Known, hosts: &[Host]) -> Next {
        let (mut missing, mut found) = (Vec::new(), Vec::new());
        for host in hosts.iter().take(TARGETS_MAX) {
            let mut of = |wanted: bool, question: Question| {
                let none = &[][..];
                match known.addresses.get(&question) {
                    _ if !wanted => none,
                    Some(addresses) => addresses,
                    None => {
                        if !missing.contains(&question) {
                            missing.push(question);
                        }
                        none
                    }
                }
            };
            let v6 = of(self.families.v6, Question::V6(host.name.to_owned()));
            let v4 = of(self.families.v4, Question::V4(host.name.to_owned()));
            for n in 0..v6.len().max(v4.len()) {
                for ip in [v6.get(n), v4.get(n)].into_iter().flatten() {
                    let place = self.found(Peer::new(host.transport, SocketAddr::new(*ip, host.port)));
                    if !found.contains(&place) {
                        found.push(place);
                    }
                }
            }
        }
        found.truncate(TARGETS_MAX);
        if missing.is_empty() { Next::Found(found) } else { Next::Ask(missing) }
    }

    fn found(&self, peer: Peer) -> Found {
        Found { peer, name: self.proven.clone() }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naptr(_) => "Naptr([private])",
            Self::Srv(_) => "Srv([private])",
            Self::V4(_) => "V4([private])",
            Self::V6(_) => "V6([private])",
        })
    }
}
