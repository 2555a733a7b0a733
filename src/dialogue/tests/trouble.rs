//! Conversations that do not get on, step by step to their end, in both languages.

use super::*;

fn both(english: &str, russian: &str) {
    check(ENGLISH, english);
    check(RUSSIAN, russian);
}

#[test]
fn what_is_not_understood_is_asked_again_otherwise_by_key_by_a_person_and_then_no_more() {
    both(
        "unclear:
         agent: didn't catch
         unclear:
         agent: in a few words
         agent: press zero
         unclear:
         agent: put you through
         expects: YesNo
         caller: No.
         then: listen
         unclear:
         agent: didn't catch
         unclear:
         unclear:
         agent: can't understand you
         intent: give_up
         then: hangup",
        "unclear:
         agent: не расслышал
         unclear:
         agent: в двух словах
         agent: нажмите ноль
         unclear:
         agent: Соединить вас
         expects: YesNo
         caller: Нет
         then: listen
         unclear:
         unclear:
         unclear:
         agent: не могу вас понять
         intent: give_up
         then: hangup",
    );
}

#[test]
fn an_offer_that_is_not_understood_is_made_twice() {
    both(
        "unclear:
         unclear:
         unclear:
         agent: put you through
         unclear:
         agent: put you through
         expects: YesNo
         unclear:
         intent: give_up",
        "unclear:\nunclear:\nunclear:\nunclear:\nagent: Соединить вас\nunclear:\nthen: hangup",
    );
    check(ENGLISH, "unclear:\nunclear:\nunclear:\nkeys: 1\nthen: transfer");
    check(RUSSIAN, "unclear:\nunclear:\nunclear:\ncaller: да\nthen: transfer");
}

#[test]
fn a_slot_that_is_never_understood_ends_too() {
    both(
        "caller: I'd like to book an appointment
         caller: purple elephants
         agent: next Thursday
         caller: something else entirely
         agent: weekday or a date
         caller: purple elephants
         agent: put you through
         caller: No.
         agent: What day
         caller: purple elephants
         caller: purple elephants
         caller: purple elephants
         intent: give_up
         then: hangup",
        "caller: Я хочу записаться на приём
         caller: синие слоны
         intent: unclear
         caller: синие слоны
         caller: синие слоны
         agent: Соединить вас
         caller: нет
         expects: Day
         caller: синие слоны
         caller: синие слоны
         caller: синие слоны
         then: hangup",
    );
}

#[test]
fn whoever_gets_on_is_forgiven() {
    check(
        ENGLISH,
        "unclear:
         unclear:
         unclear:
         agent: put you through
         caller: No.
         caller: Where are you located?
         agent: Garden Street
         unclear:
         unclear:
         unclear:
         agent: put you through
         then: listen",
    );
    check(
        ENGLISH,
        "caller: do you sell shoes\ncaller: can you fix my car\ncaller: tell me a joke\nkeys: 2\nthen: listen",
    );
}

#[test]
fn noise_is_named_then_the_keys_then_goodbye() {
    both(
        "noise:
         agent: lot of noise
         agent: keys
         intent: noise
         noise:
         agent: press zero
         then: listen
         noise:
         agent: too much noise
         then: hangup",
        "noise:\nagent: сильный шум\nnoise:\nagent: Нажмите ноль\nthen: listen\nnoise:\nagent: слишком шумно\nthen: hangup",
    );
    check(ENGLISH, "noise:\nnoise:\ncaller: Where are you located?\nnoise:\nagent: lot of noise");
    check(ENGLISH, "noise:\nkeys: 0\nthen: transfer");
    check(ENGLISH, "noise:\nendless:\nagent: too much noise\nthen: hangup");
    check(ENGLISH, "caller: I'd like to book an appointment\nnoise:\nagent: What day\nexpects: Day");
    check(ENGLISH, "caller: Where are you located?\nnoise:\ncaller: Please repeat.\nagent: Garden Street");
}

#[test]
fn silence_is_asked_twice_and_ends() {
    both(
        "silence:\nagent: still there\nsilence:\nagent: press zero\nsilence:\nthen: hangup",
        "silence:\nagent: на линии\nsilence:\nagent: нажмите ноль\nsilence:\nthen: hangup\nintent: silence",
    );
}
