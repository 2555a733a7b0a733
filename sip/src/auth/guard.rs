//! Challenges, and the judgement of answers. It remembers nobody who has not proved a password.

use super::parse::{Params, digests};
use super::{Algorithm, Proof, Qop, Shared, hash, hex};
use crate::text::unquote;
use crate::uri::Uri;
use sha2::{Digest, Sha512_256};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Settings of a guard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardConfig {
    /// What users see; part of every digest.
    pub realm: String,
    /// How long a nonce holds.
    pub nonce_within: Duration,
    /// Nonces remembered because somebody used them rightly; beyond it the oldest count as expired.
    pub nonces_max: usize,
    /// Offers MD5 too. Whether it is enough is said per [`Account`].
    pub offers_md5: bool,
}

impl Default for GuardConfig {
    fn default() -> Self {
        let nonce_within = Duration::from_secs(300);
        Self { realm: "dauys".to_owned(), nonce_within, nonces_max: 65_536, offers_md5: true }
    }
}

/// What a user name stands for.
pub struct Account<'a, T> {
    /// What [`Verdict::Ok`] says.
    pub who: T,
    /// The password.
    pub password: &'a str,
    /// Whether an MD5 digest is proof enough.
    pub allows_md5: bool,
}

/// What a request's credentials are worth.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict<T> {
    /// Whoever sent it knows the password, and this is not a copy of an earlier request.
    Ok(T),
    /// Made with the password, but with a nonce that expired, was somebody else's, or was used before:
    /// challenge again with `stale`.
    Stale,
    /// Not made with the password, or not for this request: challenge again, and count.
    Wrong,
    /// No credentials for our realm: challenge.
    Missing,
}

/// The request that credentials came with.
#[derive(Copy, Clone)]
pub struct Signed<'a> {
    /// Where it came from.
    pub source: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// Its Request-URI.
    pub uri: &'a Uri,
    /// Its body.
    pub body: &'a [u8],
}

/// The server side, for any number of users. Nonces say by themselves when and for whom they were made
/// (RFC 7616 3.3), so that a challenge costs no memory.
pub struct Guard {
    config: GuardConfig,
    secret: [u8; 16],
    /// Time zero of our nonces.
    epoch: Option<Instant>,
    serial: u32,
    used: BTreeMap<Serial, Window>,
    /// Nonces up to here were forgotten: they count as expired.
    forgotten: Serial,
}

/// When a nonce was made, in milliseconds since the epoch, and a number of its own.
type Serial = (u64, u32);

/// The nonce counts seen: the highest, and a bit for each of the 64 below it (requests overtake each other).
#[derive(Default)]
struct Window {
    highest: u32,
    seen: u64,
}

impl Guard {
    /// A guard whose nonces nobody without the seed can make.
    pub fn new(config: GuardConfig, seed: u128) -> Self {
        let (epoch, used, forgotten) = (None, BTreeMap::new(), (0, 0));
        Self { config, secret: seed.to_be_bytes(), epoch, serial: 0, used, forgotten }
    }

    /// The values of one WWW-Authenticate header each, strongest first (RFC 8760 2.4). `is_stale`: the
    /// password was right, only the nonce was not.
    pub fn challenge(&mut self, now: Instant, source: IpAddr, is_stale: bool) -> Vec<String> {
        self.serial = self.serial.wrapping_add(1);
        let serial = (self.since_epoch_ms(now), self.serial);
        let nonce = self.nonce(serial, source);
        let realm = crate::text::quote(&self.config.realm);
        let stale = if is_stale { ", stale=true" } else { "" };
        // Nothing depends on it: the nonce says all. Some clients want one.
        let opaque = hash::<Sha512_256>(&[b"opaque", &self.secret]);
        let opaque = opaque.get(..16).unwrap_or_default();
        let md5 = self.config.offers_md5.then_some(Algorithm::Md5);
        let offered = [Some(Algorithm::Sha512_256), Some(Algorithm::Sha256), md5].into_iter().flatten();
        let one = |algorithm: Algorithm| {
            let name = algorithm.as_str();
            format!(
                "Digest realm={realm}, nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm={name}, qop=\"auth,auth-int\"{stale}"
            )
        };
        offered.map(one).collect()
    }

    /// Judges the values of a request's Authorization headers. `lookup` finds a user; whether it does
    /// changes neither the verdict nor, in any way that could be measured from afar, the time it takes.
    pub fn check<'a, T>(
        &mut self,
        now: Instant,
        signed: &Signed<'_>,
        values: &[&str],
        lookup: impl FnOnce(&str) -> Option<Account<'a, T>>,
    ) -> Verdict<T> {
        let own = |p: &Params<'_>| p.get("realm").is_some_and(|r| unquote_inner(r) == self.config.realm);
        let Some(params) = digests(values).into_iter().find(own) else { return Verdict::Missing };
        let Some(given) = Given::read(&params) else { return Verdict::Wrong };
        let account = lookup(&given.user);
        let password = account.as_ref().map_or("", |a| a.password);
        let realm = params.get("realm").unwrap_or_default();
        let is_right = given.proves(signed, realm, password);
        let Some(account) = account.filter(|a| a.allows_md5 || given.algorithm != Algorithm::Md5) else {
            return Verdict::Wrong;
        };
        if !is_right || !same_resource(given.uri, signed.uri) {
            return Verdict::Wrong;
        }
        let fresh = self.open_nonce(now, given.nonce, signed.source);
        match fresh.is_some_and(|serial| self.use_once(now, serial, given.count)) {
            true => Verdict::Ok(account.who),
            false => Verdict::Stale,
        }
    }

    /// Nonces remembered now.
    pub fn nonces(&self) -> usize {
        self.used.len()
    }

    fn since_epoch_ms(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(epoch).as_millis()).unwrap_or(u64::MAX)
    }

    fn nonce(&self, (at_ms, number): Serial, source: IpAddr) -> String {
        // SHA-512/256 shows half of its state, so that a secret in front makes a keyed hash of it.
        let source = match source.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mut state = Sha512_256::new();
        for part in [b"nonce".as_slice(), &self.secret, &at_ms.to_be_bytes(), &number.to_be_bytes(), &source] {
            state.update(part);
        }
        let mac = hex(&state.finalize());
        format!("{at_ms:016x}{number:08x}{}", mac.get(..32).unwrap_or_default())
    }

    /// The serial of a nonce that we made for this source and that has not expired.
    fn open_nonce(&mut self, now: Instant, nonce: &str, source: IpAddr) -> Option<Serial> {
        let at_ms = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let serial = (at_ms, u32::from_str_radix(nonce.get(16..24)?, 16).ok()?);
        let is_ours = same(self.nonce(serial, source).as_bytes(), nonce.as_bytes());
        let age_ms = self.since_epoch_ms(now).checked_sub(at_ms)?;
        (is_ours && u128::from(age_ms) <= self.config.nonce_within.as_millis()).then_some(serial)
    }

    /// False: this count was used with this nonce before, or nobody knows any more.
    fn use_once(&mut self, now: Instant, serial: Serial, count: Option<u32>) -> bool {
        let within_ms = u64::try_from(self.config.nonce_within.as_millis()).unwrap_or(u64::MAX);
        let expired = self.since_epoch_ms(now).saturating_sub(within_ms);
        while self.used.first_key_value().is_some_and(|(s, _)| s.0 < expired) {
            self.used.pop_first();
        }
        if serial <= self.forgotten {
            return false;
        }
        if !self.used.contains_key(&serial) && self.used.len() >= self.config.nonces_max.max(1) {
            // What is forgotten could be replayed, so that it ends here.
            if let Some((oldest, _)) = self.used.pop_first() {
                self.forgotten = self.forgotten.max(oldest);
            }
            if serial <= self.forgotten {
                return false;
            }
        }
        self.used.entry(serial).or_default().take(count)
    }
}

impl Window {
    /// Without a count (RFC 2069) a nonce is good for one request.
    fn take(&mut self, count: Option<u32>) -> bool {
        let Some(count) = count else {
            let is_new = self.highest == 0;
            self.highest = u32::MAX;
            return is_new;
        };
        if count > self.highest {
            let step = count - self.highest;
            // The bit of the old highest; nothing stands for zero, which nobody may use.
            let old = if self.highest == 0 { 0 } else { 1u64.checked_shl(step - 1).unwrap_or(0) };
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | old;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let bit = if (1..=64).contains(&behind) { 1u64 << (behind - 1) } else { return false };
        let is_new = self.highest != u32::MAX && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// One set of credentials, as far as a proof needs it.
struct Given<'a> {
    user: String,
    nonce: &'a str,
    uri: &'a str,
    response: String,
    algorithm: Algorithm,
    shared: Option<Shared<'a>>,
    count: Option<u32>,
}

impl<'a> Given<'a> {
    fn read(params: &Params<'a>) -> Option<Self> {
        if params.is_ambiguous() {
            return None;
        }
        let (shared, count) = match params.get("qop").filter(|q| !q.is_empty()) {
            Some(qop) => {
                let (qop, nc, cnonce) = (Qop::parse(qop)?, params.get("nc")?, params.get("cnonce")?);
                let is_hex = (1..=8).contains(&nc.len()) && nc.bytes().all(|b| b.is_ascii_hexdigit());
                let count = u32::from_str_radix(nc, 16).ok().filter(|n| is_hex && *n > 0 && *n < u32::MAX)?;
                (Some(Shared { qop, nc, cnonce }), Some(count))
            }
            None => (None, None),
        };
        Some(Self {
            user: unquote_inner(params.get("username")?),
            nonce: params.get("nonce")?,
            uri: params.get("uri")?,
            response: params.get("response")?.to_ascii_lowercase(),
            algorithm: params.get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            shared,
            count,
        })
    }

    fn proves(&self, signed: &Signed<'_>, realm: &str, password: &str) -> bool {
        let Self { algorithm, nonce, shared, uri, .. } = *self;
        let (user, method, body) = (self.user.as_str(), signed.method, signed.body);
        let proof = Proof { algorithm, user, realm, password, nonce, shared, method, uri, body };
        same(proof.response().as_bytes(), self.response.as_bytes())
    }
}

/// Without escapes, of what stood in quotes.
fn unquote_inner(text: &str) -> String {
    if text.contains('\\') { unquote(&format!("\"{text}\"")).into_owned() } else { text.to_owned() }
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// RFC 7616 3.4.6: the URI in the digest must mean what the Request-URI means. Parameters may be lost on the way.
fn same_resource(signed: &str, request: &Uri) -> bool {
    if signed == request.as_str() {
        return true;
    }
    let Ok(signed) = Uri::parse(signed) else { return false };
    let (Some(a), Some(b)) = (signed.sip(), request.sip()) else { return false };
    let port = |uri: &Uri, port: Option<u16>| port.unwrap_or(if uri.scheme() == "sips" { 5061 } else { 5060 });
    let same_port = port(&signed, a.port) == port(request, b.port);
    signed.scheme() == request.scheme() && signed.user() == request.user() && a.host == b.host && same_port
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("nonces", &self.used.len()).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Account<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account([private])")
    }
}
