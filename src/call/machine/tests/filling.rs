//! Models that think for long, recognizers that read slowly: what is said meanwhile, and what is prepared.

use super::*;

const OPEN: &str = "> start\n> listen\n> key 2\n> listen\n";
const ASK: &str = "> speak Who won the match last night?\nasks the model\n";

fn thinking(script: &str) {
    check_with(&format!("{OPEN}{ASK}{script}"), LlmUse::Local);
}

#[test]
fn a_model_that_thinks_for_long_is_bridged() {
    // Committed 180 ms after the caller's last word, filled 700 ms later.
    let soon = "> sound 1000 Who won the match last night?\n> wait 860\nasks the model\n! agent:\n";
    let answered = "> thought We do not follow sports.\n> wait 200\nagent: We do not\n! moment";
    check_with(&format!("{OPEN}{soon}{answered}"), LlmUse::Local);
    check_with(&format!("{OPEN}> speak Who won the match last night?\nagent: One moment, please."), LlmUse::Local);
    thinking(
        "> thought I can't say.\n> thought-end\n> listen\nagent: I can't say.\nturn 2 finished committed +180 after a filler",
    );
    thinking("> wait 4100\nagent: It takes a little longer.\n> thought I can't say.\n> listen\nagent: I can't say.");
    thinking(
        "> wait 8000\nagent: It takes\nthinks no more\nagent: I'm afraid I don't know that.\n> thought Late.\n> wait 5000\n! Late",
    );
}

#[test]
fn a_filler_is_not_what_was_said() {
    thinking(
        "> thought I can't say.\n> thought-end\n> listen\n> speak Sorry, could you say that again?\nagent: I can't say.\n! One moment",
    );
}

#[test]
fn an_answer_in_time_has_no_filler() {
    check(&format!("{OPEN}> speak When are you open?\nturn 2 finished committed +180\n! after a filler\n! moment"));
    let never = CallConfig { turn: Turn { filler_ms: 0, ..Turn::default() }, ..Stage::new(LlmUse::Local).call.config };
    check_on(Stage::with(never), &format!("{OPEN}{ASK}> wait 9000\n! agent:"));
}

#[test]
fn a_recognizer_that_is_late_is_bridged() {
    let late = "> speak When are you open?\n";
    check(&format!("{OPEN}> slow 600\n{late}turn 2\n! moment"));
    check(&format!(
        "{OPEN}> slow 1400\n{late}agent: One moment, please.\n! turn\n> wait 1500\nturn 2 finished committed\n\
         ! agent stops\n> listen\n! moment"
    ));
    check(&format!("{OPEN}> slow 1400\n{late}> wait 1500\nagent: We are open\nafter a filler"));
    // A cough is promised nothing; words that were promised an answer get one.
    check(&format!("{OPEN}> slow 1400\n> noise 200\n> wait 1500\n! agent:"));
    check(&format!(
        "{OPEN}> slow 1400\n> noise 800\nagent: One moment\n> wait 2000\nagent: Sorry, I didn't catch that."
    ));
    // Who speaks on was not finished.
    check(&format!(
        "{OPEN}> slow 1400\n> sound 600 When are you open?\n> wait 500\n> sound 600 When are you open?\n! agent:"
    ));
}

#[test]
fn the_model_reads_ahead_while_the_caller_speaks() {
    let reads = "> speak When are you open?\nthe model reads ahead";
    check_with(&format!("{OPEN}{reads}\n! asks the model"), LlmUse::Local);
    check_with("> start\n> listen\n> speak Yes.\n! reads ahead", LlmUse::Local);
    check(&format!("{OPEN}> speak When are you open?\n! reads ahead"));
    check_with(
        &format!(
            "{OPEN}> speak Who won the match last night?\nthe model reads ahead, 2\ngoes on from what was read\nasks the model, 3"
        ),
        LlmUse::Local,
    );
    // Nothing new to read.
    check_with(&format!("{OPEN}> noise 200\nthe model reads ahead\n> noise 200\n! reads ahead"), LlmUse::Local);
    // Elsewhere only where that is asked for, and the words may leave.
    let config = CallConfig { llm: LlmUse::Declared, warm: true, ..Stage::new(LlmUse::Off).call.config };
    check_on(Stage::with(config), &format!("{OPEN}> speak When are you open?\n! reads ahead"));
    let agreed = OPEN.replace("key 2", "key 1");
    check_on(Stage::with(config), &format!("{agreed}{reads}"));
    check_with(&format!("{agreed}> speak When are you open?\n! reads ahead"), LlmUse::Declared);
}

#[test]
fn only_a_turn_that_counts_books() {
    let form = "> speak Book me in for Thursday at ten.\n> listen\n> speak Anna Miller\n> listen\n> speak five five five one two three four five six seven\n> listen\n";
    check(&format!("{OPEN}{form}! outcome\n> speak Yes.\noutcome: book booked\n> listen\n> wait 3000\n! outcome"));
    // A draft in the middle of "yes ... no, wait": nobody hears of it.
    check(&format!(
        "{OPEN}{form}> sound 400 Yes.\n> wait 120\n> sound 400 yes, at eleven\n> wait 1000\n! outcome\nThursday the 26th at eleven"
    ));
    let cancel = "> speak I need to cancel my appointment.\n> listen\n> speak Anna Miller\n> listen\n> speak Yes.\n";
    check(&format!("{OPEN}{cancel}outcome: cancel cancelled"));
}
