//! Writing messages. Nothing that is put in can break out of its line.

use super::Name;

/// A message being written, header by header, straight into its bytes.
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// A request line.
    pub fn request(method: &str, uri: &str) -> Self {
        let mut new = Self { bytes: Vec::with_capacity(768) };
        new.put(method.as_bytes());
        new.bytes.push(b' ');
        new.put(uri.as_bytes());
        new.bytes.extend_from_slice(b" SIP/2.0\r\n");
        new
    }

    /// A status line with the RFC's phrase.
    pub fn response(status: u16) -> Self {
        let mut new = Self { bytes: Vec::with_capacity(768) };
        new.put(format!("SIP/2.0 {status} {}", reason_phrase(status)).as_bytes());
        new.bytes.extend_from_slice(b"\r\n");
        new
    }

    /// One header of a known kind.
    #[must_use]
    pub fn header(self, name: Name, value: &str) -> Self {
        self.raw(name.as_str(), value.as_bytes())
    }

    /// One header under any name.
    #[must_use]
    pub fn raw(mut self, name: &str, value: &[u8]) -> Self {
        self.put(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.put(value);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Content-Length and the end, without a body.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        self.bytes
    }

    /// Content-Type, Content-Length, and the body.
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Vec<u8> {
        self = self.header(Name::ContentType, content_type);
        self = self.header(Name::ContentLength, &body.len().to_string());
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        self.bytes
    }

    fn put(&mut self, value: &[u8]) {
        self.bytes.extend(value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
    }
}

/// The phrase for a status, RFC 3261 21.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
