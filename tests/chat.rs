//! Chats over real WebSockets with a gateway in this process, its engines of wood: asked, answered, agreed to, found
//! again; kept where the caller agreed, and nowhere else; refused with a reason.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dauys::call::CallId;
use dauys::config::Config;
use dauys::gateway::{Gateway, Running};
use dauys::store::rows;
use futures_util::{SinkExt, StreamExt};
use models::Engines;
use models::fake::Script;
use privacy::consent::Past;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(10);
const QUESTION: &str = "What time do you open on Saturday?";

struct Place {
    running: Running,
    data: PathBuf,
}

impl Place {
    async fn new(name: &str, ports: u16, web: &str) -> Self {
        let data = std::env::temp_dir().join(format!("dauys-chat-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        let text = format!(
            "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[rtp]\nports = [{ports}, {}]\n\
             [calls]\nmax = 5\n[store]\ndir = {data:?}\n[web]\nbind = \"127.0.0.1:0\"\n{web}\n[policy]\nfile = \"policy/default.toml\"\n[[agent]]\nfile = \"agents/front-desk.toml\"\n",
            ports + 10
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/test.toml");
        let config = Config::parse(&path, &text, std::iter::empty()).expect("a config");
        let engines = |_: &_| Ok(Engines::scripted(Script::new(), 8));
        let running = Gateway::start_with(config, &|_| {}, engines).await.expect("it starts");
        Self { running, data }
    }

    async fn chat(&self, path: &str) -> Chat {
        self.try_chat(path, None).await.unwrap_or_else(|(status, body)| panic!("{path}: {status} {body}"))
    }

    /// Or status and body.
    async fn try_chat(&self, path: &str, origin: Option<&str>) -> Result<Chat, (u16, String)> {
        let at = self.running.http;
        let mut request = format!("ws://{at}/chat/{path}").into_client_request().expect("an address");
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().expect("a header"));
        }
        let stream = TcpStream::connect(at).await.expect("HTTP answers");
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Chat { socket, heard: vec![] }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(other) => panic!("{path}: {other}"),
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.running.http)).await.expect("HTTP answers");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// The privacy desk, as this machine's operator.
    async fn ask_desk(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/api/v1/privacy/{path}", self.running.http);
        let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("HTTP answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Every step of a call's consent that is on record, which have to be one history.
    async fn consent(&self, call: &str) -> Vec<String> {
        let store = &self.running.gateway.store;
        store.flush().await;
        let call = CallId::parse(call).expect("an id");
        let events = rows::events(store.db(), store.tenant(), call).await.expect("reads");
        Past::of(&events).expect("one history");
        events.iter().map(|event| format!("{} by {}", event.state, event.channel)).collect()
    }

    /// An erasure may still be at it.
    async fn is_empty_of_lines(&self) -> bool {
        let db = self.running.gateway.store.db();
        for _ in 0..100 {
            if db.number("SELECT count(*) FROM lines", &[]).await.expect("counts") == 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// The call's record, once it has ended.
    async fn ended(&self, call: &str) -> Value {
        for _ in 0..200 {
            let (status, body) = self.get(&format!("/api/v1/calls/{call}")).await;
            let record: Value = serde_json::from_str(&body).unwrap_or_default();
            if status == 200 && record["ended"].is_string() {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("call {call} does not end");
    }

    async fn stop(self) {
        self.running.stop().await;
        let _ = std::fs::remove_dir_all(self.data);
    }
}

struct Chat {
    socket: WebSocketStream<TcpStream>,
    /// Everything so far.
    heard: Vec<Value>,
}

impl Chat {
    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("it is sent");
    }

    async fn write(&mut self, text: &str) {
        self.say(json!({"type": "text", "text": text})).await;
    }

    /// The next message; none once it is closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    self.heard.push(message.clone());
                    return Some(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        while let Some(message) = self.next().await {
            if is_it(&message) {
                return message;
            }
        }
        panic!("it closed before {what}: {:#?}", self.heard);
    }

    async fn kind(&mut self, kind: &str) -> Value {
        self.until(kind, |m| m["type"] == kind).await
    }

    async fn caption(&mut self, who: &str, words: &str) -> Value {
        let has = |m: &Value| m["text"].as_str().is_some_and(|text| text.contains(words));
        self.until(words, |m| m["type"] == "caption" && m["who"] == who && m["final"] == true && has(m)).await
    }

    /// It is closed by the other side.
    async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_answered_and_kept_where_the_caller_agreed() {
    let place = Place::new("yes", 47_400, "").await;
    let mut chat = place.chat("front-desk").await;
    let hello = chat.kind("hello").await;
    assert_eq!((&hello["agent"], &hello["language"]), (&json!("front-desk"), &json!("en")));
    let told = chat.kind("disclosure").await;
    assert_eq!((&told["ai"], &told["operator"]), (&json!(true), &json!("Bright Smile Dental")));
    let asked = chat.kind("consent").await;
    assert_eq!((&asked["scope"], &asked["policy_url"]), (&json!("transcript"), &told["url"]));
    chat.caption("agent", "AI assistant").await;
    let version = &asked["policy_version"];
    chat.say(json!({"type": "consent", "scope": "transcript", "grant": true, "policy_version": version})).await;
    assert_eq!(chat.kind("consented").await["granted"], true);
    chat.write(QUESTION).await;
    chat.caption("caller", QUESTION).await;
    chat.caption("agent", "nine").await;
    assert_eq!(chat.kind("state").await["state"], "listening");
    chat.write("Thank you, goodbye.").await;
    assert_eq!(chat.kind("ended").await["cause"], "completed");
    chat.closed().await;
    let call = hello["call"].as_str().expect("an id");
    let record = place.ended(call).await;
    assert_eq!((&record["consent"], &record["state"]), (&json!("granted by click"), &json!("completed")));
    assert_eq!(record["codec"], "text");
    let (_, transcript) = place.get(&format!("/api/v1/calls/{call}/transcript")).await;
    assert!(transcript.contains(QUESTION) && transcript.contains("nine"), "{transcript}");
    assert!(common::search_bytes(&[&place.data], "saturday").is_empty(), "what is kept is sealed");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_consent_nothing_of_a_chat_is_kept() {
    let place = Place::new("no", 47_420, "").await;
    let mut chat = place.chat("front-desk").await;
    let call = chat.kind("hello").await["call"].as_str().expect("an id").to_owned();
    chat.say(json!({"type": "consent", "grant": false})).await;
    assert_eq!(chat.kind("consented").await["granted"], false);
    chat.write(QUESTION).await;
    chat.caption("agent", "nine").await;
    chat.say(json!({"type": "bye"})).await;
    chat.closed().await;
    let record = place.ended(&call).await;
    assert_eq!((&record["consent"], &record["state"]), (&json!("refused by click"), &json!("caller_hung_up")));
    assert_eq!(place.get(&format!("/api/v1/calls/{call}/transcript")).await.0, 403);
    // Who takes their consent back leaves nothing either.
    let mut chat = place.chat("front-desk").await;
    let call = chat.kind("hello").await["call"].as_str().expect("an id").to_owned();
    chat.write("yes").await;
    chat.write(QUESTION).await;
    chat.caption("agent", "nine").await;
    chat.say(json!({"type": "withdraw"})).await;
    chat.until("a no", |m| m["type"] == "consented" && m["granted"] == false).await;
    chat.say(json!({"type": "bye"})).await;
    chat.closed().await;
    assert_eq!(place.ended(&call).await["consent"], "withdrawn");
    let Place { running, data } = place;
    running.stop().await;
    let found = common::search_bytes(&[&data], "saturday");
    assert!(found.is_empty(), "kept in {found:?}");
    let _ = std::fs::remove_dir_all(data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_comes_back_goes_on_and_one_that_does_not_ends() {
    let place = Place::new("resume", 47_440, "reconnect_s = 5").await;
    let mut chat = place.chat("front-desk").await;
    let hello = chat.kind("hello").await;
    chat.say(json!({"type": "consent", "grant": true})).await;
    chat.kind("consented").await;
    chat.write(QUESTION).await;
    let answer = chat.caption("agent", "nine").await;
    drop(chat);
    let secret = hello["resume"].as_str().expect("a secret");
    let mut chat = place.chat(&format!("front-desk?resume={secret}")).await;
    assert_eq!(chat.kind("hello").await["call"], hello["call"]);
    assert_eq!(chat.caption("agent", "nine").await["id"], answer["id"], "it is shown again");
    assert_eq!(chat.kind("consented").await["granted"], true, "and not asked again");
    assert_eq!(place.get(&format!("/chat/front-desk?resume={secret}")).await.0, 426);
    // Another page with the secret takes its place.
    let mut other = place.chat(&format!("front-desk?resume={secret}")).await;
    chat.closed().await;
    other.kind("consented").await;
    other.write("And on Sunday?").await;
    other.caption("agent", "Sunday").await;
    for wrong in ["front-desk?resume=00", "nobody?resume=00", &format!("front-desk?resume={}", "0".repeat(32))] {
        let (status, body) = place.try_chat(wrong, None).await.err().expect("refused");
        assert!(status == 404 && body.contains("begin a new one"), "{wrong}: {status} {body}");
    }
    drop(other);
    let call = hello["call"].as_str().expect("an id");
    assert_eq!(place.ended(call).await["state"], "lost");
    assert_eq!(place.try_chat(&format!("front-desk?resume={secret}"), None).await.err().expect("over").0, 404);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_chat_is_told_why() {
    let place = Place::new("refused", 47_460, "calls_per_address = 2\norigins = [\"https://example.com\"]").await;
    let refused = async |path: &str, origin: Option<&str>| place.try_chat(path, origin).await.err().expect("refused");
    let (status, body) = refused("front-desk", Some("https://evil.example")).await;
    assert!(status == 403 && body.contains("[web] origins"), "{status} {body}");
    assert_eq!(refused("nobody", None).await.0, 404);
    let (status, body) = place.get("/chat/front-desk").await;
    assert!(status == 426 && body.contains("WebSocket"), "{status} {body}");
    let first = place.try_chat("front-desk", Some("https://example.com")).await.map_err(|e| e.1).expect("allowed");
    let second = place.chat("front-desk").await;
    let (status, body) = refused("front-desk", None).await;
    assert!(status == 429 && body.contains("calls_per_address"), "{status} {body}");
    // A page that reads the address learns the same.
    assert_eq!(place.get("/chat/front-desk").await.0, 429);
    assert_eq!(place.get("/chat/nobody").await.0, 404);
    assert_eq!(place.get(&format!("/chat/front-desk?resume={}", "0".repeat(32))).await.0, 404);
    drop((first, second));
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_talks_nonsense_is_cut_off() {
    let place = Place::new("nonsense", 47_480, "").await;
    let mut chat = place.chat("front-desk").await;
    for batch in [10, 9] {
        for _ in 0..batch {
            chat.say(json!({"type": "sing"})).await;
        }
        // No more at once than may wait for the call.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    chat.write(QUESTION).await;
    chat.caption("agent", "nine").await;
    chat.say(json!(["nothing"])).await;
    let error = chat.kind("error").await;
    assert!(error["text"].as_str().is_some_and(|text| text.contains("page-messages.md")), "{error}");
    chat.closed().await;
    // What is too long, or no text at all, closes at once.
    for wrong in [Message::text("x".repeat(5000)), Message::binary(vec![0; 10])] {
        let mut chat = place.chat("front-desk").await;
        chat.kind("hello").await;
        chat.socket.send(wrong).await.expect("it is sent");
        chat.closed().await;
    }
    place.stop().await;
}

/// The desk withdraws, or erases, while the caller is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_desk_takes_back_ends_in_the_call_that_goes_on() {
    let place = Place::new("desk", 47_500, "").await;
    for path in ["claims", "erasures"] {
        let mut chat = place.chat("front-desk").await;
        let call = chat.kind("hello").await["call"].as_str().expect("an id").to_owned();
        chat.write("yes").await;
        chat.until("a yes", |m| m["type"] == "consented" && m["granted"] == true).await;
        chat.write(QUESTION).await;
        chat.caption("agent", "nine").await;
        let (body, status, last) = match path {
            "claims" => (json!({"what": "withdrawal", "who": {"call": call}, "call": call}), 201, "withdrawn by api"),
            _ => (json!({"who": {"call": call}, "why": "asked by telephone, case 12"}), 202, "erased by api"),
        };
        let (got, answer) = place.ask_desk(path, body).await;
        assert_eq!(got, status, "{answer}");
        chat.until("a no", |m| m["type"] == "consented" && m["granted"] == false).await;
        chat.caption("agent", "deleting").await;
        assert_eq!(place.get(&format!("/api/v1/calls/{call}/transcript")).await.0, 403, "{path}: at once");
        chat.write("And on Sunday?").await;
        chat.caption("agent", "Sunday").await;
        chat.say(json!({"type": "bye"})).await;
        chat.closed().await;
        assert_eq!(place.consent(&call).await, ["asked by text", "granted in writing by text", last], "{path}");
        assert!(place.is_empty_of_lines().await, "{path}");
    }
    place.stop().await;
}
