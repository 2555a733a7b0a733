//! A consent given to the tenant before the call, stated and signed by the tenant's own system: a JSON Web
//! Signature (RFC 7515, compact) over claims of RFC 7519 and a few of ours. The person it names and the
//! evidence are checked here and kept nowhere: what remains is the statement's hash.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::canon::Canon;
use super::state::worded;
use crate::policy::{KeyName, TextHash};
use crate::{Scope, Scopes, SubjectId, TenantId, Time, days};

/// Longer statements are not read.
pub const STATEMENT_BYTES_MAX: usize = 4096;
/// Between `iat` and `exp`: so long a used statement is remembered at most.
pub const LIFE_MS_MAX: i64 = days(31);
/// So many used statements are remembered at a time.
pub const USED_MAX: usize = 65_536;
const EVIDENCE_CHARS_MAX: usize = 128;
const SCOPES_STATED_MAX: usize = 16;
/// By so much another system's clock may be ahead.
const SKEW_MS: i64 = 60_000;
/// RFC 7518 3.2: a key of the hash's own size or larger.
const SECRET_BYTES_MIN: usize = 32;

worded! {
    /// How the tenant came by it.
    Basis {
        WrittenConsent = "written_consent",
        ElectronicConsent = "electronic_consent",
        /// Said, and recorded with leave.
        SpokenConsent = "spoken_consent",
        Contract = "contract",
        LegalObligation = "legal_obligation",
    }
}

/// What a consent event keeps of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Of the whole signed statement. Whoever has the statement can find its events; nobody else can tell
    /// from it who or what it names.
    pub statement: TextHash,
    pub basis: Basis,
    /// When the person agreed.
    pub given: Time,
    pub key: KeyName,
}

impl Evidence {
    pub(super) fn canon(&self, canon: Canon) -> Canon {
        canon
            .bytes(&self.statement.0)
            .text(self.basis.word())
            .bytes(&self.given.0.to_be_bytes())
            .text(self.key.as_str())
    }
}

/// Why a statement grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreGrantRefused {
    #[error("the statement is longer than {STATEMENT_BYTES_MAX} bytes: state only what is needed")]
    TooLong,
    #[error("this is no compact JSON Web Signature: HEADER.CLAIMS.SIGNATURE, each base64url without padding")]
    NoStatement,
    #[error("the header has to be alg (HS256 or EdDSA), kid, and at most typ beside them")]
    Header,
    #[error("no key of this tenant has the statement's kid: register the key first")]
    UnknownKey,
    #[error("the key is of another kind than the statement's alg: sign with HS256 or EdDSA as the key was registered")]
    OtherAlgorithm,
    #[error("the signature does not fit: the statement was altered, or signed with another key")]
    Forged,
    #[error(
        "the claims have to be aud, sub, scopes, basis, date, evidence, iat and exp, and at most iss and jti \
         beside them; times in whole seconds"
    )]
    Claims,
    #[error("the statement names 1 to {SCOPES_STATED_MAX} scopes")]
    Scopes,
    #[error("another country is agreed to apart: make a statement of its own for xborder")]
    NotApart,
    #[error("the statement is for another tenant")]
    OtherTenant,
    #[error("the statement, or the consent it states, is dated in the future: check the clocks")]
    NotYet,
    #[error("the statement is good for longer than 31 days: bring exp nearer to iat")]
    TooLongLived,
    #[error("the statement has expired: sign a new one")]
    Expired,
    #[error("the statement is about another person than this call's")]
    OtherSubject,
    #[error("the statement was used before: sign a new one for each call")]
    Replayed,
    #[error("too many statements are remembered as used: wait until some have expired")]
    Full,
    #[error("all its scopes have been asked, answered or taken back in this call: the caller's own word counts")]
    TooLate,
}

/// A key of the tenant's system. Its secret is wiped when it is dropped.
pub struct StatementKey {
    name: KeyName,
    check: Check,
}

enum Check {
    Hs256(Zeroizing<Vec<u8>>),
    Ed25519([u8; 32]),
}

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret for HS256 has {SECRET_BYTES_MIN} to 1024 bytes: make one with `openssl rand 32`")]
pub struct NotAKey;

impl StatementKey {
    /// # Errors
    /// Where the secret is shorter than the hash, or much longer.
    pub fn hs256(name: KeyName, secret: &[u8]) -> Result<Self, NotAKey> {
        let fits = (SECRET_BYTES_MIN..=1024).contains(&secret.len());
        fits.then(|| Self { name, check: Check::Hs256(Zeroizing::new(secret.to_vec())) }).ok_or(NotAKey)
    }

    pub fn ed25519(name: KeyName, public: [u8; 32]) -> Self {
        Self { name, check: Check::Ed25519(public) }
    }

    fn algorithm(&self) -> &'static str {
        match self.check {
            Check::Hs256(_) => "HS256",
            Check::Ed25519(_) => "EdDSA", // RFC 8037
        }
    }

    fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::Hs256(secret) => <Hmac<Sha256> as KeyInit>::new_from_slice(secret)
                .is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok()),
            Check::Ed25519(public) => UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(rename = "typ")]
    _typ: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The tenant.
    aud: String,
    /// The person, as the tenant knows them: a number, an address or an id.
    sub: String,
    scopes: Scopes,
    basis: Basis,
    /// When they agreed; seconds, as are the two below.
    date: i64,
    /// The tenant's own name of its evidence.
    evidence: String,
    iat: i64,
    exp: i64,
    #[serde(rename = "iss")]
    _iss: Option<String>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
}

/// A statement whose signature fits. Only [`verify`](Self::verify) makes one:
///
/// ```compile_fail
/// fn forged(evidence: privacy::consent::Evidence) -> privacy::consent::PreGrant {
///     privacy::consent::PreGrant {
///         subject: privacy::SubjectId([0; 16]),
///         scopes: Default::default(),
///         evidence,
///         until: privacy::Time(0),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreGrant {
    subject: SubjectId,
    scopes: Scopes,
    evidence: Evidence,
    until: Time,
}

impl PreGrant {
    /// Checks a statement by the tenant's keys. `subject_of` gives the pseudonym of the person it names.
    ///
    /// # Errors
    /// Says why it grants nothing, and never what it states.
    pub fn verify(
        statement: &str,
        keys: &[StatementKey],
        tenant: &TenantId,
        now: Time,
        subject_of: impl FnOnce(&str) -> Option<SubjectId>,
    ) -> Result<Self, PreGrantRefused> {
        let (claims, hash, key) = checked(statement, keys)?;
        if claims.aud != tenant.as_str() {
            return Err(PreGrantRefused::OtherTenant);
        }
        let ms = |seconds: i64| seconds.checked_mul(1000).map(Time).ok_or(PreGrantRefused::Claims);
        let (given, made, until) = (ms(claims.date)?, ms(claims.iat)?, ms(claims.exp)?);
        let latest = now.plus_ms(SKEW_MS);
        if given > latest || made > latest {
            return Err(PreGrantRefused::NotYet);
        }
        if until.0.saturating_sub(made.0) > LIFE_MS_MAX {
            return Err(PreGrantRefused::TooLongLived);
        }
        if now >= until {
            return Err(PreGrantRefused::Expired);
        }
        if !(1..=SCOPES_STATED_MAX).contains(&claims.scopes.len()) {
            return Err(PreGrantRefused::Scopes);
        }
        if claims.scopes.len() > 1 && claims.scopes.iter().any(|scope| matches!(scope, Scope::Xborder(_))) {
            return Err(PreGrantRefused::NotApart);
        }
        let person = Zeroizing::new(claims.sub);
        let subject = subject_of(&person).ok_or(PreGrantRefused::OtherSubject)?;
        let evidence = Evidence { statement: hash, basis: claims.basis, given, key };
        Ok(Self { subject, scopes: claims.scopes, evidence, until })
    }

    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// From this moment on it grants nothing.
    pub fn until(&self) -> Time {
        self.until
    }
}

/// Nothing of the claims is looked at before the signature fits.
fn checked(statement: &str, keys: &[StatementKey]) -> Result<(Claims, TextHash, KeyName), PreGrantRefused> {
    if statement.len() > STATEMENT_BYTES_MAX {
        return Err(PreGrantRefused::TooLong);
    }
    let (signed, signature) = statement.rsplit_once('.').ok_or(PreGrantRefused::NoStatement)?;
    let (header, claims) = signed.split_once('.').ok_or(PreGrantRefused::NoStatement)?;
    let bytes = |part: &str| base64url(part).ok_or(PreGrantRefused::NoStatement);
    let (header, claims, signature) = (bytes(header)?, Zeroizing::new(bytes(claims)?), bytes(signature)?);

    let header: Header = serde_json::from_slice(&header).map_err(|_| PreGrantRefused::Header)?;
    let key = keys.iter().find(|key| key.name.as_str() == header.kid).ok_or(PreGrantRefused::UnknownKey)?;
    if header.alg != key.algorithm() {
        return Err(PreGrantRefused::OtherAlgorithm);
    }
    if !key.signed(signed.as_bytes(), &signature) {
        return Err(PreGrantRefused::Forged);
    }
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| PreGrantRefused::Claims)?;
    if !(1..=EVIDENCE_CHARS_MAX).contains(&claims.evidence.chars().count()) {
        return Err(PreGrantRefused::Claims);
    }
    // The signature is part of it: the claims alone could be found by trying numbers.
    let hash = Canon::new("dauys statement 1").text(signed).bytes(&signature).sha256();
    Ok((claims, TextHash(hash), key.name.clone()))
}

/// The statements that have granted something and have not expired. What is kept of them across a restart
/// are rows of hash and time; [`load`](Self::load) takes them back.
#[derive(Debug, Default)]
pub struct Used {
    until: BTreeMap<TextHash, Time>,
}

impl Used {
    pub fn load(rows: impl IntoIterator<Item = (TextHash, Time)>) -> Self {
        Self { until: rows.into_iter().take(USED_MAX).collect() }
    }

    pub fn holds(&self, statement: &TextHash) -> bool {
        self.until.contains_key(statement)
    }

    pub(super) fn take(&mut self, now: Time, pre_grant: &PreGrant) -> Result<(), PreGrantRefused> {
        let statement = pre_grant.evidence.statement;
        if self.holds(&statement) {
            return Err(PreGrantRefused::Replayed);
        }
        if self.until.len() >= USED_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= USED_MAX {
            return Err(PreGrantRefused::Full);
        }
        self.until.insert(statement, pre_grant.until);
        Ok(())
    }
}

/// RFC 4648 5, without padding. Letters that carry bits which nobody reads are refused: a text has one form.
fn base64url(text: &str) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut held, mut bits) = (0u32, 0u32);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_base64url_has_one_form() {
        // RFC 4648 10, without padding.
        for (text, bytes) in [("", ""), ("Zg", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64url(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64url("-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        for text in ["Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm v", "ё", "Zm9vY"] {
            assert_eq!(base64url(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_used_is_remembered_until_it_has_expired() {
        let statement = |n: u32| PreGrant {
            subject: SubjectId([1; 16]),
            scopes: Scopes::from([Scope::Transcript]),
            evidence: Evidence {
                statement: TextHash::of(&n.to_string()),
                basis: Basis::Contract,
                given: Time(0),
                key: KeyName::new("k").expect("is one"),
            },
            until: Time(1000),
        };
        let mut used = Used::load([(TextHash::of("0"), Time(1000))]);
        assert_eq!(used.take(Time(1), &statement(0)), Err(PreGrantRefused::Replayed));
        for n in 1..65_536 {
            assert_eq!(used.take(Time(999), &statement(n)), Ok(()));
        }
        assert_eq!(used.take(Time(999), &statement(65_536)), Err(PreGrantRefused::Full));
        assert_eq!(used.take(Time(1000), &statement(65_536)), Ok(()), "the others have expired");
        assert_eq!(used.until.len(), 1);
    }

    #[test]
    fn a_secret_is_as_long_as_the_hash() {
        let key = |n: usize| StatementKey::hs256(KeyName::new("k").expect("is one"), &vec![1; n]).map(|_| ());
        assert_eq!((key(31), key(32), key(1025)), (Err(NotAKey), Ok(()), Err(NotAKey)));
    }
}
