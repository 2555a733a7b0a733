//! A call of our own as a web page makes it: WHIP (RFC 9725), checks of ICE, and the end. It has no page's words or clicks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::secure::{Checker, Identity};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use sip::sdp::{self, Fingerprint, LocalIce, LocalMedia, Protection, SrtpPolicy};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::caller::agreed::Agreed;
use crate::caller::placed::News;
use crate::caller::{CallOptions, CallerError};
use crate::{clock, random};

/// For an answer to anything by HTTP.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whoever answers no check and sends nothing for so long is gone.
const LOST_AFTER: Duration = Duration::from_secs(8);

/// A call that was asked for, from the answer on.
pub(crate) struct Page {
    client: Client,
    /// Where it is ended; none: it never began.
    session: Option<Url>,
    state: State,
    hanging_up: Option<JoinHandle<()>>,
}

enum State {
    /// To be told.
    Refused(Option<News>),
    Begun(Box<Begun>),
}

struct Begun {
    peer: SocketAddr,
    checker: Checker,
    /// Until the other side was reached.
    agreed: Option<Box<Agreed>>,
    heard: Instant,
}

impl Page {
    /// And the socket of its media, and when the offer went out.
    pub async fn place(options: &CallOptions) -> Result<(Self, UdpSocket, Instant), CallerError> {
        let target = Url::parse(&options.target).map_err(|_| CallerError::Target)?;
        let client = Client::builder().timeout(PATIENCE).build()?;
        let identity = Arc::new(Identity::generate().map_err(|_| CallerError::Identity)?);
        let (local, ice) = offered(options, &identity)?;
        let invited = clock::now();
        let mut request = client.post(target.clone()).header(CONTENT_TYPE, "application/sdp");
        if let Some(token) = &options.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.body(offer(&local, &ice)).send().await.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.map_err(reqwest::Error::without_url)?;
        if status != StatusCode::CREATED {
            let state = State::Refused(Some(refusal(status, &headers, &body)));
            let any = UdpSocket::bind(("127.0.0.1", 0)).await?;
            return Ok((Self { client, session: None, state, hanging_up: None }, any, invited));
        }
        let location = headers.get(LOCATION).and_then(|l| l.to_str().ok());
        let session = location.and_then(|l| target.join(l).ok());
        let answer = sdp::parse(&body).map_err(|_| CallerError::Answer)?;
        let begun = Begun::new(&local, &ice, &identity, answer, &body)?;
        let any: SocketAddr = if begun.peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let rtp = UdpSocket::bind(any).await?;
        Ok((Self { client, session, state: State::Begun(Box::new(begun)), hanging_up: None }, rtp, invited))
    }

    pub async fn news(&mut self, now: Instant, rtp: &UdpSocket) -> Option<News> {
        let begun = match &mut self.state {
            State::Refused(news) => return news.take(),
            State::Begun(begun) => begun,
        };
        if self.hanging_up.is_some() {
            return None;
        }
        let mut check = [0; 1_024];
        if let Some(len) = begun.checker.poll(now, &mut check) {
            let _ = rtp.send_to(&check[..len], begun.peer).await;
        }
        if begun.checker.has_passed()
            && let Some(agreed) = begun.agreed.take()
        {
            return Some(News::Answered(agreed));
        }
        let is_lost = now.saturating_duration_since(begun.heard) > LOST_AFTER;
        is_lost.then(|| {
            begun.heard = now;
            News::Ended("lost")
        })
    }

    /// Whether a datagram was for us: the answer to a check.
    pub fn takes(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let State::Begun(begun) = &mut self.state else { return true };
        begun.heard = now;
        let is_stun = matches!(datagram.first(), Some(0..=3));
        if is_stun {
            begun.checker.handle(datagram);
        }
        is_stun
    }

    pub fn hang_up(&mut self) -> bool {
        let Some(session) = self.session.take() else { return false };
        let request = self.client.delete(session);
        self.hanging_up = Some(tokio::spawn(async move { drop(request.send().await) }));
        true
    }

    pub fn is_settled(&self) -> bool {
        self.hanging_up.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Begun {
    fn new(
        local: &LocalMedia,
        ice: &LocalIce,
        identity: &Arc<Identity>,
        answer: sdp::Session,
        body: &str,
    ) -> Result<Self, CallerError> {
        let (ufrag, pwd) = attribute(body, "ice-ufrag").zip(attribute(body, "ice-pwd")).ok_or(CallerError::Answer)?;
        let has_data = body.lines().any(|l| l.starts_with("m=application ") && !l.starts_with("m=application 0 "));
        let now = clock::now();
        let agreed = Agreed::new(now, local, Some(answer), Some((identity, has_data)))?;
        let peer = agreed.leg.remote();
        let checker = Checker::new(now, ice.ufrag(), ufrag, pwd, random::bits());
        Ok(Self { peer, checker, agreed: Some(Box::new(agreed)), heard: now })
    }
}

fn offered(options: &CallOptions, identity: &Identity) -> Result<(LocalMedia, LocalIce), CallerError> {
    let fingerprint = Fingerprint::parse(&identity.fingerprint().to_string());
    let protection = Protection { policy: SrtpPolicy::Required, fingerprint, ..Protection::default() };
    // RFC 8840 4.1.1: nobody needs our address, for our checks come from it.
    let nowhere = ([0, 0, 0, 0], 9).into();
    let local = LocalMedia { codecs: options.codecs.clone(), protection, ..LocalMedia::new(nowhere, 1) };
    Ok((local, LocalIce::new(random::secret()?)))
}

/// Our usual offer with what a page has besides: ICE as the full side, a data channel on the audio's way.
fn offer(local: &LocalMedia, ice: &LocalIce) -> String {
    let audio = sdp::offer(local);
    let (head, audio) = audio.split_at(audio.find("m=audio").unwrap_or(0));
    let way = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag(), ice.pwd());
    let is_of_handshake = |l: &&str| l.starts_with("a=fingerprint") || l.starts_with("a=setup");
    let secured: String = audio.split_inclusive("\r\n").filter(is_of_handshake).collect();
    format!(
        "{head}a=group:BUNDLE 0 1\r\n{audio}{way}a=mid:0\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{way}{secured}a=mid:1\r\n\
         a=sctp-port:5000\r\na=max-message-size:4096\r\n"
    )
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> News {
    let error: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let reason = error.as_ref().and_then(|e| e["error"].as_str()).unwrap_or_default();
    let retry_after_s = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    News::Refused { status: status.as_u16(), retry_after_s, reason: reason.to_owned() }
}

/// The value of the first `a=NAME:`.
fn attribute<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    body.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::sdp::Codec;

    /// What a gateway would make of our offer, and what we make of its answer.
    #[test]
    fn a_gateway_takes_our_offer_with_its_data_channel() {
        let identity = Arc::new(Identity::generate().unwrap());
        let options = CallOptions::new("http://127.0.0.1/whip/a".into(), Duration::from_secs(1));
        let (local, ice) = offered(&options, &identity).unwrap();
        let theirs = LocalMedia {
            codecs: vec![Codec::Pcmu, Codec::Opus],
            ice: Some(LocalIce::new([7; 20])),
            data: true,
            candidates: vec![sdp::Candidate::udp(([127, 0, 0, 1], 8443).into())],
            ..LocalMedia { address: ([127, 0, 0, 1], 8443).into(), ..local.clone() }
        };
        let negotiated = sdp::answer(&sdp::parse(&offer(&local, &ice)).unwrap(), &theirs).unwrap();
        assert_eq!((negotiated.codec, negotiated.data, negotiated.security.name()), (Codec::Opus, true, "dtls"));
        assert_eq!(negotiated.ice.as_ref().map(|i| i.ufrag.as_str()), Some(ice.ufrag()));
        let answer = sdp::parse(&negotiated.body).unwrap();
        let begun = Begun::new(&local, &ice, &identity, answer, &negotiated.body).unwrap();
        assert_eq!(begun.peer, theirs.address);
        assert!(begun.agreed.is_some_and(|a| a.codec == "opus" && !a.leg.is_open()));
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "5".parse().unwrap())]);
        let News::Refused { status, retry_after_s, reason } =
            refusal(StatusCode::SERVICE_UNAVAILABLE, &headers, "{\"error\":\"full\"}")
        else {
            panic!("refused");
        };
        assert_eq!((status, retry_after_s, reason.as_str()), (503, Some(5), "full"));
        let bare = refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), "<html>");
        assert!(matches!(bare, News::Refused { status: 404, retry_after_s: None, reason } if reason.is_empty()));
    }
}
