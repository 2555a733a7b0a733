//! Header values as types: Via, name-addr, CSeq, tokens, Reason. They never see a line break.

mod extension;
mod head;
#[cfg(test)]
mod tests;

pub(crate) use extension::{RAck, Replaces, SessionExpires, has_token};
pub use head::{Head, Refusal, Request, Response};

use crate::text::{find_outside, is_token, split_outside, unquote};
use crate::uri::{Uri, parse_host_port};
use std::fmt;

/// A header value that is not what its grammar says. Answer 400.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed {0} header")]
pub struct HeaderError(pub &'static str);

/// `;name=value` pairs in order; values unquoted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// A parameter's value; `Some("")` for one without.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// `text` is empty or starts with a semicolon.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut params = Vec::new();
        for part in split_outside(text.strip_prefix(';')?, ';')? {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part.trim(), None),
            };
            if !is_token(name.as_bytes()) || value.is_some_and(|v| !is_param_value(v)) {
                return None;
            }
            let value = value.map(|v| unquote(v).into_owned());
            // RFC 3261 7.3.1: no name twice. A harmless repetition is let pass; two values are two meanings.
            match params.iter().find(|(n, _): &&(String, _)| n.eq_ignore_ascii_case(name)) {
                Some((_, earlier)) if *earlier != value => return None,
                Some(_) => {}
                None => params.push((name.to_owned(), value)),
            }
        }
        Some(Self(params))
    }
}

/// token, host or quoted-string. Wider than the grammar (RFC 3261 25.1) where nothing becomes ambiguous.
fn is_param_value(text: &str) -> bool {
    if text.starts_with('"') {
        return is_quoted(text);
    }
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\",<>".contains(c))
}

/// `Name <uri>;params`, as in From, To, Contact, Route.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Unquoted; `None` where there is none.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Header parameters (tag, expires, q ...).
    pub params: Params,
}

impl NameAddr {
    /// Reads one name-addr or addr-spec.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(open) = find_outside(text, '<') else {
            // RFC 3261 20: without brackets, ';' starts header parameters, and ',' and '?' are forbidden.
            let end = text.find(';').unwrap_or(text.len());
            let (uri, params) = text.split_at_checked(end)?;
            let uri = uri.trim_end();
            if uri.contains(['?', ',']) {
                return None;
            }
            return Some(Self { display: None, uri: Uri::parse(uri).ok()?, params: Params::parse(params)? });
        };
        let (display, rest) = text.split_at_checked(open)?;
        let (uri, params) = rest.get(1..)?.split_once('>')?;
        Some(Self {
            display: parse_display(display.trim())?,
            uri: Uri::parse(uri).ok()?,
            params: Params::parse(params)?,
        })
    }

    /// Reads a comma-separated list.
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        split_outside(text, ',')?.into_iter().map(Self::parse).collect()
    }

    /// The tag; `None` where missing or empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }
}

/// Tokens or a quoted-string. Wider than the grammar: anything but what would make it ambiguous, for
/// there are phones that write names as they are.
fn parse_display(text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    if text.starts_with('"') {
        return is_quoted(text).then(|| Some(unquote(text).into_owned()));
    }
    (!text.contains([',', ';', ':', '"', '<', '>', '@', '\\'])).then(|| Some(text.to_owned()))
}

/// One quoted-string and nothing after it.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else { return false };
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped
}

/// One Via.
#[derive(Clone, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS` ..., upper case.
    pub transport: String,
    /// Lower case; an IPv6 address without brackets.
    pub host: String,
    /// If written.
    pub port: Option<u16>,
    /// branch, received, rport, maddr ...
    pub params: Params,
}

impl Via {
    /// Reads one Via value: `SIP / 2.0 / UDP host[:port] ;params`.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(';').unwrap_or(text.len());
        let (sent, params) = text.split_at_checked(end)?;
        let mut parts = sent.splitn(3, '/').map(str::trim);
        let (name, version, rest) = (parts.next()?, parts.next()?, parts.next()?);
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return None;
        }
        let (transport, sent_by) = rest.split_once(|c: char| c.is_ascii_whitespace())?;
        let (host, port) = parse_host_port(sent_by.trim())?;
        if !is_token(transport.as_bytes()) {
            return None;
        }
        let transport = transport.to_ascii_uppercase();
        Some(Self { transport, host, port, params: Params::parse(params)? })
    }

    /// Reads a comma-separated list.
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        split_outside(text, ',')?.into_iter().map(|t| Self::parse(t.trim())).collect()
    }

    /// The branch, where it identifies a transaction (RFC 3261 8.1.1.7): it starts with the cookie and
    /// something follows. Any other must be matched the RFC 2543 way.
    pub fn branch(&self) -> Option<&str> {
        let branch = self.params.get("branch")?;
        let cookie = branch.get(..7)?;
        (cookie.eq_ignore_ascii_case("z9hG4bK") && branch.len() > 7).then_some(branch)
    }
}

/// `CSeq: number METHOD`.
#[derive(Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// As it came.
    pub method: String,
}

impl CSeq {
    /// Reads a CSeq value.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, method) = text.trim().split_once(|c: char| c.is_ascii_whitespace())?;
        let number = crate::message::number(number.as_bytes()).filter(|n| *n < 1 << 31)?;
        let method = method.trim();
        is_token(method.as_bytes()).then(|| Self { number: number as u32, method: method.to_owned() })
    }
}

/// Comma-separated tokens (Require, Supported, Allow), empty ones left out.
pub fn tokens(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|t| !t.is_empty()).collect()
}

/// `token;params` (Event, Subscription-State), the token in lower case.
pub fn token_params(text: &str) -> Option<(String, Params)> {
    let end = text.find(';').unwrap_or(text.len());
    let (token, params) = text.split_at_checked(end)?;
    let token = token.trim();
    is_token(token.as_bytes()).then(|| token.to_ascii_lowercase()).zip(Params::parse(params))
}

/// `type/subtype` in lower case and the parameters.
pub fn content_type(text: &str) -> Option<(String, Params)> {
    let end = text.find(';').unwrap_or(text.len());
    let (kind, params) = text.split_at_checked(end)?;
    let (main, sub) = kind.split_once('/')?;
    let (main, sub) = (main.trim(), sub.trim());
    if !is_token(main.as_bytes()) || !is_token(sub.as_bytes()) {
        return None;
    }
    Some((format!("{main}/{sub}").to_ascii_lowercase(), Params::parse(params)?))
}

/// Seconds of Retry-After; comment and parameters are skipped.
pub fn retry_after_s(text: &str) -> Option<u32> {
    let digits = text.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The first value of a Reason header (RFC 3326).
pub fn reason(text: &str) -> Option<crate::Reason> {
    let first = split_outside(text, ',')?.into_iter().next()?;
    let end = first.find(';').unwrap_or(first.len());
    let (protocol, params) = first.split_at_checked(end)?;
    let params = Params::parse(params)?;
    if !is_token(protocol.trim().as_bytes()) {
        return None;
    }
    Some(crate::Reason {
        protocol: protocol.trim().to_owned(),
        cause: params.get("cause").and_then(|c| c.parse().ok())?,
        text: params.get("text").map(|t| crate::Private::new(t.to_owned())),
    })
}

macro_rules! private_debug {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([private])"))
            }
        })+
    };
}
private_debug!(NameAddr, Params, Via);

impl fmt::Debug for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CSeq({})", self.number)
    }
}
