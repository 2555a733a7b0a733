//! The gateway's side for web pages: the port of their media, their tokens and their calls. It handles no request.

use std::sync::Arc;

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
    /// What a page is told of a call with this agent; it comes back to it with this secret.
    pub fn page(&self, agent: &LoadedAgent, secret: String) -> PageConfig {
        let config = PageConfig {
            agent: agent.name.clone(),
            language: agent.agent.language().to_owned(),
            resume: secret,
            ..PageConfig::default()
        };
        let Some(script) = &agent.script else { return config };
        let policy = script.policy();
        PageConfig {
            questions: script.questions.iter().map(|q| (q.scope.clone(), q.text.clone())).collect(),
            policy_version: policy.version.to_string(),
            policy_url: Some(policy.url.clone()),
            notice: policy.notice(script.language()).and_then(|notice| serde_json::to_value(notice).ok()),
            ..config
        }
    }

    /// The disclosure for machines, as a SIP header: that an AI answers and, with a policy, by which.
    pub fn disclosure(&self, agent: &LoadedAgent) -> String {
        let notice = agent.script.as_ref().and_then(|script| script.policy().notice(script.language()));
        notice.map_or_else(|| "ai".into(), |notice| notice.header())
    }
}
