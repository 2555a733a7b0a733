//! The gate by scripts: what is permitted after which steps, and what is recorded. No test waits.

use std::collections::BTreeSet;

use super::*;
use crate::policy::{KeyName, Language, Version};

fn told(version: &str) -> Told {
    Told {
        version: Version::new(version).expect("a version"),
        text: TextHash::of(version),
        language: Language::new("en").expect("a language"),
        channel: Channel::Phone,
    }
}

fn gate() -> ConsentGate {
    ConsentGate::new(CallId(7), SubjectId([9; 16]), told("1"))
}

fn scope(letter: &str) -> Scope {
    let text = match letter {
        "t" => "transcript",
        "a" => "audio",
        "x" => "xborder:US",
        other => panic!("unknown scope {other}"),
    };
    text.parse().expect("a scope")
}

fn which(letters: &str) -> Which {
    if letters == "all" { Which::All } else { Which::one(&scope(letters)) }
}

/// Each step is `word:scope`, one second after the one before. What has to be purged is written into `purged`.
fn run(script: &str, gate: &mut ConsentGate) -> Vec<String> {
    let mut purged = vec![];
    for (i, step) in script.split_whitespace().enumerate() {
        let now = Time(i64::try_from(i).expect("a few") * 1000);
        let (word, letters) = step.split_once(':').unwrap_or((step, "all"));
        let purge = match word {
            "ask" => {
                gate.ask(now, &scope(letters), TextHash::of(&format!("May we {letters}?")));
                Scopes::new()
            }
            "supersede" => {
                gate.supersede(now, told(letters));
                Scopes::new()
            }
            "storage" => gate.storage_only(now),
            "erase" => gate.erased(now),
            word => match (Grant::parse(word), Refusal::parse(word), word.strip_prefix("back-")) {
                (_, _, Some(how)) => gate.withdraw(now, &which(letters), Withdrawal::parse(how).expect("a withdrawal")),
                (Some(how), _, _) => {
                    gate.grant(now, &scope(letters), how);
                    Scopes::new()
                }
                (None, Some(why), None) => gate.refuse(now, &which(letters), why),
                (None, None, None) => match word.strip_prefix("no-") {
                    Some(how) => gate.refuse(now, &which(letters), Refusal::parse(how).expect("a refusal")),
                    None => panic!("unknown step {word}"),
                },
            },
        };
        purged.extend(purge.iter().map(ToString::to_string));
    }
    purged
}

/// After the script: what is granted, how the transcript stands, and what had to be purged on the way.
fn check(script: &str, granted: &str, transcript: &str, purged: &str) {
    let mut gate = gate();
    let gone = run(script, &mut gate);
    for scope in ["t", "a", "x"].map(scope) {
        assert_eq!(gate.permit(&scope).is_some(), gate.granted().contains(&scope), "{script}");
    }
    let held: Vec<String> = gate.granted().iter().map(ToString::to_string).collect();
    assert_eq!(held.join(" "), granted, "{script}");
    assert_eq!(gate.state(&Scope::Transcript).to_string(), transcript, "{script}");
    assert_eq!(gone.join(" "), purged, "{script}");
}

#[test]
fn only_an_open_question_answered_yes_makes_a_permit() {
    check("", "", "none", "");
    check("voice:t", "", "none", "");
    check("ask:t", "", "asked", "");
    check("ask:t voice:t", "transcript", "granted by voice", "");
    check("ask:t key:t", "transcript", "granted by key", "");
    check("ask:t click:t", "transcript", "granted by click", "");
    check("ask:t text:t", "transcript", "granted in writing", "");
    check("ask:t pre_grant:t", "", "asked", "");
    check("click:t", "", "none", "");
    check("ask:t said:t", "", "refused by voice", "");
    check("ask:t no-click:t click:t", "", "refused by click", "");
    check("ask:t no-text:t", "", "refused in writing", "");
    check("ask:t no-key:t", "", "refused by key", "");
    check("ask:t silence:t voice:t ask:t voice:t", "", "refused by silence", "");
    check("ask:t unclear:t", "", "refused, unclear answer", "");
    check("ask:t voice:t hung_up", "transcript", "granted by voice", "");
    check("hung_up", "", "refused, hung up", "");
}

#[test]
fn each_scope_goes_its_own_way() {
    check("ask:t voice:t ask:a said:a", "transcript", "granted by voice", "");
    check("ask:t said:t ask:a voice:a", "audio", "refused by voice", "");
    check("ask:t voice:t ask:a voice:a back-key:a", "transcript", "granted by voice", "audio");
    check("ask:t voice:t ask:x silence:x", "transcript", "granted by voice", "");
}

#[test]
fn one_yes_answers_one_question() {
    check("ask:t voice:t voice:x", "transcript", "granted by voice", "");
    check("ask:t ask:x voice:t", "", "asked", "");
    check("ask:t ask:x voice:x voice:t", "xborder:US", "asked", "");
    check("ask:t ask:x text:x key:t", "xborder:US", "asked", "");
    check("ask:t ask:x click:t", "transcript", "granted by click", "");
    check("ask:t ask:x click:t click:x", "transcript xborder:US", "granted by click", "");
    check("ask:t ask:x silence:x voice:x", "", "asked", "");
}

#[test]
fn what_is_taken_back_stays_back_and_has_to_go() {
    check("ask:t voice:t back-phrase", "", "withdrawn", "transcript");
    check("ask:t voice:t back-phrase:t voice:t ask:t voice:t", "", "withdrawn", "transcript");
    check("ask:t voice:t ask:a voice:a back-key", "", "withdrawn", "transcript audio");
    check("ask:t voice:t back-key:t back-key", "", "withdrawn", "transcript");
    check("back-key ask:t voice:t", "", "withdrawn", "");
    check("ask:t back-key voice:t", "", "withdrawn", "");
    check("ask:t said:t back-key", "", "refused by voice", "");
}

#[test]
fn a_new_policy_permits_nothing_until_it_is_asked_anew() {
    check("ask:t voice:t supersede:2", "", "superseded", "");
    check("ask:t voice:t supersede:1", "transcript", "granted by voice", "");
    check("ask:t voice:t supersede:2 voice:t click:t", "", "superseded", "");
    check("ask:t voice:t supersede:2 ask:t", "", "asked", "");
    check("ask:t voice:t supersede:2 ask:t key:t", "transcript", "granted by key", "");
    check("ask:t supersede:2 voice:t", "", "superseded", "");
    check("ask:t voice:t supersede:2 back-key", "", "withdrawn", "transcript");
    // A no to the new text is a no to what was kept under the old one.
    check("ask:t voice:t supersede:2 ask:t said:t", "", "refused by voice", "transcript");
    check("ask:t said:t supersede:2 ask:t voice:t", "", "refused by voice", "");
}

#[test]
fn what_ends_ends_for_good() {
    check("ask:t voice:t storage", "", "storage only", "transcript");
    check("storage ask:t voice:t", "", "storage only", "");
    check("ask:t voice:t back-key storage erase", "", "erased", "transcript");
    check("ask:t voice:t erase storage ask:t voice:t back-key", "", "erased", "transcript");
}

fn events(gate: &mut ConsentGate) -> Vec<ConsentEvent> {
    std::iter::from_fn(|| gate.poll()).collect()
}

#[test]
fn every_step_that_is_taken_is_recorded_and_no_other() {
    let mut gate = gate();
    run("voice:t ask:t ask:t voice:t voice:t ask:x said:x supersede:2 back-key", &mut gate);
    let events = events(&mut gate);
    let said: Vec<String> = events
        .iter()
        .map(|e| {
            let (what, how) = e.state.words();
            let scopes = match &e.scopes {
                Which::All => "all".into(),
                Which::Only(scopes) => scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"),
            };
            format!("{} {} {scopes} {what} {} v{}", e.seq, e.at.0, how.unwrap_or("-"), e.policy)
        })
        .collect();
    assert_eq!(
        said,
        [
            "0 1000 transcript asked - v1",
            "1 3000 transcript granted voice v1",
            "2 5000 xborder:US asked - v1",
            "3 6000 xborder:US refused said v1",
            "4 7000 all superseded policy v2",
            "5 8000 all withdrawn key v2",
        ]
    );
    let asked = Some(TextHash::of("May we t?"));
    assert_eq!((events[0].prompt, events[1].prompt, events[5].prompt), (asked, asked, None));
    assert_eq!(events[3].prompt, Some(TextHash::of("May we x?")));
    assert!(events.iter().all(|e| e.is_intact() && e.channel == Channel::Phone && e.evidence.is_none()));
    let ids: BTreeSet<EventId> = events.iter().map(|e| e.id).collect();
    assert_eq!(ids.len(), events.len());
    assert!(gate.poll().is_none());
}

#[test]
fn an_event_has_only_the_declared_keys() {
    let mut gate = gate();
    run("ask:t voice:t ask:x silence:x supersede:2 back-phrase storage erase", &mut gate);
    let declared = [
        "at", "call", "channel", "evidence", "how", "id", "language", "policy", "prompt", "scopes", "seq", "subject",
        "text", "what",
    ];
    let events = events(&mut gate);
    assert_eq!(events.len(), 8);
    for event in events {
        let json = serde_json::to_value(&event).expect("JSON");
        let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let keys: BTreeSet<&str> = keys.into_iter().collect();
        assert_eq!(keys, BTreeSet::from(declared));
        assert_eq!(serde_json::from_value::<ConsentEvent>(json.clone()).expect("reads"), event);

        let mut more = json.clone();
        more["words"] = "yes please".into();
        assert!(serde_json::from_value::<ConsentEvent>(more).is_err(), "an undeclared key");
    }
}

#[test]
fn an_altered_event_is_not_read() {
    let mut gate = gate();
    run("ask:t voice:t", &mut gate);
    let event = events(&mut gate).pop().expect("one");
    let json = serde_json::to_value(&event).expect("JSON");
    let altered = [
        ("id", "00112233445566778899aabbccddeeff".into()),
        ("call", "0000000000000008".into()),
        ("subject", "00112233445566778899aabbccddeeff".into()),
        ("seq", 2.into()),
        ("scopes", serde_json::json!(["audio"])),
        ("scopes", serde_json::json!(["audio", "transcript"])),
        ("scopes", "all".into()),
        ("scopes", serde_json::json!([])),
        ("what", "withdrawn".into()),
        ("how", "key".into()),
        ("how", serde_json::Value::Null),
        ("policy", "2".into()),
        ("text", TextHash::of("2").to_string().into()),
        ("language", "ru".into()),
        ("prompt", serde_json::Value::Null),
        ("channel", "web".into()),
        ("at", 1001.into()),
    ];
    for (key, value) in altered {
        let mut other = json.clone();
        other[key] = value;
        assert_ne!(other, json);
        assert!(serde_json::from_value::<ConsentEvent>(other).is_err(), "{key}");
    }
    // The form of the bytes is part of the id: it may not change.
    assert_eq!(event.id.to_string(), "a59027211b76f659517803d91764a2a0");
}

#[test]
fn what_is_recorded_without_end_is_bounded() {
    let mut gate = gate();
    let mut round = 1;
    while gate.ask(Time(0), &Scope::Transcript, TextHash::of("May we?")) {
        gate.grant(Time(0), &Scope::Transcript, Grant::Key);
        round += 1;
        gate.supersede(Time(0), told(&round.to_string()));
        assert!(round < 1000);
    }
    assert!(events(&mut gate).len() >= EVENTS_MAX as usize);
    assert_eq!(gate.withdraw(Time(1), &Which::All, Withdrawal::Key), Scopes::from([Scope::Transcript]));
    assert_eq!(events(&mut gate).len(), 1, "what ends a consent is recorded still");
}

#[test]
fn the_number_of_scopes_is_bounded() {
    let mut gate = gate();
    for n in 0..100 {
        let scope = Scope::ThirdParty(n.to_string());
        let asked = gate.ask(Time(0), &scope, TextHash::of("May we?"));
        assert_eq!(asked, n < SCOPES_MAX, "{n}");
        assert_eq!(gate.grant(Time(0), &scope, Grant::Voice), asked);
    }
    assert_eq!(gate.granted().len(), SCOPES_MAX);
    assert_eq!(gate.withdraw(Time(0), &Which::All, Withdrawal::Phrase).len(), SCOPES_MAX);
}

#[test]
fn another_language_is_no_new_policy() {
    let mut gate = gate();
    run("ask:t voice:t", &mut gate);
    let russian = |version: &str| Told {
        text: TextHash::of("по-русски"),
        language: Language::new("ru").expect("a language"),
        ..told(version)
    };
    assert!(!gate.speak(russian("2")));
    assert_eq!(gate.told().language.as_str(), "en");
    assert!(gate.speak(russian("1")));
    gate.ask(Time(9), &Scope::Audio, TextHash::of("Можно?"));
    assert!(gate.permit(&Scope::Transcript).is_some());
    let languages: Vec<String> = events(&mut gate).iter().map(|e| e.language.to_string()).collect();
    assert_eq!(languages, ["en", "en", "ru"]);
}

#[test]
fn what_is_over_is_read_back_and_can_only_end() {
    let mut gate = gate();
    run("ask:t voice:t ask:x said:x", &mut gate);
    let events = events(&mut gate);
    let mut past = Past::of(&events).expect("a history");
    assert_eq!((past.call(), past.subject()), (CallId(7), SubjectId([9; 16])));
    assert_eq!(past.state(&Scope::Transcript), State::Granted(Grant::Voice));
    assert_eq!(past.kept(), &Scopes::from([Scope::Transcript]));

    let purge = past.withdraw(Time(9000), &Which::All, Withdrawal::Request);
    assert_eq!(purge, Scopes::from([Scope::Transcript]));
    assert!(past.storage_only(Time(9001)).is_empty() && past.erased(Time(9002)).is_empty());
    let mut all = events;
    all.extend(std::iter::from_fn(|| past.poll()));
    let written: Vec<(u32, &str)> = all.iter().map(|e| (e.seq, e.state.words().0)).collect();
    assert_eq!(written[4..], [(4, "withdrawn"), (5, "storage_only"), (6, "erased")]);
    assert!(all[4..].iter().all(|e| e.channel == Channel::Api));
    assert_eq!(Past::of(&all).expect("a history").state(&Scope::Audio), State::Erased);
}

#[test]
fn a_history_that_cannot_be_is_refused() {
    let mut gate = gate();
    run("ask:t voice:t ask:a click:a", &mut gate);
    let good = events(&mut gate);
    let refused = |change: &dyn Fn(&mut Vec<ConsentEvent>)| {
        let mut events = good.clone();
        change(&mut events);
        Past::of(&events).map(|_| ())
    };
    assert_eq!(refused(&|_| ()), Ok(()));
    assert_eq!(refused(&|e| e.clear()), Err(HistoryError::Empty));
    assert_eq!(refused(&|e| drop(e.remove(1))), Err(HistoryError::Missing { seq: 1 }));
    assert_eq!(refused(&|e| e.swap(0, 1)), Err(HistoryError::Missing { seq: 0 }));
    assert_eq!(refused(&|e| e[2].at = Time(0)), Err(HistoryError::Altered { seq: 2 }));
    assert_eq!(refused(&|e| e[2].call = CallId(8)), Err(HistoryError::Foreign { seq: 2 }));

    // Whole and well formed, but no gate would have taken this step.
    let forged = |seq: u32, scopes: Which, state: State| {
        let prompt = (scopes != which("x")).then(|| TextHash::of("May we?"));
        let evidence = (state == State::Granted(Grant::PreGrant) && scopes == Which::All).then(|| Evidence {
            statement: TextHash::of("a statement"),
            basis: Basis::Contract,
            given: Time(0),
            key: KeyName::new("k").expect("a name"),
        });
        let step = Step { scopes, state, prompt, channel: Channel::Phone, evidence, at: Time(0) };
        ConsentEvent::new(CallId(7), SubjectId([9; 16]), seq, &told("1"), step)
    };
    for (scopes, state) in [
        (which("x"), State::Granted(Grant::Voice)),
        (which("x"), State::Granted(Grant::PreGrant)),
        (which("x"), State::Asked),
        (which("x"), State::None),
        (Which::All, State::Granted(Grant::PreGrant)),
        (Which::All, State::Asked),
        (which("t"), State::Refused(Refusal::Said)),
    ] {
        let event = forged(4, scopes.clone(), state);
        assert_eq!(refused(&|e| e.push(event.clone())), Err(HistoryError::Impossible { seq: 4 }), "{state}");
    }
}
