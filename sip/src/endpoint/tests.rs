//! What cannot be seen from outside: that nothing is left of a call anywhere. Time is only numbers.

use super::*;
use std::time::Duration;

const SDP: &str = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\n";

fn request(method: &str, n: u32, cseq: u32, to_tag: &str) -> Vec<u8> {
    let body = if method == "INVITE" { SDP } else { "" };
    format!(
        "{method} sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{n}-{cseq}\r\nFrom: <sip:b@c>;tag=f\r\n\
         To: <sip:a@b>{to_tag}\r\nCall-ID: call-{n}\r\nCSeq: {cseq} {method}\r\nContent-Type: application/sdp\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A response to a request of ours.
fn response(status: u16, request: &[u8], more: &str) -> Vec<u8> {
    let request = message::parse(request).unwrap();
    let mut out = format!("SIP/2.0 {status} X\r\n{more}");
    for name in [message::Name::Via, message::Name::From, message::Name::To, message::Name::CallId, message::Name::CSeq]
    {
        out.push_str(&format!("{}: {}\r\n", name.as_str(), request.header(name).unwrap().text()));
    }
    (out + "\r\n").into_bytes()
}

#[test]
#[allow(clippy::disallowed_methods)]
fn nothing_is_left_of_our_own_requests() {
    let peers: Vec<Peer> =
        [10, 11].map(|n| Peer::new(Transport::Tcp, SocketAddr::from(([192, 0, 2, n], 5060)))).to_vec();
    let mut endpoint = Endpoint::new(EndpointConfig::new("192.0.2.1:5060".parse().unwrap(), 1));
    let mut now = Instant::now();
    let credentials =
        crate::auth::Credentials { user: "u".into(), password: crate::Private::new("p".into()), realm: None };
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    let mut registrations = Vec::new();
    for n in 0..60 {
        let mut request = InviteRequest::new(peers.clone(), "sip:a@b", Some(SDP.to_owned()));
        request.credentials = Some(credentials.clone());
        let call = endpoint.invite(now, request).unwrap();
        let register = RegisterRequest::new(peers.clone(), "sip:b", "sip:a@b", Some(credentials.clone()));
        registrations.push(endpoint.register(now, register).unwrap());
        endpoint.options(now, peers[0], "sip:b").unwrap();
        for round in 0..3 {
            let sent: Vec<(Peer, Vec<u8>)> = std::iter::from_fn(|| endpoint.poll())
                .filter_map(|o| if let Output::Send { to, bytes } = o { Some((to, bytes)) } else { None })
                .collect();
            for (to, bytes) in sent.iter().filter(|(_, b)| !b.starts_with(b"ACK")) {
                match (n + round) % 5 {
                    0 => endpoint.unreachable(now, *to),
                    1 => endpoint.handle(now, *to, &response(401, bytes, challenge)),
                    2 => endpoint.handle(now, *to, &response(503, bytes, "")),
                    3 => endpoint.handle(now, *to, &response(200, bytes, "")),
                    _ => endpoint.handle(now, *to, &response(180, bytes, "")),
                }
            }
        }
        let _ = endpoint.hangup(now, call, None);
    }
    assert!(endpoint.registrations.len() == 60 && endpoint.contacts.len() == 60 && endpoint.table.len() > 60);
    for registration in registrations {
        endpoint.unregister(now, registration).unwrap();
    }
    for _ in 0..200 {
        while endpoint.poll().is_some() {}
        now += Duration::from_secs(1);
        endpoint.handle_timeout(now);
    }
    assert_eq!((endpoint.calls.len(), endpoint.dialogs.len(), endpoint.timers.len()), (0, 0, 0));
    assert_eq!((endpoint.registrations.len(), endpoint.contacts.len()), (0, 0));
    assert_eq!(endpoint.table.sizes(), (0, 0, 0));
}

#[test]
#[allow(clippy::disallowed_methods)]
fn every_index_is_empty_after_the_calls() {
    let peer: SocketAddr = "192.0.2.10:5060".parse().unwrap();
    let mut endpoint = Endpoint::new(EndpointConfig::new("192.0.2.1:5060".parse().unwrap(), 1));
    let mut now = Instant::now();
    for n in 0..60 {
        endpoint.handle(now, Peer::udp(peer), &request("INVITE", n, 1, ""));
        let call = CallHandle(u64::from(n) + 1);
        match n % 4 {
            0 => endpoint.reject(now, call, 486, None).unwrap(),
            1 => endpoint.handle(now, Peer::udp(peer), &request("CANCEL", n, 1, "")),
            2 => endpoint.answer(now, call, SDP).unwrap(),
            _ => {
                endpoint.answer(now, call, SDP).unwrap();
                let tag = format!(";tag={}", endpoint.calls[&call.0].dialog.local_tag);
                endpoint.handle(now, Peer::udp(peer), &request("ACK", n, 1, &tag));
                endpoint.handle(now, Peer::udp(peer), &request("BYE", n, 2, &tag));
            }
        }
    }
    assert!(endpoint.calls() == 15 && endpoint.dialogs.len() == 15 && endpoint.timers.len() > 60);
    for _ in 0..200 {
        while endpoint.poll().is_some() {}
        now += Duration::from_secs(1);
        endpoint.handle_timeout(now);
    }
    assert_eq!((endpoint.calls.len(), endpoint.dialogs.len(), endpoint.timers.len()), (0, 0, 0));
    assert_eq!(endpoint.table.sizes(), (0, 0, 0));
    assert_eq!(endpoint.door.guests(), (0, 0, 0, 0));
}
