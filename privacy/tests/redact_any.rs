//! No card number stays, whatever surrounds it and however it is written or said; and no text is too odd.

use std::time::Instant;

use privacy::Scope;
use privacy::redact::{Kind, Redactor, Rules};
use proptest::prelude::*;

const ENGLISH: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const RUSSIAN: [&str; 10] = ["ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"];
const KAZAKH: [&str; 10] = ["нөл", "бір", "екі", "үш", "төрт", "бес", "алты", "жеті", "сегіз", "тоғыз"];
const TEENS: [&str; 10] =
    ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const RUSSIAN_TENS: [&str; 8] =
    ["двадцать", "тридцать", "сорок", "пятьдесят", "шестьдесят", "семьдесят", "восемьдесят", "девяносто"];
const KAZAKH_TENS: [&str; 9] = ["он", "жиырма", "отыз", "қырық", "елу", "алпыс", "жетпіс", "сексен", "тоқсан"];

/// Digits with the check digit of Luhn, computed apart from the code under test.
fn with_check(mut digits: Vec<u8>) -> Vec<u8> {
    let sum: u32 = digits.iter().rev().enumerate().fold(0, |sum, (i, d)| {
        let d = u32::from(*d) * if i % 2 == 0 { 2 } else { 1 };
        sum + d / 10 + d % 10
    });
    digits.extend(u8::try_from((10 - sum % 10) % 10));
    digits
}

fn any_card() -> impl Strategy<Value = Vec<u8>> {
    (12_usize..=18).prop_flat_map(|n| prop::collection::vec(0_u8..10, n)).prop_map(with_check)
}

/// Sixteen digits as a large issuer gives them.
fn issued_card() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![Just(vec![4]), Just(vec![5, 1]), Just(vec![5, 5]), Just(vec![2, 2, 0, 0]), Just(vec![6, 2])])
        .prop_flat_map(|prefix| {
            let rest = 15 - prefix.len();
            prop::collection::vec(0_u8..10, rest).prop_map(move |rest| with_check([prefix.clone(), rest].concat()))
        })
}

/// The parts of a card as somebody would write or say them.
#[derive(Debug, Clone, Copy)]
enum Form {
    Digits,
    Words(usize),
    Pairs(usize),
    Doubles,
    Thousands,
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        3 => Just(Form::Digits),
        3 => (0_usize..3).prop_map(Form::Words),
        2 => (0_usize..3).prop_map(Form::Pairs),
        1 => Just(Form::Doubles),
        1 => Just(Form::Thousands),
    ]
}

fn said(group: &[u8], form: Form) -> String {
    let words = |language: usize| [ENGLISH, RUSSIAN, KAZAKH][language];
    let plain = |group: &[u8]| group.iter().map(|d| words(0)[usize::from(*d)].to_owned()).collect::<Vec<_>>().join(" ");
    match form {
        Form::Digits => group.iter().map(u8::to_string).collect(),
        Form::Words(language) => group.iter().map(|d| words(language)[usize::from(*d)]).collect::<Vec<_>>().join(" "),
        Form::Pairs(language) => {
            let pairs = group.chunks(2).map(|pair| match pair {
                [a, b] => pair_said(usize::from(*a), usize::from(*b), language),
                _ => words(language)[usize::from(pair[0])].to_owned(),
            });
            pairs.collect::<Vec<_>>().join(" ")
        }
        Form::Doubles => {
            let mut parts = Vec::new();
            let mut rest = group;
            while let Some(first) = rest.first() {
                let same = rest.iter().take_while(|d| *d == first).count().min(3);
                let word = ENGLISH[usize::from(*first)];
                parts.push(match same {
                    3 => format!("triple {word}"),
                    2 => format!("double {word}"),
                    _ => word.to_owned(),
                });
                rest = &rest[same..];
            }
            parts.join(" ")
        }
        Form::Thousands => match group {
            [a @ 1..=9, b @ 1..=9, c, d] if *c > 1 && *d > 0 => format!(
                "{} thousand {} hundred and {}-{}",
                ENGLISH[usize::from(*a)],
                ENGLISH[usize::from(*b)],
                TENS[usize::from(*c) - 2],
                ENGLISH[usize::from(*d)]
            ),
            _ => plain(group),
        },
    }
}

fn pair_said(a: usize, b: usize, language: usize) -> String {
    let units = [ENGLISH, RUSSIAN, KAZAKH][language];
    match (a, b, language) {
        (0, b, _) => format!("{} {}", units[0], units[b]),
        (1, b, 0) => TEENS[b].to_owned(),
        (1, b, 1) => format!("{} {}", units[1], units[b]),
        (a, 0, 0) => TENS[a - 2].to_owned(),
        (a, b, 0) => format!("{}-{}", TENS[a - 2], ENGLISH[b]),
        (a, 0, 1) => RUSSIAN_TENS[a - 2].to_owned(),
        (a, b, 1) => format!("{} {}", RUSSIAN_TENS[a - 2], RUSSIAN[b]),
        (a, 0, _) => KAZAKH_TENS[a - 1].to_owned(),
        (a, b, _) => format!("{} {}", KAZAKH_TENS[a - 1], KAZAKH[b]),
    }
}

/// In groups of four or so, each in its own form.
fn groups(card: &[u8], sizes: &[usize], forms: &[Form]) -> Vec<String> {
    let mut rest = card;
    let mut groups = Vec::new();
    for (size, form) in sizes.iter().cycle().zip(forms.iter().cycle()) {
        if rest.is_empty() {
            break;
        }
        let (group, more) = rest.split_at((*size).min(rest.len()));
        groups.push(said(group, *form));
        rest = more;
    }
    groups
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "-",
        ", ",
        ". ",
        "  ",
        "\n",
        " — ",
        ", um, ",
        " and then ",
        ", ну, ",
        " сосын ",
        "; ",
    ])
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "please",
            "my card is",
            "at",
            "to",
            "for",
            "double",
            "карта",
            "он",
            "номер",
            "hundred",
            "two",
            "7",
            "15:30",
            "12.05.2026",
            "сто",
            "the",
            "$",
            "twenty",
            "тысяча",
            "анна",
            "@",
            "+",
            "(",
            "five",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}".prop_map(|word| word.replace(['[', ']'], "")),
        "[0-9]{1,4}",
    ]
}

fn surroundings() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 0..6).prop_map(|words| words.join(" "))
}

/// Words with no number and no sign of a price among them, so that every check digit counts.
fn plain_surroundings() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-zа-я]{1,8}", 0..6).prop_map(|words| words.join(" "))
}

fn redactor() -> Redactor {
    Redactor::new(&Rules::default())
}

/// Nothing of it stays between what was before and behind.
fn is_gone(before: &str, card: &[String], glue: &str, after: &str) -> Result<(), TestCaseError> {
    let number = card.join(glue);
    let text = format!("{before} {number} {after}");
    let redacted = redactor().redact(&text, "kk", &Scope::Transcript);
    prop_assert!(!redacted.text.contains(&number), "{} => {}", text, redacted.text);
    prop_assert!(redacted.found.of(Kind::Card) > 0, "{} => {}", text, redacted.text);
    // Whatever is left of the text was outside of the number.
    let kept: usize = redacted.text.split(['[', ']']).step_by(2).map(str::len).sum();
    prop_assert!(kept <= before.len() + after.len() + 2, "{} => {}", text, redacted.text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_card_of_an_issuer_stays_in_any_text(
        card in issued_card(),
        sizes in prop::collection::vec(1_usize..=6, 1..5),
        forms in prop::collection::vec(form(), 1..4),
        glue in separator(),
        (before, after) in (surroundings(), surroundings()),
    ) {
        is_gone(&before, &groups(&card, &sizes, &forms), glue, &after)?;
    }

    #[test]
    fn no_number_with_a_check_digit_stays_among_words(
        card in any_card(),
        forms in prop::collection::vec(prop_oneof![Just(Form::Digits), (0_usize..3).prop_map(Form::Words)], 1..4),
        glue in separator(),
        (before, after) in (plain_surroundings(), plain_surroundings()),
    ) {
        is_gone(&before, &groups(&card, &[4], &forms), glue, &after)?;
    }

    #[test]
    fn a_card_glued_to_other_digits_is_found(card in issued_card(), before in "[0-9a-z]{0,8}", after in "[0-9a-z]{0,8}") {
        let number = said(&card, Form::Digits);
        let redacted = redactor().redact(&format!("{before}{number}{after}"), "en", &Scope::Transcript);
        prop_assert!(!redacted.text.contains(&number), "{}", redacted.text);
    }

    #[test]
    fn any_text_is_taken_and_what_is_not_masked_stays(
        chars in prop::collection::vec(any::<char>(), 0..100),
        words in prop::collection::vec(word(), 0..60),
        glue in separator(),
    ) {
        let text = chars.into_iter().collect::<String>() + &words.join(glue);
        let redacted = redactor().redact(&text, "en", &Scope::Transcript);
        prop_assert!(redacted.found.total() > 0 || redacted.text == text);
        prop_assert!(redactor().mask_digits(&text, "kk", &Scope::Audio).into_text().chars().all(|c| !c.is_ascii_digit()));
    }

    #[test]
    fn masking_again_finds_no_more_cards(before in surroundings(), card in issued_card(), after in surroundings()) {
        let text = format!("{before} {} {after}", said(&card, Form::Words(0)));
        let once = redactor().redact(&text, "en", &Scope::Transcript);
        let twice = redactor().redact(&once.text, "en", &Scope::Transcript);
        prop_assert_eq!(twice.found.of(Kind::Card), 0, "{}", once.text);
    }
}

#[test]
fn time_grows_with_the_text_and_no_faster() {
    for piece in [
        "double ",
        "to double ",
        "one ",
        "twenty one ",
        "4",
        "4 ",
        "900101 ",
        "a@b.",
        "at b dot ",
        "AB12 ",
        "сто ",
        "[card]",
    ] {
        let redactor = redactor();
        let took = |times: usize| {
            let text = piece.repeat(times);
            // The best of some, for other work disturbs.
            let run = || {
                let begun = now();
                let _ = redactor.redact(&text, "kk", &Scope::Transcript);
                begun.elapsed()
            };
            (0..3).map(|_| run()).min().expect("some")
        };
        let (short, long) = (took(100), took(1_000));
        assert!(long < short * 40 + std::time::Duration::from_millis(20), "{piece}: {short:?}, {long:?}");
    }
}

// A test may read the clock; the crate does not.
#[expect(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
