//! What an INVITE says about the call, for whoever answers it. It never believes any of it.

use super::event::CallInfo;
use crate::header::{NameAddr, Request, reason};
use crate::message::{Message, Name};
use crate::peer::Peer;
use crate::private::Private;
use crate::text::split_outside;

/// Most entries kept of each list.
const ENTRIES_MAX: usize = 16;
/// Longest value kept, in bytes.
const VALUE_BYTES_MAX: usize = 256;

pub(super) fn call_info(request: &Request<'_>, source: Peer) -> CallInfo {
    let (head, message) = (&request.head, &request.message);
    let text = |name| message.header(name).map(|h| h.text().into_owned());
    CallInfo {
        from_user: Private::new(head.from.uri.user()),
        from_uri: Private::new(head.from.uri.as_str().to_owned()),
        from_display: head.from.display.clone().map(Private::new),
        to_user: Private::new(head.to.uri.user()),
        request_user: Private::new(request.uri.user()),
        call_id: Private::new(head.call_id.clone()),
        asserted_identity: identity(message).map(Private::new),
        privacy: privacy(message),
        diversion: entries(message, Name::Diversion),
        history: entries(message, Name::HistoryInfo),
        reason: text(Name::Reason).and_then(|t| reason(&t)),
        headers: headers(message),
        user_agent: text(Name::UserAgent).map(Private::new),
        registration: None,
        source: Private::new(source),
        trunk: None,
    }
}

/// RFC 3325 9.1; before it there was Remote-Party-ID, which names the called party too.
fn identity(message: &Message<'_>) -> Option<String> {
    let lists = |name| message.all(name).filter_map(|h| NameAddr::parse_list(&h.text())).flatten();
    let is_caller = |n: &NameAddr| n.params.get("party").is_none_or(|p| p.eq_ignore_ascii_case("calling"));
    let asserted = lists(Name::PAssertedIdentity).next();
    asserted.or_else(|| lists(Name::RemotePartyId).find(is_caller)).map(|n| n.uri.as_str().to_owned())
}

/// RFC 3323 4.2: values between semicolons; `none` asks for nothing.
fn privacy(message: &Message<'_>) -> Vec<String> {
    let values = message.all(Name::Privacy).map(|h| h.text().to_ascii_lowercase()).collect::<Vec<_>>();
    let values = values.iter().flat_map(|v| v.split([';', ','])).map(str::trim);
    values.filter(|v| !v.is_empty() && *v != "none").take(ENTRIES_MAX).map(str::to_owned).collect()
}

fn entries(message: &Message<'_>, name: Name) -> Vec<Private<String>> {
    let mut out = Vec::new();
    for header in message.all(name) {
        let text = header.text();
        let parts = split_outside(&text, ',').unwrap_or_default();
        let kept = parts.into_iter().map(str::trim).filter(|p| !p.is_empty() && p.len() <= VALUE_BYTES_MAX);
        out.extend(kept.map(|p| Private::new(p.to_owned())).take(ENTRIES_MAX - out.len()));
    }
    out
}

fn headers(message: &Message<'_>) -> Vec<(String, Private<String>)> {
    let is_theirs = |name: &str| name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
    let wanted = message.headers.iter().filter(|h| h.kind == Name::UserToUser || is_theirs(h.name));
    let short = wanted.filter(|h| h.value.len() <= VALUE_BYTES_MAX && h.name.len() <= VALUE_BYTES_MAX);
    short.take(ENTRIES_MAX).map(|h| (h.name.to_owned(), Private::new(h.text().into_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parse;

    /// Headers of an INVITE, then what is kept of them.
    fn check(headers: &str, want: &str) {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:f@h>;tag=1\r\nTo: <sip:t@h>\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\n{headers}\r\n"
        );
        let Ok(request) = Request::read(parse(text.as_bytes()).unwrap()) else { panic!("{headers}") };
        let info = call_info(&request, Peer::udp("192.0.2.1:5060".parse().unwrap()));
        let list = |l: &[Private<String>]| l.iter().map(|p| p.expose().as_str()).collect::<Vec<_>>().join("|");
        let got = format!(
            "{} [{}] [{}] [{}] {:?} {}",
            info.asserted_identity.as_ref().map_or("-", |i| i.expose()),
            info.privacy.join("|"),
            list(&info.diversion),
            list(&info.history),
            info.reason.as_ref().map_or(0, |r| r.cause),
            info.headers.iter().map(|(n, v)| format!("{n}={}", v.expose())).collect::<Vec<_>>().join("|"),
        );
        assert_eq!(got, want, "{headers}");
        let shown = format!("{info:?}");
        assert_eq!(shown, "CallInfo([private])");
    }

    #[test]
    fn what_is_kept() {
        check("", "- [] [] [] 0 ");
        check(
            "P-Asserted-Identity: \"A\" <sip:1@h>, <tel:+1>\r\nRemote-Party-ID: <sip:2@h>\r\n",
            "sip:1@h [] [] [] 0 ",
        );
        check(
            "Remote-Party-ID: <sip:2@h>;party=called, \"B\" <sip:3@h>;party=calling;privacy=off\r\n",
            "sip:3@h [] [] [] 0 ",
        );
        check("P-Asserted-Identity: ;;\r\nRemote-Party-ID: <sip:2@h>\r\n", "sip:2@h [] [] [] 0 ");
        check("Privacy: ID; user\r\nPrivacy: none\r\n", "- [id|user] [] [] 0 ");
        check(
            "Diversion: <sip:1@h>;reason=\"no,answer\", <sip:2@h>\r\nDiversion: <sip:3@h>\r\n\
             History-Info: <sip:4@h?Reason=SIP%3Bcause%3D302>;index=1\r\n",
            "- [] [<sip:1@h>;reason=\"no,answer\"|<sip:2@h>|<sip:3@h>] [<sip:4@h?Reason=SIP%3Bcause%3D302>;index=1] 0 ",
        );
        check(
            "Reason: Q.850;cause=16\r\nX-A: 1\r\nx-b: 2 3\r\nUser-to-User: 00ff;encoding=hex\r\nY: n\r\n",
            "- [] [] [] 16 X-A=1|x-b=2 3|User-to-User=00ff;encoding=hex",
        );
    }

    #[test]
    fn what_is_too_much() {
        let many: String = (0..40).map(|n| format!("X-{n}: {n}\r\nDiversion: <sip:{n}@h>\r\n")).collect();
        let long = format!("X-Long: {}\r\nDiversion: <sip:{}@h>\r\n", "x".repeat(257), "x".repeat(257));
        let names: Vec<String> = (0..16).map(|n| format!("X-{n}={n}")).collect();
        let from: Vec<String> = (0..16).map(|n| format!("<sip:{n}@h>")).collect();
        check(&(long + &many), &format!("- [] [{}] [] 0 {}", from.join("|"), names.join("|")));
    }
}
