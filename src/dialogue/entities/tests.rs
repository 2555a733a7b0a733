//! What is found in a caller's words, and what is not: one line a turn, on Monday the 23rd of November 2026.

use jiff::civil::{Time, date, time};

use super::super::text::words;
use super::answer::{Closed, closed};
use super::{Asked, Entities, Language};

/// Each line: `words => what is found`, as `day 2026-11-24, time 15:00, name Anna, phone 555, digits 55`.
fn check(language: Language, asked: Asked, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (text, expected) = line.split_once(" => ").unwrap_or((line.trim_end_matches(" =>"), ""));
        let found = Entities::read(&words(text), language.lexicon(), date(2026, 11, 23), asked);
        let open = |at: Time| (time(8, 0, 0, 0)..time(18, 0, 0, 0)).contains(&at);
        let mut shown: Vec<String> = found.days.iter().map(|day| format!("day {}", day.value)).collect();
        shown.extend(
            found
                .times
                .iter()
                .filter_map(|time| time.value.resolve(open))
                .map(|time| format!("time {}", time.strftime("%H:%M"))),
        );
        shown.extend(found.name.iter().map(|name| format!("name {}", name.value)));
        shown.extend(found.phone.iter().map(|phone| format!("phone {}", phone.value)));
        shown.extend(found.digits.iter().map(|digits| format!("digits {}", digits.value)));
        assert_eq!(shown.join(", "), expected.trim(), "{text:?} ({asked:?})");
    }
}

#[test]
fn english_days() {
    check(
        Language::English,
        Asked::Nothing,
        "today => day 2026-11-23
         Tomorrow, please. => day 2026-11-24
         the day after tomorrow => day 2026-11-25
         next Thursday => day 2026-11-26
         this Friday => day 2026-11-27
         on Monday => day 2026-11-30
         Tuesday next week => day 2026-12-01
         next week on Wednesday => day 2026-12-02
         on the 3rd of December => day 2026-12-03
         December third => day 2026-12-03
         the third of december => day 2026-12-03
         November 25 => day 2026-11-25
         22 November => day 2027-11-22
         the twenty sixth => day 2026-11-26
         on the 5th. => day 2026-12-05
         Thursday the 26th of November => day 2026-11-26
         Friday the fourth => day 2026-12-04
         in three days => day 2026-11-26
         in a week => day 2026-11-30
         in two weeks => day 2026-12-07
         12/3 => day 2026-12-03
         Saturdays => day 2026-11-28
         saterday => day 2026-11-28
         not Tuesday, Wednesday => day 2026-11-24, day 2026-11-25
         31st of February =>
         my first visit =>
         for the first time patients =>
         one of these days =>
         someday =>
         May I ask something =>",
    );
    check(
        Language::English,
        Asked::Day,
        "the fifth => day 2026-12-05\nfifth => day 2026-12-05\n24 => day 2026-11-24\nat four => time 16:00",
    );
}

#[test]
fn english_times() {
    check(
        Language::English,
        Asked::Nothing,
        "three p.m. => time 15:00
         3 PM => time 15:00
         3pm => time 15:00
         at 3 => time 15:00
         at nine => time 09:00
         half past ten => time 10:30
         half past ten in the morning => time 10:30
         at 15:30 => time 15:30
         10:30 => time 10:30
         10:30 a.m. => time 10:30
         at 10.15 => time 10:15
         quarter to nine => time 08:45
         a quarter past four => time 16:15
         twenty past three => time 15:20
         ten to five => time 16:50
         noon => time 12:00
         at twelve => time 12:00
         two thirty => time 14:30
         ten oh five => time 10:05
         three o'clock => time 15:00
         fifteen thirty => time 15:30
         seven in the evening => time 19:00
         tomorrow afternoon at two => day 2026-11-24, time 14:00
         Tuesday at three p.m. => day 2026-11-24, time 15:00
         on the 3rd of December at half past nine => day 2026-12-03, time 09:30
         about five people =>
         I have three kids =>
         25:99 =>
         at 99 =>",
    );
    check(
        Language::English,
        Asked::Time,
        "ten => time 10:00\nmaybe four => time 16:00\n1030 => time 10:30\nten would be good => time 10:00\nthree kids =>",
    );
}

#[test]
fn english_names_and_numbers() {
    check(
        Language::English,
        Asked::Name,
        "My name is Anna Miller. => name Anna Miller
         anna miller => name Anna Miller
         it's Anna => name Anna
         Yes, um, this is John O'Neil speaking => name John O'Neil
         I'm Will Smith, please => name Will Smith
         under Müller => name Müller
         I don't know =>
         what =>
         sorry what did you say =>
         X =>",
    );
    check(Language::English, Asked::Nothing, "Anna Miller =>\nmy name is Bo and I need help => name Bo\nit's Anna =>");
    check(
        Language::English,
        Asked::Phone,
        "My number is five five five, one two three, four five six seven. => phone 5551234567
         555-123-4567 => phone 5551234567
         (555) 123 4567 => phone 5551234567
         oh five five, double five, triple one => phone 05555111
         five fifty five, twelve, thirty four => phone 5551234
         eight hundred five five five one two one two => phone 8005551212
         five five five to three four for six seven => phone 555234467
         +44 20 7946 0958 => phone +442079460958
         five five five => digits 555
         um, five five five, yes, one two three => digits 555123
         I don't have one handy => digits 1
         no =>",
    );
    check(Language::English, Asked::Nothing, "call 555 1234 567 => phone 5551234567\nfive five five =>");
}

#[test]
fn russian_days_times_names_and_numbers() {
    check(
        Language::Russian,
        Asked::Nothing,
        "завтра => day 2026-11-24
         послезавтра утром => day 2026-11-25
         в следующий четверг => day 2026-11-26
         на следующей неделе во вторник => day 2026-12-01
         третьего декабря => day 2026-12-03
         25 ноября => day 2026-11-25
         двадцать шестого числа => day 2026-11-26
         на пятое декабря => day 2026-12-05
         через неделю => day 2026-11-30
         через три дня => day 2026-11-26
         3.12 => day 2026-12-03
         по субботам => day 2026-11-28
         в три часа дня => time 15:00
         в половине одиннадцатого => time 10:30
         полодиннадцатого => time 10:30
         без четверти девять => time 08:45
         без двадцати три => time 14:40
         четверть пятого => time 16:15
         десять минут третьего => time 14:10
         в 15:30 => time 15:30
         в десять тридцать => time 10:30
         в час дня => time 13:00
         в полдень => time 12:00
         к девяти =>
         на вторник в пять вечера => day 2026-11-24, time 17:00
         меня зовут Анна Миллер => name Анна Миллер
         восемь девятьсот двенадцать триста сорок пять шестьдесят семь восемьдесят девять => phone 89123456789
         +7 (701) 555-12-34 => phone +77015551234
         первый раз =>
         у меня три вопроса =>",
    );
    check(
        Language::Russian,
        Asked::Name,
        "это Анна => name Анна\nАнна Петровна Иванова => name Анна Петровна Иванова\nне знаю =>",
    );
    check(Language::Russian, Asked::Time, "десять => time 10:00\nпол третьего => time 14:30");
}

#[test]
fn yes_and_no_are_closed_grammars() {
    let check = |language: Language, expected: Option<Closed>, answers: &[&str]| {
        for answer in answers {
            assert_eq!(closed(&words(answer), language.lexicon()), expected, "{answer}");
        }
    };
    let english = |expected, answers: &[&str]| check(Language::English, expected, answers);
    english(
        Some(Closed::Yes),
        &["Yes.", "Yes, please.", "yeah that's right", "Yes. Yes. Yes.", "that's correct, thank you", "oh yes"],
    );
    english(Some(Closed::Soft), &["okay", "Uh huh.", "mm-hm", "great", "Right.", "okay great"]);
    english(Some(Closed::No), &["No.", "No, thank you.", "nope", "no no no", "that's wrong", "no that's not right"]);
    english(Some(Closed::Enough), &["that's all", "nothing else, thank you"]);
    english(Some(Closed::Mixed), &["yes no", "no yes"]);
    english(Some(Closed::Filler), &["um", "uh", "hmm"]);
    english(None, &["", "yes at four", "no tomorrow", "Anna", "maybe", "thank you", "not Tuesday"]);
    check(Language::Russian, Some(Closed::Yes), &["да", "да, конечно", "всё верно", "иә"]);
    check(Language::Russian, Some(Closed::No), &["нет", "нет, спасибо", "не надо", "жоқ"]);
    check(Language::Russian, Some(Closed::Soft), &["хорошо", "угу", "ладно"]);
}
