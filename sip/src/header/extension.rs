//! Header values of the extensions: RAck, Session-Expires, Replaces, option tags. They never decide what we support.

use super::{Params, token_params, tokens};
use crate::message::{Message, Name, number};

/// Is the token in one of the message's headers of this kind (Require, Supported, Allow)?
pub(crate) fn has_token(message: &Message<'_>, name: Name, token: &str) -> bool {
    message.all(name).any(|h| tokens(&h.text()).iter().any(|t| t.eq_ignore_ascii_case(token)))
}

/// `RAck: RSeq CSeq method` (RFC 3262 7.2).
pub(crate) struct RAck {
    pub rseq: u32,
    pub cseq: u32,
    pub method: String,
}

impl RAck {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_ascii_whitespace();
        let mut next = || parts.next().and_then(|p| number(p.as_bytes())).and_then(|n| u32::try_from(n).ok());
        let (rseq, cseq) = (next()?, next()?);
        let method = parts.next()?.to_owned();
        parts.next().is_none().then_some(Self { rseq, cseq, method })
    }
}

/// `Session-Expires: seconds;refresher=uac` (RFC 4028 4).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SessionExpires {
    pub seconds: u32,
    /// The client of the transaction refreshes; `None`: nobody is named.
    pub by_client: Option<bool>,
}

impl SessionExpires {
    pub fn parse(text: &str) -> Option<Self> {
        // The seconds are a token too, and `token_params` wants no more.
        let (seconds, params) = token_params(text)?;
        let seconds = number(seconds.as_bytes()).map(|n| u32::try_from(n).unwrap_or(u32::MAX))?;
        let by_client = params.get("refresher").and_then(|by| match by.to_ascii_lowercase().as_str() {
            "uac" => Some(true),
            "uas" => Some(false),
            _ => None,
        });
        Some(Self { seconds, by_client })
    }
}

/// `Replaces: call-id;to-tag=x;from-tag=y` (RFC 3891 6.1), as its sender sees the dialog.
pub(crate) struct Replaces {
    pub call_id: String,
    pub to_tag: String,
    pub from_tag: String,
    pub early_only: bool,
}

impl Replaces {
    pub fn parse(text: &str) -> Option<Self> {
        let (call_id, _) = text.split_once(';')?;
        let params = Params::parse(text.get(call_id.len()..)?)?;
        let call_id = call_id.trim();
        let tag = |name| params.get(name).filter(|t| !t.is_empty()).map(str::to_owned);
        if call_id.is_empty() || call_id.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',') {
            return None;
        }
        Some(Self {
            call_id: call_id.to_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.get("early-only").is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racks() {
        let check = |text: &str, want: Option<(u32, u32, &str)>| {
            let got = RAck::parse(text).map(|r| (r.rseq, r.cseq, r.method));
            assert_eq!(got, want.map(|(r, c, m)| (r, c, m.to_owned())), "{text}");
        };
        check("776656 1 INVITE", Some((776_656, 1, "INVITE")));
        check(" 1\t2  INVITE ", Some((1, 2, "INVITE")));
        for text in ["", "1", "1 2", "1 2 INVITE x", "a 2 INVITE", "-1 2 INVITE", "99999999999 2 INVITE", "1 2x INVITE"]
        {
            check(text, None);
        }
    }

    #[test]
    fn session_expires() {
        let check = |text: &str, want: Option<(u32, Option<bool>)>| {
            assert_eq!(SessionExpires::parse(text).map(|s| (s.seconds, s.by_client)), want, "{text}");
        };
        check("1800", Some((1800, None)));
        check(" 90 ; refresher=UAC", Some((90, Some(true))));
        check("90;x=y;refresher=uas", Some((90, Some(false))));
        check("90;refresher=nobody", Some((90, None)));
        check("99999999999", Some((u32::MAX, None)));
        for text in ["", "x", "-1", "90 90", "1800;;", "1.5"] {
            check(text, None);
        }
    }

    #[test]
    fn replaces() {
        let check = |text: &str, want: Option<&str>| {
            let got =
                Replaces::parse(text).map(|r| format!("{} {} {} {}", r.call_id, r.to_tag, r.from_tag, r.early_only));
            assert_eq!(got.as_deref(), want, "{text}");
        };
        check("a@b;to-tag=1;from-tag=2", Some("a@b 1 2 false"));
        check("a@b ; from-tag=2;early-only; to-tag=1;x=y", Some("a@b 1 2 true"));
        for text in [
            "",
            "a",
            "a;to-tag=1",
            "a;from-tag=1",
            "a;to-tag;from-tag=2",
            ";to-tag=1;from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            check(text, None);
        }
        check("a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2", None);
    }
}
