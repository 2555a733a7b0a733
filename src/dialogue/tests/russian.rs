//! The Russian front desk in conversation.

use super::*;

fn russian(script: &str) {
    check(RUSSIAN, script);
}

#[test]
fn hours_and_prices() {
    russian(
        "caller: Во сколько вы открываетесь в субботу?
         agent: с девяти до четырнадцати
         intent: hours
         caller: А в воскресенье?
         agent: закрыты
         caller: вы завтра работаете
         agent: Во вторник
         caller: Вы работаете первого января?
         agent: В пятницу, первого января у нас выходной
         caller: Сколько стоит чистка?
         agent: четыре тысячи
         caller: а отбеливание
         agent: двенадцать тысяч
         caller: Какая столица Франции?
         covered: false
         agent: не знаю",
    );
}

#[test]
fn an_appointment_is_booked() {
    russian(
        "caller: Я хочу записаться на приём
         intent: book
         expects: Day
         caller: В следующий четверг.
         expects: Time
         caller: В половине одиннадцатого утра.
         expects: Name
         caller: Меня зовут Анна Миллер.
         expects: Phone
         caller: восемь девятьсот двенадцать триста сорок пять шестьдесят семь восемьдесят девять
         expects: YesNo
         agent: в четверг, двадцать шестого ноября, в десять тридцать, на имя Анна Миллер
         agent: восемь, девять один два, три четыре пять, шесть семь восемь девять
         caller: Нет, в четыре часа.
         agent: в четыре часа дня
         caller: да
         booked: 2026-11-26 16:00 Анна Миллер 89123456789
         caller: нет, спасибо
         then: hangup",
    );
    russian(
        "caller: Запишите меня, пожалуйста, на вторник на три часа дня
         expects: Name
         caller: Иван
         caller: +7 701 555-12-34
         agent: во вторник, двадцать четвёртого ноября, в три часа дня, на имя Иван
         caller: хорошо
         booked: 2026-11-24 15:00 Иван +77015551234",
    );
}

#[test]
fn opening_hours_and_corrections() {
    russian(
        "caller: хочу записаться на воскресенье
         agent: в воскресенье мы не работаем
         expects: Day
         caller: тогда в субботу
         expects: Time
         caller: в пять вечера
         agent: В субботу мы работаем с девяти до четырнадцати
         caller: в одиннадцать
         expects: Name
         caller: Где вы находитесь?
         agent: Садовая улица
         agent: Как вас зовут
         caller: Пётр
         expects: Phone
         keys: 87015551234#
         expects: YesNo
         caller: нет
         agent: Что изменить
         caller: день
         expects: Day
         caller: третьего декабря
         expects: YesNo
         agent: третьего декабря, в одиннадцать часов утра
         caller: всё верно
         booked: 2026-12-03 11:00 Пётр 87015551234",
    );
}

#[test]
fn people_repetition_withdrawal_and_goodbye() {
    russian("caller: Соедините меня с оператором\nthen: transfer");
    russian("keys: 0\nthen: transfer");
    russian("caller: Удалите запись разговора\nintent: withdraw\nagent: удаляю");
    russian("caller: угу\nquiet:\nintent: backchannel");
    russian("caller: Где вы находитесь?\ncaller: Повторите, пожалуйста\nagent: Садовая\nintent: repeat");
    russian("caller: Спасибо, до свидания\nthen: hangup\nintent: bye");
    russian(
        "caller: Я хочу отменить запись\nexpects: Name\ncaller: на имя Анна Миллер\nagent: Анна Миллер\ncaller: да, отмените\ncancelled: Анна Миллер",
    );
    russian("caller: Подождите, стоп\nintent: interrupt\nagent: слушаю");
}
