//! The optional language model: any OpenAI-compatible endpoint, streamed, cut into clauses. It is asked
//! only for what the flows do not cover, and its failure is the flows' fallback, never silence.

use std::sync::Arc;
use std::time::Duration;

use privacy::consent::ConsentGate;
use privacy::egress::{DestinationKind, Purpose, Sort};
use serde::Deserialize;
use serde_json::json;
use sip::Private;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};
use zeroize::Zeroizing;

use crate::call::PromptLine;
use crate::call::driver::{Think, Thought, Warm};
use crate::config::Llm;
use crate::egress::{Cargo, Egress, Parcel, SendError};

/// Clauses between the model and the synthesizer; when full, the model's stream waits.
const CLAUSES: usize = 8;
/// An answer on the phone is short; what comes after is dropped.
const CHARS_MAX: usize = 600;
/// The same, in the model's own measure.
const TOKENS_MAX: u32 = 160;
/// One event of the stream; a longer one is not from a sane server.
const EVENT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    #[error("[llm] key_env names {0}, which is not set; export it or remove key_env")]
    NoKey(String),
    #[error(
        "[llm] url: the policy has no [[destination]] of kind \"llm\" with this scheme, host and port; declare it, or \
         remove [llm]"
    )]
    NotDeclared,
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the endpoint sent an event that is not JSON")]
    Event,
    #[error("the endpoint sent an event over {EVENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("nobody listens any more")]
    Dropped,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// By which way it is asked.
#[derive(Clone)]
enum Door {
    /// There is no policy, and it is a program on this machine: nothing leaves.
    Here,
    /// As the destination of this name; each call's consent decides.
    Destination(String),
}

/// What a request needs, apart from its words.
#[derive(Clone)]
struct Endpoint {
    egress: Egress,
    door: Door,
    url: String,
    model: String,
    key: Option<Private<String>>,
    patience: Duration,
}

impl Endpoint {
    fn new(config: &Llm, egress: &Egress, under_policy: bool) -> Result<Self, LlmError> {
        let key = match &config.key_env {
            Some(name) => Some(std::env::var(name).map(Private::new).map_err(|_| LlmError::NoKey(name.clone()))?),
            None => None,
        };
        let door = if under_policy {
            let destination = egress.serving(DestinationKind::Llm, &config.url).ok_or(LlmError::NotDeclared)?;
            Door::Destination(destination.name.clone())
        } else {
            Door::Here
        };
        let url = format!("{}/chat/completions", config.url.trim_end_matches('/'));
        let patience = Duration::from_millis(config.timeout_ms.into());
        Ok(Self { egress: egress.clone(), door, url, model: config.model.clone(), key, patience })
    }

    /// For an answer of at most so many tokens. Only keys that every OpenAI-compatible server knows: some refuse
    /// others. None: the call's consent does not allow it.
    fn pack(&self, gate: Option<&ConsentGate>, prompt: &[PromptLine], tokens_max: u32) -> Option<Parcel> {
        let messages: Vec<_> = prompt.iter().map(|l| json!({ "role": l.role, "content": l.text })).collect();
        let body = json!({ "model": self.model, "messages": messages, "stream": true, "max_tokens": tokens_max });
        let (sort, purpose, patience) = (Sort::Content, Purpose::Answer, self.patience);
        let body = Zeroizing::new(serde_json::to_vec(&body).ok()?);
        let cargo = Cargo { sort, purpose, body, name: String::new(), patience };
        let parcel = match &self.door {
            Door::Here => self.egress.pack_here(&self.url, cargo)?,
            Door::Destination(name) => self.egress.pack(name, gate?, cargo).ok()?.at(&self.url)?,
        };
        Some(parcel.with_bearer(self.key.clone()))
    }
}

/// Makes the function that calls use to think. Must be called on the runtime that will do the waiting.
///
/// # Errors
/// Where the key is not set, or there is a policy that does not know the model.
pub fn think(config: &Llm, egress: &Egress, under_policy: bool) -> Result<Think, LlmError> {
    let runtime = tokio::runtime::Handle::current();
    let endpoint = Endpoint::new(config, egress, under_policy)?;
    Ok(Arc::new(move |gate: Option<&ConsentGate>, utterance: u64, prompt: &[PromptLine]| {
        let parcel = endpoint.pack(gate, prompt, TOKENS_MAX)?;
        let (clauses, queue) = mpsc::channel(CLAUSES);
        runtime.spawn(async move {
            let streamed = tokio::select! {
                biased;
                // The call went on without it, or consent was taken back: drop the connection now, not at its next word.
                () = clauses.closed() => return,
                streamed = stream(&parcel, utterance, &clauses) => streamed,
            };
            let end = match streamed {
                Ok(()) => Thought::End { utterance },
                Err(StreamError::Dropped) => return,
                Err(error) => {
                    warn!(%error, "the language model failed; the flows' fallback is said");
                    Thought::Failed { utterance }
                }
            };
            let _ = clauses.send(end).await;
        });
        Some(queue)
    }))
}

/// Makes the function that lets the model read a prompt ahead: servers keep what they have read, and the question that
/// follows begins with the same lines. One token is asked for, and thrown away.
///
/// # Errors
/// As above.
pub fn warm(config: &Llm, egress: &Egress, under_policy: bool) -> Result<Warm, LlmError> {
    let runtime = tokio::runtime::Handle::current();
    let endpoint = Endpoint::new(config, egress, under_policy)?;
    Ok(Arc::new(move |gate: Option<&ConsentGate>, prompt: &[PromptLine]| {
        let parcel = endpoint.pack(gate, prompt, 1)?;
        let (wanted, mut unwanted) = oneshot::channel();
        runtime.spawn(async move {
            let read = async {
                let mut reply = parcel.send().await?.accepted()?;
                while reply.chunk().await?.is_some() {}
                Ok::<(), SendError>(())
            };
            tokio::select! {
                biased;
                _ = &mut unwanted => {}
                read = read => if let Err(error) = read {
                    debug!(%error, "the language model could not read ahead");
                },
            }
        });
        Some(wanted)
    }))
}

async fn stream(parcel: &Parcel, utterance: u64, clauses: &mpsc::Sender<Thought>) -> Result<(), StreamError> {
    let mut reply = parcel.send().await?.accepted()?;
    let mut events: Vec<u8> = vec![];
    let mut cutter = Cutter::default();
    while let Some(bytes) = reply.chunk().await? {
        events.extend_from_slice(&bytes);
        while let Some(end) = events.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = events.drain(..=end).collect();
            let Some(content) = content_of(&line)? else { continue };
            for text in cutter.push(&content) {
                send(clauses, utterance, text).await?;
            }
        }
        if events.len() > EVENT_BYTES_MAX {
            return Err(StreamError::TooLong);
        }
    }
    match cutter.rest() {
        Some(text) => send(clauses, utterance, text).await,
        None => Ok(()),
    }
}

async fn send(clauses: &mpsc::Sender<Thought>, utterance: u64, text: String) -> Result<(), StreamError> {
    clauses.send(Thought::Clause { utterance, text }).await.map_err(|_| StreamError::Dropped)
}

/// The text in one line of a server-sent event stream (WHATWG HTML 9.2); none for keep-alives and `[DONE]`.
fn content_of(line: &[u8]) -> Result<Option<String>, StreamError> {
    let line = line.trim_ascii();
    let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(None) };
    if data == b"[DONE]" {
        return Ok(None);
    }
    let chunk: Chunk = serde_json::from_slice(data).map_err(|_| StreamError::Event)?;
    Ok(chunk.choices.into_iter().next().and_then(|c| c.delta.content))
}

/// Cuts a stream of text into clauses that can be spoken.
#[derive(Default)]
struct Cutter {
    text: String,
    chars: usize,
}

impl Cutter {
    fn push(&mut self, more: &str) -> Vec<String> {
        let mut clauses = vec![];
        for c in more.chars() {
            self.chars += 1;
            if self.chars > CHARS_MAX {
                break;
            }
            // A point inside a number is followed by a digit, one at a clause's end by space.
            if c.is_whitespace() && self.ends_clause() {
                clauses.extend(self.take());
            } else {
                self.text.push(if c == '\n' { ' ' } else { c });
            }
        }
        clauses
    }

    fn ends_clause(&self) -> bool {
        const COMMA_AFTER: usize = 25;
        self.text.ends_with(['.', '!', '?', ';', ':'])
            || (self.text.ends_with(',') && self.text.chars().count() >= COMMA_AFTER)
    }

    fn rest(&mut self) -> Option<String> {
        self.take()
    }

    fn take(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` separates what arrives and what leaves.
    fn check(arrives: &str, leaves: &str) {
        let mut cutter = Cutter::default();
        let mut clauses: Vec<String> = arrives.split('|').flat_map(|t| cutter.push(t)).collect();
        clauses.extend(cutter.rest());
        assert_eq!(clauses.join("|"), leaves);
    }

    #[test]
    fn a_stream_is_cut_where_speech_can_pause() {
        check("We open at| nine. See", "We open at nine.|See");
        check("It costs 4|.50 in all. Yes", "It costs 4.50 in all.|Yes");
        check("Yes, we do", "Yes, we do");
        check("If you come by bus, get off at the clinic", "If you come by bus, get off at the clinic");
        check("If you come by the bus number nine, get off", "If you come by the bus number nine,|get off");
        check("", "");
    }

    #[test]
    fn events_are_read_and_nonsense_is_refused() {
        let text = |line: &str| content_of(line.as_bytes()).map_err(|e| e.to_string());
        assert_eq!(text("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\r\n"), Ok(Some("Hi".into())));
        assert_eq!(text(": keep-alive\n"), Ok(None));
        assert_eq!(text("data: [DONE]\n"), Ok(None));
        assert_eq!(text("data: {\"choices\":[]}\n"), Ok(None));
        assert!(text("data: <html>\n").is_err());
    }

    async fn config(listener: &tokio::net::TcpListener) -> Llm {
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        Llm { url, model: "small".into(), key_env: None, timeout_ms: 4000, remote: false, warm: None }
    }

    /// Without a policy.
    fn here() -> Egress {
        crate::egress::tests::egress(&Arc::default(), vec![])
    }

    /// The consent decides, each time it is asked, and what it allowed is in the log.
    #[tokio::test]
    async fn a_model_of_others_is_asked_only_where_it_was_granted() {
        use crate::egress::tests::{Log, Sink, destination, egress, gate};
        let log: Arc<Log> = Arc::default();
        let sink = Sink::start(&log, 200, "data: [DONE]\n\n").await;
        let base = sink.url.trim_end_matches("/hook");
        let model = destination("model", "llm", base, "country = \"US\"\nabroad = true");
        let egress = egress(&log, vec![model]);
        let url = format!("{base}/v1");
        let config = Llm { url, model: "m".into(), key_env: None, timeout_ms: 4000, remote: true, warm: None };
        let elsewhere = Llm { url: "http://127.0.0.1:1/v1".into(), ..config.clone() };
        assert!(matches!(think(&elsewhere, &egress, true), Err(LlmError::NotDeclared)));
        let think = think(&config, &egress, true).expect("declared");
        let prompt = prompt(&[("user", "Do you fix cars?")]);
        assert!(think(None, 1, &prompt).is_none(), "a consent that is not on record is none");
        for scopes in [&["ai_process"][..], &["ai_process", "third_party:model"], &["third_party:model", "xborder:US"]]
        {
            assert!(think(Some(&gate(scopes)), 1, &prompt).is_none(), "{scopes:?}");
        }
        assert!(log.rows().is_empty());
        let granted = gate(&["ai_process", "third_party:model", "xborder:US"]);
        let mut thoughts = think(Some(&granted), 1, &prompt).expect("granted");
        // The sink serves another path: what counts is that it was asked, and that the log says so.
        assert!(matches!(thoughts.recv().await, Some(Thought::Failed { utterance: 1 })));
        assert_eq!(log.ends(1).await, [Some(privacy::egress::Ended::Sent)]);
        assert!(log.rows()[0].abroad);
    }

    fn prompt(lines: &[(&'static str, &str)]) -> Vec<PromptLine> {
        lines.iter().map(|(role, text)| PromptLine { role, text: (*text).to_owned() }).collect()
    }

    /// Servers keep what they have read by its beginning: what is read ahead has to be the beginning of what is asked.
    #[tokio::test]
    async fn what_is_read_ahead_is_the_beginning_of_what_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let config = config(&listener).await;
        let (told, mut asked) = mpsc::channel(4);
        let answer = move |axum::Json(body): axum::Json<serde_json::Value>| {
            let told = told.clone();
            async move {
                let _ = told.send(body).await;
                "data: {\"choices\":[{\"delta\":{\"content\":\"We do. \"}}]}\n\ndata: [DONE]\n\n"
            }
        };
        let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let egress = here();
        let (think, warm) =
            (think(&config, &egress, false).expect("starts"), warm(&config, &egress, false).expect("starts"));

        let so_far = prompt(&[("system", "You answer the telephone."), ("assistant", "How can I help you?")]);
        let mut question = so_far.clone();
        question.extend(prompt(&[("user", "Do you fix cars?")]));
        let wanted = warm(None, &so_far).expect("it is on this machine");
        let first = asked.recv().await.expect("it reads ahead");
        let mut thoughts = think(None, 7, &question).expect("it is on this machine");
        let second = asked.recv().await.expect("it is asked");
        assert!(matches!(thoughts.recv().await, Some(Thought::Clause { utterance: 7, text }) if text == "We do."));
        assert!(matches!(thoughts.recv().await, Some(Thought::End { utterance: 7 })));
        drop(wanted);

        let messages = |body: &serde_json::Value| body["messages"].as_array().expect("messages").clone();
        assert_eq!(messages(&first)[..], messages(&second)[..2]);
        assert_eq!((&first["max_tokens"], &second["max_tokens"]), (&json!(1), &json!(160)));
        // Nothing but what every such server knows: some refuse other keys.
        for body in [&first, &second] {
            let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["max_tokens", "messages", "model", "stream"]);
        }
    }

    #[tokio::test]
    async fn reading_ahead_is_broken_off_when_it_is_not_wanted() {
        use tokio::io::AsyncReadExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let warm = warm(&config(&listener).await, &here(), false).expect("starts");
        let wanted = warm(None, &prompt(&[("system", "You answer the telephone.")])).expect("it is on this machine");
        let (mut connection, _) = listener.accept().await.expect("it connects");
        let mut bytes = vec![0; 4096];
        assert!(connection.read(&mut bytes).await.expect("it asks") > 0);
        drop(wanted);
        // Only whoever hangs up gives an end.
        while connection.read(&mut bytes).await.expect("a close") > 0 {}
    }
}
