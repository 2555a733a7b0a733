//! What the desk's tests stand on: a vault, a way out to one sink, and the privacy API on a port of this machine. It
//! keeps nothing behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use dauys::config::Config;
use dauys::desk::Desk;
use dauys::dialogue::{Details, Outcome};
use dauys::egress::{Completed, Egress};
use dauys::http::{Doors, Office, privacy_router};
use privacy::consent::ConsentGate;
use privacy::egress::{Broker, Destination};
use privacy::register::Clocks;
use privacy::{Country, Scope};
use serde_json::Value;
use sip::Private;

use crate::stage::{On, Stage};

pub const ARU: &str = "aru's token, sixteen and more";
pub const DANA: &str = "dana's token, sixteen and more";
pub const AUDITOR: &str = "kim's token, sixteen and more";
pub const ADMIN: &str = "root's token, sixteen and more";
pub const SYSTEM: &str = "the API's token, sixteen and more";

type Came = Arc<Mutex<Vec<String>>>;
type Answers = Arc<Mutex<(u16, String)>>;

pub struct House {
    pub stage: Stage,
    egress: Egress,
    url: String,
    client: reqwest::Client,
    came: Came,
    answers: Answers,
}

fn config() -> Config {
    let base = "[[agent]]\nfile = \"agents/front-desk.toml\"\n";
    Config::parse(std::path::Path::new("configs/t.toml"), base, std::iter::empty()).expect("a configuration")
}

fn doors(token: Option<&str>) -> Doors {
    let staff = [
        ("aru", "operator", ARU),
        ("dana", "privacy_officer", DANA),
        ("kim", "auditor", AUDITOR),
        ("root", "admin", ADMIN),
    ];
    let mut config = config();
    let mut tokens = BTreeMap::new();
    for (name, role, token) in staff {
        let entry = format!("name = \"{name}\"\nrole = \"{role}\"\ntoken_env = \"TOKEN_{name}\"");
        config.staff.push(toml::from_str(&entry).expect("staff"));
        tokens.insert(format!("TOKEN_{name}"), token);
    }
    let read = |name: &str| Ok(Private::new(tokens.get(name).copied().unwrap_or_default().to_owned()));
    Doors::new(&config, token.map(|token| Private::new(token.to_owned())).as_ref(), &read).expect("doors")
}

impl House {
    pub async fn new(name: &str) -> Self {
        Self::with(name, doors(Some(SYSTEM))).await
    }

    pub async fn open_to_this_machine(name: &str) -> Self {
        Self::with(name, doors(None)).await
    }

    async fn with(name: &str, doors: Doors) -> Self {
        let stage = Stage::new(name, On::Sqlite).await;
        let came = Came::default();
        let answers: Answers = Arc::new(Mutex::new((200, String::new())));
        let sink = sink(&came, &answers).await;
        let destination = |name: &str, kind: &str| {
            let text = format!("name = \"{name}\"\nkind = \"{kind}\"\nurl = \"{sink}\"\ncountry = \"KZ\"\nown = true");
            Destination::read(&text.parse().expect("TOML")).expect("a destination")
        };
        let all = [destination("copy", "export"), destination("crm", "connected")];
        let broker = Broker::new(stage.vault.tenant().clone(), Country::new("KZ"), all).expect("a broker");
        let egress = Egress::open(broker, BTreeMap::new(), Arc::new(stage.vault.clone())).expect("a client");
        let desk = Desk::new(stage.vault.clone(), egress.clone(), Clocks::default());
        let router = privacy_router(Arc::new(Office { desk, doors }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/api/v1/privacy", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { stage, egress, url, client: reqwest::Client::new(), came, answers }
    }

    /// Status and body; of an empty token none is shown.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}/{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        answered(request).await
    }

    pub async fn by_host(&self, path: &str, host: &str) -> (u16, Value) {
        answered(self.client.get(format!("{}/{path}", self.url)).header("host", host)).await
    }

    /// As a page elsewhere could send it without being allowed to.
    pub async fn plain(&self, path: &str, token: &str, body: &str) -> u16 {
        let request = self.client.post(format!("{}/{path}", self.url)).bearer_auth(token);
        answered(request.header("content-type", "text/plain").body(body.to_owned())).await.0
    }

    /// A call that is over, in which this was said.
    pub async fn call(&self, id: u64, scopes: &[Scope], said: &str) -> ConsentGate {
        let gate = self.stage.call(id, scopes);
        self.stage.say(&gate, 10, said);
        self.stage.record(id, self.stage.subject(), "completed");
        self.stage.vault.flush().await;
        gate
    }

    /// The caller booked something, and the systems that may know were told.
    pub async fn complete(&self, gate: &ConsentGate) {
        let before = self.came().len();
        let outcome = Outcome::Booked(Details { form: "book".into(), ..Details::default() });
        self.egress.completed(gate, &Completed { agent: "front-desk", number: 0, outcome: &outcome });
        for _ in 0..200 {
            if self.came().len() > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn erase(&self) {
        self.stage.vault.erase_all(&self.egress).await;
    }

    /// What the sink was sent.
    pub fn came(&self) -> Vec<String> {
        self.came.lock().expect("whole").clone()
    }

    /// What the sink answers from now on.
    pub fn answer(&self, status: u16, body: &str) {
        *self.answers.lock().expect("whole") = (status, body.into());
    }

    pub async fn close(self) {
        self.stage.vault.close().await;
        self.stage.clean();
    }
}

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("HTTP answers");
    let status = answer.status().as_u16();
    let body = answer.text().await.expect("a body");
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

async fn sink(came: &Came, answers: &Answers) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (came, answers) = (Arc::clone(came), Arc::clone(answers));
    let handler = move |body: String| async move {
        came.lock().expect("whole").push(body);
        let (status, body) = answers.lock().expect("whole").clone();
        (StatusCode::from_u16(status).expect("a status"), body)
    };
    let router = Router::new().route("/hook", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
