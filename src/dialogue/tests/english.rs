//! The English front desk in conversation.

use super::*;

fn english(script: &str) {
    check(ENGLISH, script);
}

#[test]
fn hours_depend_on_the_day_and_follow_the_context() {
    english(
        "caller: What time do you open on Saturday?
         agent: nine
         intent: hours
         covered: true
         caller: Actually, what about Sunday?
         agent: closed
         intent: hours
         caller: And tomorrow?
         agent: On Tuesday we are open from eight
         caller: When are you open?
         agent: Monday to Friday from eight to six
         caller: what time do you clothes today
         agent: Monday
         caller: are you open on Saturday and Sunday
         agent: nine to two. On Sunday we are closed
         caller: Are you open on the 25th of December?
         agent: Friday the 25th of December we are closed
         caller: Are you open on Friday?
         agent: eight",
    );
    english("caller: Actually, what about Sunday?\nagent: closed\nintent: hours");
}

#[test]
fn prices_depend_on_the_service() {
    english(
        "caller: How much is a cleaning?
         agent: ninety dollars
         caller: And whitening?
         agent: two hundred and fifty
         intent: price
         caller: what about a root canal and a crown
         agent: check-up
         caller: how much is a feeling
         agent: one hundred and twenty
         caller: what about Saturday?
         agent: nine to two
         caller: How much is it?
         agent: Which treatment
         caller: do you do braces
         agent: don't do braces",
    );
}

#[test]
fn what_the_file_does_not_hold_is_admitted_and_then_a_person_is_offered() {
    english(
        "caller: Who won the match last night?
         agent: I don't know
         covered: false
         intent: fallback
         expects: Anything
         caller: What is the capital of France?
         covered: false
         caller: Do you sell shoes?
         agent: put you through
         expects: YesNo
         caller: No, thanks.
         then: listen
         caller: can you fix my car
         agent: don't know
         caller: where are you look at it
         agent: Garden Street
         covered: true",
    );
    english(
        "caller: do you sell shoes\ncaller: can you fix my car\ncaller: tell me a joke\ncaller: yes please\nthen: transfer",
    );
}

#[test]
fn an_appointment_is_booked_step_by_step() {
    english(
        "caller: Can I make an appointment please?
         intent: book
         agent: What day
         expects: Day
         caller: Next Thursday.
         intent: slot
         expects: Time
         caller: Half past ten in the morning.
         expects: Name
         caller: My name is Anna Miller.
         expects: Phone
         caller: My number is five five five, one two three, four five six seven.
         expects: YesNo
         agent: Thursday the 26th at half past ten
         agent: Anna Miller
         agent: five five five, one two three, four five six seven
         caller: Yes.
         intent: affirm
         booked: 2026-11-26 10:30 Anna Miller 5551234567
         agent: booked
         expects: YesNo
         caller: No, thank you.
         intent: deny
         then: hangup",
    );
}

#[test]
fn one_sentence_can_fill_several_slots() {
    english(
        "caller: I'd like to book an appointment for Tuesday at three p.m.
         intent: book
         expects: Name
         caller: it's Anna
         expects: Phone
         caller: 555-123-4567
         agent: Tuesday the 24th at three, for Anna
         caller: okay
         booked: 2026-11-24 15:00 Anna 5551234567",
    );
    english(
        "caller: My name is John Smith and I need an appointment tomorrow at noon, my number is 555 987 6543.
         agent: Tuesday the 24th at twelve noon, for John Smith
         expects: YesNo
         caller: uh huh
         booked: 2026-11-24 12:00 John Smith 5559876543",
    );
}

/// Everything up to the confirmation of Thursday half past ten for Anna Miller.
fn to_confirmation(rest: &str) {
    english(&format!(
        "caller: I'd like to book an appointment for next Thursday at half past ten
         caller: Anna Miller
         caller: five five five one two three four five six seven
         expects: YesNo
         {rest}"
    ));
}

#[test]
fn a_confirmation_can_be_corrected() {
    to_confirmation(
        "caller: no, at four
         agent: Thursday the 26th at four
         expects: YesNo
         caller: No, four thirty.
         agent: half past four
         caller: No, make it Wednesday
         agent: Wednesday the 25th at half past four
         caller: No.
         agent: What should I change
         intent: deny
         caller: the name
         expects: Name
         caller: Hannah Müller
         agent: for Hannah Müller
         caller: yes, that's right
         booked: 2026-11-25 16:30 Hannah Müller 5551234567",
    );
    to_confirmation(
        "caller: no, on Sunday\nagent: closed on Sunday\nexpects: Day\ncaller: Friday\nexpects: YesNo\nagent: Friday the 27th",
    );
    to_confirmation("caller: no, the time is wrong\nexpects: Time\ncaller: at nine\nagent: at nine\nexpects: YesNo");
    to_confirmation("caller: my number is 555 000 1111\nagent: zero zero zero, one one one one\nexpects: YesNo");
    to_confirmation(
        "caller: yes but at two\nagent: at two\nexpects: YesNo\ncaller: yeah\nbooked: 2026-11-26 14:00 Anna Miller 5551234567",
    );
}

#[test]
fn nothing_is_booked_without_a_yes() {
    to_confirmation(
        "caller: How much is a cleaning?
         agent: ninety dollars
         agent: Is that right?
         expects: YesNo
         caller: yes no
         intent: unclear
         expects: YesNo
         caller: um
         quiet:
         caller: I don't know
         agent: Is that right?
         caller: banana
         agent: put you through
         caller: yes
         then: transfer",
    );
    to_confirmation("caller: never mind\nintent: abandon\ncaller: no\nthen: hangup");
    to_confirmation("caller: goodbye\nintent: bye\nthen: hangup");
    to_confirmation("keys: 1\nintent: affirm\nbooked: 2026-11-26 10:30 Anna Miller 5551234567");
    to_confirmation("keys: 2\nintent: deny\nagent: What should I change");
}

#[test]
fn opening_hours_decide_what_can_be_booked() {
    english(
        "caller: I need an appointment on Sunday
         agent: closed on Sunday
         expects: Day
         caller: Saturday then
         expects: Time
         caller: at four p.m.
         agent: open from nine to two
         expects: Time
         caller: ten
         expects: Name",
    );
    english("caller: book an appointment on the 25th of December\nagent: closed\nexpects: Day");
    english(
        "caller: I'd like to book an appointment\ncaller: on the 3rd of December\nexpects: Time\ncaller: quarter to nine\nexpects: Name",
    );
    english(
        "caller: I'd like to book an appointment\ncaller: the fifth\nexpects: Time\ncaller: at 13:30\nexpects: Name",
    );
    english("caller: I'd like to book an appointment\ncaller: 14th of July\nagent: half a year\nexpects: Day");
    english(
        "caller: I'd like to book an appointment\ncaller: tomorrow at six\nagent: from eight to six\nexpects: Time",
    );
}

#[test]
fn a_question_in_the_middle_of_a_form_is_answered_and_the_form_goes_on() {
    english(
        "caller: I'd like to book an appointment
         caller: What time do you open on Saturday?
         agent: nine to two. What day would suit you?
         expects: Day
         caller: Saturday
         expects: Time
         caller: Is there parking near the clinic?
         agent: Mill Lane. What time would you like?
         caller: Sorry, could you say that again?
         intent: repeat
         agent: Mill Lane
         caller: Wait, wait, stop.
         intent: interrupt
         agent: go ahead
         expects: Time
         caller: ten
         caller: do you sell shoes?
         covered: false
         agent: name
         expects: Name
         caller: I need to cancel my appointment.
         intent: cancel
         caller: Anna Miller
         agent: cancel the appointment for Anna Miller
         caller: yes
         cancelled: Anna Miller",
    );
}

#[test]
fn a_slot_is_asked_again_at_most_twice_then_a_person_is_offered() {
    english(
        "caller: I'd like to book an appointment
         caller: purple elephants
         agent: next Thursday
         intent: unclear
         expects: Day
         caller: something else entirely
         agent: weekday or a date
         caller: maybe sometime
         agent: put you through
         expects: YesNo
         caller: No.
         agent: What day
         expects: Day
         caller: okay
         quiet:
         caller: Friday
         expects: Time",
    );
}

#[test]
fn cancelling_takes_a_name_or_a_number_and_a_yes() {
    english(
        "caller: I need to cancel my appointment.
         expects: Name
         caller: Um, it's under Miller.
         agent: for Miller
         expects: YesNo
         caller: no
         agent: nothing is cancelled
         intent: deny",
    );
    english(
        "caller: please cancel my appointment
         caller: my number is 555 123 4567
         agent: five five five, one two three, four five six seven
         caller: Yes, please.
         cancelled: 5551234567",
    );
}

#[test]
fn a_number_can_come_in_pieces_or_by_key() {
    let to_phone = "caller: I'd like to book an appointment for Friday at ten\ncaller: Bo Li\nexpects: Phone\n";
    for rest in [
        "caller: My number is five five five,\nagent: go on\nexpects: Phone\ncaller: one two three\ncaller: four five six seven\nexpects: YesNo\nagent: five five five, one two three",
        "caller: oh two oh, double five one, triple two three\nagent: zero two zero, five five one, two two two three",
        "caller: it's five five five one to three for five six seven\nagent: five five five, one two three, four five six seven",
        "caller: eight hundred, five fifty five, twelve thirty four\nagent: eight zero zero, five five five, one two three four",
        "keys: 5551234567\nquiet:\nexpects: Phone\nkeys: #\nexpects: YesNo\nagent: five five five, one two three",
        "keys: 5551\nsilence:\nintent: silence\nexpects: Phone\nkeys: 234567\nsilence:\nexpects: YesNo",
        "keys: 999*5551234567#\nagent: five five five",
        "keys: 555#\nintent: unclear\nexpects: Phone",
        "caller: +1 555 123 4567\nagent: one, five five five\ncaller: yes\nbooked: 2026-11-27 10:00 Bo Li +15551234567",
        "caller: I want to speak to a real person.\nthen: transfer",
        "caller: Please delete my recording.\nintent: withdraw\nagent: deleting\nagent: number\nexpects: Phone",
    ] {
        english(&format!("{to_phone}{rest}"));
    }
}

#[test]
fn people_repetition_withdrawal_and_goodbye_work_at_any_time() {
    english("keys: 0\nintent: human\nthen: transfer");
    english("caller: I want to speak to a real person.\nintent: human\nthen: transfer");
    english("caller: Please delete my recording.\nintent: withdraw\nagent: deleting\nthen: listen");
    english("caller: Uh huh.\nintent: backchannel\nquiet:\ncaller: Okay.\nintent: backchannel\nquiet:");
    english("caller: Thank you, goodbye.\nintent: bye\nagent: goodbye\nthen: hangup");
    english(
        "caller: Sorry, could you say that again?\nagent: haven't said much\ncaller: Where are you located?\nkeys: 9\nagent: Garden Street\nintent: repeat",
    );
    english("caller: No, thank you.\nintent: deny\nagent: anything else\nthen: listen\ncaller: no\nthen: hangup");
    english("caller: Yes, please.\nintent: affirm\nagent: What can I do");
    english("caller: are you a robot\nagent: AI");
    english("caller: How are you?\nagent: fine");
}

#[test]
fn silence_ends_and_noise_leads_to_a_person() {
    english("silence:\nagent: still there\nsilence:\nagent: zero\nsilence:\nthen: hangup");
    english("silence:\ncaller: hello\nsilence:\nagent: still there");
    english("unclear:\nagent: didn't catch\nunclear:\nunclear:\nagent: put you through\ncaller: yes\nthen: transfer");
    english(
        "caller: I'd like to book an appointment\nunclear:\nagent: What day\nexpects: Day\nsilence:\nagent: still there? What day",
    );
    english("caller: ...\nintent: unclear");
    english("keys: 7\nquiet:\nintent: digit");
}

#[test]
fn a_turn_cut_short_or_taken_back_is_no_wish() {
    english("caller: I'd like to\nintent: unclear\nthen: listen");
    english("caller: Um, so\nquiet:");
    english("caller: Can I\nintent: unclear\nthen: listen\ncaller: I want to\nthen: listen");
    english(
        "caller: book an appointment tomorrow\ncaller: no wait, Thursday\nexpects: Time\ncaller: ten\ncaller: Al Bo\ncaller: 5551234567\nagent: Thursday the 26th",
    );
    english("caller: When are you open?\ncaller: Wait, what about Sunday?\nintent: hours\nagent: closed");
    english("caller: Thanks, bye\nthen: hangup\nexpects: Anything");
}
