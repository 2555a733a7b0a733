//! Whole messages out of the bytes of a stream, by Content-Length (RFC 3261 18.3). It never reads a socket, and judges no other header.

use crate::header::NameAddr;
use crate::message::{self, Builder, Defect, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Name, StartLine};
use std::fmt;
use std::ops::Range;

/// Longest start line and headers together, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most bytes kept. Whoever takes everything out after each push never gets near it.
pub const BUFFERED_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// What stood next in the stream.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Framed<'a> {
    /// One message, for `Endpoint::handle`: at most [`MESSAGE_BYTES_MAX`] bytes, lent until the next call.
    Message(&'a [u8]),
    /// CRLFCRLF: answer CRLF (RFC 5626 3.5.1).
    Ping,
    /// CRLF: a ping's answer, or the first half of a ping; then [`Framed::Ping`] follows.
    Pong,
}

/// Why the rest of a stream cannot be told apart: send [`Framer::refusal`], if there is one, and close.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingError {
    /// No SIP start line.
    #[error("no SIP start line")]
    NotSip,
    /// More than [`HEAD_BYTES_MAX`] without an empty line.
    #[error("the headers are too long")]
    HeadTooLong,
    /// More than [`HEADERS_MAX`].
    #[error("too many headers")]
    TooManyHeaders,
    /// RFC 3261 20.14: a stream needs it.
    #[error("no Content-Length")]
    NoContentLength,
    /// Not a number, or several that differ.
    #[error("malformed Content-Length")]
    ContentLength,
    /// More than [`MESSAGE_BYTES_MAX`].
    #[error("the message is too long")]
    TooLong,
    /// More was pushed than [`BUFFERED_BYTES_MAX`] without taking anything out.
    #[error("too many bytes at once")]
    Overflow,
}

/// Cuts one direction of one connection into messages. How the bytes were split on their way changes nothing.
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the message now being read begins; what stands before it was given out.
    start: usize,
    /// Up to here the end of the head was looked for, so that a slow drip costs no second look.
    searched: usize,
    /// Where the line at `searched` begins.
    line: usize,
    /// Length of head and body, once the head is whole.
    whole: Option<usize>,
    /// A CRLF came; another makes it a ping.
    half_ping: bool,
    error: Option<FramingError>,
    /// The error was given out.
    told: bool,
}

enum Step {
    Message(Range<usize>),
    Ping,
    Pong,
}

impl Framer {
    /// For a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. Call [`Framer::next`] until `None` before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.forget();
        if self.buffer.len() + bytes.len() > BUFFERED_BYTES_MAX {
            self.buffer = Vec::new();
            self.error = Some(FramingError::Overflow);
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing in the stream; `None`: more bytes are needed. An error is the last thing there is.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Framed<'_>, FramingError>> {
        if self.error.is_none() {
            match self.step() {
                Ok(step) => return step.map(|step| Ok(self.lend(step))),
                Err(error) => self.error = Some(error),
            }
        }
        (!std::mem::replace(&mut self.told, true)).then_some(self.error.map(Err)).flatten()
    }

    /// Is a message begun but not whole?
    pub fn is_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// After an error: the response that says what is wrong. `None` where there is nobody to tell:
    /// garbage, a response, an ACK.
    pub fn refusal(&self) -> Option<Vec<u8>> {
        let status = match self.error? {
            FramingError::TooManyHeaders | FramingError::NoContentLength | FramingError::ContentLength => 400,
            FramingError::TooLong => 513,
            FramingError::NotSip | FramingError::HeadTooLong | FramingError::Overflow => return None,
        };
        let message = message::parse(self.buffer.get(self.start..self.searched)?).ok()?;
        let StartLine::Request { method, .. } = message.start else { return None };
        (method != "ACK").then(|| refusal(status, &message))
    }

    fn lend(&self, step: Step) -> Framed<'_> {
        match step {
            Step::Message(range) => Framed::Message(self.buffer.get(range).unwrap_or_default()),
            Step::Ping => Framed::Ping,
            Step::Pong => Framed::Pong,
        }
    }

    /// Drops what was given out.
    fn forget(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.line = self.line.saturating_sub(self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > HEAD_BYTES_MAX {
            // One large message is no reason to hold its room as long as the connection lives.
            self.buffer = Vec::new();
        }
    }

    fn step(&mut self) -> Result<Option<Step>, FramingError> {
        if self.whole.is_none() {
            if let Some(keepalive) = self.gap() {
                return Ok(Some(keepalive));
            }
            let Some(head) = self.head()? else { return Ok(None) };
            self.whole = Some(length(head)?);
        }
        match self.whole.map(|n| self.start + n) {
            Some(end) if end <= self.buffer.len() => {
                let message = self.start..end;
                (self.start, self.searched, self.line, self.whole) = (end, end, end, None);
                Ok(Some(Step::Message(message)))
            }
            _ => Ok(None),
        }
    }

    /// Skips line ends before a start line (RFC 3261 7.5), and sees keepalives among them.
    fn gap(&mut self) -> Option<Step> {
        if self.searched > self.start {
            return None;
        }
        loop {
            match (self.buffer.get(self.start), self.buffer.get(self.start + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.begin(self.start + 2);
                    self.half_ping = !self.half_ping;
                    return Some(if self.half_ping { Step::Pong } else { Step::Ping });
                }
                (Some(b'\r'), None) | (None, _) => return None,
                (Some(b'\r' | b'\n'), _) => self.begin(self.start + 1),
                (Some(_), _) => {
                    self.half_ping = false;
                    return None;
                }
            }
        }
    }

    fn begin(&mut self, at: usize) {
        (self.start, self.searched, self.line) = (at, at, at);
    }

    /// Start line, headers and empty line, once they are whole. An end of line is CRLF or LF alone, as in
    /// [`message::parse`].
    fn head(&mut self) -> Result<Option<&[u8]>, FramingError> {
        if self.buffer.get(self.start) == Some(&b'\r') {
            // It takes one more byte to know whether it is a keepalive.
            return Ok(None);
        }
        while let Some(n) = self.buffer.get(self.searched..).and_then(|b| b.iter().position(|b| *b == b'\n')) {
            let end = self.searched + n;
            let empty = matches!(self.buffer.get(self.line..end), Some([] | [b'\r']));
            (self.searched, self.line) = (end + 1, end + 1);
            if self.searched - self.start > HEAD_BYTES_MAX {
                return Err(FramingError::HeadTooLong);
            }
            if empty {
                return Ok(self.buffer.get(self.start..self.searched));
            }
        }
        self.searched = self.buffer.len();
        if self.searched - self.start > HEAD_BYTES_MAX { Err(FramingError::HeadTooLong) } else { Ok(None) }
    }
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Framer({} bytes)", self.buffer.len() - self.start)
    }
}

impl fmt::Debug for Framed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
        }
    }
}

/// Of the whole message.
fn length(head: &[u8]) -> Result<usize, FramingError> {
    let message = message::parse(head).map_err(|_| FramingError::NotSip)?;
    // Past the limit, or in a line that is no header, a Content-Length may hide.
    if message.headers.len() == HEADERS_MAX && message.defect.is_some_and(|d| d != Defect::ShortBody) {
        return Err(FramingError::TooManyHeaders);
    }
    let body = match message::content_length(&message.headers) {
        Err(_) => return Err(FramingError::ContentLength),
        Ok(Some(n)) => usize::try_from(n).map_err(|_| FramingError::TooLong)?,
        // RFC 3261 20.14 wants it here. Elements that leave it out where there is no body do no harm.
        Ok(None) if message.header(Name::ContentType).is_none() && message.defect.is_none() => 0,
        Ok(None) => return Err(FramingError::NoContentLength),
    };
    head.len().checked_add(body).filter(|n| *n <= MESSAGE_BYTES_MAX).ok_or(FramingError::TooLong)
}

/// RFC 3261 8.2.6. The connection itself is the way back, so Via is left as it came.
fn refusal(status: u16, message: &Message<'_>) -> Vec<u8> {
    let mut builder = Builder::response(status);
    for header in &message.headers {
        builder = match header.kind {
            Name::Via | Name::From | Name::CallId | Name::CSeq => builder.raw(header.kind.as_str(), &header.value),
            Name::To => {
                let tagged = NameAddr::parse(&header.text()).is_some_and(|to| to.tag().is_some());
                let tag: &[u8] = if tagged { b"" } else { b";tag=unframed" };
                builder.raw(header.kind.as_str(), &[&header.value, tag].concat())
            }
            _ => builder,
        };
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "OPTIONS sip:a SIP/2.0\r\nl: 4\r\n\r\nbody";
    const B: &str = "SIP/2.0 200 OK\nTo: x\n\tCONTENT-LENGTH: 9\nContent-length\t:\r\n  0\r\n\n";
    const C: &str = "BYE sip:a SIP/2.0\r\nVia: x\r\n\r\n";

    /// What comes out: messages as they are, `<` ping, `>` pong, `!` and the error.
    fn shown<'a>(reads: impl Iterator<Item = &'a [u8]>) -> String {
        let (mut framer, mut out) = (Framer::new(), String::new());
        for read in reads {
            framer.push(read);
            while let Some(framed) = framer.next() {
                match framed {
                    Ok(Framed::Message(bytes)) => out += &format!("[{}]", String::from_utf8_lossy(bytes)),
                    Ok(Framed::Ping) => out.push('<'),
                    Ok(Framed::Pong) => out.push('>'),
                    Err(error) => out += &format!("!{error:?}"),
                }
            }
        }
        out
    }

    /// The same in one read, byte by byte, and in every two.
    fn check(stream: &str, expected: &str) {
        let bytes = stream.as_bytes();
        assert_eq!(shown([bytes].into_iter()), expected, "{stream:?}");
        assert_eq!(shown(bytes.chunks(1)), expected, "{stream:?} byte by byte");
        for at in (0..bytes.len()).take(300) {
            let (one, two) = bytes.split_at(at);
            assert_eq!(shown([one, two].into_iter()), expected, "{stream:?} split at {at}");
        }
    }

    #[test]
    fn messages_and_keepalives() {
        check("", "");
        check(A, &format!("[{A}]"));
        check(&A[..A.len() - 1], "");
        check(&format!("{A}{B}{C}{A}"), &format!("[{A}][{B}][{C}][{A}]"));
        check(&format!("\r\n{A}"), &format!(">[{A}]"));
        check(&format!("\r\n\r\n{A}\r\n\r\n\r\n\r\n{B}\r\n"), &format!("><[{A}]><><[{B}]>"));
        check(&format!("\n\r\r\n{A}\n"), &format!(">[{A}]"));
        // A half of a ping before a message is none.
        check(&format!("\r\n{A}\r\n\r\n"), &format!(">[{A}]><"));
    }

    #[test]
    fn what_has_no_end_ends() {
        let options = |rest: &str| format!("OPTIONS sip:a SIP/2.0\r\n{rest}\r\n\r\n");
        for value in ["-1", "+1", "1x", "", "0x4", "99999999999999999999999", "4, 4"] {
            check(&options(&format!("Content-Length: {value}")), "!ContentLength");
        }
        check(&options("l: 4\r\nContent-Length: 5"), "!ContentLength");
        check(&format!("{}bodyOPTIONS", options("l: 4\r\nl: 4")), &format!("[{}body]", options("l: 4\r\nl: 4")));
        check(&options("l: 18446744073709551615"), "!TooLong");
        // With the head just what a message may have, and one more.
        check(&options("l: 65500"), "");
        check(&options("l: 65501"), "!TooLong");
        check(&options("c: text/plain"), "!NoContentLength");
        check(&options("Content-Length 4"), "!NoContentLength");
        check(&options("l: 0\rx"), "!NoContentLength");
        check("GET / HTTP/1.1\r\n\r\n", "!NotSip");
        check(&format!("{A}\0\0\n\n{A}"), &format!("[{A}]!NotSip"));
        check(&options(&format!("{}l: 0", "a: b\r\n".repeat(256))), "!TooManyHeaders");
        let many = options(&format!("{}l: 0", "a: b\r\n".repeat(255)));
        check(&many, &format!("[{many}]"));
    }

    #[test]
    fn nothing_grows_past_its_limit() {
        let endless = |head: &str, fill: &str| {
            let (mut framer, mut pushed) = (Framer::new(), 0);
            framer.push(head.as_bytes());
            loop {
                match framer.next() {
                    Some(Err(error)) => return (error, pushed),
                    Some(Ok(_)) => panic!("no message has an end here"),
                    None => framer.push(fill.as_bytes()),
                }
                pushed += fill.len();
                assert!(framer.buffer.capacity() <= 2 * MESSAGE_BYTES_MAX + 2, "{}", framer.buffer.capacity());
            }
        };
        let head = "OPTIONS sip:a SIP/2.0\r\n";
        for fill in ["a", "a: b\r\n", " \r\n", "\t\n", "\r"] {
            let (error, pushed) = endless(head, fill);
            assert_eq!(error, FramingError::HeadTooLong, "{fill:?}");
            assert!(pushed <= HEAD_BYTES_MAX + fill.len());
        }
        let mut framer = Framer::new();
        for _ in 0..BUFFERED_BYTES_MAX {
            framer.push(C.as_bytes());
        }
        assert!(framer.buffer.len() <= BUFFERED_BYTES_MAX);
        assert_eq!(framer.next(), Some(Err(FramingError::Overflow)));
        assert_eq!(framer.next(), None);
    }

    #[test]
    fn a_large_message_leaves_no_room_behind() {
        let mut framer = Framer::new();
        let large = format!("OPTIONS sip:a SIP/2.0\r\nl: 60000\r\n\r\n{}", "x".repeat(60_000));
        framer.push(large.as_bytes());
        assert_eq!(framer.next(), Some(Ok(Framed::Message(large.as_bytes()))));
        assert!(!framer.is_partial());
        framer.push(b"O");
        assert!(framer.is_partial() && framer.buffer.capacity() < HEAD_BYTES_MAX);
    }

    #[test]
    fn a_refusal_answers_requests_only() {
        let check = |stream: &str, expected: Option<&str>| {
            let mut framer = Framer::new();
            framer.push(stream.as_bytes());
            assert!(matches!(framer.next(), Some(Err(_))), "{stream}");
            let refusal = framer.refusal().map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(refusal.as_deref(), expected);
        };
        let head = "Via: b\r\nv: c\r\nf: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\ni: 7\r\nCSeq: 1 OPTIONS\r\nSubject: s";
        let answered = |line: &str| {
            format!(
                "{line}\r\nVia: b\r\nVia: c\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>;tag=unframed\r\n\
                 Call-ID: 7\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let stream = |start: &str, more: &str| format!("{start}\r\n{head}\r\n{more}\r\n\r\nbody");
        let bad = answered("SIP/2.0 400 Bad Request");
        check(&stream("OPTIONS sip:a SIP/2.0", "l: x"), Some(&bad));
        check(&stream("OPTIONS sip:a SIP/2.0", "c: text/plain"), Some(&bad));
        let large = answered("SIP/2.0 513 Message Too Large");
        check(&stream("OPTIONS sip:a SIP/2.0", "l: 999999"), Some(&large));
        check(&stream("ACK sip:a SIP/2.0", "l: x"), None);
        check(&stream("SIP/2.0 200 OK", "l: x"), None);
        check("\u{1}\r\n\r\n", None);
    }

    /// A slow drip is searched once: a thousand times the bytes must not cost a million times the work.
    #[test]
    fn a_drip_is_searched_once() {
        let mut framer = Framer::new();
        let head = format!("OPTIONS sip:a SIP/2.0\r\nSubject: {}\r\n", "x".repeat(16_000));
        for byte in head.bytes() {
            framer.push(&[byte]);
            assert_eq!(framer.next(), None);
            assert!(framer.buffer.len() - framer.searched <= 1 && framer.start == 0);
        }
    }

    proptest! {
        #[test]
        fn splits_change_nothing(parts in prop::collection::vec(0..6usize, 0..8), cuts in prop::collection::vec(0..400usize, 0..20)) {
            let all = [A, B, C, "\r\n", "\r\n\r\n", "\n"];
            let stream: String = parts.iter().map(|p| all[*p]).collect();
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let reads = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]);
            let wanted = shown([bytes].into_iter());
            prop_assert_eq!(shown(reads), wanted.clone());
            for (part, text) in all.iter().enumerate().take(3) {
                let sent = parts.iter().filter(|p| **p == part).count();
                prop_assert_eq!(wanted.matches(&format!("[{text}]")).count(), sent);
            }
        }

        #[test]
        fn any_bytes_do_no_harm(reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let once = reads.concat();
            let split = shown(reads.iter().map(Vec::as_slice));
            prop_assert_eq!(split, shown([once.as_slice()].into_iter()));
        }
    }
}
