//! SIP over WebSocket with a client of another make. No browser is needed for it.

use dauys::net::roads::RoadsConfig;
use futures_util::{SinkExt, StreamExt};
use sip::Transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{ANY4, Came, bound, door, listening, message, next, options};
use crate::pki::Pki;

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    protocol: &str,
    origin: Option<&str>,
) -> Result<WebSocketStream<S>, StatusCode> {
    let mut request = "ws://pbx.example.test:8080/ws".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().unwrap());
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((web, response)) => {
            assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
            Ok(web)
        }
        Err(Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

async fn talk<S, F>(stream: F, server: &mut super::Roads, transport: Transport)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = S>,
{
    let (web, came) = tokio::join!(async { handshake(stream.await, "sip", None).await }, next(server));
    let (mut web, Came::Connected(connection, names)) = (web.unwrap(), came) else { panic!("no connection") };
    assert!(names.is_empty());
    // Keepalives of both kinds are answered, and no message.
    web.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(web.next().await.unwrap().unwrap(), Message::text("\r\n"));
    web.send(Message::Ping("p".into())).await.unwrap();
    assert_eq!(web.next().await.unwrap().unwrap(), Message::Pong("p".into()));
    // RFC 7118 5.1: a frame is a message, Content-Length or not; text or binary.
    let bare = "OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\nbody";
    for frame in [Message::text(bare), Message::binary(bare.as_bytes().to_vec())] {
        web.send(frame).await.unwrap();
        let (from, text) = message(server).await;
        assert_eq!((text.as_str(), from.transport, from.connection), (bare, transport, Some(connection)));
        server.send(from, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
        assert_eq!(web.next().await.unwrap().unwrap(), Message::text("SIP/2.0 200 OK\r\n\r\n"));
        server.send(from, b"SIP/2.0 200 \xff\r\n\r\n".to_vec());
        assert_eq!(web.next().await.unwrap().unwrap(), Message::binary(b"SIP/2.0 200 \xff\r\n\r\n".to_vec()));
    }
    // A page that goes says so.
    web.close(None).await.unwrap();
    assert!(matches!(next(server).await, Came::Disconnected(c, _) if c == connection));
}

#[tokio::test]
async fn frames_are_messages() {
    let mut server = bound(listening(Transport::Ws, ANY4)).await;
    let stream = TcpStream::connect(door(&server));
    talk(async { stream.await.unwrap() }, &mut server, Transport::Ws).await;
    let mut server = bound(listening(Transport::Wss, ANY4)).await;
    let stream = Pki::get().connect(door(&server), &version::TLS13);
    talk(stream, &mut server, Transport::Wss).await;
}

#[tokio::test]
async fn who_may_not_speak() {
    let origins = vec!["https://app.example.test".to_owned()];
    let mut server = bound(RoadsConfig { ws_origins: origins, ..listening(Transport::Ws, ANY4) }).await;
    let to = door(&server);
    let cases = [
        ("xmpp", None, Some(400)),
        ("sip", Some("https://evil.example.test"), Some(403)),
        ("sip", Some("https://app.example.test"), None),
        ("xmpp, sip", None, None),
    ];
    for (protocol, origin, refused) in cases {
        let client = async { handshake(TcpStream::connect(to).await.unwrap(), protocol, origin).await };
        // The server accepts while it is asked what came in.
        if refused.is_some() {
            let got = tokio::select! { got = client => got, came = next(&mut server) => panic!("{came:?}") };
            assert_eq!(got.err().map(|s| s.as_u16()), refused, "{protocol} {origin:?}");
        } else {
            let (got, came) = tokio::join!(client, next(&mut server));
            assert!(got.is_ok() && matches!(came, Came::Connected(..)), "{protocol} {origin:?}");
            drop(got);
            assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
        }
    }
}

#[tokio::test]
async fn an_endless_frame_ends() {
    let mut server = bound(listening(Transport::Ws, ANY4)).await;
    let stream = TcpStream::connect(door(&server)).await.unwrap();
    let (web, came) = tokio::join!(handshake(stream, "sip", None), next(&mut server));
    let mut web = web.unwrap();
    assert!(matches!(came, Came::Connected(..)));
    web.send(Message::text(options("a"))).await.unwrap();
    assert_eq!(message(&mut server).await.1, options("a"));
    let _ = web.send(Message::text("x".repeat(70_000))).await;
    assert!(matches!(next(&mut server).await, Came::Disconnected(..)));
    assert_eq!(server.stats().unframed, 1);
}
