//! Challenges and credentials as lists of `name=value`, taken as PBXs write them. It never judges a value.

use crate::text::{is_token, split_outside};

/// Most challenges or credentials read from one message, and most parameters of each.
const LIST_MAX: usize = 16;
const PARAMS_MAX: usize = 32;

/// The parameters of one `Digest` challenge or of one set of credentials.
#[derive(Default)]
pub(super) struct Params<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Params<'a> {
    /// A value without its quotes, its escapes as they came: RFC 7616 hashes them so.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Does a name appear twice? Then it is not clear what was signed.
    pub fn is_ambiguous(&self) -> bool {
        let names = || self.0.iter().map(|(n, _)| n);
        names().enumerate().any(|(i, n)| names().take(i).any(|m| m.eq_ignore_ascii_case(n)))
    }
}

/// Every `Digest` in the values of all headers of one kind; other schemes and what cannot be read are left out.
pub(super) fn digests<'a>(values: &[&'a str]) -> Vec<Params<'a>> {
    let mut found: Vec<(bool, Params<'a>)> = Vec::new();
    for value in values.iter().take(LIST_MAX) {
        // A parameter belongs to a scheme of its own header.
        let first = found.len();
        for part in split_outside(value, ',').unwrap_or_default() {
            let part = part.trim();
            let (scheme, param) = split_scheme(part);
            if let Some(scheme) = scheme {
                if found.len() >= LIST_MAX {
                    break;
                }
                found.push((scheme.eq_ignore_ascii_case("Digest"), Params::default()));
            }
            let Some((_, params)) = found.get_mut(first..).and_then(<[_]>::last_mut) else { continue };
            let Some((name, value)) = param.split_once('=') else { continue };
            let name = name.trim();
            if is_token(name.as_bytes()) && params.0.len() < PARAMS_MAX {
                params.0.push((name, bare(value.trim())));
            }
        }
    }
    found.into_iter().filter(|(is_digest, _)| *is_digest).map(|(_, params)| params).collect()
}

/// `Digest realm="x"` -> `Digest`, `realm="x"`. A parameter alone has no scheme.
fn split_scheme(part: &str) -> (Option<&str>, &str) {
    let (first, rest) = part.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((part, ""));
    let rest = rest.trim_start();
    if is_token(first.as_bytes()) && !rest.starts_with('=') { (Some(first), rest) } else { (None, part) }
}

fn bare(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}
