//! Addresses: sip and sips URIs in their parts, any other scheme as it is. It never resolves a name.

use crate::peer::{Peer, Transport};
use crate::text::unescape;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A URI as it came, and its parts where it is a sip or sips one.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    text: String,
    /// Lower case.
    scheme: String,
    sip: Option<SipUri>,
}

/// The parts of a sip or sips URI (RFC 3261 19.1), still escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct SipUri {
    /// Before `@`, without the password.
    pub user: Option<String>,
    /// Lower case; an IPv6 address without its brackets.
    pub host: String,
    /// If written.
    pub port: Option<u16>,
    /// `;name=value` in order.
    pub params: Vec<(String, Option<String>)>,
    /// What follows `?`.
    pub headers: Option<String>,
}

/// Not a URI. Answer 400.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed URI")]
pub struct UriError;

impl Uri {
    /// Reads a URI that stands alone: no brackets, no spaces.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | '"');
        let (scheme, rest) = text.split_once(':').ok_or(UriError)?;
        let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !scheme_ok || rest.is_empty() || !text.chars().all(allowed) {
            return Err(UriError);
        }
        let scheme = scheme.to_ascii_lowercase();
        let sip = matches!(scheme.as_str(), "sip" | "sips").then(|| SipUri::parse(rest)).transpose()?;
        Ok(Self { text: text.to_owned(), scheme, sip })
    }

    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Lower case, without the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The parts, if it is a sip or sips URI.
    pub const fn sip(&self) -> Option<&SipUri> {
        self.sip.as_ref()
    }

    /// The user part, unescaped; of another scheme what follows it (`tel:+1..`); empty if none.
    pub fn user(&self) -> String {
        match &self.sip {
            Some(sip) => sip.user.as_deref().map(unescape).unwrap_or_default(),
            None => {
                let rest = self.text.split_once(':').map(|(_, rest)| rest).unwrap_or_default();
                unescape(rest.split(';').next().unwrap_or_default())
            }
        }
    }

    /// Where it points, if it says so without DNS: an address, the port or the transport's own, and the
    /// transport it names or `default` (RFC 3263 4.1; sips: is TLS whatever else it says).
    pub fn peer(&self, default: Transport) -> Option<Peer> {
        let sip = self.sip.as_ref()?;
        let host = sip.param("maddr").unwrap_or(&sip.host);
        let ip: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
        let transport = self.transport().unwrap_or(default);
        Some(Peer::new(transport, SocketAddr::new(ip, sip.port.unwrap_or(transport.default_port()))))
    }

    /// The transport it asks for: TLS for sips:, else its `transport` parameter if we know it.
    pub fn transport(&self) -> Option<Transport> {
        let named = self.sip.as_ref()?.param("transport").and_then(Transport::parse);
        match (self.scheme.as_str(), named) {
            ("sips", Some(Transport::Ws | Transport::Wss)) => Some(Transport::Wss),
            ("sips", _) => Some(Transport::Tls),
            _ => named,
        }
    }
}

impl SipUri {
    /// A parameter's value; `Some("")` for one without.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    fn parse(rest: &str) -> Result<Self, UriError> {
        let (user, rest) = match rest.split_once('@') {
            Some(("", _)) => return Err(UriError),
            Some((info, rest)) => (info.split(':').next().map(str::to_owned), rest),
            None => (None, rest),
        };
        // RFC 3261 25.1: behind the user part '@' is written %40; whoever splits at the last one would see
        // another host.
        if rest.contains('@') {
            return Err(UriError);
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let mut parts = rest.split(';');
        let (host, port) = parse_host_port(parts.next().unwrap_or_default()).ok_or(UriError)?;
        let mut params = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (part, None),
            };
            if name.is_empty() {
                return Err(UriError);
            }
            params.push((name.to_owned(), value));
        }
        Ok(Self { user, host, port, params, headers })
    }
}

/// `host[:port]`, the host in lower case and an IPv6 address without brackets.
pub(crate) fn parse_host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']')?;
        let inner = ipv6(inner)?;
        let port = if after.trim().is_empty() { None } else { Some(after.trim_start().strip_prefix(':')?) };
        (inner, port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host.trim_end(), Some(port)),
            None => (text, None),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(valid) {
            return None;
        }
        (Cow::Borrowed(host), port)
    };
    let port = match port.map(str::trim) {
        Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => Some(p.parse::<u16>().ok()?),
        Some(_) => return None,
        None => None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// RFC 5118 4.10: the grammar of RFC 3261 allows a third colon before an embedded IPv4 address; it is left out.
fn ipv6(text: &str) -> Option<Cow<'_, str>> {
    let is_address = |t: &str| t.parse::<Ipv6Addr>().is_ok();
    if is_address(text) {
        return Some(Cow::Borrowed(text));
    }
    let (head, tail) = text.split_once(":::")?;
    tail.parse::<Ipv4Addr>().ok()?;
    Some(format!("{head}::{tail}")).filter(|t| is_address(t)).map(Cow::Owned)
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uri([private])")
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipUri([private])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uri -> user host port`, or `uri -> no`.
    fn check(script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (text, expected) = line.split_once(" -> ").unwrap();
            let got = match Uri::parse(text) {
                Err(UriError) => "no".to_owned(),
                Ok(uri) => match uri.sip() {
                    Some(sip) => format!("{:?} {} {:?}", uri.user(), sip.host, sip.port.unwrap_or(0)),
                    None => format!("{} {:?}", uri.scheme(), uri.user()),
                },
            };
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn uris() {
        check(
            r#"
            sip:user@example.com -> "user" example.com 0
            SIP:Example.COM -> "" example.com 0
            sips:a:secret@h:5061;transport=tls -> "a" h 5061
            sip:sips%3Auser%40example.com@example.net -> "sips:user@example.com" example.net 0
            sip:user;par=u%40example.net@example.com -> "user;par=u@example.net" example.com 0
            sip:[2001:db8::1]:5070 -> "" 2001:db8::1 5070
            sip:a@[::1];lr -> "a" ::1 0
            tel:+77010000000;phone-context=x -> tel "+77010000000"
            soap.beep://192.0.2.103:3002 -> soap.beep "//192.0.2.103:3002"
            sip:@h -> no
            sip:a@b@c -> no
            sip: -> no
            sip:a@h:99999 -> no
            sip:a b@h -> no
            <sip:a@h> -> no
            sip:a@h;; -> no
            sip:a@[::zz] -> no
            sip:a@b;x=c@d -> no
            sip:a@b?x=c@d -> no
            sip:[2001:DB8:::192.0.2.1]:5070 -> "" 2001:db8::192.0.2.1 5070
            sip:[2001:db8:::1] -> no
            sip:[1:::2:::192.0.2.1] -> no
            sip:2001:db8::10 -> no
            nothing -> no
            "#,
        );
    }

    #[test]
    fn addresses_without_dns() {
        let at = |t: &str| {
            let peer = Uri::parse(t).unwrap().peer(Transport::Udp);
            peer.map_or("none".into(), |p| format!("{} {}", p.transport.as_str(), p.address))
        };
        assert_eq!(at("sip:a@192.0.2.1"), "UDP 192.0.2.1:5060");
        assert_eq!(at("sip:a@[::1]:5070;transport=TCP"), "TCP [::1]:5070");
        assert_eq!(at("sip:a@h;maddr=192.0.2.9"), "UDP 192.0.2.9:5060");
        assert_eq!(at("sips:a@192.0.2.1;transport=tcp"), "TLS 192.0.2.1:5061");
        assert_eq!(at("sip:a@192.0.2.1;transport=wss"), "WSS 192.0.2.1:443");
        assert_eq!(at("sip:a@example.com"), "none");
    }
}
