//! What a configuration says in one text, read into a type: networks, patterns, servers. It resolves no name.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};
use sip::Transport;
use sip::door::{Net, NetError};
use sip::uri::Uri;

/// Longest number or user part that is dialled.
const NUMBER_MAX: usize = 64;

/// Addresses that share their first bits: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub Net);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| match error {
            NetError::Form => {
                "expected an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32".to_owned()
            }
            NetError::BitsBeyond => {
                "expected a network that starts where its prefix ends: 192.0.2.0/24, not 192.0.2.7/24".to_owned()
            }
        })
    }
}

/// A text, or with a trailing `*` every text that starts so. `*` alone: any.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    start: String,
    open: bool,
}

impl Pattern {
    /// Letter for letter.
    pub fn matches(&self, text: &str) -> bool {
        if self.open { text.starts_with(&self.start) } else { text == self.start }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (start, open) = text.strip_suffix('*').map_or((text.as_str(), false), |start| (start, true));
        // Feature codes such as *72 are texts of their own; a star inside would promise more than a prefix.
        if start.trim_start_matches('*').contains('*') {
            return Err("expected a text, or its beginning and one `*` at the end".into());
        }
        Ok(Self { start: start.to_owned(), open })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

/// The beginning of numbers that may be called: `+7`, `+1212` or `+1212*`; `*` alone: all of them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    pub fn allows(&self, number: &str) -> bool {
        is_number(number) && number.starts_with(&self.0)
    }
}

/// Is it a number, or a name such as `alice`, that cannot be anything else in an address?
pub fn is_number(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'*' | b'#' | b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= NUMBER_MAX && text.bytes().all(allowed)
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let start = text.strip_suffix('*').unwrap_or(&text);
        match is_number(start) {
            true => Ok(Self(start.to_owned())),
            false if text == "*" => Ok(Self(String::new())),
            false => Err("expected the beginning of numbers, such as \"+7\" or \"+1212*\"; \"*\" allows all".into()),
        }
    }
}

/// A SIP server to send to: a sip: or sips: URI without a user.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Server(Uri);

impl Server {
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The URI of somebody there. Whatever `user` holds stays in the user part (RFC 3261 19.1.2).
    pub fn uri_of(&self, user: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&b);
        let escaped = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        let user: String = user.bytes().map(escaped).collect();
        let (scheme, rest) = self.0.as_str().split_once(':').unwrap_or_default();
        format!("{scheme}:{user}@{rest}")
    }
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            "expected a SIP server: sip:HOST, sips:HOST or sip:HOST:PORT;transport=udp, tcp or tls; \
             no user, no headers"
                .to_owned()
        };
        let uri = Uri::parse(&text).map_err(|_| wrong())?;
        let sip = uri.sip().ok_or_else(wrong)?;
        // WebSocket clients call us; a WebSocket server is not called (RFC 7118).
        let transport = match uri.transport() {
            Some(transport) => !matches!(transport, Transport::Ws | Transport::Wss),
            None => sip.param("transport").is_none(),
        };
        if sip.user.is_some() || sip.headers.is_some() || !transport {
            return Err(wrong());
        }
        Ok(Self(uri))
    }
}

/// One value, or a list of them. An error says what is wrong with the value, not with the shape.
pub fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Values<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(StrDeserializer::new(text))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }
    from.deserialize_any(Values(PhantomData))
}

macro_rules! private_debug {
    ($($of:ident)+) => {$(
        impl fmt::Debug for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($of), "([private])"))
            }
        }
    )+};
}
private_debug!(Network Pattern Prefix Server);

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, String> {
        Network::try_from(text.to_owned())
    }

    /// Which addresses they hold is the business of `sip::door::Net`.
    #[test]
    fn networks() {
        assert!(network("192.0.2.0/24").unwrap().0.contains("192.0.2.255".parse().unwrap()));
        for wrong in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24", "host.test", "::/129", "1.2.3.4/-1"] {
            assert!(network(wrong).unwrap_err().contains("192.0.2.0/24"), "{wrong}");
        }
        assert!(network("192.0.2.7/24").unwrap_err().contains("not 192.0.2.7/24"));
    }

    #[test]
    fn patterns_and_prefixes() {
        let matches = |p: &str, text: &str| Pattern::try_from(p.to_owned()).unwrap().matches(text);
        assert!(matches("+7701", "+7701") && !matches("+7701", "+77010"));
        assert!(matches("+7701*", "+77010") && matches("+7701*", "+7701") && !matches("+7701*", "+7702"));
        assert!(matches("*", "") && matches("*72*", "*721") && !matches("", "a"));
        assert!(Pattern::try_from("+7*1".to_owned()).is_err());
        let allows = |p: &str, number: &str| Prefix::try_from(p.to_owned()).unwrap().allows(number);
        assert!(allows("+7", "+77010000000") && allows("+7*", "+77010000000") && allows("*", "alice"));
        assert!(!allows("+7", "+12125550100") && !allows("+7", "7701") && !allows("*", ""));
        // What is not a plain number could mean another place to somebody further on.
        for trick in ["+7701@evil.test", "+7;phone-context=+1", "+7 900", "+7%40", "+7\r\nX: y", &"+7".repeat(33)] {
            assert!(!allows("+7", trick), "{trick}");
        }
        for wrong in ["", "+7 701", "+7@", "+7;x"] {
            assert!(Prefix::try_from(wrong.to_owned()).unwrap_err().contains("+1212*"), "{wrong}");
        }
    }

    #[test]
    fn servers() {
        let server = |text: &str| Server::try_from(text.to_owned());
        let of = |text: &str, user: &str| server(text).unwrap().uri_of(user);
        assert_eq!(of("sip:t.test;transport=tls", "+7701"), "sip:+7701@t.test;transport=tls");
        assert_eq!(of("sips:[2001:db8::1]:5070", "*72#"), "sips:*72%23@[2001:db8::1]:5070");
        assert_eq!(of("sip:t.test", "a@b:c d"), "sip:a%40b%3Ac%20d@t.test");
        for wrong in ["t.test", "tel:+7701", "sip:a@t.test", "sip:t.test?X=y", "sip:t.test;transport=ws", "sip:"] {
            assert!(server(wrong).unwrap_err().contains("sip:HOST"), "{wrong}");
        }
        assert!(server("sip:t.test;transport=sctp").is_err());
        assert_eq!(format!("{:?}", server("sip:t.test")), "Ok(Server([private]))");
    }
}
