//! What is masked and what stays, as a table in three languages.

use privacy::Scope;
use privacy::redact::{Kind, Redactor, Rules};

fn redactor() -> Redactor {
    let rules =
        "kinds = ['iin', 'phone', 'email', 'name', 'iban']\nnames = ['Анна Петрова', 'Сергей', 'Айгүл', 'Anna']";
    let rules = Rules::from_toml(rules);
    assert!(rules.is_ok(), "{rules:?}");
    Redactor::new(&rules.unwrap_or_default())
}

/// One case a line, `said => kept`.
fn check(language: &str, table: &str) {
    let redactor = redactor();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(line.contains(" => "), "said => kept: {line}");
        let (said, kept) = line.split_once(" => ").unwrap_or_default();
        let redacted = redactor.redact(said, language, &Scope::Transcript);
        assert_eq!(redacted.text, kept, "{said}");
        let again = redactor.redact(kept, language, &Scope::Transcript);
        assert_eq!(again.text, kept, "masking twice: {said}");
    }
}

#[test]
fn cards_written() {
    check(
        "en",
        "My card is 4111 1111 1111 1111. => My card is [card].
         4111-1111-1111-1111 => [card]
         4111.1111.1111.1111 => [card]
         it's 4111, 1111, 1111, 1111, thanks => it's [card], thanks
         378282246310005 => [card]
         3782 822463 10005 please => [card] please
         4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 => [card]
         4222222222222 => [card]
         6304000000000000000 => [card]
         ４１１１ １１１１ １１１１ １１１１ => [card]
         4111 1111 um 1111 uh okay 1111 => [card]
         4111 and then let me see 1111 1111 1111 => [card]
         4111 1111 1111 1111 and 5500 0055 5555 5559 => [card]
         id4111111111111111x => id[card]x",
    );
}

#[test]
fn cards_said_in_english() {
    check(
        "en",
        "four one one one one one one one one one one one one one one one => [card]
         Four, one, one, one. One one one one. One one one one. One one one one. => [card].
         forty-one eleven eleven eleven eleven eleven eleven eleven => [card]
         four triple one, one one one one, double one double one, four times one => [card]
         four thousand one hundred and eleven, eleven eleven, eleven eleven, eleven eleven => [card]
         fifty five hundred oh oh five five five five five five five five five nine => [card]
         five five double oh double oh five five, um, five five five five triple five nine => [card]
         it's 4111 one one one one 1111 and eleven eleven, ok? => it's [card], ok?
         four ones... no, four one one one, one one one one, one one one one, one one one one => four ones... no, [card]",
    );
}

#[test]
fn cards_said_in_russian_and_kazakh() {
    check(
        "ru",
        "четыре один один один один один один один один один один один один один один один => [card]
         сорок один одиннадцать, одиннадцать одиннадцать, одиннадцать одиннадцать, одиннадцать одиннадцать => [card]
         карта: четыре тысячи сто одиннадцать, одиннадцать одиннадцать, сто одиннадцать один, тысяча сто одиннадцать => карта: [card]
         номер карты 4111 ээ 1111 так 1111 и 1111 => номер карты [card]
         четыре, три единицы, четыре единицы, четыре единицы, четыре единицы => [card]
         пять пять два нуля, два нуля пять пять, пятьдесят пять пятьдесят пять, пять пять пять девять => [card]",
    );
    check(
        "kk",
        "төрт бір бір бір бір бір бір бір бір бір бір бір бір бір бір бір => [card]
         торт бир бир бир бир бир бир бир бир бир бир бир бир бир бир бир => [card]
         қырық бір он бір, он бір он бір, он бір он бір, он бір он бір => [card]
         картамның нөмірі төрт мың жүз он бір, он бір он бір, он бір он бір, он бір он бір => картамның нөмірі [card]
         бес бес нөл нөл нөл нөл бес бес бес бес бес бес бес бес бес тоғыз рахмет => [card] рахмет",
    );
}

#[test]
fn codes_and_dates_of_cards() {
    check(
        "en",
        "the security code is 123 => the security code is [security_code]
         CVV: 1234 => CVV: [security_code]
         the three digits on the back are one two three => the three digits on the back are [security_code]
         123 is the CVC => [security_code] is the CVC
         4111 1111 1111 1111, 12/26, 123 => [card]
         card 4111111111111111 expires December 2026 => card [card] expires [expiry]
         4111111111111111 code seven three seven => [card] code [security_code]
         my card expires 09/27 => my card expires [expiry]
         room 123 please => room 123 please
         the meeting is at 12:26 => the meeting is at 12:26",
    );
    check(
        "ru",
        "код безопасности один два три => код безопасности [security_code]
         цвв сто двадцать три => цвв [security_code]
         три цифры на обороте: 737 => три цифры на обороте: [security_code]
         карта 4111111111111111 срок действия двенадцать двадцать шесть => карта [card] срок действия [expiry]
         карта действует до декабря двадцать шестого => карта действует до [expiry]
         кабинет 123 => кабинет 123",
    );
    check("kk", "артындағы үш сан: бір екі үш => артындағы үш сан: [security_code]");
}

#[test]
fn identification_numbers() {
    check(
        "ru",
        "ИИН 900101300077 => ИИН [iin]
         мой иин девяносто ноль один ноль один тридцать ноль ноль семьдесят семь => мой иин [iin]
         900101 300077 => [iin]
         девять ноль ноль один ноль один три ноль ноль ноль семь семь => [iin]
         заказ 900101300078 => заказ 900101300078
         ИИН 900101300078 => ИИН [iin]
         990229300077 => 990229300077",
    );
    check("kk", "ЖСН тоғыз нөл нөл бір нөл бір үш нөл нөл нөл жеті жеті => ЖСН [iin]");
    check("en", "my IIN is 900101300077 => my IIN is [iin]");
}

#[test]
fn phones() {
    check(
        "en",
        "call me at +7 701 555 12 34 => call me at [phone]
         +77015551234, room 5 => [phone], room 5
         my number is five five five one two three four => my number is [phone]
         (415) 555-2671 => [phone]
         555-1234 => [phone]
         +44 20 7946 0958 => [phone]",
    );
    check(
        "ru",
        "мой телефон 8 701 555 12 34 => мой телефон [phone]
         восемь семьсот один пятьсот пятьдесят пять двенадцать тридцать четыре => [phone]
         87015551234 => [phone]
         плюс семь семьсот один пять пять пять один два три четыре => плюс [phone]
         заказ 87015551234 => заказ 87015551234",
    );
    check("kk", "телефоным сегіз жеті жүз бір бес жүз елу бес он екі отыз төрт => телефоным [phone]");
}

#[test]
fn addresses_and_names() {
    check(
        "en",
        "write to anna.smith+x@mail.example.com, please => write to [email], please
         my email is john smith at example dot com => my email is [email]
         a n n a dot b at g mail dot com => [email]
         ann at example.com => [email]
         look at example.com => look at example.com
         Anna's visit => [name]'s visit
         Annabel and Sergey => Annabel and Sergey",
    );
    check(
        "ru",
        "почта ivan@mail.ru => почта [email]
         моя почта иван точка петров собака мейл точка ру => моя почта [email]
         это Анна, позовите Анну, с Анной => это [name], позовите [name], с [name]
         Петровой и Сергею => [name] и [name]
         аннотация и сергеевка => аннотация и сергеевка
         моя собака больна => моя собака больна",
    );
    check("kk", "Айгүлге, Айгулдың => [name], [name]\nпоштам анна собака мейл нүкте кз => поштам [email]");
    check("en", "IBAN KZ86 125K ZT50 0410 0100, KZ87 125K ZT50 0410 0100 => IBAN [iban], KZ87 125K ZT50 0410 0100");
}

#[test]
fn dates_times_prices_and_orders_stay() {
    let stays = [
        ("en", "order 4111111111111112 is late"),
        ("en", "tracking number 1234567890123456"),
        ("en", "on 12.05.2026 at 14:30, room 204, 3 people"),
        ("en", "2026-05-12 14:30:15 until 2026-05-13 15:00:00"),
        ("en", "it costs $1,500.00 or 750 000 tenge"),
        ("en", "twenty five people at half past ten on the fifth of May two thousand twenty six"),
        ("en", "we open at nine and close at eighteen thirty, on Saturday at ten to four"),
        ("en", "for one or two of us, to be on time"),
        ("ru", "заказ 4111111111111112 на 12 мая 2026 года, 15 000 тенге"),
        ("ru", "двадцать пять человек в половине одиннадцатого пятого мая"),
        ("ru", "он пришёл в десять, съел торт и ушёл в двенадцать"),
        ("ru", "договор № 1234567890123 от 01.02.2026"),
        ("kk", "он бес мамыр, сағат он екіде, бес мың теңге"),
    ];
    for (language, text) in stays {
        check(language, &format!("{text} => {text}"));
    }
}

#[test]
fn a_scope_keeps_what_its_rules_say_and_never_a_card() {
    let rules = Rules::from_toml("[keep]\n'third_party:crm' = ['phone', 'email']").expect("is well formed");
    let redactor = Redactor::new(&rules);
    let text = "+7 701 555 12 34, a@example.com, 4111 1111 1111 1111";
    let crm = Scope::ThirdParty("crm".into());
    assert_eq!(redactor.redact(text, "en", &crm).text, "+7 701 555 12 34, a@example.com, [card]");
    let other = redactor.redact(text, "en", &Scope::Transcript);
    assert_eq!(other.text, "[phone], [email], [card]");
    assert_eq!([Kind::Phone, Kind::Email, Kind::Card, Kind::Iin].map(|kind| other.found.of(kind)), [1, 1, 1, 0]);
    assert_eq!(redactor.redact_for_logs(text, "en").text, other.text);
    assert_eq!(format!("{other:?}").matches("701").count(), 0, "no text in Debug");
}

/// Ten thousand lines of bookings: dates, times, prices and counts are no cards but by rare chance.
#[test]
fn ordinary_talk_is_hardly_ever_taken_for_a_card() {
    let redactor = redactor();
    let mut cards = 0;
    for n in 0..10_000_u32 {
        let (day, hour, price) = (n % 28 + 1, n % 12 + 8, n * 37 % 90_000 + 1_000);
        let said =
            ["twenty five people", "room two hundred and four", "four or five of us", "in two thousand twenty six"]
                [(n % 4) as usize];
        let text =
            format!("on {day}.05.2026 at {hour}:30, {said}, it costs {price} tenge, order {}", n * 7919 % 1_000_000);
        cards += redactor.redact(&text, "en", &Scope::Transcript).found.of(Kind::Card);
    }
    assert!(cards <= 20, "{cards} of 10000");
}

#[test]
fn digits_can_be_masked_altogether() {
    let kept = redactor().mask_digits("room 4111, that is forty one eleven, on the fifth", "en", &Scope::Transcript);
    assert_eq!(kept.text, "room [digits], that is [digits], on the fifth");
}
