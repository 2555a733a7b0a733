//! `[sip]`: where we listen, with which certificates, and how strangers are met. It opens nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sip::{Peer, Transport};

use super::check::{Problem, wrong};

const HERE: &str = "sip";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    /// UDP address to answer on.
    pub bind: SocketAddr,
    /// More UDP addresses, such as the IPv6 one.
    pub also: Vec<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub tls: Option<SocketAddr>,
    pub ws: Option<SocketAddr>,
    pub wss: Option<SocketAddr>,
    /// Address written into Contact and SDP where `bind` is a wildcard or behind NAT.
    pub advertised: Option<IpAddr>,
    /// Our certificate chain and its key, PEM; for `tls` and `wss`.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Who signs the certificates of those who connect to us, PEM.
    pub client_ca: Option<PathBuf>,
    /// A connection without such a certificate is refused.
    pub client_required: bool,
    /// Who signs the certificates of the servers we connect to, PEM; unset: the system's authorities.
    pub trusted_ca: Option<PathBuf>,
    /// What we show to servers that ask for a certificate, PEM.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// Web pages that may open a WebSocket, `*`: any; empty: those of the same host.
    pub ws_origins: Vec<String>,
    /// The name server to ask, instead of the system's.
    pub nameserver: Option<SocketAddr>,
    /// Unset: see `Config::strangers`.
    pub strangers: Option<Strangers>,
    /// The realm of our own digest challenges.
    pub realm: String,
    /// Requests outside of dialogs that one source may send per second; 0: any number.
    pub per_source_per_s: u32,
    /// How many of them may come at once.
    pub burst: u32,
    /// How long a source is ignored that failed too many digests; 0: never.
    pub ban_s: u32,
    /// Session-Expires that we ask for (RFC 4028).
    pub session_expires_s: u32,
}

/// What happens to calls that come through no trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strangers {
    Answer,
    Refuse,
}

impl Default for Sip {
    fn default() -> Self {
        Self {
            bind: ([127, 0, 0, 1], 5060).into(),
            also: vec![],
            tcp: None,
            tls: None,
            ws: None,
            wss: None,
            advertised: None,
            cert: None,
            key: None,
            client_ca: None,
            client_required: false,
            trusted_ca: None,
            client_cert: None,
            client_key: None,
            ws_origins: vec![],
            nameserver: None,
            strangers: None,
            realm: "dauys".into(),
            per_source_per_s: 50,
            burst: 100,
            ban_s: 300,
            session_expires_s: 1800,
        }
    }
}

impl Sip {
    /// Every address we listen on; the first is `bind`.
    pub fn listeners(&self) -> Vec<Peer> {
        let udp = std::iter::once(self.bind).chain(self.also.iter().copied()).map(Peer::udp);
        udp.chain(self.streams().into_iter().map(|(_, transport, address)| Peer::new(transport, address))).collect()
    }

    /// Listen on every address, and tell callers this one.
    pub fn publish(&mut self, ip: IpAddr) {
        let any: IpAddr = if ip.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let streams = [&mut self.tcp, &mut self.tls, &mut self.ws, &mut self.wss];
        streams.into_iter().flatten().chain([&mut self.bind]).for_each(|address| address.set_ip(any));
        self.advertised = Some(ip);
    }

    fn streams(&self) -> Vec<(&'static str, Transport, SocketAddr)> {
        let all = [
            ("tcp", Transport::Tcp, self.tcp),
            ("tls", Transport::Tls, self.tls),
            ("ws", Transport::Ws, self.ws),
            ("wss", Transport::Wss, self.wss),
        ];
        all.into_iter().filter_map(|(key, transport, at)| at.map(|at| (key, transport, at))).collect()
    }

    pub(super) fn anchor(&mut self, folder: &Path) {
        let files = [
            &mut self.cert,
            &mut self.key,
            &mut self.client_ca,
            &mut self.trusted_ca,
            &mut self.client_cert,
            &mut self.client_key,
        ];
        files.into_iter().flatten().for_each(|file| *file = folder.join(&*file));
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        self.check_addresses()?;
        self.check_certificates()?;
        if !self.ws_origins.is_empty() && self.ws.is_none() && self.wss.is_none() {
            return wrong(HERE, "ws_origins", "needs `ws` or `wss`");
        }
        if self.realm.is_empty() || self.realm.len() > 64 || self.realm.contains(|c: char| c.is_control() || c == '"') {
            return wrong(HERE, "realm", "takes 1 to 64 characters without quotes, such as your domain");
        }
        if self.burst < self.per_source_per_s {
            return wrong(HERE, "burst", format!("must not be below per_source_per_s = {}", self.per_source_per_s));
        }
        if self.ban_s > 86_400 {
            return wrong(HERE, "ban_s", format!("is {}; it takes 0 to 86400", self.ban_s));
        }
        // RFC 4028 5: less than 90 s is refused by others.
        if !(90..=86_400).contains(&self.session_expires_s) {
            return wrong(HERE, "session_expires_s", format!("is {}; it takes 90 to 86400", self.session_expires_s));
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), Problem> {
        let streams = self.streams();
        let bound = streams.iter().map(|(key, _, at)| (*key, *at));
        for (key, at) in [("bind", self.bind)].into_iter().chain(bound) {
            if at.ip().is_unspecified() && self.advertised.is_none() {
                return wrong(HERE, key, "is a wildcard; say in `advertised` which address callers reach");
            }
        }
        for (n, at) in self.also.iter().enumerate() {
            // `advertised` is one address; the other family has none to tell unless it is written here.
            if at.ip().is_unspecified() {
                return wrong(HERE, "also", "holds a wildcard; write the address itself, which callers are told");
            }
            if at.port() != 0 && (*at == self.bind || self.also.iter().take(n).any(|a| a == at)) {
                return wrong(HERE, "also", format!("names {at} twice"));
            }
        }
        for (n, (key, _, at)) in streams.iter().enumerate() {
            if let Some((other, ..)) = streams.iter().take(n).find(|(_, _, a)| a == at && at.port() != 0) {
                return wrong(HERE, key, format!("is the address of `{other}`; each takes a port of its own"));
            }
        }
        Ok(())
    }

    fn check_certificates(&self) -> Result<(), Problem> {
        let secure = [("tls", self.tls), ("wss", self.wss)].into_iter().find(|(_, at)| at.is_some());
        match (secure, &self.cert, &self.key) {
            (Some((key, _)), None, _) => return wrong(HERE, key, "needs `cert` and `key`"),
            (_, Some(_), None) => return wrong(HERE, "cert", "needs `key`"),
            (_, None, Some(_)) => return wrong(HERE, "key", "needs `cert`"),
            (None, Some(_), _) => return wrong(HERE, "cert", "needs `tls` or `wss`"),
            _ => {}
        }
        if secure.is_none() && self.client_ca.is_some() {
            return wrong(HERE, "client_ca", "needs `tls` or `wss`");
        }
        if self.client_required && self.client_ca.is_none() {
            return wrong(HERE, "client_required", "needs `client_ca`");
        }
        match (&self.client_cert, &self.client_key) {
            (Some(_), None) => wrong(HERE, "client_cert", "needs `client_key`"),
            (None, Some(_)) => wrong(HERE, "client_key", "needs `client_cert`"),
            _ => Ok(()),
        }
    }
}
