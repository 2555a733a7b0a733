//! What leaves, what does not, and what is written of it.

use super::*;
use crate::consent::{Channel, Grant, Which, Withdrawal};
use crate::erasure::{AskedBy, Inventory, JobId, Outcome, Rules};
use crate::policy::{Language, TextHash, Told, Version};
use crate::roles::approvals;

const SUBJECT: SubjectId = approvals::SUBJECT;

fn scopes(text: &str) -> Scopes {
    text.split_whitespace().map(|s| s.parse().expect("a scope")).collect()
}

/// The gate of a call whose subject granted these, one by one.
fn gate(granted: &Scopes) -> ConsentGate {
    let told = Told {
        version: Version::new("7").expect("a version"),
        text: TextHash::of("all that is told"),
        language: Language::new("en").expect("a language"),
        channel: Channel::Phone,
    };
    let mut gate = ConsentGate::new(CallId(1), SUBJECT, told);
    for scope in granted {
        assert!(gate.ask(Time(1), scope, TextHash::of("a question")));
        assert!(gate.grant(Time(2), scope, Grant::Key));
    }
    gate
}

fn country(code: &str) -> Country {
    Country::new(code).expect("a country")
}

fn destination(name: &str, kind: DestinationKind, code: &str) -> Destination {
    Destination {
        name: name.into(),
        kind,
        url: format!("https://{name}.example/in"),
        country: country(code),
        scopes: Scopes::new(),
        own: false,
        abroad: true,
    }
}

fn broker() -> Broker {
    use DestinationKind::{Connected, Export, Llm, Tool, Webhook};
    let all = [
        Destination { own: true, ..destination("model", Llm, "KZ") },
        destination("far-model", Llm, "US"),
        destination("diary", Tool, "KZ"),
        Destination { own: true, ..destination("hook", Webhook, "KZ") },
        destination("crm", Connected, "KZ"),
        Destination { scopes: scopes("outbound"), ..destination("dialer", Connected, "DE") },
        destination("copy", Export, "KZ"),
        destination("court", Export, "DE"),
    ];
    Broker::new(TenantId::new("clinic").expect("a name"), Some(country("KZ")), all).expect("fits")
}

fn request(sort: Sort, purpose: Purpose) -> Request {
    Request { id: TransferId(3), sort, purpose, bytes: 120, at: Time(5) }
}

/// It goes with exactly these scopes, and without any one of them it does not.
fn needs(name: &str, sort: Sort, purpose: Purpose, needed: &str) {
    let broker = broker();
    let ask = |granted: &Scopes| {
        broker.ask(name, &gate(granted), request(sort, purpose)).map(|ticket| ticket.transfer().clone())
    };
    let row = ask(&scopes(needed)).unwrap_or_else(|denied| panic!("{name} {sort:?} {purpose:?}: {denied}"));
    assert_eq!(row.scopes, scopes(needed));
    assert_eq!(row.events.len(), row.scopes.len(), "each with the event that granted it");
    for scope in scopes(needed) {
        let mut fewer = scopes(needed);
        fewer.remove(&scope);
        assert_eq!(ask(&fewer), Err(Denied::NotGranted { scope }), "{name} {sort:?}");
    }
}

#[test]
fn each_sending_needs_its_scopes_and_no_others() {
    needs("model", Sort::Content, Purpose::Answer, "ai_process");
    needs("model", Sort::Content, Purpose::Analytics, "ai_process transcript analytics");
    needs("far-model", Sort::Content, Purpose::Answer, "ai_process third_party:far-model xborder:US");
    needs("diary", Sort::Content, Purpose::Answer, "ai_process third_party:diary");
    needs("hook", Sort::Metadata, Purpose::Deliver, "");
    needs("hook", Sort::Content, Purpose::Deliver, "transcript");
    needs("crm", Sort::Metadata, Purpose::Deliver, "third_party:crm");
    needs("crm", Sort::Content, Purpose::Deliver, "third_party:crm transcript");
    needs("crm", Sort::Recording, Purpose::Deliver, "third_party:crm audio");
    needs("crm", Sort::Recording, Purpose::Analytics, "third_party:crm audio analytics");
    needs("dialer", Sort::Metadata, Purpose::Deliver, "outbound third_party:dialer xborder:DE");
}

#[test]
fn what_is_not_declared_gets_nothing() {
    let all = gate(&scopes("ai_process transcript audio analytics third_party:crm third_party:far-model xborder:US"));
    let ask = |name, sort, purpose| broker().ask(name, &all, request(sort, purpose)).err();
    assert_eq!(ask("nobody", Sort::Content, Purpose::Answer), Some(Denied::Unknown));
    assert_eq!(ask("", Sort::Metadata, Purpose::Deliver), Some(Denied::Unknown));
    let wrong = |sort| Some(Denied::NotForThisKind { sort });
    assert_eq!(ask("model", Sort::Recording, Purpose::Answer), wrong(Sort::Recording));
    assert_eq!(ask("model", Sort::Content, Purpose::Deliver), wrong(Sort::Content));
    assert_eq!(ask("hook", Sort::Recording, Purpose::Deliver), wrong(Sort::Recording));
    assert_eq!(ask("copy", Sort::Content, Purpose::Deliver), wrong(Sort::Content));
    for purpose in [Purpose::Export, Purpose::Disclosure, Purpose::Erasure] {
        assert_eq!(ask("copy", Sort::Content, purpose), Some(Denied::OtherWay { purpose }));
    }
    let order = ask("crm", Sort::ErasureOrder, Purpose::Deliver);
    assert_eq!(order, Some(Denied::OtherWay { purpose: Purpose::Deliver }));
}

#[test]
fn without_a_residency_no_country_is_abroad() {
    let tenant = TenantId::new("clinic").expect("a name");
    let far = Destination { own: true, ..destination("far-model", DestinationKind::Llm, "US") };
    let broker = Broker::new(tenant, None, [far]).expect("fits");
    let call = gate(&scopes("ai_process"));
    let ticket = broker.ask("far-model", &call, request(Sort::Content, Purpose::Answer)).expect("goes");
    assert!(!ticket.transfer().abroad);
    assert_eq!(ticket.url(), "https://far-model.example/in");
}

#[test]
fn the_row_says_what_went_where_and_nothing_of_what_it_said() {
    let call = gate(&scopes("transcript third_party:crm"));
    let broker = broker();
    let ticket = broker.ask("crm", &call, request(Sort::Content, Purpose::Deliver)).expect("goes");
    assert_eq!(ticket.transfer().ended, None, "written before the first byte leaves");
    let row = ticket.ended(Ended::Sent, Time(9));
    let event = |scope: &str| call.permit(&scope.parse().expect("a scope")).expect("granted").event();
    let granted = [event("transcript"), event("third_party:crm")];
    let json = serde_json::to_value(&row).expect("writes");
    let expected = serde_json::json!({
        "id": "0000000000000003", "tenant": "clinic", "call": "0000000000000001",
        "subject": "07070707070707070707070707070707", "destination": "crm", "kind": "connected", "country": "KZ",
        "abroad": false, "sort": "content", "purpose": "deliver", "bytes": 120,
        "scopes": ["transcript", "third_party:crm"],
        "events": granted.map(|event| event.to_string()),
        "approval": null, "erasure": null, "at_unix_ms": 5, "ended": "sent", "ended_unix_ms": 9,
    });
    assert_eq!(json, expected);
    let mut keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let columns = crate::schema::table("transfers").expect("declared").columns;
    let mut declared: Vec<&str> = columns.iter().map(|c| c.name).collect();
    keys.sort_unstable();
    declared.sort_unstable();
    assert_eq!(keys, declared, "the row is what the schema declares");
    assert_eq!(serde_json::from_value::<Transfer>(json).expect("reads"), row);
}

#[test]
fn what_is_handed_over_needs_two_people_and_abroad_the_subject_too() {
    let broker = broker();
    let none = Scopes::new();
    let what = (TransferId(3), Sort::Content, 900, Time(50));
    let ticket = broker.hand_over(approvals::cleared(Handing::Export, "copy"), &none, what).expect("two agreed");
    assert_eq!((ticket.transfer().subject, ticket.transfer().purpose), (SUBJECT, Purpose::Export));
    assert!(ticket.transfer().approval.is_some());
    let court = |granted: &Scopes| {
        broker.hand_over(approvals::cleared(Handing::Disclosure, "court"), granted, what).map(|t| t.transfer().clone())
    };
    assert_eq!(court(&none), Err(Denied::NotGranted { scope: Scope::Xborder(country("DE")) }));
    assert!(court(&scopes("xborder:DE")).expect("goes").abroad);
    let hand = |name| broker.hand_over(approvals::cleared(Handing::Export, name), &none, what).err();
    assert_eq!(hand("nobody"), Some(Denied::Unknown));
    assert_eq!(hand("crm"), Some(Denied::NotForThisKind { sort: Sort::Content }));
}

#[test]
fn an_approval_runs_out_at_its_second() {
    let broker = broker();
    for (off_ms, goes) in [(-1000, true), (0, false), (1000, false)] {
        let cleared = approvals::cleared(Handing::Export, "copy");
        let at = cleared.expires().plus_ms(off_ms);
        let ticket = broker.hand_over(cleared, &Scopes::new(), (TransferId(3), Sort::Content, 1, at));
        assert_eq!(ticket.err(), (!goes).then_some(Denied::Expired), "{off_ms}");
    }
}

#[test]
fn an_erasure_reaches_whoever_received_data_without_any_consent_and_nobody_else() {
    let tenant = TenantId::new("clinic").expect("a name");
    let mut job = Job::ask(JobId(8), (tenant, SUBJECT), AskedBy::Subject, "7", Rules::default(), Time(0));
    let what = (TransferId(4), 60, Time(1));
    let inventory = Inventory { destinations: ["dialer".into(), "gone".into()].into(), ..Inventory::default() };
    assert_eq!(broker().order_erasure("dialer", &job, what).err(), Some(Denied::NotYet));
    for outcome in [
        Outcome::Found(inventory.clone()),
        Outcome::Frozen(inventory),
        Outcome::KeysDestroyed,
        Outcome::RowsDeleted,
        Outcome::FilesDeleted,
        Outcome::Compacted,
    ] {
        assert_eq!(broker().order_erasure("dialer", &job, what).err(), Some(Denied::NotYet));
        job.done(Time(0), outcome).expect("in step");
    }
    let broker = broker();
    let order = broker.order_erasure("dialer", &job, what).expect("goes, though it is abroad");
    let row = order.transfer();
    assert_eq!((row.erasure, row.sort, row.scopes.len()), (Some(JobId(8)), Sort::ErasureOrder, 0));
    assert!(!row.may_hold_data() && row.abroad);
    assert_eq!(broker.order_erasure("crm", &job, what).err(), Some(Denied::ReceivedNothing));
    assert_eq!(broker.order_erasure("gone", &job, what).err(), Some(Denied::Unknown), "an officer must see to it");
}

#[test]
fn residency_refuses_to_start_with_anything_elsewhere_that_is_not_declared() {
    let home = Some(country("KZ"));
    let place = |country, abroad| Place { what: "[store] dir".into(), country, abroad };
    let crm = |code, abroad| Destination { abroad, ..destination("crm", DestinationKind::Connected, code) };
    let check = |place: Place, crm: Destination| check_start(home, &[place], &[crm], &[]);
    let (kz, de) = (Some(country("KZ")), Some(country("DE")));
    assert_eq!(check(place(kz, false), crm("KZ", false)), []);
    assert_eq!(check(place(de, true), crm("DE", true)), [], "declared");
    let wrong = check(place(de, false), crm("DE", false));
    let said: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "[store] dir is in DE, outside of residency = \"KZ\": move it, or declare abroad = true there",
            "[[destination]] 'crm' is in DE, outside of residency = \"KZ\": choose another, or declare abroad = true there",
        ]
    );
    let unknown = check(place(None, false), crm("KZ", false));
    assert_eq!(unknown, [NotStarting::PlaceUnknown { what: "[store] dir".into() }]);
    assert_eq!(check_start(None, &[place(None, false)], &[crm("DE", false)], &[]), [], "no residency, no border");
}

#[test]
fn an_endpoint_that_no_destination_declares_refuses_to_start() {
    let model = destination("model", DestinationKind::Llm, "KZ");
    let endpoint = |url: &str| Endpoint { what: "[llm] url".into(), url: url.into() };
    let check = |url: &str| check_start(None, &[], std::slice::from_ref(&model), &[endpoint(url)]);
    assert_eq!(check("https://model.example/v1/chat"), []);
    let undeclared = [NotStarting::NotDeclared { what: "[llm] url".into() }];
    assert_eq!(check("https://other.example/v1/chat"), undeclared);
    assert_eq!(check("http://model.example/in"), undeclared);
    let twice = check_start(None, &[], &[model.clone(), model.clone()], &[]);
    assert_eq!(twice, [NotStarting::Destination(BadDestination::Twice("model".into()))]);
}

#[test]
fn two_destinations_of_one_name_are_no_configuration() {
    let tenant = || TenantId::new("clinic").expect("a name");
    let crm = destination("crm", DestinationKind::Connected, "KZ");
    let twice = Broker::new(tenant(), None, [crm.clone(), crm.clone()]).err();
    assert_eq!(twice, Some(BadDestination::Twice("crm".into())));
    let many = (0..300).map(|i| destination(&format!("d{i}"), DestinationKind::Webhook, "KZ"));
    assert_eq!(Broker::new(tenant(), None, many).err(), Some(BadDestination::TooMany(256)));
}

#[test]
fn nothing_goes_after_a_withdrawal() {
    let mut call = gate(&scopes("transcript third_party:crm"));
    let broker = broker();
    let what = request(Sort::Content, Purpose::Deliver);
    assert!(broker.ask("crm", &call, what).is_ok());
    assert_eq!(call.withdraw(Time(6), &Which::All, Withdrawal::Key), scopes("transcript third_party:crm"));
    let scope = Scope::Transcript;
    assert_eq!(broker.ask("crm", &call, what).err(), Some(Denied::NotGranted { scope }));
}
