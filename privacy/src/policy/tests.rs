//! Policy files: those that come with the project load, and whatever is wrong is named with its remedy.

use super::*;

const SMALL: &str = r#"
version = "1"
tenant = "clinic"
operator = "The Clinic"
contact = "privacy@clinic.example"
url = "/privacy"
residency = "KZ"
withdraw_key = "*9"
[texts.en]
disclosure = "An AI answers for {operator}."
keeps = "Kept for {content_days} days."
person = "Press zero."
withdraw = ["Delete my data!", "don't record me"]
withdrawn = "Gone."
[[ask]]
scope = "transcript"
[ask.texts.en]
question = "May we keep a text?"
granted = "Thanks."
refused = "All right."
[[ask]]
scope = "xborder:US"
[ask.texts.en]
question = "May we send it to the United States?"
granted = "Thanks."
refused = "All right."
[retention]
content = "30 days"
"#;

fn small() -> Policy {
    Policy::parse(SMALL).expect("loads")
}

fn file(name: &str) -> Policy {
    let path = format!("{}/../configs/policy/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the file");
    Policy::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_policies_that_come_along_load() {
    let default = file("default");
    assert_eq!(default.residency, None);
    let languages: Vec<&str> = default.languages().map(Language::as_str).collect();
    assert_eq!(languages, ["en", "ru"]);
    let scopes: Vec<&Scope> = default.questions("en").iter().map(|q| q.scope).collect();
    assert_eq!(scopes, [&Scope::Transcript]);

    let kz = file("kz");
    assert_eq!(kz.residency, Country::new("KZ"));
    let scopes: Vec<&Scope> = kz.questions("kk").iter().map(|q| q.scope).collect();
    assert_eq!(scopes, [&Scope::AiProcess, &Scope::Transcript]);
    for policy in [default, kz] {
        // "One year" stands in the texts in words.
        assert_eq!(policy.retention["metadata"].as_str(), Some("1 year"));
        for language in policy.languages() {
            let (_, texts) = policy.texts(language.as_str()).expect("texts");
            assert!(texts.disclosure.contains(&policy.operator) && texts.keeps.contains("30"), "{language}");
            for phrase in &texts.withdraw {
                assert!(policy.withdraws(&format!("Um, {}, please.", phrase.to_uppercase())), "{phrase}");
            }
            assert!(!policy.withdraws(&texts.keeps) && !policy.withdraws(&texts.person));
            assert!(policy.text_hash(language.as_str()).is_some());
        }
        assert!(policy.asks.iter().all(|ask| !matches!(ask.scope, Scope::Xborder(_))), "off unless asked for");
    }
}

#[test]
fn texts_are_filled_in_and_found_by_language() {
    let policy = small();
    let (language, texts) = policy.texts("en-GB").expect("English");
    assert_eq!((language.as_str(), texts.disclosure.as_str()), ("en", "An AI answers for The Clinic."));
    assert_eq!(texts.keeps, "Kept for 30 days.");
    assert!(policy.texts("ru").is_none() && policy.told("ru", Channel::Web).is_none());
    assert!(policy.questions("ru").is_empty());
    let told = policy.told("en", Channel::Web).expect("is told");
    assert_eq!((told.language.as_str(), told.channel), ("en", Channel::Web));
    assert_eq!(Some(told.text), policy.text_hash("EN"));
    let prompts: Vec<TextHash> = policy.questions("en").iter().map(Question::prompt).collect();
    assert_eq!(prompts[0], TextHash::of("May we keep a text?"));
}

#[test]
fn the_hash_covers_all_that_is_told_and_asked_and_nothing_else() {
    let hash = |old: &str, new: &str| {
        assert!(SMALL.contains(old), "{old}");
        Policy::parse(&SMALL.replace(old, new)).expect("loads").text_hash("en")
    };
    let plain = small().text_hash("en");
    for (old, new) in [
        ("The Clinic", "The Other Clinic"),
        ("privacy@clinic.example", "other@clinic.example"),
        ("\"/privacy\"", "\"/privacy2\""),
        ("*9", "*8"),
        ("An AI", "A machine"),
        ("Kept for", "Kept"),
        ("Press zero.", "Press 0."),
        ("Delete my data!", "Erase my data!"),
        ("\"Delete my data!\", ", ""),
        ("Gone.", "It is gone."),
        ("keep a text", "keep the text"),
        ("granted = \"Thanks.\"", "granted = \"Thank you.\""),
        ("refused = \"All right.\"", "refused = \"Fine.\""),
        ("xborder:US", "xborder:DE"),
        ("content = \"30 days\"", "content = \"31 days\""),
    ] {
        assert_ne!(hash(old, new), plain, "{old} -> {new}");
    }
    assert_eq!(hash("version = \"1\"", "version = \"2\""), plain);
    assert_eq!(hash("residency = \"KZ\"", "residency = \"DE\""), plain);
    // The form of what is hashed is part of every record: it may not change.
    assert_eq!(plain.expect("a hash").to_string(), "bab55d3d450de80658d30910cc3a1a7213cc2582ab09f3f8d2d3f64625cee7f4");
}

#[test]
fn a_withdrawal_is_found_in_any_turn() {
    let policy = small();
    for heard in ["delete my data", "Please, delete... my data. Now!", "No, don’t record me", "DONT RECORD ME"] {
        assert!(policy.withdraws(heard), "{heard}");
    }
    for heard in ["", "delete my appointment", "my data, delete", "do you record me", "data"] {
        assert!(!policy.withdraws(heard), "{heard}");
    }
    assert!(!policy.withdraws(&"word ".repeat(100_000)));
}

#[test]
fn machines_are_told_the_same() {
    let policy = small();
    let notice = policy.notice("en").expect("English");
    let json = serde_json::to_value(&notice).expect("JSON");
    assert_eq!(json["ai"], true);
    assert_eq!(json["disclosure"], "An AI answers for The Clinic.");
    assert_eq!(json["asks"], serde_json::json!(["transcript", "xborder:US"]));
    let header = notice.header();
    assert!(header.starts_with("ai;policy=\"1\";language=en;text="), "{header}");
    assert!(header.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{header}");
    let kz = file("kz").notice("kk").expect("Kazakh").header();
    assert!(kz.is_ascii(), "{kz}");
}

/// With `old` replaced by `new`, the file does not load, and the error says so.
fn wrong(old: &str, new: &str, says: &[&str]) {
    assert!(SMALL.contains(old), "{old}");
    let error = Policy::parse(&SMALL.replacen(old, new, 1)).expect_err(new).to_string();
    for part in says {
        assert!(error.contains(part), "{new}: {error}");
    }
}

#[test]
fn an_unknown_key_says_what_to_do() {
    wrong("url =", "uri =", &["line 6: `uri`: unknown key; correct or delete it", "url"]);
    wrong("person =", "persons =", &["`persons`: unknown key", "person"]);
    wrong("granted =", "grant =", &["`grant`: unknown key", "granted"]);
    wrong("[retention]", "[retain]", &["`retain`: unknown key", "retention"]);
    wrong("contact = \"privacy@clinic.example\"\n", "", &["`contact`: missing; add it"]);
    wrong("version = \"1\"", "version = 1", &["line 2: `version`: correct this line"]);
    wrong("version = \"1\"", "version = \"a b\"", &["line 2", "letters, digits"]);
    wrong("tenant = \"clinic\"", "tenant = \"Clinic\"", &["line 3", "name of a tenant"]);
    wrong("scope = \"transcript\"", "scope = \"text\"", &["no scope", "third_party:NAME"]);
    wrong("scope = \"transcript\"", "scope = [\"transcript\", \"audio\"]", &["correct this line"]);
    wrong("version = \"1\"", "version = ", &["line 2"]);
    wrong("[texts.en]", "[texts.english]", &["language"]);
}

#[test]
fn what_cannot_be_meant_is_named() {
    wrong("residency = \"KZ\"", "residency = \"US\"", &["`ask[1].scope`: US is the residency itself"]);
    wrong("xborder:US", "transcript", &["`ask[1].scope`: transcript is asked twice"]);
    wrong("May we send it to the United States?", "May we keep a text?", &["ask for each apart"]);
    wrong("May we keep a text?", "We keep a text.", &["`ask[0].texts.en.question`: a question has a question mark"]);
    wrong("*9", "9", &["`withdraw_key`"]);
    wrong("*9", "99", &["`withdraw_key`"]);
    wrong("*9", "*", &["`withdraw_key`"]);
    wrong("{operator}", "us", &["`texts.en.disclosure`: it has to say for whom", "{operator}"]);
    wrong("{operator}", "{operater}", &["in braces only these are known: {operator}"]);
    wrong("{content_days}", "{content_days", &["in braces only these are known"]);
    wrong(
        "content = \"30 days\"",
        "content = \"1 month\"",
        &["`texts.en.keeps`: [retention] content has no term in days"],
    );
    wrong("\"/privacy\"", "\"privacy\"", &["`url`"]);
    wrong("\"/privacy\"", "\"https://клиника.example\"", &["`url`"]);
    wrong("Press zero.", "", &["`texts.en.person`: write 1 to 1200 characters"]);
    wrong("Press zero.", "Press\\nzero.", &["in one line"]);
    wrong("Press zero.", &"Press zero. ".repeat(101), &["in one line"]);
    wrong("\"Delete my data!\"", "\"stop!\"", &["`texts.en.withdraw[0]`: a single word is said by chance"]);
    wrong("[\"Delete my data!\", \"don't record me\"]", "[]", &["`texts.en.withdraw`: write 1 to 64 phrases"]);
    wrong(
        "[[ask]]",
        "[texts.ru]\ndisclosure=\"a\"\nkeeps=\"b\"\nperson=\"c\"\nwithdraw=[\"d e\"]\nwithdrawn=\"f\"\n[[ask]]",
        &["`texts.ru.disclosure`: it has to say", "`ask[0].texts.ru`: missing", "`ask[1].texts.ru`: missing"],
    );
    wrong("[ask.texts.en]", "[ask.texts.ru]", &["`ask[0].texts.en`: missing", "there is no [texts.ru]"]);
}
