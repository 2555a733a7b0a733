//! `[web]`: calls and chats from web pages: where they come, from which pages, how many. It opens nothing.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::check::{Problem, wrong};
use super::values::{Network, one_or_many};

const HERE: &str = "web";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// UDP and TCP address of all calls' media.
    pub bind: SocketAddr,
    /// More of them, such as the IPv6 one.
    pub also: Vec<SocketAddr>,
    /// Told to pages instead of the addresses above: what a NAT maps to them one to one.
    pub advertised: Vec<IpAddr>,
    /// Pages that may call besides those of the same host, `https://example.com`; `*`: any, where tokens are asked for.
    pub origins: Vec<String>,
    /// Name of the environment variable with the secret that tokens are signed with; without one none is asked for.
    pub token_env: Option<String>,
    /// Calls and chats that one address may have at once.
    pub calls_per_address: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    pub ice_servers: Vec<IceServer>,
    /// A call ends when its page was not heard for so long.
    pub reconnect_s: u32,
}

/// A STUN or TURN server that pages are told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    #[serde(deserialize_with = "one_or_many")]
    pub urls: Vec<String>,
    pub username: Option<String>,
    /// Name of the environment variable with the password that goes with `username`.
    pub credential_env: Option<String>,
    /// Name of the environment variable with the secret that coturn calls `static-auth-secret`: each page then gets a
    /// name and a password of its own, for a while.
    pub secret_env: Option<String>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            bind: ([127, 0, 0, 1], 8443).into(),
            also: vec![],
            advertised: vec![],
            origins: vec![],
            token_env: None,
            calls_per_address: 4,
            trusted_proxies: vec![],
            ice_servers: vec![],
            reconnect_s: 20,
        }
    }
}

impl IceServer {
    /// Whether it lets only those in whom we give something to show.
    pub fn is_guarded(&self) -> bool {
        self.credential_env.is_some() || self.secret_env.is_some()
    }

    fn check(&self) -> Result<(), Problem> {
        let schemes = ["stun:", "stuns:", "turn:", "turns:"];
        let is_url = |u: &String| schemes.iter().any(|s| u.len() > s.len() && u.starts_with(s)) && is_plain(u);
        if self.urls.is_empty() || !self.urls.iter().all(is_url) {
            return wrong(HERE, "ice_servers", "takes urls such as \"stun:stun.example.com\" or \"turn:HOST:PORT\"");
        }
        let is_turn = self.urls.iter().any(|u| u.starts_with("turn"));
        match (&self.username, &self.credential_env, &self.secret_env) {
            (Some(name), Some(_), None) if is_turn && !name.is_empty() && is_plain(name) => Ok(()),
            (None, None, Some(_)) if is_turn => Ok(()),
            (None, None, None) if !is_turn => Ok(()),
            _ => wrong(
                HERE,
                "ice_servers",
                "takes, for turn: `username` and `credential_env`, or `secret_env` alone; for stun: neither",
            ),
        }
    }
}

impl Web {
    /// Every address we listen on.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        std::iter::once(self.bind).chain(self.also.iter().copied()).collect()
    }

    pub(super) fn check(&self, http: SocketAddr) -> Result<(), Problem> {
        let has_public = |at: &SocketAddr| self.advertised.iter().any(|ip| ip.is_ipv4() == at.is_ipv4());
        for (key, at) in std::iter::once(("bind", self.bind)).chain(self.also.iter().map(|at| ("also", *at))) {
            if at.ip().is_unspecified() && !has_public(&at) {
                return wrong(HERE, key, "is a wildcard; say in `advertised` which address of its family pages reach");
            }
        }
        if self.advertised.iter().any(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return wrong(HERE, "advertised", "takes addresses that pages reach, such as \"203.0.113.5\"");
        }
        self.check_access(http)?;
        self.ice_servers.iter().try_for_each(IceServer::check)?;
        if !(5..=600).contains(&self.reconnect_s) {
            return wrong(HERE, "reconnect_s", format!("is {}; it takes 5 to 600", self.reconnect_s));
        }
        Ok(())
    }

    fn check_access(&self, http: SocketAddr) -> Result<(), Problem> {
        let is_here = self.listeners().iter().chain([&http]).all(|at| at.ip().is_loopback());
        if self.token_env.is_none() && !is_here {
            return wrong(
                HERE,
                "token_env",
                "is needed where [web] or [http] listens beyond loopback: without tokens anybody could call",
            );
        }
        for origin in &self.origins {
            if origin == "*" && self.token_env.is_none() {
                return wrong(HERE, "origins", "holds \"*\"; that needs `token_env`, so that not every page may call");
            }
            if origin != "*" && !is_origin(origin) {
                return wrong(
                    HERE,
                    "origins",
                    "takes origins such as \"https://example.com\" or \"http://localhost:3000\": no path, no slash",
                );
            }
        }
        if !(1..=10_000).contains(&self.calls_per_address) {
            let problem = format!("is {}; it takes 1 to 10000", self.calls_per_address);
            return wrong(HERE, "calls_per_address", problem);
        }
        Ok(())
    }
}

/// A scheme and a host, as browsers write them (RFC 6454 6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    !host.is_empty() && is_plain(host) && !host.contains(['/', '?', '#', '@', '*'])
}

/// Fit for a header line, within quotes or angle brackets.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, http: &str) -> Result<(), String> {
        let web: Web = toml::from_str(toml).map_err(|e| e.to_string())?;
        web.check(http.parse().unwrap()).map_err(|p| format!("{} {}", p.key, p.problem))
    }

    #[test]
    fn what_may_be_configured() {
        let here = "127.0.0.1:8080";
        for good in [
            "",
            "origins = [\"https://example.com\", \"http://localhost:3000\"]",
            "bind = \"0.0.0.0:8443\"\nadvertised = [\"203.0.113.5\"]\ntoken_env = \"T\"\norigins = [\"*\"]",
            "also = [\"[::1]:8443\"]",
            "ice_servers = [{ urls = \"stun:stun.example.com:3478\" }]",
            "ice_servers = [{ urls = [\"turn:t.example.com?transport=udp\", \"turns:t.example.com\"], secret_env = \"S\" }]",
            "ice_servers = [{ urls = \"turn:t.example.com\", username = \"u\", credential_env = \"C\" }]",
            "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]",
        ] {
            assert_eq!(check(good, here), Ok(()), "{good}");
        }
        for (wrong, says) in [
            ("bind = \"0.0.0.0:8443\"\ntoken_env = \"T\"", "bind is a wildcard"),
            ("also = [\"[::]:1\"]\nadvertised = [\"203.0.113.5\"]\ntoken_env = \"T\"", "also is a wildcard"),
            ("bind = \"192.0.2.1:8443\"", "token_env is needed"),
            ("advertised = [\"0.0.0.0\"]", "advertised takes"),
            ("origins = [\"*\"]", "origins holds"),
            ("origins = [\"https://example.com/\"]", "origins takes"),
            ("origins = [\"example.com\"]", "origins takes"),
            ("calls_per_address = 0", "calls_per_address is 0"),
            ("reconnect_s = 1", "reconnect_s is 1"),
            ("policy_url = \"/privacy\"", "unknown field"),
            ("ice_servers = [{ urls = [] }]", "ice_servers takes urls"),
            ("ice_servers = [{ urls = \"http://x\" }]", "ice_servers takes urls"),
            ("ice_servers = [{ urls = \"turn:x\" }]", "for turn"),
            ("ice_servers = [{ urls = \"turn:x\", username = \"u\", secret_env = \"S\" }]", "for turn"),
            ("ice_servers = [{ urls = \"stun:x\", secret_env = \"S\" }]", "for stun"),
            ("port = 1", "unknown field"),
        ] {
            let said = check(wrong, here).unwrap_err();
            assert!(said.contains(says), "{wrong}: {said}");
        }
        assert!(check("", "0.0.0.0:8080").unwrap_err().contains("token_env"));
        assert_eq!(check("token_env = \"T\"", "0.0.0.0:8080"), Ok(()));
    }
}
