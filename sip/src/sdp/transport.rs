//! What a description says of its transport beside addresses: DTLS (RFC 5763, RFC 8122) and ICE (RFC 8839). It checks nobody's
//! certificate and sends no check.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The digest that a fingerprint is made with. SHA-1 and older are not believed (RFC 8122 5).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Hash {
    /// What everybody writes.
    Sha256,
    /// RFC 8122.
    Sha384,
    /// RFC 8122.
    Sha512,
}

impl Hash {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The digest of a certificate (RFC 8122).
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its digest's kind.
    pub hash: Hash,
    /// The digest.
    pub bytes: Vec<u8>,
}

impl Fingerprint {
    /// As in `a=fingerprint`: `sha-256 4A:AD:...`.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, digest) = value.split_once(' ')?;
        let hash =
            [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|h| h.name().eq_ignore_ascii_case(name))?;
        let mut bytes = Vec::with_capacity(hash.bytes());
        for pair in digest.trim().split(':').take(hash.bytes() + 1) {
            let is_pair = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(pair, 16).ok().filter(|_| is_pair)?);
        }
        (bytes.len() == hash.bytes()).then_some(Self { hash, bytes })
    }
}

/// As it is parsed.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (i, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.hash.name())
    }
}

/// Who opens the association (RFC 4145 4).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Setup {
    Active,
    Passive,
    ActPass,
    HoldConn,
}

impl Setup {
    pub fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "actpass" => Some(Self::ActPass),
            "holdconn" => Some(Self::HoldConn),
            _ => None,
        }
    }
}

/// Our half of ICE. We are the lite one (RFC 8445 2.5): we answer checks, and our address is the one we tell.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalIce {
    ufrag: String,
    pwd: String,
}

impl LocalIce {
    /// `random`: unguessable bits, used for nothing else; RFC 8445 5.3 asks for 24 in the name and 128 in the
    /// password.
    pub fn new(random: [u8; 20]) -> Self {
        let text: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let (ufrag, pwd) = text.split_at(8);
        Self { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }
    }

    /// `ice-ufrag`: 8 hexadecimal digits.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// `ice-pwd`: 32 hexadecimal digits. Do not hand it to a log.
    pub fn pwd(&self) -> &str {
        &self.pwd
    }

    /// Credentials and candidates (RFC 8839 5.1, RFC 8445 5.1.2.1): RTCP shares the port. Without any the one of `at`,
    /// and somebody may know of more.
    pub(super) fn lines(&self, at: SocketAddr, candidates: &[Candidate]) -> String {
        let LocalIce { ufrag, pwd } = self;
        let mut lines = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
        if candidates.is_empty() {
            return lines + &Candidate::udp(at).line(0);
        }
        lines.extend((0..).zip(candidates).map(|(place, candidate)| candidate.line(place)));
        lines + "a=end-of-candidates\r\n"
    }
}

impl fmt::Debug for LocalIce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// How a candidate of ours is reached.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum CandidateKind {
    /// A datagram a packet.
    Udp,
    /// A connection that the peer opens (RFC 6544), for those whose network lets nothing else through.
    TcpPassive,
}

/// Where the peer's checks may come to: a host's address, or the one that a NAT maps to it one to one.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// How.
    pub kind: CandidateKind,
    /// The address that peers reach.
    pub address: SocketAddr,
}

impl Candidate {
    /// By datagrams.
    pub const fn udp(address: SocketAddr) -> Self {
        Self { kind: CandidateKind::Udp, address }
    }

    /// By connections.
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { kind: CandidateKind::TcpPassive, address }
    }

    /// `place`: how many are better.
    fn line(&self, place: u16) -> String {
        let local = u32::from(u16::MAX - place);
        // RFC 8445 5.1.2.1: kind, place, component. TCP comes after all UDP (RFC 6544 4.2).
        let (transport, preference, more) = match self.kind {
            CandidateKind::Udp => ("UDP", 126, ""),
            CandidateKind::TcpPassive => ("TCP", 90, " tcptype passive"),
        };
        let (priority, foundation) = ((preference << 24) + (local << 8) + 255_u32, place.saturating_add(1));
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("a=candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{more}\r\n")
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Candidate").field(&self.kind).finish()
    }
}

/// The peer's half of ICE: what its checks are known by.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteIce {
    /// `ice-ufrag`.
    pub ufrag: String,
    /// `ice-pwd`. Do not hand it to a log.
    pub pwd: String,
}

impl fmt::Debug for RemoteIce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// Candidates kept of one section.
const CANDIDATES_MAX: usize = 32;

/// ICE as a section has it, its own attributes before those of the session.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Ice {
    pub ufrag: Option<String>,
    pub pwd: Option<String>,
    pub lite: bool,
    /// Of RTP, over UDP; no address: a name (mDNS).
    pub candidates: Vec<(Option<IpAddr>, u16)>,
}

impl Ice {
    /// One attribute; false: not of ICE.
    pub fn attribute(&mut self, name: &str, value: &str) -> bool {
        match name {
            "ice-ufrag" => self.ufrag = ice_text(value, 4),
            "ice-pwd" => self.pwd = ice_text(value, 22),
            "ice-lite" => self.lite = true,
            "candidate" => {
                let of_rtp = parse_candidate(value).filter(|_| self.candidates.len() < CANDIDATES_MAX);
                self.candidates.extend(of_rtp);
            }
            _ => return false,
        }
        true
    }

    /// What a lite side needs of it. Two lite sides have nobody to check, and go by the plain addresses.
    pub fn remote(&self) -> Option<RemoteIce> {
        let (ufrag, pwd) = (self.ufrag.clone()?, self.pwd.clone()?);
        (!self.lite).then_some(RemoteIce { ufrag, pwd })
    }

    /// RFC 8839 4.2.5: somebody on the way, who knows nothing of ICE, changed the address of the section. Then
    /// the candidates lead elsewhere.
    pub fn is_mismatch(&self, address: Option<IpAddr>, port: u16) -> bool {
        let is_told = address.is_some_and(|a| !a.is_unspecified()) && port != 9 && port != 0;
        let fits = |(ip, p): &(Option<IpAddr>, u16)| *p == port && (ip.is_none() || *ip == address);
        // Of more than are kept, any may fit.
        let is_whole = (1..CANDIDATES_MAX).contains(&self.candidates.len());
        is_told && is_whole && !self.candidates.iter().any(fits)
    }
}

/// RFC 8839 5.4: `least` to 256 characters of a small set.
fn ice_text(value: &str, least: usize) -> Option<String> {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    ((least..=256).contains(&value.len()) && value.bytes().all(is_char)).then(|| value.to_owned())
}

/// `1 1 UDP 2130706431 192.0.2.1 4000 typ host ...`
fn parse_candidate(value: &str) -> Option<(Option<IpAddr>, u16)> {
    let mut fields = value.split_ascii_whitespace().skip(1);
    let (component, transport) = (fields.next()?, fields.next()?);
    let (address, port) = (fields.nth(1)?, fields.next()?);
    let is_rtp = component == "1" && transport.eq_ignore_ascii_case("udp");
    Some((address.parse().ok(), port.parse().ok()?)).filter(|_| is_rtp)
}
