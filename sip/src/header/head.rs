//! Requests and responses read once at the door: behind it every value is right. It never answers anything itself.

use super::{CSeq, NameAddr, Via, content_type};
use crate::message::{Defect, Message, Name, StartLine, number};
use crate::method::Method;
use crate::uri::Uri;
use std::fmt;

/// The values that every message must have.
#[derive(Clone)]
pub struct Head {
    /// All of them, top first; at least one.
    pub vias: Vec<Via>,
    /// With a tag, but from RFC 2543 elements.
    pub from: NameAddr,
    /// With a tag inside a dialog.
    pub to: NameAddr,
    /// Any text without spaces.
    pub call_id: String,
    /// Number and method.
    pub cseq: CSeq,
    /// In order; empty for `*`.
    pub contacts: Vec<NameAddr>,
}

/// A request whose every known header is well-formed.
pub struct Request<'a> {
    /// As it came.
    pub message: Message<'a>,
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The rest.
    pub head: Head,
}

/// A response whose every known header is well-formed.
pub struct Response<'a> {
    /// As it came.
    pub message: Message<'a>,
    /// 100 to 699.
    pub status: u16,
    /// The rest.
    pub head: Head,
}

/// What is wrong with a message, and the status that says so (a response is dropped instead).
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// 400, 501 or 505.
    pub status: u16,
    /// For a person; names a header, never its value.
    pub why: &'static str,
}

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}

impl<'a> Request<'a> {
    /// Judges a framed request.
    pub fn read(message: Message<'a>) -> Result<Self, (Message<'a>, Refusal)> {
        match read_request(&message) {
            Ok((method, uri, head)) => Ok(Self { message, method, uri, head }),
            Err(refusal) => Err((message, refusal)),
        }
    }
}

impl<'a> Response<'a> {
    /// Judges a framed response.
    pub fn read(message: Message<'a>) -> Result<Self, Refusal> {
        let StartLine::Response { version, status, .. } = message.start else {
            return Err(bad("not a response"));
        };
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(Refusal { status: 505, why: "SIP version" });
        }
        let head = read_head(&message)?;
        Ok(Self { message, status, head })
    }
}

fn read_request(message: &Message<'_>) -> Result<(Method, Uri, Head), Refusal> {
    let StartLine::Request { method, uri, version } = message.start else {
        return Err(bad("not a request"));
    };
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        // Digits of another version are a version; anything else is a malformed line.
        let digits = version.get(4..).unwrap_or_default();
        let other = !digits.is_empty() && digits.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        return Err(if other { Refusal { status: 505, why: "SIP version" } } else { bad("request line") });
    }
    let uri = std::str::from_utf8(uri).ok().and_then(|u| Uri::parse(u).ok()).ok_or(bad("Request-URI"))?;
    // RFC 3261 19.1.1: no headers in a Request-URI.
    if uri.sip().is_some_and(|s| s.headers.is_some()) {
        return Err(bad("Request-URI with headers"));
    }
    let head = read_head(message)?;
    let parsed = Method::parse(method);
    if head.cseq.method != method {
        // RFC 4475 3.1.2.18: 501 tells the sender of a new method more than 400 would.
        return Err(match parsed {
            Method::Other(_) => Refusal { status: 501, why: "unknown method, and CSeq differs" },
            _ => bad("CSeq method differs"),
        });
    }
    Ok((parsed, uri, head))
}

fn read_head(message: &Message<'_>) -> Result<Head, Refusal> {
    if let Some(defect) = message.defect {
        return Err(bad(defect_text(defect)));
    }
    let mut vias = Vec::new();
    for header in message.all(Name::Via) {
        vias.extend(Via::parse_list(&header.text()).ok_or(bad("Via"))?);
    }
    if vias.is_empty() {
        return Err(bad("no Via"));
    }
    let from = NameAddr::parse(&one(message, Name::From, "From")?).ok_or(bad("From"))?;
    let to = NameAddr::parse(&one(message, Name::To, "To")?).ok_or(bad("To"))?;
    let call_id = one(message, Name::CallId, "Call-ID")?;
    if call_id.is_empty() || call_id.contains(char::is_whitespace) {
        return Err(bad("Call-ID"));
    }
    let cseq = CSeq::parse(&one(message, Name::CSeq, "CSeq")?).ok_or(bad("CSeq"))?;
    let contacts = read_contacts(message)?;
    check_rest(message)?;
    Ok(Head { vias, from, to, call_id, cseq, contacts })
}

/// RFC 3261 7.3.1: such a header appears once.
fn one(message: &Message<'_>, name: Name, text: &'static str) -> Result<String, Refusal> {
    let mut all = message.all(name);
    match (all.next(), all.next()) {
        (Some(header), None) => Ok(header.text().into_owned()),
        _ => Err(bad(text)),
    }
}

fn read_contacts(message: &Message<'_>) -> Result<Vec<NameAddr>, Refusal> {
    let mut contacts = Vec::new();
    for header in message.all(Name::Contact) {
        if &*header.value != b"*" {
            contacts.extend(NameAddr::parse_list(&header.text()).ok_or(bad("Contact"))?);
        }
    }
    Ok(contacts)
}

/// The headers that may be missing but not wrong.
fn check_rest(message: &Message<'_>) -> Result<(), Refusal> {
    for (name, text) in [
        (Name::MaxForwards, "Max-Forwards"),
        (Name::ContentType, "Content-Type"),
        (Name::Expires, "Expires"),
        (Name::Date, "Date"),
    ] {
        let mut all = message.all(name);
        let Some(header) = all.next() else { continue };
        let value = header.text();
        let well_formed = match name {
            Name::MaxForwards => number(&header.value).is_some_and(|n| n <= 255),
            Name::ContentType => content_type(&value).is_some(),
            // A number too large for anybody is still a number (RFC 4475 3.1.2.4).
            Name::Expires => !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()),
            // RFC 3261 20.17: the zone is GMT and nothing else.
            _ => value.ends_with(" GMT"),
        };
        if !well_formed || all.next().is_some() {
            return Err(bad(text));
        }
    }
    for name in [Name::Route, Name::RecordRoute] {
        for header in message.all(name) {
            NameAddr::parse_list(&header.text()).ok_or(bad("Route"))?;
        }
    }
    Ok(())
}

const fn defect_text(defect: Defect) -> &'static str {
    match defect {
        Defect::NoEnd => "no end of headers",
        Defect::HeaderLine => "header line",
        Defect::TooManyHeaders => "too many headers",
        Defect::ContentLength => "Content-Length",
        Defect::ShortBody => "body shorter than Content-Length",
        Defect::StatusCode => "status code",
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:?})", self.cseq)
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.head)
    }
}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {:?})", self.status, self.head)
    }
}
