//! A card said or keyed over several turns leaves nothing behind, as scripts of calls.

use std::sync::Arc;

use privacy::Time;
use privacy::redact::{Decided, Limits, Line, Pause, Redactor, Rules, Speaker, Verdict};
use proptest::prelude::*;

/// A call by script: `caller: words`, `agent: words`, `partial: words`, `keys: 123#`, `wait: 5000`,
/// `began`, `finished`. Each step takes two seconds.
struct Call {
    pause: Pause,
    now: Time,
    next: u64,
    sound: Vec<(i64, i64, Verdict)>,
    kept: Vec<Decided>,
}

impl Call {
    fn new(language: &str) -> Self {
        let now = Time(1_000_000);
        let redactor = Arc::new(Redactor::new(&Rules::default()));
        let pause = Pause::new(redactor, language, Limits::default(), now);
        Self { pause, now, next: 0, sound: Vec::new(), kept: Vec::new() }
    }

    fn step(&mut self, step: &str) -> Option<Verdict> {
        let (what, words) = step.trim().split_once(':').unwrap_or((step.trim(), ""));
        let words = words.trim_start();
        let line = |pause: &Call, speaker| Line {
            id: pause.next,
            speaker,
            from: pause.now.plus_ms(-1_500),
            to: pause.now,
            text: words.to_owned(),
        };
        self.now = self.now.plus_ms(2_000);
        let verdict = match what {
            "caller" | "agent" => {
                self.next += 1;
                let speaker = if what == "agent" { Speaker::Agent } else { Speaker::Caller };
                Some(self.pause.line(self.now, line(self, speaker)))
            }
            "partial" => Some(self.pause.partial(self.now, words)),
            "keys" => words.chars().map(|key| self.pause.key(self.now, key)).last(),
            "began" => {
                self.pause.began(self.now);
                None
            }
            "finished" => {
                self.pause.finished(self.now);
                None
            }
            "expect" => {
                self.pause.expect_card(self.now);
                None
            }
            "wait" => {
                self.now = self.now.plus_ms(words.parse().unwrap_or_default());
                self.pause.handle_timeout(self.now);
                None
            }
            other => unreachable!("{other}: no such step"),
        };
        self.drain();
        verdict
    }

    fn drain(&mut self) {
        while let Some(stretch) = self.pause.poll_audio(self.now) {
            self.sound.push((stretch.from.0, stretch.to.0, stretch.verdict));
        }
        while let Some(decided) = self.pause.poll() {
            self.kept.push(decided);
        }
    }

    fn end(mut self) -> Self {
        self.now = self.now.plus_ms(2_000);
        self.pause.end(self.now);
        self.now = self.now.plus_ms(10_000);
        self.drain();
        self
    }

    /// What is kept, a line each; what is dropped as `-`.
    fn texts(&self) -> Vec<String> {
        let text = |decided: &Decided| decided.text.as_ref().map_or("-".to_owned(), |text| text.text.clone());
        self.kept.iter().map(text).collect()
    }

    fn dropped_ms(&self) -> i64 {
        self.sound.iter().filter(|(_, _, verdict)| *verdict == Verdict::Drop).map(|(from, to, _)| to - from).sum()
    }
}

fn play(language: &str, script: &str) -> Call {
    let mut call = Call::new(language);
    for step in script.lines().filter(|line| !line.trim().is_empty()) {
        call.step(step);
    }
    call.end()
}

fn check(language: &str, script: &str, kept: &[&str]) {
    let call = play(language, script);
    assert_eq!(call.texts(), kept, "{script}");
}

#[test]
fn words_without_digits_are_kept_at_once() {
    let mut call = Call::new("en");
    assert_eq!(call.step("caller: hello there"), Some(Verdict::Keep));
    assert_eq!(call.texts(), ["hello there"]);
    call.step("agent: how can I help");
    assert_eq!(call.texts().len(), 2);
    let call = call.end();
    assert_eq!(call.dropped_ms(), 0);
}

#[test]
fn a_card_in_one_line_is_masked_and_pauses() {
    check(
        "en",
        "caller: hello
         caller: my visa is 4111 1111 1111 1111
         caller: twelve twenty six
         caller: 123
         agent: one moment
         caller: thank you
         caller: see you on Monday",
        &["hello", "my visa is [card]", "-", "-", "-", "thank you", "see you on Monday"],
    );
}

#[test]
fn a_card_over_several_turns_leaves_no_piece() {
    check(
        "en",
        "caller: 4111
         agent: yes
         caller: 1111
         agent: go on
         caller: 1111 1111
         caller: that was it
         caller: thanks",
        &["[digits]", "yes", "[digits]", "-", "-", "that was it", "thanks"],
    );
    check(
        "ru",
        "caller: сорок один одиннадцать
         caller: одиннадцать одиннадцать
         caller: одиннадцать одиннадцать
         caller: одиннадцать одиннадцать
         caller: это все
         caller: спасибо",
        &["[digits]", "[digits]", "-", "-", "это все", "спасибо"],
    );
    check(
        "kk",
        "caller: төрт бір бір бір
         caller: бір бір бір бір
         caller: бір бір бір бір бір бір бір бір
         caller: болды",
        &["[digits]", "[digits]", "-", "болды"],
    );
}

#[test]
fn a_question_about_a_card_pauses_before_it_is_read() {
    check(
        "en",
        "agent: What is your card number?
         caller: four one
         caller: one one, one one one one
         agent: I hear you
         caller: one one one one one one one one
         agent: and the security code?
         caller: seven three seven
         caller: that is all
         caller: goodbye",
        &["What is your card number?", "-", "-", "-", "-", "-", "-", "that is all", "goodbye"],
    );
    check(
        "ru",
        "agent: Назовите номер карты\ncaller: я не помню\ncaller: не надо карту",
        &["Назовите номер карты", "-", "не надо карту"],
    );
    check("en", "expect\ncaller: 4111\nfinished\ncaller: bye", &["-", "bye"]);
}

#[test]
fn partial_words_stop_the_rest_in_time() {
    let mut call = Call::new("en");
    call.step("began");
    assert_eq!(call.step("partial: it is"), Some(Verdict::Keep));
    assert_eq!(call.step("partial: it is 4111"), Some(Verdict::Keep));
    assert_eq!(call.step("partial: it is 4111 11"), Some(Verdict::MaskDigits));
    assert_eq!(call.step("partial: it is 4111 1111"), Some(Verdict::Drop));
    assert!(call.pause.is_paused());
    assert_eq!(call.step("caller: it is 4111 1111 1111 1111"), Some(Verdict::Drop));
    let call = call.end();
    assert_eq!(call.texts(), ["-"]);
    assert!(call.dropped_ms() >= 8_000, "the sound since the utterance began: {:?}", call.sound);
}

#[test]
fn keys_of_a_card_are_dropped_and_those_of_a_menu_kept() {
    check("en", "keys: 1\nwait: 6000\ncaller: the first one", &["1", "the first one"]);
    check("en", "keys: 4111111111111111#\ncaller: done\ncaller: bye", &["done", "bye"]);
    check(
        "en",
        "caller: hello\nagent: key in your card number\nkeys: 4111111111111111\nkeys: 1226\nkeys: 123\ncaller: done",
        &["hello", "key in your card number", "done"],
    );
    check("en", "keys: 4111#\nkeys: 1111#\nkeys: 1111#\nkeys: 1111#\nwait: 40000", &["#", "[digits]", "[digits]", "#"]);
    check("en", "agent: key in your IIN\nkeys: 900101300077#\nwait: 40000", &["key in your IIN", "#", "[iin]"]);
    let call = play("en", "keys: 4111111111111111\ncaller: done");
    assert!(call.dropped_ms() > 0, "the tones are not kept");
}

#[test]
fn other_numbers_over_several_turns_stay() {
    check(
        "en",
        "caller: at 10
         agent: on which day
         caller: on the 5th
         caller: for 3 people
         wait: 40000",
        &["at 10", "on which day", "on the 5th", "for 3 people"],
    );
    check(
        "en",
        "agent: what is your order number
         caller: 4155
         caller: 5512
         caller: 3456
         wait: 40000",
        &["what is your order number", "4155", "5512", "3456"],
    );
    check(
        "ru",
        "agent: Ваш номер телефона?
         caller: восемь семьсот один
         caller: пятьсот пятьдесят пять
         caller: двенадцать тридцать четыре
         wait: 40000",
        &["Ваш номер телефона?", "[phone]", "[phone]", "[phone]"],
    );
    check("en", "caller: room 4111\nwait: 40000\ncaller: thanks", &["room 4111", "thanks"]);
}

#[test]
fn lines_wait_until_it_is_clear_and_no_longer() {
    let mut call = Call::new("en");
    call.step("caller: room 12");
    assert!(call.texts().is_empty(), "it may be a beginning");
    let due = call.pause.deadline().expect("waits");
    call.pause.handle_timeout(Time(due.0 - 1));
    call.drain();
    assert!(call.texts().is_empty());
    call.pause.handle_timeout(due);
    call.drain();
    assert_eq!(call.texts(), ["room 12"]);
    assert_eq!(call.pause.deadline(), None);

    let mut call = Call::new("en");
    call.step("caller: room 12");
    call.step(&format!("caller: {}", "word ".repeat(41)));
    assert_eq!(call.texts().len(), 2, "nothing so far back is part of what comes");
}

#[test]
fn a_choice_by_key_and_an_agents_hours_keep_nothing_waiting() {
    let mut call = Call::new("en");
    call.step("keys: 1");
    call.step("wait: 5000");
    call.step("agent: we are open from 8 to 6");
    call.step("caller: thanks");
    assert_eq!(call.texts(), ["1", "we are open from 8 to 6", "thanks"]);
    // Keyed slowly, one after the other, they may be a number.
    call.step("keys: 4");
    call.step("wait: 6000");
    call.step("caller: wait");
    assert_eq!(call.texts().len(), 3);
    // What follows the caller's digits waits with them.
    let mut call = Call::new("en");
    call.step("caller: 41");
    call.step("agent: 41, and then");
    assert!(call.texts().is_empty());
    call.step("agent: 4111 it is");
    assert_eq!(call.end().texts().len(), 3);
}

#[test]
fn too_many_waiting_lines_lose_their_digits_and_not_their_words() {
    let mut call = Call::new("en");
    for _ in 0..200 {
        call.now = call.now.plus_ms(-1_900);
        call.step("caller: double so");
    }
    assert!(call.kept.len() >= 130, "{}", call.kept.len());
    assert!(call.kept.iter().all(|one| one.text.as_ref().is_some_and(|text| text.text.ends_with("so"))));
}

#[test]
fn a_pause_ends_by_itself_and_not_while_somebody_speaks() {
    let mut call = Call::new("en");
    call.step("agent: your card number please");
    assert!(call.pause.is_paused());
    call.step("began");
    call.step("wait: 25000");
    assert!(call.pause.is_paused(), "still speaking");
    call.pause.nothing_heard(call.now);
    call.step("wait: 1");
    assert!(!call.pause.is_paused());
}

#[test]
fn sound_waits_for_words_and_is_dropped_with_them() {
    let call = play("en", "caller: hello\ncaller: 4111 1111 1111 1111\ncaller: bye\nwait: 10000");
    let last = call.sound.last().expect("is told").1;
    let mut at = 1_000_000;
    for (from, to, _) in &call.sound {
        assert_eq!(*from, at, "without gaps");
        at = *to;
    }
    assert!(last > 1_015_000);
    // The second line was said from 1002.5 to 1004 s.
    let overlaps = |from: i64, to: i64| from < 1_004_000 && to > 1_002_500;
    assert!(call.sound.iter().all(|(from, to, verdict)| *verdict == Verdict::Drop || !overlaps(*from, *to)));
    assert!(call.sound.iter().any(|(_, _, verdict)| *verdict == Verdict::Keep));

    let mut call = Call::new("en");
    call.step("began");
    call.step("wait: 30000");
    assert!(call.sound.iter().all(|(_, to, _)| *to <= 1_001_000), "undecided: {:?}", call.sound);
    call.step("wait: 60000");
    let late = call.sound.last().expect("told at last");
    assert_eq!(late.2, Verdict::Drop, "too late to be kept");
}

#[test]
fn a_card_heard_wrong_is_not_kept_and_an_order_is() {
    check("en", "caller: 4111 1111 1111 1112\ncaller: thanks", &["[digits]", "thanks"]);
    check(
        "en",
        "agent: your card number?\ncaller: 4111 1111 1111 1112\ncaller: thanks",
        &["your card number?", "-", "thanks"],
    );
    check("en", "caller: order 4111111111111112\nwait: 40000", &["order 4111111111111112"]);
    check(
        "en",
        "agent: the order number?\ncaller: 4111111111111111\ncaller: ok",
        &["the order number?", "[card]", "ok"],
    );
}

#[test]
fn debug_shows_no_digit() {
    let mut call = Call::new("en");
    call.step("caller: 4111");
    assert!(!format!("{:?}", call.pause).contains("4111"));
}

/// A card in pieces, with what is said between them.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    let sizes =
        prop::sample::select(vec![vec![4, 4, 4, 4], vec![8, 8], vec![4, 12], vec![6, 10], vec![12, 4], vec![2, 14]]);
    let between = prop::collection::vec(
        prop::sample::select(vec!["agent: yes", "agent: go on please", "caller: wait a second", "caller: hm"]),
        0..2,
    );
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    (sizes, prop::collection::vec(between, 8), any::<bool>(), prop::collection::vec(0_u8..10, 14)).prop_map(
        move |(sizes, between, said, rest)| {
            let mut digits = vec![4];
            digits.extend(rest);
            let sum: u32 = digits.iter().rev().enumerate().fold(0, |sum, (i, d): (usize, &u8)| {
                let d = u32::from(*d) * if i % 2 == 0 { 2 } else { 1 };
                sum + d / 10 + d % 10
            });
            digits.extend(u8::try_from((10 - sum % 10) % 10));
            let mut steps = Vec::new();
            let mut from = 0;
            for (size, between) in sizes.into_iter().zip(between) {
                let part = &digits[from..from + size];
                let text = if said {
                    part.iter().map(|d| words[usize::from(*d)]).collect::<Vec<_>>().join(" ")
                } else {
                    part.iter().map(u8::to_string).collect::<Vec<_>>().concat()
                };
                steps.push(format!("caller: {text}"));
                steps.extend(between.into_iter().map(str::to_owned));
                from += size;
            }
            steps
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_piece_of_a_card_is_kept_whatever_its_turns(steps in pieces()) {
        let call = play("en", &steps.join("\n"));
        let kept = call.texts().join("|");
        let words = ["zero", "one ", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        let digits = kept.chars().filter(char::is_ascii_digit).count();
        let said: usize = words.iter().map(|word| kept.matches(word).count()).sum();
        prop_assert!(digits + said == 0, "{:?} => {}", steps, kept);
    }

    #[test]
    fn any_order_of_events_is_taken_and_nothing_is_decided_twice(
        steps in prop::collection::vec((0_u8..8, "\\PC{0,30}|[0-9 ]{0,20}", 0_i64..40_000), 0..60),
    ) {
        let mut call = Call::new("en");
        let mut lines = 0;
        for (what, text, wait) in steps {
            let text = text.replace('\n', " ");
            match what {
                0 | 1 => { lines += 1; call.step(&format!("caller: {text}")); }
                2 => { lines += 1; call.step(&format!("agent: {text}")); }
                3 => { call.step(&format!("partial: {text}")); }
                4 => { call.step(&format!("keys: {text}")); }
                5 => { call.step("began"); }
                6 => { call.step(&format!("wait: {wait}")); }
                _ => { call.step("expect"); }
            }
        }
        let call = call.end();
        let ids: Vec<u64> = call.kept.iter().filter_map(|one| one.id).collect();
        prop_assert_eq!(ids.len(), lines);
        prop_assert!(ids.is_sorted_by(|one, next| one < next), "in the order in which they came: {:?}", ids);
    }
}
