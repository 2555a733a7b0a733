//! Responses to one request: what RFC 3261 8.2.6 copies, and where they go. It never fails on a malformed request.

use crate::header::Via;
use crate::message::{Builder, Message, Name};
use crate::peer::Peer;
use crate::text::split_outside;
use std::net::SocketAddr;

/// What is kept of a request to answer it.
pub(super) struct Reply {
    vias: Vec<Vec<u8>>,
    /// From, Call-ID, CSeq.
    copied: Vec<(Name, Vec<u8>)>,
    to: Option<Vec<u8>>,
    to_has_tag: bool,
    record_routes: Vec<Vec<u8>>,
    /// Where the response goes.
    pub peer: Peer,
}

impl Reply {
    /// `symmetric`: back to the source port even without `rport`.
    pub fn new(message: &Message<'_>, source: Peer, symmetric: bool) -> Self {
        let mut vias: Vec<Vec<u8>> = message.all(Name::Via).map(|h| h.value.to_vec()).collect();
        let mut peer = source;
        if let Some(top) = vias.first_mut() {
            let text = String::from_utf8_lossy(top).into_owned();
            if let Some((stamped, via)) = stamp(&text, source.address) {
                *top = stamped.into_bytes();
                // RFC 3261 18.2.2, RFC 3581 4. maddr is not followed: it would let a stranger aim
                // our answers at others.
                if !symmetric && !source.transport.is_reliable() && via.params.get("rport").is_none() {
                    peer.address.set_port(via.port.unwrap_or(5060));
                }
            }
        }
        let copy = |name| message.header(name).map(|h| (name, h.value.to_vec()));
        let to = message.header(Name::To);
        Self {
            vias,
            copied: [Name::From, Name::CallId, Name::CSeq].into_iter().filter_map(copy).collect(),
            to: to.map(|h| h.value.to_vec()),
            to_has_tag: to.is_some_and(|h| has_tag(&h.text())),
            record_routes: message.all(Name::RecordRoute).map(|h| h.value.to_vec()).collect(),
            peer,
        }
    }

    /// A response outside any dialog, or within one: `tag` is added where To has none.
    pub fn response(&self, status: u16, tag: Option<&str>) -> Builder {
        let mut builder = Builder::response(status);
        for via in &self.vias {
            builder = builder.raw(Name::Via.as_str(), via);
        }
        if let Some(to) = &self.to {
            let mut to = to.clone();
            if let Some(tag) = tag.filter(|_| !self.to_has_tag) {
                to.extend_from_slice(format!(";tag={tag}").as_bytes());
            }
            builder = builder.raw(Name::To.as_str(), &to);
        }
        for (name, value) in &self.copied {
            builder = builder.raw(name.as_str(), value);
        }
        builder
    }

    /// A response that makes or keeps a dialog (RFC 3261 12.1.1): it repeats Record-Route.
    pub fn dialog_response(&self, status: u16, tag: &str, contact: &str) -> Builder {
        let mut builder = self.response(status, Some(tag));
        for route in &self.record_routes {
            builder = builder.raw(Name::RecordRoute.as_str(), route);
        }
        builder.header(Name::Contact, contact)
    }
}

fn has_tag(text: &str) -> bool {
    crate::header::NameAddr::parse(text).is_some_and(|to| to.tag().is_some())
}

/// RFC 3261 18.2.1 and RFC 3581 4: writes `received` and `rport` into the first Via of the value.
fn stamp(value: &str, source: SocketAddr) -> Option<(String, Via)> {
    let list = split_outside(value, ',')?;
    let (first, rest) = list.split_first()?;
    let via = Via::parse(first.trim())?;
    let asked = via.params.get("rport").is_some();
    let mut out = String::with_capacity(value.len() + 48);
    for (i, part) in split_outside(first.trim(), ';')?.into_iter().enumerate() {
        let name = part.split('=').next().unwrap_or_default().trim();
        // Only we know what we received; a Via that already says so is lying or misrouted.
        if i > 0 && name.eq_ignore_ascii_case("received") {
            continue;
        }
        if i > 0 {
            out.push(';');
        }
        if i > 0 && name.eq_ignore_ascii_case("rport") {
            out.push_str(&format!("rport={}", source.port()));
        } else {
            out.push_str(part);
        }
    }
    let ip = source.ip();
    if asked || via.host.parse() != Ok(ip) {
        out.push_str(&format!(";received={ip}"));
    }
    for other in rest {
        out.push(',');
        out.push_str(other);
    }
    Some((out, via))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vias_are_stamped() {
        let source: SocketAddr = "192.0.2.1:5070".parse().unwrap();
        let check = |input: &str, output: Option<&str>| {
            assert_eq!(stamp(input, source).map(|(s, _)| s), output.map(str::to_owned), "{input}");
        };
        check("SIP/2.0/UDP 192.0.2.1;branch=z", Some("SIP/2.0/UDP 192.0.2.1;branch=z"));
        check("SIP/2.0/UDP h;branch=z", Some("SIP/2.0/UDP h;branch=z;received=192.0.2.1"));
        check("SIP/2.0/UDP h;rport;branch=z", Some("SIP/2.0/UDP h;rport=5070;branch=z;received=192.0.2.1"));
        check("SIP/2.0/UDP h;RPORT", Some("SIP/2.0/UDP h;rport=5070;received=192.0.2.1"));
        check(
            "SIP/2.0/UDP 192.0.2.1;received=198.51.100.1;branch=z, SIP/2.0/UDP b",
            Some("SIP/2.0/UDP 192.0.2.1;branch=z, SIP/2.0/UDP b"),
        );
        check("SIP/2.0/UDP h;;,;", None);
    }
}
