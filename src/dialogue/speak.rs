//! Days, times and numbers as a person would say them. It only turns values into words; what to say
//! is the agent file's business.

use jiff::civil::{Date, Time, Weekday};

use super::entities::Language;

/// "Thursday the 26th", with the month where it is not this one; "в четверг, двадцать шестого ноября".
pub(crate) fn day(date: Date, today: Date, language: Language) -> String {
    match language {
        Language::English => {
            let mut said = format!("{} the {}", ENGLISH_DAYS[index(date.weekday())], ordinal(date.day()));
            if (date.year(), date.month()) != (today.year(), today.month()) {
                said.push_str(" of ");
                said.push_str(pick(&ENGLISH_MONTHS, date.month() - 1));
            }
            said
        }
        Language::Russian => format!(
            "{}, {} {}",
            weekday(date.weekday(), language),
            pick(&RUSSIAN_DAYS_OF_MONTH, date.day() - 1),
            pick(&RUSSIAN_MONTHS, date.month() - 1)
        ),
    }
}

/// "Sunday"; Russian with its preposition, "в воскресенье".
pub(crate) fn weekday(weekday: Weekday, language: Language) -> String {
    match language {
        Language::English => ENGLISH_DAYS[index(weekday)].to_owned(),
        Language::Russian => RUSSIAN_ON_DAYS[index(weekday)].to_owned(),
    }
}

/// "half past ten", "three"; Russian with its preposition, "в десять тридцать", "в три часа дня".
/// `ambiguous`: twelve hours on the place is open too, so the half of the day has to be said.
pub(crate) fn time(time: Time, ambiguous: bool, language: Language) -> String {
    match language {
        Language::English if time.hour() == 12 && time.minute() == 0 => "twelve noon".to_owned(),
        Language::English => {
            let part = match time.hour() {
                _ if !ambiguous => "",
                0..=11 => " in the morning",
                12..=17 => " in the afternoon",
                _ => " in the evening",
            };
            format!("{}{part}", english_clock(time))
        }
        Language::Russian => format!("в {}", russian_clock(time)),
    }
}

/// An end of opening hours: "nine", "half past five"; Russian in the genitive, for "с ... до ...".
pub(crate) fn bound(time: Time, language: Language) -> String {
    match language {
        Language::English if time.hour() == 12 && time.minute() == 0 => "noon".to_owned(),
        Language::English => english_clock(time),
        Language::Russian => {
            let hour = pick(&RUSSIAN_GENITIVE, time.hour());
            match time.minute() {
                0 => hour.to_owned(),
                minute => format!("{hour} {}", russian_number_genitive(minute)),
            }
        }
    }
}

/// A phone number digit by digit, in groups: "five five five, one two three four".
pub(crate) fn digits(phone: &str, language: Language) -> String {
    let words = match language {
        Language::English => &ENGLISH_DIGITS,
        Language::Russian => &RUSSIAN_DIGITS,
    };
    let spoken: Vec<&str> =
        phone.chars().filter_map(|c| c.to_digit(10)).filter_map(|d| words.get(d as usize).copied()).collect();
    let mut rest = spoken.as_slice();
    let mut groups = Vec::new();
    for size in grouping(spoken.len()) {
        let (group, tail) = rest.split_at(size.min(rest.len()));
        if !group.is_empty() {
            groups.push(group.join(" "));
        }
        rest = tail;
    }
    groups.join(", ")
}

fn grouping(digits: usize) -> Vec<usize> {
    match digits {
        7 => vec![3, 4],
        8 => vec![4, 4],
        10 => vec![3, 3, 4],
        11 => vec![1, 3, 3, 4],
        _ => vec![3; digits.div_ceil(3)],
    }
}

fn english_clock(time: Time) -> String {
    let (hour, next) = (english_hour(time.hour()), english_hour((time.hour() + 1) % 24));
    match time.minute() {
        0 => hour.to_owned(),
        15 => format!("quarter past {hour}"),
        30 => format!("half past {hour}"),
        45 => format!("quarter to {next}"),
        minute @ 1..=9 => format!("{hour} oh {}", pick(&ENGLISH_DIGITS, minute)),
        minute => format!("{hour} {}", english_number(minute)),
    }
}

fn english_hour(hour: i8) -> &'static str {
    pick(&ENGLISH_TO_NINETEEN, if hour % 12 == 0 { 12 } else { hour % 12 })
}

fn english_number(number: i8) -> String {
    match number {
        0..=19 => pick(&ENGLISH_TO_NINETEEN, number).to_owned(),
        _ if number % 10 == 0 => pick(&ENGLISH_TENS, number / 10).to_owned(),
        _ => format!("{} {}", pick(&ENGLISH_TENS, number / 10), pick(&ENGLISH_TO_NINETEEN, number % 10)),
    }
}

fn russian_clock(time: Time) -> String {
    let hour = time.hour();
    if time.minute() != 0 {
        let zero = if time.minute() < 10 { "ноль " } else { "" };
        return format!("{} {zero}{}", russian_number(hour), russian_number(time.minute()));
    }
    let part = match hour {
        0..=3 => "ночи",
        4..=11 => "утра",
        12..=16 => "дня",
        _ => "вечера",
    };
    let twelve = if hour > 12 { hour - 12 } else { hour };
    match twelve {
        1 => format!("час {part}"),
        2..=4 => format!("{} часа {part}", russian_number(twelve)),
        _ => format!("{} часов {part}", russian_number(twelve)),
    }
}

fn russian_number(number: i8) -> String {
    match number {
        0..=19 => pick(&RUSSIAN_TO_NINETEEN, number).to_owned(),
        _ if number % 10 == 0 => pick(&RUSSIAN_TENS, number / 10).to_owned(),
        _ => format!("{} {}", pick(&RUSSIAN_TENS, number / 10), pick(&RUSSIAN_TO_NINETEEN, number % 10)),
    }
}

fn russian_number_genitive(number: i8) -> String {
    match number {
        0..=23 => pick(&RUSSIAN_GENITIVE, number).to_owned(),
        30 => "тридцати".to_owned(),
        40 => "сорока".to_owned(),
        50 => "пятидесяти".to_owned(),
        _ => {
            let tens = ["", "", "двадцати", "тридцати", "сорока", "пятидесяти"];
            format!("{} {}", pick(&tens, number / 10), pick(&RUSSIAN_GENITIVE, number % 10))
        }
    }
}

fn ordinal(day: i8) -> String {
    let suffix = match (day % 10, day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{suffix}")
}

fn pick(words: &[&'static str], at: i8) -> &'static str {
    usize::try_from(at).ok().and_then(|at| words.get(at)).copied().unwrap_or_default()
}

fn index(weekday: Weekday) -> usize {
    match weekday {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    }
}

const ENGLISH_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ENGLISH_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const ENGLISH_DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const ENGLISH_TO_NINETEEN: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const ENGLISH_TENS: [&str; 6] = ["", "ten", "twenty", "thirty", "forty", "fifty"];
const RUSSIAN_ON_DAYS: [&str; 7] =
    ["в понедельник", "во вторник", "в среду", "в четверг", "в пятницу", "в субботу", "в воскресенье"];
const RUSSIAN_MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];
const RUSSIAN_DAYS_OF_MONTH: [&str; 31] = [
    "первого",
    "второго",
    "третьего",
    "четвёртого",
    "пятого",
    "шестого",
    "седьмого",
    "восьмого",
    "девятого",
    "десятого",
    "одиннадцатого",
    "двенадцатого",
    "тринадцатого",
    "четырнадцатого",
    "пятнадцатого",
    "шестнадцатого",
    "семнадцатого",
    "восемнадцатого",
    "девятнадцатого",
    "двадцатого",
    "двадцать первого",
    "двадцать второго",
    "двадцать третьего",
    "двадцать четвёртого",
    "двадцать пятого",
    "двадцать шестого",
    "двадцать седьмого",
    "двадцать восьмого",
    "двадцать девятого",
    "тридцатого",
    "тридцать первого",
];
const RUSSIAN_DIGITS: [&str; 10] =
    ["ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"];
const RUSSIAN_TO_NINETEEN: [&str; 20] = [
    "ноль",
    "один",
    "два",
    "три",
    "четыре",
    "пять",
    "шесть",
    "семь",
    "восемь",
    "девять",
    "десять",
    "одиннадцать",
    "двенадцать",
    "тринадцать",
    "четырнадцать",
    "пятнадцать",
    "шестнадцать",
    "семнадцать",
    "восемнадцать",
    "девятнадцать",
];
const RUSSIAN_TENS: [&str; 6] = ["", "десять", "двадцать", "тридцать", "сорок", "пятьдесят"];
const RUSSIAN_GENITIVE: [&str; 24] = [
    "нуля",
    "часа",
    "двух",
    "трёх",
    "четырёх",
    "пяти",
    "шести",
    "семи",
    "восьми",
    "девяти",
    "десяти",
    "одиннадцати",
    "двенадцати",
    "тринадцати",
    "четырнадцати",
    "пятнадцати",
    "шестнадцати",
    "семнадцати",
    "восемнадцати",
    "девятнадцати",
    "двадцати",
    "двадцати одного",
    "двадцати двух",
    "двадцати трёх",
];

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time as clock};

    #[test]
    fn days_and_times_sound_like_a_person() {
        let today = date(2026, 11, 23);
        let check = |language, day_said: &str, time_said: &str, date, at: Time, ambiguous| {
            assert_eq!(day(date, today, language), day_said);
            assert_eq!(time(at, ambiguous, language), time_said);
        };
        use Language::{English, Russian};
        let (thursday, next_month) = (date(2026, 11, 26), date(2026, 12, 3));
        check(English, "Thursday the 26th", "half past ten", thursday, clock(10, 30, 0, 0), false);
        check(
            English,
            "Thursday the 3rd of December",
            "quarter to nine in the morning",
            next_month,
            clock(8, 45, 0, 0),
            true,
        );
        check(English, "Monday the 23rd", "twelve noon", today, clock(12, 0, 0, 0), false);
        check(English, "Monday the 23rd", "three oh five", today, clock(15, 5, 0, 0), false);
        check(English, "Monday the 23rd", "nine forty two", today, clock(9, 42, 0, 0), false);
        check(Russian, "в четверг, двадцать шестого ноября", "в десять тридцать", thursday, clock(10, 30, 0, 0), true);
        check(Russian, "в четверг, третьего декабря", "в три часа дня", next_month, clock(15, 0, 0, 0), false);
        check(
            Russian,
            "в понедельник, двадцать третьего ноября",
            "в девять ноль пять",
            today,
            clock(9, 5, 0, 0),
            false,
        );
        assert_eq!(bound(clock(14, 0, 0, 0), Russian), "четырнадцати");
        assert_eq!(bound(clock(14, 30, 0, 0), English), "half past two");
        assert_eq!(digits("+15551234567", English), "one, five five five, one two three, four five six seven");
        assert_eq!(digits("5551234", Russian), "пять пять пять, один два три четыре");
    }
}
