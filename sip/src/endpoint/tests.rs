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
