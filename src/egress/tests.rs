//! What arrives at a destination and what does not, over real connections on this machine.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::privacy::consent::{Channel, Grant};
use ::privacy::egress::Ended;
use ::privacy::erasure::{AskedBy, Inventory, Job, JobId, Outcome as Step, Rules};
use ::privacy::policy::{Language, TextHash, Told as Policy, Version};
use ::privacy::roles::{Approval, ApprovalId, Handing, Member, Person, Role, Staff, Wanted, Why};
use ::privacy::{CallId, Country, Scope, SubjectId, TenantId};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::*;
use crate::dialogue::{Details, Outcome};
use crate::vault::fan::Answered;

const SUBJECT: SubjectId = SubjectId([7; 16]);

/// A log in memory that can be made to fail.
#[derive(Default)]
pub(crate) struct Log {
    rows: Mutex<Vec<Transfer>>,
    broken: AtomicBool,
}

impl TransferLog for Log {
    fn write(&self, row: Transfer) -> BoxFuture<'_, Result<(), NotLogged>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(NotLogged);
            }
            let mut rows = self.rows.lock().expect("not poisoned");
            rows.retain(|known| known.id != row.id);
            rows.push(row);
            Ok(())
        })
    }
}

impl Log {
    pub(crate) fn rows(&self) -> Vec<Transfer> {
        self.rows.lock().expect("not poisoned").clone()
    }

    /// How each sending ended, once that is written.
    pub(crate) async fn ends(&self, count: usize) -> Vec<Option<Ended>> {
        for _ in 0..200 {
            let rows = self.rows();
            if rows.len() == count && rows.iter().all(|row| row.ended.is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.rows().iter().map(|row| row.ended).collect()
    }
}

/// A destination: keeps what came, and answers one thing.
pub(crate) struct Sink {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// Rows that the log had when something came.
    logged: Arc<AtomicUsize>,
}

impl Sink {
    pub(crate) async fn start(log: &Arc<Log>, status: u16, answer: impl Into<String>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let came: Arc<Mutex<Vec<(HeaderMap, Value)>>> = Arc::default();
        let logged: Arc<AtomicUsize> = Arc::default();
        let (answer, kept, counted, log) = (answer.into(), Arc::clone(&came), Arc::clone(&logged), Arc::clone(log));
        let handler = move |headers: HeaderMap, body: String| async move {
            counted.store(log.rows().len(), Ordering::SeqCst);
            kept.lock().expect("not poisoned").push((headers, serde_json::from_str(&body).expect("JSON")));
            let status = StatusCode::from_u16(status).expect("a status");
            if status.is_redirection() {
                return (status, [("location", answer)]).into_response();
            }
            (status, answer).into_response()
        };
        let router = Router::new().route("/hook", axum::routing::post(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, came, logged }
    }

    fn bodies(&self) -> Vec<Value> {
        self.came.lock().expect("not poisoned").iter().map(|(_, body)| body.clone()).collect()
    }

    async fn wait_for(&self, count: usize) -> Vec<Value> {
        for _ in 0..200 {
            if self.bodies().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.bodies()
    }
}

pub(crate) fn destination(name: &str, kind: &str, url: &str, more: &str) -> Destination {
    let text = format!("name = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{more}");
    Destination::read(&text.parse().expect("TOML")).expect("a destination")
}

const HOME: &str = "country = \"KZ\"\nown = true";

fn tenant() -> TenantId {
    TenantId::new("clinic").expect("a name")
}

pub(crate) fn egress(log: &Arc<Log>, destinations: Vec<Destination>) -> Egress {
    let broker = Broker::new(tenant(), Country::new("KZ"), destinations).expect("a broker");
    let secrets = BTreeMap::from([("hook".to_owned(), Private::new("a secret of sixteen".to_owned()))]);
    Egress::open(broker, secrets, Arc::clone(log) as Arc<dyn TransferLog>).expect("a client")
}

/// A call whose caller granted these.
pub(crate) fn gate(scopes: &[&str]) -> ConsentGate {
    let told = Policy {
        version: Version::new("1").expect("a version"),
        text: TextHash::of("We keep a text."),
        language: Language::new("en").expect("a language"),
        channel: Channel::Phone,
    };
    let mut gate = ConsentGate::new(CallId(0xab), SUBJECT, told);
    for (n, scope) in scopes.iter().enumerate() {
        let scope: Scope = scope.parse().expect("a scope");
        let at = Time(i64::try_from(n).expect("few"));
        assert!(gate.ask(at, &scope, TextHash::of("May we?")) && gate.grant(at, &scope, Grant::Key));
    }
    gate
}

fn booking() -> Outcome {
    Outcome::Booked(Details {
        form: "book".into(),
        day: Some(jiff::civil::date(2027, 1, 31)),
        time: Some(jiff::civil::time(9, 30, 0, 0)),
        name: Some("Zanzibar".into()),
        phone: Some("+77011234567".into()),
    })
}

fn tell(egress: &Egress, gate: &ConsentGate) {
    egress.completed(gate, &Completed { agent: "front-desk", number: 0, outcome: &booking() });
}

#[tokio::test]
async fn a_booking_goes_out_as_far_as_it_was_agreed_to() {
    for (scopes, details) in [
        (
            &["transcript"][..],
            json!({"day": "2027-01-31", "time": "09:30", "name": "Zanzibar", "phone": "+77011234567"}),
        ),
        (&[], Value::Null),
    ] {
        let log = Arc::default();
        let sink = Sink::start(&log, 204, "").await;
        let egress = egress(&log, vec![destination("hook", "webhook", &sink.url, HOME)]);
        tell(&egress, &gate(scopes));
        let came = sink.wait_for(1).await;
        assert_eq!(came.len(), 1);
        assert_eq!(came[0]["details"], details);
        assert_eq!((&came[0]["form"], &came[0]["outcome"]), (&json!("book"), &json!("booked")));
        assert_eq!(came[0]["call"], "00000000000000ab");
        assert_eq!(sink.logged.load(Ordering::SeqCst), 1, "the row is there before the first byte");
        assert_eq!(log.ends(1).await, [Some(Ended::Sent)]);
        let row = &log.rows()[0];
        assert_eq!((row.destination.as_str(), row.subject, row.call), ("hook", SUBJECT, Some(CallId(0xab))));
        assert_eq!(row.sort, if details.is_null() { Sort::Metadata } else { Sort::Content });
    }
}

#[tokio::test]
async fn others_and_other_countries_need_a_yes_of_their_own() {
    for (more, scopes, comes) in [
        ("country = \"KZ\"", &["transcript"][..], false),
        ("country = \"KZ\"", &["transcript", "third_party:hook"], true),
        ("country = \"US\"\nabroad = true", &["transcript", "third_party:hook"], false),
        ("country = \"US\"\nabroad = true", &["transcript", "third_party:hook", "xborder:US"], true),
    ] {
        let log = Arc::default();
        let sink = Sink::start(&log, 200, "").await;
        let egress = egress(&log, vec![destination("hook", "webhook", &sink.url, more)]);
        tell(&egress, &gate(scopes));
        if comes {
            assert_eq!(sink.wait_for(1).await.len(), 1, "{more} {scopes:?}");
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(sink.bodies().is_empty() && log.rows().is_empty(), "{more} {scopes:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_logged_is_not_sent() {
    let log: Arc<Log> = Arc::default();
    let sink = Sink::start(&log, 200, "").await;
    let egress = egress(&log, vec![destination("hook", "webhook", &sink.url, HOME)]);
    let cargo = || Cargo {
        sort: Sort::Metadata,
        purpose: Purpose::Deliver,
        body: Zeroizing::new(b"{}".to_vec()),
        name: "m".into(),
        patience: Duration::from_secs(5),
    };
    log.broken.store(true, Ordering::SeqCst);
    let parcel = egress.pack("hook", &gate(&[]), cargo()).expect("allowed");
    assert!(matches!(parcel.send().await, Err(SendError::Log(_))));
    assert!(sink.bodies().is_empty());
    log.broken.store(false, Ordering::SeqCst);
    let parcel = egress.pack("hook", &gate(&[]), cargo()).expect("allowed");
    assert_eq!(parcel.send().await.expect("sent").status(), 200, "positive control");
    assert_eq!(egress.pack("other", &gate(&[]), cargo()).err(), Some(Denied::Unknown));
    let parcel = egress.pack("hook", &gate(&[]), cargo()).expect("allowed");
    assert!(parcel.at("http://127.0.0.1:1/hook").is_none(), "another port is another place");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let log = Arc::default();
    let far = Sink::start(&log, 200, "").await;
    let near = Sink::start(&log, 307, far.url.clone()).await;
    let egress = egress(&log, vec![destination("hook", "webhook", &near.url, HOME)]);
    tell(&egress, &gate(&["transcript"]));
    assert_eq!(near.wait_for(1).await.len(), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(far.bodies().is_empty());
}

#[tokio::test]
async fn what_is_on_its_way_stays_when_it_is_stopped() {
    let log = Arc::default();
    let sink = Sink::start(&log, 503, "").await;
    let egress = egress(&log, vec![destination("hook", "webhook", &sink.url, HOME)]);
    let gate = gate(&["transcript"]);
    tell(&egress, &gate);
    sink.wait_for(1).await;
    egress.stop(CallId(1));
    assert_eq!(sink.wait_for(2).await.len(), 2, "another call's is not stopped, and a failure is tried again");
    egress.withdrawn(gate.call(), &Scopes::from([Scope::Audio]));
    assert_eq!(egress.0.under_way.len(), 1, "it does not rest on that");
    egress.withdrawn(gate.call(), &Scopes::from([Scope::Transcript]));
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(sink.bodies().len(), 2);
}

#[tokio::test]
async fn messages_are_named_and_signed() {
    let log = Arc::default();
    let sink = Sink::start(&log, 200, "").await;
    let egress = egress(&log, vec![destination("hook", "webhook", &sink.url, HOME)]);
    tell(&egress, &gate(&["transcript"]));
    sink.wait_for(1).await;
    let came = sink.came.lock().expect("not poisoned");
    let header = |name: &str| came[0].0.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("webhook-id"), "outcome-00000000000000ab-0");
    assert!(header("webhook-timestamp").parse::<i64>().is_ok_and(|s| s > 1_700_000_000));
    assert!(header("webhook-signature").starts_with("v1,"));
}

/// An erasure that has come to its connected systems.
fn job() -> Job {
    let mut job = Job::ask(JobId(9), (tenant(), SUBJECT), AskedBy::Subject, "1", Rules::default(), Time(0));
    let found =
        Inventory { calls: vec![CallId(0xab)], destinations: BTreeSet::from(["hook".into()]), ..Inventory::default() };
    for step in [
        Step::Found(found.clone()),
        Step::Frozen(found),
        Step::KeysDestroyed,
        Step::RowsDeleted,
        Step::FilesDeleted,
        Step::Compacted,
    ] {
        job.done(Time(1), step).expect("in step");
    }
    job
}

#[tokio::test]
async fn only_a_clear_answer_is_a_receipt() {
    let receipt = "{\"job\": \"0000000000000009\", \"erased\": true}";
    for (status, answer, expected) in [
        (200, receipt, "receipt"),
        (200, "{\"job\": \"0000000000000008\", \"erased\": true}", "taken"),
        (200, "{\"job\": \"0000000000000009\", \"erased\": false}", "taken"),
        (200, "<html>OK</html>", "taken"),
        (202, "", "taken"),
        (403, "", "refused 403"),
        (404, "", "refused 404"),
        (307, "http://127.0.0.1:1/", "refused 307"),
        (429, "", "failed"),
        (503, "", "failed"),
    ] {
        let log = Arc::default();
        let sink = Sink::start(&log, status, answer).await;
        let egress = egress(&log, vec![destination("hook", "connected", &sink.url, HOME)]);
        let word = match egress.order_erasure("hook", &job()).await.expect("allowed") {
            Answered::Receipt(document) => {
                assert_eq!(document, receipt.as_bytes());
                "receipt".to_owned()
            }
            Answered::Taken => "taken".into(),
            Answered::Refused(code) => format!("refused {code}"),
            Answered::Unreachable => "failed".into(),
        };
        assert_eq!(word, expected, "{status} {answer}");
        let order = &sink.bodies()[0];
        assert_eq!((&order["order"], &order["job"]), (&json!("erase"), &json!("0000000000000009")));
        assert_eq!(order["calls"], json!(["00000000000000ab"]));
        assert_eq!(log.rows()[0].sort, Sort::ErasureOrder);
    }
}

#[tokio::test]
async fn an_order_goes_only_where_data_went_and_a_dead_place_is_no_receipt() {
    let log = Arc::default();
    let dead = destination("hook", "connected", "http://127.0.0.1:9/", HOME);
    let other = destination("other", "connected", "http://127.0.0.1:9/", HOME);
    let egress = egress(&log, vec![dead, other]);
    assert_eq!(egress.order_erasure("hook", &job()).await, Ok(Answered::Unreachable));
    assert_eq!(log.ends(1).await, [Some(Ended::Failed)]);
    assert_eq!(egress.order_erasure("other", &job()).await, Err(Denied::ReceivedNothing));
    let early = Job::ask(JobId(9), (tenant(), SUBJECT), AskedBy::Subject, "1", Rules::default(), Time(0));
    assert_eq!(egress.order_erasure("hook", &early).await, Err(Denied::NotYet));
    assert_eq!(log.rows().len(), 1);
}

#[tokio::test]
async fn what_two_people_approved_goes_to_its_destination() {
    let log = Arc::default();
    let sink = Sink::start(&log, 200, "").await;
    let hook = destination("hook", "webhook", &sink.url, HOME);
    let egress = egress(&log, vec![destination("subject", "export", &sink.url, HOME), hook]);
    assert_eq!(egress.takes("nowhere", Handing::Export, Sort::Content), Err(Denied::Unknown));
    assert!(egress.takes("hook", Handing::Export, Sort::Content).is_err());
    assert_eq!(egress.takes("subject", Handing::Export, Sort::Content), Ok(()));
    let person = |name| Person::new(name).expect("a name");
    let member = |name, role| Member { person: person(name), roles: [role].into() };
    let staff = Staff::new([member("aru", Role::Operator), member("dana", Role::PrivacyOfficer)]).expect("staff");
    let (aru, dana) = (staff.act(&person("aru"), Role::Operator), staff.act(&person("dana"), Role::PrivacyOfficer));
    let (aru, dana) = (aru.expect("acts"), dana.expect("acts"));
    let now = Time(clock::unix_ms());
    let (tenant, why) = (tenant(), Why::new("case 7").expect("a reason"));
    let wanted = Wanted { tenant: &tenant, what: Handing::Export, subject: SUBJECT, destination: "subject", why };
    let mut approval = Approval::ask(ApprovalId(5), wanted, &aru, now).expect("may ask");
    approval.decide(&dana, true, now).expect("may approve");
    let cleared = approval.clear(&aru, now).expect("cleared");
    let document = Zeroizing::new(b"{\"calls\": []}".to_vec());
    let parcel = egress.hand_over(cleared, &Scopes::new(), Sort::Content, document, "application/json", now);
    let parcel = parcel.expect("allowed");
    parcel.send().await.and_then(Reply::accepted).expect("taken");
    assert_eq!(sink.bodies(), [json!({"calls": []})]);
    assert_eq!(log.rows()[0].approval, Some(ApprovalId(5)));
}
