//! The privacy desk on a real vault, over HTTP: who may do what, two people for what leaves, clocks, holds, proofs, and
//! what an error says. Time is the tests' own.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "desk/office.rs"]
mod office;
// Shared with the vault's own tests, which use the rest of it.
#[allow(dead_code)]
#[path = "vault/stage.rs"]
mod stage;

use privacy::retention::Purpose;
use privacy::{CallId, Scope};
use serde_json::{Value, json};

use office::{ADMIN, ARU, AUDITOR, DANA, House, SYSTEM};
use stage::{DAY, NOON, SECOND, reader};

const NUMBER: &str = "+7 701 555 01 23";

/// Every route, and who may: the others are told whom to ask.
#[tokio::test]
async fn each_role_does_what_is_its_own() {
    let house = House::new("roles").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    let hold = json!({"covers": {"call": "0000000000000001"}, "why": "case 7", "until": "2026-12-01T00:00:00Z"});
    let claim = json!({"what": "access", "who": {"identifier": NUMBER}});
    let erasure = json!({"who": {"call": "0000000000000001"}, "why": "asked by telephone"});
    for (method, path, body, may) in [
        ("GET", "me", Value::Null, "aru dana kim root api"),
        ("GET", "holds", Value::Null, "aru dana kim api"),
        ("POST", "holds", hold, "dana"),
        ("GET", "claims", Value::Null, "aru dana kim api"),
        ("POST", "claims", claim, "aru dana api"),
        ("GET", "approvals", Value::Null, "aru dana kim api"),
        ("GET", "calls/0000000000000001/consent?for=proof", Value::Null, "dana kim"),
        ("GET", "transfers?call=0000000000000001", Value::Null, "aru dana kim api"),
        ("GET", "retention", Value::Null, "aru dana kim root api"),
        ("GET", "erasures", Value::Null, "aru dana kim api"),
        ("POST", "erasures", erasure, "aru dana api"),
    ] {
        let mut did = vec![];
        for (name, token) in [("aru", ARU), ("dana", DANA), ("kim", AUDITOR), ("root", ADMIN), ("api", SYSTEM)] {
            let (status, answer) = house.ask(method, path, token, &body).await;
            match status {
                200..=202 => did.push(name),
                403 => assert!(answer["error"].as_str().is_some_and(|e| e.contains(": ask ")), "{path}: {answer}"),
                _ => panic!("{method} {path} as {name}: {status} {answer}"),
            }
        }
        assert_eq!(did.join(" "), may, "{method} {path}");
    }
    house.close().await;
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_and_errors_say_what_to_do() {
    let house = House::new("doors").await;
    for (method, path, token, body, status, says) in [
        ("GET", "holds", "", Value::Null, 401, "show your token"),
        ("GET", "holds", "a token that nobody has", Value::Null, 401, "nobody has this token"),
        ("GET", "claims?closed=maybe", DANA, Value::Null, 400, ""),
        ("GET", "claims/12", DANA, Value::Null, 400, "sixteen hex digits"),
        ("GET", "claims/00000000000000ff", DANA, Value::Null, 404, "no such claim"),
        ("GET", "erasures/00000000000000ff", DANA, Value::Null, 404, "no such erasure"),
        ("GET", "erasures/00000000000000ff/proof", DANA, Value::Null, 404, "no such erasure"),
        ("GET", "calls/00000000000000ff/consent?for=proof", DANA, Value::Null, 404, "no such call"),
        ("GET", "transfers", DANA, Value::Null, 400, "say of whom"),
        ("POST", "claims", DANA, json!({"what": "access"}), 422, "who"),
        ("POST", "claims", DANA, json!({"what": "access", "who": {"identifier": "anonymous"}}), 400, "anonymous"),
        ("POST", "claims", DANA, json!({"what": "wish", "who": {"call": "00000000000000ff"}}), 422, "wish"),
        ("POST", "erasures", DANA, json!({"who": {"call": "00000000000000ff"}, "why": "asked"}), 404, "no such call"),
        (
            "POST",
            "erasures",
            DANA,
            json!({"who": {"identifier": NUMBER}, "why": "+7 701 555 01 23"}),
            400,
            "long number",
        ),
        ("POST", "holds", DANA, json!({"covers": {"all": {}}, "why": "case 7", "until": "soon"}), 400, "RFC 3339"),
        (
            "POST",
            "holds",
            DANA,
            json!({"covers": {"all": {}}, "why": "case 7", "until": "2026-11-23T12:00:00Z"}),
            400,
            "later date",
        ),
        (
            "POST",
            "holds",
            DANA,
            json!({"covers": {"all": {}}, "why": "case 7", "until": "2029-11-23T12:00:00Z"}),
            400,
            "earlier date",
        ),
    ] {
        let (got, answer) = house.ask(method, path, token, &body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(says), "{method} {path}: {got} {answer}");
        assert!(!error.contains("555"), "nobody's number is said back: {error}");
    }
    assert_eq!(house.plain("claims", DANA, "{}").await, 415, "a form of another page is not taken");
    house.close().await;
}

#[tokio::test]
async fn without_a_token_only_this_machine_by_its_own_name_is_the_operator() {
    let house = House::open_to_this_machine("local").await;
    let (status, me) = house.ask("GET", "me", "", &Value::Null).await;
    assert_eq!((status, &me["person"], &me["role"]), (200, &json!("api"), &json!("operator")));
    let (status, answer) = house.by_host("me", "evil.example").await;
    assert!(status == 403 && answer["error"].as_str().is_some_and(|e| e.contains("localhost")), "{answer}");
    assert_eq!(house.ask("GET", "me", "a token that nobody has", &Value::Null).await.0, 401);
    house.close().await;
}

#[tokio::test]
async fn an_export_needs_two_people_and_goes_once() {
    let house = House::new("export").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    let ask = json!({"what": "export", "who": {"identifier": NUMBER}, "destination": "copy", "why": "claim 7"});
    let nowhere = json!({"what": "export", "who": {"identifier": NUMBER}, "destination": "moon", "why": "claim 7"});
    let (status, answer) = house.ask("POST", "approvals", ARU, &nowhere).await;
    assert!(status == 409 && answer["error"].as_str().is_some_and(|e| e.contains("[[destination]]")), "{answer}");
    let (status, approval) = house.ask("POST", "approvals", ARU, &ask).await;
    assert_eq!(status, 201, "{approval}");
    let at = |step: &str| format!("approvals/{}/{step}", approval["id"].as_str().expect("an id"));
    let refused = [
        (at("hand-over"), ARU, json!({}), 409, "nobody has approved"),
        (at("decision"), ARU, json!({"approved": true}), 403, "whoever asked cannot"),
        (at("decision"), SYSTEM, json!({"approved": true}), 403, "same role"),
        (at("decision"), AUDITOR, json!({"approved": true}), 403, "ask privacy_officer or admin"),
    ];
    for (path, token, body, status, says) in &refused {
        let (got, answer) = house.ask("POST", path, token, body).await;
        assert!(got == *status && answer["error"].as_str().is_some_and(|e| e.contains(says)), "{path}: {got} {answer}");
    }
    assert!(house.came().is_empty());
    let (status, decided) = house.ask("POST", &at("decision"), DANA, &json!({"approved": true})).await;
    assert_eq!((status, &decided["decided_by"]), (200, &json!("dana as privacy_officer")));
    assert_eq!(house.ask("POST", &at("hand-over"), DANA, &json!({})).await.0, 403, "only whoever asked");
    // Both at once: one goes.
    let (path, body) = (at("hand-over"), json!({"form": "vcon"}));
    let both = tokio::join!(house.ask("POST", &path, ARU, &body), house.ask("POST", &path, ARU, &body));
    let mut statuses = [both.0.0, both.1.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{both:?}");
    let came = house.came();
    assert_eq!(came.len(), 1);
    assert!(came[0].contains("zanzibar") && came[0].contains("vcon"), "{}", came[0]);
    let (_, log) = house.ask("GET", "transfers?call=0000000000000001&for=subject", DANA, &Value::Null).await;
    let row = &log["transfers"][0];
    assert_eq!(
        (&row["destination"], &row["purpose"], &row["approval"]),
        (&json!("copy"), &json!("export"), &approval["id"])
    );
    house.close().await;
}

#[tokio::test]
async fn a_claim_has_a_clock_and_blocks_while_it_is_open() {
    let house = House::new("claims").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    let body = json!({"what": "rectify", "who": {"identifier": NUMBER}});
    let (status, claim) = house.ask("POST", "claims", ARU, &body).await;
    // Thirty working days after Monday, 23 November 2026, by the end of the day.
    assert_eq!((status, &claim["until"], &claim["standing"]), (201, &json!("2027-01-05T00:00:00Z"), &json!("open")));
    let service = house.stage.vault.transcript(CallId(1), &reader(Purpose::Service)).await;
    assert!(service.is_err_and(|e| e.to_string().contains("decide the claim first")));
    assert_eq!(house.stage.vault.transcript(CallId(1), &reader(Purpose::Subject)).await.expect("theirs").len(), 1);
    let path = |step: &str| format!("claims/{}/{step}", claim["id"].as_str().expect("an id"));
    let no = json!({"answer": "refused", "why": "it is right as it is"});
    let (status, early) = house.ask("POST", &path("answer"), DANA, &no).await;
    assert!(status == 409 && early["error"].as_str().is_some_and(|e| e.contains("take it first")), "{early}");
    assert_eq!(house.ask("POST", &path("take"), DANA, &json!({})).await.1["taken_by"], "dana as privacy_officer");
    let end = 1_799_107_200_000; // 2027-01-05 00:00 UTC
    for (late, standing) in [(-SECOND, "near"), (0, "overdue"), (SECOND, "overdue")] {
        house.stage.set(end + late);
        assert_eq!(house.ask("GET", "claims", DANA, &Value::Null).await.1["claims"][0]["standing"], standing);
    }
    let (_, answered) = house.ask("POST", &path("answer"), DANA, &no).await;
    assert_eq!(
        (&answered["standing"], &answered["late"], &answered["blocks"]),
        (&json!("closed"), &json!(true), &json!(false))
    );
    assert_eq!(house.stage.texts(1).await, ["\"zanzibar\""]);
    assert_eq!(house.ask("GET", "claims", DANA, &Value::Null).await.1["claims"], json!([]));
    assert_eq!(house.ask("GET", "claims?closed=true", DANA, &Value::Null).await.1["claims"][0]["answer"], "refused");
    house.close().await;
}

#[tokio::test]
async fn a_withdrawal_by_request_takes_effect_at_once() {
    let house = House::new("withdrawal").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    house.call(2, &[Scope::Transcript], "madagascar").await;
    let of_one = json!({"what": "withdrawal", "who": {"identifier": NUMBER}, "call": "0000000000000001"});
    assert_eq!(house.ask("POST", "claims", ARU, &of_one).await.0, 201);
    assert!(house.stage.texts(1).await.is_empty());
    assert_eq!(house.stage.texts(2).await, ["\"madagascar\""]);
    let of_all = json!({"what": "withdrawal", "who": {"identifier": NUMBER}});
    assert_eq!(house.ask("POST", "claims", ARU, &of_all).await.0, 201);
    assert!(house.stage.texts(2).await.is_empty());
    let (_, consent) = house.ask("GET", "calls/0000000000000002/consent?for=proof", AUDITOR, &Value::Null).await;
    let events = consent["events"].as_array().expect("events");
    let last = events.last().expect("one");
    assert_eq!(
        (&last["what"], &last["how"], &last["channel"]),
        (&json!("withdrawn"), &json!("request"), &json!("api"))
    );
    house.close().await;
}

#[tokio::test]
async fn evidence_is_read_as_evidence_only() {
    let house = House::new("evidence").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    let consent = |purpose: &str| format!("calls/0000000000000001/consent?for={purpose}");
    assert_eq!(house.ask("GET", &consent("service"), DANA, &Value::Null).await.0, 200);
    assert_eq!(house.ask("GET", &consent("analytics"), DANA, &Value::Null).await.0, 403);
    house.stage.vault.end_use(house.stage.subject()).await.expect("ends");
    for (purpose, status) in
        [("service", 403), ("analytics", 403), ("oversight", 403), ("proof", 200), ("subject", 200)]
    {
        let (got, answer) = house.ask("GET", &consent(purpose), DANA, &Value::Null).await;
        assert_eq!(got, status, "{purpose}: {answer}");
    }
    house.close().await;
}

#[tokio::test]
async fn an_erasure_waits_for_its_hold_and_ends_in_a_proof() {
    let house = House::new("erasure").await;
    house.call(1, &[Scope::Transcript], "zanzibar").await;
    let hold = json!({"covers": {"who": {"identifier": NUMBER}}, "why": "case 7", "until": "2026-12-01T00:00:00Z"});
    let (status, hold) = house.ask("POST", "holds", DANA, &hold).await;
    assert_eq!((status, &hold["owner"]), (201, &json!("dana")), "{hold}");
    let ask = json!({"who": {"identifier": NUMBER}, "why": "asked by telephone"});
    let (status, job) = house.ask("POST", "erasures", ARU, &ask).await;
    assert_eq!((status, &job["stage"], &job["until"]), (202, &json!("asked"), &json!("2026-12-08T12:00:00Z")), "{job}");
    assert_eq!(
        house.ask("POST", "erasures", DANA, &ask).await.1["id"],
        job["id"],
        "one that is under way is the same one"
    );
    let path = format!("erasures/{}", job["id"].as_str().expect("an id"));
    let receipt = json!({"destination": "crm", "sha256": "0f".repeat(32), "why": "letter of the 24th"});
    let (status, early) = house.ask("POST", &format!("{path}/receipts"), DANA, &receipt).await;
    assert!(status == 409 && early["error"].as_str().is_some_and(|e| e.contains("ask it what is next")), "{early}");
    house.erase().await;
    let (_, held) = house.ask("GET", &path, DANA, &Value::Null).await;
    assert_eq!((&held["hold"], &held["until"]), (&hold["id"], &Value::Null), "{held}");
    assert_eq!(house.stage.texts(1).await, ["\"zanzibar\""]);
    let release = format!("holds/{}/release", hold["id"].as_str().expect("an id"));
    house.stage.set(NOON + DAY);
    assert_eq!(house.ask("POST", &release, DANA, &json!({"why": "settled"})).await.0, 200);
    assert_eq!(house.ask("POST", &release, DANA, &json!({"why": "settled"})).await.0, 409);
    assert_eq!(house.ask("GET", &format!("{path}/proof"), DANA, &Value::Null).await.0, 404, "not yet");
    house.erase().await;
    let (_, done) = house.ask("GET", &path, DANA, &Value::Null).await;
    assert_eq!(done["stage"], "done", "{done}");
    let (status, proof) = house.ask("GET", &format!("{path}/proof"), AUDITOR, &Value::Null).await;
    assert_eq!((status, &proof["proof"]["job"]), (200, &job["id"]));
    assert!(house.stage.texts(1).await.is_empty());
    house.close().await;
}

/// A system that received data gets the order, and the erasure stays open until it has answered clearly.
#[tokio::test]
async fn an_erasure_stays_open_until_every_system_has_answered() {
    let house = House::new("fan").await;
    let gate = house.call(1, &[Scope::Transcript], "zanzibar").await;
    house.complete(&gate).await;
    assert_eq!(house.came().len(), 1, "the booking went out");
    house.answer(200, "<html>OK</html>");
    let ask = json!({"who": {"identifier": NUMBER}, "why": "asked by telephone"});
    let (_, job) = house.ask("POST", "erasures", ARU, &ask).await;
    let id = job["id"].as_str().expect("an id");
    house.erase().await;
    let (_, open) = house.ask("GET", &format!("erasures/{id}"), DANA, &Value::Null).await;
    assert_eq!(
        (&open["stage"], &open["destinations"][0]["name"]),
        (&json!("database_compacted"), &json!("crm")),
        "{open}"
    );
    assert!(house.came()[1].contains(id));
    let receipt = json!({"destination": "crm", "sha256": "0f".repeat(32), "why": "letter of the 24th"});
    let path = format!("erasures/{id}/receipts");
    assert_eq!(house.ask("POST", &path, ARU, &receipt).await.0, 403);
    house.stage.set(NOON + 2 * DAY);
    house.answer(200, &format!("{{\"job\": \"{id}\", \"erased\": true}}"));
    house.erase().await;
    assert_eq!(house.ask("GET", &format!("erasures/{id}"), DANA, &Value::Null).await.1["stage"], "done");
    house.close().await;
}
