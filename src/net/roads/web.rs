//! SIP over WebSocket (RFC 7118): the handshake, and one message per frame. It never speaks another subprotocol.

use futures_util::{SinkExt, StreamExt};
use sip::message::MESSAGE_BYTES_MAX;
use tokio::time::{Duration, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::connection::{ByteStream, End, Line, Outgoing, Outgoings, STALL};
use crate::clock;

/// RFC 7118 4.
const SUBPROTOCOL: &str = "sip";
/// Below the minute after which many proxies cut a silent WebSocket. Browsers answer by themselves.
const PING_EVERY: Duration = Duration::from_secs(25);
/// One per connection.
const READ_BUFFER: usize = 8 * 1024;

pub(super) type Web = WebSocketStream<Box<dyn ByteStream>>;

pub(super) async fn handshake(stream: Box<dyn ByteStream>, origins: &[String]) -> Result<Web, Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    #[allow(clippy::result_large_err)]
    let judge = |request: &Request, response: Response| judge(request.headers(), response, origins);
    tokio_tungstenite::accept_hdr_async_with_config(stream, judge, Some(config)).await
}

/// Until either side ends it.
pub(super) async fn converse(web: Web, line: &Line, outgoings: &mut Outgoings) -> End {
    let (mut sink, mut stream) = web.split();
    let read = async {
        let first_by = clock::now() + line.limits.message();
        let mut strange = true;
        loop {
            let due = if strange { first_by } else { clock::now() + line.limits.idle() };
            let bytes = match timeout_at(due.into(), stream.next()).await {
                Err(_) => return if strange { End::Slow } else { End::Idle },
                Ok(None) => return End::Closed,
                Ok(Some(Err(Error::Io(_)))) => return End::Closed,
                Ok(Some(Err(_))) => return End::Unframed,
                Ok(Some(Ok(Message::Text(text)))) => Bytes::from(text),
                Ok(Some(Ok(Message::Binary(bytes)))) => bytes,
                // Pings are answered underneath.
                Ok(Some(Ok(_))) => continue,
            };
            match bytes.as_ref() {
                b"\r\n\r\n" => line.pong(),
                keepalive if keepalive.iter().all(u8::is_ascii_whitespace) => {}
                message => {
                    strange = false;
                    line.message(message).await;
                }
            }
        }
    };
    let write = async {
        loop {
            let message = match timeout(PING_EVERY, outgoings.recv()).await {
                Err(_) => Message::Ping(Bytes::new()),
                Ok(None | Some(Outgoing::Last(_))) => break,
                // Both kinds are allowed; some clients read text only.
                Ok(Some(Outgoing::Bytes(bytes))) => match String::from_utf8(bytes) {
                    Ok(text) => Message::text(text),
                    Err(other) => Message::binary(other.into_bytes()),
                },
            };
            let len = if message.is_ping() { 0 } else { message.len() };
            match timeout(STALL, sink.send(message)).await {
                Ok(Ok(())) => outgoings.written(len),
                Ok(Err(_)) => return End::Closed,
                Err(_) => return End::Stalled,
            }
        }
        // Politeness, once; who does not listen is cut all the same.
        let _ = timeout(STALL, sink.close()).await;
        End::Closed
    };
    tokio::select! { end = read => end, end = write => end }
}

#[allow(clippy::result_large_err)]
fn judge(headers: &HeaderMap, mut response: Response, origins: &[String]) -> Result<Response, ErrorResponse> {
    if !origin_allowed(headers, origins) {
        return Err(refusal(StatusCode::FORBIDDEN, "this origin may not connect"));
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    if !offered.flat_map(|v| v.split(',')).any(|p| p.trim() == SUBPROTOCOL) {
        return Err(refusal(StatusCode::BAD_REQUEST, "offer the subprotocol \"sip\" (RFC 7118)"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// RFC 6455 10.2: a browser says which page it acts for, so that no other page can use its user.
fn origin_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    match text(header::ORIGIN) {
        None => true,
        Some(origin) if origins.is_empty() => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.zip(text(header::HOST)).is_some_and(|(a, b)| !a.is_empty() && a.eq_ignore_ascii_case(b))
        }
        Some(origin) => origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin)),
    }
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_connect() {
        let check = |headers: &[(header::HeaderName, &str)], origins: &[&str], expected: u16| {
            let headers: HeaderMap = headers.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
            let origins: Vec<String> = origins.iter().map(|o| (*o).to_owned()).collect();
            let status = match judge(&headers, Response::new(()), &origins) {
                Ok(response) => {
                    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "sip");
                    101
                }
                Err(response) => response.status().as_u16(),
            };
            assert_eq!(status, expected, "{headers:?} {origins:?}");
        };
        let sip = (header::SEC_WEBSOCKET_PROTOCOL, "sip");
        let host = (header::HOST, "pbx.example:8443");
        check(std::slice::from_ref(&sip), &[], 101);
        check(&[(header::SEC_WEBSOCKET_PROTOCOL, "xmpp, sip")], &[], 101);
        check(&[(header::SEC_WEBSOCKET_PROTOCOL, "sips")], &[], 400);
        check(&[], &[], 400);
        let from = |origin: &'static str| [sip.clone(), host.clone(), (header::ORIGIN, origin)];
        check(&from("https://PBX.example:8443"), &[], 101);
        check(&from("https://pbx.example"), &[], 403);
        check(&from("https://evil.example"), &[], 403);
        check(&from("null"), &[], 403);
        check(&from("https://app.example"), &["https://app.example"], 101);
        check(&from("https://pbx.example:8443"), &["https://app.example"], 403);
        check(&from("https://app.example.evil"), &["https://app.example"], 403);
        check(&from("https://evil.example"), &["*"], 101);
    }
}
