//! From configuration to roads and endpoint: addresses to bind and to tell, who is known, what strangers may. It
//! opens nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip::auth::Credentials;
use sip::door::{BanConfig, DoorConfig, Strangers, TrunkRule};
use sip::{EndpointConfig, Peer, Transport};

use crate::config::{self, Config};
use crate::net::roads::{Certificate, RoadsConfig, TlsListen};
use crate::random;

/// The sockets that `[sip]` asks for.
pub fn roads(sip: &config::Sip) -> RoadsConfig {
    let pair = |chain: &Option<_>, key: &Option<_>| {
        chain.clone().zip(key.clone()).map(|(chain, key)| Certificate { chain, key })
    };
    let tls = pair(&sip.cert, &sip.key).map(|certificate| TlsListen {
        bind: sip.tls.into_iter().collect(),
        certificate,
        client_ca: sip.client_ca.clone(),
        client_required: sip.client_required,
    });
    RoadsConfig {
        udp: std::iter::once(sip.bind).chain(sip.also.iter().copied()).collect(),
        tcp: sip.tcp.into_iter().collect(),
        tls,
        ws: sip.ws.into_iter().collect(),
        wss: sip.wss.into_iter().collect(),
        trusted_ca: sip.trusted_ca.clone(),
        client_certificate: pair(&sip.client_cert, &sip.client_key),
        ws_origins: sip.ws_origins.clone(),
        ..RoadsConfig::default()
    }
}

/// The address that peers are told for one we are bound to.
pub fn told(config: &Config, bound: SocketAddr) -> SocketAddr {
    let ip = config.sip.advertised.filter(|ip| ip.is_ipv4() == bound.is_ipv4());
    SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port())
}

/// The endpoint behind these sockets. `credentials`: one a trunk, in the order of the configuration.
pub fn endpoint(config: &Config, bound: &[Peer], credentials: &[Option<Credentials>]) -> EndpointConfig {
    let mut listeners = bound.iter().map(|l| Peer::new(l.transport, told(config, l.address)));
    let first = listeners.next().map_or(([127, 0, 0, 1], 5060).into(), |l| l.address);
    let mut endpoint = EndpointConfig::new(first, random::bits());
    endpoint.listeners = listeners.collect();
    // The endpoint also counts calls being torn down; the gateway's own limit is the one that speaks.
    endpoint.max_calls = config.calls.max * 2 + 16;
    endpoint.session_expires = Some(Duration::from_secs(config.sip.session_expires_s.into()));
    endpoint.follow_refer = true;
    endpoint.door = door(config, credentials);
    endpoint
}

fn door(config: &Config, credentials: &[Option<Credentials>]) -> DoorConfig {
    let sip = &config.sip;
    let rule = |(trunk, credentials): (&config::Trunk, &Option<Credentials>)| TrunkRule {
        name: trunk.name.clone(),
        addresses: trunk.addresses.iter().map(|n| n.0).collect(),
        tls_names: trunk.tls_names.clone(),
        credentials: credentials.clone().filter(|_| trunk.digest_in),
        allow_md5: trunk.allow_md5,
        calls_max: trunk.calls_max.map(|n| n as usize),
        calls_per_s: trunk.calls_per_s.map(|n| n as f32),
    };
    // On loopback nobody is a stranger who could not do worse: tests and demos call as often as they like.
    let is_open =
        config.strangers() == config::Strangers::Answer && sip.listeners().iter().all(|l| l.address.ip().is_loopback());
    let limits = if is_open { DoorConfig::open() } else { limits(sip) };
    DoorConfig {
        realm: sip.realm.clone(),
        trunks: config.trunks.iter().zip(credentials).map(rule).collect(),
        strangers: match config.strangers() {
            config::Strangers::Answer => Strangers::Answer,
            config::Strangers::Refuse => Strangers::Refuse,
        },
        ..limits
    }
}

fn limits(sip: &config::Sip) -> DoorConfig {
    let ban_for = Duration::from_secs(sip.ban_s.into());
    DoorConfig {
        per_source_per_s: (sip.per_source_per_s > 0).then_some(sip.per_source_per_s),
        burst: sip.burst,
        bans: (sip.ban_s > 0).then(|| BanConfig { ban_for, ..BanConfig::default() }),
        ..DoorConfig::default()
    }
}

/// Where media for a peer is bound, and the address it is told.
pub struct MediaAt {
    pub bound: IpAddr,
    pub told: IpAddr,
}

/// Of the listeners, the one whose family and reach fit the peer.
pub fn media_at(config: &Config, bound: &[Peer], peer: Peer) -> MediaAt {
    let same = |l: &&Peer| l.address.is_ipv4() == peer.address.is_ipv4();
    let of = |transport: Transport| bound.iter().filter(same).find(|l| l.transport == transport);
    let listener = of(Transport::Udp).or_else(|| of(peer.transport)).map_or(config.sip.bind, |l| l.address);
    MediaAt { bound: listener.ip(), told: told(config, listener).ip() }
}
