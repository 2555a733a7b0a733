//! What the roads are built from, and what can be wrong with it. It opens nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sip::Transport;

/// Addresses to listen on, who is trusted, and the limits of strangers. All lists may be empty.
#[derive(Debug, Clone, Default)]
pub struct RoadsConfig {
    /// One per family; one more on loopback where the other is not. Messages go out by the one that fits.
    pub udp: Vec<SocketAddr>,
    pub tcp: Vec<SocketAddr>,
    pub tls: Option<TlsListen>,
    /// SIP over WebSocket (RFC 7118).
    pub ws: Vec<SocketAddr>,
    /// The same over TLS, with the certificate of `tls`. Browsers are not asked for certificates.
    pub wss: Vec<SocketAddr>,
    /// PEM file of the authorities that servers' certificates must come from; absent: those of the system.
    pub trusted_ca: Option<PathBuf>,
    /// Shown to servers that ask for one (mutual TLS).
    pub client_certificate: Option<Certificate>,
    /// Pages that may open a WebSocket, as `https://example.com`; `*`: any. Empty: pages of the same host.
    /// Clients that are no browser send no origin and are not asked.
    pub ws_origins: Vec<String>,
    pub limits: Limits,
}

/// A PEM file with the certificate and then its chain, and one with its key; they may be the same.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone)]
pub struct TlsListen {
    /// May be empty where only `wss` is wanted.
    pub bind: Vec<SocketAddr>,
    pub certificate: Certificate,
    /// PEM file of the authorities of clients' certificates: clients are asked for one, and it is verified.
    pub client_ca: Option<PathBuf>,
    /// A client without a certificate is turned away.
    pub client_required: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Accepted connections at once; as many again may be opened by ourselves.
    pub connections_max: usize,
    /// Accepted connections at once of one IPv4 address or one IPv6 /64.
    pub per_source_max: usize,
    /// A connection that says nothing for so long is closed. Keepalives count.
    pub idle_s: u32,
    /// From connect to the end of the handshakes of TLS and WebSocket.
    pub handshake_s: u32,
    /// For a stranger's first message, and for any message from its first byte to its last.
    pub message_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 1024, per_source_max: 32, idle_s: 600, handshake_s: 10, message_s: 30 }
    }
}

impl Limits {
    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_s.into())
    }

    pub(super) fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_s.into())
    }

    pub(super) fn message(&self) -> Duration {
        Duration::from_secs(self.message_s.into())
    }
}

/// Why the roads cannot be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RoadsError {
    #[error(
        "cannot listen for SIP on {} {address}: {source}. Is another program (or another dauys) using the port, or is the address not this machine's? Change [sip] {}",
        transport.as_str(),
        key_of(*transport)
    )]
    Bind { transport: Transport, address: SocketAddr, source: std::io::Error },
    #[error("cannot read {path}: {detail}. Give a PEM file that this user may read")]
    Unreadable { path: PathBuf, detail: String },
    #[error("{path} holds no certificate; it takes a PEM file with the certificate first and then its chain")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no private key; it takes a PEM file with an unencrypted PKCS#8, PKCS#1 or SEC1 key")]
    NoKey { path: PathBuf },
    #[error("the key in {key} is not the key of the certificate in {chain}; give the pair that was issued together")]
    KeyMismatch { chain: PathBuf, key: PathBuf },
    #[error("{path} cannot be used for TLS: {detail}")]
    Unusable { path: PathBuf, detail: String },
    #[error("WSS needs a certificate; give one for TLS")]
    NoTls,
    #[error("clients must show certificates, but no authority for them is given; name its PEM file")]
    NoClientCa,
}

/// Where `[sip]` says what to listen on.
const fn key_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "bind",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}
