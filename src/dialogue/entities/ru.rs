//! Russian (and the Kazakh yes and no that Russian speakers mix in): its words for numbers, days, yes
//! and no, and its grammar of the clock. It holds no sentence of any agent. `ё` is always `е` here.

use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};

use super::super::text::Word;
use super::time::{Half, ends_at, phrase, written};
use super::{Clock, Language, Lexicon, number, text};

pub(super) static LEXICON: Lexicon = Lexicon {
    language: Language::Russian,
    cardinals: &[
        ("ноль", 0),
        ("нуль", 0),
        ("один", 1),
        ("одна", 1),
        ("одно", 1),
        ("одну", 1),
        ("два", 2),
        ("две", 2),
        ("три", 3),
        ("четыре", 4),
        ("пять", 5),
        ("шесть", 6),
        ("семь", 7),
        ("восемь", 8),
        ("девять", 9),
        ("десять", 10),
        ("пяти", 5),
        ("десяти", 10),
        ("одиннадцать", 11),
        ("двенадцать", 12),
        ("тринадцать", 13),
        ("четырнадцать", 14),
        ("пятнадцать", 15),
        ("пятнадцати", 15),
        ("шестнадцать", 16),
        ("семнадцать", 17),
        ("восемнадцать", 18),
        ("девятнадцать", 19),
        ("двадцать", 20),
        ("двадцати", 20),
        ("тридцать", 30),
        ("сорок", 40),
        ("пятьдесят", 50),
        ("шестьдесят", 60),
        ("семьдесят", 70),
        ("восемьдесят", 80),
        ("девяносто", 90),
        ("сто", 100),
        ("двести", 200),
        ("триста", 300),
        ("четыреста", 400),
        ("пятьсот", 500),
        ("шестьсот", 600),
        ("семьсот", 700),
        ("восемьсот", 800),
        ("девятьсот", 900),
    ],
    ordinals: &[
        ("первого", 1),
        ("первое", 1),
        ("второго", 2),
        ("второе", 2),
        ("третьего", 3),
        ("третье", 3),
        ("четвертого", 4),
        ("четвертое", 4),
        ("пятого", 5),
        ("пятое", 5),
        ("шестого", 6),
        ("шестое", 6),
        ("седьмого", 7),
        ("седьмое", 7),
        ("восьмого", 8),
        ("восьмое", 8),
        ("девятого", 9),
        ("девятое", 9),
        ("десятого", 10),
        ("десятое", 10),
        ("одиннадцатого", 11),
        ("одиннадцатое", 11),
        ("двенадцатого", 12),
        ("двенадцатое", 12),
        ("тринадцатого", 13),
        ("тринадцатое", 13),
        ("четырнадцатого", 14),
        ("четырнадцатое", 14),
        ("пятнадцатого", 15),
        ("пятнадцатое", 15),
        ("шестнадцатого", 16),
        ("шестнадцатое", 16),
        ("семнадцатого", 17),
        ("семнадцатое", 17),
        ("восемнадцатого", 18),
        ("восемнадцатое", 18),
        ("девятнадцатого", 19),
        ("девятнадцатое", 19),
        ("двадцатого", 20),
        ("двадцатое", 20),
        ("тридцатого", 30),
        ("тридцатое", 30),
    ],
    ordinal_suffixes: &["го", "е", "ое", "его", "ого"],
    hundred: &[],
    digit_zero: &[],
    digit_homophones: &[],
    repeat_digit: &[("дважды", 2), ("трижды", 3)],
    weekdays: &[
        ("понедельник", Monday),
        ("понедельника", Monday),
        ("понедельникам", Monday),
        ("вторник", Tuesday),
        ("вторника", Tuesday),
        ("вторникам", Tuesday),
        ("среда", Wednesday),
        ("среду", Wednesday),
        ("среды", Wednesday),
        ("среде", Wednesday),
        ("средам", Wednesday),
        ("четверг", Thursday),
        ("четверга", Thursday),
        ("четвергам", Thursday),
        ("пятница", Friday),
        ("пятницу", Friday),
        ("пятницы", Friday),
        ("пятницам", Friday),
        ("суббота", Saturday),
        ("субботу", Saturday),
        ("субботы", Saturday),
        ("субботам", Saturday),
        ("воскресенье", Sunday),
        ("воскресение", Sunday),
        ("воскресенья", Sunday),
        ("воскресеньям", Sunday),
    ],
    months: &[
        ("января", 1),
        ("февраля", 2),
        ("марта", 3),
        ("апреля", 4),
        ("мая", 5),
        ("июня", 6),
        ("июля", 7),
        ("августа", 8),
        ("сентября", 9),
        ("октября", 10),
        ("ноября", 11),
        ("декабря", 12),
    ],
    today: &["сегодня", "сегодняшний", "на сегодня"],
    tomorrow: &["завтра", "на завтра"],
    after_tomorrow: &["послезавтра", "на послезавтра", "после завтра"],
    coming: &[
        "в", "во", "на", "по", "в следующий", "в следующую", "в следующее", "на следующий", "на следующую",
        "на следующее", "следующий", "следующую", "следующая", "в этот", "в эту", "в это", "на этот", "на эту", "эту",
        "в ближайший", "в ближайшую", "на ближайший", "на ближайшую", "ближайший", "ближайшую", "во второй",
    ],
    next_week: &["на следующей неделе", "на следующей неделе в", "на следующей неделе во", "следующей недели"],
    article: &[],
    of: &[],
    from_now: &["через"],
    days: &["день", "дня", "дней"],
    weeks: &["неделю", "недели", "недель"],
    time_leads: &["в", "к", "ко", "около", "примерно в"],
    before_hour: &["половина", "половине", "половину", "пол", "четверть", "минут", "минуты"],
    day_of_month: &["числа", "число"],
    month_first: false,
    clear_yes: &[
        "да", "ага", "да да", "конечно", "верно", "все верно", "правильно", "все правильно", "точно", "именно",
        "так точно", "все так", "да так", "подтверждаю", "согласен", "согласна", "давайте", "давай", "записывайте",
        "разумеется", "иә", "ия", "әрине", "дұрыс",
    ],
    soft_yes: &[
        "хорошо", "ладно", "окей", "ок", "угу", "понятно", "ясно", "подходит", "отлично", "прекрасно", "замечательно",
        "так", "понял", "поняла", "супер", "договорились", "идет", "годится", "жақсы", "жарайды",
    ],
    no: &[
        "нет", "не", "неверно", "не верно", "неправильно", "не правильно", "не так", "не надо", "не нужно",
        "не подходит", "ошибка", "не то", "нет нет", "не хочу", "не стоит", "жоқ", "жок",
    ],
    enough: &["это все", "все", "больше ничего", "ничего", "пока все", "нет это все", "ничего не нужно", "ничего больше"],
    negations: &["не", "нет", "но", "ошибка", "измените", "поменяйте", "жоқ", "отмените"],
    fillers: &["эм", "э", "эээ", "ээ", "мм", "ммм", "хм", "ну", "а", "о", "ой", "так", "значит", "вот", "это"],
    noise: &["пожалуйста", "да", "хорошо", "ладно", "просто", "тогда", "окей", "подскажите", "скажите"],
    polite: &["пожалуйста", "спасибо", "большое", "рахмет", "вам", "благодарю"],
    function_words: &[
        "а", "и", "но", "или", "в", "во", "на", "по", "с", "со", "к", "ко", "у", "о", "от", "до", "за", "для", "из",
        "что", "как", "насчет", "про", "если", "то", "же", "ли", "бы", "мне", "меня", "я", "мы", "вы", "вас", "вам",
        "это", "этот", "эту", "тогда", "можно", "могу", "хочу", "хотел", "хотела", "хотелось", "давайте", "лучше",
        "пожалуйста", "ну", "вот", "так", "еще", "тоже", "только", "не", "нет", "да", "часов", "будет", "есть",
        "наверное", "например", "запишите", "примерно", "около", "удобно", "мой", "моя", "мое", "вместо", "день",
        "время", "алло", "здравствуйте", "подойдет", "устроит", "там", "сможете", "может", "быть", "нужно", "надо",
    ],
    name_leads: &[
        "меня зовут", "зовут", "мое имя", "имя", "это", "я", "на имя", "фамилия", "моя фамилия", "на фамилию",
        "запишите на", "запишите", "запишите меня как", "на", "мое имя это", "менің атым",
    ],
    strong_name_leads: &["меня зовут", "мое имя", "на имя", "моя фамилия"],
    never_names: &[
        "а", "и", "но", "или", "в", "во", "на", "по", "с", "что", "как", "где", "когда", "почему", "кто", "сколько",
        "какой", "какая", "какие", "насчет", "если", "же", "ли", "бы", "мне", "меня", "я", "мы", "вы", "вас", "это",
        "можно", "могу", "хочу", "пожалуйста", "ну", "вот", "так", "еще", "не", "нет", "да", "ага", "угу", "хорошо",
        "номер", "телефон", "телефона", "имя", "запись", "записать", "записаться", "извините", "простите", "повторите", "стоп",
        "подождите", "уже", "сказал", "сказала", "зачем", "сегодня", "завтра", "алло", "здравствуйте", "спасибо", "мой",
        "моя", "мое", "эм", "э", "мм", "хм", "знаю",
    ],
};

/// "утра", "дня", "вечера".
pub(super) fn part_of_day(words: &[Word], i: usize) -> Option<(Half, usize)> {
    let am = ["утра", "утром", "с утра", "ночи"];
    let pm = ["дня", "днем", "вечера", "вечером", "пополудни", "после обеда"];
    (phrase(words, i, &am).map(|length| (Half::Am, length)))
        .or_else(|| phrase(words, i, &pm).map(|length| (Half::Pm, length)))
}

/// A time that begins at word `i`, and how many words it covers.
pub(super) fn time_at(words: &[Word], i: usize, lexicon: &Lexicon, asked: bool) -> Option<(Clock, usize)> {
    let lead = phrase(words, i, &["в", "к", "ко", "около", "на", "примерно в", "во"]).unwrap_or(0);
    let start = i + lead;
    if let Some(length) = phrase(words, start, &["полдень", "обед"]) {
        return Clock::new(12, 0, Half::Pm).map(|clock| (clock, lead + length));
    }
    let (hour, minute, end, sure) = of_next_hour(words, start, lexicon)
        .or_else(|| before(words, start, lexicon))
        .or_else(|| hour_first(words, start, lexicon, asked, lead > 0))?;
    let (half, part) = part_of_day(words, end).unwrap_or((Half::Open, 0));
    let end = end + part;
    let sure = sure || part > 0 || ((lead > 0 || asked) && ends_at(words, end, lexicon));
    Clock::new(hour, minute, half).filter(|_| sure).map(|clock| (clock, end - i))
}

/// "половина одиннадцатого", "четверть пятого", "десять минут третьего": hour, minute, end, sure.
fn of_next_hour(words: &[Word], i: usize, lexicon: &Lexicon) -> Option<(u32, u32, usize, bool)> {
    let attached = text(words, i).strip_prefix("пол").and_then(|hour| {
        lexicon.ordinals.iter().find(|(known, _)| *known == hour && known.ends_with("го")).map(|(_, value)| *value)
    });
    if let Some(hour) = attached.filter(|hour| *hour <= 12) {
        return Some((before_hour(hour), 30, i + 1, true));
    }
    let (minute, j) = match text(words, i) {
        "половина" | "половине" | "половину" | "пол" => (30, i + 1),
        "четверть" => (15, i + 1),
        _ => {
            let (minute, length) = number::cardinal(words, i, lexicon)?;
            let unit = phrase(words, i + length, &["минут", "минуты", "минута"])?;
            (minute, i + length + unit)
        }
    };
    let (hour, length) = number::ordinal(words, j, lexicon).filter(|(hour, _)| *hour <= 12)?;
    Some((before_hour(hour), minute, j + length, true))
}

fn before_hour(hour: u32) -> u32 {
    if hour <= 1 { 12 } else { hour - 1 }
}

/// "без четверти девять", "без пяти минут три".
fn before(words: &[Word], i: usize, lexicon: &Lexicon) -> Option<(u32, u32, usize, bool)> {
    let mut j = i + phrase(words, i, &["без"])?;
    let minutes = if text(words, j) == "четверти" {
        j += 1;
        15
    } else {
        let (minutes, length) = number::cardinal(words, j, lexicon)?;
        j += length + phrase(words, j + length, &["минут", "минуты"]).unwrap_or(0);
        minutes
    };
    let (hour, length) = match phrase(words, j, &["час"]) {
        Some(length) => (1, length),
        None => number::cardinal(words, j, lexicon).filter(|(hour, _)| (1..=24).contains(hour))?,
    };
    Some((before_hour(hour), 60_u32.checked_sub(minutes)?, j + length, true))
}

/// "15:30", "десять тридцать", "три часа", "час дня": hour, minute, end, sure.
fn hour_first(
    words: &[Word],
    i: usize,
    lexicon: &Lexicon,
    asked: bool,
    led: bool,
) -> Option<(u32, u32, usize, bool)> {
    if let Some((hour, minute)) = written(text(words, i), asked) {
        return Some((hour, minute, i + 1, true));
    }
    if let Some(length) = phrase(words, i, &["час"]) {
        let named = led || asked || part_of_day(words, i + length).is_some();
        return Some((1, 0, i + length, false)).filter(|_| named);
    }
    let (hour, length) = number::cardinal(words, i, lexicon)?;
    let mut end = i + length;
    let unit = phrase(words, end, &["часов", "часа", "час", "ч"]);
    end += unit.unwrap_or(0);
    let zero = phrase(words, end, &["ноль", "00"]).unwrap_or(0);
    let minute = number::cardinal(words, end + zero, lexicon)
        .filter(|(minute, _)| if zero > 0 { *minute < 10 } else { (10..60).contains(minute) });
    match minute {
        Some((minute, length)) if hour < 24 => {
            end += zero + length;
            end += phrase(words, end, &["минут", "минуты", "минута", "мин"]).unwrap_or(0);
            Some((hour, minute, end, true))
        }
        _ => {
            end += phrase(words, end, &["ровно"]).unwrap_or(0);
            Some((hour, 0, end, unit.is_some()))
        }
    }
}
