//! STUN and TURN servers as pages are told them. Of servers with a shared secret each page gets a name and a password of
//! its own, good for a while (coturn's `use-auth-secret`). It asks no server anything.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha1::Sha1;
use sip::Private;

use crate::config::{IceServer, Password, PasswordError};
use crate::hex::hex;
use crate::random;

/// One server, as `RTCConfiguration.iceServers` has it.
#[derive(Serialize, Clone, PartialEq, Eq)]
pub struct IceBody {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Configured servers, their secrets read.
pub struct IceServers(Vec<(Vec<String>, Login)>);

enum Login {
    None,
    Fixed(String, Private<String>),
    Shared(Private<String>),
}

impl IceServers {
    pub fn read(servers: &[IceServer]) -> Result<Self, PasswordError> {
        let read = |name: &String| Password::Env(name.clone()).read();
        let one = |server: &IceServer| {
            let login = match (&server.username, &server.credential_env, &server.secret_env) {
                (Some(name), Some(env), _) => Login::Fixed(name.clone(), read(env)?),
                (_, _, Some(env)) => Login::Shared(read(env)?),
                _ => Login::None,
            };
            Ok((server.urls.clone(), login))
        };
        servers.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// For one page. Without `trusted` only those that ask for no password: a relay is not for everybody.
    pub fn tell(&self, trusted: bool, until_s: u64) -> Vec<IceBody> {
        let one = |(urls, login): &(Vec<String>, Login)| {
            let (username, credential) = match login {
                Login::None => (None, None),
                _ if !trusted => return None,
                Login::Fixed(name, password) => (Some(name.clone()), Some(password.expose().clone())),
                Login::Shared(secret) => {
                    let name = format!("{until_s}:{}", hex(&random::bits().to_le_bytes()[..8]));
                    let password = password(secret.expose(), &name)?;
                    (Some(name), Some(password))
                }
            };
            Some(IceBody { urls: urls.clone(), username, credential })
        };
        self.0.iter().filter_map(one).collect()
    }
}

impl IceBody {
    /// As values of `Link` (RFC 9725 4.6), one for each address.
    pub fn links(&self) -> impl Iterator<Item = String> {
        let login = match (&self.username, &self.credential) {
            (Some(name), Some(word)) => {
                format!(
                    "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
                    quoted(name),
                    quoted(word)
                )
            }
            _ => String::new(),
        };
        self.urls.iter().map(move |url| format!("<{url}>; rel=\"ice-server\"{login}"))
    }
}

/// RFC 9110 5.6.4.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// As coturn makes it of its secret and the name shown.
fn password(secret: &str, name: &str) -> Option<String> {
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).ok()?.chain_update(name).finalize();
    Some(base64(&mac.into_bytes()))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let sign = ALPHABET.get((bits >> (18 - 6 * n)) as usize & 63).copied().unwrap_or(b'=');
            text.push(char::from(if n <= group.len() { sign } else { b'=' }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 10, and RFC 2202 3, test case 2.
    #[test]
    fn a_password_is_what_coturn_makes() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(password("Jefe", "what do ya want for nothing?").unwrap(), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }

    #[test]
    fn a_relay_is_told_to_those_only_who_may_call() {
        let urls = |url: &str| vec![url.to_owned()];
        let servers = IceServers(vec![
            (urls("stun:s.test"), Login::None),
            (urls("turn:t.test"), Login::Fixed("u".into(), Private::new("p\"w".into()))),
            (urls("turns:t.test"), Login::Shared(Private::new("Jefe".into()))),
        ]);
        let strangers = servers.tell(false, 99);
        assert_eq!(strangers.iter().map(|s| s.urls[0].as_str()).collect::<Vec<_>>(), ["stun:s.test"]);
        let told = servers.tell(true, 99);
        assert_eq!(told.len(), 3);
        let links: Vec<String> = told.iter().flat_map(IceBody::links).collect();
        assert_eq!(links[0], "<stun:s.test>; rel=\"ice-server\"");
        assert_eq!(
            links[1],
            "<turn:t.test>; rel=\"ice-server\"; username=\"u\"; credential=\"p\\\"w\"; credential-type=\"password\""
        );
        let name = told[2].username.clone().unwrap();
        assert!(name.starts_with("99:") && name.len() == 19, "{name}");
        assert_eq!(told[2].credential, password("Jefe", &name));
        assert!(servers.tell(true, 99)[2].username != told[2].username, "one page, one name");
    }
}
