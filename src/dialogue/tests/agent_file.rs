//! Agent files: what is refused and how it is told, what can be made ahead, what nobody may see.

use super::*;
use crate::dialogue::consent::{ConsentAnswer, consent_answer};

/// The English file with one change; its error has to hold every one of `expected`.
fn refused(from: &str, to: &str, expected: &[&str]) {
    assert!(ENGLISH.contains(from), "the agent file no longer holds {from:?}");
    let changed = ENGLISH.replacen(from, to, 1);
    let error = Agent::parse(&changed).expect_err(to).to_string();
    for part in expected {
        assert!(error.contains(part), "{to:?}: {error:?} does not say {part:?}");
    }
    let line = ENGLISH.lines().take_while(|line| !line.contains(from.lines().next().unwrap_or_default())).count() + 1;
    let named = error.lines().any(|problem| {
        let told: usize =
            problem.trim_start_matches("line ").split(':').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        told.abs_diff(line) <= 1
    });
    assert!(named, "{to:?}: {error:?} does not name line {line}");
}

#[test]
fn a_wrong_file_is_refused_with_the_line_the_key_and_what_is_allowed() {
    refused("voice = \"joe\"", "voicee = \"joe\"", &["`voicee`", "did you mean `voice`?", "greeting"]);
    refused("language = \"en\"", "language = \"xx\"", &["`language`", "allowed: en, ru"]);
    refused("language = \"en\"", "language = 5", &["`language`", "string"]);
    refused("I'm the clinic's AI assistant.", "I'm Susan.", &["`say`", "an AI speaks"]);
    refused("saturday = \"09:00-14:00\"", "saturday = \"9-14\"", &["`saturday`", "08:00-18:00"]);
    refused("saturday = \"09:00-14:00\"", "saturday = \"14:00-09:00\"", &["`saturday`"]);
    refused("\"2026-12-25\", \"2026", "\"2026-13-25\", \"2026", &["`closed`", "2026-12-25"]);
    refused("for {name}. Your", "for {nme}. Your", &["`confirm`", "{nme}", "did you mean `name`?", "{phone}"]);
    refused("You are booked for {day}", "You are booked on {weekday}", &["`done`", "{weekday}", "{day}"]);
    refused("say = \"Sure, go ahead.\"", "say = \"Sure, {name}.\"", &["`say`", "no slots are allowed"]);
    refused("say = \"Sure, go ahead.\"", "say = \" \"", &["`say`", "empty"]);
    refused(
        "called = [\"day\", \"date\"]",
        "called = [\"day\", \"date\"]\nmore = \"x\"",
        &["`more`", "only the phone slot"],
    );
    refused("name = \"phone\"", "name = \"fone\"", &["`name`", "unknown slot", "did you mean `phone`?"]);
    refused("by = \"service\"", "by = \"servise\"", &["`by`", "did you mean `service`?", "day"]);
    refused(
        "whitening = \"Whitening is two",
        "whitning = \"Whitening is two",
        &["`whitning`", "did you mean `whitening`?"],
    );
    refused("saturday = \"On Saturday", "saturnday = \"On Saturday", &["`saturnday`", "did you mean `saturday`?"]);
    refused("id = \"parking\"", "id = \"hours\"", &["`id`", "taken already"]);
    refused("id = \"parking\"", "id = \"affirm\"", &["`id`", "dialogue's own"]);
    refused("id = \"parking\"", "id = \"noise\"", &["`id`", "dialogue's own"]);
    refused("this is the AI assistant of", "this is", &["`say`", "an AI speaks"]);
    refused("say = [\"One moment, please.\", ", "say = []\nsay2 = [", &["`say2`"]);
    refused("[limit] #", "[limit]\nend = \"x\" #", &["`end`", "warn"]);
    refused("9 = \"repeat\"", "9 = \"repeet\"", &["`9`", "did you mean `repeat`?", "parking"]);
    refused("9 = \"repeat\"", "90 = \"repeat\"", &["`90`", "0 to 9"]);
    refused("0 = \"human\"", "0 = \"hours\"", &["`0`", "always reaches a person"]);
    refused("target = \"sip:reception@127.0.0.1:5080\"", "target = \"front desk\"", &["`target`", "SIP URI"]);
    refused("kind = \"cancelling\"", "kind = \"deleting\"", &["`kind`", "booking, cancelling"]);
    refused("minutes_before_closing = 30", "minutes_before_closing = -1", &["`minutes_before_closing`"]);
}

#[test]
fn examples_of_two_intents_must_differ_and_clauses_must_be_short() {
    let twice = ENGLISH.replacen("  \"Is parking free?\",", "  \"Is parking free?\",\n  \"Where are you located\",", 1);
    let error = Agent::parse(&twice).expect_err("a collision").to_string();
    let first = ENGLISH.lines().take_while(|line| !line.contains("Where are you located?")).count() + 1;
    assert!(error.contains(&format!("cannot be told apart from the example on line {first}")), "{error}");
    let long = ENGLISH.replacen("Sure, go ahead.", &"and so on ".repeat(30), 1);
    let error = Agent::parse(&long).expect_err("a long clause").to_string();
    assert!(error.contains("at most 160"), "{error}");
    let empty = ENGLISH.replacen("called = [\"name\"]", "called = [\"name\"]\nagain2 = []", 1);
    assert!(Agent::parse(&empty).is_err());
    let error = Agent::parse("name = \"x\"").expect_err("almost nothing").to_string();
    assert!(error.contains("`language`: this key is missing"), "{error}");
    let error = Agent::parse("name = ").expect_err("no TOML").to_string();
    assert!(error.starts_with("line 1: `name`"), "{error}");
    let several = ENGLISH.replace("say = \"Sure, go ahead.\"", "say = \"\"").replace("9 = \"repeat\"", "9 = \"x\"");
    assert_eq!(Agent::parse(&several).expect_err("two").problems.len(), 2);
}

#[test]
fn every_clause_marked_fixed_is_among_the_fixed_sentences() {
    for (file, turns) in [
        (
            ENGLISH,
            "When are you open?|What about Sunday?|I'd like to book an appointment|Sunday|Saturday|five p.m.|ten|Anna Miller|\
             5551234567|no|the time|eleven|banana|How much is a crown?|yes|no|bye|never mind|stop|wait|do you sell shoes|\
             who won|delete my recording|operator",
        ),
        (
            RUSSIAN,
            "Когда вы открыты?|А в воскресенье?|хочу записаться|в воскресенье|в субботу|в пять вечера|в десять|Анна|\
             87015551234|нет|время|в одиннадцать|банан|да|оператор",
        ),
    ] {
        let agent = agent(file);
        let fixed = agent.fixed_sentences();
        let mut dialogue = Dialogue::new(Arc::clone(&agent), TODAY);
        for turn in turns.split('|') {
            let reply = dialogue.hear(Input::Speech(turn));
            for (clause, is_fixed) in reply.clauses.iter().zip(&reply.fixed) {
                assert_eq!(*is_fixed, fixed.contains(clause), "{turn}: {clause}");
            }
        }
        for clause in agent.greeting().iter().chain(&agent.ready()) {
            assert!(fixed.contains(clause), "{clause}");
        }
        assert!(fixed.iter().all(|clause| !clause.contains(['{', '}']) && clause.chars().count() <= 160));
    }
    let fixed = agent(ENGLISH).fixed_sentences();
    for expected in
        ["Is that right?", "On Saturday we are open from nine to two.", "I'm sorry, we are closed on Sunday."]
    {
        assert!(fixed.iter().any(|clause| clause == expected), "{expected} is missing");
    }
}

#[test]
fn clauses_are_short_and_the_first_one_is_shortest() {
    let agent = agent(ENGLISH);
    assert_eq!(
        agent.greeting(),
        [
            "Hello, this is Bright Smile Dental.",
            "I'm the clinic's AI assistant.",
            "For a person, press zero at any time."
        ]
    );
    assert_eq!(hear(&agent, "How can I pay?").clauses.len(), 2);
    let split = crate::dialogue::template::split;
    assert_eq!(
        split("Yes, there is free parking for patients behind the building, and it costs nothing."),
        ["Yes, there is free parking for patients behind the building,", "and it costs nothing."]
    );
    assert_eq!(split("Dr. Bennett is in. Call at 3 p.m. today!"), ["Dr. Bennett is in.", "Call at 3 p.m. today!"]);
}

#[test]
fn nothing_a_caller_said_shows_in_debug() {
    let agent = agent(ENGLISH);
    let mut dialogue = Dialogue::new(Arc::clone(&agent), TODAY);
    let mut shown = String::new();
    for turn in ["book an appointment for Thursday at ten", "Annabel Quill", "5550199123", "yes"] {
        shown.push_str(&format!("{:?}", Input::Speech(turn)));
        let reply = dialogue.hear(Input::Speech(turn));
        shown.push_str(&format!("{reply:?} {dialogue:?} {:?}", reply.outcome));
    }
    assert!(shown.contains("Booked"), "{shown}");
    for secret in ["Annabel", "Quill", "555", "five five five", "26th"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn the_prompt_for_a_language_model_holds_the_facts_and_nothing_else_to_say() {
    let prompt = agent(ENGLISH).prompt_for_llm();
    for part in ["Bright Smile Dental", "ninety dollars", "Garden Street", "do not know", "On Sunday we are closed"] {
        assert!(prompt.contains(part), "{part}");
    }
}

/// Whatever a recognizer writes, the dialogue answers: no panic, no endless text, no booking by accident.
#[test]
fn any_text_gets_a_bounded_answer() {
    let pieces = [
        "yes",
        "no",
        "book an appointment",
        "the 31st of February",
        "at 99:99",
        "25 o'clock",
        "+",
        "++7",
        "half past",
        "quarter to",
        "my name is",
        "double",
        "triple",
        "0000000000000000000000000000",
        "on the",
        "next next next",
        "🦷",
        "\u{0}",
        "a'b'c",
        "?!?!",
        "in 99 weeks",
        "99/99",
        "without",
        "{name}",
        "<day>",
        "хочу",
        "пол",
        "без",
        "the 0th",
        "p.m.",
        "hundred hundred",
        "…",
    ];
    for file in [ENGLISH, RUSSIAN] {
        let agent = agent(file);
        let mut dialogue = Dialogue::new(Arc::clone(&agent), TODAY);
        let mut state = 12_345_usize;
        for _ in 0..1500 {
            // A fixed linear congruence: the same script every time.
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let text: Vec<&str> = (0..next() % 5).map(|_| pieces[next() % pieces.len()]).collect();
            let text = text.join(" ");
            let reply = match next() % 12 {
                0 => dialogue.hear(Input::Digit(char::from(b'0' + (next() % 10) as u8))),
                1 => dialogue.hear(Input::Silence),
                2 => dialogue.hear(Input::Unclear),
                _ => dialogue.hear(Input::Speech(&text)),
            };
            assert!(reply.clauses.len() <= 12, "{text}");
            assert_ne!(consent_answer(&text, "ru"), ConsentAnswer::Yes, "{text}");
        }
        let long = "five ".repeat(100_000);
        assert!(dialogue.hear(Input::Speech(&long)).clauses.len() <= 12);
    }
    let late = Dialogue::new(agent(ENGLISH), Date::MAX).hear(Input::Speech("book an appointment for tomorrow at ten"));
    assert!(!late.clauses.is_empty());
}

/// The lines for trouble may be left out: every language has its own.
#[test]
fn a_file_without_lines_for_trouble_is_not_speechless() {
    for (file, noise, filler) in
        [(ENGLISH, "too much noise on the line", "One moment, please."), (RUSSIAN, "слишком шумно", "Одну минуту")]
    {
        let mut kept = true;
        let lines = file.lines().filter(|line| {
            if line.starts_with('[') {
                let own = ["[noise]", "[filler]", "[limit]", "[voicemail]"];
                kept = !own.iter().any(|table| line.starts_with(table));
            }
            kept
        });
        let bare = lines.collect::<Vec<_>>().join("\n");
        assert!(bare.len() < file.len());
        let agent = agent(&bare);
        let fixed = agent.fixed_sentences().join(" ");
        assert!(fixed.contains(noise) && fixed.contains(filler), "{fixed}");
        assert!(agent.filler(0) != agent.filler(1) && agent.filler(1) == agent.filler(9));
        assert!(!agent.limit_warning().is_empty() && !agent.limit_goodbye().is_empty());
        assert_eq!(agent.voicemail(), None);
    }
}
