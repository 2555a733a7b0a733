//! Tokens for pages: a site's own server asks us for one, its page shows it once. Signed, short-lived, good for one
//! agent and, if wanted, one origin. It keeps nothing but which were shown already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use privacy::consent::PreGrant;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::orders::{may_order, refusal, stated};
use crate::clock;
use crate::gateway::Gateway;
use crate::hex::{hex, unhex};
use crate::random;

/// Longest life.
const TTL_S_MAX: u64 = 600;
/// Tokens that were shown and have not expired; at their longest life a hundred a second.
const SHOWN_MAX: usize = 65_536;
/// Statements that wait for their page.
const GRANTED_MAX: usize = 4_096;
/// Longer ones are not ours.
const TOKEN_MAX: usize = 2_048;
/// A secret must not be guessed from a token.
const SECRET_MIN: usize = 16;
/// The same secret may sign other things.
const PURPOSE: &[u8] = b"dauys web token 1\n";

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token is needed: let your server ask POST /api/v1/web/tokens for one, and show it as a bearer token")]
    Missing,
    #[error("this token was not made here, or was changed on the way")]
    Forged,
    #[error("this token has expired; ask for a new one right before the call")]
    Expired,
    #[error("this token was used already; each call needs one of its own")]
    Replayed,
    #[error("this token is for another agent")]
    OtherAgent,
    #[error("this token is for a page of another origin")]
    OtherOrigin,
    #[error("too many tokens were used in the last minutes; try again soon")]
    TooMany,
}

/// What a token grants, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    id: [u8; 16],
    expires_s: u64,
    agent: String,
    /// Empty: any that the configuration allows.
    origin: String,
}

/// Makes and checks tokens under one secret.
pub struct Tokens {
    key: Hmac<Sha256>,
    shown: Mutex<HashMap<[u8; 16], u64>>,
    /// What the page's person agreed to before, until the token is shown or has expired.
    granted: Mutex<HashMap<[u8; 16], (u64, PreGrant)>>,
}

impl Tokens {
    /// `None`: the secret is too short.
    pub fn new(secret: &str) -> Option<Self> {
        let key = Hmac::new_from_slice(secret.as_bytes()).ok().filter(|_| secret.len() >= SECRET_MIN)?;
        Some(Self { key, shown: Mutex::default(), granted: Mutex::default() })
    }

    pub fn issue(&self, claims: &Claims) -> String {
        let payload = claims.payload();
        let mac = self.sign(&payload).finalize().into_bytes();
        format!("{payload}.{}", hex(&mac))
    }

    /// Reads a token that is good for this agent and this page. It may still have been shown before.
    pub fn read(&self, now_s: u64, token: &str, agent: &str, origin: Option<&str>) -> Result<Claims, TokenError> {
        let (payload, mac) = token.rsplit_once('.').filter(|_| token.len() <= TOKEN_MAX).ok_or(TokenError::Forged)?;
        let mac = unhex(mac).ok_or(TokenError::Forged)?;
        self.sign(payload).verify_slice(&mac).map_err(|_| TokenError::Forged)?;
        let claims = Claims::parse(payload).ok_or(TokenError::Forged)?;
        if claims.expires_s <= now_s {
            return Err(TokenError::Expired);
        }
        if claims.agent != agent {
            return Err(TokenError::OtherAgent);
        }
        let same = origin.is_some_and(|o| o.eq_ignore_ascii_case(&claims.origin));
        if !claims.origin.is_empty() && !same {
            return Err(TokenError::OtherOrigin);
        }
        Ok(claims)
    }

    /// Keeps what a token's person agreed to before. False: too many wait.
    fn grant(&self, now_s: u64, claims: &Claims, granted: PreGrant) -> bool {
        let mut waiting = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= GRANTED_MAX {
            waiting.retain(|_, (expires_s, _)| *expires_s > now_s);
        }
        let room = waiting.len() < GRANTED_MAX;
        if room {
            waiting.insert(claims.id, (claims.expires_s, granted));
        }
        room
    }

    /// What the person agreed to before whose page shows this token.
    pub fn granted(&self, claims: &Claims) -> Option<PreGrant> {
        let mut waiting = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&claims.id).map(|(_, granted)| granted)
    }

    /// Good once.
    pub fn spend(&self, now_s: u64, claims: &Claims) -> Result<(), TokenError> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.contains_key(&claims.id) {
            return Err(TokenError::Replayed);
        }
        if shown.len() >= SHOWN_MAX {
            shown.retain(|_, expires_s| *expires_s > now_s);
        }
        // Forgetting one that lives would let it be used twice.
        if shown.len() >= SHOWN_MAX {
            return Err(TokenError::TooMany);
        }
        shown.insert(claims.id, claims.expires_s);
        Ok(())
    }

    /// Whether it is still to be used; a WebSocket's refusal reaches no page, so pages ask before.
    pub fn unused(&self, claims: &Claims) -> Result<(), TokenError> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.contains_key(&claims.id) { Err(TokenError::Replayed) } else { Ok(()) }
    }

    fn sign(&self, payload: &str) -> Hmac<Sha256> {
        self.key.clone().chain_update(PURPOSE).chain_update(payload)
    }
}

impl Claims {
    /// `EXPIRES.ID.AGENT.ORIGIN`, the texts in hexadecimal: whatever is in them, the points part it.
    fn payload(&self) -> String {
        let Self { id, expires_s, agent, origin } = self;
        format!("{expires_s}.{}.{}.{}", hex(id), hex(agent.as_bytes()), hex(origin.as_bytes()))
    }

    fn parse(payload: &str) -> Option<Self> {
        let mut parts = payload.split('.');
        let expires_s = parts.next()?.parse().ok()?;
        let id = unhex(parts.next()?)?.try_into().ok()?;
        let mut text = || String::from_utf8(unhex(parts.next()?)?).ok();
        let (agent, origin) = (text()?, text()?);
        parts.next().is_none().then_some(Self { id, expires_s, agent, origin })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// Name of an `[[agent]]`: its file without folder and ending.
    agent: String,
    /// Seconds until it must have been shown; 1 to 600.
    ttl_s: Option<u64>,
    /// The page that may show it.
    origin: Option<String>,
    /// A signed statement of what the page's person agreed to before (docs/privacy.md).
    consent: Option<String>,
}

#[derive(Serialize)]
struct Issued {
    token: String,
    expires_at: String,
}

/// `POST /api/v1/web/tokens`, for a site's own server.
pub async fn issue(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Json<TokenBody>, JsonRejection>,
) -> Response {
    if let Err((status, why)) = may_order(&gateway, &headers) {
        return refusal(status, why.to_owned(), None);
    }
    let Some(tokens) = gateway.web.as_ref().and_then(|web| web.tokens.as_ref()) else {
        return bad("no tokens are asked for here; set [web] token_env");
    };
    let Json(body) = match body {
        Ok(body) => body,
        Err(wrong) => return refusal(wrong.status(), wrong.body_text(), None),
    };
    if gateway.agent(Some(&body.agent)).is_none() {
        let why = "no agent of this name; it is the name of its file without folder and ending";
        return refusal(StatusCode::NOT_FOUND, why.into(), None);
    }
    let ttl_s = body.ttl_s.unwrap_or(60);
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        return bad("`ttl_s` takes 1 to 600 seconds");
    }
    // It must fit into a header line.
    if body.agent.len() > 256 || body.origin.as_ref().is_some_and(|o| o.is_empty() || o.len() > 256) {
        return bad("`origin` takes an origin such as \"https://example.com\"");
    }
    let granted = match body.consent.as_deref().map(|text| stated(&gateway, text, None)).transpose() {
        Ok(granted) => granted,
        Err(why) => return bad(&why),
    };
    // A guessable name would let somebody use up another's token.
    let Ok(id) = random::secret() else {
        let why = "the system gives no random numbers; try again";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, why.into(), Some(Duration::from_secs(1)));
    };
    let expires_s = clock::wall().as_secs() + ttl_s;
    let claims = Claims { id, expires_s, agent: body.agent, origin: body.origin.unwrap_or_default() };
    if granted.is_some_and(|granted| !tokens.grant(clock::wall().as_secs(), &claims, granted)) {
        let why = "too many statements wait for their page; try again soon";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, why.into(), Some(Duration::from_secs(10)));
    }
    let expires_at = clock::rfc3339(i64::try_from(expires_s * 1000).unwrap_or(i64::MAX));
    (StatusCode::CREATED, Json(Issued { token: tokens.issue(&claims), expires_at })).into_response()
}

fn bad(why: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, why.into(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn claims(id: u8, origin: &str) -> Claims {
        Claims { id: [id; 16], expires_s: 1_000, agent: "front-desk".into(), origin: origin.into() }
    }

    /// Shows a token of second 1,000 at `now_s`, for an agent and from an origin (`-`: none).
    fn check(tokens: &Tokens, token: &str, shown: (u64, &str, &str), want: Result<(), TokenError>) {
        let (now_s, agent, origin) = shown;
        let origin = Some(origin).filter(|o| *o != "-");
        let got = tokens.read(now_s, token, agent, origin).and_then(|claims| tokens.spend(now_s, &claims));
        assert_eq!(got, want, "{shown:?}");
    }

    #[test]
    fn a_token_is_good_once_for_one_agent_page_and_time() {
        use TokenError::*;
        let tokens = Tokens::new(SECRET).unwrap();
        let any = tokens.issue(&claims(1, ""));
        check(&tokens, &any, (1_000, "front-desk", "-"), Err(Expired));
        check(&tokens, &any, (10, "sales", "-"), Err(OtherAgent));
        check(&tokens, &any, (999, "front-desk", "https://a.test"), Ok(()));
        check(&tokens, &any, (999, "front-desk", "https://a.test"), Err(Replayed));
        assert_eq!((tokens.unused(&claims(1, "")), tokens.unused(&claims(2, ""))), (Err(Replayed), Ok(())));
        let one = tokens.issue(&claims(2, "https://a.test"));
        check(&tokens, &one, (10, "front-desk", "-"), Err(OtherOrigin));
        check(&tokens, &one, (10, "front-desk", "https://b.test"), Err(OtherOrigin));
        check(&tokens, &one, (10, "front-desk", "https://A.test"), Ok(()));
    }

    #[test]
    fn a_changed_token_is_forged() {
        let tokens = Tokens::new(SECRET).unwrap();
        let token = tokens.issue(&claims(1, "https://a.test"));
        let shown = (10, "front-desk", "https://a.test");
        for at in 0..token.len() {
            for other in ["0", "f", ".", "x", ""] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    check(&tokens, &changed, shown, Err(TokenError::Forged));
                }
            }
        }
        for wrong in ["", ".", "....", &"a".repeat(5_000), &format!("{token}00")] {
            check(&tokens, wrong, shown, Err(TokenError::Forged));
        }
        let other = Tokens::new("another secret of one's own").unwrap();
        check(&tokens, &other.issue(&claims(1, "")), shown, Err(TokenError::Forged));
        check(&tokens, &token, shown, Ok(()));
        assert!(Tokens::new("short").is_none());
    }

    #[test]
    fn what_was_shown_is_remembered_until_it_expires() {
        let tokens = Tokens::new(SECRET).unwrap();
        let id = |n: usize| (n as u128).to_le_bytes();
        let claims = |n, expires_s| Claims { id: id(n), expires_s, ..claims(0, "") };
        for n in 0..SHOWN_MAX {
            assert_eq!(tokens.spend(10, &claims(n, if n == 0 { 100 } else { 1_000 })), Ok(()));
        }
        assert_eq!(tokens.spend(99, &claims(SHOWN_MAX, 1_000)), Err(TokenError::TooMany));
        assert_eq!(tokens.spend(100, &claims(SHOWN_MAX, 1_000)), Ok(()), "one has expired");
        assert_eq!(tokens.spend(100, &claims(1, 1_000)), Err(TokenError::Replayed));
        assert_eq!(tokens.spend(1_000, &claims(SHOWN_MAX + 1, 2_000)), Ok(()));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever is shown, signed by us or not: no more than what was issued is granted.
        #[test]
        fn no_other_token_is_good(text in "[0-9a-f.]{0,150}|\\PC{0,80}", agent in "\\PC{0,20}", origin in "\\PC{0,20}") {
            let tokens = Tokens::new(SECRET).unwrap();
            let shown = |token: &str| tokens.read(10, token, &agent, Some(&origin));
            proptest::prop_assert_eq!(shown(&text), Err(TokenError::Forged));
            let signed = format!("{text}.{}", hex(&tokens.sign(&text).finalize().into_bytes()));
            if let Ok(claims) = shown(&signed) {
                proptest::prop_assert_eq!(claims.agent, agent.clone());
            }
            let claims = Claims { id: [7; 16], expires_s: 11, agent: agent.clone(), origin: origin.clone() };
            proptest::prop_assert_eq!(shown(&tokens.issue(&claims)), Ok(claims));
        }
    }
}
