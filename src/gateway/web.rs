//! The gateway's side for web pages: the port of their media, their tokens and their calls. It handles no request.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Gateway, LoadedAgent, StartError};
use crate::call::page::PageConfig;
use crate::config::{self, Config, Password};
use crate::http::{IceServers, Seats, Sessions, Tokens};
use crate::net::web::{Web, WebConfig};

/// Everything that calls from web pages share.
pub struct WebSide {
    pub config: config::Web,
    pub port: Web,
    /// None: none are asked for.
    pub tokens: Option<Tokens>,
    pub ice_servers: IceServers,
    pub seats: Seats,
    pub sessions: Arc<Sessions>,
}

/// What a consent refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The question, as it is asked.
    pub text: String,
    pub version: String,
    pub url: Option<String>,
}

impl WebSide {
    /// `None`: not configured.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(web) = &config.web else { return Ok(None) };
        let secret = web.token_env.as_ref().map(|name| Password::Env(name.clone()).read()).transpose()?;
        let tokens = secret.map(|secret| Tokens::new(secret.expose()).ok_or(StartError::ShortSecret)).transpose()?;
        let port = Web::open(&WebConfig { bind: web.listeners(), advertised: web.advertised.clone() })?;
        Ok(Some(Self {
            port,
            tokens,
            ice_servers: IceServers::read(&web.ice_servers)?,
            seats: Seats::default(),
            sessions: Arc::default(),
            config: web.clone(),
        }))
    }
}

impl Gateway {
    /// What callers of this agent are asked to agree to. Unless the configuration names a version, other words of the
    /// question are another one.
    pub fn policy(&self, agent: &LoadedAgent) -> Policy {
        let web = self.config.web.as_ref();
        let text = agent.agent.consent_question().join(" ");
        let digest = || Sha256::digest(text.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect();
        let version = web.and_then(|w| w.policy_version.clone()).unwrap_or_else(digest);
        Policy { version, url: web.and_then(|w| w.policy_url.clone()), text }
    }

    /// What a page is told of a call with this agent; it comes back to it with this secret.
    pub fn page(&self, agent: &LoadedAgent, secret: String) -> PageConfig {
        let Policy { text, version, url } = self.policy(agent);
        PageConfig {
            agent: agent.name.clone(),
            language: agent.agent.language().to_owned(),
            question: text,
            policy_version: version,
            policy_url: url,
            resume: secret,
        }
    }
}
