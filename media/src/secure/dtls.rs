//! DTLS-SRTP (RFC 5763, RFC 5764): the certificate of this process, fingerprints, and one handshake. It opens no
//! socket, and gives no key and no data away before the other side's certificate matched the fingerprint signalled.
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroize;

use super::suite::{KEYS_MAX, Keys, Suite};

/// The first retransmission; RFC 6347, 4.2.4.1 says a second, and lets those who know their network shorten it:
/// somebody is waiting to be heard.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(400);
/// 0.4, 0.8, 1.6, 3.2, 6.4 s.
const RETRANSMISSIONS: usize = 5;
/// A handshake that lasts longer failed.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Datagrams of a handshake that wait to be sent. A flight has three or four.
const DATAGRAMS_MAX: usize = 16;
/// Records of data out of one datagram.
const RECORDS_MAX: usize = 16;
/// Largest handshake datagram, in bytes: below the MTU of every tunnel.
const DATAGRAM_LEN_MAX: usize = 1_200;
/// Longest certificate looked at, in bytes.
const CERTIFICATE_LEN_MAX: usize = 16 * 1_024;

/// Who begins the handshake, as `a=setup` says it (RFC 4145).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// We do: DTLS client.
    Active,
    /// The other side does: DTLS server.
    Passive,
}

/// No certificate could be made: there is no randomness, or a key was refused. Serve without DTLS.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no certificate could be made")]
pub struct IdentityError;

/// A key and its self-signed certificate, to be made once and used for many calls.
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<Config>,
}

impl Identity {
    /// A new one: ECDSA on P-256, valid as long as dates go. Takes the system's randomness.
    pub fn generate() -> Result<Identity, IdentityError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| IdentityError)?;
        let mut parameters = rcgen::CertificateParams::default();
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::CommonName, "media");
        parameters.distinguished_name = name;
        let certificate = parameters.self_signed(&key).map_err(|_| IdentityError)?.der().to_vec();
        let config = Config::builder()
            .mtu(DATAGRAM_LEN_MAX)
            .flight_start_rto(RETRANSMIT_AFTER)
            .flight_retries(RETRANSMISSIONS)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .build()
            .map_err(|_| IdentityError)?;
        Ok(Identity {
            fingerprint: Fingerprint::of(Hash::Sha256, &certificate),
            certificate: DtlsCertificate { certificate, private_key: key.serialize_der() },
            config: Arc::new(config),
        })
    }

    /// Its fingerprint, for our SDP.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.certificate.private_key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Hash functions for fingerprints (RFC 8122, 5); MD2 and MD5 must not be used.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [(Hash, &'static str, usize); 4] = [
        (Hash::Sha1, "sha-1", 20),
        (Hash::Sha256, "sha-256", 32),
        (Hash::Sha384, "sha-384", 48),
        (Hash::Sha512, "sha-512", 64),
    ];

    fn name_and_len(self) -> (&'static str, usize) {
        Hash::ALL.iter().find(|(hash, ..)| *hash == self).map_or(("", 0), |(_, name, len)| (name, *len))
    }
}

/// The fingerprint of a certificate, read from and written to `a=fingerprint`: `sha-256 4A:AD:...`.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    /// Zeros behind the hash's length.
    digest: [u8; 64],
}

/// Why a fingerprint cannot be used.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FingerprintError {
    /// Look for another `a=fingerprint` in the same description, or refuse.
    #[error("the hash function is none of SHA-1, SHA-256, SHA-384, SHA-512")]
    Hash,
    /// Refuse.
    #[error("not a fingerprint")]
    Malformed,
}

impl Fingerprint {
    fn of(hash: Hash, certificate: &[u8]) -> Fingerprint {
        let mut digest = [0; 64];
        let mut put = |made: &[u8]| digest.iter_mut().zip(made).for_each(|(to, from)| *to = *from);
        match hash {
            Hash::Sha1 => put(&Sha1::digest(certificate)),
            Hash::Sha256 => put(&Sha256::digest(certificate)),
            Hash::Sha384 => put(&Sha384::digest(certificate)),
            Hash::Sha512 => put(&Sha512::digest(certificate)),
        }
        Fingerprint { hash, digest }
    }

    fn matches(&self, certificate: &[u8]) -> bool {
        *self == Fingerprint::of(self.hash, certificate)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Fingerprint, FingerprintError> {
        let (name, hex) = text.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let known = Hash::ALL.into_iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name));
        let (hash, _, len) = known.ok_or(FingerprintError::Hash)?;
        let mut digest = [0; 64];
        let mut read = 0;
        for (room, pair) in digest.iter_mut().zip(hex.trim().split(':')) {
            let digits = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            *room = u8::from_str_radix(pair, 16).ok().filter(|_| digits).ok_or(FingerprintError::Malformed)?;
            read += 1;
        }
        let whole = read == len && hex.trim().len() == len * 3 - 1;
        whole.then_some(Fingerprint { hash, digest }).ok_or(FingerprintError::Malformed)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, len) = self.hash.name_and_len();
        f.write_str(name)?;
        for (at, byte) in self.digest.iter().take(len).enumerate() {
            f.write_char(if at == 0 { ' ' } else { ':' })?;
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprint").field(&self.hash).finish()
    }
}

/// Why a handshake brought no keys. Nothing can be heard or said; end the call or negotiate anew.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else than the one who signed the SDP, or a middle box that changed it.
    #[error("the certificate does not match the fingerprint")]
    Fingerprint,
    /// No answer, or none in time.
    #[error("the handshake timed out")]
    TimedOut,
    /// The other side speaks DTLS but none of our SRTP profiles.
    #[error("no SRTP profile in common")]
    NoProfile,
    /// It broke off: no cipher suite in common, an RSA certificate, a bad signature.
    #[error("the handshake failed")]
    Handshake,
}

/// What a handshake came to.
pub(super) enum Outcome {
    Keys { send: Keys, receive: Keys },
    Failed(Failure),
}

/// One DTLS association, from the first flight to the end of the call: the last flight may have to be sent again.
pub(super) struct Handshake {
    dtls: Dtls,
    role: Role,
    fingerprint: Fingerprint,
    /// When the association wants to be woken.
    wake: Instant,
    verified: bool,
    connected: bool,
    keyed: bool,
    /// It broke off; if there are keys by then, they stay good.
    over: bool,
    flights: VecDeque<Vec<u8>>,
    /// Application data is kept for [`Handshake::received`]; else it is thrown away.
    keeps_data: bool,
    received: VecDeque<Vec<u8>>,
}

impl Handshake {
    pub fn new(now: Instant, identity: &Identity, role: Role, fingerprint: &Fingerprint) -> Handshake {
        // DTLS 1.2 alone: every SIP phone speaks it, and where both versions are tried, one stray datagram
        // ends the handshake.
        let mut dtls = Dtls::new_12(Arc::clone(&identity.config), identity.certificate.clone(), now);
        dtls.set_active(role == Role::Active);
        Handshake {
            dtls,
            role,
            fingerprint: fingerprint.clone(),
            wake: now,
            verified: false,
            connected: false,
            keyed: false,
            over: false,
            flights: VecDeque::new(),
            keeps_data: false,
            received: VecDeque::new(),
        }
    }

    /// Whether application data is kept for [`Handshake::received`].
    pub fn keep_data(&mut self, keeps_data: bool) {
        self.keeps_data = keeps_data;
    }

    /// Application data that came, record by record.
    pub fn received(&mut self) -> Option<Vec<u8>> {
        self.received.pop_front()
    }

    /// Sends application data, unless there are no keys yet or any more.
    pub fn send(&mut self, now: Instant, data: &[u8]) {
        if self.is_open() {
            let sent = self.dtls.handle_timeout(now).and_then(|()| self.dtls.send_application_data(data));
            // Its outcome was told: there are keys.
            self.proceed(sent.map(|_| ()));
        }
    }

    /// Whether application data can be sent.
    pub fn is_open(&self) -> bool {
        self.keyed && !self.over
    }

    /// Whether it broke off, or the other side closed it.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a datagram waits to be sent.
    pub fn is_waiting(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Says goodbye.
    #[cfg(test)]
    pub fn close(&mut self) {
        let closed = self.dtls.close();
        self.proceed(closed);
    }

    /// Takes a datagram. An outcome is told once; after a failure this is to be dropped.
    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Option<Outcome> {
        if self.over {
            return None;
        }
        let taken = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram));
        self.proceed(taken)
    }

    /// Whatever time brings: the first flight, retransmissions, the end of patience.
    pub fn tick(&mut self, now: Instant) -> Option<Outcome> {
        if self.over || now < self.wake {
            return None;
        }
        let woken = self.dtls.handle_timeout(now);
        self.proceed(woken)
    }

    /// The next datagram to send.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.flights.pop_front()
    }

    fn proceed(&mut self, result: Result<(), dimpl::Error>) -> Option<Outcome> {
        let had_keys = self.keyed;
        let outcome = self.drain().or_else(|| {
            let late = matches!(result.as_ref().err()?, dimpl::Error::Timeout(_));
            Some(Outcome::Failed(if late { Failure::TimedOut } else { Failure::Handshake }))
        });
        self.over |= result.is_err() || matches!(outcome, Some(Outcome::Failed(_)));
        outcome.filter(|_| !had_keys)
    }

    fn drain(&mut self) -> Option<Outcome> {
        let mut room = vec![0; DATAGRAM_LEN_MAX];
        let mut keys = None;
        loop {
            match self.dtls.poll_output(&mut room) {
                Output::Packet(datagram) if self.flights.len() < DATAGRAMS_MAX => {
                    self.flights.push_back(datagram.to_vec());
                }
                Output::PeerCert(certificate) => {
                    self.verified = self.fingerprint.matches(certificate);
                    if !self.verified {
                        return Some(Outcome::Failed(Failure::Fingerprint));
                    }
                }
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(material, profile) if self.verified => {
                    keys = split(&material, profile, self.role);
                    self.keyed = keys.is_some();
                }
                Output::BufferTooSmall { needed } => {
                    if needed > CERTIFICATE_LEN_MAX || needed <= room.len() {
                        return Some(Outcome::Failed(Failure::Handshake));
                    }
                    room.resize(needed, 0);
                }
                Output::ApplicationData(data) if self.keeps_data && self.keyed && self.received.len() < RECORDS_MAX => {
                    self.received.push_back(data.to_vec());
                }
                // RFC 5246, 7.2.1. The keys of the media stay good.
                Output::CloseNotify if self.keyed => self.over = true,
                Output::Timeout(wake) => {
                    self.wake = wake;
                    break;
                }
                _ => {}
            }
        }
        if self.connected && !self.keyed { Some(Outcome::Failed(Failure::NoProfile)) } else { keys }
    }
}

/// RFC 5764, 4.2: the client's key, the server's, the client's salt, the server's.
fn split(material: &[u8], profile: SrtpProfile, role: Role) -> Option<Outcome> {
    let suite = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        _ => return None,
    };
    let (key_len, salt_len) = (suite.key_len(), suite.salt_len());
    let (keys, salts) = material.split_at_checked(key_len * 2)?;
    let side = |n: usize| {
        let mut joined = [0; KEYS_MAX];
        let (key, salt) = joined.get_mut(..key_len + salt_len)?.split_at_mut(key_len);
        key.copy_from_slice(keys.get(n * key_len..)?.get(..key_len)?);
        salt.copy_from_slice(salts.get(n * salt_len..)?.get(..salt_len)?);
        let made = Keys::new(suite, joined.get(..key_len + salt_len)?).ok();
        joined.zeroize();
        made
    };
    let (client, server) = (side(0)?, side(1)?);
    Some(match role {
        Role::Active => Outcome::Keys { send: client, receive: server },
        Role::Passive => Outcome::Keys { send: server, receive: client },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_and_written() {
        for (hash, name, len) in Hash::ALL {
            let made = Fingerprint::of(hash, b"a certificate");
            let text = made.to_string();
            assert!(text.starts_with(name) && text.len() == name.len() + len * 3);
            assert_eq!(text.to_lowercase().parse(), Ok(made.clone()));
            assert!(made.matches(b"a certificate") && !made.matches(b"A certificate"));
            assert_eq!(text[..text.len() - 1].parse::<Fingerprint>(), Err(FingerprintError::Malformed));
            assert_eq!(format!("{text}:00").parse::<Fingerprint>(), Err(FingerprintError::Malformed));
        }
        assert_eq!("md5 00:11".parse::<Fingerprint>(), Err(FingerprintError::Hash));
        for wrong in ["", "sha-256", "sha-1 ", "sha-1 +1:22", "sha-1 é:"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError::Malformed), "{wrong}");
        }
        // RFC 3174: the hash of "abc".
        let abc = Fingerprint::of(Hash::Sha1, b"abc").to_string();
        assert_eq!(abc, "sha-1 A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D");
    }
}
