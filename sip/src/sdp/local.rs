//! What our side brings to a session, and what it keeps of it from one description to the next. It opens no port.

use super::crypto::{SrtpKeys, Suite};
use super::negotiate::{Mid, Negotiated};
use super::protect::Security;
use super::transport::{Candidate, Fingerprint, LocalIce, RemoteIce};
use super::{Codec, Direction};
use std::fmt;
use std::net::SocketAddr;

/// What our side brings to a session. Of a call, except for what [`LocalMedia::next_version`] and
/// [`LocalMedia::settle`] change: a new peer gets new keys.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we receive RTP: the address peers reach, not the bound wildcard.
    pub address: SocketAddr,
    /// `o=` session id: constant for a call.
    pub session_id: u64,
    /// `o=` version: one more for every description that differs ([`LocalMedia::next_version`]).
    pub version: u64,
    /// What we speak, best first. As answerer the peer's order wins (RFC 3264 6.1).
    pub codecs: Vec<Codec>,
    /// Telephone events (RFC 4733).
    pub dtmf: bool,
    /// Silence need not be sent: comfort noise (RFC 3389) beside codecs of 8 kHz, no packets with Opus.
    pub comfort_noise: bool,
    /// Packet time in milliseconds that we wish to receive.
    pub ptime_ms: u32,
    /// What we want now; `SendOnly` or `Inactive` puts the peer on hold.
    pub direction: Direction,
    /// RTP and RTCP on one port (RFC 5761) where the peer can.
    pub rtcp_mux: bool,
    /// VoIP metrics (RFC 3611) where the peer wants them.
    pub rtcp_xr: bool,
    /// SRTP.
    pub protection: Protection,
    /// ICE where the peer offers it together with rtcp-mux; `None`: never.
    pub ice: Option<LocalIce>,
    /// Where checks may come to, best first, and that there is no other place; empty: `address`.
    pub candidates: Vec<Candidate>,
    /// Our answers take a data channel (RFC 8841) where the peer offers one beside the audio, on its port and with a
    /// handshake. We never offer one.
    pub data: bool,
    /// What our packets carry (RFC 5576): where several sections share a port, some know a stream by this alone. `None`: not
    /// said.
    pub source: Option<Source>,
    /// What is in force ([`LocalMedia::settle`]); `None`: nothing yet.
    pub agreed: Option<Agreed>,
}

/// A stream's name in RTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Its synchronization source.
    pub ssrc: u32,
    /// Its canonical name: a word that says nothing about anybody.
    pub cname: String,
}

/// Whether RTP must be SRTP.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum SrtpPolicy {
    /// Plain RTP; what is offered with SRTP only is refused.
    #[default]
    Off,
    /// As the peer offers it, SRTP where it leaves the choice to us. Our offers are plain RTP with keys that
    /// may be ignored (RFC 8643), or without any where whoever is on the way could read them: there they would
    /// protect nothing, and only confuse those who never heard of that.
    Optional,
    /// SRTP or no call. Our offers have keys where nobody reads them on the way, else they are for DTLS.
    Required,
}

/// What SRTP is made with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Protection {
    /// Whether it must be.
    pub policy: SrtpPolicy,
    /// For `a=crypto` (RFC 4568); `None`: not that way.
    pub keys: Option<SrtpKeys>,
    /// Of our certificate, for DTLS-SRTP (RFC 5763); `None`: not that way.
    pub fingerprint: Option<Fingerprint>,
    /// The signalling is encrypted (TLS, WSS), or to be taken for it. Where it is not, keys in a description
    /// are no protection: `Required` refuses them, `Optional` does not offer them.
    pub trusts_signalling: bool,
}

/// What a session was agreed to be, for the descriptions that follow: numbers, protocol, protection and roles
/// stay (RFC 3264 8).
#[derive(Clone, PartialEq, Eq)]
pub struct Agreed {
    pub(super) protocol: String,
    pub(super) codec: (u8, Codec),
    pub(super) dtmf: Option<(u8, u32)>,
    pub(super) suite: Option<Suite>,
    /// The peer's certificate, and whether we opened the association.
    pub(super) dtls: Option<(Fingerprint, bool)>,
    pub(super) ice: Option<RemoteIce>,
    pub(super) mid: Option<Mid>,
}

impl LocalMedia {
    /// PCMU, PCMA, telephone-event, 20 ms, both directions, rtcp-mux; neither SRTP nor ICE.
    pub fn new(address: SocketAddr, session_id: u64) -> Self {
        Self {
            address,
            session_id,
            version: 1,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            dtmf: true,
            comfort_noise: false,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            rtcp_mux: true,
            rtcp_xr: false,
            protection: Protection::default(),
            ice: None,
            candidates: Vec::new(),
            data: false,
            source: None,
            agreed: None,
        }
    }

    /// RFC 3264 8: a description that differs from the last one sent carries the next version.
    pub const fn next_version(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// The session is now as agreed: the next offer keeps its payload types, its protection and its ICE.
    pub fn settle(&mut self, negotiated: &Negotiated) {
        let (suite, dtls) = match &negotiated.security {
            Security::Plain => (None, None),
            Security::Sdes { suite, .. } => (Some(*suite), None),
            Security::Dtls { remote, we_are_active } => (None, Some((remote.clone(), *we_are_active))),
        };
        self.agreed = Some(Agreed {
            protocol: negotiated.protocol.clone(),
            codec: (negotiated.payload_type, negotiated.codec),
            dtmf: negotiated.dtmf,
            suite,
            dtls,
            ice: negotiated.ice.clone(),
            mid: negotiated.mid.clone(),
        });
    }

    /// The peer began ICE anew: so must we (RFC 8839 4.4.1.1.1), with another [`LocalMedia::ice`] and an answer
    /// made again.
    pub fn restarts_ice(&self, negotiated: &Negotiated) -> bool {
        let was = self.agreed.as_ref().and_then(|a| a.ice.as_ref());
        was.is_some() && negotiated.ice.is_some() && was != negotiated.ice.as_ref()
    }
}

impl fmt::Debug for LocalMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMedia")
            .field("codecs", &self.codecs)
            .field("version", &self.version)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agreed({:?})", self.codec)
    }
}
