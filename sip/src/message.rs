//! Framing: a datagram as start line, headers in order and body, borrowed from the bytes. It never judges a header's value.

mod build;
mod name;
#[cfg(test)]
mod tests;

pub use build::{Builder, reason_phrase};
pub use name::Name;

use crate::text::is_token;
use std::borrow::Cow;
use std::fmt;

/// Longest message read, in bytes: what a datagram can hold.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Most headers read.
pub const HEADERS_MAX: usize = 256;

/// A message, borrowed from the datagram it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The first line.
    pub start: StartLine<'a>,
    /// In the order they came.
    pub headers: Vec<Header<'a>>,
    /// As long as Content-Length says; without it, to the end of the datagram (RFC 3261 18.3).
    pub body: &'a [u8],
    /// What is wrong with the framing, though enough is left for an answer.
    pub defect: Option<Defect>,
}

/// The first line.
#[derive(Clone, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `METHOD uri version`, the three as they came: spaces that should not be there stay in `uri` and
    /// `version`, for the judge.
    Request {
        /// A token.
        method: &'a str,
        /// Not yet read.
        uri: &'a [u8],
        /// `SIP/2.0` as a rule.
        version: &'a [u8],
    },
    /// `version status reason`.
    Response {
        /// `SIP/2.0` as a rule.
        version: &'a [u8],
        /// 100 to 699.
        status: u16,
        /// Any bytes.
        reason: &'a [u8],
    },
}

/// One header field.
#[derive(Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which.
    pub kind: Name,
    /// Its name as it came.
    pub name: &'a str,
    /// Its value, trimmed; a folded one is joined with single spaces. Any bytes but line breaks.
    pub value: Cow<'a, [u8]>,
}

impl Header<'_> {
    /// The value as text; bytes that are not UTF-8 become U+FFFD here and stay what they are in `value`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

/// Why bytes are no message at all: nothing can be answered.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Longer than a datagram.
    #[error("the message is too long")]
    TooLong,
    /// No SIP start line: ignore it.
    #[error("no SIP start line")]
    NotSip,
}

/// A framing fault in a message that can still be answered: 400, or silence to a response.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Defect {
    /// No empty line after the headers.
    #[error("no end of headers")]
    NoEnd,
    /// A line that is no header.
    #[error("malformed header line")]
    HeaderLine,
    /// More than [`HEADERS_MAX`].
    #[error("too many headers")]
    TooManyHeaders,
    /// Not a number, or several that differ.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Content-Length beyond the datagram.
    #[error("body shorter than Content-Length")]
    ShortBody,
    /// Not three digits.
    #[error("malformed status code")]
    StatusCode,
}

/// Frames one datagram.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(ParseError::TooLong);
    }
    // RFC 3261 7.5: empty lines before the start line are ignored.
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    let mut lines = Lines { rest: bytes.get(start..).unwrap_or_default() };
    let (start, mut defect) = start_line(lines.next().unwrap_or_default())?;
    let mut headers = Vec::with_capacity(16);
    let fault = header_lines(&mut lines, &mut headers);
    defect = defect.or(fault);
    let (body, fault) = frame_body(&headers, lines.rest);
    defect = defect.or(fault);
    Ok(Message { start, headers, body, defect })
}

/// Prints a message: headers in their order, under the names they came with, one line each.
pub fn print(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + message.body.len());
    match &message.start {
        StartLine::Request { method, uri, version } => {
            for part in [method.as_bytes(), b" ", uri, b" ", version] {
                out.extend_from_slice(part);
            }
        }
        StartLine::Response { version, status, reason } => {
            out.extend_from_slice(version);
            out.extend_from_slice(format!(" {status:03} ").as_bytes());
            out.extend_from_slice(reason);
        }
    }
    out.extend_from_slice(b"\r\n");
    for header in &message.headers {
        for part in [header.name.as_bytes(), b": ", &header.value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body);
    out
}

impl<'a> Message<'a> {
    /// The first header of a kind.
    pub fn header(&self, kind: Name) -> Option<&Header<'a>> {
        self.headers.iter().find(|h| h.kind == kind)
    }

    /// All headers of a kind, in order.
    pub fn all(&self, kind: Name) -> impl Iterator<Item = &Header<'a>> {
        self.headers.iter().filter(move |h| h.kind == kind)
    }

    /// Is it a request?
    pub const fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} headers, {} bytes)", self.start, self.headers.len(), self.body.len())
    }
}

impl fmt::Debug for StartLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { .. } => f.write_str("request"),
            Self::Response { status, .. } => write!(f, "{status}"),
        }
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({:?})", self.kind)
    }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    /// The next line without its end (CRLF, or LF alone, which many send).
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|b| *b == b'\n').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn start_line(line: &[u8]) -> Result<(StartLine<'_>, Option<Defect>), ParseError> {
    let space = line.iter().position(|b| *b == b' ').ok_or(ParseError::NotSip)?;
    let (first, rest) = line.split_at_checked(space).ok_or(ParseError::NotSip)?;
    let rest = rest.get(1..).unwrap_or_default();
    if starts_with_sip(first) {
        let digits = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (status, reason) = rest.split_at_checked(digits).ok_or(ParseError::NotSip)?;
        let reason = reason.get(1..).unwrap_or_default();
        let status = (status.len() == 3).then(|| number(status)).flatten().filter(|s| (100..700).contains(s));
        let defect = status.is_none().then_some(Defect::StatusCode);
        let status = status.and_then(|s| u16::try_from(s).ok()).unwrap_or(0);
        return Ok((StartLine::Response { version: first, status, reason }, defect));
    }
    if !is_token(first) {
        return Err(ParseError::NotSip);
    }
    let method = std::str::from_utf8(first).map_err(|_| ParseError::NotSip)?;
    let at = (0..rest.len())
        .rev()
        .find(|i| rest.get(*i) == Some(&b' ') && rest.get(i + 1..).is_some_and(starts_with_sip))
        .ok_or(ParseError::NotSip)?;
    let (uri, version) = rest.split_at_checked(at).ok_or(ParseError::NotSip)?;
    Ok((StartLine::Request { method, uri, version: version.get(1..).unwrap_or_default() }, None))
}

fn starts_with_sip(text: &[u8]) -> bool {
    text.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"SIP/"))
}

fn header_lines<'a>(lines: &mut Lines<'a>, headers: &mut Vec<Header<'a>>) -> Option<Defect> {
    let mut defect = None;
    // False behind a line that was not taken: its folds must not continue the header before it.
    let mut is_taken = false;
    loop {
        let Some(line) = lines.next() else {
            return defect.or(Some(Defect::NoEnd));
        };
        let fault = match line.first() {
            None => return defect,
            // RFC 3261 7.3.1: a folded line continues the value; the fold equals one space.
            Some(b' ' | b'\t') => {
                let header = headers.last_mut().filter(|_| is_taken);
                let is_fold = header.is_some_and(|h| unfold(&mut h.value, line.trim_ascii()));
                (!is_fold).then_some(Defect::HeaderLine)
            }
            Some(_) => {
                let header = header_line(line);
                is_taken = header.is_some() && headers.len() < HEADERS_MAX;
                match header {
                    Some(header) if is_taken => {
                        headers.push(header);
                        None
                    }
                    Some(_) => Some(Defect::TooManyHeaders),
                    None => Some(Defect::HeaderLine),
                }
            }
        };
        defect = defect.or(fault);
    }
}

fn header_line(line: &[u8]) -> Option<Header<'_>> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    if !is_token(name) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    // A bare CR inside would let one header pose as two where we repeat it.
    if value.contains(&b'\r') {
        return None;
    }
    Some(Header { kind: Name::parse(name), name, value: Cow::Borrowed(value) })
}

/// False: not a line that may stand in a header.
fn unfold<'a>(value: &mut Cow<'a, [u8]>, more: &'a [u8]) -> bool {
    if more.contains(&b'\r') {
        return false;
    }
    if more.is_empty() {
        return true;
    }
    if value.is_empty() {
        *value = Cow::Borrowed(more);
    } else {
        let value = value.to_mut();
        value.push(b' ');
        value.extend_from_slice(more);
    }
    true
}

fn frame_body<'a>(headers: &[Header<'_>], rest: &'a [u8]) -> (&'a [u8], Option<Defect>) {
    match content_length(headers).map(|length| length.map(usize::try_from)) {
        Err(defect) => (rest, Some(defect)),
        Ok(None) => (rest, None),
        Ok(Some(Ok(n))) => match rest.get(..n) {
            Some(body) => (body, None),
            None => (rest, Some(Defect::ShortBody)),
        },
        Ok(Some(Err(_))) => (rest, Some(Defect::ShortBody)),
    }
}

/// What the headers say of the body's length, in bytes; several must agree.
pub(crate) fn content_length(headers: &[Header<'_>]) -> Result<Option<u64>, Defect> {
    let mut length = None;
    for header in headers.iter().filter(|h| h.kind == Name::ContentLength) {
        match (number(&header.value), length) {
            (Some(n), None) => length = Some(n),
            (Some(n), Some(m)) if n == m => {}
            _ => return Err(Defect::ContentLength),
        }
    }
    Ok(length)
}

/// Digits only, below 2^64.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
