//! Scripts of callers who speak, nod, cough and come back as an echo over the agent. No engine, no clock.

use super::check;

/// The agent has been answering for three quarters of a second when the script goes on.
fn over_the_answer(script: &str) {
    check(&format!(
        "> start\n> listen\n> key 1\n> listen\n> speak Is there parking near the clinic?\nagent: Yes\n{script}"
    ));
}

#[test]
fn an_interruption_is_held_at_once_and_then_yielded_to() {
    over_the_answer(
        "> speak 900 Actually, what about Sunday?
         agent quieter
         agent held after 60 ms
         words so far
         agent stops
         kept agent: Yes, there
         yielded
         kept caller: Actually, what about Sunday?
         agent: On Sunday
         ! agent goes on",
    );
    over_the_answer("> speak 300 Wait!\nagent held after 60 ms\nyielded\nkept caller: Wait!\nagent:\n! agent goes on");
}

#[test]
fn the_time_stops_the_agent_where_the_words_do_not_speak_against_it() {
    over_the_answer("> begin 700 Blue elephants\nwords so far\nyielded");
    over_the_answer("> begin 680 Blue elephants\nwords so far\n! yielded");
    over_the_answer("> begin 700 Okay,\nwords so far\n! yielded");
    over_the_answer("> begin 440 Blue elephants\n! words so far");
}

#[test]
fn a_nod_is_held_and_then_talked_over() {
    for nod in ["Uh huh.", "Okay.", "Mm-hm.", "Yeah.", "Right.", "Um.", "Thank you."] {
        over_the_answer(&format!(
            "> speak 400 {nod}
             agent held after 60 ms
             agent goes on
             not yielded
             agent louder
             ! agent stops
             ! turn
             ! kept caller
             > listen
             kept agent: Yes, there is free parking for patients behind the building."
        ));
    }
}

#[test]
fn a_long_nod_is_not_stopped_by_the_time_alone() {
    over_the_answer("> speak 1000 Okay, okay.\nagent held\nagent goes on\n! agent stops");
    over_the_answer("> speak 1600 Okay, okay, right, okay.\nagent held\nagent stops");
}

#[test]
fn an_answer_to_the_question_that_is_being_asked_is_no_nod() {
    check(
        "> start
         > listen
         > speak Blue elephants sing.
         agent:
         > wait 3000
         > speak 400 Yes.
         agent held
         agent stops
         turn 2
         > listen
         kept agent:",
    );
}

#[test]
fn noise_is_held_shortly_and_never_answered() {
    over_the_answer("> noise 80\nagent held\nagent goes on\n! words so far\n! agent stops\n! turn");
    over_the_answer("> noise 200\nagent held\nagent goes on\n! agent stops\n! turn");
    // What a recognizer makes of a cough, of breath, and of "uh huh".
    for text in ["Blub.", "You", "♪♪", "谢谢", "Earth high,", "Ah, hi,", "That's fine.", "But"] {
        over_the_answer(&format!("> speak 480 {text}\nagent held\nagent goes on\n! agent stops\n! turn"));
    }
    // The detector was not sure of it.
    over_the_answer("> cough 100\nagent quieter\nagent louder\n! agent held\n! turn");
    over_the_answer("> cough 900\nagent held\nagent goes on\n! agent stops\n! turn");
    over_the_answer("> cough 220\nagent held after 120 ms\nagent goes on\n! turn");
    over_the_answer("> crackle 700\nagent held\nagent goes on\n! agent stops\n! turn");
    over_the_answer("> crackle 1500\nagent held\nagent goes on\n! agent stops\n! turn");
    // A vacuum cleaner.
    over_the_answer("> noise 3000\nagent held\nagent goes on\n! agent stops\n! turn");
    over_the_answer("> deaf\n> noise 300\nagent held\nagent goes on\n! agent stops\n! turn");
}

#[test]
fn the_agent_does_not_go_on_within_a_word() {
    over_the_answer(
        "> begin 80 Act
         agent held
         > wait 120
         ! agent goes on
         > speak 900 Actually, what about Sunday?
         agent stops
         kept caller",
    );
}

#[test]
fn a_pause_after_a_first_word_is_waited_out() {
    over_the_answer(
        "> begin 540 Actually,
         agent held
         > wait 280
         ! agent goes on
         ! turn
         > speak 900 Actually, what about Sunday?
         agent stops
         kept caller: Actually, what about Sunday?",
    );
    over_the_answer("> begin 480 Earth tie,\nagent held\n> wait 420\nagent goes on\n! turn");
}

#[test]
fn what_hardly_sounds_like_speech_holds_the_agent_for_a_moment_only() {
    over_the_answer("> cough 600\nagent held\nagent goes on");
    over_the_answer("> begin 400 Blue elephants\nagent held\n! agent goes on");
}

#[test]
fn repeated_false_alarms_do_not_make_the_agent_stutter() {
    over_the_answer(
        "> noise 100\nagent held\nagent goes on\n> noise 100\n! agent held\n> noise 200\nagent held after 140 ms",
    );
}

#[test]
fn the_agents_own_words_do_not_interrupt_it() {
    over_the_answer("> speak 400 is free parking for.\nagent held\nagent goes on\n! agent stops\n! turn");
    over_the_answer("> speak 400 Free parking where?\nagent held\nagent stops");
}

#[test]
fn a_cough_after_the_agent_is_not_answered() {
    let opening = "> start\n> listen\n> key 1\n> listen\n";
    check(&format!("{opening}> speak 160 Hrm.\n! turn\n! agent:"));
    check(&format!("{opening}> speak 700 You\n! turn\n! agent:"));
    check(&format!("{opening}> speak 600 Blue elephants sing.\nagent:\nturn"));
}

#[test]
fn what_must_be_heard_is_not_held() {
    check("> start\n> wait 200\n> speak 900 What time do you open on Saturday?\n! agent quieter\n! agent held");
}

#[test]
fn somebody_far_from_the_telephone_is_not_heeded() {
    over_the_answer("> from-now-on-dbfs -50\n> speak 1000 And then she said\n! agent quieter\n! agent held\n! turn");
    over_the_answer("> from-now-on-dbfs -40\n> speak 1000 And then she said\nagent held\nagent goes on\n! turn");
    over_the_answer("> from-now-on-dbfs -32\n> speak 1000 What about Sunday?\nagent held\nagent stops");
    // A caller who has always been so quiet is the caller.
    let quiet = "> from-now-on-dbfs -36\n> start\n> listen\n> key 1\n> listen\n> speak Is there parking?\n> listen\n\
                 > speak Where are you?\n> from-now-on-dbfs -45\n> speak 1000 What about Sunday?\nagent held\nagent stops";
    check(quiet);
}

#[test]
fn a_hold_ends_with_whatever_happens_to_the_call() {
    over_the_answer("> begin 200 Wait,\nagent held\n> hold\nagent goes on");
    over_the_answer("> begin 200 Wait,\nagent held\n> key 0\nagent stops\nyielded\n> wait 100\nagent:");
    over_the_answer("> begin 200 Wait,\nagent held\n> bye\nagent stops\n! agent goes on");
    over_the_answer("> begin 200 Wait,\nagent held\n> lost 2000\nagent goes on");
    over_the_answer("> begin 200 Wait,\nagent held\n> wait 3000\nagent stops\nturn 3");
}
