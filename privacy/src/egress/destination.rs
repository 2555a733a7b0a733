//! A place that data may go to, as the policy declares it. It connects to nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::egress::{Purpose, Sort};
use crate::{Country, Scope, Scopes};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// A language model.
    Llm,
    /// A system that does something in the call and answers.
    Tool,
    /// Is told that something happened.
    Webhook,
    /// Takes what is handed over with two people's approval.
    Export,
    /// Keeps data of its own: a customer register, a calendar.
    Connected,
}

impl DestinationKind {
    /// A stable word for rows and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Tool => "tool",
            Self::Webhook => "webhook",
            Self::Export => "export",
            Self::Connected => "connected",
        }
    }

    /// What is not here goes nowhere.
    pub fn takes(self, sort: Sort, purpose: Purpose) -> bool {
        use Purpose::{Analytics, Answer, Deliver, Disclosure, Export};
        match self {
            Self::Llm => matches!((sort, purpose), (Sort::Content, Answer | Analytics)),
            Self::Tool => matches!((sort, purpose), (Sort::Content | Sort::Metadata, Answer)),
            Self::Webhook => matches!((sort, purpose), (Sort::Content | Sort::Metadata, Deliver)),
            Self::Connected => sort != Sort::ErasureOrder && matches!(purpose, Deliver | Analytics),
            Self::Export => sort != Sort::ErasureOrder && matches!(purpose, Export | Disclosure),
        }
    }
}

/// `[[destination]]` of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// As in `third_party:NAME`.
    pub name: String,
    pub kind: DestinationKind,
    pub url: String,
    pub country: Country,
    /// That must be granted, beside those that follow from its kind and its country.
    #[serde(default)]
    pub scopes: Scopes,
    /// The operator's own system: not a third party.
    #[serde(default)]
    pub own: bool,
    /// Declared to be outside of the residency.
    #[serde(default)]
    pub abroad: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDestination {
    #[error("[[destination]] cannot be read: {0}")]
    Unreadable(String),
    #[error("[[destination]] name: give 1 to 32 lower-case letters, digits, hyphens or underscores")]
    Name,
    #[error("[[destination]] '{0}' is there twice: rename one")]
    Twice(String),
    #[error("more than {0} [[destination]]: remove those that are not used")]
    TooMany(usize),
    #[error("[[destination]] '{0}': url must be https://HOST..., without a user, or http:// on this machine")]
    Url(String),
}

impl Destination {
    /// # Errors
    /// Where a key is unknown, or a value cannot be read or makes no sense.
    pub fn read(table: &toml::Table) -> Result<Self, BadDestination> {
        let read = table.clone().try_into();
        let read: Self = read.map_err(|e: toml::de::Error| BadDestination::Unreadable(crate::retention::said(&e)))?;
        read.check()?;
        Ok(read)
    }

    /// # Errors
    /// Where the name or the URL makes no sense.
    pub fn check(&self) -> Result<(), BadDestination> {
        let named = format!("third_party:{}", self.name).parse::<Scope>().is_ok();
        if !named {
            return Err(BadDestination::Name);
        }
        match Origin::of(&self.url) {
            Some(origin) if origin.https || origin.is_this_machine() => Ok(()),
            _ => Err(BadDestination::Url(self.name.clone())),
        }
    }

    /// Whether this URL is at the same place: scheme, host and port.
    pub fn serves(&self, url: &str) -> bool {
        Origin::of(&self.url).is_some_and(|own| Origin::of(url) == Some(own))
    }

    /// The scopes that follow from what it is.
    pub(super) fn kind_needs(&self) -> Scopes {
        let mut needs = Scopes::new();
        if matches!(self.kind, DestinationKind::Llm | DestinationKind::Tool) {
            needs.insert(Scope::AiProcess);
        }
        // Whoever gets an export is who asked for it; two people answer for that.
        if !self.own && self.kind != DestinationKind::Export {
            needs.insert(Scope::ThirdParty(self.name.clone()));
        }
        needs
    }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// None: not one of HTTP, with a user, or with letters that are read differently by different readers.
    fn of(url: &str) -> Option<Self> {
        let plain = url.len() <= 2048 && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let (scheme, rest) = url.split_once("://").filter(|_| plain)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().filter(|a| !a.is_empty() && !a.contains('@'))?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains([':', '[', ']']) && !bracketed) {
            return None;
        }
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
            Some(_) => return None,
            None if https => 443,
            None => 80,
        };
        Some(Self { https, host: host.to_ascii_lowercase(), port })
    }

    fn is_this_machine(&self) -> bool {
        let v6 = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || self.host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || v6.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<Destination, BadDestination> {
        let text = format!("name = \"crm\"\nkind = \"connected\"\ncountry = \"KZ\"\nurl = {url:?}");
        Destination::read(&text.parse().expect("TOML"))
    }

    #[test]
    fn a_url_is_https_or_on_this_machine() {
        for good in [
            "https://crm.example/api",
            "https://crm.example:8443",
            "https://[2001:db8::1]:8443/x?y#z",
            "http://127.0.0.1:8080/v1",
            "http://localhost:8080",
            "http://[::1]:9",
        ] {
            assert!(at(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "crm.example",
            "http://crm.example",
            "http://10.0.0.5/",
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "https://user:word@crm.example",
            "https://user@crm.example",
            "https://",
            "https:///x",
            "https://a b/",
            "https://crm.example\\@evil.example",
            "https://crm.example:port",
            "https://crm.example:99999",
            "https://[::1",
            "https://a:b:1",
            "file:///etc/passwd",
            "ftp://crm.example",
        ] {
            assert_eq!(at(bad), Err(BadDestination::Url("crm".into())), "{bad}");
        }
    }

    #[test]
    fn a_place_is_its_scheme_host_and_port() {
        let crm = at("https://CRM.example/api").expect("reads");
        for same in ["https://crm.example", "https://crm.example:443/other", "https://Crm.Example/?q"] {
            assert!(crm.serves(same), "{same}");
        }
        for other in [
            "http://crm.example:443",
            "https://crm.example:444",
            "https://crm.example.evil",
            "https://x@crm.example",
            "",
        ] {
            assert!(!crm.serves(other), "{other}");
        }
    }

    #[test]
    fn an_unknown_key_or_name_is_an_error() {
        let read = |text: &str| Destination::read(&text.parse().expect("TOML"));
        let rest = "kind = \"llm\"\nurl = \"https://a.example\"\ncountry = \"KZ\"\n";
        assert!(read(&format!("name = \"a\"\n{rest}")).is_ok());
        assert_eq!(read(&format!("name = \"A b\"\n{rest}")), Err(BadDestination::Name));
        let said = read(&format!("name = \"a\"\nscope = []\n{rest}")).expect_err("unknown").to_string();
        assert!(said.contains("`scopes`"), "{said}");
        assert!(read(&format!("name = \"a\"\nscopes = [\"everything\"]\n{rest}")).is_err());
        assert!(read("name = \"a\"\nkind = \"llm\"\nurl = \"https://a.example\"").is_err(), "where it is must be said");
    }
}
