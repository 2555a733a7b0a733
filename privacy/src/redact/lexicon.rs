//! How numbers, and the words around private ones, are said in English, Russian and Kazakh. All three
//! are always read, since callers mix them. Words are written as `token` makes them comparable. It
//! decides nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a word says as part of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Say {
    /// 0 to 19, tens, Russian hundreds.
    Value(u32),
    Hundred,
    Thousand,
    /// "double": the next digit so many times.
    Repeat(usize),
    /// "times": three times five.
    Times,
    /// A digit as a noun, "fives", "семерки", that takes a count: "две семерки".
    Counted(u32),
    /// A number beside numbers only: "for", "oh", "он".
    Beside(u32),
}

pub(super) fn say(word: &str) -> Option<Say> {
    static WORDS: LazyLock<HashMap<&str, Say>> = LazyLock::new(|| {
        let values = VALUES.iter().flat_map(|(words, v)| words.split(' ').map(|word| (word, Say::Value(*v))));
        let counted = COUNTED.iter().flat_map(|(words, v)| words.split(' ').map(|word| (word, Say::Counted(*v))));
        let beside = BESIDE.iter().map(|(word, v)| (*word, Say::Beside(*v)));
        values.chain(counted).chain(beside).chain(OTHERS.iter().copied()).collect()
    });
    WORDS.get(word).copied()
}

const VALUES: &[(&str, u32)] = &[
    ("zero nought naught null nil ноль нуль нол", 0),
    ("one один одна одно одну одного одной одному одним бир", 1),
    ("two два две двух двум двумя еки", 2),
    ("three три трех трем тремя уш", 3),
    ("four четыре четырех четырем четырьмя", 4),
    ("five fife пять пяти пятью бес", 5),
    ("six шесть шести шестью алты", 6),
    ("seven семь семи семью жети", 7),
    ("eight восемь восьми восемью восьмью сегиз", 8),
    ("nine niner девять девяти девятью тогыз", 9),
    ("ten десять десяти десятью", 10),
    ("eleven одиннадцать одиннадцати одиннадцатью", 11),
    ("twelve двенадцать двенадцати двенадцатью", 12),
    ("thirteen тринадцать тринадцати тринадцатью", 13),
    ("fourteen четырнадцать четырнадцати четырнадцатью", 14),
    ("fifteen пятнадцать пятнадцати пятнадцатью", 15),
    ("sixteen шестнадцать шестнадцати шестнадцатью", 16),
    ("seventeen семнадцать семнадцати семнадцатью", 17),
    ("eighteen восемнадцать восемнадцати восемнадцатью", 18),
    ("nineteen девятнадцать девятнадцати девятнадцатью", 19),
    ("twenty двадцать двадцати двадцатью жиырма", 20),
    ("thirty тридцать тридцати тридцатью отыз", 30),
    ("forty fourty сорок сорока кырык", 40),
    ("fifty пятьдесят пятидесяти пийсят елу", 50),
    ("sixty шестьдесят шестидесяти шисят алпыс", 60),
    ("seventy семьдесят семидесяти жетпис", 70),
    ("eighty восемьдесят восьмидесяти сексен", 80),
    ("ninety девяносто девяноста токсан", 90),
    ("сто ста", 100),
    ("двести двухсот", 200),
    ("триста трехсот", 300),
    ("четыреста четырехсот", 400),
    ("пятьсот пятисот", 500),
    ("шестьсот шестисот", 600),
    ("семьсот семисот", 700),
    ("восемьсот восьмисот", 800),
    ("девятьсот девятисот", 900),
];

const COUNTED: &[(&str, u32)] = &[
    ("zeros zeroes ohs nulls нуля ноля нулей нули ноли нолика ноликов нолик", 0),
    ("ones единица единицы единиц единичка единички единичек", 1),
    ("twos двойка двойки двоек двоечка двоечки", 2),
    ("threes тройка тройки троек", 3),
    ("fours четверка четверки четверок", 4),
    ("fives пятерка пятерки пятерок", 5),
    ("sixes шестерка шестерки шестерок", 6),
    ("sevens семерка семерки семерок", 7),
    ("eights восьмерка восьмерки восьмерок", 8),
    ("nines девятка девятки девяток", 9),
];

/// `он` is Russian for "he", `торт` for "cake".
const BESIDE: &[(&str, u32)] = &[
    ("oh", 0),
    ("o", 0),
    ("о", 0),
    ("won", 1),
    ("раз", 1),
    ("to", 2),
    ("too", 2),
    ("tree", 3),
    ("for", 4),
    ("sex", 6),
    ("ate", 8),
    ("он", 10),
    ("торт", 4),
];

const OTHERS: &[(&str, Say)] = &[
    ("hundred", Say::Hundred),
    ("жуз", Say::Hundred),
    ("thousand", Say::Thousand),
    ("тысяча", Say::Thousand),
    ("тысячи", Say::Thousand),
    ("тысяч", Say::Thousand),
    ("тысячу", Say::Thousand),
    ("тыща", Say::Thousand),
    ("тыщи", Say::Thousand),
    ("мын", Say::Thousand),
    ("double", Say::Repeat(2)),
    ("twice", Say::Repeat(2)),
    ("дважды", Say::Repeat(2)),
    ("двойной", Say::Repeat(2)),
    ("двойная", Say::Repeat(2)),
    ("кос", Say::Repeat(2)),
    ("triple", Say::Repeat(3)),
    ("treble", Say::Repeat(3)),
    ("thrice", Say::Repeat(3)),
    ("трижды", Say::Repeat(3)),
    ("тройной", Say::Repeat(3)),
    ("тройная", Say::Repeat(3)),
    ("quadruple", Say::Repeat(4)),
    ("четырежды", Say::Repeat(4)),
    ("times", Say::Times),
    ("раза", Say::Times),
    ("рет", Say::Times),
];

/// Words that stand between the digits of one number and mean nothing.
const FILLERS: &str = "um umm uh uhh er erm eh hm hmm mm mmm ah well so like and then next now okay ok yes yeah yep right \
    again comma dash hyphen minus space slash stroke please it s is plus \
    э эм ээ эээ ммм хм ну так вот значит потом затем дальше далее и а да ага угу ой тире дефис минус пробел запятая еще \
    опять снова это плюс пожалуйста \
    ия ал сосын содан кейин жане тагы сызыкша косу";

pub(super) fn is_filler(word: &str) -> bool {
    static WORDS: LazyLock<HashMap<&str, ()>> =
        LazyLock::new(|| FILLERS.split_whitespace().map(|word| (word, ())).collect());
    WORDS.contains_key(word)
}

/// Phrases of stems, by word; whole words are marked.
type Phrases = Vec<Vec<(&'static str, bool)>>;

/// Phrases are parted by spaces, their words by `_`. A word is a stem, since context words come in all
/// cases, or whole with `=` behind it.
fn phrases(list: &'static str) -> Phrases {
    let part = |word: &'static str| word.strip_suffix('=').map_or((word, false), |whole| (whole, true));
    list.split_whitespace().map(|phrase| phrase.split('_').map(part).collect()).collect()
}

/// Whether one of them stands at the beginning of `words`.
fn at(words: &[&str], phrases: &Phrases) -> bool {
    let fits = |word: &str, (stem, whole): (&str, bool)| if whole { word == stem } else { word.starts_with(stem) };
    phrases
        .iter()
        .any(|phrase| phrase.len() <= words.len() && phrase.iter().zip(words).all(|(stem, word)| fits(word, *stem)))
}

/// "card", "карточка", "картаның", a brand.
pub(super) fn about_card(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "card= cards= mastercard maestro= amex= карта= карты= карте= карту= картой= карт= картам= картами= картасы \
         картанын картамнын картам= карточк мастеркард мир=_карт каспи=_голд kaspi=_gold",
        )
    });
    at(words, &PHRASES)
}

/// A question or a beginning that only a card number follows.
pub(super) fn about_number_of_card(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "card=_number card=_digit number=_on=_your=_card number=_on=_the=_card number=_of=_your=_card \
         number=_of=_the=_card digits=_of=_your=_card digits=_on=_your=_card long=_number=_on \
         credit=_card=_number debit=_card=_number credit=_card=_is debit=_card=_is my=_card=_is \
         номер_карт номер_вашей_карт номер_моей_карт номер_банковской_карт номер_кредитной_карт номер_дебетовой_карт \
         номер_с_карт цифр_карт цифр_с_карт цифр_вашей_карт карты=_номер карта=_номер реквизит_карт данные_карт данные_вашей_карт \
         карта_номир картанын_номир картаныздын_номир картамнын_номир карта_номер картанын_номер",
        )
    });
    at(words, &PHRASES)
}

pub(super) fn about_code(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "cvv cvc cvn= csc= cid= c=_v=_v= c=_v=_c= security=_code security=_number verification=_code card=_verification \
         three=_digits=_on three=_digit=_code three=_numbers=_on digits=_on=_the=_back number=_on=_the=_back code=_on=_the=_back \
         цвв цвц сививи сивиси си=_ви=_ви= си=_ви=_си= це=_ве=_ве= це=_вэ=_вэ= цэ=_вэ=_вэ= код_безопасности защитн_код секретн_код_карт \
         три_цифр_на три_цифр_с код_на_оборо код_с_оборо цифр_на_оборо цифр_с_оборо цифр_на_обратн цифр_с_обратн код_с_обратн код_на_обратн \
         кауипсиздик_код артындагы_уш артындагы_код артындагы_сан",
        )
    });
    at(words, &PHRASES)
}

pub(super) fn about_expiry(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "expir expiry= exp= valid=_thru valid=_through valid=_until valid=_till good=_thru \
         срок= срока= сроком= действует_до действительн_до годен_до годна_до истека мерзим жарамды",
        )
    });
    at(words, &PHRASES)
}

pub(super) fn about_iin(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "иин= ииш= жсн= iin= i=_i=_n= и=_и=_н= ж=_с=_н= индивидуальн_идентификац individual=_identification жеке_сайкестендиру",
        )
    });
    at(words, &PHRASES)
}

pub(super) fn about_phone(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "phone telephone mobile= cell= my=_number= number=_is= call=_me call=_us reach=_me reach=_us text=_me ring=_me whatsapp \
         телефон тел= мобильн сотов сотк звоните= позвоните= перезвоните= наберите= ватсап вотсап номер_мой= мой_номер \
         уялы конырау",
        )
    });
    at(words, &PHRASES)
}

/// Before a number it says that this is no phone number.
pub(super) fn about_order(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "order= order=_number invoice contract= ticket= tracking reference= booking= parcel= policy= case= account= serial= \
         заказ договор накладн счет= счета= трек квитанц заявк обращени полис серийн артикул тапсырыс шарт= шот=",
        )
    });
    at(words, &PHRASES)
}

pub(super) fn about_money(words: &[&str]) -> bool {
    static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
        phrases(
            "tenge= kzt= dollar usd= euro= euros= eur= rub= rubles= roubles= ruble= pounds= cents= percent= тенге= тг= тнг= \
         рубл= рублей= рубля= рубль= руб= доллар евро= сом= сум= процент пайыз",
        )
    });
    at(words, &PHRASES)
}

/// The month, 1 to 12.
pub(super) fn month(word: &str) -> Option<u32> {
    static MONTHS: LazyLock<Vec<Phrases>> =
        LazyLock::new(|| NAMES_OF_MONTHS.iter().map(|names| phrases(names)).collect());
    MONTHS.iter().position(|names| at(&[word], names)).and_then(|i| u32::try_from(i + 1).ok())
}

const NAMES_OF_MONTHS: [&str; 12] = [
    "january= jan= январ кантар",
    "february= feb= феврал акпан",
    "march= mar= март= марта= марте= наурыз",
    "april= apr= апрел сауир",
    "may= май= мая= мае= мамыр",
    "june= jun= июн маусым",
    "july= jul= июл шилде",
    "august= aug= август тамыз",
    "september= sept= sep= сентябр кыркуйек",
    "october= oct= октябр казан= казаны",
    "november= nov= ноябр караша",
    "december= dec= декабр желтоксан",
];
