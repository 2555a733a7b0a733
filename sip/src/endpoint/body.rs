//! What the body of a message says: a session, a key press. It never keeps the body.

use crate::header::{content_type, token_params, tokens};
use crate::message::{Message, Name};
use crate::sdp::{self, Session};

/// Longest key press believed, in milliseconds.
const DIGIT_MS_MAX: u32 = 10_000;

/// Why a body cannot be used: the status to answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Unusable {
    /// 415: not a kind we read.
    Kind,
    /// 488: a session description, but none we can read.
    Session,
}

/// The session description of a message; `None`: it has none, and nothing else that we must understand.
pub(super) fn session(message: &Message<'_>) -> Result<Option<Session>, Unusable> {
    let found = if message.body.is_empty() { Ok(None) } else { described(message) };
    let disposition = message.header(Name::ContentDisposition).map(|h| Disposition::parse(&h.text()));
    // RFC 3261 8.2.3: what need not be understood is as if it were not there.
    let is_optional = disposition.is_some_and(|d| d.is_optional);
    if is_optional && found == Err(Unusable::Kind) { Ok(None) } else { found }
}

/// Content-Disposition (RFC 3261 20.11).
struct Disposition {
    /// It describes the session: what a session description does unless it says otherwise.
    is_session: bool,
    is_optional: bool,
    /// Said in so many words; left out it means the same, but is too often a mistake.
    is_required: bool,
}

impl Disposition {
    fn parse(text: &str) -> Self {
        let Some((kind, params)) = token_params(text) else {
            return Self { is_session: false, is_optional: false, is_required: true };
        };
        let handling = |value: &str| params.get("handling").is_some_and(|h| h.eq_ignore_ascii_case(value));
        let (is_optional, is_required) = (handling("optional"), handling("required"));
        Self { is_session: kind == "session", is_optional, is_required }
    }
}

fn described(message: &Message<'_>) -> Result<Option<Session>, Unusable> {
    if message.header(Name::ContentDisposition).is_some_and(|h| !Disposition::parse(&h.text()).is_session) {
        // An early session (RFC 3959), a ring tone, ISUP ...
        return Err(Unusable::Kind);
    }
    if message.all(Name::ContentEncoding).flat_map(|h| tokens_of(&h.text())).any(|t| t != "identity") {
        return Err(Unusable::Kind);
    }
    let Some(header) = message.header(Name::ContentType) else { return Err(Unusable::Kind) };
    let (kind, params) = content_type(&header.text()).ok_or(Unusable::Kind)?;
    let body = match kind.as_str() {
        "application/sdp" => message.body,
        "multipart/mixed" | "multipart/alternative" | "multipart/related" => {
            let boundary = params.get("boundary").filter(|b| !b.is_empty()).ok_or(Unusable::Kind)?;
            sdp_part(message.body, boundary).ok_or(Unusable::Kind)?
        }
        _ => return Err(Unusable::Kind),
    };
    sdp::parse(&String::from_utf8_lossy(body)).map(Some).map_err(|_| Unusable::Session)
}

fn tokens_of(text: &str) -> Vec<String> {
    tokens(text).into_iter().map(str::to_ascii_lowercase).collect()
}

/// RFC 5621 and RFC 2046 5.1: the first application/sdp part, as trunks send it beside ISUP. `None` also
/// where another part must be understood by all means (RFC 5621 8.3).
fn sdp_part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let (mut rest, mut found) = (after(body, delimiter.as_bytes())?, None);
    loop {
        // A description that was found stands, however the rest ends.
        let Some(part) = rest.strip_prefix(b"\r\n") else { return found };
        let Some((part, more)) = find(part, delimiter.as_bytes()).and_then(|end| part.split_at_checked(end)) else {
            return found;
        };
        rest = more.get(delimiter.len()..)?;
        let Some((head, content)) = find(part, b"\r\n\r\n").and_then(|end| part.split_at_checked(end)) else {
            return found;
        };
        let head = String::from_utf8_lossy(head);
        let value = |wanted| {
            let mut lines = head.lines().filter_map(|l| l.split_once(':'));
            lines.find(|(name, _)| Name::parse(name.trim()) == wanted).map(|(_, value)| value.trim())
        };
        let is_sdp = value(Name::ContentType).and_then(content_type).is_some_and(|(kind, _)| kind == "application/sdp");
        let disposition = value(Name::ContentDisposition).map(Disposition::parse);
        match disposition {
            _ if is_sdp && disposition.as_ref().is_none_or(|d| d.is_session) => found = found.or(content.get(4..)),
            Some(Disposition { is_required: true, .. }) => return None,
            _ => {}
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|w| w == wanted)
}

fn after<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, wanted)? + wanted.len()..)
}

/// May we answer this request with a session description (RFC 3261 20.1)?
pub(super) fn accepts_sdp(message: &Message<'_>) -> bool {
    let mut ranges = message.all(Name::Accept).flat_map(|h| tokens_of(&h.text())).peekable();
    // No Accept at all means application/sdp; an empty one means nothing, but is too often a mistake.
    ranges.peek().is_none()
        || ranges
            .any(|r| matches!(r.split(';').next().map(str::trim), Some("*/*" | "application/*" | "application/sdp")))
}

/// The status line of a message/sipfrag body (RFC 3420, RFC 3515 2.4.5); `None`: it has no body.
/// What follows the line is nobody's business.
pub(super) fn sipfrag(message: &Message<'_>) -> Result<Option<u16>, BadFragment> {
    if message.body.is_empty() {
        return Ok(None);
    }
    let kind = message.header(Name::ContentType).and_then(|h| content_type(&h.text()));
    let is_plain =
        message.all(Name::ContentEncoding).flat_map(|h| tokens_of(&h.text())).all(|token| token == "identity");
    if !is_plain || kind.is_none_or(|(kind, _)| kind != "message/sipfrag") {
        return Err(BadFragment::Kind);
    }
    status_line(message.body).map(Some).ok_or(BadFragment::Malformed)
}

/// Why a body tells no status.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum BadFragment {
    /// 415.
    Kind,
    /// 400.
    Malformed,
}

/// `SIP/2.0 180 Ringing`, the phrase not needed. Reads twelve bytes, however many there are.
fn status_line(body: &[u8]) -> Option<u16> {
    let (version, rest) = body.split_at_checked(8)?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let is_line = version.eq_ignore_ascii_case(b"SIP/2.0 ")
        && digits.iter().all(u8::is_ascii_digit)
        && rest.first().is_none_or(|b| matches!(b, b' ' | b'\r' | b'\n'));
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (is_line && (100..700).contains(&status)).then_some(status)
}

/// A key press by INFO.
pub(super) enum Press {
    Digit(char, u32),
    /// An INFO without a body: a keep-alive.
    Nothing,
    /// 415.
    Unknown,
    /// 400.
    Malformed,
}

/// application/dtmf-relay (`Signal=5`, `Duration=160`) and application/dtmf (`5`).
pub(super) fn press(message: &Message<'_>) -> Press {
    if message.body.is_empty() {
        return Press::Nothing;
    }
    let kind = message.header(Name::ContentType).and_then(|h| content_type(&h.text())).map(|(kind, _)| kind);
    let text = String::from_utf8_lossy(message.body);
    let (mut signal, mut duration_ms) = (None, 160);
    match kind.as_deref() {
        Some("application/dtmf-relay") => {
            for (name, value) in text.lines().filter_map(|l| l.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "signal" => signal = digit(value.trim()),
                    "duration" => duration_ms = value.trim().parse().unwrap_or(duration_ms),
                    _ => {}
                }
            }
        }
        Some("application/dtmf") => signal = digit(text.trim()),
        _ => return Press::Unknown,
    }
    signal.map_or(Press::Malformed, |d| Press::Digit(d, duration_ms.min(DIGIT_MS_MAX)))
}

fn digit(text: &str) -> Option<char> {
    match text {
        // Event numbers of RFC 4733 3.2, as some gateways write them.
        "10" => return Some('*'),
        "11" => return Some('#'),
        _ => {}
    }
    let mut chars = text.chars();
    let digit = chars.next()?.to_ascii_uppercase();
    (chars.next().is_none() && matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')).then_some(digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parse;

    fn message(kind: &str, body: &str) -> Vec<u8> {
        format!("INFO sip:a SIP/2.0\r\nContent-Type: {kind}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn presses() {
        let check = |kind: &str, body: &str, want: &str| {
            let bytes = message(kind, body);
            let got = match press(&parse(&bytes).unwrap()) {
                Press::Digit(d, ms) => format!("{d} {ms}"),
                Press::Nothing => "nothing".into(),
                Press::Unknown => "unknown".into(),
                Press::Malformed => "malformed".into(),
            };
            assert_eq!(got, want, "{kind} {body}");
        };
        check("application/dtmf-relay", "Signal=5\r\nDuration=160", "5 160");
        check("application/dtmf-relay", "Signal= #\r\nDuration= 99999999", "# 10000");
        check("application/dtmf-relay", "signal=10", "* 160");
        check("application/dtmf-relay", "Signal=55", "malformed");
        check("application/dtmf", "a", "A 160");
        check("application/dtmf", "", "nothing");
        check("text/plain", "5", "unknown");
    }

    #[test]
    fn fragments() {
        let check = |kind: &str, body: &str, want: Result<Option<u16>, BadFragment>| {
            let bytes = message(kind, body);
            assert_eq!(sipfrag(&parse(&bytes).unwrap()), want, "{kind} {body}");
        };
        let (plain, bad) = ("message/sipfrag", Err(BadFragment::Malformed));
        check(plain, "SIP/2.0 200 OK\r\n", Ok(Some(200)));
        check("Message/SIPfrag;version=2.0", "SIP/2.0 100 Trying", Ok(Some(100)));
        check(plain, "sip/2.0 699", Ok(Some(699)));
        check(plain, "SIP/2.0 486 Busy Here\nContact: <sip:a@b>\r\n\r\nv=0", Ok(Some(486)));
        check(plain, "", Ok(None));
        for body in
            ["SIP/2.0 700 X", "SIP/2.0 099 X", "SIP/2.0 2000", "SIP/2.0 20", "SIP/3.0 200 OK", "SIP/2.0  200", "200 OK"]
        {
            check(plain, body, bad);
        }
        for body in ["\r\nSIP/2.0 200 OK", "INVITE sip:a SIP/2.0", "SIP/2.0 2\u{661}0 OK", "\0", "SIP/2.0 +20 OK"] {
            check(plain, body, bad);
        }
        check("text/plain", "SIP/2.0 200 OK", Err(BadFragment::Kind));
        check("message/sipfrag\r\nContent-Encoding: gzip", "SIP/2.0 200 OK", Err(BadFragment::Kind));
    }

    #[test]
    fn sessions() {
        let sdp = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let check = |kind: &str, body: &str, want: Result<bool, Unusable>| {
            let bytes = message(kind, body);
            assert_eq!(session(&parse(&bytes).unwrap()).map(|s| s.is_some()), want, "{kind}");
        };
        check("application/sdp", sdp, Ok(true));
        check("Application/SDP;charset=utf-8", sdp, Ok(true));
        check("application/sdp", "", Ok(false));
        check("application/sdp", "nonsense", Err(Unusable::Session));
        check("text/plain", sdp, Err(Unusable::Kind));
        let parts = format!(
            "preamble\r\n--x\r\nContent-Type: application/isup\r\n\r\n\u{1}\r\n--x\r\nc: application/sdp\r\n\r\n{sdp}\r\n--x--\r\n"
        );
        check("multipart/mixed;boundary=x", &parts, Ok(true));
        check("multipart/mixed;boundary=\"x\"", &parts, Ok(true));
        check("multipart/mixed;boundary=y", &parts, Err(Unusable::Kind));
        check("multipart/mixed", &parts, Err(Unusable::Kind));
        // What need not be understood, what must be, and what a description is for (RFC 3261 20.11, RFC 3959).
        let disposed = |kind: &str, how: &str| format!("{kind}\r\nContent-Disposition: {how}");
        check(&disposed("application/sdp", "session"), sdp, Ok(true));
        check(&disposed("application/sdp", "Session;handling=optional"), sdp, Ok(true));
        check(&disposed("application/sdp", "early-session"), sdp, Err(Unusable::Kind));
        check(&disposed("application/sdp", "early-session;handling=optional"), sdp, Ok(false));
        check(&disposed("application/isup", "signal;handling=optional"), "x", Ok(false));
        check(&disposed("application/isup", "signal;handling=required"), "x", Err(Unusable::Kind));
        check(&disposed("application/isup", "signal"), "x", Err(Unusable::Kind));
        check(&disposed("application/sdp", ";;"), sdp, Err(Unusable::Kind));
        check(&disposed("application/sdp", "session;handling=optional"), "nonsense", Err(Unusable::Session));
        let part = |how: &str| {
            parts.replace("application/isup\r\n", &format!("application/isup\r\nContent-Disposition: {how}\r\n"))
        };
        check("multipart/mixed;boundary=x", &part("signal;handling=optional"), Ok(true));
        check("multipart/mixed;boundary=x", &part("signal;handling=required"), Err(Unusable::Kind));
        let early = parts.replace("c: application/sdp", "c: application/sdp\r\nContent-Disposition: early-session");
        check("multipart/mixed;boundary=x", &early, Err(Unusable::Kind));
        // The last delimiter is missing: nobody knows what was meant.
        check("multipart/mixed;boundary=x", parts.trim_end_matches("--x--\r\n"), Err(Unusable::Kind));
    }
}
