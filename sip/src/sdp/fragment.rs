//! The part of a description that a running session exchanges over HTTP (`application/trickle-ice-sdpfrag`, RFC 8840 9,
//! RFC 9725 4.3): ICE and nothing else. We are the lite side, so the peer's candidates are read past.

use super::local::LocalMedia;
use super::read::parse_fragment;
use super::transport::RemoteIce;
use super::write::{bundle, print_mid};

/// The peer's half of ICE: another one than before begins ICE anew (RFC 8839 4.4.1.1.1). `None`: it is not there, or the
/// text is no fragment.
pub fn ice_fragment(text: &str) -> Option<RemoteIce> {
    let (session, sections) = parse_fragment(text).ok()?;
    sections.media.iter().find_map(|media| media.ice.remote()).or_else(|| session.ice.remote())
}

/// Our half, as `local.ice` is now, with all our candidates, for the session that was agreed on; empty where there is none
/// or it has no ICE.
pub fn local_fragment(local: &LocalMedia) -> String {
    let agreed = local.agreed.as_ref().filter(|a| a.ice.is_some());
    let Some((agreed, ice)) = agreed.zip(local.ice.as_ref()) else { return String::new() };
    let (mid, (payload_type, _)) = (agreed.mid.as_ref(), agreed.codec);
    let mut body = format!("a=ice-lite\r\n{}", bundle(mid.map_or("", |m| m.group.as_str())));
    body += &format!("m=audio 9 {} {payload_type}\r\n", agreed.protocol);
    print_mid(&mut body, mid.map(|m| m.name.as_str()));
    body += &ice.lines(local.address, &local.candidates);
    body
}
