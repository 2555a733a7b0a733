//! Statements of the tenant's system: the honest one grants, and every other is refused with its reason.

use privacy::consent::{
    Basis, Channel, ConsentEvent, ConsentGate, Grant, LIFE_MS_MAX, Past, PreGrantRefused, Refusal, State, StatementKey,
    Used, Which, Withdrawal,
};
use privacy::policy::{KeyName, TextHash};
use privacy::{Scope, Scopes, Time};
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::support::{
    ANNA, BORIS, NOON, SECRET, base64url, claims, gate, mac, signed, statement, told, verify, verify_by,
};

const SECOND: i64 = 1000;

fn changed(key: &str, value: Value) -> Value {
    let mut claims = claims(&["transcript"]);
    claims[key] = value;
    claims
}

/// What a gate of Anna's, one second after noon, makes of a statement.
fn offered(statement: &str) -> Result<Scopes, PreGrantRefused> {
    let now = NOON.plus_ms(SECOND);
    let statement = verify(statement, now)?;
    gate(ANNA).pre_grant(now, &statement, &mut Used::default())
}

fn name(text: &str) -> KeyName {
    KeyName::new(text).expect("a name")
}

#[test]
fn an_honest_statement_grants_what_it_says_and_leaves_its_evidence() {
    let mut gate = gate(ANNA);
    let text = statement(&claims(&["transcript", "outbound"]));
    let statement = verify(&text, NOON).expect("honest");
    let granted = gate.pre_grant(NOON, &statement, &mut Used::default()).expect("grants");
    assert_eq!(granted, Scopes::from([Scope::Transcript, Scope::Outbound]));
    assert!(gate.permit(&Scope::Transcript).is_some() && gate.permit(&Scope::Outbound).is_some());
    assert!(gate.permit(&Scope::Audio).is_none());
    assert_eq!(gate.state(&Scope::Transcript).to_string(), "granted beforehand");

    let event = gate.poll().expect("an event");
    assert!(gate.poll().is_none());
    assert_eq!((event.state, event.channel), (State::Granted(Grant::PreGrant), Channel::Api));
    let evidence = event.evidence.clone().expect("evidence");
    assert_eq!((evidence.basis, evidence.given), (Basis::WrittenConsent, NOON.plus_ms(-86_400_000)));
    assert_eq!(evidence.key.as_str(), "crm-1");
    let json = serde_json::to_string(&event).expect("JSON");
    for told in ["anna", "form 12", "clinic"] {
        assert!(!json.contains(told) && !format!("{event:?}").contains(told), "{told} is kept nowhere");
    }
    assert_eq!(serde_json::from_str::<ConsentEvent>(&json).expect("reads"), event);
    assert_eq!(Past::of(&[event]).map(|past| past.state(&Scope::Outbound)), Ok(State::Granted(Grant::PreGrant)));
}

#[test]
fn evidence_cannot_be_exchanged() {
    let mut gate = gate(ANNA);
    let statement = verify(&statement(&claims(&["transcript"])), NOON).expect("honest");
    gate.pre_grant(NOON, &statement, &mut Used::default()).expect("grants");
    let json = serde_json::to_value(gate.poll().expect("an event")).expect("JSON");
    let mut keys: Vec<&String> = json["evidence"].as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["basis", "given", "key", "statement"]);
    for (key, value) in [
        ("basis", json!("contract")),
        ("given", json!(1)),
        ("key", json!("crm-2")),
        ("statement", json!(TextHash::of("another"))),
        ("words", json!("yes")),
    ] {
        let mut other = json.clone();
        other["evidence"][key] = value;
        assert!(serde_json::from_value::<ConsentEvent>(other).is_err(), "{key}");
    }
}

#[test]
fn an_ed25519_key_signs_too_and_kinds_are_not_confused() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("a seed");
    let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
    let by_pair = |text: &str| pair.sign(text.as_bytes()).as_ref().to_vec();
    let ed25519 = [StatementKey::ed25519(name("crm-2"), public)];
    let (claims, header) = (claims(&["transcript"]), json!({"alg": "EdDSA", "kid": "crm-2", "typ": "JWT"}));

    assert!(verify_by(&signed(&header, &claims, by_pair), &ed25519, NOON).is_ok());
    let refused = |statement: String| verify_by(&statement, &ed25519, NOON).map(|_| ());
    let by_other = |text: &str| mac(&public, text);
    assert_eq!(refused(signed(&header, &claims, by_other)), Err(PreGrantRefused::Forged));
    // The old trick: the public key as an HMAC's secret, RFC 8725 3.1.
    let confused = json!({"alg": "HS256", "kid": "crm-2"});
    assert_eq!(refused(signed(&confused, &claims, by_other)), Err(PreGrantRefused::OtherAlgorithm));
    let none = json!({"alg": "none", "kid": "crm-2"});
    assert_eq!(refused(signed(&none, &claims, |_| vec![])), Err(PreGrantRefused::OtherAlgorithm));
    assert_eq!(refused(statement(&claims)), Err(PreGrantRefused::UnknownKey));
}

#[test]
fn what_is_forged_is_refused() {
    let honest = statement(&claims(&["transcript"]));
    assert!(offered(&honest).is_ok());
    let other_secret = |text: &str| mac(b"another secret of thirty-two bytes", text);
    let header = json!({"alg": "HS256", "kid": "crm-1"});
    assert_eq!(offered(&signed(&header, &claims(&["transcript"]), other_secret)), Err(PreGrantRefused::Forged));

    let parts: Vec<&str> = honest.split('.').collect();
    let more = base64url(claims(&["transcript", "audio"]).to_string().as_bytes());
    assert_eq!(offered(&format!("{}.{more}.{}", parts[0], parts[2])), Err(PreGrantRefused::Forged));
    let cut = base64url(&mac(SECRET, &format!("{}.{}", parts[0], parts[1]))[..16]);
    assert_eq!(offered(&format!("{}.{}.{cut}", parts[0], parts[1])), Err(PreGrantRefused::Forged));
    assert_eq!(offered(&format!("{}.{}.", parts[0], parts[1])), Err(PreGrantRefused::Forged));
    for text in ["", ".", "..", "a.b", "a.b.c", &format!("{honest}="), &format!("{honest}.AA"), &parts[..2].join(".")] {
        let refused = offered(text).expect_err("no statement");
        assert!(matches!(refused, PreGrantRefused::NoStatement | PreGrantRefused::Header), "{text}: {refused:?}");
    }
    assert_eq!(offered(&"A".repeat(4097)), Err(PreGrantRefused::TooLong));
    for header in [
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": "crm-1", "crit": ["b64"], "b64": false}),
        json!(["HS256", "crm-1"]),
    ] {
        let text = signed(&header, &claims(&["transcript"]), |text| mac(SECRET, text));
        assert!(matches!(offered(&text), Err(PreGrantRefused::Header | PreGrantRefused::Forged)), "{header}");
    }
}

#[test]
fn claims_are_whole_or_refused() {
    for key in ["aud", "sub", "scopes", "basis", "date", "evidence", "iat", "exp"] {
        let mut less = claims(&["transcript"]);
        less.as_object_mut().expect("an object").remove(key);
        assert_eq!(offered(&statement(&less)), Err(PreGrantRefused::Claims), "{key}");
    }
    for (key, value, why) in [
        ("aud", json!("bank"), PreGrantRefused::OtherTenant),
        ("sub", json!("boris"), PreGrantRefused::OtherSubject),
        ("sub", json!("nobody"), PreGrantRefused::OtherSubject),
        ("scopes", json!([]), PreGrantRefused::Scopes),
        ("scopes", json!(["everything"]), PreGrantRefused::Claims),
        ("scopes", json!(["transcript", "xborder:US"]), PreGrantRefused::NotApart),
        ("scopes", json!(["xborder:DE", "xborder:US"]), PreGrantRefused::NotApart),
        ("basis", json!("hope"), PreGrantRefused::Claims),
        ("evidence", json!(""), PreGrantRefused::Claims),
        ("evidence", json!("x".repeat(129)), PreGrantRefused::Claims),
        ("exp", json!("tomorrow"), PreGrantRefused::Claims),
        ("exp", json!(i64::MAX), PreGrantRefused::Claims),
        ("iat", json!(i64::MIN), PreGrantRefused::Claims),
        ("nbf", json!(0), PreGrantRefused::Claims),
    ] {
        assert_eq!(offered(&statement(&changed(key, value.clone()))), Err(why), "{key} {value}");
    }
    assert!(offered(&statement(&changed("jti", json!("1")))).is_ok());
    let apart = offered(&statement(&claims(&["xborder:US"])));
    assert_eq!(apart.map(|scopes| scopes.len()), Ok(1), "another country, apart");
}

#[test]
fn every_time_ends_at_its_second() {
    let at = |key: &str, ms: i64| changed(key, json!((NOON.0 + ms) / SECOND));
    let verified = |claims: &Value| verify(&statement(claims), NOON).map(|_| ());
    // The moment it expires is too late; the one before is not.
    assert_eq!(verified(&at("exp", SECOND)), Ok(()));
    assert_eq!(verified(&at("exp", 0)), Err(PreGrantRefused::Expired));
    assert_eq!(verified(&at("exp", -SECOND)), Err(PreGrantRefused::Expired));
    // Another clock may be a minute ahead.
    for key in ["iat", "date"] {
        assert_eq!(verified(&at(key, 59 * SECOND)), Ok(()), "{key}");
        assert_eq!(verified(&at(key, 60 * SECOND)), Ok(()), "{key}");
        assert_eq!(verified(&at(key, 61 * SECOND)), Err(PreGrantRefused::NotYet), "{key}");
    }
    assert_eq!(verified(&at("exp", LIFE_MS_MAX - SECOND)), Ok(()));
    assert_eq!(verified(&at("exp", LIFE_MS_MAX)), Ok(()));
    assert_eq!(verified(&at("exp", LIFE_MS_MAX + SECOND)), Err(PreGrantRefused::TooLongLived));
}

fn pre_granted(text: &str, used: &mut Used) -> (ConsentGate, Result<Scopes, PreGrantRefused>) {
    let mut gate = gate(ANNA);
    let granted = gate.pre_grant(NOON, &verify(text, NOON).expect("honest"), used);
    (gate, granted)
}

#[test]
fn a_statement_is_good_for_one_call() {
    let (mut used, text) = (Used::default(), statement(&claims(&["transcript"])));
    assert!(pre_granted(&text, &mut used).1.is_ok());
    let (gate, again) = pre_granted(&text, &mut used);
    assert_eq!(again, Err(PreGrantRefused::Replayed));
    assert!(gate.permit(&Scope::Transcript).is_none());
    let fresh = statement(&changed("jti", json!("2")));
    assert!(pre_granted(&fresh, &mut used).1.is_ok());

    // After a restart: from the rows that were kept.
    let seen = verify(&text, NOON).expect("honest");
    let mut loaded = Used::load([(seen.evidence().statement, seen.until())]);
    assert_eq!(pre_granted(&text, &mut loaded).1, Err(PreGrantRefused::Replayed));
}

#[test]
fn a_statement_that_grants_nothing_is_not_used_up() {
    let mut used = Used::default();
    let seen = verify(&statement(&claims(&["transcript"])), NOON).expect("honest");
    assert_eq!(gate(BORIS).pre_grant(NOON, &seen, &mut used), Err(PreGrantRefused::OtherSubject));
    assert_eq!(gate(ANNA).pre_grant(seen.until(), &seen, &mut used), Err(PreGrantRefused::Expired));
    assert!(!used.holds(&seen.evidence().statement));
    assert!(gate(ANNA).pre_grant(NOON, &seen, &mut used).is_ok());
    assert!(used.holds(&seen.evidence().statement));
}

#[test]
fn the_callers_own_word_counts_more() {
    let seen = verify(&statement(&claims(&["transcript"])), NOON).expect("honest");
    type Before = fn(&mut ConsentGate);
    let before: [(&str, Before); 6] = [
        ("asked", |gate| assert!(gate.ask(NOON, &Scope::Transcript, TextHash::of("May we?")))),
        ("refused", |gate| drop(gate.refuse(NOON, &Which::one(&Scope::Transcript), Refusal::Said))),
        ("hung up", |gate| drop(gate.refuse(NOON, &Which::All, Refusal::HungUp))),
        ("withdrawn before", |gate| drop(gate.withdraw(NOON, &Which::All, Withdrawal::Key))),
        ("withdrawn", |gate| drop(gate.withdraw(NOON, &Which::one(&Scope::Transcript), Withdrawal::Phrase))),
        ("over", |gate| drop(gate.storage_only(NOON))),
    ];
    for (what, step) in before {
        let mut gate = gate(ANNA);
        step(&mut gate);
        let refused = gate.pre_grant(NOON, &seen, &mut Used::default());
        assert_eq!(refused, Err(PreGrantRefused::TooLate), "{what}");
        assert!(gate.permit(&Scope::Transcript).is_none(), "{what}");
    }
    // Of two scopes, one of them refused: the other is granted.
    let mut gate = gate(ANNA);
    assert!(gate.refuse(NOON, &Which::one(&Scope::Audio), Refusal::Said).is_empty());
    let both = verify(&statement(&claims(&["audio", "transcript"])), NOON).expect("honest");
    let granted = gate.pre_grant(NOON, &both, &mut Used::default());
    assert_eq!(granted, Ok(Scopes::from([Scope::Transcript])));
    assert!(gate.permit(&Scope::Audio).is_none());
}

#[test]
fn what_rests_on_a_statement_ends_with_it() {
    let mut gate = pre_granted(&statement(&claims(&["transcript"])), &mut Used::default()).0;
    let end = NOON.plus_ms(3600 * SECOND);
    assert_eq!(gate.deadline(), Some(end));
    gate.handle_timeout(end.plus_ms(-1));
    assert!(gate.permit(&Scope::Transcript).is_some());
    gate.handle_timeout(end);
    assert!(gate.permit(&Scope::Transcript).is_none());
    assert_eq!((gate.state(&Scope::Transcript).to_string().as_str(), gate.deadline()), ("expired", None));

    // Every step looks at the time first, and the caller may be asked now.
    let mut gate = pre_granted(&statement(&claims(&["transcript"])), &mut Used::default()).0;
    assert!(gate.ask(end, &Scope::Transcript, TextHash::of("May we?")));
    assert!(gate.grant(end.plus_ms(SECOND), &Scope::Transcript, Grant::Voice));
    gate.handle_timeout(Time(i64::MAX));
    assert!(gate.permit(&Scope::Transcript).is_some(), "the caller's own yes does not run out");

    let mut gate = pre_granted(&statement(&claims(&["transcript"])), &mut Used::default()).0;
    assert_eq!(gate.supersede(NOON, told(2)).len(), 1);
    assert!(gate.permit(&Scope::Transcript).is_none() && gate.deadline().is_none());
    assert_eq!(gate.withdraw(NOON, &Which::All, Withdrawal::Key).len(), 1, "what was kept goes");
}

proptest! {
    /// Whatever is changed in a statement, it grants nothing.
    #[test]
    fn an_altered_statement_is_refused(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
        let honest = statement(&claims(&["transcript"]));
        let at = at.index(honest.len());
        prop_assume!(honest[at..=at] != letter);
        let altered = format!("{}{letter}{}", &honest[..at], &honest[at + 1..]);
        prop_assert!(offered(&altered).is_err());
    }

    #[test]
    fn any_text_is_only_refused(text in "\\PC{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        prop_assert!(offered(&text).is_err());
        prop_assert!(offered(&parts.join(".")).is_err());
    }
}
