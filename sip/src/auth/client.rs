//! Answers to challenges: which one, how often, and when to give up. It never sends the same answer to the same refusal.

use super::parse::{Params, digests};
use super::{Algorithm, Credentials, Proof, Qop, Shared};
use crate::message::Name;
use crate::text::quote;

/// Realms answered at once: a few proxies and the far end (RFC 3261 22.3).
const REALMS_MAX: usize = 4;
/// Challenges in a row without an answer of another kind: proxy, far end, and a stale nonce of each.
const ROUNDS_MAX: u8 = 4;
/// Longest nonce, realm or opaque that we repeat, in bytes.
const VALUE_BYTES_MAX: usize = 1024;

/// The client side for one peer: one trunk's call, one registration. Keep it as long as the dialog, and later
/// requests are authorized before anybody asks.
#[derive(Clone)]
pub struct Client {
    credentials: Credentials,
    known: Vec<Challenge>,
    rounds: u8,
}

/// Why a challenge is final: hand the 401 or 407 to the user.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Nothing in it that we can answer: another scheme, realm, algorithm or qop.
    #[error("no challenge that can be answered: another realm, scheme or algorithm")]
    Unanswerable,
    /// The same credentials would be refused again.
    #[error("the credentials were refused; check user and password")]
    Rejected,
}

#[derive(Clone)]
struct Challenge {
    is_proxy: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The algorithm was named: so do we.
    is_named: bool,
    qop: Option<Qop>,
    /// Requests authorized with this nonce.
    nc: u32,
    /// An answer made with this nonce or one before it was taken.
    is_proven: bool,
}

impl Client {
    /// One that nobody has challenged.
    pub const fn new(credentials: Credentials) -> Self {
        Self { credentials, known: Vec::new(), rounds: 0 }
    }

    /// Takes a 401 (the values of WWW-Authenticate) or a 407 (Proxy-Authenticate, `is_proxy`). `Ok`: send the
    /// request again with a new CSeq and what [`Client::authorize`] gives.
    pub fn challenged(&mut self, values: &[&str], is_proxy: bool) -> Result<(), Refused> {
        let mut result = Err(Refused::Unanswerable);
        for (challenge, is_stale) in self.choose(values, is_proxy) {
            result = match self.learn(challenge, is_stale) {
                true => Ok(()),
                false => result.or(Err(Refused::Rejected)),
            };
        }
        result?;
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX { Err(Refused::Rejected) } else { Ok(()) }
    }

    /// Takes note of any final response but 401 and 407: the credentials that went with the request hold, so a
    /// later challenge means an aged nonce and not a wrong password. Call it for each.
    pub fn accepted(&mut self) {
        self.rounds = 0;
        for known in self.known.iter_mut().filter(|k| k.nc > 0) {
            known.is_proven = true;
        }
    }

    /// The headers that authorize one request; empty as long as nobody asked. Each request needs its own, a
    /// retransmission none. `cnonce_random`: fresh random bits; `uri`: the Request-URI as sent.
    pub fn authorize(&mut self, cnonce_random: u64, method: &str, uri: &str, body: &[u8]) -> Vec<(Name, String)> {
        let Credentials { user, password, .. } = &self.credentials;
        let cnonce = format!("{cnonce_random:016x}");
        let one = |known: &mut Challenge| {
            known.nc = known.nc.saturating_add(1);
            let nc = format!("{:08x}", known.nc);
            let shared = known.qop.map(|qop| Shared { qop, nc: &nc, cnonce: &cnonce });
            let (algorithm, realm, nonce) = (known.algorithm, known.realm.as_str(), known.nonce.as_str());
            let password = password.expose();
            let proof = Proof { algorithm, user, realm, password, nonce, shared, method, uri, body };
            let name = if known.is_proxy { Name::ProxyAuthorization } else { Name::Authorization };
            (name, known.credentials(&proof))
        };
        self.known.iter_mut().map(one).collect()
    }

    /// False: to answer it would be the same again, or one realm too many.
    fn learn(&mut self, new: Challenge, is_stale: bool) -> bool {
        let has_room = self.known.len() < REALMS_MAX;
        match self.known.iter_mut().find(|k| k.is_proxy == new.is_proxy && k.realm == new.realm) {
            // RFC 3261 22.1: not the credentials that have just been rejected. A nonce that aged is another
            // matter, and many servers do not call it stale.
            Some(known) if known.nc > 0 && !known.is_proven && !is_stale => return false,
            Some(known) => *known = new,
            None if has_room => self.known.push(new),
            None => return false,
        }
        true
    }

    /// The best challenge of each realm, with its `stale`.
    fn choose(&self, values: &[&str], is_proxy: bool) -> Vec<(Challenge, bool)> {
        let mut chosen: Vec<(Challenge, bool)> = Vec::new();
        for params in digests(values) {
            let Some(new) = Challenge::read(&params, is_proxy) else { continue };
            if self.credentials.realm.as_ref().is_some_and(|r| *r != new.realm) {
                continue;
            }
            let is_stale = params.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true"));
            match chosen.iter_mut().find(|(c, _)| c.realm == new.realm) {
                Some(old) if old.0.strength() < new.strength() => *old = (new, is_stale),
                Some(_) => {}
                None => chosen.push((new, is_stale)),
            }
        }
        chosen
    }
}

impl Challenge {
    /// `None`: nothing that we can answer.
    fn read(params: &Params<'_>, is_proxy: bool) -> Option<Self> {
        let short = |name| params.get(name).filter(|v| v.len() <= VALUE_BYTES_MAX);
        let named = params.get("algorithm").filter(|a| !a.is_empty());
        let qops: Vec<&str> = params.get("qop").map(|q| q.split(',').map(str::trim).collect()).unwrap_or_default();
        let offers = |qop: Qop| qops.iter().any(|q| q.eq_ignore_ascii_case(qop.as_str()));
        let qop = match qops.as_slice() {
            [] | [""] => None,
            _ if offers(Qop::Auth) => Some(Qop::Auth),
            _ if offers(Qop::AuthInt) => Some(Qop::AuthInt),
            _ => return None,
        };
        Some(Self {
            is_proxy,
            realm: short("realm")?.to_owned(),
            nonce: short("nonce")?.to_owned(),
            opaque: params.get("opaque").filter(|o| o.len() <= VALUE_BYTES_MAX).map(str::to_owned),
            algorithm: named.map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            is_named: named.is_some(),
            qop,
            nc: 0,
            is_proven: false,
        })
    }

    fn strength(&self) -> (Algorithm, bool) {
        (self.algorithm, self.qop.is_some())
    }

    /// Realm, nonce and opaque go back as they came, escapes and all.
    fn credentials(&self, proof: &Proof<'_>) -> String {
        let Self { realm, nonce, .. } = self;
        let (user, uri, response) = (quote(proof.user), proof.uri, proof.response());
        let mut out = format!(
            "Digest username={user}, realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        );
        if self.is_named {
            out.push_str(&format!(", algorithm={}", self.algorithm.as_str()));
        }
        if let Some(opaque) = &self.opaque {
            out.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if let Some(Shared { qop, nc, cnonce }) = proof.shared {
            // RFC 7616 3.4: qop and nc stand without quotes.
            out.push_str(&format!(", qop={}, nc={nc}, cnonce=\"{cnonce}\"", qop.as_str()));
        }
        out
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} realms)", self.known.len())
    }
}
