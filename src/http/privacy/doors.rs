//! Who comes to the privacy desk: staff by tokens of their own, the tenant's system by the API's. It keeps hashes of
//! tokens only, and lets nobody act in a role that is not theirs.

use std::sync::Arc;

use ::privacy::roles::{self, Actor, BadStaff, NotAPerson, Person, Role};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use sip::Private;

use super::{Office, Trouble};
use crate::config::{self, Config, Password, PasswordError};
use crate::http::orders::names_loopback;

/// A token must not be guessed.
const TOKEN_MIN: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    #[error(transparent)]
    Token(#[from] PasswordError),
    #[error("the token in {0} is too short; give it {TOKEN_MIN} characters of chance or more")]
    Short(String),
    #[error("the tokens of two [[staff]], or of one and of [http] token_env, are the same; a token says who it is")]
    Same,
    #[error(transparent)]
    Staff(#[from] BadStaff),
    #[error(transparent)]
    Person(#[from] NotAPerson),
}

pub struct Doors {
    staff: roles::Staff,
    tokens: Vec<([u8; 32], Person, Role)>,
    system: Person,
    /// Nobody has the API's token, and only this machine reaches it: whoever is here is the operator.
    open: bool,
}

impl Doors {
    /// Reads the tokens from the environment.
    ///
    /// # Errors
    /// Where one is not set, too short, or there twice.
    pub fn read(config: &Config, api_token: Option<&Private<String>>) -> Result<Self, DoorsError> {
        Self::new(config, api_token, &|name| Password::Env(name.into()).read())
    }

    /// The same with tokens by name from elsewhere.
    ///
    /// # Errors
    /// As above.
    pub fn new(
        config: &Config,
        api_token: Option<&Private<String>>,
        read: &dyn Fn(&str) -> Result<Private<String>, PasswordError>,
    ) -> Result<Self, DoorsError> {
        let mut tokens = vec![];
        for one in &config.staff {
            let token = read(&one.token_env)?;
            if token.expose().len() < TOKEN_MIN {
                return Err(DoorsError::Short(one.token_env.clone()));
            }
            tokens.push((hash(token.expose()), one.name.clone(), one.role));
        }
        let system = Person::new(config::SYSTEM)?;
        tokens.extend(api_token.map(|token| (hash(token.expose()), system.clone(), Role::Operator)));
        let twice = |n: usize| tokens[..n].iter().any(|other| other.0 == tokens[n].0);
        if (0..tokens.len()).any(twice) {
            return Err(DoorsError::Same);
        }
        let open = api_token.is_none() && config.http.bind.ip().is_loopback();
        Ok(Self { staff: config::people(&config.staff)?, tokens, system, open })
    }

    /// Who it is, and as what they act.
    ///
    /// # Errors
    /// Where nobody has this token, or none is shown and one is needed.
    pub fn who(&self, headers: &HeaderMap) -> Result<Actor, (StatusCode, &'static str)> {
        const UNKNOWN: &str = "nobody has this token; show yours, of [[staff]] or [http], as Authorization: Bearer";
        let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let Some(shown) = shown.and_then(|v| v.strip_prefix("Bearer ")) else { return self.local(headers) };
        // Compared as hashes: how long it takes tells nothing about a token.
        let shown = hash(shown);
        let found = self.tokens.iter().find(|(token, ..)| *token == shown);
        let (_, person, role) = found.ok_or((StatusCode::UNAUTHORIZED, UNKNOWN))?;
        self.staff.act(person, *role).map_err(|_| (StatusCode::UNAUTHORIZED, UNKNOWN))
    }

    fn local(&self, headers: &HeaderMap) -> Result<Actor, (StatusCode, &'static str)> {
        const MISSING: &str = "show your token as Authorization: Bearer; an admin gives tokens in [[staff]]";
        if !self.open {
            return Err((StatusCode::UNAUTHORIZED, MISSING));
        }
        // A page elsewhere may point its own name at this address (DNS rebinding); its Host gives it away.
        if !names_loopback(headers) {
            return Err((StatusCode::FORBIDDEN, "ask by 127.0.0.1 or localhost"));
        }
        self.staff.act(&self.system, Role::Operator).map_err(|_| (StatusCode::UNAUTHORIZED, MISSING))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whoever asks, known.
pub struct Visitor(pub Actor);

impl FromRequestParts<Arc<Office>> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, office: &Arc<Office>) -> Result<Self, Trouble> {
        let who = office.doors.who(&parts.headers);
        who.map(Self).map_err(|(status, why)| Trouble::Asked(status, why.into()))
    }
}
