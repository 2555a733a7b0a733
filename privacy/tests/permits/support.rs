//! A gate, and a tenant's system that signs statements. It holds no test and reads no clock.

use hmac::{Hmac, KeyInit, Mac};
use privacy::consent::{Channel, ConsentGate, PreGrant, PreGrantRefused, StatementKey};
use privacy::policy::{KeyName, Language, TextHash, Told, Version};
use privacy::{CallId, SubjectId, TenantId, Time};
use serde_json::{Value, json};
use sha2::Sha256;

pub const SECRET: &[u8; 32] = b"a secret of thirty-two bytes....";
pub const ANNA: SubjectId = SubjectId([1; 16]);
pub const BORIS: SubjectId = SubjectId([2; 16]);
/// 2026-11-23 12:00 UTC.
pub const NOON: Time = Time(1_795_435_200_000);

pub fn told(version: u32) -> Told {
    Told {
        version: Version::new(&version.to_string()).expect("a version"),
        text: TextHash::of(&format!("text {version}")),
        language: Language::new("en").expect("a language"),
        channel: Channel::Phone,
    }
}

pub fn gate(subject: SubjectId) -> ConsentGate {
    ConsentGate::new(CallId(7), subject, told(0))
}

/// A whole and honest statement of Anna's, made at noon and good for an hour.
pub fn claims(scopes: &[&str]) -> Value {
    let noon = NOON.0 / 1000;
    json!({
        "aud": "clinic",
        "sub": "anna",
        "scopes": scopes,
        "basis": "written_consent",
        "date": noon - 86_400,
        "evidence": "form 12",
        "iat": noon,
        "exp": noon + 3600,
    })
}

/// RFC 4648 5.
pub fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let held = three.iter().fold(0u32, |held, byte| (held << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..=three.len() {
            text.push(char::from(LETTERS[(held >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

pub fn mac(secret: &[u8], text: &str) -> Vec<u8> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

pub fn signed(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let text = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = base64url(&sign(&text));
    format!("{text}.{signature}")
}

/// As the clinic's system signs it.
pub fn statement(claims: &Value) -> String {
    signed(&json!({"alg": "HS256", "kid": "crm-1"}), claims, |text| mac(SECRET, text))
}

pub fn verify(statement: &str, now: Time) -> Result<PreGrant, PreGrantRefused> {
    let key = StatementKey::hs256(KeyName::new("crm-1").expect("a name"), SECRET).expect("a key");
    verify_by(statement, &[key], now)
}

pub fn verify_by(statement: &str, keys: &[StatementKey], now: Time) -> Result<PreGrant, PreGrantRefused> {
    let tenant = TenantId::new("clinic").expect("a tenant");
    PreGrant::verify(statement, keys, &tenant, now, |person| match person {
        "anna" => Some(ANNA),
        "boris" => Some(BORIS),
        _ => None,
    })
}
