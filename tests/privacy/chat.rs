//! A page that writes with the demo's agent by WebSocket. It keeps nothing of what it reads.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Chat(WebSocketStream<TcpStream>);

impl Chat {
    pub async fn open(at: SocketAddr) -> Self {
        let request = format!("ws://{at}/chat/front-desk").into_client_request().expect("an address");
        let stream = TcpStream::connect(at).await.expect("HTTP answers");
        Self(client_async(request, stream).await.expect("a chat").0)
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("it is sent");
    }

    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.unwrap_or_else(|_| panic!("waited for {what}")) {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if is_it(&message) {
                        return message;
                    }
                }
                Some(Ok(_)) => {}
                _ => panic!("it closed before {what}"),
            }
        }
    }
}
